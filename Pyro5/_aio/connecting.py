"""Opening connections: resolving URIs and host names, connecting, the handshake.

TLS that was set up by a socket of another kind goes on over a transport of an event loop: loops encrypt only connections whose
TLS handshake they have done. One that a client has offered for callbacks has done its handshake before a proxy uses it.
"""
from __future__ import annotations

import asyncio
import functools
import os
import socket
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from .. import NamedTuple, config, errors
from .._auth import client_exchange
from .._client.call_options import RANDOM
from .._client.candidates import in_order_of_trial, note_unreachable
from .._client.failures import connection_failure, handshake_hint
from .._client.discovery import resolve_all
from .._messages import handshake
from .._messages.requests import WireOptions
from .._net import addresses, tls
from .._net.addresses import is_offered
from .._net.offered_sockets import offered_sockets
from .._net.shared_memory import host_of
from .._net.tls_layer import TlsLayer
from .._net.tls_socket import TlsSocket
from .._values.uri import URI
from .._wire import features
from ..protocol import Buffer
from ..serializers import SerializerBase
from .connection import Connection

T = TypeVar("T")


class Handshake(NamedTuple):
    """The data that a client sends first."""

    serializer: SerializerBase
    value: Any
    wire: WireOptions


class Accepted(NamedTuple):
    """A connection after its handshake, and what the server answered."""

    connection: Connection
    uri: URI
    response: Any
    metadata: Optional[Mapping[str, Any]]
    annotations: Dict[str, Any]


async def _here(function: Callable[..., T], *args: Any) -> T:
    return function(*args)


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function that may block in a thread of the event loop's default executor."""
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *args, **kwargs))


async def connect_to_any(uri: URI, connect: Callable[[URI], Awaitable[T]], reply_seconds: Optional[float],
                         pick: str = RANDOM) -> T:
    """Connect to the object that a URI refers to; if there are several, to one that can be reached.

    Arguments and errors as for `_client.candidates.connect_to_any`.
    """
    # In a thread, because the lookup uses blocking sockets.
    found = [uri] if uri.protocol == "PYRO" else await in_thread(resolve_all, uri, reply_seconds, pick)
    # Those that were not reachable a short time ago come last.
    candidates = in_order_of_trial(found, pick)
    for candidate in candidates[:-1]:
        try:
            # The error of one candidate is of interest only if it is the last one.
            return await connect(candidate)
        except errors.CommunicationError as x:
            if x.sent is not False:  # the server may have done something: another one must not do it again
                raise
            note_unreachable(candidate, uri, x)
    try:
        return await connect(candidates[-1])
    except errors.CommunicationError as x:
        if len(candidates) > 1 and x.sent is False:
            errors.add_context(x, "none of %d objects can be reached, the last one was" % len(candidates))
        raise


async def open_connection(uri: URI, timeout: Optional[float], first: Handshake) -> Accepted:
    """Connect to the location of a PYRO URI and perform the handshake.

    Args:
        timeout: limit in seconds of all of it together; None is no limit.

    Raises:
        TimeoutError: the server did not answer in time.
        CommunicationError: the server cannot be reached or refused the connection, or TLS failed.
    """
    connection = Connection(asyncio.get_running_loop(), str(uri), first.wire.max_size)
    # Set in the coroutine, and read here: the exception of wait_for() does not say how far it came.
    connected: List[bool] = []
    try:
        # One limit for all steps: the time that a program waits is what the setting means.
        return await asyncio.wait_for(_connect_and_shake_hands(connection, uri, first, connected), timeout)
    except asyncio.TimeoutError:
        connection.abort()
        if connected:
            raise errors.not_sent(errors.TimeoutError(
                "connecting to %s: timeout (the server did not answer the handshake: is its request loop running?)"
                % uri)) from None
        raise connection_failure(uri, socket.timeout("timed out")) from None
    except errors.PyroError as x:
        connection.abort()
        raise errors.not_sent(x)  # noqa: B904  # the same error
    except OSError as x:
        connection.abort()
        raise connection_failure(uri, _plain(x)) from x
    except BaseException:
        connection.abort()  # cancelled: the socket must not outlive the task
        raise


async def _connect_and_shake_hands(connection: Connection, uri: URI, first: Handshake, connected: List[bool]) -> Accepted:
    await _connect(connection, uri)
    connected.append(True)
    # The same object in both requests: the proof is only valid for it.
    object_id = str(uri.object)
    proofs = client_exchange(object_id, connection.transport.get_extra_info("ssl_object")
                               or connection.transport.get_extra_info("socket"), str(uri),
                             handshake.has_secrets(first.value))
    proof = None if proofs is None else proofs.hello
    host = host_of(connection.transport.get_extra_info("socket"))
    activity = "connecting to %s" % uri
    try:
        while True:
            reply = await connection.exchange(handshake.connect_request(
                first.serializer, connection.next_seq(), object_id, first.value, first.wire, pipelines=True,
                proof=proof, host=host, withholds=proofs is not None and proofs.withholds))
            # A server that checks clients refuses the first request, with what the proof must contain.
            proof = None if proofs is None else await (in_thread if proofs.takes_long else _here)(proofs.answer_to, reply)
            if proof is None:
                break
    except errors.ConnectionClosedError as x:
        errors.add_context(x, activity)
        # A server that hangs up without an answer often speaks TLS where this side does not, or the other way round.
        x.args = ("%s (%s)" % (x, handshake_hint(connection.transport.get_extra_info("sslcontext") is not None)),)
        raise
    except errors.ProtocolError as x:
        errors.add_context(x, activity)
        raise
    # Taken out: the program sees only annotations of programs.
    found = features.parse(reply.annotations.pop(features.FEATURES_ANNOTATION, None), host)
    try:
        response, metadata = handshake.parse_connect_reply(reply)
    except errors.CommunicationError as x:
        errors.add_context(x, activity)
        raise
    # The server's own proof: without it, anything that listens there could have sent the reply.
    if proofs is not None:
        proofs.finish(reply.annotations.pop(handshake.AUTH_ANNOTATION, None))
    connection.begin(found)  # from here on replies are assigned to calls by their numbers
    return Accepted(connection, uri, response, metadata, reply.annotations)


async def _connect(connection: Connection, uri: URI) -> None:
    loop = connection.loop
    if is_offered(uri.host):
        sock = await _take_offered(str(uri.host))
        sock.setblocking(False)
        if hasattr(sock, "pending"):
            await connect_with_tls(connection, sock)
        else:
            await loop.create_connection(lambda: connection, sock=sock)
        return
    # Read when connecting: a program may switch SSL on after it has imported this module.
    context = tls.client_context() if config.SSL else None
    if uri.sockname:
        # on a Unix socket the server is on this machine, and its certificate must be valid for localhost
        name = "localhost" if context else None
        await loop.create_unix_connection(lambda: connection, uri.sockname, ssl=context, server_hostname=name)
        return
    failure: Optional[OSError] = None
    # In the order of the system, one after the other, as the synchronous client does.
    for family, address in await _resolve((uri.host, uri.port)):
        try:
            await loop.create_connection(lambda: connection, address[0], address[1], family=family, ssl=context,
                                         server_hostname=uri.host if context else None)
            return
        except OSError as x:  # the last one counts, as in the synchronous client
            failure = x
    raise failure or OSError("no address")


async def _take_offered(host: str) -> Any:
    """Return a socket that the process at this host has offered."""
    taken = asyncio.get_running_loop().run_in_executor(None, offered_sockets.take, host, None)
    try:
        return await asyncio.shield(taken)
    except asyncio.CancelledError:
        taken.add_done_callback(_close_unused)  # the thread may have it already
        raise


def _close_unused(taken: asyncio.Future[Any]) -> None:
    if not taken.cancelled() and taken.exception() is None:
        taken.result().close()


def _plain(error: OSError) -> OSError:
    """Return an error of connecting with the text of the system: that of asyncio repeats the address."""
    if error.errno and str(error.strerror).startswith("Connect call failed"):
        return OSError(error.errno, os.strerror(error.errno))
    return error


async def _resolve(address: Any) -> List[Tuple[int, Any]]:
    """Resolve a host name; in a thread, unless the answer is known without asking the system."""
    family = addresses.wanted_family(None)
    if addresses.is_ip_address(str(address[0])):
        return addresses.resolve_host(address, family, socket.SOCK_STREAM)
    return await in_thread(addresses.resolve_host, address, family, socket.SOCK_STREAM)


class _Transport:
    """The methods of a transport that the protocol of a client uses: what is written is encrypted."""

    def __init__(self, transport: Any, layer: TlsLayer) -> None:
        self._transport = transport
        self._layer = layer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the TLS connection, its context, or what the transport knows."""
        end = self._layer.state.end
        own = {"ssl_object": end, "sslcontext": end.context}
        return own[name] if name in own else self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or about to be."""
        return bool(self._transport.is_closing())

    def write(self, data: Buffer) -> None:
        """Encrypt data, and send it."""
        self._layer.encrypt(data)
        self.flush()

    def flush(self) -> None:
        """Send what TLS has to send."""
        data = self._layer.output()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Send what is left, and close the connection."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


class _Protocol(asyncio.Protocol):
    """Decrypts what a transport receives, for the protocol of a client."""

    def __init__(self, inner: asyncio.Protocol, layer: TlsLayer) -> None:
        self._inner = inner
        self._layer = layer
        self._transport: Any = None
        self._failure: Optional[OSError] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = _Transport(transport, self._layer)
        self._inner.connection_made(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            pieces = self._layer.receive(data)
        except OSError as x:
            self._failure = x
            self._transport.flush()  # the alert that says why
            self._transport.close()
            return
        self._transport.flush()
        for piece in pieces:
            self._inner.data_received(piece)
        if self._layer.closed:
            self._transport.close()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        # The transport refers to this object: without the rest, nothing is left to be collected as a cycle.
        inner, self._transport = self._inner, None
        inner.connection_lost(exc or self._failure)


async def connect_with_tls(protocol: asyncio.Protocol, sock: TlsSocket) -> None:
    """Make a protocol send and receive over a connected socket, whose TLS handshake is done, in the running event loop.

    The socket is closed in any case.

    Raises:
        OSError: encrypted bytes are left to be sent.
    """
    with sock:
        plain, state = sock.without_tls()
    layer = TlsLayer(state, handshake_done=True)
    try:
        await asyncio.get_running_loop().create_connection(lambda: _Protocol(protocol, layer), sock=plain)
    except BaseException:
        plain.close()
        raise
