"""Shared by the command line tools: flushed output, colors, one-line errors, a clean stop on Ctrl-C and SIGTERM, and
notifications to the service manager.
"""
from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Mapping, Optional

from .. import LazyModule, errors
from .._text import printable

if TYPE_CHECKING:
    import signal
else:
    signal = LazyModule(globals(), "signal")  # for tools that run until they are stopped

log = logging.getLogger("Pyro5.console")

# Errors that a user can cause and fix: a wrong argument or setting, the network, the peer. Other exceptions are defects.
EXPECTED_ERRORS = (errors.PyroError, OSError, ValueError, TypeError, EOFError)
# The convention of shells: 128 + the number of SIGINT.
EXIT_INTERRUPTED = 130
STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "cyan": "36"}


def port(text: str) -> int:
    """Parse an option that is a port. Raises ArgumentTypeError if it is none."""
    import argparse  # only to parse options: importing it takes some milliseconds
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535, not %s" % printable(text[:100]))
    return int(text)


def seconds(text: str) -> float:
    """Parse an option that is a time limit in seconds. Raises ValueError if it is invalid."""
    value = float(text)
    if not 0 <= value <= threading.TIMEOUT_MAX:
        raise ValueError(text)
    return value


class Colored(str):
    """A line of text that is printable, apart from the escape sequences of colors.

    Nothing is colored in a pipe or a file, with NO_COLOR in the environment, or on a dumb terminal.
    """

    __slots__ = ()


def are_on(stream: Any = None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether to write colors to a stream; None is the standard output.

    ``NO_COLOR`` turns them off if it is set to any text that is not empty (see no-color.org).
    """
    stream = sys.stdout if stream is None else stream
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    # The old console of Windows prints the sequences instead; its successor sets this variable.
    if sys.platform == "win32" and "WT_SESSION" not in environ:
        return False
    return stream is not None and bool(stream.isatty())


def paint(style: str, text: str, stream: Any = None) -> Colored:
    """Return a text in a style (a key of STYLES), if colors are on for the stream. The text itself is made printable."""
    safe = printable(text)
    if not text or not are_on(stream):
        return Colored(safe)
    return Colored("\033[%sm%s\033[0m" % (STYLES[style], safe))


def joined(*parts: Optional[str]) -> Colored:
    """Return a line of several parts. Parts that are not `Colored` are made printable; None is left out."""
    return Colored("".join(part if type(part) is Colored else printable(part) for part in parts if part is not None))


def say(*lines: str) -> None:
    """Print lines on standard output and flush them. In each line, unprintable characters become escape sequences, unless it
    is `Colored`."""
    print("\n".join(map(joined, lines)), flush=True)


def say_nothing(*_lines: str) -> None:
    """Print nothing; replaces `say` in a quiet tool."""


def complain(text: str) -> None:
    """Print an error on standard error in one line, regardless of line breaks in it. A word before a colon is colored."""
    label, colon, rest = printable(" ".join(text.split())).partition(": ")
    if colon and label in ("Error", "Hint"):
        label = paint("red" if label == "Error" else "yellow", label + ":", sys.stderr)
        colon = " "
    print(label + colon + rest, file=sys.stderr, flush=True)


def complain_of(error: BaseException) -> None:
    """Print the text of an error on standard error."""
    complain("Error: %s" % (str(error) or type(error).__name__))


def complain_with_class(error: BaseException, verbose: bool) -> None:
    """Print the class and text of an error on standard error. Call it while the error is being handled.

    Args:
        verbose: print the traceback first, including the remote one.
    """
    if verbose:
        sys.stderr.write("".join(errors.get_pyro_traceback()))
    complain("Error: %s" % " - ".join(filter(None, (type(error).__name__, str(error)))))


def exit_code_of(tool: Callable[[], Any], report: Callable[[BaseException], None] = complain_of) -> int:
    """Run a tool, and report its expected errors in one line (the traceback goes to the log). Errors raised by a remote method
    are always expected.

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
    except Exception as x:  # outermost handler: separates user errors from defects
        is_remote = hasattr(x, "_pyroTraceback")
        if isinstance(x, BrokenPipeError) and not is_remote:
            # The output is no longer read (``| head``). Python would raise again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if not is_remote and not isinstance(x, EXPECTED_ERRORS):
            raise
        log.debug("the tool ends because of an error", exc_info=True)
        report(x)
        return 1


def tell_service_manager(*states: str) -> None:
    """Send notifications such as ``READY=1`` to systemd, or a compatible service manager, if that has started this process.

    The environment variable NOTIFY_SOCKET contains its address: the path of a datagram socket, or, after an ``@``,
    an abstract name. It is not an error if the service manager cannot be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    # The notation of systemd for the abstract name space, where names begin with a zero byte.
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            # A service manager that does not read must not stop the service.
            sock.setblocking(False)
            sock.sendto("\n".join(states).encode(), address)
        except OSError as x:
            log.warning("the service manager could not be told %s: %s", states, x)


class StopSignals:
    """A context manager in which Ctrl-C and SIGTERM only set `asked`; a second signal acts as before.

    Only signals that still have their default action are handled, and only in the main thread: in other threads Python
    cannot install handlers, and nothing changes.

    Combine it with the daemon whose loop should stop: ``daemon.combine(signals)``, then
    ``daemon.requestLoop(lambda: not signals.asked)``. The interpreter itself writes to its socket when a signal arrives,
    so the loop wakes up even if the signal arrives just before it blocks.

    Attributes:
        asked: whether a signal has arrived.
        sockets: the sockets to wait for.
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
            # Without this, select() would be restarted after a signal, and the loop would notice `asked` only with
            # its next event.
            self._previous_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
            for signum, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
                # A handler of the program, or an ignored signal (nohup), is left as it is.
                if signal.getsignal(signum) is default:
                    self._previous[signum] = signal.signal(signum, self._on_signal)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore_handlers()
        # Only the main thread may set it, and only it has set it.
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._previous_fd)
        self._receiver.close()
        self._sender.close()

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Discard the pending wake-up."""
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                continue

    def _on_signal(self, signum: int, frame: object) -> None:
        # This may interrupt any code in the main thread, so it must not acquire locks.
        self.asked = True
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        while self._previous:
            # The first signal restores the defaults, so that a second one ends a tool that does not stop.
            signal.signal(*self._previous.popitem())
