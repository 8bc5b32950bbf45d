"""Conversion of results to JSON."""
from __future__ import annotations

import base64
import json
import math
import sys
from typing import Any, Dict, Optional

from ..client import Proxy


def plain(value: Any) -> Any:
    """Convert a result to values that JSON can represent; all others become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no notation for infinity and NaN
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        # Other keys, such as tuples, would make json.dumps() fail.
        return {key if isinstance(key, (str, int, float)) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # By repr(), because elements of different types cannot be compared. The output is then the same in each run.
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _plain_bytes(bytes(value))
    if isinstance(value, Proxy):
        return str(value._pyroUri)
    return str(value)


def _plain_bytes(data: bytes) -> Dict[str, str]:
    """Encode binary data in the same way as the serpent serializer."""
    return {"data": base64.b64encode(data).decode("ascii"), "encoding": "base64"}


def json_text(value: Any, indent: Optional[int] = None) -> str:
    """Return plain data as JSON; only escape characters that standard output cannot encode or that could control a terminal.
    """
    text = "\n".join(line if line.isprintable() else _escaped(line)
                     for line in json.dumps(value, ensure_ascii=False, indent=indent).split("\n"))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        return json.dumps(value, indent=indent)  # escaped, so that the output is valid in any encoding
    return text


def _escaped(line: str) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
