"""A trap: an address that nothing may connect to, and values that lead there if they are used while they are read."""
from __future__ import annotations

import functools
import socket
import threading
from typing import Any, Callable, Dict, Iterator, List, Tuple

from Pyro5._values import classes, exceptions

# Names that a proxy would call remotely, if something iterated, compared, measured or formatted it.
_OPERATORS = ["__iter__", "__len__", "__getitem__", "__contains__", "__hash__", "__eq__", "__str__", "__call__", "__index__",
              "__next__", "items", "keys", "args", "state", "strip", "__setitem__"]

Place = Tuple[str, Callable[[Any], Any]]


class Trap:
    """Listens, and counts who connects. Each is let go at once, so that a caught reader goes on.

    Attributes:
        count: of connections so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.location = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Trap:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._stop()
        self._thread.join()
        self._listener.close()

    def _stop(self) -> None:
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(b"stop")

    def _accept(self) -> None:
        while True:
            caught, _ = self._listener.accept()
            with caught:
                caught.settimeout(0.2)
                try:
                    if caught.recv(4) == b"stop":
                        return
                except OSError:
                    pass
                self.count += 1

    def proxies(self) -> List[Dict[str, Any]]:
        """Return proxies that lead to the trap: one that knows nothing of its object, and one that knows operators."""
        return proxies_of(self.location)


def proxies_of(location: str) -> List[Dict[str, Any]]:
    """Return proxies that lead to an address; see Trap.proxies."""
    uri = "PYRO:x@" + location
    return [{"__class__": "Pyro5.client.Proxy", "state": [uri, [], [], [], "hello", None]},
            {"__class__": "Pyro5.client.Proxy", "state": [uri, ["__str__"], _OPERATORS, ["__dict__"], "hello", None]}]


def _tagged(tag: str, key: str) -> Callable[[Any], Any]:
    return lambda value: {"__class__": tag, key: value}


def _in_state(tag: str, index: int) -> Callable[[Any], Any]:
    def place(value: Any) -> Any:
        state: List[Any] = ["PYRO:x@localhost:1", [], [], [], "hello", None, 0]
        state[index] = value
        return {"__class__": tag, "state": state}
    return place


def _exception(tag: str, args: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: {"__class__": tag, "__exception__": True, "args": args(value), "attributes": {}}


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda value: {"__class__": "ValueError", "__exception__": True, "args": ["x"], "attributes": {name: value}}


def _raw_uri(index: int) -> Callable[[Any], Any]:
    def place(value: Any) -> Any:
        state: List[Any] = ["PYROMETA", "x", None, "localhost", 1]
        state[index] = value
        return {"__class__": "Pyro5.core.URI", "state": state}
    return place


_ARGS: Tuple[Callable[[Any], Any], ...] = (
    lambda value: value, lambda value: [value], lambda value: ["x", value], lambda value: ["x", [value]],
    lambda value: ["x", [value] * 6], lambda value: [value] * 5, lambda value: [1, "x", value], lambda value: {"x": value},
)


def accepted_tags() -> List[str]:
    """The sorted tags that are converted without converters of the program, except those of sqlite3 exceptions."""
    return sorted({*classes._own_dict_to_class, *classes._HOMES, *exceptions.ACCEPTED})


def places() -> Iterator[Place]:
    """Generate places of a value inside of instances of every class that this package builds: (name, what makes it)."""
    for tag in [*accepted_tags(), "sqlite3.Error", "float", "complex", "collections.OrderedDict", "some.Unknown"]:
        for key in ("state", "exception", "value", "items", "args", "attributes", "__exception__"):
            yield "%s of %s" % (key, tag), _tagged(tag, key)
        for number, args in enumerate(_ARGS):
            yield "args %d of %s" % (number, tag), _exception(tag, args)
    for tag in ("Pyro5.client.Proxy", "Pyro5.server.Daemon"):
        for index in range(7):
            yield "state %d of %s" % (index, tag), _in_state(tag, index)
    for index in range(5):
        yield "state %d of a URI" % index, _raw_uri(index)
    for name in ("_pyroTraceback", "__notes__", "args", "remote_class", "remote_args", "x", "__cause__", "obj", "name"):
        yield "attribute %s" % name, _attribute(name)
    yield "traceback line", lambda value: _attribute("_pyroTraceback")([value])
    yield "note", lambda value: _attribute("__notes__")([value])
    yield "key and item", lambda value: {"__class__": "collections.OrderedDict", "items": [[value, value]]}
    yield "complex", lambda value: {"__class__": "complex", "real": value, "imag": value}
    yield "tag", lambda value: {"__class__": value}


@functools.lru_cache(maxsize=None)
def few_places() -> Tuple[Place, ...]:
    """Return one place in each kind of class, for tests that cannot try all.  Built once: tests ask thousands of times."""
    chosen = ("state of Pyro5.client.Proxy", "state 1 of Pyro5.client.Proxy", "state 4 of Pyro5.client.Proxy",
              "state of Pyro5.core.URI", "state 1 of a URI", "state of Pyro5.server.Daemon", "args 1 of OSError",
              "exception of Pyro5.core._ExceptionWrapper", "args 0 of ValueError", "args 1 of ValueError",
              "args 3 of SyntaxError", "items of collections.OrderedDict", "key and item", "traceback line", "note", "tag",
              "args 1 of some.Unknown", "args 0 of some.Unknown", "attribute x")
    found = dict(places())
    return (("as it is", lambda value: value), *((name, found[name]) for name in chosen))
