"""
Running the regular expressions of clients, so that none of them holds up anybody else.

A regular expression of a few characters can keep a processor busy for years, and while Python's ``re`` works on a single
text, every other thread of the process waits. So a pattern is looked at before it runs:

* A sequence of plain characters, classes and repeats of these has a worst case that can be computed. If that is small for
  the names at hand, the pattern runs right here.
* Everything else runs in a process that does nothing else, and is killed when it takes too long. It costs a few
  milliseconds more; the process is started when it is needed first, and kept for the next search. It refuses patterns that
  would take much memory, and where the system can limit the memory of a process, this one has little; see `regex_program`.

`steps_at_most` computes the worst case, `Matcher` does the rest.
"""
from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import threading
import time
from typing import Any, Callable, Iterator, List, Match, NamedTuple, Optional, Set, Tuple

from .. import errors
from .regex_program import program

log = logging.getLogger("Pyro5.matching")

REGEX_CHARS = 1000          # a longer pattern is refused
SEARCH_SECONDS = 1.8        # a search has ended after this time, one way or another, the waiting for its turn included
START_SECONDS = 1.0         # what the start of a process may take of that
PROCESSES = 2               # that may run at the same time
STEPS_PER_NAME = 1000000    # about 5 ms, in which no other thread runs
NAMES_AT_ONCE = 5000        # that a process gets in one piece
CHARS_AT_ONCE = 1000000     # that these may have, in all

# One piece of a pattern of which the cost is known: something that matches one character, and how often it is repeated.
# Classes are of ASCII characters only: those with thousands of characters take long to compile.
_ITEM = re.compile(r"""
    (?: [^\\.^$*+?{}\[\]|()] | \. | \\[dDsSwW] | \\[^0-9A-Za-z] | \[\^?(?:[0-9A-Za-z_.:/@\ ](?:-[0-9A-Za-z])?)+\] )
    (?: (?: (?P<sign>[*+?]) | \{(?P<least>\d{1,4})(?P<comma>,?)(?P<most>\d{0,4})\} ) \?? )?
    """, re.VERBOSE)

class Limits(NamedTuple):
    """
    What searches may take.

    The defaults are for a server whose threads serve other clients in the meantime.
    """

    steps_here: int = 20000000      # for all names together, in this process: about 0.1 s in the worst case
    wait_seconds: float = 1.8       # until a process is free, or has been started
    match_seconds: float = 1.0      # for the match alone, in that process
    rest_seconds: float = 0.0       # after a match that took too long: how long no other one runs there
    at_once: int = 40               # searches at the same time, those that wait for their turn included


USUAL = Limits()
# For a server that does nothing else while it serves a client.
ONE_AT_A_TIME = Limits(steps_here=10000000, wait_seconds=0.05, match_seconds=0.05, rest_seconds=1.0, at_once=1)


def steps_at_most(regex: str, name_chars: int) -> Optional[int]:
    """
    Give how many steps a match of the pattern takes at most, on a name of that length; None if that is not known.

    Each repeat can take any number of characters between its limits, and all combinations of these may have to be tried.
    """
    position = 1 if regex.startswith("^") else 0
    combinations = 1
    steps_each = 1
    item = _ITEM.match(regex, position)
    while item:
        least, choices = _repeats(item, name_chars)
        combinations *= choices
        steps_each += max(min(least, name_chars), 1)
        if combinations > STEPS_PER_NAME:
            return None
        position = item.end()
        item = _ITEM.match(regex, position)
    return combinations * steps_each if regex[position:] in ("", "$") else None


def _repeats(item: Match[str], name_chars: int) -> Tuple[int, int]:
    """Give how often an item is matched at least, and how many numbers of times are possible."""
    if item["sign"] == "?":
        return 0, 2
    if item["sign"]:
        return 0, name_chars + 1
    if item["least"] is None:
        return 1, 1
    least = int(item["least"])
    if not item["comma"]:
        return least, 1
    most = int(item["most"]) if item["most"] else name_chars
    return least, min(max(most - least, 0), name_chars) + 1


class Matcher:
    """
    Finds the names at whose beginning a client's regular expression matches. Thread-safe.

    Args:
        limits: what searches may take.
        clock: gives seconds that never go back.
    """

    def __init__(self, limits: Limits = USUAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._admission = threading.BoundedSemaphore(limits.at_once)
        # Held while a pattern runs in this process: the other threads then compete with one search, however many come.
        self._turn_here = threading.Lock()
        # Guards what follows; notified when a process becomes free.
        self._changed = threading.Condition()
        self._processes: Set[_Process] = set()
        self._idle: List[_Process] = []
        self._starting = 0
        self._failed_starts = 0
        self._last_failure = ""
        self._resting_until = clock()
        self._closed = False

    def matching(self, regex: str, snapshot: Callable[[], List[str]]) -> List[str]:
        """
        Give the names that match, within `SEARCH_SECONDS`.

        Args:
            snapshot: gives the names, as a list of its own; it is called when it is this search's turn.

        Raises:
            NamingError: the pattern is invalid, too long, or takes too long; or too many searches are going on.
        """
        if len(regex) > REGEX_CHARS:
            raise errors.NamingError("the regex is too long: %d characters, %d are allowed" % (len(regex), REGEX_CHARS))
        if not self._admission.acquire(blocking=False):
            raise _busy()
        try:
            deadline = self._clock() + SEARCH_SECONDS
            found = None
            if steps_at_most(regex, 0) is not None:
                found = self._match_here(regex, snapshot, deadline)
            return self._match_elsewhere(regex, snapshot, deadline) if found is None else found
        finally:
            self._admission.release()

    def close(self) -> None:
        """End all processes; searches that are going on there fail. May be called again."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        for process in idle:
            self._end(process)
        with self._changed:
            # those that are at work are ended by the threads that use them, which notice at once
            self._changed.wait_for(lambda: not self._processes and not self._starting, SEARCH_SECONDS)

    def _match_here(self, regex: str, snapshot: Callable[[], List[str]], deadline: float) -> Optional[List[str]]:
        """Give the names that match; None if that may take too long for these names."""
        if not self._turn_here.acquire(timeout=max(deadline - self._clock(), 0)):
            raise _busy()
        try:
            names = snapshot()
            steps = steps_at_most(regex, max(map(len, names), default=0))
            if steps is None or steps > STEPS_PER_NAME or steps * len(names) > self._limits.steps_here:
                return None
            try:
                match = re.compile(regex).match
            except (re.error, OverflowError) as x:
                raise _invalid(str(x)) from x
            return [name for name in names if match(name)]
        finally:
            self._turn_here.release()

    def _match_elsewhere(self, regex: str, snapshot: Callable[[], List[str]], deadline: float) -> List[str]:
        with self._process(deadline) as process:
            names = snapshot()
            seconds = min(self._limits.match_seconds, deadline - self._clock())
            if seconds <= 0:
                raise _busy()
            try:
                return process.matching(regex, names, seconds)
            except TimeoutError:
                self._rest()
                log.warning("a regex was stopped after %.2f seconds: %.200r", seconds, regex)
                raise errors.NamingError("the regex takes too long on the %d names here: simplify it, or search for a "
                                         "prefix or metadata" % len(names)) from None
            except (OSError, EOFError) as x:
                log.warning("the process for regular expressions is gone: %s", x)
                raise errors.NamingError("the search was interrupted, try again") from None

    @contextlib.contextmanager
    def _process(self, deadline: float) -> Iterator[_Process]:
        """Lend a process for the block; one that did not do its work in there is ended."""
        process = self._borrow(min(deadline, self._clock() + self._limits.wait_seconds))
        try:
            yield process
        finally:
            if process.usable:
                self._give_back(process)
            else:
                self._end(process)

    def _borrow(self, deadline: float) -> _Process:
        """Wait until a process is idle; start one if there may be one more."""
        with self._changed:
            if self._clock() < self._resting_until:
                raise _busy()
            if not self._idle and len(self._processes) + self._starting < PROCESSES and not self._closed:
                # in a thread of its own: it goes on even if this search cannot wait for its end
                threading.Thread(target=self._start, name="Pyro5 regex process start", daemon=True).start()
                self._starting += 1
            failed_starts = self._failed_starts
            while not self._idle:
                if self._closed:
                    raise errors.NamingError("the name server is being closed")
                if self._failed_starts > failed_starts:
                    raise errors.NamingError("this regex cannot be run here now (%s): use a simpler one, or search for a "
                                             "prefix or metadata" % self._last_failure)
                if not self._changed.wait(max(deadline - self._clock(), 0)):
                    raise _busy()
            return self._idle.pop()

    def _start(self) -> None:
        process, failure = None, ""
        try:
            process = _Process(START_SECONDS)
        except Exception as x:  # border of a thread: whoever waits for the process must be told
            failure = str(x) or type(x).__name__
            log.warning("cannot start a process for regular expressions: %s", failure)
        with self._changed:
            self._starting -= 1
            if process is None:
                self._failed_starts += 1
                self._last_failure = failure
            else:
                self._processes.add(process)
            self._changed.notify_all()
        if process is not None:
            self._give_back(process)

    def _rest(self) -> None:
        with self._changed:
            self._resting_until = self._clock() + self._limits.rest_seconds

    def _give_back(self, process: _Process) -> None:
        with self._changed:
            if not self._closed:
                self._idle.append(process)
                self._changed.notify_all()
                return
        self._end(process)

    def _end(self, process: _Process) -> None:
        process.close()
        with self._changed:
            self._processes.discard(process)
            self._changed.notify_all()


class _Process:
    """
    A process that matches patterns. Only the thread that started or borrowed it uses it; any thread may call `kill`.

    Args:
        seconds: that its start may take.

    Attributes:
        usable: it is there, and has done all that it was asked for.

    Raises:
        OSError, EOFError: it cannot be started.
    """

    def __init__(self, seconds: float) -> None:
        if not sys.executable:
            raise OSError("it is not known where the Python interpreter is")
        import subprocess
        self.usable = False
        self._popen = subprocess.Popen([sys.executable, "-I", "-S", "-c", program(SEARCH_SECONDS + 1)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            with self._killed_after(seconds):
                self._read_answer()
        except BaseException:
            self.close()
            raise
        self.usable = True

    def matching(self, regex: str, names: List[str], seconds: float) -> List[str]:
        """
        Give the names that match.

        Raises:
            NamingError: the pattern is invalid.
            TimeoutError: it takes longer than this; the process is not usable any more.
            OSError, EOFError: the process has died.
        """
        self.usable = False
        found: List[str] = []
        with self._killed_after(seconds):
            problem = self._ask(regex)
            for some in () if problem else _portions(names):
                numbers = self._ask(some)
                if isinstance(numbers, str):
                    problem = numbers
                    break
                found += [some[number] for number in numbers]
        self.usable = True
        if problem:
            raise _invalid(problem)
        return found

    def kill(self) -> None:
        """End the process; whoever waits for its answer gets an EOFError or OSError."""
        self._popen.kill()

    def close(self) -> None:
        """End the process, and leave nothing of it behind."""
        self.usable = False
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):  # what is still to be written has no reader any more
                if pipe is not None:
                    pipe.close()

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer than this, and raise TimeoutError then."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._popen.kill()

        watchdog = threading.Timer(max(seconds, 0), expire)
        watchdog.start()
        try:
            yield
        except (OSError, EOFError):
            if not expired.is_set():
                raise
        finally:
            watchdog.cancel()
            watchdog.join()
        if expired.is_set():
            raise TimeoutError("no answer within %.2f seconds" % seconds)

    def _ask(self, question: Any) -> Any:
        """Send a pattern, or names; give what is wrong with the pattern, or the numbers of the names that match."""
        stream: Any = self._popen.stdin
        stream.write(json.dumps(question).encode("ascii") + b"\n")
        stream.flush()
        return self._read_answer()

    def _read_answer(self) -> Any:
        stream: Any = self._popen.stdout
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the process for regular expressions ended")
        return json.loads(line.decode("ascii"))


def _portions(names: List[str]) -> Iterator[List[str]]:
    """Split the names into pieces that take a bounded amount of memory on their way."""
    start, chars = 0, 0
    for position, name in enumerate(names):
        if position - start == NAMES_AT_ONCE or chars > CHARS_AT_ONCE:
            yield names[start:position]
            start, chars = position, 0
        chars += len(name)
    if start < len(names):
        yield names[start:]


def _busy() -> errors.NamingError:
    return errors.NamingError("too many searches with a regex are going on here, try again in a moment")


def _invalid(problem: str) -> errors.NamingError:
    return errors.NamingError("invalid regex: %s" % problem)
