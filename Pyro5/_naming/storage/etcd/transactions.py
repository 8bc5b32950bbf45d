"""Changes of registrations as transactions of etcd: recorded first, then executed if nothing else has changed them."""
from __future__ import annotations

from typing import Dict, Iterable, List, Set, Tuple

from .... import NamedTuple, errors
from ..details import Lease
from . import messages
from .client import EtcdClient
from .messages import EtcdError, Json, TxnResult
from .records import Plan, Record, encode_key, encode_value, etcd_lease, lease_seconds, name_range

LEASES_AT_ONCE = 500    # renewed in one request


class Conflict(Exception):
    """Another name server has changed a registration after the mirror had read it.

    Attributes:
        revision: that of the whole store.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


class _Step(NamedTuple):
    """The change of one name."""

    compares: List[Json]
    operations: List[Json]
    puts: List[Tuple[bytes, bytes]]     # keys and values among the operations
    leases: List[Lease]                 # of the puts


class Transaction:
    """The changes of one operation on a storage, each for another name. Used by one thread.

    Args:
        prefix: of all keys.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._steps: List[_Step] = []
        self._released: List[Lease] = []  # of removed registrations: nothing needs them any more

    def __bool__(self) -> bool:
        return bool(self._steps)

    def store(self, name: str, plan: Plan, existing: Dict[str, Tuple[Record, int]]) -> None:
        """Record that a registration is stored.

        Args:
            existing: the records of the name, and their revisions, on which the plan is based.
        """
        puts = [(encode_key(self._prefix, key), encode_value(record), record.lease) for key, record in plan.puts]
        operations = [messages.delete_op(*deleted) for deleted in plan.deletes]
        operations += [messages.put_op(key, value, etcd_lease(lease) if lease else 0) for key, value, lease in puts]
        if not operations:
            return
        self._steps.append(_Step(self._compares(name, existing), operations, [(key, value) for key, value, _ in puts],
                                 [lease for _, _, lease in puts if lease is not None]))

    def remove(self, name: str, existing: Dict[str, Tuple[Record, int]]) -> None:
        """Record that a registration is removed with all its members."""
        start, end = name_range(self._prefix, name)
        # It does no harm if it has been removed in the meantime, so one comparison is enough.
        self._steps.append(_Step([self._compare_newer(name, existing)], [messages.delete_op(start, end)], [], []))
        self._released += [record.lease for record, _ in existing.values() if record.lease is not None]

    def execute(self, client: EtcdClient, seconds: float) -> int:
        """Execute the changes; return the revision of the last one, 0 if nothing has changed.

        A large number of names takes several transactions, in which case another client may see a part of them.

        Raises:
            Conflict: a registration has another revision. Transactions before this one have been executed.
            NamingError: etcd refuses the changes, or cannot be reached.
        """
        revision = 0
        for steps in self._portions():
            for lease in [lease for step in steps for lease in step.leases]:
                grant_lease(client, lease, seconds)
            result = self._send(client, steps, seconds)
            if not result.succeeded:
                # A transaction that was repeated because its reply was lost finds its own value.
                puts = [put for step in steps for put in step.puts]
                own = [pair.revision for pair in result.found if (pair.key, pair.value) == puts[0]]
                if not own:
                    self._revoke(client, [lease for step in steps for lease in step.leases])
                    raise Conflict(result.revision)
                revision = max(revision, own[0])
            elif result.has_changed:
                revision = max(revision, result.revision)
        self._revoke(client, self._released)
        return revision

    def _send(self, client: EtcdClient, steps: List[_Step], seconds: float) -> TxnResult:
        puts = [put for step in steps for put in step.puts]
        request = messages.txn_request([each for step in steps for each in step.compares],
                                       [each for step in steps for each in step.operations],
                                       [messages.range_op(key) for key, _ in puts[:1]])
        try:
            return messages.parse_txn(client.post(messages.TXN, request, seconds))
        except EtcdError as x:
            if x.code != messages.NOT_FOUND:
                raise
        # A lease that existed a moment ago has ended.
        for lease in [lease for step in steps for lease in step.leases]:
            grant_lease(client, lease, seconds)
        return messages.parse_txn(client.post(messages.TXN, request, seconds))

    def _portions(self) -> Iterable[List[_Step]]:
        """Return the steps in portions that are small enough for one transaction."""
        portion: List[_Step] = []
        compares = operations = 0
        for step in self._steps:
            if len(step.operations) > messages.OPERATIONS:
                raise errors.NamingError("a registration takes %d operations, etcd accepts %d in one transaction"
                                         % (len(step.operations), messages.OPERATIONS))
            compares, operations = compares + len(step.compares), operations + len(step.operations)
            if max(compares, operations) > messages.OPERATIONS:
                yield portion
                portion, compares, operations = [], len(step.compares), len(step.operations)
            portion.append(step)
        if portion:
            yield portion

    def _compares(self, name: str, existing: Dict[str, Tuple[Record, int]]) -> List[Json]:
        compares = [self._compare_newer(name, existing)]
        if existing:
            # A registration that was removed in the meantime has no newer key, but this one is missing.
            member, (_, revision) = list(existing.items())[-1]
            compares.append(messages.compare_revision(encode_key(self._prefix, (name, member)), revision))
        return compares

    def _compare_newer(self, name: str, existing: Dict[str, Tuple[Record, int]]) -> Json:
        newest = max([0, *(revision for _, revision in existing.values())])
        return messages.compare_newer(*name_range(self._prefix, name), newest)

    def _revoke(self, client: EtcdClient, leases: List[Lease]) -> None:
        for lease in leases:
            try:
                client.post(messages.REVOKE, messages.id_request(etcd_lease(lease)), 0.5)
            except errors.NamingError:
                return  # they end by themselves


def grant_lease(client: EtcdClient, lease: Lease, seconds: float) -> None:
    """Create a lease, or renew it if it exists."""
    try:
        client.post(messages.GRANT, messages.grant_request(etcd_lease(lease), lease_seconds(lease)), seconds)
    except EtcdError as x:
        if x.code != messages.FAILED_PRECONDITION:
            raise
        renew_leases(client, [lease], seconds)


def renew_leases(client: EtcdClient, leases: List[Lease], seconds: float) -> Set[str]:
    """Renew leases; return the ids of those that do not exist any more."""
    gone: Set[str] = set()
    for start in range(0, len(leases), LEASES_AT_ONCE):
        ids = {etcd_lease(lease): lease.lease_id for lease in leases[start:start + LEASES_AT_ONCE]}
        found = messages.parse_keepalives(client.post_body(messages.KEEPALIVE, messages.keepalive_requests(ids), seconds))
        missing = [number for number in ids if number not in found]
        if missing:
            raise errors.NamingError("etcd has renewed %d of %d leases" % (len(found), len(ids)))
        gone.update(lease_id for number, lease_id in ids.items() if not found[number])
    return gone
