"""Tests for Pyro5.configure: the table of settings, where values come from, what is refused."""
from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import fractions
import io
import ipaddress
import json
import logging
import os
import pathlib
import pickle
import tempfile
import unittest
from typing import Any, Dict, Tuple
from unittest import mock

from Pyro5 import configure, protocol
from Pyro5.configure import Configuration
from Pyro5.serializers import get_serializer, serializers

from .support import run_tool

DEFAULTS: Dict[str, Any] = {
    "AUTH_KEY_FILE": "", "AUTH_PASSWORD_FILE": "", "AUTH_REQUIRED": True, "AUTH_USER": "", "AUTH_USERS_FILE": "",
    "BROADCAST_ADDRS": ["<broadcast>", "0.0.0.0"], "BROADCAST_LOOKUP": True, "COMMTIMEOUT": 0.0, "COMPRESSION": False,
    "DETAILED_TRACEBACK": False, "EXCLUSIVE_USE": True, "GATEWAY_HOSTS": [],
    "HANDSHAKE_TIMEOUT": 20.0, "HOST": "localhost", "ITER_STREAMING": True,
    "ITER_STREAM_BATCH": 1,
    "ITER_STREAM_LIFETIME": 0.0, "ITER_STREAM_LINGER": 30.0, "LOGFILE": "pyro5.log", "LOGLEVEL": None,
    "LOGWIRE": False, "MAX_BUFFERED_SIZE": 2147483648, "MAX_CONNECTIONS": 0, "MAX_CONTAINERS": 2000000,
    "MAX_GATEWAY_MEMORY": 268435456, "MAX_HANDSHAKE_SIZE": 262144, "MAX_INFLATED_SIZE": 4194304,
    "MAX_MESSAGE_SIZE": 1073741824, "MAX_ONEWAY": 1000, "MAX_RETRIES": 0, "MAX_STATISTICS": 1000, "MAX_STREAMS": 1000,
    "NATHOST": None,
    "NATPORT": 0, "NS_AUTOCLEAN": 0.0, "NS_BCHOST": None, "NS_BCPORT": 9091,
    "NS_ETCD_TIMEOUT": 5.0, "NS_HOST": "localhost", "NS_LOOKUP_DELAY": 0.0,
    "NS_MAX_SIZE": 134217728, "NS_PORT": 9090, "NS_WATCH_CHANGES": 10000,
    "ONEWAY_THREADED": True, "OUT_OF_BAND_BUFFERS": True, "POLLTIMEOUT": 2.0, "PREFER_IP_VERSION": 0,
    "PROCESS_RESTARTS": 10, "PROXY_CONNECTIONS": 8, "PROXY_SHARING": "shared",
    "SERIALIZER": "serpent", "SERIALIZERS_ACCEPTED": ["serpent", "json", "marshal", "msgpack"],
    "SERPENT_BYTES_REPR": False, "SERVERTYPE": "thread", "SHARED_MEMORY": True, "SHUTDOWN_TIMEOUT": 3.0, "SOCK_NODELAY": False,
    "SOCK_REUSE": True, "SPINNING": True, "SSL": False, "SSL_CACERTS": "", "SSL_CLIENTCERT": "", "SSL_CLIENTKEY": "",
    "SSL_CLIENTKEYPASSWD": "", "SSL_REQUIRECLIENTCERT": False, "SSL_SERVERCERT": "", "SSL_SERVERKEY": "",
    "SSL_SERVERKEYPASSWD": "", "STALL_SECONDS": 0.0, "STATISTICS": True, "THREADPOOL_SIZE": 80, "THREADPOOL_SIZE_MIN": 4,
}


def clean_environment(**variables: str) -> Dict[str, str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYRO_")}
    environ.update(variables)
    return environ


def configuration(**variables: str) -> Configuration:
    """Make a configuration as it comes from the given environment variables."""
    with mock.patch.dict(os.environ, clean_environment(**variables), clear=True):
        return Configuration()


class Defaults(unittest.TestCase):
    def test_names_values_and_types(self) -> None:
        values = configuration().as_dict()
        self.assertEqual(DEFAULTS, values)
        for name, default in DEFAULTS.items():
            self.assertIs(type(default), type(values[name]), name)
        self.assertEqual(sorted(values), list(values))

    def test_every_setting_is_explained(self) -> None:
        for setting in configure.SETTINGS:
            self.assertTrue(setting.doc)
            self.assertIn("    %s = " % setting.name, Configuration.__doc__ or "")
            self.assertIn(setting.doc, Configuration.__doc__ or "")

    def test_every_default_is_what_its_kind_takes(self) -> None:
        config = configuration()
        for name, default in DEFAULTS.items():
            setattr(config, name, default)
        self.assertEqual(DEFAULTS, config.as_dict())


class Environment(unittest.TestCase):
    def test_values_of_every_kind(self) -> None:
        config = configuration(PYRO_SERIALIZER="json", PYRO_BROADCAST_ADDRS="1.2.3.4, 5.6.7.8", PYRO_COMPRESSION="YES",
                               PYRO_NS_BCHOST="0.0.0.0", PYRO_COMMTIMEOUT="3", PYRO_MAX_RETRIES="2")
        self.assertEqual("json", config.SERIALIZER)
        self.assertEqual(["1.2.3.4", "5.6.7.8"], config.BROADCAST_ADDRS)
        self.assertIs(True, config.COMPRESSION)
        self.assertEqual("0.0.0.0", config.NS_BCHOST)
        self.assertEqual(3.0, config.COMMTIMEOUT)
        self.assertIs(float, type(config.COMMTIMEOUT))
        self.assertEqual(2, config.MAX_RETRIES)

    def test_booleans(self) -> None:
        for text in ("1", "yes", "on", "true", "On", "TRUE"):
            self.assertIs(True, configuration(PYRO_SSL=text).SSL, text)
        for text in ("0", "no", "off", "false", "Off", "FALSE"):
            self.assertIs(False, configuration(PYRO_SOCK_REUSE=text).SOCK_REUSE, text)

    def test_choices_are_not_checked_here(self) -> None:
        self.assertEqual("pickle", configuration(PYRO_SERIALIZER="pickle").SERIALIZER)

    def test_other_variables_are_ignored(self) -> None:
        self.assertEqual(DEFAULTS, configuration(PYROS="1", XPYRO_SSL="1", NS_PORT="1").as_dict())

    def test_unknown_names_are_ignored_with_a_warning(self) -> None:
        variables = {"PYRO_SERVICE_HOST": "10.0.0.1", "PYRO_PORT_9090_TCP": "tcp://10.0.0.1:9090", "PYRO_compression": "1",
                     "PYRO_COMMTIMOUT": "5", "PYRO_NS_PORT": "tcp://10.0.0.1:9090", "PYRO_": ""}
        with self.assertLogs("Pyro5.configure", "WARNING") as logged:
            config = configuration(**variables)
        self.assertEqual(DEFAULTS, config.as_dict())
        self.assertEqual([
            "WARNING:Pyro5.configure:environment variables that are no settings are ignored: PYRO_, "
            "PYRO_COMMTIMOUT (did you mean PYRO_COMMTIMEOUT?), PYRO_NS_PORT=tcp://10.0.0.1:9090, "
            "PYRO_PORT_9090_TCP, PYRO_SERVICE_HOST, "
            "PYRO_compression (did you mean PYRO_COMPRESSION?)"], logged.output)

    def test_nothing_is_said_of_an_environment_that_is_in_order(self) -> None:
        with self.assertLogs("Pyro5", "INFO") as logged:
            configuration(PYRO_COMPRESSION="1", PATH="x")
            logging.getLogger("Pyro5").warning("the only one")
        self.assertEqual(["WARNING:Pyro5:the only one"], logged.output)

    def test_unfit_values(self) -> None:
        for name, text, kind in (("NS_PORT", "abc", "a whole number"), ("NS_PORT", "1.5", "a whole number"),
                                 ("NS_PORT", "", "a whole number"), ("COMMTIMEOUT", "x", "a number")):
            with self.assertRaisesRegex(ValueError, "^invalid Pyro environment config value: PYRO_%s=%s .*%s"
                                                    % (name, text, kind)):
                configuration(**{"PYRO_" + name: text})
        for text in ("maybe", "", "2"):
            with self.assertRaisesRegex(ValueError, "^invalid boolean value: PYRO_COMPRESSION=%s .*True or False" % text):
                configuration(PYRO_COMPRESSION=text)


class Assignment(unittest.TestCase):
    def setUp(self) -> None:
        self.config = configuration()

    def test_typing_error_names_the_closest_setting(self) -> None:
        with self.assertRaisesRegex(AttributeError, r"config\.COMPRESION; did you mean COMPRESSION\?"):
            self.config.COMPRESION = True
        with self.assertRaisesRegex(AttributeError, r"config\.COMPRESION; did you mean COMPRESSION\?"):
            _ = self.config.COMPRESION
        with self.assertRaisesRegex(AttributeError, r"config\.ns_port; did you mean NS_PORT\?"):
            self.config.ns_port = 1
        with self.assertRaisesRegex(AttributeError, r"no such setting: config\.QQQ$"):
            self.config.QQQ = 1
        self.assertEqual(DEFAULTS, self.config.as_dict())

    def test_nonsense_names_the_setting_and_what_it_takes(self) -> None:
        wrong = (("NS_PORT", "abc", "a whole number"), ("NS_PORT", 1.5, "a whole number"),
                 ("NS_PORT", "1.5", "a whole number"),
                 ("NS_PORT", None, "a whole number"), ("NS_PORT", b"9090", "a whole number"),
                 ("NS_PORT", [1], "a whole number"),
                 ("MAX_RETRIES", float("nan"), "a whole number"), ("MAX_RETRIES", float("inf"), "a whole number"),
                 ("COMMTIMEOUT", "soon", "a number"), ("COMMTIMEOUT", "", "a number"), ("COMMTIMEOUT", b"1", "a number"),
                 ("COMMTIMEOUT", 10 ** 400, "a number"), ("COMMTIMEOUT", float("nan"), "a number"),
                 ("COMMTIMEOUT", datetime.timedelta(1), "a number"),
                 ("COMPRESSION", "maybe", "True or False"), ("COMPRESSION", 2, "True or False"),
                 ("COMPRESSION", [], "True or False"), ("HOST", b"localhost", "a string, an ipaddress object or None"),
                 ("NATHOST", 5, "a string, an ipaddress object or None"), ("SSL_CACERTS", 5, "a string or None"),
                 ("SERIALIZER", None, "a string"), ("SERVERTYPE", None, "a string"),
                 ("THREADPOOL_SIZE", None, "a whole number"),
                 ("LOGLEVEL", 1.5, "a level of the logging module"), ("BROADCAST_ADDRS", None, "a list of strings"),
                 ("BROADCAST_ADDRS", 5, "a list of strings"), ("BROADCAST_ADDRS", ["a", 5], "a list of strings"),
                 ("BROADCAST_ADDRS", b"ab", "a list of strings"))
        for name, value, takes in wrong:
            with self.subTest(name=name, value=value):
                with self.assertRaisesRegex(TypeError, r"^config\.%s takes %s.*, not %s: " % (
                        name, takes, type(value).__name__)):
                    setattr(self.config, name, value)
        self.assertEqual(DEFAULTS, self.config.as_dict())

    def test_conversions(self) -> None:
        conversions: Tuple[Any, ...] = (
            ("COMMTIMEOUT", 3, 3.0), ("COMMTIMEOUT", "2.5", 2.5), ("COMMTIMEOUT", True, 1.0), ("COMMTIMEOUT", False, 0.0),
            ("COMMTIMEOUT", decimal.Decimal("1.5"), 1.5), ("COMMTIMEOUT", fractions.Fraction(1, 2), 0.5),
            ("NS_PORT", "9091", 9091), ("NS_PORT", 20.0, 20), ("NS_PORT", True, 1), ("MAX_RETRIES", decimal.Decimal(3), 3),
            ("COMPRESSION", 1, True), ("COMPRESSION", 0, False), ("COMPRESSION", 1.0, True), ("COMPRESSION", "yes", True),
            ("COMPRESSION", "Off", False), ("LOGLEVEL", logging.DEBUG, 10), ("LOGLEVEL", "DEBUG", "DEBUG"),
            ("HOST", ipaddress.ip_address("127.0.0.1"), "127.0.0.1"), ("NS_HOST", ipaddress.ip_address("::1"), "::1"),
            ("NATHOST", ipaddress.ip_interface("10.1.2.3/8"), "10.1.2.3"),
            ("BROADCAST_ADDRS", "a, b", ["a", "b"]), ("BROADCAST_ADDRS", ("a", "b"), ["a", "b"]),
            ("BROADCAST_ADDRS", [ipaddress.ip_address("10.255.255.255")], ["10.255.255.255"]),
            ("SERIALIZERS_ACCEPTED", "json", ["json"]), ("SERIALIZERS_ACCEPTED", "", []),
            ("SERIALIZERS_ACCEPTED", {"serpent", "json"}, ["json", "serpent"]),
            ("SSL_CACERTS", pathlib.PurePosixPath("/etc/ca.pem"), "/etc/ca.pem"))
        for name, value, expected in conversions:
            with self.subTest(name=name, value=value):
                setattr(self.config, name, value)
                self.assertEqual(expected, getattr(self.config, name))
                self.assertIs(type(expected), type(getattr(self.config, name)))

    def test_none_is_taken_for_what_may_be_unset(self) -> None:
        required = {"PROXY_CONNECTIONS", "PROXY_SHARING",
                    "BROADCAST_ADDRS", "GATEWAY_HOSTS", "ITER_STREAM_BATCH", "NS_BCPORT", "NS_PORT", "SERIALIZER",
                    "SERIALIZERS_ACCEPTED", "SERVERTYPE", "THREADPOOL_SIZE", "THREADPOOL_SIZE_MIN"}
        for name in sorted(set(DEFAULTS) - required):
            setattr(self.config, name, None)
            self.assertIsNone(getattr(self.config, name), name)
        self.assertEqual([], self.config.problems())

    def test_lists_are_taken_by_value(self) -> None:
        addresses = ["a"]
        self.config.BROADCAST_ADDRS = addresses
        addresses.append("b")
        self.assertEqual(["a"], self.config.BROADCAST_ADDRS)

    def test_every_change_gives_another_version(self) -> None:
        seen = {self.config.version}
        for change in (lambda: setattr(self.config, "COMPRESSION", True), lambda: setattr(self.config, "COMPRESSION", True),
                       lambda: self.config.reset(False), self.config.reset):
            change()
            self.assertNotIn(self.config.version, seen)
            seen.add(self.config.version)
        for refused in (lambda: setattr(self.config, "NS_PORT", "x"), lambda: setattr(self.config, "version", 5)):
            with self.assertRaises((TypeError, AttributeError)):
                refused()
        self.assertIn(self.config.version, seen)

    def test_slots_are_the_names_of_all_settings(self) -> None:
        self.assertEqual(tuple(DEFAULTS), tuple(self.config.__slots__))

    def test_parse_bool(self) -> None:
        self.assertEqual([True, False, True], [self.config.parse_bool(value) for value in ("yes", "OFF", 1)])
        with self.assertRaises(ValueError):
            self.config.parse_bool("maybe")

    def test_settings_cannot_be_deleted(self) -> None:
        with self.assertRaisesRegex(AttributeError, "config.NS_PORT cannot be deleted"):
            del self.config.NS_PORT


class HostOfTheNameServer(unittest.TestCase):
    def test_is_that_of_this_machines_servers_unless_set(self) -> None:
        self.assertEqual("lab.example", configuration(PYRO_HOST="lab.example").NS_HOST)
        self.assertEqual("ns.example", configuration(PYRO_HOST="lab.example", PYRO_NS_HOST="ns.example").NS_HOST)
        config = configuration(PYRO_HOST="lab.example")
        config.HOST = "other.example"
        self.assertEqual("lab.example", config.NS_HOST)
        config.reset(use_environment=False)
        self.assertEqual("localhost", config.NS_HOST)


class ResetAndCopy(unittest.TestCase):
    def setUp(self) -> None:
        self.config = configuration()

    def test_reset_with_and_without_the_environment(self) -> None:
        with mock.patch.dict(os.environ, {"PYRO_NS_PORT": "1234"}):
            self.config.COMPRESSION = True
            self.config.reset()
            self.assertEqual((1234, False), (self.config.NS_PORT, self.config.COMPRESSION))
            self.config.reset(use_environment=False)
            self.assertEqual(DEFAULTS, self.config.as_dict())
            self.config.reset(True)
            self.assertEqual(1234, self.config.NS_PORT)

    def test_reset_from_a_bad_environment_changes_nothing(self) -> None:
        self.config.COMPRESSION = True
        with mock.patch.dict(os.environ, {"PYRO_NS_PORT": "x"}):
            with self.assertRaises(ValueError):
                self.config.reset()
            self.assertIs(True, self.config.COMPRESSION)
            self.config.reset(use_environment=False)
        self.assertIs(False, self.config.COMPRESSION)

    def test_default_lists_are_never_shared(self) -> None:
        self.config.BROADCAST_ADDRS.append("x")
        self.config.as_dict()["SERIALIZERS_ACCEPTED"].append("x")
        self.assertEqual(DEFAULTS["SERIALIZERS_ACCEPTED"], self.config.SERIALIZERS_ACCEPTED)
        self.assertEqual(DEFAULTS, configuration().as_dict())
        self.config.reset(False)
        self.assertEqual(DEFAULTS, self.config.as_dict())

    def test_copies_are_independent(self) -> None:
        self.config.NS_PORT = 1234
        for make in (Configuration.copy, copy.copy, copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))):
            duplicate = make(self.config)
            self.assertIsInstance(duplicate, Configuration)
            self.assertEqual(self.config.as_dict(), duplicate.as_dict())
            self.assertNotEqual(self.config.version, duplicate.version)
            duplicate.NS_PORT = 4321
            duplicate.BROADCAST_ADDRS.append("x")
            self.assertEqual(1234, self.config.NS_PORT)
            self.assertEqual(DEFAULTS["BROADCAST_ADDRS"], self.config.BROADCAST_ADDRS)


class Dump(unittest.TestCase):
    def test_dump_lists_version_place_and_settings(self) -> None:
        config = configuration()
        config.NS_PORT = 1234
        lines = config.dump().splitlines()
        self.assertRegex(lines[0], r"^Pyro version: \d+\.\d+")
        self.assertEqual("Loaded from: " + os.path.dirname(os.path.abspath(configure.__file__)), lines[1])
        self.assertRegex(lines[2], r"^Python version: \w+ \d+\.\d+\.\d+.* \(\w+, \w+\)$")
        self.assertEqual("Protocol version: %d" % protocol.PROTOCOL_VERSION, lines[3])
        self.assertEqual("Currently active global configuration settings:", lines[4])
        self.assertEqual(["%s = %s" % item for item in config.as_dict().items()], lines[5:])
        self.assertIn("BROADCAST_ADDRS = ['<broadcast>', '0.0.0.0']", lines)
        self.assertIn("BROADCAST_LOOKUP = True", lines)
        self.assertIn("NS_PORT = 1234", lines)

    def test_function_prints_the_dump(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            configure.dump()
        self.assertEqual(configure.global_config.dump() + "\n", out.getvalue())

    def test_variables_that_are_no_settings_are_problems(self) -> None:
        config = configuration()
        with mock.patch.dict(os.environ, clean_environment(PYRO_NS_PROT="1"), clear=True):
            self.assertEqual(["unknown environment variable: PYRO_NS_PROT (did you mean PYRO_NS_PORT?)"],
                             config.problems())

    def test_module_prints_the_dump(self) -> None:
        result = run_tool("Pyro5.configure", env={"PYRO_COMPRESSION": "on", "PYRO_MAX_RETRIES": "7"})
        self.assertEqual((0, ""), (result.exit_code, result.err))
        expected = configuration(PYRO_COMPRESSION="on", PYRO_MAX_RETRIES="7").dump()
        self.assertEqual(expected + """

Settings that are not at their defaults:
  COMPRESSION: set by the environment variable PYRO_COMPRESSION (default: False)
  MAX_RETRIES: set by the environment variable PYRO_MAX_RETRIES (default: 0)
""", result.out)

    def test_nothing_but_the_dump_if_all_is_at_its_default(self) -> None:
        with mock.patch.dict(os.environ, clean_environment(), clear=True), \
                mock.patch.object(configure, "global_config", Configuration()), \
                contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(configure.main([]), 0)
            self.assertEqual(out.getvalue(), Configuration().dump() + "\n")

    def test_the_tool_prints_json(self) -> None:
        with mock.patch.dict(os.environ, clean_environment(PYRO_MAX_RETRIES="7"), clear=True), \
                mock.patch.object(configure, "global_config", Configuration()), \
                contextlib.redirect_stdout(io.StringIO()) as out:
            configure.global_config.SSL_CLIENTKEYPASSWD = "secret"
            self.assertEqual(configure.main(["--json"]), 0)
        found = json.loads(out.getvalue())
        self.assertEqual(set(found["settings"]), set(DEFAULTS))
        self.assertEqual(found["settings"]["MAX_RETRIES"], {
            "value": 7, "default": 0, "origin": "set by the environment variable PYRO_MAX_RETRIES"})
        self.assertEqual(found["settings"]["SSL_CLIENTKEYPASSWD"]["value"], "(set)")
        self.assertEqual(found["settings"]["SSL"], {"value": False, "default": False, "origin": "default"})
        self.assertEqual((found["problems"], found["protocol"]), ([], 502))

    def test_values_that_make_no_sense_are_told_last(self) -> None:
        with mock.patch.dict(os.environ, clean_environment(PYRO_SERVERTYPE="fork"), clear=True), \
                mock.patch.object(configure, "global_config", Configuration()), \
                contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(configure.main([]), 1)
        self.assertTrue(out.getvalue().endswith(
            "\n\nInvalid settings:\n  SERVERTYPE is 'fork': it takes thread, multiplex\n"), out.getvalue())

    def test_serializers_of_the_program_are_no_problem(self) -> None:
        config = configuration()
        config.SERIALIZER = "own"
        self.assertEqual(1, len(config.problems()))
        serializers["own"] = get_serializer("json")
        self.addCleanup(serializers.pop, "own", None)
        self.assertEqual([], config.problems())
        config.SERIALIZERS_ACCEPTED = ["own", "json"]
        self.assertEqual([], config.problems())
        del serializers["own"]
        self.assertEqual(2, len(config.problems()))

    def test_which_values_make_no_sense(self) -> None:
        config = configuration()
        self.assertEqual(config.problems(), [])
        for name, sound in (("PREFER_IP_VERSION", 6), ("NS_AUTOCLEAN", 3.0), ("NS_PORT", 65535), ("SERVERTYPE", "multiplex"),
                            ("SERIALIZER", "msgpack"), ("SERIALIZERS_ACCEPTED", ["json"]), ("THREADPOOL_SIZE", 1)):
            setattr(config, name, sound)
        self.assertEqual(config.problems(), [])
        config.COMMTIMEOUT, config.MAX_RETRIES, config.NATPORT, config.THREADPOOL_SIZE = -1, -1, 65536, 0
        config.PREFER_IP_VERSION, config.NS_AUTOCLEAN, config.SERIALIZERS_ACCEPTED = 5, 1, ["json", "pickle"]
        self.assertEqual(config.problems(), [
            "COMMTIMEOUT is -1.0: it takes 0 or more", "MAX_RETRIES is -1: it takes 0 or more",
            "NATPORT is 65536: it takes a port, 0 to 65535", "NS_AUTOCLEAN is 1.0: it takes 0, or 3 and more",
            "PREFER_IP_VERSION is 5: it takes 0, 4, 6",
            "SERIALIZERS_ACCEPTED is ['json', 'pickle']: it takes serpent, json, marshal, msgpack",
            "THREADPOOL_SIZE is 0: it takes 1 or more"])

    def test_what_made_a_setting_what_it_is(self) -> None:
        with mock.patch.dict(os.environ, clean_environment(PYRO_HOST="h", PYRO_NS_PORT="1", PYRO_NS_BCPORT="9091",
                                                           PYRO_MAX_RETRIES="3"), clear=True):
            config = Configuration()
            self.assertEqual(config.changes().splitlines(), [
                "Settings that are not at their defaults:",
                "  HOST: set by the environment variable PYRO_HOST (default: localhost)",
                "  MAX_RETRIES: set by the environment variable PYRO_MAX_RETRIES (default: 0)",
                "  NS_HOST: set by the environment variable PYRO_HOST (default: localhost)",
                "  NS_PORT: set by the environment variable PYRO_NS_PORT (default: 9090)"])
            config.NS_HOST, config.NS_PORT, config.MAX_RETRIES, config.SERIALIZER = "other", 2, 0, "json"
            config.SSL_CACERTS = "x"
            self.assertEqual(config.changes().splitlines()[2:], [
                "  NS_HOST: set by the program (default: localhost)",
                "  NS_PORT: set by the program (default: 9090)",
                "  SERIALIZER: set by the program (default: serpent)",
                "  SSL_CACERTS: set by the program (default: empty)"])
            config.reset(use_environment=False)
            self.assertEqual(config.changes(), "")

    def test_tools_refuse_a_bad_environment_in_one_line(self) -> None:
        expected = (1, "", "Error: invalid Pyro environment config value: PYRO_NS_PORT=x (it takes a whole number)\n")
        with tempfile.TemporaryDirectory() as directory:
            script = pathlib.Path(directory, "pyro5-tool.py")  # as it is installed
            script.write_text("from Pyro5.nameserver import main\nmain()\n")
            for tool in ("Pyro5.configure", "Pyro5.nsc", str(script)):
                self.assertEqual(expected, run_tool(tool, "ping", env={"PYRO_NS_PORT": "x"}, fresh=True), tool)

    def test_programs_get_a_value_error(self) -> None:
        result = run_tool("timeit", "-n1", "-r1", "import Pyro5.api", env={"PYRO_NS_PORT": "x"}, fresh=True)
        self.assertEqual(1, result.exit_code)
        self.assertTrue(result.err.splitlines()[-1].startswith(
            "ValueError: invalid Pyro environment config value: PYRO_NS_PORT=x"), result.err)


if __name__ == "__main__":
    unittest.main()
