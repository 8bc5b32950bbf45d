"""Sockets: creating, binding and connecting them, their options, complete reads and writes, connections.

This module does not deal with messages or proxies. All timeouts are in seconds; ``-1`` means the setting
COMMTIMEOUT, ``None`` and ``0`` mean no limit.
"""
from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import selectors
import socket
import weakref
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple, Union

from . import config, errors
from ._net.addresses import (
    Address,
    IPAddress,
    address_text,
    explained,
    get_interface,
    get_ip_address,
    resolve_host,
    wanted_family,
)
from ._net.stream_sockets import (
    Options,
    bind_stream,
    connect_stream,
    new_stream,
    set_keepalive,
    set_nodelay,
    set_noinherit,
    set_reuseaddr,
)
from ._net.tls import events_wanted, get_ssl_context, is_server_context, tls_handshake_step, tls_server_socket

if TYPE_CHECKING:
    import ssl

__all__ = ["create_socket", "create_bc_socket", "bind_unused_port", "find_probably_unused_port", "get_ip_address",
           "get_interface", "get_ssl_context", "interrupt_socket", "receive_data", "send_data", "set_keepalive",
           "set_nodelay", "set_noinherit", "set_reuseaddr", "SocketConnection", "address_text", "is_timeout",
           "family_str", "USE_MSG_WAITALL", "ERRNO_RETRIES", "ERRNO_BADF", "ERRNO_ENOTSOCK", "ERRNO_EADDRNOTAVAIL",
           "ERRNO_EADDRINUSE", "communication_error", "effective_timeout", "require_timeout", "events_wanted",
           "tls_handshake_step", "tls_server_socket"]

log = logging.getLogger("Pyro5.socketutil")

# Error numbers by meaning, for programs that use sockets directly.
ERRNO_RETRIES = [errno.EINTR, errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS]
ERRNO_BADF = [errno.EBADF]
ERRNO_ENOTSOCK = [errno.ENOTSOCK]
ERRNO_EADDRNOTAVAIL = [errno.EADDRNOTAVAIL]
ERRNO_EADDRINUSE = [errno.EADDRINUSE]
for _numbers, _name in ((ERRNO_RETRIES, "WSAEINTR"), (ERRNO_RETRIES, "WSAEWOULDBLOCK"), (ERRNO_RETRIES, "WSAEINPROGRESS"),
                        (ERRNO_BADF, "WSAEBADF"), (ERRNO_ENOTSOCK, "WSAENOTSOCK"),
                        (ERRNO_EADDRNOTAVAIL, "WSAEADDRNOTAVAIL"), (ERRNO_EADDRINUSE, "WSAEADDRINUSE")):
    if hasattr(errno, _name):
        _numbers.append(getattr(errno, _name))
USE_MSG_WAITALL = hasattr(socket, "MSG_WAITALL") and os.name != "nt"  # whether the system supports the flag; not used here

# Maximum size of a single receive, so that a size claimed by a peer does not reserve memory.
RECEIVE_CHUNK_BYTES = 1 << 18


def create_socket(bind: Optional[Address] = None, connect: Optional[Address] = None, reuseaddr: bool = False,
                  keepalive: bool = True, timeout: Optional[float] = -1, noinherit: bool = False,
                  ipv6: Optional[bool] = False, nodelay: bool = True,
                  sslContext: Optional[ssl.SSLContext] = None) -> socket.socket:
    """Create a stream socket that listens (``bind``), is connected (``connect``), or is neither.

    Args:
        bind, connect: a ``(host, port)`` pair, or the file name of a Unix domain socket (a leading NUL character
            makes it an abstract name). At most one of the two.
        timeout: for connecting (all addresses of the host together, including the TLS handshake) and for every later
            operation on the socket.
        noinherit: disable inheritance of the socket by child processes.
        ipv6: False for IPv4, True for IPv6, None for the setting PREFER_IP_VERSION. A literal IPv6 address overrides it.
        sslContext: use TLS. A socket that neither listens nor is connected takes the side that the context is for; a client
            context must then not check host names, because none is known yet. Connections accepted by a listening TLS socket
            have not done their handshake yet: it is done by their first read or write, or step by step with
            `tls_handshake_step`.

    Raises:
        ValueError: both bind and connect are given.
        OSError: of the class that the system reported, with a text that names the address; this includes
            ConnectionRefusedError, socket.gaierror (host not found) and socket.timeout.
    """
    if bind is not None and connect is not None:
        raise ValueError("bind and connect cannot both be specified at the same time")
    options = Options(reuseaddr, keepalive, noinherit, nodelay)
    timeout = effective_timeout(timeout)
    # Connecting may try several addresses, with a new socket for each.
    if connect is not None:
        return connect_stream(connect, wanted_family(ipv6), options, timeout, sslContext)
    family = wanted_family(ipv6)
    sock = new_stream(family or socket.AF_INET, options) if bind is None else bind_stream(bind, family, options)
    # the socket belongs to this function until it is returned, so any exception closes it
    try:
        if sslContext is not None:
            # Without `bind`, only the context says which end of TLS the socket is.
            is_server = bind is not None or is_server_context(sslContext)
            sock = tls_server_socket(sock, sslContext) if is_server else sslContext.wrap_socket(sock)
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def effective_timeout(timeout: Optional[float]) -> Optional[float]:
    """Return the socket timeout in seconds for a timeout argument: negative means COMMTIMEOUT; 0, None and infinity mean
    no limit (None)."""
    if timeout is not None and timeout < 0:
        timeout = config.COMMTIMEOUT
    # A timeout of 0 would mean a non-blocking socket, which no caller here wants.
    if timeout is None or timeout <= 0 or timeout == math.inf:
        return None
    return float(timeout)


def require_timeout(seconds: Any) -> None:
    """Raise ValueError unless this is None or a number of any type."""
    try:
        # A number is equal to itself, NaN is not.
        is_number = seconds is None or float(seconds) == seconds
    except (TypeError, ValueError, OverflowError):
        is_number = False
    if not is_number:
        raise ValueError("a timeout is None or a number of seconds, not %.50r" % (seconds,))


def create_bc_socket(bind: Optional[Address] = None, reuseaddr: bool = False, timeout: Optional[float] = -1,
                     ipv6: Optional[bool] = False) -> socket.socket:
    """Create a UDP socket that may send broadcasts.

    Args:
        bind: optional ``(host, port)`` to receive on.
        ipv6: as for `create_socket`.

    Raises:
        OSError: cannot bind; the text names the address.
    """
    family: int = wanted_family(ipv6) or socket.AF_INET
    address: Any = None
    if bind is not None:
        family, address = resolve_host(bind, wanted_family(ipv6), socket.SOCK_DGRAM, passive=True)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        # without SO_BROADCAST the system refuses to send to a broadcast address
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if reuseaddr:
            set_reuseaddr(sock)
        if bind is not None:
            sock.bind(address)
        sock.settimeout(effective_timeout(timeout))
    except OSError as x:
        sock.close()
        raise explained(x, "cannot receive datagrams on %s" % address_text(bind or "?")) from x
    return sock


def bind_unused_port(sock: socket.socket, host: Union[str, IPAddress] = "localhost") -> int:
    """Bind the socket to a free port of the host, and return the port."""
    name = str(host)
    if sock.family == socket.AF_INET6 and name == "localhost":
        # Some systems resolve the name to IPv4 only.
        name = "::1"
    sock.bind((name, 0))
    return int(sock.getsockname()[1])


def find_probably_unused_port(family: int = socket.AF_INET, socktype: int = socket.SOCK_STREAM) -> int:
    """Return a port that was free a moment ago; another program may bind it first (port 0 avoids this race)."""
    with socket.socket(family, socktype) as sock:
        return bind_unused_port(sock)


def interrupt_socket(address: Tuple[str, int]) -> None:
    """Connect to a listening socket and disconnect, to wake a server that blocks on it. Errors are ignored."""
    with contextlib.suppress(OSError):
        # A timeout of its own: COMMTIMEOUT may be off, and the server may be gone.
        create_socket(connect=address, timeout=1, keepalive=False, ipv6=None).close()


def receive_data(sock: socket.socket, size: int) -> bytes:
    """Receive exactly ``size`` bytes.

    Raises:
        ConnectionClosedError: the connection ended before; its attribute ``partialData`` has the received bytes.
        TimeoutError: the socket's timeout expired; also has ``partialData``.
    """
    received = bytearray()
    cause: Optional[OSError] = None
    try:
        while len(received) < size:
            # in chunks: the size may come from a header that a peer has made up
            chunk = _receive_some(sock, min(size - len(received), RECEIVE_CHUNK_BYTES))
            if not chunk:
                break
            received += chunk
    except OSError as x:
        # Remembered instead of raised: what has arrived may be complete.
        cause = x
    if len(received) == size:  # also if an error occurred after the last byte
        return bytes(received)
    failure = communication_error("receiving", cause)
    # The attribute is that of 5.x, where programs read it to save the data.
    failure.__dict__["partialData"] = bytes(received)
    raise failure from cause


def communication_error(doing: str, cause: Optional[OSError]) -> errors.CommunicationError:
    """Convert an error of a connected socket (None: the other side closed) to one of this library."""
    if cause is None:
        return errors.ConnectionClosedError("%s: connection closed by the other side" % doing)
    if is_timeout(cause):
        return errors.TimeoutError("%s: timeout" % doing)
    return errors.ConnectionClosedError("%s: connection lost: %s" % (doing, cause))


def is_timeout(error: BaseException) -> bool:
    """Return whether the socket's own timeout expired (a network timeout, by contrast, means a lost connection)."""
    return isinstance(error, socket.timeout) and error.errno != errno.ETIMEDOUT


def _receive_some(sock: socket.socket, size: int) -> bytes:
    while True:
        try:
            return sock.recv(size)
        # A socket without blocking, or with TLS, may have to wait for either direction.
        except OSError as x:
            _wait_or_raise(sock, x, selectors.EVENT_READ)


def send_data(sock: socket.socket, data: Union[bytes, bytearray, memoryview]) -> None:
    """Send all of the data; also works on a non-blocking socket.

    Raises:
        ConnectionClosedError: the connection is lost.
        TimeoutError: the socket's timeout expired before everything was sent.
    """
    # sendall() raises an error on a non-blocking socket, and does not say how much it has sent
    try:
        if sock.gettimeout() == 0:
            _send_in_pieces(sock, memoryview(data))
        else:
            sock.sendall(data)
    except OSError as x:
        raise communication_error("sending", x) from x


def _send_in_pieces(sock: socket.socket, rest: memoryview) -> None:
    while rest:
        try:
            rest = rest[sock.send(rest):]
        except OSError as x:
            _wait_or_raise(sock, x, selectors.EVENT_WRITE)


def _wait_or_raise(sock: socket.socket, error: OSError, default: int) -> None:
    """Wait until an operation that would block can continue; raise all other errors again."""
    wanted = events_wanted(error, default)
    if not wanted:
        raise error
    # a selector of its own: the socket may be non-blocking, and not registered anywhere
    with selectors.DefaultSelector() as selector:
        selector.register(sock, wanted)
        selector.select()


def family_str(sock: socket.socket) -> str:
    """Return the kind of a socket's addresses: "IPv4", "IPv6", "Unix", or "???"."""
    known = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6", getattr(socket, "AF_UNIX", None): "Unix"}
    return known.get(sock.family, "???")


def snapshot(weak_set: Iterable[Any]) -> List[Any]:
    """Return the elements of a ``weakref.WeakSet`` that other threads may be changing."""
    while True:
        try:
            return list(weak_set)
        except RuntimeError:  # it was changed during the iteration, which is written in Python
            continue


class SocketConnection:
    """A connected socket and the state of the connection.

    Only one thread may use it at a time, except for `close`, which any thread may call.

    Attributes:
        sock: the socket.
        objectId: id of the object that the client connected to.
        pyroInstances: instances that live as long as this connection, by class.
        tracked_resources: weak set of objects whose ``close()`` is called when the connection ends.
        keep_open: do not close the socket in `close`, because it has another owner.
    """

    # Created in the instance when first used: most connections track nothing, and a WeakSet is expensive.
    _tracked_resources: Optional[weakref.WeakSet[Any]] = None

    def __init__(self, sock: socket.socket, objectId: Optional[str] = None, keep_open: bool = False) -> None:
        self.sock = sock
        self.objectId = objectId
        self.pyroInstances: Dict[type, Any] = {}
        self.keep_open = keep_open

    def __del__(self) -> None:
        # No shutdown here: the parent of a forked child still uses the connection. Attributes are missing if the
        # constructor was interrupted, for example by a signal handler.
        sock = getattr(self, "sock", None)
        if sock is not None and not getattr(self, "keep_open", True):
            sock.close()

    def __repr__(self) -> str:
        return "<%s fd=%d object=%s>" % (type(self).__name__, self.fileno(), self.objectId)

    @property
    def tracked_resources(self) -> weakref.WeakSet[Any]:
        """Weak set of objects whose ``close()`` is called when the connection ends. Any thread may use it."""
        tracked = self._tracked_resources
        # Methods of one client may run in several threads: all get the same set, because setdefault() is atomic.
        return tracked if tracked is not None else self.__dict__.setdefault("_tracked_resources", weakref.WeakSet())

    def send(self, data: Union[bytes, bytearray, memoryview]) -> None:
        """Send all of the data; raises as `send_data`."""
        send_data(self.sock, data)

    def recv(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes; raises as `receive_data`."""
        return receive_data(self.sock, size)

    def close(self) -> None:
        """Close the tracked resources and the socket (unless ``keep_open``). Can be called more than once."""
        self.free_tracked_resources()
        self.pyroInstances.clear()
        if self.keep_open:
            return
        # Another thread may be blocked in a receive: shutdown wakes it, close alone would not.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def free_tracked_resources(self) -> None:
        """Call ``close()`` of every tracked resource that still exists, and stop tracking them."""
        if self._tracked_resources is None:
            return
        # Taken out first, atomically: of two threads that close the connection, only one closes the resources.
        for resource in snapshot(self.__dict__.pop("_tracked_resources", None) or ()):
            try:
                resource.close()
            except Exception:
                # User code: its failure must not prevent closing the other resources or the socket.
                log.warning("closing of tracked resource %r failed", resource, exc_info=True)

    def __enter__(self) -> SocketConnection:
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the socket's file descriptor, -1 once it is closed."""
        return self.sock.fileno()

    def family(self) -> str:
        """Return the address family of the connection: "IPv4", "IPv6", "Unix", or "???"."""
        return family_str(self.sock)

    def setTimeout(self, timeout: Optional[float]) -> None:
        """Set the socket's timeout in seconds; None means no limit."""
        self.sock.settimeout(timeout)

    def getTimeout(self) -> Optional[float]:
        """Return the socket's timeout in seconds; None means no limit."""
        return self.sock.gettimeout()

    settimeout = setTimeout
    gettimeout = getTimeout
    timeout = property(getTimeout, setTimeout)

    def getpeercert(self) -> Any:
        """Return the certificate of the other side like `ssl.SSLSocket.getpeercert`; None without TLS."""
        ask = getattr(self.sock, "getpeercert", None)
        return None if ask is None else ask()
