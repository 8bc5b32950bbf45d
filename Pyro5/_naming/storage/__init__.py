"""
What a name server keeps its registrations in, and how they are searched.

A storage is a mutable mapping: name -> ``(uri, metadata)``, the uri as text, the metadata tags as a set of strings.
`Storage` is that contract. There are three ways to bring one's own to ``NameServer`` and ``start_ns``:

* any mutable mapping, a plain dict included: `adapt` puts it behind the contract;
* a subclass of `Storage` with the five methods of a mutable mapping: the searches come for free;
* the same, with searches replaced by faster ones that find exactly the same.

What the searches mean is written once, here, and holds for every storage:

========  ============================================================================================
prefix    the beginning of the name, character by character: case counts, and no character is special
regex     a regular expression of the ``re`` module that matches at the beginning of the name
tags      all of the given metadata tags, or at least one of them; no tags find nothing
========  ============================================================================================

A storage needs no search for regular expressions: the name server asks for all `names` and looks for itself, because an
expression may take long, and nobody else shall wait for it.

Threads: the name server holds its lock around every call, so a storage that nobody else uses needs no lock itself.
Its methods may be called in any thread. A storage that says that it ``reads_alongside`` is asked without that lock, and
nobody waits for it while something is changed or much is read.

This module has the contract only. The storages that keep their names in files are loaded when one is asked for.
"""
from __future__ import annotations

from typing import AbstractSet, Any, Dict, FrozenSet, ItemsView, Iterable, Iterator, List, MutableMapping, Tuple

# The uri text, and the metadata tags.
Registration = Tuple[str, AbstractSet[str]]
_MAPPING_METHODS = ("__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "__contains__", "items")


class Storage(MutableMapping[str, Registration]):
    """
    The contract of a storage; see the module's documentation.

    A subclass has ``__getitem__``, ``__setitem__``, ``__delitem__``, ``__iter__`` and ``__len__``. Each of its methods
    is one step: it happens as a whole or not at all. What it gives out is not changed by the receiver, and does not
    change afterwards; what it is given it copies.

    Raises:
        KeyError: from reading or deleting one name that is not there.
        NamingError: the storage itself fails, or cannot do what is asked for.

    Attributes:
        reads_alongside: whether any number of threads may call what only reads, while another one makes a change.
    """

    reads_alongside = False

    def names(self) -> List[str]:
        """Give all names, as a list of its own."""
        return list(self)

    def find_names(self, names: Iterable[str]) -> Dict[str, Registration]:
        """Give the registrations of those of the names that exist."""
        return {name: self[name] for name in names if name in self}

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        """Give the registrations whose name begins with the prefix; an empty one gives them all."""
        return {name: registration for name, registration in self.items() if name.startswith(prefix)}

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        """Give the registrations that have all of the tags, or (not match_all) at least one. No tags find nothing."""
        if not tags:
            return {}
        if match_all:
            return {name: found for name, found in self.items() if tags.issubset(found[1])}
        return {name: found for name, found in self.items() if not tags.isdisjoint(found[1])}

    def remove_names(self, names: Iterable[str]) -> int:
        """Remove those of the names that exist, as one step; give how many that were."""
        existing = [name for name in names if name in self]
        for name in existing:
            del self[name]
        return len(existing)

    def close(self) -> None:
        """Let go of files and the like. Nothing else is called afterwards, but close may be called again."""


class MappingStorage(Storage):
    """Puts a mutable mapping (name -> (uri, metadata)) behind the contract."""

    def __init__(self, mapping: MutableMapping[str, Registration]) -> None:
        self._mapping = mapping

    def __getitem__(self, name: str) -> Registration:
        return self._mapping[name]

    def __setitem__(self, name: str, registration: Registration) -> None:
        uri, metadata = registration
        self._mapping[name] = uri, frozenset(metadata)

    def __delitem__(self, name: str) -> None:
        del self._mapping[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __contains__(self, name: object) -> bool:
        return name in self._mapping

    def items(self) -> ItemsView[str, Registration]:
        """Give the mapping's own view: searches are several times faster than by way of ``__getitem__``."""
        return self._mapping.items()

    def close(self) -> None:
        """Close the mapping, if it can be closed."""
        close = getattr(self._mapping, "close", None)
        if close is not None:
            close()


def adapt(provider: Any) -> Storage:
    """
    Give a storage for what a user handed in: the storage itself, or one that works on their mapping.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(provider, Storage):
        return provider
    if isinstance(provider, type) or not all(hasattr(provider, method) for method in _MAPPING_METHODS):
        raise TypeError("a name server storage must be a mapping of name -> (uri, metadata set), not %r" % (provider,))
    return MappingStorage(provider)
