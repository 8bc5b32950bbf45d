"""Functions that run when a process of a daemon with several processes has served its clients.

These processes end by `os._exit`: functions of `atexit` belong to the program, and run in its own process only.
"""
from __future__ import annotations

import logging
from typing import Any, Callable, Tuple

log = logging.getLogger("Pyro5.processes")

# Replaced, never changed. Programs install observers one after the other, before they serve.
_functions: Tuple[Callable[[], Any], ...] = ()


def add(function: Callable[[], Any]) -> None:
    """Call a function at the end of each process."""
    global _functions
    _functions = (*_functions, function)


def remove(function: Callable[[], Any]) -> None:
    """Call a function no longer; ignored if it was not added."""
    global _functions
    _functions = tuple(each for each in _functions if each != function)


def run() -> None:
    """Call all functions. Their exceptions are logged."""
    for function in _functions:
        try:
            function()
        except Exception:  # of the observer: the process ends in order
            log.exception("an error at the end of a process")
