"""Serve names in a daemon: open and register the name server, clean it periodically, and check who may change what."""
from __future__ import annotations

from typing import Any, Callable, Iterable, Optional

from .. import callcontext, config, constants
from .._objects.permissions import check_names
from .._values.uri import URI
from .authorization import Writers
from .autoclean import AutoCleaner, checked_period
from .capacity import SearchTurns
from .regex_sandbox import Limits, Matcher
from .registry import NameServer


class NameServing:
    """Base class of the daemons of name servers. It comes before the class of the daemon, which sets the other attributes."""

    transportServer: Any
    register: Callable[..., URI]
    _dispatcher: Any
    _cleaner: Optional[AutoCleaner] = None  # close() may be called before it exists

    def _begin_naming(self, storage: Any, write_token: Optional[str], limits: Limits, listen: Callable[[], None],
                      close: Callable[[], Any]) -> None:
        """Open the storage, listen, register the name server, and begin to clean. Arguments and errors as for
        `Pyro5.nameserver.NameServerDaemon`.

        Args:
            limits: of searches with regular expressions.
            listen: calls the constructor of the daemon.
            close: called if a step after that fails.
        """
        period_seconds = checked_period(config.NS_AUTOCLEAN or 0.0)  # an invalid setting is found before anything is opened
        self._writers = Writers(write_token)  # the clients with the write token; before the daemon can be connected to
        # At least one, also in a server with a single thread: a search without a turn would never begin.
        self._turns = SearchTurns(max(1, config.THREADPOOL_SIZE // 2))
        self.nameserver = NameServer(storage, matcher=Matcher(limits), require_writer=self._require_writer,
                                     require_names=self._require_names, turns=self._turns)
        # The storage is opened before the socket, so that a name server that accepts connections can also answer them.
        try:
            listen()
        except BaseException:
            self.nameserver.close()
            raise
        try:
            # The last step: what answers under the reserved name is complete.
            self.nameserver.register_self(self.register(self.nameserver, constants.NAMESERVER_NAME))
        except BaseException:
            close()
            raise
        if period_seconds:
            # A thread, because checking an object that does not answer takes as long as its timeout.
            self._cleaner = AutoCleaner(self.nameserver.unleased_uris, self.nameserver.remove_unchanged, period_seconds)
            self._cleaner.start()

    @property
    def is_write_protected(self) -> bool:
        """Whether clients need a write token to change registrations."""
        return self._writers.are_limited

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        """Record whether a new client may change registrations. All clients are accepted. An override must call this method,
        otherwise no client is authorized.
        """
        # All clients may look names up; what they may change is decided for each request.
        self._writers.authorize(conn, data)
        return super().validateHandshake(conn, data)  # type: ignore[misc]

    def _require_writer(self) -> None:
        self._writers.require(self.transportServer)

    def _require_names(self, names: Iterable[str]) -> None:
        client = callcontext.current_context.client
        # Not for this process itself, nor while it serves a client of another daemon.
        if getattr(client, "server", None) is self.transportServer:
            check_names(self._dispatcher.gate, client, names)

    def _warn_unreachable(self, reason: str) -> None:
        """Do nothing: clients find a name server by the address that they connect to, not by its own URI."""
