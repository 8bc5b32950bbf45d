"""Messages of etcd's JSON gateway: builds requests and parses replies, without I/O.

What the gateway does, and its documentation does not say clearly: 64-bit numbers are text; fields that are zero, false or
empty are left out; keys and values are base64; the names of fields are those of etcd's protocol buffers.
"""
from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Dict, Iterable, List, Optional, Tuple

from .... import NamedTuple, errors

Json = Dict[str, Any]

# Paths of the requests.
RANGE, TXN, WATCH = "/v3/kv/range", "/v3/kv/txn", "/v3/watch"
GRANT, KEEPALIVE, REVOKE = "/v3/lease/grant", "/v3/lease/keepalive", "/v3/lease/revoke"
AUTHENTICATE, STATUS = "/v3/auth/authenticate", "/v3/maintenance/status"

# Operations, and comparisons, in one transaction: etcd's default limit.
OPERATIONS = 128

# Error codes of gRPC, as far as they mean something here.
INVALID, NOT_FOUND, DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNAUTHENTICATED = 3, 5, 7, 9, 11, 16
# The cluster cannot answer now: deadline exceeded, resource exhausted, internal, unavailable; also unknown, with which
# etcd reports a lost leader.
_PASSING = frozenset([2, 4, 8, 13, 14])


class EtcdError(errors.NamingError):
    """An error reply of etcd.

    Attributes:
        code: the code of gRPC.
    """

    def __init__(self, message: str, code: int, http_status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = http_status

    @property
    def is_passing(self) -> bool:
        """Whether another endpoint, or the same one later, may accept the request."""
        return self.code in _PASSING and "too large" not in str(self) and "NOSPACE" not in str(self)

    @property
    def needs_token(self) -> bool:
        """Whether authenticating (again) may help."""
        # A request without a token is "user name is empty", one with an old token "invalid auth token".
        return self.code == UNAUTHENTICATED or self.code == INVALID and "user name is empty" in str(self)

    @property
    def is_compacted(self) -> bool:
        """Whether the revision has been compacted."""
        return self.code == OUT_OF_RANGE


class Pair(NamedTuple):
    """A key with its value."""

    key: bytes
    value: bytes
    revision: int       # of its last change


class Event(NamedTuple):
    """A change of a key."""

    key: bytes
    value: Optional[bytes]  # None: the key was deleted, or its lease has ended
    revision: int


class TxnResult(NamedTuple):
    """The result of a transaction."""

    succeeded: bool
    revision: int           # of the whole store
    has_changed: bool       # whether a key was put or deleted
    found: List[Pair]       # what the operations for the case of a failure have read


class WatchReply(NamedTuple):
    """One line of a watch."""

    events: List[Event]
    revision: int                       # of the whole store
    is_created: bool
    cancel_reason: Optional[str]


# ------------------------------------------------------------ requests


def range_request(start: bytes, end: bytes, limit: int = 0, revision: int = 0) -> Json:
    """Build a request for the keys from start to end (exclusive), in the order of the keys.

    Args:
        limit: the number of keys, 0 for all.
        revision: read the state of that revision, 0 for the current one.
    """
    return {"key": _text(start), "range_end": _text(end), "limit": str(limit), "revision": str(revision)}


def newest_request(start: bytes, end: bytes) -> Json:
    """Build a request for the key that was changed last, without its value."""
    return {"key": _text(start), "range_end": _text(end), "limit": "1", "keys_only": True, "sort_order": "DESCEND",
            "sort_target": "MOD"}


def compare_revision(key: bytes, revision: int) -> Json:
    """Build a comparison: the last change of the key has this revision; 0: the key does not exist."""
    return {"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def compare_newer(start: bytes, end: bytes, revision: int) -> Json:
    """Build a comparison: no key in the range was changed after this revision. A deleted key has no revision."""
    return {"key": _text(start), "range_end": _text(end), "target": "MOD", "result": "LESS",
            "mod_revision": str(revision + 1)}


def put_op(key: bytes, value: bytes, lease: int = 0) -> Json:
    """Build an operation that stores a value, attached to a lease if that is not 0."""
    return {"request_put": {"key": _text(key), "value": _text(value), "lease": str(lease)}}


def delete_op(start: bytes, end: bytes = b"") -> Json:
    """Build an operation that deletes a key, or all from start to end (exclusive)."""
    return {"request_delete_range": {"key": _text(start), "range_end": _text(end)}}


def range_op(key: bytes) -> Json:
    """Build an operation that reads a key."""
    return {"request_range": {"key": _text(key)}}


def txn_request(compares: List[Json], operations: List[Json], otherwise: Iterable[Json] = ()) -> Json:
    """Build a transaction: the operations are done if all comparisons are true, the others if not."""
    return {"compare": compares, "success": operations, "failure": list(otherwise)}


def grant_request(lease: int, ttl_seconds: int) -> Json:
    """Build a request for a lease with an id that the caller has chosen."""
    return {"ID": str(lease), "TTL": str(ttl_seconds)}


def id_request(lease: int) -> Json:
    """Build a request about a lease."""
    return {"ID": str(lease)}


def keepalive_requests(leases: Iterable[int]) -> bytes:
    """Build the body of a request that renews many leases: the gateway accepts one object per line."""
    return "\n".join(json.dumps(id_request(lease)) for lease in leases).encode("ascii")


def authenticate_request(user: str, password: str) -> Json:
    """Build a request for a token."""
    return {"name": user, "password": password}


def watch_request(start: bytes, end: bytes, revision: int) -> Json:
    """Build a request to watch the keys from start to end (exclusive), from this revision on."""
    return {"create_request": {"key": _text(start), "range_end": _text(end), "start_revision": str(revision),
                               "progress_notify": True}}


# ------------------------------------------------------------ replies


def parse_reply(body: bytes) -> Json:
    """Parse a reply that is a JSON object.

    Raises:
        EtcdError: it is none.
    """
    try:
        reply = json.loads(body or b"{}")
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        # A proxy or another server may answer in the place of etcd.
        raise EtcdError("not a reply of etcd's JSON gateway: %.80r" % body, 14)
    return reply


def parse_error(status: int, body: bytes) -> EtcdError:
    """Parse the body of a reply that is not 200."""
    try:
        reply = parse_reply(body)
    except EtcdError:
        return EtcdError("HTTP status %d: %.80r" % (status, body), 14 if status >= 500 else NOT_FOUND, status)
    return EtcdError(str(reply.get("message") or reply.get("error") or "HTTP status %d" % status),
                     int(reply.get("code", 2)), status)


def parse_range(reply: Json) -> Tuple[List[Pair], int, bool]:
    """Return the keys, the revision of the store, and whether there are more keys."""
    return [_pair(found) for found in reply.get("kvs", ())], _revision(reply), bool(reply.get("more"))


def parse_txn(reply: Json) -> TxnResult:
    """Parse the reply to a transaction."""
    has_changed, found = False, []
    for response in reply.get("responses", ()):
        deleted = response.get("response_delete_range", {}).get("deleted", 0)
        has_changed = has_changed or "response_put" in response or int(deleted) > 0
        found += [_pair(each) for each in response.get("response_range", {}).get("kvs", ())]
    return TxnResult(bool(reply.get("succeeded")), _revision(reply), has_changed, found)


def parse_keepalives(body: bytes) -> Dict[int, bool]:
    """Return for each lease of a renewal whether it still exists."""
    found = {}
    for line in body.splitlines():
        if line.strip():
            reply = parse_reply(line)
            require_no_error(reply)
            result = reply.get("result", reply)
            # The status is 200 for a lease that is gone; then its TTL is 0, and so it is left out.
            found[int(result.get("ID", 0))] = int(result.get("TTL", 0)) > 0
    return found


def parse_token(reply: Json) -> str:
    """Return the token for further requests."""
    return str(reply.get("token", ""))


def parse_watch(line: bytes) -> WatchReply:
    """Parse a line of a watch.

    Raises:
        EtcdError: the line reports an error.
    """
    reply = parse_reply(line)
    require_no_error(reply)
    result = reply.get("result", {})
    reason = None
    # A compacted watch is canceled, while the HTTP reply goes on without further lines.
    if result.get("canceled"):
        reason = str(result.get("cancel_reason") or "canceled")
    events = [_event(each) for each in result.get("events", ())]
    return WatchReply(events, _revision(result), bool(result.get("created")), reason)


def require_no_error(reply: Json) -> None:
    """Raise the error that a line of a stream contains; these have the status 200."""
    error = reply.get("error")
    if error is not None:
        details: Json = error if isinstance(error, dict) else {"message": error}
        raise EtcdError(str(details.get("message", error)), int(details.get("grpc_code") or details.get("code") or 2))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return binascii.a2b_base64(text)


def _revision(reply: Json) -> int:
    return int(reply.get("header", {}).get("revision", 0))


def _pair(found: Json) -> Pair:
    return Pair(_bytes(found.get("key", "")), _bytes(found.get("value", "")), int(found.get("mod_revision", 0)))


def _event(found: Json) -> Event:
    pair = _pair(found.get("kv", {}))
    # PUT is 0 and left out.
    return Event(pair.key, None if found.get("type") == "DELETE" else pair.value, pair.revision)
