"""TLS sockets that do a bounded amount of work in each operation, regardless of the records that the peer sends.

An `ssl.SSLSocket` reads from its socket until it has data for its caller.  A peer that sends records without data, such as key
updates, as fast as they can be processed keeps it busy for as long as it likes: neither a timeout nor non-blocking mode ends
that.  Here the bytes pass through memory buffers instead, at most `FEED_BYTES` of them in each step.
"""
from __future__ import annotations

import errno
import functools
import socket
import ssl
import time
from typing import Any, Callable, Optional

# How many received bytes are decrypted in one step: a record of the largest size, or 600 key updates (a few milliseconds).
FEED_BYTES = 16 * 1024 + 512
RECORD_BYTES = 16 * 1024  # at most so much data is in one record
# How many bytes a peer may send before there is data among them.  Key updates and session tickets are few and small.
EMPTY_BYTES = 64 * 1024
# How many bytes send() encrypts at once.
SEND_BYTES = 256 * 1024
# How many encrypted bytes may wait for the peer to read before nothing is received from it any more.
UNSENT_BYTES = 64 * 1024
_receive, _send = socket.socket.recv, socket.socket.send
_INFORMATION = frozenset((
    "cipher", "compression", "get_channel_binding", "getpeercert", "get_unverified_chain", "get_verified_chain",
    "selected_alpn_protocol", "selected_npn_protocol", "session", "session_reused", "shared_ciphers",
    "verify_client_post_handshake", "version"))


class TlsSocket(socket.socket):
    """A connected socket with TLS on it: an alternative to `ssl.SSLSocket`, with its methods.

    Not for several threads at once, apart from shutdown() and close().

    Args:
        sock: a connected socket without TLS; its descriptor now belongs to this object.
        server_side: whether this is the server's end.
        server_hostname: for the client's end, what the certificate is for.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_side: bool,
                 server_hostname: Optional[str] = None) -> None:
        timeout = sock.gettimeout()
        self._received, self._unsent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._received, self._unsent, server_side=server_side, server_hostname=server_hostname)
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self.context, self.server_side, self.server_hostname = context, server_side, server_hostname
        self._tls: Optional[ssl.SSLObject] = tls  # None after a shutdown()
        self._empty_bytes = 0  # how many bytes came since there was data among them
        self._may_have_data = False  # not all that was received is decrypted
        self._rest: Any = b""  # encrypted, and not sent yet
        self._accepted = 0  # how many bytes of the next send() are encrypted already

    def __getattr__(self, name: str) -> Any:
        """Return what the TLS layer knows: getpeercert, cipher, version and the like."""
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
        """Do the handshake, or continue it, as `ssl.SSLSocket.do_handshake` does.  The socket's timeout is for all of it."""
        self._repeat(self._connected().do_handshake)
        self._may_have_data = self._received.pending > 0

    def unwrap(self) -> socket.socket:
        """End TLS, and return the socket itself, which goes on without it."""
        self._repeat(self._connected().unwrap)
        self._tls = None
        return self

    def _repeat(self, step: Callable[[], Any]) -> Any:
        """Repeat a step of TLS with what is received, until it is done; with a non-blocking socket at most twice."""
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
                self._answer()  # with the alert that says why
                raise
            else:
                self._flush()
                self._empty_bytes = 0
                return result

    def _feed(self) -> int:
        """Receive encrypted bytes once; return how many."""
        try:
            encrypted = _receive(self, FEED_BYTES)
        except BlockingIOError:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "nothing to receive") from None
        if not encrypted:
            self._received.write_eof()
            return 0
        return self._received.write(encrypted)

    def _may_go_on(self, deadline: Optional[float], has_fed: bool) -> None:
        """Raise the error that ends an operation whose time is over, if it is."""
        if self._empty_bytes > EMPTY_BYTES:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the other side sends TLS records without data")
        if has_fed and self.gettimeout() == 0.0:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "no data in what was received")
        if deadline is not None and time.monotonic() > deadline:
            raise socket.timeout("timed out")

    def shutdown(self, how: int) -> None:
        """Shut down one or both directions, without the end of TLS; what arrives afterwards is not decrypted."""
        self._tls = None
        super().shutdown(how)

    # ------------------------------------------------------------ receiving

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive up to this many bytes; raises `ssl.SSLWantReadError` or `ssl.SSLWantWriteError` instead of blocking."""
        tls = self._tls
        if tls is None:
            return super().recv(buflen, flags)
        # a record has no more, and memory for it would be reserved
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
        """Return how many bytes can be received at once.  Bytes that are not decrypted yet count as one."""
        tls = self._tls
        return 0 if tls is None else tls.pending() or int(self._may_have_data)

    def _read(self, tls: ssl.SSLObject, size: int, buffer: Any) -> Any:
        if self._may_have_data:
            try:
                return self._decrypt(tls, size, buffer)
            except ssl.SSLWantReadError:
                self._may_have_data = False
                if self.gettimeout() == 0.0:  # one step in each call; the socket is ready again if there is more
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
        """Send some of the data, and return how many bytes; raises `ssl.SSLWantWriteError` instead of blocking.

        After that error, and after a timeout, the next call has to begin with the same data: it may be encrypted already.
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
        """Send some of the data, as send() does."""
        return self.send(data)

    def _flush(self) -> None:
        """Send all that is encrypted."""
        rest: Any = self._rest or self._unsent.read()
        while rest:
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
        """Send what TLS itself has to say, as far as that takes no waiting."""
        timeout = self.gettimeout()
        self.settimeout(0.0)
        try:
            self._flush()
        except OSError as x:  # else the peer has gone: the next operation finds out
            if isinstance(x, ssl.SSLWantWriteError) and self._unsent.pending > UNSENT_BYTES:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the other side does not read answers of TLS") from None
        finally:
            self.settimeout(timeout)

    # ------------------------------------------------------------ what would pass by TLS

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("not with TLS")

    sendmsg = sendmsg_afalg = sendto = sendfile = recvfrom = recvfrom_into = recvmsg = recvmsg_into = dup = _refuse
