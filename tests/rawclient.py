"""Clients that send what they like, when they like; and the daemons that they try it with."""
from __future__ import annotations

import contextlib
import socket
import threading
import time
import unittest
from typing import Any, Callable, Dict, List, Optional, Sequence

from Pyro5 import aio, config, protocol, serializers
from Pyro5._messages import handshake, replies, requests
from Pyro5._messages.requests import WireOptions
from Pyro5._objects.exposure import expose, oneway
from Pyro5._wire.reader import MessageReader
from Pyro5.callcontext import current_context
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.server import Daemon
from Pyro5.socketutil import set_nodelay
from tests.support import run_aio_daemon

# Generous: it only passes when something is broken.
PATIENCE_SECONDS = 60.0

SERPENT = serializers.get_serializer("serpent")


def connect_request(object_id: str = "obj") -> bytes:
    return handshake.connect_request(SERPENT, 0, object_id, "hello", WireOptions()).data


def call_request(method: str, *args: Any, seq: int = 1, flags: int = 0, object_id: str = "obj") -> bytes:
    return requests.invoke_request(SERPENT, seq, flags, object_id, method, args, {}, WireOptions()).data


class RawClient:
    """One connection, byte by byte.  Close it, or use it as a context manager."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_SECONDS)
        self._reader = MessageReader()
        self._reader.has_chunks = True

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> Optional[ReceivingMessage]:
        """Read a message; None if the server has ended the connection."""
        message = self._reader.next_message()
        while message is None:
            try:
                count = self._reader.receive_from(self.sock)
            except ConnectionError:
                return None
            if not count:
                return None
            message = self._reader.next_message()
        return message

    def reply(self) -> Any:
        """Read a message, and give the value that it carries."""
        message = self.read()
        if message is None:
            raise EOFError("the server has ended the connection")
        if message.type in (protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL):
            return handshake.parse_connect_reply(message)
        return replies.parse_reply(message, serializers.get_serializer_by_id(message.serializer_id))

    def greet(self, object_id: str = "obj") -> RawClient:
        self.send(connect_request(object_id))
        self.reply()
        return self

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        self.send(call_request(method, *args, **options))
        return self.reply()

    def ping(self) -> None:
        """A message that the server answers without running anything."""
        self.send(SendingMessage(protocol.MSG_PING, 0, 0, 42, b"ping").data)
        message = self.read()
        if message is None or message.type != protocol.MSG_PING:
            raise AssertionError("the ping was answered by %r" % message)


@expose
class Served:
    """The object that the clients call.  Its gate lets a test hold calls and let them go."""

    def __init__(self) -> None:
        self._notes: List[Any] = []
        self._gate = threading.Event()
        self._noted = threading.Condition()
        self._running = 0
        self._most = 0

    _pyroDaemon: Any = None

    def echo(self, value: Any) -> Any:
        return value

    def large(self, size: int) -> str:
        return "x" * size

    def note(self, value: Any) -> None:
        with self._noted:
            self._notes.append(value)
            self._noted.notify_all()

    @oneway
    def note_oneway(self, value: Any) -> None:
        self.note(value)

    def wait(self, value: Any = None) -> Any:
        """Stay until the test opens the gate."""
        with self._noted:
            self._running += 1
            self._most = max(self._most, self._running)
            self._notes.append(value)
            self._noted.notify_all()
        if not self._gate.wait(PATIENCE_SECONDS):
            raise AssertionError("the gate was not opened")
        with self._noted:
            self._running -= 1
        return value

    def thread(self) -> str:
        return threading.current_thread().name

    def shutdown(self) -> str:
        self._pyroDaemon.shutdown()
        return "shutting down"

    def close_daemon(self) -> str:
        self._pyroDaemon.close()
        return "closing"

    def close_my_connection(self, how: str) -> None:
        connection = current_context.client
        connection.sock.close() if how == "socket" else connection.close()

    def note_connection(self) -> None:
        self.note(current_context.client)

    def exit(self) -> None:
        raise SystemExit(5)

    def annotate(self, count: int, size: int) -> str:
        current_context.response_annotations = {"%04d" % number: b"value" for number in range(count)}
        return "x" * size

    # for the test itself

    def _open_gate(self) -> None:
        self._gate.set()

    def _wait_for_notes(self, count: int) -> List[Any]:
        with self._noted:
            if not self._noted.wait_for(lambda: len(self._notes) >= count, PATIENCE_SECONDS):
                raise AssertionError("only %d of %d notes came: %r" % (len(self._notes), count, self._notes[:20]))
            return list(self._notes)


class WatchedDaemon(Daemon):
    """Tells when clients are gone, and when it has looked after its house."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gone: List[Any] = []
        self.changed = threading.Condition()
        self.ticks = 0
        super().__init__(*args, **kwargs)

    def clientDisconnect(self, conn: Any) -> None:
        with self.changed:
            self.gone.append(conn)
            self.changed.notify_all()

    def _connection_ended(self, connection: Any) -> None:
        super()._connection_ended(connection)
        if not connection.handshake_done:  # clientDisconnect is not called for it
            WatchedDaemon.clientDisconnect(self, connection)

    def housekeeping(self) -> None:
        with self.changed:
            self.ticks += 1
            self.changed.notify_all()

    def wait_for_gone(self, count: int) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.gone) >= count, PATIENCE_SECONDS):
                raise AssertionError("only %d of %d clients are gone" % (len(self.gone), count))


class WatchedAioDaemon(aio.Daemon):
    """The same for ``Pyro5.aio``; its request loop is an event loop of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gone: List[Any] = []
        self.changed = threading.Condition()
        self.ticks = 0
        super().__init__(*args, **kwargs)

    requestLoop = run_aio_daemon

    def close(self) -> Any:
        """End soon, without being awaited."""
        return self.shutdown()

    def clientDisconnect(self, conn: Any) -> None:
        WatchedDaemon.clientDisconnect(self, conn)  # type: ignore[arg-type]

    def _free(self, connection: Any) -> None:
        super()._free(connection)
        if not connection.handshake_done:  # clientDisconnect is not called for it
            self.clientDisconnect(connection)

    def housekeeping(self) -> None:
        WatchedDaemon.housekeeping(self)  # type: ignore[arg-type]

    def wait_for_gone(self, count: int) -> None:
        WatchedDaemon.wait_for_gone(self, count)  # type: ignore[arg-type]


class Clock:
    """Stands in for the time module where time must pass faster."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class ServerTestCase(unittest.TestCase):
    """Restores the configuration, ends daemons and clients, and sees that no thread is left."""

    servertype = "thread"  # or "multiplex", or "aio" for a daemon of Pyro5.aio

    def setUp(self) -> None:
        self.threads_before = set(threading.enumerate())
        self.addCleanup(self.check_threads)
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        self.at_end.callback(config.__dict__.update, config.as_dict())
        if self.servertype != "aio":
            config.SERVERTYPE = self.servertype
        self.served = Served()
        self.at_end.callback(self.served._open_gate)

    def check_threads(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        left = set(threading.enumerate()) - self.threads_before
        for thread in left:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.assertEqual([], [thread for thread in left if thread.is_alive()])

    def daemon(self, daemon_class: Any = None, host: str = "127.0.0.1", **arguments: Any) -> Any:
        """Make a daemon that serves the object; nothing runs its loop yet."""
        if daemon_class is None:
            daemon_class = WatchedAioDaemon if self.servertype == "aio" else WatchedDaemon
        if "connected_socket" not in arguments and "unixsocket" not in arguments:
            arguments["host"] = host
        daemon = daemon_class(**arguments)
        self.at_end.callback(daemon.close)
        daemon.register(self.served, "obj", force=True)
        return daemon

    def run_loop(self, daemon: Any, *args: Any) -> threading.Thread:
        thread = threading.Thread(target=daemon.requestLoop, args=args, name="request loop")
        thread.start()
        self.at_end.callback(thread.join, PATIENCE_SECONDS)
        self.at_end.callback(daemon.shutdown)
        return thread

    def serving(self, **settings: Any) -> Any:
        """Return a daemon whose loop runs."""
        self.configure(**settings)
        daemon = self.daemon()
        self.run_loop(daemon)
        return daemon

    def configure(self, **settings: Any) -> None:
        for name, value in settings.items():
            setattr(config, name, value)

    def connect(self, daemon: Any, receive_buffer: int = 0) -> RawClient:
        """Return a client that has not said anything yet."""
        client = RawClient(connected_to(daemon, receive_buffer))
        self.at_end.callback(client.close)
        return client

    def client(self, daemon: Any, receive_buffer: int = 0) -> RawClient:
        """Return a client that is let in already."""
        return self.connect(daemon, receive_buffer).greet()

    def join(self, thread: threading.Thread) -> None:
        thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive(), "the thread goes on")


def connected_to(daemon: Any, receive_buffer: int = 0) -> socket.socket:
    """Connect to a daemon; with a small receive buffer little fits on the way."""
    address: Any = daemon.sock.getsockname()
    sock = socket.socket(daemon.sock.family, socket.SOCK_STREAM)
    try:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(address)
        set_nodelay(sock)  # what is sent in pieces shall leave in pieces, at once
    except BaseException:
        sock.close()
        raise
    return sock


def wait_until(condition: Callable[[], Any], what: str = "it") -> None:
    """Wait for something that another thread or the system is about to do, and does not announce."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen" % what)
        pause.wait(0.002)


def for_both_types(namespace: Dict[str, Any], base: Any) -> None:
    """Make a test case for each server type of a class that is none itself."""
    _for_types(("thread", "multiplex"), namespace, base)


def for_all_types(namespace: Dict[str, Any], base: Any) -> None:
    """Make a test case for each server type, and the daemon of ``Pyro5.aio``, of a class that is none itself."""
    _for_types(("thread", "multiplex", "aio"), namespace, base)


def _for_types(servertypes: Sequence[str], namespace: Dict[str, Any], base: Any) -> None:
    for servertype in servertypes:
        name = base.__name__ + servertype.capitalize()
        namespace[name] = type(name, (base, ServerTestCase), {"servertype": servertype, "__module__": base.__module__})
