"""Convert exceptions to plain data and back: ``{"__class__": name, "__exception__": True, "args": ..., "attributes": {...}}``.

Only classes of Python's builtins and of this package, struct.error, and the classes of sqlite3 are built. Each is found in a
table by its exact name. The remote traceback is sent in the attribute ``_pyroTraceback``.
"""
from __future__ import annotations

import binascii
import builtins
import importlib
import logging
import struct
import threading
from typing import Any, Dict, Mapping, Optional, Tuple, Type

from .. import errors
from . import plain

log = logging.getLogger("Pyro5.serializers")

ExceptionClass = Type[BaseException]

OWN_TAG_PREFIX = "Pyro5.errors."
_PYTHON2_PREFIX = "exceptions."
_SQLITE_PREFIX = "sqlite3."


def _exception_classes(namespace: Mapping[str, Any], base: ExceptionClass) -> Dict[str, ExceptionClass]:
    return {name: value for name, value in namespace.items()
            if isinstance(value, type) and issubclass(value, base) and not name.startswith("_")}


# Collected once at import: what a message can build does not change while the program runs.
_BUILTIN = _exception_classes(vars(builtins), BaseException)
# Classes that 5.x does not have are sent as the class that 5.x would raise.
_SENT_AS: Dict[ExceptionClass, str] = {
    errors.RemoteError: OWN_TAG_PREFIX + "PyroError", errors.CancelledError: OWN_TAG_PREFIX + "PyroError",
    errors.BusyError: OWN_TAG_PREFIX + "DaemonError"}
_OWN = {name: clazz for name, clazz in _exception_classes(vars(errors), errors.PyroError).items() if clazz not in _SENT_AS}
_OWN_TAGS = {**{clazz: OWN_TAG_PREFIX + name for name, clazz in _OWN.items()}, **_SENT_AS}

# The names of exception classes of the program that are registered types. Read without a lock: a change replaces the table.
_wire_names: Dict[ExceptionClass, str] = {}
_wire_names_lock = threading.Lock()  # held while the table is replaced, so that no change of another thread is lost
_MAX_CAUSES = 8  # exceptions in a chain of causes that are sent

_GROUP = _BUILTIN.get("BaseExceptionGroup")     # new in Python 3.11

# These classes use their arguments when an instance is built or printed, so they are built of plain data only.
_CLASSES_THAT_USE_ARGUMENTS = (OSError, SyntaxError, UnicodeError)
_LONGEST_TEXT = 10000    # characters of arguments, in the text of a RemoteError
_SCALARS = frozenset((str, int, float, type(None)))

# All tags of exceptions that are built, except for sqlite3. A name without module means the builtin if there are both.
ACCEPTED: Dict[str, ExceptionClass] = {
    **_OWN,
    **_BUILTIN,
    **{_PYTHON2_PREFIX + name: clazz for name, clazz in _BUILTIN.items()},
    **{"builtins." + name: clazz for name, clazz in _BUILTIN.items()},
    **{OWN_TAG_PREFIX + name: clazz for name, clazz in _OWN.items()},
    "struct.error": struct.error,
}


def send_as(clazz: ExceptionClass, tag: str) -> None:
    """Set the tag that instances of an exception class of this package are sent with. Called during import only."""
    _OWN_TAGS[clazz] = tag


def set_wire_name(clazz: ExceptionClass, name: Optional[str]) -> None:
    """Set the name of an exception class toward peers that know registered types; None removes it."""
    global _wire_names
    with _wire_names_lock:
        names = {key: value for key, value in _wire_names.items() if key is not clazz}
        _wire_names = names if name is None else {**names, clazz: name}


def exception_to_dict(error: BaseException, tagged: bool = False, causes: int = _MAX_CAUSES) -> Dict[str, Any]:
    """Convert an exception to a dict. Its args and attributes are not converted; this is left to the serializer.

    Args:
        tagged: for a peer that knows registered types: with the names of these, and with the cause of the exception.
        causes: the maximum length of the chain of causes.
    """
    clazz = type(error)
    data = {
        # own classes by their documented name, which is independent of the module that the package is imported as
        "__class__": _OWN_TAGS.get(clazz) or "%s.%s" % (clazz.__module__, clazz.__name__),
        "__exception__": True,
        "args": error.args,
        "attributes": _attributes_of(error),
    }
    if tagged:
        if isinstance(error, OSError) and type(error.filename) is str:
            data["args"] = OSError.__reduce__(error)[1]  # with the name of the file
        name = _wire_names.get(clazz)
        if name is not None:
            data["__class__"] = name
            if hasattr(clazz, "__pyro_state__"):
                data["state"] = error.__pyro_state__()  # type: ignore[attr-defined]
        if error.__cause__ is not None and causes:
            data["cause"] = exception_to_dict(error.__cause__, tagged, causes - 1)
    return data


def _attributes_of(error: BaseException) -> Dict[str, Any]:
    """Return the attributes to send: without the note that shows the remote traceback, which is sent as an attribute."""
    attributes = vars(error)
    if "sent" in attributes and isinstance(error, errors.PyroError):  # it is about the request of this process
        about_request = ("sent", "retry_after") if isinstance(error, errors.CommunicationError) else ("sent",)
        attributes = {name: value for name, value in attributes.items() if name not in about_request}
    # the receiver creates a note of its own; sent along, there would be one more with each server that passes the exception on
    if "__notes__" not in attributes:
        return attributes
    notes = errors.notes_of(error)
    return {name: notes if name == "__notes__" else value
            for name, value in attributes.items() if notes or name != "__notes__"}


def find_exception_class(tag: str) -> Optional[ExceptionClass]:
    """Return the exception class with this tag, None if it is not one of those that may be built."""
    if tag.startswith(_SQLITE_PREFIX):
        return _sqlite_exception_class(tag[len(_SQLITE_PREFIX):])
    return ACCEPTED.get(tag)


def _sqlite_exception_class(name: str) -> Optional[ExceptionClass]:
    # imported when such an exception is received: some systems have no sqlite3, and most programs do not use it
    if not (name.isidentifier() and name.endswith("Error")):
        return None
    try:
        sqlite3 = importlib.import_module("sqlite3")
    except ImportError:
        return None
    return _exception_classes(vars(sqlite3), sqlite3.Error).get(name)


def is_group(clazz: ExceptionClass) -> bool:
    """Return whether an exception class is one of exception groups, whose args are a text and a list of exceptions."""
    return _GROUP is not None and issubclass(clazz, _GROUP)  # before Python 3.11 there are none


def dict_to_exception(clazz: ExceptionClass, data: Mapping[str, Any]) -> BaseException:
    """Build an exception of the given class from a dict.

    If the class does not accept the arguments, the result is a RemoteError that describes the exception.

    Raises:
        KeyError: the dict has no args.
        ValueError: the args are not a list or tuple.
    """
    args = data["args"]
    if type(args) not in plain.SEQUENCES:
        raise ValueError("the args of an exception must be a list or tuple, not %s" % type(args).__name__)
    if clazz is errors.PyroError or clazz is errors.DaemonError:
        clazz = _original_class(clazz, data)
    # The constructors of the accepted classes run no code of the program, but some require a certain number or type of args.
    try:
        error = clazz(*_checked_args(clazz, tuple(args)))
    except (TypeError, ValueError, OverflowError, AttributeError) as x:
        log.debug("%s does not accept the received arguments: %s", clazz, x)
        error = foreign_exception(data)
    else:
        restore_attributes(error, data)
    return error


def registered_exception(clazz: Any, data: Mapping[str, Any]) -> BaseException:
    """Build an exception of a class that the program has registered.

    Its own constructor is not called, which may require other arguments than ``args``: it has set the arguments and attributes
    in the process that sent them.

    Raises:
        ValueError: the args are not a list or tuple.
        Exception: those of ``__pyro_from_state__``, if the class has it.
    """
    args: Any = data.get("args")
    if type(args) not in plain.SEQUENCES:
        raise ValueError("the args of an exception must be a list or tuple, not %s" % type(args).__name__)
    error: BaseException
    if "state" in data and hasattr(clazz, "__pyro_from_state__"):
        error = clazz.__pyro_from_state__(data["state"])
    else:
        base = next(each for each in clazz.__mro__ if each.__module__ == "builtins")
        checked = _checked_args(base, tuple(args))
        error = base.__new__(clazz, *checked)
        base.__init__(error, *checked)  # for the attributes of OSError, StopIteration and others
        if not isinstance(error, OSError):  # whose args do not contain the name of the file
            error.args = checked
    restore_attributes(error, data)
    return error


def _original_class(clazz: ExceptionClass, data: Mapping[str, Any]) -> ExceptionClass:
    """Return the class that an exception had before it was sent as one that other releases know, see _SENT_AS."""
    attributes = data.get("attributes")
    if type(attributes) is not dict:
        return clazz
    if clazz is errors.DaemonError:
        return errors.BusyError if type(attributes.get("retry_after")) in (int, float) else clazz
    if attributes.get("is_cancellation") is True:
        return errors.CancelledError
    return errors.RemoteError if type(attributes.get("remote_class")) is str else clazz


def _checked_args(clazz: ExceptionClass, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Return the args to build an exception with. Bytes that a text format has converted to base64 are restored.

    Raises:
        TypeError, ValueError: the class would run code of the args, or fail on them, when it is built or printed.
    """
    if is_group(clazz):
        if not (len(args) == 2 and type(args[0]) is str and type(args[1]) in plain.SEQUENCES
                and all([isinstance(each, BaseException) for each in args[1]])):
            raise TypeError("the args of an exception group must be a text and a list of exceptions")
        return args
    # Other classes only keep their arguments.
    if not issubclass(clazz, _CLASSES_THAT_USE_ARGUMENTS):
        return args
    # OSError, for example, compares its first argument with error numbers to choose a subclass
    if not plain.is_plain(args):
        raise TypeError("the arguments are not plain data")
    if issubclass(clazz, SyntaxError) and len(args) > 1:
        if type(args[1]) not in plain.SEQUENCES or not _SCALARS.issuperset(map(type, args[1])):
            raise TypeError("the location of a syntax error must be a sequence of texts and numbers")
    if not issubclass(clazz, UnicodeError) or len(args) < 4:
        return args
    # str() of a UnicodeError with wrong positions crashes some versions of Python
    start, end = args[-3:-1]
    if type(start) is not int or type(end) is not int or start < 0 or end < 0:
        raise ValueError("invalid position")
    # the object of a UnicodeDecodeError is bytes, which serpent sends as a dict and other formats not at all
    if issubclass(clazz, UnicodeDecodeError) and type(args[1]) is dict:
        return (args[0], _base64_to_bytes(args[1])) + args[2:]
    return args


def _base64_to_bytes(data: Mapping[str, Any]) -> bytes:
    if data.get("encoding") != "base64":
        raise TypeError("expected bytes in base64, got %r" % (data,))
    try:
        return binascii.a2b_base64(data["data"])
    except (KeyError, binascii.Error) as x:
        raise TypeError("expected bytes in base64: %s" % x) from x


def foreign_exception(data: Mapping[str, Any]) -> errors.RemoteError:
    """Build the RemoteError for an exception whose class cannot be built in this process.

    Its text contains the class name and the text of the exception. It has the attributes of the exception, the class name in
    ``remote_class``, and the args in ``remote_args``.
    """
    # The class name comes from the peer. It is used as a text only.
    tag = str(data["__class__"])
    args = data.get("args", ())
    args = tuple(args) if type(args) in plain.SEQUENCES else (args,)
    error = errors.RemoteError(
        "%s: %s" % (tag, plain.text_of(args[0] if len(args) == 1 else args, _LONGEST_TEXT)) if args else tag)
    restore_attributes(error, data)
    error.remote_class = tag
    error.remote_args = args
    return error


def restore_attributes(error: BaseException, data: Mapping[str, Any]) -> None:
    """Set the attributes in the dict of an exception (such as remote traceback and notes) that the exception does not have."""
    attributes = data.get("attributes")
    if type(attributes) is not dict:
        return
    # into the __dict__ directly: setattr() and getattr() could run code of the exception class
    present = BaseException.__getattribute__(error, "__dict__")
    # The default of the constructor; the received value takes its place.
    if type(error) is errors.BusyError:
        del present["retry_after"]
    for name, value in attributes.items():
        if type(name) is str and name not in present and _may_be_set(error, name, value):
            present[name] = value


def _may_be_set(error: BaseException, name: str, value: Any) -> bool:
    """Return whether a peer may set this attribute.

    Not allowed are names that Python or the class use, and values other than texts for attributes that are shown.
    """
    # Python prints notes, and this package the remote traceback; only texts are safe to print.
    if name == "__notes__":
        return type(value) is list and plain.is_texts(value)
    if name == "remote_class":
        return type(value) is str
    if name == "_pyroTraceback":
        return value is None or type(value) is str or plain.is_texts(value)
    return not (name.startswith("__") or _is_used_by_class(error, name))


def _is_used_by_class(error: BaseException, name: str) -> bool:
    attribute = getattr(type(error), name, None)
    return name == "add_note" or callable(attribute) or hasattr(attribute, "__set__")
