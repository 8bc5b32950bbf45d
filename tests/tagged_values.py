"""Types that the tests of tagged forms register, and the object that they call."""
from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import importlib.util
import pathlib
import uuid
from typing import Any, Dict, FrozenSet, Generic, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

from Pyro5 import api

NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


class Color(enum.Enum):
    RED = 1
    MIXED = (1, 2)


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Priority(enum.IntEnum):
    HIGH = 1


class Level(str, enum.Enum):
    LOW = "low"


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


class SpecialPoint(Point):
    """Has the same fields."""


@dataclasses.dataclass(frozen=True)
class SpacePoint(Point):
    z: float = 0.0


@dataclasses.dataclass
class Shape:
    name: str
    color: Color = Color.RED
    points: List[Point] = dataclasses.field(default_factory=list)
    inner: Optional[Shape] = None


class Pair(NamedTuple):
    left: int
    right: Optional[Point] = None


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __pyro_state__(self) -> Any:
        return [self.amount]

    @classmethod
    def __pyro_from_state__(cls, state: Any) -> Money:
        if type(state) is not list or type(state[0]) is not int:
            raise ValueError("not an amount")
        return cls(state[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


class LabError(Exception):
    """An exception whose constructor has other parameters than its args."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class DiskError(OSError):
    pass


TYPES = (Color, Access, Priority, Level, Point, Shape, Pair, Box, Money, LabError, DiskError)
GROUPS = ("datetime", "decimal", "uuid", "path")
VALUES: Tuple[Any, ...] = (
    Color.RED, Color.MIXED, Access.READ, Access.READ | Access.WRITE, Priority.HIGH, Level.LOW, Point(1, 2.5),
    Pair(1, Point(2)), Shape("s", Color.MIXED, [Point(number) for number in range(20)], Shape("inner")), Box(Box(Color.RED)),
    Money(5),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc), datetime.date(2024, 2, 29), datetime.time(12, 30),
    datetime.timedelta(hours=1), decimal.Decimal("1.50"), uuid.UUID(int=5), pathlib.PurePosixPath("a/b"), pathlib.Path("a"))
CONTAINERS: Tuple[Any, ...] = (
    [*VALUES], {"a": [*VALUES]}, [{"rows": [Point(number) for number in range(10)]}],
    [Shape(str(number)) for number in range(9)],
    {Color.RED, Color.MIXED}, frozenset((Point(1), Point(2))), {Color.RED: 1, Point(1): {Level.LOW: Money(1)}},
    [Priority.HIGH] * 9,
    {"x": [Pair(1)]}, [], {})


@api.expose
class Echo:
    """Returns its arguments, and keeps them."""

    def __init__(self) -> None:
        self.seen: List[Any] = []
        self._value: Any = None

    def echo(self, value: Any, **named: Any) -> Any:
        self.seen.append(value)
        return named or value

    def keep(self, value: Any) -> None:
        self.seen.append(value)

    async def later(self, value: Any) -> Any:
        return value

    def items(self, values: List[Any]) -> Iterator[Any]:
        yield from values

    def annotated(self, points: Dict[str, List[Point]], colors: FrozenSet[Color] = frozenset()) -> List[Point]:
        self.seen.append(points)
        return [point for each in points.values() for point in each]

    def fail(self, kind: str, value: Any) -> Any:
        if kind == "lab":
            raise LabError(7, "broken")
        if kind == "disk":
            raise DiskError(2, "missing", "file")
        try:
            raise KeyError(value)
        except KeyError as x:
            raise (ValueError(value, [value]) if kind == "args" else LabError(8, "caused")) from x

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value
