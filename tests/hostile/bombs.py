"""Compressed data that becomes a thousand times as large."""
from __future__ import annotations

import functools
import marshal
import zlib
from typing import Callable, List

from ..drafts import message
from ..rawclient import RawClient
from .attack import ERROR, PARTED, REFUSED, Attack, observe
from .target import Target

CONNECT, INVOKE = 1, 4
COMPRESSED, BLOB = 2, 32
CROWD = 6
MIB = 1 << 20
LARGEST_SOUND = 8


@functools.lru_cache(maxsize=None)
def bomb(mebibytes: int) -> bytes:
    """Compress a call with a string of that size."""
    packer = zlib.compressobj(9)
    begin = packer.compress(b"# serpent utf-8\n('obj', 'echo', ['") + packer.flush(zlib.Z_FULL_FLUSH)
    if mebibytes > LARGEST_SOUND:  # it is not read to the end, where the checksum is
        return begin + (packer.compress(b"x" * MIB) + packer.flush(zlib.Z_FULL_FLUSH)) * mebibytes
    return b"".join([begin] + [packer.compress(b"x" * MIB) for _ in range(mebibytes)] + [packer.compress(b"'], {})"),
                                                                                         packer.flush()])


def _is_parted(build: Callable[[], bytes]) -> Callable[[Target], None]:
    """Make an attack whose bytes are made when it is made."""
    def attack(target: Target) -> None:
        with target.connect_with_handshake() as client:
            client.send(build())
            ended = observe(client)
        if ended != PARTED:
            raise AssertionError(ended)
    return attack


def _in_handshakes(target: Target) -> None:
    for _ in range(CROWD * target.scale):
        with target.connect() as client:
            client.send(message(CONNECT, bomb(64), flags=COMPRESSED))
            if observe(client) != REFUSED:
                raise AssertionError("a bomb in a handshake was not refused")


def _many_at_once(target: Target) -> None:
    clients: List[RawClient] = [target.connect_with_handshake() for _ in range(CROWD * target.scale)]
    for client in clients:
        client.send(message(INVOKE, bomb(64), flags=COMPRESSED))
    for client in clients:
        if observe(client) != PARTED:
            raise AssertionError("a bomb was not refused")
        client.close()


def _that_fit(target: Target) -> None:
    """Each becomes as large as is allowed, and is decoded, then."""
    clients: List[RawClient] = [target.connect_with_handshake() for _ in range(CROWD)]
    for client in clients:
        client.send(message(INVOKE, bomb(2), flags=COMPRESSED))
    for client in clients:
        if client.reply() != "x" * (2 * MIB):
            raise AssertionError("what is allowed was not done")
        client.close()


def _blob(payload: bytes, flags: int = BLOB) -> bytes:
    info = marshal.dumps(("info", "obj", "blob"))
    return message(INVOKE, payload, flags=flags, annotations=[(b"BLBI", info, None)])


ATTACKS = (
    Attack("a bomb", _is_parted(lambda: message(INVOKE, bomb(64), flags=COMPRESSED))),
    Attack("a megabyte that becomes a gigabyte", _is_parted(lambda: message(INVOKE, bomb(1024), flags=COMPRESSED))),
    Attack("a bomb that is compressed twice", message(INVOKE, zlib.compress(bomb(64)), flags=COMPRESSED), ERROR),
    Attack("a bomb in a blob", _is_parted(lambda: _blob(bomb(64), BLOB | COMPRESSED))),
    Attack("a bomb inside of a blob", _blob(bomb(8)), ERROR),
    Attack("a bomb in an annotation",
           message(INVOKE, b"()", annotations=[(b"BLBI", bomb(8), None)], flags=BLOB), ERROR),
    Attack("bombs in handshakes", _in_handshakes),
    Attack("many bombs at once", _many_at_once, memory=120),
    Attack("many messages that become as large as is allowed", _that_fit, memory=60),
    Attack("compressed data that is cut off", message(INVOKE, bomb(1)[:-10], flags=COMPRESSED), PARTED),
    Attack("compressed data with more behind it", message(INVOKE, bomb(1) + b"more", flags=COMPRESSED), PARTED),
    Attack("no compressed data", message(INVOKE, b"", flags=COMPRESSED), PARTED),
)
