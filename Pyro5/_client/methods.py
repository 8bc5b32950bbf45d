"""The methods of a proxy, and the retries of calls that failed because of the connection."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence, Tuple

from .. import LazyModule, errors
from .._values import plain
from ..constants import DAEMON_NAME
from .method_views import MethodView
from .retry import with_retries

if TYPE_CHECKING:
    import inspect

    from . import signatures
    from .call_future import CallFuture
else:
    signatures = LazyModule(globals(), ".signatures")  # for help() and the like: it imports ast and inspect

__all__ = ["_RemoteMethod"]

log = logging.getLogger("Pyro5.client")

GENERIC_DOC = "A method of a remote object. Its documentation is not available."


class _LazyDoc:
    """The docstring of a remote method, requested from the server when it is read. On the class: that of the class."""

    def __init__(self, doc_of_class: str) -> None:
        self._doc_of_class = doc_of_class

    def __get__(self, method: Any, owner: Any = None) -> str:
        return self._doc_of_class if method is None else str(method._pyroDocumentation())


class _LazySignature:
    """The signature of a remote method, requested from the server when it is read. The class itself has none."""

    def __get__(self, method: Any, owner: Any = None) -> inspect.Signature:
        if method is None:
            raise AttributeError("__signature__")
        found: inspect.Signature = method._pyroSignature()
        return found


class _RemoteMethod:
    __signature__ = _LazySignature()
    __doc__ = _LazyDoc("""
    A method of a remote object. Calling it calls the remote method.

    Its docstring begins with its signature. Both are requested from the server, if the server can describe its objects.

    Args:
        send: called with the name, the positional arguments and the keyword arguments.
        name: the name of the method.
        max_retries: how many times to repeat a call after a lost connection or a timeout.
        link: the link of the proxy; None: calls have no options.
    """)

    __slots__ = ("_send", "_name", "_max_retries", "_link")

    def __init__(self, send: Callable[[str, Sequence[Any], Mapping[str, Any]], Any], name: str, max_retries: int = 0,
                 link: Any = None) -> None:
        self._send = send
        self._name = name
        self._max_retries = max_retries
        self._link = link

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            # every call passes here: without retries, calling _send directly saves the frame of with_retries()
            if self._max_retries:
                return with_retries(self._max_retries, self._send, self._name, args, kwargs)
            return self._send(self._name, args, kwargs)
        except Exception as error:
            if not errors.is_remote(error):
                raise
            # The server raised it: drop the frames of this library from the traceback. The traceback of the server is in
            # the note of the exception (and shown by excepthook).
            raise error.with_traceback(None)  # noqa: B904

    def __get__(self, instance: object, owner: object = None) -> _RemoteMethod:
        return self  # inspect.isroutine() is true of descriptors: so help() describes this method and not its class

    @property
    def __name__(self) -> str:
        return self._name

    def options(self, **options: Any) -> MethodView:
        """Return the method with options for its calls.

        Keyword arguments: ``timeout`` (seconds for the whole call), ``retry`` (a `Retry`), ``wait_for_ready``, ``serializer``,
        ``annotations``; see MethodView.options.
        """
        return self._view().options(**options)

    def future(self, /, *args: Any, **kwargs: Any) -> CallFuture:
        """Make the call in the background, and return a ``concurrent.futures.Future``, which can be cancelled."""
        return self._view().future(*args, **kwargs)

    def tell(self, /, *args: Any, **kwargs: Any) -> None:
        """Send a oneway call, whether the method is marked as oneway or not: there is no result, and no exception of it."""
        self._view().tell(*args, **kwargs)

    def _view(self) -> MethodView:
        if self._link is None:
            raise TypeError("this method was created without a proxy: its calls have no options")
        return MethodView(self._send, self._name, self._link)

    def _pyroDocumentation(self) -> str:
        try:
            signature, doc = self._pyroDescription()
            return "\n\n".join(filter(None, [self._name + signature if signature else "", doc])) or GENERIC_DOC
        except Exception:  # reading a docstring never fails: no connection, an older server, a proxy of another thread, ...
            return GENERIC_DOC

    def _pyroSignature(self) -> inspect.Signature:
        try:
            return signatures.parse_signature(self._pyroDescription()[0])
        except Exception:  # as in _pyroDocumentation()
            return signatures.ANY_ARGUMENTS

    def _pyroDescription(self) -> Tuple[str, str]:
        """Return the signature and the docstring that the server sent; empty texts if it sent none."""
        description = plain.item(_descriptions(self._link), "descriptions", "methods", self._name)
        # untrusted: a server can send any object; a proxy, for example, would connect to an address that the server chose
        signature, doc = (plain.item(description, key) for key in ("signature", "doc"))
        return signature if type(signature) is str else "", doc if type(doc) is str else ""

    def __repr__(self) -> str:
        return "<remote method %s, called by %r>" % (self._name, self._send)


def _descriptions(link: Any) -> Any:
    # A docstring is read by debuggers and editors: it must not open a connection, nor wait for a call that is in
    # flight.
    connection = link.acquire_ready()
    if connection is None:
        raise errors.ConnectionClosedError("reading a docstring does not connect the proxy")
    return link.call(connection, "get_metadata", [link.object_id], {"descriptions": True}, 0, DAEMON_NAME)


_RemoteMethod.__module__ = "Pyro5.client"
