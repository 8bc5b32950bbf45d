"""
Exceptions, as plain data: ``{"__class__": name, "__exception__": True, "args": ..., "attributes": {...}}``; and back.

Only exception classes that are part of Python's builtins or of this package are built, and struct.error and the ones of
sqlite3; each is found in a table by its exact name. The remote traceback travels in the attribute ``_pyroTraceback``.
"""
from __future__ import annotations

import base64
import binascii
import builtins
import importlib
import logging
import struct
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type

from .. import errors
from . import plain

__all__ = ["ACCEPTED", "exception_to_dict", "dict_to_exception", "find_exception_class", "foreign_exception",
           "is_group", "restore_attributes", "send_as"]

log = logging.getLogger("Pyro5.serializers")

ExceptionClass = Type[BaseException]

OWN_TAG_PREFIX = "Pyro5.errors."
_PYTHON2_PREFIX = "exceptions."
_SQLITE_PREFIX = "sqlite3."


def _exception_classes(namespace: Mapping[str, Any], base: ExceptionClass) -> Dict[str, ExceptionClass]:
    return {name: value for name, value in namespace.items()
            if isinstance(value, type) and issubclass(value, base) and not name.startswith("_")}


_BUILTIN = _exception_classes(vars(builtins), BaseException)
# What other releases lack is sent as the class that they would raise in its place.
_SENT_AS: Dict[ExceptionClass, str] = {errors.RemoteError: OWN_TAG_PREFIX + "PyroError"}
_OWN = {name: clazz for name, clazz in _exception_classes(vars(errors), errors.PyroError).items() if clazz not in _SENT_AS}
_OWN_TAGS = {**{clazz: OWN_TAG_PREFIX + name for name, clazz in _OWN.items()}, **_SENT_AS}

_GROUP = _BUILTIN.get("BaseExceptionGroup")     # new in Python 3.11

# These look at their arguments when they are built or printed: they are built of plain data only.
_USE_THEIR_ARGUMENTS = (OSError, SyntaxError, UnicodeError)
_SCALARS = frozenset((str, int, float, type(None)))

# Every tag that can become an exception, but for sqlite3's; where a bare name is in both, builtins win.
ACCEPTED: Dict[str, ExceptionClass] = {
    **_OWN,
    **_BUILTIN,
    **{_PYTHON2_PREFIX + name: clazz for name, clazz in _BUILTIN.items()},
    **{"builtins." + name: clazz for name, clazz in _BUILTIN.items()},
    **{OWN_TAG_PREFIX + name: clazz for name, clazz in _OWN.items()},
    "struct.error": struct.error,
}


def send_as(clazz: ExceptionClass, tag: str) -> None:
    """Make instances of an exception class travel as another class; for this package's own classes, when it is imported."""
    _OWN_TAGS[clazz] = tag


def exception_to_dict(error: BaseException) -> Dict[str, Any]:
    """Describe an exception; its args and attributes are left for the serializer to deal with."""
    clazz = type(error)
    return {
        "__class__": _OWN_TAGS.get(clazz) or "%s.%s" % (clazz.__module__, clazz.__name__),
        "__exception__": True,
        "args": error.args,
        "attributes": _attributes_of(error),
    }


def _attributes_of(error: BaseException) -> Dict[str, Any]:
    """Return the attributes that travel; a note that only shows the remote traceback, which travels anyway, stays here."""
    attributes = vars(error)
    if "__notes__" not in attributes:
        return attributes
    notes = errors.notes_of(error)
    return {name: notes if name == "__notes__" else value
            for name, value in attributes.items() if notes or name != "__notes__"}


def find_exception_class(tag: str) -> Optional[ExceptionClass]:
    """Give the exception class that a tag stands for, or None if it stands for none that may be built."""
    if tag.startswith(_SQLITE_PREFIX):
        return _sqlite_exception_class(tag[len(_SQLITE_PREFIX):])
    return ACCEPTED.get(tag)


def _sqlite_exception_class(name: str) -> Optional[ExceptionClass]:
    # loaded only when such an exception arrives: programs without a database need not have it
    if not (name.isidentifier() and name.endswith("Error")):
        return None
    try:
        sqlite3 = importlib.import_module("sqlite3")
    except ImportError:
        return None
    return _exception_classes(vars(sqlite3), sqlite3.Error).get(name)


def is_group(clazz: ExceptionClass) -> bool:
    """Tell whether the args of an exception class are a text and a list of exceptions."""
    return _GROUP is not None and issubclass(clazz, _GROUP)


def dict_to_exception(clazz: ExceptionClass, data: Mapping[str, Any]) -> BaseException:
    """
    Build an exception of the given class from its description.

    Where the class refuses the arguments the result is a PyroError that names both.

    Raises:
        KeyError: there are no args in the description.
        ValueError: they are no sequence.
    """
    args = data["args"]
    if type(args) not in plain.SEQUENCES:
        raise ValueError("the args of an exception must be a list or tuple, not %s" % type(args).__name__)
    if clazz is errors.PyroError and _stands_in(data):
        clazz = errors.RemoteError
    try:
        error = clazz(*_natural_args(clazz, tuple(args)))
    except (TypeError, ValueError, OverflowError, AttributeError) as x:
        log.debug("%s cannot be made from the arguments that came over the network: %s", clazz, x)
        error = foreign_exception(data)
    else:
        restore_attributes(error, data)
    return error


def _stands_in(data: Mapping[str, Any]) -> bool:
    """Return whether a PyroError is what a RemoteError is sent as."""
    attributes = data.get("attributes")
    return type(attributes) is dict and type(attributes.get("remote_class")) is str


def _natural_args(clazz: ExceptionClass, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Undo what text formats make of bytes; refuse what the class would use, or crash on, when it is built or printed."""
    if is_group(clazz):
        if not (len(args) == 2 and type(args[0]) is str and type(args[1]) in plain.SEQUENCES
                and all([isinstance(each, BaseException) for each in args[1]])):
            raise TypeError("a group of exceptions is made of a text and a list of exceptions")
        return args
    if not issubclass(clazz, _USE_THEIR_ARGUMENTS):
        return args
    if not plain.is_plain(args):
        raise TypeError("the arguments are not plain data")
    if issubclass(clazz, SyntaxError) and len(args) > 1:
        if type(args[1]) not in plain.SEQUENCES or not _SCALARS.issuperset(map(type, args[1])):
            raise TypeError("the place of a syntax error is a sequence of texts and numbers")
    if not issubclass(clazz, UnicodeError) or len(args) < 4:
        return args
    start, end = args[-3:-1]
    if type(start) is not int or type(end) is not int or start < 0 or end < 0:
        raise ValueError("invalid position")
    if issubclass(clazz, UnicodeDecodeError) and type(args[1]) is dict:
        return (args[0], _base64_to_bytes(args[1])) + args[2:]
    return args


def _base64_to_bytes(data: Mapping[str, Any]) -> bytes:
    if data.get("encoding") != "base64":
        raise TypeError("no bytes: %r" % (data,))
    try:
        return base64.b64decode(data["data"])
    except (KeyError, binascii.Error) as x:
        raise TypeError("no bytes: %s" % x) from x


def foreign_exception(data: Mapping[str, Any]) -> errors.RemoteError:
    """
    Return what stands in for an exception whose class cannot be built here.

    It shows class name and text, has the attributes of the remote exception, its class name in ``remote_class`` and its args
    in ``remote_args``.
    """
    tag = str(data["__class__"])
    args = data.get("args", ())
    args = tuple(args) if type(args) in plain.SEQUENCES else (args,)
    error = errors.RemoteError("%s: %s" % (tag, _text_of(args)) if args else tag)
    restore_attributes(error, data)
    error.remote_class = tag
    error.remote_args = args
    return error


def _text_of(args: Sequence[Any]) -> str:
    return str(args[0]) if len(args) == 1 else str(tuple(args))


def restore_attributes(error: BaseException, data: Mapping[str, Any]) -> None:
    """Give an exception the attributes in its description (remote traceback and notes are two of them) that it lacks."""
    attributes = data.get("attributes")
    if type(attributes) is not dict:
        return
    present = BaseException.__getattribute__(error, "__dict__")
    for name, value in attributes.items():
        if type(name) is str and name not in present and _may_be_set(error, name, value):
            present[name] = value


def _may_be_set(error: BaseException, name: str, value: Any) -> bool:
    """Return whether a peer may set an attribute: not what the exception object or its class need, and only texts to show."""
    if name == "__notes__":
        return type(value) is list and plain.is_texts(value)
    if name == "remote_class":
        return type(value) is str
    if name == "_pyroTraceback":
        return value is None or type(value) is str or plain.is_texts(value)
    return not (name.startswith("__") or _has_meaning(error, name))


def _has_meaning(error: BaseException, name: str) -> bool:
    attribute = getattr(type(error), name, None)
    return name == "add_note" or callable(attribute) or hasattr(attribute, "__set__")
