"""
A file beside another file, to which it adds what a change costs little to write: one line, on the disk at once.

Some files can only be changed in several steps, and are useless if the process is killed between two of them. With a log of
changes, such a file need not be touched until there is time, and can be made again if that went wrong:

1. each change is appended to the log; the file stays as it is;
2. to bring the file up to date, everything there is goes into the log first, then the file is changed, and when that is
   done the log is emptied.

So after a crash either the file is whole and the log has the changes since, or the log has everything.
"""
from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Dict, List, Optional

from .files import lock_at_once

# What changed: name -> its new text, or None if it is gone.
Changes = Dict[str, Optional[str]]

_HEADER = b"Pyro5 name server: changes\n"
_CHANGES, _EVERYTHING = "changes", "everything"


class ChangeLog:
    """
    A log of changes to a mapping of texts. It is not for several threads at once.

    While it is open no other process can open it (on systems that have ``flock``).

    Attributes:
        changes: all of the changes in the log, the later ones in the place of earlier ones.
        is_complete: whether they are everything there is, rather than changes to what the file has.
        size_bytes: the size of the log.
    """

    def __init__(self, path: str) -> None:
        """
        Open the log, or make an empty one.

        Raises:
            BlockingIOError: another process has it open.
            OSError: it cannot be read or written to.
            ValueError: the file is no such log.
        """
        self._path = path
        self.changes: Changes = {}
        self.is_complete = False
        self.size_bytes = 0
        self._file = open(path, "a+b", buffering=0)
        try:
            lock_at_once(self._file, path)
            self._load()
        except BaseException:
            self._file.close()
            raise
        _sync_folder(path)

    @property
    def is_in_place(self) -> bool:
        """Whether the file with the log's name is still the one that is written to, with all that was written."""
        try:
            own = os.fstat(self._file.fileno())
            return own.st_size >= self.size_bytes and os.path.samestat(own, os.stat(self._path))
        except (OSError, ValueError):
            return False

    def append(self, changes: Changes) -> None:
        """
        Add a change. When this returns it is on the disk; if it fails, nothing is changed.

        Raises:
            OSError: it cannot be written.
        """
        self._write(_CHANGES, changes)
        self.changes.update(changes)

    def append_everything(self, contents: Dict[str, str]) -> None:
        """Add all there is, so that the file can be changed, and even be made anew. Raises as `append`."""
        self._write(_EVERYTHING, contents)
        self.changes, self.is_complete = dict(contents), True

    def clear(self) -> None:
        """Empty the log: the file is up to date."""
        self._file.truncate(0)
        os.fsync(self._file.fileno())
        self.changes, self.is_complete, self.size_bytes = {}, False, 0

    def remove(self) -> None:
        """Close the log, and remove its file. May be called again."""
        if not self._file.closed:
            # A system that cannot remove an open file keeps it; if it was closed first, another process could have it.
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._file.close()

    def close(self) -> None:
        """Close the log, and leave its file. May be called again."""
        self._file.close()

    def _load(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        # The process may have been killed while it wrote the end; nobody was told that this was done.
        whole = data[:data.rfind(b"\n") + 1]
        if not data.startswith(_HEADER[:len(data)]):
            raise ValueError("the file is no log of changes")
        for number, line in enumerate(whole.split(b"\n")[1:-1], 2):
            try:
                self._replay(json.loads(line))
            except (ValueError, TypeError) as x:
                raise ValueError("line %d is damaged" % number) from x
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
        data += json.dumps([kind, changes], separators=(",", ":")).encode("ascii") + b"\n"
        # What a failed attempt (a full disk, say) has left.
        self._file.truncate(self.size_bytes)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) or 0:]
        os.fsync(self._file.fileno())
        self.size_bytes += len(data)


def _sync_folder(path: str) -> None:
    """Make the name of a new file last through a power failure, where folders can be opened."""
    if sys.platform != "win32":
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
