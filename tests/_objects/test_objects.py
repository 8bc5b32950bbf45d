"""Registered objects of a daemon: ids, marks, weak registrations, and instances of registered classes."""
from __future__ import annotations

import gc
import threading
import unittest
from typing import Any, Dict, List, Set

from Pyro5 import errors
from Pyro5._objects import marks
from Pyro5._objects.exposure import behavior, expose
from Pyro5._objects.marks import id_of
from Pyro5._objects.objects import ObjectTable

PATIENCE_SECONDS = 60.0


@expose
class Thing:
    def method(self) -> str:
        return "method"


class Slotted:
    __slots__ = ("_pyroId", "_pyroDaemon")


class SlottedDerived(Slotted):
    """Has a dict, too; the marks are in the slots of its base class."""


class Rigid:
    __slots__ = ()


class Unequal:
    """Raises when it is compared, hashed or tested: registering does not need any of these."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __bool__(self) -> bool:
        raise AssertionError("tested")

    __hash__ = None  # type: ignore[assignment]


class Connection:
    """The attributes of a connection that instances need."""

    def __init__(self) -> None:
        self.pyroInstances: Dict[type, Any] = {}
        self.tracked_resources: Set[Any] = set()


def target(table: ObjectTable, object_id: str) -> Any:
    return table.get(object_id).instance_for(Connection())


def remove_all(table: ObjectTable) -> None:
    for object_id in table.ids():
        table.remove(object_id)


class Registration(unittest.TestCase):
    def setUp(self) -> None:
        self.owner = object()
        self.table = ObjectTable(self.owner)

    def check_marks(self, thing: Any, object_id: Any) -> None:
        self.assertEqual(object_id, id_of(thing))
        if object_id is None:
            self.assertFalse(hasattr(thing, "_pyroId") or hasattr(thing, "_pyroDaemon"))
        else:
            self.assertEqual((object_id, self.owner), (thing._pyroId, thing._pyroDaemon))

    def test_given_and_generated_ids(self) -> None:
        thing, other = Thing(), Thing()
        self.assertEqual("my id", self.table.add(thing, "my id"))
        generated = self.table.add(other)
        self.assertRegex(generated, "^obj_[0-9a-f]{32}$")
        self.assertEqual(["my id", generated], self.table.ids())
        self.check_marks(thing, "my id")
        self.check_marks(other, generated)
        self.assertIs(thing, target(self.table, "my id"))
        self.assertTrue("my id" in self.table)

    def test_ids_must_be_text(self) -> None:
        bad: List[Any] = [5, b"id", ["id"], Thing()]
        for object_id in bad:
            with self.assertRaises(TypeError):
                self.table.add(Thing(), object_id)
        self.assertEqual([], self.table.ids())

    def test_unknown_ids(self) -> None:
        strange: List[Any] = ["unknown", "", None, 5, ["list"], {"a": 1}]
        for object_id in strange:
            with self.subTest(object_id=object_id), self.assertRaises(errors.DaemonError):
                self.table.get(object_id)
        with self.assertRaisesRegex(errors.DaemonError, "the-name"):
            self.table.get("the-name")

    def test_an_id_in_use_is_refused(self) -> None:
        first, second = Thing(), Thing()
        self.table.add(first, "id")
        with self.assertRaisesRegex(errors.DaemonError, "'id'"):
            self.table.add(second, "id")
        self.check_marks(second, None)
        self.table.add(second, "id", force=True)
        self.check_marks(first, None)
        self.check_marks(second, "id")
        self.assertIs(second, target(self.table, "id"))

    def test_an_id_is_in_use_while_its_object_is_replaced(self) -> None:
        class Kept(Dict[str, Any]):
            def __delitem__(self, key: str) -> None:
                raise AssertionError("calls that come now find nothing")

        self.table.by_id = Kept()
        for thing in (Thing(), Thing(), Thing):
            self.table.add(thing, "id", force=True)
            self.table.add(thing, "id", force=True)
            self.assertEqual("id", self.table.id_of(thing))
        self.addCleanup(marks.remove_marks, Thing)

    def test_an_object_is_published_once(self) -> None:
        thing = Thing()
        self.table.add(thing, "id")
        with self.assertRaisesRegex(errors.DaemonError, "already registered.*'id'"):
            self.table.add(thing, "other")
        self.assertEqual(["id"], self.table.ids())
        self.table.add(thing, "other", force=True)
        self.check_marks(thing, "other")
        self.table.add(thing, "other", force=True)
        self.check_marks(thing, "other")
        self.assertIs(thing, target(self.table, "other"))
        self.table.remove("id")
        self.check_marks(thing, "other")

    def test_the_mark_of_a_class_is_not_that_of_its_instances(self) -> None:
        clazz = type("Clazz", (), {})
        derived, instance = type("Derived", (clazz,), {}), clazz()
        self.table.add(clazz, "class")
        self.assertEqual([None, None], [id_of(derived), id_of(instance)])
        self.table.add(instance, "instance")
        self.table.add(derived, "derived")
        self.table.remove(instance)
        self.assertEqual(["class", "derived"], self.table.ids())
        self.check_marks(clazz, "class")

    def test_removing(self) -> None:
        things = [Thing(), Thing(), Slotted(), SlottedDerived(), type("Clazz", (), {})]
        for how in (lambda thing: thing, id_of):
            for thing in things:
                with self.subTest(thing=thing, how=how):
                    self.table.add(thing, "id")
                    self.check_marks(thing, "id")
                    self.table.remove(how(thing))
                    self.check_marks(thing, None)
                    self.assertEqual([], self.table.ids())

    def test_removing_an_unregistered_object(self) -> None:
        thing = Thing()
        self.table.add(thing, "id")
        self.table.remove("unknown")
        self.table.remove(Thing())
        self.table.remove(5)
        self.assertEqual(["id"], self.table.ids())
        with self.assertRaises(ValueError):
            self.table.remove(None)

    def test_removing_keeps_the_same_id_of_another_table(self) -> None:
        mine, other = Thing(), Thing()
        self.table.add(mine, "id")
        ObjectTable(object()).add(other, "id")
        self.table.remove(other)
        self.assertEqual(["id"], self.table.ids())

    def test_the_marks_of_another_table_stay(self) -> None:
        thing, elsewhere = Thing(), ObjectTable(object())
        self.table.add(thing, "id")
        elsewhere.add(thing, "id", force=True)
        remove_all(self.table)
        self.assertEqual("id", id_of(thing))
        remove_all(elsewhere)
        self.check_marks(thing, None)

    def test_slots(self) -> None:
        for thing in (Slotted(), SlottedDerived()):
            self.table.add(thing, "slotted")
            self.check_marks(thing, "slotted")
            with self.assertRaises(errors.DaemonError):
                self.table.add(thing, "again")
            self.table.remove(thing)

    def test_objects_that_take_no_marks(self) -> None:
        bad: List[Any] = [Rigid(), 5, "text", [], object(), len, int]
        for thing in bad:
            with self.subTest(thing=thing), self.assertRaisesRegex(TypeError, "_pyroId"):
                self.table.add(thing, "id")
            self.assertEqual([], self.table.ids())

    def test_objects_are_not_compared(self) -> None:
        thing = Unequal()
        self.table.instances.single[Thing] = Thing()
        self.table.add(thing, "id")
        self.table.add(thing, "id", force=True)
        self.assertIs(thing, target(self.table, "id"))
        self.table.remove(thing)
        self.assertEqual([], self.table.ids())

    def test_removing_all(self) -> None:
        things = [Thing() for _ in range(3)]
        for thing in things:
            self.table.add(thing)
        remove_all(self.table)
        self.assertEqual([], self.table.ids())
        for thing in things:
            self.check_marks(thing, None)

    def test_members(self) -> None:
        @expose
        class Growing:
            def first(self) -> None:
                """There from the beginning."""
        thing = Growing()
        self.table.add(thing, "id")
        self.assertEqual({"first"}, self.table.get("id").members.methods)
        Growing.second = expose(lambda self: 1)  # type: ignore[attr-defined]
        self.assertEqual({"first"}, self.table.get("id").members.methods)
        self.table.get("id").refresh_members()
        self.assertEqual({"first", "second"}, self.table.get("id").members.methods)

    def test_from_many_threads(self) -> None:
        things = [Thing() for _ in range(200)]
        start = threading.Barrier(4)

        def work(mine: List[Thing]) -> None:
            start.wait(PATIENCE_SECONDS)
            for thing in mine:
                self.table.add(thing)
                self.table.ids()
            for thing in mine[::2]:
                self.table.remove(thing)
        threads = [threading.Thread(target=work, args=(things[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual({id_of(thing) for thing in things} - {None}, set(self.table.ids()))
        self.assertEqual(100, len(self.table.ids()))


class WeakRegistration(unittest.TestCase):
    def setUp(self) -> None:
        self.table = ObjectTable(None)

    def test_removed_when_garbage_collected(self) -> None:
        thing = Thing()
        self.table.add(thing, "id", weak=True)
        self.assertIs(thing, target(self.table, "id"))
        del thing
        gc.collect()
        self.assertFalse("id" in self.table)
        with self.assertRaises(errors.DaemonError):
            self.table.get("id")

    def test_collected_during_a_call(self) -> None:
        thing = Thing()
        self.table.add(thing, "id", weak=True)
        published = self.table.get("id")
        del thing
        gc.collect()
        with self.assertRaisesRegex(errors.DaemonError, "'id'"):
            published.instance_for(Connection())

    def test_a_reused_id_stays(self) -> None:
        for new in (Thing(), Thing()):
            thing = Thing()
            self.table.add(thing, "id", weak=True)
            self.table.add(new, "id", force=True)
            del thing
            gc.collect()
            self.assertIs(new, target(self.table, "id"))
            self.table.remove(new)

    def test_unregistered_first(self) -> None:
        thing = Thing()
        self.table.add(thing, "id", weak=True)
        self.table.remove(thing)
        self.table.add(Thing(), "id")
        del thing
        gc.collect()
        self.assertTrue("id" in self.table)

    def test_registered_strongly_afterwards(self) -> None:
        thing = Thing()
        self.table.add(thing, "id", weak=True)
        self.table.add(thing, "id", force=True)
        del thing
        gc.collect()
        self.assertTrue("id" in self.table)

    def test_objects_that_take_no_weak_reference(self) -> None:
        with self.assertRaises(TypeError):
            self.table.add(Slotted(), "id", weak=True)
        self.assertEqual([], self.table.ids())


class Instances(unittest.TestCase):
    def setUp(self) -> None:
        self.table = ObjectTable(None)

    def publish(self, mode: str, creator: Any = None) -> Any:
        clazz = behavior(mode, creator)(type("Clazz", (), {}))
        self.table.add(clazz, "id")
        return self.table.get("id")

    def test_session(self) -> None:
        published, here, there = self.publish("session"), Connection(), Connection()
        instance = published.instance_for(here)
        self.assertIs(instance, published.instance_for(here))
        self.assertIsNot(instance, published.instance_for(there))

    def test_session_is_the_default(self) -> None:
        self.table.add(Thing, "id")
        self.addCleanup(remove_all, self.table)
        here = Connection()
        instance = self.table.get("id").instance_for(here)
        self.assertIs(Thing, type(instance))
        self.assertIs(instance, self.table.get("id").instance_for(here))

    def test_single(self) -> None:
        published = self.publish("single")
        self.assertIs(published.instance_for(Connection()), published.instance_for(Connection()))

    def test_percall(self) -> None:
        published, here = self.publish("percall"), Connection()
        self.assertIsNot(published.instance_for(here), published.instance_for(here))

    def test_an_instance_that_is_false_is_created_once(self) -> None:
        for mode in ("session", "single"):
            clazz = behavior(mode)(type("Empty", (), {"__len__": lambda self: 0}))
            self.table.add(clazz, "id", force=True)
            published, here = self.table.get("id"), Connection()
            self.assertIs(published.instance_for(here), published.instance_for(here))

    def test_creators(self) -> None:
        made: List[type] = []

        def create(clazz: type) -> Any:
            made.append(clazz)
            return clazz()
        for mode, expected in (("session", 1), ("single", 1), ("percall", 2)):
            published, here = self.publish(mode, create), Connection()
            first, second = published.instance_for(here), published.instance_for(here)
            self.assertEqual(expected == 1, first is second)
            self.assertEqual([published.target] * expected, made)
            made.clear()
            remove_all(self.table)

    def test_creators_that_return_another_type(self) -> None:
        for wrong in (None, 5, Thing(), Thing):
            for mode in ("session", "single", "percall"):
                published, here = self.publish(mode, lambda clazz, wrong=wrong: wrong), Connection()
                for _ in range(2):
                    with self.assertRaisesRegex(TypeError, "Clazz"):
                        published.instance_for(here)
                remove_all(self.table)

    def test_creators_may_return_an_instance_of_a_subclass(self) -> None:
        published = self.publish("single", lambda clazz: type("Derived", (clazz,), {})())
        self.assertEqual("Derived", type(published.instance_for(Connection())).__name__)

    def test_creators_that_raise_are_called_again(self) -> None:
        for mode in ("session", "single", "percall"):
            answers: List[Any] = [ZeroDivisionError("not yet"), None]

            def create(clazz: type, answers: List[Any] = answers) -> Any:
                answer = answers.pop(0)
                if answer is not None:
                    raise answer
                return clazz()
            published, here = self.publish(mode, create), Connection()
            with self.assertRaises(ZeroDivisionError):
                published.instance_for(here)
            self.assertIsInstance(published.instance_for(here), published.target)
            remove_all(self.table)

    def test_a_slow_single_constructor_runs_once_and_delays_only_its_class(self) -> None:
        started, go_on = threading.Event(), threading.Event()

        def create(clazz: type) -> Any:
            started.set()
            self.assertTrue(go_on.wait(PATIENCE_SECONDS))
            return clazz()
        slow = self.publish("single", create)
        quick = behavior("single")(type("Quick", (), {}))
        made: List[Any] = []
        threads = [threading.Thread(target=lambda: made.append(slow.instance_for(Connection()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertTrue(started.wait(PATIENCE_SECONDS))
        self.table.add(quick, "quick")
        self.assertIsInstance(target(self.table, "quick"), quick)
        self.assertEqual([], made)
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual((4, 1), (len(made), len(set(map(id, made)))))


if __name__ == "__main__":
    unittest.main()
