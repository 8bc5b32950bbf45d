"""Clients that stop in the middle, send byte by byte, or do not read. No other client waits for them."""
from __future__ import annotations

from ..drafts import message
from ..rawclient import call_request, connect_request
from .attack import REFUSED, WAITING, Attack
from .server import LARGE_BYTES
from .target import Target

CONNECT = connect_request()
CALL = call_request("echo", "x" * 1000)
INVOKE = 4
CROWD = 50
READERS = 24  # together they ask for more than the server keeps


def _silent_crowd(target: Target) -> None:
    for _ in range(CROWD * target.scale):
        target.hold(target.connect(), is_unaccepted=True)


def _dribbled_handshake(target: Target) -> None:
    """Others are served between any two bytes; the time for the handshake is over in the middle of it."""
    client = target.connect()
    for at in range(0, len(CONNECT) // 2, 8):
        client.send(CONNECT[at:at + 1])
        target.probe()
    target.hold(client, is_unaccepted=True)


def _dribbled_request(target: Target) -> None:
    with target.connect_with_handshake() as client:
        for at in range(len(CALL)):
            client.send(CALL[at:at + 1])
            if at % 100 == 0:
                target.probe()
        if client.reply() != "x" * 1000:
            raise AssertionError("a request that came byte by byte was not understood")


def _readers_that_never_read(target: Target) -> None:
    for _ in range(READERS * target.scale):
        client = target.connect_with_handshake(receive_buffer=4096)
        client.send(call_request("large"))
        target.hold(client)
    target.probe()
    target.close_clients()


def _pipelined_without_reading(target: Target) -> None:
    """The server stops reading when replies pile up."""
    client = target.connect_with_handshake(receive_buffer=4096)
    target.hold(client)
    request = call_request("echo", "y" * 8000)
    client.sock.settimeout(0.1)
    sent = 0
    try:
        while sent < 500 * target.scale:
            client.send(request)
            sent += 1
    except OSError:  # the network is full in both directions
        pass
    target.probe()
    target.close_clients()


def _writers_that_stop_before_the_end(target: Target) -> None:
    """Each has almost a whole large message in the server's memory."""
    almost = call_request("echo", "z" * LARGE_BYTES)[:-1]
    for _ in range(READERS * target.scale):
        client = target.connect_with_handshake()
        try:
            client.send(almost)
        except OSError:  # it is one of those that had to go
            pass
        target.hold(client)
    target.probe()
    target.close_clients()


# Ends of connections are told apart in the table of headers; these are about others that wait.
ATTACKS = (
    Attack("many silent connections", _silent_crowd),
    Attack("half a prefix", CONNECT[:3], WAITING, handshake_done=False),
    Attack("half a header of a handshake", CONNECT[:20], WAITING, handshake_done=False),
    Attack("a handshake without its last byte", CONNECT[:-1], WAITING, handshake_done=False),
    Attack("a handshake that announces a megabyte", message(1, b"x", payload_length=1 << 20), WAITING, handshake_done=False),
    Attack("a handshake that comes byte by byte", _dribbled_handshake),
    Attack("half a header of a request", CALL[:20], WAITING),
    Attack("a request without its last byte", CALL[:-1], WAITING),
    Attack("a request that announces as much as is allowed", message(INVOKE, b"x", payload_length=8 << 20), WAITING),
    Attack("a request that comes byte by byte", _dribbled_request),
    Attack("readers that never read", _readers_that_never_read, memory=120),
    Attack("requests without reading the replies", _pipelined_without_reading),
    Attack("large requests without their last byte", _writers_that_stop_before_the_end, memory=80),
    Attack("a handshake that announces four gigabytes", message(1, b"", payload_length=0xffffffff), REFUSED,
           handshake_done=False),
)
