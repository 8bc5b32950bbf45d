"""What clients of the guarded daemon have, and how they prove it."""
from __future__ import annotations

from typing import Any, Optional

from Pyro5 import protocol, serializers
from Pyro5._auth import exchange
from Pyro5._auth.exchange import Challenge, Hello, Session

from ..rawclient import RawClient

KEY, USER, PASSWORD = bytes(range(32)), "alice", "correct horse"
NONCE = bytes(range(24))
HELLO = exchange.encode_hello(Hello(NONCE, ""))
HELLO_OF_USER = exchange.encode_hello(Hello(NONCE, USER))
_SERPENT = serializers.get_serializer("serpent")


def connect(annotation: Optional[bytes], value: Any = "hello") -> bytes:
    """Return a CONNECT message with this annotation AUTH."""
    annotations = {} if annotation is None else {"AUTH": annotation}
    return protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 1, _SERPENT.dumps({"handshake": value, "object": "obj"}),
                                   annotations).data


def proof_of(challenge: Challenge, password: str = PASSWORD) -> bytes:
    """Return the proof of a client that has the key, or the password."""
    session = Session(NONCE, challenge.nonce, challenge.method, "obj", USER if challenge.method == exchange.SCRAM else "", b"")
    return (exchange.password_proofs(password, challenge, session) if challenge.method == exchange.SCRAM
            else exchange.key_proofs(KEY, session))[0]


def prove(client: RawClient) -> RawClient:
    """Do a handshake as a client that has the key."""
    client.send(connect(HELLO))
    client.send(connect(exchange.encode_proof(proof_of(read_challenge(client)))))
    client.reply()
    return client


def read_challenge(client: RawClient) -> Challenge:
    """Read the answer to the first message."""
    message = client.read()
    if message is None or "AUTH" not in message.annotations:
        raise AssertionError("no challenge")
    return exchange.decode_challenge(message.annotations["AUTH"])
