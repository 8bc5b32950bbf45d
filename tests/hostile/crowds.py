"""Thousands of something; and clients that leave at the worst moment."""
from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import List

from Pyro5 import errors
from Pyro5.protocol import FLAGS_BATCH, FLAGS_ONEWAY

from ..drafts import message
from ..rawclient import RawClient, call_request, connect_request
from .attack import Attack
from .server import LIMITS, NEW_SECONDS
from .target import Late, Target

CONNECT, INVOKE, PING = 1, 4, 6
NAMES = "Pyro.NameServer"
POOL = int(LIMITS["THREADPOOL_SIZE"])  # type: ignore[call-overload]
# echo, with what keeps a processor busy for longer than a turn of the server's loop
COSTLY = message(INVOKE, b"# serpent utf-8\n('obj','echo',[[%s]],{})" % b",".join([b"[" * 90 + b"]" * 90] * 80))
EVIL_REGEX = "(a+)+$"


def _connects(target: Target) -> None:
    """One after the other, each gone before it is handshake_done."""
    for _ in range(150 * target.scale):
        target.connect().close()


def _connects_at_once(target: Target) -> None:
    """Clients that connect, shake hands and leave, all the time: one that is connected is served as if they were not there."""
    with target.connect_with_handshake() as honest:
        for _ in range(5 * target.scale):
            crowd = [target.connect() for _ in range(31)]
            for client in crowd:
                client.send(connect_request())
            since = time.monotonic()
            for _ in range(20):
                honest.call("echo", 1)
            target.check_promise(time.monotonic() - since)
            for client in crowd:
                client.close()


def _handshakes(target: Target) -> None:
    """Many at once, all of them let in."""
    clients = [target.connect_with_handshake() for _ in range(100 * target.scale)]
    target.probe()
    for client in clients:
        client.close()


def _resets(target: Target) -> None:
    for _ in range(100 * target.scale):
        client = target.connect()
        client.send(connect_request())
        _reset(client)


def _reset(client: RawClient) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _leaving_at_every_byte(target: Target) -> None:
    """A conversation, cut off at any byte (at every seventh, when time is short)."""
    conversation = connect_request() + b"".join(
        (call_request("numbers", 3), call_request("fail", "text"), call_request("echo", 1, flags=FLAGS_ONEWAY)))
    step = max(1, 7 // target.scale)
    for at in range(0, len(conversation), step):
        client = target.connect()
        client.send(conversation[:at])
        if at % 2:
            _reset(client)
        client.close()


def _streams(target: Target) -> None:
    """More than one client may have; the client is told so, and all of them are gone when it is."""
    allowed = int(LIMITS["MAX_STREAMS"])  # type: ignore[call-overload]
    with target.connect_with_handshake() as client:
        for _ in range(allowed):
            client.call("numbers", 10)
        try:
            client.call("numbers", 10)
        except errors.PyroError as x:
            if "MAX_STREAMS" not in str(x):
                raise AssertionError(str(x)) from x
            return
    raise AssertionError("more than %d streams were opened" % allowed)


def _streams_of_many(target: Target) -> None:
    for _ in range(20 * target.scale):
        with target.connect_with_handshake() as client:
            client.send(call_request("numbers", 10 ** 9) * int(LIMITS["MAX_STREAMS"]))  # type: ignore[call-overload]
            client.reply()


def _oneway_calls(target: Target) -> None:
    calls = call_request("echo", "x" * 100, flags=FLAGS_ONEWAY) * 500
    with target.connect_with_handshake() as client:
        for _ in range(4 * target.scale):
            client.send(calls)
        if client.call("echo", "last") != "last":
            raise AssertionError("not served")


def _requests_at_once(target: Target) -> None:
    """Pipelined, and all replies read."""
    count = 1000 * target.scale
    with target.connect_with_handshake() as client:
        client.send(call_request("echo", 1) * count)
        for _ in range(count):
            client.reply()


def _pings_at_once(target: Target) -> None:
    """From many clients, without a pause: each of them has its turn, and one that makes calls is served in between."""
    pings = message(PING, b"ping") * 1000
    with target.connect_with_handshake() as honest, contextlib.ExitStack() as at_end:
        flooding = [at_end.enter_context(target.connect_with_handshake()) for _ in range(20)]
        for _ in range(target.scale):
            for client in flooding:
                client.send(pings)
            for _ in range(5):
                since = time.monotonic()
                honest.call("echo", 1)
                target.check_promise(time.monotonic() - since)
            for client in flooding:
                for _ in range(1000):
                    client.read()


def _registrations(target: Target) -> None:
    register = [call_request("register", "name %d" % number, "PYRO:x@localhost:1", object_id=NAMES)
                for number in range(1000 * target.scale)]
    with target.connect_with_handshake("names") as client:
        for start in range(0, len(register), 100):
            client.send(b"".join(register[start:start + 100]))
            for _ in register[start:start + 100]:
                client.reply()
        client.call("remove", None, "name ", object_id=NAMES)


def _large_registrations(target: Target) -> None:
    with target.connect_with_handshake("names") as client:
        for name in ("n" * 1000000, "new\nline", ""):
            try:
                client.call("register", name, "PYRO:x@localhost:1", object_id=NAMES)
            except ValueError:
                continue
            raise AssertionError("a name of %d characters was registered" % len(name))


def _evil_regex(target: Target) -> None:
    """One that takes years. It costs its sender the search."""
    with target.connect_with_handshake("names") as client, target.connect_with_handshake("names") as other:
        client.call("register", "a" * 40 + "!", "PYRO:x@localhost:1", object_id=NAMES)
        other.send(call_request("list", None, EVIL_REGEX, object_id=NAMES))
        target.probe()
        try:
            other.reply()
        except errors.NamingError:
            client.call("remove", "a" * 40 + "!", object_id=NAMES)
            return
    raise AssertionError("the search came to an end")


def _greedy_regexes(target: Target) -> None:
    """Few characters that make the re module take gigabytes."""
    with target.connect_with_handshake("names") as client:
        for regex in ("(?:x?){4000000000}", "(?:(?:x?){9999}){9999}", "(?:|x){99999,}" * 20):
            try:
                client.call("list", None, regex, object_id=NAMES)
            except errors.NamingError:
                continue
            raise AssertionError("%s is not refused" % regex)
    target.probe()


def _evil_regexes(target: Target) -> None:
    """From many clients at once, several from each. Others do not even wait for the searches."""
    with target.connect_with_handshake("names") as client:
        client.call("register", "a" * 40 + "!", "PYRO:x@localhost:1", object_id=NAMES)
        others = [target.connect_with_handshake("names") for _ in range(10 * target.scale)]
        for other in others:
            other.send(call_request("list", None, EVIL_REGEX, object_id=NAMES) * 3)
        target.probe()
        for other in others:
            other.close()
        client.call("remove", "a" * 40 + "!", object_id=NAMES)


def _sessions(target: Target) -> None:
    """Each wants a thread for itself."""
    clients = [target.connect_with_handshake(object_id="session") for _ in range(4 * POOL)]
    for client in clients:
        client.call("echo", 1, object_id="session")
    target.probe()
    for client in clients:
        client.close()


def _idle_sessions_and_slow_calls(target: Target) -> None:
    """Idle clients with sessions keep at most half of the threads, so that calls which take long leave some to others."""
    with contextlib.ExitStack() as clients:
        for _ in range(4 * POOL):
            clients.enter_context(target.connect_with_handshake(object_id="session")).call("echo", 1, object_id="session")
        for _ in range(POOL // 2 - 1 if target.servertype == "thread" else 1):
            clients.enter_context(target.connect_with_handshake()).send(call_request("linger"))
        target.probe("plain")


def _long_batches(target: Target) -> None:
    """Each takes long, though it is small: others are served between its calls, and it ends when its sender disconnects."""
    batch = call_request("<batch>", *[("linger", [], {})] * 20, flags=FLAGS_BATCH)
    with target.connect_with_handshake() as honest:
        with target.connect_with_handshake() as client:
            client.send(batch)
            for _ in range(3):
                since = time.monotonic()
                honest.call("echo", 1)
                target.check_promise(time.monotonic() - since)
        target.probe("plain")


def _large_batches(target: Target) -> None:
    """One request makes a hundred results of four megabytes each."""
    batch = [("large", [], {})] * 100
    with target.connect_with_handshake() as client:
        try:
            client.call("<batch>", *batch, flags=FLAGS_BATCH)
        except errors.MessageTooLargeError:
            return
    raise AssertionError("so much was sent")


def _batches(target: Target) -> None:
    """Thousands of calls in each message, from many clients."""
    batch = call_request("<batch>", *[("echo", [1], {})] * 1000, flags=FLAGS_BATCH)
    with contextlib.ExitStack() as clients:
        for client in [clients.enter_context(target.connect_with_handshake()) for _ in range(10)]:
            client.send(batch * target.scale)
        target.probe()


def _costly_requests(target: Target) -> None:
    """Each keeps a processor busy for a tenth of a second; half of them come as handshakes."""
    costly = b"[%s]" % (b"1.," * 30000)
    call = message(INVOKE, b"# serpent utf-8\n('obj', 'echo', [%s], {})" % costly)
    handshake = message(CONNECT, b"# serpent utf-8\n{'handshake': %s, 'object': 'obj'}" % costly)
    with contextlib.ExitStack() as clients:
        for _ in range(2 * target.scale):
            clients.enter_context(target.connect_with_handshake()).send(call)
            clients.enter_context(target.connect()).send(handshake)
        target.probe("plain")


def _costly_requests_of_new_connections(target: Target) -> None:
    """From 20 clients that connect again for each: a client that was connected before is served before them."""
    with target.connect_with_handshake() as honest:
        since = time.monotonic()
        while time.monotonic() < since + NEW_SECONDS:  # until then it counts as new, too
            honest.call("echo", 1)
        for _ in range(target.scale):
            attackers = [target.connect_with_handshake() for _ in range(20)]
            for attacker in attackers:
                attacker.send(COSTLY)
            honest.call("echo", 1)
            _check_order(attackers, 14)


def _pipelined_costly_requests(target: Target) -> None:
    """Several in one piece from each of many clients: requests that are received already wait for their turn as well."""
    with target.connect_with_handshake() as honest:
        attackers = [target.connect_with_handshake() for _ in range(8)]
        for attacker in attackers:
            attacker.send(COSTLY * 3)
        for _ in range(3):
            honest.call("echo", 1)
        _check_order(attackers, 14)


def _check_order(attackers: List[RawClient], most: int) -> None:
    """Check that no more costly calls than that were answered up to now."""
    answered = 0
    for attacker in attackers:
        attacker.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            answered += -(-len(attacker.sock.recv(len(COSTLY) * 4, socket.MSG_PEEK)) // len(COSTLY))
        _reset(attacker)
    if answered > most:
        # also if this process did not get a processor between sending the costly calls and the cheap one
        raise Late("%d costly calls came before cheap ones of another client" % answered)


def _annotations(target: Target) -> None:
    """As many as a message may have, none of them with a value; then more."""
    with target.connect_with_handshake() as client:
        client.send(_with_annotations(10000))
        client.reply()
    with target.connect_with_handshake() as client:
        client.send(_with_annotations(50000))
        try:
            client.reply()
        except errors.ProtocolError:
            return
    raise AssertionError("so many annotations were taken")


def _annotations_of_oneway_calls(target: Target) -> None:
    """They stay in memory for as long as the calls take."""
    with contextlib.ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(target.connect_with_handshake())
            client.sock.settimeout(0.2)
            with contextlib.suppress(OSError):  # the server stops reading
                client.send(_with_annotations(9999, call_request("linger", flags=FLAGS_ONEWAY)) * 15)
        target.probe()


def _with_annotations(count: int, request: bytes = call_request("echo", 1)) -> bytes:
    chunks = [("%04d" % (number % 10000)).encode() + bytes(4) for number in range(count)]
    header = bytearray(request[:40])
    header[16:20] = (8 * len(chunks)).to_bytes(4, "big")
    return bytes(header) + b"".join(chunks) + request[40:]


def _large_errors(target: Target) -> None:
    """What is wrong is almost as large as messages may be: it is not repeated to no end."""
    with target.connect_with_handshake() as client:
        for method, object_id in (("x" * 1000000, "obj"), ("echo", "y" * 1000000)):
            try:
                client.call(method, object_id=object_id)
            except (AttributeError, errors.PyroError):
                continue
            raise AssertionError("such a thing exists")


ATTACKS = (
    Attack("many connections that come and go", _connects),
    Attack("many clients at once", _handshakes, memory=80),
    Attack("many connections that are reset", _resets),
    Attack("leaving at every byte of a conversation", _leaving_at_every_byte),
    Attack("more item streams than one client may have", _streams),
    Attack("item streams of clients that leave", _streams_of_many),
    Attack("thousands of oneway calls", _oneway_calls),
    Attack("a thousand requests at once", _requests_at_once),
    Attack("thousands of pings of many clients", _pings_at_once),
    Attack("thousands of registrations", _registrations, memory=60, daemon="names"),
    Attack("registrations that are too large", _large_registrations, daemon="names"),
    Attack("a regular expression that takes years", _evil_regex, daemon="names"),
    Attack("regular expressions that take gigabytes", _greedy_regexes, daemon="names"),
    Attack("many regular expressions that take years", _evil_regexes, daemon="names"),
    Attack("more sessions than threads", _sessions),
    Attack("idle sessions and slow calls", _idle_sessions_and_slow_calls),
    Attack("batches that take long", _long_batches),
    Attack("a batch with more results than can be sent", _large_batches, memory=48),
    Attack("thousands of calls in batches", _batches),
    Attack("costly requests and handshakes from many clients", _costly_requests, memory=80),
    Attack("costly requests of clients that connect again for each", _costly_requests_of_new_connections, memory=80),
    Attack("costly requests that are pipelined", _pipelined_costly_requests, memory=80),
    Attack("crowds of connects", _connects_at_once),
    Attack("tens of thousands of annotations", _annotations, memory=48),
    Attack("oneway calls that take long, with thousands of annotations", _annotations_of_oneway_calls, memory=64),
    Attack("errors that are as large as messages may be", _large_errors, memory=64),
)
