"""Which process this is, without a system call."""
from __future__ import annotations

import os

__all__ = ["this_process"]


class ThisProcess:
    """This process.

    Attributes:
        number: its process id; changed in the child of a fork.
    """

    def __init__(self) -> None:
        self.number = os.getpid()

    def note_fork(self) -> None:
        """Read the process id again. Called in the child of a fork."""
        self.number = os.getpid()


this_process = ThisProcess()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=this_process.note_fork)
