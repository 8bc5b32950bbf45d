"""Run the faults for longer than the tests do: ``python -m tests.faults``; exit code 1 if something was lost or mistaken."""
from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

from .._naming.storage import etcd_server
from ..support import PROJECT, clean_environment
from . import cable, descriptors, disk, etcd_kills, kills, leases, relay

SERVERTYPES = ("thread", "multiplex")
# What a round of each does, and how much of it; the tests do less.
KILLS, RELAY_STEPS, CABLE_STEPS, LOOKUPS = 100, 250, 40, 200
IDLE_SECONDS = 2.0
LEASED_SERVERS, LEASE_SECONDS = 5, 2.0
ETCD_SECONDS = 120.0
RETRIES = 5
BUSY_SHARE, BACK_SECONDS = 0.1, 2.0

# What was done, the figures, and what is wrong.
Outcome = Tuple[str, str, List[str]]


def kill(seed: int) -> Iterator[Outcome]:
    if kills.why_impossible():
        yield "not run", kills.why_impossible(), []
        return
    for servertype in SERVERTYPES:
        summary = kills.run(servertype, KILLS, seed)
        yield "%s, %d kills" % (servertype, KILLS), summary.line(), summary.problems


def relays(seed: int) -> Iterator[Outcome]:
    for servertype in SERVERTYPES:
        for retries in (0, RETRIES):
            summary = relay.run(servertype, RELAY_STEPS, seed, retries)
            yield "%s, MAX_RETRIES %d" % (servertype, retries), summary.line(), summary.problems


def packets(seed: int) -> Iterator[Outcome]:
    for servertype in SERVERTYPES:
        try:
            summary, count = cable.run(servertype, CABLE_STEPS, seed)
        except cable.Impossible as x:
            yield "not run", str(x), []
            return
        yield "%s, %s" % (servertype, count), summary.line(), summary.problems


def full_disk(seed: int) -> Iterator[Outcome]:
    for kind in (disk.TMPFS, disk.LIMIT):
        why_not = disk.why_impossible(kind)
        if why_not:
            yield "not run", why_not, []
            continue
        command = [*disk.prefix(kind), sys.executable, "-m", "tests.faults.disk", "sql,dbm", kind]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=PROJECT, env=clean_environment(None))
        for storage, seen in json.loads(done.stdout).items():
            yield "%s:, %s" % (storage, kind), disk.line(seen), disk.problems(seen)


def no_descriptors(seed: int) -> Iterator[Outcome]:
    if descriptors.why_impossible():
        yield "not run", descriptors.why_impossible(), []
        return
    for servertype in SERVERTYPES:
        seen = descriptors.run(servertype, LOOKUPS, IDLE_SECONDS)
        problems = seen.errors + ["the server spins"] * (seen.busy_share > BUSY_SHARE)
        problems += ["the server does not recover"] * (seen.back_seconds > BACK_SECONDS)
        yield servertype, "%d errors; idle, it used %.1f %% of a processor; a new client got in after %.3f s" % (
            len(seen.errors), 100 * seen.busy_share, seen.back_seconds), problems


def killed_leases(seed: int) -> Iterator[Outcome]:
    seen = leases.run(LEASED_SERVERS, LEASE_SECONDS)
    yield "leases of %g s" % LEASE_SECONDS, seen.line(), seen.problems


def killed_etcd(seed: int) -> Iterator[Outcome]:
    if etcd_server.WHY_NOT:
        yield "not run", etcd_server.WHY_NOT, []
        return
    seen = etcd_kills.run(ETCD_SECONDS, seed)
    yield "three name servers on three etcd nodes, %g s" % ETCD_SECONDS, seen.line(), seen.problems


FAULTS: Dict[str, Callable[[int], Iterator[Outcome]]] = {
    "kills": kill, "relay": relays, "packets": packets, "disk": full_disk, "descriptors": no_descriptors,
    "leases": killed_leases, "etcd": killed_etcd}


def parse_options(arguments: List[str]) -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(
        "Kill processes, break networks, fill disks, use up file descriptors, and see whether anything is lost or mistaken."))
    parser.add_argument("--rounds", type=int, default=1, help="how often, each time with another seed (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default %(default)s)")
    parser.add_argument("--only", choices=list(FAULTS), action="append", help="this kind of fault; may be given repeatedly")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    return parser.parse_args(arguments)


def main(arguments: List[str]) -> int:
    options = parse_options(arguments)
    began = time.monotonic()
    figures: List[Dict[str, Any]] = []
    for seed in range(options.seed, options.seed + options.rounds):
        for name in options.only or FAULTS:
            for what, line, problems in FAULTS[name](seed):
                figures.append({"fault": name, "seed": seed, "what": what, "figures": line, "problems": problems})
                print("%s, seed %d: %s: %s" % (name, seed, what, line), flush=True)
    wrong = [one for one in figures if one["problems"]]
    print("Python %s, %d runs in %.0f s, %d of them found something" % (
        platform.python_version(), len(figures), time.monotonic() - began, len(wrong)))
    for one in wrong:
        print("FOUND  %(fault)s, seed %(seed)d, %(what)s: %(problems)s" % one)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
