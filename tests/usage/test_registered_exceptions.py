"""Exceptions of programs that both sides, or only the client, have registered: what arrives of them."""
from __future__ import annotations

import unittest
from typing import Any, Callable, Dict

from Pyro5 import api, errors, serializers

from ..support import daemon_thread

Data = Dict[str, Any]
TAG = "laboratory.Overheated"


class Overheated(Exception):
    """Has arguments of its own: it cannot be built of ``args`` alone."""

    def __init__(self, sensor: str, kelvin: float) -> None:
        super().__init__("%s: %g K" % (sensor, kelvin))
        self.sensor = sensor
        self.kelvin = kelvin


class Tripped(Overheated):
    """A subclass, which nothing is registered for."""


@api.expose
class Oven:
    def heat(self, clazz: str = "Overheated") -> None:
        error: Any = {"Overheated": Overheated, "Tripped": Tripped}[clazz]("top", 455.5)
        error.operator = "smith"
        raise error

    def passed_as_a_value(self) -> Any:
        return [Overheated("top", 455.5)]


def build(tag: str, data: Data) -> Overheated:
    return Overheated("rebuilt", 0.5)


class RegisteredTestCase(unittest.TestCase):
    def setUp(self) -> None:
        logged = self.assertLogs("Pyro5", "WARNING")
        logged.__enter__()
        self.addCleanup(logged.__exit__, None, None, None)
        daemon = api.Daemon(host="127.0.0.1")
        self.proxy: Any = api.Proxy(daemon.register(Oven()))
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.addCleanup(self.proxy._pyroRelease)

    def read_by(self, converter: Callable[[str, Data], Any], tag: str = TAG) -> None:
        api.register_dict_to_class(tag, converter)
        self.addCleanup(api.unregister_dict_to_class, tag)

    def written_by(self, converter: Callable[[Any], Data]) -> None:
        api.register_class_to_dict(Overheated, converter)
        self.addCleanup(api.unregister_class_to_dict, Overheated)

    def raised(self, *args: Any) -> Overheated:
        with self.assertRaises(Overheated) as caught:
            self.proxy.heat(*args)
        return caught.exception

    def with_each_serializer(self, check: Callable[[], None]) -> None:
        for name in sorted(serializers.serializers):
            with self.subTest(name):
                self.proxy._pyroSerializer = name
                check()


class AtTheClient(RegisteredTestCase):
    """The server raises the exception as it is; the client knows how to build it."""

    tag = __name__ + ".Overheated"

    def test_attributes_and_traceback_are_those_of_the_server(self) -> None:
        def check() -> None:
            error: Any = self.raised()
            self.assertIs(Overheated, type(error))
            self.assertEqual("smith", error.operator)
            self.assertIn("in heat", "".join(error._pyroTraceback))
            self.assertIn("in heat", "".join(errors.get_pyro_traceback(type(error), error, error.__traceback__)))

        self.read_by(build, self.tag)
        self.with_each_serializer(check)

    def test_what_the_converter_sets_stays(self) -> None:
        error: Any
        self.read_by(build, self.tag)
        error = self.raised()
        self.assertEqual(("rebuilt", 0.5), (error.sensor, error.kelvin))

        def with_its_own(tag: str, data: Data) -> Overheated:
            error: Any = build(tag, data)
            error._pyroTraceback, error.operator = ["of the converter\n"], data["attributes"]["operator"].upper()
            return error

        self.read_by(with_its_own, self.tag)
        error = self.raised()
        self.assertEqual((["of the converter\n"], "SMITH"), (error._pyroTraceback, error.operator))

    def test_the_attributes_can_be_the_arguments(self) -> None:
        def of_attributes(tag: str, data: Data) -> Overheated:
            return Overheated(data["attributes"]["sensor"], data["attributes"]["kelvin"])

        self.read_by(of_attributes, self.tag)
        error = self.raised()
        self.assertEqual((("top: 455.5 K",), "top", 455.5), (error.args, error.sensor, error.kelvin))

    def test_a_subclass_is_another_class(self) -> None:
        self.read_by(build, self.tag)
        with self.assertRaises(errors.RemoteError) as caught:
            self.proxy.heat("Tripped")
        self.assertTrue(str(caught.exception.remote_class).endswith(".Tripped"))


class AtBothSides(RegisteredTestCase):
    """The server writes what a converter makes of the exception: what that leaves out does not arrive."""

    def test_a_converter_that_passes_everything_on(self) -> None:
        def written(error: Any) -> Data:
            return {"__class__": TAG, "__exception__": True, "args": [error.sensor, error.kelvin], "attributes": vars(error)}

        def check() -> None:
            error: Any = self.raised()
            self.assertEqual(("top", 455.5, "smith"), (error.sensor, error.kelvin, error.operator))
            self.assertIn("in heat", "".join(error._pyroTraceback))

        self.written_by(written)
        self.read_by(lambda tag, data: Overheated(*data["args"]))
        self.with_each_serializer(check)

    def test_one_that_leaves_the_traceback_out(self) -> None:
        def check() -> None:
            error = self.raised()
            self.assertEqual(("top", 455.5), (error.sensor, error.kelvin))
            self.assertFalse(hasattr(error, "_pyroTraceback"))

        self.written_by(lambda error: {"__class__": TAG, "sensor": error.sensor, "kelvin": error.kelvin})
        self.read_by(lambda tag, data: Overheated(data["sensor"], data["kelvin"]))
        self.with_each_serializer(check)

    def test_a_subclass_is_written_as_the_class(self) -> None:
        self.written_by(lambda error: {"__class__": TAG, "sensor": error.sensor, "kelvin": error.kelvin})
        self.read_by(lambda tag, data: Overheated(data["sensor"], data["kelvin"]))
        self.assertIs(Overheated, type(self.raised("Tripped")))

    def test_in_batches_and_as_a_value(self) -> None:
        self.written_by(lambda error: {"__class__": TAG, "sensor": error.sensor, "kelvin": error.kelvin})
        self.read_by(lambda tag, data: Overheated(data["sensor"], data["kelvin"]))
        batch = api.BatchProxy(self.proxy)
        batch.heat()
        with self.assertRaises(Overheated) as caught:
            next(batch())
        self.assertEqual(455.5, caught.exception.kelvin)
        value, = self.proxy.passed_as_a_value()
        self.assertEqual((Overheated, "top"), (type(value), value.sensor))


if __name__ == "__main__":
    unittest.main()
