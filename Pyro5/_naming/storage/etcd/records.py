"""How registrations are stored in etcd: keys and values, without I/O.

==================  ==================================================================================
key                 value
==================  ==================================================================================
PREFIX name         a registration: JSON with uri, tags and lease
PREFIX name \\0 uri  a member of a name, in the same form; each has its own lease
==================  ==================================================================================

Control characters and percent signs in names are escaped, so the keys of a name are those from its own one to ``name \\1``
(exclusive), and no others.
"""
from __future__ import annotations

import hashlib
import json
import math
import os
import re
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from .... import NamedTuple
from .. import Registration
from ..details import Details, Lease, Member

_ESCAPED = re.compile("[\x00-\x1f%]")
_ESCAPES = re.compile("%([0-9a-f]{2})")
EMPTY = "%"     # the empty name

# A name, and the uri of a member, empty for a plain registration.
Key = Tuple[str, str]


class Record(NamedTuple):
    """The value of a key."""

    uri: str
    tags: FrozenSet[str]
    lease: Optional[Lease]


class Plan(NamedTuple):
    """The changes of keys that store a registration: keys and ranges to delete, then records to put."""

    deletes: List[Tuple[bytes, bytes]]
    puts: List[Tuple[Key, Record]]


def encode_key(prefix: str, key: Key) -> bytes:
    """Return the key in etcd."""
    name, member = key
    return _utf8(prefix + _escaped(name) + ("\0" + member if member else ""))


def decode_key(prefix: str, data: bytes) -> Optional[Key]:
    """Return the name and member of a key; None if another program has stored it."""
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    name, _, member = text[len(prefix):].partition("\0")
    if not text.startswith(prefix) or not name:
        return None
    name = "" if name == EMPTY else _ESCAPES.sub(lambda found: chr(int(found.group(1), 16)), name)
    return name, member


def key_range(prefix: str) -> Tuple[bytes, bytes]:
    """Return the first key of all names, and the key after the last one."""
    start = _utf8(prefix)
    # The prefix ends with a slash.
    return start, start[:-1] + bytes([start[-1] + 1])


def name_range(prefix: str, name: str) -> Tuple[bytes, bytes]:
    """Return the first key of a name, and the key after the last one."""
    return encode_key(prefix, (name, "")), _utf8(prefix + _escaped(name) + "\1")


def encode_value(record: Record) -> bytes:
    """Return the value in etcd. No two values are equal: so it can be seen whether a transaction was executed whose reply
    was lost.
    """
    state: Dict[str, Any] = {"uri": record.uri, "tags": sorted(record.tags)}
    if record.lease is not None:
        state["lease"] = list(record.lease)
    state["write"] = os.urandom(6).hex()
    return _utf8(json.dumps(state, ensure_ascii=False, separators=(",", ":")))


def decode_value(data: bytes) -> Optional[Record]:
    """Return the record in a value; None if another program has stored it."""
    try:
        state = json.loads(data.decode("utf-8", "surrogatepass"))
        lease = state.get("lease")
        return Record(str(state["uri"]), frozenset(map(str, state.get("tags", ()))),
                      None if lease is None else Lease(str(lease[0]), float(lease[1]), str(lease[2])))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def lease_seconds(lease: Lease) -> int:
    """Return the duration of a lease in etcd, which counts whole seconds."""
    return max(math.ceil(lease.ttl), 1)


def etcd_lease(lease: Lease) -> int:
    """Return the id of a lease in etcd: a number that depends on its id and duration, and cannot be guessed either."""
    # The duration of a lease in etcd cannot be changed, so another duration is another lease.
    digest = hashlib.sha256(("%s %d" % (lease.lease_id, lease_seconds(lease))).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1


def compose(records: Dict[str, Tuple[Record, int]]) -> Tuple[Registration, Details, int]:
    """Return the registration that the records of a name make up, its details, and its revision.

    Args:
        records: member, empty for a plain registration -> record and revision.
    """
    revision = max(found[1] for found in records.values())
    plain = records.get("")
    # If two name servers have made both at the same time, the newer kind counts.
    if plain is not None and (len(records) == 1 or plain[1] == revision):
        record = plain[0]
        return (record.uri, record.tags), Details(record.lease), revision
    members = sorted((found for member, found in records.items() if member), key=lambda found: (found[1], found[0].uri))
    return ((members[0][0].uri, members[-1][0].tags),
            Details(None, tuple(Member(record.uri, record.lease) for record, _ in members)), revision)


def plan(prefix: str, name: str, registration: Registration, details: Details, existing: Dict[str, Record]) -> Plan:
    """Return the changes that store a registration.

    Args:
        existing: the records of the name, in the order of their revisions.
    """
    uri, tags = registration[0], frozenset(registration[1])
    start, end = name_range(prefix, name)
    if not details.members:
        # All members of a former group in one operation.
        deletes = [(start + b"\0", end)] if any(existing) else []
        return Plan(deletes, [((name, ""), Record(uri, tags, details.lease))])
    wanted = {member.uri: Record(member.uri, tags, member.lease) for member in details.members}
    deletes = [(encode_key(prefix, (name, member)), b"") for member in existing if member not in wanted]
    puts = [((name, member), record) for member, record in wanted.items() if existing.get(member) != record]
    kept = [member for member in existing if member in wanted]
    last = details.members[-1].uri
    # The order of members is that of their changes: one that registers again moves to the end.
    is_moved = not any(key[1] == last for key, _ in puts) and bool(kept) and kept[-1] != last
    # One that registers again without any change renews its lease, and has a new revision.
    if is_moved or not deletes and not puts:
        puts.append(((name, last), wanted[last]))
    return Plan(deletes, puts)


def _escaped(name: str) -> str:
    return _ESCAPED.sub(lambda found: "%%%02x" % ord(found.group()), name) or EMPTY


def _utf8(text: str) -> bytes:
    # Names have no lone surrogates, but this must not be what finds one.
    return text.encode("utf-8", "surrogatepass")
