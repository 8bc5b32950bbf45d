"""The Daemon: publishes objects, and answers the clients that call them."""
from __future__ import annotations

import inspect
import logging
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Type, Union

from . import callcontext, client, config, errors, serializers
from ._net.addresses import IPAddress, address_text, server_host
from ._server.callbacks import Hooks
from ._server.connection import ServerConnection
from ._server.descriptions import describe
from ._server.dispatch import Dispatcher, DispatchOptions
from ._server.exposure import behavior, callback, expose, oneway
from ._server.loop import SocketServer
from ._server.objects import ObjectTable
from ._server.oneway import OnewayCalls
from ._server.streams import StreamTable
from ._values import classes
from ._wire import buffers
from ._wire.calls import WireOptions
from ._wire.uri import URI
from .constants import DAEMON_NAME
from .svr_existingconn import serve_connected
from .svr_multiplex import SocketServer_Multiplex
from .svr_threads import SocketServer_Threadpool

__all__ = ["Daemon", "DaemonObject", "behavior", "callback", "expose", "oneway", "serve"]

log = logging.getLogger("Pyro5.server")

WIRE_TAG = "Pyro5.server.Daemon"
SERVER_TYPES: Mapping[str, Type[SocketServer]] = {"thread": SocketServer_Threadpool, "multiplex": SocketServer_Multiplex}

Host = Union[str, IPAddress, None]
LoopCondition = Callable[[], bool]


@expose
class DaemonObject:
    """What a daemon itself offers to clients, as the object ``Pyro.Daemon``."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def registered(self) -> List[str]:
        """Give the ids of all objects that are registered in this daemon."""
        return self.daemon._objects.ids()

    def ping(self) -> None:
        """Do nothing: that the call returns tells that the daemon is there."""

    def info(self) -> str:
        """Describe the daemon in a line of text."""
        return "%s bound on %s, NAT %s, %d objects registered. Servertype: %r" % (
            DAEMON_NAME, self.daemon.locationStr, self.daemon.natLocationStr, len(self.daemon._objects.ids()),
            self.daemon.transportServer)

    def get_metadata(self, objectId: str, *, descriptions: bool = False) -> Dict[str, Any]:
        """Give the exposed methods, the oneway methods among them, and the exposed attributes of an object.

        Args:
            descriptions: give their signatures and docstrings too, under the key of this name; older releases have none.

        Raises:
            DaemonError: no object is registered with this id.
        """
        published = self.daemon._objects.get(objectId)
        more = {"descriptions": describe(published.target, published.members)} if descriptions else {}
        return {**published.members.metadata(), **more}

    def get_next_stream_item(self, streamId: str, most: Optional[int] = None) -> Any:
        """Give the next item of an item stream.

        Args:
            most: give up to so many items instead, together: ``[items, whether these are the last]``.  There are fewer when
                they are large, or take long to be made; an exception that comes after some is kept for the next call.
                (Daemons of other releases do not take this; a method of another name would change their metadata.)

        Raises:
            StopIteration: there are no more items.
            PyroError: there is no such stream (any more).
        """
        context = callcontext.current_context
        if most is None:
            return self.daemon._streams.next_item(streamId, context.client)
        if not isinstance(most, int) or most < 1:
            raise ValueError("the number of items must be 1 or more, not %.50r" % (most,))
        serializer = serializers.get_serializer_by_id(context.serializer_id)
        return self.daemon._streams.next_items(streamId, context.client, most, lambda item: len(serializer.dumps(item)))

    def close_stream(self, streamId: str) -> None:
        """Free an item stream; an unknown one is left alone."""
        self.daemon._streams.close(streamId)


def _ignore_error(daemon: Daemon, client_sock: Any, method: Callable[..., Any], vargs: Any, kwargs: Mapping[str, Any],
                  exception: Exception) -> None:
    """The methodcall_error_handler that a daemon starts with; what was raised is logged anyway."""


class Daemon:
    """Publishes objects on the network and answers the calls that clients make to them.

    Settings are read when the daemon is made.  register(), unregister(), uriFor() and shutdown() may be called from any
    thread.  Use it in a ``with`` statement, or close() it.

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
        ValueError: a setting or argument makes no sense.
    """

    def __init__(self, host: Host = None, port: int = 0, unixsocket: Optional[str] = None, nathost: Host = None,
                 natport: Optional[int] = None, interface: Type[Any] = DaemonObject, connected_socket: Any = None) -> None:
        self.methodcall_error_handler: Callable[..., None] = _ignore_error
        self._objects = ObjectTable(self)
        self._streams = StreamTable(config.ITER_STREAM_LIFETIME or 0, config.ITER_STREAM_LINGER or 0, time.monotonic,
                                    config.MAX_STREAMS or 0)
        self._oneway_calls = OnewayCalls(config.MAX_ONEWAY or 0, config.MAX_BUFFERED_SIZE or 0)
        options = DispatchOptions(WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION)),
                                  list(config.SERIALIZERS_ACCEPTED), config.ITER_STREAMING, config.DETAILED_TRACEBACK,
                                  config.LOGWIRE)
        self._dispatcher = Dispatcher(self, self._objects, self._streams, options,
                                      self._oneway_calls.start if config.ONEWAY_THREADED else None)
        hooks = Hooks(self._handle, self._dispatcher.refusal, self._connection_ended, self._ends_at_once,
                      self._oneway_calls.pause, self._tick, self._stopped)
        self.natLocationStr: Optional[str] = None
        if connected_socket is not None:
            self.transportServer: SocketServer = serve_connected(hooks, self, connected_socket)
        else:
            nat = _nat_address(nathost, natport, unixsocket)
            self.transportServer = _listen(hooks, self, host, port, unixsocket)
            if nat is not None:
                self.natLocationStr = address_text((nat[0], nat[1] or self.sock.getsockname()[1]))
        if self.transportServer.out_of_reach and not self.natLocationStr:
            self._warn_out_of_reach(self.transportServer.out_of_reach)
        self._objects.add(interface(self), DAEMON_NAME)
        log.info("daemon ready on %s (NAT: %s), server type %s", self.locationStr, self.natLocationStr,
                 type(self.transportServer).__name__)

    # ------------------------------------------------------------ objects

    def register(self, obj_or_class: Any, objectId: Optional[str] = None, force: bool = False,
                 weak: bool = False) -> URI:
        """Publish an object, or a class whose instances are made as its @behavior says, and give its URI.

        Args:
            objectId: the id that clients use, None: a generated one.
            force: replace what is registered with this id, and register an object that is registered already.
            weak: do not keep the object alive; it is unregistered when it is garbage-collected.

        Raises:
            DaemonError: the object, or the id, is registered already.
            TypeError: the object's type takes no attributes (_pyroId, _pyroDaemon), or a class was to be weak.
            PyroError, UnicodeEncodeError: the id cannot be part of a URI.
        """
        if weak and inspect.isclass(obj_or_class):
            raise TypeError("only objects can be registered weakly, not classes")
        if isinstance(objectId, str):
            objectId.encode("utf-8")  # it has to be one that clients can send ...
            self.uriFor(objectId)  # ... and that fits into a URI
        object_id = self._objects.add(obj_or_class, objectId, force, weak)
        return self.uriFor(object_id)

    def unregister(self, objectOrId: Any) -> None:
        """Take an object or class back, given itself or by its id.  Calls that are running go on."""
        if isinstance(objectOrId, str) and objectOrId == DAEMON_NAME:
            return
        self._objects.remove(objectOrId)

    def uriFor(self, objectOrId: Any, nat: bool = True) -> URI:
        """Give the URI of an object or class that is registered here, or of any object id (it is not checked).

        Args:
            nat: use the address for the outside if there is one.

        Raises:
            DaemonError: the object is not registered here.
        """
        object_id = objectOrId if isinstance(objectOrId, str) else getattr(objectOrId, "_pyroId", None)
        if object_id is None or not isinstance(objectOrId, str) and object_id not in self._objects:
            raise errors.DaemonError("%r is not registered in this daemon, so it has no URI" % (objectOrId,))
        location = self.natLocationStr if nat and self.natLocationStr else self.locationStr
        return URI("PYRO:%s@%s" % (object_id, location))

    def proxyFor(self, objectOrId: Any, nat: bool = True) -> client.Proxy:
        """Give a proxy for an object that is registered here, with its metadata, not connected yet.

        Raises:
            DaemonError: it is not registered here.
        """
        uri = self.uriFor(objectOrId, nat)
        members = self._objects.get(str(uri.object)).members
        proxy = client.Proxy(uri)
        proxy._pyroMethods = set(members.methods)
        proxy._pyroOneway = set(members.oneway)
        proxy._pyroAttrs = set(members.attrs)
        return proxy

    def resetMetadataCache(self, objectOrId: Any, nat: bool = True) -> None:
        """Look anew at what an object's class exposes, after members were added or removed; proxies made from now on see
        it.

        Raises:
            DaemonError: it is not registered here.
        """
        self._objects.refresh_members(str(self.uriFor(objectOrId, nat).object))

    # ------------------------------------------------------------ serving

    def requestLoop(self, loopCondition: LoopCondition = lambda: True) -> None:
        """Serve clients until shutdown() is called, or loopCondition() gives False (it is asked every few seconds at
        least, and after each event)."""
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
        """End the request loop if it runs, free all sockets and threads, unregister all objects.  May be called again."""
        self.transportServer.close()
        self._objects.clear()

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
        """Override it to be told of each client that is gone; conn is its SocketConnection, not closed yet."""

    def housekeeping(self) -> None:
        """Override it to do something every few seconds in the thread of the request loop."""

    def handleRequest(self, conn: Any) -> None:
        """Answer the next message of a client.  Whatever the called method raises is sent as the reply.

        Raises:
            OSError, CommunicationError: the connection is lost.
        """
        reply = self._dispatcher.answer(conn, conn.take_message())
        if reply is not None:
            conn.send_message(reply)

    # ------------------------------------------------------------ called by the loop

    def _handle(self, connection: ServerConnection) -> None:
        self.handleRequest(connection)

    def _connection_ended(self, connection: ServerConnection) -> None:
        try:
            self.clientDisconnect(connection)
        except Exception:  # the user's hook: its failure must not keep the rest from being freed
            log.exception("clientDisconnect failed")
        finally:
            self._streams.client_gone(connection)
            connection.close()

    def _ends_at_once(self, connection: ServerConnection) -> bool:
        is_heard_of = getattr(self.clientDisconnect, "__func__", None) is not Daemon.clientDisconnect
        return not (is_heard_of or connection.owns_something or self._streams.any_of(connection))

    def _tick(self) -> None:
        self._streams.expire()
        buffers.give_back()
        try:
            self.housekeeping()
        except Exception:  # the user's hook: its failure must not end the loop
            log.exception("housekeeping failed")

    def _warn_out_of_reach(self, reason: str) -> None:
        log.warning("listening on %s: %s", self.locationStr, reason)

    def _stopped(self, timeout_seconds: float) -> None:
        self._oneway_calls.stop(timeout_seconds)
        self._streams.clear()

    # ------------------------------------------------------------ old ways

    @staticmethod
    def serveSimple(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0,
                    daemon: Optional[Daemon] = None, ns: bool = True, verbose: bool = True) -> None:
        """Older name of :func:`serve`."""
        serve(objects, host, port, daemon, ns, verbose)


def _listen(hooks: Hooks, daemon: Daemon, host: Host, port: int, unixsocket: Optional[str]) -> SocketServer:
    server_class = SERVER_TYPES.get(config.SERVERTYPE)
    if server_class is None:
        raise ValueError("invalid server type '%s': the setting SERVERTYPE is one of: %s"
                         % (config.SERVERTYPE, ", ".join(SERVER_TYPES)))
    server = server_class(hooks)
    try:
        server.init(daemon, str(server_host() if host is None else host), port, unixsocket)
    except BaseException:
        server.discard()
        raise
    return server


def _nat_address(nathost: Host, natport: Optional[int], unixsocket: Optional[str]) -> Any:
    """Give (host, port) that the published addresses say instead, None without NAT; port 0: the internal one."""
    if unixsocket:
        if nathost or natport:
            raise ValueError("nathost and natport make no sense with a Unix domain socket")
        return None
    nathost = nathost or config.NATHOST
    natport = config.NATPORT or 0 if natport is None else natport
    if not nathost:
        if natport:
            raise ValueError("natport %d was given without nathost" % natport)
        return None
    return str(nathost), natport


def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
          use_ns: bool = True, verbose: bool = True, *, ns: Optional[bool] = None) -> None:
    """Publish objects and classes, and serve them until the request loop ends.

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
    with daemon or Daemon(host, port) as serving:
        if use_ns:
            with client.locate_ns() as nameserver:
                _publish(serving, objects, nameserver, verbose)
        else:
            _publish(serving, objects, None, verbose)
        if verbose:
            print("Pyro daemon running.", flush=True)
        serving.requestLoop()


def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool) -> None:
    for obj, name in objects.items():
        if nameserver is None:
            uri = daemon.register(obj, name)
        else:
            uri = daemon.register(obj)
            if name is not None:
                nameserver.register(name, uri)
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


# ---------------------------------------------------------------- over the wire

def _replace_by_proxy(obj: Any) -> Any:
    """An object that is registered in a daemon travels as a proxy for it; None for any other object."""
    daemon = getattr(obj, "_pyroDaemon", None)
    if not isinstance(daemon, Daemon) or inspect.isclass(obj):
        return None
    object_id: str = getattr(obj, "_pyroId", "")
    return daemon.proxyFor(object_id) if object_id in daemon._objects else None


def _daemon_from_state(state: Any) -> Daemon:
    """A daemon that came over the wire is a mere token of its class."""
    return Daemon.__new__(Daemon)


classes.register_own_class(Daemon, WIRE_TAG, lambda daemon: (), _daemon_from_state)
classes.set_autoproxy(_replace_by_proxy)
