"""Clients that change the serializer in the middle of a connection: each reply is written in the one of its request."""
from __future__ import annotations

import unittest
from typing import Any, Iterator, List, Tuple

from Pyro5 import config, errors, protocol, serializers
from Pyro5._messages import replies, requests
from Pyro5._messages.requests import WireOptions
from Pyro5._objects.exposure import expose
from Pyro5.client import BatchProxy, Proxy
from Pyro5.constants import DAEMON_NAME, NEXT_ITEM_METHOD

from .rawclient import RawClient, ServerTestCase, connect_request, for_both_types

NAMES = [name for name in ("serpent", "json", "marshal", "msgpack") if name in serializers.serializers]

SERIALIZER_AT = 7  # in the header of a message


@expose
class Streaming:
    def numbers(self, count: int) -> Iterator[int]:
        return iter(range(count))


def request_in(name: str, method: str, *args: Any, object_id: str = "obj", flags: int = 0, seq: int = 1) -> bytes:
    serializer = serializers.get_serializer(name)
    return requests.invoke_request(serializer, seq, flags, object_id, method, args, {}, WireOptions()).data


class RawClients(ServerTestCase):
    def call(self, client: RawClient, name: str, method: str, *args: Any, **options: Any) -> Tuple[str, Any]:
        """Make a call; return the serializer of the reply, and the value."""
        client.send(request_in(name, method, *args, **options))
        return self.read(client)

    def read(self, client: RawClient) -> Tuple[str, Any]:
        message = client.read()
        assert message is not None
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        name = next(name for name in NAMES if serializers.serializers[name].serializer_id == serializer.serializer_id)
        return name, replies.parse_reply(message, serializer)

    def test_one_after_the_other(self) -> None:
        client = self.client(self.serving())
        for name in NAMES * 2:
            self.assertEqual((name, [1, "two"]), self.call(client, name, "echo", [1, "two"]))

    def test_requests_in_one_piece(self) -> None:
        client = self.client(self.serving())
        client.send(b"".join(request_in(name, "echo", number, seq=number) for number, name in enumerate(NAMES * 20)))
        self.assertEqual([(name, number) for number, name in enumerate(NAMES * 20)],
                         [self.read(client) for _ in NAMES * 20])

    def test_a_handshake_in_each(self) -> None:
        daemon = self.serving()
        for first in NAMES:
            client = self.connect(daemon)
            client.send(connect_request() if first == "serpent" else self.handshake_in(first))
            client.reply()
            self.assertEqual([(name, 1) for name in NAMES], [self.call(client, name, "echo", 1) for name in NAMES])

    def handshake_in(self, name: str) -> bytes:
        serializer = serializers.get_serializer(name)
        data = serializer.dumps({"handshake": "hello", "object": "obj"})
        return protocol.SendingMessage(protocol.MSG_CONNECT, 0, 0, serializer.serializer_id, data).data

    def test_an_exception_and_a_refusal(self) -> None:
        client = self.client(self.serving())
        for name in NAMES:
            with self.assertRaisesRegex(AttributeError, "no_such_method"):
                self.call(client, name, "no_such_method")
            self.assertEqual((name, 1), self.call(client, name, "echo", 1))

    def test_one_that_is_not_accepted_any_more(self) -> None:
        self.configure(SERIALIZERS_ACCEPTED=["serpent", "json"])
        client = self.client(self.serving())
        self.assertEqual(("json", 1), self.call(client, "json", "echo", 1))
        with self.assertRaisesRegex(errors.ProtocolError, "marshal"):
            self.call(client, "marshal", "echo", 1)
        self.assertEqual(("serpent", 2), self.call(client, "serpent", "echo", 2))
        config.SERIALIZERS_ACCEPTED = ["serpent"]
        with self.assertRaisesRegex(errors.ProtocolError, "json"):
            self.call(client, "json", "echo", 1)
        self.assertEqual(("serpent", 2), self.call(client, "serpent", "echo", 2))

    def test_the_items_of_a_stream(self) -> None:
        daemon = self.serving()
        daemon.register(Streaming(), "streaming")
        client = self.client(daemon)
        _, stream = self.call(client, "serpent", "numbers", 2 * len(NAMES), object_id="streaming")
        items = [self.call(client, name, NEXT_ITEM_METHOD, stream.stream_id, object_id=DAEMON_NAME) for name in NAMES * 2]
        self.assertEqual(list(zip(NAMES * 2, range(2 * len(NAMES)))), items)

    def test_a_payload_of_another_serializer(self) -> None:
        """The header decides; what does not fit is an error, and the connection goes on."""
        client = self.client(self.serving())
        for name in NAMES:
            for other in NAMES:
                data = bytearray(request_in(name, "echo", "text"))
                data[SERIALIZER_AT] = serializers.get_serializer(other).serializer_id
                client.send(bytes(data))
                if other == name:
                    self.assertEqual((name, "text"), self.read(client))
                else:
                    self.check_misread(client)
            self.assertEqual((name, 1), self.call(client, name, "echo", 1))

    def check_misread(self, client: RawClient) -> None:
        try:
            self.assertEqual("text", self.read(client)[1])  # JSON is valid for serpent, too
        except Exception as x:  # what the server's serializer has raised
            self.assertTrue(errors.is_remote(x), x)


class Proxies(ServerTestCase):
    def test_the_attribute(self) -> None:
        with Proxy(self.serving().uriFor("obj")) as proxy:
            connections: List[Any] = []
            for name in NAMES * 2:
                proxy._pyroSerializer = name
                self.assertEqual([name], proxy.echo([name]))
                connections.append(proxy._pyroConnection)
            self.assertEqual({connections[0]}, set(connections))

    def test_the_option_and_the_setting(self) -> None:
        with Proxy(self.serving().uriFor("obj")) as proxy:
            for name in NAMES:
                self.assertEqual([name], proxy.echo.options(serializer=name)([name]))
                config.SERIALIZER = name
                self.assertEqual([name], proxy.echo([name]))

    def test_between_the_calls_of_a_batch_and_the_items_of_a_stream(self) -> None:
        daemon = self.serving()
        daemon.register(Streaming(), "streaming")
        with Proxy(daemon.uriFor("obj")) as proxy, Proxy(daemon.uriFor("streaming")) as streaming:
            items = iter(streaming.numbers(len(NAMES)))
            for number, name in enumerate(NAMES):
                proxy._pyroSerializer = streaming._pyroSerializer = name
                batch = BatchProxy(proxy)
                batch.echo(name)
                batch.echo(b"bytes" if name != "json" else "text")
                self.assertEqual(name, list(batch())[0])
                self.assertEqual(number, next(items))

    def test_a_reply_in_another_serializer_is_refused(self) -> None:
        with Proxy(self.serving().uriFor("obj")) as proxy:
            proxy._pyroBind()
            connection = proxy._pyroConnection
            json_serializer = serializers.get_serializer("json")
            request = requests.invoke_request(json_serializer, 7, 0, "obj", "echo", (1,), {}, WireOptions())
            sent = bytearray(request.data)
            sent[SERIALIZER_AT] = serializers.get_serializer("serpent").serializer_id  # the server will answer in serpent
            connection.sock.sendall(sent)
            with self.assertRaisesRegex(errors.ProtocolError, "serializer"):
                connection.round_trip(requests.invoke_request(json_serializer, 7, 0, "obj", "echo", (1,), {}, WireOptions()),
                                      "echo")


for base in (RawClients, Proxies):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base

if __name__ == "__main__":
    unittest.main()
