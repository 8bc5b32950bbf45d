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
from .._client.discovery import RANDOM
from .._client.metadata import parse_metadata
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
from .waiting import copy_of, until_ready, wait_until

__all__ = ["Connections"]

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
        self.loop: Optional[asyncio.AbstractEventLoop] = None
        self.uri = uri
        self.bound_uri = uri
        self.object_id = ""
        self.connections: List[Connection] = []
        self.methods: Set[str] = set()
        self.oneway: Set[str] = set()
        self.attrs: Set[str] = set()
        self.idempotent: Set[str] = set()
        self.parallel = False
        self.validate: Optional[Callable[[Any], None]] = None
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
        self._connecting: Optional[asyncio.Task[Connection]] = None
        self._opening: Optional[asyncio.Task[None]] = None
        self._cancelling: Optional[asyncio.Task[None]] = None
        self._cancelled: Deque[Tuple[bytes, int]] = deque()
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
        if loop is not self.loop:
            self._change_loop(loop)
        return loop

    def _change_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.loop is not None and not self.loop.is_closed() and (self.connections or self._connecting is not None):
            raise RuntimeError("the proxy for '%s' belongs to the event loop %r and cannot be used in %r: make a proxy for "
                               "each loop, or await _pyroRelease() in the first loop" % (self.uri, self.loop, loop))
        self.loop = loop
        self.connections = []
        self._side = []
        self._tasks = set()
        self._connecting = self._opening = self._cancelling = self._end_of_loop = None
        self._cancelled.clear()

    def _watch_loop(self) -> None:
        """Close the connections when the loop ends, or this object is deleted without having been released.

        The loop closes asynchronous generators that are still running: `asyncio.run` does so at its end. A generator that is
        deleted is closed by its loop, too. So a program that forgets to release a proxy leaves no open transport behind.
        """
        if self._end_of_loop is None:
            self._end_of_loop = _until_closed(self._tasks, self.connections, self._side)
            try:
                self._end_of_loop.asend(None).send(None)
            except StopIteration:
                pass  # it has run up to its yield

    # ------------------------------------------------------------ choosing a connection

    def ready_connection(self) -> Optional[Connection]:
        """Return the connection for the next call; None if one has to be opened first."""
        connections = self.connections
        if not connections:
            return None
        if not self.parallel:
            return connections[0]
        for connection in connections:
            if not connection.is_stalled:
                return connection
        if len(connections) < self.max_connections:
            return None
        return min(connections, key=lambda each: len(each.pending))

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
                if home is not None:
                    raise errors.not_sent(errors.ConnectionClosedError("the connection to '%s' was lost" % self.uri))
                connection = self.ready_connection() or await self._open(end)
            if not connection.is_open:  # it has ended at once
                self.drop(connection)
                raise errors.not_sent(errors.ConnectionClosedError("the connection to '%s' was lost" % self.uri))
            if not connection.is_full:
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
            raise errors.not_sent(errors.TimeoutError(
                "timed out while other calls to %s were in flight" % self.bound_uri)) from None

    async def _open(self, end: Optional[float]) -> Connection:
        """Wait for the connection that is being opened; further ones are opened only when there is one."""
        if not self.connections:
            return await self.connected(end)
        if self._opening is None:
            self._opening = self._start(self._open_another())
        opening = self._opening
        if not await wait_until(opening, end):
            raise errors.not_sent(errors.TimeoutError("timed out while connecting to %s" % self.bound_uri))
        opening.result()
        connection = self.ready_connection()
        return connection or (min(self.connections, key=lambda each: len(each.pending)) if self.connections
                              else await self.connected(end))

    async def connected(self, end: Optional[float] = None) -> Connection:
        """Return the first connection, after opening it if necessary: once for all tasks that need it."""
        self.use_loop()
        if self.connections:
            return self.connections[0]
        if self._connecting is None:
            self._connecting = self._start(self._connect())
        connecting = self._connecting
        # Cancelling one of the tasks that wait here does not disturb the others.
        if not await wait_until(connecting, end):
            raise errors.not_sent(errors.TimeoutError("timed out while connecting to %s" % self.uri))
        error = None if connecting.cancelled() else connecting.exception()
        if connecting.cancelled():
            raise errors.not_sent(errors.ConnectionClosedError("the proxy for '%s' was released" % self.uri))
        if error is not None:
            raise copy_of(error) from error.__cause__
        return connecting.result()

    def _start(self, coroutine: Any) -> Any:
        task = self.use_loop().create_task(coroutine)
        self._watch_loop()
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
            self._connecting = None

    async def _connect_once(self) -> Connection:
        seconds = effective_timeout(self.timeout)
        try:
            accepted = await connect_to_any(self.uri, self._open_at, seconds, self.pick)
        except errors.PyroError as x:
            raise errors.not_sent(x)  # noqa: B904  # the same error
        connection = accepted.connection
        try:
            self.bound_uri, self.object_id = accepted.uri, str(accepted.uri.object)
            callcontext.set_received_response(accepted.annotations)
            metadata = accepted.metadata
            if metadata is None:
                metadata = await self._request_metadata(connection)
            self.set_metadata(metadata)
            self.parallel = self.parallel and connection.features is not None
            if self.validate is not None:
                self.validate(accepted.response)
        except BaseException:
            connection.abort()
            raise
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

        connection.on_end = forget

    async def _open_at(self, uri: URI) -> Accepted:
        first = Handshake(self.serializer, self.handshake, self.wire)
        return await open_connection(uri, effective_timeout(self.timeout), first)

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
        self.add(accepted.connection)

    # ------------------------------------------------------------ cancelling calls on the server

    def cancel(self, correlation_id: bytes, seq: int) -> None:
        """Ask the server, in the background and over another connection, to cancel a call that is in flight."""
        self._cancelled.append((correlation_id, seq))
        if self._cancelling is None:
            self._cancelling = self._start(self._send_cancellations())

    async def _send_cancellations(self) -> None:
        try:
            if not self._side or not self._side[0].is_open:
                accepted = await self._open_at(self.bound_uri)
                self._watch_loop()
                self._side[:] = [accepted.connection]
            side = self._side[0]
            while self._cancelled:
                correlation_id, seq = self._cancelled.popleft()
                arguments = [str(uuid.UUID(bytes=correlation_id)), seq]
                side.send(requests.invoke_request(self.serializer, side.next_seq(), FLAGS_ONEWAY, DAEMON_NAME, CANCEL_METHOD,
                                                  arguments, {}, self.wire))
        except errors.CommunicationError as x:
            log.info("a call of %s cannot be cancelled on the server: %s", self.bound_uri, x)
        finally:
            self._cancelled.clear()
            self._cancelling = None

    # ------------------------------------------------------------ closing

    def drop(self, connection: Connection) -> None:
        """End a connection that cannot be used any more."""
        if connection in self.connections:
            self.connections.remove(connection)
        connection.abort()

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
        closing = [*self.connections, *self._side]
        del self.connections[:], self._side[:]
        for connection in closing:
            connection.close()
        try:
            await _end(self._tasks, closing)
        finally:
            generator, self._end_of_loop = self._end_of_loop, None
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
        connections = [connection for each in lists for connection in each]
        for connection in connections:
            connection.close()
        await _end(tasks, connections)


async def _end(tasks: Set[asyncio.Task[Any]], connections: List[Connection]) -> None:
    """Cancel the tasks, and wait until they and the connections have ended."""
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, *[connection.wait_closed() for connection in connections], return_exceptions=True)
