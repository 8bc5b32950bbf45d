"""Instances of classes that are registered as such: created and closed as their @behavior says."""
from __future__ import annotations

import inspect
import logging
import threading
from typing import Any, Dict, Optional

from . import exposure

log = logging.getLogger("Pyro5.server")


class Instances:
    """Creates the instances of registered classes.  Thread-safe.

    Attributes:
        single: the instances of classes of mode ``single``, by class.
    """

    def __init__(self) -> None:
        self.single: Dict[type, Any] = {}
        # guards _creating
        self._lock = threading.Lock()
        # by class: the user's constructor runs while it is held, and delays only those that call the same class
        self._creating: Dict[type, threading.Lock] = {}

    def get(self, clazz: type, connection: Any) -> Any:
        """Return the instance that serves a call on this connection.

        Raises:
            Exception: what the class or its instance creator raises.
        """
        mode, creator = exposure.instancing_of(clazz)
        if mode == "session":
            instance = connection.pyroInstances.get(clazz)
            if instance is None:
                instance = connection.pyroInstances[clazz] = _create(clazz, creator)
            return instance
        if mode == "percall":
            return _create(clazz, creator)
        instance = self.single.get(clazz)
        return self._create_single(clazz, creator) if instance is None else instance

    def _create_single(self, clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
        with self._lock:
            creating = self._creating.setdefault(clazz, threading.Lock())
        with creating:
            if self.single.get(clazz) is None:
                self.single[clazz] = _create(clazz, creator)
            return self.single[clazz]

    def forget(self, clazz: type) -> None:
        """Drop what is kept of a class that is not registered any more."""
        with self._lock:
            self.single.pop(clazz, None)
            self._creating.pop(clazz, None)


def _create(clazz: type, creator: Optional[exposure.InstanceCreator]) -> Any:
    if creator is None:
        return clazz()
    instance = creator(clazz)
    if not isinstance(instance, clazz):
        raise TypeError("the instance creator of %s gave an instance of %s" % (clazz.__name__, type(instance).__name__))
    return instance


def close_session_instances(connection: Any) -> None:
    """Call ``close()`` of every session instance of a connection that has ended, if it has such a method.

    Resources that the connection tracks are left out: they are closed with it.
    """
    if not connection.pyroInstances:
        return
    tracked = set(map(id, connection.tracked_resources))
    for clazz, instance in list(connection.pyroInstances.items()):
        closable = callable(getattr(type(instance), "close", None)) and exposure.closes_instances(clazz)
        if closable and id(instance) not in tracked:
            _close(instance)


def _close(instance: Any) -> None:
    try:
        inspect.signature(instance.close).bind()
    except (TypeError, ValueError):  # it takes arguments: it means something else
        return
    try:
        instance.close()
    except Exception:  # the user's method: its failure must not keep the others open
        log.warning("closing of session instance %s failed", type(instance).__name__, exc_info=True)
