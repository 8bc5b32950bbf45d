"""
All command line tools under one name: ``python -m Pyro5 TOOL arguments...`` does what the tool's own module does.

Without a tool it lists them. Only the module of the tool that is asked for is loaded.
"""
from __future__ import annotations

import importlib
import os
import sys
from typing import Any, List, NamedTuple, Optional, Sequence

from . import __version__
from ._cli import console


class Tool(NamedTuple):
    """One row of the table; the module has a ``main`` that takes the arguments and gives the exit code."""

    name: str
    module: str
    does: str


TOOLS = (
    Tool("ns", "nameserver", "run a name server"),
    Tool("nsc", "nsc", "ask and change a name server: list, lookup, register, remove, ..."),
    Tool("serve", "tools.serve", "publish a class or an object of a module"),
    Tool("call", "tools.call", "call a method of an object, or read an attribute; the result is JSON"),
    Tool("inspect", "tools.inspection", "show what an object has: methods, attributes, signatures, docs"),
    Tool("doctor", "tools.doctor", "find out why something cannot be reached"),
    Tool("echo", "utils.echoserver", "run an object that sends back what it gets"),
    Tool("http", "utils.httpgateway", "run the HTTP gateway: objects for web browsers, and a page with all of them"),
    Tool("config", "configure", "print the version and all settings"),
)


def _command() -> str:
    """Give how this program was started: as a module, from the bundle, or by the name that it is installed under."""
    name = os.path.basename(sys.argv[0])
    if name.endswith(".pyz"):
        return "python " + name
    return "python -m %s" % __package__ if name.endswith(".py") else name


def _overview() -> str:
    """Give the table of all tools."""
    package = __package__ or ""
    rows = [("TOOL", "THE SAME AS", "WHAT IT DOES")]
    rows += [(tool.name, "python -m %s.%s" % (package, tool.module), tool.does) for tool in TOOLS]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = ["  %-*s  %-*s  %s" % (widths[0], row[0], widths[1], row[1], row[2]) for row in rows]
    usage = "Pyro %s. Usage: %s TOOL [arguments]; TOOL -h explains each of them." % (__version__, _command())
    return "\n".join([usage, "", *lines])


def _load(tool: Tool) -> Any:
    """
    Import the module of a tool.

    Raises:
        ValueError: a setting in the environment is not valid, or the module is not there.
    """
    name = "%s.%s" % (__package__, tool.module)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as x:
        if x.name == "serpent":
            raise ValueError(str(x)) from x
        if x.name != name:
            raise
        raise ValueError("the tool %s is not part of this installation: there is no module %s" % (tool.name, name)) from x


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the tool that the first argument names; give its exit code."""
    arguments: List[str] = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return console.exit_code_of(lambda: console.say(*_overview().split("\n")))
    if arguments[0] == "--version":
        return console.exit_code_of(lambda: console.say(__version__))
    tool = next((tool for tool in TOOLS if tool.name == arguments[0]), None)
    if tool is None:
        console.complain("there is no tool '%s'; the tools are: %s" % (
            arguments[0], ", ".join(tool.name for tool in TOOLS)))
        return 2
    loaded: List[Any] = []
    failure = console.exit_code_of(lambda: loaded.append(_load(tool)))
    return failure or int(loaded[0].main(arguments[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
