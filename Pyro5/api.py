"""The names that most programs need, in one module.

Those of servers are loaded when they are first used: a program that only calls objects loads half of the package.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

from . import __version__ as __version__
from . import config
from ._client.retry import Retry
from ._observe.interceptors import of_clients
from ._values.registered_types import register_types
from .callcontext import current_context
from .client import BatchProxy, Proxy, SerializedBlob
from .core import URI, locate_ns, resolve, type_meta, wait_for
from .serializers import SerializerBase

if TYPE_CHECKING:
    from ._objects.exposure import behavior, callback, expose, oneway
    from .nameserver import start_ns, start_ns_loop
    from .server import Daemon, DaemonObject, serve

__all__ = ["config", "URI", "locate_ns", "resolve", "type_meta", "current_context",
           "BatchProxy", "Proxy", "Retry", "SerializedBlob", "SerializerBase", "wait_for",
           "Daemon", "DaemonObject", "callback", "expose", "behavior", "oneway", "serve",
           "start_ns", "start_ns_loop", "register_types", "intercept_clients",
           "register_dict_to_class", "register_class_to_dict", "unregister_dict_to_class", "unregister_class_to_dict"]

intercept_clients = of_clients.add
register_dict_to_class = SerializerBase.register_dict_to_class
register_class_to_dict = SerializerBase.register_class_to_dict
unregister_dict_to_class = SerializerBase.unregister_dict_to_class
unregister_class_to_dict = SerializerBase.unregister_class_to_dict

_OF_SERVERS = {"behavior": "_objects.exposure", "callback": "_objects.exposure", "expose": "_objects.exposure",
               "oneway": "_objects.exposure", "start_ns": "nameserver", "start_ns_loop": "nameserver",
               "Daemon": "server", "DaemonObject": "server", "serve": "server"}


def __getattr__(name: str) -> Any:
    if name not in _OF_SERVERS:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    value = getattr(importlib.import_module("." + _OF_SERVERS[name], __package__), name)
    globals()[name] = value  # the next access does not call this function
    return value


def __dir__() -> List[str]:
    return sorted({*globals(), *_OF_SERVERS})
