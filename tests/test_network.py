"""Finding a name server on another machine: two network namespaces, with real name servers and clients in them."""
from __future__ import annotations

import contextlib
import re
import unittest
from typing import Any, List

from tests import netns
from tests.support import ToolProcess

SERVER, CLIENT = "Pyro5.nameserver", "Pyro5.nsc"


@unittest.skipIf(netns.why_impossible(), str(netns.why_impossible()))
class TwoMachines(unittest.TestCase):
    network: netns.Network
    _at_end: contextlib.ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        cls._at_end = contextlib.ExitStack()
        cls.network = cls._at_end.enter_context(netns.network())

    @classmethod
    def tearDownClass(cls) -> None:
        cls._at_end.close()

    def start(self, *options: str, last_line: str = "URI = ") -> List[str]:
        """Start a name server, on ports that are free; give what it prints."""
        process = ToolProcess(SERVER, "-p", 0, "--bcport", 0, *options, prefix=netns.inside(self.network.server))
        self.addCleanup(process.__exit__)
        return process.read_until(last_line)

    def ask(self, *options: Any, addresses: str = netns.BROADCAST_IP) -> ToolProcess:
        """Make a client on the other machine look for the name server."""
        process = ToolProcess(CLIENT, "-v", *options, "ping", prefix=netns.inside(self.network.client),
                              env={"PYRO_BROADCAST_ADDRS": addresses})
        self.addCleanup(process.__exit__)
        return process

    def check_found(self, client: ToolProcess, ip: str) -> None:
        result = client.wait()
        self.assertEqual((result.exit_code, result.err), (0, ""))
        self.assertRegex(result.out, r"(?m)^Name server found: PYRO:Pyro\.NameServer@%s:\d+$" % re.escape(ip))
        self.assertIn("Name server ping ok.", result.out)

    def test_on_every_interface(self) -> None:
        lines = self.start("-n", "0.0.0.0")
        self.assertRegex(lines[0], r"^Broadcast server running on 0\.0\.0\.0:\d+$")
        port = lines[0].rpartition(":")[2]
        cases = ((netns.BROADCAST_IP, netns.SERVER_IP), (netns.OTHER_BROADCAST_IP, netns.OTHER_SERVER_IP),
                 ("<broadcast>", netns.SERVER_IP),
                 ("192.0.2.255,no..such..host," + netns.OTHER_BROADCAST_IP, netns.OTHER_SERVER_IP))
        clients = [self.ask("-p", port, addresses=addresses) for addresses, _ in cases]
        for (addresses, ip), client in zip(cases, clients):
            with self.subTest(addresses=addresses):
                self.check_found(client, ip)

    def test_on_one_address(self) -> None:
        lines = self.start("-n", netns.OTHER_SERVER_IP)
        by_broadcast = self.ask("-p", lines[0].rpartition(":")[2])
        directly = self.ask("-n", netns.OTHER_SERVER_IP, "-p", lines[-1].rpartition(":")[2])
        for client in (by_broadcast, directly):
            self.check_found(client, netns.OTHER_SERVER_IP)

    def test_without_responder(self) -> None:
        self.assertRegex(self.start("-n", netns.SERVER_IP, "-x")[0], "^NS running on ")
        self.assertRegex(self.start("-n", netns.SERVER_IP6)[0], "^Not starting broadcast server: .*IPv6")
        result = self.ask().wait()
        self.assertEqual((result.exit_code, result.out), (1, "Locating name server...\n"))
        self.assertRegex(result.err.splitlines()[-1],
                         r"^Error: NamingError - failed to locate .*localhost:9090.*127\.0\.1\.1:9090.*"
                         r"broadcast to port 9091 of %s: no answer" % re.escape(netns.BROADCAST_IP))


if __name__ == "__main__":
    unittest.main()
