"""A name server, some objects, and HTTP gateways to them, all in threads of the test."""
from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import unittest
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from Pyro5 import current_context
from Pyro5._gateway.app import Gateway
from Pyro5._http.connection import Limits
from Pyro5._http.server import HttpServer
from Pyro5._objects.exposure import expose, oneway
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon

from .support import PATIENCE_SECONDS, daemon_thread


LARGE_BYTES = 12 << 20      # more than the buffers of a connection take


class Answer(NamedTuple):
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body.decode("utf-8"))


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Read one response from a socket."""
    response = http.client.HTTPResponse(sock, method=method)
    try:
        response.begin()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())
    finally:
        response.close()


@contextlib.contextmanager
def http_server(app: Any, limits: Optional[Limits] = None) -> Iterator[HttpServer]:
    """Serve an application on a free port for the block."""
    server = HttpServer(app, "127.0.0.1", 0, limits)
    thread = threading.Thread(target=server.serve, name="http server of the test")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE_SECONDS)
        server.close()


class Client:
    """Sends requests to a port, over one connection that stays open as long as the server likes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, target: str, headers: Optional[Dict[str, str]] = None, body: Any = None) -> Answer:
        self._connection.request(method, target, body, headers or {})
        response = self._connection.getresponse()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())

    def get(self, target: str, **headers: str) -> Answer:
        return self.request("GET", target, {name.replace("_", "-"): text for name, text in headers.items()})

    def post(self, target: str, value: Any, **headers: str) -> Answer:
        return self.request("POST", target, {"Content-Type": "application/json", **headers}, json.dumps(value))


class Site:
    """A name server with objects, and gateways to them; as a context manager, which stops them all.

    Args:
        objects: name in the name server -> object.
        metadata: tags of some of these names.

    Attributes:
        names: the name server object.
        daemon: what serves the objects.
        servers: the HTTP servers of the gateways.
    """

    def __init__(self, objects: Dict[str, Any], metadata: Optional[Dict[str, List[str]]] = None) -> None:
        self._stack = contextlib.ExitStack()
        self.servers: List[HttpServer] = []
        self.ns_daemon = start_ns("127.0.0.1", 0)[1]
        self.names = self.ns_daemon.nameserver
        self._ns_running = contextlib.ExitStack()
        self._stack.enter_context(self._ns_running)
        self._ns_running.enter_context(daemon_thread(self.ns_daemon))
        self.daemon = self._stack.enter_context(daemon_thread(Daemon("127.0.0.1", 0)))
        for name, each in objects.items():
            self.names.register(name, self.daemon.register(each), metadata=(metadata or {}).get(name))

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def locate(self) -> Proxy:
        """Return a proxy for the name server, as locate_ns does."""
        proxy = Proxy("PYRO:Pyro.NameServer@127.0.0.1:%d" % self.ns_port)
        proxy._pyroBind()
        return proxy

    @property
    def ns_port(self) -> int:
        return int(self.ns_daemon.locationStr.rpartition(":")[2])

    def stop_name_server(self) -> None:
        self._ns_running.close()

    def start_name_server(self) -> None:
        """Start the name server again, on the same port, without names."""
        self.ns_daemon = start_ns("127.0.0.1", self.ns_port)[1]
        self.names = self.ns_daemon.nameserver
        self._ns_running.enter_context(daemon_thread(self.ns_daemon))

    def gateway(self, limits: Optional[Limits] = None, **options: Any) -> Tuple[Gateway, Client]:
        """Run one more gateway; give it, and a client of it."""
        gateway = Gateway(locate=self.locate, **options)
        self._stack.callback(gateway.close)
        server = self._stack.enter_context(http_server(gateway, limits))
        self.servers.append(server)
        client = Client(server.port)
        self._stack.callback(client.close)
        return gateway, client


@expose
class Clerk:
    """Tells what it is asked."""

    def __init__(self) -> None:
        self.forms: List[Any] = []
        self.filed = threading.Event()
        self.meeting = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def fill_in(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    def who_asks(self) -> str:
        return str(current_context.correlation_id)

    def meet(self) -> str:
        self.meeting.wait()
        return "met"

    def file(self, form: Any) -> None:
        self.forms.append(form)
        self.filed.set()

    def large(self) -> str:
        return "x" * LARGE_BYTES

    def refuse(self) -> None:
        raise PermissionError("not today")

    @oneway
    def forget(self) -> None:
        self.filed.set()

    @property
    def desk(self) -> Dict[str, int]:
        return {"number": 4}


class GatewayTestCase(unittest.TestCase):
    """The tests of a class share a site with a clerk, and a gateway."""

    site: Site
    clerk: Clerk
    gateway: Gateway
    client: Client

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.clerk = Clerk()
        cls.site = Site({"http.clerk": cls.clerk, "hidden.clerk": Clerk(), "http.büro/2 %": Clerk()},
                        {"http.clerk": ["office"]})
        cls.addClassCleanup(cls.site.__exit__)
        cls.gateway, cls.client = cls.site.gateway()

    def fill_in(self, target: str = "", body: Any = None, content_type: str = "application/json") -> Any:
        """Call it with a POST request; give the arguments that arrived."""
        answer = self.client.request("POST", "/pyro/http.clerk/fill_in" + target, {"Content-Type": content_type}, body)
        self.assertEqual(200, answer.status, answer)
        return answer.value
