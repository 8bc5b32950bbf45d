"""A daemon without a listening port: it serves connections that its own process has opened, and offered to a server.

A few offered connections are always waiting at the server. When a proxy there connects to an object of this process, it uses
one of them as if it had opened it, and the endpoint offers the next one. There are several, because a multiplex server cannot
accept further ones while one of its methods runs.
"""
from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
from typing import Any, Callable, Optional

from .. import config, errors
from .._client.connecting import open_connection
from .._client.connection import Connection
from .._messages.requests import WireOptions
from .._net.offered_sockets import PORT, host_of
from .._server.callbacks import DaemonCallbacks
from .._server.connection import ServerConnection
from .._server.eventloop import READ
from .._server.loop import SocketServer
from .._values.uri import URI
from .._wire.features import CALLBACKS
from .._wire.reader import MessageReader
from ..constants import DAEMON_NAME
from ..serializers import SerializerBase
from ..server import Daemon
from ..svr_threads import SocketServer_Threadpool
from ..socketutil import effective_timeout

log = logging.getLogger("Pyro5.callbacks")

_OFFER_METHOD = "offer_connection"  # of the object of a daemon
IDLE_CONNECTIONS = 3  # so that several calls of the server can run at once, and the next one need not wait for a connection
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 5.0  # between attempts to offer a connection again


class _OfferedConnection(ServerConnection):
    """A connection that this process has opened, and that a proxy of the server may use."""

    def finish_handshake(self) -> None:
        super().finish_handshake()  # the connection is in use now: another one is offered
        self.server.on_used()

    def read_on(self, reader: MessageReader) -> None:
        """Continue with the bytes that were received behind the last reply."""
        # The limits of this connection apply to what is behind the reply as well.
        for name in ("max_size", "size_setting", "max_inflated", "free_annotations", "inflated_ratio", "admit"):
            setattr(reader, name, getattr(self.reader, name))
        self.reader = reader


class _UnconnectedServer(SocketServer_Threadpool):
    """Serves connections that are passed to park().

    Attributes:
        on_used: called when a proxy begins to use a connection, or a connection has ended before that.
    """

    on_used: Callable[[], None] = staticmethod(lambda: None)

    def begin_waiting(self, connection: ServerConnection) -> None:
        self._watch(connection, READ)  # without a time limit: any time may pass until a proxy uses it
        if connection.mid_message or connection.has_tls_bytes():
            self._serve_all(connection)  # a proxy has used it at once: its handshake came together with the last reply

    def end(self, connection: ServerConnection) -> None:
        # A connection that was never used is replaced, too.
        super().end(connection)
        if not connection.handshake_done:
            self.on_used()


class CallbackDaemon(Daemon):
    """Publishes the objects of a client at its server."""

    def __init__(self, host: str) -> None:
        super().__init__(host, PORT)  # the port is a constant: nothing listens there

    def _listen(self, callbacks: DaemonCallbacks, host: Any, port: int, unixsocket: Optional[str]) -> SocketServer:
        server = _UnconnectedServer(callbacks)
        server.locationStr = "%s:%d" % (host, port)
        server.watch_wakeup()
        return server


class Endpoint:
    """The objects of this process that the server of a proxy can call. Thread-safe.

    Args:
        uri, serializer, handshake, timeout: the values of the proxy, with which to connect.
        adapt: called with the daemon before it serves.

    Raises:
        PyroError: the server is of another release, which does not know such callbacks.
        CommunicationError: connecting failed.
    """

    def __init__(self, uri: URI, serializer: SerializerBase, handshake: Any, timeout: Optional[float],
                 adapt: Callable[[Daemon], None] = lambda daemon: None) -> None:
        self._uri = uri
        self._serializer = serializer
        self._handshake = handshake
        self._timeout = timeout
        self._wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        # Only the server to which it was sent can make proxies for this endpoint.
        self._secret = secrets.token_hex(32)
        self._changed = threading.Condition()  # guards the next three
        self._is_closed = False
        self._idle = 0
        self._connecting: Optional[Connection] = None
        # Before the daemon is made: if the server cannot be reached, there is nothing to close.
        first = self._connect()
        self.daemon = CallbackDaemon(host_of(self._secret))
        self.daemon.transportServer.on_used = self._used  # type: ignore[attr-defined]
        adapt(self.daemon)
        self._serve(first)
        self._threads = [threading.Thread(target=self.daemon.requestLoop, name="Pyro-callbacks", daemon=True),
                         threading.Thread(target=self._keep_offering, name="Pyro-offers", daemon=True)]
        for thread in self._threads:
            thread.start()

    def register(self, obj: Any) -> URI:
        """Make an object available to the server, and return its URI. One that is registered already keeps its URI."""
        if self.daemon._id_of(obj) is None:
            self.daemon.register(obj)
        return self.daemon.uriFor(obj)

    def stop(self) -> None:
        """Close the connections soon; the objects cannot be called any more. Does not wait."""
        # Set first: a connection that is being opened by the other thread is ended below.
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            if self._connecting is not None:
                with contextlib.suppress(OSError):
                    self._connecting.sock.shutdown(socket.SHUT_RDWR)
        self.daemon.shutdown()

    def close(self) -> None:
        """Do what `stop` does, and wait for it. Calls that run get SHUTDOWN_TIMEOUT seconds."""
        # In this order: the daemon waits for running calls, which may use the connections.
        self.stop()
        self.daemon.close()
        for thread in self._threads:
            if thread is not threading.current_thread() and not self.daemon.transportServer.in_worker():
                thread.join()

    # ------------------------------------------------------------ offering connections

    def _connect(self) -> Connection:
        """Open a connection to the server, and offer it."""
        uri, serializer, wire = self._uri, self._serializer, self._wire
        connection = open_connection(uri, effective_timeout(self._timeout), wire.max_size)
        try:
            # From here on stop() can end the connection, however long the server takes to answer.
            self._note_connecting(connection)
            connection.handshake(serializer, 0, str(uri.object), self._handshake, wire, extra=(CALLBACKS,))
            if connection.features is None or CALLBACKS not in connection.features:
                raise errors.PyroError("the server of '%s' is of another release, which cannot call objects over a connection "
                                       "of its client: register the object in a Daemon" % uri)
            connection.call(serializer, 1, DAEMON_NAME, _OFFER_METHOD, [self._secret], wire)
            self._note_connecting(None)
        except BaseException:
            self._connecting = None
            connection.close()
            raise
        return connection

    def _note_connecting(self, connection: Optional[Connection]) -> None:
        """Make a connection one that stop() ends."""
        with self._changed:
            if self._is_closed:
                raise errors.ConnectionClosedError("the proxy for '%s' was released" % self._uri)
            self._connecting = connection

    def _serve(self, offered: Connection) -> None:
        """Pass a connection to the daemon, which waits until a proxy of the server uses it."""
        offered.keep_open = True  # the socket is used on, without that object
        offered.sock.setblocking(False)
        server = self.daemon.transportServer
        limits = server.current_limits()
        connection = _OfferedConnection(offered.sock, server, limits.message_bytes, limits.handshake_bytes,
                                        inflated_size=limits.inflated_bytes)
        connection.read_on(offered._reader)
        # Under the lock: stop() comes either before, or after this, and then the daemon closes the connection.
        with self._changed:
            if self._is_closed:
                offered.keep_open = False
                offered.close()
                return
            self._idle += 1
            server.park(connection)

    def _used(self) -> None:
        """Note that there is one offered connection less."""
        with self._changed:
            self._idle -= 1
            self._changed.notify_all()

    def _keep_offering(self) -> None:
        # A thread of its own: connecting takes long while a multiplex server runs a method, and that method may wait for calls
        # of objects of this process.
        pause = 0.0
        while self._wait_until_needed(pause):
            try:
                self._serve(self._connect())
                pause = 0.0
            except (errors.PyroError, OSError, ValueError) as x:  # the last two: stop() has ended the connection
                log.info("no connection for callbacks to '%s', trying again: %s", self._uri, x)
                pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), MAX_PAUSE_SECONDS)

    def _wait_until_needed(self, pause: float) -> bool:
        """Wait until a further connection has to be offered, but at least for this pause; return False at the end."""
        with self._changed:
            if pause:
                self._changed.wait_for(lambda: self._is_closed, pause)
            self._changed.wait_for(lambda: self._is_closed or self._idle < IDLE_CONNECTIONS)
            return not self._is_closed
