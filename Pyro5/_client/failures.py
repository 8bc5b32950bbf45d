"""What an error of a connection or a call means: its text, and whether the connection can be used again."""
from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from .. import LazyModule, config, errors, socketutil
from .._values.uri import URI
from ..serializers import SerializerBase

if TYPE_CHECKING:
    from .._values import unsendable
else:
    unsendable = LazyModule(globals(), ".._values.unsendable")


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
    # A method raised this, or its result cannot be sent. For other errors nothing is loaded: there may be no descriptors left.
    if isinstance(error, errors.SerializeError) and isinstance(error, (errors.RemoteError, unsendable.Unsendable)):
        return False
    if connection.features is not None and type(error) is errors.TimeoutError:  # the call was late
        return False
    if connection.keep_open:  # the only connection of that server: it is closed only when the server cannot read on
        return isinstance(error, errors.MessageTooLargeError)
    return isinstance(error, (errors.CommunicationError, errors.SecurityError))


def handshake_hint(is_encrypted: bool) -> str:
    """Return a hint on what to check when the server closes the connection instead of answering the handshake."""
    if is_encrypted:
        return "does the server require a client certificate (SSL_CLIENTCERT), and does it trust the one that was sent?"
    return "if the server uses TLS, enable the setting SSL on this side too"


def connection_failure(uri: URI, error: OSError) -> errors.CommunicationError:
    """Return the error to raise when the server of a URI cannot be reached."""
    hint = _hint(error)
    text = "cannot connect to %s: %s%s" % (uri, _reason(error), " (%s)" % hint if hint else "")
    error_class = errors.TimeoutError if socketutil.is_timeout(error) else errors.CommunicationError
    return errors.not_sent(error_class(text))


def _reason(error: OSError) -> str:
    """Return the error text of the operating system, without the address that create_socket adds to it."""
    cause = error.__cause__
    if isinstance(error, socket.gaierror) or not isinstance(cause, OSError):
        cause = error
    return cause.strerror or str(cause)


def _hint(error: OSError) -> str:
    """Return a hint on what to check; an empty text if the error says it already."""
    if isinstance(error, socket.gaierror):
        return ""
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "is the server running, and does it listen at this address?"
    if config.SSL:
        return "does the server use TLS, and do the certificates match? See the setting SSL_CACERTS"
    return "is the server running, and can it be reached from this machine?"
