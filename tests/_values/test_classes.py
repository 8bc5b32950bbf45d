"""Class instances as tagged dicts, and back: the registries, the allow-list, what is refused."""

from __future__ import annotations

import abc
import collections
import copy
import datetime
import enum
import sys
import threading
import unittest
from typing import Any

import serpent

import Pyro5.client
import Pyro5.core
import Pyro5.server  # also registers all classes of the package
from Pyro5 import errors, serializers
from Pyro5._values import classes, exceptions, recreation
from Pyro5.serializers import SerializerBase
from tests.traps import accepted_tags

HERE = __name__
OWN_TAGS = {
    "Pyro5.core.URI",
    "Pyro5.buffer",
    "Pyro5.client.Proxy",
    "Pyro5.server.Daemon",
    "Pyro5.core._ExceptionWrapper",
    "Pyro5.util.SerpentSerializer",
    "Pyro5.util.MarshalSerializer",
    "Pyro5.util.JsonSerializer",
    "Pyro5.util.MsgpackSerializer",
}
OWN_EXCEPTIONS = {
    "PyroError",
    "NamingError",
    "DaemonError",
    "SecurityError",
    "CommunicationError",
    "ConnectionClosedError",
    "TimeoutError",
    "ProtocolError",
    "MessageTooLargeError",
    "SerializeError",
}
# of Python 3.8; later versions have more
BUILTIN_EXCEPTIONS = set(
    """
    ArithmeticError AssertionError AttributeError BaseException BlockingIOError BrokenPipeError BufferError BytesWarning
    ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError
    DeprecationWarning EOFError EnvironmentError Exception FileExistsError FileNotFoundError FloatingPointError
    FutureWarning GeneratorExit IOError ImportError ImportWarning IndentationError IndexError InterruptedError
    IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError NotADirectoryError
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError RecursionError
    ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning
    SystemError SystemExit TabError TimeoutError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError
    UnicodeError UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError
    """.split()
)
LATER_EXCEPTIONS = {"EncodingWarning", "BaseExceptionGroup", "ExceptionGroup", "PythonFinalizationError", "WindowsError"}


class Thing:
    def __init__(self, value: Any = 0) -> None:
        self.value = value


class SubThing(Thing):
    pass


class ListThing(list):
    pass


class Shape(abc.ABC):  # noqa: B024
    pass


@Shape.register
class Square:
    def __init__(self) -> None:
        self.side = 1


class Base(unittest.TestCase):
    def setUp(self) -> None:
        before = classes._class_to_dict, classes._dict_to_class, classes._autoproxy
        self.addCleanup(self.restore, *before)

    def restore(self, to_dict: Any, to_class: Any, autoproxy: Any) -> None:
        classes._class_to_dict, classes._dict_to_class = to_dict, to_class
        classes.set_autoproxy(autoproxy)

    def each(self) -> Any:
        return [serializers.get_serializer(name) for name in serializers.serializers]

    def plain(self, serializer: SerializerBase, value: Any) -> Any:
        """What travels: the data before anything in it is made an object again."""
        return serializer._decode(serializer.dumps(value))[0]


class AllowList(Base):
    def test_tags(self) -> None:
        builtin = BUILTIN_EXCEPTIONS | (LATER_EXCEPTIONS & set(vars(__import__("builtins"))))
        expected = OWN_TAGS | {"struct.error"} | OWN_EXCEPTIONS | {"Pyro5.errors." + name for name in OWN_EXCEPTIONS} | builtin
        expected |= {prefix + name for name in builtin for prefix in ("builtins.", "exceptions.")}
        self.assertEqual(sorted(expected), [tag for tag in accepted_tags() if not tag.startswith(("tests.", "test_"))])

    def test_unknown_tags_are_refused(self) -> None:
        for tag in (
            "some.Thing",
            "builtins.int",
            "int",
            "os.system",
            "object",
            "Pyro5.core.Resolver",
            "Pyro4.core.URI",
            "",
            "URI",
            "collections.OrderedDict",
            "float",
            "builtins.ValueError",
            "Pyro5.server.Daemon.shutdown",
            HERE + ".Thing",
        ):
            with self.subTest(tag), self.assertRaisesRegex(errors.SerializeError, "unsupported serialized class: "):
                recreation.dict_to_class({"__class__": tag, "args": []})

    def test_double_underscores_are_a_security_error(self) -> None:
        for tag in ("__main__.Thing", "builtins.__import__", "__builtins__", "Pyro5.errors.__name__", "a__b"):
            for extra in ({}, {"__exception__": True, "args": []}):
                with self.subTest(tag), self.assertRaisesRegex(errors.SecurityError, "double underscores"):
                    recreation.dict_to_class({"__class__": tag, **extra})

    def test_tags_that_are_not_texts(self) -> None:
        for tag in (5, None, b"ValueError", ["ValueError"], ("a",)):
            with self.assertRaises(TypeError):
                recreation.dict_to_class({"__class__": tag})

    def test_unknown_exception_of_this_package(self) -> None:
        with self.assertRaises(AttributeError):
            recreation.dict_to_class({"__class__": "Pyro5.errors.nosuch", "args": []})
        with self.assertRaises(AttributeError):
            recreation.dict_to_class({"__class__": "Pyro5.errors.get_pyro_traceback", "__exception__": True, "args": []})

    def test_serializers(self) -> None:
        for serializer in self.each():
            for other in self.each():
                self.assertIs(other, serializer.loads(serializer.dumps(other)))


class ToDict(Base):
    def test_attributes(self) -> None:
        self.assertEqual({"value": 5, "__class__": HERE + ".Thing"}, SerializerBase.class_to_dict(Thing(5)))

    def test_order_of_keys(self) -> None:
        self.assertEqual(["value", "__class__"], list(SerializerBase.class_to_dict(Thing())))
        self.assertEqual(
            ["__class__", "__exception__", "args", "attributes"], list(SerializerBase.class_to_dict(ValueError()))
        )

    def test_slots(self) -> None:
        class One:
            __slots__ = "only"

            def __init__(self) -> None:
                self.only = 1

        class Unset:
            __slots__ = ("a", "b")

            def __init__(self) -> None:
                self.a = 1

        self.assertEqual({"only": 1, "__class__": HERE + ".One"}, SerializerBase.class_to_dict(One()))
        self.assertEqual({"a": 1, "__class__": HERE + ".Unset"}, SerializerBase.class_to_dict(Unset()))

    def test_the_original_is_not_changed(self) -> None:
        thing = Thing(5)
        for serializer in self.each():
            serializer.dumps([thing])
        self.assertEqual({"value": 5}, vars(thing))

    def test_objects_without_attributes(self) -> None:
        class Color(enum.Enum):
            RED = 1

        for value in (object(), len, Thing, Color.RED, datetime.timedelta(1), range(2)):
            with self.assertRaisesRegex(errors.SerializeError, "register_class_to_dict"):
                SerializerBase.class_to_dict(value)

    def test_the_error_names_the_class_and_the_serializer(self) -> None:
        with self.assertRaisesRegex(errors.SerializeError, "a collections.deque using the json serializer"):
            serializers.get_serializer("json").dumps(collections.deque())


class Converters(Base):
    def test_convert_and_convert_back(self) -> None:
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "my-thing", "v": thing.value})
        SerializerBase.register_dict_to_class("my-thing", lambda tag, data: (tag, Thing(data["v"])))
        for serializer in self.each():
            with self.subTest(serializer.name):
                tag, thing = serializer.loads(serializer.dumps([Thing(7)]))[0]
                self.assertEqual(("my-thing", 7), (tag, thing.value))
                vargs, kwargs = serializer.loadsCall(serializer.dumpsCall("o", "m", (Thing(1),), {"k": {"deep": [Thing(2)]}}))[
                    2:
                ]
                self.assertEqual((1, 2), (vargs[0][1].value, kwargs["k"]["deep"][0][1].value))

    def test_unregister(self) -> None:
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "my-thing"})
        SerializerBase.unregister_class_to_dict(Thing)
        SerializerBase.unregister_class_to_dict(Thing)
        SerializerBase.register_dict_to_class("my-thing", lambda tag, data: 1)
        SerializerBase.unregister_dict_to_class("my-thing")
        SerializerBase.unregister_dict_to_class("my-thing")
        for serializer in self.each():
            self.assertEqual({"value": 0, "__class__": HERE + ".Thing"}, self.plain(serializer, Thing()))
        self.assertRaises(errors.SerializeError, recreation.dict_to_class, {"__class__": "my-thing"})

    def test_subclasses(self) -> None:
        SerializerBase.register_class_to_dict(object, lambda thing: {"__class__": "object"})
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "thing"})
        for serializer in self.each():
            self.assertEqual([{"__class__": "thing"}] * 2, self.plain(serializer, [Thing(), SubThing()]))
        SerializerBase.register_class_to_dict(SubThing, lambda thing: {"__class__": "sub"})
        for serializer in self.each():
            self.assertEqual([{"__class__": "thing"}, {"__class__": "sub"}], self.plain(serializer, [Thing(), SubThing()]))

    def test_virtual_subclasses(self) -> None:
        SerializerBase.register_class_to_dict(Shape, lambda shape: {"__class__": "shape"})
        for serializer in self.each():
            self.assertEqual({"__class__": "shape"}, self.plain(serializer, Square()))

    def test_subclass_of_builtin_over_serpent(self) -> None:
        SerializerBase.register_class_to_dict(ListThing, lambda thing: {"__class__": "list-thing"})
        self.assertEqual([{"__class__": "list-thing"}], self.plain(serializers.get_serializer("serpent"), [ListThing([1])]))
        self.assertEqual([{"__class__": "list-thing"}], self.plain(serializers.get_serializer("marshal"), [ListThing([1])]))

    def test_types_that_serializers_know(self) -> None:
        SerializerBase.register_class_to_dict(datetime.datetime, lambda moment: {"__class__": "moment"})
        SerializerBase.register_class_to_dict(ValueError, lambda error: {"__class__": "value-error"})
        for serializer in self.each():
            self.assertEqual(
                [{"__class__": "moment"}, {"__class__": "value-error"}],
                self.plain(serializer, [datetime.datetime(2024, 1, 1), ValueError()]),
            )

    def test_not_for_serpent(self) -> None:
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "my-thing"}, serpent_too=False)
        self.assertEqual(
            {"value": 0, "__class__": HERE + ".Thing"}, self.plain(serializers.get_serializer("serpent"), Thing())
        )
        self.assertEqual({"__class__": "my-thing"}, self.plain(serializers.get_serializer("json"), Thing()))

    def test_result_with_objects_in_it(self) -> None:
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "my-thing", "error": ValueError("inside")})
        for serializer in self.each():
            self.assertEqual("builtins.ValueError", self.plain(serializer, Thing())["error"]["__class__"])

    def test_result_that_needs_converting_again(self) -> None:
        SerializerBase.register_class_to_dict(SubThing, lambda thing: Thing(1))
        SerializerBase.register_class_to_dict(Thing, lambda thing: {"__class__": "my-thing"})
        for serializer in self.each():
            self.assertEqual({"__class__": "my-thing"}, self.plain(serializer, SubThing()))

    def test_a_converter_that_returns_its_own_class(self) -> None:
        SerializerBase.register_class_to_dict(Thing, lambda thing: thing)
        for serializer in self.each():
            with self.subTest(serializer.name), self.assertRaises((ValueError, errors.SerializeError)):
                serializer.dumps([Thing()])

    def test_a_registered_converter_takes_precedence(self) -> None:
        for tag in ("__main__.Thing", "builtins.ValueError", "Pyro5.core.URI"):
            SerializerBase.register_dict_to_class(tag, lambda tag, data: tag)
            self.assertEqual(tag, recreation.dict_to_class({"__class__": tag, "__exception__": True, "args": [], "state": []}))

    def test_misuse(self) -> None:
        for clazz in ("Thing", Thing(), None):
            self.assertRaises(TypeError, SerializerBase.register_class_to_dict, clazz, repr)

    def test_hooks_of_the_serpent_library(self) -> None:
        serpent.register_class(Thing, lambda obj, serializer, stream, level: stream.append("'hooked'"))
        self.addCleanup(serpent.unregister_class, Thing)
        serializer = serializers.get_serializer("serpent")
        self.assertEqual(["hooked"], serializer.loads(serializer.dumps([SubThing()])))

    def test_the_registry_of_the_serpent_library_is_not_changed(self) -> None:
        before = dict(serpent._special_classes_registry)
        SerializerBase.register_class_to_dict(Thing, lambda thing: {})
        serializers.get_serializer("serpent").dumps([Thing()])
        self.assertEqual(before, serpent._special_classes_registry)

    def test_threads(self) -> None:
        kinds = [type("Kind%d" % number, (), {}) for number in range(40)]
        threads = [
            threading.Thread(target=SerializerBase.register_class_to_dict, args=(kind, lambda obj: {})) for kind in kinds
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(kinds), set(classes._class_to_dict))


class Autoproxy(Base):
    def test_replacement(self) -> None:
        uri = Pyro5.core.URI("PYRO:thing@localhost:55")
        classes.set_autoproxy(lambda obj: uri if isinstance(obj, (Thing, ListThing)) else None)
        SerializerBase.register_class_to_dict(Thing, lambda thing: {})
        for serializer in self.each():
            with self.subTest(serializer.name):
                self.assertEqual({"list": [uri], "n": 1}, serializer.loads(serializer.dumps({"list": [Thing()], "n": 1})))
                self.assertEqual(uri, serializer.loads(serializer.dumps(Thing())))
        for name in ("serpent", "marshal"):  # the others take subclasses of builtins for builtins
            serializer = serializers.get_serializer(name)
            self.assertEqual([uri], serializer.loads(serializer.dumps([ListThing()])))


class OwnClasses(Base):
    def test_subclasses_have_their_own_tag(self) -> None:
        class SpecialURI(Pyro5.core.URI):
            pass

        for serializer in self.each():
            data = self.plain(serializer, SpecialURI("PYRO:x@localhost:55"))
            self.assertEqual(HERE + ".SpecialURI", data["__class__"])
            self.assertEqual(["PYRO", "x", None, "localhost", 55], list(data["state"]))

    def test_nested_tagged_dicts_are_objects_for_own_dicts(self) -> None:
        from Pyro5._messages import replies

        data = {
            "__class__": "Pyro5.core._ExceptionWrapper",
            "exception": {"__class__": "some.Unknown", "__exception__": True, "args": ["x"], "attributes": {}},
        }
        self.assertRaises(errors.SerializeError, recreation.Recreator().recreate, [copy.deepcopy(data)])
        wrapper = recreation.Recreator(foreign_exceptions=True).recreate([data])[0]
        self.assertIsInstance(wrapper, replies.ExceptionWrapper)
        self.assertEqual("some.Unknown", wrapper.exception.remote_class)


class Recreating(Base):
    uri = {"__class__": "Pyro5.core.URI", "state": ["PYRO", "x", None, "localhost", 55]}

    def test_replacement_in_all_containers(self) -> None:
        value = [copy.deepcopy(self.uri), {"k": (copy.deepcopy(self.uri), [copy.deepcopy(self.uri)])}]
        got = recreation.Recreator().recreate(value)
        for uri in (got[0], got[1]["k"][0], got[1]["k"][1][0]):
            self.assertEqual("PYRO:x@localhost:55", str(uri))

    def test_not_inside_of_tagged_dicts(self) -> None:
        SerializerBase.register_dict_to_class("outer", lambda tag, data: data["inner"])
        outer = {"__class__": "outer", "inner": {"__class__": "unknown"}}
        self.assertEqual({"__class__": "unknown"}, recreation.Recreator().recreate(copy.deepcopy(outer)))
        self.assertRaises(errors.SerializeError, recreation.Recreator(inner_first=True).recreate, outer)

    def test_plain_data_is_kept(self) -> None:
        value = [1, {"a": ("b", [{"c": None}])}, {1, 2}]
        self.assertEqual([1, {"a": ("b", [{"c": None}])}, {1, 2}], recreation.Recreator().recreate(value))

    def test_tables_are_consistent(self) -> None:
        self.assertEqual(set(OWN_EXCEPTIONS), set(exceptions._OWN))
        self.assertFalse([tag for tag in sys.modules if tag == "exceptions"])
