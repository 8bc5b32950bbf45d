"""Items of asynchronous streams: the thread server starts repeated requests in its loop."""
from __future__ import annotations

import asyncio
import threading
import unittest
from typing import Any, AsyncIterator, Dict, List
from unittest import mock

from Pyro5 import aio, config, errors, protocol
from Pyro5._objects.exposure import expose
from Pyro5._calls.item_requests import MAX_BYTES, is_repeated, item_request
from Pyro5.client import Proxy
from Pyro5.constants import DAEMON_NAME, NEXT_ITEM_METHOD
from Pyro5.protocol import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE, MSG_PING, ReceivingMessage, SendingMessage
from Pyro5.server import Daemon
from tests.support import PATIENCE_SECONDS, daemon_thread


def received(data: bytes = b"call", kind: int = MSG_INVOKE, flags: int = 0, serializer: int = 1,
             annotations: Any = None) -> ReceivingMessage:
    sent = SendingMessage(kind, flags, 7, serializer, data, annotations=annotations)
    return ReceivingMessage(sent.data[:protocol.HEADER_SIZE], sent.data[protocol.HEADER_SIZE:])


class Messages(unittest.TestCase):
    def test_a_request_is_recognized_by_its_bytes(self) -> None:
        known: Any = item_request(received())
        self.assertTrue(is_repeated(received(), known))
        self.assertTrue(is_repeated(received(annotations={"TEST": b"a"}), item_request(received(annotations={"TEST": b"b"}))))
        for other in (received(b"cell"), received(b"call "), received(flags=FLAGS_ONEWAY), received(flags=FLAGS_BATCH),
                      received(serializer=2), received(kind=MSG_PING)):
            self.assertFalse(is_repeated(other, known))

    def test_requests_that_are_not_kept(self) -> None:
        for other in (received(b"a" * (MAX_BYTES + 1)), received(flags=FLAGS_ONEWAY), received(flags=FLAGS_BATCH),
                      received(kind=MSG_PING)):
            self.assertIsNone(item_request(other))


@expose
class Source:
    async def numbers(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def fails(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("no more")

    def add(self, x: int, y: int) -> int:
        return x + y


class Threads(Daemon):
    """Records which kind of thread handles each request for an item."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0)
        self.in_worker: List[bool] = []

    def handleRequest(self, conn: Any) -> None:
        # The message that is about to be handled.
        if NEXT_ITEM_METHOD.encode() in bytes(conn.pending.data):
            self.in_worker.append(threading.current_thread().name.startswith("Pyro-worker"))
        super().handleRequest(conn)


class Streams(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.reset)
        config.SERVERTYPE = "thread"
        config.COMMTIMEOUT = PATIENCE_SECONDS
        config.ITER_STREAM_BATCH = 1
        self.daemon = Threads()
        self.uri = self.daemon.register(Source())
        running = daemon_thread(self.daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def test_only_the_first_request_takes_a_worker(self) -> None:
        with Proxy(self.uri) as source:
            self.assertEqual(list(range(20)), list(source.numbers(20)))
            self.assertEqual([True] + [False] * 20, self.daemon.in_worker)
            # Those for another stream of the same connection are other requests.
            self.assertEqual([0, 1, 2], list(source.numbers(3)))
            self.assertEqual([True, False, False, False], self.daemon.in_worker[21:])
            stream = source.numbers(3)
            self.assertEqual([0, 5, 1, 7, 2], [next(stream), source.add(2, 3), next(stream), source.add(3, 4), next(stream)])

    def test_the_end_and_errors(self) -> None:
        with Proxy(self.uri) as source:
            stream = source.fails()
            self.assertEqual(1, next(stream))
            with self.assertRaisesRegex(ValueError, "no more"):
                next(stream)
            # The same request again, for a stream that does not exist any more.
            with self.assertRaisesRegex(errors.PyroError, "terminated"):
                source._pyroInvoke(NEXT_ITEM_METHOD, [stream._stream_id], {}, objectId=DAEMON_NAME)
            self.assertEqual([True, False, False], self.daemon.in_worker)
            self.assertEqual(3, source.add(1, 2))

    def test_clients_of_asyncio(self) -> None:
        async def read() -> None:
            async with aio.Proxy(self.uri) as source:
                found = [await collected(source.numbers(10)), await collected(source.numbers(5))]
                self.assertEqual([list(range(10)), list(range(5))], found)
                several = [source.numbers(4) for _ in range(5)]
                self.assertEqual([[0, 1, 2, 3]] * 5, await asyncio.gather(*map(collected, several)))

        async def collected(stream: Any) -> List[int]:
            return [item async for item in stream]

        asyncio.run(asyncio.wait_for(read(), PATIENCE_SECONDS))

    def test_a_request_with_the_same_text_is_decoded_as_usual(self) -> None:
        # Another serializer would read these bytes differently.
        seen: Dict[str, Any] = {}
        with Proxy(self.uri) as source, mock.patch.object(Source, "add", expose(lambda self, x, y: seen.update(x=x, y=y))):
            stream = source.numbers(3)
            next(stream), next(stream)
            source.add(stream._stream_id, NEXT_ITEM_METHOD)
            self.assertEqual({"x": stream._stream_id, "y": NEXT_ITEM_METHOD}, seen)
            self.assertEqual([True, False, True], self.daemon.in_worker)


if __name__ == "__main__":
    unittest.main()
