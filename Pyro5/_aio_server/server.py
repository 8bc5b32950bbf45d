"""Serve the clients of a daemon in an event loop: accept, read, hand requests to the dispatcher, and enforce limits.

Everything belongs to the thread of the event loop, except where stated. The listening socket and the connections are served by
the event loop itself (``create_server``), so that it can be that of asyncio or of uvloop.
"""
from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import socket
import threading
import time
from typing import Any, Awaitable, Callable, Dict, Optional, Set, Union

from .. import errors
from .._calls import error_log
from .._calls.decoding import SHORT_REQUEST_BYTES
from .._calls.handshakes import SHORT_HANDSHAKE_BYTES
from .._net.tls_layer import TlsLayer
from .._net.tls_socket import new_state
from .._server.acceptor import MAX_ACCEPTED_AT_ONCE
from .._server.eventloop import TURN_SECONDS
from .._server.listener import Listener
from .._server.workers import WorkerPool
from ..protocol import FLAGS_BATCH, ReceivingMessage, SendingMessage
from .clients import Clients, DaemonHooks, TlsTurns
from .connection import AsyncConnection, ConnectedSocket
from .dispatch import own_annotations

log = logging.getLogger("Pyro5.server.loop")

LISTEN_BACKLOG = 4096  # the system may limit it to a smaller number
LOST_SECONDS = 0.1  # interval of looking for lost clients from which nothing is read, because they have sent too much


class _Protocol(asyncio.Protocol):
    """Passes the events of a transport to the server."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._connection: Any = None  # set by connection_made, which asyncio calls first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = self._server.add_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._server.received(self._connection, data)

    def eof_received(self) -> bool:
        self._server.client_closed(self._connection)
        return True  # the server closes the transport: the client may still read replies

    def pause_writing(self) -> None:
        self._connection.set_writable(False)

    def resume_writing(self) -> None:
        self._connection.set_writable(True)
        self._server.pump(self._connection)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        # The transport refers to this object, which must not keep the connection any longer.
        connection, self._connection = self._connection, None
        if connection is not None:
            self._server.connection_lost(connection)


class AsyncServer(Clients):
    """Serves the clients that connect to a listening socket. (See Clients for more attributes.)

    Args:
        listener: the listening socket, or one that is connected.

    Attributes:
        locationStr: ``host:port``, or ``./u:path`` for a Unix domain socket.
        on_end: called when the only client of a connected socket has gone.
    """

    def __init__(self, listener: Union[Listener, ConnectedSocket], hooks: DaemonHooks, pool: WorkerPool) -> None:
        super().__init__(hooks, pool)
        self.listener = listener
        self.sock = listener.sock
        self.locationStr = listener.location
        self._process = os.getpid()  # the child of a fork must not serve the clients of its parent
        self.on_end: Callable[[], object] = lambda: None
        self._server: Any = None  # the server of asyncio, once it listens
        self._unread: Set[AsyncConnection] = set()  # with a running call, and not read because of many requests

    def __repr__(self) -> str:
        return "<%s on %s; %d connections>" % (type(self).__name__, self.locationStr, len(self._connections))

    async def begin(self) -> None:
        """Accept clients from now on, in the running event loop."""
        loop = self.event_loop = asyncio.get_running_loop()
        self._tls_turns = TlsTurns(self._handle_handshake, loop.call_soon)
        self._thread = threading.get_ident()  # calls from other threads are handed over to this one
        if isinstance(self.listener, ConnectedSocket):
            await self.listener.connect(loop, functools.partial(_Protocol, self))
            return
        # The listening socket was made by the daemon, in any thread and before there was a loop.
        create: Any = loop.create_unix_server if self.sock.family == getattr(socket, "AF_UNIX", None) else loop.create_server
        # asyncio accepts as many clients as the backlog before it handles other events: few, and the system queues the others.
        self._server = await create(functools.partial(_Protocol, self), sock=self.sock, backlog=MAX_ACCEPTED_AT_ONCE,
                                    start_serving=False)
        # The only step that waits: if the task is cancelled here, the server can be closed.
        await self._server.start_serving()
        self.sock.listen(LISTEN_BACKLOG)

    def stop_accepting(self) -> None:
        """Close the listening socket."""
        # asyncio does not close a socket that it got from its caller.
        if self._server is not None and not self.event_loop.is_closed():
            self._server.close()
        self.listener.close()

    # ------------------------------------------------------------ events of the transports

    def add_transport(self, transport: Any) -> AsyncConnection:
        """Add a new connection, or refuse it if the server is full."""
        context = self.listener.ssl_context
        connection = AsyncConnection(transport, self, None if context is None else TlsLayer(new_state(context, True)))
        self.open.add(connection)
        self.apply_limits()
        # Idle connections are closed first: clients reconnect when they need one.
        is_full = self._is_full() and not self._make_room()
        self._connections[connection.sock] = connection
        log.debug("client connected from %s", error_log.client_name(connection))
        # The end has begun between the accept and this call.
        if self.stopping:
            self.drop(connection)
        elif is_full:
            self._refuse_full(connection)
        elif isinstance(self.listener, ConnectedSocket):
            self.listener.accept(connection)
        else:
            self._start_timeout(connection)
            self.arm_timer()
        return connection

    def received(self, connection: AsyncConnection, data: bytes) -> None:
        """Continue with a connection that has received data."""
        # After a refusal nothing is parsed any more.
        if not (connection.dropped or connection.lost or connection in self._refusals):
            self._attempt(self._received, connection, data)

    def _received(self, connection: AsyncConnection, data: bytes) -> None:
        if connection.tls is None:
            connection.add_received(data)
            self.pump(connection)
        elif connection.tls_handshake:
            self._tls_turns.add(connection, data)  # it may have to sign something, which takes milliseconds
        else:
            self._decrypt(connection, connection.tls, data)

    def _handle_handshake(self, connection: AsyncConnection, data: bytes) -> None:
        """Continue the TLS handshake of a connection, whose turn it is."""
        tls = connection.tls
        if tls is None or connection.dropped or connection.lost or connection in self._refusals:
            return
        if tls.has_answered or not connection.peer_has_closed():
            self._attempt(self._decrypt, connection, tls, data)
        else:
            self.drop(connection)  # the end has not been read yet

    def _decrypt(self, connection: AsyncConnection, tls: TlsLayer, data: bytes) -> None:
        try:
            pieces = tls.receive(data)
        except OSError as x:
            self._tls_failed(connection, tls, x)
            return
        # Also after an incomplete handshake: the client waits for the next part of it.
        connection.send_tls_output()
        connection.tls_handshake = not tls.handshake_done
        for piece in pieces:
            connection.add_received(piece)
        self.pump(connection)
        # After what came before it: a client may send a request and close at once.
        if tls.closed:
            self.client_closed(connection)

    def _tls_failed(self, connection: AsyncConnection, tls: TlsLayer, error: OSError) -> None:
        """Close a connection with invalid TLS data. TLS itself tells the client."""
        connection.send_tls_output()
        if tls.handshake_done or not tls.refuses_handshake(error):  # after the handshake it is an error as any other
            raise error
        log.warning("closing the connection with %s: the TLS handshake failed: %s (does the client use TLS, and do the "
                    "certificates fit?)", error_log.client_name(connection), error)
        connection.closing = True
        self.end_after_refusal(connection)

    def client_closed(self, connection: AsyncConnection) -> None:
        """Handle what was received before the client closed its side, and end the connection."""
        rest = self._tls_turns.take(connection)
        # An alert says why the client ends the handshake. Nothing is signed for a client that has gone.
        if rest and connection.tls is not None and connection.tls.has_answered:
            self._handle_handshake(connection, rest)
        connection.at_end = True
        # Others go on: a client that has closed only its sending side still reads their replies.
        if connection.is_working:
            self.cancel_call(connection, only_task=True)
        elif connection in self._refusals:
            self.drop(connection)
        else:
            self.pump(connection)

    def connection_lost(self, connection: AsyncConnection) -> None:
        """Free what belongs to a connection whose transport has ended."""
        self.open.discard(connection)
        self._tls_turns.take(connection)
        connection.sock.mark_closed()
        if isinstance(self.listener, ConnectedSocket):
            self.listener.end()
            self.on_end()  # the only client has gone
        connection.abandon()
        if connection.is_working:
            self.cancel_call(connection)
        else:
            self.drop(connection)
        self.on_progress()

    # ------------------------------------------------------------ requests

    def pump(self, connection: AsyncConnection) -> None:
        """Handle the requests that were received, in order, as long as none runs and the client accepts the replies."""
        if not (connection.dropped or connection.is_pumped):
            self._attempt(self._pump, connection)

    def _pump(self, connection: AsyncConnection) -> None:
        # Guards against recursion: sending a reply may call resume_writing(), which calls this again.
        connection.is_pumped = True
        turn_ends = time.monotonic() + TURN_SECONDS
        is_interrupted = False  # requests are left, and something else calls this again
        try:
            while self._may_serve(connection):
                # Decided here, where the next request is fetched: if a oneway call ends in this moment, the queue goes on.
                # Otherwise the thread that finishes one of them calls resume().
                if connection.oneway_full and self._hooks.must_pause(connection):
                    self._idle_deadlines.stop(connection)
                    is_interrupted = True
                    break
                if not connection.fetch_message():
                    break
                self._serve(connection)
                # A client with a long queue of requests must not keep the loop: the rest of them is handled in its next turn.
                if time.monotonic() > turn_ends and not connection.is_working:
                    self.event_loop.call_soon(self.pump, connection)  # other clients first
                    is_interrupted = True
                    break
        finally:
            connection.is_pumped = False
            # Replies of one turn are sent together, in one system call.
            connection.flush_replies()
        if is_interrupted:
            connection.limit_reading()
        else:
            self._await_next(connection)

    def _may_serve(self, connection: AsyncConnection) -> bool:
        return not (connection.is_working or connection.dropped or connection.closing or connection.has_outgoing
                    or self.stopping and connection.suspended_batch is None)

    def _serve(self, connection: AsyncConnection) -> None:
        """Handle the received request, or begin to."""
        hooks = self._hooks
        hooks.apply_settings()  # settings may change between two requests of a connection
        large_bytes = connection.large_bytes
        if large_bytes:
            self._count_large_request(connection, large_bytes)
        message = connection.take_message()
        # Many clients may connect at once, so one whose handshake waits counts as idle.
        if not connection.handshake_done and not connection.claim_handshake():
            return  # it is closed to make room for others
        annotate = hooks.async_annotations()
        validate = None if connection.handshake_done else hooks.async_validator()
        if annotate is None and validate is None:
            self._handle(connection, message, large_bytes)
            return
        connection.is_working = True
        task = self.start_task(self._handle_in_task(connection, message, large_bytes, annotate, validate))
        connection.handshake_task = None if connection.handshake_done else task

    def _handle(self, connection: AsyncConnection, message: ReceivingMessage, large_bytes: int) -> None:
        """Answer a message here, if that is certainly quick, or in a thread."""
        if connection.handshake_done:
            # Decoding long ones takes long, up to 30 ms for 8 KB, in which the loop serves no other client; in threads they
            # are decoded one at a time. Most batches call ordinary methods, which then run in one thread together.
            is_quick = len(message.data) <= SHORT_REQUEST_BYTES and not (large_bytes or message.flags & FLAGS_BATCH)
        else:
            is_quick = len(message.data) <= SHORT_HANDSHAKE_BYTES and not self._hooks.has_own_validator()
        # The dispatcher decodes and checks here; a method that may block is deferred, see _answered.
        if is_quick:
            self._answered(connection, self._hooks.dispatcher.answer(connection, message))
            return
        # Those that take long to decode leave a part of the threads to others.
        is_long = connection.handshake_done and len(message.data) > SHORT_REQUEST_BYTES
        submit = self.pool.submit_large if large_bytes or is_long else self.pool.submit
        # In this context, which has the annotations of the daemon.
        submit(functools.partial(contextvars.copy_context().run, self._work, connection, message), connection)
        connection.is_working = True  # after it: without a thread, the connection is closed

    async def _handle_in_task(self, connection: AsyncConnection, message: ReceivingMessage, large_bytes: int,
                              annotate: Any, validate: Any) -> None:
        """Answer a message after calling the hooks of the daemon that are coroutine functions."""
        try:
            if annotate is not None:
                own_annotations.set(await _annotations(annotate))
            reply = None
            if validate is not None:
                reply = await self._hooks.dispatcher.answer_handshake(connection, message, validate)
            # Before the answer: the steps below set it again if a thread takes over.
            connection.is_working = False
            if validate is not None:
                self._attempt(self._answered, connection, reply)
            else:
                self._attempt(self._handle, connection, message, large_bytes)
        except asyncio.CancelledError:  # the client has disconnected, or the handshake took too long
            connection.is_working = False
            connection.closing = True
        finally:
            connection.handshake_task = None
            if not connection.is_working:
                self.release(connection)

    def _answered(self, connection: AsyncConnection, reply: Optional[SendingMessage]) -> None:
        """Send a reply, or start the method that the dispatcher has deferred."""
        if reply is not None and not connection.lost:
            connection.send_message(reply)
        # The dispatcher has decoded the request and checked it, but the method itself still has to run.
        if connection.deferred is not None:
            connection.is_working = True
            connection.start_deferred()  # from here on its task or thread owns the request

    def release(self, connection: AsyncConnection) -> None:
        """Continue with a connection after a request was answered."""
        connection.is_working = False
        self._unread.discard(connection)
        self._buffered.forget(connection)
        # Session instances of threads: their close() needs a thread as well when the client disconnects.
        if connection.pyroInstances:
            self.pool.reserve(connection)
        self.pump(connection)
        self.on_progress()

    # ------------------------------------------------------------ in a thread of the pool

    def _work(self, connection: AsyncConnection, message: ReceivingMessage) -> None:
        reply = None
        try:
            # Decoding, the method and encoding: all of it in the thread.
            reply = self._hooks.dispatcher.answer(connection, message)
        except BaseException as x:  # a method raised SystemExit or similar; the worker continues
            log.warning("closing the connection with %s: its call raised %s", connection.peer_address, type(x).__name__)
            connection.abandon()
        finally:
            self._hooks.after_job()
        if os.getpid() != self._process:
            raise SystemExit(0)  # the method has forked and returned in both processes: the child ends
        self.call_in_loop(self._worked, connection, reply)  # all further steps in the loop, where no locks are needed

    def _worked(self, connection: AsyncConnection, reply: Optional[SendingMessage]) -> None:
        connection.is_working = False
        self._attempt(self._answered, connection, reply)
        if not connection.is_working:
            self.release(connection)

    # ------------------------------------------------------------ what comes next

    def _attempt(self, step: Callable[..., None], connection: AsyncConnection, *args: Any) -> None:
        """Run a step for a connection. An error ends this connection only."""
        try:
            step(connection, *args)
        except errors.ProtocolError as x:
            self.refuse(connection, x)
        except OSError as x:
            log.debug("connection with %s lost: %s", error_log.client_name(connection), x)
            self.drop(connection)
        except KeyboardInterrupt:  # Ctrl-C, which the program has to see
            self.drop(connection)
            raise
        except Exception:  # an error in this library must not end the loop of all clients
            log.exception("connection with %s failed, closing it", error_log.client_name(connection))
            self.drop(connection)
        except BaseException as x:
            log.warning("closing the connection with %s: its call raised %s", connection.peer_address, type(x).__name__)
            self.drop(connection)

    def _await_next(self, connection: AsyncConnection) -> None:
        """Wait for the next step of a connection: the end of its call, room for replies, further requests, or its end."""
        connection.limit_reading()
        if connection.is_working:
            # A client may let a call run for longer than it may be idle.
            self._idle_deadlines.stop(connection)
            if not connection.is_reading:
                self._watch_unread(connection)
        elif connection.lost:
            self.drop(connection)
        elif connection.closing and not connection.has_outgoing:
            self.end_after_refusal(connection)
        elif (connection.at_end or self.stopping and not connection.detached) and not connection.has_outgoing:
            self.drop(connection, flush=True)
        else:
            self._await_data(connection)

    def _await_data(self, connection: AsyncConnection) -> None:
        if not connection.keep_open:
            self._start_timeout(connection)
        # What is kept for a client that neither reads nor goes on sending is counted, and the longest waiting one is ended.
        self._count_partial_messages(connection)
        if self._timer is None:
            self.arm_timer()

    def _watch_unread(self, connection: AsyncConnection) -> None:
        if not self._unread:
            # One timer for all of them, and only while there are any.
            self.event_loop.call_later(LOST_SECONDS, self._find_lost)
        self._unread.add(connection)

    def _find_lost(self) -> None:
        """Cancel the calls of clients that have disconnected, where the event loop does not notice this."""
        # Only these are asked, because asking costs a system call each.
        self._unread = {each for each in self._unread if each.is_working and not each.is_reading}
        for connection in list(self._unread):
            if connection.peer_has_closed():
                self._unread.discard(connection)
                self.cancel_call(connection)
        if self._unread:
            self.event_loop.call_later(LOST_SECONDS, self._find_lost)


async def _annotations(annotate: Callable[[], Awaitable[Dict[str, Any]]]) -> Dict[str, Any]:
    try:
        return await annotate()
    except Exception:  # annotations() of the program failed: the call is made, and answered, without them
        log.exception("Daemon.annotations failed")
        return {}
