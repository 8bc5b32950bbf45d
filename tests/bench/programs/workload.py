"""What travels in the measured calls."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Tuple

TEXT_CHARACTERS = 100 * 1000
BLOB_BYTES = 100 * 1000
LARGE_BLOB_BYTES = 10 * 1000 * 1000
ANNOTATION_BYTES = 1000 * 1000
ANNOTATION_ID = "BLOB"

RECORD: Dict[str, Any] = {
    "number": 60417, "title": "Harbour lights, north pier", "keeper": "Ines Duarte", "active": True, "height": 31.75,
    "colours": ["white", "red"], "position": {"latitude": 41.1496, "longitude": -8.6749, "datum": "WGS 84"}, "closed": None,
    "visits": 1812, "remark": "stairs are being repaired", "sectors": [15, 120, 240], "automatic": False}
RECORDS = [dict(RECORD, number=number) for number in range(200)]


@dataclass
class Sample:
    """An instance of a registered type."""

    station: str
    seconds: float
    celsius: float
    count: int
    is_valid: bool = True


SAMPLES = [Sample("station %d" % (number % 7), number * 0.5, 20.0 + number / 7, number) for number in range(1000)]
SAMPLES_AS_DICTS = [dict(vars(sample)) for sample in SAMPLES]


def blob(size: int) -> bytes:
    """Return bytes in which every value is found."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


# The arguments with which the framed floor and the plain case call the same function, and what must come back.
SUMMANDS: Tuple[int, int] = (20, 22)
SUM = 42


def add(first: int, second: int) -> int:
    return first + second
