"""Replays the client's side of recordings against our daemon.
"""
from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from typing import Any, Dict, Iterable, Iterator, List, Optional

from Pyro5 import config, nameserver, serializers

from tests.support import run_aio_daemon

from . import compare
from .app import AppDaemon, LoopDaemon, RecordedDaemon
from .differences import Difference, fits
from .recordings import (FLAGS, SERIALIZERS, TYPES, Close, Frame, Message, Outcome, Scenario, Step, frame_size, split_frame)

PATIENCE_SECONDS = 60.0  # only passes when something is broken
PING = Frame(TYPES["PING"], SERIALIZERS["marshal"], 4242, 0, b"still there?").encoded()
PONG = Frame(TYPES["PING"], SERIALIZERS["marshal"], 4242, FLAGS["CORR_ID"], b"pong", (), compare.MADE_UP_CORRELATION).encoded()

# In these groups all scenarios of a serializer were recorded over one connection, whose handshake is left out.
SHARED_CONNECTION = {"types": "calls", "nameserver": "Pyro.NameServer"}


# After these both sides close; which one is the first differs from run to run.
ENDING_ANSWERS = ("error SerializeError", "error SecurityError")


class Line:
    """A client's connection, as bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_SECONDS)
        self.handshake_done = False
        self.closed = False
        self.last_answer = ""
        self._received = b""

    def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # reading tells whether the server was right to close
            self.sock.sendall(data)

    def read(self) -> Optional[bytes]:
        """Return the next message, None if the server has closed."""
        while len(self._received) < frame_size(self._received[:64]):
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not more:
                return None
            self._received += more
        size = frame_size(self._received)
        data, self._received = self._received[:size], self._received[size:]
        self.last_answer = compare.description(data)
        self.handshake_done = self.handshake_done or split_frame(data).type == TYPES["CONNECTOK"]
        return data

    def close(self) -> None:
        self.closed = True
        self.sock.close()


class Server:
    """Our server as a scenario wants it, running in a thread; a context manager.

    Args:
        wanted: what the recording says about its server.
        server_type: thread or multiplex; aio for a daemon of Pyro5.aio.
    """

    def __init__(self, wanted: Dict[str, Any], server_type: str) -> None:
        self.wanted = wanted
        self._at_end = contextlib.ExitStack()
        self._in_loop = server_type == "aio"
        if not self._in_loop:
            self._at_end.enter_context(settings(SERVERTYPE=server_type))
        self._at_end.enter_context(settings(ONEWAY_THREADED=False, **wanted.get("settings", {})))
        self._lines: Dict[Optional[str], Line] = {}
        self._far_end: Optional[socket.socket] = None
        self.ended_by: Optional[BaseException] = None
        self.daemon = self._make_daemon()
        if not self._in_loop:
            self._at_end.callback(self.daemon.close)
        self._thread = threading.Thread(target=self._serve, name="recorded server")
        self._at_end.callback(self._thread.join, PATIENCE_SECONDS)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for line in self._lines.values():
            line.close()
        self.daemon.shutdown()
        self._at_end.close()

    def _make_daemon(self) -> Any:
        wanted = self.wanted
        if wanted["kind"] == "ns":
            return nameserver.start_ns("127.0.0.1", 0, enableBroadcast=False)[1]
        where: Dict[str, Any] = {"host": "127.0.0.1", "port": 0}
        if "unixsocket" in wanted:
            directory = self._at_end.enter_context(tempfile.TemporaryDirectory())
            where = {"unixsocket": os.path.join(directory, wanted["unixsocket"])}
        elif "connected" in wanted:
            self._far_end, own_end = socket.socketpair()
            self._at_end.callback(own_end.close)
            where = {"connected_socket": own_end}
        kind: Any = LoopDaemon if self._in_loop else AppDaemon
        return kind(wanted["objects"], wanted.get("daemon_annotations", False), **where)

    def _serve(self) -> None:
        try:
            if self._in_loop:
                run_aio_daemon(self.daemon)
            else:
                self.daemon.requestLoop()
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as x:  # raised by a method, which ends some servers
            self.ended_by = x

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait_for_end(self) -> None:
        """Wait until the request loop has ended by itself."""
        self._thread.join(PATIENCE_SECONDS)

    def connect(self) -> Line:
        if self._far_end is not None:
            line = Line(self._far_end)
            line.handshake_done = True
            return line
        address = self.daemon.sock.getsockname()
        sock = socket.socket(self.daemon.sock.family)
        sock.connect(address)
        if sock.family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Line(sock)

    def shared_line(self, serializer_name: str, object_id: str) -> Line:
        """Return the one connection for all scenarios of a serializer."""
        line = self._lines.get(serializer_name)
        if line is None or line.closed:
            line = self._lines[serializer_name] = self.connect()
            serializer = serializers.get_serializer(serializer_name)
            payload = serializer.dumps({"handshake": "hello", "object": object_id})
            line.send(Frame(TYPES["CONNECT"], serializer.serializer_id, 0, 0, bytes(payload)).encoded())
            line.read()
        return line

    def wait_until_gone(self, address: Any) -> None:
        """Wait until the daemon is through with the end of a connection, given by the client's address."""
        if not isinstance(self.daemon, RecordedDaemon):
            return
        pause = threading.Event()
        for _ in range(int(PATIENCE_SECONDS * 1000)):
            if any(gone.peer_address == address and gone.fileno() == -1 for gone in list(self.daemon.gone)):
                return
            pause.wait(0.001)
        raise AssertionError("the daemon did not notice that the client is gone")


@contextlib.contextmanager
def settings(**changes: Any) -> Iterator[None]:
    before = {name: getattr(config, name) for name in changes}
    for name, value in changes.items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


class _NotAsRecorded(Exception):
    """A step of the server did not come; observed says what came."""

    def __init__(self, observed: str, text: str) -> None:
        super().__init__(text)
        self.observed = observed


class Replay:
    """Plays the client of one scenario and checks what the server does.

    Args:
        deviation: what is known to be different.
    """

    def __init__(self, scenario: Scenario, server: Server, deviation: Optional[Difference]) -> None:
        self._scenario = scenario
        self._server = server
        self._deviation = deviation
        self._lines: Dict[int, Line] = {}
        self._stream_ids: Dict[bytes, bytes] = {}  # recorded id: the one of this run

    def run(self) -> None:
        """Replay; raises AssertionError if the server does something else than it should."""
        try:
            self._run()
        finally:
            for number, line in self._lines.items():
                if line.last_answer in ENDING_ANSWERS or self._begins_with_handshake(number):
                    line.close()

    def _run(self) -> None:
        steps = [step for step in self._scenario.steps if not isinstance(step, Outcome)]
        for number, step in enumerate(steps):
            try:
                self._take(step, is_last=number == len(steps) - 1)
            except _NotAsRecorded as x:
                if self._deviation is None:
                    raise AssertionError("step %d: %s" % (number, x)) from None
                self._check_instead(self._deviation.instead, self._line(step.connection), x.observed)
                return
        if self._deviation is not None:
            raise AssertionError("this is no difference any more: %s" % (self._deviation,))
        self._check_still_open()

    def _check_instead(self, instead: Any, line: Line, observed: str) -> None:
        for wanted in instead:
            if not fits(wanted, observed):
                raise AssertionError("%s: got %r, where %r was to come instead of what is recorded"
                                     % (self._deviation, observed, wanted))
            if wanted is not instead[-1]:
                following = instead[instead.index(wanted) + 1]
                observed = self._probe(line) if following == "open" else compare.description(line.read())
        if observed == "closed":
            line.close()

    @staticmethod
    def _probe(line: Line) -> str:
        line.send(PING)
        answer = line.read()
        return "open" if answer is not None and not compare.difference(PONG, answer) else compare.description(answer)

    def _check_still_open(self) -> None:
        """The connections that the recorded server kept are kept, and nothing was sent without a request."""
        whole = all(step.frame for step in self._scenario.steps if isinstance(step, Message))
        ended = {step.connection for step in self._scenario.steps if isinstance(step, Close)}
        for number, line in self._lines.items():
            ending = line.last_answer in ENDING_ANSWERS
            if whole and number not in ended and line.handshake_done and not ending and self._server.running:
                observed = self._probe(line)
                if observed != "open":
                    raise AssertionError("the connection should be open and quiet, but: %s" % observed)

    # ------------------------------------------------------------ steps

    def _line(self, number: int) -> Line:
        line = self._lines.get(number)
        if line is None:
            line = self._lines[number] = self._server.connect() if self._begins_with_handshake(number) else self._shared_line()
        return line

    def _begins_with_handshake(self, number: int) -> bool:
        first = next(step for step in self._scenario.steps if isinstance(step, Message) and step.connection == number)
        return (self._scenario.group not in SHARED_CONNECTION
                or (first.frame is not None and first.frame.type == TYPES["CONNECT"]))

    def _shared_line(self) -> Line:
        return self._server.shared_line(str(self._scenario.serializer), SHARED_CONNECTION[self._scenario.group])

    def _take(self, step: Step, is_last: bool) -> None:
        if isinstance(step, Message):
            if step.side == "C":
                self._send(step)
            else:
                self._expect(step)
        elif isinstance(step, Close):
            if step.side == "S":
                self._expect_close(self._line(step.connection))
            elif not is_last:
                self._close(self._line(step.connection))

    def _send(self, step: Message) -> None:
        data = step.data
        for recorded, current in self._stream_ids.items():
            data = data.replace(recorded, current)
        self._line(step.connection).send(data)

    def _expect(self, step: Message) -> None:
        got = self._line(step.connection).read()
        problem = "the connection was closed instead of an answer"
        if got is not None:
            problem = compare.difference(step.data, got, set_order=self._scenario.group == "nameserver")
            self._note_stream_id(step, got)
        if problem:
            raise _NotAsRecorded(compare.description(got), problem)

    def _note_stream_id(self, step: Message, got: bytes) -> None:
        recorded = step.frame.annotation_dict.get("STRM") if step.frame else None
        current = split_frame(got).annotation_dict.get("STRM")
        if recorded and current:
            self._stream_ids[recorded] = current

    def _expect_close(self, line: Line) -> None:
        if self._deviation is not None and self._deviation.instead[0] == "open":
            observed = self._probe(line)
        else:
            observed = compare.description(line.read())
        if observed != "closed":
            raise _NotAsRecorded(observed, "the connection should be closed by the server, but: %s" % observed)
        line.close()

    def _close(self, line: Line) -> None:
        if line.closed:
            return
        address = line.sock.getsockname()
        line.close()
        if line.handshake_done and isinstance(address, tuple):
            self._server.wait_until_gone(address)


def servers_for(scenarios: List[Scenario]) -> Iterable[List[Scenario]]:
    """Divide scenarios into runs that share one server: the state of its objects carries over, as in the recording."""
    runs: Dict[str, List[Scenario]] = {}
    for scenario in scenarios:
        key = repr(scenario.server)
        if scenario.group == "proxies":
            key += str(scenario.serializer)
        if "connected" in key or scenario.name.endswith(("systemexit", "keyboardinterrupt", "generatorexit")):
            key += scenario.title  # nothing is left of the server afterwards, or may not be
        runs.setdefault(key, []).append(scenario)
    return runs.values()
