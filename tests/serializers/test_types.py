"""Type by type: what a value looks like on the wire, and what arrives, for every serializer."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import importlib.util
import json
import marshal
import math
import pathlib
import struct
import unittest
import uuid
import warnings
from typing import Any, Callable, Dict, NamedTuple

import serpent

from Pyro5 import config, errors, serializers
from Pyro5._values.serpent import reader
from Pyro5.errors import SerializeError

HAS_MSGPACK = importlib.util.find_spec("msgpack") is not None
SAME = object()  # arrives as it was
HERE = __name__  # class tags begin with the name of the module


class Plain:
    def __init__(self, a: Any = 1, b: Any = "two") -> None:
        self.a, self.b = a, b


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x, self.y = 1, 2


class StateDict:
    def __getstate__(self) -> Any:
        return {"only": "this"}


class StateTuple:
    def __init__(self) -> None:
        self.v = 5

    def __getstate__(self) -> Any:
        return "a", "tuple"


class IntSubclass(int):
    pass


class StrSubclass(str):
    pass


class DictSubclass(dict):
    pass


class CustomError(Exception):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: float = 2.5


Pair = collections.namedtuple("Pair", "left right")


class Color(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


def a_function() -> int:
    return 1


def text_array(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # new Pythons have another type code for it
        return array.array("u", text)


class Form(NamedTuple):
    """How a value travels: text (serpent, json), plain data (marshal, msgpack), or the class of the error; and arrives."""

    wire: Any
    arrives: Any = SAME


class Row(NamedTuple):
    make: Callable[[], Any]
    serpent: Any
    json: Any
    marshal: Any
    msgpack: Any


def same(value: Any, text: str, json_text: str = "") -> Row:
    """A value that travels as itself."""
    return Row(lambda: value, Form(text), Form(json_text or text), Form(value), Form(value))


def tagged(make: Callable[[], Any], text: str, json_text: str, plain: Any, packed: Any = None) -> Row:
    """A value that travels as a dict with an unknown class tag."""
    return Row(
        make,
        Form(text.replace("@", HERE), SerializeError),
        Form(json_text.replace("@", HERE), SerializeError),
        Form(plain, SerializeError),
        Form(packed or plain, SerializeError),
    )


def ext(code: int, data: bytes) -> Any:
    if not HAS_MSGPACK:
        return None
    import msgpack

    return msgpack.ExtType(code, data)


def listed(value: Any) -> Any:
    """What json and msgpack make of tuples."""
    if isinstance(value, (list, tuple)):
        return [listed(element) for element in value]
    return {key: listed(element) for key, element in value.items()} if isinstance(value, dict) else value


REFUSED = Form(SerializeError)
LEFT_TO_MARSHAL = Form(ValueError)  # marshal's own "unmarshallable object"
INFINITY = float("inf")
BASE64_ABC = {"data": "YWJj", "encoding": "base64"}
MOMENT = datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
NESTED = {"a": [1, (2, 3, {"b": {"c": []}})], "t": ((), ((),))}
QUOTES = 'it\'s "quoted" \\ back\nnew\ttab'
VALUE_ERROR = {"__class__": "builtins.ValueError", "__exception__": True, "args": ("as a value", 3), "attributes": {}}

ROWS: Dict[str, Row] = {
    "none": same(None, "None", "null"),
    "true": same(True, "True", "true"),
    "false": same(False, "False", "false"),
    "int": same(0, "0"),
    "int negative": same(-42, "-42"),
    "int 2**31": same(2**31, "2147483648"),
    "int 2**63": same(2**63, "9223372036854775808"),
    "int 2**64": same(2**64, "18446744073709551616")._replace(msgpack=Form(ext(0x31, b"18446744073709551616"), 2**64)),
    "int 10**30": same(10**30, "1" + "0" * 30)._replace(msgpack=Form(ext(0x31, b"1" + b"0" * 30), 10**30)),
    "int < -2**63": same(-(2**63) - 1, "-9223372036854775809")._replace(
        msgpack=Form(ext(0x31, b"-9223372036854775809"), -(2**63) - 1)
    ),
    "float": same(3.25, "3.25"),
    "float third": same(1 / 3, "0.3333333333333333"),
    "float -0": same(-0.0, "-0.0"),
    "float big": same(1e300, "1e+300"),
    "float int": same(2.0, "2.0"),
    "float inf": same(INFINITY, "1e30000", "Infinity"),
    "float -inf": same(-INFINITY, "-1e30000", "-Infinity"),
    "complex": Row(
        lambda: 3 - 4.5j, Form("(3.0-4.5j)"), REFUSED, Form(3 - 4.5j), Form(ext(0x30, struct.pack("=dd", 3, -4.5)), 3 - 4.5j)
    ),
    "complex inf": Row(
        lambda: complex(INFINITY, 0),
        Form("(1e30000+0.0j)"),
        REFUSED,
        Form(complex(INFINITY, 0)),
        Form(ext(0x30, struct.pack("=dd", INFINITY, 0)), complex(INFINITY, 0)),
    ),
    "str": same("hello", "'hello'", '"hello"'),
    "str empty": same("", "''", '""'),
    "str quotes": same(QUOTES, r"""'it\'s "quoted" \\ back\nnew\ttab'""", r'''"it's \"quoted\" \\ back\nnew\ttab"'''),
    "str unicode": same(
        "caf\xe9 \u20ac \u6f22 \U0001f600", "'caf\xe9 \u20ac \u6f22 \U0001f600'", '"caf\xe9 \u20ac \u6f22 \U0001f600"'
    ),
    "str control": same("a\x00b\x7f\x85\u2028", r"'a\x00b\x7f\x85\u2028'", '"a\\u0000b\x7f\x85\u2028"'),
    "str lone surrogate": Row(
        lambda: "x\ud800y", Form(r"'x\ud800y'"), Form(UnicodeEncodeError), Form("x\ud800y"), Form(UnicodeEncodeError)
    ),
    "bytes": Row(
        lambda: b"abc", Form("{'data': 'YWJj', 'encoding': 'base64'}", BASE64_ABC), REFUSED, Form(b"abc"), Form(b"abc")
    ),
    "bytearray": Row(
        lambda: bytearray(b"abc"),
        Form("{'data': 'YWJj', 'encoding': 'base64'}", BASE64_ABC),
        REFUSED,
        Form(b"abc", b"abc"),
        Form(b"abc", b"abc"),
    ),
    "memoryview": Row(
        lambda: memoryview(b"abc"),
        Form("{'data': 'YWJj', 'encoding': 'base64'}", BASE64_ABC),
        REFUSED,
        REFUSED,
        Form(b"abc", b"abc"),
    ),
    "bytes in dict": Row(
        lambda: {"k": b"abc"},
        Form("{'k':{'data': 'YWJj', 'encoding': 'base64'}}", {"k": BASE64_ABC}),
        REFUSED,
        Form({"k": b"abc"}),
        Form({"k": b"abc"}),
    ),
    "tuple empty": Row(tuple, Form("()"), Form("[]", []), Form(()), Form([], [])),
    "tuple 1": Row(lambda: (1,), Form("(1,)"), Form("[1]", [1]), Form((1,)), Form([1], [1])),
    "tuple": Row(
        lambda: (1, "b", None),
        Form("(1,'b',None)"),
        Form('[1, "b", null]', [1, "b", None]),
        Form((1, "b", None)),
        Form([1, "b", None], [1, "b", None]),
    ),
    "list empty": same([], "[]"),
    "list": same([1, 2.5, "x", None, True], "[1,2.5,'x',None,True]", '[1, 2.5, "x", null, true]'),
    "nested": Row(
        lambda: NESTED,
        Form("{'a':[1,(2,3,{'b':{'c':[]}})],'t':((),((),))}"),
        Form('{"a": [1, [2, 3, {"b": {"c": []}}]], "t": [[], [[]]]}', listed(NESTED)),
        Form(NESTED),
        Form(NESTED, listed(NESTED)),
    ),
    "deep list": Row(
        lambda: functools.reduce(lambda inner, _: [inner], range(60), []),
        Form("[" * 61 + "]" * 61),
        Form("[" * 61 + "]" * 61),
        Form(json.loads("[" * 61 + "]" * 61)),
        Form(json.loads("[" * 61 + "]" * 61)),
    ),
    "dict empty": same({}, "{}"),
    "dict order": same({"b": 1, "a": 2}, "{'b':1,'a':2}", '{"b": 1, "a": 2}'),
    "dict int keys": Row(
        lambda: {1: "one"},
        Form("{1:'one'}"),
        Form('{"1": "one"}', {"1": "one"}),
        Form({1: "one"}),
        Form({1: "one"}, ValueError),
    ),
    "dict tuple keys": Row(
        lambda: {(1, 2): "x"}, Form("{(1,2):'x'}"), Form(TypeError), Form({(1, 2): "x"}), Form({(1, 2): "x"}, ValueError)
    ),
    "dict None key": Row(
        lambda: {None: 1}, Form(TypeError), Form('{"null": 1}', {"null": 1}), Form({None: 1}), Form({None: 1}, ValueError)
    ),
    "dict class key": tagged(
        lambda: {"__class__": "some.Thing", "v": 1},
        "{'__class__':'some.Thing','v':1}",
        '{"__class__": "some.Thing", "v": 1}',
        {"__class__": "some.Thing", "v": 1},
    ),
    "set": Row(lambda: {7}, Form("{7}"), Form("[7]", [7]), Form({7}), Form([7], [7])),
    "set empty": Row(set, Form("()", ()), Form("[]", []), Form(set()), Form([], [])),
    "set of tuple": Row(
        lambda: {(1, 2)}, Form("{(1,2)}"), Form("[[1, 2]]", [[1, 2]]), Form({(1, 2)}), Form([[1, 2]], [[1, 2]])
    ),
    "set in dict": Row(
        lambda: {"s": {1}}, Form("{'s':{1}}"), Form('{"s": [1]}', {"s": [1]}), Form({"s": {1}}), Form({"s": [1]}, {"s": [1]})
    ),
    "frozenset": Row(lambda: frozenset({1}), Form("{1}", {1}), REFUSED, Form(frozenset({1})), REFUSED),
    "Decimal": Row(
        lambda: decimal.Decimal("3.1400"),
        Form("'3.1400'", "3.1400"),
        Form('"3.1400"', "3.1400"),
        REFUSED,
        Form("3.1400", "3.1400"),
    ),
    "Decimal NaN": Row(
        lambda: decimal.Decimal("NaN"), Form("'NaN'", "NaN"), Form('"NaN"', "NaN"), REFUSED, Form("NaN", "NaN")
    ),
    "Decimal in tuple": Row(
        lambda: (decimal.Decimal("1.5"),),
        Form("('1.5',)", ("1.5",)),
        Form('["1.5"]', ["1.5"]),
        LEFT_TO_MARSHAL,
        Form(["1.5"], ["1.5"]),
    ),
    "Fraction": tagged(
        lambda: fractions.Fraction(1, 3),
        "{'_numerator':1,'_denominator':3,'__class__':'fractions.Fraction'}",
        '{"_numerator": 1, "_denominator": 3, "__class__": "fractions.Fraction"}',
        {"_numerator": 1, "_denominator": 3, "__class__": "fractions.Fraction"},
    )._replace(msgpack=Form(ext(0x31, b"1/3"))),
    "datetime": Row(
        lambda: MOMENT,
        Form("'2024-02-29T12:34:56.789012'", "2024-02-29T12:34:56.789012"),
        Form('"2024-02-29T12:34:56.789012"', "2024-02-29T12:34:56.789012"),
        REFUSED,
        Form(ext(0x32, struct.pack("=d", MOMENT.timestamp()))),
    ),
    "datetime in list": Row(
        lambda: [MOMENT.replace(microsecond=0)],
        Form("['2024-02-29T12:34:56']", ["2024-02-29T12:34:56"]),
        Form('["2024-02-29T12:34:56"]', ["2024-02-29T12:34:56"]),
        LEFT_TO_MARSHAL,
        Form([ext(0x32, struct.pack("=d", MOMENT.replace(microsecond=0).timestamp()))]),
    ),
    "datetime zone": Row(
        lambda: MOMENT.replace(tzinfo=INDIA),
        Form("'2024-02-29T12:34:56.789012+05:30'", str),
        Form('"2024-02-29T12:34:56.789012+05:30"', str),
        REFUSED,
        REFUSED,
    ),
    "date": Row(
        lambda: MOMENT.date(),
        Form("'2024-02-29'", "2024-02-29"),
        Form('"2024-02-29"', "2024-02-29"),
        REFUSED,
        Form(ext(0x33, struct.pack("l", MOMENT.toordinal())), MOMENT.date()),
    ),
    "time": Row(lambda: datetime.time(12, 34, 56, 7), Form("'12:34:56.000007'", "12:34:56.000007"), REFUSED, REFUSED, REFUSED),
    "timedelta": Row(lambda: datetime.timedelta(1, 2, 3), Form("86402.000003", 86402.000003), REFUSED, REFUSED, REFUSED),
    "UUID": Row(
        lambda: uuid.UUID(int=5),
        Form("'00000000-0000-0000-0000-000000000005'", str),
        Form('"00000000-0000-0000-0000-000000000005"', str),
        Form("00000000-0000-0000-0000-000000000005", str),
        Form("00000000-0000-0000-0000-000000000005", str),
    ),
    "UUID in list": Row(
        lambda: [uuid.UUID(int=5)],
        Form("['00000000-0000-0000-0000-000000000005']", list),
        Form('["00000000-0000-0000-0000-000000000005"]', list),
        Form(["00000000-0000-0000-0000-000000000005"], list),
        Form(["00000000-0000-0000-0000-000000000005"], list),
    ),
    "Enum int": Row(lambda: Color.RED, Form("1", 1), REFUSED, LEFT_TO_MARSHAL, REFUSED),
    "Enum str": Row(lambda: Color.GREEN, Form("'green'", "green"), REFUSED, LEFT_TO_MARSHAL, REFUSED),
    "IntEnum": Row(lambda: Level.LOW, Form("1", 1), Form("1", 1), Form(1, 1), Form(1, 1)),
    "dataclass": tagged(
        lambda: Point(1),
        "{'x':1,'y':2.5,'__class__':'@.Point'}",
        '{"x": 1, "y": 2.5, "__class__": "@.Point"}',
        {"x": 1, "y": 2.5, "__class__": HERE + ".Point"},
    ),
    "namedtuple": Row(
        lambda: Pair(1, "r"), Form("(1,'r')", (1, "r")), Form('[1, "r"]', [1, "r"]), LEFT_TO_MARSHAL, Form([1, "r"], [1, "r"])
    ),
    "instance": tagged(
        Plain,
        "{'a':1,'b':'two','__class__':'@.Plain'}",
        '{"a": 1, "b": "two", "__class__": "@.Plain"}',
        {"a": 1, "b": "two", "__class__": HERE + ".Plain"},
    ),
    "instance in list": tagged(
        lambda: [Plain(1)],
        "[{'a':1,'b':'two','__class__':'@.Plain'}]",
        '[{"a": 1, "b": "two", "__class__": "@.Plain"}]',
        [{"a": 1, "b": "two", "__class__": HERE + ".Plain"}],
    ),
    "instance in instance": tagged(
        lambda: Plain([1, (2,)], {"k": Point(3)}),
        "{'a':[1,(2,)],'b':{'k':{'x':3,'y':2.5,'__class__':'@.Point'}},'__class__':'@.Plain'}",
        '{"a": [1, [2]], "b": {"k": {"x": 3, "y": 2.5, "__class__": "@.Point"}}, "__class__": "@.Plain"}',
        {"a": [1, (2,)], "b": {"k": {"x": 3, "y": 2.5, "__class__": HERE + ".Point"}}, "__class__": HERE + ".Plain"},
    ),
    "instance with slots": tagged(
        Slotted,
        "{'x':1,'y':2,'__class__':'@.Slotted'}",
        '{"x": 1, "y": 2, "__class__": "@.Slotted"}',
        {"x": 1, "y": 2, "__class__": HERE + ".Slotted"},
    ),
    "state dict": Row(
        StateDict,
        Form("{'only':'this','__class__':'%s.StateDict'}" % HERE, SerializeError),
        Form('{"only": "this"}', {"only": "this"}),
        Form({"only": "this"}, {"only": "this"}),
        Form({"only": "this"}, {"only": "this"}),
    ),
    "state tuple": tagged(
        StateTuple, "", '{"v": 5, "__class__": "@.StateTuple"}', {"v": 5, "__class__": HERE + ".StateTuple"}
    )._replace(serpent=Form("('a','tuple')", ("a", "tuple"))),
    "class": Row(lambda: Plain, Form(TypeError), REFUSED, LEFT_TO_MARSHAL, REFUSED),
    "function": tagged(
        lambda: a_function,
        "{'__class__':'builtins.function'}",
        '{"__class__": "builtins.function"}',
        {"__class__": "builtins.function"},
    ),
    "builtin function": Row(lambda: len, Form(TypeError), REFUSED, REFUSED, REFUSED),
    "object": Row(object, Form(TypeError), REFUSED, REFUSED, REFUSED),
    "range": Row(lambda: range(3), Form(TypeError), REFUSED, REFUSED, REFUSED),
    "Ellipsis": Row(lambda: Ellipsis, Form(TypeError), REFUSED, REFUSED, REFUSED),
    "deque": Row(lambda: collections.deque([1, 2]), Form("[1,2]", [1, 2]), REFUSED, REFUSED, REFUSED),
    "keys of dict": Row(lambda: {"k": 1}.keys(), Form("['k']", ["k"]), REFUSED, REFUSED, REFUSED),
    "OrderedDict": Row(
        lambda: collections.OrderedDict(z=1, a=2),
        Form("{'__class__':'collections.OrderedDict','items':[('z',1),('a',2)]}"),
        Form('{"z": 1, "a": 2}', {"z": 1, "a": 2}),
        LEFT_TO_MARSHAL,
        Form({"z": 1, "a": 2}, {"z": 1, "a": 2}),
    ),
    "defaultdict": Row(
        lambda: collections.defaultdict(list, {"k": [1]}),
        Form("{'k':[1]}", {"k": [1]}),
        Form('{"k": [1]}', {"k": [1]}),
        LEFT_TO_MARSHAL,
        Form({"k": [1]}, {"k": [1]}),
    ),
    "Counter": Row(
        lambda: collections.Counter("aab"),
        Form("{'a':2,'b':1}", {"a": 2, "b": 1}),
        Form('{"a": 2, "b": 1}', {"a": 2, "b": 1}),
        LEFT_TO_MARSHAL,
        Form({"a": 2, "b": 1}, {"a": 2, "b": 1}),
    ),
    "array of int": Row(
        lambda: array.array("i", [1, -2]),
        Form("[1,-2]", [1, -2]),
        Form("[1, -2]", [1, -2]),
        Form([1, -2], [1, -2]),
        Form([1, -2], [1, -2]),
    ),
    "array of float": Row(
        lambda: array.array("d", [1.5]), Form("[1.5]", [1.5]), Form("[1.5]", [1.5]), Form([1.5], [1.5]), Form([1.5], [1.5])
    ),
    "array of text": Row(
        lambda: text_array("h\xe9"),
        Form("'h\xe9'", "h\xe9"),
        Form('"h\xe9"', "h\xe9"),
        Form("h\xe9", "h\xe9"),
        Form("h\xe9", "h\xe9"),
    ),
    "array in list": Row(
        lambda: [array.array("b", [1])],
        Form("[[1]]", [[1]]),
        Form("[[1]]", [[1]]),
        Form([b"\x01"], [b"\x01"]),
        Form([[1]], [[1]]),
    ),
    "str subclass": Row(
        lambda: StrSubclass("sub"),
        Form("'sub'", "sub"),
        Form('"sub"', "sub"),
        Form("sub", "sub"),
        Form("sub", "sub"),
    ),
    "int subclass": Row(
        lambda: IntSubclass(9),
        Form("9", 9),
        Form("9", 9),
        Form(9, 9),
        Form(9, 9),
    ),
    "dict subclass": Row(
        lambda: DictSubclass(k=1),
        Form("{'k':1}", {"k": 1}),
        Form('{"k": 1}', {"k": 1}),
        LEFT_TO_MARSHAL,
        Form({"k": 1}, {"k": 1}),
    ),
    "exception": Row(
        lambda: ValueError("as a value", 3),
        Form("{'__class__':'builtins.ValueError','__exception__':True,'args':('as a value',3),'attributes':{}}"),
        Form('{"__class__": "builtins.ValueError", "__exception__": true, "args": ["as a value", 3], "attributes": {}}'),
        Form(VALUE_ERROR),
        Form(VALUE_ERROR),
    ),
    "own exception": tagged(
        lambda: CustomError("c"),
        "{'__class__':'@.CustomError','__exception__':True,'args':('c',),'attributes':{}}",
        '{"__class__": "@.CustomError", "__exception__": true, "args": ["c"], "attributes": {}}',
        {"__class__": HERE + ".CustomError", "__exception__": True, "args": ("c",), "attributes": {}},
    ),
}


def is_error(cell: Any) -> bool:
    return isinstance(cell, type) and issubclass(cell, Exception)


def encode(name: str, wire: Any) -> bytes:
    """Make the bytes that a cell of the table stands for."""
    if name == "serpent":
        return (reader.HEADER + wire).encode("utf-8")
    if name == "json":
        return wire.encode("utf-8")
    if name == "marshal":
        return marshal.dumps(wire)
    import msgpack

    return msgpack.packb(wire, use_bin_type=True)


def canonical(value: Any) -> Any:
    """Something that is equal only for values of the same types."""
    if isinstance(value, BaseException):
        return type(value), value.args
    if isinstance(value, dict):
        return type(value), [(canonical(key), canonical(element)) for key, element in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [canonical(element) for element in value]
    return type(value), repr(value)


class Types(unittest.TestCase):
    """The table, for one serializer."""

    name = "serpent"

    def setUp(self) -> None:
        if self.name == "msgpack" and not HAS_MSGPACK:
            self.skipTest("msgpack is not installed")
        self.serializer = serializers.get_serializer(self.name)

    def each(self) -> Any:
        return [(label, row.make(), getattr(row, self.name)) for label, row in ROWS.items()]

    def assert_on_the_wire(self, expected: bytes, got: bytes) -> None:
        if self.name == "marshal":  # its bytes depend on reference counts
            self.assertEqual(canonical(marshal.loads(expected)), canonical(marshal.loads(got)))
        else:
            self.assertEqual(expected, got)

    def test_results(self) -> None:
        for label, value, form in self.each():
            with self.subTest(label):
                if is_error(form.wire):
                    self.assertRaises(form.wire, self.serializer.dumps, value)
                else:
                    self.assert_on_the_wire(encode(self.name, form.wire), self.serializer.dumps(value))

    def test_arguments(self) -> None:
        for label, value, form in self.each():
            with self.subTest(label):
                if is_error(form.wire):
                    self.assertRaises(form.wire, self.serializer.dumpsCall, "obj", "method", (value,), {"key": value})
                else:
                    self.check_call(self.serializer.dumpsCall("obj", "method", (value,), {"key": value}), value, form)

    def check_call(self, call: bytes, value: Any, form: Form) -> None:
        if is_error(form.arrives):
            self.assertRaises(form.arrives, self.serializer.loadsCall, call)
            return
        obj, method, vargs, kwargs = self.serializer.loadsCall(call)
        self.assertEqual(("obj", "method", ["key"]), (obj, method, list(kwargs)))
        self.assert_arrives(value, form.arrives, vargs[0])
        self.assert_arrives(value, form.arrives, kwargs["key"])

    def test_values_after_a_round_trip(self) -> None:
        for label, value, form in self.each():
            if is_error(form.wire):
                continue
            data = encode(self.name, form.wire)
            for received in (data, bytearray(data), memoryview(data)):
                with self.subTest(label, buffer=type(received)):
                    if is_error(form.arrives):
                        self.assertRaises(form.arrives, self.serializer.loads, received)
                    else:
                        self.assert_arrives(value, form.arrives, self.serializer.loads(received))

    def assert_arrives(self, sent: Any, arrives: Any, got: Any) -> None:
        if isinstance(arrives, type):
            self.assertIs(arrives, type(got))
        else:
            self.assertEqual(canonical(sent if arrives is SAME else arrives), canonical(got))


class JsonTypes(Types):
    name = "json"


class MarshalTypes(Types):
    name = "marshal"


class MsgpackTypes(Types):
    name = "msgpack"


class Others(unittest.TestCase):
    """What does not fit into the table."""

    def test_nan(self) -> None:
        for name in serializers.serializers:
            serializer = serializers.get_serializer(name)
            got = serializer.loads(serializer.dumps([float("nan")]))[0]
            self.assertIs(float, type(got))
            self.assertTrue(math.isnan(got))

    def test_nan_over_serpent(self) -> None:
        self.assertEqual(
            encode("serpent", "{'__class__':'float','value':'nan'}"), serializers.get_serializer("serpent").dumps(float("nan"))
        )

    def test_complex_nan_over_serpent(self) -> None:
        serializer = serializers.get_serializer("serpent")
        got = serializer.loads(serializer.dumps(complex(float("nan"), INFINITY)))
        self.assertTrue(math.isnan(got.real))
        self.assertEqual(INFINITY, got.imag)

    def test_ordered_dict_with_instances_over_serpent(self) -> None:
        serializer = serializers.get_serializer("serpent")
        got = serializer.loads(serializer.dumps([collections.OrderedDict(error=ValueError("x"))]))[0]
        self.assertIs(collections.OrderedDict, type(got))
        self.assertEqual(("x",), got["error"].args)

    def test_path_has_no_attributes(self) -> None:
        path = pathlib.PurePosixPath("/a/b")
        for name in serializers.serializers:
            serializer = serializers.get_serializer(name)
            with self.assertRaises(errors.SerializeError):
                serializer.loads(serializer.dumps(path))

    def test_bytes_repr(self) -> None:
        serializer = serializers.get_serializer("serpent")
        config.SERPENT_BYTES_REPR = True
        self.addCleanup(setattr, config, "SERPENT_BYTES_REPR", False)
        for value in (b"abc\xff", bytearray(b"abc\xff"), memoryview(b"abc\xff")):
            self.assertEqual(encode("serpent", r"[b'abc\xff']"), serializer.dumps([value]))
        self.assertEqual([b"abc\xff"], serializer.loads(serializer.dumps([b"abc\xff"])))
        self.assertEqual(("o", "m", (b"\x00",), {}), serializer.loadsCall(serializer.dumpsCall("o", "m", (b"\x00",), {})))

    def test_base64_can_be_turned_into_bytes(self) -> None:
        serializer = serializers.get_serializer("serpent")
        self.assertEqual(b"abc\xff", serpent.tobytes(serializer.loads(serializer.dumps(b"abc\xff"))))

    @unittest.skipUnless(HAS_MSGPACK, "msgpack is not installed")
    def test_dates_from_other_platforms_over_msgpack(self) -> None:
        serializer = serializers.get_serializer("msgpack")
        day = datetime.date(2024, 2, 29)
        for packed in (struct.pack("=i", day.toordinal()), struct.pack("=q", day.toordinal())):
            self.assertEqual(day, serializer.loads(encode("msgpack", ext(0x33, packed))))

    @unittest.skipUnless(HAS_MSGPACK, "msgpack is not installed")
    def test_malformed_extensions_over_msgpack(self) -> None:
        serializer = serializers.get_serializer("msgpack")
        for code, data in (
            (0x30, b"1"),
            (0x31, b"x"),
            (0x31, b"1/0"),
            (0x31, b"1e999999999/1"),
            (0x32, b""),
            (0x32, struct.pack("=d", 1e300)),
            (0x32, struct.pack("=d", float("nan"))),
            (0x33, b"123"),
            (0x33, struct.pack("=q", -1)),
            (0x33, struct.pack("=q", 2**40)),
        ):
            with self.subTest(code=code, data=data), self.assertRaises(ValueError):
                serializer.loads(encode("msgpack", ext(code, data)))
        with self.assertRaisesRegex(errors.SerializeError, "0x34"):
            serializer.loads(encode("msgpack", ext(0x34, b"")))
