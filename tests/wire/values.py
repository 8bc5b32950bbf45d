"""The values that travelled in the recordings, and the exceptions that were raised.

The exceptions have the recorded texts, also those that Python words by itself: it words them differently in every version.
"""
from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import sqlite3
import struct
import sys
import threading
import uuid
import warnings
from typing import Any, Callable, Dict, List

from Pyro5 import errors

# ------------------------------------------------------------ values


class Plain:
    def __init__(self, a: Any = 1, b: Any = "two") -> None:
        self.a = a
        self.b = b


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x = 1
        self.y = 2


class StateDict:
    def __getstate__(self) -> Any:
        return {"only": "this"}


class StateTuple:
    def __init__(self) -> None:
        self.v = 5

    def __getstate__(self) -> Any:
        return ("a", "tuple")


class Converted:
    """Converters are registered for it, both ways."""

    def __init__(self, v: Any) -> None:
        self.v = v


class NoDict(int):
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


class MyStr(str):
    pass


class MyDict(dict):  # type: ignore[type-arg]
    pass


class CustomError(Exception):
    pass


class KnownError(Exception):
    """Clients have a converter for it."""


class MyValueError(ValueError):
    pass


def a_function() -> int:
    return 1


def _nested_lists(depth: int) -> List[Any]:
    value: List[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _unicode_array() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # since Python 3.13
        return array.array("u", "h\u00e9")


_LEAP_DAY = datetime.datetime(2024, 2, 29, 12, 34, 56)
_INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))

# Values by the names that the recordings use; made when they are asked for.
VALUES: Dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "false": lambda: False,
    "int_0": lambda: 0,
    "int_neg": lambda: -42,
    "int_2p31": lambda: 1 << 31,
    "int_2p63m1": lambda: (1 << 63) - 1,
    "int_2p63": lambda: 1 << 63,
    "int_2p64": lambda: 1 << 64,
    "int_10p30": lambda: 10 ** 30,
    "int_minus_2p63_m1": lambda: -(1 << 63) - 1,
    "float": lambda: 3.25,
    "float_third": lambda: 1 / 3,
    "float_negzero": lambda: -0.0,
    "float_big": lambda: 1e300,
    "float_int": lambda: 2.0,
    "float_inf": lambda: float("inf"),
    "float_neginf": lambda: float("-inf"),
    "float_nan": lambda: float("nan"),
    "complex": lambda: complex(3, -4.5),
    "complex_inf": lambda: complex(float("inf"), -0.0),
    "str_ascii": lambda: "hello",
    "str_empty": lambda: "",
    "str_quotes": lambda: "it's \"quoted\" \\ back\nnew\ttab",
    "str_unicode": lambda: "caf\u00e9 \u20ac \u6f22\u5b57 \U0001f600",
    "str_nul": lambda: "a\x00b\x7f\x85\u2028",
    "str_lone_surrogate": lambda: "x\ud800y",
    "bytes_empty": lambda: b"",
    "bytes_abc": lambda: b"abc",
    "bytes_all": lambda: bytes(range(256)),
    "bytearray": lambda: bytearray(b"\x00\x01\xffabc"),
    "memoryview": lambda: memoryview(b"view"),
    "tuple_empty": lambda: (),
    "tuple_1": lambda: (1,),
    "tuple_3": lambda: (1, "b", None),
    "list_empty": list,
    "list_mixed": lambda: [1, 2.5, "x", None, True],
    "nested": lambda: {"a": [1, (2, 3, {"b": {"c": []}})], "t": ((), ((),))},
    "dict_empty": dict,
    "dict_intkeys": lambda: {1: "one", 2: "two"},
    "dict_tuplekeys": lambda: {(1, 2): "x"},
    "dict_nonekey": lambda: {None: 1, True: 2},
    "dict_unsorted": lambda: {"b": 1, "a": 2},
    "dict_with_class_key": lambda: {"__class__": "some.Thing", "v": 1},
    "set_1": lambda: {1},
    "set_empty": lambda: set(),
    "set_ints": lambda: {3, 1, 2},
    "set_of_tuple": lambda: {(1, 2)},
    "frozenset": lambda: frozenset({1}),
    "decimal": lambda: decimal.Decimal("3.1400"),
    "decimal_nan": lambda: decimal.Decimal("NaN"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "datetime": lambda: _LEAP_DAY.replace(microsecond=789012),
    "datetime_nomicro": lambda: _LEAP_DAY,
    "datetime_utc": lambda: _LEAP_DAY.replace(tzinfo=datetime.timezone.utc),
    "datetime_tz": lambda: _LEAP_DAY.replace(microsecond=5, tzinfo=_INDIA),
    "date": lambda: _LEAP_DAY.date(),
    "time": lambda: datetime.time(12, 34, 56, 7),
    "timedelta": lambda: datetime.timedelta(days=1, seconds=2, microseconds=3),
    "uuid": lambda: uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "enum_int": lambda: Color.RED,
    "enum_str": lambda: Color.GREEN,
    "intenum": lambda: Level.LOW,
    "dataclass": lambda: Point(1),
    "namedtuple": lambda: Pair(1, "r"),
    "custom_plain": Plain,
    "custom_nested": lambda: Plain([1, (2,)], {"k": Point(3)}),
    "custom_in_list": lambda: [Plain()],
    "custom_slots": Slotted,
    "custom_getstate_dict": StateDict,
    "custom_getstate_tuple": StateTuple,
    "custom_converted": lambda: Converted(7),
    "custom_converted_in_list": lambda: [Converted(7)],
    "class_object": lambda: Plain,
    "function": lambda: a_function,
    "builtin": lambda: len,
    "object": object,
    "deque": lambda: collections.deque([1, 2, 3]),
    "ordereddict": lambda: collections.OrderedDict([("z", 1), ("a", 2)]),
    "defaultdict": lambda: collections.defaultdict(list, {"k": [1]}),
    "counter": lambda: collections.Counter("aab"),
    "array_i": lambda: array.array("i", [1, -2, 3]),
    "array_d": lambda: array.array("d", [1.5, 2.0]),
    "array_u": _unicode_array,
    "array_b": lambda: array.array("b", [1, 2]),
    "array_in_list": lambda: [array.array("i", [1])],
    "bytes_in_dict": lambda: {"k": b"v"},
    "uuid_in_list": lambda: [uuid.UUID(int=5)],
    "set_in_dict": lambda: {"s": {1}},
    "datetime_in_list": lambda: [datetime.datetime(2020, 1, 2, 3, 4, 5)],
    "decimal_in_tuple": lambda: (decimal.Decimal("1.5"),),
    "str_subclass": lambda: MyStr("sub"),
    "int_subclass": lambda: NoDict(9),
    "dict_subclass": lambda: MyDict(k=1),
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "range": lambda: range(3),
    "ellipsis": lambda: Ellipsis,
    "exception_value": lambda: ValueError("as a value", 3),
    "exception_custom_value": lambda: CustomError("c"),
    "dict_keys_view": lambda: {"k": 1}.keys(),
    "deep_list_60": lambda: _nested_lists(60),
}

# ------------------------------------------------------------ exceptions


def _with(exception: BaseException, **attributes: Any) -> BaseException:
    exception.__dict__.update(attributes)
    return exception


def _chained() -> BaseException:
    return _with_cause(RuntimeError("outer"), KeyError("inner"))


def _with_cause(exception: BaseException, cause: BaseException) -> BaseException:
    exception.__cause__ = cause
    return exception


def _group() -> BaseException:
    if sys.version_info < (3, 11):
        raise NotImplementedError("this Python has no exception groups")
    return ExceptionGroup("grp", [ValueError(1), KeyError("k")])  # noqa: F821


# Exceptions by the names that the recordings use.
EXCEPTIONS: Dict[str, Callable[[], BaseException]] = {
    "valueerror": lambda: ValueError("the message", 42),
    "valueerror_noargs": ValueError,
    "keyerror": lambda: KeyError("missing"),
    "zerodivision": lambda: ZeroDivisionError("integer division or modulo by zero"),
    "indexerror": lambda: IndexError("list index out of range"),
    "unicode_message": lambda: ValueError("caf\u00e9 \u20ac"),
    "unicodedecode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "oserror": lambda: FileNotFoundError(2, "No such file", "thefile"),
    "builtin_timeout": lambda: TimeoutError("builtin one"),
    "connectionreset": lambda: ConnectionResetError(104, "peer"),
    "stopiteration": lambda: StopIteration("val"),
    "generatorexit": lambda: GeneratorExit("ge"),
    "systemexit": lambda: SystemExit(3),
    "keyboardinterrupt": KeyboardInterrupt,
    "warning": lambda: UserWarning("warn"),
    "assertion": AssertionError,
    "notimplemented": lambda: NotImplementedError("todo"),
    "syntaxerror": lambda: SyntaxError("invalid syntax", ("src", 1, 3, "a b", 1, 4)),
    "recursion": lambda: RecursionError("deep"),
    "struct_error": lambda: struct.error("unpack requires a buffer of 4 bytes"),
    "sqlite_error": lambda: _with(sqlite3.OperationalError("no such column: nope"), sqlite_errorcode=1,
                                  sqlite_errorname="SQLITE_ERROR"),
    "json_error": lambda: json.JSONDecodeError("Expecting property name enclosed in double quotes", "{", 1),
    "custom": lambda: CustomError("custom", 1),
    "custom_known": lambda: KnownError("known"),
    "subclass_of_builtin": lambda: MyValueError("mv"),
    "chained": _chained,
    "attributes": lambda: _with(ValueError("with attributes"), code=99, detail={"k": [1, 2]}, __notes__=["a note"]),
    "unserializable_args": lambda: ValueError("unserializable", a_function, object()),
    "unserializable_attr": lambda: _with(ValueError("attr"), lock=threading.Lock()),
    "own_pyrotraceback": lambda: _with(ValueError("has own traceback already"),
                                       _pyroTraceback=["line one\n", "line two\n"]),
    "group": _group,
    "args_bytes_tuple": lambda: ValueError(b"raw", (1, 2), {3}),
    "args_plain_object": lambda: ValueError(Plain()),
}
for _class in (errors.PyroError, errors.NamingError, errors.DaemonError, errors.SecurityError, errors.CommunicationError,
               errors.ConnectionClosedError, errors.TimeoutError, errors.ProtocolError, errors.MessageTooLargeError,
               errors.SerializeError):
    EXCEPTIONS["pyro_" + _class.__name__] = functools.partial(_class, "pyro message", 7)

# The recordings name these classes as members of another module.
RECORDED_MODULE = "wire_app"
for _tagged in (Plain, Slotted, StateDict, StateTuple, Converted, NoDict, Point, Pair, Color, Level, MyStr, MyDict,
                CustomError, KnownError, MyValueError):
    _tagged.__module__ = RECORDED_MODULE
