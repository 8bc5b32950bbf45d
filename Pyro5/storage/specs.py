"""Which storage the text of the name server's option ``--storage`` stands for."""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from . import Storage, adapt
from .memory import MemoryStorage


def _open_memory(filename: Optional[str]) -> Storage:
    if filename is not None:
        raise ValueError("storage type 'memory' takes no file name, but got '%s'" % filename)
    return MemoryStorage()


# The text up to the colon -> function that makes a storage of what follows the colon (None: there is no colon).
STORAGE_TYPES: Dict[str, Callable[[Optional[str]], Storage]] = {
    "memory": _open_memory,
}


def open_storage(storage: Any = None) -> Storage:
    """
    Give the storage that a user asked for.

    Args:
        storage: None or ``"memory"``, or an object of one's own (see the package's documentation).

    Raises:
        ValueError: no such storage type.
        TypeError: the object is no storage.
    """
    if storage is None:
        return MemoryStorage()
    if not isinstance(storage, str):
        return adapt(storage)
    kind, colon, filename = storage.partition(":")
    if kind not in STORAGE_TYPES:
        raise ValueError("invalid storage type '%s'; available: %s" % (storage, ", ".join(sorted(STORAGE_TYPES))))
    return STORAGE_TYPES[kind](filename if colon else None)
