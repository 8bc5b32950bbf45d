"""How many connections this process may have."""
from __future__ import annotations

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def allow_many_files() -> int:
    """Allow as many open files as the system lets a process have without asking; return that number, 0 if it is unknown."""
    if resource is None:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS says "unlimited", and allows less
        return soft
    return hard
