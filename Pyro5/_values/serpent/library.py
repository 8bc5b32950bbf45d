"""Find the serpent library. If this package is vendored, a copy of the library beside it takes precedence."""
from __future__ import annotations

import importlib.util
import sys
from typing import Any

__all__ = ["load", "require"]


def require() -> str:
    """Return the name of the library's module, without importing it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    parent = ".".join(__name__.split(".")[:-4])
    for name in (parent + ".serpent", "serpent") if parent else ("serpent",):
        if sys.modules.get(name) is not None or importlib.util.find_spec(name):
            return name
    raise ModuleNotFoundError("Pyro5 needs the package serpent, which is not installed for %s: run %s -m pip install serpent"
                              % (sys.executable, sys.executable), name="serpent")


def load() -> Any:
    """Import the library. Raises ModuleNotFoundError if it is not installed."""
    name = require()
    if name != "serpent":
        return importlib.import_module(name)
    import serpent  # an import statement, so that tools that bundle programs find it
    return serpent
