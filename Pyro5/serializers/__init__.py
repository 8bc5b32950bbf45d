"""Serializers: convert Python values to the payloads of messages and back.

Every message contains the number of the serializer of its payload. The serializers are ``serpent`` (the default), ``json``,
``marshal`` and, if the msgpack package is installed, ``msgpack``. Programs can add others to `serializers` and
`serializers_by_id`. A server accepts all serializers that are registered in its process.
"""
from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, MutableMapping, Optional, Sequence, Type, Union

from .. import LazyModule, errors
from ..configure import count_change, program_serializers
from .base import CallPayload, Data, SerializerBase
from .serpent import SerpentSerializer

if TYPE_CHECKING:
    from .json import JsonSerializer
    from .marshal import MarshalSerializer
    from .msgpack import MsgpackSerializer

__all__ = ["SerializerBase", "SerpentSerializer", "JsonSerializer", "MarshalSerializer", "MsgpackSerializer",
           "serializers", "serializers_by_id", "get_serializer", "get_serializer_by_id", "is_own"]

_METHODS = ("dumps", "loads", "dumpsCall", "loadsCall")


class ForeignSerializer(SerializerBase):
    """Adapts an object with the four methods of a serializer to the interface of SerializerBase.

    Attributes:
        original: the adapted object.
    """

    def __init__(self, original: Any, name: str) -> None:
        super().__init__()
        # Copied, not looked up in each call: every message compares the number.
        self.original = original
        self.serializer_id = original.serializer_id
        self.name = name

    def dumps(self, data: Any) -> bytes:
        """Serialize a value."""
        dumped: bytes = self.original.dumps(data)
        return dumped

    def loads(self, data: Data, *, foreign_exceptions: bool = False) -> Any:
        """Deserialize a value."""
        return self.original.loads(data)  # it does not know the argument foreign_exceptions

    def dumpsCall(self, obj: str, method: str, vargs: Sequence[Any], kwargs: Optional[Mapping[str, Any]]) -> bytes:
        """Serialize a method call."""
        dumped: bytes = self.original.dumpsCall(obj, method, vargs, kwargs)
        return dumped

    def loadsCall(self, data: Data) -> CallPayload:
        """Deserialize a method call."""
        loaded: CallPayload = self.original.loadsCall(data)
        return loaded


def adapted(serializer: Any, name: str) -> SerializerBase:
    """Return a serializer that a program has added; an adapter for it if it is not a SerializerBase.

    Args:
        name: the name to use if the serializer has none.

    Raises:
        TypeError: a method or the number of a serializer is missing.
    """
    if isinstance(serializer, SerializerBase):
        if not serializer.name:
            # The name is part of error texts and of the settings.
            serializer.name = name
        return serializer
    # checked here, when the program adds it: an incomplete serializer would otherwise fail in the middle of a call
    missing = [method for method in _METHODS if not callable(getattr(serializer, method, None))]
    if type(getattr(serializer, "serializer_id", None)) is not int:
        missing.append("serializer_id")
    # A class has the methods as well, but they could not be called.
    if missing or isinstance(serializer, type):
        raise TypeError("a serializer must be an instance of a subclass of SerializerBase, or of another class with the "
                        "methods %s and the number serializer_id, not %r%s"
                        % (", ".join(_METHODS), serializer, ", which lacks " + ", ".join(missing) if missing else ""))
    return ForeignSerializer(serializer, str(getattr(serializer, "name", "") or name))


_NUMBERS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}  # of this package's serializers
# Most programs use one of them, and load only that: saves a twentieth of the time in which a client starts.
_modules: Dict[str, Any] = {name: LazyModule(globals(), "." + name) for name in _NUMBERS}

# Guards the creation of this package's serializers and changes of the two tables. Readers need no lock: a single lookup in a
# dict is atomic.
_lock = threading.Lock()
# The instances of this package's serializers by name. Created when first used, because msgpack is optional.
_instances: Dict[str, SerializerBase] = {}
# Serializers by name and by number: an instance that a program added, or the name of one of this package's serializers.
_by_name: Dict[Any, Union[str, SerializerBase]] = {name: name for name in _NUMBERS}
_by_id: Dict[Any, Union[str, SerializerBase]] = {number: name for name, number in _NUMBERS.items()}


def get_serializer(name: str) -> SerializerBase:
    """Return the serializer with this name.

    Raises:
        ValueError: no serializer has this name.
        SerializeError: the serializer needs a package that is not installed.
    """
    try:
        return _instance(_by_name[name])
    except KeyError:
        raise ValueError("unknown serializer %r; choose one of: %s" % (name, ", ".join(map(str, _by_name)))) from None


def get_serializer_by_id(serializer_id: int) -> SerializerBase:
    """Return the serializer with this number.

    Raises:
        SerializeError: the number is unknown, or the serializer needs a package that is not installed.
    """
    try:
        return _instance(_by_id[serializer_id])
    except KeyError:
        known = ", ".join("%d (%s)" % (number, value if isinstance(value, str) else value.name)
                          for number, value in sorted(_by_id.items()))
        raise errors.SerializeError("message used serializer id %s; known are %s" % (serializer_id, known)) from None


def is_own(serializer: SerializerBase) -> bool:
    """Return whether a serializer is one of this package, not one that the program added."""
    return any(serializer is each for each in list(_instances.values()))  # a copy: other threads may add entries


def _instance(known: Union[str, SerializerBase]) -> SerializerBase:
    """Return the serializer for an entry of the tables; create one of this package when it is first used."""
    if not isinstance(known, str):
        return known
    serializer = _instances.get(known)
    if serializer is None:
        with _lock:
            serializer = _instances.get(known)  # another thread may have created it meanwhile
            if serializer is None:
                serializer = _instances[known] = _class(known).with_variants()
    return serializer


class _Serializers(MutableMapping[Any, SerializerBase]):
    """A mapping of the serializers that can be used in this process. Thread-safe.

    Programs add their own serializers by name and by number: instances of subclasses of SerializerBase, or other objects with
    the methods and the number of a serializer.

    Args:
        table: the dict of the entries.
    """

    def __init__(self, table: Dict[Any, Union[str, SerializerBase]]) -> None:
        self._table = table

    def __getitem__(self, key: Any) -> SerializerBase:
        try:
            serializer = _instance(self._table[key])
        except errors.SerializeError as x:  # msgpack is not installed
            raise KeyError(str(x)) from x
        if isinstance(serializer, ForeignSerializer):  # programs get the object that they added, not its adapter
            original: SerializerBase = serializer.original
            return original
        return serializer

    def __setitem__(self, key: Any, serializer: SerializerBase) -> None:
        self._check_key(key)
        usable = adapted(serializer, str(key))
        with _lock:
            self._table[key] = usable
            # The program's serializers are known to the check of settings, see Configuration.problems.
            if isinstance(key, str):
                program_serializers.add(key)
        count_change()  # so that existing proxies and daemons look up their serializer again

    def __delitem__(self, key: Any) -> None:
        with _lock:
            del self._table[key]
            program_serializers.discard(key)
        count_change()

    def __iter__(self) -> Iterator[Any]:
        # without serializers whose package is not installed: __getitem__ raises KeyError for them
        return iter([key for key in list(self._table) if key in self])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _check_key(self, key: Any) -> None:
        if not isinstance(key, str):
            raise TypeError("serializers are registered by name, a str, not %r" % (key,))

    def __repr__(self) -> str:
        return repr(dict(self))


class _SerializersById(_Serializers):
    def _check_key(self, key: Any) -> None:
        if not isinstance(key, int) or not 0 <= key <= 255:
            raise ValueError("the number of a serializer must be 0 to 255: it is one byte of a message, not %r" % (key,))


serializers: MutableMapping[str, SerializerBase] = _Serializers(_by_name)
serializers_by_id: MutableMapping[int, SerializerBase] = _SerializersById(_by_id)


def _class(name: str) -> Type[SerializerBase]:
    """Return the class of one of this package's serializers, and load its module."""
    clazz: Type[SerializerBase] = getattr(_modules[name], name.capitalize() + "Serializer")
    return clazz


def __getattr__(name: str) -> Any:
    if name in _NUMBERS:  # programs that have imported Pyro5.serializers use its modules as attributes
        _class(name)  # loads the module
        return globals()[name]
    for own in _NUMBERS:
        if name == own.capitalize() + "Serializer":
            return _class(own)
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__, *_NUMBERS})
