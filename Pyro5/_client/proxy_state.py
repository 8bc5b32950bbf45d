"""The state of a proxy: what is copied, pickled, and sent over the wire."""
from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from .._values.uri import URI
from .link import Link
from .properties import ProxyProperties

__all__ = ["STATE_ENTRIES", "ProxyState"]

STATE_ENTRIES = 6  # of the state of a proxy: the tuple that __getstate__ returns and that is sent over the wire
State = Tuple[str, Tuple[str, ...], Tuple[str, ...], Tuple[str, ...], Any, Optional[str]]


class ProxyState(ProxyProperties):
    """Base class of Proxy with the methods that copy it."""

    def _pyroClearMethods(self) -> None:
        """Forget the methods that are kept in the instance."""
        raise NotImplementedError

    def __getstate__(self) -> State:
        link = self._pyro
        # Sorted, so that equal proxies have equal states.
        return (str(link.uri), tuple(sorted(link.oneway)), tuple(sorted(link.methods)), tuple(sorted(link.attrs)),
                link.handshake, link.serializer_name)

    def __setstate__(self, state: Sequence[Any]) -> None:
        # Pyrolite, the client for Java and .NET, sends a seventh entry
        uri, oneway, methods, attrs, handshake, serializer_name = state[:STATE_ENTRIES]
        link = Link(URI(uri))  # not connected, and owned by this thread: connections are never copied
        link.oneway, link.methods, link.attrs = set(oneway), set(methods), set(attrs)
        link.handshake = handshake
        self._pyroClearMethods()
        self._pyro = link
        if serializer_name is not None:
            self._pyroSerializer = serializer_name

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)  # attributes of a subclass; __setstate__ replaces the link and kept methods
        copied.__setstate__(self.__getstate__())
        # These are not in the state on the wire, whose form 5.x has fixed.
        copied._pyro.timeout = self._pyro.timeout
        copied._pyro.max_retries = self._pyro.max_retries
        copied._pyro.raw_response = self._pyro.raw_response
        copied._pyro.retry = self._pyro.retry
        copied._pyro.pick = self._pyro.pick
        copied._pyro.wait_for_ready = self._pyro.wait_for_ready
        copied._pyro.results = self._pyro.results
        return copied

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()
