"""The serpent serializer: values as the text of Python literals. The default, and the one that knows most types."""
from __future__ import annotations

import collections
import importlib
import importlib.util
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .. import config
from . import classes
from .base import CallPayload, Data, SerializerBase, call_parts, too_deep

__all__ = ["SerpentSerializer"]


def _load_serpent_library() -> Any:
    """Import the library; a copy that lies beside this package, in the package that contains it, goes first."""
    parent = __package__.rpartition(".")[0].rpartition(".")[0]
    if parent and importlib.util.find_spec(parent + ".serpent"):
        return importlib.import_module(parent + ".serpent")
    return importlib.import_module("serpent")


serpent = _load_serpent_library()


class _Writer(serpent.Serializer):  # type: ignore[misc, name-defined]
    """The library's serializer with our treatment of class instances in front of its own."""

    def __init__(self, bytes_repr: bool) -> None:
        super().__init__(module_in_classname=True, bytes_repr=bytes_repr)

    def serialize(self, obj: Any) -> bytes:
        # the library asks its registry about everything that is no plain builtin: an entry for object sees it all
        data: bytes = super().serialize(obj)
        return data

    def _serialize(self, obj: Any, out: List[str], level: int) -> None:
        if type(obj) not in _PLAIN:
            form = classes.registered_form(obj, for_serpent=True)
            if form is not classes.NOT_REGISTERED:
                obj, level = form, level + 1
        super()._serialize(obj, out, level)


_PLAIN = frozenset((str, int, bool, type(None), float, complex, tuple, list, dict, set, frozenset,
                    bytes, bytearray, memoryview))


def _float_from_dict(data: Dict[str, Any]) -> float:
    return float(data["value"])


def _complex_from_dict(data: Dict[str, Any]) -> complex:
    return complex(float(data["real"]), float(data["imag"]))


def _ordered_dict_from_dict(data: Dict[str, Any]) -> Any:
    return collections.OrderedDict(data["items"])


_EXTRA: Mapping[str, Callable[[Dict[str, Any]], Any]] = {
    "float": _float_from_dict,
    "complex": _complex_from_dict,
    "collections.OrderedDict": _ordered_dict_from_dict,
}


class SerpentSerializer(SerializerBase):
    """Python literals, see the serpent library."""

    serializer_id = 1
    name = "serpent"

    def __init__(self) -> None:
        self._recreators = {flag: classes.Recreator(_EXTRA, foreign_exceptions=flag) for flag in (False, True)}

    def dumps(self, data: Any) -> bytes:
        try:
            return _Writer(bool(config.SERPENT_BYTES_REPR)).serialize(data)
        except RecursionError as x:
            raise too_deep("serialized") from x

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        try:
            return self._recreators[foreign_exceptions].recreate(serpent.loads(data))
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        return self.dumps((obj, method, vargs, kwargs))

    def loadsCall(self, data: Data) -> CallPayload:
        try:
            obj, method, vargs, kwargs = call_parts(serpent.loads(data))
            recreate = self._recreators[False].recreate
            return obj, method, recreate(vargs), recreate(kwargs)
        except (RecursionError, MemoryError) as x:
            raise too_deep("deserialized") from x
