"""The name server: a Pyro object that maps names to uris, its daemon, and the command line tool that runs it
(``python -m Pyro5.nameserver``).
"""
from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Optional, Sequence, Tuple

from . import config, errors
from ._cli import access_options, console
from ._client.discovery import retry_until_found
from ._naming.authorization import read_token
from ._naming.autoclean import checked_period
from ._naming.broadcast import BroadcastServer
from ._naming.regex_sandbox import ONE_AT_A_TIME, Limits
from ._naming.registry import NameServer
from ._naming.serving import NameServing
from ._naming.storage import Storage
from ._naming.storage.memory import MemoryStorage
from ._naming.storage.specs import STORAGE_CHOICES, open_storage
from ._net import addresses
from ._values.uri import URI
from ._server.callbacks import PlainAnswer
from ._server.connection import ServerConnection
from .server import Daemon

if TYPE_CHECKING:
    import argparse
    from ._cli.parser import ToolParser

__all__ = ["BroadcastServer", "MemoryStorage", "NameServer", "NameServerDaemon", "Storage",
           "lookup", "main", "open_storage", "start_ns", "start_ns_loop", "yplookup"]

log = logging.getLogger("Pyro5.nameserver")


def __getattr__(name: str) -> Any:
    """Return the storage classes that are imported on first use."""
    if name == "SqlStorage":
        from ._naming.storage.sqlite import SqlStorage  # see storage.specs
        return SqlStorage
    if name == "DbmStorage":
        from ._naming.storage.dbm import DbmStorage  # see storage.specs
        return DbmStorage
    raise AttributeError("module '%s' has no attribute '%s'" % (__name__, name))


class NameServerDaemon(NameServing, Daemon):
    """A daemon with a name server registered in it under its reserved name; it also runs the periodic cleaning
    (setting NS_AUTOCLEAN). `close` stops the cleaning, and closes the storage unless the program passed it in.

    Attributes:
        nameserver: the `NameServer`.
    """

    def __init__(self, host: Optional[str] = None, port: Optional[int] = None, unixsocket: Optional[str] = None,
                 nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None, *,
                 write_token: Optional[str] = None) -> None:
        """Args:
            host, port, nathost, natport: None means the settings HOST, NS_PORT, NATHOST and NATPORT.
            storage: as for `open_storage`.
            write_token: only clients that send this text as their ``_pyroHandshake`` can change registrations; None: all can.

        Raises:
            OSError: cannot listen on that address, the text names it.
            ValueError: unknown storage type, NS_AUTOCLEAN is too short, or the write token is invalid.
            NamingError: the storage cannot be used.
        """
        self._begin_naming(storage, write_token, _search_limits(), lambda: super(NameServerDaemon, self).__init__(
            host, config.NS_PORT if port is None else port, unixsocket, nathost, natport), self.close)

    def handleRequest(self, conn: Any) -> None:
        """Process one request; when its reply has been encoded, the slot of a search is released."""
        try:
            # Also if the request has failed, and for requests that have no slot: end() ignores those.
            super().handleRequest(conn)
        finally:
            self._turns.end()

    _own_handle_request = handleRequest

    def _plain_answer(self) -> PlainAnswer:
        answer, inherited = super()._plain_answer(), super()._own_handle_request

        def answer_and_release(connection: ServerConnection, data: bytes, large: Optional[bytes]) -> bool:
            # PlainCalls looks at the method above, which calls another one: a program may have overridden that.
            if super(NameServerDaemon, self).handleRequest != inherited:
                return False
            try:
                return answer(connection, data, large)
            finally:
                self._turns.end()
        return answer_and_release

    def shutdown(self) -> None:
        """End the watches and the request loop. Returns at once."""
        # Otherwise the daemon would wait for the requests of watchers, as for all calls in progress.
        self.nameserver.end_watches()
        super().shutdown()

    def close(self) -> None:
        """Stop cleaning, close all connections, then the storage. Can be called more than once."""
        # The order matters: first everything that uses the storage is stopped, and the storage is closed last. Searches are
        # ended before the daemon waits for the calls in progress, because they could take longer than SHUTDOWN_TIMEOUT.
        if self._cleaner is not None:
            self._cleaner.stop()
        self.nameserver.end_searches()
        self.nameserver.end_watches()
        super().close()
        self.nameserver.close()


def _search_limits() -> Limits:
    """Return the limits for regular expression searches, chosen so that threads remain available for other requests."""
    # Multiplex executes one request at a time, so a second process would have nothing to do.
    if config.SERVERTYPE == "multiplex" or config.THREADPOOL_SIZE < 2:
        return ONE_AT_A_TIME
    return Limits(at_once=config.THREADPOOL_SIZE // 2)


def start_ns(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
             bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
             nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None, *,
             write_token: Optional[str] = None) -> Tuple[URI, NameServerDaemon, Optional[BroadcastServer]]:
    """Create a name server, ready for connections, for the event loop of the program (or ``daemon.requestLoop``).

    Args:
        host, port, unixsocket, nathost, natport, storage, write_token: as for `NameServerDaemon`.
        enableBroadcast: also create a broadcast responder, unless the name server is on a loopback address, a Unix
            socket, or IPv6.
        bchost, bcport: as for `BroadcastServer`.

    Returns:
        the uri for clients, the daemon, and the responder (or None). The caller closes daemon and responder.

    Raises:
        OSError, ValueError, NamingError: as `NameServerDaemon`; an OSError also if the responder cannot listen.
    """
    daemon = NameServerDaemon(host, port, unixsocket, nathost, natport, storage, write_token=write_token)
    responder = None
    # A Unix domain socket has no address that a broadcast could be answered with.
    if enableBroadcast and not unixsocket and not why_no_broadcast(daemon):
        try:
            # A broadcast does not pass address translation: it is answered with the internal address.
            responder = BroadcastServer(daemon.uriFor(daemon.nameserver, nat=False), bchost, bcport)
        except BaseException:
            daemon.close()  # it listens already, on a port that the next attempt needs
            raise
    uri = daemon.uriFor(daemon.nameserver)
    log.info("name server ready: %s", uri)
    return uri, daemon, responder


def _ip_of(daemon: Any) -> str:
    return str(daemon.sock.getsockname()[0])


def why_no_broadcast(daemon: Any) -> Optional[str]:
    """Return why a name server on a TCP address has no broadcast responder, None if it can have one."""
    ip = _ip_of(daemon)
    # Others could receive the answer, but not connect.
    if addresses.is_loopback(ip):
        return "Not starting broadcast server for localhost."
    if ":" in ip:
        return "Not starting broadcast server: there is no broadcast on IPv6."
    return None


def start_ns_loop(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
                  bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
                  nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None,
                  loopCondition: Callable[[], bool] = lambda: True, *, write_token: Optional[str] = None) -> None:
    """Run a name server until Ctrl-C, SIGTERM (in the main thread, unless the program handles them itself) or
    ``daemon.shutdown``. Prints its location, and notifies the service manager (systemd) if that started it.

    Args:
        loopCondition: the name server also stops when this returns False, as in ``Daemon.requestLoop``.

    The other arguments are those of `start_ns`.
    """
    _, daemon, responder = start_ns(host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage,
                                    write_token=write_token)
    # Callbacks run in the reverse order: the service manager is notified, then daemon and responder are closed, then the line
    # is printed.
    with contextlib.ExitStack() as at_end:
        at_end.callback(console.say, "NS shut down.")  # printed last, when the ports are free again
        signals = at_end.enter_context(console.StopSignals())
        # A signal wakes the loop, which otherwise waits for clients.
        daemon.combine(signals)
        if responder is not None:
            at_end.callback(responder.close)
            # The responder has no thread: the loop of the daemon answers broadcasts as well.
            daemon.combine(responder)
        at_end.callback(daemon.close)
        lines = list(_announcement(daemon, responder, bool(unixsocket)))
        # Only here: a program that starts a name server knows where its clients are.
        if not unixsocket:
            lines += _loopback_hint(daemon, str(addresses.server_host() if host is None else host))
        for line in lines:
            console.say(line)
        # after the lines: systemd starts programs that need the name server now
        console.tell_service_manager("READY=1", "STATUS=Serving %s" % daemon.uriFor(daemon.nameserver))
        at_end.callback(console.tell_service_manager, "STOPPING=1")
        daemon.requestLoop(lambda: not signals.asked and loopCondition())


def lookup(ns: Any, name: str, return_metadata: Any = False, delay_time: float = 0.0) -> Any:
    """Look up a name as ``ns.lookup`` does, but wait until it is registered.

    Args:
        ns: a proxy for a name server, or a `NameServer`.
        delay_time: seconds to wait at most; 0 means the setting NS_LOOKUP_DELAY.

    Raises:
        NamingError: the name is still not registered.
    """
    if return_metadata is not True and isinstance(return_metadata, (int, float)):  # True and False are ints as well
        return_metadata, delay_time = False, return_metadata or delay_time  # lookup(ns, name, 5.0): 5.0 is the delay
    return retry_until_found(lambda: ns.lookup(name, return_metadata=return_metadata), delay_time)


def yplookup(ns: Any, meta_all: Optional[Iterable[str]] = None, meta_any: Optional[Iterable[str]] = None,
             return_metadata: bool = True, delay_time: float = 0.0) -> Dict[str, Any]:
    """Search by metadata as ``ns.yplookup`` does, but wait until the search finds something.

    Args:
        ns, delay_time: as for `lookup`.

    Returns:
        what ``ns.yplookup`` returns; empty if nothing was registered in time.
    """
    def search() -> Dict[str, Any]:
        # Asked once more after each pause; a name server cannot tell clients when something is registered, except to watchers.
        found: Dict[str, Any] = ns.yplookup(meta_all=meta_all, meta_any=meta_any, return_metadata=return_metadata)
        if not found:
            raise _NothingFound  # a NamingError, for which retry_until_found tries again
        return found

    try:
        return retry_until_found(search, delay_time)
    except _NothingFound:
        return {}


class _NothingFound(errors.NamingError):
    """The search has not found anything yet."""


def _announcement(daemon: NameServerDaemon, responder: Optional[BroadcastServer], is_unix: bool) -> Iterable[str]:
    """Yield the lines that are printed when the name server is ready."""
    found = daemon.nameserver.count() - 1  # without its own registration
    if found:
        yield "Storage has %d existing registration%s." % (found, "" if found == 1 else "s")
    if daemon.is_write_protected:
        yield "Only clients with the write token can change registrations."
    if is_unix:
        yield "NS running on %s (Unix domain socket)" % daemon.locationStr
    else:
        reason = why_no_broadcast(daemon)
        if responder is not None:
            yield "Broadcast server running on %s" % responder.locationStr
        elif reason is not None:
            yield reason
        yield "NS running on %s (%s)" % (daemon.locationStr, _ip_of(daemon))
    uri, internal_uri = daemon.uriFor(daemon.nameserver), daemon.uriFor(daemon.nameserver, nat=False)
    if uri == internal_uri:
        yield "URI = %s" % uri
    else:
        # Both, because clients inside of the network cannot use the outer address.
        yield "internal URI = %s" % internal_uri
        yield "external URI = %s" % uri


def _loopback_hint(daemon: NameServerDaemon, host: str) -> Iterable[str]:
    """Yield a warning that no other machine can reach the name server, if its host name resolves to a loopback address.

    Many systems resolve the machine's own name to such an address. A host given as an IP address is taken to be intentional.
    """
    ip = _ip_of(daemon)
    # An address that the user has written is what the user wants.
    if not addresses.is_loopback(ip) or addresses.is_ip_address(host) or daemon.natLocationStr:
        return
    yield ("NS is reachable from this machine only, because '%s' is %s here. For other machines, use the option -n with an "
           "address of this machine, or -n 0.0.0.0 for all of them." % (host, ip))


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    from ._cli.parser import ToolParser  # it imports argparse, which programs with a name server do not need
    parser = ToolParser(prog="pyro5-ns", description="Run a name server.")
    option = parser.add_argument
    option("-n", "-H", "--host", help="host name or address to listen on (default: the setting HOST)")
    option("-p", "--port", type=console.port, help="port to listen on; 0 = any free port (default: the setting NS_PORT)")
    option("-u", "--unixsocket", help="listen on this Unix domain socket instead")
    option("-s", "--storage", default="memory",
           help="where to keep the registrations: %s (default: memory)" % STORAGE_CHOICES)
    option("--bchost", help="host name or address for the broadcast responder (default: the setting NS_BCHOST)")
    option("--bcport", type=console.port,
           help="port of the broadcast responder; 0 = any free port (default: the setting NS_BCPORT)")
    option("--nathost", help="host name in uris, for clients outside of a NAT (default: the setting NATHOST)")
    option("--natport", type=console.port,
           help="port in uris; 0 = the port that the server listens on (default: the setting NATPORT)")
    option("-x", "--nobc", action="store_true", help="do not start a broadcast responder")
    option("--autoclean", type=float, metavar="SECONDS", help="remove names without a lease whose objects cannot be reached; "
           "seconds between two checks, at least 3 (default: the setting NS_AUTOCLEAN)")
    option("--write-token-file", metavar="FILE", help="file with a secret of at least 16 characters: only clients that send "
           "it when they connect can change registrations (default: all clients can)")
    access_options.add_server_options(parser)
    return parser


def _run(options: argparse.Namespace) -> None:
    if options.autoclean is not None:
        config.NS_AUTOCLEAN = checked_period(options.autoclean)
    access_options.use(options)
    token = None if options.write_token_file is None else read_token(options.write_token_file)
    start_ns_loop(options.host, options.port, not options.nobc, options.bchost, options.bcport, options.unixsocket,
                  options.nathost, options.natport, options.storage, write_token=token)


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
