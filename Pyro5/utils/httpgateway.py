"""The HTTP gateway: makes Pyro objects available to web browsers and other HTTP clients that use JSON.

As a command line tool, ``python -m Pyro5.utils.httpgateway``, it includes an HTTP server. In any other WSGI server, run
`pyro_app`, whose options are its attributes, or a `Gateway`.

==========================  ======================================================================================
``/pyro/``                  the page: a list of objects, and forms to call them
``/pyro/NAME/METHOD``       calls the method (or reads the attribute) of the object with this name in the name server
``/pyro/NAME/$meta``        the methods and attributes of the object
``/pyro/$objects``          all exposed objects with uris and metadata; with ``?name=NAME`` the details of one
``/pyro/$dead``             the exposed objects that cannot be reached
``/pyro/$status``           health, rates and last errors of servers and objects
``/pyro/$calls``            the calls in progress
``/pyro/$watch``            changes in the name server, as server-sent events
``/pyro/$openapi``          describes all objects, in the format of OpenAPI; with ``?name=NAME`` one of them
==========================  ======================================================================================
"""
from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from typing import Any, Iterable, Optional, Sequence

from .._cli import access_options, console
from .._cli.parser import ToolParser
from .._gateway.app import Gateway, PyroApp
from .._gateway.calls import NameServerGone
from .._gateway.options import DEFAULT_EXPOSED
from .._http.server import HttpServer
from .._net.addresses import address_text
from .._wire import buffers

__all__ = ["Gateway", "pyro_app", "main"]


# For other WSGI servers: the gateway as a WSGI application whose options are attributes.
pyro_app = PyroApp()


# ---------------------------------------------------------------- command line tool

def _pattern(text: str) -> str:
    # Compiled only to report a mistake now, and not with the first request.
    try:
        re.compile(text)
    except re.error as x:
        raise argparse.ArgumentTypeError("no regular expression: %s" % x) from x
    return text


def _key_in_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, ValueError) as x:
        raise argparse.ArgumentTypeError("cannot read the key: %s" % x) from x
    if not key:
        raise argparse.ArgumentTypeError("there is no key in %s" % path)
    return key


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5-httpgateway", description="Run the HTTP gateway, which "
                                     "lets web browsers and other HTTP clients call Pyro objects.")
    option = parser.add_argument
    option("-H", "--host", default="localhost", help="host name or address to listen on (default: localhost)")
    option("-p", "--port", type=console.port, default=8080, help="port to listen on; 0 = any free port (default: 8080)")
    option("-e", "--expose", type=_pattern, default=DEFAULT_EXPOSED, metavar="REGEX", help="regular expression: "
           "objects whose names begin with a match can be called; empty = all objects (default: %s)" % DEFAULT_EXPOSED)
    option("-g", "--gatewaykey", default="", metavar="KEY", help="key that clients must send (default: no key)")
    option("-G", "--gatewaykeyfile", dest="gatewaykey", type=_key_in_file, metavar="FILE", help="file that "
           "contains the key; use it instead of -g, because other users of the machine can see the command line")
    option("--operatorkey", default="", metavar="KEY", help="key for calling methods and assigning attributes; clients "
           "without it can only look (default: no key, all clients may call)")
    option("--operatorkeyfile", dest="operatorkey", type=_key_in_file, metavar="FILE", help="file that contains this key")
    option("-c", "--cors", metavar="ORIGIN", help="origins of the web sites whose scripts may use the gateway, separated by "
           "commas; * = all, empty = none (default: * if a key is set, otherwise none)")
    option("--allow-host", action="append", default=[], metavar="HOST", help="host name or address "
           "that clients may use to reach the gateway, besides localhost and --host; * = any (can be repeated)")
    option("-t", "--timeout", type=console.seconds, metavar="SECONDS", help="seconds that a call may take; 0 = no limit "
           "(default: the setting COMMTIMEOUT)")
    access_options.add_client_options(parser)
    return parser


class _StopSignals(console.StopSignals):
    """Stops a server when a signal arrives."""

    def __init__(self, server: HttpServer) -> None:
        super().__init__()
        self._server = server

    def events(self, eventsockets: Iterable[Any]) -> None:
        super().events(eventsockets)
        if self.asked:
            self._server.stop()


def _announce(gateway: Gateway, server: HttpServer, options: argparse.Namespace) -> None:
    if options.expose:
        console.say("Exposing objects with names matching:  %s" % options.expose)
    else:
        console.say("Warning: exposing all objects (no expose regex set)")
    # Only to tell the user. The gateway searches again with each request.
    try:
        console.say("Connected to the name server at %s" % gateway.name_servers.location())
    except NameServerGone:
        console.say("Not yet connected to a name server.")
    console.say("Pyro HTTP gateway running on http://%s/pyro/" % address_text((options.host, server.port)))
    console.tell_service_manager("READY=1")


def _is_everywhere(host: str) -> bool:
    """Return whether a server on this host listens on all addresses of the machine."""
    try:
        # An empty host means all addresses, too.
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _run(options: argparse.Namespace) -> None:
    access_options.use(options)
    # Without this, the process has up to three times the memory of MAX_GATEWAY_MEMORY, because freed memory is not counted.
    buffers.return_all()
    everywhere = _is_everywhere(options.host)
    # The zone of an IPv6 address (%eth0) is not part of what clients send as the host.
    hosts = options.allow_host if everywhere else [options.host.partition("%")[0], *options.allow_host]
    gateway = Gateway(options.expose, options.gatewaykey, options.cors, options.timeout, allowed_hosts=hosts,
                      any_address=everywhere, operatorkey=options.operatorkey)
    server = HttpServer(gateway, options.host, options.port)
    try:
        with _StopSignals(server) as signals:
            _announce(gateway, server, options)
            # The user may have pressed Ctrl-C during the search above.
            if not signals.asked:
                server.serve(signals)
    finally:
        server.close()
        gateway.close()


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
