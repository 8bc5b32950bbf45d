"""Does what the client of a recording did, with our proxies.
"""
from __future__ import annotations

import socket
import uuid
from typing import Any, Callable, Dict, List, Optional, Sequence

from Pyro5 import api, callcontext, protocol, serializers
from Pyro5._client.streams import ItemStream

from . import compare, outcomes
from .client_actions import AFTER_CALLS, CONNECTING, Action, actions_for, value_for, wanted_call, with_bytes
from .recordings import FLAGS, SERIALIZERS, TYPES, Close, Frame, Message, Outcome, Scenario, Step

SERIALIZER_NAMES = {number: name for name, number in SERIALIZERS.items()}
DAEMON_NAME = "Pyro.Daemon"

# In these groups all scenarios of a serializer were recorded over one connection, whose handshake is left out.
SHARED_CONNECTION = {"types": "calls", "nameserver": "Pyro.NameServer"}

OPERATORS: Dict[str, Callable[..., Any]] = {
    "__len__": len, "__iter__": iter, "__getitem__": lambda proxy, key: proxy[key],
    "__setitem__": lambda proxy, key, value: proxy.__setitem__(key, value),
    "__delitem__": lambda proxy, key: proxy.__delitem__(key), "__contains__": lambda proxy, item: item in proxy}


class NotAsRecorded(Exception):
    """The code that uses the client got something else; observed says what."""

    def __init__(self, observed: str, text: str) -> None:
        super().__init__(text)
        self.observed = observed


class ListeningProxy(api.Proxy):
    """Keeps what servers answer to its handshakes in a list."""

    _pyroHeard: Any = None

    def _pyroValidateHandshake(self, response: Any) -> None:
        self._pyroHeard.append(response)


def lacks_handshake(scenario: Scenario) -> bool:
    """Return whether the handshake of the scenario's connection was left out of the recording."""
    frame = _first_frame(scenario)
    return (scenario.group in SHARED_CONNECTION and scenario.name not in CONNECTING
            and (frame is None or frame.type != TYPES["CONNECT"]))


def _first_frame(scenario: Scenario) -> Optional[Frame]:
    return next((step.frame for step in scenario.steps if isinstance(step, Message) and step.side == "C"), None)


class Client:
    """The program that uses the client.

    Args:
        port: of the server on 127.0.0.1.
        connected: use this socket instead.

    Attributes:
        proxy: the one in use.
        last_stream: the item stream that was opened last.
    """

    def __init__(self, scenario: Scenario, port: int, connected: Optional[socket.socket] = None) -> None:
        self.scenario = scenario
        self.port = port
        self.proxy: Any = None
        self.last_stream: Any = None
        self._connected = connected
        self._heard: List[Any] = []
        self._proxies: Dict[int, Any] = {}  # by connection number
        self._own: List[Any] = []
        self._streams: Dict[str, Any] = {}
        self._actions: List[Optional[Action]] = list(actions_for(scenario))
        self._acted = False
        self._results: List[Any] = []
        self._bound: Any = None
        self._raised: Optional[BaseException] = None
        self._batch_results: List[Any] = []

    # ------------------------------------------------------------ running

    def run(self) -> None:
        """Do everything; raises NotAsRecorded where something else comes of it."""
        self._prepare()
        for number, step in enumerate(self.scenario.steps):
            if isinstance(step, Outcome):
                self._check(step)
            elif isinstance(step, Close):
                if step.side == "C" and step.connection in self._proxies:
                    self._proxies[step.connection]._pyroRelease()
            elif step.side == "C" and step.frame is not None:
                self._do(step.connection, step.frame, self.scenario.steps[number + 1:])

    def close(self) -> None:
        """Release all proxies."""
        for stream in self._streams.values():
            stream._proxy = None  # no more messages: what the recorded client sent in the end is among its steps
        for proxy in self._own:
            proxy._pyroRelease()

    def new_proxy(self, object_id: str, uri: Optional[str] = None) -> Any:
        """Make a proxy; give a uri for one that is no plain PYRO uri."""
        if self._connected is not None:
            proxy = ListeningProxy(object_id, connected_socket=self._connected)
        else:
            proxy = ListeningProxy(uri or "PYRO:%s@127.0.0.1:%d" % (object_id, self.port))
        if self.scenario.serializer:
            proxy._pyroSerializer = self.scenario.serializer
        proxy._pyroHeard = self._heard
        return self.own(proxy)

    def own(self, proxy: Any) -> Any:
        """Release this proxy in the end."""
        self._own.append(proxy)
        return proxy

    @property
    def value(self) -> Any:
        """The value that a scenario about types is named after."""
        return value_for(self.scenario)

    def _prepare(self) -> None:
        frame = _first_frame(self.scenario)
        if lacks_handshake(self.scenario):
            self.proxy = self.new_proxy(SHARED_CONNECTION[self.scenario.group])
            self.proxy._pyroBind()
            self.proxy._pyroSeq = 0 if frame is None else (frame.seq - 1) & 0xffff
        elif self._connected is not None:
            self.proxy = self.new_proxy("sess")
        elif frame is None:
            self.proxy = self.new_proxy("access")

    # ------------------------------------------------------------ messages

    def _do(self, connection: int, frame: Frame, following: Sequence[Step]) -> None:
        """Do what led to this message, unless an action does it."""
        has_action = bool(self._actions) and self._actions[0] is not None and self.scenario.name not in AFTER_CALLS
        if has_action and (frame.type != TYPES["CONNECT"] or self.scenario.name in CONNECTING):
            self._act()
            return
        callcontext.current_context.annotations = {key: value for key, value in frame.annotations if key != "BLBI"}
        callcontext.current_context.correlation_id = (
            uuid.UUID(bytes=frame.correlation) if frame.flags & FLAGS["CORR_ID"] else None)
        if frame.type == TYPES["CONNECT"]:
            self._connect(connection, frame, following)
        elif frame.type == TYPES["PING"]:
            self._attempt(lambda: protocol.SendingMessage.ping(self.proxy._pyroConnection))
        else:
            self.proxy = self._proxies.get(connection, self.proxy)
            self._invoke(wanted_call(frame), frame)

    def _act(self) -> None:
        """Do what leads to the next outcome, if there is an action for it and it has not been done yet."""
        action = self._actions[0] if self._actions else None
        if action is not None and not self._acted:
            self._acted = True
            self._attempt(lambda: action(self))  # type: ignore[misc]

    def _attempt(self, call: Callable[[], Any]) -> None:
        self._raised = None
        try:
            self._results.append(call())
        except BaseException as x:  # of whatever kind: it is the outcome
            self._raised = x

    def _connect(self, connection: int, frame: Frame, following: Sequence[Step]) -> None:
        later = next((step.frame for step in following if isinstance(step, Message) and step.side == "C"), None)
        if later is not None and later.flags & FLAGS["ONEWAY"] and b"close_stream" in later.payload:
            return  # an item stream makes this connection for its end
        object_id = compare.decoded(frame)["object"]
        received = self._results[-1] if self._results else None
        if isinstance(received, api.Proxy) and received._pyroUri.object == object_id:
            self.proxy = self.own(received)
        elif self.proxy is None or not frame.seq or self.proxy._pyroUri.object != object_id:
            self.proxy = self.new_proxy(object_id)
            self.proxy._pyroSerializer = SERIALIZER_NAMES[frame.serializer]
            request = serializers.get_serializer_by_id(frame.serializer).loads(compare.inflated(frame))
            self.proxy._pyroHandshake = with_bytes(request["handshake"], frame.serializer)
        self._proxies[connection] = self.proxy
        self._raised = None
        try:
            self._bound = self.proxy._pyroBind()
        except Exception as x:  # it is the outcome
            self._raised = x

    # ------------------------------------------------------------ calls

    def _invoke(self, call: Any, frame: Frame) -> None:
        object_id, method, args, _kwargs = call
        stream = self._streams.get(args[0]) if object_id == DAEMON_NAME and args else None
        if method == "get_metadata" and object_id == DAEMON_NAME != self.proxy._pyroUri.object:
            self.proxy._pyroBind()  # which asks for it if necessary
        elif stream is None or (stream._proxy is not None and stream._proxy is not self.proxy):
            self._attempt(lambda: self._call(call, frame))
        elif method == "close_stream":
            stream.close()
        else:
            self._attempt(lambda: next(stream))

    def _call(self, call: Any, frame: Frame) -> Any:
        object_id, method, args, kwargs = call
        if frame.flags & FLAGS["KEEPSERIALIZED"]:
            args = (api.SerializedBlob(compare.marshal.loads(frame.annotation_dict["BLBI"])[0], args),)
        if self.scenario.name == "call_sequence_wrap":
            self.proxy._pyroSeq = (frame.seq - 1) & 0xffff
        result = self._call_as_a_program(object_id, method, args, kwargs, frame.flags)
        if isinstance(result, ItemStream):
            self.last_stream = self._streams[result._stream_id] = result
        return result

    def _call_as_a_program(self, object_id: str, method: str, args: Any, kwargs: Any, flags: int) -> Any:
        """Call in the ordinary way if there is one that leads to such a message."""
        proxy = self.proxy
        if flags & FLAGS["BATCH"] and kwargs is None:
            return self.call_batch(args, bool(flags & FLAGS["ONEWAY"]))
        if object_id != proxy._pyroUri.object:
            return proxy._pyroInvoke(method, args, kwargs, flags & FLAGS["ONEWAY"], objectId=object_id)
        (proxy._pyroOneway.add if flags & FLAGS["ONEWAY"] else proxy._pyroOneway.discard)(method)
        if method not in proxy._pyroMethods:
            return proxy._pyroInvoke(method, args, kwargs, flags & FLAGS["BATCH"])
        if method in OPERATORS:
            return OPERATORS[method](proxy, *args)
        return getattr(proxy, method)(*args, **kwargs)

    def call_batch(self, batched: Any, oneway: bool) -> Any:
        """Make a batch of (method, args, kwargs)."""
        batch = api.BatchProxy(self.proxy)
        for method, args, kwargs in batched:
            getattr(batch, method)(*args, **kwargs)
        results = batch(oneway=oneway)
        if results is None:
            return None
        self._batch_results = []
        for result in results:
            self._batch_results.append(result)
        return self._batch_results

    # ------------------------------------------------------------ outcomes

    def _check(self, outcome: Outcome) -> None:
        if outcome.kind in ("returned", "raised"):
            self._check_result(outcome)
        elif outcome.kind == "results before the end":
            self._compare(outcome, repr(self._batch_results))
        elif outcome.kind == "response annotations":
            received = callcontext.current_context.response_annotations
            self._compare(outcome, {key: bytes(value).decode("latin-1") for key, value in received.items()})
        elif outcome.kind == "handshake response":
            self._compare(outcome, repr(self._heard))
        elif outcome.kind.startswith("uri after"):
            self._compare(outcome, str(self.proxy._pyroUri))
        elif outcome.kind == "dropped":
            self._compare(Outcome("connected", (False,)), self.proxy._pyroConnection is not None)

    @staticmethod
    def _compare(outcome: Outcome, got: Any) -> None:
        wanted = outcome.values[0]
        if not (outcomes.same_text(got, wanted) if isinstance(got, str) else got == wanted):
            raise NotAsRecorded("%s %s" % (outcome.kind, got), "%s: %r, expected %r" % (outcome.kind, got, outcome.values))

    def _check_result(self, outcome: Outcome) -> None:
        self._act()
        self._acted = False
        del self._actions[:1]
        raised, self._raised = self._raised, None
        results = self._results or [self._bound]
        if outcome.kind == "raised":
            as_recorded = outcomes.raised_as_recorded(raised, outcome.values)
        else:
            # at the end of an item stream the program goes on
            as_recorded = ((raised is None or isinstance(raised, StopIteration))
                           and outcomes.returned_as_recorded(results, outcome.values))
            self._results = []
        if not as_recorded:
            observed = ("returned " + outcomes.show(results[-1]) if raised is None
                        else "raised " + outcomes.class_name(type(raised)))
            raise NotAsRecorded(observed, "%s %r, expected %r" % (observed, raised or results, outcome))
