"""The json serializer: only strings, numbers, lists and dicts; readable by everything."""
from __future__ import annotations

import array
import datetime
import decimal
import json
import uuid
from typing import Any, Mapping, Optional, Sequence

from . import classes
from .base import CallPayload, Data, SerializerBase, too_deep

__all__ = ["JsonSerializer"]


class JsonSerializer(SerializerBase):
    """JSON text, see the json module of the standard library."""

    serializer_id = 3
    name = "json"

    def __init__(self) -> None:
        self._recreators = {flag: classes.Recreator(foreign_exceptions=flag) for flag in (False, True)}
        self._encode = json.JSONEncoder(ensure_ascii=False, default=self._to_plain).encode

    def dumps(self, data: Any) -> bytes:
        try:
            return self._encode(data).encode("utf-8")
        except RecursionError as x:
            raise too_deep("serialized") from x

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        try:
            return self._recreators[foreign_exceptions].recreate(json.loads(str(data, "utf-8")))
        except RecursionError as x:
            raise too_deep("deserialized") from x

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        return self.dumps({"object": obj, "method": method, "params": vargs, "kwargs": kwargs})

    def loadsCall(self, data: Data) -> CallPayload:
        try:
            call = json.loads(str(data, "utf-8"))
            recreate = self._recreators[False].recreate
            if not isinstance(call, dict):
                raise TypeError("a call must be an object with the keys object, method, params and kwargs")
            return call["object"], call["method"], recreate(call["params"]), recreate(call["kwargs"])
        except RecursionError as x:
            raise too_deep("deserialized") from x

    @classmethod
    def _to_plain(cls, obj: Any) -> Any:
        form = classes.registered_form(obj)
        if form is not classes.NOT_REGISTERED:
            return form
        if isinstance(obj, set):
            return tuple(obj)
        if isinstance(obj, (uuid.UUID, decimal.Decimal)):
            return str(obj)
        if isinstance(obj, (datetime.datetime, datetime.date)):
            return obj.isoformat()
        if isinstance(obj, array.array):
            return obj.tounicode() if obj.typecode == "u" else obj.tolist()
        return cls.class_to_dict(obj)
