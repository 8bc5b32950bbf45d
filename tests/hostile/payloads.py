"""Payloads that are deep, huge, cyclic, or not what the call expects."""
from __future__ import annotations

import json
import marshal
import struct
from typing import Any, Sequence

from ..drafts import message
from .attack import ANSWERED, ERROR, FAILED, PARTED, REFUSED, Attack

CONNECT, INVOKE = 1, 4
SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4
MANY = 200000
BATCH, BLOB = 8, 32


def _serpent(text: str) -> bytes:
    return message(INVOKE, ("# serpent utf-8\n" + text).encode("utf-8", "surrogatepass"), SERPENT)


def _echo(text: str) -> bytes:
    return _serpent("('obj', 'echo', [%s], {})" % text)


def _json(**fields: Any) -> bytes:
    return message(INVOKE, json.dumps({"object": "obj", "method": "echo", "params": [], "kwargs": {}, **fields}).encode(),
                   JSON)


def _json_argument(text: str) -> bytes:
    return message(INVOKE, b'{"object": "obj", "method": "echo", "params": [%s], "kwargs": {}}' % text.encode(), JSON)


def _marshal(argument: bytes) -> bytes:
    """A call of echo, with that argument in marshal."""
    return message(INVOKE, b"(\4\0\0\0" + marshal.dumps("obj", 2) + marshal.dumps("echo", 2) + b"[\1\0\0\0" + argument + b"{0",
                   MARSHAL)


def _msgpack(argument: bytes) -> bytes:
    return message(INVOKE, b"\x94\xa3obj\xa4echo\x91" + argument + b"\x80", MSGPACK)


def _tagged(tag: str, more: str = "") -> bytes:
    return _echo("{'__class__': %r%s}" % (tag, more))


def _blown_up(levels: int) -> bytes:
    """A tagged list of twice a list of twice ... in marshal: a few hundred bytes."""
    value: Any = ["__class__"]
    for _ in range(levels):
        value = [value, value]
    return marshal.dumps(value)[1:]


def _equal_frozensets(levels: int) -> bytes:
    """A dict with two equal keys in marshal; each has a frozenset twice, which has a frozenset twice, and so on."""
    parts, number = [], -1
    for _ in range(2):
        parts.append(b"\xbe\1\0\0\0N")
        number += 1
        for _ in range(levels):
            before = b"r" + struct.pack("<i", number)
            parts.append(b"\xbe\2\0\0\0)\2" + before + b"T)\2" + before + b"F")
            number += 1
    keys = b"r" + struct.pack("<i", levels) + b"Nr" + struct.pack("<i", number) + b"N"
    return b")\2[" + struct.pack("<i", len(parts)) + b"".join(parts) + b"{" + keys + b"0"


def _numbers_that_hash_alike(text: str, count: int = 10000) -> str:
    return ",".join(text % (number * MERSENNE) for number in range(count))


def _batch_of_methods(methods: Sequence[Any]) -> bytes:
    elements = [[method, [], {}] for method in methods]
    return message(INVOKE, marshal.dumps(("obj", "<batch>", elements, {}), 2), MARSHAL, flags=BATCH)


MERSENNE = (1 << 61) - 1  # its multiples all hash to 0
CYCLE = b"<\x01\0\0\0\xa9\x01r\0\0\0\0"  # hashing it would never end
LONG = struct.pack("<ci", b"l", 60000) + b"\xff\x7f" * 60000

DEEP = (
    Attack("deep lists in serpent", _echo("[" * MANY + "]" * MANY), PARTED),
    Attack("deep brackets that never close", _echo("[" * MANY), FAILED),
    Attack("deep tuples in serpent", _echo("(" * 150 + "," + ")" * 150), FAILED),
    Attack("a long chain of signs", _echo("-" * MANY + "1"), PARTED),
    Attack("deep lists in json", _json_argument("[" * MANY + "]" * MANY), PARTED),
    Attack("deep dicts in json", _json_argument('{"a":' * MANY + "1" + "}" * MANY), PARTED),
    Attack("deep lists in marshal", _marshal(b"[\1\0\0\0" * MANY), ERROR),
    Attack("deep lists in msgpack", _msgpack(b"\x91" * MANY + b"\1"), ERROR),
)
HUGE = (
    Attack("a number of a million digits in serpent", _echo("9" * 1000000), ERROR, memory=60),
    Attack("a number of a million digits in json", _json_argument("9" * 1000000), ERROR),
    Attack("a number of a million bits in marshal", _marshal(LONG), ANSWERED),
    Attack("a list that is longer than the message, in marshal", _marshal(b"[\xff\xff\xff\x7f"), ERROR),
    Attack("a tuple that is longer than the message, in marshal", _marshal(b"(\xff\xff\xff\x7f"), ERROR),
    Attack("a list that is longer than the message, in msgpack", _msgpack(b"\xdd\xff\xff\xff\xff"), ERROR),
    Attack("a text that is longer than the message, in msgpack", _msgpack(b"\xdb\xff\xff\xff\xff"), ERROR),
    Attack("lists in lists that are all longer than the message, in msgpack",
           _msgpack((b"\xdd" + struct.pack(">I", 100000)) * 500 + bytes(100000)), PARTED, memory=20),
    Attack("an infinite date in msgpack", _msgpack(b"\xd7\x32" + struct.pack("<d", float("inf"))), ERROR),
    Attack("a fraction by zero in msgpack", _msgpack(b"\xc7\x03\x311/0"), ERROR),
    Attack("a multiplication", _echo("'x' * 10**10"), ERROR),
    Attack("a power", _echo("9**9**9"), ERROR),
)
COSTLY = (
    Attack("much for the compiler", _echo("[" + "1.," * 15000 + "]"), ANSWERED),
    Attack("much for the compiler, in many containers", _echo("[" + "{(),()}," * 5000 + "]"), ANSWERED),
    Attack("a set of numbers that hash alike", _echo("{%s}" % _numbers_that_hash_alike("%d")), PARTED),
    Attack("a dict of numbers that hash alike", _echo("{%s}" % _numbers_that_hash_alike("%d:1")), PARTED),
    Attack("an ordered dict of numbers that hash alike",
           _tagged("collections.OrderedDict", ", 'items': [%s]" % _numbers_that_hash_alike("(%d, 1)")), PARTED),
    Attack("a dict of numbers that hash alike, in marshal",
           _marshal(b"{" + b"".join(marshal.dumps(number * MERSENNE, 2) + b"N" for number in range(10000)) + b"0"), PARTED),
    Attack("a batch of methods that are numbers that hash alike",
           _batch_of_methods([number * MERSENNE for number in range(1, 10001)]), ERROR),
    Attack("a list of twice a list of twice a list", _marshal(b"\xdb" + _blown_up(60)), ERROR),
    Attack("a handshake with frozensets whose comparison is endless",
           message(CONNECT, _equal_frozensets(60), MARSHAL), REFUSED, handshake_done=False),
    Attack("tuples of thousands that hash alike",
           _echo("{%s}" % ",".join("(%s%d)" % ("1," * 500, number * MERSENNE) for number in range(100))), PARTED),
    Attack("a handshake that is endless",
           message(CONNECT, b"{\xfa\x06object\xfa\3obj\xfa\x09handshake\xdb" + _blown_up(60) + b"0",
                                                  MARSHAL), REFUSED, handshake_done=False),
    Attack("a list that contains itself, with a class in it", _marshal(b"\xdb\2\0\0\0\xfa\x09__class__r\0\0\0\0"), ERROR),
)
EVIL = (
    Attack("a tuple that contains itself, in marshal", _marshal(CYCLE), ERROR),
    Attack("a code object in marshal", _marshal(marshal.dumps(compile("1", "", "eval"))), ERROR),
    Attack("a call in serpent", _echo("__import__('os').system('true')"), ERROR),
    Attack("a class that is unknown", _tagged("subprocess.Popen", ", 'args': ['true']"), PARTED),
    Attack("a class with underscores", _tagged("os.__builtins__"), PARTED),
    Attack("a class that is no text", _echo("{'__class__': [1]}"), ERROR),
    Attack("an exception that ends programs", _tagged("SystemExit", ", '__exception__': True, 'args': (1,)"), ANSWERED),
    Attack("an exception with evil attributes",
           _tagged("ValueError", ", '__exception__': True, 'args': (), 'attributes': {'__class__': 'x', 'args': 3}"),
           ANSWERED),
    Attack("a proxy of something that is no uri", _tagged("Pyro5.client.Proxy", ", 'state': ('no uri', (), (), (), 0, None)"),
           ERROR),
    Attack("half of a surrogate pair", _echo("'\\ud800'"), ANSWERED),
    Attack("text that is not utf-8", message(INVOKE, b"# serpent utf-8\n('obj', 'echo', ['\xff'], {})"), ERROR),
    Attack("zeros in serpent", _echo("'\0'"), ERROR),
    Attack("marshal that says it is serpent", message(INVOKE, marshal.dumps(("obj", "echo", [1], {})), SERPENT), ERROR),
    Attack("serpent that says it is msgpack", message(INVOKE, b"('obj', 'echo', [1], {})", MSGPACK), ERROR),
)
UNFIT = (
    Attack("no call at all", message(INVOKE, b""), ERROR),
    Attack("a call that is a number", _serpent("1"), ERROR),
    Attack("a call with three parts", _serpent("('obj', 'echo', [])"), ERROR),
    Attack("a call of a list", _serpent("([], 'echo', [], {})"), ERROR),
    Attack("a call with arguments that are a text", _serpent("('obj', 'echo', 'abc', {})"), ERROR),
    Attack("a call with keywords that are numbers", _serpent("('obj', 'echo', [], {1: 2})"), ERROR),
    Attack("a call with keywords that are a list", _json(kwargs=[1]), ERROR),
    Attack("a call in json that lacks its method", message(INVOKE, b'{"object": "obj"}', JSON), ERROR),
    Attack("a call of a private method", _serpent("('obj', '__init__', [], {})"), ERROR),
    Attack("a call of the daemon's attributes", _serpent("('Pyro.Daemon', '__getattr__', ['daemon'], {})"), ERROR),
    Attack("an attribute that is private", _serpent("('obj', '__getattr__', ['__class__'], {})"), ERROR),
    Attack("an attribute without a name", _serpent("('obj', '__getattr__', [], {})"), ERROR),
    Attack("a batch of nonsense", message(INVOKE, b"('obj', '<batch>', [1, 'abc', ()], {})", flags=BATCH), ERROR),
    Attack("a blob whose annotation is a bomb of nesting",
           message(INVOKE, b"", flags=BLOB, annotations=[(b"BLBI", b"[\1\0\0\0" * 50000, None)]), ERROR),
    Attack("a stream that does not exist", _serpent("('Pyro.Daemon', 'get_next_stream_item', ['x'], {})"), ERROR),
    Attack("a stream whose id is a list", _serpent("('Pyro.Daemon', 'get_next_stream_item', [[]], {})"), ERROR),
    Attack("a serializer that is not accepted", message(INVOKE, marshal.dumps(("obj", "echo", [1], {})), MARSHAL), ERROR,
           daemon="strict"),
    Attack("a handshake in a serializer that is not accepted",
           message(CONNECT, marshal.dumps({"handshake": 1, "object": "obj"}), MARSHAL), REFUSED, handshake_done=False,
           daemon="strict"),
)
ATTACKS = DEEP + HUGE + COSTLY + EVIL + UNFIT
