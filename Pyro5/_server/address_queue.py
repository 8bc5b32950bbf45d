"""A queue that is shared out fairly between the addresses of the clients that wait."""
from __future__ import annotations

from collections import OrderedDict
from typing import Any, Dict, Hashable

NETWORK_GROUPS = 4  # of an IPv6 address: a host can usually choose the other four groups of 16 bits itself


def address_key(address: Any) -> str:
    """Return the part of a client's address that the client cannot choose itself.

    Args:
        address: as the socket module returns it. All clients of a Unix domain socket have the same key.
    """
    if type(address) is not tuple:
        return ""
    host: str = address[0]
    if ":" not in host:
        return host
    if "." in host:  # ::ffff:192.0.2.1, an IPv4 address on a socket for both versions
        return host.rpartition(":")[2]
    return _network(host.partition("%")[0])


def _network(host: str) -> str:
    """Return the first groups of an IPv6 address, in the notation of the socket module."""
    head, gap, tail = host.partition("::")
    groups = head.split(":") if head else []
    if gap:
        rest = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(rest)) + rest
    return ":".join(groups[:NETWORK_GROUPS])


class _Waiting:
    """The connections of one address that wait, in the order in which they joined."""

    __slots__ = ("connections", "takes_newest")

    def __init__(self) -> None:
        self.connections: OrderedDict[Any, None] = OrderedDict()
        self.takes_newest = True

    def take(self) -> Any:
        connection, _ = self.connections.popitem(last=self.takes_newest)
        self.takes_newest = not self.takes_newest
        return connection


class AddressQueue:
    """Connections that wait for the same thing, which takes long. Not thread-safe.

    Each address has the same share, regardless of how many of its connections wait. Every second turn goes to the address that
    joined last, if it has had none yet, and within an address every second turn goes to the connection that joined last. So a
    client that connects behind many others does not wait for all of them, from wherever they come, and those that have been
    waiting longest are still served.
    """

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, _Waiting] = OrderedDict()  # the one whose turn is next is in front
        self._unserved: OrderedDict[str, None] = OrderedDict()  # addresses that have had no turn since they joined
        self._keys: Dict[Hashable, str] = {}  # of all connections that wait
        self._takes_newest = True

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, connection: Hashable) -> bool:
        return connection in self._keys

    def add(self, connection: Hashable, key: str) -> None:
        """Add a connection, which must not be waiting already.

        Args:
            key: see `address_key`.
        """
        waiting = self._addresses.get(key)
        if waiting is None:
            waiting = self._addresses[key] = _Waiting()
            self._unserved[key] = None
        waiting.connections[connection] = None
        self._keys[connection] = key

    def take(self) -> Any:
        """Remove and return the connection whose turn it is. Raises KeyError if none waits."""
        takes_newest, self._takes_newest = self._takes_newest, not self._takes_newest
        # Both ends in turn: with the newest alone, a flood of new addresses would leave out the older ones.
        key = next(reversed(self._unserved)) if takes_newest and self._unserved else next(iter(self._addresses), "")
        waiting = self._addresses[key]
        self._unserved.pop(key, None)
        connection = waiting.take()
        del self._keys[connection]
        if waiting.connections:
            self._addresses.move_to_end(key)
        else:
            del self._addresses[key]
        return connection

    def discard(self, connection: Hashable) -> bool:
        """Remove a connection. Return whether it was waiting."""
        key = self._keys.pop(connection, None)
        if key is None:
            return False
        waiting = self._addresses[key]
        del waiting.connections[connection]
        if not waiting.connections:
            del self._addresses[key]
            self._unserved.pop(key, None)
        return True
