"""Network helpers beyond the standard library: addresses, TLS, thread wake-ups and busy polling.

Imported by the client and the server side, through ``Pyro5.socketutil`` or directly. Start reading at ``addresses``. This
file itself counts the forks of the process, without a system call.
"""
from __future__ import annotations

import os


class Forks:
    """Counts how many forks ago this process began: a connection that was made before the last one belongs to the parent
    process.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def note(self) -> None:
        """Count one more fork."""
        self.number += 1


forks = Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.note)
