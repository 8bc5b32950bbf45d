"""The validated options of a gateway, and their application to requests: names, key, web sites."""
from __future__ import annotations

import hmac
import re
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Pattern, Tuple

from .. import config
from .._naming.checks import NAME_CHARS
from .origins import Hosts, foreign_origin
from .responses import Headers

__all__ = ["DEFAULT_EXPOSED", "Options"]

DEFAULT_EXPOSED = r"http\."
METHODS = "GET, POST, PUT, DELETE, OPTIONS"
_REQUEST_HEADERS = "Content-Type, X-Pyro-Options, X-Pyro-Gateway-Key, X-Pyro-Correlation-Id"


class Options(NamedTuple):
    """Options of a gateway; immutable, so that a request sees a consistent state of them.

    Attributes:
        exposed: matched at the beginning of names: the objects that clients can use.
        key: the key that clients have to send, empty for none.
        timeout: time limit of a call in seconds, None for no limit.
        origins: the web sites whose scripts may use the gateway.
        hosts: the hosts accepted in the Host header.
        operator_key: the key of clients that may call and assign; empty if all may.
    """

    exposed: Pattern[str]
    key: bytes
    timeout: Optional[float]
    origins: Tuple[str, ...]
    hosts: Hosts
    operator_key: bytes = b""

    @classmethod
    def parse(cls, expose: Optional[str], key: Any, cors: Optional[str], timeout: Optional[float],
              allowed_hosts: Optional[Iterable[str]] = None, any_address: bool = True, operator_key: Any = None) -> Options:
        """Validate and convert options.

        Raises:
            re.error: the regular expression is invalid.
            ValueError: an option has an invalid value.
            TypeError: an option has a value of a wrong type.
        """
        key_bytes = _key_bytes(key)
        if isinstance(allowed_hosts, str):
            allowed_hosts = allowed_hosts.split(",")
        listed = [host.strip() for host in [*config.GATEWAY_HOSTS, *(allowed_hosts or ())]]
        return cls(re.compile(expose or ""), key_bytes, _timeout(timeout), _origins(cors, bool(key_bytes)),
                   Hosts(filter(None, listed), any_address), _key_bytes(operator_key))

    def is_exposed(self, name: str) -> bool:
        """Return whether clients may use the object with this name."""
        # No registration has a longer name, so the operator's regular expression is not run on one.
        return len(name) <= NAME_CHARS and self.exposed.match(name) is not None

    def is_key(self, given: bytes) -> bool:
        """Return whether this is the key, in constant time."""
        return hmac.compare_digest(given, self.key)

    def is_operator_key(self, given: bytes) -> bool:
        """Return whether this is the operator's key, in constant time. False if there is none."""
        return bool(self.operator_key) and hmac.compare_digest(given, self.operator_key)

    def refusal(self, environ: Mapping[str, Any]) -> str:
        """Return why a request is refused because of the page that made it; an empty text if it is accepted."""
        # A browser would send the request even if the page may not read the response: so it is refused, not only hidden.
        origin = foreign_origin(environ)
        if origin is None or "*" in self.origins or origin in self.origins:
            return ""
        return ("403 Forbidden - this request was made by a page of another web site; if that may use the gateway, list it "
                "with --cors, or in pyro_app.cors")

    def cors_headers(self, origin: str) -> Headers:
        """Return the headers that allow the scripts of a listed web site to read a response."""
        if not self.origins:
            return ()
        # The header can contain only one origin, so it depends on the request; caches are told so by the header Vary.
        headers = (("Access-Control-Allow-Origin", origin if origin in self.origins else self.origins[0]),
                   ("Access-Control-Allow-Methods", METHODS),
                   ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
                   ("Access-Control-Expose-Headers", "X-Pyro-Correlation-Id"))
        return headers + ((("Vary", "Origin"),) if len(self.origins) > 1 else ())


def _key_bytes(key: Any) -> bytes:
    if key is None:
        return b""
    if isinstance(key, str):
        return key.encode("utf-8")
    if isinstance(key, (bytes, bytearray)):
        return bytes(key)
    raise TypeError("the gateway key is a string or bytes, not %s" % type(key).__name__)


def _timeout(seconds: Optional[float]) -> Optional[float]:
    seconds = config.COMMTIMEOUT if seconds is None else float(seconds)
    if seconds is not None and not seconds >= 0:  # this form is also true for NaN
        raise ValueError("a timeout is a number of seconds, 0 for any time, not %r" % seconds)
    return seconds or None  # 0 and None: no limit


def _origins(cors: Optional[str], has_key: bool) -> Tuple[str, ...]:
    """Return the listed origins; without a list, all of them if clients need a key, otherwise none."""
    if cors is None:
        return ("*",) if has_key else ()
    # Printable ASCII only: the value becomes a header, and must not contain a line break.
    if not re.match(r"[!-~]*\Z", cors):
        raise ValueError("no origin: %r" % cors)
    return tuple(filter(None, cors.split(",")))
