"""Programs written for Pyro4: names they import, settings they make, and a package of that name that is there first."""
from __future__ import annotations

import importlib
import inspect
import os
import sys
import tempfile
import unittest
from typing import Any

import Pyro5
from Pyro5 import api, errors, nameserver, protocol, serializers, socketutil
from Pyro5.utils import echoserver

from ..support import PROJECT, daemon_thread
from ..test_init import InDirectory, run_python

Pyro4: Any = None

OLD_PROGRAM = """
import threading
from Pyro5.compatibility import Pyro4
import Pyro4.errors
from Pyro4 import Proxy, expose
from Pyro4.util import getPyroTraceback

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.METADATA = True

@expose
@Pyro4.behavior(instance_mode="single")
class Account(object):
    balance = 0

    def deposit(self, amount):
        if amount < 0:
            raise ValueError("not with us")
        self.balance += amount
        return self.balance

    @Pyro4.oneway
    def forget(self):
        self.balance = 0 if Pyro4.current_context.client else -1

nsuri, nsdaemon, _ = Pyro4.naming.startNS("localhost", 0, enableBroadcast=False)
daemon = Pyro4.Daemon()
nsdaemon.combine(daemon)
thread = threading.Thread(target=nsdaemon.requestLoop)
thread.start()
Pyro4.config.NS_PORT = nsuri.port
with Pyro4.locateNS(host="localhost", port=nsuri.port) as ns:
    ns.register("account", daemon.register(Account))
with Proxy("PYRONAME:account@localhost:%d" % nsuri.port) as account:
    print(account.deposit(5), Pyro4.resolve(account._pyroUri).protocol)
    try:
        account.deposit(-1)
    except ValueError as x:
        print(x, "Remote traceback" in "".join(getPyroTraceback()))
    calls = Pyro4.batch(account)
    calls.deposit(1)
    calls.deposit(2)
    calls.forget()
    print(list(calls()))
    print(account.deposit(0))
try:
    with Proxy("PYRO:gone@localhost:%d" % nsuri.port) as gone:
        gone.deposit(1)
except Pyro4.errors.PyroError as x:
    print(type(x).__name__)
nsdaemon.shutdown()
thread.join()
daemon.close()
nsdaemon.close()
"""


def forget_stand_ins() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "Pyro4" or name.startswith("Pyro5.compatibility"):
            del sys.modules[name]
    vars(Pyro5).pop("compatibility", None)


def setUpModule() -> None:
    global Pyro4
    from Pyro5.compatibility import Pyro4


def tearDownModule() -> None:
    forget_stand_ins()


class Names(unittest.TestCase):
    def test_documented_names_are_those_of_the_api(self) -> None:
        for name in ("URI", "behavior", "callback", "expose", "oneway", "current_context"):
            self.assertIs(getattr(api, name), getattr(Pyro4, name))
        self.assertEqual(sorted(Pyro4.__all__), sorted(set(Pyro4.__all__)))
        self.assertEqual([], [name for name in Pyro4.__all__ if not hasattr(Pyro4, name)])

    def test_nothing_of_the_api_is_missing(self) -> None:
        renamed = {"locate_ns": "locateNS", "start_ns": "naming.startNS", "start_ns_loop": "naming.startNSloop"}
        for name in set(api.__all__):
            found: Any = Pyro4
            for part in renamed.get(name, name).split("."):
                found = getattr(found, part)

    def test_importing_by_the_old_name(self) -> None:
        self.assertIs(Pyro4, importlib.import_module("Pyro4"))
        for name in ("constants", "core", "errors", "message", "naming", "naming_storage", "nsc", "socketutil", "test",
                     "test.echoserver", "util"):
            module = importlib.import_module("Pyro4." + name)
            self.assertEqual("Pyro4." + name, module.__name__)
            self.assertIsNotNone(importlib.util.find_spec("Pyro4." + name))
            found = Pyro4
            for part in name.split("."):
                found = getattr(found, part)
            self.assertIs(module, found)

    def test_submodules_have_the_new_names(self) -> None:
        self.assertIs(errors.NamingError, Pyro4.errors.NamingError)
        self.assertIs(errors.get_pyro_traceback, Pyro4.errors.get_pyro_traceback)
        self.assertIs(protocol.ReceivingMessage, Pyro4.message.ReceivingMessage)
        self.assertEqual(protocol.MSG_PING, Pyro4.message.MSG_PING)
        self.assertIs(nameserver.NameServer, Pyro4.naming.NameServer)
        self.assertIs(nameserver.MemoryStorage, Pyro4.naming.MemoryStorage)
        self.assertIs(serializers.SerializerBase, Pyro4.util.SerializerBase)
        self.assertIs(errors.excepthook, Pyro4.util.excepthook)
        self.assertIs(echoserver.EchoServer, Pyro4.test.echoserver.EchoServer)
        for name in ("Proxy", "Daemon"):
            self.assertIs(getattr(Pyro4, name), getattr(Pyro4.core, name))
            self.assertTrue(issubclass(getattr(Pyro4, name), getattr(api, name)))
        for name in ("URI", "DaemonObject", "expose", "behavior", "callback", "oneway", "current_context"):
            self.assertIs(getattr(api, name), getattr(Pyro4.core, name))
        self.assertEqual(("Pyro.Daemon", "Pyro.NameServer"),
                         (Pyro4.constants.DAEMON_NAME, Pyro4.constants.NAMESERVER_NAME))

    def test_old_spellings_of_functions(self) -> None:
        self.assertIs(errors.get_pyro_traceback, Pyro4.util.getPyroTraceback)
        self.assertIs(errors.format_traceback, Pyro4.util.formatTraceback)
        self.assertIs(socketutil.create_socket, Pyro4.socketutil.createSocket)
        self.assertIs(socketutil.set_reuseaddr, Pyro4.socketutil.setReuseaddr)
        self.assertIs(Pyro4.locateNS, Pyro4.naming.locateNS)
        self.assertIs(Pyro4.resolve, Pyro4.naming.resolve)

    def test_every_function_of_a_stand_in_has_an_old_spelling(self) -> None:
        for module in (Pyro4.errors, Pyro4.socketutil, Pyro4.util, Pyro4.naming):
            for name in module.__all__:
                if inspect.isfunction(getattr(module, name)) and name.islower() and "_" in name:
                    first, *rest = name.split("_")
                    old_name = first + "".join(map(str.capitalize, rest))
                    if old_name != "getIpAddress":  # gives a text, as it did
                        self.assertIs(getattr(module, name), getattr(module, old_name), name)

    def test_what_is_not_there(self) -> None:
        for module, name in ((Pyro4, "Flame"), (Pyro4.socketutil, "noSuchFunction"), (Pyro4.errors, "namingError"),
                             (Pyro4.util, "_private"), (Pyro4.message, "msgPing"), (Pyro4.socketutil, "socket")):
            with self.assertRaisesRegex(AttributeError, name):
                getattr(module, name)
        for name in ("Pyro4.threadutil", "Pyro4.test.other"):
            with self.assertRaisesRegex(ModuleNotFoundError, name):
                importlib.import_module(name)

    def test_star_imports(self) -> None:
        for name, wanted in (("Pyro4", "locateNS"), ("Pyro4.core", "Proxy"), ("Pyro4.errors", "NamingError")):
            found: Any = {}
            exec("from %s import *" % name, found)
            self.assertIn(wanted, found)


class Classes(unittest.TestCase):
    def test_proxies_of_both_kinds_are_taken_for_each_other(self) -> None:
        old, new = Pyro4.Proxy("PYRO:a@b:1"), api.Proxy("PYRO:a@b:1")
        self.assertTrue(isinstance(old, api.Proxy) and isinstance(new, Pyro4.Proxy) and old == new)
        self.assertFalse(isinstance(old, Pyro4.Daemon) or isinstance("text", Pyro4.Proxy))

        class Own(Pyro4.Proxy):  # type: ignore[misc]
            pass
        self.assertNotIsInstance(new, Own)

    def test_they_travel_as_those_of_the_api(self) -> None:
        daemon = Pyro4.Daemon()
        with daemon_thread(daemon):
            uri = daemon.register(Echo())
            with Pyro4.Proxy(uri) as proxy:
                back = proxy.echo(proxy)
                self.assertEqual((api.Proxy, uri), (type(back), back._pyroUri))
                self.assertIsInstance(proxy.echo(daemon), api.Daemon)

    def test_calling_a_proxy_calls_the_object(self) -> None:
        calls = []

        class Noting(Pyro4.Proxy):  # type: ignore[misc]
            def _pyroInvoke(self, *args: Any, **kwargs: Any) -> Any:
                calls.append(args[:3])
                return "called"
        proxy = Noting("PYRO:a@b:1")
        proxy._pyroMethods = {"__call__"}
        self.assertEqual("called", proxy(1, key=2))
        self.assertEqual([("__call__", (1,), {"key": 2})], calls)
        proxy._pyroMethods = {"other"}
        with self.assertRaises((TypeError, AttributeError)):
            proxy()

    def test_hmac_keys_are_refused_everywhere(self) -> None:
        with Pyro4.Daemon() as daemon:
            for target in (Pyro4.Proxy("PYRO:a@b:1"), daemon):
                target._pyroHmacKey = None
                with self.assertRaisesRegex(errors.SecurityError, "TLS"):
                    target._pyroHmacKey = b"key"
                with self.assertRaisesRegex(NotImplementedError, "TLS"):
                    target._pyroHmacKey  # noqa: B018
        with self.assertRaisesRegex(errors.SecurityError, "TLS"):
            Pyro4.config.HMAC_KEY = b"key"

    def test_what_is_gone_says_what_to_use_instead(self) -> None:
        for gone, instead in ((lambda: Pyro4.asyncproxy("PYRO:a@b:1"), "concurrent.futures"),
                              (lambda: Pyro4.Future(len), "concurrent.futures"),
                              (lambda: Pyro4.futures.Future(len), "concurrent.futures"),
                              (Pyro4.Proxy("PYRO:a@b:1")._pyroAsync, "concurrent.futures"),
                              (lambda: importlib.import_module("Pyro4.utils.flame").connect("x"), "a class")):
            with self.assertRaisesRegex(NotImplementedError, instead):
                gone()


class Echo:
    @api.expose
    def echo(self, value: Any) -> Any:
        return value


class Sockets(unittest.TestCase):
    def test_addresses_are_texts(self) -> None:
        old = Pyro4.socketutil
        self.assertEqual((4, 6), (old.getIpVersion("127.0.0.1"), old.getIpVersion("::1")))
        self.assertEqual("127.0.0.1", old.getIpAddress("localhost", ipVersion=4))
        self.assertEqual(":9090", (old.getIpAddress(None, workaround127=True) + ":9090")[-5:])
        self.assertEqual("127.0.0.1", old.getInterfaceAddress("127.0.0.1"))

    def test_sockets_by_their_old_names(self) -> None:
        with Pyro4.socketutil.createBroadcastSocket((None, 0)) as sock:
            self.assertEqual("0.0.0.0", sock.getsockname()[0])
        with Pyro4.socketutil.createSocket() as sock:
            self.assertGreater(Pyro4.socketutil.bindOnUnusedPort(sock), 0)

    def test_version(self) -> None:
        self.assertEqual(Pyro5.__version__, Pyro4.constants.VERSION)


class Functions(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(Pyro5.config.__dict__.update, Pyro5.config.as_dict())

    def test_keys_are_refused(self) -> None:
        for function, args, key in ((Pyro4.locateNS, (), "hmac_key"), (Pyro4.resolve, ("PYRO:a@b:1",), "hmac_key"),
                                    (Pyro4.naming.startNS, (), "hmac"), (Pyro4.naming.startNSloop, (), "hmac")):
            for value in (b"key", b""):
                with self.assertRaisesRegex(errors.SecurityError, "TLS"):
                    function(*args, **{key: value})

    def test_name_server_and_resolving(self) -> None:
        uri, daemon, responder = Pyro4.naming.startNS("127.0.0.1", 0, storage=Pyro4.naming.MemoryStorage(), hmac=None)
        self.assertIsNone(responder)
        with daemon_thread(daemon):
            with Pyro4.naming.locateNS("127.0.0.1", uri.port, False, None) as names:
                names.register("me", "PYRO:me@localhost:1")
            self.assertEqual("PYRO:me@localhost:1", str(Pyro4.resolve("PYRONAME:me@127.0.0.1:%d" % uri.port, None)))

    def test_locating_without_a_host_looks_where_the_settings_say(self) -> None:
        Pyro4.config.NS_HOST, Pyro4.config.NS_PORT = "127.0.0.1", socketutil.find_probably_unused_port()
        with self.assertRaises(Pyro4.errors.NamingError):
            Pyro4.locateNS(None, None, broadcast=False)

    def test_storages_in_files(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for kind in (Pyro4.naming_storage.SqlStorage, Pyro4.naming_storage.DbmStorage):
                path = os.path.join(directory, kind.__name__)
                for expected in ({}, {"name": "PYRO:a@b:1"}):
                    storage = kind(path)
                    self.addCleanup(storage.close)
                    self.assertEqual(expected, {name: entry[0] for name, entry in storage.items()})
                    storage["name"] = "PYRO:a@b:1", set()
                    storage.close()

    def test_batch(self) -> None:
        with Pyro4.Proxy("PYRO:a@b:1") as proxy:
            self.assertIsInstance(Pyro4.batch(proxy), api.BatchProxy)


class Settings(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(Pyro5.config.__dict__.update, Pyro5.config.as_dict())

    def test_they_are_the_settings_of_this_library(self) -> None:
        Pyro4.config.COMMTIMEOUT = 2.5
        self.assertEqual(2.5, Pyro5.config.COMMTIMEOUT)
        Pyro5.config.HOST = "elsewhere"
        self.assertEqual("elsewhere", Pyro4.config.HOST)
        self.assertEqual(Pyro5.config.dump(), Pyro4.config.dump())
        self.assertEqual(Pyro5.config.as_dict(), Pyro4.config.asDict())
        self.assertIn("COMMTIMEOUT", dir(Pyro4.config))
        with self.assertRaisesRegex(TypeError, "COMMTIMEOUT"):
            Pyro4.config.COMMTIMEOUT = "soon"

    def test_a_serializer_that_has_gone_stays_here(self) -> None:
        for name in ("pickle", "dill", "cloudpickle"):
            with self.assertLogs("Pyro5.compatibility", "WARNING"):
                Pyro4.config.SERIALIZER = name
            self.assertEqual((name, "serpent"), (Pyro4.config.SERIALIZER, Pyro5.config.SERIALIZER))
        Pyro4.config.SERIALIZER = "json"
        self.assertEqual(("json", "json"), (Pyro4.config.SERIALIZER, Pyro5.config.SERIALIZER))

    def test_accepted_serializers_are_a_set_whose_changes_count(self) -> None:
        accepted = Pyro4.config.SERIALIZERS_ACCEPTED
        self.assertIsInstance(accepted, set)
        self.addCleanup(accepted.update, set(accepted))
        accepted.add("pickle")
        accepted.discard("json")
        accepted -= {"marshal"}
        self.assertEqual({"serpent", "msgpack"}, set(Pyro5.config.SERIALIZERS_ACCEPTED))
        Pyro4.config.SERIALIZERS_ACCEPTED = {"pickle", "json"}
        self.assertEqual(["json", "serpent"], Pyro5.config.SERIALIZERS_ACCEPTED)
        self.assertEqual({"pickle", "json"}, Pyro4.config.SERIALIZERS_ACCEPTED)
        Pyro4.config.SERIALIZERS_ACCEPTED = "json,marshal"
        self.assertEqual({"json", "marshal"}, Pyro4.config.SERIALIZERS_ACCEPTED)

    def test_renamed(self) -> None:
        Pyro4.config.THREADPOOLSIZE = 17
        self.assertEqual((17, 17), (Pyro5.config.THREADPOOL_SIZE, Pyro4.config.THREADPOOLSIZE))

    def test_gone(self) -> None:
        before = Pyro5.config.as_dict()
        self.assertIs(True, Pyro4.config.METADATA)
        for name, value in (("METADATA", False), ("SOMETHING_THAT_WENT", {"any": "value"})):
            with self.assertLogs("Pyro5.compatibility", "WARNING") as logged:
                setattr(Pyro4.config, name, value)
            self.assertIn(name, logged.output[0])
            self.assertEqual(value, getattr(Pyro4.config, name))
        self.assertEqual(before, Pyro5.config.as_dict())

    def test_never_heard_of(self) -> None:
        for name in ("NEVER_HEARD_OF", "neverHeardOf"):
            with self.assertRaisesRegex(AttributeError, name):
                getattr(Pyro4.config, name)
        with self.assertRaisesRegex(AttributeError, "commTimeout"):
            Pyro4.config.commTimeout = 3


class Processes(InDirectory):
    def test_an_old_program(self) -> None:
        result = self.check_run(OLD_PROGRAM)
        self.assertEqual(["5 PYRO", "not with us True", "[6, 8, None]", "0", "CommunicationError"], result.stdout.splitlines())

    def refusal(self, code: str) -> str:
        """Return the last line that a program prints when it ends with an error."""
        result = run_python(code, self.directory, PYTHONPATH=os.pathsep.join((PROJECT, self.directory)))
        self.assertEqual(1, result.returncode, result.stdout)
        return str(result.stderr.splitlines()[-1])

    def make_other_package(self) -> None:
        os.mkdir(os.path.join(self.directory, "Pyro4"))
        with open(os.path.join(self.directory, "Pyro4", "__init__.py"), "w", encoding="utf-8") as file:
            file.write("real = True\n")

    def test_a_package_that_was_imported_before_is_left_alone(self) -> None:
        self.make_other_package()
        self.assertRegex(self.refusal("import Pyro4\nfrom Pyro5.compatibility import Pyro4"),
                         "^ImportError: Pyro4 has been imported already .from .*__init__.py.")
        self.check_run("import sys, Pyro4\n"
                       "for attempt in range(2):\n"
                       "    try: import Pyro5.compatibility.Pyro4\n"
                       "    except ImportError as x: assert x.name == 'Pyro4', x\n"
                       "    else: raise SystemExit('imported')\n"
                       "import Pyro4 as again\n"
                       "assert again is Pyro4 and Pyro4.real\n"
                       "assert [name for name in sys.modules if name.startswith('Pyro4')] == ['Pyro4']")

    def test_a_package_that_is_only_installed_is_not_used(self) -> None:
        self.make_other_package()
        self.check_run("from Pyro5.compatibility import Pyro4\n"
                       "import Pyro4 as found\n"
                       "assert found is Pyro4 and not hasattr(found, 'real')")

    def test_a_key_in_the_environment_is_refused(self) -> None:
        result = run_python("from Pyro5.compatibility import Pyro4", self.directory, PYTHONPATH=PROJECT, PYRO_HMAC_KEY="key")
        self.assertIn("SecurityError: there are no HMAC keys any more", result.stderr)

    def test_importing_anew(self) -> None:
        self.check_run("import sys, importlib\n"
                       "from Pyro5.compatibility import Pyro4\n"
                       "first = Pyro4.errors\n"
                       "importlib.reload(Pyro4)\n"
                       "del sys.modules['Pyro5.compatibility.Pyro4']\n"
                       "import Pyro5.compatibility.Pyro4 as again\n"
                       "import Pyro4.errors\n"
                       "assert sys.modules['Pyro4'] is again\n"
                       "assert Pyro4.errors is again.errors is not first")


if __name__ == "__main__":
    unittest.main()
