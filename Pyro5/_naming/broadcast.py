"""
The broadcast responder: tells clients on the local network where the name server is.

A client sends the datagram ``GET_NSURI`` to a broadcast address; every responder that hears it answers with the uri
of its name server. Nothing else is ever answered.
"""
from __future__ import annotations

import logging
import selectors
import socket
import threading
from typing import Any, Iterable, List, Optional, Tuple

from .. import config, socketutil
from .._net.wakeup import Wakeup
from .._wire.uri import URI
from ..constants import NS_QUESTION

log = logging.getLogger("Pyro5.broadcast")

# One byte more than the question shows that a datagram is longer; the rest of it is of no interest.
RECEIVE_BYTES = len(NS_QUESTION) + 1


class BroadcastServer:
    """
    Answers broadcast lookups with the uri of one name server. It is bound and ready when the constructor returns.

    Three ways to run it: let a daemon do it (``daemon.combine(server)``), give it a thread (`runInThread`), or put its
    `sockets` into an event loop of your own that calls `events`. Only `close` may be called from other threads.

    Attributes:
        sock: the UDP socket, non-blocking.
        locationStr: ``host:port`` as it is bound.
        nsUri: the uri that is given out.
    """

    def __init__(self, nsUri: Any, bchost: Any = None, bcport: Optional[int] = None, ipv6: Optional[bool] = False) -> None:
        """
        Args:
            nsUri: URI (or its text) of the name server. The host ``0.0.0.0`` in it is replaced, in each answer, by
                the address of the network interface that reaches the asking client.
            bchost: host name or address to listen on; None is the setting NS_BCHOST, and if that is None too, every
                interface of this machine.
            bcport: None is the setting NS_BCPORT; 0 is a free port.

        Raises:
            OSError: cannot listen there; the text names the address.
        """
        self.nsUri = URI(nsUri)
        host = config.NS_BCHOST if bchost is None else str(bchost)
        port = config.NS_BCPORT if bcport is None else bcport
        self.sock = socketutil.create_bc_socket((host or "", port), reuseaddr=config.SOCK_REUSE, timeout=None, ipv6=ipv6)
        self.sock.setblocking(False)
        self.locationStr = socketutil.address_text(self.sock.getsockname())
        self._answer = str(self.nsUri).encode("iso-8859-1", "replace")
        # Guards the start and the end of runInThread's thread; _thread and _wakeup exist while it runs.
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._wakeup: Optional[Wakeup] = None
        log.info("broadcast responder for %s listens on %s", self.nsUri, self.locationStr)

    def __enter__(self) -> BroadcastServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def getPort(self) -> int:
        """Return the UDP port it is bound to."""
        port: int = self.sock.getsockname()[1]
        return port

    def fileno(self) -> int:
        """Return the descriptor of the socket, so that the server itself can be passed to ``select``; -1 once closed."""
        return self.sock.fileno()

    @property
    def sockets(self) -> List[socket.socket]:
        """The sockets to wait for in an event loop; none once the server is closed."""
        return [self.sock] if self.sock.fileno() >= 0 else []

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Answer the question that waits in the socket, if the socket (or the server itself) is among those given."""
        if any(sock is self.sock or sock is self or sock == self.sock.fileno() for sock in eventsockets):
            self.processRequest()

    def processRequest(self) -> None:
        """Take one datagram, if there is one, and answer it if it is the question. Never blocks, never raises."""
        try:
            question, asker = self.sock.recvfrom(RECEIVE_BYTES)
            if question == NS_QUESTION:
                log.debug("broadcast lookup from %s", asker)
                self.sock.sendto(self._answer_for(asker), asker)
        except BlockingIOError:
            # the datagram turned out to be damaged, or another caller took it
            return
        except OSError as x:
            # what one asker does (a longer datagram, an unreachable address) must not end the service
            log.debug("broadcast lookup not answered: %s", x)

    def _answer_for(self, asker: Tuple[Any, ...]) -> bytes:
        """
        Give the text for this asker. A name server bound to every interface is at a different address for each
        network; the asker must get the one that it can reach.
        """
        if self.nsUri.host != "0.0.0.0":
            return self._answer
        uri = URI(self.nsUri)
        uri.host = str(socketutil.get_interface(asker[0]).ip)
        return str(uri).encode("iso-8859-1")

    def runInThread(self) -> threading.Thread:
        """
        Start a thread that answers until `close`, and give it.

        Raises:
            RuntimeError: it has been started already, or closed.
        """
        with self._lock:
            if self._thread is not None or not self.sockets:
                raise RuntimeError("the broadcast responder at %s runs in a thread already, or is closed" % self.locationStr)
            self._wakeup = Wakeup()
            self._thread = threading.Thread(target=self._run, args=(self._wakeup,), daemon=True,
                                            name="Pyro5 broadcast responder")
            self._thread.start()
            return self._thread

    def _run(self, wakeup: Wakeup) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if wakeup in ready:
                    return
                self.events(ready)

    def close(self) -> None:
        """Stop and join the thread, if there is one, and close the socket. May be called again, in any other thread."""
        # The lock is held to the end: whoever closes at the same time must not take the socket from the thread.
        with self._lock:
            if self._thread is not None and self._wakeup is not None:
                self._wakeup.wake()
                self._thread.join()
                self._wakeup.close()
                self._thread = self._wakeup = None
            self.sock.close()
