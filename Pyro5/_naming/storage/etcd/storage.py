"""The storage ``etcd:``: lookups in memory, changes as transactions of an etcd cluster."""
from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from typing import Any, Callable, ContextManager, Dict, FrozenSet, ItemsView, Iterable, Iterator, List, Optional, Set

from .... import config, constants, errors
from .. import Registration, StorageInMapping, T
from ..details import NO_DETAILS, Change, Details, Lease, SharedStorage, from_text, to_text
from .client import EtcdClient
from .follower import Follower
from .messages import Event
from .mirror import Mirror
from .records import plan
from .target import Target
from .transactions import Conflict, Transaction, renew_leases

log = logging.getLogger("Pyro5.nameserver")

# Changes that wait at the same time for a cluster that cannot be reached; others are refused at once, so that threads
# remain for lookups.
WAITING_CHANGES = 4
# After which the watch is opened again, if a change of this name server has not come back.
ECHO_SECONDS = 1.0
CONFLICT_SECONDS = 0.1      # for which a change waits for those of other name servers
LOCK_SECONDS = 0.05         # between looking whether the storage is being closed


class EtcdStorage(StorageInMapping, SharedStorage):
    """The registrations under a prefix of an etcd cluster, which any number of name servers can use at the same time.

    All of them are mirrored in memory. A change is recorded in a transaction by the operation, which the caller passes to
    `patiently`, and sent after it without any lock. It returns when the change has come back into the mirror.

    The registration of the name server itself stays in memory, since each of them has its own.
    """

    reads_alongside = True

    def __init__(self, target: Target) -> None:
        self._target = target
        self._client = EtcdClient(target)
        self._mirror = Mirror(target.prefix)
        self._mapping = self._mirror.registrations  # reading one entry is atomic, so that takes no lock
        self._local = threading.local()  # the transaction of the thread, and the revision of its last change
        self._changes_lock: ContextManager[Any] = threading.RLock()  # held while changes are applied, see subscribe()
        self._listener: Callable[[List[Change]], None] = _ignore
        self._waiting = threading.BoundedSemaphore(WAITING_CHANGES)
        self._closed = False
        self._follower = Follower(self._client, self._mirror, target.prefix, self._apply, len(target.endpoints), str(target))
        try:
            self._follower.start()
        except BaseException:
            self._client.close()
            raise

    def __repr__(self) -> str:
        return "<%s %s with %d names>" % (type(self).__name__, str(self._target), len(self))

    # ------------------------------------------------------------ reading

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def items(self) -> ItemsView[str, Registration]:
        """Return the registrations as they are now."""
        return self.find_prefix("").items()

    def names(self) -> List[str]:
        with self._mirror.lock:
            return list(self._mirror.registrations)

    def find_names(self, names: Iterable[str]) -> Dict[str, Registration]:
        with self._mirror.lock:
            return self._mirror.registrations.find_names(names)

    def find_prefix(self, prefix: str) -> Dict[str, Registration]:
        with self._mirror.lock:
            return self._mirror.registrations.find_prefix(prefix)

    def find_tags(self, tags: FrozenSet[str], match_all: bool) -> Dict[str, Registration]:
        with self._mirror.lock:
            return self._mirror.registrations.find_tags(tags, match_all)

    def load_details(self) -> Dict[str, str]:
        with self._mirror.lock:
            texts = {name: to_text(self[name][0], details) for name, details in self._mirror.details.items()}
        return {name: text for name, text in texts.items() if text is not None}

    # ------------------------------------------------------------ changing

    def store(self, name: str, registration: Registration, details: Optional[str] = None) -> None:
        if name == constants.NAMESERVER_NAME:
            self._set_local(name, registration)
            return
        parsed = NO_DETAILS if details is None else from_text(registration[0], details)
        self._record(lambda transaction: self._record_store(transaction, name, registration, parsed))

    def remove_names(self, names: Iterable[str]) -> int:
        existing = [name for name in dict.fromkeys(names) if name in self]
        if constants.NAMESERVER_NAME in existing:
            self._set_local(constants.NAMESERVER_NAME, None)
        self._record(lambda transaction: self._record_removal(transaction, existing))
        return len(existing)

    def patiently(self, operation: Callable[[], T]) -> T:
        """Run an operation, then execute the changes that it has recorded; again if another name server has changed the same
        registrations in the meantime.
        """
        if self._transaction is not None:
            return operation()  # a part of another one
        with self._turn():
            until = time.monotonic() + self._seconds
            while True:
                transaction = self._local.transaction = Transaction(self._target.prefix)
                try:
                    result = operation()
                finally:
                    self._local.transaction = None
                if not transaction or _for_clients(functools.partial(self._execute, transaction, until)):
                    return result

    def renew(self, leases: List[Lease]) -> Set[str]:
        self._require_open()
        return _for_clients(lambda: renew_leases(self._client, leases, self._seconds))

    @property
    def last_revision(self) -> int:
        return getattr(self._local, "revision", 0)

    # ------------------------------------------------------------ for the name server

    @property
    def revisions(self) -> Dict[str, int]:
        return self._mirror.revisions

    def stale_seconds(self) -> Optional[float]:
        return self._follower.stale_seconds

    def subscribe(self, lock: ContextManager[Any], listener: Callable[[List[Change]], None]) -> None:
        # No changes are applied in between: that takes the lock that was used so far.
        with self._changes_lock:
            self._changes_lock, self._listener = lock, listener

    def unsubscribe(self) -> None:
        self.subscribe(threading.RLock(), _ignore)

    def close(self) -> None:
        self._closed = True
        self._client.close()
        self._follower.close()

    # ------------------------------------------------------------ private

    @property
    def _transaction(self) -> Optional[Transaction]:
        return getattr(self._local, "transaction", None)

    @property
    def _seconds(self) -> float:
        return config.NS_ETCD_TIMEOUT or 0.1

    def _require_open(self) -> None:
        if self._closed:
            raise errors.NamingError("the storage etcd:%s is closed" % (self._target,))

    def _record(self, record: Callable[[Transaction], None]) -> None:
        """Record changes in the transaction of this thread; without one, execute them at once."""
        self._require_open()
        # In patiently(), which may have begun it already, the thread has a transaction.
        self.patiently(lambda: record(self._local.transaction))

    def _record_store(self, transaction: Transaction, name: str, registration: Registration, details: Details) -> None:
        existing = self._mirror.records(name)
        records = {member: record for member, (record, _) in existing.items()}
        transaction.store(name, plan(self._target.prefix, name, registration, details, records), existing)

    def _record_removal(self, transaction: Transaction, names: List[str]) -> None:
        for name in names:
            if name != constants.NAMESERVER_NAME:
                transaction.remove(name, self._mirror.records(name))

    def _execute(self, transaction: Transaction, until: float) -> bool:
        """Execute changes and wait until they are in the mirror; return False after a conflict."""
        self._require_open()
        try:
            revision = transaction.execute(self._client, max(until - time.monotonic(), 0.1))
        except Conflict as x:
            if time.monotonic() >= until:
                raise errors.NamingError("other name servers or programs have changed the registration several times"
                                         ) from None
            # The revision may be that of a change which is none of ours, so wait a moment at most.
            self._mirror.wait_for(x.revision, CONFLICT_SECONDS)
            return False
        self._local.revision = revision or self.last_revision
        # The change is safe. A watch that does not deliver it belongs to an endpoint that hangs.
        while revision and not self._mirror.wait_for(revision, ECHO_SECONDS) and not self._closed:
            self._follower.reconnect_if_old()
            if time.monotonic() >= until:
                log.warning("a change was stored in etcd at %s, but has not come back yet", str(self._target))
                break
        return True

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Refuse a change if too many others wait for a cluster that cannot be reached."""
        if self.stale_seconds() is None:
            yield
            return
        if not self._waiting.acquire(blocking=False):
            raise errors.NamingError("etcd at %s cannot be reached, and other changes are waiting for it" % (self._target,))
        try:
            yield
        finally:
            self._waiting.release()

    def _set_local(self, name: str, registration: Optional[Registration]) -> None:
        with self._changes():
            self._listener(self._mirror.set_local(name, registration))

    def _apply(self, events: Iterable[Event]) -> None:
        """Apply events to the mirror, and tell the name server. Runs in the thread of the watch."""
        with self._changes():
            changes = self._mirror.apply(events)
            if changes:
                self._listener(changes)

    @contextlib.contextmanager
    def _changes(self) -> Iterator[None]:
        """Hold the lock for changes, which subscribe() may replace."""
        while True:
            lock: Any = self._changes_lock
            # close() may be waiting for this thread, while its caller holds the lock.
            while not lock.acquire(timeout=LOCK_SECONDS):
                self._require_open()
            try:
                if lock is self._changes_lock:
                    yield
                    return
            finally:
                lock.release()


def _for_clients(step: Callable[[], T]) -> T:
    """Return the result of a request to the cluster; its errors are those that clients know."""
    try:
        return step()
    except errors.NamingError as x:
        raise x if type(x) is errors.NamingError else errors.NamingError(str(x)) from x


def _ignore(changes: List[Change]) -> None:
    """Do nothing."""
