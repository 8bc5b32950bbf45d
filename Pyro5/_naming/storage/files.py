"""What the file storages have in common: checking the path of the file, locking out other processes, and the text of
their errors.
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

# Suffix of the file that is locked in place of an SQLite file.
LOCK_SUFFIX = "-lock"
# Errors of flock on file systems that do not support it, or are not configured for it.
_NO_LOCKS = frozenset((errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))


def unusable(spec: str, reason: object) -> errors.NamingError:
    """Build the error that says why a storage, named as the user named it, cannot do its work."""
    return errors.NamingError("storage %s: %s" % (spec, reason))


def checked_path(spec: str, filename: str, suffixes: Iterable[str] = ("",)) -> str:
    """Return the absolute path of the file, which stays valid when the program changes its working directory.

    Args:
        suffixes: what may follow the name; one name can stand for several files.

    Raises:
        NamingError: the files cannot exist there, or cannot be written. None of them has been opened.
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
    # Each storage creates further files in the directory.
    if not os.access(folder, os.W_OK):
        raise unusable(spec, "the folder %s is read-only" % folder)
    return path


def require_regular(spec: str, *paths: str) -> None:
    """Check that these files, as far as they exist, are regular ones, before any of them is opened.

    Opening a named pipe waits for another process, and a device can do anything.

    Raises:
        NamingError: one of them is not.
    """
    for path in paths:
        # lexists: a link that leads nowhere would make the file be created in a place that its owner has chosen.
        if os.path.lexists(path) and not os.path.isfile(path):
            raise unusable(spec, "%s is not a regular file; move it away" % path)


def lock_at_once(file: IO[Any], path: str) -> None:
    """Lock an open file for as long as it is open, on systems that have ``flock``.

    Raises:
        BlockingIOError: it is locked already, or the previous owner has just removed it.
        OSError: it cannot be locked.
    """
    if sys.platform != "win32":
        # At once: waiting for a name server that runs for months would look like a hang.
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    with contextlib.suppress(FileNotFoundError):
        # The file may have been removed between opening and locking it; then the lock is on a file that no other
        # process can find.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return
    raise BlockingIOError("another process was just about to close it")


class FileLock:
    """Reserves a file for one owner among all processes, by locking a second file beside it. The second file exists while the
    lock is held (if the owner was killed, it remains, but is not locked).

    An SQLite file itself must not be locked, or even opened: that would interfere with, or release, the locks that SQLite
    holds on it. Where the file system or the system (Windows) does not support such locks, every process gets it.
    """

    def __init__(self, path: str) -> None:
        """Args:
            path: of the second file.

        Raises:
            BlockingIOError: another owner holds the lock.
            OSError: the file cannot be created.
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
        """Release the lock. Can be called more than once."""
        if self._file.closed:
            return
        # in this order: see `lock_at_once`; a system that cannot remove an open file leaves it
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                fcntl.flock(self._file.fileno(), fcntl.LOCK_UN)  # a child process may have inherited the open file
        self._file.close()


def locked_out_others(spec: str, path: str) -> FileLock:
    """Lock the file against other name servers, whose own registrations would overwrite each other; other programs may use it.
    """
    # beside the target of any links
    lock_path = os.path.realpath(path) + LOCK_SUFFIX
    try:
        return FileLock(lock_path)
    except BlockingIOError as x:
        raise unusable(spec, "another process uses it") from x
    except OSError as x:
        raise unusable(spec, "cannot use %s: %s" % (lock_path, x.strerror or x)) from x
