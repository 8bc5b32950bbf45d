"""Attacks on the proofs of keys and passwords, by clients that have neither."""
from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, List, Tuple

from Pyro5 import protocol
from Pyro5._auth import exchange
from Pyro5._auth.exchange import Challenge, Hello

from ..rawclient import RawClient
from .attack import REFUSED, WAITING, Attack
from .proofs import HELLO, HELLO_OF_USER, NONCE, connect, proof_of, read_challenge
from .target import Target, read_to_the_end

CROWD = 30
OTHER_ADDRESS = "127.0.0.3"


def _challenged(target: Target, hello: bytes = HELLO, source: str = "") -> Tuple[RawClient, Challenge]:
    client = target.connect("guarded", source=source)
    client.send(connect(hello))
    return client, read_challenge(client)


def _check_refused(client: RawClient) -> None:
    with client:
        reply = client.read()
        if reply is not None and reply.type != protocol.MSG_CONNECTFAIL:
            raise AssertionError("accepted")
        if reply is not None:
            read_to_the_end(client)


def _crowd(annotation: Callable[[Challenge], bytes], hello: bytes = HELLO) -> Callable[[Target], None]:
    """Build an attack by many clients that answer their challenges at the same time."""
    def attack(target: Target) -> None:
        clients = [_challenged(target, hello) for _ in range(CROWD * target.scale)]
        for client, challenge in clients:
            client.send(connect(annotation(challenge)))
        target.probe("guarded")
        for client, _ in clients:
            _check_refused(client)
    return attack


def _replayed(target: Target) -> None:
    """What one client with the key has sent, by many others."""
    with target.connect("guarded") as honest:
        honest.send(connect(HELLO))
        proof = proof_of(read_challenge(honest))
        honest.send(connect(exchange.encode_proof(proof)))
        honest.reply()
    _crowd(lambda challenge: exchange.encode_proof(proof))(target)


def _guesses(target: Target) -> None:
    """Many passwords for one user at once: only the attacker's address has to wait, and only for this user."""
    clients = [_challenged(target, HELLO_OF_USER, OTHER_ADDRESS) for _ in range(CROWD * target.scale)]
    for client, _ in clients:
        client.send(connect(exchange.encode_proof(os.urandom(32))))
    for client, _ in clients:
        _check_refused(client)
    target.probe("guarded")
    client, challenge = _challenged(target, HELLO_OF_USER)  # the user, from another address
    with client:
        client.send(connect(exchange.encode_proof(proof_of(challenge))))
        client.reply()


def _names_of_users(target: Target) -> None:
    """Wrong passwords for more users than are remembered."""
    for number in range(100 * target.scale):
        client, _ = _challenged(target, exchange.encode_hello(Hello(NONCE, "user %d" % number)), OTHER_ADDRESS)
        client.send(connect(exchange.encode_proof(bytes(32))))
        _check_refused(client)


def _unanswered(target: Target) -> None:
    for _ in range(CROWD * target.scale):
        target.hold(_challenged(target)[0], True)


def _half_proofs(target: Target) -> None:
    for _ in range(CROWD * target.scale):
        client, challenge = _challenged(target)
        client.send(connect(exchange.encode_proof(proof_of(challenge)))[:-20])
        target.hold(client, True)


def _proved_but_silent(target: Target) -> None:
    """Users that wait for the proof of the server, and then send nothing."""
    for _ in range(CROWD * target.scale):
        client, challenge = _challenged(target, HELLO_OF_USER)
        client.send(connect(exchange.encode_proof(proof_of(challenge), waits=True)))
        client.read()
        target.hold(client, True)


def _endless(target: Target) -> None:
    """Nonces without an end: a connection has one challenge."""
    with target.connect("guarded") as client:
        _check_types(client, connect(HELLO) * 200 * target.scale, 2, 0)


def _waits_without_end(target: Target) -> None:
    """The same proof again and again, each time with the wish to wait."""
    client, challenge = _challenged(target, HELLO_OF_USER)
    with client:
        _check_types(client, connect(exchange.encode_proof(proof_of(challenge), waits=True)) * 200 * target.scale, 1, 1)


def _check_types(client: RawClient, data: bytes, most_refusals: int, most_accepted: int) -> None:
    """Send data, and check how the messages in it are answered."""
    with contextlib.suppress(OSError):
        client.send(data)
    types: List[int] = []
    reply = client.read()
    while reply is not None:
        types.append(reply.type)
        if reply.type == protocol.MSG_CONNECTOK:
            client.close()
            break
        reply = client.read()
    if types.count(protocol.MSG_CONNECTFAIL) > most_refusals or types.count(protocol.MSG_CONNECTOK) > most_accepted:
        raise AssertionError("answered with %s" % types[:10])


def _attack(name: str, how: Any, end: str = "", **options: Any) -> Attack:
    return Attack("access: " + name, how, end, handshake_done=False, daemon="guarded", **options)


ATTACKS = (
    _attack("forged proofs", _crowd(lambda challenge: exchange.encode_proof(os.urandom(32)))),
    _attack("proofs of a server, sent back", _crowd(lambda challenge: exchange.encode_proof(challenge.salt))),
    _attack("replayed proofs", _replayed),
    _attack("many passwords at once", _guesses),
    _attack("passwords for the names of many users", _names_of_users),
    _attack("challenges without answers", _unanswered),
    _attack("half proofs", _half_proofs),
    _attack("clients that prove who they are, and stop", _proved_but_silent),
    _attack("nonces without an end", _endless),
    _attack("proofs without an end", _waits_without_end),
    _attack("no proof", connect(None), REFUSED),
    _attack("a proof before the challenge", connect(exchange.encode_proof(bytes(32))), REFUSED),
    _attack("an empty annotation", connect(b""), REFUSED),
    _attack("fields without an end", connect(b"1" + b" n=QUFB" * 100000), REFUSED),
    _attack("a nonce of a megabyte", connect(b"1 n=" + b"QUFB" * 250000 + b" u="), REFUSED),
    _attack("a costly handshake beside a nonce", connect(HELLO, [[[]] * 50] * 90), REFUSED),
    _attack("half a nonce", connect(HELLO)[:-30], WAITING),
)
