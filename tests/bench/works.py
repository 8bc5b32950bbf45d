"""The rows of the benchmark: what is measured, what stands beside it, and what it is to reach.

What is to be reached is a share of the framed floor of the same run: so it holds on any machine. Where it is so many times
what Pyro5 5.17 reached, that was measured together with the floor, on two cores with CPython 3.11 over loopback TCP; for
marshal, of which there are no such figures, those of msgpack stand in.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Tuple

from .programs.workload import ANNOTATION_BYTES, BLOB_BYTES, LARGE_BLOB_BYTES, TEXT_CHARACTERS

SERIALIZERS = ("serpent", "json", "marshal", "msgpack")
SERVERS = ("thread", "multiplex")
# Calls per second of the framed floor, beside which the figures of Pyro5 5.17 below were measured.
FLOOR_THEN = 13500
ECHO_BYTES = 80
BARE_SOCKET = "bare socket"
# The cases that are measured beside others, in words.
COMPANIONS = {"one_thread": "one thread", "threads": "8 proxies", "library_alone": "the serpent library alone",
              "samples_as_dicts": "the same data as dicts"}


@dataclass(frozen=True)
class Work:
    """A row.

    Attributes:
        name: of the case, see `programs.cases`.
        unit: of what is counted per second.
        serializers: those that can do it.
        bulk_bytes: what a bare socket moves beside it, to and fro; 0 if none does.
        visits: whether bare sockets that connect, send and receive twice, and close, are measured beside it.
        companion: the case that is measured beside it, with the same server and serializer; where it has shares to be
            reached, only with the serializers that have.
        share: serializer -> the share of the framed floor to be reached.
        beside_share: serializer -> the share to be reached of what stands beside it.
        target_servers: the server types that are to reach it.
        clients: processes that do it at the same time.
    """

    name: str
    title: str
    unit: str = "calls"
    serializers: Tuple[str, ...] = SERIALIZERS
    bulk_bytes: int = 0
    visits: bool = False
    companion: str = ""
    share: Dict[str, float] = field(default_factory=dict)
    beside_share: Dict[str, float] = field(default_factory=dict)
    target_servers: Tuple[str, ...] = SERVERS
    clients: int = 1

    @property
    def beside(self) -> str:
        """What stands beside it, in words."""
        return BARE_SOCKET if self.bulk_bytes or self.visits else COMPANIONS.get(self.companion, "")


def times(factor: float, **calls_then: float) -> Dict[str, float]:
    """Return the shares of the floor which are so many times what Pyro5 5.17 reached."""
    if "msgpack" in calls_then:
        calls_then.setdefault("marshal", calls_then["msgpack"])
    return {name: factor * calls / FLOOR_THEN for name, calls in calls_then.items()}


def for_all(share: float) -> Dict[str, float]:
    return dict.fromkeys(SERIALIZERS, share)


BINARY = ("serpent", "marshal", "msgpack")
ALL_WORKS = (
    Work("nothing", "call without arguments"),
    Work("add", "add(20, 22)", share={"serpent": 0.75, "json": 0.75, "marshal": 0.85, "msgpack": 0.85}),
    Work("record", "echo of a record of 12 fields", share=times(3, serpent=3100)),
    # what the library alone needs for it bounds what any Pyro5 that has it read and write can do on this machine
    Work("records", "echo of 200 such records", companion="library_alone", share=times(10, serpent=37),
         beside_share={"serpent": 10.0}),
    Work("samples", "echo of 1000 instances of a registered dataclass", companion="samples_as_dicts",
         beside_share=for_all(0.5)),
    Work("text", "echo of 100 KB of text", bulk_bytes=TEXT_CHARACTERS),
    Work("blob", "echo of 100 KB of bytes", serializers=BINARY, bulk_bytes=BLOB_BYTES,
         share={**times(3, serpent=430), **times(4, msgpack=5800)}),
    Work("large", "echo of 10 MB of bytes", serializers=BINARY, bulk_bytes=LARGE_BLOB_BYTES,
         share={**times(3, serpent=4), **times(4, msgpack=24)}, beside_share={"marshal": 0.5, "msgpack": 0.5}),
    # arrays need numpy in the environment of the benchmark; without it these rows have an error
    Work("array_tcp", "echo of a float64 array of 10 MB, over TCP", serializers=("serpent",), bulk_bytes=LARGE_BLOB_BYTES,
         beside_share={"serpent": 0.8}),
    Work("array_shared", "echo of a float64 array of 10 MB, shared memory", serializers=("serpent",),
         bulk_bytes=LARGE_BLOB_BYTES, beside_share={"serpent": 2.0}),
    Work("array_sent", "float64 array of 10 MB one way, shared memory", serializers=("serpent",), bulk_bytes=LARGE_BLOB_BYTES,
         beside_share={"serpent": 4.0}),
    Work("batch", "batches of 200 adds", share=times(2, serpent=56000, json=245000, msgpack=400000)),
    Work("oneway_sent", "oneway calls, sending", share=for_all(100000 / FLOOR_THEN)),
    Work("oneway", "oneway calls, until all are done"),
    Work("stream", "stream, item by item", "items", share=times(1.5, serpent=5700, json=7500, msgpack=8400)),
    Work("stream_in_groups", "stream, several items at once", "items",
         share=times(10, serpent=5700, json=7500, msgpack=8400)),
    Work("visit", "connect, call, release", visits=True, share=times(3, serpent=1600, json=2100, msgpack=2200)),
    Work("threads", "8 threads at once, together", companion="one_thread", target_servers=("thread",),
         share=times(3, serpent=5500, json=7100, msgpack=8500), beside_share=for_all(1.0)),
    Work("shared", "8 threads at once, one proxy", companion="threads", target_servers=("thread",),
         beside_share=for_all(0.95)),
    Work("processes", "4 client processes at once, together", clients=4),
    Work("in_flight", "64 calls in flight on one connection (asyncio)",
         share={"serpent": 45000 / FLOOR_THEN, "msgpack": 60000 / FLOOR_THEN}),
    Work("in_flight_uvloop", "the same with uvloop in the client"),
    Work("annotations", "1 MB of annotations each way", bulk_bytes=ANNOTATION_BYTES),
)
