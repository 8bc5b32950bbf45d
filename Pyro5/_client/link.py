"""
The state of a proxy: the URI of its object, call options, sequence numbers, owner, and the connection while there is one.

Separate from the proxy because every attribute name of a proxy that does not begin with ``_pyro`` belongs to the remote
object.
"""
from __future__ import annotations

import contextvars
import logging
import os
import socket
import threading
import weakref
from typing import Any, Callable, List, Mapping, Optional, Sequence, Set, Union

from .. import callcontext, config, errors, serializers
from .._messages import limits, replies, requests
from .._messages.requests import WireOptions
from .._values import plain, unsendable
from .._values.uri import URI
from ..configure import global_version
from ..constants import CLOSE_STREAM_METHOD, DAEMON_NAME
from ..protocol import FLAGS_ONEWAY, ReceivingMessage, SendingMessage
from ..serializers import SerializerBase
from ..socketutil import effective_timeout
from . import discovery
from .connection import Connection, open_connection

__all__ = ["Link", "connected_socket_uri"]

log = logging.getLogger("Pyro5.link")

CONNECTED_SOCKET_LOCATION = "<<connected-socket>>:0"
# Values of Link.owner that are not thread identifiers (those are positive numbers).
UNOWNED = 0
IN_TRANSIT = -1
_METADATA = ("methods", "oneway", "attrs")  # keys of the metadata of an object

# The number of forks between the first process and this one. A connection made at a lower count belongs to the parent
# process: parent and child share its socket, so bytes that the child writes would end up in the parent's exchange.
_fork_count = 0


def _note_fork() -> None:
    global _fork_count
    _fork_count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _served_client() -> Any:
    """
    Return a weak reference to the client whose request this thread is serving, None if there is none.

    Requests of one client run one after the other, so they may share a proxy although they run in different threads. This is
    not true of a oneway call, which can run at the same time as the client's next request: None is returned for it.
    """
    client = callcontext.current_context.client
    if client is None or callcontext.current_context.msg_flags & FLAGS_ONEWAY:
        return None
    return weakref.ref(client)


def connected_socket_uri(object_name: Union[str, URI]) -> URI:
    """Return the placeholder URI of an object that is reached over an already connected socket."""
    if isinstance(object_name, URI) or object_name.upper().startswith("PYRO:"):
        object_name = str(URI(object_name).object)
    return URI("PYRO:%s@%s" % (object_name, CONNECTED_SOCKET_LOCATION))


def _with_annotations(annotations: Mapping[str, bytes], build: Callable[..., SendingMessage]) -> Callable[..., SendingMessage]:
    """Return a function that calls `build` in a copy of the context, with these annotations added to the outgoing ones."""
    def build_in_copy(*args: Any) -> SendingMessage:
        # in a copy of the context: the annotations of the proxy must not stay there for the calls of other proxies
        callcontext.current_context.annotations = {**callcontext.outgoing_annotations(), **annotations}
        return build(*args)

    return lambda *args: contextvars.copy_context().run(build_in_copy, *args)


class Link:
    """
    The state of a proxy.

    The settings COMMTIMEOUT and MAX_RETRIES are read once, in the constructor; the other settings are read again after they
    were changed. Only the owning thread may call the methods, except for `claim`, `release` and `abandon_stream`, which any
    thread may call.

    Args:
        uri: the URI of the object. PYRONAME and PYROMETA URIs are resolved again for every connection.
        connected_socket: an already connected socket, which is used and left open. The uri is then the one that
            `connected_socket_uri` returns.

    Attributes:
        bound_uri: the PYRO URI of the object that the current or last connection was made to.
        object_id: the id of the object in its daemon; set when connected.
        fork_count: the value of _fork_count when the connection was made.
        owner: the identifier of the thread that may use the proxy. UNOWNED: the first thread that uses it becomes its owner.
            IN_TRANSIT: the message that contains the proxy is still being decoded, no thread may use it.
        owner_client: the client that the owner was serving when it became the owner. Other threads may use the proxy as
            well while they serve this client, because requests of one client never run at the same time.
        abandoned_streams: ids of item streams that were dropped and that the server still has to be asked to close.
        methods, oneway, attrs: the names that the object exposes; empty until the metadata is known.
    """

    __slots__ = ("uri", "bound_uri", "object_id", "connection", "connected_socket", "fork_count", "seq", "owner",
                 "owner_client", "timeout", "max_retries", "wire", "serializer_name", "serializer", "handshake",
                 "methods", "oneway", "attrs", "raw_response", "settings_version", "abandoned_streams")

    def __init__(self, uri: URI, connected_socket: Optional[socket.socket] = None) -> None:
        self.uri = uri
        self.bound_uri = uri
        self.object_id = ""
        # No lock guards the connection: only the owner sends and receives. Other threads may release() it, which closes the
        # socket, so that the owner gets an error in its exchange.
        self.connection: Optional[Connection] = None
        self.connected_socket = connected_socket
        self.fork_count = _fork_count
        self.seq = 0
        self.claim()
        self.timeout: Optional[float] = config.COMMTIMEOUT or None
        self.max_retries: int = config.MAX_RETRIES or 0
        self.serializer_name: Optional[str] = None
        self.wire: WireOptions
        self.serializer: SerializerBase
        self._read_settings()
        self.handshake: Any = "hello"
        self.methods: Set[str] = set()
        self.oneway: Set[str] = set()
        self.attrs: Set[str] = set()
        self.raw_response = False
        # Finalizers append in any thread while the owner pops: both are single operations of a list, which are atomic.
        self.abandoned_streams: List[str] = []

    def _read_settings(self) -> None:
        """
        Read the settings that take effect as soon as they are changed.

        `call` and `connect` do this when the number of ``global_version`` has changed. A call costs one comparison of ints.
        """
        # Read the number before the settings: if another thread changes a setting in between, the number that is stored here
        # is already out of date, and the next call reads the settings again.
        version = global_version.number
        self.wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        if self.serializer_name is None:
            self.serializer = serializers.get_serializer(config.SERIALIZER)
        if self.connection is not None:
            self.connection.read_settings(self.wire.max_size)
        self.settings_version = version

    def __del__(self) -> None:
        # any attribute may be missing if the constructor raised an exception
        if getattr(self, "connection", None) is not None:
            self.release()

    @property
    def can_reconnect(self) -> bool:
        """Whether a new connection to the object can be made: not if the proxy was created with a connected socket."""
        return self.uri.location != CONNECTED_SOCKET_LOCATION

    def claim(self) -> None:
        """Make the calling thread the owner."""
        self.owner = threading.get_ident()
        self.owner_client = _served_client()

    def clear_owner(self) -> None:
        """Make the next thread that uses the proxy its owner."""
        self.owner = UNOWNED
        self.owner_client = None

    def mark_in_transit(self) -> None:
        """Forbid all threads to use the proxy while the message that contains it is being decoded, see _values.recreation."""
        self.owner = IN_TRANSIT
        self.owner_client = None

    def check_owner(self) -> None:
        """Raise PyroError if the calling thread may not use the proxy."""
        # Two threads may claim an unowned proxy at the same moment; the last one to write becomes the owner, and the other
        # gets the error below at its next use. A lock would not help: the program has to decide which thread uses it.
        if self.owner == UNOWNED:
            self.claim()
        if self.owner == IN_TRANSIT:
            raise errors.PyroError("the message that contains this proxy for '%s' is still being decoded; the proxy can be "
                                   "used after that" % self.uri)
        if self.owner != threading.get_ident() and (self.owner_client is None or self.owner_client != _served_client()):
            raise errors.PyroError("the calling thread is not the owner of this proxy for '%s'; call _pyroClaimOwnership() in "
                                   "this thread, or give every thread a copy of the proxy" % self.uri)

    def usable_connection(self) -> Optional[Connection]:
        """
        Return the connection if the next request can be sent over it: it exists, was made by this process, and its last
        exchange was completed. Otherwise return None.

        Raises:
            PyroError: the calling thread is not the owner.
        """
        # the usual case, decided by one comparison; check_owner() handles the exceptions
        if self.owner != threading.get_ident():
            self.check_owner()
        connection = self.connection
        if connection is None or connection.mid_exchange or self.fork_count != _fork_count:
            return None
        if self.abandoned_streams:
            self._close_abandoned_streams(connection)
            return None if connection.mid_exchange else connection
        return connection

    # ------------------------------------------------------------ calling

    def call(self, connection: Connection, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
             flags: int, object_id: Optional[str] = None, annotations: Optional[Mapping[str, bytes]] = None) -> Any:
        """
        Call a method once and return its result.

        Args:
            connection: the result of `usable_connection` or `connect`.
            flags: FLAGS constants of the protocol module.
            object_id: the id of another object of the same daemon; None for the object of this link.
            annotations: annotations to send in addition to those of the current context.

        Returns:
            The result of the method; None for a oneway call; replies.StreamOpened if the result is an iterator; the reply
            message if raw_response is set.

        Raises:
            CommunicationError: the connection failed, and has been closed unless nothing was sent yet.
            SerializeError: an argument or the result cannot be serialized.
            Exception: the exception that the method raised.
        """
        if global_version.number != self.settings_version:
            self._read_settings()
        seq = self.seq = (self.seq + 1) & 0xFFFF
        build = requests.invoke_request if annotations is None else _with_annotations(annotations, requests.invoke_request)
        try:
            request = build(self.serializer, seq, flags, object_id or self.object_id, method, args, kwargs, self.wire)
        except errors.MessageTooLargeError as x:  # a MessageTooLargeError means the limit of the server, this is ours
            raise errors.ProtocolError("calling %s of %s: %s" % (method, self.bound_uri, x)) from None
        except Exception as x:  # a serializer, or user code that it calls, can raise anything for an argument
            explained = unsendable.explain(x, unsendable.argument_parts(args, kwargs), self.serializer)
            errors.add_context(explained, "calling %s of %s" % (method, self.bound_uri))
            raise explained from (x.__cause__ if explained is x else x)
        try:
            if flags & FLAGS_ONEWAY:
                connection.send_oneway(request, method)
                return None
            reply = connection.round_trip(request, method)
            callcontext.set_received_response(reply.annotations)
            return reply if self.raw_response else self._parse_reply(reply)
        except BaseException as x:
            # Also for KeyboardInterrupt: the reply to this request may still arrive, and the next call must not get it.
            if connection.mid_exchange or _server_closes_after(x, connection):
                self.drop()
            raise

    def abandon_stream(self, stream_id: str) -> None:
        """
        Ask the server to close an item stream: now if that is possible without blocking, otherwise with the next call.

        The server also closes the stream when the connection ends. Finalizers call this, in any thread and even in the middle
        of a call; so it never blocks, and never raises an exception for a connection that failed.
        """
        if self.fork_count != _fork_count or self.connection is None:
            return  # the stream belongs to the parent process, or was closed together with its connection
        self.abandoned_streams.append(stream_id)
        # Write to the connection only if this thread owns it alone and is not in the middle of an exchange, which is the
        # case if the garbage collector has interrupted a call.
        if self.owner == threading.get_ident() and self.owner_client is None and not self.connection.mid_exchange:
            self._close_abandoned_streams(self.connection)

    def _close_abandoned_streams(self, connection: Connection) -> None:
        """Send the requests that close the dropped streams. Those that cannot be sent without blocking stay in the list."""
        while self.abandoned_streams and not connection.mid_exchange:
            stream_id = self.abandoned_streams.pop()
            seq = self.seq = (self.seq + 1) & 0xFFFF
            request = requests.invoke_request(self.serializer, seq, FLAGS_ONEWAY, DAEMON_NAME, CLOSE_STREAM_METHOD,
                                           [stream_id], {}, self.wire)
            if not connection.send_if_ready(request):
                self.abandoned_streams.append(stream_id)
                return

    def _parse_reply(self, reply: ReceivingMessage) -> Any:
        serializer = self.serializer
        if reply.serializer_id != serializer.serializer_id:  # a forwarded blob keeps its original serializer
            serializer = serializers.get_serializer_by_id(reply.serializer_id)
        # most replies: skips the tests of parse_reply()
        if not reply.flags & replies.MORE_THAN_A_VALUE and len(reply.data) <= limits.FREE_BYTES:
            return serializer.loads(reply.data)
        result = replies.parse_reply(reply, serializer)
        if type(result) is replies.StreamOpened and result.stream_id is None:
            raise errors.ProtocolError("the result of the call is an iterator, but the server does not allow item streams "
                                       "(its setting ITER_STREAMING)")
        return result

    # ------------------------------------------------------------ connecting

    def connect(self, validate: Callable[[Any], None], replace_uri: bool = False) -> Connection:
        """
        Close the connection if there is one, make a new one, and return it.

        Args:
            validate: called with the server's handshake response; may raise an exception to refuse the connection.
            replace_uri: replace the uri by the PYRO URI that it was resolved to.

        Raises:
            NamingError: the uri cannot be resolved.
            CommunicationError: the server cannot be reached, or refuses the connection.
            PyroError: the calling thread is not the owner, or the object exposes nothing.
        """
        self.check_owner()
        if global_version.number != self.settings_version:
            self._read_settings()
        if self.connection is not None and self.connection.mid_exchange:
            self.drop()
        self.release()
        connection = self.connection = self._open(replace_uri)
        connection.objectId = self.object_id
        self.fork_count = _fork_count
        try:
            self._handshake(connection, validate)
        except BaseException:
            self.drop()
            raise
        log.debug("connected to %s", connection.target)
        return connection

    def release(self) -> None:
        """Close the connection if there is one. Any thread may call this; a call that is waiting for its reply then fails."""
        # Clear the attribute first: of two threads that release at the same time, at most both close the same socket, which
        # is harmless, and no thread finds a closed connection here.
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.fork_count == _fork_count:
            connection.close()
        else:
            connection.close_inherited()

    def drop(self) -> None:
        """Close a connection that cannot be used any more. A connected socket that the proxy was created with is forgotten."""
        self.release()
        self.connected_socket = None

    def _open(self, replace_uri: bool) -> Connection:
        if not self.can_reconnect:
            return self._use_connected_socket()
        uri = self.bound_uri = discovery.resolve(self.uri, reply_seconds=effective_timeout(self.timeout))
        self.object_id = str(uri.object)
        connection = open_connection(uri, self.timeout, self.wire.max_size)
        if replace_uri:
            self.uri = uri
        return connection

    def _use_connected_socket(self) -> Connection:
        sock = self.connected_socket
        if sock is None:
            raise errors.ConnectionClosedError("the connected socket of the proxy for '%s' was closed or is out of sync; "
                                               "create a new proxy with a new socket" % self.uri)
        timeout = effective_timeout(self.timeout)
        if timeout is not None or sock.gettimeout() == 0:
            sock.settimeout(timeout)
        self.object_id = str(self.uri.object)
        return Connection(sock, str(self.uri), self.wire.max_size, keep_open=True)

    def _handshake(self, connection: Connection, validate: Callable[[Any], None]) -> None:
        """Perform the handshake (not over a connected socket, which has none) and store the metadata of the object."""
        response = metadata = None
        if not connection.keep_open:
            response, metadata = connection.handshake(self.serializer, self.seq, self.object_id, self.handshake, self.wire)
        if metadata is None:
            self.seq = (self.seq + 1) & 0xFFFF
            metadata = connection.call(self.serializer, self.seq, DAEMON_NAME, "get_metadata", [self.object_id], self.wire)
        self.set_metadata(metadata)
        if not connection.keep_open:
            validate(response)

    def set_metadata(self, metadata: Any) -> None:
        """
        Store the names of the members that the object exposes.

        Raises:
            ProtocolError: the metadata is malformed.
            PyroError: the object exposes nothing.
        """
        # untrusted: check the exact types first, so that no code of the values' own classes runs
        if type(metadata) is not dict or not all([plain.is_texts(metadata.get(key)) for key in _METADATA]):
            raise errors.ProtocolError("the server sent malformed metadata of '%s': %s" % (self.uri, plain.text_of(metadata)))
        methods, oneway, attrs = (set(metadata[key]) for key in _METADATA)
        if not methods and not attrs:
            raise errors.PyroError("remote object '%s' doesn't expose any methods or attributes. Did you forget setting "
                                   "@expose on them?" % self.uri)
        self.methods, self.oneway, self.attrs = methods, oneway, attrs


def _server_closes_after(error: BaseException, connection: Connection) -> bool:
    """Return whether the server closes the connection, or may close it, after it has reported this error."""
    if isinstance(error, (errors.RemoteError, unsendable.Unsendable)):  # a method raised this, or its result cannot be sent
        return False
    if connection.keep_open:  # the only connection of that server: it is closed only when the server cannot read on
        return isinstance(error, errors.MessageTooLargeError)
    return isinstance(error, (errors.CommunicationError, errors.SecurityError))
