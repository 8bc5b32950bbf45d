"""Run the fuzzer: ``python -m tests.fuzz``; exit code 1 if it found something."""
from __future__ import annotations

import argparse
import json
import platform
import sys
from typing import Any, Dict, List

from .cases import make_case
from .live import LiveTarget
from .targets import Targets
from .watch import GROWTH_KIB, Watched
from .worker import run_case


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz",
                                     description="Damage recorded messages, and see what becomes of "
                                     "what reads them: the message reader, sessions and dispatch, serializers, URI.")
    parser.add_argument("--messages", type=int, default=100000, help="how many damaged messages (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds make other messages (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first message (default %(default)s)")
    parser.add_argument("--live", action="store_true", help="also against daemons of both server types, with a twentieth of "
                        "the messages")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="show this message, and run it in this process")
    parser.add_argument("--json", metavar="FILE", help="write findings and figures there")
    return parser.parse_args()


def _run_one(seed: int, number: int) -> int:
    case = make_case(seed, number)
    print("%s, handshake_done: %s, serializer: %d" % (case.kind, case.handshake_done, case.serializer))
    for piece in case.pieces:
        print(repr(piece))
    with Targets() as targets:
        found = run_case(targets, seed, number)
    print("%(what)s\n%(traceback)s" % found if found else "nothing found")
    return int(found is not None)


def _run_all(options: Any) -> Dict[str, Any]:
    result = Watched(options.seed, options.first, options.messages, verbose=True).run()
    findings = list(result.findings)
    if result.growth_kib > GROWTH_KIB:
        findings.append({"case": options.first, "kind": "all", "what": "memory grew by %d KiB" % result.growth_kib})
    lines = ["in process: %d messages, %.0f per second, memory grew by %d KiB"
             % (result.cases, result.cases / result.seconds, result.growth_kib)]
    for servertype in ("thread", "multiplex") if options.live else ():
        live = LiveTarget(servertype, options.seed).run(options.messages // 20)
        findings += live.findings
        if live.growth_kib > GROWTH_KIB:
            findings.append({"case": 0, "kind": "live", "what": "memory grew by %d KiB" % live.growth_kib})
        lines.append("live, %s: %d conversations, %.0f per second, memory grew by %d KiB, the longest that a well-behaved "
                     "client waited: %.3f s" % (servertype, live.cases, live.cases / live.seconds, live.growth_kib,
                                         live.slowest_seconds))
    return {"python": platform.python_version(), "seed": options.seed, "figures": lines, "findings": findings}


def _print_findings(findings: List[Dict[str, Any]]) -> None:
    for finding in findings:
        print("FOUND  case %(case)s (%(kind)s): %(what)s" % finding)
    print("%d findings" % len(findings))


def main() -> int:
    options = _options()
    if options.only is not None:
        return _run_one(options.seed, options.only)
    report = _run_all(options)
    print("Python %(python)s, seed %(seed)d" % report)
    print("\n".join(report["figures"]))
    _print_findings(report["findings"])
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    return int(bool(report["findings"]))


if __name__ == "__main__":
    sys.exit(main())
