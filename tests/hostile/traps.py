"""Proxies in the place of plain data: a server that uses one while it reads a message connects to the attacker's address."""
from __future__ import annotations

from typing import Any, Callable, Iterator

from Pyro5.serializers import serializers

from .. import traps
from ..drafts import message
from .attack import Attack, observe
from .target import Target

CONNECT, INVOKE = 1, 4
NAMES = ("serpent", "json", "marshal", "msgpack")
_NAME_SERVER_CALLS = (
    ("yplookup", "meta_all"), ("yplookup", "meta_any"), ("yplookup", "return_metadata"), ("list", "prefix"), ("list", "regex"),
    ("lookup", "name"), ("lookup", "return_metadata"), ("remove", "name"), ("remove", "prefix"), ("register", "metadata"),
    ("register", "uri"), ("register", "name"), ("set_metadata", "metadata"))


def _payload(name: str, value: Any) -> bytes:
    return serializers[name].dumps(value)


def _call(name: str, object_id: str, method: str, args: Any, kwargs: Any) -> bytes:
    fields = {"object": object_id, "method": method, "params": args, "kwargs": kwargs}
    value = fields if name == "json" else (object_id, method, args, kwargs)
    return message(INVOKE, _payload(name, value), serializers[name].serializer_id)


def _values(trap: traps.Trap) -> Iterator[Any]:
    for proxy in trap.proxies():
        for _place, make in traps.few_places():
            yield make(proxy)


def _send_all(target: Target, daemon: str, messages: Iterator[bytes], handshake_done: bool, trap: traps.Trap) -> None:
    """Send each message over a connection of its own, and see that the server has answered without following a proxy."""
    for data in messages:
        with target.connect_with_handshake(daemon) if handshake_done else target.connect(daemon) as client:
            client.send(data)
            observe(client)
        _check(trap, "this message: %r" % data[:500])


def _check(trap: traps.Trap, where: str) -> None:
    if trap.count:
        raise AssertionError("the server connected to an address in " + where)


def _attack(daemon: str, handshake_done: bool, messages: Callable[[str, Any], Iterator[bytes]]) -> Callable[[Target], None]:
    def make(target: Target) -> None:
        with traps.Trap() as trap:
            _send_all(target, daemon, (data for value in _values(trap) for name in NAMES for data in messages(name, value)),
                      handshake_done, trap)
        _check(trap, "one of the messages")  # the trap has seen all connections only now
    return make


def _handshakes(name: str, value: Any) -> Iterator[bytes]:
    for fields in ({"object": "obj", "handshake": value}, {"object": value, "handshake": "hello"}):
        yield message(CONNECT, _payload(name, fields), serializers[name].serializer_id)


def _calls(name: str, value: Any) -> Iterator[bytes]:
    yield _call(name, "obj", "echo", [value], {})
    yield _call(name, "obj", "echo", value, {})
    yield _call(name, "obj", "__getattr__", [value], {})


def _name_server_calls(name: str, value: Any) -> Iterator[bytes]:
    if type(value) is not dict or value.get("__class__") != "Pyro5.client.Proxy":
        return
    for method, argument in _NAME_SERVER_CALLS:
        others = {"name": "x"} if method in ("register", "set_metadata") else {}
        yield _call(name, "Pyro.NameServer", method, [], {**others, argument: value})


ATTACKS = (
    Attack("proxies in handshakes", _attack("plain", False, _handshakes)),
    Attack("proxies in calls", _attack("plain", True, _calls)),
    Attack("proxies in calls of the name server", _attack("names", True, _name_server_calls)),
)
