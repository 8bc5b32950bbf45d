"""Settings in environment variables: their values, and variables that are no settings."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping

from .kinds import BOOL, INT, Kind
from .table import BY_NAME, Setting, closest

__all__ = ["ENVIRONMENT_PREFIX", "from_environment", "ignored_variables", "origin"]

ENVIRONMENT_PREFIX = "PYRO_"
# For a service named "pyro-ns", Kubernetes and Docker set PYRO_NS_PORT to the address of that service.
_SERVICE_ADDRESSES = ("tcp://", "udp://", "sctp://")


def from_environment(environ: Mapping[str, str]) -> Dict[str, Any]:
    """Return the values of settings in environment variables, by name of the setting."""
    values = {}
    for name, setting in BY_NAME.items():
        text = environ.get(ENVIRONMENT_PREFIX + name)
        if text is not None and not _is_foreign(setting, text):
            values[name] = _parse(ENVIRONMENT_PREFIX + name, text, setting.kind)
    return values


def ignored_variables(environ: Mapping[str, str]) -> List[str]:
    """Return the variables with the prefix that are not settings, sorted, with a hint at similar names."""
    ignored = []
    for variable in sorted(name for name in environ if name.startswith(ENVIRONMENT_PREFIX)):
        name = variable[len(ENVIRONMENT_PREFIX):]
        if name not in BY_NAME:
            close = closest(name, 0.8)
            ignored.append(variable + (" (did you mean %s%s?)" % (ENVIRONMENT_PREFIX, close) if close else ""))
        elif _is_foreign(BY_NAME[name], environ[variable]):
            ignored.append("%s=%s" % (variable, environ[variable]))
    return ignored


def _is_foreign(setting: Setting, text: str) -> bool:
    """Return whether the value is not a number, but the address of a service of that name."""
    return setting.kind is INT and text.startswith(_SERVICE_ADDRESSES)


def origin(name: str, value: Any, environment: Mapping[str, Any]) -> str:
    """Return where a value that is not the default comes from; `environment` has the values of the environment variables."""
    variable = name
    if name == "NS_HOST" and name not in environment:
        variable = "HOST"  # NS_HOST defaults to it
    if variable in environment and environment[variable] == value:
        return "set by the environment variable %s%s" % (ENVIRONMENT_PREFIX, variable)
    return "set by the program"


def _parse(variable: str, text: str, kind: Kind) -> Any:
    try:
        return kind.parse(text)
    except ValueError as x:
        what = "boolean value" if kind is BOOL else "Pyro environment config value"
        raise ValueError("invalid %s: %s=%s (it takes %s)" % (what, variable, text, kind.takes)) from x
