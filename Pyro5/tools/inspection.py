"""Shows the members of a remote object: ``python -m Pyro5.tools.inspection URI`` prints its methods and attributes, with their
signatures and docstrings if the server provides them (older releases only provide names).

The exit code is 0 on success, 1 on failure (with one line on standard error that says why), 2 for an invalid command line.
"""
from __future__ import annotations

import sys
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence

from .. import errors
from .._cli import console, object_options
from .._cli.parser import ToolParser
from .._values import plain
from ..client import Proxy
from ..constants import DAEMON_NAME


def inspect_object(proxy: Proxy) -> Dict[str, Any]:
    """Query a server for the members of an object.

    Returns:
        A dict of ``uri``, ``doc``, ``methods`` (name -> dict of ``signature``, ``doc`` and ``oneway``) and ``attributes``
        (name -> dict of ``doc`` and ``writable``); unknown values are None. For a daemon's own object also
        ``registered``, the ids of all objects in the daemon.

    Raises:
        CommunicationError, NamingError: as for any call.
    """
    proxy._pyroBind()
    # After binding: the names come with the handshake, also from servers of 5.x, which have no descriptions.
    descriptions = _descriptions(proxy)
    methods, attributes = plain.dict_in(descriptions, "methods"), plain.dict_in(descriptions, "attrs")
    result: Dict[str, Any] = {
        "uri": str(proxy._pyroUri),
        "doc": plain.text_in(descriptions, "doc"),
        "methods": {name: _method(plain.dict_in(methods, name), name in proxy._pyroOneway)
                    for name in sorted(proxy._pyroMethods)},
        "attributes": {name: _attribute(plain.dict_in(attributes, name)) for name in sorted(proxy._pyroAttrs)},
    }
    if proxy._pyroUri.object == DAEMON_NAME:
        ids = proxy._pyroInvoke("registered", [], {})
        # A server can send anything; a proxy, for example, would connect to an address of its choice.
        if not plain.is_texts(ids):
            raise errors.ProtocolError("the server did not send the ids of its objects, but %s" % plain.text_of(ids))
        result["registered"] = list(ids)
    return result


def _descriptions(proxy: Proxy) -> Mapping[str, Any]:
    """Return the descriptions of the members by the server's daemon; an empty dict if it has none."""
    try:
        metadata = proxy._pyroInvoke("get_metadata", [proxy._pyroUri.object], {"descriptions": True}, objectId=DAEMON_NAME)
    except TypeError as x:
        # Only an error that the server raised means that; a local one is a mistake of this library.
        if not hasattr(x, "_pyroTraceback"):
            raise
        return {}  # an older release, which does not support the argument
    return plain.dict_in(metadata, "descriptions")


def _method(description: Mapping[str, Any], is_oneway: bool) -> Dict[str, Any]:
    return {"signature": plain.text_in(description, "signature"), "doc": plain.text_in(description, "doc"),
            "oneway": is_oneway}


def _attribute(description: Mapping[str, Any]) -> Dict[str, Any]:
    writable = description.get("writable")
    return {"doc": plain.text_in(description, "doc"), "writable": writable if isinstance(writable, bool) else None}


# ---------------------------------------------------------------- text output

def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show the result of `inspect_object`."""
    yield found["uri"]
    yield from _indented(found["doc"], 4)
    if found["methods"]:
        yield console.paint("bold", "Methods:")
    for name, method in found["methods"].items():
        yield console.joined("    ", console.paint("cyan", name), method["signature"] or "(...)",
                            "    [oneway]" if method["oneway"] else "")
        yield from _indented(method["doc"], 8)
    if found["attributes"]:
        yield console.paint("bold", "Attributes:")
    for name, attribute in found["attributes"].items():
        yield console.joined("    ", console.paint("cyan", name),
                            {True: "    [writable]", False: "    [read-only]"}.get(attribute["writable"], ""))
        yield from _indented(attribute["doc"], 8)
    if "registered" in found:
        yield console.paint("bold", "Objects here:")
        yield from ("    %s" % object_id for object_id in found["registered"])


def _indented(text: Optional[str], columns: int) -> Iterator[str]:
    for line in (text or "").splitlines():
        yield (" " * columns + line).rstrip()


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 inspect", description="Show the methods and attributes of a remote object, "
                                     "with signatures and docstrings if the server provides them.")
    object_options.add_options(parser)
    option = parser.add_argument
    option("--json", action="store_true", help="print the description as JSON")
    option("uri", help="uri of the object, or its name in the name server; PYRO:Pyro.Daemon@host:port lists the objects "
           "of a server")
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    return object_options.exit_code_of(lambda options: object_options.show(options, inspect_object, report),
                                       make_parser().parse_args(args))


if __name__ == "__main__":
    sys.exit(main())
