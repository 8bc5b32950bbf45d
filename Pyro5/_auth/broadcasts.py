"""Broadcast lookups between peers that share a key: the answer proves that it comes from a name server with the same key.

The question is ``GET_NSURI AUTH <nonce>``, the answer ``<uri> <proof>``, with nonce and proof in base64. Name servers without
the key, and those of other releases, do not answer it. A program that answers with an address of its own is ignored.
"""
from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Optional

from ..constants import NS_QUESTION
from . import exchange

_PREFIX = NS_QUESTION + b" AUTH "
_NONCE_CHARS = 4 * exchange.NONCE_BYTES // 3
QUESTION_BYTES = len(_PREFIX) + _NONCE_CHARS


def _proof(key: bytes, nonce: bytes, uri: bytes) -> bytes:
    text = b"Pyro5 broadcast 1 " + nonce + b" " + uri
    return base64.b64encode(hmac.new(key, text, hashlib.sha256).digest())


class SecretQuestion:
    """A question with a new nonce, and what its answers have to prove.

    Attributes:
        text: the datagram to broadcast.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._nonce = base64.b64encode(exchange.new_nonce())
        self.text = _PREFIX + self._nonce

    def uri_in(self, data: bytes) -> Optional[bytes]:
        """Return the URI in an answer, None if the proof is missing or wrong."""
        uri, _, proof = data.partition(b" ")
        return uri if hmac.compare_digest(proof, _proof(self._key, self._nonce, uri)) else None


def answer(key: bytes, question: bytes, uri: bytes) -> Optional[bytes]:
    """Return the answer to a question with a nonce, None if it is another datagram."""
    nonce = question[len(_PREFIX):]
    if not question.startswith(_PREFIX) or len(nonce) != _NONCE_CHARS:
        return None
    return uri + b" " + _proof(key, nonce, uri)
