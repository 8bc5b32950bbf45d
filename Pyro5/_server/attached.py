"""Run the loop of a server inside an asyncio event loop of the program.

The selector of the server has a file descriptor of its own, which is readable when one of its sockets is ready: the event
loop watches this one descriptor. Where selectors have none, a timer looks at the selector every few milliseconds.
"""
from __future__ import annotations

import contextlib
import threading
from typing import Any, Optional

LOOK_SECONDS = 0.01  # interval of looking at a selector without a file descriptor


class Attachment:
    """The link between the loop of a server and an event loop. Belongs to the thread of the event loop, except where stated.

    Args:
        server: an `EventLoop`.
        loop: an asyncio event loop.
    """

    def __init__(self, server: Any, loop: Any) -> None:
        self._server = server
        self._loop = loop
        self._fd = -1
        self._timer: Any = None
        self._in_turn = False
        self._has_ended = False  # no more turns
        self._is_over = False  # another thread may free the server
        self._releasing: Optional[threading.Thread] = None
        self.thread = 0  # the identifier of the thread of the event loop, 0 before it has begun

    @property
    def is_running(self) -> bool:
        """Whether the event loop serves the clients, or a thread frees the server. Can be read by any thread."""
        return bool(self.thread) and not self._is_over and not self._loop.is_closed()

    def begin(self) -> None:
        """Serve clients from now on."""
        server = self._server
        if server.stopping or self._has_ended:
            return
        self.thread = threading.get_ident()
        server.begin()
        with contextlib.suppress(AttributeError):  # SelectSelector of Windows
            self._fd = server.selector.fileno()
            self._loop.add_reader(self._fd, self._turn)
        self._turn()

    def _turn(self) -> None:
        """Handle what is ready, and find out when the next deadline is."""
        if self._has_ended or self._in_turn:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        server = self._server
        self._in_turn = True
        try:
            if not server.stopping:
                with server.turn():
                    server.run_once(0)
        finally:
            self._in_turn = False
            if server.stopping:
                self.end()
                # Not in this thread, because running calls get some seconds to finish.
                self._releasing = threading.Thread(target=server.release, name="Pyro-end")
                self._releasing.start()
            else:
                seconds = server.seconds_to_wait()
                self._timer = self._loop.call_later(seconds if self._fd >= 0 else min(seconds, LOOK_SECONDS), self._turn)

    def end_from_outside(self) -> None:
        """End it for close(): if the calling thread is that of the event loop, and not inside of a call that runs there, or if
        that loop is closed. The caller then frees the server. Can be called from any thread.
        """
        is_here = threading.get_ident() == self.thread
        if self._in_turn and is_here or not (is_here or self._loop.is_closed()):
            return
        self.end()
        if self._releasing is not None:
            self._releasing.join()
        self._is_over = True

    def end(self) -> None:
        """Serve no more clients."""
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
            self._fd = -1
