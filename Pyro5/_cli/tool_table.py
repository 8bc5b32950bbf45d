"""The table of command line tools, and how their modules are loaded."""
from __future__ import annotations

import importlib
from typing import Any

from .. import NamedTuple

# It may have another name where it is vendored. Python 3.8 does not set __package__ in a module of a zip file.
PACKAGE = __name__.rpartition("._cli.")[0]


class Tool(NamedTuple):
    """A row of the table of tools.

    The module has a function ``main`` that takes the arguments and returns the exit code, and a function ``make_parser`` that
    returns the parser of its options.
    """

    name: str
    module: str
    does: str


TOOLS = (
    Tool("ns", "nameserver", "run a name server"),
    Tool("nsc", "nsc", "ask and change a name server: list, lookup, register, remove, ..."),
    Tool("serve", "tools.serve", "publish a class or an object of a module"),
    Tool("call", "tools.call", "call a method of an object, or read an attribute; the result is JSON"),
    Tool("inspect", "tools.inspection", "show what an object has: methods, attributes, signatures, docs"),
    Tool("ping", "tools.ping", "measure how long a server takes to answer"),
    Tool("stats", "tools.stats", "show what a server has counted: calls, errors, durations"),
    Tool("top", "tools.top", "show the calls per second of all servers of a name server"),
    Tool("doctor", "tools.doctor", "find out why something cannot be reached"),
    Tool("key", "tools.key", "create the key file that clients and servers share"),
    Tool("user", "tools.user", "add and remove users, and change their passwords and roles"),
    Tool("cert", "tools.cert", "make certificates for TLS, with a private authority"),
    Tool("echo", "utils.echoserver", "run an object that sends back what it gets"),
    Tool("http", "utils.httpgateway", "run the HTTP gateway: objects for web browsers, and a page with all of them"),
    Tool("config", "tools.configuration", "print the version and all settings"),
    Tool("completion", "tools.completion", "print a script that completes these commands in bash, zsh or fish"),
)


def load(tool: Tool) -> Any:
    """Import the module of a tool.

    Raises:
        ValueError: a setting in the environment is not valid, or the module is not installed.
    """
    name = "%s.%s" % (PACKAGE, tool.module)
    try:
        return importlib.import_module(name)
    # A tool may be missing in an installation, and serpent not be installed: both are reported without a traceback. Any other
    # missing module is an error in the program.
    except ModuleNotFoundError as x:
        if x.name == "serpent":
            raise ValueError(str(x)) from x
        if x.name != name:
            raise
        raise ValueError("the tool %s is not part of this installation: module %s not found" % (tool.name, name)) from x
