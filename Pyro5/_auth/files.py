"""Files with secrets: reading them only if others cannot, and noticing changes."""
from __future__ import annotations

import logging
import os
import stat
import tempfile
import threading
from typing import Callable, Dict, Generic, Optional, Tuple, TypeVar

from .. import errors

log = logging.getLogger("Pyro5.auth")

T = TypeVar("T")
KEY_BYTES = 32
LEAST_KEY_BYTES = 16  # 128 bits; less can be tried out
MAX_FILE_BYTES = 4 * 1024 * 1024  # a mistaken file name must not fill the memory
_OTHERS = 0o077  # permissions of the group and of everyone else
_IS_POSIX = os.name == "posix"

Signature = Tuple[int, int, int, int]  # modification time, inode, size and mode


def check_private(path: str, status: os.stat_result, what: str) -> None:
    """Raise SecurityError if others can read or change a file."""
    if not stat.S_ISREG(status.st_mode):
        raise errors.SecurityError("the %s %s is not a regular file" % (what, path))  # a directory, a pipe, a device
    if _IS_POSIX and status.st_mode & _OTHERS:
        raise errors.SecurityError("the %s %s can be used by others (its mode is %04o): run 'chmod 600 %s'" % (
            what, path, stat.S_IMODE(status.st_mode), path))


def read_private(path: str, what: str) -> Tuple[bytes, Signature]:
    """Return the content of a file with secrets, and what tells it from later versions.

    Raises:
        SecurityError: others can use it, it cannot be read, or it is too large. The text contains nothing of its content.
    """
    try:
        # Not blocking: opening a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
                             | getattr(os, "O_BINARY", 0))
    except OSError as x:
        raise errors.SecurityError("cannot read the %s %s: %s" % (what, path, x.strerror)) from None
    try:
        # The open file is checked, not its name, which may refer to another file a moment later.
        status = os.fstat(descriptor)
        check_private(path, status, what)
    except BaseException:
        os.close(descriptor)  # later the file object does that
        raise
    with open(descriptor, "rb") as file:
        # One byte more than allowed, which shows that there is more.
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise errors.SecurityError("the %s %s is too large" % (what, path))
    return content, _signature(status)


def _signature(status: os.stat_result) -> Signature:
    # The inode: a file that was replaced may have the same time and size. The mode: a changed one must be checked again.
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode


class SecretFile(Generic[T]):
    """The parsed content of a file, read again when the file has changed. Thread-safe.

    Args:
        parse: called with the content. The ValueError that it raises becomes a SecurityError.
        what: what it is, for the texts of errors.
    """

    def __init__(self, path: str, parse: Callable[[bytes], T], what: str) -> None:
        self.path = os.path.abspath(path)  # the program may change its directory
        self._parse = parse
        self._what = what
        self._lock = threading.Lock()  # guards the next attribute; held while the file is read
        self._loaded: Optional[Tuple[Signature, T]] = None
        self._problem = ""  # what was logged last

    def current(self) -> T:
        """Return the current content; as long as a changed file is not usable, what it had before, and log why.

        Raises:
            SecurityError: the file was never usable.
        """
        # A file that is being edited must not lock out all users.
        try:
            content = self.get()
            self._problem = ""
            return content
        except errors.SecurityError as x:
            loaded = self._loaded
            if loaded is None:  # there is no earlier version
                raise
            if str(x) != self._problem:  # once for each problem: handshakes come in great numbers
                self._problem = str(x)
                log.error("the last usable version of the %s remains in use: %s", self._what, x)
            return loaded[1]

    def get(self) -> T:
        """Return the current content. Raises SecurityError."""
        try:
            # Without the lock: asking costs a microsecond, and most handshakes end here.
            signature = _signature(os.stat(self.path))
        except OSError as x:
            raise errors.SecurityError("cannot read the %s %s: %s" % (self._what, self.path, x.strerror)) from None
        with self._lock:
            if self._loaded is None or self._loaded[0] != signature:
                # The signature of what was read: the file may have changed since it was asked for above.
                content, signature = read_private(self.path, self._what)
                try:
                    self._loaded = signature, self._parse(content)
                except ValueError as x:
                    raise errors.SecurityError("the %s %s is not valid: %s" % (self._what, self.path, x)) from None
            return self._loaded[1]


def create(path: str, content: bytes) -> None:
    """Create a file that only this user can read. Raises FileExistsError if it exists, OSError if that fails."""
    # O_EXCL: an existing key that programs use must never be replaced by accident.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)


def replace(path: str, content: bytes) -> None:
    """Write a file that only this user can read, so that readers see either the old or the new content."""
    path = os.path.realpath(path)  # a link stays a link
    # In the same directory, because renaming works within a file system only.
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pyro5-")  # it has the mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # Before it gets the name: after a power failure the file would otherwise be empty.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ---------------------------------------------------------------- key files


def new_key() -> bytes:
    """Return the content of a new key file: a random key of 32 bytes, as hexadecimal digits."""
    return os.urandom(KEY_BYTES).hex().encode() + b"\n"


def parse_key(content: bytes) -> bytes:
    """Return the key in a file: 64 hexadecimal digits, or at least 16 bytes of any other kind.

    Raises:
        ValueError: it is too short.
    """
    text = content.strip()  # editors and shells add a newline
    if len(text) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(text.decode("ascii"))
        except ValueError:
            return text  # a text that has this length by chance
    if len(text) < LEAST_KEY_BYTES:
        raise ValueError("a key has at least %d bytes; create one with 'pyro5 key new FILE'" % LEAST_KEY_BYTES)
    return text


_keys: Dict[str, SecretFile[bytes]] = {}


def load_key(path: str) -> bytes:
    """Return the key in a file, which is read again only when it has changed. Thread-safe.

    Raises:
        SecurityError: there is no such file, others can read it, or it is not a key file.
    """
    # Without a lock: two threads may create the same entry, and either of them can stay.
    file = _keys.get(path)
    if file is None:
        file = _keys[path] = SecretFile(path, parse_key, "key file")
    return file.get()
