"""What serializers have in common."""
from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Type, Union

from .. import errors
from . import classes

__all__ = ["SerializerBase", "Data", "CallPayload", "Recreators", "call_parts"]

Data = Union[bytes, bytearray, memoryview]
CallPayload = Tuple[Any, Any, Any, Any]      # object id, method, args, kwargs
Recreators = Dict[bool, classes.Recreator]   # by: foreign exceptions allowed?


class SerializerBase:
    """
    Turns values into bytes and back.

    The class methods are the registry of converters for classes that serializers do not know; it is shared by all
    serializers. Serializers may be used from several threads at once.
    """

    serializer_id = 0     # the number that messages carry
    name = ""

    def dumps(self, data: Any) -> bytes:
        """
        Serialize a value.

        Raises:
            SerializeError, TypeError, ValueError: the value, or something in it, cannot be serialized.
        """
        raise NotImplementedError

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """
        Deserialize a value.

        Args:
            foreign_exceptions: let an exception of a class that is unknown here become a PyroError that describes it.

        Raises:
            SerializeError: it contains an instance of a class that is not accepted, or is nested too deeply.
            SecurityError: it contains a class name that looks like an attack.
            ValueError, SyntaxError, TypeError, EOFError, KeyError, AttributeError: the data is malformed.
        """
        raise NotImplementedError

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """Serialize a method call; raises what dumps raises."""
        raise NotImplementedError

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call: (object id, method, args, kwargs); raises what loads raises."""
        raise NotImplementedError

    @classmethod
    def class_to_dict(cls, obj: Any) -> Any:
        """Turn an instance of any class into a dict; see classes.class_to_dict."""
        return classes.class_to_dict(obj, cls.name or None)

    @classmethod
    def dict_to_class(cls, data: Dict[str, Any]) -> Any:
        """Turn a dict with the key ``__class__`` into the object it describes; see classes.dict_to_class."""
        return classes.dict_to_class(data)

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

    def __copy__(self) -> SerializerBase:
        return self

    def __deepcopy__(self, memo: Any) -> SerializerBase:
        return self


def call_parts(payload: Any) -> CallPayload:
    """Check the shape of a deserialized call; its values are not looked at."""
    if not isinstance(payload, (tuple, list)):
        raise TypeError("a call must be a sequence of object id, method, args and kwargs, not %s"
                        % type(payload).__name__)
    if len(payload) != 4:
        raise ValueError("a call must have 4 values: object id, method, args and kwargs; got %d" % len(payload))
    obj, method, vargs, kwargs = payload
    return obj, method, vargs, kwargs


def too_deep(action: str) -> errors.SerializeError:
    """Make the error for data that is nested deeper than can be handled."""
    return errors.SerializeError("the data is nested too deeply to be %s" % action)
