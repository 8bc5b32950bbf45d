"""Access to exposed members: calling methods, reading and assigning attributes, and what is refused."""
from __future__ import annotations

import unittest
from typing import Any, AsyncIterator, Callable, Iterator, List

from Pyro5._objects.exposure import expose
from Pyro5._objects.members import (exposed_members, exposed_method, get_exposed_attribute, set_exposed_attribute,
                                    with_names)
from .test_exposure import Partly


class Access(unittest.TestCase):
    """Access to members by remote callers."""

    def setUp(self) -> None:
        self.thing = Partly()
        self.members = exposed_members(Partly)
        Partly.touched = False

    def refused(self, names: Iterator[str]) -> None:
        uses: List[Callable[[str], Any]] = [
            lambda name: exposed_method(self.thing, name, self.members),
            lambda name: get_exposed_attribute(self.thing, name, self.members),
            lambda name: set_exposed_attribute(self.thing, name, 5, self.members)]
        for name in names:
            for use in uses:
                with self.subTest(name), self.assertRaisesRegex(AttributeError, "'%s'" % name):
                    use(name)
        self.assertFalse(Partly.touched, "code behind an unexposed name was run")
        self.assertEqual(42, self.thing.plain_value)

    def test_methods(self) -> None:
        for name in self.members.methods - {"__len__"}:
            method = exposed_method(self.thing, name, self.members)
            args = [None] if name.endswith("_dispatch") else []
            self.assertEqual(name.split("_")[-1], method(*args))

    def test_attributes(self) -> None:
        self.assertEqual(1, get_exposed_attribute(self.thing, "read_only", self.members))
        self.assertEqual(4, get_exposed_attribute(self.thing, "outer_cached", self.members))
        self.assertEqual("int", exposed_method(self.thing, "outer_dispatch", self.members)(5))
        set_exposed_attribute(self.thing, "writable", 9, self.members)
        self.assertEqual(9, get_exposed_attribute(self.thing, "writable", self.members))
        with self.assertRaises(AttributeError):
            set_exposed_attribute(self.thing, "read_only", 9, self.members)

    def test_unexposed_names_are_refused(self) -> None:
        self.thing.__dict__.update(own=5, function=expose(lambda: "own"))
        self.refused(iter(["hidden", "hidden_static", "hidden_property", "hidden_cached", "hidden_dispatch", "__getitem__",
                           "plain_value", "touched", "unknown", "own", "function", "mro", ""]))

    def test_private_names_are_refused(self) -> None:
        self.refused(iter(["_private", "__private", "__init__", "__class__", "__dict__", "__reduce__", "__getattribute__"]))

    def test_private_names_of_exposed_methods_are_refused(self) -> None:
        class Aliasing(Partly):
            _alias = Partly.method
        self.thing, self.members = Aliasing(), exposed_members(Aliasing)
        self.refused(iter(["_alias"]))

    def test_a_method_is_no_attribute_and_an_attribute_no_method(self) -> None:
        with self.assertRaises(AttributeError):
            get_exposed_attribute(self.thing, "method", self.members)
        for name in ("read_only", "writable", "outer_cached"):
            with self.assertRaises(AttributeError):
                exposed_method(self.thing, name, self.members)

    def test_a_method_added_after_registration_can_be_called(self) -> None:
        class Growing:
            """Gets a member later."""
        members = exposed_members(Growing)
        Growing.late = expose(lambda self: "late")  # type: ignore[attr-defined]
        Growing.unmarked = lambda self: "late"  # type: ignore[attr-defined]
        self.assertEqual("late", exposed_method(Growing(), "late", members)())
        with self.assertRaises(AttributeError):
            exposed_method(Growing(), "unmarked", members)

    def test_getattr_of_the_class_is_not_called(self) -> None:
        class Greedy:
            def __getattr__(self, name: str) -> Any:
                raise AssertionError("asked for " + name)
        for name in ("anything", "_anything", "__anything__"):
            with self.assertRaises(AttributeError):
                exposed_method(Greedy(), name, exposed_members(Greedy))
            with self.assertRaises(AttributeError):
                get_exposed_attribute(Greedy(), name, exposed_members(Greedy))


class AsyncMethods(unittest.TestCase):
    def test_coroutine_functions_are_methods_without_a_direct_result(self) -> None:
        class Robot:
            @expose
            async def move(self) -> None:
                pass

            @expose
            async def frames(self) -> AsyncIterator[int]:
                yield 1

            @expose
            def stop(self) -> None:
                pass

            async def rest(self) -> None:
                pass

        for thing in (Robot, Robot()):
            members = exposed_members(thing)
            self.assertEqual({"move", "frames", "stop"}, members.methods)
            self.assertEqual({"frames", "stop"}, members.direct)
            members = with_names(thing, members, ["rest"])
            self.assertIn("rest", members.methods)
            self.assertNotIn("rest", members.direct)

    def test_unexposed_async_methods_are_allowed(self) -> None:
        class Robot:
            async def move(self) -> None:
                pass

            @expose
            def stop(self) -> None:
                pass

        self.assertEqual({"stop"}, exposed_members(Robot).methods)


if __name__ == "__main__":
    unittest.main()
