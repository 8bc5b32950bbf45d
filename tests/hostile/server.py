"""The process that is attacked: ``python -m tests.hostile.server SERVERTYPE``; with ``aio`` its daemons, but for the name
server, are those of Pyro5.aio.

It prints the ports of its daemons, as JSON, and serves until its standard input ends. Limits are low, so that reaching them
does not take long.
"""
from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator

from Pyro5 import aio, config
from Pyro5._auth import files, users
from Pyro5._gateway import memory
from Pyro5._gateway.app import Gateway
from Pyro5._http.server import HttpServer
from Pyro5._server import connection
from Pyro5._wire import buffers
from Pyro5.client import Proxy
from Pyro5.nameserver import NameServerDaemon
from Pyro5.server import Daemon, behavior, expose

from ..peers import CERTIFICATES
from ..support import aio_daemon_thread
from .proofs import KEY, PASSWORD, USER

LIMITS = {"HANDSHAKE_TIMEOUT": 1.5, "MAX_MESSAGE_SIZE": 8 << 20, "MAX_BUFFERED_SIZE": 32 << 20, "MAX_STREAMS": 50,
          "MAX_ONEWAY": 20, "THREADPOOL_SIZE": 10, "SHUTDOWN_TIMEOUT": 1.0, "ITER_STREAM_LINGER": 0.5, "POLLTIMEOUT": 0.2,
          "MAX_GATEWAY_MEMORY": 32 << 20}
NEW_SECONDS = 0.5  # a test waits until a connection does not count as new any more
LARGE_BYTES = 2 << 20
LINGER_SECONDS = 0.5
ENCRYPTED = {"SSL": True, "SSL_SERVERCERT": os.path.join(CERTIFICATES, "server.pem"),
             "SSL_SERVERKEY": os.path.join(CERTIFICATES, "server.key")}


@expose
@behavior(instance_mode="single")
class Thing:
    """What the clients call."""

    def echo(self, value: Any) -> Any:
        return value

    def large(self) -> str:
        return "x" * LARGE_BYTES

    def huge(self) -> str:
        return "x" * 3 * LARGE_BYTES

    def numbers(self, count: int) -> Iterator[int]:
        return iter(range(count))

    def linger(self) -> None:
        threading.Event().wait(LINGER_SECONDS)

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def blob(self, blob: Any) -> int:
        return len(blob.deserialized())

    @property
    def attribute(self) -> int:
        return 1


class Session:
    """An object for each client."""

    @expose
    def echo(self, value: Any) -> Any:
        return value


def _daemons(daemon_class: Any, folder: str) -> Dict[str, Any]:
    daemons: Dict[str, Any] = {"plain": daemon_class("127.0.0.1"), "names": NameServerDaemon("127.0.0.1", 0)}
    key, users_file = os.path.join(folder, "key"), os.path.join(folder, "users")
    files.create(key, KEY.hex().encode())
    users.save(users_file, _users())
    for name, settings in (("strict", {"SERIALIZERS_ACCEPTED": ["serpent"]}), ("tls", ENCRYPTED),
                           ("guarded", {"AUTH_KEY_FILE": key, "AUTH_USERS_FILE": users_file})):
        before = config.as_dict()
        config.__dict__.update(settings)
        daemons[name] = daemon_class("127.0.0.1")
        config.__dict__.update(before)
    for name in ("plain", "strict", "tls", "guarded"):
        daemons[name].register(Thing(), "obj")
    daemons["plain"].register(Session, "session")
    return daemons


def _users() -> Dict[str, Any]:
    document: Dict[str, Any] = {"users": {}, "rules": {}}
    users.add_user(document, USER, PASSWORD, ["operator"])
    return document


def _gateway(daemons: Dict[str, Any]) -> Gateway:
    """Make an HTTP gateway to the object of the plain daemon."""
    names: Any = daemons["names"]
    names.nameserver.register("http.obj", "PYRO:obj@" + daemons["plain"].locationStr)
    return Gateway(locate=lambda: Proxy("PYRO:Pyro.NameServer@" + names.locationStr))


def _release_memory() -> None:
    """Free garbage, and return what is free to the system, however the blocks of all threads happen to lie."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # other systems than Linux with glibc
        ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    config.__dict__.update(LIMITS)
    memory.WAIT_SECONDS = 0.2
    connection.NEW_SECONDS = NEW_SECONDS
    buffers.expect_large(LARGE_BYTES)  # in development mode this takes memory once, which no attack is to blame for
    is_aio = sys.argv[1] == "aio"
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # in development mode it warns of each callback that takes 0.1 s
    config.SERVERTYPE = "thread" if is_aio else sys.argv[1]
    with contextlib.ExitStack() as at_end:
        daemons = _daemons(aio.Daemon if is_aio else Daemon, at_end.enter_context(tempfile.TemporaryDirectory()))
        gateway = _gateway(daemons)
        http = HttpServer(gateway, "127.0.0.1", 0)
        ports = {name: daemon.sock.getsockname()[1] for name, daemon in daemons.items()}
        print(json.dumps({**ports, "http": http.port}), flush=True)
        http_thread = threading.Thread(target=http.serve)
        http_thread.start()
        for end in (gateway.close, http.close, http_thread.join, http.stop):
            at_end.callback(end)
        for daemon in daemons.values():
            if isinstance(daemon, aio.Daemon):
                at_end.enter_context(aio_daemon_thread(daemon))
                continue
            thread = threading.Thread(target=daemon.requestLoop)
            thread.start()
            for step in (daemon.close, thread.join, daemon.shutdown):
                at_end.callback(step)
        for _line in sys.stdin:
            _release_memory()
            print(flush=True)


if __name__ == "__main__":
    main()
