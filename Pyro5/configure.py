"""The settings, ``Pyro5.config``: a table of their names, defaults, kinds and meanings.

The values come from the table and from environment variables with the prefix ``PYRO_``, which are read once when the package
is imported. A program changes them by assigning attributes: ``Pyro5.config.COMMTIMEOUT = 2.5``.

Threads: reading and assigning single settings is thread-safe. Every change increases the ``version`` of the configuration;
proxies and daemons compare it once per call, and read their settings again after a change.
"""
from __future__ import annotations

import importlib
import itertools
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from . import LazyModule, __version__
from ._settings import BY_NAME, ENVIRONMENT_PREFIX as ENVIRONMENT_PREFIX, SETTINGS, Setting, accept_bool, closest
from ._settings import from_environment, ignored_variables, origin, own, program_serializers as program_serializers
from ._settings import shown, suitable_values
from .constants import PROTOCOL_VERSION

if TYPE_CHECKING:
    import platform
else:
    platform = LazyModule(globals(), "platform")

__all__ = ["Configuration", "dump", "global_config"]

log = logging.getLogger("Pyro5.configure")

# The next number, for all configurations: two threads that change settings concurrently never produce the same number.
_versions = itertools.count(1)


class Version:
    """Holds a number that changes with each change of a configuration.

    Code that runs for every call reads it here: an attribute of the configuration itself takes four times as long (90 ns
    instead of 20), because reading one may end in ``__getattr__``.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = next(_versions)

    def renew(self) -> None:
        """Set a new number."""
        self.number = next(_versions)


class Configuration:
    """All settings as attributes. Each assignment is checked; the only other attribute is ``version``, a number that
    changes with each change of a setting.

    Settings, with their defaults:
    """

    __slots__: ClassVar[Tuple[str, ...]]  # the names of all settings, set below; the values are in __dict__
    _version: Version

    def __init__(self) -> None:
        self.__dict__["_version"] = Version()
        self.reset()

    @property
    def version(self) -> int:
        """A number that changes with each change of a setting."""
        return self._version.number

    def reset(self, use_environment: bool = True) -> None:
        """Set every setting to its default value, then to the value of its environment variable, if that exists.

        Environment variables that begin with ``PYRO_`` but are not settings are ignored; a warning in the log lists them.

        Raises:
            ValueError: an environment variable has an invalid value. Nothing is changed in this case.
        """
        # All values are computed before the first one is set, so that an invalid variable changes nothing.
        values = {setting.name: own(setting.default) for setting in SETTINGS}
        if use_environment:
            # NS_HOST follows PYRO_HOST, unless it has a variable of its own.
            environ = {name: os.environ[name] for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)}
            changes = from_environment(environ)  # a dict: 60 reads of os.environ would take 6 % of an import of this package
            values.update({"NS_HOST": changes.get("HOST", values["NS_HOST"]), **changes})
            ignored = ignored_variables(environ)
            if ignored:
                log.warning("environment variables that are no settings are ignored: %s", ", ".join(ignored))
        self.__dict__.update(values)
        self._version.renew()  # last, see __setattr__

    def as_dict(self) -> Dict[str, Any]:
        """Return a dict of all settings and their values, in alphabetical order."""
        return {setting.name: own(self.__dict__[setting.name]) for setting in SETTINGS}

    def copy(self) -> Configuration:
        """Return an independent configuration with the same values."""
        duplicate = object.__new__(type(self))
        # A version of its own: a copy must not be taken for the original.
        duplicate.__dict__.update(self.as_dict(), _version=Version())
        return duplicate

    __copy__ = copy

    def __reduce__(self) -> Tuple[Any, ...]:
        # A pickle has the plain values, so that a process with other settings, or another release, can read it.
        return type(self), (), self.as_dict()

    def __setstate__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
        self._version.renew()

    @staticmethod
    def parse_bool(value: Any) -> bool:
        """Return the truth value of a text such as "yes" or "off", or of a value equal to 0 or 1.

        Raises:
            ValueError: it is another text.
        """
        return accept_bool(value)

    def dump(self) -> str:
        """Return a readable text with the version, the platform and all settings."""
        lines = [
            "Pyro version: %s" % __version__,
            "Loaded from: %s" % os.path.dirname(os.path.abspath(__file__)),
            "Python version: %s %s (%s, %s)" % (
                platform.python_implementation(), platform.python_version(), platform.system(), os.name),
            "Protocol version: %d" % PROTOCOL_VERSION,
            "Currently active global configuration settings:",
        ]
        lines.extend("%s = %s" % (name, shown(name, value)) for name, value in self.as_dict().items())
        return "\n".join(lines)

    def changes(self) -> str:
        """Return a readable text of the settings that are not at their defaults and where they come from; empty if there are
        none.
        """
        environment = from_environment(os.environ)
        lines = []
        for setting in SETTINGS:
            value, default = self.__dict__[setting.name], own(setting.default)
            if value != default:
                lines.append("  %s: %s (default: %s)" % (
                    setting.name, origin(setting.name, value, environment), "empty" if default == "" else default))
        return "\n".join(["Settings that are not at their defaults:", *lines]) if lines else ""

    def problems(self) -> List[str]:
        """Return a line about each unsuitable value, which makes the code that uses it fail or use another value, and
        one about each environment variable that has the prefix but is not a setting."""
        wanted = {name: suitable_values(name, value) for name, value in self.as_dict().items()}
        lines = ["%s is %r: it takes %s" % (name, self.__dict__[name], takes) for name, takes in wanted.items() if takes]
        return lines + ["unknown environment variable: " + variable for variable in ignored_variables(os.environ)]

    def __getattr__(self, name: str) -> Any:
        # Reached for names that are no settings, because all settings are in the dict.
        raise AttributeError(_unknown(name))

    def __setattr__(self, name: str, value: Any) -> None:
        # a misspelled setting would otherwise be assigned without effect
        if name not in BY_NAME:
            raise AttributeError(_unknown(name))
        kind = BY_NAME[name].kind
        try:
            self.__dict__[name] = kind.accept(value)
            self._version.renew()  # after the value: a thread that reads this number also sees the new value
        except (TypeError, ValueError, OverflowError) as x:
            raise TypeError("config.%s takes %s, not %s: %.100r" % (
                name, kind.takes, type(value).__name__, value)) from x

    def __delattr__(self, name: str) -> None:
        raise AttributeError("config.%s cannot be deleted; reset() restores the defaults" % name)


def _unknown(name: str) -> str:
    close = closest(name, 0.6)
    return "no such setting: config.%s%s" % (name, "; did you mean %s?" % close if close else "")


def _describe(settings: Iterable[Setting]) -> str:
    rows = ["    %s = %r\n        %s" % (row.name, own(row.default), row.doc) for row in settings]
    return "\n".join(rows)


Configuration.__slots__ = tuple(BY_NAME)
Configuration.__doc__ = "%s\n\n%s\n" % ((Configuration.__doc__ or "").rstrip(), _describe(SETTINGS))


def _of_this_process() -> Configuration:
    """Return the initial settings of this process.

    Raises:
        ValueError: an environment variable has an invalid value.
        SystemExit: the same in a command line tool of this package, with a one-line error.
    """
    try:
        return Configuration()
    except ValueError as x:
        if _runs_tool():
            raise SystemExit("Error: %s" % x) from None
        raise


def _runs_tool() -> bool:
    """Return whether this process runs one of the package's modules, or one of the scripts installed for them."""
    # `python -m` sets the spec of the main module; an installed script has none, and is recognized by its name
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return bool(spec.name.startswith("%s." % __package__))
    return any(os.path.basename(program).startswith("pyro5-") for program in sys.argv[:1])


global_config = _of_this_process()
# Compared in each call: reading an attribute of this object is faster than the property `version`.
global_version = global_config._version
if hasattr(os, "register_at_fork"):
    # Proxies and daemons look at what they have only if the number has changed: connections are those of the parent process.
    os.register_at_fork(after_in_child=global_version.renew)


def count_change() -> None:
    """Set a new version of the configuration after a change to something that is used along with settings.

    Proxies and daemons then read their settings and look up serializers again.
    """
    global_version.renew()


def dump() -> None:
    """Print the active configuration."""
    print(global_config.dump())


def main(args: Optional[Sequence[str]] = None) -> int:
    """Print the active configuration (``python -m Pyro5.configure`` and ``pyro5-check-config``)."""
    return int(importlib.import_module(".tools.configuration", __package__).main(args))


if __name__ == "__main__":
    sys.exit(main())
