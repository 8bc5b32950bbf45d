"""A time limit for receiving from TLS sockets that the program has made (`ssl.SSLSocket`).

OpenSSL receives from these sockets until there is data. A peer that sends records without data, such as key updates, as fast
as they can be processed keeps it busy without end, and neither a timeout nor non-blocking mode ends the operation. The sockets
of this library have a limit of their own, see `tls_socket`. For others, a thread shuts down the socket when an operation takes
much longer than it may.
"""
from __future__ import annotations

import os
import socket
import threading
from typing import Any, Dict, List, Optional

# Counted in ticks of the thread and not in seconds: while the process is stopped, in a debugger for example, none pass.
TICK_SECONDS = 0.5
EXTRA_TICKS = 4  # beyond the timeout of the socket
IDLE_TICKS = 20  # without an operation, after which the thread ends


class _Watchdog:
    """Shuts down the sockets of operations that take too long. Thread-safe."""

    def __init__(self) -> None:
        # The ticks that are left, and the socket, of each operation; changed by single operations of the dict.
        self.active: Dict[int, List[Any]] = {}
        self._lock = threading.Lock()  # guards the next one
        self.is_running = False

    def ensure_running(self) -> None:
        """Start the thread if it does not run."""
        with self._lock:
            if not self.is_running:
                self.is_running = True
                threading.Thread(target=self._run, name="Pyro5 TLS watchdog", daemon=True).start()

    def _run(self) -> None:
        idle, never = 0, threading.Event()
        while True:
            never.wait(TICK_SECONDS)
            self.tick()
            idle = 0 if self.active else idle + 1
            with self._lock:
                # Decided under the lock: ensure_running() either finds the thread alive, or starts a new one.
                if idle >= IDLE_TICKS and not self.active:
                    self.is_running = False
                    return

    def tick(self) -> None:
        """Count one tick for each operation, and end those that have none left."""
        for entry in list(self.active.values()):
            entry[0] -= 1
            if entry[0] == 0:
                _shut_down(entry[1])


def _shut_down(sock: socket.socket) -> None:
    try:
        # Not the method of the TLS socket: that would change its state, which another thread is using.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # it is closed


_watchdog = _Watchdog()


def _forget_thread() -> None:
    """Make a forked child start a thread of its own: that of its parent does not exist there."""
    global _watchdog
    _watchdog = _Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_thread)


class GuardedReceiver:
    """Receives from a TLS socket, with a limit for the time. One thread uses it at a time."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        """Receive like the socket."""
        data: bytes = self._guarded(self._sock.recv, size)
        return data

    def recv_into(self, buffer: Any) -> int:
        """Receive like the socket."""
        count: int = self._guarded(self._sock.recv_into, buffer)
        return count

    def _guarded(self, receive: Any, argument: Any) -> Any:
        timeout: Optional[float] = self._sock.gettimeout()
        if timeout is None:
            return receive(argument)  # the program wants to wait without a limit
        watchdog = _watchdog
        watchdog.active[id(self)] = [EXTRA_TICKS + int(timeout / TICK_SECONDS), self._sock]
        if not watchdog.is_running:  # after the entry was added: a thread that ends looks for entries last
            watchdog.ensure_running()
        try:
            return receive(argument)
        finally:
            del watchdog.active[id(self)]


def guarded(sock: Any) -> Any:
    """Return an object to receive from: for a TLS socket of the program with a limit, otherwise the socket itself."""
    return GuardedReceiver(sock) if hasattr(sock, "do_handshake") and not hasattr(sock, "has_sent") else sock
