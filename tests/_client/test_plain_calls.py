"""Plain calls of proxies: they do the same as others, and only if nothing else is asked for."""
from __future__ import annotations

import contextlib
import socket
import struct
import threading
import unittest
import uuid
from typing import Any, Callable, Iterator, List, Tuple
from unittest import mock

from Pyro5 import client, config, configure, errors, serializers
from Pyro5._client import plain_calls
from Pyro5._client.retry import Retry
from Pyro5._net import forks
from Pyro5._objects.exposure import expose, oneway
from Pyro5._wire import features
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.serializers import SerializerBase
from Pyro5.server import Daemon

from ..peers import PATIENCE_SECONDS, settings
from ..support import daemon_thread


@expose
class Target:
    def __init__(self, release: threading.Event) -> None:
        self.release, self._color = release, "blue"

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @expose(idempotent=True)
    def repeatable(self, value: int) -> int:
        return value

    def text(self, size: int) -> str:
        return "x" * size

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def count(self, number: int) -> Iterator[int]:
        return iter(range(number))

    def context(self) -> Any:
        context: Any = current_context
        return [context.correlation_id.hex, sorted(context.annotations)]

    @property
    def color(self) -> str:
        return self._color

    @color.setter
    def color(self, color: str) -> None:
        if not color:
            raise ValueError("no color")
        self._color = color

    def seconds_left(self) -> Any:
        return current_context.time_remaining()

    def wait(self) -> None:
        self.release.wait(PATIENCE_SECONDS)

    def annotate(self) -> None:
        current_context.response_annotations = {"ANNO": b"value"}

    @oneway
    def tell(self) -> None:
        pass


class PlainCallsTestCase(unittest.TestCase):
    def setUp(self) -> None:
        at_end = contextlib.ExitStack()
        self.addCleanup(at_end.close)
        daemon = at_end.enter_context(daemon_thread(Daemon("127.0.0.1", 0)))
        self.release = threading.Event()
        at_end.callback(self.release.set)
        self.uri = daemon.register(Target(self.release))
        self.proxy: Any = at_end.enter_context(Proxy(self.uri))
        self.proxy._pyroBind()

    def made(self, call: Callable[[], Any]) -> Tuple[Any, bool]:
        """Return the result of a call, and whether it was a plain one."""
        plain: List[bool] = []
        original = plain_calls.call_plainly

        def noted(*arguments: Any) -> Any:
            try:
                result = original(*arguments)
            except BaseException:
                plain.append(True)
                raise
            plain.append(result is not plain_calls.NOT_MADE)
            return result
        with mock.patch.object(client, "call_plainly", noted):
            return call(), any(plain)

    def assert_plain(self, expected: bool, call: Callable[[], Any]) -> Any:
        result, is_plain = self.made(call)
        self.assertIs(expected, is_plain)
        return result


class Results(PlainCallsTestCase):
    def test_both_ways_do_the_same(self) -> None:
        calls: List[Any] = [((), {}), ((1, 2.5, None, True), {}), (("text",), {}), ((1,), {"named": "x"}),
                            (([1, {"a": [2, "b"]}],), {}), (tuple(range(5000)), {}), ((["x" * 9000] * 5,), {}),
                                 (("x" * 50000, "\xe9"), {}), (("x" * 100000, 1, "y" * 100000), {})]
        for serializer in serializers.serializers:
            self.proxy._pyroSerializer = serializer
            for args, kwargs in calls:
                with self.subTest(serializer=serializer, args=len(args), kwargs=kwargs):
                    results = [self.assert_plain(True, lambda: self.proxy.echo(*args, **kwargs))]  # noqa: B023
                    with mock.patch.object(client, "call_plainly", lambda *arguments: plain_calls.NOT_MADE):
                        results.append(self.proxy.echo(*args, **kwargs))
                    self.assertEqual([[list(args), kwargs]] * 2, results)

    def test_bytes(self) -> None:
        for serializer in ("marshal", "msgpack"):
            if serializer in serializers.serializers:
                self.proxy._pyroSerializer = serializer
                for args in ((b"x",), (b"x" * 100000, "y" * 100000, 1)):
                    self.assertEqual([list(args), {}], self.assert_plain(True, lambda: self.proxy.echo(*args)))  # noqa: B023
                self.assert_plain(False, lambda: self.proxy.echo(b"x" * 300000))  # perhaps in shared memory
                self.assert_plain(False, lambda: self.proxy.echo([b"x" * 100000]))
        self.proxy._pyroSerializer = "serpent"
        self.assert_plain(False, lambda: self.proxy.echo(b"x" * 100000))

    def test_large_replies(self) -> None:
        for size in (100000, 100000, 300000, 200000, 10, 100000, 70000, 65, 0, 100000):
            self.assertEqual(size, len(self.assert_plain(True, lambda: self.proxy.text(size))))  # noqa: B023

    def test_exceptions_and_streams(self) -> None:
        with self.assertRaisesRegex(ValueError, "on purpose"):
            self.assert_plain(True, lambda: self.proxy.fail("on purpose"))
        self.assertEqual([0, 1, 2], list(self.assert_plain(True, lambda: self.proxy.count(3))))
        with self.assertRaisesRegex(AttributeError, "missing"):
            self.proxy.missing()
        self.assertEqual([[1], {}], self.assert_plain(True, lambda: self.proxy.echo(1)))

    def test_the_context(self) -> None:
        self.addCleanup(setattr, current_context, "correlation_id", None)
        ids = {self.assert_plain(True, self.proxy.context)[0] for _ in range(3)}
        self.assertEqual(3, len(ids))  # a new one for each
        current_context.correlation_id = known = uuid.uuid4()
        self.assertEqual([known.hex, []], self.assert_plain(True, self.proxy.context))
        self.proxy.annotate()
        self.assertEqual({"ANNO": b"value"}, {name: bytes(value) for name, value in
                                              current_context.response_annotations.items()})
        self.proxy.context()
        self.assertEqual({}, current_context.response_annotations)

    def test_arguments_that_cannot_be_sent(self) -> None:
        self.proxy._pyroSerializer = "marshal"
        with self.assertRaisesRegex(Exception, "cannot be sent|unmarshallable|serialize"):
            self.assert_plain(False, lambda: self.proxy.echo(object()))
        with settings(MAX_MESSAGE_SIZE=1000), self.assertRaisesRegex(errors.ProtocolError, "MAX_MESSAGE_SIZE"):
            self.proxy.echo(["x" * 900, "y" * 900])
        with settings(MAX_MESSAGE_SIZE=0), mock.patch.object(SerializerBase, "call_payload",
                                                             return_value=[bytes(1 << 20)] * 4096):
            for _ in range(2):  # the first one reads the settings, the second one is plain
                with self.assertRaisesRegex(struct.error, "calling echo of"):  # more than a header can announce
                    self.proxy.echo("x" * 100000)
        self.assertEqual([[1], {}], self.proxy.echo(1))

    def test_a_connection_that_is_lost(self) -> None:
        self.proxy._pyroConnection.sock.shutdown(2)
        with self.assertRaises(errors.ConnectionClosedError):
            self.assert_plain(True, lambda: self.proxy.echo(1))
        self.assertEqual([[2], {}], self.proxy.echo(2))

    def test_an_interrupted_call_ends_the_connection(self) -> None:
        before = self.proxy._pyroConnection
        with mock.patch.object(before, "_incoming", mock.Mock(recv=mock.Mock(side_effect=KeyboardInterrupt))):
            with self.assertRaises(KeyboardInterrupt):
                self.assert_plain(True, lambda: self.proxy.echo(1))
        self.assertEqual([[2], {}], self.proxy.echo(2))  # and not the reply to the first one
        self.assertIsNot(before, self.proxy._pyroConnection)


class WhatIsPlain(PlainCallsTestCase):
    def assert_other_way(self, change: Callable[[], Any], back: Callable[[], Any]) -> None:
        """Make a call that is no plain one while something is different."""
        self.assert_plain(True, lambda: self.proxy.echo(1))
        change()
        try:
            self.assertEqual([[2], {}], self.assert_plain(False, lambda: self.proxy.echo(2)))
        finally:
            back()
        self.proxy.echo(3)
        self.assert_plain(True, lambda: self.proxy.echo(4))

    def test_arguments(self) -> None:
        self.assert_plain(False, lambda: self.proxy.echo(named="x" * 100000))
        for value in (b"x" * 100000, [b"x" * 100000], bytearray(b"x"), uuid.uuid4(), [[[[[[[[[[[1]]]]]]]]]]]):
            self.assert_plain(False, lambda: self.proxy.echo(value))  # noqa: B023
            self.assert_plain(False, lambda: self.proxy.echo(named=value))  # noqa: B023

    def test_oneway(self) -> None:
        self.assert_plain(False, self.proxy.tell)
        self.assert_plain(False, lambda: self.proxy.echo.tell(1))

    def test_options_of_the_proxy(self) -> None:
        for name, value in (("_pyroRetry", Retry(attempts=2)), ("_pyroMaxRetries", 1)):
            before = getattr(self.proxy, name)
            with self.subTest(name):
                self.proxy.echo(0)  # connects
                setattr(self.proxy, name, value)
                self.assertEqual([[1], {}], self.assert_plain(True, lambda: self.proxy.echo(1)))
                self.assertEqual([0, 1], list(self.assert_plain(True, lambda: self.proxy.count(2))))
                with self.assertRaisesRegex(ValueError, "on purpose"):
                    self.assert_plain(True, lambda: self.proxy.fail("on purpose"))
                self.proxy._pyroConnection.sock.shutdown(socket.SHUT_RDWR)
                self.assertEqual(2, self.proxy.repeatable(2))
                setattr(self.proxy, name, before)
                self.proxy._pyroConnection.sock.shutdown(socket.SHUT_RDWR)
                with self.assertRaises(errors.ConnectionClosedError):
                    self.proxy.echo(3)
        self.proxy._pyroRawWireResponse = True
        self.assertIsNotNone(self.assert_plain(False, lambda: self.proxy.echo(1)).data)

    def test_timeouts(self) -> None:
        self.assertIsNone(self.assert_plain(True, self.proxy.seconds_left))
        for timeout in (PATIENCE_SECONDS, 1000.5):
            self.proxy._pyroTimeout = timeout
            for _ in range(3):
                self.assertTrue(timeout - PATIENCE_SECONDS < self.assert_plain(True, self.proxy.seconds_left) <= timeout)
            self.assertEqual([["x" * 100000], {}], self.assert_plain(True, lambda: self.proxy.echo("x" * 100000)))
        self.proxy._pyroTimeout = 5
        self.assertEqual(features.deadline_chunk(4.9995),  # as all other calls, which need some time until they are sent
                         plain_calls._new_form(self.proxy._pyro, self.proxy._pyroConnection).annotations)
        self.proxy._pyroTimeout = 0.01
        with self.assertRaises(errors.TimeoutError):
            self.assert_plain(True, self.proxy.wait)
        self.proxy._pyroTimeout = None
        self.release.set()
        self.assertIsNone(self.proxy.seconds_left())
        self.proxy._pyroTimeout = 1e-9
        with self.assertRaisesRegex(errors.TimeoutError, "the deadline of the call has passed") as caught:
            self.proxy.echo(1)
        self.assertIs(False, caught.exception.sent)
        with settings(COMMTIMEOUT=PATIENCE_SECONDS):
            self.proxy._pyroTimeout = -1
            self.proxy.echo(1)
            self.assertTrue(0 < self.assert_plain(True, self.proxy.seconds_left) <= PATIENCE_SECONDS)

    def test_options_of_a_call(self) -> None:
        call = self.proxy.echo.options(timeout=PATIENCE_SECONDS)
        self.assertEqual([[1], {}], self.assert_plain(False, lambda: call(1)))

    def test_exclusive_use(self) -> None:
        with self.proxy._pyroExclusive():
            self.assert_plain(False, lambda: self.proxy.echo(1))
        self.proxy.echo(1)
        self.assert_plain(True, lambda: self.proxy.echo(1))

    def test_settings(self) -> None:
        for name, value in (("COMPRESSION", True), ("LOGWIRE", True), ("MAX_MESSAGE_SIZE", 5000)):
            before = getattr(config, name)
            with self.subTest(name):
                self.assert_other_way(lambda: setattr(config, name, value),  # noqa: B023
                                      lambda: setattr(config, name, before))  # noqa: B023

    def test_settings_that_another_thread_is_reading(self) -> None:
        link, connection = self.proxy._pyro, self.proxy._pyroConnection
        self.proxy.echo(1)

        def look(_max_size: int) -> None:
            connection.form = plain_calls._new_form(link, connection)
        with settings(LOGWIRE=True):
            with mock.patch.object(type(connection), "read_settings", side_effect=look):
                link._read_settings()
            self.assert_plain(False, lambda: self.proxy.echo(1))

    def test_annotations(self) -> None:
        self.assert_other_way(lambda: setattr(current_context, "annotations", {"ABCD": b"1"}),
                              lambda: setattr(current_context, "annotations", {}))

    def test_attributes(self) -> None:
        self.assertEqual("blue", self.assert_plain(True, lambda: self.proxy.color))
        self.assert_plain(True, lambda: setattr(self.proxy, "color", "red"))
        self.assertEqual("red", self.proxy.color)
        with self.assertRaisesRegex(ValueError, "no color"):
            self.assert_plain(True, lambda: setattr(self.proxy, "color", ""))
        asked: List[Any] = []
        self.proxy._pyroInvoke = lambda *arguments: asked.append(arguments[:2])
        self.assertIsNone(self.made(lambda: self.proxy.color)[0])
        self.made(lambda: setattr(self.proxy, "color", "green"))
        self.assertEqual([("__getattr__", ("color",)), ("__setattr__", ("color", "green"))], asked)

    def test_attributes_are_accessed_by_the_proxy_itself(self) -> None:
        callers: List[Proxy] = []

        def invoke(proxy: Proxy, name: str, args: Any, kwargs: Any) -> Any:
            callers.append(proxy)
        with mock.patch.object(Proxy, "_pyroInvoke", invoke):
            self.assertIsNone(self.proxy.color)
            self.proxy.color = "green"
        self.assertIs(self.proxy, callers[0])
        self.assertIs(self.proxy, callers[1])
        for name, value in (("_pyroTimeout", None), ("_pyroMaxRetries", 1), ("_pyroRetry", Retry(attempts=2))):
            setattr(self.proxy, name, value)
            self.proxy.echo(1)
            self.assertIn("echo", self.proxy.__dict__)
            self.proxy._pyroRelease()
            self.assertEqual("blue", self.proxy.color)
            self.assertNotIn("echo", self.proxy.__dict__)  # after reconnecting, the object may be another one

    def test_methods_that_are_replaced(self) -> None:
        with mock.patch.object(Proxy, "_pyroInvoke", lambda *args, **options: "replaced"):
            self.assertEqual("replaced", self.assert_plain(False, lambda: self.proxy.echo(1)))
        with mock.patch.object(Proxy, "_pyroAnnotations", lambda proxy: {"ABCD": b"1"}):
            self.assertEqual(["ABCD"], self.assert_plain(False, self.proxy.context)[1])

    def test_a_server_of_another_release(self) -> None:
        connection = self.proxy._pyroConnection
        connection.features = None
        self.assertEqual([[1], {}], self.assert_plain(False, lambda: self.proxy.echo(1)))

    def test_each_thread_over_its_own_connection(self) -> None:
        used: List[Any] = []

        def use() -> None:
            self.proxy.echo(1)
            self.proxy.echo(2)
            used.append(self.proxy._pyro.pool.by_thread[threading.get_ident()])
        self.proxy._pyroConnection.lock.acquire()  # in use
        try:
            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
        finally:
            self.proxy._pyroConnection.lock.release()
        self.assertIsNot(self.proxy._pyroConnection, used[0])
        self.assertGreater(used[0].idle_since, 0)
        self.assertEqual([[3], {}], self.assert_plain(True, lambda: self.proxy.echo(3)))

    def test_a_process_that_was_forked_since(self) -> None:
        self.proxy.echo(1)
        before = self.proxy._pyro.fork_count
        self.proxy._pyro.fork_count = before - 1
        configure.global_version.renew()  # as each child process does
        self.assertEqual([[2], {}], self.assert_plain(False, lambda: self.proxy.echo(2)))

    def test_a_fork_between_the_beginning_of_a_call_and_its_request(self) -> None:
        link = self.proxy._pyro

        def fork(_proxy: Any) -> Any:
            forks.note()  # what a child process finds
            configure.global_version.renew()
            return {}
        self.proxy.echo(1)
        with mock.patch.object(Proxy, "_pyroAnnotations", fork):
            self.proxy.echo(2)
        inherited = link.connection
        self.assert_plain(False, lambda: self.proxy.echo(3))
        self.assertIsNot(inherited, link.connection)


if __name__ == "__main__":
    unittest.main()
