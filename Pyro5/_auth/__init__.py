"""Authentication: the shared key, users with passwords, and their roles.

Imported by `_client`, `_aio`, `_server`, the naming package and the tools. Start reading at ``exchange``, which describes
the messages.

What is here loads the rest, with the cryptography of the standard library, only if the settings have credentials. So the
imports are in the functions.
"""
from __future__ import annotations

from typing import Any, Optional

from .. import config


def client_exchange(object_id: str, sock: Any, target: str, has_secrets: bool = False) -> Any:
    """Return the `ClientExchange` of a new connection; None if the settings have no credentials.

    Args:
        sock: the connected socket; after its TLS handshake, if it has one.
        target: the name of the server, for errors and logs.
        has_secrets: see `ClientExchange`.

    Raises:
        SecurityError: the key file or the password file cannot be used.
    """
    if not (config.AUTH_KEY_FILE or config.AUTH_USER):
        return None
    # only with credentials, as all of these
    from .credentials import ClientExchange
    return ClientExchange(object_id, sock, target, has_secrets)


def broadcast_question() -> Any:
    """Return the `SecretQuestion` of a broadcast lookup; None if there is no key, or name servers need not have it.

    Raises:
        SecurityError: the key file cannot be used.
    """
    if not (config.AUTH_KEY_FILE and config.AUTH_REQUIRED):
        return None
    # only with a key
    from .broadcasts import SecretQuestion
    from .files import load_key
    return SecretQuestion(load_key(config.AUTH_KEY_FILE))


def broadcast_answer(question: bytes, uri: bytes) -> Optional[bytes]:
    """Return the answer of a name server to a question with a nonce; None if it has no key, or it is another datagram.

    Raises:
        SecurityError: the key file cannot be used.
    """
    if not config.AUTH_KEY_FILE:
        return None
    # only with a key
    from .broadcasts import answer
    from .files import load_key
    return answer(load_key(config.AUTH_KEY_FILE), question, uri)


def server_gate(users_file: Optional[str]) -> Any:
    """Return the `Gate` of a new server; None if there is neither a key nor a users file.

    Args:
        users_file: empty or None: that of the settings.

    Raises:
        SecurityError: a file cannot be used.
    """
    users_file = users_file or config.AUTH_USERS_FILE or ""
    if not (config.AUTH_KEY_FILE or users_file):
        return None
    from .gate import Gate  # only with a key or users
    return Gate(config.AUTH_KEY_FILE or "", users_file, bool(config.AUTH_REQUIRED))
