"""Tells whether a message is the recorded one, byte by byte, except for what differs between any two runs:

correlation ids and stream ids that the server makes up, generated object ids, ports, memory addresses, the contents of
tracebacks, the order of elements of sets and of lists that were made of sets, how many workers or connections there are,
and the wording of errors by Python or this library (their classes count; what the recorded objects said counts too); errors
for results that cannot be sent have an attribute of this library.

Payloads that hold nothing of that must be identical. The others are decoded, without the library, and compared type by
type; so are all payloads in marshal (its bytes depend on reference counts) and compressed ones (on the zlib version).
"""
from __future__ import annotations

import json
import marshal
import re
import zlib
from typing import Any, Callable, Dict, List, Optional, Tuple

import serpent

from .recordings import FLAGS, MADE_UP_CORRELATION, NO_CORRELATION, SERIALIZERS, TYPES, Frame, split_frame
from .values import EXCEPTIONS

# What the recorded objects said in their errors; all other texts of errors are Python's or the library's own.
OWN_TEXTS = {"broken property", "in callback", "in oneway", "mid stream", "after annotations",
             "denied by policy", "not welcome"}
for _name in sorted(set(EXCEPTIONS) - {"group", "syntaxerror"}):  # old Pythons cannot make these
    OWN_TEXTS.update(arg for arg in EXCEPTIONS[_name]().args if isinstance(arg, str))

NAME_LISTS = ("methods", "oneway", "attrs")  # keys of metadata
PROXY_STATE_LENGTH = 6
PROXY_STATE_NAMES = slice(1, 4)

_TEXT_MASKS: Tuple[Tuple[Any, str], ...] = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"), "<random uuid>"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "<address>"),
    (re.compile(r"(?<=127\.0\.0\.1:)(?!4444\b|9090\b)\d{4,5}\b"), "<port>"),  # the recorded objects name these two
    (re.compile(r"\./u:\S*wire\.sock"), "<unix socket>"),
    (re.compile(r"\bobj_[0-9a-f]{32}\b"), "<generated id>"),
    (re.compile(r"\b\d+ (?=workers\b|connections\b)"), "<n> "),
    (re.compile(r"\bSocketServer_(Threadpool|Multiplex)\b"), "<server type>"),
    (re.compile(r"\b(workers|connections)(?=>$)"), "<load>"),
)


def _msgpack_loads(data: bytes) -> Any:
    import msgpack
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


_DECODERS: Dict[int, Callable[[bytes], Any]] = {
    SERIALIZERS["serpent"]: serpent.loads, SERIALIZERS["marshal"]: marshal.loads,
    SERIALIZERS["json"]: lambda data: json.loads(data.decode("utf-8")), SERIALIZERS["msgpack"]: _msgpack_loads}


def inflated(frame: Frame) -> bytes:
    """Return the payload, decompressed."""
    return zlib.decompress(frame.payload) if frame.flags & FLAGS["COMPRESSED"] else frame.payload


def decoded(frame: Frame) -> Any:
    """Return the payload as plain data: classes stay the dicts that stand for them."""
    return inflated(frame) if frame.type == TYPES["PING"] else _DECODERS[frame.serializer](inflated(frame))


class Masked:
    """A value made comparable: with the types of everything in it, and without what differs between runs.

    Attributes:
        content: equal for values that are equal but for that.
        changed: whether there was anything of that kind.
    """

    def __init__(self, value: Any, set_order: bool) -> None:
        self.changed = False
        self._set_order = set_order
        self.content = self._mask(value)

    def _mask(self, value: Any, key: Any = None) -> Any:
        kind = type(value).__name__
        if key == "_pyroTraceback" and value is not None:
            self.changed = True
            return "traceback", kind, set(map(type, value)) == {str}
        if isinstance(value, dict):
            return self._mask_dict(value)
        if isinstance(value, (set, frozenset)):
            return kind, self._sorted(value)
        if isinstance(value, (list, tuple)):
            return kind, self._mask_items(list(value), key)
        if isinstance(value, str):
            return kind, self._mask_text(value)
        return kind, repr(value)

    def _mask_dict(self, value: Dict[Any, Any]) -> Any:
        if value.get("__exception__") and isinstance(value.get("args"), (list, tuple)):
            value = dict(value, args=type(value["args"])(map(self._mask_wording, value["args"])))
            value["attributes"] = {name: each for name, each in value["attributes"].items() if name != "_pyroUnsendable"}
            if value["__class__"] == "builtins.SyntaxError" and "<unknown>" in repr(value["args"]):
                value["args"] = "<position>"  # Python's own, for text that it cannot read
        return "dict", [(self._mask(key), self._mask(value[key], key)) for key in value]

    def _mask_items(self, items: List[Any], key: Any) -> List[Any]:
        if key in NAME_LISTS or (self._set_order and items and set(map(type, items)) == {str}):
            return self._sorted(items)
        if len(items) == PROXY_STATE_LENGTH and isinstance(items[0], str) and items[0].startswith("PYRO"):
            names = [(type(each).__name__, self._sorted(each)) for each in items[PROXY_STATE_NAMES]]
            return [self._mask(each) for each in items[:1]] + names + [self._mask(each) for each in items[4:]]
        if len(items) == 5 and items[0] == "PYRO" and items[3] == "127.0.0.1" and items[4] not in (55, 4444):
            items[4] = self._mask_text("127.0.0.1:%s" % items[4])  # the state of a uri
        return [self._mask(each) for each in items]

    def _sorted(self, items: Any) -> List[Any]:
        self.changed = self.changed or len(items) > 1
        return sorted((self._mask(each) for each in items), key=repr)

    def _mask_wording(self, text: Any) -> Any:
        if not isinstance(text, str) or text in OWN_TEXTS:
            return text
        self.changed = True
        return "<text>"

    def _mask_text(self, text: str) -> str:
        masked = text
        for pattern, replacement in _TEXT_MASKS:
            masked = pattern.sub(replacement, masked)
        self.changed = self.changed or masked != text
        return masked


def _masked_payload(frame: Frame, set_order: bool) -> Optional[Masked]:
    """Return the payload masked, None if it cannot be decoded."""
    try:
        value = decoded(frame)
    except Exception:  # whatever a decoder makes of garbage
        return None
    if frame.type == TYPES["CONNECTFAIL"] and value not in OWN_TEXTS:
        masked = Masked(type(value), set_order)
        masked.changed = True
        return masked
    return Masked(value, set_order)


def _same_payload(expected: Frame, got: Frame, set_order: bool) -> bool:
    if expected.payload == got.payload:
        return True
    first, second = _masked_payload(expected, set_order), _masked_payload(got, set_order)
    if first is None or second is None or first.content != second.content:
        return False
    return (first.changed or expected.serializer == SERIALIZERS["marshal"]
            or bool(expected.flags & FLAGS["COMPRESSED"] and inflated(expected) == inflated(got)))


def _same_correlation(expected: bytes, got: bytes) -> bool:
    if expected == MADE_UP_CORRELATION:
        return got != NO_CORRELATION
    return got == expected


def _comparable_annotations(frame: Frame) -> List[Any]:
    comparable = {"STRM": len, "BLBI": marshal.loads}  # a made-up id; marshal bytes differ between Python versions
    return [(key, comparable.get(key, bytes)(value)) for key, value in frame.annotations]  # type: ignore[operator]


def difference(expected_data: bytes, got_data: bytes, set_order: bool = False) -> str:
    """Say in what way a message is not the expected one, in an empty text if it is.

    Args:
        set_order: lists of texts are made of sets here, their order does not count.
    """
    expected, got = split_frame(expected_data), split_frame(got_data)
    problems = ["%s is %r, expected %r" % (field, getattr(got, field), getattr(expected, field))
                for field in ("type", "serializer", "seq", "flags") if getattr(got, field) != getattr(expected, field)]
    if not _same_correlation(expected.correlation, got.correlation):
        problems.append("correlation id is %r, expected %r" % (got.correlation, expected.correlation))
    if _comparable_annotations(expected) != _comparable_annotations(got):
        problems.append("annotations are %r, expected %r" % (got.annotations, expected.annotations))
    if not _same_payload(expected, got, set_order):
        problems.append("payload is\n  %r, expected\n  %r" % (got.payload[:1500], expected.payload[:1500]))
    return "; ".join(problems)


def description(data: Optional[bytes]) -> str:
    """Say what kind of answer this is: "welcome", "refusal", "pong", "error <class>", "stream", "result <value>", or "closed"
    if there is none; with " with <ids>" if there are annotations.
    """
    if data is None:
        return "closed"
    frame = split_frame(data)
    ids = ",".join(key for key, _ in frame.annotations)
    return _kind(frame) + (" with " + ids if ids else "")


def _kind(frame: Frame) -> str:
    if frame.type != TYPES["RESULT"]:
        return {TYPES["CONNECTOK"]: "welcome", TYPES["CONNECTFAIL"]: "refusal", TYPES["PING"]: "pong"}.get(frame.type, "?")
    if frame.flags & FLAGS["ITEMSTREAMRESULT"]:
        return "stream"
    if frame.flags & FLAGS["EXCEPTION"]:
        return "error " + decoded(frame)["__class__"].rpartition(".")[2]
    try:
        return "result %r" % (decoded(frame),)
    except TypeError:  # msgpack: a key that became a list
        return "result"
