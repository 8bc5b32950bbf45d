"""Spinning: it finds what is there, gives up when that is not worth it, and leaves others alone."""
from __future__ import annotations

import socket
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Optional
from unittest import mock

from Pyro5._net import busy_poll
from Pyro5._net.busy_poll import CROWD, FAILURES, FIRST_PAUSE, LOOKS, PAUSES, TERMS, SpinningReceiver, SpinningSelector

from ..peers import settings

SOME = b"some bytes"


class FakeSocket:
    """Has data, or gets it only after somebody has waited."""

    def __init__(self) -> None:
        self.has_data = False
        self.looks = 0
        self.timeout: Optional[float] = None

    def gettimeout(self) -> Optional[float]:
        return self.timeout

    def settimeout(self, timeout: Optional[float]) -> None:
        self.timeout = timeout

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not flags:
            return SOME
        if self.timeout:
            raise AssertionError("Python waits for a socket with a timeout before it looks")
        self.looks += 1
        if not self.has_data:
            raise BlockingIOError
        return SOME

    def recv_into(self, buffer: Any) -> int:
        return 0


class ReceiverTests(unittest.TestCase):
    def setUp(self) -> None:
        forgotten = mock.patch.object(busy_poll, "_last", None)
        forgotten.start()
        self.addCleanup(forgotten.stop)
        undisturbed = mock.patch.object(busy_poll, "_switches", return_value=0)
        undisturbed.start()
        self.addCleanup(undisturbed.stop)
        self.sock: Any = FakeSocket()
        self.receiver = SpinningReceiver(self.sock)

    def looks(self, times: int = 1) -> int:
        """Receive, and tell how often it was looked for data without waiting."""
        before = self.sock.looks
        for _ in range(times):
            self.assertEqual(SOME, self.receiver.recv(100))
        return int(self.sock.looks - before)

    def test_what_is_there_is_found_at_once(self) -> None:
        self.sock.has_data = True
        self.assertEqual([1] * 10, [self.looks() for _ in range(10)])

    def test_given_up_after_some_failures_and_tried_again_later(self) -> None:
        self.assertEqual(FAILURES * LOOKS, self.looks(FAILURES))
        pause = PAUSES[0]
        for _ in range(12):
            self.assertEqual(0, self.looks(pause))
            self.assertEqual(LOOKS, self.looks())
            pause = min(2 * pause, PAUSES[1])
        self.assertEqual(0, self.looks(pause))
        self.sock.has_data = True
        self.assertEqual(4 * TERMS[1], self.looks(4 * TERMS[1]))
        self.sock.has_data = False
        self.assertEqual(FAILURES * LOOKS, self.looks(FAILURES))
        self.assertEqual(LOOKS, self.looks(PAUSES[0] + 1))  # it has been worth its while in between

    def test_failures_in_between_do_not_matter(self) -> None:
        for _ in range(10):
            self.sock.has_data = False
            self.assertEqual((FAILURES - 1) * LOOKS, self.looks(FAILURES - 1))
            self.sock.has_data = True
            self.assertEqual(1, self.looks())

    def test_left_to_others_who_need_the_processor(self) -> None:
        self.sock.has_data = True
        switches = iter(range(0, 1000, TERMS[0]))
        with mock.patch.object(busy_poll, "_switches", lambda: next(switches)), mock.patch.object(busy_poll, "_last", None):
            self.receiver = SpinningReceiver(self.sock)
            self.assertEqual(TERMS[0], self.looks(TERMS[0]))
            for pause in (PAUSES[0], 2 * PAUSES[0], 4 * PAUSES[0]):
                self.assertEqual(0, self.looks(pause))
                next(switches)  # what happens in a pause does not count
                self.assertEqual(TERMS[0], self.looks(TERMS[0]))

    def test_the_next_one_learns_from_it(self) -> None:
        self.looks(FAILURES + PAUSES[0] + 1)
        self.receiver = SpinningReceiver(self.sock)
        self.assertEqual(0, self.looks(2 * PAUSES[0]))
        self.sock.has_data = True
        self.assertEqual(1, self.looks())

    def test_one_in_another_thread_learns_less(self) -> None:
        for _ in range(20):
            self.looks(PAUSES[1] + 1)
        with ThreadPoolExecutor(1) as another:
            self.receiver = another.submit(SpinningReceiver, self.sock).result()
            self.sock.has_data = True
            self.assertEqual(0, another.submit(self.looks, FIRST_PAUSE).result())
            self.assertEqual(TERMS[0], another.submit(self.looks, TERMS[0]).result())

    def test_what_other_threads_did_does_not_count(self) -> None:
        self.sock.has_data = True
        switches = iter(range(0, 100000, TERMS[1]))
        with mock.patch.object(busy_poll, "_switches", lambda: next(switches)), ThreadPoolExecutor(1) as another:
            self.receiver = another.submit(SpinningReceiver, self.sock).result()
            self.assertEqual(TERMS[0], self.looks(TERMS[0]))
            self.assertEqual(1, self.looks())

    def test_many_who_receive_little_learn_together(self) -> None:
        looks = []
        for _ in range(40):
            self.receiver = SpinningReceiver(self.sock)
            looks.append(self.looks(2))
        self.assertEqual([2 * LOOKS, LOOKS, 0], looks[:3])
        self.assertLess(sum(looks), 7 * LOOKS)
        self.sock.has_data = True
        for _ in range(PAUSES[1]):
            self.receiver = SpinningReceiver(self.sock)
            self.looks(2)
        self.assertEqual(2, self.looks(2))

    def test_where_many_receive_by_turns_nobody_spins(self) -> None:
        others = [SpinningReceiver(self.sock) for _ in range(CROWD)]
        self.sock.has_data = True
        with mock.patch.object(busy_poll, "_receiving", set(others[1:])):
            for _ in range(3):
                with mock.patch.object(busy_poll, "_latest", others[0]):
                    self.assertEqual(1, self.looks())
            busy_poll._receiving.update(others)
            with mock.patch.object(busy_poll, "_latest", others[0]):
                self.assertEqual(0, self.looks())
                self.assertEqual(1, self.looks())   # the others have not begun again meanwhile: they may wait for long
            self.assertEqual(set(others), busy_poll._receiving)

    def test_one_thread_at_a_time(self) -> None:
        with busy_poll._one_at_a_time:
            self.assertEqual(0, self.looks())
        self.assertEqual(LOOKS, self.looks())

    def test_a_timeout_is_for_waiting_only(self) -> None:
        for timeout in (10.0, None, 5.0):  # it may change while the connection lasts
            self.sock.timeout, self.sock.has_data = timeout, True
            self.assertEqual((1, timeout), (self.looks(), self.sock.timeout))
            self.sock.has_data = False
            self.assertEqual((LOOKS, timeout), (self.looks(), self.sock.timeout))
        with mock.patch.object(self.sock, "recv", side_effect=ConnectionResetError):
            receiver = SpinningReceiver(self.sock)
            with self.assertRaises(ConnectionResetError):
                receiver.recv(100)
        self.assertEqual(5.0, self.sock.timeout)

    def test_forked_meanwhile(self) -> None:
        """By a signal handler that returns in the child, too."""
        def recv(size: int, flags: int) -> bytes:
            busy_poll._forget_other_threads()
            return SOME

        with mock.patch.object(self.sock, "recv", recv):
            receiver = SpinningReceiver(self.sock)
            self.assertEqual([SOME] * 2, [receiver.recv(100) for _ in range(2)])
        self.assertFalse(busy_poll._one_at_a_time.locked())

    def test_an_error_ends_it(self) -> None:
        with mock.patch.object(self.sock, "recv", side_effect=ConnectionResetError):
            receiver = SpinningReceiver(self.sock)
            with self.assertRaises(ConnectionResetError):
                receiver.recv(100)
        self.assertFalse(busy_poll._one_at_a_time.locked())

    def test_real_sockets(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            receiver = SpinningReceiver(ours)
            theirs.sendall(b"hello")
            self.assertEqual(b"hello", receiver.recv(100))
            buffer = bytearray(3)
            theirs.sendall(b"abc")
            self.assertEqual((3, b"abc"), (receiver.recv_into(buffer), buffer))
            ours.settimeout(0.001)
            with self.assertRaises(socket.timeout):
                receiver.recv(100)
            theirs.close()
            ours.settimeout(None)
            self.assertEqual(b"", receiver.recv(100))


class SelectorTests(unittest.TestCase):
    @mock.patch.object(busy_poll, "_last", None)
    def test_looks_before_it_waits(self) -> None:
        timeouts: List[float] = []

        class FakeSelector:
            def select(self, timeout: float) -> List[str]:
                timeouts.append(timeout)
                return ["ready"] if timeout or len(timeouts) == 5 else []

        waiting = SpinningSelector()
        self.assertEqual(["ready"], waiting.select(FakeSelector(), 2.0))
        self.assertEqual([0] * 5, timeouts)
        for _ in range(FAILURES + 1):
            del timeouts[:]
            timeouts.extend([0] * 10)
            self.assertEqual(["ready"], waiting.select(FakeSelector(), 2.0))
        self.assertEqual([2.0], timeouts[10:])


class WhereTests(unittest.TestCase):
    def receiver(self, sock: Any, **changes: Any) -> Any:
        with settings(**changes), mock.patch.object(busy_poll, "_processors", 2):
            return busy_poll.receiver_for(sock)

    def test_where_it_may_succeed(self) -> None:
        sock = FakeSocket()
        self.assertIsInstance(self.receiver(sock), SpinningReceiver)
        self.assertIs(sock, self.receiver(sock, SPINNING=False))
        with mock.patch.object(busy_poll, "_processors", 1):
            self.assertIs(sock, busy_poll.receiver_for(sock))
        sock.pending = lambda: 0  # type: ignore[attr-defined]
        self.assertIs(sock, self.receiver(sock))

    def test_after_a_change_of_the_settings(self) -> None:
        sock: Any = FakeSocket()
        with mock.patch.object(busy_poll, "_processors", 2):
            current = self.receiver(sock)
            self.assertIs(current, busy_poll.receiver_for(sock, current))
            with settings(SPINNING=False):
                self.assertIs(sock, busy_poll.receiver_for(sock, current))
            self.assertIsInstance(busy_poll.receiver_for(sock, sock), SpinningReceiver)


if __name__ == "__main__":
    unittest.main()
