"""Messages with many containers: refused before they are decoded, whatever the serializer and the way they came."""
from __future__ import annotations

import itertools
import json
import marshal
import struct
import unittest
import zlib
from typing import Any, Dict
from unittest import mock

from Pyro5 import config, errors, protocol
from Pyro5._messages import handshake, limits, replies, requests
from Pyro5.protocol import ReceivingMessage, SendingMessage
from Pyro5.serializers import get_serializer

NAMES = ("serpent", "json", "marshal", "msgpack")


def empty_lists(name: str, count: int) -> bytes:
    """Encode a call whose argument is a list of that many empty lists."""
    return get_serializer(name).dumpsCall("obj", "echo", ([[] for _ in range(count)],), {})


def received(name: str, payload: bytes, compressed: bool, msgtype: int = protocol.MSG_INVOKE) -> ReceivingMessage:
    sent = SendingMessage(msgtype, 0, 1, get_serializer(name).serializer_id, payload, compress=compressed)
    data = sent.data
    return ReceivingMessage(data[:protocol.HEADER_SIZE], data[protocol.HEADER_SIZE:])


class CallTests(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(setattr, config, "MAX_CONTAINERS", config.MAX_CONTAINERS)

    def parse(self, name: str, payload: bytes, compressed: bool) -> Any:
        return requests.parse_invoke_request(received(name, payload, compressed), get_serializer(name)).args[0]

    def test_more_containers_than_the_setting_allows(self) -> None:
        for name, compressed in itertools.product(NAMES, (False, True)):
            with self.subTest(name, compressed=compressed):
                payload = empty_lists(name, limits.FREE_BYTES)
                config.MAX_CONTAINERS = limits.FREE_BYTES
                with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
                    self.parse(name, payload, compressed)
                config.MAX_CONTAINERS = limits.FREE_BYTES + 10
                if not compressed:
                    self.assertEqual(limits.FREE_BYTES, len(self.parse(name, payload, compressed)))
                config.MAX_CONTAINERS = 0
                self.assertEqual(limits.FREE_BYTES, len(self.parse(name, payload, compressed)))

    def test_the_annotation_of_a_blob_is_checked(self) -> None:
        count = limits.FREE_BYTES
        annotation = marshal.dumps(([[] for _ in range(count)], "obj", "echo"), 2)
        message = ReceivingMessage(SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 1, 1, b"").data)
        message.annotations = {requests.BLOB_ANNOTATION: memoryview(annotation)}
        config.MAX_CONTAINERS = count
        with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
            requests.parse_invoke_request(message, get_serializer("serpent"))
        config.MAX_CONTAINERS = count + 10
        self.assertEqual(count, len(requests.parse_invoke_request(message, get_serializer("serpent")).args[0].info))

    def test_a_compressed_message_has_a_lower_limit(self) -> None:
        for name in NAMES:
            payload = empty_lists(name, 2 * limits.FREE_CONTAINERS)
            self.assertLess(len(zlib.compress(payload)), limits.FREE_CONTAINERS // limits.CONTAINERS_PER_BYTE)
            with self.subTest(name), self.assertRaisesRegex(errors.SerializeError, "too many lists"):
                self.parse(name, payload, True)
            self.assertEqual(2 * limits.FREE_CONTAINERS, len(self.parse(name, payload, False)))

    def test_brackets_in_texts_are_not_counted(self) -> None:
        texts: Dict[str, Any] = {"serpent": "[({" * 60000, "json": "[({" * 60000, "marshal": b"([{)<>" * 30000,
                                 "msgpack": bytes(range(0x80, 0xA0)) * 6000}
        config.MAX_CONTAINERS = 50
        for name, value in texts.items():
            with self.subTest(name):
                payload = get_serializer(name).dumpsCall("obj", "echo", (value,), {})
                self.assertEqual(value, self.parse(name, payload, False))

    def test_all_kinds_of_containers_count(self) -> None:
        kinds = {"serpent": b"[],(),{},{1},", "json": b"[],{},", "marshal": b")\0{0[\0\0\0\0<\0\0\0\0>\0\0\0\0(\0\0\0\0",
                 "msgpack": b"\x90\x80\xdc\0\0\xde\0\0\xdd\0\0\0\0\xdf\0\0\0\0"}
        each = {"serpent": 4, "json": 2, "marshal": 6, "msgpack": 6}
        begins = {"serpent": b"[", "json": b"[", "marshal": b"[" + struct.pack("<i", 6000),
                  "msgpack": b"\xdc" + struct.pack(">H", 6000)}
        for name, kind in kinds.items():
            data = begins[name] + kind * 1000 + (b"0]" if name in ("serpent", "json") else b"")
            with self.subTest(name):
                get_serializer(name).check_containers(data, 1000 * each[name] + 1)
                with self.assertRaises(errors.SerializeError):
                    get_serializer(name).check_containers(data, 1000 * each[name])

    def test_strings_with_quotes_and_backslashes(self) -> None:
        serpent = get_serializer("serpent")
        for text in (r"['\'[[[[', 1]", r"""["'[[[[", '"[[', 1]""", r"['\\', '[[[']", r"['[[[\\\'[[']"):
            serpent.check_containers(text.encode(), 1)
        with self.assertRaises(errors.SerializeError):
            serpent.check_containers(rb"['\\', [[[[1]]]]]", 4)

    def test_malformed_data_is_left_to_the_serializer(self) -> None:
        for name, data in (("marshal", b"(\xff\0\0\0" * 10), ("marshal", b"[\xff\xff\xff\xff" * 10),
                           ("msgpack", b"\xdd\0\0\0\1" * 3), ("msgpack", b"\xc1\x90\x90\x90")):
            with self.subTest(name, data=data), self.assertRaises((ValueError, TypeError, EOFError)):
                get_serializer(name).check_containers(data, 100)
                get_serializer(name).loads(data)

    def test_small_messages_are_not_checked(self) -> None:
        config.MAX_CONTAINERS = 1
        self.assertEqual([[], []], self.parse("serpent", empty_lists("serpent", 2), False))

    def test_replies_and_blobs(self) -> None:
        config.MAX_CONTAINERS = 100
        payload = get_serializer("json").dumps([[]] * limits.FREE_BYTES)
        reply = received("json", payload, False, protocol.MSG_RESULT)
        with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
            replies.parse_reply(reply, get_serializer("json"))
        message = received("json", empty_lists("json", limits.FREE_BYTES), True)
        forwarded = requests.SerializedBlob("info", message, is_blob=True)
        with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
            forwarded.deserialized()


class HandshakeTests(unittest.TestCase):
    def test_a_handshake_has_a_low_limit(self) -> None:
        encoders: Dict[str, Any] = {"json": lambda value: json.dumps(value).encode(), "marshal": marshal.dumps}
        for name in NAMES:
            encode = encoders.get(name, get_serializer(name).dumps)
            for count, allowed in ((limits.HANDSHAKE_CONTAINERS // 2 - 10, True), (limits.HANDSHAKE_CONTAINERS, False)):
                payload = encode({"handshake": [[] for _ in range(count)], "object": "obj"})
                message = received(name, payload, False, protocol.MSG_CONNECT)
                with self.subTest(name, count=count):
                    if allowed:
                        self.assertEqual("obj", handshake.parse_connect_request(message, get_serializer(name))[0])
                        continue
                    with mock.patch.object(get_serializer(name), "_decode") as decode:
                        with self.assertRaisesRegex(errors.SerializeError, "too many lists"):
                            handshake.parse_connect_request(message, get_serializer(name))
                    decode.assert_not_called()


if __name__ == "__main__":
    unittest.main()
