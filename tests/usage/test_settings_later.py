"""Settings that are changed when there are proxies and daemons already: they count from the next call on."""
from __future__ import annotations

import contextlib
import itertools
import threading
import time
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import config, errors, protocol, serializers
from Pyro5._net import busy_poll
from Pyro5.api import Daemon, Proxy, current_context, expose

from ..support import PATIENCE_SECONDS, daemon_thread


@expose
class Thing:
    def echo(self, value: Any) -> Any:
        return value

    def made(self, size: int) -> str:
        return "x" * size

    def serializer_id(self) -> int:
        return current_context.serializer_id

    def items(self) -> Iterator[str]:
        yield from "abc"

    def letters(self, count: int) -> Iterator[str]:
        yield from "x" * count

    def thread_name(self) -> str:
        return threading.current_thread().name

    def fail(self) -> None:
        secret_value = 12345  # noqa: F841
        raise ValueError("failed")


class LaterTests(unittest.TestCase):
    servertype = "thread"

    def setUp(self) -> None:
        before = config.as_dict()
        self.addCleanup(lambda: [setattr(config, name, value) for name, value in before.items()])
        config.SERVERTYPE = self.servertype
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.daemon = stack.enter_context(daemon_thread(Daemon()))
        self.uri = self.daemon.register(Thing())
        self.proxy = stack.enter_context(Proxy(self.uri))
        self.proxy.echo(1)


class OfProxies(LaterTests):
    def test_serializer(self) -> None:
        for name, number in (("json", 3), ("msgpack", 4), ("marshal", 2), ("serpent", 1)):
            config.SERIALIZER = name
            self.assertEqual(number, self.proxy.serializer_id())

    def test_a_serializer_of_the_proxy_itself_stays(self) -> None:
        self.proxy._pyroSerializer = "json"
        config.SERIALIZER = "msgpack"
        self.assertEqual(3, self.proxy.serializer_id())
        self.proxy._pyroSerializer = None
        self.assertEqual(4, self.proxy.serializer_id())

    def test_a_serializer_that_is_none_is_an_error_until_it_is_put_right(self) -> None:
        config.SERIALIZER = "nonsense"
        for _ in range(2):
            with self.assertRaisesRegex(ValueError, "nonsense"):
                self.proxy.echo(1)
        config.SERIALIZER = "serpent"
        self.assertEqual(1, self.proxy.echo(1))

    def test_message_size_when_sending_and_when_receiving(self) -> None:
        config.MAX_MESSAGE_SIZE = 2000
        with self.assertRaises(errors.ProtocolError):
            self.proxy.echo("x" * 5000)
        with self.assertRaises(errors.ProtocolError):
            self.proxy.made(5000)
        config.MAX_MESSAGE_SIZE = None
        self.assertEqual(5000, len(self.proxy.echo("x" * 5000)))

    def test_compression_of_requests_and_replies(self) -> None:
        with recorded(self.proxy) as replies:
            self.proxy.made(5000)
            config.COMPRESSION = True
            self.proxy.made(5000)
            config.COMPRESSION = False
            self.proxy.made(5000)
        self.assertEqual([False, True, False], [reply < 1000 for reply in replies])

    def test_wire_log(self) -> None:
        config.LOGWIRE = True
        for logger in ("Pyro5.connection", "Pyro5.server.dispatch"):
            with self.assertLogs(logger, "DEBUG") as logged:
                self.proxy.echo("look here")
            self.assertIn("look here", "".join(logged.output))

    def test_busy_polling(self) -> None:
        with mock.patch.object(busy_poll, "_processors", 2):
            for spinning in (True, False, True):
                config.SPINNING = spinning
                self.assertEqual(1, self.proxy.echo(1))
                receiver: Any = self.proxy._pyroConnection
                self.assertEqual(spinning, isinstance(receiver._incoming, busy_poll.PollingReceiver))

    def test_items_per_round_trip_of_a_stream_that_is_open(self) -> None:
        letters = self.proxy.letters(20)
        requests = [self.proxy._pyroSeq]
        for batch in (1, 10, 1):
            config.ITER_STREAM_BATCH = batch
            self.assertEqual("xxxxx", "".join(itertools.islice(letters, 5)))
            requests.append(self.proxy._pyroSeq)
        self.assertEqual([5, 1, 0], [after - before for before, after in zip(requests, requests[1:])])  # 5 came together
        self.assertEqual("xxxxx", "".join(letters))

    def test_read_once(self) -> None:
        config.COMMTIMEOUT, config.MAX_RETRIES = 5, 3
        self.assertEqual(1, self.proxy.echo(1))
        self.assertEqual((None, 0), (self.proxy._pyroTimeout, self.proxy._pyroMaxRetries))

    def test_other_connections_and_copies(self) -> None:
        copied = self.proxy.__copy__()
        config.SERIALIZER, config.MAX_MESSAGE_SIZE = "json", 2000
        self.proxy._pyroRelease()
        for proxy in (self.proxy, copied, self.proxy.__copy__()):
            with proxy:
                self.assertEqual(3, proxy.serializer_id())
                with self.assertRaises(errors.ProtocolError):
                    proxy.echo("x" * 5000)


@contextlib.contextmanager
def recorded(proxy: Any) -> Iterator[List[int]]:
    """Note the sizes of what a proxy receives."""
    sizes: List[int] = []
    connection = proxy._pyroConnection
    receiver = connection._incoming

    class Noting:
        recv_into = receiver.recv_into

        def recv(self, size: int) -> bytes:
            data: bytes = receiver.recv(size)
            sizes.append(len(data))
            return data

    # the connection asks for a receiver whenever a setting has changed
    receiver_for = busy_poll.receiver_for
    noting = Noting()
    connection._incoming = noting
    with mock.patch.object(busy_poll, "receiver_for", lambda sock, current=None, is_client=False: (
            noting if sock is connection.sock else receiver_for(sock, current, is_client))):
        yield sizes
    connection._incoming = receiver


class OfDaemons(LaterTests):
    def test_streaming(self) -> None:
        self.assertEqual("abc", "".join(self.proxy.items()))
        config.ITER_STREAMING = False
        with self.assertRaises(errors.ProtocolError):
            self.proxy.items()
        config.ITER_STREAMING = True
        self.assertEqual("abc", "".join(self.proxy.items()))

    def test_streams_that_are_open_do_not_outlive_their_connection_any_more(self) -> None:
        for linger, expected in ((0, errors.PyroError), (30, None)):
            config.ITER_STREAM_LINGER = linger
            items = self.proxy.items()
            next(items)
            self.proxy._pyroRelease()
            deadline = time.monotonic() + PATIENCE_SECONDS
            while any(not isinstance(owner, str) for owner in list(self.daemon._streams._owned)):  # it is still a connection
                self.assertLess(time.monotonic(), deadline)
            self.proxy._pyroReconnect()
            if expected is None:
                self.assertEqual("b", next(items))
            else:
                with self.assertRaisesRegex(expected, "terminated"):
                    next(items)

    def test_lifetime_of_streams_that_are_open(self) -> None:
        items = self.proxy.items()
        next(items)
        config.ITER_STREAM_LIFETIME = 1e-9
        with self.assertRaisesRegex(errors.PyroError, "terminated"):
            next(items)

    def test_number_of_streams(self) -> None:
        kept = self.proxy.items()
        config.MAX_STREAMS = 1
        with self.assertRaisesRegex(errors.PyroError, "too many"):
            self.proxy.items()
        self.assertEqual("abc", "".join(kept))

    def test_detailed_traceback(self) -> None:
        for detailed in (True, False):
            config.DETAILED_TRACEBACK = detailed
            with self.assertRaises(ValueError) as caught:
                self.proxy.fail()
            self.assertEqual(detailed, "secret_value = 12345" in "".join(caught.exception.__dict__["_pyroTraceback"]))

    def test_accepted_serializers(self) -> None:
        config.SERIALIZERS_ACCEPTED = ["json"]
        with self.assertRaisesRegex(errors.SerializeError, "not accepted"):
            self.proxy.echo(1)
        config.SERIALIZERS_ACCEPTED = ["json", "serpent"]
        self.assertEqual(1, self.proxy.echo(1))

    def test_size_of_requests(self) -> None:
        with Proxy(self.uri) as large:
            large.echo(1)
            request = self.request(large, "x" * 5000)
            config.MAX_MESSAGE_SIZE = 2000
            with self.assertLogs("Pyro5.server.loop", "WARNING"), self.assertRaises(errors.MessageTooLargeError):
                large._pyroConnection.send(request)
                raise self.exception(protocol.recv_stub(large._pyroConnection))

    def request(self, proxy: Any, value: str) -> bytes:
        """Encode a call by hand, as a client with other settings would."""
        serializer = serializers.serializers["serpent"]
        payload = serializer.dumpsCall(self.uri.object, "echo", (value,), {})
        return protocol.SendingMessage(protocol.MSG_INVOKE, 0, 77, serializer.serializer_id, payload).data

    def exception(self, reply: Any) -> BaseException:
        found = serializers.serializers["serpent"].loads(reply.data)
        assert isinstance(found, BaseException)
        return found

    def test_number_of_clients(self) -> None:
        config.MAX_CONNECTIONS = 1
        with self.assertLogs("Pyro5.server.loop", "WARNING"), Proxy(self.uri) as other:
            with self.assertRaisesRegex(errors.CommunicationError, "busy"):
                other.echo(1)
        config.MAX_CONNECTIONS = 0
        with Proxy(self.uri) as other:
            self.assertEqual(1, other.echo(1))

    def test_oneway_calls_in_threads_or_not(self) -> None:
        seen: List[str] = []
        done = threading.Event()

        @expose
        class Noting:
            def note(self) -> None:
                seen.append(threading.current_thread().name)
                done.set()
        uri = self.daemon.register(Noting())
        with Proxy(uri) as proxy:
            proxy._pyroBind()
            proxy._pyroOneway.add("note")
            for threaded in (True, False):
                config.ONEWAY_THREADED = threaded
                done.clear()
                proxy.note()
                self.assertTrue(done.wait(PATIENCE_SECONDS))
                self.assertEqual(threaded, seen[-1].startswith("Pyro-oneway"))


class OfMultiplexDaemons(OfDaemons):
    servertype = "multiplex"


if __name__ == "__main__":
    unittest.main()
