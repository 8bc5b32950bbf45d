"""Kinds of settings: convert environment variables and assigned values to the stored values."""
from __future__ import annotations

import os
from typing import Any, Callable, List

__all__ = ["Kind", "BOOL", "FLOAT", "HOST", "INT", "LEVEL", "LIST", "OPTIONAL_INT", "OPTIONAL_TEXT", "TEXT", "accept_bool"]

_BOOL_TEXTS = {"1": True, "yes": True, "on": True, "true": True, "0": False, "no": False, "off": False, "false": False}


class Kind:
    """The kind of a setting: the values that it accepts.

    Args:
        takes: description for error messages.
        parse: text of an environment variable -> value, or ValueError.
        accept: assigned value -> stored value, or TypeError or ValueError.
    """

    # Not a NamedTuple, which takes 0.3 ms more to create: every program imports this.
    __slots__ = ("takes", "parse", "accept")

    def __init__(self, takes: str, parse: Callable[[str], Any], accept: Callable[[Any], Any]) -> None:
        self.takes = takes
        self.parse = parse
        self.accept = accept


def _parse_bool(text: str) -> bool:
    if text.lower() not in _BOOL_TEXTS:
        raise ValueError(text)
    return _BOOL_TEXTS[text.lower()]


def _parse_list(text: str) -> List[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def accept_bool(value: Any) -> bool:
    if isinstance(value, str):
        return _parse_bool(value)
    # Not bool(value): any text and any object would be accepted as True.
    if value in (0, 1):
        return bool(value)
    raise TypeError(value)


def _accept_int(value: Any) -> int:
    # int() would parse the bytes as text, which is nearly always a mistake.
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    number = int(value)
    if not isinstance(value, str) and number != value:  # 1.5 is not a whole number
        raise ValueError(value)
    return number


def _accept_float(value: Any) -> float:
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    number = float(value)
    if number != number:  # not a number
        raise ValueError(value)
    return number


def _accept_text(value: Any) -> str:
    # Accepts a pathlib.Path for the settings that are file names.
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(value)
    return text


def _accept_host(value: Any) -> str:
    if not isinstance(value, str):
        import ipaddress
        if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
            return str(getattr(value, "ip", value))  # the address of an interface, without its network
    return _accept_text(value)


def _accept_level(value: Any) -> Any:
    return value if isinstance(value, str) else _accept_int(value)


def _accept_list(value: Any) -> List[str]:
    if isinstance(value, str):
        return _parse_list(value)
    if isinstance(value, (bytes, bytearray)):
        raise TypeError(value)
    items = [_accept_host(item) for item in value]
    # Sets have no order: sorted, so that a dump of the settings is the same in each run.
    return sorted(items) if isinstance(value, (set, frozenset)) else items


def _optional(kind: Kind) -> Kind:
    """Return a kind that also accepts None, which means off, none or no limit, depending on the setting."""
    return Kind(kind.takes + " or None", kind.parse, lambda value: None if value is None else kind.accept(value))


INT = Kind("a whole number", int, _accept_int)
TEXT = Kind("a string", str, _accept_text)
LIST = Kind("a list of strings, or one string with commas between them", _parse_list, _accept_list)
BOOL = _optional(Kind("True or False (or as text: 1, yes, on, true, 0, no, off, false)", _parse_bool, accept_bool))
OPTIONAL_INT = _optional(INT)
FLOAT = _optional(Kind("a number", _accept_float, _accept_float))
OPTIONAL_TEXT = _optional(TEXT)
HOST = _optional(Kind("a string, an ipaddress object", str, _accept_host))
LEVEL = _optional(Kind("a level of the logging module: a string, a number", str, _accept_level))
