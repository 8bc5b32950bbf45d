"""Which exceptions of calls are logged, and which are counted."""
from __future__ import annotations

import os
import socket
import tempfile
import unittest
from typing import List
from unittest import mock

from Pyro5 import errors
from Pyro5._calls import error_log
from Pyro5._calls.error_log import MAX_KINDS, REPEAT_SECONDS, RepeatFilter
from Pyro5.socketutil import SocketConnection


class Repetitions(unittest.TestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.filter = RepeatFilter(lambda: self.now)

    def logged(self, *kinds: str) -> List[bool]:
        return [self.filter.should_log(kind, "description of " + kind) for kind in kinds]

    def test_each_kind_is_logged_once_per_minute(self) -> None:
        self.assertEqual([True, False, True, False, False], self.logged("a", "a", "b", "b", "a"))
        self.now += REPEAT_SECONDS - 1
        self.assertEqual([False, False], self.logged("a", "b"))
        self.now += 1
        self.assertEqual([True, False], self.logged("a", "a"))

    def test_repetitions_are_counted(self) -> None:
        self.logged("a", "a", "a", "b")
        self.assertEqual([], self.filter.summaries())
        self.now += REPEAT_SECONDS
        self.assertEqual([("description of a", 2)], self.filter.summaries())
        self.assertEqual([], self.filter.summaries(True))

    def test_everything_at_the_end(self) -> None:
        self.logged("a", "a")
        self.assertEqual([("description of a", 1)], self.filter.summaries(at_end=True))
        self.assertEqual([True], self.logged("a"))

    def test_the_number_of_kinds_is_bounded(self) -> None:
        names = ["kind %d" % number for number in range(MAX_KINDS)]
        self.assertEqual({True}, set(self.logged(*names)))
        self.assertEqual([True, False, False, False], self.logged("one more", "one more", "and another", names[0]))
        self.now += REPEAT_SECONDS
        self.assertEqual([("description of " + names[0], 1), ("calls of still other methods raised exceptions", 2)],
                         self.filter.summaries())
        self.assertEqual([True, False], self.logged("one more", "one more"))

    def test_invented_names_do_not_fill_the_log(self) -> None:
        self.assertEqual(MAX_KINDS + 1, sum(self.logged(*("kind %d" % number for number in range(5 * MAX_KINDS)))))


class Clients(unittest.TestCase):
    def test_with_an_address(self) -> None:
        first, second = socket.socketpair()
        with first, second:
            self.assertEqual(("::1", 5, 0, 0), error_log.client_name(mock.Mock(sock=first, peer_address=("::1", 5, 0, 0))))

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "needs Unix domain sockets")
    def test_of_a_unix_domain_socket(self) -> None:
        with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(directory, "name\n"))
            listener.listen()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(listener.getsockname())
                accepted = SocketConnection(listener.accept()[0])
                accepted.peer_address = accepted.sock.getpeername()  # type: ignore[attr-defined]
                self.assertEqual("a client of the Unix domain socket %s/name\\n" % directory, error_log.client_name(accepted))
                accepted.close()
            self.assertEqual("an unknown address", error_log.client_name(accepted))


class Places(unittest.TestCase):
    def test_the_line_that_raised(self) -> None:
        try:
            raise ValueError
        except ValueError as x:
            self.assertRegex(str(error_log.raise_location(x)), r"test_error_log\.py, line \d+$")

    def test_not_inside_the_library(self) -> None:
        self.assertIsNone(error_log.raise_location(ValueError()))
        try:
            errors.get_pyro_traceback(1)  # type: ignore[arg-type]
            RepeatFilter(1).should_log({}, "")  # type: ignore[arg-type, dict-item]
        except TypeError as x:
            self.assertIsNone(error_log.raise_location(x))


if __name__ == "__main__":
    unittest.main()
