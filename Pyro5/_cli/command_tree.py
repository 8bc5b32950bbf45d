"""What can be written on the command lines of the tools: commands, options and their values, read from the parsers."""
from __future__ import annotations

import argparse
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from .tool_table import TOOLS, load

__all__ = ["Command", "Option", "tools", "walk"]

# Arguments and options whose values are paths.
_PATHS = frozenset(("FILE", "FOLDER", "module:Class"))
_PATH_NAMES = frozenset(("unixsocket", "file", "folder"))


class Option(NamedTuple):
    """An option of a command.

    Attributes:
        names: all its names, short ones first.
        takes_value: whether a value follows it.
        values: the values to choose from; empty if there is no such list.
        is_path: whether the value is the path of a file.
    """

    names: Tuple[str, ...]
    help: str
    takes_value: bool
    values: Tuple[str, ...]
    is_path: bool


class Command(NamedTuple):
    """A tool, or a command of a tool.

    Attributes:
        path: the words that select it: the name of the tool, and that of the command.
        script: another name of the tool, which is installed as a script of its own; or an empty text.
        commands: the commands to choose from, with their help; empty if there are none.
        children: the commands that have options of their own.
        takes_paths: whether arguments are paths of files.
    """

    path: Tuple[str, ...]
    help: str
    script: str
    options: Tuple[Option, ...]
    commands: Dict[str, str]
    children: Tuple[Command, ...]
    takes_paths: bool


def tools() -> List[Command]:
    """Return all tools of this installation."""
    found = []
    for tool in TOOLS:
        try:
            parser = load(tool).make_parser()
        except ValueError:
            continue  # a module was left out of this installation
        found.append(_command(parser, (tool.name,), tool.does))
    return found


def walk(commands: Sequence[Command]) -> Iterator[Command]:
    """Yield commands and, recursively, their children."""
    for command in commands:
        yield command
        yield from walk(command.children)


def _command(parser: argparse.ArgumentParser, path: Tuple[str, ...], text: str) -> Command:
    options: List[Option] = []
    commands: Dict[str, str] = {}
    children: List[Command] = []
    takes_paths = False
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands.update({choice.dest: choice.help or "" for choice in action._choices_actions})
            children += [_command(child, (*path, name), commands[name]) for name, child in action.choices.items()]
        elif action.option_strings:
            options.append(_option(action))
        elif action.choices:
            commands.update({str(name): "" for name in action.choices})
        else:
            takes_paths = takes_paths or _is_path(action)
    # "pyro5-ns" is the name of a script; "pyro5 doctor" is no single word.
    script = parser.prog if len(path) == 1 and " " not in parser.prog else ""
    return Command(path, text, script, tuple(options), commands, tuple(children), takes_paths)


def _option(action: argparse.Action) -> Option:
    return Option(tuple(sorted(action.option_strings, key=len)), _help_of(action), action.nargs != 0,
                  tuple(map(str, action.choices or ())), _is_path(action))


def _help_of(action: argparse.Action) -> str:
    """Return the help of an option without its remarks, in one line."""
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    for end in (" (default", "; ", ": "):
        text = text.partition(end)[0]
    return text


def _is_path(action: argparse.Action) -> bool:
    return action.metavar in _PATHS or action.dest in _PATH_NAMES

