"""A small HTTP/1.1 server for a WSGI application: one thread per connection, persistent connections, and limits for
everything that clients control.
"""
from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from typing import Any, Callable, Dict, Iterable, Optional, Set

from .. import config, socketutil
from .._net.wakeup import Wakeup
from .connection import DRAINED_BYTES, Connection, Limits
from .lost_clients import LostClients

log = logging.getLogger("Pyro5.utils.httpserver")

WsgiApp = Callable[[Dict[str, Any], Callable[..., Any]], Iterable[bytes]]

ACCEPT_PAUSE_SECONDS = 0.1  # while the process is out of file descriptors or threads
_FULL = (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\nContent-Length: 29\r\n"
         b"Connection: close\r\n\r\nError 503: too many clients\r\n")


class HttpServer:
    """Serves a WSGI application on a TCP port. `stop` may be called from any thread, and connections call methods from their
    own threads; everything else belongs to one thread.

    Args:
        app: called in the thread of each connection.
        host: name or address to listen on.
        port: port to listen on, 0 for a free one.
        limits: limits for clients; None means the defaults.

    Attributes:
        port: the port that it listens on.
        base_environ: the part of the WSGI environment that is the same for all requests.
        receiving: held while a part of a large body is received.
        lost_clients: notices clients that disconnect while they wait for a response.

    Raises:
        OSError: cannot listen on that address; the text names it.
    """

    def __init__(self, app: WsgiApp, host: str, port: int, limits: Optional[Limits] = None) -> None:
        self.app = app
        # A client that disconnects between the event and accept() must not block the loop.
        self.limits = limits or Limits()
        self._listener = socketutil.create_socket(bind=(host, port), reuseaddr=config.SOCK_REUSE, timeout=None,
                                                  noinherit=True, ipv6=None)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._wakeup = Wakeup()
        self._stopping = threading.Event()
        # Guards the attributes below, and keeps the sockets in the first two from being closed.
        self._lock = threading.Lock()
        self._open: Set[socket.socket] = set()
        self._waiting: Dict[socket.socket, None] = {}   # waiting for their clients, longest first
        self._threads: Set[threading.Thread] = set()
        self.receiving = threading.Lock()
        self.lost_clients = LostClients(self._wakeup.wake)
        self.base_environ = {"SERVER_NAME": host, "SERVER_PORT": str(self.port), "GATEWAY_INTERFACE": "CGI/1.1",
                             "REMOTE_HOST": "", "CONTENT_LENGTH": "", "SCRIPT_NAME": ""}

    @property
    def is_stopping(self) -> bool:
        """Whether it is about to stop: then connections are closed after the current request."""
        return self._stopping.is_set()

    # ------------------------------------------------------------ loop

    def serve(self, companion: Any = None) -> None:
        """Accept connections until `stop` is called.

        Args:
            companion: an object with ``sockets`` to wait for too, and ``events(sockets)`` to call when they are ready.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            for sock in companion.sockets if companion is not None else ():
                selector.register(sock, selectors.EVENT_READ, companion)
            while not self._stopping.is_set():
                # Usually without a timeout: stop() and signals wake the loop by a socket.
                for key, _ in selector.select(self.lost_clients.pause()):
                    self._on_ready(key)
                self.lost_clients.check()

    def _on_ready(self, key: selectors.SelectorKey) -> None:
        if key.data is not None:
            key.data.events([key.fileobj])
        elif key.fileobj is self._listener:
            self._accept()
        else:
            self._wakeup.drain()

    def stop(self) -> None:
        """Make `serve` return. Can be called from any thread or signal handler."""
        self._stopping.set()
        self._wakeup.wake()

    def close(self) -> None:
        """Stop, wait for requests in progress (for SHUTDOWN_TIMEOUT seconds at most), and close everything."""
        # First end only the receiving direction: idle connections see the end of input and close, while requests in progress
        # can still send their responses.
        self.stop()
        self._listener.close()
        end_streams = getattr(self.app, "end_streams", None)
        if end_streams is not None:
            end_streams()
        self._shutdown_all(socket.SHUT_RD)
        deadline = time.monotonic() + (config.SHUTDOWN_TIMEOUT or 0)
        with self._lock:
            # A copy, because each thread removes itself when it ends.
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._shutdown_all(socket.SHUT_RDWR)
        self._wakeup.close()

    def _shutdown_all(self, how: int) -> None:
        with self._lock:
            connections = list(self._open)
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.shutdown(how)

    # ------------------------------------------------------------ connections

    def _accept(self) -> None:
        try:
            sock, address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as x:
            log.warning("cannot accept clients now: %s", x)
            # The listener remains readable: without a pause, the loop would try again all the time. `stop` ends the pause.
            self._stopping.wait(ACCEPT_PAUSE_SECONDS)
            return
        if self._make_room_for(sock):
            self._start_thread(sock, address)
        else:
            log.warning("refused %s: there are %d connections", address, self.limits.connections)
            _refuse(sock)

    def _make_room_for(self, sock: socket.socket) -> bool:
        """Add a connection; if there are too many, close the one that has been waiting for its client longest."""
        with self._lock:
            if len(self._open) >= self.limits.connections:
                if not self._waiting:
                    return False
                # shutdown, not close: the thread of that connection still uses the socket, and closes it when it wakes up
                longest_waiting = next(iter(self._waiting))
                self._forget_locked(longest_waiting)
                with contextlib.suppress(OSError):
                    longest_waiting.shutdown(socket.SHUT_RDWR)
            self._open.add(sock)
            self._waiting[sock] = None
            return True

    def _forget_locked(self, sock: socket.socket) -> None:
        self._open.discard(sock)
        self._waiting.pop(sock, None)

    def begin_waiting(self, sock: socket.socket) -> None:
        """Note that a connection is waiting for its client from now on: to send a request, or to receive a response."""
        with self._lock:
            # Removed and added again, so that it is at the end: the order of the dict is that of the waiting time. A
            # connection that is no longer open was closed meanwhile, to make room for another.
            self._waiting.pop(sock, None)
            if sock in self._open:
                self._waiting[sock] = None

    def end_waiting(self, sock: socket.socket) -> None:
        """Note that a request is complete and the application is running: its connection must not be closed."""
        with self._lock:
            self._waiting.pop(sock, None)

    def _start_thread(self, sock: socket.socket, address: Any) -> None:
        # From here on the socket belongs to the thread; if it cannot be started, this thread still has to close it.
        thread = threading.Thread(target=self._serve_connection, args=(sock, address), daemon=True,
                                  name="Pyro5 http connection")
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as x:
            log.warning("cannot serve %s now: %s", address, x)
            with self._lock:
                self._threads.discard(thread)
                self._forget_locked(sock)
            _refuse(sock)

    def _serve_connection(self, sock: socket.socket, address: Any) -> None:
        try:
            Connection(sock, address, self)
        except Exception as x:  # thread boundary
            log.error("a connection with %s failed: %r", address, x, exc_info=True)
        finally:
            # Remove it from the sets first: the number of a closed socket is soon reused for another.
            with self._lock:
                self._forget_locked(sock)
                self._threads.discard(threading.current_thread())
            sock.close()


def _refuse(sock: socket.socket) -> None:
    """Send a client an error response because there are too many connections, without blocking."""
    with sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.send(_FULL)
        sock.shutdown(socket.SHUT_WR)
        # What the client has sent is read: closing a socket with unread data would discard the response.
        sock.recv(DRAINED_BYTES)
