"""Errors about values that do not fit the type that an annotation, or the peer, names."""
from __future__ import annotations

from typing import Any, Union

from .._text.printable import printable
from . import plain

__all__ = ["CallMismatch", "Mismatch"]

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
