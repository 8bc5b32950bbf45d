"""Ctrl-C and SIGTERM end servers of Pyro5.aio in order."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, List

import Pyro5.api
from Pyro5 import aio, config, errors
from Pyro5._aio_server.ending import EndOnSignals
from tests.programs import Program
from tests.support import PATIENCE_SECONDS, daemon_thread

SERVE = """
import asyncio
from Pyro5 import aio
from Pyro5.api import expose

@expose
class Thing:
    async def act(self):
        return "done"

asyncio.run(aio.serve({Thing: "signals.thing"}))
"""

SERVE_FOREVER = """
import asyncio
from Pyro5 import aio
from Pyro5.api import expose

@expose
class Thing:
    async def wait(self):
        print("the call runs", flush=True)
        await asyncio.sleep(0.05)
        return "answered"

async def main():
    async with aio.Daemon() as daemon:
        print("Ready:", daemon.register(Thing()), flush=True)
        await daemon.serve_forever()
        print("after the loop")

asyncio.run(main())
print("the end")
"""


@unittest.skipIf(sys.platform == "win32", "Windows cannot send the signal to one process")
class Programs(unittest.TestCase):
    def start(self, code: str, **environ: str) -> Program:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "server.py")
        Path(path).write_text(code, encoding="utf-8")
        program = Program(path, env=environ)
        self.addCleanup(program.__exit__)
        return program

    def check_end(self, program: Program, number: int, *lines: str) -> None:
        result = program.stop(number)
        # In development mode asyncio reports what took 0.1 seconds, as anything does on a busy machine.
        errors = [line for line in result.err.splitlines() if not line.startswith("Executing <")]
        self.assertEqual((0, []), (result.exit_code, errors))
        self.assertEqual(list(lines), result.out.splitlines())

    def test_serve_removes_its_names(self) -> None:
        _uri, names_daemon, _responder = Pyro5.api.start_ns("127.0.0.1", 0)
        with daemon_thread(names_daemon):
            port = names_daemon.sock.getsockname()[1]
            program = self.start(SERVE, PYRO_NS_HOST="127.0.0.1", PYRO_NS_PORT=str(port))
            program.read_until("Pyro daemon running.")
            with Pyro5.api.Proxy("PYRONAME:signals.thing@127.0.0.1:%d" % port) as thing:
                self.assertEqual("done", thing.act())
                # A client that is still connected does not delay the end.
                self.check_end(program, signal.SIGINT, "Pyro daemon stopped.")
            self.assertNotIn("signals.thing", names_daemon.nameserver.list())

    def test_sigterm_lets_calls_end_and_statements_follow(self) -> None:
        program = self.start(SERVE_FOREVER)
        with Pyro5.api.Proxy(program.read_until("Ready: ")[-1].split()[1]) as thing:
            answer = thing.wait.future()
            program.read_until("the call runs")
            self.check_end(program, signal.SIGTERM, "after the loop", "the end")
            self.assertEqual("answered", answer.result())


class Handlers(unittest.TestCase):
    def setUp(self) -> None:
        config.reset()
        self.addCleanup(config.reset)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def test_cancelling_the_wait_for_the_end_gives_calls_no_more_time(self) -> None:
        config.SHUTDOWN_TIMEOUT = 600.0

        class Thing:
            @Pyro5.api.expose
            async def wait(self) -> None:
                begun.set()
                await asyncio.sleep(600)

        async def main() -> None:
            nonlocal begun
            begun = asyncio.Event()
            async with aio.Daemon() as daemon, aio.Proxy(daemon.register(Thing())) as thing:
                call = asyncio.ensure_future(thing.wait())
                await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
                serving = asyncio.ensure_future(daemon.serve_forever())
                await asyncio.sleep(0)
                daemon.shutdown()
                serving.cancel()    # as the second Ctrl-C does
                with self.assertRaises((errors.CancelledError, errors.ConnectionClosedError)):
                    await asyncio.wait_for(call, PATIENCE_SECONDS)
                with self.assertRaises(asyncio.CancelledError):
                    await serving
        begun: Any = None
        asyncio.run(main())

    def test_the_first_signal_restores_the_handlers(self) -> None:
        async def main() -> Any:
            before = signal.getsignal(signal.SIGINT)
            ended = asyncio.Event()
            with EndOnSignals(ended.set):
                self.assertNotEqual(before, signal.getsignal(signal.SIGINT))
                signal.raise_signal(signal.SIGTERM)
                self.assertTrue(ended.is_set())
                return before == signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

        self.assertEqual((True, signal.SIG_DFL), asyncio.run(main()))

    def test_they_are_restored_without_a_signal(self) -> None:
        async def main() -> None:
            async with aio.Daemon() as daemon:
                asyncio.get_running_loop().call_later(0.001, daemon.shutdown)
                await daemon.serve_forever()
                self.assertIs(signal.SIG_DFL, signal.getsignal(signal.SIGTERM))

        asyncio.run(main())
        self.assertIs(signal.default_int_handler, signal.getsignal(signal.SIGINT))

    def test_handlers_of_the_program_stay(self) -> None:
        received: List[int] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            with EndOnSignals(self.fail):
                signal.raise_signal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            with EndOnSignals(self.fail):
                signal.raise_signal(signal.SIGTERM)
            if sys.platform != "win32":
                done = asyncio.Event()
                loop.add_signal_handler(signal.SIGINT, done.set)
                with EndOnSignals(self.fail):
                    signal.raise_signal(signal.SIGINT)
                    await done.wait()
                loop.remove_signal_handler(signal.SIGINT)

        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
        asyncio.run(main())
        self.assertEqual([signal.SIGTERM], received)

    def test_other_tasks_and_threads_change_nothing(self) -> None:
        async def enter() -> Any:
            before = signal.getsignal(signal.SIGTERM)
            with EndOnSignals(self.fail):
                return before is signal.getsignal(signal.SIGTERM)

        async def in_task() -> Any:
            return await asyncio.gather(enter())

        async def in_thread() -> Any:
            return await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(enter()))

        self.assertFalse(asyncio.run(enter()))
        self.assertEqual([True], asyncio.run(in_task()))
        self.assertTrue(asyncio.run(in_thread()))


if __name__ == "__main__":
    unittest.main()
