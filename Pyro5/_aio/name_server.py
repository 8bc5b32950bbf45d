"""The proxy for a name server in an asyncio program: names that are kept registered for a block, and watches."""
from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import threading
from typing import Any, AsyncIterator, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from .. import client, errors
from .._client.lease_keeper import Lease, LeaseKeeper
from .._client.name_server import NEW_ARGUMENTS, READING, old_arguments
from .._client.ns_places import FAILOVER_SECONDS, alternatives, is_list, note_nameserver
from .._client.watches import Event, checked_event, require_watch
from .._values.uri import URI
from ..constants import DEFAULT_TTL
from .calls import RemoteMember
from .connecting import Accepted, in_thread
from .connection import Connection
from .link import Link
from .proxy import Proxy, send_as_proxy

log = logging.getLogger("Pyro5.aio")


class _NameServerLink(Link):
    """The link of a proxy for a name server. If this was one of a list and cannot be reached any more, it connects to another
    one.

    Attributes:
        located: the arguments of `locate_ns`; empty if the name server was not searched for.
        is_one_of_several: whether there is a list of name servers.
    """

    located: Tuple[Any, ...] = ()
    is_one_of_several = False

    def alternatives(self) -> List[URI]:
        """Return the other name servers of the list; empty if there is none."""
        return alternatives(str(self.located[0]), self.located[1], self.uri) if self.is_one_of_several else []

    def options(self) -> Dict[str, Any]:
        return {**super().options(), "located": self.located, "is_one_of_several": self.is_one_of_several}

    async def _connect_once(self) -> Connection:
        others = self.alternatives()
        first = self.uri
        try:
            return await super()._connect_once()
        except errors.CommunicationError:
            if not others:
                raise
            note_nameserver(first)
            for uri in others:
                self.uri = uri
                try:
                    return await super()._connect_once()
                except errors.CommunicationError:
                    note_nameserver(uri)
            self.uri = first
            raise

    async def _open_at(self, uri: URI, seconds: Optional[float] = None) -> Accepted:
        # One that does not answer must not use up the time for the others.
        return await super()._open_at(uri, FAILOVER_SECONDS if self.is_one_of_several else None)


class NameServerProxy(Proxy):
    """A proxy for a name server, see `locate_ns`. It is sent to other processes as an ordinary proxy."""

    _pyro: _NameServerLink
    _pyroLinkClass = _NameServerLink

    def _set_link(self, link: Link) -> None:
        super()._set_link(link)
        # In the instance, where Proxy keeps members: no test is needed for other names.
        self.__dict__["register"] = _Register(link, "register")
        self.__dict__.update((name, _ReadingMember(link, name)) for name in READING)

    @property
    def _pyroLocated(self) -> Tuple[Any, ...]:
        """The arguments of `locate_ns`; empty if the name server was not searched for."""
        return self._pyro.located

    @_pyroLocated.setter
    def _pyroLocated(self, arguments: Tuple[Any, ...]) -> None:
        self._pyro.located = arguments
        # Once and not for each call: the list is a text that has to be parsed.
        self._pyro.is_one_of_several = bool(arguments) and is_list(str(arguments[0]))

    @contextlib.asynccontextmanager
    async def registered(self, name: str, uri: Union[str, URI], ttl: float = DEFAULT_TTL, *, safe: Optional[bool] = None,
                         metadata: Optional[Iterable[str]] = None, member: bool = False) -> AsyncIterator[Lease]:
        """Register a name for the block of an ``async with`` statement, and keep it registered: the lease is renewed in the
        background, by a thread.

        Arguments and errors as for ``NameServerProxy.registered`` of `Pyro5.api.locate_ns`.
        """
        keeper = LeaseKeeper()
        options = {"safe": safe, "metadata": metadata, "member": member or None}
        try:
            # In threads: the keeper is shared with the synchronous client, and waits for the name server.
            yield await in_thread(keep_registered, keeper, sync_proxy(self), name, URI(uri), ttl, options)
        finally:
            # Also if the task is cancelled a second time. It refuses a registration that has not ended.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, keeper.close))

    async def watch(self, prefix: str = "") -> AsyncIterator[Event]:
        """Iterate over the current registrations whose name begins with a prefix, and then over each change: `Event` objects.

        The watch has a connection of its own, so this proxy can be used meanwhile. It raises ConnectionClosedError when the
        name server stops.

        Raises:
            AttributeError: the name server is of another release.
        """
        proxy = copy.copy(self)
        async with proxy:
            await proxy._pyroBind()
            require_watch(proxy)
            proxy._pyroTimeout = None  # there may be no change for any time
            stream = await RemoteMember(proxy._pyro, "watch")(prefix)
            async for item in stream:
                yield checked_event(item)


class _Register(RemoteMember):
    """The method ``register``: with a name server of another release, arguments that it does not know are ignored."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if NEW_ARGUMENTS.isdisjoint(kwargs):  # the usual call costs one comparison
            return super().__call__(*args, **kwargs)
        return self._call_known(args, kwargs)

    async def _call_known(self, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        # What the name server knows is said in the handshake.
        if not self._link.connections:
            await self._link.connected()
        changed = old_arguments(self._name, args, kwargs, self._link.methods)
        return await super().__call__(*args, **(kwargs if changed is None else changed))


class _ReadingMember(RemoteMember):
    """A method that changes nothing: it is called at another name server of the list when the connection was lost."""

    _link: _NameServerLink

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._link.is_one_of_several:
            return self._call_repeatedly(args, kwargs)
        return super().__call__(*args, **kwargs)

    async def _call_repeatedly(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        try:
            return await super().__call__(*args, **kwargs)
        except errors.ConnectionClosedError as x:
            if errors.is_remote(x):
                raise
            log.info("%s was not answered, another name server is asked: %s", self._name, x)
        return await super().__call__(*args, **kwargs)


def sync_proxy(proxy: Proxy) -> client.NameServerProxy:
    """Return a proxy for the same name server that does not belong to an event loop. It is not connected."""
    # Without its constructor, which would read the URI again.
    copied = client.NameServerProxy.__new__(client.NameServerProxy)
    copied.__setstate__(proxy.__getstate__())
    copied._pyroLocated = getattr(proxy, "_pyroLocated", ())
    return copied


def keep_registered(keeper: LeaseKeeper, nameserver: Any, name: str, uri: URI, ttl: float, options: Dict[str, Any],
                    object_exists: Callable[[], bool] = lambda: True) -> Lease:
    """Register a name and keep it registered; waits for the name server, so it is called in a thread."""
    try:
        return keeper.register(nameserver, name, uri, ttl, object_exists, **options)
    finally:
        if isinstance(nameserver, client.Proxy):
            nameserver._pyroRelease()  # the keeper has a copy


send_as_proxy(NameServerProxy)
NameServerProxy.__module__ = "Pyro5.aio"


class _Registration:
    """One registration, which a thread makes while a task waits for it."""

    def __init__(self, register: Callable[[], Lease]) -> None:
        self._register = register
        self._lock = threading.Lock()  # guards the rest
        self._lease: Optional[Lease] = None
        self._is_abandoned = False

    def make(self) -> Lease:
        """Register the name, and remove it again if the task does not wait any more."""
        lease = self._register()
        with self._lock:
            self._lease = lease
            is_abandoned = self._is_abandoned
        if is_abandoned:
            lease.release()
        return lease

    def abandon(self) -> None:
        """Remove the name, as soon as it is registered. Called in the event loop."""
        with self._lock:
            self._is_abandoned = True
            lease = self._lease
        if lease is not None:  # the thread has ended already, but the task has not received the result
            asyncio.get_running_loop().run_in_executor(None, lease.release)


async def registered_in_thread(register: Callable[[], Lease]) -> Lease:
    """Call a function that registers a name, and waits for the name server, in a thread. If the task is cancelled, the name is
    removed again.
    """
    registration = _Registration(register)
    try:
        return await in_thread(registration.make)
    except asyncio.CancelledError:
        registration.abandon()
        raise
