"""Tests for what the package shows from outside: its public names, what importing it costs, a copy under another name."""
from __future__ import annotations

import importlib
import inspect
import os
import shutil
import tempfile
import typing
import unittest
from typing import Any

import serpent

from Pyro5 import api, callcontext
from Pyro5.typed import ProxyMembers

from .support import PROJECT
from .test_init import run_python

PUBLIC_NAMES = [
    "BatchProxy", "Daemon", "DaemonObject", "Proxy", "Retry", "SerializedBlob", "SerializerBase", "URI", "behavior",
    "callback", "config", "current_context", "expose", "intercept_clients", "locate_ns", "oneway",
    "register_class_to_dict",
    "register_dict_to_class", "register_types", "resolve", "serve", "start_ns", "start_ns_loop", "type_meta",
    "unregister_class_to_dict",
    "unregister_dict_to_class", "wait_for",
]
DOCUMENTED_MODULES = ["Pyro5." + name for name in (
    "aio", "api", "callcontext", "client", "configure", "constants", "core", "errors", "nameserver", "nsc", "observe",
    "protocol", "serializers", "server", "socketutil", "svr_existingconn", "svr_multiplex", "svr_threads", "typed",
    "utils.echoserver", "utils.httpgateway")]
COSTLY_MODULES = ["argparse", "asyncio", "ctypes", "hashlib", "http", "msgpack", "sqlite3", "ssl"]
# a program that makes calls with values of the usual types needs none of these, either
COSTLY_FOR_CLIENTS = ["Pyro5._values.unsendable", "ast", "concurrent.futures", "dataclasses", "datetime", "decimal", "inspect",
                      "pathlib", "platform", "random", "serpent", "uuid"]

VENDORED_CALL = """
import sys, threading
from app._vendor.Pyro5 import api

class Adder:
    @api.expose
    def add(self, a, b):
        return a + b

daemon = api.Daemon(host="127.0.0.1", port=0)
uri = daemon.register(Adder())
thread = threading.Thread(target=daemon.requestLoop, daemon=True)
thread.start()
with api.Proxy(uri) as proxy:
    print(proxy.add(3, 4), proxy.add("a", "b"))
    try:
        proxy.add("a", 4)
    except TypeError as x:
        print("TypeError", bool(x._pyroTraceback))
daemon.shutdown()
thread.join()
daemon.close()
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("Pyro5", "serpent")))
"""


def output_of(code: str, directory: str, *options: str) -> str:
    """Return what code prints in a new process; errors printed are a failure."""
    done = run_python(code, directory, *options)
    if done.returncode != 0 or done.stderr:
        raise AssertionError("exit code %d:\n%s" % (done.returncode, done.stderr))
    return str(done.stdout)


class PublicNames(unittest.TestCase):
    def test_api_exports_exactly_these(self) -> None:
        from Pyro5 import api
        self.assertEqual(PUBLIC_NAMES, sorted(api.__all__))
        self.assertEqual([], [name for name in PUBLIC_NAMES if getattr(api, name, None) is None])

    def test_star_import_gives_them_all(self) -> None:
        output = output_of("from Pyro5.api import *\nprint(*sorted(n for n in dir() if n[:2] != '__'))", PROJECT)
        self.assertEqual(PUBLIC_NAMES, output.split())


class Docstrings(unittest.TestCase):
    def test_all_that_is_public_has_one(self) -> None:
        for module in map(importlib.import_module, DOCUMENTED_MODULES):
            self.assertTrue(module.__doc__)
            for name in getattr(module, "__all__", dir(module)):
                value = getattr(module, name)
                # classes, functions, and what is called in their place, but not what comes from elsewhere
                if not name.startswith("_") and callable(value) and str(getattr(value, "__module__", "")).startswith("Pyro5."):
                    with self.subTest("%s.%s" % (module.__name__, name)):
                        self.assertTrue(value.__doc__)
                    self.check_members(value)

    def check_members(self, clazz: Any) -> None:
        """Check what a class and its bases in the package define. An overriding method has the docstring of the base."""
        for base in inspect.getmro(clazz) if inspect.isclass(clazz) and clazz is not ProxyMembers else ():
            for name, value in vars(base).items() if base.__module__.startswith("Pyro5.") else ():
                is_public = not name.startswith("_") or name.startswith("_pyro")
                if is_public and (inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod))):
                    with self.subTest("%s.%s" % (base.__qualname__, name)):
                        self.assertTrue(inspect.getdoc(getattr(base, name)))


class ImportCosts(unittest.TestCase):
    def test_api_loads_nothing_that_most_programs_do_not_need(self) -> None:
        output = output_of("from Pyro5.api import *; import sys; print(*sys.modules)", PROJECT)
        self.assertEqual([], sorted(set(COSTLY_MODULES) & set(output.split())))

    def test_programs_that_only_call_objects_do_not_load_servers(self) -> None:
        of_servers = ["Pyro5.server", "Pyro5.nameserver", "Pyro5._calls.dispatch"]
        output = output_of("import Pyro5.api, sys; print(*sys.modules); print(*dir(Pyro5.api)); Pyro5.api.Daemon; "
                           "Pyro5.api.start_ns; print(*sys.modules)", PROJECT)
        before, names, after = map(str.split, output.splitlines())
        self.assertEqual([], [name for name in of_servers if name in before])
        self.assertEqual([], [name for name in PUBLIC_NAMES if name not in names])
        self.assertEqual([], [name for name in of_servers if name not in after])

    def test_only_what_is_used_is_loaded(self) -> None:
        # without what an editable installation of the package, or logging, has loaded before: since Python 3.14 the latter
        # needs much
        output = output_of("import sys, logging; first = set(sys.modules); import Pyro5.api; "
                           "print(*set(sys.modules) - first); Pyro5.api.Proxy; print(*set(sys.modules) - first)", PROJECT)
        before, after = map(str.split, output.splitlines())
        self.assertEqual([], [name for name in ("Pyro5.client", "Pyro5.serializers", "socket") if name in before])
        self.assertEqual([], [name for name in COSTLY_FOR_CLIENTS if name in after])

    def test_modules_of_serializers_are_attributes_before_they_are_loaded(self) -> None:
        output = output_of("import Pyro5.api, Pyro5.serializers as s\n"
                           "print(s.json.dumps([1]), s.marshal.loads(s.marshal.dumps(2)), s.msgpack.MsgpackSerializer.name,"
                           "      s.serpent.SerpentSerializer is s.SerpentSerializer)", PROJECT)
        self.assertEqual("[1] 2 msgpack True", output.strip())

    def test_errors_of_networks_and_methods_load_nothing(self) -> None:
        # a process that has no file descriptors left could not load it
        output = output_of("import sys, types; from Pyro5 import errors\n"
                           "from Pyro5._client.failures import server_closes_after\n"
                           "from Pyro5._messages.replies import raisable\n"
                           "connection, first = types.SimpleNamespace(features=None, keep_open=False), set(sys.modules)\n"
                           "for error in errors.ConnectionClosedError(), ValueError(), OSError(), errors.TimeoutError():\n"
                           "    raisable(error); server_closes_after(error, connection)\n"
                           "print(*set(sys.modules) - first)", PROJECT)
        self.assertEqual("", output.strip())

    def test_annotations_of_what_is_public_can_be_evaluated(self) -> None:
        public = [each for each in map(vars(api).get, api.__all__) if inspect.isfunction(each)]
        self.assertGreater(len(public), 15)
        for each in [*public, callcontext.Request]:
            with self.subTest(each):
                typing.get_type_hints(each)

    def test_annotations_are_not_compiled(self) -> None:
        output = output_of("import builtins; compiled = []; real = builtins.compile\n"
                           "def note(source, name, mode, *args, **kwargs):\n"
                           "    compiled.append(source if mode == 'eval' else '')\n"
                           "    return real(source, name, mode, *args, **kwargs)\n"
                           "builtins.compile = note; import Pyro5.api; Pyro5.api.Proxy\n"
                           "print(*filter(None, compiled))", PROJECT)
        self.assertEqual("", output.strip())

    def test_a_server_loads_all_when_it_is_created(self) -> None:
        output = output_of("import sys, Pyro5.api; daemon = Pyro5.api.Daemon(port=0); before = set(sys.modules); "
                           "Pyro5.LazyModule.load_all(); print(*(set(sys.modules) - before)); daemon.close()", PROJECT)
        self.assertEqual("", output.strip())

    def test_names_are_those_of_their_modules(self) -> None:
        from Pyro5 import api, client, serializers, server
        self.assertIs(client.Proxy, api.Proxy)
        self.assertIs(server.expose, api.expose)
        self.assertEqual(serializers.SerializerBase.register_class_to_dict, api.register_class_to_dict)
        self.assertEqual([], [name for name in PUBLIC_NAMES if name not in dir(api)])

    def test_other_names_are_unknown(self) -> None:
        from Pyro5 import api
        with self.assertRaisesRegex(AttributeError, "module 'Pyro5.api' has no attribute 'Deamon'"):
            api.Deamon  # type: ignore[attr-defined]  # noqa: B018


class VendoredCopy(unittest.TestCase):
    def test_works_under_another_name_with_serpent_beside_it(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            vendor = os.path.join(directory, "app", "_vendor")
            shutil.copytree(os.path.join(PROJECT, "Pyro5"), os.path.join(vendor, "Pyro5"),
                            ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(serpent.__file__, vendor)
            # without site-packages: an installed serpent, or an installed Pyro5, is out of reach
            done = run_python(VENDORED_CALL, directory, "-S")
        self.assertEqual(["7 ab", "TypeError True", "[]"], done.stdout.splitlines())
        self.assertRegex(done.stderr, r"^\S+\.add from \S+ \S+ raised TypeError: [^\n]*\n$")


if __name__ == "__main__":
    unittest.main()
