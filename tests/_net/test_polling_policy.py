"""The policy of busy polling, by tables: results in, decisions out. No sockets and no clock."""
from __future__ import annotations

import unittest
from typing import List, Optional, Sequence

from Pyro5._net.polling_policy import (
    CROWDED_RECEIVES,
    MAX_INHERITED_SKIPS,
    MAX_PERIOD_ATTEMPTS,
    MAX_SKIPPED_RECEIVES,
    MAX_WAITING_SHARE,
    MIN_ATTEMPTS_PER_SWITCH,
    MIN_PERIOD_ATTEMPTS,
    MIN_SKIPPED_RECEIVES,
    PAUSED_RECEIVES,
    PollingPolicy,
    Usage,
    YieldingPolicy,
)


def decisions(policy: PollingPolicy, results: str) -> List[int]:
    """Record results, "+" for a success and "-" for a failure.

    Returns:
        How many receives were skipped before each of them.
    """
    skipped = []
    for result in results:
        count = 0
        while not policy.should_poll():
            count += 1
        skipped.append(count)
        policy.record(result == "+")
    return skipped


class Machine:
    """Counts context switches: some by themselves, the others as the test says."""

    def __init__(self, thread: int = 1) -> None:
        self.thread = thread
        self.switches = 1000
        self.interruptions = 0
        self.seconds = 50.0
        self.waited_seconds = 20.0  # for a processor
        self.measured = 0

    def measure(self) -> Usage:
        self.measured += 1
        return Usage(self.thread, self.switches, self.interruptions, self.seconds)

    def pass_time(self, seconds: float, waiting_share: float) -> None:
        """Advance the clock; the thread waits for a processor for this share of the time."""
        self.seconds += seconds
        self.waited_seconds += seconds * waiting_share

    def interrupt(self) -> None:
        """Count an interruption."""
        self.interruptions += 1
        self.switches += 1

    def policy(self, previous: Optional[YieldingPolicy] = None, max_pause: Optional[float] = None) -> YieldingPolicy:
        return YieldingPolicy(self.measure, lambda: self.waited_seconds, self.thread, previous, max_pause)


class Failures(unittest.TestCase):
    TABLE = (
        ("++++++++", [0] * 8),
        ("--+--+--+", [0] * 9),
        ("---+", [0, 0, 0, 8]),
        ("---+-", [0, 0, 0, 8, 0]),
        ("----+", [0, 0, 0, 8, 16]),
        ("-----+", [0, 0, 0, 8, 16, 32]),
        ("----------+", [0, 0, 0, 8, 16, 32, 64, 128, 128, 128, 128]),
    )

    def test_skipped_receives(self) -> None:
        self.assertEqual((8, 128), (MIN_SKIPPED_RECEIVES, MAX_SKIPPED_RECEIVES))
        for results, expected in self.TABLE:
            for policy in (PollingPolicy(), Machine().policy()):
                with self.subTest(results, policy=type(policy).__name__):
                    self.assertEqual(expected, decisions(policy, results))

    def test_a_success_ends_the_doubling(self) -> None:
        self.assertEqual([0, 0, 0, 8, 16, 0, 0, 0, 8], decisions(PollingPolicy(), "----+---+"))


class Switches(unittest.TestCase):
    def skipped(self, machine: Machine, policy: YieldingPolicy, switches: int) -> int:
        """Poll for a period with this number of context switches; return the number of receives that are skipped then."""
        for _ in range(MIN_PERIOD_ATTEMPTS):
            self.assertTrue(policy.should_poll())
            policy.record(True)
            machine.switches += switches
            switches = 0
        return decisions(policy, "+")[0]

    def test_switches_of_the_first_period(self) -> None:
        limit = MIN_PERIOD_ATTEMPTS // MIN_ATTEMPTS_PER_SWITCH
        for switches, expected in ((0, 0), (limit - 1, 0), (limit, 8), (limit + 5, 8)):
            with self.subTest(switches):
                machine = Machine()
                self.assertEqual(expected, self.skipped(machine, machine.policy(), switches))

    def test_suspensions_double(self) -> None:
        machine = Machine()
        policy = machine.policy()
        found = []
        for _ in range(6):
            self.assertTrue(policy.should_poll())
            policy.record(True)
            machine.switches += 4
            found.append(decisions(policy, "+" * (MIN_PERIOD_ATTEMPTS - 1)))
            while not policy.should_poll():
                found[-1][0] += 1
        self.assertEqual([8, 16, 32, 64, 128, 128], [skips[0] for skips in found])

    def test_periods_double_while_there_are_no_switches(self) -> None:
        machine = Machine()
        decisions(machine.policy(), "+" * (4 + 8 + 16 + 32 * 3))
        self.assertEqual(32, MAX_PERIOD_ATTEMPTS)
        self.assertEqual(1 + 6, machine.measured)

    def test_switches_of_failed_attempts_are_expected(self) -> None:
        machine = Machine()
        policy = machine.policy()
        for result in "+-+-+-+-" * 8:
            self.assertTrue(policy.should_poll())
            policy.record(result == "+")
            machine.switches += result == "-"

    def test_another_thread(self) -> None:
        machine = Machine()
        policy = machine.policy()
        machine.thread, machine.switches = 2, 5000
        self.assertEqual([0] * 5, decisions(policy, "+++++"))


class Crowded(unittest.TestCase):
    """Polling is suspended while the thread waits for a processor for most of the time."""

    def becomes_crowded(self, machine: Machine, policy: YieldingPolicy, waiting_share: float,
                        attempts_per_slice: int = 30) -> bool:
        """Poll, and return whether a receive was skipped."""
        for attempt in range(1, 321):
            if not policy.should_poll():
                return True
            machine.pass_time(100e-6, waiting_share)
            if attempt % attempts_per_slice == 0:
                machine.interrupt()
            policy.record(True)
        return False

    def ended(self, machine: Machine, policy: YieldingPolicy, shares: Sequence[float]) -> int:
        """Return how many receives are skipped while the thread waits for these shares of the time, each between two looks."""
        count, machine.seconds = 1, machine.seconds + 100e-6  # the first one has been skipped
        while not policy.should_poll():
            machine.pass_time(100e-6, shares[min(count // CROWDED_RECEIVES, len(shares) - 1)])
            count += 1
        policy.record(True)
        return count

    def test_shares(self) -> None:
        self.assertEqual(0.5, MAX_WAITING_SHARE)
        for share, attempts_per_slice, is_crowded in ((0.6, 30, True), (0.75, 40, True), (0.9, 200, True), (0.4, 30, False),
                                                      (0.0, 30, False), (0.75, 1000, False)):
            with self.subTest(share=share, attempts_per_slice=attempts_per_slice):
                machine = Machine()
                self.assertEqual(is_crowded, self.becomes_crowded(machine, machine.policy(), share, attempts_per_slice))

    def test_only_the_time_since_the_last_look_counts(self) -> None:
        machine = Machine()
        policy = machine.policy()
        self.assertFalse(self.becomes_crowded(machine, policy, 0.1))
        self.assertTrue(self.becomes_crowded(machine, policy, 0.75))

    def test_suspended_until_it_hardly_waits(self) -> None:
        for shares in ([0.1], [0.75, 0.1], [0.6, 0.9, 0.6, 0.0]):
            with self.subTest(shares):
                machine = Machine()
                policy = machine.policy()
                self.assertTrue(self.becomes_crowded(machine, policy, 0.75))
                self.assertEqual(CROWDED_RECEIVES * len(shares), self.ended(machine, policy, shares))
                self.assertFalse(self.becomes_crowded(machine, policy, 0.0))
                self.assertTrue(self.becomes_crowded(machine, policy, 0.75))

    def test_a_new_policy_of_the_thread_stays_suspended(self) -> None:
        machine = Machine()
        policy = machine.policy()
        self.assertTrue(self.becomes_crowded(machine, policy, 0.75))
        self.assertEqual(2 * CROWDED_RECEIVES, self.ended(machine, machine.policy(policy), [0.75, 0.1]))

    def test_another_thread_has_waited_for_another_time(self) -> None:
        machine = Machine()
        policy = machine.policy()
        machine.thread, machine.waited_seconds = 2, 500.0
        machine.interrupt()
        self.assertFalse(self.becomes_crowded(machine, policy, 0.0))


class Pauses(unittest.TestCase):
    """Polling of a client pays only while its calls follow each other quickly, however long they take."""

    def polls(self, machine: Machine, policy: YieldingPolicy, pause: float, receives: int, duration: float = 0.0) -> int:
        count = 0
        for _ in range(receives):
            is_polling = policy.should_poll()
            machine.seconds += duration
            if is_polling:
                count += 1
                policy.record(True)
            machine.seconds += pause
        return count

    def test_pauses(self) -> None:
        for pause, max_pause, suspends in ((0.0001, 0.0005, False), (0.001, 0.0005, True), (0.05, 0.0005, True),
                                           (0.05, None, False)):
            with self.subTest(pause=pause, max_pause=max_pause):
                machine = Machine()
                policy = machine.policy(None, max_pause)
                self.polls(machine, policy, pause, 100)
                count = self.polls(machine, policy, pause, 1000)
                # While it is suspended, each 64 receives without polling are followed by a period of 4 attempts.
                if suspends:
                    self.assertLess(count, 70)
                else:
                    self.assertEqual(1000, count)

    def test_long_calls(self) -> None:
        machine = Machine()
        self.assertEqual(1000, self.polls(machine, machine.policy(None, 0.0005), 0.0001, 1000, duration=0.01))

    def test_a_change_is_noticed(self) -> None:
        machine = Machine()
        policy = machine.policy(None, 0.0005)
        for _ in range(3):
            self.polls(machine, policy, 50e-6, PAUSED_RECEIVES)
            self.assertEqual(1000, self.polls(machine, policy, 50e-6, 1000))
            self.assertLessEqual(self.polls(machine, policy, 0.01, PAUSED_RECEIVES), MAX_PERIOD_ATTEMPTS)


class Inheriting(unittest.TestCase):
    def suspended(self, machine: Machine) -> YieldingPolicy:
        """Return a policy that skips the maximum of receives."""
        policy = machine.policy()
        decisions(policy, "-" * 9)
        return policy

    def test_the_same_thread_inherits_all(self) -> None:
        machine = Machine()
        self.assertEqual([MAX_SKIPPED_RECEIVES], decisions(machine.policy(self.suspended(machine)), "+"))

    def test_another_thread_inherits_a_short_suspension(self) -> None:
        previous = self.suspended(Machine(1))
        self.assertEqual([MAX_INHERITED_SKIPS], decisions(Machine(2).policy(previous), "+"))

    def test_failures_are_inherited(self) -> None:
        machine = Machine()
        previous = machine.policy()
        decisions(previous, "--")
        self.assertEqual([0, 8], decisions(machine.policy(previous), "-+"))


if __name__ == "__main__":
    unittest.main()
