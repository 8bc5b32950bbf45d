"""Which HTTP status a failure of a call has."""
from __future__ import annotations

import json
import re
from typing import Any, Dict, Optional, Tuple

from .. import errors
from .._values.unsendable import Unsendable
from .calls import Reply
from .responses import Headers

__all__ = ["RETRY_AFTER_SECONDS", "Failure", "CANCELLED", "remote_error", "status_of", "status_of_reply"]

RETRY_AFTER_SECONDS = "2"
CANCELLED = 499     # not registered, but understood by many HTTP programs: the client does not wait any more
EXAMINED_BYTES = 65536      # of an exception in JSON; a longer one is passed on without a look
# The texts of Python, and those of this library for arguments that do not fit their annotations; after the name of the method.
_BAD_ARGUMENTS = r"\(\) (?:missing \d|takes |got (?:an unexpected keyword|multiple values|some)|argument )"
# As servers of this release say that they have stopped a call.
_STOPPED, _LATE = "the call was stopped: ", "its deadline has passed"


class Failure(Exception):
    """A request that fails with an exception in JSON, and with a status of its own."""

    def __init__(self, status: int, error: Exception, headers: Headers = ()) -> None:
        super().__init__(status, error)
        self.status, self.error, self.headers = status, error, headers


def status_of(error: Exception) -> int:
    """Return the status for an exception that was raised in the gateway while it used an object."""
    if isinstance(error, errors.CancelledError):
        return CANCELLED
    if isinstance(error, errors.TimeoutError):
        return 504
    if isinstance(error, errors.MessageTooLargeError) and error.sent is False:
        return 413
    # The request cannot be built from the arguments.
    if isinstance(error, Unsendable) or isinstance(error, errors.ProtocolError) and error.sent is False:
        return 400
    return 502 if isinstance(error, (errors.CommunicationError, errors.SecurityError)) else 500


def remote_error(payload: bytes) -> Dict[str, Any]:
    """Return the dict of a remote exception; empty if it is too long to be examined, or malformed."""
    if len(payload) > EXAMINED_BYTES:
        return {}
    try:
        error = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return error if type(error) is dict else {}


def status_of_reply(reply: Reply, member: str) -> Tuple[int, Headers]:
    """Return the status for a reply of an object, and headers to add.

    Args:
        member: the name of the method or attribute.
    """
    if reply.ok:
        return 200, ()
    error = remote_error(reply.payload)
    name, text = error.get("__class__"), _text(error)
    if name == "builtins.TypeError" and re.search(r"\b" + re.escape(member) + _BAD_ARGUMENTS, text):
        return 400, ()
    if name == "Pyro5.errors.SecurityError":
        return 403, ()
    if text.startswith(_STOPPED):   # the class is PyroError or TimeoutError, which clients of all releases know
        return (504 if text.endswith(_LATE) else CANCELLED), ()
    attributes = error.get("attributes")
    # Another client has the object for itself. A BusyError is sent as the class that all clients know.
    if name == "Pyro5.errors.DaemonError" and type(attributes) is dict and "retry_after" in attributes:
        return 503, (("Retry-After", RETRY_AFTER_SECONDS),)
    return 500, ()


def _text(error: Dict[str, Any]) -> str:
    arguments: Optional[Any] = error.get("args")
    return arguments[0] if type(arguments) is list and arguments and type(arguments[0]) is str else ""
