"""Operators of a proxy, such as ``len(proxy)`` and ``proxy[key]``: each calls the remote method of its name."""
from __future__ import annotations

from typing import Any, Callable, Iterator

__all__ = ["ProxyOperators", "UnsupportedOperatorError"]


class UnsupportedOperatorError(AttributeError, TypeError):
    """The remote object exposes no method for an operator.

    Python expects a TypeError of objects that lack an operator: list() asks for __len__, and goes on without it. Programs
    that treat operators as the remote methods that they are catch AttributeError.
    """


class ProxyOperators:
    """Base of Proxy: the operators, in terms of `_pyroExposes` and `_pyroOperator`, which Proxy has."""

    def _pyroExposes(self, name: str) -> bool:
        raise NotImplementedError

    def _pyroOperator(self, name: str) -> Callable[..., Any]:
        raise NotImplementedError

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        length = self._pyroOperator("__len__")()
        if type(length) not in (int, bool, float):
            raise TypeError("the remote __len__ returned no number, but an object of class %s" % type(length).__name__)
        return int(length)

    def __getitem__(self, key: Any) -> Any:
        return self._pyroOperator("__getitem__")(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._pyroOperator("__setitem__")(key, value)

    def __delitem__(self, key: Any) -> None:
        self._pyroOperator("__delitem__")(key)

    def __contains__(self, item: Any) -> bool:
        if self._pyroExposes("__contains__"):
            return bool(self._pyroOperator("__contains__")(item))
        return any(item is each or item == each for each in self)

    def __iter__(self) -> Iterator[Any]:
        if self._pyroExposes("__iter__"):
            return _iterator(self._pyroOperator("__iter__")())
        return _items(self._pyroOperator("__getitem__"))


def _iterator(result: Any) -> Iterator[Any]:
    """Return an iterator over the result of a remote ``__iter__``, which normally is an item stream."""
    if isinstance(result, ProxyOperators):  # to iterate it would connect to an address that the server has chosen
        raise TypeError("the remote __iter__ returned no iterator, but a proxy: %s" % result)
    return iter(result)


def _items(get_item: Callable[[int], Any]) -> Iterator[Any]:
    """Iterate as Python does over sequences without ``__iter__``."""
    index = 0
    while True:
        try:
            item = get_item(index)
        except IndexError:
            return
        yield item
        index += 1
