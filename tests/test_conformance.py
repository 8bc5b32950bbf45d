"""The same behaviour on every server type, transport and serializer: the tests of ``tests.conformance``, on all of them."""
from __future__ import annotations

import importlib.util
import itertools
import unittest
from typing import Any, Dict, Optional

from tests.conformance import calls, exchanges, places

SERIALIZERS = ("serpent", "json", "marshal", "msgpack")
BEHAVIOURS = tuple(behaviour for module in (calls, exchanges) for behaviour in vars(module).values()
                   if isinstance(behaviour, type) and behaviour.__module__ == module.__name__)


def why_not(transport: places.Transport, serializer: str) -> Optional[str]:
    """Say why a combination cannot be tested here, None if it can."""
    if serializer == "msgpack" and importlib.util.find_spec("msgpack") is None:
        return "msgpack is not installed"
    return transport.why_not


def combinations() -> Dict[str, Any]:
    """Make a test case for each combination, by its name."""
    cases: Dict[str, Any] = {}
    for (server, base), transport, serializer in itertools.product(places.SERVERS.items(), places.TRANSPORTS, SERIALIZERS):
        if transport is not places.IPV4 and serializer != SERIALIZERS[0]:
            continue  # the bytes of a serializer are the same on all transports
        name = "%s%s%s" % (server, transport.name, serializer.capitalize())
        case: Any = type(name, (base, *BEHAVIOURS), {
            "__module__": __name__, "transport": transport, "serializer": serializer})
        reason = why_not(transport, serializer)
        cases[name] = case if reason is None else unittest.skip(reason)(case)
    for server, base in places.AIO_CLIENTS.items():
        cases[server] = type(server, (base, *BEHAVIOURS), {
            "__module__": __name__, "transport": places.IPV4, "serializer": SERIALIZERS[0]})
    return cases


globals().update(combinations())
