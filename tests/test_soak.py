"""The soak runs, and judges right; whether the lines are flat is for a long run to say."""
from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence
from unittest import mock
from xml.etree import ElementTree

from Pyro5 import config
from Pyro5._values.uri import URI

from .soak import __main__ as program
from .soak import chart, clients, figures, rude, runner, servers
from .soak.machine import usage
from .soak.meter import Meter, bucket_of, merge, percentile
from .support import daemon_thread

STEPS = 12
SVG = "{http://www.w3.org/2000/svg}"


class Clients(unittest.TestCase):
    """All kinds of them, against servers in this process."""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        self.folder = self.at_end.enter_context(tempfile.TemporaryDirectory())
        self.uris: Dict[str, str] = {}
        for kind in figures.SERVERS:
            daemon = self.at_end.enter_context(daemon_thread(servers.make_daemon(kind, self.folder)))
            self.uris[kind] = str(daemon.uriFor("Pyro.NameServer" if kind == "names" else servers.OBJECT))

    def take_steps(self, client: clients.Client, count: int) -> None:
        done = 0
        while done < count:
            with contextlib.closing(client.steps()) as steps:
                while done < count and client._step(steps):
                    done += 1

    @mock.patch.object(clients, "BULK_BYTES", 1000)
    def test_all_of_them_get_what_they_want(self) -> None:
        meter = Meter()
        for kind in clients.KINDS:
            for client in clients.make_clients(kind, self.uris, meter):
                if not isinstance(client, clients.Rude):
                    self.take_steps(client, 4 if kind == "bulk" else STEPS)
        taken = meter.take()
        self.assertEqual({"thread", "multiplex", "names"}, set(taken["done"]))
        self.assertEqual([STEPS] * 3, [sum(count for _, count in taken["times"][where]) for where in figures.SERVERS])

    def test_every_rude_way_is_survived(self) -> None:
        for uri in self.uris.values():
            with rude.Crowd(URI(uri)) as crowd, mock.patch.object(rude, "SILENT", 1):
                for way in (*rude.WAYS, rude.keep_silent):
                    way(crowd)
        meter = Meter()
        self.take_steps(clients.make_clients("calls", self.uris, meter)[0], 1)

    def test_a_mistake_is_reported_and_the_client_goes_on(self) -> None:
        stop, meter = threading.Event(), Meter()

        class Stopping(clients.Visitor):
            def steps(self) -> Any:
                yield from super().steps()
                if meter._done["thread"] > 1:
                    stop.set()
                raise clients.Mistake("this is one")

        Stopping("thread", self.uris["thread"], meter, 1).run(stop)
        taken = meter.take()
        self.assertEqual((2, ["Stopping, thread: Mistake: this is one"] * 2), (taken["failed"], taken["failures"]))


class Short(unittest.TestCase):
    def test_a_run_in_processes(self) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            program.main(["--minutes", "0.01", "--clients", "timing", "--output", str(Path(folder, "new"))])
            result = json.loads(Path(folder, "new", "soak.json").read_text(encoding="utf-8"))
            picture = ElementTree.parse(str(Path(folder, "new", "soak.svg")))
        self.assertEqual(figures.table(result), out.getvalue())
        self.assertEqual(["thread", "multiplex", "names", "timing client"], result["processes"])
        self.assertEqual(6, len(result["samples"]))
        self.assertEqual(len(list(figures.all_series(result))), len(list(picture.iter(SVG + "polyline"))))

    def test_a_process_that_fails_is_an_error(self) -> None:
        with self.assertRaisesRegex(runner.SoakError, "odd ended with exit code 1"):
            with runner.Process("odd", "timeit", "-n1", "-r1", "import os; os._exit(1)") as process:
                process._process.wait()
                with self.assertRaisesRegex(runner.SoakError, "odd has ended by itself, with exit code 1"):
                    process.check()


def made_up(value: Callable[[int], float], failed: int = 0, count: int = 40) -> Dict[str, Any]:
    """Return the result of a run in which the thread server needs so much memory at each second."""
    calls = {"done": {"thread": 5}, "failed": failed, "failures": ["<it>"] * failed, "times": {"thread": [[80, 3], [100, 1]]}}
    return {"format": 1, "date": "2026-11-21", "minutes": 1.0, "pyro": "5.20.0", "python": "CPython 3.11.7", "cores": 2,
            "processes": ["thread", "calls client"], "samples": [
                {"time": float(second), "calls": calls, "usage": {
                    "thread": {"memory": value(second), "threads": 5.0}, "calls client": {"memory": 20.0}}}
                for second in range(1, count + 1)]}


class Judging(unittest.TestCase):
    def growing(self, value: Callable[[int], float]) -> List[str]:
        return [one.title for one in figures.all_series(made_up(value)) if not one.is_flat]

    def test_flat_is_what_stays(self) -> None:
        shapes: Sequence[Callable[[int], float]] = (
            lambda second: 50.0, lambda second: 50.0 + second % 3, lambda second: min(second, 19) * 10.0,
            lambda second: 200.0 if second == 35 else 50.0, lambda second: 100.0 - second)
        for shape in shapes:
            self.assertEqual([], self.growing(shape))

    def test_what_grows_is_not_flat(self) -> None:
        for shape in (lambda second: 50.0 + second * 0.2, lambda second: 50.0 + second * 0.2 + second % 3):
            self.assertEqual(["memory, thread"], self.growing(shape))
        steep = made_up(lambda second: 50.0 + second)
        self.assertEqual("NOT flat: memory, thread: +19.0 MiB; no mistakes", figures.verdict(steep))
        self.assertFalse(figures.is_good(steep))

    def test_mistakes_are_not_good(self) -> None:
        result = made_up(lambda second: 50.0, failed=1)
        self.assertEqual("all 5 lines are flat; 40 MISTAKES", figures.verdict(result))
        self.assertFalse(figures.is_good(result))
        self.assertTrue(figures.is_good(made_up(lambda second: 50.0)))
        self.assertIn("failed: <it>", figures.table(result))

    def test_chart_has_a_line_for_everything(self) -> None:
        for result in (made_up(lambda second: 0.001), made_up(lambda second: second * 1e6, failed=1)):
            root = ElementTree.fromstring(chart.draw(result))
            self.assertEqual(5, len(list(root.iter(SVG + "polyline"))))

    def test_marks_are_round_and_few(self) -> None:
        for largest, step in ((1.0, 0.2), (4.9, 1.0), (10.0, 2.0), (38.0, 10.0), (0.0, 1e-7)):
            self.assertLessEqual(largest / chart.step_of(largest), 5.0)
            self.assertAlmostEqual(step, chart.step_of(largest), 6)

    def test_this_process_uses_something(self) -> None:
        if not Path("/proc/self/status").exists():
            self.skipTest("this system does not say what processes use")
        used = usage(os.getpid())
        self.assertGreater(used["memory"], 1.0)
        self.assertGreaterEqual(used["threads"], 1.0)
        self.assertEqual({}, usage(2 ** 30))


class Measuring(unittest.TestCase):
    def test_percentiles(self) -> None:
        counts = {bucket_of(seconds): count for seconds, count in ((0.001, 90), (0.010, 9), (0.100, 1))}
        for share, expected in ((0.5, 0.001), (0.9, 0.001), (0.99, 0.010), (1.0, 0.1)):
            self.assertAlmostEqual(1.0, percentile(counts, share) / expected, delta=0.1)
        self.assertEqual(0.0, percentile({}, 0.5))

    def test_reports_are_put_together(self) -> None:
        meter = Meter()
        reports = []
        for _ in range(2):
            meter.done("names", 2)
            meter.took("names", 0.001)
            meter.failed("this")
            reports.append(meter.take())
        merged = merge(json.loads(json.dumps(reports)))
        self.assertEqual(({"names": 4}, 2, ["this"] * 2), (merged["done"], merged["failed"], merged["failures"]))
        self.assertEqual({bucket_of(0.001): 2}, merged["times"]["names"])
        self.assertEqual({"done": {}, "failed": 0, "failures": [], "times": {}}, meter.take())


if __name__ == "__main__":
    unittest.main()
