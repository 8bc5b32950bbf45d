"""The name server in an event loop, serve(), and ordinary daemons that are attached to an event loop."""
from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import sys
import threading
from typing import Any, List

from Pyro5 import aio, config, errors
from Pyro5._objects.exposure import expose
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from tests._aio.base import AioTestCase, proxy
from tests.support import PATIENCE_SECONDS


class Clock:
    _pyroDaemon: Any = None

    @expose
    def time(self) -> str:
        return "08:00"

    @expose
    async def later(self) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    @expose
    def thread(self) -> str:
        return threading.current_thread().name

    @expose
    def large(self, size: int) -> str:
        return "x" * size

    @expose
    def stop(self) -> str:
        self._pyroDaemon.shutdown()
        return "stopping"


class NameServer(AioTestCase):
    async def start_ns(self, **options: Any) -> Any:
        uri, daemon, responder = await aio.start_ns("127.0.0.1", 0, **options)
        self.addAsyncCleanup(daemon.close)
        self.assertIsNone(responder)
        config.NS_HOST, config.NS_PORT = "127.0.0.1", daemon.sock.getsockname()[1]
        return uri, daemon

    async def test_many_lookups_at_once(self) -> None:
        uri, _ = await self.start_ns()
        async with await aio.locate_ns() as names:
            self.assertEqual(names._pyroUri, uri)
            found = {"clock.%d" % number: aio.URI("PYRO:clock%d@localhost:5555" % number) for number in range(50)}
            await asyncio.gather(*[names.register(name, each) for name, each in found.items()])
            self.assertEqual(await asyncio.gather(*[names.lookup(name) for name in found]), list(found.values()))
        self.assertEqual(await aio.resolve(["PYRONAME:" + name for name in found]), list(found.values()))
        with self.assertRaisesRegex(errors.NamingError, "unknown"):
            await aio.resolve(["PYRONAME:clock.1", "PYRONAME:unknown"])
        self.assertEqual(await aio.resolve(["PYRO:a@localhost:1", "PYRONAME:clock.7"]),
                         [aio.URI("PYRO:a@localhost:1"), found["clock.7"]])
        self.assertEqual(await aio.resolve([]), [])

    async def test_a_write_token(self) -> None:
        await self.start_ns(write_token="only-the-chosen-ones")
        async with await aio.locate_ns() as names:
            with self.assertRaisesRegex(errors.NamingError, "write token"):
                await names.register("a", "PYRO:a@localhost:1")
            await names._pyroRelease()
            names._pyroHandshake = "only-the-chosen-ones"
            await names.register("a", "PYRO:a@localhost:1")

    async def test_broadcasts(self) -> None:
        uri, daemon, responder = await aio.start_ns("0.0.0.0", 0, bchost="127.0.0.1", bcport=0)
        self.assertEqual(str(uri), "PYRO:Pyro.NameServer@0.0.0.0:%d" % daemon.sock.getsockname()[1])
        assert responder is not None
        address = responder.sock.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.sendto(b"something else", address)
            asker.sendto(b"GET_NSURI", address)
            answer = await asyncio.get_running_loop().run_in_executor(None, asker.recv, 200)
        self.assertEqual(answer.decode(), str(uri).replace("0.0.0.0", "127.0.0.1"))
        await daemon.close()
        await asyncio.sleep(0)
        self.assertEqual(responder.sock.fileno(), -1)

    async def test_serve(self) -> None:
        await self.start_ns()
        clock = Clock()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            serving = asyncio.create_task(aio.serve({clock: "example.clock"}, host="127.0.0.1"))
            remote = await aio.wait_for("PYRONAME:example.clock", PATIENCE_SECONDS)
            self.assertEqual(await remote.time(), "08:00")
            await remote._pyroRelease()
            serving.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await serving
        self.assertIn("example.clock", out.getvalue())
        async with await aio.locate_ns() as names:
            self.assertEqual(list(await names.list()), ["Pyro.NameServer"])

    async def test_serve_without_a_name_server(self) -> None:
        daemon = aio.Daemon()
        serving = asyncio.create_task(aio.serve({Clock(): "clock"}, daemon=daemon, use_ns=False, verbose=False))
        remote = await aio.wait_for(daemon.uriFor("clock"), PATIENCE_SECONDS)
        self.assertEqual(await remote.stop(), "stopping")
        await remote._pyroRelease()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


class Attached(AioTestCase):
    def attached(self, servertype: str) -> Any:
        config.SERVERTYPE = servertype
        daemon = Daemon()
        self.at_end.callback(daemon.close)
        self.uri = daemon.register(Clock(), "clock")
        daemon.attach(asyncio.get_running_loop())
        return daemon

    async def test_calls(self) -> None:
        for servertype, thread in (("thread", "Pyro-worker"), ("multiplex", threading.current_thread().name)):
            with self.subTest(servertype=servertype), self.attached(servertype):
                async with proxy(self.uri) as clock:
                    self.assertEqual(await asyncio.gather(*[clock.time() for _ in range(20)]), ["08:00"] * 20)
                    self.assertEqual([await clock.thread(), await clock.later()], [thread, "Pyro-asyncio"])
                    self.assertEqual(len(await clock.large(3000000)), 3000000)

                def call() -> List[Any]:
                    with Proxy(self.uri) as classic:
                        return [classic.time(), len(classic.large(3000000))]

                self.assertEqual(await asyncio.get_running_loop().run_in_executor(None, call), ["08:00", 3000000])

    async def test_timeouts(self) -> None:
        config.HANDSHAKE_TIMEOUT = 0.05
        for servertype in ("thread", "multiplex"):
            with self.subTest(servertype=servertype), self.attached(servertype) as daemon:
                with self.assertLogs("Pyro5.server.loop", "WARNING"):
                    reader, writer = await asyncio.open_connection(*daemon.sock.getsockname()[:2])
                    self.assertIn(b"no handshake within", await asyncio.wait_for(reader.read(), PATIENCE_SECONDS))
                writer.close()
                await writer.wait_closed()

    async def test_a_method_shuts_it_down(self) -> None:
        for servertype in ("thread", "multiplex"):
            with self.subTest(servertype=servertype):
                daemon = self.attached(servertype)
                async with proxy(self.uri) as clock:
                    self.assertEqual(await clock.stop(), "stopping")
                    while daemon.sock.fileno() != -1:
                        await asyncio.sleep(0.002)
                    with self.assertRaises(errors.CommunicationError):
                        await clock.time()

    async def test_another_thread_closes_it(self) -> None:
        for servertype in ("thread", "multiplex"):
            daemon = self.attached(servertype)
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, daemon.close)
            self.assertEqual(daemon.sock.fileno(), -1)

    async def test_it_has_one_loop(self) -> None:
        with self.attached("multiplex") as daemon:
            await asyncio.sleep(0)
            for use in (daemon.requestLoop, lambda: daemon.attach(asyncio.get_running_loop())):
                with self.assertRaises(errors.DaemonError):
                    use()

    async def test_a_combined_daemon(self) -> None:
        config.SERVERTYPE = "multiplex"
        with Daemon() as daemon, Daemon() as other:
            uri = other.register(Clock())
            daemon.combine(other)
            daemon.attach(asyncio.get_running_loop())
            async with proxy(uri) as clock:
                self.assertEqual(await clock.time(), "08:00")
            with self.assertRaises(errors.DaemonError):
                other.attach(asyncio.get_running_loop())


class EndOfTheLoop(AioTestCase):
    async def test_it_ends_before_the_daemon(self) -> None:
        config.SERVERTYPE = "multiplex"
        with Daemon() as daemon:
            uri = daemon.register(Clock())

            async def call() -> str:
                daemon.attach(asyncio.get_running_loop())
                async with proxy(uri) as clock:
                    return await clock.time()  # type: ignore[no-any-return]

            in_thread = asyncio.get_running_loop().run_in_executor
            for _ in range(2):
                self.assertEqual(await in_thread(None, asyncio.run, call()), "08:00")


if sys.platform == "win32":
    del Attached, EndOfTheLoop
