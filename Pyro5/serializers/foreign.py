"""Adapt serializers of programs that are not derived from SerializerBase."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .base import CallPayload, Data, SerializerBase

__all__ = ["ForeignSerializer", "adapted"]

_METHODS = ("dumps", "loads", "dumpsCall", "loadsCall")


class ForeignSerializer(SerializerBase):
    """Adapts an object with the four methods of a serializer to the interface of SerializerBase.

    Attributes:
        original: the adapted object.
    """

    def __init__(self, original: Any, name: str) -> None:
        super().__init__()
        # Copied, not looked up in each call: every message compares the number.
        self.original = original
        self.serializer_id = original.serializer_id
        self.name = name

    def dumps(self, data: Any) -> bytes:
        """Serialize a value."""
        dumped: bytes = self.original.dumps(data)
        return dumped

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """Deserialize a value."""
        return self.original.loads(data)  # it does not know the argument foreign_exceptions

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """Serialize a method call."""
        dumped: bytes = self.original.dumpsCall(obj, method, vargs, kwargs)
        return dumped

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call."""
        obj, method, vargs, kwargs = self.original.loadsCall(data)
        return obj, method, vargs, kwargs


def adapted(serializer: Any, name: str) -> SerializerBase:
    """Return a serializer that a program has added; an adapter for it if it is not a SerializerBase.

    Args:
        name: the name to use if the serializer has none.

    Raises:
        TypeError: a method or the number of a serializer is missing.
    """
    if isinstance(serializer, SerializerBase):
        if not serializer.name:
            # The name is part of error texts and of the settings.
            serializer.name = name
        return serializer
    # checked here, when the program adds it: an incomplete serializer would otherwise fail in the middle of a call
    missing = [method for method in _METHODS if not callable(getattr(serializer, method, None))]
    if type(getattr(serializer, "serializer_id", None)) is not int:
        missing.append("serializer_id")
    # A class has the methods as well, but they could not be called.
    if missing or isinstance(serializer, type):
        raise TypeError("a serializer must be an instance of a subclass of SerializerBase, or of another class with the "
                        "methods %s and the number serializer_id, not %r%s"
                        % (", ".join(_METHODS), serializer, ", which lacks " + ", ".join(missing) if missing else ""))
    return ForeignSerializer(serializer, str(getattr(serializer, "name", "") or name))
