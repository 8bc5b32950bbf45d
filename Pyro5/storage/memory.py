"""The storage that is fast and forgets: registrations last as long as the name server runs."""
from __future__ import annotations

from typing import Dict, FrozenSet, ItemsView, Iterable, Iterator, Set, Tuple

from . import Registration, Storage
from .ordered import OrderedNames


class MemoryStorage(Storage):
    """
    Keeps the registrations in a dict, in the order in which their names were first registered, and an index for each kind
    of search: what a search costs depends on what it finds.
    """

    def __init__(self) -> None:
        self._registrations: Dict[str, Registration] = {}
        self._ordered = OrderedNames()
        # Tag -> the same text, for all registrations that have it, and their names.
        self._tagged: Dict[str, Tuple[str, Set[str]]] = {}

    def __getitem__(self, name: str) -> Registration:
        return self._registrations[name]

    def __setitem__(self, name: str, registration: Registration) -> None:
        uri, metadata = registration
        tags = frozenset(metadata)
        if name in self._registrations:
            self._remove_tags(name)
        else:
            self._ordered.add(name)
        self._registrations[name] = uri, frozenset(self._add_tag(name, tag) for tag in tags)

    def __delitem__(self, name: str) -> None:
        if not self.remove_names([name]):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._registrations)

    def __len__(self) -> int:
        return len(self._registrations)

    def __contains__(self, name: object) -> bool:
        return name in self._registrations

    def items(self) -> ItemsView[str, Registration]:
        """Give the view of the dict, which is several times faster than going by way of ``__getitem__``."""
        return self._registrations.items()

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        if not prefix:
            return dict(self._registrations)
        return {name: self._registrations[name] for name in self._ordered.with_prefix(prefix)}

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        tagged = [self._tagged[tag][1] if tag in self._tagged else set() for tag in tags]
        if not tagged:
            return {}
        # Beginning with the fewest: it does not matter how many have the other tags.
        tagged.sort(key=len)
        names = tagged[0].intersection(*tagged[1:]) if match_all else tagged[0].union(*tagged[1:])
        return {name: self._registrations[name] for name in names}

    def remove_names(self, names: Iterable[str]) -> int:
        existing = {name for name in names if name in self._registrations}
        for name in existing:
            self._remove_tags(name)
            del self._registrations[name]
        self._ordered.remove(existing)
        return len(existing)

    def _add_tag(self, name: str, tag: str) -> str:
        """Note that a name has this tag; give its text, which is one object for all names."""
        text, names = self._tagged.setdefault(tag, (tag, set()))
        names.add(name)
        return text

    def _remove_tags(self, name: str) -> None:
        for tag in self._registrations[name][1]:
            names = self._tagged[tag][1]
            names.discard(name)
            if not names:
                del self._tagged[tag]
