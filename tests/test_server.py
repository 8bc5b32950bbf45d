"""The Daemon: registering objects, addresses, NAT, the request loop, own event loops, combining, closing."""
from __future__ import annotations

import contextlib
import gc
import ipaddress
import os
import selectors
import socket
import tempfile
import threading
import unittest
from typing import Any, List

from Pyro5 import config, errors
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.constants import DAEMON_NAME
from Pyro5.server import Daemon
from tests.conformance.places import ABSTRACT, IPV6, UNIX
from tests.support import PATIENCE_SECONDS, daemon_thread


@expose
class Thing:
    _pyroDaemon: Any = None

    def __init__(self, name: str = "thing") -> None:
        self._name = name

    def who(self) -> str:
        return self._name

    def stop(self) -> None:
        self._pyroDaemon.shutdown()


class DaemonTestCase(unittest.TestCase):
    """Restores the configuration, and closes the daemons and proxies that tests create with its methods."""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        at_end = contextlib.ExitStack()
        self.addCleanup(at_end.close)
        self.directory = at_end.enter_context(tempfile.TemporaryDirectory())

    def daemon(self, *args: Any, daemon_class: Any = Daemon, **kwargs: Any) -> Any:
        daemon = daemon_class(*args, **kwargs)
        self.addCleanup(daemon.close)
        return daemon

    def serving(self, *args: Any, **kwargs: Any) -> Any:
        """Return a daemon that runs until the end of the test."""
        context = daemon_thread(self.daemon(*args, **kwargs))
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def proxy(self, uri: Any) -> Any:
        proxy = Proxy(uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy


class RegisterTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.daemon()

    def test_generated_id(self) -> None:
        thing = Thing()
        uri = self.server.register(thing)
        self.assertIsInstance(uri, URI)
        self.assertRegex(str(uri), r"^PYRO:obj_[0-9a-f]{32}@localhost:\d+$")
        self.assertEqual((thing._pyroId, thing._pyroDaemon), (uri.object, self.server))  # type: ignore[attr-defined]

    def test_own_id(self) -> None:
        self.assertEqual(str(self.server.register(Thing, "my.thing")), "PYRO:my.thing@" + self.server.locationStr)
        self.addCleanup(self.server.unregister, Thing)
        self.assertEqual(Thing._pyroId, "my.thing")  # type: ignore[attr-defined]
        self.assertIs(Thing._pyroDaemon, self.server)
        self.server.register(Thing(), "an.instance")  # the mark of the class does not apply to the instance

    def test_second_registration_needs_force(self) -> None:
        thing = Thing()
        self.server.register(thing, "first")
        with self.assertRaisesRegex(errors.DaemonError, "already registered.*first.*force"):
            self.server.register(thing, "second")
        self.assertEqual(self.server.register(thing, "second", force=True).object, "second")
        self.assertEqual(thing._pyroId, "second")  # type: ignore[attr-defined]

    def test_id_in_use_needs_force(self) -> None:
        first, second = Thing(), Thing()
        self.server.register(first, "name")
        with self.assertRaisesRegex(errors.DaemonError, "name.*force"):
            self.server.register(second, "name")
        self.server.register(second, "name", force=True)
        self.assertFalse(hasattr(first, "_pyroId"))
        self.assertEqual(self.server.proxyFor("name")._pyroUri.object, "name")
        self.assertEqual(second._pyroId, "name")  # type: ignore[attr-defined]

    def test_objects_that_cannot_be_registered(self) -> None:
        class Slotted:
            __slots__ = ("x",)

        for unfit in (42, "text", Slotted(), int):
            with self.assertRaisesRegex(TypeError, "_pyroId"):
                self.server.register(unfit)
        with self.assertRaisesRegex(TypeError, "objectId"):
            self.server.register(Thing(), 12)
        self.assertEqual(self.server._objects.ids(), [DAEMON_NAME])

    def test_slots_for_the_marks(self) -> None:
        class Slotted:
            __slots__ = ("_pyroId", "_pyroDaemon")

        thing = Slotted()
        self.assertEqual(self.server.register(thing).object, thing._pyroId)
        self.server.unregister(thing)
        self.assertFalse(hasattr(thing, "_pyroId"))

    def test_weak(self) -> None:
        thing = Thing()
        object_id = self.server.register(thing, weak=True).object
        self.assertEqual(self.server.proxyFor(thing)._pyroMethods, {"who", "stop"})
        del thing
        gc.collect()
        with self.assertRaisesRegex(errors.DaemonError, str(object_id)):
            self.server.proxyFor(object_id)
        with self.assertRaisesRegex(TypeError, "class"):
            self.server.register(Thing, weak=True)

    def test_unregister(self) -> None:
        thing = Thing()
        for given in (thing, "thing"):
            self.server.register(thing, "thing")
            self.server.unregister(given)
            self.assertFalse(hasattr(thing, "_pyroId") or "_pyroDaemon" in vars(thing))
            self.assertEqual(self.server._objects.ids(), [DAEMON_NAME])
        self.server.unregister(thing)
        self.server.unregister("nobody")
        self.server.unregister(DAEMON_NAME)
        self.assertEqual(self.server._objects.ids(), [DAEMON_NAME])
        with self.assertRaisesRegex(ValueError, "None"):
            self.server.unregister(None)

    def test_uri_for(self) -> None:
        thing = Thing()
        uri = self.server.register(thing)
        self.assertEqual(self.server.uriFor(thing), uri)
        self.assertEqual(self.server.uriFor(uri.object), uri)
        self.assertEqual(str(self.server.uriFor("not.there")), "PYRO:not.there@" + self.server.locationStr)
        with self.assertRaisesRegex(errors.DaemonError, "not registered"):
            self.server.uriFor(Thing())

    def test_proxy_for(self) -> None:
        with daemon_thread(self.server):
            thing = Thing()
            self.server.register(thing, "thing")
            for given in (thing, "thing"):
                with self.server.proxyFor(given) as proxy:
                    self.assertIsNone(proxy._pyroConnection)
                    self.assertEqual(proxy._pyroMethods, {"who", "stop"})
                    self.assertEqual(proxy.who(), "thing")
        for unknown in ("nobody", Thing()):
            with self.assertRaises(errors.DaemonError):
                self.server.proxyFor(unknown)

    def test_an_object_in_several_daemons(self) -> None:
        thing, other = Thing(), self.daemon()
        with self.assertRaises(errors.DaemonError):
            other.uriFor(thing)
        uris = [self.server.register(thing, "here"), other.register(thing, "there")]
        self.assertEqual(uris, [self.server.uriFor(thing), other.uriFor(thing)])
        self.assertIs(other, thing._pyroDaemon)
        other.unregister(thing)
        self.assertEqual(("here", self.server), (thing._pyroId, thing._pyroDaemon))  # type: ignore[attr-defined]
        with self.assertRaises(errors.DaemonError):
            other.uriFor(thing)

    def test_reset_metadata_cache(self) -> None:
        class Growing(Thing):
            pass

        growing = Growing()
        with daemon_thread(self.server):
            uri = self.server.register(growing, "growing")
            self.assertEqual(self.proxy(uri).who(), "thing")
            for name, given in (("later", growing), ("much_later", "growing")):
                setattr(Growing, name, expose(lambda self: "grown"))
                self.assertFalse(hasattr(self.proxy(uri), name))
                self.server.resetMetadataCache(given)
                self.assertEqual(getattr(self.proxy(uri), name)(), "grown")
        with self.assertRaises(errors.DaemonError):
            self.server.resetMetadataCache("nobody")


class AddressTests(DaemonTestCase):
    def test_host(self) -> None:
        self.assertRegex(self.daemon().locationStr, r"^localhost:[1-9]\d*$")
        config.HOST = "127.0.0.1"
        server = self.daemon()
        self.assertEqual(server.locationStr, "127.0.0.1:%d" % server.sock.getsockname()[1])
        self.assertRegex(self.daemon(host=ipaddress.ip_address("127.0.0.1")).locationStr, r"^127\.0\.0\.1:\d+$")

    def test_all_interfaces(self) -> None:
        for host in ("", "0.0.0.0"):
            server = self.serving(host=host)
            self.assertEqual(self.proxy(str(server.register(Thing()))).who(), "thing")

    @unittest.skipIf(IPV6.why_not, IPV6.why_not)
    def test_ipv6(self) -> None:
        server = self.serving(host=ipaddress.ip_address("::1"))
        self.assertRegex(server.locationStr, r"^\[::1\]:\d+$")
        self.assertEqual(self.proxy(server.register(Thing())).who(), "thing")

    @unittest.skipIf(UNIX.why_not, UNIX.why_not)
    def test_unix_socket(self) -> None:
        path = os.path.join(self.directory, "name with spaces")
        server = self.daemon(unixsocket=path)
        self.assertEqual(server.locationStr, "./u:" + path)
        with daemon_thread(server):
            uri = server.register(Thing())
            self.assertEqual(self.proxy(str(uri)).who(), "thing")
            self.assertTrue(os.path.exists(path))
        self.assertEqual(os.listdir(self.directory), [])

    @unittest.skipIf(UNIX.why_not, UNIX.why_not)
    def test_a_file_at_the_path_of_the_unix_socket(self) -> None:
        path = os.path.join(self.directory, "sock")
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(path)
        server = self.serving(unixsocket=path)
        with self.assertRaisesRegex(OSError, "sock"):
            Daemon(unixsocket=path)
        self.assertEqual(self.proxy(server.register(Thing())).who(), "thing")
        with open(os.path.join(self.directory, "file"), "w"), self.assertRaises(OSError):
            Daemon(unixsocket=os.path.join(self.directory, "file"))
        self.assertEqual(sorted(os.listdir(self.directory)), ["file", "sock"])

    @unittest.skipIf(ABSTRACT.why_not, ABSTRACT.why_not)
    def test_abstract_name(self) -> None:
        server = self.serving(**ABSTRACT.daemon_arguments(self.directory))
        self.assertEqual(self.proxy(str(server.register(Thing()))).who(), "thing")

    def test_unknown_server_type(self) -> None:
        config.SERVERTYPE = "threaded"
        with self.assertRaisesRegex(errors.PyroError, "threaded") as caught:
            Daemon()
        self.assertRegex(str(caught.exception.__cause__), "SERVERTYPE.*thread, multiplex")

    def test_repr_and_info_contain_the_address(self) -> None:
        server = self.serving()
        self.assertIn(server.locationStr, repr(server))
        with self.proxy(server.uriFor(DAEMON_NAME)) as daemon:
            self.assertIn(server.locationStr, daemon.info())
            self.assertIn("Threadpool", daemon.info())


class NatTests(DaemonTestCase):
    def test_published_address(self) -> None:
        server = self.daemon(nathost="pyro.server.example", natport=5555)
        uri = server.register(Thing(), "thing")
        self.assertEqual(str(uri), "PYRO:thing@pyro.server.example:5555")
        self.assertEqual(server.natLocationStr, "pyro.server.example:5555")
        self.assertEqual(server.uriFor("thing"), uri)
        self.assertEqual(str(server.uriFor(uri.object, nat=False)), "PYRO:thing@" + server.locationStr)
        self.assertEqual(server.proxyFor("thing")._pyroUri, uri)
        self.assertEqual(str(server.proxyFor("thing", nat=False)._pyroUri.location), server.locationStr)
        self.assertIn("localhost", server.locationStr)

    def test_port_0_is_the_internal_port(self) -> None:
        for arguments in ({"natport": 0}, {}):
            server = self.daemon(nathost="nat.example", **arguments)
            self.assertEqual(server.natLocationStr, "nat.example:%d" % server.sock.getsockname()[1])
        self.assertRegex(str(self.daemon(nathost="::5").natLocationStr), r"^\[::5\]:\d+$")
        self.assertRegex(str(self.daemon(nathost=ipaddress.ip_address("192.0.2.7")).natLocationStr), r"^192\.0\.2\.7:\d+$")

    def test_settings(self) -> None:
        self.assertIsNone(self.daemon().natLocationStr)
        config.NATHOST, config.NATPORT = "nat.example", 4444
        self.assertEqual(self.daemon().natLocationStr, "nat.example:4444")
        self.assertEqual(self.daemon(nathost="other.example", natport=1).natLocationStr, "other.example:1")

    def test_invalid_arguments(self) -> None:
        with self.assertRaisesRegex(ValueError, "natport.*nathost"):
            Daemon(natport=5555)
        with self.assertRaisesRegex(ValueError, "Unix"):
            Daemon(unixsocket=os.path.join(self.directory, "sock"), nathost="nat.example", natport=1)


class LoopTests(DaemonTestCase):
    def test_loop_condition(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            asked: List[int] = []
            config.POLLTIMEOUT = 0.01
            server = self.daemon()
            server.requestLoop(lambda asked=asked: asked.append(1) or len(asked) < 3)  # type: ignore[misc]
            self.assertEqual(len(asked), 3)
            with daemon_thread(server):  # it can be continued
                self.assertEqual(self.proxy(server.register(Thing())).who(), "thing")

    def own_event_loop(self, server: Any, until: threading.Event, wait: Any) -> None:
        while not until.is_set():
            ready = wait(server.sockets)
            self.assertLessEqual(set(ready), set(server.sockets))
            server.events(ready)

    def test_own_event_loop(self) -> None:
        def wait(sockets: List[Any]) -> List[Any]:
            with selectors.DefaultSelector() as selector:
                for sock in sockets:
                    selector.register(sock, selectors.EVENT_READ)
                return [key.fileobj for key, _ in selector.select(0.05)]

        for config.SERVERTYPE in ("multiplex", "thread"):
            server, done, seen = self.daemon(), threading.Event(), []  # type: Any, threading.Event, List[Any]
            self.assertEqual(server.sockets, [server.sock])
            uri = server.register(Thing())

            def use(uri: Any = uri, done: Any = done, seen: Any = seen) -> None:
                try:
                    with Proxy(uri) as first, Proxy(uri) as second:
                        seen.extend((first.who(), second.who(), first.who()))
                finally:
                    done.set()

            client = threading.Thread(target=use)
            client.start()
            self.own_event_loop(server, done, wait)
            client.join()
            self.assertEqual(seen, ["thing"] * 3, config.SERVERTYPE)

    def test_the_selector_can_be_shared(self) -> None:
        """A program may register its own sockets in the daemon's selector: the loop ignores them."""
        server = self.daemon()
        mine, other = socket.socketpair()
        with mine, other, daemon_thread(server):
            server.selector.register(mine, selectors.EVENT_READ, "mine")
            self.assertEqual(self.proxy(server.register(Thing())).who(), "thing")
            server.selector.unregister(mine)

    def test_combine(self) -> None:
        for config.SERVERTYPE in ("thread", "multiplex"):
            master, second, third = self.daemon(), self.daemon(), self.daemon()
            second.combine(third)
            master.combine(second)
            uris = [server.register(Thing(name)) for server, name in ((master, "one"), (second, "two"), (third, "three"))]
            with daemon_thread(master):
                self.assertEqual([self.proxy(uri).who() for uri in uris], ["one", "two", "three"])
                self.proxy(uris[2]).stop()
                self.assertEqual([self.proxy(uri).who() for uri in uris[:2]], ["one", "two"])
                self.assertIsNot(master.selector, None)

    def test_combine_with_something_else(self) -> None:
        mine, other = socket.socketpair()
        heard: List[Any] = []
        arrived = threading.Event()

        class Foreign:
            sockets = [mine]

            def events(self, sockets: List[Any]) -> None:
                heard.extend(sock.recv(100) for sock in sockets)
                arrived.set()

        server = self.daemon()
        server.combine(Foreign())
        with mine, other, daemon_thread(server):
            other.sendall(b"hello")
            self.assertTrue(arrived.wait(PATIENCE_SECONDS))
        self.assertEqual(heard, [b"hello"])

    def test_close(self) -> None:
        thing = Thing()
        with Daemon() as server:
            uri = server.register(thing)
            with daemon_thread(server):
                self.assertEqual(self.proxy(uri).who(), "thing")
        self.assertEqual([uri] * 2, [server.uriFor(thing), server.proxyFor(thing)._pyroUri])
        self.assertEqual(server.sock.fileno(), -1)
        server.close()
        server.shutdown()
        with self.assertRaises(errors.CommunicationError):
            Proxy(uri)._pyroBind()
