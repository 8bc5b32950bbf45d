"""What reads the damaged bytes, in this process; and what it may raise.

Each target takes a case and raises whatever it should not have raised. A finding is also: an error in the log, a reply that
the other side cannot read, an exception of an unexpected class that the library itself raised, a connection to an address in
the data, something left behind.
"""
from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import traceback
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

import Pyro5
from Pyro5 import api, errors, protocol, serializers
from Pyro5._messages import handshake, replies
from Pyro5._messages.out_of_band import BufferOptions
from Pyro5._net.shared_memory import SharedMemory
from Pyro5._server.connection import ServerConnection
from Pyro5._values.uri import URI
from Pyro5._wire.reader import RECEIVE_BYTES, MessageReader
from Pyro5.protocol import ReceivingMessage

from . import cases, proofs, served, uses
from .cases import Case
from .connecting import ConnectionWatch

# What the documentation of SerializerBase.loads() lists.
MALFORMED: Tuple[Type[Exception], ...] = (errors.PyroError, ValueError, SyntaxError, TypeError, EOFError, KeyError,
                                          AttributeError)
# A method raised one of these: it goes through to the loop.
RAISED_BY_METHODS = (SystemExit, KeyboardInterrupt, GeneratorExit)
LIBRARY = os.path.dirname(os.path.abspath(Pyro5.__file__))


class Finding(Exception):
    """Something that must not be."""


class FakeSocket:
    """Gives what the test put in, takes everything."""

    family = 0

    def __init__(self, incoming: bytes = b"") -> None:
        self.incoming = incoming
        self.sent = bytearray()
        self.open = True

    def getpeername(self) -> Any:
        return "fuzzer", 1

    def recv(self, most: int) -> bytes:
        data, self.incoming = self.incoming[:most], self.incoming[most:]
        return data

    def recv_into(self, buffer: memoryview) -> int:
        data = self.recv(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        self.sent += data
        return len(data)

    def settimeout(self, seconds: Any) -> None:
        pass

    def fileno(self) -> int:
        return 99

    def shutdown(self, how: int) -> None:
        self.open = False

    def close(self) -> None:
        self.open = False


class _Errors(logging.Handler):
    """Keeps what the library logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


class Targets:
    """All targets; a context manager."""

    def __init__(self) -> None:
        self._settings = served.configured(ONEWAY_THREADED=False)
        self._settings.__enter__()
        for group in ("numpy", "pandas"):
            if importlib.util.find_spec(group) is not None:
                importlib.import_module(group)
                api.register_types(group)
        self.daemon = served.FuzzedDaemon()
        self._log = _Errors()
        self._connections = ConnectionWatch()
        self._unexpected: Optional[BaseException] = None
        self._watch_exceptions()
        self._run: Dict[str, Callable[[Case], None]] = {
            cases.READER: self.reader, cases.SESSION: self.session, cases.REPLY: self.reply, cases.PAYLOAD: self.payload,
            cases.URI: self.uri, cases.PROOFS: self.proofs}
        self._proofs = proofs.Proofs()

    def __enter__(self) -> Targets:
        logging.getLogger("Pyro5").addHandler(self._log)
        self._connections.start()
        self._proofs.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._proofs.__exit__()
        self._connections.stop()
        logging.getLogger("Pyro5").removeHandler(self._log)
        self.daemon.close()
        self.daemon.nameserver.close()
        self._settings.__exit__(None, None, None)

    def _watch_exceptions(self) -> None:
        """Look at every exception that is about to be sent to a client."""
        dispatcher = self.daemon._dispatcher
        make_reply = dispatcher._exception_reply

        def exception_reply(connection: Any, message: Any, correlation_id: bytes, error: Exception, *traceback: Any) -> Any:
            if not isinstance(error, MALFORMED) and _raised_by_library(error):
                self._unexpected = error
            return make_reply(connection, message, correlation_id, error, *traceback)
        dispatcher._exception_reply = exception_reply  # type: ignore[method-assign]

    def run(self, case: Case) -> None:
        """Return a case to its target.

        Raises:
            Exception: what the target should not have raised, or a Finding.
        """
        self._run[case.kind](case)
        if self._connections.addresses:
            addresses, self._connections.addresses = self._connections.addresses, []
            raise Finding("connected to %r, which the data asked for" % (addresses[0],))
        if self._log.seen:
            seen, self._log.seen = self._log.seen, []
            raise Finding("logged as an error: %s" % seen[0])
        if self._unexpected is not None:
            error, self._unexpected = self._unexpected, None
            raise Finding("raised in the library: %r" % error) from error

    # ------------------------------------------------------------ the wire

    def reader(self, case: Case) -> None:
        reader = MessageReader(served.MAX_MESSAGE_SIZE)
        reader.has_chunks = True
        try:
            for piece in case.pieces:
                self._feed(reader, piece)
        except errors.ProtocolError:
            return

    def _feed(self, reader: MessageReader, piece: bytes) -> List[ReceivingMessage]:
        messages = []
        source = FakeSocket(piece)
        while source.incoming:
            reader.receive_from(source)
            message = reader.next_message()
            while message is not None:
                messages.append(message)
                message = reader.next_message()
        if reader.buffered_bytes > 2 * (RECEIVE_BYTES + served.MAX_MESSAGE_SIZE):
            raise Finding("the reader keeps %d bytes" % reader.buffered_bytes)
        return messages

    def reply(self, case: Case) -> None:
        """What a client does with what a server sends."""
        try:
            reader = MessageReader(served.MAX_MESSAGE_SIZE)
            reader.has_chunks = True
            for message in self._feed(reader, case.pieces[0]):
                self._parse_reply(message)
        except errors.ProtocolError:
            return

    @staticmethod
    def _parse_reply(message: ReceivingMessage) -> None:
        try:
            if message.type in (protocol.MSG_CONNECTOK, protocol.MSG_CONNECTFAIL):
                handshake.parse_connect_reply(message)
            else:
                result = replies.parse_reply(message, serializers.get_serializer_by_id(message.serializer_id))
                for use in uses.uses(result):
                    with contextlib.suppress(*MALFORMED):
                        use()
        except Exception as x:  # a remote exception may be of any class; what the library itself raises may not
            if not isinstance(x, MALFORMED) and _raised_by_library(x, but_not="raise raisable"):
                raise

    # ------------------------------------------------------------ the server

    def session(self, case: Case) -> None:
        """A connection, from its first byte to its end, as the loop goes about it."""
        sock = FakeSocket()
        connection = ServerConnection(sock, None, served.MAX_MESSAGE_SIZE, 100000,
                                      handshake_done=case.handshake_done)  # type: ignore[arg-type]
        shared = SharedMemory(is_client=False)
        if case.handshake_done:
            connection.use_buffers(BufferOptions(True, shared))
        try:
            for piece in case.pieces:
                sock.incoming = piece
                while sock.incoming and not connection.closing:
                    connection.receive()
                    self._serve(connection)
        except RAISED_BY_METHODS:
            pass
        finally:
            self.daemon._connection_ended(connection)
        if len(self.daemon._streams):
            raise Finding("an item stream is left behind")
        self._read_replies(bytes(sock.sent))

    def _serve(self, connection: ServerConnection) -> None:
        try:
            while not connection.closing and connection.fetch_message():
                self.daemon.handleRequest(connection)
        except errors.ProtocolError as x:
            connection.closing = True
            reply = self.daemon._dispatcher.build_refusal(connection, x)
            if reply is not None:
                connection.send_message(reply)

    def _read_replies(self, data: bytes) -> None:
        reader = MessageReader()
        for message in self._feed(reader, data):
            self._parse_reply(message)
        if reader.mid_message:
            raise Finding("the last reply is cut off")

    # ------------------------------------------------------------ values

    def payload(self, case: Case) -> None:
        serializer = serializers.get_serializer_by_id(case.serializer)
        # as from a peer of another release, and as from one that sends registered types with their names
        new = serializer.for_dialect(3)
        for loads in (serializer.loads, serializer.loadsCall, new.loads_reply, new.loadsCall):
            try:
                loads(case.pieces[0])
            except MALFORMED:
                continue

    def proofs(self, case: Case) -> None:
        if self._proofs.serve(case.pieces, len(case.pieces[0])):
            raise Finding("a client without a key or a password was accepted")
        if self._proofs.connect(case.pieces):
            raise Finding("a server without the key was accepted, or got application data")

    def uri(self, case: Case) -> None:
        text = case.pieces[0].decode("utf-8", "surrogatepass")
        try:
            uri = URI(text)
        except errors.PyroError:
            return
        if URI(str(uri)) != uri:
            raise Finding("%r is not the same as %r" % (str(uri), text))


def _raised_by_library(error: BaseException, but_not: str = "\0") -> bool:
    """Return whether the innermost place that raised an exception is in the library (and is not this line)."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(LIBRARY) and but_not not in (frames[-1].line or "")
