"""Parse the head of an HTTP/1.x request strictly: what two programs could interpret differently is rejected.

A web server in front of the gateway may make decisions based on the head (access control, removing headers). So there
must be only one way to interpret it: no folded lines, no mixed line breaks, no names that differ only in a
hyphen or underscore, no duplicates of headers that must be unique.
"""
from __future__ import annotations

import re
from typing import Dict, List, Sequence, Tuple

from .. import NamedTuple

HEADERS = 100  # maximum for one request
# Of the statuses with which requests are rejected.
REASONS = {400: "Bad Request", 408: "Request Timeout", 411: "Length Required", 431: "Request Header Fields Too Large",
           505: "HTTP Version Not Supported"}

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) ([!-~\x80-\xff]+)(?: HTTP/([0-9])\.([0-9]))?")
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")       # a token, without the underscore
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_LOGGABLE = re.compile(r"(?:[A-Za-z0-9/._~-]|\$(?:objects|dead|calls|openapi|status|watch|meta)\b)*")
# Headers that must be unique. The values of other headers are joined.
_SINGLE = frozenset(("host", "content-length", "content-type", "transfer-encoding", "expect", "origin", "referer",
                     "sec-fetch-site", "authorization", "x-pyro-gateway-key", "x-pyro-correlation-id", "x-pyro-options"))


class BadRequest(Exception):
    """A request that is rejected without calling the application: status code and text."""


class Head(NamedTuple):
    """The head of a request.

    Attributes:
        method, target: as in the request line; the target without scheme and host, which are in the header ``host``.
        version: (1, 0) or (1, 1); (0, 9) if the request line has none.
        headers: by name in lower case.
    """

    method: str
    target: str
    version: Tuple[int, int]
    headers: Dict[str, str]

    def body_length(self) -> int:
        """Return the length of the body in bytes. Raises BadRequest if it is ambiguous."""
        length = self.headers.get("content-length")
        if "transfer-encoding" in self.headers:
            if length is not None or self.version < (1, 1):
                # A proxy in front may choose the other of the two lengths: this is how requests are smuggled past it.
                raise BadRequest(400, "Transfer-Encoding contradicts the rest of the request")
            raise BadRequest(411, "the body needs a Content-Length")
        if length is None:
            return 0
        if not re.match(r"[0-9]{1,15}\Z", length):
            raise BadRequest(400, "malformed Content-Length")
        return int(length)


def parse_head(lines: Sequence[bytes]) -> Head:
    """Parse the lines of a head, including the empty line at the end, each with its line break.

    Raises:
        BadRequest: it is malformed or ambiguous.
    """
    stripped = _without_breaks(lines)
    match = _REQUEST_LINE.fullmatch(stripped[0])
    if match is None:
        raise BadRequest(400, "malformed request line")
    # A request line without a version is HTTP/0.9, which has no headers.
    version = (int(match[3]), int(match[4])) if match[3] else (0, 9)
    if match[3] and version[0] != 1:
        raise BadRequest(505, "HTTP/1.1 is spoken here")
    headers = _parse_headers(stripped[1:])
    target = match[2].decode("latin-1")
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:    # absolute form, used by proxy clients: its host takes precedence
        headers["host"] = absolute[1]
        target = target[absolute.end():] or "/"
    return Head(match[1].decode("ascii"), target, min(version, (1, 1)), headers)


def _without_breaks(lines: Sequence[bytes]) -> List[bytes]:
    """Return the lines up to the empty one without line breaks, which must be the same for all lines."""
    # Decided by the first line: mixed line breaks are read differently by different programs.
    line_break = b"\r\n" if lines[0].endswith(b"\r\n") else b"\n"
    result = []
    for line in lines:
        if not line.endswith(line_break) or _CONTROL.search(line[:-len(line_break)]):
            raise BadRequest(400, "malformed headers: control characters, or lines that do not all end in the same way")
        result.append(line[:-len(line_break)])
    return result[:-1]


def _parse_headers(lines: Sequence[bytes]) -> Dict[str, str]:
    if len(lines) > HEADERS:
        raise BadRequest(431, "more than %d headers" % HEADERS)
    headers: Dict[str, str] = {}
    for line in lines:
        raw_name, colon, raw_value = line.partition(b":")
        if not colon or _NAME.fullmatch(raw_name) is None:
            # Also refuses a space before the colon, and the continuation lines of old HTTP.
            raise BadRequest(400, "malformed headers")
        name, value = raw_name.decode("ascii").lower(), raw_value.strip(b" \t").decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise BadRequest(400, "the header %s is there twice" % name)
        else:
            # As RFC 9110 joins repeated headers; cookies are the exception.
            headers[name] += ("; " if name == "cookie" else ",") + value
    return headers


def loggable_path(path: str) -> str:
    """Return the part of a path that may be logged: up to the first character that can begin parameters, in any encoding."""
    shown = _LOGGABLE.match(path)[0][:200]  # type: ignore[index]
    return shown if shown == path else shown + "..."
