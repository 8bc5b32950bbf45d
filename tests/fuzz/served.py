"""The objects that damaged calls reach: the recorded ones and a name server, unable to do what takes long or far."""
from __future__ import annotations

import contextlib
from typing import Any, Iterator

from Pyro5 import api, config
from Pyro5._naming.registry import NameServer

from ..wire import app

MAX_MESSAGE_SIZE = 1000000
MOST_ITEMS = 1000


@api.expose
@api.behavior(instance_mode="single")
class Calls(app.Calls):
    def repeat(self, s: str, n: int) -> str:
        return s * min(n, MOST_ITEMS)


@api.expose
@api.behavior(instance_mode="single")
class Proxies(app.Proxies):
    def call_it(self, p: Any) -> Any:
        return str(p)  # it is to go nowhere


@api.expose
@api.behavior(instance_mode="single")
class Annot(app.Annot):
    def reply(self, n: int = 1) -> str:
        return super().reply(min(n, MOST_ITEMS))


class FuzzedDaemon(app.AppDaemon):
    """Has all objects of the recordings, and a name server that forgets."""

    def __init__(self) -> None:
        super().__init__([name for name in app.OBJECTS if name not in ("calls", "proxies", "annot")], host="127.0.0.1")
        self.register(Calls, "calls")
        self.register(Annot, "annot")
        proxies = Proxies()
        proxies.child_obj = app.Child()
        self.register(proxies.child_obj, "obj_child")
        self.register(proxies, "proxies")
        self.nameserver = NameServer()
        self.register(self.nameserver, "Pyro.NameServer")
        self.ended = 0

    def clientDisconnect(self, conn: Any) -> None:
        self.ended += 1
        if self.nameserver.count() > MOST_ITEMS:
            self.nameserver.storage.clear()


@contextlib.contextmanager
def configured(**changes: Any) -> Iterator[None]:
    """Settings for the block: nothing is kept for long, everything is small."""
    before = config.as_dict()
    config.reset(use_environment=False)
    try:
        for name, value in {"MAX_MESSAGE_SIZE": MAX_MESSAGE_SIZE, "ITER_STREAM_LINGER": 0.0, **changes}.items():
            setattr(config, name, value)
        app.register_converters()
        yield
    finally:
        app.unregister_converters()
        for name, value in before.items():
            setattr(config, name, value)
