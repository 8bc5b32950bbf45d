"""The negotiation of features in the handshake."""
from __future__ import annotations

import unittest

from Pyro5._wire import features


class Announcements(unittest.TestCase):
    def test_no_annotation_means_an_old_peer(self) -> None:
        self.assertIsNone(features.parse(None))

    def test_only_known_features_count(self) -> None:
        self.assertEqual({"dl"}, features.parse(b"new dl  zz"))
        self.assertEqual(set(), features.parse(b""))
        self.assertEqual({"cx"}, features.parse(memoryview(b"\xff\xfe cx")))

    def test_an_announcement_of_any_length_is_not_read(self) -> None:
        self.assertEqual(set(), features.parse(b"dl " * 1000))

    def test_what_is_announced_can_be_parsed(self) -> None:
        self.assertEqual({"cx"}, features.parse(features.announcement({"cx", "unknown"})))
        self.assertEqual(b"dl cx ty by buf ooo auth cb jb tr", features.announcement(features.SUPPORTED))

    def test_other_annotations_stay(self) -> None:
        self.assertEqual({"ABCD": b"1", "FEAT": b"dl cx ty by buf tr"}, features.with_announcement({"ABCD": b"1"}))

    def test_payloads_as_those_of_other_releases(self) -> None:
        self.assertEqual({"FEAT": b"dl cx tr"}, features.with_announcement({}, dialect=False))
        for announced, dialect in ((None, 0), (b"", 0), (b"dl cx", 0), (b"ty", 1), (b"by dl", 2), (b"by ty", 3)):
            self.assertEqual(dialect, features.dialect_of(features.parse(announced)), announced)

    def test_features_that_serializers_of_programs_do_not_have(self) -> None:
        self.assertIsNone(features.without_dialect(None))
        found = features.without_dialect(features.parse(b"ty cx by"))
        self.assertEqual({"cx"}, found)
        self.assertIs(features.parse(b"cx"), found)

    def test_equal_features_are_the_same_object(self) -> None:
        self.assertIs(features.parse(b"ty cx"), features.parse(b"cx ty"))

    def test_clients_with_credentials(self) -> None:
        self.assertEqual({"FEAT": b"dl cx ty by buf tr auth"}, features.with_announcement({}, authenticates=True))

    def test_only_connections_that_are_offered_announce_it(self) -> None:
        self.assertEqual({"FEAT": b"dl cx ty by buf tr cb"}, features.with_announcement({}, extra=["cb"]))
        self.assertEqual({"FEAT": b"dl cx ty by buf tr auth cb"}, features.with_announcement(
            {}, authenticates=True, extra=["cb"]))

    def test_only_clients_with_several_calls_in_flight_announce_what_is_for_these(self) -> None:
        self.assertEqual({"FEAT": b"dl cx ty by buf ooo tr"}, features.with_announcement({}, pipelines=True))


class Deadlines(unittest.TestCase):
    def test_milliseconds(self) -> None:
        self.assertEqual(b"1500", features.encode_deadline(1.5))
        self.assertEqual(1.5, features.parse_deadline(b"1500"))

    def test_nothing_left(self) -> None:
        self.assertEqual(b"0", features.encode_deadline(-1))
        self.assertEqual(0, features.parse_deadline(memoryview(b"0")))

    def test_very_long_ones_are_bounded(self) -> None:
        self.assertEqual(10 ** 10 - 1, round(1000 * (features.parse_deadline(features.encode_deadline(1e300)) or 0)))

    def test_what_is_no_number_is_no_deadline(self) -> None:
        for data in (b"", b"-1", b"1.5", b"1e3", b"x", b"9" * 11, b"9" * 100000, "٣".encode(), b" 1"):
            with self.subTest(data[:20]):
                self.assertIsNone(features.parse_deadline(data))
