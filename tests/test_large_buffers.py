"""Large buffers travel beside the payload between peers that both support it, and arrive as what they would be in it."""
from __future__ import annotations

import array
import asyncio
import gc
import importlib.util
import mmap
import socket
import sys
import tracemalloc
import unittest
from typing import Any, Dict, Iterator, List, Optional
from unittest import mock

from Pyro5 import aio, api, config, errors, protocol, serializers
from Pyro5._messages import out_of_band, requests
from Pyro5._messages.out_of_band import BufferOptions
from Pyro5._messages.requests import WireOptions
from Pyro5._values import large_buffers, numpy_arrays
from Pyro5._wire import chunks
from Pyro5._wire.reader import MessageReader
from Pyro5.protocol import ReceivingMessage, SendingMessage

from .peers import Peer, ScriptedServer, settings
from .rawclient import RawClient, connect_request
from .support import daemon_thread

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
HAS_MSGPACK = importlib.util.find_spec("msgpack") is not None
LARGE = bytes(range(256)) * 80  # 20 KB
MARSHAL = serializers.get_serializer("marshal")
SIZES = [chunks.MIN_CHUNK_BYTES, chunks.MIN_CHUNK_BYTES + 1, 70000, 300000]


@api.expose
class Store:
    def __init__(self) -> None:
        self.values = array.array("d", range(5000))

    def echo(self, value: Any) -> Any:
        return value

    def kind(self, value: Any) -> str:
        return type(value).__name__

    def numbers(self, first: Optional[float] = None) -> Any:
        if first is not None:
            self.values[0] = first
        return self.values

    def large(self, size: int) -> bytes:
        return bytes(size)

    def frames(self, count: int, size: int = 40000) -> Iterator[Any]:
        frame = bytearray(size)  # the same buffer for each item
        for number in range(count):
            frame[:] = bytes([number]) * len(frame)
            yield frame

    def named(self, *, value: Any) -> Any:
        return {"value": value, "more": [value, (value,)]}

    @api.oneway
    def forget(self, value: Any) -> None:
        self.values = array.array("d", [len(value)])


class Recorder:
    """Notes the buffers beside the payload, and the payload sizes, of the messages that this process builds.

    Plain calls build no message, and have no such buffers.
    """

    def __init__(self) -> None:
        self.chunks: List[List[str]] = []
        self.payload_sizes: List[int] = []
        recorder, original = self, SendingMessage.__init__

        def init(self: Any, msgtype: int, flags: int, seq: int, serializer_id: int, payload: Any, annotations: Any = None,
                 **options: Any) -> None:
            original(self, msgtype, flags, seq, serializer_id, payload, annotations, **options)
            names = [name for name in annotations or () if name[0] == "B"]
            recorder.chunks.extend([names] if names else [])
            recorder.payload_sizes.append(sum(map(len, payload)) if isinstance(payload, list) else len(payload))
        self.patch = mock.patch.object(SendingMessage, "__init__", init)

    def taken(self) -> List[List[str]]:
        """Return the names of the buffers of each message that has some, since the last call of this."""
        taken, self.chunks = self.chunks, []
        return taken

    def __enter__(self) -> Recorder:
        self.patch.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.patch.stop()


class BuffersCase(unittest.TestCase):
    def use(self, **changes: Any) -> None:
        context = settings(**{"SERIALIZER": "marshal", "SHARED_MEMORY": False, **changes})
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def serve(self) -> str:
        daemon = api.Daemon(port=0)
        self.addCleanup(daemon.close)
        context = daemon_thread(daemon)
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return str(daemon.register(Store(), "obj"))


class Calls(BuffersCase):
    def test_arguments_and_results_arrive_as_with_small_buffers(self) -> None:
        for server_type in ("thread", "multiplex"):
            self.use(SERVERTYPE=server_type)
            with api.Proxy(self.serve()) as store:
                for size in SIZES:
                    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
                    for value in (data, bytearray(data), memoryview(data)):
                        with self.subTest(server_type, size=size, kind=type(value)):
                            self.assertEqual(store.echo(value), data)
                            self.assertIs(type(store.echo(value)), bytes)
                    self.assertEqual(store.named(value=data), {"value": data, "more": [data, (data,)]})

    def test_buffers_are_not_in_the_payload(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store, Recorder() as recorder:
            store._pyroBind()
            store.echo([1, {"a": LARGE, "b": bytearray(LARGE)}])
            self.assertEqual(recorder.taken(), [["B000", "B001"]] * 2)
            self.assertLess(max(recorder.payload_sizes), 2000)
            store.echo(bytearray(LARGE[:chunks.MIN_CHUNK_BYTES]))
            self.assertEqual(recorder.taken(), [])

    def test_single_bytes_are_in_the_payload_of_serializers_that_do_not_copy_them(self) -> None:
        self.use()
        uri = self.serve()
        largest = bytes(chunks.MIN_SHARED_BYTES - 1)
        for name in ("marshal", "msgpack") if HAS_MSGPACK else ("marshal",):
            with self.subTest(name), api.Proxy(uri, serializer=name) as store, Recorder() as recorder:
                self.assertEqual(store.echo(largest), largest)
                self.assertEqual(recorder.taken(), [])
                for value in (largest + b"x", bytearray(largest), [largest]):
                    self.assertEqual(store.echo(value), value)
                self.assertEqual(recorder.taken(), [["B000"]] * 5)  # the result of the second is a bytes object
                with settings(COMPRESSION=True):
                    self.assertEqual(store.echo(largest), largest)
                self.assertEqual(recorder.taken(), [["B000"], ["B000"]])

    def test_an_array_of_the_standard_library_arrives_as_a_list_with_every_serializer(self) -> None:
        self.use()
        uri = self.serve()
        for name in ("serpent", "json", "marshal", "msgpack") if HAS_MSGPACK else ("serpent", "json", "marshal"):
            with self.subTest(name), api.Proxy(uri, serializer=name) as store, Recorder() as recorder:
                values = array.array("i", range(10000))
                self.assertEqual(store.echo(values), values.tolist())
                self.assertEqual(len(recorder.taken()), 1)
                self.assertEqual(store.numbers(), list(map(float, range(5000))))

    def test_memory_maps_arrive_as_bytes(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store:
            for size in (100, 100000):
                with mmap.mmap(-1, size) as mapped:
                    mapped[:3] = b"abc"
                    self.assertEqual(store.echo(mapped), mapped[:])
                    self.assertEqual(store.echo([mapped]), [mapped[:]])

    def test_batches_keep_each_result_as_it_was(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store:
            batch = api.BatchProxy(store)
            batch.echo(LARGE)
            batch.numbers(1.0)
            batch.numbers(2.0)
            batch.echo(5)
            first, one, two, five = list(batch())
            self.assertEqual((first, one[0], two[0], five), (LARGE, 1.0, 2.0, 5))

    def test_items_of_a_stream_that_reuses_its_buffer(self) -> None:
        self.use(ITER_STREAM_BATCH=1)
        with api.Proxy(self.serve()) as store:
            for size in (40000, 1000):
                config.ITER_STREAM_BATCH = 1
                self.assertEqual([set(frame) for frame in store.frames(4, size)], [{0}, {1}, {2}, {3}])
                config.ITER_STREAM_BATCH = 3
                self.assertEqual([set(frame) for frame in store.frames(4, size)], [{0}, {1}, {2}, {3}])

    def test_oneway_calls(self) -> None:
        self.use(ONEWAY_THREADED=False)
        with api.Proxy(self.serve()) as store:
            store.forget(LARGE)
            self.assertEqual(store.numbers(), [len(LARGE)])

    def test_compression_leaves_buffers_alone(self) -> None:
        self.use(COMPRESSION=True)
        with api.Proxy(self.serve()) as store, Recorder() as recorder:
            self.assertEqual(store.echo([bytes(100000), "x" * 1000]), [bytes(100000), "x" * 1000])
            self.assertEqual(recorder.taken()[-2:], [["B000"], ["B000"]])

    def test_asyncio_proxies(self) -> None:
        self.use()
        uri = self.serve()

        async def main() -> None:
            async with aio.Proxy(uri) as store:
                results = await asyncio.gather(*[store.echo([number, LARGE]) for number in range(20)])
                self.assertEqual(results, [[number, LARGE] for number in range(20)])
                self.assertEqual([set(frame) async for frame in store.frames(3)], [{0}, {1}, {2}])
                value = bytearray(300000)
                call = asyncio.ensure_future(store.echo(value))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                value[:] = b"x" * len(value)  # it was sent already
                self.assertEqual(set(await call), {0})
        asyncio.run(main())

    def test_more_buffers_than_a_message_may_have(self) -> None:
        self.use()
        values = [b"%06d" % number + bytes(chunks.MIN_CHUNK_BYTES) for number in range(chunks.MAX_CHUNKS + 5)]
        with api.Proxy(self.serve()) as store, Recorder() as recorder:
            self.assertEqual(store.echo(values), values)
            self.assertEqual(len(recorder.taken()[-1]), chunks.MAX_CHUNKS)

    def test_raw_replies_have_everything_in_their_payload(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store:
            store._pyroRawWireResponse = True
            self.assertEqual(MARSHAL.loads(store.echo([LARGE]).data), [LARGE])

    def test_a_call_that_a_converter_makes_has_its_own_buffers(self) -> None:
        self.use(SERIALIZER="json")
        with api.Proxy(self.serve()) as store, settings(OUT_OF_BAND_BUFFERS=False), api.Proxy(self.serve()) as other:
            other._pyroBind()

            class Thing:
                def __getstate__(self) -> Dict[str, Any]:
                    return {"inner": other.echo(array.array("d", [1.5] * 5000))}
            config.OUT_OF_BAND_BUFFERS = True
            self.assertEqual(store.echo([Thing(), array.array("d", [2.5] * 5000)]), [
                {"inner": [1.5] * 5000}, [2.5] * 5000])

    def test_limits_count_buffers(self) -> None:
        self.use(MAX_MESSAGE_SIZE=50000)
        with api.Proxy(self.serve()) as store:
            with self.assertRaises(errors.ProtocolError):
                store.echo(bytes(60000))
            self.assertEqual(store.echo(3), 3)


class Memory(BuffersCase):
    def test_buffers_in_reference_cycles_can_be_collected(self) -> None:
        reader = MessageReader()
        reader.has_chunks = True
        data = SendingMessage(protocol.MSG_INVOKE, 0, 1, 2, b"", {"B000": bytes(200000)}, correlation_id=None).data
        ignored: List[Any] = []
        with mock.patch.object(sys, "unraisablehook", ignored.append):
            for _ in range(3):
                reader.feed(data[:1000])
                self.assertIsNone(reader.next_message())
                position = 1000
                while position < len(data):
                    target = reader.get_buffer()
                    count = min(len(target), len(data) - position)
                    target[:count] = data[position:position + count]
                    del target
                    reader.received(count)
                    position += count
                    message = reader.next_message()
                assert message is not None and message.chunks is not None
                self.assertFalse(message.chunks[0].readonly)
                cycle: List[Any] = [message, message.chunks[0][5:], reader._body]
                cycle.append(cycle)
                del cycle, message
                gc.collect()
        self.assertEqual(ignored, [])


class Peers(BuffersCase):
    """Nothing changes toward a peer that has not announced the feature."""

    def test_each_side_can_switch_it_off(self) -> None:
        self.use()
        uri = self.serve()
        with settings(OUT_OF_BAND_BUFFERS=False), api.Proxy(uri) as store:
            store._pyroBind()
            config.OUT_OF_BAND_BUFFERS = True
            with Recorder() as recorder:
                self.assertEqual(store.echo(LARGE), LARGE)
                self.assertEqual(recorder.taken(), [])
        with api.Proxy(uri) as store:
            config.OUT_OF_BAND_BUFFERS = False
            store._pyroBind()
            config.OUT_OF_BAND_BUFFERS = True
            with Recorder() as recorder:
                self.assertEqual(store.echo(LARGE), LARGE)
                self.assertEqual(recorder.taken(), [])

    def test_a_server_that_does_not_announce_it_gets_everything_in_the_payload(self) -> None:
        self.use()
        for answer in ({}, {"FEAT": b""}, {"FEAT": b"dl cx"}):
            def script(peer: Peer, answer: Any = answer) -> None:
                metadata = {"methods": ["echo"], "oneway": [], "attrs": []}
                peer.send(protocol.MSG_CONNECTOK, peer.read(), {"handshake": "hello", "meta": metadata}, annotations=answer)
                request = peer.read_call()
                peer.answer(request, request.args[0])
                peer.wait_for_close()
            with self.subTest(answer), ScriptedServer(script) as server, api.Proxy(server.uri) as store:
                self.assertEqual(store.echo([LARGE, array.array("d", [1.0] * 5000)]),
                                 [LARGE, array.array("d", [1.0] * 5000).tobytes()])

    def test_a_client_that_does_not_announce_it_gets_everything_in_the_payload(self) -> None:
        self.use()
        uri = api.URI(self.serve())
        request = connect_request()
        message = ReceivingMessage(request[:40], request[40:])
        plain = SendingMessage(message.type, 0, 0, message.serializer_id, bytes(message.data), {}, correlation_id=None)
        with _raw(uri) as client:
            client.send(plain.data)
            self.assertEqual(dict(client.read().annotations), {})
            client.send(requests.invoke_request(MARSHAL, 1, 0, "obj", "echo", [LARGE], {}, WireOptions()).data)
            reply = client.read()
            self.assertEqual((dict(reply.annotations), reply.chunks), ({}, None))
            self.assertEqual(MARSHAL.loads(reply.data), LARGE)

    def test_bytes_over_serpent_and_json_arrive_as_before(self) -> None:
        self.use(SERIALIZER="serpent")
        with api.Proxy(self.serve()) as store:
            store._pyroBind()
            store._pyroConnection.buffers.literal_bytes = False
            small, large = store.kind(b"x"), store.kind(LARGE)
            self.assertEqual(small, large)
        with api.Proxy(self.serve(), serializer="json") as store, self.assertRaises(errors.SerializeError):
            store.echo(LARGE)


def _raw(uri: Any) -> RawClient:
    return RawClient(socket.create_connection((uri.host, uri.port)))


class Lies(BuffersCase):
    """Wrong numbers and sizes of buffers are refused, and the connection can still be used."""

    def reference(self, number: Any, **more: Any) -> Dict[str, Any]:
        return {"__class__": "Pyro5.buffer", "data": number, **more}

    def exchange(self, client: RawClient, value: Any, annotations: Dict[str, bytes]) -> Any:
        payload = MARSHAL.dumps(("obj", "echo", [value], {}))
        client.send(SendingMessage(protocol.MSG_INVOKE, 0, 1, 2, payload, annotations, correlation_id=None).data)
        return client.reply()

    def cases(self) -> List[Any]:
        one = {"B000": LARGE}
        return [
            (self.reference(0), {}), (self.reference(1), one), (self.reference(-1), one), (self.reference("0"), one),
            (self.reference(True), one), (self.reference(1 << 70), one), (self.reference(None), one),
            (self.reference([0]), one),
            ([self.reference(0), self.reference(0)], one), (1, one), (self.reference(0), {**one, "B001": LARGE}),
            (self.reference(0), {"B001": LARGE}), (self.reference(0, typecode="x"), one),
            (self.reference(0, typecode="d", itemsize=4, byteorder="little"), one),
            (self.reference(0, typecode="d", itemsize=8, byteorder="up"), one), (self.reference(0, typecode=8), one),
            (self.reference(0, typecode="d", itemsize=8, byteorder="big"), {"B000": LARGE[:-1]}),
        ]

    def test_a_server_refuses_them(self) -> None:
        self.use()
        uri = api.URI(self.serve())
        with _raw(uri) as client:
            client.greet()
            for value, annotations in self.cases():
                with self.subTest(value=value, annotations=list(annotations)), self.assertRaises(ValueError):
                    self.exchange(client, value, annotations)
                self.assertEqual(self.exchange(client, 7, {}), 7)
            self.assertEqual(self.exchange(client, self.reference(0), {"B000": b""}), b"")
            swapped = self.reference(0, typecode="h", itemsize=2, byteorder="big")
            self.assertEqual(self.exchange(client, swapped, {"B000": b"\1\0\0\1"}), [256, 1])

    def test_a_client_refuses_them(self) -> None:
        self.use()
        cases = self.cases()

        def script(peer: Peer) -> None:
            metadata = {"methods": ["echo"], "oneway": [], "attrs": []}
            peer.send(protocol.MSG_CONNECTOK, peer.read(), {"handshake": "hello", "meta": metadata},
                      annotations={"FEAT": b"dl cx buf"})
            for value, annotations in cases:
                peer.answer(peer.read_call(), value, annotations=annotations)
                request = peer.read_call()
                peer.answer(request, request.args[0])
            peer.wait_for_close()
        with ScriptedServer(script) as server, api.Proxy(server.uri) as store:
            for value, annotations in cases:
                with self.subTest(value=value, annotations=list(annotations)), self.assertRaises(ValueError):
                    store.echo(1)
                self.assertEqual(store.echo(5), 5)

    def test_blobs_and_exceptions_have_no_buffers(self) -> None:
        payload = MARSHAL.dumps(("obj", "echo", [self.reference(0)], {}))
        blob = {"BLBI": MARSHAL.dumps(("info", "obj", "echo")), "B000": LARGE}
        flags = protocol.FLAGS_KEEPSERIALIZED
        sent = SendingMessage(protocol.MSG_INVOKE, flags, 1, 2, payload, blob, correlation_id=None).data
        message = ReceivingMessage(sent[:40], sent[40:])
        message.chunks = chunks.split_chunks(message.annotations)
        with self.assertRaises(errors.ProtocolError):
            requests.parse_invoke_request(message, MARSHAL)


class Tables(unittest.TestCase):
    def test_chunks_are_in_an_order_in_which_they_are_aligned(self) -> None:
        sizes = [3, 8, 4, 2, 16, 20]
        named = chunks.as_chunks({number: memoryview(bytes(size)) for number, size in enumerate(sizes)})
        position = 0
        for name, view in named.items():
            position += 8
            size = len(view)
            self.assertEqual(position % min(8, size & -size), 0, name)
            position += size
        self.assertEqual(sorted(named), ["B000", "B001", "B002", "B003", "B004", "B005"])

    def test_other_annotations_stay(self) -> None:
        annotations = {name: memoryview(b"x") for name in ("B000", "BLBI", "B12x", "B999", "ABCD")}
        found = chunks.split_chunks(annotations)
        self.assertEqual((sorted(found or ()), sorted(annotations)), ([0, 999], ["ABCD", "B12x", "BLBI"]))
        self.assertIsNone(chunks.split_chunks(annotations))

    def test_serializers_of_programs_get_everything(self) -> None:
        class Own(serializers.MarshalSerializer):
            def dumps(self, data: Any) -> bytes:
                return super().dumps(data)
        self.assertFalse(Own.refers_to_buffers)
        self.assertEqual(out_of_band.value_payload(BufferOptions(), Own(), [LARGE], {}), (MARSHAL.dumps([LARGE]), {}))

    def test_a_few_numbers_and_texts_contain_no_buffers(self) -> None:
        plain: Any = [None, True, 1, 2.5, "text", b"", [b"x" * chunks.MIN_CHUNK_BYTES, "a", {}],
                      {"a": (b"x", 1)}, [], {"a": 1, "b": [1, (2, {"c": "x"})]}, [[]] * 64]
        for value in plain:
            self.assertTrue(large_buffers.contain_none((value,)), value)
            if type(value) in (list, dict):
                self.assertTrue(large_buffers.has_no_buffers(value), value)
        for value in (LARGE, [b"x", LARGE],
                      [bytearray()], {"a": [memoryview(b"")]}, {1, 2}, [1] * 65, [[1] * 33] * 2, [object()], [[[[[1]]]]],
                      type("Number", (int,), {})(1)):
            self.assertFalse(large_buffers.contain_none((value,)), value)
            self.assertFalse(large_buffers.has_no_buffers([[value]]), value)
        self.assertTrue(large_buffers.contain_none({"a": 1}.values()) and large_buffers.contain_none(()))
        for long, expected in (([1.5] * 256, True), ([1.5] * 257, False), ([1.5] * 100 + [LARGE], False),
                               ([1.5] * 100 + [[1]], False), (dict.fromkeys(range(200), "text"), True)):
            self.assertIs(expected, large_buffers.has_no_buffers(long))

    def test_long_containers_of_numbers_are_not_looked_at(self) -> None:
        rows: Any
        for rows in ([1] * 1000000, [[1.5] * 1000] * 1000, dict.fromkeys(range(100000), "text"), [[[0]] * 1000] * 1000):
            value = {"about": {"size": 1}, "rows": rows}
            tracemalloc.start()
            try:
                with large_buffers.Outgoing(True) as outgoing:
                    self.assertIs(value, large_buffers.with_references(value, outgoing))
                self.assertLess(tracemalloc.get_traced_memory()[1], 100000)
            finally:
                tracemalloc.stop()

    def test_long_containers_are_searched_if_the_first_element_has_a_buffer(self) -> None:
        for value, count in (([LARGE] * 20, 20), ([{"a": LARGE}] * 20, 20), ([1, LARGE] * 20, 0), ((1, [2, [3, [LARGE]]]), 1),
                             ({"a": {"b": LARGE}}, 1)):
            outgoing = large_buffers.Outgoing(True)
            self.assertEqual(large_buffers.with_references(value, outgoing) is value, count == 0)
            self.assertEqual(len(outgoing.buffers), count)

    def test_calls_of_a_batch_are_searched_as_each_of_them(self) -> None:
        small: List[Any] = [("add", (1, 2.5), {}), ("put", ("a", [1, (None, {"b": "c"})]), {"d": {}})] * 10
        deep = ("put", [[[[[LARGE]]]]], {})
        for more in ([], [("put", (LARGE,), {})], [("put", (), {"a": bytearray(LARGE)})], [("put", ([{"a": LARGE}],), {})],
                     [deep], [("put", (list(range(5000)),), {}), ("put", (LARGE,), {})]):
            for calls in ([*small, *more], (*more, *small)):
                outgoing, expected = large_buffers.Outgoing(True), large_buffers.Outgoing(True)
                each = type(calls)([large_buffers.with_references(call, expected) for call in calls])
                self.assertEqual(each, large_buffers.all_with_references(calls, outgoing))
                self.assertEqual(expected.buffers, outgoing.buffers)
                self.assertEqual(len(outgoing.buffers), len(more) > 0 and more[0] is not deep)
                self.assertEqual(large_buffers.calls_contain_no_bytes(calls), not more or more[0] is deep)
        short = b"x" * chunks.MIN_CHUNK_BYTES
        for args, kwargs in (((short,), {}), ((short, 1), {"a": [short, {"b": short}]}), ((object(), {1, 2}), {})):
            self.assertTrue(large_buffers.calls_contain_no_bytes([("put", args, kwargs)] * 1000))
        # not the calls of a BatchProxy
        for other in ([1], ["add"], [("add",)], [("add", 1, {})], [("add", (), 1)], [{}]):
            self.assertFalse(large_buffers.calls_contain_no_bytes(other), other)

    def test_converters_are_called_once_for_each_argument_of_a_batch(self) -> None:
        class Thing:
            error: Optional[Exception] = None

        def convert(thing: Thing) -> Any:
            converted.append(thing)
            if thing.error is not None:
                raise thing.error
            return {"a": 1}
        api.register_class_to_dict(Thing, convert)
        self.addCleanup(api.unregister_class_to_dict, Thing)
        failing = Thing()
        for name in ("serpent", "marshal", *(["msgpack"] if HAS_MSGPACK else [])):
            serializer = serializers.get_serializer(name).for_dialect(3)
            for other in (LARGE, bytearray(LARGE), memoryview(LARGE)[::3], [LARGE], b"few", "x" * 20000):
                converted: List[Thing] = []
                things = [Thing() for _ in range(3)]
                calls = [("put", (things[0], other), {}), ("put", (), {"a": [things[1]]}), ("put", (things[2],), {})]
                with self.subTest(name, other=type(other)):
                    out_of_band.call_payload(BufferOptions(True), serializer, "obj", "<batch>", calls, None, {})
                    self.assertEqual(things, converted)
            for failing.error in (ValueError("no"), BufferError("no")):
                converted = []
                with self.subTest(name, error=failing.error), self.assertRaises(type(failing.error)):
                    out_of_band.call_payload(
                        BufferOptions(True), serializer, "obj", "<batch>", [("put", (failing,), {})], None, {})
                self.assertEqual([failing], converted)

    def test_buffers_in_the_calls_of_a_batch(self) -> None:
        small: List[Any] = [("add", (1, 2.5), {}), ("put", ("a", [1, (None, {"b": "c"})]), {"d": {}})] * 10
        view, values = memoryview(LARGE)[:600:3], array.array("d", range(5000))
        serializer = serializers.get_serializer("serpent").for_dialect(3)
        for value, sizes in ((b"few", []), (view, []), ("x" * 20000, []), (LARGE, [20480]), ([values], [40000]),
                             ([values, LARGE], [20480, 40000]), ([values, "x" * 20000], [40000])):
            for calls in ([*small, ("put", (value,), {})], [("put", (value,), {}), *small]):
                with self.subTest(value=type(value), sizes=sizes):
                    payload, annotations = out_of_band.call_payload(
                        BufferOptions(True), serializer, "obj", "<batch>", calls, None, {})
                    self.assertEqual(sorted(map(len, annotations.values())), sizes)
                    with large_buffers.Incoming({int(name[1:]): memoryview(data) for name, data in annotations.items()}):
                        loaded = serializer.loadsCall(b"".join([payload]))
                    plain = serializer.loadsCall(serializer.dumpsCall("obj", "<batch>", calls, None))
                    self.assertEqual(loaded, plain)
        # marshal does not accept this view
        payload, _annotations = out_of_band.call_payload(
            BufferOptions(), MARSHAL, "obj", "<batch>", [("put", (view,), {}), *small], None, {})
        self.assertEqual(MARSHAL.loadsCall(b"".join([payload]))[2], [("put", (bytes(view),), {}), *small])


@unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
class NumpyArrays(BuffersCase):
    def setUp(self) -> None:
        import numpy
        self.numpy: Any = numpy
        self.addCleanup(numpy_arrays.unregister)
        api.register_types("numpy")

    def arrays(self) -> List[Any]:
        numpy = self.numpy
        return [numpy.arange(20000.0), numpy.asfortranarray(numpy.arange(40000).reshape(200, 200)), numpy.arange(90000)[::3],
                numpy.arange(20000, dtype=">u2"), numpy.ones(40001, "?"), numpy.zeros(3000, [("a", "<i2"), ("b", "<f8")]),
                numpy.arange(9000).view("M8[s]"), numpy.array(["abc"] * 3000), numpy.ones(3000, "G"),
                numpy.arange(40000).reshape(2, 100, 200)[:, ::2]]

    def test_arrays_arrive_equal_and_writable_with_every_serializer(self) -> None:
        self.use()
        uri = self.serve()
        for name in ("serpent", "json", "marshal", "msgpack") if HAS_MSGPACK else ("serpent", "json", "marshal"):
            with self.subTest(name), api.Proxy(uri, serializer=name) as store, Recorder() as recorder:
                store._pyroBind()
                arrays = self.arrays()
                for sent, received in zip(arrays, store.echo(arrays)):
                    self.assertEqual((received.dtype, received.shape), (sent.dtype, sent.shape))
                    self.assertEqual(received.tobytes(), sent.tobytes())
                    self.assertTrue(received.flags.writeable and received.flags.aligned)
                self.assertEqual([len(names) for names in recorder.taken()[-2:]], [10, 10])

    def test_object_dtypes_and_lies_about_the_size_are_refused(self) -> None:
        self.use()
        uri = api.URI(self.serve())
        with _raw(uri) as client:
            client.greet()
            for change in ({"dtype": "|O8"}, {"dtype": {"fields": [["a", "|O8", 0]], "itemsize": 8}}, {"shape": [1 << 40]},
                           {"shape": [len(LARGE) // 8 - 1]}, {"data": 1}, {"data": -1}, {"dtype": "<f8,O"}):
                form = {"__class__": "numpy.ndarray", "dtype": "<f8", "shape": [len(LARGE) // 8], "data": 0, **change}
                with self.subTest(change), self.assertRaises(ValueError):
                    payload = MARSHAL.dumps(("obj", "echo", [form], {}))
                    message = SendingMessage(protocol.MSG_INVOKE, 0, 1, 2, payload, {"B000": LARGE}, correlation_id=None)
                    client.send(message.data)
                    client.reply()
