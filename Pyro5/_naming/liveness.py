"""Check many servers at the same time, in one thread: whether they are reachable, and whether they still have certain objects.

Each server is checked over its own connection in steps: look up its host, connect, TLS if enabled, handshake with its
``Pyro.Daemon``, list its objects. Each step is a generator that yields a socket and the events to wait for; `Prober`
resumes it when they occur or when its time is up.
"""
from __future__ import annotations

import errno
import itertools
import logging
import os
import selectors
import socket
import time
from typing import Any, Callable, Dict, FrozenSet, Generator, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, TypeVar

from .. import NamedTuple, config, errors, serializers, socketutil
from .._auth import client_exchange
from .._messages import handshake, limits, replies, requests
from .._messages.requests import WireOptions
from .._net import addresses, tls
from .._net.wakeup import Wakeup
from .._server.listener import OUT_OF_RESOURCES
from .._values import plain
from .._values.uri import URI
from .._wire.reader import MessageReader
from ..constants import DAEMON_NAME
from ..protocol import ReceivingMessage, SendingMessage
from .host_lookup import HostLookups
from .probe_queue import ProbeQueue, Question

log = logging.getLogger("Pyro5.probing")

T = TypeVar("T")
# yields (socket, events to wait for), or None to wait until any host has been looked up; finally returns a T
Steps = Generator[Optional[Tuple[Any, int]], None, T]

SERVERS_AT_ONCE = 100
PROMPT_SECONDS = 0.5  # a slower server is checked again after all others
ROUND_SECONDS = 30.0  # for slow servers; those left over come first in the next round
USUAL_SECONDS = 5.0  # limit for all steps with one server, if COMMTIMEOUT is off
REPLY_BYTES = 4 * 1024 * 1024
STEP_BYTES = 256 * 1024  # received from one server before the others, and its time limit, are looked at again
REQUESTS_AT_ONCE = 100  # pipelined on one connection: few enough for its buffers, even if the server reads one at a time

# A Unix socket reports EWOULDBLOCK if its backlog is full: then a server is listening, and a later send will fail.
_IN_PROGRESS = frozenset(number for number in (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0))
                         if number)


class Answer(NamedTuple):
    """The result of a check."""

    failure: Optional[str]          # why the connection failed; None: the server accepts connections
    unknown: FrozenSet[str]         # the objects that the server is known not to have


class Prober:
    """Checks servers. Only one thread at a time may call `ask`; any thread may call `stop`.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wakeup = Wakeup()
        self._lookups = HostLookups(self._wakeup.wake)
        self._stopped = False
        # Locations of servers: those that answered promptly the last time; those that did not, the least recently checked
        # first.
        self._prompt: Set[str] = set()
        self._slow: Dict[str, None] = {}

    def ask(self, questions: Iterable[Question]) -> Iterator[Tuple[Question, Answer]]:
        """Check all servers, many at a time, and yield each question with its answer as soon as that is known.

        Servers that do not answer delay no others, however many they are: servers that answered promptly the last time are
        checked first, and a slow one is postponed until all others have been checked. If there are too many slow servers for
        one round, the rest of them get no answer in this round.
        """
        queue = ProbeQueue(questions, self._prompt, self._slow, self._clock() + ROUND_SECONDS)
        seconds = config.COMMTIMEOUT or USUAL_SECONDS
        with _Tasks(self._wakeup) as tasks:
            while not self._stopped:
                now = self._clock()
                for question, is_first in queue.take(SERVERS_AT_ONCE - len(tasks.deadlines), now):
                    tasks.start(question, _ask(question, self._lookups), now, seconds, is_first)
                if tasks.are_all_done:
                    break
                tasks.go_on(self._clock, queue.others_wait)
                # Slow servers make room as long as there are others that have not been asked.
                if queue.others_wait:
                    queue.postpone(tasks.take_slow(self._clock()))
                for question, answer, was_prompt in tasks.take_finished():
                    queue.note(question, was_prompt)
                    yield question, answer
        self._lookups.forget()

    def stop(self) -> None:
        """Make `ask` return now; pending questions get no answer."""
        self._stopped = True
        self._wakeup.wake()

    def close(self) -> None:
        """Release all resources. No thread may be in `ask`."""
        self._lookups.close()
        self._wakeup.close()


class _Task:
    """A check in progress."""

    def __init__(self, question: Question, steps: Steps[Answer], slow_at: float, may_be_postponed: bool) -> None:
        self.question = question
        self.steps = steps
        self.slow_at = slow_at      # from this time on the server counts as slow
        self.may_be_postponed = may_be_postponed    # from slow_at on it has to make room for waiting servers
        self.waits_for: Any = None      # a socket; None: waits for a host lookup


class _Tasks:
    """All checks in progress.

    Args:
        wakeup: made readable when a host has been looked up.

    Attributes:
        deadlines: when each task must have ended, in ascending order.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._selector = selectors.DefaultSelector()
        self._selector.register(wakeup, selectors.EVENT_READ)
        self.deadlines: Dict[_Task, float] = {}
        self._finished: List[Tuple[Question, Answer, bool]] = []
        self._now = 0.0

    def __enter__(self) -> _Tasks:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._selector.close()
        for task in self.deadlines:
            task.steps.close()

    @property
    def are_all_done(self) -> bool:
        """Whether no task is running, and all results have been taken."""
        return not self.deadlines and not self._finished

    def start(self, question: Question, steps: Steps[Answer], now: float, seconds: float, may_be_postponed: bool) -> None:
        task = _Task(question, steps, now + PROMPT_SECONDS, may_be_postponed)
        self.deadlines[task] = now + seconds
        self._now = now
        self._advance(task)

    def take_slow(self, now: float) -> List[Question]:
        """Cancel the tasks that have to make room for others; return their questions."""
        slow = [task for task in self.deadlines if task.may_be_postponed and task.slow_at <= now]
        for task in slow:
            if task.waits_for is not None:
                self._selector.unregister(task.waits_for)
            task.steps.close()
            del self.deadlines[task]
        return [task.question for task in slow]

    def go_on(self, clock: Callable[[], float], others_wait: bool) -> None:
        """Wait until a socket is ready or a deadline expires, and resume the tasks concerned."""
        if not self.deadlines or self._finished:
            return
        # All deadlines have the same duration, so the first one in the dict is the next to expire.
        wake_at = next(iter(self.deadlines.values()))
        if others_wait:
            wake_at = min([wake_at] + [task.slow_at for task in self.deadlines if task.may_be_postponed][:1])
        ready = self._selector.select(max(wake_at - clock(), 0))
        self._now = clock()
        for key, _ in ready:
            if key.data is not None:
                self._advance(key.data)
            else:
                self._wakeup.drain()
                for task in [task for task in self.deadlines if task.waits_for is None]:
                    self._advance(task)
        now = clock()
        # Only those at the beginning can have expired.
        for task in list(itertools.takewhile(lambda task: self.deadlines[task] <= now, self.deadlines)):
            self._advance(task, socket.timeout("timed out"))

    def take_finished(self) -> List[Tuple[Question, Answer, bool]]:
        finished, self._finished = self._finished, []
        return finished

    def _advance(self, task: _Task, error: Optional[Exception] = None) -> None:
        if task.waits_for is not None:
            self._selector.unregister(task.waits_for)
            task.waits_for = None
        try:
            wanted = next(task.steps) if error is None else task.steps.throw(error)
        except StopIteration as x:
            del self.deadlines[task]
            # By the time of the last select(), so that the work in this process does not count as the server's.
            self._finished.append((task.question, x.value, self._now < task.slow_at))
            return
        if wanted is not None:
            sock, events = wanted
            self._selector.register(sock, events, task)
            task.waits_for = sock


# ---------------------------------------------------------------- steps

def _ask(question: Question, lookups: HostLookups) -> Steps[Answer]:
    """Check a server. It counts as reachable if it accepts connections, even if the check of its objects fails."""
    try:
        candidates = yield from _candidates(question.uri, lookups)
        sock = yield from _connect(candidates)
    except (OSError, ValueError) as x:
        return Answer(_failure(x), frozenset())
    unknown: Set[str] = set()
    try:
        try:
            yield from _question_about(sock, question, unknown, list_first=True)
        except errors.MessageTooLargeError:
            # over a new connection: the old one still has the unread list in it
            sock = yield from _connect(candidates)
            yield from _question_about(sock, question, unknown, list_first=False)
    except Exception as x:  # task boundary: any program may listen there, and send anything
        log.debug("%s cannot be asked about its objects: %s: %s", question.uri.location, type(x).__name__, x)
    return Answer(None, frozenset(unknown))


def _failure(error: Exception) -> Optional[str]:
    """Return why a server cannot be reached; None if the cause is on this machine, so that nothing is known about the server.
    """
    if isinstance(error, socket.gaierror):
        own_fault = error.errno == socket.EAI_AGAIN
    else:
        own_fault = isinstance(error, ValueError) or getattr(error, "errno", None) in OUT_OF_RESOURCES
    if own_fault:
        log.warning("cannot check whether a server is there: %s", error)
        return None
    return getattr(error, "strerror", None) or str(error)


def _candidates(uri: URI, lookups: HostLookups) -> Steps[List[addresses.Candidate]]:
    """Return the socket addresses of a uri that are worth trying. Raises OSError or ValueError if there is none."""
    if uri.sockname:
        return addresses.resolve_host(uri.sockname, 0, socket.SOCK_STREAM)
    host = str(uri.host)
    found = lookups.find(host)
    try:
        while found is None:
            yield None
            found = lookups.find(host)
    except socket.timeout:
        raise socket.gaierror(socket.EAI_AGAIN, "the name service has no answer yet for the host '%s'" % host) from None
    if isinstance(found, Exception):
        raise found
    return [(family, (address[0], uri.port, *address[2:])) for family, address in found]


def _connect(candidates: List[addresses.Candidate]) -> Steps[socket.socket]:
    """Connect to the first address that accepts. Raises OSError if none does."""
    failure = OSError("there is no address to connect to")
    for family, address in candidates:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            number = sock.connect_ex(address)
            if number in _IN_PROGRESS:
                # On a non-blocking socket, writable means that the attempt has ended, with or without success.
                yield sock, selectors.EVENT_WRITE
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not number:
                return sock
        except BaseException:
            sock.close()
            raise
        sock.close()
        failure = OSError(number, os.strerror(number))
    raise failure


def _encrypt(sock: socket.socket, host: str) -> Steps[socket.socket]:
    encrypted: socket.socket = tls.encrypted_client_end(sock, tls.client_context(), host)
    try:
        wanted = socketutil.tls_handshake_step(encrypted)
        while wanted:
            yield encrypted, wanted
            wanted = socketutil.tls_handshake_step(encrypted)
        return encrypted
    except BaseException:
        encrypted.close()
        raise


def _question_about(sock: socket.socket, question: Question, unknown: Set[str], list_first: bool) -> Steps[None]:
    """Ask a server which of the objects it does not have, and close the socket.

    Args:
        unknown: the ids of these objects are added to it, each as soon as it is known, since a later step may fail.
        list_first: request the list of all objects first, so that only those missing in it need a request each.

    Raises:
        MessageTooLargeError: the list of objects is too large.
        Exception: anything, since any program may be listening there.
    """
    try:
        if config.SSL:
            sock = yield from _encrypt(sock, question.uri.host or "localhost")
        conversation = _Conversation(sock)
        yield from conversation.begin()
        suspects: Iterable[str] = question.object_ids
        # The list of a server answers for all objects at once.
        if list_first:
            suspects = question.object_ids.difference((yield from conversation.listed()))
        # Always in the same order: if there is no time for all, the first ones can be removed, and the next round gets
        # further.
        yield from conversation.find_unknown(sorted(suspects), unknown)
    finally:
        sock.close()


class _Conversation:
    """The exchange of messages over one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._serializer = serializers.get_serializer(config.SERIALIZER)
        self._wire = WireOptions(REPLY_BYTES, False)
        self._reader = MessageReader(REPLY_BYTES)
        self._received_bytes = 0    # since the last step
        self._sent_seq = 0
        self._answered_seq = 0
        # Each request is a small packet that must not wait for the reply to the one before.
        socketutil.set_nodelay(sock)

    def begin(self) -> Steps[None]:
        # With the credentials of this process, if it has some. Whether the server proves anything does not matter: it is not
        # called, only asked what it has.
        proofs = client_exchange(DAEMON_NAME, self._sock, "a server that is probed")
        yield from self._send(self._connect_request(None if proofs is None else proofs.hello))
        reply = yield from self._receive()
        answer = None if proofs is None else proofs.answer_to(reply)
        if answer is not None:
            yield from self._send(self._connect_request(answer))
            reply = yield from self._receive()
        handshake.parse_connect_reply(reply)

    def _connect_request(self, proof: Optional[bytes]) -> Any:
        return handshake.connect_request(self._serializer, 0, DAEMON_NAME, "hello", self._wire, proof=proof)

    def listed(self) -> Steps[Any]:
        """Request the ids of all objects."""
        yield from self._ask("registered")
        ids = yield from self._answer()
        # A proxy, for example, would connect to an address that the server has chosen.
        if not plain.is_texts(ids):
            raise errors.ProtocolError("the server did not send the ids of its objects, but %s" % plain.text_of(ids))
        return ids

    def find_unknown(self, object_ids: Sequence[str], unknown: Set[str]) -> Steps[None]:
        """Add to the set those ids that the server says it does not have.

        Each id is requested separately, because a server may create objects on demand. The requests are pipelined: with a
        long round trip time, waiting for each reply before the next request takes too long.
        """
        for start in range(0, len(object_ids), REQUESTS_AT_ONCE):
            some = object_ids[start:start + REQUESTS_AT_ONCE]
            # All requests first, then the replies: one round trip for all of them.
            for object_id in some:
                yield from self._ask("get_metadata", object_id)
            for object_id in some:
                try:
                    yield from self._answer()
                except errors.DaemonError:
                    unknown.add(object_id)  # at once: a later reply may not arrive in time

    def _ask(self, method: str, *args: Any) -> Steps[None]:
        self._sent_seq = (self._sent_seq + 1) & 0xffff
        yield from self._send(requests.invoke_request(
            self._serializer, self._sent_seq, 0, DAEMON_NAME, method, args, {}, self._wire))

    def _answer(self) -> Steps[Any]:
        """Return the reply to the oldest pending request."""
        # A server replies in the order of the requests, so the next reply belongs to the oldest one.
        self._answered_seq = (self._answered_seq + 1) & 0xffff
        reply = yield from self._receive()
        if reply.seq != self._answered_seq:
            raise errors.ProtocolError("the reply has number %d, expected is %d" % (reply.seq, self._answered_seq))
        return replies.parse_reply(reply, self._serializer)

    def _send(self, request: SendingMessage) -> Steps[None]:
        rest = memoryview(request.data)
        while rest:
            try:
                rest = rest[self._sock.send(rest):]
            except OSError as x:
                yield self._sock, _events_or_raise(x, selectors.EVENT_WRITE)

    def _receive(self) -> Steps[ReceivingMessage]:
        """Return the next message. Raises OSError, EOFError or ProtocolError if there is none."""
        message = self._reader.next_message()
        while message is None:
            try:
                count = self._reader.receive_from(self._sock)
            except OSError as x:
                yield self._sock, _events_or_raise(x, selectors.EVENT_READ)
                continue
            if not count:
                raise EOFError("connection closed by the other side")
            self._received_bytes += count
            if self._received_bytes >= STEP_BYTES:
                # A server that always has sent more would never be waited for, and so have no time limit.
                self._received_bytes = 0
                yield self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE
            message = self._reader.next_message()
        limits.check_probe(message)
        return message


def _events_or_raise(error: OSError, default: int) -> int:
    """Return the events to wait for after a socket operation that would block; raise all other errors again."""
    wanted = socketutil.events_wanted(error, default)
    if not wanted:
        raise error
    return wanted
