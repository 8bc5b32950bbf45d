"""The tools that show what servers do: ping, stats and top."""
from __future__ import annotations

import json
import unittest
from typing import Any
from unittest import mock

from Pyro5._cli.server_stats import duration, lines_of
from Pyro5.api import Daemon, Proxy, expose, start_ns
from Pyro5.tools import ping, stats, top

from ..support import daemon_thread, run_main


@expose
class Kettle:
    def boil(self) -> str:
        return "tea"

    def leak(self) -> None:
        raise ValueError("wet\nfloor")


class Tools(unittest.TestCase):
    daemon: Any
    uri: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon("127.0.0.1")
        cls.addClassCleanup(cls.daemon.close)
        running = daemon_thread(cls.daemon)
        running.__enter__()
        cls.addClassCleanup(running.__exit__, None, None, None)
        cls.uri = cls.daemon.register(Kettle(), "kettle")
        with Proxy(cls.uri) as kettle:
            kettle.boil()
            try:
                kettle.leak()
            except ValueError:
                pass

    def test_stats(self) -> None:
        result = run_main(stats.main, self.uri)
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertRegex(result.out, r"^127\.0\.0\.1:\d+  SERVING  process \d+  up ")
        self.assertRegex(result.out, r"(?m)^OBJECT +METHOD +CALLS +CALLS/S +ERRORS +MEAN +P50 +P99$")
        self.assertRegex(result.out, r"(?m)^kettle +boil +1 +[\d.]+ +0 +[\d.]+ [mu]s ")
        self.assertIn("last error of kettle.leak: ValueError: wet", result.out)
        found = json.loads(run_main(stats.main, "--json", self.uri).out)
        self.assertEqual(1, found["objects"]["kettle"]["leak"]["errors"])

    def test_stats_of_several_processes(self) -> None:
        found = {**self.daemon.statistics(), "processes": [7, 8]}
        self.assertRegex(next(stats.report(found)), r"^\S+  SERVING  2 processes  up ")

    def test_ping(self) -> None:
        result = run_main(ping.main, "--count", "2", "--interval", "0", self.uri)
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertRegex(result.out, r"(?s)^(PYRO:kettle@\S+: [\d.]+ [mu]?s\n){2}SERVING; connected in ")
        found = json.loads(run_main(ping.main, "--count", "1", "--json", self.uri).out)
        self.assertEqual(("SERVING", 1), (found["health"], len(found["times"])))
        self.daemon.set_health(False, "kettle")
        self.addCleanup(self.daemon.set_health, True, "kettle")
        result = run_main(ping.main, "--count", "1", self.uri)
        self.assertEqual(1, result.exit_code)
        self.assertIn("the object is not served", result.err)
        self.assertEqual(2, run_main(ping.main, "-c", "0", self.uri).exit_code)

    def test_an_interrupted_ping_shows_what_it_has_measured(self) -> None:
        with mock.patch.object(ping, "_round_trip", side_effect=[0.25, 0.5, KeyboardInterrupt]):
            result = run_main(ping.main, "-c", "9", "--interval", "0", self.uri)
        self.assertEqual(130, result.exit_code)
        self.assertIn("fastest 250 ms, median 375 ms, slowest 500 ms\n", result.out)

    def test_a_server_without_statistics(self) -> None:
        class Older:
            @expose
            def ping(self) -> None:
                """Does nothing."""

        with Daemon("127.0.0.1", interface=lambda daemon: Older()) as daemon, daemon_thread(daemon):  # type: ignore[arg-type]
            uri = daemon.register(Kettle(), "kettle")
            result = run_main(stats.main, uri)
            self.assertEqual(1, result.exit_code)
            self.assertIn("no statistics", result.err)
            self.assertEqual(0, run_main(ping.main, "--count", "1", uri).exit_code)

    def test_statistics_that_are_none_are_refused(self) -> None:
        for nonsense in ({}, {**self.daemon.statistics(), "objects": {"a": {"b": {"calls": "many"}}}}, [1]):
            with mock.patch("Pyro5._daemon.daemon_object.report", lambda daemon, found=nonsense: {"objects": {}, **dict(found)}
                            if isinstance(found, dict) else {"objects": {}}):
                with mock.patch("Pyro5._daemon.daemon_object.visible_rows", lambda objects, *rest: objects):
                    result = run_main(stats.main, self.uri)
            self.assertEqual(1, result.exit_code)
            self.assertIn("did not send statistics", result.err)

    def test_top(self) -> None:
        _uri, names, _broadcast = start_ns("127.0.0.1", 0, enableBroadcast=False)
        with names, daemon_thread(names):
            names.nameserver.register("kitchen.kettle", self.uri)
            generated = self.daemon.register(Kettle())
            names.nameserver.register("kitchen.spare", generated)
            with Proxy(generated) as spare:
                spare.boil()
            port = names.locationStr.rpartition(":")[2]
            result = run_main(top.main, "-H", "127.0.0.1", "-p", port, "--once")
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertIn("%s  SERVING  clients: " % self.daemon.locationStr, result.out)
        self.assertRegex(result.out, r"(?m)^kettle@\S+ +boil +1 ")
        self.assertRegex(result.out, r"(?m)^kitchen\.spare@\S+ +boil +1 ")
        self.assertNotIn("Pyro.Daemon@", result.out)

    def test_a_server_that_cannot_be_reached(self) -> None:
        self.assertIn("here  gone", "\n".join(top.screen({"here": ConnectionError("gone")}, {}, mock.Mock(all=False))))

    def test_rates_are_those_since_the_last_time(self) -> None:
        before = {"since": 1.0, "uptime": 10.0, "objects": {"a": {"m": {"calls": 5}}}}
        now = {"since": 1.0, "uptime": 12.0, "objects": {"a": {"m": {
            "calls": 11, "errors": 0, "mean": 0.5, "p50": None, "p99": 1.0}}}}
        self.assertEqual(3.0, next(lines_of(now, before)).rate)
        self.assertAlmostEqual(11 / 12, next(lines_of(now, {**before, "since": 0.0})).rate or 0.0)

    def test_durations(self) -> None:
        self.assertEqual(["-", "1.5 s", "20 ms", "0.5 us", "1 min 30 s", "2 h 5 min", "3 d 1 h"], [
            duration(each) for each in (None, 1.5, 0.02, 5e-7, 90.5, 7500, 3 * 86400 + 3700)])


if __name__ == "__main__":
    unittest.main()
