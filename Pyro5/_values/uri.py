"""URI: the address of a Pyro object, or the question for the name server that leads to one."""
from __future__ import annotations

import functools
import re
from typing import Any, NoReturn, Optional, Sequence, Set, Tuple, Union

from .. import config, errors
from . import classes, plain

__all__ = ["URI"]

WIRE_TAG = "Pyro5.core.URI"
PROTOCOLS = ("PYRO", "PYRONAME", "PYROMETA")

_UNIX_PREFIX = "./u:"
_EXAMPLES = {
    "PYRO": "PYRO:object@hostname:port, PYRO:object@[ipv6address]:port or PYRO:object@./u:socketname",
    "PYRONAME": "PYRONAME:name or PYRONAME:name@hostname:port",
    "PYROMETA": "PYROMETA:tag1,tag2 or PYROMETA:tag1,tag2@hostname:port",
}
REMEMBERED_LENGTH = 200  # characters; so that remembering takes little memory whatever comes

_BLANK = re.compile(r"\s")
_NOT_IN_HOST = re.compile(r"[\s/\[\]]")  # written out, some of these would be read as something else

_TEXT_OR_NONE = frozenset((str, type(None)))

State = Tuple[str, Union[str, Set[str]], Optional[str], Optional[str], Optional[int]]


class URI:
    """
    Where a Pyro object is: ``PYRO:object@location``; or how to find it: ``PYRONAME:name[@location]`` asks the name
    server for a name, ``PYROMETA:tag1,tag2[@location]`` for any object that is registered with all of these tags.

    The location is ``hostname:port``, ``[ipv6address]:port`` or ``./u:socketname`` (a Unix domain socket, without a colon
    in its name). That of a name server may lack the port, then it is the NS_PORT of the configuration. The protocol may be
    written in lower case. Blanks and line breaks around the whole text do not count: it may come from a file or a form.

    Attributes:
        protocol: PYRO, PYRONAME or PYROMETA.
        object: id or name of the object; for PYROMETA the set of tags.
        sockname: name of the Unix domain socket, or None.
        host: host name or address (IPv6 without brackets), or None.
        port: port number, or None.

    Args:
        uri: the text, or a URI to copy.

    Raises:
        PyroError: the text is not a URI; the message starts with "invalid" and says what is wrong.
    """

    __module__ = __name__.rsplit(".", 2)[0] + ".core"  # where it is documented, and imported from

    # how the parts of a uri are told apart, for programs that look for uris in texts
    uriRegEx = re.compile("(?P<protocol>%s):(?P<object>[^\\s@]+)(?:@(?P<location>.+))?$" % "|".join(PROTOCOLS), re.IGNORECASE)

    protocol: str
    object: Union[str, Set[str]]
    sockname: Optional[str]
    host: Optional[str]
    port: Optional[int]

    def __init__(self, uri: Union[str, URI]) -> None:
        if isinstance(uri, URI):
            self.__setstate__(uri.__getstate__())
        elif isinstance(uri, str):
            # a proxy is often made from the same text as the last one; the settings have no part in the parsing of these
            remembered = uri.startswith("PYRO:") and len(uri) <= REMEMBERED_LENGTH
            self.__setstate__(_parse_remembered(uri) if remembered else _parse(uri))
        else:
            raise TypeError("a URI is made from a str or another URI, not from %s" % type(uri).__name__)

    @staticmethod
    def isUnixsockLocation(location: str) -> bool:
        """Tell whether a location is that of a Unix domain socket."""
        return location.startswith(_UNIX_PREFIX)

    @property
    def location(self) -> Optional[str]:
        """The part behind the ``@``, such as ``hostname:port``; None if there is none."""
        if self.host:
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

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, URI):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        name = self.object if isinstance(self.object, str) else frozenset(self.object)
        return hash((self.protocol, name, self.sockname, self.host, self.port))

    def __copy__(self) -> URI:
        return type(self)(self)

    def __getstate__(self) -> State:
        name = self.object if isinstance(self.object, str) else set(self.object)
        return self.protocol, name, self.sockname, self.host, self.port

    def __setstate__(self, state: State) -> None:
        self.protocol, name, self.sockname, self.host, self.port = state
        self.object = name if isinstance(name, str) else set(name)


def _from_wire(state: Sequence[Any], convert: classes.Convert) -> URI:
    # nothing is used before its exact type is known: it came over the network
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
    # not every serializer knows sets
    is_name = type(name) is str or protocol == "PYROMETA" and plain.is_texts(name)
    return (is_name and type(sockname) in _TEXT_OR_NONE and type(host) in _TEXT_OR_NONE
            and (port is None or type(port) is int))


def _parse(text: str) -> State:
    protocol, colon, rest = text.strip().partition(":")
    protocol = protocol.upper()
    if not colon or protocol not in PROTOCOLS:
        _refuse(text, "it must start with one of PYRO: PYRONAME: PYROMETA:")
    name, at, location = rest.partition("@")
    if not name:
        _refuse(text, "nothing stands between '%s:' and the location" % protocol, protocol)
    if _BLANK.search(name):
        _refuse(text, "there is a blank in %r" % name, protocol)
    if at and not location:
        _refuse(text, "nothing follows the '@'", protocol)
    if not at and protocol == "PYRO":
        _refuse(text, "the location is missing", protocol)
    sockname, host, port = _parse_location(text, protocol, location) if at else (None, None, None)
    return protocol, _parse_tags(text, name) if protocol == "PYROMETA" else name, sockname, host, port


_parse_remembered = functools.lru_cache(maxsize=256)(_parse)


def _parse_tags(text: str, name: str) -> Set[str]:
    tags = set(name.split(","))
    if "" in tags:
        _refuse(text, "there is an empty tag in %r" % name, "PYROMETA")
    return tags


def _parse_location(text: str, protocol: str, location: str) -> Tuple[Optional[str], Optional[str], Optional[int]]:
    if location.startswith(_UNIX_PREFIX):
        sockname = location[len(_UNIX_PREFIX):]
        if not sockname:
            _refuse(text, "the name of the Unix domain socket is missing", protocol)
        if ":" in sockname:
            _refuse(text, "invalid location: there is a colon in the name of the Unix domain socket", protocol)
        return sockname, None, None
    host, port_text = _split_host(text, protocol, location)
    if not host or _NOT_IN_HOST.search(host):
        _refuse(text, "%r is no host name" % host, protocol)
    if port_text is None:
        if protocol == "PYRO":
            _refuse(text, "the port is missing behind %r" % location, protocol)
        return None, host, int(config.NS_PORT)
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and int(port_text) <= 65535):
        _refuse(text, "%r is no port number" % port_text, protocol)
    return None, host, int(port_text)


def _split_host(text: str, protocol: str, location: str) -> Tuple[str, Optional[str]]:
    if location.startswith("["):
        host, bracket, rest = location[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            _refuse(text, "%r is no [ipv6address]:port" % location, protocol)
        return host, rest[1:] if rest else None
    if location.count(":") > 1:
        _refuse(text, "%r is no hostname:port (an IPv6 address goes in brackets)" % location, protocol)
    host, colon, port_text = location.partition(":")
    return host, port_text if colon else None


def _refuse(text: str, problem: str, protocol: Optional[str] = None) -> NoReturn:
    expected = _EXAMPLES[protocol] if protocol else ", ".join(_EXAMPLES.values())
    raise errors.PyroError("invalid uri %r: %s; expected %s" % (text, problem, expected))


classes.register_own_class(URI, WIRE_TAG, URI.__getstate__, _from_wire)
