"""
Network addresses: host names to socket addresses, the interfaces of this machine, texts for messages.

Host names are only ever resolved to addresses. Nothing here waits for a reverse lookup.
"""
from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
from typing import Any, List, Optional, Tuple, Union

from .. import config
from .tls import is_ssl_error

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
IPInterface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Address = Union[Tuple[Any, ...], str]  # (host, port), or the name of a Unix domain socket
Candidate = Tuple[int, Any]  # address family, address as the socket functions take it

# A documentation address (RFC 5737): routing a datagram socket to it shows the outgoing interface, and sends nothing.
OUTSIDE_ADDRESS = "192.0.2.1"


def address_text(address: Address) -> str:
    """Give the text under which messages name a socket address: ``host:port``, ``[ipv6]:port`` or the socket file."""
    if isinstance(address, str):
        return "unix socket " + address.replace("\0", "@", 1)
    host, port = str(address[0]), address[1]
    return "[%s]:%s" % (host, port) if ":" in host else "%s:%s" % (host, port)


def server_host() -> str:
    """Return the host that servers listen on, unless they are told another one: the setting HOST."""
    return "localhost" if config.HOST is None else str(config.HOST)


def name_server_host() -> str:
    """Return the host where clients look for the name server: the setting NS_HOST, or if that is None, HOST."""
    return server_host() if config.NS_HOST is None else str(config.NS_HOST)


def wanted_family(ipv6: Optional[bool]) -> int:
    """Give the address family for a caller's ``ipv6`` flag, None meaning the setting PREFER_IP_VERSION."""
    if ipv6 is None:
        return {4: socket.AF_INET, 6: socket.AF_INET6}.get(config.PREFER_IP_VERSION, socket.AF_UNSPEC)
    return socket.AF_INET6 if ipv6 else socket.AF_INET


def require_port(port: int) -> None:
    """Raise ValueError, or TypeError, unless this is the number of a port."""
    if not isinstance(port, int):
        raise TypeError("a port is a number from 0 to 65535, not %r" % (port,))
    if not 0 <= port <= 65535:
        raise ValueError("a port is a number from 0 to 65535, not %d" % port)


def resolve_host(address: Address, family: int, socktype: int, passive: bool = False) -> List[Candidate]:
    """
    Resolve an address to the socket families and addresses worth trying, best first; there is at least one.

    A host that is None or empty means all interfaces (``passive``), or this machine.

    Raises:
        socket.gaierror: the host name is not known (the text names it).
        ValueError: there is no such port.
    """
    if isinstance(address, str):
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix domain sockets, cannot use %s" % address_text(address))
        return [(socket.AF_UNIX, address)]
    host = "" if address[0] is None else str(address[0])
    if isinstance(address[1], int):
        require_port(address[1])  # getaddrinfo would cut it off
    if ":" in host:
        family = socket.AF_INET6       # a literal: there is no choice to make
    elif family != socket.AF_INET6 and isinstance(address[1], int) and _is_ipv4(host):
        return [(socket.AF_INET, (host, address[1]))]  # asking the system costs as much as a small call
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
    """Ask for the one name that stays what it is just once: the system reads a file or two each time."""
    return _ask_system("localhost", 0, family, socket.SOCK_STREAM, passive=False)


def _ask_system(host: str, port: Any, family: int, socktype: int, passive: bool) -> List[Candidate]:
    # text would go through the codec for international names, which has to be loaded first
    name: Any = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(name or None, port, family, socktype, 0, socket.AI_PASSIVE if passive else 0)
    unique = dict.fromkeys((entry[0], entry[4]) for entry in found)
    return list(unique)


def _is_ipv4(host: str) -> bool:
    if not host[-1:].isdigit():
        return False
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


def explained(error: OSError, text: str) -> OSError:
    """Make an error of the same kind as the given one (class and errno) that says more."""
    if isinstance(error, socket.timeout) and error.errno is None:
        return socket.timeout("%s: timeout" % text)
    if type(error) is OSError and error.errno is None:  # such as "AF_UNIX path too long"
        return OSError("%s: %s" % (text, error))
    if isinstance(error, socket.gaierror) or error.errno is None or is_ssl_error(error):
        return error
    return OSError(error.errno, "%s: %s" % (text, error.strerror or error))


def get_ip_address(hostname: str, workaround127: bool = False, version: Optional[int] = None) -> IPAddress:
    """
    Give the ip address of a host.

    Args:
        hostname: name or literal address; an empty one means this machine.
        workaround127: when the answer is a loopback address, look for one that other machines can use (IPv4 only).
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
    """
    Give the network interface of this machine through which the given address is reached. Nothing is sent.

    Raises:
        OSError: there is no route to the address, or it is a host name that is not known.
    """
    family, address = resolve_host((str(ip_address), 9), socket.AF_UNSPEC, socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError as x:
            raise explained(x, "no network interface reaches %s" % ip_address) from x
        return ipaddress.ip_interface(plain_ip(sock.getsockname()[0]))


def plain_ip(text: str) -> IPAddress:
    """
    Make an address object, without the zone of a link-local address (which Python 3.8 cannot express).

    Raises:
        ValueError: the text is no ip address.
    """
    return ipaddress.ip_address(text.partition("%")[0])


def is_ip_address(host: str) -> bool:
    """Tell whether a host is given by its address, so that there is nothing to look up."""
    try:
        plain_ip(host)
        return True
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether an ip address, or ``localhost``, leads back to the machine itself; other names are not looked up."""
    if host == "localhost" or host.startswith("127."):
        return True
    return is_ip_address(host) and plain_ip(host).is_loopback
