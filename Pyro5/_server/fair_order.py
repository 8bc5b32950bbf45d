"""The order in which a loop handles ready connections, and the accounts that its time is charged to."""
from __future__ import annotations

import math
import select
import selectors
import time
from typing import Any, Dict, List, Tuple

from .. import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

AHEAD_SECONDS = 0.05  # when one account is this far ahead of another, it waits for further requests of that one
AGAIN_MILLISECONDS = 1  # how long it waits for them
SHARED_BY = 32  # about how many busy connections share an account, at most
CHECKED_SECONDS = 0.005  # only of longer times it is found out whether the system has let others run meanwhile
CHARGED_SECONDS = 0.0005  # a connection that is handled alone in a turn is charged only if it took this long

# An entry of the selector, in this order: the place of its account, its place within a shared account, its number among the
# entries (which makes each tuple unique, so that the rest is not compared), the entry, and the account.
_Waiting = Tuple[float, float, int, Any, Any]


class ParkedEntry(NamedTuple):
    """A parked connection among the entries of a selector; takes the place of a `selectors.SelectorKey`."""

    # A tuple, like the keys of the selector: made for each parked connection, so it has to be cheap.
    data: Any
    loop: Any
    fd: int = -1


def _handle(key: Any, events: int, data: Any) -> None:
    """Handle an entry of the selector, or continue with a parked connection."""
    if type(key) is ParkedEntry:
        key.loop.resume_parked(data)
    elif hasattr(data, "on_ready"):  # else a program has registered something of its own
        data.on_ready(events)


def _account_of(data: Any) -> Any:
    """Return the account that the loop's time is charged to when something is handled."""
    # A parked connection and a new one have the attribute; listening sockets, wake-ups and sockets of the program do
    # not, and stand for themselves.
    return getattr(data, "loop_account", data)


def _is_cheap(key: Any, data: Any) -> bool:
    """Return whether the next request of an entry will probably be so short that it need not wait for any other one."""
    return (getattr(data, "is_plain", False) and data.usual_seconds <= CHARGED_SECONDS and data.waits_at is None
            and type(key) is not ParkedEntry)


_THIS_THREAD = getattr(resource, "RUSAGE_THREAD", None)


class _Processor:
    """Distinguishes the time that the calling thread has used from time in which the system let other threads run.

    On a busy machine, a thread may have to wait for a processor for tenths of a second. If this were charged to the client
    whose request happens to be handled, each client that keeps the loop busy would be served for as long before that one.
    """

    def __init__(self) -> None:
        self._usage: Any = None

    def begin(self) -> None:
        """Begin to measure."""
        if _THIS_THREAD is not None:  # some systems do not report it
            self._usage = resource.getrusage(_THIS_THREAD)

    def seconds_used(self, seconds: float) -> float:
        """Return how many of the last seconds the thread has used. Nothing that is charged may have come before begin()."""
        before = self._usage
        self.begin()
        after = self._usage
        # If it has waited for something itself, such as a lock or a slow method, that is part of the request.
        if before is None or after.ru_nvcsw != before.ru_nvcsw:
            return seconds
        used: float = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return min(seconds, used)


def _expected_seconds(data: Any) -> float:
    """Return an estimate of the time that the next request of a connection will take."""
    expected: float = getattr(data, "expected_seconds", 0.0)
    return max(expected, getattr(data, "usual_seconds", 0.0))


class FairOrder:
    """Handles entries in the order of the loop time that their accounts have used. Belongs to the thread of the loop.

    The place of an account that begins to wait is the time that it has used, plus the time that its next request is expected
    to take: the size of that request, and how long the last one took, count. So a client with cheap requests waits for one
    costly request of another client at most, and not for one of each of them. The place does not change until the account
    has its turn, whereas those that are handled move behind it: each has its turn, and all get the same time.

    The connections that share an account have places within it, which are determined in the same way.

    Attributes:
        turn_ends: when (monotonic seconds) the turn of the loop ends.
        is_shared: more than one connection was ready at the beginning of the turn.
    """

    def __init__(self) -> None:
        self.turn_ends = 0.0
        self.is_shared = False
        # accounts that were not ready before are treated as if they had used this much, so that idle time earns no credit
        self._loop_seconds = 0.0
        self._processor = _Processor()

    def handle_one(self, entry: Any, now: float) -> None:
        """Handle the only entry of a turn. This is the usual case and must be cheap, so its time is charged only if it
        was long.
        """
        key, events = entry
        data = key.data
        self.is_shared = False
        _handle(key, events, data)
        after = time.monotonic()
        if after - now > CHARGED_SECONDS:
            self._charge_long(data, after - now)
        elif getattr(data, "waits_at", None) is not None:  # it was left over from the turn before
            data.waits_at = _account_of(data).waits_at = None

    def _charge_long(self, data: Any, seconds: float) -> None:
        """Charge time that was measured without a look at the account before."""
        account = _account_of(data)
        if hasattr(account, "loop_seconds"):
            self._charge(data, account, account.loop_seconds, seconds)

    def handle_all(self, entries: List[Any], now: float) -> List[Any]:
        """Handle entries until the turn is over.

        Connections that have used less time, or request less, come first, so they do not wait for those that keep the
        loop busy.

        Returns:
            the entries that were not handled.
        """
        self.is_shared = True
        self._processor.begin()
        if all([_is_cheap(key, key.data) for key, _ in entries]):
            entries, now = self._handle_cheap(entries, now)
            if not entries or now > self.turn_ends:
                return entries
        # Sorted once: entries that became ready during the turn are found by the next select().
        order = self._in_order(entries)
        first: Any = None  # of those with an account
        far_ahead = math.inf  # a lower bound: the first account may have used more since
        for number, (place, _, _, entry, account) in enumerate(order):
            if place > far_ahead and place > self._seconds_of(first) + AHEAD_SECONDS:
                before, now = now, self._handle_again(order[:number], place - AHEAD_SECONDS, now)
                if now > max(before, self.turn_ends):
                    return [entry for _, _, _, entry, _ in order[number:]]
            now = self._handle_and_charge(entry, account, now)
            if place < 0:
                continue  # wake-ups and listening sockets have no account
            if now > self.turn_ends:
                return [entry for _, _, _, entry, _ in order[number + 1:]]
            if first is None:
                first, far_ahead = account, self._seconds_of(account) + AHEAD_SECONDS
        return []

    def _handle_cheap(self, entries: List[Any], now: float) -> Tuple[List[Any], float]:
        """Handle entries as they come, until one of them has taken long; of the usual ones nothing is charged.

        With eight clients that call at the same time, the order takes 800 byte codes per call, and this 60.

        Returns:
            the entries that were not handled, and the current time.
        """
        for number, (key, events) in enumerate(entries):
            key.data.on_ready(events)
            before, now = now, time.monotonic()
            if now - before > CHARGED_SECONDS:
                used = now - before
                self._charge_long(key.data, used if used < CHECKED_SECONDS else self._processor.seconds_used(used))
                return entries[number + 1:], now
            if now > self.turn_ends:
                return entries[number + 1:], now
        return [], now

    def _handle_and_charge(self, entry: Any, account: Any, now: float) -> float:
        """Handle an entry, charge the time to its account, and return the current time."""
        key, events = entry
        data = key.data
        seconds = getattr(account, "loop_seconds", -1.0)  # before: a nested turn of the loop may charge others
        _handle(key, events, data)
        after = time.monotonic()
        if seconds >= 0:
            used = after - now
            self._charge(data, account, seconds, used if used < CHECKED_SECONDS else self._processor.seconds_used(used))
        return after

    def _charge(self, data: Any, account: Any, seconds_before: float, seconds: float) -> None:
        # At least half of what it was: reading a message that is handled later is cheap, and must not make the client one
        # with cheap requests.
        usual = getattr(data, "usual_seconds", 0.0) / 2
        data.usual_seconds = seconds if seconds > usual else usual
        if account is not data:
            data.loop_seconds = getattr(data, "loop_seconds", 0.0) + seconds
            # Within the account, this counts from the time of its other connections: idle time earns no credit there either.
            # It goes on although each of them may be handled only once, when clients connect for every request.
            own_before = max(getattr(data, "shared_seconds", 0.0), getattr(account, "shared_seconds", 0.0))
            data.shared_seconds, account.shared_seconds = own_before + seconds, own_before + seconds / SHARED_BY
        if seconds_before > self._loop_seconds:
            self._loop_seconds = seconds_before
        account.loop_seconds = self._loop_seconds + seconds
        data.waits_at = account.waits_at = None  # if it is ready again, it begins to wait then

    def _handle_again(self, handled: List[_Waiting], limit_seconds: float, now: float) -> float:
        """Handle further requests of the entries just handled, before others that have used much more of the loop's time.

        Without this, a client that waits for each reply would get one call for each costly request of the others: its
        next request arrives a moment after its reply.

        Args:
            handled: those just handled; parked connections among them are skipped.
            limit_seconds: accounts that have used this much wait for the others.

        Returns:
            the current time; the argument `now` if nothing was handled.
        """
        # Windows has no poll(). There, order alone has to keep costly clients back.
        if not hasattr(select, "poll"):
            return now
        poll, waiting = select.poll(), {}
        for _, _, _, entry, _ in handled:
            key = entry[0]
            if type(key) is not ParkedEntry and self._may_come_again(key.data, limit_seconds):
                poll.register(key.fd, select.POLLIN)
                waiting[key.fd] = key, selectors.EVENT_READ
        while waiting and now < self.turn_ends:
            found = poll.poll(AGAIN_MILLISECONDS)
            if not found:
                break
            for fd, _ in found:
                data = waiting[fd][0].data
                now = self._handle_and_charge(waiting[fd], _account_of(data), now)
                if not self._may_come_again(data, limit_seconds):
                    poll.unregister(fd)
                    del waiting[fd]
        return now

    def _may_come_again(self, data: Any, limit_seconds: float) -> bool:
        is_waiting = getattr(data, "watched", 0) == selectors.EVENT_READ
        return is_waiting and 0 <= self._seconds_of(_account_of(data)) < limit_seconds

    def _in_order(self, entries: List[Any]) -> List[_Waiting]:
        order: List[_Waiting] = []
        # Of a shared account, the connection that comes first determines what is expected.
        shared: Dict[Any, Tuple[float, float]] = {}
        for number, entry in enumerate(entries):
            data = entry[0].data
            account = _account_of(data)
            place = getattr(data, "waits_at", None)
            if place is None:
                if account is data:
                    place = self._seconds_of(data)
                else:
                    place = max(getattr(data, "shared_seconds", 0.0), getattr(account, "shared_seconds", 0.0))
                if place >= 0:  # else it is a wake-up or a listening socket: they come first
                    data.waits_at = place = place + _expected_seconds(data)
            order.append((place, 0.0, number, entry, account))
            if account is not data:
                shared[account] = min(shared.get(account, (place, math.inf)), (place, _expected_seconds(data)))
        places: Dict[Any, float] = {}
        for account, (_, expected) in shared.items():
            if getattr(account, "waits_at", None) is None:
                account.waits_at = self._seconds_of(account)
            places[account] = account.waits_at + expected
        if places:
            order = [(places.get(account, place), place if account in places else 0.0, number, entry, account)
                     for place, _, number, entry, account in order]
        order.sort()
        return order

    def _seconds_of(self, account: Any) -> float:
        """Return the time that an account has used; a negative number for what is not an account."""
        seconds: float = getattr(account, "loop_seconds", -1.0)
        return self._loop_seconds if 0 <= seconds < self._loop_seconds else seconds
