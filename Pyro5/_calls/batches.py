"""Run the calls of a batch, with interruptions, so that a server with one thread serves other clients in the meantime."""
from __future__ import annotations

import contextvars
import functools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set

from .._messages import replies, requests
from .._messages.batch_results import BatchResults
from .._messages.requests import Call
from .._objects import exposure
from .._objects.objects import PublishedObject
from ..serializers import SerializerBase
from .deferred import Deferred

# results in a batch whose size is not counted; nor is that of an int of at most this many bits
_UNCOUNTED_TYPES = frozenset((type(None), bool, float))
_MAX_UNCOUNTED_INT_BITS = 256


class Batch:
    """A batch request that is being executed.

    Args:
        call: the request; its arguments are the calls.
        correlation_id: of the reply.
        wants_results: whether a reply is sent.
        max_size: limit in bytes for all results, 0 for none.
        buffers: how large buffers may be sent, see _messages.out_of_band.

    Attributes:
        results: those of the calls that were executed.
        steps: the generator that executes the calls, and yields where it may be interrupted.
        context: the context variables at the last interruption.
        running: the call as the daemon counts it; the batch ends early when it is cancelled.
    """

    def __init__(self, call: Call, serializer: SerializerBase, correlation_id: bytes, wants_results: bool,
                 max_size: int, buffers: Any = None) -> None:
        self.call = call
        self.serializer = serializer
        self.correlation_id = correlation_id
        self.results = BatchResults(serializer, max_size, buffers)
        self.steps: Iterator[Any] = iter(())
        self.context: Optional[contextvars.Context] = None
        self.running: Any = None
        self._wants_results = wants_results
        self._methods: Dict[Any, Callable[..., Any]] = {}
        self._elements: Sequence[Any] = ()
        self._is_counting = False  # a result is being counted, or serialized
        self._outcome: Callable[[], Any] = lambda: None
        self._is_direct = False  # the methods are called with the arguments in the request

    def prepare(self, published: PublishedObject, prepare: Callable[[Call], Callable[[], Any]],
                is_intercepted: bool = False) -> Sequence[Any]:
        """Check that all calls are allowed, and return the steps to execute; if any of them is not allowed, none is executed.

        Args:
            prepare: checks that a call is allowed, and returns a function that executes it.
            is_intercepted: each call has to be executed by that function.
        """
        # All calls are checked before the first one runs, so that a batch with a forbidden call has no effect at all.
        self._elements, names = requests.parse_batch(self.call)
        self._methods = {} if is_intercepted else _methods_of(published, names)
        self._is_direct = bool(self._methods)
        if self._is_direct:
            return self._elements
        # By number, not by name: the prepared functions contain the arguments.
        self._methods = dict(enumerate(_prepare_all(published, self.call.object_id, self._elements, prepare)))
        return [(number, (), {}) for number in self._methods]

    def execute(self, pieces: Iterator[Optional[Sequence[Any]]], on_error: Callable[[Exception, Any], None]) -> Iterator[Any]:
        """Execute the calls in order, until one fails; that exception takes the place of its result.

        Args:
            pieces: the steps, in sequences; None where others have to be served first.
            on_error: called with the exception of a call, and the method with its arguments unless the error was handled.

        Yields:
            None, where the pieces have it; a `Deferred` that has to be run before the next step, see `set_outcome`.
        """
        try:
            for piece in pieces:
                if self.running is not None:
                    # Between two pieces, not between two calls: reading the clock for each of them would be noticed
                    # in large batches.
                    self.running.stop_if_cancelled()
                if piece is None:
                    yield None
                elif self._is_direct:
                    self._execute_piece(piece)
                else:
                    yield from self._execute_prepared(piece)
        except Exception as x:  # user code failed: the exception takes the place of the result
            # The result exists, but could not be counted: the client has to learn that sending failed, not the method.
            if self._is_counting:
                raise replies.unsent_result(x, self.results, self.serializer,
                                            "%s.%s" % (self.call.object_id, self.call.method)) from x
            on_error(x, self._failed_step())

    def set_outcome(self, value: Any, error: Optional[BaseException]) -> None:
        """Set the result of the `Deferred` that was yielded last, or the exception that it raised."""
        self._outcome = functools.partial(_value_or_raise, value, error)

    def _execute_prepared(self, piece: Sequence[Any]) -> Iterator[Any]:
        for step, _args, _kwargs in piece:
            result = self._methods[step]()
            if type(result) is Deferred:
                yield result
                # Reset, so that the outcome and the traceback in it are not kept alive by this object.
                outcome, self._outcome = self._outcome, lambda: None
                result = outcome()
            # In this form the same loop as for other calls adds the result and counts its size.
            self._methods[step] = functools.partial(_value_or_raise, result, None)
            self._execute_piece(((step, (), {}),))
            del self._methods[step]

    def _execute_piece(self, piece: Sequence[Any]) -> None:
        # This loop is half of the server's cost of a small call in a batch, so it looks up nothing that could be looked up
        # before.
        wants_results, methods, results = self._wants_results, self._methods, self.results
        add, uncounted = results.values.append, _UNCOUNTED_TYPES
        for step, args, kwargs in piece:
            result = methods[step](*args, **kwargs) if kwargs else methods[step](*args)
            add(result if wants_results else None)
            kind = type(result)
            if (kind not in uncounted and (kind is not int or result.bit_length() > _MAX_UNCOUNTED_INT_BITS)
                    and wants_results):
                self._is_counting = True  # set while count() runs, so that its errors are told from those of the method
                results.count(result)
                self._is_counting = False

    def _failed_step(self) -> Any:
        """Return the method and the arguments of the call that failed; None if its error was handled where it was called."""
        if not self._is_direct:
            return None
        name, args, kwargs = self._elements[len(self.results)]
        return self._methods[name], args, kwargs


def _value_or_raise(value: Any, error: Optional[BaseException]) -> Any:
    try:
        if error is not None:
            raise error
        return value
    finally:
        del error  # its traceback refers to this frame


def _methods_of(published: PublishedObject, names: Set[str]) -> Dict[Any, Callable[..., Any]]:
    """Return the methods that a batch calls, by name; empty if they are not all ordinary methods of one registered object."""
    # A subset, because get-attribute requests, oneway wrappers and methods that need rebuilt arguments take the
    # checked way; so do those marked with @expose(blocking=False), which an event loop may have to run.
    if published.fixed_instance is None or not names <= published.direct or names & published.members.nonblocking:
        return {}
    return {name: getattr(published.fixed_instance, name) for name in names}


def _prepare_all(published: PublishedObject, object_id: str, elements: Sequence[Any],
                 prepare: Callable[[Call], Callable[[], Any]]) -> List[Callable[[], Any]]:
    """Check that all calls of a batch are allowed, and return functions that execute them."""
    is_percall = published.is_class and exposure.instancing_of(published.target)[0] == "percall"
    prepared: List[Callable[[], Any]] = []
    for element in elements:
        call = Call(object_id, *element)
        if not is_percall:
            prepared.append(prepare(call))
            continue
        if call.method not in published.members.methods:
            prepare(call)  # raises if the call is not allowed
        # Create each instance right before its call: there are never two of them at the same time.
        prepared.append(functools.partial(_prepare_and_run, prepare, call))
    return prepared


def _prepare_and_run(prepare: Callable[[Call], Callable[[], Any]], call: Call) -> Any:
    return prepare(call)()
