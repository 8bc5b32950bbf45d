"""The Daemon, which publishes objects and answers the calls of clients."""
from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Type

from . import client, config as config
from ._auth import server_gate
from ._calls.async_methods import AsyncMethods
from ._calls.dispatch import Dispatcher
from ._calls.error_log import RepeatFilter
from ._calls.plain_calls import PlainCalls
from ._daemon.daemon_object import DaemonObject
from ._daemon.registrations import Registrations
from ._daemon.transports import Host, check_processes, dispatch_options, listen, nat_address, supervise
from ._net import forks
from ._net.offered_sockets import offered_sockets
from ._objects import marks
from ._objects.exposure import behavior, callback, expose, oneway
from ._objects.members import _get_exposed_members as _get_exposed_members
from ._objects.members import is_private_attribute as is_private_attribute
from ._objects.objects import table_of_unmarked, unmarked
from ._server.callbacks import DaemonCallbacks, PlainAnswer
from ._server.connection import ServerConnection
from ._server.loop import SocketServer
from ._values import classes
from ._wire import buffers
from .callcontext import current_context as current_context
from .configure import global_version
from .svr_existingconn import serve_connected

__all__ = ["Daemon", "DaemonObject", "behavior", "callback", "expose", "oneway", "serve"]

log = logging.getLogger("Pyro5.server")

WIRE_TAG = "Pyro5.server.Daemon"
LoopCondition = Callable[[], bool]


class Daemon(Registrations):
    """Publishes objects on the network and answers the calls of clients.

    The settings that determine where and how to listen are read when the daemon is created; changes of all others take
    effect at once. register(), unregister(), uriFor() and shutdown() may be called from any thread. Use a daemon in a
    ``with`` statement, or call close().

    Args:
        host: name or address to listen on, None: the setting HOST.
        port: TCP port, 0: any free one.
        unixsocket: path of a Unix domain socket to listen on instead.
        nathost, natport: the address to publish instead of the one listened on (behind a NAT router); natport 0: the
            same port.
        interface: the class of the daemon's own remote object.
        connected_socket: serve only the peer of this connected socket; all other arguments are ignored.
        users: path of the file with the users that may connect (see ``pyro5 user``); empty: the setting AUTH_USERS_FILE.
        processes: how many processes serve clients, all at this address. If there are several, requestLoop() forks and
            supervises them; each has its own copies of the registered objects (see the chapter about servers).
        metrics: ``host:port`` of an HTTP server for monitoring systems, with ``/metrics`` (for Prometheus), ``/healthz`` and
            ``/readyz``; port 0 is any free one, see metrics_port. Empty: none.

    Attributes:
        methodcall_error_handler: called as handler(daemon, client_sock, method, vargs, kwargs, exception) for each
            exception that a method raises, in the thread of the call.
        housekeeper_lock: held while housekeeping() runs, for programs that share data with it.
        natLocationStr: the published ``host:port``, None without NAT.
        transportServer: the socket server.

    Raises:
        OSError: cannot listen on that address; the text names it.
        PyroError: the setting SERVERTYPE names no server type.
        SecurityError: the key file or the users file cannot be used.
        ValueError: a setting or an argument is invalid.
    """

    def __init__(self, host: Host = None, port: int = 0, unixsocket: Optional[str] = None, nathost: Host = None,
                 natport: Optional[int] = None, interface: Type[Any] = DaemonObject, connected_socket: Any = None, *,
                 users: str = "", processes: int = 1, metrics: str = "") -> None:
        check_processes(processes, connected_socket)  # first: nothing has to be closed yet
        self.housekeeper_lock = threading.RLock()
        # In this order: each part gets those that it uses. The socket server is last, because clients can connect
        # from then on.
        self._create_parts()
        self._async_methods = AsyncMethods(self._oneway_calls)
        self._dispatcher = Dispatcher(self, self._objects, self._streams, dispatch_options(), None,
                                      RepeatFilter(time.monotonic), self._async_methods)
        self._dispatcher.gate = server_gate(users)
        self._plain_calls: PlainCalls = PlainCalls(self, self._dispatcher, self._own_handle_request)
        self._read_settings()
        callbacks = DaemonCallbacks(
            handle_request=self._handle, answer_plainly=self._plain_answer(), build_refusal=self._dispatcher.build_refusal,
            connection_ended=self._connection_ended, ends_without_user_code=self._ends_without_user_code,
            must_pause=self._oneway_calls.pause, tick=self._tick, finish=self._finish,
            in_async_loop=self._async_methods.is_running_here)
        nat = None
        if connected_socket is not None:
            self.transportServer: SocketServer = serve_connected(callbacks, self, connected_socket)
        else:
            nat = nat_address(nathost, natport, unixsocket)
            self.transportServer = (self._listen(callbacks, host, port, unixsocket) if processes == 1 else
                                    supervise(callbacks, self, host, port, unixsocket, processes))
        self._set_location(nat, self.transportServer.unreachable_reason)
        self.transportServer.on_refusal = self._dispatcher.on_refusal
        # After the server listens: the constructor of the interface may ask for the daemon's location.
        self._register_own(interface(self))
        log.info("daemon ready on %s (NAT: %s), server type %s", self.locationStr, self.natLocationStr,
                 type(self.transportServer).__name__)
        self._serve_metrics(metrics, self.close)

    def _listen(self, callbacks: DaemonCallbacks, host: Host, port: int, unixsocket: Optional[str]) -> SocketServer:
        return listen(callbacks, self, host, port, unixsocket)

    # ------------------------------------------------------------ serving

    def requestLoop(self, loopCondition: LoopCondition = lambda: True) -> None:
        """Serve clients until shutdown() is called, loopCondition() returns False, or Ctrl-C is pressed.

        Ctrl-C (KeyboardInterrupt) makes it return normally, so the statements that follow it are executed.

        Args:
            loopCondition: called after each event, and at least every few seconds (setting POLLTIMEOUT).

        Raises:
            DaemonError: the loop is running in another thread.
        """
        self.transportServer.loop(loopCondition)

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Handle events of the daemon's sockets, for programs with their own event loop.

        The multiplex server runs the calls here; the thread server only accepts clients. Call this in one thread.

        Args:
            eventsockets: those of `sockets` that are readable.
        """
        self.transportServer.events(eventsockets)

    def attach(self, loop: Any) -> None:
        """Serve clients in an asyncio event loop, instead of requestLoop(), from the loop's next turn on. Returns at once.

        The multiplex server then runs the calls in the thread of the event loop, so a slow method delays the whole program;
        the thread server runs them in its threads. Call close() before the event loop ends.

        Args:
            loop: the event loop, such as ``asyncio.get_running_loop()``, or that of uvloop.

        Raises:
            DaemonError: the request loop is running already.
        """
        self.transportServer.attach(loop)

    def shutdown(self) -> None:
        """Make the request loop end and free all resources. Returns at once.

        Running calls get SHUTDOWN_TIMEOUT seconds to finish, and are answered. May be called from any thread, from a
        signal handler, and inside a remote call.
        """
        self.transportServer.shutdown()

    def close(self) -> None:
        """End the request loop if it runs, and close all sockets and threads. Can be called more than once.

        Objects stay registered, so their ids and URIs are still available, but they do not keep the daemon alive.
        """
        self._leases.close()  # first: clients should not find names whose server is gone
        self.transportServer.close()
        self._objects.close()

    def combine(self, daemon: Any) -> None:
        """Make this daemon's request loop serve another daemon too. Call it before the loop runs.

        Args:
            daemon: a Daemon, or any object that has ``sockets`` and ``events(sockets)``, such as the name server's
                broadcast server.
        """
        if isinstance(daemon, Daemon):
            self.transportServer.combine(daemon.transportServer)
        else:
            self.transportServer.combine_foreign(daemon)

    @property
    def sockets(self) -> List[Any]:
        """The sockets to watch in a program with its own event loop: call events() when some of them are readable. A new list,
        which changes as clients come and go.
        """
        return self.transportServer.sockets

    @property
    def selector(self) -> Any:
        """The selector of the request loop, which belongs to the thread of the loop."""
        return self.transportServer.selector

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        self.close()

    # ------------------------------------------------------------ methods for subclasses to override

    def annotations(self) -> Dict[str, Any]:
        """Return annotations (4-character id -> bytes) to send with every reply. Override it to add some.

        Called in the thread of each call. If it raises an exception, the client gets that in the place of the result.
        """
        return {}

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        """Accept a new client, or raise an exception to refuse it: the client gets a CommunicationError with its text.

        Override it to check clients. With the thread server, it is called in several threads at once.

        Args:
            conn: the client's SocketConnection.
            data: the ``_pyroHandshake`` of the client's proxy.

        Returns:
            a value that is sent to the client.
        """
        return "hello"

    def clientDisconnect(self, conn: Any) -> None:
        """Called when a client whose handshake was accepted has disconnected. Override it to be notified; conn is its
        connection, which is not closed yet. With the thread server, it is called in several threads at once. Exceptions are
        logged.
        """

    def housekeeping(self) -> None:
        """Called every few seconds (setting POLLTIMEOUT) in the thread of the request loop, which it delays. Override it for
        periodic work. Exceptions are logged.
        """

    def handleRequest(self, conn: Any) -> None:
        """Answer the next message of a client. Exceptions that the called method raises are sent as the reply.

        Raises:
            OSError, CommunicationError: the connection is lost.
        """
        # Compared after the call, because a method can fork.
        number = forks.number  # os.getpid() twice would add 0.6 us to each call
        reply = self._dispatcher.answer(conn, conn.take_message())
        if forks.number != number:
            # The method has forked and returned in both processes: the parent sends the reply, the child ends.
            raise SystemExit(0)
        if reply is not None:
            conn.send_message(reply)

    _own_handle_request = handleRequest  # of this library: plain calls are answered without it, unless a program overrides it

    # ------------------------------------------------------------ called by the socket server

    def _plain_answer(self) -> PlainAnswer:
        """Return the function that answers plain calls."""
        return self._plain_calls.answer

    def _handle(self, connection: ServerConnection) -> None:
        if global_version.number != self._settings_version:
            self._read_settings()
        self.handleRequest(connection)

    def _connection_ended(self, connection: ServerConnection) -> None:
        self._apply_settings()
        try:
            # A client that was refused was never announced by validateHandshake, so there is no end to announce.
            if connection.handshake_done:
                self.clientDisconnect(connection)
        except Exception:  # user code: an error must not prevent the cleanup below
            log.exception("clientDisconnect failed")
        finally:
            self._free(connection)

    def _ends_without_user_code(self, connection: ServerConnection) -> bool:
        # Then the thread that notices the end frees everything itself, without waiting for a worker.
        # Looked up each time, because programs also replace the method on the object.
        hook_is_overridden = getattr(self.clientDisconnect, "__func__", None) is not Daemon.clientDisconnect
        return not (hook_is_overridden and connection.handshake_done or connection.has_resources
                    or self._streams.has_streams_of(connection))

    def _tick(self) -> None:
        self._apply_settings()
        self._streams.expire()
        self._dispatcher.log_repeated_errors()
        self._dispatcher.stalls.begin()
        buffers.release_unused()
        offered_sockets.remove_closed()
        try:
            # The hook runs in the loop's thread, and outside of the library's locks but this one, which is the program's.
            if self.transportServer.housekeeping_is_due():
                with self.housekeeper_lock:
                    self.housekeeping()
        except Exception:  # user code: an error must not end the loop
            log.exception("housekeeping failed")

    def _finish(self, timeout_seconds: float) -> None:
        self._leases.close()
        offered_sockets.close_all(self.transportServer)
        # In this order: oneway calls may still read streams.
        self._oneway_calls.stop(timeout_seconds)
        self._dispatcher.running.watcher.stop()
        self._dispatcher.stalls.stop()
        self._streams.clear()
        self._async_methods.stop(timeout_seconds)
        self._dispatcher.log_repeated_errors(at_end=True)
        self._end_metrics()
        self._objects.close()

    # ------------------------------------------------------------ older names

    @staticmethod
    def serveSimple(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0,
                    daemon: Optional[Daemon] = None, ns: bool = True, verbose: bool = True) -> None:
        """Older name of :func:`serve`."""
        serve(objects, host, port, daemon, ns, verbose)


def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
          use_ns: bool = True, verbose: bool = True, *, ns: Optional[bool] = None, processes: int = 1) -> None:
    """Register objects and classes, and serve them until the request loop ends. Then remove their names from the name server.

    Args:
        objects: object or class -> name; None: a generated id, and no name in the name server.
        host, port: the address for a new daemon (ignored if `daemon` is given).
        daemon: use this daemon; it is closed at the end, like a new one.
        use_ns: register the names in the name server; if False, the names are the object ids in the daemon.
        verbose: print what is registered, and a line at the end.
        ns: older name of use_ns.
        processes: of the new daemon (ignored if `daemon` is given).

    Raises:
        NamingError: no name server was found.
    """
    use_ns = use_ns if ns is None else ns
    with contextlib.ExitStack() as cleanup:
        serving = cleanup.enter_context(daemon or Daemon(host, port, processes=processes))
        if use_ns:
            with client.locate_ns() as nameserver:
                _publish(serving, objects, nameserver, verbose)
        else:
            _publish(serving, objects, None, verbose)
        if verbose:
            print("Pyro daemon running.", flush=True)
        serving.requestLoop()
    if verbose:
        print("Pyro daemon stopped.", flush=True)


def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool) -> None:
    """Register objects, and their names in the name server, from which the daemon removes them when it is closed."""
    for obj, name in objects.items():
        uri = daemon.register(obj, name if nameserver is None else None)
        if nameserver is not None and name is not None:
            daemon.register_with(nameserver, name, obj, safe=False)  # also if a server that was killed still has the name
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


# ---------------------------------------------------------------- serialization

def _replace_by_proxy(obj: Any) -> Any:
    """Return a proxy for a registered object, None for any other object."""
    # Runs for each object in a reply that is no plain data, so the cheapest check comes first.
    daemon = marks.daemon_of(obj)
    if daemon is None:
        table = table_of_unmarked(obj) if unmarked else None
        return None if table is None else table.owner.proxyFor(obj)
    if not isinstance(daemon, Registrations) or isinstance(obj, type) or "transportServer" not in daemon.__dict__:
        return None  # the last: the empty Daemon of a pickled or copied object
    object_id = daemon._id_of(obj)
    return None if object_id is None else daemon.proxyFor(object_id)


def _is_any_replaced(objects: Sequence[Any]) -> bool:
    """Return whether one of several objects of one class is registered. Takes a fifth of the time of asking for each."""
    clazz: Any = type(objects[0])
    if unmarked or clazz.__getattribute__ is not object.__getattribute__ or hasattr(clazz, "__getattr__"):
        return any([_replace_by_proxy(each) is not None for each in objects])
    return any([getattr(each, "_pyroDaemon", None) is not None for each in objects])


def _daemon_from_state(state: Any, convert: classes.Convert) -> Daemon:
    """Return an empty Daemon: a deserialized one has no state."""
    return Daemon.__new__(Daemon)


classes.register_own_class(Daemon, WIRE_TAG, lambda daemon: (), _daemon_from_state)
classes.set_autoproxy(_replace_by_proxy, _is_any_replaced)


# Modules that programs use as attributes of this one; imported on first use.
_MODULES = {"warnings": "warnings", **{name: "." + name for name in (
    "callcontext", "constants", "core", "errors", "protocol", "serializers", "socketutil")}}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name], __package__)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
