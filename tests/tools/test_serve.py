"""The tool that publishes a class or an object of a module."""
from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import types
import unittest
from typing import Any
from unittest import mock

from Pyro5 import config, nameserver
from Pyro5._objects.exposure import instancing_of
from Pyro5._objects.members import exposed_members
from Pyro5.client import Proxy
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon
from Pyro5.tools import serve
from Pyro5.utils import echoserver
from tests.support import ToolProcess, ToolResult, daemon_thread, run_main

TOOL = "Pyro5.tools.serve"

MODULE = '''
import collections
from Pyro5.api import behavior, expose

class Counter:
    """Counts."""
    def __init__(self):
        self.number = 0

    @expose
    def up(self):
        self.number += 1
        return self.number

class Foreign:
    def greet(self, name):
        return "hello " + name

class Nested:
    class Inner(Counter):
        pass

class Needy:
    def __init__(self, argument):
        pass
    greet = Foreign.greet

@behavior(instance_creator=lambda clazz: clazz(3))
class Made(Needy):
    @expose
    def own(self):
        pass

class Empty:
    pass

class Slots:
    __slots__ = ()
    @expose
    def up(self):
        pass

counter, foreign, needy, slots = Counter(), Foreign(), Needy(3), Slots()
queue = collections.deque()

def function():
    pass
'''


class ServeTestCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        with open(os.path.join(self.folder, "toolshop.py"), "w", encoding="utf-8") as file:
            file.write(MODULE)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.addCleanup(sys.modules.pop, "toolshop", None)
        self.addCleanup(sys.path.__setitem__, slice(None), sys.path[:])
        self.addCleanup(config.__dict__.update, config.as_dict())
        no_bytecode = mock.patch.object(sys, "dont_write_bytecode", True)
        no_bytecode.start()
        self.addCleanup(no_bytecode.stop)


class Loading(ServeTestCase):
    def test_objects_of_modules(self) -> None:
        counter = serve.load("toolshop:Counter")
        self.assertEqual((counter.__module__, counter.__name__), ("toolshop", "Counter"))
        self.assertIsInstance(serve.load("toolshop:counter"), counter)
        self.assertTrue(issubclass(serve.load("toolshop:Nested.Inner"), counter))
        self.assertIs(serve.load("os.path:join"), os.path.join)

    def test_files(self) -> None:
        os.chdir(os.path.dirname(self.folder))
        path = os.path.join(os.path.basename(self.folder), "toolshop.py")
        self.assertEqual(serve.load(path + ":Counter").__name__, "Counter")

    def test_what_is_not_there(self) -> None:
        for target, text in (("toolshop", "'toolshop' does not say what to publish: it takes module:Class or module:object"),
                             (":x", "':x' does not say what to publish"), ("toolshop:", "'toolshop:' does not say"),
                             ("nosuch:Class", "there is no module nosuch, neither here nor"),
                             ("toolshop.nosuch:Class", "there is no module toolshop.nosuch, "),
                             ("toolshop:Klass", "there is no 'Klass' in toolshop"),
                             ("toolshop:Counter.Inner", "there is no 'Inner' in toolshop")):
            with self.assertRaises(ValueError) as caught:
                serve.load(target)
            self.assertTrue(str(caught.exception).startswith(text), caught.exception)

    def test_files_that_are_not_there(self) -> None:
        with self.assertRaisesRegex(ValueError, r"^there is no file nowhere/toolshop\.py$"):
            serve.load("nowhere/toolshop.py:Counter")

    def test_a_defect_of_the_module_shows_where_it_is(self) -> None:
        for name, source, error in (
                ("lacking", "import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
                ("unfit", "int('three')\n", "ValueError: invalid literal for int() with base 10: 'three'"),
                ("unreadable", "def (:\n", "SyntaxError: ")):
            with open(os.path.join(self.folder, name + ".py"), "w", encoding="utf-8") as file:
                file.write(source)
            importlib.invalidate_caches()
            result = run_main(serve.main, name + ":Class")
            self.assertEqual((result.exit_code, result.out), (1, ""))
            lines = result.err.splitlines()
            self.assertIn("%s.py\", line 1" % name, "".join(lines[:2]), result.err)
            self.assertTrue(lines[-2].startswith(error), result.err)
            self.assertTrue(lines[-1].startswith("Error: importing %s failed: %s" % (name, error)), result.err)
            self.assertNotIn("importlib", result.err)
            self.assertNotIn("Pyro5", result.err)


class Preparing(ServeTestCase):
    def prepare(self, name: str, expose_all: bool = False, instance_mode: Any = None) -> Any:
        published = serve.load("toolshop:" + name)
        serve.prepare(published, "toolshop:" + name, expose_all, instance_mode)
        return published

    def check_refused(self, text: str, *args: Any) -> None:
        with self.assertRaises(ValueError) as caught:
            self.prepare(*args)
        self.assertTrue(str(caught.exception).startswith(text), caught.exception)

    def test_what_is_exposed_already(self) -> None:
        self.assertEqual(exposed_members(self.prepare("Counter")).methods, {"up"})
        self.prepare("counter")
        self.prepare("Made")

    def test_exposing_all_methods(self) -> None:
        self.check_refused("toolshop:Foreign exposes nothing: mark what clients may use with @Pyro5.api.expose, or use the "
                           "option --expose for all public methods of Foreign", "Foreign")
        self.check_refused("toolshop:foreign exposes nothing", "foreign")
        self.assertEqual(exposed_members(self.prepare("foreign", True)).methods, {"greet"})
        self.prepare("needy", True)

    def test_what_cannot_be_exposed(self) -> None:
        self.check_refused("deque cannot be exposed, because it is not written in Python", "queue", True)
        self.check_refused("toolshop:Empty has nothing to expose: its class Empty defines no public", "Empty", True)
        self.check_refused("toolshop:function is a function; what can be published are classes", "function", True)

    def test_a_constructor_that_wants_arguments(self) -> None:
        self.check_refused("instances of toolshop:Needy cannot be made without arguments (missing a required argument: "
                           "'argument')", "Needy", True)

    def test_instance_mode(self) -> None:
        self.assertEqual(instancing_of(self.prepare("Counter", False, "single"))[0], "single")
        self.check_refused("toolshop:counter is an object: only the instances of a class", "counter", False, "single")


class Tool(ServeTestCase):
    """The tool as a process. Those of one test start at the same time: starting is what takes long."""

    def start(self, *args: Any, **env: str) -> ToolProcess:
        process = ToolProcess(TOOL, *args, cwd=self.folder, env=env)
        self.addCleanup(process.__exit__)
        return process

    def test_serves_until_it_is_stopped(self) -> None:
        ns_uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(ns_daemon):
            ns_settings = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": str(ns_uri.port)}
            plain = self.start("toolshop:Counter", "-H", "127.0.0.1", "-m", "single")
            named = self.start("toolshop:foreign", "-H", "127.0.0.1", "--expose", "--ns", "--nathost", "localhost",
                               *(["--processes", "2"] if hasattr(os, "fork") else []), **ns_settings)
            uri = plain.read_until("Serving toolshop:Counter; Ctrl-C stops it.")[0].partition("URI = ")[2]
            self.assertRegex(uri, r"^PYRO:obj_\w+@127\.0\.0\.1:\d+$")
            for number in (1, 2):
                with Proxy(uri) as counter:
                    self.assertEqual(counter.up(), number)
            lines = named.read_until("Serving ")
            self.assertRegex(lines[0], r"^URI = PYRO:toolshop\.foreign@localhost:\d+$")
            self.assertEqual(lines[1], "Registered as toolshop.foreign in the name server %s" % ns_uri)
            registered = ns_daemon.nameserver.lookup("toolshop.foreign")
            self.assertEqual("URI = %s" % registered, lines[0])
            with Proxy(registered) as foreign:
                self.assertEqual(foreign.greet("you"), "hello you")
            self.assertEqual(plain.stop(signal.SIGINT), ToolResult(0, "", ""))
            self.assertEqual(named.stop(signal.SIGTERM), ToolResult(0, "", ""))
            self.assertNotIn("toolshop.foreign", ns_daemon.nameserver.list())

    def test_a_name_that_was_left_over_is_replaced(self) -> None:
        ns_uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        ns_daemon.nameserver.register("name", "PYRO:killed@127.0.0.1:1", ttl=30)
        with daemon_thread(ns_daemon), Daemon("127.0.0.1", 0) as daemon:
            config.NS_HOST, config.NS_PORT = "127.0.0.1", ns_uri.port
            counter = serve.load("toolshop:Counter")
            daemon.register(counter)
            self.assertEqual(serve._register(daemon, "name", counter), ns_uri)
            self.assertEqual(daemon.uriFor(counter), ns_daemon.nameserver.lookup("name"))
            self.assertEqual(30, ns_daemon.nameserver.details("name")["lease"]["ttl"])
            serve._register(daemon, "shared", counter, is_member=True)
            self.assertIsNotNone(ns_daemon.nameserver.details("shared")["members"])
            daemon.close()
            self.assertEqual(ns_daemon.nameserver.count(), 1)

    def test_errors_are_one_line(self) -> None:
        config.NS_HOST, config.NS_PORT, config.BROADCAST_ADDRS = "127.0.0.1", 1, ["127.0.0.1"]
        for args, text in ((["toolshop:Empty"], "toolshop:Empty exposes nothing"),
                           (["toolshop:slots"], "cannot register <toolshop.Slots object"),
                           (["toolshop:Counter", "-n", "a b"], "invalid uri"),
                           (["toolshop:Counter", "--ns"], "failed to locate the name server")):
            result = run_main(serve.main, "-H", "127.0.0.1", *args)
            self.assertEqual(result.exit_code, 1)
            self.assertTrue(result.err.startswith("Error: " + text), result.err)
            self.assertEqual(result.err.count("\n"), 1)
        self.assertEqual(run_main(serve.main, "x:y", "-m", "nosuch").exit_code, 2)

    def test_ports_are_checked_before_anything_starts(self) -> None:
        for main, args in ((serve.main, ["x:y"]), (echoserver.main, []), (nameserver.main, [])):
            for port in ("abc", "99999999", "65536", "-5", "\u0661", ""):
                result = run_main(main, "--port=" + port, *args)
                self.assertEqual((2, ""), (result.exit_code, result.out))
                self.assertIn(": a port is a number from 0 to 65535, not %s\n" % port, result.err)

    def test_modules_are_no_objects(self) -> None:
        with self.assertRaisesRegex(ValueError, "^m:o is a module; what can be published are classes and objects$"):
            serve.prepare(types, "m:o", True, None)


if __name__ == "__main__":
    unittest.main()
