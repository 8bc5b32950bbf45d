"""The validated options of a gateway, and their application to requests: names, key, web sites.

A browser sends requests to any address that a page names, including a gateway on localhost. Two checks prevent that page
from using the gateway. A page whose host name is re-bound to the address of the gateway (DNS rebinding) is of the same origin
for the browser, but the Host header contains that name, which is not listed. For any other page, the browser says in
Sec-Fetch-Site or Origin that the request comes from another site.
"""
from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, FrozenSet, Iterable, Mapping, Optional, Pattern, Tuple

from .. import NamedTuple, config
from .._naming.checks import NAME_CHARS
from .responses import Headers

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


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]+)")
UNKNOWN_ORIGIN = "null"     # sent by browsers to hide the origin


class Hosts:
    """The hosts accepted in the Host header: loopback names and addresses, and listed ones.

    Args:
        listed: names and addresses, ``*`` for all.
        any_address: accept every IP address, and the name of this machine: for a server that listens on all
            addresses, or on an unknown one. DNS rebinding cannot put an IP address into the header.

    Raises:
        ValueError: one of them is not a valid host.
    """

    def __init__(self, listed: Iterable[str] = (), any_address: bool = True) -> None:
        self._listed: FrozenSet[str] = frozenset(map(_listed_host, listed))
        self._any_address = any_address
        # Read once: it does not change, and the lookup may be slow.
        self._machine = socket.gethostname().lower()

    def allow(self, header: Optional[str]) -> bool:
        """Return whether a request with this Host header is accepted; browsers always send one."""
        # Only clients other than browsers send none.
        if header is None or "*" in self._listed:
            return True
        host = host_of(header)
        if host is None:
            return False
        if host == "localhost" or host.endswith(".localhost") or host in self._listed:
            return True
        # A name can be re-bound to the address of the gateway, an address cannot: so unlisted addresses may be accepted.
        address = _address(host)
        if address is None:
            return self._any_address and host in (self._machine, self._machine.partition(".")[0])
        return self._any_address or address.is_loopback


def host_of(header: str) -> Optional[str]:
    """Return the normalized host of a Host header, without the port; None if it is malformed."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    host = match[1].strip("[]").lower()
    address = _address(host)
    # A fully qualified name may end with a dot, and means the same.
    return str(address) if address is not None else host[:-1] if host.endswith(".") else host


def _listed_host(text: str) -> str:
    host = "*" if text == "*" else host_of("[%s]" % text if ":" in text and _address(text) is not None else text)
    if host is None:
        raise ValueError("no host: %r" % text)
    return host


def _address(host: str) -> Any:
    """Return the IP address in a host (IPv4-mapped ones as IPv4); None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # The same address in another form.
    return getattr(address, "ipv4_mapped", None) or address


def foreign_origin(environ: Mapping[str, Any]) -> Optional[str]:
    """Return the origin of a request made by a page of another web site; None for other requests.

    Browsers send Sec-Fetch-Site only to https urls and localhost, and do not send Origin with every GET. Without both,
    the Referer header is used, although a page can keep the browser from sending it.
    """
    # scripts cannot set these headers; "none" means that the user entered the url
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site in ("same-origin", "none"):
        return None
    if site is not None:
        return origin or UNKNOWN_ORIGIN
    if origin is None:
        match = _ORIGIN.match(environ.get("HTTP_REFERER") or "")
        origin = match[0] if match is not None else None
    if origin is None:
        return None
    # Compared without the scheme: there may be TLS in between.
    match = _ORIGIN.fullmatch(origin)
    return None if match is not None and match[1].lower() == environ.get("HTTP_HOST", "").lower() else origin
