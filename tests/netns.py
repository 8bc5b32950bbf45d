"""Two machines in one: a pair of network namespaces, connected by a virtual cable. Needs Linux, ``ip`` and root."""
from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from typing import Iterator, List, NamedTuple, Optional

PATIENCE_SECONDS = 60.0
# An address block for documentation (RFC 5737): nothing outside of the namespaces has these.
SERVER_IP, CLIENT_IP, BROADCAST_IP = "203.0.113.1", "203.0.113.2", "203.0.113.15"
# A second network on the same cable.
OTHER_SERVER_IP, OTHER_CLIENT_IP, OTHER_BROADCAST_IP = "198.51.100.1", "198.51.100.2", "198.51.100.15"
# RFC 3849
SERVER_IP6 = "2001:db8::1"


class Network(NamedTuple):
    """The names of the namespaces. Both have the networks with the addresses above, and a default route over the cable.
    """

    server: str
    client: str


def inside(namespace: str) -> List[str]:
    """Return the beginning of a command that runs the rest in a namespace."""
    return ["ip", "netns", "exec", namespace]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                          timeout=PATIENCE_SECONDS)
    if done.returncode:
        raise OSError("ip %s: %s" % (" ".join(arguments), done.stdout.strip()))


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Make two connected namespaces for the block.

    Raises:
        OSError: that is not possible here; the text says why.
    """
    names = Network("pyro-test-%d-server" % os.getpid(), "pyro-test-%d-client" % os.getpid())
    with contextlib.ExitStack() as at_end:
        for name in names:
            _ip("netns", "add", name)
            at_end.callback(_ip, "netns", "delete", name)  # takes the cable with it
        _ip("link", "add", "cable", "netns", names.server, "type", "veth", "peer", "name", "cable", "netns", names.client)
        for name, address, other in ((names.server, SERVER_IP, OTHER_SERVER_IP), (names.client, CLIENT_IP, OTHER_CLIENT_IP)):
            broadcasts = {address: BROADCAST_IP, other: OTHER_BROADCAST_IP}
            for own in (address, other):
                _ip("-n", name, "address", "add", own + "/28", "broadcast", broadcasts[own], "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "route", "add", "default", "dev", "cable", "src", address)
        _ip("-n", names.server, "address", "add", SERVER_IP6 + "/64", "nodad", "dev", "cable")
        yield names


@functools.lru_cache(maxsize=None)
def why_impossible() -> Optional[str]:
    """Say why there can be no such network here; None if there can."""
    try:
        with network():
            return None
    except OSError as x:
        return "no network namespaces here: %s" % x
