"""The proofs of an authenticated handshake, and the annotations that carry them."""
from __future__ import annotations

import base64
import hashlib
import random
import unittest
from typing import Any

from Pyro5 import errors
from Pyro5._auth import exchange
from Pyro5._auth.exchange import KEY, SCRAM, Challenge, Hello, Session

NONCE = bytes(range(24))
SESSION = Session(NONCE, NONCE[::-1], KEY, "stage", "", b"")
OTHERS = {"client_nonce": bytes(24), "server_nonce": bytes(24), "method": SCRAM, "object_id": "stag", "user": "e",
          "binding": b"tls"}


class Proofs(unittest.TestCase):
    def test_both_sides_compute_the_same(self) -> None:
        client, server = exchange.key_proofs(b"k" * 32, SESSION)
        self.assertEqual((client, server), exchange.key_proofs(b"k" * 32, Session(*SESSION)))
        self.assertNotEqual(client, server)  # a proof that is sent back proves nothing

    def test_everything_counts(self) -> None:
        proof = exchange.key_proofs(b"k" * 32, SESSION)[0]
        for name, value in OTHERS.items():
            self.assertNotEqual(proof, exchange.key_proofs(b"k" * 32, SESSION._replace(**{name: value}))[0], name)
        self.assertNotEqual(proof, exchange.key_proofs(b"K" * 32, SESSION)[0])

    def test_the_end_of_a_field_is_not_the_beginning_of_the_next(self) -> None:
        one, two = SESSION._replace(object_id="ab", user="c"), SESSION._replace(object_id="a", user="bc")
        self.assertNotEqual(exchange.key_proofs(b"k" * 32, one), exchange.key_proofs(b"k" * 32, two))

    def test_passwords(self) -> None:
        verifier = exchange.make_verifier("pencil", b"s" * 16, 4)
        session = SESSION._replace(method=SCRAM, user="alice")
        proof, server = exchange.password_proofs("pencil", Challenge(NONCE, SCRAM, b"s" * 16, 4), session)
        self.assertTrue(exchange.check_password_proof(proof, verifier, session))
        self.assertEqual(server, session.digest_with(verifier.server_key, exchange.SERVER))
        wrong, _ = exchange.password_proofs("pencils", Challenge(NONCE, SCRAM, b"s" * 16, 4), session)
        self.assertFalse(exchange.check_password_proof(wrong, verifier, session))
        for name, value in OTHERS.items():
            if name != "method":
                self.assertFalse(exchange.check_password_proof(proof, verifier, session._replace(**{name: value})), name)

    def test_the_keys_are_those_of_the_standard(self) -> None:
        """The example of RFC 7677, section 3."""
        verifier = exchange.make_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
        message = (b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                   b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        import hmac
        signature = hmac.new(verifier.stored_key, message, hashlib.sha256).digest()
        client_key = bytes(a ^ b for a, b in zip(proof, signature))
        self.assertEqual(verifier.stored_key, hashlib.sha256(client_key).digest())
        self.assertEqual("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                         base64.b64encode(hmac.new(verifier.server_key, message, hashlib.sha256).digest()).decode())

    def test_a_verifier_is_not_enough_to_be_a_client(self) -> None:
        verifier = exchange.make_verifier("pencil", b"s" * 16, 4)
        session = SESSION._replace(method=SCRAM, user="alice")
        for stolen in (verifier.stored_key, verifier.server_key):
            self.assertFalse(exchange.check_password_proof(session.digest_with(stolen, exchange.CLIENT), verifier, session))

    def test_equal_texts_are_equal_passwords(self) -> None:
        self.assertEqual(exchange.make_verifier("\u212b", b"s" * 16, 4), exchange.make_verifier("\u00c5", b"s" * 16, 4))

    def test_nonces_differ(self) -> None:
        self.assertEqual(100, len({exchange.new_nonce() for _ in range(100)}))


class Annotations(unittest.TestCase):
    def test_there_and_back(self) -> None:
        for user in ("", "alice", "\u00e9lo\u00efse"):
            self.assertEqual(Hello(NONCE, user), exchange.decode_hello(exchange.encode_hello(Hello(NONCE, user))))
        for challenge in (Challenge(NONCE, KEY), Challenge(NONCE, SCRAM, b"s" * 16, 4096)):
            self.assertEqual(challenge, exchange.decode_challenge(memoryview(exchange.encode_challenge(challenge))))
        self.assertEqual(b"p" * 32, exchange.decode_proof(exchange.encode_proof(b"p" * 32)))

    def check_refused(self, decode: Any, *annotations: bytes) -> None:
        for annotation in annotations:
            with self.assertRaises(errors.ProtocolError, msg=annotation):
                decode(annotation)

    def test_malformed(self) -> None:
        hello, proof = exchange.encode_hello(Hello(NONCE, "x")), exchange.encode_proof(bytes(32))
        self.check_refused(exchange.decode_hello, b"", b"1", b"2" + hello[1:], hello + b" ", hello + b" n=", hello[:-1],
                           b"x" * 5000, proof, hello.replace(b"n=", b"m="), hello + b" u=eA==",
                           exchange.encode_hello(Hello(bytes(23), "")),
                           exchange.encode_hello(Hello(NONCE, "x" * 65)), b"\xff\xfe", b"1 n u", b"1 n=\x00 u=")
        self.check_refused(exchange.decode_proof, b"", hello, exchange.encode_proof(b""), exchange.encode_proof(bytes(31)))

    def test_challenges_that_make_guessing_cheap(self) -> None:
        encoded = [exchange.encode_challenge(Challenge(NONCE, SCRAM, b"s" * 16, exchange.MIN_ITERATIONS - less))
                   for less in (1, 0)]
        self.check_refused(exchange.decode_challenge, encoded[0])
        self.assertEqual(exchange.MIN_ITERATIONS, exchange.decode_challenge(encoded[1]).iterations)

    def test_challenges_that_cost_too_much(self) -> None:
        self.check_refused(exchange.decode_challenge, *[
            exchange.encode_challenge(Challenge(NONCE, method, salt, iterations)) for method, salt, iterations in (
                (SCRAM, b"s" * 16, 0), (SCRAM, b"s" * 16, exchange.MAX_ITERATIONS + 1), (SCRAM, b"", 4096),
                ("plain", b"", 0))])
        self.check_refused(exchange.decode_challenge, b"1 n=%s m=c2NyYW0= s=AAAAAAAAAAAAAAAA i=%s" % (
            base64.b64encode(NONCE), base64.b64encode("\u0663".encode())))

    def test_random_changes(self) -> None:
        """Whatever is changed in an annotation: it is refused as malformed, or decoded to something."""
        generator = random.Random(7)
        for text, decode in ((exchange.encode_hello(Hello(NONCE, "alice")), exchange.decode_hello),
                             (exchange.encode_challenge(Challenge(NONCE, SCRAM, b"s" * 16, 10)), exchange.decode_challenge),
                             (exchange.encode_proof(bytes(32)), exchange.decode_proof)):
            for _ in range(500):
                changed = bytearray(text)
                for _ in range(generator.randint(1, 3)):
                    changed[generator.randrange(len(changed))] = generator.randrange(256)
                try:
                    decode(bytes(changed[:generator.choice((None, generator.randrange(len(changed))))]))
                except errors.ProtocolError:
                    continue


if __name__ == "__main__":
    unittest.main()
