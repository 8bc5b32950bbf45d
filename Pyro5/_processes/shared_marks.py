"""What the program has marked as not served, in a file without a name that all processes of a daemon inherit.

So the supervising process knows what a method has marked in another process, and so do processes that are started later.
"""
from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import Collection, FrozenSet, Iterator, Optional

from .kept_counts import nameless_file

try:
    import fcntl
except ImportError:  # Windows, where there is no fork either
    fcntl = None  # type: ignore[assignment]

__all__ = ["DRAINING", "SharedMarks"]

DRAINING = ""  # marks the daemon, in the place of an object: it ends soon, so its names are removed from name servers
_LENGTH_DIGITS = 12  # at the beginning of the file


class SharedMarks:
    """Ids of objects; None stands for the daemon. Create it before the processes are forked. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the rest, in this process
        self._here: FrozenSet[Optional[str]] = frozenset()  # used without a file
        self._file: Optional[int] = None
        with contextlib.suppress(OSError):  # then each process has marks of its own
            self._file = nameless_file("pyro-marks")

    def get(self) -> FrozenSet[Optional[str]]:
        """Return what is marked."""
        with self._locked():
            return self._read()

    def change(self, object_id: Optional[str], is_marked: bool) -> None:
        """Mark an object, or remove its mark."""
        with self._locked():
            others = self._read() - {object_id}
            self._write(others | {object_id} if is_marked else others)

    def close(self) -> None:
        """Close the file in this process, which keeps the marks. Can be called more than once."""
        with self._locked():
            self._here = self._read()
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            file = self._file
            if file is None:
                yield
                return
            # Not flock(): it does not tell processes apart that have inherited the descriptor.
            fcntl.lockf(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN)

    def _read(self) -> FrozenSet[Optional[str]]:
        if self._file is None:
            return self._here
        try:
            length = int(os.pread(self._file, _LENGTH_DIGITS, 0) or b"0")
            return frozenset(json.loads(os.pread(self._file, length, _LENGTH_DIGITS) or b"[]"))
        except ValueError:  # a process was killed while it wrote
            return frozenset()

    def _write(self, marks: Collection[Optional[str]]) -> None:
        if self._file is None:
            self._here = frozenset(marks)
            return
        data = json.dumps(list(marks)).encode("ascii")
        os.pwrite(self._file, b"%0*d" % (_LENGTH_DIGITS, len(data)) + data, 0)
