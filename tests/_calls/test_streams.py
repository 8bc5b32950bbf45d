"""Item streams, with an injected clock: which clients may read them, when they end, and that their iterators are
closed.
"""
from __future__ import annotations

import threading
import tracemalloc
import unittest
from typing import Any, Callable, Iterator, List

from Pyro5 import errors
from Pyro5._calls.streams import StreamTable

PATIENCE_SECONDS = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Closed:
    """Records whether a generator was closed."""

    def __init__(self) -> None:
        self.count = 0

    def numbers(self, end: int = 10) -> Iterator[int]:
        try:
            yield from range(end)
        finally:
            self.count += 1


class StreamTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.closed = Closed()
        self.me, self.other = object(), object()

    def table(self, lifetime: float = 0, linger: float = 0, most: int = 0) -> StreamTable:
        return StreamTable(lifetime, linger, self.clock, most)

    def opened(self, table: StreamTable) -> str:
        """Open a stream of numbers, and read the first one."""
        stream_id = table.open(self.closed.numbers(), self.me)
        self.assertEqual(0, table.next_item(stream_id, self.me))
        return stream_id

    def check_gone(self, table: StreamTable, stream_id: str, closed: int = 1) -> None:
        self.assertEqual(closed, self.closed.count)
        for _ in range(2):
            with self.assertRaisesRegex(errors.PyroError, "terminated"):
                table.next_item(stream_id, self.me)
        self.assertEqual(0, len(table))


class Reading(StreamTests):
    def test_closed_just_before_it_is_read(self) -> None:
        """By another thread: the iterator, which is gone then, does not seem to have come to its end."""
        def clock() -> float:  # called after the stream has been looked up
            for stream_id in closing:
                table.close(stream_id)
            return 1000.0
        closing: List[str] = []
        table = StreamTable(0, 0, clock)
        closing.append(self.opened(table))
        with self.assertRaisesRegex(errors.PyroError, "terminated"):
            table.next_item(closing[0], self.me)
        self.check_gone(table, closing[0])

    def test_all_items(self) -> None:
        table = self.table()
        stream_id = table.open(iter(["a", None, StopIteration]), self.me)
        self.assertEqual(1, len(table))
        self.assertEqual(["a", None, StopIteration], [table.next_item(stream_id, self.me) for _ in range(3)])
        with self.assertRaises(StopIteration):
            table.next_item(stream_id, self.me)
        self.check_gone(table, stream_id, closed=0)

    def test_streams_are_independent(self) -> None:
        table = self.table()
        ids = [table.open(iter("abc"), self.me) for _ in range(3)]
        self.assertEqual(3, len(set(ids)))
        items = [table.next_item(stream_id, self.me) for _ in range(3) for stream_id in ids]
        self.assertEqual("aaabbbccc", "".join(items))

    def test_an_exception_ends_the_stream(self) -> None:
        def failing() -> Iterator[int]:
            yield 1
            raise ZeroDivisionError("in the generator")
        table = self.table()
        stream_id = table.open(failing(), self.me)
        table.next_item(stream_id, self.me)
        with self.assertRaises(ZeroDivisionError):
            table.next_item(stream_id, self.me)
        self.check_gone(table, stream_id, closed=0)

    def test_unknown_streams(self) -> None:
        table = self.table()
        table.close("unknown")
        unknown: List[Any] = ["unknown", "", None, 5]
        for stream_id in unknown:
            with self.assertRaises(errors.PyroError):
                table.next_item(stream_id, self.me)

    def test_one_item_at_a_time(self) -> None:
        inside, both_inside, go_on = threading.Event(), threading.Event(), threading.Event()
        items: List[int] = []

        class Slow:
            def __iter__(self) -> Any:
                return self

            def __next__(self) -> int:
                (both_inside if inside.is_set() else inside).set()
                go_on.wait(PATIENCE_SECONDS)
                return 1
        table = self.table()
        stream_id = table.open(iter(Slow()), self.me)
        threads = [threading.Thread(target=lambda: items.append(table.next_item(stream_id, self.me))) for _ in range(2)]
        threads[0].start()
        self.assertTrue(inside.wait(PATIENCE_SECONDS))
        threads[1].start()
        self.assertFalse(both_inside.wait(0.05))
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        self.assertEqual([1, 1], items)


class SeveralAtOnce(StreamTests):
    def read(self, table: StreamTable, stream_id: str, most: int = 4, size: Callable[[Any], int] = lambda item: 1) -> Any:
        return table.next_items(stream_id, self.me, most, size)

    def test_all_items(self) -> None:
        table = self.table()
        stream_id = self.opened(table)
        self.assertEqual([([1, 2, 3, 4], False), ([5, 6, 7, 8], False), ([9], True)],
                         [self.read(table, stream_id) for _ in range(3)])
        self.check_gone(table, stream_id)

    def test_the_end_after_the_last_item(self) -> None:
        table = self.table()
        stream_id = table.open(iter("ab"), self.me)
        self.assertEqual((["a", "b"], False), self.read(table, stream_id, 2))
        with self.assertRaises(StopIteration):
            self.read(table, stream_id, 2)
        self.check_gone(table, stream_id, 0)

    def test_no_more_items_than_requested_are_created(self) -> None:
        made: List[int] = []
        table = self.table()
        stream_id = table.open((made.append(number) or number for number in range(100)), self.me)  # type: ignore[func-returns-value]
        self.read(table, stream_id, 7)
        self.assertEqual(7, len(made))

    def test_both_ways_of_reading_can_be_mixed(self) -> None:
        table = self.table()
        stream_id = self.opened(table)
        self.read(table, stream_id, 2, lambda item: 200000)  # one item is read, and pushed back for the next request
        self.assertEqual(2, table.next_item(stream_id, self.me))
        self.assertEqual(([3, 4], False), self.read(table, stream_id, 2))

    def test_large_items_come_in_smaller_groups(self) -> None:
        for size, count in ((100000, 2), (262144, 1), (10 ** 9, 1), (131072, 2)):
            table = self.table()
            stream_id = self.opened(table)
            expected = list(range(1, 10))
            while expected:
                items, is_last = self.read(table, stream_id, 100, lambda item, size=size: size)
                self.assertEqual(expected[:count], items)
                del expected[:count]
            self.assertTrue(is_last or self.assertRaises(StopIteration, self.read, table, stream_id) is None)

    def test_pushed_back_items_do_not_accumulate(self) -> None:
        """Each item costs the same, however many preceded it."""
        table = self.table()
        stream_id = table.open(iter(range(10 ** 6)), self.me)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for number in range(1000):
            self.assertEqual(([number], False), self.read(table, stream_id, 10, lambda item: 200000))
        self.assertLess(tracemalloc.get_traced_memory()[0], 20000)

    def test_slow_items_come_in_smaller_groups(self) -> None:
        def slow() -> Iterator[int]:
            for number in range(5):
                self.clock.now += 0.03
                yield number
        table = self.table()
        stream_id = table.open(slow(), self.me)
        self.assertEqual([[0, 1, 2], [3, 4]], [self.read(table, stream_id, 100)[0] for _ in range(2)])

    def test_an_exception_comes_after_the_items_before_it(self) -> None:
        def failing() -> Iterator[int]:
            yield 1
            yield 2
            raise ZeroDivisionError("in the generator")
        table = self.table()
        stream_id = table.open(failing(), self.me)
        self.assertEqual(([1, 2], False), self.read(table, stream_id))
        with self.assertRaisesRegex(ZeroDivisionError, "in the generator"):
            self.read(table, stream_id)
        self.check_gone(table, stream_id, 0)

    def test_an_item_that_cannot_be_sent_comes_after_those_before_it(self) -> None:
        def size(item: Any) -> int:
            if item == 3:
                raise TypeError("cannot be sent")
            return 1
        table = self.table()
        stream_id = self.opened(table)
        self.assertEqual(([1, 2], False), self.read(table, stream_id, 4, size))
        with self.assertRaisesRegex(TypeError, "cannot be sent"):
            self.read(table, stream_id, 4, size)
        self.check_gone(table, stream_id)


class Ending(StreamTests):
    def test_closing(self) -> None:
        table = self.table()
        stream_id = self.opened(table)
        table.close(stream_id)
        table.close(stream_id)
        self.check_gone(table, stream_id)

    def test_clearing(self) -> None:
        table = self.table()
        for _ in range(3):
            stream_id = self.opened(table)
        table.clear()
        self.check_gone(table, stream_id, closed=3)

    def test_lifetime(self) -> None:
        table = self.table(lifetime=10)
        stream_id = self.opened(table)
        self.clock.now += 9.9
        table.expire()
        self.assertEqual(1, table.next_item(stream_id, self.me))  # reading does not extend the lifetime
        self.clock.now += 0.1
        table.expire()
        self.check_gone(table, stream_id)

    def test_lifetime_between_two_checks(self) -> None:
        table = self.table(lifetime=10)
        stream_id = self.opened(table)
        self.clock.now += 10
        self.check_gone_when_read(table, stream_id)

    def check_gone_when_read(self, table: StreamTable, stream_id: str) -> None:
        with self.assertRaises(errors.PyroError):
            table.next_item(stream_id, self.me)
        self.check_gone(table, stream_id)

    def test_no_lifetime(self) -> None:
        table = self.table()
        stream_id = self.opened(table)
        self.clock.now += 1e9
        table.expire()
        self.assertEqual(1, table.next_item(stream_id, self.me))

    def test_without_linger_a_stream_is_closed_with_its_client(self) -> None:
        table = self.table()
        stream_id = self.opened(table)
        table.client_disconnected(self.other)
        self.assertEqual(1, table.next_item(stream_id, self.me))
        table.client_disconnected(self.me)
        self.check_gone(table, stream_id)

    def test_linger(self) -> None:
        table = self.table(linger=30)
        stream_id = self.opened(table)
        table.client_disconnected(self.me)
        self.clock.now += 29.9
        table.expire()
        self.assertEqual(1, table.next_item(stream_id, self.other))  # any client that knows the id may continue
        self.clock.now += 1000
        table.expire()
        self.assertEqual(2, table.next_item(stream_id, self.other))
        table.client_disconnected(self.me)  # it does not belong to the first client any more
        table.client_disconnected(self.other)
        self.clock.now += 30
        table.expire()
        self.check_gone(table, stream_id)

    def test_a_call_that_outlives_its_client_keeps_no_stream(self) -> None:
        class Client:
            ended = False
        table = self.table(linger=30)
        stream_id = self.opened(table)
        client = Client()
        self.assertEqual(1, table.next_item(stream_id, client))
        client.ended = True
        table.client_disconnected(client)
        self.assertEqual(2, table.next_item(stream_id, client))  # such as a oneway call
        self.assertEqual(3, table.next_item(stream_id, self.other))  # the stream is still available
        table.client_disconnected(self.other)
        self.assertEqual(4, table.next_item(stream_id, client))
        self.clock.now += 30
        table.expire()
        self.check_gone(table, stream_id)

    def test_linger_between_two_checks(self) -> None:
        table = self.table(linger=30)
        stream_id = self.opened(table)
        table.client_disconnected(self.me)
        self.clock.now += 30
        self.check_gone_when_read(table, stream_id)

    def test_lifetime_counts_while_lingering(self) -> None:
        table = self.table(lifetime=10, linger=30)
        stream_id = self.opened(table)
        table.client_disconnected(self.me)
        self.clock.now += 10
        table.expire()
        self.check_gone(table, stream_id)

    def test_only_expired_streams_are_closed(self) -> None:
        table = self.table(lifetime=10)
        old = self.opened(table)
        self.clock.now += 5
        young = self.opened(table)
        self.clock.now += 5
        table.expire()
        self.assertEqual(1, table.next_item(young, self.me))
        with self.assertRaises(errors.PyroError):
            table.next_item(old, self.me)

    def test_iterators_without_close(self) -> None:
        table = self.table()
        table.close(table.open(iter([1]), self.me))
        self.assertEqual(0, len(table))

    def test_a_generator_that_fails_when_closed_is_logged(self) -> None:
        def stubborn() -> Iterator[int]:
            try:
                yield 1
            finally:
                raise ZeroDivisionError("in its cleanup")
        table = self.table()
        stream_id = table.open(stubborn(), self.me)
        table.next_item(stream_id, self.me)
        with self.assertLogs("Pyro5.server.streams", "WARNING") as logged:
            table.clear()
        self.assertIn("in its cleanup", logged.output[0])


class Limit(StreamTests):
    def numbers(self) -> Iterator[int]:
        return self.closed.numbers()

    def test_of_one_client(self) -> None:
        table = self.table(most=2)
        mine = [table.open(self.numbers(), self.me) for _ in range(2)]
        refused = self.numbers()
        next(refused)
        with self.assertRaisesRegex(errors.PyroError, "allows 2 per client.*MAX_STREAMS"):
            table.open(refused, self.me)
        self.assertEqual((2, 1), (len(table), self.closed.count))
        table.open(self.numbers(), self.other)
        table.close(mine[0])
        table.open(self.numbers(), self.me)
        for _ in range(10):
            table.next_item(mine[1], self.me)
        with self.assertRaises(StopIteration):
            table.next_item(mine[1], self.me)
        table.open(self.numbers(), self.me)

    def test_it_applies_to_streams_of_other_clients(self) -> None:
        table = self.table(most=2)
        theirs = [table.open(self.numbers(), self.other) for _ in range(2)]
        self.opened(table)
        self.assertEqual(0, table.next_item(theirs[0], self.me))
        table.open(self.numbers(), self.other)
        with self.assertRaisesRegex(errors.PyroError, "too many"):
            table.next_item(theirs[1], self.me)
        self.assertEqual(0, table.next_item(theirs[1], self.other))

    def test_disconnected_clients_of_a_host_share_one_limit(self) -> None:
        table = self.table(linger=30, most=3)
        streams = []
        for _ in range(3):
            client = object()
            streams += [table.open(self.numbers(), client) for _ in range(2)]
            table.client_disconnected(client)
        self.assertEqual(3, len(table))
        for stream_id in streams[:3]:
            with self.assertRaisesRegex(errors.PyroError, "terminated"):
                table.next_item(stream_id, self.me)
        for stream_id in streams[3:]:
            self.assertEqual(0, table.next_item(stream_id, self.me))
        self.clock.now += 31
        table.expire()
        self.assertEqual(3, len(table))

    def test_none(self) -> None:
        table = self.table(linger=30)
        for _ in range(50):
            table.open(self.numbers(), self.me)
        table.client_disconnected(self.me)
        self.assertEqual(50, len(table))


class WhileAnItemIsMade(StreamTests):
    """Another thread closes the stream while its generator runs: it does not wait, and the generator is closed at its
    next yield.
    """

    def check(self, end: Callable[[StreamTable, str], None]) -> None:
        running, go_on = threading.Event(), threading.Event()

        def slow() -> Iterator[int]:
            try:
                running.set()
                self.assertTrue(go_on.wait(PATIENCE_SECONDS))
                yield 1
            finally:
                self.closed.count += 1
        table = self.table(linger=0)
        generator = slow()  # a reference to it remains, so it is not garbage-collected
        stream_id = table.open(generator, self.me)
        items: List[int] = []
        reader = threading.Thread(target=lambda: items.append(table.next_item(stream_id, self.me)))
        reader.start()
        self.assertTrue(running.wait(PATIENCE_SECONDS))
        end(table, stream_id)
        self.assertEqual((0, 0), (len(table), self.closed.count))
        go_on.set()
        reader.join(PATIENCE_SECONDS)
        self.assertEqual([1], items)
        self.check_gone(table, stream_id)

    def test_closed(self) -> None:
        self.check(lambda table, stream_id: table.close(stream_id))

    def test_cleared(self) -> None:
        self.check(lambda table, stream_id: table.clear())

    def test_client_disconnected(self) -> None:
        self.check(lambda table, stream_id: table.client_disconnected(self.me))

    def test_closed_by_its_own_generator(self) -> None:
        def suicidal() -> Iterator[int]:
            try:
                table.close(stream_id)
                yield 1
            finally:
                self.closed.count += 1
        table = self.table()
        stream_id = table.open(suicidal(), self.me)
        self.assertEqual(1, table.next_item(stream_id, self.me))
        self.check_gone(table, stream_id)


if __name__ == "__main__":
    unittest.main()
