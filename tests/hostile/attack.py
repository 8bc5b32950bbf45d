"""What an attack is, how it is to end, and what runs it."""
from __future__ import annotations

import socket
from typing import Callable, NamedTuple, Union

from Pyro5 import protocol

from ..rawclient import RawClient
from ..support import IS_FREE_THREADED
from .target import Late, State, Target

# How the server ends an attack that consists of bytes.
REFUSED = "refused"    # it says why, in terms of the handshake, and ends the connection
CLOSED = "closed"      # it ends the connection without a word
ERROR = "error"        # it replies with an exception; the connection goes on
PARTED = "parted"      # it replies with an exception, and ends the connection
FAILED = "error or parted"  # one of these two; it depends on the version of Python
ANSWERED = "answered"  # it does what is asked; the connection goes on
IGNORED = "ignored"    # it says nothing; the connection goes on
WAITING = "waiting"    # it waits for more; the connection is held while other attacks are made

# MiB that are allowed besides: on free-threaded builds of Python each thread has an allocator of its own, which keeps freed
# memory, 40 to 170 MiB after large messages in many threads.
KEPT_BY_THREADS = 250.0 if IS_FREE_THREADED else 0.0
MORE_MEMORY = 24.0  # MiB that the process may grow by, for a moment, while an attack is made; more if the attack says so
MORE_MEMORY_AFTER = 80.0  # MiB that it may have grown by after all attacks: crowds leave 40 in pieces, a second round adds 10
TRIES = 4  # whether a client is served in time depends on what else the machine does; an attack that works does so each time
MOST_THREADS = 5 * (10 + 2) + 20  # of five daemons: their pools and loops; and the oneway calls


class Attack(NamedTuple):
    """One attack.

    Attributes:
        how: the bytes to send over a connection that was let in; or a function, which is given the target, does what it
            likes, and raises AssertionError if the server does not do what it should.
        end: how it ends, for bytes.
        handshake_done: whether the bytes are sent behind a handshake.
        memory: MiB that the process may grow by while it is made.
        daemon: the one that is attacked.
    """

    name: str
    how: Union[bytes, Callable[[Target], None]]
    end: str = ""
    handshake_done: bool = True
    memory: float = MORE_MEMORY
    daemon: str = "plain"


class Outcome(NamedTuple):
    """What an attack did to others."""

    seconds: float  # until well-behaved clients had been served afterwards
    memory: float  # MiB
    threads: int
    files: int


def run(attack: Attack, target: Target) -> Outcome:
    """Make an attack, and look what it has done; once more if others had to wait because the machine was busy.

    Raises:
        AssertionError: it did harm, or did not end as it should.
    """
    for _ in range(TRIES - 1):
        try:
            return _run_once(attack, target)
        except Late:
            continue
    return _run_once(attack, target)


def _run_once(attack: Attack, target: Target) -> Outcome:
    before = target.state()
    held_before = target.held
    target.forget_peak()
    if callable(attack.how):
        attack.how(target)
    else:
        _send(attack, attack.how, target)
    seconds = target.probe(attack.daemon)
    target.wait_for_files(before.files + target.held - held_before)
    target.wait_for_threads(MOST_THREADS)
    after = target.state()
    _check(attack, before, after)
    return Outcome(seconds, after.peak - before.memory, after.threads, after.files - before.files)


def _check(attack: Attack, before: State, after: State) -> None:
    if after.peak > before.memory + attack.memory + KEPT_BY_THREADS:
        raise AssertionError("%s: memory went from %.1f to %.1f MiB" % (attack.name, before.memory, after.peak))


def _send(attack: Attack, data: bytes, target: Target) -> None:
    client = target.connect_with_handshake(attack.daemon) if attack.handshake_done else target.connect(attack.daemon)
    try:
        send(client, data)
        if attack.end == WAITING:
            target.hold(client, is_unaccepted=not attack.handshake_done)
            return
        ended = observe(client)
    finally:
        if attack.end != WAITING:
            client.close()
    if ended not in attack.end.split(" or "):
        raise AssertionError("%s: %s instead of %s" % (attack.name, ended, attack.end))


def send(client: RawClient, data: bytes) -> None:
    """Send, as much as the server takes before it ends the connection."""
    try:
        client.send(data)
    except (ConnectionError, socket.timeout):
        return


def observe(client: RawClient) -> str:
    """Return how the server ends what it was sent: a ping tells whether the connection goes on."""
    send(client, protocol.SendingMessage(protocol.MSG_PING, 0, 4242, 42, b"still there?").data)
    first = client.read()
    if first is None:
        return CLOSED
    if first.type == protocol.MSG_CONNECTFAIL:
        return REFUSED if client.read() is None else "refused, but open"
    if first.type == protocol.MSG_PING and first.seq == 4242:
        return IGNORED
    failed = first.flags & protocol.FLAGS_EXCEPTION
    if client.read() is None:
        return PARTED if failed else "answered, but closed"
    return ERROR if failed else ANSWERED
