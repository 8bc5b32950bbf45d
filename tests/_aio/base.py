"""What the tests of the asyncio client share: daemons in threads, and a check that nothing is left behind."""
from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import threading
import unittest
from typing import Any, Iterator, List

from Pyro5 import aio, config
from Pyro5._objects.exposure import behavior, expose, oneway
from Pyro5.callcontext import current_context
from Pyro5.server import Daemon
from tests.support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


@expose
@behavior(instance_mode="single")
class Stage:
    """The object that the tests call."""

    def __init__(self) -> None:
        self._speed = 1
        self._lock = threading.Lock()
        self.notes_taken: List[Any] = []
        self.noted = threading.Event()
        self.gate = threading.Event()
        self.was_cancelled = threading.Event()
        self.streams_closed = threading.Event()
        self.entered = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def fail(self, text: str) -> None:
        raise ValueError(text)

    @property
    def speed(self) -> int:
        return self._speed

    @speed.setter
    def speed(self, value: int) -> None:
        self._speed = value

    @oneway
    def note(self, value: Any) -> None:
        self.notes_taken.append(value)
        self.noted.set()

    def notes(self) -> List[Any]:
        return self.notes_taken

    def frames(self, count: int) -> Iterator[int]:
        try:
            yield from range(count)
        finally:
            self.streams_closed.set()

    def wait(self) -> str:
        """Wait until the gate is open."""
        self.entered.set()
        if not self.gate.wait(PATIENCE_SECONDS):
            raise AssertionError("the gate was not opened")
        return "open"

    def wait_until_cancelled(self) -> str:
        self.entered.set()
        if current_context.cancelled.wait(PATIENCE_SECONDS):
            self.was_cancelled.set()
        return "cancelled"

    def context(self) -> Any:
        return [str(current_context.correlation_id),
                {key: bytes(value).decode() for key, value in current_context.annotations.items() if key != "DLMS"}]

    def answer_with(self, text: str) -> str:
        current_context.response_annotations = {"TEXT": text.encode()}
        return text

    def thread(self) -> int:
        return threading.get_ident()


class AioTestCase(unittest.IsolatedAsyncioTestCase):
    """A test case that leaves no task and no thread behind."""

    def setUp(self) -> None:
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        config.reset()
        self.addCleanup(config.reset)
        # It reports callbacks that take 0.1 s, also in the event loops of daemons: on a busy machine any may.
        asyncio_log = logging.getLogger("asyncio")
        self.addCleanup(asyncio_log.setLevel, asyncio_log.level)
        asyncio_log.setLevel(logging.ERROR)
        self._threads_before = set(threading.enumerate())
        self.addCleanup(self._check_threads)

    def _check_threads(self) -> None:
        self.at_end.close()
        # those of the executor end with the event loop, which Python 3.8 does not wait for
        left = [each for each in set(threading.enumerate()) - self._threads_before
                if not each.name.startswith(("asyncio", "ThreadPoolExecutor", "uvloop"))]
        for thread in left:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([each for each in left if each.is_alive()], [])

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().slow_callback_duration = PATIENCE_SECONDS

    async def asyncTearDown(self) -> None:
        gc.collect()
        left: Any = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # what ends a connection may need a thread, and so a moment
            _, left = await asyncio.wait(left, timeout=PATIENCE_SECONDS)
        self.assertEqual([repr(task) for task in left], [])

    def serve(self, registered: Any, servertype: str = "thread", **where: Any) -> str:
        """Serve an object under the name "stage" until the end of the test, and return its uri.

        Args:
            servertype: "aio" for a daemon of Pyro5.aio.
        """
        if servertype != "aio":
            config.SERVERTYPE = servertype
        daemon: Any = aio.Daemon(**where) if servertype == "aio" else Daemon(**where)
        uri = str(daemon.register(registered, "stage"))
        self.at_end.enter_context((aio_daemon_thread if servertype == "aio" else daemon_thread)(daemon))
        return uri

    async def wait_for_event(self, event: threading.Event) -> None:
        """Wait, without blocking the loop, until a thread has set an event."""
        loop = asyncio.get_running_loop()
        self.assertTrue(await loop.run_in_executor(None, functools.partial(event.wait, PATIENCE_SECONDS)))


def proxy(uri: str, **options: Any) -> Any:
    """Return a proxy that a type checker knows nothing about."""
    return aio.Proxy(uri, **options)
