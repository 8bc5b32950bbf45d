"""The base class of serializers, and functions that several serializers use."""
from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from .. import LazyModule, errors
from .._values import classes, mismatch, plain_copy, recreation
from .._values.mismatch import CallMismatch, Mismatch

if TYPE_CHECKING:
    from .._values import exceptions
    from .._values.containers import Data

    CallPayload = Tuple[Any, Any, Any, Any]  # object id, method, args, kwargs
    Payload = Union[bytes, List[bytes]]  # in one piece, or in several
else:
    CallPayload = Data = Payload = Any
    exceptions = LazyModule(globals(), ".._values.exceptions")

__all__ = ["SerializerBase", "Data", "CallPayload", "Payload", "is_long", "is_long_dict", "may_be_tagged", "may_have_tag",
           "register_own", "too_deep"]

# The bits of the number of a dialect; see the module _wire.features.
_TAGGED, _LITERAL_BYTES = 1, 2
_DIALECTS = 4
_ELEMENTS = 4  # one more bit, see SerializerBase.for_elements

TAG_BYTES = classes.TAG.encode("ascii")
LONG_DATA = 4096           # bytes; searching shorter data is faster than examining the decoded value
_LONG_VALUE = 32 * 1024     # bytes or characters; copying shorter values into one payload is faster than sending them apart
_SENT_WITHOUT_COPY = frozenset((bytes, str))    # immutable, so the value cannot change while it is being sent
_MAX_EXAMINED = 8           # elements of a container
_CONTAINERS = frozenset((dict, list, tuple))
_SEQUENCES = frozenset((list, tuple))
_OVERRIDDEN = frozenset(("dumps", "dumpsCall", "loads", "loadsCall", "recreate_classes"))


class SerializerBase:
    """Converts values to bytes and back. Thread-safe.

    The class methods for converters change a registry that all serializers share: how instances of classes that serializers
    do not support are converted to dicts and back.

    Attributes:
        serializer_id: the number of the serializer in messages, 0 to 255.
        name: the name of the serializer in settings.
        refers_to_buffers: whether values may refer to large buffers beside the payload, see _values.large_buffers.
        sends_bytes_uncopied: whether long bytes objects that are arguments or results leave without being copied or encoded.
        joins_elements: whether list_payload() is implemented.
    """

    serializer_id = 0
    name = ""
    joins_elements = False
    # Whether instances of registered types are sent with the names of their types, and bytes as literals.
    _tagged = _literal_bytes = False
    _variants: Sequence[SerializerBase] = ()
    _number = 0  # of the variant
    _most_rows = plain_copy.MAX_LIST_ELEMENTS  # see plain_copy
    refers_to_buffers = sends_bytes_uncopied = False
    _calls_are_dicts = False  # whether _call_parts() is overridden
    # Requests up to this size may take the short way of loadsCall(), which has no step for converting objects. No request does
    # in a subclass that overrides recreate_classes().
    _short_call = 600
    # See register_type_replacement. A change replaces the dict, so that readers need no lock.
    _replacements: Dict[type, Callable[[Any], Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Disable the optimized methods that would bypass the public methods that a subclass overrides.

        A program may derive a class from one of the serializers here and override dumps, for example. Then value_payload must
        call the new dumps, and not the inherited _value_in_parts.
        """
        super().__init_subclass__(**kwargs)
        own = vars(cls)  # the class body only: methods that are inherited fit each other already
        if "dumps" in own and "_value_in_parts" not in own:
            cls._value_in_parts = SerializerBase._value_in_parts  # type: ignore[method-assign]
        if not {"dumps", "dumpsCall"}.isdisjoint(own) and "_call_in_parts" not in own:
            cls._call_in_parts = SerializerBase._call_in_parts  # type: ignore[method-assign]
        if not _OVERRIDDEN.isdisjoint(own) and "refers_to_buffers" not in own:
            cls.refers_to_buffers = False
        if "list_payload" in own:
            cls.joins_elements = True
        elif "dumps" in own:
            cls.joins_elements = False
        if not {"loads", "loadsCall"}.isdisjoint(own) and "check_containers" not in own:
            cls.check_containers = SerializerBase.check_containers  # type: ignore[method-assign]
        if "loads" in own and "loads_reply" not in own:
            cls.loads_reply = SerializerBase._loads_reply_by_loads  # type: ignore[method-assign]

    def __init__(self, extra_tags: Optional[Mapping[str, classes.FromTaggedDict]] = None,
                 inner_first: bool = False) -> None:
        """Create the functions that convert tagged dicts to objects. See recreation.Recreator for the arguments."""
        self._recreate_builtin: Callable[[Any], Any]
        self._recreate: Callable[[Any], Any]
        self._recreate_foreign: Callable[[Any], Any]
        self._set_recreators(extra_tags or {}, inner_first, False)
        # overridden by a subclass of the program, which then gets everything that was decoded
        if type(self).recreate_classes is not SerializerBase.recreate_classes:
            self._recreate = self._recreate_foreign = self.recreate_classes
            self._short_call = -1
            self._decode = functools.partial(_decode_as_tagged, self._decode)  # type: ignore[method-assign]
            self._decode_call = functools.partial(_decode_as_tagged, self._decode_call)  # type: ignore[method-assign]

    def _set_recreators(self, extra_tags: Mapping[str, classes.FromTaggedDict], inner_first: bool, tagged: bool) -> None:
        self._extra_tags, self._inner_first = extra_tags, inner_first
        self._recreate = self._recreate_builtin = recreation.Recreator(extra_tags, inner_first, tagged=tagged).recreate
        # Two recreators, because only exceptions in replies become RemoteErrors: a server does not accept unknown exceptions.
        foreign = recreation.Recreator(extra_tags, inner_first, foreign_exceptions=True, tagged=tagged)
        self._recreate_foreign = foreign.recreate

    # ------------------------------------------------------------ dialects

    def for_dialect(self, dialect: int) -> SerializerBase:
        """Return the variant of this serializer for peers that have negotiated a dialect, see features.dialect_of.

        Serializers of programs have no variants.
        """
        return self._variants[dialect] if self._variants else self

    def with_text_bytes(self) -> SerializerBase:
        """Return the variant for peers that read bytes as dicts with base64; itself if there is none."""
        return self

    @property
    def has_dialects(self) -> bool:
        """Whether there are variants of this serializer: not of serializers of programs, which peers cannot know."""
        return bool(self._variants)

    def for_elements(self) -> SerializerBase:
        """Return the variant for values that are serialized one by one, and then joined by list_payload().

        What is limited in a message is not used in them, because they do not know of each other.
        """
        return self._variants[self._number | _ELEMENTS] if self._variants else self

    @classmethod
    def with_variants(cls) -> SerializerBase:
        """Create a serializer of this package, and its variants for all dialects."""
        variants = [cls() for _number in range(_DIALECTS + _ELEMENTS)]
        for number, variant in enumerate(variants):
            variant._variants = variants
            variant._number = number
            variant._literal_bytes = bool(number & _LITERAL_BYTES)
            if number & _ELEMENTS:
                variant._most_rows = 0
            variant._tagged = bool(number & _TAGGED)
            tags = {**variant._extra_tags, **variant._tags_of_variant()}
            variant._set_recreators(tags, variant._inner_first, variant._tagged)
        return variants[0]

    def _tags_of_variant(self) -> Mapping[str, classes.FromTaggedDict]:
        """Return the additional tags that the peer may send."""
        return plain_copy.HASHABLE_TAGS if self._tagged else {}

    # ------------------------------------------------------------ for subclasses

    def _encode(self, data: Any) -> bytes:
        raise NotImplementedError

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        """Decode bytes; return the plain data, and whether it may contain tagged dicts."""
        raise NotImplementedError

    def _decode_call(self, data: Data) -> Tuple[Any, bool]:
        """Decode the bytes of a method call; see _decode."""
        return self._decode(data)

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        """Check the number of lists, dicts, tuples and sets in serialized data before it is deserialized.

        Serializers of programs need not implement this.

        Args:
            most: the maximum number.
            elements: in text formats, count commas as well, because decoding an element may take as long as a container.

        Raises:
            SerializeError: there are more containers.
        """

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        """Encode a long value in several pieces; None if that is not possible or saves nothing."""
        return None

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any],
                       kwargs: Mapping[str, Any]) -> Optional[List[bytes]]:
        """Encode a call in several pieces; None if that is not possible or saves nothing."""
        return None

    # ------------------------------------------------------------ values

    def dumps(self, data: Any) -> bytes:
        """Serialize a value.

        Raises:
            SerializeError, TypeError, ValueError: the value or a part of it cannot be serialized.
        """
        try:
            return self._encode(data)
        except RecursionError as x:
            raise too_deep("serialized") from x

    def value_payload(self, data: Any) -> Payload:
        """Serialize a value, in several pieces if that saves copying a long bytes object or str. Raises as dumps."""
        parts = self._value_in_parts(data) if is_long(data) or is_long_dict(data) else None
        return self.dumps(data) if parts is None else parts

    def dumps_element(self, data: Any) -> bytes:
        """Serialize an element of a list for list_payload(). Raises as dumps."""
        return self.dumps(data)

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        """Return the serialized list of elements that dumps_element() has serialized."""
        raise NotImplementedError

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """Deserialize a value.

        Args:
            foreign_exceptions: convert an exception whose class is unknown in this process to a RemoteError.

        Raises:
            SerializeError: the data contains an instance of a class that is not accepted, or is nested too deeply.
            SecurityError: the data contains a class name with double underscores.
            ValueError, SyntaxError, TypeError, EOFError, KeyError, AttributeError: the data is malformed.
            PyroError: the data contains a proxy with an invalid URI.
        """
        try:
            value, tagged = self._decode(data)
            if not tagged:
                return value  # most values: no tagged dicts, so nothing in them has to be converted
            return self._recreate_foreign(value) if foreign_exceptions else self._recreate(value)
        except (RecursionError, MemoryError) as x:  # the parser of some Python versions reports deep nesting as MemoryError
            raise too_deep("deserialized") from x
        except Mismatch as x:
            raise x.described("the received value") from None
        except (errors.SerializeError, errors.SecurityError) as x:
            if not self._tagged:  # other releases get the same text as before
                raise
            raise mismatch.explain(x, lambda: [("result", self._decode(data)[0])]) from None

    def loads_reply(self, data: Data) -> Any:
        """Deserialize the payload of a reply: as loads with foreign_exceptions."""
        return self.loads(data, foreign_exceptions=True)

    def _loads_reply_by_loads(self, data: Data) -> Any:
        return self.loads(data)  # overridden by the program, perhaps without the argument foreign_exceptions

    def recreate_classes(self, literal: Any) -> Any:
        """Return plain data in which tagged dicts are converted to the objects that they describe. Raises as loads.

        A subclass may override this method; loads and loadsCall then call it for everything that was decoded.
        """
        if not hasattr(self, "_recreate_builtin"):  # the subclass did not call __init__
            SerializerBase.__init__(self)
        return self._recreate_builtin(literal)

    # ------------------------------------------------------------ method calls

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """Serialize a method call. Raises as dumps.

        Args:
            obj: the id of the object.
            method: the name of the method.
            vargs: the positional arguments.
            kwargs: the keyword arguments; None for attribute accesses and batches.
        """
        return self.dumps((obj, method, vargs, kwargs))

    def call_payload(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> Payload:
        """Serialize a method call, in several pieces if that saves copying long arguments. Raises as dumps."""
        parts = None
        # A few arguments only: with many, the test would take longer than copying the one that is long.
        if kwargs is not None and len(vargs) <= _MAX_EXAMINED and any(map(is_long, vargs)):
            try:
                parts = self._call_in_parts(obj, method, vargs, kwargs)
            except RecursionError as x:
                raise too_deep("serialized") from x
        return self.dumpsCall(obj, method, vargs, kwargs) if parts is None else parts

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call: (object id, method, args, kwargs). Raises as loads."""
        try:
            value, tagged = self._decode_call(data)
            obj, method, vargs, kwargs = self._call_parts(value) if self._calls_are_dicts else value
            # only the arguments can contain objects: the caller requires the other two to be texts
            if tagged:
                return obj, method, self._recreate(vargs), self._recreate(kwargs)
            return obj, method, vargs, kwargs
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x
        except Mismatch as x:
            raise self._mismatch_of_call(data) or x.described("the received value") from None
        except (errors.SerializeError, errors.SecurityError) as x:
            if not self._tagged:
                raise
            # decoded again: the values have been modified
            raise mismatch.explain(
                x, lambda: mismatch.described_arguments(self._call_parts(self._decode_call(data)[0]))) from None

    def _mismatch_of_call(self, data: Data) -> Optional[TypeError]:
        """Return the error that names the argument of a call that does not fit a registered type."""
        for each in mismatch.arguments_of(self._call_parts(self._decode_call(data)[0])):
            try:
                self._recreate(each.value)
            except Mismatch as x:
                return CallMismatch(each.object_id, each.method, each.place, x)
        return None

    def _call_parts(self, value: Any) -> CallPayload:
        obj, method, vargs, kwargs = value
        return obj, method, vargs, kwargs

    # ------------------------------------------------------------ converters

    @classmethod
    def class_to_dict(cls, obj: Any) -> Any:
        """Convert an instance of any class to a dict.

        The result is that of the converter for the class; otherwise that of __getstate__ if it is a dict; otherwise a dict of
        the attributes (or slots) with the name of the class under the key ``__class__``.

        Raises:
            SerializeError: the object has no attributes to convert.
        """
        return classes.class_to_dict(obj, cls.name)

    dict_to_class = staticmethod(recreation.dict_to_class)

    @classmethod
    def make_exception(cls, exceptiontype: Type[BaseException], data: Mapping[str, Any]) -> BaseException:
        """Build an exception of a class from a dict with ``args`` and optionally ``attributes``.

        Returns:
            A RemoteError that describes the exception if the class does not accept the arguments.

        Raises:
            KeyError, ValueError: there are no args, or they are neither list nor tuple.
        """
        return exceptions.dict_to_exception(exceptiontype, {"__class__": exceptiontype.__name__, **data})

    @classmethod
    def register_type_replacement(cls, object_type: Type[Any], replacement_function: Callable[[Any], Any]) -> None:
        """Register a function whose result is serialized in the place of an object.

        It applies to this serializer class and its subclasses, and to instances of object_type and its subclasses, unless they
        are plain data. It takes precedence over the converters of register_class_to_dict.

        Args:
            object_type: the type of the objects to replace.
            replacement_function: called with the object; returns the replacement.

        Raises:
            ValueError: object_type is not a type, or it is the type ``type`` itself.
        """
        if object_type is type or not isinstance(object_type, type):
            raise ValueError("replacements are registered for a type, not for %r" % (object_type,))
        # a new dict for this class: the inherited one belongs to the base class, and other threads may be reading it
        cls._replacements = {**cls._replacements, object_type: replacement_function}

    def _replaced(self, obj: Any) -> Any:
        """Return the replacement of an object, the object itself if there is none."""
        for base in type(obj).__mro__:  # the nearest base class decides
            if base in self._replacements:
                return self._replacements[base](obj)
        return obj

    @staticmethod
    def _convertToBytes(data: Data) -> bytes:
        """Return the data of a message as bytes, for serializers that cannot read a memoryview."""
        return bytes(data)

    # Every serializer uses the same converters.
    register_class_to_dict = staticmethod(classes.register_class_to_dict)
    unregister_class_to_dict = staticmethod(classes.unregister_class_to_dict)
    register_dict_to_class = staticmethod(classes.register_dict_to_class)
    unregister_dict_to_class = staticmethod(classes.unregister_dict_to_class)


def _decode_as_tagged(decode: Callable[[Data], Tuple[Any, bool]], data: Data) -> Tuple[Any, bool]:
    return decode(data)[0], True  # so that recreate_classes() of the program gets every value


def is_long(value: Any) -> bool:
    """Return whether sending a value without copying it pays. Only immutable values can be sent in this way."""
    return type(value) in _SENT_WITHOUT_COPY and len(value) >= _LONG_VALUE


def is_long_dict(value: Any) -> bool:
    """Return whether a value is the dict that serpent uses for a long bytes object."""
    return type(value) is dict and len(value) == 2 and is_long(value.get("data"))


def may_have_tag(text: str) -> bool:
    """Return whether a text contains the tag, which ends with an underscore. Up to the last one is enough: searching for the
    tag takes 35 us for 100 KB, and for one character 1 us. In calls, object ids contain an underscore.
    """
    return text.find(classes.TAG, 0, text.rfind("_") + 1) >= 0


def may_be_tagged(value: Any, data: Data) -> bool:
    """Return whether a decoded value may contain tagged dicts, for formats whose bytes contain text in UTF-8."""
    # Most long data is a single blob, for which a look at the value is much faster than searching the bytes for the tag.
    if len(data) > LONG_DATA and (type(value) in _SENT_WITHOUT_COPY or _is_flat_call(value)
                                  or not _may_contain_dicts(value, 3)):
        return False
    # find() and not `in`, which first tries to use the tag as a number: 0.2 instead of 0.5 us.
    return (bytes(data) if type(data) is memoryview else data).find(TAG_BYTES) >= 0


def _is_flat_call(value: Any) -> bool:
    """Return whether a value is a call with positional arguments that are not containers: saves 150 byte codes."""
    if type(value) not in _SEQUENCES or len(value) != 4:
        return False
    obj, method, args, kwargs = value
    return (not kwargs and type(obj) is type(method) is str and type(args) in _SEQUENCES
            and _CONTAINERS.isdisjoint(map(type, args)))


def _may_contain_dicts(value: Any, levels: int) -> bool:
    """Return whether a value may contain dicts that are not empty. Examines only a few elements, and assumes the others do."""
    kind = type(value)
    if kind not in _CONTAINERS or not value:
        return False
    if kind is dict or len(value) > _MAX_EXAMINED or not levels:
        return True
    return any([_may_contain_dicts(element, levels - 1) for element in value])


def too_deep(action: str) -> errors.SerializeError:
    """Build the error for data that is nested too deeply. action: "serialized" or "deserialized"."""
    return errors.SerializeError("the data is nested too deeply to be %s" % action)


def register_own(clazz: Type[SerializerBase]) -> None:
    """Register a serializer class to be sent as a tagged dict. The tag is that of 5.x; its module does not exist."""
    tag = "Pyro5.util.%sSerializer" % clazz.name.capitalize()
    classes.register_own_dict(clazz, tag, lambda serializer: {classes.TAG: tag},
                              lambda data, convert: importlib.import_module(__package__).get_serializer(clazz.name))
