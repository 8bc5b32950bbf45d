"""Metrics as text for Prometheus, health over HTTP: of a daemon, and of a gateway."""
from __future__ import annotations

import re
import unittest
import urllib.error
import urllib.request
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from Pyro5 import aio
from Pyro5._observe.metrics_text import metrics_text
from Pyro5.api import Daemon, Proxy, expose

from ..gateways import GatewayTestCase
from ..support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


class Sample(NamedTuple):
    """A line of the format."""

    labels: Tuple[Tuple[str, str], ...]
    value: float


def parse(text: str) -> Dict[str, List[Sample]]:
    """Parse the text format strictly: each sample belongs to the metric of the last TYPE line, and is there once."""
    found: Dict[str, List[Sample]] = {}
    kinds: Dict[str, str] = {}
    current = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
        elif line.startswith("# TYPE "):
            _hash, _type, name, kind = line.split()
            assert name == current and name not in kinds and kind in ("counter", "gauge", "histogram"), line
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            suffixes = ("_bucket", "_sum", "_count") if kinds[current] == "histogram" else ("",)
            allowed = [current + suffix for suffix in suffixes]
            assert match[1] in allowed, line
            assert kinds[current] != "counter" or current.endswith("_total"), line
            sample = Sample(tuple(sorted(LABEL.findall(match[2] or ""))), float(match[3]))
            samples = found.setdefault(match[1], [])
            assert sample.labels not in [each.labels for each in samples], line
            samples.append(sample)
    return found


def values(found: Dict[str, List[Sample]], name: str, **labels: str) -> List[float]:
    return [sample.value for sample in found[name] if labels.items() <= dict(sample.labels).items()]


def get(port: int, path: str) -> Tuple[int, str, str]:
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=PATIENCE_SECONDS) as response:
            return response.status, response.headers["Content-Type"], response.read().decode("utf-8")
    except urllib.error.HTTPError as x:
        with x:
            return x.code, x.headers["Content-Type"], x.read().decode("utf-8")


@expose
class Thing:
    def use(self) -> None:
        """Does nothing."""

    def fail(self) -> None:
        raise ValueError("secret")

    def items(self) -> Iterator[int]:
        yield 1


def use(uri: Any) -> None:
    with Proxy(uri) as proxy:
        proxy.use()
        proxy.use()
        try:
            proxy.fail()
        except ValueError:
            pass


class Text(unittest.TestCase):
    def test_labels_are_escaped(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            report = daemon.statistics()
        row = {"calls": 3, "errors": 1, "seconds": 0.5, "buckets": [0] * 10 + [3]}
        report["objects"] = {'a "b" \\ \n c': {"use": row}}
        found = parse(metrics_text([({"location": "here"}, report), ({"location": "there"}, report)]))
        self.assertEqual([3.0, 3.0], values(found, "rpc_server_call_duration_seconds_count", rpc_method="use"))
        self.assertEqual([0.0, 3.0], values(found, "rpc_server_call_duration_seconds_bucket", location="here",
                                            rpc_service='a \\"b\\" \\\\ \\n c')[2:4])


class OfADaemon(unittest.TestCase):
    def check(self, daemon: Any) -> None:
        use(daemon.register(Thing(), "thing"))
        status, content_type, text = get(daemon.metrics_port, "/metrics")
        self.assertEqual((200, "text/plain; version=0.0.4; charset=utf-8"), (status, content_type))
        found = parse(text)
        buckets = values(found, "rpc_server_call_duration_seconds_bucket", rpc_service="thing", rpc_method="use")
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(2.0, buckets[-1])
        self.assertEqual([1.0], values(found, "rpc_server_call_errors_total", rpc_service="thing", rpc_method="fail"))
        self.assertEqual([1.0], values(found, "pyro_server_serving"))
        self.assertNotIn("secret", text)
        self.assertEqual((200, "ok\n"), get(daemon.metrics_port, "/healthz")[::2])
        self.assertEqual((200, "SERVING\n"), get(daemon.metrics_port, "/readyz")[::2])
        daemon.set_health(False)
        self.assertEqual((503, "NOT_SERVING\n"), get(daemon.metrics_port, "/readyz")[::2])
        self.assertEqual(404, get(daemon.metrics_port, "/other")[0])

    def test_metrics_and_health(self) -> None:
        with Daemon("127.0.0.1", metrics="127.0.0.1:0") as daemon, daemon_thread(daemon):
            self.check(daemon)
        self.assertIsNone(daemon.metrics_port)

    def test_in_an_event_loop(self) -> None:
        daemon = aio.Daemon("127.0.0.1", metrics="127.0.0.1:0")
        with aio_daemon_thread(daemon):
            self.check(daemon)

    def test_wrong_addresses(self) -> None:
        for address in "9464", "127.0.0.1:x", "127.0.0.1:99999":
            with self.assertRaisesRegex(ValueError, "host:port"):
                Daemon("127.0.0.1", metrics=address)


class OfAGateway(GatewayTestCase):
    def test_the_servers_behind_it(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            use(daemon.register(Thing(), "thing"))
            use(daemon.register(Thing(), "hidden"))
            self.site.names.register("http.thing", daemon.uriFor("thing"))
            generated = daemon.register(Thing())
            use(generated)
            self.site.names.register("http.generated", generated)
            answer = self.client.get("/metrics")
            self.assertEqual(200, answer.status)
            text = answer.body.decode("utf-8")
            found = parse(text)
            labels = {"location": daemon.locationStr, "rpc_service": "thing"}
            self.assertEqual([1.0], values(found, "rpc_server_call_errors_total", rpc_method="fail", **labels))
            self.assertEqual([1.0], values(found, "pyro_server_up", location=daemon.locationStr))
            labels = {"location": daemon.locationStr, "rpc_service": "http.generated"}
            self.assertEqual([1.0], values(found, "rpc_server_call_errors_total", rpc_method="fail", **labels))
            self.assertNotIn("hidden", text)
            self.assertNotIn("obj_", text)
        self.assertEqual((200, 200), (self.client.get("/healthz").status, self.client.get("/readyz").status))

if __name__ == "__main__":
    unittest.main()
