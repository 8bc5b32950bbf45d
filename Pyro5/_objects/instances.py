"""Create and close the instances of registered classes, as their @behavior says."""
from __future__ import annotations

import functools
import inspect
import logging
import threading
from typing import Any, Callable, Dict, Optional

from ..socketutil import snapshot
from . import exposure

log = logging.getLogger("Pyro5.server")


class Instances:
    """Creates the instances of registered classes. Thread-safe.

    Attributes:
        single: the instances of classes of mode ``single``, by class.
    """

    def __init__(self) -> None:
        self.single: Dict[type, Any] = {}
        # Guards _creating and removals from `single`. Never held while user code runs.
        self._lock = threading.Lock()
        # A lock per class, held while the constructor runs: a slow one delays only calls of the same class.
        self._creating: Dict[type, threading.Lock] = {}

    def get(self, clazz: type, connection: Any) -> Any:
        """Return the instance that serves a call on this connection.

        Raises:
            Exception: raised by the class or its instance creator.
        """
        mode, creator = exposure.instancing_of(clazz)
        if mode == "session":
            # No lock: the requests of a connection run one after the other.
            instance = connection.pyroInstances.get(clazz)
            if instance is None:
                instance = connection.pyroInstances[clazz] = _create(clazz, creator)
            return instance
        if mode == "percall":
            return _create(clazz, creator)
        # The usual case needs no lock: reading a dict is atomic.
        instance = self.single.get(clazz)
        return self._create_single(clazz, creator) if instance is None else instance

    def _create_single(self, clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
        with self._lock:
            creating = self._creating.setdefault(clazz, threading.Lock())
        with creating:
            if self.single.get(clazz) is None:
                # another thread may have created it while this one waited for the lock
                self.single[clazz] = _create(clazz, creator)
            return self.single[clazz]

    def forget(self, clazz: type) -> None:
        """Remove what is stored for a class that is no longer registered."""
        # Under the lock only the tables change. An instance is never closed here: other threads may be in its methods.
        with self._lock:
            self.single.pop(clazz, None)
            self._creating.pop(clazz, None)


def _create(clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
    if creator is None:
        return clazz()
    instance = creator(clazz)
    if not isinstance(instance, clazz):
        raise TypeError("the instance creator of %s returned an instance of %s" % (clazz.__name__, type(instance).__name__))
    return instance


def close_session_instances(connection: Any, spawn: Callable[[Callable[[], Any]], None]) -> None:
    """Call ``close()`` of all session instances of a connection that has ended, if they have this method.

    Instances that the connection also tracks as resources are skipped: they are closed with the connection.

    Args:
        spawn: runs a coroutine function; used for those whose ``close()`` is one.
    """
    if not connection.pyroInstances:
        return
    # The connection closes its tracked resources itself. Closing an instance twice would surprise its class.
    tracked = set(map(id, snapshot(connection.tracked_resources)))
    for clazz, instance in list(connection.pyroInstances.items()):
        # Looked up in the class: an instance with __getattr__ may claim to have any method.
        closable = callable(getattr(type(instance), "close", None)) and getattr(clazz, "_pyroClosing", True)
        if closable and id(instance) not in tracked:
            _close(instance, spawn)


def _close(instance: Any, spawn: Callable[[Callable[[], Any]], None]) -> None:
    try:
        inspect.signature(instance.close).bind()
    except (TypeError, ValueError):  # it requires arguments: a method with another purpose
        return
    if inspect.iscoroutinefunction(instance.close):
        spawn(functools.partial(_close_async, instance))
        return
    try:
        instance.close()
    except Exception:  # user code: an error must not prevent the others from being closed
        log.warning("closing the session instance %s failed", type(instance).__name__, exc_info=True)


async def _close_async(instance: Any) -> None:
    try:
        await instance.close()
    except Exception:  # user code
        log.warning("closing the session instance %s failed", type(instance).__name__, exc_info=True)
