"""Checks of this machine: settings, host names, ports, the name server, broadcasts."""
from __future__ import annotations

import contextlib
import errno
import os
import platform
import socket
import time
from typing import Any, Callable, Iterator, List, Optional

from .. import __version__, config, errors, socketutil
from .._client import discovery
from .._client.call_options import earlier
from .._client.ns_places import nameserver_uris
from .._net import addresses, tls
from .._net.addresses import is_loopback, name_server_host, name_server_places, server_host
from .._values import plain
from .._values.uri import URI
from ..client import Proxy
from ..constants import PROTOCOL_VERSION
from .findings import NOTE, OK, WRONG, Finding, host_addresses, reason_of, step_seconds

PORT_SECONDS = 0.5  # time limit for a connection to this machine


def outside_address() -> Optional[str]:
    """Return the address of this machine in its network; None if there is no network."""
    try:
        # No packet is sent; the system only chooses the interface.
        return str(addresses.get_interface(addresses.OUTSIDE_ADDRESS).ip)
    except OSError:
        return None


# ---------------------------------------------------------------- settings

def check_settings() -> Iterator[Finding]:
    """Check the versions, and report unusual settings."""
    # First, because it is what a report of a problem needs in any case.
    yield Finding(OK, "Pyro %s, protocol %d, in %s; %s %s on %s" % (
        __version__, PROTOCOL_VERSION, os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        platform.python_implementation(), platform.python_version(), platform.system()))
    for line in config.changes().splitlines()[1:]:  # the first line is a heading
        yield Finding(NOTE, "setting " + line.strip())
    for problem in config.problems():
        yield Finding(WRONG, "setting " + problem, "correct it")
    if config.SSL:
        yield from _check_certificates()


def _check_certificates() -> Iterator[Finding]:
    sides = {"clients": tls.client_context}
    if config.SSL_SERVERCERT:
        sides["servers"] = tls.server_context  # clients can use TLS without it
    for side, load in sides.items():
        try:
            # Loaded as a server or client would, so that a wrong password or a key that does not fit is found as
            # well.
            load()
            yield Finding(OK, "TLS is on, and the certificate files for %s can be loaded" % side)
        except (OSError, ValueError) as x:
            yield Finding(WRONG, "TLS for %s: %s" % (side, reason_of(x)),
                          "correct the settings that begin with SSL_")


# ---------------------------------------------------------------- names and ports

def check_host_names() -> Iterator[Finding]:
    """Check the addresses of the relevant host names."""
    # The name of the machine is often missing in its hosts file. That matters only if a server uses it.
    names = [(socket.gethostname(), "this machine's own name", False),
             (server_host(), "where servers listen, the setting HOST", True),
             *((host, "where clients look for the name server, the setting NS_HOST", True)
               for host, _ in name_server_places(name_server_host()) if not host.startswith("./u:"))]
    for host, role, is_needed in names:
        if host:  # an empty name stands for all interfaces, and has no address
            yield _check_host_name(host, role, is_needed)
    outside = outside_address()
    # A machine without a network is a normal case, such as a laptop on a journey: a note, not an error.
    if outside is None:
        yield Finding(NOTE, "this machine has no way into a network: only its own programs can talk with each other")
        return
    yield Finding(OK, "the address of this machine in its network is %s" % outside)
    if is_loopback(server_host()):
        yield Finding(NOTE, "servers can be reached from this machine only, if they do not say otherwise",
                      "for clients elsewhere, let them listen on %s: by the setting HOST, or host= of Daemon" % outside)


def _check_host_name(host: str, role: str, is_needed: bool) -> Finding:
    text = "%s (%s)" % (host, role)
    try:
        found = host_addresses(host)
    except TimeoutError as x:
        # The name service does not answer: another remedy than for a name that does not exist.
        return Finding(WRONG, "%s: %s" % (text, x), "repair the name service of this machine, put the name into its hosts "
                       "file, or use ip addresses")
    except (OSError, ValueError) as x:
        return Finding(WRONG if is_needed else NOTE, "%s: %s" % (text, reason_of(x)),
                       "correct the setting" if is_needed else "use ip addresses for servers here")
    return Finding(OK, "%s is %s" % (text, ", ".join(found)))


def check_name_servers() -> Iterator[Finding]:
    """Check each name server in the setting NS_HOST, if that is a list."""
    hosts = name_server_host()
    places = name_server_places(hosts)
    if len(places) < 2:
        return
    answering = 0
    for host, port in places:
        where = host if port is None else addresses.address_text((host, port))
        try:
            with Proxy(nameserver_uris(where, None)[0], timeout=step_seconds()) as nameserver:
                nameserver.ping()
            answering += 1
            yield Finding(OK, "the name server on %s, in the setting NS_HOST, answers" % where)
        except errors.PyroError as x:
            yield Finding(NOTE, "the name server on %s, in the setting NS_HOST: %s" % (where, errors.one_line(str(x))),
                          "start it, or remove it from the setting; clients use the others")
    if not answering:
        yield Finding(WRONG, "none of the name servers in the setting NS_HOST answers: %s" % hosts,
                      "start one with: python -m Pyro5.nameserver")


def check_ports() -> Iterator[Finding]:
    """Check whether the ports of name servers are in use on this machine."""
    # A server may listen on one of these addresses only. Connecting is the only portable way to find out.
    own = [host for host in ("127.0.0.1", outside_address()) if host]
    # dict.fromkeys, because both may be the same address.
    listening = [host for host in dict.fromkeys(own) if _accepts_connections(host, config.NS_PORT)]
    yield Finding(OK, "TCP port %d, of name servers: %s" % (
        config.NS_PORT, "something listens on %s" % " and ".join(listening) if listening else "nothing listens here"))
    yield Finding(OK, "UDP port %d, of broadcasts: %s" % (
        config.NS_BCPORT, "something listens here" if _is_bound(config.NS_BCPORT) else "nothing listens here"))


def _accepts_connections(host: str, port: int) -> bool:
    # A connection attempt of the full time limit would make the report slow where a firewall drops packets.
    try:
        socket.create_connection((host, port), PORT_SECONDS).close()
        return True
    except OSError:
        return False


def _is_bound(udp_port: int) -> bool:
    # for datagrams there is nothing to connect to, but a second socket cannot be bound to the port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("", udp_port))
            return False
        except OSError as x:
            return x.errno == errno.EADDRINUSE


# ---------------------------------------------------------------- name server

def check_name_server(is_needed: bool) -> Iterator[Finding]:
    """Check whether a name server is found, and how. Failure is only a note if none is needed."""
    failures: List[str] = []
    try:
        nameserver, how = _locate(failures)
    except errors.NamingError:
        yield from (Finding(NOTE, "no name server: %s" % failure) for failure in failures)
        remedy = "start one with 'python -m Pyro5 ns', or say where it is: settings NS_HOST and NS_PORT"
        if any("AUTH_" in failure for failure in failures):
            remedy = "give this tool what the name server wants: --key-file FILE, or --user NAME"
        # Programs that use no names work without one.
        yield Finding(WRONG if is_needed else NOTE, "no name server is found", remedy)
        return
    with nameserver:
        started = time.monotonic()
        # The cheapest call whose answer shows that the whole way works.
        count = nameserver.count()
        # any program may listen there: the type is checked before the value is formatted
        if type(count) is not int:
            raise errors.ProtocolError("the name server did not send a number, but %s" % plain.text_of(count))
        yield Finding(OK, "name server %s, found %s: %d names, answers in %.1f ms" % (
            nameserver._pyroUri, how, count, 1000 * (time.monotonic() - started)))
        if is_loopback(str(nameserver._pyroUri.host)):
            yield Finding(NOTE, "this name server can be reached from its own machine only",
                          "for others, start it with -n and an address of its machine")


def _locate(failures: List[str]) -> Any:
    """Return a connected proxy for the name server, and a text that says how it was found; append failed attempts to the list.
    """
    def attempt(uri: URI, limit_seconds: Optional[float], how: str) -> Any:
        proxy = Proxy(uri)
        # Limited in any case: COMMTIMEOUT may be off.
        proxy._pyroTimeout = earlier(limit_seconds, step_seconds())
        try:
            proxy._pyroBind()
        except errors.PyroError as x:
            failures.append(str(x))  # shown only if no other attempt succeeds
            raise
        return proxy, how

    return discovery.locate(lambda uri, limit: attempt(uri, limit, "where the settings NS_HOST and NS_PORT say"),
                            lambda uri: attempt(uri, None, "by a broadcast"))


# ---------------------------------------------------------------- broadcasts

def check_broadcasts(ask: Callable[..., Iterator[URI]] = discovery.ask_by_broadcast) -> Iterator[Finding]:
    """Check whether broadcasts leave this machine, and which name servers answer them."""
    leaving: List[str] = []
    for address in config.BROADCAST_ADDRS:
        # Each address on its own: one may be blocked by a firewall and the other not.
        try:
            source = _route_of_broadcast(address)
        except OSError as x:
            yield Finding(NOTE, "broadcasts to %s cannot be sent: %s" % (address, reason_of(x)))
            continue
        if is_loopback(source):
            yield Finding(OK, "broadcasts to %s stay on this machine" % address)
        else:
            leaving.append(source)
            yield Finding(OK, "broadcasts to %s leave this machine by its address %s" % (address, source))
    if not leaving:
        yield Finding(NOTE, "no broadcast leaves this machine: name servers elsewhere are not found by themselves",
                      "say where the name server is, by the setting NS_HOST; or set BROADCAST_ADDRS to the broadcast address "
                      "of the network")
    # Filled while the answers are read.
    ignored: List[Any] = []
    answers = [str(uri) for uri in ask(config.BROADCAST_ADDRS, config.NS_BCPORT, ignored)]
    yield Finding(OK, "broadcasts are answered by %s" % ", ".join(answers) if answers else "no name server answers broadcasts")
    # Not shown: they come from any machine that answers. Only their number and sender are.
    if ignored:
        yield Finding(NOTE, "invalid answers to broadcasts: %d, the last one from %s" % (
            len(ignored), addresses.address_text(ignored[-1])), "find out what listens there")


def _route_of_broadcast(address: str) -> str:
    """Return the source address of a broadcast; nothing is sent. Raises OSError if it cannot be sent."""
    # connecting a datagram socket sends nothing, but makes the system choose the interface and its address
    with contextlib.closing(socketutil.create_bc_socket()) as sock:
        sock.connect((address, config.NS_BCPORT))
        return str(sock.getsockname()[0])
