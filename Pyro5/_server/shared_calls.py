"""What concerns all processes of a daemon, though its request has arrived in one of them."""
from __future__ import annotations

from typing import Any, List

from .siblings import Siblings

__all__ = ["share_calls"]


def share_calls(daemon: Any, siblings: Siblings) -> None:
    """Make a daemon do what the other processes ask for. Called in each process, before it serves."""
    daemon._siblings = siblings

    def cancel(value: Any, descriptors: List[int]) -> None:
        number, seq = bytes.fromhex(value[0]), value[1]
        daemon._dispatcher.running.cancel(number, seq)
        daemon._streams.cancel(number, seq)

    siblings.handle("cancel", cancel)
