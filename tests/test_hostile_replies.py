"""Servers that attack their clients: replies that would cost far more than their bytes, or that never end."""
from __future__ import annotations

import contextlib
import io
import threading
import unittest
import zlib
from typing import Any, Callable, List

from Pyro5 import config, errors, protocol
from Pyro5._client import discovery
from Pyro5._gateway import calls as gateway_calls
from Pyro5._messages import limits
from Pyro5._values.uri import URI
from Pyro5.client import BatchProxy, Proxy
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.serializers import serializers

from .drafts import message
from .peers import Peer, ScriptedServer
from .support import with_longer_times

COMPRESSED, EXCEPTION, BATCH = protocol.FLAGS_COMPRESSED, protocol.FLAGS_EXCEPTION, protocol.FLAGS_BATCH
COUNT = 120000      # lists in two bytes each: more than is decoded without being looked at
MANY = {"serpent": b"[" + b"[]," * COUNT + b"[]]", "json": b"[" + b"[]," * COUNT + b"[]]",
        "marshal": b"[" + COUNT.to_bytes(4, "little") + b"(\0\0\0\0" * COUNT,
        "msgpack": b"\xdd" + COUNT.to_bytes(4, "big") + b"\x90" * COUNT}


def reply(request: ReceivingMessage, msgtype: int, payload: bytes, flags: int = 0) -> bytes:
    return message(msgtype, payload, request.serializer_id, seq=request.seq, flags=flags)


class Structure(unittest.TestCase):
    """Lists in quantity, in everything that a client reads."""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.MAX_CONTAINERS = 1000

    def refuses(self, script: Callable[[Peer], Any], use: Callable[[Proxy], Any]) -> None:
        with ScriptedServer(script) as server, Proxy("PYRO:x@%s" % server.location) as proxy:
            with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
                use(proxy)

    def test_results(self) -> None:
        for name, payload in MANY.items():
            config.SERIALIZER = name
            for flags in (0, EXCEPTION, BATCH):
                def script(peer: Peer, payload: bytes = payload, flags: int = flags) -> None:
                    peer.welcome()
                    peer.sock.sendall(reply(peer.read(), protocol.MSG_RESULT, payload, flags))
                self.refuses(script, self.run_batch if flags & BATCH else lambda proxy: proxy.echo())

    @staticmethod
    def run_batch(proxy: Proxy) -> Any:
        batch = BatchProxy(proxy)
        batch.echo()
        return batch()

    def test_handshakes(self) -> None:
        for msgtype in (protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL):
            for name, payload in MANY.items():
                config.SERIALIZER = name

                def script(peer: Peer, msgtype: int = msgtype, payload: bytes = payload) -> None:
                    peer.sock.sendall(reply(peer.read(), msgtype, payload))
                self.refuses(script, Proxy._pyroBind)

    def test_results_that_the_gateway_converts(self) -> None:
        sent = SendingMessage(protocol.MSG_RESULT, 0, 0, serializers["marshal"].serializer_id, MANY["marshal"])
        with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
            gateway_calls.as_json(ReceivingMessage(sent.data[:protocol.HEADER_SIZE], sent.data[protocol.HEADER_SIZE:]))

    def test_as_many_as_were_sent(self) -> None:
        """A compressed reply may have more containers than a request, but not any number for a few bytes."""
        config.MAX_CONTAINERS = 0
        few = limits.REPLY_FACTOR * limits.FREE_CONTAINERS
        for count, is_accepted in ((limits.FREE_CONTAINERS + 50000, True), (few + 20000, False)):
            config.MAX_CONTAINERS = 2 * few
            data = zlib.compress(b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count)
            header = message(protocol.MSG_RESULT, data, serializers["msgpack"].serializer_id, flags=COMPRESSED)
            received = ReceivingMessage(header[:protocol.HEADER_SIZE], header[protocol.HEADER_SIZE:])
            if is_accepted:
                limits.check_reply(received, serializers["msgpack"])
                continue
            with self.assertRaises(errors.SerializeError):
                limits.check_reply(received, serializers["msgpack"])


class Lengths(unittest.TestCase):
    def test_what_is_no_length(self) -> None:
        for result, expected in ((3, 3), (True, 1), (4.0, 4)):
            self.assertEqual(expected, self.length(result))
        for result in ("5", float("inf"), float("nan"), 1.5, None, [1]):
            self.assertRaisesRegex(TypeError, "__len__ returned no number", self.length, result)

    @staticmethod
    def length(result: Any) -> int:
        def script(peer: Peer) -> None:
            peer.welcome(["__len__"])
            peer.answer(peer.read_call(), result)
        with ScriptedServer(script) as server, Proxy("PYRO:x@%s" % server.location) as proxy:
            return len(proxy)


class Slowness(unittest.TestCase):
    """A handshake that is sent bit by bit: any program that answers a broadcast could delay the search for the name server."""

    def test_the_timeout_is_for_all_of_a_handshake(self) -> None:
        ended = threading.Event()

        def dribble(peer: Peer) -> None:
            request = peer.read()
            data = io.BytesIO(reply(request, protocol.MSG_CONNECTOK, bytes(2000000)))
            with contextlib.suppress(OSError):
                for piece in iter(lambda: data.read(65536), b""):
                    peer.sock.sendall(piece)
                    if ended.wait(0.05):
                        return
        with ScriptedServer(dribble) as server:
            with self.assertRaises(errors.TimeoutError):
                discovery._NameServer(URI("PYRO:Pyro.NameServer@%s" % server.location), 0.2)
            ended.set()

    def test_a_name_server_that_says_nothing(self) -> None:
        """The timeout of a proxy is also one for looking up its name."""
        def silent(peer: Peer) -> None:
            peer.welcome()
            peer.read_call()
            peer.wait_for_close()
        with ScriptedServer(silent) as server, Proxy("PYRONAME:x@%s" % server.location) as proxy:
            proxy._pyroTimeout = 0.1
            with self.assertRaises(errors.TimeoutError):
                proxy.echo()

    def test_replies_of_calls_may_take_longer(self) -> None:
        """There the timeout is for each step, as large results need."""
        with_longer_times(self.check_slow_reply)

    def check_slow_reply(self, factor: float) -> None:
        pauses: List[bool] = []

        def slow(peer: Peer) -> None:
            peer.welcome()
            request = peer.read()
            data = io.BytesIO(reply(request, protocol.MSG_RESULT, serializers["serpent"].dumps("x" * 500000)))
            for piece in iter(lambda: data.read(100000), b""):
                with contextlib.suppress(OSError):
                    peer.sock.sendall(piece)
                pauses.append(threading.Event().wait(0.05 * factor))
        with ScriptedServer(slow) as server, Proxy("PYRO:x@%s" % server.location) as proxy:
            proxy._pyroTimeout = 0.2 * factor
            self.assertEqual(500000, len(proxy.echo()))
        self.assertGreater(len(pauses), 4)


if __name__ == "__main__":
    unittest.main()
