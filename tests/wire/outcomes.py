"""Compares what a program got from our client with what the recorded one got.
"""
from __future__ import annotations

import re
from typing import Any, List, Optional, Sequence, Tuple

from Pyro5 import api, errors
from Pyro5._client.streams import ItemStream
from Pyro5._values import unsendable

from .values import RECORDED_MODULE

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
_SHORTENED = re.compile(r"(.*)\.\.\.\((\d+) characters of repr\)(.*)", re.DOTALL)
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d{5}\b")  # a server's; the recorded objects name shorter ones only
_SET = re.compile(r"\{([^{}:]+)\}")
# How objects of this library look is its own affair.
_OWN_OBJECT = re.compile(r"<Pyro5\.[\w.]*\b_?(\w+) (?:object )?at 0xADDR[^<>]*>")


def class_name(kind: type) -> str:
    """Return the name of a class, with its module if it is not built in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def show(value: Any) -> str:
    """Return the repr of a value in the way of the recordings."""
    if isinstance(value, api.Proxy):
        return "<Proxy uri=%s methods=%r oneway=%r attrs=%r serializer=%r handshake=%r>" % (
            value._pyroUri, sorted(value._pyroMethods), sorted(value._pyroOneway), sorted(value._pyroAttrs),
            value._pyroSerializer, value._pyroHandshake)
    if isinstance(value, api.URI):
        return "<URI %s>" % value
    if type(value) is list:
        return "[%s]" % ", ".join(map(show, value))
    if type(value) is tuple:
        return "(%s%s)" % (", ".join(map(show, value)), "," if len(value) == 1 else "")
    if type(value) is dict:
        return "{%s}" % ", ".join("%s: %s" % (show(key), show(each)) for key, each in value.items())
    if isinstance(value, BaseException):
        return "<exception %s args=%r>" % (type(value).__name__, value.args)
    if type(value).__module__ == RECORDED_MODULE:
        return "<%s %r>" % (class_name(type(value)), vars(value))
    return _ADDRESS.sub("0xADDR", repr(value))


def _in_order(text: str) -> str:
    """Put the elements of sets in order."""
    return _SET.sub(lambda found: "{%s}" % ", ".join(sorted(found.group(1).split(", "))), text)


def _comparable(text: str) -> str:
    return _PORT.sub("<port>", _OWN_OBJECT.sub(r"<\1>", _in_order(text)))


def same_text(got: str, wanted: str) -> bool:
    """Compare two results of `show`; the wanted one may be shortened."""
    shortened = _SHORTENED.fullmatch(wanted)
    if shortened is None:
        return _comparable(got) == _comparable(wanted)
    start, length, end = shortened.groups()
    start = _comparable(start)
    return _comparable(got).startswith(start) and got.endswith(end) and (end != "" or len(got) == int(length))


def same_class(got: str, wanted: str) -> bool:
    """Compare two class names; it does not matter in which of its modules this library keeps a class."""
    if got.startswith("Pyro5.") and wanted.startswith("Pyro5."):
        return got.rpartition(".")[2] == wanted.rpartition(".")[2].lstrip("_")
    return got == wanted


def returned_as_recorded(results: Sequence[Any], wanted: Tuple[Any, ...]) -> bool:
    """Return whether calls returned what is recorded; several results may be recorded together, as a list or a tuple.

    Args:
        wanted: name of the class, text.
    """
    items = [each for each in results if not isinstance(each, ItemStream)]
    candidates: List[Any] = [*results[-1:], items, tuple(items)]
    return any(same_class(class_name(type(each)), wanted[0]) and same_text(show(each), wanted[1]) for each in candidates)


def raised_as_recorded(raised: Optional[BaseException], wanted: Tuple[Any, ...]) -> bool:
    """Return whether this error is the recorded one.

    Args:
        wanted: name of the class, text of the arguments (None if it does not count), remote or local, attributes if known.
    """
    if raised is None:
        return False
    # a value that cannot be sent: a SerializeError that is caught by handlers of the recorded class as well
    classes = type(raised).__mro__ if isinstance(raised, unsendable.Unsendable) else type(raised).__mro__[:1]
    wanted_class = wanted[0].replace("UnicodeEncodeError", "UnicodeError") if len(classes) > 1 else wanted[0]
    if not any(same_class(class_name(each), wanted_class) for each in classes):
        return False
    if (wanted[2] == "remote") != bool(getattr(raised, "_pyroTraceback", None)):
        return False
    own = {**vars(raised), "__notes__": errors.notes_of(raised)}
    attributes = {key: repr(value) for key, value in own.items()
                  if key not in ("_pyroTraceback", unsendable.MARK) and (key != "__notes__" or value)}
    arguments = _ADDRESS.sub("0xADDR", show(raised.args))
    return (wanted[1] is None or same_text(arguments, wanted[1])) and (len(wanted) < 4 or attributes == wanted[3])
