"""TLS from the proxy to the object and back: who is let in and who is not, and that calls of every kind get through."""
from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import unittest
from typing import Any, Dict, Iterator, List

from Pyro5 import config, errors, nameserver
from Pyro5._objects.exposure import expose
from Pyro5.client import BatchProxy, Proxy
from Pyro5.core import locate_ns
from tests.conformance.places import UNIX
from tests.peers import CERTIFICATES
from tests.rawclient import ServerTestCase, WatchedDaemon, connected_to, for_both_types, wait_until
from tests.support import daemon_thread

LARGE = 5 * 1024 * 1024
AUTHORITY_HASH = "f20e0b1e"  # openssl x509 -subject_hash -noout -in ca.pem


def path(name: str) -> str:
    return os.path.join(CERTIFICATES, name)


TRUST = {"SSL_CACERTS": path("ca.pem")}
SERVER = {"SSL_SERVERCERT": path("server.pem"), "SSL_SERVERKEY": path("server.key")}
CLIENT = {"SSL_CLIENTCERT": path("client.pem"), "SSL_CLIENTKEY": path("client.key")}


@expose
class Vault:
    """What only calls of a special kind can do."""

    def count(self, end: int) -> Iterator[int]:
        yield from range(end)

    def fail(self, text: str) -> None:
        raise KeyError(text)


class StrictDaemon(WatchedDaemon):
    """Lets in the one client whose certificate it knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shown: List[Any] = []
        super().__init__(*args, **kwargs)

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        certificate = conn.getpeercert()
        self.shown.append(certificate)
        if not certificate or (("commonName", "Test client"),) not in certificate["subject"]:
            raise errors.SecurityError("only Test client may come in")
        return "welcome"


class TlsTestCase(ServerTestCase):
    """Both sides take the settings of one process: a test makes the servers first, then sets what the client shall have."""

    def settings(self, *parts: Dict[str, Any], **more: Any) -> None:
        """Start from the defaults, with TLS on."""
        config.reset(use_environment=False)
        self.configure(SERVERTYPE=self.servertype, SSL=True)
        for part in (*parts, more):
            self.configure(**part)

    def server(self, *parts: Dict[str, Any], daemon_class: Any = WatchedDaemon, host: str = "127.0.0.1",
               unixsocket: str = "", **more: Any) -> Any:
        """Return a running daemon that was made with these settings."""
        self.settings(*parts, **more)
        place = {"unixsocket": unixsocket} if unixsocket else {}
        daemon = self.daemon(daemon_class, host, **place)
        daemon.register(Vault(), "vault")
        self.run_loop(daemon)
        return daemon

    def proxy(self, daemon: Any, name: str = "obj") -> Any:
        proxy = Proxy(daemon.uriFor(name))
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def assert_served(self, daemon: Any) -> None:
        with Proxy(daemon.uriFor("obj")) as proxy:
            self.assertEqual("hello", proxy.echo("hello"))

    def assert_refused(self, daemon: Any, client_reads: str, server_logs: str) -> None:
        """The client's error says what to do, and the server's log has one line about it."""
        self.assertFalse(daemon.gone)
        with self.assertLogs("Pyro5.server", "WARNING") as logged:
            with self.assertRaisesRegex(errors.CommunicationError, client_reads) as caught:
                self.assert_served(daemon)
            daemon.wait_for_gone(1)
        self.assertIn(daemon.locationStr, str(caught.exception))
        self.assertEqual(1, len(logged.output), logged.output)
        self.assertRegex(logged.output[0], server_logs)
        self.assertIn("127.0.0.", logged.output[0])


class LetIn(TlsTestCase):
    def test_the_server_shows_a_certificate(self) -> None:
        daemon = self.server(SERVER)
        self.settings(TRUST)
        proxy = self.proxy(daemon)
        self.assertEqual(1, proxy.echo(1))
        shown = proxy._pyroConnection.getpeercert()
        self.assertIn((("commonName", "Test server"),), shown["subject"])
        self.assertIn(("DNS", "localhost"), shown["subjectAltName"])

    def test_both_show_certificates(self) -> None:
        daemon = self.server(SERVER, TRUST, SSL_REQUIRECLIENTCERT=True, daemon_class=StrictDaemon)
        self.settings(TRUST, CLIENT)
        self.assert_served(daemon)
        (shown,) = daemon.shown
        self.assertEqual(((("commonName", "Test client"),),), shown["subject"])
        self.assertTrue(int(shown["serialNumber"], 16))

    def test_authorities_in_a_folder(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(path("ca.pem"), os.path.join(folder, AUTHORITY_HASH + ".0"))
            daemon = self.server(SERVER, SSL_CACERTS=folder, SSL_REQUIRECLIENTCERT=True)
            self.settings(CLIENT, SSL_CACERTS=folder)
            self.assert_served(daemon)

    def test_keys_with_passwords(self) -> None:
        locked = {"SSL_SERVERKEY": path("server-encrypted.key"), "SSL_SERVERKEYPASSWD": "secret"}
        daemon = self.server(SERVER, locked, TRUST, SSL_REQUIRECLIENTCERT=True)
        self.settings(TRUST, CLIENT, SSL_CLIENTKEY=path("client-encrypted.key"), SSL_CLIENTKEYPASSWD="secret")
        self.assert_served(daemon)
        self.configure(SSL_CLIENTKEYPASSWD="wrong")
        with self.assertRaisesRegex(ssl.SSLError, "client-encrypted.key"):
            self.assert_served(daemon)
        self.settings(SERVER, locked, SSL_SERVERKEYPASSWD="")
        with self.assertRaisesRegex(ssl.SSLError, "server-encrypted.key"):
            self.daemon()

    def test_a_server_without_certificate_does_not_start(self) -> None:
        self.settings()
        with self.assertRaisesRegex(errors.SecurityError, "SSL_SERVERCERT"):
            self.daemon()

    @unittest.skipUnless(UNIX, "no Unix domain sockets")
    def test_unix_domain_socket(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            daemon = self.server(SERVER, unixsocket=os.path.join(folder, "sock"))
            self.settings(TRUST)
            self.assert_served(daemon)

    def test_several_contexts_in_one_process(self) -> None:
        open_to_all = self.server(SERVER)
        strict = self.server(SERVER, TRUST, SSL_REQUIRECLIENTCERT=True)
        plain = self.server(SSL=False)
        proxies = []
        for daemon, parts in ((open_to_all, [TRUST]), (strict, [TRUST, CLIENT]), (plain, [{"SSL": False}])):
            self.settings(*parts)
            proxies.append(self.proxy(daemon))
            proxies[-1]._pyroBind()
        self.settings(SSL=False)
        self.assertEqual([0, 1, 2], [proxy.echo(number) for number, proxy in enumerate(proxies)])

    def test_the_name_server(self) -> None:
        self.settings(SERVER, TRUST)
        uri, names, responder = nameserver.start_ns("127.0.0.1", 0, enableBroadcast=False)
        self.assertIsNone(responder)
        with daemon_thread(names):
            self.configure(NS_HOST="127.0.0.1", NS_PORT=uri.port)
            daemon = self.daemon()
            self.run_loop(daemon)
            with locate_ns() as found:
                found.register("the.object", daemon.uriFor("obj"))
            with Proxy("PYRONAME:the.object") as proxy:
                self.assertEqual("hello", proxy.echo("hello"))


class Refused(TlsTestCase):
    def test_an_unknown_authority(self) -> None:
        daemon = self.server(SERVER)
        self.settings()
        self.assert_refused(daemon, "certificate verify failed.*SSL_CACERTS", "unknown ca.*do the certificates fit")

    def test_a_server_of_another_name(self) -> None:
        try:
            socket.create_server(("127.0.0.2", 0)).close()
        except OSError:
            self.skipTest("this machine has no second address of its own")
        daemon = self.server(SERVER, host="127.0.0.2")
        self.settings(TRUST)
        self.assert_refused(daemon, "not valid for '127.0.0.2'.*certificates", "the TLS handshake failed.*bad certificate")

    def test_a_certificate_that_is_not_for_servers(self) -> None:
        daemon = self.server(SSL_SERVERCERT=path("client.pem"), SSL_SERVERKEY=path("client.key"))
        self.settings(TRUST)
        self.assert_refused(daemon, "certificate verify failed.*purpose", "the TLS handshake failed.*certificate")

    def test_a_client_without_certificate(self) -> None:
        for _ in range(10):  # what the client has sent already must not keep it from reading why
            daemon = self.server(SERVER, TRUST, SSL_REQUIRECLIENTCERT=True)
            self.settings(TRUST)
            self.assert_refused(daemon, "certificate required.*SSL_CLIENTCERT", "peer did not return a certificate")

    def test_a_client_with_a_wrong_certificate(self) -> None:
        daemon = self.server(SERVER, SSL_REQUIRECLIENTCERT=True, SSL_CACERTS=path("server.pem"))
        self.settings(TRUST, CLIENT)
        self.assert_refused(daemon, "unknown ca.*trust the one that was sent", "certificate verify failed")

    def test_a_client_that_the_daemon_does_not_know(self) -> None:
        daemon = self.server(SERVER, TRUST, daemon_class=StrictDaemon)
        self.settings(TRUST, CLIENT)  # the server does not ask for its certificate, so it shows none
        with self.assertRaisesRegex(errors.CommunicationError, "only Test client may come in"):
            self.assert_served(daemon)
        self.assertEqual([{}], [shown or {} for shown in daemon.shown])

    def test_a_plain_client_at_a_tls_server(self) -> None:
        daemon = self.server(SERVER)
        self.settings(SSL=False)
        self.assert_refused(daemon, "if the server uses TLS, enable the setting SSL on this side", "does the client use TLS")

    def test_a_tls_client_at_a_plain_server(self) -> None:
        daemon = self.server(SSL=False)
        self.settings(TRUST)
        self.assert_refused(daemon, "does the server use TLS", "not the Pyro protocol.*TLS.*SSL has to be the same")

    def test_the_others_are_served_meanwhile(self) -> None:
        daemon = self.server(SERVER, TRUST, SSL_REQUIRECLIENTCERT=True)
        silent = [connected_to(daemon) for _ in range(5)]
        for sock in silent:
            self.at_end.callback(sock.close)
        for client in ([{"SSL": False}], [TRUST]):
            self.settings(*client)
            with self.assertRaises(errors.CommunicationError):
                self.assert_served(daemon)
        self.settings(TRUST, CLIENT)
        self.assert_served(daemon)
        daemon.wait_for_gone(3)
        self.assertEqual([False, False, True], [conn.handshake_done for conn in daemon.gone])


class Calls(TlsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.running = self.server(SERVER, TRUST, SSL_REQUIRECLIENTCERT=True)
        self.settings(TRUST, CLIENT)

    def test_large_messages_both_ways(self) -> None:
        proxy = self.proxy(self.running)
        for size in (1, 16 * 1024, 100 * 1000, LARGE):
            text = "x" * size
            self.assertEqual(text, proxy.echo(text))
        self.assertEqual(LARGE, len(proxy.large(LARGE)))

    def test_compressed(self) -> None:
        self.configure(COMPRESSION=True)
        text = "x" * 4000000  # MAX_INFLATED_SIZE is not much more
        self.assertEqual(text, self.proxy(self.running).echo(text))

    def test_oneway_calls_one_after_the_other(self) -> None:
        proxy = self.proxy(self.running)
        sizes = [1, 20000, 1, 70000] * 10
        for size in sizes:
            self.assertIsNone(proxy.note_oneway("x" * size))
        self.assertEqual("last", proxy.echo("last"))
        self.assertEqual(sorted(sizes), sorted(map(len, self.served._wait_for_notes(len(sizes)))))

    def test_batches(self) -> None:
        batch = BatchProxy(self.proxy(self.running))
        for size in (1, 20000, 300000):
            batch.large(size)
        self.assertEqual([1, 20000, 300000], [len(text) for text in batch()])
        batch = BatchProxy(self.proxy(self.running))
        batch.note("one")
        batch.note("two")
        batch(oneway=True)
        self.assertEqual(["one", "two"], self.served._wait_for_notes(2))

    def test_streams(self) -> None:
        self.assertEqual(list(range(20)), list(self.proxy(self.running, "vault").count(20)))

    def test_exceptions(self) -> None:
        vault = self.proxy(self.running, "vault")
        with self.assertRaisesRegex(KeyError, "lost"):
            vault.fail("lost")
        self.assertEqual([0], list(vault.count(1)))

    def test_reconnecting(self) -> None:
        proxy = self.proxy(self.running)
        proxy.note_connection()
        self.served._notes[0].close()
        wait_until(lambda: self.running.gone)
        with self.assertRaises(errors.ConnectionClosedError):
            proxy.echo(1)
        proxy._pyroReconnect(tries=1)
        self.assertEqual(2, proxy.echo(2))

    def test_a_timeout(self) -> None:
        proxy = self.proxy(self.running)
        proxy._pyroBind()
        proxy._pyroTimeout = 0.05
        with self.assertRaises(errors.TimeoutError):
            proxy.wait()
        self.served._open_gate()
        proxy._pyroTimeout = None
        self.assertEqual("again", proxy.echo("again"))


for base in (LetIn, Refused, Calls):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, TlsTestCase


if __name__ == "__main__":
    unittest.main()
