"""One connection of the HTTP server: reads requests within their limits, calls the WSGI application, and sends responses.

It builds on wsgiref.handlers of the standard library, and adds limits and persistent connections. http.server would load the
modules for email and TLS into every daemon.
"""
from __future__ import annotations

import contextlib
import io
import logging
import socket
import sys
import time
from typing import Any, Callable, ContextManager, Dict, List, Optional
from urllib.parse import unquote_to_bytes
from wsgiref.handlers import SimpleHandler, format_date_time

from .. import NamedTuple, socketutil
from .head import REASONS, BadRequest, Head, loggable_path, parse_head
from .lost_clients import WATCH

log = logging.getLogger("Pyro5.utils.httpconnection")

READ_BUFFER_BYTES = 16384
WRITE_BUFFER_BYTES = 65536
DRAINED_BYTES = 65536  # of an unread body: with more than that, closing the connection is cheaper
LARGE_BODY_BYTES = 16384  # a larger one is received in turns with others
DISCONNECT = "pyro5.disconnect"  # in the WSGI environment: the method that ends the connection, in any thread
SERVER = "Pyro5"  # in the headers of responses
LINGER_SECONDS = 1.0  # time for a client that is still sending to receive the error response


class Limits(NamedTuple):
    """Limits for clients."""

    connections: int = 200          # of all clients together; for one more, the longest waiting one is closed
    head_bytes: int = 32768         # request line and headers
    head_seconds: float = 10.0      # from the first byte of a request to the end of its headers
    idle_seconds: float = 15.0      # between two requests
    body_seconds: float = 60.0      # for the whole body
    send_seconds: float = 30.0      # without receiving any part of a response


class _Reader(io.RawIOBase):
    """Reads from a socket until a deadline (monotonic seconds), which may be changed; then raises socket.timeout.

    Args:
        large: the lock of all connections that is held while a part of a large body is received.

    Attributes:
        is_large: a large body is being received.
    """

    def __init__(self, sock: socket.socket, large: ContextManager[Any]) -> None:
        self._sock = sock
        self._large = large
        self.deadline = 0.0
        self.is_large = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds_left = self.deadline - time.monotonic()
        if seconds_left <= 0:
            raise socket.timeout("timed out")
        # the deadline is for the whole head or body: a timeout for each receive would start again with every byte
        self._sock.settimeout(seconds_left)
        if not self.is_large:
            return self._sock.recv_into(buffer)
        # Wait without the lock. Only this thread receives from the socket, so that the data cannot be gone afterwards.
        if not self._sock.recv(1, socket.MSG_PEEK):
            return 0
        # One thread at a time: two hundred that receive all the time would leave the interpreter to the others (those that
        # accept connections or have small requests) for a few milliseconds per second.
        with self._large:
            return self._sock.recv_into(buffer)


class _Writer(io.RawIOBase):
    """Writes to a socket. It never raises: when the client is gone, or receives nothing for too long, the rest is discarded.

    Attributes:
        failure: the first error, or None.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._seconds = seconds
        self.failure: Optional[OSError] = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.failure is None:
            try:
                self._sock.settimeout(self._seconds)
                # One send per call: the timeout starts again with each part that the client has received.
                return self._sock.send(data)
            except OSError as x:
                self.failure = x.with_traceback(None)  # its frames refer to the data, and to this: a cycle
        return len(data)  # the buffered writer would try again with data that was not accepted


class _Body(io.RawIOBase):
    """The body of one request.

    Args:
        rfile: the stream to read it from.
        length: in bytes.
        begin: called before the first byte is read.
        end: called after the last byte was read.

    Attributes:
        remaining: bytes that have not been read yet.
    """

    def __init__(self, rfile: Any, length: int, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._rfile = rfile
        self.remaining = length
        self._begin: Optional[Callable[[], None]] = begin
        self._end = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._begin is not None:
            # The client waits for this before it sends the body, so it is sent at the first read.
            self._begin()
            self._begin = None
        view = memoryview(buffer)[:self.remaining]
        # readinto1 returns what has arrived, and does not wait until the buffer is full.
        count: int = self._rfile.readinto1(view) if view else 0
        self.remaining -= count
        if count and not self.remaining:
            self._end()
        return count


class Connection:
    """One connection of an HttpServer, processed entirely in the constructor, in the calling thread.

    Attributes:
        close_connection: there is no further request after this one.
        wfile: the stream to write responses to.
    """

    def __init__(self, sock: socket.socket, client_address: Any, server: Any) -> None:
        self.connection = sock
        self.client_address = client_address
        self.server = server
        self.close_connection = False
        self.command = self.path = ""
        socketutil.set_nodelay(sock)
        self._limits: Limits = server.limits
        self._reader = _Reader(self.connection, self.server.receiving)
        self._writer = _Writer(self.connection, self._limits.send_seconds)
        self.rfile = io.BufferedReader(self._reader, READ_BUFFER_BYTES)
        self.wfile = io.BufferedWriter(self._writer, WRITE_BUFFER_BYTES)
        self._wants_100 = False
        self._unread = False
        try:
            self._handle_requests()
        finally:
            self.wfile.close()
            self.rfile.close()
            if self._unread:
                self._linger()

    def _handle_requests(self) -> None:
        patience = self._limits.head_seconds
        try:
            while not self.close_connection and self._is_coming(patience):
                self._handle_request()
                patience = self._limits.idle_seconds
        except OSError as x:
            log.debug("lost %s: %s", self.client_address, x)

    # ------------------------------------------------------------ reading a request

    def _is_coming(self, seconds: float) -> bool:
        """Wait for the first byte of a request; return whether there is one."""
        self.server.begin_waiting(self.connection)
        self._reader.deadline = time.monotonic() + seconds
        try:
            return bool(self.rfile.peek(1))
        except socket.timeout:
            return False

    def _handle_request(self) -> None:
        # Reset everything of the previous request. The connection is closed unless the head says otherwise.
        self.command = self.path = ""
        self._wants_100 = False
        self.close_connection = True
        self._reader.is_large = False
        try:
            lines = self._read_head()
            if lines is None:
                return
            head = parse_head(lines)
            self._use_head(head)
            self._run(head.body_length())
        except BadRequest as x:
            self._unread = self.close_connection = True
            self._send_error(*x.args)
        self.wfile.flush()
        if self._writer.failure is not None:
            self.close_connection = True

    def _read_head(self) -> Optional[List[bytes]]:
        """Read the request line, and the headers up to the empty line; return None if the client closes before."""
        self._reader.deadline = time.monotonic() + self._limits.head_seconds
        bytes_left = self._limits.head_bytes
        lines: List[bytes] = []
        try:
            while not lines or lines[-1] not in (b"\r\n", b"\n"):
                # one byte more than allowed is enough to know that the head is too long
                lines.append(self.rfile.readline(bytes_left + 1))
                bytes_left -= len(lines[-1])
                if bytes_left < 0:
                    raise BadRequest(431)
                if not lines[-1] and len(lines) == 1:
                    return None
                if not lines[-1]:
                    raise BadRequest(400, "the request ends in the middle of its head")
                if len(lines) == 1 and not lines[0].strip(b"\r\n"):
                    lines.pop()     # some clients send an empty line after a body
        except socket.timeout as x:
            raise BadRequest(408) from x
        return lines

    def _use_head(self, head: Head) -> None:
        """Set the attributes of the connection that depend on the request head."""
        self.head = head
        self.command, self.path = head.method, head.target
        options = [option.strip().lower() for option in head.headers.get("connection", "").split(",")]
        keep = head.version >= (1, 1) or "keep-alive" in options
        self.close_connection = not keep or "close" in options or self.server.is_stopping
        self._wants_100 = head.version >= (1, 1) and head.headers.get("expect", "").lower() == "100-continue"

    def get_environ(self) -> Dict[str, Any]:
        """Return the WSGI environment of the request."""
        path, _, query = self.head.target.partition("?")
        environ = dict(self.server.base_environ)
        environ.update(
            REQUEST_METHOD=self.head.method, SERVER_PROTOCOL="HTTP/%d.%d" % max(self.head.version, (1, 0)), QUERY_STRING=query,
            PATH_INFO=unquote_to_bytes(path.encode("latin-1")).decode("latin-1"), REMOTE_ADDR=str(self.client_address[0]),
            CONTENT_TYPE=self.head.headers.get("content-type", ""),
            CONTENT_LENGTH=self.head.headers.get("content-length", ""), **{DISCONNECT: self._disconnect, WATCH: self._watch})
        for name, value in self.head.headers.items():
            if name not in ("content-type", "content-length"):
                environ["HTTP_" + name.replace("-", "_").upper()] = value
        return environ

    def _disconnect(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _watch(self, on_lost: Callable[[], None]) -> ContextManager[None]:
        """Call a function if the client disconnects in the block, in which nothing is received or sent."""
        watch: ContextManager[None] = self.server.lost_clients.watching(self.connection, self.head.version >= (1, 1), on_lost)
        return watch

    # ------------------------------------------------------------ sending the response

    def _run(self, body_length: int) -> None:
        """Run the application, then read and discard the rest of the body."""
        self._body = body = _Body(self.rfile, body_length, self._invite, self._begin_work)
        self._reader.is_large = body_length > LARGE_BODY_BYTES
        if not body_length:
            self._begin_work()
        _Exchange(self, io.BufferedReader(body, READ_BUFFER_BYTES)).run(self.server.app)
        self.wfile.flush()
        # What is left of the body would otherwise be read as the next request.
        if body.remaining and not self.close_connection:
            self._reader.deadline = time.monotonic() + LINGER_SECONDS
            self.rfile.read(body.remaining)

    def _begin_work(self) -> None:
        # From here on the application works, and the connection is not one that could be closed to make room.
        self.server.end_waiting(self.connection)

    @property
    def is_lost(self) -> bool:
        """Whether sending to the client has failed."""
        return self._writer.failure is not None

    def begin_answer(self) -> None:
        """Note that the application has finished; decide whether the rest of the body is worth reading."""
        self.server.begin_waiting(self.connection)
        if self._body.remaining and (self._wants_100 or self._body.remaining > DRAINED_BYTES):
            self._unread = self.close_connection = True

    def _invite(self) -> None:
        self._reader.deadline = time.monotonic() + self._limits.body_seconds
        if self._wants_100:
            self._wants_100 = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()

    def _linger(self) -> None:
        """Read what the client is still sending: closing before that could prevent it from receiving the response."""
        self._reader.deadline = time.monotonic() + LINGER_SECONDS
        scratch = bytearray(READ_BUFFER_BYTES)
        with contextlib.suppress(OSError):
            # The client sees the end of the response at once, although the socket stays open for reading.
            self.connection.shutdown(socket.SHUT_WR)
            while self._reader.readinto(scratch):
                continue

    def _send_error(self, code: int, message: str = "") -> None:
        """Send the response to a request that is rejected without calling the application."""
        self.log_request(str(code))
        message = message or REASONS[code]
        body = ("Error %d: %s" % (code, message)).encode("utf-8")
        head = ("HTTP/1.1 %d %s" % (code, message), "Server: " + SERVER, "Date: " + format_date_time(time.time()),
                "Connection: close", "Content-Type: text/plain; charset=utf-8", "Content-Length: %d" % len(body), "", "")
        self.wfile.write("\r\n".join(head).encode("latin-1"))
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: str) -> None:
        """Write a request and the status of its response to the log."""
        # Not the whole request line, which may contain a key.
        log.debug("%s: %s %s: %s", self.client_address, self.command, loggable_path(self.path), code)


class _Exchange(SimpleHandler):
    """One run of the application."""

    http_version = "1.1"
    server_software = SERVER
    os_environ: Dict[str, str] = {}
    headers: Any
    status: Optional[str]
    result: Any

    def __init__(self, connection: Connection, body: Any) -> None:
        super().__init__(body, connection.wfile, sys.stderr, connection.get_environ(), multithread=True,
                         multiprocess=False)
        self._connection = connection

    def finish_response(self) -> None:
        self._connection.begin_answer()
        super().finish_response()

    def write(self, data: bytes) -> None:
        super().write(data)
        # A list is complete already. What is produced while it is sent must not be produced for a client that is gone.
        if self._connection.is_lost and not isinstance(self.result, list):
            raise ConnectionAbortedError("the client is gone")

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if "Content-Length" not in self.headers:
            self._connection.close_connection = True  # only the end of the connection shows the end of the response
        if self._connection.close_connection:
            self.headers["Connection"] = "close"

    def close(self) -> None:
        self._connection.log_request((self.status or "-").partition(" ")[0])
        super().close()

    def log_exception(self, exc_info: Any) -> None:
        log.error("the application failed", exc_info=exc_info)
        self._connection.close_connection = True
