"""Checks of ``pyro5 doctor`` for an etcd cluster that name servers use as their storage."""
from __future__ import annotations

import http.client
import re
from typing import Iterator

from .. import errors
from .._naming.storage.etcd import messages
from .._naming.storage.etcd.client import EtcdClient
from .._naming.storage.etcd.messages import EtcdError
from .._naming.storage.etcd.records import key_range
from .._naming.storage.etcd.target import Target, endpoint_text, parse_target
from .findings import NOTE, OK, WRONG, Finding, reason_of, step_seconds

VERSIONS = re.compile(r"3\.[456]\.")    # whose gateway has the paths that are used
START = "start it, or correct the address; name servers use the others"


def check_etcd(spec: str) -> Iterator[Finding]:
    """Check each endpoint of a cluster, and whether the registrations can be read and changed.

    Args:
        spec: the option ``--storage`` of a name server.
    """
    try:
        target = parse_target(spec.partition(":")[2])
        client = EtcdClient(target)
    except (ValueError, errors.NamingError) as x:
        yield Finding(WRONG, str(x), "correct the option --storage of the name server")
        return
    try:
        for index, endpoint in enumerate(target.endpoints):
            yield _check_endpoint(client, index, "etcd on %s" % endpoint_text(endpoint))
        yield from _check_registrations(client, target)
    finally:
        client.close()


def _check_endpoint(client: EtcdClient, index: int, where: str) -> Finding:
    try:
        status = client.ask(index, messages.STATUS, {}, step_seconds())
    except EtcdError as x:
        if not x.needs_token:
            return Finding(WRONG, "%s: %s" % (where, x), "use the addresses for clients, usually with the port 2379")
        return Finding(WRONG, "%s wants a user: %s" % (where, x), "add USER@ and ?password_file=FILE to the address")
    except errors.NamingError as x:
        return Finding(WRONG, "%s: %s" % (where, x), "correct the file")
    except (OSError, http.client.HTTPException) as x:
        return Finding(NOTE, "%s cannot be reached: %s" % (where, reason_of(x) or type(x).__name__), START)
    version = str(status.get("version", "of an unknown version"))
    if not VERSIONS.match(version):
        return Finding(WRONG, "%s is etcd %s" % (where, version), "use etcd 3.4 or 3.5")
    # A server without the others has none, and answers this request all the same.
    if not int(status.get("leader", 0)):
        return Finding(WRONG, "%s (%s) has no leader" % (where, version), "start the other servers of the cluster")
    is_leader = status["leader"] == status.get("header", {}).get("member_id")
    return Finding(OK, "%s answers: %s%s" % (where, version, ", it is the leader" if is_leader else ""))


def _check_registrations(client: EtcdClient, target: Target) -> Iterator[Finding]:
    start, end = key_range(target.prefix)
    try:
        reply = client.post(messages.RANGE, messages.newest_request(start, end), step_seconds())
        # Deletes nothing: no key has this name.
        request = messages.txn_request([], [messages.delete_op(start + b"\0")])
        client.post(messages.TXN, request, step_seconds())
    except EtcdError as x:
        remedy = "grant the user read and write permission for the prefix %s" % target.prefix
        yield Finding(WRONG, "the registrations in etcd at %s cannot be used: %s" % (target, x), remedy)
    except errors.NamingError as x:
        yield Finding(WRONG, str(x), "start at least half of the servers of the cluster, and one more")
    else:
        yield Finding(OK, "etcd at %s: %s keys, they can be read and changed" % (target, reply.get("count", 0)))
