"""The client's side of an authenticated handshake. The credentials come from the settings, so all connections of a process
have them: those of proxies, name lookups, the tools and the gateway.
"""
from __future__ import annotations

import hmac
import ipaddress
import logging
from typing import Any, Dict, Optional, Set

from .. import config, errors
from .._messages.handshake import AUTH_ANNOTATION
from ..protocol import MSG_CONNECTFAIL, Buffer, ReceivingMessage
from . import exchange, files
from .exchange import Hello, Session

log = logging.getLogger("Pyro5.auth")

MAX_WARNED = 1000
_passwords: Dict[str, files.SecretFile[str]] = {}
typed_passwords: Dict[str, str] = {}  # by user; those that a command line tool has asked for
_warned: Set[str] = set()  # what was logged already; each warning comes once per server


def channel_binding(sock: Any) -> bytes:
    """Return bytes that only the two ends of this TLS connection know to be its own; empty without TLS."""
    get = getattr(sock, "get_channel_binding", None)
    return (get("tls-unique") or b"") if get is not None else b""


def _is_local(sock: Any) -> bool:
    """Return whether the peer of a socket is on this machine."""
    try:
        address = sock.getpeername()
    except OSError:
        return True  # the connection is lost: there is nothing to warn about
    if not isinstance(address, tuple):
        return True  # a Unix domain socket
    try:
        return ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback
    except ValueError:
        return False


class ClientExchange:
    """The steps of one client in one handshake. Belongs to one thread.

    Args:
        sock: the connected socket; after its TLS handshake, if it has one.
        target: the name of the server, for errors and logs.
        has_secrets: the handshake carries data that only the right server may see.

    Attributes:
        withholds: the server has not proved yet who it is: this data must not be sent.
        hello: the annotation of the first CONNECT message.
        takes_long: `answer_to` may take a tenth of a second: it derives keys from a password.

    Raises:
        SecurityError: the key file or the password file cannot be used.
    """

    def __init__(self, object_id: str, sock: Any, target: str, has_secrets: bool = False) -> None:
        # Read now: an unusable file must be reported before anything is sent.
        self._key = files.load_key(config.AUTH_KEY_FILE) if config.AUTH_KEY_FILE else b""
        self._user = config.AUTH_USER or ""
        self._password = _load_password(self._user) if self._user else ""
        self._required = bool(config.AUTH_REQUIRED)
        self._object_id = object_id
        self._binding = channel_binding(sock)
        self._target = target
        # Whether others on the network cannot read the connection.
        self._is_protected = hasattr(sock, "get_channel_binding") or _is_local(sock)
        self._nonce = exchange.new_nonce()
        self._proof = b""
        self._expected: Optional[bytes] = None  # the proof of the server
        # A client that connects to servers without authentication, too, gets no proof that it could wait for.
        self.withholds = has_secrets and self._required
        self.takes_long = bool(self._user)
        self.hello = exchange.encode_hello(Hello(self._nonce, self._user))

    def answer_to(self, reply: ReceivingMessage) -> Optional[bytes]:
        """Return the annotation of the next CONNECT message, None if the server does not ask for one.

        Raises:
            ProtocolError: the challenge is malformed.
            SecurityError: the server wants other credentials than there are, or its proof is wrong.
        """
        annotation = reply.annotations.get(AUTH_ANNOTATION)
        if annotation is None or reply.type != MSG_CONNECTFAIL:
            return None
        if self._expected is not None:  # the challenge was answered already
            return self._reveal(annotation) if self.withholds else None
        challenge = exchange.decode_challenge(annotation)
        user = self._user if challenge.method == exchange.SCRAM else ""
        session = Session(self._nonce, challenge.nonce, challenge.method, self._object_id, user, self._binding)
        if challenge.method == exchange.SCRAM:
            if not user:
                raise errors.SecurityError("%s wants a user: set AUTH_USER and AUTH_PASSWORD_FILE" % self._target)
            self._proof, self._expected = exchange.password_proofs(self._password, challenge, session)
        else:
            if not self._key:
                raise errors.SecurityError("%s wants a key: set AUTH_KEY_FILE" % self._target)
            if self.withholds and not hmac.compare_digest(challenge.salt, exchange.early_proof(self._key, session)):
                raise self._not_proved()
            self.withholds = False
            self._proof, self._expected = exchange.key_proofs(self._key, session)
        return exchange.encode_proof(self._proof, self.withholds)

    def _reveal(self, annotation: Buffer) -> bytes:
        """Check the proof of a server that checks passwords, and return the annotation of the message with all data."""
        if not hmac.compare_digest(exchange.decode_proof(annotation), self._expected or b""):
            raise self._not_proved()
        self.withholds = False
        return exchange.encode_proof(self._proof)

    def _not_proved(self) -> errors.SecurityError:
        return errors.SecurityError("%s sent a wrong proof: it does not have the same key, or does not know the user"
                                    % self._target)

    def finish(self, annotation: Optional[Buffer]) -> None:
        """Check the annotation of CONNECTOK, None if it has none.

        Raises:
            SecurityError: the server has not proved that it has the same key, or knows the user.
            ProtocolError: the annotation is malformed.
        """
        if self._expected is None or annotation is None or self.withholds:
            # It never sent a challenge, or left out its proof: another release, a server without a key, or an attacker.
            if self._required or self._expected is not None:
                raise errors.SecurityError(
                    "%s did not prove that it has the same key or users as this client: it is a server without "
                    "authentication, of another release, or not the one it claims to be. Set AUTH_REQUIRED to False to "
                    "connect anyway" % self._target)
            _warn_once("%s has no authentication: connected, because AUTH_REQUIRED is off", self._target)
        elif not hmac.compare_digest(exchange.decode_proof(annotation), self._expected):
            raise self._not_proved()
        elif not self._is_protected:
            _warn_once("the connection to %s is authenticated, but not encrypted: others on the network can read and change "
                       "it (set SSL)", self._target)


def _load_password(user: str) -> str:
    if user in typed_passwords:
        return typed_passwords[user]
    path = config.AUTH_PASSWORD_FILE
    if not path:
        raise errors.SecurityError("AUTH_USER is set, but AUTH_PASSWORD_FILE is not")
    file = _passwords.get(path)
    if file is None:
        file = _passwords[path] = files.SecretFile(path, _parse_password, "password file")
    return file.get()


def _parse_password(content: bytes) -> str:
    text = content.decode("utf-8").rstrip("\r\n")
    if not text:
        raise ValueError("it is empty")
    return text


def _warn_once(text: str, target: str) -> None:
    if len(_warned) < MAX_WARNED and (text + target) not in _warned:
        _warned.add(text + target)
        log.warning(text, target)
