"""Serialized blobs: call arguments that pass through servers without being deserialized."""
from __future__ import annotations

from typing import Any, Tuple

from .. import errors, serializers
from .._values.marshal import check
from ..protocol import ReceivingMessage, SendingMessage
from . import limits

BLOB_ANNOTATION = "BLBI"  # marshal of (info, object id, method), in a request that carries a serialized blob


class SerializedBlob:
    """Wraps call arguments so that they pass through servers unread, as the bytes that the first sender made.

    Hand it to a remote method as the only argument.  A dispatcher receives it still serialized and can pass it on as it
    is; the final receiver calls :meth:`deserialized`.

    Args:
        info: something small that describes the blob (an id, a name, a topic); must be marshallable.
        data: the payload: a list or tuple of what you would have given as arguments, or anything else.
        is_blob: True if `data` is a received message and still to be deserialized (set by the server).
    """

    def __init__(self, info: Any, data: Any, is_blob: bool = False) -> None:
        if is_blob and not isinstance(data, (SendingMessage, ReceivingMessage)):
            raise TypeError("data should be a message object if is_blob is set, not %s" % type(data).__name__)
        self.info = info
        self._data = data
        self._contains_blob = is_blob

    def deserialized(self) -> Any:
        """Give the data; if it came over the network it is deserialized now.

        Raises:
            SerializeError: the data cannot be deserialized here.
        """
        if not self._contains_blob:
            return self._data
        message = self._data
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        if isinstance(message, ReceivingMessage) and len(message.data) > limits.FREE_BYTES:
            limits.check(message, serializer)
        _object_id, _method, args, _kwargs = serializer.loadsCall(message.data)
        return args


def parse_annotation(data: bytes) -> Tuple[Any, str, str]:
    limits.check_marshal(data)
    try:
        info, object_id, method = check.loads(data)
    except (EOFError, TypeError, ValueError) as x:
        raise errors.ProtocolError("a call with a serialized blob needs a proper annotation %s" % BLOB_ANNOTATION) from x
    if not (type(object_id) is str and type(method) is str):
        raise errors.ProtocolError("the annotation %s must name an object and a method" % BLOB_ANNOTATION)
    return info, object_id, method
