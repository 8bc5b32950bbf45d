"""Serialized blobs: call arguments that pass through servers without being deserialized."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

from .. import LazyModule, config, errors, serializers
from ..protocol import ReceivingMessage, SendingMessage
from . import limits

if TYPE_CHECKING:
    from .._values.marshal import check
else:
    check = LazyModule(globals(), ".._values.marshal.check")

BLOB_ANNOTATION = "BLBI"  # marshal of (info, object id, method), in a request that carries a serialized blob


class SerializedBlob:
    """Wraps call arguments that servers on the way forward without deserializing them.

    Pass it to a remote method as the only argument. The server receives it in serialized form and can pass it to another
    remote method unchanged. The final receiver calls :meth:`deserialized`.

    Args:
        info: a small value that describes the blob, such as an id, a name or a topic; must be marshallable.
        data: the payload, usually a list or tuple of arguments.
        is_blob: whether `data` is a received message that has not been deserialized yet (set by the server).

    Raises:
        TypeError: is_blob is true and data is not a message.
    """

    # the documented module, where programs import it from; relative to the parent package, which may be vendored
    __module__ = __name__.rsplit(".", 2)[0] + ".client"

    def __init__(self, info: Any, data: Any, is_blob: bool = False) -> None:
        if is_blob and not isinstance(data, (SendingMessage, ReceivingMessage)):
            raise TypeError("data should be a message object if is_blob is set, not %s" % type(data).__name__)
        self.info = info
        self._data = data
        self._contains_blob = is_blob

    def deserialized(self) -> Any:
        """Return the data. If it was received from the network it is deserialized now, again in every call.

        Raises:
            SerializeError: the data cannot be deserialized in this process.
        """
        if not self._contains_blob:
            return self._data
        message = self._data
        # the serializer of the original sender: servers on the way may use another one for their own calls
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        # checked here and not when the message arrived: a server that only forwards a blob need not look into it
        if isinstance(message, ReceivingMessage) and len(message.data) > limits.FREE_BYTES:
            limits.check(message, serializer)
        _object_id, _method, args, _kwargs = serializer.loadsCall(message.data)
        return args


def parse_annotation(data: bytes) -> Tuple[Any, str, str]:
    """Parse the annotation of a request with a blob: (info, object id, method name).

    Raises:
        ProtocolError: it is missing or malformed.
        SerializeError: it has more containers than MAX_CONTAINERS.
    """
    # Not part of the payload, and never compressed.
    if len(data) > limits.FREE_BYTES and config.MAX_CONTAINERS:
        check.check_containers(data, config.MAX_CONTAINERS)
    try:
        info, object_id, method = check.loads(data)
    except (EOFError, TypeError, ValueError) as x:
        raise errors.ProtocolError("the annotation %s of a call with a serialized blob is missing or malformed"
                                   % BLOB_ANNOTATION) from x
    if not (type(object_id) is str and type(method) is str):
        raise errors.ProtocolError("the annotation %s must contain an object id and a method name" % BLOB_ANNOTATION)
    return info, object_id, method
