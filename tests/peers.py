"""The other side of a client, played by a script: a listening socket whose connections are handled line by line."""
from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from Pyro5 import config, errors, protocol, serializers
from Pyro5._values.uri import URI
from Pyro5._wire.reader import MessageReader
from Pyro5.protocol import ReceivingMessage, SendingMessage

# Generous: it only passes when something is broken.
PATIENCE_SECONDS = 60.0

CERTIFICATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "certs")


class Request(NamedTuple):
    """A call that came in."""

    message: ReceivingMessage
    object_id: str
    method: str
    args: Sequence[Any]
    kwargs: Optional[Dict[str, Any]]


class Peer:
    """One connection of the scripted server. Reading raises EOFError when the client has closed it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_SECONDS)
        self._reader = MessageReader()

    def read(self) -> ReceivingMessage:
        message = self._reader.next_message()
        while message is None:
            count = self._reader.receive_from(self.sock)
            if not count:
                raise EOFError
            message = self._reader.next_message()
        return message

    def send(self, msgtype: int, request: ReceivingMessage, value: Any, flags: int = 0, **changes: Any) -> None:
        """Answer a request; changes may be seq, serializer (a name) and annotations."""
        serializer = serializers.get_serializer_by_id(request.serializer_id)
        if "serializer" in changes:
            serializer = serializers.get_serializer(changes["serializer"])
        self.sock.sendall(SendingMessage(msgtype, flags, changes.get("seq", request.seq), serializer.serializer_id,
                                         serializer.dumps(value), changes.get("annotations")).data)

    def welcome(self, methods: Sequence[str] = ("echo",), oneway: Sequence[str] = (), attrs: Sequence[str] = (),
                response: Any = "hello") -> ReceivingMessage:
        """Read a handshake and let the client in."""
        request = self.read()
        metadata = {"methods": list(methods), "oneway": list(oneway), "attrs": list(attrs)}
        self.send(protocol.MSG_CONNECTOK, request, {"handshake": response, "meta": metadata})
        return request

    def read_call(self) -> Request:
        message = self.read()
        serializer = serializers.get_serializer_by_id(message.serializer_id)
        return Request(message, *serializer.loadsCall(message.data))

    def answer(self, request: Request, value: Any, flags: int = 0, **changes: Any) -> None:
        self.send(protocol.MSG_RESULT, request.message, value, flags, **changes)

    def fail(self, request: Request, exception: BaseException) -> None:
        exception._pyroTraceback = ["remote traceback\n"]  # type: ignore[attr-defined]
        self.answer(request, exception, protocol.FLAGS_EXCEPTION)

    def open_stream(self, request: Request, stream_id: Optional[str]) -> None:
        annotations = None if stream_id is None else {"STRM": stream_id.encode()}
        self.answer(request, None, protocol.FLAGS_EXCEPTION | protocol.FLAGS_ITEMSTREAMRESULT, annotations=annotations)

    def serve(self, handle: Callable[..., Any]) -> None:
        """Answer calls with what the function gives for (method, *args, **kwargs), until the client goes."""
        with contextlib.suppress(EOFError):
            while True:
                request = self.read_call()
                try:
                    result = handle(request.method, *request.args, **(request.kwargs or {}))
                except Exception as x:  # whatever the test wants to be raised remotely
                    self.fail(request, x)
                else:
                    if not request.message.flags & protocol.FLAGS_ONEWAY:
                        self.answer(request, result)

    def wait_for_close(self) -> None:
        try:
            message = self.read()
        except EOFError:
            return
        except ConnectionError:
            return
        raise AssertionError("the client sent %r" % message)


Script = Callable[[Peer], Any]


class ScriptedServer:
    """Handles the first connection with the first script, and so on; as a context manager, which raises what a script raised.

    Args:
        scripts: called with a Peer each, in a thread each. Afterwards the connection is closed.
        family: socket.AF_INET, AF_INET6 or AF_UNIX.
        wrap: called with an accepted socket; gives the one to use.
    """

    def __init__(self, *scripts: Script, family: int = socket.AF_INET,
                 wrap: Optional[Callable[[socket.socket], socket.socket]] = None) -> None:
        self._scripts = scripts
        self._wrap = wrap
        self._directory: Optional[tempfile.TemporaryDirectory[str]] = None
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.settimeout(PATIENCE_SECONDS)
        self._listener.bind(self._own_address(family))
        self._listener.listen(16)
        self.location = self._location(family)
        self.results: List[Any] = [None] * len(scripts)
        self._problem: Optional[BaseException] = None
        self._threads = [threading.Thread(target=self._accept, name="scripted server")]

    def _own_address(self, family: int) -> Any:
        if family == getattr(socket, "AF_UNIX", None):
            self._directory = tempfile.TemporaryDirectory()
            return os.path.join(self._directory.name, "sock")
        return ("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0)

    def _location(self, family: int) -> str:
        address = self._listener.getsockname()
        if isinstance(address, str):
            return "./u:" + address
        return ("[%s]:%d" if family == socket.AF_INET6 else "%s:%d") % address[:2]

    @property
    def uri(self) -> str:
        """The uri of an object here."""
        return "PYRO:thing@" + self.location

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        try:
            for number in range(len(self._scripts)):
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._play, args=(number, sock), name="scripted connection %d" % number)
                self._threads.append(thread)
                thread.start()
        except OSError as x:
            self._problem = x

    def _play(self, number: int, sock: socket.socket) -> None:
        try:
            with self._wrap(sock) if self._wrap else sock as wrapped:
                self.results[number] = self._scripts[number](Peer(wrapped))
        except BaseException as x:  # it is raised again where the test waits for the end
            self._problem = x

    def __enter__(self) -> ScriptedServer:
        self._threads[0].start()
        return self

    def __exit__(self, exc_type: Any, *exc_info: object) -> None:
        if exc_type is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # no more connections will come
        for thread in self._threads:  # grows while the first one runs
            thread.join(PATIENCE_SECONDS)
        self._listener.close()
        if self._directory is not None:
            self._directory.cleanup()
        if self._problem is not None and exc_type is None:
            raise AssertionError("the scripted server failed") from self._problem


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def name_server(names: Dict[str, str], tags: Optional[Dict[str, Dict[str, str]]] = None,
                asked: Optional[List[Tuple[Any, ...]]] = None) -> Script:
    """Make a script that plays a name server; it puts down what it was asked."""
    def answer(method: str, *args: Any) -> Any:
        if asked is not None:
            asked.append((method, *args))
        if method == "yplookup":
            return (tags or {}).get(",".join(sorted(args[0] or args[1])), {})
        if args[0] not in names:
            raise errors.NamingError("unknown name: %s" % args[0])
        return URI(names[args[0]])

    def play(peer: Peer) -> None:
        peer.welcome(["lookup", "yplookup"])
        peer.serve(answer)

    return play


@contextlib.contextmanager
def settings(**changes: Any) -> Iterator[None]:
    """Change settings for the block."""
    before = {name: getattr(config, name) for name in changes}
    for name, value in changes.items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)
