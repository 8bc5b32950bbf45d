"""The exceptions of this library, and the tracebacks of remote exceptions.

::

    Exception
     +-- PyroError                      base of all exceptions below
          +-- NamingError               an error of a name or of the name server
          +-- DaemonError               an error of a daemon or of the objects in it
          |    +-- BusyError                 another client has acquired the object
          +-- SecurityError             refused for security reasons
          +-- CancelledError            the client has cancelled the call or disconnected
          +-- CommunicationError        communication between client and server failed
               +-- ConnectionClosedError     the connection was closed
               +-- TimeoutError              no reply within the timeout
               +-- ProtocolError             a message violates the protocol
                    +-- MessageTooLargeError      a message exceeds the configured size limit
                    +-- SerializeError            a value cannot be serialized or deserialized
                         +-- RemoteError               a remote exception whose class is unknown here

Misuse of the local API raises ``TypeError`` or ``ValueError``. An exception that a remote method raises is raised in the
client with the same class and arguments, or as a RemoteError if its class is not known there. Its attribute
``_pyroTraceback`` is the traceback of the server, a list of strings.
"""
from __future__ import annotations

import linecache
import reprlib
import sys
import threading
import traceback
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Set, Tuple, Type, TypeVar, Union

from ._text import one_line as one_line, printable, printable_lines

if TYPE_CHECKING:
    _ExcClass = Union[Type[BaseException], BaseException, None]

__all__ = ["PyroError", "NamingError", "DaemonError", "BusyError", "SecurityError", "CancelledError",
           "CommunicationError", "ConnectionClosedError",
           "TimeoutError", "ProtocolError", "MessageTooLargeError", "SerializeError", "RemoteError",
           "get_pyro_traceback", "format_traceback", "excepthook"]


class PyroError(Exception):
    """Base class of all exceptions of this library.

    Attributes:
        remote_class: full class name of a remote exception whose class is unknown here; None otherwise.
        remote_args: the ``args`` of that remote exception.
        sent: whether the request was sent when a call failed: False if it certainly never left this process, so that the
            call can be repeated without risk; None if that is not known.
    """

    # In the class, so that exceptions have no more attributes on the wire than those of 5.x.
    remote_class: Optional[str] = None
    remote_args: Tuple[Any, ...] = ()
    sent: Optional[bool] = None


class NamingError(PyroError):
    """A name is unknown, already registered or cannot be resolved, or the name server cannot be found."""


class DaemonError(PyroError):
    """The operation is not possible in the current state of the daemon or of the object."""


class BusyError(DaemonError):
    """Another client has acquired the object for exclusive use. The method was not called.

    Attributes:
        retry_after: seconds after which the client should try again.
        started: whether the called method itself raised this, for example because it called another object. The method has
            begun then, so the call is not repeated.
    """

    started = False

    def __init__(self, *args: Any, retry_after: float = 0.0) -> None:
        super().__init__(*args)
        self.retry_after = retry_after  # the client identifies the class by this attribute, see _values.exceptions


class SecurityError(PyroError):
    """The operation was refused for security reasons."""


class CancelledError(PyroError):
    """The client has cancelled the call that is being run, or has disconnected: see ``current_context.check()``."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_cancellation = True  # the client identifies the class by this attribute, see _values.exceptions


class CommunicationError(PyroError):
    """Communication between client and server failed.

    Attributes:
        retry_after: seconds after which the server asks the client to try again, because too many others are connected; None
            if it has not asked for that.
    """

    retry_after: Optional[float] = None  # in the class, as `sent`


class ConnectionClosedError(CommunicationError):
    """The connection was closed before the operation was complete."""


class TimeoutError(CommunicationError):
    """The timeout of a call or of another network operation expired."""


class ProtocolError(CommunicationError):
    """A message does not follow the protocol."""


class MessageTooLargeError(ProtocolError):
    """A message exceeds MAX_MESSAGE_SIZE, or a handshake exceeds MAX_HANDSHAKE_SIZE."""


class SerializeError(ProtocolError):
    """A value cannot be serialized, or received data cannot be deserialized."""


class RemoteError(SerializeError):
    """A remote method raised an exception whose class is unknown here, or cannot be instantiated here.

    The text contains the class name and the text of the remote exception. ``remote_class`` and ``remote_args`` are its class
    name and its arguments; its other attributes are set on this exception. The connection can still be used.
    """


_RULE = "-" * 52 + "\n"
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_REMOTE_BEGIN = " +--- This exception occured remotely (Pyro) - Remote traceback:\n"
_REMOTE_LINE = " | %s\n"
_REMOTE_END = " +--- End of remote traceback\n"
_SHOWN_LINKS = 50  # of a chain of causes, the first and the last ones; formatting all links of a long chain takes too long
_THIS_PACKAGE = __name__.rpartition(".")[0]

_bounded = reprlib.Repr()
_bounded.maxlevel = 4
_bounded.maxdict = _bounded.maxlist = _bounded.maxtuple = _bounded.maxset = _bounded.maxfrozenset = 20
_bounded.maxdeque = _bounded.maxarray = 20
_bounded.maxstring = _bounded.maxlong = _bounded.maxother = 300


class RemoteTracebackNote(str):
    """The note of a remote exception with the traceback of the server; see show_remote_traceback."""

    __slots__ = ()

    # Pickled as a plain text: the process that reads it may not have this library.
    def __reduce__(self) -> Any:
        return str, (str(self),)


# The default hook of Python; it has a public name since 3.10 only.
_USUAL_THREAD_HOOK = getattr(threading, "__excepthook__", threading.excepthook)


def show_remote_traceback(error: BaseException) -> None:
    """Make Python show the remote traceback of an exception together with the exception, for example in a log.

    On Python 3.11 and later the traceback becomes a note of the exception. On earlier versions sys.excepthook and
    threading.excepthook show it, unless the program has set its own hooks. The text, arguments and other attributes of the
    exception are not changed.
    """
    remote = _remote_traceback(error)
    if not remote:
        return
    if sys.version_info >= (3, 11):
        # not by add_note(), which a class of the program may override
        notes = error.__dict__.get("__notes__")
        notes = list(notes) if isinstance(notes, list) else []
        error.__dict__["__notes__"] = [*notes, RemoteTracebackNote("".join(remote).rstrip("\n"))]
        return
    # When the first remote exception arrives, not at import: programs set their hooks at the start, and these are kept.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = excepthook
    if threading.excepthook is _USUAL_THREAD_HOOK:
        threading.excepthook = _excepthook_of_threads


def notes_of(error: BaseException) -> List[str]:
    """Return the notes of an exception without the one that shows the remote traceback."""
    notes = error.__dict__.get("__notes__")
    return [note for note in notes if type(note) is not RemoteTracebackNote] if isinstance(notes, list) else []


def without_own_frames(tb: Optional[TracebackType]) -> Optional[TracebackType]:
    """Return a traceback without the frames of this library at its beginning."""
    while tb is not None and is_own_frame(tb.tb_frame):
        tb = tb.tb_next
    return tb


def is_own_frame(frame: FrameType) -> bool:
    """Return whether a stack frame belongs to this library."""
    # by the name of the module and not the file, because the package may be in a zip archive or vendored
    return str(frame.f_globals.get("__name__") or "").startswith(_THIS_PACKAGE + ".")


def _excepthook_of_threads(args: Any) -> None:
    # the same output as the default hook, except for the remote traceback
    if args.exc_type is not SystemExit and sys.stderr is not None:
        name = args.thread.name if args.thread is not None else threading.get_ident()
        sys.stderr.write("Exception in thread %s:\n" % name)
        excepthook(args.exc_type, args.exc_value, args.exc_traceback)


def add_context(error: BaseException, context: str) -> None:
    """Insert a description of the activity before the text of an exception. No effect if its args are not a single text."""
    # a class with its own __str__ (KeyError, OSError) may not show the changed argument
    if type(error).__str__ is BaseException.__str__ and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = ("%s: %s" % (context, error.args[0]),)


_E = TypeVar("_E", bound=PyroError)


def not_sent(error: _E) -> _E:
    """Note that the request of a call that fails with this error was never sent, and return the error."""
    error.__dict__["sent"] = False
    return error


def is_remote(error: BaseException) -> bool:
    """Return whether an exception came from a server; no code of its class is run."""
    return bool(BaseException.__getattribute__(error, "__dict__").get("_pyroTraceback"))


def drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an exception and of all exceptions in its chain.

    A traceback refers to the frames of its functions, and so keeps all their local variables in memory.
    """
    seen: Set[int] = set()
    # A loop instead of recursion: chains of causes can be longer than Python's stack.
    waiting: List[Optional[BaseException]] = [error]
    while waiting:
        exception = waiting.pop()
        if exception is not None and id(exception) not in seen:
            seen.add(id(exception))
            BaseException.with_traceback(exception, None)  # not the method of its class, which may be overridden
            waiting += [exception.__cause__, exception.__context__]


def get_pyro_traceback(ex_type: _ExcClass = None, ex_value: Optional[BaseException] = None,
                       ex_tb: Optional[TracebackType] = None, detailed: bool = False) -> List[str]:
    """Format the local and the remote traceback of an exception, and of all exceptions in its chain.

    Args:
        ex_type: the class of the exception, or the exception itself.
        ex_value: the exception. Without arguments, the exception that is being handled is used.
        ex_tb: the traceback, if it is not that of the exception.
        detailed: show the values of local variables.

    Returns:
        A list of strings that each end in a newline. Join them for printing.
    """
    ex_class, value, tb = _exc_info(ex_type, ex_value, ex_tb)
    result: List[str] = []
    for error, error_tb, joint in _chain(value, tb):
        # Made printable: the text of a remote exception is chosen by the peer, and could control the terminal.
        result.extend(_printable(error, _local_traceback(type(error), error, error_tb, detailed)))
        result.extend(map(printable_lines, _remote_traceback(error)))
        if joint:
            result.append(joint)
    return result or _local_traceback(ex_class, None, tb, detailed)


def format_traceback(ex_type: _ExcClass = None, ex_value: Optional[BaseException] = None,
                     ex_tb: Optional[TracebackType] = None, detailed: bool = False) -> List[str]:
    """Format the local traceback of an exception, and of all exceptions in its chain.

    Args:
        ex_type, ex_value, ex_tb: see `get_pyro_traceback`.
        detailed: show the source line of each stack frame and the values of its local variables, shortened. No values are
            shown for frames of this library.

    Returns:
        A list of strings that each end in a newline: a header, one for each stack frame (several if detailed), the error.
    """
    ex_class, value, tb = _exc_info(ex_type, ex_value, ex_tb)
    result: List[str] = []
    for error, error_tb, joint in _chain(value, tb):
        result.extend(_local_traceback(type(error), error, error_tb, detailed))
        if joint:
            result.append(joint)
    return result or _local_traceback(ex_class, None, tb, detailed)


def excepthook(ex_type: Type[BaseException], ex_value: Optional[BaseException],
               ex_tb: Optional[TracebackType]) -> None:
    """Print an uncaught exception with its remote traceback to standard error. Can be assigned to sys.excepthook."""
    if sys.stderr is not None:
        sys.stderr.write("".join(get_pyro_traceback(ex_type, ex_value, ex_tb)))


def _exc_info(ex_type: _ExcClass, ex_value: Optional[BaseException], ex_tb: Optional[TracebackType],
              ) -> Tuple[Optional[Type[BaseException]], Optional[BaseException], Optional[TracebackType]]:
    if isinstance(ex_type, BaseException):
        ex_type, ex_value = None, ex_type
    elif ex_type is None and ex_value is None:
        _, ex_value, current_tb = sys.exc_info()
        ex_tb = ex_tb or current_tb
    if ex_value is not None:
        return type(ex_value), ex_value, ex_tb or ex_value.__traceback__
    return ex_type, None, ex_tb


def _chain(error: Optional[BaseException], tb: Optional[TracebackType],
           ) -> List[Tuple[BaseException, Optional[TracebackType], str]]:
    """Return (exception, traceback, text between this and the next one) for a chain of exceptions, the first cause first."""
    links: List[Tuple[BaseException, Optional[TracebackType], str]] = []
    seen = set()  # a program can make a chain that leads back to itself
    joint = ""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        links.append((error, tb, joint))
        if error.__cause__ is not None:
            error, joint = error.__cause__, _CAUSE
        else:
            error, joint = None if error.__suppress_context__ else error.__context__, _CONTEXT
        tb = None if error is None else error.__traceback__
    links.reverse()
    return links[:_SHOWN_LINKS // 2] + links[-_SHOWN_LINKS // 2:] if len(links) > _SHOWN_LINKS else links


def _local_traceback(ex_type: Optional[Type[BaseException]], error: Optional[BaseException],
                     tb: Optional[TracebackType], detailed: bool) -> List[str]:
    if detailed and error is not None:
        return list(_detailed_lines(error, tb))
    shown = getattr(error, "__dict__", {}).get("__notes__")
    if not isinstance(shown, list) or error is None:
        return traceback.format_exception(ex_type, error, tb, chain=False)
    # without the note of the remote traceback: callers show that traceback themselves, or do not want it
    lines = traceback.TracebackException(ex_type or type(error), error, tb)
    notes = notes_of(error)
    # a line break in the text of a peer must not begin a line that looks like one of this traceback
    lines.__notes__ = [printable(str(note)) for note in notes] if hasattr(error, "_pyroTraceback") else notes
    lines.__cause__ = lines.__context__ = None  # the caller formats the chain, with the remote traceback of each exception
    return list(lines.format(chain=False))


def _printable(error: BaseException, parts: List[str]) -> Iterator[str]:
    """Yield the parts of a traceback without control characters; the text of a remote exception becomes one line."""
    is_remote = hasattr(error, "_pyroTraceback")
    for part in parts:
        if is_remote and not part.startswith(("  File ", " ", "-", "Traceback (", "File ")):
            yield printable(part.rstrip("\n")) + "\n"
        else:
            yield printable_lines(part)


def _remote_traceback(error: BaseException) -> List[str]:
    remote = getattr(error, "_pyroTraceback", None)
    if not remote:
        return []
    if not isinstance(remote, str):
        # untrusted: a peer can send any value
        remote = "".join(map(str, remote)) if isinstance(remote, (list, tuple)) else str(remote)
    lines = [_REMOTE_LINE % line for line in remote.splitlines()]
    return [_REMOTE_BEGIN] + lines + [_REMOTE_END]


def _detailed_lines(error: BaseException, tb: Optional[TracebackType]) -> Iterator[str]:
    # the layout of 5.x, which programs show to their users
    headline = " EXCEPTION %s: %s\n" % (type(error), _text_or_placeholder(str, error))
    yield _RULE
    yield headline
    yield " Extended stacktrace follows (most recent call last)\n"
    yield _RULE
    for frame, line_number in traceback.walk_tb(tb):
        yield from _frame_lines(frame, line_number)
        yield _RULE
    yield headline
    yield _RULE


def _frame_lines(frame: FrameType, line_number: int) -> Iterator[str]:
    filename = frame.f_code.co_filename
    yield 'File "%s", line %d, in %s\n' % (filename, line_number, _function_name(frame))
    source = linecache.getline(filename, line_number, frame.f_globals).strip()
    if source:
        yield "Source code:\n"
        yield "    %s\n" % source
    # frames of this library contain connections, buffers and paths of keys, which are of no interest to the user
    if is_own_frame(frame):
        return
    values = sorted(frame.f_locals.items())
    if values:
        yield "Local values:\n"
        for name, value in values:
            yield "    %s = %s\n" % (name, _text_or_placeholder(_bounded.repr, value))


def _function_name(frame: FrameType) -> str:
    code = frame.f_code
    qualified: Optional[str] = getattr(code, "co_qualname", None)     # new in Python 3.11
    if qualified is None and code.co_varnames[:1] == ("self",) and "self" in frame.f_locals:
        qualified = "%s.%s" % (type(frame.f_locals["self"]).__name__, code.co_name)
    return qualified or code.co_name


def _text_or_placeholder(to_text: Any, value: Any) -> str:
    try:
        text: str = to_text(value)
        return text.replace("\n", "\n    ")
    except Exception as x:  # repr() and str() are code of the program; formatting a traceback must not fail because of it
        return "<%s object, not printable: %s>" % (type(value).__name__, type(x).__name__)
