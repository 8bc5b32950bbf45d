"""Run the regular expressions of clients so that none of them blocks other clients.

A regular expression of a few characters can keep a processor busy for years, and while Python's ``re`` matches a single
text, every other thread of the process waits. So each pattern is analysed before it runs:

* For a sequence of plain characters, classes and repeats of these, the worst case can be computed. If it is small for
  the names at hand, the pattern runs in this process.
* Everything else runs in a helper process, which is killed when it takes too long. That costs a few milliseconds more;
  the process is started when it is first needed, and kept for later searches. It rejects patterns that would need
  much memory, and on systems that can limit the memory of a process, its memory is limited; see `regex_program`.

`steps_at_most` computes the worst case, `Matcher` does the rest.
"""
from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import sys
import threading
import time
from typing import Any, Callable, Iterator, List, Match, Optional, Set, Tuple

from .. import NamedTuple, errors
from .regex_program import program

log = logging.getLogger("Pyro5.matching")

REGEX_CHARS = 1000          # a longer pattern is rejected
SEARCH_SECONDS = 1.8        # time limit of a search, including the wait for its turn
START_SECONDS = 10.0        # time limit for the start of a process; searches wait for it within their own limit
PROCESSES = 2               # that run at the same time
STEPS_PER_NAME = 1000000    # about 5 ms, during which no other thread runs
NAMES_AT_ONCE = 5000        # sent to a process in one message
CHARS_AT_ONCE = 1000000     # in the names of one message
# Free-threaded builds of Python reserve addresses for a gigabyte, which a limit on memory that is set later would not count.
_ALLOCATOR = {"MIMALLOC_ARENA_RESERVE": "0"}

# One item of a pattern with a known cost: something that matches one character, and how often it is repeated.
# Classes may only contain ASCII characters: those with thousands of characters take long to compile.
_ITEM = re.compile(r"""
    (?: [^\\.^$*+?{}\[\]|()] | \. | \\[dDsSwW] | \\[^0-9A-Za-z] | \[\^?(?:[0-9A-Za-z_.:/@\ ](?:-[0-9A-Za-z])?)+\] )
    (?: (?: (?P<sign>[*+?]) | \{(?P<least>\d{1,4})(?P<comma>,?)(?P<most>\d{0,4})\} ) \?? )?
    """, re.VERBOSE)

class Limits(NamedTuple):
    """Limits for searches.

    The defaults are for a server whose threads serve other clients in the meantime.
    """

    steps_here: int = 20000000      # for all names, in this process: about 0.1 s in the worst case
    wait_seconds: float = math.inf  # wait for a process that is idle or has been started; SEARCH_SECONDS in any case
    match_seconds: float = 1.0      # for the match alone, in the helper process
    rest_seconds: float = 0.0       # after a match that timed out: no other one runs for this time
    at_once: int = 40               # concurrent searches, including those that wait for their turn


USUAL = Limits()
# For a server with a single thread, which serves no other client during a search.
ONE_AT_A_TIME = Limits(steps_here=10000000, wait_seconds=0.05, match_seconds=0.05, rest_seconds=1.0, at_once=1)


def steps_at_most(regex: str, name_chars: int) -> Optional[int]:
    """Return the maximum number of steps for matching the pattern on a name of that length; None if unknown.

    Each repeat can match any number of characters between its limits, and all combinations of these may have to be tried.
    """
    # `match` is anchored at the beginning, so this adds nothing.
    position = 1 if regex.startswith("^") else 0
    combinations = 1
    steps_each = 1
    item = _ITEM.match(regex, position)
    while item:
        # Backtracking tries all combinations of the numbers of repetitions in the worst case.
        least, choices = _repeats(item, name_chars)
        combinations *= choices
        steps_each += max(min(least, name_chars), 1)
        if combinations > STEPS_PER_NAME:
            return None
        position = item.end()
        item = _ITEM.match(regex, position)
    return combinations * steps_each if regex[position:] in ("", "$") else None


def _repeats(item: Match[str], name_chars: int) -> Tuple[int, int]:
    """Return the minimum number of matches of an item, and how many different numbers are possible."""
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
    """Finds the names that match a client's regular expression at their beginning. Thread-safe.

    Args:
        limits: limits for searches.
        clock: returns monotonic seconds.
    """

    def __init__(self, limits: Limits = USUAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._admission = threading.BoundedSemaphore(limits.at_once)
        # Held while a pattern runs in this process: the other threads then compete with one search only.
        self._turn_here = threading.Lock()
        # Guards the attributes below; notified when a process becomes idle.
        self._changed = threading.Condition()
        self._processes: Set[_Process] = set()
        self._idle: List[_Process] = []
        self._starting = 0
        self._failed_starts = 0
        self._last_failure = ""
        self._resting_until = clock()
        self._closed = False

    def matching(self, regex: str, snapshot: Callable[[], List[str]]) -> List[str]:
        """Return the names that match, within `SEARCH_SECONDS`.

        Args:
            snapshot: returns the names as a new list; called when it is this search's turn.

        Raises:
            NamingError: the pattern is invalid, too long, or takes too long; or there are too many concurrent searches.
        """
        if len(regex) > REGEX_CHARS:
            raise errors.NamingError("the regex is too long: %d characters, %d are allowed" % (len(regex), REGEX_CHARS))
        # Not waited for: a waiting search occupies a worker thread, so the number of these must be limited as well.
        if not self._admission.acquire(blocking=False):
            raise _busy()
        try:
            deadline = self._clock() + SEARCH_SECONDS
            found = None
            # With names of length 0: only whether the form of the pattern is known, before a list of all names is made.
            if steps_at_most(regex, 0) is not None:
                found = self._match_here(regex, snapshot, deadline)
            return self._match_elsewhere(regex, snapshot, deadline) if found is None else found
        finally:
            self._admission.release()

    def close(self) -> None:
        """Terminate all processes; searches in progress there fail. Can be called more than once."""
        with self._changed:
            # Killed while the lock is held, so that no process is started or borrowed between the two steps; a kill does not
            # block. Reaping can block, and is done without the lock.
            self._closed = True
            idle, self._idle = self._idle, []
            for process in self._processes:
                process.kill()
            self._changed.notify_all()
        for process in idle:
            self._end(process)
        with self._changed:
            # busy processes are cleaned up by the threads that use them, which notice the kill immediately
            self._changed.wait_for(lambda: not self._processes and not self._starting, SEARCH_SECONDS)

    def _match_here(self, regex: str, snapshot: Callable[[], List[str]], deadline: float) -> Optional[List[str]]:
        """Return the names that match; None if that may take too long for these names."""
        if not self._turn_here.acquire(timeout=max(deadline - self._clock(), 0)):
            raise _busy()
        try:
            # when it is this search's turn, so that waiting searches do not keep lists of all names in memory
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
            names = snapshot()  # after a process has been borrowed, see above
            seconds = min(self._limits.match_seconds, deadline - self._clock())
            if seconds <= 0:
                raise _busy()
            try:
                return process.matching(regex, names, seconds)
            except TimeoutError:
                with self._changed:
                    self._resting_until = self._clock() + self._limits.rest_seconds
                log.warning("a regex was stopped after %.2f seconds: %.200r", seconds, regex)
                raise errors.NamingError("the regex takes too long on the %d names here: simplify it, or search for a "
                                         "prefix or metadata" % len(names)) from None
            except (OSError, EOFError) as x:
                log.warning("the process for regular expressions is gone: %s", x)
                raise errors.NamingError("the search was interrupted, try again") from None

    @contextlib.contextmanager
    def _process(self, deadline: float) -> Iterator[_Process]:
        """Borrow a process for the block; one that did not complete its work is terminated."""
        process = self._borrow(min(deadline, self._clock() + self._limits.wait_seconds))
        try:
            yield process
        finally:
            if process.usable:
                self._give_back(process)
            else:
                self._end(process)

    def _borrow(self, deadline: float) -> _Process:
        """Wait until a process is idle; start one if the limit allows another."""
        with self._changed:
            if self._clock() < self._resting_until:
                raise _busy()
            if not self._idle and len(self._processes) + self._starting < PROCESSES and not self._closed:
                # in a thread of its own: the start continues even if this search cannot wait for it
                threading.Thread(target=self._start, name="Pyro5 regex process start", daemon=True).start()
                self._starting += 1  # counted under the lock, so that two searches do not both start the last one
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
        except Exception as x:  # thread boundary: the waiting searches must be notified
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
    """A helper process that matches patterns. Only the thread that started or borrowed it uses it; any thread may call `kill`.

    Args:
        seconds: time limit for its start.

    Attributes:
        usable: it is running, and has completed all requests so far.

    Raises:
        OSError, EOFError: it cannot be started.
    """

    def __init__(self, seconds: float) -> None:
        if not sys.executable:
            raise OSError("it is not known where the Python interpreter is")
        import subprocess  # most name servers never search in another process
        self.usable = False
        # -I and -S: no module of the program or of the user is loaded there.
        self._popen = subprocess.Popen([sys.executable, "-I", "-S", "-c", program(SEARCH_SECONDS + 1)], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **_ALLOCATOR})
        try:
            with self._killed_after(seconds):
                self._read_answer()
        except BaseException:
            self.close()
            raise
        self.usable = True

    def matching(self, regex: str, names: List[str], seconds: float) -> List[str]:
        """Return the names that match.

        Raises:
            NamingError: the pattern is invalid.
            TimeoutError: the match took too long; the process is no longer usable.
            OSError, EOFError: the process has died.
        """
        # False during a request: if an exception ends it, the pipes may contain half a message, and the process is ended.
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
        """Kill the process; a thread that waits for its reply gets an EOFError or OSError."""
        self._popen.kill()

    def close(self) -> None:
        """Kill the process, reap it and close its pipes."""
        self.usable = False
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):  # buffered data cannot be written any more
                if pipe is not None:
                    pipe.close()

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer than this, and raise TimeoutError then."""
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._popen.kill()

        # A thread and a kill instead of a timeout for reading: pipes have none, and re holds the lock of that interpreter.
        watchdog = threading.Timer(max(seconds, 0), expire)
        watchdog.start()
        try:
            yield
        except (OSError, EOFError):
            # Else the process was killed because the time was up, which is reported below.
            if not expired.is_set():
                raise
        finally:
            watchdog.cancel()
            watchdog.join()
        if expired.is_set():
            raise TimeoutError("no answer within %.2f seconds" % seconds)

    def _ask(self, question: Any) -> Any:
        """Send a pattern, or names; return the error in the pattern, or the indexes of the names that match."""
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
    """Split the names into pieces, so that the memory for each message is bounded."""
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
