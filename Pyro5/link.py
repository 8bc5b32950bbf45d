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
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Set, Union

from . import callcontext, calls, config, discovery, errors, serializers
from .calls import WireOptions
from .connection import Connection, open_connection
from .constants import DAEMON_NAME
from .protocol import FLAGS_ONEWAY, ReceivingMessage, SendingMessage
from .serializers import SerializerBase
from .uri import URI

__all__ = ["Link", "connected_socket_uri"]

log = logging.getLogger("Pyro5.link")

CONNECTED_SOCKET_LOCATION = "<<connected-socket>>:0"

# How many forks ago this process began: a connection made before the last one belongs to the parent process.
_fork_count = 0


def _note_fork() -> None:
    global _fork_count
    _fork_count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def connected_socket_uri(object_name: Union[str, URI]) -> URI:
    """Make the uri that stands for an object at the other end of a ready-made socket."""
    if isinstance(object_name, URI) or object_name.upper().startswith("PYRO:"):
        object_name = str(URI(object_name).object)
    return URI("PYRO:%s@%s" % (object_name, CONNECTED_SOCKET_LOCATION))


class Link:
    """
    Everything a proxy knows. Settings are read here, once. All methods but `release` belong to the owning thread.

    Args:
        uri: of the object; PYRONAME and PYROMETA are resolved anew for every connection.
        connected_socket: use this one and leave it open, if the uri is that of `connected_socket_uri`.

    Attributes:
        object_id: the object's id in its daemon; known once connected.
        forks: the value of _fork_count when the connection was made.
        methods, oneway, attrs: the names that the object exposes; empty while nothing is known.
    """

    __slots__ = ("uri", "object_id", "connection", "connected_socket", "forks", "seq", "owner", "timeout",
                 "max_retries", "wire", "serializer_name", "serializer", "handshake", "methods", "oneway", "attrs",
                 "raw_response")

    def __init__(self, uri: URI, connected_socket: Optional[socket.socket] = None) -> None:
        self.uri = uri
        self.object_id = ""
        self.connection: Optional[Connection] = None
        self.connected_socket = connected_socket
        self.forks = _fork_count
        self.seq = 0
        self.owner = threading.get_ident()
        self.timeout: Optional[float] = config.COMMTIMEOUT or None
        self.max_retries: int = config.MAX_RETRIES
        self.wire = WireOptions(config.MAX_MESSAGE_SIZE, config.COMPRESSION)
        self.serializer_name: Optional[str] = None
        self.serializer: SerializerBase = serializers.get_serializer(config.SERIALIZER)
        self.handshake: Any = "hello"
        self.methods: Set[str] = set()
        self.oneway: Set[str] = set()
        self.attrs: Set[str] = set()
        self.raw_response = False

    @property
    def can_reconnect(self) -> bool:
        """Whether a new connection to the object could be made."""
        return self.uri.location != CONNECTED_SOCKET_LOCATION

    @property
    def usable_connection(self) -> Optional[Connection]:
        """The connection if requests can be sent over it: it is this process' own, and no earlier one was broken off."""
        connection = self.connection
        if connection is None or connection.in_doubt or self.forks != _fork_count:
            return None
        return connection

    def check_owner(self) -> None:
        """Raise PyroError if the calling thread is not the owner."""
        if self.owner != threading.get_ident():
            raise errors.PyroError("the calling thread is not the owner of this proxy for '%s'; take it over with "
                                   "_pyroClaimOwnership(), or give every thread a copy of its own" % self.uri)

    def next_seq(self) -> int:
        """Count a request."""
        self.seq = (self.seq + 1) & 0xFFFF
        return self.seq

    def call(self, method: str, args: Sequence[Any], kwargs: Optional[Mapping[str, Any]], flags: int,
             object_id: Optional[str], annotations: Optional[Mapping[str, bytes]]) -> Any:
        """
        Call a method over the connection, which must be there.

        Args:
            object_id: of another object of the same daemon, if not the own one.
            annotations: to be sent besides those of the current context.

        Returns:
            the result; None for a oneway call; the reply itself with raw_response; calls.StreamOpened for an iterator.
        """
        request = self._build_request(method, args, kwargs, flags, object_id or self.object_id, annotations)
        connection = self.connection
        assert_connected(connection)
        try:
            if request.flags & FLAGS_ONEWAY:
                connection.send_only(request, method)
                return None
            reply = connection.round_trip(request, method)
            callcontext.set_received_response(reply.annotations)
            return reply if self.raw_response else self._parse_reply(reply)
        except BaseException as x:
            if connection.in_doubt or isinstance(x, errors.CommunicationError):
                self.drop()
            raise
