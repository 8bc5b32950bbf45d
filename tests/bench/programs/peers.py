"""Other libraries for remote calls, measured beside Pyro5: ``python -m programs.peers NAME`` is the server of one of them.

It prints a line of JSON with its port, and serves until it is killed. `multiprocessing.managers` is always there, the others
where they are installed.
"""
from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

from . import workload
from .timing import measured, rate, rate_of_threads, with_processor_time

HOST, KEY = "127.0.0.1", b"bench"
THREADS = 8
CALLS_IN_FLIGHT = 64


class Served:
    """What the clients call."""

    def add(self, first: int, second: int) -> int:
        return first + second

    def echo(self, value: Any) -> Any:
        return value

    def processor_seconds(self) -> float:
        return time.process_time()


METHODS = ("add", "echo", "processor_seconds")


def announce(port: int) -> None:
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


# ---------------------------------------------------------------- multiprocessing.managers

def serve_manager() -> None:
    served, manager = Served(), importlib.import_module("multiprocessing.managers").BaseManager
    manager.register("served", callable=lambda: served, exposed=METHODS)
    server = manager((HOST, 0), authkey=KEY).get_server()
    announce(server.address[1])
    server.serve_forever()


@contextlib.contextmanager
def connect_manager(port: int) -> Iterator[Any]:
    manager = importlib.import_module("multiprocessing.managers").BaseManager
    manager.register("served", exposed=METHODS)
    connected = manager((HOST, port), authkey=KEY)
    connected.connect()
    yield connected.served()


# ---------------------------------------------------------------- pyzmq

def serve_zmq() -> None:
    zmq, msgpack = importlib.import_module("zmq"), importlib.import_module("msgpack")
    router = zmq.Context().socket(zmq.ROUTER)
    announce(router.bind_to_random_port("tcp://" + HOST))
    served = Served()
    while True:
        identity, empty, request = router.recv_multipart()
        method, arguments = msgpack.unpackb(request)
        router.send_multipart([identity, empty, msgpack.packb(getattr(served, method)(*arguments))])


class Calls:
    """Has methods that call a function with their name and their arguments."""

    def __init__(self, call: Callable[[str, Any], Any]) -> None:
        self.add = lambda *arguments: call("add", arguments)
        self.echo = lambda *arguments: call("echo", arguments)
        self.processor_seconds = lambda *arguments: call("processor_seconds", arguments)


@contextlib.contextmanager
def connect_zmq(port: int) -> Iterator[Any]:
    zmq, msgpack = importlib.import_module("zmq"), importlib.import_module("msgpack")

    def call(method: str, arguments: Any) -> Any:
        sender.send(msgpack.packb((method, arguments)))
        return msgpack.unpackb(sender.recv())
    with zmq.Context.instance().socket(zmq.REQ) as sender:
        sender.linger = 0
        sender.connect("tcp://%s:%d" % (HOST, port))
        yield Calls(call)


# ---------------------------------------------------------------- rpyc

def serve_rpyc() -> None:
    rpyc, server = importlib.import_module("rpyc"), importlib.import_module("rpyc.utils.server")

    class Service(rpyc.Service):  # type: ignore[misc, name-defined]
        """Exposes the methods by the prefix of their names."""

        exposed_add, exposed_echo, exposed_processor_seconds = Served.add, Served.echo, Served.processor_seconds
    threaded = server.ThreadedServer(Service(), hostname=HOST, port=0)
    announce(threaded.port)
    threaded.start()


@contextlib.contextmanager
def connect_rpyc(port: int) -> Iterator[Any]:
    connection = importlib.import_module("rpyc").connect(HOST, port)
    try:
        # Each access of an attribute is a call of its own: it is made once.
        methods = {name: getattr(connection.root, name) for name in METHODS}
        yield Calls(lambda method, arguments: methods[method](*arguments))
    finally:
        connection.close()


# ---------------------------------------------------------------- grpcio

def serve_grpc() -> None:
    grpc, msgpack, futures = map(importlib.import_module, ("grpc", "msgpack", "concurrent.futures"))
    served = Served()

    def answer(request: List[Any], context: Any) -> Any:
        return getattr(served, request[0])(*request[1])
    handler = grpc.unary_unary_rpc_method_handler(answer, msgpack.unpackb, msgpack.packb)
    server = grpc.server(futures.ThreadPoolExecutor(THREADS))  # type: ignore[attr-defined]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", {"call": handler}),))
    port = server.add_insecure_port(HOST + ":0")
    server.start()
    announce(port)
    server.wait_for_termination()


@contextlib.contextmanager
def connect_grpc(port: int) -> Iterator[Any]:
    grpc, msgpack = importlib.import_module("grpc"), importlib.import_module("msgpack")
    # a connection of its own, not the one of the process
    with grpc.insecure_channel("%s:%d" % (HOST, port), [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary("/bench/call", msgpack.packb, msgpack.unpackb)
        yield Calls(lambda method, arguments: call((method, arguments)))


# ---------------------------------------------------------------- grpc.aio

def serve_grpc_aio() -> None:
    asyncio.run(_serve_grpc_aio())


async def _serve_grpc_aio() -> None:
    grpc, msgpack = importlib.import_module("grpc"), importlib.import_module("msgpack")
    served = Served()

    async def answer(request: List[Any], context: Any) -> Any:
        return getattr(served, request[0])(*request[1])
    handler = grpc.unary_unary_rpc_method_handler(answer, msgpack.unpackb, msgpack.packb)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", {"call": handler}),))
    port = server.add_insecure_port(HOST + ":0")
    await server.start()
    announce(port)
    await server.wait_for_termination()


async def rate_in_flight(port: int, seconds: float) -> float:
    """Keep CALLS_IN_FLIGHT calls in flight on one connection; return the calls per second."""
    grpc, msgpack = importlib.import_module("grpc"), importlib.import_module("msgpack")

    async def caller(deadline: float) -> int:
        count, clock = 0, time.perf_counter
        while not count or clock() < deadline:
            await call(("add", (20, 22)))
            count += 1
        return count

    async with grpc.aio.insecure_channel("%s:%d" % (HOST, port)) as channel:
        call = channel.unary_unary("/bench/call", msgpack.packb, msgpack.unpackb)
        await call(("add", (20, 22)))
        with measured():
            started = time.perf_counter()
            counts = await asyncio.gather(*[caller(started + seconds) for _ in range(CALLS_IN_FLIGHT)])
            elapsed = time.perf_counter() - started
        return sum(counts) / elapsed


class Peer(NamedTuple):
    """Another library: the functions of both sides, the modules that it needs, and the rows beside which it is measured."""

    serve: Callable[[], None]
    connect: Callable[[int], Any]
    modules: Any
    cases: Sequence[str] = ("add", "blob", "threads", "processes")


PEERS: Dict[str, Peer] = {
    "managers": Peer(serve_manager, connect_manager, ()),
    "pyzmq": Peer(serve_zmq, connect_zmq, ("zmq", "msgpack")),
    "rpyc": Peer(serve_rpyc, connect_rpyc, ("rpyc",)),
    "grpcio": Peer(serve_grpc, connect_grpc, ("grpc", "msgpack")),
    "grpc.aio": Peer(serve_grpc_aio, connect_grpc, ("grpc", "msgpack"), ("in_flight",)),
}
CASES: Dict[str, Callable[[Any], Callable[[], Any]]] = {
    "add": lambda proxy: lambda: proxy.add(20, 22),
    "blob": lambda proxy: lambda: proxy.echo(BLOB),
    "threads": lambda proxy: lambda: proxy.add(20, 22),
    "processes": lambda proxy: lambda: proxy.add(20, 22),
    "in_flight": lambda proxy: lambda: proxy.add(20, 22),
}
BLOB = workload.blob(workload.BLOB_BYTES)


def installed() -> Dict[str, List[str]]:
    """Return the names of the peers that can be measured here, and the rows beside which they are."""
    return {name: list(peer.cases) for name, peer in PEERS.items() if all(map(importlib.util.find_spec, peer.modules))}


def measure(name: str, case: str, port: int, seconds: float) -> Dict[str, float]:
    """Measure a peer; return the calls per second, and their processor time on both sides."""
    peer = PEERS[name]

    @contextlib.contextmanager
    def connected() -> Iterator[Callable[[], Any]]:
        with peer.connect(port) as proxy:
            yield CASES[case](proxy)

    with peer.connect(port) as proxy:
        action = CASES[case](proxy)
        if case != "blob" and action() != workload.SUM:
            raise ValueError("the server answered something else")

        def calls_per_second() -> float:
            if case == "in_flight":
                return asyncio.run(rate_in_flight(port, seconds))
            return rate_of_threads(THREADS, connected, seconds) if case == "threads" else rate(action, seconds)
        return with_processor_time(calls_per_second, lambda: float(proxy.processor_seconds()))


if __name__ == "__main__":
    PEERS[sys.argv[1]].serve()
