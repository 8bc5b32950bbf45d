"""Classes of attrs, pydantic and msgspec as registered types; each test runs where the package is installed."""
from __future__ import annotations

import datetime
import importlib
import importlib.util
import unittest
from typing import Any, Dict, List, Optional

from Pyro5 import api, serializers
from Pyro5._values import mismatch, rebuilding, registered_types
from tests.tagged_values import NAMES, Color, Point


def needs(package: str) -> Any:
    return unittest.skipIf(importlib.util.find_spec(package) is None, package + " is not installed")


class OtherPackages(unittest.TestCase):
    def register(self, *given: Any) -> None:
        before = set(registered_types.registered())
        api.register_types(Color, Point, "datetime", *given)
        for clazz in set(registered_types.registered()) - before:
            self.addCleanup(registered_types.unregister, clazz)

    def check(self, annotation: Any, value: Any) -> None:
        """Check that a value arrives in its tagged form, and is rebuilt from its plain form; alone and in a long list."""
        build: Any = rebuilding.builder_for(annotation)
        builds: Any = rebuilding.builder_for(List[annotation])
        for name in NAMES:
            plain, tagged = serializers.get_serializer(name), serializers.get_serializer(name).for_dialect(3)
            for sent in (value, [value] * 20, {"a": [value]}):
                with self.subTest(name, sent=sent):
                    found = tagged.loads(tagged.dumps(sent))
                    self.assertEqual((sent, type(sent)), (found, type(found)))
            self.assertEqual(value, build(plain.loads(plain.dumps(value))))
            self.assertEqual([value] * 20, builds(plain.loads(plain.dumps([value] * 20))))

    def refused(self, annotation: Any, value: Any) -> str:
        build: Any = rebuilding.builder_for(annotation)
        with self.assertRaises(mismatch.Mismatch) as caught:
            build(value)
        return str(caught.exception.described("it"))

    @needs("attr")
    def test_attrs(self) -> None:
        attr: Any = importlib.import_module("attr")

        @attr.s(auto_attribs=True)
        class Sample:
            _name: str
            points: List[Point] = attr.ib(factory=list)
            color: Color = attr.ib(default=Color.RED, kw_only=True)
            taken: Optional[datetime.date] = None
            total: int = attr.ib(init=False, default=0)

        @attr.s(auto_attribs=True, frozen=True, slots=True)
        class Frozen:
            x: int = attr.ib(validator=attr.validators.instance_of(int), converter=int)

        Sample.__annotations__.update(points=List[Point], color=Color, taken=Optional[datetime.date], _name=str, total=int)
        Frozen.__annotations__.update(x=int)
        self.register(Sample, Frozen)
        self.check(Sample, Sample("a", [Point(1)], color=Color.MIXED, taken=datetime.date(2024, 2, 29)))
        self.check(Frozen, Frozen(5))
        self.assertIn("it.points[0].x: expected int, found the str 'a'", self.refused(Sample, {"points": [{"x": "a"}]}))
        self.assertEqual("it: expected %s, found the dict {'y': 1}" % Frozen.__qualname__, self.refused(Frozen, {"y": 1}))

    @needs("pydantic")
    def test_pydantic(self) -> None:
        pydantic: Any = importlib.import_module("pydantic")

        class Inner(pydantic.BaseModel):  # type: ignore[misc, name-defined]
            sizes: list

        class Model(pydantic.BaseModel):  # type: ignore[misc, name-defined]
            name: str
            taken: datetime.datetime = datetime.datetime(2024, 2, 29)
            inner: Any = None

        self.register(Model, Inner)
        self.check(Model, Model(name="a"))
        self.check(Dict[str, Model], {"k": Model(name="a", taken=datetime.datetime(2024, 2, 29, 12, 30))})
        text = self.refused(Model, {"name": []})
        self.assertIn("it: expected %s, found the dict {'name': []} (1 validation error" % Model.__qualname__, text)

    @needs("msgspec")
    def test_msgspec(self) -> None:
        msgspec: Any = importlib.import_module("msgspec")
        Sample = msgspec.defstruct("Sample", [("name", str), ("points", List[Point], []), ("color", Color, Color.RED)])
        Keyed = msgspec.defstruct("Keyed", [("x", int), ("y", int)], kw_only=True, frozen=True)
        self.register(Sample, Keyed)
        self.check(Sample, Sample("a", [Point(1)], Color.MIXED))
        self.check(Keyed, Keyed(x=1, y=2))
        self.assertEqual("it.color: expected Color, found the int 9 (9 is not a valid Color)",
                         self.refused(Sample, {"name": "a", "color": 9}))


if __name__ == "__main__":
    unittest.main()
