"""A network that loses packets, or is cut: two network namespaces, and a cable between them that is a thread of this process.

Each end of the cable is a TAP device; what the system sends through one is read here and written to the other, or not. So it
is the system's own TCP that finds packets lost, late, doubled or in another order. Needs Linux, root and /dev/net/tun.
"""
from __future__ import annotations

import contextlib
import ctypes
import functools
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from typing import Any, Callable, Iterator, List, NamedTuple, Tuple

from Pyro5 import errors
from Pyro5.server import Daemon

from .. import netns
from ..peers import settings
from ..support import PATIENCE_SECONDS, daemon_thread
from .ledger import Ledger, Summary, examine
from .workload import Caller, at_once

# An address block for documentation (RFC 5737); tests.netns uses the two others.
SERVER_IP, CLIENT_IP = "192.0.2.1", "192.0.2.2"
NETWORK, DEVICE = "192.0.2.0/28", "lossy"
# When TCP begins to send a packet again; usually 200 ms, and the test would do nothing but wait.
REPEAT_AFTER = "20ms"

_TUN_FILE = "/dev/net/tun"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000
_FRAME_BYTES = 65536
# Where the flags of TCP are in a frame without options of IP, and the one that a packet which connects has.
_FLAGS_AT, _SYN = 47, 0x02


class Weather(NamedTuple):
    """What happens to packets, each by chance.

    Attributes:
        lost, doubled, late: how likely, 0 to 1.
        late_seconds: how much later than others a late one arrives.
    """

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_seconds: float = 0.005


FAIR = Weather()
STORM = Weather(lost=0.03, doubled=0.03, late=0.1)
CUT = Weather(lost=1.0)


def _connects(frame: bytes) -> bool:
    """Return whether it is one that the system repeats after whole seconds only, which would teach nothing."""
    return len(frame) > _FLAGS_AT and bool(frame[_FLAGS_AT] & _SYN)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Make this thread create its sockets in a namespace, for the block."""
    with open("/proc/thread-self/ns/net", "rb") as home, open("/run/netns/" + namespace, "rb") as target:
        _enter(target.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


class _End(NamedTuple):
    """What one side of the cable is, and how it knows the other."""

    namespace: str
    address: str
    hardware: str
    other_address: str
    other_hardware: str


def _open_tap(end: _End) -> int:
    import fcntl  # on the systems where all of this is possible
    device = ("dev", DEVICE)
    with inside(end.namespace):
        descriptor = os.open(_TUN_FILE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP | _IFF_NO_PI))
            for command in (("link", "set", *device, "address", end.hardware, "up"),
                            ("address", "add", end.address + "/28", "noprefixroute", *device),
                            ("route", "add", NETWORK, *device, "src", end.address, "rto_min", REPEAT_AFTER),
                            ("neighbour", "add", end.other_address, "lladdr", end.other_hardware, *device)):
                subprocess.run(["ip", *command], check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


class Cable:
    """Carries packets between the two namespaces, in a thread of its own; as a context manager.

    Attributes:
        weather: what happens to packets from now on; any thread may set it.
        lost: how many were lost so far.
    """

    def __init__(self, network: netns.Network, seed: int) -> None:
        self.weather = FAIR
        self.carried = self.lost = 0
        self._chance = random.Random(seed)
        self._late: List[Tuple[float, int, int, bytes]] = []
        server, client = (SERVER_IP, "02:00:00:00:00:01"), (CLIENT_IP, "02:00:00:00:00:02")
        self._ends: List[int] = []
        for namespace, own, other in ((network.server, server, client), (network.client, client, server)):
            self._ends.append(_open_tap(_End(namespace, *own, *other)))
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="cable of the test")

    def __enter__(self) -> Cable:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._stop)
        self._thread.join(PATIENCE_SECONDS)
        for descriptor in (self._stopped, *self._ends):
            os.close(descriptor)

    def _run(self) -> None:
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            ready, _, _ = select.select([*self._ends, self._stopped], [], [], wait)
            if self._stopped in ready:
                return
            for end in ready:
                self._carry(os.read(end, _FRAME_BYTES), self._ends[end == self._ends[0]])
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, target, frame = heapq.heappop(self._late)
                self._put(target, frame)

    def _carry(self, frame: bytes, target: int) -> None:
        weather = self.weather
        self.carried += 1
        if weather == CUT or (self._chance.random() < weather.lost and not _connects(frame)):
            self.lost += 1
        elif self._chance.random() < weather.late:
            due = time.monotonic() + weather.late_seconds * self._chance.random()
            heapq.heappush(self._late, (due, self.carried, target, frame))
        else:
            self._put(target, frame)
            if self._chance.random() < weather.doubled:
                self._put(target, frame)

    @staticmethod
    def _put(target: int, frame: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # its queue is full: lost, as anywhere
            os.write(target, frame)


class Impossible(Exception):
    """There can be no such network here; the text says why."""


@contextlib.contextmanager
def network(seed: int) -> Iterator[Tuple[netns.Network, Cable]]:
    """Make the namespaces and the cable for the block.

    Raises:
        Impossible: for lack of a device, a tool or a privilege.
    """
    with contextlib.ExitStack() as at_end:
        try:
            names = at_end.enter_context(netns.network())
            cable = at_end.enter_context(Cable(names, seed))
        except (OSError, subprocess.SubprocessError, AttributeError) as x:
            raise Impossible("no cable between network namespaces here: %s" % x) from x
        yield names, cable


CLIENTS = 4
# How long a client waits that finds the network cut, and how much later it may notice that.
TIMEOUT_SECONDS, TOLERANCE_SECONDS = 0.2, 2.0


def run(servertype: str, steps: int, seed: int, weather: Weather = STORM) -> Tuple[Summary, str]:
    """Make clients take this number of steps each over a bad network, then cut the network and mend it again.

    Returns:
        whether everything fits together, and how many packets there were.

    Raises:
        Impossible: not here.
    """
    written: List[Tuple[str, ...]] = []

    def write(*words: str) -> None:
        written.append(words)

    with network(seed) as (names, cable), settings(SERVERTYPE=servertype):
        with inside(names.server):
            daemon = Daemon(SERVER_IP)
        with daemon_thread(daemon):
            uri = daemon.register(Ledger(write), "ledger")
            cable.weather = weather
            callers = [Caller("n%d" % number, uri, write, seed * 100 + number) for number in range(CLIENTS)]
            at_once([functools.partial(_work, names.client, caller, steps) for caller in callers])
            packets = "%d of %d packets lost" % (cable.lost, cable.carried)
            cable.weather = FAIR
            problems: List[str] = []
            at_once([functools.partial(_be_cut_off, names.client, uri, write, cable, problems)])
    summary = examine(written)
    if summary.failed != 1:
        problems.append("%d calls failed, instead of the one while the network was cut" % summary.failed)
    return summary._replace(problems=summary.problems + problems), packets


def _work(namespace: str, caller: Caller, steps: int) -> None:
    with inside(namespace), caller:
        caller.proxy._pyroClaimOwnership()
        for _ in range(steps):
            caller.step()


def _be_cut_off(namespace: str, uri: Any, write: Callable[..., Any], cable: Cable, problems: List[str]) -> None:
    """A client finds the network cut, in time; when it is mended, the same proxy goes on."""
    with inside(namespace), Caller("cut", uri, write, 0, TIMEOUT_SECONDS) as caller:
        caller.call()
        cable.weather = CUT
        began = time.monotonic()
        try:
            caller.call()
        except errors.TimeoutError:
            write("failed", "cut.2")
        took = time.monotonic() - began
        if not TIMEOUT_SECONDS <= took < TIMEOUT_SECONDS + TOLERANCE_SECONDS:
            problems.append("a call over a cut network took %.3f s, with a timeout of %g s" % (took, TIMEOUT_SECONDS))
        cable.weather = FAIR
        # what was sent meanwhile comes later, to a connection that does not exist any more
        caller.timeout_seconds = caller.proxy._pyroTimeout = PATIENCE_SECONDS
        for _ in range(3):
            caller.call()
