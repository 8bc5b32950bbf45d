"""The proxy for asyncio programs, and batches: many calls in one request."""
from __future__ import annotations

import weakref
from typing import Any, AsyncContextManager, Dict, Generator, Iterator, Optional, Sequence, Type, Union

from .._client.batch import CollectedCalls, results_of
from .._client.call_options import checked_pick
from .._client.operators import may_be_remote
from .._client.proxy_state import STATE_ENTRIES, CommonState, register_callback
from .._client.results import rebuilt_batch, with_interface
from .._client.retry import Retry
from .._messages.requests import BATCH_METHOD
from .._values import classes
from .._values.uri import URI
from ..client import WIRE_TAG
from ..protocol import FLAGS_BATCH, FLAGS_ONEWAY
from ..socketutil import require_timeout
from ..typed import ProxyClass
from .calls import RemoteMember, call, write_attribute
from .connecting import in_thread
from .exclusive import exclusive_use
from .link import Link
from .streams import set_proxy_class


class Proxy(CommonState, metaclass=ProxyClass):
    """Represents a remote object in an asyncio program: method calls and attribute accesses are awaited.

    All tasks of an event loop may use a proxy at the same time. Their calls are in flight together on one connection, and are
    sent together where they are made in the same turn of the loop. Servers answer the calls of a connection in their order,
    one after the other; a proxy opens further connections, up to PROXY_CONNECTIONS, when a call has taken long and the server
    says that this makes no difference.

    The proxy connects when it is first used, and again at the next use after the connection was lost. It belongs to the event
    loop that it was first used in. Use it with ``async with`` to release the connections at the end of the block.

    Names that begin with ``_pyro``, and those that a subclass defines, are attributes of the proxy. All other names are
    members of the remote object.

    Args:
        uri: the URI of the object, a str or URI.
        timeout: seconds that a call may take; None for the setting COMMTIMEOUT.
        retry: how calls that fail are repeated; None: as the setting MAX_RETRIES says.
        wait_for_ready: wait until the server can be reached, instead of raising an error; with a timeout, as long as that.
        serializer: name of the serializer; None for the setting SERIALIZER.
        handshake: application data to send in the handshake, see Daemon.validateHandshake.
        pick: which object to prefer if several are registered under a name, ``random`` or ``least``, as for Pyro5.api.Proxy.

    Raises:
        PyroError: the uri is not valid.
        ValueError: the serializer, or pick, is unknown.
    """

    _pyro: Link  # all state that calls share; see __setattr__
    _pyroLinkClass: Type[Link] = Link  # that of a subclass may connect in another way

    def __class_getitem__(cls, interface: Any) -> Any:
        """Return this class, or what creates proxies that rebuild results of types of `register_types`. See Pyro5.typed."""
        return with_interface(cls, interface)

    def __init__(self, uri: Union[str, URI], *, timeout: Optional[float] = None, retry: Optional[Retry] = None,
                 wait_for_ready: bool = False, serializer: Optional[str] = None, handshake: Any = "hello",
                 pick: str = "random") -> None:
        # Everything that a call needs is in the link: a task that waits in a call does not keep the proxy alive.
        self._set_link(self._pyroLinkClass(URI(uri)))
        link = self._pyro
        link.handshake = handshake
        link.wait_for_ready = wait_for_ready
        link.pick = checked_pick(pick)
        if timeout is not None:  # else the setting COMMTIMEOUT
            self._pyroTimeout = timeout
        if retry is not None:
            self._pyroRetry = retry
        if serializer is not None:
            self._pyroSerializer = serializer

    def _set_link(self, link: Link) -> None:
        self.__dict__["_pyro"] = link
        # Only for a subclass that overrides it: the usual proxy costs nothing here.
        if type(self)._pyroValidateHandshake is not Proxy._pyroValidateHandshake:
            # Weak, since the link must not refer to the proxy: a proxy that is dropped would stay until the garbage
            # collector runs.
            this = weakref.ref(self)

            def validate(response: Any) -> None:
                proxy = this()
                if proxy is not None:
                    proxy._pyroValidateHandshake(response)

            link.validate = validate

    # ------------------------------------------------------------ members

    def __getattr__(self, name: str) -> RemoteMember:
        link = self.__dict__.get("_pyro")
        if link is None or name.startswith("_pyro") or (
                # Before connecting, the names are not known: a private one is never sent.
                name.startswith("_") and not (may_be_remote(name) and name in link.methods)):
            raise AttributeError("a proxy has no attribute %r, and this name cannot be exposed by remote objects" % name)
        # Kept in the instance: the next access of the name does not call __getattr__. The member refers to the link and not
        # to the proxy, so that there is no reference cycle.
        member = self.__dict__[name] = RemoteMember(link, name)
        return member

    def __setattr__(self, name: str, value: Any) -> None:
        # Attributes of a subclass of the program are its own.
        if name.startswith("_pyro") or hasattr(type(self), name):
            object.__setattr__(self, name, value)
            return
        raise AttributeError("assign an attribute of a remote object with: await aio.setattr(proxy, %r, value)" % name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._pyro_connected().__await__()

    async def _pyro_connected(self) -> Any:
        """Connect if necessary, and return the proxy: what ``await proxy`` does."""
        await self._pyro.connected()
        return self

    async def __aenter__(self) -> Any:
        self._pyro.use_loop()  # fails here, and not in the block, if the proxy belongs to another loop
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._pyroRelease()

    # ------------------------------------------------------------ connecting

    async def _pyroBind(self) -> bool:
        """Connect now, and replace a PYRONAME or PYROMETA URI by the PYRO URI that it was resolved to.

        Returns:
            False if the proxy was connected already.
        """
        link = self._pyro
        # Before the await: another task may connect meanwhile.
        was_connected = bool(link.connections)
        # All tasks that need the connection wait for the same attempt.
        await link.connected()
        link.uri = link.bound_uri
        return not was_connected

    def _pyroExclusive(self, timeout: Optional[float] = None) -> AsyncContextManager[None]:
        """Use the object exclusively for the block of an ``async with`` statement: the calls of all other clients raise
        BusyError. As `Pyro5.api.Proxy._pyroExclusive`.
        """
        self._pyro.use_loop()
        return exclusive_use(self._pyro, timeout)

    async def _pyroCallback(self, obj: Any) -> Any:
        """Make an object available to the server, which calls it over connections that this process opens.

        As `Pyro5.api.Proxy._pyroCallback`; but async methods of the object run in this event loop, others in threads.
        """
        link = self._pyro
        await link.connected()
        return Proxy(await in_thread(register_callback, link, link.use_loop(), obj))

    async def _pyroRelease(self) -> None:
        """Close the connections, and wait until they are closed. The next use of the proxy connects again."""
        link = self._pyro
        callbacks, link.callbacks = link.callbacks, None
        try:
            if callbacks is not None:
                await in_thread(callbacks.close)
        finally:
            await link.release()

    def _pyroValidateHandshake(self, response: Any) -> None:
        """Check the server's handshake response: raise an exception to refuse the connection. Override as needed."""

    @property
    def _pyroTimeout(self) -> Optional[float]:
        """Timeout of a call in seconds. None and 0 are no limit, a negative number is the setting COMMTIMEOUT."""
        return self._pyro.timeout

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds: Optional[float]) -> None:
        require_timeout(seconds)
        self._pyro.timeout = seconds

    # ------------------------------------------------------------ state

    def __setstate__(self, state: Any) -> None:
        # States of other releases have further entries.
        uri, oneway, methods, attrs, handshake, serializer_name = state[:STATE_ENTRIES]
        link = self._pyroLinkClass(URI(uri))
        link.oneway, link.methods, link.attrs, link.handshake = set(oneway), set(methods), set(attrs), handshake
        self._set_link(link)
        if serializer_name is not None:  # raises an exception if it is not installed here
            self._pyroSerializer = serializer_name

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        copied.__setstate__(self.__getstate__())  # connections are never copied: a copy connects itself
        for name, value in self._pyro.options().items():
            setattr(copied._pyro, name, value)
        return copied

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Proxy) and self._pyro.uri == other._pyro.uri)

    def __hash__(self) -> int:
        return hash(self._pyro.uri)  # as __eq__

    def __repr__(self) -> str:
        state = "connected" if self._pyro.connections else "not connected"
        return "<Pyro5.aio.Proxy at 0x%x; %s; for %s>" % (id(self), state, self._pyro.uri)


Proxy.__module__ = "Pyro5.aio"


async def setattr_remote(proxy: Proxy, name: str, value: Any) -> None:
    """Assign an attribute of the remote object.

    Raises:
        AttributeError: the object does not expose it.
    """
    await write_attribute(proxy._pyro, name, value)


setattr_remote.__name__ = setattr_remote.__qualname__ = "setattr"
setattr_remote.__module__ = "Pyro5.aio"


def _from_state(state: Sequence[Any]) -> Proxy:
    proxy = Proxy.__new__(Proxy)
    proxy.__setstate__(state)
    return proxy


# A proxy that is sent arrives as a proxy of the kind that the receiving program uses.
def _to_dict(proxy: Proxy) -> Dict[str, Any]:
    return {"__class__": WIRE_TAG, "state": proxy.__getstate__()}


set_proxy_class(_from_state)


def send_as_proxy(proxy_class: Type[Proxy]) -> None:
    """Make proxies of a class ordinary proxies on the wire. What is received with that tag is made by the client package."""
    own: Any = classes.own_class(WIRE_TAG)
    classes.register_own_dict(proxy_class, WIRE_TAG, _to_dict, own.build, own.deliver)


send_as_proxy(Proxy)


class BatchProxy(CollectedCalls):
    """Collects calls of the methods of a proxy, and sends all of them in one request when the batch itself is called.

    Calling a method of the batch sends nothing and returns None. ``await batch()`` sends the collected calls and returns an
    iterator of the results in order. The server stops at the first call that raises an exception, and the iterator raises
    that exception in the place of its result. After it was called the batch is empty and can be used again.
    """

    async def __call__(self, oneway: bool = False) -> Optional[Iterator[Any]]:
        """Send the collected calls.

        Args:
            oneway: return None at once; results and exceptions are discarded.

        Raises:
            AttributeError: the object does not expose one of the methods; none of the calls was made.
            CommunicationError: the request or its reply was lost; it is not known which of the calls were made.
        """
        batched = self._calls[:]
        self._calls.clear()  # not a new list: the methods of the batch keep a reference to this one
        flags = FLAGS_BATCH | (FLAGS_ONEWAY if oneway else 0)
        results = await call(self._proxy._pyro, BATCH_METHOD, batched, None, flags)
        return None if oneway else results_of(rebuilt_batch(self._proxy._pyro.results, batched, results))


BatchProxy.__module__ = "Pyro5.aio"
