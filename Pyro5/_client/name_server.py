"""What a proxy for a name server has in addition: names that are kept registered for a block, watches, other name servers."""
from __future__ import annotations

import contextlib
import functools
import logging
import time
from typing import (TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence,
                    Tuple, TypeVar, Union, cast)

from .. import LazyModule, errors
from .._values.uri import URI
from ..constants import DEFAULT_TTL
from ..socketutil import effective_timeout
from .call_options import CallOptions, current_options, deadline_for, earlier, options_for
from .ns_places import FAILOVER_SECONDS, alternatives, note_nameserver
from .proxy_state import ProxyState

if TYPE_CHECKING:
    import copy

    from . import discovery, lease_keeper, watches
    from .lease_keeper import Lease
else:
    copy = LazyModule(globals(), "copy")
    discovery = LazyModule(globals(), ".discovery")
    lease_keeper = LazyModule(globals(), ".lease_keeper")
    watches = LazyModule(globals(), ".watches")

log = logging.getLogger("Pyro5.discovery")

NEW_ARGUMENTS = frozenset(("ttl", "if_revision", "member"))  # of NameServer.register; other releases do not know them
# Methods that change nothing: they are called again at another name server of the list when the connection was lost.
READING = frozenset(("candidates", "count", "details", "leases", "list", "lookup", "ping", "status", "yplookup"))

T = TypeVar("T")


class NameServerMethods(ProxyState):
    """Base class of NameServerProxy. With a name server of another release, `register` ignores what that does not know. If it
    was one of a list of name servers and cannot be reached any more, the proxy connects to another one, and repeats there what
    only reads.
    """

    # Empty for a name server that was not searched for.
    _pyroLocated: Tuple[Any, ...] = ()  # the arguments of `located`

    def _pyroInvoke(self, methodname: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int = 0,
                    objectId: Optional[str] = None) -> Any:
        changed = old_arguments(methodname, vargs, kwargs, self._pyroMethods)
        own = super()._pyroInvoke  # that of Proxy
        invoke = functools.partial(own, methodname, vargs, kwargs if changed is None else changed, flags, objectId)
        try:
            return invoke()
        except errors.ConnectionClosedError as x:
            # A registration may have been made before the connection was lost; only the program knows what to do then.
            if methodname not in READING or objectId is not None or errors.is_remote(x) or not self._pyroAlternatives():
                raise
            log.info("%s was not answered, another name server is asked: %s", methodname, x)
        return invoke()

    def _pyroAlternatives(self) -> List[URI]:
        """Return the other name servers of the list; empty if there is none, or the proxy was not made by `located`."""
        return alternatives(str(self._pyroLocated[0]), self._pyroLocated[1], self._pyro.uri) if self._pyroLocated else []

    def _pyroConnect(self, replace_uri: bool = False) -> Any:
        connect = super()._pyroConnect  # that of Proxy
        others = self._pyroAlternatives()
        if not others:
            return connect(replace_uri)
        link = self._pyro
        first = link.uri
        try:
            return _within_seconds(link, functools.partial(connect, replace_uri))
        except errors.CommunicationError:
            note_nameserver(first)
            for uri in others:
                link.uri = uri
                try:
                    return _within_seconds(link, functools.partial(connect, replace_uri))
                except errors.CommunicationError:
                    note_nameserver(uri)
            link.uri = first
            raise

    def _pyroRelocate(self) -> Any:
        """Search for the name server again, and return a new proxy like this one."""
        # A copy has the same options, such as a timeout and the handshake data with the write token.
        found = copy.copy(self)
        if self._pyroLocated:
            with located(type(self), self._pyroLocated) as proxy:
                found._pyroUri = proxy._pyroUri
        return found

    def registered(self, name: str, uri: Union[str, URI], ttl: float = DEFAULT_TTL, *, safe: Optional[bool] = None,
                   metadata: Optional[Iterable[str]] = None, member: bool = False) -> ContextManager[Lease]:
        """Register a name for the block of a with statement, and keep it registered: the lease is renewed in the background.

        Args:
            ttl: seconds after which the name is removed if this process ends without doing so.
            safe, metadata, member: as for `NameServer.register`.

        Raises:
            NamingError: another server has the name.
        """
        return _registered(self, name, URI(uri), ttl, safe=safe, metadata=metadata, member=member or None)

    def watch(self, prefix: str = "") -> watches.Watch:
        """Return an iterator of the current registrations whose name begins with a prefix, and then of each change.

        The iterator yields `Event` objects and has a connection of its own, so this proxy can be used meanwhile.

        Raises:
            AttributeError: the name server is of another release.
        """
        # A copy: the proxy itself remains usable for other calls while the events are read.
        proxy = copy.copy(cast(Any, self))
        proxy._pyroBind()
        proxy._pyroLocated = ()  # from now on only this name server: others do not have the stream
        watches.require_watch(proxy)
        return watches.Watch(proxy, prefix)


def located(proxy_class: Any, place: Tuple[Any, ...], delay_time: float = 0.0) -> Any:
    """Find a name server, and return a proxy for it.

    Args:
        place: host, port and broadcast, as for `discovery.locate`.
        delay_time: as for `locate_ns`.
    """
    def bound_proxy(uri: URI, limit_seconds: Optional[float]) -> Any:
        proxy = proxy_class(uri)
        timeout = proxy._pyroTimeout
        proxy._pyroTimeout = earlier(limit_seconds, effective_timeout(timeout))
        proxy._pyroBind()
        proxy._pyroTimeout = timeout  # the limit applies to connecting only
        return proxy

    found = discovery.retry_until_found(lambda: discovery.locate(bound_proxy, proxy_class, *place), delay_time)
    # Kept for _pyroRelocate: a new name server is looked for in the same places.
    found._pyroLocated = place
    return found


def _within_seconds(link: Any, connect: Callable[[], T]) -> T:
    """Connect to one of several name servers: one that does not answer must not use up the time for the others."""
    seconds = earlier(FAILOVER_SECONDS, effective_timeout(link.timeout)) or FAILOVER_SECONDS
    options = options_for(link) or CallOptions(link)
    token = current_options.set(options.replaced(deadline=earlier(time.monotonic() + seconds, deadline_for(link))))
    try:
        return connect()
    finally:
        current_options.reset(token)


@contextlib.contextmanager
def _registered(nameserver: Any, name: str, uri: URI, ttl: float, **options: Any) -> Iterator[Lease]:
    # A keeper for one name: its thread ends with the block.
    keeper = lease_keeper.LeaseKeeper()
    try:
        yield keeper.register(nameserver, name, uri, ttl, **options)
    finally:
        keeper.close()


def old_arguments(method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
                  exposed: Iterable[str]) -> Optional[Dict[str, Any]]:
    """Return the keyword arguments for a name server of another release, None if they need no change.

    That has no leases and members: the name is simply registered, and stays until it is removed.

    Args:
        exposed: the names of the methods that the name server has.

    Raises:
        NamingError: a condition was passed, which that name server cannot check.
    """
    if method != "register" or not kwargs or NEW_ARGUMENTS.isdisjoint(kwargs) or "renew" in exposed:
        return None
    # A condition that cannot be checked must not be ignored: the registration could overwrite another one.
    if kwargs.get("if_revision") is not None:
        raise errors.NamingError("the name server is of another release, and has no revisions; %s was not registered"
                                 % (args[0] if args else kwargs.get("name")))
    return {name: value for name, value in kwargs.items() if name not in NEW_ARGUMENTS}
