"""Make all attacks in large, and show what they did: ``python -m tests.hostile``; exit code 1 if one did harm."""
from __future__ import annotations

import argparse
import sys
import time

from . import attack
from .attack import Attack
from .catalogue import GROUPS
from .target import Target

HEADING = "%-62s %-9s %8s %10s %10s %8s %6s" % ("attack", "server", "took s", "served ms", "peak MiB", "threads", "files")
ROW = "%-62s %-9s %8.1f %10.1f %+10.1f %8d %+6d"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="Make all attacks on servers of both types.")
    parser.add_argument("--scale", type=int, default=10,
                        help="how many times as many clients, calls and so on as in the tests "
                        "(default %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="attacks with this in their name")
    parser.add_argument("--server", choices=("thread", "multiplex", "aio"), help="one server type only")
    return parser.parse_args()


def _run(one: Attack, target: Target) -> bool:
    started = time.monotonic()
    try:
        outcome = attack.run(one, target)
    except (AssertionError, OSError, EOFError) as x:
        print("%-62s %-9s HARM: %s: %s" % (one.name, target.servertype, type(x).__name__, x), flush=True)
        return False
    print(ROW % (one.name, target.servertype, time.monotonic() - started, outcome.seconds * 1000, outcome.memory,
                 outcome.threads, outcome.files), flush=True)
    return True


def main() -> int:
    options = _options()
    made = harmless = 0
    print(HEADING)
    for servertype in [options.server] if options.server else ["thread", "multiplex", "aio"]:
        with Target(servertype, options.scale) as target:
            before = target.state()
            for one in [one for group in GROUPS.values() for one in group if options.only in one.name]:
                made += 1
                harmless += _run(one, target)
            target.probe()
            target.release()
            target.release_memory()
            after = target.state()
            print("%s, after all of them: %+.1f MiB, %+d threads, %+d files; a well-behaved client waited for %.0f ms "
                  "at most" % (
                servertype, after.memory - before.memory, after.threads - before.threads, after.files - before.files,
                target.slowest_seconds * 1000))
    print("%d attacks, %d of them did harm" % (made, made - harmless))
    return int(harmless < made)


if __name__ == "__main__":
    sys.exit(main())
