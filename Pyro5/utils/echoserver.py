"""
An object to try things on, and a server for it: ``python -m Pyro5.utils.echoserver``, with a name server if wanted.
"""
from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from .. import config
from .._cli import console
from .._server.exposure import expose, oneway
from .._wire.uri import URI
from ..client import locate_ns
from ..nameserver import start_ns
from ..server import Daemon

OBJECT_NAME = "test.echoserver"
SLOW_SECONDS = 5.0


class EchoServer:
    """
    Methods for every kind of call. With the attribute ``verbose`` on, each prints what it does.

    Its methods may be called in any thread.
    """

    # set by the daemon that the object is registered in
    _pyroDaemon: Any = None

    def __init__(self) -> None:
        self._verbose = False
        self._shutting_down = threading.Event()

    def _report(self, text: str) -> None:
        if self._verbose:
            console.say("echo server: " + text)

    @expose
    def echo(self, message: Any) -> Any:
        """Give back the message."""
        self._report("echo %r" % (message,))
        return message

    @expose
    @oneway
    def oneway_echo(self, message: Any) -> Any:
        """Do as `echo` does, for a client that waits for no answer."""
        self._report("oneway_echo %r" % (message,))
        return message

    @expose
    def slow(self) -> str:
        """Return a text after five seconds (or at once when the server shuts down)."""
        self._take_time("slow")
        return "Finally, an answer!"

    @expose
    @oneway
    def oneway_slow(self) -> None:
        """Take five seconds, for a client that waits for no answer."""
        self._take_time("oneway_slow")

    def _take_time(self, what: str) -> None:
        self._report("%s begins" % what)
        self._shutting_down.wait(SLOW_SECONDS)
        self._report("%s is done" % what)

    @expose
    def error(self) -> None:
        """Raise a ValueError without a text."""
        self._report("error")
        raise ValueError()

    @expose
    def error_with_text(self) -> None:
        """Raise a ValueError that has a text."""
        self._report("error_with_text")
        raise ValueError("the message of the error")

    @expose
    def nan(self) -> float:
        """Give the float that is no number."""
        self._report("nan")
        return float("nan")

    @expose
    def inf(self) -> float:
        """Give the infinite float."""
        self._report("inf")
        return float("inf")

    @expose
    def generator(self) -> Iterator[str]:
        """Give some texts, one after the other, as an item stream."""
        self._report("generator")
        for number in ("one", "two", "three"):
            self._report("generator yields %s" % number)
            yield number

    @expose
    def __dunder__(self) -> str:
        """Show that a method with such a name can be called."""
        self._report("__dunder__")
        return "dunder"

    @expose
    def shutdown(self) -> None:
        """End the server that this object is registered in."""
        self._report("shutdown")
        self._shutting_down.set()
        self._pyroDaemon.shutdown()

    @expose
    @property
    def verbose(self) -> bool:
        """Whether calls are printed; clients may set it."""
        return self._verbose

    @verbose.setter
    def verbose(self, value: bool) -> None:
        self._verbose = bool(value)


class EchoDaemon(Daemon):
    """
    A daemon of the multiplex kind that takes its companions along when it closes.

    Attributes:
        companions: what was started with this daemon; closed after it.
    """

    def __init__(self, host: Optional[str], port: int, unixsocket: Optional[str]) -> None:
        self.companions = contextlib.ExitStack()
        with _server_type("multiplex"):
            super().__init__(host, port, unixsocket)

    def close(self) -> None:
        """Close this daemon, then the companions. May be called again."""
        super().close()
        self.companions.close()


@contextlib.contextmanager
def _server_type(name: str) -> Iterator[None]:
    """Make daemons of this type in the block; a daemon reads the setting only once, when it is made."""
    before = config.SERVERTYPE
    config.SERVERTYPE = name
    try:
        yield
    finally:
        config.SERVERTYPE = before


def _start_name_server(daemon: EchoDaemon, host: str, say: Callable[[str], None]) -> None:
    """Run a name server (in its own thread) as long as the daemon, and register the echo object there."""
    ns_uri, ns_daemon, responder = start_ns(host)
    daemon.companions.callback(ns_daemon.close)
    if responder is not None:
        daemon.companions.callback(responder.close)
        responder.runInThread()
    thread = threading.Thread(target=ns_daemon.requestLoop, daemon=True, name="Pyro5 name server")
    thread.start()
    daemon.companions.callback(thread.join)
    daemon.companions.callback(ns_daemon.shutdown)
    say("using name server at %s" % ns_uri)
    say("using broadcast server at %s" % responder.locationStr if responder else "not using a broadcast server")
    ns_daemon.nameserver.register(OBJECT_NAME, daemon.uriFor(OBJECT_NAME))


def _use_name_server(daemon: EchoDaemon, say: Callable[[str], None]) -> None:
    """Find the name server of this network and register the echo object there."""
    with locate_ns() as nameserver:
        say("using name server at %s" % nameserver._pyroUri)
        nameserver.register(OBJECT_NAME, daemon.uriFor(OBJECT_NAME))


def _start(options: argparse.Namespace) -> Tuple[EchoDaemon, EchoServer]:
    """Make the daemon with the echo object in it, and do about a name server what the options say."""
    say_more = console.say if options.verbose else console.say_nothing
    if not options.quiet:
        console.say("Starting Pyro's built-in test echo server.")
    daemon = EchoDaemon(options.host, options.port, options.unixsocket)
    try:
        echo = EchoServer()
        echo.verbose = options.verbose
        daemon.register(echo, OBJECT_NAME)
        if options.nameserver:
            _start_name_server(daemon, options.host, say_more)
        elif options.naming:
            _use_name_server(daemon, say_more)
        else:
            say_more("not using a name server.")
    except BaseException:
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
        _announce(daemon.uriFor(OBJECT_NAME), options)
        daemon.requestLoop(lambda: not signals.asked)


def _parse(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pyro5-echoserver", description="Run the test echo server.")
    option = parser.add_argument
    option("-H", "--host", default="localhost", help="host name or address to listen on (default: localhost)")
    option("-p", "--port", type=int, default=0, help="port to listen on, 0 is a free one (default: 0)")
    option("-u", "--unixsocket", help="listen on this Unix domain socket instead")
    option("-n", "--naming", action="store_true", help="register the object in the name server of this network")
    option("-N", "--nameserver", action="store_true", help="run a name server too, and register the object there")
    option("-v", "--verbose", action="store_true", help="print every call, and more at the start")
    option("-q", "--quiet", action="store_true", help="print nothing (unless -v is given as well)")
    options = parser.parse_args(args)
    options.quiet = options.quiet and not options.verbose
    return options


def main(args: Optional[Sequence[str]] = None, returnWithoutLooping: bool = False) -> Any:
    """
    Run the command line tool.

    Args:
        returnWithoutLooping: only make everything. The caller runs the daemon's request loop, and closes the daemon.

    Returns:
        the exit code; or, without looping, a tuple of the daemon, the `EchoServer` and its URI.
    """
    options = _parse(args)
    if returnWithoutLooping:
        daemon, echo = _start(options)
        uri = daemon.uriFor(OBJECT_NAME)
        _announce(uri, options)
        return daemon, echo, uri
    return console.exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
