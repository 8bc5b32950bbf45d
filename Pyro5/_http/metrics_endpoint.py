"""Serve the metrics and the health of a daemon over HTTP, for monitoring systems and load balancers."""
from __future__ import annotations

import os
import threading
from typing import Any, Callable, Dict, Iterable, List, Tuple

from .._observe.metrics_text import CONTENT_TYPE, metrics_text
from .connection import Limits
from .server import HttpServer

_TEXT = "text/plain; charset=utf-8"
MAX_CLIENTS = 32


class MetricsEndpoint:
    """Answers ``/metrics``, ``/healthz`` and ``/readyz`` in a thread, until it is closed.

    Args:
        address: ``host:port``; port 0 is any free one.
        report: returns what Daemon.statistics() returns.
        health: returns what Daemon.health() returns.

    Attributes:
        port: the port that it listens on.

    Raises:
        OSError: cannot listen on that address.
        ValueError: it is not an address.
    """

    def __init__(self, address: str, report: Callable[[], Dict[str, Any]], health: Callable[[], str]) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("the address for metrics is host:port, not %r" % (address,))
        self._process = os.getpid()
        self._report = report
        self._health = health
        self._server = HttpServer(self._answer, host.strip("[]"), int(port), Limits(connections=MAX_CLIENTS))
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve, name="Pyro-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and free the port. Can be called more than once."""
        if os.getpid() != self._process:
            return  # forked: it belongs to the process that supervises this one
        self._server.stop()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._server.close()

    def _answer(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, content_type, body = self._response(environ)
        data = body.encode("utf-8")
        headers: List[Tuple[str, str]] = [("Content-Type", content_type), ("Content-Length", str(len(data))),
                                          ("Cache-Control", "no-store")]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]

    def _response(self, environ: Dict[str, Any]) -> Tuple[str, str, str]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", _TEXT, "only GET\n"
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE, metrics_text([({}, self._report())])
        if path == "/healthz":  # the process runs, and answers
            return "200 OK", _TEXT, "ok\n"
        if path == "/readyz":
            state = self._health()
            return "200 OK" if state == "SERVING" else "503 Service Unavailable", _TEXT, state + "\n"
        return "404 Not Found", _TEXT, "there are /metrics, /healthz and /readyz\n"
