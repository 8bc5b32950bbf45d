"""Proxies: against scripted servers for the exact traffic, and against a real daemon for the rest."""
from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import pickle
import socket
import threading
import unittest
import uuid
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock

from Pyro5 import client, current_context, errors, protocol, serializers
from Pyro5._client.retry import RECONNECT_MAX_PAUSE_SECONDS
from Pyro5._objects.exposure import expose, oneway
from Pyro5._values.uri import URI
from Pyro5.client import Proxy, SerializedBlob, locate_ns
from Pyro5.server import Daemon

from .peers import Peer, Request, ScriptedServer, free_port, name_server, settings
from .support import correlation_of, daemon_thread

NOWHERE = "PYRO:thing@127.0.0.1:1"


class UnconnectedTests(unittest.TestCase):
    """What a proxy does without any traffic."""

    def setUp(self) -> None:
        patch = mock.patch("socket.socket.connect", side_effect=AssertionError("this should not connect"))
        patch.start()
        self.addCleanup(patch.stop)

    def test_the_uri_may_be_text_or_a_uri(self) -> None:
        self.assertEqual(URI(NOWHERE), Proxy(NOWHERE)._pyroUri)
        self.assertEqual(URI(NOWHERE), Proxy(URI(NOWHERE))._pyroUri)
        with self.assertRaisesRegex(errors.PyroError, "invalid"):
            Proxy("nonsense")
        with self.assertRaises(TypeError):
            Proxy(5)  # type: ignore[arg-type]

    def test_local_operators(self) -> None:
        proxy = Proxy(NOWHERE)
        self.assertTrue(proxy)
        self.assertEqual(proxy, Proxy(NOWHERE))
        self.assertNotEqual(proxy, Proxy("PYRO:other@127.0.0.1:1"))
        self.assertNotEqual(proxy, NOWHERE)
        self.assertEqual(hash(proxy), hash(Proxy(NOWHERE)))
        for text in (str(proxy), repr(proxy)):
            self.assertIn(NOWHERE, text)
            self.assertIn("not connected", text)
        self.assertIn("_pyroBind", dir(proxy))

    def test_names_that_cannot_be_exposed_are_not_requested(self) -> None:
        proxy = Proxy(NOWHERE)
        for name in ("_private", "_pyroNonsense", "__mangled", "__wrapped__", "__deepcopy__x"):
            self.assertFalse(hasattr(proxy, name), name)
        self.assertFalse(inspect.isgenerator(proxy))

    def test_releasing_a_proxy_that_is_not_connected(self) -> None:
        with Proxy(NOWHERE) as proxy:
            proxy._pyroRelease()
        self.assertIsNone(proxy._pyroConnection)
        self.assertIsNone(proxy._pyroLocalSocket)

    def test_serializer(self) -> None:
        proxy = Proxy(NOWHERE)
        self.assertIsNone(proxy._pyroSerializer)
        proxy._pyroSerializer = "json"
        self.assertEqual("json", proxy._pyroSerializer)
        with self.assertRaisesRegex(ValueError, "nonsense"):
            proxy._pyroSerializer = "nonsense"
        self.assertEqual("json", proxy._pyroSerializer)
        with settings(SERIALIZER="nonsense"), self.assertRaisesRegex(ValueError, "nonsense"):
            Proxy(NOWHERE)

    def test_timeout_and_retries(self) -> None:
        with settings(COMMTIMEOUT=2.5, MAX_RETRIES=4):
            proxy = Proxy(NOWHERE)
        self.assertEqual((2.5, 4), (proxy._pyroTimeout, proxy._pyroMaxRetries))
        for senseless in ("2", b"2", float("nan"), [2], 1j):
            with self.assertRaisesRegex(ValueError, "a timeout is None or a number of seconds"):
                proxy._pyroTimeout = senseless
        self.assertEqual(2.5, proxy._pyroTimeout)

    def test_a_failed_constructor_prints_no_error(self) -> None:
        proxy = Proxy.__new__(Proxy)
        self.assertFalse(hasattr(proxy, "method"))
        del proxy

    def test_a_subclass_may_add_attributes(self) -> None:
        class Counted(Proxy):
            count = 0

            def __init__(self, uri: str) -> None:
                super().__init__(uri)
                self.count = 7

        self.assertEqual(7, Counted(NOWHERE).count)
        self.assertEqual(7, copy.copy(Counted(NOWHERE)).count)


class CopyTests(unittest.TestCase):
    def original(self) -> Proxy:
        proxy = Proxy(NOWHERE)
        proxy._pyroMethods = {"echo", "fire"}
        proxy._pyroOneway = {"fire"}
        proxy._pyroAttrs = {"value"}
        proxy._pyroHandshake = "secret"
        proxy._pyroSerializer = "json"
        proxy._pyroSeq = 99
        return proxy

    def check(self, copied: Any) -> None:
        self.assertIsInstance(copied, Proxy)
        self.assertEqual(self.original(), copied)
        self.assertEqual(({"echo", "fire"}, {"fire"}, {"value"}, "secret", "json", 0),
                         (copied._pyroMethods, copied._pyroOneway, copied._pyroAttrs, copied._pyroHandshake,
                          copied._pyroSerializer, copied._pyroSeq))
        self.assertIsNone(copied._pyroConnection)

    def test_copies(self) -> None:
        proxy = self.original()
        proxy._pyroTimeout, proxy._pyroMaxRetries = 5, 6
        for copied in (copy.copy(proxy), copy.deepcopy(proxy)):
            self.check(copied)
            self.assertEqual((5, 6), (copied._pyroTimeout, copied._pyroMaxRetries))
            copied._pyroMethods.add("other")
            self.assertNotIn("other", proxy._pyroMethods)

    def test_a_copy_belongs_to_the_thread_that_makes_it(self) -> None:
        copies: List[Proxy] = []
        proxy = self.original()
        thread = threading.Thread(target=lambda: copies.append(copy.copy(proxy)))
        thread.start()
        thread.join()
        self.assertNotEqual(threading.get_ident(), copies[0]._pyro.owner)

    def test_pickle(self) -> None:
        for number in range(pickle.HIGHEST_PROTOCOL + 1):
            self.check(pickle.loads(pickle.dumps(self.original(), number)))

    def test_every_serializer(self) -> None:
        for name in serializers.serializers:
            serializer = serializers.get_serializer(name)
            self.check(serializer.loads(serializer.dumps(self.original())))

    def test_a_malformed_state_is_refused(self) -> None:
        good = list(self.original().__getstate__())
        for place, value in ((0, 5), (0, "nonsense"), (2, [5]), (5, 5), (5, "nonsense")):
            state = list(good)
            state[place] = value
            with self.assertRaises((errors.PyroError, ValueError), msg=state):
                SerializedProxy.read(state)

    def test_the_form_on_the_wire(self) -> None:
        data = serializers.SerializerBase.class_to_dict(self.original())
        self.assertEqual({"__class__": "Pyro5.client.Proxy",
                          "state": (NOWHERE, ("fire",), ("echo", "fire"), ("value",), "secret", "json")}, data)


class SerializedProxy:
    @staticmethod
    def read(state: Any) -> Any:
        return serializers.SerializerBase.dict_to_class({"__class__": "Pyro5.client.Proxy", "state": state})


class ScriptTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.requests: List[Request] = []
        self.addCleanup(setattr, current_context, "annotations", {})
        self.addCleanup(setattr, current_context, "correlation_id", None)

    def read(self, peer: Peer) -> Request:
        request = peer.read_call()
        self.requests.append(request)
        return request

    def script(self, *answers: Any, methods: Any = ("echo", "fire"), attrs: Any = ("value",)) -> Callable[[Peer], Any]:
        """Make a script that gives one answer after another; exceptions are raised remotely."""
        def play(peer: Peer) -> None:
            peer.welcome(methods, ["fire"], attrs)
            for answer in answers:
                request = self.read(peer)
                if isinstance(answer, BaseException):
                    peer.fail(request, answer)
                elif not request.message.flags & protocol.FLAGS_ONEWAY:
                    peer.answer(request, answer)
            peer.wait_for_close()
        return play

    def calls(self) -> List[Any]:
        return [(r.object_id, r.method, tuple(r.args), r.kwargs) for r in self.requests]


class CallTests(ScriptTestCase):
    def test_arguments_and_result(self) -> None:
        with ScriptedServer(self.script("result", [1])) as server, Proxy(server.uri) as proxy:
            self.assertIsNone(proxy._pyroConnection)
            self.assertEqual("result", proxy.echo(1, "two", three=3))
            self.assertEqual([1], proxy.echo())
            self.assertIn("connected IPv4", repr(proxy))
            self.assertEqual(proxy._pyroConnection.sock.getsockname(), proxy._pyroLocalSocket)
            self.assertIn("echo", repr(proxy.echo))
            self.assertLessEqual({"echo", "fire", "value", "_pyroBind"}, set(dir(proxy)))
        self.assertEqual([("thing", "echo", (1, "two"), {"three": 3}), ("thing", "echo", (), {})], self.calls())

    def test_remote_exceptions_bring_their_traceback(self) -> None:
        with ScriptedServer(self.script(ValueError("wrong", 5), "fine")) as server, Proxy(server.uri) as proxy:
            with self.assertRaises(ValueError) as caught:
                proxy.echo()
            self.assertEqual(("wrong", 5), caught.exception.args)
            self.assertEqual(["remote traceback\n"], caught.exception._pyroTraceback)  # type: ignore[attr-defined]
            self.assertEqual("fine", proxy.echo())

    def test_oneway(self) -> None:
        with ScriptedServer(self.script(None, "later")) as server, Proxy(server.uri) as proxy:
            self.assertIsNone(proxy.fire(1))
            self.assertEqual("later", proxy.echo())
        self.assertEqual([protocol.FLAGS_ONEWAY, 0], [r.message.flags for r in self.requests])

    def test_attributes(self) -> None:
        with ScriptedServer(self.script("old", None)) as server, Proxy(server.uri) as proxy:
            self.assertEqual("old", proxy.value)
            proxy.value = "new"
        self.assertEqual([("thing", "__getattr__", ("value",)), ("thing", "__setattr__", ("value", "new"))],
                         [(r.object_id, r.method, tuple(r.args)) for r in self.requests])

    def test_unknown_names_send_nothing(self) -> None:
        with ScriptedServer(self.script()) as server, Proxy(server.uri) as proxy:
            with self.assertRaisesRegex(AttributeError, "%s' has no exposed attribute or method 'missing'" % server.uri):
                proxy.missing()
            with self.assertRaisesRegex(AttributeError, "'missing'"):
                proxy.missing = 5
            self.assertFalse(hasattr(proxy, "other"))
            self.assertTrue(hasattr(proxy, "echo"))

    def test_a_dunder_method_can_be_exposed(self) -> None:
        with ScriptedServer(self.script("d", methods=["__dunder__"])) as server, Proxy(server.uri) as proxy:
            self.assertEqual("d", proxy.__dunder__())

    def test_the_raw_reply(self) -> None:
        with ScriptedServer(self.script("result")) as server, Proxy(server.uri) as proxy:
            proxy._pyroRawWireResponse = True
            reply = proxy.echo()
            self.assertEqual("result", serializers.get_serializer_by_id(reply.serializer_id).loads(reply.data))

    def test_another_object_of_the_same_daemon(self) -> None:
        with ScriptedServer(self.script("pong")) as server, Proxy(server.uri) as proxy:
            self.assertEqual("pong", proxy._pyroInvoke("ping", [], {}, objectId="Pyro.Daemon"))
        self.assertEqual("Pyro.Daemon", self.requests[0].object_id)

    def test_the_serializer_of_the_proxy(self) -> None:
        with ScriptedServer(self.script("x", "y")) as server, Proxy(server.uri) as proxy:
            proxy._pyroSerializer = "json"
            proxy.echo()
            proxy._pyroSerializer = "marshal"
            proxy.echo()
        self.assertEqual([3, 2], [r.message.serializer_id for r in self.requests])

    def test_a_forwarded_blob_keeps_its_serializer(self) -> None:
        json = serializers.get_serializer("json")
        arrived = protocol.SendingMessage(protocol.MSG_INVOKE, 0, 1, json.serializer_id,
                                          json.dumpsCall("other", "echo", ("data",), {}))
        message = protocol.ReceivingMessage(arrived.data[:40], arrived.data[40:])
        with ScriptedServer(self.script("got it", "plain")) as server, Proxy(server.uri) as proxy:
            self.assertEqual("got it", proxy.echo(SerializedBlob("info", message, is_blob=True)))
            self.assertEqual("plain", proxy.echo("x"))
        self.assertEqual([3, 1], [r.message.serializer_id for r in self.requests])
        self.assertEqual([True, False], ["BLBI" in r.message.annotations for r in self.requests])

    def test_the_connection_is_released_with_the_proxy(self) -> None:
        with ScriptedServer(self.script("x")) as server:
            proxy = Proxy(server.uri)
            proxy.echo()
            del proxy
            gc.collect()


class ContextTests(ScriptTestCase):
    def answer_with(self, annotations: Dict[str, bytes]) -> Callable[[Peer], Any]:
        def play(peer: Peer) -> None:
            peer.welcome()
            peer.answer(self.read(peer), "x", annotations=annotations)
            peer.answer(self.read(peer), "x")
            peer.wait_for_close()
        return play

    def test_annotations_and_correlation_id(self) -> None:
        current_context.annotations = {"AAAA": b"a"}
        current_context.correlation_id = uuid.uuid4()
        with ScriptedServer(self.answer_with({"RRRR": b"r"})) as server, Proxy(server.uri) as proxy:
            proxy.echo()
            self.assertEqual({"RRRR": b"r"}, current_context.response_annotations)
            proxy.echo()
            self.assertEqual({}, current_context.response_annotations)
        message = self.requests[0].message
        self.assertEqual({"AAAA": b"a"}, message.annotations)
        self.assertEqual(current_context.correlation_id, correlation_of(message))

    def test_annotations_of_a_proxy(self) -> None:
        class Signed(Proxy):
            def _pyroAnnotations(self) -> Dict[str, bytes]:
                return {"SIGN": b"me"}

        current_context.annotations = {"AAAA": b"a"}
        with ScriptedServer(self.answer_with({})) as server, Signed(server.uri) as proxy:
            proxy.echo()
            self.assertEqual({"AAAA": b"a"}, current_context.annotations)
            proxy.echo()
        self.assertEqual({"AAAA": b"a", "SIGN": b"me"}, self.requests[0].message.annotations)


class OperatorTests(ScriptTestCase):
    def test_item_access(self) -> None:
        names = ["__len__", "__getitem__", "__setitem__", "__delitem__", "__contains__"]
        with ScriptedServer(self.script(3, "item", None, None, True, methods=names)) as server, Proxy(server.uri) as proxy:
            self.assertEqual(3, len(proxy))
            self.assertEqual("item", proxy["key"])
            proxy["key"] = "new"
            del proxy["key"]
            self.assertIn("x", proxy)
        self.assertEqual([("__len__", ()), ("__getitem__", ("key",)), ("__setitem__", ("key", "new")),
                          ("__delitem__", ("key",)), ("__contains__", ("x",))],
                         [(r.method, tuple(r.args)) for r in self.requests])

    def test_operators_that_are_not_exposed(self) -> None:
        with ScriptedServer(self.script()) as server, Proxy(server.uri) as proxy:
            for use in (len, iter, list, lambda p: p[0], lambda p: p.__setitem__(0, 0), lambda p: p.__delitem__(0),
                        lambda p: 5 in p):
                with self.assertRaisesRegex(TypeError, "has no exposed method '__"):
                    use(proxy)  # type: ignore[operator]
            self.assertTrue(proxy)

    def test_list_works_without_len(self) -> None:
        answers = ["a", "b", IndexError()]
        with ScriptedServer(self.script(*answers, methods=["__getitem__"])) as server, Proxy(server.uri) as proxy:
            self.assertEqual(["a", "b"], list(proxy))
        self.assertEqual([0, 1, 2], [r.args[0] for r in self.requests])

    def test_membership_without_contains_compares_the_items(self) -> None:
        with ScriptedServer(self.script(["a", "b"], ["a"], methods=["__iter__"])) as server, Proxy(server.uri) as proxy:
            self.assertIn("b", proxy)
            self.assertNotIn("b", proxy)


class FailureTests(ScriptTestCase):
    def test_no_server_at_the_address(self) -> None:
        uri = "PYRO:thing@127.0.0.1:%d" % free_port()
        with Proxy(uri) as proxy, self.assertRaisesRegex(errors.CommunicationError, uri):
            proxy.echo()

    def test_in_strict_mode_other_threads_are_refused_until_they_claim(self) -> None:
        outcomes: List[Any] = []

        def use(proxy: Proxy) -> None:
            try:
                proxy.echo()
            except errors.PyroError as x:
                outcomes.append(str(x))
            proxy._pyroClaimOwnership()
            outcomes.append(proxy.echo())

        with settings(PROXY_SHARING="strict"), ScriptedServer(self.script("mine", "theirs")) as server, \
                Proxy(server.uri) as proxy:
            proxy.echo()
            thread = threading.Thread(target=use, args=(proxy,))
            thread.start()
            thread.join()
            with self.assertRaisesRegex(errors.PyroError, "not the owner"):
                proxy.echo()
        self.assertIn("not the owner", outcomes[0])
        self.assertEqual("theirs", outcomes[1])

    def test_lost_connection_and_reconnect(self) -> None:
        def die(peer: Peer) -> None:
            peer.welcome()
            self.read(peer)

        with ScriptedServer(die, self.script("again")) as server, Proxy(server.uri) as proxy:
            with self.assertRaisesRegex(errors.ConnectionClosedError, "calling echo of " + server.uri):
                proxy.echo()
            self.assertIsNone(proxy._pyroConnection)
            proxy._pyroReconnect(tries=1)
            self.assertIsNotNone(proxy._pyroConnection)
            self.assertEqual("again", proxy.echo())

    def test_retries(self) -> None:
        def die(peer: Peer) -> None:
            peer.welcome()
            self.read(peer)

        with ScriptedServer(die, die, self.script("third time")) as server, Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 2
            self.assertEqual("third time", proxy.echo())
        self.assertEqual(3, len(self.requests))

    def test_retries_run_out(self) -> None:
        def die(peer: Peer) -> None:
            peer.welcome()
            self.read(peer)

        with ScriptedServer(die, die) as server, Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 1
            with self.assertRaises(errors.ConnectionClosedError):
                proxy.echo()

    def test_a_timeout_is_retried(self) -> None:
        def be_slow(peer: Peer) -> None:
            peer.welcome()
            self.read(peer)
            peer.wait_for_close()

        with ScriptedServer(be_slow, self.script("in time")) as server, Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 1
            proxy._pyroBind()
            proxy._pyroTimeout = 0.05
            self.assertEqual(0.05, proxy._pyroConnection.timeout)
            proxy._pyroTimeout = None
            proxy._pyroConnection.timeout = 0.05
            self.assertEqual("in time", proxy.echo())

    def test_exceptions_of_the_method_are_not_retried(self) -> None:
        with ScriptedServer(self.script(errors.TimeoutError("remote"))) as server, Proxy(server.uri) as proxy:
            proxy._pyroMaxRetries = 5
            with self.assertRaisesRegex(errors.TimeoutError, "remote"):
                proxy.echo()
        self.assertEqual(1, len(self.requests))


class ConnectTests(ScriptTestCase):
    def test_bind(self) -> None:
        with ScriptedServer(self.script()) as server, Proxy(server.uri) as proxy:
            self.assertTrue(proxy._pyroBind())
            self.assertFalse(proxy._pyroBind())

    def test_bind_replaces_a_name_by_its_uri(self) -> None:
        with ScriptedServer(self.script("x")) as server:
            with ScriptedServer(name_server({"name": server.uri})) as ns:
                with Proxy("PYRONAME:name@127.0.0.1:%d" % ns.port) as proxy:
                    proxy._pyroBind()
                    self.assertEqual(URI(server.uri), proxy._pyroUri)
                    self.assertEqual("x", proxy.echo())

    def test_handshake_values(self) -> None:
        class Careful(Proxy):
            response: Any = None

            def _pyroValidateHandshake(self, response: Any) -> None:
                self.response = response, self._pyroConnection is not None

        def script(peer: Peer) -> Any:
            request = peer.welcome(response=["granted"])
            peer.wait_for_close()
            return serializers.get_serializer("serpent").loads(request.data)

        with ScriptedServer(script) as server, Careful(server.uri) as proxy:
            proxy._pyroHandshake = {"user": "x"}
            proxy._pyroBind()
            self.assertEqual((["granted"], True), proxy.response)
        self.assertEqual({"handshake": {"user": "x"}, "object": "thing"}, server.results[0])

    def test_pauses_between_reconnects_increase(self) -> None:
        waits: List[float] = []
        with mock.patch("threading.Event.wait", lambda event, seconds: waits.append(seconds)):
            with self.assertRaisesRegex(errors.ConnectionClosedError, "after 7 tries"):
                Proxy("PYRO:thing@127.0.0.1:%d" % free_port())._pyroReconnect(tries=7)
        self.assertEqual(6, len(waits))
        self.assertEqual(sorted(waits), waits)
        self.assertEqual(RECONNECT_MAX_PAUSE_SECONDS, waits[-1])
        with self.assertRaises(ValueError):
            Proxy(NOWHERE)._pyroReconnect(tries=0)

    def test_a_connected_socket(self) -> None:
        near, far = socket.socketpair()

        def play() -> None:
            peer = Peer(far)
            peer.answer(self.read(peer), {"methods": ["echo"], "oneway": [], "attrs": []})
            peer.answer(self.read(peer), "x")

        thread = threading.Thread(target=play)
        thread.start()
        with near, far:
            with Proxy("thing", connected_socket=near) as proxy:
                self.assertEqual("x", proxy.echo())
            thread.join()
            near.sendall(b"still open")
            self.assertEqual(b"still open", far.recv(100))
        self.assertEqual([("Pyro.Daemon", "get_metadata", ("thing",), {}), ("thing", "echo", (), {})], self.calls())


class LocateTests(unittest.TestCase):
    def test_the_proxy_is_connected(self) -> None:
        with ScriptedServer(name_server({"name": NOWHERE})) as server:
            with locate_ns("127.0.0.1", server.port) as nameserver:
                self.assertIsNotNone(nameserver._pyroConnection)
                self.assertEqual(URI(NOWHERE), nameserver.lookup("name"))

    def test_the_time_limit_of_the_search_is_not_kept(self) -> None:
        with ScriptedServer(name_server({})) as server:
            with settings(NS_HOST="127.0.0.1", NS_PORT=server.port), locate_ns() as nameserver:
                self.assertIsNone(nameserver._pyroTimeout)
                self.assertIsNone(nameserver._pyroConnection.timeout)

    def test_a_name_server_found_by_broadcast_is_not_connected(self) -> None:
        found = URI("PYRO:Pyro.NameServer@192.0.2.7:9090")
        with settings(NS_HOST="192.0.2.1"), mock.patch("Pyro5._client.discovery.ask_by_broadcast", return_value=[found]):
            nameserver = locate_ns()
        self.assertEqual(found, nameserver._pyroUri)
        self.assertIsNone(nameserver._pyroConnection)

    def test_no_name_server(self) -> None:
        port = free_port()
        with self.assertRaisesRegex(errors.NamingError, "127.0.0.1:%d" % port):
            locate_ns("127.0.0.1", port)


@expose
class Shelf:
    """The object of the real daemon."""

    def __init__(self) -> None:
        self.items = ["a", "b"]
        self._owner = "nobody"
        self.fired = threading.Event()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)

    def __contains__(self, item: Any) -> bool:
        return item in self.items

    @property
    def owner(self) -> str:
        return self._owner

    @owner.setter
    def owner(self, name: str) -> None:
        self._owner = name

    def add(self, item: Any, *more: Any, front: bool = False) -> int:
        self.items[0 if front else len(self.items):0 if front else len(self.items)] = [item, *more]
        return len(self.items)

    def fail(self, text: str) -> None:
        raise ValueError(text)

    @oneway
    def fire(self) -> None:
        self.fired.set()


class RealDaemonTests(unittest.TestCase):
    def setUp(self) -> None:
        self.shelf = Shelf()
        daemon = Daemon(host="127.0.0.1", port=0)
        self.uri = daemon.register(self.shelf)
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    @contextlib.contextmanager
    def proxy(self, serializer: str) -> Iterator[Proxy]:
        with self.subTest(serializer=serializer), Proxy(self.uri) as proxy:
            proxy._pyroSerializer = serializer
            self.shelf.items = ["a", "b"]
            yield proxy

    def test_methods(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                self.assertEqual(5, proxy.add("c", "d", "e"))
                self.assertEqual(6, proxy.add(item="z", front=True))
                self.assertEqual(["z", "a", "b", "c", "d", "e"], self.shelf.items)

    def test_attributes(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                proxy.owner = proxy._pyroSerializer
                self.assertEqual(proxy._pyroSerializer, proxy.owner)

    def test_operators(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                self.assertEqual(2, len(proxy))
                self.assertEqual(["a", "b"], list(proxy))
                self.assertIn("a", proxy)
                self.assertNotIn("x", proxy)

    def test_exceptions(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                with self.assertRaisesRegex(ValueError, "broken") as caught:
                    proxy.fail("broken")
                self.assertIn("broken", "".join(errors.get_pyro_traceback(caught.exception)))
                self.assertEqual(3, proxy.add("c"))

    def test_oneway(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                self.shelf.fired.clear()
                self.assertIsNone(proxy.fire())
                self.assertTrue(self.shelf.fired.wait(20))

    def test_batches(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                batch = client.BatchProxy(proxy)
                batch.add("c")
                batch.fail("in the middle")
                batch.add("d")
                results = batch()
                self.assertEqual(3, next(results))  # type: ignore[arg-type]
                with self.assertRaisesRegex(ValueError, "in the middle"):
                    next(results)  # type: ignore[arg-type]
                self.assertEqual(["a", "b", "c"], self.shelf.items)

    def test_a_stream_that_is_not_read_to_its_end(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                stream = iter(proxy)
                self.assertEqual("a", next(stream))
                proxy.add("c")
                stream.close()
                self.assertEqual([], list(stream))

    def test_a_large_value(self) -> None:
        for name in serializers.serializers:
            with self.proxy(name) as proxy:
                text = "large " * 200000
                proxy.owner = text
                self.assertEqual(text, proxy.owner)

    def test_compressed(self) -> None:
        with settings(COMPRESSION=True):
            for name in serializers.serializers:
                with self.proxy(name) as proxy:
                    text = "large " * 2000
                    proxy.owner = text
                    self.assertEqual(text, proxy.owner)


if __name__ == "__main__":
    unittest.main()
