"""The pure parts of the storage etcd:, with replies as etcd 3.4 sends them; no etcd is needed."""
from __future__ import annotations

import base64
import json
import unittest
from typing import Any, Dict, Optional

from Pyro5._naming.storage.details import NO_DETAILS, Details, Lease, Member
from Pyro5._naming.storage.etcd import messages
from Pyro5._naming.storage.etcd.messages import EtcdError, Event, Pair
from Pyro5._naming.storage.etcd.mirror import Mirror
from Pyro5._naming.storage.etcd.records import (Record, compose, decode_key, decode_value, encode_key, encode_value,
                                                etcd_lease, key_range, lease_seconds, name_range, plan)
from Pyro5._naming.storage.etcd.target import Target, parse_target

ONE, TWO, THREE = "PYRO:one@host:1", "PYRO:two@host:2", "PYRO:three@host:3"
HEADER = {"cluster_id": "14841639068965178418", "member_id": "10276657743932975437", "revision": "7", "raft_term": "2"}
NO_TAGS: Any = frozenset()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class RequestTests(unittest.TestCase):
    def test_numbers_are_text_and_keys_are_base64(self) -> None:
        self.assertEqual({"key": "L2EvYg==", "range_end": "L2EvYw==", "limit": "10", "revision": "5"},
                         messages.range_request(b"/a/b", b"/a/c", 10, 5))
        self.assertEqual({"create_request": {"key": "YQ==", "range_end": "Yg==", "start_revision": "12",
                                             "progress_notify": True}}, messages.watch_request(b"a", b"b", 12))
        self.assertEqual({"ID": "9223372036854775807", "TTL": "30"}, messages.grant_request(2 ** 63 - 1, 30))

    def test_transaction(self) -> None:
        request = messages.txn_request([messages.compare_newer(b"a", b"b", 6), messages.compare_revision(b"a", 6)],
                                       [messages.put_op(b"a", b"x", 77), messages.delete_op(b"b")], [messages.range_op(b"a")])
        self.assertEqual([{"key": "YQ==", "range_end": "Yg==", "target": "MOD", "result": "LESS", "mod_revision": "7"},
                          {"key": "YQ==", "target": "MOD", "result": "EQUAL", "mod_revision": "6"}], request["compare"])
        self.assertEqual([{"request_put": {"key": "YQ==", "value": "eA==", "lease": "77"}},
                          {"request_delete_range": {"key": "Yg==", "range_end": ""}}], request["success"])
        self.assertEqual([{"request_range": {"key": "YQ=="}}], request["failure"])

    def test_many_renewals_are_lines_of_one_request(self) -> None:
        self.assertEqual(b'{"ID": "1"}\n{"ID": "2"}', messages.keepalive_requests([1, 2]))


class ReplyTests(unittest.TestCase):
    def test_range(self) -> None:
        reply = {"header": HEADER, "kvs": [{"key": "YQ==", "create_revision": "2", "mod_revision": "3", "version": "2",
                                            "value": "eA=="}], "more": True, "count": "2"}
        self.assertEqual(([Pair(b"a", b"x", 3)], 7, True), messages.parse_range(reply))
        # Nothing found: fields that are empty, zero or false are left out.
        self.assertEqual(([], 7, False), messages.parse_range({"header": HEADER}))

    def test_transaction(self) -> None:
        done = messages.parse_txn({"header": HEADER, "succeeded": True, "responses": [
            {"response_delete_range": {"header": {"revision": "7"}}}, {"response_put": {"header": {"revision": "7"}}}]})
        self.assertEqual((True, 7, True, []), done)
        nothing = messages.parse_txn({"header": HEADER, "succeeded": True, "responses": [
            {"response_delete_range": {"header": {"revision": "7"}}}]})
        self.assertEqual((True, 7, False, []), nothing)
        failed = messages.parse_txn({"header": HEADER, "responses": [{"response_range": {
            "header": {"revision": "7"}, "kvs": [{"key": "YQ==", "mod_revision": "2", "value": "YQ=="}], "count": "1"}}]})
        self.assertEqual((False, 7, False, [Pair(b"a", b"a", 2)]), failed)

    def test_a_lease_without_ttl_is_gone(self) -> None:
        lines = [{"result": {"header": HEADER, "ID": "777", "TTL": "5"}}, {"result": {"header": HEADER, "ID": "999"}}]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode("ascii")
        self.assertEqual({777: True, 999: False}, messages.parse_keepalives(body))

    def test_errors(self) -> None:
        for status, code, message, wanted in (
                (400, 11, "etcdserver: mvcc: required revision has been compacted", "is_compacted"),
                (400, 3, "etcdserver: user name is empty", "needs_token"),
                (401, 16, "etcdserver: invalid auth token", "needs_token"),
                (403, 7, "etcdserver: permission denied", None),
                (404, 5, "etcdserver: requested lease not found", None),
                (400, 3, "etcdserver: request is too large", None),
                (429, 8, "etcdserver: mvcc: database space exceeded", "is_passing"),
                (503, 14, "etcdserver: no leader", "is_passing"),
                (503, 14, "etcdserver: request timed out", "is_passing")):
            with self.subTest(message):
                error = messages.parse_error(status, json.dumps({"error": message, "message": message, "code": code}).encode())
                self.assertEqual((code, status, message), (error.code, error.http_status, str(error)))
                self.assertEqual({wanted} - {None}, {each for each in ("is_compacted", "needs_token", "is_passing")
                                                     if getattr(error, each)})

    def test_replies_of_other_servers(self) -> None:
        with self.assertRaisesRegex(EtcdError, "not a reply of etcd's JSON gateway"):
            messages.parse_reply(b"<html>")
        self.assertTrue(messages.parse_error(502, b"Bad Gateway").is_passing)
        self.assertFalse(messages.parse_error(404, b"404 page not found").is_passing)

    def test_watch(self) -> None:
        def parse(result: Any) -> messages.WatchReply:
            return messages.parse_watch(json.dumps({"result": {"header": HEADER, **result}}).encode("ascii"))

        self.assertEqual(([], 7, True, None), parse({"created": True}))
        self.assertEqual(([], 7, False, None), parse({}))  # progress
        events = [{"kv": {"key": "YQ==", "create_revision": "7", "mod_revision": "7", "version": "1", "value": "eA=="}},
                  {"type": "DELETE", "kv": {"key": "Yg==", "mod_revision": "7"}}]
        self.assertEqual([Event(b"a", b"x", 7), Event(b"b", None, 7)], parse({"events": events}).events)
        compacted = parse({"canceled": True, "compact_revision": "5"})
        self.assertEqual("canceled", compacted.cancel_reason)
        with self.assertRaises(EtcdError) as caught:
            messages.parse_watch(b'{"error":{"grpc_code":14,"http_code":503,"message":"transport is closing"}}')
        self.assertTrue(caught.exception.is_passing)


class RecordTests(unittest.TestCase):
    def test_keys(self) -> None:
        for name in ("a", "lab.one", "50%", "%", "", "a\0b", "\N{GRINNING FACE}", "100%25"):
            for member in ("", ONE):
                with self.subTest(name=name, member=member):
                    data = encode_key("/p/", (name, member))
                    self.assertEqual((name, member), decode_key("/p/", data))
                    start, end = name_range("/p/", name)
                    self.assertTrue(start <= data < end)
                    self.assertTrue(key_range("/p/")[0] <= data < key_range("/p/")[1])
        for other in ("ab", "a b", "a!", "A", "a\0", "a.b"):
            self.assertFalse(name_range("/p/", "a")[0] <= encode_key("/p/", (other, "")) < name_range("/p/", "a")[1], other)
        for foreign in (b"/other", b"/p/", b"/p/\xff\xfe"):
            self.assertIsNone(decode_key("/p/", foreign))

    def test_values(self) -> None:
        for record in (Record(ONE, NO_TAGS, None), Record(TWO, frozenset(["b", "a"]), Lease("ab12", 2.5, "host:1"))):
            self.assertEqual(record, decode_value(encode_value(record)))
        # So that a transaction whose reply was lost can be recognized.
        self.assertNotEqual(encode_value(record), encode_value(record))
        for foreign in (b"", b"text", b"[]", b"{}", b'{"uri": "x", "lease": 1}', b"\xff"):
            self.assertIsNone(decode_value(foreign))

    def test_leases(self) -> None:
        lease = Lease("ab12", 2.5, "host:1")
        self.assertEqual(3, lease_seconds(lease))
        self.assertEqual(1, lease_seconds(Lease("ab12", 0.1, "")))
        self.assertTrue(0 < etcd_lease(lease) < 1 << 63)
        # The address of the client has no influence, but the duration has: etcd cannot change it.
        self.assertEqual(etcd_lease(lease), etcd_lease(Lease("ab12", 2.6, "")))
        self.assertNotEqual(etcd_lease(lease), etcd_lease(Lease("ab12", 4.0, "host:1")))

    def test_plan_of_a_plain_registration(self) -> None:
        made = plan("/p/", "a", (ONE, {"t"}), NO_DETAILS, {})
        self.assertEqual(([], [(("a", ""), Record(ONE, frozenset("t"), None))]), made)
        # In the place of members.
        made = plan("/p/", "a", (ONE, NO_TAGS), NO_DETAILS, {TWO: Record(TWO, NO_TAGS, None)})
        self.assertEqual([(b"/p/a\0", b"/p/a\1")], made.deletes)

    def test_plan_of_members(self) -> None:
        def members(*uris: str) -> Details:
            return Details(None, tuple(Member(uri, None) for uri in uris))

        existing = {uri: Record(uri, NO_TAGS, None) for uri in (ONE, TWO)}
        made = plan("/p/", "a", (ONE, NO_TAGS), members(ONE, TWO, THREE), existing)
        self.assertEqual(([], [("a", THREE)]), (made.deletes, [key for key, _ in made.puts]))
        made = plan("/p/", "a", (TWO, NO_TAGS), members(TWO), existing)
        self.assertEqual(([(encode_key("/p/", ("a", ONE)), b"")], []), made)
        made = plan("/p/", "a", (TWO, NO_TAGS), members(TWO, ONE), existing)
        self.assertEqual([("a", ONE)], [key for key, _ in made.puts])  # registered again, so it is the last one now
        made = plan("/p/", "a", (ONE, NO_TAGS), members(ONE, TWO), existing)
        self.assertEqual([("a", TWO)], [key for key, _ in made.puts])  # again, without any change
        made = plan("/p/", "a", (ONE, {"t"}), members(ONE, TWO), existing)
        self.assertEqual([("a", ONE), ("a", TWO)], [key for key, _ in made.puts])
        made = plan("/p/", "a", (ONE, NO_TAGS), members(ONE), {"": Record(TWO, NO_TAGS, None)})
        self.assertEqual([(b"/p/a", b"")], made.deletes)

    def test_compose(self) -> None:
        lease = Lease("ab", 1.0, "")
        self.assertEqual(((ONE, {"t"}), Details(lease), 4), compose({"": (Record(ONE, frozenset("t"), lease), 4)}))
        found = compose({TWO: (Record(TWO, NO_TAGS, None), 5), ONE: (Record(ONE, frozenset("t"), lease), 6)})
        self.assertEqual(((TWO, {"t"}), Details(None, (Member(TWO, None), Member(ONE, lease))), 6), found)


class MirrorTests(unittest.TestCase):
    def setUp(self) -> None:
        self.mirror = Mirror("/p/")

    def put(self, revision: int, name: str, uri: str = ONE, member: str = "", lease: Optional[Lease] = None) -> Event:
        return Event(encode_key("/p/", (name, member)), encode_value(Record(uri, NO_TAGS, lease)), revision)

    def delete(self, revision: int, name: str, member: str = "") -> Event:
        return Event(encode_key("/p/", (name, member)), None, revision)

    def brief(self, *events: Event) -> Any:
        return [(change.name, change.old and change.old[0], change.new and change.new[0], change.revision)
                for change in self.mirror.apply(events)]

    def test_changes(self) -> None:
        self.assertEqual([("a", None, ONE, 2), ("a", ONE, TWO, 3), ("a", TWO, None, 4)],
                         self.brief(self.put(2, "a"), self.put(3, "a", TWO), self.delete(4, "a")))
        self.assertEqual([], self.brief(self.delete(5, "a")))
        self.assertEqual(0, self.mirror.key_count)

    def test_the_events_of_one_transaction_are_one_change(self) -> None:
        self.brief(self.put(2, "a", ONE, ONE), self.put(3, "a", TWO, TWO))
        self.assertEqual((2, {"a": 3}), (self.mirror.key_count, self.mirror.revisions))
        self.assertEqual([("a", ONE, THREE, 4)],
                         self.brief(self.delete(4, "a", ONE), self.delete(4, "a", TWO), self.put(4, "a", THREE)))
        self.assertEqual({}, self.mirror.details)

    def test_foreign_keys(self) -> None:
        self.assertEqual([], self.brief(Event(b"/p/a", b"text", 2), Event(b"/p/\xff", b"", 3)))
        self.assertEqual(2, self.mirror.key_count)
        self.assertEqual([("a", None, ONE, 4)], self.brief(self.put(4, "a")))
        self.assertEqual([], self.brief(Event(b"/p/\xff", None, 5)))
        self.assertEqual(1, self.mirror.key_count)

    def test_reading_again_finds_what_has_changed(self) -> None:
        self.brief(self.put(2, "same"), self.put(3, "changed"), self.put(4, "gone"), self.put(5, "group", ONE, ONE))
        seen: Any = set()
        same, changed = self.put(2, "same"), self.put(6, "changed", TWO)
        found = self.mirror.outdated([Pair(*same), Pair(*changed)], seen)  # type: ignore[arg-type]
        self.assertEqual([changed], found)
        gone = self.mirror.vanished(seen, lambda key: encode_key("/p/", key), 7)
        self.assertEqual([("changed", ONE, TWO, 6), ("gone", ONE, None, 7), ("group", ONE, None, 7)],
                         self.brief(*found, *gone))

    def test_position(self) -> None:
        self.mirror.move_to(5)
        self.mirror.move_to(3)
        self.assertTrue(self.mirror.wait_for(5, 0))
        self.assertFalse(self.mirror.wait_for(6, 0))


class TargetTests(unittest.TestCase):
    def test_forms(self) -> None:
        expected: Dict[str, Target] = {
            "http://h1:2379,h2:2380/lab/names": Target((("h1", 2379), ("h2", 2380)), False, "/lab/names/"),
            "http://h1": Target((("h1", 2379),), False, "/pyro5/"),
            "https://[::1]:99/": Target((("::1", 99),), True, "/pyro5/"),
            "http://h1:1,http://h2:2/x": Target((("h1", 1), ("h2", 2)), False, "/x/"),
            "https://me@h1/x?password_file=/etc/p&ca_file=ca.pem": Target((("h1", 2379),), True, "/x/", "me", "/etc/p",
                                                                          "ca.pem"),
        }
        for form, target in expected.items():
            with self.subTest(form):
                self.assertEqual(target, parse_target(form))
        self.assertEqual("http://h1:2379,[::1]:2/x", str(parse_target("http://h1,[::1]:2/x")))

    def test_refused(self) -> None:
        for form, reason in ((None, "needs the addresses"), ("", "needs the addresses"), ("h1:2379", "needs the addresses"),
                             ("ftp://h1", "needs the addresses"), ("http://h1:port/x", "invalid address"),
                             ("http://,/x", "invalid address"), ("http://me:secret@h1", "belongs into a file"),
                             ("http://me@h1", "belong together"), ("http://h1/x?password_file=p", "belong together"),
                             ("http://h1/x?other=1", "invalid option .*: other"), ("http://h1?x", "invalid options"),
                             ("http://h1/x?ca_file=ca", "https")):
            with self.subTest(form), self.assertRaisesRegex(ValueError, reason):
                parse_target(form)
