"""The reasons for which clients and requests are refused, as the statistics name them."""
from __future__ import annotations

from typing import Any, Optional

from .. import errors
from .._objects import permissions

__all__ = ["FULL", "HANDSHAKE", "INVALID", "refusal_reason"]

FULL = "full"  # the limit of connections
HANDSHAKE = "handshake"  # it was invalid or late, the client has proved nothing, or validateHandshake has refused it
INVALID = "invalid"  # data that is no valid message or request
ROLE = "role"  # the user may not call the method
BUSY = "busy"  # another client uses the object exclusively


def refusal_reason(call: Optional[Any], error: Exception) -> str:
    """Return the reason why a request was refused; "" if the exception is that of a call.

    Args:
        call: None if the request could not be decoded.
    """
    if call is None:
        return INVALID
    if isinstance(error, permissions.Refused):
        return ROLE
    if isinstance(error, errors.BusyError) and not error.started:
        return BUSY
    return ""
