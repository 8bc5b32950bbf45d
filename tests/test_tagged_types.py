"""Registered types, and bytes, between peers of this release, and toward peers of others."""
from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import subprocess
import sys
import types
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import aio, api, config, errors, protocol, serializers
from Pyro5._values import recreation, registered_types
from Pyro5.protocol import SendingMessage

from .peers import Peer, ScriptedServer
from .rawclient import RawClient, call_request
from .support import aio_daemon_thread, daemon_thread
from .tagged_values import (
    CONTAINERS,
    GROUPS,
    NAMES,
    TYPES,
    VALUES,
    Box,
    Color,
    DiskError,
    Echo,
    LabError,
    Level,
    Money,
    Pair,
    Point,
    Shape,
    SpacePoint,
    SpecialPoint,
)

SERVERS = ("thread", "multiplex", "aio")


class Registered(unittest.TestCase):
    def setUp(self) -> None:
        before = set(registered_types.registered())
        api.register_types(*TYPES, *GROUPS)
        for clazz in set(registered_types.registered()) - before:
            self.addCleanup(registered_types.unregister, clazz)
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        self.addCleanup(config.reset)
        self.echo = Echo()

    def serve(self, kind: str = "thread") -> str:
        """Serve the object, and return its uri."""
        if kind == "aio":
            daemon: Any = aio.Daemon()
            self.at_end.enter_context(aio_daemon_thread(daemon))
        else:
            config.SERVERTYPE = kind
            daemon = self.at_end.enter_context(daemon_thread(api.Daemon()))
        return str(daemon.register(self.echo, "obj"))

    def same(self, expected: Any, found: Any) -> None:
        self.assertEqual((expected, type(expected)), (found, type(found)))


class BetweenNewPeers(Registered):
    def test_values_arrive_as_what_they_were(self) -> None:
        for kind in SERVERS:
            uri = self.serve(kind)
            for name in NAMES:
                with self.subTest(kind, serializer=name), api.Proxy(uri, serializer=name) as proxy:
                    for value in (*CONTAINERS, list(VALUES)):
                        self.same(value, proxy.echo(value))
                        self.same(value, self.echo.seen[-1])
                    self.same({"a": list(VALUES)}, proxy.echo(1, a=list(VALUES)))
                    self.same(Color.RED, proxy.later(Color.RED))
                    self.assertEqual(list(VALUES), list(proxy.items(list(VALUES))))
                    proxy.value = Point(1)
                    self.same(Point(1), proxy.value)

    def test_each_value_alone(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(3)
            for value in VALUES + CONTAINERS:
                self.same(value, serializer.loads(serializer.dumps(value)))
                call = serializer.loadsCall(serializer.dumpsCall("obj", "echo", (value,), {"a": value}))
                self.assertEqual(("obj", "echo", [value], {"a": value}), (*call[:2], list(call[2]), call[3]))

    def test_batches_futures_and_options(self) -> None:
        for name in NAMES:
            with self.subTest(name), api.Proxy(self.serve(), serializer=name) as proxy:
                batch = api.BatchProxy(proxy)
                for value in VALUES:
                    batch.echo(value)
                batch.fail("lab", 1)
                results = batch()
                self.assertEqual(list(VALUES), [next(results) for _ in VALUES])
                with self.assertRaises(LabError) as caught:
                    next(results)
                self.assertEqual((7, ("broken",)), (caught.exception.code, caught.exception.args))
                self.same(Point(1), proxy.echo.future(Point(1)).result(20))
                self.same(Point(1), proxy.echo.options(timeout=20, serializer="json")(Point(1)))

    def test_asyncio(self) -> None:
        async def run(uri: str, name: str) -> None:
            async with aio.Proxy(uri, serializer=name) as proxy:
                for value in (*CONTAINERS, list(VALUES)):
                    self.same(value, await proxy.echo(value))
                    self.same(value, self.echo.seen[-1])
                self.same(Color.RED, await proxy.later(Color.RED))
                self.assertEqual(list(VALUES), [each async for each in await proxy.items(list(VALUES))])
                batch = aio.BatchProxy(proxy)
                batch.echo(Point(1))
                self.assertEqual([Point(1)], list(await batch()))
                with self.assertRaises(LabError) as caught:
                    await proxy.fail("lab", 1)
                self.assertEqual(7, caught.exception.code)

        uri = self.serve("aio")
        for name in NAMES:
            with self.subTest(name):
                asyncio.run(run(uri, name))

    def test_a_type_that_is_not_registered_here_arrives_in_its_plain_form(self) -> None:
        sent = serializers.get_serializer("serpent").for_dialect(3)
        for name in NAMES:
            sent = serializers.get_serializer(name).for_dialect(3)
            data = sent.dumps([Color.RED, {"shape": Shape("s", points=[Point(1)] * 10)}, {Level.LOW: 1}])
            with mock.patch.object(registered_types, "_tables", registered_types._Tables({}, {}, {})):
                point = {"x": 1, "y": 0.0}
                self.assertEqual([1, {"shape": {"name": "s", "color": 1, "points": [point] * 10, "inner": None}}, {"low": 1}],
                                 sent.loads(data))
                with self.assertRaisesRegex(errors.SerializeError, "unsupported serialized class: .*Color"):
                    serializers.get_serializer(name).loads(data)  # no peer that has not announced it sends this

    def test_types_that_do_not_fit(self) -> None:
        uri = self.serve()
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(1)
            with self.subTest(name), api.Proxy(uri, serializer=name) as proxy:
                for wrong in ({"x": "left"}, [{"__class__": "tests.tagged_values.Point", "value": {"x": "left"}}] * 10):
                    value = wrong if type(wrong) is list else {"__class__": "tests.tagged_values.Point", "value": wrong}
                    text = r"^Echo.%s\(\) argument '%s', .*tagged_values.Point.*\.x: expected int, found the str 'left'$"
                    with self.assertRaisesRegex(TypeError, text % ("echo", "value")):
                        proxy.echo(value)
                    with self.assertRaisesRegex(TypeError, text % ("echo", "more")):
                        proxy.echo(1, more=value)
                    with self.assertRaisesRegex(TypeError, text % ("annotated", "colors")):
                        proxy.annotated({}, value)
                    batch = api.BatchProxy(proxy)
                    batch.echo(1)
                    batch.keep(value)
                    with self.assertRaisesRegex(TypeError, text % ("keep", "value")):
                        batch()
                    with self.assertRaisesRegex(TypeError, r"^__setattr__\(\) argument 2, .*Point"):
                        proxy.value = value
                    with self.assertRaisesRegex(TypeError, "^the received value, .*Point.*x: expected int"):
                        serializer.loads(serializer.dumps(value))
                self.assertEqual(5, proxy.echo(5))
        self.assertEqual([5] * len(NAMES), self.echo.seen)

    def test_wire_form(self) -> None:
        for name in NAMES:
            base = serializers.get_serializer(name)
            tagged = base.for_dialect(1)
            with mock.patch.object(registered_types, "_tables", registered_types._Tables({}, {}, {})):
                for value, form in ((Color.RED, 1), (Point(1), {"x": 1, "y": 0.0})):
                    wire = base._decode(tagged.dumps([value]))[0]
                    self.assertEqual([{"__class__": "tests.tagged_values." + type(value).__name__, "value": form}], wire)


class Names(Registered):
    def test_classes_of_the_program_itself(self) -> None:
        module = types.ModuleType("__main__")
        exec("import enum, dataclasses\nclass Mode(enum.Enum):\n  ON = 1\nclass Fault(Exception): pass", vars(module))
        mode, fault = module.Mode, module.Fault
        api.register_types(mode, fault)
        self.addCleanup(registered_types.unregister, mode)
        self.addCleanup(registered_types.unregister, fault)
        serializer = serializers.get_serializer("serpent").for_dialect(3)
        data = serializer.dumps([mode.ON, fault("x")])
        self.assertNotIn(b"__main__", data)
        self.assertIs(mode.ON, serializer.loads(data)[0])
        self.assertIs(fault, type(serializer.loads(data)[1]))
        # its name where the module of the program is imported, and where another program has a class with this name
        for name in ("lab.Mode", "main.Mode", "lab.types.Mode"):
            self.assertIs(mode.ON, serializer.loads(data.replace(b"main.Mode", name.encode()))[0])
        self.assertIsNone(registered_types.find("lab.Other"))

    def test_two_programs_that_define_the_same_class(self) -> None:
        program = ("import enum\nfrom Pyro5 import api\nclass Color(enum.Enum):\n  RED = 1\n  BLUE = 2\n"
                   "class Lab:\n  @api.expose\n  def other(self, color):\n"
                   "    return [each for each in Color if each is not color]\n"
                   "api.register_types(Color)\ndaemon = api.Daemon()\nprint(daemon.register(Lab()), flush=True)\n"
                   "daemon.requestLoop()")
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            self.addCleanup(process.kill)
            assert process.stdout is not None
            with api.Proxy(process.stdout.readline().strip()) as proxy:
                # here it is a class of another module, with other members
                with self.assertRaisesRegex(TypeError, "the received value, main.Color: expected Color, found the int 2"):
                    proxy.other(Color.RED)
                registered_types.unregister(Color)
                self.assertEqual([1, 2], proxy.other(1))
            process.kill()

    def test_the_module_that_another_program_imports(self) -> None:
        self.assertIs(Color, registered_types.find("main.Color"))
        self.assertIsNone(registered_types.find("lab.Color"))
        other = type("Color", (LabError,), {"__module__": "other"})
        api.register_types(other)
        self.addCleanup(registered_types.unregister, other)
        self.assertIsNone(registered_types.find("main.Color"))  # two classes have this name
        self.assertIs(other, registered_types.find("other.Color"))

    def test_names_do_not_change_after_the_registration(self) -> None:
        serializer = serializers.get_serializer("json").for_dialect(1)
        with mock.patch.object(Color, "__module__", "elsewhere"):
            self.assertIn(b"tests.tagged_values.Color", serializer.dumps(Color.RED))

    def test_instances_of_subclasses(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(1)
            self.same(Point(1), serializer.loads(serializer.dumps(SpecialPoint(1))))
            self.same({"x": 1, "y": 0.0, "z": 0.0}, serializer.loads(serializer.dumps(SpacePoint(1))))


class Exceptions(Registered):
    def test_arguments_attributes_notes_and_causes(self) -> None:
        for kind in SERVERS:
            uri = self.serve(kind)
            for name in NAMES:
                with self.subTest(kind, serializer=name), api.Proxy(uri, serializer=name) as proxy:
                    with self.assertRaises(LabError) as lab:
                        proxy.fail("caused", "key")
                    self.assertEqual((8, ("caused",)), (lab.exception.code, lab.exception.args))
                    self.assertIn("in fail", "".join(lab.exception._pyroTraceback))  # type: ignore[attr-defined]
                    self.assertTrue(errors.is_remote(lab.exception))
                    self.assertEqual("KeyError('key')", repr(lab.exception.__cause__))
                    with self.assertRaises(ValueError) as other:
                        proxy.fail("args", Point(1))
                    self.assertEqual((Point(1), [Point(1)]), other.exception.args)
                    self.assertEqual((Point(1),), other.exception.__cause__.args)  # type: ignore[union-attr]
                    with self.assertRaises(DiskError) as disk:
                        proxy.fail("disk", None)
                    self.assertEqual((2, "missing", "file", (2, "missing")), (
                        disk.exception.errno, disk.exception.strerror, disk.exception.filename, disk.exception.args))

    def test_as_values(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(3)
            error = LabError(3, "text")
            error.__cause__ = DiskError(2, "missing")
            if sys.version_info >= (3, 11):
                error.add_note("a note")
            found = serializer.loads(serializer.dumps([error]))[0]
            self.assertIs(LabError, type(found))
            self.assertEqual((("text",), error.__dict__), (found.args, found.__dict__))
            self.assertEqual((DiskError, 2), (type(found.__cause__), found.__cause__.errno))

    def test_causes_that_cannot_be_sent_or_built(self) -> None:
        class Unsendable(Exception):
            def __getstate__(self) -> Any:
                raise RuntimeError

        @api.expose
        class Failing:
            def fail(self, number: int) -> None:
                cause = [Unsendable(open), type("Unknown", (Exception,), {})("x"), SystemExit(3)][number]
                raise ValueError("outer") from cause

        daemon = self.at_end.enter_context(daemon_thread(api.Daemon()))
        uri = daemon.register(Failing)
        for name in NAMES:
            with self.subTest(name), api.Proxy(uri, serializer=name) as proxy:
                causes = "None", r"RemoteError\('.*Unknown: x'\)", r"RemoteError\('.*SystemExit: 3'\)"
                for number, cause in enumerate(causes):
                    with self.assertRaisesRegex(ValueError, "^outer$") as caught:
                        proxy.fail(number)
                    self.assertRegex(repr(caught.exception.__cause__), cause)

    def test_chains_of_causes_are_bounded(self) -> None:
        serializer = serializers.get_serializer("json").for_dialect(1)
        error = first = ValueError(0)
        for number in range(1, 30):
            error.__cause__ = ValueError(number)
            error = error.__cause__
        error.__cause__ = first
        found, count = serializer.loads(serializer.dumps(first)), 0
        while found.__cause__ is not None:
            found, count = found.__cause__, count + 1
        self.assertEqual(8, count)

    def test_exceptions_that_the_receiver_has_not_registered(self) -> None:
        serializer = serializers.get_serializer("serpent").for_dialect(3)
        data = serializer.dumps(LabError(3, "text"))
        registered_types.unregister(LabError)
        with self.assertRaisesRegex(errors.SerializeError, "unsupported serialized class: tests.tagged_values.LabError"):
            serializer.loads(data)
        found = serializer.loads_reply(data)
        self.assertEqual((errors.RemoteError, "tests.tagged_values.LabError", 3),
                         (type(found), found.remote_class, found.code))


class Bytes(Registered):
    DATA = (b"", b"abc", bytes(range(256)), bytearray(b"it's \"x\"\0"), memoryview(b"abcdef")[::2], b"x" * 100000)

    def test_between_new_peers_bytes_arrive_as_bytes(self) -> None:
        uri = self.serve()
        with api.Proxy(uri, serializer="serpent") as proxy:
            for data in self.DATA:
                self.same(bytes(data), proxy.echo(data))
                self.same(bytes(data), self.echo.seen[-1])
                self.same([1, {"a": bytes(data)}, (bytes(data), "text")], proxy.echo([1, {"a": data}, (data, "text")]))
                self.assertEqual([bytes(data), Point(1)], list(proxy.items([data, Point(1)])))
            self.same({b"a": {b"b"}}, proxy.echo({b"a": {b"b"}}))
            with self.assertRaises(ValueError) as caught:
                proxy.fail("args", b"\0")
            self.assertEqual((b"\0", [b"\0"]), caught.exception.args)

    def test_long_ones(self) -> None:
        serializer: Any = serializers.get_serializer("serpent").for_dialect(3)
        long = bytes(range(256)) * 400
        payload = serializer.call_payload("obj", "echo", (long, "text", b"short", "x" * 40000, Point(1)), {})
        self.assertIs(bytes, type(payload))  # not in parts: there are other types
        parts = serializer.call_payload("obj", "echo", (long, "text", b"short", "x" * 40000), {"a": 1})
        self.assertEqual(("obj", "echo", (long, "text", b"short", "x" * 40000), {"a": 1}),
                         serializer.loadsCall(b"".join(parts)))
        for value in (long, {"data": "x" * 40000, "encoding": "base64"}, [long]):
            payload = serializer.value_payload(value)
            data = payload if type(payload) is bytes else b"".join(payload)
            self.same(value, serializer.loads(data))
        self.assertLess(len(data), 4 * len(long))
        tag = {"__class__": "Pyro5.bytes"}
        for wrong in ({**tag, "value": 5}, {**tag, "value": "x"}, tag):
            with self.assertRaises((ValueError, KeyError)):
                serializer.loads(serializers.get_serializer("serpent").dumps(wrong))

    def test_the_variant_writes_what_the_library_writes(self) -> None:
        serializer: Any = serializers.get_serializer("serpent").for_dialect(2)
        for data in self.DATA[:4]:
            for value in (data, [data, 1], {"a": data}):
                self.assertEqual(serializer._encode_slowly(value), serializer.dumps(value))


class TowardOldPeers(Registered):
    """A peer that does not announce the features gets exactly what it got before."""

    def setUp(self) -> None:
        super().setUp()
        self.plain = serializers.get_serializer("serpent").dumps([{"x": 1, "y": 0.0}, b"abc", 1])

    def test_an_old_client(self) -> None:
        location = self.serve().partition("@")[2].split(":")
        for features in (None, b"", b"dl cx"):
            with RawClient(socket.create_connection((location[0], int(location[1])))) as client:
                serializer = serializers.get_serializer("serpent")
                annotations = {} if features is None else {"FEAT": features}
                client.send(SendingMessage(protocol.MSG_CONNECT, 0, 0, serializer.serializer_id,
                                           serializer.dumps({"handshake": "hello", "object": "obj"}), annotations).data)
                client.reply()
                client.send(call_request("echo", [Point(1), b"abc", Color.RED]))
                reply = client.read()
                assert reply is not None
                self.assertEqual(self.echo.seen[-1], serializer.loads(reply.data))
                self.echo.seen[-1][:] = [Point(1), b"abc", Color.RED]
                client.send(call_request("fail", "caused", 1, seq=2))
                error = client.read()
                assert error is not None
                found = serializer._decode(error.data)[0]  # type: ignore[attr-defined]
                self.assertEqual(({"__class__", "__exception__", "args", "attributes"}, "tests.tagged_values.LabError"),
                                 (set(found), found["__class__"]))
        self.same(serializers.get_serializer("serpent").loads(self.plain), [{"x": 1, "y": 0.0},
                  {"data": "YWJj", "encoding": "base64"}, 1])

    def test_tagged_forms_that_no_old_peer_sends(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            for value in (Point(1), [Point(1)] * 9, [Color.RED] * 9, {Color.RED}):
                with self.assertRaisesRegex(errors.SerializeError, "unsupported serialized class"):
                    serializer.loads(serializer.for_dialect(1).dumps(value))
            # exceptions of old peers have the same form
            self.assertIs(LabError, type(serializer.loads(serializer.dumps(LabError(1, "text")))))

    def test_peers_that_know_one_of_both(self) -> None:
        serializer = serializers.get_serializer("serpent")
        self.assertEqual([{"data": "YWJj", "encoding": "base64"}, Color.RED],
                         serializer.for_dialect(1).loads(serializer.for_dialect(1).dumps([b"abc", Color.RED])))
        self.assertEqual([b"abc", 1], serializer.for_dialect(2).loads(serializer.for_dialect(2).dumps([b"abc", Color.RED])))

    def test_an_old_server(self) -> None:
        received: List[bytes] = []

        def script(peer: Peer) -> None:
            peer.welcome()
            request = peer.read_call()
            received.append(bytes(request.message.data))
            peer.answer(request, [Point(1), b"abc", Color.RED])
            peer.wait_for_close()

        with ScriptedServer(script) as server, api.Proxy(server.uri) as proxy:
            result = proxy.echo([Point(1), b"abc", Color.RED])
            proxy._pyroRelease()
        expected = serializers.get_serializer("serpent").dumpsCall("thing", "echo", ([Point(1), b"abc", Color.RED],), {})
        self.assertEqual([expected], received)
        self.assertNotIn(b"__class__", expected)
        self.assertIn(b"base64", expected)
        self.assertEqual([{"x": 1, "y": 0.0}, {"data": "YWJj", "encoding": "base64"}, 1], result)

    def test_a_serializer_of_the_program(self) -> None:
        """It may be derived from one of this package, which has its number. The other side does not know that."""
        class Own(serializers.SerpentSerializer):
            def dumps(self, data: Any) -> bytes:
                return super().dumps(data)

        serializers.serializers["own"] = own = Own()
        self.addCleanup(serializers.serializers.__delitem__, "own")
        by_id: Any = serializers.serializers_by_id
        original = by_id[own.serializer_id]
        uri = self.serve()
        for both in (False, True):
            # on the server too, all proxies included
            if both:
                by_id[own.serializer_id] = own
                self.addCleanup(by_id.__setitem__, own.serializer_id, original)
            with api.Proxy(uri, serializer="own") as proxy:
                self.assertEqual([{"x": 1, "y": 0.0}, {"data": "YWJj", "encoding": "base64"}], proxy.echo([Point(1), b"abc"]))
                self.same([Point(1)], proxy.annotated({"a": [Point(1)]}) and self.echo.seen[-1]["a"])
            with api.Proxy(uri, serializer="serpent") as proxy:
                self.assertEqual([{"x": 1, "y": 0.0}] if both else [Point(1)], proxy.echo([Point(1)]))

    def test_replies_that_the_program_decodes_itself(self) -> None:
        with api.Proxy(self.serve()) as proxy:
            proxy._pyroRawWireResponse = True
            reply = proxy.echo([Point(1), b"abc"])
            self.assertEqual([{"x": 1, "y": 0.0}, {"data": "YWJj", "encoding": "base64"}],
                             serializers.get_serializer("serpent").loads(reply.data))

    def test_serialized_blobs_may_go_on_to_any_peer(self) -> None:
        with api.Proxy(self.serve()) as proxy:
            proxy.keep(api.SerializedBlob("info", [Point(1), b"abc"]))
        message = self.echo.seen[-1]._data
        self.assertNotIn(b"__class__", bytes(message.data))
        self.assertIn(b"base64", bytes(message.data))


class Lists(Registered):
    """Lists of instances of one class travel field by field."""

    SHAPES = [Shape("s%d" % number, Color.RED, [Point(number)] * (number % 20), Shape("inner") if number % 2 else None)
              for number in range(40)]

    def test_wire_form(self) -> None:
        serializer = serializers.get_serializer("json")
        data = serializer.for_dialect(1).dumps([Point(number) for number in range(9)])
        self.assertEqual({"__class__": "Pyro5.list", "of": "tests.tagged_values.Point", "fields": ["x", "y"],
                          "values": [list(range(9)), [0.0] * 9]}, serializer._decode(data)[0])
        data = serializer.for_dialect(1).dumps([Color.RED] * 9)
        self.assertEqual({"__class__": "Pyro5.list", "of": "tests.tagged_values.Color", "values": [1] * 9},
                         serializer._decode(data)[0])

    def test_with_every_serializer(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(3)
            for value in (self.SHAPES, {"a": [self.SHAPES]}, [Color.RED, Color.MIXED] * 5, [Pair(1, Point(2))] * 9,
                          [Money(1)] * 9, [datetime.date(2024, 2, 29)] * 9, [Box(Color.RED)] * 9):
                self.same(value, serializer.loads(serializer.dumps(value)))
            errors_found = serializer.loads(serializer.dumps([LabError(1, "x")] * 9))
            self.assertEqual({(LabError, 1)}, {(type(each), each.code) for each in errors_found})

    def test_toward_old_peers_they_are_lists_of_plain_forms(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            for value in (self.SHAPES, [Color.RED] * 9, [Point(1)] * 9):
                self.assertEqual([serializer.loads(serializer.dumps(each)) for each in value],
                                 serializer.loads(serializer.dumps(value)))

    def test_types_that_are_not_registered_here(self) -> None:
        for name in NAMES:
            plain, tagged = serializers.get_serializer(name), serializers.get_serializer(name).for_dialect(1)
            data, expected = tagged.dumps(self.SHAPES), plain.dumps(self.SHAPES)
            with mock.patch.object(registered_types, "_tables", registered_types._Tables({}, {}, {})):
                self.assertEqual(plain.loads(expected), tagged.loads(data))

    def test_objects_of_a_daemon_become_proxies(self) -> None:
        points = [Box(number) for number in range(9)]
        daemon = self.at_end.enter_context(daemon_thread(api.Daemon()))
        daemon.register(points[4])
        for name in NAMES:
            with api.Proxy(daemon.register(self.echo, "echo"), serializer=name) as proxy:
                found = proxy.echo(points)
                self.assertEqual([Box, api.Proxy, Box], list(map(type, found[3:6])))
                found[4]._pyroRelease()
                daemon.unregister("echo")

    def test_more_of_them_than_a_message_may_have_in_this_form(self) -> None:
        points = [Point(1)] * 30
        self.at_end.enter_context(mock.patch.object(recreation, "MAX_LIST_ELEMENTS", 50))
        for name in ("json", "marshal"):
            serializer = serializers.get_serializer(name).for_dialect(1)
            self.at_end.enter_context(mock.patch.object(serializer, "_most_rows", 50))
            self.assertEqual([points, points], serializer.loads(serializer.dumps([points, points])))
            data = serializer.dumps(points)
            lists = serializer.list_payload([data] * 2)
            with self.assertRaisesRegex(errors.SerializeError, "too many instances in lists; 50 are allowed"):
                serializer.loads(lists)  # type: ignore[arg-type]
            elements = [serializer.for_elements().dumps_element(points)] * 2
            self.assertEqual([points, points], serializer.loads(serializer.list_payload(elements)))  # type: ignore[arg-type]

    def test_lists_that_lie(self) -> None:
        good = {"__class__": "Pyro5.list", "of": "tests.tagged_values.Point", "fields": ["x", "y"],
                "values": [[1, 2], [1.0, 2.0]]}
        color = {"__class__": "Pyro5.list", "of": "tests.tagged_values.Color", "values": [1]}
        for name in NAMES:
            plain, tagged = serializers.get_serializer(name), serializers.get_serializer(name).for_dialect(1)
            self.assertEqual([Point(1, 1.0), Point(2, 2.0)], tagged.loads(plain.dumps(good)))
            for wrong in ({**good, "of": None}, {**good, "of": ["x"]}, {**good, "fields": ["x"]},
                          {**good, "fields": ["x", "x"]}, {**good, "fields": "xy"}, {**good, "fields": [1, 2]},
                          {**good, "fields": ["x", "z"]},
                          {**good, "values": [[1], [1.0, 2.0]]}, {**good, "values": []}, {**good, "values": 5},
                          {**good, "values": [1, 2]}, {**good, "values": [["a", 2], [1.0, 2.0]]}, {**color, "fields": ["x"]},
                          {**color, "values": {"a": 1}}, {**color, "values": [[1]]}, {**color, "values": [9] * 9},
                          {**color, "fields": ["value"], "values": [[1]]},
                          {**color, "of": "tests.tagged_values.LabError"}):
                with self.subTest(name, wrong=wrong), self.assertRaises((TypeError, ValueError)):
                    tagged.loads(plain.dumps(wrong))
            with self.assertRaises(errors.SerializeError):
                plain.loads(plain.dumps(good))
            with self.assertRaisesRegex(TypeError, r"a list of tests.tagged_values.Point, element \[1\].x: expected int"):
                tagged.loads(plain.dumps({**good, "values": [[1, "a"], [1.0, 2.0]]}))


class Hostile(Registered):
    def test_tags_that_lie(self) -> None:
        point = {"__class__": "tests.tagged_values.Point", "value": {"x": 1}}
        color = {"__class__": "tests.tagged_values.Color", "value": 1}
        for name in NAMES:
            serializer = serializers.get_serializer(name).for_dialect(3)
            for wrong in (
                    [point] * 9 + [{**point, "value": {"x": []}}], [point] * 9 + [{**color, "value": 9}],
                    {**point, "value": None}, {**point, "value": [1]}, {**point, "value": {"x": 1, "z": 1}},
                    {**color, "value": {}}, {**color, "value": point}, {"__class__": "Pyro5.set", "value": 5},
                    {"__class__": "Pyro5.set", "value": [[1]]},
                    {"__class__": "Pyro5.dict", "value": [[1]]}, {"__class__": "Pyro5.dict", "value": [[[], 1]]},
                    {"__class__": "Pyro5.set", "value": [number * sys.hash_info.modulus for number in range(2000)]},
                    {"__class__": "a__b.C", "value": 1}, {"__class__": "tests.tagged_values.LabError", "value": 1, "x": 2},
                    {"__class__": "tests.tagged_values.LabError", "__exception__": True, "args": 5},
                    {"__class__": "tests.tagged_values.Point", "state": {"x": 1}}):
                refusals = (TypeError, ValueError, errors.SerializeError, errors.SecurityError)
                with self.subTest(name, wrong=str(wrong)[-80:]), self.assertRaises(refusals):
                    serializer.loads(serializers.get_serializer(name).dumps(wrong))

    def test_keys_with_equal_hashes(self) -> None:
        """Comparing instances takes longer than comparing numbers, so fewer of them may have the same hash."""
        flood = [Box(number * sys.hash_info.modulus) for number in range(300)]
        with mock.patch.object(Box, "__hash__", lambda box: hash(box.content)):
            for name in NAMES:
                serializer = serializers.get_serializer(name).for_dialect(3)
                plain = serializers.get_serializer(name)
                boxes = [{"__class__": "tests.tagged_values.Box", "value": {"content": each.content}} for each in flood]
                for tag, values in (("set", boxes), ("frozenset", boxes), ("dict", [[each, 1] for each in boxes])):
                    data = plain.dumps({"__class__": "Pyro5." + tag, "value": values})
                    with self.assertRaisesRegex(errors.SerializeError, "too many keys with the same hash"):
                        serializer.loads(data)

    def test_lists_that_are_alike_at_first(self) -> None:
        serializer = serializers.get_serializer("json").for_dialect(1)
        point = {"__class__": "tests.tagged_values.Point", "value": {"x": 1}}
        color = {"__class__": "tests.tagged_values.Color", "value": 1}
        for other in (1, {"a": 1}, color, {**point, "value": {"x": 1, "y": 2}}):
            found = serializer.loads(serializers.get_serializer("json").dumps([point] * 9 + [other]))
            self.assertEqual([Point(1)] * 9, found[:9])


if __name__ == "__main__":
    unittest.main()
