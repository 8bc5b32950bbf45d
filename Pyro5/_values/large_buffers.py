"""Large buffers that are sent beside the payload of a message: what refers to them in the payload, and how it is resolved.

A bytes object is replaced by ``{"__class__": "Pyro5.buffer", "data": 3}``, where 3 is the number of the buffer in its message.
An array.array, which arrives as a list, has ``"typecode": "d"`` too. The tagged dict of a numpy array has the number in the
place of the bytes.

While a message is serialized or deserialized, the thread has a table of its buffers here. Nothing is collected, and no number
accepted, at other times.
"""
from __future__ import annotations

import array
import contextlib
import sys
import threading
from itertools import chain, compress, islice, repeat
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, Collection, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Set

from .. import LazyModule
from .._wire.chunks import MAX_CHUNKS, MIN_CHUNK_BYTES
from . import classes, plain

if TYPE_CHECKING:
    from . import numpy_scalars
else:
    numpy_scalars = LazyModule(globals(), ".numpy_scalars")

# In the namespace of the package: the tags of a program cannot collide with it.
TAG_BUFFER = "Pyro5.buffer"
# Types of elements that have the same size on all platforms, or nearly all. Their size and byte order are sent too.
_TYPECODES = frozenset("bBhHiIlLqQfd")

# Types of values that certainly contain no large buffer.
SMALL = frozenset((type(None), bool, int, float, str))
# Exact types: a subclass may have a form of its own, which is not searched.
_CONTAINERS = frozenset((dict, list, tuple))
_SEQUENCES = frozenset((list, tuple))
_MAX_DEPTH = 4  # of containers in which bytes are searched: the parts of deeper ones are usually small
_FEW = 8  # elements; of a longer container the first one decides whether the others are searched
_MANY, _MOST = 4096, 1 << 20  # the most elements of a level that are looked at together, in a batch and in other values
_MANY_FLAT = 256  # elements of a container without others; the general way takes as long as looking at the types of 500
_MANY_OF_FEW = 64  # inner elements that `contain_none` looks at: of more, it may take as long as serializing them


class Outgoing:
    """The large buffers of a message that is being serialized.

    Args:
        with_bytes: bytes objects may be sent in this way. Otherwise they arrive in the form of the serializer.
        copies: copy buffers that may change before they are sent.

    Attributes:
        buffers: views of their bytes; the position of each is its number.
    """

    __slots__ = ("buffers", "with_bytes", "copies")

    def __init__(self, with_bytes: bool, copies: bool = False) -> None:
        self.buffers: List[memoryview] = []
        self.with_bytes = with_bytes
        self.copies = copies

    def add(self, view: memoryview) -> Optional[int]:
        """Add a buffer, and return its number; None if it has to be sent in the payload."""
        # A number takes about as many bytes as a short buffer, and other layouts would have to be copied.
        if view.nbytes <= MIN_CHUNK_BYTES or len(self.buffers) >= MAX_CHUNKS or not view.c_contiguous:
            return None
        # The further calls of a batch may change the buffer before the reply is sent; bytes cannot change.
        if self.copies and not isinstance(view.obj, bytes):
            view = memoryview(bytes(view))
        self.buffers.append(view.cast("B"))  # in bytes, with elements of any type
        return len(self.buffers) - 1

    def reference(self, data: Any) -> Any:
        """Return what refers to the content of a bytes-like object; the object itself if it has to be sent in the payload."""
        number = self.add(memoryview(data)) if self.with_bytes else None
        if number is None and type(data) is memoryview and self.with_bytes:
            return bytes(data)  # marshal does not support it
        return data if number is None else {classes.TAG: TAG_BUFFER, "data": number}

    def __enter__(self) -> Outgoing:
        # Serializing may call code of the program, which serializes another message.
        current.outer.append(current.outgoing)
        current.outgoing = self
        return self

    def __exit__(self, *exc_info: object) -> None:
        current.outgoing = current.outer.pop()


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Send all buffers of a message in its payload, although another one is being serialized."""
    current.outer.append(current.outgoing)
    current.outgoing = None
    try:
        yield
    finally:
        current.outgoing = current.outer.pop()


class Incoming:
    """The large buffers of a received message.

    Args:
        chunks: the buffers by their numbers. Each may be used once, and all of them must be.
    """

    def __init__(self, chunks: Mapping[int, memoryview]) -> None:
        self._chunks = chunks
        self._unused: Set[int] = set(chunks)

    def take(self, number: int, to_copy: bool = False) -> memoryview:
        """Return the buffer with a number, in memory that can be written to.

        Args:
            to_copy: it may also be in memory that cannot be written to.

        Raises:
            ValueError: there is none, or it was returned before.
        """
        # Two values that share a buffer would change together in the receiving program.
        if number not in self._unused:
            raise ValueError("the message refers to buffer %d, which %s" % (
                number, "it refers to already" if number in self._chunks else "it does not have"))
        self._unused.discard(number)
        chunk = self._chunks[number]
        # A view of a message in one piece cannot be written to, but arrays of the program can.
        return memoryview(bytearray(chunk)) if chunk.readonly and not to_copy else chunk

    def __enter__(self) -> Incoming:
        current.outer.append(current.incoming)
        current.incoming = self
        return self

    def __exit__(self, *exc_info: object) -> None:
        current.incoming = current.outer.pop()

    def check_all_used(self) -> None:
        """Raise ValueError if there are buffers that the payload does not refer to."""
        if self._unused:
            raise ValueError("the message has %d buffers that it does not refer to" % len(self._unused))


class _Current(threading.local):
    """The tables of the message that this thread serializes or deserializes."""

    # Each thread has its own: messages are serialized in one thread, without a lock.
    def __init__(self) -> None:
        self.outgoing: Optional[Outgoing] = None
        self.incoming: Optional[Incoming] = None
        self.outer: List[Any] = []


current = _Current()


def received(number: Any, to_copy: bool = False) -> memoryview:
    """Return the buffer with a number of the message that is being deserialized. Raises ValueError if there is none.

    Args:
        to_copy: see Incoming.take.
    """
    # The type first, since the number comes from a peer.
    if type(number) is not int or current.incoming is None:
        raise ValueError("a value refers to %s as a buffer, but the message has no such buffer" % plain.text_of(number))
    return current.incoming.take(number, to_copy)


# ---------------------------------------------------------------- sending

def _types() -> FrozenSet[type]:
    # mmap is in the set only if the program has loaded it.
    module = sys.modules.get("mmap")
    return frozenset((bytes, bytearray, memoryview, *([] if module is None else [module.mmap])))


def with_references(value: Any, outgoing: Outgoing) -> Any:
    """Return a value in which large bytes-like objects are replaced by what refers to them.

    Containers are copied only where that changes something. Bytes in long or deeply nested containers, and inside of class
    instances, are left to the serializer.
    """
    return _replaced(value, outgoing, _types(), _MAX_DEPTH) if outgoing.with_bytes else value


def all_with_references(values: Sequence[Any], outgoing: Outgoing) -> Sequence[Any]:
    """Return the arguments of a call, or the calls of a batch, with references as by `with_references`."""
    if not outgoing.with_bytes:
        return values
    types = _types()
    # One by one: their list itself is not replaced.
    replaced = [_replaced(value, outgoing, types, _MAX_DEPTH) for value in values]
    return tuple(replaced) if type(values) is tuple else replaced


def has_no_buffers(container: Any) -> bool:
    """Return whether `contain_none` is true of a dict, list or tuple that is not long; in half the time if it has numbers and
    texts only.
    """
    values = container.values() if type(container) is dict else container
    return (len(values) <= _MANY_FLAT and SMALL.issuperset(map(type, values))
            or len(values) <= _MANY_OF_FEW and contain_none(values))


def contain_none(values: Collection[Any]) -> bool:
    """Return True if a few values are certainly numbers, texts and short bytes objects, or containers of such values.

    Nothing in them can be sent beside the payload. Finding this out takes a fourth of the time of `with_references`.
    """
    for _ in range(_MAX_DEPTH + 1):
        others = set(map(type, values)) - SMALL
        if bytes in others and max([len(each) for each in values if type(each) is bytes]) <= MIN_CHUNK_BYTES:
            others.discard(bytes)
        if not others:
            return True
        if not others <= _CONTAINERS:
            return False
        containers = [each.values() if type(each) is dict else each for each in values if type(each) in _CONTAINERS]
        if sum(map(len, containers)) > _MANY_OF_FEW:
            return False
        values = [*chain.from_iterable(containers)]
    return False


def calls_contain_no_bytes(calls: Sequence[Any]) -> bool:
    """Return True if the calls of a batch certainly contain no large bytes-like objects, as deep as they would be searched.

    Saves 54 of 101 byte codes per call of the client, for which `all_with_references` looks at each argument.
    """
    types = _types()
    try:
        values = [*chain.from_iterable(map(itemgetter(1), calls)),
                  *chain.from_iterable(map(dict.values, filter(None, map(itemgetter(2), calls))))]
    except (TypeError, LookupError):
        return False    # not the calls of a BatchProxy
    return _contain_no_bytes(values, types, _MAX_DEPTH - 1, _MANY)


def _contain_no_bytes(values: Collection[Any], types: FrozenSet[type], levels: int, most: int) -> bool:
    """Return True if there are no large bytes-like objects among some values, and in some levels of containers.

    Without a loop over values in Python: a batch may have thousands of calls, a list thousands of records. Containers in which
    `_replaced` would not search are left out, for they may be much longer: those of numbers, for example.

    Args:
        levels: of containers, including the values themselves.
        most: how many values of one level are looked at; if there are more, the result is False.
    """
    for depth_left in range(levels - 1, -1, -1):
        kinds = set(map(type, values))
        if kinds <= SMALL:
            return True
        if not kinds.isdisjoint(types) and (kinds & types != {bytes} or max(map(len, _of(bytes, values))) > MIN_CHUNK_BYTES):
            return False
        if not depth_left:
            return True
        containers: List[Collection[Any]] = [*chain.from_iterable([_of(kind, values) for kind in kinds & _SEQUENCES])]
        if dict in kinds:
            containers.extend(map(dict.values, _of(dict, values)))
        if max(map(len, containers), default=0) > _FEW:
            containers = [each for each in containers
                          if len(each) <= _FEW or _may_contain(each, types, depth_left)]
        values = list(islice(chain.from_iterable(containers), most + 1))
        if len(values) > most:
            return False
    return True


def _of(kind: type, values: Collection[Any]) -> Iterator[Any]:
    """Return an iterator over the values of exactly this type."""
    return compress(values, map(is_, map(type, values), repeat(kind)))


def _replaced(value: Any, outgoing: Outgoing, types: FrozenSet[type], depth_left: int) -> Any:
    kind = type(value)
    if kind in types:
        return outgoing.reference(value)
    if kind not in _CONTAINERS or not value or not depth_left:
        return value
    # Keys are not searched: large ones would be unusual, and they have to be hashable.
    elements: Collection[Any] = value.values() if kind is dict else value
    if not _may_contain(elements, types, depth_left):
        return value
    # For 200 records without bytes, of which some values are lists, this takes 150 byte codes; the search below takes 65 000.
    if depth_left == _MAX_DEPTH and _contain_no_bytes(elements, types, depth_left, _MOST):
        return value
    replaced = [_replaced(element, outgoing, types, depth_left - 1) for element in elements]
    # The same object if nothing was replaced: most containers need no copy.
    if all(new is old for new, old in zip(replaced, elements)):
        return value
    return dict(zip(value, replaced)) if kind is dict else kind(replaced)


def _may_contain(elements: Collection[Any], types: FrozenSet[type], depth_left: int) -> bool:
    """Return whether large bytes objects may be in a container. For many elements, the type of the first one decides."""
    # A long list of numbers, as in most data, would otherwise be walked element by element.
    if len(elements) > _FEW:
        first = next(iter(elements))
        if type(first) in types:
            return True
        return type(first) in _CONTAINERS and len(first) <= _FEW and depth_left > 1 and _may_contain(
            first.values() if type(first) is dict else first, types, depth_left - 1)
    kinds = set(map(type, elements))
    return not (kinds.isdisjoint(types) and kinds.isdisjoint(_CONTAINERS))


def array_reference(values: Any) -> Optional[Dict[str, Any]]:
    """Return what refers to the elements of an array.array; None if they have to be sent in the payload."""
    outgoing = current.outgoing
    if outgoing is None or values.typecode not in _TYPECODES:
        return None
    number = outgoing.add(memoryview(values))
    if number is None:
        return None
    return {classes.TAG: TAG_BUFFER, "data": number, "typecode": values.typecode, "itemsize": values.itemsize,
            "byteorder": sys.byteorder}


def number_of(view: memoryview) -> Optional[int]:
    """Return the number of a view of bytes in the message that is being serialized; None: it has to be in the payload."""
    return None if current.outgoing is None else current.outgoing.add(view)


def lasting(value: Any) -> Any:
    """Return a copy of a value whose memory a program may use again for the next one: bytes-like objects and arrays.

    Other values are returned unchanged.
    """
    kind = type(value)
    if kind is bytearray or kind is memoryview:
        return bytes(value)
    if kind is array.array:
        return value[:]
    return value.copy() if numpy_scalars.is_array(value) else value


def large_size(value: Any) -> int:
    """Return the size in bytes of a bytes-like object or an array if it is large; 0 for other values."""
    size = len(value) if type(value) is bytes else value.nbytes if numpy_scalars.is_array(value) else 0
    return size if size > MIN_CHUNK_BYTES else 0


# ---------------------------------------------------------------- receiving

def _build(data: Dict[str, Any], convert: classes.Convert) -> Any:
    content = received(data.get("data"), to_copy=True)
    typecode = data.get("typecode")
    if typecode is None:
        # as it would arrive in the payload: not changeable
        return content.obj if type(content.obj) is bytes and len(content.obj) == len(content) else bytes(content)
    if type(typecode) is not str or typecode not in _TYPECODES or data.get("byteorder") not in ("little", "big"):
        raise ValueError("invalid array: its type is %s" % plain.text_of(typecode))
    values = array.array(typecode)
    # The size depends on the platform for some type codes, such as l.
    if data.get("itemsize") != values.itemsize or len(content) % values.itemsize:
        raise ValueError("invalid array: its items do not have %d bytes" % values.itemsize)
    values.frombytes(content)
    if data["byteorder"] != sys.byteorder:
        values.byteswap()
    return values.tolist()  # arrays arrive as lists, as in the payload


# Called for dicts with this tag when the payload is deserialized.
classes.register_own_tag(TAG_BUFFER, _build)
classes.set_array_reference(array_reference)
