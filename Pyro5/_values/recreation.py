"""Build the objects that tagged dicts in the plain data of a message describe.

Decoding a message has no effects. Each class checks that its state is plain data of exact builtin types before it builds an
instance. An object whose use has effects (a proxy connects when it is used) stays unusable until the whole message has been
decoded and is delivered to the program. So a peer cannot make the decoding process connect to an address, block, or run any
code but the converters that the program has registered.
"""
from __future__ import annotations

import logging
import threading
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from .. import LazyModule, errors
from . import classes, plain
from .classes import TAG
from .mismatch import Mismatch
from .plain_copy import LIST_TAG, MANY, MAX_LIST_ELEMENTS

if TYPE_CHECKING:
    from . import exceptions, rebuilding, registered_types

    _Pending = Tuple[Callable[[Any], None], Any]  # the function that makes an object usable, and the object
else:
    exceptions = LazyModule(globals(), ".exceptions")
    rebuilding = LazyModule(globals(), ".rebuilding")  # for registered types
    registered_types = LazyModule(globals(), ".registered_types")

log = logging.getLogger("Pyro5.serializers")

_CONTAINERS = frozenset((dict, list, tuple))    # no sets: their elements are hashable, and so are or contain no dicts
_HINTS = {tag: ' (call register_types("%s") in this program)' % tag.split(".")[0]
          for tag in ("numpy.ndarray", "pandas.DataFrame", "pandas.Series")}
_VALUE = "value"  # the key of the plain form beside the tag of a registered type
_NOT_ALIKE = object()

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
        tagged: the peer sends tagged forms of registered types: rebuild them; return the plain form if a type is not
            registered here. From other peers, only exceptions of registered classes are accepted.
    """

    def __init__(self, extra: Optional[Mapping[str, classes.FromTaggedDict]] = None, inner_first: bool = False,
                 foreign_exceptions: bool = False, tagged: bool = False) -> None:
        self.extra = extra or {}
        self.inner_first = inner_first
        self.foreign_exceptions = foreign_exceptions
        self.tagged = tagged

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

    __slots__ = ("_recreator", "_only_registered", "_elements_left", "pending")

    def __init__(self, recreator: Recreator) -> None:
        self._recreator = recreator
        self._only_registered = False  # in the arguments of exceptions, other tagged dicts stay dicts
        self._elements_left = MAX_LIST_ELEMENTS
        self.pending: List[_Pending] = []

    def convert(self, value: Any) -> Any:
        # exact types: this is called for every container of a message, and decoders build only these
        kind = type(value)
        if kind is dict:
            return self.from_dict(value) if TAG in value else self._convert_values(value)
        if kind is list:
            return self._convert_list(value)
        if kind is tuple:
            return tuple([self.convert(element) if type(element) in _CONTAINERS else element for element in value])
        return value

    def _convert_list(self, values: List[Any]) -> List[Any]:
        if len(values) >= MANY and type(values[0]) is dict and type(values[0].get(TAG)) is str:
            found = self._instances(values, values[0][TAG])
            if found is not _NOT_ALIKE:
                return list(found)
        for index, element in enumerate(values):
            if type(element) in _CONTAINERS:
                values[index] = self.convert(element)
        return values

    def _instances(self, values: List[Any], tag: str) -> Any:
        """Return the instances in a list of tagged forms of the same registered class; _NOT_ALIKE for other lists."""
        is_registered = self._recreator.tagged and not classes.registered_builder(tag)
        clazz = registered_types.find(tag) if is_registered else None
        if clazz is None or classes.own_class(tag) or issubclass(clazz, BaseException) or set(map(type, values)) != {dict}:
            return _NOT_ALIKE
        try:
            tags, states = list(map(itemgetter(TAG), values)), list(map(itemgetter(_VALUE), values))
        except KeyError:
            return _NOT_ALIKE
        # the types first: comparing other objects may run their code
        if set(map(len, values)) != {2} or set(map(type, tags)) != {str} or tags.count(tag) != len(tags):
            return _NOT_ALIKE
        if not (_CONTAINERS.isdisjoint(map(type, states)) or {dict}.issuperset(map(type, states))):
            return _NOT_ALIKE
        try:
            return rebuilding.rebuild_many(clazz, states, self._convert_list)
        except Mismatch as x:
            raise x.inside(", a list of %s, element [%d]" % (tag, x.index)) from None

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
        described = data.get("__exception__") is True
        cause = data.get("cause") if described else None
        if cause is not None:
            data = {key: value for key, value in data.items() if key != "cause"}  # converted last, and on its own
        instance = self._instance(tag, data, described)
        if type(cause) is dict and isinstance(instance, BaseException):
            instance.__cause__ = self._cause(cause)
        return instance

    def _instance(self, tag: str, data: Dict[str, Any], described: bool) -> Any:
        if not self._only_registered:
            # Converters of the program take precedence, also over the classes of this package and builtin exceptions.
            convert = classes.registered_builder(tag)
            if convert is not None:
                instance = convert(tag, self._inner(data))
                if described and isinstance(instance, BaseException):
                    exceptions.restore_attributes(instance, data)
                return instance
            own = classes.own_class(tag)
            if own is not None:
                return self._from_own(own, data)
        clazz = registered_types.find(tag)
        if clazz is not None:
            if described and issubclass(clazz, BaseException):
                return exceptions.registered_exception(clazz, self._inner(data))
            if self._recreator.tagged and len(data) == 2 and _VALUE in data:
                return self._rebuilt(clazz, tag, self.convert(data[_VALUE]))
        if tag == LIST_TAG and self._recreator.tagged:
            return self._typed_list(data)
        build = self._recreator.extra.get(tag)
        if self._recreator.tagged and len(data) == 2 and _VALUE in data and build is None and "__" not in tag:
            return self.convert(data[_VALUE])
        if self._only_registered:
            return self._convert_values(data)
        return build(data, self.convert) if build is not None else self._exception_from_dict(tag, data, described)

    def _typed_list(self, data: Dict[str, Any]) -> List[Any]:
        """Return a list of instances of one class, see plain_copy; of plain forms if the class is not registered here."""
        name, fields, values = data.get("of"), data.get("fields"), self.convert(data.get("values"))
        if type(name) is not str or type(values) not in plain.SEQUENCES:
            raise ValueError("invalid list of instances")
        clazz = None if classes.registered_builder(name) else registered_types.find(name)
        if clazz is not None and issubclass(clazz, BaseException):
            raise ValueError("exceptions are not sent in lists of instances")
        if fields is None:
            self._count_elements(len(values))
            forms = values
        else:
            forms = self._checked_columns(fields, values)
        try:
            if clazz is not None and fields is not None:
                return list(rebuilding.rebuild_columns(clazz, fields, values))
            if clazz is not None:
                return list(rebuilding.rebuild_many(clazz, values))
        except Mismatch as x:
            raise x.inside(", a list of %s, element [%d]" % (name, x.index)) from None
        if classes.registered_builder(name):  # of the program
            return [self.from_dict({TAG: name, _VALUE: each}) for each in forms]
        return list(forms)

    def _checked_columns(self, fields: Any, columns: Any) -> Iterable[Dict[str, Any]]:
        """Return the plain forms in lists of the values of each field."""
        are_lists = plain.SEQUENCES.issuperset(map(type, columns)) and len(set(map(len, columns))) == 1
        if not (are_lists and plain.is_texts(fields) and len(fields) == len(columns) == len(set(fields))):
            raise ValueError("the lists of values do not match the fields")
        self._count_elements(len(columns[0]))
        return map(dict, map(zip, repeat(fields), zip(*columns)))

    def _count_elements(self, count: int) -> None:
        self._elements_left -= count
        if self._elements_left < 0:
            raise errors.SerializeError("the data has too many instances in lists; %d are allowed in a message"
                                        % MAX_LIST_ELEMENTS)

    def _rebuilt(self, clazz: type, tag: str, value: Any) -> Any:
        try:
            return rebuilding.rebuild(clazz, value)
        except Mismatch as x:
            raise x.inside(", " + tag) from None

    def _cause(self, data: Dict[str, Any]) -> BaseException:
        """Build the cause of an exception. It explains the exception, so it must not prevent it from being raised."""
        try:
            found = self.convert(data)
        except Exception as x:  # a converter of the program, or a class that is not accepted
            log.debug("the cause of an exception becomes a RemoteError: %s", x)
            found = None
        # not one that ends the program where it is raised
        return found if isinstance(found, Exception) else exceptions.foreign_exception({TAG: "unknown", **data})

    def _from_own(self, own: classes.OwnClass, data: Dict[str, Any]) -> Any:
        instance = own.build(data, self.convert)
        # Delivered when the whole message has been converted: a converter of the program that gets this instance before that
        # cannot use it.
        if own.deliver is not None:
            self.pending.append((own.deliver, instance))
        return instance

    def _inner(self, data: Dict[Any, Any]) -> Dict[Any, Any]:
        """Convert what is inside of a dict before it is converted itself: everything, or only registered types."""
        if self._recreator.inner_first:
            return self._convert_values(data)
        if not (self._recreator.tagged or registered_types.registered()):
            return data
        outer, self._only_registered = self._only_registered, True
        try:
            return self._convert_values(data)
        finally:
            self._only_registered = outer

    def _exception_from_dict(self, tag: str, data: Dict[str, Any], described: bool) -> Any:
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
