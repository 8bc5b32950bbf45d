"""The names that most programs need, in one module.

Each is loaded when it is first used, so that importing this module takes little longer than importing the modules of Python
that it needs, and a program that only calls objects never loads the servers. Two errors are found at once: a setting in the
environment that is not valid, and a missing serpent.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

from . import __version__ as __version__
from . import config
from . import serpent_name as _serpent_name

if TYPE_CHECKING:
    from ._client.retry import Retry
    from ._objects.exposure import behavior, callback, expose, oneway
    from ._observe.interceptors import of_clients
    from ._values.registered_types import register_types
    from .callcontext import current_context
    from .client import BatchProxy, Proxy, SerializedBlob
    from .core import URI, locate_ns, resolve, type_meta, wait_for
    from .nameserver import start_ns, start_ns_loop
    from .serializers import SerializerBase
    from .server import Daemon, DaemonObject, serve

    intercept_clients = of_clients.add
    register_dict_to_class = SerializerBase.register_dict_to_class
    register_class_to_dict = SerializerBase.register_class_to_dict
    unregister_dict_to_class = SerializerBase.unregister_dict_to_class
    unregister_class_to_dict = SerializerBase.unregister_class_to_dict

__all__ = ["config", "URI", "locate_ns", "resolve", "type_meta", "current_context",
           "BatchProxy", "Proxy", "Retry", "SerializedBlob", "SerializerBase", "wait_for",
           "Daemon", "DaemonObject", "callback", "expose", "behavior", "oneway", "serve",
           "start_ns", "start_ns_loop", "register_types", "intercept_clients",
           "register_dict_to_class", "register_class_to_dict", "unregister_dict_to_class", "unregister_class_to_dict"]

_serpent_name()  # nothing works without it

# Where each name is: the module, and what leads to it there if that is not the name itself.
_HOMES = {
    "BatchProxy": "client", "Daemon": "server", "DaemonObject": "server", "Proxy": "client", "Retry": "_client.retry",
    "SerializedBlob": "client", "SerializerBase": "serializers", "URI": "core", "behavior": "_objects.exposure",
    "callback": "_objects.exposure", "current_context": "callcontext", "expose": "_objects.exposure",
    "intercept_clients": "_observe.interceptors:of_clients.add", "locate_ns": "core", "oneway": "_objects.exposure",
    "register_class_to_dict": "serializers:SerializerBase.register_class_to_dict",
    "register_dict_to_class": "serializers:SerializerBase.register_dict_to_class",
    "register_types": "_values.registered_types", "resolve": "core", "serve": "server", "start_ns": "nameserver",
    "start_ns_loop": "nameserver", "type_meta": "core",
    "unregister_class_to_dict": "serializers:SerializerBase.unregister_class_to_dict",
    "unregister_dict_to_class": "serializers:SerializerBase.unregister_dict_to_class", "wait_for": "core",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    module, _colon, path = _HOMES[name].partition(":")
    value = importlib.import_module("." + module, __package__)
    for attribute in (path or name).split("."):
        value = getattr(value, attribute)
    globals()[name] = value  # the next access does not call this function
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *_HOMES})
