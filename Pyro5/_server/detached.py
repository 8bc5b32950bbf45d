"""Calls that run beside other requests of their connection, and connections that leave the server."""
from __future__ import annotations

import functools
import logging
import os
import socket
from typing import Any, FrozenSet, Optional, Set

from .. import errors
from .._calls.deferred import DeferredCall, runs_in_worker
from .._calls.running_calls import CLIENT_LOST
from .._net import stream_sockets
from .._wire import features
from ..protocol import SendingMessage
from .output import WritingConnection

log = logging.getLogger("Pyro5.server.connection")

MAX_DETACHED = 1024  # calls of a client that run beside others; beyond, the next one is waited for
_NO_CALLS: Any = frozenset()


class DetachedCalls(WritingConnection):
    """A connection whose concurrent methods may run beside its other requests: async ones as tasks, others in threads.

    Attributes:
        server: the socket server that it belongs to.
        features: the features that the client announced.
        detached: the calls that run beside other requests of this connection. Any thread may remove one.
        deferred: see ServerConnection.
        dropped: the loop has removed it.
    """

    __slots__ = ("detached", "_in_threads")

    server: Any
    features: Optional[FrozenSet[str]]
    deferred: Any
    dropped: bool

    def __init__(self, sock: socket.socket, keep_open: bool) -> None:
        super().__init__(sock, keep_open=keep_open)
        # Sets as soon as there are such calls: two that are empty would take 430 bytes.
        self.detached: Set[DeferredCall] = _NO_CALLS
        self._in_threads: Set[DeferredCall] = _NO_CALLS  # those of them that run in threads

    def end_sharing(self) -> None:
        """Send without the lock from now on, unless other threads may send: the client seems to wait for each reply again."""
        if not self._held and features.OUT_OF_ORDER not in (self.features or ()):
            with self._output_lock:  # a thread that is sending what was held has it
                self.is_shared = False

    @property
    def may_detach(self) -> bool:
        """Whether an async method may run beside other requests: the client matches replies by their sequence numbers."""
        return (self.is_shared and len(self.detached) < MAX_DETACHED and not self.closing and self.features is not None
                and features.OUT_OF_ORDER in self.features)

    @property
    def may_use_thread(self) -> bool:
        """Whether an ordinary method may run in another thread beside other requests.

        Only in a thread that is free: the call never waits for one, in front of the requests of other clients. At least half
        of the threads are left to these.
        """
        pool = self.server.detached_pool if self.may_detach else None
        return pool is not None and 2 * len(self._in_threads) < pool.maximum and pool.has_free_thread

    def detach(self, call: DeferredCall) -> None:
        """Run a method beside the next requests."""
        if self.detached is _NO_CALLS:
            self.detached, self._in_threads = set(), set()
        self.detached.add(call)
        if runs_in_worker(call.deferred):
            self._in_threads.add(call)
        call.start()

    def run_detached(self, call: DeferredCall) -> None:
        """Run an ordinary method in a thread of the server."""
        try:
            self.server.detached_pool.submit(functools.partial(self._work, call))
        except RuntimeError as x:  # the system cannot start a thread
            call.context.run(call.finish, None, errors.DaemonError("cannot run a concurrent method: %s" % x))
            self.flush_detached()

    def _work(self, call: DeferredCall) -> None:
        process = os.getpid()
        try:
            call.context.run(_run_method, call, process)
        finally:
            if os.getpid() == process:  # else the connection belongs to the parent process
                self.flush_detached()

    def _forget_detached(self, call: DeferredCall) -> None:
        if self.detached is not _NO_CALLS:
            self.detached.discard(call)
            self._in_threads.discard(call)

    def finish_detached(self, call: DeferredCall, reply: Optional[SendingMessage]) -> None:
        """Store the reply of a detached call. Called in any thread; flush_detached() follows."""
        if reply is not None:
            with self._output_lock:
                self._hold_locked(reply)
        self._forget_detached(call)

    def flush_detached(self) -> None:
        """Send the replies of detached calls. Can be called from any thread."""
        if self.has_tls:
            self.server.notice(self)  # its owner sends
            return
        try:
            self.send_held()
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)  # its owner notices this, too
        if self.has_outgoing or self.dropped:
            self.server.notice(self)

    def sends_all_held(self) -> bool:
        """Send what is held, and return whether nothing is left to send. Called by the owner."""
        try:
            self.send_held()
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)
            return True
        return not self.has_outgoing

    def give_away(self) -> Any:
        """Return the socket, and end this connection without closing it; None if the client has disconnected.

        Called by the owner, after the last reply.
        """
        sock = None
        try:
            self.send_held()
            if not (self.lost or self.has_outgoing or self.keep_open):
                if self._system_timeout:
                    stream_sockets.set_system_receive_timeout(self.sock, 0)
                sock = self.sock
        except OSError as x:
            log.debug("connection with %s lost: %s", self.peer_address, x)
        self.keep_open = self.keep_open or sock is not None  # the loop, which ends the connection, does not close the socket
        self.abandon()
        self.deferred = None
        self.server.park(self)
        return sock

    def cancel_detached(self, reason: str = CLIENT_LOST) -> None:
        """Cancel all calls that are detached."""
        for call in list(self.detached):
            call.running.cancel(reason)


def _run_method(call: DeferredCall, process: int) -> None:
    value, error = None, None
    try:
        call.running.stop_if_cancelled()  # while it waited for this thread
        value = call.deferred.method()
    except BaseException as x:  # also SystemExit and KeyboardInterrupt: they end this call, not the thread
        error = x
    try:
        if os.getpid() != process:
            raise SystemExit(0)  # the method has forked and returned in both processes: the child ends
        call.finish(value, error)
    finally:
        error = None  # its traceback refers to this frame
