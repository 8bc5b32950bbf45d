"""Findings of checks, and a way to run checks that may block forever."""
from __future__ import annotations

import logging
import queue
import threading
from typing import Callable, Iterable, Iterator, List, Optional

from .. import NamedTuple, config
from .._naming.host_lookup import HostLookups
from .._text import printable

log = logging.getLogger("Pyro5.tools.findings")

OK, NOTE, WRONG = "ok", "note", "WRONG"

USUAL_SECONDS = 5.0  # time limit of one network operation, if COMMTIMEOUT is off
CHECK_SECONDS = 20.0  # time limit for one line of the report, which may take several operations


class Finding(NamedTuple):
    """One line of the report; a note is not a defect, but may be what the user is looking for."""

    level: str
    text: str
    remedy: str = ""        # what to do about it

    def __str__(self) -> str:
        # one line each: a peer whose text had line breaks in it could add findings of its own
        lines = ["%-7s%s" % (self.level, printable(self.text))]
        if self.remedy:
            lines.append("%-7s-> %s" % ("", printable(self.remedy)))
        return "\n".join(lines)


def reason_of(error: Exception) -> str:
    """Return the text of an error, without its errno."""
    return str(getattr(error, "strerror", None) or error)


def step_seconds() -> float:
    """Return the time limit of one network operation in seconds."""
    return config.COMMTIMEOUT if (config.COMMTIMEOUT or 0) > 0 else USUAL_SECONDS


def bounded(what: str, check: Callable[[], Iterable[Finding]], seconds: float = CHECK_SECONDS) -> Iterator[Finding]:
    """Run a check in its own thread, and yield its findings as they arrive. If it fails, or if nothing arrives
    for too long, the last finding says so.

    The thread is then left running: a DNS lookup, for example, cannot be interrupted.
    """
    # In a thread, because some operations (name lookups above all) have no timeout.
    found: queue.Queue[Optional[Finding]] = queue.Queue()

    def run() -> None:
        try:
            for finding in check():
                found.put(finding)
        except BaseException as x:  # thread boundary; a peer may send anything, and the other checks must still run
            log.info("the check failed: %s", what, exc_info=True)
            found.put(Finding(WRONG, "%s: %s: %s" % (what, type(x).__name__, x)))
        found.put(None)  # None is no finding: the check has ended

    threading.Thread(target=run, name="Pyro5 check", daemon=True).start()
    while True:
        try:
            finding = found.get(timeout=seconds)
        except queue.Empty:
            yield Finding(WRONG, "%s: there is no result after %g seconds" % (what, seconds),
                          "is the network there, and does the name service (DNS) of this machine answer?")
            return
        if finding is None:
            return
        yield finding


def host_addresses(host: str, seconds: Optional[float] = None) -> List[str]:
    """Return the ip addresses of a host name, without duplicates.

    Raises:
        OSError: it has none.
        TimeoutError: the name service does not reply in time.
    """
    known = threading.Event()
    lookups = HostLookups(known.set)
    try:
        found = lookups.find(host)
        # Not known yet: the lookup runs in a thread, and the event is set when it has ended.
        if found is None:
            known.wait(step_seconds() if seconds is None else seconds)
            found = lookups.find(host)
    finally:
        lookups.close()
    if found is None:
        raise TimeoutError("the name service does not answer")
    if isinstance(found, Exception):
        raise found
    return list(dict.fromkeys(str(address[0]) for _, address in found))
