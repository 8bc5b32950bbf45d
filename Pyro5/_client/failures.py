"""What an error of a call means: its text, and whether the connection can be used again."""
from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from .. import errors
from .._values import unsendable
from .._values.uri import URI
from ..serializers import SerializerBase

__all__ = ["request_error", "server_closes_after"]


def request_error(uri: URI, error: Exception, serializer: SerializerBase, method: str, args: Sequence[Any],
                  kwargs: Optional[Mapping[str, Any]]) -> Exception:
    """Return the error to raise when a request could not be built: one that says what is wrong with it."""
    if isinstance(error, errors.MessageTooLargeError):  # that class means the limit of the server, this is ours
        return errors.not_sent(errors.ProtocolError("calling %s of %s: %s" % (method, uri, error)))
    # a serializer, or user code that it calls, can raise anything for an argument
    explained = unsendable.explain(error, unsendable.argument_parts(args, kwargs), serializer)
    errors.add_context(explained, "calling %s of %s" % (method, uri))
    if explained is not error:
        explained.__cause__ = error
    return explained


def server_closes_after(error: BaseException, connection: Any) -> bool:
    """Return whether the server closes the connection, or may close it, after it has reported this error."""
    if isinstance(error, (errors.RemoteError, unsendable.Unsendable)):  # a method raised this, or its result cannot be sent
        return False
    if connection.features is not None and type(error) is errors.TimeoutError:  # the call was late
        return False
    if connection.keep_open:  # the only connection of that server: it is closed only when the server cannot read on
        return isinstance(error, errors.MessageTooLargeError)
    return isinstance(error, (errors.CommunicationError, errors.SecurityError))
