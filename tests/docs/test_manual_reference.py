"""Signatures, defaults and other details that the manual states about single names."""
from __future__ import annotations

import ast
import importlib
import inspect
import os
import socket
import tempfile
import threading
import unittest
import uuid
from typing import Any, Iterator, Tuple

import Pyro5
from Pyro5 import config, errors, protocol
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from tests.rawclient import ServerTestCase, connected_to, for_both_types
from tests.support import daemon_thread, run_tool

NAME_SERVER_ARGUMENTS = ("host=None, port=None, enableBroadcast=True, bchost=None, bcport=None, unixsocket=None, "
                         "nathost=None, natport=None, storage=None")

# Module: name(arguments with their defaults); for a class also its methods, after a dot.
REFERENCE = """
client: BatchProxy(proxy)
client: Proxy(uri, connected_socket=None)
client: Proxy._pyroBind()
client: Proxy._pyroRelease()
client: Proxy._pyroReconnect(tries=100000000)
client: Proxy._pyroValidateHandshake(response)
client: SerializedBlob(info, data, is_blob=False)
client: SerializedBlob.deserialized()
core: URI(uri)
core: URI.isUnixsockLocation(location)
core: locate_ns(host='', port=None, broadcast=True)
core: resolve(uri, delay_time=0.0)
core: type_meta(class_or_object, prefix='class:')
server: Daemon.annotations()
server: Daemon.clientDisconnect(conn)
server: Daemon.close()
server: Daemon.combine(daemon)
server: Daemon.events(eventsockets)
server: Daemon.handleRequest(conn)
server: Daemon.housekeeping()
server: Daemon.proxyFor(objectOrId, nat=True)
server: Daemon.register(obj_or_class, objectId=None, force=False, weak=False)
server: Daemon.resetMetadataCache(objectOrId, nat=True)
server: Daemon.serveSimple(objects, host=None, port=0, daemon=None, ns=True, verbose=True)
server: Daemon.shutdown()
server: Daemon.unregister(objectOrId)
server: Daemon.uriFor(objectOrId, nat=True)
server: Daemon.validateHandshake(conn, data)
server: DaemonObject(daemon)
server: DaemonObject.get_metadata(objectId)
server: DaemonObject.info()
server: DaemonObject.ping()
server: DaemonObject.registered()
server: behavior(instance_mode='session', instance_creator=None)
server: callback(method)
server: expose(method_or_class)
server: oneway(method)
server: serve(objects, host=None, port=0, daemon=None, use_ns=True, verbose=True)
errors: excepthook(ex_type, ex_value, ex_tb)
errors: format_traceback(ex_type=None, ex_value=None, ex_tb=None, detailed=False)
errors: get_pyro_traceback(ex_type=None, ex_value=None, ex_tb=None)
nameserver: start_ns(NAME_SERVER_ARGUMENTS)
nameserver: start_ns_loop(NAME_SERVER_ARGUMENTS)
nameserver: NameServer(storageProvider=None)
nameserver: NameServer.count()
nameserver: NameServer.list(prefix=None, regex=None, return_metadata=False)
nameserver: NameServer.lookup(name, return_metadata=False)
nameserver: NameServer.ping()
nameserver: NameServer.register(name, uri, safe=False, metadata=None)
nameserver: NameServer.remove(name=None, prefix=None, regex=None)
nameserver: NameServer.set_metadata(name, metadata)
nameserver: NameServer.yplookup(meta_all=None, meta_any=None, return_metadata=True)
protocol: ReceivingMessage(header, payload=None)
protocol: ReceivingMessage.add_payload(payload)
protocol: ReceivingMessage.validate(data)
protocol: SendingMessage(msgtype, flags, seq, serializer_id, payload, annotations=None)
protocol: SendingMessage.ping(pyroConnection)
protocol: log_wiredata(logger, text, msg)
protocol: recv_stub(connection, accepted_msgtypes=None)
serializers: SerializerBase.class_to_dict(obj)
serializers: SerializerBase.dict_to_class(data)
serializers: SerializerBase.register_class_to_dict(clazz, converter, serpent_too=True)
serializers: SerializerBase.register_dict_to_class(classname, converter)
serializers: SerializerBase.unregister_class_to_dict(clazz)
serializers: SerializerBase.unregister_dict_to_class(classname)
socketutil: SocketConnection(sock, objectId=None, keep_open=False)
socketutil: bind_unused_port(sock, host='localhost')
socketutil: create_bc_socket(bind=None, reuseaddr=False, timeout=-1, ipv6=False)
socketutil: create_socket(bind=None, connect=None, reuseaddr=False, keepalive=True, timeout=-1, noinherit=False, ipv6=False, \
nodelay=True, sslContext=None)
socketutil: get_interface(ip_address)
socketutil: get_ip_address(hostname, workaround127=False, version=None)
socketutil: get_ssl_context(servercert='', serverkey='', clientcert='', clientkey='', cacerts='', keypassword='')
socketutil: interrupt_socket(address)
socketutil: receive_data(sock, size)
socketutil: send_data(sock, data)
socketutil: set_keepalive(sock)
socketutil: set_nodelay(sock)
socketutil: set_noinherit(sock)
socketutil: set_reuseaddr(sock)
utils.echoserver: EchoServer.echo(message)
utils.echoserver: EchoServer.error()
utils.echoserver: EchoServer.error_with_text()
utils.echoserver: EchoServer.generator()
utils.echoserver: EchoServer.oneway_echo(message)
utils.echoserver: EchoServer.oneway_slow()
utils.echoserver: EchoServer.shutdown()
utils.echoserver: EchoServer.slow()
svr_threads: SocketServer_Threadpool.init(daemon, host, port, unixsocket=None)
svr_threads: SocketServer_Threadpool.loop(loopCondition)
svr_threads: SocketServer_Threadpool.events(eventsockets)
svr_threads: SocketServer_Threadpool.shutdown()
svr_threads: SocketServer_Threadpool.close()
svr_threads: SocketServer_Threadpool.wakeup()
svr_multiplex: SocketServer_Multiplex.init(daemon, host, port, unixsocket=None)
svr_multiplex: SocketServer_Multiplex.loop(loopCondition)
""".replace("NAME_SERVER_ARGUMENTS", NAME_SERVER_ARGUMENTS)


def stated() -> Iterator[Tuple[str, Any, ast.arguments]]:
    """Yield each name of the table, the object that it names, and the arguments that the table states."""
    for line in REFERENCE.strip().splitlines():
        module, _, rest = line.partition(": ")
        name, _, arguments = rest.rstrip(")").partition("(")
        found: Any = importlib.import_module("Pyro5." + module)
        for part in name.split("."):
            found = getattr(found, part)
        yield line, found, ast.parse("def f(%s): pass" % arguments).body[0].args  # type: ignore[attr-defined]


class Signatures(unittest.TestCase):
    def test_arguments_and_defaults(self) -> None:
        """Functions may have additional arguments, if these are optional."""
        for line, found, arguments in stated():
            with self.subTest(line):
                ours = [each for each in inspect.signature(found).parameters.values() if each.name != "self"]
                names = [each.arg for each in arguments.args]
                self.assertEqual(names, [each.name for each in ours[:len(names)]])
                self.assertTrue(all(each.default is not each.empty for each in ours[len(names):]))
                for each, default in zip(reversed(ours[:len(names)]), reversed(arguments.defaults)):
                    self.assertEqual(ast.literal_eval(default), each.default)

    def test_the_daemon(self) -> None:
        parameters = inspect.signature(Daemon).parameters
        self.assertEqual({"host": None, "port": 0, "unixsocket": None, "nathost": None, "natport": None,
                          "interface": importlib.import_module("Pyro5.server").DaemonObject, "connected_socket": None},
                         {name: each.default for name, each in parameters.items() if each.kind is not each.KEYWORD_ONLY})
        for name in ("locationStr", "selector", "sock", "sockets", "natLocationStr", "methodcall_error_handler"):
            with self.subTest(name), Daemon() as daemon:
                self.assertTrue(hasattr(daemon, name))

    def test_what_one_import_brings_along(self) -> None:
        """Programs import one module of the package, and use others as its attributes."""
        for name in ("api", "client", "server"):
            program = ("import Pyro5.%s\n"
                       "print([hasattr(Pyro5, name) for name in ('config', 'errors', 'constants', 'current_context')])" % name)
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                with open(os.path.join(directory, "program.py"), "w") as file:
                    file.write(program)
                self.assertEqual("[True, True, True, True]\n", run_tool("program", cwd=directory, fresh=True).out)

    def test_all_own_errors_are_of_one_kind(self) -> None:
        for name in errors.__all__:
            found = getattr(errors, name)
            if inspect.isclass(found):
                self.assertTrue(issubclass(found, errors.PyroError), name)

    def test_message_constants(self) -> None:
        names = [name for name in vars(protocol) if name.startswith(("MSG_", "FLAGS_"))]
        self.assertTrue(all(isinstance(getattr(protocol, name), int) for name in names))
        self.assertLessEqual({"MSG_CONNECT", "MSG_INVOKE", "MSG_PING", "FLAGS_ONEWAY", "FLAGS_BATCH"}, set(names))
        self.assertEqual(502, protocol.PROTOCOL_VERSION)


class Machine:
    """With members of every kind, exposed one by one."""

    value = 42

    def __dunder__(self) -> str:
        return "not exposed: there is no mark"

    def _private(self) -> None:
        pass

    @expose
    def __len__(self) -> int:
        return 3

    @expose
    def get_value(self) -> int:
        return self.value

    @expose
    @property
    def attr(self) -> int:
        return self.value

    @expose  # type: ignore[no-redef]
    @attr.setter
    def attr(self, value: int) -> None:
        self.value = value

    @expose
    def part(self) -> Any:
        thing = Machine()
        self._pyroDaemon.register(thing)  # type: ignore[attr-defined]
        return thing

    @expose
    def caller(self) -> Any:
        context = Pyro5.current_context
        return [context.client.sock.getpeername()[0], context.client_sock_addr[0], type(context.correlation_id).__name__]


class Statements(ServerTestCase):
    def serve_machine(self) -> Any:
        server = self.serving()
        proxy = Proxy(server.register(Machine(), "machine"))
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def test_members(self) -> None:
        proxy = self.serve_machine()
        self.assertEqual((42, 42, 3), (proxy.get_value(), proxy.attr, len(proxy)))
        proxy.attr = 43
        self.assertEqual(43, proxy.attr)
        self.assertEqual(({"get_value", "part", "caller", "__len__"}, {"attr"}), (proxy._pyroMethods, proxy._pyroAttrs))
        for name in ("value", "_private", "__dunder__"):
            self.assertFalse(hasattr(proxy, name), name)

    def test_no_names_with_dots(self) -> None:
        proxy = self.serve_machine()
        with self.assertRaises(AttributeError):
            proxy.part.get_value()
        for name in ("part.get_value", "attr.real"):
            with self.assertRaises(AttributeError):
                proxy._pyroInvoke(name, (), {})

    def test_new_objects_come_as_proxies(self) -> None:
        part = self.serve_machine().part()
        self.at_end.callback(part._pyroRelease)
        self.assertIsInstance(part, Proxy)
        self.assertEqual(42, part.get_value())

    def test_who_calls(self) -> None:
        proxy = self.serve_machine()
        self.assertEqual(["127.0.0.1", "127.0.0.1", "UUID"], proxy.caller())
        with self.assertRaises(TypeError):
            current_context.correlation_id = str(uuid.uuid4())  # type: ignore[assignment]

    def test_every_client_receives_the_protocol_version(self) -> None:
        """Also to a client that sends only zeros."""
        with self.assertLogs("Pyro5", "WARNING"), connected_to(self.serving()) as sock:
            sock.sendall(bytes(64))
            self.assertEqual(b"PYRO\x01\xf6", sock.recv(6, socket.MSG_WAITALL))

    def test_no_connection_before_it_is_needed(self) -> None:
        server = self.serving()
        proxy = Proxy(server.uriFor("obj"))
        self.at_end.callback(proxy._pyroRelease)
        self.assertIsNone(proxy._pyroConnection)
        self.assertEqual({}, dict(server.transportServer._connections))
        self.assertTrue(proxy._pyroBind())
        self.assertFalse(proxy._pyroBind())
        connection = proxy._pyroConnection
        proxy._pyroReconnect()
        self.assertIsNot(connection, proxy._pyroConnection)

    def test_instances_are_made_when_they_are_needed(self) -> None:
        made = []

        @expose
        class Lazy:
            def __init__(self) -> None:
                made.append(threading.current_thread())

            def hello(self) -> str:
                return "hello"

        server = self.serving()
        uri = server.register(Lazy)
        self.assertEqual([], made)
        with Proxy(uri) as proxy, Proxy(uri) as other:
            proxy._pyroBind()
            self.assertEqual([], made)
            self.assertEqual(["hello"] * 3, [proxy.hello(), proxy.hello(), other.hello()])
        self.assertEqual(2, len(made))

    def test_closing_the_daemon_leaves_a_connected_socket_open(self) -> None:
        mine, theirs = map(self.at_end.enter_context, socket.socketpair())
        for _ in range(2):
            with daemon_thread(Daemon(connected_socket=theirs)) as daemon:
                daemon.register(Machine(), "machine")
                with Proxy("machine", connected_socket=mine) as proxy:
                    self.assertEqual(42, proxy.get_value())
        self.assertEqual(self.servertype, config.SERVERTYPE)

    def test_uris_of_locations_with_blanks(self) -> None:
        uri = URI("pyro:machine@./u:/run/two words.sock")
        self.assertEqual(("PYRO", "/run/two words.sock"), (uri.protocol, uri.sockname))
        self.assertEqual("PYRO:machine@[::1]:3456", str(URI("PYRO:machine@[::1]:3456")))
        self.assertTrue(URI.isUnixsockLocation("./u:/run/x"))


for_both_types(globals(), Statements)
del Statements


if __name__ == "__main__":
    unittest.main()
