"""Measures the limits of rows, the least programs of `programs.bare`, and other libraries, in the same rounds."""
from __future__ import annotations

import contextlib
from typing import Any, Collection, Dict, Iterable, List, Mapping, Sequence, Tuple

from .processes import BenchmarkError, Program, Side
from .works import Work

Sample = Dict[str, float]


class Clients:
    """The clients of one side, which are started when a row needs them."""

    def __init__(self, side: Side, at_end: contextlib.ExitStack) -> None:
        self._side = side
        self._at_end = at_end
        self._programs: List[Program] = []

    def first(self) -> Program:
        return self.some(1)[0]

    def some(self, number: int) -> Sequence[Program]:
        while len(self._programs) < number:
            self._programs.append(self._at_end.enter_context(self._side.start_client()))
        return self._programs[:number]

    def measure(self, number: int, do: str, **arguments: Any) -> Sample:
        """Measure with several clients at the same time; return their result, or an answer with an ``error``."""
        programs = self.some(number)
        for program in programs:
            program.order(do, **arguments)
        answers = [program.read(arguments["seconds"]) for program in programs]
        failed = [answer for answer in answers if "error" in answer]
        return failed[0] if failed else together(answers)


def together(answers: Sequence[Sample]) -> Sample:
    """Return what clients measured together: each has seen the processor time that the server used for all of them."""
    rate = sum(one["rate"] for one in answers)
    return {"rate": rate, "client_us": sum(one["client_us"] * one["rate"] for one in answers) / rate,
            "server_us": sum(one["server_us"] * one["rate"] for one in answers) / len(answers) / rate}


class Limits:
    """The server of the least programs."""

    def __init__(self, clients: Clients, server: Program, known: Iterable[str]) -> None:
        self._clients = clients
        self._port = server.read()["port"]
        self._known = frozenset(known)
        self.samples: Dict[Tuple[str, str], List[Sample]] = {}

    def measure(self, work: Work, serializer: str, seconds: float) -> None:
        """Measure the least program of a row, if there is one."""
        if work.name not in self._known:
            return
        sample = self._clients.measure(work.clients, "least", case_name=work.name, port=self._port, serializer=serializer,
                                       seconds=seconds)
        if "error" in sample:
            raise BenchmarkError("cannot measure the limit of %s, %s: %s" % (work.title, serializer, sample["error"]))
        self.samples.setdefault((work.name, serializer), []).append(sample)


class Peers:
    """Other libraries that are installed, each with a server."""

    def __init__(self, clients: Clients, servers: Dict[str, Program], cases: Mapping[str, Collection[str]]) -> None:
        self._clients = clients
        self._ports = {name: server.read()["port"] for name, server in servers.items()}
        self._cases = cases
        self.results: Dict[Tuple[str, str], Dict[str, Any]] = {}

    def measure(self, work: Work, seconds: float) -> None:
        """Measure all of them, if the row is one beside which they are measured. What fails is not tried again."""
        for name, port in [(name, port) for name, port in self._ports.items() if work.name in self._cases[name]]:
            result = self.results.setdefault((work.name, name), {
                "work": work.name, "peer": name, "samples": [], "error": ""})
            if result["error"]:
                continue
            sample: Dict[str, Any] = self._clients.measure(work.clients, "peer", name=name, case=work.name, port=port,
                                                           seconds=seconds)
            result["error"] = sample.get("error", "")
            if not result["error"]:
                result["samples"].append(sample)
