"""Write authorization for the name server: either every client may change registrations, or only those with the write token.

The token is a secret text that clients send as their ``_pyroHandshake`` when they connect. Clients without it are accepted
too, but only with read access. The process that runs the name server is never restricted.
"""
from __future__ import annotations

import threading
import weakref
from typing import Any, Callable, Iterable, Optional

from .. import callcontext, config, constants, errors
from .._objects.permissions import check_names
from .._values.uri import URI
from .autoclean import AutoCleaner, checked_period
from .capacity import SearchTurns
from .regex_sandbox import Limits, Matcher
from .registry import NameServer

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


class NameServing:
    """Base class of the daemons of name servers: the name server in the daemon, its periodic cleaning, and which clients may
    change registrations. It comes before the class of the daemon, which sets the other attributes.
    """

    transportServer: Any
    register: Callable[..., URI]
    _dispatcher: Any
    _cleaner: Optional[AutoCleaner] = None  # close() may be called before it exists

    def _begin_naming(self, storage: Any, write_token: Optional[str], limits: Limits, listen: Callable[[], None],
                      close: Callable[[], Any]) -> None:
        """Open the storage, listen, register the name server, and begin to clean. Arguments and errors as for
        `Pyro5.nameserver.NameServerDaemon`.

        Args:
            limits: of searches with regular expressions.
            listen: calls the constructor of the daemon.
            close: called if a step after that fails.
        """
        period_seconds = checked_period(config.NS_AUTOCLEAN or 0.0)  # an invalid setting is found before anything is opened
        self._writers = Writers(write_token)  # the clients with the write token; before the daemon can be connected to
        # At least one, also in a server with a single thread: a search without a turn would never begin.
        self._turns = SearchTurns(max(1, config.THREADPOOL_SIZE // 2))
        self.nameserver = NameServer(storage, matcher=Matcher(limits), require_writer=self._require_writer,
                                     require_names=self._require_names, turns=self._turns)
        # The storage is opened before the socket, so that a name server that accepts connections can also answer them.
        try:
            listen()
        except BaseException:
            self.nameserver.close()
            raise
        try:
            # The last step: what answers under the reserved name is complete.
            self.nameserver.register_self(self.register(self.nameserver, constants.NAMESERVER_NAME))
        except BaseException:
            close()
            raise
        if period_seconds:
            # A thread, because checking an object that does not answer takes as long as its timeout.
            self._cleaner = AutoCleaner(self.nameserver.unleased_uris, self.nameserver.remove_unchanged, period_seconds)
            self._cleaner.start()

    @property
    def is_write_protected(self) -> bool:
        """Whether clients need a write token to change registrations."""
        return self._writers.are_limited

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        """Record whether a new client may change registrations. All clients are accepted. An override must call this method,
        otherwise no client is authorized.
        """
        # All clients may look names up; what they may change is decided for each request.
        self._writers.authorize(conn, data)
        return super().validateHandshake(conn, data)  # type: ignore[misc]

    def _require_writer(self) -> None:
        self._writers.require(self.transportServer)

    def _require_names(self, names: Iterable[str]) -> None:
        client = callcontext.current_context.client
        # Not for this process itself, nor while it serves a client of another daemon.
        if getattr(client, "server", None) is self.transportServer:
            check_names(self._dispatcher.gate, client, names)

    def _warn_unreachable(self, reason: str) -> None:
        """Do nothing: clients find a name server by the address that they connect to, not by its own URI."""


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
