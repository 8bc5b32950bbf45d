"""TLS records without data, as a hostile peer makes them: key updates, which the ssl module cannot send by itself."""
from __future__ import annotations

import ctypes
import socket
import ssl
import sys
import sysconfig
from typing import Any, Tuple

NOT_REQUESTED, REQUESTED = 0, 1  # whether the other side is to update its keys as well


def _openssl() -> Any:
    """Return OpenSSL as the ssl module uses it; None where its functions cannot be called for a connection of that module."""
    plain_build = not any(map(sysconfig.get_config_var, ("Py_GIL_DISABLED", "Py_DEBUG", "Py_TRACE_REFS")))
    if sys.implementation.name != "cpython" or not plain_build or not ssl.HAS_TLSv1_3:
        return None
    try:
        library = ctypes.CDLL(__import__("_ssl").__file__)
        library.SSL_key_update.argtypes = ctypes.c_void_p, ctypes.c_int
    except (AttributeError, OSError, ImportError):
        return None
    return library


LIBRARY = _openssl()
AVAILABLE = LIBRARY is not None


class RawTls:
    """One end of a TLS connection, whose records pass through memory.

    Args:
        sock: a connected socket; its other end does the handshake meanwhile, in another thread or process.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, **wanted: Any) -> None:
        self.sock = sock
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self.outgoing, **wanted)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.receive()
        self.flush()

    def flush(self) -> None:
        """Send what waits to be sent."""
        self.sock.sendall(self.outgoing.read())

    def receive(self) -> None:
        """Receive encrypted bytes once."""
        self._incoming.write(self.sock.recv(65536))

    def key_updates(self, count: int, kind: int = NOT_REQUESTED) -> bytes:
        """Return so many key updates, encrypted one after the other.  They have to be sent, and in this order."""
        connection: Tuple[int] = ctypes.c_void_p.from_address(id(self.tls._sslobj) + object.__basicsize__ + 8).value,  # type: ignore
        for _ in range(count):
            if LIBRARY.SSL_key_update(connection[0], kind) != 1:
                raise OSError("no key update")
            self.tls.do_handshake()
        return self.outgoing.read()
