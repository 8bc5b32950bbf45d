"""
A proxy's link with its object: whom to talk with and how, the sequence numbers, and a connection while there is one.

Kept apart from the proxy because that gives every name without ``_pyro`` away to the remote object.
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
from .._values import plain, unsendable
from .._wire import calls, structure
from .._wire.calls import WireOptions
from .._wire.uri import URI
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
NOBODY = 0  # no thread has this number
SEALED = -1  # nor this one
_METADATA = ("methods", "oneway", "attrs")  # keys of what a server says of an object

# How many forks ago this process began: a connection made before the last one belongs to the parent process.
_fork_count = 0


def _note_fork() -> None:
    global _fork_count
    _fork_count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def _session() -> Any:
    """Tell the client whose requests, one after the other, run here; None if there is none. A oneway call is not one of them:
    it may run beside the next request."""
    client = callcontext.current_context.client
    if client is None or callcontext.current_context.msg_flags & FLAGS_ONEWAY:
        return None
    return weakref.ref(client)


def connected_socket_uri(object_name: Union[str, URI]) -> URI:
    """Make the uri that stands for an object at the other end of a ready-made socket."""
    if isinstance(object_name, URI) or object_name.upper().startswith("PYRO:"):
        object_name = str(URI(object_name).object)
    return URI("PYRO:%s@%s" % (object_name, CONNECTED_SOCKET_LOCATION))


def _with_annotations(annotations: Mapping[str, bytes], build: Callable[..., SendingMessage]) -> Callable[..., SendingMessage]:
    """Have a request carry more annotations than those of the current context, which stays as it is."""
    def build_in_copy(*args: Any) -> SendingMessage:
        callcontext.current_context.annotations = {**callcontext.outgoing_annotations(), **annotations}
        return build(*args)

    return lambda *args: contextvars.copy_context().run(build_in_copy, *args)


class Link:
    """
    Everything a proxy knows. COMMTIMEOUT and MAX_RETRIES are read here, once; other settings whenever they were changed. All
    methods but `release` belong to the owning thread.

    Args:
        uri: of the object; PYRONAME and PYROMETA are resolved anew for every connection.
        connected_socket: use this one and leave it open, if the uri is that of `connected_socket_uri`.

    Attributes:
        bound_uri: the PYRO uri of the object that the connection is, or was last, made to.
        object_id: the object's id in its daemon; known once connected.
        forks: the value of _fork_count when the connection was made.
        owner: the thread that may use the proxy; NOBODY: whoever uses it first becomes the owner; SEALED: the message that the
            proxy came in is still being read.
        owning_session: the client that was being served when the owner got it: other threads may use it too, while they
            serve the same client, whose requests never run side by side.
        abandoned_streams: item streams that were dropped, and that the server has not been told of yet.
        methods, oneway, attrs: the names that the object exposes; empty while nothing is known.
    """

    __slots__ = ("uri", "bound_uri", "object_id", "connection", "connected_socket", "forks", "seq", "owner",
                 "owning_session", "timeout", "max_retries", "wire", "serializer_name", "serializer", "handshake",
                 "methods", "oneway", "attrs", "raw_response", "settings_version", "abandoned_streams")

    def __init__(self, uri: URI, connected_socket: Optional[socket.socket] = None) -> None:
        self.uri = uri
        self.bound_uri = uri
        self.object_id = ""
        self.connection: Optional[Connection] = None
        self.connected_socket = connected_socket
        self.forks = _fork_count
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
        self.abandoned_streams: List[str] = []  # ids; finalizers append to it in any thread

    def _read_settings(self) -> None:
        """
        Read the settings that count as soon as they are changed.

        `call` and `connect` do so when ``global_version`` has another number: this comparison is all that it costs a call.
        """
        version = global_version.number  # first: a change that comes in between is found by the next comparison
        self.wire = WireOptions(config.MAX_MESSAGE_SIZE or 0, bool(config.COMPRESSION))
        if self.serializer_name is None:
            self.serializer = serializers.get_serializer(config.SERIALIZER)
        if self.connection is not None:
            self.connection.read_settings(self.wire.max_size)
        self.settings_version = version

    def __del__(self) -> None:
        # the constructor may have been cut short, so any attribute may be missing
        if getattr(self, "connection", None) is not None:
            self.release()

    @property
    def can_reconnect(self) -> bool:
        """Whether a new connection to the object could be made."""
        return self.uri.location != CONNECTED_SOCKET_LOCATION

    def claim(self) -> None:
        """Make the calling thread the owner."""
        self.owner = threading.get_ident()
        self.owning_session = _session()

    def disown(self) -> None:
        """Let whoever uses the proxy first be its owner."""
        self.owner = NOBODY
        self.owning_session = None

    def seal(self) -> None:
        """Let no thread use the proxy: it is part of a message that is still being read, see _values.recreation."""
        self.owner = SEALED
        self.owning_session = None

    def check_owner(self) -> None:
        """Raise PyroError if the calling thread may not use the proxy."""
        if self.owner == NOBODY:
            self.claim()
        if self.owner == SEALED:
            raise errors.PyroError("the message with this proxy for '%s' is still being read; a proxy can be used when it has "
                                   "been handed over" % self.uri)
        if self.owner != threading.get_ident() and (self.owning_session is None or self.owning_session != _session()):
            raise errors.PyroError("the calling thread is not the owner of this proxy for '%s'; take it over with "
                                   "_pyroClaimOwnership(), or give every thread a copy of its own" % self.uri)

    def maybe_ready(self) -> Optional[Connection]:
        """
        Give the connection if the next request can go over it: it is there, is this process' own, and is in step.

        Raises:
            PyroError: the calling thread is not the owner.
        """
        if self.owner != threading.get_ident():
            self.check_owner()
        connection = self.connection
        if connection is None or connection.in_doubt or self.forks != _fork_count:
            return None
        if self.abandoned_streams:
            self._close_abandoned_streams(connection)
            return None if connection.in_doubt else connection
        return connection

    # ------------------------------------------------------------ calling

    def call(self, connection: Connection, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]],
             flags: int, object_id: Optional[str] = None, annotations: Optional[Mapping[str, bytes]] = None) -> Any:
        """
        Call a method.

        Args:
            object_id: of another object of the same daemon, None for the own one.
            annotations: to send besides those of the current context.

        Returns:
            the result; None for a oneway call; calls.StreamOpened for an iterator; with raw_response the reply itself.

        Raises:
            CommunicationError: the connection is gone (also if the server raised it, except before anything was sent).
        """
        if global_version.number != self.settings_version:
            self._read_settings()
        seq = self.seq = (self.seq + 1) & 0xFFFF
        build = calls.invoke_request if annotations is None else _with_annotations(annotations, calls.invoke_request)
        try:
            request = build(self.serializer, seq, flags, object_id or self.object_id, method, args, kwargs, self.wire)
        except errors.MessageTooLargeError as x:  # the server's limit is a MessageTooLargeError
            raise errors.ProtocolError("calling %s of %s: %s" % (method, self.bound_uri, x)) from None
        except Exception as x:  # whatever a serializer, or the user's part in it, says of an argument
            explained = unsendable.explain(x, unsendable.argument_parts(args, kwargs), self.serializer)
            errors.add_context(explained, "calling %s of %s" % (method, self.bound_uri))
            raise explained from (x.__cause__ if explained is x else x)
        try:
            if flags & FLAGS_ONEWAY:
                connection.send_only(request, method)
                return None
            reply = connection.round_trip(request, method)
            callcontext.set_received_response(reply.annotations)
            return reply if self.raw_response else self._parse_reply(reply)
        except BaseException as x:
            if connection.in_doubt or _server_parts_after(x, connection):
                self.drop()
            raise

    def abandon_stream(self, stream_id: str) -> None:
        """
        Tell the server that an item stream is not wanted any more, at once if that is possible without waiting.

        Otherwise the next call does, or the server finds out when the connection ends. May be called by finalizers: in any
        thread, and in the middle of a call.
        """
        if self.forks != _fork_count or self.connection is None:
            return  # the stream is the parent process's own, or has ended with its connection
        self.abandoned_streams.append(stream_id)
        if self.owner == threading.get_ident() and self.owning_session is None and not self.connection.in_doubt:
            self._close_abandoned_streams(self.connection)

    def _close_abandoned_streams(self, connection: Connection) -> None:
        """Send what closes the streams that were dropped; those that the network does not take now stay for the next call."""
        while self.abandoned_streams and not connection.in_doubt:
            stream_id = self.abandoned_streams.pop()
            seq = self.seq = (self.seq + 1) & 0xFFFF
            request = calls.invoke_request(self.serializer, seq, FLAGS_ONEWAY, DAEMON_NAME, CLOSE_STREAM_METHOD,
                                           [stream_id], {}, self.wire)
            if not connection.send_if_ready(request):
                self.abandoned_streams.append(stream_id)
                return

    def _parse_reply(self, reply: ReceivingMessage) -> Any:
        serializer = self.serializer
        if reply.serializer_id != serializer.serializer_id:  # a blob that is passed on keeps the serializer it came with
            serializer = serializers.get_serializer_by_id(reply.serializer_id)
        if not reply.flags & calls.MORE_THAN_A_VALUE and len(reply.data) <= structure.FREE_BYTES:
            return serializer.loads(reply.data)
        result = calls.parse_reply(reply, serializer)
        if type(result) is calls.StreamOpened and result.stream_id is None:
            raise errors.ProtocolError("the result of the call is an iterator, but the server does not allow item streams "
                                       "(its setting ITER_STREAMING)")
        return result

    # ------------------------------------------------------------ connecting

    def connect(self, validate: Callable[[Any], None], replace_uri: bool = False) -> Connection:
        """
        Make a new connection in place of the one that there may be.

        Args:
            validate: called with what the server answered in the handshake; may raise an exception to refuse it.
            replace_uri: keep the PYRO uri that the uri leads to.

        Raises:
            NamingError: the uri leads nowhere.
            CommunicationError: nobody is there, or the server refuses.
            PyroError: the object exposes nothing.
        """
        self.check_owner()
        if global_version.number != self.settings_version:
            self._read_settings()
        if self.connection is not None and self.connection.in_doubt:
            self.drop()
        self.release()
        connection = self.connection = self._open(replace_uri)
        connection.objectId = self.object_id
        self.forks = _fork_count
        try:
            self._introduce(connection, validate)
        except BaseException:
            self.drop()
            raise
        log.debug("connected to %s", connection.target)
        return connection

    def release(self) -> None:
        """Close the connection, if there is one. Any thread may do this."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.forks == _fork_count:
            connection.close()
        else:
            connection.abandon()

    def drop(self) -> None:
        """Close a connection that is out of step; a socket that was given to the proxy is of no use any more."""
        self.release()
        self.connected_socket = None

    def _open(self, replace_uri: bool) -> Connection:
        if not self.can_reconnect:
            return self._take_socket()
        uri = self.bound_uri = discovery.resolve(self.uri)
        self.object_id = str(uri.object)
        connection = open_connection(uri, self.timeout, self.wire.max_size)
        if replace_uri:
            self.uri = uri
        return connection

    def _take_socket(self) -> Connection:
        sock = self.connected_socket
        if sock is None:
            raise errors.ConnectionClosedError("the socket that the proxy for '%s' was given is lost or out of step; make "
                                               "a new proxy with another one" % self.uri)
        timeout = effective_timeout(self.timeout)
        if timeout is not None or sock.gettimeout() == 0:
            sock.settimeout(timeout)
        self.object_id = str(self.uri.object)
        return Connection(sock, str(self.uri), self.wire.max_size, keep_open=True)

    def _introduce(self, connection: Connection, validate: Callable[[Any], None]) -> None:
        """Shake hands (not over a socket that somebody else connected) and learn what the object exposes."""
        response = metadata = None
        if not connection.keep_open:
            response, metadata = connection.handshake(self.serializer, self.seq, self.object_id, self.handshake, self.wire)
        if metadata is None:
            self.seq = (self.seq + 1) & 0xFFFF
            metadata = connection.call(self.serializer, self.seq, DAEMON_NAME, "get_metadata", [self.object_id], self.wire)
        self.learn(metadata)
        if not connection.keep_open:
            validate(response)

    def learn(self, metadata: Any) -> None:
        """Keep what an object exposes.

        Raises:
            ProtocolError: the metadata cannot be used.
            PyroError: the object exposes nothing.
        """
        # nothing is used before its exact type is known: it came over the network
        if type(metadata) is not dict or not all([plain.is_texts(metadata.get(key)) for key in _METADATA]):
            raise errors.ProtocolError("the server sent unusable metadata of '%s': %s" % (self.uri, plain.text_of(metadata)))
        methods, oneway, attrs = (set(metadata[key]) for key in _METADATA)
        if not methods and not attrs:
            raise errors.PyroError("remote object '%s' doesn't expose any methods or attributes. Did you forget setting "
                                   "@expose on them?" % self.uri)
        self.methods, self.oneway, self.attrs = methods, oneway, attrs


def _server_parts_after(error: BaseException, connection: Connection) -> bool:
    """Tell whether the server closes the connection after it has reported this error, or may do so."""
    if isinstance(error, (errors.RemoteError, unsendable.Unsendable)):  # a method raised this, or its result cannot be sent
        return False
    if connection.keep_open:  # it has no other one, and gives it up only when it cannot read on
        return isinstance(error, errors.MessageTooLargeError)
    return isinstance(error, (errors.CommunicationError, errors.SecurityError))
