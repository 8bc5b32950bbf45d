"""The results of a batch, serialized one by one when they take much memory, and counted as they come."""
from __future__ import annotations

from typing import Any, List

from .. import protocol
from ..serializers import SerializerBase

UNWRITTEN_BYTES = 65536  # results are kept as they are, together, up to about this size
COUNTED_VALUES = 200  # a result with more values in it is not counted but written
_FIXED = {type(None): 4, bool: 4, float: 8}
_TEXTS = frozenset((str, bytes, bytearray))
_SEQUENCES = frozenset((list, tuple, set, frozenset))
UNKNOWN = -1


class BatchResults:
    """Collects the results of a batch.

    As long as all of them are small they stay values, and are serialized together.  A large one is serialized as soon as
    it is there, so that what is counted is what will be sent, no result is in memory as objects longer than necessary, and
    other threads run between two of them.

    Args:
        serializer: what writes them.
        max_size: limit in bytes for all of them, 0 for none.
    """

    def __init__(self, serializer: SerializerBase, max_size: int) -> None:
        self.values: List[Any] = []
        self._serializer = serializer
        self._max_size = max_size
        self._written: List[bytes] = []  # the first ones; the others are in `values`
        self._written_bytes = 0
        self._unwritten_bytes = 0

    def __len__(self) -> int:
        return len(self._written) + len(self.values)

    def add(self, value: Any) -> None:
        """Add a result.

        Raises:
            MessageTooLargeError: together they are larger than allowed.
            Exception: what the serializer raises for a value that it cannot serialize.
        """
        self.values.append(value)
        self.count(value)

    def count(self, value: Any) -> None:
        """Count a result that was just appended to `values`; raises what add() raises."""
        size = estimated_size(value)
        if not self._serializer.joins_elements:  # one of the program's: all is written at the end
            self._unwritten_bytes += len(self._serializer.dumps(value)) if size == UNKNOWN else size
            protocol.check_size(self._unwritten_bytes, self._max_size)
            return
        self._unwritten_bytes += size
        if size == UNKNOWN or self._unwritten_bytes > UNWRITTEN_BYTES or self._is_too_large():
            self._write_all()

    def _is_too_large(self) -> bool:
        return 0 < self._max_size < self._written_bytes + self._unwritten_bytes

    def _write_all(self) -> None:
        for value in self.values:
            element = self._serializer.dumps_element(value)
            self._written.append(element)
            self._written_bytes += len(element)
            if self._written_bytes > self._max_size > 0:
                protocol.check_size(self._written_bytes, self._max_size)
        self.values.clear()
        self._unwritten_bytes = 0

    def payload(self) -> protocol.Payload:
        """Return the list of all results, serialized; raises what add() raises."""
        if not self._written:
            return self._serializer.dumps(self.values)
        self._write_all()
        return self._serializer.list_payload(self._written)


def estimated_size(value: Any) -> int:
    """Return about how many bytes a value takes when it is serialized; UNKNOWN if finding out takes long."""
    size, count, left = 0, 0, [value]
    while left:
        value = left.pop()
        kind = type(value)
        if kind in _TEXTS:
            size += len(value) + 2
        elif kind is int:
            size += value.bit_length() // 3 + 2
        elif kind in _FIXED:
            size += _FIXED[kind]
        elif kind in _SEQUENCES or kind is dict:
            count += len(value)
            if count > COUNTED_VALUES:
                return UNKNOWN
            size += 2
            left += value
            if kind is dict:
                left += value.values()
        else:
            return UNKNOWN
    return size
