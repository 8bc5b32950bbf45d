"""The methods of a proxy as callables, and the repetition of calls that failed for lack of a connection."""
from __future__ import annotations

import inspect
import logging
from typing import Any, Callable, Mapping, Sequence, Tuple

from .. import errors
from .._values import plain
from ..constants import DAEMON_NAME
from .signatures import ANY_ARGUMENTS, parse_signature

__all__ = ["_RemoteMethod", "with_retries"]

log = logging.getLogger("Pyro5.client")

GENERIC_DOC = "A method of a remote object, of which nothing else is known here."


class _LazyDoc:
    """The docstring of a remote method, which the server is asked for when it is read; and that of the class."""

    def __init__(self, doc_of_class: str) -> None:
        self._doc_of_class = doc_of_class

    def __get__(self, method: Any, owner: Any = None) -> str:
        return self._doc_of_class if method is None else str(method._pyroDocumentation())


class _LazySignature:
    """The signature of a remote method, which the server is asked for when it is read; the class has none of its own."""

    def __get__(self, method: Any, owner: Any = None) -> inspect.Signature:
        if method is None:
            raise AttributeError("__signature__")
        found: inspect.Signature = method._pyroSignature()
        return found


class _RemoteMethod:
    __signature__ = _LazySignature()
    __doc__ = _LazyDoc("""
    A method of a remote object; calling it calls the remote one.

    Its docstring begins with its signature. Both come from the server, if that can describe its objects.

    Args:
        send: called with the name, the positional and the keyword arguments.
        name: of the method.
        max_retries: how often to repeat a call after a lost connection or a timeout.
    """)

    __slots__ = ("_send", "_name", "_max_retries")

    def __init__(self, send: Callable[[str, Sequence[Any], Mapping[str, Any]], Any], name: str, max_retries: int = 0) -> None:
        self._send = send
        self._name = name
        self._max_retries = max_retries

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._max_retries:
                return with_retries(self._max_retries, self._send, self._name, args, kwargs)
            return self._send(self._name, args, kwargs)
        except Exception as error:
            if not is_remote(error):
                raise
            # it was raised in the server: how the library got it says nothing, its note (or the excepthook) says where
            raise error.with_traceback(None)  # noqa: B904

    def __get__(self, instance: object, owner: object = None) -> _RemoteMethod:
        return self  # a descriptor counts as a routine: so help() describes this method, not its class

    @property
    def __name__(self) -> str:
        return self._name

    def _pyroDocumentation(self) -> str:
        try:
            signature, doc = self._pyroDescription()
            return "\n\n".join(filter(None, [self._name + signature if signature else "", doc])) or GENERIC_DOC
        except Exception:  # a docstring fails for no reason: no connection, an older server, another thread's proxy, ...
            return GENERIC_DOC

    def _pyroSignature(self) -> inspect.Signature:
        try:
            return parse_signature(self._pyroDescription()[0])
        except Exception:  # as for the docstring
            return ANY_ARGUMENTS

    def _pyroDescription(self) -> Tuple[str, str]:
        """Return signature and docstring, as the server describes them; empty if it does not."""
        link = getattr(self._send, "args", (None,))[0] or getattr(getattr(self._send, "__self__", None), "_pyro", None)
        told = plain.item(_descriptions(link), "descriptions", "methods", self._name)
        # A server can send anything; a proxy, for example, would connect to an address of its choice.
        signature, doc = (plain.item(told, key) for key in ("signature", "doc"))
        return signature if type(signature) is str else "", doc if type(doc) is str else ""

    def __repr__(self) -> str:
        return "<remote method %s, called by %r>" % (self._name, self._send)


def _descriptions(link: Any) -> Any:
    connection = link.maybe_ready()
    if connection is None:
        raise errors.ConnectionClosedError("no connection is made for a docstring")
    return link.call(connection, "get_metadata", [link.object_id], {"descriptions": True}, 0, DAEMON_NAME)


_RemoteMethod.__module__ = "Pyro5.client"


def is_remote(error: BaseException) -> bool:
    """Return whether an exception came from a server; no code of its class is run."""
    return bool(BaseException.__getattribute__(error, "__dict__").get("_pyroTraceback"))


def with_retries(max_retries: int, send: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """
    Call a remote method, again and again if the connection is lost or the time runs out.

    Args:
        max_retries: how often the call may be repeated.
        send: called with the name and the arguments, a Proxy's `_pyroInvoke` for instance.

    Raises:
        Exception: what the last attempt raised; what the method itself raised on the server is never repeated.
    """
    for retries_left in range(max_retries, 0, -1):
        try:
            return send(name, *arguments)
        except (errors.ConnectionClosedError, errors.TimeoutError) as x:
            if hasattr(x, "_pyroTraceback"):
                raise  # the method itself raised this, on the server
            log.info("calling %s again (retries left: %d), as it failed: %s", name, retries_left, x)
    return send(name, *arguments)
