"""Rebuild the results of remote methods, where an interface annotates them with registered types."""
from __future__ import annotations

import collections.abc
import functools
import inspect
import typing
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from .. import NamedTuple, protocol
from .._messages import replies
from .._values import registered_types
from .._values.annotations import hints_of
from .._values.builders import Build
from .._values.mismatch import Mismatch
from .._values.rebuilding import builder_for


class Rebuilding(NamedTuple):
    """The functions that rebuild the result of a method or attribute, and the items of a stream; None if they need none."""

    value: Optional[Build]
    item: Optional[Build]


Results = Mapping[str, Rebuilding]   # by the names of methods and attributes

# Annotations of methods that return iterators; their items are rebuilt when they arrive.
_STREAMS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator, collections.abc.AsyncIterator,
            collections.abc.AsyncIterable, collections.abc.AsyncGenerator)
_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)


class TypedProxies:
    """What ``Proxy[Interface]`` is if results have to be rebuilt: creates proxies as the class itself does.

    Args:
        proxy_class: the class of the proxies.
        results: the functions that rebuild results.
    """

    def __init__(self, proxy_class: Any, results: Results) -> None:
        self._proxy_class = proxy_class
        self._results = results

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        proxy = self._proxy_class(*args, **kwargs)
        proxy._pyro.results = self._results  # one attribute access in each call decides
        return proxy

    def __mro_entries__(self, bases: Tuple[Any, ...]) -> Tuple[Any, ...]:
        # Programs may subclass Proxy[Interface]: the base is then the class itself.
        return (self._proxy_class,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._proxy_class)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxy_class, name)  # Proxy[Interface]._pyroX as for the class


def with_interface(proxy_class: Any, interface: Any) -> Any:
    """Return the proxy class itself; or what creates its proxies, if the interface names registered types in results."""
    # Without registered types, Proxy[Interface] is the class itself and costs nothing.
    if not registered_types.registered():
        return proxy_class
    results = _results_of(interface)
    return TypedProxies(proxy_class, results) if results else proxy_class


def _results_of(interface: Any) -> Dict[str, Rebuilding]:
    # Annotated attributes of the interface; private ones are never remote.
    hints = {name: hint for name, hint in hints_of(interface).items() if not name.startswith("_")}
    for name in dir(interface):
        if not name.startswith("_"):
            member = inspect.getattr_static(interface, name)
            # A property has the annotation at its getter, a static method at its function.
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function):
                hints[name] = hints_of(function).get("return")
    found = {name: _rebuilding(hint) for name, hint in hints.items()}
    return {name: each for name, each in found.items() if each != (None, None)}


def _rebuilding(hint: Any) -> Rebuilding:
    # Awaitables first: async methods of the interface return what is inside.
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _AWAITABLES and args:
        return _rebuilding(args[-1])
    return Rebuilding(builder_for(hint), builder_for(args[0]) if origin in _STREAMS and args else None)


def rebuilt(results: Results, name: str, value: Any) -> Any:
    """Return the result of a method or attribute with instances of registered types.

    Raises:
        TypeError: it does not fit its annotation.
    """
    found = results.get(name)
    if found is None:
        return value
    # Rebuilt item by item when the program asks for it.
    if getattr(type(value), "is_item_stream", False):  # of the type: an attribute of a proxy would be requested
        if found.item is not None:
            value.rebuild = functools.partial(_build, found.item, "an item of the result of " + name)
        return value
    return value if found.value is None else _build(found.value, "the result of " + name, value)


def _build(build: Build, what: str, value: Any) -> Any:
    try:
        return build(value)
    except Mismatch as x:
        # The cause is dropped: its place inside the value is part of the new text.
        raise x.described(what) from None


def rebuilt_batch(results: Results, calls: Sequence[Any], values: Any) -> Any:
    """Return the results of a batch with instances of registered types.

    Args:
        calls: the calls, each as (method, args, kwargs).
        values: their results, of which the last one may be an ExceptionWrapper; None for a oneway batch.
    """
    if not results or values is None:
        return values
    # Each on its own: one that failed does not affect the others.
    return [value if type(value) is replies.ExceptionWrapper else rebuilt(results, each[0], value)
            for each, value in zip(calls, values)]


def send_and_rebuild(link: Any, send: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any],
                     flags: int = 0) -> Any:
    """Call a method, and rebuild its result. Raises TypeError if the result does not fit its annotation."""
    result = send(name, args, kwargs, flags)
    return result if flags & protocol.FLAGS_ONEWAY or name in link.oneway else rebuilt(link.results, name, result)
