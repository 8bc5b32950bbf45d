"""Pyro5.aio.Daemon: where methods run, hooks, and the order of calls."""
from __future__ import annotations

import asyncio
import copy
import os
import pickle
import tempfile
import threading
import unittest
from typing import Any, Dict, Iterator, List

from Pyro5 import aio, config, errors
from Pyro5._objects.exposure import behavior, expose, oneway
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.serializers import SerializerBase
from tests._aio.base import AioTestCase, proxy
from tests.support import PATIENCE_SECONDS


class Rover:
    """The object that the tests call."""

    _pyroDaemon: Any = None

    def __init__(self) -> None:
        self.notes: List[Any] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._speed = 1

    @expose
    def plain(self) -> str:
        return threading.current_thread().name

    @expose
    async def waiting(self) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    @expose(blocking=False)
    def quick(self) -> str:
        return threading.current_thread().name

    @expose(blocking=False)
    async def quick_and_waiting(self) -> str:
        return threading.current_thread().name

    @expose
    @property
    def where(self) -> str:
        return threading.current_thread().name

    @expose(blocking=False)
    @property
    def speed(self) -> List[Any]:
        return [self._speed, threading.current_thread().name]

    @speed.setter
    def speed(self, value: int) -> None:
        self._speed = value
        self.notes.append(threading.current_thread().name)

    @expose
    def items(self) -> Iterator[str]:
        yield threading.current_thread().name

    @expose
    def block(self, value: Any) -> Any:
        self.begun.set()
        if not self.go_on.wait(PATIENCE_SECONDS):
            raise AssertionError("the test does not go on")
        self.notes.append(value)
        return value

    @expose
    @oneway
    def note(self, value: Any) -> None:
        self.notes.append((value, threading.current_thread().name))

    @expose(blocking=False)
    @oneway
    def note_quickly(self, value: Any) -> None:
        self.notes.append((value, threading.current_thread().name))

    @expose
    def fail(self) -> None:
        raise ZeroDivisionError("in a thread")

    @expose(blocking=False)
    def exit(self) -> None:
        raise SystemExit(3)

    @expose
    def exit_in_thread(self) -> None:
        raise SystemExit(3)

    @expose
    def context(self) -> Any:
        current_context.response_annotations = {"RPLY": b"from the method"}
        return [str(current_context.correlation_id), current_context.client.peer_address == current_context.client_sock_addr]

    @expose
    def stop(self) -> str:
        self._pyroDaemon.shutdown()
        return "stopping"

    @expose
    async def stop_and_wait(self) -> str:
        await self._pyroDaemon.close()
        return "stopping"


class DaemonTestCase(AioTestCase):
    """A test with a daemon in the event loop of the test."""

    async def begin(self, daemon: Any, registered: Any = None) -> Any:
        """Make a daemon serve an object until the end of the test, and return a proxy for it."""
        await daemon
        self.addAsyncCleanup(daemon.close)
        self.rover = Rover() if registered is None else registered
        return self.connect(daemon.register(self.rover, "rover"))

    def connect(self, uri: Any) -> Any:
        connected = proxy(uri)
        self.addAsyncCleanup(connected._pyroRelease)
        return connected


async def in_thread(function: Any, *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


class Places(DaemonTestCase):
    async def test_where_methods_run(self) -> None:
        rover = await self.begin(aio.Daemon())
        here = threading.current_thread().name
        self.assertEqual([await rover.plain(), await rover.where], ["Pyro-worker", "Pyro-worker"])
        self.assertEqual([await rover.waiting(), await rover.quick(), await rover.quick_and_waiting()], [here] * 3)
        await aio.setattr(rover, "speed", 5)
        self.assertEqual(await rover.speed, [5, here])
        self.assertEqual([item async for item in rover.items()], ["Pyro-worker"])

    async def test_where_requests_are_decoded(self) -> None:
        """Long ones in a thread, so that the loop serves others meanwhile; the method itself still runs where it belongs."""
        rover = await self.begin(aio.Daemon())
        here, places = threading.current_thread().name, []

        def note_place(name: str, value: Any) -> str:
            places.append(threading.current_thread().name)
            return "noted"

        SerializerBase.register_dict_to_class("tests.Place", note_place)
        self.addCleanup(SerializerBase.unregister_dict_to_class, "tests.Place")
        for length, expected in ((10, here), (9000, "Pyro-worker")):
            await rover.note_quickly([{"__class__": "tests.Place"}, "x" * length])
            await rover.plain()
            self.assertEqual(([(["noted", "x" * length], here)], [expected]), (self.rover.notes, places))
            self.rover.notes.clear()
            places.clear()

    async def test_long_requests_leave_threads_to_others(self) -> None:
        config.THREADPOOL_SIZE = 4
        rover = await self.begin(aio.Daemon())
        await rover.plain()
        calls = []
        for _ in range(6):
            other = copy.copy(rover)
            self.addAsyncCleanup(other._pyroRelease)
            await other.quick()  # connected
            calls.append(asyncio.create_task(other.block("x" * 9000)))
        await self.wait_for_event(self.rover.begun)
        for _ in range(3):
            await rover.quick()
        self.assertEqual(await rover.plain(), "Pyro-worker")
        self.rover.go_on.set()
        await asyncio.gather(*calls)

    async def test_where_calls_of_a_batch_run(self) -> None:
        rover = await self.begin(aio.Daemon())
        here = threading.current_thread().name
        batch = aio.BatchProxy(rover)
        for name in ("plain", "quick", "waiting", "quick_and_waiting", "plain"):
            getattr(batch, name)()
        self.assertEqual(list(await batch()), ["Pyro-worker", here, here, here, "Pyro-worker"])

    async def test_where_oneway_calls_run(self) -> None:
        rover = await self.begin(aio.Daemon())
        for threaded, name in ((True, "Pyro-oneway"), (False, "Pyro-worker")):
            config.ONEWAY_THREADED = threaded
            await rover.note(1)
            await rover.plain()
            while not self.rover.notes:
                await asyncio.sleep(0.001)
            self.assertEqual(self.rover.notes.pop(), (1, name))
        await rover.note_quickly(2)
        await rover.plain()
        self.assertEqual(self.rover.notes, [(2, threading.current_thread().name)])

    async def test_a_blocking_method_does_not_block_the_loop(self) -> None:
        rover = await self.begin(aio.Daemon())
        other = copy.copy(rover)
        self.addAsyncCleanup(other._pyroRelease)
        call = asyncio.create_task(rover.block("done"))
        await self.wait_for_event(self.rover.begun)
        self.assertEqual(await other.quick(), threading.current_thread().name)
        self.assertEqual(await other.plain(), "Pyro-worker")
        self.rover.go_on.set()
        self.assertEqual(await call, "done")

    async def test_calls_of_one_connection_run_one_after_the_other(self) -> None:
        rover = await self.begin(aio.Daemon(), _SessionRover)
        _SessionRover.created.clear()
        calls = [asyncio.create_task(rover.block(number)) if number % 2 == 0 else asyncio.create_task(rover.quick())
                 for number in range(6)]
        while not (_SessionRover.created and _SessionRover.created[0].begun.is_set()):
            await asyncio.sleep(0.001)
        self.assertFalse(calls[1].done())
        _SessionRover.created[0].go_on.set()
        await asyncio.gather(*calls)
        self.assertEqual([each.notes for each in _SessionRover.created], [[0, 2, 4]])

    async def test_a_client_keeps_its_thread(self) -> None:
        class Named(Rover):
            @expose
            def identity(self) -> int:
                return threading.get_ident()

        rover = await self.begin(aio.Daemon(), Named())
        other = copy.copy(rover)
        self.addAsyncCleanup(other._pyroRelease)
        first, second = [await rover.identity(), await other.identity()]
        for _ in range(3):
            self.assertEqual([await rover.identity(), await other.identity()], [first, second])
        self.assertNotEqual(first, second)

    async def test_exceptions(self) -> None:
        seen: List[Any] = []
        daemon = aio.Daemon()
        daemon.methodcall_error_handler = lambda *args: seen.append((args[0] is daemon, args[2].__name__, str(args[5])))
        rover = await self.begin(daemon)
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"), \
                self.assertRaisesRegex(ZeroDivisionError, "in a thread") as caught:
            await rover.fail()
        self.assertIn("in fail", "".join(caught.exception._pyroTraceback))  # type: ignore[attr-defined]
        self.assertEqual(seen, [(True, "fail", "in a thread")])

    async def test_exits_end_the_connection_only(self) -> None:
        rover = await self.begin(aio.Daemon())
        for method in (rover.exit, rover.exit_in_thread):
            with self.assertLogs("Pyro5.server", "WARNING"), self.assertRaises(errors.ConnectionClosedError):
                await method()
            self.assertEqual(await rover.plain(), "Pyro-worker")

    async def test_the_context_in_a_thread(self) -> None:
        rover = await self.begin(aio.Daemon())
        correlation_id, is_same = await rover.context()
        self.assertEqual((len(correlation_id), is_same), (36, True))
        self.assertEqual(bytes(current_context.response_annotations["RPLY"]), b"from the method")

    async def test_a_deadline_that_passes_before_a_thread_is_free(self) -> None:
        config.THREADPOOL_SIZE = config.THREADPOOL_SIZE_MIN = 1
        daemon = aio.Daemon()
        rover = await self.begin(daemon)
        other = copy.copy(rover)
        self.addAsyncCleanup(other._pyroRelease)
        await other  # the time below is for the call alone
        call = asyncio.create_task(rover.block("first"))
        await self.wait_for_event(self.rover.begun)
        seconds = 0.2
        while not daemon.transportServer.pool.waiting_jobs():  # on a busy machine, the request may arrive too late itself
            with self.assertRaises(errors.TimeoutError):
                await other.block.options(timeout=seconds)("too late")
            seconds *= 2
        with self.assertLogs("Pyro5.server.dispatch", "WARNING") as logged:
            self.rover.go_on.set()
            self.assertEqual(await call, "first")
            await other.plain()
            while not logged.output:
                await asyncio.sleep(0.002)
        self.assertEqual(self.rover.notes, ["first"])

    async def test_instances_of_a_class_are_closed_with_their_connection(self) -> None:
        closed = threading.Event()

        @expose
        class Session:
            async def number(self) -> int:
                return 1

            def close(self) -> None:
                closed.set()

        session = await self.begin(aio.Daemon(), Session)
        self.assertEqual(await session.number(), 1)
        await session._pyroRelease()
        await self.wait_for_event(closed)

    async def test_callbacks_over_connections_of_the_client(self) -> None:
        @expose
        class Mine:
            def name(self) -> str:
                return "mine"

        class Calling(Rover):
            @expose
            def call(self, other: Any) -> Any:
                return other.name()

            @expose
            async def call_later(self, other: Any) -> Any:
                async with proxy(other._pyroUri) as awaited:
                    return await awaited.name()

        rover = await self.begin(aio.Daemon(), Calling())
        uri = rover._pyroUri

        def call() -> List[Any]:
            with Proxy(uri) as classic:
                mine = Mine()
                classic._pyroCallback(mine)
                return [classic.call(mine), classic.call_later(mine)]

        self.assertEqual(await in_thread(call), ["mine", "mine"])

    async def test_classic_clients(self) -> None:
        rover = await self.begin(aio.Daemon())
        uri = rover._pyroUri

        def call() -> List[Any]:
            with Proxy(uri) as classic:
                batch = BatchProxy(classic)
                batch.plain()
                batch.quick()
                return [classic.plain(), classic.waiting(), list(batch()), list(classic.items())]

        here = threading.current_thread().name
        self.assertEqual(await in_thread(call), ["Pyro-worker", here, ["Pyro-worker", here], ["Pyro-worker"]])


@behavior(instance_mode="session")
class _SessionRover(Rover):
    created: List[Any] = []

    def __init__(self) -> None:
        super().__init__()
        self.created.append(self)


class Hooks(DaemonTestCase):
    async def test_coroutine_functions(self) -> None:
        seen: List[Any] = []
        gone = asyncio.Event()

        class Strict(aio.Daemon):
            async def validateHandshake(self, conn: Any, data: Any) -> Any:
                await asyncio.sleep(0)
                seen.append((threading.current_thread().name, current_context.client is conn))
                if data != "friend":
                    raise PermissionError("members only")
                return "welcome"

            async def annotations(self) -> Dict[str, Any]:
                await asyncio.sleep(0)
                return {"DAEM": b"of the daemon"}

            async def clientDisconnect(self, conn: Any) -> None:
                await asyncio.sleep(0)
                gone.set()

        rover = await self.begin(Strict())
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"), \
                self.assertRaisesRegex(errors.CommunicationError, "members only"):
            await rover.plain()
        rover._pyroHandshake = "friend"
        for method in (rover.plain, rover.quick, rover.waiting):
            current_context.response_annotations = {}
            await method()
            self.assertEqual(bytes(current_context.response_annotations["DAEM"]), b"of the daemon")
        await rover.context()
        self.assertEqual(set(current_context.response_annotations), {"RPLY", "DAEM"})
        self.assertEqual(seen, [(threading.current_thread().name, True)] * 2)
        self.assertFalse(gone.is_set())
        await rover._pyroRelease()
        await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)

    async def test_ordinary_functions_run_in_threads(self) -> None:
        seen: List[str] = []
        gone = threading.Event()

        class Strict(aio.Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                seen.append(threading.current_thread().name)
                current_context.response_annotations = {"WELC": b"come"}
                return "welcome"

            def annotations(self) -> Dict[str, Any]:
                return {"DAEM": threading.current_thread().name.encode()}

            def clientDisconnect(self, conn: Any) -> None:
                seen.append(threading.current_thread().name)
                gone.set()

        rover = await self.begin(Strict())
        await rover.quick()
        self.assertEqual(bytes(current_context.response_annotations["DAEM"]).decode(), threading.current_thread().name)
        await rover._pyroRelease()
        await self.wait_for_event(gone)
        self.assertEqual(seen, ["Pyro-worker"] * 2)

    async def test_a_validator_that_does_not_end(self) -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        class Slow(aio.Daemon):
            async def validateHandshake(self, conn: Any, data: Any) -> Any:
                begun.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.set()
                    raise

        config.POLLTIMEOUT = 0.01  # the interval of applying changed settings
        rover = await self.begin(Slow())
        call = asyncio.create_task(rover.plain())
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"), \
                self.assertRaisesRegex(errors.CommunicationError, "no handshake within 0.01 seconds"):
            await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
            config.HANDSHAKE_TIMEOUT = 0.01
            await call
        config.HANDSHAKE_TIMEOUT = PATIENCE_SECONDS
        begun.clear()
        cancelled.clear()
        call = asyncio.create_task(rover.plain())
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        await rover._pyroRelease()  # the connection ends
        await asyncio.wait_for(cancelled.wait(), PATIENCE_SECONDS)
        with self.assertRaises((asyncio.CancelledError, errors.CommunicationError)):
            await call

    async def test_housekeeping(self) -> None:
        config.POLLTIMEOUT = 0.01
        seen: List[str] = []

        class Waiting(aio.Daemon):
            async def housekeeping(self) -> None:
                seen.append(threading.current_thread().name)
                raise ValueError("an error does not end it")

        class Plain(aio.Daemon):
            def housekeeping(self) -> None:
                seen.append(threading.current_thread().name)

        with self.assertLogs("Pyro5.server", "ERROR"):
            await self.check_housekeeping(Waiting(), seen, threading.current_thread().name)
        seen.clear()
        await self.check_housekeeping(Plain(), seen, "Pyro-worker")

    async def check_housekeeping(self, daemon: Any, seen: List[str], thread: str) -> None:
        async with daemon:
            while len(seen) < 3:
                await asyncio.sleep(0.005)
        self.assertEqual(set(seen), {thread})

    async def test_annotations_that_fail(self) -> None:
        class Broken(aio.Daemon):
            async def annotations(self) -> Any:
                raise ValueError("broken")

        rover = await self.begin(Broken())
        with self.assertLogs("Pyro5.server.loop", "ERROR"):
            self.assertEqual(await rover.plain(), "Pyro-worker")


class Registrations(DaemonTestCase):
    async def test_registered_objects(self) -> None:
        daemon = aio.Daemon()
        rover = await self.begin(daemon)
        self.assertEqual(daemon.uriFor(self.rover), rover._pyroUri)
        self.assertIs(self.rover._pyroDaemon, daemon)
        own = self.connect(daemon.uriFor("Pyro.Daemon"))
        self.assertEqual([await own.registered(), await rover.plain()], [["Pyro.Daemon", "rover"], "Pyro-worker"])
        daemon.unregister(self.rover)
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"), self.assertRaisesRegex(errors.DaemonError, "unknown object"):
            await rover.plain()

    async def test_registered_objects_are_sent_as_proxies(self) -> None:
        class Garage(Rover):
            @expose
            def rover(self) -> Any:
                return self.inside

        daemon, garage = aio.Daemon(), Garage()
        garage.inside = Rover()  # type: ignore[attr-defined]
        daemon.register(garage.inside, "inside")  # type: ignore[attr-defined]
        inside = await (await self.begin(daemon, garage)).rover()
        self.addAsyncCleanup(inside._pyroRelease)
        self.assertIsInstance(inside, aio.Proxy)
        self.assertEqual(await inside.plain(), "Pyro-worker")

    async def test_objects_with_a_daemon_can_be_copied(self) -> None:
        async with aio.Daemon() as daemon:
            self.assertIn("not here", repr(copy.copy(daemon)))
            self.assertIn("not here", repr(pickle.loads(pickle.dumps(daemon))))
            self.assertIn(daemon.locationStr, repr(daemon))

    @unittest.skipUnless(hasattr(__import__("socket"), "AF_UNIX"), "this system has no Unix sockets")
    async def test_unix_domain_socket(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            async with aio.Daemon(unixsocket=path) as daemon:
                async with proxy(daemon.register(Rover())) as rover:
                    self.assertEqual(await rover.plain(), "Pyro-worker")
                    self.assertEqual(str(rover._pyroUri), "PYRO:%s@./u:%s" % (rover._pyroUri.object, path))
            self.assertFalse(os.path.exists(path))

    async def test_nat(self) -> None:
        async with aio.Daemon(nathost="shop.example", natport=0) as daemon:
            port = daemon.sock.getsockname()[1]
            self.assertEqual(str(daemon.uriFor("x")), "PYRO:x@shop.example:%d" % port)
            self.assertNotIn("shop", str(daemon.uriFor("x", nat=False)))
