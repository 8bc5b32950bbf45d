"""The methods of a proxy. Calls with options: timeout, retries, serializer, annotations; in the background, or without waiting
for the reply.
"""
from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from .. import LazyModule, errors, serializers
from .._values import plain
from ..constants import DAEMON_NAME
from ..protocol import FLAGS_ONEWAY
from ..serializers import SerializerBase
from .call_options import CallOptions, current_options, deadline_for, options_for, seconds_until
from .retry import Retry, busy_pause, repeat, wait_until_ready, with_retries

if TYPE_CHECKING:
    import inspect

    from . import signatures
    from .futures import CallFuture
else:
    signatures = LazyModule(globals(), ".signatures")  # for help() and the like: it imports ast and inspect

GENERIC_DOC = "A method of a remote object. Its documentation is not available."
NOT_GIVEN: Any = object()
Send = Callable[..., Any]  # called with the name, the positional arguments, the keyword arguments, and the flags


class _LazyDoc:
    """The docstring of a remote method, requested from the server when it is read. On the class: that of the class."""

    def __init__(self, doc_of_class: str) -> None:
        self._doc_of_class = doc_of_class

    def __get__(self, method: Any, owner: Any = None) -> str:
        return self._doc_of_class if method is None else str(method._pyroDocumentation())


class _LazySignature:
    """The signature of a remote method, requested from the server when it is read. The class itself has none."""

    def __get__(self, method: Any, owner: Any = None) -> inspect.Signature:
        if method is None:
            raise AttributeError("__signature__")
        found: inspect.Signature = method._pyroSignature()
        return found


class _RemoteMethod:
    __signature__ = _LazySignature()
    __doc__ = _LazyDoc("""
    A method of a remote object. Calling it calls the remote method.

    Its docstring begins with its signature. Both are requested from the server, if the server can describe its objects.

    Args:
        send: called with the name, the positional arguments and the keyword arguments.
        name: the name of the method.
        max_retries: how many times to repeat a call after a lost connection or a timeout.
        link: the link of the proxy; None: calls have no options.
    """)

    __slots__ = ("_send", "_name", "_max_retries", "_link")

    def __init__(self, send: Callable[[str, Sequence[Any], Mapping[str, Any]], Any], name: str, max_retries: int = 0,
                 link: Any = None) -> None:
        self._send = send
        self._name = name
        self._max_retries = max_retries
        self._link = link

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        try:
            # every call passes here: without retries, calling _send directly saves the frame of with_retries()
            if self._max_retries:
                return with_retries(self._max_retries, self._send, self._name, args, kwargs)
            return self._send(self._name, args, kwargs)
        except Exception as error:
            if not errors.is_remote(error):
                raise
            # The server raised it: drop the frames of this library from the traceback. The traceback of the server is in
            # the note of the exception (and shown by excepthook).
            raise error.with_traceback(None)  # noqa: B904

    def __get__(self, instance: object, owner: object = None) -> _RemoteMethod:
        return self  # inspect.isroutine() is true of descriptors: so help() describes this method and not its class

    @property
    def __name__(self) -> str:
        return self._name

    def options(self, **options: Any) -> MethodView:
        """Return the method with options for its calls.

        Keyword arguments: ``timeout`` (seconds for the whole call), ``retry`` (a `Retry`), ``wait_for_ready``, ``serializer``,
        ``annotations``; see MethodView.options.
        """
        return self._view().options(**options)

    def future(self, /, *args: Any, **kwargs: Any) -> CallFuture:
        """Make the call in the background, and return a ``concurrent.futures.Future``, which can be cancelled."""
        return self._view().future(*args, **kwargs)

    def tell(self, /, *args: Any, **kwargs: Any) -> None:
        """Send a oneway call, whether the method is marked as oneway or not: there is no result, and no exception of it."""
        self._view().tell(*args, **kwargs)

    def _view(self) -> MethodView:
        if self._link is None:
            raise TypeError("this method was created without a proxy: its calls have no options")
        return MethodView(self._send, self._name, self._link)

    def _pyroDocumentation(self) -> str:
        try:
            signature, doc = self._pyroDescription()
            return "\n\n".join(filter(None, [self._name + signature if signature else "", doc])) or GENERIC_DOC
        except Exception:  # reading a docstring never fails: no connection, an older server, a proxy of another thread, ...
            return GENERIC_DOC

    def _pyroSignature(self) -> inspect.Signature:
        try:
            return signatures.parse_signature(self._pyroDescription()[0])
        except Exception:  # as in _pyroDocumentation()
            return signatures.ANY_ARGUMENTS

    def _pyroDescription(self) -> Tuple[str, str]:
        """Return the signature and the docstring that the server sent; empty texts if it sent none."""
        description = plain.item(_descriptions(self._link), "descriptions", "methods", self._name)
        # untrusted: a server can send any object; a proxy, for example, would connect to an address that the server chose
        signature, doc = (plain.item(description, key) for key in ("signature", "doc"))
        return signature if type(signature) is str else "", doc if type(doc) is str else ""

    def __repr__(self) -> str:
        return "<remote method %s, called by %r>" % (self._name, self._send)


def _descriptions(link: Any) -> Any:
    # A docstring is read by debuggers and editors: it must not open a connection, nor wait for a call that is in
    # flight.
    connection = link.acquire_ready()
    if connection is None:
        raise errors.ConnectionClosedError("reading a docstring does not connect the proxy")
    return link.call(connection, "get_metadata", [link.object_id], {"descriptions": True}, 0, DAEMON_NAME)


_RemoteMethod.__module__ = "Pyro5.client"


class MethodView:
    """A remote method with options for its calls. The method, and other calls of the proxy, are not changed. Any thread may
    use it, and it may be kept and called again.

    Args:
        send: `_pyroInvoke` of a proxy, or what does the same.
        name: the name of the method.
        link: the link of the proxy.
    """

    __slots__ = ("_send", "_name", "_link", "_timeout", "_retry", "_wait_for_ready", "_serializer", "_annotations")

    def __init__(self, send: Send, name: str, link: Any) -> None:
        self._send = send
        self._name = name
        self._link = link
        self._timeout: Optional[float] = None
        self._retry: Any = NOT_GIVEN
        self._wait_for_ready = False
        self._serializer: Optional[SerializerBase] = None
        self._annotations: Optional[Mapping[str, bytes]] = None

    def options(self, *, timeout: Optional[float] = NOT_GIVEN, retry: Optional[Retry] = NOT_GIVEN,
                wait_for_ready: bool = NOT_GIVEN, serializer: Optional[str] = NOT_GIVEN,
                annotations: Optional[Mapping[str, bytes]] = NOT_GIVEN) -> MethodView:
        """Return a view of the method with these options, and those of this view that are not given.

        Args:
            timeout: seconds that a call may take, including waiting for a connection, connecting, and all attempts. It
                replaces the timeout of the proxy; None for that one. The server is told, and does not start calls that are
                late.
            retry: how calls that fail are repeated; None for not at all.
            wait_for_ready: wait until the server can be reached, instead of raising an error; with a timeout, as long as that.
            serializer: name of the serializer to use.
            annotations: annotations to send (four ASCII characters: bytes), besides those of ``current_context``.

        Raises:
            TypeError, ValueError: an option has an unsuitable value.
        """
        # A copy: views are kept and shared between threads, so options never change an existing one.
        view = MethodView(self._send, self._name, self._link)
        for name in self.__slots__:
            setattr(view, name, getattr(self, name))
        for name, value in given_options(timeout, retry, wait_for_ready, serializer, annotations).items():
            setattr(view, "_" + name, value)
        return view

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(args, kwargs, 0, self._deadline())

    def tell(self, /, *args: Any, **kwargs: Any) -> None:
        """Send a oneway call, whether the method is marked as oneway or not: there is no result, and no exception of it."""
        self._call(args, kwargs, FLAGS_ONEWAY, self._deadline())

    def future(self, /, *args: Any, **kwargs: Any) -> CallFuture:
        """Make the call in the background.

        Returns:
            A ``concurrent.futures.Future``. Its `cancel` also works while the server is running the method: see CallFuture.
        """
        deadline = self._deadline()  # now: the time that the call spends in the queue is part of its timeout
        self._link.check_usable()  # here: another thread makes the call
        thread = threading.get_ident()

        def call(future: CallFuture) -> Any:
            def on_sending(correlation_id: Optional[bytes], seq: int) -> None:
                cancel = None if correlation_id is None else lambda: self._link.cancel(correlation_id, seq)
                # Asked at the last moment before sending, so that a cancelled call is sent as rarely as possible.
                if not future.begin_sending(cancel):
                    raise errors.not_sent(errors.CancelledError("the call was cancelled before it was sent"))

            return self._call(args, kwargs, 0, deadline, on_sending, thread)

        # A call that is nested in one in flight does not wait for a thread: those of the calls in flight wait for it.
        calls_at_once = None if self._link.is_nested() else self._link.calls_at_once
        return self._link.background.submit(call, calls_at_once)  # type: ignore[no-any-return]

    def _deadline(self) -> Optional[float]:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any], flags: int, deadline: Optional[float],
              on_sending: Optional[Callable[[Optional[bytes], int], None]] = None, thread: int = 0) -> Any:
        options = CallOptions(self._link, deadline, self._serializer, self._annotations, on_sending, True, thread)
        # In a context variable and not an argument: _pyroInvoke, which programs override, has a fixed signature.
        token = current_options.set(options)
        try:
            return self._attempts(args, kwargs, flags)
        except Exception as error:
            if not errors.is_remote(error):
                raise
            raise error.with_traceback(None)  # noqa: B904  # as in _RemoteMethod
        finally:
            current_options.reset(token)

    def _attempts(self, args: Sequence[Any], kwargs: Mapping[str, Any], flags: int) -> Any:
        link, send = self._link, self._send
        if self._wait_for_ready:
            send = _when_ready(link, send)
        # Only with a deadline: a busy object may stay busy, and the wait must end.
        if deadline_for(link) is not None:
            send = _when_not_busy(link, send)
        if self._retry is None:
            return send(self._name, args, kwargs, flags)
        retry = link.retry if self._retry is NOT_GIVEN else self._retry
        return _repeated(link, retry, send, self._name, args, kwargs, flags)

    def __repr__(self) -> str:
        # The view's own retry, also if that is None, takes the place of the proxy's.
        return "<remote method %s with options, called by %r>" % (self._name, self._send)


def given_options(timeout: Any, retry: Any, wait_for_ready: Any, serializer: Any, annotations: Any) -> Dict[str, Any]:
    """Return those options of a call that are given, by name. Raises TypeError or ValueError if one is unsuitable."""
    found: Dict[str, Any] = {}
    if timeout is not NOT_GIVEN:
        found["timeout"] = _checked_timeout(timeout)
    if retry is not NOT_GIVEN:
        if not (retry is None or isinstance(retry, Retry)):
            raise TypeError("retry must be a Retry or None, not %s" % type(retry).__name__)
        found["retry"] = retry
    if wait_for_ready is not NOT_GIVEN:
        found["wait_for_ready"] = bool(wait_for_ready)
    if serializer is not NOT_GIVEN:
        found["serializer"] = None if serializer is None else serializers.get_serializer(serializer)
    if annotations is not NOT_GIVEN:
        found["annotations"] = None if annotations is None else dict(annotations)
    return found


def _checked_timeout(seconds: Any) -> Optional[float]:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):  # True is an int, but certainly no timeout
        raise TypeError("timeout must be a number of seconds or None, not %s" % type(seconds).__name__)
    if not seconds > 0:  # also refuses NaN
        raise ValueError("timeout must be greater than 0, not %r" % seconds)
    return float(seconds)


def _when_ready(link: Any, send: Send) -> Send:
    """Return a function that waits until the server can be reached, within the deadline of the call, and then sends."""
    return lambda *arguments: wait_until_ready(lambda: send(*arguments), link.deadline_for_waiting(), str(link.uri))


def _when_not_busy(link: Any, send: Send) -> Send:
    """Return a function that sends, and repeats this while another client uses the object exclusively, until the deadline."""
    def send_when_not_busy(*arguments: Any) -> Any:
        while True:
            try:
                return send(*arguments)
            except errors.BusyError as x:
                if x.started:
                    raise
                left = seconds_until(deadline_for(link))
                pause = busy_pause(x)
                # The pause would pass the deadline: the error that says why is more useful than a timeout.
                if left is not None and left <= pause:
                    raise
                threading.Event().wait(pause)

    return send_when_not_busy


def repeated(link: Any, send: Send, name: str, *arguments: Any) -> Any:
    """Make a call, and repeat it after failures as the proxy is set up. A call that is an attempt of a view is made once.

    Args:
        send: called with the name and the arguments.

    Raises:
        Exception: the exception of the last attempt.
    """
    options = options_for(link)
    # Else each attempt would be repeated in turn, and the numbers of retries would multiply.
    if options is not None and options.is_attempt:
        return send(name, *arguments)
    return _repeated(link, link.retry, send, name, *arguments)


def _repeated(link: Any, retry: Optional[Retry], send: Send, name: str, *arguments: Any) -> Any:
    if retry is None:
        return with_retries(link.max_retries, send, name, *arguments)
    deadline = deadline_for(link)

    def wait(seconds: float) -> bool:
        left = seconds_until(deadline)
        # A pause that lasts longer than the deadline is not begun: the last error is raised instead.
        if left is not None and seconds >= left:
            return False
        threading.Event().wait(seconds)
        return True

    return repeat(lambda: send(name, *arguments), retry, link.retry_budget, lambda: name in link.idempotent, wait)
