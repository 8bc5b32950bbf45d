"""The listening socket, its address, and why other machines may be unable to use it."""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from typing import Any, Optional

from .. import config, errors, socketutil
from .._net import addresses, tls

# Errors of accept() that last until a file descriptor or memory is freed: retrying at once would be a busy loop.
OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

# On Linux, accepted sockets inherit the options of the listening one; on other systems not all of them.
_OPTIONS_ARE_INHERITED = sys.platform.startswith("linux")


class Listener:
    """A bound, listening, non-blocking socket.

    Args:
        host: name or address to listen on.
        port: TCP port, 0 lets the system choose a free one.
        unixsocket: path of a Unix domain socket (or an abstract name, starting with a NUL character) instead.

    Raises:
        OSError: the address cannot be used; the text names it.
        SecurityError, ValueError: TLS is asked for, but not fully configured.
    """

    def __init__(self, host: str, port: int, unixsocket: Optional[str] = None) -> None:
        self._path: Optional[str] = None
        self.unreachable_reason = ""  # why other machines cannot use the location; empty if they can, or are not meant to
        self.ssl_context = _server_ssl_context()
        if unixsocket:
            self.sock = self._bind_unixsocket(unixsocket)
            self.location = "./u:" + unixsocket
        else:
            self.sock = socketutil.create_socket(
                bind=(host, port), reuseaddr=config.SOCK_REUSE, timeout=None, noinherit=True, ipv6=None,
                nodelay=True)
            address = self.sock.getsockname()
            self.location = socketutil.address_text((host or address[0], address[1]))
            self.unreachable_reason = _unreachable_reason(host, address[0])
        # The loop owns it. A client that disconnects between the event and accept() would otherwise block the loop for ever.
        self.sock.setblocking(False)

    def _bind_unixsocket(self, path: str) -> socket.socket:
        # Before binding: bind() fails as long as the file exists, also when its server is dead.
        _remove_stale_socket(path)
        sock = socketutil.create_socket(bind=path, timeout=None, noinherit=True)
        if not path.startswith("\0"):
            self._path = os.path.abspath(path)  # the working directory may change before the file is removed
        return sock

    def accept(self) -> Optional[socket.socket]:
        """Accept a client; return None if none is waiting.

        Raises:
            OSError: with an errno of OUT_OF_RESOURCES.
        """
        try:
            sock, _address = self.sock.accept()
        except OSError as x:
            if x.errno in OUT_OF_RESOURCES:
                raise
            return None  # no client, or it has disconnected before it was accepted
        # Whether it is non-blocking already differs between systems.
        sock.setblocking(False)
        if not _OPTIONS_ARE_INHERITED and sock.family in (socket.AF_INET, socket.AF_INET6):
            socketutil.set_keepalive(sock)
            socketutil.set_nodelay(sock)
        return sock if self.ssl_context is None else self._maybe_with_tls(sock)

    def _maybe_with_tls(self, sock: socket.socket) -> Optional[socket.socket]:
        """Put TLS on an accepted socket, without a handshake yet; None if its client is gone already."""
        try:
            sock.getpeername()  # some versions of the ssl module leave a socket open that turns out to be disconnected
            return tls.encrypted_server_end(sock, self.ssl_context)
        except OSError:
            sock.close()
            return None

    def keep_file(self) -> None:
        """Make close() leave the Unix domain socket in the file system: another process listens there, too."""
        self._path = None

    def close(self) -> None:
        """Stop listening, and remove the Unix domain socket from the file system. Can be called more than once."""
        self.sock.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = None


def _unreachable_reason(host: str, address: str) -> str:
    """Return why other machines cannot use the URIs of a server that is meant for them; empty if they can."""
    ip = addresses.plain_ip(address)
    if ip.is_unspecified:
        return ("all of this machine's addresses, but clients cannot connect to URIs with %s; pass the address that "
                "they must use as host, or as nathost" % ip)
    if ip.is_loopback and not host.startswith(("localhost", "127.", "::1")):
        return ("that name resolves to %s, which only this machine can reach; pass an address of its network "
                "interface as host" % ip)
    return ""


def _server_ssl_context() -> Any:
    if not config.SSL:
        return None
    if not (config.SSL_SERVERCERT or config.AUTH_KEY_FILE):
        raise errors.SecurityError("SSL is on, but SSL_SERVERCERT does not name the server's certificate (and there is no "
                                   "AUTH_KEY_FILE to use instead)")
    return tls.server_context()


def _remove_stale_socket(path: str) -> None:
    """Remove the socket file of a server that was killed. A socket that a process listens on is kept."""
    if path.startswith("\0"):
        return
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    # The only way to find out whether a process listens there is to connect.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # do not block on a full backlog: then a process is listening
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(path)
        except OSError:
            return
