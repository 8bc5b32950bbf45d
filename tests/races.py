"""Eight threads at every table that threads share: the list of them stands in docs/architecture.md.

``python -m tests.races [STEPS]`` takes 2000 steps in each thread; the tests take fewer.
"""
from __future__ import annotations

import contextlib
import copy
import os
import socket
import sys
import tempfile
import threading
import time
import traceback
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Tuple
from unittest import mock

from Pyro5 import config, errors, serializers
from Pyro5._calls.streams import StreamTable
from Pyro5._gateway.memory import Lease, MemoryBudget
from Pyro5._messages import handshake
from Pyro5._naming import host_lookup, regex_sandbox
from Pyro5._naming.capacity import TURNS, SearchTurns
from Pyro5._naming.host_lookup import HostLookups
from Pyro5._naming.regex_sandbox import Limits, Matcher
from Pyro5._naming.registry import NameServer
from Pyro5._naming.storage.sharing import Locked, Patience
from Pyro5._net import busy_poll, tls
from Pyro5._objects import members
from Pyro5._objects.exposure import behavior, expose
from Pyro5._objects.instances import Instances
from Pyro5._objects.objects import ObjectTable
from Pyro5._server.oneway import OnewayCalls
from Pyro5._server.workers import WorkerPool
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.protocol import HEADER_SIZE, MSG_CONNECTOK, ReceivingMessage, SendingMessage
from Pyro5.serializers import SerializerBase
from Pyro5.server import Daemon

from . import races_first_uses, races_leases, races_output, races_sharing
from .peers import CERTIFICATES
from .peers import settings as changed_settings
from .rawclient import RawClient, Served, WatchedDaemon, connect_request, connected_to, wait_until
from .support import daemon_thread

THREADS = 8
STEPS = 2000
PATIENCE_SECONDS = 600.0
SWITCH_SECONDS = 0.00001

Step = Callable[[int, int], None]  # number of the thread, number of the step


def in_threads(steps: int, step: Step) -> None:
    """Make all threads take their steps at the same time.

    Raises:
        AssertionError: a step raised something; it is the cause.
    """
    problems: List[BaseException] = []
    begin = threading.Barrier(THREADS)

    def run(thread: int) -> None:
        try:
            begin.wait(PATIENCE_SECONDS)
            for number in range(steps):
                if problems:
                    return
                step(thread, number)
        except BaseException as x:  # it is raised again below
            problems.append(x)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    with frequent_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("the threads wait for each other")
    if problems:
        raise AssertionError("%s: %s" % (type(problems[0]).__name__, problems[0])) from problems[0]


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    """Make threads interrupt each other much more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def check(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


# ------------------------------------------------------------ values

def converters(steps: int) -> None:
    """Converters come and go, while objects of their classes are written and read."""
    classes = [type("Class%d" % number, (), {"number": number}) for number in range(THREADS)]
    serializer = serializers.get_serializer("json")

    def step(thread: int, number: int) -> None:
        clazz = classes[(thread + number) % THREADS]
        tag = "race-%d" % thread
        SerializerBase.register_class_to_dict(clazz, lambda obj: {"__class__": tag, "thread": thread})
        SerializerBase.register_dict_to_class(tag, lambda name, data: ("read", data["thread"]))
        own = serializer.loads(b'{"__class__": "%s", "thread": %d}' % (tag.encode(), thread))
        check(own == ("read", thread), "a converter of this thread alone was not found")
        written = serializer.dumps([obj() for obj in classes])
        check(written.count(b"__class__") == THREADS, "an object was not written")
        SerializerBase.unregister_class_to_dict(clazz)
        SerializerBase.unregister_dict_to_class(tag)
    in_threads(steps, step)


# ------------------------------------------------------------ serving

def serializers_in_use(steps: int) -> None:
    """All ask for serializers that were not asked for before. Takes an eighth of the steps."""
    names = "serpent", "json", "marshal"
    given: Dict[str, SerializerBase] = {}

    def step(thread: int, number: int) -> None:
        serializer = serializers.get_serializer(names[number])
        check(given.setdefault(names[number], serializer) is serializer, "another serializer of that name")

    for _ in range(max(1, steps // 8)):
        given.clear()
        with mock.patch.object(serializers, "_instances", {}):
            in_threads(len(names), step)


def exposed_members(steps: int) -> None:
    """Classes are looked at while others are forgotten, and while yet others are garbage-collected."""
    shared = [_exposed_class(number) for number in range(4)]

    def step(thread: int, number: int) -> None:
        clazz = shared[number % 4] if number % 3 else _exposed_class(number)
        seen = members.exposed_members(clazz)
        check(set(seen.methods) == {"method"} and set(seen.attrs) == {"attribute"}, "wrong members: %r" % (seen,))
        if number % 5 == 0:
            members.forget_members(clazz)
    in_threads(steps, step)


def _exposed_class(number: int) -> Any:
    return expose(type("Class%d" % number, (), {"method": lambda self: None, "attribute": property(lambda self: 1)}))


class Thing:
    """Something to register."""


def objects(steps: int) -> None:
    """Objects are registered and taken back, under ids of their own and under ids that all want."""
    table = ObjectTable("owner")
    contested = ["contested %d" % number for number in range(3)]

    def step(thread: int, number: int) -> None:
        thing, other = Thing(), Thing()
        object_id = table.add(thing)
        check(table.get(object_id).target is thing, "another object is registered")
        try:
            table.add(other, contested[number % 3], force=number % 2 == 0, weak=number % 5 == 0)
        except errors.DaemonError:  # another thread has that id
            pass
        check(object_id in table.ids(), "an object is lost")
        table.remove(other)
        table.remove(object_id if number % 2 else thing)
        check(object_id not in table and not vars(thing), "an object is still there")
    in_threads(steps, step)
    for object_id in table.ids():
        table.remove(object_id)
    check(table.ids() == [], "objects are left: %r" % (table.ids(),))


def single_instances(steps: int) -> None:
    """All want the one instance at the same time, again and again."""
    made: List[Any] = []

    @behavior(instance_mode="single")
    class Single:
        def __init__(self) -> None:
            made.append(self)

    published = [Instances() for _ in range(steps)]
    got: List[List[Any]] = [[] for _ in range(THREADS)]
    in_threads(steps, lambda thread, number: got[thread].append(published[number].get(Single, None)))
    check(len(made) == steps, "%d instances were made for %d classes" % (len(made), steps))
    check(all(instances == got[0] for instances in got), "threads got different instances")


def item_streams(steps: int) -> None:
    """Streams are opened, shared, closed, orphaned and expired; each item comes once."""
    table = StreamTable(0, 1000, time.monotonic, 50)
    shared = table.open(iter(range(THREADS * steps)), "client")
    got: List[List[int]] = [[] for _ in range(THREADS)]

    def step(thread: int, number: int) -> None:
        got[thread].append(table.next_item(shared, "client %d" % thread))
        own = table.open(iter([number]), "client %d" % thread)
        check(table.next_item(own, "client %d" % thread) == number, "a wrong item")
        if number % 3 == 0:
            table.close(own)
        elif number % 3 == 1:
            table.expire()
            table.client_disconnected("client %d" % thread)
        with contextlib.suppress(StopIteration, errors.PyroError):  # closed, or at its end
            table.next_item(own, "client %d" % (thread + 1))
        table.close(own)
    in_threads(steps, step)
    items = sorted(item for each in got for item in each)
    check(items == list(range(THREADS * steps)), "items of the shared stream are lost, or came twice")
    table.close(shared)
    check(len(table) == 0 and not table._owned, "streams are left: %r" % (table._owned,))


def workers(steps: int) -> None:
    """Jobs are submitted by all, to a pool that grows and shrinks; each is done once."""
    pool = WorkerPool(1, 5, "race")
    done: List[Tuple[int, int]] = []
    pool.start()
    in_threads(steps, lambda thread, number: pool.submit(lambda: done.append((thread, number))))
    pool.stop(PATIENCE_SECONDS)
    check(sorted(done) == [(thread, number) for thread in range(THREADS) for number in range(steps)],
          "%d jobs were done instead of %d" % (len(set(done)), THREADS * steps))


class Client:
    """What makes oneway calls."""

    def __init__(self) -> None:
        self.oneway_calls = 0
        self.oneway_full = self.paused = False
        self.resumed = threading.Event()

    def resume(self) -> None:
        self.resumed.set()


def oneway_calls(steps: int) -> None:
    """Clients with too many calls are paused, and every one that is paused goes on again."""
    calls = OnewayCalls(4)
    clients = [Client() for _ in range(THREADS)]
    done: List[int] = []

    def step(thread: int, number: int) -> None:
        client = clients[thread]
        calls.start(client, lambda: done.append(number))
        if client.oneway_full and calls.pause(client):
            check(client.resumed.wait(PATIENCE_SECONDS), "a client was forgotten")
            client.resumed.clear()
    in_threads(steps, step)
    calls.stop(PATIENCE_SECONDS)
    check(len(done) == THREADS * steps, "%d calls were made instead of %d" % (len(done), THREADS * steps))
    check(not any(client.oneway_calls or client.oneway_full or client.paused for client in clients), "counts are left")


def connections(steps: int) -> None:
    """Clients come and go at servers of both types, more of them than there is room for. Takes a twentieth of the steps."""
    for servertype in ("thread", "multiplex"):
        _visits(servertype, max(5, steps // 20))


def _visits(servertype: str, steps: int) -> None:
    with changed_settings(SERVERTYPE=servertype, MAX_CONNECTIONS=THREADS - 2, THREADPOOL_SIZE=4):
        daemon = WatchedDaemon("127.0.0.1")
    daemon.register(Served(), "obj")
    outcomes: List[str] = []
    with daemon_thread(daemon):
        in_threads(steps, lambda thread, number: outcomes.append(_visit(daemon, (thread, number))))
        daemon.wait_for_gone(len(outcomes))
        wait_until(lambda: not daemon.transportServer._connections, "the end of all connections")
    check(outcomes.count("served") >= len(outcomes) // 10, "no client was served: %r" % (outcomes[:10],))


def _visit(daemon: Any, visit: Any) -> str:
    """Be a client: it is served, or told that there is no room, or cut off if so many others are being told that."""
    with RawClient(connected_to(daemon)) as client:
        try:
            client.send(connect_request())
            client.reply()
        except (errors.CommunicationError, ConnectionError, EOFError) as x:
            check("busy" in str(x) or not isinstance(x, errors.CommunicationError), str(x))
            return "refused"
        check(client.call("echo", list(visit)) == list(visit), "another client's answer")
        return "served"


def accepted_clients(steps: int) -> None:
    """Clients come one after the other in each thread, let in by the loop and by workers. Takes a twentieth of the steps."""
    with changed_settings(SERVERTYPE="thread", THREADPOOL_SIZE=4), mock.patch.object(busy_poll, "_processors", 2):
        daemon = Daemon("127.0.0.1")
    daemon.register(Served(), "obj")
    with daemon_thread(daemon):
        in_threads(max(5, steps // 20), lambda thread, number: check(
            _visit(daemon, (thread, number)) == "served", "a client was refused"))


def receivers(steps: int) -> None:
    """Each thread receives over one connection after the other. Takes ten times the steps: they are small."""
    def step(thread: int, number: int) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            receiver = busy_poll.PollingReceiver(ours)
            for sent in (b"%d %d" % (thread, number), b"more"):
                theirs.send(sent)
                check(receiver.recv(100) == sent, "other bytes")
    in_threads(10 * steps, step)
    check(not busy_poll._polling.locked(), "a thread polls for ever")


def known_replies(steps: int) -> None:
    """Replies to handshakes are read, more of them than are kept."""
    def step(thread: int, number: int) -> None:
        serializer = serializers.get_serializer("json")
        payload = handshake.accepted_payload(serializer, str(number % 20), {"methods": [str(number % 20)]})
        data = SendingMessage(MSG_CONNECTOK, 0, 1, serializer.serializer_id, payload).data
        reply = handshake.parse_connect_reply(ReceivingMessage(data[:HEADER_SIZE], data[HEADER_SIZE:]))
        check(reply == (str(number % 20), {"methods": [str(number % 20)]}), "another server's reply")
    with mock.patch.object(handshake, "_MAX_CACHED_REPLIES", 10):
        in_threads(steps, step)


def copies_of_a_proxy(steps: int) -> None:
    """One proxy is copied in all threads, while all of them use their copies. Takes a tenth of the steps."""
    daemon = WatchedDaemon("127.0.0.1")
    daemon.register(Served(), "obj")
    with daemon_thread(daemon), Proxy(daemon.uriFor("obj")) as shared:
        shared._pyroBind()
        copies = [copy.copy(shared) for _ in range(THREADS)]

        def step(thread: int, number: int) -> None:
            if number == 0:
                copies[thread]._pyroClaimOwnership()
            check(copies[thread].echo([thread, number]) == [thread, number], "another thread's answer")
            if number % 10 == 0:
                with copy.copy(shared) as own:
                    check(own == shared and own.echo(number) == number, "a wrong copy")
        in_threads(max(5, steps // 10), step)
        for proxy in copies:
            proxy._pyroClaimOwnership()
            proxy._pyroRelease()


# ------------------------------------------------------------ the rest

def lookups(steps: int) -> None:
    """Hosts are asked for by all, and forgotten by some; each is looked up for all threads that wait."""
    found = threading.Condition()

    def on_result() -> None:
        with found:
            found.notify_all()
    hosts = HostLookups(on_result)

    def step(thread: int, number: int) -> None:
        host = "host-%d" % (number % 20)
        if number % 10 == thread:
            hosts.forget()
        with found:
            check(found.wait_for(lambda: hosts.find(host) is not None, PATIENCE_SECONDS), "a host was forgotten")
    with mock.patch.object(host_lookup, "_look_up", lambda host: [host]):
        in_threads(steps, step)
        hosts.close()
        wait_until(lambda: not any(queue.threads for queue in hosts._queues), "the end of the threads")
    check(not hosts._unfinished, "hosts are left: %r" % hosts._unfinished)


def gateway_memory(steps: int) -> None:
    """More is asked for than there is; in the end all of it is there again."""
    budget = MemoryBudget(lambda: 1000)

    def step(thread: int, number: int) -> None:
        lease = Lease(budget)
        lease.take(300)
        check(budget.taken <= 1000, "more than there is: %d" % budget.taken)
        if number % 2:
            lease.reduce_to(100)
        lease.release()
    in_threads(steps, step)
    check(budget.taken == 0 and not budget._idle and not budget._waiters, "memory is left: %d" % budget.taken)


def tls_contexts(steps: int) -> None:
    """The same arguments give the same context."""
    names = [{"cacerts": os.path.join(CERTIFICATES, "ca.pem")},
             {"servercert": os.path.join(CERTIFICATES, "server.pem"), "serverkey": os.path.join(CERTIFICATES, "server.key")}]
    got: List[Dict[int, Any]] = [{} for _ in range(THREADS)]

    def step(thread: int, number: int) -> None:
        context = tls.get_ssl_context(**names[number % 2])
        check(got[thread].setdefault(number % 2, context) is context, "another context")
    in_threads(steps, step)
    check(all(each == got[0] for each in got), "threads got different contexts")


def regular_expressions(steps: int) -> None:
    """Searches in this process and in others, with the few processes that there are. Takes a hundredth of the steps."""
    matcher = Matcher(Limits(match_seconds=60.0))
    names = ["name %d" % number for number in range(50)]

    def step(thread: int, number: int) -> None:
        wanted = "name %d" % (number % 50)
        regex = "(%s)+?$" % wanted if number % 2 else wanted + "$"
        check(matcher.matching(regex, lambda: names) == [wanted], "wrong names")
    try:
        # The processes have a low priority: on a busy machine a search may have to wait long for its turn.
        with mock.patch.object(regex_sandbox, "SEARCH_SECONDS", 60.0):
            in_threads(max(2, steps // 100), step)
    finally:
        matcher.close()


def _names(storage: str, steps: int, with_metadata: bool = True) -> None:
    """Names are registered, found and removed; of those that want the same name safely, one gets it."""
    nameserver = NameServer(storage)
    winners: List[int] = []

    def step(thread: int, number: int) -> None:
        name = "%d.%d" % (thread, number)
        nameserver.register(name, "PYRO:%s@host:1" % name, metadata=["tag", name] if with_metadata else None)
        with contextlib.suppress(errors.NamingError):
            nameserver.register("contested %d" % number, "PYRO:x@host:1", safe=True)
            winners.append(number)
        check(str(nameserver.lookup(name)) == "PYRO:%s@host:1" % name, "another uri")
        check(list(nameserver.list(prefix=name)) == [name] or number < 10 * len(name), "not found by its prefix")
        if with_metadata:
            check(list(nameserver.yplookup(meta_all=["tag", name])) == [name], "not found by its tags")
            nameserver.set_metadata(name, ["new"])
        check(nameserver.remove(name) == 1, "was not there")
    try:
        in_threads(steps, step)
        check(sorted(winners) == list(range(steps)), "a name was given twice, or not at all")
        check(nameserver.count() == steps, "%d names are left" % nameserver.count())
    finally:
        nameserver.close()


def names_in_memory(steps: int) -> None:
    _names("memory", steps)


def names_in_dbm(steps: int) -> None:
    """Takes a twentieth of the steps."""
    with tempfile.TemporaryDirectory() as folder:
        _names("dbm:" + os.path.join(folder, "names.dbm"), max(2, steps // 20), with_metadata=False)


def names_in_sql(steps: int) -> None:
    """Takes a fifth of the steps."""
    with tempfile.TemporaryDirectory() as folder:
        _names("sql:" + os.path.join(folder, "names.sqlite"), max(2, steps // 5))


def settings(steps: int) -> None:
    """One setting is written by all while all are read."""
    before = config.COMMTIMEOUT

    def step(thread: int, number: int) -> None:
        config.COMMTIMEOUT = float(thread)
        check(config.COMMTIMEOUT in range(THREADS) and config.as_dict()["COMMTIMEOUT"] in range(THREADS), "another value")
    try:
        in_threads(steps, step)
    finally:
        config.COMMTIMEOUT = before


def search_turns(steps: int) -> None:
    """All search at once, and end their turns: no turn is lost, and no more are taken than there are. A tenth of the steps."""
    turns = SearchTurns(waiting=THREADS)
    active: List[int] = []
    clients = [mock.Mock(gone=True) for _ in range(THREADS)]

    def step(thread: int, number: int) -> None:
        current_context.client = clients[thread]
        turns.begin()
        active.append(thread)
        check(len(active) <= TURNS, "more turns than there are")
        active.remove(thread)
        turns.end()
    in_threads(max(2, steps // 10), step)
    for _ in range(TURNS):
        check(turns._turns.acquire(blocking=False), "a turn is lost")


def waiting_for_a_lock(steps: int) -> None:
    """All meet a lock of another process: few wait for it, and places to wait are given back. A tenth of the steps."""
    patience = Patience(5.0)
    attempts = [0] * THREADS

    def step(thread: int, number: int) -> None:
        def operation() -> int:
            attempts[thread] += 1
            if attempts[thread] % 2:
                raise Locked("held by another process")
            return attempts[thread]
        try:
            patience.run(operation)
        except errors.NamingError:
            attempts[thread] = 0
    in_threads(max(2, steps // 10), step)
    check(patience.run(lambda: 5) == 5, "nothing can be done any more")


# By the rows of the table in docs/architecture.md.
RACES: Dict[str, Callable[[int], None]] = {
    "converters for classes": converters,
    "the serializers in use": serializers_in_use,
    "exposed members of classes": exposed_members,
    "objects by id": objects,
    "the single instance of a class": single_instances,
    "item streams": item_streams,
    "jobs and workers": workers,
    "oneway calls of a client": oneway_calls,
    "connections handed between loop and workers": connections,
    "accepting clients": accepted_clients,
    "busy polling": receivers,
    "replies of servers to handshakes": known_replies,
    "copies of a proxy": copies_of_a_proxy,
    "host lookups in progress": lookups,
    "memory of a gateway's requests": gateway_memory,
    "processes that match regular expressions": regular_expressions,
    "TLS contexts": tls_contexts,
    "turns of searches, clients with large results": search_turns,
    "threads that wait for another process's lock": waiting_for_a_lock,
    "names": names_in_memory,
    "names in an sql database": names_in_sql,
    "names in a dbm database": names_in_dbm,
    "settings": settings,
    **{title: partial(race, in_threads=in_threads)
       for races in (races_sharing, races_output, races_leases, races_first_uses) for title, race in races.RACES.items()},
}


def main() -> int:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    failed = 0
    for title, race in RACES.items():
        started = time.monotonic()
        try:
            race(steps)
        except AssertionError:
            failed += 1
            traceback.print_exc()
        print("%-50s %6.1f s" % (title, time.monotonic() - started), flush=True)
    print("%d threads, %d steps, %d races, %d lost" % (THREADS, steps, len(RACES), failed))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
