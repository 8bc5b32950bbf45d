"""The tools for keys and users, and the options of the others that say who runs them."""
from __future__ import annotations

import json
import os
import shutil
import tempfile
import unittest
from typing import Any
from unittest import mock

from Pyro5 import config
from Pyro5._auth import exchange, files, users
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.server import Daemon, expose
from Pyro5.tools import cert, key, user
from tests.peers import settings
from tests.support import ToolResult, daemon_thread, run_main, run_tool


@expose
class Stage:
    def look(self) -> Any:
        return "seen by %s" % current_context.user


class GuardedByHandshake(Daemon):
    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data != {"token": 5}:
            raise PermissionError("no token")
        return super().validateHandshake(conn, data)


class AccessTools(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.key, self.users, self.password = (os.path.join(self.folder, name) for name in ("lab.key", "users.json", "pw"))
        patch = mock.patch.object(exchange.make_verifier, "__defaults__", (None, exchange.MIN_ITERATIONS))
        patch.start()
        self.addCleanup(patch.stop)

    def user(self, *args: Any, stdin: str = "") -> ToolResult:
        with mock.patch("sys.stdin.isatty", lambda: False), mock.patch("sys.stdin.readline", lambda: stdin):
            return run_main(user.main, *args, "--file", self.users)

    def add(self, name: str, *roles: str) -> ToolResult:
        return self.user("add", name, *[word for role in roles for word in ("--role", role)], stdin="secret\n")


class KeyTool(AccessTools):
    def test_new(self) -> None:
        result = run_main(key.main, "new", self.key)
        self.assertEqual((0, ""), (result.exit_code, result.err))
        self.assertIn("PYRO_AUTH_KEY_FILE", result.out)
        before = files.load_key(self.key)
        again = run_main(key.main, "new", self.key)
        self.assertEqual(1, again.exit_code)
        self.assertIn("exists already", again.err)
        self.assertEqual(before, files.load_key(self.key))
        with open(self.key, encoding="ascii") as file:
            self.assertNotIn(file.read().strip(), result.out + again.err)

    def test_check(self) -> None:
        files.create(self.key, files.new_key())
        self.assertEqual(0, run_main(key.main, "check", self.key).exit_code)
        self.assertEqual(1, run_main(key.main, "check", self.folder).exit_code)
        self.assertEqual(2, run_main(key.main).exit_code)


class UserTool(AccessTools):
    def test_the_life_of_a_user(self) -> None:
        self.assertEqual((0, "Added alice.\n"), self.add("alice", "operator", "admin")[:2])
        self.add("bob")
        self.assertEqual(["alice                admin, operator", "bob                  -"],
                         self.user("list").out.splitlines())
        before = users.load(self.users)["users"]["alice"]
        self.assertEqual(0, self.user("passwd", "alice", stdin="other\n").exit_code)
        after = users.load(self.users)["users"]["alice"]
        self.assertEqual(before["roles"], after["roles"])
        self.assertNotEqual(before["scram-sha-256"], after["scram-sha-256"])
        self.assertEqual(0, self.user("roles", "alice", "--role", "guest").exit_code)
        self.assertEqual({"alice": {"roles": ["guest"]}, "bob": {"roles": []}}, json.loads(self.user("list", "--json").out))
        self.assertEqual(0, self.user("remove", "bob").exit_code)
        self.assertEqual(["alice"], list(users.load(self.users)["users"]))

    def test_mistakes_change_nothing(self) -> None:
        self.add("alice")
        with open(self.users, encoding="utf-8") as file:
            before = file.read()
        for args in (("add", "alice"), ("add", "a b"), ("passwd", "bob"), ("roles", "bob"), ("remove", "bob")):
            result = self.user(*args, stdin="x\n")
            self.assertEqual(1, result.exit_code, args)
            self.assertRegex(result.err, r"\AError: .*\n\Z")
        self.assertEqual(1, self.user("add", "carol", stdin="\n").exit_code)  # an empty password
        with open(self.users, encoding="utf-8") as file:
            self.assertEqual(before, file.read())

    def test_rules_in_the_file_stay(self) -> None:
        self.add("alice")
        users.save(self.users, {**users.load(self.users), "rules": {"operator": ["stage.*"]}})
        self.add("bob")
        self.assertEqual({"operator": ["stage.*"]}, users.load(self.users)["rules"])

    def test_on_a_terminal_the_password_is_asked_for_twice(self) -> None:
        for answers, exit_code in ((["secret", "secret"], 0), (["secret", "sceret"], 1)):
            with mock.patch("sys.stdin.isatty", lambda: True), mock.patch("getpass.getpass", mock.Mock(side_effect=answers)):
                result = run_main(user.main, "add", "u%d" % exit_code, "--file", self.users)
            self.assertEqual(exit_code, result.exit_code, result.err)
        self.assertEqual(["u0"], list(users.load(self.users)["users"]))


class CertTool(AccessTools):
    def new(self, *args: str) -> ToolResult:
        return run_main(cert.main, "new", os.path.join(self.folder, "certs"), *args)

    @unittest.skipUnless(shutil.which("openssl"), "needs the command openssl")
    def test_new(self) -> None:
        result = self.new("--host", "localhost", "--host", "127.0.0.1", "--client", "till")
        self.assertEqual((0, ""), (result.exit_code, result.err))
        folder = os.path.join(self.folder, "certs")
        self.assertEqual(["ca.key", "ca.pem", "server.key", "server.pem", "till.key", "till.pem"], sorted(os.listdir(folder)))
        for name in ("ca.key", "server.key", "till.key"):
            if os.name == "posix":
                self.assertEqual(0o600, os.stat(os.path.join(folder, name)).st_mode & 0o777)
        made = {name: os.path.join(folder, name) for name in os.listdir(folder)}
        with settings(SSL=True, SSL_SERVERCERT=made["server.pem"], SSL_SERVERKEY=made["server.key"],
                      SSL_CACERTS=made["ca.pem"], SSL_CLIENTCERT=made["till.pem"], SSL_CLIENTKEY=made["till.key"],
                      SSL_REQUIRECLIENTCERT=True):
            daemon = Daemon("localhost")
            with daemon_thread(daemon), Proxy(daemon.register(Stage(), "stage")) as proxy:
                self.assertEqual("seen by None", proxy.look())

    @unittest.skipUnless(shutil.which("openssl"), "needs the command openssl")
    def test_further_certificates(self) -> None:
        self.new()
        again = self.new()
        self.assertEqual(1, again.exit_code)
        self.assertIn("exists already", again.err)
        self.assertEqual(0, self.new("--client", "till").exit_code)
        for name in ("../x", "ca", "", "a b"):
            self.assertEqual(1, self.new("--client", name).exit_code, name)

    def test_without_openssl(self) -> None:
        with mock.patch.dict(os.environ, {"PATH": self.folder}):
            result = self.new()
        self.assertEqual(1, result.exit_code)
        self.assertIn("the command openssl is needed for this", result.err)
        self.assertEqual([], os.listdir(self.folder))


class Options(AccessTools):
    def test_calls_with_a_key_or_a_user(self) -> None:
        files.create(self.key, files.new_key())
        files.create(self.password, b"secret")
        self.add("alice")
        with settings(AUTH_KEY_FILE=self.key):
            daemon = Daemon("127.0.0.1", users=self.users)
        uri = daemon.register(Stage(), "stage")
        with daemon_thread(daemon):
            refused = run_tool("Pyro5", "call", uri, "look")
            self.assertEqual(1, refused.exit_code)
            self.assertIn("or AUTH_KEY_FILE", refused.err)
            result = run_tool("Pyro5", "call", "--key-file", self.key, uri, "look")
            self.assertEqual((0, '"seen by None"\n'), result[:2], result.err)
            result = run_tool("Pyro5", "call", "--user", "alice", uri, "look", env={"PYRO_AUTH_PASSWORD_FILE": self.password})
            self.assertEqual((0, '"seen by alice"\n'), result[:2], result.err)
            report = run_tool("Pyro5", "doctor", uri).out
            self.assertIn("--key-file FILE, or --user NAME", report)

    def test_a_handshake(self) -> None:
        daemon = GuardedByHandshake("127.0.0.1")
        uri = daemon.register(Stage(), "stage")
        with daemon_thread(daemon):
            self.assertEqual(1, run_tool("Pyro5", "call", uri, "look").exit_code)
            result = run_tool("Pyro5", "inspect", "--handshake", '{"token": 5}', uri)
            self.assertEqual(0, result.exit_code, result.err)

    def test_a_user_without_a_password(self) -> None:
        result = run_tool("Pyro5", "call", "--user", "alice", "PYRO:stage@localhost:5", "look")
        self.assertEqual((1, ""), result[:2])
        self.assertIn("the password of alice is needed: set AUTH_PASSWORD_FILE", result.err)

    def test_the_passwords_of_private_keys_are_not_printed(self) -> None:
        with settings(SSL_SERVERKEYPASSWD="very secret"):
            text = config.dump() + config.changes()
        self.assertNotIn("very secret", text)
        self.assertIn("SSL_SERVERKEYPASSWD = (set)", text)


if __name__ == "__main__":
    unittest.main()
