"""Which hosts a gateway answers for, and which requests were made by the page of another web site.

A browser sends requests to any address that a page names, a gateway on localhost included. Two things keep such a page
from using the gateway. A page whose own name is re-bound to the address of the gateway (DNS rebinding) is of the same origin
for the browser, but the header Host has that name, which is not one of the listed ones. For any other page the browser says in
Sec-Fetch-Site or Origin that the request is from another site.
"""
from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, FrozenSet, Iterable, Mapping, Optional

__all__ = ["Hosts", "foreign_origin"]

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]+)")
UNKNOWN_ORIGIN = "null"     # what browsers call a site that they do not tell


class Hosts:
    """
    The hosts that a gateway answers for: loopback names and addresses, and those that are listed.

    Args:
        listed: names and addresses, ``*`` for all.
        any_address: answer for every IP address, and for the name of this machine: for a server that listens on all
            addresses, or one that is not known. A page that re-binds its name cannot have an address in its place.

    Raises:
        ValueError: one of them cannot be a host.
    """

    def __init__(self, listed: Iterable[str] = (), any_address: bool = True) -> None:
        self._listed: FrozenSet[str] = frozenset(map(_listed_host, listed))
        self._any_address = any_address
        self._machine = socket.gethostname().lower()

    def allow(self, header: Optional[str]) -> bool:
        """Return whether a request with this header Host is answered; one without is none of a browser."""
        if header is None or "*" in self._listed:
            return True
        host = host_of(header)
        if host is None:
            return False
        if host == "localhost" or host.endswith(".localhost") or host in self._listed:
            return True
        address = _address(host)
        if address is None:
            return self._any_address and host in (self._machine, self._machine.partition(".")[0])
        return self._any_address or address.is_loopback


def host_of(header: str) -> Optional[str]:
    """Return the host in a header Host in a normal form, without the port; None if it is malformed."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    host = match[1].strip("[]").lower()
    address = _address(host)
    return str(address) if address is not None else host[:-1] if host.endswith(".") else host


def _listed_host(text: str) -> str:
    host = "*" if text == "*" else host_of("[%s]" % text if ":" in text and _address(text) is not None else text)
    if host is None:
        raise ValueError("no host: %r" % text)
    return host


def _address(host: str) -> Any:
    """Return the IP address that a host is, an IPv4 one in IPv6 as such; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def foreign_origin(environ: Mapping[str, Any]) -> Optional[str]:
    """Return the origin of the page of another web site that made a request; None if none did.

    Browsers send Sec-Fetch-Site to https urls and to localhost only, and Origin not with every GET. Where neither is there,
    the header Referer is looked at; a page can keep the browser from sending that.
    """
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
    """Return whether an origin is the server that a request was sent to, whatever encrypts the connection in between."""
    match = _ORIGIN.fullmatch(origin)
    return match is not None and match[1].lower() == host.lower()
