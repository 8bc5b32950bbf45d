"""Garbage, and headers that say what is not so."""
from __future__ import annotations

import random
from typing import List, Tuple

from Pyro5 import serializers

from ..drafts import message
from ..rawclient import connect_request
from .attack import ANSWERED, CLOSED, ERROR, IGNORED, PARTED, REFUSED, WAITING, Attack

CONNECT, CONNECTOK, CONNECTFAIL, INVOKE, RESULT, PING = range(1, 7)
HELLO = serializers.get_serializer("serpent").dumps({"handshake": "hello", "object": "obj"})
CALL = serializers.get_serializer("serpent").dumpsCall("obj", "echo", ["x"], {})
HUGE = 0xffffffff
Annotations = List[Tuple[bytes, bytes, object]]


def _lying(length: int) -> Annotations:
    return [(b"TEST", b"value", length)]


def _garbage() -> bytes:
    rng = random.Random(7)
    return bytes(rng.randrange(256) for _ in range(5000))


GARBAGE = (
    ("zeros", bytes(100)),
    ("noise", _garbage()),
    ("a web request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("the beginning of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)),
    ("a wrong tag", message(CONNECT, HELLO, tag=b"PYRP")),
    ("version 0", message(CONNECT, HELLO, version=0)),
    ("version 501", message(CONNECT, HELLO, version=501)),
    ("version 503", message(CONNECT, HELLO, version=503)),
    ("a wrong magic number", message(CONNECT, HELLO, magic=0)),
    ("four gigabytes of annotations", message(CONNECT, HELLO, annotations_length=HUGE)),
    ("an annotation that is longer than all", message(CONNECT, HELLO, annotations=_lying(1000))),
    ("an annotation that is cut off", message(CONNECT, HELLO, annotations=_lying(1))),
    ("an annotation of four gigabytes", message(CONNECT, HELLO, annotations=_lying(HUGE))),
    ("an annotation without letters", message(CONNECT, HELLO, annotations=[(b"\xff\xfe\xfd\xfc", b"", None)])),
)
HANDSHAKES = tuple(Attack("before the handshake: " + name, data, REFUSED, handshake_done=False) for name, data in GARBAGE) + (
    Attack("before the handshake: the end", b"", WAITING, handshake_done=False),
    Attack("a handshake that is too short", message(CONNECT, HELLO, payload_length=len(HELLO) - 20), REFUSED,
           handshake_done=False),
    Attack("a handshake in no serializer", message(CONNECT, HELLO, serializer=99), REFUSED, handshake_done=False),
    Attack("a handshake larger than allowed", message(CONNECT, b"x" * 1100000), REFUSED, handshake_done=False),
    Attack("a handshake with flags for everything", message(CONNECT, HELLO, flags=0xfffd), ANSWERED, handshake_done=False),
    Attack("a handshake that is no dict", message(CONNECT, b"[1, 2]"), REFUSED, handshake_done=False),
    Attack("a handshake for an object that is a list", message(CONNECT, b"{'handshake': 1, 'object': []}"), REFUSED,
           handshake_done=False),
    Attack("a handshake for nobody", connect_request("nobody"), REFUSED, handshake_done=False),
) + tuple(Attack("a message of type %d instead of a handshake" % kind, message(kind, HELLO), REFUSED, handshake_done=False)
          for kind in (0, CONNECTOK, CONNECTFAIL, INVOKE, RESULT, PING, 7, 255))

CALLS = (
    Attack("in a call: noise", _garbage(), CLOSED),
    Attack("in a call: a wrong tag", message(INVOKE, CALL, tag=b"PYRP"), CLOSED),
    Attack("in a call: a wrong version", message(INVOKE, CALL, version=46), CLOSED),
    Attack("in a call: a wrong magic number", message(INVOKE, CALL, magic=1), CLOSED),
    Attack("a call that announces four gigabytes", message(INVOKE, CALL, payload_length=HUGE), PARTED),
    Attack("a call with four gigabytes of annotations", message(INVOKE, CALL, annotations_length=HUGE), PARTED),
    Attack("a call that is longer than it says", message(INVOKE, CALL, payload_length=len(CALL) - 7), PARTED),
    Attack("a call that is shorter than it says", message(INVOKE, CALL, payload_length=len(CALL) + 7), WAITING),
    Attack("a call whose annotations are longer than all", message(INVOKE, CALL, annotations=_lying(1000)), PARTED),
    Attack("a call whose annotations are cut off", message(INVOKE, CALL, annotations=_lying(1)), PARTED),
    Attack("a call with an annotation of four gigabytes", message(INVOKE, CALL, annotations=_lying(HUGE)), PARTED),
    Attack("a call with 5000 annotations",
           message(INVOKE, CALL, annotations=[(b"%04d" % number, b"x", None) for number in range(5000)]), ANSWERED),
    Attack("a call in no serializer", message(INVOKE, CALL, serializer=99), ERROR),
    Attack("a call with unknown flags", message(INVOKE, CALL, flags=0xff80), ANSWERED),
    Attack("a call that says it is an exception and a stream", message(INVOKE, CALL, flags=1 | 16), ANSWERED),
    Attack("a call that says it is a batch", message(INVOKE, CALL, flags=8), ERROR),
    Attack("a oneway call that says it is a batch", message(INVOKE, CALL, flags=12), IGNORED),
    Attack("a call that says it is a blob", message(INVOKE, CALL, flags=32), ERROR),
    Attack("a call that says it is compressed", message(INVOKE, CALL, flags=2), PARTED),
    Attack("a second handshake", message(CONNECT, HELLO), REFUSED),
    Attack("a ping with a payload", message(PING, b"x" * 100000, serializer=200), ANSWERED),
) + tuple(Attack("a message of type %d instead of a call" % kind, message(kind, CALL), ERROR)
          for kind in (0, CONNECTOK, CONNECTFAIL, RESULT, 7, 255))

FLAGS = tuple(Attack("a call with the flag %#x" % (1 << bit), message(INVOKE, CALL, flags=1 << bit), end)
              for bit, end in enumerate((ANSWERED, PARTED, IGNORED, ERROR, ANSWERED, ERROR) + 10 * (ANSWERED,)))

ATTACKS = HANDSHAKES + CALLS + FLAGS
