"""Parse the name server's option ``--storage``."""
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
    from .sqlite import SqlStorage  # loads sqlite3, which some installations of Python lack
    return SqlStorage(filename)


def _open_dbm(filename: Optional[str]) -> Storage:
    if not filename:
        raise ValueError("storage type 'dbm' needs the name of a file: dbm:FILE")
    from .dbm import DbmStorage  # imports dbm, which some installations lack too
    return DbmStorage(filename)


def _open_etcd(address: Optional[str]) -> Storage:
    # imports http.client
    from .etcd.storage import EtcdStorage
    from .etcd.target import parse_target
    return EtcdStorage(parse_target(address))


# The text up to the colon -> function that opens a storage from the text after the colon (None without a colon).
STORAGE_TYPES: Dict[str, Callable[[Optional[str]], Storage]] = {
    "memory": _open_memory,
    "sql": _open_sql,
    "dbm": _open_dbm,
    "etcd": _open_etcd,
}
# For help and error texts.
STORAGE_CHOICES = "memory, sql:FILE, dbm:FILE or etcd:http://HOST:2379,HOST:2379/PREFIX"


def open_storage(storage: Any = None) -> Storage:
    """Return the storage for an option or an object.

    Args:
        storage: None or ``"memory"``, ``"sql:FILE"``, ``"dbm:FILE"``, ``"etcd:http://HOST:PORT,HOST:PORT/PREFIX"``, or a
            storage object of the program (see the package's documentation).

    Raises:
        ValueError: unknown storage type, or its file name is missing.
        TypeError: the object is not a storage.
        NamingError: the file, or the cluster, cannot be used.
    """
    if storage is None:
        return MemoryStorage()
    if not isinstance(storage, str):
        return adapt(storage)
    kind, colon, filename = storage.partition(":")
    if kind not in STORAGE_TYPES:
        raise ValueError("invalid storage type '%s'; available: %s" % (storage, STORAGE_CHOICES))
    return STORAGE_TYPES[kind](filename if colon else None)
