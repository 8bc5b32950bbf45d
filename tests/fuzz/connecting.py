"""Notices when the library connects to some address while it reads what the other side has sent."""
from __future__ import annotations

import sys
import threading
from typing import Any, List

from ..wire import app
from . import served

# Code of the program: what a method does with a proxy that it was given is its own affair.
_PROGRAM = (app.__file__, served.__file__)


class ConnectionWatch:
    """Records the addresses that one thread tries to connect to.

    Attributes:
        addresses: of the attempts so far that no method of the program has made.
    """

    def __init__(self) -> None:
        self.addresses: List[Any] = []
        self._thread = threading.get_ident()

    def start(self) -> None:
        if not _hooked:
            sys.addaudithook(_audit)  # stays until the process ends
            _hooked.append(True)
        _watches.append(self)

    def stop(self) -> None:
        _watches.remove(self)

    def note(self, address: Any) -> None:
        if threading.get_ident() == self._thread and not _is_program_running():
            self.addresses.append(address)


_watches: List[ConnectionWatch] = []
_hooked: List[bool] = []


def _audit(event: str, args: Any) -> None:
    if event == "socket.connect":
        for watch in list(_watches):
            watch.note(args[1])


def _is_program_running() -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename in _PROGRAM:
            return True
        frame = frame.f_back
    return False
