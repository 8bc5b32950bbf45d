"""MessageReader: the same messages come out, whatever slices their bytes arrive in; limits hold before a body is there."""
from __future__ import annotations

import os
import random
import socket
import tracemalloc
import unittest
from typing import Any, Iterable, Iterator, List
from unittest import mock

from Pyro5 import errors
from Pyro5._wire import reader
from Pyro5._wire.reader import MessageReader
from Pyro5.protocol import HEADER_SIZE, MSG_INVOKE, ReceivingMessage, SendingMessage

from ..test_protocol import chunk, message, raw


class Feeder:
    """Feeds a reader the way a socket does: at most so many bytes, or what fits into the buffer that the reader gives."""

    def __init__(self, max_size: int = 0, receive_bytes: int = 65536) -> None:
        self.reader = MessageReader(max_size)
        self.receive_bytes = receive_bytes

    def receive(self, data: bytes) -> int:
        """Receive once; gives how much of the data was taken."""
        if not self.reader.mid_body:
            self.reader.feed(data[:self.receive_bytes])
            return min(self.receive_bytes, len(data))
        target = self.reader.get_buffer()
        count = min(len(target), len(data))
        target[:count] = data[:count]
        self.reader.received(count)
        return count

    def messages(self) -> Iterator[ReceivingMessage]:
        yield from iter(self.reader.next_message, None)

    def feed(self, *slices: bytes) -> List[ReceivingMessage]:
        found: List[ReceivingMessage] = []
        for data in slices:
            while data:
                data = data[self.receive(data):]
                found.extend(self.messages())
        return found


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    position = 0
    for size in sizes:
        if position >= len(data):
            return
        yield data[position:position + size]
        position += size


class Stream:
    """A socket with all the bytes of a stream. Keeps the sizes of the receives."""

    def __init__(self, data: bytes, most: int = 10 ** 9) -> None:
        self.data = data
        self.most = most
        self.sizes: List[int] = []

    def recv(self, size: int, flags: int = 0) -> bytes:
        size = min(size, self.most)
        received, self.data = self.data[:size], self.data[size:]
        self.sizes.append(len(received))
        return received

    def recv_into(self, target: memoryview) -> int:
        received = self.recv(len(target))
        target[:len(received)] = received
        return len(received)


class AfterLargeMessages(unittest.TestCase):
    """The header of the next one is received alone, and its body where it stays."""

    def receive(self, *sizes: int) -> List[int]:
        sock = Stream(b"".join(message(b"x" * size, seq=number) for number, size in enumerate(sizes)))
        found: List[ReceivingMessage] = []
        subject = MessageReader()
        while sock.data:
            subject.receive_from(sock)
            found.extend(iter(subject.next_message, None))
        self.assertEqual([(number, size) for number, size in enumerate(sizes)], [(m.seq, len(m.data)) for m in found])
        self.assertEqual({bytes}, {type(m.data) for m in found})
        return sock.sizes

    def test_large_ones(self) -> None:
        first = 65536
        self.assertEqual([first, 100000 + HEADER_SIZE - first, HEADER_SIZE, 100000, HEADER_SIZE, 90000],
                         self.receive(100000, 100000, 90000))

    def test_one_that_is_larger(self) -> None:
        self.assertEqual([HEADER_SIZE, 100000, 100000, 100000], self.receive(100000, 300000)[2:])

    def test_small_ones(self) -> None:
        # Only the first one is received in two steps.
        self.assertEqual([HEADER_SIZE, 10, 20 + 30 + 2 * HEADER_SIZE], self.receive(100000, 10, 20, 30)[2:])
        self.assertEqual([HEADER_SIZE, HEADER_SIZE + 5], self.receive(100000, 0, 5)[2:])


class AtOnce(unittest.TestCase):
    """A large message behind another large one, whose body is received behind its header, without a buffer."""

    def setUp(self) -> None:
        self.reader = MessageReader(max_size=300000)
        self.receive(message(b"x" * 100000))

    def receive(self, data: bytes, sock: Any = None) -> List[ReceivingMessage]:
        """Receive a message in any way, and all that follows it."""
        sock = sock or Stream(data)
        found: List[ReceivingMessage] = []
        while sock.data:
            if self.reader.expects_large:
                found.extend(self.receive_large(sock))
            else:
                self.reader.receive_from(sock)
            found.extend(iter(self.reader.next_message, None))
        return found

    def receive_large(self, sock: Any, flags: int = 0) -> List[ReceivingMessage]:
        """Return the large message that has arrived; none if it is another one, or incomplete."""
        data, large = self.reader.receive_large(sock, sock, flags=flags)
        if large is not None:
            return [ReceivingMessage(data, large)]
        self.reader.feed(data)
        return []

    def test_one_that_is_complete(self) -> None:
        data = message(b"y" * 90000, seq=3)
        sock = Stream(data)
        self.assertEqual((data[:HEADER_SIZE], b"y" * 90000), self.reader.receive_large(sock, sock))
        self.assertEqual([HEADER_SIZE, 90000], sock.sizes)
        self.assertTrue(self.reader.expects_large)
        self.assertFalse(self.reader.mid_message)

    def test_all_others_come_out_as_they_would_otherwise(self) -> None:
        kinds = {"small": message(b"y"), "empty": message(b""), "annotated": message(b"y" * 90000, {"ABCD": b"value"}),
                 "compressed": message(b"y" * 90000, compress=True), "large": message(b"y" * 280000)}
        for kind, data in kinds.items():
            for most in (10, 50000, 10 ** 6):
                with self.subTest(kind, most=most):
                    self.setUp()
                    found = self.receive(b"", Stream(data + message(b"z"), most))
                    self.assertEqual([bytes(ReceivingMessage(data, data[HEADER_SIZE:]).data), b"z"], [m.data for m in found])

    def test_a_body_that_has_not_arrived(self) -> None:
        class Unready:
            def recv(self, size: int, flags: int = 0) -> bytes:
                if flags:
                    raise BlockingIOError
                return data[:size]

        data = message(b"y" * 90000)
        self.assertEqual([], self.receive_large(Unready(), 64))
        self.assertIsNone(self.reader.next_message())
        self.assertEqual((0, 90000), self.reader.body_progress)
        self.assertEqual([b"y" * 90000], [m.data for m in self.receive(data[HEADER_SIZE:])])

    def test_a_small_one_is_received_in_two_steps_only(self) -> None:
        for size in (0, 10, 65536):
            data = message(b"y" * size)
            self.setUp()
            sock = Stream(data)
            self.assertEqual((data, None), self.reader.receive_large(sock, sock))
            self.assertEqual([HEADER_SIZE, size], sock.sizes)

    def test_the_rest_is_waited_for_as_long_as_that_is_allowed(self) -> None:
        for may_wait, sizes in (([False], [40000]), ([True, False], [40000] * 2), ([True] * 2, [40000, 40000, 10000])):
            self.setUp()
            sock = Stream(message(b"y" * 90000), 40000)
            data, large = self.reader.receive_large(sock, sock, mock.Mock(side_effect=may_wait))
            self.assertEqual((HEADER_SIZE + 90000, [HEADER_SIZE, *sizes]),
                             (len(data) + len(large or sock.data), sock.sizes))

    def test_errors_lose_nothing_that_a_server_has_received(self) -> None:
        data = message(b"y" * 90000)
        for error in (BlockingIOError(), socket.timeout("timed out"), ConnectionResetError()):
            for pieces in ([data[:HEADER_SIZE]], [data[:HEADER_SIZE], data[HEADER_SIZE:1000]],
                           [data[:HEADER_SIZE], data[HEADER_SIZE:1000], data[1000:2000]]):
                self.setUp()
                sock = mock.Mock(**{"recv.side_effect": [*pieces, error]})
                self.assertEqual((b"".join(pieces), None), self.reader.receive_large(sock, sock, flags=64))
                self.setUp()
                sock = mock.Mock(**{"recv.side_effect": [*pieces, error]})
                with self.assertRaises(type(error)):
                    self.reader.receive_large(sock, sock)

    def test_what_is_refused(self) -> None:
        for data in (message(b"y" * 300001), b"x" * 100000, b"PYRO\x01\xf6" + bytes(100000)):
            self.setUp()
            sock = Stream(data)
            self.assertEqual([], self.receive_large(sock))
            self.assertEqual([HEADER_SIZE], sock.sizes)
            for _ in range(2):
                with self.assertRaises(errors.ProtocolError):
                    self.reader.next_message()


class Reading(unittest.TestCase):
    """One stream of messages of all sizes, cut into slices in many ways: always the same messages come out."""

    PAYLOADS = (b"", b"a", b"b" * 24, b"c" * 1000, b"d" * 70000, b"", b"e" * 300000, b"f")

    def setUp(self) -> None:
        annotations: List[Any] = [None, {"ANNO": b"value"}, {"ANNO": b"", "MORE": b"z" * 40000}]
        self.stream = b"".join(message(payload, annotations[n % 3], seq=n) for n, payload in enumerate(self.PAYLOADS))

    def check(self, messages: List[ReceivingMessage]) -> None:
        self.assertEqual(list(range(len(self.PAYLOADS))), [m.seq for m in messages])
        for received, payload in zip(messages, self.PAYLOADS):
            self.assertTrue(payload == received.data, "payload %d differs" % received.seq)
            sizes = {name: len(value) for name, value in received.annotations.items()}
            self.assertEqual(({}, {"ANNO": 5}, {"ANNO": 0, "MORE": 40000})[received.seq % 3], sizes)

    def test_whole_messages(self) -> None:
        for receive_bytes in (1, 7, 40, 41, 1000, 65536, 1000000):
            self.check(Feeder(receive_bytes=receive_bytes).feed(self.stream))

    def test_byte_by_byte(self) -> None:
        small = b"".join(message(b"x" * n, {"ANNO": b"y" * n}, seq=n) for n in range(60))
        found = Feeder().feed(*(small[n:n + 1] for n in range(len(small))))
        self.assertEqual([(n, b"x" * n) for n in range(60)], [(m.seq, bytes(m.data)) for m in found])

    def test_pieces_of_random_size(self) -> None:
        for seed in range(8):
            chance = random.Random(seed)
            sizes = chance.choices((1, 3, 39, 40, 41, 500, 5000, 65536, 200000), k=len(self.stream))
            with self.subTest(seed=seed):
                self.check(Feeder(receive_bytes=chance.choice((50, 4096, 65536))).feed(*cut(self.stream, sizes)))

    def test_several_messages_are_kept_until_they_are_read(self) -> None:
        feeder = Feeder()
        rest = b"".join(message(b"x" * 10, seq=n) for n in range(50))
        while rest:
            rest = rest[feeder.receive(rest[:33]):]  # no messages are fetched in between
        self.assertEqual(list(range(50)), [m.seq for m in feeder.messages()])

    def test_mid_message(self) -> None:
        feeder = Feeder()
        self.assertFalse(feeder.reader.mid_message)
        data = message(b"x" * 100)
        for part in (data[:1], data[1:40], data[40:41], data[41:139]):
            feeder.feed(part)
            self.assertTrue(feeder.reader.mid_message)
        self.assertEqual(1, len(feeder.feed(data[139:])))
        self.assertFalse(feeder.reader.mid_message)
        feeder.receive(data + data[:5])
        self.assertEqual(1, len(list(feeder.messages())))
        self.assertTrue(feeder.reader.mid_message)

    def test_methods_called_in_the_wrong_state(self) -> None:
        feeder = Feeder()
        for use in (lambda: feeder.reader.received(1), feeder.reader.get_buffer):
            with self.assertRaises(ValueError):
                use()
        feeder.feed(message(b"x" * 1000)[:500])
        with self.assertRaises(ValueError):
            feeder.reader.feed(b"x" * 500)


class Inflated(unittest.TestCase):
    def read(self, payload: bytes, max_size: int, max_inflated: int) -> bytes:
        sent = SendingMessage(MSG_INVOKE, 0, 1, 1, payload, compress=True).data
        reader = MessageReader(max_size, max_inflated=max_inflated)
        reader.feed(sent)
        received = reader.next_message()
        assert received is not None
        return bytes(received.data)

    def test_small_payloads_may_be_compressed_by_any_ratio(self) -> None:
        payload = bytes(100000)
        self.assertTrue(payload == self.read(payload, 0, 100000))
        self.assertTrue(payload == self.read(payload, 0, 0))

    def test_larger_payloads_only_by_an_ordinary_ratio(self) -> None:
        payload = os.urandom(5000) * 12
        self.assertTrue(payload == self.read(payload, 0, 1000))
        with self.assertRaisesRegex(errors.MessageTooLargeError, "inflates to more than .*MAX_INFLATED_SIZE"):
            self.read(bytes(100000), 0, 1000)

    def test_the_smaller_limit_applies(self) -> None:
        with self.assertRaisesRegex(errors.MessageTooLargeError, "more than 500 bytes .MAX_MESSAGE_SIZE"):
            self.read(bytes(100000), 500, 1000)


class LargeBodies(unittest.TestCase):
    def test_a_large_body_is_received_in_place(self) -> None:
        payload = b"x" * 500000
        feeder = Feeder(receive_bytes=1000)
        rest: Any = memoryview(message(payload))
        rest = rest[feeder.receive(bytes(rest[:1000])):]
        tracemalloc.start()
        try:
            found = feeder.feed(rest)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertTrue(payload == found[0].data)
        self.assertLess(most, 1.5 * len(payload))  # there was no second copy at any time

    def test_memory_grows_with_the_received_bytes(self) -> None:
        feeder = Feeder()
        feeder.feed(raw(b"", size=0xFFFFFFFF))  # 4 GiB announced, nothing sent
        arrived = 0
        for _ in range(60):
            free = len(feeder.reader.get_buffer())
            self.assertLessEqual(free, max(arrived, reader.FIRST_BODY_BYTES))
            count = min(free, 50000)
            feeder.reader.received(count)
            arrived += count
            self.assertIsNone(feeder.reader.next_message())

    def test_a_failed_receive_leaves_the_buffer_free(self) -> None:
        """The garbage collector reports a BytesIO that is collected while a memoryview of it exists."""
        class Unready:
            def recv_into(self, buffer: memoryview) -> int:
                self.buffer = buffer
                raise BlockingIOError

        feeder, sock = Feeder(), Unready()
        feeder.feed(raw(b"", size=1000000))
        with self.assertRaises(BlockingIOError):
            feeder.reader.receive_from(sock)
        with self.assertRaisesRegex(ValueError, "released"):
            len(sock.buffer)

    def test_the_growth_of_the_buffer_is_limited(self) -> None:
        feeder = Feeder()
        feeder.feed(raw(b"", size=0xFFFFFFFF))
        sizes: List[int] = []
        while sum(sizes) < 3 * reader.MAX_BODY_STEP_BYTES:
            sizes.append(len(feeder.reader.get_buffer()))
            feeder.reader.received(sizes[-1])
            feeder.reader.next_message()
        self.assertEqual(reader.MAX_BODY_STEP_BYTES, max(sizes))

    def test_nothing_beyond_the_message_is_received_into_its_body(self) -> None:
        data = message(b"x" * 100000)
        found = Feeder().feed(data + data[:60], data[60:])
        self.assertEqual([b"x" * 100000] * 2, [bytes(m.data) for m in found])

    def test_a_failed_receive_changes_nothing(self) -> None:
        feeder = Feeder(receive_bytes=100)
        data = message(b"x" * 200000)
        position = feeder.receive(data)
        while feeder.reader.next_message() is None:
            feeder.reader.get_buffer()  # the receive failed
            feeder.reader.get_buffer()  # twice, in different threads
            position += feeder.receive(data[position:])
        self.assertEqual(len(data), position)

    def test_views_that_are_still_held_do_not_prevent_growth(self) -> None:
        reader = MessageReader()
        data = message(b"x" * 300000)
        reader.feed(data[:1000])
        self.assertIsNone(reader.next_message())
        data = data[1000:]
        held, found = [], None
        while found is None:
            held.append(reader.get_buffer())
            count = min(len(held[-1]), len(data), 50000)
            held[-1][:count] = data[:count]
            data = data[count:]
            reader.received(count)
            found = reader.next_message()
        self.assertEqual(300000, len(found.data))

    def test_a_failed_receive_whose_view_is_still_held(self) -> None:
        feeder = Feeder(receive_bytes=40)
        data = message(b"x" * 200000)
        feeder.feed(data[:40 + reader.FIRST_BODY_BYTES - 1])
        held = feeder.reader.get_buffer()
        found = feeder.feed(data[40 + reader.FIRST_BODY_BYTES - 1:])  # the body grows several times
        self.assertEqual(200000, len(found[0].data))
        with self.assertRaises(ValueError):
            held[0]

    def test_the_payload_of_a_large_body_with_annotations_is_a_view(self) -> None:
        data = message(b"x" * 200000, {"ANNO": b"value"})
        got = Feeder().feed(data)[0]
        self.assertIs(memoryview, type(got.data))
        self.assertEqual((b"x" * 200000, b"value"), (bytes(got.data), bytes(got.annotations["ANNO"])))


class Limits(unittest.TestCase):
    def test_refused_by_the_header_alone(self) -> None:
        feeder = Feeder(max_size=1000)
        with self.assertRaises(errors.MessageTooLargeError):
            feeder.feed(raw(chunk(b"ABCD", b""), 8, size=993)[:HEADER_SIZE])
        refused = feeder.reader.refused
        self.assertEqual((MSG_INVOKE, 1, 1), refused and (refused.type, refused.seq, refused.serializer_id))

    def test_exactly_the_limit(self) -> None:
        self.assertEqual(1, len(Feeder(max_size=1000).feed(message(b"x" * 988, {"ANNO": b"1234"}))))
        with self.assertRaises(errors.MessageTooLargeError):
            Feeder(max_size=1000).feed(message(b"x" * 989, {"ANNO": b"1234"}))

    def test_the_limit_applies_after_decompression(self) -> None:
        exact, bomb = (message(bytes(size), compress=True) for size in (1000, 1001))
        self.assertEqual(bytes(1000), Feeder(max_size=1000).feed(exact)[0].data)
        for data in (bomb, message(bytes(10000000), compress=True)):
            feeder = Feeder(max_size=1000 if data is bomb else 1000000)
            with self.assertRaises(errors.MessageTooLargeError):
                feeder.feed(data)
            self.assertIsNotNone(feeder.reader.refused)
        self.assertEqual(1001, len(Feeder().feed(bomb)[0].data))

    def test_a_bomb_is_not_inflated(self) -> None:
        bomb, feeder = message(bytes(20000000), compress=True), Feeder(max_size=1000000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        with self.assertRaises(errors.MessageTooLargeError):
            feeder.feed(bomb)
        self.assertLess(tracemalloc.get_traced_memory()[1], 5000000)

    def test_another_protocol_is_detected_after_six_bytes(self) -> None:
        for data in (b"GET / HTTP", raw(b"", tag=b"PYRX"), raw(b"", version=503)):
            feeder = Feeder()
            self.assertEqual([], feeder.feed(*cut(data[:5], iter(lambda: 1, None))))
            with self.assertRaises(errors.ProtocolError):
                feeder.feed(data[5:6])
            self.assertIsNone(feeder.reader.refused)

    def test_wrong_magic(self) -> None:
        with self.assertRaises(errors.ProtocolError):
            Feeder().feed(raw(b"x", magic=1))

    def test_messages_before_a_malformed_one_are_returned(self) -> None:
        feeder = Feeder()
        feeder.receive(message(b"good") + b"garbage")
        good = feeder.reader.next_message()
        self.assertEqual(b"good", good and good.data)
        with self.assertRaises(errors.ProtocolError):
            feeder.reader.next_message()


if __name__ == "__main__":
    unittest.main()
