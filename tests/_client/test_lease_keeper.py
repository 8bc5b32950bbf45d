"""Names that are kept registered: by daemons, by with blocks, and with name servers of other releases."""
from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
import unittest
from typing import Any, Dict, Iterator, List, Optional, Tuple
from unittest import mock

from Pyro5 import config, errors
from Pyro5._client.lease_keeper import LeaseKeeper
from Pyro5._naming.registry import NameServer
from Pyro5._objects.exposure import behavior, expose
from Pyro5._values.uri import URI
from Pyro5.client import NameServerProxy, Proxy, locate_ns
from Pyro5.nameserver import NameServerDaemon
from Pyro5.serializers import serializers
from Pyro5.server import Daemon
from tests.support import PATIENCE_SECONDS, clean_environment, daemon_thread

ONE, TWO = URI("PYRO:one@host:1"), URI("PYRO:two@host:2")


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@expose
class Thing:
    def name(self) -> str:
        return "thing"


@expose
@behavior(instance_mode="single")
class OldNameServer:
    """The methods of a name server of another release, as far as they are needed."""

    def __init__(self) -> None:
        self.names: Dict[str, str] = {}
        self.calls: List[Any] = []

    def ping(self) -> None:
        pass

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        if name not in self.names:
            raise errors.NamingError("unknown name: " + name)
        return URI(self.names[name])

    def register(self, name: str, uri: Any, safe: bool = False, metadata: Any = None) -> None:
        self.calls.append((name, safe, metadata))
        if safe and name in self.names:
            raise errors.NamingError("name already registered: " + name)
        self.names[name] = str(uri)

    def remove(self, name: Optional[str] = None, prefix: Any = None, regex: Any = None) -> int:
        return 1 if self.names.pop(str(name), None) else 0


class KeeperTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.COMMTIMEOUT = PATIENCE_SECONDS
        self.clock = Clock()
        self.ns = self.name_server()
        self.keeper = LeaseKeeper(self.clock, threaded=False)
        self.addCleanup(self.keeper.close)
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)

    def name_server(self) -> NameServer:
        ns = NameServer(clock=self.clock)
        self.addCleanup(ns.close)
        return ns

    def pass_time(self, seconds: float) -> None:
        """Advance the time in steps of a second, after each of which the keeper and the name server do their work."""
        for _ in range(int(seconds)):
            self.clock.now += 1
            self.keeper.renew_due()
            self.ns.remove_ended()

    def serve(self, served: Any, port: int = 0) -> str:
        """Serve an object as a name server; return its host and port."""
        daemon = self.at_end.enter_context(Daemon("127.0.0.1", port))
        daemon.register(served, "Pyro.NameServer")
        self.at_end.enter_context(daemon_thread(daemon))
        return daemon.locationStr

    def locate(self, location: str) -> NameServerProxy:
        host, port = location.split(":")
        return self.at_end.enter_context(locate_ns(host, int(port)))  # type: ignore[return-value]


class RenewalTests(KeeperTestCase):
    def test_leases_are_renewed_until_they_are_released(self) -> None:
        lease = self.keeper.register(self.ns, "a", ONE, 30)
        self.pass_time(200)
        self.assertEqual(ONE, self.ns.lookup("a"))
        self.assertFalse(lease.lost)
        lease.release()
        lease.release()
        self.assertEqual({}, self.ns.list())

    def test_all_leases_are_renewed_in_a_third_of_their_time_but_not_at_once(self) -> None:
        due = set()
        for number in range(20):
            lease = self.keeper.register(self.ns, str(number), ONE, 30)
            due.add(lease._due_at - self.clock.now)
        self.assertGreater(len(due), 10)
        self.assertTrue(all(8 <= seconds <= 10 for seconds in due), due)

    def test_names_come_back_after_the_name_server_has_lost_them(self) -> None:
        self.keeper.register(self.ns, "a", ONE, 30, metadata=["tag"])
        self.keeper.register(self.ns, "m", ONE, 30, member=True)
        self.ns.storage.clear()
        self.ns.storage = {}
        self.pass_time(11)
        self.assertEqual({"a": (str(ONE), {"tag"}), "m": (str(ONE), set())}, self.ns.list(return_metadata=True))
        self.assertIsNotNone(self.ns.details("m")["members"])

    def test_a_name_that_another_server_has_meanwhile_is_lost(self) -> None:
        for options in ({"ttl": 30, "safe": False}, {"safe": False}, {"safe": False, "member": True}):  # type: Any
            with self.subTest(options):
                lost: List[Any] = []
                lease = self.keeper.register(self.ns, "a", ONE, 30, safe=False)
                lease.on_lost(lost.append)
                without_arguments = threading.Event()
                lease.on_lost(without_arguments.set)
                lease.on_lost(lambda: 1 / 0)
                self.ns.register("a", TWO, **options)
                with self.assertLogs("Pyro5.leases", "WARNING") as logs:
                    self.pass_time(11)
                self.assertIn("the name a is lost: it is registered as PYRO:two@host:2", logs.output[0])
                self.assertTrue(lease.lost)
                self.assertEqual(([lease], True), (lost, without_arguments.is_set()))
                lease.on_lost(lost.append)
                self.assertEqual([lease, lease], lost)
                lease.release()
                self.assertEqual(TWO, self.ns.lookup("a"))
                self.ns.remove("a")

    def test_a_name_that_is_taken_is_refused_and_not_kept(self) -> None:
        self.ns.register("a", TWO, ttl=30)
        with self.assertRaisesRegex(errors.NamingError, "a is leased to PYRO:two@host:2"):
            self.keeper.register(self.ns, "a", ONE, 30)
        self.pass_time(31)
        self.assertEqual({}, self.ns.list())

    def test_the_name_of_an_object_that_is_gone_is_removed(self) -> None:
        exists = [True]
        self.keeper.register(self.ns, "a", ONE, 30, lambda: exists[0])
        self.pass_time(31)
        self.assertEqual(ONE, self.ns.lookup("a"))
        exists.clear()
        exists.append(False)
        self.pass_time(11)
        self.assertEqual({}, self.ns.list())

    def test_a_name_that_cannot_be_registered_for_now_is_not_lost(self) -> None:
        lease = self.keeper.register(self.ns, "a", ONE, 30)
        self.ns.remove("a")
        with mock.patch.object(self.ns, "register", side_effect=errors.NamingError("the name server is full")), \
                self.assertLogs("Pyro5.leases", "WARNING") as logs:
            self.pass_time(11)
        self.assertIn("cannot renew the names a, trying again: the name server is full", logs.output[0])
        self.pass_time(2)
        self.assertEqual((ONE, False), (self.ns.lookup("a"), lease.lost))

    def test_a_child_process_does_not_end_the_leases_of_its_parent(self) -> None:
        self.keeper.register(self.ns, "a", ONE, 30)
        self.keeper._process -= 1
        self.keeper.close()
        self.assertEqual(ONE, self.ns.lookup("a"))
        self.keeper.register(self.ns, "b", ONE, 30)  # one of its own
        self.keeper.close()
        self.assertEqual({"a": str(ONE)}, self.ns.list())

    def test_closed_by_another_thread_while_a_name_is_registered(self) -> None:
        register = self.ns.register

        def register_slowly(*args: Any, **options: Any) -> Any:
            accepted = register(*args, **options)
            self.keeper.close()
            return accepted

        with mock.patch.object(self.ns, "register", register_slowly):
            with self.assertRaisesRegex(errors.DaemonError, "the name a was registered too late"):
                self.keeper.register(self.ns, "a", URI(ONE))
        self.assertNotIn("a", self.ns.list())
        self.assertIsNone(self.keeper._thread)

    def test_several_members_of_one_keeper(self) -> None:
        leases = [self.keeper.register(self.ns, "a", uri, 30, member=True) for uri in (ONE, TWO)]
        self.pass_time(100)
        self.assertEqual({str(ONE), str(TWO)}, set(self.ns.candidates("a")))
        leases[0].release()
        self.assertEqual([str(TWO)], self.ns.candidates("a"))

    def test_a_callback_can_release_other_leases(self) -> None:
        other = self.keeper.register(self.ns, "b", ONE, 30)
        self.keeper.register(self.ns, "a", ONE, 30).on_lost(other.release)
        self.ns.register("a", TWO, safe=False)
        with self.assertLogs("Pyro5.leases", "WARNING"):
            self.pass_time(11)
        self.assertEqual({"a": str(TWO)}, self.ns.list())


class NetworkTests(KeeperTestCase):
    def test_the_name_server_is_away_for_a_while(self) -> None:
        location = self.serve(self.ns)
        lease = self.keeper.register(self.locate(location), "a", ONE, 30)
        self.at_end.close()
        with self.assertLogs("Pyro5.leases", "WARNING") as logs:
            self.pass_time(60)
        self.assertIn("cannot renew the names a, trying again", logs.output[0])
        self.assertEqual({}, self.ns.list())
        self.serve(self.ns, int(location.split(":")[1]))
        self.pass_time(2)
        self.assertEqual(ONE, self.ns.lookup("a"))
        self.assertFalse(lease.lost)
        lease.release()
        self.keeper.close()
        self.assertEqual({}, self.ns.list())

    def test_an_unreachable_name_server_does_not_prevent_closing(self) -> None:
        self.keeper.register(self.locate(self.serve(self.ns)), "a", ONE, 30)
        self.at_end.close()
        with self.assertLogs("Pyro5.leases", "WARNING") as logs:
            self.keeper.close()
        self.assertIn("the names a may still be registered", logs.output[0])

    def test_with_an_ordinary_proxy(self) -> None:
        proxy = Proxy("PYRO:Pyro.NameServer@" + self.serve(self.ns))
        self.at_end.callback(proxy._pyroRelease)
        self.keeper.register(proxy, "a", ONE, 30)
        self.pass_time(60)
        self.assertEqual(ONE, self.ns.lookup("a"))


class BlockTests(KeeperTestCase):
    def test_a_name_is_registered_for_a_block(self) -> None:
        ns = self.locate(self.serve(self.ns))
        with ns.registered("a", "PYRO:one@host:1", metadata={"tag"}) as lease:
            self.assertEqual((ONE, {"tag"}), self.ns.lookup("a", return_metadata=True))
            self.assertEqual(30, ns.details("a")["lease"]["ttl"])
            self.assertIn("127.0.0.1", ns.details("a")["lease"]["holder"])
            self.assertEqual(("a", ONE, 30), (lease.name, lease.uri, lease.ttl))
        self.assertEqual({}, self.ns.list())
        with self.assertRaises(ZeroDivisionError), ns.registered("a", ONE):
            raise ZeroDivisionError
        self.assertEqual({}, self.ns.list())

    def test_watching_with_a_proxy(self) -> None:
        ns = self.locate(self.serve(self.ns))
        with ns.watch("lab.") as watch:
            self.assertEqual("ready", next(watch).kind)
            ns.register("lab.a", ONE, metadata=["tag"])
            event = next(watch)
            self.assertEqual(("added", "lab.a", str(ONE), {"tag"}), event[:4])
            self.assertEqual(("added", "lab.a", event.revision), (event["kind"], event["name"], event["revision"]))
            kind, name, uri, metadata, revision = event
            self.assertEqual((event.kind, event.name, event.uri, event.metadata), (kind, name, uri, metadata))

    def test_a_watch_outlasts_timeouts(self) -> None:
        class Late:
            """The stream of a watch, whose first request gets no reply in time."""

            def __init__(self, stream: Any) -> None:
                self._stream, self._proxy = stream, stream._proxy

            def __next__(self) -> Any:
                if self._proxy is not None:
                    self._proxy._pyroRelease()  # as after a timeout
                    self._proxy = None
                    raise errors.TimeoutError("no change")
                return next(self._stream)

        ns = self.locate(self.serve(self.ns))
        with ns.watch("lab.") as watch:
            self.assertEqual("ready", next(watch).kind)
            stream = watch._stream
            watch._stream = Late(stream)
            self.ns.register("lab.a", ONE)
            self.assertEqual("lab.a", next(watch).name)
            watch._stream = stream

    def test_it_is_an_ordinary_proxy_for_others(self) -> None:
        ns = self.locate(self.serve(self.ns))
        for serializer in serializers.values():
            data = serializer.dumps(ns)
            self.assertEqual(serializer.dumps(Proxy(ns._pyroUri))[:20], data[:20])
            self.assertIs(Proxy, type(serializer.loads(data)))
        copied = pickle.loads(pickle.dumps(ns))
        self.assertEqual((NameServerProxy, ns), (type(copied), copied))
        self.assertRegex(repr(ns), "^<Pyro5.client.Proxy at ")


class OldNameServerTests(KeeperTestCase):
    def old(self) -> Tuple[OldNameServer, NameServerProxy]:
        old = OldNameServer()
        return old, self.locate(self.serve(old))

    def test_a_plain_registration_is_made(self) -> None:
        old, ns = self.old()
        ns.register("a", ONE, ttl=30)
        ns.register("b", ONE, member=True, metadata=["tag"])
        self.assertEqual([("a", False, None), ("b", False, ["tag"])], old.calls)
        with self.assertRaisesRegex(errors.NamingError, "has no revisions; c was not registered"):
            ns.register("c", ONE, if_revision=0)
        with self.assertRaisesRegex(AttributeError, "has no method 'watch': it is of another release"):
            ns.watch()

    def test_names_are_kept_and_removed(self) -> None:
        old, ns = self.old()
        own_invoke = NameServerProxy._pyroInvoke
        with mock.patch.object(NameServerProxy, "_pyroInvoke", autospec=True, side_effect=own_invoke) as invoke:
            lease = self.keeper.register(ns, "a", ONE, 30, safe=False)
        self.assertEqual(mock.call(ns, "register", ("a", ONE), {}), invoke.call_args)
        self.assertEqual({"a": str(ONE)}, old.names)
        old.names.clear()
        self.pass_time(11)
        self.assertEqual({"a": str(ONE)}, old.names)
        lease.release()
        self.assertEqual({}, old.names)
        lease = self.keeper.register(ns, "a", ONE, 30)
        old.names["a"] = str(TWO)
        with self.assertLogs("Pyro5.leases", "WARNING"):
            self.pass_time(11)
        self.assertTrue(lease.lost)


class DaemonTests(KeeperTestCase):
    @contextlib.contextmanager
    def serving(self) -> Iterator[Daemon]:
        with Daemon("127.0.0.1", 0) as daemon, daemon_thread(daemon):
            yield daemon

    def test_register_with(self) -> None:
        with NameServerDaemon("127.0.0.1", 0) as server, daemon_thread(server):
            ns = self.locate(server.locationStr)
            with self.serving() as daemon:
                thing = Thing()
                renewed = threading.Event()
                renew = server.nameserver.renew
                server.nameserver.renew = (  # type: ignore[method-assign]
                    lambda leases: (renew(leases), renewed.set())[0])
                lease = daemon.register_with(ns, "thing", thing, ttl=1.5)
                self.assertEqual(daemon.uriFor(thing), lease.uri)
                with ns.watch("thing") as watch, Proxy(ns.lookup("thing")) as proxy:
                    self.assertEqual("thing", proxy.name())
                    self.assertTrue(renewed.wait(PATIENCE_SECONDS))
                    daemon.register_with(server.nameserver, "again", thing, metadata=["tag"])
                    daemon.close()
                    while next(watch).kind != "removed":
                        pass
            self.assertEqual(["Pyro.NameServer"], list(ns.list()))

    def test_unregistering_the_object(self) -> None:
        with self.serving() as daemon:
            thing = Thing()
            lease = daemon.register_with(self.ns, "a", thing)
            self.assertTrue(lease._object_exists())
            daemon.unregister(thing)
            self.assertFalse(lease._object_exists())

    def test_a_refused_name_leaves_no_object(self) -> None:
        self.ns.register("a", ONE, ttl=30)
        with self.serving() as daemon:
            with self.assertRaises(errors.NamingError):
                daemon.register_with(self.ns, "a", Thing())
            self.assertEqual(["Pyro.Daemon"], list(daemon.objectsById))

    def test_names_are_removed_at_the_end_of_a_program(self) -> None:
        with NameServerDaemon("127.0.0.1", 0) as server, daemon_thread(server):
            program = ("import os, signal, Pyro5.api\n"
                       "daemon = Pyro5.api.Daemon('127.0.0.1')\n"
                       "ns = Pyro5.api.locate_ns('127.0.0.1', %d)\n"
                       "daemon.register_with(ns, 'thing', type('Thing', (), {'a': Pyro5.api.expose(lambda self: 1)})())\n"
                       "print(ns.lookup('thing'))\n"
                       "ns._pyroRelease()\n"
                       "daemon.requestLoop(lambda: os.kill(os.getpid(), signal.SIGINT) or True)\n"
                       % server.sock.getsockname()[1])
            ended = subprocess.run([sys.executable, "-c", program], env=clean_environment(None), stdout=subprocess.PIPE,
                                   timeout=PATIENCE_SECONDS)
            self.assertEqual(0, ended.returncode)
            self.assertIn(b"PYRO:", ended.stdout)
            self.assertEqual(1, server.nameserver.count())


if __name__ == "__main__":
    unittest.main()
