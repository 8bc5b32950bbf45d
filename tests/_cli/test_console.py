"""What command line tools share: exit codes, one-line errors, signals."""
from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import errors
from Pyro5._cli import console


def run(tool: Any) -> Tuple[int, str]:
    """Return the exit code and what was printed on standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as err:
        return console.exit_code_of(tool), err.getvalue()


class ExitCodeTests(unittest.TestCase):
    def failing(self, error: BaseException) -> Any:
        def tool() -> None:
            raise error
        return tool

    def test_success(self) -> None:
        self.assertEqual(run(lambda: "anything"), (0, ""))

    def test_expected_errors_are_one_line(self) -> None:
        for error in (errors.NamingError("no\n  name"), OSError("no\n  name"), ValueError("no\nname"), EOFError("no name")):
            self.assertEqual(run(self.failing(error)), (1, "Error: no name\n"))

    def test_an_error_without_text(self) -> None:
        self.assertEqual(run(self.failing(ValueError())), (1, "Error: ValueError\n"))

    def test_ctrl_c(self) -> None:
        self.assertEqual(run(self.failing(KeyboardInterrupt())), (130, ""))

    def test_defects_are_not_hidden(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            run(self.failing(ZeroDivisionError()))

    def test_own_report(self) -> None:
        reported: List[BaseException] = []
        error = ValueError("x")
        self.assertEqual(console.exit_code_of(self.failing(error), reported.append), 1)
        self.assertEqual(reported, [error])


@unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
class OptionTests(unittest.TestCase):
    def test_seconds(self) -> None:
        self.assertEqual([console.seconds("0"), console.seconds("2.5")], [0.0, 2.5])
        for text in ("-1", "nan", "inf", "1e300", "soon", ""):
            with self.assertRaises(ValueError, msg=text):
                console.seconds(text)


class ServiceManagerTests(unittest.TestCase):
    def listen(self, address: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(address)
        sock.setblocking(False)
        return sock

    def tell(self, address: str) -> None:
        with mock.patch.dict(os.environ, NOTIFY_SOCKET=address):
            console.tell_service_manager("READY=1", "STATUS=Serving PYRO:x@h\xf6st:1")

    def test_socket_file(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            manager = self.listen(os.path.join(directory, "notify"))
            self.tell(os.path.join(directory, "notify"))
        self.assertEqual(manager.recv(1000), b"READY=1\nSTATUS=Serving PYRO:x@h\xc3\xb6st:1")

    @unittest.skipUnless(sys.platform == "linux", "only Linux has abstract socket names")
    def test_abstract_name(self) -> None:
        name = "pyro5-test-%d" % os.getpid()
        manager = self.listen("\0" + name)
        self.tell("@" + name)
        self.assertTrue(manager.recv(1000).startswith(b"READY=1\n"))

    def test_without_a_service_manager(self) -> None:
        self.tell("")
        with mock.patch.dict(os.environ):
            os.environ.pop("NOTIFY_SOCKET", None)
            console.tell_service_manager("READY=1")

    def test_a_manager_that_does_not_listen(self) -> None:
        with self.assertLogs("Pyro5.console", "WARNING"):
            self.tell("/no/such/socket")


class SignalTests(unittest.TestCase):
    def setUp(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, signum, signal.getsignal(signum))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def send(self, signum: int) -> None:
        os.kill(os.getpid(), signum)

    def test_both_signals(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            with console.StopSignals() as signals:
                self.assertFalse(signals.asked)
                self.send(signum)
                self.assertTrue(signals.asked)

    def test_wakes_a_loop_once(self) -> None:
        with console.StopSignals() as signals:
            self.assertEqual(select.select(signals.sockets, [], [], 0)[0], [])
            self.send(signal.SIGTERM)
            self.assertEqual(select.select(signals.sockets, [], [], 10)[0], signals.sockets)
            signals.events(signals.sockets)
            signals.events(signals.sockets)
            self.assertEqual(select.select(signals.sockets, [], [], 0)[0], [])

    def test_a_second_ctrl_c_interrupts(self) -> None:
        with console.StopSignals():
            self.send(signal.SIGINT)
            with self.assertRaises(KeyboardInterrupt):
                self.send(signal.SIGINT)

    def test_everything_is_as_before_afterwards(self) -> None:
        with console.StopSignals() as signals:
            self.assertIsNot(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_DFL)
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)
        self.assertEqual(signal.set_wakeup_fd(-1), -1)
        self.assertEqual([sock.fileno() for sock in signals.sockets], [-1])

    def test_the_programs_own_handlers_stay(self) -> None:
        received: List[int] = []
        signal.signal(signal.SIGTERM, lambda signum, frame: received.append(signum))
        with console.StopSignals() as signals:
            self.send(signal.SIGTERM)
        self.assertEqual((signals.asked, received), (False, [signal.SIGTERM]))

    def test_other_threads_change_nothing(self) -> None:
        seen: List[Any] = []

        def work() -> None:
            with console.StopSignals():
                seen.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(seen, [signal.SIG_DFL])


if __name__ == "__main__":
    unittest.main()
