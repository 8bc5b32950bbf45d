"""Runs a name server again and again, each time in a new process: ``python -m tests._naming.storage.servers SPEC TIMES``.

A server's process is a copy of this one, which has loaded all modules already: starting it takes some milliseconds. It
prints its process id in front of what every name server prints. When it has ended, the next one starts. All of them are one
process group, which also ends when the process that started it has ended.
"""
from __future__ import annotations

import os
import signal
import sys
from typing import Any

from Pyro5 import nameserver
from Pyro5._cli import console


def serve(spec: str) -> int:
    """Run one name server in this process; give its exit code."""
    console.say("pid %d" % os.getpid())
    return nameserver.main(["-n", "127.0.0.1", "-p", "0", "-x", "-s", spec])


def end_with_parent() -> None:
    """Kill this process group when the parent process has ended; copies of this process do not check this."""
    parent = os.getppid()

    def check(*_args: Any) -> None:
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)


def main(spec: str, times: int) -> None:
    # What is loaded late is loaded now, once for all.
    nameserver.open_storage(spec).close()
    for _ in range(times):
        process = os.fork()
        if not process:
            try:
                code = serve(spec)
            finally:
                # no cleaning up in the copy of what belongs to this process
                os._exit(code)
        os.waitpid(process, 0)


if __name__ == "__main__":
    os.setpgid(0, 0)
    end_with_parent()
    main(sys.argv[1], int(sys.argv[2]))
