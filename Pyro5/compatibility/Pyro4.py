"""
Lets programs that were written for Pyro4 run on this library::

    from Pyro5.compatibility import Pyro4

Put this line where the program is entered. After it, ``import Pyro4``, ``from Pyro4 import Proxy`` and ``import Pyro4.errors``
mean this library everywhere in the process. The package of that name is not needed; when it has been imported already,
the line raises an ImportError instead of mixing the two. Both sides of a connection have to be of this generation: the wire
protocols differ.

Names
    The classes are those of ``Pyro5.api``, not copies, so old and new code can share objects. Functions have their old
    names (``locateNS``) as well as the new ones. There are stand-ins for the submodules ``constants``, ``core``, ``errors``,
    ``message``, ``naming``, ``naming_storage``, ``nsc``, ``socketutil``, ``test.echoserver`` and ``util``. In them, and among
    the methods of ``config``, each function also answers to its name in camelCase, if that only differs in underscores and in
    capitals: ``Pyro4.util.getPyroTraceback`` is ``errors.get_pyro_traceback``.

Settings
    ``Pyro4.config`` is the configuration of this library. A setting that has gone may be assigned and read again; it has no
    effect, and a line in the log (a warning of the logger ``Pyro5.compatibility``) says so. ``METADATA`` is always true. A
    setting whose name only differs in underscores is the one of today: ``THREADPOOLSIZE`` is ``THREADPOOL_SIZE``.
    Environment variables are read before this module: they need their names of today.

Not there any more
    The pickle family of serializers; HMAC keys, which are refused with a SecurityError, because without them a program would
    run unprotected (use TLS with client certificates); asynchronous proxies, futures and Flame (see ``concurrent.futures``);
    proxies that several threads use at once (``_pyroClaimOwnership``); metadata searches by the name server's ``list``
    (``yplookup``). ``@expose`` is always required. The command line tools have the names of today.
"""
from __future__ import annotations

import importlib.machinery
import logging
import sys
import types
from typing import Any, Dict, List, Optional, Tuple

from .. import __version__ as __version__
from .. import api, client, constants, core, errors, nameserver, nsc, protocol, serializers, server, socketutil
from .. import config as _settings
from ..api import (
    URI,
    BatchProxy,
    Daemon,
    DaemonObject,
    Proxy,
    SerializedBlob,
    SerializerBase,
    behavior,
    callback,
    current_context,
    expose,
    oneway,
    register_class_to_dict,
    register_dict_to_class,
    serve,
    type_meta,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from ..utils import echoserver

__all__ = ["URI", "BatchProxy", "Daemon", "DaemonObject", "Proxy", "SerializedBlob", "SerializerBase", "batch", "behavior",
           "callback", "config", "current_context", "expose", "locateNS", "oneway", "register_class_to_dict",
           "register_dict_to_class", "resolve", "serve", "type_meta", "unregister_class_to_dict", "unregister_dict_to_class"]

log = logging.getLogger("Pyro5.compatibility")

_PACKAGE = "Pyro4"


# ---------------------------------------------------------------- functions

def locateNS(host: Optional[str] = None, port: Optional[int] = None, broadcast: bool = True,
             hmac_key: Optional[bytes] = None) -> Proxy:
    """Give a proxy for a name server; see `Pyro5.api.locate_ns`."""
    _refuse_hmac_key(hmac_key)
    return api.locate_ns(host or "", port, broadcast)


def resolve(uri: Any, hmac_key: Optional[bytes] = None, delay_time: float = 0.0) -> URI:
    """Give the PYRO uri that a uri leads to; see `Pyro5.api.resolve`."""
    _refuse_hmac_key(hmac_key)
    return api.resolve(uri, delay_time)


def batch(proxy: Proxy) -> BatchProxy:
    """Give a proxy that collects calls and makes them all at once; see `Pyro5.api.BatchProxy`."""
    return BatchProxy(proxy)


def _start_ns(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
              bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
              nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None,
              hmac: Optional[bytes] = None) -> Tuple[URI, nameserver.NameServerDaemon, Any]:
    """Make a name server; see `Pyro5.api.start_ns`."""
    _refuse_hmac_key(hmac)
    return api.start_ns(host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage)


def _start_ns_loop(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
                   bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
                   nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None,
                   hmac: Optional[bytes] = None) -> None:
    """Run a name server until it is told to stop; see `Pyro5.api.start_ns_loop`."""
    _refuse_hmac_key(hmac)
    api.start_ns_loop(host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage)


def _sql_storage(dbfile: str) -> Any:
    """Open the names kept in an sqlite file."""
    return nameserver.open_storage("sql:%s" % dbfile)


def _dbm_storage(dbmfile: str) -> Any:
    """Open the names kept in a dbm file."""
    return nameserver.open_storage("dbm:%s" % dbmfile)


def _refuse_hmac_key(key: Optional[bytes]) -> None:
    """Raise SecurityError where a program relies on a key that would not be checked."""
    if key is not None:
        raise errors.SecurityError("there are no HMAC keys any more: protect connections with TLS and client certificates "
                                   "(the settings that begin with SSL), then call this without a key")


# ---------------------------------------------------------------- old spellings

def _letters(name: str) -> str:
    """Reduce a name to what its old and new spellings have in common."""
    return name.replace("_", "").lower()


def _old_spelling(name: str, candidates: Any) -> Optional[str]:
    """Give the candidate that a name in camelCase means, None if there is none."""
    if "_" in name or name.islower():
        return None
    wanted = _letters(name)
    return next((candidate for candidate in candidates if candidate.islower() and _letters(candidate) == wanted), None)


# ---------------------------------------------------------------- settings

class _OldConfiguration:
    """The settings of this library, and those of Pyro4 that have gone: they keep what they are given, without effect."""

    def __init__(self) -> None:
        self.__dict__["_gone"] = {"METADATA": True}

    def __getattr__(self, name: str) -> Any:
        gone: Dict[str, Any] = self.__dict__["_gone"]
        if name in gone:
            return gone[name]
        current = self._current_setting(name) or _old_spelling(name, dir(type(_settings)))
        return getattr(_settings, current or name)

    def __setattr__(self, name: str, value: Any) -> None:
        current = self._current_setting(name)
        if current is None and name.isupper():
            log.warning("the setting %s of Pyro4 has no effect any more", name)
            self.__dict__["_gone"][name] = value
        else:
            setattr(_settings, current or name, value)

    def __dir__(self) -> List[str]:
        return sorted({*dir(_settings), *self._gone})

    @staticmethod
    def _current_setting(name: str) -> Optional[str]:
        if not name.isupper():
            return None
        return next((setting for setting in _settings.as_dict() if _letters(setting) == _letters(name)), None)


config = _OldConfiguration()


# ---------------------------------------------------------------- submodules

class _StandIn(types.ModuleType):
    """A submodule of Pyro4 that shows names of other modules, the functions among them in their old spelling too."""

    def __init__(self, name: str, names: Dict[str, Any]) -> None:
        super().__init__("%s.%s" % (_PACKAGE, name), "Stands in for the module of Pyro4; see Pyro5.compatibility.Pyro4.")
        self.__spec__ = importlib.machinery.ModuleSpec(self.__name__, None)
        self.__all__ = sorted(names)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        current = _old_spelling(name, self.__all__)
        if current is None or not callable(self.__dict__[current]):
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        return self.__dict__[current]


def _public_names(module: types.ModuleType) -> Dict[str, Any]:
    """Give what a module offers: what it says itself, or else its constants and everything that is defined in it."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    return {name: value for name, value in vars(module).items() if not name.startswith("_")
            and (name.isupper() or getattr(value, "__module__", None) == module.__name__)}


def _stand_ins() -> Dict[str, _StandIn]:
    """Make the submodules, by name."""
    of = _public_names
    tracebacks = {name: getattr(errors, name) for name in ("get_pyro_traceback", "format_traceback", "excepthook")}
    at_top = {name: globals()[name] for name in __all__}
    names = {
        "constants": of(constants),
        "core": {**of(core), **of(client), **of(server), **at_top},
        "errors": of(errors),
        "message": of(protocol),
        "naming": {**of(nameserver), "start_ns": _start_ns, "start_ns_loop": _start_ns_loop, "locateNS": locateNS,
                   "resolve": resolve, "type_meta": type_meta},
        "naming_storage": {"SqlStorage": _sql_storage, "DbmStorage": _dbm_storage},
        "nsc": of(nsc),
        "socketutil": of(socketutil),
        "test": {},
        "test.echoserver": of(echoserver),
        "util": {**of(serializers), **tracebacks},
    }
    return {name: _StandIn(name, content) for name, content in names.items()}


# ---------------------------------------------------------------- taking the name

def _refuse_to_mix() -> None:
    """Raise ImportError if the package Pyro4 itself, or part of it, has been imported already."""
    for name, module in list(sys.modules.items()):
        ours = __name__ in (getattr(module, "__name__", None), type(module).__module__)
        if name.partition(".")[0] == _PACKAGE and not ours:
            raise ImportError("%s has been imported already (from %s): import Pyro5.compatibility.Pyro4 before anything "
                              "imports it" % (name, getattr(module, "__file__", None) or "somewhere else"), name=name)


def _take_name() -> None:
    """Have this module and the stand-ins found as Pyro4 and its submodules."""
    _refuse_to_mix()
    this = sys.modules[__name__]
    sys.modules[_PACKAGE] = this
    for name, module in _stand_ins().items():
        parent, _, last = name.rpartition(".")
        sys.modules["%s.%s" % (_PACKAGE, name)] = module
        setattr(sys.modules["%s.%s" % (_PACKAGE, parent)] if parent else this, last, module)


__path__: List[str] = []  # a package to the import system, in which nothing is found but what stands in for it
_take_name()
