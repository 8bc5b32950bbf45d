"""The multiplex server: all in one thread, with its own loop, in a foreign one, and combined with others."""
from __future__ import annotations

import functools
import itertools
import select
import selectors
import socket
import threading
import unittest
from typing import Any, Callable, List
from unittest import mock

from Pyro5 import protocol
from Pyro5._net import busy_poll
from Pyro5._server import eventloop, fair_order
from Pyro5.server import Daemon

from .peers import settings
from .rawclient import (
    PATIENCE_SECONDS,
    RawClient,
    ServerTestCase,
    WatchedDaemon,
    call_request,
    connect_request,
    connected_to,
    wait_until,
)

LARGE = 6 * 1024 * 1024
SMALL_BUFFER = 4096


class MultiplexTestCase(ServerTestCase):
    servertype = "multiplex"


class OneThread(MultiplexTestCase):
    def test_polling_follows_the_setting(self) -> None:
        daemon = self.daemon()
        server = daemon.transportServer
        with mock.patch.object(busy_poll, "_processors", 2), settings(SPINNING=True):
            daemon.requestLoop(lambda: False)
            first = server._polling_selector
            self.assertIsInstance(first, busy_poll.PollingSelector)
            server.tick()
            self.assertIs(first, server._polling_selector)
            with settings(SPINNING=False):
                server.tick()
                self.assertIsNone(server._polling_selector)
            server.tick()
            self.assertIsNotNone(server._polling_selector)
        with settings(SPINNING=False):
            daemon.requestLoop(lambda: False)
            self.assertIsNone(server._polling_selector)

    def test_calls_run_in_the_loop(self) -> None:
        daemon = self.daemon()
        thread = self.run_loop(daemon)
        self.assertEqual({thread.name}, {self.client(daemon).call("thread") for _ in range(3)})

    def test_a_connection_is_parked_only_with_further_requests(self) -> None:
        """Parking it for one long call would cost four system calls, and the next request is not handled sooner."""
        server = self.daemon().transportServer
        server.callbacks = server.callbacks._replace(handle_request=lambda connection: None)
        connection = mock.Mock(is_plain=False, suspended_batch=None, deferred=None, handshake_done=True, features=None)
        connection.pending.data = b"short"
        with mock.patch.object(server, "turn_is_over", lambda: True), mock.patch.object(server, "hand_over") as handed_over:
            connection.has_more = False
            self.assertTrue(server.serve(connection))
            connection.has_more = True
            self.assertFalse(server.serve(connection))
        handed_over.assert_called_once_with(connection)
        server.parked.clear()

    def test_calls_never_run_at_once(self) -> None:
        daemon = self.serving()
        clients = [self.client(daemon) for _ in range(5)]
        for client in clients:
            client.send(call_request("wait"))
        self.served._wait_for_notes(1)
        self.served._open_gate()
        for client in clients:
            client.reply()
        self.assertEqual(1, self.served._most)

    def test_many_requests_of_a_client_do_not_delay_other_clients(self) -> None:
        """All its requests have arrived, but the other clients are served in between, and the request of a new client
        is served first.
        """
        # A clock that advances by the same step at each look: what is charged does not depend on the load of the machine.
        clock = mock.Mock(monotonic=functools.partial(next, itertools.count(1.0, 1e-5)))
        with mock.patch.object(eventloop, "TURN_SECONDS", 0.0), mock.patch.object(eventloop, "time", clock), \
                mock.patch.object(fair_order, "time", clock):
            daemon = self.serving()
            greedy = [self.client(daemon) for _ in range(3)]
            greedy[0].send(call_request("wait"))
            self.served._wait_for_notes(1)
            for number, client in enumerate(greedy):
                client.send(b"".join(call_request("note", "%d of greedy %d" % (call, number)) for call in range(100)))
            modest = self.connect(daemon)
            modest.send(connect_request() + call_request("note", "modest"))
            self.served._open_gate()
            notes = self.served._wait_for_notes(302)
            for client in greedy:
                for _ in range(100):
                    client.reply()
        self.assertLess(notes.index("modest"), 20)
        self.assertLess(notes.index("0 of greedy 2"), 20)
        for number in range(3):  # the requests of each client in order
            self.assertEqual(["%d of greedy %d" % (call, number) for call in range(100)],
                             [note for note in notes if note and note.endswith("greedy %d" % number)])

    def test_long_messages_are_handled_after_short_ones_that_arrive_with_them(self) -> None:
        daemon = self.serving()
        clients = [self.client(daemon) for _ in range(4)]
        clients[0].send(call_request("wait"))
        self.served._wait_for_notes(1)
        for client in clients[1:3]:
            client.send(call_request("note", "long " + "x" * 10000))
        clients[3].send(call_request("note", "short"))
        self.served._open_gate()
        notes = self.served._wait_for_notes(4)
        for client in clients:
            client.reply()
        self.assertEqual(["short", "long", "long"], [note.split(" ")[0] for note in notes[1:]])

    def test_calls_after_a_refusal_are_not_run(self) -> None:
        daemon = self.serving()
        client, other = self.client(daemon), self.client(daemon)
        self.assertEqual(1, client.call("echo", 1))
        client.send(connect_request())
        message = client.read()
        assert message is not None
        self.assertEqual((protocol.MSG_CONNECTFAIL, None), (message.type, client.read()))
        client.send(call_request("note", "too late"))
        for _ in range(3):
            other.ping()
        self.assertEqual([], self.served._notes)

    def test_a_method_that_exits_ends_the_loop(self) -> None:
        daemon = self.daemon()
        client, other = self.connect(daemon), self.connect(daemon)
        client.send(connect_request() + call_request("exit"))
        with self.assertRaises(SystemExit):
            daemon.requestLoop()
        client.reply()
        self.assertIsNone(client.read())
        self.assertEqual([client.sock.getsockname()], [conn.peer_address for conn in daemon.gone])
        self.run_loop(daemon)  # a program that catches it may continue
        self.assertEqual("on", other.greet().call("echo", "on"))

    def test_shutdown_and_close_from_inside_a_call(self) -> None:
        for method, answer in (("shutdown", "shutting down"), ("close_daemon", "closing")):
            daemon = self.daemon()
            thread = self.run_loop(daemon)
            idle, client = self.client(daemon), self.client(daemon)
            client.send(call_request(method) + call_request("note", "too late"))
            self.assertEqual(answer, client.reply())
            self.join(thread)
            self.assertIsNone(client.read())
            self.assertIsNone(idle.read())
            self.assertEqual(([], 2), (self.served._notes, len(daemon.gone)))

    def test_closing_the_daemon_when_a_client_is_gone(self) -> None:
        class ClosingDaemon(WatchedDaemon):
            def clientDisconnect(self, conn: Any) -> None:
                super().clientDisconnect(conn)
                self.close()
        with settings(SHUTDOWN_TIMEOUT=1000.0):  # it must not wait for itself
            daemon = self.daemon(ClosingDaemon)
            thread = self.run_loop(daemon)
            other = self.client(daemon)
            self.client(daemon).close()
            self.join(thread)
            self.assertIsNone(other.read())
            self.assertEqual(2, len(daemon.gone))

    def test_large_replies_are_finished_at_the_end(self) -> None:
        daemon = self.daemon()
        thread = self.run_loop(daemon)
        client = self.client(daemon, SMALL_BUFFER)
        client.send(call_request("large", LARGE))
        wait_until(lambda: any(conn.has_outgoing for conn in list(daemon.transportServer._connections.values())))
        daemon.shutdown()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE)
        self.assertEqual(LARGE, len(client.reply()))
        self.join(thread)

    def test_repr_contains_the_address(self) -> None:
        daemon = self.daemon()
        self.assertIn(daemon.locationStr, repr(daemon.transportServer))


class ForeignLoop(MultiplexTestCase):
    """The test is the program whose own event loop watches the daemon's sockets."""

    def turn(self, daemon: Daemon, timeout: float = 0.01) -> int:
        ready, _, _ = select.select(daemon.sockets, [], [], timeout)
        if ready:
            daemon.events(ready)
        return len(ready)

    def turn_until(self, daemon: Daemon, condition: Callable[[], Any]) -> None:
        def one_turn() -> Any:
            self.turn(daemon)
            return condition()
        wait_until(one_turn)

    def asked(self, daemon: Daemon, ask: Callable[[], Any]) -> Any:
        """Run the loop until a client in another thread has its result."""
        answers: List[Any] = []
        thread = threading.Thread(target=lambda: answers.append(ask()))
        thread.start()
        self.turn_until(daemon, lambda: not thread.is_alive())
        thread.join()
        self.assertEqual(1, len(answers), "the client failed")
        return answers[0]

    def foreign_client(self, daemon: Daemon, receive_buffer: int = 0) -> RawClient:
        client = RawClient(connected_to(daemon, receive_buffer))
        self.at_end.callback(client.close)
        self.asked(daemon, client.greet)
        return client

    def test_serving(self) -> None:
        daemon = self.daemon()
        self.assertEqual([daemon.sock], daemon.sockets)
        clients = [self.foreign_client(daemon) for _ in range(3)]
        self.assertEqual(4, len(daemon.sockets))
        for number, client in enumerate(clients):
            self.assertEqual(number, self.asked(daemon, functools.partial(client.call, "echo", number)))
        clients[0].close()
        self.turn_until(daemon, lambda: daemon.gone)
        self.assertEqual(3, len(daemon.sockets))

    def test_large_replies_do_not_stall(self) -> None:
        daemon = self.daemon()
        client = self.foreign_client(daemon, SMALL_BUFFER)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LARGE // 4)
        self.assertEqual(LARGE, len(self.asked(daemon, lambda: client.call("large", LARGE))))
        self.assertEqual("again", self.asked(daemon, lambda: client.call("echo", "again")))

    def test_others_are_served_while_a_large_reply_is_not_read(self) -> None:
        daemon = self.daemon()
        lazy, other = self.foreign_client(daemon, SMALL_BUFFER), self.foreign_client(daemon)
        lazy.send(call_request("large", LARGE) + call_request("note", "behind it"))
        for number in range(5):
            self.assertEqual(number, self.asked(daemon, functools.partial(other.call, "echo", number)))
        self.assertEqual([], self.served._notes)
        self.assertEqual((LARGE, None), self.asked(daemon, lambda: (len(lazy.reply()), lazy.reply())))
        self.assertEqual(["behind it"], self.served._notes)

    def test_an_idle_loop_does_not_spin(self) -> None:
        daemon = self.daemon()
        lazy = self.foreign_client(daemon, SMALL_BUFFER)
        for _ in range(2):
            self.assertEqual(LARGE, len(self.asked(daemon, lambda: lazy.call("large", LARGE))))
        self.turn_until(daemon, lambda: self.turn(daemon, 0) == 0)
        lazy.send(call_request("large", LARGE) + call_request("echo", 1))
        self.turn_until(daemon, lambda: self.turn(daemon, 0) == 0)  # it waits for the reader, the second call for the first
        self.assertEqual(LARGE, len(self.asked(daemon, lazy.reply)))
        self.assertEqual(1, self.asked(daemon, lazy.reply))

    def test_selectors_and_request_loop_in_turn(self) -> None:
        daemon = self.daemon()
        client = self.foreign_client(daemon)
        with selectors.DefaultSelector() as selector:
            for sock in daemon.sockets:
                selector.register(sock, selectors.EVENT_READ)
            client.send(call_request("echo", 1))
            daemon.events([key.fileobj for key, _events in selector.select(PATIENCE_SECONDS)])
        self.assertEqual(1, client.reply())
        self.run_loop(daemon)
        self.assertEqual(2, client.call("echo", 2))

    def test_housekeeping(self) -> None:
        daemon = self.daemon()
        daemon.events([])
        self.assertEqual(1, daemon.ticks)

    def test_shutdown_from_inside_a_call(self) -> None:
        daemon = self.daemon()
        client = self.foreign_client(daemon)
        self.assertEqual("shutting down", self.asked(daemon, lambda: client.call("shutdown")))
        self.assertIsNone(client.read())
        self.assertEqual((-1, 1), (daemon.sock.fileno(), len(daemon.gone)))


class Combined(MultiplexTestCase):
    def test_three_daemons_in_one_loop(self) -> None:
        daemons = [self.daemon() for _ in range(3)]
        early = self.connect(daemons[2])
        for daemon in daemons[1:]:
            daemons[0].combine(daemon)
        thread = self.run_loop(daemons[0])
        for daemon in daemons:
            self.assertEqual(thread.name, self.client(daemon).call("thread"))
        self.assertEqual(LARGE, len(early.greet().call("large", LARGE)))
        clients = [self.client(daemon) for daemon in daemons]
        daemons[0].shutdown()
        self.join(thread)
        for daemon, client in zip(daemons, clients):
            self.assertIsNone(client.read())
            self.assertEqual(-1, daemon.sock.fileno())

    def test_one_of_them_ends(self) -> None:
        for end in ("shutdown", "close"):
            first, second, third = (self.daemon() for _ in range(3))
            second.combine(third)
            first.combine(second)
            thread = self.run_loop(first)
            clients = [self.client(daemon) for daemon in (first, second, third)]
            getattr(third, end)()
            self.assertIsNone(clients[2].read())
            third.wait_for_gone(1)
            self.assertEqual([1, 2], [client.call("echo", number) for number, client in ((1, clients[0]), (2, clients[1]))])
            second.shutdown()
            self.assertIsNone(clients[1].read())
            self.assertEqual("first", clients[0].call("echo", "first"))
            self.assertTrue(thread.is_alive())

    def test_with_a_thread_server(self) -> None:
        self.configure(SERVERTYPE="thread", THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1)
        threaded = self.daemon()
        self.configure(SERVERTYPE="multiplex")
        multiplex = self.daemon()
        multiplex.combine(threaded)
        thread = self.run_loop(multiplex)
        stuck = self.client(threaded)
        stuck.send(call_request("wait"))
        self.served._wait_for_notes(1)
        self.assertEqual(thread.name, self.client(multiplex).call("thread"))
        self.assertTrue(self.client(threaded).call("thread").startswith("Pyro-worker"))
        self.served._open_gate()
        self.assertIsNone(stuck.reply())
        threaded.close()
        self.assertEqual(1, self.client(multiplex).call("echo", 1))

    def test_with_a_ready_made_socket_and_something_foreign(self) -> None:
        here, there = socket.socketpair()
        self.at_end.callback(there.close)
        connected = self.daemon(connected_socket=there)
        client = RawClient(here)
        self.at_end.callback(client.close)
        foreign_here, foreign_there = socket.socketpair()
        self.at_end.callback(foreign_here.close)
        self.at_end.callback(foreign_there.close)
        seen = threading.Event()

        class Foreign:
            sockets = [foreign_there]

            def events(self, ready: List[Any]) -> None:
                ready[0].recv(10)
                seen.set()
        daemon = self.daemon()
        daemon.combine(connected)
        daemon.combine(Foreign())
        self.run_loop(daemon)
        self.assertEqual(1, client.call("echo", 1))
        foreign_here.sendall(b"x")
        self.assertTrue(seen.wait(PATIENCE_SECONDS))
        client.close()
        connected.wait_for_gone(1)  # its loop ends, that of the others continues
        self.assertEqual(2, self.client(daemon).call("echo", 2))

    def test_foreign_loop(self) -> None:
        first, second = self.daemon(), self.daemon()
        first.combine(second)
        client = self.connect(second)
        client.send(connect_request() + call_request("echo", "second"))
        for _ in range(3):
            first.events([])
        client.reply()
        self.assertEqual("second", client.reply())


if __name__ == "__main__":
    unittest.main()
