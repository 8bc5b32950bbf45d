"""The HTTP gateway as a WSGI application: which request means what, and what is answered. See httpgateway for the urls."""
from __future__ import annotations

import base64
import contextvars
import functools
import hashlib
import hmac
import json
import logging
import pkgutil
import re
import uuid
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import parse_qs, quote

from .. import config, current_context, errors
from .._naming.registry import NAME_CHARS
from ..client import locate_ns
from . import calls
from .calls import Fresh, NameServerGone, NameServers, Registration, Reply

__all__ = ["Gateway", "DEFAULT_EXPOSED"]

log = logging.getLogger("Pyro5.utils.gatewayapp")

DEFAULT_EXPOSED = r"http\."
BODY_BYTES = 16 * 1024 * 1024   # of one request
PARAMETERS = 1000               # in a query string, or in a form
INTEGER_DIGITS = 4300           # of a number in JSON: more would take long to convert
LISTED_OBJECTS = 2000           # on the page; it tells how many there are
LISTING_SECONDS = 1.0           # how old the list of all objects may be
DEAD_SECONDS = 5.0              # how old the list of the dead ones may be
RETRY_AFTER_SECONDS = "2"

_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
            408: "Request Timeout", 413: "Payload Too Large", 415: "Unsupported Media Type",
            500: "Internal Server Error", 503: "Service Unavailable"}
_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain"
_METHODS = "GET, POST, OPTIONS"
_REQUEST_HEADERS = "Content-Type, X-Pyro-Options, X-Pyro-Gateway-Key, X-Pyro-Correlation-Id"
_NEVER_STORED = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

Headers = Tuple[Tuple[str, str], ...]
Environ = Dict[str, Any]


class Response(NamedTuple):
    """An answer to a request."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = ()


def _text(status: int, text: str = "", headers: Headers = ()) -> Response:
    text = text or "Error %d: %s" % (status, _REASONS[status])
    return Response(status, _TEXT, text.encode("utf-8"), headers)


def _json(status: int, payload: bytes, headers: Headers = ()) -> Response:
    return Response(status, _JSON, payload, headers + _NEVER_STORED)


def _error(status: int, error: Exception, headers: Headers = ()) -> Response:
    return _json(status, calls.encode_error(error), headers)


class _Refused(Exception):
    """Ends the processing of a request."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Gateway:
    """
    The gateway as a WSGI application, which may be called in any number of threads.

    Args:
        expose: regular expression, matched at the beginning of names: the objects that can be used. Empty: all.
        gatewaykey: what clients have to know, if anything.
        cors: the web site (origin) whose scripts may use the gateway; ``*`` for every one, empty for none but its own page.
        timeout: seconds that a call may take; None is what the setting COMMTIMEOUT says, 0 is any time.
        locate: finds the name server, or raises PyroError.

    Raises:
        re.error: the regular expression is invalid.
        ValueError: the origin cannot be one.
    """

    def __init__(self, expose: str = DEFAULT_EXPOSED, gatewaykey: str = "", cors: str = "*",
                 timeout: Optional[float] = None, locate: Callable[[], Any] = locate_ns) -> None:
        if not re.match(r"[!-~]*\Z", cors):
            raise ValueError("no origin: %r" % cors)
        self._exposed = re.compile(expose)
        self._key = gatewaykey.encode("utf-8")
        self._timeout = (config.COMMTIMEOUT if timeout is None else timeout) or None
        self._cors = () if not cors else (("Access-Control-Allow-Origin", cors),
                                          ("Access-Control-Allow-Methods", _METHODS),
                                          ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
                                          ("Access-Control-Expose-Headers", "X-Pyro-Correlation-Id"))
        self.name_servers = NameServers(self._timeout, locate)
        self._objects = Fresh(self._list_exposed, LISTING_SECONDS)
        self._dead = Fresh(lambda: calls.find_dead(self._objects.get()), DEAD_SECONDS)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        # in a copy: the correlation id is this request's own
        response = contextvars.copy_context().run(self._answer, environ)
        headers = [*response.headers, ("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))]
        if response.status != 302:
            headers += self._cors
        start_response("%d %s" % (response.status, _REASONS[response.status]), headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def close(self) -> None:
        """Close the connections to the name server."""
        self.name_servers.close()

    # ------------------------------------------------------------ which request it is

    def _answer(self, environ: Environ) -> Response:
        try:
            return self._route(environ)
        except _Refused as x:
            return x.response
        except Exception as x:  # border of a request: whatever is wrong with it, the next one must be served
            log.error("request failed: %r", environ.get("PATH_INFO"), exc_info=True)
            return _error(500, errors.PyroError("the gateway failed: %s" % type(x).__name__))

    def _route(self, environ: Environ) -> Response:
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        if path in ("", "/"):
            return Response(302, _TEXT, b"", (("Location", quote(environ.get("SCRIPT_NAME", "")) + "/pyro/"),))
        if not path.startswith("/pyro/"):
            return _text(404)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return _text(200, "200 OK")
        if environ["REQUEST_METHOD"] not in ("GET", "POST"):
            return _text(405, headers=(("Allow", _METHODS),))
        return self._route_below_pyro(path[len("/pyro/"):], environ)

    def _route_below_pyro(self, path: str, environ: Environ) -> Response:
        if not path:
            return _page()
        name, _, member = path.rpartition("/")
        if path not in ("$objects", "$dead") and not (name and member):
            return _text(404)
        query = _query(environ)
        self._check_key(environ, query)
        if path == "$dead":
            return self._in_json(self._dead.get)
        if path == "$objects":
            return self._describe(str(query["name"]), environ) if "name" in query else self._in_json(self._overview)
        return self._use_object(name, environ, functools.partial(self._use_member, member, query, environ))

    def _check_key(self, environ: Environ, query: Dict[str, Any]) -> None:
        """Take the key out of the query; refuse the request if the right one is not there and not in the header."""
        if not self._key:
            return
        given = query.pop("$key", "")
        header = environ.get("HTTP_X_PYRO_GATEWAY_KEY")
        key = header.encode("latin-1", "replace") if header else str(given).encode("utf-8", "replace")
        if not hmac.compare_digest(key, self._key):
            raise _Refused(_text(403, "403 Forbidden - incorrect gateway api key"))

    # ------------------------------------------------------------ one object

    def _use_object(self, name: str, environ: Environ, use: Callable[[Any], Response]) -> Response:
        """Find the object, and connect to it; every error on the way becomes an exception in JSON."""
        if not self._is_exposed(name):
            return _text(403, "403 Forbidden - access to the requested object has been denied")
        headers: Headers = ()
        try:
            headers = _correlate(environ)
            uri = self.name_servers.lookup(name)
        except NameServerGone as x:
            return _gone(x)
        except errors.NamingError as x:
            return _error(404, x, headers)
        except Exception as x:  # of any kind: a name server has raised it, or the correlation id is none
            return _error(500, x, headers)
        try:
            with calls.connected_proxy(uri, self._timeout) as proxy:
                response = use(proxy)
        except _Refused:
            raise
        except Exception as x:  # of any kind: the network, the object's server, the arguments
            log.debug("%r cannot be used: %s", name, x)
            return _error(500, x, headers)
        return response._replace(headers=headers + response.headers)

    def _is_exposed(self, name: str) -> bool:
        # no registration has a longer name, and so the operator's regex need not look at one
        return len(name) <= NAME_CHARS and self._exposed.match(name) is not None

    def _use_member(self, member: str, query: Dict[str, Any], environ: Environ, proxy: Any) -> Response:
        if member == "$meta":
            meta = {"methods": sorted(proxy._pyroMethods), "attributes": sorted(proxy._pyroAttrs)}
            return _json(200, json.dumps(meta).encode("utf-8"))
        args, kwargs = _arguments(environ, query)
        if member in proxy._pyroAttrs:
            if args or kwargs:
                raise AssertionError("reading attribute '%s' takes no parameters" % member)
            return _called(calls.read_attribute(proxy, member))
        return _called(calls.invoke(proxy, member, args, kwargs, _wants_oneway(environ)))

    def _describe(self, name: str, environ: Environ) -> Response:
        def use(proxy: Any) -> Response:
            about = {"name": name, "uri": str(proxy._pyroUri), "methods": sorted(proxy._pyroMethods),
                     "oneway": sorted(proxy._pyroOneway), "attributes": sorted(proxy._pyroAttrs)}
            return _json(200, json.dumps(about).encode("utf-8"))

        return self._use_object(name, environ, use)

    # ------------------------------------------------------------ all objects

    def _in_json(self, compute: Callable[[], Any]) -> Response:
        try:
            return _json(200, json.dumps(compute()).encode("utf-8"))
        except NameServerGone as x:
            return _gone(x)

    def _list_exposed(self) -> Dict[str, Registration]:
        found = self.name_servers.list()
        return {name: found[name] for name in sorted(found) if self._is_exposed(name)}

    def _overview(self) -> Dict[str, Any]:
        exposed = self._objects.get()
        listed = [{"name": name, "uri": registration.uri, "metadata": sorted(registration.metadata)}
                  for name, registration in list(exposed.items())[:LISTED_OBJECTS]]
        return {"nameserver": str(self.name_servers.location()), "expose": self._exposed.pattern, "total": len(exposed),
                "objects": listed}


def _gone(x: NameServerGone) -> Response:
    return _error(503, errors.NamingError(str(x.__cause__)), (("Retry-After", RETRY_AFTER_SECONDS),))


def _called(reply: Reply) -> Response:
    return _json(200 if reply.ok else 500, reply.payload)


# ---------------------------------------------------------------- parts of a request

def _correlate(environ: Environ) -> Headers:
    """Take the correlation id of the request, or make one; give the header that tells it. Raises ValueError."""
    given = environ.get("HTTP_X_PYRO_CORRELATION_ID")
    current_context.correlation_id = uuid.UUID(given) if given else uuid.uuid4()
    return (("X-Pyro-Correlation-Id", str(current_context.correlation_id)),)


def _wants_oneway(environ: Environ) -> bool:
    options = environ.get("HTTP_X_PYRO_OPTIONS", "").split(",")
    return "oneway" in [option.strip() for option in options]


def _query(environ: Environ) -> Dict[str, Any]:
    return _form_values(environ.get("QUERY_STRING", ""))


def _form_values(text: str) -> Dict[str, Any]:
    """Give the parameters of a query string or a form: a text each, or a list of texts if there are several."""
    try:
        found = parse_qs(text, max_num_fields=PARAMETERS)
    except ValueError as x:
        raise _Refused(_error(400, ValueError("at most %d parameters are allowed" % PARAMETERS))) from x
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _arguments(environ: Environ, query: Mapping[str, Any]) -> Tuple[List[Any], Dict[str, Any]]:
    """Give positional and keyword arguments; where query and body have one of the same name, the query counts."""
    body = _read_body(environ) if environ["REQUEST_METHOD"] == "POST" else b""
    if not body:
        return [], dict(query)
    content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded":
        return [], {**_form_values(body.decode("utf-8", "replace")), **query}
    if content_type != "application/json":
        raise _Refused(_error(415, TypeError("arguments are sent as application/json or as "
                                             "application/x-www-form-urlencoded, not as %r" % content_type)))
    given = _parse_json(body)
    if isinstance(given, list):
        return given, dict(query)
    if isinstance(given, dict):
        return [], {**given, **query}
    raise _Refused(_error(400, TypeError("the arguments must be a JSON array or object")))


def _read_body(environ: Environ) -> bytes:
    text = environ.get("CONTENT_LENGTH") or "0"
    if not re.match(r"[0-9]{1,15}\Z", text):
        raise _Refused(_text(400))
    length = int(text)
    if length > BODY_BYTES:
        raise _Refused(_error(413, ValueError("a body may have %d bytes at most" % BODY_BYTES)))
    try:
        body: bytes = environ["wsgi.input"].read(length)
    except OSError as x:
        raise _Refused(_text(408)) from x
    if len(body) < length:
        raise _Refused(_text(400))
    return body


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_int=_to_int)
    except (ValueError, RecursionError) as x:
        raise _Refused(_error(400, ValueError("the body is not usable JSON: %s" % x))) from x


def _to_int(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS:
        raise ValueError("a number has more than %d digits" % INTEGER_DIGITS)
    return int(digits)


@functools.lru_cache(maxsize=None)
def _page() -> Response:
    """Give the page. It may load nothing, and run nothing but the script that stands in it."""
    data = pkgutil.get_data(__package__ or "", "page.html") or b""
    policy = ("default-src 'none'; connect-src 'self'; img-src data:; style-src %s; script-src %s; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
              % (_hashes(data, b"style"), _hashes(data, b"script")))
    return Response(200, "text/html; charset=utf-8", data, (
        ("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff")))


def _hashes(page: bytes, element: bytes) -> str:
    """Give what the policy calls the contents of these elements."""
    contents = re.findall(b"<%s>(.*?)</%s>" % (element, element), page, re.DOTALL)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(each).digest()).decode("ascii") for each in contents)
