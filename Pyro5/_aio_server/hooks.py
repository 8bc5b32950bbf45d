"""The parts and functions of a daemon that its server uses."""
from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, NamedTuple, Optional

from .._server.connection import ServerConnection
from .calls import CallsInLoop
from .dispatch import LoopDispatcher

__all__ = ["DaemonHooks"]


class DaemonHooks(NamedTuple):
    """The parts and functions of a daemon that its server uses.

    Attributes:
        async_validator: returns validateHandshake if that is a coroutine function, else None.
        has_own_validator: returns whether validateHandshake may block: the program has overridden it.
        async_annotations: returns annotations if that is a coroutine function, else None.
        must_pause: returns whether to stop reading from a client until some of its oneway calls are done.
        apply_settings: applies changed settings. Called for each request.
        after_job: called in a thread of the pool after each request.
        ends_without_user_code: returns whether the end of a connection runs no code of the program ...
        free: ... and frees what belongs to the connection then.
        connection_ended: frees what belongs to a connection, and runs the code of the program.
    """

    dispatcher: LoopDispatcher
    calls: CallsInLoop
    async_validator: Callable[[], Optional[Callable[[Any, Any], Awaitable[Any]]]]
    has_own_validator: Callable[[], bool]
    async_annotations: Callable[[], Optional[Callable[[], Awaitable[Dict[str, Any]]]]]
    must_pause: Callable[[ServerConnection], bool]
    apply_settings: Callable[[], None]
    after_job: Callable[[], None]
    ends_without_user_code: Callable[[ServerConnection], bool]
    free: Callable[[ServerConnection], None]
    connection_ended: Callable[[ServerConnection], Awaitable[None]]
