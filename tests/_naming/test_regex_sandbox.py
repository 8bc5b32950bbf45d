"""Regular expressions of clients: what they find, what they may cost, and the processes that run the costly ones."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import unittest
from typing import Any, List
from unittest import mock

from Pyro5 import errors
from Pyro5._naming import regex_program, regex_sandbox
from Pyro5._naming.regex_sandbox import Limits, Matcher, steps_at_most

from ..support import PATIENCE_SECONDS, search_patiently

NAMES = ["test.one", "test.two", "Meta.three", "a_b", "aXb", "prijs €5", "x" * 50]
# Exponential: about 2**50 steps on the last name.
HOSTILE = "(x|x)*y"
QUICK = Limits(match_seconds=0.1)


class MatcherTestCase(unittest.TestCase):
    def setUp(self) -> None:
        search_patiently(self)

    def make(self, limits: Limits = regex_sandbox.USUAL, **kwargs: Any) -> Matcher:
        matcher = Matcher(limits, **kwargs)
        self.addCleanup(matcher.close)
        return matcher

    def count_processes(self) -> List[Any]:
        """Return a list in which every process that is started from now on will be."""
        started: List[Any] = []
        real = subprocess.Popen

        def start(*args: Any, **kwargs: Any) -> Any:
            started.append(real(*args, **kwargs))
            return started[-1]

        patch = mock.patch.object(subprocess, "Popen", start)
        patch.start()
        self.addCleanup(patch.stop)
        return started

    def find(self, matcher: Matcher, regex: str) -> List[str]:
        return matcher.matching(regex, NAMES.copy)


class ResultTests(MatcherTestCase):
    simple = ["test", "test\\.", ".*two", "^test.o", "a.b", "[a-z_]+", "[^a-z]", "a?X?", "x{49}", "x{1,3}$", "x{5,}", "$", "^",
              "", "\\w+\\d*", "prijs \\S", "Meta|a", "a{,2}", ".*?e$", "a{2}{3}", "x*+"]

    def test_both_ways_find_what_re_finds(self) -> None:
        here, elsewhere = self.make(), self.make()
        with mock.patch.object(elsewhere, "_match_here", return_value=None):
            for regex in self.simple + ["(test|a_)", "(?i)meta", "(?=.*o)t", "a|b|(?:x){3}"]:
                with self.subTest(regex=regex):
                    try:
                        expected: Any = [name for name in NAMES if re.match(regex, name)]
                    except re.error as x:
                        for matcher in (here, elsewhere):
                            self.assertRaisesRegex(errors.NamingError, "^invalid regex: %s$" % re.escape(str(x)),
                                                   self.find, matcher, regex)
                        continue
                    self.assertEqual(self.find(here, regex), expected)
                    self.assertEqual(self.find(elsewhere, regex), expected)

    def test_any_name(self) -> None:
        names = ["\\", '"', "'", "\n", "é", "\U0001f600", "\ud800", "\0", ""]
        self.assertEqual(self.make().matching("(?s).", names.copy), names[:-1])

    def test_more_names_than_fit_one_piece(self) -> None:
        names = ["name%d" % number for number in range(2 * regex_sandbox.NAMES_AT_ONCE + 1)]
        self.assertEqual(self.make().matching("(name)", names.copy), names)
        self.assertEqual(self.make().matching("(name)", list), [])

    def test_invalid(self) -> None:
        matcher = self.make()
        for regex, problem in (("(", "missing ), unterminated subpattern at position 0"), ("[z-a]", "bad character range"),
                               ("*a", "nothing to repeat"), ("a{9,1}", "min repeat greater than max repeat"),
                               ("(?:a{99999999999})", "the repetition number is too large"), ("(" * 900, ""),
                               ("(?a)(?u)x", "ASCII and UNICODE flags are incompatible")):
            self.assertRaisesRegex(errors.NamingError, "^invalid regex: .*%s" % re.escape(problem), self.find, matcher, regex)

    def test_an_invalid_one_costs_no_process(self) -> None:
        started, matcher = self.count_processes(), self.make()
        for regex in ("(?a)(?u)x", "(", "(?a)(?u)x"):
            self.assertRaisesRegex(errors.NamingError, "^invalid regex: ", self.find, matcher, regex)
        self.assertEqual(len(started), 1)

    def test_too_long(self) -> None:
        matcher = self.make()
        self.assertEqual(self.find(matcher, "y" * regex_sandbox.REGEX_CHARS), [])
        self.assertRaisesRegex(errors.NamingError, "too long: 1001 characters", self.find, matcher, "y" * 1001)


class CostTests(MatcherTestCase):
    def test_known(self) -> None:
        for regex, steps in (("abc", 4), ("a.c", 4), ("a*", 22), ("a*b*", 363), ("a?", 4), ("[a-z]{2,4}", 9), ("\\.{3}", 4),
                             ("^a$", 2), ("", 1), ("a{2,}", 27), ("a{0,1000}?", 22)):
            with self.subTest(regex=regex):
                self.assertEqual(steps_at_most(regex, 10), steps)

    def test_not_known(self) -> None:
        for regex in ("(a)", "a|b", "(?i)a", "[[a]", "[^\\d]", "[€]", "[\x00-\uffff]", "\\bx", "a$b", "a^", "a**", "a*+",
                      "\\x41", "\\1", "a{", "[a--b]", "[a&&b]", "\\"):
            self.assertIsNone(steps_at_most(regex, 10), regex)

    def test_too_many_combinations(self) -> None:
        self.assertIsNone(steps_at_most("a?" * 30, 30))
        self.assertIsNone(steps_at_most(".*" * 5, 100))

    def test_cheap_ones_start_no_process(self) -> None:
        started = self.count_processes()
        matcher = self.make()
        self.find(matcher, ".*two")
        self.assertEqual(started, [])
        self.find(matcher, "(t)")
        self.assertEqual(len(started), 1)

    def test_too_much_for_the_number_of_names(self) -> None:
        started = self.count_processes()
        matcher = self.make(Limits(steps_here=1000))
        self.assertEqual(self.find(matcher, "test.*"), ["test.one", "test.two"])
        self.assertEqual(len(started), 1)


class HostileTests(MatcherTestCase):
    def test_it_is_stopped_and_the_next_one_works(self) -> None:
        started = self.count_processes()
        matcher = self.make(QUICK)
        for _ in range(2):
            with self.assertLogs("Pyro5.matching", "WARNING") as logs:
                self.assertRaisesRegex(errors.NamingError, "takes too long on the 7 names", self.find, matcher, HOSTILE)
            self.assertIn(HOSTILE, logs.output[0])
            self.assertEqual(self.find(matcher, "(test)"), ["test.one", "test.two"])
        self.assertEqual(len(started), 3)
        self.assertTrue(all(process.stdin.closed and process.stdout.closed for process in started[:-1]))
        self.assertTrue(all(process.returncode is not None for process in started[:-1]))

    def test_other_searches_go_on_meanwhile(self) -> None:
        """While a hostile one runs, cheap and costly ones are answered."""
        matcher = self.make(Limits(match_seconds=regex_sandbox.SEARCH_SECONDS))
        running, outcome = threading.Event(), []

        def snapshot() -> List[str]:
            running.set()
            return NAMES.copy()

        def attack() -> None:
            try:
                matcher.matching(HOSTILE, snapshot)
            except errors.NamingError as x:
                outcome.append(str(x))

        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            self.assertTrue(running.wait(PATIENCE_SECONDS))
            for _ in range(20):
                self.assertEqual(self.find(matcher, "test.*"), ["test.one", "test.two"])
                self.assertEqual(self.find(matcher, "(test)"), ["test.one", "test.two"])
            self.assertEqual(outcome, [])  # it is still running
            with self.assertLogs("Pyro5.matching", "WARNING"):
                matcher.close()
        finally:
            attacker.join(PATIENCE_SECONDS)
        self.assertFalse(attacker.is_alive())
        self.assertEqual(outcome, ["the search was interrupted, try again"])

    def test_rest_after_a_hostile_one(self) -> None:
        now = [100.0]
        matcher = self.make(Limits(match_seconds=0.05, rest_seconds=5.0), clock=lambda: now[0])
        with self.assertLogs("Pyro5.matching", "WARNING"):
            self.assertRaises(errors.NamingError, self.find, matcher, HOSTILE)
        self.assertRaisesRegex(errors.NamingError, "try again", self.find, matcher, "(test)")
        self.assertEqual(self.find(matcher, "test.*"), ["test.one", "test.two"])
        now[0] += 5
        matcher._limits = regex_sandbox.USUAL  # a busy machine may take longer than 0.05 s for an ordinary pattern
        self.assertEqual(self.find(matcher, "(test.*o)"), ["test.one", "test.two"])

    def test_no_more_at_once_than_allowed(self) -> None:
        matcher = self.make(Limits(at_once=1))
        problems: List[str] = []

        def snapshot() -> List[str]:
            try:
                self.find(matcher, "test")
            except errors.NamingError as x:
                problems.append(str(x))
            return NAMES.copy()

        self.assertEqual(matcher.matching("test.o", snapshot), ["test.one"])
        self.assertRegex(problems[0], "^too many searches")
        self.assertEqual(self.find(matcher, "test.o"), ["test.one"])

    def test_waiting_for_a_process_has_an_end(self) -> None:
        now = [100.0]
        matcher = self.make(clock=lambda: now[0])
        with mock.patch.object(regex_sandbox, "PROCESSES", 0):
            now[0] -= regex_sandbox.SEARCH_SECONDS  # the deadline is over as soon as it is set
            with mock.patch.object(regex_sandbox, "SEARCH_SECONDS", 0.01):
                self.assertRaisesRegex(errors.NamingError, "^too many searches", self.find, matcher, "(test)")


    def test_a_process_that_comes_too_late_is_kept(self) -> None:
        started = self.count_processes()
        now = [100.0]
        matcher = self.make(clock=lambda: now[0])

        def snapshot() -> List[str]:
            now[0] += regex_sandbox.SEARCH_SECONDS
            return NAMES.copy()

        self.assertRaisesRegex(errors.NamingError, "^too many searches", matcher.matching, "(test)", snapshot)
        self.assertEqual(self.find(matcher, "(test)"), ["test.one", "test.two"])
        self.assertEqual(len(started), 1)


class ProcessTests(MatcherTestCase):
    def test_it_is_used_again(self) -> None:
        started = self.count_processes()
        matcher = self.make()
        for _ in range(5):
            self.find(matcher, "(test)")
            self.assertRaises(errors.NamingError, self.find, matcher, "(")
        self.assertEqual(len(started), 1)

    def test_one_that_died_is_replaced(self) -> None:
        started = self.count_processes()
        matcher = self.make()
        self.find(matcher, "(test)")
        started[0].kill()
        started[0].wait()
        with self.assertLogs("Pyro5.matching", "WARNING"):
            self.assertRaisesRegex(errors.NamingError, "interrupted", self.find, matcher, "(test)")
        self.assertEqual(self.find(matcher, "(test)"), ["test.one", "test.two"])

    def test_it_ends_by_itself_when_the_server_is_gone(self) -> None:
        started = self.count_processes()
        self.find(self.make(), "(test)")
        started[0].stdin.close()
        self.assertEqual(started[0].wait(PATIENCE_SECONDS), 0)

    @unittest.skipUnless(hasattr(signal, "SIGALRM"), "this system has no alarm signal")
    def test_a_match_does_not_outlive_the_server(self) -> None:
        with mock.patch.object(regex_sandbox, "program", lambda seconds: regex_program.program(0.1)):
            process = regex_sandbox._Process(PATIENCE_SECONDS)
        self.addCleanup(process.close)
        self.assertRaises(EOFError, process.matching, HOSTILE, NAMES, PATIENCE_SECONDS)
        self.assertEqual(process._popen.wait(PATIENCE_SECONDS), -signal.SIGALRM)

    def test_it_cannot_be_started(self) -> None:
        matcher = self.make()
        for patch in (mock.patch.object(regex_sandbox.sys, "executable", ""),
                      mock.patch.object(regex_sandbox.sys, "executable", "/no/such/python"),
                      mock.patch.object(regex_sandbox, "program", lambda seconds: "raise SystemExit(3)")):
            with patch, self.assertLogs("Pyro5.matching", "WARNING"):
                self.assertRaisesRegex(errors.NamingError, "cannot be run here now", self.find, matcher, "(test)")
                self.assertEqual(self.find(matcher, "test.o"), ["test.one"])
        self.assertEqual(self.find(matcher, "(test.o)"), ["test.one"])

    def test_closed(self) -> None:
        started = self.count_processes()
        matcher = self.make()
        self.find(matcher, "(test)")
        matcher.close()
        matcher.close()
        self.assertIsNotNone(started[0].returncode)
        self.assertTrue(started[0].stdin.closed and started[0].stdout.closed)
        self.assertRaisesRegex(errors.NamingError, "being closed", self.find, matcher, "(test)")
        self.assertEqual(len(started), 1)



class MemoryTests(MatcherTestCase):
    """Patterns of a few characters that make the re module take gigabytes."""

    GREEDY = ("(?:x?){4000000000}", "(?:(?:x?){1000}){1000}", "(?=(?:x?){99999999})", "(x)(?(1)a|(?:x?){999999})",
              "(?i:(?:x?){999999}?)", "(?:|x){40000,}" * 15, "(" * 90 + "x?" + ")" * 90 + "{9000}")
    HARMLESS = (r"(?:[a-z]+\.){2}\w*|x", r"((a|e|t)[a-z]{1,1000}){1,1000}", r"(?:\w{8}-\w{4}-\w{12})?x{50}", "(?:x){50}")

    def test_they_are_refused_before_they_run(self) -> None:
        matcher = self.make()
        for regex in self.GREEDY:
            with self.assertRaisesRegex(errors.NamingError, "invalid regex: it repeats groups too often", msg=regex):
                matcher.matching(regex, lambda: NAMES)

    def test_others_are_not(self) -> None:
        matcher = self.make()
        for regex in self.HARMLESS:
            self.assertEqual([name for name in NAMES if re.match(regex, name)], matcher.matching(regex, lambda: NAMES))

    @unittest.skipUnless(os.path.exists("/proc/self/statm"), "the memory of a process is not limited here")
    def test_the_memory_of_the_process_is_limited(self) -> None:
        # The process has a low priority, so on a busy machine it may take long until it has used so much.
        with mock.patch.object(regex_program, "MOST_KEPT", 1 << 62), \
                mock.patch.object(regex_program, "MEMORY_BYTES", 32 << 20), \
                mock.patch.object(regex_sandbox, "SEARCH_SECONDS", PATIENCE_SECONDS):
            matcher = self.make(Limits(match_seconds=PATIENCE_SECONDS))
            with self.assertRaisesRegex(errors.NamingError, "it takes too much memory"):
                matcher.matching(self.GREEDY[0], lambda: NAMES)
            self.assertEqual(["a_b", "aXb"], matcher.matching("(a).b", lambda: NAMES))
            [process] = matcher._processes
            with open("/proc/%d/status" % process._popen.pid, encoding="ascii") as file:
                peak_kb = int(file.read().partition("VmHWM:")[2].split()[0])
        self.assertLess(peak_kb, 80 << 10)

    def test_names_are_sent_in_pieces(self) -> None:
        names = ["x" * 1000] * 2500 + ["y"] * 6000
        with mock.patch.object(regex_sandbox._Process, "_ask", autospec=True, side_effect=regex_sandbox._Process._ask) as ask:
            found = self.make().matching("(x|y)", lambda: names)
        self.assertEqual(names, found)
        pieces = [call.args[1] for call in ask.call_args_list][1:]
        self.assertEqual(names, [name for piece in pieces for name in piece])
        self.assertLessEqual(max(sum(map(len, piece)) for piece in pieces), regex_sandbox.CHARS_AT_ONCE + 1000)
        self.assertLessEqual(max(map(len, pieces)), regex_sandbox.NAMES_AT_ONCE)


if __name__ == "__main__":
    unittest.main()
