"""What happens when something goes wrong between client and server: the exception on the side that caused it, what its text
names, what the server logs, and that everybody else goes on.
"""
from __future__ import annotations

import contextlib
import http.server
import logging
import socket
import struct
import threading
import time
import unittest
from typing import Any, Iterator, List, Optional

from Pyro5 import config, errors, protocol, serializers
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.client import Proxy, locate_ns
from Pyro5.core import resolve
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon
from tests.conformance.places import UNIX
from tests.conformance.served import Bare, Thing
from tests.peers import free_port
from tests.support import PATIENCE_SECONDS, daemon_thread
from tests.test_server import DaemonTestCase

SHORT_SECONDS = 0.05
NO_HOST = "PYRO:x@no-such-host.invalid:1234"


@expose
class Generous(Thing):
    """A `Thing` that can give a lot, and has its troubles."""

    def large(self, size: int) -> str:
        return "x" * size

    def insecure(self) -> None:
        raise errors.SecurityError("I will not do that")

    def call_nobody(self) -> None:
        with Proxy(NO_HOST) as proxy:
            proxy.anything()


class FailureTestCase(DaemonTestCase):
    """Serves a `Generous` object, on both server types."""

    def start(self) -> None:
        self.server = self.serving(host="127.0.0.1")
        self.thing = Generous()
        self.uri = self.server.register(self.thing, "thing")
        self.location = self.server.locationStr
        self.client = self.proxy(self.uri)

    def each_server_type(self) -> Iterator[str]:
        for config.SERVERTYPE in ("thread", "multiplex"):
            self.start()
            yield config.SERVERTYPE

    @contextlib.contextmanager
    def logged(self, *parts: str) -> Iterator[None]:
        """The server logs one warning in the block, that has these parts; with the traceback, if there is one."""
        with self.assertLogs("Pyro5", "DEBUG") as logs:
            yield
            Proxy(self.server.uriFor("Pyro.Daemon")).ping()  # what was to be logged before is there now
        serving = [record for record in logs.records if record.name.startswith("Pyro5.server")]
        warnings = [record for record in serving if record.levelno >= logging.WARNING]
        self.assertEqual([record.levelname for record in warnings], ["WARNING"], logs.output)
        for part in parts:
            self.assertIn(part, warnings[0].getMessage())
        if "Error" in "".join(parts):
            self.assertTrue(any(record.exc_info for record in serving), logs.output)

    def assert_fails(self, kind: Any, parts: List[str], how: Any, *args: Any, **kwargs: Any) -> Any:
        """The call raises exactly this exception class, with all these parts in its text."""
        with self.assertRaises(kind) as caught:
            how(*args, **kwargs)
        self.assertIs(type(caught.exception), kind)
        for part in parts:
            self.assertIn(part, str(caught.exception))
        return caught.exception

    def calling(self, uri: Any) -> Any:
        """Return something that connects to an object and calls it."""
        proxy = self.proxy(uri)
        return lambda: proxy.give(1)

    def assert_in_step(self, connection: Optional[Any] = None) -> None:
        """The client's next call works; on the same connection, if one is given."""
        self.assertEqual(self.client.give("in step"), "in step")
        if connection is not None:
            self.assertIs(self.client._pyroConnection, connection)


class WrongCalls(FailureTestCase):
    def test_unknown_object(self) -> None:
        for _ in self.each_server_type():
            with self.logged("DaemonError", "nobody"):
                self.assert_fails(errors.CommunicationError, ["nobody", self.location, "registered"],
                                  self.calling(self.server.uriFor("nobody")))
            self.assert_in_step()

    def test_object_that_was_unregistered_meanwhile(self) -> None:
        for _ in self.each_server_type():
            self.client._pyroBind()
            connection = self.client._pyroConnection
            self.server.unregister("thing")
            with self.logged("DaemonError", "thing.give"):
                self.assert_fails(errors.DaemonError, ["thing", "registered"], self.client.give, 1)
            self.server.register(self.thing, "thing")
            self.assert_in_step(connection)

    def test_names_that_the_client_knows_to_be_wrong(self) -> None:
        for _ in self.each_server_type():
            self.assert_fails(AttributeError, ["nobody", str(self.uri), "exposed"], lambda: self.client.nobody())
            self.assert_fails(AttributeError, ["unexposed", str(self.uri), "exposed"], lambda: self.client.unexposed())
            self.assert_fails(AttributeError, ["_private", "exposed"], lambda: self.client._private())
            self.assert_fails(AttributeError, ["nobody", str(self.uri)], setattr, self.client, "nobody", 1)
            self.assert_in_step(self.client._pyroConnection)

    def test_names_that_the_server_refuses(self) -> None:
        for _ in self.each_server_type():
            self.client._pyroBind()
            connection = self.client._pyroConnection
            for name, part in (("nobody", "no attribute"), ("unexposed", "@expose"), ("_private", "private")):
                with self.logged("AttributeError", "thing." + name):
                    self.assert_fails(AttributeError, [name, part, "Generous"], self.client._pyroInvoke, name, (), {})
            self.assert_in_step(connection)

    def test_nothing_exposed(self) -> None:
        for _ in self.each_server_type():
            uri = self.server.register(Bare(), "bare")
            self.assert_fails(errors.PyroError, [str(uri), "@expose"], self.proxy(uri)._pyroBind)
            self.assert_in_step()

    def test_exception_of_a_method(self) -> None:
        for _ in self.each_server_type():
            with self.logged("ValueError", "thing.fail", "wrong value", "127.0.0.1"):
                with self.assertRaises(ValueError):
                    self.client.fail()
            self.assert_in_step(self.client._pyroConnection)

    def test_exceptions_that_end_the_connection_on_older_servers(self) -> None:
        for _ in self.each_server_type():
            with self.logged("SecurityError", "thing.insecure"):
                self.assert_fails(errors.SecurityError, ["I will not do that"], self.client.insecure)
            self.assert_in_step()
            with self.logged("CommunicationError", "thing.call_nobody"):
                self.assert_fails(errors.CommunicationError, [NO_HOST, "host not found"], self.client.call_nobody)
            self.assert_in_step()


class WrongValues(FailureTestCase):
    def assert_unsendable(self, kind: Any, parts: List[str], how: Any, *args: Any) -> None:
        """The call raises a SerializeError with these parts, which is also of the kind that the serializer raises."""
        with self.assertRaises(errors.SerializeError) as caught:
            how(*args)
        self.assertIsInstance(caught.exception, kind)
        for part in parts:
            self.assertIn(part, str(caught.exception))

    def test_argument(self) -> None:
        self.start()
        for serializer, kind in (("serpent", TypeError), ("json", errors.SerializeError), ("marshal", errors.SerializeError)):
            self.client._pyroSerializer = serializer
            self.client._pyroBind()
            connection = self.client._pyroConnection
            self.assert_unsendable(kind, ["give", str(self.uri), "lock"], self.client.give, threading.Lock())
            self.assert_in_step(connection)

    def test_result(self) -> None:
        for _ in self.each_server_type():
            with self.logged("SerializeError", "thing.give_unserializable", "lock"):
                self.assert_unsendable(TypeError, ["lock"], self.client.give_unserializable)
            self.client._pyroSerializer = "json"
            with self.logged("SerializeError", "thing.give_unserializable", "lock"):
                self.assert_unsendable(errors.SerializeError, ["give_unserializable", "lock"], self.client.give_unserializable)
            self.assert_in_step()

    def test_class_that_the_server_does_not_know(self) -> None:
        for _ in self.each_server_type():
            with self.logged("SerializeError", "Bare"):
                self.assert_fails(errors.SerializeError, ["tests.conformance.served.Bare"], self.client.give, Bare())
            self.assert_in_step()

    def test_result_over_the_limit_of_the_server(self) -> None:
        config.MAX_MESSAGE_SIZE = 4000
        for _ in self.each_server_type():
            with self.logged("MessageTooLargeError", "thing.large"):
                self.assert_fails(errors.MessageTooLargeError, ["result of thing.large", "MAX_MESSAGE_SIZE", "4000"],
                                  self.client.large, 5000)
            self.assert_in_step()

    def test_request_over_the_limit(self) -> None:
        for _ in self.each_server_type():
            self.client._pyroBind()
            connection = self.client._pyroConnection
            self.client._pyro.wire = self.client._pyro.wire._replace(max_size=4000)  # as if a setting had been changed
            self.assert_fails(errors.ProtocolError, ["give", str(self.uri), "MAX_MESSAGE_SIZE", "4000"],
                              self.client.give, "x" * 5000)
            self.assert_in_step(connection)

    def test_request_over_the_limit_of_the_server(self) -> None:
        config.MAX_MESSAGE_SIZE = 4000
        for _ in self.each_server_type():
            self.client._pyroBind()
            self.client._pyro.wire = self.client._pyro.wire._replace(max_size=0)  # as if a setting had been changed
            with self.logged("message too large", "127.0.0.1"):
                self.assert_fails(errors.MessageTooLargeError, ["MAX_MESSAGE_SIZE", "4000"], self.client.give, "x" * 5000)
            self.assert_in_step()

    def test_result_over_the_limit_of_the_client(self) -> None:
        for _ in self.each_server_type():
            limited = self.proxy(self.uri)
            limited._pyroBind()
            limited._pyroConnection.read_settings(4000)
            limited._pyro.wire = limited._pyro.wire._replace(max_size=4000)  # as if a setting had been changed
            self.assert_fails(errors.ProtocolError, ["large", str(self.uri), "MAX_MESSAGE_SIZE", "4000"],
                              limited.large, 5000)
            self.assertEqual(limited.give("again"), "again")


class StrangeClients(FailureTestCase):
    """What a server tells those who do not talk with it as they should; the others notice nothing."""

    def talk(self, data: bytes) -> bytes:
        """Send something to the server, and give everything that it sends before it closes the connection."""
        received = b""
        with socket.create_connection(self.server.sock.getsockname(), PATIENCE_SECONDS) as sock:
            sock.sendall(data)
            while True:
                chunk = sock.recv(10000)
                if not chunk:
                    return received
                received += chunk

    def refusal(self, data: bytes) -> str:
        message = protocol.ReceivingMessage(self.talk(data)[:protocol.HEADER_SIZE])
        self.assertEqual(message.type, protocol.MSG_CONNECTFAIL)
        return str(serializers.get_serializer("marshal").loads(self.talk(data)[protocol.HEADER_SIZE:]))

    def header(self, version: int = protocol.PROTOCOL_VERSION, msgtype: int = protocol.MSG_CONNECT,
               serializer: int = 1) -> bytes:
        return struct.pack("!4sHBBHHII16sHH", b"PYRO", version, msgtype, serializer, 0, 0, 0, 0, b"", 0, 0x4dc5)

    def test_not_pyro_at_all(self) -> None:
        for _ in self.each_server_type():
            self.assert_in_step()
            with self.logged("not the Pyro protocol", "127.0.0.1"):
                self.assertIn(b"not the Pyro protocol", self.talk(b"GET / HTTP/1.0\r\n\r\n"))
            self.assert_in_step(self.client._pyroConnection)

    def test_wrong_protocol_version(self) -> None:
        for _ in self.each_server_type():
            with self.logged("version", "501"):
                self.assertIn(b"invalid protocol version: 501", self.talk(self.header(version=501)))
            self.assert_in_step()

    def test_wrong_serializer(self) -> None:
        for _ in self.each_server_type():
            self.assertRegex(self.refusal(self.header(serializer=77)), "serializer.*77")
            self.assertRegex(self.refusal(self.header(msgtype=protocol.MSG_INVOKE)), "CONNECT")
            self.assert_in_step()

    def test_message_type_that_has_no_place_here(self) -> None:
        for _ in self.each_server_type():
            self.client._pyroBind()
            connection = self.client._pyroConnection
            with self.logged("type 99"):
                connection.sock.sendall(self.header(msgtype=99))
                with self.assertRaisesRegex(errors.ProtocolError, "type 99"):
                    self.client._pyro.result_of(connection._receive_rest(), connection, self.client._pyro.serializer)
            self.assert_in_step(connection)

    def test_client_that_goes_in_the_middle_of_a_message(self) -> None:
        for _ in self.each_server_type():
            with socket.create_connection(self.server.sock.getsockname()) as sock:
                sock.sendall(self.header()[:20])
            self.assert_in_step()


class StrangeServers(FailureTestCase):
    """What a client is told when it connects to something else than a server, or to nothing."""

    def test_http_server(self) -> None:
        web = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        web.RequestHandlerClass.log_message = lambda *args: None  # type: ignore[method-assign, assignment]
        thread = threading.Thread(target=web.handle_request)
        thread.start()
        try:
            uri = "PYRO:thing@127.0.0.1:%d" % web.server_port
            self.assert_fails(errors.ProtocolError, [uri, "not the Pyro protocol"], self.calling(uri))
        finally:
            thread.join()
            web.server_close()

    def test_port_that_says_nothing(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            uri = "PYRO:thing@127.0.0.1:%d" % silent.getsockname()[1]
            config.COMMTIMEOUT = SHORT_SECONDS
            self.assert_fails(errors.TimeoutError, [uri, "timeout"], self.calling(uri))

    def test_port_that_is_closed(self) -> None:
        uri = "PYRO:thing@127.0.0.1:%d" % free_port()
        self.assert_fails(errors.CommunicationError, [uri, "refused", "is the server running"], self.calling(uri))

    def test_host_that_is_not_there(self) -> None:
        self.assert_fails(errors.CommunicationError, [NO_HOST, "host not found", "host name"], self.calling(NO_HOST))

    @unittest.skipIf(UNIX.why_not, UNIX.why_not)
    def test_unix_socket_that_is_not_there(self) -> None:
        uri = "PYRO:thing@./u:%s/nothing here" % self.directory
        self.assert_fails(errors.CommunicationError, [uri, "is the server running"], self.calling(uri))

    def test_bad_uri(self) -> None:
        self.assert_fails(errors.PyroError, ["PYRO:thing@host", "port"], Proxy, "PYRO:thing@host")


class Names(FailureTestCase):
    def test_no_name_server(self) -> None:
        config.NS_HOST, config.NS_PORT, config.NS_BCPORT = "localhost", free_port(), free_port()
        config.BROADCAST_ADDRS = ["127.255.255.255", "<broadcast>"]
        for how in (locate_ns, lambda: Proxy("PYRONAME:some.name")._pyroBind()):
            begin = time.monotonic()
            self.assert_fails(errors.NamingError, ["localhost:%d" % config.NS_PORT, "127.0.1.1:%d" % config.NS_PORT,
                                                   "broadcast", str(config.NS_BCPORT), "127.255.255.255, <broadcast>",
                                                   "python -m Pyro5.nameserver", "NS_HOST"], how)
            self.assertLess(time.monotonic() - begin, 1.6)

    def test_no_name_server_on_a_given_host(self) -> None:
        port = free_port()
        self.assert_fails(errors.NamingError, ["127.0.0.1:%d" % port, "refused"], locate_ns, "127.0.0.1", port)
        self.assert_fails(errors.NamingError, ["no-such-host.invalid", "not found"], locate_ns, "no-such-host.invalid")

    def test_name_that_is_not_registered(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        self.addCleanup(daemon.close)
        with daemon_thread(daemon):
            for text, part in (("PYRONAME:some.name", "some.name"), ("PYROMETA:one.tag,other.tag", "one.tag, other.tag")):
                located = URI("%s@%s" % (text, uri.location))
                self.assert_fails(errors.NamingError, [part], self.calling(located))
                self.assert_fails(errors.NamingError, [part], resolve, located)
            with locate_ns("127.0.0.1", uri.port) as nameserver:
                self.assert_fails(errors.NamingError, ["some.name"], nameserver.lookup, "some.name")


class Binding(FailureTestCase):
    """Where a server cannot listen."""

    def test_address_in_use(self) -> None:
        for _ in self.each_server_type():
            error = self.assert_fails(OSError, [self.location, "in use", "port"], Daemon, "127.0.0.1",
                                      self.server.sock.getsockname()[1])
            self.assertIsNotNone(error.errno)
            self.assert_in_step()

    def test_address_of_another_machine(self) -> None:
        self.assert_fails(OSError, ["192.0.2.1:0", "192.0.2.1 is not an address of this machine"], Daemon, "192.0.2.1")

    def test_host_that_is_not_there(self) -> None:
        self.assert_fails(socket.gaierror, ["no-such-host.invalid", "not found"], Daemon, "no-such-host.invalid")

    def test_port_that_cannot_be(self) -> None:
        self.assert_fails(ValueError, ["70000"], Daemon, "127.0.0.1", 70000)

    @unittest.skipIf(UNIX.why_not, UNIX.why_not)
    def test_unix_sockets(self) -> None:
        self.assert_fails(FileNotFoundError, ["no/sock", "directory"], Daemon, unixsocket=self.directory + "/no/sock")
        self.assert_fails(OSError, ["x" * 200], Daemon, unixsocket=self.directory + "/" + "x" * 200)
