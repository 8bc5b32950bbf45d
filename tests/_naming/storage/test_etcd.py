"""The storage etcd: with a real etcd: the contract, several name servers, leases, users, and a cluster that is away."""
from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import tempfile
import threading
import unittest
from typing import Any, Callable, List, Optional
from unittest import mock

from Pyro5 import config, errors, nsc
from Pyro5._cli.etcd_check import check_etcd
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage.etcd import follower
from Pyro5._naming.storage.etcd.messages import EtcdError
from Pyro5._naming.storage.etcd.storage import EtcdStorage
from Pyro5._naming.storage.etcd.target import parse_target
from Pyro5._naming.storage.specs import open_storage
from Pyro5.nameserver import NameServerDaemon

from ...support import PATIENCE_SECONDS, PROJECT, daemon_thread, run_main
from .contract import StorageContract
from .etcd_server import WHY_NOT, Cluster

ONE, TWO, THREE = "PYRO:one@host:1", "PYRO:two@host:2", "PYRO:three@host:3"
_prefixes = itertools.count()
cluster: Optional[Cluster] = None


def setUpModule() -> None:
    global cluster
    if not WHY_NOT:
        cluster = Cluster().start()


def tearDownModule() -> None:
    if cluster is not None:
        cluster.stop()


@unittest.skipIf(bool(WHY_NOT), str(WHY_NOT))
class EtcdTestCase(unittest.TestCase):
    def setUp(self) -> None:
        assert cluster is not None
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.cluster = cluster
        # Each test has its own part of the cluster.
        self.spec = cluster.spec("test%d" % next(_prefixes))

    def open(self, spec: str = "") -> EtcdStorage:
        opened: Any = open_storage(spec or self.spec)
        self.addCleanup(opened.close)
        return opened

    def name_server(self, spec: str = "") -> NameServer:
        ns = NameServer(spec or self.spec)
        self.addCleanup(ns.close)
        return ns

    def wait_until(self, ns: NameServer, condition: Callable[[], Any]) -> None:
        """Wait for a change that another name server makes."""
        until_changed = threading.Event()
        original = ns._watches.wake
        with mock.patch.object(ns._watches, "wake", lambda: (original(), until_changed.set())):
            while not condition():
                self.assertTrue(until_changed.wait(PATIENCE_SECONDS), "nothing has changed")
                until_changed.clear()


class ContractTests(EtcdTestCase, StorageContract):
    def make(self) -> EtcdStorage:
        return EtcdStorage(parse_target(self.cluster.spec("contract%d" % next(_prefixes))[len("etcd:"):]))


class SharingTests(EtcdTestCase):
    def test_name_servers_see_each_others_registrations(self) -> None:
        first, second = self.name_server(), self.name_server()
        first.register("lab.a", ONE, metadata=["tag"])
        self.wait_until(second, lambda: second.count() == 1)
        self.assertEqual((ONE, {"tag"}), (str(second.lookup("lab.a")), second.lookup("lab.a", True)[1]))
        second.set_metadata("lab.a", ["other"])
        self.assertEqual(["lab.a"], list(second.yplookup(meta_all=["other"])))
        self.wait_until(first, lambda: first.yplookup(meta_all=["other"]))
        second.remove("lab.a")
        self.wait_until(first, lambda: first.count() == 0)

    def test_a_change_can_be_read_at_once_where_it_was_made(self) -> None:
        ns = self.name_server()
        for number in range(20):
            ns.register("name", "PYRO:%d@host:1" % number)
            self.assertEqual("PYRO:%d@host:1" % number, str(ns.lookup("name")))
        self.assertEqual(1, ns.remove("name"))
        self.assertEqual(0, ns.count())

    def test_the_own_registration_is_not_shared(self) -> None:
        first, second = self.name_server(), self.name_server()
        first.register_self(ONE)  # type: ignore[arg-type]
        second.register_self(TWO)  # type: ignore[arg-type]
        self.assertEqual([ONE, TWO], [str(ns.lookup("Pyro.NameServer")) for ns in (first, second)])
        self.assertEqual(0, self.name_server().count())

    def test_a_safe_registration_is_refused_by_a_name_server_that_has_not_seen_the_first_one_yet(self) -> None:
        first, second = self.name_server(), self.name_server()
        # The lock keeps the second one from applying the change of the first one.
        with second.lock:
            first.register("name", ONE)
        with second._storage._mirror.lock:  # type: ignore[attr-defined]
            pass
        with self.assertRaisesRegex(errors.NamingError, "name already registered: name"):
            second.register("name", TWO, safe=True)
        self.assertEqual(ONE, str(first.lookup("name")))

    def test_only_one_of_many_safe_registrations_succeeds(self) -> None:
        servers = [self.name_server() for _ in range(3)]
        done: List[str] = []

        def register(number: int) -> None:
            with contextlib.suppress(errors.NamingError):
                servers[number % 3].register("name", "PYRO:%d@host:1" % number, safe=True)
                done.append("PYRO:%d@host:1" % number)

        threads = [threading.Thread(target=register, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(1, len(done))
        self.assertEqual({"name": (done[0], frozenset())}, self.open().find_prefix(""))

    def test_revisions_hold_in_all_name_servers(self) -> None:
        first, second = self.name_server(), self.name_server()
        accepted = first.register("name", ONE, if_revision=0) or {}
        self.wait_until(second, lambda: second.count() == 1)
        self.assertEqual(accepted["revision"], second.details("name")["revision"])
        with self.assertRaisesRegex(errors.NamingError, "has revision %d now, not 1$" % accepted["revision"]):
            second.register("name", TWO, if_revision=1)
        second.register("name", TWO, if_revision=accepted["revision"])
        with self.assertRaisesRegex(errors.NamingError, "has revision"):
            first.register("name", ONE, if_revision=accepted["revision"])

    def test_many_names_are_removed_in_several_transactions(self) -> None:
        first, second = self.name_server(), self.name_server()
        stored = first._storage
        stored.patiently(lambda: [stored.store("many.%d" % number, (ONE, frozenset())) for number in range(300)])
        first.register("other", ONE)
        self.wait_until(second, lambda: second.count() == 301)
        self.assertEqual(300, second.remove(prefix="many."))
        self.wait_until(first, lambda: first.count() == 1)

    def test_watchers_are_told_of_changes_at_other_name_servers(self) -> None:
        from Pyro5._naming.watching import WatchItems
        first, second = self.name_server(), self.name_server()
        first.register("lab.a", ONE)
        self.wait_until(second, lambda: second.count() == 1)
        items: Any = second.watch("lab.")
        self.assertIsInstance(items, WatchItems)
        self.assertEqual(["current", "ready"], [items.next_ready()["kind"] for _ in range(2)])
        first.register("lab.b", TWO)
        first.set_metadata("lab.a", ["tag"])
        first.remove("lab.b")
        self.wait_until(second, lambda: second.count() == 1 and second.lookup("lab.a", True)[1])
        events = [items.next_ready() for _ in range(3)]
        self.assertEqual([("added", "lab.b"), ("changed", "lab.a"), ("removed", "lab.b")],
                         [(event["kind"], event["name"]) for event in events])
        self.assertEqual(second.details("lab.a")["revision"], events[1]["revision"])

    def test_values_of_other_programs_are_ignored(self) -> None:
        import base64
        ns = self.name_server()
        prefix = self.spec.rpartition("/")[2]
        for value in (b"text", b"[]", b'{"uri"', b'{"uri": "x", "lease": 1}'):
            self.cluster.nodes[0].ask("/v3/kv/put", {"key": base64.b64encode(b"/%s/other" % prefix.encode()).decode(),
                                                     "value": base64.b64encode(value).decode()})
        ns.register("name", ONE)
        self.assertEqual(["name"], list(ns.list()))
        self.assertEqual(["name"], list(self.name_server().list()))
        config.NS_ETCD_TIMEOUT = 0.2
        with self.assertRaisesRegex(errors.NamingError, "other name servers or programs have changed"):
            ns.register("other", TWO)

    def test_a_registration_that_is_too_large(self) -> None:
        config.NS_MAX_SIZE = 0
        with self.assertRaisesRegex(errors.NamingError, "too large"):
            self.name_server().register("name", ONE, metadata=["\N{GRINNING FACE}" * 990 + str(number)
                                                               for number in range(450)])


class LeaseTests(EtcdTestCase):
    def test_a_lease_is_renewed_and_released_through_another_name_server(self) -> None:
        first, second = self.name_server(), self.name_server()
        lease = (first.register("name", ONE, ttl=30) or {})["lease"]
        self.wait_until(second, lambda: second.count() == 1)
        self.assertEqual({}, second.renew({lease: "name"}))
        self.assertEqual({"unknown": ONE, lease: ""}, second.renew({"unknown": "name", lease: "another"}))
        with self.assertRaisesRegex(errors.NamingError, "name is leased to PYRO:one@host:1"):
            second.register("name", TWO)
        self.assertEqual(lease, (second.register("name", ONE, ttl=20) or {})["lease"])
        self.assertEqual(1, second.release({lease: "name"}))
        self.wait_until(first, lambda: first.count() == 0)

    def test_many_leases_are_renewed_at_once(self) -> None:
        ns = self.name_server()
        with mock.patch("Pyro5._naming.storage.etcd.transactions.LEASES_AT_ONCE", 4):
            leases = {(ns.register("name%d" % number, ONE, ttl=30) or {})["lease"]: "name%d" % number for number in range(10)}
            self.assertEqual({}, ns.renew(leases))

    def test_each_member_has_its_lease(self) -> None:
        first, second = self.name_server(), self.name_server()
        first.register("plain", ONE, ttl=1)
        first.register("group", ONE, ttl=1, member=True, metadata=["tag"])
        first.register("group", TWO, ttl=30, member=True)
        accepted = first.register("group", THREE, ttl=30, member=True) or {}
        again = first.register("group", THREE, ttl=30, member=True) or {}
        lease = again["lease"]
        self.assertEqual(accepted["lease"], lease)
        self.assertGreater(again["revision"], accepted["revision"])
        self.wait_until(second, lambda: len(second.candidates("group") if "group" in second.list() else ()) == 3)
        self.assertEqual(1.0, second.details("plain")["lease"]["ttl"])
        self.assertEqual([ONE, TWO, THREE], list(second.details("group")["members"]))
        self.wait_until(second, lambda: len(second.candidates("group")) == 2)
        self.assertEqual({TWO, THREE}, set(second.candidates("group")))
        self.wait_until(second, lambda: second.count() == 1)
        self.assertEqual(["tag"], second.details("group")["metadata"])
        second.release({lease: "group"})
        self.wait_until(first, lambda: first.candidates("group") == [TWO])
        first.register("group", ONE, safe=False)  # in the place of all of them
        self.assertIsNone(first.details("group")["members"])
        self.assertEqual({"group": (ONE, frozenset())}, self.open().find_prefix(""))

    def test_leases_and_members_are_there_after_a_restart(self) -> None:
        ns = NameServer(self.spec)
        lease = (ns.register("leased", ONE, ttl=30) or {})["lease"]
        ns.register("group", ONE, member=True)
        ns.register("group", TWO, member=True)
        ns.close()
        ns = self.name_server()
        self.assertEqual([ONE, TWO], list(ns.details("group")["members"]))
        self.assertEqual({}, ns.renew({lease: "leased"}))


class FailureTests(EtcdTestCase):
    def test_a_compacted_watch_reads_everything_again(self) -> None:
        ns, other = self.name_server(), self.name_server()
        ns.register("gone", ONE)
        ns.register("leased", ONE, ttl=30)
        self.wait_until(other, lambda: other.count() == 2)
        following: Any = ns._storage._follower  # type: ignore[attr-defined]
        # The watch begins again at a revision that does not exist any more.
        with other.lock:
            with mock.patch.object(following._client, "open_stream", side_effect=OSError("not yet")):
                following.reconnect()
                other_storage: Any = other._storage
                other_storage.subscribe(threading.RLock(), lambda changes: None)
                other_storage.remove_names(["gone"])
                other_storage.store("new", (TWO, frozenset()))
                revision = other_storage.last_revision
                self.cluster.nodes[0].ask("/v3/kv/compaction", {"revision": str(revision)})
        self.wait_until(ns, lambda: set(ns.list()) == {"new", "leased"})
        ns.register("after", ONE)
        self.assertEqual(["leased"], list(ns.leases()))

    def test_lookups_continue_while_the_cluster_is_away(self) -> None:
        with Cluster() as own, mock.patch.object(follower, "CHECK_SECONDS", 0.05):
            config.NS_ETCD_TIMEOUT = 0.3
            ns = self.name_server(own.spec("away"))
            ns.register("name", ONE)
            self.assertIsNone(ns.status()["stale"])
            noted = threading.Event()
            handler = logging.Handler()
            handler.emit = lambda record: noted.set()  # type: ignore[method-assign]
            log = logging.getLogger("Pyro5.nameserver")
            with self.assertLogs("Pyro5.nameserver", "WARNING") as logged:
                log.addHandler(handler)  # removed at the end of the block, with that of assertLogs()
                own.nodes[0].kill()
                self.assertTrue(noted.wait(PATIENCE_SECONDS))
                self.assertGreaterEqual(ns.status()["stale"], 0)
                self.assertEqual(ONE, str(ns.lookup("name")))
                with self.assertRaisesRegex(errors.NamingError, "cannot reach etcd at http://127.0.0.1:"):
                    ns.register("other", ONE)
                noted.clear()
                own.nodes[0].start()
                own.nodes[0].wait()
                self.assertTrue(noted.wait(PATIENCE_SECONDS))
            self.assertRegex(logged.output[0], "cannot be reached, lookups are answered from memory and may be stale")
            self.assertRegex(logged.output[1], "is reached again")
            self.assertIsNone(ns.status()["stale"])
            ns.register("other", ONE)
            self.assertEqual(2, ns.count())

    def test_a_server_that_hangs_is_noticed(self) -> None:
        with Cluster() as own, mock.patch.object(follower, "CHECK_SECONDS", 0.05), \
                mock.patch("Pyro5._naming.storage.etcd.client.ATTEMPT_SECONDS", 0.2):
            config.NS_ETCD_TIMEOUT = 0.3
            ns = self.name_server(own.spec("hangs"))
            own.nodes[0].signal(signal.SIGSTOP)
            with self.assertRaisesRegex(errors.NamingError, "no reply in time"):
                ns.register("name", ONE)
            own.nodes[0].signal(signal.SIGCONT)
            config.NS_ETCD_TIMEOUT = PATIENCE_SECONDS
            ns.register("name", ONE)

    def test_https(self) -> None:
        files = {name: os.path.join(PROJECT, "tests", "certs", name) for name in ("ca.pem", "server.pem", "server.key")}
        with Cluster(1, ("--cert-file", files["server.pem"], "--key-file", files["server.key"])) as own:
            where = own.spec("tls").replace("http:", "https:")
            with mock.patch.object(follower, "LOAD_SECONDS", 0.5), self.assertRaisesRegex(
                    errors.NamingError, "(?i)certificate verify failed"):
                open_storage(where)
            ns = self.name_server(where + "?ca_file=" + files["ca.pem"])
            ns.register("name", ONE, ttl=30)
            self.assertEqual(ONE, str(ns.lookup("name")))
            with self.assertRaisesRegex(errors.NamingError, "cannot use the certificates for etcd"):
                open_storage(where + "?ca_file=" + files["server.key"])

    def test_no_cluster_at_the_start(self) -> None:
        with mock.patch.object(follower, "LOAD_SECONDS", 0.1), self.assertRaisesRegex(
                errors.NamingError, "cannot reach etcd at http://127.0.0.1:1/x: 127.0.0.1:1: Connection refused"):
            open_storage("etcd:http://127.0.0.1:1/x")

    def test_a_closed_storage_can_be_read_and_refuses_changes(self) -> None:
        opened = self.open()
        opened["name"] = (ONE, frozenset())
        opened.close()
        self.assertEqual(ONE, opened["name"][0])
        with self.assertRaisesRegex(errors.NamingError, "is closed"):
            opened["name"] = (TWO, frozenset())


class ToolTests(EtcdTestCase):
    def test_ping_says_that_lookups_may_be_stale(self) -> None:
        with NameServerDaemon("127.0.0.1", 0, storage=self.spec) as daemon, daemon_thread(daemon):
            place = ("-n", "127.0.0.1", "-p", daemon.sock.getsockname()[1])
            self.assertEqual("Name server ping ok.\n", run_main(nsc.main, *place, "ping").out)
            shared: Any = daemon.nameserver._storage
            shared._follower._set_state(watch_failure="gone")
            self.assertRegex(run_main(nsc.main, *place, "ping").out, "ping ok, but stale: .* for 0 seconds")
            self.assertRegex(run_main(nsc.main, *place, "--json", "ping").out, '"stale": 0')

    def test_the_doctor_checks_the_cluster(self) -> None:
        assert cluster is not None
        port = cluster.nodes[0].port
        found = [str(finding) for finding in check_etcd("etcd:http://127.0.0.1:%d,127.0.0.1:1/x" % port)]
        self.assertRegex(found[0], r"^ok +etcd on 127.0.0.1:%d answers: 3\.\S+, it is the leader$" % port)
        self.assertRegex(found[1], "^note +etcd on 127.0.0.1:1 cannot be reached: Connection refused")
        self.assertRegex(found[2], "^ok +etcd at http://.*/x: 0 keys, they can be read and changed$")
        config.COMMTIMEOUT = 0.1
        found = [str(finding) for finding in check_etcd("etcd:http://127.0.0.1:1")]
        self.assertRegex(found[1], "^WRONG +cannot reach etcd at http://127.0.0.1:1/pyro5")
        self.assertRegex(next(iter(check_etcd("etcd:127.0.0.1"))).text, "needs the addresses of a cluster")


class UserTests(EtcdTestCase):
    def test_a_cluster_with_users(self) -> None:
        with Cluster() as own, tempfile.TemporaryDirectory() as folder:
            ask = own.nodes[0].ask
            for user, password in (("root", "secret"), ("names", "a password"), ("reader", "r")):
                ask("/v3/auth/user/add", {"name": user, "password": password})
                ask("/v3/auth/role/add", {"name": user})
                ask("/v3/auth/user/grant", {"user": user, "role": user})
            for user, kind in (("names", "READWRITE"), ("reader", "READ")):
                permission = {"key": "L2xhYi8=", "range_end": "L2xhYjA=", "permType": kind}
                ask("/v3/auth/role/grant", {"name": user, "perm": permission})
            ask("/v3/auth/enable")
            path = os.path.join(folder, "password")
            with open(path, "w", encoding="utf-8") as file:
                file.write("a password\n")
            where = "etcd:http://%%s127.0.0.1:%d/lab%%s" % own.nodes[0].port
            ns = self.name_server(where % ("names@", "?password_file=" + path))
            ns.register("name", ONE, ttl=30)
            # Tokens end after some minutes, and when etcd is restarted.
            client: Any = ns._storage._client  # type: ignore[attr-defined]
            client._token = "gone.1"
            ns.register("name", ONE, ttl=30)
            with self.assertRaisesRegex(EtcdError, "user name is empty"):
                open_storage(where % ("", ""))
            with self.assertRaisesRegex(EtcdError, "invalid user ID or password"):
                open_storage(where % ("reader@", "?password_file=" + path))
            with open(path, "w", encoding="utf-8") as file:
                file.write("r")
            checked = [str(finding) for finding in check_etcd(where % ("", ""))]
            self.assertRegex(checked[0], "etcd on .* (answers|wants a user)")  # the latter since etcd 3.5.30
            self.assertRegex(checked[1], "^WRONG +the registrations in etcd at .* cannot be used: .*user name is empty")
            checked = [str(finding) for finding in check_etcd(where % ("reader@", "?password_file=" + path))]
            self.assertRegex(checked[-1], "permission denied(?s:.*)grant the user read and write permission for .* /lab/$")
            reading = self.name_server(where % ("reader@", "?password_file=" + path))
            self.assertEqual(ONE, str(reading.lookup("name")))
            with self.assertRaisesRegex(errors.NamingError, "permission denied"):
                reading.register("other", ONE)


@unittest.skipIf(bool(WHY_NOT), str(WHY_NOT))
class ClusterTests(unittest.TestCase):
    def test_the_leader_of_three_is_killed(self) -> None:
        with Cluster(3) as three, mock.patch("Pyro5._naming.storage.etcd.client.ATTEMPT_SECONDS", 0.3):
            ns = NameServer(three.spec("three"))
            self.addCleanup(ns.close)
            ns.register("before", ONE)
            three.leader().kill()
            self.assertEqual(ONE, str(ns.lookup("before")))
            ns.register("after", TWO)
            self.assertEqual({"before": ONE, "after": TWO}, ns.list())
