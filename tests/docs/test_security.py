"""Check docs/security.md: its tables, and the checks of new clients."""
from __future__ import annotations

import copy
import importlib
import os
import pickle
import re
import unittest
from typing import Any, Dict, List

import Pyro5.api
from Pyro5 import callcontext, config, configure, errors, nameserver
from Pyro5._objects.exposure import expose
from Pyro5.client import Proxy
from Pyro5.serializers import serializers
from Pyro5.server import Daemon
from tests.support import PROJECT, daemon_thread

try:
    httpgateway: Any = importlib.import_module("Pyro5.utils.httpgateway")
except ImportError:
    httpgateway = None

NO_LIMITS = {"MAX_RETRIES"}


@expose
class Thing:
    def number(self) -> int:
        return 42


class TableTests(unittest.TestCase):
    text: str

    @classmethod
    def setUpClass(cls) -> None:
        with open(os.path.join(PROJECT, "docs", "security.md"), encoding="utf-8") as file:
            cls.text = file.read()

    def test_limits(self) -> None:
        listed = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", self.text, re.MULTILINE))
        defaults = {setting.name: str(setting.default) for setting in configure.SETTINGS}
        self.assertEqual({name: defaults[name] for name in listed}, listed)
        self.assertEqual(set(), {name for name in defaults if name.startswith("MAX_")} - set(listed) - NO_LIMITS)

    def test_every_name_in_capitals_is_a_setting(self) -> None:
        names = {setting.name for setting in configure.SETTINGS}
        self.assertEqual(set(), set(re.findall(r"`([A-Z][A-Z_]{3,}[A-Z])`", self.text)) - names)

    def test_every_file_exists(self) -> None:
        folder = os.path.join(PROJECT, "Pyro5")
        files = re.findall(r"`([a-z_]+(?:/[a-z_]*)?(?:\.py|/))`", self.text)
        self.assertEqual([], [name for name in files if not os.path.exists(os.path.join(folder, name))])
        self.assertGreater(len(files), 10)

    def test_links(self) -> None:
        for page, heading in re.findall(r"\]\((\w+\.md)#([\w-]+)\)", self.text):
            with open(os.path.join(PROJECT, "docs", page), encoding="utf-8") as file:
                headings = [line.strip("# \n").lower().replace(" ", "-") for line in file if line.startswith("#")]
            self.assertIn(heading, headings)

    def test_where_servers_listen(self) -> None:
        self.assertEqual("localhost", {setting.name: setting.default for setting in configure.SETTINGS}["HOST"])
        with Daemon() as daemon, nameserver.NameServerDaemon(port=0) as names:
            for server in (daemon, names):
                self.assertIn(server.sock.getsockname()[0], ("127.0.0.1", "::1"))


    @unittest.skipUnless(httpgateway, "there is no HTTP gateway")
    def test_gateway(self) -> None:
        options = httpgateway.make_parser().parse_args([])
        self.assertEqual(("localhost", r"http\.", "", None), (options.host, options.expose, options.gatewaykey, options.cors))
        options = httpgateway.make_parser().parse_args(["-H", "neptune", "-e", "x", "-c", "y", "-G", __file__])
        self.assertEqual(("neptune", "x", "y"), (options.host, options.expose, options.cors))
        self.assertTrue(options.gatewaykey.startswith('"""Check docs/security.md'))


class HandshakeTests(unittest.TestCase):
    """A daemon whose validateHandshake refuses all clients."""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.seen: List[Any] = []
        config.SERIALIZERS_ACCEPTED = ["serpent", "json"]
        seen = self.seen

        class Closed(Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                seen.append(data)
                raise PermissionError("all clients are refused")

        daemon = Closed("127.0.0.1")
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.uri = daemon.register(Thing(), "thing")

    def refusal_of(self, object_id: str = "thing", serializer: str = "serpent", handshake: Any = "hello") -> str:
        """Connect, and return the reason for the refusal."""
        with Proxy("PYRO:%s@%s" % (object_id, self.uri.location)) as proxy:
            proxy._pyroSerializer = serializer
            proxy._pyroHandshake = handshake
            with self.assertRaises(errors.CommunicationError) as caught:
                proxy._pyroBind()
        return str(caught.exception).partition("rejected by the server: ")[2]

    def test_refused_clients_do_not_learn_which_objects_exist(self) -> None:
        reasons = {self.refusal_of(name) for name in ("thing", "nosuch", "Pyro.Daemon")}
        self.assertEqual({"all clients are refused"}, reasons)

    def test_the_serializer_is_checked_first(self) -> None:
        self.assertIn("use one of: serpent, json", self.refusal_of(serializer="marshal"))
        self.assertEqual([], self.seen)

    def test_data_is_checked_before_validateHandshake(self) -> None:
        self.assertIn("unsupported serialized class: evil.Class", self.refusal_of(handshake={"__class__": "evil.Class"}))
        self.assertEqual([], self.seen)

    def test_converters_run_before_validateHandshake(self) -> None:
        def to_thing(name: str, data: Dict[str, Any]) -> Any:
            return "converted"

        Pyro5.api.register_dict_to_class("greenhouse.Bed", to_thing)
        self.addCleanup(serializers["serpent"].unregister_dict_to_class, "greenhouse.Bed")
        self.assertEqual("all clients are refused", self.refusal_of(handshake={"__class__": "greenhouse.Bed"}))
        self.assertEqual(["converted"], self.seen)

    def test_too_large(self) -> None:
        config.MAX_HANDSHAKE_SIZE = 2000
        with Daemon("127.0.0.1") as daemon:
            self.uri = daemon.register(Thing(), "thing")
            with daemon_thread(daemon):
                for compressed in (False, True):
                    config.COMPRESSION = compressed
                    self.assertRegex(self.refusal_of(handshake="x" * 5000), "^message too large.*MAX_HANDSHAKE_SIZE")


class AcceptedClientTests(unittest.TestCase):
    def test_every_object_can_be_used(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            uri = daemon.register(Thing(), "one")
            daemon.register(Thing(), "two")
            with daemon_thread(daemon), Proxy(uri) as client:
                ids = client._pyroInvoke("registered", (), {}, 0, "Pyro.Daemon")
                self.assertEqual({"one", "two", "Pyro.Daemon"}, set(ids))
                self.assertEqual(42, client._pyroInvoke("number", (), {}, 0, "two"))

    def test_methods_can_see_who_calls(self) -> None:
        clients: List[Any] = []

        @expose
        class Curious:
            def look(self) -> None:
                clients.append(callcontext.current_context.client)

        with Daemon("127.0.0.1") as daemon:
            uri = daemon.register(Curious())
            with daemon_thread(daemon), Proxy(uri) as client:
                client.look()
                client.look()
        self.assertIsNotNone(clients[0])
        self.assertIs(clients[0], clients[1])

    def test_copies_of_a_proxy_contain_its_handshake_data(self) -> None:
        proxy = Proxy("PYRO:thing@localhost:9999")
        proxy._pyroHandshake = "a secret"
        copies = [copy.copy(proxy), pickle.loads(pickle.dumps(proxy))]
        copies += [serializer.loads(serializer.dumps(proxy)) for serializer in serializers.values()]
        self.assertEqual(["a secret"] * len(copies), [each._pyroHandshake for each in copies])


if __name__ == "__main__":
    unittest.main()
