"""Explain why a value cannot be sent: build an error that names its type, its place in the result or arguments, and a remedy.

This runs only after serializing has failed. The place is found by serializing parts of the value again.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Type

from .. import errors
from .._text import printable
from . import classes, exceptions

Dumps = Callable[[Any], Any]
Part = Tuple[str, Any]      # (path, value)

_MAX_LEVELS = 16       # of a path; limits the work, because each level serializes parts of the value again
_MAX_KEY_LENGTH = 60   # characters of a key in a path
_MAX_REASON_LENGTH = 500
_SEQUENCES = (list, tuple)
_SETS = (set, frozenset)
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset))
MARK = "_pyroUnsendable"
_USUAL_REASONS = ("don't know how to serialize", "unmarshallable object")


class Unsendable(errors.SerializeError):
    """A SerializeError that is also an instance of the class that the serializer's library raises, so that handlers catch
    both.

    It is sent as that other class, so that clients of 5.x get the same exception as from a server of 5.x. Clients of this
    library recognize the attribute MARK and raise a SerializeError. The connection can still be used.
    """

    def __reduce__(self) -> Any:
        base = next(base for base, variant in _VARIANTS.items() if type(self) is variant)
        return rebuild, (base, self.args), vars(self)


def _variant(base: Type[Exception], tag: str) -> Type[Unsendable]:
    # The name that users see is that of the public class.
    namespace = {"__module__": errors.__name__, "__qualname__": "SerializeError", "__doc__": errors.SerializeError.__doc__}
    variant = type("SerializeError", (Unsendable, base), namespace)
    exceptions.send_as(variant, tag)
    return variant


# The UnicodeEncodeError for a lone surrogate contains the surrogate in its arguments, and so cannot be sent itself: 5.x sends
# a PyroError.
_VARIANTS: Dict[Type[Exception], Type[Unsendable]] = {
    UnicodeError: _variant(UnicodeError, "Pyro5.errors.PyroError"),
    ValueError: _variant(ValueError, "builtins.ValueError"),
    TypeError: _variant(TypeError, "builtins.TypeError"),
    AttributeError: _variant(AttributeError, "builtins.AttributeError"),
    BufferError: _variant(BufferError, "builtins.BufferError"),
}
_BASES: Dict[type, Type[Exception]] = {**{base: base for base in _VARIANTS}, errors.PyroError: UnicodeError}


def rebuild(base: Type[Exception], args: Tuple[Any, ...]) -> Unsendable:
    """Build the SerializeError that is also an instance of another class. Pickle calls this."""
    return _VARIANTS[base](*args)


def as_received(error: Exception) -> Exception:
    """Return the SerializeError that was sent as this exception; the exception itself if it was not one."""
    # Exact types: a program may have derived a class from one of these.
    if vars(error).get(MARK) is True and type(error) in _BASES:
        received = rebuild(_BASES[type(error)], error.args)
        vars(received).update(vars(error))
        return received
    return error


def explain(error: Exception, parts: Sequence[Part], serializer: Any) -> Exception:
    """Build the error for values that cannot be serialized.

    Args:
        error: the exception that the serializer raised.
        parts: the values, each with a description such as "result".
        serializer: the serializer.

    Returns:
        A SerializeError that is also an instance of the builtin class of the given error. The given error itself if it is not
        about one of these values, or if its class is one of the program.
    """
    is_serializers_own = type(error).__module__ in ("builtins", errors.__name__)  # not a class of the program
    if not (is_serializers_own and isinstance(error, (errors.SerializeError, *_VARIANTS))):
        return error
    if isinstance(error.__cause__, RecursionError):  # nested too deeply: no single part is the cause
        return error
    found = _find(parts, serializer.dumps)
    if found is None:  # each part can be sent on its own: the error is about the whole, such as its size
        return error
    kind = type(found[1])
    known = kind in _PLAIN or isinstance(found[1], type)
    text = "%s, %s, cannot be sent over %s" % (found[0], _kind(found[1]), serializer.name)
    reason = str(error)[:_MAX_REASON_LENGTH]
    if not reason.startswith(_USUAL_REASONS):
        text = "%s: %s" % (text, reason)
    if not (known and reason in text):
        text = "%s: %s" % (text, classes.advice(found[1]))
    # The first one that fits: UnicodeError is a ValueError, and is listed before it.
    base = next((each for each in _VARIANTS if isinstance(error, each)), None)
    return errors.SerializeError(printable(text)) if base is None else marked(base, printable(text))


def marked(base: Type[Exception], text: str) -> Unsendable:
    """Build the SerializeError that is also an instance of another class, and that clients recognize."""
    error = _VARIANTS[base](text)
    vars(error)[MARK] = True
    return error


def wrong_payload(payload: Any, serializer: Any, method: str) -> Optional[Exception]:
    """Return the error for what a serializer of the program has returned from a method; None if it can be sent."""
    if isinstance(payload, (bytes, bytearray, memoryview, list)):
        return None
    return marked(TypeError, "the serializer '%s' returned %s instead of bytes from %s"
                  % (serializer.name, type(payload).__name__, method))


def check_payload(payload: Any, serializer: Any, method: str) -> None:
    """Raise what `wrong_payload` returns. Callers that have a bytes object need not call this."""
    error = wrong_payload(payload, serializer, method)
    if error is not None:
        raise error


def dumped(serializer: Any, value: Any) -> bytes:
    """Return a serialized value. Raises as the method dumps of the serializer, and as `check_payload`."""
    payload: bytes = serializer.dumps(value)
    check_payload(payload, serializer, "dumps")
    return payload


def argument_parts(args: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> List[Part]:
    """Return the arguments of a request for explain(). kwargs is None for attribute accesses and batches."""
    if kwargs is not None:
        return _numbered(args) + [("argument %s" % name, value) for name, value in kwargs.items()]
    parts: List[Part] = []
    for number, call in enumerate(args, 1):
        if type(call) is not tuple or len(call) != 3:  # not a batch, but the assignment of an attribute
            return _numbered(args)
        parts += [("call %d, %s" % (number, place), value) for place, value in argument_parts(call[1], call[2] or {})]
    return parts


def _numbered(args: Sequence[Any]) -> List[Part]:
    return [("argument %d" % number, value) for number, value in enumerate(args, 1)] if isinstance(args, _SEQUENCES) else []


def _kind(value: Any) -> str:
    if type(value) in _PLAIN:
        return "a value of type %s" % type(value).__name__
    if isinstance(value, type):
        return "the class %s.%s itself" % (value.__module__, value.__qualname__)
    return "an instance of %s.%s" % (type(value).__module__, type(value).__qualname__)


# ---------------------------------------------------------------- the place

def _find(parts: Iterable[Part], dumps: Dumps) -> Optional[Part]:
    """Return the innermost part that cannot be serialized on its own, None if all parts can be serialized."""
    around: Set[int] = set()  # ids of the containers on the way, which may contain themselves
    # One level per round: find the first part that fails on its own, and continue with the parts of that one.
    found = _first_refused(parts, dumps)
    while found is not None and len(around) < _MAX_LEVELS and id(found[1]) not in around:
        around.add(id(found[1]))
        try:
            inner = _first_refused(_parts_of(*found), dumps)
        except Exception:  # user code: the container's own methods, or its __getstate__
            break
        if inner is None:
            break
        found = inner
    return found


def _first_refused(parts: Iterable[Part], dumps: Dumps) -> Optional[Part]:
    for part in parts:
        try:
            dumps(part[1])
        except Exception:  # a serializer, or user code that it calls, can raise anything
            return part
    return None


def _parts_of(path: str, value: Any) -> Iterable[Part]:
    if isinstance(value, dict):
        return _parts_of_dict(path, value)
    if isinstance(value, _SEQUENCES):
        return [("%s[%d]" % (path, index), element) for index, element in enumerate(value)]
    if isinstance(value, _SETS):
        return [("an element of " + path, element) for element in value]
    if type(value) in _PLAIN or isinstance(value, type):
        return ()
    return _parts_of_instance(path, value)


def _parts_of_dict(path: str, value: Mapping[Any, Any]) -> Iterable[Part]:
    # values first: a key is rarely the cause
    for key, element in value.items():
        yield "%s[%s]" % (path, _key_text(key)), element
    for key in value:
        yield "a key of " + path, key


def _parts_of_instance(path: str, value: Any) -> Iterable[Part]:
    form: Dict[str, Any] = classes.class_to_dict(value)
    if type(form) is not dict:
        return _parts_of(path, form)
    return [("%s.%s" % (path, key), element) for key, element in form.items()]


def _key_text(key: Any) -> str:
    text = '"%s"' % key if type(key) is str else repr(key)
    return text if len(text) <= _MAX_KEY_LENGTH else text[:_MAX_KEY_LENGTH] + "..."
