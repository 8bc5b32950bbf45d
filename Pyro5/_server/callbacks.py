"""What the loop calls of the daemon that it works for."""
from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from .. import errors
from ..protocol import SendingMessage
from .connection import ServerConnection


class Hooks(NamedTuple):
    """What the loop calls of the daemon."""

    handle_request: Callable[[ServerConnection], None]  # a message is at hand: answer it
    refusal: Callable[[ServerConnection, errors.ProtocolError], Optional[SendingMessage]]
    connection_ended: Callable[[ServerConnection], None]  # runs user code ...
    ends_at_once: Callable[[ServerConnection], bool]  # ... unless this gives True
    pause: Callable[[ServerConnection], bool]  # shall this client wait until its oneway calls are done?
    tick: Callable[[], None]  # housekeeping
    stopped: Callable[[float], None]  # the end: stop what else runs, within these seconds
