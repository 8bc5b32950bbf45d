"""Large buffers go through shared memory between a client and a server on the same host, and over the socket otherwise."""
from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import mmap
import os
import signal
import socket
import subprocess
import sys
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import aio, api, config, errors, protocol
from Pyro5._net import shared_memory
from Pyro5._net.shared_memory import SharedMemory
from Pyro5.protocol import SendingMessage

from .support import PROJECT
from .test_large_buffers import MARSHAL, BuffersCase, _raw

HAS_NUMPY = importlib.util.find_spec("numpy") is not None
LARGE = bytes(range(256)) * 2000  # 512 KB
IS_SUPPORTED = bool(shared_memory._host_id())

SERVER = """
import sys
from Pyro5 import api
@api.expose
class Echo:
    def echo(self, value):
        return value
daemon = api.Daemon(port=0)
print(daemon.register(Echo(), "obj"), flush=True)
daemon.requestLoop()
"""


class Uses:
    """Counts the messages of this process that refer to shared memory, and those that have chunks."""

    def __init__(self) -> None:
        self.shared = self.chunks = 0
        uses, original = self, SendingMessage.__init__

        def init(message: Any, msgtype: int, flags: int, seq: int, serializer_id: int, payload: Any, annotations: Any = None,
                 **options: Any) -> None:
            original(message, msgtype, flags, seq, serializer_id, payload, annotations, **options)
            uses.shared += "SHMB" in (annotations or ())
            uses.chunks += any(name[0] == "B" for name in annotations or ())
        self._patch = mock.patch.object(SendingMessage, "__init__", init)

    def __enter__(self) -> Uses:
        self._patch.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._patch.stop()

    @property
    def counts(self) -> Any:
        result = self.shared, self.chunks
        self.shared = self.chunks = 0
        return result


@contextlib.contextmanager
def server_process() -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": PROJECT, "PYRO_SERIALIZER": "marshal"}
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def descriptors() -> List[str]:
    """Return the open segments of this process."""
    links = []
    gc.collect()  # exceptions of earlier tests
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink("/proc/self/fd/" + number))
    return [link for link in links if link == shared_memory._LINK]


@unittest.skipUnless(IS_SUPPORTED, "this system has no memory without a name that processes can share (memfd_create)")
class SharedCase(BuffersCase):
    def use(self, **changes: Any) -> None:
        super().use(**{"SHARED_MEMORY": True, **changes})


class Calls(SharedCase):
    def test_requests_and_results_use_it_from_the_second_on(self) -> None:
        for server_type in ("thread", "multiplex"):
            self.use(SERVERTYPE=server_type)
            with self.subTest(server_type), api.Proxy(self.serve()) as store, Uses() as uses:
                self.assertEqual(store.echo(LARGE), LARGE)
                self.assertIn(uses.counts, [(0, 2), (1, 1)])  # the server may use it at once
                for number in range(3):
                    value = [bytes([number]) * 300000, bytearray(LARGE), bytes([number]) * 20000]
                    self.assertEqual(store.echo(value), value)
                    self.assertEqual(uses.counts, (2, 2))  # the buffer of 20 KB goes over the socket

    def test_a_client_that_only_receives_large_values(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store, Uses() as uses:
            for _ in range(3):
                self.assertEqual(len(store.large(500000)), 500000)
            self.assertEqual(uses.counts, (2, 1))

    def test_streams_and_batches(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store, Uses() as uses:
            store.echo(LARGE)
            uses.counts  # noqa: B018
            self.assertEqual([set(frame) for frame in store.frames(4, 400000)], [{0}, {1}, {2}, {3}])
            self.assertEqual(uses.counts, (4, 0))
            batch = api.BatchProxy(store)
            batch.echo(LARGE)
            batch.echo(LARGE[1:])
            self.assertEqual(list(batch()), [LARGE, LARGE[1:]])

    def test_asyncio(self) -> None:
        self.use()
        uri = self.serve()

        async def main() -> None:
            async with aio.Proxy(uri) as store:
                await store.echo(LARGE)
                with Uses() as uses:
                    await store.echo(LARGE)
                    self.assertEqual(uses.counts, (2, 0))
                    results = await asyncio.gather(*[store.echo([number, LARGE]) for number in range(8)])
                    self.assertEqual(results, [[number, LARGE] for number in range(8)])
        asyncio.run(main())

    def test_between_processes_and_nothing_is_left_when_one_is_killed(self) -> None:
        self.use()
        before = set(os.listdir("/dev/shm"))
        with server_process() as (process, uri), api.Proxy(uri) as echo, Uses() as uses:
            for _ in range(3):
                self.assertEqual(echo.echo(LARGE), LARGE)
            self.assertEqual(uses.shared, 2)
            self.assertTrue(descriptors())
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            with self.assertRaises(errors.CommunicationError):
                echo.echo(LARGE)
        self.assertEqual(set(os.listdir("/dev/shm")), before)
        self.assertEqual(descriptors(), [])

    def test_closed_connections_free_their_segments(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store:
            store.echo(LARGE)
            store.echo(LARGE)
            self.assertTrue(descriptors())
        with api.Proxy(str(store._pyroUri)) as other:  # the server has noticed the end of the first one when this answers
            for _ in range(100):
                if not descriptors():
                    break
                other.echo(1)
        self.assertEqual(descriptors(), [])

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_a_forked_child_has_a_connection_of_its_own(self) -> None:
        self.use()
        with server_process() as (_process, uri), api.Proxy(uri) as echo:
            echo.echo(LARGE)
            echo.echo(LARGE)
            pid = os.fork()
            if pid == 0:
                status = 1
                with contextlib.suppress(BaseException):
                    status = 0 if echo.echo(LARGE[5:]) == LARGE[5:] == echo.echo(LARGE[5:]) else 2
                os._exit(status)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual(echo.echo(LARGE[3:]), LARGE[3:])

    @unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
    def test_numpy_arrays_can_be_written_to(self) -> None:
        import numpy

        from Pyro5._values import numpy_arrays
        self.use()
        self.addCleanup(numpy_arrays.unregister)
        api.register_types("numpy")
        with api.Proxy(self.serve()) as store, Uses() as uses:
            for _ in range(3):
                received = store.echo(numpy.arange(100000.0))
                received += 1
                self.assertEqual(received[-1], 100000)
            self.assertGreaterEqual(uses.shared, 4)
            kept = [store.echo(numpy.full(100000, number)) for number in range(40)]
            self.assertEqual([(array.min(), array.max()) for array in kept], [(number, number) for number in range(40)])


class Fallbacks(SharedCase):
    """Where memory cannot be shared, buffers go over the socket."""

    def check_not_shared(self) -> None:
        with api.Proxy(self.serve()) as store, Uses() as uses:
            for _ in range(3):
                self.assertEqual(store.echo(LARGE), LARGE)
            self.assertEqual(uses.counts, (0, 6))

    def test_switched_off(self) -> None:
        self.use(SHARED_MEMORY=False)
        self.check_not_shared()
        self.use(SHARED_MEMORY=True)
        uri = self.serve()
        with api.Proxy(uri) as store, Uses() as uses:
            config.SHARED_MEMORY = False
            store._pyroBind()
            config.SHARED_MEMORY = True
            for _ in range(3):
                self.assertEqual(store.echo(LARGE), LARGE)
            self.assertEqual(uses.counts, (0, 6))

    def test_other_hosts_and_containers(self) -> None:
        self.use()
        ids = iter(["host-1", "host-2"] * 10)
        with mock.patch.object(shared_memory, "_host_id", lambda: next(ids)):
            self.check_not_shared()

    def test_systems_without_such_memory(self) -> None:
        self.use()
        for name in ("memfd_create", "posix_fallocate"):
            with self.subTest(name), mock.patch.object(os, name, side_effect=OSError(28, "No space left on device")):
                self.check_not_shared()

    def test_a_server_that_cannot_open_the_segment(self) -> None:
        self.use()
        for name in ("readlink", "open"):
            original = getattr(os, name)

            def refuse(path: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
                if str(path).startswith("/proc/%d/fd" % os.getpid()):
                    raise PermissionError(13, "Permission denied")
                return original(path, *args, **kwargs)
            with self.subTest(name), mock.patch.object(os, name, refuse):
                self.check_not_shared()

    def test_no_memory_for_a_larger_message(self) -> None:
        self.use()
        with api.Proxy(self.serve()) as store, Uses() as uses:
            store.echo(LARGE)
            store.echo(LARGE)
            self.assertGreater(uses.counts[0], 0)
            with mock.patch.object(os, "posix_fallocate", side_effect=OSError(28, "No space left on device")):
                value = bytes(3000000)
                self.assertEqual(store.echo(value), value)
                self.assertEqual(uses.counts, (0, 2))

    def test_messages_that_do_not_fit(self) -> None:
        self.use()
        with mock.patch.object(shared_memory, "AREA_BYTES", 1 << 20), \
                mock.patch.object(shared_memory, "_SIZE", 4096 + (2 << 20)), \
                api.Proxy(self.serve()) as store, Uses() as uses:
            for _ in range(2):
                value = [LARGE, LARGE, LARGE, bytes(2 << 20)]
                self.assertEqual(store.echo(value), value)
            self.assertEqual((uses.chunks, uses.shared), (4, 3))

    def test_an_area_in_use(self) -> None:
        with mock.patch.object(shared_memory, "AREA_BYTES", 3 << 20), \
                mock.patch.object(shared_memory, "_SIZE", 4096 + (6 << 20)):
            sender, receiver = connected(self)
        views = [memoryview(LARGE)]
        waiting = []
        for _ in range(3):  # as many messages as the area has blocks
            rest, annotations = sender.place(views)
            self.assertEqual((list(rest), list(annotations)), ([], ["SHMB"]))
            waiting.append(annotations)
        self.assertEqual((list(sender.place(views)[0])), [0])  # the receiver has not read them yet
        self.assertEqual(bytes(read(receiver, waiting[1])[0]), LARGE)
        self.assertEqual((list(sender.place([memoryview(bytes(2 << 20))])[0])), [0])
        self.assertEqual(list(sender.place(views)[0]), [])


def connected(case: unittest.TestCase) -> Any:
    """Return the shared memory of a client and of its server."""
    sender, receiver = SharedMemory(True), SharedMemory(False)
    case.addCleanup(sender.close)
    case.addCleanup(receiver.close)
    rest, annotations = sender.place([memoryview(LARGE)])
    case.assertEqual((list(rest), list(annotations)), ([0], ["SHMO"]))
    case.assertIsNone(receiver.received({"SHMO": memoryview(annotations["SHMO"])}, None, 0))
    return sender, receiver


def read(receiver: SharedMemory, annotations: Any) -> Any:
    return receiver.received({"SHMB": memoryview(annotations["SHMB"])}, None, 0)


@unittest.skipUnless(HAS_NUMPY, "numpy is not installed")
class InPlace(SharedCase):
    """Received arrays use the shared memory itself, as long as the program does not keep too many."""

    def setUp(self) -> None:
        import numpy
        self.numpy = numpy

    def arrays(self, receiver: SharedMemory, annotations: Any) -> List[Any]:
        return [self.numpy.frombuffer(view, "u1") for _number, view in sorted(read(receiver, annotations).items())]

    def test_blocks_are_free_when_the_last_array_is_gone(self) -> None:
        sender, receiver = connected(self)
        source = self.numpy.zeros(1 << 20, "u1")
        first, second = self.arrays(receiver, sender.place([memoryview(source), memoryview(LARGE)])[1])
        for _ in range(70):  # more messages than blocks; they do not change what is in use
            source += 1
            [third] = self.arrays(receiver, sender.place([memoryview(source)])[1])
            self.assertEqual((third[0], third[-1]), (source[0], source[0]))
            del third
        self.assertFalse(first.any())
        part = second[256:260]
        del first, second
        self.assertEqual(len(sender._output._taken), 2)
        self.assertEqual(part.tolist(), [0, 1, 2, 3])
        del part
        source += 1
        self.assertEqual(sender._output.write([(0, memoryview(source))], 0)[0].offset, 0)  # the first block is free again

    def test_no_more_than_half_of_the_area_is_kept(self) -> None:
        sender, receiver = connected(self)
        kept = []
        for number in range(100):
            rest, annotations = sender.place([memoryview(bytes([number]) * 300000)])
            self.assertFalse(rest)
            kept += [bytes(1), *read(receiver, annotations).values()][1:]
        self.assertEqual([(view[0], view[-1]) for view in kept], [(number, number) for number in range(100)])
        self.assertEqual(sum([not view.readonly for view in kept]), 32)

    def test_arrays_outlive_the_connection(self) -> None:
        sender, receiver = connected(self)
        [array] = self.arrays(receiver, sender.place([memoryview(LARGE)])[1])
        receiver.close()
        sender.place([memoryview(bytes(500000))])
        self.assertEqual(array.tobytes(), LARGE)
        array[0] = 7  # only this process sees it from now on
        self.assertEqual(sender._map[4096], 0)
        sender.close()
        del sender, receiver
        self.doCleanups()  # they refer to both
        self.assertEqual(array[:3].tolist(), [7, 1, 2])
        del array
        self.assertEqual(descriptors(), [])

    def test_memory_that_a_program_uses_is_not_used_for_another_message(self) -> None:
        sender, receiver = connected(self)
        annotations = sender.place([memoryview(LARGE)])[1]
        arrays = self.arrays(receiver, annotations)
        self.assertEqual(read(receiver, annotations), {})
        del arrays
        self.assertEqual(len(read(receiver, annotations)), 1)

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_after_a_fork_each_process_has_arrays_of_its_own(self) -> None:
        sender, receiver = connected(self)
        [array] = self.arrays(receiver, sender.place([memoryview(LARGE)])[1])
        array[1] = 100
        inner, outer = os.pipe()
        back, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                array[2] = 200
                os.write(answer, b"x")
                os.read(inner, 1)  # until the parent has changed, and freed, its array
                os.write(answer, array[:4].tobytes())
            os._exit(0)
        self.assertEqual(os.read(back, 1), b"x")
        self.assertEqual(array[:4].tolist(), [0, 100, 2, 3])
        array[3] = 50
        del array
        for _ in range(3):
            self.arrays(receiver, sender.place([memoryview(bytes(500000))])[1])
        os.write(outer, b"x")
        self.assertEqual(os.read(back, 4), bytes([0, 100, 200, 3]))
        os.waitpid(pid, 0)
        for descriptor in (inner, outer, back, answer):
            os.close(descriptor)


class Attacks(SharedCase):
    """Offers of memory that is not the client's own, and wrong places, have no effect; the connection can still be used."""

    def setUp(self) -> None:
        self.segment = SharedMemory(True)
        self.addCleanup(self.segment.close)
        self.offer = bytes(self.segment.place([memoryview(LARGE)])[1]["SHMO"])
        self.pid, self.number, self.secret = shared_memory._OFFER.unpack(self.offer)

    def test_offers(self) -> None:
        with open(__file__, "rb") as file, socket.socket() as sock:
            other = os.memfd_create("pyro5", os.MFD_ALLOW_SEALING)
            self.addCleanup(os.close, other)
            unsealed = os.memfd_create("pyro5")
            self.addCleanup(os.close, unsealed)
            os.ftruncate(unsealed, shared_memory._SIZE)
            os.pwrite(unsealed, shared_memory._MAGIC + self.secret, 0)
            pack = shared_memory._OFFER.pack
            for offer in (pack(self.pid, file.fileno(), self.secret), pack(self.pid, sock.fileno(), self.secret),
                          pack(self.pid, other, self.secret), pack(self.pid, unsealed, self.secret), pack(1, 0, self.secret),
                          pack(self.pid, 99999, self.secret), pack(self.pid, self.number, bytes(16)), b"", b"x" * 24,
                          self.offer + b"x"):
                receiver = SharedMemory(False)
                receiver.received({"SHMO": memoryview(offer)}, None, 0)
                self.assertIsNone(receiver._map, offer)
                self.assertEqual(receiver._descriptor, -1)
        self.assertEqual(self.segment._map[shared_memory._ACCEPTED_AT], 0)

    def test_places(self) -> None:
        receiver = SharedMemory(False)
        self.addCleanup(receiver.close)
        place, size = shared_memory._PLACE.pack, shared_memory.AREA_BYTES
        self.assertEqual(receiver.received({"SHMB": memoryview(place(0, 0, 10))}, None, 0), {})
        receiver.received({"SHMO": memoryview(self.offer)}, None, 0)
        self.assertIsNotNone(receiver._map)
        for packed in (place(0, size, 1), place(0, 1 << 63, 1 << 63), place(0, 0, size + 1), b"x",
                       place(0, (1 << 64) - 1, 2), place(0, 0, size) * 2, place(0, 0, 10) + place(1, 9, 10)):
            self.assertEqual(receiver.received({"SHMB": memoryview(packed)}, None, 0), {}, packed[:20])
        self.assertEqual(receiver.received({"SHMB": memoryview(place(0, 0, 100))}, None, 99), {})
        found = receiver.received({"SHMB": memoryview(place(7, 5, 100))}, None, 0)
        self.assertEqual({number: len(view) for number, view in (found or {}).items()}, {7: 100})

    def test_a_segment_cannot_shrink(self) -> None:
        for size in (0, shared_memory._SIZE + 1):
            with self.assertRaises(PermissionError):
                os.ftruncate(self.number, size)

    def test_a_server_stays_usable(self) -> None:
        self.use()
        uri = api.URI(self.serve())
        with _raw(uri) as client:
            client.greet()
            form = {"__class__": "Pyro5.buffer", "data": 0}
            payload = MARSHAL.dumps(("obj", "echo", [form], {}))
            for annotations in ({"SHMB": b""}, {"SHMB": shared_memory._PLACE.pack(0, 0, 100)}, {"SHMO": self.offer},
                                {"SHMO": b"x", "SHMB": b"y"}):
                client.send(SendingMessage(protocol.MSG_INVOKE, 0, 1, 2, payload, annotations, correlation_id=None).data)
                with self.assertRaises(ValueError):
                    client.reply()
            plain = MARSHAL.dumps(("obj", "echo", [7], {}))
            client.send(SendingMessage(protocol.MSG_INVOKE, 0, 2, 2, plain, {}, correlation_id=None).data)
            self.assertEqual(client.reply(), 7)


class Hosts(SharedCase):
    def test_only_sockets_within_this_host(self) -> None:
        self.use()
        left, right = socket.socketpair()
        with left, right:
            self.assertEqual(shared_memory.host_of(left), shared_memory._host_id())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as client:
                self.assertEqual(shared_memory.host_of(client), shared_memory._host_id())
            self.assertEqual(shared_memory.host_of(listener), "")
        elsewhere = mock.Mock()
        elsewhere.getsockname.return_value, elsewhere.getpeername.return_value = ("10.0.0.1", 5), ("10.0.0.2", 6)
        self.assertEqual(shared_memory.host_of(elsewhere), "")
        self.assertEqual(shared_memory.host_of(None), "")

    def test_systems_without_it_have_no_id(self) -> None:
        wrapped = shared_memory._host_id.__wrapped__
        self.assertEqual(wrapped(), shared_memory._host_id())
        with mock.patch.object(os, "readlink", return_value="1"):
            self.assertEqual(wrapped(), "")
        with mock.patch.object(os, "stat", side_effect=OSError):
            self.assertEqual(wrapped(), "")
        with mock.patch("builtins.open", side_effect=OSError):
            self.assertEqual(wrapped(), "")

    def test_memory_is_not_mapped_for_other_calls(self) -> None:
        self.use()
        before = descriptors()
        with api.Proxy(self.serve()) as store, mock.patch.object(mmap, "mmap", side_effect=AssertionError):
            self.assertEqual(store.echo(bytes(200000)), bytes(200000))
            self.assertEqual(descriptors(), before)
