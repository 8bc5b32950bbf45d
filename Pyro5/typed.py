"""Static types of remote objects, for type checkers and editors.

At run time, ``Proxy[Interface](uri)`` is the same as ``Proxy(uri)``, except that results of types of `register_types` are
rebuilt. For a type checker it is an ``Interface``: names of methods, arguments and results are checked, and an editor
completes them. The interface is a ``typing.Protocol``, or a class, with the methods and properties of the remote object. If it
also derives from `ProxyMembers`, it includes those of all proxies.

The checks rely on the interface; it is never compared with the actual remote object.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, ContextManager, Optional, Protocol, Set, TypeVar

from ._values.uri import URI

__all__ = ["ProxyClass", "ProxyMembers"]

_Self = TypeVar("_Self")
_Interface = TypeVar("_Interface")

if TYPE_CHECKING:
    from abc import ABCMeta

    from typing_extensions import ParamSpec

    _Arguments = ParamSpec("_Arguments")

    class ProxyClass(ABCMeta):
        """The class of proxy classes, for type checkers; it derives from ABCMeta so that a proxy class can have abstract base
        classes. It is not used at run time.
        """

        # any callable: a parameter of type Type[...] would not accept protocols and abstract classes
        def __getitem__(cls: Callable[_Arguments, Any], interface: Callable[..., _Interface],
                        ) -> Callable[_Arguments, _Interface]: ...
else:
    ProxyClass = type


class ProxyMembers(Protocol):
    """The members of all proxies, for interfaces that are used in a ``with`` statement, or whose users connect, release
    and configure the proxy::

        class Garden(Protocol):
            def sow(self, bed: str, count: int = 1) -> int: ...

        class GardenProxy(Garden, ProxyMembers, Protocol): ...

        with Proxy[GardenProxy](uri) as garden:
            garden._pyroTimeout = 2.5
            garden.sow("leek")

    They are documented at `Proxy`.
    """

    _pyroUri: URI
    _pyroTimeout: Optional[float]
    _pyroMaxRetries: int
    _pyroRetry: Any
    _pyroSerializer: Optional[str]
    _pyroHandshake: Any
    _pyroSeq: int
    _pyroMethods: Set[str]
    _pyroOneway: Set[str]
    _pyroAttrs: Set[str]
    _pyroRawWireResponse: bool

    @property
    def _pyroConnection(self) -> Any: ...

    @property
    def _pyroLocalSocket(self) -> Any: ...

    def _pyroBind(self) -> bool: ...

    def _pyroExclusive(self, timeout: Optional[float] = None) -> ContextManager[None]: ...

    def _pyroCallback(self, obj: Any) -> Any: ...

    def _pyroRelease(self) -> None: ...

    def _pyroReconnect(self, tries: int = 100000000) -> None: ...

    def _pyroClaimOwnership(self) -> None: ...

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None: ...

    def __copy__(self: _Self) -> _Self: ...
