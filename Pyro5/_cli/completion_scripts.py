"""Scripts that complete the command lines of the tools in shells: commands, options and their values, read from the parsers.

A script contains all names, so that it starts no Python while the user types.
"""
from __future__ import annotations

import argparse
import shlex
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

from .. import NamedTuple
from .tool_table import TOOLS, load

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
            options.append(Option(tuple(sorted(action.option_strings, key=len)), _help_of(action), action.nargs != 0,
                                  tuple(map(str, action.choices or ())), _is_path(action)))
        elif action.choices:
            commands.update({str(name): "" for name in action.choices})
        else:
            takes_paths = takes_paths or _is_path(action)
    # "pyro5-ns" is the name of a script; "pyro5 doctor" is no single word.
    script = parser.prog if len(path) == 1 and " " not in parser.prog else ""
    return Command(path, text, script, tuple(options), commands, tuple(children), takes_paths)


def _help_of(action: argparse.Action) -> str:
    """Return the help of an option without its remarks, in one line."""
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    for end in (" (default", "; ", ": "):
        text = text.partition(end)[0]
    return text


def _is_path(action: argparse.Action) -> bool:
    return action.metavar in _PATHS or action.dest in _PATH_NAMES


def _lines(*parts: str) -> str:
    return "\n".join(parts) + "\n"


# ---------------------------------------------------------------- bash

_BASH = r"""# bash completion for pyro5, made by: pyro5 completion bash

# Set _pyro5_words to the words that can follow the path $1, and _pyro5_paths to 1 if file names can.
_pyro5_after() {
    _pyro5_words= _pyro5_paths=
    case $1 in
%(after)s
    esac
}

# Set _pyro5_words to the values of the option $2 of the path $1, and _pyro5_paths to 1 if they are file names.
# Fail if it takes no value.
_pyro5_value() {
    _pyro5_words= _pyro5_paths=
    case "$1 $2" in
%(value)s
        *) return 1 ;;
    esac
}

# Complete the words from index $2 on, which follow the path $1.
_pyro5_complete() {
    local path=$1 index=$2 cur=${COMP_WORDS[COMP_CWORD]} is_value= word _pyro5_words _pyro5_paths
    while (( index < COMP_CWORD )); do
        word=${COMP_WORDS[index]}
        (( index += 1 ))
        if _pyro5_value "$path" "$word"; then
            # bash splits --option=value into three words
            if [[ ${COMP_WORDS[index]} == = ]]; then
                (( index == COMP_CWORD )) && cur= || (( index += 1 ))
            fi
            if (( index == COMP_CWORD )); then
                is_value=1
                break
            fi
            (( index += 1 ))
            continue
        fi
        _pyro5_after "$path"
        [[ $word != -* && " $_pyro5_words " == *" $word "* ]] && path="$path $word"
    done
    # The words of the value have been set by the loop.
    if [[ -z $is_value ]]; then
        _pyro5_after "$path"
        # Options are offered when a hyphen has been typed, or if there is nothing else.
        if [[ $cur == -* ]]; then
            _pyro5_paths=
        else
            _pyro5_words=" $_pyro5_words"
            local others=
            for word in $_pyro5_words; do
                [[ $word == -* ]] || others+=" $word"
            done
            _pyro5_words=$others
        fi
    fi
    COMPREPLY=( $(compgen -W "$_pyro5_words" -- "$cur") )
    if [[ -n $_pyro5_paths ]]; then
        compopt -o filenames 2>/dev/null
        local IFS=$'\n'
        COMPREPLY+=( $(compgen -f -- "$cur") )
    fi
}

_pyro5() { _pyro5_complete pyro5 1; }
%(scripts)s
complete -F _pyro5 pyro5
"""


def _bash(tools: Sequence[Command]) -> Iterator[str]:
    names = " ".join([*(tool.path[0] for tool in tools), "--help", "--version"])
    after = ["        pyro5) _pyro5_words=%s ;;" % shlex.quote(names)]
    value: List[str] = []
    for command in walk(tools):
        path = " ".join(("pyro5",) + command.path)
        words = [*command.commands, *(name for option in command.options for name in option.names)]
        after.append("        %s) _pyro5_words=%s _pyro5_paths=%s ;;" % (
            shlex.quote(path), shlex.quote(" ".join(words)), int(command.takes_paths) or ""))
        for option in command.options:
            if option.takes_value:
                patterns = "|".join(shlex.quote("%s %s" % (path, name)) for name in option.names)
                value.append("        %s) _pyro5_words=%s _pyro5_paths=%s ;;" % (
                    patterns, shlex.quote(" ".join(option.values)), int(option.is_path) or ""))
    scripts: List[str] = []
    for tool in tools:
        if tool.script:
            function = "_" + tool.script.replace("-", "_")
            scripts += ["%s() { _pyro5_complete %s 1; }" % (function, shlex.quote("pyro5 " + tool.path[0])),
                        "complete -F %s %s" % (function, tool.script)]
    yield _BASH % {"after": "\n".join(after), "value": "\n".join(value), "scripts": "\n".join(scripts)}


# ---------------------------------------------------------------- zsh

def _zsh(tools: Sequence[Command]) -> Iterator[str]:
    scripts = {tool.script: tool for tool in tools if tool.script}
    yield _lines("#compdef %s" % " ".join(["pyro5", *scripts]),
                 "# zsh completion for pyro5, made by: pyro5 completion zsh", "")
    for command in walk(tools):
        yield from _zsh_function(command)
    top = Command((), "", "", (), {tool.path[0]: tool.help for tool in tools}, tuple(tools), False)
    yield from _zsh_function(top)
    cases = ["        %s) _pyro5_%s \"$@\" ;;" % (name, tool.path[0]) for name, tool in scripts.items()]
    yield _lines("_pyro5_any() {", "    case $service in", *cases, "        *) _pyro5_ \"$@\" ;;", "    esac", "}", "",
                 # A file in $fpath is run as the body of its function; otherwise the functions are registered.
                 "if [[ ${funcstack[1]} == _pyro5 ]]; then", '    _pyro5_any "$@"', "else",
                 "    compdef _pyro5_any %s" % " ".join(["pyro5", *scripts]), "fi")


def _zsh_function(command: Command) -> Iterator[str]:
    """Yield a function that completes the words after a command."""
    name = "_pyro5_" + "_".join(command.path)
    specs = [spec for option in command.options for spec in _zsh_option(option)]
    if not command.path:
        specs += [shlex.quote("--help[list the tools]"), shlex.quote("--version[print the version and exit]")]
    if not command.commands:
        # An argument without completion would be shown as a message, instead of completing an option.
        if command.takes_paths:
            specs.append(shlex.quote("*:argument:_files"))
        yield _lines("%s() {" % name, "    _arguments -s -S \\", *("        %s \\" % spec for spec in specs[:-1]),
                     "        " + specs[-1], "}", "")
        return
    words = ["        %s" % shlex.quote("%s:%s" % (word, text.replace(":", r"\:")) if text else word)
             for word, text in command.commands.items()]
    # No option precedes the names of commands that have options of their own.
    cases = ["        %s) shift words; (( CURRENT -= 1 )); _pyro5_%s; return ;;" % (child.path[-1], "_".join(child.path))
             for child in command.children]
    if cases:
        cases = ["    (( CURRENT > 2 )) && case $words[2] in", *cases, "    esac"]
    yield _lines("%s() {" % name, *cases, "    local curcontext=$curcontext context state line ret=1",
                 "    typeset -A opt_args", "    local -a commands", "    commands=(", *words, "    )",
                 "    _arguments -C -s -S \\", *("        %s \\" % spec for spec in specs),
                 "        '1:command:->command' && ret=0",
                 "    [[ $state == command ]] && _describe command commands && ret=0", "    return ret", "}", "")


def _zsh_option(option: Option) -> Iterator[str]:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", " ")
    value = ""
    if option.takes_value:
        action = "(%s)" % " ".join(option.values) if option.values else "_files" if option.is_path else ""
        value = ":value:" + action
    for name in option.names:
        # A long option also takes its value after an equals sign.
        equals = "=" if option.takes_value and name.startswith("--") else ""
        yield shlex.quote("%s%s[%s]%s" % (name, equals, text, value))


# ---------------------------------------------------------------- fish

_FISH = """# fish completion for pyro5, made by: pyro5 completion fish

# Whether the command line continues the path in the arguments: a tool, and a command of the tool. The words after "--not" are
# those that continue the path.
function __pyro5_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l is_excluded 0
    for word in $argv
        if test "$word" = --not
            set is_excluded 1
        else if test $is_excluded = 1
            contains -- $word $words; and return 1
        else
            contains -- $word $words; or return 1
        end
    end
    return 0
end

# Whether no tool has been written yet.
function __pyro5_no_tool
    set -l words (commandline -opc)
    test (count $words) -eq 1
end

"""


def _fish(tools: Sequence[Command]) -> Iterator[str]:
    yield _FISH
    yield "complete -c pyro5 -f\n"
    yield "complete -c pyro5 -n __pyro5_no_tool -l help -d %s\n" % _fish_quoted("list the tools")
    yield "complete -c pyro5 -n __pyro5_no_tool -l version -d %s\n" % _fish_quoted("print the version and exit")
    for tool in tools:
        yield "complete -c pyro5 -n __pyro5_no_tool -a %s -d %s\n" % (tool.path[0], _fish_quoted(tool.help))
    for tool in tools:
        yield from _fish_command(tool, "pyro5", tool.path)
        if tool.script:
            yield "complete -c %s -f\n" % tool.script
            yield from _fish_command(tool, tool.script, ())


def _fish_command(command: Command, program: str, path: Iterable[str]) -> Iterator[str]:
    path = list(path)
    children: Dict[str, Command] = {child.path[-1]: child for child in command.children}
    undecided = _fish_quoted(" ".join(["__pyro5_at", *path, "--not", *command.commands]))
    here = undecided if children else _fish_quoted(" ".join(["__pyro5_at", *path]))
    for option in command.options:
        names = " ".join("-l " + name[2:] if name.startswith("--") else "-s " + name[1:] for name in option.names)
        values = "-a %s" % _fish_quoted(" ".join(option.values)) if option.values else ""
        kind = "-r -F" if option.is_path else "-x " + values if option.takes_value else ""
        yield " ".join(filter(None, ["complete -c", program, "-n", here, names, kind, "-d",
                                     _fish_quoted(option.help)])) + "\n"
    if command.takes_paths:
        yield "complete -c %s -n %s -F\n" % (program, here)
    for word, text in command.commands.items():
        yield "complete -c %s -n %s -a %s%s\n" % (program, undecided, word, " -d " + _fish_quoted(text) if text else "")
        if word in children:
            yield from _fish_command(children[word], program, [*path, word])


def _fish_quoted(text: str) -> str:
    return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")


# ---------------------------------------------------------------- all shells

SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def script_for(shell: str, tools: Sequence[Command]) -> str:
    """Return the script that completes the command lines of tools in a shell, one of SHELLS."""
    return "".join(SHELLS[shell](tools))
