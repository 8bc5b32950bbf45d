"""URIs: every form, what is wrong with the others, comparing, copying, sending."""

from __future__ import annotations

import copy
import json
import pickle
import unittest
from typing import Any

from Pyro5 import config, core, errors, serializers
from Pyro5._values.uri import URI


class Forms(unittest.TestCase):
    def assert_parts(
        self, text: str, protocol: str, name: Any, sockname: Any, host: Any, port: Any, location: Any, canonical: str = ""
    ) -> None:
        uri = URI(text)
        self.assertEqual(
            (protocol, name, sockname, host, port, location),
            (uri.protocol, uri.object, uri.sockname, uri.host, uri.port, uri.location),
        )
        self.assertEqual(canonical or text, str(uri))
        self.assertEqual(uri, URI(str(uri)))

    def test_host_and_port(self) -> None:
        self.assert_parts("PYRO:object@hostname:1234", "PYRO", "object", None, "hostname", 1234, "hostname:1234")
        self.assert_parts("PYRO:obj_0a-b.c,d:e/f@127.0.0.1:0", "PYRO", "obj_0a-b.c,d:e/f", None, "127.0.0.1", 0, "127.0.0.1:0")
        self.assert_parts(
            "PYRO:x@<<connected-socket>>:0", "PYRO", "x", None, "<<connected-socket>>", 0, "<<connected-socket>>:0"
        )
        self.assert_parts("PYRO:x@caf\xe9.example:65535", "PYRO", "x", None, "caf\xe9.example", 65535, "caf\xe9.example:65535")

    def test_ipv6(self) -> None:
        self.assert_parts("PYRO:x@[::1]:99", "PYRO", "x", None, "::1", 99, "[::1]:99")
        self.assert_parts("PYRO:x@[fe80::1%eth0]:99", "PYRO", "x", None, "fe80::1%eth0", 99, "[fe80::1%eth0]:99")
        self.assert_parts(
            "PYRONAME:x@[::1]",
            "PYRONAME",
            "x",
            None,
            "::1",
            config.NS_PORT,
            "[::1]:%d" % config.NS_PORT,
            "PYRONAME:x@[::1]:%d" % config.NS_PORT,
        )

    def test_unix_sockets(self) -> None:
        for name in ("sock", "/run/a b/the sock", "\0abstract", "@abstract", "a@b"):
            self.assert_parts("PYRO:x@./u:" + name, "PYRO", "x", name, None, None, "./u:" + name)
            self.assert_parts("PYRONAME:x@./u:" + name, "PYRONAME", "x", name, None, None, "./u:" + name)
        self.assertTrue(URI.isUnixsockLocation("./u:sock"))
        self.assertFalse(URI.isUnixsockLocation("localhost:1234"))

    def test_names(self) -> None:
        self.assert_parts("PYRONAME:some.name", "PYRONAME", "some.name", None, None, None, None)
        self.assert_parts("PYRONAME:some.name@host:1234", "PYRONAME", "some.name", None, "host", 1234, "host:1234")

    def test_port_of_the_name_server(self) -> None:
        before = config.NS_PORT
        self.addCleanup(setattr, config, "NS_PORT", before)
        config.NS_PORT = 5678
        self.assert_parts("PYRONAME:x@host", "PYRONAME", "x", None, "host", 5678, "host:5678", "PYRONAME:x@host:5678")
        self.assert_parts("PYROMETA:x@host", "PYROMETA", {"x"}, None, "host", 5678, "host:5678", "PYROMETA:x@host:5678")

    def test_tags(self) -> None:
        self.assert_parts("PYROMETA:tag", "PYROMETA", {"tag"}, None, None, None, None)
        self.assert_parts(
            "PYROMETA:b,a,c@host:1234",
            "PYROMETA",
            {"a", "b", "c"},
            None,
            "host",
            1234,
            "host:1234",
            "PYROMETA:a,b,c@host:1234",
        )

    def test_lower_case(self) -> None:
        self.assertEqual("PYRO:Object@Host:5", str(URI("pyro:Object@Host:5")))
        self.assertEqual("PYRONAME:x", str(URI("PyroName:x")))
        self.assertEqual("PYROMETA:x", str(URI("pyrometa:x")))

    def test_a_copy_of_another_uri(self) -> None:
        uri = URI("PYROMETA:a,b@host:5")
        other = URI(uri)
        self.assertEqual(uri, other)
        other.object.add("c")  # type: ignore[union-attr]
        self.assertNotEqual(uri, other)

    def test_repr(self) -> None:
        self.assertRegex(repr(URI("PYRO:printer1@host:1234")), "^<Pyro5.core.URI at 0x[0-9a-f]+; PYRO:printer1@host:1234>$")

    def test_public_name(self) -> None:
        self.assertIs(URI, core.URI)


class Wrong(unittest.TestCase):
    def test_invalid_texts(self) -> None:
        for text, complaint in (
            ("", "start with"),
            ("x", "start with"),
            ("PYRO", "start with"),
            ("http:x@host:5", "start with"),
            ("PYROLOC:x@host:5", "start with"),
            ("PYRO:", "object is missing"),
            ("PYRO:@host:5", "object is missing"),
            ("PYRONAME:", "object is missing"),
            ("PYROMETA:@host", "object is missing"),
            ("PYRO:x", "location is missing"),
            ("PYRO:x@", "location is missing after"),
            ("PYRONAME:x@", "location is missing after"),
            ("PYRO:a b@host:5", "white space"),
            ("PYRONAME:a\tb", "white space"),
            ("PYROMETA:a,,b", "empty tag"),
            ("PYROMETA:,", "empty tag"),
            ("PYROMETA:a, b", "white space"),
            ("PYRO:x@host", "port is missing"),
            ("PYRO:x@[::1]", "port is missing"),
            ("PYRO:x@host:", "'' is not a port"),
            ("PYRO:x@host:http", "'http' is not a port"),
            ("PYRO:x@host:-1", "not a port"),
            ("PYRO:x@host:65536", "not a port"),
            ("PYRO:x@host:\u0661", "not a port"),
            ("PYRO:x@host:1.5", "not a port"),
            ("PYRO:x@host: 5", "not a port"),
            ("PYRO:x@::1:55", "brackets"),
            ("PYRO:x@host:1:2", "brackets"),
            ("PYRO:x@[::1", "ipv6address"),
            ("PYRO:x@[::1]5", "ipv6address"),
            ("PYRO:x@[]:5", "not a host"),
            ("PYRO:x@:5", "not a host"),
            ("PYRO:x@a b:5", "not a host"),
            ("PYRO:x@./u:", "socket is missing"),
            ("PYRO:x@./u:/run/thing.sock:9999", "colon"),
            ("PYRONAME:x@./u:with:colon", "colon"),
            ("PYRONAME:x@./u", "not a host"),
            ("PYRO:x@a/b:5", "not a host"),
            ("PYRO:x@[[,]:6", "not a host"),
            ("PYRO:x@a]:6", "not a host"),
        ):
            with self.subTest(text), self.assertRaisesRegex(errors.PyroError, complaint) as caught:
                URI(text)
            message = str(caught.exception)
            self.assertTrue(message.startswith("invalid uri %r: " % text), message)
            self.assertIn("; expected PYRO", message)

    def test_the_expected_form_is_that_of_the_protocol(self) -> None:
        with self.assertRaises(errors.PyroError) as caught:
            URI("pyrometa:a,,b")
        self.assertTrue(str(caught.exception).endswith("expected PYROMETA:tag1,tag2 or PYROMETA:tag1,tag2@hostname:port"))

    def test_surrounding_white_space_is_ignored(self) -> None:
        for text in ("PYRO:x@host:5\n", "\r\n PYRO:x@host:5 \t", "PYRONAME:some.name\n", "PYROMETA:a,b@host:5\n"):
            self.assertEqual((URI(text.strip()), text.strip()), (URI(text), str(URI(text))))

    def test_the_regular_expression_matches_the_parts(self) -> None:
        for text, parts in (("PYRO:x@host:5", ("PYRO", "x", "host:5")), ("pyroname:a.b", ("pyroname", "a.b", None)),
                            ("PYROMETA:a,b@./u:/a b", ("PYROMETA", "a,b", "./u:/a b"))):
            match = URI.uriRegEx.match(text)
            assert match is not None
            self.assertEqual(parts, (match.group("protocol"), match.group("object"), match.group("location")))
        self.assertIsNone(URI.uriRegEx.match("http://host/"))

    def test_types(self) -> None:
        for value in (None, 5, b"PYRO:x@host:5", ["PYRO:x@host:5"]):
            self.assertRaises(TypeError, URI, value)


class Comparing(unittest.TestCase):
    def test_equality(self) -> None:
        self.assertEqual(URI("PYRO:x@host:5"), URI("pyro:x@host:5"))
        self.assertEqual(URI("PYROMETA:a,b"), URI("PYROMETA:b,a"))
        for other in (
            "PYRO:y@host:5",
            "PYRO:x@host2:5",
            "PYRO:x@host:6",
            "PYRO:x@./u:host",
            "PYRONAME:x@host:5",
            "PYROMETA:x@host:5",
        ):
            self.assertNotEqual(URI("PYRO:x@host:5"), URI(other))

    def test_other_types(self) -> None:
        uri = URI("PYRO:x@host:5")
        self.assertFalse(uri == "PYRO:x@host:5")
        self.assertTrue(uri != "PYRO:x@host:5")
        self.assertIsNotNone(uri)

    def test_hash(self) -> None:
        self.assertEqual({URI("PYRO:x@host:5"): 1, URI("PYROMETA:a,b"): 2}, {URI("pyro:x@host:5"): 1, URI("PYROMETA:b,a"): 2})

    def test_attributes_can_be_changed(self) -> None:
        uri = URI("PYRO:x@host:5")
        uri.host, uri.port = "other", 6
        self.assertEqual("PYRO:x@other:6", str(uri))
        self.assertEqual(URI("PYRO:x@other:6"), uri)


class Copying(unittest.TestCase):
    uris = (
        "PYRO:x@host:5",
        "PYRO:x@[::1]:5",
        "PYRO:x@./u:a sock",
        "PYRO:x@./u:\0abstract",
        "PYRONAME:name",
        "PYRONAME:name@host:5",
        "PYROMETA:a,b",
        "PYROMETA:a@host:5",
    )

    def test_copies(self) -> None:
        for text in self.uris:
            uri = URI(text)
            for twin in (copy.copy(uri), copy.deepcopy(uri), pickle.loads(pickle.dumps(uri))):
                self.assertEqual((URI, uri), (type(twin), twin))
                self.assertIsNot(uri, twin)
                self.assertEqual(type(uri.object), type(twin.object))

    def test_state(self) -> None:
        uri = URI("PYRO:x@host:5")
        self.assertEqual(("PYRO", "x", None, "host", 5), uri.__getstate__())
        other = URI("PYRONAME:y")
        other.__setstate__(uri.__getstate__())
        self.assertEqual(uri, other)

    def test_serializers(self) -> None:
        for name in serializers.serializers:
            serializer = serializers.get_serializer(name)
            for text in self.uris:
                got = serializer.loads(serializer.dumps({"uris": [URI(text)]}))["uris"][0]
                self.assertEqual((URI, URI(text)), (type(got), got))
                self.assertEqual(type(URI(text).object), type(got.object))

    def test_on_the_wire(self) -> None:
        serpent, other = serializers.get_serializer("serpent"), serializers.get_serializer("json")
        for text, state in (
            ("PYRO:x@host:5", "('PYRO','x',None,'host',5)"),
            ("PYRO:x@./u:s", "('PYRO','x','s',None,None)"),
            ("PYRONAME:n", "('PYRONAME','n',None,None,None)"),
            ("PYROMETA:m@host:5", "('PYROMETA',{'m'},None,'host',5)"),
        ):
            self.assertEqual(
                "# serpent utf-8 python3.2\n{'__class__':'Pyro5.core.URI','state':%s}" % state,
                serpent.dumps(URI(text)).decode(),
            )
        self.assertEqual(
            {"__class__": "Pyro5.core.URI", "state": ["PYROMETA", ["m"], None, None, None]},
            json.loads(other.dumps(URI("PYROMETA:m"))),
        )

    def test_malformed_state(self) -> None:
        serializer = serializers.get_serializer("json")
        for state in (
            ["PYRO", "a b", None, "localhost", 5],
            ["PYRO", "a\u2028b", None, "localhost", 5],
            ["PYRO", "a@b", None, "localhost", 5],
            ["PYRO", "", None, "localhost", 5],
            ["PYRO", "obj", None, "local\nhost", 5],
            ["PYRO", "obj", None, "[::1]", 5],
            ["PYRO", "obj", None, "localhost", 65536],
            ["PYRO", "obj", None, "localhost", -1],
            ["PYRO", "obj", None, "localhost", 10**5000],
            ["PYRO", "obj", "name", "localhost", 5],
            ["PYRO", "obj", "na:me", None, None],
            ["PYRO", "obj", None, None, None],
            ["PYROMETA", ["a b"], None, None, None],
            ["PYROMETA", ["a,b"], None, None, None],
            ["PYROMETA", [], None, None, None],
            [1],
            ["PYRO", "x", None, "host"],
            ["HTTP", "x", None, "host", 5],
            ["PYRO", 5, None, "host", 5],
            ["PYRO", ["x"], None, "host", 5],
            ["PYRO", "x", 5, None, None],
            ["PYRO", "x", None, 5, 5],
            ["PYRO", "x", None, "host", "5"],
            ["PYROMETA", [5], None, None, None],
        ):
            with self.subTest(state), self.assertRaises(ValueError):
                serializer.loads(json.dumps({"__class__": "Pyro5.core.URI", "state": state}).encode())
        self.assertRaises(ValueError, serializer.loads, b'{"__class__": "Pyro5.core.URI"}')
        self.assertRaises(ValueError, serializer.loads, b'{"__class__": "Pyro5.core.URI", "state": null}')
