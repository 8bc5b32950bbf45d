"""Spans of OpenTelemetry for the calls of this process: ``instrument()``.

The trace id is the correlation id of a chain of calls, which servers of all 5.x releases pass on. The span of the caller
reaches servers of this release in the annotation ``TRAC``. The package ``opentelemetry-api`` is loaded by `instrument`, and
needed by nothing else.
"""
from __future__ import annotations

import importlib
import threading
import uuid
from typing import Any, Callable, List, Optional, Tuple

from .. import __version__
from .._observe import trace_context
from .._observe.interceptors import InterceptedCall, of_asyncio_clients, of_asyncio_daemons, of_clients, of_daemons

__all__ = ["instrument", "uninstrument"]

_lock = threading.Lock()  # guards _installed
_installed: List[Tuple[Any, Callable[..., Any]]] = []


def instrument(tracer_provider: Any = None) -> None:
    """Make a span for each call that this process makes or serves. Calling it again has no effect.

    Arguments and results are not recorded; exceptions are.

    Args:
        tracer_provider: of the package opentelemetry; None for the one of the program.

    Raises:
        ImportError: the package opentelemetry-api is not installed.
    """
    tracing = _Tracing(_load(), tracer_provider)
    with _lock:
        if _installed:
            return
        for interceptors, function in ((of_clients, tracing.call), (of_asyncio_clients, tracing.call_async),
                                       (of_daemons, tracing.serve), (of_asyncio_daemons, tracing.serve_async)):
            interceptors.add(function)
            _installed.append((interceptors, function))


def uninstrument() -> None:
    """Make no more spans."""
    with _lock:
        while _installed:
            interceptors, function = _installed.pop()
            interceptors.remove(function)


def _load() -> Any:
    try:
        return importlib.import_module("opentelemetry.trace")
    except ModuleNotFoundError as x:
        raise ImportError("tracing needs the package opentelemetry-api: %s" % x) from x


class _Tracing:
    """The interceptors."""

    def __init__(self, trace: Any, provider: Any) -> None:
        self._trace = trace
        self._tracer = trace.get_tracer("Pyro5", __version__, provider)

    def call(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Make the span of a call that this process makes."""
        with self._span(call, self._trace.SpanKind.CLIENT, self._parent_of_client(call)) as span:
            self._send_with(call, span)
            return proceed()

    async def call_async(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Do the same for an asyncio proxy."""
        with self._span(call, self._trace.SpanKind.CLIENT, self._parent_of_client(call)) as span:
            self._send_with(call, span)
            return await proceed()

    def serve(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Make the span of a call that this process serves."""
        with self._span(call, self._trace.SpanKind.SERVER, self._remote(call)):
            return proceed()

    async def serve_async(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Do the same for an asyncio daemon."""
        with self._span(call, self._trace.SpanKind.SERVER, self._remote(call)):
            return await proceed()

    def _span(self, call: InterceptedCall, kind: Any, parent: Any) -> Any:
        attributes = {"rpc.system": "pyro5", "rpc.service": call.object_id, "rpc.method": call.method}
        if call.user is not None:
            attributes["enduser.id"] = call.user
        return self._tracer.start_as_current_span("%s/%s" % (call.object_id, call.method), parent, kind, attributes)

    def _parent_of_client(self, call: InterceptedCall) -> Optional[Any]:
        # None: the current span is the parent.
        if self._trace.get_current_span().get_span_context().is_valid:
            return None
        return self._remote(call)

    def _remote(self, call: InterceptedCall) -> Optional[Any]:
        """Return the context of the caller's span; None if there is none."""
        found = trace_context.parse(call.traceparent)
        if found is None:
            if call.correlation_id is None:
                return None
            # The caller has sent its trace, but not its span.
            number = call.correlation_id.int
            found = trace_context.TraceContext(number, number & 0xFFFFFFFFFFFFFFFF or 1, 1)
        context = self._trace.SpanContext(found.trace_id, found.span_id, True, self._trace.TraceFlags(found.flags))
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(context))

    def _send_with(self, call: InterceptedCall, span: Any) -> None:
        context = span.get_span_context()
        if context.is_valid:
            call.correlation_id = uuid.UUID(int=context.trace_id)
            call.traceparent = trace_context.TraceContext(context.trace_id, context.span_id, int(context.trace_flags)).text()
