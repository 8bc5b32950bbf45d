"""Automatic removal of registrations whose objects no longer exist; which objects can be reached, for the control tool.

A registration is removed after its server has been unreachable, or has denied having the object, for `MISSING_SECONDS`.
A server that restarts or a brief network outage therefore loses no registrations.
"""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from .. import constants, errors
from .._values.uri import URI
from .liveness import Answer, Prober
from .probe_queue import Question

log = logging.getLogger("Pyro5.autoclean")

MINIMUM_PERIOD_SECONDS = 3.0
MISSING_SECONDS = 20.0

KEPT_NAMES = frozenset([constants.NAMESERVER_NAME, constants.DAEMON_NAME])


def checked_period(seconds: float) -> float:
    """Return the period of the setting NS_AUTOCLEAN; 0 means off.

    Raises:
        ValueError: it is not 0 and too short, longer than a thread can wait, or not a number.
    """
    if seconds and seconds < MINIMUM_PERIOD_SECONDS:
        raise ValueError("NS_AUTOCLEAN cannot be smaller than %d" % MINIMUM_PERIOD_SECONDS)
    if not seconds <= threading.TIMEOUT_MAX:  # nan is neither smaller nor larger than anything
        raise ValueError("NS_AUTOCLEAN cannot be %s: it is a number of seconds up to %d" % (seconds, threading.TIMEOUT_MAX))
    return seconds


Entry = Tuple[str, str]  # name and uri text


class AutoCleaner:
    """Checks all registrations periodically in its own thread and removes those whose objects are gone.

    Only the owner calls `start` and `stop`. `clean` runs one round; the thread calls it, and a test may call it instead
    while the thread is not running.
    """

    def __init__(self, registrations: Callable[[], Mapping[str, str]], remove: Callable[[str, str], bool],
                 period_seconds: float, prober: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
            registrations: returns a snapshot, name -> uri text.
            remove: removes a name if it still has the given uri, and returns whether it did.
            prober: checks the servers; a `Prober` or an object with the same methods.
            clock: returns monotonic seconds.
        """
        self._registrations = registrations
        self._remove = remove
        self._period_seconds = period_seconds
        self._prober = prober or Prober()
        self._clock = clock
        self._missing_since: Dict[Entry, float] = {}  # when each was first found missing; used by the cleaning thread only
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Start the thread; the first round begins after one period."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="Pyro5 name server autoclean")
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, even in the middle of a round, and join it. Can be called more than once."""
        self._stopping.set()
        self._prober.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._prober.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                self.clean()
            except Exception:
                # A storage that fails now may work in the next round; an exception that escaped would end the thread
                # unnoticed.
                log.exception("autoclean: this round failed")

    def clean(self) -> None:
        """Check all registrations, with one query per server, and remove those that have been missing too long."""
        # Entries of registrations that were removed or replaced meanwhile are dropped: a new uri gets the full time again.
        began = self._clock()
        # A snapshot: the storage may change during the round, which can take minutes.
        registrations = self._registrations()
        self._missing_since = {key: since for key, since in self._missing_since.items()
                               if registrations.get(key[0]) == key[1]}
        servers, questions = _by_server(registrations.items())
        removed = 0
        for question, answer in self._prober.ask(questions):
            for entry, object_id in servers[str(question.uri.location)]:
                if self._stopping.is_set():  # the storage may be closed already
                    return
                removed += self._judge(entry, _problem(answer, object_id))
        log.debug("autoclean: checked %d registrations at %d servers in %.1f seconds, removed %d",
                  len(registrations), len(servers), self._clock() - began, removed)

    def _judge(self, entry: Entry, problem: Optional[str]) -> bool:
        """Remove a registration if its object has been missing long enough; return whether it was removed."""
        name, uri_text = entry
        if problem is None:
            self._missing_since.pop(entry, None)
            return False
        if entry not in self._missing_since:
            self._missing_since[entry] = self._clock()
            log.info("autoclean: %s (%s) is missing: %s", name, uri_text, problem)
        missing_seconds = self._clock() - self._missing_since[entry]
        if missing_seconds < MISSING_SECONDS:
            return False
        # Forgotten before the removal: if the storage fails, the next round begins to count again.
        del self._missing_since[entry]
        # False if it was registered again meanwhile, with another URI.
        if not self._remove(name, uri_text):
            return False
        log.warning("autoclean: removed %s (%s), missing for %d seconds: %s", name, uri_text, missing_seconds, problem)
        return True


def _by_server(entries: Iterable[Entry]) -> Tuple[Dict[str, List[Tuple[Entry, str]]], List[Question]]:
    """Return those that can be checked, each with its object id, by the location of their server; and a question per server.
    """
    servers: Dict[str, List[Tuple[Entry, str]]] = {}
    uris: Dict[str, URI] = {}
    for entry in entries:
        uri = uri_to_check(*entry)
        if uri is not None:
            location = str(uri.location)
            uris[location] = uri
            servers.setdefault(location, []).append((entry, str(uri.object)))
    # One question per server: it is connected to once, even for thousands of names.
    questions = [Question(uris[location], frozenset(object_id for _, object_id in found))
                 for location, found in servers.items()]
    return servers, questions


def uri_to_check(name: str, uri_text: str) -> Optional[URI]:
    """Return the uri of a registration with a location of its own; None for aliases and the name server itself."""
    if name in KEPT_NAMES:
        return None
    try:
        uri = URI(uri_text)
    except errors.PyroError as x:
        # A storage file may contain anything; registrations that cannot be checked are kept.
        log.debug("autoclean: %s has no valid uri: %s", name, x)
        return None
    return uri if uri.protocol == "PYRO" else None


def problems_of(entries: Iterable[Entry]) -> Dict[Entry, Optional[str]]:
    """Check many objects at the same time; return why each of them cannot be used, or None if it can.

    Left out are names that refer to other names, the name server itself, and objects whose server does not answer in time.
    """
    servers, questions = _by_server(entries)
    problems: Dict[Entry, Optional[str]] = {}
    with contextlib.closing(Prober()) as prober:
        for question, answer in prober.ask(questions):
            for entry, object_id in servers[str(question.uri.location)]:
                problems[entry] = _problem(answer, object_id)
    return problems


def _problem(answer: Answer, object_id: str) -> Optional[str]:
    """Return why an object cannot be used, None if it can."""
    if answer.failure is not None:
        return "not reachable (%s)" % answer.failure
    return "its server has no such object" if object_id in answer.unknown else None
