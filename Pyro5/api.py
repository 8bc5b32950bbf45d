"""The names that most programs need, in one module."""
from __future__ import annotations

from . import __version__ as __version__
from . import config
from ._values.registered_types import register_types
from ._server.exposure import behavior, callback, expose, oneway
from .callcontext import current_context
from ._client.retry import Retry
from ._observe.interceptors import of_clients
from .client import BatchProxy, Proxy, SerializedBlob
from .core import URI, locate_ns, resolve, type_meta, wait_for
from .nameserver import start_ns, start_ns_loop
from .serializers import SerializerBase
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
