"""Numpy arrays arrive as arrays with every serializer, after register_types("numpy"). All tests of this module need numpy."""
from __future__ import annotations

import importlib.util
import sys
import unittest
import warnings
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

from Pyro5 import api, errors, serializers
from Pyro5._values import numpy_arrays

from ..support import daemon_thread

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


@api.expose
class Lab:
    def echo(self, value: Any) -> Any:
        return value

    def total(self, frames: Any, scale: Any = None) -> Any:
        return float(sum(frame.sum() for frame in frames)) * (1 if scale is None else float(scale.max()))

    def secret(self) -> Any:
        import numpy
        return {"frames": [numpy.zeros(2), numpy.array([object()])]}


def good_form() -> Dict[str, Any]:
    return {"__class__": "numpy.ndarray", "dtype": "<f8", "shape": [2], "data": bytes(16)}


@unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
class NumpyCase(unittest.TestCase):
    numpy: Any

    @classmethod
    def setUpClass(cls) -> None:
        import numpy
        cls.numpy = numpy

    def setUp(self) -> None:
        self.addCleanup(numpy_arrays.unregister)
        api.register_types("numpy")

    def assert_same(self, sent: Any, received: Any) -> None:
        self.assertIs(type(received), self.numpy.ndarray)
        self.assertEqual(received.dtype, sent.dtype)
        self.assertEqual(received.shape, sent.shape)
        self.assertEqual(received.tobytes(), sent.tobytes())
        self.assertTrue(received.flags.writeable and received.flags.aligned)
        if sent.flags.c_contiguous or sent.flags.f_contiguous:
            self.assertEqual(received.flags.f_contiguous, sent.flags.f_contiguous)


class Arrays(NumpyCase):
    def arrays(self) -> Iterator[Tuple[str, Any]]:
        numpy = self.numpy
        padded = numpy.dtype([("a", "i1"), ("b", "<f8"), ("c", "U3", (2, 2))], align=True)
        nested = [("x", "<f4"), ("y", [("z", "u1", (3,)), ("when", "M8[s]")])]
        yield from [(code, numpy.arange(3).astype(code)) for code in "bBhHiIlLqQefdgFDG?"]
        yield from [
            ("C order", numpy.arange(6.0).reshape(2, 3)), ("Fortran order", numpy.asfortranarray(numpy.ones((2, 3)))),
            ("strides", numpy.arange(24).reshape(2, 3, 4)[:, ::2]), ("backwards", numpy.arange(5)[::-1]),
            ("0-d", numpy.array(5)), ("empty", numpy.zeros((0, 3))), ("long and empty", numpy.zeros((0, 1 << 40))),
            ("big endian", numpy.arange(3, dtype=">i4")), ("texts", numpy.array(["a", "b\xe4\U0001f600"])),
            ("big endian texts", numpy.array(["ab"], dtype=">U4")), ("bytes", numpy.array([b"x", b"yz"])),
            ("dates", numpy.array(["2020-01-01", "NaT"], dtype="M8[ns]").astype("M8[D]")[:1]),
            ("times", numpy.array([3], dtype="m8[25s]")), ("no unit", self.without_unit()),
            ("void", numpy.zeros(3, "V5")), ("padded", numpy.zeros(3, padded)), ("nested", numpy.zeros(2, nested)),
        ]

    def without_unit(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2.5: there will always be a unit
            return self.numpy.array([3], dtype="m8")

    def test_arrive_alone_and_nested_with_every_serializer(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            for label, array in self.arrays():
                with self.subTest(serializer=name, array=label):
                    self.assert_same(array, serializer.loads(serializer.dumps(array)))
                    nested = serializer.loads(serializer.dumps({"frames": [1, (array,)]}))
                    self.assert_same(array, nested["frames"][1][0])
                    request = serializer.dumpsCall("o", "m", (array,), {"k": [array]})
                    _object, _method, args, kwargs = serializer.loadsCall(request)
                    self.assert_same(array, args[0])
                    self.assert_same(array, kwargs["k"][0])

    def test_read_only_arrays_and_subclasses_arrive_as_ordinary_arrays(self) -> None:
        numpy, serializer = self.numpy, serializers.get_serializer("marshal")
        array = numpy.arange(3)
        array.flags.writeable = False
        self.assert_same(array, serializer.loads(serializer.dumps(array)))
        records = numpy.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])
        self.assertEqual(serializer.loads(serializer.dumps(records))["b"][0], 2.0)

    def test_dates_that_are_no_times_stay_so(self) -> None:
        array = self.numpy.array(["2020-01-01T10:00", "NaT"], dtype="M8[ns]")
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            received = serializer.loads(serializer.dumps([array]))[0]
            self.assertEqual((received.dtype, received.tobytes()), (array.dtype, array.tobytes()))

    def test_object_dtypes_and_masked_arrays_are_refused_by_name(self) -> None:
        numpy = self.numpy
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            for array, text in [(numpy.array([object()]), "dtype 'object'"), (numpy.zeros(2, [("a", "O")]), "dtype 'object'"),
                                (numpy.ma.array([1, 2], mask=[0, 1]), "MaskedArray")]:
                for value in (array, [array], {"a": array}):
                    with self.assertRaisesRegex(errors.SerializeError, text):
                        serializer.dumps(value)

    def test_arguments_and_results_of_calls_are_arrays(self) -> None:
        numpy = self.numpy
        with api.Daemon(port=0) as daemon, daemon_thread(daemon):
            uri = daemon.register(Lab())
            for name in NAMES:
                with self.subTest(serializer=name), api.Proxy(uri) as lab:
                    lab._pyroSerializer = name
                    self.assert_same(numpy.ones((2, 2)), lab.echo(numpy.ones((2, 2))))
                    self.assertEqual(lab.total([numpy.ones(3), numpy.ones(4)], scale=numpy.array([2.0])), 14.0)
                    with self.assertRaisesRegex(errors.SerializeError, r'result\["frames"\]\[1\]'):
                        lab.secret()
                    self.assertEqual(lab.echo([numpy.float64(1)]), [1.0])

    def test_a_converter_of_the_program_takes_precedence(self) -> None:
        numpy = self.numpy
        api.register_class_to_dict(numpy.ndarray, numpy.ndarray.tolist)
        self.addCleanup(api.unregister_class_to_dict, numpy.ndarray)
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            self.assertEqual(serializer.loads(serializer.dumps([numpy.ones(2)])), [[1.0, 1.0]])


class WithoutRegistration(NumpyCase):
    def test_arrays_are_not_sent_and_not_accepted(self) -> None:
        sent = serializers.get_serializer("marshal").dumps(self.numpy.ones(2))
        numpy_arrays.unregister()
        with self.assertRaisesRegex(errors.SerializeError, r'numpy.ndarray \(call register_types\("numpy"\)'):
            serializers.get_serializer("marshal").loads(sent)
        for name in NAMES:
            with self.assertRaisesRegex(Exception, "register_types"):
                serializers.get_serializer(name).dumps([self.numpy.ones(2)])

    def test_an_array_is_refused_where_the_program_has_not_imported_numpy(self) -> None:
        sent = serializers.get_serializer("json").dumps(self.numpy.ones(2))
        with mock.patch.dict(sys.modules):
            del sys.modules["numpy"]
            with self.assertRaisesRegex(errors.SerializeError, "has not imported numpy"):
                serializers.get_serializer("json").loads(sent)


class Lies(NumpyCase):
    """What a peer may send instead of an array is a ValueError, before memory is allocated."""

    def refused(self, **changes: Any) -> None:
        with self.subTest(**changes), self.assertRaises(ValueError):
            numpy_arrays.build_array({**good_form(), **changes}, lambda value: value)

    def test_the_form_without_changes_is_accepted(self) -> None:
        self.assertEqual(numpy_arrays.build_array(good_form(), lambda value: value).tolist(), [0.0, 0.0])

    def test_dtypes(self) -> None:
        texts: List[Any] = ["O", "|O", "|O8", "object", "f8", "<f8,<f8", "<f8 ", "<f8\n", "(2,)<f8", "<f3", "<S99999999999",
                            "|V9999999999", "<M8[xx]", "<M8[0s]", "<U4294967295", "np.float64", "", None, 8, b"<f8", ["<f8"]]
        for dtype in texts:
            self.refused(dtype=dtype)
        self.refused(dtype="|S0", shape=[1 << 60], data=b"")

    def test_structured_dtypes(self) -> None:
        deep: Any = "<f8"
        for _ in range(20):
            deep = {"fields": [["x", deep, 0]], "itemsize": 8}
        wide = {"fields": [["f%d" % number, "<f8", 0] for number in range(1001)], "itemsize": 8}
        for dtype in [deep, wide, {"fields": [["x", "|O8", 0]], "itemsize": 8}, {"fields": [["x", "<f8", 1]], "itemsize": 8},
                      {"fields": [["x", "<f8", -1]], "itemsize": 8}, {"fields": [["x", "<f8", 0]], "itemsize": -8},
                      {"fields": [["x", "<f8", 0]], "itemsize": 1 << 40}, {"fields": [["x", "<f8"]], "itemsize": 8},
                      {"fields": [["x", "<f8", 0], ["x", "<f8", 0]], "itemsize": 8}, {"fields": "x", "itemsize": 8}, {},
                      {"base": "<f8", "shape": [1 << 40]}, {"base": "|O8", "shape": [1]}, {"base": "<f8"},
                      {"fields": [[1, "<f8", 0]], "itemsize": 8}, {"fields": [["x", "<f8", True]], "itemsize": 8}]:
            self.refused(dtype=dtype)

    def test_shapes_and_sizes(self) -> None:
        shapes: List[Any] = [[1], [3], [1 << 40], [1 << 62, 4], [-2], [-1, -2], [2.0], ["2"], [True, 2], None, 2, "2", [[2]],
                             [1] * 65 + [2], [1 << 63], [0, 1 << 70]]
        for shape in shapes:
            self.refused(shape=shape)
        self.refused(shape=[0, 1 << 62], data=b"")

    def test_data_and_order(self) -> None:
        values: List[Any] = [b"", bytes(15), bytes(17), "AAAA", "\xe4", "not base64!", None, 0, [], {"encoding": "base64"},
                             {"data": "AA==", "encoding": "base64"}, {"data": 3, "encoding": "base64"}]
        for data in values:
            self.refused(data=data)
        for order in ("X", "", None, 1, "A", ["C"]):
            self.refused(order=order)

    def test_numbers_that_are_no_characters(self) -> None:
        self.refused(dtype="<U1", shape=[1], data=b"\xff\xff\xff\xff")
        self.refused(dtype=">U1", shape=[1], data=b"\xff\x00\x00\x00")
        self.refused(dtype={"fields": [["x", "<U1", 0]], "itemsize": 4}, shape=[1], data=b"\xff\xff\xff\xff")
