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

__all__ = ["ACCEPTED", "exception_to_dict", "dict_to_exception", "find_exception_class", "foreign_exception",
           "is_group"]

log = logging.getLogger("Pyro5.serializers")

ExceptionClass = Type[BaseException]

OWN_TAG_PREFIX = "Pyro5.errors."
_PYTHON2_PREFIX = "exceptions."
_SQLITE_PREFIX = "sqlite3."


def _exception_classes(namespace: Mapping[str, Any], base: ExceptionClass) -> Dict[str, ExceptionClass]:
    return {name: value for name, value in namespace.items()
            if isinstance(value, type) and issubclass(value, base) and not name.startswith("_")}


_BUILTIN = _exception_classes(vars(builtins), BaseException)
_OWN = _exception_classes(vars(errors), errors.PyroError)
_OWN_TAGS = {clazz: OWN_TAG_PREFIX + name for name, clazz in _OWN.items()}

_GROUP = _BUILTIN.get("BaseExceptionGroup")     # new in Python 3.11

# Every tag that can become an exception, but for sqlite3's; where a bare name is in both, builtins win.
ACCEPTED: Dict[str, ExceptionClass] = {
    **_OWN,
    **_BUILTIN,
    **{_PYTHON2_PREFIX + name: clazz for name, clazz in _BUILTIN.items()},
    **{"builtins." + name: clazz for name, clazz in _BUILTIN.items()},
    **{OWN_TAG_PREFIX + name: clazz for name, clazz in _OWN.items()},
    "struct.error": struct.error,
}


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
    others = {name: value for name, value in attributes.items() if name != "__notes__"}
    return {**others, "__notes__": notes} if notes else others


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
    """
    args = tuple(data["args"])
    try:
        error = clazz(*_natural_args(clazz, args))
    except (TypeError, ValueError, OverflowError, AttributeError) as x:
        log.debug("%s cannot be made from the arguments that came over the network: %s", clazz, x)
        error = foreign_exception(data)
    else:
        _set_attributes(error, data.get("attributes"))
    return error


def _natural_args(clazz: ExceptionClass, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Undo what text formats make of bytes; refuse what makes Python crash when the exception is printed."""
    if not issubclass(clazz, UnicodeError) or len(args) < 4:
        return args
    start, end = args[-3:-1]
    if start < 0 or end < 0:
        raise ValueError("negative position")
    if issubclass(clazz, UnicodeDecodeError) and isinstance(args[1], dict):
        return (args[0], _base64_to_bytes(args[1])) + args[2:]
    return args


def _base64_to_bytes(data: Mapping[str, Any]) -> bytes:
    if data.get("encoding") != "base64":
        raise TypeError("no bytes: %r" % (data,))
    try:
        return base64.b64decode(data["data"])
    except (KeyError, binascii.Error) as x:
        raise TypeError("no bytes: %s" % x) from x


def foreign_exception(data: Mapping[str, Any]) -> errors.PyroError:
    """
    Stand in for an exception whose class cannot be built here.

    Returns:
        a PyroError that shows class name and text; with the attributes of the remote one, its class name in
        ``remote_class`` and its args in ``remote_args``.
    """
    tag = str(data["__class__"])
    args = data.get("args", ())
    args = tuple(args) if isinstance(args, (list, tuple)) else (args,)
    error = errors.PyroError("%s: %s" % (tag, _text_of(args)) if args else tag)
    _set_attributes(error, data.get("attributes"))
    error.remote_class = tag
    error.remote_args = args
    return error


def _text_of(args: Sequence[Any]) -> str:
    return str(args[0]) if len(args) == 1 else str(tuple(args))


def _set_attributes(error: BaseException, attributes: Any) -> None:
    if not isinstance(attributes, Mapping):
        return
    for name, value in attributes.items():
        # the inner workings of an exception object, and its methods, are not the peer's to set; notes are plain text
        if isinstance(name, str) and (name == "__notes__" or not (name.startswith("__") or _has_meaning(error, name))):
            vars(error)[name] = value


def _has_meaning(error: BaseException, name: str) -> bool:
    attribute = getattr(type(error), name, None)
    return name == "add_note" or callable(attribute) or hasattr(attribute, "__set__")
