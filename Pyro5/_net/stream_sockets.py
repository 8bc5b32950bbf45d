"""Listening and connected stream sockets, and socket options."""
from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Optional

from .addresses import Address, address_text, explained, resolve_host
from .tls import encrypted_client_end

if TYPE_CHECKING:
    import ssl

# The maximum; the operating system reduces it to its own limit.
LISTEN_BACKLOG = 4096
# The events of poll() for a connection that the peer has closed; 0 where the system does not report this.
_HUNG_UP = getattr(select, "POLLRDHUP", 0) and select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Options:
    """The options of `socketutil.create_socket` with the same names."""

    def __init__(self, reuseaddr: bool, keepalive: bool, noinherit: bool, nodelay: bool) -> None:
        self.reuseaddr, self.keepalive, self.noinherit, self.nodelay = reuseaddr, keepalive, noinherit, nodelay


def new_stream(family: int, options: Options) -> socket.socket:
    """Create a stream socket that is neither bound nor connected."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    if options.noinherit:
        set_noinherit(sock)
    if family in (socket.AF_INET, socket.AF_INET6):
        if options.reuseaddr:
            set_reuseaddr(sock)
        if options.nodelay:
            set_nodelay(sock)
        if options.keepalive:
            set_keepalive(sock)
    return sock


def bind_stream(address: Address, family: int, options: Options) -> socket.socket:
    """Create a listening socket on the first of the host's addresses that belongs to this machine."""
    # A host name may also have addresses of other machines or of a family that is not enabled here. Any other failure, such as
    # a port in use, must be reported: listening on another address instead would surprise the user.
    failures = []
    for chosen_family, chosen in resolve_host(address, family, socket.SOCK_STREAM, passive=True):
        try:
            return _listening_on(chosen_family, chosen, options)
        except OSError as x:
            failures.append(x)
            if x.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    text = "cannot listen on %s (%s)" % (address_text(address), _bind_hint(address, failures[-1]))
    raise explained(failures[-1], text) from failures[-1]


def _listening_on(family: int, address: Any, options: Options) -> socket.socket:
    sock = new_stream(family, options)
    try:
        sock.bind(address)
        sock.listen(LISTEN_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_hint(address: Address, error: OSError) -> str:
    if isinstance(address, str):
        return "is another server using it? If not, remove a file left there, and see that its directory exists"
    if error.errno == errno.EADDRNOTAVAIL:
        return "%s is not an address of this machine; use one that it has, or 0.0.0.0 for all" % address[0]
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not listen on that port; choose one above 1023, or port 0"
    return "is another server using this port? Choose another one, or port 0, and an address of this machine"


def connect_stream(address: Address, family: int, options: Options,
                    timeout: Optional[float], context: Optional[ssl.SSLContext]) -> socket.socket:
    """Create a socket connected to the first of the host's addresses that accepts."""
    # the timeout of a socket applies to each operation, but the argument to all addresses and steps together
    deadline = None if timeout is None else time.monotonic() + timeout
    # On a Unix socket the server is on this machine, and its certificate must be valid for localhost.
    tls_name = "localhost" if isinstance(address, str) else str(address[0])
    failures = []
    for found, chosen in resolve_host(address, family, socket.SOCK_STREAM):
        sock: Any = new_stream(found, options)
        try:
            # Less with each address: a host with several dead addresses must not take a multiple of the timeout.
            sock.settimeout(_seconds_until(deadline))
            sock.connect(chosen)
            if context is not None:
                sock.settimeout(_seconds_until(deadline))
                sock = encrypted_client_end(sock, context, tls_name)
                sock.do_handshake()
            if deadline is not None:
                sock.settimeout(timeout)  # from now on for every operation
            connected: socket.socket = sock
            return connected
        except OSError as x:
            failures.append(x)
            # the next address gets a new socket: a socket that failed to connect cannot be used again on all systems
            sock.close()
        except BaseException:  # KeyboardInterrupt in connect(), for example: no other code has the socket
            sock.close()
            raise
    raise explained(failures[-1], "cannot connect to %s" % address_text(address)) from failures[-1]


def _seconds_until(deadline: Optional[float]) -> Optional[float]:
    """Return the seconds left, but never 0, which would make a socket non-blocking."""
    return None if deadline is None else max(deadline - time.monotonic(), 0.001)


def set_reuseaddr(sock: socket.socket) -> None:
    """Set SO_REUSEADDR where it allows binding soon after a stop (on Windows it has another meaning)."""
    if os.name != "nt" and sys.platform != "cygwin":
        _switch_on(sock, socket.SOL_SOCKET, socket.SO_REUSEADDR)


def set_nodelay(sock: socket.socket) -> None:
    """Set TCP_NODELAY, if the socket supports it, so that small messages are sent immediately."""
    _switch_on(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY)


def set_keepalive(sock: socket.socket) -> None:
    """Set SO_KEEPALIVE, if the socket supports it, so that a vanished peer is detected eventually."""
    _switch_on(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def _switch_on(sock: socket.socket, level: int, option: int) -> None:
    try:  # contextlib.suppress() would take longer than the system call
        sock.setsockopt(level, option, 1)
    except OSError:
        pass


def set_noinherit(sock: socket.socket) -> None:
    """Disable inheritance of the socket by child processes."""
    sock.set_inheritable(False)


def set_system_receive_timeout(sock: socket.socket, seconds: float) -> bool:
    """Make receiving from a blocking socket raise BlockingIOError after this time. Return False if the system cannot do this.
    """
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:  # struct timeval has another layout there
        return False
    timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1000000))
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    except OSError:
        return False
    return True


def peer_has_closed(sock: socket.socket) -> Optional[bool]:
    """Return whether the peer has closed its side, even if there is data to receive; None if the system cannot tell."""
    if not _HUNG_UP:
        return None
    # Receiving cannot tell, as long as there is data that was sent before.
    poll = select.poll()
    poll.register(sock, _HUNG_UP)
    return bool(poll.poll(0))
