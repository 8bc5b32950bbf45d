"""Keep names registered in a name server: one thread renews all leases of a daemon, and registers names again."""
from __future__ import annotations

import atexit
import copy
import logging
import math
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Set, Tuple

from .. import LazyModule, errors
from .._values import plain
from .._values.uri import URI
from ..constants import DEFAULT_TTL

if TYPE_CHECKING:
    import inspect
    import random
else:
    inspect = LazyModule(globals(), "inspect")
    random = LazyModule(globals(), "random")

log = logging.getLogger("Pyro5.leases")

CALL_SECONDS = 3.0          # time limit of each call to the name server, which may be unreachable
RETRY_SECONDS = 1.0         # pause at most after the name server was not reached
LEASES_AT_ONCE = 500        # in one request


class Lease:
    """A name that is kept registered until it is released.

    Attributes:
        name, uri, ttl: as registered.
        lost: whether another server has the name now. Then it is not renewed any more.
    """

    def __init__(self, keeper: LeaseKeeper, nameserver: _NameServer, name: str, uri: URI, ttl: float,
                 options: Dict[str, Any]) -> None:
        self.name = name
        self.uri = uri
        self.ttl = ttl
        self.lost = False
        self._keeper = keeper
        self._nameserver = nameserver
        self._options = options     # of NameServer.register
        self._lease_id: Optional[str] = None
        # Infinite until the first registration has succeeded, and again when the name is lost: then nothing is renewed.
        self._due_at = math.inf
        self._object_exists: Callable[[], bool] = lambda: True
        self._lock = threading.Lock()  # guards the list, together with lost
        self._callbacks: List[Callable[..., Any]] = []

    def on_lost(self, callback: Callable[..., Any]) -> None:
        """Call a function when the name is lost, in the thread that renews it; at once, if it is lost already.

        Args:
            callback: called with the lease, or without arguments if it has no parameter.
        """
        # Under the lock, so that a callback that is added while the name is being lost is called exactly once.
        with self._lock:
            if not self.lost:
                self._callbacks.append(callback)
                return
        self._call(callback)

    def release(self) -> None:
        """Remove the name from the name server, unless another server has it now. Calling this again has no effect."""
        self._keeper.release([self])

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return "<Lease of %s for %s%s>" % (self.name, self.uri, "; lost" if self.lost else "")

    def _set_lost(self, reason: str) -> None:
        log.warning("the name %s is lost: %s", self.name, reason)
        with self._lock:
            self.lost = True
            callbacks, self._callbacks = self._callbacks, []
        # Outside of the lock: a callback may add others, or release the lease.
        for callback in callbacks:
            self._call(callback)

    def _call(self, callback: Callable[..., Any]) -> None:
        try:
            # Both forms are accepted, with and without the lease. Calling it to find out would hide a TypeError of its own.
            takes_lease = True
            try:
                inspect.signature(callback).bind(self)
            except TypeError:
                takes_lease = False
            except ValueError:  # no signature: a builtin
                pass
            callback(*([self] if takes_lease else []))
        except Exception:  # of the program; other leases are still renewed
            log.exception("a callback for the lost name %s failed", self.name)


class LeaseKeeper:
    """Renews leases at a third of their time. Thread-safe.

    The thread starts with the first lease. A name server that is away is tried again every second, and searched for as before;
    names that it does not have are registered again. A name that another server has registered meanwhile is lost.

    Args:
        clock: returns monotonic seconds.
        threaded: see the attribute.

    Attributes:
        threaded: start a thread; otherwise the program calls `renew_due`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, threaded: bool = True) -> None:
        self._clock = clock
        self.threaded = threaded
        # After a fork the child has a copy of this object, but neither the thread nor the right to the names.
        self._process = os.getpid()
        self._condition = threading.Condition()  # guards the attributes below
        self._leases: List[Lease] = []
        self._nameservers: Dict[Any, _NameServer] = {}
        self._thread: Optional[threading.Thread] = None
        self._closed = False
        self._closings = 0  # how often it was closed

    def register(self, nameserver: Any, name: str, uri: URI, ttl: float = DEFAULT_TTL,
                 object_exists: Callable[[], bool] = lambda: True, **options: Any) -> Lease:
        """Register a uri, and keep it registered.

        Args:
            nameserver: a proxy for the name server, or a `NameServer` of this process.
            object_exists: called before each renewal; if it returns False, the name is removed instead.
            options: further arguments of ``NameServer.register``.

        Raises:
            NamingError: another server has the name.
            CommunicationError: the name server cannot be reached.
            DaemonError: the keeper was closed meanwhile.
        """
        if self._process != os.getpid():
            self._begin_in_child()
        # What was not given is not passed on: name servers of other releases do not know newer parameters.
        options = {key: value for key, value in options.items() if value is not None and value != ()}
        # One connection for all leases of a name server; an object that is not a proxy stands for itself.
        key = getattr(nameserver, "_pyroUri", nameserver)
        lease = Lease(self, self._nameservers.get(key) or _NameServer(nameserver), name, uri, ttl, options)
        # The first time in the caller's thread, so that it gets the error if the name cannot be registered.
        lease._object_exists = object_exists
        closings = self._closings
        lease._lease_id = _register(nameserver, lease)
        with self._condition:
            self._leases.append(lease)
            was_closed = self._closings != closings
            if not was_closed:
                lease._nameserver = self._nameservers.setdefault(key, lease._nameserver)
                self._start(lease)
        if was_closed:  # by another thread: nothing would remove the name any more
            self.release([lease])
            lease._nameserver.close()
            raise errors.DaemonError("the name %s was registered too late: its daemon, or the block, has ended" % name)
        _at_exit.add(weakref.ref(self, _at_exit.discard))
        return lease

    def _start(self, lease: Lease) -> None:
        """Begin to renew a lease. Called under the lock."""
        self._set_due(lease)
        # A daemon that was closed and is used again keeps its names again.
        self._closed = False
        if self.threaded and self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="Pyro5 leases")
            self._thread.start()
        self._condition.notify()

    def _begin_in_child(self) -> None:
        """Leave the leases to the parent process."""
        # A new condition, because a thread of the parent may have held it at the moment of the fork.
        self._process = os.getpid()
        self._condition = threading.Condition()
        self._leases, self._nameservers, self._thread = [], {}, None

    def release(self, leases: List[Lease]) -> None:
        """Remove names from the name server. Errors are logged: the leases end by themselves."""
        # Taken out before the name server is asked: a renewal at the same time would register them anew.
        with self._condition:
            leases = [lease for lease in leases if lease in self._leases]
            self._leases = [lease for lease in self._leases if lease not in leases]
        for nameserver, some in _by_nameserver(leases):
            try:  # a lost name belongs to another server
                nameserver.release([lease for lease in some if not lease.lost])
            except Exception as x:  # an error of the network, or one that the name server raised
                log.warning("the names %s may still be registered: %s", ", ".join(lease.name for lease in some), x)

    def close(self) -> None:
        """Stop the thread, and remove all names. Can be called more than once."""
        if self._process != os.getpid():
            return  # a forked child: the names, and the thread, belong to its parent
        # The thread first: it uses the same connections.
        with self._condition:
            self._closed = True
            self._closings += 1
            thread, self._thread = self._thread, None
            leases = list(self._leases)
            self._condition.notify()  # a callback of a lost lease closes the daemon
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self.release(leases)
        with self._condition:
            nameservers, self._nameservers = self._nameservers, {}
        for nameserver in nameservers.values():
            nameserver.close()

    def next_due(self) -> float:
        """Return when (by the clock) the next lease has to be renewed, infinity if there is none."""
        with self._condition:
            return min([lease._due_at for lease in self._leases], default=math.inf)

    def renew_due(self) -> None:
        """Renew the leases that are due."""
        now = self._clock()
        with self._condition:
            due = [lease for lease in self._leases if lease._due_at <= now]
        gone = [lease for lease in due if not lease._object_exists()]
        if gone:
            self.release(gone)
        for nameserver, leases in _by_nameserver([lease for lease in due if lease not in gone]):
            for start in range(0, len(leases), LEASES_AT_ONCE):
                self._renew(nameserver, leases[start:start + LEASES_AT_ONCE])

    def _renew(self, nameserver: _NameServer, leases: List[Lease]) -> None:
        failed = False
        try:
            # Others may have been released meanwhile; they have no effect on the time of the remaining ones.
            for lease, reason in nameserver.renew(leases):
                lease._set_lost(reason)
        except Exception as x:  # an error of the network, or one that the name server raised
            failed = True
            log.warning("cannot renew the names %s, trying again: %s", ", ".join(lease.name for lease in leases), x)
        with self._condition:
            for lease in leases:
                self._set_due(lease, failed)

    def _set_due(self, lease: Lease, failed: bool = False) -> None:
        # Random, so that servers that were started together do not renew together.
        seconds = lease.ttl / 3 * (1 - 0.2 * random.random())
        lease._due_at = math.inf if lease.lost else self._clock() + (min(seconds, RETRY_SECONDS) if failed else seconds)

    def _run(self) -> None:
        while True:
            with self._condition:
                due_at = min([lease._due_at for lease in self._leases], default=math.inf)
                # At most a number that the platform can wait for; then the loop looks again.
                left = due_at - self._clock()
                if not self._closed and left > 0:
                    self._condition.wait(None if left == math.inf else min(left, threading.TIMEOUT_MAX))
                # closed, and perhaps used again: then another thread renews
                if self._closed or self._thread is not threading.current_thread():
                    return
            self.renew_due()


class _NameServer:
    """A name server as the threads of a keeper use it, one at a time: by a connection of its own, and searched for when it was
    lost.
    """

    def __init__(self, nameserver: Any) -> None:
        self._is_proxy = hasattr(type(nameserver), "_pyroBind")
        self._nameserver = nameserver
        self._is_lost = False
        # Held while the name server is called: a lease can be released in another thread than that of the keeper. Callbacks of
        # lost leases run without it.
        self._lock = threading.Lock()
        if self._is_proxy:
            # A copy: a proxy belongs to one thread, and that of the program is used by the program.
            self._use(copy.copy(nameserver))

    def _use(self, proxy: Any) -> None:
        proxy._pyroTimeout = CALL_SECONDS
        self._nameserver = proxy

    def renew(self, leases: List[Lease]) -> List[Tuple[Lease, str]]:
        """Renew leases, and register names that the name server does not have; return the lost leases, and why.

        Raises:
            PyroError: the name server cannot be reached.
        """
        with self._lock:
            nameserver = self._connected()
            try:
                known = knows_leases(nameserver)
                missing = _renew(nameserver, leases) if known else leases
                reasons = [(lease, self._register_again(nameserver, lease, known)) for lease in missing]
            except errors.CommunicationError:
                self._is_lost = True
                raise
        return [(lease, reason) for lease, reason in reasons if reason is not None]

    def _register_again(self, nameserver: Any, lease: Lease, knows: bool) -> Optional[str]:
        """Register a name again; return why it is lost, None if it is not."""
        try:
            # A name server without leases cannot say who had the name, so the URI tells.
            if not knows:
                found = _lookup(nameserver, lease.name)
                if found is not None:
                    return None if found == lease.uri else "it is registered as %s" % found
            # Not `safe=False`: a server that has registered the name meanwhile keeps it, also without a lease.
            lease._lease_id = _register(nameserver, lease, again=True)
            log.info("registered %s again", lease.name)
        except errors.NamingError as x:
            # It may also be full, or its storage may fail: then the name is registered later.
            if _lookup(nameserver, lease.name) in (None, lease.uri):
                raise
            return str(x)
        return None

    def release(self, leases: List[Lease]) -> None:
        """Remove the names, as far as they still belong to the leases. Raises as `renew`."""
        if not leases:
            return
        with self._lock:
            nameserver = self._connected()
            if knows_leases(nameserver):
                nameserver.release({lease._lease_id: lease.name for lease in leases if lease._lease_id})
            for lease in leases:
                # Without leases: only if the name still has this URI. Another server may have taken it over.
                if lease._lease_id is None and _lookup(nameserver, lease.name) == lease.uri:
                    nameserver.remove(lease.name)

    def close(self) -> None:
        if self._is_proxy:
            self._nameserver._pyroRelease()

    def _connected(self) -> Any:
        """Return the name server. If the connection was lost, it is searched for in the places of the original search."""
        if not self._is_proxy:
            return self._nameserver
        self._nameserver._pyroClaimOwnership()  # the thread of the keeper, or that which closes the daemon
        if self._is_lost:
            relocate = getattr(type(self._nameserver), "_pyroRelocate", None)
            if relocate is not None:
                # The old place may be that of a name server that has been replaced. Searching is what the program did, too.
                self._nameserver._pyroRelease()
                self._use(relocate(self._nameserver))
            self._is_lost = False
        return self._nameserver


def knows_leases(nameserver: Any) -> bool:
    """Return whether a name server has leases. Those of other releases have none."""
    if not hasattr(type(nameserver), "_pyroBind"):
        return hasattr(nameserver, "renew")  # in the same process, without a connection
    nameserver._pyroBind()
    return "renew" in nameserver._pyroMethods


def _renew(nameserver: Any, leases: List[Lease]) -> List[Lease]:
    """Renew leases; return those that the name server does not have."""
    lost = nameserver.renew({lease._lease_id: lease.name for lease in leases if lease._lease_id})
    # Another program may listen there now, and what it sends is checked before it is used.
    if type(lost) is not dict or not plain.is_texts([*lost, *lost.values()]):
        raise errors.ProtocolError("the answer is not a dict of lease ids and URIs: %s" % plain.text_of(lost))
    # One without an id was registered at a name server of another release.
    return [lease for lease in leases if lease._lease_id is None or lease._lease_id in lost]


def _register(nameserver: Any, lease: Lease, again: bool = False) -> Optional[str]:
    """Register the name of a lease, and return the id of the lease; None if the name server has no leases."""
    options = dict(lease._options)
    is_member = options.get("member", False)
    if not knows_leases(nameserver):
        options.pop("member", None)
        if not options.get("safe"):
            options.pop("safe", None)  # the default there: what is sent is as before
        if again and not is_member:
            # Another server may have registered the name since it was looked up, and it keeps it.
            options["safe"] = True
        nameserver.register(lease.name, lease.uri, **options)
        return None
    if again:
        options.pop("safe", None)
        if not is_member:
            # Only if the name still has this uri, or is free, which the name server checks.
            found = _lookup(nameserver, lease.name)
            if found is None:
                options["if_revision"] = 0
            elif found != lease.uri:
                raise errors.NamingError("it is registered as %s" % found)
    accepted = nameserver.register(lease.name, lease.uri, ttl=lease.ttl, **options)
    lease_id = accepted.get("lease") if type(accepted) is dict else None
    if type(lease_id) is not str:
        raise errors.ProtocolError("the name server's answer is not a lease: %s" % plain.text_of(accepted))
    return lease_id


def _lookup(nameserver: Any, name: str) -> Optional[URI]:
    """Return the uri of a name, None if it is not registered."""
    try:
        return URI(nameserver.lookup(name))
    except (errors.NamingError, TypeError):  # a TypeError: the name server sent something else than a URI
        return None


def _by_nameserver(leases: List[Lease]) -> List[Tuple[_NameServer, List[Lease]]]:
    found: Dict[int, Tuple[_NameServer, List[Lease]]] = {}
    for lease in leases:
        # By identity: name servers in the same process need not be hashable.
        found.setdefault(id(lease._nameserver), (lease._nameserver, []))[1].append(lease)
    return list(found.values())


# Keepers that have had leases: programs that end by Ctrl-C often do not close their daemon.
# References and no WeakSet, which cannot be iterated while other threads change it. Each change is atomic, and so is copying.
_at_exit: Set[weakref.ref[LeaseKeeper]] = set()


@atexit.register
def _close_all() -> None:
    for keeper in filter(None, [find() for find in list(_at_exit)]):
        keeper.close()
