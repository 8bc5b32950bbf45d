"""The connections of one proxy, which thread uses which of them, and closing those that have not been used for a while.

A thread uses a connection for one call at a time: it holds the lock of the connection from the request until the reply is
complete. Threads that find no free connection wait in the order of their arrival.
"""
from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Union

from .. import errors
from .connection import Connection
from .holders import LOOK_SECONDS, ReclaimableLock, Waiter, is_using

# What claim() may ask its caller for: to open the first connection, a further one, or one for a nested call.
OPEN_FIRST, OPEN_EXTRA, OPEN_SIDE = "first", "extra", "side"
IDLE_SECONDS = 60.0  # after which further connections are closed
MAX_REMEMBERED_THREADS = 256  # programs that make a thread per task would fill the table with threads that have ended


class ConnectionPool:
    """The connections of one link. Thread-safe.

    Attributes:
        by_thread: the connection that each thread used last. Read without a lock: the lock of the connection decides.
        waiters: threads that wait for a connection. A release looks at it without a lock; see release().
        connecting: held while the first connection is opened; re-entrant, as the application validates the handshake then.
        seq: the sequence number of the last request.
    """

    __slots__ = ("by_thread", "waiters", "connecting", "seq", "_mutex", "_connections", "_sides", "_opening", "_generation",
                 "_failed")

    def __init__(self) -> None:
        self.by_thread: Dict[int, Connection] = {}
        self.waiters: Deque[Waiter] = deque()
        self.connecting = ReclaimableLock()
        self.seq = 0
        self._mutex = threading.Lock()  # guards everything below, and changes of everything above
        self._connections: List[Connection] = []  # those that any call may use
        self._sides: List[Connection] = []  # those for nested calls
        self._opening: List[int] = []  # the threads that open connections, beyond the first one
        self._generation = 0  # counts first connections
        self._failed: Dict[int, int] = {}  # by thread: the generation of the connection that its last failed call used

    def claim(self, ident: int, limit: int, nested_in: Optional[bytes], is_serving: bool,
              preferred: Optional[Connection] = None) -> Union[Connection, Waiter, str]:
        """Return a locked connection for the next call of a thread, or what the thread has to do to get one.

        Args:
            ident: of the calling thread.
            limit: the number of connections that there may be.
            nested_in: the correlation id of the request that the thread is serving, None if there is none.
            is_serving: whether the thread is serving a request at all.
            preferred: the connection that this call belongs to, as those for the items of a stream do.

        Returns:
            a connection; OPEN_FIRST, OPEN_EXTRA or OPEN_SIDE; or a waiter, to be passed to `wait`.
        """
        with self._mutex:
            may_open = len(self._connections) + len(self._opening) < limit
            if not may_open and ident in self._opening:
                self._opening.remove(ident)  # it was interrupted
                may_open = len(self._connections) + len(self._opening) < limit
            connection = self._free_connection(ident, preferred, may_open)
            if connection is not None:
                return connection
            # Those for nested calls do not count: other calls cannot use them.
            if not self._connections:
                return OPEN_FIRST
            connection = self._left_by(ident)
            if connection is not None:
                return connection
            if self._is_nested(ident, nested_in, is_serving):
                # The calls in flight cannot end before this one has: it must not wait for their connections.
                return self._free_side(ident) or OPEN_SIDE
            # `_opening` counts too: threads that come at the same moment must not open more than the limit together.
            if may_open and preferred is None:
                self._opening.append(ident)
                return OPEN_EXTRA
            waiter = Waiter(ident, preferred)
            self.waiters.append(waiter)
            # A connection that was released just before the waiter was in the queue is not handed over by release().
            connection = self._free_connection(ident, preferred)
            if connection is not None:
                self.waiters.remove(waiter)
                return connection
            return waiter

    def _free_connection(self, ident: int, preferred: Optional[Connection], may_open: bool = False) -> Optional[Connection]:
        """Lock and return a connection that is free: the one that the thread used last, or one without late replies. One with
        late replies, which the next call has to wait for, is returned only if no other one may be opened.
        """
        # The connection that the thread used last, so that oneway calls of one thread usually keep their order.
        usual = self.by_thread.get(ident) if preferred is None else preferred
        if preferred is not None and preferred in self._connections:
            # The call belongs to this connection (its item stream, or the exclusive use), so no other one will do.
            return preferred if self._lock(preferred, ident) else None
        if usual is not None and usual in self._connections and not usual.late and self._lock(usual, ident):
            return usual
        # A connection that still gets the reply of a call that has timed out has to receive that one first.
        for connection in sorted(self._connections, key=lambda each: bool(each.late)):
            if not (may_open and connection.late) and self._lock(connection, ident):
                return connection
        return None

    def _left_by(self, ident: int) -> Optional[Connection]:
        """Return a connection that the calling thread has left locked without using it any more; None if there is none."""
        for connection in self._connections:
            if connection.user == ident and connection.lock.locked() and not is_using(ident, connection, __name__):
                connection.mid_exchange = True
                return connection
        return None

    def _reclaim(self, waiter: Waiter) -> Optional[Connection]:
        """Return a connection that another thread has left locked, now held by the calling thread; None if there is none.

        It must not be used for a call. A thread can leave one locked if an exception interrupts it, see `holders`. This was
        found twice, with the same last call: a connection that is in use is not taken away.
        """
        suspects = [(each, each.user, each.call_id) for each in self._connections
                    if each.lock.locked() and not (each.user and is_using(each.user, each))]
        before, waiter.suspects = waiter.suspects, suspects
        for connection, user, call_id in suspects:
            if any([connection is each[0] and user == each[1] and call_id is each[2] for each in before]):
                connection.user, connection.mid_exchange = waiter.ident, True
                return connection
        return None

    def _lock(self, connection: Connection, ident: int) -> bool:
        # Also one whose exchange was interrupted, which must not be used again: the thread that gets it drops it. If it were
        # passed over here, it would stay in the pool for ever, and take the place of another one.
        if not connection.lock.acquire(blocking=False):
            return False
        connection.user = ident
        if len(self.by_thread) >= MAX_REMEMBERED_THREADS:
            self.by_thread.clear()  # most of those threads have ended
        self.by_thread[ident] = connection
        return True

    def is_nested(self, ident: int, correlation_id: Optional[bytes]) -> bool:
        """Return whether a call of this thread, which serves a request, is nested in one that is in flight here."""
        with self._mutex:
            return self._is_nested(ident, correlation_id, True)

    def _is_nested(self, ident: int, correlation_id: Optional[bytes], is_serving: bool) -> bool:
        # Only connections in use matter: a nested call never waits for a free one.
        for connection in self._connections:
            if not connection.lock.locked():
                continue
            if connection.user == ident:
                return True  # a finalizer or a signal handler interrupted a call of the same thread
            if is_serving and connection.call_id == correlation_id and correlation_id is not None:
                return True
            if is_serving and connection.call_id is None and connection.features is None:
                return True  # an old server invents the correlation id: this may be its callback
        return False

    def claim_side(self, ident: int) -> Optional[Connection]:
        """Lock and return a free connection for a nested call, None if there is none."""
        with self._mutex:
            return self._free_side(ident)

    def _free_side(self, ident: int) -> Optional[Connection]:
        for connection in self._sides:
            if not connection.mid_exchange and connection.lock.acquire(blocking=False):
                connection.user = ident
                return connection
        return None

    def wait(self, waiter: Waiter, deadline: Optional[float]) -> Optional[Connection]:
        """Wait for a connection.

        Args:
            deadline: monotonic time, None for no limit.

        Returns:
            a locked connection; None if the thread has to claim one again.

        Raises:
            TimeoutError: the deadline has passed; the request was not sent.
        """
        try:
            return self._wait(waiter, deadline)
        except BaseException:
            # A TimeoutError, or KeyboardInterrupt: the thread leaves the queue, and passes on what it was handed meanwhile.
            with self._mutex:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)
            if waiter.connection is not None:
                self.release(waiter.connection)
            raise

    def _wait(self, waiter: Waiter, deadline: Optional[float]) -> Optional[Connection]:
        while not waiter.wait(LOOK_SECONDS if deadline is None else min(max(deadline - time.monotonic(), 0), LOOK_SECONDS)):
            # Woken between the end of the time and the mutex: the connection is locked for this thread already.
            with self._mutex:
                if waiter.is_woken:
                    break
                ident = threading.get_ident()
                free = self._free_connection(ident, waiter.preferred) or self._reclaim(waiter)
                if free is None and (deadline is None or time.monotonic() < deadline):
                    continue
                if free is not None:
                    self.waiters.remove(waiter)
                    return free
                raise errors.not_sent(errors.TimeoutError(self._reason_for_waiting()))
        connection: Optional[Connection] = waiter.connection
        return connection

    def _reason_for_waiting(self) -> str:
        count = len(self._connections)
        if count > 1:
            which = "all %d connections of the proxy were in use by other threads (setting PROXY_CONNECTIONS)" % count
        else:
            which = ("the only connection of the proxy was in use by another thread (calls take turns if the object has "
                     "sessions, the server is of another release, or the setting PROXY_CONNECTIONS is 1)")
        return "timed out while waiting for a connection: " + which

    def release(self, connection: Connection) -> None:
        """Unlock a connection after a call, and hand it to the thread that has waited longest.

        The lock is released before the queue is looked at, and a waiter joins the queue before it tries the locks for the
        last time (see `claim`): so one of the two sees the other.
        """
        connection.user = 0  # before the lock is released: it is never that of a thread which does not hold the lock
        connection.lock.release()
        if self.waiters:
            self.hand_over()

    def hand_over(self) -> None:
        """Hand free connections to waiting threads; if there are no connections any more, have the threads open one."""
        with self._mutex:
            for waiter in list(self.waiters):
                usable = self._connections if waiter.preferred is None else [waiter.preferred]
                free = next((each for each in usable if each.lock.acquire(blocking=False)), None)
                if free is not None:
                    # Locked here on behalf of the waiter, so that no thread that comes later can take it first.
                    free.user = waiter.ident
                    self.by_thread[waiter.ident] = free
                elif self._connections and (waiter.preferred is None or waiter.preferred in self._connections):
                    continue
                self.waiters.remove(waiter)
                waiter.wake(free)

    def add(self, connection: Connection, ident: int, kind: str) -> None:
        """Add a connection that was opened because `claim` said so (or without being asked: the first one).

        Args:
            ident: of the thread that uses it first. An OPEN_EXTRA or OPEN_SIDE connection is locked by it.
        """
        with self._mutex:
            # No waiting thread may get it: it would be missing when the next nested call needs it.
            if kind == OPEN_SIDE:
                self._sides.append(connection)
                return
            if kind == OPEN_EXTRA and ident in self._opening:
                self._opening.remove(ident)
            self._generation += kind == OPEN_FIRST
            connection.generation = self._generation
            self._connections.append(connection)
            self.by_thread[ident] = connection
        if self.waiters:
            self.hand_over()

    def cancel_opening(self, ident: int) -> None:
        """Note that this thread could not open an OPEN_EXTRA connection."""
        with self._mutex:
            if ident in self._opening:
                self._opening.remove(ident)

    def discard(self, connection: Connection) -> None:
        """Remove a connection that cannot be used any more."""
        with self._mutex:
            for connections in (self._connections, self._sides):
                if connection in connections:
                    connections.remove(connection)
            self._forget_threads_of(connection)
            # All of them are woken, because one more connection may be opened now, and any of them may be the one to open it.
            for waiter in self.waiters:
                waiter.wake()
            self.waiters.clear()

    def call_failed(self, connection: Connection, ident: int, is_lost: bool) -> None:
        """Note that a call failed, and that its thread should not use the connection any more.

        Args:
            is_lost: whether the server has closed the connection. It may have closed all of them.
        """
        with self._mutex:
            self.by_thread.pop(ident, None)
            if len(self._failed) >= MAX_REMEMBERED_THREADS:
                self._failed.clear()
            self._failed[ident] = connection.generation
            if is_lost:
                for each in self._connections + self._sides:
                    each.is_suspect = True
                self.by_thread.clear()  # so that every connection is looked at before it is used again

    def is_newer_than_failure(self, connection: Connection, ident: int) -> bool:
        """Return whether this connection was made after the one of the last call of a thread, which has failed."""
        with self._mutex:
            failed = self._failed.get(ident)
            return failed is not None and ident not in self.by_thread and failed < connection.generation

    def remove_all(self) -> List[Connection]:
        """Remove and return all connections; threads that wait have to open one again."""
        with self._mutex:
            removed = self._connections + self._sides
            self._connections, self._sides = [], []
            self.by_thread.clear()
            for waiter in self.waiters:
                waiter.wake()
            self.waiters.clear()
        for connection in removed:
            connection.mid_exchange = True  # for threads that hold one of them, or have found one without the mutex
        return removed

    def inherited(self) -> List[Connection]:
        """Return all connections, in a forked process, where the mutex may be held by a thread that does not exist there."""
        return self._connections + self._sides

    def _forget_threads_of(self, connection: Connection) -> None:
        for ident in [ident for ident, used in list(self.by_thread.items()) if used is connection]:
            self.by_thread.pop(ident, None)

    def first(self) -> Optional[Connection]:
        """Return a connection that any call may use, None if there is none: those of nested calls do not count."""
        with self._mutex:
            return self._connections[0] if self._connections else None

    def connections(self) -> List[Connection]:
        """Return all connections, those of nested calls last."""
        with self._mutex:
            return self._connections + self._sides

    def idle_connections(self, kept: Any, idle_before: float) -> List[Connection]:
        """Remove, lock and return the connections that were not used after this monotonic time, and serve no item stream."""
        with self._mutex:
            # Locked, so that no thread begins a call over a connection that is about to be closed.
            idle = [each for each in self._connections + self._sides
                    if each is not kept and each.idle_since < idle_before and not each.streams
                    and each.lock.acquire(blocking=False)]
            for connection in idle:
                (self._sides if connection in self._sides else self._connections).remove(connection)
                self._forget_threads_of(connection)
        return idle

    def has_extras(self, kept: Any) -> bool:
        """Return whether there are connections besides this one."""
        with self._mutex:
            return any([each is not kept for each in self._connections + self._sides])


class IdleConnections:
    """Watches the links that have more than one connection, in a thread that exists only while there are some. Thread-safe.

    Args:
        idle_seconds: how long a connection may be unused.
        clock: returns monotonic seconds.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked process must: the thread is the parent's."""
        # Guards the rest. Entered itself and not by the condition: its methods are written in Python, and an exception of a
        # signal handler could interrupt them after they have acquired the lock.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._links: Dict[int, weakref.ref[Any]] = {}  # by identity
        self._thread: Optional[threading.Thread] = None

    def add(self, link: Any) -> None:
        """Watch a link. It must have the method ``close_idle(idle_before)``, which returns whether to watch it further."""
        with self._lock:
            # Weak, because a proxy that is dropped has to be destroyed at once, and its connections closed.
            self._links[id(link)] = weakref.ref(link)
            if self._thread is None or not self._thread.is_alive():  # its start may have been interrupted
                self._thread = threading.Thread(target=self._run, name="Pyro5 idle connections", daemon=True)
                self._thread.start()

    def discard(self, link: Any) -> None:
        """Watch a link no longer."""
        with self._lock:
            self._links.pop(id(link), None)
            if not self._links:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._links:
                    # A quarter of the time: connections are closed after at most a quarter more than it.
                    self._changed.wait(self._idle_seconds / 4)
                links: List[Any] = list(filter(None, [find() for find in list(self._links.values())]))
                if not links:
                    self._links.clear()
                    self._thread = None
                    return
            # Without the lock: closing a connection is I/O, and discard() takes it.
            idle_before = self._clock() - self._idle_seconds
            while links:
                link = links.pop()
                if not link.close_idle(idle_before):
                    self.discard(link)
                del link  # it is not kept alive while this waits


idle_connections = IdleConnections()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=idle_connections.forget_all)
