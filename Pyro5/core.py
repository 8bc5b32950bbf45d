"""Shared by clients and servers: uris and how to resolve them, the name server, type metadata."""
from __future__ import annotations

import logging
import time
from typing import Any, Optional, Set, Union

from . import config as config
from . import errors as errors
from ._client.discovery import lookup, resolve, yplookup
from ._client.retry import bind_when_ready
from ._messages.replies import ExceptionWrapper as _ExceptionWrapper  # noqa: F401  (for programs that inspect batch results)
from ._values.uri import URI
from .callcontext import current_context
from .client import Proxy, locate_ns
from .constants import DAEMON_NAME, NAMESERVER_NAME

__all__ = ["URI", "locate_ns", "resolve", "lookup", "yplookup", "type_meta", "current_context", "DAEMON_NAME",
           "NAMESERVER_NAME", "wait_for"]

log = logging.getLogger("Pyro5.core")


def type_meta(class_or_object: Any, prefix: str = "class:") -> Set[str]:
    """Return name server tags for the class, or the class of the object: one for it and one for each of its base classes."""
    clazz = class_or_object if isinstance(class_or_object, type) else type(class_or_object)
    return {"%s%s.%s" % (prefix, base.__module__, base.__name__) for base in clazz.__mro__ if base is not object}


def wait_for(uri: Union[str, URI], timeout: Optional[float] = None, **options: Any) -> Proxy:
    """Wait until an object can be called, and return a proxy for it, which is connected.

    This waits for everything that may be missing: the name server, the registration of the name, the server, the object.

    Args:
        timeout: seconds to wait, None for any time.
        options: keyword arguments of Proxy.

    Raises:
        TimeoutError: the object cannot be called in time; the text has the last reason.
        PyroError: the uri is not valid.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    proxy = Proxy(uri, **options)
    bind_when_ready(proxy, deadline)
    return proxy
