"""A change log beside another file, in which a change costs only one line, written to disk immediately.

Some files can only be changed in several steps, and are corrupt if the process is killed between two of them. With a log of
changes, the file is only written from time to time, and can be written again if that failed:

1. each change is appended to the log; the file is not touched;
2. to update the file, its complete new contents are appended to the log, then the file is written, and finally
   the log is emptied.

So after a crash either the file is valid and the log has the changes since, or the log has the complete contents.
"""
from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Dict, List, Optional

from .files import lock_at_once

# A set of changes: name -> its new text, or None if it is removed.
Changes = Dict[str, Optional[str]]

_HEADER = b"Pyro5 name server: changes\n"
_CHANGES, _EVERYTHING = "changes", "everything"


class ChangeLog:
    """A log of changes to a mapping of texts. Not thread-safe.

    While it is open, no other process can open it (on systems that have ``flock``).

    Attributes:
        changes: all changes in the log; later ones replace earlier ones.
        is_complete: whether they are the complete contents, rather than changes to the contents of the file.
        size_bytes: the size of the log.
    """

    def __init__(self, path: str) -> None:
        """Open the log, or create an empty one.

        Raises:
            BlockingIOError: another process has it open.
            OSError: it cannot be read or written.
            ValueError: the file is not a change log.
        """
        self._path = path
        self.changes: Changes = {}
        self.is_complete = False
        self.size_bytes = 0
        self._file = open(path, "a+b", buffering=0)
        # The lock is taken before the log is read: another process could still be writing to it.
        try:
            lock_at_once(self._file, path)
            self._load()
        except BaseException:
            self._file.close()
            raise
        _sync_folder(path)

    @property
    def is_in_place(self) -> bool:
        """Whether the file with the log's name is still the open one, with everything that was written to it."""
        try:
            own = os.fstat(self._file.fileno())
            return own.st_size >= self.size_bytes and os.path.samestat(own, os.stat(self._path))
        except (OSError, ValueError):
            return False

    def append(self, changes: Changes) -> None:
        """Append a change. When this returns it is on disk; if it fails, nothing has changed.

        Raises:
            OSError: it cannot be written.
        """
        # first the disk: a change that could not be written must not be visible
        self._write(_CHANGES, changes)
        self.changes.update(changes)

    def append_everything(self, contents: Dict[str, str]) -> None:
        """Append the complete contents, so that the file can be written again from the log. Raises as `append`."""
        self._write(_EVERYTHING, contents)
        self.changes, self.is_complete = dict(contents), True

    def clear(self) -> None:
        """Empty the log, because the file is up to date."""
        self._file.truncate(0)
        os.fsync(self._file.fileno())
        self.changes, self.is_complete, self.size_bytes = {}, False, 0

    def remove(self) -> None:
        """Close the log and remove its file. Can be called more than once."""
        if not self._file.closed:
            # Some systems cannot remove an open file and leave it; if it were closed first, another process could lock it.
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._file.close()

    def close(self) -> None:
        """Close the log but keep its file. Can be called more than once."""
        self._file.close()

    def _load(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        # The process may have been killed during the last write; that change was not acknowledged.
        whole = data[:data.rfind(b"\n") + 1]
        # Shorter than the header: a new file whose first write was interrupted.
        if not data.startswith(_HEADER[:len(data)]):
            raise ValueError("the file is no log of changes")
        for number, line in enumerate(whole.split(b"\n")[1:-1], 2):
            try:
                self._replay(json.loads(line))
            except (ValueError, TypeError) as x:
                raise ValueError("line %d is damaged" % number) from x
        # What is left of an interrupted write is removed, so that the next change begins on a line of its own.
        self._file.truncate(len(whole))
        self.size_bytes = len(whole)

    def _replay(self, entry: List[object]) -> None:
        kind, changes = entry
        if kind not in (_CHANGES, _EVERYTHING) or not isinstance(changes, dict):
            raise ValueError("unknown entry")
        if kind == _EVERYTHING:
            self.changes, self.is_complete = {}, True
        self.changes.update(changes)

    def _write(self, kind: str, changes: object) -> None:
        data = b"" if self.size_bytes else _HEADER
        # ASCII, one line per change: a line break in a text is escaped.
        data += json.dumps([kind, changes], separators=(",", ":")).encode("ascii") + b"\n"
        # Remove what a failed write (a full disk, for example) has left.
        self._file.truncate(self.size_bytes)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0:]
        os.fsync(self._file.fileno())
        self.size_bytes += len(data)


def _sync_folder(path: str) -> None:
    """Sync the directory, so that a new file survives a power failure, on systems where directories can be opened."""
    if sys.platform != "win32":
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
