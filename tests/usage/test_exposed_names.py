"""Objects whose class cannot be marked with @expose: written in C, or by others."""
from __future__ import annotations

import array
import collections
import threading
import unittest
from typing import Any

from Pyro5.api import Daemon, Proxy, expose

from ..support import daemon_thread


class Motor:
    """A class of a library."""

    limit = 100

    def __init__(self) -> None:
        self.position = 0
        self.speed = 1

    def move(self, steps: int) -> int:
        self.position += steps
        return self.position

    def _calibrate(self) -> None:
        raise AssertionError("called")

    @property
    def half(self) -> float:
        return self.position / 2

    @half.setter
    def half(self, value: float) -> None:
        self.position = int(2 * value)

    @property
    def fixed(self) -> int:
        return 1

    @staticmethod
    def add(a: int, b: int) -> int:
        return a + b


class Delegating:
    """Has names that only its __getattr__ knows."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: (name, args)


class ExposedNames(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon("127.0.0.1")
        running = daemon_thread(self.daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def proxy(self, thing: Any, *args: Any, **kwargs: Any) -> Any:
        proxy = Proxy(self.daemon.register(thing, *args, **kwargs))
        self.addCleanup(proxy._pyroRelease)
        proxy._pyroBind()
        return proxy

    def test_methods_and_attributes(self) -> None:
        proxy = self.proxy(Motor(), expose=["move", "add", "half", "fixed", "position", "limit"])
        self.assertEqual({"move", "add"}, proxy._pyroMethods)
        self.assertEqual({"half", "fixed", "position", "limit"}, proxy._pyroAttrs)
        self.assertEqual((4, 5), (proxy.move(4), proxy.add(2, 3)))
        proxy.half = 10
        self.assertEqual([20, 10, 1, 100], [proxy.position, proxy.half, proxy.fixed, proxy.limit])
        for name in ("fixed", "position", "limit"):
            with self.assertRaises(AttributeError):
                setattr(proxy, name, 5)
        for name in ("speed", "_calibrate"):
            with self.assertRaises(AttributeError):
                proxy._pyroInvoke("__getattr__", (name,), None)
            with self.assertRaises(AttributeError):
                proxy._pyroInvoke(name, (), {})

    def test_classes(self) -> None:
        proxy = self.proxy(Motor, expose=("move", "half"))
        self.addCleanup(self.daemon.unregister, Motor)
        self.assertEqual([3, 1.5], [proxy.move(3), proxy.half])
        with self.assertRaises(AttributeError):
            self.proxy(Motor, "other", force=True, expose=["position"])  # only its instances have it

    def test_other_registrations_of_the_class_expose_nothing_more(self) -> None:
        self.proxy(Motor(), expose=["move"])
        with self.assertRaisesRegex(Exception, "expose"):
            self.proxy(Motor())

    def test_besides_what_is_marked(self) -> None:
        class Marked(Motor):
            @expose
            def stop(self) -> None:
                """Marked."""

        thing = Marked()
        proxy = self.proxy(thing, "id", expose=["move"])
        self.assertEqual({"stop", "move"}, proxy._pyroMethods)
        self.daemon.resetMetadataCache("id")
        proxy._pyroGetMetadata()
        self.assertEqual({"stop", "move"}, proxy._pyroMethods)

    def test_objects_that_take_no_marks(self) -> None:
        values = collections.deque([1, 2])
        proxy = self.proxy(values, "deque", expose=["append", "popleft", "__len__", "maxlen"])
        proxy.append(3)
        self.assertEqual((1, 2, None), (proxy.popleft(), len(proxy), proxy.maxlen))
        with self.assertRaises(AttributeError):
            proxy.maxlen = 5
        self.assertEqual("deque", self.daemon.uriFor(values).object)
        self.daemon.unregister(values)
        self.assertNotIn("deque", self.daemon.objectsById)
        with self.assertRaises(TypeError):
            self.daemon.register(values)

    def test_they_travel_as_proxies(self) -> None:
        class Holder:
            def __init__(self) -> None:
                self.lock = threading.Lock()

            @expose
            def get(self) -> Any:
                return self.lock

        holder = Holder()
        self.daemon.register(holder.lock, expose=["acquire", "release", "locked"])
        with self.proxy(holder).get() as lock:
            self.assertTrue(lock.acquire())
            self.assertTrue(holder.lock.locked())
            lock.release()
            self.assertFalse(lock.locked())

    def test_weak_ones(self) -> None:
        values = array.array("i", [3])
        self.daemon.register(values, "weak", weak=True, expose=["count"])
        with Proxy(self.daemon.uriFor("weak")) as proxy:
            self.assertEqual(1, proxy.count(3))
        del values
        self.assertNotIn("weak", self.daemon.objectsById)

    def test_names_that_are_found_dynamically(self) -> None:
        self.assertEqual(["run", [1]], [list(each) if isinstance(each, tuple) else each
                                        for each in self.proxy(Delegating(), expose=["run"]).run(1)])

    def test_names_that_cannot_be_exposed(self) -> None:
        for name in ("_calibrate", "__init__", "__class__", "missing"):
            with self.subTest(name), self.assertRaises(AttributeError):
                self.daemon.register(Motor(), "motor", expose=[name])
            self.assertNotIn("motor", self.daemon.objectsById)
        with self.assertRaisesRegex(TypeError, "list of names"):
            self.daemon.register(Motor(), expose="move")


if __name__ == "__main__":
    unittest.main()
