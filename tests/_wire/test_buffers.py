"""The memory of large messages."""
from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
import unittest

from ..support import PROJECT, clean_environment

PROGRAM = """
import resource
from Pyro5._wire import buffers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
buffers.expect_large(2 * 1024 * 1024)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@unittest.skipUnless(sys.platform == "linux" and sys.implementation.name == "cpython", "measures CPython on Linux")
class ExpectLarge(unittest.TestCase):
    def test_the_block_takes_no_memory(self) -> None:
        # Not in development mode, which writes to each block that is freed.
        environment = clean_environment({"PYTHONMALLOC": "default", "PYTHONDEVMODE": ""})
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=PROJECT, stdout=subprocess.PIPE,
                              universal_newlines=True, check=True)
        self.assertLess(int(done.stdout), 8 * 1024, "KiB")

RETURNING = """
import os, sys, threading
from Pyro5._wire import buffers

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

if sys.argv[1:]:
    buffers.return_all()
buffers.expect_large(2 * 1024 * 1024)
before = resident()
for _ in range(4):  # each thread has an arena of its own
    blocks = [bytearray(1024 * 1024) for _ in range(8)]
    thread = threading.Thread(target=lambda: blocks.extend(bytearray(1024 * 1024) for _ in range(8)))
    thread.start()
    thread.join()
    del blocks
print((resident() - before) // 1024)
"""


@unittest.skipUnless(platform.libc_ver()[0] == "glibc" and not sysconfig.get_config_var("Py_GIL_DISABLED"),
                     "about the allocator of the GNU C library, which free-threaded builds do not use")
class ReturnAll(unittest.TestCase):
    def kept(self, *arguments: str) -> int:
        """Return how many KiB a process has kept of some large blocks that it has freed."""
        environment = clean_environment({"PYTHONMALLOC": "default", "PYTHONDEVMODE": ""})
        done = subprocess.run([sys.executable, "-c", RETURNING, *arguments], env=environment, cwd=PROJECT,
                              stdout=subprocess.PIPE, universal_newlines=True, check=True)
        return int(done.stdout)

    def test_freed_blocks_are_returned(self) -> None:
        self.assertLess(self.kept("return all"), 1024)

    def test_they_are_kept_otherwise(self) -> None:
        self.assertGreater(self.kept(), 4096)


if __name__ == "__main__":
    unittest.main()
