"""Where name servers are: the locations in a URI or in a list of hosts.

Servers that could not be reached are remembered for some seconds, so that others are tried first.
"""
from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional, Tuple, TypeVar

from .. import config, socketutil
from .._net import addresses
from .._values.uri import URI
from ..constants import NAMESERVER_NAME

__all__ = ["FAILOVER_SECONDS", "alternatives", "is_list", "nameserver_uris", "note_location", "note_nameserver",
           "other_nameservers", "place_of", "reachable_first"]

T = TypeVar("T")

FAILOVER_SECONDS = 3.0  # time limit for connecting to one of several name servers
UNREACHABLE_SECONDS = 5.0  # how long others are preferred to one that could not be reached
MAX_UNREACHABLE = 1000

# Locations where no server answered -> monotonic time until which others are tried first. Without a lock: at worst one is
# tried too early, or too late.
_unreachable: Dict[str, float] = {}


def nameserver_uris(hosts: str, port: Optional[int]) -> List[URI]:
    """Return the URIs of the name servers on a host, or on a list of hosts: those first that could be reached a moment ago.

    Args:
        port: for hosts without a port; None is the setting NS_PORT.

    Raises:
        ValueError: a port is not valid.
    """
    uris = [_nameserver_uri(*place) for place in addresses.name_server_places(hosts, port)]
    return reachable_first(uris, _location_of)


def other_nameservers(hosts: str, port: Optional[int], asked: URI) -> List[URI]:
    """Return the name servers of a list of hosts besides one of them, apart from those that could not be reached a moment ago.

    Args:
        hosts, port: as for `nameserver_uris`; no host means the setting NS_HOST.
    """
    return [uri for uri in alternatives(hosts, port, asked) if is_reachable(_location_of(uri))]


def alternatives(hosts: str, port: Optional[int], lost: URI) -> List[URI]:
    """Return the name servers to connect to instead of one that was lost: the others of a list of hosts, those last that could
    not be reached a moment ago.

    Args:
        hosts, port: as for `nameserver_uris`; no host means the setting NS_HOST.
    """
    uris = nameserver_uris(hosts, port) if hosts else nameserver_uris(addresses.name_server_host(), None)
    return [uri for uri in uris if len(uris) > 1 and uri != lost]


def is_list(hosts: str) -> bool:
    """Return whether this means several name servers; no host means the setting NS_HOST."""
    return len(addresses.name_server_places(hosts or addresses.name_server_host())) > 1


def note_nameserver(uri: URI) -> None:
    """Try other name servers before this one for some seconds."""
    note_location(_location_of(uri))


def place_of(uri: URI) -> Tuple[str, Optional[int]]:
    """Return the hosts and the port of the name server of a PYRONAME or PYROMETA URI."""
    is_text = uri.sockname or uri.host is not None and "," in uri.host
    return (uri.location or "", None) if is_text else (uri.host or "", uri.port)


def _location_of(nameserver: URI) -> str:
    # Not the location alone: at this address, there may be other objects.
    return "name server " + str(nameserver.location)


def _nameserver_uri(host: str, port: Optional[int]) -> URI:
    if URI.isUnixsockLocation(host):
        location = host
    else:
        location = socketutil.address_text((host, port or config.NS_PORT))
    return URI("PYRO:%s@%s" % (NAMESERVER_NAME, location))


def note_location(location: str) -> None:
    """Prefer other servers to the one at this location for some seconds."""
    if len(_unreachable) >= MAX_UNREACHABLE:
        _unreachable.clear()
    _unreachable[location] = time.monotonic() + UNREACHABLE_SECONDS


def is_reachable(location: str) -> bool:
    """Return whether nothing is known against the server at this location."""
    return _unreachable.get(location, 0) <= time.monotonic()


def reachable_first(servers: List[T], location: Callable[[T], str]) -> List[T]:
    """Return the servers in their order, those that could not be reached a moment ago last."""
    return sorted(servers, key=lambda each: not is_reachable(location(each)))
