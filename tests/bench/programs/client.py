"""The measured client: ``python -m programs.client``. Reads orders, lines of JSON, and answers each with a line of JSON.

An order says what to ``do``, and has the arguments of the function of that name. The answer to one that failed has an
``error``.
"""
from __future__ import annotations

import json
import platform
import sys
from typing import Any, Callable, Dict, List, Tuple

import Pyro5

from . import bare, floors, peers
from .cases import CASES, Peer, connect
from .limits import allow_many_files
from .timing import rate, with_processor_time


class Client:
    """Keeps its connections between the orders."""

    def __init__(self) -> None:
        self._proxies: Dict[Tuple[str, str], Any] = {}
        self._held: List[Any] = []
        self.orders: Dict[str, Callable[..., Dict[str, Any]]] = {
            "about": self.about, "measure": self.measure, "floor": self.floor, "least": bare.measure, "peer": peers.measure,
            "hold": self.hold, "forget": self.forget}

    def about(self) -> Dict[str, Any]:
        """Return what is being measured."""
        return {"python": "%s %s" % (platform.python_implementation(), platform.python_version()),
                "pyro": getattr(Pyro5, "__version__", "?"), "cases": list(CASES), "least": list(bare.CASES),
                "peers": peers.installed()}

    def measure(self, case: str, uri: str, serializer: str, seconds: float) -> Dict[str, Any]:
        """Measure a case, with the processor time of both sides."""
        key = uri, serializer
        if key not in self._proxies:
            self._proxies[key] = connect(uri, serializer)
        proxy = self._proxies[key]
        try:
            return dict(with_processor_time(lambda: CASES[case](Peer(uri, serializer, proxy), seconds),
                                            lambda: float(proxy.processor_seconds())))
        except Exception:
            # whatever has happened to the connection, the next order gets a new one
            self._proxies.pop(key)._pyroRelease()
            raise

    def floor(self, kind: str, port: int, size: int, seconds: float) -> Dict[str, Any]:
        """Measure a floor."""
        with floors.connect(port, kind, size) as connection:
            exchange = floors.FLOORS[kind](connection, size)
            exchange()
            return {"rate": rate(exchange, seconds)}

    def hold(self, uri: str, serializer: str, count: int) -> Dict[str, Any]:
        """Make so many connections, and keep them; if that fails, tell how far it got and why."""
        allow_many_files()
        why = ""
        while len(self._held) < count and not why:
            try:
                self._held.append(connect(uri, serializer))
            except Exception as x:  # a server may refuse as it likes; the number reached is the result
                why = describe(x)
        return {"held": len(self._held), "why": why}

    def forget(self) -> Dict[str, Any]:
        """Close what `hold` made."""
        while self._held:
            self._held.pop()._pyroRelease()
        return {}


def describe(x: BaseException) -> str:
    return "%s: %s" % (type(x).__name__, x)


def carry_out(client: Client, do: str, **arguments: Any) -> Dict[str, Any]:
    try:
        return client.orders[do](**arguments)
    except Exception as x:  # the one who gave the order decides what it means
        return {"error": describe(x)}


def main() -> None:
    client = Client()
    for line in sys.stdin:
        print(json.dumps(carry_out(client, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
