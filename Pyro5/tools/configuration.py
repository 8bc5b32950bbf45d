"""The version and all settings: ``python -m Pyro5.tools.configuration`` prints them, as ``python -m Pyro5.configure`` does.

With ``--json`` the output is an object: ``version``, ``location``, ``python``, ``system``, ``protocol``, ``settings`` (name ->
``value``, ``default`` and ``origin``) and ``problems``, a list of texts. Later releases may add keys.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from typing import Any, Dict, Optional, Sequence

from .. import __version__, configure
from .._cli import console
from .._cli.parser import ToolParser
from .._settings import from_environment
from .._settings import origin as origin_of
from .._settings import BY_NAME, own, shown
from ..constants import PROTOCOL_VERSION


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5-check-config", description="Print the version, its location and the current settings; "
                        "then the settings that differ from their defaults, with the origin of each value, and the invalid "
                        "settings.", epilog="The exit code is 1 if there are invalid settings.")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    return parser


def details(settings: configure.Configuration) -> Dict[str, Dict[str, Any]]:
    """Return value, default and origin of each setting, as plain data without passwords."""
    environment = from_environment(os.environ)
    found = {}
    for name, value in settings.as_dict().items():
        default = own(BY_NAME[name].default)
        origin = "default" if value == default else origin_of(name, value, environment)
        found[name] = {"value": shown(name, value), "default": default, "origin": origin}
    return found


def _as_json() -> Dict[str, Any]:
    return {
        "version": __version__,
        "location": os.path.dirname(os.path.abspath(configure.__file__)),
        "python": "%s %s" % (platform.python_implementation(), platform.python_version()),
        "system": platform.system(),
        "protocol": PROTOCOL_VERSION,
        "settings": details(configure.global_config),
        "problems": configure.global_config.problems(),
    }


def _run(options: argparse.Namespace) -> None:
    if options.json:
        console.say(*json.dumps(_as_json(), indent=2).split("\n"))
        return
    settings = configure.global_config
    console.say(*settings.dump().split("\n"))
    changes, problems = settings.changes(), settings.problems()
    if changes:
        console.say("", *changes.split("\n"))
    if problems:
        console.say("", console.paint("red", "Invalid settings:"), *("  " + problem for problem in problems))


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    failure = console.exit_code_of(lambda: _run(options))
    return failure or (1 if configure.global_config.problems() else 0)


if __name__ == "__main__":
    sys.exit(main())
