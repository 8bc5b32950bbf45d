"""Find the name server, and look up objects there by name or by tags.

These places are tried in order until a name server is found:

 1. the host that was passed in; then no other place is tried;
 2. NS_HOST if it is this machine (and 127.0.1.1, the address that some systems assign to the name of the machine);
 3. the hosts that answer a broadcast to all BROADCAST_ADDRS, unless the setting BROADCAST_LOOKUP is off;
 4. NS_HOST if it is another machine.

A host can be a list of hosts, ``ns1,ns2:9090``: they are tried one after the other, those first that could be reached a moment
ago. If NS_HOST is a list, all of them are tried before a broadcast.

Lookups use a plain connection and no proxy, because proxies are built on this module.
"""
from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, TypeVar, Union

from .. import LazyModule, config, errors, socketutil
from .._auth import broadcast_question
from .._net import addresses
from .._values.uri import URI
from ..constants import NAMESERVER_NAME, NS_QUESTION
from .call_options import RANDOM, earlier
from .ns_places import (FAILOVER_SECONDS, NameServerConnection as _NameServer, direct_uri, nameserver_uris, note_nameserver,
                        other_nameservers, place_of)

if TYPE_CHECKING:
    import random
else:
    random = LazyModule(globals(), "random")

log = logging.getLogger("Pyro5.discovery")

T = TypeVar("T")
Senders = List[Any]  # socket addresses

ANSWER_BYTES = 512  # answers to a broadcast that are longer contain no valid URI
ANSWER_SECONDS = 3.0  # time limit for connecting to a host that answered a broadcast
MAX_ANSWERS_READ = 100  # answers that are read after each broadcast; bounds the work that a flood of answers causes
MAX_ANSWERS_TRIED = 5  # valid answers that are connected to
UNSPECIFIED_HOSTS = ("0.0.0.0", "::")
BROADCASTS = 3  # the question is repeated, because datagrams can get lost
BROADCAST_INTERVAL_SECONDS = 0.3
LOOPBACK_SECONDS = 0.7  # time limit for this machine: another program that never answers may listen at the port
FIRST_PAUSE_SECONDS = 0.1  # between two lookups of a name that is not registered yet; doubled every time
MAX_PAUSE_SECONDS = 1.0

# The error for all places together says what to do; for each of them the hint is left out.
_HINT = r" \(is the server running, [^()]*\)"


def locate(connect: Callable[[URI, Optional[float]], T], accept: Callable[[URI], T],
           host: addresses.Host = "", port: Optional[int] = None, broadcast: bool = True) -> T:
    """Find a name server, and return what `connect` or `accept` returns for it.

    Args:
        connect: called with the URI of a possible name server and the time limit in seconds (None: that of the settings);
            returns the result, or raises PyroError.
        accept: called with the URI in an answer to a broadcast; returns the result, or raises PyroError.
        host: the only place to try: a host name, an IP address, or the location of a Unix domain socket; or a list of them.
        port: the port of the name server if host is given, otherwise of the broadcast responder.
        broadcast: whether to use broadcasts; none are sent either if the setting BROADCAST_LOOKUP is off.

    Raises:
        NamingError: no name server was found; the text lists the places that were tried.
        ValueError: the port is not a valid number.
    """
    addresses.require_port(port or 0)
    search = _Search(connect, accept)
    found: Optional[T] = search.try_host(str(host), port, None) if host else search.try_everywhere(port, broadcast)
    if found is None:
        raise errors.NamingError("failed to locate the name server. %s. Start one with 'python -m Pyro5.nameserver', or say "
                                 "where it is: settings NS_HOST and NS_PORT" % re.sub(_HINT, "", "; ".join(search.failures)))
    return found


class _Search:
    """A search for a name server. ``failures`` lists the places without one, and why."""

    def __init__(self, connect: Callable[[URI, Optional[float]], Any], accept: Callable[[URI], Any]) -> None:
        self._connect = connect
        self._accept = accept
        self.failures: List[str] = []

    def try_everywhere(self, broadcast_port: Optional[int], broadcast: bool) -> Any:
        places = addresses.name_server_places(addresses.name_server_host())
        if len(places) > 1:
            found = self.try_host(addresses.name_server_host(), None, None)
            return self.try_broadcast(broadcast_port) if found is None and broadcast else found
        # this machine first: it answers at once, or refuses the connection at once; a broadcast takes up to a second
        local = addresses.is_loopback(places[0][0])
        found = self.try_this_machine() if local else None
        if found is None and broadcast:
            found = self.try_broadcast(broadcast_port)
        if found is None and not local:
            found = self.try_host(addresses.name_server_host(), None, None)
        return found

    def try_this_machine(self) -> Any:
        # the limit applies to all attempts together: a broadcast is still to come, and the program waits
        deadline = time.monotonic() + LOOPBACK_SECONDS
        ns_host = addresses.name_server_host()
        # Debian maps the name of a machine to this address, and a name server may listen on it
        for host in [ns_host, "127.0.1.1"] if ns_host == "localhost" else [ns_host]:
            seconds_left = deadline - time.monotonic()
            found = self.try_host(host, None, seconds_left) if seconds_left > 0 else None
            if found is not None:
                return found
        return None

    def try_host(self, host: str, port: Optional[int], limit_seconds: Optional[float]) -> Any:
        uris = nameserver_uris(host, port)
        if len(uris) == 1:
            return self._attempt("", lambda: self._connect(uris[0], limit_seconds))
        for uri in uris:
            # The others are still to come, so one that does not answer must not use up the time.
            found = self._attempt("", functools.partial(self._connect, uri, earlier(limit_seconds, FAILOVER_SECONDS)))
            if found is not None:
                return found
            note_nameserver(uri)
        return None

    def try_broadcast(self, port: Optional[int]) -> Any:
        port = port or config.NS_BCPORT
        addresses.require_port(port)
        if not config.BROADCAST_LOOKUP:
            self.failures.append("no broadcast was sent: the setting BROADCAST_LOOKUP is off")
            return None
        # A forged or outdated answer must not hide a good one, so several are tried. But only a few: anyone can send answers,
        # and each of them makes this process connect to some address.
        failures_before = len(self.failures)
        ignored: Senders = []
        for uri in itertools.islice(ask_by_broadcast(config.BROADCAST_ADDRS, port, ignored), MAX_ANSWERS_TRIED):
            # Connecting proves that the answer is true: a datagram can be forged, a handshake with a name server hardly.
            found = self._attempt("the answer to a broadcast: ", functools.partial(self._accept, uri))
            if found is not None:
                return found
        if len(self.failures) == failures_before:
            self.failures.append("broadcast to port %d of %s: no %sanswer" % (
                port, ", ".join(config.BROADCAST_ADDRS), "valid " if ignored else ""))
            if ignored:
                self.failures[-1] += " (%d ignored, the last one from %s)" % (len(ignored),
                                                                              socketutil.address_text(ignored[-1]))
        return None

    def _attempt(self, how: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except errors.PyroError as x:
            log.debug("no name server: %s%s", how, x)
            self.failures.append("%s%s" % (how, x))  # the error names the address
            return None


# ---------------------------------------------------------------- broadcast

def ask_by_broadcast(places: Iterable[str], port: int, ignored: Senders) -> Iterator[URI]:
    """Broadcast the question for a name server, and yield the valid answers as they arrive, each URI once.

    The question is sent to all places at once and repeated twice, because datagrams can get lost; this ends after about one
    second. A forged answer cannot be detected with certainty. Ignored are answers from another port than the question was
    sent to, and answers that are not the URI of a name server. The caller can connect to one answer after the other.

    Args:
        places: the broadcast addresses.
        ignored: a list to which the senders of ignored answers are appended.

    Raises:
        SecurityError: AUTH_KEY_FILE names a file that cannot be used.
    """
    question = broadcast_question()
    try:
        sock = socketutil.create_bc_socket()
    except OSError as x:
        log.debug("broadcasts are not possible: %s", x)
        return
    seen: Set[URI] = set()
    with sock:
        for uri in _ask_repeatedly(sock, list(places), port, ignored, question):
            # The question is sent several times, so most servers answer several times.
            if uri not in seen:
                seen.add(uri)
                yield uri


def _ask_repeatedly(sock: socket.socket, places: List[str], port: int, ignored: Senders, question: Any) -> Iterator[URI]:
    """Args:
        question: a `SecretQuestion`, which only name servers with the same key answer; None for the plain one.
    """
    text = NS_QUESTION if question is None else question.text
    for _ in range(BROADCASTS):
        sent = [_send_question(sock, place, port, text) for place in places]
        if not any(sent):
            return  # no answers to wait for
        yield from _await_answers(sock, port, time.monotonic() + BROADCAST_INTERVAL_SECONDS, ignored, question)


def _send_question(sock: socket.socket, address: str, port: int, question: bytes) -> bool:
    try:
        sock.sendto(question, (address, port))
        return True
    except OSError as x:
        log.debug("cannot broadcast to %s: %s", address, x)
        return False


def _await_answers(sock: socket.socket, port: int, deadline: float, ignored: Senders,
                   question: Any = None) -> Iterator[URI]:
    """Yield the URIs of valid answers that arrive before the deadline; if it has passed, those that have arrived already."""
    # the deadline alone is not enough: it does not end the loop while answers keep arriving
    for _ in range(MAX_ANSWERS_READ):
        sock.settimeout(max(deadline - time.monotonic(), 0))
        try:
            data, sender = sock.recvfrom(ANSWER_BYTES)
        except OSError as x:
            if not isinstance(x, ConnectionError):  # Windows reports here that a datagram sent earlier was rejected
                return  # the time is up, or the socket is broken
            continue
        # an answer comes from the port that was asked; on most machines other programs cannot send from that port
        text = data if question is None else question.uri_in(data)
        uri = _read_answer(text) if sender[1] == port and text is not None else None
        if uri is None:
            log.info("ignored an answer to the name server broadcast, from %s: %r", sender, data[:100])
            ignored.append(sender)
        else:
            yield uri


def _read_answer(data: bytes) -> Optional[URI]:
    try:
        uri = URI(data.decode("iso-8859-1"))
    except errors.PyroError:
        return None
    is_name_server = uri.protocol == "PYRO" and uri.object == NAMESERVER_NAME
    return uri if is_name_server and uri.port and uri.host and uri.host not in UNSPECIFIED_HOSTS else None


# ---------------------------------------------------------------- names

def resolve_all(uri: URI, reply_seconds: Optional[float], pick: str = RANDOM) -> List[URI]:
    """Return all PYRO URIs that a URI refers to: more than one only for PYROMETA, and for the members of a name.

    Args:
        pick: the order of members: any, or ``least`` for the one first that was looked up least often.

    Other arguments and errors as for `resolve`.
    """
    if uri.protocol == "PYRO":
        return [uri]
    if isinstance(uri.object, str):
        name = uri.object
        return _ask_until_found(lambda nameserver: nameserver.candidates(name, pick), 0.0, *place_of(uri), reply_seconds)
    return [_tagged_uri(uri, each) for each in _texts_with_tags(uri, 0.0, reply_seconds)]


def _texts_with_tags(uri: URI, delay_time: float, reply_seconds: Optional[float]) -> List[str]:
    tags = set(uri.object)
    found = _ask_until_found(lambda nameserver: nameserver.yplookup(tags, None), delay_time, *place_of(uri), reply_seconds)
    return list(found.values())


def _tagged_uri(uri: URI, answer: str) -> URI:
    return direct_uri(answer, "tags %s" % ", ".join(sorted(uri.object)))


def resolve(uri: Union[str, URI], delay_time: float = 0.0, reply_seconds: Optional[float] = None) -> URI:
    """Return the PYRO URI that a PYRONAME or PYROMETA URI refers to. A PYRO URI is returned unchanged.

    For PYROMETA, one of the objects that have all the tags is chosen at random.

    Args:
        delay_time: seconds to wait until the name is registered or a name server is running; 0 means the setting
            NS_LOOKUP_DELAY.
        reply_seconds: time limit for each reply of the name server, if that is shorter than the setting COMMTIMEOUT.

    Raises:
        NamingError: the name is not registered, or no name server was found.
        CommunicationError: the communication with the name server failed.
    """
    uri = URI(uri)
    if uri.protocol == "PYRO":
        return uri
    wanted = uri.object
    if isinstance(wanted, str):
        name = wanted
        return _ask_until_found(lambda nameserver: nameserver.lookup(name), delay_time, *place_of(uri), reply_seconds)
    # random: clients that look up the same tags are spread over all objects that have them
    return _tagged_uri(uri, random.choice(_texts_with_tags(uri, delay_time, reply_seconds)))


def lookup(name: str, delay_time: float = 0.0) -> URI:
    """Return the URI that is registered under a name. See `resolve` for delay_time and the exceptions."""
    return _ask_until_found(lambda nameserver: nameserver.lookup(name), delay_time)


def yplookup(meta_all: Optional[Iterable[str]] = None, meta_any: Optional[Iterable[str]] = None,
             delay_time: float = 0.0) -> Dict[str, str]:
    """Return the names that are registered with all of some tags, or with any of some tags, and their URIs.

    Args:
        meta_all: tags that an object must all have. Exactly one of meta_all and meta_any must be passed.
        meta_any: tags of which an object must have at least one.
        delay_time: see `resolve`.

    Raises:
        NamingError: no object has these tags, or no name server was found.
        CommunicationError: the communication with the name server failed.
        ValueError: both or none of meta_all and meta_any were passed.
    """
    if (meta_all is None) == (meta_any is None):
        raise ValueError("pass either meta_all or meta_any")
    all_tags, any_tags = (None if tags is None else set(tags) for tags in (meta_all, meta_any))
    return _ask_until_found(lambda nameserver: nameserver.yplookup(all_tags, any_tags), delay_time)


def _ask_until_found(ask: Callable[[_NameServer], T], delay_time: float, host: str = "", port: Optional[int] = None,
                     reply_seconds: Optional[float] = None) -> T:
    """Find a name server and call `ask` with it until it returns a result or the time is up.

    One connection is used for all attempts; if it is lost, the name server is searched for again.
    """
    connected: List[_NameServer] = []

    def attempt() -> T:
        if not connected:
            # One connection for all attempts: a program that waits for a name would otherwise connect several times
            # per second.
            connected.append(locate(lambda uri, limit: _NameServer(uri, limit, reply_seconds),
                                    lambda uri: _NameServer(uri, ANSWER_SECONDS, reply_seconds), host, port))
        try:
            return ask(connected[0])
        except errors.ConnectionClosedError as x:
            lost = connected.pop()  # the name server may be restarting, perhaps at another address: search again
            lost.close()
            # The others can be asked at once, because a lookup changes nothing.
            return _ask_others(ask, lost.uri, host, port, reply_seconds, x)
        except errors.NamingError as x:
            return _ask_others(ask, connected[0].uri, host, port, reply_seconds, x)

    try:
        return retry_until_found(attempt, delay_time)
    finally:
        for nameserver in connected:
            nameserver.close()


def _ask_others(ask: Callable[[_NameServer], T], asked: URI, host: str, port: Optional[int], reply_seconds: Optional[float],
                error: errors.PyroError) -> T:
    """Ask the other name servers of a list: they do not exchange registrations, so a server that was started while the first
    one was away is registered with another one.

    Raises:
        PyroError: the error of the first one, if the others do not know the name either, or cannot be reached.
    """
    for uri in other_nameservers(host, port, asked):
        try:
            with contextlib.closing(_NameServer(uri, FAILOVER_SECONDS, reply_seconds)) as nameserver:
                return ask(nameserver)
        except errors.NamingError:
            continue
        except errors.CommunicationError as x:
            log.debug("no name server: %s", x)
            note_nameserver(uri)
    raise error


def retry_until_found(ask: Callable[[], T], delay_seconds: float = 0.0,
                      clock: Callable[[], float] = time.monotonic,
                      wait: Optional[Callable[[float], Any]] = None) -> T:
    """Call `ask` until it returns a result, while it raises NamingError or ConnectionClosedError and the time is not up.

    Args:
        delay_seconds: the time limit in seconds; 0 means the setting NS_LOOKUP_DELAY. There is at least one attempt.
        clock: returns the current time in seconds.
        wait: waits for a number of seconds.
    """
    deadline = clock() + (delay_seconds or config.NS_LOOKUP_DELAY or 0)
    wait = wait or threading.Event().wait
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return ask()
        except (errors.NamingError, errors.ConnectionClosedError):
            left = deadline - clock()
            if left <= 0:
                raise
        wait(min(pause, left))
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
