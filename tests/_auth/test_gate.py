"""The server's side of an authenticated handshake, without a network."""
from __future__ import annotations

import os
import random
from types import SimpleNamespace
from typing import Any, Optional
from unittest import main, mock

from Pyro5 import errors
from Pyro5._auth import exchange, users
from Pyro5._auth.exchange import Hello, Session
from Pyro5._auth.gate import FREE_FAILURES, MAX_DELAY_SECONDS, Failures, Gate
from Pyro5._messages.handshake import Challenged

from ..rawclient import Clock
from .test_files import FilesTestCase

KEY = b"k" * 32
NONCE = bytes(24)


class GateTestCase(FilesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        document = users.load(self.path("users.json"))
        with mock.patch.object(exchange.make_verifier, "__defaults__", (None, exchange.MIN_ITERATIONS)):
            users.add_user(document, "alice", "secret", ["operator"])
        users.save(self.path("users.json"), document)
        self.gate = self.made()

    def made(self, key: bool = True, user: bool = True, required: bool = True) -> Gate:
        return Gate(self.write(KEY) if key else "", self.path("users.json") if user else "", required,
                    self.clock.monotonic)

    def connection(self, address: str = "10.0.0.1") -> Any:
        return SimpleNamespace(auth_pending=None, identity=None, peer_address=(address, 5), sock=None)

    def challenge(self, connection: Any, user: str = "", gate: Optional[Gate] = None) -> exchange.Challenge:
        with self.assertRaises(Challenged) as caught:
            (gate or self.gate).authenticate(connection, exchange.encode_hello(Hello(NONCE, user)), "obj")
        return exchange.decode_challenge(caught.exception.annotation)

    def prove(self, connection: Any, challenge: exchange.Challenge, user: str = "", secret: Any = KEY) -> Optional[bytes]:
        session = Session(NONCE, challenge.nonce, challenge.method, "obj", user, b"")
        proof, expected = (exchange.password_proofs(secret, challenge, session) if user
                           else exchange.key_proofs(secret, session))
        answer = self.gate.authenticate(connection, exchange.encode_proof(proof), "obj")
        if answer is not None:
            self.assertEqual(expected, exchange.decode_proof(answer))
        return answer


class Accepted(GateTestCase):
    def test_a_client_with_the_key(self) -> None:
        connection = self.connection()
        self.assertIsNotNone(self.prove(connection, self.challenge(connection)))
        self.assertEqual((None, frozenset()), (connection.identity.user, connection.identity.roles))

    def test_a_user(self) -> None:
        connection = self.connection()
        self.assertIsNotNone(self.prove(connection, self.challenge(connection, "alice"), "alice", "secret"))
        self.assertEqual(("alice", {"operator"}), (connection.identity.user, connection.identity.roles))

    def test_changed_roles_count_at_once(self) -> None:
        connection = self.connection()
        self.prove(connection, self.challenge(connection, "alice"), "alice", "secret")
        document = users.load(self.path("users.json"))
        document["users"]["alice"]["roles"] = ["visitor", "guest"]
        users.save(self.path("users.json"), document)
        self.assertEqual({"visitor", "guest"}, connection.identity.roles)
        users.save(self.path("users.json"), {"users": {}, "rules": {}})
        self.assertEqual(frozenset(), connection.identity.roles)

    def test_clients_without_credentials_if_the_setting_allows(self) -> None:
        self.assertIsNone(self.made(required=False).authenticate(self.connection(), None, "obj"))


class Refused(GateTestCase):
    def refused(self, gate: Gate, annotation: Any, connection: Any = None) -> str:
        with self.assertRaises(errors.PyroError) as caught:
            gate.authenticate(connection or self.connection(), annotation, "obj")
        self.assertIsInstance(caught.exception, (errors.SecurityError, errors.ProtocolError))
        return str(caught.exception)

    def test_without_credentials_the_text_says_what_to_set(self) -> None:
        self.assertEqual("this server wants a key: set AUTH_KEY_FILE", self.refused(self.made(user=False), None))
        self.assertEqual("this server wants a user: set AUTH_USER and AUTH_PASSWORD_FILE",
                         self.refused(self.made(key=False), None))
        self.assertEqual("this server wants a user or a key: set AUTH_USER and AUTH_PASSWORD_FILE, or AUTH_KEY_FILE",
                         self.refused(self.gate, None))
        self.assertIn("AUTH_USER", self.refused(self.made(key=False), exchange.encode_hello(Hello(NONCE, ""))))

    def test_wrong_secrets(self) -> None:
        for user, secret in (("", b"K" * 32), ("alice", "Secret"), ("bob", "secret")):
            connection = self.connection()
            challenge = self.challenge(connection, user)
            with self.assertRaisesRegex(errors.SecurityError, "authentication failed"):
                self.prove(connection, challenge, user, secret)
            self.assertIsNone(connection.identity)

    def test_unknown_users_look_like_others(self) -> None:
        challenges = [self.challenge(self.connection(), "bob") for _ in range(2)]
        self.assertEqual(challenges[0].salt, challenges[1].salt)
        self.assertEqual(exchange.SALT_BYTES, len(challenges[0].salt))
        self.assertNotEqual(challenges[0].salt, self.challenge(self.connection(), "carol").salt)

    def test_a_challenge_can_be_used_once(self) -> None:
        connection = self.connection()
        challenge = self.challenge(connection)
        with self.assertRaises(errors.SecurityError):
            self.prove(connection, challenge, secret=b"K" * 32)
        with self.assertRaises(errors.ProtocolError):  # it is taken for a new beginning
            self.prove(connection, challenge)
        self.assertIsNone(connection.identity)

    def test_a_client_that_waits_for_the_proof_of_the_server(self) -> None:
        """The next message must be of the same client, for the same object, and nothing else."""
        def waiting(connection: Any) -> bytes:
            challenge = self.challenge(connection, "alice")
            session = Session(NONCE, challenge.nonce, challenge.method, "obj", "alice", b"")
            proof, expected = exchange.password_proofs("secret", challenge, session)
            with self.assertRaises(Challenged) as caught:
                self.gate.authenticate(connection, exchange.encode_proof(proof, waits=True), "obj")
            self.assertEqual(expected, exchange.decode_proof(caught.exception.annotation))
            self.assertIsNone(connection.identity)
            return exchange.encode_proof(proof)

        connection = self.connection()
        proof = waiting(connection)
        self.assertIsNotNone(self.gate.authenticate(connection, proof, "obj"))
        self.assertEqual("alice", connection.identity.user)
        for change, object_id in ((lambda proof: proof, "other"), (lambda proof: exchange.encode_proof(bytes(32)), "obj"),
                                  (lambda proof: None, "obj"), (lambda proof: b"", "obj"),
                                  (lambda proof: exchange.encode_hello(Hello(NONCE, "alice")), "obj")):
            connection = self.connection()
            proof = waiting(connection)
            annotation = change(proof)
            with self.assertRaises(errors.PyroError):
                self.gate.authenticate(connection, annotation, object_id)
            self.assertIsNone(connection.identity)
            with self.assertRaises(errors.PyroError):  # the proof was good for one message
                self.gate.authenticate(connection, proof, "obj")

    def test_a_client_cannot_leave_out_its_proof(self) -> None:
        gate, connection = self.made(required=False), self.connection()
        self.challenge(connection, gate=gate)
        self.refused(gate, None, connection)

    def test_forged_replayed_reflected_and_truncated_proofs(self) -> None:
        """None of a thousand is accepted."""
        generator = random.Random(20)
        recorded = []
        for number in range(1000):
            user = generator.choice(("", "alice", "bob"))
            connection = self.connection("10.1.%d.%d" % divmod(number, 256))
            challenge = self.challenge(connection, user)
            session = Session(NONCE, challenge.nonce, challenge.method, "obj", user, b"")
            mine, server = exchange.key_proofs(KEY, session)
            right = mine if not user else exchange.password_proofs("secret", challenge, session)[0]
            forged = [
                os.urandom(32), bytes(32), server, right[:-1] + bytes((right[-1] ^ 1,)), right[::-1],
                exchange.key_proofs(KEY, session._replace(object_id="other"))[0],
                exchange.key_proofs(KEY, session._replace(client_nonce=challenge.nonce, server_nonce=NONCE))[0],
                exchange.key_proofs(KEY, session._replace(binding=b"tls"))[0],
                generator.choice(recorded) if recorded else bytes(32), *([] if not user else [mine])]
            annotation = exchange.encode_proof(generator.choice(forged))
            if number % 7 == 0:
                annotation = annotation[:generator.randrange(len(annotation))]
            self.refused(self.gate, annotation, connection)
            self.assertIsNone(connection.identity)
            recorded.append(right)


class Delays(GateTestCase):
    def fail_as(self, user: str, address: str = "10.0.0.9") -> None:
        connection = self.connection(address)
        challenge = self.challenge(connection, user)
        with self.assertRaisesRegex(errors.SecurityError, "authentication failed"):
            self.prove(connection, challenge, user, "wrong" if user else b"K" * 32)

    def test_a_source_that_guesses_has_to_wait_and_others_do_not(self) -> None:
        waiting = self.connection("10.0.0.9")
        early = self.challenge(waiting, "alice")
        for _ in range(FREE_FAILURES + 1):
            self.fail_as("alice")
        connection = self.connection("10.0.0.9")
        with self.assertRaisesRegex(errors.SecurityError, "try again in 2 seconds"):
            self.gate.authenticate(connection, exchange.encode_hello(Hello(NONCE, "alice")), "obj")
        with self.assertRaisesRegex(errors.SecurityError, "try again in"):
            self.prove(waiting, early, "alice", "secret")  # a challenge that was sent before
        for address, user, secret in (("10.0.0.8", "alice", "secret"), ("10.0.0.9", "", KEY)):
            other = self.connection(address)
            self.prove(other, self.challenge(other, user), user, secret)
        self.clock.now += 1.5
        self.prove(connection, self.challenge(connection, "alice"), "alice", "secret")
        self.fail_as("alice")  # a right password has ended the delays

    def test_wrong_keys_delay_no_client(self) -> None:
        for _ in range(50):
            self.fail_as("")
        connection = self.connection("10.0.0.9")
        self.assertIsNotNone(self.prove(connection, self.challenge(connection)))

    def test_the_delay_grows_up_to_a_limit(self) -> None:
        failures = Failures(self.clock.monotonic)
        delays = []
        for _ in range(30):
            failures.note("a")
            delays.append(failures.seconds_left("a"))
        self.assertEqual([0.0] * FREE_FAILURES + [1.0, 2.0, 4.0], delays[:FREE_FAILURES + 3])
        self.assertEqual(MAX_DELAY_SECONDS, delays[-1])

    def test_the_number_of_sources_is_limited(self) -> None:
        failures = Failures(self.clock.monotonic)
        for number in range(5000):
            failures.note(str(number))
        self.assertEqual(4096, len(failures._by_source))


if __name__ == "__main__":
    main()
