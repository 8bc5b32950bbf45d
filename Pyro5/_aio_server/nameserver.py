"""The name server in an event loop."""
from __future__ import annotations

import asyncio
import logging
from typing import Any, Optional, Tuple

from .. import config
from .._naming.broadcast import BroadcastServer
from .._naming.regex_sandbox import ONE_AT_A_TIME, Limits
from .._naming.serving import NameServing
from .._values.uri import URI
from ..nameserver import why_no_broadcast
from .daemon import Daemon
from .ending import WaitForEnd

log = logging.getLogger("Pyro5.nameserver")


class NameServerDaemon(NameServing, Daemon):
    """A daemon with a name server registered in it under its reserved name; it also runs the periodic cleaning
    (setting NS_AUTOCLEAN). Its end stops the cleaning, and closes the storage unless the program passed it in.

    Attributes:
        nameserver: the `NameServer`.
    """

    def __init__(self, host: Optional[str] = None, port: Optional[int] = None, unixsocket: Optional[str] = None,
                 nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None, *,
                 write_token: Optional[str] = None) -> None:
        """Arguments and errors as for `Pyro5.nameserver.NameServerDaemon`."""
        self.responder: Optional[BroadcastResponder] = None
        # Threads remain available for other requests than searches.
        limits = Limits(at_once=config.THREADPOOL_SIZE // 2) if config.THREADPOOL_SIZE > 1 else ONE_AT_A_TIME
        self._begin_naming(storage, write_token, limits, lambda: super(NameServerDaemon, self).__init__(
            host, config.NS_PORT if port is None else port, unixsocket, nathost, natport), self.shutdown)

    def shutdown(self) -> WaitForEnd:
        """End searches and watches, then the daemon, and close the storage; see `Daemon.shutdown`."""
        # Before the daemon waits for the calls in progress, because searches could take longer than SHUTDOWN_TIMEOUT.
        self.nameserver.end_searches()
        self.nameserver.end_watches()
        return super().shutdown()

    def _request_ended(self) -> None:
        self._turns.end()

    def _stop_threads(self) -> None:
        if self._cleaner is not None:
            self._cleaner.stop()
        super()._stop_threads()

    def _finish(self) -> None:
        if self.responder is not None:
            self.responder.close()
        super()._finish()
        self.nameserver.close()  # last: everything that uses the storage has ended


class BroadcastResponder(asyncio.DatagramProtocol):
    """Answers broadcast lookups with the uri of a name server, in the event loop. The end of the daemon closes it as well.

    Attributes:
        sock: the UDP socket.
        locationStr: ``host:port`` of the bound socket.
        nsUri: the uri that is sent to clients.
    """

    def __init__(self, server: BroadcastServer) -> None:
        self._server = server
        self._transport: Any = None
        # The same attributes as the responder of the other daemon, for programs that print them.
        self.sock, self.locationStr, self.nsUri = server.sock, server.locationStr, server.nsUri

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            # The check and the answer are the same as there; only the socket is in the loop.
            answer = self._server.answer_to(data, addr)
        except OSError as x:
            self.error_received(x)  # one answer that cannot be sent is no reason to stop
            return
        if answer is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("broadcast lookup not answered: %s", exc)

    def close(self) -> None:
        """Stop answering. Can be called more than once."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()  # no datagram waits to be sent

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._server.close()


async def start_ns(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
                   bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
                   nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None, *,
                   write_token: Optional[str] = None) -> Tuple[URI, NameServerDaemon, Optional[BroadcastResponder]]:
    """Start a name server in the running event loop. Arguments and errors as for `Pyro5.api.start_ns`.

    Returns:
        the uri for clients, the daemon, and the broadcast responder (or None). ``await daemon.close()`` ends all of it.
    """
    daemon = NameServerDaemon(host, port, unixsocket, nathost, natport, storage, write_token=write_token)
    try:
        await daemon
        if enableBroadcast and not unixsocket and not why_no_broadcast(daemon):
            # A broadcast does not pass address translation: it is answered with the internal address.
            server = BroadcastServer(daemon.uriFor(daemon.nameserver, nat=False), bchost, bcport)
            daemon.responder = await _begin_responding(server)
    except BaseException:
        await daemon.close()
        # Accepts connections already; ended if the responder cannot be started, for example because the port is in use.
        raise
    uri = daemon.uriFor(daemon.nameserver)
    log.info("name server ready: %s", uri)
    return uri, daemon, daemon.responder


async def _begin_responding(server: BroadcastServer) -> BroadcastResponder:
    try:
        responder = BroadcastResponder(server)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: responder, sock=server.sock)
        return responder
    except BaseException:
        server.close()
        raise


NameServerDaemon.__module__ = start_ns.__module__ = "Pyro5.aio"
