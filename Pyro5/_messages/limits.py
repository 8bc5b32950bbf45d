"""Limits on the number of containers (lists, dicts, tuples and sets) in a message, checked before it is decoded.

A container takes two bytes of a message, but some hundred bytes of memory. So a message within the size limit could use up the
memory of the process if the number of containers was not limited.
"""
from __future__ import annotations

from .. import config, serializers
from ..protocol import Buffer, ReceivingMessage
from ..serializers import SerializerBase

FREE_BYTES = 100000  # payloads up to this size are not checked: they are decoded in a fraction of a second
# A compressed message may have FREE_CONTAINERS, and CONTAINERS_PER_BYTE more for each byte that was sent: otherwise a few
# kilobytes could inflate to millions of containers.
FREE_CONTAINERS = 100000
CONTAINERS_PER_BYTE = 4
REPLY_FACTOR = 16  # replies may have this many times FREE_CONTAINERS: clients choose the servers that they connect to
PROBE_CONTAINERS = 1000  # in a reply of a server that is asked only because a client registered it
HANDSHAKE_CONTAINERS = 5000  # in the handshake of a client; in text formats, elements are counted as well


def check(message: ReceivingMessage, serializer: SerializerBase, factor: int = 1) -> None:
    """Check a request. Called for payloads that are longer than FREE_BYTES.

    Args:
        factor: how many times FREE_CONTAINERS the message may have if it is compressed.

    Raises:
        SerializeError: it has more containers than MAX_CONTAINERS, or than its compressed size allows.
    """
    check_data(message.data, message.deflated_size, serializer, factor)


def check_data(data: Buffer, deflated_size: int, serializer: SerializerBase, factor: int = 1) -> None:
    """Do what `check` does, for a payload and its compressed size in bytes (0: it was not compressed)."""
    most = config.MAX_CONTAINERS
    if not most:
        return
    if deflated_size:
        most = min(most, factor * FREE_CONTAINERS + CONTAINERS_PER_BYTE * deflated_size)
    serializer.check_containers(data, most)


def check_reply(message: ReceivingMessage, serializer: SerializerBase) -> None:
    """Check a reply; as `check`."""
    check(message, serializer, REPLY_FACTOR)


def check_probe(message: ReceivingMessage) -> None:
    """Check the reply to a probe, from which only names are used.

    Raises:
        SerializeError: it has more than PROBE_CONTAINERS, or its serializer is unknown.
    """
    # a container takes at least one byte, so a payload with fewer bytes need not be counted
    if len(message.data) > PROBE_CONTAINERS:
        serializers.get_serializer_by_id(message.serializer_id).check_containers(message.data, PROBE_CONTAINERS)


def check_handshake(message: ReceivingMessage, serializer: SerializerBase) -> None:
    """Check the handshake of a client.

    Raises:
        SerializeError: it has more containers than HANDSHAKE_CONTAINERS.
    """
    if len(message.data) > HANDSHAKE_CONTAINERS:
        serializer.check_containers(message.data, HANDSHAKE_CONTAINERS, elements=True)
