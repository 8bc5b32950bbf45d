"""The table of docs/types.md shows what arrives of registered types, and the examples of the page run.

``python -m tests.docs.test_types write`` updates the table.
"""
from __future__ import annotations

import dataclasses
import datetime
import decimal
import doctest
import enum
import os
import pathlib
import sys
import unittest
import uuid
from typing import Any, Dict, List, NamedTuple, Optional

from Pyro5 import api, serializers
from Pyro5._values import rebuilding, registered_types

from ..support import PROJECT
from .test_serialization import BEGIN, COLUMNS, END, cells, usable

DOCUMENT = os.path.join(PROJECT, "docs", "types.md")
HEAD = ["sent", "annotation", *COLUMNS, "rebuilt"]


class Color(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(str, enum.Enum):
    LOW = "low"


@dataclasses.dataclass
class Point:
    x: int
    color: Color = Color.RED


class Pair(NamedTuple):
    left: int
    right: Optional[Point] = None


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __pyro_state__(self) -> int:
        return self.amount

    @classmethod
    def __pyro_from_state__(cls, state: Any) -> Money:
        return cls(int(state))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount


SENT = (
    ("Color.RED", "Color"), ("Access.READ | Access.WRITE", "Access"), ("Level.LOW", "Level"), ("Point(1)", "Point"),
    ("Pair(1, Point(2))", "Pair"), ("Money(5)", "Money"),
    ("[Point(1)]", "List[Point]"), ("{'a': Color.RED}", "Dict[str, Color]"), ("None", "Optional[Point]"),
    ("datetime(2024, 2, 29, 12, 30)", "datetime"), ("datetime(2024, 2, 29, 12, 30, tzinfo=utc)", "datetime"),
    ("date(2024, 2, 29)", "date"), ("time(12, 30)", "time"), ("timedelta(hours=1)", "timedelta"),
    ("Decimal('1.50')", "Decimal"), ("UUID(int=5)", "UUID"), ("PurePosixPath('a/b')", "PurePosixPath"),
)
NAMES: Dict[str, Any] = {
    **{clazz.__name__: clazz for clazz in (
        Color, Access, Level, Point, Pair, Money, decimal.Decimal, datetime.datetime, datetime.date, datetime.time,
        datetime.timedelta, uuid.UUID, pathlib.PurePosixPath)},
    "utc": datetime.timezone.utc, "List": List, "Dict": Dict, "Optional": Optional,
}


def row(sent: str, annotation: str) -> List[str]:
    """Return the cells of a row; the cell of a serializer that is not installed is empty."""
    value, build = eval(sent, dict(NAMES)), rebuilding.builder_for(eval(annotation, dict(NAMES)))
    assert build is not None
    forms, is_same = [], True
    for name in COLUMNS:
        if not usable(name):
            forms.append("")
            continue
        serializer = serializers.get_serializer(name)
        received = serializer.loads(serializer.dumps(value))
        forms.append("`%r`" % (received,))
        rebuilt = build(received)
        is_same = is_same and rebuilt == value and type(rebuilt) is type(value)
    return ["`%s`" % sent, "`%s`" % annotation, *forms, "same" if is_same else "different"]


def table() -> str:
    lines = [HEAD, ["---"] * len(HEAD), *[row(*each) for each in SENT]]
    return "".join("| %s |\n" % " | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def register() -> List[type]:
    before = set(registered_types.registered())
    api.register_types(Color, Access, Level, Point, Pair, Money, "datetime", "decimal", "uuid", "path")
    return list(set(registered_types.registered()) - before)


def write_table() -> None:
    before, _, rest = read_document().partition(BEGIN)
    register()
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + table() + END + rest.partition(END)[2])


class Document(unittest.TestCase):
    maxDiff = None

    def tearDown(self) -> None:
        for clazz in registered_types.registered():
            registered_types.unregister(clazz)

    def test_table_is_what_arrives(self) -> None:
        register()
        written = [line.replace("\\|", "\1") for line in read_document().partition(BEGIN)[2].partition(END)[0].splitlines()]
        rows = [[cell.replace("\1", "|") for cell in cells(line)] for line in written]
        self.assertEqual(HEAD, rows[0])
        expected = [row(*each) for each in SENT]
        # the column of a serializer that is not installed is not compared
        found = [["" if column in COLUMNS and not usable(column) else cell for column, cell in zip(HEAD, line)]
                 for line in rows[2:]]
        self.assertEqual(expected, found)

    def test_examples(self) -> None:
        results = doctest.testfile(DOCUMENT, module_relative=False, encoding="utf-8")
        self.assertEqual(0, results.failed)
        self.assertGreater(results.attempted, 15)


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_table()
    else:
        unittest.main()
