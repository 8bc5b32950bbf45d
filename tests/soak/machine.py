"""What a process uses, as the system tells."""
from __future__ import annotations

import os
import re
from typing import Dict

_STATUS = re.compile(r"^(VmRSS|Threads):\s+(\d+)", re.MULTILINE)
MIB = 1024.0


def usage(pid: int) -> Dict[str, float]:
    """Return the memory (MiB that it has in RAM), descriptors and threads of a process; nothing where the system does not say.
    """
    try:
        with open("/proc/%d/status" % pid, encoding="utf-8") as file:
            found = dict(_STATUS.findall(file.read()))
        return {"memory": int(found["VmRSS"]) / MIB, "descriptors": float(len(os.listdir("/proc/%d/fd" % pid))),
                "threads": float(found["Threads"])}
    except (OSError, KeyError):
        return {}
