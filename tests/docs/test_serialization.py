"""The table of docs/serialization.md shows what the serializers do, and the examples of the page run.

``python -m tests.docs.test_serialization write`` updates the table.
"""
from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import doctest
import enum
import fractions
import importlib.util
import os
import pathlib
import sys
import unittest
import uuid
from typing import Any, List

from Pyro5 import api, errors, serializers

from ..support import PROJECT

DOCUMENT = os.path.join(PROJECT, "docs", "serialization.md")
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
COLUMNS = ("serpent", "json", "marshal", "msgpack")
SAME, NOT_SENT, REFUSED = "same", "not sent", "refused"


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(str):
    pass


class Table(dict):  # type: ignore[type-arg]
    pass


class Plain:
    def __init__(self) -> None:
        self.x = 1


class Stateful:
    def __getstate__(self) -> Any:
        return {"x": 1}


@dataclasses.dataclass
class Data:
    x: int = 1


class OwnError(Exception):
    pass


Pair = collections.namedtuple("Pair", "left right")

# The values that are sent, as the page shows them; evaluated with the names below.
SENT = (
    "None", "True", "42", "2 ** 70", "2.5", "float('inf')", "1 - 2j",
    "'text'", "b'bytes'", "bytearray(b'bytes')", "memoryview(b'bytes')",
    "[1, 2]", "(1, 2)", "{1, 2}", "set()", "frozenset({1, 2})",
    "{'key': 1}", "{1: 'number'}", "{(1, 2): 'tuple'}", "{None: 1}",
    "OrderedDict(b=1, a=2)", "defaultdict(list, a=[1])", "Counter('aab')", "deque([1, 2])", "{'a': 1}.keys()",
    "array('i', [1, 2])", "range(3)",
    "Decimal('1.50')", "Fraction(1, 3)",
    "datetime(2024, 2, 29, 12, 30)", "datetime(2024, 2, 29, 12, 30, tzinfo=utc)", "date(2024, 2, 29)", "time(12, 30)",
    "timedelta(hours=1)", "UUID(int=5)",
    "Color.RED", "Level.LOW", "Pair(1, 2)", "Name('text')", "Table(key=1)",
    "Plain()", "Stateful()", "Data()", "PurePosixPath('a/b')",
    "ValueError('text')", "OwnError('text')", "NamingError('text')",
    "URI('PYRO:object@host:55')", "Proxy('PYRO:object@host:55')",
    "len", "Plain", "object()",
)
NAMES = {
    **{clazz.__name__: clazz for clazz in (
        Color, Level, Name, Table, Plain, Stateful, Data, OwnError, Pair, collections.OrderedDict, collections.defaultdict,
        collections.Counter, collections.deque, array.array, decimal.Decimal, fractions.Fraction, datetime.datetime,
        datetime.date, datetime.time, datetime.timedelta, uuid.UUID, pathlib.PurePosixPath, errors.NamingError, api.URI,
        api.Proxy)},
    "utc": datetime.timezone.utc,
}


def usable(name: str) -> bool:
    return name != "msgpack" or importlib.util.find_spec("msgpack") is not None


class Lost(Exception):
    """A value does not arrive; the text is the cell of the table."""


def carry(name: str, value: Any) -> Any:
    """Send a value through a serializer and return the value that arrives."""
    serializer = serializers.get_serializer(name)
    try:
        data = serializer.dumps(value)
    except (errors.SerializeError, TypeError, ValueError) as x:
        raise Lost(NOT_SENT) from x
    try:
        return serializer.loads(data)
    except (errors.PyroError, ValueError) as x:
        raise Lost(REFUSED) from x


def arrives(name: str, value: Any, in_list: bool = False) -> str:
    """Return the cell of the table for a value and a serializer."""
    try:
        received = carry(name, [value])[0] if in_list else carry(name, value)
    except Lost as x:
        return str(x)
    if type(received) is type(value) and (received == value or repr(received) == repr(value)):
        return SAME
    return "`%r`" % (received,)


def row(sent: str) -> List[str]:
    """Return the cells of a row; the cell of a serializer that is not installed is empty."""
    value = eval(sent, dict(NAMES))
    return ["`%s`" % sent] + [arrives(name, value) if usable(name) else "" for name in COLUMNS]


def cells(line: str) -> List[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table() -> str:
    lines = [["sent", *COLUMNS], ["---"] * (len(COLUMNS) + 1), *map(row, SENT)]
    return "".join("| %s |\n" % " | ".join(line) for line in lines)


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def write_table() -> None:
    before, _, rest = read_document().partition(BEGIN)
    text = before + BEGIN + table() + END + rest.partition(END)[2]
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(text)


class Document(unittest.TestCase):
    maxDiff = None

    def test_table_is_what_the_serializers_do(self) -> None:
        written = read_document().partition(BEGIN)[2].partition(END)[0].splitlines()
        self.assertEqual(["sent", *COLUMNS], cells(written[0]))
        rows = {line[0]: line for line in map(cells, written[2:])}
        self.assertEqual(["`%s`" % sent for sent in SENT], list(rows))
        for sent in SENT:
            expected = row(sent)
            found = [cell if not column or usable(COLUMNS[column - 1]) else ""
                     for column, cell in enumerate(rows[expected[0]])]
            self.assertEqual(expected, found)

    def test_values_in_a_list_arrive_as_they_do_alone(self) -> None:
        for sent in SENT:
            value = eval(sent, dict(NAMES))
            for name in filter(usable, COLUMNS):
                with self.subTest(sent, serializer=name):
                    expected = arrives(name, value)
                    if name == "marshal" and isinstance(value, (array.array, memoryview)):
                        expected = "`%r`" % value.tobytes()
                    self.assertEqual(expected, arrives(name, value, in_list=True))

    def test_examples(self) -> None:
        results = doctest.testfile(DOCUMENT, module_relative=False, encoding="utf-8")
        self.assertEqual(0, results.failed)
        self.assertGreater(results.attempted, 10)

    def test_every_serializer_takes_ninety_levels(self) -> None:
        value: Any = []
        for _ in range(89):
            value = [value]
        for name in filter(usable, COLUMNS):
            serializer = serializers.get_serializer(name)
            self.assertEqual(value, serializer.loads(serializer.dumps(value)), name)

    def test_levels_that_serpent_reads(self) -> None:
        most = 200 if sys.version_info >= (3, 9) else 90
        header = b"# serpent utf-8 python3.2\n"
        serializer = serializers.get_serializer("serpent")
        self.assertIsInstance(serializer.loads(header + b"[" * most + b"]" * most), list)
        with self.assertRaisesRegex(errors.SerializeError, "nested too deeply"):
            serializer.loads(header + b"[" * (most + 1) + b"]" * (most + 1))

    def test_nesting_does_not_crash_any_serializer(self) -> None:
        million = 1000 * 1000
        attacks = {"serpent": b"# serpent utf-8 python3.2\n" + b"[" * million + b"]" * million,
                   "json": b"[" * million + b"]" * million, "marshal": b"[\1\0\0\0" * million + b"N",
                   "msgpack": b"\x91" * million + b"\xc0"}
        for name in filter(usable, COLUMNS):
            with self.subTest(name), self.assertRaises((errors.SerializeError, ValueError)):
                serializers.get_serializer(name).loads(attacks[name])


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_table()
    else:
        unittest.main()
