"""Values of which the plain form leaves out a part, and dicts whose keys become equal."""
from __future__ import annotations

import datetime
import decimal
import unittest
from typing import Any, Dict

from Pyro5 import api, serializers
from Pyro5._values import mismatch, rebuilding, registered_types

from ..tagged_values import NAMES


class Precise(datetime.datetime):
    """Has nanoseconds in its text, as pandas.Timestamp."""

    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return super().isoformat(*args, **kwargs) + "789"


class Precision(unittest.TestCase):
    def setUp(self) -> None:
        before = set(registered_types.registered())
        api.register_types("datetime", "decimal")
        for clazz in set(registered_types.registered()) - before:
            self.addCleanup(registered_types.unregister, clazz)

    def carried(self, name: str, value: Any) -> Any:
        """Return what arrives at a peer of this release, alone and beside other values."""
        serializer = serializers.get_serializer(name).for_dialect(3)
        alone = serializer.loads(serializer.dumps(value))
        self.assertEqual([alone, alone], serializer.loads(serializer.dumps([value, value])))
        return alone

    def refused(self, annotation: Any, value: Any) -> str:
        build = rebuilding.builder_for(annotation)
        assert build is not None
        with self.assertRaises(mismatch.Mismatch) as caught:
            build(value)
        return str(caught.exception.described("it"))

    def test_differences_of_centuries_are_exact(self) -> None:
        hour = datetime.timedelta(hours=1)
        for name in NAMES:
            for value in (datetime.timedelta.max, datetime.timedelta.min, datetime.timedelta(10 ** 8, 1, 1),
                          datetime.timedelta(-10 ** 8, 1, 1), datetime.timedelta(39999, 86399, 999999),
                          datetime.timedelta(microseconds=-1), hour):
                with self.subTest(name, value=value):
                    self.assertEqual(value, self.carried(name, value))
            plain = serializers.get_serializer(name)
            self.assertEqual(3600.0, plain.loads(plain.dumps([hour]))[0])

    def test_the_fold_of_an_ambiguous_time(self) -> None:
        for name in NAMES:
            for value in (datetime.datetime(2024, 10, 27, 2, 30, fold=1), datetime.datetime(2024, 10, 27, 2, 30),
                          datetime.time(2, 30, fold=1), datetime.time(2, 30)):
                with self.subTest(name, value=repr(value)):
                    found = self.carried(name, value)
                    self.assertEqual((value, value.fold), (found, found.fold))

    def test_a_subclass_with_a_text_of_its_own_arrives_as_this_text(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                self.assertEqual("2024-02-29T12:30:00.123456789", self.carried(name, Precise(2024, 2, 29, 12, 30, 0, 123456)))

    def test_other_values_are_refused_by_name(self) -> None:
        for annotation, value, text in (
                (datetime.timedelta, [1, 2], r"expected timedelta, found the list \[1, 2\]"),
                (datetime.timedelta, [1, True, 2], "expected timedelta, found the list"),
                (datetime.timedelta, [10 ** 10, 0, 0], "expected timedelta, found the list"),
                (datetime.datetime, ["2024-02-29", 2], "expected datetime, found the list"),
                (datetime.datetime, [1, "2024-02-29"], "expected datetime, found the list"),
                (datetime.time, 12, "expected time, found the int 12")):
            with self.subTest(annotation, value=value):
                self.assertRegex(self.refused(annotation, value), text)

    def test_keys_that_become_equal_are_refused(self) -> None:
        prices = Dict[decimal.Decimal, int]
        build = rebuilding.builder_for(prices)
        assert build is not None
        self.assertEqual({decimal.Decimal("1.5"): 1}, build({"1.5": 1}))
        refusal = self.refused(prices, {"1.0": 1, "1.00": 2})
        self.assertRegex(refusal, r"expected .*Decimal.* \(two of its keys become equal\)$")
