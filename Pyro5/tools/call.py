"""Calls remote objects from the shell: ``python -m Pyro5.tools.call URI METHOD arguments...`` prints the result as JSON.

Arguments are JSON; an argument that does not look like JSON is a string. ``name=value`` is a keyword argument. The items of
an iterator or generator are printed one per line. With the name of an attribute instead of a method, its value is printed.

The exit code is 0 on success, 1 on failure (with one line on standard error that says why), 2 for an invalid command line.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import sys
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from .. import errors
from .._cli import console, object_options, progress
from .._cli.object_options import json_text, plain
from .._cli.parser import ToolParser
from .._client.retry import with_retries
from .._client.streams import ItemStream
from .._text import did_you_mean
from ..client import Proxy

_KEYWORD = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)
LISTED_NAMES = 20
LONG_ARGUMENT = 200  # characters of an argument that an error text repeats


# ---------------------------------------------------------------- arguments

def parse_arguments(texts: Sequence[str]) -> Tuple[List[Any], Dict[str, Any]]:
    """Convert the arguments of the command line to those of the call.

    Raises:
        ValueError: a keyword argument is repeated, or an argument looks like JSON but is invalid.
    """
    positional: List[Any] = []
    named: Dict[str, Any] = {}
    for text in texts:
        # A text such as "a=b" is a keyword argument, as in Python. JSON quotes make it a string.
        match = _KEYWORD.fullmatch(text)
        if match is None:
            positional.append(_value(text))
        elif match[1] in named:
            raise ValueError("the argument %s is there twice" % match[1])
        else:
            named[match[1]] = _value(match[2])
    return positional, named


def _value(text: str) -> Any:
    try:
        # Standard JSON only: NaN and Infinity would be accepted otherwise.
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as x:
        # Clearly not meant as JSON: most strings need no quotes.
        if not text.lstrip().startswith(("{", "[", '"')):
            return text
        raise ValueError("the argument %s is not valid JSON: %s. To send it as text, write it as a JSON string: %s" % (
            errors.one_line(text, LONG_ARGUMENT), x, errors.one_line(shlex.quote(json.dumps(text)), LONG_ARGUMENT))) from x


def _refuse(constant: str) -> NoReturn:
    raise ValueError("%s is no JSON" % constant)


# ---------------------------------------------------------------- calling

def _run(options: argparse.Namespace) -> None:
    args, kwargs = parse_arguments(options.arguments)
    with object_options.proxy_of(options) as proxy:
        with progress.answer_shown(proxy):
            # Bound first, because it is known only then which names are methods and which oneway.
            proxy._pyroBind()
            result = _result(proxy, options.method, args, kwargs)
        if isinstance(result, ItemStream):
            _print_items(result, options)
        elif options.method not in proxy._pyroOneway:
            _print(result, options)


def _result(proxy: Proxy, name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
    # By _pyroInvoke, because a method may have the name of a proxy's own attribute.
    if name in proxy._pyroMethods:
        return with_retries(proxy._pyroMaxRetries, proxy._pyroInvoke, name, args, kwargs)
    if name not in proxy._pyroAttrs:
        names = proxy._pyroMethods | proxy._pyroAttrs
        raise errors.PyroError("%s has no exposed method or attribute '%s'%s; it has: %s" % (
            proxy._pyroUri, name, did_you_mean(name, names), _listed(names)))
    if args or kwargs:
        raise ValueError("'%s' is an attribute: it takes no arguments" % name)
    return getattr(proxy, name)


def _listed(names: Any) -> str:
    shown = sorted(names)
    return ", ".join(shown[:LISTED_NAMES] + ["..."] * (len(shown) > LISTED_NAMES))


def _print_items(items: ItemStream, options: argparse.Namespace) -> None:
    # if the items are visible on the terminal, a progress line between them would be confusing
    line = None if sys.stdout.isatty() else progress.ProgressLine()
    # Closed at the end in any case: Ctrl-C must not leave the generator in the server.
    with contextlib.closing(items):
        for number, item in enumerate(items, 1):
            _print(item, options)
            if line is not None:
                line.show_now_and_then(lambda count=number: "%d items" % count)  # type: ignore[misc]
    if line is not None:
        line.clear()


def _print(value: Any, options: argparse.Namespace) -> None:
    if not options.raw or not isinstance(value, str):
        console.say(*json_text(plain(value), 2 if options.indent else None).split("\n"))
    elif sys.stdout.isatty():
        console.say(*value.split("\n"))
    else:
        sys.stdout.write(value + "\n")     # unchanged, for a program that reads the pipe
        sys.stdout.flush()


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(
        prog="pyro5 call", description="Call a method of a remote object, or read an attribute, and print the result as "
        "JSON. The items of an iterator are printed one per line. Options must precede the uri.",
        epilog="Arguments are JSON: 3, true, null, '[1, 2]', '{\"a\": 1}', '\"text\"'. Other arguments are passed as "
        "strings. A string needs JSON quotes only if it looks like JSON (begins with {, [ or \", or is a number, true, ...) "
        "or like name=value.")
    object_options.add_options(parser)
    option = parser.add_argument
    option("-r", "--raw", action="store_true", help="print strings as they are, not as JSON")
    option("-i", "--indent", action="store_true", help="print the result over several lines, indented")
    option("uri", help="uri of the object, or its name in the name server")
    option("method", help="name of the method or attribute")
    option("arguments", nargs=argparse.REMAINDER, metavar="argument", help="arguments of the method; name=value is a keyword "
           "argument").required = False     # some versions of Python would report it as missing
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    return object_options.exit_code_of(_run, make_parser().parse_args(args))


if __name__ == "__main__":
    sys.exit(main())
