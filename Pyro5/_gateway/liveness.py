"""Find the registered objects that are not there, in a thread of its own: no request waits for silent servers."""
from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from .._naming.liveness import Answer, Prober, Question
from .._wire.uri import URI
from ..errors import PyroError
from .calls import Registration

__all__ = ["DeadObjects"]

log = logging.getLogger("Pyro5.utils.gatewaycalls")

ROUND_SECONDS = 20.0    # that one round of checks takes at most; the next one begins with the servers that were left out
WAIT_SECONDS = 1.0      # that a request waits for a round to end; after that it gets what is known


class DeadObjects:
    """
    The objects that are registered but not there. `get` and `close` may be called in any thread.

    Args:
        registrations: returns all registrations; may raise.
        seconds: how old the result of a round may be before the next one begins.
        clock: gives seconds that never go back.
    """

    def __init__(self, registrations: Callable[[], Mapping[str, Registration]], seconds: float,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._registrations = registrations
        self._seconds = seconds
        self._clock = clock
        # Guards everything below; no server is asked, and no name server, while it is held.
        self._lock = threading.Lock()
        self._dead: Dict[str, Dict[str, str]] = {}      # location of a server -> name -> reason
        self._checked_at: Optional[float] = None
        self._round: Optional[threading.Thread] = None
        self._round_ended = threading.Event()
        self._prober: Optional[Prober] = None
        self._unanswered: List[str] = []    # locations that the last round had no time for
        self._is_closed = False

    def get(self) -> Dict[str, str]:
        """Return name -> reason, as far as it is known. Raises what asking for the registrations raises."""
        registered = self._registrations()
        ended = self._begin_round(registered)
        ended.wait(WAIT_SECONDS)
        with self._lock:
            known = [dict(dead) for dead in self._dead.values()]
        return {name: reason for dead in known for name, reason in sorted(dead.items()) if name in registered}

    def stop(self) -> None:
        """Begin no more rounds, and end the one that is under way without waiting for it."""
        with self._lock:
            self._is_closed = True
            if self._prober is not None:    # in the lock: the round closes it as soon as it is not here any more
                self._prober.stop()

    def close(self) -> None:
        """End the round that is under way, if any."""
        self.stop()
        with self._lock:
            thread = self._round
        if thread is not None:
            thread.join()

    def _begin_round(self, registered: Mapping[str, Registration]) -> threading.Event:
        """Start a round unless one is under way or has just ended; return the event that is set at its end."""
        with self._lock:
            is_young = self._checked_at is not None and self._clock() - self._checked_at < self._seconds
            if self._round is not None or is_young or self._is_closed:
                return self._round_ended
            self._round_ended = threading.Event()
            self._round = threading.Thread(target=self._check, args=(registered, self._round_ended), daemon=True,
                                           name="Pyro5 check of dead names")
            thread, ended = self._round, self._round_ended
        try:
            thread.start()
        except RuntimeError as x:   # no more threads: what is known has to do
            log.warning("cannot check which objects are there: %s", x)
            with self._lock:
                self._round = None
            ended.set()
        return ended

    def _check(self, registered: Mapping[str, Registration], ended: threading.Event) -> None:
        try:
            self._ask_servers(_by_location(registered))
        except Exception as x:  # border of a thread
            log.warning("checking which objects are there failed: %s: %s", type(x).__name__, x)
        finally:
            with self._lock:
                self._checked_at = self._clock()
                self._round = self._prober = None
            ended.set()

    def _ask_servers(self, servers: Dict[str, Dict[str, URI]]) -> None:
        prober = Prober()
        with self._lock:
            self._prober = prober
            self._dead = {location: dead for location, dead in self._dead.items() if location in servers}
            first = [location for location in self._unanswered if location in servers]
            if self._is_closed:
                prober.stop()
        waiting = dict.fromkeys([*first, *servers])
        timer = threading.Timer(ROUND_SECONDS, prober.stop)
        timer.daemon = True
        timer.start()
        try:
            for question, answer in prober.ask([_question(servers[location]) for location in waiting]):
                location = str(question.uri.location)
                waiting.pop(location, None)
                with self._lock:
                    self._dead[location] = _dead_of(servers[location], answer)
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                self._unanswered = list(waiting)
                self._prober = None
            prober.close()


def _by_location(registered: Mapping[str, Registration]) -> Dict[str, Dict[str, URI]]:
    servers: Dict[str, Dict[str, URI]] = {}
    for name, registration in registered.items():
        try:
            uri = URI(registration.uri)
        except PyroError:   # it cannot be checked
            continue
        if uri.protocol == "PYRO":
            servers.setdefault(str(uri.location), {})[name] = uri
    return servers


def _question(uris: Mapping[str, URI]) -> Question:
    return Question(next(iter(uris.values())), frozenset(str(uri.object) for uri in uris.values()))


def _dead_of(uris: Mapping[str, URI], answer: Answer) -> Dict[str, Any]:
    if answer.failure is not None:
        return dict.fromkeys(uris, answer.failure)
    return {name: "its server does not have it any more" for name, uri in uris.items() if str(uri.object) in answer.unknown}
