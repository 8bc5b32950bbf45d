"""Messages between the processes of one daemon.

Each process has a place, and a pair of datagram sockets that was made before the processes were forked: one end receives, and
all processes have the other one. So a process that is started again in the same place needs no new connection.
"""
from __future__ import annotations

import array
import contextlib
import json
import logging
import os
import queue
import socket
import threading
import time
from typing import Any, Callable, Collection, Dict, List, Sequence, Tuple

from .. import NamedTuple
from .shared_marks import KeptCounts, SharedMarks

log = logging.getLogger("Pyro5.processes")

MAX_BYTES = 1 << 17  # of one datagram; longer messages take several
MAX_DESCRIPTORS = 4  # in one message
SEND_SECONDS = 1.0  # how long sending may take: a process that is stopped does not receive
ASK_SECONDS = 2.0  # how long the answers may take

Handler = Callable[[Any, List[int]], Any]


class Answer(NamedTuple):
    """What a process has answered, and the file descriptors that came with it, which belong to the receiver."""

    place: int
    value: Any
    descriptors: List[int]


class Siblings:
    """Sends messages to the other processes of a daemon, and calls functions for those that arrive. Thread-safe.

    Args:
        places: the number of processes.
        running: returns the places of those that run.

    Attributes:
        own_place: of this process.
        is_supervisor: this is the process that starts the others. It has no thread that receives: it can only ask.
        no_fork: held by the supervising process while it forks, and by those of its threads that use what a new process
            uses as well: it would find their locks locked.
        inherited: what a process has got from the fork, and neither uses nor frees.
    """

    def __init__(self, places: int, running: Callable[[], List[int]]) -> None:
        self.own_place = places
        self.is_supervisor = True
        self._running = running
        self._handlers: Dict[str, Handler] = {}
        self._waiting: Dict[int, queue.Queue[Answer]] = {}
        self._parts: Dict[Tuple[int, int], List[bytes]] = {}  # of messages that are not complete; used by one thread
        self._number = 0
        self._kept = KeptCounts(places)
        self._marks = SharedMarks()
        self.no_fork = threading.RLock()
        self.inherited: Any = None
        self._lock = threading.Lock()  # guards _number, _waiting, and that the parts of a message follow each other
        self._receivers: List[socket.socket] = []
        self._senders: List[socket.socket] = []
        for _ in range(places + 1):  # the last one is the place of the supervising process
            receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._receivers.append(receiver)
            self._senders.append(sender)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_BYTES)
            sender.settimeout(SEND_SECONDS)

    def handle(self, kind: str, handler: Handler) -> None:
        """Call a function for each message of a kind, in a thread of its own for all messages.

        Args:
            handler: called with the value and the descriptors, which belong to it. What it returns is the answer; a tuple
                (value, descriptors): with copies of these descriptors, which are closed here.
        """
        self._handlers[kind] = handler

    def begin(self, place: int) -> None:
        """Receive messages in this process, from now on until it ends."""
        self.own_place, self.is_supervisor = place, False
        self._waiting.clear()
        threading.Thread(target=self._receive_all, name="Pyro-siblings", daemon=True).start()

    def tell(self, kind: str, value: Any) -> None:
        """Send a message to all other processes."""
        for place in self._others():
            self.send_to(place, kind, value)

    def ask(self, kind: str, value: Any, seconds: float = ASK_SECONDS) -> List[Answer]:
        """Send a message to all other processes, and return their answers; without those that take too long."""
        with self._not_forking():
            return self._ask(kind, value, seconds)

    def _ask(self, kind: str, value: Any, seconds: float) -> List[Answer]:
        answers: queue.Queue[Answer] = queue.Queue()
        with self._lock:
            self._number += 1
            number = self._number
            self._waiting[number] = answers
        try:
            left = sum([self.send_to(place, kind, value, number=number) for place in self._others()])
            found: List[Answer] = []
            end = time.monotonic() + seconds
            while len(found) < left:
                if self.is_supervisor:
                    self._receive_answer(end)
                found.append(answers.get(timeout=max(0.0, end - time.monotonic())))
        except queue.Empty:
            log.warning("%d of %d processes have not answered within %g seconds", left - len(found), left, seconds)
        finally:
            with self._lock:
                del self._waiting[number]
        return found

    def marks(self) -> Collection[Any]:
        """Return the ids of objects that are marked as not served, in all processes; None stands for the daemon."""
        with self._not_forking():
            return self._marks.get()

    def mark(self, object_id: Any, is_served: bool) -> None:
        """Mark an object as served or not, in all processes."""
        with self._not_forking():
            self._marks.change(object_id, not is_served)

    def _not_forking(self) -> Any:
        return self.no_fork if self.is_supervisor else contextlib.nullcontext()

    def with_kept_counts(self, report: Dict[str, Any]) -> Dict[str, Any]:
        """Return the report of this process with the counts of its predecessors, and keep these counts for its successors."""
        return self._kept.added(self.own_place, report)

    def kept_counts(self, but_not: Collection[int]) -> List[Dict[str, Any]]:
        """Return what was counted in each place but these, as far as it was reported."""
        counts = [self._kept.read(place) for place in range(len(self._receivers) - 1) if place not in but_not]
        return [each for each in counts if each is not None]

    def close(self) -> None:
        """Close the sockets in this process. Messages are not sent any more."""
        self._running = list
        self._kept.close()
        self._marks.close()
        for sock in self._receivers + self._senders:
            sock.close()

    def _others(self) -> List[int]:
        return [place for place in self._running() if place != self.own_place]

    def send_to(self, place: int, kind: str, value: Any, descriptors: Sequence[int] = (), number: int = 0) -> bool:
        """Send a message to one process, with copies of file descriptors. Return whether that succeeded."""
        data = json.dumps([kind, number, value]).encode("ascii")
        parts = [data[start:start + MAX_BYTES] for start in range(0, len(data), MAX_BYTES)]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sender = self._senders[place]
        try:
            with self._lock:
                for left, part in zip(range(len(parts) - 1, -1, -1), parts):
                    head = b"%d %d %d " % (self.own_place, os.getpid(), left)
                    sender.sendmsg([head, part], rights if not left else [])
        except OSError as x:
            log.warning("a process of this daemon does not receive messages: %s", x)
            return False
        return True

    # ------------------------------------------------------------ in the receiving thread

    def _receive_all(self) -> None:
        while True:
            try:
                self._receive()
            except OSError:
                return  # closed
            except Exception:  # an error in the handling of one message must not end the thread
                log.exception("a message of another process could not be handled")

    def _receive_answer(self, end: float) -> None:
        """Receive in the supervising process, until an answer has arrived or the time is over."""
        receiver = self._receivers[self.own_place]
        receiver.settimeout(max(0.001, end - time.monotonic()))
        with contextlib.suppress(OSError):  # the time is over
            while not self._receive():
                continue

    def _receive(self) -> bool:
        """Receive a datagram, and handle the message that it completes. Return whether it was an answer."""
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        data, rights, _flags, _address = self._receivers[self.own_place].recvmsg(MAX_BYTES + 100, space)
        descriptors = array.array("i")
        for _level, _kind, numbers in rights:
            descriptors.frombytes(numbers[:len(numbers) - len(numbers) % descriptors.itemsize])
        return self._received(data, descriptors.tolist())

    def _received(self, data: bytes, descriptors: List[int]) -> bool:
        place_text, process, left, part = data.split(b" ", 3)
        place, source = int(place_text), (int(place_text), int(process))
        self._parts.setdefault(source, []).append(part)
        if int(left):
            return False
        kind, number, value = json.loads(b"".join(self._parts.pop(source)))
        if kind == "answer":
            with self._lock:
                waiting = self._waiting.get(number)
            if waiting is not None:
                waiting.put(Answer(place, value, descriptors))
            else:
                _close_all(descriptors)  # too late
            return waiting is not None
        answer = self._handlers[kind](value, descriptors)
        if number:
            value, sent = answer if type(answer) is tuple else (answer, [])
            self.send_to(place, "answer", value, sent, number)
            _close_all(sent)
        return False


def _close_all(descriptors: Sequence[int]) -> None:
    for each in descriptors:
        os.close(each)
