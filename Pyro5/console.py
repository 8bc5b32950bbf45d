"""What the command line tools have in common: flushed lines, one-line errors, a clean end on Ctrl-C and SIGTERM."""
from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import Any, Callable, Dict, Iterator

from . import errors

log = logging.getLogger("Pyro5.console")

# What a user can cause and mend: a wrong argument or setting, the network, the other side. The rest is a defect.
EXPECTED_ERRORS = (errors.PyroError, OSError, ValueError, TypeError, EOFError)
# As shells report it: 128 + the number of SIGINT.
EXIT_INTERRUPTED = 130


def say(text: str) -> None:
    """Print a line on standard output, and flush it: whoever waits for the line in a pipe sees it at once."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print an error on standard error as one line, whatever line breaks it has."""
    print(" ".join(text.split()), file=sys.stderr, flush=True)


def complain_of(error: BaseException) -> None:
    """Print what an error says on standard error."""
    complain("Error: %s" % (str(error) or type(error).__name__))


def exit_code_of(tool: Callable[[], Any], report: Callable[[BaseException], None] = complain_of) -> int:
    """
    Run a tool, and report its expected errors in one line (the traceback goes to the log).

    Args:
        report: called with the error, while it is being handled.

    Returns:
        The exit code: 0, or 1 after an error; 130 if Ctrl-C interrupted the tool.
    """
    try:
        tool()
        return 0
    except BrokenPipeError:
        # Nobody reads the output any more (``| head``). Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except EXPECTED_ERRORS as x:
        log.debug("the tool ends because of an error", exc_info=True)
        report(x)
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


@contextlib.contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[threading.Event]:
    """
    Have Ctrl-C and SIGTERM call ``stop`` while the block runs; a second signal acts as it did before.

    Only signals that still have their default action are taken over, and only in the main thread: elsewhere, Python
    can have no handlers and this changes nothing.

    Args:
        stop: must be safe to call in a signal handler.

    Yields:
        An event that is set before ``stop`` is called, for a loop that has yet to begin when the signal comes.
    """
    asked = threading.Event()
    previous: Dict[int, Any] = {}

    def restore() -> None:
        while previous:
            signal.signal(*previous.popitem())

    def on_signal(signum: int, _frame: object) -> None:
        log.info("stopping on signal %d", signum)
        restore()
        asked.set()
        stop()

    if threading.current_thread() is threading.main_thread():
        for signum, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(signum) is default:
                previous[signum] = signal.signal(signum, on_signal)
    try:
        yield asked
    finally:
        restore()
