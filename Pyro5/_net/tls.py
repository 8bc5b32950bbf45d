"""TLS: contexts for certificate files, and non-blocking handshakes.

The ssl module is imported when TLS is first used.
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
    """Import the ssl module on first use; programs without TLS never need it."""
    import ssl  # takes 10 ms, which most servers are spared too
    return ssl


def is_ssl_error(error: BaseException) -> bool:
    """Return whether an error was raised by TLS."""
    # If the ssl module has not been imported, the error cannot be one of its own.
    ssl_module: Any = sys.modules.get("ssl")
    return ssl_module is not None and isinstance(error, ssl_module.SSLError)


def get_ssl_context(servercert: str = "", serverkey: str = "", clientcert: str = "", clientkey: str = "",
                    cacerts: str = "", keypassword: str = "", psk: bytes = b"") -> ssl.SSLContext:
    """Return the TLS context for these files; the same arguments return the same context. Thread-safe.

    With a server certificate it is a context for servers, which requests certificates from clients if the setting
    SSL_REQUIRECLIENTCERT is on. Otherwise it is one for clients, which verifies the server's certificate and host name.

    Args:
        cacerts: file or directory with the certificates of trusted authorities; without it, the system's are used.
        psk: a client offers this shared key too: to a server that uses it, and has no certificate.

    Raises:
        ValueError: arguments for both sides, or a key without its certificate.
        OSError: a file cannot be read, or has invalid contents (ssl.SSLError); the text names the file.
    """
    if (servercert or serverkey) and (clientcert or clientkey):
        raise ValueError("a TLS context is for a server or for a client: give servercert/serverkey or "
                         "clientcert/clientkey, not both")
    if serverkey and not servercert or clientkey and not clientcert:
        raise ValueError("a TLS private key needs its certificate file as well")
    require_client_cert = bool(servercert and config.SSL_REQUIRECLIENTCERT)
    # settings may be None
    key = (servercert or "", serverkey or "", clientcert or "", clientkey or "", cacerts or "", keypassword or "",
           require_client_cert, psk)
    # Loading certificates takes milliseconds, so it is done once per set of files, and other threads wait for the result.
    with _contexts_lock:
        if key not in _contexts:
            _contexts[key] = _make_context(*key)
        return _contexts[key]


def client_context() -> ssl.SSLContext:
    """Return the TLS context for clients, according to the settings; raises as `get_ssl_context`."""
    return get_ssl_context(clientcert=config.SSL_CLIENTCERT, clientkey=config.SSL_CLIENTKEY,
                           keypassword=config.SSL_CLIENTKEYPASSWD, cacerts=config.SSL_CACERTS, psk=_shared_key())


def server_context() -> ssl.SSLContext:
    """Return the TLS context for servers, according to the settings; raises as `get_ssl_context`.

    Without a certificate, but with AUTH_KEY_FILE, the key is used instead, which needs Python 3.13.
    """
    if config.AUTH_KEY_FILE and not config.SSL_SERVERCERT:
        psk = _shared_key()
        if not psk:
            raise ValueError("TLS with the key of AUTH_KEY_FILE needs Python 3.13 or newer, for servers and clients; "
                             "otherwise set SSL_SERVERCERT and SSL_SERVERKEY ('pyro5 cert new' makes certificates)")
        return _psk_server_context(psk)
    return get_ssl_context(servercert=config.SSL_SERVERCERT, serverkey=config.SSL_SERVERKEY,
                           keypassword=config.SSL_SERVERKEYPASSWD, cacerts=config.SSL_CACERTS)


def _shared_key() -> bytes:
    """Return the key for TLS that is derived from AUTH_KEY_FILE; empty if there is none, or this Python cannot use it."""
    if not config.AUTH_KEY_FILE or not getattr(_ssl(), "HAS_PSK", False):
        return b""
    # only with a key
    import hmac
    from .._auth.files import load_key
    # Not the key itself: one secret has one purpose.
    return hmac.new(load_key(config.AUTH_KEY_FILE), b"Pyro5 TLS 1.3", "sha256").digest()


def _psk_server_context(psk: bytes) -> ssl.SSLContext:
    ssl_module = _ssl()
    with _contexts_lock:
        if (psk,) not in _contexts:
            context: Any = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
            # Only there is a new secret for each connection in any case, so that recorded traffic stays unreadable.
            context.minimum_version = ssl_module.TLSVersion.TLSv1_3
            context.set_psk_server_callback(lambda identity: psk)
            _contexts[(psk,)] = context
        return _contexts[(psk,)]


def _make_context(servercert: str, serverkey: str, clientcert: str, clientkey: str, cacerts: str,
                  keypassword: str, require_client_cert: bool, psk: bytes) -> ssl.SSLContext:
    ssl_module = _ssl()
    purpose = ssl_module.Purpose.CLIENT_AUTH if servercert else ssl_module.Purpose.SERVER_AUTH
    cert, cert_key = (servercert, serverkey) if servercert else (clientcert, clientkey)
    try:
        # A directory has hashed names, as `openssl rehash` makes them.
        trusted = {"capath" if os.path.isdir(cacerts) else "cafile": cacerts or None}
        context: ssl.SSLContext = ssl_module.create_default_context(purpose, **trusted)
        context.options |= ssl_module.OP_NO_RENEGOTIATION  # costly for servers and useless; the default in recent versions
        if require_client_cert:
            context.verify_mode = ssl_module.CERT_REQUIRED
            if not cacerts:
                context.load_default_certs(purpose)
        if cert:
            # An empty password instead of None: openssl would prompt for it on the terminal, and block the server.
            context.load_cert_chain(cert, cert_key or None, keypassword or "")
        if psk and not servercert:
            # A server with a certificate ignores the offer, and its certificate is verified as usual.
            context.set_psk_client_callback(lambda hint: ("Pyro5", psk))  # type: ignore[attr-defined]
    except OSError as x:
        files = ", ".join(name for name in (cert, cert_key, cacerts) if name)
        raise type(x)(x.errno, "cannot load the TLS certificates from %s: %s" % (files, x.strerror or x)) from x
    return context


def tls_server_socket(sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Wrap an accepted connection in server-side TLS without blocking; the handshake is done later."""
    return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)


def _sockets() -> Any:
    """Import the module with the class of TLS sockets on first use: it imports ssl."""
    from . import tls_socket  # it imports ssl
    return tls_socket


def encrypted_server_end(sock: socket.socket, context: ssl.SSLContext) -> socket.socket:
    """Put TLS on an accepted connection, with bounded work in each operation; the handshake is done later.

    The socket that is given is used up.
    """
    end: socket.socket = _sockets().TlsSocket(sock, context, server_side=True)
    return end


def encrypted_client_end(sock: socket.socket, context: ssl.SSLContext, host: str) -> Any:
    """Put TLS on a connection to a server, like `encrypted_server_end`.

    Args:
        host: name or address that the server's certificate must be valid for.
    """
    return _sockets().TlsSocket(sock, context, server_side=False, server_hostname=host)


def is_server_context(context: ssl.SSLContext) -> bool:
    """Return whether a TLS context is only usable by servers."""
    return bool(context.protocol == _ssl().PROTOCOL_TLS_SERVER)


def tls_handshake_step(sock: socket.socket) -> int:
    """Continue the TLS handshake of a non-blocking socket.

    Returns:
        0 when it is complete, otherwise the event to wait for: selectors.EVENT_READ or selectors.EVENT_WRITE.

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
    """Return whether a failed handshake was rejected by either side, rather than aborted by a client that disconnected."""
    # A client that disconnects in the middle is no sign of a wrong setup, and is not worth a warning.
    return is_ssl_error(error) and not isinstance(error, _ssl().SSLEOFError)


def events_wanted(error: OSError, default: int) -> int:
    """Return the event to wait for if an operation on a non-blocking socket would block, 0 for real errors.

    A TLS socket may need to write before it can read, and vice versa.

    Args:
        default: the event for a plain socket: selectors.EVENT_READ or selectors.EVENT_WRITE.

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
