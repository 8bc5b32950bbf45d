"""
TLS: contexts made from certificate files, and handshakes that do not block.

The ssl module is loaded when TLS is first used, not before.
"""
from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Dict, Tuple

from .. import config

if TYPE_CHECKING:
    import ssl

# Guards _contexts.
_contexts_lock = threading.Lock()
_contexts: Dict[Tuple[Any, ...], ssl.SSLContext] = {}


def _ssl() -> Any:
    """Load the ssl module, which programs without TLS never need."""
    import ssl
    return ssl


def is_ssl_error(error: BaseException) -> bool:
    """Tell whether TLS has raised an error."""
    # Only a loaded ssl module can have raised one of its errors.
    ssl_module: Any = sys.modules.get("ssl")
    return ssl_module is not None and isinstance(error, ssl_module.SSLError)


def get_ssl_context(servercert: str = "", serverkey: str = "", clientcert: str = "", clientkey: str = "",
                    cacerts: str = "", keypassword: str = "") -> ssl.SSLContext:
    """
    Give the TLS context for these files; the same arguments give the same context. Safe in every thread.

    With a server certificate it is a server's context, which asks clients for a certificate if the setting
    SSL_REQUIRECLIENTCERT is on. Otherwise it is a client's, which checks the server's certificate and host name.

    Args:
        cacerts: file or directory with the certificates of the authorities to trust; without it, the system's.

    Raises:
        ValueError: arguments for both sides, or a key without its certificate.
        OSError: a file cannot be read, or does not hold what it should (ssl.SSLError); the text names the file.
    """
    if (servercert or serverkey) and (clientcert or clientkey):
        raise ValueError("a TLS context is for a server or for a client: give servercert/serverkey or "
                         "clientcert/clientkey, not both")
    if serverkey and not servercert or clientkey and not clientcert:
        raise ValueError("a TLS private key needs its certificate file as well")
    require_client_cert = bool(servercert and config.SSL_REQUIRECLIENTCERT)
    # settings that are None are not set
    key = (servercert or "", serverkey or "", clientcert or "", clientkey or "", cacerts or "", keypassword or "",
           require_client_cert)
    with _contexts_lock:
        if key not in _contexts:
            _contexts[key] = _make_context(*key)
        return _contexts[key]


def client_context() -> ssl.SSLContext:
    """Give the TLS context that the settings say for clients; raises as `get_ssl_context`."""
    return get_ssl_context(clientcert=config.SSL_CLIENTCERT, clientkey=config.SSL_CLIENTKEY,
                           keypassword=config.SSL_CLIENTKEYPASSWD, cacerts=config.SSL_CACERTS)


def server_context() -> ssl.SSLContext:
    """Give the TLS context that the settings say for servers, which name a certificate; raises as `get_ssl_context`."""
    return get_ssl_context(servercert=config.SSL_SERVERCERT, serverkey=config.SSL_SERVERKEY,
                           keypassword=config.SSL_SERVERKEYPASSWD, cacerts=config.SSL_CACERTS)


def _make_context(servercert: str, serverkey: str, clientcert: str, clientkey: str, cacerts: str,
                      keypassword: str, require_client_cert: bool) -> ssl.SSLContext:
    ssl_module = _ssl()
    purpose = ssl_module.Purpose.CLIENT_AUTH if servercert else ssl_module.Purpose.SERVER_AUTH
    cert, cert_key = (servercert, serverkey) if servercert else (clientcert, clientkey)
    try:
        trusted = {"capath" if os.path.isdir(cacerts) else "cafile": cacerts or None}
        context: ssl.SSLContext = ssl_module.create_default_context(purpose, **trusted)
        context.options |= ssl_module.OP_NO_RENEGOTIATION  # it is costly for servers, and of no use; the default by now
        if require_client_cert:
            context.verify_mode = ssl_module.CERT_REQUIRED
            if not cacerts:
                context.load_default_certs(purpose)
        if cert:
            # An empty password, not None: openssl would ask for it on the terminal, and a server must not hang there.
            context.load_cert_chain(cert, cert_key or None, keypassword or "")
    except OSError as x:
        files = ", ".join(name for name in (cert, cert_key, cacerts) if name)
        raise type(x)(x.errno, "cannot load the TLS certificates from %s: %s" % (files, x.strerror or x)) from x
    return context


def tls_server_socket(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Put the server's side of TLS on an accepted connection; its handshake is still to be done, and nothing blocks."""
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def is_server_context(context: ssl.SSLContext) -> bool:
    """Return whether a TLS context can only be the server's."""
    return bool(context.protocol == _ssl().PROTOCOL_TLS_SERVER)


def tls_handshake_step(sock: socket.socket) -> int:
    """
    Go on with the TLS handshake of a non-blocking socket.

    Returns:
        0 when it is complete, else what to wait for: selectors.EVENT_READ or selectors.EVENT_WRITE.

    Raises:
        OSError: the handshake failed (ssl.SSLError) or the connection was lost.
    """
    try:
        sock.do_handshake()     # type: ignore[attr-defined]
    except OSError as x:
        wanted = events_wanted(x, selectors.EVENT_READ)
        if not wanted:
            raise
        return wanted
    return 0


def handshake_refused(error: OSError) -> bool:
    """Tell whether a failed handshake was refused, by either side, and not just left by a client that has gone."""
    return is_ssl_error(error) and not isinstance(error, _ssl().SSLEOFError)


def events_wanted(error: OSError, default: int) -> int:
    """
    Tell whether an error of a non-blocking socket only means "not now", and what to wait for.

    A TLS socket may want to write before it can read, and the other way round.

    Args:
        default: what a plain socket has to wait for: selectors.EVENT_READ or selectors.EVENT_WRITE.

    Returns:
        selectors.EVENT_READ, selectors.EVENT_WRITE, or 0 if it is a real error.
    """
    if isinstance(error, BlockingIOError):
        return default
    if is_ssl_error(error):
        ssl_module = _ssl()
        if isinstance(error, ssl_module.SSLWantReadError):
            return selectors.EVENT_READ
        if isinstance(error, ssl_module.SSLWantWriteError):
            return selectors.EVENT_WRITE
    return 0
