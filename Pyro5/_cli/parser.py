"""The parser of command line options that all tools use.

Every tool module has a function ``make_parser()`` that returns a `ToolParser`; the completion scripts of shells are made from
it.
"""
from __future__ import annotations

import argparse
import functools
from typing import Any, Iterator, List, Optional, Sequence

from .. import __version__
from .._text import did_you_mean


class ToolParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` with the option ``--version``, and with suggestions for misspelled options and commands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument("--version", action="version", version=__version__, help="print the version and exit")

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        # The base class makes a formatter to check each option, and imports shutil for the width of the terminal: a tenth of
        # the time that a small tool takes to start.
        formatter_class = self.formatter_class
        self.formatter_class = functools.partial(argparse.HelpFormatter, width=80)
        try:
            return super().add_argument(*args, **kwargs)
        finally:
            self.formatter_class = formatter_class

    def parse_args(self, args: Optional[Sequence[str]] = None,  # type: ignore[override]
                   namespace: Optional[argparse.Namespace] = None) -> argparse.Namespace:
        """Parse the command line. If it is invalid, print the reason and exit with code 2."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error("unrecognized arguments: %s%s" % (" ".join(unknown), self.hint_for(unknown)))
        return options

    def hint_for(self, words: Sequence[str]) -> str:
        """Return a suggestion for the first word that is similar to an option, as the end of an error text; or nothing."""
        known = list(self._long_options())
        hints = (did_you_mean(word.partition("=")[0], known) for word in words if word.startswith("--"))
        return next(filter(None, hints), "")

    def _long_options(self) -> Iterator[str]:
        for action in self._actions:
            yield from (text for text in action.option_strings if text.startswith("--"))
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._long_options()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # Called by the base class for options and commands with choices, in all versions of Python.
        choices: List[Any] = [] if action.choices is None else list(action.choices)
        if action.choices is not None and value not in choices:
            raise argparse.ArgumentError(action, "invalid choice: %r%s; choose from %s" % (
                value, did_you_mean(str(value), map(str, choices)), ", ".join(map(str, choices))))
