"""Watches of a name server: the changes of its registrations, over a connection of their own."""
from __future__ import annotations

from typing import Any, Iterator, Optional

from .. import NamedTuple, errors
from .._values import plain


class _EventFields(NamedTuple):
    kind: str
    name: Optional[str]
    uri: Optional[str]
    metadata: Any
    revision: int


class Event(_EventFields):
    """What a watcher of a name server is told: a named tuple, which can be read like the dict on the wire, too.

    Attributes:
        kind: ``current`` for a registration at the beginning; ``ready`` after the last of them; then ``added``, ``changed``
            and ``removed``; ``missed`` if the watcher was too slow: then all registrations follow again, from ``current`` on.
        name, uri, metadata: the registration; None for ``ready`` and ``missed``. If it has members, the uri is the first one.
        revision: increases with each change.
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        # By name for programs that treat events as dicts; by position as a tuple.
        return getattr(self, key) if isinstance(key, str) and key in self._fields else tuple.__getitem__(self, key)


def checked_event(item: Any) -> Event:
    """Return the event for an item of the stream. Raises ProtocolError if it is not one."""
    # untrusted: check the exact types first, so that no code of the values' own classes runs
    if type(item) is not dict or not plain.is_texts([*item]) or not set(Event._fields).issubset(item):
        raise errors.ProtocolError("the name server sent something else than an event: %s" % plain.text_of(item))
    kind, name, uri, metadata, revision = (item[field] for field in Event._fields)
    # The values, too: an event is passed to the program, which may use them as keys.
    is_valid = (type(kind) is str and type(revision) is int and type(name) in (str, type(None))
                and type(uri) in (str, type(None)) and (metadata is None or plain.is_texts(metadata)))
    if not is_valid:
        raise errors.ProtocolError("the name server sent something else than an event: %s" % plain.text_of(item))
    return Event(kind, name, uri, None if metadata is None else frozenset(metadata), revision)


class Watch(Iterator[Event]):
    """The events of a watch, over a connection of its own, which `close` and the end of a ``with`` block release.

    Iterating raises ConnectionClosedError when the name server stops, or cannot be reached any more.
    """

    def __init__(self, proxy: Any, prefix: str) -> None:
        # A stream needs its connection for itself, see watch().
        self._proxy = proxy
        self._stream = proxy._pyroInvoke("watch", (prefix,) if prefix else (), {})

    def __next__(self) -> Event:
        # Watches may be read in a thread other than that which began them.
        self._proxy._pyroClaimOwnership()
        while True:
            try:
                return checked_event(next(self._stream))
            except errors.TimeoutError:
                # There was no change in that time. The name server keeps the stream, and is still there if it can be reached.
                self._proxy._pyroReconnect(tries=1)

    def close(self) -> None:
        """End the watch. Can be called more than once."""
        self._stream.close()
        self._proxy._pyroRelease()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        proxy = self.__dict__.get("_proxy")  # the constructor may have failed
        if proxy is not None:
            proxy._pyroRelease()


def require_watch(proxy: Any) -> None:
    """Raise AttributeError if a name server, to which the proxy has connected, cannot be watched."""
    if "watch" not in proxy._pyroMethods:
        raise AttributeError("the name server %s has no method 'watch': it is of another release" % proxy._pyroUri)
