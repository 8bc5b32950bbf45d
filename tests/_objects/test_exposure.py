"""Which members are exposed: all kinds of members, with all decorators, and members that stay private."""
from __future__ import annotations

import functools
import gc
import sys
import threading
import unittest
import weakref
from typing import Any, Callable, List, Tuple

from Pyro5._objects import exposure
from Pyro5._objects.exposure import behavior, callback, expose, oneway
from Pyro5._objects.members import _members, exposed_members, forget_members, is_private_attribute

from ..rawclient import wait_until
from ..support import IS_FREE_THREADED


def members_of(thing: Any) -> Tuple[List[str], List[str], List[str]]:
    members = exposed_members(thing)
    return sorted(members.methods), sorted(members.attrs), sorted(members.writable)


class CallableThing:
    def __call__(self) -> None:
        """Do nothing: an instance is callable, but is not a method."""


class Partly:
    """Members that are exposed one by one. Reading a property that is not exposed would be noticed."""

    touched = False
    plain_value = 42

    @expose
    def method(self) -> str:
        return "method"

    def hidden(self) -> str:
        return "hidden"

    @staticmethod
    @expose
    def inner_static() -> str:
        return "static"

    @classmethod
    @expose
    def inner_class(cls) -> str:
        return "class"

    @staticmethod
    def hidden_static() -> str:
        return "hidden"

    @expose
    @property
    def read_only(self) -> int:
        return 1

    @expose
    @property
    def writable(self) -> int:
        return self.__dict__.get("value", 0)  # type: ignore[no-any-return]

    @writable.setter
    def writable(self, value: int) -> None:
        self.__dict__["value"] = value

    @property
    @expose
    def inner_property(self) -> int:
        return 2

    @expose
    @functools.cached_property
    def outer_cached(self) -> int:
        return 4

    @functools.cached_property
    @expose
    def inner_cached(self) -> int:
        return 5

    @functools.cached_property
    def hidden_cached(self) -> int:
        type(self).touched = True
        return 6

    @expose
    @functools.singledispatchmethod
    def outer_dispatch(self, value: object = None) -> str:
        return "dispatch"

    @outer_dispatch.register
    def _(self, value: int) -> str:
        return "int"

    @functools.singledispatchmethod
    @expose
    def inner_dispatch(self, value: object = None) -> str:
        return "dispatch"

    @functools.singledispatchmethod
    def hidden_dispatch(self, value: object = None) -> str:
        return "hidden"

    @property
    def hidden_property(self) -> int:
        type(self).touched = True
        return 3

    @expose
    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> int:
        return index


@expose
class Whole:
    public_value = 1

    def method(self) -> None:
        """Exposed."""

    @oneway
    def fire(self) -> None:
        """Exposed, and oneway."""

    @callback
    def called_back(self) -> None:
        """Exposed, and a callback."""

    @property
    def attribute(self) -> int:
        return 1

    @attribute.setter
    def attribute(self, value: int) -> None:
        """Writable."""

    @property
    def fixed(self) -> int:
        return 1

    @staticmethod
    def static() -> None:
        """Exposed."""

    @classmethod
    def of_class(cls) -> None:
        """Exposed."""

    def _private(self) -> None:
        """Out of reach."""

    def __mangled(self) -> None:
        """Out of reach."""

    def __len__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    class Inner:
        def method(self) -> None:
            """Not exposed: it has no decorator."""

    borrowed = len
    wrapped = functools.lru_cache()(lambda self: 1)
    instance = CallableThing()
    computed = functools.cached_property(lambda self: print)
    dispatched = functools.singledispatchmethod(lambda self, value: value)


class Members(unittest.TestCase):
    def test_single_members(self) -> None:
        self.assertEqual((["__len__", "inner_class", "inner_dispatch", "inner_static", "method", "outer_dispatch"],
                          ["inner_cached", "inner_property", "outer_cached", "read_only", "writable"], ["writable"]),
                         members_of(Partly))

    def test_whole_class(self) -> None:
        self.assertEqual((["__len__", "called_back", "fire", "method", "of_class", "static", "wrapped"],
                          ["attribute", "fixed"], ["attribute"]), members_of(Whole))
        self.assertEqual(({"fire"}, {"called_back"}), (exposed_members(Whole).oneway, exposed_members(Whole).callbacks))

    def test_classes_inside_are_not_exposed(self) -> None:
        self.assertEqual(([], [], []), members_of(Whole.Inner))

    def test_instances_have_the_members_of_their_class(self) -> None:
        instance = Partly()
        instance.extra = expose(lambda: 1)  # type: ignore[attr-defined]
        self.assertIs(exposed_members(Partly), exposed_members(instance))

    def test_nothing_is_exposed_without_a_decorator(self) -> None:
        for clazz in (object, int, dict, Exception, type, threading.Thread):
            self.assertEqual(([], [], []), members_of(clazz))

    def test_inherited_members(self) -> None:
        class Derived(Partly):
            def own(self) -> None:
                """Not marked."""
        self.assertEqual(members_of(Partly), members_of(Derived))

    def test_overriding_without_the_decorator_hides(self) -> None:
        class Derived(Whole):
            def method(self) -> None:
                """Not marked: an override needs its own decorator."""

            attribute = property(lambda self: 2)
            static = None  # type: ignore[assignment]
        methods, attrs, writable = members_of(Derived)
        self.assertEqual(["__len__", "called_back", "fire", "of_class", "wrapped"], methods)
        self.assertEqual((["fixed"], []), (attrs, writable))

    def test_overriding_with_the_decorator(self) -> None:
        @expose
        class Derived(Partly):
            def hidden(self) -> str:
                return "not hidden any more"

            @oneway
            def method(self) -> str:
                return ""
        self.assertIn("hidden", exposed_members(Derived).methods)
        self.assertEqual({"method"}, exposed_members(Derived).oneway)
        self.assertNotIn("hidden", exposed_members(Partly).methods)
        self.assertEqual(set(), exposed_members(Partly).oneway)

    def test_exposing_a_class_leaves_its_bases_alone(self) -> None:
        class Base:
            def base_method(self) -> None:
                """Not marked."""

        @expose
        class Derived(Base):
            def own(self) -> None:
                """Exposed."""
        self.assertEqual((["own"], [], []), members_of(Derived))
        self.assertEqual(([], [], []), members_of(Base))

    def test_a_library_class_exposed_by_a_call(self) -> None:
        class FromLibrary:
            def method(self) -> None:
                """A method of another library."""
        self.assertIs(FromLibrary, expose(FromLibrary))
        self.assertEqual(["method"], members_of(FromLibrary)[0])

    def test_a_setter_exposed_alone_exposes_the_property(self) -> None:
        def put(self: Any, value: int) -> None:
            """Exposed with its getter."""

        class Thing:
            value = property(lambda self: 1, expose(put))
        self.assertEqual(([], ["value"], ["value"]), members_of(Thing))

    def test_metadata(self) -> None:
        metadata = exposed_members(Whole).metadata()
        self.assertEqual({"methods", "oneway", "attrs"}, set(metadata))
        self.assertEqual(({"fire"}, {"attribute", "fixed"}), (metadata["oneway"], metadata["attrs"]))
        metadata["methods"].clear()
        self.assertTrue(exposed_members(Whole).methods)

    def test_the_cache_is_refreshed_when_asked(self) -> None:
        class Growing:
            """Gets a member later."""
        self.assertEqual(([], [], []), members_of(Growing))
        Growing.late = expose(lambda self: 1)  # type: ignore[attr-defined]
        self.assertEqual(([], [], []), members_of(Growing))
        forget_members(Growing())
        self.assertEqual((["late"], [], []), members_of(Growing))
        forget_members(int)  # never asked for

    @unittest.skipIf(IS_FREE_THREADED and sys.version_info < (3, 14),
                     "free-threaded Python 3.13 never frees classes, once a thread has been started")
    def test_classes_are_not_kept_alive(self) -> None:
        temporary = type("Temporary", (), {})
        self.assertIs(exposed_members(temporary), _members[temporary])
        find = weakref.ref(temporary)
        del temporary
        # Classes are part of cycles; free-threaded builds may need more than one collection.
        wait_until(lambda: gc.collect() >= 0 and find() is None, "the end of the class")


class Inheritance(unittest.TestCase):
    """An override has the roles of the member that it overrides, unless it is given others."""

    def test_roles(self) -> None:
        class Base:
            @expose(roles={"operator"})
            def move(self) -> None: ...

            @expose(roles={"service"})
            def stop(self) -> None: ...

            @expose(roles={"operator"})
            def home(self) -> None: ...

            @expose(roles={"operator"})
            @property
            def speed(self) -> int:
                return 1

        @expose
        class Opened(Base):
            def move(self) -> None: ...

            @expose(roles={"visitor"})
            def stop(self) -> None: ...

            @expose(roles=())
            def home(self) -> None: ...

            @property
            def speed(self) -> int:
                return 2

        class Mixin:
            @expose
            def stop(self) -> None: ...

        class Mixed(Mixin, Opened):
            """The roles are those of the next class that has some."""

        @expose(roles=["admin"])
        class Closed(Opened):
            def move(self) -> None: ...

            def home(self) -> None: ...

        operator, visitor = frozenset(["operator"]), frozenset(["visitor"])
        self.assertEqual({"move": operator, "stop": visitor, "speed": operator}, dict(exposed_members(Opened).roles))
        self.assertEqual({"move": operator, "stop": visitor, "speed": operator}, dict(exposed_members(Mixed).roles))
        self.assertEqual({"move": frozenset(["admin"]), "stop": visitor, "speed": operator, "home": frozenset(["admin"])},
                         dict(exposed_members(Closed).roles))
        self.assertEqual({"move", "stop", "home"}, exposed_members(Opened).methods)


class PrivateNames(unittest.TestCase):
    def test_names(self) -> None:
        private = ["_", "__", "___", "____", "_name", "__name", "_name_", "__name_", "_name__", "__init__", "__getattr__",
                   "__getattribute__", "__setattr__", "__class__", "__dir__", "__reduce__", "__call__", "__new__", "__del__",
                   "__module__", "__subclasshook__", "__enter__", "__exit__", "__str__", "__eq__", "__hash__", "__bool__"]
        public = ["name", "name_", "name__", "__len__", "__iter__", "__getitem__", "__contains__", "__custom__", "n", ""]
        self.assertEqual(private, [name for name in private + public if is_private_attribute(name)])

    def test_private_names_cannot_be_exposed(self) -> None:
        def method(self: Any) -> None:
            """Gets all kinds of names."""
        for name in ("_private", "__private", "__init__", "__class__"):
            method.__name__ = name
            members: List[Any] = [method, property(method), functools.cached_property(method),
                                  functools.singledispatchmethod(method), type(name, (), {})]
            for member in members:
                with self.subTest(name, member=member), self.assertRaisesRegex(AttributeError, name):
                    expose(member)


class Misuse(unittest.TestCase):
    def test_decorators_on_what_they_are_not_for(self) -> None:
        decorators: List[Callable[[Any], Any]] = [expose, oneway, callback]
        things: List[Any] = [5, "text", None, [], object(), CallableThing()]
        for decorator in decorators:
            for thing in things:
                with self.subTest(decorator=decorator, thing=thing), self.assertRaises(TypeError):
                    decorator(thing)
        for decorator in decorators[1:]:
            for thing in (Partly, functools.cached_property(lambda self: 1)):
                with self.subTest(decorator=decorator, thing=thing), self.assertRaises(TypeError):
                    decorator(thing)

    def test_expose_on_top_of_classmethod_and_staticmethod(self) -> None:
        for kind in (classmethod, staticmethod):
            with self.assertRaisesRegex(AttributeError, kind.__name__):
                expose(kind(lambda *args: 1))

    def test_members_that_cannot_be_marked_are_an_error(self) -> None:
        with self.assertRaises((TypeError, AttributeError)):
            expose(len)

    def test_decorators_return_their_argument(self) -> None:
        def method(self: Any) -> None:
            """Marked."""
        for marked in (method, property(method), functools.singledispatchmethod(method), functools.cached_property(method)):
            self.assertIs(marked, expose(marked))  # type: ignore[type-var]
        things: List[Any] = [method, staticmethod(method), classmethod(method), property(method)]
        for thing in things:
            self.assertIs(thing, oneway(thing))
            self.assertIs(thing, callback(thing))


class Behavior(unittest.TestCase):
    def test_modes(self) -> None:
        for mode in ("session", "single", "percall"):
            clazz = behavior(mode)(type("Clazz", (), {}))
            self.assertEqual((mode, None), exposure.instancing_of(clazz))
        self.assertEqual(("session", None), exposure.instancing_of(behavior()(type("Clazz", (), {}))))
        self.assertEqual(("session", None), exposure.instancing_of(Partly))

    def test_creator(self) -> None:
        def create(clazz: type) -> Any:
            return clazz()
        clazz = behavior(instance_mode="single", instance_creator=create)(type("Clazz", (), {}))
        self.assertEqual(("single", create), exposure.instancing_of(clazz))
        self.assertEqual(("single", create), exposure.instancing_of(type("Derived", (clazz,), {})))

    def test_misuse(self) -> None:
        with self.assertRaisesRegex(ValueError, "session, single, percall"):
            behavior("double")(Partly)  # type: ignore[arg-type]
        with self.assertRaisesRegex(SyntaxError, "parentheses"):
            behavior(Partly)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            behavior("single", 5)(Partly)  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "classes"):  # the first of two faults
            behavior("double")(len)  # type: ignore[arg-type]
        for thing in (5, lambda: 1, Partly()):
            with self.assertRaises(TypeError):
                behavior("single")(thing)


if __name__ == "__main__":
    unittest.main()
