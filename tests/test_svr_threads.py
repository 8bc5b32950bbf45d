"""The thread server: which thread runs which call, how many run at the same time, and how stuck or failing calls
affect other clients.
"""
from __future__ import annotations

import contextlib
import logging
import os
import select
import sqlite3
import tempfile
import threading
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import config, serializers, svr_threads
from Pyro5._messages import handshake, requests
from Pyro5._net import stream_sockets
from Pyro5._objects.exposure import expose
from Pyro5._server import loop
from Pyro5.callcontext import current_context
from Pyro5.protocol import FLAGS_ONEWAY
from Pyro5.server import Daemon

from .peers import settings
from .rawclient import PATIENCE_SECONDS, ServerTestCase, WatchedDaemon, call_request, connect_request, wait_until

LARGE = 6 * 1024 * 1024


class Workers(ServerTestCase):
    def test_calls_and_oneway_calls_run_in_pools_of_their_own(self) -> None:
        client = self.client(self.serving())
        self.assertTrue(client.call("thread").startswith("Pyro-worker"))
        threads: List[str] = []
        with mock.patch.object(self.served, "note", lambda value: threads.append(threading.current_thread().name)):
            client.send(call_request("note_oneway", 1, flags=FLAGS_ONEWAY))
            wait_until(lambda: threads)
        self.assertTrue(threads[0].startswith("Pyro-oneway"))

    def test_calls_of_several_clients_run_at_once(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=3, THREADPOOL_SIZE_MIN=1)
        clients = [self.client(daemon) for _ in range(6)]
        for client in clients:
            client.send(call_request("wait"))
        self.served._wait_for_notes(3)
        self.assertEqual(3, len(daemon.transportServer.pool))
        self.served._open_gate()
        for client in clients:
            client.reply()
        self.assertEqual(3, self.served._most)

    def test_large_requests_leave_workers_for_the_others(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=4, THREADPOOL_SIZE_MIN=1)
        clients = [self.client(daemon) for _ in range(8)]
        for client in clients:
            client.send(call_request("wait", "x" * 200000))
        self.served._wait_for_notes(3)
        self.assertEqual("small", self.client(daemon).call("echo", "small"))
        self.assertEqual(3, self.served._most)
        self.served._open_gate()
        for client in clients:
            self.assertEqual("x" * 200000, client.reply())

    def test_large_handshakes_wait_for_their_turn(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=2, MAX_HANDSHAKE_SIZE=1000000)
        busy = self.client(daemon)
        busy.send(call_request("wait", "x" * 200000))
        self.served._wait_for_notes(1)
        other = self.connect(daemon)
        other.send(handshake.connect_request(serializers.get_serializer("serpent"), 0, "obj", "x" * 200000,
                                             requests.WireOptions()).data)
        wait_until(lambda: daemon.transportServer.pool._large_jobs)
        self.assertEqual("small", self.client(daemon).call("echo", "small"))
        self.served._open_gate()
        self.assertEqual("hello", other.reply()[0])
        busy.reply()

    def test_many_requests_of_a_client_do_not_delay_other_clients(self) -> None:
        """All its requests have arrived, but clients that wait for a worker are served in between."""
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        with mock.patch.object(svr_threads, "TURN_SECONDS", 0.0):
            greedy, modest = self.client(daemon), self.client(daemon)
            greedy.send(call_request("wait") + b"".join(call_request("note", number) for number in range(100)))
            self.served._wait_for_notes(1)
            modest.send(call_request("note", "modest"))
            wait_until(lambda: daemon.transportServer.pool.jobs_waiting)
            self.served._open_gate()
            notes = self.served._wait_for_notes(102)
        self.assertLess(notes.index("modest"), 5)
        self.assertEqual(list(range(100)), [note for note in notes if isinstance(note, int)])

    def test_calls_of_one_client_do_not(self) -> None:
        client = self.client(self.serving())
        client.send(call_request("wait", 1) + call_request("wait", 2) + call_request("note", 3))
        self.assertEqual([1], self.served._wait_for_notes(1))
        self.served._open_gate()
        self.assertEqual([1, 2, None], [client.reply() for _ in range(3)])
        self.assertEqual(([1, 2, 3], 1), (self.served._notes, self.served._most))

    def test_a_busy_client_keeps_its_worker(self) -> None:
        with mock.patch.object(svr_threads, "KEEP_SECONDS", PATIENCE_SECONDS):
            daemon = self.serving()
            client = self.client(daemon)
            with mock.patch.object(daemon.transportServer, "serve", side_effect=AssertionError("handed over again")):
                for number in range(20):
                    self.assertEqual(number, client.call("echo", number))
            client.close()
            daemon.wait_for_gone(1)

    def test_a_kept_worker_is_released_when_other_clients_wait(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        hot, other = self.client(daemon), self.client(daemon)
        with mock.patch.object(svr_threads, "KEEP_SECONDS", 10 * PATIENCE_SECONDS):
            hot.send(call_request("wait"))
            self.served._wait_for_notes(1)
            other.send(call_request("echo", "other"))
            wait_until(lambda: daemon.transportServer.pool.jobs_waiting)
            self.served._open_gate()
            hot.reply()
            self.assertEqual("other", other.reply())
            other.close()
            daemon.wait_for_gone(1)

    def test_a_large_request_that_arrives_in_parts_holds_no_worker(self) -> None:
        """Also behind another one, when its header is received alone."""
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        slow, other = self.client(daemon), self.client(daemon)
        request = call_request("echo", "x" * 100000)
        for size in (40, 41, 60000):
            with self.subTest(size=size), mock.patch.object(svr_threads, "KEEP_SECONDS", 10 * PATIENCE_SECONDS):
                slow.call("echo", "x" * 100000)
                slow.send(request[:size])
                with mock.patch.object(svr_threads, "KEEP_SECONDS", 0.01):
                    self.assertEqual("other", other.call("echo", "other"))
                    slow.send(request[size:])
                    self.assertEqual("x" * 100000, slow.reply())

    def test_large_requests_in_parts_where_the_system_has_no_timeout_for_receiving(self) -> None:
        with mock.patch.object(stream_sockets, "set_system_receive_timeout", return_value=False):
            daemon = self.serving()
            client = self.client(daemon)
            request = call_request("echo", "x" * 100000)
            for size in (1, 40, 41, 60000, len(request) - 1):
                with self.subTest(size=size):
                    for _ in range(2):
                        self.assertEqual("x" * 100000, client.call("echo", "x" * 100000))
                    client.send(request[:size])
                    wait_until(lambda: self.is_watched(daemon))
                    client.send(request[size:])
                    self.assertEqual("x" * 100000, client.reply())

    def is_watched(self, daemon: Any) -> bool:
        """Return whether the loop waits for the rest of the only client's message."""
        return [c.watched for c in daemon.transportServer.all_connections() if c.mid_message] == [1]

    def test_a_slow_but_steady_reader_holds_no_worker(self) -> None:
        directory = self.at_end.enter_context(tempfile.TemporaryDirectory())
        self.configure(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        daemon = self.daemon(unixsocket=os.path.join(directory, "socket"))
        self.run_loop(daemon)
        steady, other = self.client(daemon), self.client(daemon)
        received: List[int] = []
        pause = threading.Event()

        def read() -> None:
            while sum(received) < 6 * LARGE:
                received.append(len(steady.sock.recv(65536)))
                pause.wait(0.0005)
        steady.send(call_request("large", 6 * LARGE))
        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: received)
        self.assertEqual("other", other.call("echo", "other"))
        self.assertLess(sum(received), 3 * LARGE)
        self.join(reader)

    def test_invalid_sizes(self) -> None:
        for minimum, maximum in ((0, 5), (-1, 5), (1, 0)):
            self.configure(THREADPOOL_SIZE_MIN=minimum, THREADPOOL_SIZE=maximum)
            with self.assertRaisesRegex(ValueError, "THREADPOOL_SIZE"):
                self.daemon()

    def test_repr_contains_the_address(self) -> None:
        daemon = self.daemon()
        self.assertIn(daemon.locationStr, repr(daemon.transportServer))


class Endings(ServerTestCase):
    def test_a_method_that_exits_costs_its_client_the_connection(self) -> None:
        daemon = self.serving()
        client, other = self.client(daemon), self.client(daemon)
        with self.assertLogs("Pyro5.svr_threads", "WARNING") as logged:
            client.send(call_request("exit"))
            self.assertIsNone(client.read())
        self.assertIn("SystemExit", logged.output[0])
        daemon.wait_for_gone(1)
        self.assertEqual("other", other.call("echo", "other"))

    def test_a_slow_client_disconnect_delays_no_other_client(self) -> None:
        started, go_on = threading.Event(), threading.Event()
        self.at_end.callback(go_on.set)

        class SlowDaemon(WatchedDaemon):
            def clientDisconnect(self, conn: Any) -> None:
                started.set()
                go_on.wait(PATIENCE_SECONDS)
                super().clientDisconnect(conn)
        daemon = self.daemon(SlowDaemon)
        self.run_loop(daemon)
        self.client(daemon).close()
        self.assertTrue(started.wait(PATIENCE_SECONDS))
        self.assertEqual("other", self.client(daemon).call("echo", "other"))
        self.assertEqual([], daemon.gone)
        go_on.set()
        daemon.wait_for_gone(1)

    def test_shutdown_and_close_from_inside_a_call(self) -> None:
        for method, answer in (("shutdown", "shutting down"), ("close_daemon", "closing")):
            daemon = self.daemon()
            thread = self.run_loop(daemon)
            idle, client = self.client(daemon), self.client(daemon)
            self.assertEqual(answer, client.call(method))
            self.join(thread)
            self.assertIsNone(idle.read())
            daemon.close()
            daemon.wait_for_gone(2)

    def test_a_stuck_call_does_not_keep_the_server_for_ever(self) -> None:
        with settings(SHUTDOWN_TIMEOUT=0.0), mock.patch.object(loop, "END_SECONDS", 0.05):
            daemon = self.daemon()
            thread = self.run_loop(daemon)
            client = self.client(daemon)
            client.send(call_request("wait", "stuck"))
            self.served._wait_for_notes(1)
            daemon.shutdown()
            self.join(thread)
            self.assertIsNone(client.read())
        self.served._open_gate()

    def test_requests_that_wait_for_a_worker_at_the_end(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=1, THREADPOOL_SIZE_MIN=1)
        clients = [self.client(daemon) for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(call_request("wait", number))
        self.served._wait_for_notes(1)
        wait_until(lambda: daemon.transportServer.pool.busy() == 5)
        daemon.shutdown()
        self.served._open_gate()
        self.assertEqual(list(range(5)), [client.reply() for client in clients])


@expose
class Account:
    """A session object that can be used in one thread only."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:")
        current_context.track_resource(self)

    def add(self, number: int) -> int:
        return int(self._database.execute("SELECT ? + 1", (number,)).fetchone()[0])

    def close(self) -> None:
        self._database.close()  # an error, which is logged, in another thread


class Sessions(ServerTestCase):
    def test_an_object_of_a_session_stays_in_its_thread(self) -> None:
        with mock.patch.object(svr_threads, "KEEP_SECONDS", 0.0001):
            daemon = self.serving(THREADPOOL_SIZE=7, THREADPOOL_SIZE_MIN=2)
            daemon.register(Account, "account")
            clients = [self.connect(daemon).greet("account") for _ in range(3)]
            others = [self.client(daemon) for _ in range(6)]
            for number in range(20):
                for client, other in zip(clients * 2, others):
                    self.assertEqual(number + 1, client.call("add", number, object_id="account"))
                    self.assertEqual(number, other.call("echo", number))
            pool = daemon.transportServer.pool
            self.assertEqual(3, pool._reserved)
            with self.assertNoLogs_("Pyro5.socketutil"):
                for client in clients:
                    client.close()
                daemon.wait_for_gone(3)
                wait_until(lambda: pool._reserved == 0)

    @contextlib.contextmanager
    def assertNoLogs_(self, name: str) -> Iterator[None]:
        with self.assertLogs(name, "WARNING") as logged:
            logging.getLogger(name).warning("only this")
            yield
        self.assertEqual(1, len(logged.output))

    def test_more_sessions_than_threads(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=3, THREADPOOL_SIZE_MIN=2)
        daemon.register(Counter, "counter")
        clients = [self.connect(daemon).greet("counter") for _ in range(8)]
        for expected in (1, 2):
            self.assertEqual([expected] * 8, [client.call("count", object_id="counter") for client in clients])
        self.assertEqual((1, True), (daemon.transportServer.pool._reserved, len(daemon.transportServer.pool) <= 3))

    def test_fewer_threads_than_the_usual_minimum(self) -> None:
        daemon = self.serving(THREADPOOL_SIZE=2)
        self.assertEqual("hi", self.client(daemon).call("echo", "hi"))
        self.assertEqual(2, len(daemon.transportServer.pool))


@expose
class Counter:
    def __init__(self) -> None:
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count


class ForeignLoop(ServerTestCase):
    """A program's own event loop watches the listening socket; a background thread does the rest."""

    def setUp(self) -> None:
        super().setUp()
        self.stop = threading.Event()
        self.turns = 0

    def run_foreign(self, daemon: Daemon) -> threading.Thread:
        def run() -> None:
            while not self.stop.is_set():
                ready, _, _ = select.select(daemon.sockets, [], [], 0.01)
                if ready:
                    self.turns += 1
                    daemon.events(ready)
        thread = threading.Thread(target=run, name="foreign loop")
        thread.start()
        self.at_end.callback(thread.join, PATIENCE_SECONDS)
        self.at_end.callback(self.stop.set)
        return thread

    def test_serving(self) -> None:
        daemon = self.daemon()
        self.run_foreign(daemon)
        client = self.connect(daemon)
        wait_until(lambda: self.turns)
        for number in range(5):
            with self.client(daemon) as other:
                self.assertEqual(number, other.call("echo", number))
        self.assertEqual(LARGE, len(client.greet().call("large", LARGE)))
        self.assertEqual("after a while", client.call("echo", "after a while"))
        daemon.wait_for_gone(5)
        self.assertLessEqual(self.turns, 6)

    def test_other_clients_do_not_wait_for_a_stuck_call(self) -> None:
        daemon = self.daemon()
        self.run_foreign(daemon)
        stuck, other = self.client(daemon), self.client(daemon)
        stuck.send(call_request("wait"))
        self.served._wait_for_notes(1)
        self.assertEqual("other", other.call("echo", "other"))
        self.served._open_gate()
        self.assertIsNone(stuck.reply())

    def test_request_loop_afterwards(self) -> None:
        daemon = self.daemon()
        thread = self.run_foreign(daemon)
        client = self.client(daemon)
        self.stop.set()
        self.join(thread)
        self.run_loop(daemon)
        self.assertEqual("old", client.call("echo", "old"))
        self.assertEqual("new", self.client(daemon).call("echo", "new"))

    def test_a_client_that_connects_during_shutdown(self) -> None:
        daemon = self.daemon()
        with self.connect(daemon) as client:
            daemon.events(daemon.sockets)
            daemon.close()
            self.assertIsNone(client.read())
        daemon.wait_for_gone(1)

    def test_ends(self) -> None:
        for end in ("shutdown", "close"):
            daemon = self.daemon()
            self.stop.clear()
            thread = self.run_foreign(daemon)
            client = self.client(daemon)
            self.stop.set()
            self.join(thread)
            getattr(daemon, end)()
            self.assertIsNone(client.read())
            daemon.close()
            daemon.wait_for_gone(1)
            self.assertEqual(-1, daemon.sock.fileno())


class Settings(ServerTestCase):
    def test_minimum(self) -> None:
        config.THREADPOOL_SIZE_MIN = 7
        daemon = self.daemon()
        self.assertEqual(0, len(daemon.transportServer.pool))
        self.run_loop(daemon)
        client = self.connect(daemon)
        client.send(connect_request())
        client.reply()
        self.assertEqual(7, len(daemon.transportServer.pool))


if __name__ == "__main__":
    unittest.main()
