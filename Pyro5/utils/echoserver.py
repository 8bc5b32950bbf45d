"""A test object, and a server for it: ``python -m Pyro5.utils.echoserver``, optionally with a name server."""
from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from .. import config, errors
from .._cli import console
from .._cli.parser import ToolParser
from .._objects.exposure import expose, oneway
from .._values.uri import URI
from ..client import locate_ns
from ..nameserver import start_ns
from ..server import Daemon

OBJECT_NAME = "test.echoserver"
SLOW_SECONDS = 5.0
SHOWN_CHARS = 2000      # of a message that is printed


class EchoServer:
    """Has methods for every kind of call. If the attribute ``verbose`` is true, each call is printed.

    Its methods may be called in any thread.
    """

    # set by the daemon when the object is registered
    _pyroDaemon: Any = None  # it is needed for shutdown() only

    def __init__(self) -> None:
        self._verbose = False
        # Set by shutdown(), so that slow calls end at once.
        self._shutting_down = threading.Event()

    def _report(self, text: str) -> None:
        if self._verbose:
            console.say("echo server: " + text)

    @expose
    def echo(self, message: Any) -> Any:
        """Return the message."""
        # Limited, because a client chooses the text, and unprintable characters could control the terminal.
        self._report("echo " + errors.one_line(repr(message), SHOWN_CHARS))
        return message

    @expose
    @oneway
    def oneway_echo(self, message: Any) -> Any:
        """Do the same as `echo` in a oneway call."""
        self._report("oneway_echo " + errors.one_line(repr(message), SHOWN_CHARS))
        return message

    @expose
    def slow(self) -> str:
        """Return a text after five seconds (or at once when the server shuts down)."""
        self._take_time("slow")
        return "Finally, an answer!"

    @expose
    @oneway
    def oneway_slow(self) -> None:
        """Wait five seconds in a oneway call."""
        # The client does not wait, but the server is busy all the same.
        self._take_time("oneway_slow")

    def _take_time(self, what: str) -> None:
        self._report("%s begins" % what)
        # an event instead of sleep(): the server must not take five seconds to stop
        self._shutting_down.wait(SLOW_SECONDS)
        self._report("%s is done" % what)

    @expose
    def error(self) -> None:
        """Raise a ValueError without a text."""
        self._report("error")
        # Without a text, because clients once showed these as an empty line.
        raise ValueError()

    @expose
    def error_with_text(self) -> None:
        """Raise a ValueError with a text."""
        self._report("error_with_text")
        raise ValueError("the message of the error")

    @expose
    def nan(self) -> float:
        """Return a NaN float."""
        self._report("nan")
        # NaN and infinity have no form in JSON; clients test how their serializer sends them.
        return float("nan")

    @expose
    def inf(self) -> float:
        """Return an infinite float."""
        self._report("inf")
        return float("inf")

    @expose
    def generator(self) -> Iterator[str]:
        """Yield some texts, one by one, as an item stream."""
        self._report("generator")
        for number in ("one", "two", "three"):
            self._report("generator yields %s" % number)
            # One item at a time: the output shows that items are made when the client asks for them.
            yield number

    @expose
    def __dunder__(self) -> str:
        """Return a text; shows that a method with a dunder name can be called."""
        self._report("__dunder__")
        return "dunder"

    @expose
    def shutdown(self) -> None:
        """Stop the server that this object is registered in."""
        self._report("shutdown")
        # First: a slow call would otherwise delay the end by its whole time.
        self._shutting_down.set()
        self._pyroDaemon.shutdown()  # returns at once; the reply to this call is still sent

    @expose
    @property
    def verbose(self) -> bool:
        """Whether calls are printed; clients may set it."""
        return self._verbose

    @verbose.setter
    def verbose(self, value: bool) -> None:
        self._verbose = bool(value)  # a client may send any value


class EchoDaemon(Daemon):
    """A daemon of the multiplex type that also closes its companions.

    Attributes:
        companions: objects started along with this daemon; closed after it.
    """

    def __init__(self, host: Optional[str], port: int, unixsocket: Optional[str]) -> None:
        self.companions = contextlib.ExitStack()
        # One thread: calls of the test object never run at the same time, so their output is not mixed up. The setting is
        # restored, because the tool is also called by programs, whose own daemons have another type.
        before, config.SERVERTYPE = config.SERVERTYPE, "multiplex"
        try:
            super().__init__(host, port, unixsocket)
        finally:
            config.SERVERTYPE = before

    def close(self) -> None:
        """Close this daemon, then the companions. Can be called more than once."""
        # In this order: calls that are running may still use the companions.
        super().close()
        self.companions.close()


def _start_name_server(daemon: EchoDaemon, host: str, say: Callable[[str], None]) -> None:
    """Run a name server in its own thread until the daemon is closed, and register the echo object there."""
    ns_uri, ns_daemon, responder = start_ns(host)
    # Callbacks run in the reverse order: the loop is stopped, its thread joined, and only then is everything closed.
    daemon.companions.callback(ns_daemon.close)
    if responder is not None:
        daemon.companions.callback(responder.close)
        # In its own thread: a broadcast must be answered while the name server is serving others.
        responder.runInThread()
    thread = threading.Thread(target=ns_daemon.requestLoop, daemon=True, name="Pyro5 name server")
    thread.start()
    daemon.companions.callback(thread.join)
    daemon.companions.callback(ns_daemon.shutdown)
    say("using name server at %s" % ns_uri)
    say("using broadcast server at %s" % responder.locationStr if responder else "not using a broadcast server")
    # directly and not by a proxy, so that the name is registered when the tool says that it is ready
    ns_daemon.nameserver.register(OBJECT_NAME, daemon.uriFor(OBJECT_NAME))


def _start(options: argparse.Namespace) -> Tuple[EchoDaemon, EchoServer]:
    """Create the daemon with the echo object, and start or use a name server according to the options."""
    say_more = console.say if options.verbose else console.say_nothing
    if not options.quiet:
        console.say("Starting Pyro's built-in test echo server.")
    daemon = EchoDaemon(options.host, options.port, options.unixsocket)
    try:
        echo = EchoServer()
        # Before it is registered: the first call may come at once.
        echo.verbose = options.verbose
        daemon.register(echo, OBJECT_NAME)
        if options.nameserver:
            _start_name_server(daemon, options.host, say_more)
        elif options.naming:
            with locate_ns() as nameserver:
                say_more("using name server at %s" % nameserver._pyroUri)
                nameserver.register(OBJECT_NAME, daemon.uriFor(OBJECT_NAME))
        else:
            say_more("not using a name server.")
    except BaseException:
        # The name server is already running in a thread, and has to be stopped.
        daemon.close()
        raise
    return daemon, echo


def _announce(uri: URI, options: argparse.Namespace) -> None:
    if not options.quiet:
        console.say("object name: %s" % OBJECT_NAME, "echo uri: %s" % uri, "echoserver running.")


def _run(options: argparse.Namespace) -> None:
    daemon, _ = _start(options)
    with console.StopSignals() as signals, contextlib.closing(daemon):
        daemon.combine(signals)
        _announce(daemon.uriFor(OBJECT_NAME), options)  # after the loop is prepared: who reads this may call at once
        daemon.requestLoop(lambda: not signals.asked)


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5-echoserver", description="Run the test echo server.")
    option = parser.add_argument
    option("-H", "--host", default="localhost", help="host name or address to listen on (default: localhost)")
    option("-p", "--port", type=console.port, default=0, help="port to listen on; 0 = any free port (default: 0)")
    option("-u", "--unixsocket", help="listen on this Unix domain socket instead")
    option("-n", "--naming", action="store_true", help="register the object in a name server that is already running")
    option("-N", "--nameserver", action="store_true", help="also run a name server, and register the object in it")
    option("-v", "--verbose", action="store_true", help="print every call, and more information at startup")
    option("-q", "--quiet", action="store_true", help="print nothing (unless -v is given as well)")
    return parser


def main(args: Optional[Sequence[str]] = None, returnWithoutLooping: bool = False) -> Any:
    """Run the command line tool.

    Args:
        returnWithoutLooping: only create everything. The caller runs the daemon's request loop, and closes the daemon.

    Returns:
        the exit code; or, without looping, a tuple of the daemon, the `EchoServer` and its URI.
    """
    options = make_parser().parse_args(args)
    options.quiet = options.quiet and not options.verbose
    # For tests, which run the request loop in a thread of their own.
    if returnWithoutLooping:
        daemon, echo = _start(options)
        uri = daemon.uriFor(OBJECT_NAME)
        _announce(uri, options)
        return daemon, echo, uri
    return console.exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
