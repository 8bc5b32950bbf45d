"""HTTP responses: plain text for HTTP errors, JSON for everything about a call, the page; the statuses of failures of calls.

The page is a single file without external resources, with a policy that allows only the script in it.
"""
from __future__ import annotations

import base64
import functools
import hashlib
import json
import pkgutil
import re
from typing import Any, Dict, Optional, Tuple

from .. import NamedTuple, errors
from .._values.unsendable import Unsendable
from . import calls
from .calls import Reply
from .events import EVENTS, EventStream

REASONS = {200: "OK", 204: "No Content", 302: "Found", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 408: "Request Timeout", 413: "Payload Too Large", 415: "Unsupported Media Type",
           499: "Client Closed Request", 500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}
TEXT = "text/plain"
_JSON = "application/json; charset=utf-8"
_NEVER_STORED = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

Headers = Tuple[Tuple[str, str], ...]


class Response(NamedTuple):
    """A response to a request."""

    status: int
    content_type: str
    body: bytes
    headers: Headers = ()
    events: Optional[EventStream] = None    # instead of the body


class Refused(Exception):
    """Aborts the processing of a request with a response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def text(status: int, message: str = "", headers: Headers = ()) -> Response:
    """Build a plain text response; without a message, it contains the reason phrase of the status."""
    message = message or "Error %d: %s" % (status, REASONS[status])
    return Response(status, TEXT, message.encode("utf-8"), headers)


def json_response(status: int, payload: bytes, headers: Headers = ()) -> Response:
    """Build a JSON response that browsers do not cache."""
    # Results may be personal, and a cached one would be out of date.
    return Response(status, _JSON, payload, headers + _NEVER_STORED)


def event_response(events: EventStream) -> Response:
    """Build a response whose body is made while it is being sent."""
    # The last header is for nginx, which would otherwise collect events before it passes them on.
    return Response(200, EVENTS, b"", (*_NEVER_STORED, ("X-Accel-Buffering", "no")), events)


def error(status: int, exception: Exception, headers: Headers = ()) -> Response:
    """Build a response with an exception in JSON, as servers send it."""
    return json_response(status, calls.encode_error(exception), headers)


@functools.lru_cache(maxsize=None)
def page() -> Response:
    """Return the response with the page."""
    # pkgutil finds it inside a zip file, too.
    data = pkgutil.get_data(__package__ or "", "page.html") or b""
    # Hashes instead of 'unsafe-inline': a script that gets into the page by an error in it is not run.
    policy = ("default-src 'none'; connect-src 'self'; img-src data:; style-src %s; script-src %s; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
              % (_hashes(data, b"style"), _hashes(data, b"script")))
    return Response(200, "text/html; charset=utf-8", data, (
        ("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-cache"),
        ("X-Content-Type-Options", "nosniff")))


def _hashes(html: bytes, element: bytes) -> str:
    """Return the policy's source expressions for the contents of these elements."""
    contents = re.findall(b"<%s>(.*?)</%s>" % (element, element), html, re.DOTALL)
    return " ".join("'sha256-%s'" % base64.b64encode(hashlib.sha256(each).digest()).decode("ascii") for each in contents)


RETRY_AFTER_SECONDS = "2"
CANCELLED = 499     # not registered, but understood by many HTTP programs: the client does not wait any more
EXAMINED_BYTES = 65536      # of an exception in JSON; a longer one is passed on without a look
# The texts of Python, and those of this library for arguments that do not fit their annotations; after the name of the method.
_BAD_ARGUMENTS = r"\(\) (?:missing \d|takes |got (?:an unexpected keyword|multiple values|some)|argument )"
# As servers of this release say that they have stopped a call.
_STOPPED, _LATE = "the call was stopped: ", "its deadline has passed"


class Failure(Exception):
    """A request that fails with an exception in JSON, and with a status of its own."""

    def __init__(self, status: int, error: Exception, headers: Headers = ()) -> None:
        super().__init__(status, error)
        self.status, self.error, self.headers = status, error, headers


def status_of(error: Exception) -> int:
    """Return the status for an exception that was raised in the gateway while it used an object."""
    if isinstance(error, errors.CancelledError):
        return CANCELLED
    if isinstance(error, errors.TimeoutError):
        return 504
    if isinstance(error, errors.MessageTooLargeError) and error.sent is False:
        return 413
    # The request cannot be built from the arguments.
    if isinstance(error, Unsendable) or isinstance(error, errors.ProtocolError) and error.sent is False:
        return 400
    return 502 if isinstance(error, (errors.CommunicationError, errors.SecurityError)) else 500


def remote_error(payload: bytes) -> Dict[str, Any]:
    """Return the dict of a remote exception; empty if it is too long to be examined, or malformed."""
    if len(payload) > EXAMINED_BYTES:
        return {}
    try:
        error = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return error if type(error) is dict else {}


def status_of_reply(reply: Reply, member: str) -> Tuple[int, Headers]:
    """Return the status for a reply of an object, and headers to add.

    Args:
        member: the name of the method or attribute.
    """
    if reply.ok:
        return 200, ()
    error = remote_error(reply.payload)
    name, text = error.get("__class__"), _text(error)
    if name == "builtins.TypeError" and re.search(r"\b" + re.escape(member) + _BAD_ARGUMENTS, text):
        return 400, ()
    if name == "Pyro5.errors.SecurityError":
        return 403, ()
    if text.startswith(_STOPPED):   # the class is PyroError or TimeoutError, which clients of all releases know
        return (504 if text.endswith(_LATE) else CANCELLED), ()
    attributes = error.get("attributes")
    # Another client has the object for itself. A BusyError is sent as the class that all clients know.
    if name == "Pyro5.errors.DaemonError" and type(attributes) is dict and "retry_after" in attributes:
        return 503, (("Retry-After", RETRY_AFTER_SECONDS),)
    return 500, ()


def _text(error: Dict[str, Any]) -> str:
    arguments: Optional[Any] = error.get("args")
    return arguments[0] if type(arguments) is list and arguments and type(arguments[0]) is str else ""
