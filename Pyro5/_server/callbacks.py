"""The functions of a daemon that its socket server calls."""
from __future__ import annotations

from typing import Callable, Optional

from .. import NamedTuple, errors
from ..protocol import SendingMessage
from .connection import ServerConnection

PlainAnswer = Callable[[ServerConnection, bytes, Optional[bytes]], bool]  # see PlainCalls.answer


class DaemonCallbacks(NamedTuple):
    """The functions of a daemon that its socket server calls.

    Attributes:
        handle_request: answers the message at hand. Called by the thread that owns the connection.
        answer_plainly: answers what has been received if it is a plain call. Called as handle_request.
        build_refusal: returns the reply to data that cannot be parsed, None if there is none. Called by the loop.
        connection_ended: frees what belongs to a connection. Runs user code, so the thread server calls it in a worker ...
        ends_without_user_code: ... unless this returns True.
        must_pause: returns whether to stop reading from a client until some of its oneway calls are done.
        tick: does periodic work. Called by the loop every few seconds.
        finish: called at the end with a number of seconds; waits at most this long for what else runs.
        in_async_loop: returns whether the calling thread runs the async methods.
    """

    handle_request: Callable[[ServerConnection], None]
    answer_plainly: PlainAnswer
    build_refusal: Callable[[ServerConnection, errors.ProtocolError], Optional[SendingMessage]]
    connection_ended: Callable[[ServerConnection], None]
    ends_without_user_code: Callable[[ServerConnection], bool]
    must_pause: Callable[[ServerConnection], bool]
    tick: Callable[[], None]
    finish: Callable[[float], None]
    in_async_loop: Callable[[], bool]
