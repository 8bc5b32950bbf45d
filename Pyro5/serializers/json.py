"""The json serializer: strings, numbers, lists and dicts only, in text that every language reads."""
from __future__ import annotations

import datetime
import decimal
import json
import uuid
from typing import Any, Mapping, Optional, Sequence, Tuple

from . import classes
from .base import CallPayload, Data, SerializerBase

__all__ = ["JsonSerializer"]


class JsonSerializer(SerializerBase):
    """
    JSON in UTF-8, see the json module of the standard library.

    Tuples and sets become lists; keys of dicts become strings; binary data cannot be serialized.
    """

    serializer_id = 3
    name = "json"

    def __init__(self) -> None:
        super().__init__()
        self._to_text = json.JSONEncoder(ensure_ascii=False, default=self._to_plain).encode

    def _encode(self, data: Any) -> bytes:
        return self._to_text(data).encode("utf-8")

    def _decode(self, data: Data) -> Tuple[Any, bool]:
        text = str(data, "utf-8")
        # letters and underscores can also be written as escapes
        return json.loads(text), classes.TAG in text or ("\\" in text and "\\u" in text)

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        return self.dumps({"object": obj, "method": method, "params": vargs, "kwargs": kwargs})

    def _call_parts(self, value: Any) -> CallPayload:
        return value["object"], value["method"], value["params"], value["kwargs"]

    def _to_plain(self, obj: Any) -> Any:
        form = classes.registered_form(obj)
        if form is not classes.NOT_REGISTERED:
            return form
        if isinstance(obj, set):
            return tuple(obj)
        if isinstance(obj, (uuid.UUID, decimal.Decimal)):
            return str(obj)
        if isinstance(obj, (datetime.datetime, datetime.date)):
            return obj.isoformat()
        if classes.is_array(obj):
            return classes.array_to_plain(obj)
        return self.class_to_dict(obj)
