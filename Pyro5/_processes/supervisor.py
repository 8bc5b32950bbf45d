"""Run several processes that serve clients at the same address, and replace those that die.

The processes are forked, with os.fork(), when the request loop begins. Each of them has copies of everything that exists in
the program at that time, so also of the registered objects, and a server of its own on the inherited listening socket. The
process of the program only supervises: it serves no clients, and has no threads of its own, which a fork would not copy.
"""
from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional

from .. import NamedTuple, config, errors
from .._server.callbacks import DaemonCallbacks
from .._server.eventloop import END_SECONDS, READ, EventLoop
from .._server.listener import Listener
from .._server.loop import SocketServer
from .child import Child
from .shared_accepting import ConnectionCounts, SharedAcceptor
from .siblings import Siblings

log = logging.getLogger("Pyro5.processes")

RESTART_WINDOW_SECONDS = 60.0  # in which at most PROCESS_RESTARTS processes are replaced
FORK_PAUSE_SECONDS = 1.0  # after the system could not create a process
# Beginnings of the names of threads that a fork does not disturb: the locks of the first one are those of Siblings.no_fork,
# and the package opentelemetry starts its threads again in the new process.
HARMLESS_THREADS = ("Pyro-metrics", "Otel")
TERMINATED = 128 + int(signal.SIGTERM)  # exit code of a process that SIGTERM has ended, by the convention of shells


class Roles(NamedTuple):
    """What the daemon does for the processes.

    Attributes:
        make_server: creates the server of a process, which does not listen yet.
        begin_child: called in each process, with its server and siblings, before it serves.
        next_renewal: returns when (monotonic seconds) `renew` has to be called.
        renew: renews the registrations in name servers.
        end_child: called in each process when it has served.
        tick: called about every two seconds.
    """

    make_server: Callable[[], SocketServer]
    begin_child: Callable[[SocketServer, Siblings], None]
    next_renewal: Callable[[], float]
    renew: Callable[[], None]
    end_child: Callable[[], None]
    tick: Callable[[], None]


class Supervisor(SocketServer):
    """Stands in the place of the server of a daemon, in the process that starts the others.

    Args:
        count: the number of processes.

    Attributes:
        siblings: sends messages to the processes.
    """

    def __init__(self, callbacks: DaemonCallbacks, roles: Roles, count: int) -> None:
        super().__init__(callbacks)
        self._roles = roles
        self._count = count
        self._counts = ConnectionCounts(count)
        self.siblings = Siblings(count, self._counts.running)
        self._listener: Optional[Listener] = None
        self._children: Dict[int, Child] = {}  # by place
        self._missing: List[int] = []  # places without a process
        self._fork_at = 0.0  # not earlier
        self._deaths: Deque[float] = deque()
        self._failure = ""

    def __repr__(self) -> str:
        return "<%s on %s; %d processes>" % (type(self).__name__, self.locationStr, len(self._children))

    def init(self, daemon: Any, host: str, port: int, unixsocket: Optional[str] = None) -> None:
        self._listener = listener = Listener(host, port, unixsocket)
        self.sock = listener.sock
        self.locationStr = listener.location
        self.unreachable_reason = listener.unreachable_reason
        self.watch_wakeup()

    # ------------------------------------------------------------ the loop

    def loop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        """Start the processes, and supervise them until shutdown() is called, loopCondition() returns False, or a signal
        asks for the end.

        Raises:
            DaemonError: processes die again and again; or the loop is running in another thread.
        """
        self._failure = ""
        try:
            with self._stop_signals():
                super().loop(loopCondition)
        finally:
            if self._loop_thread is None and not self.in_forked_child():
                self._stop_children()
        if self._failure:
            raise errors.DaemonError(self._failure)

    def begin(self) -> None:
        self._missing = list(range(self._count))
        self._start_missing()

    def next_deadline(self) -> float:
        due = self._roles.next_renewal()
        return min(due, self._fork_at) if self._missing else due

    def handle_expired(self, now: float) -> None:
        if self._missing and now >= self._fork_at and not self.stopping:
            self._start_missing()
        if now >= self._roles.next_renewal():
            self._roles.renew()

    def tick(self) -> None:
        self.read_settings()
        self._roles.tick()
        # For those whose end their lifeline does not report, because another process has it, too.
        for child in list(self._children.values()):
            code = child.exit_code(0.0)
            if code is not None:
                self._ended(child, code)

    def note_end(self, child: Child) -> None:
        """Replace a process that has ended."""
        code = child.exit_code(time.monotonic() + END_SECONDS)
        if code is None:  # it has only closed its end: it cannot be told to end any more
            child.kill()
            code = -signal.SIGKILL
        self._ended(child, code)

    def _ended(self, child: Child, code: int) -> None:
        self._remove(child)
        if code == 0:
            log.info("process %d of the daemon on %s was shut down: so are the others", child.pid, self.locationStr)
            self.shutdown()
            return
        log.warning("process %d of the daemon on %s has ended (%s)", child.pid, self.locationStr,
                    "signal %d" % -code if code < 0 else "exit code %d" % code)
        self._missing.append(child.place)
        self._count_death()
        if not self._failure:
            self._start_missing()

    def _count_death(self) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        while self._deaths[0] < now - RESTART_WINDOW_SECONDS:
            self._deaths.popleft()
        limit = config.PROCESS_RESTARTS
        if limit and len(self._deaths) > limit:
            self._failure = ("processes of the daemon on %s keep ending: more than %d within %g seconds (see the setting "
                             "PROCESS_RESTARTS)" % (self.locationStr, limit, RESTART_WINDOW_SECONDS))
            log.error("%s", self._failure)
            self.shutdown()

    def _remove(self, child: Child) -> None:
        self._children.pop(child.place, None)
        self._counts.set_absent(child.place)
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(child.lifeline)
        child.close()

    # ------------------------------------------------------------ starting and stopping processes

    def _start_missing(self) -> None:
        while self._missing and not self.stopping:
            place = self._missing[0]
            try:
                self._start(place)
            except OSError as x:
                log.warning("cannot start a process of the daemon on %s now, trying again: %s", self.locationStr, x)
                self._fork_at = time.monotonic() + FORK_PAUSE_SECONDS
                return
            self._missing.remove(place)

    def _start(self, place: int) -> None:
        if self._listener is None:
            return
        lifeline, other_end = socket.socketpair()
        try:
            with self.siblings.no_fork:
                pid = _fork()
        except BaseException:
            lifeline.close()
            other_end.close()
            raise
        if pid == 0:
            lifeline.close()
            _leave(functools.partial(self._serve_in_child, self._listener, place, other_end))
        other_end.close()
        child = self._children[place] = Child(place, pid, lifeline, self.note_end)
        self.register(lifeline, READ, child)
        log.info("process %d serves clients on %s", pid, self.locationStr)

    def _stop_children(self) -> None:
        """End all processes in order. Running calls get SHUTDOWN_TIMEOUT seconds."""
        children = list(self._children.values())
        try:
            for child in children:
                with contextlib.suppress(KeyError, ValueError):
                    self.selector.unregister(child.lifeline)
                with contextlib.suppress(OSError):
                    child.lifeline.shutdown(socket.SHUT_WR)
            end = time.monotonic() + self._finish_seconds + 3 * END_SECONDS
            for child in children:
                if child.exit_code(end) is None:
                    log.warning("process %d has not ended in time, killing it", child.pid)
        finally:  # also after a second Ctrl-C
            for child in children:
                self._finish_child(child)
            self._missing.clear()

    def _finish_child(self, child: Child) -> None:
        if child.exit_code(0.0) is None and child.is_alive():
            child.kill()
            child.exit_code(time.monotonic() + END_SECONDS)
        self._remove(child)

    def free(self) -> None:
        # First: clients that connect now are refused, as by a server with one process.
        if self._listener is not None:
            self._listener.close()
        self._stop_children()
        self.callbacks.finish(END_SECONDS)
        self.siblings.close()
        self._counts.close()

    def discard(self) -> None:
        self.siblings.close()
        self._counts.close()
        super().discard()

    @contextlib.contextmanager
    def _stop_signals(self) -> Iterator[None]:
        """Make SIGTERM and SIGHUP end the loop in order, if the program has not set handlers of its own."""
        before: Dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    before[number] = signal.signal(number, lambda *args: self.shutdown())
        try:
            yield
        finally:
            if not self.in_forked_child():
                for changed, handler in before.items():
                    signal.signal(changed, handler)

    # ------------------------------------------------------------ in the process that was started

    def _serve_in_child(self, listener: Listener, place: int, lifeline: socket.socket) -> int:
        """Serve clients until the end; return the exit code of the process."""
        for child in self._children.values():
            child.close()
        EventLoop.close_in_child(self)  # not the listening socket
        listener.keep_file()
        server = self._roles.make_server()
        is_terminated: List[int] = []

        def terminate(*args: object) -> None:
            is_terminated.append(TERMINATED)
            server.shutdown()

        _set_signals(terminate)
        server.serve_listener(listener, functools.partial(SharedAcceptor, counts=self._counts, place=place))
        self._roles.begin_child(server, self.siblings)
        self.siblings.begin(place)
        threading.Thread(target=_end_with_parent, args=(lifeline, server), name="Pyro-lifeline", daemon=True).start()
        server.loop()
        server.close()
        self._roles.end_child()
        return is_terminated[0] if is_terminated else 0

    # ------------------------------------------------------------ what only servers with one process can do

    def events(self, eventsockets: Iterable[Any]) -> None:
        raise _one_process_only("events()")

    def attach(self, loop: Any) -> None:
        raise _one_process_only("attach()")

    def combine(self, other: EventLoop) -> None:
        raise _one_process_only("combine() with another daemon")

    def end_background(self) -> None:  # called by the loop of another daemon that this one is combined with
        raise _one_process_only("combine()")

    @property
    def sockets(self) -> List[Any]:
        raise _one_process_only("sockets")


def _one_process_only(what: str) -> errors.DaemonError:
    return errors.DaemonError("%s is not possible for a daemon with several processes: they are started and supervised by "
                              "requestLoop()" % what)


def _fork() -> int:
    """Fork; return 0 in the child, and its process id in the parent."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # replaced by the program, closed, or a broken pipe
            stream.flush()  # else both processes write what is buffered
    harmless = (threading.current_thread(), threading.main_thread())
    others = [thread.name for thread in threading.enumerate() if thread not in harmless
              and not thread.name.startswith(HARMLESS_THREADS)]
    if others:
        log.warning("forking while other threads run (%s): locks that they hold stay locked in the new process",
                    ", ".join(others))
    with warnings.catch_warnings():
        # From Python 3.12 on, for any other thread, also for a main thread that only waits. The log says it above.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _leave(serve: Callable[[], int]) -> None:
    """Run a function in a process that was just forked, and end the process with the exit code that it returns: what the
    program does after its request loop must not run twice.
    """
    code = 1
    try:
        code = serve()
    except SystemExit as x:  # raised by a method that the loop has run
        code = x.code if isinstance(x.code, int) else 0 if x.code is None else 1
    except BaseException:
        log.exception("a process of the daemon ends because of an error")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _set_signals(terminate: Callable[..., None]) -> None:
    """Set the signal handlers of a new process: a terminal sends Ctrl-C to all of them, but the supervisor decides."""
    signal.set_wakeup_fd(-1)  # of the program: the socket belongs to the supervisor
    signal.signal(signal.SIGTERM, terminate)
    for number in (signal.SIGINT, signal.SIGHUP):
        # A function, not SIG_IGN, which programs that a method starts would inherit.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *args: None)


def _end_with_parent(lifeline: socket.socket, server: SocketServer) -> None:
    """Shut a server down when the supervisor asks for it, or has ended itself."""
    with contextlib.suppress(OSError):
        lifeline.recv(1)
    server.shutdown()
