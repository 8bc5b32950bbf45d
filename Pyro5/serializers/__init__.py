"""
Serializers: between Python values and the payloads of messages.

Every message says by number which serializer made its payload. There are ``serpent`` (the default), ``json``, ``marshal``
and, if the msgpack package is installed, ``msgpack``.
"""
from __future__ import annotations

import threading
from typing import Any, Dict, Iterator, Mapping, Type

from .. import errors
from .._values import classes
from .base import SerializerBase
from .json import JsonSerializer
from .marshal import MarshalSerializer
from .msgpack import MsgpackSerializer
from .serpent import SerpentSerializer

__all__ = ["SerializerBase", "SerpentSerializer", "JsonSerializer", "MarshalSerializer", "MsgpackSerializer",
           "serializers", "serializers_by_id", "get_serializer", "get_serializer_by_id"]

_CLASSES: Dict[str, Type[SerializerBase]] = {
    clazz.name: clazz for clazz in (SerpentSerializer, MarshalSerializer, JsonSerializer, MsgpackSerializer)
}
_NAMES_BY_ID = {clazz.serializer_id: name for name, clazz in _CLASSES.items()}

# The serializers in use; guarded by the lock only when one is added.
_instances: Dict[str, SerializerBase] = {}
_instances_lock = threading.Lock()


def get_serializer(name: str) -> SerializerBase:
    """
    Give the serializer of that name.

    Raises:
        ValueError: there is none of that name.
        SerializeError: it needs a package that is not installed.
    """
    try:
        return _instances[name]
    except KeyError:
        return _make_serializer(name)


def get_serializer_by_id(serializer_id: int) -> SerializerBase:
    """
    Give the serializer that a message names by number.

    Raises:
        SerializeError: the number is unknown, or the serializer needs a package that is not installed.
    """
    name = _NAMES_BY_ID.get(serializer_id)
    if name is None:
        raise errors.SerializeError("message used serializer id %s; known are %s" % (
            serializer_id, ", ".join("%d (%s)" % item for item in sorted(_NAMES_BY_ID.items()))))
    return get_serializer(name)


def _make_serializer(name: str) -> SerializerBase:
    if name not in _CLASSES:
        raise ValueError("unknown serializer %r; choose one of: %s" % (name, ", ".join(_CLASSES)))
    with _instances_lock:
        if name not in _instances:
            _instances[name] = _CLASSES[name]()
        return _instances[name]


class _Serializers(Mapping[Any, SerializerBase]):
    """A read-only view of the serializers that can be used on this machine."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        self._names = names

    def __getitem__(self, key: Any) -> SerializerBase:
        try:
            return get_serializer(self._names[key])
        except errors.SerializeError as x:
            raise KeyError(str(x)) from x

    def __iter__(self) -> Iterator[Any]:
        return iter([key for key in self._names if self._usable(key)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _usable(self, key: Any) -> bool:
        try:
            get_serializer(self._names[key])
        except errors.SerializeError:
            return False
        return True


serializers: Mapping[str, SerializerBase] = _Serializers({name: name for name in _CLASSES})
serializers_by_id: Mapping[int, SerializerBase] = _Serializers(_NAMES_BY_ID)


def _register_own_class(clazz: Type[SerializerBase]) -> None:
    """Let references to a serializer travel; the tag names a module that has long been gone."""
    tag = "Pyro5.util.%sSerializer" % clazz.name.capitalize()
    classes.register_own_dict(clazz, tag, lambda serializer: {classes.TAG: tag},
                              lambda data: get_serializer(clazz.name))


for _class in _CLASSES.values():
    _register_own_class(_class)
