"""Observation of calls: interceptors of clients, correlation ids in logs, and tracing (``Pyro5.observe.opentelemetry``).

See the chapter "Seeing what happens" of the documentation.
"""
from __future__ import annotations

from typing import Any, Callable

from .._observe.interceptors import InterceptedCall, of_asyncio_clients, of_clients
from .._observe.trace_context import CorrelationFilter

__all__ = ["CorrelationFilter", "InterceptedCall", "intercept_clients", "remove_client_interceptor"]

intercept_clients = of_clients.add


def remove_client_interceptor(interceptor: Callable[..., Any]) -> None:
    """Remove an interceptor that `intercept_clients` of `Pyro5.api` or `Pyro5.aio` has installed; ignored if there is none."""
    of_clients.remove(interceptor)
    of_asyncio_clients.remove(interceptor)
