"""Async methods and asynchronous generators in both server types."""
from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import queue
import socket
import threading
import time
import unittest
from typing import Any, AsyncIterator, Dict, Iterator, List
from unittest import mock

from Pyro5 import aio, config, errors, protocol
from Pyro5._aio_server import calls
from Pyro5._calls import async_loop
from Pyro5._messages import requests
from Pyro5._messages.requests import WireOptions
from Pyro5.api import BatchProxy, Daemon, Proxy, behavior, current_context, expose, oneway
from Pyro5.serializers import get_serializer

from .support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


class Stage:
    """Events let a test wait for a method, and a method for a test; coroutines wait for them without blocking."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.notes: List[Any] = []
        self.gates: queue.Queue[Any] = queue.Queue()  # of the waiting methods

    async def _wait(self) -> None:
        gate = asyncio.Event()
        self.gates.put((asyncio.get_running_loop(), gate))
        self.begun.set()
        await gate.wait()

    def open_gate(self) -> None:
        """Make the method that has been waiting longest go on."""
        loop, event = self.gates.get(timeout=PATIENCE_SECONDS)
        loop.call_soon_threadsafe(event.set)

    @expose
    async def add(self, one: Any, two: Any = 0) -> Any:
        await asyncio.sleep(0)
        return one + two

    @expose
    def plain(self, value: Any = None) -> Any:
        self.notes.append(value)
        return threading.current_thread().name

    @expose
    async def thread(self) -> str:
        return threading.current_thread().name

    @expose
    async def wait(self, value: Any = None) -> Any:
        try:
            await self._wait()
            return value
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise
        finally:
            self.ended.set()

    @expose
    @oneway
    async def note_later(self, value: Any) -> None:
        await self._wait()
        self.notes.append(value)
        self.ended.set()

    @expose
    @oneway
    async def note(self, value: Any) -> None:
        await asyncio.sleep(0)
        self.notes.append(value)

    @expose
    async def fail(self, text: str) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError(text)

    @expose
    async def cancel_itself(self) -> None:
        raise asyncio.CancelledError("by the method")

    @expose
    async def give_up(self) -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    @expose
    async def leave(self, kind: str) -> None:
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt}[kind]()

    @expose
    async def unserializable(self) -> Any:
        return threading.Lock()

    @expose
    async def context(self) -> Any:
        async def inner() -> Any:
            return str(current_context.correlation_id)

        current_context.response_annotations = {"STAG": b"answer"}
        return [await asyncio.ensure_future(inner()), bytes(current_context.annotations["ASKD"]).decode(),
                current_context.client_sock_addr == current_context.client.peer_address, current_context.time_remaining()]

    @expose
    async def cancelled_event(self) -> bool:
        event = current_context.cancelled
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.notes.append(event.is_set())
            self.ended.set()
        return False

    @expose
    async def track(self) -> None:
        self.resource = Resource(self.ended)
        current_context.track_resource(self.resource)

    @expose
    async def stubborn(self) -> None:
        self.begun.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    @expose
    async def close_daemon(self) -> str:
        closing = self._pyroDaemon.close()  # type: ignore[attr-defined]
        if closing is not None:  # that of Pyro5.aio is a coroutine function
            await closing
        return "closing"

    # ------------------------------------------------------------ streams

    @expose
    async def frames(self, count: int) -> AsyncIterator[Any]:
        try:
            for number in range(count):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            self.ended.set()

    @expose
    async def slow_frames(self) -> AsyncIterator[Any]:
        try:
            yield "first"
            await self._wait()
            yield "second"
        finally:
            self.ended.set()

    @expose
    async def broken_frames(self) -> AsyncIterator[Any]:
        yield 1
        yield 2
        raise ZeroDivisionError("in the stream")

    @expose
    async def ordinary_frames(self) -> Iterator[int]:
        return iter([1, 2, 3])


class Resource:
    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed

    def close(self) -> None:
        self._closed.set()


class Counting:
    created: List[Any] = []

    def __init__(self) -> None:
        self.count = 0
        self.created.append(self)

    @expose
    async def increment(self) -> int:
        await asyncio.sleep(0)
        self.count += 1
        return self.count


class AsyncTestCase(unittest.TestCase):
    """A daemon of the server type that a subclass names, or of ``Pyro5.aio``, with a `Stage`."""

    servertype = ""
    loop_thread = "Pyro-asyncio"  # the name of the thread that runs the event loop

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        if self.servertype != "aio":
            config.SERVERTYPE = self.servertype
        config.THREADPOOL_SIZE = 2
        config.THREADPOOL_SIZE_MIN = 1
        self.start()

    def start(self) -> None:
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        self.daemon: Any = (self.at_end.enter_context(aio_daemon_thread(aio.Daemon())) if self.servertype == "aio"
                            else self.at_end.enter_context(daemon_thread(Daemon())))
        self.stage = Stage()
        self.uri = self.daemon.register(self.stage)
        self.proxy = self.connect()

    def connect(self, uri: Any = None) -> Any:
        proxy = Proxy(uri or self.uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")

    def set_shutdown_timeout(self, seconds: float) -> None:
        config.SHUTDOWN_TIMEOUT = seconds
        if self.servertype != "aio":
            self.daemon.transportServer.read_settings()

    def raw_client(self) -> socket.socket:
        """Return the socket of a connected client, which the test may close without notice."""
        self.other = self.connect()
        self.other._pyroBind()
        return self.other._pyroConnection.sock  # type: ignore[no-any-return]


class Cases:
    """All tests; a class of their own, so that they run only in its subclasses."""

    class Calls(AsyncTestCase):
        def test_results_and_arguments(self) -> None:
            self.assertEqual(3, self.proxy.add(1, 2))
            self.assertEqual("ab", self.proxy.add("a", two="b"))
            self.assertEqual(self.loop_thread, self.proxy.thread())
            self.assertNotEqual(self.loop_thread, self.proxy.plain())
            with self.assertRaisesRegex(TypeError, r"add\(\)"):
                self.proxy.add()

        def test_metadata_lists_them_as_methods(self) -> None:
            self.proxy._pyroBind()
            self.assertLessEqual({"add", "plain", "frames"}, self.proxy._pyroMethods)
            self.assertLessEqual({"note"}, self.proxy._pyroOneway)

        def test_no_thread_waits_for_them(self) -> None:
            futures = [self.connect().wait.future(number) for number in range(3)]
            self.wait_for(self.stage.begun)
            self.assertEqual(5, self.connect().add(2, 3))
            self.assertTrue(self.connect().plain())
            for _ in futures:
                self.stage.open_gate()
            self.assertEqual([0, 1, 2], [future.result(PATIENCE_SECONDS) for future in futures])

        def test_requests_of_one_connection_keep_their_order(self) -> None:
            self.proxy._pyroBind()
            serializer, wire, object_id = get_serializer("serpent"), WireOptions(), self.uri.object
            calls = [("wait", ("first",)), ("plain", ()), ("add", (1, 2))]
            messages = [requests.invoke_request(serializer, seq, 0, object_id, method, args, {}, wire)
                        for seq, (method, args) in enumerate(calls, 100)]
            self.proxy._pyroConnection.sock.sendall(b"".join(bytes(data) for message in messages for data in message.buffers))
            self.wait_for(self.stage.begun)
            self.assertEqual([], self.stage.notes)
            self.stage.open_gate()
            replies = [protocol.recv_stub(self.proxy._pyroConnection) for _ in range(3)]
            self.assertEqual([100, 101, 102], [reply.seq for reply in replies])
            self.assertEqual(["first", 3], [serializer.loads(reply.data) for reply in replies[::2]])

        def test_exceptions(self) -> None:
            seen: List[Any] = []
            self.daemon.methodcall_error_handler = lambda daemon, client, method, args, kwargs, error: seen.append(
                (daemon is self.daemon, method.__name__, args, dict(kwargs), str(error)))
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING), \
                    self.assertRaisesRegex(ZeroDivisionError, "text") as caught:
                self.proxy.fail("text")
            remote = "".join(caught.exception._pyroTraceback)  # type: ignore[attr-defined]
            self.assertIn("raise ZeroDivisionError(text)", remote)
            self.assertNotIn("async_loop", remote)
            self.assertEqual([(True, "fail", ["text"], {}, "text")],
                             [(*entry[:2], list(entry[2]), *entry[3:]) for entry in seen])

        def test_values_that_cannot_be_sent(self) -> None:
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING), \
                    self.assertRaisesRegex(errors.SerializeError, "lock"):
                self.proxy.unserializable()
            self.assertEqual(1, self.proxy.add(1))

        def test_a_method_that_ends_with_cancelled_error(self) -> None:
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING), \
                    self.assertRaisesRegex(errors.CancelledError, "asyncio.CancelledError"):
                self.proxy.cancel_itself()
            self.assertEqual(1, self.proxy.add(1))

        def test_exits_and_interrupts_end_the_connection_only(self) -> None:
            # The event loop of the program raises KeyboardInterrupt, because Ctrl-C interrupts any task in the main thread.
            for kind in ("exit",) if self.servertype == "aio" else ("exit", "interrupt"):
                with self.assertLogs("Pyro5.server.async_methods", logging.WARNING), \
                        self.assertRaises(errors.ConnectionClosedError):
                    self.proxy.leave(kind)
                self.assertEqual(3, self.proxy.add(1, 2))

        def test_context(self) -> None:
            current_context.annotations = {"ASKD": b"question"}
            self.addCleanup(setattr, current_context, "annotations", {})
            correlation, asked, same, remaining = self.proxy.context.options(timeout=PATIENCE_SECONDS)()
            self.assertEqual(36, len(correlation))
            self.assertEqual(("question", True), (asked, same))
            self.assertLess(0, remaining)
            self.assertEqual(b"answer", bytes(current_context.response_annotations["STAG"]))

        def test_instance_modes(self) -> None:
            results: Dict[str, Any] = {}
            for mode in ("session", "single", "percall"):
                clazz = behavior(mode)(type("Counter", (Counting,), {}))  # type: ignore[arg-type]
                uri = self.daemon.register(clazz)
                with Proxy(uri) as one, Proxy(uri) as two:
                    results[mode] = [one.increment(), two.increment(), one.increment()]
            self.assertEqual({"session": [1, 1, 2], "single": [1, 2, 3], "percall": [1, 1, 1]}, results)

        def test_session_instances_are_closed_in_the_event_loop(self) -> None:
            closed = threading.Event()

            class Session(Counting):
                async def close(self) -> None:
                    await asyncio.sleep(0)
                    closed.set()

            with Proxy(self.daemon.register(Session)) as proxy:
                proxy.increment()
            self.wait_for(closed)

        def test_timeouts_of_asyncio(self) -> None:
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING), self.assertRaises(TimeoutError):
                self.proxy.give_up()

        def test_names_exposed_when_registering(self) -> None:
            class Bare:
                async def double(self, value: int) -> int:
                    return 2 * value

            with Proxy(self.daemon.register(Bare(), expose=["double"])) as proxy:
                self.assertEqual(6, proxy.double(3))

        def test_tracked_resources(self) -> None:
            self.proxy.track()
            self.proxy._pyroRelease()
            self.wait_for(self.stage.ended)

        def test_exclusive_use(self) -> None:
            with self.proxy._pyroExclusive():
                self.assertEqual(1, self.proxy.add(1))
                with self.assertRaises(errors.BusyError):
                    self.connect().add.options(retry=None)(1)

        def test_connections_leave_no_cycles(self) -> None:
            gc.collect()
            self.addCleanup(gc.enable)
            gc.disable()
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING), contextlib.suppress(ZeroDivisionError):
                self.proxy.fail("text")
            self.proxy._pyroRelease()
            self.assertEqual(1, self.connect().add(1))
            self.assertEqual([], [thing for thing in gc.get_objects() if type(thing) is ZeroDivisionError])

    class OnewayAndBatches(AsyncTestCase):
        def test_oneway(self) -> None:
            self.assertIsNone(self.proxy.note_later("late"))
            self.proxy.plain("early")
            self.wait_for(self.stage.begun)
            self.assertEqual(["early"], self.stage.notes)
            self.stage.open_gate()
            self.wait_for(self.stage.ended)
            self.assertEqual(["early", "late"], self.stage.notes)

        def test_oneway_in_order(self) -> None:
            config.ONEWAY_THREADED = False
            for number in range(20):
                (self.proxy.note if number % 2 else self.proxy.plain)(number)
            self.proxy.plain("end")
            self.assertEqual([*range(20), "end"], self.stage.notes)

        def test_the_number_of_oneway_calls_is_limited(self) -> None:
            config.MAX_ONEWAY = 2
            self.proxy.add(1)
            for number in range(3):
                self.proxy.note_later(number)
            self.wait_for(self.stage.begun)
            reply = self.proxy.plain.future("after")
            # Reading is paused after two of them; when one has ended, one more is read.
            for _ in range(3):
                self.stage.open_gate()
            self.assertTrue(reply.result(PATIENCE_SECONDS))
            self.assertLessEqual(2, self.stage.notes.index("after"))

        def test_batch(self) -> None:
            batch = BatchProxy(self.proxy)
            for number in range(20):
                batch.add(number, 1)
                batch.plain(number)
            results = list(batch())
            self.assertEqual(list(range(1, 21)), results[::2])
            self.assertEqual(list(range(20)), self.stage.notes)
            self.assertNotIn("Pyro-asyncio", results)

        def test_batch_with_an_error(self) -> None:
            batch = BatchProxy(self.proxy)
            batch.add(1, 2)
            batch.fail("in a batch")
            batch.plain("never")
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                results = batch()
            self.assertEqual(3, next(results))
            with self.assertRaisesRegex(ZeroDivisionError, "in a batch"):
                next(results)
            self.assertEqual([], self.stage.notes)

        def test_batch_of_a_percall_class(self) -> None:
            uri = self.daemon.register(behavior("percall")(type("Counter", (Counting,), {})))
            batch = BatchProxy(self.connect(uri))
            for _ in range(3):
                batch.increment()
            self.assertEqual([1, 1, 1], list(batch()))

    class Cancellation(AsyncTestCase):
        def test_deadline(self) -> None:
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                for seconds in (0.05, 1.0, 10.0):  # on a busy machine the first may be over before the call begins
                    with self.assertRaises(errors.TimeoutError):
                        self.proxy.wait.options(timeout=seconds)()
                    if self.stage.begun.is_set():
                        break
                self.wait_for(self.stage.ended)
                self.assertEqual(1, self.proxy.add(1))
            self.assertEqual(["cancelled"], self.stage.notes)

        def test_cancelled_by_the_client(self) -> None:
            future = self.proxy.wait.future()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                self.assertTrue(future.cancel())
                self.wait_for(self.stage.ended)
                self.assertEqual(1, self.proxy.add(1))

        def test_lost_client(self) -> None:
            sock = self.raw_client()
            future = self.other.wait.future()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                sock.shutdown(socket.SHUT_RDWR)
                self.wait_for(self.stage.ended)
                with self.assertRaises(errors.CommunicationError):
                    future.result(PATIENCE_SECONDS)
                self.assertEqual(1, self.proxy.add(1))
            self.assertEqual(["cancelled"], self.stage.notes)

        def test_the_event_of_the_context(self) -> None:
            future = self.proxy.cancelled_event.future()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                future.cancel()
                self.wait_for(self.stage.ended)
                self.proxy.add(1)
            self.assertEqual([True], self.stage.notes)

        def test_a_batch(self) -> None:
            batch = BatchProxy(self.proxy)
            batch.wait()
            batch.plain("never")
            caller = threading.Thread(target=batch)
            caller.start()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING):
                [call] = [call for call in self.daemon._dispatcher.running._running if call.on_cancel]
                self.daemon._dispatcher.running.cancel(call.correlation_id)
                caller.join(PATIENCE_SECONDS)
            self.assertEqual(["cancelled"], self.stage.notes)

    class Streams(AsyncTestCase):
        def test_one_by_one_and_several_together(self) -> None:
            for size in (1, 3, 100):
                config.ITER_STREAM_BATCH = size
                self.assertEqual(list(range(7)), list(self.proxy.frames(7)))
                self.assertEqual([], list(self.proxy.frames(0)))
                self.wait_for(self.stage.ended)
                self.stage.ended.clear()
            self.assertEqual({}, dict(self.daemon.streaming_responses))

        def test_an_iterator_as_result_of_an_async_method(self) -> None:
            self.assertEqual([1, 2, 3], list(self.proxy.ordinary_frames()))

        def test_exceptions(self) -> None:
            for size in (1, 10):
                config.ITER_STREAM_BATCH = size
                frames = self.proxy.broken_frames()
                self.assertEqual([1, 2], [next(frames), next(frames)])
                with self.assertLogs("Pyro5.server.dispatch") if size == 1 else contextlib.nullcontext(), \
                        self.assertRaisesRegex(ZeroDivisionError, "in the stream"):
                    next(frames)
            self.assertEqual({}, dict(self.daemon.streaming_responses))

        def test_closing_closes_the_generator(self) -> None:
            frames = self.proxy.frames(1000)
            self.assertEqual(0, next(frames))
            frames.close()
            self.wait_for(self.stage.ended)

        def test_a_client_that_disconnects(self) -> None:
            frames = self.proxy.frames(1000)
            self.assertEqual(0, next(frames))
            config.ITER_STREAM_LINGER = 0
            self.proxy._pyroRelease()
            self.wait_for(self.stage.ended)

        def test_items_that_are_ready_do_not_wait_for_others(self) -> None:
            config.ITER_STREAM_BATCH = 10
            frames = self.proxy.slow_frames()
            self.assertEqual("first", next(frames))
            self.wait_for(self.stage.begun)
            self.stage.open_gate()
            self.assertEqual(["second"], list(frames))

        def test_a_cancelled_request_loses_no_item(self) -> None:
            frames = self.proxy.slow_frames()
            self.assertEqual("first", next(frames))
            [stream_id] = self.daemon.streaming_responses
            # whether the calls are logged depends on whether they had begun when they were late
            quiet = mock.patch.object(logging.getLogger("Pyro5.server.dispatch"), "disabled", True)
            with Proxy(self.daemon.uriFor("Pyro.Daemon")) as own, quiet:
                for seconds in (0.05, 1.0, 10.0):  # on a busy machine the first may be over before the call begins
                    with self.assertRaises(errors.TimeoutError):
                        own.get_next_stream_item.options(timeout=seconds)(stream_id)
                    if self.stage.begun.is_set():
                        break
                own.ping()  # after the reply
            self.stage.open_gate()
            self.assertEqual(["second"], list(frames))

        def test_closing_while_an_item_is_computed(self) -> None:
            frames = self.proxy.slow_frames()
            self.assertEqual("first", next(frames))
            other = self.connect(self.daemon.uriFor("Pyro.Daemon"))
            [stream_id] = self.daemon.streaming_responses
            item = other.get_next_stream_item.future(stream_id)
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.INFO):
                self.daemon._streams.close(stream_id)
                with self.assertRaisesRegex(errors.PyroError, "item stream terminated"):
                    item.result(PATIENCE_SECONDS)
            self.wait_for(self.stage.ended)

        def test_switched_off(self) -> None:
            config.ITER_STREAMING = False
            with self.assertRaisesRegex(errors.ProtocolError, "ITER_STREAMING"):
                self.proxy.frames(3)

        def test_the_end_of_the_daemon_closes_generators(self) -> None:
            frames = self.proxy.frames(1000)
            self.assertEqual(0, next(frames))
            self.at_end.close()
            self.assertTrue(self.stage.ended.is_set())

    class Ends(AsyncTestCase):
        def threads(self) -> List[str]:
            return [thread.name for thread in threading.enumerate() if thread.name == "Pyro-asyncio"]

        def test_the_thread_lives_from_the_first_call_to_the_end(self) -> None:
            if self.servertype == "aio":
                self.skipTest("it has no thread of its own for them")
            self.proxy.plain()
            self.assertEqual([], self.threads())
            self.proxy.add(1)
            self.assertEqual(["Pyro-asyncio"], self.threads())
            self.at_end.close()
            self.assertEqual([], self.threads())

        def test_running_methods_may_finish(self) -> None:
            self.set_shutdown_timeout(PATIENCE_SECONDS)
            future = self.proxy.wait.future("reply")
            self.wait_for(self.stage.begun)
            self.daemon.shutdown()
            self.stage.open_gate()
            self.assertEqual("reply", future.result(PATIENCE_SECONDS))

        def test_then_they_are_cancelled(self) -> None:
            self.set_shutdown_timeout(0.0)
            future = self.proxy.wait.future()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server.dispatch", logging.WARNING) as logged:
                self.at_end.close()
            self.assertEqual(["cancelled"], self.stage.notes)
            self.assertIn("the server is shutting down", logged.output[0])
            # The connection is closed without waiting for the reply, which may be faster.
            self.assertIsInstance(future.exception(PATIENCE_SECONDS), (errors.CommunicationError, errors.CancelledError))
            self.assertEqual([], self.threads())

        def test_a_method_that_never_ends(self) -> None:
            self.set_shutdown_timeout(0.0)
            future = self.proxy.stubborn.future()
            self.wait_for(self.stage.begun)
            with self.assertLogs("Pyro5.server", logging.WARNING) as logged, \
                    mock.patch.object(async_loop, "END_SECONDS", 0.05), mock.patch.object(calls, "END_SECONDS", 0.05):
                self.at_end.close()
            self.assertIn("does not end, although it was cancelled", logged.output[0])
            self.assertIsInstance(future.exception(PATIENCE_SECONDS), (errors.CommunicationError, errors.CancelledError))
            self.assertEqual([], self.threads())

        def test_oneway_methods_may_finish(self) -> None:
            self.set_shutdown_timeout(PATIENCE_SECONDS)
            self.proxy.note_later("late")
            self.wait_for(self.stage.begun)
            self.daemon.shutdown()
            self.stage.open_gate()
            self.at_end.close()
            self.assertEqual(["late"], self.stage.notes)

        def test_a_method_that_closes_its_daemon(self) -> None:
            begin = time.monotonic()
            self.assertEqual("closing", self.proxy.close_daemon())
            self.at_end.close()
            self.assertLess(time.monotonic() - begin, PATIENCE_SECONDS)

        @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
        def test_a_fork_of_the_process_has_no_part_in_it(self) -> None:
            self.proxy.add(1)
            child = os.fork()
            if not child:
                try:
                    self.daemon.shutdown()
                    os._exit(0 if not self.threads() else 1)
                finally:
                    os._exit(2)
            self.assertEqual(0, os.waitpid(child, 0)[1])
            self.assertEqual(1, self.proxy.add(1))


globals().update({"%s%s" % (servertype.capitalize(), name): type(servertype.capitalize() + name, (case,), {
    "servertype": servertype, "loop_thread": "event loop" if servertype == "aio" else "Pyro-asyncio", "__module__": __name__})
    for servertype in ("thread", "multiplex", "aio") for name, case in vars(Cases).items() if isinstance(case, type)})
