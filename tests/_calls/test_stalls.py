"""Calls that run for longer than STALL_SECONDS are logged, with the stack of their thread."""
from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
import unittest
from typing import Any, List

from Pyro5 import aio, config
from Pyro5.api import Daemon, Proxy, expose

from ..support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


@expose
class Slow:
    def __init__(self, target: Any = None) -> None:
        self._target = target
        self.inside, self.may_end = threading.Event(), threading.Event()
        self.release: Any = None

    def wait(self) -> None:
        self.wait_in_here()

    def wait_in_here(self) -> None:
        self.inside.set()
        self.may_end.wait(PATIENCE_SECONDS)

    async def wait_later(self) -> None:
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.release = functools.partial(loop.call_soon_threadsafe, event.set)
        loop.call_soon(self.inside.set)  # when this coroutine waits
        await event.wait()

    def call_other(self, method: str) -> None:
        with Proxy(self._target) as proxy:
            getattr(proxy, method)(*(["wait"] if method == "call_other" else []))


class Handler(logging.Handler):
    """Collects the texts of records."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: List[str] = []
        self._arrived = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._arrived:
            self.texts.append("%s\n%s" % (record.getMessage(), record.stack_info))
            self._arrived.notify_all()

    def wait_for(self, part: str) -> str:
        """Return the first text that contains this, when it has arrived."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: any(part in text for text in self.texts), PATIENCE_SECONDS):
                raise AssertionError("%r is not in %r" % (part, self.texts))
            return next(text for text in self.texts if part in text)


class Stalls(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(setattr, config, "STALL_SECONDS", config.STALL_SECONDS)
        config.STALL_SECONDS = 1000.0  # the tests look themselves
        self.handler = Handler()
        log = logging.getLogger("Pyro5.server.stalls")
        log.addHandler(self.handler)
        self.addCleanup(log.removeHandler, self.handler)
        self.addCleanup(setattr, log, "propagate", log.propagate)
        log.propagate = False

    def call(self, uri: Any, method: str, *args: Any) -> threading.Thread:
        def run() -> None:
            with Proxy(uri) as proxy:
                getattr(proxy, method)(*args)
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, PATIENCE_SECONDS)
        return thread

    def test_the_log_has_the_method_the_client_and_the_stack(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            slow = Slow()
            self.addCleanup(slow.may_end.set)
            self.call(daemon.register(slow, "slow"), "wait")
            self.look(daemon, slow)
            self.look(daemon, slow)
            text = self.handler.wait_for("slow.wait ")
            self.assertRegex(text, r"^slow\.wait from \('127\.0\.0\.1', \d+\) has been running for \d+\.\d seconds "
                                   r"\(correlation id [0-9a-f-]{36}\)\nThe stack of its thread:\n  File .*, in wait\n")
            self.assertIn("in wait_in_here", text)
            slow.may_end.set()
        self.assertEqual(1, len([text for text in self.handler.texts if "slow.wait " in text]))
        self.assertNotIn("Pyro-stalls", [thread.name for thread in threading.enumerate()])

    def look(self, daemon: Any, slow: Slow) -> None:
        self.assertTrue(slow.inside.wait(PATIENCE_SECONDS))
        daemon._dispatcher.stalls.look(0.0)

    def test_a_thread_looks_when_the_setting_is_on(self) -> None:
        config.STALL_SECONDS = 0.02
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            slow = Slow()
            self.addCleanup(slow.may_end.set)
            self.call(daemon.register(slow, "slow"), "wait")
            self.handler.wait_for("slow.wait ")
            slow.may_end.set()

    def test_async_methods_show_where_they_wait(self) -> None:
        kinds: Any = ((Daemon, daemon_thread), (aio.Daemon, aio_daemon_thread))
        for make, running in kinds:
            daemon = make("127.0.0.1")
            with running(daemon):
                slow, name = Slow(), type(daemon).__module__
                thread = self.call(daemon.register(slow, name), "wait_later")
                self.look(daemon, slow)
                text = self.handler.wait_for(name + ".wait_later ")
                slow.release()
                thread.join(PATIENCE_SECONDS)
                self.assertIn("in wait_later", text)

    def test_cycles_of_calls_are_named(self) -> None:
        with Daemon("127.0.0.1") as one, daemon_thread(one), Daemon("127.0.0.1") as other, daemon_thread(other):
            slow = Slow(other.uriFor("b"))
            self.addCleanup(slow.may_end.set)
            other.register(Slow(one.register(slow, "a")), "b")
            self.call(one.uriFor("a"), "call_other", "call_other")
            self.look(one, slow)
            text = self.handler.wait_for("a.wait ")
            self.assertIn("; it is part of a cycle of calls: a.call_other -> b.call_other -> a.wait\nThe stack", text)
            slow.may_end.set()

    def test_it_can_be_switched_on_and_off_later(self) -> None:
        config.STALL_SECONDS = 0.0
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            slow = Slow()
            slow.may_end.set()
            with Proxy(daemon.register(slow)) as proxy:
                proxy.wait()
                self.assertFalse(self.names())
                config.STALL_SECONDS = 60.0
                self.wait_for(proxy, ["Pyro-stalls"])
                config.STALL_SECONDS = 0.0
                self.wait_for(proxy, [])
        self.assertEqual([], self.handler.texts)

    def wait_for(self, proxy: Any, names: List[str]) -> None:
        """Make calls until there are these threads."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.names() != names and time.monotonic() < deadline:
            proxy.wait()
        self.assertEqual(names, self.names())

    def names(self) -> List[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "Pyro-stalls"]


if __name__ == "__main__":
    unittest.main()
