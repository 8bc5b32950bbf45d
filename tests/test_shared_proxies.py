"""One proxy in many threads: which connection a call gets, and what happens when something goes wrong."""
from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
import unittest
from typing import Any, Callable, List, Optional
from unittest import mock

from Pyro5 import config, errors
from Pyro5._client.connection import Connection
from Pyro5._client.pool import IdleConnections
from Pyro5._client.pool import OPEN_FIRST, OPEN_SIDE, ConnectionPool, Waiter
from Pyro5.api import BatchProxy, Daemon, Proxy, Retry, behavior, current_context, expose

from .peers import Peer, ScriptedServer, settings
from .rawclient import PATIENCE_SECONDS, ServerTestCase, wait_until


@expose
class Room:
    """Counts who is in it; methods that wait do so until the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.inside = 0
        self.most = 0
        self.order: List[Any] = []
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def enter(self, number: int = 0) -> Any:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.order.append(number)
            self._changed.notify_all()
        self.gate.wait(PATIENCE_SECONDS)
        with self._lock:
            self.inside -= 1
        return number

    def wait_for(self, number: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.inside >= number, PATIENCE_SECONDS)

    def whose(self) -> str:
        return str(current_context.client_sock_addr)

    def count(self, to: int) -> Any:
        yield from range(to)

    def call_back(self, other: Any, depth: int) -> Any:
        return other.answer(depth)


@behavior(instance_mode="session")
@expose
class Account:
    def __init__(self) -> None:
        self.total = 0

    def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    def call_back(self, other: Any, depth: int) -> Any:
        return other.answer(depth)


@expose
class Answering:
    """Calls back into the proxy that is waiting for its answer."""

    def __init__(self) -> None:
        self.proxy: Any = None

    def answer(self, depth: int) -> Any:
        return "answered" if depth == 0 else self.proxy.call_back(self, depth - 1)


def in_threads(number: int, work: Callable[[int], Any]) -> List[threading.Thread]:
    threads = [threading.Thread(target=work, args=(i,)) for i in range(number)]
    for thread in threads:
        thread.start()
    return threads


class SharingTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.daemon(Daemon)
        self.room = Room()
        self.uri = self.server.register(self.room, "room")
        self.run_loop(self.server)
        self.at_end.callback(self.room.gate.set)

    def proxy(self, uri: Any = None, **options: Any) -> Proxy:
        proxy = Proxy(uri or self.uri, **options)
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def join_all(self, threads: List[threading.Thread]) -> None:
        for thread in threads:
            self.join(thread)


class Parallel(SharingTestCase):
    def test_calls_of_threads_run_at_the_same_time(self) -> None:
        proxy = self.proxy()
        results: List[Any] = []
        threads = in_threads(4, lambda number: results.append(proxy.enter(number)))
        self.assertTrue(self.room.wait_for(4))
        self.room.gate.set()
        self.join_all(threads)
        self.assertEqual([0, 1, 2, 3], sorted(results))
        self.assertEqual(4, len(proxy._pyro.pool.connections()))

    def test_there_are_no_more_connections_than_allowed(self) -> None:
        with settings(PROXY_CONNECTIONS=3):
            proxy = self.proxy()
        config.PROXY_CONNECTIONS = 3
        results: List[Any] = []
        threads = in_threads(7, lambda number: results.append(proxy.enter(number)))
        self.assertTrue(self.room.wait_for(3))
        wait_until(lambda: len(proxy._pyro.pool.waiters) == 4, "that the others wait")
        self.room.gate.set()
        self.join_all(threads)
        self.assertEqual(list(range(7)), sorted(results))
        self.assertEqual((3, 3), (self.room.most, len(proxy._pyro.pool.connections())))

    def test_waiting_for_a_connection_ends_with_the_deadline(self) -> None:
        config.PROXY_CONNECTIONS = 1
        proxy = self.proxy()
        threads = in_threads(1, proxy.enter)
        self.assertTrue(self.room.wait_for(1))
        with self.assertRaisesRegex(errors.TimeoutError, "PROXY_CONNECTIONS") as caught:
            proxy.whose.options(timeout=0.02)()
        self.assertIs(False, caught.exception.sent)
        proxy._pyroTimeout = 0.02
        with self.assertRaisesRegex(errors.TimeoutError, "waiting for a connection"):
            proxy.whose()
        proxy._pyroTimeout = None
        self.room.gate.set()
        self.join_all(threads)
        self.assertTrue(proxy.whose())
        self.assertFalse(proxy._pyro.pool.waiters)

    def test_a_thread_returns_to_the_connection_that_it_used_last(self) -> None:
        proxy = self.proxy()
        together = threading.Barrier(3)
        seen: List[Any] = []

        def work(number: int) -> None:
            proxy.enter(number)
            together.wait(PATIENCE_SECONDS)
            for turn in range(3):
                if turn == number:
                    seen.append({proxy.whose(), proxy.whose()})
                together.wait(PATIENCE_SECONDS)
            seen.append({proxy.whose()})

        threads = in_threads(3, work)
        self.assertTrue(self.room.wait_for(3))
        self.room.gate.set()
        self.join_all(threads)
        self.assertEqual([1] * 6, list(map(len, seen)))
        self.assertEqual(3, len(set.union(*seen)))

    def test_release_closes_all_and_the_next_call_connects(self) -> None:
        proxy = self.proxy()
        threads = in_threads(3, proxy.enter)
        self.assertTrue(self.room.wait_for(3))
        self.room.gate.set()
        self.join_all(threads)
        proxy._pyroRelease()
        self.assertEqual([], proxy._pyro.pool.connections())
        self.assertIsNone(proxy._pyroConnection)
        self.assertTrue(proxy.whose())

    def test_release_in_the_middle_of_calls_makes_them_fail(self) -> None:
        proxy = self.proxy()
        failures: List[Any] = []

        def work(number: int) -> None:
            try:
                proxy.enter(number)
            except errors.ConnectionClosedError as x:
                failures.append(x)

        threads = in_threads(3, work)
        self.assertTrue(self.room.wait_for(3))
        proxy._pyroRelease()
        self.join_all(threads)
        self.assertEqual(3, len(failures))
        self.room.gate.set()
        self.assertTrue(proxy.whose())

    def test_connections_that_are_not_used_are_closed(self) -> None:
        proxy = self.proxy()
        threads = in_threads(3, proxy.enter)
        self.assertTrue(self.room.wait_for(3))
        self.room.gate.set()
        self.join_all(threads)
        link = proxy._pyro
        self.assertFalse(link.close_idle(time.monotonic() + 1))
        self.assertEqual([link.connection], link.pool.connections())
        self.assertTrue(proxy.whose())

    def test_streams_keep_their_connection(self) -> None:
        proxy = self.proxy()
        threads = in_threads(1, proxy.enter)
        self.assertTrue(self.room.wait_for(1))
        stream = proxy.count(5)
        self.assertEqual(0, next(stream))
        home = proxy._pyro.stream_homes[stream._stream_id]
        self.assertIsNot(home, proxy._pyro.connection)
        self.room.gate.set()
        self.join_all(threads)
        self.assertTrue(proxy._pyro.close_idle(time.monotonic() + 1), "its connection must stay")
        got: List[int] = []
        lock = threading.Lock()

        def read(number: int) -> None:
            for item in stream:
                with lock:
                    got.append(item)

        self.join_all(in_threads(3, read))
        self.assertEqual([1, 2, 3, 4], sorted(got))
        self.assertEqual(({}, set()), (proxy._pyro.stream_homes, home.streams))

    def test_batches_of_several_threads(self) -> None:
        proxy = self.proxy()
        proxy.whose()
        self.room.gate.set()
        results: List[Any] = []

        def work(number: int) -> None:
            batch = BatchProxy(proxy)
            for each in range(10):
                batch.enter(10 * number + each)
            results.extend(batch())

        self.join_all(in_threads(4, work))
        self.assertEqual(list(range(40)), sorted(results))

    def test_a_server_that_has_gone(self) -> None:
        proxy = self.proxy()
        threads = in_threads(2, proxy.enter)
        self.assertTrue(self.room.wait_for(2))
        self.room.gate.set()
        self.join_all(threads)
        self.server.close()
        failures: List[Any] = []

        def work(number: int) -> None:
            for _ in range(2):
                try:
                    proxy.whose()
                except errors.CommunicationError as x:
                    failures.append(x)

        self.join_all(in_threads(4, work))
        self.assertEqual(8, len(failures))
        self.assertEqual([], proxy._pyro.pool.connections())

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_fork_while_calls_run(self) -> None:
        proxy = self.proxy()
        threads = in_threads(2, proxy.enter)
        self.assertTrue(self.room.wait_for(2))
        child = os.fork()
        if child == 0:
            os._exit(0 if proxy.whose() and len(proxy._pyro.pool.connections()) == 1 else 1)
        self.assertEqual(0, os.waitpid(child, 0)[1])
        self.room.gate.set()
        self.join_all(threads)
        self.assertTrue(proxy.whose())

    def test_a_server_that_accepts_one_connection_only(self) -> None:
        def first(peer: Peer) -> None:
            peer.send(2, peer.read(), {"handshake": "hello", "meta": {
                "methods": ["add"], "oneway": [], "attrs": [], "session": False}}, annotations={"FEAT": b"dl cx"})
            held = peer.read_call()
            entered.set()
            self.assertTrue(refused.wait(PATIENCE_SECONDS))
            peer.answer(held, "first")
            peer.serve(lambda method, *args: "second")

        def refuse(peer: Peer) -> None:
            peer.send(3, peer.read(), "no more")
            refused.set()

        entered, refused = threading.Event(), threading.Event()
        with ScriptedServer(first, refuse) as server:
            proxy = Proxy(server.uri)
            results: List[Any] = []
            threads = in_threads(1, lambda number: results.append(proxy.add()))
            self.assertTrue(entered.wait(PATIENCE_SECONDS))
            results.append(proxy.add())
            self.join_all(threads)
            self.assertEqual(["first", "second"], sorted(results))
            proxy._pyroRelease()

    def test_nothing_is_kept_alive(self) -> None:
        before = len(threading.enumerate())
        proxy: Optional[Proxy] = Proxy(self.uri)
        assert proxy is not None
        threads = in_threads(3, proxy.enter)
        self.assertTrue(self.room.wait_for(3))
        self.room.gate.set()
        self.join_all(threads)
        connections = proxy._pyro.pool.connections()
        del proxy, threads
        gc.collect()
        self.assertEqual([-1, -1, -1], [each.sock.fileno() for each in connections])
        wait_until(lambda: not any(["idle" in each.name for each in threading.enumerate()]), "the end of the thread")
        self.assertLessEqual(before, len(threading.enumerate()))


class OneConnection(SharingTestCase):
    def test_threads_share_one_session(self) -> None:
        proxy = self.proxy(self.server.register(Account, "account"))
        self.join_all(in_threads(8, lambda number: [proxy.add(1) for _ in range(20)]))
        self.assertEqual(160, proxy.add(0))
        self.assertEqual(1, len(proxy._pyro.pool.connections()))

    def test_an_old_server(self) -> None:
        def script(peer: Peer) -> None:
            peer.welcome(["add"])
            peer.serve(lambda method, *args: args[0])

        with ScriptedServer(script) as server:
            proxy = Proxy(server.uri)
            results: List[Any] = []
            self.join_all(in_threads(6, lambda number: results.extend([proxy.add(number) for _ in range(20)])))
            self.assertEqual(sorted(list(range(6)) * 20), sorted(results))
            proxy._pyroRelease()

    def test_one_after_the_other_in_the_order_of_arrival(self) -> None:
        config.PROXY_CONNECTIONS = 1
        proxy = self.proxy()
        threads = in_threads(1, proxy.enter)
        self.assertTrue(self.room.wait_for(1))
        for number in range(1, 5):
            threads += [threading.Thread(target=proxy.enter, args=(number,))]
            threads[-1].start()
            wait_until(lambda number=number: len(proxy._pyro.pool.waiters) == number)  # type: ignore[misc]
        self.room.gate.set()
        self.join_all(threads)
        self.assertEqual([0, 1, 2, 3, 4], self.room.order)

    def check_nested(self, uri: Any) -> None:
        answering = Answering()
        callbacks = self.daemon(Daemon)
        callbacks.register(answering)
        self.run_loop(callbacks)
        with settings(PROXY_CONNECTIONS=1):
            answering.proxy = self.proxy(uri)
            self.assertEqual("answered", answering.proxy.call_back(answering, 3))
            self.assertEqual("answered", answering.proxy.call_back(answering, 2), "side connections are used again")

    def test_calls_that_call_back_do_not_wait_for_themselves(self) -> None:
        self.check_nested(self.uri)

    def test_calls_of_a_session_that_call_back(self) -> None:
        self.check_nested(self.server.register(Account, "account"))


class Queue(unittest.TestCase):
    def check_interrupted(self, is_handed_over: bool) -> None:
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        pool, connection = ConnectionPool(), Connection(near, "thing")
        pool.add(connection, 1, OPEN_FIRST)
        self.assertIs(connection, pool.claim(1, 1, None, False))
        waiter = pool.claim(2, 1, None, False)
        assert isinstance(waiter, Waiter)

        def interrupt(waiter: Waiter, seconds: float) -> bool:
            if is_handed_over:
                pool.release(connection)
                self.assertTrue(connection.lock.locked())
            raise KeyboardInterrupt

        with mock.patch.object(Waiter, "wait", interrupt), self.assertRaises(KeyboardInterrupt):
            pool.wait(waiter, None)
        self.assertEqual((0, not is_handed_over), (len(pool.waiters), connection.lock.locked()))

    def test_a_waiting_thread_that_is_interrupted_leaves_the_queue(self) -> None:
        self.check_interrupted(False)

    def test_one_that_was_handed_a_connection_passes_it_on(self) -> None:
        self.check_interrupted(True)


class Leftovers(SharingTestCase):
    """Connections that were lost while nothing used them, and those of nested calls, do not stand in the way of new ones."""

    def test_only_a_connection_of_a_nested_call_is_left(self) -> None:
        proxy = self.proxy()
        proxy.whose()
        link = proxy._pyro
        side = link._open_another(OPEN_SIDE, lambda response: None)
        assert side is not None and link.connection is not None
        link.unlock(side)
        link.drop(link.connection)
        self.assertIsNone(proxy._pyroConnection)
        self.assertTrue(proxy.whose())
        self.assertEqual(2, len(link.pool.connections()))

    def test_a_connection_that_was_interrupted_without_a_call(self) -> None:
        config.PROXY_CONNECTIONS = 1
        proxy = self.proxy()
        proxy.whose()
        first = proxy._pyroConnection
        first.mid_exchange = True
        results: List[Any] = []
        self.join_all(in_threads(2, lambda number: results.append(proxy.whose())))
        self.assertEqual(2, len(results))
        self.assertEqual(-1, first.sock.fileno())

    def test_lost_connections_and_cancelled_calls(self) -> None:
        self.room.gate.set()
        for _ in range(20):
            with Proxy(self.uri) as proxy:
                proxy.whose()
                futures = [proxy.enter.future(1), proxy.enter.future(2)]
                proxy._pyroConnection.sock.shutdown(socket.SHUT_RDWR)
                for future in futures:
                    future.cancel()
                with contextlib.suppress(errors.CommunicationError):
                    proxy.whose.options(timeout=PATIENCE_SECONDS)()
                self.assertTrue(proxy.whose.options(timeout=PATIENCE_SECONDS, retry=Retry(unsafe=True))())


class Idle(unittest.TestCase):
    def test_the_thread_ends_when_no_link_is_watched(self) -> None:
        class FakeLink:
            def __init__(self) -> None:
                self.asked = threading.Event()

            def close_idle(self, idle_before: float) -> bool:
                self.asked.set()
                return False

        watcher = IdleConnections(idle_seconds=0.01)
        link = FakeLink()
        watcher.add(link)
        thread = watcher._thread
        assert thread is not None
        self.assertTrue(link.asked.wait(PATIENCE_SECONDS))
        thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive())
        self.assertIsNone(watcher._thread)


if __name__ == "__main__":
    unittest.main()
