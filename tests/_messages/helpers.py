"""What the tests of messages have in common."""
from __future__ import annotations

import contextvars
import unittest
import uuid
from typing import Any, Callable, List

from Pyro5 import protocol, serializers
from Pyro5._messages.replies import ReplyTo
from Pyro5._messages.requests import WireOptions
from Pyro5.protocol import HEADER_SIZE, ReceivingMessage, SendingMessage
from Pyro5.serializers import SerializerBase

CORRELATION = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
WIRE = WireOptions()
SERIALIZERS: List[SerializerBase] = list(serializers.serializers.values())
SERPENT = serializers.get_serializer("serpent")
JSON = serializers.get_serializer("json")


def over_the_wire(message: SendingMessage) -> ReceivingMessage:
    data = message.data
    return ReceivingMessage(data[:HEADER_SIZE], data[HEADER_SIZE:])


def with_payload(value: Any, serializer: SerializerBase = SERPENT, msgtype: int = protocol.MSG_INVOKE,
                 flags: int = 0) -> ReceivingMessage:
    return over_the_wire(SendingMessage(msgtype, flags, 1, serializer.serializer_id, serializer.dumps(value)))


def reply_to(serializer: SerializerBase = SERPENT, max_size: int = 0, **annotations: bytes) -> ReplyTo:
    return ReplyTo(7, serializer, CORRELATION.bytes, annotations, WireOptions(max_size))


def with_each_serializer(test: Callable[[Any, SerializerBase], None]) -> Callable[[Any], None]:
    def run(self: Any) -> None:
        for serializer in SERIALIZERS:
            with self.subTest(serializer=serializer.name):
                test(self, serializer)
    return run


class InFreshContext(unittest.TestCase):
    """Every test runs in a context of its own, so that none leaves anything behind."""

    def run(self, result: Any = None) -> Any:
        return contextvars.Context().run(super().run, result)
