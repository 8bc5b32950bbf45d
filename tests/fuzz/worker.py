"""A process that works through cases: ``python -m tests.fuzz.worker SEED FIRST COUNT FILE``.

It writes into the file, which is 24 bytes long, which case it is at and how much memory it has; on standard output, a line
of JSON for each finding.
"""
from __future__ import annotations

import faulthandler
import gc
import json
import mmap
import struct
import sys
import time
import traceback
from typing import Any

from .cases import make_case
from .targets import Targets

STATE = struct.Struct("<qqq")  # number of the case; memory in KiB, at first and now
WARM_CASES = 20000  # until then, memory grows because everything happens for the first time
LOOK_EVERY = 5000
SLOW_SECONDS = 2.0


def memory_kib() -> int:
    """Return how much memory this process uses; 0 where that cannot be told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE // 1024
    except OSError:
        return 0


def run_case(targets: Targets, seed: int, number: int) -> Any:
    """Run a case; gives what was found, None if nothing was."""
    case = make_case(seed, number)
    started = time.process_time()  # of this process: others may keep it waiting; that a case waits for ever is noticed outside
    try:
        targets.run(case)
    except BaseException as x:  # whatever it is, it is what we are looking for
        return {"case": number, "kind": case.kind, "what": "%s: %s" % (type(x).__name__, x),
                "traceback": traceback.format_exc()}
    seconds = time.process_time() - started
    if seconds > SLOW_SECONDS:
        return {"case": number, "kind": case.kind, "what": "slow: %.1f s" % seconds, "traceback": ""}
    return None


def main() -> None:
    faulthandler.enable()
    seed, first, count = map(int, sys.argv[1:4])
    with open(sys.argv[4], "r+b") as file, mmap.mmap(file.fileno(), STATE.size) as state, Targets() as targets:
        at_first = now = 0
        for number in range(first, first + count):
            if (number - first) % LOOK_EVERY == 0:
                gc.collect()
                now = memory_kib()
                at_first = now if number - first <= WARM_CASES else at_first
            STATE.pack_into(state, 0, number, at_first, now)
            found = run_case(targets, seed, number)
            if found:
                print(json.dumps(found), flush=True)
        gc.collect()
        STATE.pack_into(state, 0, first + count, at_first or memory_kib(), memory_kib())


if __name__ == "__main__":
    main()
