"""The methods of a proxy as callables, and the repetition of calls that failed for lack of a connection."""
from __future__ import annotations

import logging
from typing import Any, Callable, Mapping, Sequence

from .. import errors

__all__ = ["_RemoteMethod", "with_retries"]

log = logging.getLogger("Pyro5.client")


class _RemoteMethod:
    """
    A method of a remote object; calling it calls the remote one.

    Args:
        send: called with the name, the positional and the keyword arguments.
        name: of the method.
        max_retries: how often to repeat a call after a lost connection or a timeout.
    """

    __slots__ = ("_send", "_name", "_max_retries")

    def __init__(self, send: Callable[[str, Sequence[Any], Mapping[str, Any]], Any], name: str, max_retries: int = 0) -> None:
        self._send = send
        self._name = name
        self._max_retries = max_retries

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._max_retries:
            return with_retries(self._max_retries, self._send, self._name, args, kwargs)
        return self._send(self._name, args, kwargs)

    def __repr__(self) -> str:
        return "<remote method %s, called by %r>" % (self._name, self._send)


_RemoteMethod.__module__ = "Pyro5.client"


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
