"""The storage ``dbm:FILE``: a file of the standard library's ``dbm``, as written by Pyro 4. It stores names and uris (in
UTF-8), but no metadata. The lease and the members of a name are one more entry.

An existing file is opened with the dbm module that wrote it, a new one with the module that ``dbm`` prefers. Only one of
these modules survives being killed in the middle of a change; some write nothing until the file is closed, one may only be
used in the thread that opened it, and one rewrites its whole index for each removed name. Therefore the file is only
read at the start and written at the end. In between the names are in memory, and each change is appended to
a log beside the file, ``FILE.changes``, before it is acknowledged. After a crash, the next start finds the log and brings the
file up to date.
"""
from __future__ import annotations

import contextlib
import dbm
import importlib
import logging
import os
from typing import AbstractSet, Any, Dict, FrozenSet, Iterable, Iterator, Optional, Tuple

from ... import constants, errors
from . import Registration, StorageWithDetails
from .files import checked_path, require_regular, unusable
from .journal import ChangeLog, Changes
from .memory import OrderedNames

log = logging.getLogger("Pyro5.storage.dbmfile")

# Updating the file takes a while if there are many names. It is done when the log reaches this size, about half a million
# changes, so that the log does not grow without limit.
LOG_LIMIT_BYTES = 64 << 20
# With more removals than this, a module that rewrites its index each time is faster at writing a new file.
REMOVALS_AT_MOST = 20

_LOG_SUFFIX = ".changes"
# The keys of details are this and the name; names have no control characters.
_DETAILS = "\0details:"
# All suffixes that the dbm modules append to the file name.
_FILE_SUFFIXES = ("", ".db", ".dat", ".dir", ".pag")
# What the dbm modules raise if the file is damaged or cannot be read or written, or if the module is missing.
_FAULTS = dbm.error + (ImportError, LookupError, SyntaxError, TypeError, ValueError, AttributeError)


def _metadata_refused() -> errors.NamingError:
    return errors.NamingError("the name server's storage dbm: has no metadata; use sql: for that")


class _NoMetadata(AbstractSet[str]):
    """Placeholder for a set of metadata tags; accessing its contents raises the error."""

    def __contains__(self, tag: object) -> bool:
        raise _metadata_refused()

    def __iter__(self) -> Iterator[str]:
        raise _metadata_refused()

    def __len__(self) -> int:
        raise _metadata_refused()


NO_METADATA = _NoMetadata()


class DbmStorage(StorageWithDetails):
    """Stores names and uris, without metadata, in a dbm file.

    Registering metadata tags, searching by them, or reading those of a registration raises a NamingError. Only the
    name server's own registration may come with tags, which are dropped.
    """

    def __init__(self, filename: str) -> None:
        """Open the file; it is created when there is something to write.

        Raises:
            NamingError: the file cannot be used, or another process uses it. It is left unchanged.
        """
        self._spec = "dbm:" + filename
        self._path = checked_path(self._spec, filename, _FILE_SUFFIXES)
        self._update_at_bytes = LOG_LIMIT_BYTES
        self._log = self._open_log()
        try:
            self._uris = self._load()
            self._details = {key: self._uris.pop(key) for key in list(self._uris) if key.startswith(_DETAILS)}
        except BaseException:
            # The log is kept if it has changes that are not in the file: the next start needs them.
            if self._log.size_bytes:
                self._log.close()
            else:
                self._log.remove()
            raise
        self._ordered = OrderedNames(self._uris)
        self._closed = False
        self._files = _identities(self._path)
        # A full disk must not prevent lookups of existing registrations.
        self._update_file_or_log()

    def _open_log(self) -> ChangeLog:
        path = self._path + _LOG_SUFFIX
        require_regular(self._spec, path)
        try:
            return ChangeLog(path)
        except BlockingIOError as x:
            raise unusable(self._spec, "another process uses it") from x
        except (OSError, ValueError) as x:
            raise unusable(self._spec, "cannot use %s: %s" % (path, getattr(x, "strerror", None) or x)) from x

    def _load(self) -> Dict[str, str]:
        """Return the registrations: those in the file, with the logged changes that have not been written to it."""
        with self._faults_reported():
            uris = {} if self._log.is_complete else _read(self._path)
        _apply(self._log.changes, uris)
        return uris

    def __getitem__(self, name: str) -> Registration:
        return self._uris[name], NO_METADATA

    def store(self, name: str, registration: Registration, details: Optional[str] = None) -> None:
        uri, metadata = registration
        if metadata is not NO_METADATA and metadata and name != constants.NAMESERVER_NAME:
            raise _metadata_refused()
        changes: Changes = {} if self._uris.get(name) == uri else {name: uri}
        if self._details.get(_DETAILS + name) != details:
            changes[_DETAILS + name] = details
        # Repeated registrations of the same URI write nothing to the disk.
        if changes:
            self._change(changes)

    def load_details(self) -> Dict[str, str]:
        return {key[len(_DETAILS):]: text for key, text in self._details.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._uris)

    def __len__(self) -> int:
        return len(self._uris)

    def __contains__(self, name: object) -> bool:
        return name in self._uris

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        return {name: (self._uris[name], NO_METADATA) for name in self._ordered.with_prefix(prefix)}

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        if tags:
            raise _metadata_refused()
        return {}

    def remove_names(self, names: Iterable[str]) -> int:
        existing = [name for name in names if name in self._uris]
        changes: Changes = dict.fromkeys(existing)
        changes.update(dict.fromkeys(_DETAILS + name for name in existing if _DETAILS + name in self._details))
        if changes:
            self._change(changes)
        return len(set(existing))

    def close(self) -> None:
        """Update the file. If that fails, the error is logged and the next start tries again: no change is lost."""
        if self._closed:
            return
        self._closed = True  # first, so that a second close() cannot write again
        if self._update_file_or_log():
            self._log.remove()
        else:
            self._log.close()
        self._uris, self._details, self._ordered = {}, {}, OrderedNames()

    def _restore_log(self) -> None:
        """Write a complete new log if the log was removed, replaced or truncated.

        Raises:
            NamingError: the file with the log's name is not a log, or it cannot be written.
        """
        if self._log.is_in_place:
            return
        log.error("%s was removed or changed by another program; it is written again", self._path + _LOG_SUFFIX)
        self._log.close()
        self._log = self._open_log()
        with self._faults_reported():
            self._log.append_everything({**self._uris, **self._details})

    def _change(self, changes: Changes) -> None:
        """Make a change atomically; it is on disk when this returns."""
        if self._closed:
            raise unusable(self._spec, "it is closed")
        # Texts that cannot be encoded are refused before anything is written: the log would accept them, but not the file.
        self._restore_log()
        with self._faults_reported():
            for name, uri in changes.items():
                (name + (uri or "")).encode("utf-8")
            self._log.append(changes)
        # Checked after the write as well: a change in a removed log would be lost, so it must not be acknowledged.
        if not self._log.is_in_place:
            raise unusable(self._spec, "%s was removed meanwhile" % (self._path + _LOG_SUFFIX))
        # In this order: the tables in memory are changed only by what is safely in the log.
        details = {key: changes.pop(key) for key in list(changes) if key.startswith(_DETAILS)}
        _apply(details, self._details)
        _apply(changes, self._uris)
        self._ordered.remove([name for name, uri in changes.items() if uri is None])
        for name in [name for name, uri in changes.items() if uri is not None]:
            self._ordered.add(name)
        if self._log.size_bytes > self._update_at_bytes and not self._update_file_or_log():
            self._update_at_bytes = 2 * self._log.size_bytes  # not with every change: an attempt can take seconds

    def _update_file_or_log(self) -> bool:
        """Update the file; return whether that succeeded."""
        try:
            self._restore_log()
            if self._log.size_bytes:
                self._update_file({**self._uris, **self._details})
        except errors.NamingError as x:
            log.error("cannot bring the file up to date, the changes stay in %s: %s", self._path + _LOG_SUFFIX, x)
            return False
        return True

    def _update_file(self, uris: Dict[str, str]) -> None:
        """Write these names and uris to the file; they are its previous contents with all changes in the log."""
        with self._faults_reported():
            # Read before append_everything(), which replaces them.
            changes = self._log.changes
            # A file that was removed or replaced does not contain the earlier changes.
            make_anew = (self._log.is_complete or self._files != _identities(self._path)
                         or _is_quicker_anew(self._path, changes))
            # From here on the log alone is sufficient, so the file may be incomplete until it is written.
            self._log.append_everything(uris)
            if make_anew:
                _write(self._path, "n", dict(uris))
            else:
                _write(self._path, "c", changes)
            self._log.clear()  # only now is the file alone sufficient again
        self._files = _identities(self._path)

    @contextlib.contextmanager
    def _faults_reported(self) -> Iterator[None]:
        """Convert the errors of the block to NamingError."""
        try:
            yield
        except _FAULTS as x:
            raise unusable(self._spec, str(x) or type(x).__name__) from x


def _identities(path: str) -> Dict[str, Tuple[int, int]]:
    """Return the device and inode of each existing file, by suffix."""
    found = {}
    for suffix in _FILE_SUFFIXES:
        with contextlib.suppress(OSError):
            state = os.stat(path + suffix)
            found[suffix] = (state.st_dev, state.st_ino)
    return found


def _apply(changes: Changes, uris: Dict[str, str]) -> None:
    for name, uri in changes.items():
        if uri is None:
            uris.pop(name, None)
        else:
            uris[name] = uri


def _kind(path: str) -> str:
    """Return the name of the dbm module for the file; an empty text if there is no file.

    Raises:
        ValueError: it is not a dbm file that this Python supports.
    """
    kind = dbm.whichdb(path)
    if kind == "" or kind is None and os.path.exists(path):
        raise ValueError("the file is not one that this Python's dbm knows")
    return kind or ""


def _open(path: str, flag: str) -> Any:
    """Open the file with the module that wrote it. (For a new file, dbm.open chooses the module.)"""
    kind = _kind(path)
    return importlib.import_module(kind).open(path, flag) if kind else dbm.open(path, flag)  # type: ignore[arg-type]


def _read(path: str) -> Dict[str, str]:
    """Return the contents of the file, empty if there is none."""
    if not _kind(path):
        return {}
    with contextlib.closing(_open(path, "r")) as file:
        return {key.decode("utf-8"): file[key].decode("utf-8") for key in file.keys()}


def _is_quicker_anew(path: str, changes: Changes) -> bool:
    removals = sum(1 for uri in changes.values() if uri is None)
    return removals > REMOVALS_AT_MOST and _kind(path) == "dbm.dumb"


def _write(path: str, flag: str, changes: Any) -> None:
    with contextlib.closing(_open(path, flag)) as file:
        for name, uri in changes.items():
            key = name.encode("utf-8")
            if uri is not None:
                file[key] = uri.encode("utf-8")
            elif key in file:
                del file[key]
