"""The name server control tool: every command in this process, and the command line as a real process."""
from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import tempfile
import unittest
from typing import Any, List, Tuple
from unittest import mock

from Pyro5 import config, nsc
from Pyro5._client import discovery
from Pyro5._objects.exposure import expose
from Pyro5.nameserver import start_ns
from tests.support import ToolResult, daemon_thread, run_tool

TOOL = "Pyro5.nsc"
ONE, TWO = "PYRO:one@127.0.0.1:5000", "PYRO:two@127.0.0.1:5001"


def port_that_nobody_listens_on() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Thing:
    """An object that can be reached."""

    @expose
    def name(self) -> str:
        return "thing"


class NscTestCase(unittest.TestCase):
    """A test has a running name server with two registrations."""

    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        uri, self.daemon, _ = start_ns("127.0.0.1", 0)
        self.uri = str(uri)
        self.ns = self.daemon.nameserver
        self.ns.register("test.one", ONE)
        self.ns.register("test.two", TWO, metadata=["m1"])
        running = daemon_thread(self.daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        self.location = ("-n", "127.0.0.1", "-p", self.uri.rpartition(":")[2])

    def nsc(self, *args: str, stdin: str = "") -> ToolResult:
        """Run the tool in this process."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err, \
                mock.patch("sys.stdin", io.StringIO(stdin)):
            try:
                exit_code = nsc.main([*self.location, *args])
            except SystemExit as x:
                exit_code = int(x.code or 0)
        return ToolResult(exit_code, out.getvalue(), err.getvalue())

    def check(self, args: Tuple[str, ...], out: str, stdin: str = "") -> None:
        self.assertEqual(self.nsc(*args, stdin=stdin), ToolResult(0, out, ""))

    def check_fails(self, args: Tuple[str, ...], err: str, exit_code: int = 1) -> None:
        """Expect one line on standard error that begins with the text."""
        result = self.nsc(*args)
        self.assertEqual((result.exit_code, result.out), (exit_code, ""), result.err)
        self.assertRegex(result.err, r"\A%s.*\n\Z" % re.escape(err))


class CommandTests(NscTestCase):
    def own_lines(self) -> str:
        return "Pyro.NameServer --> %s\n    metadata: {'class:Pyro5.nameserver.NameServer'}\n" % self.uri

    def test_ping(self) -> None:
        self.check(("ping",), "Name server ping ok.\n")

    def test_list(self) -> None:
        listed = "test.one --> %s\ntest.two --> %s\n    metadata: {'m1'}\n" % (ONE, TWO)
        self.check(("list",), "--------START LIST \n%s%s--------END LIST \n" % (self.own_lines(), listed))
        with_prefix = "--------START LIST - prefix 'test.'\n%s--------END LIST - prefix 'test.'\n" % listed
        self.check(("list", "test."), with_prefix)
        self.check(("list", "none"), "--------START LIST - prefix 'none'\n--------END LIST - prefix 'none'\n")

    def test_listmatching(self) -> None:
        self.check(("listmatching", ".*two"), "--------START LIST - regex '.*two'\ntest.two --> %s\n"
                                              "    metadata: {'m1'}\n--------END LIST - regex '.*two'\n" % TWO)
        self.check_fails(("listmatching", "("), "Error: NamingError - invalid regex: missing ), unterminated subpattern")

    def test_lookup(self) -> None:
        self.check(("lookup", "test.one"), ONE + "\n")
        self.check(("lookup", "test.two"), TWO + "\nmetadata: {'m1'}\n")
        self.check_fails(("lookup", "nosuch"), "Error: NamingError - unknown name: nosuch")

    def test_register(self) -> None:
        self.check(("register", "new", ONE), "Registered new\n")
        self.assertEqual(str(self.ns.lookup("new")), ONE)
        self.check_fails(("register", "new", TWO), "Error: NamingError - name already registered: new")
        self.check_fails(("register", "bad", "nonsense"), "Error: PyroError - invalid uri")
        self.check_fails(("register", "a\nb", ONE), "Error: ValueError - name must have no control characters")
        self.check_fails(("register", "Pyro.NameServer", ONE), "Error: NamingError - the name server's own registration")

    def test_setmeta(self) -> None:
        self.check(("setmeta", "test.one", "b", "a"), "Metadata updated\n")
        self.check(("lookup", "test.one"), ONE + "\nmetadata: {'a', 'b'}\n")
        self.check(("setmeta", "test.one"), "Metadata cleared\n")
        self.check(("lookup", "test.one"), ONE + "\n")
        self.check_fails(("setmeta", "nosuch", "m"), "Error: NamingError - unknown name: nosuch")

    def test_yplookup(self) -> None:
        frame = "--------START LIST  - searched by metadata\n%s--------END LIST  - searched by metadata\n"
        two = "test.two --> %s\n    metadata: {'m1'}\n" % TWO
        self.check(("yplookup_all", "m1"), frame % two)
        self.check(("yplookup_all", "m1", "zz"), frame % "")
        self.check(("yplookup_any", "m1", "zz"), frame % two)
        self.check(("yplookup_all", "nope"), frame % "")

    def test_remove(self) -> None:
        self.check(("remove", "test.one"), "Removed test.one\n")
        self.check(("remove", "test.one"), "Nothing removed\n")
        self.check(("remove", "Pyro.NameServer"), "Nothing removed\n")

    def test_removematching(self) -> None:
        question = "Potentially removing lots of items from the Name server. Are you sure (y/n)?"
        self.check(("removematching", ".*"), question, stdin="n\n")
        self.check(("removematching", ".*"), question, stdin="\n")
        self.assertEqual(self.ns.count(), 3)
        self.check(("removematching", "test.*"), question + "2 items removed.\n", stdin="y\n")
        self.assertEqual(self.nsc("removematching", ".*"),
                         ToolResult(1, question, "Error: EOFError - no answer to the question; nothing was removed\n"))
        self.assertEqual(self.ns.count(), 1)

    def test_write_token(self) -> None:
        token = "a-token-that-nobody-can-guess"
        _, protected, _ = start_ns("127.0.0.1", 0, write_token=token)
        config.NS_HOST = "127.0.0.1"
        self.location = ("-p", str(protected.sock.getsockname()[1]), "-n", "127.0.0.1")
        with daemon_thread(protected), tempfile.TemporaryDirectory() as directory:
            files = [os.path.join(directory, name) for name in ("token", "wrong", "short")]
            for path, text in zip(files, (token, "x" + token, "short")):
                with open(path, "w") as file:
                    file.write(text + "\n")
            self.check_fails(("register", "new", ONE), "Error: NamingError - this name server lets only those clients change")
            self.check_fails(("--write-token-file", files[1], "register", "new", ONE), "Error: NamingError - this name server")
            self.check_fails(("--write-token-file", files[2], "ping"),
                             "Error: ValueError - %s does not contain a write token: a write token must have 16 " % files[2])
            self.check(("--write-token-file", files[1], "ping"), "Name server ping ok.\n")
            self.location = self.location[:2]  # no search: a port belongs to the name server, wherever NS_HOST is
            with mock.patch.object(discovery, "ask_by_broadcast", side_effect=AssertionError("a broadcast")):
                self.check(("--write-token-file", files[0], "register", "new", ONE), "Registered new\n")
        self.assertEqual(str(protected.nameserver.lookup("new")), ONE)

    def test_wrong_number_of_arguments(self) -> None:
        for args, complaint in (
                (("register", "x"), "requires two arguments: name uri"),
                (("register", "x", ONE, "y"), "requires two arguments: name uri"),
                (("setmeta",), "requires arguments: name and zero or more meta tags"),
                (("lookup",), "requires one argument: name"),
                (("lookup", "a", "b"), "requires one argument: name"),
                (("remove",), "requires one argument: name"),
                (("listmatching",), "requires one argument: pattern"),
                (("removematching",), "requires one argument: pattern"),
                (("yplookup_all",), "requires at least one metadata tag argument"),
                (("list", "a", "b"), "takes one argument at most: prefix"),
                (("yplookup_any",), "requires at least one metadata tag argument")):
            result = self.nsc(*args)
            self.assertEqual((result.exit_code, result.out), (1, ""))
            self.assertIn("%s %s (usage: pyro5-nsc [options] %s " % (args[0], complaint, args[0]), result.err)

    def test_ping_takes_no_arguments(self) -> None:
        self.assertEqual(self.nsc("ping", "x"),
                         ToolResult(1, "", "ping takes no arguments (usage: pyro5-nsc [options] ping)\n"))


class JsonTests(NscTestCase):
    ONE_JSON, TWO_JSON = {"uri": ONE, "metadata": []}, {"uri": TWO, "metadata": ["m1"]}

    def check_json(self, args: Tuple[str, ...], expected: Any) -> None:
        result = self.nsc("--json", *args)
        self.assertEqual((result.exit_code, result.err), (0, ""))
        self.assertEqual(json.loads(result.out), expected)
        self.assertTrue(result.out.endswith("}\n"))

    def test_every_command_that_lists(self) -> None:
        own = {"uri": self.uri, "metadata": ["class:Pyro5.nameserver.NameServer"]}
        self.check_json(("list",), {"Pyro.NameServer": own, "test.one": self.ONE_JSON, "test.two": self.TWO_JSON})
        self.check_json(("list", "test."), {"test.one": self.ONE_JSON, "test.two": self.TWO_JSON})
        self.check_json(("list", "none"), {})
        self.check_json(("listmatching", "(test).o"), {"test.one": self.ONE_JSON})
        self.check_json(("yplookup_all", "m1"), {"test.two": self.TWO_JSON})
        self.check_json(("yplookup_any", "m1", "zz"), {"test.two": self.TWO_JSON})
        self.check_json(("lookup", "test.two"), self.TWO_JSON)
        self.check_json(("lookup", "test.one"), self.ONE_JSON)

    def test_names_are_sorted_and_ascii(self) -> None:
        self.ns.register("b", ONE)
        self.ns.register("a\xe9", ONE, metadata=["y", "x"])
        self.assertEqual(self.nsc("list", "--json").out.split('"')[1::2],
                         ["Pyro.NameServer", "uri", self.uri, "metadata", "class:Pyro5.nameserver.NameServer",
                          "a\\u00e9", "uri", ONE, "metadata", "x", "y", "b", "uri", ONE, "metadata",
                          "test.one", "uri", ONE, "metadata", "test.two", "uri", TWO, "metadata", "m1"])

    def test_errors_are_as_without(self) -> None:
        self.check_fails(("--json", "lookup", "nosuch"), "Error: NamingError - unknown name: nosuch")

    def test_other_commands(self) -> None:
        self.check_json(("ping",), {"ping": "ok"})
        self.check_json(("register", "x", ONE), {"registered": "x"})
        self.check_json(("setmeta", "x", "b", "a"), {"name": "x", "metadata": ["a", "b"]})
        self.check_json(("remove", "x"), {"removed": 1})
        self.check_json(("remove", "x"), {"removed": 0})
        for answer, count in (("n", 0), ("y", 2)):
            result = self.nsc("--json", "removematching", "test", stdin=answer + "\n")
            self.assertEqual({"removed": count}, json.loads(result.out))

    def test_leases_and_members(self) -> None:
        self.ns.register("leased", ONE, ttl=30)
        self.ns.register("shared", ONE, ttl=30, member=True)
        self.ns.register("shared", TWO, member=True)
        found = json.loads(self.nsc("--json", "list").out)
        self.assertEqual(30, found["leased"]["lease"]["ttl"])
        self.assertEqual({ONE, TWO}, set(found["shared"]["members"]))
        self.assertEqual({"uri", "metadata"}, set(found["test.one"]))
        self.assertEqual(30, json.loads(self.nsc("--json", "lookup", "leased").out)["lease"]["ttl"])
        listed = self.nsc("list").out
        self.assertRegex(listed, r"leased --> %s\n    lease: 30 s, (30.0|29.\d) s left\n" % ONE)
        self.assertRegex(listed, r"    member: %s, lease: 30 s, .*\n    member: %s\n" % (ONE, TWO))


class AliveTests(NscTestCase):
    def setUp(self) -> None:
        super().setUp()
        closed = port_that_nobody_listens_on()
        self.own = str(self.daemon.register(Thing(), "thing"))
        self.ns.remove(prefix="test.")
        self.ns.register("good", self.own)
        self.ns.register("gone", self.own.replace("thing", "other"))
        self.ns.register("dead", "PYRO:thing@127.0.0.1:%d" % closed)
        self.ns.register("alias", "PYRONAME:good")
        self.ns.register("half", "PYRO:thing@127.0.0.1:%d" % closed, member=True)
        self.ns.register("half", self.own, member=True)

    def test_list(self) -> None:
        self.assertEqual(["Pyro.NameServer", "alias", "good", "half"],
                         sorted(json.loads(self.nsc("--json", "--alive", "list").out)))
        self.assertEqual("--------START LIST - prefix 'g'\ngood --> %s\n--------END LIST - prefix 'g'\n" % self.own,
                         self.nsc("list", "g", "--alive").out)
        self.check_fails(("--alive", "ping"), "--alive is for the commands that list something: list, listmatching, ")

    def test_health(self) -> None:
        result = self.nsc("--json", "health")
        found = json.loads(result.out)
        self.assertEqual({"Pyro.NameServer": None, "alias": None, "good": True, "gone": False, "dead": False, "half": True},
                         {name: state["alive"] for name, state in found.items()})
        self.assertEqual("its server has no such object", found["gone"]["problem"])
        self.assertEqual((1, "Error: NamingError - 2 of 6 names cannot be reached\n"), (result.exit_code, result.err))
        result = self.nsc("health", "g")
        self.assertEqual("gone --> %s: its server has no such object\ngood --> %s: alive\n" % (
            self.own.replace("thing", "other"), self.own), "".join(sorted(result.out.splitlines(True))))
        self.check(("health", "good"), "good --> %s: alive\n" % self.own)

    def test_health_of_members(self) -> None:
        lines = self.nsc("health", "half").out.splitlines()
        self.assertEqual("half --> 1 of 2 members: alive", lines[0])
        self.assertRegex("\n".join(lines[1:]), r"    member: PYRO:thing@127.0.0.1:\d+: (alive|not reachable \(.*\))\n"
                                               r"    member: PYRO:thing@127.0.0.1:\d+: (?!\1)(alive|not reachable \(.*\))$")
        half = json.loads(self.nsc("--json", "health", "half").out)["half"]
        self.assertEqual((True, None), (half["alive"], half["problem"]))
        self.assertEqual({"alive": True, "problem": None}, half["members"].pop(self.own))
        self.assertEqual([False], [member["alive"] for member in half["members"].values()])


class WatchTests(NscTestCase):
    def watch(self, *options: str) -> List[str]:
        """Watch until a name is removed, after which the name server stops."""
        lines: List[str] = []

        def say(*texts: str) -> None:
            lines.extend(texts)
            if "ready" in texts[0]:
                self.ns.register("test.three", ONE, metadata=["m1"])
                self.ns.remove("test.three")
            elif "removed" in texts[0]:
                self.ns.end_watches()

        with mock.patch.object(nsc.console, "say", say):
            self.check_fails(("watch", "test.", *options), "Error: ConnectionClosedError - the name server is shutting down")
        return lines

    def test_lines(self) -> None:
        three = "test.three --> %s    {'m1'}" % ONE
        self.assertEqual(["current test.one --> " + ONE, "current test.two --> %s    {'m1'}" % TWO, "ready",
                          "added " + three, "removed " + three], self.watch())

    def test_json(self) -> None:
        events = [json.loads(line) for line in self.watch("--json")]
        self.assertEqual(["current", "current", "ready", "added", "removed"], [event["kind"] for event in events])
        self.assertEqual(("test.three", ONE, ["m1"]), (events[3]["name"], events[3]["uri"], events[3]["metadata"]))


class OptionTests(NscTestCase):
    def test_unknown_options_are_arguments_of_the_command(self) -> None:
        self.check_fails(("--frob", "ping"), "ping takes no arguments")
        self.ns.register("-strange", ONE)
        self.check(("lookup", "-strange"), ONE + "\n")

    def test_options_behind_the_command(self) -> None:
        location, self.location = self.location, ()  # type: ignore[assignment]
        self.check(("ping", *location), "Name server ping ok.\n")
        self.check(("lookup", *location, "test.one"), ONE + "\n")

    def test_verbose(self) -> None:
        self.check(("-v", "ping"), "Locating name server...\nName server found: %s\nName server ping ok.\nDone.\n" % self.uri)

    def test_verbose_shows_the_traceback(self) -> None:
        result = self.nsc("-v", "lookup", "nosuch")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Traceback (most recent call last):", result.err)
        self.assertIn("emote traceback", result.err)
        self.assertTrue(result.err.endswith("\nError: NamingError - unknown name: nosuch\n"))

    def test_parser_errors(self) -> None:
        for args, text in ((("frobnicate",), "argument command: invalid choice: 'frobnicate'"),
                           ((), "the following arguments are required: command\n")):
            result = self.nsc(*args)
            self.assertEqual((result.exit_code, result.out), (2, ""))
            self.assertIn("pyro5-nsc: error: " + text, result.err)

    def test_no_name_server(self) -> None:
        port = str(port_that_nobody_listens_on())
        self.location = ("-n", "127.0.0.1", "-p", port)
        self.check_fails(("list",), "Error: NamingError - ")
        self.assertIn("127.0.0.1:" + port, self.nsc("list").err)
        result = self.nsc("-v", "list")
        self.assertEqual((result.exit_code, result.out), (1, "Locating name server...\n"))

    def test_found_by_the_settings(self) -> None:
        self.location = ()  # type: ignore[assignment]
        config.NS_HOST = "127.0.0.1"
        config.NS_PORT = self.daemon.sock.getsockname()[1]
        self.check(("ping",), "Name server ping ok.\n")

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_unix_socket(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "ns")
            _, daemon, _ = start_ns(unixsocket=path)
            with daemon_thread(daemon):
                self.location = ("-u", path)  # type: ignore[assignment]
                self.check(("ping",), "Name server ping ok.\n")

    def test_a_storage_without_metadata(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            uri, daemon, _ = start_ns("127.0.0.1", 0, storage="dbm:" + os.path.join(directory, "names"))
            with daemon_thread(daemon):
                self.location = ("-n", "127.0.0.1", "-p", str(uri.port))  # type: ignore[assignment]
                self.check(("register", "name", ONE), "Registered name\n")
                listed = "--------START LIST - %s\nname --> " + ONE + "\n--------END LIST - %s\n"
                self.check(("list", "na"), listed % (("prefix 'na'",) * 2))
                self.check(("listmatching", "n.m"), listed % (("regex 'n.m'",) * 2))
                self.check(("lookup", "name"), ONE + "\n")
                self.check_fails(("lookup", "nosuch"), "Error: NamingError - unknown name: nosuch")
                self.assertEqual(json.loads(self.nsc("--json", "list", "na").out), {"name": {"uri": ONE, "metadata": []}})
                for args in (("yplookup_all", "m"), ("setmeta", "name", "m")):
                    self.check_fails(args, "Error: NamingError - the name server's storage dbm: has no metadata; use sql:")

    def test_json_serializer(self) -> None:
        config.SERIALIZER = "json"
        self.check(("lookup", "test.two"), TWO + "\nmetadata: {'m1'}\n")
        self.check(("lookup", "test.one"), ONE + "\n")


class ProcessTests(NscTestCase):
    def run_process(self, *args: str, **kwargs: Any) -> ToolResult:
        return run_tool(TOOL, *self.location, *args, **kwargs)

    def test_works(self) -> None:
        self.assertEqual(self.run_process("lookup", "test.two"), ToolResult(0, TWO + "\nmetadata: {'m1'}\n", ""))

    def test_fails(self) -> None:
        self.assertEqual(self.run_process("lookup", "nosuch"),
                         ToolResult(1, "", "Error: NamingError - unknown name: nosuch\n"))

    def test_question_and_answer(self) -> None:
        result = self.run_process("removematching", "test", stdin="y\n")
        self.assertEqual((result.exit_code, result.err), (0, ""))
        self.assertTrue(result.out.endswith("(y/n)?2 items removed.\n"))


if __name__ == "__main__":
    unittest.main()
