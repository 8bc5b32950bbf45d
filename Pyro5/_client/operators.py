"""The operators of a proxy, such as ``len(proxy)`` and ``proxy[key]``. Each calls the remote special method of its name."""
from __future__ import annotations

from typing import Any, Callable, Iterator

# Names that copy, pickle, inspect and other libraries look up on any object. Sending these to the server would only cost time.
LOCAL_ONLY_NAMES = frozenset("""
    __deepcopy__ __getinitargs__ __getnewargs__ __getnewargs_ex__ __wrapped__ __signature__ __text_signature__
    __annotations__ __set_name__ __get__ __set__ __delete__ __index__ __array__ __array_interface__ __array_struct__
    __length_hint__ __fspath__ __await__ __aiter__ __anext__ __aenter__ __aexit__ __class_getitem__ __html__
    """.split())


def may_be_remote(name: str) -> bool:
    """Return whether a name that begins with an underscore may be that of a remote method."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__") and name not in LOCAL_ONLY_NAMES


class UnsupportedOperatorError(AttributeError, TypeError):
    """The remote object does not expose the special method of an operator.

    A TypeError because Python expects that of an object without the operator: list() calls __len__, and continues if it raises
    TypeError. An AttributeError because an operator is a remote method, and programs catch this for a missing method.
    """


class ProxyOperators:
    """Base class of Proxy with the operators. Proxy implements `_pyroExposes` and `_pyroMethod`."""

    _pyro: Any
    _pyroExposes: Callable[[str], bool]
    _pyroMethod: Callable[[str], Any]

    def _pyroOperator(self, name: str) -> Callable[..., Any]:
        """Return the special method of an operator. Raises TypeError if the object does not expose it."""
        if not self._pyroExposes(name):
            raise UnsupportedOperatorError("remote object '%s' has no exposed method '%s'" % (self._pyro.uri, name))
        method: Callable[..., Any] = self._pyroMethod(name)
        return method

    def __bool__(self) -> bool:
        return True  # without a call: programs test a proxy to see whether it is None

    def __len__(self) -> int:
        length = self._pyroOperator("__len__")()
        # Some peers have only one kind of number, and send it as a float.
        if type(length) is float and length.is_integer():
            return int(length)
        if type(length) not in (int, bool):
            raise TypeError("the remote __len__ returned no number, but an object of class %s" % type(length).__name__)
        return int(length)

    def __getitem__(self, key: Any) -> Any:
        return self._pyroOperator("__getitem__")(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._pyroOperator("__setitem__")(key, value)

    def __delitem__(self, key: Any) -> None:
        self._pyroOperator("__delitem__")(key)

    def __contains__(self, item: Any) -> bool:
        # as Python does for local objects: an object without __contains__ or __iter__ is searched item by item
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
    """Yield the items of a remote sequence without ``__iter__``, as Python does: by index, until IndexError."""
    index = 0
    while True:
        try:
            item = get_item(index)
        except IndexError:
            return
        yield item
        index += 1
