"""Messages that cost more than their size: structure that is packed into few bytes, texts made for patterns, batches."""
from __future__ import annotations

import marshal
import time
import zlib
from typing import Callable, Dict, List

from ..drafts import message
from ..rawclient import RawClient
from .attack import ANSWERED, ERROR, PARTED, REFUSED, Attack, observe
from .target import Target

CONNECT, INVOKE = 1, 4
COMPRESSED, BATCH = 2, 8
SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4
CROWD = 6
MANY = 300000
DEPTH = 80  # serpent on Python 3.8 reads 90 levels
DEEP = "[" * DEPTH + "]" * DEPTH
LONG_COMMENT = "[1%s,%s\n1]" % (" " * 9000, "#" * 60)

# calls of echo with one argument, a list of many empty lists
_WIDE: Dict[int, Callable[[int], bytes]] = {
    SERPENT: lambda count: b"('obj','echo',[[%s]],{})" % b",".join([b"[]"] * count),
    JSON: lambda count: b'{"object":"obj","method":"echo","params":[[%s]],"kwargs":{}}' % b",".join([b"[]"] * count),
    MARSHAL: lambda count: marshal.dumps(("obj", "echo", [[[] for _ in range(count)]], {}), 2),
    MSGPACK: lambda count: b"\x94\xa3obj\xa4echo\x91\xdd" + count.to_bytes(4, "big") + b"\x90" * count + b"\x80"}


def _call(argument: str) -> bytes:
    return zlib.compress(("# serpent utf-8\n('obj','echo',[%s],{})" % argument).encode(), 9)


def _handshake(value: str) -> bytes:
    return ("{'object':'obj','handshake':%s}" % value).encode()


def _compressed(payload: bytes, serializer: int = SERPENT, msgtype: int = INVOKE) -> bytes:
    return message(msgtype, payload, serializer, flags=COMPRESSED)


def _many_costly_calls(target: Target) -> None:
    """As many as make others wait if they are all decoded at once; the probe behind it is such another client."""
    clients: List[RawClient] = [target.connect_with_handshake() for _ in range(CROWD * target.scale)]
    call = _compressed(_call("[%s]" % ",".join([DEEP] * 100)))
    for client in clients:
        client.send(call)
    target.probe("plain")
    for client in clients:
        if observe(client) != ANSWERED:
            raise AssertionError("a costly call was not answered")
        client.close()


def _costly_calls_beside_a_client(target: Target) -> None:
    """Each attacker sends several costly calls; in the meantime a client that was connected before makes cheap ones."""
    with target.connect_with_handshake() as client:
        clients: List[RawClient] = [target.connect_with_handshake() for _ in range(CROWD * min(target.scale, 4))]
        call = message(INVOKE, ("('obj','echo',[[%s]],{})" % ",".join([DEEP] * 40 * min(target.scale, 5))).encode())
        for attacker in clients:
            attacker.send(call * 3)
        for _ in range(5):
            started = time.monotonic()
            client.call("echo", "well")
            target.check_promise(time.monotonic() - started)
    for attacker in clients:
        for _ in range(3):
            attacker.reply()
        attacker.close()


def _handshakes_that_are_packed(target: Target) -> None:
    for _ in range(CROWD * target.scale):
        for count, end in ((50, ANSWERED), (80, REFUSED), (5000, REFUSED)):
            with target.connect() as client:
                client.send(_compressed(zlib.compress(_handshake("[%s]" % ",".join([DEEP] * count)), 9), msgtype=CONNECT))
                ended = observe(client)
            if ended != end:
                raise AssertionError("a handshake with %d times %d lists was %s" % (count, DEPTH, ended))


def _handshakes_that_announce_much(target: Target) -> None:
    """Lists in lists, each of which announces as many elements as there are bytes: 89 bytes, if compressed."""
    data = (b"\xdd" + (16000).to_bytes(4, "big")) * 500
    payload = zlib.compress(data + bytes(16000 - len(data)), 9)
    for _ in range(CROWD * target.scale):
        with target.connect() as client:
            client.send(_compressed(payload, MSGPACK, CONNECT))
            if observe(client) != REFUSED:
                raise AssertionError("a handshake that announces too much was not refused")


def _batch(method: str, argument: str, count: int) -> bytes:
    return ("('obj','<batch>',[%s],None)" % ",".join(["('%s',[%s],{})" % (method, argument)] * count)).encode()


ATTACKS = (
    Attack("number signs in a long comment", _compressed(_call(LONG_COMMENT)), ANSWERED),
    Attack("number signs in a comment of a handshake",
           _compressed(zlib.compress(_handshake(LONG_COMMENT)), msgtype=CONNECT), ANSWERED, handshake_done=False),
    *[Attack("many lists in few bytes, serializer %d" % serializer,
             _compressed(zlib.compress(_WIDE[serializer](MANY), 9), serializer), PARTED)
      for serializer in (SERPENT, JSON, MARSHAL, MSGPACK)],
    Attack("many lists in a handshake", message(CONNECT, _handshake("[%s]" % ",".join(["[]"] * 40000))), REFUSED,
           handshake_done=False),
    Attack("many elements in a handshake", message(CONNECT, _handshake("{%s}" % ",".join(["1j"] * 40000))), REFUSED,
           handshake_done=False),
    Attack("handshakes with much structure", _handshakes_that_are_packed),
    Attack("handshakes that announce much", _handshakes_that_announce_much, memory=20),
    Attack("many costly calls at once", _many_costly_calls, memory=90),
    Attack("costly calls beside a client", _costly_calls_beside_a_client, memory=90),
    Attack("deep brackets in quantity", message(INVOKE, ("('obj','echo',[[%s]],{})" % ",".join([DEEP] * 500)).encode()),
           ANSWERED, memory=40),
    Attack("a batch of large results", message(INVOKE, _batch("large", "", 1000), flags=BATCH), ERROR, memory=60),
    Attack("a batch of nested results", message(INVOKE, _batch("echo", "[[[[['%s']]]]]" % ("x" * 200), 8000), flags=BATCH),
           ANSWERED, memory=60),
    Attack("a batch of long numbers", message(INVOKE, _batch("echo", "9" * 4000, 500), flags=BATCH), ANSWERED, memory=60),
)
