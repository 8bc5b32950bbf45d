"""Clients and servers that accept only each other: a shared key, users, and what peers without credentials see."""
from __future__ import annotations

import asyncio
import functools
import os
import random
import shutil
import ssl
import tempfile
import threading
import unittest
from typing import TYPE_CHECKING, Any, Dict, Iterator, List
from unittest import main, mock

from Pyro5 import aio, errors, protocol, serializers
from Pyro5._auth import broadcasts, exchange, files, users
from Pyro5._client import discovery
from Pyro5._naming.broadcast import BroadcastServer
from Pyro5._wire import features
from Pyro5.callcontext import current_context
from Pyro5.client import BatchProxy, Proxy
from Pyro5.core import locate_ns
from Pyro5.nameserver import NameServerDaemon
from Pyro5.server import Daemon, expose, oneway

from .peers import CERTIFICATES, ScriptedServer, settings
from .rawclient import RawClient, ServerTestCase, for_both_types, wait_until

Steps: Any = ServerTestCase if TYPE_CHECKING else object
SSL = {"SSL": True, "SSL_SERVERCERT": os.path.join(CERTIFICATES, "server.pem"),
       "SSL_SERVERKEY": os.path.join(CERTIFICATES, "server.key"), "SSL_CACERTS": os.path.join(CERTIFICATES, "ca.pem")}


class GuardedDaemon(Daemon):
    """Records what its handshakes show."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen: List[Any] = []
        super().__init__(*args, **kwargs)

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        self.seen.append((data, sorted(current_context.annotations), conn.identity and conn.identity.user))
        return "welcome"


@expose
class Stage:
    """Says who calls."""

    def user(self) -> Any:
        return current_context.user


class AccessSteps(Steps):
    def setUp(self) -> None:
        super().setUp()
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.key, self.other_key, self.users, self.password = (
            os.path.join(self.folder, name) for name in ("lab.key", "other.key", "users.json", "password"))
        for path in (self.key, self.other_key):
            files.create(path, files.new_key())
        files.create(self.password, b"secret\n")
        document = users.load(self.users)
        with mock.patch.object(exchange.make_verifier, "__defaults__", (None, exchange.MIN_ITERATIONS)):
            users.add_user(document, "alice", "secret", ["operator"])
        users.save(self.users, document)

    def guarded(self, changes: Dict[str, Any], users_file: str = "") -> Any:
        """Start a daemon with these settings, and return the uri of an object."""
        with settings(**changes):
            daemon = GuardedDaemon("127.0.0.1", users=users_file)
        self.at_end.callback(daemon.close)
        self.uri = daemon.register(Stage(), "stage")
        self.run_loop(daemon)
        return daemon

    def call(self, **changes: Any) -> Any:
        """Call the object with these settings, with both kinds of proxies; return what the server says."""
        async def by_aio() -> Any:
            async with aio.Proxy(self.uri) as proxy:
                return await proxy.user()
        with settings(**changes):
            with Proxy(self.uri) as proxy:
                result = proxy.user()
            self.assertEqual(result, asyncio.run(by_aio()))
            return result

    def refused(self, pattern: str, error: Any = errors.CommunicationError, **changes: Any) -> None:
        async def by_aio() -> Any:
            async with aio.Proxy(self.uri) as proxy:
                await proxy.user()
        with settings(**changes):
            with self.assertRaisesRegex(error, pattern), Proxy(self.uri) as proxy:
                proxy.user()
            with self.assertRaisesRegex(error, pattern):
                asyncio.run(by_aio())


class Keys(AccessSteps):
    def test_the_same_key(self) -> None:
        daemon = self.guarded({"AUTH_KEY_FILE": self.key})
        self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))
        self.assertEqual([("hello", [], None)] * 2, daemon.seen)  # once per connection, and nothing of the proof is visible

    def test_no_key_or_another_one(self) -> None:
        daemon = self.guarded({"AUTH_KEY_FILE": self.key})
        with self.assertLogs("Pyro5", "WARNING") as logs:
            self.refused("this server wants a key: set AUTH_KEY_FILE$")
            self.refused("the client does not have the key of this server", AUTH_KEY_FILE=self.other_key)
        self.assertEqual([], daemon.seen)
        with open(self.key, encoding="ascii") as file:
            self.assertNotIn(file.read().strip(), "".join(logs.output))
        wait_until(lambda: not daemon.transportServer._connections, "closing the refused connections")

    def test_the_key_of_the_server_is_checked_too(self) -> None:
        self.guarded({"AUTH_KEY_FILE": ""})
        self.refused("did not prove that it has the same key", errors.SecurityError, AUTH_KEY_FILE=self.key)
        with self.assertLogs("Pyro5.auth", "WARNING") as logs:
            self.call(AUTH_KEY_FILE=self.key, AUTH_REQUIRED=False)
            self.call(AUTH_KEY_FILE=self.key, AUTH_REQUIRED=False)
        self.assertEqual(1, len(logs.output))

    def test_clients_without_a_key_while_a_lab_changes_over(self) -> None:
        self.guarded({"AUTH_KEY_FILE": self.key, "AUTH_REQUIRED": False})
        self.call()
        self.call(AUTH_KEY_FILE=self.key)
        self.refused("does not have the key", AUTH_KEY_FILE=self.other_key)

    def test_over_tls_the_proof_belongs_to_the_connection(self) -> None:
        with settings(**SSL):
            self.guarded({"AUTH_KEY_FILE": self.key})
            self.uri = "PYRO:stage@localhost:%d" % self.uri.port
            self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))
            with mock.patch("Pyro5._auth.credentials.channel_binding", lambda sock: b"of another connection"):
                self.refused("does not have the key", AUTH_KEY_FILE=self.key)


class Users(AccessSteps):
    def test_a_user(self) -> None:
        self.guarded({}, self.users)
        self.assertEqual("alice", self.call(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password))

    def test_a_server_that_has_a_key_too(self) -> None:
        self.guarded({"AUTH_KEY_FILE": self.key, "AUTH_USERS_FILE": self.users})
        self.assertEqual("alice", self.call(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password))
        self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))

    def test_who_is_refused(self) -> None:
        self.guarded({}, self.users)
        self.refused("unknown user or wrong password", AUTH_USER="bob", AUTH_PASSWORD_FILE=self.password)
        self.refused("this server wants a user: set AUTH_USER and AUTH_PASSWORD_FILE$", AUTH_KEY_FILE=self.key)
        self.refused("AUTH_USER is set, but AUTH_PASSWORD_FILE is not", errors.SecurityError, AUTH_USER="alice")

    def test_a_client_that_has_only_a_user(self) -> None:
        self.guarded({"AUTH_KEY_FILE": self.key})
        self.refused("wants a key: set AUTH_KEY_FILE", errors.SecurityError, AUTH_USER="alice",
                     AUTH_PASSWORD_FILE=self.password)

    def test_changes_count_without_a_restart(self) -> None:
        self.guarded({}, self.users)
        users.save(self.users, {"users": {}, "rules": {}})
        self.refused("unknown user", AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password)


@expose
class Machine:
    """A class whose members are for different roles."""

    def __init__(self) -> None:
        self.log: List[str] = []
        self._speed = 1

    def look(self) -> str:
        return "seen"

    @expose(roles={"operator"})
    def move(self, steps: int) -> int:
        self.log.append("moved")
        return steps

    @expose(roles={"operator", "service"})
    def frames(self) -> Iterator[int]:
        yield from range(3)

    @oneway
    @expose(roles={"operator"})
    def stop(self) -> None:
        self.log.append("stopped")

    @expose(roles={"service"})
    def __len__(self) -> int:
        return 7

    @expose(roles={"operator"})
    async def home(self) -> str:
        return "home"

    @property
    def speed(self) -> int:
        return self._speed

    @expose(roles=["service"])
    @speed.setter
    def speed(self, value: int) -> None:
        self._speed = value


class Roles(AccessSteps):
    def setUp(self) -> None:
        super().setUp()
        self.machine = Machine()
        self.daemon_of_users = self.guarded({}, self.users)
        self.machine_uri = self.daemon_of_users.register(self.machine, "machine")

    def write(self, roles: List[str], **rules: List[str]) -> None:
        document = users.load(self.users)
        document["users"]["alice"]["roles"] = roles
        users.save(self.users, {**document, "rules": rules})

    def alice(self) -> Any:
        """Enter the settings of a user, and return a proxy."""
        self.at_end.enter_context(settings(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password))
        return self.at_end.enter_context(Proxy(self.machine_uri))

    def check_refused(self, what: str, call: Any) -> None:
        with self.assertRaisesRegex(errors.SecurityError, "user 'alice' may not use %s: it needs the role" % what):
            call()

    def test_methods_of_other_roles_are_refused(self) -> None:
        self.write(["visitor"])
        machine = self.alice()
        with self.assertLogs("Pyro5", "WARNING") as logs:
            self.check_refused("machine.move", lambda: machine.move(1))
        self.assertRegex("".join(logs.output), "alice.*machine.move.*operator")
        self.check_refused("machine.frames", lambda: list(machine.frames()))
        self.check_refused("machine.home", machine.home)
        self.check_refused("machine.__len__", lambda: len(machine))
        self.check_refused("machine.speed", lambda: setattr(machine, "speed", 2))
        self.check_refused("machine.speed", lambda: machine.speed)
        self.check_refused("machine.move", lambda: machine.move.future(1).result())
        machine.stop()
        self.assertEqual("seen", machine.look())  # over the same connection
        self.assertEqual(([], 1), (self.machine.log, self.machine._speed))

    def test_a_batch_with_a_forbidden_call_does_nothing(self) -> None:
        self.write(["visitor"])
        batch = BatchProxy(self.alice())
        batch.look()
        batch.move(1)
        with self.assertRaisesRegex(errors.SecurityError, "machine.move"):
            list(batch())
        self.assertEqual([], self.machine.log)

    def test_members_of_its_roles(self) -> None:
        self.write(["operator", "service"])
        machine = self.alice()
        self.assertEqual((3, [0, 1, 2], "home", 7), (machine.move(3), list(machine.frames()), machine.home(), len(machine)))
        machine.speed = 5
        self.assertEqual(5, machine.speed)
        batch = BatchProxy(machine)
        batch.move(4)
        self.assertEqual([4], list(batch()))

    def test_a_change_counts_for_open_connections(self) -> None:
        self.write(["operator"])
        machine = self.alice()
        machine.move(1)
        self.write(["visitor", "guest"])
        self.check_refused("machine.move", lambda: machine.move(1))

    def test_rules(self) -> None:
        self.write(["visitor"], operator=["machine.*"], visitor=["machine.look", "Pyro.Daemon.info"], admin=["*"])
        machine = self.alice()
        self.assertEqual("seen", machine.look())
        self.check_refused("machine.unknown", lambda: machine._pyroInvoke("unknown", [], {}))
        with settings(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password), \
                Proxy("PYRO:Pyro.Daemon@" + self.daemon_of_users.locationStr) as own:
            own.info()
            own.ping()
            self.check_refused("Pyro.Daemon.registered", own.registered)

    def test_exclusive_use_needs_a_role_too(self) -> None:
        self.write(["visitor"], operator=["machine.*"])
        with self.assertRaisesRegex(errors.SecurityError, "machine.acquire_object"), self.alice()._pyroExclusive():
            self.fail("it was acquired")
        with settings(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password), \
                Proxy("PYRO:Pyro.Daemon@" + self.daemon_of_users.locationStr) as own:
            self.check_refused("machine.acquire_object",
                               lambda: own._pyroInvoke("acquire_object", [], {"objectId": "machine"}))
            batch = BatchProxy(own)
            batch.acquire_object("machine")
            self.check_refused("machine.acquire_object", lambda: list(batch()))

    def test_the_name_of_a_batch_does_not_matter(self) -> None:
        self.write(["visitor"])
        machine = self.alice()
        calls = [("look", (), {}), ("move", (1,), {})]
        for name in ("<batch>", "look", "__getattr__", ""):
            with self.subTest(name=name):
                self.check_refused("machine.move",
                                   functools.partial(machine._pyroInvoke, name, calls, None, protocol.FLAGS_BATCH))

    def test_clients_without_a_user_have_no_roles(self) -> None:
        daemon = Daemon("127.0.0.1")  # it has no users, but the members have roles
        self.at_end.callback(daemon.close)
        uri = daemon.register(Machine(), "machine")
        self.run_loop(daemon)
        with Proxy(uri) as machine:
            self.assertEqual("seen", machine.look())
            with self.assertRaisesRegex(errors.SecurityError, "a client without a user may not use machine.move"):
                machine.move(1)

    def test_over_asyncio(self) -> None:
        async def calls() -> List[Any]:
            results = []
            async with aio.Daemon("127.0.0.1", users=self.users) as daemon:
                uri = daemon.register(Machine(), "machine")
                with settings(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password):
                    async with aio.Proxy(uri) as machine:
                        results.append(await machine.look())
                        for call in (machine.home, lambda: machine.move(1)):
                            try:
                                await call()
                            except errors.SecurityError as x:
                                results.append(str(x))
            return results
        self.write(["visitor"])
        seen, *refusals = asyncio.run(calls())
        self.assertEqual("seen", seen)
        self.assertEqual(2, len(refusals))


class Names(AccessSteps):
    def test_rules_for_names(self) -> None:
        document = users.load(self.users)
        users.save(self.users, {**document, "rules": {"operator": ["ns:register lab.*"]}})
        with settings(AUTH_USERS_FILE=self.users):
            daemon = NameServerDaemon("127.0.0.1", 0)
        self.at_end.callback(daemon.close)
        self.run_loop(daemon)
        daemon.nameserver.register("office.printer", "PYRO:printer@localhost:5")  # the process itself may
        with settings(AUTH_USER="alice", AUTH_PASSWORD_FILE=self.password), \
                locate_ns("127.0.0.1", daemon.sock.getsockname()[1], broadcast=False) as names:
            names.register("lab.stage", "PYRO:stage@localhost:5")
            for refused in (lambda: names.register("office.x", "PYRO:x@localhost:5"), lambda: names.remove("office.printer"),
                            lambda: names.set_metadata("office.printer", ["a"]), lambda: names.remove(prefix="office"),
                            lambda: names.remove(regex=".*")):
                with self.assertRaisesRegex(errors.SecurityError, "user 'alice' may not register or remove the name 'office"):
                    refused()
            self.assertEqual({"Pyro.NameServer", "lab.stage", "office.printer"}, set(names.list()))
            self.assertEqual(1, names.remove(prefix="lab."))


class OnTheWire(AccessSteps):
    def raw(self) -> RawClient:
        return self.connect(self.guarded_daemon)

    def send_connect(self, client: RawClient, annotation: Any, **changes: Any) -> Any:
        data = serializers.get_serializer("serpent").dumps({"handshake": "hello", "object": changes.get("object", "stage")})
        annotations = {} if annotation is None else {"AUTH": annotation}
        client.send(protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 1, data, annotations).data)
        return client.read()

    def challenged(self, client: RawClient) -> exchange.Challenge:
        reply = self.send_connect(client, exchange.encode_hello(exchange.Hello(bytes(24), "")))
        self.assertEqual(protocol.MSG_CONNECTFAIL, reply.type)
        return exchange.decode_challenge(reply.annotations["AUTH"])

    def proof(self, challenge: exchange.Challenge) -> bytes:
        session = exchange.Session(bytes(24), challenge.nonce, exchange.KEY, "stage", "", b"")
        return exchange.encode_proof(exchange.key_proofs(files.load_key(self.key), session)[0])

    def setUp(self) -> None:
        super().setUp()
        self.guarded_daemon = self.guarded({"AUTH_KEY_FILE": self.key})

    def test_a_client_of_another_release_sees_an_ordinary_refusal(self) -> None:
        client = self.raw()
        reply = self.send_connect(client, None)
        self.assertEqual((protocol.MSG_CONNECTFAIL, {}), (reply.type, reply.annotations))
        self.assertIn("AUTH_KEY_FILE", serializers.get_serializer("serpent").loads(reply.data))
        self.assertIsNone(client.read())  # the connection is closed

    def test_a_recorded_proof_is_worthless(self) -> None:
        client, other = self.raw(), self.raw()
        proof = self.proof(self.challenged(client))
        self.assertEqual(protocol.MSG_CONNECTOK, self.send_connect(client, proof).type)
        self.challenged(other)
        self.assertEqual(protocol.MSG_CONNECTFAIL, self.send_connect(other, proof).type)
        self.assertIsNone(other.read())

    def test_a_proof_for_another_object_is_worthless(self) -> None:
        client = self.raw()
        proof = self.proof(self.challenged(client))
        self.assertEqual(protocol.MSG_CONNECTFAIL, self.send_connect(client, proof, object="Pyro.Daemon").type)

    def test_nothing_but_a_proof_follows_a_challenge(self) -> None:
        for annotation in (None, b"", exchange.encode_hello(exchange.Hello(bytes(24), ""))):
            client = self.raw()
            self.challenged(client)
            self.assertEqual(protocol.MSG_CONNECTFAIL, self.send_connect(client, annotation).type)
            self.assertIsNone(client.read())
        client = self.raw()
        self.challenged(client)
        client.send(protocol.SendingMessage(protocol.MSG_INVOKE, 0, 2, 1, b"('stage','user',[],{})").data)
        self.assertEqual(protocol.MSG_CONNECTFAIL, client.read().type)  # type: ignore[union-attr]


    def test_malformed_annotations(self) -> None:
        """Each is refused, without an error of the server, and a client with the key is served afterwards."""
        generator = random.Random(502)
        hello = exchange.encode_hello(exchange.Hello(bytes(24), "alice"))
        with self.assertLogs("Pyro5", "WARNING") as logs:
            for number in range(150):
                client = self.raw()
                good = hello
                if number % 2:
                    self.challenged(client)
                    good = exchange.encode_proof(os.urandom(32))  # not the right one, which a change might not reach
                bad = bytearray(good)
                for _ in range(generator.randint(1, 4)):
                    bad[generator.randrange(len(bad))] = generator.randrange(256)
                reply = self.send_connect(client, generator.choice((
                    bytes(bad), good[:generator.randrange(len(good))], good * 2, bytes(generator.randrange(2000)),
                    b"\xff" * 40)))
                self.assertEqual(protocol.MSG_CONNECTFAIL, reply.type)
                client.close()
        self.assertEqual([], [record for record in logs.records if record.levelname not in ("WARNING",)])
        self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))

    def test_many_challenges_that_are_not_answered(self) -> None:
        clients = [self.raw() for _ in range(100)]
        for client in clients:
            self.challenged(client)
        self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))
        client = clients[50]
        client.send(protocol.SendingMessage(protocol.MSG_PING, 0, 2, 1, b"").data)
        self.assertEqual(protocol.MSG_CONNECTFAIL, client.read().type)  # type: ignore[union-attr]


class Broadcasts(AccessSteps, ServerTestCase):
    def responder(self, settings_of_server: Dict[str, Any], uri: str = "PYRO:Pyro.NameServer@127.0.0.1:9999") -> Any:
        """Return a name server's responder that runs, with these settings."""
        self.at_end.enter_context(settings(**settings_of_server))
        server = self.at_end.enter_context(BroadcastServer(uri, "127.0.0.1", 0))
        server.runInThread()
        return server

    def found(self, server: Any, **changes: Any) -> List[str]:
        with settings(**changes):
            first = next(discovery.ask_by_broadcast(["127.0.0.1"], server.getPort(), []), None)
            return [] if first is None else [str(first)]

    def test_name_servers_with_the_same_key_answer(self) -> None:
        server = self.responder({"AUTH_KEY_FILE": self.key})
        self.assertEqual(["PYRO:Pyro.NameServer@127.0.0.1:9999"], self.found(server))
        self.assertEqual(["PYRO:Pyro.NameServer@127.0.0.1:9999"], self.found(server, AUTH_KEY_FILE=""))

    def test_other_answers_are_ignored(self) -> None:
        question = broadcasts.SecretQuestion(files.load_key(self.key))
        uri = b"PYRO:Pyro.NameServer@127.0.0.1:9999"
        answer = broadcasts.answer(files.load_key(self.key), question.text, uri)
        assert answer is not None
        self.assertEqual(uri, question.uri_in(answer))
        for forged in (uri, uri + b" ", answer.replace(b"9999", b"9998"), answer[:-1], b"", b" ",
                       broadcasts.answer(files.load_key(self.other_key), question.text, uri)):
            self.assertIsNone(question.uri_in(forged or b""))
        self.assertIsNone(broadcasts.SecretQuestion(files.load_key(self.key)).uri_in(answer))  # an answer to another question
        self.assertLessEqual(len(question.text), broadcasts.QUESTION_BYTES)
        for data in (question.text + b"A", question.text[:-1], b"GET_NSURI AUTH ", b"GET_NSURI"):
            self.assertIsNone(broadcasts.answer(files.load_key(self.key), data, uri))

    def test_a_name_server_without_a_key_does_not_answer(self) -> None:
        server = self.responder({"AUTH_KEY_FILE": ""})
        with mock.patch.object(discovery, "BROADCAST_INTERVAL_SECONDS", 0.02):
            with settings(AUTH_KEY_FILE=self.key):
                question = discovery.broadcast_question()
            with mock.patch.object(discovery, "broadcast_question", lambda: question):
                self.assertEqual([], self.found(server))
        self.assertIsNone(server.answer_to(question.text, ("127.0.0.1", 5)))


@unittest.skipUnless(getattr(ssl, "HAS_PSK", False), "TLS with a shared key needs Python 3.13")
class TlsWithTheKey(AccessSteps, ServerTestCase):
    def test_no_certificates_are_needed(self) -> None:
        self.at_end.enter_context(settings(SSL=True, AUTH_KEY_FILE=self.key))
        for self.servertype in ("thread", "multiplex"):
            self.guarded({"SERVERTYPE": self.servertype})
            self.assertIsNone(self.call())
            self.refused("TLS|SSL", AUTH_KEY_FILE=self.other_key)
            self.refused("TLS|SSL", AUTH_KEY_FILE="")

    def test_asyncio(self) -> None:
        async def call() -> Any:
            async with aio.Daemon("127.0.0.1") as daemon, aio.Proxy(daemon.register(Stage(), "stage")) as proxy:
                return await proxy.user()
        with settings(SSL=True, AUTH_KEY_FILE=self.key):
            self.assertIsNone(asyncio.run(call()))

    def test_a_server_with_a_certificate_must_have_a_valid_one(self) -> None:
        with settings(**SSL):
            self.guarded({"AUTH_KEY_FILE": self.key})
            self.uri = "PYRO:stage@localhost:%d" % self.uri.port
            self.assertIsNone(self.call(AUTH_KEY_FILE=self.key))
            self.refused("certificate verify failed", AUTH_KEY_FILE=self.key, SSL_CACERTS="")


class Secrets(AccessSteps, ServerTestCase):
    """Application data of a handshake is only sent to a server that has proved who it is."""

    def test_the_data_arrives(self) -> None:
        async def by_aio() -> None:
            async with aio.Proxy(self.uri, handshake={"token": "s3cret"}) as proxy:
                await proxy.user()
        key, user = {"AUTH_KEY_FILE": self.key}, {"AUTH_USER": "alice", "AUTH_PASSWORD_FILE": self.password}
        for server, client, name in ((key, key, None), ({}, user, "alice"), ({}, {**key, "AUTH_REQUIRED": False}, None)):
            with self.subTest(client=client):
                daemon = self.guarded(server, self.users if name else "")
                if not server and not name:
                    self.at_end.enter_context(self.assertLogs("Pyro5.auth", "WARNING"))  # the server proves nothing
                with settings(**client):
                    current_context.annotations = {"NOTE": b"s3cret"}
                    self.addCleanup(current_context.annotations.clear)
                    with Proxy(self.uri, handshake={"token": "s3cret"}) as proxy:
                        proxy._pyroBind()
                    asyncio.run(by_aio())
                seen = ["NOTE"] if server or name else ["AUTH", "NOTE"]  # without authentication it belongs to the program
                self.assertEqual([({"token": "s3cret"}, seen, name)] * 2, daemon.seen)

    def challenge(self, method: str) -> bytes:
        return exchange.encode_challenge(exchange.Challenge(bytes(24), method, bytes(32), exchange.MIN_ITERATIONS))

    def test_a_false_server_does_not_get_it(self) -> None:
        received: List[bytes] = []

        def read(peer: Any) -> Any:
            request = peer.read()
            received.append(bytes(request.data) + b"".join(map(bytes, request.annotations.values())))
            return request

        def serve(peer: Any) -> None:
            for annotation in self.refusals:
                peer.send(protocol.MSG_CONNECTFAIL, read(peer), "go on", annotations={"AUTH": annotation})
            if self.accepts:
                peer.send(protocol.MSG_CONNECTOK, read(peer), {"handshake": "hello", "meta": None},
                          annotations={"AUTH": exchange.encode_proof(bytes(32))})
            with self.assertRaises(EOFError):
                peer.read()

        async def by_aio(uri: str) -> None:
            async with aio.Proxy(uri, handshake="s3cret") as proxy:
                await proxy.user()
        key, user = {"AUTH_KEY_FILE": self.key}, {"AUTH_USER": "alice", "AUTH_PASSWORD_FILE": self.password}
        wrong = exchange.encode_proof(bytes(32))
        for client, refusals, accepts in (
                (key, (), True), (key, (self.challenge("key"),), False), (user, (self.challenge("scram"), wrong), False),
                (user, (self.challenge("scram"),), True)):
            self.refusals, self.accepts = refusals, accepts
            with ScriptedServer(serve, serve) as server, settings(**client):
                current_context.annotations = {"NOTE": b"s3cret"}
                self.addCleanup(current_context.annotations.clear)
                with self.assertRaisesRegex(errors.SecurityError, "did not prove|wrong proof"):
                    Proxy(server.uri, handshake="s3cret")._pyroBind()
                with self.assertRaisesRegex(errors.SecurityError, "did not prove|wrong proof"):
                    asyncio.run(by_aio(server.uri))
        self.assertEqual(12, len(received))
        self.assertNotIn(b"s3cret", b"".join(received))

    def test_the_wire_log_contains_no_secret(self) -> None:
        with settings(LOGWIRE=True, AUTH_KEY_FILE=self.key), self.assertLogs("Pyro5", "DEBUG") as logs:
            self.guarded({})
            with Proxy(self.uri, handshake="s3cret") as proxy:
                proxy.user()
        text = "\n".join(logs.output)
        self.assertIn("bytes of a handshake", text)
        self.assertIn("'user'", text)  # of the call
        for secret in ("s3cret", "AUTH", " p=", " n="):
            self.assertNotIn(secret, text)


class Servers(AccessSteps, ServerTestCase):
    def test_a_server_that_only_pretends(self) -> None:
        """It sends a challenge, and accepts any proof."""
        def serve(peer: Any) -> None:
            request = peer.read()
            self.assertNotIn(b"alice", bytes(request.data))
            peer.send(protocol.MSG_CONNECTFAIL, request, "prove it", annotations={
                "AUTH": exchange.encode_challenge(exchange.Challenge(bytes(24), exchange.KEY))})
            request = peer.read()
            proof = bytes(request.annotations["AUTH"])
            peer.send(protocol.MSG_CONNECTOK, request, {"handshake": "hello", "meta": None},
                      annotations=self.accepting(proof))
            with self.assertRaises(EOFError):
                peer.read()
        for self.accepting, pattern in ((lambda proof: {}, "did not prove"), (lambda proof: {"AUTH": proof}, "wrong proof"),
                                        (lambda proof: {"AUTH": b"1 p="}, "invalid annotation AUTH")):
            with ScriptedServer(serve) as server, settings(AUTH_KEY_FILE=self.key, AUTH_REQUIRED=False):
                with self.assertRaisesRegex(errors.PyroError, pattern), Proxy(server.uri) as proxy:
                    proxy._pyroBind()

    def test_the_feature_is_announced(self) -> None:
        self.assertIn(features.AUTHENTICATION, features.SUPPORTED)

    def test_the_daemon_does_not_start_with_an_unusable_file(self) -> None:
        with settings(AUTH_KEY_FILE=os.path.join(self.folder, "missing")), self.assertRaises(errors.SecurityError):
            Daemon("127.0.0.1")
        with self.assertRaises(errors.SecurityError):
            Daemon("127.0.0.1", users=self.folder)
        self.assertEqual([], [thread.name for thread in threading.enumerate() if "Pyro" in thread.name])


for tests in (Keys, Users, Roles, Names, OnTheWire):
    for_both_types(globals(), tests)
del tests

if __name__ == "__main__":
    main()
