"""Find registered objects that no longer exist, in a separate thread, so that requests do not wait for dead servers."""
from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from .._naming.liveness import Answer, Prober
from .._naming.probe_queue import Question
from .._values.uri import URI
from .calls import Registration, by_location

log = logging.getLogger("Pyro5.utils.gatewaycalls")

ROUND_SECONDS = 20.0    # time limit of one round; the next one begins with the servers that were left out
WAIT_SECONDS = 1.0      # that a request waits for a round to end, before it returns the known results


class DeadObjects:
    """The objects that are registered but do not exist. `get` and `close` may be called in any thread.

    Args:
        registrations: returns all registrations; may raise.
        seconds: maximum age of the result of a round before the next one begins.
    """

    def __init__(self, registrations: Callable[[], Mapping[str, Registration]], seconds: float) -> None:
        self._registrations = registrations
        self._seconds = seconds
        # Guards everything below; not held during network operations.
        self._lock = threading.Lock()
        self._dead: Dict[str, Dict[str, str]] = {}      # location of a server -> name -> reason
        self._checked_at: Optional[float] = None
        self._round: Optional[threading.Thread] = None
        self._round_ended = threading.Event()
        self._prober: Optional[Prober] = None
        self._unanswered: List[str] = []    # locations that the last round left out
        self._is_closed = False

    def get(self) -> Dict[str, str]:
        """Return name -> reason, as far as known. Raises the errors of `registrations`."""
        registered = self._registrations()
        ended = self._begin_round(registered)
        ended.wait(WAIT_SECONDS)
        with self._lock:
            known = [dict(dead) for dead in self._dead.values()]
        return {name: reason for dead in known for name, reason in sorted(dead.items()) if name in registered}

    def stop(self) -> None:
        """Start no more rounds, and cancel the current one without waiting for it."""
        with self._lock:
            self._is_closed = True
            if self._prober is not None:    # under the lock: the round closes it after removing it from here
                self._prober.stop()

    def close(self) -> None:
        """Cancel the current round, if any, and wait for it."""
        self.stop()
        with self._lock:
            thread = self._round
        if thread is not None:
            thread.join()

    def _begin_round(self, registered: Mapping[str, Registration]) -> threading.Event:
        """Start a round unless one is in progress or has just ended; return the event that is set at its end."""
        with self._lock:
            is_young = self._checked_at is not None and time.monotonic() - self._checked_at < self._seconds
            # The requests of all users share one round, and its result for some seconds.
            if self._round is not None or is_young or self._is_closed:
                return self._round_ended
            self._round_ended = threading.Event()
            self._round = threading.Thread(target=self._check, args=(registered, self._round_ended), daemon=True,
                                           name="Pyro5 check of dead names")
            thread, ended = self._round, self._round_ended
        try:
            thread.start()
        except RuntimeError as x:   # no more threads: return the known results
            log.warning("cannot check which objects are there: %s", x)
            with self._lock:
                self._round = None
            ended.set()
        return ended

    def _check(self, registered: Mapping[str, Registration], ended: threading.Event) -> None:
        try:
            self._ask_servers(by_location(registered))
        except Exception as x:  # thread boundary
            log.warning("checking which objects are there failed: %s: %s", type(x).__name__, x)
        finally:
            with self._lock:
                self._checked_at = time.monotonic()
                self._round = self._prober = None
            ended.set()

    def _ask_servers(self, servers: Dict[str, Dict[str, URI]]) -> None:
        prober = Prober()
        with self._lock:
            self._prober = prober
            # Servers that are not registered any more are forgotten.
            self._dead = {location: dead for location, dead in self._dead.items() if location in servers}
            first = [location for location in self._unanswered if location in servers]
            # close() may have come between the start of this thread and here.
            if self._is_closed:
                prober.stop()
        waiting = dict.fromkeys([*first, *servers])
        questions = [Question(next(iter(servers[location].values())),
                              frozenset(str(uri.object) for uri in servers[location].values())) for location in waiting]
        # The prober has limits for each server; this one is for all of them together.
        timer = threading.Timer(ROUND_SECONDS, prober.stop)
        timer.daemon = True
        timer.start()
        try:
            for question, answer in prober.ask(questions):
                location = str(question.uri.location)
                waiting.pop(location, None)
                with self._lock:
                    self._dead[location] = _dead_of(servers[location], answer)
        finally:
            timer.cancel()
            timer.join()  # it must not stop a prober that is closed
            with self._lock:
                self._unanswered = list(waiting)
                self._prober = None
            prober.close()


def _dead_of(uris: Mapping[str, URI], answer: Answer) -> Dict[str, Any]:
    if answer.failure is not None:
        return dict.fromkeys(uris, answer.failure)
    return {name: "its server does not have it any more" for name, uri in uris.items() if str(uri.object) in answer.unknown}
