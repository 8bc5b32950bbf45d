"""The Daemon: publishes objects, and answers the clients that call them."""
from __future__ import annotations

import contextlib
import copyreg
import importlib
import logging
import os
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Type

from . import client, config, errors
from ._net.addresses import address_text
from ._server import marks
from ._server.callbacks import Hooks
from ._server.connection import ServerConnection
from ._server.daemon_object import DaemonObject
from ._server.dispatch import Dispatcher
from ._server.error_log import RepeatFilter
from ._server.exposure import _get_exposed_members as _get_exposed_members
from ._server.exposure import behavior, callback, expose, oneway
from ._server.exposure import is_private_attribute as is_private_attribute
from ._server.instances import close_session_instances
from ._server.loop import SocketServer
from ._server.objects import ObjectTable, table_of_unmarked, unmarked
from ._server.oneway import OnewayCalls
from ._server.registrations import Registrations, own_get_instance
from ._server.settings import dispatch_options, oneway_limits, stream_limits
from ._server.streams import StreamTable
from ._server.transports import Host, listen, nat_address
from ._values import classes
from ._values.uri import URI
from ._wire import buffers
from .callcontext import current_context as current_context
from .configure import global_version
from .svr_existingconn import serve_connected

__all__ = ["Daemon", "DaemonObject", "behavior", "callback", "expose", "oneway", "serve"]

log = logging.getLogger("Pyro5.server")

WIRE_TAG = "Pyro5.server.Daemon"
LoopCondition = Callable[[], bool]
REMOVE_SECONDS = 3.0  # that one call may take which removes a name at the end of serve(): the name server may be gone too


def _ignore_error(daemon: Daemon, client_sock: Any, method: Callable[..., Any], vargs: Any, kwargs: Mapping[str, Any],
                  exception: Exception) -> None:
    """The methodcall_error_handler that a daemon starts with; what was raised is logged anyway."""


class Daemon(Registrations):
    """Publishes objects on the network and answers the calls that clients make to them.

    Settings that say where and how to listen are read when the daemon is made, all others whenever they were changed.
    register(), unregister(), uriFor() and shutdown() may be called from any thread.  Use it in a ``with`` statement, or
    close() it.

    Args:
        host: name or address to listen on, None: the setting HOST.
        port: TCP port, 0: any free one.
        unixsocket: path of a Unix domain socket to listen on instead.
        nathost, natport: what the published addresses say instead (behind a NAT router); natport 0: the internal port.
        interface: the class of the daemon's own remote object.
        connected_socket: serve only the other end of this connected socket; all other arguments are ignored.

    Attributes:
        methodcall_error_handler: called as handler(daemon, client_sock, method, vargs, kwargs, exception) for each
            exception that a method raises.
        natLocationStr: the published ``host:port``, None without NAT.
        transportServer: the socket server that does the work.

    Raises:
        OSError: the address cannot be used; the text names it.
        PyroError: there is no server type of the name in the setting SERVERTYPE.
        ValueError: a setting or argument makes no sense.
    """

    def __init__(self, host: Host = None, port: int = 0, unixsocket: Optional[str] = None, nathost: Host = None,
                 natport: Optional[int] = None, interface: Type[Any] = DaemonObject, connected_socket: Any = None) -> None:
        self.methodcall_error_handler: Callable[..., None] = _ignore_error
        self.housekeeper_lock = threading.RLock()  # held while housekeeping() runs, for programs that share something with it
        self._objects = ObjectTable(self, own_get_instance)
        lifetime, linger, most_streams = stream_limits()
        self._streams = StreamTable(lifetime, linger, time.monotonic, most_streams)
        self._oneway_calls = OnewayCalls(*oneway_limits())
        self._dispatcher = Dispatcher(self, self._objects, self._streams, dispatch_options(), None,
                                      RepeatFilter(time.monotonic))
        self._read_settings()
        hooks = Hooks(self._handle, self._dispatcher.refusal, self._connection_ended, self._ends_at_once,
                      self._oneway_calls.pause, self._tick, self._stopped)
        self.natLocationStr: Optional[str] = None
        if connected_socket is not None:
            self.transportServer: SocketServer = serve_connected(hooks, self, connected_socket)
        else:
            nat = nat_address(nathost, natport, unixsocket)
            self.transportServer = listen(hooks, self, host, port, unixsocket)
            if nat is not None:
                self.natLocationStr = address_text((nat[0], nat[1] or self.sock.getsockname()[1]))
        if self.transportServer.out_of_reach and not self.natLocationStr:
            self._warn_out_of_reach(self.transportServer.out_of_reach)
        self._register_own(interface(self))
        log.info("daemon ready on %s (NAT: %s), server type %s", self.locationStr, self.natLocationStr,
                 type(self.transportServer).__name__)

    # ------------------------------------------------------------ serving

    def requestLoop(self, loopCondition: LoopCondition = lambda: True) -> None:
        """Serve clients until shutdown() is called, loopCondition() returns False (it is called every few seconds at
        least, and after each event), or Ctrl-C is pressed: then it returns normally, so that what follows it is run."""
        self.transportServer.loop(loopCondition)

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Handle what happened on some of the daemon's sockets; for programs with their own event loop."""
        self.transportServer.events(eventsockets)

    def shutdown(self) -> None:
        """Make the request loop end and free everything.  Calls that are running may end, within the setting
        SHUTDOWN_TIMEOUT, and are answered.  May be called from any thread, from a signal handler, and from inside a remote
        call; does not wait."""
        self.transportServer.shutdown()

    def close(self) -> None:
        """End the request loop if it runs, free all sockets and threads.  May be called again.

        Objects stay registered, so their ids and URIs can still be asked, but they do not keep the daemon alive.
        """
        self.transportServer.close()
        self._objects.close()

    def combine(self, daemon: Any) -> None:
        """Let this daemon's request loop serve another daemon too (or anything that has ``sockets`` and
        ``events(sockets)``, such as the name server's broadcast server).  Call it before the loop runs."""
        if isinstance(daemon, Daemon):
            self.transportServer.combine(daemon.transportServer)
        else:
            self.transportServer.combine_foreign(daemon)

    @property
    def locationStr(self) -> str:
        """Where this daemon listens: ``host:port`` or ``./u:path``."""
        return self.transportServer.locationStr

    @property
    def sock(self) -> Any:
        """The listening socket."""
        return self.transportServer.sock

    @property
    def sockets(self) -> List[Any]:
        """The sockets to watch in a program with its own event loop: for each that is readable call events()."""
        return self.transportServer.sockets

    @property
    def selector(self) -> Any:
        """The selector that the request loop waits with."""
        return self.transportServer.selector

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        self.close()

    def __repr__(self) -> str:
        what = "%s.%s at %#x" % (type(self).__module__, type(self).__name__, id(self))
        if not hasattr(self, "transportServer"):
            return "<%s; not here>" % what  # one that came over the wire, see _daemon_from_state
        return "<%s; %s; %d objects>" % (what, self.locationStr, len(self._objects.ids()))

    def __reduce__(self) -> Tuple[Any, ...]:
        """Return what makes an empty stand-in, as what arrives over the network: registered objects, which refer to their
        daemon, can be pickled and copied deeply, daemons cannot."""
        return copyreg.__newobj__, (type(self),)  # type: ignore[attr-defined]

    # ------------------------------------------------------------ to be overridden

    def annotations(self) -> Dict[str, Any]:
        """Override it to give annotations (id of 4 characters: bytes) that go out with every reply."""
        return {}

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        """Override it to look at new clients: raise an exception to refuse one, or give what it shall receive.

        Args:
            conn: the client's SocketConnection.
            data: the ``_pyroHandshake`` of its proxy.
        """
        return "hello"

    def clientDisconnect(self, conn: Any) -> None:
        """Override it to be told of each client that was let in and is gone; conn is its connection, not closed yet."""

    def housekeeping(self) -> None:
        """Override it to do something every few seconds in the thread of the request loop."""

    def handleRequest(self, conn: Any) -> None:
        """Answer the next message of a client.  Whatever the called method raises is sent as the reply.

        Raises:
            OSError, CommunicationError: the connection is lost.
        """
        process = os.getpid()
        reply = self._dispatcher.answer(conn, conn.take_message())
        if os.getpid() != process:
            raise SystemExit(0)  # the method has forked and returned in both processes: the parent answers, the child ends
        if reply is not None:
            conn.send_message(reply)

    # ------------------------------------------------------------ called by the loop

    def _read_settings(self) -> None:
        """Use the settings as they are now, when ``global_version`` has another number.  Several threads may do it at once."""
        version = global_version.number  # first: a change that comes in between is found by the next comparison
        self._dispatcher.set_options(dispatch_options(), self._oneway_calls.start if config.ONEWAY_THREADED else None)
        self._streams.set_limits(*stream_limits())
        self._oneway_calls.set_limits(*oneway_limits())
        self._settings_version = version  # last: until then, other threads read the settings themselves

    def _handle(self, connection: ServerConnection) -> None:
        if global_version.number != self._settings_version:
            self._read_settings()
        self.handleRequest(connection)

    def _connection_ended(self, connection: ServerConnection) -> None:
        if global_version.number != self._settings_version:
            self._read_settings()
        try:
            if connection.greeted:
                self.clientDisconnect(connection)
        except Exception:  # the user's hook: its failure must not keep the rest from being freed
            log.exception("clientDisconnect failed")
        finally:
            self._streams.client_gone(connection)
            close_session_instances(connection)
            connection.close()

    def _ends_at_once(self, connection: ServerConnection) -> bool:
        is_heard_of = getattr(self.clientDisconnect, "__func__", None) is not Daemon.clientDisconnect
        return not (is_heard_of and connection.greeted or connection.owns_something or self._streams.any_of(connection))

    def _tick(self) -> None:
        if global_version.number != self._settings_version:
            self._read_settings()
        self._streams.expire()
        self._dispatcher.log_repetitions()
        buffers.release_unused()
        try:
            if self.transportServer.housekeeping_is_due():
                with self.housekeeper_lock:
                    self.housekeeping()
        except Exception:  # the user's hook: its failure must not end the loop
            log.exception("housekeeping failed")

    def _warn_out_of_reach(self, reason: str) -> None:
        log.warning("listening on %s: %s", self.locationStr, reason)

    def _stopped(self, timeout_seconds: float) -> None:
        self._oneway_calls.stop(timeout_seconds)
        self._streams.clear()
        self._dispatcher.log_repetitions(at_end=True)
        self._objects.close()

    # ------------------------------------------------------------ old ways

    @staticmethod
    def serveSimple(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0,
                    daemon: Optional[Daemon] = None, ns: bool = True, verbose: bool = True) -> None:
        """Older name of :func:`serve`."""
        serve(objects, host, port, daemon, ns, verbose)


def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
          use_ns: bool = True, verbose: bool = True, *, ns: Optional[bool] = None) -> None:
    """Publish objects and classes, and serve them until the request loop ends; then remove their names from the name server.

    Args:
        objects: what to publish, and the name of each; None: a generated id, and no name in the name server.
        host, port: where a new daemon listens (not with `daemon`).
        daemon: use this one; it is closed at the end, as a new one is.
        use_ns: register the names in the name server; without it the names are the object ids in the daemon.
        verbose: print what is published.
        ns: the same as use_ns, as older programs write it.

    Raises:
        NamingError: there is no name server.
    """
    use_ns = use_ns if ns is None else ns
    with contextlib.ExitStack() as at_end:
        serving = at_end.enter_context(daemon or Daemon(host, port))
        if use_ns:
            with client.locate_ns() as nameserver:
                names: Dict[str, URI] = {}
                at_end.callback(_remove_names, names, nameserver._pyroUri)
                _publish(serving, objects, nameserver, verbose, names)
        else:
            _publish(serving, objects, None, verbose, {})
        if verbose:
            print("Pyro daemon running.", flush=True)
        serving.requestLoop()


def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool,
             names: Dict[str, URI]) -> None:
    """Register objects; `names` gets those that were registered in the name server."""
    for obj, name in objects.items():
        if nameserver is None:
            uri = daemon.register(obj, name)
        else:
            uri = daemon.register(obj)
            if name is not None:
                names[name] = uri
                nameserver.register(name, uri)
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


def _remove_names(names: Mapping[str, URI], nameserver_uri: URI) -> None:
    """Remove names from the name server, except those that lead elsewhere by now."""
    if not names:
        return
    try:
        with client.Proxy(nameserver_uri) as nameserver:
            nameserver._pyroTimeout = REMOVE_SECONDS
            for name in [name for name, uri in names.items() if _leads_to(nameserver, name, uri)]:
                nameserver.remove(name)
    except errors.PyroError as x:
        log.warning("the names of the objects that were served may still be in the name server: %s", x)


def _leads_to(nameserver: Any, name: str, uri: URI) -> bool:
    try:
        return bool(URI(nameserver.lookup(name)) == uri)
    except errors.NamingError:  # it was removed by others
        return False


# ---------------------------------------------------------------- over the wire

def _replace_by_proxy(obj: Any) -> Any:
    """Return a proxy for an object that is registered in a daemon, None for any other one."""
    daemon = marks.daemon_of(obj)
    if daemon is None:
        table = table_of_unmarked(obj) if unmarked else None
        return None if table is None else table.owner.proxyFor(obj)
    if not isinstance(daemon, Daemon) or isinstance(obj, type) or "transportServer" not in daemon.__dict__:
        return None  # the last: what a pickled or copied object refers to
    object_id = daemon._id_of(obj)
    return None if object_id is None else daemon.proxyFor(object_id)


def _daemon_from_state(state: Any, convert: classes.Convert) -> Daemon:
    """A daemon that came over the wire is a mere token of its class."""
    return Daemon.__new__(Daemon)


classes.register_own_class(Daemon, WIRE_TAG, lambda daemon: (), _daemon_from_state)
classes.set_autoproxy(_replace_by_proxy)


# Modules that programs reach through this one.
_MODULES = {"warnings": "warnings", **{name: "." + name for name in (
    "callcontext", "constants", "core", "errors", "protocol", "serializers", "socketutil")}}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name], __package__)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))
