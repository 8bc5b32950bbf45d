"""The fuzzer: some of its cases, what it found once, and that it notices what it is there for."""
from __future__ import annotations

import os
import socket
import time
import unittest
from typing import Any
from unittest import mock

from Pyro5._calls.decoding import RequestDecoder
from Pyro5._values.marshal import check
from Pyro5._values.uri import URI

from .fuzz import cases, live, served, targets, watch, worker
from .support import run_tool

SEED = 502
# Cases in which something was found. (Of the repaired defects there are tests of their own, too: cases change with the
# recordings that they are made of.)
FOUND = ((502, 370971), (6, 527054))


class Cases(unittest.TestCase):
    def test_some(self) -> None:
        """In a process of their own, without the debugger of memory: that writes all over the gigabytes of a lie."""
        result = watch.Watched(SEED, 0, 1500).run()
        self.assertEqual((1500, []), (result.cases, result.findings))

    def test_found_ones(self) -> None:
        with targets.Targets() as all_targets:
            for seed, number in FOUND:
                self.assertIsNone(worker.run_case(all_targets, seed, number))

    def test_the_same_every_time(self) -> None:
        made = [cases.make_case(SEED, number) for number in range(300)]
        self.assertEqual(made, [cases.make_case(SEED, number) for number in range(300)])
        self.assertNotEqual(made, [cases.make_case(SEED + 1, number) for number in range(300)])
        self.assertEqual({cases.READER, cases.SESSION, cases.REPLY, cases.PAYLOAD, cases.URI, cases.PROOFS},
                         {case.kind for case in made})

    def test_live(self) -> None:
        result = live.LiveTarget("multiplex", SEED).run(100)
        self.assertEqual((100, []), (result.cases, result.findings))


class Findings(unittest.TestCase):
    """What must not be is noticed."""

    def found(self, kind: str, patch: Any, count: int = 400) -> Any:
        numbers = [number for number in range(4 * count) if cases.make_case(SEED, number).kind == kind][:count]
        with targets.Targets() as all_targets, patch:
            return [found["what"] for found in (worker.run_case(all_targets, SEED, number) for number in numbers) if found]

    def test_exceptions(self) -> None:
        patch = mock.patch.object(check, "loads", side_effect=SystemError("broken"))
        self.assertIn("SystemError: broken", self.found(cases.PAYLOAD, patch))

    def test_connections(self) -> None:
        def connecting(data: Any) -> Any:
            with socket.socket() as sock:
                sock.connect_ex(("127.0.0.1", 1))
            raise ValueError("refused")
        found = self.found(cases.PAYLOAD, mock.patch.object(check, "loads", connecting))
        self.assertIn("Finding: connected to ('127.0.0.1', 1), which the data asked for", found)

    def test_exceptions_on_their_way_to_a_client(self) -> None:
        def broken(*args: Any) -> None:
            raise RuntimeError("broken")
        with self.assertLogs("Pyro5", "WARNING"), mock.patch.object(targets, "LIBRARY", os.path.dirname(__file__)):
            found = self.found(cases.SESSION, mock.patch.object(RequestDecoder, "parse", broken), 50)
        self.assertIn("Finding: raised in the library: RuntimeError('broken')", found)

    def test_wrong_results(self) -> None:
        found = self.found(cases.URI, mock.patch.object(URI, "__eq__", lambda one, other: False))
        self.assertTrue(any("is not the same as" in what for what in found), found)

    def test_what_is_logged_as_an_error(self) -> None:
        patch = mock.patch.object(served.FuzzedDaemon, "annotations", side_effect=ValueError("hook"))
        with self.assertLogs("Pyro5", "WARNING"):
            found = self.found(cases.SESSION, patch, 100)
        self.assertTrue(any("logged as an error" in what for what in found), found)

    def test_slowness(self) -> None:
        with mock.patch.object(worker, "SLOW_SECONDS", 0.0):
            self.assertTrue(self.found(cases.PAYLOAD, mock.patch.object(time, "strftime"), 2)[0].startswith("slow"))

    def test_crashes_and_hangs(self) -> None:
        """The case is noted, and the work goes on behind it."""
        for program, what, hang_seconds in (("import os; os._exit(3)", "crash: exit code 3", watch.HANG_SECONDS),
                                            ("import threading; threading.Event().wait(60)", "hang: no progress", 0.2)):
            with mock.patch.multiple(watch, WORKER=("-c", program), HANG_SECONDS=hang_seconds, LOOK_SECONDS=0.05):
                result = watch.Watched(SEED, 7, 2).run()
            self.assertEqual([7, 8], [finding["case"] for finding in result.findings])
            self.assertTrue(all(finding["what"].startswith(what) for finding in result.findings), result.findings)


class CommandLine(unittest.TestCase):
    def test_figures(self) -> None:
        done = run_tool("tests.fuzz", "--messages", 200, "--seed", SEED)
        self.assertEqual(0, done.exit_code, done.err)
        self.assertRegex(done.out, r"in process: 200 messages, \d+ per second")
        self.assertIn("0 findings", done.out)

    def test_one_case(self) -> None:
        done = run_tool("tests.fuzz", "--seed", SEED, "--only", 3)
        self.assertEqual((0, "nothing found"), (done.exit_code, done.out.splitlines()[-1]))


if __name__ == "__main__":
    unittest.main()
