"""Support for SQLite files that other processes may use too: detecting a removed or replaced file, waiting for locks, and
connections for reading.
"""
from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import sqlite3
import threading
import time
from typing import Callable, Dict, List, Optional, Tuple, TypeVar

from ... import errors
from .files import unusable

log = logging.getLogger("Pyro5.storage.sqlite")

T = TypeVar("T")

# Number of idle connections for reading that are kept. One costs about 100 KB, and 0.2 ms to open.
IDLE_READERS = 4
# Number of threads that may wait for a lock of another process at the same time: none of them serves a client meanwhile.
WAITING_AT_ONCE = 4
FIRST_PAUSE_SECONDS = 0.005     # between two attempts; SQLite cannot notify us
MAX_PAUSE_SECONDS = 0.05


class Locked(errors.NamingError):
    """Another process has locked the database; never raised to callers of the storage."""


class Patience:
    """Retries an operation while another process has the database locked. Thread-safe.

    Only a few threads wait; all others get the error immediately, so that a lock held elsewhere cannot block all threads of
    the name server. The wait is the outermost step: the caller holds no lock during it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._places = threading.BoundedSemaphore(WAITING_AT_ONCE)
        self._current = threading.local()

    def run(self, operation: Callable[[], T]) -> T:
        """Run the operation; nested in another `run` of the same thread only once, because the outer one retries everything.

        Raises:
            NamingError: the database is still locked, or too many threads are waiting already.
        """
        # Nested: the outer call retries the whole operation. If this one waited, it would do so with a lock held.
        if getattr(self._current, "is_running", False):
            return operation()
        self._current.is_running = True
        try:
            try:
                return operation()
            except Locked as x:
                if not self._places.acquire(blocking=False):
                    raise errors.NamingError("%s, and %d others are waiting for that" % (x, WAITING_AT_ONCE)) from x
            try:
                return self._repeat(operation)
            finally:
                self._places.release()
        finally:
            self._current.is_running = False

    def _repeat(self, operation: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._seconds
        pause = FIRST_PAUSE_SECONDS
        # An event that is never set is a sleep that other code can interrupt.
        never = threading.Event()
        while True:
            never.wait(pause)
            try:
                return operation()
            except Locked as x:
                if time.monotonic() >= deadline:
                    raise errors.NamingError(str(x)) from x
            pause = min(2 * pause, MAX_PAUSE_SECONDS)


class DatabaseFiles:
    """The files of an open database, monitored for changes by other processes. Thread-safe: a recorded problem is never
    cleared.

    The database and its write-ahead log are identified by inode: data written to a file that was removed or replaced is
    lost. Of the shared memory (-shm), only the size matters: SQLite maps that file, and accessing pages that were cut off
    would kill the process with SIGBUS.
    """

    def __init__(self, spec: str, path: str) -> None:
        self._spec = spec
        real = os.path.realpath(path)  # SQLite follows links, and keeps its other files beside the target
        self._paths = (path, real + "-wal")
        self._shm_path = real + "-shm"
        self._identities: Dict[str, Tuple[int, int]] = {}
        self._shm_bytes = 0
        self._shm_is_damaged = False
        self._reported: Optional[str] = None

    def note(self) -> None:
        """Record which files exist; call it when the database is open."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                self._identities[path] = _identity(path)
        with contextlib.suppress(OSError):
            self._shm_bytes = os.stat(self._shm_path).st_size

    def problem(self) -> Optional[str]:
        """Return why written data would be lost, None if it would not."""
        for path, identity in self._identities.items():
            try:
                if _identity(path) != identity:
                    return "%s was replaced by another file" % path
            except OSError:
                return "%s was removed" % path
        return None

    def require_in_place(self) -> None:
        """Raise NamingError if written data would be lost."""
        problem = self.problem()
        # Logged once per problem, and not with each refused change.
        if problem != self._reported:
            self._reported = problem
            if problem:
                log.error("%s: %s. No changes are accepted, only what was registered before can be looked up: put the file "
                          "back, or restart the name server", self._spec, problem)
        if problem:
            raise unusable(self._spec, problem + " while it was in use; no changes are accepted until the name server is "
                                                 "restarted")

    def require_intact(self) -> None:
        """Raise NamingError if SQLite must no longer access its shared memory."""
        if not self._shm_bytes:
            return
        if not self._shm_is_damaged:
            try:
                size = os.stat(self._shm_path).st_size
            except OSError:
                return  # it was removed: the mapped pages remain valid
            # It only grows while the database is in use.
            if size >= self._shm_bytes:
                self._shm_bytes = size
                return
            self._shm_is_damaged = True
            log.error("%s: %s was truncated. The database cannot be used any more: restart the name server", self._spec,
                      self._shm_path)
        raise unusable(self._spec, "%s was truncated while it was in use; restart the name server" % self._shm_path)

    def prepare_closing(self) -> None:
        """Make the database safe to close: restore the size of truncated shared memory, with an invalid header, so that
        SQLite rebuilds it from the write-ahead log."""
        with contextlib.suppress(errors.NamingError):
            self.require_intact()
            return
        with contextlib.suppress(OSError):
            # By name: opening and closing the file here would release the locks that SQLite holds on it.
            os.truncate(self._shm_path, 0)
            os.truncate(self._shm_path, self._shm_bytes)


def _identity(path: str) -> Tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def connect(path: str, timeout: float, uri: bool = False) -> sqlite3.Connection:
    """Open or create a database; with `uri`, the path is a ``file:`` URI."""
    return sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False, uri=uri)


class Readers:
    """Connections for reading, each used by one thread at a time; as many are opened as threads are reading. Thread-safe.

    Args:
        probe: a query that opens all files of the database.
    """

    def __init__(self, path: str, files: DatabaseFiles, probe: str, timeout: float) -> None:
        self._uri = pathlib.Path(os.path.realpath(path)).as_uri() + "?mode=rw"  # never create a new file
        self._files = files
        self._probe = probe
        self._timeout = timeout
        self._idle: List[sqlite3.Connection] = []
        self._closed = False
        # guards _idle and _closed
        self._lock = threading.Lock()

    def maybe_take(self) -> Optional[sqlite3.Connection]:
        """Borrow a connection, outside of a transaction, until `give_back`; None if no further one can be opened now."""
        with self._lock:
            if self._closed:
                raise sqlite3.ProgrammingError("it is closed")
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _open(self) -> Optional[sqlite3.Connection]:
        connection = None
        try:
            if self._files.problem():
                return None
            connection = connect(self._uri, self._timeout, uri=True)
            connection.execute(self._probe).fetchall()  # opens the other files
        except sqlite3.OperationalError as x:  # most likely the limit of open files is reached
            log.warning("one more connection for reading cannot be opened: %s", x)
            if connection is not None:
                connection.close()
            return None
        if self._files.problem():  # the connection may be to the wrong file
            connection.close()
            return None
        return connection

    def give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()  # without the lock: closing can write to the disk

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
