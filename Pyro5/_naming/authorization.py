"""
Who may change the registrations of a name server: everybody, or only the clients that know its write token.

The token is a secret text that clients have as their ``_pyroHandshake`` when they connect. Those without it are let in all
the same, but can only look. What the program that runs the name server does with it directly is never restricted.
"""
from __future__ import annotations

import threading
import weakref
from typing import Any, Optional

from .. import callcontext, errors

LEAST_TOKEN_CHARS = 16  # a token is made by a machine; this keeps guessing, and the usual handshakes, from being one
MOST_FILE_CHARS = 4096


def read_token(path: str) -> str:
    """
    Read a token from a file, in which it stands alone.

    Raises:
        OSError: the file cannot be read.
        ValueError: what is in there is no token; the text names the file, and tells nothing of its contents.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return checked_token(file.read(MOST_FILE_CHARS + 1).strip())
    except UnicodeDecodeError:
        raise ValueError("%s holds no write token, but something that is no text" % path) from None
    except ValueError as x:
        raise ValueError("%s holds no write token: %s" % (path, x)) from None


def checked_token(token: str) -> str:
    """
    Give the token if it can be one.

    Raises:
        TypeError: it is no str.
        ValueError: it is too short, too long, or more than one word.
    """
    if not isinstance(token, str):
        raise TypeError("a write token is a str, not %s" % type(token).__name__)
    if not LEAST_TOKEN_CHARS <= len(token) <= MOST_FILE_CHARS:
        raise ValueError("a write token has %d to %d characters, not %d" % (LEAST_TOKEN_CHARS, MOST_FILE_CHARS, len(token)))
    if token.split() != [token]:
        raise ValueError("a write token has no spaces or line breaks in it")
    return token


class Writers:
    """
    The clients that may change registrations. Thread-safe.

    Args:
        token: what makes a client one of them; None: all are.

    Raises:
        TypeError, ValueError: that is no token.
    """

    def __init__(self, token: Optional[str]) -> None:
        self._token = None if token is None else _as_bytes(checked_token(token))
        self._lock = threading.Lock()  # guards the set
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def are_limited(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def introduce(self, connection: Any, handshake: Any) -> None:
        """Take note of a new client, and of what it said in its handshake."""
        if self._token is None or not isinstance(handshake, str):
            return
        import hmac
        if hmac.compare_digest(_as_bytes(handshake), self._token):
            with self._lock:
                self._connections.add(connection)

    def require(self, server: Any) -> None:
        """
        Make sure that the call that this thread serves, if it came to this server, comes from one of them.

        Args:
            server: the socket server that the clients in question are connected to.

        Raises:
            NamingError: it does not; the text says what its client has to do.
        """
        if self._token is None:
            return
        client = callcontext.current_context.client
        if getattr(client, "server", None) is not server:
            return
        with self._lock:
            if client in self._connections:
                return
        raise errors.NamingError(
            "this name server lets only those clients change registrations that give its write token when they connect, and "
            "this client gave none, or a wrong one: set _pyroHandshake of the proxy to the token before it connects "
            "(pyro5-nsc has the option --write-token-file)")


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
