"""The HTTP gateway as a WSGI application: routes requests and builds responses. See httpgateway for the urls."""
from __future__ import annotations

import contextvars
import hmac
import json
import logging
import threading
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple
from urllib.parse import quote, unquote

from .. import config, errors
from .._client.call_options import earlier
from .._http.connection import DISCONNECT
from .._http.head import loggable_path
from ..client import locate_ns
from . import calls, openapi, responses, status
from .arguments import Environ, Parameters, parse_query
from .calls import Fresh, NameServerGone, NameServers, Registration
from .events import OpenStreams
from .liveness import DeadObjects
from .memory import Lease, MemoryBudget
from .object_requests import ObjectRequest, gone
from .options import DEFAULT_EXPOSED, METHODS, Options
from .responses import Refused, Response, page, status_of
from .running import CallTable
from .schemas import describe
from .status import ServerStatus

log = logging.getLogger("Pyro5.utils.gatewayapp")

LISTED_OBJECTS = 2000           # shown on the page, along with the total number
LISTING_SECONDS = 1.0           # maximum age of the list of all objects
STATUS_SECONDS = 1.0            # maximum age of the status of all servers
DESCRIPTION_SECONDS = 5.0       # maximum age of the descriptions of all objects in the OpenAPI document
DEAD_SECONDS = 5.0              # maximum age of the list of dead objects
_OWN_METHODS = {"$objects": "GET, POST, OPTIONS", "$dead": "GET, POST, OPTIONS", "$calls": "GET, DELETE, OPTIONS",
                "$openapi": "GET, OPTIONS", "$status": "GET, OPTIONS", "$watch": "GET, OPTIONS"}


class Gateway:
    """The gateway as a WSGI application, which may be called in any number of threads.

    Args:
        expose: regular expression, matched at the beginning of names: the objects that clients can use. Empty: all.
        gatewaykey: the key that clients have to send; empty for none.
        cors: the web sites (origins, separated by commas) whose scripts may use the gateway; ``*`` for all, empty for
            none but its own page. None: all if there is a key, otherwise none.
        timeout: time limit of a call in seconds; None means the setting COMMTIMEOUT, 0 no limit.
        locate: finds the name server, or raises PyroError.
        allowed_hosts: host names and addresses accepted in the Host header, besides loopback ones and those of the setting
            GATEWAY_HOSTS; ``*`` for all.
        any_address: also accept every IP address, and the name of this machine.
        operatorkey: the key for calling methods and assigning attributes; clients without it can only look. Empty: all clients
            may call and assign.

    Raises:
        re.error: the regular expression is invalid.
        ValueError: an option has an invalid value.
    """

    def __init__(self, expose: str = DEFAULT_EXPOSED, gatewaykey: Any = "", cors: Optional[str] = None,
                 timeout: Optional[float] = None, locate: Callable[[], Any] = locate_ns,
                 allowed_hosts: Iterable[str] = (), any_address: bool = True, operatorkey: Any = "") -> None:
        options = Options.parse(expose, gatewaykey, cors, timeout, allowed_hosts, any_address, operatorkey)
        self.name_servers = NameServers(options.timeout, locate)
        # Read by a function: the limit applies as soon as the setting is changed.
        self._memory = MemoryBudget(lambda: config.MAX_GATEWAY_MEMORY or 0)
        self._running = CallTable()
        self._streams = OpenStreams()
        self._state = _State(options, self.name_servers, self._memory, self._running, self._streams)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        state = self._state     # read once: the options may be replaced while the request is processed
        lease = Lease(state.memory, environ.get(DISCONNECT, lambda: None))
        try:
            return self._respond(state, environ, start_response, lease)
        except BaseException:   # start_response may raise; then the server does not close what it has not received
            lease.release()
            raise

    def _respond(self, state: _State, environ: Environ, start_response: Callable[..., Any], lease: Lease) -> Iterable[bytes]:
        # in a copy of the context: the correlation id only applies to this request
        response = contextvars.copy_context().run(_answer, state, environ, lease)
        # A body that was counted belongs to the server until it calls close(); a small one is not worth the effort.
        headers = [*response.headers, ("Content-Type", response.content_type)]
        if response.events is None and response.status != 204:
            headers.append(("Content-Length", str(len(response.body))))
        if response.status != 302:
            headers += state.options.cors_headers(environ.get("HTTP_ORIGIN", ""))
        try:
            start_response("%d %s" % (response.status, responses.REASONS[response.status]), headers)
        except BaseException:
            if response.events is not None:
                response.events.close()
            raise
        if response.events is not None:
            return response.events      # it has the lease, too
        if environ["REQUEST_METHOD"] == "HEAD" or len(response.body) <= calls.SMALL_RESULT_BYTES:
            lease.release()
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
        return _LargeBody(response.body, lease)

    def end_streams(self) -> None:
        """End all responses that are streams of events. Servers call this before they wait for the end of requests."""
        self._streams.end()

    def close(self) -> None:
        """Close the connections to the name server, stop the check of dead names, and end all streams of events."""
        self.end_streams()
        self._state.dead.close()
        self.name_servers.close()

    def replace_options(self, options: Options) -> None:
        """Use other options for all later requests."""
        # Requests in progress continue with the previous state, which they have read at their beginning.
        self.name_servers.timeout = options.timeout
        replaced, self._state = self._state, _State(options, self.name_servers, self._memory, self._running,
                                             self._streams)
        # The state that was replaced is still used by requests in progress; only its background check ends.
        replaced.dead.stop()


class PyroApp:
    """The gateway as a WSGI application whose options are attributes, which are read for every request.

    Attributes:
        ns_regex: regular expression, matched at the beginning of names: the objects that clients can use. Empty: all.
        gateway_key: the key that clients have to send, a string or bytes; None or empty for none.
        operator_key: the key for calling methods and assigning attributes; None or empty: all clients may.
        cors: the web sites whose scripts may use it, as for `Gateway`; empty for none but its own page.
        comm_timeout: time limit of a call in seconds, 0 for no limit; until it is assigned, the setting COMMTIMEOUT.
        allowed_hosts: host names accepted in the Host header, besides loopback ones, IP addresses, the name of this machine
            and those of the setting GATEWAY_HOSTS; ``*`` for all.
    """

    def __init__(self) -> None:
        self.__name__ = "pyro_app"      # frameworks show it in their logs as the name of the application
        self.ns_regex: Optional[str] = DEFAULT_EXPOSED
        self.gateway_key: Any = None
        self.operator_key: Any = None
        self.cors: Optional[str] = ""
        self._comm_timeout: Optional[float] = None
        self.allowed_hosts: Iterable[str] = ()
        # Guards _gateway, and _applied: the attributes that it was last configured with.
        self._lock = threading.Lock()
        self._gateway: Optional[Gateway] = None
        self._applied: Tuple[Any, ...] = ()

    @property
    def comm_timeout(self) -> float:
        """Time limit of a call in seconds."""
        return config.COMMTIMEOUT if self._comm_timeout is None else self._comm_timeout

    @comm_timeout.setter
    def comm_timeout(self, seconds: Optional[float]) -> None:
        self._comm_timeout = seconds

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Process a request."""
        try:
            gateway = self._current_gateway()
        except Exception as x:  # an invalid attribute must not leave the gateway unprotected
            log.error("the attributes of pyro_app are invalid, all requests are refused: %s", x)
            body = b"Error 500: the gateway is not configured properly"
            start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        return gateway(environ, start_response)

    def end_streams(self) -> None:
        """End all responses that are streams of events."""
        with self._lock:
            gateway = self._gateway
        if gateway is not None:
            gateway.end_streams()

    def close(self) -> None:
        """Close the connections to the name server."""
        with self._lock:
            gateway = self._gateway
        if gateway is not None:
            gateway.close()

    def _current_gateway(self) -> Gateway:
        """Return the gateway, configured with the current attributes."""
        hosts = self.allowed_hosts.split(",") if isinstance(self.allowed_hosts, str) else self.allowed_hosts
        attributes = (self.ns_regex, self.gateway_key, self.cors, self.comm_timeout,
                      (*(hosts or ()), *config.GATEWAY_HOSTS), True, self.operator_key)
        # Comparing the attributes in each request is cheap. A program may change them at any time, also in place, so that a
        # property that is called for an assignment would not see every change.
        with self._lock:
            if self._gateway is not None and attributes == self._applied:
                return self._gateway
            options = Options.parse(*attributes)
            if self._gateway is None:
                self._gateway = Gateway()
            self._gateway.replace_options(options)
            self._applied = attributes
            return self._gateway


class _State:
    """The options of a gateway, and the cached state of the objects that they expose."""

    def __init__(self, options: Options, name_servers: NameServers, memory: MemoryBudget, running: CallTable,
                 streams: OpenStreams) -> None:
        self.options = options
        self.running = running
        self.streams = streams
        self.memory = memory
        self.name_servers = name_servers
        # Browsers of several users ask for the list at the same time: they share one answer of the name server.
        self.objects = Fresh(self._list_exposed, LISTING_SECONDS)
        self.dead = DeadObjects(self.objects.get, DEAD_SECONDS)
        self.metrics = Fresh(status.ServerMetrics(self.objects.get, options.timeout).response, STATUS_SECONDS)
        self.servers = ServerStatus(options.timeout)
        self.status = Fresh(self.read_status, STATUS_SECONDS)
        self.descriptions = Fresh(lambda: openapi.read_all(list(self.objects.get()), self.describe), DESCRIPTION_SECONDS)

    def _list_exposed(self) -> Dict[str, Registration]:
        found = self.name_servers.list()
        return {name: found[name] for name in sorted(found) if self.options.is_exposed(name)}

    def describe(self, name: str) -> Dict[str, Any]:
        """Return the description of one object. Raises the errors of a lookup and of calls."""
        seconds = earlier(self.options.timeout, openapi.READ_SECONDS)
        with calls.connected_proxy(self.name_servers.lookup(name), seconds, lambda size: None) as proxy:
            return describe(proxy)

    def read_status(self) -> Dict[str, Any]:
        """Return the data of the page about servers. Raises NameServerGone."""
        found = self.servers.read(dict(list(self.objects.get().items())[:LISTED_OBJECTS]))
        leases = self.name_servers.leases()
        return {**found, "leases": {name: leases[name] for name in found["objects"] if name in leases}}

    def overview(self) -> Dict[str, Any]:
        """Return the data of the page about all objects. Raises NameServerGone."""
        exposed = self.objects.get()
        listed = [{"name": name, "uri": registration.uri, "metadata": sorted(registration.metadata)}
                  for name, registration in list(exposed.items())[:LISTED_OBJECTS]]
        return {"nameserver": str(self.name_servers.location()), "expose": self.options.exposed.pattern,
                "total": len(exposed), "objects": listed}


class _LargeBody(List[bytes]):
    """A response body that counts toward the memory limit until the server calls `close`, when it has been sent."""

    def __init__(self, body: bytes, lease: Lease) -> None:
        super().__init__([body])
        self._lease = lease
        # From here on only the body itself takes memory; the values and texts that it was made of are freed.
        lease.reduce_to(len(body))

    def close(self) -> None:
        self._lease.release()


def _answer(state: _State, environ: Environ, lease: Lease) -> Response:
    try:
        return _Request(state, environ, lease).route()
    except Refused as x:
        return x.response
    except Exception as x:  # request boundary: a failure must not affect later requests
        log.error("request failed: %s", loggable_path(environ.get("PATH_INFO", "")), exc_info=True)
        return responses.error(500, errors.PyroError("the gateway failed: %s" % type(x).__name__))


class _Request:
    """The processing of one request, from its url to the response. All methods may raise Refused."""

    def __init__(self, state: _State, environ: Environ, lease: Lease) -> None:
        self._lease = lease
        self._state = state
        self._options = state.options
        self._environ = environ
        self._query: Parameters = {}

    # ------------------------------------------------------------ routing

    def route(self) -> Response:
        """Return the response."""
        environ = self._environ
        # First of all: a page of another site can reach this gateway under a name of its own (DNS rebinding), and its requests
        # then look like those of the gateway's own page.
        if not self._options.hosts.allow(environ.get("HTTP_HOST")):
            raise Refused(responses.text(403, "403 Forbidden - the gateway does not answer for this host; list it with "
                                              "--allow-host, or in pyro_app.allowed_hosts"))
        # WSGI passes the bytes of the path as if they were latin-1.
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        if path in ("", "/"):
            location = quote(environ.get("SCRIPT_NAME", "")) + "/pyro/"
            return Response(302, responses.TEXT, b"", (("Location", location),))
        if path in status.PATHS:
            return self._operate(path)
        if not path.startswith("/pyro/"):
            return responses.text(404)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return responses.text(200, "200 OK")
        if environ["REQUEST_METHOD"] not in ("GET", "POST", "PUT", "DELETE"):
            return responses.text(405, headers=(("Allow", METHODS),))
        return self._route_below_pyro(path[len("/pyro/"):])

    def _operate(self, path: str) -> Response:
        """Answer a monitoring system or a load balancer."""
        if self._environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return responses.text(405, headers=(("Allow", "GET, HEAD"),))
        if path == status.HEALTHZ:
            return responses.text(200, "ok\n")  # the gateway runs, and answers
        if path == status.READYZ:
            return status.ready(self._state.name_servers.location)
        self._query = parse_query(self._environ)
        self._check_key()
        try:
            return self._state.metrics.get()
        except NameServerGone as x:
            return gone(x)

    def _route_below_pyro(self, path: str) -> Response:
        if not path and self._environ["REQUEST_METHOD"] in ("GET", "POST"):
            return page()
        if not path:
            return responses.text(405, headers=(("Allow", "GET, POST, OPTIONS"),))
        name, _, member = path.rpartition("/")
        if path not in _OWN_METHODS and not (name and member):
            return responses.text(404)
        if self._environ["REQUEST_METHOD"] not in _OWN_METHODS.get(path, METHODS):
            return responses.text(405, headers=(("Allow", _OWN_METHODS[path]),))
        # In this order: a page of another site learns neither whether the key is right nor which names exist.
        refusal = self._options.refusal(self._environ)
        if refusal:
            return responses.text(403, refusal)
        if "$key" in unquote(unquote(path)):    # wrongly encoded; it would appear in errors and logs as part of a name
            return responses.text(400, "400 Bad Request - the key is in the path; send it in the header X-Pyro-Gateway-Key")
        self._query = parse_query(self._environ)
        is_operator = self._check_key()
        request = ObjectRequest(self._state, self._environ, self._query, self._lease, is_operator)
        if path == "$dead":
            return _in_json(self._state.dead.get)
        if path == "$calls":
            return self._use_calls(is_operator)
        if path == "$watch":
            return request.watch()
        if path == "$status":
            return self._status()
        if path == "$openapi":
            return self._openapi()
        if path == "$objects":
            return request.describe() if "name" in self._query else _in_json(
                lambda: {**self._state.overview(), "operator": is_operator})
        return request.use_member(name, member)

    def _status(self) -> Response:
        state, name = self._state, self._query.get("name")
        if name is None:
            # The calls are those of this moment: one may have been cancelled just now.
            return _in_json(lambda: {**state.status.get(), "calls": state.running.list()})
        if type(name) is not str or not state.options.is_exposed(name):
            return responses.text(403, "403 Forbidden - access to the requested object has been denied")
        try:
            return _in_json(lambda: {"methods": state.servers.methods(state.name_servers.lookup(name))})
        except errors.NamingError as x:
            return responses.error(404, x)
        except errors.PyroError as x:
            return responses.error(status_of(x), x)

    def _openapi(self) -> Response:
        state, name = self._state, self._query.get("name")
        base = quote(self._environ.get("SCRIPT_NAME", "")) + "/pyro"

        def build() -> Any:
            if name is None:
                found, missing = state.descriptions.get()
            else:
                found, missing = openapi.read_all([str(name)] if state.options.is_exposed(str(name)) else [], state.describe)
            return openapi.document(found, missing, base, bool(state.options.key or state.options.operator_key))
        return _in_json(build)

    def _use_calls(self, is_operator: bool) -> Response:
        """List the calls in progress, or cancel those with a correlation id."""
        if self._environ["REQUEST_METHOD"] != "DELETE":
            return _in_json(lambda: {"calls": self._state.running.list()})
        if not is_operator:
            return responses.error(403, errors.SecurityError("cancelling calls takes the operator's key"))
        try:
            count = self._state.running.cancel(str(self._query.get("id", "")))
        except ValueError as x:
            return responses.error(400, x)
        if not count:
            return responses.error(404, LookupError("no call with this id is in progress"))
        return _in_json(lambda: {"cancelled": count})

    def _check_key(self) -> bool:
        """Remove the key from the query, and return whether the client is an operator. Refuse the request unless the query or
        the header has a right key.
        """
        if not self._options.key and not self._options.operator_key:
            return True
        # In the query it is a parameter like others: removed, so that it does not become an argument of the call.
        given = self._query.pop("$key", "")
        if type(given) is not str:
            raise Refused(responses.text(403, "403 Forbidden - incorrect gateway api key"))
        header = self._environ.get("HTTP_X_PYRO_GATEWAY_KEY")
        key = header.encode("latin-1", "replace") if header else given.encode("utf-8", "replace")
        if self._options.operator_key and hmac.compare_digest(key, self._options.operator_key):  # in constant time
            return True
        if self._options.key and not hmac.compare_digest(key, self._options.key):
            raise Refused(responses.text(403, "403 Forbidden - incorrect gateway api key"))
        # Without a key of their own, all clients may look; and with one, but without operators, they may do everything.
        return not self._options.operator_key


# ---------------------------------------------------------------- parts of a response

def _in_json(compute: Callable[[], Any]) -> Response:
    try:
        return responses.json_response(200, json.dumps(compute()).encode("utf-8"))
    except NameServerGone as x:
        return gone(x)
