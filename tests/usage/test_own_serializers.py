"""Serializers that a program adds, in the tables of the module serializers, as subclasses of what is there."""
from __future__ import annotations

import base64
import datetime
import json
import modulefinder
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, List

import serpent as serpent_library

import Pyro5.serializers
from Pyro5 import config, errors
from Pyro5.api import Daemon, Proxy, expose
from Pyro5.serializers import (
    JsonSerializer, MarshalSerializer, SerializerBase, SerpentSerializer, serializers, serializers_by_id,
)

from ..support import PROJECT, daemon_thread


class PlainSerializer(SerializerBase):
    """Written as 5.x wanted it: no call of __init__, the four methods, one parameter each of loads and loadsCall."""

    serializer_id = 77

    def __init__(self) -> None:
        self.used: List[str] = []

    def dumps(self, data: Any) -> bytes:
        self.used.append("dumps")
        return base64.b64encode(json.dumps(data, default=self._plain).encode())

    def _plain(self, obj: Any) -> Any:
        return list(obj) if isinstance(obj, set) else self.class_to_dict(obj)

    def loads(self, data: Any) -> Any:  # type: ignore[override]
        self.used.append("loads")
        return self.recreate_classes(json.loads(base64.b64decode(self._convertToBytes(data))))

    def dumpsCall(self, obj: Any, method: Any, vargs: Any, kwargs: Any) -> bytes:
        self.used.append("dumpsCall")
        return self.dumps([obj, method, vargs, kwargs])

    def loadsCall(self, data: Any) -> Any:
        self.used.append("loadsCall")
        return self.loads(data)


class Upper(JsonSerializer):
    """Changes what one of the package's own does; it has a number of its own, and keeps the name."""

    serializer_id = 78

    def dumps(self, data: Any) -> bytes:
        return super().dumps(data).upper() if isinstance(data, str) else super().dumps(data)


class Lower(JsonSerializer):
    """Keeps name and number: it takes the place of the package's own one."""

    def loadsCall(self, data: Any) -> Any:
        obj, method, args, kwargs = super().loadsCall(data)
        return obj, method, [each.lower() for each in args], kwargs


class InOrder(PlainSerializer):
    """Returns the parts of a call one after the other."""

    serializer_id = 79

    def loadsCall(self, data: Any) -> Any:
        return iter(super().loadsCall(data))


@expose
class Echo:
    def echo(self, value: Any) -> Any:
        return value

    def fail(self) -> None:
        raise ValueError("on purpose")

    def fail_strangely(self) -> None:
        raise StrangeError("strange")


class StrangeError(Exception):
    """Has no class on the other side."""


class AddingTests(unittest.TestCase):
    def add(self, name: str, serializer: SerializerBase) -> SerializerBase:
        serializers[name] = serializer
        self.addCleanup(serializers.pop, name)
        serializers_by_id[serializer.serializer_id] = serializer
        self.addCleanup(serializers_by_id.pop, serializer.serializer_id)
        return serializer

    def client(self) -> Any:
        daemon = Daemon("127.0.0.1")
        proxy = Proxy(daemon.register(Echo()))
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.addCleanup(proxy._pyroRelease)
        return proxy


class OwnSerializers(AddingTests):
    def test_one_of_the_program_on_both_sides(self) -> None:
        mine: Any = self.add("mine", PlainSerializer())
        self.addCleanup(setattr, config, "SERIALIZER", config.SERIALIZER)
        config.SERIALIZER = "mine"
        proxy = self.client()
        long = "x" * 100000
        for value in (5, "text", [1, {"a": None}], long, {"data": long, "encoding": "base64"}):
            self.assertEqual(value, proxy.echo(value))
        self.assertEqual({"dumps", "loads", "dumpsCall", "loadsCall"}, set(mine.used))
        with self.assertRaisesRegex(ValueError, "on purpose"):
            proxy.fail()
        with self.assertRaises(errors.SerializeError):
            proxy.fail_strangely()
        self.assertEqual([4], list(proxy._pyroInvokeBatch([("echo", (4,), {})])))
        many = [("echo", ("x" * 1000 + str(number),), {}) for number in range(300)]
        self.assertEqual([args[0] for _, args, _ in many], list(proxy._pyroInvokeBatch(many)))

    def test_a_daemon_that_runs_already_accepts_it(self) -> None:
        proxy = self.client()
        self.assertEqual(1, proxy.echo(1))
        self.add("late", PlainSerializer())
        with Proxy(proxy._pyroUri) as other:
            other._pyroSerializer = "late"
            self.assertEqual([2], other.echo([2]))

    def test_the_parts_of_a_call_in_any_iterable(self) -> None:
        self.add("in order", InOrder())
        proxy = self.client()
        proxy._pyroSerializer = "in order"
        self.assertEqual([3], proxy.echo([3]))
        self.assertEqual("x" * 100000, proxy.echo("x" * 100000))
        self.assertEqual([4], list(proxy._pyroInvokeBatch([("echo", (4,), {})])))

    def test_a_subclass_of_one_of_ours(self) -> None:
        self.add("upper", Upper())
        proxy = self.client()
        proxy._pyroSerializer = "upper"
        self.assertEqual("TEXT", proxy.echo("text"))
        self.assertEqual("X" * 100000, proxy.echo("x" * 100000))  # long values take no other way

    def test_overridden_methods_count_for_long_values(self) -> None:
        class Reversing(MarshalSerializer):
            serializer_id = 79

            def dumps(self, data: Any) -> bytes:
                return super().dumps(data)[::-1]

            def loads(self, data: Any) -> Any:  # type: ignore[override]
                return super().loads(bytes(data)[::-1])

            def dumpsCall(self, *call: Any) -> bytes:
                return super().dumpsCall(*call)

            def loadsCall(self, data: Any) -> Any:
                return super().loadsCall(bytes(data)[::-1])

        self.add("reversing", Reversing())
        proxy = self.client()
        proxy._pyroSerializer = "reversing"
        for value in (b"short", b"long" * 100000):
            self.assertEqual(value, proxy.echo(value))

    def test_one_that_replaces_ours(self) -> None:
        original = serializers["json"]
        replacement = Upper()
        serializers["json"] = serializers_by_id[3] = replacement
        self.addCleanup(serializers_by_id.__setitem__, 3, original)
        self.addCleanup(serializers.__setitem__, "json", original)
        self.assertIs(replacement, Pyro5.serializers.get_serializer("json"))
        self.assertIs(replacement, Pyro5.serializers.get_serializer_by_id(3))

    def test_a_daemon_and_a_proxy_that_exist_use_the_new_one(self) -> None:
        proxy = self.client()
        self.addCleanup(setattr, config, "SERIALIZER", config.SERIALIZER)
        config.SERIALIZER = "json"
        self.assertEqual("text", proxy.echo("text"))
        original = serializers["json"]
        serializers["json"] = serializers_by_id[3] = Lower()
        self.addCleanup(serializers_by_id.__setitem__, 3, original)
        self.addCleanup(serializers.__setitem__, "json", original)
        self.assertEqual("text", proxy.echo("TEXT"))

    def test_the_tables(self) -> None:
        serializers["again"] = serializers["serpent"]
        self.assertIn("again", serializers)
        del serializers["again"]
        self.assertNotIn("again", serializers)
        with self.assertRaisesRegex(ValueError, "again"):
            Pyro5.serializers.get_serializer("again")
        self.assertEqual({1, 2, 3}, set(serializers_by_id) - {4})
        with self.assertRaises(TypeError):
            serializers["bad"] = JsonSerializer  # type: ignore[assignment]
        with self.assertRaises(TypeError):
            serializers[5] = JsonSerializer()  # type: ignore[index]
        for number in (256, -1, "1"):
            with self.assertRaises(ValueError):
                serializers_by_id[number] = JsonSerializer()  # type: ignore[index]

    def test_a_server_without_it_refuses_it(self) -> None:
        mine = PlainSerializer()
        serializers["mine"] = mine
        self.addCleanup(serializers.pop, "mine")
        proxy = self.client()
        proxy._pyroSerializer = "mine"
        with self.assertRaisesRegex(errors.CommunicationError, "77"):
            proxy.echo(1)


class Mistaken(MarshalSerializer):
    """Returns something else, on one side, from one method."""

    serializer_id = 80
    name = "mistaken"

    def __init__(self) -> None:
        super().__init__()
        self.wrong, self.result = "", None
        self.is_client, self.client = True, threading.current_thread()

    def _returned(self, method: str, right: Any) -> Any:
        is_wrong = method == self.wrong and (threading.current_thread() is self.client) == self.is_client
        return self.result if is_wrong else right

    def dumps(self, data: Any) -> bytes:
        returned: bytes = self._returned("dumps", super().dumps(data))
        return returned

    def dumpsCall(self, *call: Any) -> bytes:
        returned: bytes = self._returned("dumpsCall", MarshalSerializer.dumpsCall(self, *call))
        return returned

    def loadsCall(self, data: Any) -> Any:
        return self._returned("loadsCall", super().loadsCall(data))


class WrongResults(AddingTests):
    """The error names the serializer, the method, and what it has returned; the connection can be used afterwards."""

    def setUp(self) -> None:
        self.mistaken: Any = self.add("mistaken", Mistaken())
        self.proxy = self.client()
        self.proxy._pyroSerializer = "mistaken"
        self.proxy._pyroBind()

    def calls(self) -> List[Any]:
        batch = Pyro5.api.BatchProxy(self.proxy)
        batch.echo(1)
        # plain, not plain, long, attributes, and batches
        return [lambda: self.proxy.echo(1), lambda: self.proxy.echo(value={5}), lambda: self.proxy.echo("x" * 100000),
                lambda: self.proxy._pyroInvoke("__getattr__", ("attribute",), None), batch]

    def test_of_dumps_call(self) -> None:
        self.mistaken.wrong = "dumpsCall"
        for self.mistaken.result, name in (("text", "str"), ("x" * 100000, "str"), (None, "NoneType"), ((b"a",), "tuple")):
            for call in self.calls():
                with self.assertRaises(errors.SerializeError) as raised:
                    call()
                self.assertIn("the serializer 'mistaken' returned %s instead of bytes from dumpsCall" % name,
                              str(raised.exception))
                self.assertIsInstance(raised.exception, TypeError)
        connection = self.proxy._pyroConnection
        self.mistaken.wrong = ""
        self.assertEqual(1, self.proxy.echo(1))
        self.assertIs(connection, self.proxy._pyroConnection)

    def test_of_dumps_in_a_handshake(self) -> None:
        self.proxy._pyroRelease()
        self.mistaken.wrong = "dumps"
        for self.mistaken.result in ("text", None):
            with self.assertRaisesRegex(errors.SerializeError, "'mistaken' returned .* instead of bytes from dumps"):
                self.proxy._pyroBind()

    def test_of_dumps_on_the_server(self) -> None:
        """No reply can be written with this serializer. The call ends nevertheless."""
        self.mistaken.is_client = False
        with self.assertLogs("Pyro5.server.dispatch", "WARNING") as logged:
            for self.mistaken.result in ("text", None):
                for call in self.calls():
                    self.mistaken.wrong = ""
                    self.proxy._pyroBind()
                    self.mistaken.wrong = "dumps"
                    with self.assertRaisesRegex(errors.SerializeError, "the reply uses serializer 2"):
                        call()
        self.assertIn("the serializer 'mistaken' returned str instead of bytes from dumps", logged.output[0])

    def test_of_loads_call(self) -> None:
        self.mistaken.wrong, self.mistaken.is_client = "loadsCall", False
        with self.assertLogs("Pyro5.server.dispatch", "WARNING"):
            for self.mistaken.result in (None, (1, 2, 3), object(), "more than four"):
                for call in self.calls():
                    with self.assertRaisesRegex(TypeError, "'mistaken' did not return .* from loadsCall: "):
                        call()

    def test_of_one_without_the_base_class(self) -> None:
        mine: Any = Complete()
        self.add("complete", mine)
        self.proxy._pyroRelease()
        self.proxy._pyroSerializer = "complete"
        self.proxy._pyroBind()
        mine.dumpsCall = lambda *call: "text"
        with self.assertRaisesRegex(errors.SerializeError, "'complete' returned str instead of bytes from dumpsCall"):
            self.proxy.echo(1)
        del mine.dumpsCall
        mine.loadsCall = lambda data: None
        with self.assertLogs("Pyro5.server.dispatch"), self.assertRaisesRegex(TypeError, "did not return .* from loadsCall"):
            self.proxy.echo(1)


class AnyBuffer(JsonSerializer):
    """Returns buffers of another type than bytes."""

    serializer_id = 79
    buffer: Any = bytearray

    def dumps(self, data: Any) -> Any:
        return self.buffer(super().dumps(data))

    def dumpsCall(self, *call: Any) -> Any:
        return self.buffer(super().dumpsCall(*call))


class OtherBuffers(AddingTests):
    def test_results_and_arguments_of_all_sizes(self) -> None:
        added: Any = self.add("buffers", AnyBuffer())
        proxy = self.client()
        proxy._pyroSerializer = "buffers"
        for added.buffer in (bytearray, memoryview):
            for value in (1, "x" * 500, "x" * 5000, "x" * 40000, "x" * 100000, list(range(20000)), {"a": "x" * 100000}):
                for _ in range(2):  # the second one behind a large one
                    self.assertEqual(value, proxy.echo(value))


class Complete:
    """Has all that a serializer needs, but is no SerializerBase."""

    serializer_id = 81

    def dumps(self, data: Any) -> bytes:
        return json.dumps(data, default=self.plain).encode()

    def plain(self, obj: Any) -> Any:
        return list(obj) if isinstance(obj, set) else SerializerBase.class_to_dict(obj)

    def loads(self, data: Any) -> Any:
        value = json.loads(bytes(data))
        return SerializerBase.dict_to_class(value) if isinstance(value, dict) and "__class__" in value else value

    def dumpsCall(self, obj: Any, method: Any, vargs: Any, kwargs: Any) -> bytes:
        return self.dumps([obj, method, vargs, kwargs])

    def loadsCall(self, data: Any) -> Any:
        return self.loads(data)


class WithoutTheBaseClass(AddingTests):
    def test_on_both_sides(self) -> None:
        mine: Any = Complete()
        self.add("complete", mine)
        self.assertIs(mine, serializers["complete"])
        self.assertIs(mine, serializers_by_id[81])
        self.addCleanup(setattr, config, "SERIALIZER", config.SERIALIZER)
        config.SERIALIZER = "complete"
        proxy = self.client()
        long = "x" * 100000
        for value in (5, "text", [1, {"a": None}], long, {"data": long, "encoding": "base64"}):
            self.assertEqual(value, proxy.echo(value))
        with self.assertRaisesRegex(ValueError, "on purpose"):
            proxy.fail()
        batch = Pyro5.api.BatchProxy(proxy)
        batch.echo(1)
        batch.echo(2)
        self.assertEqual([1, 2], list(batch()))
        serializers_by_id[81] = serializers["complete"]
        with Proxy(proxy._pyroUri) as other:
            other._pyroSerializer = "complete"
            self.assertEqual(3, other.echo(3))

    def test_what_is_missing_is_named(self) -> None:
        class NoNumber:
            dumps = loads = dumpsCall = loadsCall = repr

        class NoMethods:
            serializer_id = 82

        tables: Any = serializers, serializers_by_id
        for bad, missing in ((NoNumber(), "lacks serializer_id$"), (NoMethods(), "lacks dumps, loads, dumpsCall, loadsCall$"),
                             (None, "lacks dumps"), (Complete, "SerializerBase")):
            for table, key in zip(tables, ("bad", 82)):
                with self.assertRaisesRegex(TypeError, missing):
                    table[key] = bad
                self.assertNotIn(key, table)


class Thing:
    def __init__(self, value: Any) -> None:
        self.value = value


class Hooks(unittest.TestCase):
    """Methods of serializers that programs call or override."""

    def each(self) -> List[SerializerBase]:
        return list(serializers.values())

    def test_recreate_classes(self) -> None:
        for serializer in self.each():
            self.assertEqual({"a": [1]}, serializer.recreate_classes({"a": [1]}))
            error, = serializer.recreate_classes([{"__class__": "ValueError", "__exception__": True, "args": [5]}])
            self.assertEqual((ValueError, (5,)), (type(error), error.args))

    def test_overridden_recreate_classes_sees_everything(self) -> None:
        class Wrapping:
            def recreate_classes(self, literal: Any) -> Any:
                return "seen", super().recreate_classes(literal)  # type: ignore[misc]

        for original in self.each():
            serializer = type("Wrapping", (Wrapping, type(original)), {})()
            self.assertEqual(("seen", [1]), serializer.loads(serializer.dumps([1])))
            obj, method, (seen, args), kwargs = serializer.loadsCall(serializer.dumpsCall("obj", "method", (1,), {}))
            self.assertEqual(("obj", "method", "seen", [1], ("seen", {})), (obj, method, seen, list(args), kwargs))

    def test_dicts_and_classes(self) -> None:
        for serializer in self.each():
            self.assertEqual({"__class__": __name__ + ".Thing", "value": 5}, serializer.class_to_dict(Thing(5)))
            error = serializer.dict_to_class({"__class__": "ValueError", "__exception__": True, "args": (5,)})
            self.assertIsInstance(error, ValueError)

    def test_make_exception(self) -> None:
        for serializer in self.each():
            error = serializer.make_exception(ValueError, {"args": ("text",), "attributes": {"hint": 5}})
            self.assertEqual((ValueError, ("text",), 5), (type(error), error.args, error.hint))  # type: ignore[attr-defined]
            self.assertEqual((), serializer.make_exception(KeyError, {"args": []}).args)

    def test_type_replacements(self) -> None:
        for serializer in self.each():
            clazz: Any = type("Own" + type(serializer).__name__, (type(serializer),), {})
            clazz.register_type_replacement(Thing, lambda thing: thing.value)
            clazz.register_type_replacement(datetime.date, lambda date: {"day": date.day})
            own = clazz()
            with self.subTest(serializer.name):
                for value, expected in ((Thing([1]), [1]), (Thing("x"), "x"), ([Thing(2)], [2]),
                                        (datetime.date(2020, 1, 3), {"day": 3}), (type("Sub", (Thing,), {})(4), 4)):
                    self.assertEqual(expected, own.loads(own.dumps(value)))
                with self.assertRaises((errors.SerializeError, ValueError)):
                    serializer.loads(serializer.dumps(Thing(1)))  # the registration is not that of the base class

    def test_replacements_by_another_instance_of_the_class(self) -> None:
        for serializer in self.each():
            clazz: Any = type("Own" + type(serializer).__name__, (type(serializer),), {})
            clazz.register_type_replacement(Thing, lambda thing: Thing(6))
            self.assertIn(b"6", base64.b64decode(base64.b64encode(clazz().dumps(Thing(5)))) + b"6")
            with self.assertRaises(errors.SerializeError):
                clazz().loads(clazz().dumps(Thing(5)))

    def test_replacements_are_for_types(self) -> None:
        for bad in (type, 5, "Thing", None):
            with self.assertRaises(ValueError):
                JsonSerializer.register_type_replacement(bad, repr)  # type: ignore[arg-type]


class Converters(unittest.TestCase):
    """Registrations that make no sense are none of the import's business."""

    def test_a_dict_as_converter(self) -> None:
        Pyro5.api.register_class_to_dict(Thing, {"__class__": "thing"})  # type: ignore[arg-type]
        self.addCleanup(Pyro5.api.unregister_class_to_dict, Thing)
        for serializer in serializers.values():
            with self.assertRaisesRegex(TypeError, "not callable"):
                serializer.dumps(Thing(1))
            self.assertEqual([1], serializer.loads(serializer.dumps([1])))

    def test_a_class_in_the_place_of_its_name(self) -> None:
        Pyro5.api.register_dict_to_class(Thing, lambda name, data: Thing(1))  # type: ignore[arg-type]
        for serializer in serializers.values():
            with self.assertRaises(errors.SerializeError):
                serializer.loads(serializer.dumps(Thing(1)))
        Pyro5.api.unregister_dict_to_class(Thing)  # type: ignore[arg-type]


class Names(unittest.TestCase):
    def test_the_serpent_library(self) -> None:
        from Pyro5.serializers import serpent
        self.assertEqual(b"hi", serpent.tobytes({"data": "aGk=", "encoding": "base64"}))
        self.assertEqual([1], serpent.loads(serpent.dumps([1])))
        self.assertIs(serpent_library.register_class, serpent.register_class)
        self.assertIs(SerpentSerializer, serpent.SerpentSerializer)
        self.assertFalse(hasattr(serpent, "no_such_name"))

    def test_the_other_modules(self) -> None:
        from Pyro5.serializers import json as json_module
        from Pyro5.serializers import marshal as marshal_module
        self.assertEqual("[1]", json_module.dumps([1]))
        self.assertEqual([1], marshal_module.loads(marshal_module.dumps([1])))

    @unittest.skipUnless("msgpack" in serializers, "msgpack is not installed")
    def test_msgpack(self) -> None:
        from Pyro5.serializers import msgpack
        self.assertEqual([1], msgpack.unpackb(msgpack.packb([1])))
        self.assertFalse(hasattr(msgpack, "no_such_name"))


class Bundles(unittest.TestCase):
    def test_what_follows_import_statements_finds_the_libraries(self) -> None:
        found = self.modules_of("import Pyro5.serializers\n")
        self.assertIn("serpent", found)
        self.assertIn("msgpack", found)

    def modules_of(self, program: str) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "program.py")
            path.write_text(program, encoding="utf-8")
            import sys
            finder = modulefinder.ModuleFinder([PROJECT, *filter(None, sys.path)])
            finder.run_script(str(path))
            return set(finder.modules) | set(finder.badmodules)


if __name__ == "__main__":
    unittest.main()
