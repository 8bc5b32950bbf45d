"""The Daemon for asyncio programs, and serve(), which publishes objects in one call."""
from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from typing import Any, Callable, Dict, Generator, Mapping, Optional, Type, cast

from .. import config
from .._aio.name_server import keep_registered, registered_in_thread, sync_proxy
from .._aio.naming import locate_ns
from .._aio.proxy import Proxy
from .._auth import server_gate
from .._calls.error_log import RepeatFilter
from .._client.lease_keeper import Lease
from .._daemon.daemon_object import DaemonObject
from .._daemon.registrations import Registrations
from .._daemon.transports import Host, dispatch_options, nat_address
from .._net.addresses import server_host
from .._net.offered_sockets import offered_sockets
from .._server.connection import ServerConnection
from .._server.eventloop import TICK_SECONDS, USUAL_POLL_SECONDS
from .._server.listener import Listener
from .._server.workers import WorkerPool
from .._wire import buffers
from ..constants import DEFAULT_TTL
from ..server import WIRE_TAG
from .calls import CallsInLoop, run_in_pool
from .clients import DaemonHooks
from .connection import ConnectedSocket
from .dispatch import LoopDispatcher
from .ending import Ending, EndOnSignals, WaitForEnd
from .server import AsyncServer

log = logging.getLogger("Pyro5.server")


class Daemon(Registrations):
    """Publishes objects on the network and answers the calls of clients, in the running event loop.

    Async methods run as tasks of the loop, other methods in a pool of threads, and those marked with
    ``@expose(blocking=False)`` in the loop itself. Use a daemon in an ``async with`` statement, which also makes it accept
    clients; or await `serve_forever`. register(), unregister(), uriFor() and shutdown() may be called from any thread, all
    other methods only in the event loop.

    Args:
        host: name or address to listen on, None: the setting HOST.
        port: TCP port, 0: any free one.
        unixsocket: path of a Unix domain socket to listen on instead.
        nathost, natport: the address to publish instead of the one listened on (behind a NAT router); natport 0: the
            same port.
        interface: the class of the daemon's own remote object.
        connected_socket: serve only the peer of this connected socket, without a handshake; the address is ignored.
        users: path of the file with the users that may connect (see ``pyro5 user``); empty: the setting AUTH_USERS_FILE.
        metrics: ``host:port`` of an HTTP server for monitoring systems, as for Pyro5.api.Daemon.

    Attributes:
        methodcall_error_handler: called as handler(daemon, client_sock, method, vargs, kwargs, exception) for each
            exception that a method raises, where the method runs.
        natLocationStr: the published ``host:port``, None without NAT.
        transportServer: the server.

    Raises:
        OSError: cannot listen on that address; the text names it.
        SecurityError: the key file or the users file cannot be used.
        ValueError: a setting or an argument is invalid.
    """

    _async_interceptors = True

    def __init__(self, host: Host = None, port: int = 0, unixsocket: Optional[str] = None, nathost: Host = None,
                 natport: Optional[int] = None, interface: Type[Any] = DaemonObject, connected_socket: Any = None, *,
                 users: str = "", metrics: str = "") -> None:
        # First, because wrong arguments raise an exception: nothing has been opened yet that would have to be closed.
        nat = None if connected_socket is not None else nat_address(nathost, natport, unixsocket)
        self._create_parts()
        # Threads for blocking methods only. The pool is shared with the hooks of the program, which may block as well.
        pool = _new_pool(lambda threads: len(self.transportServer.all_connections()) > threads)
        self._async_methods: CallsInLoop = CallsInLoop(self._oneway_calls, pool, self._request_ended)
        self._dispatcher: LoopDispatcher = LoopDispatcher(self, self._objects, self._streams, dispatch_options(), None,
                                                          RepeatFilter(time.monotonic), cast(Any, self._async_methods))
        # Read before the daemon listens: without a usable users file there must not be a moment in which all clients get in.
        self._dispatcher.gate = server_gate(users)
        self._read_settings()
        self._housekeeping_task: Any = None  # a daemon that is not awaited has no loop, and no tasks
        # The socket is opened here and not in _start(): URIs contain its port, and a program may register objects
        # before it awaits.
        listener = (Listener(str(server_host() if host is None else host), port, unixsocket) if connected_socket is None
                    else ConnectedSocket(connected_socket))
        self.transportServer: AsyncServer = AsyncServer(listener, self._hooks(), pool)
        self.transportServer.on_end = self.shutdown
        self.transportServer.on_refusal = self._dispatcher.on_refusal
        self._set_location(nat, listener.unreachable_reason)
        self._ending = Ending(self.transportServer, self._async_methods, self._oneway_calls, self._streams,
                              self._stop_threads, self._finish)
        # Last: the constructor of the program's interface may use the daemon.
        self._register_own(interface(self))
        log.info("daemon ready on %s (NAT: %s), in an event loop", self.locationStr, self.natLocationStr)
        self._serve_metrics(metrics, self.transportServer.stop_accepting)

    def _hooks(self) -> DaemonHooks:
        return DaemonHooks(
            dispatcher=self._dispatcher, calls=self._async_methods,
            async_validator=functools.partial(_if_async, self, "validateHandshake"),
            has_own_validator=functools.partial(_is_overridden, self, "validateHandshake"),
            async_annotations=functools.partial(_if_async, self, "annotations"),
            must_pause=self._oneway_calls.pause, apply_settings=self._apply_settings, after_job=self._request_ended,
            ends_without_user_code=self._ends_without_user_code, free=self._free,
            connection_ended=self._connection_ended)

    async def register_with(self, nameserver: Any, name: str, obj_or_class: Any,  # type: ignore[override]
                            ttl: float = DEFAULT_TTL, **options: Any) -> Lease:
        """Register an object or class in a name server, as `Pyro5.api.Daemon.register_with` does.

        Args:
            nameserver: a proxy for the name server, of either kind, or a `NameServer` of this process.
            options: safe, metadata and member, as for that method.
        """
        # The keeper renews in a thread of its own, with blocking calls, so it needs a proxy of the other kind.
        if isinstance(nameserver, Proxy):
            nameserver = sync_proxy(nameserver)
        # Remembered, because an object that was registered before the call stays registered if the name server cannot
        # be reached.
        is_registered = self._id_of(obj_or_class) is not None
        uri = self.uriFor(obj_or_class) if is_registered else self.register(obj_or_class)
        try:
            # In a thread: the loop must serve other clients while the name server is asked.
            return await registered_in_thread(functools.partial(
                keep_registered, self._leases, nameserver, name, uri, ttl, options,
                functools.partial(self._has_id, str(uri.object))))
        except BaseException:
            if not is_registered:
                self.unregister(obj_or_class)
            raise

    # ------------------------------------------------------------ serving

    async def _start(self) -> None:
        """Accept clients from now on, in the running event loop.

        Raises:
            RuntimeError: the daemon is closed, or runs in another event loop.
        """
        server, loop = self.transportServer, asyncio.get_running_loop()
        # Sockets and tasks belong to one loop. A daemon cannot move to another one, not even after the first has ended.
        if server.stopping or server.event_loop not in (None, loop):
            raise RuntimeError("the daemon %s" % ("is closed" if server.stopping else "runs in another event loop"))
        # A second `async with` in the same loop, as serve_forever() makes, has nothing to start.
        if server.event_loop is None:
            # A future can only be made here: it belongs to the loop, which the constructor did not need to have.
            await self._ending.watch_loop()
            self._async_methods.begin(loop)
            self._dispatcher.begin()
            server.pool.start()
            try:
                await server.begin()
            except BaseException:  # cancelled: there is no block yet that would close the daemon
                self._ending.end_at_once()
                raise
            self._tick()

    def __await__(self) -> Generator[Any, Any, Daemon]:
        """Accept clients from now on. Returns the daemon."""
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Daemon:
        await self._start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def serve_forever(self) -> None:
        """Serve clients until shutdown() is called, or the task is cancelled. Then the daemon is closed.

        In the task that ``asyncio.run`` runs, Ctrl-C and SIGTERM call shutdown(), unless the program handles them itself: this
        returns normally, so the statements that follow it are executed.

        Raises:
            RuntimeError: the daemon is closed, or runs in another event loop.
        """
        async with self:
            with EndOnSignals(self.shutdown):
                await self.wait_for_shutdown()

    async def wait_for_shutdown(self) -> None:
        """Wait until shutdown() was called, and everything is closed. Cancelling the wait gives running calls no more time."""
        try:
            await self._ending.wait()
        except asyncio.CancelledError:
            self._ending.hurry()    # the second Ctrl-C
            raise

    def shutdown(self) -> WaitForEnd:
        """End serve_forever(), close all sockets and threads, and return at once. Can be called more than once.

        Running calls get SHUTDOWN_TIMEOUT seconds to finish, and are answered; then they are cancelled. May be called from any
        thread, from a signal handler, and inside a remote call.

        Returns:
            an object that may be awaited, in the event loop of the daemon, to wait for the end.
        """
        self._ending.begin(max(0.0, config.SHUTDOWN_TIMEOUT or 0.0))
        return WaitForEnd(self._ending)

    async def close(self) -> None:
        """Do what shutdown() does, and wait for the end; inside a remote call of this daemon, do not wait."""
        await self.shutdown()

    def __getstate__(self) -> Dict[str, Any]:
        """Return how the daemon is sent in a message: without its state, like other daemons."""
        kind = type(self)
        tag = WIRE_TAG if kind is Daemon else "%s.%s" % (kind.__module__, kind.__name__)
        return {"__class__": tag, "state": ()}

    # ------------------------------------------------------------ methods for subclasses to override

    def annotations(self) -> Any:
        """Return annotations (4-character id -> bytes) to send with every reply. Override it to add some.

        It runs in the event loop and must not block. It can be a coroutine function, which is then called before each call.
        """
        return {}

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        """Accept a new client, or raise an exception to refuse it. Override it to check clients; it can be a coroutine
        function. Otherwise it runs in a thread.

        Args:
            conn: the client's SocketConnection.
            data: the ``_pyroHandshake`` of the client's proxy.

        Returns:
            a value that is sent to the client.
        """
        return "hello"

    def clientDisconnect(self, conn: Any) -> Any:
        """Called when a client whose handshake was accepted has disconnected. Override it to be notified; it can be a
        coroutine function. Otherwise it runs in a thread.
        """

    def housekeeping(self) -> Any:
        """Called every few seconds (setting POLLTIMEOUT). Override it for periodic work; it can be a coroutine function.
        Otherwise it runs in a thread. Exceptions are logged.
        """

    # ------------------------------------------------------------ called by the server

    def _request_ended(self) -> None:
        """Called in a thread of the pool when it has answered a request."""

    def _ends_without_user_code(self, connection: ServerConnection) -> bool:
        # Freeing may close what the program tracks, which may block, and must then happen in a thread.
        return not (connection.handshake_done and _is_overridden(self, "clientDisconnect") or connection.has_resources
                    or self._streams.has_streams_of(connection))

    async def _connection_ended(self, connection: ServerConnection) -> None:
        # A connection may be the first event after a setting was changed.
        self._apply_settings()
        pool = self.transportServer.pool
        try:
            if connection.handshake_done and _is_overridden(self, "clientDisconnect"):
                hook: Any = self.clientDisconnect
                await (hook(connection) if inspect.iscoroutinefunction(hook)
                       else run_in_pool(pool, connection, hook, connection))
        except Exception:  # user code: an error must not prevent the cleanup below
            log.exception("clientDisconnect failed")
        finally:
            # In a thread for the same reason as above; otherwise here, which saves the two changes of threads.
            if connection.has_resources or self._streams.has_streams_of(connection):
                await run_in_pool(pool, connection, self._free, connection)
            else:
                self._free(connection)

    def _tick(self) -> None:
        """Do periodic work. Called every few seconds."""
        server = self.transportServer
        if server.stopping:
            return
        # Read each time, so that a changed setting has an effect on the next tick.
        poll_seconds = USUAL_POLL_SECONDS if config.POLLTIMEOUT is None else float(config.POLLTIMEOUT)
        server.event_loop.call_later(min(TICK_SECONDS, poll_seconds), self._tick)
        self._apply_settings()
        server.apply_limits()
        server.arm_timer()
        # The pool cannot do that by itself: its idle threads wait, and have no clock.
        server.pool.shrink(time.monotonic())
        self._dispatcher.log_repeated_errors()
        self._dispatcher.stalls.begin()
        buffers.release_unused()
        offered_sockets.remove_closed()
        # The last one may take longer than the interval.
        if ((len(self._streams) or _is_overridden(self, "housekeeping"))
                and (self._housekeeping_task is None or self._housekeeping_task.done())):
            self._housekeeping_task = server.start_task(self._do_housekeeping())

    async def _do_housekeeping(self) -> None:
        # In a thread: closing a generator runs code of the program.
        pool = self.transportServer.pool
        if len(self._streams):
            await run_in_pool(pool, None, self._streams.expire)
        if not _is_overridden(self, "housekeeping"):
            return
        hook: Any = self.housekeeping
        try:
            await (hook() if inspect.iscoroutinefunction(hook) else run_in_pool(pool, None, hook))
        except Exception:  # user code
            log.exception("housekeeping failed")

    def _stop_threads(self) -> None:
        """End the threads of the daemon, apart from those of its pool. May be called more than once, in any thread."""
        # Names first: clients find no server any more that is about to end.
        self._leases.close()
        self._dispatcher.running.watcher.stop()
        self._dispatcher.stalls.stop()

    def _finish(self) -> None:
        offered_sockets.close_all(self.transportServer)
        self._dispatcher.log_repeated_errors(at_end=True)
        self._end_metrics()
        self._objects.close()  # after the last call, which may still have used an object


def _new_pool(has_more_clients_than: Callable[[int], bool]) -> WorkerPool:
    minimum, maximum = config.THREADPOOL_SIZE_MIN, config.THREADPOOL_SIZE
    if minimum < 1 or maximum < 1:
        raise ValueError("THREADPOOL_SIZE_MIN and THREADPOOL_SIZE must be at least 1, not %d and %d" % (minimum, maximum))
    # No threads are kept for programs whose methods are all async.
    return WorkerPool(0, maximum, "Pyro-worker", functools.partial(has_more_clients_than, maximum))


def _is_overridden(daemon: Daemon, name: str) -> bool:
    """Return whether the program has overridden, or replaced, a method of the daemon."""
    # A function that the program has assigned to the instance has no __func__, and counts as well.
    return getattr(getattr(daemon, name), "__func__", None) is not getattr(Daemon, name)


def _if_async(daemon: Daemon, name: str) -> Optional[Callable[..., Any]]:
    """Return a method of the daemon if it is a coroutine function, else None."""
    method: Callable[..., Any] = getattr(daemon, name)
    function = getattr(method, "__func__", None)
    return method if function is not getattr(Daemon, name) and inspect.iscoroutinefunction(method) else None


async def serve(objects: Mapping[Any, Optional[str]], host: Host = None, port: int = 0, daemon: Optional[Daemon] = None,
                use_ns: bool = True, verbose: bool = True) -> None:
    """Register objects and classes, and serve them until the daemon is shut down or the task is cancelled; in the task that
    ``asyncio.run`` runs, also until Ctrl-C or SIGTERM. Then remove their names from the name server.

    Args:
        objects: object or class -> name; None: a generated id, and no name in the name server.
        host, port: the address for a new daemon (ignored if `daemon` is given).
        daemon: use this daemon; it is closed at the end, like a new one.
        use_ns: register the names in the name server; if False, the names are the object ids in the daemon.
        verbose: print what is registered.

    Raises:
        NamingError: no name server was found.
    """
    async with daemon if daemon is not None else Daemon(host, port) as serving:
        if use_ns:
            async with await locate_ns() as nameserver:
                await _publish(serving, objects, nameserver, verbose)
        else:
            await _publish(serving, objects, None, verbose)
        with EndOnSignals(serving.shutdown):
            if verbose:
                print("Pyro daemon running.", flush=True)
            await serving.wait_for_shutdown()
    if verbose:
        print("Pyro daemon stopped.", flush=True)


async def _publish(daemon: Daemon, objects: Mapping[Any, Optional[str]], nameserver: Any, verbose: bool) -> None:
    """Register objects, and their names in the name server, from which the daemon removes them when it ends."""
    for obj, name in objects.items():
        uri = daemon.register(obj, name if nameserver is None else None)
        if nameserver is not None and name is not None:
            await daemon.register_with(nameserver, name, obj, safe=False)  # also if a server that was killed still has it
        if verbose:
            print("Object %r:\n    uri = %s%s" % (obj, uri, "\n    name = %s" % name if name else ""), flush=True)


Daemon.__module__ = serve.__module__ = "Pyro5.aio"
