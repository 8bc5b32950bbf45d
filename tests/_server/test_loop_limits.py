"""A server process without free file descriptors: connected clients are served, others connect later, and the loop
does not run idle.
"""
from __future__ import annotations

import functools
import socket
import subprocess
import sys
import unittest
from typing import Any, List

from ..rawclient import PATIENCE_SECONDS, RawClient, connect_request
from ..support import PROJECT, with_longer_times

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SERVER = """
import logging, resource, sys, threading, time
from Pyro5 import config
from Pyro5.server import Daemon, expose

@expose
class Thing:
    def echo(self, value):
        return value

class Counter(logging.Handler):
    count = 0
    def emit(self, record):
        self.count += "cannot accept" in record.getMessage()

counter = Counter()
logging.getLogger("Pyro5").addHandler(counter)
config.SERVERTYPE = sys.argv[1]
daemon = Daemon("127.0.0.1")
daemon.register(Thing(), "obj")
thread = threading.Thread(target=daemon.requestLoop)
thread.start()
highest = daemon.transportServer._wakeup.fileno()
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(daemon.sock.getsockname()[1], flush=True)
for line in sys.stdin:
    print(counter.count, time.process_time(), time.monotonic(), flush=True)
daemon.shutdown()
thread.join()
daemon.close()
"""


@unittest.skipIf(resource is None, "this system does not limit file descriptors")
class DescriptorTests(unittest.TestCase):
    def setUp(self) -> None:
        self.clients: List[RawClient] = []

    def check(self, servertype: str, factor: float) -> None:
        self.wait_seconds = 0.3 * factor
        self.clients.clear()
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", SERVER, servertype]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT,
                              universal_newlines=True) as process:
            try:
                self.drive(process)
                _out, err = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()
                for client in self.clients:
                    client.close()
        self.assertEqual(("", 0), (err, process.returncode))

    def drive(self, process: Any) -> None:
        port = int(process.stdout.readline())
        for _ in range(20):
            self.clients.append(RawClient(socket.create_connection(("127.0.0.1", port))))
            self.clients[-1].send(connect_request())
        served = self.served_ones()
        self.assertGreaterEqual(len(served), 1)
        self.assertLess(len(served), 15)
        self.check_idle(process, self.clients[len(served)])
        self.assertEqual("in", served[0].call("echo", "in"))
        while self.clients:  # one after another gets in, as others leave
            client = self.clients.pop(0)
            if client not in served:
                client.reply()
            self.assertEqual("turn", client.call("echo", "turn"))
            client.close()

    def served_ones(self) -> List[RawClient]:
        """Return the clients whose handshake was answered."""
        served: List[RawClient] = []
        for client in self.clients:
            # The first one is served in any case, when the server gets to it.
            client.sock.settimeout(self.wait_seconds if served else PATIENCE_SECONDS)
            try:
                client.reply()
            except socket.timeout:
                return served
            finally:
                client.sock.settimeout(PATIENCE_SECONDS)
            served.append(client)
        return served

    def check_idle(self, process: Any, waiting: RawClient) -> None:
        """While a client waits to be accepted, the server tries at intervals, and does nothing in between."""
        before = self.state(process)
        waiting.sock.settimeout(self.wait_seconds)
        with self.assertRaises(socket.timeout):
            waiting.sock.recv(1)
        waiting.sock.settimeout(PATIENCE_SECONDS)
        warnings, cpu_seconds, seconds = (after - start for start, after in zip(before, self.state(process)))
        self.assertLessEqual(warnings, 10 * seconds + 2)
        self.assertLess(cpu_seconds, seconds / 2)

    def state(self, process: Any) -> List[float]:
        process.stdin.write("\n")
        process.stdin.flush()
        return [float(number) for number in process.stdout.readline().split()]

    def test_thread(self) -> None:
        with_longer_times(functools.partial(self.check, "thread"))

    def test_multiplex(self) -> None:
        with_longer_times(functools.partial(self.check, "multiplex"))


if __name__ == "__main__":
    unittest.main()
