"""Busy polling with sockets and selectors: when it polls, for how long, and which threads may."""
from __future__ import annotations

import selectors
import socket
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List
from unittest import mock

from Pyro5._net import busy_poll
from Pyro5._net.busy_poll import MAX_CALM, MAX_POLLS, MIN_CALM, PollingReceiver, PollingSelector
from Pyro5._net.polling_policy import (
    MAX_FAILURES,
    MAX_INHERITED_SKIPS,
    MAX_PERIOD_ATTEMPTS,
    MAX_SKIPPED_RECEIVES,
    MIN_PERIOD_ATTEMPTS,
    MIN_SKIPPED_RECEIVES,
)

from ..peers import PATIENCE_SECONDS, settings

SOME = b"some bytes"


class FakeSocket:
    """A socket with data, or one whose data arrives only while a receive blocks."""

    def __init__(self) -> None:
        self.has_data = False
        self.polls = 0

    def poll(self, _timeout: int) -> List[int]:
        self.polls += 1
        return [1] if self.has_data else []

    def recv(self, size: int) -> bytes:
        return SOME

    def recv_into(self, buffer: Any) -> int:
        return 0


class ReceiverTests(unittest.TestCase):
    def setUp(self) -> None:
        pollers = mock.patch.object(busy_poll, "_poller_for", lambda sock: sock.poll)
        pollers.start()
        self.addCleanup(pollers.stop)
        forgotten = mock.patch.object(busy_poll, "_last", None)
        forgotten.start()
        self.addCleanup(forgotten.stop)
        undisturbed = mock.patch.object(busy_poll, "_switches", return_value=(0, 0))
        undisturbed.start()
        self.addCleanup(undisturbed.stop)
        calm = mock.patch.multiple(busy_poll, _calm=MAX_CALM, _waited=lambda: 0.0)
        calm.start()
        self.addCleanup(calm.stop)
        self.sock: Any = FakeSocket()
        self.receiver = PollingReceiver(self.sock)

    def polls(self, times: int = 1) -> int:
        """Receive, and return the number of polls."""
        before = self.sock.polls
        for _ in range(times):
            self.assertEqual(SOME, self.receiver.recv(100))
        return int(self.sock.polls - before)

    def test_data_that_is_there_takes_one_poll(self) -> None:
        self.sock.has_data = True
        self.assertEqual([1] * 10, [self.polls() for _ in range(10)])

    def test_suspended_after_failures_and_tried_again_later(self) -> None:
        self.assertEqual(MAX_FAILURES * MAX_POLLS, self.polls(MAX_FAILURES))
        pause = MIN_SKIPPED_RECEIVES
        for _ in range(12):
            self.assertEqual(0, self.polls(pause))
            self.assertEqual(MAX_POLLS, self.polls())
            pause = min(2 * pause, MAX_SKIPPED_RECEIVES)
        self.assertEqual(0, self.polls(pause))
        self.sock.has_data = True
        self.assertEqual(4 * MAX_PERIOD_ATTEMPTS, self.polls(4 * MAX_PERIOD_ATTEMPTS))
        self.sock.has_data = False
        self.assertEqual(MAX_FAILURES * MAX_POLLS, self.polls(MAX_FAILURES))
        self.assertEqual(MAX_POLLS, self.polls(MIN_SKIPPED_RECEIVES + 1))  # there was a success in between

    def test_single_failures_do_not_suspend(self) -> None:
        for _ in range(10):
            self.sock.has_data = False
            self.assertEqual((MAX_FAILURES - 1) * MAX_POLLS, self.polls(MAX_FAILURES - 1))
            self.sock.has_data = True
            self.assertEqual(1, self.polls())

    def test_suspended_while_others_need_the_processor(self) -> None:
        self.sock.has_data = True
        switches = iter(range(0, 1000, MIN_PERIOD_ATTEMPTS))
        measured = mock.patch.object(busy_poll, "_switches", lambda: (next(switches), 0))
        with measured, mock.patch.object(busy_poll, "_last", None):
            self.receiver = PollingReceiver(self.sock)
            self.assertEqual(MIN_PERIOD_ATTEMPTS, self.polls(MIN_PERIOD_ATTEMPTS))
            for pause in (MIN_SKIPPED_RECEIVES, 2 * MIN_SKIPPED_RECEIVES, 4 * MIN_SKIPPED_RECEIVES):
                self.assertEqual(0, self.polls(pause))
                next(switches)  # switches during the suspension are not counted
                self.assertEqual(MIN_PERIOD_ATTEMPTS, self.polls(MIN_PERIOD_ATTEMPTS))

    def test_a_new_receiver_inherits_the_state(self) -> None:
        self.polls(MAX_FAILURES + MIN_SKIPPED_RECEIVES + 1)
        self.receiver = PollingReceiver(self.sock)
        self.assertEqual(0, self.polls(2 * MIN_SKIPPED_RECEIVES))
        self.sock.has_data = True
        self.assertEqual(1, self.polls())

    def test_a_receiver_in_another_thread_inherits_less(self) -> None:
        for _ in range(20):
            self.polls(MAX_SKIPPED_RECEIVES + 1)
        with ThreadPoolExecutor(1) as another:
            self.receiver = another.submit(PollingReceiver, self.sock).result()
            self.sock.has_data = True
            self.assertEqual(0, another.submit(self.polls, MAX_INHERITED_SKIPS).result())
            self.assertEqual(MIN_PERIOD_ATTEMPTS, another.submit(self.polls, MIN_PERIOD_ATTEMPTS).result())

    def test_switches_of_other_threads_are_not_compared(self) -> None:
        self.sock.has_data = True
        switches = iter(range(0, 100000, MAX_PERIOD_ATTEMPTS))
        with mock.patch.object(busy_poll, "_switches", lambda: (next(switches), 0)), ThreadPoolExecutor(1) as another:
            self.receiver = another.submit(PollingReceiver, self.sock).result()
            self.assertEqual(MIN_PERIOD_ATTEMPTS, self.polls(MIN_PERIOD_ATTEMPTS))
            self.assertEqual(1, self.polls())

    def test_many_receivers_with_few_messages_share_their_results(self) -> None:
        polls = []
        for _ in range(40):
            self.receiver = PollingReceiver(self.sock)
            polls.append(self.polls(2))
        self.assertEqual([2 * MAX_POLLS, MAX_POLLS, 0], polls[:3])
        self.assertLess(sum(polls), 7 * MAX_POLLS)
        self.sock.has_data = True
        for _ in range(MAX_SKIPPED_RECEIVES):
            self.receiver = PollingReceiver(self.sock)
            self.polls(2)
        self.assertEqual(2, self.polls(2))

    def test_no_polling_while_several_threads_receive_in_turn(self) -> None:
        self.sock.has_data = True
        others = [PollingReceiver(self.sock) for _ in range(7)]
        for count, polls in ((1, 1), (2, 0), (7, 0)):
            with self.subTest(others=count):
                for _ in range(MIN_CALM):
                    for other in others[:count]:
                        other.recv(100)
                    found = self.polls()
                self.assertEqual(polls, found)
                self.assertEqual([1] * 3, [self.polls() for _ in range(MAX_CALM + 3)][-3:])

    def test_a_thread_that_receives_seldom_does_not_matter(self) -> None:
        self.sock.has_data = True
        self.polls(MAX_CALM)
        other = PollingReceiver(self.sock)
        for _ in range(5):
            self.assertEqual(MAX_CALM, self.polls(MAX_CALM))
            other.recv(100)

    def test_one_thread_at_a_time(self) -> None:
        with busy_poll._polling:
            self.assertEqual(0, self.polls())
        self.assertEqual(MAX_POLLS, self.polls())

    def test_a_fork_during_polling(self) -> None:
        """A signal handler forks, and returns in the child as well."""
        def poll(_timeout: int) -> List[int]:
            busy_poll._forget_other_threads()
            return [1]

        with mock.patch.object(self.sock, "poll", poll):
            receiver = PollingReceiver(self.sock)
            self.assertEqual([SOME] * 2, [receiver.recv(100) for _ in range(2)])
        self.assertFalse(busy_poll._polling.locked())

    def test_an_error_releases_the_lock(self) -> None:
        for error in (KeyboardInterrupt, OSError):
            with mock.patch.object(self.sock, "poll", side_effect=error):
                receiver = PollingReceiver(self.sock)
                with self.assertRaises(error):
                    receiver.recv(100)
            self.assertFalse(busy_poll._polling.locked())


class SocketTests(unittest.TestCase):
    @mock.patch.object(busy_poll, "_last", None)
    def test_receiving(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            receiver = PollingReceiver(ours)
            theirs.sendall(b"hello")
            self.assertEqual(b"hello", receiver.recv(100))
            buffer = bytearray(3)
            theirs.sendall(b"abc")
            self.assertEqual((3, b"abc"), (receiver.recv_into(buffer), buffer))
            ours.settimeout(0.001)
            with self.assertRaises(socket.timeout):
                receiver.recv(100)
            ours.settimeout(5.0)
            theirs.sendall(b"more")
            self.assertEqual((b"more", 5.0), (receiver.recv(100), ours.gettimeout()))
            theirs.close()
            ours.settimeout(None)
            self.assertEqual(b"", receiver.recv(100))

    @mock.patch.object(busy_poll, "_last", None)
    def test_a_socket_that_another_thread_closes(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            receiver = PollingReceiver(ours)
            ours.close()
            with self.assertRaises(OSError):
                receiver.recv(100)
        self.assertFalse(busy_poll._polling.locked())


class SelectorTests(unittest.TestCase):
    @mock.patch.object(busy_poll, "_last", None)
    def test_polls_before_it_blocks(self) -> None:
        timeouts: List[float] = []
        ready_at = 5

        class FakeSelector:
            def select(self, timeout: float) -> List[str]:
                timeouts.append(timeout)
                return ["ready"] if timeout or len(timeouts) == ready_at else []

        waiting = PollingSelector()
        self.assertEqual(["ready"], waiting.select(FakeSelector(), 2.0))
        self.assertEqual([0] * 5 + [2.0], timeouts)
        ready_at = 0
        for polls in [MAX_POLLS] * MAX_FAILURES + [0]:
            del timeouts[:]
            self.assertEqual(["ready"], waiting.select(FakeSelector(), 2.0))
            self.assertEqual([0] * polls + [2.0], timeouts)

    @mock.patch.object(busy_poll, "_last", None)
    def test_real_selectors(self) -> None:
        for selector_class in (selectors.DefaultSelector, selectors.SelectSelector):
            ours, theirs = socket.socketpair()
            with ours, theirs, selector_class() as selector:
                selector.register(ours, selectors.EVENT_READ, "data")
                waiting = PollingSelector()
                self.assertEqual([], waiting.select(selector, 0.001))
                theirs.sendall(b"x")
                self.assertEqual(["data"], [key.data for key, _ in waiting.select(selector, PATIENCE_SECONDS)])


class WhereTests(unittest.TestCase):
    def receiver(self, sock: Any, **changes: Any) -> Any:
        with settings(**changes), mock.patch.object(busy_poll, "_processors", 2), self.pollers():
            return busy_poll.receiver_for(sock)

    def pollers(self) -> Any:
        return mock.patch.object(busy_poll, "_poller_for", lambda sock: sock.poll)

    def test_where_polling_can_succeed(self) -> None:
        sock = FakeSocket()
        self.assertIsInstance(self.receiver(sock), PollingReceiver)
        self.assertIs(sock, self.receiver(sock, SPINNING=False))
        with mock.patch.object(busy_poll, "_processors", 1):
            self.assertIs(sock, busy_poll.receiver_for(sock))
        sock.pending = lambda: 0  # type: ignore[attr-defined]
        self.assertIs(sock, self.receiver(sock))

    def test_after_a_change_of_the_settings(self) -> None:
        sock: Any = FakeSocket()
        with mock.patch.object(busy_poll, "_processors", 2), self.pollers():
            current = self.receiver(sock)
            self.assertIs(current, busy_poll.receiver_for(sock, current))
            with settings(SPINNING=False):
                self.assertIs(sock, busy_poll.receiver_for(sock, current))
            self.assertIsInstance(busy_poll.receiver_for(sock, sock), PollingReceiver)


if __name__ == "__main__":
    unittest.main()
