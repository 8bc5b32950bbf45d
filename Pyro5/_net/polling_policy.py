"""The policy of busy polling: decide by previous results whether to poll before blocking.

There are no sockets, clocks, locks or threads in this module. Measurements are passed in as functions, so tests can check
every decision with tables of results. The receivers that use the policy are in ``busy_poll``.
"""
from __future__ import annotations

from typing import Callable, Optional, Tuple

# Failed attempts in a row after which polling is suspended. A failed attempt takes 500 polls of 0.7 us each: 350 us.
MAX_FAILURES = 3
# The number of receives without polling while it is suspended. It doubles with each further failed attempt. At the maximum, a
# failed attempt adds 3 us to each receive, which is about a tenth of what the library needs for a call on one side.
MIN_SKIPPED_RECEIVES, MAX_SKIPPED_RECEIVES = 8, 128
# The number of attempts of a period, at the end of which the context switches are counted. It doubles while others do not need
# the processor. Counting takes 0.6 us: 0.15 us per attempt in the shortest period, 0.02 us in the longest.
MIN_PERIOD_ATTEMPTS, MAX_PERIOD_ATTEMPTS = 4, 32
# Polling is suspended if there were fewer attempts than this per context switch. A thread that has a processor for itself is
# hardly ever switched while it polls; one that shares it is switched in nearly every attempt.
MIN_ATTEMPTS_PER_SWITCH = 4
# Polling is also suspended if the thread was ready to run, but waited for a processor, for more than this share of the time. A
# thread that polls then uses up its slice while others wait that could continue: four client processes on one of two
# processors wait for 60 % of the time, and make a tenth more calls if they block. If they may run on both, they wait for 10 to
# 30 %, and make as many calls either way; a single client waits for 1 to 4 %.
MAX_WAITING_SHARE = 0.5
# Receives without polling after that, until the share since then is looked at (0.05 us per receive).
CROWDED_RECEIVES = 128
# A client also suspends polling, for this number of receives, if this many seconds pass from a reply to the next request. The
# server then has to be woken, and polling until it answers takes longer than blocking: with 1 000 calls per second, a tenth of
# the client's processor time. One pause in each period is measured.
MAX_PAUSE_SECONDS, PAUSED_RECEIVES = 0.0005, 64
# Receives without polling that a new connection in another thread inherits at most from the previous one: it may be in another
# situation, so it finds this out sooner.
MAX_INHERITED_SKIPS = 32


class Usage:
    """What the calling thread has used of the processors.

    Attributes:
        thread: its identifier.
        switches: context switches.
        interruptions: those of them at which it could have continued.
        seconds: of a monotonic clock.
    """

    def __init__(self, thread: int, switches: int, interruptions: int, seconds: float) -> None:
        self.thread, self.switches, self.interruptions, self.seconds = thread, switches, interruptions, seconds


class PollingPolicy:
    """Suspends polling after several failures in a row, for a while that doubles each time. Not thread-safe."""

    __slots__ = ("_failures", "_skips_left", "_next_skips")

    def __init__(self) -> None:
        self._failures = 0
        self._skips_left = 0
        self._next_skips = MIN_SKIPPED_RECEIVES

    def should_poll(self) -> bool:
        """Return whether to poll before the next receive. If this was done, call `record` with the result."""
        if self._skips_left:
            self._skips_left -= 1
            return False
        return True

    def record(self, succeeded: bool) -> None:
        """Record the result of an attempt: whether there was data before the polls were used up."""
        self._count(succeeded)
        if succeeded:
            self._next_skips = MIN_SKIPPED_RECEIVES

    def _count(self, succeeded: bool) -> None:
        self._failures = 0 if succeeded else self._failures + 1
        if self._failures >= MAX_FAILURES:
            self._failures = MAX_FAILURES - 1  # after the suspension, a single failure suspends polling again
            self._suspend()

    def _suspend(self) -> None:
        self._skips_left = self._next_skips
        self._next_skips = min(2 * self._skips_left, MAX_SKIPPED_RECEIVES)


class YieldingPolicy(PollingPolicy):
    """Also suspends polling while other threads or processes need the processor or the lock of the interpreter.

    These may be the ones that compute the reply, and polling would take the processor from them. Not thread-safe.

    Args:
        measure: returns the `Usage` of the calling thread. Called about once per period.
        waited: returns for how many seconds the calling thread has waited for a processor. Called rarely.
        thread: the identifier of the calling thread.
        previous: another policy whose state is inherited. Many connections carry only two or three messages, too few to learn
            from.
        max_pause: the seconds from a message to the next attempt above which polling is suspended; None: any.
    """

    __slots__ = ("_measure", "_waited", "_period", "_attempts_left", "_switches", "_thread", "_look", "_is_suspended",
                 "_max_pause", "_received_at")
    _period: int
    _attempts_left: int
    _switches: int  # of the thread at the beginning of the period, plus those that blocking after a failed attempt causes
    _thread: int  # that the switches were counted for
    _look: Tuple[Usage, float]  # the last one at the time that the thread has waited for a processor
    _is_suspended: bool  # because it has waited for too long
    _received_at: Optional[float]  # the end of the last period, before the pause that follows was measured

    def __init__(self, measure: Callable[[], Usage], waited: Callable[[], float], thread: int,
                 previous: Optional[YieldingPolicy] = None, max_pause: Optional[float] = None) -> None:
        super().__init__()
        self._measure, self._waited = measure, waited
        self._is_suspended, self._max_pause = False, max_pause
        self._received_at = None
        if previous is not None:
            self._failures, self._next_skips = previous._failures, previous._next_skips
            self._skips_left = min(previous._skips_left, MAX_INHERITED_SKIPS)
        if previous is None or previous._thread != thread:
            usage = self._begin_period(MIN_PERIOD_ATTEMPTS)
            # That of another thread takes no memory for idle connections, and is replaced by the first one of this thread.
            self._look = (usage, waited()) if previous is None else previous._look
        else:  # one thread that connects again and again continues the period of its previous connection
            self._skips_left, self._thread = previous._skips_left, previous._thread
            self._period, self._attempts_left, self._switches = previous._period, previous._attempts_left, previous._switches
            self._look, self._is_suspended = previous._look, previous._is_suspended

    def _begin_period(self, attempts: int) -> Usage:
        self._period = self._attempts_left = attempts
        usage = self._measure()
        self._thread, self._switches, self._received_at = usage.thread, usage.switches, None
        return usage

    def should_poll(self) -> bool:
        if self._skips_left:
            self._skips_left -= 1
            self._attempts_left = 0  # the switches of receives that block are not to be counted: begin a new period
            return False
        if self._is_suspended and self._is_crowded(self._measure()):
            self._skips_left = CROWDED_RECEIVES - 1
            return False
        if not self._attempts_left:
            self._begin_period(MIN_PERIOD_ATTEMPTS)
        elif self._received_at is not None and self._is_paused(self._received_at):
            return False
        return True

    def _is_paused(self, received_at: float) -> bool:
        """Return whether the program has made a pause since this time; if so, skip further receives."""
        self._received_at = None
        usage = self._measure()
        if self._max_pause is None or usage.seconds - received_at <= self._max_pause:
            return False
        self._skips_left, self._attempts_left = PAUSED_RECEIVES - 1, 0
        return True

    def record(self, succeeded: bool) -> None:
        self._attempts_left -= 1
        self._count(succeeded)
        if not (self._attempts_left or self._skips_left):
            self._end_period()
        self._switches += not succeeded  # the receive blocks now, which causes one more switch

    def _end_period(self) -> None:
        switches, attempts, thread = self._switches, self._period, self._thread
        usage = self._begin_period(min(2 * attempts, MAX_PERIOD_ATTEMPTS))
        if thread != self._thread:
            return  # the counts of different threads cannot be compared
        if self._max_pause is not None:
            self._received_at = usage.seconds
        if (self._switches - switches) * MIN_ATTEMPTS_PER_SWITCH >= attempts:
            self._suspend()
        # A thread that polls waits for a processor only after it was interrupted.
        elif usage.interruptions != self._look[0].interruptions and self._is_crowded(usage):
            self._skips_left = CROWDED_RECEIVES
        else:
            self._next_skips = MIN_SKIPPED_RECEIVES

    def _is_crowded(self, usage: Usage) -> bool:
        """Return whether the thread has waited for a processor for most of the time since the last look."""
        (before, waited_before), waited = self._look, self._waited()
        self._look = usage, waited
        self._is_suspended = (usage.thread == before.thread
                              and waited - waited_before > MAX_WAITING_SHARE * (usage.seconds - before.seconds))
        return self._is_suspended
