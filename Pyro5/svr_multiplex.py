"""Server type ``multiplex``: the loop itself runs the calls, one at a time."""
from __future__ import annotations

from ._net.busy_poll import SpinningSelector, is_promising
from ._server.connection import ServerConnection
from ._server.loop import SocketServer


class SocketServer_Multiplex(SocketServer):
    """Serves all clients in the thread that runs the loop: no two calls ever run at the same time."""

    def __repr__(self) -> str:
        return "<%s on %s; %d connections>" % (type(self).__name__, self.locationStr, len(self._connections))

    def begin(self) -> None:
        super().begin()
        self._choose_how_to_wait()

    def tick(self) -> None:
        super().tick()
        self._choose_how_to_wait()

    def _choose_how_to_wait(self) -> None:
        if not is_promising():
            self._spinning = None
        elif self._spinning is None:
            self._spinning = SpinningSelector()

    def serve(self, connection: ServerConnection) -> bool:
        self.callbacks.handle_request(connection)
        if not self.turn_is_over():
            return True
        self.hand_over(connection)  # more may be in already, but others were waiting before it came
        self.park(connection)
        return False

    def end(self, connection: ServerConnection) -> None:
        self.callbacks.connection_ended(connection)
