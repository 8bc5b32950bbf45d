"""Calling objects from the shell: arguments, results, errors."""
from __future__ import annotations

import datetime
import io
import json
import sys
import unittest
from typing import Any, Dict, Iterator
from unittest import mock

from Pyro5 import config
from Pyro5._cli import console
from Pyro5._cli.object_options import json_text, plain, uri_of
from Pyro5._objects.exposure import expose, oneway
from Pyro5._values.uri import URI
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon
from Pyro5.tools import call
from tests._cli.test_progress import Terminal
from tests.rawclient import wait_until
from tests.support import ToolResult, daemon_thread, run_main


class OddError(Exception):
    """One that no client has a class for."""


class Thing:
    noted: Any = None

    @expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]

    @expose
    def same(self, value: Any) -> Any:
        return value

    @expose
    def count(self, last: int, fails: bool = False) -> Iterator[int]:
        yield from range(1, last + 1)
        if fails:
            raise KeyError("no more")

    @expose
    @oneway
    def note(self, text: str) -> None:
        Thing.noted = text

    @expose
    @property
    def size(self) -> int:
        return 42

    @expose
    def fail(self, kind: str) -> None:
        raise {"key": KeyError("no\nkey"), "odd": OddError("odd"), "pipe": BrokenPipeError(32, "pipe"),
               "none": ValueError()}[kind]


class CallTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.SERVERTYPE = "multiplex"
        daemon = Daemon("127.0.0.1")
        self.uri = str(daemon.register(Thing(), "thing"))
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def call(self, *args: Any) -> ToolResult:
        return run_main(call.main, *args)

    def check(self, args: Any, out: str) -> None:
        self.assertEqual(self.call(*args), ToolResult(0, out, ""))

    def check_fails(self, args: Any, err: str) -> None:
        result = self.call(*args)
        self.assertEqual((result.exit_code, result.out), (1, ""))
        self.assertTrue(result.err.startswith(err), result.err)
        self.assertEqual(result.err.count("\n"), 1)


class Arguments(unittest.TestCase):
    def parsed(self, *texts: str) -> Any:
        return call.parse_arguments(texts)

    def test_json_and_other_text(self) -> None:
        self.assertEqual(self.parsed("1", "-2.5", "true", "null", "[1, {}]", '"3"'), ([1, -2.5, True, None, [1, {}], "3"], {}))
        texts = ["three", "", "a b", "NaN", "-x", "}", "0x1"]
        self.assertEqual(self.parsed(*texts), (texts, {}))

    def test_keywords(self) -> None:
        self.assertEqual(self.parsed("a=1", "b_2=x=y", 'c=[2]', "d=", "\xe9=\n", '"e=1"', "2=3", "=4", "f-g=5"),
                         (["e=1", "2=3", "=4", "f-g=5"], {"a": 1, "b_2": "x=y", "c": [2], "d": "", "\xe9": "\n"}))
        with self.assertRaisesRegex(ValueError, "the argument a is there twice"):
            self.parsed("a=1", "a=1")

    def test_broken_json_is_an_error_that_shows_how_to_send_text(self) -> None:
        for text, as_text in (('{"a": 1', """'"{\\"a\\": 1"'"""), ("[draft] hello", """'"[draft] hello"'"""), ('"x', None)):
            with self.assertRaisesRegex(ValueError, "is not valid JSON: ") as caught:
                call.parse_arguments([text])
            if as_text is not None:
                self.assertTrue(str(caught.exception).endswith("as a JSON string: " + as_text), caught.exception)
            with self.assertRaisesRegex(ValueError, "is not valid JSON: "):
                call.parse_arguments(["name=" + text])

    def test_absurd_nesting_is_an_error(self) -> None:
        with self.assertRaisesRegex(ValueError, "is not valid JSON"):
            self.parsed("[" * 100000)


class Results(unittest.TestCase):
    def test_everything_has_a_form(self) -> None:
        proxy = Proxy("PYRO:a@b:1")
        self.assertEqual(plain([(1, None), {3, 1, 2}, b"ab", {(1, 2): {"x": {7}}, 5: "y"}, 1j, proxy, URI("PYRO:c@d:2"),
                                datetime.date(2020, 2, 3), 1.5, float("nan"), float("-inf")]),
                         [[1, None], [1, 2, 3], {"data": "YWI=", "encoding": "base64"}, {"(1, 2)": {"x": [7]}, 5: "y"}, "1j",
                          "PYRO:a@b:1", "PYRO:c@d:2", "2020-02-03", 1.5, "nan", "-inf"])

    def test_text_that_the_output_cannot_show(self) -> None:
        for encoding, text in (("utf-8", "\xe9"), ("ascii", "\\u00e9")):
            with mock.patch.object(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding)):
                self.assertEqual(json_text("\xe9"), '"%s"' % text)
        self.assertEqual(json_text("\ud800"), '"\\ud800"')

    def test_uris_and_names(self) -> None:
        self.assertEqual([str(uri_of(text)) for text in ("pyro:a@b:1", "PYROMETA:t", "some.name", "name@host:3")],
                         ["PYRO:a@b:1", "PYROMETA:t", "PYRONAME:some.name", "PYRONAME:name@host:3"])


class Calls(CallTestCase):
    def test_arguments_and_result(self) -> None:
        self.check((self.uri, "echo", "1", "text", "a=[2]", "-h", "--", "-5"),
                   '[[1, "text", "-h", "--", -5], {"a": [2]}]\n')
        self.check((self.uri, "same", "null"), "null\n")
        self.check(("--indent", self.uri, "same", "[1]"), "[\n  1\n]\n")
        self.check((self.uri, "same", "h\xe4"), '"h\xe4"\n')
        self.check(("--raw", self.uri, "same", "h\xe4"), "h\xe4\n")

    def test_by_name(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        daemon.nameserver.register("a.name", self.uri)
        with daemon_thread(daemon):
            config.NS_HOST, config.NS_PORT = "127.0.0.1", uri.port
            self.check(("a.name", "same", "3"), "3\n")
            self.check_fails(("b.name", "same", "3"), "Error: NamingError - unknown name: b.name")

    def test_attribute(self) -> None:
        self.check((self.uri, "size"), "42\n")
        self.check_fails((self.uri, "size", "3"), "Error: ValueError - 'size' is an attribute: it takes no arguments")

    def test_oneway_prints_nothing(self) -> None:
        self.check((self.uri, "note", "text"), "")
        wait_until(lambda: Thing.noted == "text")

    def test_item_stream(self) -> None:
        self.check((self.uri, "count", "3"), "1\n2\n3\n")
        self.assertEqual(self.call(self.uri, "count", "2", "fails=true"),
                         ToolResult(1, "1\n2\n", "Error: KeyError - 'no more'\n"))

    def test_progress_beside_a_pipe_only(self) -> None:
        for out, shown in ((io.StringIO(), "\r\033[K1 items\r\033[K"), (Terminal(), "")):
            terminal = Terminal()
            with mock.patch.multiple(sys, stderr=terminal, stdout=out):
                self.assertEqual(call.main([self.uri, "count", "3"]), 0)
            self.assertEqual((out.getvalue(), terminal.getvalue()), ("1\n2\n3\n", shown))


class Errors(CallTestCase):
    def test_of_the_method(self) -> None:
        for kind, text in (("key", "KeyError - 'no\\nkey'"), ("pipe", "BrokenPipeError - [Errno 32] pipe"),
                           ("none", "ValueError\n")):
            self.check_fails((self.uri, "fail", kind), "Error: " + text)
        self.check_fails((self.uri, "fail", "odd"), "Error: RemoteError - ")

    def test_verbose_shows_what_happened_in_the_server(self) -> None:
        result = self.call("-v", self.uri, "fail", "key")
        self.assertEqual(result.exit_code, 1)
        self.assertIn(" | KeyError: 'no\\nkey'\n", result.err)
        self.assertTrue(result.err.endswith("\nError: KeyError - 'no\\nkey'\n"))

    def test_of_the_client(self) -> None:
        self.check_fails((self.uri, "nosuch"), "Error: PyroError - %s has no exposed method or attribute 'nosuch'; it has: "
                                               "count, echo, fail, note, same, size\n" % self.uri)
        self.check_fails(("PYRO:x", "y"), "Error: PyroError - invalid uri")
        self.check_fails(("PYRO:nobody@" + self.uri.partition("@")[2], "y"), "Error: CommunicationError - connecting to ")
        self.check_fails((self.uri, "echo", "a=1", "a=2"), "Error: ValueError - the argument a is there twice")

    def test_forgotten_protocol(self) -> None:
        text = self.uri.partition(":")[2]
        result = self.call(text, "size")
        self.assertEqual(result.exit_code, 1)
        self.assertTrue(result.err.endswith("if the object itself is there, write %s\n" % self.uri), result.err)

    def test_of_the_command_line(self) -> None:
        for args in ((), (self.uri,), ("--nosuch", self.uri, "echo"), ("-t", "soon", self.uri, "echo")):
            result = self.call(*args)
            self.assertEqual((result.exit_code, result.out), (2, ""))
            self.assertIn("pyro5 call: error: ", result.err)
        self.assertTrue(self.call(self.uri).err.endswith("error: the following arguments are required: method\n"))

    def test_timeout(self) -> None:
        seen: Dict[str, Any] = {}

        def result_of(proxy: Proxy, *rest: Any) -> None:
            seen["timeout"] = proxy._pyroTimeout

        with mock.patch.object(call, "_result", result_of):
            self.call("-t", "2.5", self.uri, "echo")
        self.assertEqual(seen["timeout"], 2.5)

    def test_closed_output(self) -> None:
        with mock.patch.object(console, "say", side_effect=BrokenPipeError), mock.patch("os.dup2") as dup2, \
                mock.patch("os.open"), mock.patch.object(sys, "stdout", mock.Mock(encoding="utf-8", fileno=lambda: 1)):
            self.assertEqual(call.main([self.uri, "count", "1000"]), 1)
        dup2.assert_called_once()


class JsonIsValid(CallTestCase):
    def test_read_back(self) -> None:
        result = self.call(self.uri, "same", '{"a": [1, 2.5, "\\u2028", null, true]}')
        self.assertEqual(json.loads(result.out), {"a": [1, 2.5, "\u2028", None, True]})


if __name__ == "__main__":
    unittest.main()
