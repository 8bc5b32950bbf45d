"""What a client and its tools do with the result of a call, without a program that asks for it."""
from __future__ import annotations

from typing import Any, Callable, Iterator

from Pyro5 import nsc
from Pyro5._cli import peer_check
from Pyro5._client import discovery, link, streams
from Pyro5._client.operators import ProxyOperators
from Pyro5._gateway import calls as gateway_calls
from Pyro5._values.uri import URI

_URI = URI("PYRO:obj@localhost:1")


class _Answered(ProxyOperators):
    """A proxy whose calls have a given result."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def _pyroExposes(self, name: str) -> bool:
        return True

    def _pyroOperator(self, name: str) -> Callable[..., Any]:
        return lambda *args: self._result


def uses(result: Any) -> Iterator[Callable[[], Any]]:
    """Generate what may be done with a result."""
    proxy = _Answered(result)
    yield lambda: iter(proxy)
    yield lambda: len(proxy)
    yield lambda: 1 in proxy
    yield lambda: nsc._checked(result)
    yield lambda: peer_check._member_finding(_URI, result, 0.0)
    yield lambda: peer_check._known_objects(result)
    yield lambda: discovery._direct_uri(result, "a name")
    yield lambda: streams._checked(result)
    yield lambda: link.Link(_URI).learn(result)
    yield lambda: gateway_calls._registration(result)
