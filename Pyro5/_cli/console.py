"""
What the command line tools have in common: flushed lines, one-line errors, a clean end on Ctrl-C and SIGTERM, and a word to
the service manager.
"""
from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any, Callable, Dict, Iterable

from .. import errors
from .._text.printable import printable

log = logging.getLogger("Pyro5.console")

# What a user can cause and mend: a wrong argument or setting, the network, the other side. The rest is a defect.
EXPECTED_ERRORS = (errors.PyroError, OSError, ValueError, TypeError, EOFError)
# As shells report it: 128 + the number of SIGINT.
EXIT_INTERRUPTED = 130


def seconds(text: str) -> float:
    """Read an option that says how long something may take. Raises ValueError if it makes no sense."""
    value = float(text)
    if not 0 <= value <= threading.TIMEOUT_MAX:
        raise ValueError(text)
    return value


def say(*lines: str) -> None:
    """Print lines on standard output and flush them. Each is one line: what is not printable becomes an escape sequence."""
    print("\n".join(map(printable, lines)), flush=True)


def say_nothing(*_lines: str) -> None:
    """Print nothing: in the place of `say`, for a tool that is to be quiet."""


def complain(text: str) -> None:
    """Print an error on standard error as one line, whatever line breaks it has."""
    print(printable(" ".join(text.split())), file=sys.stderr, flush=True)


def complain_of(error: BaseException) -> None:
    """Print what an error says on standard error."""
    complain("Error: %s" % (str(error) or type(error).__name__))


def complain_with_class(error: BaseException, verbose: bool) -> None:
    """
    Print the class of an error, and what it says, on standard error. It must be called while the error is being handled.

    Args:
        verbose: print the traceback first, with the remote one.
    """
    if verbose:
        sys.stderr.write("".join(errors.get_pyro_traceback()))
    complain("Error: %s" % " - ".join(filter(None, (type(error).__name__, str(error)))))


def exit_code_of(tool: Callable[[], Any], report: Callable[[BaseException], None] = complain_of) -> int:
    """
    Run a tool, and report its expected errors in one line (the traceback goes to the log). What a remote method raised is
    expected, whatever it is.

    Args:
        report: called with the error, while it is being handled.

    Returns:
        The exit code: 0, or 1 after an error; 130 if Ctrl-C interrupted the tool.
    """
    try:
        tool()
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as x:  # the last place to tell a user's mistake from a defect
        is_remote = hasattr(x, "_pyroTraceback")
        if isinstance(x, BrokenPipeError) and not is_remote:
            # Nobody reads the output any more (``| head``). Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if not is_remote and not isinstance(x, EXPECTED_ERRORS):
            raise
        log.debug("the tool ends because of an error", exc_info=True)
        report(x)
        return 1


def tell_service_manager(*states: str) -> None:
    """
    Tell systemd, or what else understands its notifications, such as ``READY=1``, if that has started this process.

    It says where it listens in the environment variable NOTIFY_SOCKET: the path of a datagram socket, or, after an ``@``,
    an abstract name. That nobody is there to hear it is no error.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.setblocking(False)
            sock.sendto("\n".join(states).encode(), address)
        except OSError as x:
            log.warning("the service manager could not be told %s: %s", states, x)


class StopSignals:
    """
    While it is entered as a context manager, Ctrl-C and SIGTERM only set `asked`; a second signal acts as before.

    Only signals that still have their default action are taken over, and only in the main thread: elsewhere Python
    can have no handlers, and nothing changes.

    Combine it with the daemon whose loop it shall end: ``daemon.combine(signals)``, then
    ``daemon.requestLoop(lambda: not signals.asked)``. The interpreter itself writes to its socket when a signal comes,
    so a loop wakes up even if the signal arrives in the instant before it goes to sleep.

    Attributes:
        asked: whether such a signal has come.
        sockets: what to wait for.
    """

    def __init__(self) -> None:
        self.asked = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.sockets = [self._receiver]
        self._previous: Dict[int, Any] = {}
        self._previous_fd = -1

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
            for signum, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                if signal.getsignal(signum) is default:
                    self._previous[signum] = signal.signal(signum, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore_handlers()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._previous_fd)
        self._receiver.close()
        self._sender.close()

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Take back the wake-up."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                continue

    def _on_signal(self, signum: int, frame: object) -> None:
        # This may interrupt anything in the main thread: it takes no lock and does no more than this.
        self.asked = True
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
