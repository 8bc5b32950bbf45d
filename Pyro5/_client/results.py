"""Rebuild the results of remote methods, where an interface annotates them with registered types."""
from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from .. import protocol
from .._values import registered_types
from .._values.annotations import hints_of
from .._values.rebuilding import Build, Mismatch, builder_for

__all__ = ["TypedProxies", "Results", "rebuilt", "send_and_rebuild", "with_interface"]

Results = Mapping[str, Build]   # by the names of methods and attributes


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
        proxy._pyro.results = self._results
        return proxy

    def __mro_entries__(self, bases: Tuple[Any, ...]) -> Tuple[Any, ...]:
        return (self._proxy_class,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._proxy_class)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxy_class, name)


def with_interface(proxy_class: Any, interface: Any) -> Any:
    """Return the proxy class itself; or what creates its proxies, if the interface names registered types in results."""
    # Without registered types, Proxy[Interface] is the class itself and costs nothing.
    if not registered_types.registered():
        return proxy_class
    results = _results_of(interface)
    return TypedProxies(proxy_class, results) if results else proxy_class


def _results_of(interface: Any) -> Dict[str, Build]:
    hints = {name: hint for name, hint in hints_of(interface).items() if not name.startswith("_")}
    for name in dir(interface):
        if not name.startswith("_"):
            member = inspect.getattr_static(interface, name)
            # A property has the annotation at its getter, a static method at its function.
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function):
                hints[name] = hints_of(function).get("return")
    return {name: build for name, build in ((name, builder_for(hint)) for name, hint in hints.items()) if build is not None}


def rebuilt(results: Results, name: str, value: Any) -> Any:
    """Return the result of a method or attribute with instances of registered types.

    Raises:
        TypeError: it does not fit its annotation.
    """
    build = results.get(name)
    try:
        return value if build is None else build(value)
    except Mismatch as x:
        raise x.described("the result of %s" % name) from None


def send_and_rebuild(link: Any, send: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any],
                     flags: int = 0) -> Any:
    """Call a method, and rebuild its result. Raises TypeError if the result does not fit its annotation."""
    result = send(name, args, kwargs, flags)
    return result if flags & protocol.FLAGS_ONEWAY or name in link.oneway else rebuilt(link.results, name, result)
