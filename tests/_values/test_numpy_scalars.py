"""Numpy scalars become values of Python's types with every serializer.

The tests of class Numpy need numpy, any release from 1.26 on. The others replace it by a small stand-in.
"""
from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import sys
import types
import unittest
import warnings
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

from Pyro5 import api, errors, serializers
from Pyro5._values import numpy_scalars

from ..support import daemon_thread

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


def arrive(name: str, value: Any) -> Any:
    serializer = serializers.get_serializer(name)
    return serializer.loads(serializer.dumps(value))


class StandIn:
    """A module with scalars that have what this package uses of numpy's."""

    class generic:
        kind = "i"

        def __init__(self, value: Any) -> None:
            self.value = value
            self.dtype = types.SimpleNamespace(kind=self.kind, names=None)

        def item(self) -> Any:
            return self.value

        def __hash__(self) -> int:
            return hash(self.value)

        def __eq__(self, other: Any) -> bool:
            return bool(self.value == other)

    class float32(generic):
        kind = "f"

        def __float__(self) -> float:
            return float(self.value)

    class unknown(generic):
        kind = "x"

        def item(self) -> Any:
            return self

    class ndarray:
        def __init__(self) -> None:
            self.data = b"12"

        def __len__(self) -> int:
            return 2


class WithoutNumpy(unittest.TestCase):
    def setUp(self) -> None:
        patched = mock.patch.dict(sys.modules, {"numpy": StandIn})  # type: ignore[dict-item]
        patched.start()
        self.addCleanup(patched.stop)

    def test_values_and_elements(self) -> None:
        for name in NAMES:
            for scalar, plain in ((StandIn.generic(5), 5), (StandIn.generic(True), True), (StandIn.float32(1.5), 1.5)):
                with self.subTest(name, plain=plain):
                    self.assertEqual(plain, arrive(name, scalar))
                    self.assertIs(type(plain), type(arrive(name, scalar)))
                    self.assertEqual([{"a": [plain]}], arrive(name, [{"a": [scalar]}]))

    def test_keys(self) -> None:
        scalar = StandIn.generic(5)
        for name, key in (("serpent", 5), ("json", "5"), ("marshal", 5)):
            self.assertEqual({key: {key: 1}}, arrive(name, {scalar: {scalar: 1}}))
        for name in ("serpent", "marshal"):
            self.assertEqual([{(1, 5): 2}, {5}], arrive(name, [{(1, scalar): 2}, {scalar}]))

    def test_keys_that_become_equal(self) -> None:
        class Other(StandIn.generic):
            __hash__ = object.__hash__
            __eq__ = object.__eq__

        for name in ("serpent", "json", "marshal"):
            with self.subTest(name), self.assertRaisesRegex(ValueError, "two keys of a dict are equal"):
                arrive(name, {Other(1): "a", Other(1): "b"})

    def test_keys_in_what_a_converter_returns(self) -> None:
        class Histogram:
            pass

        api.register_class_to_dict(Histogram, lambda histogram: {"bins": {StandIn.generic(3): StandIn.generic(4)}})
        self.addCleanup(api.unregister_class_to_dict, Histogram)
        for name, key in (("serpent", 3), ("json", "3"), ("marshal", 3)):
            self.assertEqual([{"bins": {key: 4}}], arrive(name, [Histogram()]))

    def test_converters_of_the_program_take_precedence(self) -> None:
        api.register_class_to_dict(StandIn.float32, lambda value: "about %s" % value.value)
        self.addCleanup(api.unregister_class_to_dict, StandIn.float32)
        for name in NAMES:
            self.assertEqual(["about 1.5"], arrive(name, [StandIn.float32(1.5)]))

    def test_a_scalar_of_an_unknown_kind_is_left_to_the_serializer(self) -> None:
        scalar = StandIn.unknown(1)
        self.assertIs(scalar, numpy_scalars.plain_scalar(scalar))

    def test_a_module_that_is_still_being_imported(self) -> None:
        for module in (None, types.ModuleType("numpy")):
            with mock.patch.dict(sys.modules, {"numpy": module}):  # type: ignore[dict-item]
                self.assertIsNone(numpy_scalars.scalar_class())
                self.assertEqual([1], arrive("marshal", [1]))

    def test_data_that_contains_itself(self) -> None:
        cycle: List[Any] = [StandIn.generic(1)]
        cycle.append(cycle)
        self.assertTrue(numpy_scalars.is_foreign(cycle, frozenset((list,))))
        del cycle[0]
        self.assertFalse(numpy_scalars.is_foreign(cycle, frozenset((list,))))
        for name in NAMES:
            with self.subTest(name), self.assertRaises((ValueError, errors.SerializeError)):
                arrive(name, cycle)

    def test_arrays_are_refused(self) -> None:
        for name in NAMES:
            for value in (StandIn.ndarray(), [StandIn.ndarray()], {"a": StandIn.ndarray()}):
                with self.subTest(name), self.assertRaisesRegex((errors.SerializeError, TypeError), r"send its tolist\(\)"):
                    arrive(name, value)


def scalars() -> Iterator[Tuple[Any, Any]]:
    """Yield numpy scalars and the values that arrive."""
    import numpy as np
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "intc", "longlong"):
        yield getattr(np, kind)(5), 5
    yield np.uint64(2**64 - 1), 2**64 - 1
    yield np.int64(-2**63), -2**63
    for kind in ("float16", "float32", "float64", "longdouble"):
        yield getattr(np, kind)(1.5), 1.5
        yield getattr(np, kind)("inf"), math.inf
    yield np.float32(0.1), 0.10000000149011612
    yield np.bool_(True), True
    yield np.str_("text"), "text"
    yield np.datetime64("2024-02-29"), "2024-02-29"
    yield np.datetime64("2024-02-29T12:30:00.123456789"), "2024-02-29T12:30:00.123456789"
    yield np.datetime64("NaT", "s"), "NaT"
    yield np.timedelta64(90, "m"), 5400.0
    yield np.timedelta64(1500, "ns"), 1.5e-06


def binary_scalars() -> Iterator[Tuple[Any, Any]]:
    import numpy as np
    for kind in ("complex64", "complex128", "clongdouble"):
        yield getattr(np, kind)(1 - 2j), 1 - 2j
    yield np.bytes_(b"ab"), b"ab"
    yield np.void(b"abc"), b"abc"


@api.expose
class Laboratory:
    def __init__(self) -> None:
        self.seen: Any = None

    def measure(self, *args: Any, **kwargs: Any) -> Any:
        self.seen = [args, kwargs]
        return None

    def result(self, name: str) -> Any:
        import numpy as np
        return {"scalars": {"mean": np.float64(0.5), "count": [np.int32(3)], "valid": np.bool_(False)},
                "array": {"frames": [1, {"mask": np.arange(3)}]},
                "objects": [np.array([None, {}], dtype=object)],
                "masked": np.ma.array([1, 2], mask=[0, 1])}[name]


@contextlib.contextmanager
def laboratory(serializer: str) -> Iterator[Any]:
    with api.Daemon() as daemon, daemon_thread(daemon), \
            api.Proxy(daemon.register(Laboratory()), serializer=serializer) as proxy:
        yield proxy


@unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
class Numpy(unittest.TestCase):
    def assert_arrives(self, name: str, expected: Any, value: Any) -> None:
        received = arrive(name, value)
        self.assertEqual((expected, type(expected)), (received, type(received)))

    def test_values_and_elements(self) -> None:
        for name in NAMES:
            for scalar, plain in scalars():
                with self.subTest(name, scalar=scalar):
                    self.assert_arrives(name, plain, scalar)
                    self.assert_arrives(name, [{"a": [plain]}], [{"a": [scalar]}])

    def test_not_a_number(self) -> None:
        import numpy as np
        for name in NAMES:
            for scalar in (np.float32("nan"), np.float64("nan"), np.timedelta64("NaT", "s")):
                received = arrive(name, [scalar])[0]
                self.assertTrue(type(received) is float and math.isnan(received))

    def test_complex_numbers_and_bytes(self) -> None:
        for name in NAMES:
            for scalar, plain in binary_scalars():
                with self.subTest(name, scalar=scalar):
                    if name == "json":
                        with self.assertRaises(errors.SerializeError):
                            arrive(name, scalar)
                        continue
                    expected = {"data": arrive(name, plain)["data"], "encoding": "base64"} \
                        if name == "serpent" and type(plain) is bytes else plain
                    self.assert_arrives(name, expected, scalar)
                    self.assert_arrives(name, [expected], [scalar])

    def test_keys_and_sets(self) -> None:
        for scalar, plain in scalars():
            for name in ("serpent", "marshal"):
                with self.subTest(name, scalar=scalar):
                    key = next(iter(arrive(name, {scalar: 1})))
                    self.assertEqual((plain, type(plain)), (key, type(key)))
                    self.assertEqual([{(1, plain): 2}, {plain}], arrive(name, [{(1, scalar): 2}, {scalar}]))
            self.assertEqual(arrive("json", {plain: [{plain: 1}]}), arrive("json", {scalar: [{scalar: 1}]}))
            if "msgpack" in NAMES and type(plain) is str:
                self.assertEqual({plain: 1}, arrive("msgpack", {scalar: 1}))

    def test_records(self) -> None:
        import numpy as np
        record = np.array([(1, 2.5, "2024-02-29")], dtype=[("a", "i4"), ("b", "f4"), ("c", "M8[D]")])[0]
        for name in NAMES:
            expected = [1, 2.5, "2024-02-29"]
            self.assertEqual(expected if name in ("json", "msgpack") else tuple(expected), arrive(name, record))

    def test_time_differences_without_a_fixed_length(self) -> None:
        import numpy as np
        for name in NAMES:
            with self.assertRaisesRegex(ValueError, "no fixed length in seconds"):
                arrive(name, np.timedelta64(2, "Y"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2.5: there will always be a unit
                self.assert_arrives(name, 5, np.timedelta64(5))

    def test_calls(self) -> None:
        import numpy as np
        laboratory = Laboratory()
        with api.Daemon() as daemon, daemon_thread(daemon), api.Proxy(daemon.register(laboratory)) as proxy:
            for name in NAMES:
                with self.subTest(name):
                    proxy._pyroSerializer = name
                    proxy.measure(np.float64(1.5), [np.int32(3)], valid=np.bool_(True), text=np.str_("a"))
                    self.assertEqual("[(1.5, [3]), {'valid': True, 'text': 'a'}]", repr([tuple(laboratory.seen[0]),
                                                                                       laboratory.seen[1]]))
                    self.assertEqual("{'mean': 0.5, 'count': [3], 'valid': False}", repr(proxy.result("scalars")))

    def test_arrays_are_refused_with_their_place(self) -> None:
        import numpy as np
        places: Dict[str, str] = {"array": r'result\["frames"\]\[1\]\["mask"\], an instance of numpy.ndarray, ',
                                  "objects": r"result\[0\], an instance of numpy.ndarray, ",
                                  "masked": r"result, an instance of numpy.ma(\.core)?.MaskedArray, "}
        for name in NAMES:
            for result, place in places.items():
                text = place + "cannot be sent over %s: send its tolist" % name
                # another daemon for each: the log leaves out repeated errors
                with self.subTest(name, result=result), laboratory(name) as proxy, \
                        self.assertLogs("Pyro5.server", logging.WARNING) as logs:
                    with self.assertRaisesRegex(errors.SerializeError, text):
                        proxy.result(result)
                self.assertRegex("".join(logs.output), place)
            with laboratory(name) as proxy:
                with self.assertRaisesRegex(errors.SerializeError, r'argument 1\["x"\], an instance of numpy.ndarray'):
                    proxy.measure({"x": np.arange(2)})
                with self.assertRaisesRegex(errors.SerializeError, "argument mask, an instance of numpy.ndarray"):
                    proxy.measure(mask=np.zeros(()))


if __name__ == "__main__":
    unittest.main()
