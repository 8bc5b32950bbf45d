"""Item streams, as a client sees them."""
from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import errors, protocol, socketutil
from Pyro5._client.connection import Connection
from Pyro5._client.link import Link
from Pyro5._client.streams import ItemStream
from Pyro5.client import Proxy
from Pyro5.server import Daemon, expose

from ..peers import Peer, Request, ScriptedServer, settings
from ..support import PATIENCE_SECONDS, daemon_thread


class StreamTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.requests: List[Request] = []

    def read(self, peer: Peer) -> Request:
        request = peer.read_call()
        self.requests.append(request)
        return request

    def open(self, peer: Peer, stream_id: Any = "the-id") -> None:
        peer.welcome(["numbers", "other"])
        peer.open_stream(self.read(peer), stream_id)

    def seen(self) -> List[Any]:
        return [(r.message.seq, r.object_id, r.method, list(r.args)) for r in self.requests]


class ItemTests(StreamTestCase):
    def test_every_item_is_a_call_until_the_end(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), "a")
            peer.answer(self.read(peer), "b")
            peer.fail(self.read(peer), StopIteration())
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            self.assertIs(stream, iter(stream))
            self.assertEqual(["a", "b"], list(stream))
            with self.assertRaises(StopIteration):
                next(stream)
            stream.close()
        items = [(seq, "Pyro.Daemon", "get_next_stream_item", ["the-id"]) for seq in (2, 3, 4)]
        self.assertEqual([(1, "thing", "numbers", []), *items], self.seen())

    def test_an_error_is_raised_and_the_stream_closed_when_it_is_dropped(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.fail(self.read(peer), ValueError("mid stream"))
            self.read(peer)
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            with self.assertRaisesRegex(ValueError, "mid stream"):
                next(stream)
            del stream
        self.assertEqual((3, "Pyro.Daemon", "close_stream", ["the-id"]), self.seen()[-1])

    def test_a_server_that_does_not_stream(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer, None)
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            with self.assertRaisesRegex(errors.ProtocolError, "ITER_STREAMING"):
                proxy.numbers()
            self.assertIsNone(proxy._pyroConnection)

    def test_no_item_is_skipped_by_a_retry(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            self.read(peer)

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 5
            stream = proxy.numbers()
            with self.assertRaises(errors.ConnectionClosedError):
                next(stream)
        self.assertEqual(2, len(self.requests))

    def test_iteration_continues_after_a_reconnect(self) -> None:
        def begin(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), "a")
            peer.wait_for_close()

        def go_on(peer: Peer) -> None:
            peer.welcome(["numbers"])
            peer.answer(self.read(peer), "b")
            self.read(peer)
            peer.wait_for_close()

        with ScriptedServer(begin, go_on) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            self.assertEqual("a", next(stream))
            proxy._pyroRelease()
            with self.assertRaisesRegex(errors.ConnectionClosedError, "_pyroReconnect"):
                next(stream)
            proxy._pyroReconnect(tries=1)
            self.assertEqual("b", next(stream))
            stream.close()


class SeveralAtOnce(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        changed = settings(ITER_STREAM_BATCH=3)
        changed.__enter__()
        self.addCleanup(changed.__exit__, None, None, None)

    def test_all_items(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), [["a", "b"], False])
            peer.answer(self.read(peer), [["c"], True])
            peer.answer(self.read(peer), "other")
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            self.assertEqual(["a", "b", "c"], list(proxy.numbers()))
            proxy.other()
        self.assertEqual([(2, "Pyro.Daemon", "get_next_stream_item", ["the-id", 3])],
                         [call for call in self.seen() if call[0] == 2])
        self.assertEqual(["numbers", *["get_next_stream_item"] * 2, "other"], [call[2] for call in self.seen()])

    def test_a_server_that_sends_single_items_only(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.fail(self.read(peer), TypeError("get_next_stream_item() takes 2 positional arguments but 3 were given"))
            peer.answer(self.read(peer), "a")
            peer.answer(self.read(peer), "b")
            peer.fail(self.read(peer), StopIteration())
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            self.assertEqual(["a", "b"], list(proxy.numbers()))
        self.assertEqual([["the-id", 3], *[["the-id"]] * 3], [call[3] for call in self.seen()[1:]])

    def test_a_type_error_of_the_generator(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.fail(self.read(peer), TypeError("no temperature"))
            self.read(peer)
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            with self.assertRaisesRegex(TypeError, "temperature"):
                list(proxy.numbers())
        self.assertEqual("close_stream", self.seen()[-1][2])

    def test_fetched_items_need_no_connection_and_are_discarded_by_close(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), [[1, 2, 3], False])
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            self.assertEqual(1, next(stream))
            proxy._pyroRelease()
            self.assertEqual(2, next(stream))
            stream.close()
            self.assertEqual([], list(stream))


class CloseTests(StreamTestCase):
    def test_over_the_same_connection_when_nothing_else_was_called(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), "a")
            self.read(peer)
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            next(stream)
            stream.close()
            stream.close()
            self.assertEqual([], list(stream))
        self.assertEqual((3, "Pyro.Daemon", "close_stream", ["the-id"]), self.seen()[-1])
        self.assertTrue(self.requests[-1].message.flags & protocol.FLAGS_ONEWAY)

    def messenger(self, peer: Peer) -> None:
        peer.welcome(["numbers"])
        self.read(peer)
        peer.wait_for_close()

    def test_over_another_connection_when_the_proxy_was_used_since(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.answer(self.read(peer), "a")
            peer.answer(self.read(peer), "other")
            peer.wait_for_close()

        with ScriptedServer(script, self.messenger) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            next(stream)
            proxy.other()
            stream.close()
            self.assertIsNotNone(proxy._pyroConnection)
        self.assertEqual((1, "Pyro.Daemon", "close_stream", ["the-id"]), self.seen()[-1])

    def test_over_another_connection_from_another_thread(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.wait_for_close()

        with ScriptedServer(script, self.messenger) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            thread = threading.Thread(target=stream.close)
            thread.start()
            thread.join()
        self.assertEqual((1, "Pyro.Daemon", "close_stream", ["the-id"]), self.seen()[-1])

    def test_close_sends_nothing_without_a_connection(self) -> None:
        def script(peer: Peer) -> None:
            self.open(peer)
            peer.wait_for_close()

        with ScriptedServer(script) as server, Proxy(server.uri) as proxy:
            stream = proxy.numbers()
            proxy._pyroRelease()
            stream.close()
            del stream

    def test_a_dropped_stream_prints_no_error(self) -> None:
        proxy = mock.Mock(_pyroSeq=1)
        proxy._pyro.abandon_stream.side_effect = errors.ConnectionClosedError("gone")
        stream = ItemStream("the-id", proxy)
        with self.assertLogs("Pyro5.itemstream", "DEBUG"):
            del stream


@expose
class Counter:
    """Counts, and remembers which of its generators were closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def numbers(self) -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            self.closed.set()

    def ping(self) -> str:
        return "pong"


class Finalizers(unittest.TestCase):
    """What the garbage collector calls waits for no network, and leaves alone what is another process' own."""

    def setUp(self) -> None:
        self.counter = Counter()
        daemon = Daemon(host="127.0.0.1")
        uri = daemon.register(self.counter, "counter")
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.stack.enter_context(daemon_thread(daemon))
        self.proxy = self.stack.enter_context(Proxy(uri))
        self.proxy.ping()

    def drop_in_a_thread(self, streams: List[Any]) -> None:
        """Drop the only reference to a stream in a thread that does not own the proxy."""
        thread = threading.Thread(target=streams.clear)
        thread.start()
        thread.join()

    def test_a_dropped_stream_is_closed_over_the_existing_connection(self) -> None:
        with mock.patch.object(socketutil, "create_socket", side_effect=AssertionError("connected")):
            for number in self.proxy.numbers():
                if number == 3:
                    break
            self.assertTrue(self.counter.closed.wait(PATIENCE_SECONDS))
        self.assertEqual("pong", self.proxy.ping())

    def test_a_stream_dropped_in_another_thread_is_closed_by_the_next_call(self) -> None:
        streams = [self.proxy.numbers()]
        self.assertEqual(0, next(streams[0]))
        with mock.patch.object(socketutil, "create_socket", side_effect=AssertionError("connected")):
            self.drop_in_a_thread(streams)
            self.assertEqual("pong", self.proxy.ping())
            self.assertTrue(self.counter.closed.wait(PATIENCE_SECONDS))

    def test_a_stream_dropped_during_a_call_is_closed_by_the_next_call(self) -> None:
        streams = [self.proxy.numbers()]
        next(streams[0])
        self.proxy._pyroConnection.mid_exchange = True   # as in the middle of an exchange
        streams.clear()
        self.proxy._pyroConnection.mid_exchange = False
        self.assertFalse(self.counter.closed.is_set())
        self.proxy.ping()
        self.assertTrue(self.counter.closed.wait(PATIENCE_SECONDS))

    def test_a_full_socket_buffer_does_not_block_the_finalizer(self) -> None:
        stream = self.proxy.numbers()
        next(stream)
        connection = self.proxy._pyroConnection
        with mock.patch.object(connection, "sock", mock.Mock(wraps=connection.sock)) as sock:
            sock.send.side_effect = BlockingIOError
            del stream
            self.assertEqual(1, len(self.proxy._pyro.abandoned_streams))
            self.assertEqual(mock.call(0), sock.settimeout.mock_calls[0])
        self.assertEqual("pong", self.proxy.ping())
        self.assertTrue(self.counter.closed.wait(PATIENCE_SECONDS))

    def test_a_partial_send_makes_the_connection_unusable(self) -> None:
        stream = self.proxy.numbers()
        next(stream)
        connection = self.proxy._pyroConnection
        with mock.patch.object(connection, "sock", mock.Mock(wraps=connection.sock)) as sock:
            sock.send.side_effect = lambda data: 10
            del stream
        self.assertTrue(connection.mid_exchange)
        self.assertEqual("pong", self.proxy.ping())
        self.assertIsNot(connection, self.proxy._pyroConnection)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_does_not_close_the_stream_of_its_parent(self) -> None:
        stream = self.proxy.numbers()
        self.assertEqual(0, next(stream))
        child = os.fork()
        if not child:
            try:
                stream.__del__()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual([1, 2, 3], [next(stream) for _ in range(3)])
        self.assertEqual("pong", self.proxy.ping())

    def test_objects_whose_constructor_failed(self) -> None:
        complaints: List[Any] = []
        with mock.patch.object(sys, "unraisablehook", complaints.append):
            for clazz in (ItemStream, Proxy, Link, Connection, socketutil.SocketConnection, Daemon):
                clazz.__new__(clazz)
            gc.collect()
        self.assertEqual([], complaints)


if __name__ == "__main__":
    unittest.main()
