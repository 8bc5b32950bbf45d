"""URIs: the location of a Pyro object, or the name or tags to look it up in a name server."""
from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Sequence, Set, Tuple, Union

from .. import config, errors
from . import classes, plain

if TYPE_CHECKING:
    State = Tuple[str, Union[str, Set[str]], Optional[str], Optional[str], Optional[int]]

WIRE_TAG = "Pyro5.core.URI"
PROTOCOLS = ("PYRO", "PYRONAME", "PYROMETA")

_UNIX_PREFIX = "./u:"
_EXAMPLES = {
    "PYRO": "PYRO:object@hostname:port, PYRO:object@[ipv6address]:port or PYRO:object@./u:socketname",
    "PYRONAME": "PYRONAME:name or PYRONAME:name@hostname:port",
    "PYROMETA": "PYROMETA:tag1,tag2 or PYROMETA:tag1,tag2@hostname:port",
}
CACHED_LENGTH = 200  # in characters; longer URIs are not cached, so that the cache stays small

_NOT_IN_HOST = frozenset("/[]")  # with one of these in the host, str(uri) would be parsed as another URI

_TEXT_OR_NONE = frozenset((str, type(None)))


class _UriRegEx:
    """The attribute uriRegEx, for programs that search texts for URIs. It is compiled when it is used."""

    def __get__(self, uri: Any, owner: Any) -> Any:
        return re.compile("(?P<protocol>%s):(?P<object>[^\\s@]+)(?:@(?P<location>.+))?$" % "|".join(PROTOCOLS), re.IGNORECASE)


class URI:
    """The location of a Pyro object, ``PYRO:object@location``, or how to look it up: ``PYRONAME:name[@location]`` refers to
    the object that is registered with this name, ``PYROMETA:tag1,tag2[@location]`` to any object that is registered with all
    of these tags. The location in the latter two is that of the name server.

    The location is ``hostname:port``, ``[ipv6address]:port`` or ``./u:socketname`` (a Unix domain socket, whose name must not
    contain a colon). The location of a name server may omit the port; the default is the setting NS_PORT. It can be a list,
    ``ns1,ns2:9090``, of which the first name server that answers is asked. The protocol may be
    written in lower case. White space around the whole text is ignored, because it may come from a file or a form.

    Attributes:
        protocol: PYRO, PYRONAME or PYROMETA.
        object: the id or name of the object; for PYROMETA the set of tags.
        sockname: the name of the Unix domain socket, or None.
        host: the host name or address (IPv6 without brackets), or None. Of a list, all but the last port.
        port: the port number, or None.

    Args:
        uri: the text, or a URI to copy.

    Raises:
        PyroError: the text is not a valid URI; the message starts with "invalid" and contains the reason.
        TypeError: the argument is neither a str nor a URI.
    """

    __module__ = __name__.rsplit(".", 2)[0] + ".core"  # the documented module, where programs import it from

    uriRegEx = _UriRegEx()

    protocol: str
    object: Union[str, Set[str]]
    sockname: Optional[str]
    host: Optional[str]
    port: Optional[int]

    def __init__(self, uri: Union[str, URI]) -> None:
        if isinstance(uri, URI):
            # A copy by the state, so that the set of tags is not shared.
            self.__setstate__(uri.__getstate__())
        elif isinstance(uri, str):
            # Many programs create proxies for the same few URIs. Only the result for PYRO URIs does not depend on settings.
            cached = uri.startswith("PYRO:") and len(uri) <= CACHED_LENGTH
            self.__setstate__(_parse_cached(uri) if cached else _parse(uri))
        else:
            raise TypeError("expected a str or a URI, not %s" % type(uri).__name__)

    @staticmethod
    def isUnixsockLocation(location: str) -> bool:
        """Return whether a location is that of a Unix domain socket."""
        return location.startswith(_UNIX_PREFIX)

    @property
    def location(self) -> Optional[str]:
        """The part after the ``@``, such as ``hostname:port``; None if there is none."""
        if self.host:
            if "," in self.host:  # name servers; the port is that of the last one
                return "%s:%s" % (self.host, self.port)
            return ("[%s]:%s" if ":" in self.host else "%s:%s") % (self.host, self.port)
        if self.sockname:
            return _UNIX_PREFIX + self.sockname
        return None

    def __str__(self) -> str:
        name = self.object if isinstance(self.object, str) else ",".join(sorted(self.object))
        location = self.location
        return "%s:%s%s" % (self.protocol, name, "@" + location if location else "")

    def __repr__(self) -> str:
        return "<%s at 0x%x; %s>" % (WIRE_TAG, id(self), self)

    # Mutable, so a set or dict of URIs breaks if one is changed. 5.x has the same attributes, and programs rely on both.
    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, URI):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        name = self.object if isinstance(self.object, str) else frozenset(self.object)
        return hash((self.protocol, name, self.sockname, self.host, self.port))

    def __copy__(self) -> URI:
        return type(self)(self)

    # A copy of the set of tags in both directions, so that two URIs never share a mutable attribute.
    def __getstate__(self) -> State:
        name = self.object if isinstance(self.object, str) else set(self.object)
        return self.protocol, name, self.sockname, self.host, self.port

    def __setstate__(self, state: State) -> None:
        self.protocol, name, self.sockname, self.host, self.port = state
        self.object = name if isinstance(name, str) else set(name)


def _from_wire(state: Sequence[Any], convert: classes.Convert) -> URI:
    # untrusted: check the exact types first, so that no code of the values' own classes runs
    if not _is_state(state):
        raise ValueError("invalid URI state: %s" % plain.text_of(state))
    protocol, name, sockname, host, port = state
    uri = URI.__new__(URI)
    uri.__setstate__((protocol, name, sockname, host, port))
    return uri


def _is_state(state: Sequence[Any]) -> bool:
    if len(state) != 5 or type(state[0]) is not str or state[0] not in PROTOCOLS:
        return False
    protocol, name, sockname, host, port = state
    # the tags may be a list, because some serializers have no sets
    is_name = type(name) is str or protocol == "PYROMETA" and plain.is_texts(name)
    return (is_name and type(sockname) in _TEXT_OR_NONE and type(host) in _TEXT_OR_NONE
            and (port is None or type(port) is int) and _is_from_text(protocol, name, sockname, host, port))


def _is_from_text(protocol: str, name: Any, sockname: Optional[str], host: Optional[str], port: Optional[int]) -> bool:
    """Return whether there is a text that gives this state: so nothing is in it that a URI cannot have."""
    uri = URI.__new__(URI)
    uri.__setstate__((protocol, name, sockname, host, port))
    text = str(uri)
    try:
        return (_parse_cached if len(text) <= CACHED_LENGTH else _parse)(text) == uri.__getstate__()
    except errors.PyroError:
        return False


def _parse(text: str) -> State:
    protocol, colon, rest = text.strip().partition(":")
    protocol = protocol.upper()
    if not colon or protocol not in PROTOCOLS:
        _refuse(text, "it must start with one of PYRO: PYRONAME: PYROMETA:")
    name, at, location = rest.partition("@")
    if not name:
        _refuse(text, "the object is missing after '%s:'" % protocol, protocol)
    if name.split() != [name]:
        _refuse(text, "%r contains white space" % name, protocol)
    if at and not location:
        _refuse(text, "the location is missing after '@'", protocol)
    if not at and protocol == "PYRO":
        _refuse(text, "the location is missing", protocol)
    sockname, host, port = _parse_location(text, protocol, location) if at else (None, None, None)
    return protocol, _parse_tags(text, name) if protocol == "PYROMETA" else name, sockname, host, port


_parse_cached = functools.lru_cache(maxsize=256)(_parse)  # thread-safe


def _parse_tags(text: str, name: str) -> Set[str]:
    tags = set(name.split(","))
    if "" in tags:
        _refuse(text, "%r contains an empty tag" % name, "PYROMETA")
    return tags


def _parse_location(text: str, protocol: str, location: str) -> Tuple[Optional[str], Optional[str], Optional[int]]:
    if location.startswith(_UNIX_PREFIX):
        sockname = location[len(_UNIX_PREFIX):]
        if not sockname:
            _refuse(text, "the name of the Unix domain socket is missing", protocol)
        if ":" in sockname:
            _refuse(text, "invalid location: the name of the Unix domain socket contains a colon", protocol)
        return sockname, None, None
    others, comma, last = location.rpartition(",")
    if comma and protocol != "PYRO":
        for other in others.split(","):
            if not other.startswith(_UNIX_PREFIX):
                _parse_location(text, protocol, other)
        _, host, port = _parse_location(text, protocol, last)
        return None, "%s,%s" % (others, "[%s]" % host if host and ":" in host else host), port
    # A location without port is valid only for a name server. The port is then a setting, so the result must not be cached.
    host, port_text = _split_host(text, protocol, location)
    if host.split() != [host] or not _NOT_IN_HOST.isdisjoint(host):
        _refuse(text, "%r is not a host name" % host, protocol)
    if port_text is None:
        if protocol == "PYRO":
            _refuse(text, "the port is missing after %r" % location, protocol)
        return None, host, int(config.NS_PORT)
    # isdigit() alone would accept digits of other scripts, and int() numbers of any length
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and int(port_text) <= 65535):
        _refuse(text, "%r is not a port number" % port_text, protocol)
    return None, host, int(port_text)


def _split_host(text: str, protocol: str, location: str) -> Tuple[str, Optional[str]]:
    if location.startswith("["):
        host, bracket, rest = location[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            _refuse(text, "%r is not [ipv6address]:port" % location, protocol)
        return host, rest[1:] if rest else None
    # without brackets it is not clear which colon separates the port of an IPv6 address
    if location.count(":") > 1:
        _refuse(text, "%r is not hostname:port (put an IPv6 address in brackets)" % location, protocol)
    host, colon, port_text = location.partition(":")
    return host, port_text if colon else None


def _refuse(text: str, problem: str, protocol: Optional[str] = None) -> NoReturn:
    expected = _EXAMPLES[protocol] if protocol else ", ".join(_EXAMPLES.values())
    raise errors.PyroError("invalid uri %r: %s; expected %s" % (text, problem, expected))


classes.register_own_class(URI, WIRE_TAG, URI.__getstate__, _from_wire)
