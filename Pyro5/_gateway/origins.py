"""Checks of the Host header, and detection of requests made by pages of other web sites.

A browser sends requests to any address that a page names, including a gateway on localhost. Two checks prevent that page
from using the gateway. A page whose host name is re-bound to the address of the gateway (DNS rebinding) is of the same origin
for the browser, but the Host header contains that name, which is not listed. For any other page, the browser says in
Sec-Fetch-Site or Origin that the request comes from another site.
"""
from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, FrozenSet, Iterable, Mapping, Optional

__all__ = ["Hosts", "foreign_origin"]

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
    if origin is None or _is_at(origin, environ.get("HTTP_HOST", "")):
        return None
    return origin


def _is_at(origin: str, host: str) -> bool:
    """Return whether an origin is the server that a request was sent to, regardless of TLS in between."""
    match = _ORIGIN.fullmatch(origin)
    return match is not None and match[1].lower() == host.lower()
