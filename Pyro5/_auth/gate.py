"""The server's side of an authenticated handshake, and the roles that calls need."""
from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections import OrderedDict
from threading import Lock
from typing import Any, Callable, FrozenSet, Optional, Tuple

from .. import NamedTuple, errors
from .._messages.handshake import Challenged
from ..protocol import Buffer
from . import exchange, files
from .credentials import channel_binding
from .exchange import Challenge, Session, Verifier
from .users import Users, open_file

log = logging.getLogger("Pyro5.auth")

FREE_FAILURES = 5         # wrong passwords for a user, from one address, without a delay
FIRST_DELAY_SECONDS = 1.0  # after one more; doubled with each further one
MAX_DELAY_SECONDS = 60.0
MAX_SOURCES = 4096        # addresses and users whose failures are remembered; the oldest are forgotten
NO_ROLES: FrozenSet[str] = frozenset()


class Pending(NamedTuple):
    """A challenge that was sent to a client."""

    client_nonce: bytes
    challenge: Challenge
    user: str


class Proved(NamedTuple):
    """A client that has proved who it is, and sends its application data when it has seen the proof of the server."""

    proof: bytes
    object_id: str
    identity: Identity
    answer: bytes


class Identity(NamedTuple):
    """Who a client is.

    Attributes:
        user: its name; None for a client that has the key.
        users: the file with the roles; None if there is none.
    """

    user: Optional[str]
    users: Optional[files.SecretFile[Users]]

    @property
    def roles(self) -> FrozenSet[str]:
        """The roles of the user now: a change of the users file counts for connections that exist."""
        if self.users is None or self.user is None:
            return NO_ROLES
        found = self.users.current().by_name.get(self.user)
        return NO_ROLES if found is None else found.roles


class Failures:
    """The wrong passwords from each source, and how long it has to wait. Thread-safe.

    A source is an address with the name of a user: a program that guesses the password of one user does not lock out others at
    its address. Nothing waits in the server: the next attempt is refused if it comes too early. Wrong proofs of a key are not
    counted, because 32 random bytes cannot be guessed, and counting them could lock out the clients that have the key.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()  # guards the table
        self._by_source: OrderedDict[str, Tuple[int, float]] = OrderedDict()  # number, and when the next may come

    def seconds_left(self, source: str) -> float:
        """Return how long this source has to wait."""
        with self._lock:
            return max(0.0, self._by_source.get(source, (0, 0.0))[1] - self._clock())

    def note(self, source: str) -> None:
        """Count a wrong password."""
        with self._lock:
            count = self._by_source.pop(source, (0, 0.0))[0] + 1
            delay = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** min(count - FREE_FAILURES - 1, 10))
            self._by_source[source] = count, self._clock() + delay if count > FREE_FAILURES else 0.0
            if len(self._by_source) > MAX_SOURCES:
                self._by_source.popitem(last=False)

    def forget(self, source: str) -> None:
        """Forget the wrong passwords of a source that has sent the right one."""
        with self._lock:
            self._by_source.pop(source, None)


class Gate:
    """Decides which clients a daemon accepts. Thread-safe.

    Args:
        key_file: the file with the shared key; empty: clients cannot use a key.
        users_file: the file with the users; empty: there are none.
        required: refuse clients that prove nothing.

    Raises:
        SecurityError: a file cannot be used.
    """

    def __init__(self, key_file: str = "", users_file: str = "", required: bool = True,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._key = files.SecretFile(key_file, files.parse_key, "key file") if key_file else None
        if self._key is not None:
            self._key.get()  # a problem with the file is reported now
        self.users = open_file(users_file) if users_file else None
        self._required = required
        self._failures = Failures(clock)
        self._secret = os.urandom(32)  # for the salts of users that do not exist

    @property
    def wanted(self) -> str:
        """What clients need, as a text for them."""
        if self.users is None:
            return "this server wants a key: set AUTH_KEY_FILE"
        return "this server wants a user%s: set AUTH_USER and AUTH_PASSWORD_FILE%s" % (
            ("", "") if self._key is None else (" or a key", ", or AUTH_KEY_FILE"))

    def authenticate(self, connection: Any, annotation: Optional[Buffer], object_id: str) -> Optional[bytes]:
        """Check a CONNECT message. Sets ``connection.identity`` if the client has proved who it is.

        Args:
            annotation: the annotation AUTH of the message, None if it has none.

        Returns:
            the annotation for CONNECTOK; None for a client that need not prove anything.

        Raises:
            Challenged: another message must follow; the annotation must be sent.
            SecurityError: the client is refused.
            ProtocolError: the annotation is malformed.
        """
        pending, connection.auth_pending = connection.auth_pending, None  # a challenge can be used once
        if annotation is None:
            # A client without credentials must not get in by leaving out its proof after a challenge, either.
            if self._required or pending is not None:
                raise errors.SecurityError(self.wanted)
            connection.identity = Identity(None, self.users)
            return None
        if isinstance(pending, Proved):
            return self._finish(connection, annotation, object_id, pending)
        if pending is None:
            hello = exchange.decode_hello(annotation)
            self._refuse_early(connection, hello.user)
            connection.auth_pending = pending = self._challenge(connection, hello, object_id)
            raise Challenged(self.wanted, exchange.encode_challenge(pending.challenge))
        # Asked again: many challenges may have been sent before the first wrong proof.
        self._refuse_early(connection, pending.user)
        session = Session(pending.client_nonce, pending.challenge.nonce, pending.challenge.method, object_id,
                          pending.user, channel_binding(connection.sock))
        proof, waits = exchange.decode_client_proof(annotation)
        server_proof = self._check(proof, pending, session)
        if server_proof is None:
            if pending.user:
                self._failures.note(_source(connection, pending.user))
            raise errors.SecurityError("authentication failed: %s" % (
                "unknown user or wrong password" if pending.user else "the client does not have the key of this server"))
        self._failures.forget(_source(connection, pending.user))
        proved = Proved(proof, object_id, Identity(pending.user or None, self.users), exchange.encode_proof(server_proof))
        if not waits:
            return self._finish(connection, annotation, object_id, proved)
        connection.auth_pending = proved
        raise Challenged("the application data of the handshake must follow", proved.answer)

    def _finish(self, connection: Any, annotation: Buffer, object_id: str, proved: Proved) -> bytes:
        """Accept a client that has proved who it is, and return the proof of the server."""
        # The message is the one that was checked, or the next one over the same connection, for the same object.
        proof = exchange.decode_client_proof(annotation)[0]
        if object_id != proved.object_id or not hmac.compare_digest(proof, proved.proof):
            raise errors.SecurityError("authentication failed: another handshake than the one before")
        connection.identity = proved.identity
        return proved.answer

    def _refuse_early(self, connection: Any, user: str) -> None:
        seconds = self._failures.seconds_left(_source(connection, user)) if user else 0.0
        if seconds:
            raise errors.SecurityError("too many failed attempts for this user: try again in %d seconds" % (seconds + 1))

    def _challenge(self, connection: Any, hello: exchange.Hello, object_id: str) -> Pending:
        nonce = exchange.new_nonce()
        if hello.user and self.users is not None:
            user = self.users.current().by_name.get(hello.user)
            # A user that does not exist gets a salt too, always the same: names cannot be found out in this way.
            salt = (hmac.new(self._secret, hello.user.encode(), hashlib.sha256).digest()[:exchange.SALT_BYTES]
                    if user is None else user.verifier.salt)
            iterations = exchange.ITERATIONS if user is None else user.verifier.iterations
            return Pending(hello.nonce, Challenge(nonce, exchange.SCRAM, salt, iterations), hello.user)
        if self._key is None:
            raise errors.SecurityError(self.wanted)
        session = Session(hello.nonce, nonce, exchange.KEY, object_id, "", channel_binding(connection.sock))
        return Pending(hello.nonce, Challenge(nonce, exchange.KEY, exchange.early_proof(self._key.current(), session)), "")

    def _check(self, proof: bytes, pending: Pending, session: Session) -> Optional[bytes]:
        """Return the proof of the server if that of the client is right, None if it is wrong."""
        if pending.challenge.method == exchange.KEY and self._key is not None:
            wanted, answer = exchange.key_proofs(self._key.current(), session)
            return answer if hmac.compare_digest(proof, wanted) else None
        user = None if self.users is None else self.users.current().by_name.get(pending.user)
        # An unknown user takes as long as a wrong password, so that names cannot be found out by the time.
        verifier = Verifier(b"", 1, self._secret, self._secret) if user is None else user.verifier
        if not exchange.check_password_proof(proof, verifier, session) or user is None:
            return None
        return session.digest_with(user.verifier.server_key, exchange.SERVER)


def _source(connection: Any, user: str) -> str:
    address = connection.peer_address
    return "%s %s" % (address[0] if isinstance(address, tuple) and address else "local", user)
