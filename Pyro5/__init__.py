"""Pyro5: Python remote objects. Call methods of objects in other processes and on other machines as if they were local.

Most programs need only ``Pyro5.api``. The submodules, ``Pyro5.config`` and ``Pyro5.current_context`` are loaded when they are
first used, so ``import Pyro5`` is sufficient to use ``Pyro5.server.expose`` or ``Pyro5.config.HOST``.

The program configures logging, unless the environment variable PYRO_LOGLEVEL is set: see configure_logging. In a program that
does not configure logging, Python prints warnings and errors to standard error, including those of this package.
"""
from __future__ import annotations

import collections
import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Mapping

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple

    from .callcontext import CallContext
    from .configure import Configuration

    config: Configuration
    current_context: CallContext

__version__ = "5.20.0"

_LAZY_OBJECTS = {
    "config": ("configure", "global_config"),
    "current_context": ("callcontext", "current_context"),
}


class LazyModule:
    """Stand for a module until it is first used, and then put the module itself in its place.

    Importing a module takes 0.3 to 3 ms. Modules that most programs do not use, or not at first, are therefore imported so::

        if TYPE_CHECKING:
            from . import rebuilding
        else:
            rebuilding = LazyModule(globals(), ".rebuilding")

    Type checkers, tools that bundle programs, and the test of the layers see an ordinary import. Everything that a first call
    needs is still imported at the top of its file. An import statement in a function is for what servers do not need either,
    which load all of these: ssl, sqlite3, asyncio, packages that are optional. The reason stands beside it.

    Thread-safe: imports have locks, and all threads put the same module into the namespace.

    Args:
        namespace: the globals of the importing module. There the name is the last part of that of the module.
        module: the name of the module, relative to the package of the importing one if it begins with a dot.
    """

    __slots__ = ("_namespace", "_module")
    _all: List["LazyModule"] = []

    def __init__(self, namespace: Dict[str, Any], module: str) -> None:
        self._namespace = namespace
        self._module = module
        self._all.append(self)

    @classmethod
    def load_all(cls) -> None:
        """Load all of them now, in a process that may later have no file descriptors left to read a module."""
        while True:
            try:
                each = cls._all.pop()
            except IndexError:  # not a test before it: another thread may create a server, too
                return
            each._load()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def _load(self) -> Any:
        module = importlib.import_module(self._module, self._namespace["__package__"])
        # From now on an access costs nothing more than with an import statement, and tests can replace what is in the module.
        name = self._module.rpartition(".")[2]
        if self._namespace.get(name) is self:
            self._namespace[name] = module
        return module


if not TYPE_CHECKING:
    class _NamedTupleClass(type):
        """Make named tuples of classes that are written as with ``typing.NamedTuple``.

        That one compiles the annotation of each field: 0.2 ms per class, and 2 ms more for the first one of a process.
        Without it, a program that makes a call starts in a twentieth less time.
        """

        def __new__(cls, name: str, bases: Any, namespace: Dict[str, Any]) -> Any:
            fields = namespace["__annotations__"]
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            made = collections.namedtuple(name, fields, defaults=defaults)
            for attribute, value in namespace.items():
                setattr(made, attribute, value)
            return made

    NamedTuple = type.__new__(_NamedTupleClass, "NamedTuple", (), {})


class _Logger(logging.Logger):
    """The parent of all loggers of this library. Its level is at least WARNING, unless the program sets another one.

    Without this, a program whose root logger has the level DEBUG would get all debug records of this library.
    """

    @property
    def level(self) -> int:
        # computed for each access, because the program may change the level of the root logger at any time
        own: int = self.__dict__.get("level", logging.NOTSET)
        return own or max(logging.WARNING, self.parent.getEffectiveLevel() if self.parent else logging.NOTSET)

    @level.setter
    def level(self, level: int) -> None:
        self.__dict__["level"] = level


def configure_logging(environ: Mapping[str, str]) -> None:
    """Configure logging by PYRO_LOGLEVEL (the name or number of a level) and PYRO_LOGFILE (a path, or ``{stderr}``).

    Without PYRO_LOGLEVEL the library logs warnings and errors, unless the program sets a level for the logger ``Pyro5``. If
    the program has already configured logging, PYRO_LOGFILE is ignored and only the level is set.

    Args:
        environ: the environment variables.

    Raises:
        AttributeError: PYRO_LOGLEVEL is not a level that the logging module knows.
    """
    # The class is changed because the logger may exist already, and other modules may refer to it.
    logging.getLogger("Pyro5").__class__ = _Logger
    level_name = environ.get("PYRO_LOGLEVEL")
    if not level_name:
        return
    level = int(level_name) if level_name.isdigit() else logging.getLevelName(level_name.upper())
    if not isinstance(level, int):
        raise AttributeError("invalid Pyro environment config value: PYRO_LOGLEVEL=%s (must be a level of the logging "
                             "module: DEBUG, INFO, WARNING, ERROR, CRITICAL)" % level_name)
    # A program that has set up logging decides where the records go.
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
    globals()[name] = value  # the next access does not call this function
    return value


def _submodule(name: str) -> Any:
    full_name = "%s.%s" % (__name__, name)
    try:
        return importlib.import_module(full_name)
    except ModuleNotFoundError as x:
        if x.name != full_name:
            raise  # the submodule exists, but something that it imports does not
        raise AttributeError("module %r has no attribute %r" % (__name__, name)) from None


def serpent_name() -> str:
    """Return the name of the module of the serpent library, without importing it. If this package is vendored, a copy of the
    library beside it takes precedence.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import importlib.util  # LazyModule is for modules that are used by their last name
    parent = __name__.rpartition(".")[0]
    for name in (parent + ".serpent", "serpent") if parent else ("serpent",):
        if sys.modules.get(name) is not None or importlib.util.find_spec(name):
            return name
    raise ModuleNotFoundError("Pyro5 needs the package serpent, which is not installed for %s: run %s -m pip install serpent"
                              % (sys.executable, sys.executable), name="serpent")


# Before any other module of the package is imported, so that records logged during import are handled as well.
configure_logging(os.environ)
importlib.import_module("._text", __name__).install_filter()
