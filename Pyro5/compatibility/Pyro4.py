"""Runs programs that were written for Pyro4 on this library::

    from Pyro5.compatibility import Pyro4

Put this line at the start of the program. After it, ``import Pyro4``, ``from Pyro4 import Proxy`` and ``import Pyro4.errors``
refer to this library everywhere in the process. The package Pyro4 need not be installed; if it has been imported already,
the line raises an ImportError instead of mixing the two. Both sides of a connection must use this library, because the wire
protocols differ.

Names
    The classes are those of ``Pyro5.api``, so old and new code can share objects. ``Proxy`` and ``Daemon`` are subclasses
    that reject removed features, and ``proxy()`` calls a remote ``__call__``; every proxy and daemon is an instance of them.
    Functions have their old names (``locateNS``) as well as the new ones. There are stand-ins for the submodules
    ``constants``, ``core``, ``errors``, ``message``, ``naming``, ``naming_storage``, ``nsc``, ``socketutil``,
    ``test.echoserver`` and ``util``. In them, and among the methods of ``config``, each
    function is also available under its camelCase name, if that only differs in underscores and capitals:
    ``Pyro4.util.getPyroTraceback`` is ``errors.get_pyro_traceback``.

Settings
    ``Pyro4.config`` is the configuration of this library. Removed settings can be assigned and read; they have no
    effect, and a line in the log (a warning of the logger ``Pyro5.compatibility``) says so. ``METADATA`` is always true. A
    ``SERIALIZER`` of the pickle family can be assigned too: programs then use serpent. ``SERIALIZERS_ACCEPTED`` is a set;
    servers accept the current serializers in it, and serpent in place of the pickle family. A setting
    whose name only differs in underscores is the current one: ``THREADPOOLSIZE`` is ``THREADPOOL_SIZE``.
    Environment variables are read before this module: they need their current names.

Removed
    The pickle family of serializers; HMAC keys, which are refused with a SecurityError, because without them a program would
    run unprotected (use TLS with client certificates); asynchronous proxies, futures and Flame, which raise a
    NotImplementedError that names the replacement; metadata searches by the name server's ``list`` (``yplookup``).
    ``@expose`` is always required. The command line tools have their current names.
"""
from __future__ import annotations

import importlib.machinery
import logging
import os
import sys
import types
from typing import Any, Callable, Dict, Iterable, List, NoReturn, Optional, Set, Tuple

from .. import __version__ as __version__
from .. import api, client, constants, core, errors, nameserver, nsc, protocol, serializers, server, socketutil
from .. import config as _settings
from .._values import classes
from ..api import (
    URI,
    BatchProxy,
    DaemonObject,
    Retry,
    SerializedBlob,
    SerializerBase,
    behavior,
    callback,
    current_context,
    expose,
    intercept_clients,
    oneway,
    register_class_to_dict,
    register_dict_to_class,
    register_types,
    serve,
    type_meta,
    unregister_class_to_dict,
    unregister_dict_to_class,
    wait_for,
)
from ..typed import ProxyClass
from ..utils import echoserver

__all__ = ["URI", "BatchProxy", "Daemon", "DaemonObject", "Future", "Proxy", "Retry", "asyncproxy", "SerializedBlob",
           "SerializerBase", "batch", "behavior", "callback", "config", "current_context",
           "expose", "intercept_clients", "locateNS", "oneway", "register_class_to_dict",
           "register_dict_to_class", "register_types", "resolve", "serve", "type_meta", "unregister_class_to_dict",
           "unregister_dict_to_class", "wait_for"]

log = logging.getLogger("Pyro5.compatibility")

_PACKAGE = "Pyro4"
# Not available here: a message in one of these formats can run any code when it is read.
_PICKLE_FAMILY = frozenset(("pickle", "cloudpickle", "dill"))
_NO_HMAC = ("there are no HMAC keys any more: protect connections with TLS and client certificates (the settings that begin "
            "with SSL), then do this without a key")


# ---------------------------------------------------------------- classes

class _Stands(ProxyClass):
    """The metaclass of the classes below: every instance of the class that they stand for is also an instance of them."""

    _stands_for: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        # Not for subclasses that a program derives: these have no `_stands_for` of their own.
        return super().__instancecheck__(instance) or "_stands_for" in vars(cls) and isinstance(instance, cls._stands_for)


class _WithoutKey:
    """Base of the classes that had an HMAC key."""

    @property
    def _pyroHmacKey(self) -> NoReturn:
        # Reading it must fail too: a program that gets None would believe that a key is not needed.
        raise NotImplementedError(_NO_HMAC)

    @_pyroHmacKey.setter
    def _pyroHmacKey(self, key: Optional[bytes]) -> None:
        _refuse_hmac_key(key)


class Proxy(_WithoutKey, client.Proxy, metaclass=_Stands):
    """A proxy of this library, with the additional interface of Pyro4; see `Pyro5.client.Proxy`."""

    _stands_for = client.Proxy

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Pyro4 called the object itself; a proxy of this library is not callable.
        return self._pyroOperator("__call__")(*args, **kwargs)

    def _pyroAsync(self, asynchronous: bool = True) -> NoReturn:
        """Raise NotImplementedError, because asynchronous proxies have been removed."""
        raise NotImplementedError("asynchronous proxies are no more: call the proxy in a thread of concurrent.futures")


class Daemon(_WithoutKey, server.Daemon, metaclass=_Stands):
    """A daemon of this library that does not accept an HMAC key; see `Pyro5.server.Daemon`."""

    _stands_for = server.Daemon


# they are serialized as their base classes: otherwise copies of them would arrive as unknown classes
classes.register_own_class(Proxy, client.WIRE_TAG, client.Proxy.__getstate__, client._proxy_from_wire, client._on_delivery)
classes.register_own_class(Daemon, server.WIRE_TAG, lambda daemon: (), server._daemon_from_state)


# ---------------------------------------------------------------- functions

def locateNS(host: Optional[str] = None, port: Optional[int] = None, broadcast: bool = True,
             hmac_key: Optional[bytes] = None) -> client.Proxy:
    """Return a proxy for a name server; see `Pyro5.api.locate_ns`."""
    # before anything is sent: a program with a key must not talk to a server without one
    _refuse_hmac_key(hmac_key)
    # Pyro4 took None for what is an empty text here.
    return api.locate_ns(host or "", port, broadcast)


def resolve(uri: Any, hmac_key: Optional[bytes] = None, delay_time: float = 0.0) -> URI:
    """Return the PYRO uri that a uri resolves to; see `Pyro5.api.resolve`."""
    _refuse_hmac_key(hmac_key)
    return api.resolve(uri, delay_time)


def batch(proxy: client.Proxy) -> BatchProxy:
    """Return a proxy that collects calls and sends them together; see `Pyro5.api.BatchProxy`."""
    return BatchProxy(proxy)


def _start_ns(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
              bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
              nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None,
              hmac: Optional[bytes] = None) -> Tuple[URI, nameserver.NameServerDaemon, Any]:
    """Create a name server; see `Pyro5.api.start_ns`."""
    _refuse_hmac_key(hmac)
    return api.start_ns(host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage)


def _start_ns_loop(host: Optional[str] = None, port: Optional[int] = None, enableBroadcast: bool = True,
                   bchost: Optional[str] = None, bcport: Optional[int] = None, unixsocket: Optional[str] = None,
                   nathost: Optional[str] = None, natport: Optional[int] = None, storage: Any = None,
                   hmac: Optional[bytes] = None) -> None:
    """Run a name server until it is stopped; see `Pyro5.api.start_ns_loop`."""
    _refuse_hmac_key(hmac)
    # In its own order of parameters, as positional arguments of old programs come.
    api.start_ns_loop(host, port, enableBroadcast, bchost, bcport, unixsocket, nathost, natport, storage)


def _sql_storage(dbfile: str) -> Any:
    return nameserver.open_storage("sql:%s" % dbfile)


def _dbm_storage(dbmfile: str) -> Any:
    return nameserver.open_storage("dbm:%s" % dbmfile)


def _refuse_hmac_key(key: Optional[bytes]) -> None:
    """Raise SecurityError if a program relies on a key, which would not be checked."""
    # An error instead of a warning: without a key, any client could call what the key was to protect.
    if key is not None:
        raise errors.SecurityError(_NO_HMAC)


def _gone(what: str, instead: str) -> Callable[..., NoReturn]:
    # At the call and not at the import: a program that imports the name but does not use it still runs.
    def gone(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("%s no more: %s" % (what, instead))
    return gone


asyncproxy = _gone("asynchronous proxies are", "call the proxy in a thread of concurrent.futures")
Future = _gone("futures of this library are", "use those of concurrent.futures")
_flame = _gone("Flame is", "write a class that exposes what is needed")


# ---------------------------------------------------------------- functions of socketutil

def _get_ip_version(hostname_or_address: Any) -> int:
    return socketutil.get_ip_address(str(hostname_or_address)).version


def _get_ip_address(hostname: Optional[str], workaround127: bool = False, ipVersion: Optional[int] = None) -> str:
    """Return the ip address of a host (None: this machine) as text; see `Pyro5.socketutil.get_ip_address`."""
    return str(socketutil.get_ip_address(hostname or "", workaround127, ipVersion))


def _get_interface_address(peer_ip_address: str) -> str:
    """Return the address of this machine's network interface through which the given address is reached, as text."""
    # As text: Pyro4 had no address objects, and programs concatenate the result.
    return str(socketutil.get_interface(peer_ip_address).ip)


# ---------------------------------------------------------------- old spellings

def _letters(name: str) -> str:
    """Normalize a name so that its old and new spellings are equal."""
    return name.replace("_", "").lower()


def _old_spelling(name: str, candidates: Any) -> Optional[str]:
    """Return the candidate that matches a name in camelCase, None if there is none."""
    # Names of Pyro4 that need a translation have capital letters: the others are the same.
    if "_" in name or name.islower():
        return None
    # only functions are spelled in lower case; classes and constants have kept their names
    wanted = _letters(name)
    return next((candidate for candidate in candidates if candidate.islower() and _letters(candidate) == wanted), None)


# ---------------------------------------------------------------- settings

class _AcceptedSerializers(Set[str]):
    """SERIALIZERS_ACCEPTED in its old form, a set. Changes of the set take effect."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names.replace(",", " ").split() if isinstance(names, str) else names)

    def apply(self) -> None:
        """Assign the set to the setting, with serpent in place of the pickle family."""
        # A server that accepted pickle accepts serpent instead, which its clients use now.
        _settings.SERIALIZERS_ACCEPTED = {"serpent" if name in _PICKLE_FAMILY else name for name in self}


# All of these methods are alike: they change the set, and must then assign it.
def _applying(name: str) -> Callable[..., Any]:
    change = getattr(set, name)

    def changed(self: _AcceptedSerializers, *args: Any) -> Any:
        result = change(self, *args)
        self.apply()
        return result
    return changed


# Old programs change the set in place. Each of these methods has to assign the setting as well, which is a list.
for _name in ("add", "remove", "discard", "pop", "clear", "update", "difference_update", "intersection_update",
              "symmetric_difference_update", "__ior__", "__iand__", "__isub__", "__ixor__"):
    setattr(_AcceptedSerializers, _name, _applying(_name))


class _OldConfiguration:
    """The settings of this library, and removed ones of Pyro4, which keep assigned values but have no effect."""

    def __init__(self) -> None:
        # into the __dict__ directly: __setattr__ assigns settings
        self.__dict__["_gone"] = {"METADATA": True}
        self.__dict__["_accepted"] = _AcceptedSerializers(_settings.SERIALIZERS_ACCEPTED)

    def __getattr__(self, name: str) -> Any:
        gone: Dict[str, Any] = self.__dict__["_gone"]
        if name in gone:
            # First: an assigned value of a removed setting must not be looked for among the current ones.
            return gone[name]
        if name == "SERIALIZERS_ACCEPTED":
            return self.__dict__["_accepted"]
        current = self._current_setting(name) or _old_spelling(name, dir(type(_settings)))
        return getattr(_settings, current or name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "HMAC_KEY":
            _refuse_hmac_key(value)
        if name == "SERIALIZERS_ACCEPTED":
            # A set of its own, which the program may keep and change later.
            self.__dict__["_accepted"] = _AcceptedSerializers(value)
            self.__dict__["_accepted"].apply()
            return
        if name == "SERIALIZER":
            # The program reads back what it has assigned, but its proxies use serpent, which can send most of the same values.
            self._gone.pop(name, None)
            if value in _PICKLE_FAMILY:
                log.warning("the serializer %s is no more, the setting SERIALIZER stays %s", value, _settings.SERIALIZER)
                # A value that was remembered earlier would hide the new one.
                self.__dict__["_gone"][name] = value
                return
        current = self._current_setting(name)
        if current is None and name.isupper():
            log.warning("the setting %s of Pyro4 has no effect any more", name)
            self.__dict__["_gone"][name] = value
        else:
            setattr(_settings, current or name, value)

    def __dir__(self) -> List[str]:
        # Without the old spellings: only what can be listed, not all that is understood.
        return sorted({*dir(_settings), *self._gone})

    @staticmethod
    def _current_setting(name: str) -> Optional[str]:
        if not name.isupper():  # settings are in capitals, methods are not
            return None
        return next((setting for setting in _settings.as_dict() if _letters(setting) == _letters(name)), None)


config = _OldConfiguration()


# ---------------------------------------------------------------- submodules

class _StandIn(types.ModuleType):
    """A stand-in for a submodule of Pyro4, with names of other modules; functions also have their old spelling."""

    def __init__(self, name: str, names: Dict[str, Any]) -> None:
        super().__init__("%s.%s" % (_PACKAGE, name), "Stands in for the module of Pyro4; see Pyro5.compatibility.Pyro4.")
        self.__spec__ = importlib.machinery.ModuleSpec(self.__name__, None)  # importlib and pickle look at it
        # Its names are in the dict, so most accesses do not reach __getattr__.
        self.__all__ = sorted(names)
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        # Only functions: pickled names of classes and constants have not changed.
        current = _old_spelling(name, self.__all__)
        if current is None or not callable(self.__dict__[current]):
            raise AttributeError("module %r has no attribute %r" % (self.__name__, name))
        return self.__dict__[current]


def _public_names(module: types.ModuleType) -> Dict[str, Any]:
    """Return the public names of a module: its ``__all__``, or else its constants and the objects defined in it."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    # Constants, and what the module defines itself: names that it only imports belong to other modules.
    return {name: value for name, value in vars(module).items() if not name.startswith("_")
            and (name.isupper() or getattr(value, "__module__", None) == module.__name__)}


def _stand_ins() -> Dict[str, _StandIn]:
    of = _public_names
    # The hooks for tracebacks moved from util to errors.
    tracebacks = {name: getattr(errors, name) for name in ("get_pyro_traceback", "format_traceback", "excepthook")}
    at_top = {name: globals()[name] for name in __all__}
    names = {
        # Later entries replace earlier ones, so the classes at the top of this module win.
        "constants": {**of(constants), "VERSION": __version__},
        "core": {**of(core), **of(client), **of(server), **at_top},
        "errors": of(errors),
        "futures": {"Future": Future},
        "message": of(protocol),
        "naming": {**of(nameserver), "start_ns": _start_ns, "start_ns_loop": _start_ns_loop, "locateNS": locateNS,
                   "resolve": resolve, "type_meta": type_meta},
        "naming_storage": {"SqlStorage": _sql_storage, "DbmStorage": _dbm_storage},
        "nsc": of(nsc),
        "socketutil": {**of(socketutil), "getIpVersion": _get_ip_version, "getIpAddress": _get_ip_address,
                       "getInterfaceAddress": _get_interface_address, "createBroadcastSocket": socketutil.create_bc_socket,
                       "bindOnUnusedPort": socketutil.bind_unused_port},
        "test": {},
        "test.echoserver": of(echoserver),
        "util": {**of(serializers), **tracebacks},
        "utils": {},
        "utils.flame": dict.fromkeys(("start", "connect", "Flame"), _flame),
    }
    return {name: _StandIn(name, content) for name, content in names.items()}


# ---------------------------------------------------------------- replacing the package Pyro4

def _refuse_to_mix() -> None:
    """Raise ImportError if the package Pyro4 itself, or part of it, has been imported already."""
    for name, module in list(sys.modules.items()):
        # This module and its stand-ins are not meant: they may be imported again.
        ours = __name__ in (getattr(module, "__name__", None), type(module).__module__)
        if name.partition(".")[0] == _PACKAGE and not ours:
            raise ImportError("%s has been imported already (from %s): import Pyro5.compatibility.Pyro4 before anything "
                              "imports it" % (name, getattr(module, "__file__", None) or "somewhere else"), name=name)


def _take_name() -> None:
    """Install this module and the stand-ins as Pyro4 and its submodules."""
    _refuse_to_mix()
    # Python has stored the module under its own name only.
    this = sys.modules[__name__]
    sys.modules[_PACKAGE] = this
    # In the order of the dict: the parent of each comes before it.
    for name, module in _stand_ins().items():
        parent, _, last = name.rpartition(".")
        sys.modules["%s.%s" % (_PACKAGE, name)] = module
        # As the import system does it: `import Pyro4.naming` must set the attribute `naming` of Pyro4.
        setattr(sys.modules["%s.%s" % (_PACKAGE, parent)] if parent else this, last, module)


if os.environ.get("PYRO_HMAC_KEY"):
    _refuse_hmac_key(os.environ["PYRO_HMAC_KEY"].encode())
__path__: List[str] = []  # marks a package, without files for the import system to find
_take_name()
