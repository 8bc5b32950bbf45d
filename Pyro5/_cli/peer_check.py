"""Checks of a remote object: from its name to a call, step by step, until a step fails."""
from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Dict, Iterator, List

from .. import config, errors, serializers
from .._client import discovery
from .._client.connecting import first_values, open_connection
from .._client.connection import Connection
from .._messages import handshake
from .._messages.requests import WireOptions
from .._net import addresses
from .._net.addresses import is_loopback
from .._values import plain
from .._values.uri import URI
from ..constants import DAEMON_NAME, PROTOCOL_VERSION
from ..protocol import PREFIX, PREFIX_SIZE
from ..serializers import SerializerBase
from .findings import NOTE, OK, WRONG, Finding, host_addresses, reason_of, step_seconds
from .object_options import hint_of, uri_of

SERIALIZERS = ("serpent", "json", "marshal", "msgpack")
WIRE = WireOptions(1024 * 1024)  # no message of this check needs more
LISTED_OBJECTS = 10  # more would fill the screen without helping

PLAIN, ENCRYPTED = "plain", "TLS"


class Hopeless(Exception):
    """A finding after which further checks are pointless."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.finding = Finding(WRONG, text, remedy)


def check_object(text: str) -> Iterator[Finding]:
    """Check whether an object can be called; `text` is its uri, or its name in the name server."""
    # Each step needs the result of the one before. Generators, so that findings appear while later steps still run.
    try:
        uri = yield from _resolve(text)
        address = yield from _reach(uri)
        yield from _check_protocol(address)
        yield from _check_serializers(uri)
        yield from _check_members(uri)
    except Hopeless as x:
        yield x.finding
    except errors.PyroError as x:
        yield Finding(WRONG, str(x))


# ---------------------------------------------------------------- location

def _resolve(text: str) -> Any:
    """Resolve the name or uri to a uri with the location of the object."""
    try:
        uri = uri_of(text)
        if uri.protocol == "PYRO":
            return uri  # a URI with a location needs no name server
        found = discovery.resolve(uri)
    except errors.PyroError as x:
        # The only error of a lookup that says nothing about the name itself.
        if str(x).startswith("failed to locate"):  # the text is the same for all ways of looking up
            if uri.location is not None:
                raise Hopeless("%s cannot be looked up: %s" % (uri, x), hint_of(text)) from x
            raise Hopeless("%s cannot be looked up without a name server" % uri) from x
        remedy = "'pyro5 nsc list' shows the registered names" if str(x).startswith("unknown name") else ""
        raise Hopeless(str(x), hint_of(text) or remedy) from x
    yield Finding(OK, "%s is %s" % (uri, found))
    if is_loopback(str(found.host)):
        yield Finding(NOTE, "%s means the machine itself, on every machine: only clients on the server's machine reach it"
                      % found.host, "for others, let the server listen on an address of its machine")
    return found


def _reach(uri: URI) -> Any:
    """Connect to each address of the server, and return one that works."""
    if uri.sockname:
        candidates: List[Any] = [uri.sockname]
    else:
        # each address on its own: a client tries them in turn, and an unreachable one costs it the timeout
        candidates = [(host, uri.port) for host in _addresses_of(str(uri.host))]
        yield Finding(OK, "%s is %s" % (uri.host, ", ".join(host for host, _ in candidates)))
    failures: Dict[Any, OSError] = {}
    for address in candidates:
        started = time.monotonic()
        try:
            # Only the connection itself is of interest here. What the server says is checked in the next step.
            _connect(address).close()
            yield Finding(OK, "%s accepts connections, after %.1f ms" % (
                addresses.address_text(address), 1000 * (time.monotonic() - started)))
        except OSError as x:
            failures[address] = x
    working = [address for address in candidates if address not in failures]
    if not working:
        # The last address: its error is as good as any other, and one is enough.
        address, failure = failures.popitem()
        raise Hopeless("%s: %s" % (addresses.address_text(address), reason_of(failure)), _remedy_of(failure))
    # The others work, so these are no errors, but each costs clients that try it first the time limit.
    for address, failure in failures.items():
        yield Finding(NOTE, "%s: %s" % (addresses.address_text(address), reason_of(failure)),
                      "clients try the other address as well; the setting PREFER_IP_VERSION (4 or 6) saves them the time")
    return working[0]


def _addresses_of(host: str) -> List[str]:
    try:
        # The same function as that of clients, with a time limit: getaddrinfo() itself has none.
        return host_addresses(host)
    except TimeoutError as x:
        raise Hopeless("%s: %s" % (host, x), "use an ip address in the uri, or repair the name service of this machine") from x
    except (OSError, ValueError) as x:
        raise Hopeless(reason_of(x), "correct the host name in the uri, or let the server use its ip address") from x


def _connect(address: Any) -> socket.socket:
    # A path of a Unix domain socket; resolve_host() knows the family of the platform.
    if isinstance(address, str):
        family, place = addresses.resolve_host(address, 0, socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(step_seconds())
            sock.connect(place)
        except BaseException:
            sock.close()
            raise
        return sock
    return socket.create_connection(address, step_seconds())


def _remedy_of(failure: OSError) -> str:
    # In the order of what a person can do about it: the server, the way to it, the address.
    if isinstance(failure, (ConnectionRefusedError, FileNotFoundError)):
        return ("nothing listens there: is the server running, at this port, and on this address (one that listens on "
                "localhost is reached from its own machine only)?")
    if isinstance(failure, (socket.timeout, TimeoutError)):
        return "there is no answer: is the address right, is the machine on, does a firewall drop what comes?"
    return "is the address right, and is there a way to that network?"


# ---------------------------------------------------------------- protocol

def _check_protocol(address: Any) -> Iterator[Finding]:
    """Detect the protocol of the server by its first bytes, and check that it matches the settings here."""
    prefix = _first_bytes(address)
    # A server of another version answers with its own number, so the version is not compared here.
    if len(prefix) == PREFIX_SIZE and prefix.startswith(b"PYRO"):
        _, version = PREFIX.unpack(prefix)
        spoken = PLAIN
    else:
        version = None
        # Tried only if the first answer was no Pyro message: a server with TLS then closes the connection, or sends an alert.
        spoken = ENCRYPTED if _speaks_tls(address) else ""
    if not spoken:
        raise Hopeless("what listens there is no Pyro server: %s" % (
            "it begins its answer with %r" % prefix if prefix else "it does not answer"), "is this the right port?")
    if spoken == PLAIN and config.SSL:
        raise Hopeless("the server does not use TLS, and the setting SSL is on here",
                       "switch SSL on in the server as well, or off here")
    if spoken == ENCRYPTED and not config.SSL:
        raise Hopeless("the server uses TLS, and the setting SSL is off here",
                       "switch SSL on (in the environment: PYRO_SSL=1), and let SSL_CACERTS name the certificate to trust")
    if version not in (None, PROTOCOL_VERSION):
        raise Hopeless("the server speaks version %d of the protocol, and this side %d" % (version, PROTOCOL_VERSION),
                       "use releases of the same kind on both sides")
    yield Finding(OK, "the server %s" % ("uses TLS" if spoken == ENCRYPTED else
                                         "speaks version %d of the protocol, without TLS" % PROTOCOL_VERSION))


def _first_bytes(address: Any) -> bytes:
    """Send a handshake without TLS, and return the first bytes of the reply; empty if there is none."""
    # The daemon's own object exists in each server, and all releases read serpent.
    request = handshake.connect_request(serializers.get_serializer("serpent"), 0, DAEMON_NAME, "hello", WIRE)
    received = b""
    # An error in the middle ends it as well: what has arrived until then says enough.
    with contextlib.suppress(OSError), contextlib.closing(_connect(address)) as sock:
        sock.sendall(request.data)
        # Fewer bytes than a header are enough: the prefix has the protocol and its version.
        while len(received) < PREFIX_SIZE:
            data = sock.recv(PREFIX_SIZE - len(received))
            if not data:
                break
            received += data
    return received


def _speaks_tls(address: Any) -> bool:
    import ssl  # only for this check
    # without verification, because only the protocol is of interest and no data is sent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        # The handshake is complete when wrap_socket returns.
        with contextlib.closing(_connect(address)) as sock, context.wrap_socket(sock):
            return True
    except OSError:
        return False


# ---------------------------------------------------------------- access

def _connected(uri: URI, serializer: SerializerBase) -> Connection:
    """Connect to the server's daemon object. Raises Hopeless if that fails, PyroError if the server refuses the handshake."""
    try:
        connection = open_connection(uri, step_seconds(), WIRE.max_size)
    except errors.PyroError as x:
        raise Hopeless(str(x)) from x
    try:
        connection.handshake(serializer, 0, DAEMON_NAME, first_values.handshake, WIRE)
    except BaseException:  # of no use without the handshake
        connection.close()
        raise
    return connection


def _check_serializers(uri: URI) -> Iterator[Finding]:
    spoken: List[str] = []
    refusals: List[str] = []
    # A connection for each, because a server closes the connection after it has refused a serializer.
    for name in SERIALIZERS:
        try:
            serializer = serializers.get_serializer(name)
        except errors.SerializeError:  # not installed here
            continue  # nothing to test here
        try:
            _connected(uri, serializer).close()
            spoken.append(name)
        except errors.PyroError as x:
            refusals.append(str(x))
    # The handshake itself was refused each time, so it is not about the serializers.
    if not spoken:
        raise Hopeless(refusals[0], "give this tool what the server wants: --key-file FILE, or --user NAME"
                       if "AUTH_" in refusals[0] else "the server does not let this tool in; it may ask clients for a "
                       "certificate, or for a handshake of its own, which only its own clients know: --handshake JSON")
    yield Finding(OK, "the server lets clients in, and reads %s" % ", ".join(spoken))
    # Only the chosen serializer matters; the others are listed because one of them may help.
    if config.SERIALIZER not in spoken:
        raise Hopeless("the server does not read %s, which the setting SERIALIZER says here" % config.SERIALIZER,
                       "set SERIALIZER to one of %s" % ", ".join(spoken))


def _check_members(uri: URI) -> Iterator[Finding]:
    """Check the object itself, over the same kind of connection that its clients use."""
    serializer = serializers.get_serializer(config.SERIALIZER)
    # A connection of its own, to the daemon object: it answers without the object being called.
    with contextlib.closing(_connected(uri, serializer)) as connection:
        started = time.monotonic()
        # A ping first: its time is that of the way, without any work.
        connection.call(serializer, 1, DAEMON_NAME, "ping", [], WIRE)
        took = time.monotonic() - started
        try:
            metadata = connection.call(serializer, 2, DAEMON_NAME, "get_metadata", [uri.object], WIRE)
        except errors.DaemonError as x:
            known = connection.call(serializer, 3, DAEMON_NAME, "registered", [], WIRE)
            # The list helps to find a mistyped id; a server may be the wrong one, or have been restarted.
            raise Hopeless("there is no object '%s' in this server" % uri.object, _known_objects(known)) from x
        yield _member_finding(uri, metadata, took)


def _member_finding(uri: URI, metadata: Any, seconds: float) -> Finding:
    # A server can send anything; a proxy, for example, would connect to an address of its choice.
    if type(metadata) is not dict or not all([plain.is_texts(metadata.get(key)) for key in ("methods", "attrs")]):
        return Finding(WRONG, "the server sent unusable metadata of %s: %s" % (uri.object, plain.text_of(metadata)))
    methods, attrs = len(metadata["methods"]), len(metadata["attrs"])
    # A class without @expose has a proxy, but nothing to call: a frequent mistake.
    if not methods and not attrs:
        return Finding(WRONG, "the object %s exposes nothing" % uri.object,
                       "mark what clients may use with @Pyro5.api.expose")
    return Finding(OK, "the object %s exposes %d methods and %d attributes; a call takes %.1f ms" % (
        uri.object, methods, attrs, 1000 * seconds))


def _known_objects(known: Any) -> str:
    # The ids are sent by the server. Only their exact type is trusted, and only a few are shown.
    names = [name for name in known if name != DAEMON_NAME] if plain.is_texts(known) else []
    if not names:
        return "nothing is registered there; is it the right server?"
    more = "" if len(names) <= LISTED_OBJECTS else " and %d more" % (len(names) - LISTED_OBJECTS)
    return "it has %s%s; objects without a name of their own get a new one with every start of the server" % (
        ", ".join(map(str, names[:LISTED_OBJECTS])), more)
