"""Name servers in programs: in their own event loops, together with other daemons, with their own storage."""
from __future__ import annotations

import os
import select
import socket
import threading
import unittest
from typing import Any, Dict, List
from unittest import mock

from Pyro5 import config, nameserver
from Pyro5._naming import regex_sandbox
from Pyro5._net.wakeup import Wakeup
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.nameserver import Storage, start_ns
from Pyro5.server import Daemon
from tests.support import PATIENCE_SECONDS, daemon_thread
from tests.test_nameserver import ONE, NameServerTestCase


@expose
class Thing:
    def number(self) -> int:
        return 42


# a busy machine may take longer than a server of one thread usually waits
@mock.patch.object(nameserver, "ONE_AT_A_TIME", regex_sandbox.USUAL)
class EmbeddingTests(NameServerTestCase):
    """Name servers in a program's own event loop."""

    def loop(self, *parts: Any) -> Any:
        """Run an event loop of our own in a thread: it waits for the sockets of all parts, and tells them what is ready."""
        stop = Wakeup()

        def run() -> None:
            while True:
                owners = {sock: part for part in parts for sock in part.sockets}
                ready, _, _ = select.select([stop, *owners], [], [], PATIENCE_SECONDS)
                if stop in ready or not ready:
                    return
                for part in parts:
                    part.events([sock for sock in ready if owners[sock] is part])

        thread = threading.Thread(target=run)
        thread.start()

        def end() -> None:
            stop.wake()
            thread.join(PATIENCE_SECONDS)
            stop.close()

        self.addCleanup(end)
        return end

    def ask(self, responder: Any) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.sendto(b"GET_NSURI", responder.sock.getsockname())
            return asker.recv(200).decode()

    def test_sockets_and_events(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            _, daemon, responder = self.start("0.0.0.0", bchost="127.0.0.1", bcport=0)
            end = self.loop(daemon, responder)
            with Proxy(self.ask(responder)) as ns, Proxy(ns._pyroUri) as other:
                ns.register("name", ONE)
                self.assertEqual(other.lookup("name"), URI(ONE))
                self.assertEqual(other.list(regex="(na)"), {"name": ONE})
            end()
            daemon.close()
            responder.close()
            self.assertEqual(responder.sockets, [])

    def test_a_base_class_of_the_program_that_handles_requests(self) -> None:
        handled: List[Any] = []

        class Noting(Daemon):
            def handleRequest(self, conn: Any) -> None:
                handled.append(conn)
                super().handleRequest(conn)

        class NotingNameServerDaemon(nameserver.NameServerDaemon, Noting):
            pass

        with NotingNameServerDaemon("127.0.0.1", 0) as daemon, daemon_thread(daemon):
            with Proxy(daemon.uriFor(daemon.nameserver)) as ns:
                for number in range(2, 5):
                    self.assertEqual(1, ns.count())
                    self.assertEqual(number, len(handled))  # the first one is the handshake

    def test_several_in_one_loop_with_a_daemon_of_the_program(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            uri1, ns1, responder1 = self.start("0.0.0.0", bchost="127.0.0.1", bcport=0)
            uri2, ns2, _ = self.start()
            with Daemon("127.0.0.1") as own:
                own_uri = own.register(Thing(), "thing")
                for part in (ns1, responder1, ns2):
                    own.combine(part)
                with daemon_thread(own):
                    answer = self.ask(responder1)
                    with Proxy(answer) as first, Proxy(uri2) as second, Proxy(own_uri) as thing:
                        first.register("thing", own_uri)
                        self.assertEqual((first.count(), second.count(), thing.number()), (2, 1, 42))
                        self.assertEqual(first.list(regex="(t)"), {"thing": str(own_uri)})

    def test_a_storage_of_the_programs_own(self) -> None:
        class Recording(Storage):
            def __init__(self) -> None:
                self.kept: Dict[str, Any] = {}
                self.steps: List[str] = []

            def __getitem__(self, name: str) -> Any:
                return self.kept[name]

            def __setitem__(self, name: str, registration: Any) -> None:
                self.steps.append("set " + name)
                self.kept[name] = registration

            def __delitem__(self, name: str) -> None:
                self.steps.append("del " + name)
                del self.kept[name]

            def __iter__(self) -> Any:
                return iter(self.kept)

            def __len__(self) -> int:
                return len(self.kept)

        storage = Recording()
        uri, daemon, _ = self.start(storage=storage)
        with daemon_thread(daemon), Proxy(uri) as ns:
            ns.register("name", ONE, metadata=["tag"])
            self.assertEqual(ns.yplookup(["tag"], return_metadata=False), {"name": ONE})
            self.assertEqual(ns.remove(regex="(n)"), 1)
        self.assertEqual(storage.steps, ["set Pyro.NameServer", "set name", "del name"])

    @unittest.skipUnless(os.path.isdir("/proc/self/fd"), "needs /proc")
    def test_close_leaves_nothing(self) -> None:
        def one_life() -> None:
            uri, daemon, responder = start_ns("0.0.0.0", 0, bchost="127.0.0.1", bcport=0)
            responder.runInThread()
            with daemon_thread(daemon), Proxy("PYRO:Pyro.NameServer@127.0.0.1:%d" % uri.port) as ns:
                ns.list(regex="(x)")
            responder.close()

        config.NS_AUTOCLEAN = 3.0
        one_life()  # what is made once for the whole process
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        one_life()
        self.assertEqual((len(os.listdir("/proc/self/fd")), threading.active_count()), before)


if __name__ == "__main__":
    unittest.main()
