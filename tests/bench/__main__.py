"""Measures calls against what the same would cost over bare sockets.

    python -m tests.bench [options]             run the benchmark
    python -m tests.bench report FILE.json      show its result again, or write it into the documentation
    python -m tests.bench steps [options]       show where the time of one call goes
    python -m tests.bench names [options]       measure name servers instead
    python -m tests.bench watchers [NUMBER]     measure watchers of a name server instead
    python -m tests.bench etcd [NAMES]          measure name servers on etcd instead
    python -m tests.bench processes [options]   measure servers with several processes instead
    python -m tests.bench threads PYTHON        measure the threads of a server on a free-threaded Python
    python -m tests.bench statistics            measure what the statistics of a daemon cost

docs/performance.md tells how to read it.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import chart, etcd, names, observing, report, runner, scaling, steps, threads, watchers
from .processes import PLACEMENTS, BenchmarkError
from .progress import Progress
from .works import SERIALIZERS, SERVERS

DOCUMENT = str(Path(__file__).resolve().parent.parent.parent / "docs" / "performance.md")


def several(allowed: Sequence[str]) -> Any:
    """Make a converter for names with commas between them."""
    def convert(text: str) -> List[str]:
        chosen = text.split(",")
        unknown = set(chosen) - set(allowed)
        if unknown:
            raise argparse.ArgumentTypeError("no such: %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(allowed)))
        return chosen
    return convert


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="PYTHON", help="compare with the Pyro5 that this Python has installed, or with "
                                                            "the one in this folder, by turns in the same rounds")
    parser.add_argument("--rounds", type=int, help="how often to measure everything (9)")
    parser.add_argument("--seconds", type=float, help="how long to measure each, in each round (0.1)")
    parser.add_argument("--only", metavar="PATTERN", help="only what has this in its title, and neither idle connections nor "
                                                          "start-up unless it begins 'idle' or 'start'")
    parser.add_argument("--serializers", type=several(SERIALIZERS), default=list(SERIALIZERS), metavar="A,B")
    parser.add_argument("--servers", type=several(SERVERS), default=list(SERVERS), metavar="A,B")
    parser.add_argument("--connections", type=int, help="how many idle connections (10000)")
    parser.add_argument("--placement", choices=PLACEMENTS, default=PLACEMENTS[0],
                        help="clients and servers on processors apart (usual), together on one, or free to move")
    parser.add_argument("--quick", action="store_true", help="a look in a few seconds: one short round, few idle connections")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--svg", metavar="FILE", help="draw a chart")
    options = parser.parse_args(arguments)
    quick = {"rounds": 1, "seconds": 0.01, "connections": 100}
    usual = {"rounds": 9, "seconds": 0.1, "connections": 10000}
    for name, default in (quick if options.quick else usual).items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    if options.rounds < 1:
        parser.error("there must be a round")
    return options


def make_plan(options: argparse.Namespace) -> runner.Plan:
    only: Optional[str] = options.only
    return runner.Plan(
        works=runner.matching(only or ""), serializers=options.serializers, servers=options.servers, rounds=options.rounds,
        seconds=options.seconds, placement=options.placement, against=options.against,
        connections=options.connections if not only or only.startswith("idle") else 0,
        with_start_up=not only or only.startswith("start"))


def write(path: str, text: str) -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def run(arguments: Sequence[str]) -> None:
    options = parse_options(arguments)
    result = runner.measure(make_plan(options), Progress())
    if options.json:
        write(options.json, json.dumps(result, indent=1) + "\n")
    if options.svg:
        write(options.svg, chart.draw(result))
    print(report.table(result), end="")


def show(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench report", description="Show the result of an earlier run.")
    parser.add_argument("file", help="what --json has written")
    parser.add_argument("--svg", metavar="FILE", help="draw a chart")
    parser.add_argument("--document", nargs="?", const=DOCUMENT, metavar="FILE",
                        help="replace the figures in this document (docs/performance.md)")
    options = parser.parse_args(arguments)
    result: Dict[str, Any] = json.loads(Path(options.file).read_text(encoding="utf-8"))
    if options.svg:
        write(options.svg, chart.draw(result))
    if options.document:
        document = Path(options.document)
        write(options.document, report.rewrite(document.read_text(encoding="utf-8"), result))
    print(report.table(result), end="")


def main(arguments: Sequence[str]) -> None:
    commands = {"report": show, "names": names.run, "etcd": etcd.run, "processes": scaling.main, "statistics": observing.run,
                "steps": steps.run, "threads": threads.main, "watchers": watchers.run}
    try:
        if arguments and arguments[0] in commands:
            commands[arguments[0]](arguments[1:])
        else:
            run(arguments)
    except (BenchmarkError, OSError, ValueError) as x:
        sys.exit("error: %s" % x)
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
