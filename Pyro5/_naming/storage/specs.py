"""Which storage the text of the name server's option ``--storage`` stands for."""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from . import Storage, adapt
from .memory import MemoryStorage


def _open_memory(filename: Optional[str]) -> Storage:
    if filename is not None:
        raise ValueError("storage type 'memory' takes no file name, but got '%s'" % filename)
    return MemoryStorage()


def _open_sql(filename: Optional[str]) -> Storage:
    if not filename:
        raise ValueError("storage type 'sql' needs the name of a file: sql:FILE")
    from .sqlite import SqlStorage
    return SqlStorage(filename)


def _open_dbm(filename: Optional[str]) -> Storage:
    if not filename:
        raise ValueError("storage type 'dbm' needs the name of a file: dbm:FILE")
    from .dbm import DbmStorage
    return DbmStorage(filename)


# The text up to the colon -> function that makes a storage of what follows the colon (None: there is no colon).
STORAGE_TYPES: Dict[str, Callable[[Optional[str]], Storage]] = {
    "memory": _open_memory,
    "sql": _open_sql,
    "dbm": _open_dbm,
}
# For those who choose one.
STORAGE_CHOICES = "memory, sql:FILE or dbm:FILE"


def open_storage(storage: Any = None) -> Storage:
    """
    Give the storage that a user asked for.

    Args:
        storage: None or ``"memory"``, ``"sql:FILE"``, ``"dbm:FILE"``, or an object of one's own (see the package's
            documentation).

    Raises:
        ValueError: no such storage type, or it lacks the name of a file.
        TypeError: the object is no storage.
        NamingError: the file cannot be used.
    """
    if storage is None:
        return MemoryStorage()
    if not isinstance(storage, str):
        return adapt(storage)
    kind, colon, filename = storage.partition(":")
    if kind not in STORAGE_TYPES:
        raise ValueError("invalid storage type '%s'; available: %s" % (storage, STORAGE_CHOICES))
    return STORAGE_TYPES[kind](filename if colon else None)
