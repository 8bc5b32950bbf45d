"""A network that fails as it is told: a forwarder between clients and a server that delays, splits, loses, cuts and resets.

What a TCP connection cannot do, lose bytes in the middle, is not done: a connection that loses something loses all from then
on, as with a firewall that has forgotten it.
"""
from __future__ import annotations

import functools
import random
import selectors
import socket
import struct
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from Pyro5.server import Daemon

from ..peers import settings
from ..support import PATIENCE_SECONDS, daemon_thread
from .ledger import Ledger, Summary, examine
from .workload import Caller, at_once

# What can happen to one direction of a connection after some of its bytes: nothing; it is handed on in pieces of one byte;
# it is held up for a moment; the rest is lost without a word; the connection is ended; it is reset.
FINE, SPLIT, DELAY, LOSE, CUT, RESET = "fine", "split", "delay", "lose", "cut", "reset"
UP, DOWN = "up", "down"  # towards the server, and back

SPLIT_BYTES = 200  # after so many single bytes, pieces are large again: each costs a system call
DELAY_SECONDS = 0.01
RECEIVE_BYTES = 65536


class Fault(NamedTuple):
    """What happens to a connection.

    Attributes:
        kind: what; see above.
        direction: UP or DOWN.
        at: after how many bytes in that direction.
    """

    kind: str
    direction: str
    at: int


Plan = Callable[[int], Fault]


def seeded_plan(seed: int) -> Plan:
    """Make a plan by chance, for connections by their number: the same for the same seed."""
    def plan(number: int) -> Fault:
        chance = random.Random(seed * 1000003 + number)
        # within the handshake, the first calls, or a large message
        at = chance.randrange(chance.choice([40, 400, 4000, 400000]))
        return Fault(chance.choice([FINE, SPLIT, DELAY, LOSE, CUT, RESET]), chance.choice([UP, DOWN]), at)
    return plan


class _Way:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, target: socket.socket, fault: Optional[Fault]) -> None:
        self.source = source
        self.target = target
        self.fault = fault
        self.passed = 0
        self.waiting = b""
        self.hold_until = 0.0


class Relay:
    """Forwards connections, in a thread of its own. As a context manager it ends all of them.

    Args:
        target: where the server is.
        plan: gives what shall happen to a connection, called with its number.
    """

    def __init__(self, target: Tuple[str, int], plan: Plan) -> None:
        self._target = target
        self._plan = plan
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        self._ways: Dict[socket.socket, _Way] = {}
        self._thread = threading.Thread(target=self._run, name="relay of the test")
        self.connections = 0
        self.happened: List[str] = []

    @property
    def location(self) -> str:
        return "%s:%d" % self._listener.getsockname()

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.close()
        self._thread.join(PATIENCE_SECONDS)
        for sock in (*self._ways, self._listener, self._stopped):
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._next_due()):
                if key.fileobj is self._stopped:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj in self._ways:  # not ended by what was ready before it
                    self._receive(self._ways[key.fileobj])
            self._hand_on_what_was_held()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._target)
        fault = self._plan(self.connections)
        self.connections += 1
        for source, target, direction in ((client, server, UP), (server, client, DOWN)):
            source.settimeout(PATIENCE_SECONDS)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ways[source] = _Way(source, target, fault if fault.direction == direction else None)
            self._selector.register(source, selectors.EVENT_READ, None)

    def _next_due(self) -> Optional[float]:
        due = [way.hold_until for way in self._ways.values() if way.waiting]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _hand_on_what_was_held(self) -> None:
        for way in list(self._ways.values()):
            if way.waiting and way.hold_until <= time.monotonic():
                data, way.waiting = way.waiting, b""
                self._send(way, data)

    def _receive(self, way: _Way) -> None:
        try:
            data = way.source.recv(RECEIVE_BYTES)
        except ConnectionError:
            self._end(way, reset=True)
            return
        if not data:
            self._end(way)
            return
        way.passed += len(data)
        if way.fault is not None and way.passed > way.fault.at:
            self._befall(way, way.fault, data)
        else:
            self._send(way, data)

    def _befall(self, way: _Way, fault: Fault, data: bytes) -> None:
        """The fault's moment has come, or is past."""
        good = max(0, fault.at - (way.passed - len(data)))
        self.happened.append(fault.kind)
        if fault.kind == FINE:
            self._send(way, data)
        elif fault.kind == DELAY:
            way.waiting += data
            way.hold_until = time.monotonic() + DELAY_SECONDS
        elif fault.kind == SPLIT:
            for start in range(min(len(data), SPLIT_BYTES)):
                self._send(way, data[start:start + 1])
            self._send(way, data[SPLIT_BYTES:])
        elif self._send(way, data[:good]) and fault.kind != LOSE:
            self._end(way, reset=fault.kind == RESET)

    def _send(self, way: _Way, data: bytes) -> bool:
        """Hand it on; tell whether that went well."""
        try:
            if way.source in self._ways:
                way.target.sendall(data)
        except OSError:
            self._end(way, reset=True)
            return False
        return True

    def _end(self, way: _Way, reset: bool = False) -> None:
        """End the connection, on both sides."""
        for sock in (way.source, way.target):
            if self._ways.pop(sock, None) is None:
                continue
            self._selector.unregister(sock)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


CLIENTS = 4
TIMEOUT_SECONDS = 0.1


def run(servertype: str, steps: int, seed: int, retries: int = 0) -> Summary:
    """Make clients take this number of steps each over a bad network; check that everything fits together.

    Args:
        retries: how often a client repeats a call: then all of them must have been executed, some more than once.
    """
    written: List[Tuple[str, ...]] = []

    def write(*words: str) -> None:
        written.append(words)

    with settings(SERVERTYPE=servertype, ITER_STREAM_LINGER=0.5), daemon_thread(Daemon("127.0.0.1")) as daemon:
        uri = daemon.register(Ledger(write), "ledger")
        with Relay(daemon.sock.getsockname(), seeded_plan(seed)) as relay:
            callers = [Caller("r%d" % number, "PYRO:ledger@" + relay.location, write, seed * 100 + number, TIMEOUT_SECONDS,
                              impatient=not retries) for number in range(CLIENTS)]
            for caller in callers:
                caller.proxy._pyroMaxRetries = retries
            at_once([functools.partial(_work, caller, steps) for caller in callers])
        problems = _check_still_serving(uri, written)
    summary = examine(written, may_repeat=retries > 0)
    return summary._replace(problems=summary.problems + problems)


def _work(caller: Caller, steps: int) -> None:
    with caller:
        caller.proxy._pyroClaimOwnership()
        for _ in range(steps):
            caller.step()


def _check_still_serving(uri: Any, written: List[Tuple[str, ...]]) -> List[str]:
    with Caller("direct", uri, lambda *words: written.append(words), seed=0) as caller:
        return [] if all(caller.step() for _ in range(20)) else ["a client without such troubles was not served"]
