"""The values inside of payloads, and how they are damaged."""
from __future__ import annotations

import builtins
import random
from typing import Any, Callable, List, Tuple

from .. import traps
from . import corpus

_EXCEPTIONS = [name for name, value in vars(builtins).items()
               if isinstance(value, type) and issubclass(value, BaseException)]
NAMES = ("calls", "access", "sess", "percall", "errs", "streams", "proxies", "annot", "nothing", "Pyro.Daemon",
         "Pyro.NameServer", "no such object", "echo", "add", "gen", "fail", "info", "register", "lookup", "list", "yplookup",
         "get_metadata", "get_next_stream_item", "close_stream", "__init__", "__class__", "__getattr__", "__setattr__",
         "__dict__", "_private", "<batch>", "value", "", "\0", "a" * 300)
ATOMS: Tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 127, 128, 255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 32, -2 ** 63, 2 ** 64 - 1, 10 ** 30,
    0.0, -0.0, 1.5, 1e308, float("inf"), float("-inf"), float("nan"), 1j, "", "x", "é", "\u2028", "\U0001f600", "\ud800",
    "'", '"', "\\", "\\x00", "\n", "None", "nan", "a" * 1000, b"", b"\0", b"\xff" * 20, [], {}, (), [[]], [None] * 100)


def any_value(rng: random.Random) -> Any:
    """Make up a value."""
    return rng.choice(_MAKERS)(rng)


def _an_atom(rng: random.Random) -> Any:
    atom = rng.choice(ATOMS)
    return list(atom) if isinstance(atom, list) else dict(atom) if isinstance(atom, dict) else atom


def _a_name(rng: random.Random) -> Any:
    return rng.choice(NAMES)


def _a_tagged_dict(rng: random.Random) -> Any:
    if rng.random() < 0.25:
        return _a_buffer(rng)
    tag = rng.choice(corpus.tags()) if rng.random() < 0.6 else rng.choice(("", "builtins.",
                                                                           "Pyro5.errors.")) + rng.choice(_EXCEPTIONS)
    tagged = {"__class__": tag}
    for key in ("__exception__", "args", "attributes", "state", "value", "items", "real", "imag", "exception", "data"):
        if rng.random() < 0.35:
            tagged[key] = rng.choice((True, (), [], {}, ["text"], (1, 2), "text", None, ATOMS[rng.randrange(len(ATOMS))]))
    return tagged


def _a_buffer(rng: random.Random) -> Any:
    """What refers to a buffer of the message, or an array or a table, nearly as it should be."""
    parts = {"data": (0, 0, 0, 1, -1, "AAAA", b"x" * 16, None), "typecode": ("d", "b", "u", 1),
             "itemsize": (8, 1, -1, 1 << 40),
             "byteorder": ("little", "big", 0), "dtype": ("<f8", "|u1", ">M8[s]", "|O8", "<U4", "|V0", [], {
                 "fields": [["x", "<f4", 4], ["y", "|b1", 0]], "itemsize": 8}, {"base": "<i2", "shape": [2, 2]}),
             "shape": ([2], [16], [], [0, 1 << 62], [1 << 40], [-1], 2), "order": ("C", "F", "X"), "names": (["a"], [], None),
             "columns": ([{"kind": "objects", "dtype": "object", "values": [1]}], []), "name": ("a", [], None),
             "index": ({"kind": "range", "range": [0, 1, 1], "name": None}, None), "kind": ("array", "range")}
    tags = ("Pyro5.buffer", "numpy.ndarray", "numpy.ndarray", "pandas.DataFrame", "pandas.Series")
    buffer: Any = {"__class__": rng.choice(tags)}
    for key, choices in parts.items():
        if key in ("data", "dtype", "shape") or rng.random() < 0.4:
            buffer[key] = rng.choice(choices)
    return buffer


def _a_class_in_the_place_of_another(rng: random.Random) -> Any:
    """A proxy as a part of an instance of any class: reading it must not connect to the proxy's address."""
    value: Any = rng.choice(traps.proxies_of("127.0.0.1:1"))
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = rng.choice(_PLACES)[1](value)
    return value


def _something_recorded(rng: random.Random) -> Any:
    value = rng.choice(corpus.values())
    path = rng.choice(_paths(value))
    return _at(value, path)


def _something_deep(rng: random.Random) -> Any:
    depth = rng.choice((3, 20, 60, 100, 150))
    value: Any = rng.choice(("x", 1, {}, None))
    wrap: Callable[[Any], Any] = rng.choice((lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: [v, v, 0][:2]
                                             if depth < 8 else [v]))
    for _ in range(depth):
        value = wrap(value)
    return value


_PLACES = list(traps.places())
_MAKERS = (_an_atom, _an_atom, _a_name, _a_tagged_dict, _a_class_in_the_place_of_another, _something_recorded, _something_deep)

Path = Tuple[Any, ...]


def _paths(value: Any) -> List[Path]:
    """Return the places in a value, the whole of it first."""
    found: List[Path] = [()]
    for path in found:
        here = _at(value, path)
        if len(found) > 200:
            break
        if isinstance(here, dict):
            found += [path + (key,) for key in here]
        elif isinstance(here, (list, tuple)):
            found += [path + (index,) for index in range(len(here))]
    return found


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """Copy a value, with one place in it changed."""
    if not path:
        return change(value)
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {key: _with(each, rest, change) if key is step else each for key, each in value.items()}
    elements = [_with(each, rest, change) if index == step else each for index, each in enumerate(value)]
    return tuple(elements) if isinstance(value, tuple) else elements


def damaged(rng: random.Random, value: Any) -> Any:
    """Copy a value and change something in it."""
    path = rng.choice(_paths(value))
    return _with(value, path, lambda here: _changed(rng, here))


def _changed(rng: random.Random, here: Any) -> Any:
    roll = rng.random()
    if roll < 0.5 or not isinstance(here, (dict, list, tuple)):
        return any_value(rng)
    if isinstance(here, dict):
        return _changed_dict(rng, here)
    elements = list(here)
    where = rng.randrange(len(elements) + 1)
    elements[where:where + rng.randrange(2)] = [any_value(rng)] if roll < 0.8 else []
    return tuple(elements) if isinstance(here, tuple) else elements


def _changed_dict(rng: random.Random, here: Any) -> Any:
    copy = dict(here)
    if copy and rng.random() < 0.4:
        del copy[rng.choice(list(copy))]
    elif rng.random() < 0.3:
        copy["__class__"] = rng.choice(corpus.tags())
    else:
        copy[rng.choice((0, None, "__exception__", "kwargs", "object", "method", "extra", (1, 2)))] = any_value(rng)
    return copy
