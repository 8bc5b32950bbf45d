"""Replays the server's side of recordings to our client, which does what the recorded client did.
"""
from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import Any, Dict, List, Optional, Tuple

from Pyro5 import callcontext, serializers
from Pyro5._wire.features import FEATURES_ANNOTATION

from . import compare
from .client_actions import settings_for
from .client_driver import SHARED_CONNECTION, Client, NotAsRecorded, lacks_handshake
from .differences import Difference, fits
from .recordings import TYPES, Close, Frame, Message, Outcome, Scenario, Step, frame_size, split_frame
from .server_role import settings

PATIENCE_SECONDS = 60.0  # only passes when something is broken

Problem = Tuple[str, str]  # description of what came, text

# Metadata for the handshakes that were left out of the recordings.
METHODS = {"types": ["echo", "make", "typename"],
           "nameserver": ["count", "list", "lookup", "ping", "register", "remove", "set_metadata", "yplookup"]}

# Ports of the recorded servers, in uris, in their states, and in addresses.
_RECORDED_PORT = re.compile(rb"(127\.0\.0\.1(?::|',|\", ))2[34]0\d\d")


def with_port(scenario: Scenario, port: int) -> Scenario:
    """Return a scenario as if it had been recorded with a server on this port (of five digits, as those of the recordings)."""
    replacement = rb"\g<1>%d" % port

    def in_step(step: Step) -> Step:
        if not isinstance(step, Message) or step.frame is None:
            return step
        frame = step.frame._replace(payload=_RECORDED_PORT.sub(replacement, step.frame.payload))
        return step._replace(frame=frame, data=frame.encoded())

    return scenario._replace(steps=list(map(in_step, scenario.steps)))


def description(data: bytes) -> str:
    """Say what a client wants: "connects", "pings", or "calls <object>.<method>"."""
    frame = split_frame(data)
    if frame.type != TYPES["INVOKE"]:
        return "pings" if frame.type == TYPES["PING"] else "connects"
    try:
        call = compare.decoded(frame)
    except TypeError:  # msgpack: a key that became a list
        return "calls"
    return "calls %s.%s" % ((call["object"], call["method"]) if isinstance(call, dict) else tuple(call[:2]))


class ScriptedServer:
    """Plays the server of one scenario in a thread, over connections to `port`, or one end of a socket pair; a context
    manager.

    Attributes:
        problem: what the client did otherwise than the recorded one.
    """

    def __init__(self, connected: Optional[socket.socket] = None) -> None:
        self.problem: Optional[Problem] = None
        self._connected = connected
        self._lines: Dict[int, socket.socket] = {}
        self._received: Dict[int, bytes] = {}  # more than the message that was wanted
        self._steps: List[Step] = []
        self._through = threading.Event()
        self._listener = _listener()
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._play, name="scripted server")

    def start(self, steps: List[Step]) -> None:
        self._steps = steps
        self._thread.start()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop_accepting()
        self._thread.join(PATIENCE_SECONDS)
        for sock in self._lines.values():
            sock.close()

    def wait(self, is_over: bool) -> None:
        """Wait until the client has done everything, and has closed its connections.

        Args:
            is_over: it has left early, and will not connect any more.
        """
        if is_over:
            self._stop_accepting()
        self._through.wait(PATIENCE_SECONDS)
        self._stop_accepting()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            self.problem = ("hangs", "the client does not go on")

    def _stop_accepting(self) -> None:
        with contextlib.suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)

    def _refuse_others(self) -> None:
        """No other client should connect any more."""
        try:
            sock = self._listener.accept()[0]
        except OSError:
            return
        self.problem = ("connects", "the client made one connection too many")
        sock.close()

    def _play(self) -> None:
        try:
            for step in self._steps:
                if not isinstance(step, Outcome):
                    self._take(step)
            for number in [] if self._connected else list(self._lines):
                self._expect_end(number)
            self._through.set()
            self._refuse_others()
        except _ClientDiffers as x:
            self.problem = x.problem
        except OSError as x:
            self.problem = ("closes", "%s: %s" % (type(x).__name__, x))
        finally:
            self._through.set()
            self._listener.close()
            for sock in self._lines.values():
                with contextlib.suppress(OSError):  # the client has closed it already
                    sock.shutdown(socket.SHUT_RDWR)

    def _take(self, step: Any) -> None:
        if isinstance(step, Close):
            if step.side == "C":
                self._expect_end(step.connection)
            else:
                self._lines.pop(step.connection).close()
        elif step.side == "S":
            self._line(step.connection).sendall(step.data)
        else:
            self._expect(step)

    def _line(self, number: int) -> socket.socket:
        if number not in self._lines:
            self._lines[number] = self._connected or self._listener.accept()[0]
            self._lines[number].settimeout(PATIENCE_SECONDS)
        return self._lines[number]

    def _read(self, number: int) -> Optional[bytes]:
        sock = self._line(number)
        received = self._received.pop(number, b"")
        while len(received) < frame_size(received):
            try:
                more = sock.recv(65536)
            except ConnectionError:
                return None
            if not more:
                return None
            received += more
        size = frame_size(received)
        self._received[number] = received[size:]
        return received[:size]

    def _expect(self, step: Message) -> None:
        got = self._read(step.connection)
        if got is None:
            raise _ClientDiffers("closes", "the client closed its connection instead of sending %r" % step.data[:200])
        any_will_do = step.frame is not None and not step.frame.payload
        problem = "" if any_will_do else compare.difference(step.data, without_announcement(got))
        if problem:
            raise _ClientDiffers(description(got), problem)

    def _expect_end(self, number: int) -> None:
        got = self._read(number)
        if got is not None:
            raise _ClientDiffers(description(got), "the client sent %r instead of closing" % got[:200])
        self._lines.pop(number).close()


def without_announcement(data: bytes) -> bytes:
    """Return a message as it was before the client announced features: a CONNECT message has one annotation more, at the end,
    which the recorded servers ignore.
    """
    frame = split_frame(data)
    if frame.type != TYPES["CONNECT"]:
        return data
    if not frame.annotations or frame.annotations[-1][0] != FEATURES_ANNOTATION:
        raise _ClientDiffers(description(data), "the client announced no features")
    return frame._replace(annotations=frame.annotations[:-1]).encoded()


class _ClientDiffers(Exception):
    """The client did something else than the recorded one."""

    def __init__(self, *problem: str) -> None:
        super().__init__(*problem)
        self.problem: Problem = (problem[0], problem[1])


def _listener() -> socket.socket:
    """Listen on a free port that has five digits."""
    while True:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        if listener.getsockname()[1] > 9999:
            listener.listen(8)
            return listener
        listener.close()


def replay(scenario: Scenario, deviation: Optional[Difference]) -> None:
    """Replay a scenario; raises AssertionError if our client does something else than it should.

    What deviations have instead is one of: "calls <object>.<method>", "connects", "pings", "closes" in the place of a recorded
    message, "returned <value>" or "raised <class>" in the place of a recorded outcome.
    """
    problem = _problem_of(scenario)
    if deviation is None:
        if problem is not None:
            raise AssertionError(problem[1])
    elif problem is None:
        raise AssertionError("this is no difference any more: %s" % (deviation,))
    elif not fits(deviation.instead[0], problem[0]):
        raise AssertionError("%s: got %r (%s)" % (deviation, problem[0], problem[1]))


def _problem_of(scenario: Scenario) -> Optional[Problem]:
    with contextlib.ExitStack() as at_end:
        own_end = far_end = None
        if scenario.name.startswith("existing_connection"):
            own_end, far_end = socket.socketpair()
            at_end.callback(own_end.close)
        at_end.enter_context(settings(**settings_for(scenario)))
        server = at_end.enter_context(ScriptedServer(far_end))
        scenario = with_port(scenario, server.port)
        server.start(_with_handshake(scenario))
        outcome = _run(Client(scenario, server.port, own_end))
        server.wait(is_over=outcome is not None)
        # one causes the other: an unexpected message other outcomes, an unexpected outcome the client's early end
        sent_something_else = server.problem is not None and server.problem[0] != "closes"
        return server.problem if outcome is None or sent_something_else else outcome


def _run(client: Client) -> Optional[Problem]:
    try:
        client.run()
        return None
    except NotAsRecorded as x:
        return x.observed, str(x)
    finally:
        client.close()
        callcontext.current_context.annotations = {}
        callcontext.current_context.correlation_id = None


def _with_handshake(scenario: Scenario) -> List[Step]:
    """Return the scenario's steps, with a handshake before them if they lack one."""
    if not lacks_handshake(scenario):
        return scenario.steps
    serializer = serializers.get_serializer(str(scenario.serializer))
    metadata = {"methods": METHODS[scenario.group], "oneway": [], "attrs": []}
    hello = Frame(TYPES["CONNECT"], serializer.serializer_id, 0, 0, b"")  # without payload: any will do
    welcome = Frame(TYPES["CONNECTOK"], serializer.serializer_id, 0, 0,
                    bytes(serializer.dumps({"handshake": SHARED_CONNECTION[scenario.group], "meta": metadata})))
    return [Message("C", 0, hello.encoded(), hello), Message("S", 0, welcome.encoded(), welcome), *scenario.steps]
