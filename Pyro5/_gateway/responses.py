"""HTTP responses: plain text for HTTP errors, JSON for everything about a call, and the page.

The page is a single file without external resources, with a policy that allows only the script in it.
"""
from __future__ import annotations

import base64
import functools
import hashlib
import pkgutil
import re
from typing import NamedTuple, Optional, Tuple

from . import calls
from .events import EVENTS, EventStream

__all__ = ["REASONS", "Headers", "Refused", "Response", "error", "event_response", "json_response", "page", "text"]

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
