"""Exceptions on their way through serializers."""

from __future__ import annotations

import builtins
import sqlite3
import struct
import subprocess
import sys
import unittest
from typing import Any, Dict

from Pyro5 import errors, serializers
from Pyro5._values import recreation
from Pyro5.serializers import SerializerBase

from ..support import PROJECT

TRACEBACK = ["Traceback (most recent call last):\n", "ValueError: x\n"]


class CustomError(Exception):
    pass


def described(tag: str, *args: Any, **attributes: Any) -> Dict[str, Any]:
    return {"__class__": tag, "__exception__": True, "args": args, "attributes": attributes}


class Base(unittest.TestCase):
    def each(self) -> Any:
        return [serializers.get_serializer(name) for name in serializers.serializers]

    def travel(self, serializer: SerializerBase, error: BaseException) -> Any:
        return serializer.loads(serializer.dumps(error), foreign_exceptions=True)


class Known(Base):
    def test_classes(self) -> None:
        for error in (
            ValueError("x", 3),
            KeyError("k"),
            ZeroDivisionError(),
            StopIteration("v"),
            UserWarning("w"),
            SystemExit(3),
            KeyboardInterrupt(),
            TimeoutError("builtin"),
            errors.TimeoutError("ours"),
            errors.PyroError("p", 7),
            errors.NamingError("n"),
            errors.SerializeError("s"),
            struct.error("e"),
            sqlite3.OperationalError("o"),
        ):
            for serializer in self.each():
                with self.subTest(error=error, serializer=serializer.name):
                    got = self.travel(serializer, error)
                    self.assertIs(type(error), type(got))
                    self.assertEqual(error.args, got.args)

    def test_attributes(self) -> None:
        error = ValueError("x")
        error.code, error._pyroTraceback, error.detail = 99, TRACEBACK, {"k": [1]}  # type: ignore[attr-defined]
        vars(error)["__notes__"] = ["a note"]
        for serializer in self.each():
            got = self.travel(serializer, error)
            self.assertEqual(vars(error), vars(got))

    def test_os_errors(self) -> None:
        for serializer in self.each():
            got = self.travel(serializer, FileNotFoundError(2, "No such file", "name"))
            self.assertEqual((FileNotFoundError, 2, "No such file"), (type(got), got.errno, got.strerror))

    def test_syntax_error(self) -> None:
        for serializer in self.each():
            got = self.travel(serializer, SyntaxError("invalid", ("src", 1, 3, "a b")))
            self.assertEqual((SyntaxError, "invalid", "src", 3), (type(got), got.msg, got.filename, got.offset))

    def test_unicode_decode_error(self) -> None:
        with self.assertRaises(UnicodeDecodeError) as caught:
            b"\xff".decode("utf-8")
        for name in ("serpent", "marshal", "msgpack"):
            if name in serializers.serializers:
                got = self.travel(serializers.get_serializer(name), caught.exception)
                self.assertEqual((UnicodeDecodeError, b"\xff"), (type(got), got.object))
        self.assertRaises(errors.SerializeError, serializers.get_serializer("json").dumps, caught.exception)

    def test_bytes_for_other_exceptions_are_not_converted(self) -> None:
        got = self.travel(serializers.get_serializer("serpent"), ValueError(b"abc"))
        self.assertEqual({"data": "YWJj", "encoding": "base64"}, got.args[0])

    @unittest.skipUnless(hasattr(builtins, "ExceptionGroup"), "no exception groups before Python 3.11")
    def test_groups(self) -> None:
        group = vars(builtins)["ExceptionGroup"]
        error = group("many", [ValueError(1), group("inner", [KeyError("k")])])
        for serializer in self.each():
            got = self.travel(serializer, error)
            self.assertIs(group, type(got))
            self.assertEqual("many", got.message)
            self.assertEqual((ValueError, group), tuple(map(type, got.exceptions)))
            self.assertEqual(("k",), got.exceptions[1].exceptions[0].args)

    @unittest.skipUnless(hasattr(builtins, "ExceptionGroup"), "no exception groups before Python 3.11")
    def test_groups_with_unknown_exceptions(self) -> None:
        error = vars(builtins)["ExceptionGroup"]("many", [CustomError("c")])
        for serializer in self.each():
            got = self.travel(serializer, error)
            self.assertIs(errors.RemoteError, type(got.exceptions[0]))
            self.assertRaises(errors.SerializeError, serializer.loads, serializer.dumps(error))


class Names(Base):
    def test_old_and_short_names(self) -> None:
        for tag, clazz in (
            ("exceptions.KeyError", KeyError),
            ("KeyError", KeyError),
            ("NamingError", errors.NamingError),
            ("TimeoutError", TimeoutError),
            ("Pyro5.errors.TimeoutError", errors.TimeoutError),
            ("IOError", OSError),
        ):
            got = recreation.dict_to_class(described(tag, "k"))
            self.assertEqual((clazz, ("k",)), (type(got), got.args))

    def test_own_exceptions_need_no_mark(self) -> None:
        got = SerializerBase.dict_to_class({"__class__": "Pyro5.errors.NamingError", "args": ["n"]})
        self.assertEqual((errors.NamingError, ("n",)), (type(got), got.args))
        self.assertIs(struct.error, type(recreation.dict_to_class({"__class__": "struct.error", "args": []})))

    def test_name_of_the_package_does_not_matter(self) -> None:
        data = SerializerBase.class_to_dict(errors.NamingError("n"))
        self.assertEqual("Pyro5.errors.NamingError", data["__class__"])

    def test_refused(self) -> None:
        for tag in (
            "builtins.int",
            "int",
            "exceptions.object",
            "builtins.ValueError.mro",
            "sqlite3.connect",
            "sqlite3.dbapi2.Error",
            "sqlite3.Warning",
            "sqlite3.NoSuchError",
            "Pyro4.errors.NamingError",
            "os.error",
            "builtins._IncompleteInputError",
        ):
            with self.subTest(tag), self.assertRaises(errors.SerializeError):
                recreation.dict_to_class(described(tag, "x"))

    def test_sqlite(self) -> None:
        got = recreation.dict_to_class(described("sqlite3.IntegrityError", "x", code=5))
        self.assertEqual((sqlite3.IntegrityError, 5), (type(got), got.code))

    def test_sqlite_is_loaded_only_when_needed(self) -> None:
        program = (
            "import sys\nfrom Pyro5._values import recreation\nassert 'sqlite3' not in sys.modules\n"
            "recreation.dict_to_class({'__class__': 'sqlite3.Error', '__exception__': True, 'args': []})\n"
            "assert 'sqlite3' in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


class Unbuildable(Base):
    def test_unknown_class(self) -> None:
        error = CustomError("the text", 42)
        error.code, error._pyroTraceback = 99, TRACEBACK  # type: ignore[attr-defined]
        for serializer in self.each():
            got = self.travel(serializer, error)
            self.assertIs(errors.RemoteError, type(got))
            self.assertEqual(__name__ + ".CustomError: ('the text', 42)", str(got))
            self.assertEqual((__name__ + ".CustomError", ("the text", 42)), (got.remote_class, got.remote_args))
            self.assertEqual((99, TRACEBACK), (got.code, got._pyroTraceback))

    def test_text_of_unknown_class(self) -> None:
        recreator = recreation.Recreator(foreign_exceptions=True)
        for args, text in (((), "x.E"), (("one",), "x.E: one"), ((1, 2), "x.E: (1, 2)")):
            self.assertEqual(text, str(recreator.from_dict(described("x.E", *args))))
        self.assertEqual("x.E: only", str(recreator.from_dict({"__class__": "x.E", "__exception__": True, "args": "only"})))
        self.assertEqual("x.E", str(recreator.from_dict({"__class__": "x.E", "__exception__": True, "attributes": 5})))

    def test_unknown_class_of_a_script(self) -> None:
        got = recreation.Recreator(foreign_exceptions=True).from_dict(described("__main__.CustomError", "x"))
        self.assertEqual("__main__.CustomError: x", str(got))

    def test_remote_errors_only_on_request(self) -> None:
        for serializer in self.each():
            self.assertRaises(errors.SerializeError, serializer.loads, serializer.dumps(CustomError()))
            self.assertRaises(
                errors.SerializeError, serializer.loadsCall, serializer.dumpsCall("o", "m", (CustomError(),), {})
            )

    def test_only_exceptions(self) -> None:
        recreator = recreation.Recreator(foreign_exceptions=True)
        self.assertRaises(errors.SerializeError, recreator.from_dict, {"__class__": "x.Thing", "args": []})
        self.assertRaises(errors.SecurityError, recreator.from_dict, {"__class__": "__main__.Thing"})

    def test_args_that_the_class_does_not_accept(self) -> None:
        for tag, args in (
            ("builtins.UnicodeDecodeError", ("only one",)),
            ("builtins.UnicodeDecodeError", ("utf-8", {"k": 1}, 0, 1, "x")),
            ("builtins.UnicodeDecodeError", ("utf-8", {"data": "A", "encoding": "base64"}, 0, 1, "x")),
            ("builtins.UnicodeEncodeError", ("utf-8", 5, 0, 1, "x")),
            ("builtins.SyntaxError", ("x", 5)),
            # Python crashes when it prints these
            ("builtins.UnicodeDecodeError", ("utf-8", b"x", -(10**12), 1 - 10**12, "r")),
            ("builtins.UnicodeTranslateError", ("x", -5, -4, "r")),
            ("builtins.UnicodeEncodeError", ("a", "x", 0, -1, "r")),
        ):
            got = recreation.dict_to_class(described(tag, *args, code=99))
            self.assertIs(errors.RemoteError, type(got))
            self.assertEqual((tag, args, 99), (got.remote_class, got.remote_args, got.code))
            self.assertIn(tag, str(got))

    def test_missing_args(self) -> None:
        self.assertRaises(KeyError, recreation.dict_to_class, {"__class__": "builtins.ValueError", "__exception__": True})


class HostileAttributes(Base):
    def test_internal_attributes_cannot_be_set(self) -> None:
        attributes = {
            "__class__": "x",
            "__dict__": {"a": 1},
            "__traceback__": 5,
            "__cause__": "x",
            "__reduce__": 1,
            "with_traceback": 7,
            "add_note": 8,
            "fine": 9,
            "args": 5,
        }
        got = recreation.dict_to_class(
            {"__class__": "builtins.ValueError", "__exception__": True, "args": ["x"], "attributes": attributes}
        )
        self.assertEqual({"fine": 9}, vars(got))
        self.assertEqual(("x",), got.args)
        self.assertIs(got, got.with_traceback(None))

    def test_attributes_of_the_wrong_type(self) -> None:
        got = recreation.dict_to_class(
            described("builtins.UnicodeDecodeError", "utf-8", b"x", 0, 1, "r", start="no number", more=1)
        )
        self.assertEqual((UnicodeDecodeError, 0, 1), (type(got), got.start, got.more))

    def test_attributes_that_are_not_a_dict(self) -> None:
        for attributes in (None, 5, ["x"], {5: 6}):
            got = recreation.dict_to_class(
                {"__class__": "ValueError", "__exception__": True, "args": [], "attributes": attributes}
            )
            self.assertEqual({}, vars(got))
