"""The benchmark runs, and reckons right; how fast things are is not a matter of tests."""
from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
import unittest
from dataclasses import replace
from typing import Any, Dict, Iterator, List
from unittest import mock
from xml.etree import ElementTree

from .bench import __main__ as program
from .bench import chart, etcd, figures, report, scaling, steps, threads, watchers
from .bench.footprint import start_up
from .bench.processes import PLACEMENTS, PROJECT, BenchmarkError, Placement, Side
from .bench.limits import together
from .bench.programs import bare, peers, timing
from .bench.programs.cases import CASES
from .bench.progress import Progress
from .bench.runner import matching, measure
from .bench.works import ALL_WORKS
from .support import PATIENCE_SECONDS, ToolProcess, run_tool


def measurement(work: str, side: str = "this", **changes: Any) -> Dict[str, Any]:
    return {"work": work, "server": "thread", "serializer": "marshal", "side": side, "rates": [100.0, 300.0, 200.0],
            "floors": [200.0, 400.0, 1000.0], "besides": [], "error": "", **changes}


def made_up(*measurements: Dict[str, Any]) -> Dict[str, Any]:
    side = {"python": "CPython 3.11.7", "pyro": "5.20.0"}
    return {"format": 1, "date": "2026-11-21", "machine": {"cores": 2}, "rounds": 3, "seconds": 0.1, "placement": "apart",
            "sides": {one["side"]: side for one in measurements}, "bare": [1000.0], "framed": [400.0],
            "measurements": list(measurements), "idle": [
                {"server": "thread", "side": "this", "error": "", "asked": 100, "held": 100, "why": "", "bytes_each": 2000.0,
                 "beside": [90.0, 99.0], "alone": [100.0, 100.0]}],
            "start_up": [{"side": "this", "ping": [0.100, 0.120], "bare": [0.070, 0.060], "plain": [0.02, 0.02],
                          "import": [0.030], "needed": [0.020], "heavy": []}]}


class Quick(unittest.TestCase):
    """A run of everything, as short as can be."""

    result: Dict[str, Any]

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: os.path.join(folder, "new", "result." + name) for name in ("json", "svg")}
            with ToolProcess(
                    "tests.bench", "--quick", "--seconds", "0.0001", "--connections", "3", "--serializers", "json",
                    "--servers", "multiplex", "--json", paths["json"], "--svg", paths["svg"]) as bench:
                bench.process.wait(4 * PATIENCE_SECONDS)    # it starts twenty programs
                cls.run_result = bench.wait()
            if cls.run_result.exit_code:
                raise AssertionError(cls.run_result.err)
            with open(paths["json"], encoding="utf-8") as file:
                cls.result = json.load(file)
            cls.picture = ElementTree.parse(paths["svg"])

    def test_every_case_was_measured(self) -> None:
        works = [work.name for work in ALL_WORKS if work.name in CASES and "json" in work.serializers]
        self.assertEqual(works, [one["work"] for one in self.result["measurements"]])
        for one in self.result["measurements"]:
            self.assertEqual(("", 1, 1), (one["error"], len(one["rates"]), len(one["floors"])), one)
            self.assertGreater(one["rates"][0], 0)
            self.assertGreater(min(one["client_us"] + one["server_us"]), 0)

    def test_limits_and_other_libraries_are_measured_beside(self) -> None:
        measured = {one["work"]: one for one in self.result["measurements"]}
        for name in set(bare.CASES) & set(measured):
            self.assertGreater(min(measured[name]["limits"] + measured[name]["limit_server_us"]), 0, name)
        managers = {one["work"]: one for one in self.result["peers"] if one["peer"] == "managers"}
        self.assertEqual(set(peers.PEERS["managers"].cases) & set(measured), set(managers))
        for one in self.result["peers"]:
            self.assertEqual(("", 1), (one["error"], len(one["samples"])), one)

    def test_idle_connections_are_made(self) -> None:
        self.assertEqual([(3, 3, "")], [(one["asked"], one["held"], one["why"]) for one in self.result["idle"]])

    def test_nothing_large_is_imported(self) -> None:
        self.assertEqual([[]], [one["heavy"] for one in self.result["start_up"]])

    def test_table_and_nothing_else_is_printed(self) -> None:
        self.assertEqual("", self.run_result.err)
        self.assertEqual(report.table(self.result), self.run_result.out)
        self.assertNotIn("\r", self.run_result.out)

    def test_chart_has_a_bar_for_everything(self) -> None:
        bars = [bar for bar in self.picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("class") == "multiplex"]
        self.assertEqual(len(list(figures.figures(self.result))) + 1, len(bars))  # one is in the legend


class Options(unittest.TestCase):
    def test_works_are_chosen_by_name_or_title(self) -> None:
        self.assertEqual(["oneway_sent", "oneway"], [work.name for work in matching("ONEway")])
        self.assertEqual(["large"], [work.name for work in matching("10 mb of by")])

    def test_only_chooses_what_else_is_measured(self) -> None:
        for only, expected in (([], (10000, True)), (["--only", "add"], (0, False)), (["--only", "idle"], (10000, False)),
                               (["--only", "start-up"], (0, True))):
            plan = program.make_plan(program.parse_options(only))
            self.assertEqual(expected, (plan.connections, plan.with_start_up), only)

    def test_unknown_names_are_refused(self) -> None:
        for wrong in (["--serializers", "json,pickle"], ["--servers", "fork"], ["--rounds", "0"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                program.parse_options(wrong)

    def test_a_python_that_is_not_there_is_an_error(self) -> None:
        with self.assertRaisesRegex(SystemExit, "^error: cannot run .*no-python"):
            program.main(["--quick", "--only", "add", "--against", os.path.join(PROJECT, "no-python")])

    def test_two_sides_are_measured_by_turns_and_what_fails_is_left_out(self) -> None:
        plan = program.make_plan(program.parse_options(
            ["--quick", "--rounds", "2", "--only", "a", "--serializers", "marshal,json", "--servers", "thread",
             "--against", PROJECT, "--placement", "free"]))
        without_case = replace(plan.works[0], companion="nosuch", beside_share={"marshal": 1.0, "json": 1.0})
        plan.works = [without_case, *matching("add(")]
        measurements = measure(plan, Progress(io.StringIO()))["measurements"]
        self.assertEqual([("marshal", "this"), ("marshal", "other"), ("json", "this"), ("json", "other")] * 2,
                         [(one["serializer"], one["side"]) for one in measurements])
        self.assertEqual([("KeyError: 'nosuch'", 0)] * 4 + [("", 2)] * 4,
                         [(one["error"], len(one["rates"])) for one in measurements])

    def test_every_work_that_has_a_case_is_known(self) -> None:
        works = {work.name for work in ALL_WORKS} | {work.companion for work in ALL_WORKS if work.companion}
        self.assertEqual(set(), set(CASES) - works)
        self.assertLessEqual(works - set(CASES), {"stream_in_groups", "samples", "samples_as_dicts", "in_flight_uvloop"})

    def test_placements(self) -> None:
        for name in PLACEMENTS:
            placement = Placement(name)
            self.assertIn(placement.name, (name, "free"))
            if placement.name == "apart":
                self.assertEqual(set(), placement.clients & placement.servers)

    def test_a_program_that_fails_tells_why(self) -> None:
        side = Side("this", Placement("free"))
        with self.assertRaisesRegex(BenchmarkError, "NameError"):
            side.run("-c", "nonsense")
        with self.assertRaises(BenchmarkError):
            start_up([Side("other", Placement("free"), os.path.join(PROJECT, "no-python"))], 1, Progress(io.StringIO()))


class Reckoning(unittest.TestCase):
    def test_ratios_are_those_of_the_rounds(self) -> None:
        other = measurement("add", "other", rates=[50.0, 100.0, 1000.0])
        one, = figures.figures(made_up(measurement("add"), other))
        self.assertEqual((200.0, 0.5, 2.0, 100.0), (one.per_second, one.of_floor, one.times_other, one.other_per_second))
        self.assertAlmostEqual(0.5 / 0.85, one.of_target or 0)

    def test_the_furthest_target_counts(self) -> None:
        one, = figures.figures(made_up(measurement("threads", besides=[100.0, 1000.0, 200.0])))
        self.assertEqual((1.0, 1.0), (one.of_beside, one.beside_target))
        self.assertEqual(one.of_floor / (one.target or 0), one.of_target)

    def test_no_target_elsewhere(self) -> None:
        one, = figures.figures(made_up(measurement("threads", server="multiplex", besides=[1.0])))
        self.assertIsNone(one.of_target)

    def test_the_limit_is_the_least_program_or_the_bare_socket(self) -> None:
        one, = figures.figures(made_up(measurement("add", limits=[400.0, 300.0, 400.0], client_us=[3.0], server_us=[5.0])))
        self.assertEqual((0.5, 400.0, 3.0, 5.0), (one.of_limit, one.limit_per_second, one.client_us, one.server_us))
        one, = figures.figures(made_up(measurement("visit", besides=[200.0] * 3)))
        self.assertEqual((1.0, 200.0), (one.of_limit, one.limit_per_second))
        one, = figures.figures(made_up(measurement("threads", besides=[200.0] * 3)))
        self.assertIsNone(one.of_limit)

    def test_the_processor_time_of_connecting_does_not_count(self) -> None:
        used = [0.0]    # by the server

        @contextlib.contextmanager
        def connected() -> Iterator[Any]:
            used[0] += 1
            yield lambda: None
            used[0] += 1
        found = timing.with_processor_time(lambda: timing.rate_of_threads(3, connected, 0.001), lambda: used[0])
        self.assertEqual(0.0, found["server_us"])
        self.assertEqual(6.0, used[0])
        found = timing.with_processor_time(lambda: timing.rate(lambda: connected().__enter__(), 0.001), lambda: used[0])
        self.assertGreater(found["server_us"], 0)
        with self.assertRaisesRegex(ValueError, "a thread has failed"), mock.patch("threading.excepthook"):
            timing.rate_of_threads(3, lambda: contextlib.nullcontext(lambda: 1 / 0), 0.001)

    def test_clients_at_the_same_time(self) -> None:
        # the server used 0.9 of a processor for all of them, as each has seen
        found = together([{"rate": 1000.0, "client_us": 100.0, "server_us": 900.0},
                          {"rate": 3000.0, "client_us": 200.0, "server_us": 300.0}])
        self.assertEqual({"rate": 4000.0, "client_us": 175.0, "server_us": 225.0}, found)

    def test_idle_connections_and_start(self) -> None:
        result = made_up(measurement("add"))
        idle, = figures.idle_figures(result)
        self.assertAlmostEqual(0.945, idle.share)
        self.assertTrue(idle.reached)
        self.assertFalse(idle._replace(bytes_each=6000.0).reached)
        self.assertFalse(idle._replace(held=99).reached)
        start, = figures.start_figures(result)
        self.assertAlmostEqual(0.045, start.longer)
        self.assertAlmostEqual(0.09, start.above_plain or 0)
        self.assertAlmostEqual(1.5, start.of_needed or 0)
        self.assertTrue(start.reached)
        self.assertFalse(start._replace(heavy=["ssl"]).reached)

    def test_numbers_are_written_with_three_digits_or_more(self) -> None:
        self.assertEqual(["1 234 567", "123", "12.3"], [figures.spaced(number) for number in (1234567.2, 123.4, 12.34)])
        self.assertEqual(["1.20", "0.12", "0.0034"], [figures.share_text(share) for share in (1.2, 0.123, 0.00341)])


class Documents(unittest.TestCase):
    result = made_up(measurement("add"), measurement("blob", error="refused: <&>", rates=[], floors=[]))

    marks = "".join("old".join(mark.format(name) for mark in report.MARKS) for name in ("figures", "serializers"))

    def test_figures_of_a_document_are_replaced(self) -> None:
        text = "before\n%s\nafter\n" % self.marks
        rewritten = report.rewrite(text, self.result)
        self.assertIn("| add(20, 22) | 200 (-) |", rewritten)
        self.assertNotIn("old", rewritten)
        self.assertEqual(["before", "after"], [rewritten.splitlines()[0], rewritten.splitlines()[-1]])
        self.assertEqual(rewritten, report.rewrite(rewritten, self.result))

    def test_serializers_are_compared_with_the_first(self) -> None:
        result = made_up(*(measurement("add", serializer=name, rates=[100.0 * number]) for number, name in enumerate(
            ("serpent", "json", "marshal"), 1)))
        self.assertEqual(["| times as fast as serpent | json | marshal |", "| --- | ---: | ---: |",
                          "| add(20, 22) | 2.0 | 3.0 |"], list(report.serializer_table(result)))

    def test_what_stands_beside_has_a_table(self) -> None:
        text = report.markdown(made_up(
            measurement("add"), measurement("visit", besides=[50.0, 100.0, 150.0]),
            measurement("visit", serializer="json", besides=[200.0] * 3)))
        self.assertIn("| connect, call, release | bare socket | `thread` | 2.00 | 1.00 |\n", text)
        self.assertNotIn("stands beside", report.markdown(made_up(measurement("add"))))

    def test_other_libraries_have_a_table(self) -> None:
        sample = {"rate": 50.0, "client_us": 10.0, "server_us": 20.0}
        result = {**made_up(measurement("add", client_us=[1.5], server_us=[2.5], limits=[400.0])), "peers": [
            {"work": "add", "peer": "managers", "samples": [sample], "error": ""},
            {"work": "add", "peer": "rpyc", "samples": [], "error": "refused"}]}
        text = report.markdown(result)
        self.assertIn("| per second, servers with marshal | thread | managers |\n", text)
        self.assertIn("| add(20, 22) | 200 | 50.0 |\n", text)
        self.assertIn("| add(20, 22) | 1.5 / 2.5 |", text)
        self.assertRegex(report.table(result), r"\n  managers +50\.0 +10\.0 +20\.0\n  refused\n")

    def test_a_document_without_marks_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            report.rewrite("text", self.result)

    def test_the_documentation_has_the_marks(self) -> None:
        with open(program.DOCUMENT, encoding="utf-8") as file:
            report.rewrite(file.read(), self.result)

    def test_a_result_is_shown_again(self) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            path, document = os.path.join(folder, "a.json"), os.path.join(folder, "a.md")
            for name, text in ((path, json.dumps(self.result)), (document, self.marks)):
                program.write(name, text)
            program.show([path, "--document", document])
            with open(document, encoding="utf-8") as file:
                self.assertIn("200 (-)", file.read())
        self.assertEqual(report.table(self.result), out.getvalue())

    def test_what_failed_is_told(self) -> None:
        self.assertIn("refused: <&>", report.table(self.result))
        self.assertIn("failed", report.markdown(self.result))
        other = made_up(measurement("add"), measurement("add", "other", error="does not answer", rates=[]))
        self.assertIn("the other: does not answer", report.table(other))
        ElementTree.fromstring(chart.draw(self.result))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ProgressLine(unittest.TestCase):
    def shown(self, stream: io.StringIO) -> List[str]:
        progress = Progress(stream)
        progress.expect(2)
        progress.step("first")
        progress.step("second")
        progress.clear()
        return stream.getvalue().split("\r\033[K")

    def test_on_a_terminal(self) -> None:
        shown = self.shown(Terminal())
        self.assertEqual(["", "first", ""], [shown[0], shown[1], shown[-1]])
        self.assertRegex(shown[2], r"^second, \d+:\d\d left$")

    def test_nowhere_else(self) -> None:
        self.assertEqual([""], self.shown(io.StringIO()))


class Steps(unittest.TestCase):
    def test_every_step_of_a_call(self) -> None:
        found = {name: steps.measure(name, 0.0005) for name in ("serpent", "json")}
        for measured in found.values():
            self.assertEqual(["client"] * 4 + ["server"] * 4, sorted(step.side for step in measured))
        lines = steps.table(found).splitlines()
        self.assertEqual("| side | step | serpent | json |", lines[0])
        self.assertEqual(2 + 8 + 1, len(lines))


class Names(unittest.TestCase):
    def test_measures_name_servers(self) -> None:
        result = run_tool("tests.bench", "names", "--names", "20", "--rounds", "1", "--calls", "1")
        self.assertEqual((0, ""), (result.exit_code, result.err))
        lines = result.out.splitlines()
        self.assertEqual(2 + 7 + 7 + 5, len(lines))
        for line in lines[2:]:
            self.assertRegex(line, r"^(memory|sql|dbm) +\w.* +(\d+ +\d+ +\d+\.\d+ +\d+\.\d+|\d+\.\d)$")

    def test_measures_watchers(self) -> None:
        found = watchers.measure(3, changes=2, registrations=2)
        self.assertEqual(["registration", "registration before", "told", "told at most"], sorted(found))
        self.assertTrue(all(milliseconds > 0 for milliseconds in found.values()), found)

    def test_says_which_limits_are_missed(self) -> None:
        for what, figure, end in (("megabytes", 99.5, "(at most 100)"), ("megabytes", 100.5, "(at most 100: MISSED)"),
                                  ("lookups in comparison", 0.95, "(at least 0.9)"),
                                  ("lookups in comparison", 0.85, "(at least 0.9: MISSED)"), ("lookup, us", 30.0, "30.000")):
            with self.subTest(what, figure=figure):
                self.assertTrue(etcd.line(what, figure).endswith(end), etcd.line(what, figure))


class Processes(unittest.TestCase):
    def test_ratios_are_those_of_the_rounds(self) -> None:
        rates = {"calls, 1": [100.0, 50.0, 200.0], "calls, 2": [190.0, 105.0, 400.0], "bare sockets, 1": [10.0],
                 "bare sockets, 2": [20.0], "nothing, 1": [1000.0], "nothing, 4": [990.0]}
        lines = [line.split() for line in scaling.table(rates, 4, 2, 1.0)]
        self.assertEqual([["100", "190", "2.00"], ["10", "20", "2.00"], ["1000", "990", "0.99"]],
                         [line[-3:] for line in (lines[1], lines[2], lines[4])])

    def test_threads_are_compared_within_the_rounds(self) -> None:
        rates = {"does nothing": {threads.WITHOUT: [150.0, 50.0, 200.0], threads.WITH: [100.0, 50.0, 100.0],
                                  threads.THIS: [300.0, 100.0, 400.0]}}
        lines = [line.split() for line in threads.table(rates, 4)]
        self.assertEqual(["150", "100", "300", "1.50", "0.50"], lines[1][-5:])

    def test_computes_for_a_time_of_the_processor(self) -> None:
        began = time.thread_time()
        scaling.compute(0.001)
        self.assertGreaterEqual(time.thread_time() - began, 0.001)


if __name__ == "__main__":
    unittest.main()
