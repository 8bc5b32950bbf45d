"""Spans and metrics of OpenTelemetry for the calls of this process: ``instrument()``.

The trace id is the correlation id of a chain of calls, which servers of all 5.x releases pass on. The span of the caller
reaches servers of this release in the annotation ``TRAC``. The metrics are the histograms ``rpc.server.call.duration`` and
``rpc.client.call.duration``. The package ``opentelemetry-api`` is loaded by `instrument`, and needed by nothing else.
"""
from __future__ import annotations

import contextlib
import importlib
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from .. import __version__
from .._observe import process_end, trace_context
from .._observe.histogram import SHOWN_BOUNDS
from .._observe.interceptors import InterceptedCall, of_asyncio_clients, of_asyncio_daemons, of_clients, of_daemons
from .._observe.statistics import now, shown_id

__all__ = ["instrument", "uninstrument"]

FLUSH_MILLISECONDS = 2000  # for the spans, and for the metrics, of a process that ends

_lock = threading.Lock()  # guards _installed
_installed: List[Tuple[Any, Callable[..., Any]]] = []


def instrument(tracer_provider: Any = None, meter_provider: Any = None) -> None:
    """Make a span for each call that this process makes or serves, and measure how long it takes. Calling it again has no
    effect.

    Arguments and results are not recorded; exceptions are.

    Args:
        tracer_provider: of the package opentelemetry; None for the one of the program.
        meter_provider: likewise, for the metrics.

    Raises:
        ImportError: the package opentelemetry-api is not installed.
    """
    instrumented = _Instrumented(_load("trace"), tracer_provider, _load("metrics"), meter_provider)
    with _lock:
        if _installed:
            return
        for interceptors, function in ((of_clients, instrumented.call), (of_asyncio_clients, instrumented.call_async),
                                       (of_daemons, instrumented.serve), (of_asyncio_daemons, instrumented.serve_async),
                                       (process_end, instrumented.flush)):
            interceptors.add(function)
            _installed.append((interceptors, function))


def uninstrument() -> None:
    """Make no more spans, and measure no more calls."""
    with _lock:
        while _installed:
            interceptors, function = _installed.pop()
            interceptors.remove(function)


def _load(name: str) -> Any:
    try:
        return importlib.import_module("opentelemetry." + name)
    except ModuleNotFoundError as x:
        raise ImportError("tracing needs the package opentelemetry-api: %s" % x) from x


def _histogram(meter: Any, name: str, description: str) -> Any:
    arguments = {"unit": "s", "description": description}
    try:
        # The default buckets are for milliseconds: nearly all calls would be in the first one.
        return meter.create_histogram(name, explicit_bucket_boundaries_advisory=SHOWN_BOUNDS, **arguments)
    except TypeError:  # an old release of the package
        return meter.create_histogram(name, **arguments)


class _Instrumented:
    """The interceptors."""

    def __init__(self, trace: Any, tracer_provider: Any, metrics: Any, meter_provider: Any) -> None:
        self._trace = trace
        self._tracer = trace.get_tracer("Pyro5", __version__, tracer_provider)
        self._providers = [tracer_provider or trace.get_tracer_provider(), meter_provider or metrics.get_meter_provider()]
        meter = metrics.get_meter("Pyro5", __version__, meter_provider)
        self._served = _histogram(meter, "rpc.server.call.duration", "Durations of the calls that this process serves.")
        self._made = _histogram(meter, "rpc.client.call.duration", "Durations of the calls that this process makes.")

    def call(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Make the span of a call that this process makes."""
        with self._observed(call, self._trace.SpanKind.CLIENT, self._parent_of_client(call), self._made) as span:
            self._send_with(call, span)
            return proceed()

    async def call_async(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Do the same for an asyncio proxy."""
        with self._observed(call, self._trace.SpanKind.CLIENT, self._parent_of_client(call), self._made) as span:
            self._send_with(call, span)
            return await proceed()

    def serve(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Make the span of a call that this process serves."""
        with self._observed(call, self._trace.SpanKind.SERVER, self._remote(call), self._served):
            return proceed()

    async def serve_async(self, call: InterceptedCall, proceed: Callable[[], Any]) -> Any:
        """Do the same for an asyncio daemon."""
        with self._observed(call, self._trace.SpanKind.SERVER, self._remote(call), self._served):
            return await proceed()

    def flush(self) -> None:
        """Send what was recorded: the process ends, without the functions of `atexit` by which the package does this."""
        for provider in self._providers:
            force_flush = getattr(provider, "force_flush", None)  # of the SDK
            if force_flush is not None:
                force_flush(FLUSH_MILLISECONDS)

    @contextlib.contextmanager
    def _observed(self, call: InterceptedCall, kind: Any, parent: Any, durations: Any) -> Iterator[Any]:
        attributes = {"rpc.system": "pyro5", "rpc.service": call.object_id, "rpc.method": call.method}
        if call.user is not None:
            attributes["enduser.id"] = call.user
        with self._tracer.start_as_current_span("%s/%s" % (call.object_id, call.method), parent, kind, attributes) as span:
            measured = _measured_attributes(call)
            started = now()
            try:
                yield span
            except BaseException as x:
                measured["error.type"] = type(x).__qualname__
                raise
            finally:
                durations.record(now() - started, measured)  # inside of the span, which may become its exemplar

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


def _measured_attributes(call: InterceptedCall) -> Dict[str, str]:
    """Return the attributes of a measured duration: each combination of values is a time series of its own."""
    # rpc.system is the older name of rpc.system.name.
    return {"rpc.system": "pyro5", "rpc.system.name": "pyro5", "rpc.service": shown_id(call.object_id),
            "rpc.method": call.method}
