"""Proxies in received values: those of a reply to an asyncio proxy are asyncio proxies."""
from __future__ import annotations

from typing import Any, Callable, Dict

from .. import client

__all__ = ["awaitable_proxies", "set_proxy_class"]

# Set by the module of the proxy, which imports this one.
_make: Dict[str, Callable[[Any], Any]] = {}


def set_proxy_class(make: Callable[[Any], Any]) -> None:
    """Set the function that makes an asyncio proxy of the state of a proxy."""
    _make["proxy"] = make


def awaitable_proxies(value: Any) -> Any:
    """Replace the proxies in a received value, and in its lists, tuples and dicts, by asyncio proxies."""
    kind = type(value)
    if kind is client.Proxy:
        return _make["proxy"](value.__getstate__())
    if kind is list:
        # In place, as the recreation of classes does: the values were made for this reply, and no other code has
        # them.
        value[:] = [awaitable_proxies(each) for each in value]
    elif kind is tuple:
        return tuple([awaitable_proxies(each) for each in value])
    elif kind is dict:
        for key, each in value.items():
            value[key] = awaitable_proxies(each)
    return value
