"""Runs a name server that may not write everywhere: ``python -m tests._naming.storage.unprivileged SPEC`` (Linux, root).

For root no file is read-only. So the process gives up the capabilities that make it so, and becomes the name server.
"""
from __future__ import annotations

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

if __name__ == "__main__":
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl: %s" % os.strerror(ctypes.get_errno()))
    os.execv(sys.executable, [sys.executable, "-X", "dev", "-W", "error", "-m", "Pyro5.nameserver",
                              "-n", "127.0.0.1", "-p", "0", "-x", "-s", sys.argv[1]])
