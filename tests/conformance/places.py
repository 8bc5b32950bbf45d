"""Where the conformance tests run: server types and transports, behind one way to connect."""
from __future__ import annotations

import contextlib
import contextvars
import os
import socket
import sys
import tempfile
import threading
import unittest
import uuid
from typing import Any, Dict, Optional

from Pyro5 import aio, config
from Pyro5.client import BatchProxy, Proxy
from Pyro5.server import Daemon
from tests.conformance.blocking import BlockingBatch, BlockingProxy, LoopThread
from tests.conformance.served import Thing
from tests.support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


def _ipv6_works() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


class Transport:
    """One way of connecting; ``why_not`` says why it is not possible here."""

    name: str
    why_not: Optional[str] = None

    def daemon_arguments(self, directory: str) -> Dict[str, Any]:
        """Return the arguments that make a daemon listen here; files may be made in the directory."""
        raise NotImplementedError

    def socket_pair(self, directory: str) -> Any:
        """Return two sockets that are connected with each other this way."""
        raise NotImplementedError


class Tcp(Transport):
    def __init__(self, name: str, family: int, host: str, why_not: Optional[str] = None) -> None:
        self.name, self.family, self.host, self.why_not = name, family, host, why_not

    def daemon_arguments(self, directory: str) -> Dict[str, Any]:
        return {"host": self.host}

    def socket_pair(self, directory: str) -> Any:
        return _connect_pair(self.family, (self.host, 0))


class Unix(Transport):
    def __init__(self, name: str, abstract: bool, why_not: Optional[str]) -> None:
        self.name, self.abstract, self.why_not = name, abstract, why_not

    def _address(self, directory: str) -> str:
        name = uuid.uuid4().hex
        return "\0" + name if self.abstract else os.path.join(directory, name[:12])

    def daemon_arguments(self, directory: str) -> Dict[str, Any]:
        return {"unixsocket": self._address(directory)}

    def socket_pair(self, directory: str) -> Any:
        return _connect_pair(socket.AF_UNIX, self._address(directory))


def _connect_pair(family: int, address: Any) -> Any:
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen(1)
        client_end = socket.socket(family)
        client_end.connect(listener.getsockname())
        return client_end, listener.accept()[0]


IPV4 = Tcp("TcpV4", socket.AF_INET, "127.0.0.1")
IPV6 = Tcp("TcpV6", socket.AF_INET6, "::1", None if _ipv6_works() else "this machine has no IPv6")
UNIX = Unix("UnixSocket", False, None if hasattr(socket, "AF_UNIX") else "this system has no Unix sockets")
ABSTRACT = Unix("AbstractName", True, None if sys.platform == "linux" else "only Linux has abstract socket names")
TRANSPORTS = (IPV4, IPV6, UNIX, ABSTRACT)


class PlaceTestCase(unittest.TestCase):
    """A test with a daemon that runs, a `Thing` in it, and a way to call it. Subclasses say which.

    Attributes:
        transport, serializer: of the combination.
        daemon: the daemon.
        thing: the served object, and ``proxy`` a proxy for it.
        many_clients: whether more than one client can be connected at a time.
    """

    transport: Transport
    serializer: str
    daemon: Any
    companion: Daemon
    many_clients = True

    @classmethod
    def setUpClass(cls) -> None:
        cls.addClassCleanup(config.__dict__.update, config.as_dict())
        config.SERIALIZER = cls.serializer
        at_end = contextlib.ExitStack()
        cls.addClassCleanup(at_end.close)
        cls.directory = at_end.enter_context(tempfile.TemporaryDirectory())
        cls.companion = at_end.enter_context(cls.listening("multiplex"))
        cls.start_server(at_end)

    @classmethod
    def listening(cls, servertype: str) -> Any:
        """Run a daemon of this type on the transport, as a context manager."""
        config.SERVERTYPE = servertype
        return daemon_thread(Daemon(**cls.transport.daemon_arguments(cls.directory)))

    @classmethod
    def start_server(cls, at_end: contextlib.ExitStack) -> None:
        """Do what is done once for all tests of the class."""

    def setUp(self) -> None:
        self.thing = Thing()
        self.daemon.register(self.thing)
        self.addCleanup(self.daemon.unregister, self.thing)
        self.proxy = self.connect(self.thing._pyroId)

    def run(self, result: Any = None) -> Any:
        # in a context of its own, so that annotations and correlation ids do not outlive their test
        return contextvars.copy_context().run(super().run, result)

    def connect(self, object_id: str, proxy_class: Any = Proxy) -> Any:
        """Return a proxy for an object of the daemon."""
        raise NotImplementedError

    def batch(self) -> Any:
        """Return a batch of calls of the proxy."""
        return BatchProxy(self.proxy)

    def listening_thing(self) -> Thing:
        """Return an object in another daemon that can be connected to from anywhere in this process."""
        thing = Thing()
        self.companion.register(thing)
        self.addCleanup(self.companion.unregister, thing)
        return thing

    def proxy_for(self, thing: Any) -> Any:
        """Return a proxy for an object of the other daemon."""
        proxy = Proxy(self.companion.uriFor(thing))
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")


class ListeningServer(PlaceTestCase):
    """A daemon with a listening socket, of the server type that a subclass says."""

    servertype: str

    @classmethod
    def start_server(cls, at_end: contextlib.ExitStack) -> None:
        cls.daemon = at_end.enter_context(cls.listening(cls.servertype))

    def connect(self, object_id: str, proxy_class: Any = Proxy) -> Any:
        proxy = proxy_class(self.daemon.uriFor(object_id))
        self.addCleanup(proxy._pyroRelease)
        return proxy


class ThreadServer(ListeningServer):
    servertype = "thread"


class MultiplexServer(ListeningServer):
    servertype = "multiplex"


class AioServer(ListeningServer):
    """A daemon of ``Pyro5.aio``, in an event loop that runs in a thread."""

    @classmethod
    def start_server(cls, at_end: contextlib.ExitStack) -> None:
        cls.daemon = at_end.enter_context(aio_daemon_thread(aio.Daemon(**cls.transport.daemon_arguments(cls.directory))))


class ReadyMadeSocket(PlaceTestCase):
    """A daemon for the other end of a connected socket; every test has its own."""

    many_clients = False

    def setUp(self) -> None:
        at_end = contextlib.ExitStack()
        self.addCleanup(at_end.close)
        self.client_end, server_end = map(at_end.enter_context, self.transport.socket_pair(self.directory))
        self.daemon = at_end.enter_context(daemon_thread(Daemon(connected_socket=server_end)))
        super().setUp()

    def connect(self, object_id: str, proxy_class: Any = Proxy) -> Any:
        proxy = proxy_class(object_id, connected_socket=self.client_end)
        self.addCleanup(proxy._pyroRelease)
        return proxy


class AioClient(ListeningServer):
    """The proxies of ``Pyro5.aio``, instead of the ordinary ones."""

    # what only ordinary proxies have
    lacking = {
        "the name of an object that a call is for": (
            "test_the_connection_is_used_again_after_errors", "test_names_out_of_reach"),
        "_pyroReconnect": ("test_the_connection_is_made_again_when_needed",),
        "_pyroAnnotations": ("test_annotations_of_the_proxy",),
        "_pyroSeq": ("test_request_fields",),
        "_pyroInvoke": ("test_oneway_says_nothing_of_errors",),
        "an owner": ("test_in_strict_mode_another_thread_has_to_claim_the_proxy",)}

    @classmethod
    def start_server(cls, at_end: contextlib.ExitStack) -> None:
        super().start_server(at_end)
        cls.loop = LoopThread()
        at_end.callback(cls.loop.close)

    def setUp(self) -> None:
        for reason, names in self.lacking.items():
            if self._testMethodName in names:
                self.skipTest("proxies of Pyro5.aio lack " + reason)
        super().setUp()

    def connect(self, object_id: str, proxy_class: Any = Proxy) -> Any:
        proxy = BlockingProxy(self.daemon.uriFor(object_id), self.loop)
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def batch(self) -> Any:
        return BlockingBatch(self.proxy)


class AioToThread(AioClient, ThreadServer):
    pass


class AioToMultiplex(AioClient, MultiplexServer):
    pass


class AioToAio(AioClient, AioServer):
    pass


AIO_CLIENTS = {"AioToThread": AioToThread, "AioToMultiplex": AioToMultiplex, "AioToAio": AioToAio}
SERVERS = {"Thread": ThreadServer, "Multiplex": MultiplexServer, "Aio": AioServer, "ReadyMade": ReadyMadeSocket}
