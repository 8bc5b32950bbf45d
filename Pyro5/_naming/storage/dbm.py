"""
The storage ``dbm:FILE``: a file of the standard library's ``dbm``, as Pyro 4 wrote them. It has names and uris (in UTF-8),
and no metadata.

Of an existing file it uses the kind that it is, for a new one the kind that ``dbm`` prefers. None of these kinds but one
survives being killed in the middle of a change, some keep changes to themselves until they are closed, one must stay in the
thread that opened it, and one writes its whole index for each name that is removed. So they are asked for as little as they
are good at: the file is read at the start, and changed at the end. Meanwhile the names are in memory, and each change is in
a log beside the file, ``FILE.changes``, before it is acknowledged. A server that was killed finds it there when it starts
again, and brings the file up to date.
"""
from __future__ import annotations

import contextlib
import dbm
import importlib
import logging
import os
from typing import AbstractSet, Any, Dict, FrozenSet, Iterable, Iterator, Tuple

from ... import constants, errors
from . import Registration, Storage
from .files import checked_path, unusable
from .journal import ChangeLog, Changes
from .ordered import OrderedNames

log = logging.getLogger("Pyro5.storage.dbmfile")

# Bringing the file up to date takes a while if there are many names. It is done at this size of the log, about half a million
# changes, so that the log does not grow forever.
LOG_LIMIT_BYTES = 64 << 20
# More removals than this, and making a new file is quicker for the kind that writes its index each time.
REMOVALS_AT_MOST = 20

_LOG_SUFFIX = ".changes"
# All that the different kinds of files have behind the name.
_FILE_SUFFIXES = ("", ".db", ".dat", ".dir", ".pag")
# What the different kinds raise if the file is damaged, cannot be read or written, or its module is not there.
_FAULTS = dbm.error + (ImportError, LookupError, SyntaxError, TypeError, ValueError, AttributeError)


def _metadata_refused() -> errors.NamingError:
    return errors.NamingError("the name server's storage dbm: has no metadata; use sql: for that")


class _NoMetadata(AbstractSet[str]):
    """Stands in the place of a set of metadata tags; whoever looks what is in it gets the error."""

    def __contains__(self, tag: object) -> bool:
        raise _metadata_refused()

    def __iter__(self) -> Iterator[str]:
        raise _metadata_refused()

    def __len__(self) -> int:
        raise _metadata_refused()


NO_METADATA = _NoMetadata()


class DbmStorage(Storage):
    """
    Keeps names and uris, without metadata, in a dbm file.

    Metadata tags are refused, and searching by them, or looking at those of a registration, is a NamingError too. Only the
    name server's own registration may come with tags, which are dropped.
    """

    def __init__(self, filename: str) -> None:
        """
        Open the file; it is made when there is something to put into it.

        Raises:
            NamingError: the file cannot be used, or another process uses it. It is left as it is.
        """
        self._spec = "dbm:" + filename
        self._path = checked_path(self._spec, filename, _FILE_SUFFIXES)
        self._update_at_bytes = LOG_LIMIT_BYTES
        self._log = self._open_log()
        try:
            self._uris = self._load()
        except BaseException:
            if self._log.size_bytes:
                self._log.close()
            else:
                self._log.remove()
            raise
        self._ordered = OrderedNames(self._uris)
        self._closed = False
        self._files = _identities(self._path)
        # A full disk is no reason to withhold what is registered.
        self._update_file_or_log()

    def _open_log(self) -> ChangeLog:
        path = self._path + _LOG_SUFFIX
        try:
            return ChangeLog(path)
        except BlockingIOError as x:
            raise unusable(self._spec, "another process uses it") from x
        except (OSError, ValueError) as x:
            raise unusable(self._spec, "cannot use %s: %s" % (path, getattr(x, "strerror", None) or x)) from x

    def _load(self) -> Dict[str, str]:
        """Give what is registered: what is in the file, and the changes that did not get into it at the end."""
        with self._faults_reported():
            uris = {} if self._log.is_complete else _read(self._path)
        _apply(self._log.changes, uris)
        return uris

    def __getitem__(self, name: str) -> Registration:
        return self._uris[name], NO_METADATA

    def __setitem__(self, name: str, registration: Registration) -> None:
        uri, metadata = registration
        if metadata is not NO_METADATA and metadata and name != constants.NAMESERVER_NAME:
            raise _metadata_refused()
        if self._uris.get(name) != uri:
            self._change({name: uri})

    def __delitem__(self, name: str) -> None:
        if name not in self._uris:
            raise KeyError(name)
        self._change({name: None})

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
        existing: Changes = {name: None for name in names if name in self._uris}
        if existing:
            self._change(existing)
        return len(existing)

    def close(self) -> None:
        """Bring the file up to date. If that fails it is logged, and done at the next start: nothing is lost."""
        if self._closed:
            return
        self._closed = True
        if self._update_file_or_log():
            self._log.remove()
        else:
            self._log.close()
        self._uris, self._ordered = {}, OrderedNames()

    def _restore_log(self) -> None:
        """
        If the log of changes was removed, replaced or truncated, write a new one that has everything.

        Raises:
            NamingError: what is there now is no log, or it cannot be written.
        """
        if self._log.is_in_place:
            return
        log.error("%s was removed or changed by somebody else; it is written anew", self._path + _LOG_SUFFIX)
        self._log.close()
        self._log = self._open_log()
        with self._faults_reported():
            self._log.append_everything(self._uris)

    def _change(self, changes: Changes) -> None:
        """Make a change as a whole; when this returns, it is safe."""
        if self._closed:
            raise unusable(self._spec, "it is closed")
        self._restore_log()
        with self._faults_reported():
            for name, uri in changes.items():
                (name + (uri or "")).encode("utf-8")
            self._log.append(changes)
        if not self._log.is_in_place:
            raise unusable(self._spec, "%s was removed meanwhile" % (self._path + _LOG_SUFFIX))
        _apply(changes, self._uris)
        self._ordered.remove([name for name, uri in changes.items() if uri is None])
        for name in [name for name, uri in changes.items() if uri is not None]:
            self._ordered.add(name)
        if self._log.size_bytes > self._update_at_bytes and not self._update_file_or_log():
            self._update_at_bytes = 2 * self._log.size_bytes

    def _update_file_or_log(self) -> bool:
        """Bring the file up to date; tell whether that went well."""
        try:
            self._restore_log()
            if self._log.size_bytes:
                self._update_file(self._uris)
        except errors.NamingError as x:
            log.error("cannot bring the file up to date, the changes stay in %s: %s", self._path + _LOG_SUFFIX, x)
            return False
        return True

    def _update_file(self, uris: Dict[str, str]) -> None:
        """Make the file hold these names and uris, which are those that it had with all changes in the log."""
        with self._faults_reported():
            changes = self._log.changes
            # A file that was removed or replaced does not have what changed before.
            make_anew = (self._log.is_complete or self._files != _identities(self._path)
                         or _is_quicker_anew(self._path, changes))
            self._log.append_everything(uris)
            if make_anew:
                _write(self._path, "n", dict(uris))
            else:
                _write(self._path, "c", changes)
            self._log.clear()
        self._files = _identities(self._path)

    @contextlib.contextmanager
    def _faults_reported(self) -> Iterator[None]:
        """Make a NamingError of what goes wrong."""
        try:
            yield
        except _FAULTS as x:
            raise unusable(self._spec, str(x) or type(x).__name__) from x


def _identities(path: str) -> Dict[str, Tuple[int, int]]:
    """Return which files there are, by the suffix."""
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
    """
    Give the name of the module for the kind of file that this is; an empty text if there is none.

    Raises:
        ValueError: it is a file of another kind.
    """
    kind = dbm.whichdb(path)
    if kind == "" or kind is None and os.path.exists(path):
        raise ValueError("the file is not one that this Python's dbm knows")
    return kind or ""


def _open(path: str, flag: str) -> Any:
    """Open the file as the kind that it is. (To make it anew, dbm.open would take the kind it prefers.)"""
    kind = _kind(path)
    return importlib.import_module(kind).open(path, flag) if kind else dbm.open(path, flag)  # type: ignore[arg-type]


def _read(path: str) -> Dict[str, str]:
    """Give what is in the file, nothing if there is none."""
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
