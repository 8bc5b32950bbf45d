"""All attacks, in groups. What is held in one group stays while the attacks of the following ones are made."""
from __future__ import annotations

from typing import Dict, Tuple

from . import access, bombs, buffers, crowds, encrypted, headers, http, payloads, stalling, structure, traps
from .attack import Attack

GROUPS: Dict[str, Tuple[Attack, ...]] = {
    "stalling": stalling.ATTACKS,
    "encrypted": encrypted.ATTACKS,
    "headers": headers.ATTACKS,
    "payloads": payloads.ATTACKS,
    "buffers": buffers.ATTACKS,
    "bombs": bombs.ATTACKS,
    "structure": structure.ATTACKS,
    "traps": traps.ATTACKS,
    "crowds": crowds.ATTACKS,
    "access": access.ATTACKS,
    "http": http.ATTACKS,
}
