"""Measure the CPU time that decoding takes, for forms of data that cost most: ``python -m tests.hostile.costs``.

Each form is decoded as the payload of a call, in the size given, and as a handshake of the largest size that a client may send
before it is accepted. What the limits refuse is shown as refused, with the time that it took to do so.
"""
from __future__ import annotations

import argparse
import marshal
import struct
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Tuple

from Pyro5 import config, protocol
from Pyro5._messages import handshake, requests
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.serializers import get_serializer

MERSENNE = (1 << 61) - 1  # its multiples all hash to 0
ROW = "%-10s %-28s %-12s %9d %10.3f %8.2f  %s"
HEADING = "%-10s %-28s %-12s %9s %10s %8s  %s" % ("serializer", "form", "as", "bytes", "CPU s", "s per MB", "outcome")
MOST_PER_MB, MOST_OF_HANDSHAKE = 1.5, 0.3  # seconds of CPU

_PIECES = (
    '[]', '()', '{}', '{1}', '{()}', '{(),}', '{1:1}', "{'a':1}", '(1,)', '(1)', '((1))', 'set()', '1', '1.', '1j', '1.5e3',
    '0x1', '1_0', '-1', '- 1', '+1', '--1', '1+2j', '-1-2j', 'True', 'None', '...', "''", "'a''b'", "b'x'", "r'x'", "u'x'",
    "'\\x41'", "'\\101'", "'\\u0041'", "'\\N{DIGIT ONE}'", "'''x'''", '"a"', '\'a\'"b"', '1#\n', '#\n1', '\\\n1',
    "{'__class__':1}", "{'__class__':'float','value':'1'}", "{'__class__':'complex','real':1.,'imag':2.}", '{**{}}',
    '[*()]', "{'data':'eA==','encoding':'base64'}",
    "{'__class__':'ValueError','__exception__':True,'args':(1,),'attributes':{}}",
    "{'__class__':'Pyro5.core.URI','state':('PYRO','x',None,'h',1)}",
)
_DISTINCT_PIECES = (
    '%d.', '%dj', '0x%x', '%d_0', "'%d''b'", "b'%d'", "'\\x41%d'", '1+%dj', '- %d', '{%d}', '{%d:()}', '{(%d,):()}',
    "{'%d':()}", '%d#\n', "'''%d'''", "{'__class__':'Pyro5.core.URI','state':('PYRO','x%d',None,'h',1)}",
)


class Form(NamedTuple):
    """Pieces that are the elements of a list; `distinct` ones contain their number."""

    name: str
    piece: str
    distinct: bool = False
    filler: str = ""


def _forms() -> Iterator[Form]:
    for levels in (2, 3, 10, 45, 49, 60, 90):
        yield Form("lists, %d deep" % levels, "[" * levels + "]" * levels)
        yield Form("tuples, %d deep" % levels, "(" * levels + "1" + ",)" * levels)
        yield Form("dicts, %d deep" % levels, "{1:" * levels + "1" + "}" * levels)
    for piece in _PIECES:
        yield Form(piece.replace("\n", "\\n"), piece)
    for piece in _DISTINCT_PIECES:
        yield Form(piece.replace("\n", "\\n") + ", distinct", piece, distinct=True)
    filler = ",".join("%d_0" % number for number in range(1000, 6500))
    for piece in (".5", "+1", "1.", "b''"):
        yield Form("%s, behind many others" % piece, piece, filler=filler)
    yield Form("numbers of 4000 digits", "9" * 4000)
    yield Form("floats of 4000 digits", "." + "9" * 4000)


def _text(form: Form, size: int) -> str:
    if not form.distinct:
        count = max(0, size - len(form.filler)) // (len(form.piece) + 1)
        return ",".join([form.filler] * bool(form.filler) + [form.piece] * count)
    pieces: List[str] = []
    while size > 0:
        pieces.append(form.piece % (100000 + len(pieces)))
        size -= len(pieces[-1]) + 1
    return ",".join(pieces)


def _serpent(size: int) -> Iterator[Tuple[str, bytes]]:
    for form in _forms():
        yield form.name, ("[%s]" % _text(form, size)).encode()
    for name, piece, count in (("numbers that hash alike", "%d", 1400), ("keys that hash alike", "%d:1", 1400),
                               ("tuples that hash alike", "(%d,2)", 700)):
        keys = [piece % (number * MERSENNE) for number in range(count)]
        one = "{%s}" % ",".join(keys)
        yield name, ("[%s]" % ",".join([one] * (size // len(one)))).encode()


def _json(size: int) -> Iterator[Tuple[str, bytes]]:
    for piece in ("[" * 90 + "]" * 90, "[]", "{}", '{"a":1}', "1", "1.5e3", '"\\u0041"', '{"__class__":1}', "null", "9" * 4000,
                  '{"__class__":"ValueError","__exception__":true,"args":[1],"attributes":{}}',
                  '{"__class__":"Pyro5.core.URI","state":["PYRO","x",null,"h",1]}'):
        yield piece[:28], ("[%s]" % ",".join([piece] * (size // (len(piece) + 1)))).encode()


def _marshal(size: int) -> Iterator[Tuple[str, bytes]]:
    number = marshal.dumps(MERSENNE, 2)
    numbers = [marshal.dumps(each * MERSENNE, 2) for each in range(4300)]
    tuples = [b")\2" + marshal.dumps(2, 2) + each for each in numbers]
    pieces: Dict[str, bytes] = {
        "empty lists": b"[\0\0\0\0", "empty dicts": b"{0", "empty tuples": b")\0", "empty sets": b"<\0\0\0\0", "None": b"N",
        "numbers": number, "texts": b"Z\1x", "nested tuples": b")\1" * 90 + b")\0", "floats": b"g" + bytes(8),
        **{"set of %d that hash alike" % count: b"<" + struct.pack("<i", count) + b"".join(numbers[:count])
           for count in (30, 300, 1000, 1390, 4000)},
        **{"dict of %d tuples that hash alike" % count: b"{" + b"N".join(tuples[:count]) + b"N0"
           for count in (30, 100, 300, 480, 1390)},
        **{"dict of frozensets of %d" % count: b"{" + b"N".join([
            b">" + struct.pack("<i", count) + b"".join(numbers[:count - 1]) + numbers[2000 + index]
            for index in range(keys)]) + b"N0" for count, keys in ((1390, 9), (400, 30), (99, 40), (50, 100))},
        "tagged": b"{Z\x09__class__Z\1x0",
    }
    for name, piece in pieces.items():
        count = max(1, size // len(piece))
        yield name, b"[" + struct.pack("<i", count) + piece * count


def _msgpack(size: int) -> Iterator[Tuple[str, bytes]]:
    pieces = {"empty lists": b"\x90", "empty dicts": b"\x80", "None": b"\xc0", "nested lists": b"\x91" * 90 + b"\x90",
              "announced": b"\xdc\xff\xff", "announced far": b"\xdd\0\x0f\xff\xff", "numbers": b"\xd4\x31\x31",
              "dates": b"\xd6\x33\0\0\0\1", "tagged": b"\x81\xa9__class__\xa1x"}
    for name, piece in pieces.items():
        count = max(1, size // len(piece))
        yield name, b"\xdd" + struct.pack(">I", count) + piece * count


SERIALIZERS: Dict[str, Callable[[int], Iterator[Tuple[str, bytes]]]] = {
    "serpent": _serpent, "json": _json, "marshal": _marshal, "msgpack": _msgpack}
CALLS: Dict[str, Tuple[bytes, bytes]] = {
    "serpent": (b"('obj','echo',[", b"],{})"), "json": (b'{"object":"obj","method":"echo","params":[', b'],"kwargs":{}}'),
    "marshal": (b"(\4\0\0\0" + marshal.dumps("obj", 2) + marshal.dumps("echo", 2) + b"[\1\0\0\0", b"{0"),
    "msgpack": (b"\x94\xa3obj\xa4echo\x91", b"\x80")}
HANDSHAKES: Dict[str, Tuple[bytes, bytes]] = {
    "serpent": (b"{'object':'obj','handshake':", b"}"), "json": (b'{"object":"obj","handshake":', b"}"),
    "marshal": (b"{" + marshal.dumps("object", 2) + marshal.dumps("obj", 2) + marshal.dumps("handshake", 2), b"0"),
    "msgpack": (b"\x82\xa6object\xa3obj\xa9handshake", b"")}


def _received(serializer: Any, payload: bytes, msgtype: int, compressed: bool = False) -> ReceivingMessage:
    data = SendingMessage(msgtype, 0, 1, serializer.serializer_id, payload, compress=compressed).data
    return ReceivingMessage(data[:protocol.HEADER_SIZE], data[protocol.HEADER_SIZE:])


def _decode(name: str, payload: bytes, msgtype: int) -> Tuple[float, str]:
    serializer = get_serializer(name)
    message = _received(serializer, payload, msgtype)
    parse = requests.parse_invoke_request if msgtype == protocol.MSG_INVOKE else handshake.parse_connect_request
    started, outcome = time.thread_time(), "decoded"
    try:
        value = parse(message, serializer)
        taken = time.thread_time() - started
        del value
    except Exception as x:  # any serializer fails in its own way
        taken, outcome = time.thread_time() - started, "%s: %.60s" % (type(x).__name__, x)
    return taken, outcome


def measure(names: Iterable[str], size: int, only: str, rounds: int) -> int:
    """Print a line for each form; returns how many took longer than they should."""
    over = 0
    print(HEADING)
    for name in names:
        for kind, msgtype, wrapped, bytes_ in (("call", protocol.MSG_INVOKE, CALLS, size),
                                               ("handshake", protocol.MSG_CONNECT, HANDSHAKES, config.MAX_HANDSHAKE_SIZE)):
            begin, end = wrapped[name]
            for form, value in SERIALIZERS[name](bytes_ - 100):
                if only not in form:
                    continue
                payload = begin + value + end
                taken, outcome = min(_decode(name, payload, msgtype) for _ in range(rounds))
                per_mb = taken / len(payload) * 1e6
                too_long = taken > MOST_OF_HANDSHAKE if kind == "handshake" else per_mb > MOST_PER_MB
                over += too_long
                row = ROW % (name, form[:28], kind, len(payload), taken, per_mb, outcome)
                print(row + " TOO LONG" * too_long, flush=True)
    return over


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.costs", description="Measure the cost of costly data.")
    parser.add_argument("--size", type=int, default=1000000, help="bytes of a call (default %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="forms with this in their name")
    parser.add_argument("--rounds", type=int, default=1, help="the shortest time of so many counts (default %(default)s)")
    parser.add_argument("serializer", nargs="*", default=list(SERIALIZERS), help="all by default")
    options = parser.parse_args()
    over = measure(options.serializer, options.size, options.only, options.rounds)
    print("%d took longer than %s s per MB, or %s s for a handshake" % (over, MOST_PER_MB, MOST_OF_HANDSHAKE))
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
