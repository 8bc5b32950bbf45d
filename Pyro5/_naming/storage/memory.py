"""The storage without a file: registrations last as long as the name server runs.

Its sorted list of names, for prefix searches, is also that of the storage in dbm files.
"""
from __future__ import annotations

import itertools
from bisect import bisect_left
from typing import Any, Collection, Dict, FrozenSet, Iterable, List, Tuple

from . import Registration, StorageInMapping


class OrderedNames:
    """A sorted set of names. Not thread-safe.

    Adding or removing a name moves the later ones in a list: some microseconds for 100 000 names.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted(set(names))

    def add(self, name: str) -> None:
        """Add a name if it is not in the set."""
        index = bisect_left(self._names, name)
        if index == len(self._names) or self._names[index] != name:
            # Inserting moves the pointers behind it, which is much faster than the rest of a registration.
            self._names.insert(index, name)

    def remove(self, names: Collection[str]) -> None:
        """Remove those of the names that are in the set."""
        # Each deletion moves all names behind it, so a large number of them is done in one pass.
        if len(names) > 10:
            unwanted = frozenset(names)
            self._names = [name for name in self._names if name not in unwanted]
            return
        for name in names:
            index = bisect_left(self._names, name)
            if self._names[index:index + 1] == [name]:
                del self._names[index]

    def with_prefix(self, prefix: str) -> List[str]:
        """Return the names that begin with the prefix, in order."""
        if not prefix:
            return list(self._names)
        first = end = bisect_left(self._names, prefix)
        # Step by step: the cost is that of the result.
        while end < len(self._names) and self._names[end].startswith(prefix):
            end += 1
        return self._names[first:end]


class MemoryStorage(StorageInMapping):
    """Stores the registrations in a dict, in the order of first registration, with an index for each kind of search: the cost
    of a search depends on the size of its result.
    """

    def __init__(self, *registrations: Any, **more: Registration) -> None:
        """Args:
            registrations, more: the initial contents, as for ``dict``.
        """
        self._mapping: Dict[str, Registration] = {}
        self._ordered = OrderedNames()
        # Tag -> the same text, shared by all registrations that have it, and their names (as a dict with unused values, which
        # keeps their order).
        self._tagged: Dict[str, Tuple[str, Dict[str, None]]] = {}
        self.update(*registrations, **more)

    def __repr__(self) -> str:
        return "<%s with %d names>" % (type(self).__name__, len(self))

    def __setitem__(self, name: str, registration: Registration) -> None:
        uri, metadata = registration
        tags = frozenset(metadata)
        # an existing name keeps its position in the dict and in the index of names
        if name in self._mapping:
            self._remove_tags(name)
        else:
            self._ordered.add(name)
        self._mapping[name] = uri, frozenset(self._add_tag(name, tag) for tag in tags)

    def __delitem__(self, name: str) -> None:
        self._remove_tags(name)
        del self._mapping[name]  # while the registration, which has the tags, still exists
        self._ordered.remove((name,))

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        if not prefix:
            return dict(self._mapping)
        return {name: self._mapping[name] for name in self._ordered.with_prefix(prefix)}

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        tagged = [self._tagged[tag][1] if tag in self._tagged else {} for tag in sorted(tags)]
        if not tagged:
            return {}
        # Begin with the smallest set, so that the number of names with the other tags does not matter.
        tagged.sort(key=len)
        if match_all:
            names = [name for name in tagged[0] if all(name in others for others in tagged[1:])]
        else:
            names = list(dict.fromkeys(itertools.chain.from_iterable(tagged)))
        return {name: self._mapping[name] for name in names}

    def clear(self) -> None:
        self._mapping.clear()
        self._tagged.clear()
        self._ordered = OrderedNames()

    def remove_names(self, names: Iterable[str]) -> int:
        if type(self).__delitem__ is not MemoryStorage.__delitem__:
            return super().remove_names(names)  # a subclass overrides removal: call it for each name
        # The index of names is updated once for all of them: removing one at a time takes linear time each.
        existing = {name for name in names if name in self._mapping}
        for name in existing:
            self._remove_tags(name)
            del self._mapping[name]
        self._ordered.remove(existing)
        return len(existing)

    def _add_tag(self, name: str, tag: str) -> str:
        """Add a name to the index of a tag; return the tag as an object shared by all names."""
        text, names = self._tagged.setdefault(tag, (tag, {}))
        names[name] = None
        return text

    def _remove_tags(self, name: str) -> None:
        for tag in self._mapping[name][1]:
            names = self._tagged[tag][1]
            names.pop(name, None)
            if not names:
                del self._tagged[tag]  # clients could otherwise fill the memory with tags that are not used any more
