"""The memory of large messages."""
from __future__ import annotations

import subprocess
import sys
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


if __name__ == "__main__":
    unittest.main()
