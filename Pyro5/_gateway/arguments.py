"""Parse the parameters of a request: query string, form, JSON."""
from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Dict, Iterator, List, Mapping, Tuple, Union
from urllib.parse import parse_qs, unquote_to_bytes

from . import responses
from .memory import Exhausted, Lease
from .responses import Refused

BODY_BYTES = 16 * 1024 * 1024   # maximum for one request
PARAMETERS = 1000               # in a query string, or in a form
INTEGER_DIGITS = 4300           # maximum for a number in JSON: the time for converting grows with the square of its length
CHUNK_BYTES = 65536             # of a body, read with one call
SMALL_BODY_BYTES = 16384        # read regardless of the memory limit: for all connections together it is little
COPIES = 4                      # of a body that exist at the same time: bytes, text, values, the request to the object
WIDE_COPIES = 12                # more, if it has characters that take up to four bytes each in memory
UNQUOTED_BYTES = 65536          # of a form, converted with one call: that takes up to a hundred times the memory
# Memory that the values of a JSON text need in addition to its length, per character that begins or separates them.
VALUE_COSTS = ((b",", 56), (b":", 110), (b"[", 90), (b"{", 240), (b'"', 8))

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

Environ = Dict[str, Any]
Parameters = Dict[str, Union[str, List[str]]]


def parse_query(environ: Environ) -> Parameters:
    """Return the parameters of the query string: a string each, or a list of strings if one is repeated.

    Raises:
        Refused: there are too many.
    """
    try:
        return _single_values(parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=PARAMETERS))
    except ValueError as x:
        raise _too_many_parameters() from x


def _form_values(body: bytes) -> Parameters:
    """Return the parameters of a form, as `parse_query` does."""
    # Counted before the body is split: splitting a body of separators takes much more memory than the body.
    if body.count(b"&") >= PARAMETERS:
        raise _too_many_parameters()
    found: Dict[str, List[str]] = {}
    for field in body.split(b"&"):
        name, _, value = field.partition(b"=")
        if value:  # empty values are dropped, as in query strings
            found.setdefault(_unquoted(name), []).append(_unquoted(value))
    return _single_values(found)


def _single_values(found: Mapping[str, List[str]]) -> Parameters:
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _too_many_parameters() -> Refused:
    return Refused(responses.error(400, ValueError("at most %d parameters are allowed" % PARAMETERS)))


def _unquoted(data: bytes) -> str:
    """Return the text of a name or a value in a form."""
    data = data.replace(b"+", b" ")
    if b"%" in data:
        data = b"".join(map(unquote_to_bytes, _pieces(data)))
    return data.decode("utf-8", "replace")


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield the data in pieces that do not end within an escape sequence: it consists of % and two digits."""
    start = 0
    while start < len(data):
        end = start + UNQUOTED_BYTES
        # An escape sequence that begins just before the end is left to the next piece.
        if end < len(data):
            escape = data.rfind(b"%", end - 2, end)
            end = escape if escape >= 0 else end
        yield data[start:end]
        start = end


def has_large_body(environ: Environ) -> bool:
    """Return whether a request has a body that takes its turn with those of others."""
    length = environ.get("CONTENT_LENGTH") or "0"
    return environ["REQUEST_METHOD"] in ("POST", "PUT") and not (
        re.match(r"[0-9]{1,15}\Z", length) and int(length) <= SMALL_BODY_BYTES)


def call_arguments(environ: Environ, query: Mapping[str, Any], lease: Lease) -> Tuple[List[Any], Dict[str, Any]]:
    """Return positional and keyword arguments; a parameter of the query replaces one of the same name in the body.

    Args:
        lease: the memory of this request, within the limit for all requests.

    Raises:
        Refused: the body is too large, incomplete, or of an unknown type.
    """
    try:
        # A body without POST has no defined meaning.
        body = _read_body(environ, lease) if environ["REQUEST_METHOD"] == "POST" else b""
        if not body:
            return [], dict(query)
        with _turn_for(body, lease):
            return _body_arguments(environ, query, body, lease)
    except Exhausted as x:
        raise _no_memory(x) from x


def assigned_value(environ: Environ, lease: Lease) -> Any:
    """Return the value in the body of a request, which is JSON of any type.

    Raises:
        Refused: as for `call_arguments`.
    """
    try:
        body = _read_body(environ, lease)
        # curl -d sends any body with the type of a form. A form has no meaning here.
        if _content_type(environ) not in ("", _JSON, _FORM):
            raise Refused(responses.error(415, TypeError("the value of an attribute is sent as application/json")))
        with _turn_for(body, lease):
            return _parse_json(body, lease)
    except Exhausted as x:
        raise _no_memory(x) from x


def _turn_for(body: bytes, lease: Lease) -> Any:
    return lease.converting if len(body) > SMALL_BODY_BYTES else contextlib.nullcontext()


def _no_memory(x: Exhausted) -> Refused:
    if x.is_permanent:
        return Refused(responses.error(413, ValueError("the body has more values than there is memory for")))
    return Refused(responses.error(503, ValueError("other requests take all memory for bodies"), (("Retry-After", "2"),)))


def _content_type(environ: Environ) -> str:
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def _body_arguments(environ: Environ, query: Mapping[str, Any], body: bytes, lease: Lease) -> Tuple[List[Any], Dict[str, Any]]:
    content_type = _content_type(environ)
    # Without a type, and with that which curl -d sends, JSON is recognized by its first character: it must not get lost.
    looks_like_json = body.lstrip()[:1] in (b"[", b"{")
    if content_type == _FORM and not (looks_like_json and _is_json(body, lease)):
        # A form without any value: most likely something else, which would be ignored.
        if b"=" not in body and body.strip():
            raise Refused(responses.error(400, ValueError("the body is neither a form nor a JSON array or object")))
        return [], {**_form_values(body), **query}
    if content_type not in (_JSON, _FORM) and (content_type or not looks_like_json):
        raise Refused(responses.error(415, TypeError("arguments are sent as application/json or as "
                                                     "application/x-www-form-urlencoded, not as %r" % content_type)))
    given = _parse_json(body, lease)
    if isinstance(given, list):
        return given, dict(query)
    if isinstance(given, dict):
        args = given.pop("$args", [])   # no keyword has this name
        if not isinstance(args, list):
            raise Refused(responses.error(400, TypeError("the positional arguments, $args, must be a JSON array")))
        return args, {**given, **query}
    raise Refused(responses.error(400, TypeError("the arguments must be a JSON array or object")))


def _read_body(environ: Environ, lease: Lease) -> bytes:
    text = environ.get("CONTENT_LENGTH") or "0"
    # Not int() alone: that accepts signs, underscores and the digits of other scripts.
    if not re.match(r"[0-9]{1,15}\Z", text):
        raise Refused(responses.text(400))
    length = int(text)
    if length > BODY_BYTES:
        raise Refused(responses.error(413, ValueError("a body may have %d bytes at most" % BODY_BYTES)))
    try:
        body = b"".join(_read_chunks(environ["wsgi.input"], length, lease))
    except OSError as x:
        raise Refused(responses.text(408)) from x
    if len(body) < length:
        raise Refused(responses.text(400))
    # escape sequences of JSON and of forms can stand for any characters
    if length > SMALL_BODY_BYTES and not (body.isascii() and b"\\u" not in body and b"%" not in body):
        lease.take(WIDE_COPIES * length)
    return body


def _read_chunks(stream: Any, length: int, lease: Lease) -> Iterator[bytes]:
    """Read a body; memory is reserved as data arrives, not for the announced length."""
    if length <= SMALL_BODY_BYTES:
        yield stream.read(length)
        return
    while length > 0:
        lease.begin_waiting()
        chunk: bytes = stream.read(min(length, CHUNK_BYTES))
        lease.end_waiting()
        if not chunk:
            return
        # Before the next chunk is read: the client is stopped by TCP while memory is awaited.
        lease.take(COPIES * len(chunk))
        length -= len(chunk)
        yield chunk


def _parse_json(body: bytes, lease: Lease) -> Any:
    # Reserved before parsing: afterwards the memory would be in use already.
    if len(body) > SMALL_BODY_BYTES:
        lease.take(sum(cost * body.count(char) for char, cost in VALUE_COSTS))
    try:
        return json.loads(body.decode("utf-8"), parse_int=_to_int)
    except (ValueError, RecursionError) as x:
        raise Refused(responses.error(400, ValueError("the body is not usable JSON: %s" % x))) from x


def _is_json(body: bytes, lease: Lease) -> bool:
    try:
        _parse_json(body, lease)
    except Refused:
        return False
    return True


def _to_int(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS:
        raise ValueError("a number has more than %d digits" % INTEGER_DIGITS)
    return int(digits)
