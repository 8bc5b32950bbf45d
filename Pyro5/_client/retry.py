"""Which calls are repeated, how often, and after which pauses; reconnecting a proxy, with increasing pauses."""
from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, Union

from .. import LazyModule, errors
from .call_options import CallOptions, current_options, seconds_until

if TYPE_CHECKING:
    import random
else:
    random = LazyModule(globals(), "random")

T = TypeVar("T")

log = logging.getLogger("Pyro5.client")

TOKENS_PER_SUCCESS = 0.1  # when more than a tenth of the calls fail, the budget runs out, and retries no longer add load
MIN_BUSY_SECONDS, MAX_BUSY_SECONDS = 0.01, 10.0  # of the pause that a busy server asks for
RECONNECT_FIRST_PAUSE_SECONDS = 0.1  # doubled after every failure
RECONNECT_MAX_PAUSE_SECONDS = 2.0
REPEATABLE = (errors.ConnectionClosedError, errors.TimeoutError)  # after these a call that changes nothing may be repeated


class Retry:
    """Says how calls that fail are repeated.

    A call is repeated if its request has certainly not been sent (the server could not be reached), if the server refused
    to run it now (it says when to try again), or if the connection failed and the method is ``@expose(idempotent=True)``.
    What the method itself raised is never repeated. A deadline of the call covers all attempts and pauses.

    Args:
        attempts: how often the call is made at most, the first attempt included.
        first: seconds before the second attempt.
        factor: each pause is this many times as long as the one before.
        most: seconds that a pause is at most.
        jitter: each pause is changed by a random part of up to this share, so that clients do not return all at once.
        budget: failures that a proxy may repeat in a row. Each failed attempt costs 1, each call that succeeds restores 0.1:
            when most calls fail, few are repeated, and the server is not flooded.
        unsafe: repeat calls of any method also when it is unknown whether the server has run it.

    Raises:
        ValueError: an argument is out of its range.
    """

    __slots__ = ("attempts", "first", "factor", "most", "jitter", "budget", "unsafe")

    def __init__(self, attempts: int = 4, first: float = 0.1, factor: float = 2, most: float = 2.0, jitter: float = 0.2,
                 budget: float = 10, *, unsafe: bool = False) -> None:
        if attempts < 1:
            raise ValueError("attempts must be at least 1, not %r" % (attempts,))
        if first < 0 or factor < 1 or most < 0 or not 0 <= jitter <= 1 or budget < 0:
            raise ValueError("first, most and budget must not be negative, factor must be at least 1, jitter between 0 and 1")
        self.attempts = attempts
        self.first = first
        self.factor = factor
        self.most = most
        self.jitter = jitter
        self.budget = budget
        self.unsafe = unsafe

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after this many failed attempts (1 or more)."""
        seconds = min(self.first * self.factor ** min(failures - 1, 64), self.most)  # 64: floats overflow at larger powers
        # Random, so that clients that failed together do not all return together.
        return seconds * (1 + random.uniform(-self.jitter, self.jitter))

    def allows(self, error: Exception, idempotent: bool) -> bool:
        """Return whether a call that failed with this error may be repeated."""
        if isinstance(error, errors.BusyError) and not error.started:  # the server raises it, and has not run the method
            return True
        if isinstance(error, errors.CancelledError):
            return False
        if errors.is_remote(error):
            return False
        if getattr(error, "sent", None) is False:
            return True
        return isinstance(error, REPEATABLE) and (idempotent or self.unsafe)

    def __repr__(self) -> str:
        return "Retry(%s)" % ", ".join("%s=%r" % (name, getattr(self, name)) for name in self.__slots__)


def busy_pause(error: Union[errors.BusyError, errors.CommunicationError]) -> float:
    """Return the seconds after which a busy server asks to try again. A server can send any value, so it is limited."""
    seconds: Any = error.retry_after
    if type(seconds) not in (int, float) or not seconds > MIN_BUSY_SECONDS:  # NaN is not
        return MIN_BUSY_SECONDS
    return float(min(seconds, MAX_BUSY_SECONDS))


def asked_pause(error: Exception) -> float:
    """Return the seconds that a server which has refused a connection asks to wait, 0 if it does not ask for that."""
    return busy_pause(error) if isinstance(error, errors.CommunicationError) and error.retry_after is not None else 0.0


def pause_after(error: Exception, retry: Retry, failures: int) -> float:
    """Return the seconds to wait after an attempt that failed with this error: as many as the server asks for, if it does."""
    if isinstance(error, errors.BusyError):
        return busy_pause(error)
    # Longer by a random part: the server says the same to all clients that it refuses, and they must not return together.
    return max(retry.pause(failures), asked_pause(error) * (1 + random.uniform(0, retry.jitter)))


class RetryBudget:
    """Counts the failures that one proxy may still repeat. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _missing
        self._missing = 0.0  # tokens that are spent

    def success(self) -> None:
        """Restore a part of the budget."""
        if self._missing:  # usually nothing is missing, and a successful call takes no lock
            with self._lock:
                self._missing = max(self._missing - TOKENS_PER_SUCCESS, 0.0)

    def spend(self, budget: float) -> bool:
        """Count a failure, and return whether the budget allows to repeat the call."""
        # Counted under the lock: two threads must not both spend the last token.
        with self._lock:
            allowed = self._missing + 1 <= budget
            # at most the budget: it recovers within a bounded number of successes
            self._missing = min(self._missing + 1, budget)
            return allowed


def repeat(attempt: Callable[[], Any], retry: Retry, budget: RetryBudget, is_idempotent: Callable[[], bool],
           wait: Callable[[float], bool]) -> Any:
    """Make a call, and repeat it as the retry says.

    Args:
        attempt: makes the call once.
        is_idempotent: returns whether the method is; asked after a failure.
        wait: waits this many seconds and returns True; returns False at once if that would take longer than the call may.

    Raises:
        Exception: what the last attempt raised.
    """
    failures = 0
    while True:
        try:
            result = attempt()
        except Exception as x:
            failures += 1
            # In this order: the budget is charged only for a failure that would be repeated.
            if failures >= retry.attempts or not retry.allows(x, is_idempotent()) or not budget.spend(retry.budget):
                raise
            if not wait(pause_after(x, retry, failures)):
                raise
        else:
            budget.success()
            return result


def with_retries(max_retries: int, send: Callable[..., Any], name: str, *arguments: Any) -> Any:
    """Call a remote method, and repeat the call if the connection is lost or the timeout expires.

    Args:
        max_retries: how many times the call may be repeated.
        send: called with the name and the arguments, for example the `_pyroInvoke` of a Proxy.

    Raises:
        Exception: the exception of the last attempt. An exception that the remote method raised ends the attempts.
    """
    # Only errors of the connection are retried. The server may have executed the call before the connection was lost, which
    # is why the default of MAX_RETRIES is 0.
    for retries_left in range(max_retries, 0, -1):
        try:
            return send(name, *arguments)
        except (errors.ConnectionClosedError, errors.TimeoutError) as x:
            if hasattr(x, "_pyroTraceback"):
                raise  # the remote method raised it
            log.info("call of %s failed, trying again (retries left: %d): %s", name, retries_left, x)
    return send(name, *arguments)


def reconnect(link: Any, release: Callable[[], Any], connect: Callable[[], Any], tries: int) -> None:
    """Call `release`, and `connect` until it succeeds. The pause after a failure doubles every time.

    Nothing is released if another thread has connected the link since a call of the calling thread failed.

    Args:
        connect: raises CommunicationError or NamingError if it fails.
        tries: the maximum number of attempts, at least 1.

    Raises:
        ConnectionClosedError: the last attempt failed.
    """
    if not link.was_reconnected():
        callbacks, link.callbacks = link.callbacks, None  # objects that the server can call stay available
        release()
        link.callbacks = callbacks
    wait = threading.Event().wait
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    for tries_left in range(tries - 1, -1, -1):
        try:
            link.connect_once(connect, link.is_ready)
            return
        except (errors.CommunicationError, errors.NamingError) as x:
            if not tries_left:
                raise errors.ConnectionClosedError("cannot reconnect, after %d tries: %s" % (tries, x)) from x
            log.info("reconnecting failed, trying again (tries left: %d): %s", tries_left, x)
        # Outside of the except block: the exception and its frames are freed before the pause.
        wait(pause)
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)


def bind_when_ready(proxy: Any, deadline: Optional[float]) -> None:
    """Connect a proxy as soon as its object can be called; each attempt ends by the deadline."""
    token = current_options.set(CallOptions(proxy._pyro, deadline))
    try:
        wait_until_ready(proxy._pyroBind, deadline, str(proxy._pyroUri))
    finally:
        current_options.reset(token)


def wait_until_ready(attempt: Callable[[], T], deadline: Optional[float], what: str) -> T:
    """Make attempts until one does not fail for lack of a server: one that can be reached, knows the name, has the object.

    Args:
        attempt: returns the result.
        deadline: monotonic time, None for no limit.
        what: is waited for; for the text of the error.

    Raises:
        TimeoutError: the deadline has passed; the text has the reason of the last attempt.
        Exception: what an attempt raised after its request may have been sent.
    """
    wait = threading.Event().wait
    pause = RECONNECT_FIRST_PAUSE_SECONDS
    reason: Optional[Exception] = None
    while True:
        try:
            return attempt()
        except (errors.CommunicationError, errors.NamingError) as x:
            if x.sent is not False:  # the name server's answer that a name is unknown is remote as well
                raise
            # At least one attempt is made, even if the deadline has passed already.
            if reason is None or not isinstance(x, errors.TimeoutError):
                reason = x  # the last attempt may have had no time to find out more
            left = seconds_until(deadline)
            if left is not None and left <= 0:
                raise errors.not_sent(errors.TimeoutError("%s is not ready in time: %s" % (what, reason))) from reason
            log.debug("%s is not ready yet: %s", what, x)
            asked = asked_pause(x)
        wait(max(pause, asked) if left is None else min(max(pause, asked), left))
        pause = min(2 * pause, RECONNECT_MAX_PAUSE_SECONDS)
