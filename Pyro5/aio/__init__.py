"""Proxies and daemons for asyncio programs: remote calls are awaited, and objects are served in the event loop.

See the chapter "asyncio" of the documentation.
"""
from __future__ import annotations

from .. import config
from .._aio.calls import RemoteCall, RemoteMember
from .._aio.naming import locate_ns, resolve, wait_for
from .._aio.proxy import BatchProxy, Proxy
from .._aio.proxy import setattr_remote as setattr
from .._aio.streams import ItemStream
from .._aio_server.daemon import Daemon, serve
from .._aio_server.nameserver import start_ns
from .._client.retry import Retry
from .._observe.interceptors import of_asyncio_clients
from .._values.uri import URI
from ..callcontext import current_context
from ..client import SerializedBlob
from ..core import type_meta

__all__ = ["config", "current_context", "URI", "Proxy", "Daemon", "BatchProxy", "RemoteCall", "RemoteMember", "ItemStream",
           "SerializedBlob", "Retry", "locate_ns", "resolve", "serve", "start_ns", "wait_for", "setattr", "type_meta",
           "intercept_clients"]

intercept_clients = of_asyncio_clients.add
