"""Network addresses: resolving host names to socket addresses, the interfaces of this machine, texts for messages.

Host names are only resolved to addresses. No function here does a reverse lookup.
"""
from __future__ import annotations

import contextlib
import functools
import socket
from typing import TYPE_CHECKING, Any, List, Optional, Tuple, Union

from .. import LazyModule, config
from .tls import is_ssl_error

if TYPE_CHECKING:
    import ipaddress

    IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
    IPInterface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
    Host = Union[str, IPAddress]
    Address = Union[Tuple[Any, ...], str]  # (host, port), or the name of a Unix domain socket
    Candidate = Tuple[int, Any]  # address family, address for the socket functions
else:
    ipaddress = LazyModule(globals(), "ipaddress")
    IPAddress = IPInterface = Host = Address = Candidate = Any

# A documentation address (RFC 5737): connecting a datagram socket to it reveals the outgoing interface, and sends nothing.
OUTSIDE_ADDRESS = "192.0.2.1"
# Of the host of objects whose clients offer connections to them: a name that no name service resolves (RFC 2606).
OFFERED_SUFFIX = ".callback.invalid"
_UNIX_PREFIX = "./u:"


def address_text(address: Address) -> str:
    """Return the text of a socket address for messages: ``host:port``, ``[ipv6]:port`` or the socket file."""
    # The name of an abstract Unix socket begins with a zero byte, which terminals do not show.
    if isinstance(address, str):
        return "unix socket " + address.replace("\0", "@", 1)
    host, port = str(address[0]), address[1]
    return "[%s]:%s" % (host, port) if ":" in host else "%s:%s" % (host, port)


def is_offered(host: Optional[str]) -> bool:
    """Return whether objects at this host are reached over connections that their process offers, see `offered_sockets`."""
    return host is not None and host.endswith(OFFERED_SUFFIX)


def server_host() -> str:
    """Return the default host that servers listen on: the setting HOST."""
    return "localhost" if config.HOST is None else str(config.HOST)


def name_server_host() -> str:
    """Return the host where clients look for the name server: the setting NS_HOST, or if that is None, HOST."""
    return server_host() if config.NS_HOST is None else str(config.NS_HOST)


def name_server_places(hosts: str, port: Optional[int] = None) -> List[Tuple[str, Optional[int]]]:
    """Return host and port of each name server in a list such as ``ns1,ns2:9090,[::1]:9091,./u:socketname``.

    Args:
        hosts: host names, IP addresses or Unix domain sockets, separated by commas; or a single socket with any name.
        port: for those without a port; None is the setting NS_PORT.

    Raises:
        ValueError: the port of a host is not a number.
    """
    if hosts.startswith(_UNIX_PREFIX):
        return [(hosts, None)]
    return [_place(text.strip(), port) for text in hosts.split(",") if text.strip()] or [(hosts, port)]


def _place(text: str, port: Optional[int]) -> Tuple[str, Optional[int]]:
    if text.startswith(_UNIX_PREFIX):
        return text, None
    host, separator, port_text = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        separator, port_text = rest[:1], rest[1:]
    elif text.count(":") == 1:  # with more of them it is an IPv6 address without brackets
        host, separator, port_text = text.partition(":")
    if not separator:
        return host, port
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and int(port_text) <= 65535):
        raise ValueError("%r is not hostname:port" % text)
    return host, int(port_text)


def wanted_family(ipv6: Optional[bool]) -> int:
    """Return the address family for an ``ipv6`` argument; None means the setting PREFER_IP_VERSION."""
    if ipv6 is None:
        return {4: socket.AF_INET, 6: socket.AF_INET6}.get(config.PREFER_IP_VERSION, socket.AF_UNSPEC)
    return socket.AF_INET6 if ipv6 else socket.AF_INET


def require_port(port: int) -> None:
    """Raise TypeError or ValueError unless this is a valid port number."""
    if not isinstance(port, int):
        raise TypeError("a port is a number from 0 to 65535, not %r" % (port,))
    if not 0 <= port <= 65535:
        raise ValueError("a port is a number from 0 to 65535, not %d" % port)


def resolve_host(address: Address, family: int, socktype: int, passive: bool = False) -> List[Candidate]:
    """Resolve an address to the socket families and addresses worth trying, best first; returns at least one.

    An empty host or None means all interfaces (``passive``), or this machine.

    Raises:
        socket.gaierror: the host name is unknown (the text names it).
        ValueError: the port is out of range.
    """
    if isinstance(address, str):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix domain sockets, cannot use %s" % address_text(address))
        return [(socket.AF_UNIX, address)]
    host = "" if address[0] is None else str(address[0])
    if isinstance(address[1], int):
        require_port(address[1])  # getaddrinfo would truncate it
    if ":" in host:
        family = socket.AF_INET6       # an IPv6 literal: no other family is possible
    elif family != socket.AF_INET6 and isinstance(address[1], int) and _is_ipv4(host):
        return [(socket.AF_INET, (host, address[1]))]  # getaddrinfo takes as long as a small call
    try:
        if host == "localhost" and isinstance(address[1], int):
            return [(found, (ip, address[1], *rest)) for found, (ip, _, *rest) in _resolve_localhost(family)]
        return _ask_system(host, address[1], family, socktype, passive)
    except socket.gaierror as x:
        raise socket.gaierror(x.errno, "host not found: '%s' (%s); check the host name, or use an ip address"
                              % (host, x.strerror)) from x
    except UnicodeError as x:
        raise socket.gaierror(socket.EAI_NONAME, "host name is not valid: '%s'" % host) from x


@functools.lru_cache(maxsize=None)
def _resolve_localhost(family: int) -> List[Candidate]:
    """Resolve localhost only once, because its addresses do not change: the system reads files for each lookup."""
    return _ask_system("localhost", 0, family, socket.SOCK_STREAM, passive=False)


def _ask_system(host: str, port: Any, family: int, socktype: int, passive: bool) -> List[Candidate]:
    # a str would be encoded with the idna codec, which has to be imported first
    name: Any = host.encode("ascii") if host.isascii() else host
    # An address may be listed once for each protocol; the order is that of the system, best first.
    found = socket.getaddrinfo(name or None, port, family, socktype, 0, socket.AI_PASSIVE if passive else 0)
    # A dict keeps the order, which a set would lose.
    unique = dict.fromkeys((entry[0], entry[4]) for entry in found)
    return list(unique)


def _is_ipv4(host: str) -> bool:
    if not host[-1:].isdigit():  # most host names: saves the exception
        return False
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


def explained(error: OSError, text: str) -> OSError:
    """Build an error of the same class and errno as the given one with a more detailed text."""
    # socket.timeout, gaierror and SSLError have other arguments than an OSError, and cannot be rebuilt in the same way.
    if isinstance(error, socket.timeout) and error.errno is None:
        return socket.timeout("%s: timeout" % text)
    if type(error) is OSError and error.errno is None:  # for example "AF_UNIX path too long"
        return OSError("%s: %s" % (text, error))
    if isinstance(error, socket.gaierror) or error.errno is None or is_ssl_error(error):
        return error
    return OSError(error.errno, "%s: %s" % (text, error.strerror or error))


def get_ip_address(hostname: str, workaround127: bool = False, version: Optional[int] = None) -> IPAddress:
    """Return the ip address of a host.

    Args:
        hostname: name or literal address; an empty one means this machine.
        workaround127: if the result is a loopback address, look for one that other machines can use (IPv4 only).
        version: 4, 6, 0 (the system chooses) or None (the setting PREFER_IP_VERSION).

    Raises:
        socket.gaierror: the host has no address of that version.
    """
    if version is None:
        version = config.PREFER_IP_VERSION or 0
    families = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
    if version not in families:
        raise ValueError("ip version must be 4, 6, 0 or None, not %r" % version)
    candidates = resolve_host((hostname or socket.gethostname(), 0), families[version], socket.SOCK_STREAM)
    address = plain_ip(candidates[0][1][0])
    if workaround127 and address.is_loopback and version != 6:
        with contextlib.suppress(OSError):
            return get_interface(OUTSIDE_ADDRESS).ip
    return address


def get_interface(ip_address: Union[str, IPAddress]) -> IPInterface:
    """Return the network interface of this machine through which the given address is reached. Nothing is sent.

    Raises:
        OSError: there is no route to the address, or it is an unknown host name.
    """
    # The port is not used, since nothing is sent; but connect() needs one.
    family, address = resolve_host((str(ip_address), 9), socket.AF_UNSPEC, socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError as x:
            raise explained(x, "no network interface reaches %s" % ip_address) from x
        return ipaddress.ip_interface(plain_ip(sock.getsockname()[0]))


def plain_ip(text: str) -> IPAddress:
    """Return an address object, without the zone of a link-local address (which Python 3.8 does not support).

    Raises:
        ValueError: the text is not an ip address.
    """
    return ipaddress.ip_address(text.partition("%")[0])


def is_ip_address(host: str) -> bool:
    """Return whether a host is an ip address, so that no lookup is needed."""
    try:
        plain_ip(host)
        return True
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether an ip address or ``localhost`` is a loopback address; other names are not looked up."""
    # names are not looked up, because this decides where to search first and must not take long
    if host == "localhost" or host.startswith("127."):
        return True
    return is_ip_address(host) and plain_ip(host).is_loopback
