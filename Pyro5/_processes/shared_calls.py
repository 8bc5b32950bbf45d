"""What concerns all processes of a daemon, though its request has arrived in one of them."""
from __future__ import annotations

import base64
import logging
import socket
from typing import Any, Callable, Dict, List, Tuple

from .._calls.stalls import Link, chain_here
from .._net.offered_sockets import GivenConnection, offered_sockets
from .._server.connection import ServerConnection
from .._wire.features import FEATURES_ANNOTATION
from ..protocol import ReceivingMessage, SendingMessage
from .reports import report_of_process
from .siblings import Siblings

log = logging.getLogger("Pyro5.processes")


def share_calls(daemon: Any, siblings: Siblings) -> None:
    """Make a daemon do what the other processes ask for, and ask them. Called in each process, before it serves."""
    shared = _SharedCalls(daemon, siblings)
    daemon._dispatcher.move = shared.move
    offered_sockets.take_elsewhere = shared.take_offered


class _SharedCalls:
    """Handles the messages of the other processes, in the thread that receives them."""

    def __init__(self, daemon: Any, siblings: Siblings) -> None:
        self._daemon = daemon
        self._siblings = siblings
        handlers: Dict[str, Callable[[Any, List[int]], Any]] = {
            "cancel": self._cancel, "close stream": lambda stream_id, descriptors: daemon._streams.close(stream_id),
            "has": lambda object_id, descriptors: object_id in daemon._objects, "serve": self._serve,
            "take offered": self._take_for_other, "statistics": lambda value, descriptors: report_of_process(daemon),
            "chain": lambda correlation_id, descriptors: chain_here(bytes.fromhex(correlation_id))}
        for kind, handler in handlers.items():
            siblings.handle(kind, handler)
        daemon._dispatcher.stalls.chain_elsewhere = self._chain_elsewhere

    def _cancel(self, value: Any, descriptors: List[int]) -> None:
        number, seq = bytes.fromhex(value[0]), value[1]
        self._daemon._dispatcher.running.cancel(number, seq)
        self._daemon._streams.cancel(number, seq)

    def _chain_elsewhere(self, correlation_id: bytes) -> List[Link]:
        answers = self._siblings.ask("chain", correlation_id.hex())
        return [Link(*link) for answer in answers for link in answer.value]

    # ------------------------------------------------------------ objects that are registered in one process

    def move(self, connection: Any, message: ReceivingMessage, announced: Any, object_id: str) -> bool:
        """Pass a new connection to the process that has the object; return False if there is none.

        With TLS this is not possible, because its state is in this process.
        """
        if connection.has_tls or connection.mid_message:
            return False
        places = [answer.place for answer in self._siblings.ask("has", object_id) if answer.value]
        if not places:
            return False
        annotations: Dict[str, bytes] = {name: bytes(data) for name, data in message.annotations.items()}
        if announced is not None:
            annotations[FEATURES_ANNOTATION] = bytes(announced)
        copied = SendingMessage(message.type, message.flags, message.seq, message.serializer_id, bytes(message.data),
                                annotations, correlation_id=message.corr_bytes, compress=False)
        data = base64.b64encode(b"".join(copied.buffers)).decode("ascii")

        def pass_on(sock: socket.socket) -> None:
            with sock:  # the other process gets a copy
                self._siblings.send_to(places[0], "serve", data, [sock.fileno()])

        connection.deferred = GivenConnection(connection, pass_on)
        return True

    def _serve(self, message: str, descriptors: List[int]) -> None:
        """Serve a connection that another process has accepted, and whose first message it has received."""
        for descriptor in descriptors:
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)
            connection = ServerConnection.accepted(sock, self._daemon.transportServer)
            connection.add_received(base64.b64decode(message))
            log.debug("the connection with %s was accepted by another process", connection.peer_address)
            self._daemon.transportServer.park(connection)

    # ------------------------------------------------------------ connections for callbacks

    def take_offered(self, host: str) -> Tuple[Any, bool]:
        """Return a socket that another process has received from a client, or None, and whether there may be one later."""
        answers = self._siblings.ask("take offered", host)
        sockets = [socket.socket(fileno=descriptor) for answer in answers for descriptor in answer.descriptors]
        for sock in sockets[1:]:
            offered_sockets.add(host, sock, self._daemon.transportServer)
        return (sockets[0] if sockets else None), any([answer.value for answer in answers])

    def _take_for_other(self, host: str, descriptors: List[int]) -> Any:
        sock, is_known = offered_sockets.take_for_other(host)
        return is_known, [] if sock is None else [sock.detach()]
