"""Shared by the tools that use one remote object: its uri, common options, results as JSON, the exit code."""
from __future__ import annotations

import argparse
import base64
import json
import math
import sys
from typing import Any, Callable, Iterable, Optional

from .. import errors
from .._values.uri import PROTOCOLS, URI
from ..client import Proxy
from . import access_options, console


def uri_of(text: str) -> URI:
    """Build a uri from user input: a uri, or just the name of an object in the name server.

    Raises:
        PyroError: it is neither.
    """
    # A name may contain colons, so only a known protocol in front makes it a URI.
    if text.partition(":")[0].upper() in PROTOCOLS:
        return URI(text)
    return URI("PYRONAME:" + text)


def hint_of(text: str) -> str:
    """Return a hint if ``PYRO:`` is missing in front of ``object@host:port``; an empty text if it is not."""
    object_id, _, location = text.rpartition("@")
    if not object_id or text.partition(":")[0].upper() in PROTOCOLS:
        return ""
    # An IPv6 address contains colons too: only one behind its closing bracket separates the port.
    is_complete = ":" in location.rpartition("]")[2] or location.startswith("./u:")
    return ("without PYRO: in front, '%s' is a name in the name server at %s; if the object itself is there, write PYRO:%s%s"
            % (object_id, location, text, "" if is_complete else ":PORT"))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `proxy_of` and `exit_code_of` use; the tool itself adds ``uri``."""
    parser.add_argument("-t", "--timeout", type=console.seconds, metavar="SECONDS", help="seconds to wait for a reply "
                        "(default: the setting COMMTIMEOUT)")
    access_options.add_client_options(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print the tracebacks of errors, including those of the "
                        "server")


def proxy_of(options: argparse.Namespace) -> Proxy:
    """Create a proxy for the object, not yet connected. Raises PyroError if the uri is invalid."""
    proxy = Proxy(uri_of(options.uri))
    if options.timeout is not None:
        proxy._pyroTimeout = options.timeout
    return proxy


def show(options: argparse.Namespace, read: Callable[[Proxy], Any], report: Callable[[Any], Iterable[str]]) -> None:
    """Print what a function returns for the object: as JSON if the options say so, otherwise as a report."""
    with proxy_of(options) as proxy:
        found = read(proxy)
    # After the connection is closed: formatting may take long, and needs no server.
    console.say(*(json_text(found, indent=2).split("\n") if options.json else report(found)))


def exit_code_of(run: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Run the tool and return its exit code; errors are printed with their class, and with tracebacks if verbose."""
    def report(error: BaseException) -> None:
        console.complain_with_class(error, options.verbose)
        if isinstance(error, errors.PyroError) and hint_of(options.uri):
            console.complain("Hint: " + hint_of(options.uri))

    def use_access_and_run() -> None:
        access_options.use(options)
        run(options)

    return console.exit_code_of(use_access_and_run, report)


def plain(value: Any) -> Any:
    """Convert a result to values that JSON can represent; all others become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no notation for infinity and NaN
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, dict):
        # Other keys, such as tuples, would make json.dumps() fail.
        return {key if isinstance(key, (str, int, float)) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # By repr(), because elements of different types cannot be compared. The output is then the same in each run.
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, (bytes, bytearray, memoryview)):
        # As the serpent serializer encodes them.
        return {"data": base64.b64encode(bytes(value)).decode("ascii"), "encoding": "base64"}
    if isinstance(value, Proxy):
        return str(value._pyroUri)
    return str(value)


def json_text(value: Any, indent: Optional[int] = None) -> str:
    """Return plain data as JSON; only escape characters that standard output cannot encode or that could control a terminal.
    """
    text = "\n".join(line if line.isprintable() else _escaped(line)
                     for line in json.dumps(value, ensure_ascii=False, indent=indent).split("\n"))
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeError:
        return json.dumps(value, indent=indent)  # escaped, so that the output is valid in any encoding
    return text


def _escaped(line: str) -> str:
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
