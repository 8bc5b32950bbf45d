"""Send requests to an etcd cluster over HTTP: one endpoint after the other until one answers."""
from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, TypeVar, Union

from .... import errors
from . import messages
from .messages import EtcdError, Json
from .target import Target, endpoint_text

T = TypeVar("T")

ATTEMPT_SECONDS = 1.0       # that one endpoint has to answer before the next one is tried
PAUSE_SECONDS = 0.1         # after all endpoints have failed
IDLE_CONNECTIONS = 8        # kept open for each endpoint
PIECE_BYTES = 1 << 16

# What a connection can fail with: OSError includes timeouts and TLS.
_FAILURES = (OSError, http.client.HTTPException)


class Unreachable(errors.NamingError):
    """No endpoint of the cluster has answered in time."""


class Stream:
    """A reply that goes on: one message per line. `close` may be called in any thread, and ends `read`."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._connection = connection
        # Kept, because the response takes the socket out of the connection if the server does not keep it open.
        self._socket: Any = connection.sock
        self._rest = b""

    def read(self) -> List[bytes]:
        """Wait for further lines and return them.

        Raises:
            OSError, HTTPException: the connection was lost.
        """
        lines: List[bytes] = []
        while not lines:
            data = self._response.read1(PIECE_BYTES)
            if not data:
                raise ConnectionResetError("the server has ended the stream")
            *lines, self._rest = (self._rest + data).split(b"\n")
            # Empty lines, which separate messages in some versions, are none.
            lines = [line for line in lines if line.strip()]
        return lines

    def shut_down(self) -> None:
        """End `read` in another thread."""
        with contextlib.suppress(OSError):  # it is closed already
            # Not that of an SSLSocket, which is not made for other threads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; in the thread that reads."""
        self._response.close()
        self._connection.close()


class EtcdClient:
    """Sends requests to the endpoints of a cluster. Thread-safe.

    All requests may be repeated: reading, transactions that compare revisions, and operations on leases with known ids.

    Args:
        target: the cluster.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._context = _tls_context(target) if target.is_https else None
        self._closed = threading.Event()
        self._lock = threading.Lock()  # guards the attributes below
        self._first = 0  # the endpoint that answered last
        self._idle: Dict[int, List[http.client.HTTPConnection]] = {}
        self._token: Optional[str] = None

    def post(self, path: str, request: Json, seconds: float, attempt_seconds: float = ATTEMPT_SECONDS) -> Json:
        """Send a request to one endpoint after the other until one accepts it; return the reply.

        Raises:
            EtcdError: the cluster refuses the request.
            Unreachable: no endpoint has answered within these seconds.
        """
        return messages.parse_reply(self.post_body(path, json.dumps(request).encode("ascii"), seconds, attempt_seconds))

    def post_body(self, path: str, body: bytes, seconds: float, attempt_seconds: float = ATTEMPT_SECONDS) -> bytes:
        """Send a request as `post` does, with a body that is not one JSON object, and return the body of the reply."""
        until = time.monotonic() + seconds
        failures: Dict[str, str] = {}
        while True:
            for _ in self._target.endpoints:
                # Whichever endpoint has answered last, in any thread.
                index = self._first
                left = until - time.monotonic()
                if left <= 0 and failures or self._closed.is_set():
                    raise self._unreachable(failures)
                reply = self._try(index, path, body, max(min(left, attempt_seconds), 0.05), failures)
                if reply is not None:
                    return reply
                self._rotate(index)
            # Where none of them answers in time, a cluster that is busy gets more of it.
            attempt_seconds *= 2
            self._closed.wait(min(PAUSE_SECONDS, max(until - time.monotonic(), 0)))

    def _try(self, index: int, path: str, body: bytes, seconds: float, failures: Dict[str, str]) -> Optional[bytes]:
        """Send a request to one endpoint; add the reason to the failures if another one may accept it."""
        try:
            return self._attempt(index, path, body, seconds)
        except _FAILURES as x:
            failures[endpoint_text(self._target.endpoints[index])] = _reason(x)
        except EtcdError as x:
            if not x.is_passing:
                raise
            failures[endpoint_text(self._target.endpoints[index])] = str(x)
        return None

    def ask(self, index: int, path: str, request: Json, seconds: float) -> Json:
        """Send a request to one endpoint only.

        Raises:
            EtcdError, OSError, HTTPException: it did not succeed.
        """
        return messages.parse_reply(self._attempt(index, path, json.dumps(request).encode("ascii"), seconds))

    def open_stream(self, path: str, request: Json, seconds: float = ATTEMPT_SECONDS) -> Stream:
        """Send a request whose reply is a stream, to the endpoint that answered last.

        Args:
            seconds: time limit for the beginning of the reply.

        Raises:
            EtcdError, OSError, HTTPException: it failed. The next call uses the next endpoint.
        """
        index = self._first
        try:
            return self._authorized(index, seconds, lambda token: self._stream(index, path, request, seconds, token))
        except BaseException:
            self._rotate(index)
            raise

    def close(self) -> None:
        """Close all idle connections, and make requests fail. Can be called more than once."""
        self._closed.set()
        for index in range(len(self._target.endpoints)):
            self._drop_idle(index)

    def _unreachable(self, failures: Dict[str, str]) -> Unreachable:
        reasons = "; ".join("%s: %s" % failure for failure in failures.items())
        return Unreachable("cannot reach etcd at %s: %s" % (self._target, reasons or "this storage is closed"))

    def _rotate(self, index: int) -> None:
        with self._lock:
            # Only the first thread for which this endpoint failed moves on.
            if self._first == index:
                self._first = (index + 1) % len(self._target.endpoints)

    def _attempt(self, index: int, path: str, body: bytes, seconds: float) -> bytes:
        return self._authorized(index, seconds, lambda token: self._exchange(index, path, body, seconds, token))

    def _authorized(self, index: int, seconds: float, send: Callable[[Optional[str]], T]) -> T:
        """Send a request with a token if the cluster has users; authenticate again, once, if the token is too old."""
        token = self._token
        if token is None and self._target.user is not None:
            token = self._authenticate(index, seconds)
        try:
            return send(token)
        except EtcdError as x:
            if self._target.user is None or not x.needs_token:
                raise
        with self._lock:
            # Another thread may have a new one already.
            if self._token == token:
                self._token = None
            token = self._token
        return send(token or self._authenticate(index, seconds))

    def _authenticate(self, index: int, seconds: float) -> str:
        # Read each time, so that a password can be changed while the name server runs.
        try:
            with open(str(self._target.password_file), encoding="utf-8") as file:
                password = file.read().strip()
        except OSError as x:
            raise errors.NamingError("cannot read the password of etcd from %s: %s"
                                     % (self._target.password_file, x.strerror)) from x
        request = json.dumps(messages.authenticate_request(str(self._target.user), password)).encode("ascii")
        reply = self._exchange(index, messages.AUTHENTICATE, request, seconds, None)
        token = messages.parse_token(messages.parse_reply(reply))
        with self._lock:
            self._token = token
        return token

    def _exchange(self, index: int, path: str, body: bytes, seconds: float, token: Optional[str]) -> bytes:
        connection = self._take_idle(index)
        if connection is not None:
            try:
                return self._send(index, connection, path, body, seconds, token)
            except (ConnectionError, http.client.BadStatusLine):
                # The server may have closed it while it was idle: that says nothing about a new connection.
                self._drop_idle(index)
        return self._send(index, self._connect(index), path, body, seconds, token)

    def _send(self, index: int, connection: http.client.HTTPConnection, path: str, body: bytes, seconds: float,
              token: Optional[str]) -> bytes:
        try:
            _set_timeout(connection, seconds)
            connection.request("POST", path, body, _headers(token))
            response = connection.getresponse()
            content = response.read()
            status = response.status
            # Trailers belong to the reply; read() has skipped them.
            is_open = not response.will_close
        except BaseException:
            connection.close()
            raise
        if is_open:
            self._put_idle(index, connection)
        else:
            connection.close()
        if status != 200:
            raise messages.parse_error(status, content)
        return content

    def _stream(self, index: int, path: str, request: Json, seconds: float, token: Optional[str]) -> Stream:
        connection = self._connect(index)
        try:
            _set_timeout(connection, seconds)
            connection.request("POST", path, json.dumps(request).encode("ascii"), _headers(token))
            sock = connection.sock
            response = connection.getresponse()
            if response.status != 200:
                raise messages.parse_error(response.status, response.read())
            sock.settimeout(None)
            # A machine that is switched off does not close its connections.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.sock = sock
            return Stream(connection, response)
        except BaseException:
            connection.close()
            raise

    def _connect(self, index: int) -> http.client.HTTPConnection:
        host, port = self._target.endpoints[index]
        if self._context is not None:
            return http.client.HTTPSConnection(host, port, timeout=ATTEMPT_SECONDS, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=ATTEMPT_SECONDS)

    def _take_idle(self, index: int) -> Optional[http.client.HTTPConnection]:
        with self._lock:
            idle = self._idle.get(index)
            # The one that was used last: the others are closed by the server some time.
            return idle.pop() if idle else None

    def _put_idle(self, index: int, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(index, [])
            is_kept = len(idle) < IDLE_CONNECTIONS and not self._closed.is_set()
            if is_kept:
                idle.append(connection)
        if not is_kept:
            connection.close()

    def _drop_idle(self, index: int) -> None:
        with self._lock:
            idle = self._idle.pop(index, [])
        for connection in idle:
            connection.close()


def _headers(token: Optional[str]) -> Dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token  # as it is, without the word Bearer
    return headers


def _set_timeout(connection: http.client.HTTPConnection, seconds: float) -> None:
    connection.timeout = seconds
    if connection.sock is not None:
        connection.sock.settimeout(seconds)


def _reason(error: Union[OSError, http.client.HTTPException]) -> str:
    if isinstance(error, socket.timeout):
        return "no reply in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _tls_context(target: Target) -> Any:
    import ssl  # only for https
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
        if target.cert_file is not None:
            context.load_cert_chain(target.cert_file, target.key_file)
    except OSError as x:  # also ssl.SSLError
        raise errors.NamingError("cannot use the certificates for etcd: %s" % x) from x
    return context
