"""
Pyro5: Python remote objects. Call methods of objects in other processes, wherever these run, as if they were local.

What programs use is in ``Pyro5.api``. The submodules, ``Pyro5.config`` and ``Pyro5.current_context`` are loaded when
they are first asked for, so that ``import Pyro5`` is enough to write ``Pyro5.server.expose`` or ``Pyro5.config.HOST``.

Logging is left to the program, except when the environment variable PYRO_LOGLEVEL is set: see configure_logging. In a
program that sets up no logging, Python itself shows warnings and errors on standard error, and so those of this package.
"""
from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from .callcontext import CallContext
    from .configure import Configuration

    config: Configuration
    current_context: CallContext

__version__ = "5.20.0"

_LAZY_OBJECTS = {
    "config": ("configure", "global_config"),
    "current_context": ("callcontext", "current_context"),
}


class _Logger(logging.Logger):
    """The logger above all others of this library: it shows warnings and errors only, unless it is given a level.

    Without this, a program that logs at level DEBUG itself would get all that this library has to say.
    """

    @property
    def level(self) -> int:
        own: int = self.__dict__.get("level", logging.NOTSET)
        return own or max(logging.WARNING, self.parent.getEffectiveLevel() if self.parent else logging.NOTSET)

    @level.setter
    def level(self, level: int) -> None:
        self.__dict__["level"] = level


def configure_logging(environ: Mapping[str, str]) -> None:
    """
    Log as PYRO_LOGLEVEL (a level name or number) and PYRO_LOGFILE (a path, or ``{stderr}``) say.

    Without PYRO_LOGLEVEL the library logs warnings and errors, unless the program sets a level for the logger ``Pyro5``.

    The program's own logging setup, when it was made first, decides where the records go; then only the level counts.

    Raises:
        AttributeError: PYRO_LOGLEVEL is not a level that the logging module knows.
    """
    logging.getLogger("Pyro5").__class__ = _Logger
    level_name = environ.get("PYRO_LOGLEVEL")
    if not level_name:
        return
    level = int(level_name) if level_name.isdigit() else logging.getLevelName(level_name.upper())
    if not isinstance(level, int):
        raise AttributeError("invalid Pyro environment config value: PYRO_LOGLEVEL=%s (it takes a level of the logging "
                             "module: DEBUG, INFO, WARNING, ERROR, CRITICAL)" % level_name)
    if not logging.getLogger().handlers:
        target = environ.get("PYRO_LOGFILE") or "pyro5.log"
        handler = logging.StreamHandler() if target == "{stderr}" else logging.FileHandler(target, encoding="utf-8")
        logging.basicConfig(handlers=[handler],
                            format="[%(asctime)s.%(msecs)03d,%(name)s,%(levelname)s] %(message)s",
                            datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("Pyro5").setLevel(level)


def __getattr__(name: str) -> Any:
    if name in _LAZY_OBJECTS:
        module_name, attribute = _LAZY_OBJECTS[name]
        value = getattr(importlib.import_module("." + module_name, __name__), attribute)
    elif name.startswith("_"):
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    else:
        value = _submodule(name)
    globals()[name] = value
    return value


def _submodule(name: str) -> Any:
    full_name = "%s.%s" % (__name__, name)
    try:
        return importlib.import_module(full_name)
    except ModuleNotFoundError as x:
        if x.name != full_name:
            raise
        raise AttributeError("module %r has no attribute %r" % (__name__, name)) from None


configure_logging(os.environ)
importlib.import_module("._text.log_filter", __name__).install()
