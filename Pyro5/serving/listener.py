"""Where a server can be reached: the listening socket, its location text, and its end."""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import Any, Optional

from .. import config, errors, socketutil

# accept() fails with these while the machine or the process is out of something; trying again at once would spin
OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


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
        self._server: Any = None
        self._path: Optional[str] = None
        ssl_context = _server_ssl_context()
        self.tls = ssl_context is not None
        if unixsocket:
            self.sock = self._bind_unixsocket(unixsocket, ssl_context)
            self.location = "./u:" + unixsocket
        else:
            self.sock = socketutil.create_socket(
                bind=(host, port), reuseaddr=config.SOCK_REUSE, timeout=None, noinherit=True, ipv6=None,
                nodelay=True, sslContext=ssl_context)
            self.location = "%s:%d" % ("[%s]" % host if ":" in host else host, self.sock.getsockname()[1])
        self.sock.setblocking(False)

    def _bind_unixsocket(self, path: str, ssl_context: Any) -> socket.socket:
        _remove_stale_socket(path)
        sock = socketutil.create_socket(bind=path, timeout=None, noinherit=True, sslContext=ssl_context)
        if not path.startswith("\0"):
            self._path = os.path.abspath(path)
        return sock

    def attach(self, server: Any) -> None:
        """Tell which server accepts the connections: its ``accept_ready()`` is called from the loop."""
        self._server = server

    def on_ready(self, events: int) -> None:
        """Called by the loop when clients wait to be accepted."""
        self._server.accept_ready()

    def accept(self) -> Optional[socket.socket]:
        """Accept one client; None if none waits (any more).

        Raises:
            OSError: with an errno of OUT_OF_RESOURCES.
        """
        try:
            sock, _address = self.sock.accept()
        except OSError as x:
            if x.errno in OUT_OF_RESOURCES:
                raise
            return None  # nobody there, or gone again before it was accepted
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            socketutil.set_keepalive(sock)
            socketutil.set_nodelay(sock)
        return sock

    def close(self) -> None:
        """Stop listening, and remove the Unix domain socket from the file system.  May be called again."""
        self.sock.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = None


def _server_ssl_context() -> Any:
    if not config.SSL:
        return None
    if not config.SSL_SERVERCERT:
        raise errors.SecurityError("SSL is on, but SSL_SERVERCERT does not say where the server's certificate is")
    return socketutil.get_ssl_context(servercert=config.SSL_SERVERCERT, serverkey=config.SSL_SERVERKEY,
                                      keypassword=config.SSL_SERVERKEYPASSWD, cacerts=config.SSL_CACERTS)


def _remove_stale_socket(path: str) -> None:
    """Remove a socket file that a server left behind when it was killed; one that somebody listens on stays."""
    if path.startswith("\0"):
        return
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog means that somebody listens
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(path)
        except OSError:
            return
