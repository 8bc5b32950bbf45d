"""Limits on the number of containers in a message, checked before it is decoded."""
from __future__ import annotations

from .. import config, serializers
from .._values.marshal import check as marshal_check
from ..protocol import Buffer, ReceivingMessage
from ..serializers import SerializerBase

FREE_BYTES = 100000  # shorter payloads are not looked at: what is in them is decoded in a fraction of a second
FREE_CONTAINERS = 100000  # that a compressed message may always have ...
CONTAINERS_PER_BYTE = 4  # ... and so many more for each byte as sent
REPLY_FACTOR = 16  # replies may have this many times as much: clients choose their servers
PROBED_CONTAINERS = 1000  # of a server that was not chosen: it is asked because a client registered it
HANDSHAKE_CONTAINERS = 5000  # of a client that has not been let in yet; in text, elements count as well


def check(message: ReceivingMessage, serializer: SerializerBase) -> None:
    """Check a message that is longer than FREE_BYTES.

    Raises:
        SerializeError: it has more containers than MAX_CONTAINERS, or than its size as sent allows.
    """
    most = config.MAX_CONTAINERS
    if not most:
        return
    if message.deflated_size:
        most = min(most, FREE_CONTAINERS + CONTAINERS_PER_BYTE * message.deflated_size)
    serializer.check_containers(message.data, most)


def check_reply(message: ReceivingMessage, serializer: SerializerBase) -> None:
    """Check a reply that is longer than FREE_BYTES, for a client.

    Raises:
        SerializeError: it has more containers than MAX_CONTAINERS, or than its size as sent allows.
    """
    most = config.MAX_CONTAINERS
    if not most:
        return
    if message.deflated_size:
        most = min(most, REPLY_FACTOR * FREE_CONTAINERS + CONTAINERS_PER_BYTE * message.deflated_size)
    serializer.check_containers(message.data, most)


def check_probed(message: ReceivingMessage) -> None:
    """Check a reply of a server of which only names are wanted.

    Raises:
        SerializeError: it has more than PROBED_CONTAINERS, or its serializer is unknown.
    """
    if len(message.data) > PROBED_CONTAINERS:
        serializers.get_serializer_by_id(message.serializer_id).check_containers(message.data, PROBED_CONTAINERS)


def check_marshal(data: Buffer) -> None:
    """Check marshal data outside of the payload, which is never compressed, if it is longer than FREE_BYTES.

    Raises:
        SerializeError: it has more containers than MAX_CONTAINERS.
    """
    if len(data) > FREE_BYTES and config.MAX_CONTAINERS:
        marshal_check.check_containers(data, config.MAX_CONTAINERS)


def check_handshake(message: ReceivingMessage, serializer: SerializerBase) -> None:
    """Check the message of a client that has not been let in.

    Raises:
        SerializeError: it has more containers than HANDSHAKE_CONTAINERS.
    """
    if len(message.data) > HANDSHAKE_CONTAINERS:
        serializer.check_containers(message.data, HANDSHAKE_CONTAINERS, elements=True)
