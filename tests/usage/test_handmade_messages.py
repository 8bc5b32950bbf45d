"""Programs that use the classes of Pyro5.protocol by hand: a forwarder between a proxy and a daemon, a client without a proxy,
and a method that takes the context of its call along into a thread."""
from __future__ import annotations

import contextlib
import threading
import unittest
import uuid
from typing import Any, Iterator, List

from Pyro5 import config, errors, protocol, serializers, socketutil
from Pyro5.api import Daemon, Proxy, current_context, expose
from Pyro5.protocol import MSG_CONNECT, MSG_CONNECTOK, MSG_INVOKE, MSG_RESULT, ReceivingMessage, SendingMessage

from ..support import PATIENCE_SECONDS, daemon_thread

CORRELATION = uuid.UUID(int=99)


@expose
class Thing:
    def echo(self, value: Any) -> Any:
        return value

    def context(self) -> List[Any]:
        annotations = {key: bytes(value).decode() for key, value in current_context.annotations.items()}
        return [str(current_context.correlation_id), annotations]

    def context_in_thread(self) -> Any:
        values, found = current_context.to_global(), []

        def work() -> None:
            current_context.from_global(values)
            found.append([str(current_context.correlation_id), current_context.seq, sorted(current_context.annotations)])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    def fail(self) -> None:
        raise ValueError("failed")


class Forwarder:
    """Takes one client, and passes every message on, both ways, decoded and encoded again."""

    def __init__(self, uri: Any) -> None:
        self.listener = socketutil.create_socket(bind=("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target = (uri.host, uri.port)
        self.seen: List[ReceivingMessage] = []
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        sock, _ = self.listener.accept()
        with socketutil.SocketConnection(sock) as client, \
                socketutil.SocketConnection(socketutil.create_socket(connect=self.target)) as server, \
                contextlib.suppress(errors.ConnectionClosedError):
            while True:
                self.forward(client, server)
                self.forward(server, client)

    def forward(self, source: socketutil.SocketConnection, target: socketutil.SocketConnection) -> None:
        message = protocol.recv_stub(source)
        self.seen.append(message)
        current_context.correlation_id = uuid.UUID(bytes=message.corr_id) if message.corr_bytes else None
        target.send(SendingMessage(message.type, message.flags, message.seq, message.serializer_id, message.data,
                                   dict(message.annotations)).data)


class HandmadeTests(unittest.TestCase):
    def setUp(self) -> None:
        before = config.as_dict()
        self.addCleanup(lambda: [setattr(config, name, value) for name, value in before.items()])
        self.addCleanup(setattr, current_context, "correlation_id", current_context.correlation_id)
        self.addCleanup(setattr, current_context, "annotations", {})
        config.COMMTIMEOUT = PATIENCE_SECONDS
        self.daemon = Daemon()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        stack.enter_context(daemon_thread(self.daemon))
        self.uri = self.daemon.register(Thing(), "thing")

    @contextlib.contextmanager
    def forwarder(self) -> Iterator[Forwarder]:
        forwarder = Forwarder(self.uri)
        try:
            yield forwarder
        finally:
            forwarder.thread.join(PATIENCE_SECONDS)
            forwarder.listener.close()

    def test_a_forwarder_changes_nothing(self) -> None:
        for compression in (False, True):
            config.COMPRESSION = compression
            with self.forwarder() as forwarder, Proxy("PYRO:thing@127.0.0.1:%d" % forwarder.port) as proxy:
                current_context.correlation_id = CORRELATION
                current_context.annotations = {"TEST": b"annotation"}
                self.assertEqual([str(CORRELATION), {"TEST": "annotation"}], proxy.context())
                self.assertEqual("x" * 100000, proxy.echo("x" * 100000))
                with self.assertRaisesRegex(ValueError, "failed"):
                    proxy.fail()
            self.assertEqual([MSG_CONNECT, MSG_CONNECTOK, MSG_INVOKE, MSG_RESULT], [each.type for each in forwarder.seen[:4]])
            self.assertEqual({CORRELATION.bytes}, {each.corr_id for each in forwarder.seen})

    def test_a_client_without_a_proxy(self) -> None:
        serializer = serializers.serializers["json"]
        current_context.correlation_id = CORRELATION
        sock = socketutil.create_socket(connect=(self.uri.host, self.uri.port), timeout=PATIENCE_SECONDS)
        with socketutil.SocketConnection(sock) as connection:
            payload = serializer.dumps({"handshake": "hello", "object": "thing"})
            connection.send(SendingMessage(MSG_CONNECT, 0, 0, serializer.serializer_id, payload).data)
            protocol.recv_stub(connection, [MSG_CONNECTOK])
            SendingMessage.ping(connection)
            payload = serializer.dumpsCall("thing", "echo", ("over the wire",), {})
            connection.send(SendingMessage(MSG_INVOKE, protocol.FLAGS_COMPRESSED, 1, serializer.serializer_id, payload).data)
            reply = protocol.recv_stub(connection, [MSG_RESULT])
            self.assertEqual(("over the wire", 1, CORRELATION),
                             (serializer.loads(reply.data), reply.seq, uuid.UUID(bytes=reply.corr_id)))
            config.MAX_MESSAGE_SIZE = 10
            connection.send(SendingMessage(MSG_INVOKE, 0, 2, serializer.serializer_id, payload, max_size=0).data)
            with self.assertRaises(errors.ProtocolError):
                protocol.recv_stub(connection)

    def test_a_method_takes_its_context_along_into_a_thread(self) -> None:
        current_context.correlation_id = CORRELATION
        current_context.annotations = {"TEST": b"x"}
        with Proxy(self.uri) as proxy:
            self.assertEqual([str(CORRELATION), proxy._pyroSeq + 1, ["TEST"]], proxy.context_in_thread())


if __name__ == "__main__":
    unittest.main()
