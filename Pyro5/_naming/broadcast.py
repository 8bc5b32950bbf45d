"""The broadcast responder: tells clients on the local network the location of the name server.

A client sends the datagram ``GET_NSURI`` to a broadcast address; every responder that receives it replies with the uri
of its name server. All other datagrams are ignored.
"""
from __future__ import annotations

import logging
import selectors
import socket
import threading
from typing import Any, Iterable, List, Optional, Tuple

from .. import config, errors, socketutil
from .._auth import broadcast_answer
from .._net.wakeup import Wakeup
from .._values.uri import URI
from ..constants import NS_QUESTION

log = logging.getLogger("Pyro5.broadcast")

# More than any question has: a longer datagram is cut off, and is no question then.
RECEIVE_BYTES = 64


class BroadcastServer:
    """Answers broadcast lookups with the uri of one name server. It is bound and ready when the constructor returns.

    It can run in three ways: in the loop of a daemon (``daemon.combine(server)``), in its own thread (`runInThread`), or in an
    event loop of the program that waits for its `sockets` and calls `events`. Only `close` may be called from other threads.

    Attributes:
        sock: the UDP socket, non-blocking.
        locationStr: ``host:port`` of the bound socket.
        nsUri: the uri that is sent to clients.
    """

    def __init__(self, nsUri: Any, bchost: Any = None, bcport: Optional[int] = None, ipv6: Optional[bool] = False) -> None:
        """Args:
            nsUri: URI (or its text) of the name server. The host ``0.0.0.0`` in it is replaced, in each reply, by
                the address of the network interface that reaches the client.
            bchost: host name or address to listen on; None means the setting NS_BCHOST, and if that is None too, all
                interfaces of this machine.
            bcport: UDP port; None means the setting NS_BCPORT, 0 a free port.

        Raises:
            OSError: cannot listen on that address; the text names it.
        """
        self.nsUri = URI(nsUri)
        host = config.NS_BCHOST if bchost is None else str(bchost)
        port = config.NS_BCPORT if bcport is None else bcport
        self.sock = socketutil.create_bc_socket((host or "", port), reuseaddr=config.SOCK_REUSE, timeout=None, ipv6=ipv6)
        self.sock.setblocking(False)
        self.locationStr = socketutil.address_text(self.sock.getsockname())
        # Built once, because it is the same for all clients unless the server is bound to all interfaces.
        self._answer = str(self.nsUri).encode("iso-8859-1", "replace")
        # Guards starting and stopping the thread of runInThread; _thread and _wakeup are set while it runs.
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._wakeup: Optional[Wakeup] = None
        log.info("broadcast responder for %s listens on %s", self.nsUri, self.locationStr)

    def __enter__(self) -> BroadcastServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def getPort(self) -> int:
        """Return the bound UDP port."""
        return int(self.sock.getsockname()[1])

    def fileno(self) -> int:
        """Return the file descriptor of the socket, so that the server itself can be passed to ``select``; -1 once closed."""
        return self.sock.fileno()

    @property
    def sockets(self) -> List[socket.socket]:
        """The sockets to wait for in an event loop; empty once the server is closed."""
        return [self.sock] if self.sock.fileno() >= 0 else []

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Answer one pending datagram if the socket (or the server itself) is among those given."""
        # Programs pass the socket, its number or this object, as 5.x allowed.
        if any(sock is self.sock or sock is self or sock == self.sock.fileno() for sock in eventsockets):
            self.processRequest()

    def processRequest(self) -> None:
        """Receive one datagram, if there is one, and answer it if it is a lookup. Never blocks and never raises."""
        try:
            question, asker = self.sock.recvfrom(RECEIVE_BYTES)
            answer = self.answer_to(question, asker)
            if answer is not None:
                self.sock.sendto(answer, asker)
        except BlockingIOError:
            # select reported a datagram with a bad checksum, or another caller has received it
            return
        except OSError as x:
            # an error caused by one client (a longer datagram, an unreachable address) must not stop the responder
            log.debug("broadcast lookup not answered: %s", x)

    def answer_to(self, question: bytes, asker: Any) -> Optional[bytes]:
        """Return the answer to a datagram, None if it is no lookup. Raises OSError if the client cannot be reached."""
        if question == NS_QUESTION:
            log.debug("broadcast lookup from %s", asker)
            return self._answer_for(asker)
        # Before anything is computed: only clients with a key send a nonce.
        if not question.startswith(NS_QUESTION + b" "):
            return None
        try:
            return broadcast_answer(question, self._answer_for(asker))
        except errors.SecurityError as x:
            log.warning("broadcast lookup from %s not answered: %s", asker, x)
            return None

    def _answer_for(self, asker: Tuple[Any, ...]) -> bytes:
        """Return the reply for this client. A name server bound to all interfaces has a different address on each network; the
        client must get the one that it can reach.
        """
        if self.nsUri.host != "0.0.0.0":
            return self._answer
        # A copy: only this client gets the address.
        uri = URI(self.nsUri)
        uri.host = str(socketutil.get_interface(asker[0]).ip)
        return str(uri).encode("iso-8859-1")

    def runInThread(self) -> threading.Thread:
        """Start a thread that answers lookups until `close`, and return it.

        Raises:
            RuntimeError: the responder runs in a thread already, or is closed.
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
        """Stop and join the thread, if there is one, and close the socket. Can be called more than once, from any other
        thread.
        """
        # The lock is held to the end, so that a concurrent close cannot close the socket while the thread still uses it.
        with self._lock:
            if self._thread is not None and self._wakeup is not None:
                self._wakeup.wake()
                self._thread.join()
                self._wakeup.close()
                self._thread = self._wakeup = None
            self.sock.close()
