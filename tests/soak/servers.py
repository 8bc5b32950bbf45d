"""A server of the soak as a process: ``python -m tests.soak.servers thread|multiplex|names FOLDER``. It prints its URI."""
from __future__ import annotations

import os
import sys
import threading
from typing import Any, Iterator, List

from Pyro5 import config
from Pyro5._objects.exposure import expose, oneway
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon

OBJECT = "workshop"
AUTOCLEAN_SECONDS = 3.0
# Clients that never introduce themselves are a part of the soak; they shall go away while one can see it.
HANDSHAKE_SECONDS = 5.0


@expose
class Workshop:
    """Has something for every kind of client."""

    def __init__(self) -> None:
        self._temperature = 20.0
        self._notes = 0

    @property
    def temperature(self) -> float:
        return self._temperature

    @temperature.setter
    def temperature(self, degrees: float) -> None:
        self._temperature = degrees

    def echo(self, value: Any) -> Any:
        return value

    def total(self, numbers: List[int]) -> int:
        return sum(numbers)

    def refuse(self, reason: str) -> None:
        raise ValueError(reason)

    def bulk(self, size: int) -> bytes:
        return b"b" * size

    def parts(self, count: int) -> Iterator[List[int]]:
        for number in range(count):
            yield [number] * 10

    @oneway
    def note(self, text: str) -> None:
        self._notes += 1


def make_daemon(kind: str, folder: str) -> Any:
    config.HANDSHAKE_TIMEOUT = HANDSHAKE_SECONDS
    if kind == "names":
        config.NS_AUTOCLEAN = AUTOCLEAN_SECONDS
        return start_ns("127.0.0.1", 0, enableBroadcast=False, storage="sql:" + os.path.join(folder, "names.db"))[1]
    config.SERVERTYPE = kind
    daemon = Daemon("127.0.0.1")
    daemon.register(Workshop(), OBJECT)
    return daemon


def main(kind: str, folder: str) -> None:
    daemon = make_daemon(kind, folder)
    print(daemon.uriFor("Pyro.NameServer" if kind == "names" else OBJECT), flush=True)
    loop = threading.Thread(target=daemon.requestLoop)
    loop.start()
    sys.stdin.read()  # the process that started this one closes it at the end, or is gone
    daemon.shutdown()
    loop.join()
    daemon.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
