"""What serializers have in common."""
from __future__ import annotations

import functools
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from .. import errors
from .._values import classes, exceptions, recreation
from .._values.containers import Data

__all__ = ["SerializerBase", "Data", "CallPayload", "Payload", "is_long", "is_long_dict", "may_be_tagged", "too_deep"]

CallPayload = Tuple[Any, Any, Any, Any]      # object id, method, args, kwargs
Payload = Union[bytes, List[bytes]]          # in one piece, or in several

_TAG_BYTES = classes.TAG.encode("ascii")
_LONG_DATA = 4096           # bytes; shorter data is searched sooner than looked at
_LONG_VALUE = 32 * 1024      # bytes or characters; shorter ones are sooner copied into one payload than sent on their own
_SENT_AS_IT_IS = frozenset((bytes, str))
_FEW = 8
_CONTAINERS = frozenset((dict, list, tuple))


class SerializerBase:
    """
    Turns values into bytes and back.

    The class methods are the registry of converters for classes that serializers do not know; it is shared by all
    serializers. Serializers may be used from several threads at once.
    """

    serializer_id = 0     # the number that messages carry
    name = ""
    joins_elements = False    # whether list_payload() is there
    _replacements: Dict[type, Callable[[Any], Any]] = {}    # of the class, see register_type_replacement; replaced whole

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make a subclass that overrides a public method do so for all ways in which the package calls it."""
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "dumps" in own and "_value_in_parts" not in own:
            cls._value_in_parts = SerializerBase._value_in_parts  # type: ignore[method-assign]
        if not {"dumps", "dumpsCall"}.isdisjoint(own) and "_call_in_parts" not in own:
            cls._call_in_parts = SerializerBase._call_in_parts  # type: ignore[method-assign]
        if "list_payload" in own:
            cls.joins_elements = True
        elif "dumps" in own:
            cls.joins_elements = False
        if not {"loads", "loadsCall"}.isdisjoint(own) and "check_containers" not in own:
            cls.check_containers = SerializerBase.check_containers  # type: ignore[method-assign]
        if "loads" in own:
            cls.loads_reply = SerializerBase._loads_as_ever  # type: ignore[method-assign]

    def __init__(self, extra_tags: Optional[Mapping[str, classes.FromTaggedDict]] = None,
                 inner_first: bool = False) -> None:
        """Set up what subclasses deserialize class instances with; for the arguments see recreation.Recreator."""
        self._recreate_builtin: Callable[[Any], Any] = recreation.Recreator(extra_tags, inner_first).recreate
        self._recreate: Callable[[Any], Any] = self._recreate_builtin
        foreign = recreation.Recreator(extra_tags, inner_first, foreign_exceptions=True)
        self._recreate_foreign: Callable[[Any], Any] = foreign.recreate
        if type(self).recreate_classes is not SerializerBase.recreate_classes:
            self._recreate = self._recreate_foreign = self.recreate_classes
            self._decode = functools.partial(_decode_as_tagged, self._decode)  # type: ignore[method-assign]
            self._decode_call = functools.partial(_decode_as_tagged, self._decode_call)  # type: ignore[method-assign]

    # ------------------------------------------------------------ for subclasses

    def _encode(self, data: Any) -> bytes:
        raise NotImplementedError

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        """Give the plain data that some bytes stand for, and whether there may be tagged dicts in it."""
        raise NotImplementedError

    def _decode_call(self, data: Data) -> Tuple[Any, bool]:
        """As _decode, for a method call."""
        return self._decode(data)

    def check_containers(self, data: Data, most: int, elements: bool = False) -> None:
        """
        Check the number of lists, dicts, tuples and sets in some bytes before they are deserialized.

        Serializers of programs need not do that.

        Args:
            elements: count the commas of text as well: what they separate may take as long to be read.

        Raises:
            SerializeError: there are more than that.
        """

    def _value_in_parts(self, data: Any) -> Optional[List[bytes]]:
        """Give what _encode gives for a long value, in pieces; None if this cannot be done, or saves nothing."""
        return None

    def _call_in_parts(self, obj: str, method: str, vargs: Sequence[Any],
                       kwargs: Mapping[str, Any]) -> Optional[List[bytes]]:
        """Give a call that is worth as much as what dumpsCall gives, in pieces; None as with _value_in_parts."""
        return None

    # ------------------------------------------------------------ values

    def dumps(self, data: Any) -> bytes:
        """
        Serialize a value.

        Raises:
            SerializeError, TypeError, ValueError: the value, or something in it, cannot be serialized.
        """
        try:
            return self._encode(data)
        except RecursionError as x:
            raise too_deep("serialized") from x

    def value_payload(self, data: Any) -> Payload:
        """Serialize a value as dumps does, but in several pieces if that saves copying: it is a long bytes object or str."""
        parts = self._value_in_parts(data) if is_long(data) or is_long_dict(data) else None
        return self.dumps(data) if parts is None else parts

    def dumps_element(self, data: Any) -> bytes:
        """Serialize an element of a list that list_payload() will be called for; raises what dumps raises."""
        return self.dumps(data)

    def list_payload(self, elements: Sequence[bytes]) -> Payload:
        """Return the payload of a list, given what dumps_element made of its elements."""
        raise NotImplementedError

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """
        Deserialize a value.

        Args:
            foreign_exceptions: let an exception of a class that is unknown here become a RemoteError that describes it.

        Raises:
            SerializeError: it contains an instance of a class that is not accepted, or is nested too deeply.
            SecurityError: it contains a class name that looks like an attack.
            ValueError, SyntaxError, TypeError, EOFError, KeyError, AttributeError: the data is malformed.
            PyroError: so is the URI of a proxy in it.
        """
        try:
            value, tagged = self._decode(data)
            if not tagged:
                return value
            return self._recreate_foreign(value) if foreign_exceptions else self._recreate(value)
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x

    def loads_reply(self, data: Data) -> Any:
        """Deserialize a reply as loads does, with foreign_exceptions."""
        return self.loads(data, foreign_exceptions=True)

    def _loads_as_ever(self, data: Data) -> Any:
        return self.loads(data)

    def recreate_classes(self, literal: Any) -> Any:
        """Return plain data with the tagged dicts in it turned into the objects that they describe; raises what loads raises.

        A subclass may override it: loads and loadsCall then call it for all that was decoded.
        """
        if not hasattr(self, "_recreate_builtin"):  # the subclass did not call __init__
            SerializerBase.__init__(self)
        return self._recreate_builtin(literal)

    # ------------------------------------------------------------ method calls

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """
        Serialize a method call; raises what dumps raises.

        Args:
            obj: id of the object.
            kwargs: None for the requests that are no method calls: attribute access and batches.
        """
        return self.dumps((obj, method, vargs, kwargs))

    def call_payload(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> Payload:
        """Serialize a call as dumpsCall does, but in several pieces if that saves copying: some of its arguments are long."""
        parts = None
        if kwargs is not None and len(vargs) <= _FEW and any(map(is_long, vargs)):
            try:
                parts = self._call_in_parts(obj, method, vargs, kwargs)
            except RecursionError as x:
                raise too_deep("serialized") from x
        return self.dumpsCall(obj, method, vargs, kwargs) if parts is None else parts

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call: (object id, method, args, kwargs); raises what loads raises."""
        try:
            value, tagged = self._decode_call(data)
            obj, method, vargs, kwargs = self._call_parts(value)
            if tagged:
                return obj, method, self._recreate(vargs), self._recreate(kwargs)
            return obj, method, vargs, kwargs
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x

    def _call_parts(self, value: Any) -> CallPayload:
        obj, method, vargs, kwargs = value
        return obj, method, vargs, kwargs

    # ------------------------------------------------------------ converters

    @classmethod
    def class_to_dict(cls, obj: Any) -> Any:
        """Turn an instance of any class into a dict; see classes.class_to_dict."""
        return classes.class_to_dict(obj, cls.name)

    @classmethod
    def dict_to_class(cls, data: Dict[str, Any]) -> Any:
        """Turn a dict with the key ``__class__`` into the object it describes; see recreation.dict_to_class."""
        return recreation.dict_to_class(data)

    @classmethod
    def make_exception(cls, exceptiontype: Type[BaseException], data: Mapping[str, Any]) -> BaseException:
        """Build an exception of a class from its description: a dict with ``args`` and maybe ``attributes``."""
        return exceptions.dict_to_exception(exceptiontype, {"__class__": exceptiontype.__name__, **data})

    @classmethod
    def register_type_replacement(cls, object_type: Type[Any], replacement_function: Callable[[Any], Any]) -> None:
        """
        Register a function whose result this serializer serializes in the place of an object.

        It counts for this serializer's class and its subclasses, for objects of that type and its subclasses, as far as they
        are not plain data; and before what was registered by register_class_to_dict.

        Raises:
            ValueError: object_type is not a type, or it is the type ``type`` itself.
        """
        if object_type is type or not isinstance(object_type, type):
            raise ValueError("replacements are registered for a type, not for %r" % (object_type,))
        cls._replacements = {**cls._replacements, object_type: replacement_function}

    def _replaced(self, obj: Any) -> Any:
        """Return what is to be serialized in the place of an object, which may be the object itself."""
        for base in type(obj).__mro__:
            if base in self._replacements:
                return self._replacements[base](obj)
        return obj

    @staticmethod
    def _convertToBytes(data: Data) -> bytes:
        """Return the data of a message as bytes, for serializers that cannot read a memoryview."""
        return bytes(data)

    @classmethod
    def register_class_to_dict(cls, clazz: Type[Any], converter: Callable[[Any], Any],
                               serpent_too: bool = True) -> None:
        """Register a function that gives the dict for instances of a class; see classes.register_class_to_dict."""
        classes.register_class_to_dict(clazz, converter, serpent_too)

    @classmethod
    def unregister_class_to_dict(cls, clazz: Type[Any]) -> None:
        """Forget the function that gives the dict for instances of a class."""
        classes.unregister_class_to_dict(clazz)

    @classmethod
    def register_dict_to_class(cls, classname: str, converter: Callable[[str, Dict[str, Any]], Any]) -> None:
        """Register a function that makes an object of a tagged dict; see classes.register_dict_to_class."""
        classes.register_dict_to_class(classname, converter)

    @classmethod
    def unregister_dict_to_class(cls, classname: str) -> None:
        """Forget the function that makes objects of dicts with that class name."""
        classes.unregister_dict_to_class(classname)


def _decode_as_tagged(decode: Callable[[Data], Tuple[Any, bool]], data: Data) -> Tuple[Any, bool]:
    return decode(data)[0], True


def is_long(value: Any) -> bool:
    """Tell whether a value is better sent as it is than copied first; only what nobody can change meanwhile is."""
    return type(value) in _SENT_AS_IT_IS and len(value) >= _LONG_VALUE


def is_long_dict(value: Any) -> bool:
    """Tell whether a value is what serpent makes of long bytes."""
    return type(value) is dict and len(value) == 2 and is_long(value.get("data"))


def may_be_tagged(value: Any, data: Data) -> bool:
    """Tell whether there may be tagged dicts in a value that was made of some bytes, in which text is written as it is."""
    if len(data) > _LONG_DATA and not _may_hold_dicts(value, 3):
        return False    # most long data is a single blob; searching it takes longer than copying it
    return _TAG_BYTES in (bytes(data) if type(data) is memoryview else data)


def _may_hold_dicts(value: Any, levels: int) -> bool:
    """Tell whether there may be dicts that are not empty in a value; looks at a few of its elements only."""
    kind = type(value)
    if kind not in _CONTAINERS or not value:
        return False
    if kind is dict or len(value) > _FEW or not levels:
        return True
    return any([_may_hold_dicts(element, levels - 1) for element in value])


def too_deep(action: str) -> errors.SerializeError:
    """Make the error for data that is nested deeper than can be handled; action is "serialized" or "deserialized"."""
    return errors.SerializeError("the data is nested too deeply to be %s" % action)
