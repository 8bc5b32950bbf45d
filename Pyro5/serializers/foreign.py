"""Serializers of programs that are not derived from SerializerBase."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .base import CallPayload, Data, SerializerBase

__all__ = ["ForeignSerializer", "adapted"]

_METHODS = ("dumps", "loads", "dumpsCall", "loadsCall")


class ForeignSerializer(SerializerBase):
    """
    Makes an object with the four methods of a serializer usable where a SerializerBase is expected.

    Attributes:
        original: the object.
    """

    def __init__(self, original: Any, name: str) -> None:
        super().__init__()
        self.original = original
        self.serializer_id = original.serializer_id
        self.name = name

    def dumps(self, data: Any) -> bytes:
        """Serialize a value."""
        dumped: bytes = self.original.dumps(data)
        return dumped

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """Deserialize a value."""
        return self.original.loads(data)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """Serialize a method call."""
        dumped: bytes = self.original.dumpsCall(obj, method, vargs, kwargs)
        return dumped

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call."""
        obj, method, vargs, kwargs = self.original.loadsCall(data)
        return obj, method, vargs, kwargs


def adapted(serializer: Any, name: str) -> SerializerBase:
    """
    Return what the package uses for a serializer that a program has added: the serializer itself if it is a SerializerBase.

    Args:
        name: of the serializer, if it has none itself.

    Raises:
        TypeError: it lacks something that a serializer needs.
    """
    if isinstance(serializer, SerializerBase):
        if not serializer.name:
            serializer.name = name
        return serializer
    missing = [method for method in _METHODS if not callable(getattr(serializer, method, None))]
    if type(getattr(serializer, "serializer_id", None)) is not int:
        missing.append("serializer_id")
    if missing or isinstance(serializer, type):
        raise TypeError("a serializer must be an instance of a subclass of SerializerBase, or of another class with the "
                        "methods %s and the number serializer_id, not %r%s"
                        % (", ".join(_METHODS), serializer, ", which lacks " + ", ".join(missing) if missing else ""))
    return ForeignSerializer(serializer, str(getattr(serializer, "name", "") or name))
