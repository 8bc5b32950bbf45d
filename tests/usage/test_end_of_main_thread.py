"""A program whose main thread ends while its request loop runs in another thread: it goes on serving."""
from __future__ import annotations

import unittest

from Pyro5 import api

from ..support import ToolProcess
from ..test_init import InDirectory

PROGRAM = """
import threading
import Pyro5.api

@Pyro5.api.expose
class Adder:
    def add(self, a, b):
        return a + b

    @Pyro5.api.oneway
    def note(self, text):
        print(text, flush=True)

    def stop(self):
        daemon.shutdown()

Pyro5.api.config.SERVERTYPE = %r
daemon = Pyro5.api.Daemon(host="127.0.0.1")
print(daemon.register(Adder(), "adder"), flush=True)
running = threading.Event()     # Python 3.12.0 and 3.12.1 start no threads once the main thread has ended
threading.Thread(target=daemon.requestLoop, args=(lambda: running.set() or True,)).start()
running.wait()
"""


class MainThreadEnded(InDirectory):
    def test_it_goes_on_serving(self) -> None:
        for server_type in ("thread", "multiplex"):
            path = self.directory + "/program.py"
            with open(path, "w", encoding="utf-8") as file:
                file.write(PROGRAM % server_type)
            with self.subTest(server_type), ToolProcess(path) as process:
                uri = process.readline().strip()
                proxies = [api.Proxy(uri) for _ in range(10)]  # more than the threads that stand by
                try:
                    for number, proxy in enumerate(proxies):
                        self.assertEqual(number + 1, proxy.add(1, number))
                    proxies[0].note("a oneway call")
                    self.assertEqual("a oneway call", process.readline().strip())
                    proxies[0].stop()
                finally:
                    for proxy in proxies:
                        proxy._pyroRelease()
                self.assertEqual(0, process.wait().exit_code)


if __name__ == "__main__":
    unittest.main()
