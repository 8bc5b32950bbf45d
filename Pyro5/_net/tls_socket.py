"""TLS sockets that do a bounded amount of work in each operation, regardless of the records that the peer sends.

An `ssl.SSLSocket` reads from its socket until it has data for its caller. A peer that sends records without data, such as key
updates, as fast as they can be processed keeps it busy without end: neither a timeout nor non-blocking mode ends the
operation. Here the bytes pass through memory buffers instead, at most `FEED_BYTES` of them in each step.
"""
from __future__ import annotations

import errno
import functools
import socket
import ssl
import time
from typing import Any, Callable, Optional, Tuple

from .. import NamedTuple

# Received bytes that are decrypted in one step: a record of the largest size, or 600 key updates (a few milliseconds).
FEED_BYTES = 16 * 1024 + 512
RECORD_BYTES = 16 * 1024  # maximum size of the data in one record
# Bytes that a peer may send without data among them. Key updates and session tickets are few and small.
EMPTY_BYTES = 64 * 1024
# Bytes that send() encrypts at once.
SEND_BYTES = 256 * 1024
# Encrypted bytes that may wait for the peer to read them before nothing more is received from it.
UNSENT_BYTES = 64 * 1024
_receive, _send = socket.socket.recv, socket.socket.send
_INFORMATION = frozenset((
    "cipher", "compression", "get_channel_binding", "getpeercert", "get_unverified_chain", "get_verified_chain",
    "selected_alpn_protocol", "selected_npn_protocol", "session", "session_reused", "shared_ciphers",
    "verify_client_post_handshake", "version"))


class TlsState(NamedTuple):
    """The state of a TLS connection, apart from its socket."""

    end: ssl.SSLObject
    received: ssl.MemoryBIO  # encrypted bytes that `end` has not read
    unsent: ssl.MemoryBIO  # encrypted bytes of `end` that are to be sent


def new_state(context: ssl.SSLContext, server_side: bool, server_hostname: Optional[str] = None) -> TlsState:
    """Return the state of a connection before its TLS handshake."""
    received, unsent = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context.wrap_bio(received, unsent, server_side=server_side, server_hostname=server_hostname)
    return TlsState(end, received, unsent)


class TlsSocket(socket.socket):
    """A connected socket with TLS: an alternative to `ssl.SSLSocket`, with the same methods.

    One thread uses it at a time, except for shutdown() and close(), which any thread may call.

    Args:
        sock: a connected socket without TLS; its descriptor is moved to this object.
        server_side: whether this is the server.
        server_hostname: for a client, the host name that the certificate must be valid for.
        state: the state of a connection whose handshake is done; None: a new connection.

    Attributes:
        has_sent: bytes were sent: a server has answered the first message of the handshake.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_side: bool,
                 server_hostname: Optional[str] = None, state: Optional[TlsState] = None) -> None:
        timeout = sock.gettimeout()
        self._state = state or new_state(context, server_side, server_hostname)
        tls, self._received, self._unsent = self._state
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self.context, self.server_side, self.server_hostname = context, server_side, server_hostname
        self.has_sent = False
        self._tls: Optional[ssl.SSLObject] = tls  # None after a shutdown()
        self._empty_bytes = 0  # received since the last data
        self._may_have_data = False  # there may be received bytes that have not been decrypted
        self._rest: Any = b""  # encrypted bytes that have not been sent
        self._accepted = 0  # bytes of the next send() that are encrypted already

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the TLS layer, such as getpeercert, cipher or version."""
        if name not in _INFORMATION:
            raise AttributeError("%r object has no attribute %r" % (type(self).__name__, name))
        return getattr(self._connected(), name)

    def _connected(self) -> ssl.SSLObject:
        if self._tls is None:
            raise ValueError("TLS is shut down on this socket")
        return self._tls

    def _deadline(self) -> Optional[float]:
        timeout = self.gettimeout()
        return time.monotonic() + timeout if timeout else None

    # ------------------------------------------------------------ handshake and end

    def do_handshake(self) -> None:
        """Begin or continue the handshake, as `ssl.SSLSocket.do_handshake`. The timeout applies to all of it."""
        self._repeat(self._connected().do_handshake)
        self._may_have_data = self._received.pending > 0

    def unwrap(self) -> socket.socket:
        """End TLS, and return the socket itself, which can be used without TLS."""
        self._repeat(self._connected().unwrap)
        self._tls = None
        return self

    def without_tls(self) -> Tuple[socket.socket, TlsState]:
        """Move the descriptor to a socket without TLS; return it with the state, for code that encrypts and decrypts itself.

        Raises:
            OSError: encrypted bytes are left to be sent.
        """
        if self._rest or self._unsent.pending:
            raise ConnectionAbortedError(errno.ECONNABORTED, "encrypted bytes have not been sent")
        timeout = self.gettimeout()
        plain = socket.socket(self.family, self.type, self.proto, fileno=self.detach())
        plain.settimeout(timeout)
        return plain, self._state

    def _repeat(self, step: Callable[[], Any]) -> Any:
        """Repeat a step of TLS with received bytes until it is complete; with a non-blocking socket at most twice."""
        deadline, fed = self._deadline(), False
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._may_go_on(deadline, fed)
                self._empty_bytes += self._feed()
                fed = True
            except OSError:
                self._answer()  # with the alert that contains the reason
                raise
            else:
                self._flush()
                self._empty_bytes = 0
                return result

    def _feed(self) -> int:
        """Receive encrypted bytes once, and return their number."""
        try:
            encrypted = _receive(self, FEED_BYTES)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing to receive") from None
        if not encrypted:
            self._received.write_eof()
            return 0
        return self._received.write(encrypted)

    def _may_go_on(self, deadline: Optional[float], has_fed: bool) -> None:
        """Raise an error if the operation has to end: too much without data, would block, or timed out."""
        if self._empty_bytes > EMPTY_BYTES:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the other side sends TLS records without data")
        if has_fed and self.gettimeout() == 0.0:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "no data in what was received")
        if deadline is not None and time.monotonic() > deadline:
            raise socket.timeout("timed out")

    def shutdown(self, how: int) -> None:
        """Shut down one or both directions without ending TLS. Bytes that arrive afterwards are not decrypted."""
        self._tls = None
        super().shutdown(how)

    # ------------------------------------------------------------ receiving

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive data. If that would block in non-blocking mode, raise ssl.SSLWantReadError or SSLWantWriteError."""
        tls = self._tls
        if tls is None:
            return super().recv(buflen, flags)
        # a record contains at most this much, and memory of this size is allocated
        data: bytes = self._read(tls, buflen if buflen < RECORD_BYTES else RECORD_BYTES, None)
        return data

    def recv_into(self, buffer: Any, nbytes: Optional[int] = None, flags: int = 0) -> int:
        """Receive into a buffer, as recv() does."""
        tls, size = self._tls, nbytes or memoryview(buffer).nbytes
        if tls is None:
            return super().recv_into(buffer, size, flags)
        count: int = self._read(tls, size, buffer)
        return count

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # the names are those of ssl.SSLSocket.read
        """Receive, as recv() does, or with a buffer as recv_into() does."""
        return self._read(self._connected(), len, buffer)

    def pending(self) -> int:
        """Return the number of bytes that can be received at once. Bytes that have not been decrypted count as one."""
        tls = self._tls
        return 0 if tls is None else tls.pending() or int(self._may_have_data)

    def _read(self, tls: ssl.SSLObject, size: int, buffer: Any) -> Any:
        if self._may_have_data:
            try:
                return self._decrypt(tls, size, buffer)
            except ssl.SSLWantReadError:
                self._may_have_data = False
                if self.gettimeout() == 0.0:  # one step per call; the socket is still readable if there is more
                    raise
        deadline = None
        while True:
            count = self._feed()
            try:
                return self._decrypt(tls, size, buffer)
            except ssl.SSLWantReadError:
                self._empty_bytes += count
                if deadline is None:
                    deadline = self._deadline()
                self._may_go_on(deadline, True)

    def _decrypt(self, tls: ssl.SSLObject, size: int, buffer: Any) -> Any:
        got: Any
        try:
            if buffer is None:
                got = tls.read(size)
                count = len(got)
            else:
                got = tls.read(size, buffer)
                count = got
        except ssl.SSLEOFError:  # the connection was closed without the end of TLS
            return b"" if buffer is None else 0
        except OSError:
            if self._unsent.pending:
                self._answer()  # to key updates, or with an alert
            raise
        self._empty_bytes = 0
        self._may_have_data = self._received.pending > 0 or count == size
        if self._unsent.pending:
            self._answer()
        return got

    # ------------------------------------------------------------ sending

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a part of the data, and return its size. If that would block in non-blocking mode, raise ssl.SSLWantWriteError.

        After that error, and after a timeout, the next call must begin with the same data: it may be encrypted already.
        """
        tls = self._tls
        if tls is None:
            return super().send(data, flags)
        if not self._accepted:
            if self._rest or self._unsent.pending:
                self._flush()
            self._accepted = self._encrypt(tls, data)
        self._flush()
        accepted, self._accepted = self._accepted, 0
        return accepted

    def _encrypt(self, tls: ssl.SSLObject, data: Any) -> int:
        if len(data) > SEND_BYTES:
            data = memoryview(data)[:SEND_BYTES]
        elif not data:
            return 0
        try:
            return tls.write(data)
        except ssl.SSLWantReadError:  # the handshake is done by the first operation
            return int(self._repeat(functools.partial(tls.write, data)))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of the data."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest):]

    def write(self, data: Any) -> int:
        """Send a part of the data, as send() does."""
        return self.send(data)

    def _flush(self) -> None:
        """Send all encrypted bytes."""
        rest: Any = self._rest or self._unsent.read()
        while rest:
            self.has_sent = True
            try:
                sent = _send(self, rest)
            except BaseException as x:
                self._rest = memoryview(rest)
                if isinstance(x, BlockingIOError):
                    raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "cannot send now") from None
                raise
            rest = memoryview(rest)[sent:] if sent < len(rest) else self._unsent.read()
        self._rest = b""

    def _answer(self) -> None:
        """Send messages of TLS itself, such as alerts, as far as that is possible without blocking."""
        timeout = self.gettimeout()
        self.settimeout(0.0)
        try:
            self._flush()
        except OSError as x:  # otherwise the peer has disconnected, which the next operation reports
            if isinstance(x, ssl.SSLWantWriteError) and self._unsent.pending > UNSENT_BYTES:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the other side does not read answers of TLS") from None
        finally:
            self.settimeout(timeout)

    # ------------------------------------------------------------ methods that would bypass TLS

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("not with TLS")

    sendmsg = sendmsg_afalg = sendto = sendfile = recvfrom = recvfrom_into = recvmsg = recvmsg_into = dup = _refuse
