"""Run the calls of clients through the interceptors of a daemon."""
from __future__ import annotations

import threading
from typing import Any, Callable, Mapping, Optional

from .. import callcontext
from .._messages import requests
from .._messages.requests import Call
from .._objects.objects import PublishedObject
from .._observe.interceptors import InterceptedCall, run
from .deferred import Deferred, DeferredCall


def call_of(connection: Any, call: Call) -> InterceptedCall:
    """Return what interceptors see of the request that is being served."""
    context, running = callcontext.current_context, callcontext.running_call()
    return InterceptedCall(call.object_id, call.method, tuple(call.args), dict(call.kwargs or {}), client=connection,
                           user=context.user, deadline=context.deadline, annotations=context.annotations,
                           correlation_id=context.correlation_id, traceparent=getattr(running, "traceparent", ""),
                           oneway=running is not None and running.is_oneway)


def is_known(published: PublishedObject, call: Call) -> bool:
    """Return whether a call is one of a member that clients may know. The arguments of all others are not looked at."""
    return call.method in published.members.methods or call.method in (requests.GETATTR_METHOD, requests.SETATTR_METHOD)


def with_arguments(call: Call, seen: InterceptedCall) -> Call:
    """Return a call with the arguments that interceptors have left."""
    return Call(call.object_id, call.method, list(seen.args), dict(seen.kwargs))


def intercepted(interceptors: Any, connection: Any, call: Call, prepare: Callable[[Call], Callable[[], Any]],
                start: Callable[[DeferredCall], None], on_error: Callable[..., None]) -> Callable[[], Any]:
    """Return a function that runs a call through interceptors, and returns its result.

    Args:
        prepare: checks that a call is allowed, and returns a function that runs it.
        start: runs an async method in the event loop of the daemon; the thread of the interceptors waits for it.
        on_error: called with the method, its arguments and the exception if an async method fails.
    """
    def run_here() -> Any:
        seen = call_of(connection, call)

        def make() -> Any:
            value = prepare(with_arguments(call, seen))()
            return _wait_for(value, connection, start, on_error) if type(value) is Deferred else value

        return run(interceptors, seen, make)

    return run_here


class _Outcome:
    """Receives the outcome of an async method that a thread waits for."""

    def __init__(self) -> None:
        self.has_ended = threading.Event()
        self.value: Any = None
        self.error: Optional[BaseException] = None
        self.annotations: Mapping[str, Any] = {}

    def set(self, call: DeferredCall, value: Any, error: Optional[BaseException]) -> None:
        """Store the outcome. Runs in the task of the method, and in its context."""
        self.value, self.error, self.annotations = value, error, callcontext.response_to_send()
        self.has_ended.set()


def _wait_for(deferred: Deferred, connection: Any, start: Callable[[DeferredCall], None],
              on_error: Callable[..., None]) -> Any:
    """Run an async method in the event loop of the daemon, and wait for its result."""
    running, outcome = callcontext.running_call(), _Outcome()
    ran_elsewhere = running.runs_elsewhere
    start(DeferredCall(deferred, connection, running, False, start, outcome.set))
    outcome.has_ended.wait()
    running.runs_elsewhere = ran_elsewhere  # again in this thread
    if outcome.annotations:
        callcontext.current_context.response_annotations = dict(outcome.annotations)
    try:
        return deferred.result(outcome.value, outcome.error)
    except Exception as x:
        on_error(deferred.method, deferred.args, deferred.kwargs, x)
        raise
    finally:
        outcome.error = None  # its traceback refers to this frame
