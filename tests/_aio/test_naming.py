"""Names and tags, without blocking the event loop."""
from __future__ import annotations

import asyncio
import threading

from Pyro5 import aio, client, config, errors
from Pyro5.nameserver import NameServerDaemon
from Pyro5.server import Daemon
from tests.peers import free_port
from tests.support import daemon_thread

from .base import AioTestCase, Stage, proxy


class Naming(AioTestCase):
    def setUp(self) -> None:
        super().setUp()
        names = NameServerDaemon("localhost", 0)
        config.NS_PORT = names.sock.getsockname()[1]
        config.BROADCAST_LOOKUP = False
        self.at_end.enter_context(daemon_thread(names))

    def register(self, name: str, uri: str) -> None:
        with client.locate_ns() as names:
            names.register(name, uri, metadata={"stage"})

    async def test_names_and_tags(self) -> None:
        uri = self.serve(Stage())
        self.register("left", uri)
        self.register("right", "PYRO:stage@localhost:%d" % free_port())
        self.assertEqual(str(await aio.resolve("PYRONAME:left")), uri)
        async with proxy("PYRONAME:left") as stage:
            self.assertEqual(await stage.echo(1), 1)
            await stage._pyroBind()
            self.assertEqual(str(stage._pyroUri), uri)
        for _ in range(5):  # one of the two cannot be reached
            async with proxy("PYROMETA:stage") as stage:
                self.assertEqual(await stage.echo(2), 2)
        with self.assertRaises(errors.NamingError) as caught:
            await proxy("PYRONAME:unknown").echo(1)
        self.assertIs(caught.exception.sent, False)

    async def test_locate_ns(self) -> None:
        async with await aio.locate_ns() as found:
            names: aio.Proxy = found
            self.assertIn("Pyro.NameServer", await names.list())

    async def test_wait_for(self) -> None:
        with self.assertRaisesRegex(errors.TimeoutError, "PYRONAME:late is not ready in time"):
            await aio.wait_for("PYRONAME:late", 0.01)
        waiting = asyncio.create_task(aio.wait_for("PYRONAME:late", 20))
        daemon = Daemon()
        uri = str(daemon.register(Stage(), "stage"))
        self.at_end.enter_context(daemon_thread(daemon))
        thread = threading.Thread(target=self.register, args=("late", uri))
        thread.start()
        async with await waiting as stage:
            self.assertEqual(await stage.echo(3), 3)
        thread.join()

    async def test_a_call_that_waits_until_the_server_is_ready(self) -> None:
        remote = proxy("PYRONAME:late")
        waiting = asyncio.create_task(remote.echo.options(wait_for_ready=True, timeout=20)(4))
        await asyncio.get_running_loop().run_in_executor(None, self.register, "late", self.serve(Stage()))
        self.assertEqual(await waiting, 4)
        await remote._pyroRelease()
