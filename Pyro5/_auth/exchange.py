"""The proofs of an authenticated handshake: what each side sends in the annotation ``AUTH``. No input or output here.

1. The client sends its nonce in its first CONNECT message, and the name of the user if it has one.
2. The server refuses it (CONNECTFAIL), with its own nonce and the method, ``key`` or ``scram``. With ``key`` it also sends a
   proof that it has the key.
3. The client sends a second CONNECT message, with its proof.
4. The server checks the proof, and sends its own one in CONNECTOK, which the client checks.

The application data of the handshake is for the server alone: a client that requires a proof leaves it out until it has one.
With ``key`` it is in the second CONNECT message. With ``scram`` the server must not prove anything before the client has,
because its proof could be used to try passwords: the client says in its proof that it waits, the server sends its own proof in
another CONNECTFAIL, and the data is in a third CONNECT message, with the same proof as the second one.

A proof is an HMAC-SHA256 over a label, the names of method and side, both nonces, the object, the user, and the channel
binding of TLS (empty without TLS). The key of the HMAC is the shared key, or what SCRAM-SHA-256 (RFC 7677) derives from a
password. Each nonce is used once, so a recorded proof is worthless; the label of the side makes a proof that is sent
back worthless; the object and the channel binding make it worthless elsewhere.
"""
from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import os
import unicodedata
from typing import Dict, Optional, Tuple

from .. import NamedTuple, errors
from ..protocol import Buffer

KEY, SCRAM = "key", "scram"
CLIENT, SERVER, CHALLENGER = "client", "server", "challenger"  # who proves something; the last one is a server, early

NONCE_BYTES = 24  # 192 random bits; base64 needs no padding for them
MAX_ANNOTATION_BYTES = 1024  # more than any of them needs
MAX_USER_CHARS = 64
SALT_BYTES = 16
# About 50 ms of a processor for each password that an attacker tries with a stolen users file. A client pays this once per
# process: the result is cached.
ITERATIONS = 100000
# Fewer are refused by clients. A false server chooses the number, and tries passwords on the proof that it receives.
MIN_ITERATIONS = 4096  # of RFC 7677
MAX_ITERATIONS = 1000000  # a server cannot make its clients work for longer than half a second

# In each digest: a proof must have no meaning in another protocol, or another version of this one.
_LABEL = b"Pyro5 authentication 1"
_VERSION = "1"


class Hello(NamedTuple):
    """What a client sends first."""

    nonce: bytes
    user: str  # empty: it will prove that it has the key


class Challenge(NamedTuple):
    """What the server answers."""

    nonce: bytes
    method: str
    salt: bytes = b""  # for KEY the proof of the server
    iterations: int = 0  # for SCRAM only


class Verifier(NamedTuple):
    """What a server stores instead of a password, see RFC 5802. With it a client can be checked, not imitated."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


class Session(NamedTuple):
    """What both sides of one handshake know."""

    client_nonce: bytes
    server_nonce: bytes
    method: str
    object_id: str
    user: str
    binding: bytes  # of the TLS connection, empty without TLS

    def digest_with(self, key: bytes, side: str) -> bytes:
        """Return the HMAC of all fields for one side."""
        # Both sides compute it for themselves: a mismatch in any field makes the proof wrong.
        fields = (_LABEL, self.method.encode(), side.encode(), self.client_nonce, self.server_nonce,
                  self.object_id.encode("utf-8", "surrogatepass"), self.user.encode("utf-8", "surrogatepass"), self.binding)
        # Each field with its length: otherwise the end of one could be taken for the beginning of the next.
        text = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
        return hmac.new(key, text, hashlib.sha256).digest()


def new_nonce() -> bytes:
    """Return random bytes that are used for one handshake."""
    return os.urandom(NONCE_BYTES)


# ---------------------------------------------------------------- the shared key


def key_proofs(key: bytes, session: Session) -> Tuple[bytes, bytes]:
    """Return the proofs of the client and of the server that both have this key."""
    # Different for both sides: otherwise a server could send the client its own proof back.
    return session.digest_with(key, CLIENT), session.digest_with(key, SERVER)


def early_proof(key: bytes, session: Session) -> bytes:
    """Return the proof of a server that has this key, before the client has proved anything."""
    # Not with a password: the key has 256 random bits, so that nothing can be found out by trying.
    return session.digest_with(key, CHALLENGER)


# ---------------------------------------------------------------- users


def make_verifier(password: str, salt: Optional[bytes] = None, iterations: int = ITERATIONS) -> Verifier:
    """Return what a server stores for a password; the salt is random if none is given."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    # The client key itself is not stored: a stolen users file does not let its thief in.
    client_key, server_key = _scram_keys(password, salt, iterations)
    return Verifier(salt, iterations, hashlib.sha256(client_key).digest(), server_key)


def password_proofs(password: str, challenge: Challenge, session: Session) -> Tuple[bytes, bytes]:
    """Return the proof of a client, and the one that it expects of the server."""
    client_key, server_key = _scram_keys(password, challenge.salt, challenge.iterations)
    signature = session.digest_with(hashlib.sha256(client_key).digest(), CLIENT)
    # The proof hides the client key by a signature that only those can compute who have the stored key.
    return _xor(client_key, signature), session.digest_with(server_key, SERVER)


def check_password_proof(proof: bytes, verifier: Verifier, session: Session) -> bool:
    """Return whether a client's proof shows that it knows the password."""
    client_key = _xor(proof, session.digest_with(verifier.stored_key, CLIENT))
    # Compared in constant time, as with all secrets.
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


# Cached, because each connection of a proxy needs them, and they are meant to be expensive.
@functools.lru_cache(maxsize=16)
def _scram_keys(password: str, salt: bytes, iterations: int) -> Tuple[bytes, bytes]:
    """Return ClientKey and ServerKey of RFC 5802. Instead of SASLprep, the password is normalized to NFKC."""
    # Systems enter the same characters differently: composed, or as a letter and an accent.
    normal = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    salted = hashlib.pbkdf2_hmac("sha256", normal, salt, iterations)
    return hmac.new(salted, b"Client Key", hashlib.sha256).digest(), hmac.new(salted, b"Server Key", hashlib.sha256).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right))


# ---------------------------------------------------------------- annotations: the version, then name=value, in ASCII


def encode_hello(hello: Hello) -> bytes:
    """Return the annotation of the first CONNECT message."""
    return _encode({"n": hello.nonce, "u": hello.user.encode("utf-8", "surrogatepass")})


def decode_hello(annotation: Buffer) -> Hello:
    """Return what `encode_hello` has encoded. Raises ProtocolError, as all functions of this kind do."""
    # Exact names: what is not understood is not ignored in a proof.
    fields = _decode(annotation, ("n", "u"))
    try:
        user = fields["u"].decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("the name of the user is not UTF-8") from None
    if len(user) > MAX_USER_CHARS:
        raise _invalid("the name of the user is too long")
    return Hello(_nonce(fields["n"]), user)


def encode_challenge(challenge: Challenge) -> bytes:
    """Return the annotation of the server's refusal."""
    return _encode({"n": challenge.nonce, "m": challenge.method.encode(), "s": challenge.salt,
                    "i": b"%d" % challenge.iterations})


def decode_challenge(annotation: Buffer) -> Challenge:
    """Return what `encode_challenge` has encoded."""
    fields = _decode(annotation, ("n", "m", "s", "i"))
    if fields["m"] == KEY.encode():
        return Challenge(_nonce(fields["n"]), KEY, fields["s"])
    # Short, because int() of a long text takes quadratic time.
    iterations = int(fields["i"]) if fields["i"].isdigit() and len(fields["i"]) < 10 else 0
    is_valid = len(fields["s"]) >= SALT_BYTES // 2 and MIN_ITERATIONS <= iterations <= MAX_ITERATIONS
    if fields["m"] != SCRAM.encode() or not is_valid:
        raise _invalid("unknown method, or invalid parameters")
    return Challenge(_nonce(fields["n"]), SCRAM, fields["s"], iterations)


def encode_proof(proof: bytes, waits: bool = False) -> bytes:
    """Return the annotation that carries a proof.

    Args:
        waits: the client waits for the proof of the server before it sends the application data.
    """
    return _encode({"p": proof, "w": b"1"} if waits else {"p": proof})


def decode_proof(annotation: Buffer) -> bytes:
    """Return the proof that `encode_proof` has encoded, of a peer that does not wait."""
    return _proof(_decode(annotation, ("p",)))


def decode_client_proof(annotation: Buffer) -> Tuple[bytes, bool]:
    """Return the proof of a client, and whether it waits."""
    waits = len(bytes(annotation[:MAX_ANNOTATION_BYTES]).split(b" ")) == 3
    fields = _decode(annotation, ("p", "w") if waits else ("p",))
    if fields.get("w", b"1") != b"1":
        raise _invalid("malformed field")
    return _proof(fields), waits


def _proof(fields: Dict[str, bytes]) -> bytes:
    if len(fields["p"]) != hashlib.sha256().digest_size:
        raise _invalid("a proof of %d bytes" % len(fields["p"]))
    return fields["p"]


def _encode(fields: Dict[str, bytes]) -> bytes:
    # base64 leaves only ASCII, and no spaces, which separate the fields.
    tokens = ["%s=%s" % (name, base64.b64encode(value).decode("ascii")) for name, value in fields.items()]
    return " ".join([_VERSION, *tokens]).encode("ascii")


def _decode(annotation: Buffer, names: Tuple[str, ...]) -> Dict[str, bytes]:
    """Return the fields of an annotation: exactly those with these names."""
    # Before it is decoded: it comes from a peer that has proved nothing yet.
    if len(annotation) > MAX_ANNOTATION_BYTES:
        raise _invalid("it is too long")
    version, *tokens = bytes(annotation).decode("ascii", "replace").split(" ")
    if version != _VERSION:
        raise _invalid("unknown version")
    try:
        fields = {name: base64.b64decode(value, validate=True)
                  for name, value in (token.split("=", 1) for token in tokens)}
    except (ValueError, binascii.Error):
        raise _invalid("malformed field") from None
    # The number too: a field that is given twice would be in the dict once.
    if len(tokens) != len(names) or set(fields) != set(names):
        raise _invalid("wrong fields")
    return fields


def _nonce(nonce: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise _invalid("a nonce of %d bytes" % len(nonce))
    return nonce


def _invalid(reason: str) -> errors.ProtocolError:
    return errors.ProtocolError("invalid annotation AUTH: %s" % reason)
