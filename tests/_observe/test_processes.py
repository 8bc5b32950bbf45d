"""Interceptors, calls that stall, statistics and tracing in daemons with several processes."""
from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import unittest
import uuid
from typing import Any, List

from Pyro5 import errors
from Pyro5._observe import process_end
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from tests.support import ToolProcess, ToolResult

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "processes_program.py")


@unittest.skipUnless(hasattr(os, "fork"), "this system cannot fork")
class TwoProcesses(unittest.TestCase):
    """Each test has a server with two processes, and a proxy that is connected to each of them."""

    settings = {"PYRO_STALL_SECONDS": "0.05"}

    def setUp(self) -> None:
        self.process = ToolProcess(PROGRAM, 2, env=self.settings)
        self.addCleanup(self.process.__exit__)
        self.uri = self.process.readline().strip()
        first = self.connect()
        other = self.connect_to_other([first.pid()])
        self.proxies = {proxy.pid(): proxy for proxy in (first, other)}

    def connect(self) -> Any:
        proxy = Proxy(self.uri)
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def connect_to_other(self, pids: List[int]) -> Any:
        """Return a proxy that is connected to a process other than these."""
        while True:
            proxy = self.connect()
            with contextlib.suppress(errors.CommunicationError):  # a process that is just ending may still accept a client
                if proxy.pid() not in pids:
                    return proxy
            proxy._pyroRelease()

    def daemon_object(self) -> Any:
        proxy = Proxy("PYRO:Pyro.Daemon" + self.uri[len("PYRO:shared"):])
        self.addCleanup(proxy._pyroRelease)
        return proxy

    def end(self) -> ToolResult:
        result = self.process.stop()
        self.assertEqual((0, ""), (result.exit_code, result.err))
        return result

    def test_interceptors_run_in_the_process_of_the_call(self) -> None:
        for pid, proxy in self.proxies.items():
            proxy.trace()
            self.process.read_until("%d call shared.trace" % pid)
            self.assertEqual("answered by %d" % pid, proxy.pid(answer=True))
        # One that a method installs is only in its process: the others have been forked before.
        (pid, proxy), (other_pid, other) = self.proxies.items()
        proxy.intercept_here()
        self.assertEqual([[pid, "here"], other_pid], [proxy.pid(), other.pid()])
        self.end()

    def test_stalled_calls_are_logged_by_their_process(self) -> None:
        for pid, proxy in self.proxies.items():
            with self.subTest(pid):
                call = proxy.wait.future()
                (line,) = self.process.read_until("%d log Pyro5.server.stalls" % pid)[-1:]
                self.assertRegex(line, r"shared\.wait from \('127.0.0.1', \d+\) has been running for \d+\.\d seconds")
                self.assertIn("in wait | ", line)
                call.cancel()
        self.end()

    def test_cycles_of_calls_through_several_processes_are_named(self) -> None:
        (_, proxy), (other_pid, _) = self.proxies.items()
        call = proxy.call_wait.future(self.uri)
        # The call that the other one waits for.
        (line,) = self.process.read_until("%d log Pyro5.server.stalls - shared.wait" % other_pid)[-1:]
        self.assertIn("it is part of a cycle of calls: shared.call_wait -> shared.wait | The stack", line)
        call.cancel()
        self.end()

    def traced(self) -> int:
        """Return how often the method `trace` was called, in all processes."""
        with Proxy("PYRO:Pyro.Daemon" + self.uri[len("PYRO:shared"):]) as own:
            return int(own.stats()["objects"]["shared"]["trace"]["calls"])

    def test_counts_stay_when_a_process_ends(self) -> None:
        pids = list(self.proxies)
        proxy = self.proxies[pids[-1]]
        for calls, signum in ((3, signal.SIGTERM), (6, signal.SIGKILL), (9, signal.SIGTERM)):
            for _ in range(3):
                proxy.trace()
            if signum == signal.SIGKILL:
                self.assertEqual(calls, self.traced())  # a process that is killed keeps what it has reported before
            os.kill(pids[-1], signum)
            proxy = self.connect_to_other(pids)
            pids.append(proxy.pid())
            self.assertEqual(calls, self.traced())
        # The program can still read them when all have ended.
        self.assertIn("calls of trace: 9\n", self.end().out)

    def test_statistics_are_sums(self) -> None:
        own = self.daemon_object()
        before = own.stats()["objects"]["shared"]
        self.assertNotIn("fail", before)
        for number, proxy in enumerate(self.proxies.values(), 1):
            for _ in range(number):
                with self.assertRaises(ValueError):
                    proxy.fail("in %d" % number)
            batch = BatchProxy(proxy)
            batch.pid()
            batch.pid()
            list(batch())
        reports = [own.stats(), *[proxy.statistics() for proxy in self.proxies.values()]]
        for report in reports:
            row = report["objects"]["shared"]["fail"]
            self.assertEqual((3, 3, "in 2"), (row["calls"], row["errors"], row["last_error"]["text"]))
            self.assertEqual(3, sum(row["buckets"]))
            self.assertTrue(0 < row["p50"] <= row["p99"])
            self.assertEqual(4, report["objects"]["shared"]["<batch>"]["batched_calls"])
            self.assertEqual(sorted(self.proxies), report["processes"])
        self.end()

    def test_correlation_ids_are_in_the_log_of_the_process(self) -> None:
        number = current_context.correlation_id = uuid.uuid4()
        self.addCleanup(setattr, current_context, "correlation_id", None)
        for pid, proxy in self.proxies.items():
            self.assertEqual(str(number), proxy.trace())
            self.process.read_until("%d log program %s traced" % (pid, number))
        self.end()

    @unittest.skipUnless(importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"),
                         "opentelemetry-sdk is not installed")
    def test_spans_are_made_in_the_process_of_the_call(self) -> None:
        for pid, proxy in self.proxies.items():
            correlation_id = proxy.trace()
            self.process.read_until("%d span SERVER shared/trace %s" % (pid, correlation_id.replace("-", "")))
        out = self.end().out
        for pid in self.proxies:  # what it has not sent yet would be lost
            self.assertIn("%d flushed\n" % pid, out)


class AtTheEnd(unittest.TestCase):
    def test_an_error_does_not_keep_other_functions_from_running(self) -> None:
        ran = []

        def fail() -> None:
            raise ValueError("no collector")

        for function in fail, lambda: ran.append(1):
            process_end.add(function)
            self.addCleanup(process_end.remove, function)
        with self.assertLogs("Pyro5.processes", "ERROR") as logged:
            process_end.run()
        self.assertEqual([1], ran)
        self.assertIn("no collector", logged.output[0])
        process_end.remove(fail)
        process_end.run()
        self.assertEqual([1, 1], ran)


if __name__ == "__main__":
    unittest.main()
