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
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple, TypedDict, Union

from Pyro5 import api, serializers
from Pyro5._values import mismatch, rebuilding, registered_types

from ..support import PROJECT
from .test_serialization import BEGIN, COLUMNS, END, NOT_SENT, SAME, cells, usable

DOCUMENT = os.path.join(PROJECT, "docs", "types.md")
HEAD = ["sent", "between peers of this release", *["%s, to others" % name for name in COLUMNS], "annotation", "rebuilt"]
NEW = 3  # the dialect of peers of this release


class Color(enum.Enum):
    RED = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Level(str, enum.Enum):
    LOW = "low"


class Priority(enum.IntEnum):
    HIGH = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    color: Color = Color.RED


class Pair(NamedTuple):
    left: int
    right: Optional[Point] = None


class Options(TypedDict):
    color: Color


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
    ("Color.RED", "Color"), ("Access.READ | Access.WRITE", "Access"), ("Level.LOW", "Level"), ("Priority.HIGH", "Priority"),
    ("Point(1)", "Point"), ("Pair(1, Point(2))", "Pair"), ("Options(color=Color.RED)", "Options"), ("Money(5)", "Money"),
    ("[Point(1)]", "List[Point]"), ("(Color.RED, 1)", "Tuple[Color, int]"), ("{'a': Color.RED}", "Dict[str, Color]"),
    ("{Color.RED: 1}", "Dict[Color, int]"), ("{Point(1): 1}", ""), ("{Color.RED}", "Set[Color]"), ("None", "Optional[Point]"),
    ("2", "Union[Point, int]"),
    ("datetime(2024, 2, 29, 12, 30)", "datetime"), ("datetime(2024, 2, 29, 12, 30, tzinfo=utc)", "datetime"),
    ("date(2024, 2, 29)", "date"), ("time(12, 30)", "time"), ("timedelta(hours=1)", "timedelta"),
    ("Decimal('1.50')", "Decimal"), ("UUID(int=5)", "UUID"), ("PurePosixPath('a/b')", "PurePosixPath"),
    ("b'bytes'", ""), ("bytearray(b'bytes')", ""), ("memoryview(b'bytes')", ""),
)
NAMES: Dict[str, Any] = {
    **{clazz.__name__: clazz for clazz in (
        Color, Access, Level, Priority, Point, Pair, Options, Money, decimal.Decimal, datetime.datetime, datetime.date,
        datetime.time, datetime.timedelta, uuid.UUID, pathlib.PurePosixPath)},
    "utc": datetime.timezone.utc, "List": List, "Dict": Dict, "Optional": Optional, "Set": Set,
    "Tuple": Tuple, "Union": Union,
}


def received(serializer: Any, value: Any) -> Any:
    """Return what arrives, NOT_SENT if nothing does."""
    try:
        return serializer.loads(serializer.dumps([value]))[0]
    except Exception:
        return NOT_SENT


def is_same(one: Any, other: Any) -> bool:
    return bool(one == other) and type(one) is type(other)


def cell(value: Any, arrived: Any) -> str:
    """Return what a cell says about a value that has arrived."""
    if arrived is NOT_SENT:
        return NOT_SENT
    return SAME if is_same(arrived, value) else "`%r`" % (arrived,)


def new_cell(value: Any) -> str:
    """Return what arrives between peers of this release: what most serializers do, and then the others."""
    cells = {name: cell(value, received(serializers.get_serializer(name).for_dialect(NEW), value)) for name in COLUMNS}
    most = max(cells.values(), key=list(cells.values()).count)
    return "; ".join([most, *["%s: %s" % (name, text) for name, text in cells.items() if text != most]])


def row(sent: str, annotation: str) -> List[str]:
    """Return the cells of a row; the cell of a serializer that is not installed is empty."""
    value = eval(sent, dict(NAMES))
    build = rebuilding.builder_for(eval(annotation or "None", dict(NAMES)))
    forms, rebuilt = [], []
    for name in COLUMNS:
        arrived = received(serializers.get_serializer(name), value) if usable(name) else ""
        forms.append(cell(value, arrived) if usable(name) else "")
        if build is not None and usable(name) and arrived is not NOT_SENT:
            try:
                found = SAME if is_same(build(arrived), value) else "different"
            except mismatch.Mismatch:
                found = "refused"
            rebuilt.append((found, name))
    different = ["not from %s" % name for found, name in rebuilt if found != SAME]
    result = ", ".join([SAME, *different]) if rebuilt else ""
    new = new_cell(value) if all(map(usable, COLUMNS)) else ""
    return ["`%s`" % sent, new, *forms, "`%s`" % annotation if annotation else "", result]


def table() -> str:
    lines = [HEAD, ["---"] * len(HEAD), *[row(*each) for each in SENT]]
    return "".join("| %s |\n" % " | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)


def read_document() -> str:
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def register() -> List[type]:
    before = set(registered_types.registered())
    api.register_types(Color, Access, Level, Priority, Point, Pair, Options, Money, "datetime", "decimal", "uuid", "path")
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
        # what a serializer that is not installed does is not compared
        found = [["" if not cells_of and column not in ("sent", "annotation") else text
                  for column, text, cells_of in zip(HEAD, line, expected_line)]
                 for line, expected_line in zip(rows[2:], expected)]
        self.assertEqual(len(expected), len(rows[2:]))
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
