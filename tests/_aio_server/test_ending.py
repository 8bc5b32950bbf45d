"""How a Pyro5.aio.Daemon ends, and that nothing is left then."""
from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import unittest
from typing import Any, AsyncIterator, Iterator, List
from unittest import mock

from Pyro5 import aio, config, errors
from Pyro5._aio_server import calls, ending
from Pyro5._objects.exposure import expose, oneway
from tests._aio.base import proxy
from tests._aio_server.test_daemon import DaemonTestCase
from tests.support import PATIENCE_SECONDS, clean_environment


class Lander:
    _pyroDaemon: Any = None

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.thread_begun = threading.Event()
        self.thread_goes_on = threading.Event()
        self.notes: List[str] = []

    @expose
    async def wait(self) -> str:
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise
        return "landed"

    @expose
    @oneway
    async def wait_unheard(self) -> None:
        self.notes.append(await self.wait())

    @expose
    async def ignore_cancellation(self) -> None:
        self.begun.set()
        try:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await self.go_on.wait()
        finally:
            self.notes.append("stopped")

    @expose
    def block(self) -> str:
        self.thread_begun.set()
        self.thread_goes_on.wait(PATIENCE_SECONDS)
        return "landed"

    @expose
    async def frames(self) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            self.notes.append("async stream closed")

    @expose
    def ordinary_frames(self) -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            self.notes.append("stream closed")

    @expose
    def stop(self) -> str:
        self._pyroDaemon.shutdown()
        return "stopping"

    @expose
    async def stop_and_wait(self) -> str:
        await self._pyroDaemon.close()
        return "stopping"


class Ends(DaemonTestCase):
    async def lander(self) -> Any:
        self.daemon = aio.Daemon()
        self.served = Lander()
        return await self.begin(self.daemon, self.served)

    async def assert_closed(self, remote: Any) -> None:
        with self.assertRaises(errors.CommunicationError):
            await remote.stop()

    async def test_running_calls_are_answered(self) -> None:
        remote = await self.lander()
        call = asyncio.create_task(remote.wait())
        await self.served.begun.wait()
        closing = asyncio.create_task(self.daemon.close())
        await asyncio.sleep(0)
        self.served.go_on.set()
        self.assertEqual(await call, "landed")
        await closing
        await self.assert_closed(remote)
        self.assertEqual(self.daemon.sock.fileno(), -1)

    async def test_calls_that_run_too_long_are_cancelled(self) -> None:
        config.SHUTDOWN_TIMEOUT = 0.01
        remote = await self.lander()
        other = proxy(remote._pyroUri)
        self.addAsyncCleanup(other._pyroRelease)
        running = [asyncio.create_task(remote.wait()), asyncio.create_task(other.wait_unheard.tell())]
        await self.served.begun.wait()
        await running[1]
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"):
            await self.daemon.close()
        self.assertEqual(set(self.served.notes), {"cancelled"})
        self.assertIsInstance((await asyncio.gather(running[0], return_exceptions=True))[0],
                              (errors.CancelledError, errors.CommunicationError))

    async def test_a_method_that_ignores_its_cancellation(self) -> None:
        config.SHUTDOWN_TIMEOUT = 0.01
        remote = await self.lander()
        call = asyncio.create_task(remote.ignore_cancellation())
        await self.served.begun.wait()
        with mock.patch.object(calls, "END_SECONDS", 0.02), self.assertLogs("Pyro5.server", "WARNING") as logged:
            await self.daemon.close()
        self.assertIn("does not end, although it was cancelled", "".join(logged.output))
        self.assertEqual(self.served.notes, ["stopped"])
        await asyncio.wait({call})
        self.assertIsNotNone(call.exception())

    async def test_a_thread_that_does_not_end(self) -> None:
        config.SHUTDOWN_TIMEOUT = 0.01
        remote = await self.lander()
        call = asyncio.create_task(remote.block())
        await self.wait_for_event(self.served.thread_begun)
        with mock.patch.object(ending, "END_SECONDS", 0.02):
            await self.daemon.close()
        self.served.thread_goes_on.set()
        with self.assertRaises(errors.CommunicationError):
            await call

    async def test_streams_are_closed(self) -> None:
        remote = await self.lander()
        for stream in (await remote.frames(), await remote.ordinary_frames()):
            self.assertEqual(await stream.__anext__(), 1)
        await self.daemon.close()
        self.assertEqual(set(self.served.notes), {"async stream closed", "stream closed"})

    async def test_a_method_ends_its_daemon(self) -> None:
        for name in ("stop", "stop_and_wait"):
            remote = await self.lander()
            serving = asyncio.create_task(self.daemon.serve_forever())
            self.assertEqual(await getattr(remote, name)(), "stopping")
            await asyncio.wait_for(serving, PATIENCE_SECONDS)
            await self.assert_closed(remote)

    async def test_another_thread_ends_it(self) -> None:
        await self.lander()
        serving = asyncio.create_task(self.daemon.serve_forever())
        await asyncio.sleep(0)
        thread = threading.Thread(target=self.daemon.shutdown)
        thread.start()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)
        thread.join()

    async def test_serve_forever_is_cancelled(self) -> None:
        remote = await self.lander()
        serving = asyncio.create_task(self.daemon.serve_forever())
        await asyncio.sleep(0)
        serving.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await serving
        await self.assert_closed(remote)

    async def test_it_can_be_closed_more_than_once_and_not_used_again(self) -> None:
        await self.lander()
        await asyncio.gather(self.daemon.close(), self.daemon.close())
        await self.daemon.close()
        await self.daemon.shutdown()
        with self.assertRaisesRegex(RuntimeError, "the daemon is closed"):
            await self.daemon.serve_forever()

    async def test_cancelled_while_it_begins(self) -> None:
        async def serve() -> None:
            async with daemon:
                self.fail("it has begun")

        daemon = aio.Daemon()
        sock = daemon.sock
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(-1, sock.fileno())
        with self.assertRaisesRegex(RuntimeError, "closed"):
            await daemon
        # The number of the socket is used by others now.
        async with aio.Daemon() as other, proxy(str(other.register(Lander()))) as lander:
            self.assertEqual(lander._pyroUri.location, other.locationStr)
            await lander

    async def test_before_it_has_begun(self) -> None:
        daemon = aio.Daemon()
        await daemon.close()
        self.assertEqual(daemon.sock.fileno(), -1)

    async def test_another_event_loop(self) -> None:
        await self.lander()
        daemon = self.daemon

        async def use() -> None:
            with self.assertRaisesRegex(RuntimeError, "another event loop"):
                await daemon.serve_forever()
            with self.assertRaisesRegex(RuntimeError, "another event loop"):
                await daemon.wait_for_shutdown()

        await asyncio.get_running_loop().run_in_executor(None, asyncio.run, use())


class Loops(unittest.TestCase):
    def test_the_loop_ends_before_the_daemon(self) -> None:
        daemons = []

        async def leave_it_open() -> None:
            daemons.append(await aio.Daemon())

        asyncio.run(leave_it_open())
        self.assertEqual(daemons[0].sock.fileno(), -1)
        daemons[0].shutdown()


PROGRAM = """
import asyncio, sys, threading
from Pyro5 import aio
from Pyro5.api import expose

@expose
class Thing:
    async def wait(self):
        print("waiting", flush=True)
        await asyncio.Event().wait()

    def plain(self):
        return 1

async def main():
    async with aio.Daemon() as daemon:
        uri = daemon.register(Thing())
        async with aio.Proxy(uri) as thing:
            await thing.plain()
            await asyncio.gather(thing.wait(), daemon.serve_forever())

aio.config.SHUTDOWN_TIMEOUT = 0.05
try:
    asyncio.run(main())
except KeyboardInterrupt:
    # Python 3.8 leaves the threads of the default executor.
    print("interrupted", [each.name for each in threading.enumerate() if each is not threading.main_thread()
                          and not each.name.startswith(("asyncio", "ThreadPoolExecutor"))], flush=True)
"""


@unittest.skipIf(sys.platform == "win32", "Windows cannot send the signal to one process")
class Interrupts(unittest.TestCase):
    def test_ctrl_c(self) -> None:
        with subprocess.Popen([sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM], env=clean_environment(None),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "waiting\n")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(out, "interrupted []\n")
        for text in ("destroyed", "never retrieved", "ResourceWarning", "never awaited"):
            self.assertNotIn(text, err)
