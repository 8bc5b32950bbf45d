"""What the processes of a daemon have counted, and what the program has marked as not served.

Both are in files without a name that all processes inherit. So the supervising process knows what a method has marked in
another process, and so do processes that are started later.
"""
from __future__ import annotations

import contextlib
import json
import logging
import os
import struct
import threading
import zlib
from typing import Any, Collection, Dict, FrozenSet, Iterator, List, Optional

from .._observe.statistics import counts_of, with_counts

try:
    import fcntl
except ImportError:  # Windows, where there is no fork either
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("Pyro5.processes")

_HEAD = struct.Struct("<QI")  # length and checksum: a process may have been killed while it wrote


class KeptCounts:
    """Keeps the counts of each process for the time after its end. Create it before they are forked.

    Sums must not become smaller when a process is replaced: monitoring systems take that for a restart of the server. A
    process writes its counts to its file whenever it reports them, and at its end; the next one in its place continues them.

    Args:
        places: the number of processes.
    """

    def __init__(self, places: int) -> None:
        self._files: List[int] = []
        self._former: Optional[Dict[str, Any]] = None  # of those that were in the place of this process before
        self._lock = threading.Lock()  # guards _former and the file of this process; not used by the supervising process
        self._after_end: Dict[int, Dict[str, Any]] = {}
        try:
            for place in range(places):
                self._files.append(nameless_file("pyro-counts-%d" % place))
        except OSError as x:  # too many open files, or no folder for temporary ones
            log.warning("the counts of processes of this daemon are not kept when they end: %s", x)
            self._close_files()

    def added(self, place: int, report: Dict[str, Any]) -> Dict[str, Any]:
        """Return a report of this process that contains the counts of its predecessors, too, and keep these counts."""
        with self._lock:
            if self._former is None:
                self._former = self.read(place) or {}
            if self._former:
                report = with_counts(report, self._former)
            self._write(place, counts_of(report))
        return report

    def read(self, place: int) -> Optional[Dict[str, Any]]:
        """Return the counts that were written last in a place; None if there are none."""
        if not self._files:
            return self._after_end.get(place)
        with contextlib.suppress(OSError, ValueError, struct.error):
            file = self._files[place]
            length, checksum = _HEAD.unpack(os.pread(file, _HEAD.size, 0))
            data = os.pread(file, length, _HEAD.size)
            if len(data) == length and zlib.crc32(data) == checksum:
                found: Dict[str, Any] = json.loads(data)
                return found
        return None

    def _write(self, place: int, counts: Dict[str, Any]) -> None:
        data = json.dumps(counts).encode("ascii")
        if self._files:
            with contextlib.suppress(OSError):  # no space
                os.pwrite(self._files[place], _HEAD.pack(len(data), zlib.crc32(data)) + data, 0)

    def close(self) -> None:
        """Close the files in this process. The counts can still be read. Can be called more than once."""
        if self._files:
            counts = [(place, self.read(place)) for place in range(len(self._files))]
            self._after_end = {place: each for place, each in counts if each is not None}
        self._close_files()

    def _close_files(self) -> None:
        files, self._files = self._files, []
        for file in files:
            os.close(file)


def nameless_file(name: str) -> int:
    """Return the descriptor of a new file: in memory where the system can do that, which then shows the name in lists.

    Raises:
        OSError: too many files are open, or there is no folder for temporary files.
    """
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # not allowed in a sandbox
            return os.memfd_create(name)
    import tempfile  # where there is no memory file
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


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
