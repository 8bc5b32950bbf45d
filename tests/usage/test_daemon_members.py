"""What programs take from a daemon besides what is documented, and what they override in it."""
from __future__ import annotations

import threading
import unittest
import weakref
from typing import Any, Dict, Iterator, List
from unittest import mock

import Pyro5.api
import Pyro5.core
import Pyro5.server
from Pyro5 import config, errors
from Pyro5.api import Daemon, Proxy, behavior, expose

from ..support import PATIENCE_SECONDS, daemon_thread


@expose
class Factory:
    _pyroDaemon: Any

    def make(self) -> Any:
        thing = Factory()
        if thing not in self._pyroDaemon.objectsById.values():
            self._pyroDaemon.register(thing)
        return thing

    def is_mine(self, proxy: Any) -> str:
        return type(self._pyroDaemon.objectsById.get(proxy._pyroUri.object)).__name__

    def items(self) -> Iterator[int]:
        yield from range(2)


class RunningDaemon(unittest.TestCase):
    def run_daemon(self, daemon: Any) -> Any:
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return daemon


class ObjectsById(RunningDaemon):
    def test_a_proxy_is_turned_back_into_the_object(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        with Proxy(daemon.register(Factory(), "factory")) as factory, factory.make() as made:
            self.assertEqual("Factory", factory.is_mine(made))

    def test_it_is_a_live_view(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            view = daemon.objectsById
            self.assertEqual(["Pyro.Daemon"], list(view))
            self.assertIsInstance(view["Pyro.Daemon"], Pyro5.server.DaemonObject)
            thing, weak = Factory(), Factory()
            daemon.register(thing, "thing")
            daemon.register(weak, "weak", weak=True)
            daemon.register(Factory, "class")
            self.assertIs(thing, view["thing"])
            self.assertIs(Factory, view["class"])
            self.assertIsInstance(view["weak"], weakref.ref)
            self.assertIs(weak, view["weak"]())
            self.assertEqual(4, len(view))
            self.assertIn("thing", repr(view))
            copied = view.copy()  # type: ignore[attr-defined]
            daemon.unregister(thing)
            self.assertNotIn("thing", view)
            self.assertIn("thing", copied)
            with self.assertRaises(KeyError):
                view["thing"]
            with self.assertRaises(TypeError):
                view["new"] = thing  # type: ignore[index]

    def test_streams_by_id(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        with Proxy(daemon.register(Factory())) as factory:
            self.assertEqual({}, dict(daemon.streaming_responses))
            stream = factory.items()
            (client, opened, lingering, iterator), = daemon.streaming_responses.values()
            self.assertEqual(factory._pyroConnection.sock.getsockname(), client.sock.getpeername())
            self.assertGreater(opened, 0)
            self.assertEqual(0, lingering)
            self.assertEqual([0, 1], [next(stream), next(iterator)])
            self.assertEqual([], list(stream))
            self.assertEqual(0, len(daemon.streaming_responses))


class Instances(RunningDaemon):
    def test_an_overridden_method_is_asked_for_every_call(self) -> None:
        asked: List[Any] = []
        locked: Dict[type, bool] = {}

        class Locking(Daemon):
            def _getInstance(self, clazz: type, conn: Any) -> Any:
                asked.append((clazz, conn))
                if locked.get(clazz):
                    raise PermissionError("locked by another user")
                return super()._getInstance(clazz, conn)

        for mode in ("session", "single", "percall"):
            with self.subTest(mode):
                clazz = behavior(mode)(expose(type("Instrument", (), {"read": lambda self: id(self)})))  # type: ignore[arg-type]
                daemon = self.run_daemon(Locking("127.0.0.1"))
                with Proxy(daemon.register(clazz)) as proxy:
                    asked.clear()
                    first = proxy.read()
                    proxy._pyroInvokeBatch([("read", (), {})])
                    self.assertEqual([clazz] * 2, [each for each, _ in asked])
                    self.assertEqual(proxy._pyroConnection.sock.getsockname(), asked[0][1].sock.getpeername())
                    if mode != "percall":
                        self.assertEqual(first, proxy.read())
                    locked[clazz] = True
                    with self.assertRaises(PermissionError):
                        proxy.read()

    def test_a_patch_of_the_class_is_asked(self) -> None:
        asked: List[Any] = []
        original = Daemon._getInstance

        def get_instance(daemon: Daemon, clazz: type, conn: Any) -> Any:
            asked.append(clazz)
            return original(daemon, clazz, conn)

        with mock.patch.object(Daemon, "_getInstance", get_instance):
            daemon = self.run_daemon(Daemon("127.0.0.1"))
            clazz = expose(type("Instrument", (), {"read": lambda self: 5}))
            with Proxy(daemon.register(clazz)) as proxy:
                self.assertEqual(5, proxy.read())
        self.assertEqual([clazz], asked)

    def test_a_replacement_after_the_registration_is_asked(self) -> None:
        asked: List[str] = []
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        original = daemon._getInstance

        def of_the_daemon(clazz: type, conn: Any) -> Any:
            asked.append("daemon")
            return original(clazz, conn)

        def of_the_class(daemon: Daemon, clazz: type, conn: Any) -> Any:
            asked.append("class")
            return original(clazz, conn)

        clazz = behavior("single")(expose(type("Instrument", (), {"read": lambda self: id(self)})))
        with Proxy(daemon.register(clazz)) as proxy:
            first = proxy.read()
            with mock.patch.object(daemon, "_getInstance", of_the_daemon):
                self.assertEqual(first, proxy.read())
            with mock.patch.object(Daemon, "_getInstance", of_the_class):
                self.assertEqual(first, proxy.read())
            self.assertEqual(first, proxy.read())
        self.assertEqual(["daemon", "class"], asked)

    def test_it_is_not_asked_about_registered_objects(self) -> None:
        class Refusing(Daemon):
            def _getInstance(self, clazz: type, conn: Any) -> Any:
                raise AssertionError("asked")

        daemon = self.run_daemon(Refusing("127.0.0.1"))
        with Proxy(daemon.register(Factory())) as proxy:
            self.assertEqual([0, 1], list(proxy.items()))

    def test_single_instances_are_there_by_class(self) -> None:
        clazz = behavior("single")(expose(type("Instrument", (), {"read": lambda self: id(self)})))
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        self.assertEqual({}, daemon._pyroInstances)
        uri = daemon.register(clazz)
        with Proxy(uri) as proxy:
            first = proxy.read()
            self.assertEqual([clazz], list(daemon._pyroInstances))
            kept = daemon._pyroInstances.pop(clazz)
            self.assertEqual(first, id(kept))
            self.assertNotEqual(first, proxy.read())
            daemon.unregister(clazz)
            self.assertEqual({}, daemon._pyroInstances)


class Interface(Pyro5.server.DaemonObject):
    def get_metadata(self, objectId: str) -> Any:  # type: ignore[override]
        found = super().get_metadata(objectId)
        if objectId == "secret":
            raise PermissionError("nothing to see here")
        return {**found, "methods": set(found["methods"]) - {"make"}}


class Metadata(RunningDaemon):
    def test_overridden_metadata_counts_in_the_handshake(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1", interface=Interface))
        with Proxy(daemon.register(Factory())) as proxy:
            proxy._pyroBind()
            self.assertEqual({"is_mine", "items"}, proxy._pyroMethods)
        with Proxy(daemon.register(Factory(), "secret")) as proxy, \
                self.assertRaisesRegex(errors.CommunicationError, "nothing to see here"):
            proxy._pyroBind()

    def test_so_it_does_when_the_class_is_patched(self) -> None:
        original = Pyro5.server.DaemonObject.get_metadata

        def get_metadata(own: Any, objectId: str) -> Any:
            return {**original(own, objectId), "methods": {"make"}}

        with mock.patch.object(Pyro5.server.DaemonObject, "get_metadata", get_metadata):
            daemon = self.run_daemon(Daemon("127.0.0.1"))
            with Proxy(daemon.register(Factory())) as proxy:
                proxy._pyroBind()
                self.assertEqual({"make"}, proxy._pyroMethods)

    def test_so_it_does_when_the_method_is_replaced_while_the_daemon_runs(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        uri = daemon.register(Factory())
        own = daemon.objectsById["Pyro.Daemon"]
        original = own.get_metadata

        def fewer(*args: Any) -> Any:
            return {**original(args[-1]), "methods": {"is_mine", "items"}}

        for patch in (mock.patch.object(own, "get_metadata", fewer),
                      mock.patch.object(Pyro5.server.DaemonObject, "get_metadata", fewer)):
            with patch, Proxy(uri) as proxy:
                proxy._pyroBind()
                self.assertEqual({"is_mine", "items"}, proxy._pyroMethods)
        with Proxy(uri) as proxy:
            proxy._pyroBind()
            self.assertIn("make", proxy._pyroMethods)

    def test_so_it_does_when_the_object_of_the_daemon_is_replaced(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        uri = daemon.register(Factory())
        daemon.register(Interface(daemon), "Pyro.Daemon", force=True)
        for serializer in ("serpent", "json", "marshal"):
            with self.subTest(serializer), Proxy(uri) as proxy:
                proxy._pyroSerializer = serializer
                proxy._pyroBind()
                self.assertEqual({"is_mine", "items"}, proxy._pyroMethods)


class Ids(unittest.TestCase):
    def test_what_is_no_id_is_a_generated_one(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            for none in (None, "", False, 0):
                self.assertRegex(str(daemon.register(Factory(), none).object), "^obj_[0-9a-f]{32}$")  # type: ignore[arg-type]
            for bad in (5, b"id", True):
                with self.assertRaises(TypeError):
                    daemon.register(Factory(), bad)  # type: ignore[arg-type]

    def test_an_id_that_a_uri_would_lead_elsewhere_with_is_refused(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            for bad in ("smith@laboratory", "@laboratory"):
                with self.assertRaises(errors.PyroError):
                    daemon.register(Factory(), bad)
            self.assertEqual(["Pyro.Daemon"], list(daemon.objectsById))


class Errors(unittest.TestCase):
    def test_a_bad_server_type_is_an_error_of_this_library(self) -> None:
        self.addCleanup(setattr, config, "SERVERTYPE", config.SERVERTYPE)
        config.SERVERTYPE = "gevent"
        with self.assertRaisesRegex(errors.PyroError, "^invalid server type 'gevent'$"):
            Daemon("127.0.0.1")


class Modules(unittest.TestCase):
    def test_names_of_the_server_module(self) -> None:
        import warnings
        self.assertIs(warnings, Pyro5.server.warnings)
        self.assertIs(Pyro5.core, Pyro5.server.core)
        for name in ("config", "errors", "log", "current_context", "protocol", "serializers", "socketutil"):
            self.assertTrue(hasattr(Pyro5.server, name), name)
        self.assertFalse(hasattr(Pyro5.server, "no_such_name"))
        self.assertEqual(["run", "__len__"], [
            name for name in ("run", "_hidden", "__len__", "__init__") if not Pyro5.server.is_private_attribute(name)])

    def test_names_of_the_core_module(self) -> None:
        self.assertIs(errors.NamingError, Pyro5.core.errors.NamingError)
        self.assertIs(config, Pyro5.core.config)
        self.assertEqual("Pyro5.core", Pyro5.core.log.name)

    def test_members(self) -> None:
        class Partly:
            @expose
            def shown(self) -> None:
                """Exposed."""

            def hidden(self) -> None:
                """Not exposed."""

            @property
            def size(self) -> int:
                return 1

            def _private(self) -> None:
                """Never listed."""

        for thing in (Partly, Partly()):
            self.assertEqual({"methods": {"shown"}, "oneway": set(), "attrs": set()}, Pyro5.server._get_exposed_members(thing))
            found = Pyro5.server._get_exposed_members(thing, only_exposed=False)
            self.assertEqual(({"shown", "hidden"}, {"size"}), (found["methods"], found["attrs"]))


@expose
class Visitor:
    """Registers objects for the client that is served."""

    _pyroDaemon: Any

    def visit(self) -> str:
        thing = Factory()
        return str(self._pyroDaemon.register(thing, lifetime=Pyro5.api.current_context.client))


class Lifetime(RunningDaemon):
    def test_an_object_goes_with_its_client(self) -> None:
        for servertype in ("thread", "multiplex"):
            self.addCleanup(setattr, config, "SERVERTYPE", config.SERVERTYPE)
            config.SERVERTYPE = servertype
            daemon = self.run_daemon(Daemon("127.0.0.1"))
            other = Daemon("127.0.0.1")
            self.addCleanup(other.close)
            uri = daemon.register(Visitor())
            with Proxy(uri) as other_client:
                with Proxy(uri) as client:
                    visited = Proxy(client.visit())
                    with visited:
                        self.assertEqual([0, 1], list(visited.items()))
                    stays = other_client.visit()
                    connection, = [each for each in daemon.transportServer.all_connections()
                                   if each.peer_address == client._pyroLocalSocket]
                    other.register(Factory(), "elsewhere", lifetime=connection)
                    self.assertIn("elsewhere", other.objectsById)
                wait_until(lambda daemon=daemon, visited=visited: visited._pyroUri.object not in daemon.objectsById)
                wait_until(lambda other=other: "elsewhere" not in other.objectsById)
                self.assertIn(Pyro5.api.URI(stays).object, daemon.objectsById)
                with self.assertRaisesRegex(errors.DaemonError, "has disconnected"):
                    daemon.register(Factory(), "late", lifetime=connection)
                self.assertNotIn("late", daemon.objectsById)

    def test_what_is_unregistered_before_stays_so(self) -> None:
        daemon = self.run_daemon(Daemon("127.0.0.1"))
        with Proxy(daemon.register(Visitor())) as client:
            object_id = Pyro5.api.URI(client.visit()).object
            daemon.unregister(object_id)
            thing = Factory()
            daemon.register(thing, str(object_id))
        with Proxy(daemon.uriFor("Pyro.Daemon")) as proxy:
            proxy.ping()
        self.assertIs(thing, daemon.objectsById[str(object_id)])

    def test_misuse(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            with self.assertRaisesRegex(TypeError, "lifetime"):
                daemon.register(Factory(), lifetime=5)
            daemon.register(Factory(), lifetime=None)


def wait_until(condition: Any) -> None:
    """Wait until the server has noticed something that it does not announce; fails after a long time."""
    looked = threading.Event()
    for _ in range(int(PATIENCE_SECONDS * 200)):
        if condition():
            return
        looked.wait(0.005)
    raise AssertionError("did not happen")


class SessionInstances(RunningDaemon):
    def session(self, **behaving: Any) -> Any:
        times: List[int] = []

        @expose
        @behavior("session", **behaving)
        class Session:
            def nothing(self) -> None:
                """Make the instance."""

            def track(self) -> None:
                Pyro5.api.current_context.track_resource(self)

            def close(self) -> None:
                times.append(1)
        return Session, times

    def disconnected(self, clazz: type, method: str = "nothing") -> None:
        """Call a session instance, and disconnect; returns when the server is done with the connection."""
        over = threading.Event()

        class Watching(Daemon):
            def clientDisconnect(self, conn: Any) -> None:
                conn.tracked_resources.add(last)

        last = type("Last", (), {"close": lambda self: over.set()})()
        daemon = self.run_daemon(Watching("127.0.0.1"))
        with Proxy(daemon.register(clazz)) as proxy:
            proxy._pyroInvoke(method, (), {})
        self.assertTrue(over.wait(PATIENCE_SECONDS))

    def test_they_are_closed_once_when_the_client_disconnects(self) -> None:
        for method in ("nothing", "track"):
            with self.subTest(method):
                clazz, times = self.session()
                self.disconnected(clazz, method)
                self.assertEqual([1], times)

    def test_classes_that_do_not_want_it(self) -> None:
        clazz, times = self.session(close=False)
        self.disconnected(clazz)
        self.assertEqual([], times)

    def test_a_close_that_means_something_else_or_fails(self) -> None:
        for close in (lambda self, door: self.fail("called"), 5):
            clazz = expose(type("Session", (), {"close": close, "nothing": lambda self: None}))
            self.disconnected(clazz)
        failing = expose(type("Session", (), {"close": lambda self: 1 / 0, "nothing": lambda self: None}))
        with self.assertLogs("Pyro5.server", "WARNING") as logged:
            self.disconnected(failing)
        self.assertIn("closing the session instance Session failed", logged.output[0])


if __name__ == "__main__":
    unittest.main()
