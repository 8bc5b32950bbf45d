"""The registrations of an etcd cluster in memory, for lookups and searches without a request."""
from __future__ import annotations

import threading
from typing import Callable, Dict, Iterable, List, Optional, Set, Tuple

from .. import Registration
from ..details import NO_DETAILS, Change, Details
from ..memory import MemoryStorage
from .messages import Event, Pair
from .records import Key, Record, compose, decode_key, decode_value


class Mirror:
    """All registrations under a prefix of an etcd cluster. Thread-safe.

    Attributes:
        lock: guards everything; single registrations may be read without it.
        registrations: all of them, with indexes for searches.
        revisions: name -> revision of its registration.
        details: of the names that have some.
        position: the revision of etcd up to which changes are here.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.lock = threading.RLock()
        self.registrations = MemoryStorage()
        self.revisions: Dict[str, int] = {}
        self.details: Dict[str, Details] = {}
        self.position = 0
        self._keys = 0      # in etcd, as far as they are registrations
        self._foreign: Set[bytes] = set()   # keys of other programs
        self.newest = 0     # the newest revision of a registration
        # Only of names that have a lease or members: the record of a plain registration is made when needed.
        self._records: Dict[str, Dict[str, Tuple[Record, int]]] = {}
        self._moved = threading.Condition(threading.Lock())  # notified when the position has changed

    @property
    def key_count(self) -> int:
        """The number of keys in etcd, also of those that are no registrations."""
        return self._keys + len(self._foreign)

    def records(self, name: str) -> Dict[str, Tuple[Record, int]]:
        """Return the records of a name and their revisions: member, empty for a plain registration -> record, oldest first."""
        with self.lock:
            found = self._records.get(name)
            if found is not None:
                return dict(sorted(found.items(), key=lambda item: item[1][1]))
            if name not in self.revisions:
                return {}
            uri, tags = self.registrations[name]
            return {"": (Record(uri, frozenset(tags), None), self.revisions[name])}

    def apply(self, events: Iterable[Event]) -> List[Change]:
        """Apply changes in the order of their revisions; return the changes of names."""
        changes: List[Change] = []
        with self.lock:
            touched: Dict[str, Dict[str, Tuple[Record, int]]] = {}
            revision = 0
            for event in events:
                # The changes of one transaction have one revision, and belong together.
                if event.revision != revision:
                    changes += self._store_all(touched, revision)
                    touched, revision = {}, event.revision
                self._touch(touched, event)
            return changes + self._store_all(touched, revision)

    def outdated(self, pairs: Iterable[Pair], seen: Set[bytes]) -> List[Event]:
        """Return the events that bring these keys up to date.

        Args:
            seen: the keys are added to it.
        """
        events = []
        for pair in pairs:
            seen.add(pair.key)
            key = decode_key(self._prefix, pair.key)
            if key is None or self._known_revision(key) != pair.revision:
                events.append(Event(pair.key, pair.value, pair.revision))
        return events

    def vanished(self, seen: Set[bytes], encode: Callable[[Key], bytes], revision: int) -> List[Event]:
        """Return the events that delete all keys that were not seen."""
        with self.lock:
            keys = [(name, member) for name in self.revisions for member in self._records.get(name, ("",))]
            found = [*map(encode, keys), *self._foreign]
        return [Event(data, None, revision) for data in found if data not in seen]

    def set_local(self, name: str, registration: Optional[Registration]) -> List[Change]:
        """Store a registration that is not in etcd, or remove it; return the change."""
        with self.lock:
            old = self.registrations[name] if name in self.registrations else None
            if registration is not None:
                self.registrations[name] = registration
            elif old is not None:
                del self.registrations[name]
            new = None if registration is None else self.registrations[name]
            return [Change(name, old, new, NO_DETAILS, self.position)]

    def move_to(self, position: int) -> None:
        """Note that all changes up to this revision are here."""
        with self._moved:
            if position > self.position:
                self.position = position
                self._moved.notify_all()

    def restart(self) -> None:
        """Forget the position: etcd has begun anew with lower revisions."""
        with self._moved:
            self.position = 0

    def wait_for(self, position: int, seconds: float) -> bool:
        """Wait until all changes up to this revision are here; return whether they are."""
        with self._moved:
            return self._moved.wait_for(lambda: self.position >= position, seconds)

    def _known_revision(self, key: Key) -> int:
        name, member = key
        records = self._records.get(name)
        if records is not None:
            return records[member][1] if member in records else 0
        return self.revisions.get(name, 0) if not member else 0

    def _touch(self, touched: Dict[str, Dict[str, Tuple[Record, int]]], event: Event) -> None:
        key = decode_key(self._prefix, event.key)
        record = None if event.value is None else decode_value(event.value)
        self._foreign.discard(event.key)
        # A value that another program has stored is like none.
        if event.value is not None and (key is None or record is None):
            self._foreign.add(event.key)
        if key is None:
            return
        name, member = key
        records = touched.get(name)
        if records is None:
            records = touched[name] = self.records(name)
        if record is None:
            records.pop(member, None)
        else:
            records[member] = record, event.revision

    def _store_all(self, touched: Dict[str, Dict[str, Tuple[Record, int]]], revision: int) -> List[Change]:
        self.newest = max(self.newest, revision)
        changes = [self._store(name, records, revision) for name, records in touched.items()]
        # A key that was set and deleted before this name server had read it.
        return [change for change in changes if change.old is not None or change.new is not None]

    def _store(self, name: str, records: Dict[str, Tuple[Record, int]], revision: int) -> Change:
        old = self.registrations[name] if name in self.revisions else None
        self._keys += len(records) - len(self._records.get(name, ("",) if old is not None else ()))
        self._records.pop(name, None)
        self.details.pop(name, None)
        if not records:
            if old is not None:
                del self.revisions[name]
                del self.registrations[name]
            return Change(name, old, None, NO_DETAILS, revision)
        registration, details, newest = compose(records)
        self.registrations[name] = registration
        self.revisions[name] = newest
        if details != NO_DETAILS or len(records) > 1 or "" not in records:
            self._records[name] = records
            self.details[name] = details
        # As it is stored, with shared tags.
        return Change(name, old, self.registrations[name], details, newest)
