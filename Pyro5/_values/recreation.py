"""Build the objects that tagged dicts in the plain data of a message describe.

Decoding a message has no effects. Each class checks that its state is plain data of exact builtin types before it builds an
instance. An object whose use has effects (a proxy connects when it is used) stays unusable until the whole message has been
decoded and is delivered to the program. So a peer cannot make the decoding process connect to an address, block, or run any
code but the converters that the program has registered.
"""
from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .. import errors
from . import classes, exceptions
from .classes import TAG, FromTaggedDict

__all__ = ["Recreator", "DeferredDelivery", "dict_to_class"]

_CONTAINERS = frozenset((dict, list, tuple))    # no sets: their elements are hashable, and so are or contain no dicts
_HINTS = {"numpy.ndarray": " (call register_types(\"numpy\") in this program)"}
_Pending = Tuple[Callable[[Any], None], Any]    # the function that makes an object usable, and the object

# The objects that the current thread has decoded inside of a DeferredDelivery and that are not usable yet. One per thread,
# because a message is decoded by one thread.
_thread = threading.local()


class DeferredDelivery:
    """A context manager in which objects that this thread decodes stay unusable until its end. It may be nested.

    Used where code of this package processes a decoded message before the program gets it: handshakes, exceptions, results of
    batches. A mistake in that code can then not make a proxy connect.
    """

    def __init__(self) -> None:
        self._arrivals: List[_Pending] = []
        self._outer: Optional[List[_Pending]] = None

    # The list of the outer context is kept and restored, so that its objects are not delivered at the end of this one.
    def __enter__(self) -> None:
        self._outer = getattr(_thread, "pending", None)
        _thread.pending = self._arrivals

    def __exit__(self, *exc_info: object) -> None:
        _thread.pending = self._outer
        _deliver(self._arrivals)


def _deliver(pending: List[_Pending]) -> None:
    """Make objects usable now, or at the end of the outer DeferredDelivery of this thread."""
    waiting: Optional[List[_Pending]] = getattr(_thread, "pending", None)
    if waiting is not None:
        waiting.extend(pending)
        return
    for make_usable, instance in pending:
        make_usable(instance)


class Recreator:
    """Converts the tagged dicts in the data of messages to objects. Thread-safe.

    Args:
        extra: builders for additional tags, which only one serializer uses.
        inner_first: convert tagged dicts inside of a tagged dict before a converter of the program, or an exception, gets the
            outer one. Otherwise the converter gets them unconverted.
        foreign_exceptions: build a RemoteError for an exception of an unknown class instead of refusing it.
    """

    def __init__(self, extra: Optional[Mapping[str, FromTaggedDict]] = None, inner_first: bool = False,
                 foreign_exceptions: bool = False) -> None:
        self.extra = extra or {}
        self.inner_first = inner_first
        self.foreign_exceptions = foreign_exceptions

    def recreate(self, value: Any) -> Any:
        """Convert all tagged dicts in plain data. Lists and dicts are modified in place."""
        conversion = _Conversion(self)
        value = conversion.convert(value)
        if conversion.pending:
            _deliver(conversion.pending)
        return value

    def from_dict(self, data: Dict[str, Any]) -> Any:
        """Convert one tagged dict; see dict_to_class."""
        conversion = _Conversion(self)
        instance = conversion.from_dict(data)
        if conversion.pending:
            _deliver(conversion.pending)
        return instance


class _Conversion:
    """Converts the data of one message, and collects the objects that are to be made usable at its end."""

    __slots__ = ("_recreator", "pending")

    def __init__(self, recreator: Recreator) -> None:
        self._recreator = recreator
        self.pending: List[_Pending] = []

    def convert(self, value: Any) -> Any:
        # exact types: this is called for every container of a message, and decoders build only these
        kind = type(value)
        if kind is dict:
            return self.from_dict(value) if TAG in value else self._convert_values(value)
        if kind is list:
            for index, element in enumerate(value):
                if type(element) in _CONTAINERS:
                    value[index] = self.convert(element)
        elif kind is tuple:
            return tuple([self.convert(element) if type(element) in _CONTAINERS else element for element in value])
        return value

    def _convert_values(self, data: Dict[Any, Any]) -> Dict[Any, Any]:
        # assigning to existing keys does not change the size of the dict, so this is allowed during the iteration
        for key, element in data.items():
            if type(element) in _CONTAINERS:
                data[key] = self.convert(element)
        return data

    def from_dict(self, data: Dict[str, Any]) -> Any:
        tag = data[TAG]
        if type(tag) is not str:  # before the tables are searched: hashing another object may run its code
            raise TypeError("the class tag of serialized data must be a str, not %s" % type(tag).__name__)
        # Converters of the program take precedence, also over the classes of this package and builtin exceptions.
        convert = classes.registered_builder(tag)
        if convert is not None:
            instance = convert(tag, self._inner(data))
            if isinstance(instance, BaseException) and data.get("__exception__") is True:
                exceptions.restore_attributes(instance, data)
            return instance
        own = classes.own_class(tag)
        if own is not None:
            return self._from_own(own, data)
        build = self._recreator.extra.get(tag)
        return build(data, self.convert) if build is not None else self._exception_from_dict(tag, data)

    def _from_own(self, own: classes.OwnClass, data: Dict[str, Any]) -> Any:
        instance = own.build(data, self.convert)
        # Delivered when the whole message has been converted: a converter of the program that gets this instance before that
        # cannot use it.
        if own.deliver is not None:
            self.pending.append((own.deliver, instance))
        return instance

    def _inner(self, data: Dict[Any, Any]) -> Dict[Any, Any]:
        return self._convert_values(data) if self._recreator.inner_first else data

    def _exception_from_dict(self, tag: str, data: Dict[str, Any]) -> Any:
        described = data.get("__exception__") is True
        if "__" not in tag:
            clazz = exceptions.find_exception_class(tag)
            if clazz is not None and (described or tag.startswith(exceptions.OWN_TAG_PREFIX) or tag == "struct.error"):
                # the constructor of an exception group requires exceptions, so convert the inner ones first
                data = self._convert_values(data) if exceptions.is_group(clazz) else self._inner(data)
                return exceptions.dict_to_exception(clazz, data)
        if described and self._recreator.foreign_exceptions:
            return exceptions.foreign_exception(self._inner(data))
        # the names of accepted classes have none; attacks on deserializers use names like __builtin__ and __import__
        if "__" in tag:
            raise errors.SecurityError("refused to deserialize types with double underscores in their name: %s" % tag)
        if tag.startswith(exceptions.OWN_TAG_PREFIX):
            raise AttributeError("unknown exception class %s" % tag)
        hint = _HINTS.get(tag, "")
        raise errors.SerializeError("unsupported serialized class: %s%s" % (tag, hint))


def dict_to_class(data: Dict[str, Any]) -> Any:
    """Convert a dict with the key ``__class__`` to the object that it describes.

    Raises:
        SerializeError: the class is not accepted.
        SecurityError: the class is not accepted, and its name contains a double underscore.
    """
    return Recreator().from_dict(data)
