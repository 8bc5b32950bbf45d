"""Programs as users' documentation prints them, run as real processes: what is written there must work like that."""
from __future__ import annotations

import contextlib
import os
import re
import tempfile
import textwrap
import unittest
from typing import Dict, List

from tests.support import ToolProcess, run_tool

GREETING_SERVER = '''
    import Pyro5.api

    @Pyro5.api.expose
    class GreetingMaker(object):
        def get_fortune(self, name):
            return "Hello, {0}. Here is your fortune message:\\n" \\
                   "Behold the warranty -- the bold print giveth and the fine print taketh away.".format(name)

    daemon = Pyro5.api.Daemon()
    uri = daemon.register(GreetingMaker)

    print("Ready. Object uri =", uri)
    daemon.requestLoop()
'''

GREETING_CLIENT = '''
    import Pyro5.api

    uri = input("What is the Pyro uri of the greeting object? ").strip()
    name = input("What is your name? ").strip()

    greeting_maker = Pyro5.api.Proxy(uri)
    print(greeting_maker.get_fortune(name))
'''

GREETING_SERVER_WITH_NAME_SERVER = '''
    import Pyro5.api

    @Pyro5.api.expose
    class GreetingMaker(object):
        def get_fortune(self, name):
            return "Hello, {0}. Here is your fortune message:\\n" \\
                   "Tomorrow's lucky number is 12345678.".format(name)

    daemon = Pyro5.server.Daemon()
    ns = Pyro5.api.locate_ns()
    uri = daemon.register(GreetingMaker)
    ns.register("example.greeting", uri)

    print("Ready.")
    daemon.requestLoop()
'''

GREETING_CLIENT_WITH_NAME_SERVER = '''
    import Pyro5.api

    name = input("What is your name? ").strip()

    greeting_maker = Pyro5.api.Proxy("PYRONAME:example.greeting")
    print(greeting_maker.get_fortune(name))
'''

THING = '''
    import Pyro5.server
    import Pyro5.core

    @Pyro5.server.expose
    class Thing(object):
        def method(self, arg):
            return arg*2
'''

THING_CLIENT = '''
    import Pyro5.client
    uri = input()
    thing = Pyro5.client.Proxy(uri)
    print(thing.method(42))
'''


class ManualTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.at_end = contextlib.ExitStack()
        self.addCleanup(self.at_end.close)
        self.directory = self.at_end.enter_context(tempfile.TemporaryDirectory())
        self.environment: Dict[str, str] = {"PYTHONUNBUFFERED": "1"}

    def write(self, name: str, *parts: str) -> str:
        with open(os.path.join(self.directory, name + ".py"), "w") as file:
            file.write("\n".join(map(textwrap.dedent, parts)))
        return name

    def start(self, ready: str, *parts: str, name: str = "server") -> List[str]:
        """Start a server program; give the lines that it prints up to the one that begins so."""
        module = self.write(name, *parts)
        process = self.at_end.enter_context(ToolProcess(module, env=self.environment, cwd=self.directory))
        return process.read_until(ready)

    def output_of(self, *parts: str, stdin: str = "", name: str = "client", fresh: bool = False) -> str:
        """Run a client program to its end, and give what it prints; it must not complain."""
        result = run_tool(self.write(name, *parts), stdin=stdin, env=self.environment, cwd=self.directory, fresh=fresh)
        self.assertEqual((result.exit_code, result.err), (0, ""))
        return result.out

    def start_name_server(self) -> None:
        """Start one on a free port, where the other programs will look for it."""
        process = self.at_end.enter_context(ToolProcess("Pyro5.nameserver", "-p", "0"))
        location = process.read_until("NS running on ")[-1].split()[3]
        self.assertRegex(process.readline(), r"^URI = PYRO:Pyro\.NameServer@%s\n$" % re.escape(location))
        self.environment["PYRO_NS_PORT"] = location.split(":")[1]


class GreetingTests(ManualTestCase):
    def test_simple_example(self) -> None:
        ready = self.start("Ready.", GREETING_SERVER, name="greeting-server")[-1]
        self.assertRegex(ready, r"^Ready\. Object uri = PYRO:obj_[0-9a-f]{32}@localhost:\d+$")
        out = self.output_of(GREETING_CLIENT, stdin="%s\n Irmen \n" % ready.split("= ")[1], name="greeting-client")
        self.assertEqual(out, "What is the Pyro uri of the greeting object? What is your name? "
                              "Hello, Irmen. Here is your fortune message:\n"
                              "Behold the warranty -- the bold print giveth and the fine print taketh away.\n")

    def test_with_a_name_server(self) -> None:
        self.start_name_server()
        self.assertEqual(self.start("Ready.", GREETING_SERVER_WITH_NAME_SERVER, name="greeting-server"), ["Ready."])
        out = self.output_of(GREETING_CLIENT_WITH_NAME_SERVER, stdin="Irmen\n", name="greeting-client")
        self.assertEqual(out, "What is your name? Hello, Irmen. Here is your fortune message:\n"
                              "Tomorrow's lucky number is 12345678.\n")
        listed = run_tool("Pyro5.nsc", "list", env=self.environment)
        self.assertEqual((listed.exit_code, listed.err), (0, ""))
        lines = [line.rstrip() for line in listed.out.splitlines()]
        self.assertEqual(lines[:3] + lines[4:], [
            "--------START LIST",
            "Pyro.NameServer --> PYRO:Pyro.NameServer@localhost:" + self.environment["PYRO_NS_PORT"],
            "    metadata: {'class:Pyro5.nameserver.NameServer'}",
            "--------END LIST"])
        self.assertRegex(lines[3], r"^example\.greeting --> PYRO:obj_[0-9a-f]{32}@localhost:\d+$")


class ServerTests(ManualTestCase):
    """The server chapter: its intermissions, and the other complete programs."""

    def uri_in(self, lines: List[str]) -> str:
        (uri,) = [word for line in lines for word in re.findall(r"PYRO:\S+", line)]
        return str(uri)

    def call(self, uri: str) -> str:
        return self.output_of(THING_CLIENT, stdin=uri)

    def test_daemon_without_name_server(self) -> None:
        printed = self.start("uri=", THING, '''
            daemon = Pyro5.server.Daemon()
            uri = daemon.register(Thing)
            print("uri=",uri)
            daemon.requestLoop()
        ''')
        self.assertEqual(self.call(self.uri_in(printed)), "84\n")

    def test_serve_without_name_server(self) -> None:
        printed = self.start("Pyro daemon running", THING, '''
            Pyro5.server.serve(
                {
                    Thing: None
                },
                ns=False, verbose=True)
        ''')
        self.assertEqual(self.call(self.uri_in(printed)), "84\n")

    def test_serve_a_class_and_an_instance(self) -> None:
        printed = self.start("Pyro daemon running", '''
            import Pyro5.server

            @Pyro5.server.expose
            class MyPyroThing(object):
                def method(self, arg):
                    return type(self).__name__ * arg

            obj = MyPyroThing()
            Pyro5.server.serve(
                {
                    MyPyroThing: None,
                    obj: None
                },
                ns=False)
        ''')
        uris = re.findall(r"PYRO:obj_\S+", " ".join(printed))
        self.assertEqual(len(uris), 2)
        self.assertEqual([len(self.call(uri)) for uri in uris], [42 * len("MyPyroThing") + 1] * 2)

    def test_with_name_server(self) -> None:
        """Both ways to do it, one after the other."""
        self.start_name_server()
        self.start("Ready", THING, '''
            daemon = Pyro5.server.Daemon(host="localhost")
            ns = Pyro5.core.locate_ns()
            uri = daemon.register(Thing)
            ns.register("mythingy", uri)
            print("Ready")
            daemon.requestLoop()
        ''')
        self.assertEqual(self.call("PYRONAME:mythingy"), "84\n")
        self.start("Pyro daemon running", THING.replace("arg*2", "arg*3"), '''
            Pyro5.server.serve(
                {
                    Thing: "mythingy"
                },
                ns=True, verbose=True, host="localhost")
        ''', name="other")
        self.assertEqual(self.call("PYRONAME:mythingy"), "126\n")

    def test_behavior(self) -> None:
        (uri,) = self.start("PYRO:", '''
            import Pyro5.server

            @Pyro5.server.behavior(instance_mode="percall")
            class MyPyroThing(object):
                @Pyro5.server.expose
                def method(self):
                    return "something"

            daemon = Pyro5.server.Daemon()
            uri = daemon.register(MyPyroThing)
            print(uri)
            daemon.requestLoop()
        ''')
        self.assertEqual(self.output_of('''
            import Pyro5.api
            with Pyro5.api.Proxy(input()) as obj:
                print(obj.method())
        ''', stdin=uri), "something\n")

    def test_members(self) -> None:
        (uri,) = self.start("PYRO:", '''
            import Pyro5

            @Pyro5.server.expose
            class PyroService(object):
                def normal_method(self, args):
                    return args

                @Pyro5.server.oneway
                def oneway_method(self, args):
                    self.other = args

                value = 42

                def _private(self):
                    pass

                @property
                def attr(self):
                    return self.value

                @attr.setter
                def attr(self, value):
                    self.value = value

            with Pyro5.server.Daemon() as daemon:
                print(daemon.register(PyroService()))
                daemon.requestLoop()
        ''')
        self.assertEqual(self.output_of('''
            import Pyro5.api

            p = Pyro5.api.Proxy(input())
            print(p.normal_method("x"), p.oneway_method("y"))
            p.attr = "velocity"
            print(p.attr, hasattr(p, "value"), hasattr(p, "_private"))
            print(sorted(p._pyroMethods), p._pyroOneway, p._pyroAttrs)
            batch = Pyro5.api.BatchProxy(p)
            batch.normal_method(1)
            batch.normal_method(2)
            results = batch()
            for result in results:
                print(result)
        ''', stdin=uri), "x None\nvelocity False False\n"
                         "['normal_method', 'oneway_method'] {'oneway_method'} {'attr'}\n1\n2\n")

    def test_class_of_another_library(self) -> None:
        self.write("awesome_thirdparty_library", '''
            class SomeClassFromLibrary:
                def hello(self):
                    return "hello from the library"
        ''')
        (uri,) = self.start("PYRO:", '''
            from awesome_thirdparty_library import SomeClassFromLibrary
            import Pyro5.server

            ExposedClass = Pyro5.server.expose(SomeClassFromLibrary)

            daemon = Pyro5.server.Daemon()
            print(daemon.register(ExposedClass))
            daemon.requestLoop()
        ''')
        self.assertEqual(self.output_of("import Pyro5.api\nprint(Pyro5.api.Proxy(input()).hello())", stdin=uri),
                         "hello from the library\n")


class NameServerTests(ManualTestCase):
    def test_finding_objects(self) -> None:
        self.start_name_server()
        out = self.output_of(THING, '''
            import threading
            import Pyro5.client

            with Pyro5.server.Daemon() as server, Pyro5.core.locate_ns() as ns:
                uri = server.register(Thing)
                ns.register("objectname", uri, metadata={"metatag1", "metatag2"})
                ns.register("printer.secondfloor", "PYRO:printer1@host:1234", metadata={"printer"})
                thread = threading.Thread(target=server.requestLoop)
                thread.start()
                for found in ("PYRONAME:objectname", "PYROMETA:metatag1,metatag2", ns.lookup("objectname"),
                              Pyro5.core.resolve("PYRONAME:objectname"), Pyro5.core.resolve("PYROMETA:metatag1"),
                              "PYRONAME:objectname@localhost"):
                    with Pyro5.client.Proxy(found) as obj:
                        print(obj.method(21), end=" ")
                print(ns.lookup("printer.secondfloor", return_metadata=True)[1])
                print(ns.yplookup(meta_all={"printer"}, return_metadata=False), ns.yplookup(meta_all={"printer", "x"}),
                      sorted(ns.yplookup(meta_any={"storage", "printer", "metatag2"})))
                print(ns.list(prefix="Pyro.", return_metadata=True)["Pyro.NameServer"][1])
                with Pyro5.client.Proxy("PYRO:"+Pyro5.constants.DAEMON_NAME+"@localhost:%d" % Pyro5.config.NS_PORT) as daemon:
                    daemon.ping()
                    print(sorted(daemon.registered()))
                server.shutdown()
                thread.join()
        ''')
        self.assertEqual(out.splitlines(), [
            "42 42 42 42 42 42 {'printer'}",
            "{'printer.secondfloor': 'PYRO:printer1@host:1234'} {} ['objectname', 'printer.secondfloor']",
            "{'class:Pyro5.nameserver.NameServer'}", "['Pyro.Daemon', 'Pyro.NameServer']"])
