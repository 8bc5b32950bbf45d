"""Leases, revisions and members of a name server, with a clock that the test sets, and in all storages."""
from __future__ import annotations

import os
import tempfile
import threading
import unittest
from typing import Any, List

from Pyro5 import config, errors
from Pyro5._naming import checks
from Pyro5._naming.leases import ExpiryTimer, LeaseTable
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage.details import Details, Lease, Member, from_text, to_text
from Pyro5._naming.storage.sqlite import SqlStorage
from tests.support import PATIENCE_SECONDS

ONE, TWO, THREE = "PYRO:one@host:1", "PYRO:two@host:2", "PYRO:three@host:3"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LeaseTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.clock = Clock()
        self.ns = self.start()

    def start(self, storage: Any = None) -> NameServer:
        ns = NameServer(storage, clock=self.clock)
        self.addCleanup(ns.close)
        return ns

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.ns.remove_ended()

    def lease(self, name: str = "a", uri: str = ONE, ttl: float = 30, **options: Any) -> str:
        accepted = self.ns.register(name, uri, ttl=ttl, **options)
        assert accepted is not None
        return str(accepted["lease"])


class LeaseTests(LeaseTestCase):
    def test_a_registration_is_removed_when_its_lease_ends(self) -> None:
        self.lease()
        self.wait(29.9)
        self.assertEqual(ONE, str(self.ns.lookup("a")))
        self.wait(0.2)
        with self.assertRaisesRegex(errors.NamingError, "unknown name: a"):
            self.ns.lookup("a")

    def test_a_renewed_lease_lasts_longer(self) -> None:
        lease = self.lease()
        self.wait(20)
        self.assertEqual({}, self.ns.renew({lease: "a"}))
        self.wait(29)
        self.assertIn("a", self.ns.list())
        self.wait(2)
        self.assertNotIn("a", self.ns.list())
        self.assertEqual({lease: ""}, self.ns.renew({lease: "a"}))

    def test_a_plain_registration_has_no_lease_and_returns_nothing(self) -> None:
        self.assertIsNone(self.ns.register("a", ONE))
        self.wait(1e9)
        self.assertIn("a", self.ns.list())

    def test_a_leased_name_is_refused_to_others_with_an_error_that_names_the_holder(self) -> None:
        self.lease()
        for options in ({}, {"ttl": 5}, {"safe": True}, {"member": True}):  # type: Any
            with self.subTest(options), self.assertRaisesRegex(errors.NamingError, "name already registered: a"):
                self.ns.register("a", TWO, **options)
        with self.assertRaisesRegex(errors.NamingError, "a is leased to PYRO:one@host:1, for another 30.0 seconds"):
            self.ns.register("a", TWO)
        self.assertIsNone(self.ns.register("a", TWO, safe=False))
        self.assertEqual(TWO, str(self.ns.lookup("a")))

    def test_the_holder_of_a_lease_can_register_again_and_keeps_it(self) -> None:
        lease = self.lease()
        self.wait(20)
        self.assertEqual(lease, self.lease(ttl=10))
        self.wait(9.9)
        self.assertIn("a", self.ns.list())
        self.wait(0.2)
        self.assertNotIn("a", self.ns.list())

    def test_another_client_gets_the_name_when_the_lease_has_ended(self) -> None:
        self.lease()
        self.clock.now += 30  # it has ended, but has not been removed yet
        self.ns.register("a", TWO)
        self.wait(100)
        self.assertEqual(TWO, str(self.ns.lookup("a")))

    def test_release(self) -> None:
        lease = self.lease()
        other = self.lease("b", TWO)
        self.assertEqual(0, self.ns.release({other: "a", lease: "b"}))
        self.assertEqual(1, self.ns.release({lease: "a"}))
        self.assertEqual({"b": TWO}, self.ns.list())

    def test_removing_a_name_ends_its_lease(self) -> None:
        lease = self.lease()
        self.ns.remove("a")
        self.ns.register("a", TWO)
        self.assertEqual({lease: TWO}, self.ns.renew({lease: "a"}))
        self.wait(100)
        self.assertEqual(TWO, str(self.ns.lookup("a")))

    def test_metadata_can_be_changed_during_a_lease(self) -> None:
        self.lease(metadata=["red"])
        self.wait(20)
        self.ns.set_metadata("a", ["blue"])
        self.assertEqual(10, self.ns.details("a")["lease"]["left"])
        self.wait(11)
        self.assertEqual({}, self.ns.list())

    def test_autoclean_leaves_leased_names_alone(self) -> None:
        self.lease()
        self.ns.register("b", TWO)
        self.assertEqual({"b": TWO}, self.ns.unleased_uris())
        self.assertFalse(self.ns.remove_unchanged("a", ONE))

    def test_arguments(self) -> None:
        for options, error, text in (({"ttl": 1 << 100}, ValueError, "ttl is too large"),
                                     ({"if_revision": 1 << 100}, ValueError, "if_revision is too large"),
                                     ({"ttl": 0}, ValueError, "ttl is 0"), ({"ttl": float("nan")}, ValueError, "ttl is nan"),
                                     ({"ttl": 1e9}, ValueError, "at most 31536000 seconds"),
                                     ({"ttl": "30"}, TypeError, "must be a number of seconds, not str"),
                                     ({"ttl": True}, TypeError, "not bool"),
                                     ({"if_revision": "1"}, TypeError, "must be an int")):
            with self.subTest(options), self.assertRaisesRegex(error, text):  # type: ignore[arg-type]
                self.ns.register("a", ONE, **options)
        for leases in ([], {"a": 1}, {1: "a"}):  # type: Any
            with self.subTest(leases), self.assertRaises(TypeError):
                self.ns.renew(leases)
        with self.assertRaisesRegex(ValueError, "at most %d are allowed" % checks.LEASES_AT_ONCE):
            self.ns.renew({str(number): "" for number in range(checks.LEASES_AT_ONCE + 1)})

    def test_unauthorized_clients_change_no_leases(self) -> None:
        def refuse() -> None:
            raise errors.NamingError("not you")

        lease = self.lease()
        self.ns._require_writer = refuse
        for change in (self.ns.renew, self.ns.release):
            with self.assertRaisesRegex(errors.NamingError, "not you"):
                change({lease: "a"})

    def test_leases_count_for_the_limit_of_memory(self) -> None:
        config.NS_MAX_SIZE = 4000
        ns = self.start()
        ns.register("a", ONE)
        with self.assertRaisesRegex(errors.NamingError, "the name server is full"):
            for number in range(20):
                ns.register("m", "PYRO:m%d@host:1" % number, ttl=30, member=True)
        members = ns.candidates("m")
        self.clock.now += 20
        ns.renew({lease.lease_id: "m" for lease in ns._leases.details("m").leases()[1:]})
        self.clock.now += 20
        ns.remove_ended()
        self.assertEqual(len(members) - 1, len(ns.candidates("m")))


class TimerTests(unittest.TestCase):
    def test_ended_leases_are_removed_without_a_call(self) -> None:
        ns = NameServer()
        self.addCleanup(ns.close)
        gone = threading.Event()
        remove = ns._remove_names
        ns._remove_names = lambda names: (remove(names), gone.set())[0]  # type: ignore[method-assign]
        ns.register("a", ONE, ttl=0.1)
        self.assertTrue(gone.wait(PATIENCE_SECONDS))
        self.assertEqual({}, ns.list())

    def test_the_thread_ends_without_leases_and_starts_again(self) -> None:
        clock, calls, threads = Clock(), threading.Semaphore(0), []

        def expire() -> None:
            threads.append(threading.current_thread())
            calls.release()

        timer = ExpiryTimer(expire, clock)
        self.addCleanup(timer.close)
        for _ in range(2):
            timer.schedule(clock.now)
            self.assertTrue(calls.acquire(timeout=PATIENCE_SECONDS))
            threads[-1].join()
        self.assertEqual(2, len(set(threads)))

    def test_many_short_registrations_leave_nothing(self) -> None:
        table = LeaseTable(Clock())
        for number in range(1000):
            table.set("a", Details(Lease(str(number), 1e6, "")))
        table.remove("a")
        self.assertLess(len(table._queue), 200)
        self.assertEqual((None, 0, {}), (table.next_end(), table.used_bytes, table.all_details()))


class RevisionTests(LeaseTestCase):
    def test_if_revision(self) -> None:
        first = self.ns.register("a", ONE, if_revision=0)
        assert first is not None
        with self.assertRaisesRegex(errors.NamingError, "a has revision %d now, not 0" % first["revision"]):
            self.ns.register("a", TWO, if_revision=0)
        second = self.ns.register("a", TWO, if_revision=first["revision"])
        assert second is not None
        self.assertGreater(second["revision"], first["revision"])
        self.assertEqual(second["revision"], self.ns.details("a")["revision"])
        self.ns.remove("a")
        with self.assertRaisesRegex(errors.NamingError, "a has revision 0 now"):
            self.ns.register("a", ONE, if_revision=second["revision"])

    def test_revisions_are_not_valid_after_a_restart(self) -> None:
        storage = {"a": (ONE, frozenset(["tag"]))}
        ns = self.start(storage)
        revision = ns.details("a")["revision"]
        ns.register("a", TWO, if_revision=revision)
        with self.assertRaisesRegex(errors.NamingError, "a has revision"):
            self.start(storage).register("a", ONE, if_revision=ns.details("a")["revision"])

    def test_setting_metadata_changes_the_revision(self) -> None:
        self.ns.register("a", ONE)
        revision = self.ns.details("a")["revision"]
        self.ns.set_metadata("a", ["tag"])
        self.assertGreater(self.ns.details("a")["revision"], revision)


class MemberTests(LeaseTestCase):
    def test_members_are_looked_up_at_random(self) -> None:
        for uri in (ONE, TWO):
            self.lease(uri=uri, member=True)
        self.assertEqual({ONE, TWO}, {str(self.ns.lookup("a")) for _ in range(200)})
        self.assertEqual({ONE, TWO}, set(self.ns.candidates("a")))
        self.assertEqual(2, len({tuple(self.ns.candidates("a")) for _ in range(200)}))
        self.assertEqual({"a": ONE}, self.ns.list())

    def test_least_picks_each_as_often(self) -> None:
        for uri in (ONE, TWO, THREE):
            self.ns.register("a", uri, member=True)
        picked = [self.ns.candidates("a", "least")[0] for _ in range(9)]
        self.assertEqual([3, 3, 3], [picked.count(uri) for uri in (ONE, TWO, THREE)])
        with self.assertRaisesRegex(ValueError, "pick must be one of random, least"):
            self.ns.candidates("a", "best")

    def test_the_candidate_of_a_plain_name_is_its_uri(self) -> None:
        self.ns.register("a", ONE)
        self.assertEqual([ONE], self.ns.candidates("a"))
        with self.assertRaisesRegex(errors.NamingError, "unknown name: b"):
            self.ns.candidates("b")

    def test_each_member_has_its_own_lease(self) -> None:
        first = self.lease(uri=ONE, member=True, metadata=["red"])
        self.lease(uri=TWO, member=True, ttl=60)
        self.ns.register("a", THREE, member=True)
        self.wait(40)
        self.assertEqual({TWO, THREE}, set(self.ns.candidates("a")))
        self.assertEqual({first: TWO}, self.ns.renew({first: "a"}))
        self.wait(40)
        self.assertEqual([THREE], self.ns.candidates("a"))
        self.assertEqual({"a": (THREE, {"red"})}, self.ns.list(return_metadata=True))

    def test_a_member_that_registers_again_is_not_added_twice(self) -> None:
        lease = self.lease(uri=ONE, member=True)
        self.assertEqual(lease, self.lease(uri=ONE, member=True))
        self.assertEqual([ONE], self.ns.candidates("a"))
        self.assertEqual(1, self.ns.release({lease: "a"}))
        self.assertEqual({}, self.ns.list())

    def test_leased_members_are_not_replaced_by_an_ordinary_registration(self) -> None:
        self.lease(uri=ONE, member=True)
        with self.assertRaisesRegex(errors.NamingError, "a is leased to " + ONE):
            self.ns.register("a", TWO)
        self.ns.register("a", TWO, safe=False)
        self.assertEqual([TWO], self.ns.candidates("a"))

    def test_the_number_of_members_is_limited(self) -> None:
        for number in range(checks.MEMBERS):
            self.ns.register("a", "PYRO:m%d@host:1" % number, member=True)
        with self.assertRaisesRegex(errors.NamingError, "a has %d members already" % checks.MEMBERS):
            self.ns.register("a", ONE, member=True)


class StorageTests(LeaseTestCase):
    """A name server that is started again with the same storage."""

    def specs(self) -> List[str]:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return [kind + os.path.join(folder.name, kind[:-1]) for kind in ("sql:", "dbm:")]

    def test_leases_are_kept_and_start_anew(self) -> None:
        for spec in self.specs():
            with self.subTest(spec):
                self.ns = self.start(spec)
                lease = self.lease()
                self.lease("m", ONE, member=True)
                self.lease("m", TWO, ttl=60, member=True)
                self.wait(20)
                self.ns.close()
                self.ns = self.start(spec)
                self.wait(29)
                self.assertEqual({"a": ONE, "m": ONE}, self.ns.list())
                self.assertEqual({}, self.ns.renew({lease: "a"}))
                self.wait(2)
                self.assertEqual({"a": ONE, "m": TWO}, self.ns.list())
                self.wait(100)
                self.assertEqual({}, self.ns.list())
                self.ns.close()
                self.ns = self.start(spec)
                self.assertEqual({}, self.ns.storage.load_details())

    def test_leases_survive_a_crash(self) -> None:
        spec = self.specs()[1]
        self.ns = self.start(spec)
        lease = self.lease()
        self.ns.storage._log.close()  # the process ends here; the file has not been written
        self.ns = self.start(spec)
        self.assertEqual({}, self.ns.renew({lease: "a"}))
        self.assertEqual(["a"], self.ns.storage.names())

    def test_a_registration_that_another_program_has_replaced_has_no_lease(self) -> None:
        spec = self.specs()[0]
        self.ns = self.start(spec)
        self.lease()
        self.ns.close()
        storage = SqlStorage(spec[4:])
        with storage._change() as database:
            database.execute("UPDATE pyro_names SET uri = ?", (TWO,))
        storage.close()
        self.ns = self.start(spec)
        self.wait(100)
        self.assertEqual({"a": TWO}, self.ns.list())

    def test_a_file_without_leases_is_one_of_other_releases(self) -> None:
        spec = self.specs()[0]
        self.ns = self.start(spec)
        self.ns.register("a", ONE)
        with self.ns.storage._reading() as database:
            self.assertEqual([("pyro_metadata",), ("pyro_names",)], database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall())

    def test_damaged_details_are_ignored(self) -> None:
        details = Details(None, (Member(ONE, Lease("id", 30.0, "client")), Member(TWO, None)))
        text = to_text(ONE, details)
        assert text is not None
        self.assertEqual(details, from_text(ONE, text))
        for uri, damaged in ((TWO, text), (ONE, text[:-1]), (ONE, "[1]"), (ONE, '["%s", [1], []]' % ONE)):
            self.assertEqual(Details(), from_text(uri, damaged))


if __name__ == "__main__":
    unittest.main()
