"""The part of a name server that changes registrations: leases, members, and telling watchers."""
from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import Counter
from typing import (Any, AsyncIterator, Callable, ContextManager, Dict, FrozenSet, Iterable, Iterator, List, Optional, Tuple,
                    TypeVar, cast)

from .. import NamedTuple, config, constants, errors
from .._objects.exposure import expose
from ..callcontext import current_context
from ..socketutil import address_text
from .capacity import Capacity, SearchTurns
from .checks import MEMBERS, checked_lease_ids, checked_type, is_called_by_client
from .leases import ExpiryTimer, LeaseTable
from .storage import Registration, Storage, tags_of
from .storage.details import Details, Lease, Member, from_text, to_text
from .watches import Watches

log = logging.getLogger("Pyro5.registry")

T = TypeVar("T")  # the result of a change
Method = TypeVar("Method", bound=Callable[..., Any])

RETRY_SECONDS = 1.0         # until leases that have ended are removed, after the storage has failed
PICKS = ("random", "least")  # how a client chooses among members


class _Unspecified(int):
    """Type of the default of ``safe``, which equals False, as in other releases, but is not the False that a client passes."""


# False that is no False: a client that passes False wants to overwrite, even a name that is leased.
UNSPECIFIED: Any = _Unspecified(0)


class Request(NamedTuple):
    """A registration as it was asked for. See `NameServer.register`."""

    name: str
    uri: str
    tags: FrozenSet[str]
    safe: Optional[bool]
    ttl: Optional[float] = None
    if_revision: Optional[int] = None
    is_member: bool = False
    client: str = ""


def newer(method: Method) -> Method:
    """Expose a method, without telling clients of other releases: they find the methods that they know. They can call it."""
    exposed: Any = expose(method)
    exposed._pyroNewer = True
    return cast(Method, exposed)


def client_text() -> str:
    """Return the address of the client that this thread serves, for error texts; empty in the process itself."""
    address = current_context.client_sock_addr
    return address_text(address) if address else ""


class LeasedNames:
    """Base class of NameServer, which sets the other attributes.

    Args:
        clock: returns monotonic seconds.
    """

    _storage: Storage
    _capacity: Capacity
    _leases: LeaseTable
    _reading: ContextManager[Any]
    _require_writer: Callable[[], None]
    _require_names: Callable[[Iterable[str]], None]
    _turns: Optional[SearchTurns]
    all_uris: Callable[[], Dict[str, str]]
    lookup: Callable[[str], Any]
    _take_turn: Callable[[], None]
    _registration: Callable[[str], Registration]

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Reentrant: a storage of a program may call the name server.
        self.lock = threading.RLock()
        self._watches = Watches(max(config.NS_WATCH_CHANGES or 0, 1))
        # A test may pass its own clock, which the condition of the timer cannot wait for.
        self._timer = ExpiryTimer(self.remove_ended, clock if clock is time.monotonic else time.monotonic)

    def _read_storage(self, storage: Storage) -> None:
        """Use a storage. The leases in it start anew: their holders could not renew them in the meantime."""
        self._storage = storage
        self._capacity = Capacity(config.NS_MAX_SIZE or 0)
        self._revisions: Dict[str, int] = {}  # of the names that have changed since the name server was started
        self._first_revision = self._watches.end - 1  # of all others
        self._given: Dict[str, Counter[str]] = {}  # name -> how often each of its members was looked up
        leases = self._lease_table(storage)
        for name, text in storage.load_details().items():
            # A name may have been removed by another program that uses the same file.
            if name in storage:
                leases.set(name, from_text(storage[name][0], text))
        self._leases = leases
        self._timer.schedule(leases.next_end())

    # ------------------------------------------------------------ called by clients

    @newer
    def renew(self, leases: Dict[str, str]) -> Dict[str, str]:
        """Start leases anew.

        Args:
            leases: lease id -> name.

        Returns:
            the leases that do not exist: lease id -> the uri that has its name now, empty if that is not registered.

        Raises:
            NamingError: this client is not authorized.
        """
        self._require_writer()
        return self._renew(checked_lease_ids(leases))

    def _renew(self, leases: Dict[str, str]) -> Dict[str, str]:
        lost = {}
        with self.lock:
            for lease_id, name in leases.items():
                if not self._leases.renew(name, lease_id):
                    lost[lease_id] = self._storage[name][0] if name in self._storage else ""
        return lost

    @newer
    def release(self, leases: Dict[str, str]) -> int:
        """Remove the registrations that have these leases.

        Args:
            leases: lease id -> name.

        Returns:
            the number of removed registrations.

        Raises:
            NamingError: this client is not authorized.
        """
        self._require_writer()
        found: Dict[str, List[str]] = {}
        for lease_id, name in checked_lease_ids(leases).items():
            found.setdefault(name, []).append(lease_id)
        return self._changed(lambda: self._remove_leases(found))

    @newer
    def candidates(self, name: str, pick: str = "random") -> List[str]:
        """Return the uris that are registered under a name, in the order in which to try them.

        Args:
            pick: the order of several members: ``random``, or ``least`` for the one first that was looked up least often.

        Raises:
            NamingError: the name is not registered.
            ValueError: pick is unknown.
        """
        if pick not in PICKS:
            raise ValueError("pick must be one of %s, not %r" % (", ".join(PICKS), pick))
        # Without the lock: reading one entry of a dict is atomic, and this is the most frequent request.
        uris = [member.uri for member in self._leases.details(checked_type(name, "name")).members]
        if not uris:
            return [str(self.lookup(name))]  # a program may have overridden lookup()
        # Shuffled before sorting, which is stable: members that were given equally often take turns by chance.
        random.shuffle(uris)
        if pick == "least" and len(uris) > 1:
            with self.lock:
                # the counts are kept in memory only: they balance the load, nothing depends on them
                given = self._given.setdefault(name, Counter())
                uris.sort(key=lambda uri: given[uri])
                given[uris[0]] += 1
        return uris

    @newer
    def details(self, name: str) -> Dict[str, Any]:
        """Return a registration as a dict: uri, metadata, revision, lease (None, or a dict of ttl, seconds left and the
        address of the client that registered it), and members (None, or a dict of uri -> lease).

        Raises:
            NamingError: the name is not registered.
        """
        with self.lock:
            # Raises NamingError for an unknown name, before anything else is read.
            found = self._registration(name)
            return {"uri": found[0], "metadata": sorted(tags_of(found)), "revision": self._revision(name),
                    **self._lease_info(name)}

    @newer
    def leases(self, prefix: Optional[str] = None) -> Dict[str, Any]:
        """Return the lease and the members, as `details` does, of those names with a prefix that have some."""
        prefix = checked_type(prefix or "", "prefix")
        # Reading all leases takes memory and time, as a search does.
        self._take_turn()
        with self.lock:
            return {name: self._lease_info(name) for name in self._leases.all_details() if name.startswith(prefix)}

    @newer
    def watch(self, prefix: str = "") -> AsyncIterator[Dict[str, Any]]:
        """Return an item stream of the current registrations, and then of each change as it happens.

        Each item is a dict of kind, name, uri, metadata and revision. Its kind is ``current`` for a registration; ``ready``
        after the last of these; then ``added``, ``changed`` or ``removed``. A watcher that reads too slowly gets ``missed``,
        and then all registrations again, from ``current`` on.

        Args:
            prefix: watch the names that begin with it.
        """
        from .watching import WatchItems  # here, because most name servers are never watched
        prefix = checked_type(prefix, "prefix")
        self._take_turn()
        # A function and not the items: they are read when the client asks for the first one.
        return WatchItems(self._watches, prefix, lambda: self._current_items(prefix))

    # ------------------------------------------------------------ called by the process itself

    def remove_ended(self) -> Optional[float]:
        """Remove the registrations whose leases have ended; return when this has to be called again, None for never."""
        # The storage is not touched under this lock: it may have to wait for another process.
        with self.lock:
            ended = self._leases.ended()
        try:
            if ended:
                self._changed(lambda: self._remove_leases(ended, still_ended=True))
                log.info("removed %s: not renewed in time", ", ".join(sorted(ended)))
        except Exception:  # a storage that fails now may work later; an exception that escaped would end the thread
            log.exception("cannot remove the registrations whose leases have ended")
            return self._clock() + RETRY_SECONDS
        with self.lock:
            return self._leases.next_end()

    def end_watches(self) -> None:
        """End all watches with an error, which clients treat as a lost connection."""
        self._watches.close()

    def unleased_uris(self) -> Dict[str, str]:
        """Return the uri text of every name without a lease and members; the lock is only held for short periods."""
        with self.lock:
            # A copy, since it is used without the lock.
            leased = self._leases.all_details()
        return {name: uri for name, uri in self.all_uris().items() if name not in leased}

    def _lease_table(self, storage: Storage) -> LeaseTable:
        return LeaseTable(self._clock)

    def _changed(self, change: Callable[[], T]) -> T:
        """Make a change, and notify watchers and the timer. The caller does not hold the lock."""
        # In this order: watchers are woken when the change can be read.
        result = self._storage.patiently(change)  # the storage may have to wait for another process
        self._watches.wake()
        with self.lock:
            next_end = self._leases.next_end()
        self._timer.schedule(next_end)
        return result

    # The methods below hold the lock for a single attempt; waiting for a storage locked by another process is done without it.

    def _accept(self, request: Request) -> Dict[str, Any]:
        return self._changed(lambda: self._register(request))

    def _register(self, request: Request) -> Dict[str, Any]:
        with self.lock:
            name = request.name
            self._require_free(request)
            lease = self._lease_for(request)
            details, uri, tags = Details(lease), request.uri, request.tags
            if request.is_member:
                # A member that registers again moves to the end, and has its new lease.
                members = [member for member in self._leases.details(name).members if member.uri != uri]
                details = Details(None, (*members, Member(uri, lease)))
                if len(details.members) > MEMBERS:
                    raise errors.NamingError("%s has %d members already, more are not allowed" % (name, MEMBERS))
                uri = details.members[0].uri
                # The tags of the first member hold for the name, unless this one brings its own.
                tags = tags or (tags_of(self._storage[name]) if members else tags)
            revision = self._store(name, (uri, tags), details)
        return {"revision": revision, "lease": lease and lease.lease_id, "ttl": request.ttl}

    def _require_free(self, request: Request) -> None:
        name = request.name
        # Asked once: for some storages this is a query.
        is_registered = name in self._storage
        revision = self._revision(name) if is_registered else 0
        # Compared under the lock, in one step with the change: otherwise two clients could both find their revision.
        if request.if_revision not in (None, revision):
            raise errors.NamingError("%s has revision %d now, not %d" % (name, revision, request.if_revision))
        # Another member of a group does not replace a name.
        if request.safe and is_registered and not (request.is_member and self._leases.details(name).members):
            raise errors.NamingError("name already registered: %s" % name)
        if request.safe is None:
            self._require_not_leased(request)

    def _require_not_leased(self, request: Request) -> None:
        """Raise NamingError if a client with another uri holds a lease of the name."""
        details = self._leases.details(request.name)
        # Members do not compete with each other, only with a plain registration.
        held = () if request.is_member else details.members
        if details.lease is not None:
            held = (Member(self._storage[request.name][0], details.lease),)
        for uri, lease in held:
            # A lease that has ended but was not removed yet protects nothing.
            left = 0.0 if lease is None else self._leases.seconds_left(lease.lease_id)
            if uri != request.uri and lease is not None and left:
                raise errors.NamingError("name already registered: %s is leased to %s%s, for another %.1f seconds unless that "
                                         "is renewed" % (request.name, uri, lease.holder and ", registered by " + lease.holder,
                                                         left))

    def _lease_for(self, request: Request) -> Optional[Lease]:
        """Return the lease for a registration. A client that registers its uri again keeps the id of its lease."""
        if request.ttl is None:
            return None
        details, old = self._leases.details(request.name), None
        if details.lease is not None and self._storage[request.name][0] == request.uri:
            old = details.lease
        for member in details.members:
            if request.is_member and member.uri == request.uri:
                old = member.lease
        if old is None:
            # An id that clients cannot guess: those that know it can renew and release the lease.
            return Lease(os.urandom(12).hex(), request.ttl, request.client)
        # The same id, so that the process which registered it before can go on renewing it.
        self._leases.renew(request.name, old.lease_id)
        return Lease(old.lease_id, request.ttl, request.client)

    def _store(self, name: str, registration: Registration, details: Details, is_removal: bool = False) -> int:
        """Store a registration and return its revision.

        Args:
            is_removal: it has fewer members than before, so it is stored also if the name server is full.
        """
        uri, tags = registration
        kind = "changed" if name in self._storage else "added"
        self._capacity.store(self._storage, name, registration, is_removal or name == constants.NAMESERVER_NAME,
                             to_text(uri, details), self._leases.used_bytes)
        # After the storage: if that fails, the lease must not exist.
        self._leases.set(name, details)
        revision = self._revisions[name] = self._watches.add(kind, name, uri, tags)
        return revision

    def _replace_metadata(self, name: str, tags: FrozenSet[str]) -> None:
        with self.lock:
            # Tags belong to the name, so its lease and members stay.
            uri_text, _ = self._registration(name)
            self._store(name, (uri_text, tags), self._leases.details(name))

    def _remove(self, name: Optional[str], prefix: Optional[str], names: List[str]) -> int:
        with self.lock:
            if name:
                # A client cannot remove the name server from itself: others would not find it any more.
                if name not in self._storage or name == constants.NAMESERVER_NAME and is_called_by_client():
                    return 0
                self._require_names((name,))
                found = {name: self._storage[name]}
                del self._storage[name]  # not remove_names: a program may have overridden __delitem__
                self._removed(found)
                return 1
            if prefix:
                names = list(self._storage.find_prefix(prefix))
            names = [found for found in names if found != constants.NAMESERVER_NAME]
            self._require_names(names)
            # the costs are read before the removal, in the same period of the lock, so that the sum stays right
            return self._remove_names(names)

    def _remove_if(self, name: str, uri_text: str) -> bool:
        with self.lock:
            # autoclean has checked this uri; if the object was registered again meanwhile, the new one must stay
            if name not in self._storage or self._storage[name][0] != uri_text or self._leases.details(name).leases():
                return False
            return self._remove_names([name]) > 0

    def _remove_leases(self, leases: Dict[str, List[str]], still_ended: bool = False) -> int:
        """Remove the registrations, or members, that have these leases; return their number.

        Args:
            still_ended: leave those that have been renewed in the meantime.
        """
        count = 0
        with self.lock:
            for name, lease_ids in leases.items():
                details = self._leases.details(name)
                gone = {lease.lease_id for lease in details.leases() if lease.lease_id in lease_ids
                        and not (still_ended and self._leases.seconds_left(lease.lease_id))}
                count += len(gone)
                members = tuple(each for each in details.members if each.lease is None or each.lease.lease_id not in gone)
                if gone and members:
                    self._store(name, (members[0].uri, tags_of(self._storage[name])), Details(None, members), True)
                elif gone:
                    self._remove_names([name])
        return count

    def _remove_names(self, names: List[str]) -> int:
        found = self._storage.find_names(names)
        count = self._storage.remove_names(names)
        self._removed(found)
        return count

    def _removed(self, found: Dict[str, Registration]) -> None:
        self._capacity.removed(found)
        for name, registration in found.items():
            self._leases.remove(name)
            self._revisions.pop(name, None)
            self._given.pop(name, None)
            self._watches.add("removed", name, registration[0], tags_of(registration))

    # ------------------------------------------------------------ what is registered; the caller holds the lock

    def _revision(self, name: str) -> int:
        return self._revisions.get(name, self._first_revision)

    def _lease_info(self, name: str) -> Dict[str, Any]:
        details = self._leases.details(name)
        members = {member.uri: self._lease_dict(member.lease) for member in details.members}
        return {"lease": self._lease_dict(details.lease), "members": members or None}

    def _lease_dict(self, lease: Optional[Lease]) -> Optional[Dict[str, Any]]:
        if lease is None:
            return None
        return {"ttl": lease.ttl, "left": round(self._leases.seconds_left(lease.lease_id), 3), "holder": lease.holder}

    def _current_items(self, prefix: str) -> Tuple[Iterator[Dict[str, Any]], int]:
        """Return the registrations with a prefix as items for a watcher, and the position in the changes."""
        with self.lock:
            found = self._storage.find_prefix(prefix)
            revisions, first = self._revisions.copy(), self._first_revision
            position = self._watches.end
        return ({"kind": "current", "name": name, "uri": registration[0], "metadata": sorted(tags_of(registration)),
                 "revision": revisions.get(name, first)} for name, registration in found.items()), position
