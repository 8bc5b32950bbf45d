"""Processes of a supervisor: their exit codes, with and without a file descriptor that reports their end."""
from __future__ import annotations

import os
import signal
import socket
import time
import unittest
from typing import Any, List
from unittest import mock

from Pyro5._processes import child
from Pyro5._processes.child import Child
from tests.support import PATIENCE_SECONDS


def later() -> float:
    return time.monotonic() + PATIENCE_SECONDS


@unittest.skipUnless(hasattr(os, "fork"), "this system has no processes of that kind")
class ChildTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.ended: List[Child] = []

    def start(self, script: str) -> Child:
        """Start a shell whose standard input is the other end of the lifeline."""
        lifeline, other_end = socket.socketpair()
        with other_end:
            actions: List[Any] = [(os.POSIX_SPAWN_DUP2, other_end.fileno(), 0)]
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ, file_actions=actions)
        started = Child(3, pid, lifeline, self.ended.append)
        self.addCleanup(started.close)
        return started


class Ends(ChildTestCase):
    """The system reports the end of a process, if it can."""

    def test_exit_code(self) -> None:
        started = self.start("read line; exit 7")
        self.assertIsNone(started.exit_code(0.0))
        self.assertTrue(started.is_alive())
        started.lifeline.shutdown(socket.SHUT_WR)
        self.assertEqual(7, started.exit_code(later()))
        self.assertFalse(started.is_alive())

    def test_signal(self) -> None:
        started = self.start("read line")
        started.kill()
        self.assertEqual(-signal.SIGKILL, started.exit_code(later()))

    def test_process_that_has_closed_its_end_of_the_lifeline(self) -> None:
        started = self.start("exec 0</dev/null; exec sleep 600")
        self.assertEqual(b"", started.lifeline.recv(1))
        self.assertIsNone(started.exit_code(time.monotonic() + 0.003))
        started.kill()
        self.assertEqual(-signal.SIGKILL, started.exit_code(later()))

    def test_process_that_the_program_has_waited_for(self) -> None:
        started = self.start("exit 7")
        os.waitpid(started.pid, 0)
        self.assertEqual(1, started.exit_code(later()))  # its exit code is lost

    def test_a_ready_lifeline_is_reported(self) -> None:
        started = self.start("exit 0")
        started.on_ready(1)
        self.assertEqual([started], self.ended)
        self.assertEqual(0, started.exit_code(later()))
        started.close()
        started.close()


class EndsWithoutReports(Ends):
    """The system cannot report the end of a process: it is looked for."""

    def setUp(self) -> None:
        super().setUp()
        refuse = mock.Mock(side_effect=OSError("not in this container"))
        patch = mock.patch.object(child.os, "pidfd_open", refuse, create=True)
        patch.start()
        self.addCleanup(patch.stop)


@unittest.skipUnless(hasattr(os, "pidfd_open"), "the system does not report the ends of processes")
class Reports(ChildTestCase):
    def test_a_program_that_keeps_the_lifeline_open(self) -> None:
        started = self.start("exec 3<&0; (read line <&3) & exit 6")
        with mock.patch.object(child, "LOOK_SECONDS", PATIENCE_SECONDS), \
                mock.patch.object(child.os, "waitpid", wraps=os.waitpid) as looked:
            self.assertEqual(6, started.exit_code(later()))
        self.assertLessEqual(looked.call_count, 2)


if __name__ == "__main__":
    unittest.main()
