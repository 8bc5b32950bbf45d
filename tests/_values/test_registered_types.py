"""Registered types: their plain forms, and how they are rebuilt from annotations."""
from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import importlib.util
import pathlib
import sys
import types
import typing
import unittest
import uuid
from typing import Any, Dict, FrozenSet, Generic, List, NamedTuple, NewType, Optional, Sequence, Set, Tuple, TypeVar, Union
from unittest import mock

from Pyro5 import api, errors, serializers
from Pyro5._values import classes, mismatch, rebuilding, registered_types
from Pyro5._values.annotations import hints_of

NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


class Color(enum.Enum):
    RED = 1
    MIXED = (1, 2)


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Level(str, enum.Enum):
    LOW = "low"


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    norm: float = dataclasses.field(init=False, default=0.0)


@dataclasses.dataclass
class Tree:
    name: str
    root: Optional[Point] = None
    children: List[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Left:
    inner: Optional[Union[Left, Right]]


@dataclasses.dataclass
class Right:
    inner: Optional[Union[Left, Right]]


@dataclasses.dataclass
class Numbers:
    numbers: Set[int]


class Pair(NamedTuple):
    left: int
    right: Optional[Point] = None


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __pyro_state__(self) -> Any:
        return [self.amount]

    @classmethod
    def __pyro_from_state__(cls, state: Any) -> Money:
        return cls(int(state[0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount


class Options(typing.TypedDict, total=False):
    point: Point


@dataclasses.dataclass
class Blob:
    data: bytes


@dataclasses.dataclass
class Positive:
    x: int

    def __post_init__(self) -> None:
        if self.x <= 0:
            raise ValueError("not positive")


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Crate(Generic[T]):
    contents: List[T]
    best: Optional[T]
    named: Dict[str, T]


class Attrs:
    """Looks like a class of attrs."""

    __attrs_attrs__ = (types.SimpleNamespace(name="_size", init=True), types.SimpleNamespace(name="area", init=False))
    __annotations__ = {"_size": Point}

    def __init__(self, size: Point) -> None:
        self._size, self.area = size, 0


class Struct:
    """Looks like a msgspec.Struct."""

    __struct_fields__ = ("point",)
    __annotations__ = {"point": Point}

    def __init__(self, point: Point) -> None:
        self.point = point


class Model:
    """Looks like a model of pydantic 2."""

    def __init__(self, size: int) -> None:
        self.size = size

    def model_dump(self, mode: str) -> Any:
        return {"size": self.size, "mode": mode}

    @classmethod
    def model_validate(cls, data: Any) -> Model:
        return cls(int(data["size"]))


Named = NewType("Named", Point)
Unresolvable = Any


def carried(name: str, value: Any) -> Any:
    serializer = serializers.get_serializer(name)
    return serializer.loads(serializer.dumps([value]))[0]


class RegisteredTypes(unittest.TestCase):
    def register(self, *given: Any) -> None:
        before = set(registered_types.registered())
        api.register_types(*given)
        for clazz in set(registered_types.registered()) - before:
            self.addCleanup(registered_types.unregister, clazz)

    def rebuild(self, annotation: Any, value: Any) -> Any:
        build = rebuilding.builder_for(annotation)
        assert build is not None
        return build(value)

    def refused(self, annotation: Any, value: Any) -> str:
        with self.assertRaises(mismatch.Mismatch) as caught:
            self.rebuild(annotation, value)
        return str(caught.exception.described("it"))


class PlainForms(RegisteredTypes):
    def test_every_shape_over_every_serializer(self) -> None:
        self.register(Color, Access, Level, Point, Tree, Pair, Money, Struct, Model)
        point = {"x": 1, "y": 2.5, "norm": 0.0}
        expected = ((Color.RED, 1), (Access.READ | Access.WRITE, 3), (Level.LOW, "low"), (Point(1, 2.5), point),
                    (Tree("oak", Point(1, 2.5)), {"name": "oak", "root": point, "children": []}), (Money(5), [5]),
                    (Struct(Point(1, 2.5)), {"point": point}), (Model(3), {"size": 3, "mode": "json"}))
        for name in NAMES:
            for value, plain in expected:
                with self.subTest(name, value=value):
                    self.assertEqual(plain, carried(name, value))
                    self.assertEqual({"a": plain}, carried(name, {"a": value}))
            self.assertEqual([1, point], list(carried(name, Pair(1, Point(1, 2.5)))))

    def test_groups(self) -> None:
        self.register("datetime", "decimal", "uuid", "path")
        utc = datetime.timezone.utc
        for name in NAMES:
            for value, plain in ((datetime.datetime(2024, 2, 29, 12, tzinfo=utc), "2024-02-29T12:00:00+00:00"),
                                 (datetime.date(2024, 2, 29), "2024-02-29"), (datetime.time(12, 30), "12:30:00"),
                                 (datetime.timedelta(minutes=1), 60.0), (decimal.Decimal("1.50"), "1.50"),
                                 (uuid.UUID(int=5), str(uuid.UUID(int=5))), (pathlib.PurePosixPath("a/b"), "a/b"),
                                 (pathlib.Path("x"), "x")):
                with self.subTest(name, value=value):
                    self.assertEqual(plain, carried(name, value))
                    if type(plain) is str:
                        self.assertEqual(value, self.rebuild(type(value), plain))
        self.assertEqual(datetime.timedelta(minutes=1), self.rebuild(datetime.timedelta, 60))
        self.assertEqual(datetime.datetime(2024, 1, 1, tzinfo=utc), self.rebuild(datetime.datetime, "2024-01-01T00:00:00Z"))

    def test_modules(self) -> None:
        module = types.ModuleType("lab")
        vars(module).update(Color=enum.Enum("Color", "RED", module="lab"), other=Point, number=5,  # type: ignore[misc]
                            Plain=type("Plain", (), {"__module__": "lab"}))
        self.register(module)
        self.assertTrue(registered_types.is_registered(module.Color))
        self.assertFalse(registered_types.is_registered(Point))

    def test_what_cannot_be_registered(self) -> None:
        for given in (object, 5, type("Plain", (), {}), None):
            with self.subTest(given), self.assertRaisesRegex(TypeError, "cannot register .*: it is not an enum"):
                api.register_types(given)  # type: ignore[arg-type]
        with self.assertRaisesRegex(ValueError, "unknown group of types 'dates'; choose from: datetime, "):
            api.register_types("dates")

    def test_a_converter_of_the_program_is_kept(self) -> None:
        api.register_class_to_dict(Point, lambda point: "a point")
        self.register(Point)
        self.assertEqual("a point", carried("serpent", Point(1)))
        self.assertTrue(classes.has_converter(Point))

    def test_packages_are_not_imported(self) -> None:
        names = ("attr", "attrs", "pydantic", "msgspec")
        with mock.patch.dict(sys.modules, dict.fromkeys(names)):  # type: ignore[dict-item]
            self.register(Attrs, Struct, Model)


class FastSerpent(RegisteredTypes):
    def test_the_text_is_that_of_the_library(self) -> None:
        self.register(Color, Access, Level, Point, Tree, Pair, Money, Blob, Box, "datetime", "decimal", "path")
        serializer = serializers.SerpentSerializer()
        tree = Tree("oak", Point(1, 2.5), [Tree("twig")])
        now = datetime.datetime(2024, 2, 29, 12, 30)
        for value in (Color.RED, Color.MIXED, Access.READ, Level.LOW, tree, [tree] * 30, Pair(1, Point(2)), (Money(5),),
                      {"a": [now, now.date(), now.time(), datetime.timedelta(1)]}, {1: decimal.Decimal("1.5")}, Blob(b"abc"),
                      Box({1, 2}), [pathlib.PurePosixPath("a"), "a'b\u2028"], Box(float("inf")), Box(uuid.UUID(int=5)),
                      Box({(1, 2): Color.RED}), Box(range), {"x": Point(1), "y": {"z": (Point(2),)}}):
            with self.subTest(value=value):
                try:
                    expected = serializer._encode_slowly(value)
                except Exception as x:
                    with self.assertRaises(type(x)):
                        serializer.dumps(value)
                else:
                    self.assertEqual(expected, serializer.dumps(value))

    def test_data_that_contains_itself(self) -> None:
        self.register(Box)
        box: Any = Box(None)
        box.content = [box]
        with self.assertRaises(ValueError):
            serializers.SerpentSerializer().dumps(box)

    def test_replacements_take_precedence(self) -> None:
        self.register(Point)

        class Replacing(serializers.SerpentSerializer):
            pass

        Replacing.register_type_replacement(Point, lambda point: "replaced")
        self.assertEqual(["replaced"], Replacing().loads(Replacing().dumps([Point(1)])))


class Rebuilding(RegisteredTypes):
    def test_what_was_sent_arrives(self) -> None:
        self.register(Color, Access, Level, Point, Tree, Pair, Money, Box)
        tree = Tree("oak", Point(1, 2.5), [Tree("twig")])
        for annotation, value in (
                (Color, Color.RED), (Color, Color.MIXED), (Access, Access.READ | Access.WRITE), (Level, Level.LOW),
                (Point, Point(1)), (Tree, tree), (Pair, Pair(1, Point(2))), (Money, Money(5)), (Named, Point(3)),
                (Box[Point], Box(Point(4))), (Optional[Tree], tree), (Optional[Tree], None), (List[Tree], [tree, tree]),
                (Sequence[Point], [Point(1)]), (Dict[str, Point], {"a": Point(1)}), (Tuple[Point, ...], (Point(1), Point(2))),
                (Tuple[int, Point], (1, Point(2))), (Union[Money, Point], Point(1)), (Union[Point, str], "text"),
                (Dict[str, List[Optional[Pair]]], {"a": [Pair(1), None]})):
            for name in NAMES:
                with self.subTest(name, annotation=annotation):
                    received = self.rebuild(annotation, carried(name, value))
                    self.assertEqual((value, type(value)), (received, type(received)))
        for annotation, name in ((Set[Color], "serpent"), (FrozenSet[Color], "serpent")):
            self.assertEqual({Color.RED}, self.rebuild(annotation, carried(name, {Color.RED})))

    def test_shapes_of_other_packages(self) -> None:
        self.register(Attrs, Struct, Model, Options, Point)
        self.assertEqual(Point(1), self.rebuild(Attrs, carried("json", Attrs(Point(1))))._size)
        self.assertEqual(Point(1), self.rebuild(Struct, carried("json", Struct(Point(1)))).point)
        self.assertEqual(3, self.rebuild(Model, carried("json", Model(3))).size)
        self.assertEqual({"point": Point(1)}, self.rebuild(Options, carried("json", {"point": Point(1)})))

    def test_bytes_in_a_registered_class(self) -> None:
        self.register(Blob)
        for name in NAMES:
            if name != "json":
                self.assertEqual(Blob(b"abc"), self.rebuild(Blob, carried(name, Blob(b"abc"))))

    def test_instances_are_accepted(self) -> None:
        self.register(Point)
        point = Point(1)
        self.assertIs(point, self.rebuild(Point, point))

    def test_annotations_without_registered_types_need_nothing(self) -> None:
        self.assertIsNone(rebuilding.builder_for(Point))
        self.register(Point)
        for annotation in (int, str, List[int], Optional[Dict[str, Any]], None, "Point", T, Tree):
            self.assertIsNone(rebuilding.builder_for(annotation))

    def test_mismatches_name_the_place_and_both_types(self) -> None:
        self.register(Color, Point, Tree, Pair, Money, "datetime", Options)
        proxy = api.Proxy("PYRO:object@localhost:55")
        for annotation, value, text in (
                (Point, 5, "it: expected Point, found the int 5"),
                (Point, {"x": "1"}, "it.x: expected int, found the str '1'"),
                (Point, {"x": 1, "z": 2}, "it: expected Point, found the dict {'x': 1, 'z': 2}"),
                (Point, None, "it: expected Point, found None"),
                (List[Point], [{"x": 1}, {"x": None}], "it[1].x: expected int, found None"),
                (Dict[str, Point], {"a": []}, "it[a]: expected Point, found the list []"),
                (Optional[Tree], {"name": "a", "root": {"x": []}}, "it.root.x: expected int, found the list []"),
                (Tuple[int, Point], [1], r"it: expected Tuple\[int, .*Point\], found the list \[1\]"),
                (Union[Point, Color], "x", r"it: expected (Union\[.*\]|.*Point \| .*Color), found the str 'x'"),
                (Pair, [1, 2], r"it\[1\]: expected ((Optional|Union)\[.*Point.*\]|.*Point \| None), found the int 2"),
                (Color, 7, r"it: expected Color, found the int 7 \(7 is not a valid .*Color\)"),
                (Money, [], "it: expected Money, found the list"),
                (datetime.datetime, "soon", "it: expected datetime, found the str 'soon'"),
                (Options, {"other": 1}, "it: expected Options, found the dict"),
                (Point, proxy, "it: expected Point, found an object of class Proxy"),
                (Color, proxy, "it: expected Color, found an object of class Proxy"),
                (Point, {"x": "1" * 1000000}, "it.x: expected int, found the str '1{60}'$")):
            with self.subTest(annotation, value=str(value)[:50]):
                self.assertRegex(self.refused(annotation, value), "^" + text.replace("[1].x", r"\[1\].x").replace(
                    "[a]", r"\[a\]").replace("list []", r"list \[\]"))

    def test_unions_of_unions_take_no_exponential_time(self) -> None:
        self.register(Left, Right)
        value: Any = {"inner": "wrong"}
        for _ in range(80):
            value = {"inner": value}
        self.assertIn("expected", self.refused(Union[Left, Right], value))
        for _ in range(5):
            self.assertIsInstance(self.rebuild(Union[Left, Right], {"inner": {"inner": None}}), Left)

    def test_deep_trees_take_no_exponential_time(self) -> None:
        self.register(Tree, Point)
        for width in (1, 10):
            value: Any = {"name": "leaf", "root": {"x": "wrong"}}
            for _ in range(40):
                value = {"name": "branch", "children": [value] + [{"name": "leaf", "children": []}] * (width - 1)}
            self.assertRegex(self.refused(Tree, value), r"^it(\.children\[0\]){40}\.root\.x: expected int, found the str")
            self.assertRegex(self.refused(List[Tree], [value] * 9), r"^it\[0\](\.children\[0\]){40}\.root\.x: expected int")

    def test_constructors_that_raise(self) -> None:
        self.register(Positive)
        values = [{"x": number} for number in (3, 2, 1, 0, -1)]
        self.assertEqual("it[3]: expected Positive, found the dict {'x': 0} (not positive)",
                         self.refused(List[Positive], values))
        self.assertEqual("it[1]: expected Positive, found None", self.refused(List[Positive], [values[0], None]))
        self.assertEqual([Positive(1), Positive(2)], self.rebuild(List[Positive], [Positive(1), {"x": 2}]))

    def test_keys_with_equal_hashes(self) -> None:
        self.register(Numbers, "decimal")
        flood = [number * sys.hash_info.modulus for number in range(2000)]
        for annotation, value in ((Numbers, {"numbers": flood}), (Set[decimal.Decimal], [str(each) for each in flood]),
                                  (Dict[decimal.Decimal, int], {str(each): 1 for each in flood})):
            with self.subTest(annotation), self.assertRaisesRegex((errors.SerializeError, TypeError), "same hash"):
                try:
                    self.rebuild(annotation, value)
                except mismatch.Mismatch as x:
                    raise x.described("it") from None

    def test_flags_that_do_not_exist(self) -> None:
        self.register(Access, Bits)
        for clazz in (Access, Bits):
            self.assertEqual(clazz(3), self.rebuild(clazz, 3))
            for value in (8, -1, 2**70, True, "1"):
                self.assertRegex(self.refused(clazz, value), "expected %s, found" % clazz.__name__)

    def test_annotations_that_cannot_be_evaluated(self) -> None:
        self.register(Point)

        def move(point: Point, speed: Missing) -> None:  # type: ignore[name-defined] # noqa: F821
            pass

        class Partly:
            point: Point
            other: Missing  # type: ignore[name-defined] # noqa: F821

        self.assertEqual({"point": Point}, {name: hint for name, hint in hints_of(move).items() if name != "return"})
        self.assertEqual({"point": Point}, hints_of(Partly))

        class Outer:
            class Inner:
                pass

            inner: Inner
            inners: List[Inner]
            other: Missing  # type: ignore[name-defined] # noqa: F821

        # not evaluated here: a class in a function, whose annotations are texts, is not found by its name
        found = hints_of(Outer)
        self.assertEqual({"inner": Outer.Inner, "inners": List[Outer.Inner]}, found)

    def test_a_function_of_another_module_in_a_wrapper(self) -> None:
        module = types.ModuleType("elsewhere")
        exec("from __future__ import annotations\nclass Local: pass\n"
             "def move(point: Local, speed: Missing): pass", vars(module))

        @functools.wraps(module.move)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return module.move(*args, **kwargs)

        self.assertEqual({"point": module.Local}, hints_of(wrapper))

    def test_annotations_that_raise(self) -> None:
        module = types.ModuleType("raising")
        text = "class Raising:\n  x: int\n  y: 'int().missing'\n  z: 'List[1 / 0]'"
        with mock.patch.dict(sys.modules, raising=module):
            exec(compile(text, "raising", "exec", dont_inherit=True), vars(module))
            self.assertEqual({"x": int}, hints_of(module.Raising))

    @unittest.skipUnless(sys.version_info >= (3, 14), "annotations are evaluated when they are read since Python 3.14")
    def test_deferred_annotations(self) -> None:
        module = types.ModuleType("deferred")
        text = ("from typing import List\nclass Deferred:\n  later: Later\n  many: List[Later]\n  never: Missing\n"
                "def move(point: Later, speed: Missing): pass\nclass Later: pass")
        exec(compile(text, "deferred", "exec", dont_inherit=True), vars(module))
        later = module.Later
        self.assertEqual({"later": later, "many": List[later]}, hints_of(module.Deferred))
        self.assertEqual({"point": later}, hints_of(module.move))

    def test_generic_classes_with_containers_of_their_parameters(self) -> None:
        self.register(Point, Crate)
        value = {"contents": [{"x": 1}], "best": {"x": 2}, "named": {"a": {"x": 3}}}
        self.assertEqual(Crate([Point(1)], Point(2), {"a": Point(3)}), self.rebuild(Crate[Point], value))
        self.assertEqual("it.contents[0].x: expected int, found the str 'a'",
                         self.refused(Crate[Point], {**value, "contents": [{"x": "a"}]}))
        self.assertEqual(Crate([1], 2, {}), self.rebuild(Crate, {"contents": [1], "best": 2, "named": {}}))


if __name__ == "__main__":
    unittest.main()
