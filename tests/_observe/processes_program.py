"""A server with several processes that shows what happens in each of them, for the tests: processes_program.py PROCESSES

It prints a line for each call that an interceptor sees, for each span, and what it logs; each begins with the process.
"""
from __future__ import annotations

import importlib.util
import logging
import os
import sys
from typing import Any

from Pyro5.api import Daemon, Proxy, current_context, expose
from Pyro5.observe import CorrelationFilter, opentelemetry


def write(text: str) -> None:
    # One system call for each line: the processes write to the same pipe.
    os.write(sys.stdout.fileno(), ("%d %s\n" % (os.getpid(), text)).encode())


@expose
class Shared:
    _pyroDaemon: Any

    def pid(self) -> int:
        return os.getpid()

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def trace(self) -> str:
        logging.getLogger("program").warning("traced")
        return str(current_context.correlation_id)

    def intercept_here(self) -> None:
        """Install another interceptor, in the process that serves this call."""
        self._pyroDaemon.intercept(lambda call, proceed: [proceed(), "here"])

    def wait(self) -> None:
        current_context.cancelled.wait(60)

    def call_wait(self, uri: str) -> Any:
        """Call `wait` in another process."""
        while True:
            with Proxy(uri) as proxy:
                if proxy.pid() != os.getpid():
                    return proxy.wait()

    def statistics(self) -> Any:
        return self._pyroDaemon.statistics()


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        write(self.format(record).replace("\n", " | "))


def set_up_logging() -> None:
    handler = _Lines()
    handler.addFilter(CorrelationFilter())
    handler.setFormatter(logging.Formatter("log %(name)s %(correlation_id)s %(message)s"))
    logging.getLogger("Pyro5.server").addHandler(handler)
    logging.getLogger("program").addHandler(handler)


def set_up_tracing() -> None:
    """Write the spans, if there is the package for it."""
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"):
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

        class Lines(SpanProcessor):
            def on_end(self, span: Any) -> None:
                write("span %s %s %032x" % (span.kind.name, span.name, span.context.trace_id))

            def force_flush(self, timeout_millis: int = 30000) -> bool:
                write("flushed")
                return True

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Lines())
        opentelemetry.instrument(provider)


def main() -> None:
    set_up_logging()
    set_up_tracing()
    with Daemon(processes=int(sys.argv[1])) as daemon:
        @daemon.intercept
        def audit(call: Any, proceed: Any) -> Any:
            write("call %s.%s" % (call.object_id, call.method))
            if call.kwargs.pop("answer", False):
                return "answered by %d" % os.getpid()
            return proceed()

        print(daemon.register(Shared(), "shared"), flush=True)
        daemon.requestLoop()
        write("calls of trace: %d" % daemon.statistics()["objects"]["shared"].get("trace", {}).get("calls", 0))


if __name__ == "__main__":
    main()
