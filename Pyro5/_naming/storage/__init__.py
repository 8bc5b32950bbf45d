"""The contract of name server storages, and how registrations are searched.

A storage is a mutable mapping: name -> ``(uri, metadata)``, the uri as text, the metadata tags as a set of strings.
`Storage` is that contract. A program can pass its own storage to ``NameServer`` and ``start_ns`` in three forms:

* any mutable mapping, including a plain dict: `adapt` wraps it;
* a subclass of `Storage` with the five methods of a mutable mapping, which inherits the searches;
* the same with faster searches that return exactly the same results.

The meaning of the searches is defined here for all storages:

========  ============================================================================================
prefix    the beginning of the name, character by character: case-sensitive, without special characters
regex     a regular expression of the ``re`` module that matches at the beginning of the name
tags      all of the given metadata tags, or at least one of them; no tags find nothing
========  ============================================================================================

A storage does not search with regular expressions: the name server reads all `names` and matches them itself, since a
match may take long and must not block other clients.

Threads: the name server holds its lock around every call, so a storage without other users needs no lock of its own.
Its methods may be called in any thread. A storage with ``reads_alongside`` is read without that lock, so that reads do
not wait for changes or for other large reads.

This module contains only the contract. The storages that use files are imported on first use.
"""
from __future__ import annotations

import re
import sys
from typing import (AbstractSet, Any, Callable, Dict, FrozenSet, ItemsView, Iterable, Iterator, List, MutableMapping, Optional,
                    Tuple, TypeVar)

from ... import errors

T = TypeVar("T")
# The uri text and the metadata tags.
Registration = Tuple[str, AbstractSet[str]]
# Estimated memory of a registration, and of each of its tags, in addition to the texts.
ENTRY_BYTES, TAG_BYTES = 300, 100
# What the contract needs of a mapping; MutableMapping would demand that programs register their classes.
_MAPPING_METHODS = ("__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "__contains__", "items")


class Storage(MutableMapping[str, Registration]):
    """The contract of a storage; see the module's documentation.

    A subclass has ``__getitem__``, ``__setitem__``, ``__delitem__``, ``__iter__`` and ``__len__``. Each of its methods
    is atomic: it takes effect completely or not at all. Callers do not modify what a method returns, and it does not
    change later; a storage copies what it is given.

    Raises:
        KeyError: when reading or deleting a name that does not exist.
        NamingError: the storage itself fails, or does not support the operation.

    Attributes:
        reads_alongside: whether any number of threads may call reading methods while another one makes a change.
        is_shared: whether several name servers use the storage at the same time, see `shared.SharedStorage`.
    """

    reads_alongside = False  # the default for storages of programs, which may not expect it
    is_shared = False

    def names(self) -> List[str]:
        """Return all names as a new list."""
        # Complete, so that a change during a search does not matter.
        return list(self)

    def find_names(self, names: Iterable[str]) -> Dict[str, Registration]:
        """Return the registrations of those of the names that exist."""
        # Asked one by one; storages with a query for that override it.
        return {name: self[name] for name in names if name in self}

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        """Return the registrations whose name begins with the prefix; an empty prefix matches all."""
        # A storage that has an index overrides the searches; these read everything.
        return {name: registration for name, registration in self.items() if name.startswith(prefix)}

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        """Return the registrations that have all of the tags, or (not match_all) at least one. No tags find nothing."""
        if not tags:
            return {}  # all() of nothing would be true for every name
        if match_all:
            return {name: found for name, found in self.items() if tags.issubset(found[1] or ())}
        return {name: found for name, found in self.items() if not tags.isdisjoint(found[1] or ())}

    def remove_names(self, names: Iterable[str]) -> int:
        """Remove those of the names that exist, atomically; return how many were removed."""
        # A subclass whose deletion can fail in the middle overrides this to make it atomic.
        existing = [name for name in names if name in self]
        for name in existing:
            del self[name]
        return len(existing)

    def store(self, name: str, registration: Registration, details: Optional[str] = None) -> None:
        """Store a registration together with its details, a text; None if it has none. See `load_details`."""
        self[name] = registration

    def load_details(self) -> Dict[str, str]:
        """Return the details of all registrations that have some. The name server calls this when it opens the storage.

        They are the leases and members of names, which the name server keeps in memory. They belong to a registration: they
        are removed with it, and by storing it without details. A storage that does not keep them has none here; then the
        registrations in it have no lease any more after the name server is started again.
        """
        # A mapping of a program cannot store details: its leases end with the name server.
        return {}

    def total_cost(self) -> int:
        """Return the sum of `cost` for all registrations, or an estimate."""
        return sum(cost(name, registration) for name, registration in self.items())

    def patiently(self, operation: Callable[[], T]) -> T:
        """Run an operation on this storage, and retry it while another process blocks it. The caller must not hold
        a lock; the operation may acquire one."""
        return operation()  # only storages that share a file override it

    def close(self) -> None:
        """Release files and other resources; can be called more than once. Afterwards a storage that uses a file is empty."""

    # ------------------------------------------------------------ method names of releases 5.x

    def everything(self, return_metadata: bool = False) -> Dict[str, Any]:
        """Return all registrations: name -> uri, or name -> (uri, metadata)."""
        # Programs that were written for 5.x call these.
        return listing(self.find_prefix(""), return_metadata)

    def remove_items(self, items: Iterable[str]) -> int:
        """Remove those of the names that exist; return how many were removed."""
        return self.remove_names(items)

    def optimized_prefix_list(self, prefix: str, return_metadata: bool = False) -> Dict[str, Any]:
        """Return the registrations whose name begins with the prefix, in the form of `everything`."""
        return listing(self.find_prefix(prefix), return_metadata)

    def optimized_regex_list(self, regex: str, return_metadata: bool = False) -> Dict[str, Any]:
        """Return the registrations whose name matches the regular expression at its beginning, in the form of `everything`.

        The expression runs in this process without a time limit: never pass one that came from a client.
        """
        try:
            # Without a helper process: the caller is the program itself, not a client.
            match = re.compile(regex).match
        except re.error as x:
            raise errors.NamingError("invalid regex: %s" % x) from x
        return listing(self.find_names([name for name in self.names() if match(name)]), return_metadata)

    def optimized_metadata_search(self, metadata_all: Optional[Iterable[str]] = None,
                                  metadata_any: Optional[Iterable[str]] = None,
                                  return_metadata: bool = False) -> Dict[str, Any]:
        """Return the registrations that have all of some tags, or any of them, in the form of `everything`."""
        tags, match_all = (metadata_all, True) if metadata_all else (metadata_any, False)
        return listing(self.find_tags(frozenset(tags or ()), match_all), return_metadata)


def cost(name: str, registration: Registration) -> int:
    """Return the approximate memory of a registration in bytes."""
    # An estimate: shared strings are counted for each registration, and a mapping of the program may contain anything.
    uri, tags = registration
    size = ENTRY_BYTES + sys.getsizeof(name) + sys.getsizeof(uri)
    if isinstance(tags, (set, frozenset, tuple, list)):
        size += sum(TAG_BYTES + sys.getsizeof(tag) for tag in tags)
    return size


def tags_of(registration: Registration) -> FrozenSet[str]:
    """Return the metadata tags of a registration; none if its storage has no metadata."""
    try:
        return frozenset(registration[1] or ())
    except errors.NamingError:  # dbm files have no metadata
        return frozenset()


def listing(found: Dict[str, Registration], return_metadata: bool) -> Dict[str, Any]:
    """Build the result of a search: name -> uri, or name -> (uri, set of tags)."""
    if return_metadata:
        # A new set for each, because the result belongs to the caller.
        return {name: (uri, set(metadata or ())) for name, (uri, metadata) in found.items()}
    return {name: uri for name, (uri, _) in found.items()}


class StorageWithDetails(Storage):
    """Base class of storages that keep details: changes of single names are those of several."""

    def __setitem__(self, name: str, registration: Registration) -> None:
        self.store(name, registration)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.remove_names((name,))


class StorageInMapping(Storage):
    """Base class of storages whose registrations are in a mapping."""

    _mapping: MutableMapping[str, Registration]

    def __getitem__(self, name: str) -> Registration:
        return self._mapping[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __contains__(self, name: object) -> bool:
        return name in self._mapping

    def items(self) -> ItemsView[str, Registration]:
        """Return the mapping's own view: searches are several times faster than with ``__getitem__``."""
        return self._mapping.items()


class MappingStorage(StorageInMapping):
    """Adapts a mutable mapping (name -> (uri, metadata)) to the contract.

    If the mapping has search and removal methods under the names of releases 5.x, these are used; if a search
    returns None (not optimized), the default search is used.
    """

    def __init__(self, mapping: MutableMapping[str, Registration]) -> None:
        self._mapping = mapping

    def __setitem__(self, name: str, registration: Registration) -> None:
        # a copy: the caller may change its set afterwards, and a plain dict would keep a reference to it
        uri, metadata = registration
        self._mapping[name] = uri, frozenset(metadata)

    def __delitem__(self, name: str) -> None:
        del self._mapping[name]

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        if prefix:
            found = self._own("optimized_prefix_list", prefix, return_metadata=True)
        else:
            found = self._own("everything", return_metadata=True)
        return super().find_prefix(prefix) if found is None else dict(found)

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        found = None
        if tags:
            criterion = {"metadata_all" if match_all else "metadata_any": set(tags)}
            found = self._own("optimized_metadata_search", return_metadata=True, **criterion)
        return super().find_tags(tags, match_all) if found is None else dict(found)

    def remove_names(self, names: Iterable[str]) -> int:
        # only existing names: the methods of 5.x raise KeyError for others
        existing = [name for name in names if name in self]
        remove_items: Optional[Callable[..., Any]] = getattr(self._mapping, "remove_items", None)
        if remove_items is None:
            return super().remove_names(existing)  # one by one
        remove_items(existing)
        return len(existing)

    def _own(self, search: str, *args: Any, **criterion: Any) -> Optional[Dict[str, Any]]:
        """Return the result of a search method of a 5.x mapping; None if it has none, or does not optimize the search."""
        method: Optional[Callable[..., Optional[Dict[str, Any]]]] = getattr(self._mapping, search, None)
        return None if method is None else method(*args, **criterion)

    def close(self) -> None:
        """Close the mapping if it has a ``close`` method."""
        close = getattr(self._mapping, "close", None)
        if close is not None:
            close()


def adapt(provider: Any) -> Storage:
    """Return a storage for an object that the program passed in: the storage itself, or an adapter for a mapping.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(provider, Storage):
        return provider
    # by its methods and not by isinstance: storages of programs for 5.x need not be registered as mappings
    if isinstance(provider, type) or not all(hasattr(provider, method) for method in _MAPPING_METHODS):
        raise TypeError("a name server storage must be a mapping of name -> (uri, metadata set), not %r" % (provider,))
    return MappingStorage(provider)
