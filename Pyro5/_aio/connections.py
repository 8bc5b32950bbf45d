"""The connections of an asyncio proxy: which event loop they belong to, opening them, choosing one for a call, closing them.
"""
from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from typing import Any, AsyncGenerator, Callable, Deque, List, Optional, Set, Tuple

from .. import callcontext, config, errors, serializers
from .._client.call_options import RANDOM, earlier
from .._client.connector import parse_metadata
from .._client.results import Results
from .._messages import replies, requests
from .._messages.requests import WireOptions
from .._values.uri import URI
from ..configure import global_version
from ..constants import CANCEL_METHOD, DAEMON_NAME
from ..protocol import FLAGS_ONEWAY
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from .connecting import Accepted, Handshake, connect_to_any, open_connection
from .connection import CLOSE_SECONDS, Connection
from .idle import IdleConnections
from .waiting import copy_of, until_ready, wait_until

log = logging.getLogger("Pyro5.aio")


class Connections:
    """The connections to one object.

    Attributes:
        loop: the event loop that they belong to; None before the first use.
        uri: of the object; PYRONAME and PYROMETA are resolved anew for every first connection.
        bound_uri: the PYRO uri of the object that the connection is, or was last, made to.
        object_id: the object's id in its daemon; known once connected.
        connections: those that are open, the first one first.
        methods, oneway, attrs, idempotent: the names that the object exposes; empty while nothing is known.
        parallel: whether several connections may be open: the server says that this makes no difference to the object.
        results: the functions that rebuild the results of some methods, as the interface of the proxy demands.
        validate: called with the server's handshake response; None if it is not overridden.
    """

    def __init__(self, uri: URI) -> None:
        # Set when the first call is made: proxies may be created before there is a loop, for example in a module.
        self.loop: Optional[asyncio.AbstractEventLoop] = None
        self.uri = uri
        self.bound_uri = uri  # with the location, once a name was looked up
        self.object_id = ""
        self.connections: List[Connection] = []
        self.methods: Set[str] = set()
        self.oneway: Set[str] = set()
        self.attrs: Set[str] = set()
        self.idempotent: Set[str] = set()
        self.parallel = False  # for objects without session state: then calls may be spread over connections
        self.validate: Optional[Callable[[Any], None]] = None  # an override of _pyroValidateHandshake
        self.timeout: Optional[float] = config.COMMTIMEOUT or None
        self.max_retries: int = config.MAX_RETRIES or 0
        self.wait_for_ready = False
        self.pick = RANDOM
        self.handshake: Any = "hello"
        self.results: Results = {}
        self.serializer_name: Optional[str] = None
        self.serializer: SerializerBase
        self.wire: WireOptions
        self.max_connections = 1
        self.exclusive: List[Connection] = []  # over which the object is in exclusive use, for each block that uses it
        self._idle: Optional[IdleConnections] = None
        self.callbacks: Any = None  # the objects of this process that the server can call, see _callbacks.endpoint
        # Tasks and not locks: all that wait for the same connection await one task, which goes on if some of them are
        # cancelled.
        self._connecting: Optional[asyncio.Task[Connection]] = None
        self._opening: Optional[asyncio.Task[None]] = None
        self._cancelling: Optional[asyncio.Task[None]] = None
        self._cancelled: Deque[Tuple[bytes, int]] = deque()  # to be sent over the side connection
        self._tasks: Set[asyncio.Task[Any]] = set()  # those above, while they run
        self._side: List[Connection] = []  # the connection over which calls are cancelled, once it is open
        self._end_of_loop: Optional[AsyncGenerator[None, None]] = None
        self.read_settings()

    def read_settings(self) -> None:
        """Read the settings that take effect as soon as they are changed."""
        version = global_version.number
        self.wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        self.serializer = serializers.get_serializer(self.serializer_name or config.SERIALIZER)
        self.max_connections = max(config.PROXY_CONNECTIONS, 1)
        for connection in self.connections:
            connection.read_settings(self.wire.max_size)
        self.settings_version = version

    # ------------------------------------------------------------ the event loop

    def use_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, after making it the loop of this proxy if it has none, or one that is closed.

        Raises:
            RuntimeError: the proxy has connections in another loop.
        """
        loop = asyncio.get_running_loop()
        # One comparison for each call; everything else is only for the first one.
        if loop is not self.loop:
            self._change_loop(loop)
        return loop

    def _change_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        # A proxy without connections may be used by one asyncio.run() after the other.
        if self.loop is not None and not self.loop.is_closed() and (self.connections or self._connecting is not None):
            raise RuntimeError("the proxy for '%s' belongs to the event loop %r and cannot be used in %r: make a proxy for "
                               "each loop, or await _pyroRelease() in the first loop" % (self.uri, self.loop, loop))
        # What belonged to the old loop ended with it; it can neither be awaited nor closed in this one.
        self.loop = loop
        self.connections = []
        self._idle = None
        self._side = []
        self._tasks = set()
        self._connecting = self._opening = self._cancelling = self._end_of_loop = None
        self._cancelled.clear()

    def _watch_loop(self) -> None:
        """Close the connections when the loop ends, or this object is deleted without having been released.

        The loop closes asynchronous generators that are still running: `asyncio.run` does so at its end. A generator that is
        deleted is closed by its loop, too. So a program that forgets to release a proxy leaves no open transport behind.
        """
        # An asynchronous generator is the only thing that asyncio finishes at the end of a loop, and when it is deleted.
        if self._end_of_loop is None:
            self._end_of_loop = _until_closed(self._tasks, self.connections, self._side)
            try:
                # Started by hand, since nothing may be awaited here; the hooks of the loop note the generator when it starts.
                self._end_of_loop.asend(None).send(None)
            except StopIteration:
                pass  # it has run up to its yield

    # ------------------------------------------------------------ choosing a connection

    def ready_connection(self) -> Optional[Connection]:
        """Return the connection for the next call; None if one has to be opened first."""
        if self.exclusive and self.exclusive[-1].is_open:
            return self.exclusive[-1]
        connections = self.connections
        if not connections:
            return None
        # Calls with session state keep to one connection, where they find their instance.
        if not self.parallel:
            return connections[0]
        for connection in connections:
            # Stalled: replies are due, and nothing has come for a while. A call over another connection may overtake
            # them.
            if not connection.is_stalled:
                return connection
        if len(connections) < self.max_connections:
            return None  # the caller opens another one
        return min(connections, key=lambda each: len(each.pending))  # all are stalled: the shortest queue

    async def acquire(self, end: Optional[float], home: Optional[Connection] = None) -> Connection:
        """Wait for a connection with room for a request, and return it. If there is none, connect.

        Args:
            end: monotonic time by which this has to end.
            home: the connection that the request belongs to.

        Raises:
            TimeoutError: the time has passed.
            ConnectionClosedError: the connection that the request belongs to is closed.
            CommunicationError: connecting failed.
        """
        connection = home
        while True:
            if connection is None or connection not in self.connections:
                # A stream belongs to its connection, and cannot continue over another one.
                if home is not None:
                    raise errors.not_sent(errors.ConnectionClosedError("the connection to '%s' was lost" % self.uri))
                # In a loop, since others may fill or end the connection while this task waits.
                connection = self.ready_connection() or await self._open(end)
            if not connection.is_open:  # it has ended at once
                connection.abort()
                raise errors.not_sent(errors.ConnectionClosedError("the connection to '%s' was lost" % self.uri))
            if not connection.is_full:  # its window, see pipelines
                return connection
            await self._wait_for_room(connection, end)
            connection = home

    async def _wait_for_room(self, connection: Connection, end: Optional[float]) -> None:
        if end is None:
            await connection.wait_for_room()
            return
        left = end - time.monotonic()
        try:
            await asyncio.wait_for(connection.wait_for_room(), max(left, 0.0))
        except asyncio.TimeoutError:
            # Not sent: a caller may repeat the call without executing it twice.
            raise errors.not_sent(errors.TimeoutError(
                "timed out while other calls to %s were in flight" % self.bound_uri)) from None

    async def _open(self, end: Optional[float]) -> Connection:
        """Wait for the connection that is being opened; further ones are opened only when there is one."""
        if not self.connections:
            return await self.connected(end)
        # One at a time: a burst of calls would otherwise open as many as there are calls.
        if self._opening is None:
            self._opening = self.start_task(self._open_another())
        opening = self._opening
        if not await wait_until(opening, end):
            raise errors.not_sent(errors.TimeoutError("timed out while connecting to %s" % self.bound_uri))
        # Raises if the program's own check refuses the connection; a server that is full only ends the attempts.
        opening.result()
        # The new connection may have been filled, or lost, by tasks that were resumed earlier.
        connection = self.ready_connection()
        return connection or (min(self.connections, key=lambda each: len(each.pending)) if self.connections
                              else await self.connected(end))

    async def connected(self, end: Optional[float] = None) -> Connection:
        """Return the first connection, after opening it if necessary: once for all tasks that need it."""
        self.use_loop()
        if self.connections:
            return self.connections[0]
        if self._connecting is None:
            self._connecting = self.start_task(self._connect())
        connecting = self._connecting
        # Cancelling one of the tasks that wait here does not disturb the others.
        if not await wait_until(connecting, end):
            raise errors.not_sent(errors.TimeoutError("timed out while connecting to %s" % self.uri))
        # Read in any case, so that asyncio does not report an exception that was never retrieved.
        error = None if connecting.cancelled() else connecting.exception()
        if connecting.cancelled():
            raise errors.not_sent(errors.ConnectionClosedError("the proxy for '%s' was released" % self.uri))
        if error is not None:
            # A copy for each: an exception that is raised by several tasks would collect the tracebacks of all of them.
            raise copy_of(error) from error.__cause__
        return connecting.result()

    def start_task(self, coroutine: Any) -> Any:
        """Run a coroutine in the background. Releasing the proxy cancels it."""
        task = self.use_loop().create_task(coroutine)
        self._watch_loop()
        # asyncio itself keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_retrieve)
        return task

    # ------------------------------------------------------------ opening

    async def _connect(self) -> Connection:
        try:
            if global_version.number != self.settings_version:
                self.read_settings()
            if self.wait_for_ready:
                timeout = effective_timeout(self.timeout)
                deadline = None if timeout is None else time.monotonic() + timeout
                return await until_ready(self._connect_once, deadline, str(self.uri))
            return await self._connect_once()
        finally:
            self._connecting = None  # the next call connects again, also after a failure

    async def _connect_once(self) -> Connection:
        seconds = effective_timeout(self.timeout)
        try:
            accepted = await connect_to_any(self.uri, self._open_at, seconds, self.pick)
        except errors.PyroError as x:
            raise errors.not_sent(x)  # noqa: B904  # the same error
        connection = accepted.connection
        try:
            self.bound_uri, self.object_id = accepted.uri, str(accepted.uri.object)
            # The program may read the annotations of the handshake, as after a call.
            callcontext.set_received_response(accepted.annotations)
            metadata = accepted.metadata
            if metadata is None:
                metadata = await self._request_metadata(connection)
            self.set_metadata(metadata)
            # A server of another release answers in the order of the requests, and must not get two at once.
            self.parallel = self.parallel and connection.features is not None
            if self.validate is not None:
                self.validate(accepted.response)
        except BaseException:
            connection.abort()
            raise
        # Last: no call may use a connection that the program has not accepted.
        self.add(connection)
        log.debug("connected to %s", connection.target)
        return connection

    def add(self, connection: Connection) -> None:
        """Use a connection for the next calls, until it ends."""
        self._watch_loop()
        connection.notices_stalls = self.parallel and self.max_connections > 1
        self.connections.append(connection)
        connections = self.connections

        def forget() -> None:
            if connection in connections:
                connections.remove(connection)

        # The list and not this object: a reference to it would keep the proxy alive as long as the connection.
        connection.on_end = forget
        if len(connections) > 1:
            self._idle = self._idle or IdleConnections(connection.loop, connections)
            self._idle.begin()

    async def _open_at(self, uri: URI, seconds: Optional[float] = None) -> Accepted:
        first = Handshake(self.serializer, self.handshake, self.wire)
        return await open_connection(uri, earlier(effective_timeout(self.timeout), seconds), first)

    async def _request_metadata(self, connection: Connection) -> Any:
        request = requests.invoke_request(self.serializer, connection.next_seq(), 0, DAEMON_NAME, "get_metadata",
                                          [self.object_id], {}, self.wire)
        try:
            reply = await asyncio.wait_for(connection.exchange(request), effective_timeout(self.timeout))
        except asyncio.TimeoutError:
            raise errors.TimeoutError("calling get_metadata of %s: timeout" % self.bound_uri) from None
        return replies.parse_reply(reply, self.serializer.for_dialect(connection.dialect))

    def set_metadata(self, metadata: Any) -> None:
        """Store what the server says about the object; raises as `parse_metadata`."""
        self.methods, self.oneway, self.attrs, self.idempotent, has_sessions = parse_metadata(metadata, self.uri)
        self.parallel = not has_sessions

    async def _open_another(self) -> None:
        try:
            accepted = await self._open_at(self.bound_uri)
        except errors.CommunicationError as x:
            # A server may be full, or allow only some connections of a client. The one that exists is enough.
            log.info("no further connection to %s, calls take turns: %s", self.bound_uri, x)
            self.parallel = False
            return
        finally:
            self._opening = None
        try:
            if self.validate is not None:
                self.validate(accepted.response)
        except BaseException:
            accepted.connection.abort()
            raise
        # Added in any case, also if the call that asked for it was cancelled: the next one uses it.
        self.add(accepted.connection)

    # ------------------------------------------------------------ cancelling calls on the server

    def cancel(self, correlation_id: bytes, seq: int) -> None:
        """Ask the server, in the background and over another connection, to cancel a call that is in flight."""
        # Queued: cancelling many tasks at once, as a TaskGroup does, must not open a connection for each.
        self._cancelled.append((correlation_id, seq))
        if self._cancelling is None:
            self._cancelling = self.start_task(self._send_cancellations())

    async def _send_cancellations(self) -> None:
        try:
            if not self._side or not self._side[0].is_open:
                accepted = await self._open_at(self.bound_uri)
                self._watch_loop()  # the generator closes this connection, too
                self._side[:] = [accepted.connection]
            side = self._side[0]
            while self._cancelled:
                correlation_id, seq = self._cancelled.popleft()
                arguments = [str(uuid.UUID(bytes=correlation_id)), seq]
                side.send(requests.invoke_request(self.serializer, side.next_seq(), FLAGS_ONEWAY, DAEMON_NAME, CANCEL_METHOD,
                                                  arguments, {}, self.wire))
        except errors.CommunicationError as x:
            # Only a service to the server; the caller has got its exception already.
            log.info("a call of %s cannot be cancelled on the server: %s", self.bound_uri, x)
        finally:
            self._cancelled.clear()
            self._cancelling = None

    # ------------------------------------------------------------ closing

    def retire(self, connection: Connection) -> None:
        """Send nothing more over a connection that the server is about to close."""
        if connection in self.connections:
            self.connections.remove(connection)
        connection.retire()

    async def release(self) -> None:
        """Close all connections, and wait until they are closed. Calls that are in flight fail."""
        if self.loop is None or self.loop.is_closed():
            return
        self.use_loop()
        # A stream that was just dropped, as by leaving "async for", has asked the loop to close it on the server: one turn
        # to write the request, and one in which the requests of a turn are sent together.
        for _ in range(2):
            await asyncio.sleep(0)
        if self._cancelling is not None:  # the server is to know which calls were cancelled before their connection ends
            await asyncio.wait({self._cancelling}, timeout=CLOSE_SECONDS)
        if self._idle is not None:
            self._idle.end()
        closing = [*self.connections, *self._side]
        # In place: the callbacks and the generator refer to these lists.
        del self.connections[:], self._side[:]
        for connection in closing:
            connection.close()
        try:
            await _end(self._tasks, closing)
        finally:
            generator, self._end_of_loop = self._end_of_loop, None
            # A task may have connected again while this one waited; then the generator is still needed.
            if generator is not None and not self.connections:
                await generator.aclose()
            else:
                self._end_of_loop = generator


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Read the outcome of a task for which no other task may wait any more, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()


async def _until_closed(tasks: Set[asyncio.Task[Any]], *lists: List[Connection]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # The loop is ending, or the proxy was deleted: no call waits any more.
        connections = [connection for each in lists for connection in each]
        for connection in connections:
            connection.close()
        await _end(tasks, connections)


async def _end(tasks: Set[asyncio.Task[Any]], connections: List[Connection]) -> None:
    """Cancel the tasks, and wait until they and the connections have ended."""
    for task in list(tasks):
        task.cancel()
    # return_exceptions: a connection that ends with an error must not keep the others from being waited for.
    await asyncio.gather(*tasks, *[connection.wait_closed() for connection in connections], return_exceptions=True)
