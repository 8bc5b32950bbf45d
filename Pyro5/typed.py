"""
Remote objects as type checkers and editors see them.

``Proxy[Interface](uri)`` is ``Proxy(uri)`` when the program runs, and an ``Interface`` to a type checker: names of methods,
arguments and results are checked, and an editor completes them. The interface is a ``typing.Protocol``, or a class, that
has the methods and properties of the remote object. One that also derives from `ProxyMembers` has what every proxy has.

The checks are made of what the interface says; nothing compares it with what is on the other side of the network.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, Set, TypeVar

from ._wire.uri import URI

__all__ = ["ProxyClass", "ProxyMembers"]

_Self = TypeVar("_Self")
_Interface = TypeVar("_Interface")

if TYPE_CHECKING:
    from abc import ABCMeta

    from typing_extensions import ParamSpec

    _Arguments = ParamSpec("_Arguments")

    class ProxyClass(ABCMeta):
        """
        The class of proxy classes, for type checkers; it derives from ABCMeta so that a proxy class can have abstract ones
        among its bases. Programs run without it.
        """

        # any callable: a parameter of type Type[...] would not take protocols and abstract classes
        def __getitem__(cls: Callable[_Arguments, Any], interface: Callable[..., _Interface],
                        ) -> Callable[_Arguments, _Interface]: ...
else:
    ProxyClass = type


class ProxyMembers(Protocol):
    """
    What every proxy has of its own; for interfaces that are used in a ``with`` statement, or whose users connect, release
    and set up the proxy::

        class Garden(Protocol):
            def sow(self, bed: str, count: int = 1) -> int: ...

        class GardenProxy(Garden, ProxyMembers, Protocol): ...

        with Proxy[GardenProxy](uri) as garden:
            garden._pyroTimeout = 2.5
            garden.sow("leek")

    `Proxy` explains them.
    """

    _pyroUri: URI
    _pyroTimeout: Optional[float]
    _pyroMaxRetries: int
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

    def _pyroRelease(self) -> None: ...

    def _pyroReconnect(self, tries: int = 100000000) -> None: ...

    def _pyroClaimOwnership(self) -> None: ...

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None: ...

    def __copy__(self: _Self) -> _Self: ...
