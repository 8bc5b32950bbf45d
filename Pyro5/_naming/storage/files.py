"""
What the storages that keep a file have in common: the place of the file, how they keep other processes away from it, and how
they say what is wrong with it.
"""
from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import IO, Any, Iterable

from ... import errors

if sys.platform != "win32":
    import fcntl

# What flock says on file systems that do not know it, or are not set up for it.
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


def unusable(spec: str, reason: object) -> errors.NamingError:
    """Make the error which says that a storage, named as the user named it, cannot do its work, and why."""
    return errors.NamingError("storage %s: %s" % (spec, reason))


def checked_path(spec: str, filename: str, suffixes: Iterable[str] = ("",)) -> str:
    """
    Give the absolute path of the file, which stays right when the program changes its working folder.

    Args:
        suffixes: what may stand behind the name; one name can mean several files.

    Raises:
        NamingError: such files cannot be there, or cannot be written to. None of them has been opened.
    """
    path = os.path.abspath(filename)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise unusable(spec, "there is no folder %s" % folder)
    for file in filter(os.path.exists, [path + suffix for suffix in suffixes]):
        if not os.path.isfile(file):
            raise unusable(spec, "%s is not a file" % file)
        if not os.access(file, os.R_OK):
            raise unusable(spec, "no permission to read %s" % file)
        if not os.access(file, os.W_OK):
            raise unusable(spec, "%s is read-only" % file)
    # Each storage has further files beside the one with the name.
    if not os.access(folder, os.W_OK):
        raise unusable(spec, "the folder %s is read-only" % folder)
    return path


def lock_at_once(file: IO[Any], path: str) -> None:
    """
    Lock an open file, for as long as it is open, on systems that have ``flock``.

    Raises:
        BlockingIOError: it is locked already, or whoever had locked it has just removed it.
        OSError: it cannot be locked.
    """
    if sys.platform != "win32":
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return
    raise BlockingIOError("another process was just about to close it")


class FileLock:
    """
    Keeps a file for one owner among all processes, by a second file beside it, which is there as long as somebody has the lock
    (or was killed while having it: then it is free all the same).

    The file itself must not be locked, nor even opened, if it is SQLite's: that would hinder, or end, the locks that SQLite
    has on it. Where file systems know no such lock (or the system, as Windows), everybody gets it.
    """

    def __init__(self, path: str) -> None:
        """
        Args:
            path: of the second file.

        Raises:
            BlockingIOError: somebody has the lock.
            OSError: the file cannot be made.
        """
        self._path = path
        self._file = open(path, "ab")
        try:
            lock_at_once(self._file, path)
        except BlockingIOError:
            self._file.close()
            raise
        except OSError as x:
            if x.errno not in _NO_LOCKS:
                self.release()
                raise

    def release(self) -> None:
        """Let others have it. May be called again."""
        if self._file.closed:
            return
        # in this order: see `lock_at_once`; a system that cannot remove an open file keeps it
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                fcntl.flock(self._file.fileno(), fcntl.LOCK_UN)  # a child of this process may have it open, too
        self._file.close()
