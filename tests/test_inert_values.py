"""Reading a message never acts: whatever a peer sends, nothing connects to the address of a proxy in it."""
from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import socket
import threading
import traceback
import unittest
from typing import Any, Callable, Iterator, List, Optional, Tuple

from Pyro5 import config, errors, nameserver, nsc, protocol
from Pyro5._cli import findings, peer_check
from Pyro5._client import discovery
from Pyro5._client.streams import ItemStream
from Pyro5._messages import replies
from Pyro5._naming import liveness
from Pyro5._values import recreation
from Pyro5._values.uri import URI
from Pyro5._wire.reader import MessageReader
from Pyro5.client import BatchProxy, Proxy
from Pyro5.serializers import SerializerBase, serializers
from Pyro5.server import expose
from Pyro5.tools import inspection

from .drafts import message
from .rawclient import RawClient
from .support import daemon_thread
from .traps import Trap, few_places, places

CONNECT, CONNECTOK, CONNECTFAIL, INVOKE, RESULT = range(1, 6)
EXCEPTION, BATCH, ONEWAY = protocol.FLAGS_EXCEPTION, protocol.FLAGS_BATCH, protocol.FLAGS_ONEWAY
META = {"methods": ["echo", "each"], "oneway": [], "attrs": ["value"]}


@contextlib.contextmanager
def setting(name: str, value: Any) -> Iterator[None]:
    before = getattr(config, name)
    setattr(config, name, value)
    try:
        yield
    finally:
        setattr(config, name, before)


class WithTrap(unittest.TestCase):
    """Every test ends with the question whether the trap has caught something."""

    trap: Trap

    def setUp(self) -> None:
        self.trap = Trap()
        self.enter(self.trap)

    def enter(self, context: Any) -> Any:
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def values(self) -> Iterator[Tuple[str, Any]]:
        """Generate a few harmful values: (name, value)."""
        for proxy in self.trap.proxies():
            for name, place in few_places():
                yield name, place(proxy)

    def assert_nothing_caught(self, what: str) -> None:
        self.assertEqual(0, self.trap.count, what)


def rotated(number: int, count: int) -> List[SerializerBase]:
    """Return so many serializers, other ones for each number: all combinations would take minutes."""
    every = list(serializers.values())
    return [every[(number + step) % len(every)] for step in range(count)]


def _show(value: Any) -> None:
    """Do with a value what a program does with everything it gets: print it, or its traceback."""
    repr(value)
    if isinstance(value, BaseException):
        traceback.format_exception(type(value), value, value.__traceback__)
        errors.get_pyro_traceback(value)
    for inner in (getattr(value, "exception", None), *getattr(value, "args", ())) if isinstance(value, Exception) else ():
        repr(inner)


class Reading(WithTrap):
    """Every class that this package builds, each place in it, each serializer."""

    def test_every_class_and_place(self) -> None:
        SerializerBase.register_dict_to_class("trap.Converted", lambda tag, data: list(data["value"]))
        self.addCleanup(SerializerBase.unregister_dict_to_class, "trap.Converted")
        every = [*places(), ("converted", lambda value: {"__class__": "trap.Converted", "value": value})]
        proxies = itertools.cycle(self.trap.proxies())
        for number, (where, place) in enumerate(every):
            for serializer in rotated(number, 3):
                self.read(serializer, place(copy.deepcopy(next(proxies))), "%s in %s" % (where, serializer.name))

    def read(self, serializer: SerializerBase, value: Any, what: str) -> None:
        with contextlib.suppress(errors.PyroError, ValueError, TypeError, KeyError, AttributeError):
            _show(serializer.loads(serializer.dumps(value), foreign_exceptions=True))
        with contextlib.suppress(errors.PyroError, ValueError, TypeError, KeyError, AttributeError):
            serializer.loadsCall(serializer.dumpsCall("obj", "echo", [value], {"k": value}))
        self.assert_nothing_caught(what)

    def test_two_levels(self) -> None:
        few = few_places()
        for serializer in (serializers["serpent"], serializers["msgpack"]):  # the others are read as serpent is
            for outer_name, outer in few:
                for inner_name, inner in few:
                    value = outer(inner(copy.deepcopy(self.trap.proxies()[1])))
                    self.read(serializer, value, "%s in %s in %s" % (inner_name, outer_name, serializer.name))

    def test_a_proxy_is_usable_when_the_message_has_been_read(self) -> None:
        for serializer in serializers.values():
            got = serializer.loads(serializer.dumps([self.trap.proxies()[0]]))[0]
            with self.assertRaises(errors.CommunicationError):
                got._pyroBind()
        self.assertEqual(len(serializers), self.trap.count)

    def test_a_proxy_is_inert_until_then(self) -> None:
        with recreation.DeferredDelivery():
            proxy = recreation.dict_to_class(copy.deepcopy(self.trap.proxies()[1]))
            for use in (iter, len, lambda it: it[0], lambda it: 1 in it, lambda it: it.method(), lambda it: it(),
                        lambda it: it._pyroBind(), lambda it: it._pyroReconnect(1), lambda it: it.items,
                        lambda it: setattr(it, "x", 1)):
                with self.assertRaises((errors.PyroError, TypeError, AttributeError)):
                    list(use(proxy))
            self.assertTrue(hash(proxy) == hash(copy.copy(proxy)) and proxy == proxy and str(proxy) and proxy)
            self.assert_nothing_caught("an inert proxy")
        with self.assertRaises(errors.CommunicationError):
            proxy._pyroBind()

    def test_it_is_delivered_also_when_the_reader_fails(self) -> None:
        with self.assertRaises(ZeroDivisionError), recreation.DeferredDelivery():
            with recreation.DeferredDelivery():
                proxy = recreation.dict_to_class(self.trap.proxies()[0])
            with self.assertRaisesRegex(errors.PyroError, "still being decoded"):
                proxy._pyroBind()
            raise ZeroDivisionError
        with self.assertRaises(errors.CommunicationError):
            proxy._pyroBind()


@expose
class Target:
    def __init__(self) -> None:
        self._value: Any = None

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return len(args)

    def each(self) -> Iterator[int]:
        yield from (1, 2, 3)

    @property
    def value(self) -> Any:
        return 1

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value


def call_places() -> List[Tuple[str, Callable[[Any], Any]]]:
    """Return places of a value in a call: (name, what makes object, method, arguments, keywords)."""
    own = [("Pyro.Daemon", method, count) for method, count in (
        ("get_metadata", 2), ("get_next_stream_item", 2), ("close_stream", 1), ("ping", 1), ("registered", 1), ("info", 1))]
    ns = [("Pyro.NameServer", method, count) for method, count in (
        ("lookup", 2), ("register", 4), ("set_metadata", 2), ("remove", 3), ("list", 3), ("yplookup", 3), ("count", 1),
        ("ping", 1))]
    every: List[Tuple[str, Callable[[Any], Any]]] = [
        ("object", lambda value: (value, "echo", [], {})), ("method", lambda value: ("obj", value, [], {})),
        ("arguments", lambda value: ("obj", "echo", value, {})), ("argument", lambda value: ("obj", "echo", [value], {})),
        ("keywords", lambda value: ("obj", "echo", [], value)), ("keyword", lambda value: ("obj", "echo", [], {"k": value})),
        ("getattr", lambda value: ("obj", "__getattr__", [value], {})),
        ("setattr", lambda value: ("obj", "__setattr__", [value, 1], {})),
        ("property", lambda value: ("obj", "__setattr__", ["value", value], {})),
    ]
    for object_id, method, count in own + ns:
        for index in range(count):
            every.append(("argument %d of %s" % (index, method), _argument(object_id, method, count, index)))
    for keyword in ("metadata", "meta_any", "meta_all", "return_metadata", "regex", "prefix", "safe"):
        every.append(("keyword %s" % keyword, _keyword(keyword)))
    return every


def _argument(object_id: str, method: str, count: int, index: int) -> Callable[[Any], Any]:
    return lambda value: (object_id, method, ["x"] * index + [value] + [None] * (count - index - 1), {})


def _keyword(name: str) -> Callable[[Any], Any]:
    method = "register" if name in ("metadata", "safe") else "yplookup" if name.startswith("meta_") else "list"
    args = ["x", "PYRO:x@localhost:1"] if method == "register" else []
    return lambda value: ("Pyro.NameServer", method, args, {name: value})


def batch_places() -> List[Tuple[str, Callable[[Any], Any]]]:
    return [("batch", lambda value: ("obj", "<batch>", value, None)),
            ("element", lambda value: ("obj", "<batch>", [value], None)),
            ("parts", lambda value: ("obj", "<batch>", [[value] * 3], None)),
            ("arguments", lambda value: ("obj", "<batch>", [["echo", value, {}]], None)),
            ("argument", lambda value: ("obj", "<batch>", [["echo", [value], {}]], None)),
            ("keywords", lambda value: ("obj", "<batch>", [["echo", [], value]], None))]


class Serving(WithTrap):
    """Requests: what a server reads of clients, before and after it has let them in."""

    SERVER_TYPE = "thread"

    def setUp(self) -> None:
        super().setUp()
        self.enter(setting("SERVERTYPE", self.SERVER_TYPE))
        self.daemon = self.enter(daemon_thread(nameserver.NameServerDaemon("127.0.0.1", 0)))
        self.daemon.register(Target(), "obj")

    def connect(self) -> RawClient:
        return RawClient(socket.create_connection(self.daemon.sock.getsockname()))

    def test_handshakes(self) -> None:
        every: List[Callable[[Any], Any]] = [
            lambda value: value, lambda value: {"handshake": value, "object": value},
            lambda value: {"handshake": value, "object": "obj"}, lambda value: {"handshake": "x", "object": value},
            lambda value: {"handshake": "x", "object": [value]}]
        for serializer in serializers.values():
            for name, harmful in self.values():
                for place in every[:3] if name != "as it is" else every:
                    with self.connect() as client:
                        client.send(message(CONNECT, serializer.dumps(place(harmful)), serializer.serializer_id))
                        self.assertIsNotNone(client.read())
        self.assert_nothing_caught("handshake")

    def test_calls(self) -> None:
        for number, (place_name, place) in enumerate(call_places()):
            for serializer in self.serializers_for(number):
                self.send_all(serializer, place_name, place, 0)

    def test_batches(self) -> None:
        for number, (place_name, place) in enumerate(batch_places()):
            for serializer in self.serializers_for(number):
                self.send_all(serializer, place_name, place, BATCH)

    def serializers_for(self, number: int) -> List[SerializerBase]:
        """Return the serializers to try a place with, given the number of the place: two, because the test would take half a
        minute with all of them.
        """
        return rotated(number, 2)

    def send_all(self, serializer: SerializerBase, place_name: str, place: Callable[[Any], Any], flags: int) -> None:
        """Send all harmful values, over as few connections as the server allows, one answer for each."""
        client: Optional[RawClient] = None
        for name, harmful in self.values():
            client = client or self.connect().greet()
            object_id, method, args, kwargs = place(harmful)
            payload = (serializer.dumps({"object": object_id, "method": method, "params": args, "kwargs": kwargs})
                       if serializer.name == "json" else serializer.dumps((object_id, method, args, kwargs)))
            client.send(message(INVOKE, payload, serializer.serializer_id, flags=flags))
            reply = client.read()
            self.assertIsNotNone(reply, "%s as %s over %s" % (name, place_name, serializer.name))
            if reply is not None and any(word in bytes(reply.data) for word in (b"SerializeError", b"SecurityError")):
                client.close()  # as the server does
                client = None
        if client is not None:
            client.close()
        self.assert_nothing_caught("%s over %s" % (place_name, serializer.name))


class ServingOnMultiplex(Serving):
    SERVER_TYPE = "multiplex"

    def serializers_for(self, number: int) -> List[SerializerBase]:
        """What reads a message is the same for both server types, so here each place is tried with one serializer."""
        return rotated(number + 2, 1)


class ScriptedServer:
    """A server that answers every request of every client as its script says."""

    def __init__(self) -> None:
        self.script: Callable[[int, Any], bytes] = lambda msgtype, request: b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> ScriptedServer:
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(b"stop")
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if sock.recv(4, socket.MSG_PEEK) == b"stop":
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: Any) -> None:
        with sock:
            reader = MessageReader()
            while True:
                request = reader.next_message()
                while request is None:
                    try:
                        if not reader.receive_from(sock):
                            return
                    except ConnectionError:
                        return
                    request = reader.next_message()
                if not request.flags & ONEWAY:
                    sock.sendall(self.script(request.type, request))


class Calling(WithTrap):
    """Replies: what a client reads of servers."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.enter(ScriptedServer())
        self.uri = "PYRO:obj@127.0.0.1:%d" % self.server.port

    def script(self, serializer: SerializerBase, answer: Any, flags: int = 0, welcome: Any = None,
               refuse: bool = False) -> None:
        handshake = {"handshake": "hello", "meta": META} if welcome is None else welcome

        def answer_request(msgtype: int, request: Any) -> bytes:
            if msgtype == CONNECT:
                return message(CONNECTFAIL if refuse else CONNECTOK, serializer.dumps(handshake), serializer.serializer_id,
                               seq=request.seq)
            return message(RESULT, serializer.dumps(answer), serializer.serializer_id, seq=request.seq, flags=flags)

        self.server.script = answer_request

    def each(self) -> Iterator[Tuple[SerializerBase, str, Any]]:
        for serializer in serializers.values():
            for name, harmful in self.values():
                yield serializer, name, harmful

    def call(self, serializer: SerializerBase, use: Callable[[Proxy], Any]) -> None:
        with Proxy(self.uri) as proxy:
            proxy._pyroSerializer = serializer.name
            try:
                _show(use(proxy))
            except Exception as x:
                _show(x)
        self.assert_nothing_caught("%s in a reply over %s" % (use, serializer.name))

    def test_handshake_replies(self) -> None:
        every: List[Callable[[Any], Any]] = [
            lambda value: value, lambda value: {"handshake": value, "meta": value},
            lambda value: {"handshake": value, "meta": META},
            lambda value: {"handshake": "x", "meta": {**META, "methods": value}},
            lambda value: {"handshake": "x", "meta": {"methods": [value], "oneway": [], "attrs": []}}]
        for serializer, name, harmful in self.each():
            for place in every[:1] if name != "as it is" else every:
                for refuse in (False, True):
                    self.script(serializer, None, welcome=place(harmful), refuse=refuse)
                    self.call(serializer, Proxy._pyroBind)

    def test_results_and_exceptions(self) -> None:
        for number, (_, harmful) in enumerate(self.values()):
            for step, flags in enumerate((0, EXCEPTION, EXCEPTION | BATCH)):
                for serializer in rotated(number + step, 2):
                    self.script(serializer, harmful, flags)
                    self.call(serializer, lambda proxy: proxy.echo())

    def test_batches(self) -> None:
        def wrapped(value: Any) -> Any:
            return [{"__class__": replies.EXCEPTION_WRAPPER_TAG, "exception": value}]

        for number, (_, harmful) in enumerate(self.values()):
            for step, answer in enumerate((harmful, [harmful], wrapped(harmful))):
                for serializer in rotated(number + step, 2):
                    self.script(serializer, answer, BATCH)
                    self.call(serializer, self.run_batch)

    @staticmethod
    def run_batch(proxy: Proxy) -> Any:
        batch = BatchProxy(proxy)
        batch.echo()
        results = batch()
        return results and list(results)

    def test_items_of_streams(self) -> None:
        places_: List[Callable[[Any], Any]] = [lambda value: value, lambda value: [value, value], lambda value: [value, True],
                                               lambda value: [[1], value], lambda value: [[value], True]]
        for serializer in serializers.values():
            for harmful in self.trap.proxies():
                for place in places_:
                    self.stream(serializer, place(harmful))

    def stream(self, serializer: SerializerBase, items: Any) -> None:
        with setting("ITER_STREAM_BATCH", 5):
            self.script(serializer, items)
            with Proxy(self.uri) as proxy:
                proxy._pyroSerializer = serializer.name
                proxy._pyroBind()
                stream = ItemStream("a stream", proxy)
                with contextlib.suppress(errors.PyroError, ValueError, TypeError):
                    _show(next(stream))
                stream.close()
            self.assert_nothing_caught("an item over %s" % serializer.name)

    def test_answers_of_name_servers(self) -> None:
        ns = "127.0.0.1:%d" % self.server.port
        serializer = serializers[config.SERIALIZER]
        for _, harmful in self.values():
            for answer in (harmful, [harmful, []], {"n": harmful}, {"n": [harmful]}):
                self.script(serializer, answer, welcome={"handshake": "hello", "meta": META})
                for uri in ("PYRONAME:n@" + ns, "PYROMETA:a,b@" + ns):
                    with contextlib.suppress(errors.PyroError, ValueError, TypeError, KeyError):
                        discovery.resolve(uri)
                    self.assert_nothing_caught("an answer of a name server")

    def test_what_the_library_does_with_results(self) -> None:
        """Operators, docstrings and signatures of proxies use what the server answers, without a program that asks for it."""
        uses: List[Callable[[Proxy], Any]] = [
            list, len, lambda proxy: 1 in proxy, lambda proxy: proxy.echo.__doc__,
            lambda proxy: inspect.signature(proxy.echo), lambda proxy: proxy._pyroGetMetadata("other")]
        meta = {**META, "methods": [*META["methods"], "__iter__", "__len__", "__contains__"]}
        serializer = serializers[config.SERIALIZER]
        for harmful in self.trap.proxies():
            for answer in (harmful, {"descriptions": harmful}, {"descriptions": {"methods": harmful}},
                           {"descriptions": {"methods": {"echo": harmful}}},
                           {"descriptions": {"methods": {"echo": {"signature": harmful, "doc": harmful}}}}):
                for use in uses:
                    self.script(serializer, answer, welcome={"handshake": "hello", "meta": meta})
                    self.call(serializer, use)

    def test_command_line_tools(self) -> None:
        location = "127.0.0.1:%d" % self.server.port
        serializer = serializers[config.SERIALIZER]
        commands = (["list"], ["listmatching", "x"], ["lookup", "n"], ["yplookup_all", "x"], ["remove", "n"], ["ping"])
        for harmful in self.trap.proxies():
            for answer in (harmful, [harmful], {"n": harmful}, {"n": [harmful, ["x"]]}, {"n": ["PYRO:a@b:1", harmful]},
                           ["PYRO:a@b:1", harmful], {"methods": harmful, "attrs": harmful, "oneway": []}):
                self.script(serializer, answer)
                for command in commands:
                    self.call(serializer, lambda proxy, command=command: nsc.handle_command(proxy, command))
                with Proxy("PYRO:Pyro.Daemon@" + location) as daemon, contextlib.suppress(errors.PyroError, TypeError):
                    inspection.inspect_object(daemon)
                list(findings.bounded("an object", lambda: peer_check.check_object("PYRO:obj@" + location)))
                self.script(serializer, harmful, EXCEPTION)
                self.call(serializer, lambda proxy: peer_check._known_objects(proxy.echo()))
        self.assert_nothing_caught("an answer to a command line tool")

    def test_probes_of_servers(self) -> None:
        """A name server looks for objects that are gone: at addresses that clients have registered."""
        prober = liveness.Prober()
        self.addCleanup(prober.close)
        question = liveness.Question(URI(self.uri), frozenset(["obj"]))
        serializer = serializers[config.SERIALIZER]
        for _, harmful in self.values():
            for answer in (harmful, [harmful], ["x", harmful]):
                self.script(serializer, answer)
                self.assertEqual([(question, liveness.Answer(None, frozenset()))], list(prober.ask([question])))
                self.assert_nothing_caught("an answer to a probe")


if __name__ == "__main__":
    unittest.main()
