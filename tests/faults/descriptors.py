"""A name server that has no file descriptors left: clients that wait outside, and do nothing, have them all.

Run as ``python -m tests.faults.descriptors STORAGE SERVERTYPE``, this is the server. It prints its URI; then, for each line
that it reads, what it has used so far, as JSON.
"""
from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, List, NamedTuple

from Pyro5 import config, errors
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns

from ..support import PATIENCE_SECONDS, PROJECT, clean_environment, daemon_thread
from .workload import at_once

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

STRANGERS = 80  # clients that connect, and then say nothing
KNOWN = 4  # clients that were there before
SPARE = 30  # descriptors that there are for clients, and for whatever else takes one


def why_impossible() -> str:
    """Say why this cannot be run here; empty if it can."""
    return "" if resource is not None else "this system does not limit file descriptors"


def used() -> Dict[str, float]:
    """Return the time, and what of the processor this process has used, in seconds."""
    return {"cpu": time.process_time(), "time": time.monotonic()}


def serve(storage: str) -> None:
    daemon: Any = start_ns("127.0.0.1", 0, enableBroadcast=False, storage=storage)[1]
    with daemon_thread(daemon):
        # the number that the next file would have
        highest = os.dup(0)
        os.close(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + SPARE, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print(daemon.uriFor("Pyro.NameServer"), flush=True)
        for _ in sys.stdin:
            print(json.dumps(used()), flush=True)


class Seen(NamedTuple):
    """What clients of the server saw.

    Attributes:
        errors: of those that were connected before.
        busy_share: how much of a processor the server used while further clients waited and none called.
        back_seconds: how long a new client waited when the strangers had gone.
    """

    errors: List[str]
    busy_share: float
    back_seconds: float


def run(servertype: str, rounds: int, idle_seconds: float) -> Seen:
    """Use all descriptors of a name server up, see who is served, and let them go again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
        command = [sys.executable, "-m", __name__, "sql:" + os.path.join(folder, "names"), servertype]
        process = at_end.enter_context(subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True, cwd=PROJECT,
            env=clean_environment(None)))
        at_end.callback(process.kill)
        return _use_up(process, rounds, idle_seconds)


def _use_up(process: Any, rounds: int, idle_seconds: float) -> Seen:
    uri = URI(process.stdout.readline().strip())
    with contextlib.ExitStack() as known:
        proxies = [known.enter_context(Proxy(uri)) for _ in range(KNOWN)]
        for number, proxy in enumerate(proxies):
            proxy.register("known.%d" % number, "PYRO:known@host:%d" % number)
        with contextlib.ExitStack() as strangers:
            for _ in range(STRANGERS):
                strangers.enter_context(socket.create_connection((uri.host, uri.port)))
            failures: List[str] = []
            at_once([functools.partial(_work, proxy, rounds, failures) for proxy in proxies])
            before = _ask(process)
            threading.Event().wait(idle_seconds)
            after = _ask(process)
        began = time.monotonic()
        with Proxy(uri) as proxy:
            proxy._pyroTimeout = PATIENCE_SECONDS
            proxy.ping()
        back = time.monotonic() - began
    return Seen(failures, (after["cpu"] - before["cpu"]) / (after["time"] - before["time"]), back)


def _work(proxy: Any, rounds: int, failures: List[str]) -> None:
    proxy._pyroClaimOwnership()
    for number in range(rounds):
        try:
            proxy.lookup("known.%d" % (number % KNOWN))
            proxy.register("new.%d" % number, "PYRO:new@host:1")
            proxy.list(prefix="new.")
        except errors.PyroError as x:
            failures.append(str(x))


def _ask(process: Any) -> Dict[str, float]:
    process.stdin.write("\n")
    process.stdin.flush()
    answer: Dict[str, float] = json.loads(process.stdout.readline())
    return answer


if __name__ == "__main__":
    config.SERVERTYPE = sys.argv[2]
    serve(sys.argv[1])
