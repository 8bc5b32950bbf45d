"""Trace contexts that travel with calls, spans of OpenTelemetry, and correlation ids in logs."""
from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
import contextvars
import unittest
import uuid
from typing import Any, Dict, List
from unittest import mock

import Pyro5.api
from Pyro5 import aio, callcontext
from Pyro5._calls.running_calls import RunningCalls
from Pyro5._client.call_options import with_trace
from Pyro5._observe import trace_context
from Pyro5._observe.interceptors import of_asyncio_clients, of_asyncio_daemons, of_clients, of_daemons
from Pyro5._wire import features
from Pyro5.api import Daemon, Proxy, current_context, expose
from Pyro5.observe import CorrelationFilter, opentelemetry
from Pyro5.protocol import MSG_INVOKE, ReceivingMessage, SendingMessage

from ..support import aio_daemon_thread, daemon_thread

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@expose
class Relay:
    """Calls another one, if there is one."""

    def __init__(self, target: Any = None) -> None:
        self._target = target
        self.seen: List[str] = []

    def run(self) -> str:
        self.seen.append(callcontext.call_trace())
        if self._target is None:
            return str(current_context.correlation_id)
        with Proxy(self._target) as proxy:
            return str(proxy.run())

    def fail(self) -> None:
        raise ValueError("no")

    async def run_later(self) -> str:
        async with aio.Proxy(str(self._target)) as proxy:
            return str(await proxy.run())


class Contexts(unittest.TestCase):
    def test_valid_ones_are_parsed_and_written(self) -> None:
        found = trace_context.parse(PARENT)
        assert found is not None
        self.assertEqual(PARENT, found.text())
        self.assertEqual(found, trace_context.parse("01" + PARENT[2:] + "-future"))

    def test_all_others_are_ignored(self) -> None:
        for text in ("", "00", PARENT[:-1], PARENT.upper(), "ff" + PARENT[2:], PARENT.replace("0af7", "0ag7"), PARENT + "x",
                     "00-%s-b7ad6b7169203331-01" % ("0" * 32), "00-%s-%s-01" % ("1" * 32, "0" * 16),
                     PARENT + "-" + "x" * 600, PARENT + "\n"):
            self.assertIsNone(trace_context.parse(text), text)


class OverTheNetwork(unittest.TestCase):
    def setUp(self) -> None:
        for interceptors in of_clients, of_asyncio_clients, of_daemons, of_asyncio_daemons:
            self.addCleanup(setattr, interceptors, "installed", interceptors.installed)

    def test_a_trace_context_is_passed_on_to_nested_calls(self) -> None:
        @Pyro5.api.intercept_clients
        def trace(call: Any, proceed: Any) -> Any:
            if current_context.client is None:
                call.traceparent = PARENT
            return proceed()

        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            last = Relay()
            first = Relay(daemon.register(last, "last"))
            uri = daemon.register(first, "first")
            seen: List[str] = []

            @daemon.intercept
            def look(call: Any, proceed: Any) -> Any:
                seen.append(call.traceparent)
                self.assertNotIn("TRAC", call.annotations)
                return proceed()

            with Proxy(uri) as proxy:
                proxy.run()
                self.assertEqual(([PARENT], [PARENT], [PARENT] * 2), (first.seen, last.seen, seen))
                # It also reaches what an asyncio proxy calls.
                proxy.run_later()
                self.assertEqual(PARENT, last.seen[-1])
                of_clients.installed = ()
                proxy.run()
                self.assertEqual("", last.seen[-1])

    def test_it_is_sent_only_to_servers_that_understand_it(self) -> None:
        old: Dict[str, bytes] = {"MINE": b"1"}
        for known in None, (), ("dl", "cx"):
            self.assertIs(old, with_trace(old, PARENT, known))
        self.assertIs(old, with_trace(old, "", features.SUPPORTED))
        self.assertEqual({"MINE": b"1", "TRAC": PARENT.encode()}, with_trace(old, PARENT, features.SUPPORTED))

    def test_the_annotation_of_clients_without_the_feature_is_the_programs_own(self) -> None:
        request = SendingMessage(MSG_INVOKE, 0, 1, 1, b"", {"TRAC": PARENT.encode()}).data
        for known, text, left in ((None, "", ["TRAC"]), (frozenset(["dl"]), "", ["TRAC"]), (frozenset(["tr"]), PARENT, [])):
            message = ReceivingMessage(request[:40], request[40:])
            call = contextvars.copy_context().run(RunningCalls().begin, mock.Mock(features=known), message)
            self.assertEqual((text, left), (call.traceparent, list(message.annotations)))

    def test_nonsense_is_dropped(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            relay = Relay()
            with Proxy(daemon.register(relay)) as proxy:
                for nonsense in b"\xff\xfe", b"x" * 5000, b"":
                    proxy.run.options(annotations={"TRAC": nonsense})()
            self.assertEqual([""] * 3, relay.seen)


class Logs(unittest.TestCase):
    def test_records_have_the_correlation_id(self) -> None:
        records: List[str] = []
        handler = logging.Handler()
        handler.addFilter(CorrelationFilter())
        handler.setFormatter(logging.Formatter("%(correlation_id)s %(message)s"))
        handler.emit = lambda record: records.append(handler.format(record))  # type: ignore[method-assign]
        log = logging.getLogger("tests.correlation")
        log.addHandler(handler)
        self.addCleanup(log.removeHandler, handler)
        log.error("outside")
        number = uuid.uuid4()
        current_context.correlation_id = number
        self.addCleanup(setattr, current_context, "correlation_id", None)
        log.error("inside")
        log.error("other", extra={"correlation_id": "own"})
        self.assertEqual(["- outside", "%s inside" % number, "own other"], records)


class WithoutOpenTelemetry(unittest.TestCase):
    def test_the_error_names_the_package(self) -> None:
        with mock.patch.dict(sys.modules, {"opentelemetry": None, "opentelemetry.trace": None}):
            with self.assertRaisesRegex(ImportError, "opentelemetry-api"):
                opentelemetry.instrument()
        self.assertEqual((), of_clients.installed)


@unittest.skipUnless(importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"),
                     "opentelemetry-sdk is not installed")
class OpenTelemetry(unittest.TestCase):
    def setUp(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.addCleanup(self.provider.shutdown)
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.addCleanup(meters.shutdown)
        opentelemetry.instrument(self.provider, meters)
        opentelemetry.instrument(self.provider, meters)  # no effect
        self.addCleanup(opentelemetry.uninstrument)

    def spans(self) -> List[Any]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def measured(self) -> Dict[Any, Any]:
        """Return what was measured, by metric, object, method and type of the error."""
        found: Dict[Any, Any] = {}
        for of_resource in self.reader.get_metrics_data().resource_metrics:  # type: ignore[union-attr]
            for of_scope in of_resource.scope_metrics:
                for metric in of_scope.metrics:
                    self.assertEqual(("Pyro5", "s"), (of_scope.scope.name, metric.unit))
                    for point in metric.data.data_points:
                        attributes: Any = point.attributes
                        self.assertEqual("pyro5", attributes["rpc.system.name"])
                        found[metric.name, attributes["rpc.service"], attributes["rpc.method"],
                              attributes.get("error.type")] = point
        return found

    def check_chain(self, spans: List[Any]) -> None:
        """Each span is the child of the one before."""
        self.assertEqual(1, len({span.context.trace_id for span in spans}))
        self.assertEqual([span.context.span_id for span in spans[:-1]], [span.parent.span_id for span in spans[1:]])

    def test_a_chain_of_calls_is_one_trace(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            first = daemon.register(Relay(daemon.register(Relay(), "last")), "first")
            with Proxy(first) as proxy:
                correlation_id = proxy.run()
        spans = self.spans()
        self.assertEqual(["first/run", "first/run", "last/run", "last/run"], [span.name for span in spans])
        self.assertEqual(["CLIENT", "SERVER"] * 2, [span.kind.name for span in spans])
        self.check_chain(spans)
        self.assertEqual(uuid.UUID(int=spans[0].context.trace_id), uuid.UUID(correlation_id))
        self.assertEqual(("pyro5", "first", "run"), tuple(
            spans[0].attributes[name] for name in ("rpc.system", "rpc.service", "rpc.method")))
        self.assertIsNone(spans[0].parent)

    def test_asyncio_clients_and_daemons(self) -> None:
        daemon = aio.Daemon("127.0.0.1")
        uri = str(daemon.register(Relay(), "relay"))

        async def main() -> None:
            async with aio.Proxy(uri) as proxy:
                await proxy.run()

        with aio_daemon_thread(daemon):
            asyncio.run(main())
        spans = self.spans()
        self.assertEqual(["CLIENT", "SERVER"], [span.kind.name for span in spans])
        self.check_chain(spans)

    def test_durations_of_calls_are_measured(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Relay(), "relay")) as proxy, Proxy(daemon.register(Relay())) as generated:
                for called in proxy, proxy, generated:
                    called.run()
                with self.assertRaises(ValueError):
                    proxy.fail()
        aio_daemon = aio.Daemon("127.0.0.1")
        uri = str(aio_daemon.register(Relay(), "later"))

        async def main() -> None:
            async with aio.Proxy(uri) as proxy:
                await proxy.run()
                with self.assertRaises(ValueError):
                    await proxy.fail()

        with aio_daemon_thread(aio_daemon):
            asyncio.run(main())
        measured = self.measured()
        rows = {("relay", "run", None): 2, ("relay", "fail", "ValueError"): 1, ("<generated ids>", "run", None): 1,
                ("later", "run", None): 1, ("later", "fail", "ValueError"): 1}
        self.assertEqual({("rpc.%s.call.duration" % side, *row): count for side in ("server", "client")
                          for row, count in rows.items()}, {key: point.count for key, point in measured.items()})
        for point in measured.values():
            self.assertTrue(0 < point.min <= point.max < 60)
            # of less than a millisecond, and not those for milliseconds that are the default
            self.assertLess(point.explicit_bounds[0], 0.001)

    def test_exceptions_are_recorded(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Relay(), "relay")) as proxy, self.assertRaises(ValueError):
                proxy.fail()
        for span in self.spans():
            self.assertEqual("ERROR", span.status.status_code.name)
            self.assertEqual("no", span.events[0].attributes["exception.message"])

    def test_the_trace_of_a_program_without_spans_is_its_correlation_id(self) -> None:
        number = current_context.correlation_id = uuid.uuid4()
        self.addCleanup(setattr, current_context, "correlation_id", None)
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Relay(), "relay")) as proxy:
                self.assertEqual(str(number), proxy.run())
        self.assertEqual({number.int}, {span.context.trace_id for span in self.spans()})


if __name__ == "__main__":
    unittest.main()
