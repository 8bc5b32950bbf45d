"""The order in which the entries that are ready in a loop are handled, and the accounts that the loop's time is charged to."""
from __future__ import annotations

import select
import selectors
import time
from typing import Any, List, NamedTuple, Tuple

AHEAD_SECONDS = 0.05  # an account that has had so much more than another one waits for further requests of that one
AGAIN_MILLISECONDS = 1  # how long these may take to arrive
CHARGED_SECONDS = 0.0005  # what is handled alone in a turn is charged only if it took this long


class ParkedEntry(NamedTuple):
    """Stands for a parked connection among the entries of a selector, in the place of a `selectors.SelectorKey`."""

    data: Any
    loop: Any
    fd: int = -1


def handle(entry: Any) -> None:
    """Handle an entry of the selector, or go on with a parked connection."""
    key, events = entry
    if type(key) is ParkedEntry:
        key.loop.take_back(key.data)
        return
    on_ready = getattr(key.data, "on_ready", None)  # a program may have registered something of its own
    if on_ready is not None:
        on_ready(events)


def _account_of(data: Any) -> Any:
    """Return the account that the loop's time is charged to when something is handled."""
    return getattr(data, "loop_account", data)


class FairOrder:
    """Handles entries in the order of the time that their accounts have had.  Belongs to the loop's thread.

    Attributes:
        turn_ends: when (monotonic seconds) the turn of the loop ends.
    """

    def __init__(self) -> None:
        self.turn_ends = 0.0
        self._loop_seconds = 0.0  # the share that an account has which was not ready before

    def handle_one(self, entry: Any, now: float) -> None:
        """Handle the only entry of a turn.  Its time is charged only if it took long: this is the usual case, and cheap."""
        account = _account_of(entry[0].data)
        handle(entry)
        after = time.monotonic()
        if after - now > CHARGED_SECONDS and hasattr(account, "loop_seconds"):
            self._charge(entry[0].data, account, max(account.loop_seconds, self._loop_seconds), after - now)

    def handle_all(self, entries: List[Any], now: float) -> List[Any]:
        """Handle the entries, until the turn is over.

        So no client waits for others that all ask for much: one that has just begun, or asks for little, is the next one.

        Returns:
            the entries that were not handled.
        """
        entries.sort(key=self._place)
        for number, entry in enumerate(entries):
            if number and self._seconds_of(entry) > self._seconds_of(entries[0]) + AHEAD_SECONDS:
                before, now = now, self._handle_again(entries[:number], self._seconds_of(entry) - AHEAD_SECONDS, now)
                if now > max(before, self.turn_ends):
                    return entries[number:]
            has_share = self._seconds_of(entry) >= 0
            now = self._handle_and_charge(entry, now)
            if has_share and now > self.turn_ends:
                return entries[number + 1:]
        return []

    def _handle_and_charge(self, entry: Any, now: float) -> float:
        """Handle an entry, charge the time to its account, and return the time."""
        data = entry[0].data
        account = _account_of(data)  # before: a connection may get another one while it is handled
        seconds = self._seconds_of(entry)
        handle(entry)
        after = time.monotonic()
        if seconds >= 0:
            self._charge(data, account, seconds, after - now)
        return after

    def _charge(self, data: Any, account: Any, seconds_before: float, seconds: float) -> None:
        if account is not data:  # its own share orders those that have the same account
            data.loop_seconds = getattr(data, "loop_seconds", 0.0) + seconds
        account.loop_seconds = seconds_before + seconds
        self._loop_seconds = max(seconds_before, self._loop_seconds)

    def _handle_again(self, handled: List[Any], limit_seconds: float, now: float) -> float:
        """Handle further requests of those just handled, before others that have had far more of the loop's time.

        Without this, a client that waits for each reply would get one call for each costly request of the others: its next
        request arrives a moment after its reply.

        Args:
            handled: entries of the selector; parked connections among them are left out.
            limit_seconds: of an account; those that have had this much wait for the others.

        Returns:
            the time; the same one if nothing was handled.
        """
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
        return (self._seconds_of(entry) + getattr(data, "expected_seconds", 0.0), getattr(data, "loop_seconds", 0.0))

    def _seconds_of(self, entry: Any) -> float:
        seconds: float = getattr(_account_of(entry[0].data), "loop_seconds", -1.0)
        return seconds if seconds < 0 else max(seconds, self._loop_seconds)
