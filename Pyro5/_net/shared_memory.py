"""Large buffers in memory that a client and a server on the same host share.

The client of a connection owns one segment, a file in memory without a name (memfd_create). It tells the server its process
and descriptor in the annotation ``SHMO``; the server opens it by way of /proc, which only processes of the same user can. So
there is nothing that could be left behind, however the processes end. By setting a flag in the segment the server proves that
it can use it; until then, and whenever the area of a direction is full or too small, buffers are sent over the socket.

Each direction has an area of its own (see shared_areas). The sender copies buffers to it, and the annotation ``SHMB`` of the
message says where they are; the receiver uses them in place, or copies them.

A segment is sealed, so that its size cannot change while it is mapped. The server checks this, and a secret that is in the
segment as well as in the message: a client cannot make it use memory that is not its own.
"""
from __future__ import annotations

import functools
import logging
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Optional, Tuple

from .. import LazyModule, config
from .._wire import features
from .._wire.chunks import MIN_SHARED_BYTES
from ..protocol import Buffer

if TYPE_CHECKING:
    import mmap

    from . import shared_areas
    from .shared_areas import Place, ReceivingArea, SendingArea
else:  # for connections that have a segment
    mmap = LazyModule(globals(), "mmap")
    shared_areas = LazyModule(globals(), ".shared_areas")

log = logging.getLogger("Pyro5.shared_memory")

OFFER_ANNOTATION, PLACES_ANNOTATION = "SHMO", "SHMB"
AREA_BYTES = 64 * 1024 * 1024  # of each direction; memory is used only as far as it was ever filled
_HEADER_BYTES = 4096
_SIZE = _HEADER_BYTES + 2 * AREA_BYTES

_NAME = "pyro5"
_LINK = "/memfd:%s (deleted)" % _NAME  # what /proc says about the descriptor of a segment
_MAGIC = b"Pyro5 segment 2\n"
_SECRET_BYTES = 16
# Positions in the header: of the flag that says that the server has opened it, and of the flags of each direction.
_ACCEPTED_AT, _BUSY_AT = 128, (256, 384)

_OFFER = struct.Struct("!II16s")
_PLACE = struct.Struct("!HQQ")
# The constants of fcntl that Python has from 3.9 on: F_ADD_SEALS, F_GET_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW.
_ADD_SEALS, _GET_SEALS, _SEALS = 1033, 1034, 7

_TO_SERVER, _TO_CLIENT = 0, 1


@functools.lru_cache(maxsize=None)
def _host_id() -> str:
    """Return a text that is the same only in processes that can open each other's segments; empty if there are none here."""
    if not hasattr(os, "memfd_create"):
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            boot = file.read().decode("ascii").strip().replace("-", "")
        spaces = [str(os.stat("/proc/self/ns/" + name).st_ino) for name in ("pid", "user")]
        own_process = os.readlink("/proc/self")
    except OSError:
        return ""
    if own_process != str(os.getpid()):  # another namespace's /proc is mounted here
        return ""
    return "-".join([boot, *spaces, str(os.geteuid())])


def host_of(sock: Any) -> str:
    """Return the id of this host if the peer of a socket is on it too, and the settings allow shared memory; otherwise ""."""
    if not (config.SHARED_MEMORY and config.OUT_OF_BAND_BUFFERS):
        return ""
    try:
        own, other = sock.getsockname(), sock.getpeername()
    except (OSError, AttributeError):  # already disconnected
        return ""
    # a Unix domain socket has a text as its address
    is_local = own[0] == other[0] if isinstance(own, tuple) and isinstance(other, tuple) else type(own) is type(other)
    return _host_id() if is_local else ""


def shared_with(known: Optional[Collection[str]], is_client: bool) -> Optional[SharedMemory]:
    """Return what a connection needs to share memory with a peer that has announced these features, None if it cannot."""
    return SharedMemory(is_client) if known is not None and features.SHARED_MEMORY in known else None


class SharedMemory:
    """The shared memory of one connection, or what is left to be done until it can be used. Not thread-safe: it belongs to
    the owner of the connection.

    Attributes:
        offer: the annotation to send with the next request; None if there is none to send.
    """

    def __init__(self, is_client: bool) -> None:
        self.offer: Optional[bytes] = None
        self._is_client = is_client
        self._sending, self._receiving = (_TO_SERVER, _TO_CLIENT) if is_client else (_TO_CLIENT, _TO_SERVER)
        self._map: Any = None
        self._descriptor = -1
        self._output: Optional[SendingArea] = None  # both as soon as there is a segment
        self._input: Optional[ReceivingArea] = None
        self._failed = False

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the segment, as soon as the program has no arrays in it any more."""
        received, self._input, self._output = self._input, None, None
        if received is not None:
            received.close()
        descriptor, self._descriptor, self._map, self._failed = self._descriptor, -1, None, True
        if descriptor >= 0:
            os.close(descriptor)

    # ------------------------------------------------------------ the segment

    def _create(self) -> None:
        """Create a segment, and prepare the offer of it."""
        import fcntl  # Unix only
        secret = os.urandom(_SECRET_BYTES)
        try:
            self._descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self._descriptor, _SIZE)
            fcntl.fcntl(self._descriptor, _ADD_SEALS, _SEALS)
            self._map = mmap.mmap(self._descriptor, _SIZE)
            os.posix_fallocate(self._descriptor, 0, _HEADER_BYTES)
        except OSError as x:
            log.info("no shared memory: %s", x)
            self.close()
            return
        self._map[:len(_MAGIC) + _SECRET_BYTES] = _MAGIC + secret
        self._divide()
        self.offer = _OFFER.pack(os.getpid(), self._descriptor, secret)

    def _open(self, offer: bytes) -> None:
        """Open the segment of the client, and set the flag that says so. Anything that is wrong is ignored."""
        if self._map is not None or self._failed or len(offer) != _OFFER.size:
            return
        self._failed = True
        pid, number, secret = _OFFER.unpack(offer)
        link = "/proc/%d/fd/%d" % (pid, number)
        try:
            if os.readlink(link) != _LINK:  # before it is opened, which may have effects
                return
            self._descriptor = os.open(link, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            mapped = mmap.mmap(self._descriptor, _SIZE) if _is_segment(self._descriptor) else None
        except OSError as x:
            log.info("no shared memory with a client: %s", x)
            self.close()
            return
        if mapped is None or mapped[:len(_MAGIC) + _SECRET_BYTES] != _MAGIC + secret:
            log.warning("a client has offered shared memory that is not its own")
            self.close()
            return
        self._map, self._failed = mapped, False
        self._divide()
        mapped[_ACCEPTED_AT] = 1

    def _divide(self) -> None:
        starts = [_HEADER_BYTES + number * AREA_BYTES for number in (self._sending, self._receiving)]
        self._output = shared_areas.SendingArea(self._map, self._descriptor, _BUSY_AT[self._sending], starts[0], AREA_BYTES)
        self._input = shared_areas.ReceivingArea(self._map, self._descriptor, _BUSY_AT[self._receiving], starts[1], AREA_BYTES)

    # ------------------------------------------------------------ sending

    def place(self, views: List[memoryview]) -> Tuple[Dict[int, memoryview], Dict[str, Buffer]]:
        """Copy large buffers to the area for sending, if that is possible.

        Returns:
            The buffers that have to be sent over the socket, by their numbers; and the annotations to send.
        """
        rest = dict(enumerate(views))
        large = [(number, view) for number, view in rest.items() if view.nbytes >= MIN_SHARED_BYTES]
        if not large:
            return rest, self._with_offer()
        if self._map is None:
            if self._is_client and not self._failed:
                self._create()
            return rest, self._with_offer()
        places = self._write(large)
        for number, _offset, _size in places:
            del rest[number]
        packed = b"".join([_PLACE.pack(*place) for place in places])
        return rest, {**self._with_offer(), PLACES_ANNOTATION: packed} if places else self._with_offer()

    def _with_offer(self) -> Dict[str, Buffer]:
        offer, self.offer = self.offer, None
        return {} if offer is None else {OFFER_ANNOTATION: offer}

    def _write(self, large: List[Tuple[int, memoryview]]) -> List[Place]:
        area: Optional[SendingArea] = self._output
        if area is None or not self._map[_ACCEPTED_AT]:
            return []
        try:
            return area.write(large, config.MAX_MESSAGE_SIZE)
        except OSError as x:
            log.info("no memory to share: %s", x)
            return []

    # ------------------------------------------------------------ receiving

    def received(self, annotations: Dict[str, memoryview], chunks: Optional[Mapping[int, memoryview]],
                 max_size: int) -> Optional[Mapping[int, memoryview]]:
        """Remove the annotations about shared memory from a message, and return its buffers, with the shared ones.

        Wrong places have no buffers: deserializing the message fails then.

        Args:
            chunks: the buffers that came over the socket.
            max_size: limit in bytes of all shared buffers; 0 is no limit.
        """
        offer = annotations.pop(OFFER_ANNOTATION, None)
        if offer is not None and not self._is_client:
            self._open(bytes(offer))
        places = annotations.pop(PLACES_ANNOTATION, None)
        if places is not None:
            return {**(chunks or {}), **self._read(places, max_size)}
        if chunks and self._is_client and self._map is None and not self._failed:
            if max(map(len, chunks.values())) >= MIN_SHARED_BYTES:
                self._create()  # for the next result of this kind
        return chunks

    def _read(self, packed: memoryview, max_size: int) -> Dict[int, memoryview]:
        area: Optional[ReceivingArea] = self._input
        if area is None or len(packed) % _PLACE.size:
            return {}
        return area.read([shared_areas.Place(*fields) for fields in _PLACE.iter_unpack(packed)], max_size)


def _is_segment(descriptor: int) -> bool:
    """Return whether a descriptor is that of a segment of this user, whose size cannot change any more."""
    import fcntl  # Unix only
    status = os.fstat(descriptor)
    return (stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size == _SIZE
            and os.readlink("/proc/self/fd/%d" % descriptor) == _LINK
            and fcntl.fcntl(descriptor, _GET_SEALS) & _SEALS == _SEALS)
