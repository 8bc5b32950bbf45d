"""Values that programs send: kin of int, float and str, circular data, proxies of other clients, odd dicts."""
from __future__ import annotations

import enum
import unittest
from typing import Any, Dict, List

from Pyro5 import api, errors
from Pyro5.serializers import serializers

from ..support import PROJECT, daemon_thread
from ..test_init import InDirectory, run_python

NAMES = ("serpent", "json", "marshal", "msgpack")


class Reading(float):
    """Like numpy.float64: a float whose repr is no number."""

    def __repr__(self) -> str:
        return "Reading(...)"

    __str__ = __repr__


class Count(int):
    def __repr__(self) -> str:
        return "Count(...)"

    __str__ = __repr__


class Label(str):
    def __repr__(self) -> str:
        return "Label(...)"


class Level(enum.IntEnum):
    LOW = 3


class Attributes(Dict[str, Any]):
    """A dict whose items are attributes: it has an attribute of any name."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, "no such item")


@api.expose
class Lab:
    def echo(self, value: Any) -> Any:
        return value

    def readings(self) -> List[Any]:
        return [Reading(1.5), Count(7), Label("x"), {"k": Reading(0.25), "key": (Count(1),)}]

    def attributes(self) -> List[Any]:
        return [Attributes(a=1), {"k": Attributes(b=2)}]

    def fail(self) -> None:
        class LabError(Exception):
            pass

        raise LabError("no gas", 5)


class LabTestCase(unittest.TestCase):
    def setUp(self) -> None:
        daemon = api.Daemon(host="127.0.0.1")
        self.uri = daemon.register(Lab(), "lab")
        context = daemon_thread(daemon)
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def proxies(self) -> Any:
        for name in NAMES:
            with self.subTest(name), api.Proxy(self.uri) as proxy:
                proxy._pyroSerializer = name
                yield proxy


class KinOfBuiltins(LabTestCase):
    def check(self, expected: Any, value: Any) -> None:
        self.assertEqual(expected, value)
        self.assertIs(type(expected), type(value))

    def test_results(self) -> None:
        for proxy in self.proxies():
            reading, count, label, inside = proxy.readings()
            self.check(1.5, reading)
            self.check(7, count)
            self.check("x", label)
            self.check(0.25, inside["k"])
            self.assertEqual([1], list(inside["key"]))

    def test_arguments(self) -> None:
        for proxy in self.proxies():
            for value, expected in ((Reading(2.5), 2.5), (Count(1 << 70), 1 << 70), (Label("\u00e4"), "\u00e4"),
                                    (Level.LOW, 3)):
                if expected == 1 << 70 and proxy._pyroSerializer == "msgpack":
                    continue  # msgpack has no form for so large a number, of whatever class
                self.check(expected, proxy.echo(value))
                self.check(expected, proxy.echo([value])[0])

    def test_special_numbers(self) -> None:
        for proxy in self.proxies():
            self.assertEqual(float("inf"), proxy.echo(Reading("inf")))
            self.assertNotEqual(*[proxy.echo(Reading("nan"))] * 2)

    def test_converters_come_first(self) -> None:
        api.register_class_to_dict(Reading, lambda reading: {"reading": float(reading)})
        self.addCleanup(api.unregister_class_to_dict, Reading)
        for proxy in self.proxies():
            if proxy._pyroSerializer not in ("json", "msgpack"):  # their libraries write kin of float themselves
                self.assertEqual({"reading": 1.5}, proxy.echo(Reading(1.5)))


class DictsWithAttributes(LabTestCase):
    def test_nothing_is_asked_of_them(self) -> None:
        for proxy in self.proxies():
            if proxy._pyroSerializer != "marshal":  # it takes no subclasses of dict
                self.assertEqual([{"a": 1}, {"k": {"b": 2}}], proxy.attributes())
                self.assertEqual([{"c": 3}], proxy.echo([Attributes(c=3)]))


class UnknownExceptions(LabTestCase):
    def test_are_caught_as_in_earlier_releases(self) -> None:
        for proxy in self.proxies():
            for kind in (errors.SerializeError, errors.ProtocolError, errors.CommunicationError, errors.PyroError):
                with self.assertRaisesRegex(kind, "LabError") as caught:
                    proxy.fail()
            self.assertEqual(["no gas", 5], list(caught.exception.remote_args))
            self.assertIsNotNone(proxy._pyroConnection)


class CircularData(unittest.TestCase):
    def test_is_a_value_error(self) -> None:
        for name in NAMES:
            for inside in (42, api.Proxy("PYRO:x@y:1"), Reading(1.0)):
                circular: List[Any] = [inside]
                circular.append({"again": circular})
                if name == "marshal" and inside == 42:
                    continue  # the format itself can do that
                with self.subTest(name, inside=inside), self.assertRaises(ValueError):
                    serializers[name].dumps(circular)

    def test_of_instances_is_a_value_error_too(self) -> None:
        class Node:
            pass

        node: Any = Node()
        node.parent = {"nodes": [node]}
        for name in NAMES:
            for value in (node, [1, node], {"a": (node,)}):
                with self.subTest(name), self.assertRaises(ValueError):
                    serializers[name].dumps(value)

    def test_the_same_object_twice_is_not_circular(self) -> None:
        twice = [api.URI("PYRO:x@y:1")]
        for name in NAMES:
            for value in (twice, twice[0]):
                first, second = serializers[name].loads(serializers[name].dumps([value, value]))
                self.assertEqual(first, second)


class SerializersAlone(InDirectory):
    def test_know_proxies_and_uris(self) -> None:
        state = "('PYRO:o@h:5', (), {'hi'}, (), 0.0, None, 0)"  # with a seventh entry, as the client for Java sends it
        program = ("from Pyro5.serializers import serializers\n"
                   "proxy = serializers['serpent'].loads(b\"{'__class__': 'Pyro5.client.Proxy', 'state': %s}\")\n"
                   "print(type(proxy).__name__, proxy._pyroUri, proxy._pyroMethods)\n"
                   "data = b'{\"__class__\": \"Pyro5.core.URI\", \"state\": [\"PYRO\", \"o\", null, \"h\", 5]}'\n"
                   "print(serializers['json'].loads(data))" % state)
        done = run_python(program, self.directory, PYTHONPATH=PROJECT)
        self.assertEqual(("Proxy PYRO:o@h:5 {'hi'}\nPYRO:o@h:5\n", ""), (done.stdout, done.stderr))


if __name__ == "__main__":
    unittest.main()
