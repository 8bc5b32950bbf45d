"""Processes that are killed, networks that fail, full disks, no descriptors, clocks that are set: short versions of what
``python -m tests.faults`` does at length.
"""
from __future__ import annotations

import ast
import contextlib
import io
import json
import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import errors
from Pyro5._naming.autoclean import AutoCleaner
from Pyro5._objects.exposure import expose
from Pyro5.nameserver import start_ns

from .faults import __main__ as program
from .faults import cable, descriptors, disk, kills, leases, ledger, relay
from .faults.workload import Caller
from .peers import free_port, settings
from .rawclient import wait_until
from .support import PATIENCE_SECONDS, PROJECT, clean_environment, daemon_thread, run_tool
from .test_server import DaemonTestCase

SERVERTYPES = ("thread", "multiplex")
KILLS, RELAY_STEPS, CABLE_STEPS, LOOKUPS = 8, 12, 2, 10
YEARS = 10 * 365.0 * 86400


class KilledProcesses(unittest.TestCase):
    @unittest.skipIf(kills.why_impossible(), kills.why_impossible())
    def test_nothing_is_lost_repeated_or_mistaken(self) -> None:
        result = run_tool("tests.faults.kills", "thread,multiplex", KILLS, 1)
        self.assertEqual((0, ""), (result.exit_code, result.err), result.out)
        for line in result.out.splitlines():
            summary = ledger.Summary(*json.loads(line))
            self.assertEqual([], summary.problems)
            self.assertGreater(summary.acknowledged, 5)


class KilledLeases(unittest.TestCase):
    def test_names_of_killed_servers_disappear_and_watchers_are_told(self) -> None:
        seen = leases.run(1, 0.5, PATIENCE_SECONDS)
        self.assertEqual((1, []), (len(seen.gone_seconds), seen.problems))


class BrokenNetworks(unittest.TestCase):
    def check(self, retries: int) -> None:
        for servertype in SERVERTYPES:
            summary = relay.run(servertype, RELAY_STEPS, 3, retries)
            self.assertEqual([], summary.problems)
            self.assertGreater(summary.acknowledged, 3 * RELAY_STEPS)
            # with retries it is only items of streams that can fail
            self.assertTrue(summary.failed < summary.begun / 5 if retries else summary.failed > 0, summary)

    def test_connections_that_are_split_held_up_lost_cut_and_reset(self) -> None:
        self.check(0)

    def test_calls_that_are_tried_again_get_through(self) -> None:
        self.check(20)

    def test_every_fault_happens(self) -> None:
        kinds = {relay.seeded_plan(3)(number).kind for number in range(30)}
        self.assertEqual({relay.FINE, relay.SPLIT, relay.DELAY, relay.LOSE, relay.CUT, relay.RESET}, kinds)

    def test_packets_that_are_lost_and_a_network_that_is_cut(self) -> None:
        try:
            summary, _ = cable.run("multiplex", CABLE_STEPS, 1)
        except cable.Impossible as x:
            self.skipTest(str(x))
        self.assertEqual([], summary.problems)
        self.assertGreater(summary.acknowledged, 4)


class FullDisks(unittest.TestCase):
    def test_registering_is_an_error_and_all_else_goes_on(self) -> None:
        with contextlib.ExitStack() as at_end:
            running = {kind: at_end.enter_context(self.start(kind)) for kind in (disk.TMPFS, disk.LIMIT)
                       if not disk.why_impossible(kind)}
            for kind, process in running.items():
                out, err = process.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual((0, ""), (process.returncode, err))
                problems = {storage: disk.problems(seen) for storage, seen in json.loads(out).items()}
                self.assertEqual({"sql": [], "dbm": []}, problems, kind)
        if disk.TMPFS not in running:
            self.skipTest(disk.why_impossible(disk.TMPFS))

    @staticmethod
    def start(kind: str) -> Any:
        command = [*disk.prefix(kind), sys.executable, "-X", "dev", "-W", "error", "-m", "tests.faults.disk", "sql,dbm", kind]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT,
                                env=clean_environment(None), encoding="utf-8")


@unittest.skipIf(descriptors.why_impossible(), descriptors.why_impossible())
class NoDescriptors(unittest.TestCase):
    """test_loop_limits has more of it."""

    def test_a_name_server_serves_its_clients_and_recovers(self) -> None:
        seen = descriptors.run("thread", LOOKUPS, idle_seconds=0.2)
        self.assertEqual([], seen.errors)
        self.assertLess(seen.busy_share, 0.5)
        self.assertLess(seen.back_seconds, 5.0)


@expose
class Slow:
    def items(self) -> Iterator[int]:
        yield from range(3)

    def wait_for(self, event_name: str) -> str:
        return event_name


class Calendar:
    """Stands in for time.time: each call finds that the clock was set."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return 1.7e9 + (YEARS if self.asked % 2 else -YEARS)


class ClockSteps(DaemonTestCase):
    """The time of day jumps ten years ahead and back again, each time that it is read."""

    def setUp(self) -> None:
        super().setUp()
        stepping = mock.patch("time.time", Calendar())
        stepping.start()
        self.addCleanup(stepping.stop)

    def test_neither_connections_nor_streams_nor_calls_end(self) -> None:
        for servertype in SERVERTYPES:
            with settings(SERVERTYPE=servertype, ITER_STREAM_LIFETIME=60.0, ITER_STREAM_LINGER=60.0, COMMTIMEOUT=60.0,
                          HANDSHAKE_TIMEOUT=60.0, POLLTIMEOUT=0.001):
                self.check_goes_on()

    def check_goes_on(self) -> None:
        server = self.serving(host="127.0.0.1")
        rounds: List[None] = []
        with mock.patch.object(server, "housekeeping", lambda: rounds.append(None)):
            proxy = self.proxy(server.register(Slow(), "slow"))
            items = proxy.items()
            received = [next(items)]
            for _ in range(2):
                seen = len(rounds)
                wait_until(lambda: len(rounds) > seen + 2)  # noqa: B023
                connection = proxy._pyroConnection
                received.append(next(items))
                self.assertIs(connection, proxy._pyroConnection)
                proxy._pyroReconnect(1)
        self.assertEqual([0, 1, 2], received)

    def test_registrations_are_not_taken_for_dead(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0, enableBroadcast=False)
        names: Any = daemon.nameserver
        names.register("gone", "PYRO:gone@127.0.0.1:%d" % free_port())
        cleaner = AutoCleaner(names.all_uris, names.remove_unchanged, 3.0)
        with daemon_thread(daemon), contextlib.closing(daemon):
            for _ in range(3):
                cleaner.clean()
            cleaner.stop()
        self.assertIn("gone", names.list())

    def test_waiting_for_a_name_takes_its_time(self) -> None:
        _, daemon, _ = start_ns("127.0.0.1", 0, enableBroadcast=False)
        with daemon_thread(daemon), settings(NS_LOOKUP_DELAY=0.05):
            before = time.monotonic()
            proxy = self.proxy("PYRONAME:nobody@" + daemon.locationStr)
            with self.assertRaises(errors.NamingError):
                proxy._pyroBind()
        self.assertGreaterEqual(time.monotonic() - before, 0.05)

    def test_no_module_looks_at_the_time_of_day(self) -> None:
        asking = {"time.time", "time.time_ns", "time.localtime", "datetime.datetime.now", "datetime.datetime.utcnow",
                  "datetime.datetime.today", "datetime.date.today"}
        # They only show it: since when something was counted; the header Date of responses.
        shown = {Path(PROJECT, "Pyro5", *names) for names in (("_observe", "statistics.py"), ("_http", "connection.py"))}
        for path in set(Path(PROJECT, "Pyro5").rglob("*.py")) - shown:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            used = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            imported = {"%s.%s" % (node.module, name.name) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                        for name in node.names}
            self.assertEqual(set(), asking & (used | imported), path)


def dotted(node: ast.AST) -> str:
    """Return the text of an attribute of an attribute of a name."""
    if isinstance(node, ast.Attribute):
        return "%s.%s" % (dotted(node.value), node.attr)
    return node.id if isinstance(node, ast.Name) else "?"


class Examining(unittest.TestCase):
    def problems(self, *words: str, may_repeat: bool = False) -> List[str]:
        return ledger.examine([line.split() for line in words], may_repeat).problems

    def test_what_fits_together(self) -> None:
        self.assertEqual([], self.problems("begun a", "executed a", "acknowledged a", "begun b", "failed b Error", "begun c",
                                           "executed c", "failed c Error"))
        self.assertEqual([], self.problems("begun a", "executed a", "executed a", may_repeat=True))

    def test_what_does_not(self) -> None:
        for lines, words in ((["begun a", "executed a", "executed a"], "a was executed 2 times"),
                             (["begun a", "acknowledged a"], "a was acknowledged, but not executed"),
                             (["begun a", "executed a", "wrong a nonsense"], "a was answered with nonsense"),
                             (["executed a"], "a was executed, but never begun")):
            self.assertEqual([words], self.problems(*lines))

    def test_a_caller_notices_a_wrong_answer(self) -> None:
        written: List[Any] = []
        caller = Caller("x", "PYRO:x@127.0.0.1:1", lambda *words: written.append(words), seed=1)
        caller.proxy = mock.Mock(call=mock.Mock(return_value=["x.0:00000000", ""]))
        caller.call()
        self.assertEqual(["begun", "wrong"], [words[0] for words in written])


class Command(unittest.TestCase):
    def run_it(self, *outcomes: Any) -> Any:
        with mock.patch.dict(program.FAULTS, {"relay": lambda seed: iter(outcomes)}):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                return program.main(["--only", "relay", "--rounds", "2"]), out.getvalue()

    def test_tells_what_it_found(self) -> None:
        code, out = self.run_it(("thread", "5 calls", []))
        self.assertEqual((0, 2), (code, out.count("relay, seed")), out)
        code, out = self.run_it(("thread", "5 calls", ["one is lost"]))
        self.assertEqual((1, 2), (code, out.count("one is lost")), out)

    def test_full_disks_are_judged(self) -> None:
        look = {"missing": [], "names": 2, "lookup": "PYRO:x", "count": 2}
        seen = {"acknowledged": 2, "errors": ["NamingError: storage sql:x: database or disk is full"], "while full": look,
                "with room again": look, "after a restart": look}
        self.assertEqual([], disk.problems(seen))
        for change in ({"acknowledged": 0}, {"errors": ["NamingError: no"]}, {"while full": dict(look, missing=["a"])},
                       {"after a restart": dict(look, count=1)}):
            self.assertEqual(1, len(disk.problems({**seen, **change})), change)


if __name__ == "__main__":
    unittest.main()
