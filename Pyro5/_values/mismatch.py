"""Errors about received values that do not fit the type which an annotation, or the peer, names, or have an unknown class."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple, TypeVar, Union

from .. import errors
from .._text import printable
from . import plain
from .classes import TAG

_MAX_FOUND_CHARS = 60
_MAX_REASON_CHARS = 200


class Mismatch(TypeError):
    """A value does not fit its annotation.

    Attributes:
        path: where, from the outside to the inside.
        reason: the text of the exception of a constructor; may be empty.
        attempts: how many types of unions were tried before.
        index: which one of several values it is in; path begins in that one.
    """

    def __init__(self, expected: str, value: Any, path: str = "", reason: str = "", attempts: int = 1, index: int = 0) -> None:
        # The value is no argument of the exception: a logged or serialized error would contain all of it.
        super().__init__(expected, path)
        self.expected, self.value, self.path, self.reason, self.attempts = expected, value, path, reason, attempts
        self.index = index

    def inside(self, step: str) -> Mismatch:
        """Return the error for the value around, in which the value has this place."""
        return Mismatch(self.expected, self.value, step + self.path, self.reason, self.attempts, self.index)

    def of(self, index: int) -> Mismatch:
        """Return the error for several values, for the one with this index."""
        return Mismatch(self.expected, self.value, self.path, self.reason, self.attempts, index)

    def described(self, where: str) -> TypeError:
        """Return the error for the program: with the place of the outermost value, such as a parameter."""
        # The type says more than the text for values of classes; calling their repr() could run code of the program.
        if self.value is None or type(self.value).__module__ != "builtins":
            found = plain.text_of(self.value)
        else:
            # Cut before repr(), which for a text of a megabyte would make a text of up to ten.
            text = repr(self.value[:_MAX_FOUND_CHARS]) if type(self.value) is str else plain.text_of(self.value)
            found = "the %s %s" % (type(self.value).__name__, text[:_MAX_FOUND_CHARS + 2])
        reason = " (%s)" % self.reason[:_MAX_REASON_CHARS] if self.reason else ""
        return TypeError(printable("%s%s: expected %s, found %s%s" % (where, self.path, self.expected, found, reason)))


class CallMismatch(TypeError):
    """An argument of a call was sent as an instance of a registered type, and does not fit it.

    Attributes:
        object_id, method: of the call.
        place: the number of a positional argument, from 0 on; the name of a keyword argument.
    """

    def __init__(self, object_id: str, method: str, place: Union[int, str], mismatch: Mismatch) -> None:
        self.object_id, self.method, self.place, self._mismatch = object_id, method, place, mismatch
        shown = place + 1 if isinstance(place, int) else repr(place)
        super().__init__(str(self.named("%s() argument %s" % (method, shown))))

    def named(self, argument: str) -> TypeError:
        """Return the error for the program, with the name of the argument."""
        return self._mismatch.described(argument)


_Refusal = TypeVar("_Refusal", bound=errors.PyroError)
_BEGINNINGS = ("unsupported serialized class: ", "refused to deserialize types with double underscores in their name: ")
_MAX_VISITED = 10000  # values
_MAX_LEVELS = 100
_MAX_KEY_CHARS = 60
_ADVICE = ("send plain data instead, or register the type in both programs with register_types, or with "
           "register_class_to_dict and register_dict_to_class")


def explain(error: _Refusal, decode: Callable[[], List[Tuple[str, Any]]]) -> _Refusal:
    """Return the error for data with a class that is not accepted; the given error if the place is not found.

    Args:
        error: that of the conversion.
        decode: decodes the data again; returns its values, each with a description such as "argument 1".
    """
    text = str(error)
    beginning = next((each for each in _BEGINNINGS if text.startswith(each)), None)
    if beginning is None:
        return error
    tag, _, hint = text[len(beginning):].partition(" (")
    place = _place_of(tag, decode())
    if place is None:
        return error
    return type(error)("%s, in %s%s" % (text, place, "" if hint else ": " + _ADVICE))


def _place_of(tag: str, level: List[Tuple[str, Any]]) -> Optional[str]:
    """Return the path of the first dict with this tag; None if it is not among the first values."""
    # Level by level, so that a path is built for few values only, and without recursion: the data may be nested deeply.
    visited = 0
    for _ in range(_MAX_LEVELS):
        for path, value in level:
            if type(value) is dict and value.get(TAG) == tag:
                return path
        visited += len(level)
        if not level or visited > _MAX_VISITED:
            return None
        level = [part for path, value in level for part in _parts_of(path, value)]
    return None


def _parts_of(path: str, value: Any) -> Iterable[Tuple[str, Any]]:
    if type(value) is dict:
        for key, element in value.items():
            if type(element) is dict or type(element) in plain.SEQUENCES:
                key_text = '"%s"' % key[:_MAX_KEY_CHARS] if type(key) is str else plain.text_of(key, _MAX_KEY_CHARS)
                yield "%s[%s]" % (path, key_text), element
    elif type(value) in plain.SEQUENCES:
        for index, element in enumerate(value):
            if type(element) is dict or type(element) in plain.SEQUENCES:
                yield "%s[%d]" % (path, index), element


_BATCH = "<batch>"


class Argument:
    """An argument of a call, or of a call in a batch.

    Attributes:
        call_number: of a call in a batch; 0 for other calls.
        place: the number of a positional argument, from 0 on; the name of a keyword argument.
        value: not converted.
    """

    def __init__(self, object_id: str, method: str, call_number: int, place: Union[int, str], value: Any) -> None:
        self.object_id, self.method, self.call_number, self.place, self.value = object_id, method, call_number, place, value


def arguments_of(call: Tuple[Any, Any, Any, Any]) -> Iterator[Argument]:
    """Yield the arguments of a call: object id, method, args, kwargs.

    The call comes from the network. Malformed parts are skipped.
    """
    object_id, method, args, kwargs = call
    # A call that was decoded but not checked yet: what does not have the form of a call is left to that check.
    if type(object_id) is not str or type(method) is not str or type(args) not in plain.SEQUENCES:
        return
    if method != _BATCH:
        yield from _arguments_of_one(object_id, method, 0, args, kwargs)
        return
    for number, element in enumerate(args, 1):
        if type(element) in plain.SEQUENCES and len(element) == 3 and type(element[0]) is str:
            yield from _arguments_of_one(object_id, element[0], number, element[1], element[2])


def _arguments_of_one(object_id: str, method: str, number: int, args: Any, kwargs: Any) -> Iterator[Argument]:
    if type(args) in plain.SEQUENCES:
        for place, value in enumerate(args):
            yield Argument(object_id, method, number, place, value)
    if type(kwargs) is dict:
        for name, value in kwargs.items():
            if type(name) is str:
                yield Argument(object_id, method, number, name, value)


def described_arguments(call: Tuple[Any, Any, Any, Any]) -> List[Tuple[str, Any]]:
    """Return the arguments of a call with a description of each."""
    found = []
    for each in arguments_of(call):
        # People count from one.
        shown = each.place + 1 if isinstance(each.place, int) else each.place
        batch = "call %d, " % each.call_number if each.call_number else ""
        found.append(("%sargument %s" % (batch, shown), each.value))
    return found
