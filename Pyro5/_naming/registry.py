"""The object that implements a name server: maps names to uris, with metadata tags, on top of a storage."""
from __future__ import annotations

import logging
import random
import time
from contextlib import nullcontext
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple, Union

from .. import constants, errors
from .._objects.exposure import behavior, expose
from .._values.uri import URI
from .capacity import LARGE_BYTES, SearchTurns
from .checks import (NAME_CHARS, checked_revision, checked_tags, checked_text, checked_ttl, checked_type, checked_uri,
                     require_not_own, require_one_at_most, searched_tags)
from .leased_names import UNSPECIFIED, LeasedNames, Request, client_text, newer
from .leases import LeaseTable
from .regex_sandbox import Matcher
from .storage import Registration, Storage, adapt, cost, listing
from .storage.details import Change, Details, SharedStorage, to_text
from .storage.specs import open_storage


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


log = logging.getLogger("Pyro5.registry")

NAMES_AT_ONCE = 1000        # read from the storage while the lock is held

# Part of the wire format: clients search for it.
OWN_METADATA = frozenset(["class:Pyro5.nameserver.NameServer"])


@behavior(instance_mode="single")
class NameServer(SharedNames):
    """Maps names to uris, with metadata tags for each name.

    All methods are thread-safe; only those marked as exposed can be called remotely. The name ``Pyro.NameServer`` is reserved
    for itself: clients cannot remove or change that registration, only the process that runs the name server can.

    Attributes:
        lock: guards the storage, and operations on it that take several steps; reentrant. It is not held while a regular
            expression of a client runs. A program that accesses the storage while the name server is running must hold it.
    """

    def __init__(self, storageProvider: Any = None, *, matcher: Optional[Matcher] = None,
                 require_writer: Callable[[], None] = lambda: None,
                 require_names: Callable[[Iterable[str]], None] = lambda names: None, turns: Optional[SearchTurns] = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
            storageProvider: as for `open_storage`. `close` closes the storage if it is opened here.
            matcher: runs the regular expressions of clients; None creates one with the default limits.
            require_writer: called before each change that `register`, `set_metadata` and `remove` make; raises a NamingError
                if the caller is not authorized.
            require_names: called with the names that a change is about; raises a SecurityError if the caller may not
                register or remove one of them.
            turns: limits searches of a large name server; the caller ends them when the reply has been encoded.
            clock: returns monotonic seconds, for leases.
        """
        super().__init__(clock)
        self._turns = turns  # limits how many searches run at once; None in a process without clients
        # A storage that the program made is closed by the program.
        self._owns_storage = storageProvider is None or isinstance(storageProvider, str)
        # The matcher runs expressions of clients, which may take forever, in a process of its own.
        self._matcher = matcher or Matcher()
        self._require_writer = require_writer
        self._require_names = require_names
        # Last: it reads the leases of the storage, for which the rest must be there.
        self._use_storage(open_storage(storageProvider) if self._owns_storage else storageProvider)

    @property
    def storage(self) -> Any:
        """The registrations: the object that the program passed in, or the `Storage` that was opened here."""
        return self._provider

    @storage.setter
    def storage(self, provider: Any) -> None:
        # A program may replace the storage while the name server runs; the lock keeps other calls out of a half-done change.
        with self.lock:
            if self._owns_storage and provider is not self._provider:
                # Only what was opened here; the new one belongs to the program in any case.
                self._storage.close()
                self._owns_storage = False
            self._use_storage(provider)

    def _use_storage(self, provider: Any) -> None:
        self._provider = provider
        self._read_storage(adapt(provider))
        # Storages with a lock of their own are read without ours: a long search does not keep registrations waiting.
        self._reading = nullcontext() if self._storage.reads_alongside else self.lock

    @expose
    def count(self) -> int:
        """Return the number of registrations, including the name server's own."""
        with self._reading:
            return len(self._storage)

    @expose
    def ping(self) -> None:
        """Do nothing; a reply shows that the name server is running."""

    @expose
    def lookup(self, name: str, return_metadata: bool = False) -> Union[URI, Tuple[URI, Set[str]]]:
        """Return one registration.

        Returns:
            its URI, or a tuple of its URI and its set of metadata tags. If it has several members, that of one of them.

        Raises:
            NamingError: the name is not registered.
        """
        with self._reading:
            uri_text, metadata = self._registration(name)
            members = self._leases.details(name).members
        if members:
            # One of them by chance: clients that know members ask for all of them with candidates().
            uri_text = random.choice(members).uri
        uri = URI(uri_text)  # parsed without the lock, which other clients wait for
        # Clients up to release 5.17 pass the seconds that they are willing to wait as return_metadata.
        if return_metadata and not isinstance(return_metadata, float):
            return uri, set(metadata)
        return uri

    @expose
    def register(self, name: str, uri: Union[URI, str], safe: bool = UNSPECIFIED,
                 metadata: Optional[Iterable[str]] = None, ttl: Optional[float] = None, if_revision: Optional[int] = None,
                 member: bool = False) -> Optional[Dict[str, Any]]:
        """Register a uri under a name.

        Args:
            safe: True: raise an error instead of replacing an existing registration; False: replace it in any case; by
                default it is replaced unless a client with another uri holds a lease of it.
            metadata: tags to find the registration by; they replace the previous tags in any case, except those of other
                members if there are none given here.
            ttl: seconds until the registration is removed unless its lease is renewed, see `renew`; None for no lease.
            if_revision: register only if the registration has this revision now; 0 means that the name is not registered.
            member: add the uri to those that are registered under this name as members.

        Returns:
            for the last three arguments a dict with the revision of the registration, its lease (the id, or None) and ttl;
            otherwise None.

        Raises:
            NamingError: the name is already registered (safe), leased or reserved; it has another revision; or this client is
                not authorized.
            PyroError: the text is not a uri.
            TypeError: an argument is of the wrong type.
            ValueError: a text is empty or too long, or contains control characters; the ttl is too short or too long.
        """
        # authorization first: nothing that an unauthorized client has sent is processed
        self._require_writer()
        checked_text(name, "name", NAME_CHARS)
        # Checked completely before the lock is acquired; other clients do not wait for that.
        request = Request(name, checked_uri(uri), checked_tags(metadata), None if safe is UNSPECIFIED else bool(safe),
                          checked_ttl(ttl), checked_revision(if_revision), bool(member), client_text())
        require_not_own(name, "replaced")
        self._require_names((name,))
        accepted = self._accept(request)
        log.debug("registered %s as %s", request.uri, name)
        # None as in other releases, which have no leases; their clients would not expect a result.
        return None if ttl is None and if_revision is None and not member else accepted

    @expose
    def set_metadata(self, name: str, metadata: Optional[Iterable[str]]) -> None:
        """Replace the metadata tags of a registration; None removes them.

        Raises:
            NamingError: the name is not registered, or reserved; or this client is not authorized.
            TypeError: an argument is of the wrong type.
            ValueError: there are too many tags, or one is empty or too long, or contains control characters.
        """
        self._require_writer()
        checked_type(name, "name")
        tags = checked_tags(metadata)
        require_not_own(name, "changed")
        # In this order: a client without permission cannot find out which names exist.
        self._require_names((name,))
        self._changed(lambda: self._replace_metadata(name, tags))

    @expose
    def remove(self, name: Optional[str] = None, prefix: Optional[str] = None, regex: Optional[str] = None) -> int:
        """Remove the registration of that name, or all whose name begins with the prefix or matches the regex.

        Returns:
            the number of removed registrations; 0 for a name that is not registered, or without arguments.

        Raises:
            NamingError: the regex is invalid, or takes too long; or this client is not authorized.
            SecurityError: the user of this client may not remove one of the registrations; none is removed then.
            ValueError: more than one argument is given.
            TypeError: an argument is not a str.
        """
        self._require_writer()
        # An empty name is none: older clients pass "" for what they do not use.
        require_one_at_most(name, prefix, regex)
        # The expression runs before the lock is acquired. Names that are registered meanwhile are not removed.
        names = self._names_matching(regex) if regex else []
        checked_type(name or "", "name")
        checked_type(prefix or "", "prefix")
        return self._changed(lambda: self._remove(name, prefix, names))

    @expose
    def list(self, prefix: Optional[str] = None, regex: Optional[str] = None,
             return_metadata: bool = False) -> Dict[str, Any]:
        """Return all registrations, or those whose name begins with the prefix or matches the regex at its beginning.

        Returns:
            name -> uri text, or name -> tuple of uri text and set of metadata tags.

        Raises:
            NamingError: the regex is invalid, or takes too long.
            ValueError: both a prefix and a regex are given.
            TypeError: an argument is not a str.
        """
        require_one_at_most(prefix, regex)
        names = self._names_matching(regex) if regex else []
        # From here on the result takes memory, so the number of searches in progress is limited.
        self._take_turn()
        if regex:
            found = self._find(names)
        else:
            with self._reading:
                found = self._storage.find_prefix(checked_type(prefix or "", "prefix"))
        return listing(found, return_metadata)

    @expose
    def yplookup(self, meta_all: Optional[Iterable[str]] = None, meta_any: Optional[Iterable[str]] = None,
                 return_metadata: bool = True) -> Dict[str, Any]:
        """Search by metadata ("yellow pages").

        Args:
            meta_all: find registrations that have all of these tags.
            meta_any: find registrations that have at least one of these tags.

        Returns:
            as for `list`; empty if no tags are given.

        Raises:
            ValueError: both are given, or too many tags.
            TypeError: tags are not a collection of strings.
        """
        if meta_all and meta_any:
            # The words are those of other releases: programs may compare them.
            raise ValueError("you can't use meta_all or meta_any at the same time")
        if meta_all:
            tags, match_all = searched_tags(meta_all, "metadata_all"), True
        else:
            tags, match_all = searched_tags(meta_any, "metadata_any"), False
        self._take_turn()
        with self._reading:
            found = self._storage.find_tags(tags, match_all)
        return listing(found, return_metadata)

    def register_self(self, uri: URI) -> None:
        """Create or update the name server's own registration."""
        # Not safe: an entry of an earlier run is replaced, as its address may be old.
        own = Request(constants.NAMESERVER_NAME, str(uri), OWN_METADATA, False)
        self._changed(lambda: self._register(own))

    def all_uris(self) -> Dict[str, str]:
        """Return the uri text of every name; the lock is only held for short periods."""
        return listing(self._find(self._names()), return_metadata=False)

    def remove_unchanged(self, name: str, uri_text: str) -> bool:
        """Remove a registration if it still has this uri; return whether it was removed."""
        return self._changed(lambda: self._remove_if(name, uri_text))

    def close(self) -> None:
        """Stop the helper processes for searches, and close the storage (unless the program passed it in). The name server
        must no longer be in use by other threads. Can be called more than once.
        """
        # Searches first: they may take long, and still use the storage.
        self.end_searches()
        self.end_watches()
        self._timer.close()
        if self._owns_storage:
            with self.lock:
                self._storage.close()

    def end_searches(self) -> None:
        """Make searches in progress fail, and all later ones that need a helper process."""
        self._matcher.close()

    def _take_turn(self) -> None:
        # Small name servers answer at once, so that no turns are needed.
        if self._turns is not None and self._capacity.used_bytes > LARGE_BYTES:
            self._turns.begin()

    def _registration(self, name: str) -> Registration:
        """Read one registration; the caller holds the lock if the storage needs it."""
        checked_type(name, "name")
        try:
            return self._storage[name]
        except KeyError:
            # The cause is dropped: a client should not see the KeyError of the storage.
            raise errors.NamingError("unknown name: %s" % name) from None

    def _names_matching(self, regex: str) -> List[str]:
        """Run a client's regular expression on a snapshot of the names; the caller does not hold the lock."""
        return self._matcher.matching(checked_type(regex, "regex"), self._names)

    def _names(self) -> List[str]:
        with self._reading:
            return self._storage.names()

    def _find(self, names: List[str]) -> Dict[str, Registration]:
        """Read those of the names that (still) exist, in portions, so that other threads get the lock in between."""
        found: Dict[str, Registration] = {}
        for start in range(0, len(names), NAMES_AT_ONCE):
            with self._reading:
                found.update(self._storage.find_names(names[start:start + NAMES_AT_ONCE]))
        return found
