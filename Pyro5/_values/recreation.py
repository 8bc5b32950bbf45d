"""
Build the objects that the tagged dicts in the plain data of a message stand for.

Reading a message never acts. Every class checks that its state is plain data of exact builtin types before anything is
built of it, and what could act (a proxy connects when it is used) stays inert until the whole message has been read and is
handed to the program. So nothing that a peer sends can make the reader connect somewhere, wait, or run anything but the
converters that the program registered.
"""
from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .. import errors
from . import classes, exceptions
from .classes import TAG, FromTaggedDict

__all__ = ["Recreator", "Undelivered", "dict_to_class"]

_CONTAINERS = frozenset((dict, list, tuple))    # sets hold nothing that could be, or contain, a dict
_Arrival = Tuple[Callable[[Any], None], Any]    # what makes an object usable, and the object

# What the current thread has read and not handed to the program yet, if it is to wait: see Undelivered.
_thread = threading.local()


class Undelivered:
    """
    A context in which objects that this thread reads stay inert to its end: they are checked before the program gets them.

    Used where this package itself looks at what came in a message: handshakes, exceptions, results of batches.
    """

    def __init__(self) -> None:
        self._arrivals: List[_Arrival] = []
        self._outer: Optional[List[_Arrival]] = None

    def __enter__(self) -> None:
        self._outer = getattr(_thread, "arrivals", None)
        _thread.arrivals = self._arrivals

    def __exit__(self, *exc_info: object) -> None:
        _thread.arrivals = self._outer
        _deliver(self._arrivals)


def _deliver(arrivals: List[_Arrival]) -> None:
    waiting: Optional[List[_Arrival]] = getattr(_thread, "arrivals", None)
    if waiting is not None:
        waiting.extend(arrivals)
        return
    for make_usable, instance in arrivals:
        make_usable(instance)


class Recreator:
    """
    Convert the tagged dicts in the data of messages to objects. Thread-safe.

    Args:
        extra: more tags, that only one serializer uses.
        inner_first: convert tagged dicts that are inside of others before a converter of the program, or an exception, gets
            them. Otherwise what is inside a tagged dict is left to whatever converts that one.
        foreign_exceptions: build a RemoteError for exceptions of unknown classes instead of refusing them.
    """

    def __init__(self, extra: Optional[Mapping[str, FromTaggedDict]] = None, inner_first: bool = False,
                 foreign_exceptions: bool = False) -> None:
        self.extra = extra or {}
        self.inner_first = inner_first
        self.foreign_exceptions = foreign_exceptions

    def recreate(self, value: Any) -> Any:
        """Convert every tagged dict in some plain data; the containers are changed in place where they can be."""
        reading = _Reading(self)
        value = reading.convert(value)
        if reading.arrivals:
            _deliver(reading.arrivals)
        return value

    def from_dict(self, data: Dict[str, Any]) -> Any:
        """Convert one tagged dict; see dict_to_class."""
        reading = _Reading(self)
        instance = reading.from_dict(data)
        if reading.arrivals:
            _deliver(reading.arrivals)
        return instance


class _Reading:
    """Converts the data of one message, and notes what has to be made usable at its end."""

    __slots__ = ("_recreator", "arrivals")

    def __init__(self, recreator: Recreator) -> None:
        self._recreator = recreator
        self.arrivals: List[_Arrival] = []

    def convert(self, value: Any) -> Any:
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
        for key, element in data.items():
            if type(element) in _CONTAINERS:
                data[key] = self.convert(element)
        return data

    def from_dict(self, data: Dict[str, Any]) -> Any:
        tag = data[TAG]
        if type(tag) is not str:
            raise TypeError("the class tag of serialized data must be a str, not %s" % type(tag).__name__)
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
        if own.deliver is not None:
            self.arrivals.append((own.deliver, instance))
        return instance

    def _inner(self, data: Dict[Any, Any]) -> Dict[Any, Any]:
        return self._convert_values(data) if self._recreator.inner_first else data

    def _exception_from_dict(self, tag: str, data: Dict[str, Any]) -> Any:
        described = data.get("__exception__") is True
        if "__" not in tag:
            clazz = exceptions.find_exception_class(tag)
            if clazz is not None and (described or tag.startswith(exceptions.OWN_TAG_PREFIX) or tag == "struct.error"):
                # the exceptions in a group have to be exceptions when the group is made
                data = self._convert_values(data) if exceptions.is_group(clazz) else self._inner(data)
                return exceptions.dict_to_exception(clazz, data)
        if described and self._recreator.foreign_exceptions:
            return exceptions.foreign_exception(self._inner(data))
        if "__" in tag:
            raise errors.SecurityError("refused to deserialize types with double underscores in their name: %s" % tag)
        if tag.startswith(exceptions.OWN_TAG_PREFIX):
            raise AttributeError("there is no exception class %s here" % tag)
        raise errors.SerializeError("unsupported serialized class: %s" % tag)


def dict_to_class(data: Dict[str, Any]) -> Any:
    """
    Turn a dict with the key ``__class__`` into the object that it describes.

    Raises:
        SerializeError: the tag is none that is accepted.
        SecurityError: the tag is none that is accepted, and holds a double underscore.
    """
    return Recreator().from_dict(data)
