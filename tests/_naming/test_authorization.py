"""The write token of a name server: who may change registrations, and who may not."""
from __future__ import annotations

import hmac
import os
import tempfile
import threading
import unittest
from typing import Any, Callable, List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._naming.authorization import Writers, checked_token, read_token
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.nameserver import NameServerDaemon
from Pyro5.serializers import serializers
from Pyro5.server import Daemon
from tests.rawclient import wait_until
from tests.support import daemon_thread
from tests.test_nameserver import ONE, NameServerTestCase

TOKEN = "c0rrect-horse-battery-staple"
REFUSED = "^this name server lets only those clients change registrations that give its write token"


class TokenTests(unittest.TestCase):
    def test_what_is_no_token(self) -> None:
        self.assertEqual(checked_token(TOKEN), TOKEN)
        blank = "must not contain spaces"
        for text, reason in (("", "must have 16 to 4096 characters, not 0"), ("x" * 15, "not 15"), ("x" * 4097, "not 4097"),
                             ("two words are not one", blank), (TOKEN + "\n", blank), (" " * 20, blank)):
            with self.assertRaisesRegex(ValueError, reason):
                checked_token(text)
        with self.assertRaisesRegex(TypeError, "^a write token must be a str, not bytes$"):
            checked_token(TOKEN.encode())  # type: ignore[arg-type]

    def test_files(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "token")

            def write(data: bytes) -> str:
                with open(path, "wb") as file:
                    file.write(data)
                return path

            for data in (b"%s", b"%s\r\n", b"\n  %s\n\n", b"\xef\xbb\xbf%s\n"):
                self.assertEqual(read_token(write(data % TOKEN.encode())), TOKEN)
            for data in (b"", b"too short", b"two words of secret", b"x" * 5000, b"\xff\xfe" + TOKEN.encode("utf-16-le")):
                with self.assertRaises(ValueError) as caught:
                    read_token(write(data))
                self.assertTrue(str(caught.exception).startswith("%s does not contain a write token" % path), caught.exception)
                self.assertNotIn("secret", str(caught.exception))
            with self.assertRaises(FileNotFoundError):
                read_token(path + "x")


class WritersTests(unittest.TestCase):
    def client(self, handshake: Any, token: Any = TOKEN) -> Callable[[], None]:
        """Return what tells whether a client that said this may change registrations."""
        guard, client, server = Writers(token), mock.Mock(), mock.Mock()
        client.server = server
        guard.authorize(client, handshake)
        self.addCleanup(setattr, current_context, "client", None)

        def check() -> None:
            current_context.client = client
            guard.require(server)
        return check

    def test_the_token(self) -> None:
        self.client(TOKEN)()
        unusual = "a-t\xf6ken-\ud800-\u20ac-of-another-kind"
        self.client(unusual, unusual)()

    def test_everything_else(self) -> None:
        for handshake in ("hello", None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), TOKEN.encode(), [TOKEN], {"token": TOKEN},
                          True, "\ud800", "x" * 100000):
            with self.assertRaisesRegex(errors.NamingError, REFUSED):
                self.client(handshake)()

    def test_without_a_token_all_are_writers(self) -> None:
        self.client("hello", None)()
        self.assertFalse(Writers(None).are_limited)

    def test_the_time_tells_nothing(self) -> None:
        with mock.patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
            self.client(TOKEN)()
        compare.assert_called_once_with(TOKEN.encode(), TOKEN.encode())

    def test_connections_that_are_gone_are_forgotten(self) -> None:
        class Client:
            pass

        guard = Writers(TOKEN)
        client = Client()
        guard.authorize(client, TOKEN)
        self.assertEqual(len(guard._connections), 1)
        del client
        self.assertEqual(len(guard._connections), 0)


class ProtectedCase(NameServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.uri, self.daemon, _ = self.start(write_token=TOKEN)
        self.ns = self.daemon.nameserver
        self.ns.register("old", ONE, metadata={"tag"})

    def run_daemon(self, daemon: Any) -> None:
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def client(self, handshake: Any = "hello") -> Any:
        proxy = self.proxy(self.uri)
        proxy._pyroHandshake = handshake
        return proxy


class RemoteTests(ProtectedCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.DETAILED_TRACEBACK = True
        super().setUp()
        self.run_daemon(self.daemon)

    def test_readers(self) -> None:
        for handshake in ("hello", TOKEN + "x"):
            reader = self.client(handshake)
            self.assertEqual(str(reader.lookup("old")), ONE)
            self.assertEqual(reader.list(prefix="o"), {"old": ONE})
            self.assertEqual(set(reader.yplookup(["tag"])), {"old"})
            self.assertEqual(reader.count(), 2)
            reader.ping()
            for method, args in (("register", ("new", ONE)), ("register", ("old", ONE, True)), ("register", ("", "")),
                                 ("set_metadata", ("old", ["other"])), ("remove", ("old",)), ("remove", (None, "o")),
                                 ("remove", (None, None, "o")), ("remove", ())):
                with self.assertRaisesRegex(errors.NamingError, REFUSED):
                    getattr(reader, method)(*args)
        self.assertEqual(self.ns.lookup("old", return_metadata=True), (URI(ONE), {"tag"}))
        self.assertEqual(self.ns.count(), 2)

    def test_no_reply_has_the_token_in_it(self) -> None:
        """Nor would it with the setting DETAILED_TRACEBACK, which shows values of variables."""
        with self.assertRaises(errors.NamingError) as caught:
            self.client().register("new", ONE)
        self.assertNotIn(TOKEN, "".join(errors.get_pyro_traceback(type(caught.exception), caught.exception, None)))

    def test_writers(self) -> None:
        for name in serializers:
            writer = self.client(TOKEN)
            writer._pyroSerializer = name
            writer.register("new", ONE)
            writer.set_metadata("new", ["other"])
            self.assertEqual(writer.remove("new"), 1)

    def test_batches_and_oneway_calls(self) -> None:
        batch = BatchProxy(self.client())
        batch.register("new", ONE)
        with self.assertRaisesRegex(errors.NamingError, REFUSED):
            list(batch())
        refused: List[Exception] = []
        self.daemon.methodcall_error_handler = lambda *args: refused.append(args[-1])
        for handshake in ("hello", TOKEN):
            client = self.client(handshake)
            client._pyroBind()
            client._pyroOneway.add("register")
            client.register("from " + handshake, ONE)
        wait_until(lambda: bool(refused) and self.ns.count() == 3)
        self.assertEqual(list(self.ns.list(prefix="from ")), ["from " + TOKEN])
        self.assertRegex(str(refused[0]), REFUSED)

    def test_the_token_belongs_to_the_connection(self) -> None:
        client = self.client(TOKEN)
        client.register("new", ONE)
        client._pyroHandshake = "hello"
        client.remove("new")
        client._pyroRelease()
        with self.assertRaisesRegex(errors.NamingError, REFUSED):
            client.register("new", ONE)
        client._pyroRelease()
        client._pyroHandshake = TOKEN
        client.register("new", ONE)

    def test_a_connection_to_the_daemon_itself(self) -> None:
        """Which object a client names in its handshake makes no difference."""
        for handshake, allowed in (("hello", False), (TOKEN, True)):
            proxy = self.proxy("PYRO:Pyro.Daemon@" + self.daemon.locationStr)
            proxy._pyroHandshake = handshake
            call = ("register", ("new", ONE), {}, 0, "Pyro.NameServer")
            if allowed:
                proxy._pyroInvoke(*call)
            else:
                with self.assertRaisesRegex(errors.NamingError, REFUSED):
                    proxy._pyroInvoke(*call)

    def test_refusals_are_no_warnings(self) -> None:
        with self.assertLogs("Pyro5", "INFO") as logged, self.assertRaises(errors.NamingError):
            self.client().register("new", ONE)
        self.assertEqual([record.levelname for record in logged.records if "raised" in record.getMessage()], ["INFO"])


class MultiplexRemoteTests(RemoteTests):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.SERVERTYPE = "multiplex"
        super().setUp()


class ProgramTests(ProtectedCase):
    def test_calls_of_the_program_itself(self) -> None:
        self.ns.register("new", ONE)
        self.ns.set_metadata("new", ["tag"])
        self.assertEqual(self.ns.remove("new"), 1)

    def test_another_daemon_of_the_program(self) -> None:
        """Its methods are not restricted for any caller; also if one loop runs both."""
        ns = self.ns

        @expose
        class Office:
            def register(self, name: str) -> None:
                ns.register(name, ONE)

        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            with Daemon("127.0.0.1") as office:
                uri = office.register(Office())
                _, names, _ = self.start(write_token=TOKEN)
                ns = names.nameserver
                office.combine(names)
                with daemon_thread(office), Proxy(uri) as client, Proxy(names.uriFor("Pyro.NameServer")) as reader:
                    client.register("by the office")
                    self.assertEqual(str(reader.lookup("by the office")), ONE)
                    with self.assertRaisesRegex(errors.NamingError, REFUSED):
                        reader.remove("by the office")

    def test_cleaning(self) -> None:
        """It removes what is dead, whichever client's call started the thread that does it."""
        self.assertTrue(self.ns.remove_unchanged("old", ONE))

    def test_an_own_handshake(self) -> None:
        class Greeting(NameServerDaemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                return "welcome, " + super().validateHandshake(conn, data["token"])

        class Forgetful(NameServerDaemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                return "hello"

        for daemon_class, refused in ((Greeting, False), (Forgetful, True)):
            daemon = daemon_class("127.0.0.1", 0, write_token=TOKEN)
            with daemon_thread(daemon), Proxy(daemon.uriFor("Pyro.NameServer")) as client:
                client._pyroHandshake = {"token": TOKEN}
                if refused:
                    with self.assertRaisesRegex(errors.NamingError, REFUSED):
                        client.register("new", ONE)
                else:
                    client.register("new", ONE)

    def test_no_token_is_no_name_server(self) -> None:
        threads = threading.active_count()
        for token in ("hello", ""):
            with self.assertRaisesRegex(ValueError, "^a write token must have 16 to 4096 characters"):
                NameServerDaemon("127.0.0.1", 0, write_token=token)
        self.assertEqual(threading.active_count(), threads)

    def test_all_clients_write_by_default(self) -> None:
        uri, daemon, _ = self.start()
        self.assertFalse(daemon.is_write_protected)
        with daemon_thread(daemon), Proxy(uri) as client:
            client._pyroHandshake = {"anything": 5}
            client.register("new", ONE)
            self.assertEqual(client.remove("new"), 1)


if __name__ == "__main__":
    unittest.main()
