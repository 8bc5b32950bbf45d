"""Prints, as a line of JSON, how many seconds an import takes: ``python -m programs.loading [MODULES]``.

Without arguments it imports Pyro5.api, and also prints which large modules this loads, and which modules of others it needs.
With the names of these modules, it imports them: what is left of the time of Pyro5.api is its own.
"""
from __future__ import annotations

import sys
import time

HEAVY = ("asyncio", "http", "msgpack", "sqlite3", "ssl")


def seconds_to_import(names: list[str]) -> float:
    # Nothing is imported at the top that the measured modules need, such as typing: it would be missing in their time.
    started = time.perf_counter()
    for name in names:
        __import__(name)
    return time.perf_counter() - started


if __name__ == "__main__":
    BEFORE = list(sys.modules)
    SECONDS = seconds_to_import(sys.argv[1:] or ["Pyro5.api"])
    LOADED = [name for name in sys.modules if name not in BEFORE]
    import json
    print(json.dumps({"seconds": SECONDS, "heavy": sorted(set(HEAVY) & set(LOADED)),
                      "needed": [name for name in LOADED if name.partition(".")[0] != "Pyro5"]}))
