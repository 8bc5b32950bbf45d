"""Where name servers are: the locations in a URI or in a list of hosts; and a plain connection to one, for lookups.

Servers that could not be reached are remembered for some seconds, so that others are tried first.
"""
from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, TypeVar

from .. import config, errors, serializers, socketutil
from .._messages.requests import WireOptions
from .._net import addresses
from .._values import plain
from .._values.uri import URI
from ..constants import NAMESERVER_NAME
from .call_options import RANDOM, earlier
from .connecting import first_values, open_connection
from .connection import Connection

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
    location = host if URI.isUnixsockLocation(host) else socketutil.address_text((host, port or config.NS_PORT))
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


class NameServerConnection:
    """A connection to a name server.

    Args:
        limit_seconds: time limit for connecting and for the handshake.
        reply_seconds: time limit for each of these, and for each reply.  The setting COMMTIMEOUT applies to all in any case.
    """

    def __init__(self, uri: URI, limit_seconds: Optional[float] = None, reply_seconds: Optional[float] = None) -> None:
        self.uri = uri
        timeout = earlier(reply_seconds, socketutil.effective_timeout(-1))
        self._serializer = serializers.get_serializer(config.SERIALIZER)
        self._wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        self._seq = 0
        # the shorter limit is for the handshake, by which a name server proves to be one; then the usual timeout applies
        self._connection: Connection = open_connection(uri, earlier(limit_seconds, timeout), self._wire.max_size)
        try:
            _, metadata = self._connection.handshake(self._serializer, 0, NAMESERVER_NAME, first_values.handshake, self._wire)
            methods: Any = metadata.get("methods") if type(metadata) is dict else None
            self._has_members = plain.is_texts(methods) and "candidates" in methods
            self._connection.timeout = timeout
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, *args: Any) -> Any:
        self._seq += 1
        return self._connection.call(self._serializer, self._seq, NAMESERVER_NAME, method, args, self._wire)

    def lookup(self, name: str) -> URI:
        return direct_uri(self.ask("lookup", name), "name '%s'" % name)

    def candidates(self, name: str, pick: str) -> List[URI]:
        """Return the URIs of all members of a name; of a name server of another release, the only one."""
        if not self._has_members:
            return [self.lookup(name)]
        found = self.ask("candidates", name, *([] if pick == RANDOM else [pick]))
        if not plain.is_texts(found) or not found:
            raise errors.ProtocolError("the name server's answer for the name '%s' is not a list of URIs: %s" % (
                name, plain.text_of(found)))
        return [direct_uri(each, "name '%s'" % name) for each in found]

    def yplookup(self, meta_all: Optional[Set[str]], meta_any: Optional[Set[str]]) -> Dict[str, str]:
        # Only names and URIs are needed: with metadata, the answer of a large name server would be many times longer.
        found: Dict[str, str] = self.ask("yplookup", meta_all, meta_any, False)
        # untrusted: check the exact types first, so that no code of the values' own classes runs
        if type(found) is not dict or not plain.is_texts([*found, *found.values()]):
            raise errors.ProtocolError("the name server's answer is not a dict of names and URIs: %s" % plain.text_of(found))
        if not found:
            raise errors.NamingError("no object is registered with %s of the tags %s" % (
                "all" if meta_all else "any", ", ".join(sorted(meta_all or meta_any or ()))))
        return found


def direct_uri(answer: Any, subject: str) -> URI:
    if type(answer) is not str and type(answer) is not URI:
        raise errors.ProtocolError("the name server's answer for the %s is not a URI: %s" % (subject, plain.text_of(answer)))
    uri = URI(answer)
    if uri.protocol != "PYRO":
        raise errors.NamingError("the name server has no PYRO URI for the %s, but %s" % (subject, uri))
    return uri
