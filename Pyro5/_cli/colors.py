"""Colors on a terminal. Nothing is colored in a pipe or a file, with NO_COLOR in the environment, or on a dumb terminal."""
from __future__ import annotations

import os
import sys
from typing import Any, Mapping, Optional

from .._text.printable import printable

__all__ = ["Colored", "are_on", "joined", "paint"]

STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "cyan": "36"}


class Colored(str):
    """A line of text that is printable, apart from escape sequences of this module."""

    __slots__ = ()


def are_on(stream: Any = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to write colors to a stream; None is the standard output.

    ``NO_COLOR`` turns them off if it is set to any text that is not empty (see no-color.org).
    """
    stream = sys.stdout if stream is None else stream
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    # The old console of Windows prints the sequences instead; its successor sets this variable.
    if sys.platform == "win32" and "WT_SESSION" not in environ:
        return False
    return stream is not None and bool(stream.isatty())


def paint(style: str, text: str, stream: Any = None) -> Colored:
    """Return a text in a style (a key of STYLES), if colors are on for the stream. The text itself is made printable."""
    safe = printable(text)
    if not text or not are_on(stream):
        return Colored(safe)
    return Colored("\033[%sm%s\033[0m" % (STYLES[style], safe))


def joined(*parts: Optional[str]) -> Colored:
    """Return a line of several parts. Parts that are not `Colored` are made printable; None is left out."""
    return Colored("".join(part if type(part) is Colored else printable(part) for part in parts if part is not None))
