"""The part of a name server that uses a storage together with other name servers: their changes are told to it by the storage.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from .. import constants
from .leased_names import LeasedNames, Request, newer
from .leases import LeaseTable
from .storage import Registration, Storage, cost
from .storage.details import Change, Details, SharedStorage, to_text


class SharedLeases(LeaseTable):
    """Leases that the storage ends. They may have been renewed through another name server, which is not known here."""

    def ended(self) -> Dict[str, List[str]]:
        """Return nothing: the storage removes the registrations, and tells that."""
        return {}

    def next_end(self) -> Optional[float]:
        """Return None: there is nothing to wait for."""
        return None

    def seconds_left(self, lease_id: str) -> float:
        """Return how long a lease lasts at most."""
        if lease_id not in self._ends:
            return 0.0
        # A lease that exists has been renewed, if not here, then elsewhere.
        return super().seconds_left(lease_id) or self._ends[lease_id][2]


class SharedNames(LeasedNames):
    """Base class of NameServer. With a storage that is not shared, all methods are those of LeasedNames.

    Changes in a shared storage only record what is to be done; leases, revisions and watchers follow the changes that the
    storage reports, its own and those of other name servers, in their one order.
    """

    @newer
    def status(self) -> Dict[str, Any]:
        """Return the storage as a text, and for how many seconds it has been stale: its cluster cannot be reached, and lookups
        are answered from memory; None if it is not.
        """
        return {"storage": type(self._storage).__name__, "stale": self._shared and self._shared.stale_seconds()}

    _shared: Optional[SharedStorage] = None  # the storage, if it is shared

    def _read_storage(self, storage: Storage) -> None:
        if self._shared is not None:
            self._shared.unsubscribe()
        self._shared = storage if isinstance(storage, SharedStorage) else None
        if self._shared is None:
            super()._read_storage(storage)
            return
        # Under the lock: changes come after what is read here.
        with self.lock:
            self._shared.subscribe(self.lock, self._follow)
            super()._read_storage(storage)
            self._revisions = self._shared.revisions
            self._capacity.recount(storage)

    def _lease_table(self, storage: Storage) -> LeaseTable:
        return SharedLeases(self._clock) if storage.is_shared else super()._lease_table(storage)

    def _accept(self, request: Request) -> Dict[str, Any]:
        accepted = super()._accept(request)
        if self._shared is not None:
            # Known only now: it is the revision of the transaction.
            accepted["revision"] = self._shared.last_revision
        return accepted

    def _store(self, name: str, registration: Registration, details: Details, is_removal: bool = False) -> int:
        if self._shared is None:
            return super()._store(name, registration, details, is_removal)
        self._capacity.store(self._storage, name, registration, is_removal or name == constants.NAMESERVER_NAME,
                             to_text(registration[0], details), self._leases.used_bytes)
        return 0

    def _removed(self, found: Dict[str, Registration]) -> None:
        if self._shared is None:
            super()._removed(found)

    def _renew(self, leases: Dict[str, str]) -> Dict[str, str]:
        lost = super()._renew(leases)
        if self._shared is None:
            return lost
        with self.lock:
            held = [lease for lease_id, name in leases.items() if lease_id not in lost
                    for lease in self._leases.details(name).leases() if lease.lease_id == lease_id]
        # Without the lock: this is a request to the cluster. A name whose lease is gone is about to be removed.
        lost.update(dict.fromkeys(self._shared.renew(held), ""))
        return lost

    def _follow(self, changes: List[Change]) -> None:
        """Follow changes of the storage, which holds the lock."""
        for name, old, new, details, revision in changes:
            if old is not None:
                self._capacity.used_bytes -= cost(name, old)
            if new is not None:
                self._capacity.used_bytes += cost(name, new)
                self._leases.set(name, details)
                self._watches.add("added" if old is None else "changed", name, new[0], new[1], revision)
            elif old is not None:
                self._leases.remove(name)
                self._given.pop(name, None)
                self._watches.add("removed", name, old[0], old[1], revision)
        self._watches.wake()
