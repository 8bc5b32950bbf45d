"""Write authorization for the name server: either every client may change registrations, or only those with the write token.

The token is a secret text that clients send as their ``_pyroHandshake`` when they connect. Clients without it are accepted
too, but only with read access. The process that runs the name server is never restricted.
"""
from __future__ import annotations

import threading
import weakref
from typing import Any, Optional

from .. import callcontext, errors

LEAST_TOKEN_CHARS = 16  # rules out tokens that can be guessed, and common handshake values
MOST_FILE_CHARS = 4096


def read_token(path: str) -> str:
    """Read a token from a file that contains nothing else.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file does not contain a valid token; the text names the file but reveals nothing of its contents.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return checked_token(file.read(MOST_FILE_CHARS + 1).strip())
    except UnicodeDecodeError:
        # Without the cause: it contains the bytes of the file, which may be a token.
        raise ValueError("%s does not contain a write token: it is not a text file" % path) from None
    except ValueError as x:
        raise ValueError("%s does not contain a write token: %s" % (path, x)) from None


def checked_token(token: str) -> str:
    """Return the token if it is valid.

    Raises:
        TypeError: it is not a str.
        ValueError: it is too short, too long, or contains whitespace.
    """
    if not isinstance(token, str):
        raise TypeError("a write token must be a str, not %s" % type(token).__name__)
    if not LEAST_TOKEN_CHARS <= len(token) <= MOST_FILE_CHARS:
        raise ValueError("a write token must have %d to %d characters, not %d"
                         % (LEAST_TOKEN_CHARS, MOST_FILE_CHARS, len(token)))
    # A line break at its end would be easy to overlook, and the token would never match.
    if token.split() != [token]:
        raise ValueError("a write token must not contain spaces or line breaks")
    return token


class Writers:
    """The client connections that may change registrations. Thread-safe.

    Args:
        token: the text that clients must send to be authorized; None authorizes all clients.

    Raises:
        TypeError, ValueError: the token is invalid, see `checked_token`.
    """

    def __init__(self, token: Optional[str]) -> None:
        self._token = None if token is None else _as_bytes(checked_token(token))
        self._lock = threading.Lock()  # guards the set
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def are_limited(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def authorize(self, connection: Any, handshake: Any) -> None:
        """Authorize a new client connection if its handshake data is the token."""
        if self._token is None or not isinstance(handshake, str):
            return
        import hmac  # loaded only by name servers with a token
        # the time of a comparison with == would depend on the number of equal characters
        if hmac.compare_digest(_as_bytes(handshake), self._token):
            with self._lock:
                self._connections.add(connection)

    def require(self, server: Any) -> None:
        """Check that the remote call served by this thread, if it arrived at this server, comes from an authorized client.

        Args:
            server: the socket server whose clients are checked.

        Raises:
            NamingError: the client is not authorized; the text says how to fix that.
        """
        if self._token is None:
            return
        client = callcontext.current_context.client
        # not a remote call to this server, but one of the process itself, perhaps while it serves a client of another daemon
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
