"""Sockets that clients have offered to a server, so that it can call their objects: they need no listening port.

The client has opened the connection; the server keeps it here until one of its proxies connects to an object of the client.
From then on it is a connection like any other, of which the server is the client.
"""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Optional, Tuple

from .. import errors
from .._wire.features import CALLBACKS
from .addresses import OFFERED_SUFFIX
from .stream_sockets import peer_has_closed

log = logging.getLogger("Pyro5.server.loop")

PORT = 1  # of the objects of a client: any number
MAX_WAIT_SECONDS = 5.0  # for the next connection of a client that has offered some before: it opens one when one is taken
LOOK_SECONDS = 0.001  # interval of looking at the server's sockets in a method that its loop runs
ELSEWHERE_SECONDS = 0.01  # interval of asking the other processes of a daemon
MAX_CLIENTS = 100000  # that are remembered after they have disconnected, beside those that have sockets here
MAX_PER_CLIENT = 8  # connections that no proxy uses

# Its attribute serve_offers, in the thread of a loop that runs methods itself: a weak reference to the method of the server
# that accepts connections which are being offered.
waiting = threading.local()


def host_of(secret: str) -> str:
    """Return the host name in the URIs of the objects of a client.

    Only the client knows the secret: others, who have received a proxy, must not be able to offer connections for its name.
    """
    import hashlib  # only for callbacks: it loads OpenSSL
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()[:32] + OFFERED_SUFFIX


class OfferedSockets:
    """The sockets that no proxy uses yet, by host name. Thread-safe.

    Attributes:
        take_elsewhere: for the processes of one daemon: returns a socket that another process has received from this host,
            or None; and whether another process knows the host.
    """

    def __init__(self) -> None:
        self.take_elsewhere: Callable[[str], Tuple[Any, bool]] = lambda host: (None, False)
        self._changed = threading.Condition()  # guards the rest
        self._by_host: OrderedDict[str, Deque[Tuple[Any, Any]]] = OrderedDict()  # sockets with the server that they came from
        self._count = 0

    def expect(self, host: str, most: int) -> None:
        """Note that a socket is about to be added: from now on, take() waits for it.

        Args:
            most: how many there may be of all clients together.

        Raises:
            DaemonError: there are too many.
        """
        with self._changed:
            if self._count >= most or len(self._by_host.get(host, ())) >= MAX_PER_CLIENT:
                raise errors.DaemonError("too many connections for callbacks have been offered")
            # Before the client gets its reply, after which the socket is added: it may send a proxy at once.
            self._by_host.setdefault(host, deque())
            if len(self._by_host) > MAX_CLIENTS:
                # One that has no socket here: one client that offers under ever more names must not cost others theirs.
                forgotten = next((each for each, sockets in self._by_host.items() if not sockets and each != host), None)
                if forgotten is not None:
                    del self._by_host[forgotten]

    def add(self, host: str, sock: Any, server: Any) -> None:
        """Keep a socket until a proxy takes it."""
        with self._changed:
            self._by_host.setdefault(host, deque()).append((sock, server))
            self._by_host.move_to_end(host)
            self._count += 1
            self._changed.notify_all()

    def take(self, host: str, timeout: Optional[float]) -> Any:
        """Return a socket that is connected to the process at this host. Waits a moment for the next one.

        Raises:
            ConnectionRefusedError: the process has offered none to this one, or has disconnected.
        """
        end = time.monotonic() + min(MAX_WAIT_SECONDS, MAX_WAIT_SECONDS if timeout is None else timeout)
        sock = self._take_now(host)
        is_elsewhere = False
        while sock is None and time.monotonic() < end:
            sock, is_elsewhere = self.take_elsewhere(host)
            if sock is not None or not (is_elsewhere or host in self._by_host):
                break
            serve_offers = getattr(waiting, "serve_offers", lambda: None)()
            if serve_offers is not None:
                serve_offers()
            with self._changed:
                if not self._by_host.get(host):
                    self._changed.wait(LOOK_SECONDS if serve_offers else ELSEWHERE_SECONDS if is_elsewhere
                                       else max(0.0, end - time.monotonic()))
            sock = self._take_now(host)
        if sock is None:
            raise ConnectionRefusedError("the client that has this object is not connected to this process")
        return sock

    def take_for_other(self, host: str) -> Tuple[Any, bool]:
        """Return what `take_elsewhere` of another process returns."""
        sock = self._take_now(host)
        if hasattr(sock, "pending"):  # the state of TLS is in this process
            sock.close()
            return None, False
        return sock, host in self._by_host

    def _take_now(self, host: str) -> Any:
        with self._changed:
            sockets = self._by_host.get(host, ())
            while sockets:
                sock, _server = sockets.popleft()
                self._count -= 1
                if not peer_has_closed(sock):
                    return sock
                sock.close()
            return None

    def remove_closed(self) -> None:
        """Close the sockets of clients that have disconnected."""
        with self._changed:
            for waiting in self._by_host.values():
                for entry in [entry for entry in waiting if peer_has_closed(entry[0])]:
                    waiting.remove(entry)
                    self._close(entry[0])

    def close_all(self, server: Any) -> None:
        """Close the sockets that came from a server."""
        with self._changed:
            for host, waiting in list(self._by_host.items()):
                for entry in [entry for entry in waiting if entry[1] is server]:
                    waiting.remove(entry)
                    self._close(entry[0])
                if not waiting:
                    del self._by_host[host]
            self._changed.notify_all()

    def _close(self, sock: Any) -> None:
        self._count -= 1
        with contextlib.suppress(OSError):
            sock.close()


offered_sockets = OfferedSockets()  # of this process: a proxy does not know which daemon received the connection


def is_offering(connection: Any) -> bool:
    """Return whether a connection has no handshake yet, or will be offered: only clients that do so announce the feature."""
    if not hasattr(connection, "handshake_done"):
        return False
    return not connection.handshake_done or connection.features is not None and CALLBACKS in connection.features


class GivenConnection:
    """Stands in the place of a deferred call: it runs when the server has sent its replies and stopped using the connection.

    Args:
        use: called with the socket then, unless the client has disconnected.
    """

    is_oneway = False

    def __init__(self, connection: Any, use: Callable[[Any], None]) -> None:
        self._connection = connection
        self._use = use
        self.running = self  # what the server cancels at its end

    def cancel(self, reason: str) -> None:
        """Do nothing: it takes no time."""

    def start(self) -> None:
        """Remove the connection from the server, and use its socket."""
        sock = self._connection.give_away()
        if sock is not None:
            self._use(sock)


def offered_connection(connection: Any, host: str) -> GivenConnection:
    """Return what makes a connection available to proxies.

    Args:
        host: the name of the client in the URIs of its objects.
    """
    def keep(sock: Any) -> None:
        log.debug("client %s offers a connection for callbacks", connection.peer_address)
        offered_sockets.add(host, sock, connection.server)

    return GivenConnection(connection, keep)
