"""The order in which a loop handles ready connections, and the accounts that its time is charged to."""
from __future__ import annotations

import select
import selectors
import time
from typing import Any, List, NamedTuple, Tuple

AHEAD_SECONDS = 0.05  # when one account is this far ahead of another, it waits for further requests of that one
AGAIN_MILLISECONDS = 1  # how long it waits for them
CHARGED_SECONDS = 0.0005  # a connection that is handled alone in a turn is charged only if it took this long


class ParkedEntry(NamedTuple):
    """A parked connection among the entries of a selector; takes the place of a `selectors.SelectorKey`."""

    # A tuple, like the keys of the selector: made for each parked connection, so it has to be cheap.
    data: Any
    loop: Any
    fd: int = -1


def handle(entry: Any) -> None:
    """Handle an entry of the selector, or continue with a parked connection."""
    key, events = entry
    if type(key) is ParkedEntry:
        key.loop.resume_parked(key.data)
        return
    on_ready = getattr(key.data, "on_ready", None)  # a program may have registered something of its own
    if on_ready is not None:
        on_ready(events)


def _account_of(data: Any) -> Any:
    """Return the account that the loop's time is charged to when something is handled."""
    # A parked connection and a new one have the attribute; listening sockets, wake-ups and sockets of the program do
    # not, and stand for themselves.
    return getattr(data, "loop_account", data)


class FairOrder:
    """Handles entries in the order of the loop time that their accounts have used. Belongs to the thread of the loop.

    A client whose requests have been costly comes after those with cheap ones that have used as much time: its place is
    that of its account at the end of the next request, if that one takes as long as the last one. So a client with cheap
    requests waits for one costly request of another client at most, and not for one of each of them. All accounts still
    get the same time: the place of one that waits stays as it is, while the others, who use time, move behind it.

    Attributes:
        turn_ends: when (monotonic seconds) the turn of the loop ends.
        is_shared: more than one connection was ready at the beginning of the turn.
    """

    def __init__(self) -> None:
        self.turn_ends = 0.0
        self.is_shared = False
        # accounts that were not ready before are treated as if they had used this much, so that idle time earns no
        # credit
        self._loop_seconds = 0.0

    def handle_one(self, entry: Any, now: float) -> None:
        """Handle the only entry of a turn. This is the usual case and must be cheap, so its time is charged only if it
        was long.
        """
        account = _account_of(entry[0].data)
        self.is_shared = False
        handle(entry)
        after = time.monotonic()
        if after - now > CHARGED_SECONDS and hasattr(account, "loop_seconds"):
            self._charge(entry[0].data, account, max(account.loop_seconds, self._loop_seconds), after - now)

    def handle_all(self, entries: List[Any], now: float) -> List[Any]:
        """Handle entries until the turn is over.

        Connections that have used less time, or request less, come first, so they do not wait for those that keep the
        loop busy.

        Returns:
            the entries that were not handled.
        """
        entries.sort(key=self._place)
        # Sorted once: entries that became ready during the turn are found by the next select().
        self.is_shared = True
        for number, entry in enumerate(entries):
            if number and self._place(entry)[0] > self._seconds_of(entries[0]) + AHEAD_SECONDS:
                before, now = now, self._handle_again(entries[:number], self._place(entry)[0] - AHEAD_SECONDS, now)
                if now > max(before, self.turn_ends):
                    return entries[number:]
            has_share = self._seconds_of(entry) >= 0  # wake-ups and listening sockets have no account
            now = self._handle_and_charge(entry, now)
            if has_share and now > self.turn_ends:
                return entries[number + 1:]
        return []

    def _handle_and_charge(self, entry: Any, now: float) -> float:
        """Handle an entry, charge the time to its account, and return the current time."""
        data = entry[0].data
        account = _account_of(data)  # read before: handling may move the connection to another account
        seconds = self._seconds_of(entry)
        handle(entry)
        after = time.monotonic()
        if seconds >= 0:
            self._charge(data, account, seconds, after - now)
        return after

    def _charge(self, data: Any, account: Any, seconds_before: float, seconds: float) -> None:
        if account is not data:  # its own time is the order within a shared account
            data.loop_seconds = getattr(data, "loop_seconds", 0.0) + seconds
        # At least half of what it was: reading a message that is handled later is cheap, and must not make the client one
        # with cheap requests.
        data.usual_seconds = max(seconds, getattr(data, "usual_seconds", 0.0) / 2)
        account.loop_seconds = seconds_before + seconds
        self._loop_seconds = max(seconds_before, self._loop_seconds)

    def _handle_again(self, handled: List[Any], limit_seconds: float, now: float) -> float:
        """Handle further requests of the entries just handled, before others that have used much more of the loop's
        time.

        Without this, a client that waits for each reply would get one call for each costly request of the others: its
        next request arrives a moment after its reply.

        Args:
            handled: entries of the selector; parked connections among them are skipped.
            limit_seconds: accounts that have used this much wait for the others.

        Returns:
            the current time; the argument `now` if nothing was handled.
        """
        # Windows has no poll(). There, order alone has to keep costly clients back.
        if not hasattr(select, "poll"):
            return now
        poll, waiting = select.poll(), {}
        for key, events in handled:
            if type(key) is not ParkedEntry and self._may_come_again((key, events), limit_seconds):
                poll.register(key.fd, select.POLLIN)
                waiting[key.fd] = key, selectors.EVENT_READ
        while waiting and now < self.turn_ends:
            found = poll.poll(AGAIN_MILLISECONDS)
            if not found:
                break
            for fd, _ in found:
                now = self._handle_and_charge(waiting[fd], now)
                if not self._may_come_again(waiting[fd], limit_seconds):
                    poll.unregister(fd)
                    del waiting[fd]
        return now

    def _may_come_again(self, entry: Any, limit_seconds: float) -> bool:
        is_waiting = getattr(entry[0].data, "watched", 0) == selectors.EVENT_READ
        return is_waiting and 0 <= self._seconds_of(entry) < limit_seconds

    def _place(self, entry: Any) -> Tuple[float, float]:
        data = entry[0].data
        expected = max(getattr(data, "expected_seconds", 0.0), getattr(data, "usual_seconds", 0.0))
        return self._seconds_of(entry) + expected, getattr(data, "loop_seconds", 0.0)

    def _seconds_of(self, entry: Any) -> float:
        seconds: float = getattr(_account_of(entry[0].data), "loop_seconds", -1.0)
        return seconds if seconds < 0 else max(seconds, self._loop_seconds)
