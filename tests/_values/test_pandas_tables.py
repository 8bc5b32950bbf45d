"""DataFrames and Series arrive as such, column by column, after register_types("pandas"). All tests need pandas."""
from __future__ import annotations

import importlib.util
import sys
import unittest
from typing import Any, Dict, Iterator, List, Tuple
from unittest import mock

from Pyro5 import api, errors, serializers
from Pyro5._values import pandas_tables

from ..support import daemon_thread

HAS_PANDAS = importlib.util.find_spec("pandas") is not None
NAMES = [name for name in ("serpent", "json", "marshal", "msgpack")
         if name != "msgpack" or importlib.util.find_spec("msgpack") is not None]


@api.expose
class Lab:
    def echo(self, value: Any) -> Any:
        return value

    def describe(self, table: Any) -> Any:
        return {"mean": table["x"].mean(), "table": table.describe()}


@unittest.skipUnless(HAS_PANDAS, "pandas is not installed")
class PandasCase(unittest.TestCase):
    pandas: Any

    @classmethod
    def setUpClass(cls) -> None:
        import pandas
        cls.pandas = pandas

    def setUp(self) -> None:
        self.addCleanup(pandas_tables.unregister)
        api.register_types("pandas")

    def frame(self, **more: Any) -> Any:
        return self.pandas.DataFrame({"x": [1.5, float("nan")], "n": [1, -2], **more})

    def assert_equal(self, sent: Any, received: Any) -> None:
        self.assertIs(type(received), type(sent))
        if isinstance(sent, self.pandas.Series):
            self.pandas.testing.assert_series_equal(sent, received, check_freq=False)
        else:
            self.pandas.testing.assert_frame_equal(sent, received, check_freq=False)


class Tables(PandasCase):
    def tables(self) -> Iterator[Tuple[str, Any]]:
        pandas = self.pandas
        days = pandas.date_range("2024-02-29", periods=2)
        yield from [
            ("numbers", self.frame()), ("texts", self.frame(t=["a", None])), ("flags", self.frame(b=[True, False])),
            ("objects", self.frame(o=pandas.Series([{"a": 1}, [2]], dtype=object))), ("dates", self.frame(d=days)),
            ("zones", self.frame(d=days.tz_localize("Europe/Paris"))), ("spans", self.frame(d=days - days[0])),
            ("categories", self.frame(c=pandas.Categorical(["a", "b"], categories=["b", "a"], ordered=True))),
            ("masked", self.frame(i=pandas.array([1, None], dtype="Int64"), b=pandas.array([True, None], dtype="boolean"),
                                  f=pandas.array([1.5, None], dtype="Float32"))),
            ("an index of dates", self.frame().set_index(days)), ("an index of texts", self.frame().set_index(
                pandas.Index(["a", "b"], name="key"))),
            ("a stepped range", self.frame().set_index(pandas.RangeIndex(5, 9, 2))),
            ("numbers as names", pandas.DataFrame([[1, 2]], columns=[3, "x"])), ("no rows", self.frame().iloc[:0]),
            ("the same name twice", pandas.DataFrame([[1, 2.0]], columns=["a", "a"])),
            ("a series", pandas.Series([1, 2, 3], name="s")), ("a series without name", pandas.Series(["a"], index=[7])),
            ("a slice", self.frame().iloc[::2])]

    def test_arrive_alone_and_nested_with_every_serializer(self) -> None:
        for name in NAMES:
            serializer = serializers.get_serializer(name)
            for label, table in self.tables():
                with self.subTest(serializer=name, table=label):
                    self.assert_equal(table, serializer.loads(serializer.dumps(table)))
                    self.assert_equal(table, serializer.loads(serializer.dumps({"a": [table]}))["a"][0])

    def test_calls(self) -> None:
        pandas = self.pandas
        large = pandas.DataFrame({"x": range(50000), "y": 0.5})
        with api.Daemon(port=0) as daemon, daemon_thread(daemon):
            uri = daemon.register(Lab())
            for name in NAMES:
                with self.subTest(name), api.Proxy(uri, serializer=name) as lab:
                    for _ in range(2):
                        self.assert_equal(large, lab.echo(large))
                    found = lab.describe(self.frame())
                    self.assertEqual(found["mean"], 1.5)
                    self.assert_equal(self.frame().describe(), found["table"])

    def test_what_is_not_sent_is_named(self) -> None:
        pandas = self.pandas
        for table, text in [(self.frame(p=pandas.period_range("2024", periods=2, freq="Y")), "period"),
                            (self.frame().set_index(pandas.MultiIndex.from_tuples([(1, 2), (3, 4)])), "MultiIndex"),
                            (pandas.DataFrame([[1]], columns=[pandas.Timestamp("2024")]), "Timestamp")]:
            for name in NAMES:
                with self.subTest(text, serializer=name), self.assertRaisesRegex(errors.SerializeError, text):
                    serializers.get_serializer(name).dumps(table)


class Lies(PandasCase):
    """What a peer may send instead of a table is a ValueError."""

    def array(self, *numbers: Any, dtype: str = "<i8") -> Dict[str, Any]:
        import numpy
        data = numpy.array(numbers, dtype=dtype)
        return {"__class__": "numpy.ndarray", "dtype": dtype, "shape": [len(numbers)], "data": data.tobytes()}

    def column(self, **changes: Any) -> Dict[str, Any]:
        return {"kind": "array", "data": self.array(1, 2), **changes}

    def refused(self, tag: str, **form: Any) -> None:
        serializer = serializers.get_serializer("marshal")
        good: Dict[str, Any] = {"index": {"kind": "range", "range": [0, 2, 1], "name": None}}
        rest = {"names": ["a"], "columns": [self.column()]} if tag == "DataFrame" else {"name": "a", "data": self.column()}
        good.update(rest)
        serializer.loads(serializer.dumps({**good, "__class__": "pandas." + tag}))
        with self.subTest(tag, **form), self.assertRaises(ValueError):
            serializer.loads(serializer.dumps({**good, "__class__": "pandas." + tag, **form}))

    def test_columns(self) -> None:
        columns: List[Any] = [
            None, {}, [], "x", {"kind": []}, {"kind": "other"}, self.column(data=None), self.column(data=[1, 2]),
            self.column(data=self.array(1)), self.column(data={**self.array(1, 2), "dtype": "|O8"}),
            self.column(data={**self.array(1, 2), "shape": [1 << 40]}),
            self.column(data={**self.array(1, 2), "shape": [2, 1]}),
            {"kind": "objects", "dtype": "object", "values": "ab"}, {"kind": "objects", "dtype": "int", "values": [1, 2]},
            {"kind": "objects", "dtype": "str", "values": [1, 2]}, {"kind": "objects", "dtype": "object", "values": [1]},
            {"kind": "categories", "codes": self.array(0, 5), "categories": self.column()},
            {"kind": "categories", "codes": self.array(0, 1), "categories": None},
            {"kind": "zone", "data": self.array(0, 1), "zone": "UTC"},
            {"kind": "zone", "data": self.array(0, 1, dtype="<M8[ns]"), "zone": "No/Where"},
            {"kind": "zone", "data": self.array(0, 1, dtype="<M8[ns]"), "zone": 5},
            {"kind": "masked", "dtype": "object", "data": self.array(0, 1), "mask": self.array(0, 1, dtype="|b1")},
            {"kind": "masked", "dtype": "Int64", "data": self.array(0, 1), "mask": self.array(0, dtype="|b1")},
            {"kind": "masked", "dtype": "Int64", "data": self.array(0, 1), "mask": self.array(0, 1)}]
        for column in columns:
            self.refused("Series", data=column)
            self.refused("DataFrame", columns=[column])

    def test_names_and_indexes(self) -> None:
        for names in (None, "a", [], ["a", "b"], [{}], [[{}]], [b"x"], 5):
            self.refused("DataFrame", names=names)
        for index in (None, [], {"kind": "range"}, {"kind": "range", "range": [0, 1 << 40, 1]},
                      {"kind": "range", "range": [0, 2, 0]},
                      {"kind": "range", "range": [0, 2.0, 1]}, {"kind": "range", "range": [0, 2, 1], "name": {}},
                      {"kind": "range", "range": [0, 3, 1]}, self.column(data=self.array(1))):
            self.refused("DataFrame", index=index)
            self.refused("Series", index=index)

    def test_without_registration_or_pandas(self) -> None:
        serializer = serializers.get_serializer("marshal")
        sent = serializer.dumps(self.frame())
        with mock.patch.dict(sys.modules):
            del sys.modules["pandas"]
            with self.assertRaisesRegex(errors.SerializeError, "has not imported pandas"):
                serializer.loads(sent)
        pandas_tables.unregister()
        with self.assertRaisesRegex(errors.SerializeError, r'call register_types\("pandas"\)'):
            serializer.loads(sent)
