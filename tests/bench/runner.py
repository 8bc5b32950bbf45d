"""Measures all works by turns, round after round, so that whatever slows the machine down for a while hits all alike."""
from __future__ import annotations

import contextlib
import datetime
import importlib.util
import os
import platform
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .footprint import idle_connections, start_up
from .limits import Clients, Limits, Peers
from .processes import BenchmarkError, Placement, Program, Side
from .progress import Progress
from .works import ALL_WORKS, ECHO_BYTES, Work


@dataclass
class Plan:
    """What to measure."""

    works: Sequence[Work]
    serializers: Sequence[str]
    servers: Sequence[str]
    rounds: int
    seconds: float
    placement: str = "apart"
    against: Optional[str] = None
    connections: int = 0
    with_start_up: bool = False

    def usable_serializers(self) -> List[str]:
        return [name for name in self.serializers if name != "msgpack" or importlib.util.find_spec("msgpack")]

    def kinds(self, work: Work) -> Iterator[Tuple[str, str]]:
        """Return the server types and serializers with which a work is measured."""
        for server in self.servers:
            for serializer in self.usable_serializers():
                if serializer in work.serializers:
                    yield server, serializer


class Key(NamedTuple):
    """What is measured again in each round."""

    work: str
    server: str
    serializer: str
    side: str


class Stand:
    """The programs of one side while they run."""

    def __init__(self, side: Side, servers: Sequence[str], at_end: contextlib.ExitStack) -> None:
        self.side = side
        self.clients = Clients(side, at_end)
        self.client = self.clients.first()
        programs: Dict[str, Program] = {
            server: at_end.enter_context(side.start_server("programs.server", server)) for server in servers}
        self.about = self.client.ask("about")
        self.uris = {server: program.read()["uri"] for server, program in programs.items()}


class Rounds:
    """Measures, and keeps what was measured: a list for each key, as long as there were rounds."""

    def __init__(self, plan: Plan, stands: Sequence[Stand], floors: Program, limits: Limits, peers: Peers,
                 progress: Progress) -> None:
        self._plan = plan
        self._stands = stands
        self._floor_port = floors.read()["port"]
        self._limits, self._peers = limits, peers
        self._progress = progress
        self.samples: Dict[Key, List[Dict[str, float]]] = {}
        self.besides: Dict[Key, List[float]] = {}
        self.floors: Dict[Key, List[float]] = {}
        self.errors: Dict[Key, str] = {}
        self.bare: List[float] = []
        self.framed: List[float] = []

    def run(self) -> None:
        for number in range(self._plan.rounds if self._plan.works else 0):
            self.bare.append(self._floor("echo", ECHO_BYTES))
            for work in self._plan.works:
                self._run_work(work, number)

    def _run_work(self, work: Work, number: int) -> None:
        """Measure a work with everything, right after its floors."""
        framed = self._floor("framed", 0)
        self.framed.append(framed)
        bare = None
        if work.bulk_bytes or work.visits:
            bare = self._floor("visit" if work.visits else "bulk", work.bulk_bytes)
        serializers = dict.fromkeys(serializer for _, serializer in self._plan.kinds(work))
        if serializers:
            self._peers.measure(work, self._plan.seconds)
        for serializer in serializers:
            self._limits.measure(work, serializer, self._plan.seconds)
        # neither side is always the first one
        stands = self._stands if number % 2 == 0 else self._stands[::-1]
        for server, serializer in self._plan.kinds(work):
            for stand in stands:
                key = Key(work.name, server, serializer, stand.side.name)
                self._progress.step("round %d of %d: %s, %s, %s" % (
                    number + 1, self._plan.rounds, work.title, server, serializer))
                self._measure(key, stand, work, framed, bare)

    def _measure(self, key: Key, stand: Stand, work: Work, framed: float, bare: Optional[float]) -> None:
        if key in self.errors:
            return
        beside = bare
        if work.companion and key.serializer in work.beside_share:
            beside = self._case(key, stand, work.companion, 1).get("rate", 0.0)
        sample = self._case(key, stand, work.name, work.clients)
        if key in self.errors:
            return
        self.samples.setdefault(key, []).append(sample)
        self.floors.setdefault(key, []).append(framed)
        if beside is not None:
            self.besides.setdefault(key, []).append(beside)

    def _case(self, key: Key, stand: Stand, case: str, clients: int) -> Dict[str, float]:
        """Measure a case; when it fails, it is not tried again."""
        answer: Dict[str, Any] = stand.clients.measure(clients, "measure", case=case, uri=stand.uris[key.server],
                                                       serializer=key.serializer, seconds=self._plan.seconds)
        if "error" in answer:
            self.errors[key] = answer["error"]
        return answer

    def _floor(self, kind: str, size: int) -> float:
        answer = self._stands[0].client.ask("floor", kind=kind, port=self._floor_port, size=size, seconds=self._plan.seconds)
        if "error" in answer:
            raise BenchmarkError("cannot measure the floor: %s" % answer["error"])
        return float(answer["rate"])

    def measurements(self) -> List[Dict[str, Any]]:
        """Return everything that was measured, in the order of the plan."""
        found = []
        for work in self._plan.works:
            for server, serializer in self._plan.kinds(work):
                for stand in self._stands:
                    key = Key(work.name, server, serializer, stand.side.name)
                    samples, limits = self.samples.get(key, []), self._limits.samples.get((work.name, serializer), [])
                    found.append({**key._asdict(), "rates": column(samples, "rate"), "floors": self.floors.get(key, []),
                                  "besides": self.besides.get(key, []), "error": self.errors.get(key, ""),
                                  "client_us": column(samples, "client_us"), "server_us": column(samples, "server_us"),
                                  "limits": column(limits, "rate"), "limit_client_us": column(limits, "client_us"),
                                  "limit_server_us": column(limits, "server_us")})
        return found


def column(samples: Sequence[Dict[str, float]], name: str) -> List[float]:
    return [sample[name] for sample in samples]


def machine() -> Dict[str, Any]:
    """Return what kind of machine this is."""
    return {"cores": os.cpu_count(), "system": platform.system(), "processor": platform.machine()}


def measure(plan: Plan, progress: Progress) -> Dict[str, Any]:
    """Run the benchmark; gives what goes into the JSON file, see `figures`."""
    placement = Placement(plan.placement)
    sides = [Side("this", placement)] + ([Side("other", placement, plan.against)] if plan.against else [])
    result: Dict[str, Any] = {
        "format": 1, "date": datetime.date.today().isoformat(), "machine": machine(), "rounds": plan.rounds,
        "seconds": plan.seconds, "placement": placement.name}
    with contextlib.ExitStack() as at_end:
        at_end.callback(progress.clear)
        stands = [Stand(side, plan.servers, at_end) for side in sides]
        known = set(stands[0].about["cases"])
        plan.works = [work for work in plan.works if work.name in known]
        progress.expect(sum(1 for work in plan.works for _ in plan.kinds(work)) * plan.rounds * len(sides))
        result["sides"] = {stand.side.name: {"python": stand.about["python"], "pyro": stand.about["pyro"]}
                           for stand in stands}
        first = stands[0]
        floors, least = (at_end.enter_context(sides[0].start_server(name)) for name in ("programs.floors", "programs.bare"))
        measured = {work.name for work in plan.works if any(plan.kinds(work))}
        beside = {name: measured & set(cases) for name, cases in first.about["peers"].items()}
        servers = {name: at_end.enter_context(sides[0].start_server("programs.peers", name))
                   for name, cases in beside.items() if cases}
        peers = Peers(first.clients, servers, beside)
        rounds = Rounds(plan, stands, floors, Limits(first.clients, least, first.about["least"]), peers, progress)
        rounds.run()
        result.update(bare=rounds.bare, framed=rounds.framed, measurements=rounds.measurements(),
                      peers=list(peers.results.values()))
    result["idle"] = idle_connections(sides, plan.servers, plan.usable_serializers()[0], plan.connections,
                                      plan.rounds, plan.seconds, progress) if plan.connections else []
    result["start_up"] = start_up(sides, plan.rounds, progress) if plan.with_start_up else []
    return result


def matching(pattern: str) -> List[Work]:
    """Return the works whose name or title has the pattern in it."""
    return [work for work in ALL_WORKS if pattern.lower() in work.name or pattern.lower() in work.title.lower()]
