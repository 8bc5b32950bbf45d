"""The proofs of keys and passwords, as clients that have neither make them up, and servers that lie."""
from __future__ import annotations

import os
import random
import tempfile
from types import SimpleNamespace
from typing import Any, List
from unittest import mock

from Pyro5 import config, errors, protocol
from Pyro5._auth import exchange, files, users
from Pyro5._auth.credentials import ClientExchange
from Pyro5._auth.exchange import Challenge, Hello
from Pyro5._auth.gate import Gate
from Pyro5._messages.handshake import Challenged

USER = "alice"


def annotations(rng: random.Random) -> List[bytes]:
    """Return what comes in the annotation AUTH of the messages of a connection."""
    return [_damaged(rng, _annotation(rng)) for _ in range(rng.randrange(1, 5))]


def _annotation(rng: random.Random) -> bytes:
    nonce, digest = _bytes(rng, 24), _bytes(rng, 32)
    return rng.choice((
        lambda: exchange.encode_hello(Hello(nonce, rng.choice(("", USER, "bob", "é" * 64, "a" * 65)))),
        lambda: exchange.encode_proof(digest, rng.random() < 0.5),
        lambda: exchange.encode_challenge(Challenge(nonce, rng.choice(("key", "scram", "none")), _bytes(rng, 16),
                                                    rng.choice((0, 1, 4096, 10 ** 6, 10 ** 9)))),
    ))()


def _bytes(rng: random.Random, count: int) -> bytes:
    return bytes(rng.randrange(256) for _ in range(count))


def _damaged(rng: random.Random, annotation: bytes) -> bytes:
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(annotation) + 1)
        annotation = rng.choice((
            annotation[:at], annotation[:at] + _bytes(rng, 2) + annotation[at + 2:], annotation[:at] + b" " + annotation[at:],
            annotation + annotation[at:], annotation.replace(b"=", b"", 1), annotation[:at] + b" w=MQ==", annotation * 9))
    return annotation


class Proofs:
    """A server with a key and users, and clients; a context manager."""

    def __enter__(self) -> Proofs:
        self._folder = tempfile.TemporaryDirectory()
        self._key, path = os.path.join(self._folder.name, "key"), os.path.join(self._folder.name, "users")
        files.create(self._key, files.new_key())
        document = users.load(path)
        with mock.patch.object(exchange.make_verifier, "__defaults__", (None, exchange.MIN_ITERATIONS)):
            users.add_user(document, USER, "secret", ["operator"])
        users.save(path, document)
        self._gate = Gate(self._key, path)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._folder.cleanup()

    def serve(self, pieces: List[bytes], number: int) -> bool:
        """Return whether a client that sends these annotations is accepted."""
        connection = SimpleNamespace(auth_pending=None, identity=None, peer_address=("10.0.0.%d" % (number % 100), 5),
                                     sock=None)
        for piece in pieces:
            try:
                self._gate.authenticate(connection, piece, "obj")
                return True
            except Challenged as x:
                exchange.decode_challenge(x.annotation)
            except (errors.SecurityError, errors.ProtocolError):
                continue
        return connection.identity is not None

    def connect(self, pieces: List[bytes]) -> bool:
        """Return whether a client shows its application data to a server that sends these annotations."""
        before, sock = config.AUTH_KEY_FILE, SimpleNamespace(get_channel_binding=lambda kind: None)
        config.AUTH_KEY_FILE = self._key
        try:
            client = ClientExchange("obj", sock, "the server", has_secrets=True)
        finally:
            config.AUTH_KEY_FILE = before
        for piece in pieces:
            reply: Any = SimpleNamespace(annotations={"AUTH": piece}, type=protocol.MSG_CONNECTFAIL)
            try:
                client.answer_to(reply)
                client.finish(piece)
                return True
            except (errors.SecurityError, errors.ProtocolError):
                continue
        return not client.withholds
