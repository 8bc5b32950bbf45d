"""The names under which calls are counted, and which clients may see the counts."""
from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from .. import errors
from .._messages import requests
from .._messages.requests import Call
from .._objects import permissions
from .._objects.objects import ObjectTable
from .._observe.statistics import BATCH, GENERATED_IDS, OTHERS
from ..constants import DAEMON_NAME

__all__ = ["row_of", "visible_rows"]

_NO_MEMBERS = frozenset((requests.GETATTR_METHOD, requests.SETATTR_METHOD, BATCH))


def row_of(objects: ObjectTable, object_id: str, method: str) -> Tuple[str, str]:
    """Return the object and the method under which a call is counted. Names that do not exist are counted together."""
    # Requests can contain any names: they must neither fill the memory nor appear in reports.
    try:
        published = objects.get(object_id)
    except errors.DaemonError:
        return OTHERS
    own = object_id == DAEMON_NAME and not method.startswith("_") and callable(getattr(published.target, method, None))
    if not (method in published.members.methods or method in _NO_MEMBERS or own):
        return OTHERS
    return GENERATED_IDS if published.is_temporary else object_id, method


def visible_rows(objects: Mapping[str, Mapping[str, Any]], gate: Any, connection: Any, table: ObjectTable) -> Dict[str, Any]:
    """Return the rows of those methods that a client may call. The texts of errors can contain arguments, so a client that
    may not call a method learns nothing about its calls.
    """
    return {object_id: rows for object_id, rows in (
        (object_id, {method: row for method, row in methods.items() if _may_see(gate, connection, table, object_id, method)})
        for object_id, methods in objects.items()) if rows}


def _may_see(gate: Any, connection: Any, table: ObjectTable, object_id: str, method: str) -> bool:
    try:
        published = table.get(object_id)
    except errors.DaemonError:
        # Of several objects, or of one that is not registered any more: its rules cannot be looked up.
        return gate is None or gate.users is None
    try:
        names = published.members.methods | published.members.attrs if method in _NO_MEMBERS else (method,)
        for name in names:
            permissions.check_call(gate, connection, published, Call(object_id, name, (), {}))
    except permissions.Refused:
        return False
    return True
