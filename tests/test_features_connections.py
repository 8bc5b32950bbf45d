"""Connections on both server types: addresses, socket options, compression, timeouts, retries, handshakes, annotations."""
from __future__ import annotations

import os
import socket
import tempfile
import threading
import uuid
from typing import Any, Dict, List
from unittest import mock
from zlib import compress as really_compress

from Pyro5 import errors
from Pyro5._client.connection import Connection
from Pyro5._objects.exposure import expose
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from Pyro5.socketutil import SocketConnection
from tests.conformance.places import ABSTRACT, IPV6, UNIX
from tests.rawclient import PATIENCE_SECONDS, ServerTestCase, WatchedDaemon, for_both_types, wait_until

SHORT_SECONDS = 0.05
REPETITIVE = "again and " * 10000


@expose
class Post:
    """Tells what arrived with a call."""

    def stamps(self) -> Dict[str, str]:
        return {name: bytes(value).decode() for name, value in current_context.annotations.items()}

    def forward(self, others: List[Any]) -> List[Any]:
        """Return the correlation id here and at the other objects."""
        ids: List[Any] = [str(current_context.correlation_id)]
        for other in others[:1]:
            with other:
                ids += other.forward(others[1:])
        return ids

    def stamp(self, text: str) -> None:
        current_context.response_annotations = {"POST": text.encode()}


class ConnectionTestCase(ServerTestCase):
    def serve_post(self, daemon_class: Any = WatchedDaemon, **where: Any) -> Any:
        server = self.daemon(daemon_class, **where)
        server.register(Post(), "post")
        self.run_loop(server)
        return server

    def proxy(self, server: Any, object_id: str = "obj", proxy_class: Any = Proxy) -> Any:
        proxy = proxy_class(server.uriFor(object_id))
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def server_side(self, server: Any) -> Any:
        """Return the server's end of the only connection."""
        (connection,) = server.transportServer._connections.values()
        return connection


class Addresses(ConnectionTestCase):
    def assert_reached(self, server: Any, location: str) -> None:
        self.assertEqual(location, server.locationStr)
        self.assertEqual("PYRO:post@" + location, str(server.uriFor("post")))
        self.assertEqual({}, self.proxy(server, "post").stamps())

    def test_ipv4(self) -> None:
        server = self.serve_post()
        self.assert_reached(server, "127.0.0.1:%d" % server.sock.getsockname()[1])

    def test_ipv6(self) -> None:
        if IPV6.why_not:
            self.skipTest(IPV6.why_not)
        server = self.serve_post(host="::1")
        self.assert_reached(server, "[::1]:%d" % server.sock.getsockname()[1])
        self.assertEqual(socket.AF_INET6, server.sock.family)

    def test_the_preferred_version(self) -> None:
        if IPV6.why_not:
            self.skipTest(IPV6.why_not)
        both = {4: ("127.0.0.1", socket.AF_INET), 6: ("::1", socket.AF_INET6)}

        def resolve(host: Any, port: Any, family: Any = 0, *args: Any, **kwargs: Any) -> Any:
            return [(each, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address, each in reversed(both.values())
                    if family in (0, each)]

        for version, (_, family) in both.items():
            self.configure(PREFER_IP_VERSION=version)
            with mock.patch("socket.getaddrinfo", resolve):
                server = self.serve_post(host="both.example")
                self.assertEqual(family, server.sock.family)
                with Proxy(server.uriFor("post")) as proxy:
                    self.assertEqual({}, proxy.stamps())

    def test_unix_sockets(self) -> None:
        if UNIX.why_not:
            self.skipTest(UNIX.why_not)
        directory = self.at_end.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(directory, "with a blank.sock")
        self.assert_reached(self.serve_post(unixsocket=path), "./u:" + path)

    def test_abstract_names(self) -> None:
        if ABSTRACT.why_not:
            self.skipTest(ABSTRACT.why_not)
        name = "\0pyro-%s-%d" % (self.servertype, os.getpid())
        self.assert_reached(self.serve_post(unixsocket=name), "./u:" + name)

    def test_nat(self) -> None:
        server = self.serve_post(nathost="outside.example", natport=5555)
        inner = server.locationStr
        self.assertEqual("PYRO:post@outside.example:5555", str(server.uriFor("post")))
        self.assertEqual("PYRO:post@" + inner, str(server.uriFor("post", nat=False)))
        self.assertEqual("PYRO:post@" + inner, str(server.proxyFor("post", nat=False)._pyroUri))
        with Proxy(server.uriFor("post", nat=False)) as proxy:
            self.assertEqual({}, proxy.stamps())
        same_port = self.serve_post(nathost="outside.example", natport=0)
        port = same_port.sock.getsockname()[1]
        self.assertEqual("PYRO:post@outside.example:%d" % port, str(same_port.uriFor("post")))


class Sockets(ConnectionTestCase):
    def test_options(self) -> None:
        for setting in (True, False):
            self.configure(SOCK_REUSE=setting, SOCK_NODELAY=setting)
            server = self.serve_post()
            if os.name != "nt":
                self.assertEqual(setting, bool(server.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)))
            proxy = self.proxy(server)
            proxy._pyroBind()
            for sock in (proxy._pyroConnection.sock, self.server_side(server).sock):
                self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_both_sides_know_their_addresses(self) -> None:
        server = self.serve_post()
        proxy = self.proxy(server)
        self.assertIsNone(proxy._pyroLocalSocket)
        proxy._pyroBind()
        other_end = self.server_side(server)
        self.assertIsInstance(other_end, SocketConnection)
        self.assertIsInstance(proxy._pyroConnection, Connection)
        self.assertEqual(proxy._pyroLocalSocket, other_end.sock.getpeername())
        self.assertEqual("obj", other_end.objectId)

    def compressed(self, proxy: Any) -> List[str]:
        """Return whether a large request, and its large reply, are compressed on the way."""
        squeezed: List[str] = []

        def compress(data: Any, *args: Any) -> bytes:
            squeezed.append("reply" if threading.current_thread() is not mine else "request")
            return really_compress(data, *args)

        mine = threading.current_thread()
        proxy._pyroBind()
        with mock.patch("Pyro5.protocol.zlib.compress", compress):
            self.assertEqual(REPETITIVE, proxy.echo(REPETITIVE))
            self.assertEqual("short", proxy.echo("short"))
        return squeezed

    def test_compression(self) -> None:
        proxy = self.proxy(self.serve_post())
        for compression, squeezed in ((False, []), (True, ["request", "reply"]), (False, [])):
            self.configure(COMPRESSION=compression)
            self.assertEqual(squeezed, self.compressed(proxy))

    def test_size_limit(self) -> None:
        self.configure(MAX_MESSAGE_SIZE=20000)
        server = self.serve_post()
        proxy = self.proxy(server)
        self.assertEqual("x" * 10000, proxy.echo("x" * 10000))
        with self.assertRaisesRegex(errors.ProtocolError, "20000"):
            proxy.echo("x" * 30000)


class Times(ConnectionTestCase):
    def test_calls_have_a_time_limit(self) -> None:
        server = self.serve_post()
        self.configure(COMMTIMEOUT=SHORT_SECONDS)
        by_setting = self.proxy(server)
        self.configure(COMMTIMEOUT=0.0)
        by_itself = self.proxy(server)
        self.assertEqual((SHORT_SECONDS, None), (by_setting._pyroTimeout, by_itself._pyroTimeout))
        by_itself._pyroTimeout = SHORT_SECONDS
        for proxy in (by_setting, by_itself):
            with self.assertRaisesRegex(errors.TimeoutError, "wait"):
                proxy.wait("for ever")
            if self.servertype == "multiplex":
                break  # the call still holds up everybody
        self.served._open_gate()

    def test_retries(self) -> None:
        """The first attempts time out; the object has been called each time."""
        server = self.serve_post()
        self.configure(COMMTIMEOUT=SHORT_SECONDS, MAX_RETRIES=2)
        proxy = self.proxy(server)
        self.configure(COMMTIMEOUT=0.0, MAX_RETRIES=0)
        self.assertEqual(2, proxy._pyroMaxRetries)
        proxy._pyroBind()
        with self.assertRaises(errors.TimeoutError):
            proxy.wait("stuck")
        self.served._open_gate()
        if self.servertype == "thread":
            self.served._wait_for_notes(3)
        wait_until(lambda: self.served._running == 0)
        proxy._pyroTimeout, proxy._pyroMaxRetries = PATIENCE_SECONDS, 0
        self.assertEqual("again", proxy.echo("again"))

    def test_silent_clients_of_a_server_with_a_time_limit(self) -> None:
        """A thread server parts from them; with multiplex they cost nothing, and stay."""
        self.configure(COMMTIMEOUT=SHORT_SECONDS, POLLTIMEOUT=0.01)
        server = self.serve_post()
        self.configure(COMMTIMEOUT=0.0)
        proxy = self.proxy(server)
        self.assertEqual("hello", proxy.echo("hello"))
        if self.servertype == "multiplex":
            wait_until(lambda: server.ticks > 10)
            self.assertEqual("still here", proxy.echo("still here"))
            return
        server.wait_for_gone(1)
        with self.assertRaises(errors.ConnectionClosedError):
            proxy.echo("too late")
        self.assertEqual("on a new connection", proxy.echo("on a new connection"))


class Handshakes(ConnectionTestCase):
    def test_data_goes_both_ways(self) -> None:
        answers: List[Any] = []

        class Doorkeeper(WatchedDaemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                if not data:
                    raise errors.ConnectionClosedError("not a word")
                if data["name"] not in ("smith", "jones"):
                    raise errors.SecurityError("%s is not on the list" % data["name"])
                return {"welcome": data["name"], "from": list(conn.sock.getpeername())}

        class Guest(Proxy):
            def _pyroValidateHandshake(self, response: Any) -> None:
                answers.append(response)
                if response["welcome"] == "jones":
                    raise ValueError("this is the wrong party")

        server = self.serve_post(Doorkeeper)
        guest = self.proxy(server, proxy_class=Guest)
        guest._pyroHandshake = {"name": "smith"}
        self.assertEqual("in", guest.echo("in"))
        self.assertEqual([{"welcome": "smith", "from": list(guest._pyroLocalSocket)}], answers)
        guest._pyroRelease()
        with self.assertLogs("Pyro5", "WARNING"):
            guest._pyroHandshake = {"name": "brown"}
            with self.assertRaisesRegex(errors.CommunicationError, "brown is not on the list"):
                guest.echo("out")
        guest._pyroHandshake = {"name": "jones"}
        with self.assertRaisesRegex(ValueError, "wrong party"):
            guest.echo("out")
        guest._pyroHandshake = None
        with self.assertRaises(errors.ConnectionClosedError):
            guest.echo("out")
        self.assertIsNone(guest._pyroConnection)


class Annotations(ConnectionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.at_end.callback(setattr, current_context, "annotations", {})
        self.at_end.callback(setattr, current_context, "response_annotations", {})
        self.at_end.callback(setattr, current_context, "correlation_id", None)

    def received(self) -> Dict[str, bytes]:
        return {name: bytes(value) for name, value in current_context.response_annotations.items()}

    def test_of_calls_proxies_methods_and_daemons(self) -> None:
        class Stamping(Daemon):
            def annotations(self) -> Dict[str, bytes]:
                return {"DAEM": b"every reply"}

        class Sealed(Proxy):
            def _pyroAnnotations(self) -> Any:
                return {"SEAL": b"every call"}

        proxy = self.proxy(self.serve_post(Stamping), "post", Sealed)
        self.assertEqual({"SEAL": "every call"}, proxy.stamps())
        current_context.annotations = {"ONCE": b"until it is changed"}
        self.assertEqual({"SEAL": "every call", "ONCE": "until it is changed"}, proxy.stamps())
        self.assertEqual({"DAEM": b"every reply"}, self.received())
        proxy.stamp("of the method")
        self.assertEqual({"DAEM": b"every reply", "POST": b"of the method"}, self.received())

    def test_large_ones(self) -> None:
        proxy = self.proxy(self.serve_post(), "post")
        proxy._pyroBind()
        current_context.annotations = {"HUGE": os.urandom(3 * 1024 * 1024).hex().encode()}
        self.assertEqual(current_context.annotations["HUGE"].decode(), proxy.stamps()["HUGE"])

    def test_the_correlation_id_goes_from_server_to_server(self) -> None:
        proxies = [self.proxy(self.serve_post(), "post") for _ in range(3)]
        ids = proxies[0].forward(proxies[1:])
        self.assertEqual(1, len(set(ids)))  # made up by the first server
        current_context.correlation_id = mine = uuid.UUID(int=12345)
        self.assertEqual([str(mine)] * 3, proxies[0].forward(proxies[1:]))


class ReadyMade(ConnectionTestCase):
    def test_one_socket_for_several_proxies(self) -> None:
        mine, theirs = map(self.at_end.enter_context, socket.socketpair())
        server = self.serve_post(connected_socket=theirs)
        for name in ("post", "obj", "post"):
            with Proxy(name, connected_socket=mine) as proxy:
                self.assertEqual("PYRO:%s@<<connected-socket>>:0" % name, str(proxy._pyroUri))
                proxy._pyroBind()
        server.close()
        self.assertNotIn(-1, (mine.fileno(), theirs.fileno()))


for base in (Addresses, Sockets, Times, Handshakes, Annotations, ReadyMade):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, ConnectionTestCase
