"""Prints, as a line of JSON, how many seconds importing Pyro5.api takes, and which large modules it loads."""
from __future__ import annotations

import sys
import time

BEFORE = set(sys.modules)
STARTED = time.perf_counter()

import Pyro5.api  # noqa: E402, F401

SECONDS = time.perf_counter() - STARTED
HEAVY = ("asyncio", "http", "msgpack", "sqlite3", "ssl")

if __name__ == "__main__":
    import json
    print(json.dumps({"seconds": SECONDS, "heavy": sorted(set(HEAVY) & (set(sys.modules) - BEFORE))}))
