"""The gateway's connections to Pyro servers: name server lookups that survive a lost name server, calls whose results stay
JSON, and cached values.
"""
from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Dict, FrozenSet, Generator, Generic, List, Mapping, Optional, Sequence, Type, TypeVar

from .. import NamedTuple, errors, protocol, serializers
from .._client.call_options import earlier
from .._client.retry import with_retries
from .._messages import limits, replies, requests
from .._values.uri import URI
from .._wire import features
from ..client import Proxy, locate_ns
from ..constants import CLOSE_STREAM_METHOD, DAEMON_NAME, NEXT_ITEM_METHOD
from ..protocol import ReceivingMessage

log = logging.getLogger("Pyro5.utils.gatewaycalls")

T = TypeVar("T")

NAME_SERVER_SECONDS = 5.0       # time limit for a reply
IDLE_CONNECTIONS = 8            # idle connections to the name server that are kept
RETRY_SECONDS = 1.0             # after a failed search for the name server, before the next search
STREAM_ITEMS = 10000            # limit for an item stream, which is collected into a list
STREAM_BYTES = 64 * 1024 * 1024
STREAM_SECONDS = 60.0
ITEM_BYTES = 50                 # memory of a stream item in addition to its text
SMALL_RESULT_BYTES = 65536      # not counted: for all connections together it is little


class NameServerGone(Exception):
    """There is no name server, or it does not reply; the cause (``__cause__``) has the details."""


class Registration(NamedTuple):
    """The name server's entry for an object."""

    uri: str
    metadata: FrozenSet[str]


class Reply(NamedTuple):
    """The reply to a call: a result or (not ok) an exception in JSON; empty for a oneway call."""

    ok: bool
    payload: bytes


def exact(kind: Type[T], value: Any) -> T:
    """Return a value received from a peer if it is exactly of this type. Raises ProtocolError."""
    if type(value) is not kind:
        raise errors.ProtocolError("unexpected %s in a reply, instead of %s" % (type(value).__name__, kind.__name__))
    return value


def _registration(entry: Any) -> Registration:
    if type(entry) not in (list, tuple) or len(entry) != 2 or type(entry[1]) not in (set, frozenset, list, tuple):
        raise errors.ProtocolError("unexpected registration in a reply")
    return Registration(exact(str, entry[0]), frozenset(exact(str, tag) for tag in entry[1]))


def by_location(registrations: Mapping[str, Registration]) -> Dict[str, Dict[str, URI]]:
    """Return location of a server -> name -> URI; without registrations whose URI is of no use."""
    servers: Dict[str, Dict[str, URI]] = {}
    for name, registration in registrations.items():
        try:
            uri = URI(registration.uri)
        except errors.PyroError:
            continue
        if uri.protocol == "PYRO":
            servers.setdefault(str(uri.location), {})[name] = uri
    return servers


class NameServers:
    """Connections to the name server, shared by all threads; each connection is used by one thread at a time.

    A lost connection is replaced: the name server is searched for again, in all the usual places.

    Args:
        timeout: time limit of a reply in seconds; None means NAME_SERVER_SECONDS, which is also the maximum.
        locate: finds the name server, or raises PyroError.
        clock: returns monotonic seconds.

    Attributes:
        timeout: may be changed; applies to all later requests.
    """

    def __init__(self, timeout: Optional[float] = None, locate: Callable[[], Proxy] = locate_ns,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self._locate = locate
        self._clock = clock
        # Guards the attributes below.
        self._lock = threading.Lock()
        self._idle: List[Proxy] = []
        self._search_again_at = clock()
        self._failure: Optional[BaseException] = None

    def lookup(self, name: str) -> URI:
        """Return the uri of one object.

        Raises:
            NamingError: the name is unknown.
            NameServerGone: no name server can be reached.
        """
        found = self._ask(lambda nameserver: nameserver.lookup(name))
        # Values from the network are checked by exact type, because methods of other classes could run code here.
        return found if type(found) is URI else URI(exact(str, found))

    def list(self) -> Dict[str, Registration]:
        """Return all registrations; without metadata if the name server keeps none. Raises NameServerGone, ProtocolError."""
        try:
            found = exact(dict, self._ask(lambda nameserver: nameserver.list(return_metadata=True)))
            return {exact(str, name): _registration(entry) for name, entry in found.items()}
        except errors.NamingError as x:
            log.debug("no metadata: %s", x)
        found = exact(dict, self._ask(lambda nameserver: nameserver.list()))
        return {exact(str, name): Registration(exact(str, uri), frozenset()) for name, uri in found.items()}

    def leases(self) -> Dict[str, Any]:
        """Return name -> lease (a dict with ttl, left and holder) of those names that have one. Raises NameServerGone."""
        def ask(nameserver: Proxy) -> Any:
            return nameserver.leases() if "leases" in nameserver._pyroMethods else {}   # another release has none

        found = exact(dict, self._ask(ask))
        return {exact(str, name): entry["lease"] for name, entry in found.items()
                if type(entry) is dict and type(entry.get("lease")) is dict}

    def location(self) -> URI:
        """Return the uri of the name server. Raises NameServerGone."""
        return self._ask(lambda nameserver: nameserver._pyroUri)

    def close(self) -> None:
        """Close the idle connections. The object can still be used afterwards."""
        with self._lock:
            # Swapped under the lock and closed without it: closing is I/O.
            idle, self._idle = self._idle, []
        for proxy in idle:
            proxy._pyroRelease()

    def _ask(self, question: Callable[[Proxy], T]) -> T:
        """Send a request over an idle connection; if that is lost, or there is none, over a new one."""
        with self._lock:
            proxy = self._idle.pop() if self._idle else None
        if proxy is not None:
            try:
                return self._use(proxy, question)
            except NameServerGone as x:
                log.info("the name server is lost, searching it again: %s", x.__cause__)
                self.close()  # the other idle connections are to the same name server
        return self._use(self._connect(), question)

    def _use(self, proxy: Proxy, question: Callable[[Proxy], T]) -> T:
        # Popped from the list by this thread, so no other thread uses the proxy: the ownership can be taken.
        proxy._pyroClaimOwnership()
        proxy._pyroTimeout = earlier(self.timeout, NAME_SERVER_SECONDS)
        try:
            return question(proxy)
        except errors.CommunicationError as x:
            proxy._pyroRelease()
            raise NameServerGone() from x
        finally:
            self._return(proxy)

    def _return(self, proxy: Proxy) -> None:
        with self._lock:
            # A connection that was lost is not kept, nor one beyond the number that is usually needed.
            keep = proxy._pyroConnection is not None and len(self._idle) < IDLE_CONNECTIONS
            if keep:
                self._idle.append(proxy)
        if not keep:
            proxy._pyroRelease()

    def _connect(self) -> Proxy:
        # A search can take seconds. After a failure, requests fail at once for a while instead of each waiting for a search.
        with self._lock:
            if self._failure is not None and self._clock() < self._search_again_at:
                raise NameServerGone() from self._failure
        try:
            proxy = self._locate()
            proxy._pyroTimeout = earlier(self.timeout, NAME_SERVER_SECONDS)
            proxy._pyroBind()
        except errors.PyroError as x:
            with self._lock:
                self._failure = x
                self._search_again_at = self._clock() + RETRY_SECONDS
            raise NameServerGone() from x
        with self._lock:
            self._failure = None
        return proxy


class Fresh(Generic[T]):
    """A cached value that is computed again on request when it is too old. One thread computes it; others that request it in
    the meantime wait for its result or exception. No lock is held while it is computed.

    Args:
        seconds: maximum age.
        clock: returns monotonic seconds.
    """

    def __init__(self, compute: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        # Guards the attributes below.
        self._lock = threading.Lock()
        self._outcome: Optional[Future[T]] = None   # None until the first request
        self._is_computed = True
        self._computed_at = 0.0

    def get(self) -> T:
        """Return the value; raise the exception if computing it failed."""
        with self._lock:
            outcome = self._outcome
            # The thread that finds the value too old computes it. All others get the same Future and wait for it.
            is_mine = outcome is None or self._is_computed and self._clock() - self._computed_at >= self._seconds
            if is_mine or outcome is None:
                self._outcome = outcome = Future()
                self._is_computed = False
        if is_mine:
            self._run(outcome)
        return outcome.result()

    def _run(self, outcome: Future[T]) -> None:
        try:
            outcome.set_result(self._compute())
        except BaseException as x:  # any exception is passed on to the waiting threads
            outcome.set_exception(x)
        failed = outcome.exception() is not None
        # After the result was set: a thread that sees the value as computed never waits for it.
        with self._lock:
            self._is_computed = True
            self._computed_at = self._clock()
            if failed:
                self._outcome = None    # a failure is not cached: only the waiting threads share it


# ---------------------------------------------------------------- calls

def connected_proxy(uri: URI, timeout: Optional[float], take: Callable[[int], None]) -> Proxy:
    """Create a connected proxy for `invoke` that uses JSON. The caller releases it.

    Args:
        take: called with the size of a large reply before it is received; may raise.

    Raises:
        PyroError: the object cannot be reached.
    """
    proxy = Proxy(uri)
    proxy._pyroTimeout = timeout
    proxy._pyroSerializer = "json"
    # The reply is passed on as it is: decoding and encoding it again would take most of the gateway's time.
    proxy._pyroRawWireResponse = True
    proxy._pyro.announced = (features.TEXT_BYTES,)
    proxy._pyroBind()
    connection = proxy._pyroConnection
    if connection is not None:
        connection.admit_replies(lambda size: take(size) if size > SMALL_RESULT_BYTES else None)
    return proxy


def invoke(proxy: Proxy, method: str, args: Sequence[Any], kwargs: Mapping[str, Any], oneway: bool,
           check: Callable[[], None]) -> Optional[ReceivingMessage]:
    """Call a method, and return the reply; None for a oneway call. See `complete` and `items`.

    Args:
        check: called before the call is made or repeated; raises an exception if it is cancelled.

    Raises:
        PyroError: communication failed.
        Exception: the arguments cannot be serialized.
    """
    def send(*arguments: Any) -> Any:
        check()
        return proxy._pyroInvoke(*arguments)

    flags = protocol.FLAGS_ONEWAY if oneway else 0
    reply: Optional[ReceivingMessage] = with_retries(proxy._pyroMaxRetries, send, method, args, kwargs, flags)
    return reply


def read_attribute(proxy: Proxy, name: str) -> ReceivingMessage:
    """Read an exposed attribute, and return the reply. Raises PyroError if communication fails."""
    reply: ReceivingMessage = with_retries(proxy._pyroMaxRetries, proxy._pyroInvoke, requests.GETATTR_METHOD, (name,), None)
    return reply


def complete(proxy: Proxy, reply: Optional[ReceivingMessage], take: Callable[[int], None]) -> Reply:
    """Return the whole result: an item stream becomes a list.

    Args:
        take: called with the size of each item before it is kept, and of a large result; may raise.
    """
    if reply is None:
        return Reply(True, b"")
    return _whole_stream(proxy, reply, take) if is_stream(reply) else as_json(reply, take)


def is_stream(reply: ReceivingMessage) -> bool:
    """Return whether the result is an item stream."""
    return bool(reply.flags & protocol.FLAGS_ITEMSTREAMRESULT)


def items(proxy: Proxy, reply: ReceivingMessage, take: Callable[[int], None]) -> Generator[Reply, None, None]:
    """Yield the items of a stream as they are produced; an exception that ends the stream is the last one. Another result is
    the only item.

    Raises:
        PyroError: communication failed, or the server does not allow item streams.
    """
    if not is_stream(reply):
        yield as_json(reply, take)
        return
    stream_id = _stream_id(reply)
    try:
        while True:
            item = as_json(proxy._pyroInvoke(NEXT_ITEM_METHOD, [stream_id], {}, objectId=DAEMON_NAME))
            if _is_end(item):
                return
            yield item
            if not item.ok:
                return
    except GeneratorExit:
        # Otherwise the server would keep the stream for a while, in case that the client comes back.
        proxy._pyroInvoke(CLOSE_STREAM_METHOD, [stream_id], {}, protocol.FLAGS_ONEWAY, objectId=DAEMON_NAME)
        raise


def assign_attribute(proxy: Proxy, name: str, value: Any) -> Reply:
    """Assign an exposed attribute. Raises PyroError if communication fails."""
    return as_json(proxy._pyroInvoke(requests.SETATTR_METHOD, (name, value), None))


def as_json(reply: ReceivingMessage, take: Optional[Callable[[int], None]] = None) -> Reply:
    """Return the payload unchanged if it is JSON; otherwise convert it (the object may have passed on a blob from elsewhere).

    Args:
        take: called with the size of a large reply that was compressed.
    """
    ok = not reply.flags & protocol.FLAGS_EXCEPTION
    # A compressed reply was admitted with its compressed size.
    if take is not None and reply.deflated_size and len(reply.data) > SMALL_RESULT_BYTES:
        take(len(reply.data))
    json_serializer = serializers.get_serializer("json")
    if reply.serializer_id == json_serializer.serializer_id:
        return Reply(ok, bytes(reply.data))
    serializer = serializers.get_serializer_by_id(reply.serializer_id)
    # Only what has to be decoded needs the limits of decoding.
    limits.check_reply(reply, serializer)
    value = serializer.loads_reply(reply.data)
    return Reply(ok, json_serializer.dumps(value))


def _whole_stream(proxy: Proxy, opened: ReceivingMessage, take: Callable[[int], None]) -> Reply:
    """Fetch all items of a stream, up to a limit."""
    stream_id = _stream_id(opened)
    deadline = time.monotonic() + STREAM_SECONDS
    found: List[bytes] = []
    bytes_left = STREAM_BYTES
    # One item more than allowed is fetched, to find out that there are more.
    while len(found) <= STREAM_ITEMS and bytes_left >= 0 and time.monotonic() < deadline:
        reply = as_json(proxy._pyroInvoke(NEXT_ITEM_METHOD, [stream_id], {}, objectId=DAEMON_NAME))
        if not reply.ok:
            return Reply(True, b"[%s]" % b", ".join(found)) if _is_end(reply) else reply
        take(2 * len(reply.payload) + ITEM_BYTES)   # two copies exist when the items are joined
        found.append(reply.payload)
        bytes_left -= len(reply.payload)
    # the server would keep the generator, and what it refers to, until the connection ends
    proxy._pyroInvoke(CLOSE_STREAM_METHOD, [stream_id], {}, protocol.FLAGS_ONEWAY, objectId=DAEMON_NAME)
    raise errors.PyroError("the result is an iterator with too many items: at most %d items and %d bytes, in %d seconds, can "
                           "be fetched over HTTP" % (STREAM_ITEMS, STREAM_BYTES, STREAM_SECONDS))


def _stream_id(opened: ReceivingMessage) -> str:
    stream_id = replies.parse_reply(opened, serializers.get_serializer("json")).stream_id
    if stream_id is None or type(stream_id) is not str:
        raise errors.ProtocolError("the result is an iterator, but the server does not allow item streams")
    return stream_id


def _is_end(reply: Reply) -> bool:
    """Return whether the reply to a request for an item says that there are no more."""
    if reply.ok:
        return False
    error = json.loads(reply.payload)
    return type(error) is dict and error.get("__class__") == "builtins.StopIteration"


def encode_error(error: Exception) -> bytes:
    """Return an exception in JSON, as servers send it."""
    json_serializer = serializers.get_serializer("json")
    return json_serializer.dumps(replies.sendable(error, json_serializer))
