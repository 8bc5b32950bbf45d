"""Objects and classes in several daemons, one after the other and at the same time; and what is left of a closed daemon."""
from __future__ import annotations

import gc
import unittest
import weakref
from typing import Any

from Pyro5 import errors, serializers
from Pyro5.api import Daemon, Proxy, behavior, expose, serve

from ..support import daemon_thread


@expose
class Thing:
    def __init__(self, name: str = "thing") -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def me(self) -> Any:
        return self


@expose
@behavior("single")
class Counter:
    def __init__(self) -> None:
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count


class Several(unittest.TestCase):
    def daemon(self) -> Any:
        daemon = Daemon("127.0.0.1")
        self.addCleanup(daemon.close)
        return daemon

    def test_an_object_is_called_in_all_of_them(self) -> None:
        first, second = self.daemon(), self.daemon()
        thing = Thing()
        uris = [first.register(thing, "thing"), second.register(thing, "again")]
        with daemon_thread(first), daemon_thread(second):
            for uri in uris:
                with Proxy(uri) as proxy:
                    self.assertEqual("thing", proxy.name())
        self.assertEqual(uris, [first.uriFor(thing), second.uriFor(thing)])
        for daemon in (first, second):
            with self.assertRaises(errors.DaemonError):
                daemon.register(thing)

    def test_a_class_has_instances_of_its_own_in_each(self) -> None:
        first, second = self.daemon(), self.daemon()
        for daemon in (first, second):
            self.addCleanup(daemon.unregister, Counter)
        uris = [first.register(Counter, "class"), second.register(Counter, "class")]
        self.assertIs(second, Counter._pyroDaemon)  # type: ignore[attr-defined]
        with daemon_thread(first), daemon_thread(second):
            for uri in uris:
                with Proxy(uri) as proxy:
                    self.assertEqual([1, 2], [proxy.count(), proxy.count()])

    def test_in_a_new_one_after_the_first_was_shut_down_or_closed(self) -> None:
        thing = Thing()
        for end in (Daemon.shutdown, Daemon.close):
            old = self.daemon()
            old.register(thing, "thing")
            end(old)
            new = self.daemon()
            uri = new.register(thing, "thing")
            self.assertIs(new, thing._pyroDaemon)  # type: ignore[attr-defined]
            with daemon_thread(new), Proxy(uri) as proxy:
                self.assertEqual("thing", proxy.name())

    def test_unregistering_from_one_leaves_the_other(self) -> None:
        first, second, thing = self.daemon(), self.daemon(), Thing()
        first.register(thing, "first")
        second.register(thing, "second")
        second.unregister(thing)
        self.assertEqual(("first", first), (thing._pyroId, thing._pyroDaemon))  # type: ignore[attr-defined]
        first.unregister(thing)
        self.assertFalse(hasattr(thing, "_pyroId") or hasattr(thing, "_pyroDaemon"))

    def test_it_travels_as_a_proxy_for_one_that_is_open(self) -> None:
        first, second, thing = self.daemon(), self.daemon(), Thing()
        uri = first.register(thing, "first")
        second.register(thing, "second")
        second.close()
        self.assertEqual("second", second.uriFor(thing).object)
        with daemon_thread(first), Proxy(uri) as proxy, proxy.me() as myself:
            self.assertEqual("first", myself._pyroUri.object)
            self.assertEqual("thing", myself.name())


class Closed(unittest.TestCase):
    def test_objects_stay_registered(self) -> None:
        thing = Thing()
        with Daemon("127.0.0.1") as daemon:
            uri = daemon.register(thing, "thing")
            daemon.register(Counter, "class")
        self.addCleanup(daemon.unregister, Counter)
        self.assertEqual(("thing", "class"), (thing._pyroId, Counter._pyroId))  # type: ignore[attr-defined]
        self.assertEqual(uri, daemon.uriFor(thing))
        self.assertEqual(uri, thing._pyroDaemon.uriFor(thing))  # type: ignore[attr-defined]
        self.assertEqual({"name", "me"}, daemon.proxyFor("thing")._pyroMethods)
        self.assertEqual(["Pyro.Daemon", "thing", "class"], list(daemon.objectsById))
        daemon.unregister(thing)
        self.assertFalse(hasattr(thing, "_pyroId") or hasattr(thing, "_pyroDaemon"))
        daemon.close()

    def test_serve_leaves_them_too(self) -> None:
        class QuietDaemon(Daemon):
            def requestLoop(self, loopCondition: Any = None) -> None:
                """Fall out of serve()."""

        daemon, thing, unnamed = QuietDaemon("127.0.0.1"), Thing(), Thing()
        serve({thing: "thing", unnamed: ""}, daemon=daemon, use_ns=False, verbose=False)
        self.assertEqual(["thing", "thing"], [thing._pyroId, daemon.uriFor(thing).object])  # type: ignore[attr-defined]
        self.assertRegex(unnamed._pyroId, "^obj_")  # type: ignore[attr-defined]

    def test_nothing_keeps_the_daemon_alive(self) -> None:
        class Local:
            @expose
            def ping(self) -> None:
                """Do nothing."""

        thing, weak = Thing(), Thing()
        for how in ("close", "shutdown"):
            with self.subTest(how):
                daemon = Daemon("127.0.0.1")
                daemon.register(thing, "thing")
                daemon.register(weak, "weak", weak=True)
                daemon.register(Local, "class")
                with daemon_thread(daemon), Proxy(daemon.uriFor("thing")) as proxy:
                    proxy.name()
                    if how == "shutdown":
                        daemon.shutdown()
                reference = weakref.ref(daemon)
                del daemon
                gc.collect()
                self.assertIsNone(reference())
                self.assertEqual("thing", thing._pyroId)  # type: ignore[attr-defined]
                for each in (thing, weak, Local):
                    self.assertFalse(hasattr(each, "_pyroDaemon"))
        with Daemon("127.0.0.1") as new:  # what they are left with does not keep them out of another one
            uris = [new.register(each) for each in (thing, weak, Local)]
            self.assertEqual(uris, [new.uriFor(each) for each in (thing, weak, Local)])

    def test_objects_of_a_daemon_that_is_gone_travel_as_plain_data(self) -> None:
        left = Thing("left over")
        with Daemon("127.0.0.1") as gone:
            gone.register(left)
        del gone
        gc.collect()
        for name in ("json", "serpent", "marshal"):
            data = serializers.get_serializer(name).dumps(left)
            self.assertIn(b"left over", data)
            self.assertNotIn(b"_pyroDaemon", data)


if __name__ == "__main__":
    unittest.main()
