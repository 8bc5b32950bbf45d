"""What the doctor finds: on this machine, and on the way to an object."""
from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import config, serializers
from Pyro5._cli import console, findings, machine_check, peer_check
from Pyro5._cli.findings import NOTE, OK, WRONG, Finding
from Pyro5._naming.broadcast import BroadcastServer
from Pyro5._net import addresses
from Pyro5._objects.exposure import expose
from Pyro5._values.uri import URI
from Pyro5.nameserver import start_ns
from Pyro5.server import Daemon
from Pyro5.tools import doctor
from tests.peers import CERTIFICATES, PATIENCE_SECONDS, Peer, ScriptedServer, free_port
from tests.support import daemon_thread, run_main


class Thing:
    @expose
    def act(self) -> None:
        pass


class Closed:
    pass


class Picky(Daemon):
    def validateHandshake(self, conn: Any, data: Any) -> Any:
        raise ValueError("members only")


class DoctorTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        config.SERVERTYPE = "multiplex"
        config.BROADCAST_ADDRS = []
        config.NS_HOST = "127.0.0.1"

    def serve(self, daemon: Any, obj: Any = Thing) -> str:
        uri = str(daemon.register(obj, "thing"))
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return uri

    def check(self, found: Any, *expected: Any) -> None:
        """Compare findings with (level, pattern of the text) or (level, pattern, pattern of the remedy)."""
        found = list(found)
        self.assertEqual([finding.level for finding in found], [each[0] for each in expected], found)
        for finding, (_, text, *remedy) in zip(found, expected):
            self.assertRegex(finding.text, r"\A%s\Z" % text)
            self.assertRegex(finding.remedy, remedy[0] if remedy else r"\A\Z")


class Bounds(DoctorTestCase):
    def test_findings_as_they_come(self) -> None:
        one, two = Finding(OK, "one"), Finding(WRONG, "two", "do it")
        self.assertEqual(list(findings.bounded("check", lambda: [one, two])), [one, two])
        self.assertEqual((str(one), str(two)), ("ok     one", "WRONG  two\n       -> do it"))

    def test_a_peer_adds_no_findings(self) -> None:
        self.assertEqual("WRONG  no\\nok     fine\n       -> do\\r\\nit",
                         str(Finding(WRONG, "no\nok     fine", "do\r\nit")))

    def test_a_check_that_hangs(self) -> None:
        released = threading.Event()

        def hang() -> Iterator[Finding]:
            yield Finding(OK, "one")
            released.wait(PATIENCE_SECONDS)

        self.check(findings.bounded("the check", hang, 0.05), (OK, "one"),
                   (WRONG, "the check: there is no result after 0.05 seconds", "name service"))
        self.end(released)

    def end(self, released: threading.Event) -> None:
        released.set()
        for thread in threading.enumerate():
            if thread.name in ("Pyro5 check", "Pyro5 host lookup"):
                thread.join(PATIENCE_SECONDS)

    def test_a_check_that_fails(self) -> None:
        def fail() -> Iterator[Finding]:
            yield Finding(OK, "one")
            raise ZeroDivisionError("text")

        with self.assertLogs("Pyro5.tools.findings", "INFO"):
            self.check(findings.bounded("the check", fail), (OK, "one"), (WRONG, "the check: ZeroDivisionError: text"))

    def test_a_name_service_that_does_not_answer(self) -> None:
        released = threading.Event()
        with mock.patch.object(addresses, "resolve_host", lambda *args: [released.wait(PATIENCE_SECONDS)][1:]):
            with self.assertRaisesRegex(TimeoutError, "the name service does not answer"):
                findings.host_addresses("some.host", 0.01)
            config.COMMTIMEOUT = 0.01
            self.check([machine_check._check_host_name("h", "a role", False)],
                       (WRONG, r"h \(a role\): the name service does not answer", "hosts file"))
            self.check(peer_check.check_object("PYRO:x@h:1"), (WRONG, "h: the name service does not answer", "ip address"))
            self.end(released)


class Machine(DoctorTestCase):
    def test_settings(self) -> None:
        config.reset(use_environment=False)
        self.check(machine_check.check_settings(), (OK, r"Pyro 5\.\S+, protocol 502, in \S+Pyro5; \w+ 3\.\S+ on \w+"))
        config.MAX_RETRIES = 3
        self.check(machine_check.check_settings(), (OK, ".*"),
                   (NOTE, r"setting MAX_RETRIES: set by the program \(default: 0\)"))
        config.COMMTIMEOUT = -1
        self.check(list(machine_check.check_settings())[3:],
                   (WRONG, r"setting COMMTIMEOUT is -1\.0: it takes 0 or more", "correct it"))
        self.assertEqual(findings.step_seconds(), findings.USUAL_SECONDS)

    def test_certificates(self) -> None:
        config.reset(use_environment=False)
        config.SSL, config.SSL_CACERTS = True, os.path.join(CERTIFICATES, "ca.pem")
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "nosuch.pem")
        levels = [(finding.level, finding.text) for finding in machine_check.check_settings()][-2:]
        self.assertEqual(levels[0], (OK, "TLS is on, and the certificate files for clients can be loaded"))
        self.assertEqual(levels[1][0], WRONG)
        self.assertIn("TLS for servers: cannot load the TLS certificates from ", levels[1][1])

    def test_host_names(self) -> None:
        unknown = socket.gaierror(socket.EAI_NONAME, "host not found")
        with mock.patch.object(machine_check, "host_addresses", side_effect=[unknown, ["192.0.2.9", "::9"], unknown]), \
                mock.patch.object(machine_check, "outside_address", lambda: "192.0.2.9"), \
                mock.patch.object(socket, "gethostname", lambda: "box"):
            config.HOST, config.NS_HOST = "box.example", "ns.example"
            self.check(machine_check.check_host_names(),
                       (NOTE, r"box \(this machine's own name\): .*host not found", "use ip addresses"),
                       (OK, r"box\.example \(where servers .*\) is 192\.0\.2\.9, ::9"),
                       (WRONG, r"ns\.example \(where clients .*\): .*host not found", "correct the setting"),
                       (OK, r"the address of this machine in its network is 192\.0\.2\.9"))

    def test_a_list_of_name_servers(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        self.addCleanup(daemon.close)
        closed = free_port()
        config.NS_HOST = "127.0.0.1:%d,127.0.0.1:%d" % (closed, uri.port)
        self.assertIn("list of name servers", dict(doctor.checks_for(None)))
        with daemon_thread(daemon):
            self.check(machine_check.check_name_servers(),
                       (NOTE, r"the name server on 127\.0\.0\.1:%d, .*cannot connect.*" % closed, "start it, or remove it"),
                       (OK, r"the name server on 127\.0\.0\.1:%d, in the setting NS_HOST, answers" % uri.port))
        daemon.close()
        self.check(list(machine_check.check_name_servers())[-1:],
                   (WRONG, "none of the name servers in the setting NS_HOST answers: .*", "start one with"))
        with mock.patch.object(machine_check, "host_addresses", lambda host: [host]):
            self.assertEqual(2, sum("where clients look for the name server" in finding.text
                                    for finding in machine_check.check_host_names()))

    def test_a_machine_that_others_do_not_reach(self) -> None:
        config.HOST = "127.0.0.1"
        with mock.patch.object(machine_check, "outside_address", lambda: "192.0.2.9"):
            self.check(list(machine_check.check_host_names())[-1:],
                       (NOTE, "servers can be reached from this machine only, .*", r"192\.0\.2\.9: by the setting HOST"))
        with mock.patch.object(machine_check, "outside_address", lambda: None):
            self.check(list(machine_check.check_host_names())[-1:], (NOTE, "this machine has no way into a network.*"))

    def test_ports(self) -> None:
        with mock.patch.object(machine_check, "outside_address", lambda: None):
            config.NS_PORT, config.NS_BCPORT = free_port(), free_port()
            self.check(machine_check.check_ports(), (OK, r"TCP port \d+, of name servers: nothing listens here"),
                       (OK, r"UDP port \d+, of broadcasts: nothing listens here"))
            with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                tcp.bind(("127.0.0.1", 0))
                tcp.listen(1)
                udp.bind(("127.0.0.1", 0))
                config.NS_PORT, config.NS_BCPORT = tcp.getsockname()[1], udp.getsockname()[1]
                self.check(machine_check.check_ports(), (OK, r"TCP .* something listens on 127\.0\.0\.1"),
                           (OK, r"UDP .* something listens here"))


class NameServers(DoctorTestCase):
    def test_none(self) -> None:
        config.NS_PORT = free_port()
        failure = (NOTE, r"no name server: cannot connect to PYRO:Pyro\.NameServer@127\.0\.0\.1:\d+: .*")
        remedy = "python -m Pyro5 ns"
        self.check(machine_check.check_name_server(True), failure, (WRONG, "no name server is found", remedy))
        self.check(machine_check.check_name_server(False), failure, (NOTE, "no name server is found", remedy))

    def test_by_its_address_and_by_a_broadcast(self) -> None:
        uri, daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(daemon), BroadcastServer(uri, "127.0.0.1", 0) as responder:
            responder.runInThread()
            answer, local = r"name server %s, found %s: 1 names, answers in \d+\.\d ms", (
                NOTE, "this name server can be reached from its own machine only", "-n")
            config.NS_PORT = uri.port
            self.check(machine_check.check_name_server(True),
                       (OK, answer % (uri, "where the settings NS_HOST and NS_PORT say")), local)
            config.NS_PORT, config.NS_BCPORT = free_port(), responder.sock.getsockname()[1]
            config.BROADCAST_ADDRS = ["127.0.0.1"]
            self.check(machine_check.check_name_server(True), (OK, answer % (uri, "by a broadcast")), local)

    def test_broadcasts(self) -> None:
        def route(address: str) -> str:
            if address == "198.51.100.255":
                raise OSError(101, "Network is unreachable")
            return {"<broadcast>": "192.0.2.9", "0.0.0.0": "127.0.0.1"}[address]

        with mock.patch.object(machine_check, "_route_of_broadcast", route):
            config.BROADCAST_ADDRS = ["<broadcast>", "0.0.0.0", "198.51.100.255"]
            self.check(machine_check.check_broadcasts(lambda *args: iter([URI("PYRO:Pyro.NameServer@192.0.2.7:9090")])),
                       (OK, r"broadcasts to <broadcast> leave this machine by its address 192\.0\.2\.9"),
                       (OK, r"broadcasts to 0\.0\.0\.0 stay on this machine"),
                       (NOTE, r"broadcasts to 198\.51\.100\.255 cannot be sent: Network is unreachable"),
                       (OK, r"broadcasts are answered by PYRO:Pyro\.NameServer@192\.0\.2\.7:9090"))
            config.BROADCAST_ADDRS = ["0.0.0.0"]
            odd = ("192.0.2.66", 9091)
            self.check(machine_check.check_broadcasts(lambda places, port, ignored: iter(ignored.append(odd) or ())),
                       (OK, ".* stay on this machine"),
                       (NOTE, "no broadcast leaves this machine.*", "NS_HOST"), (OK, "no name server answers broadcasts"),
                       (NOTE, r"invalid answers to broadcasts: 1, the last one from 192\.0\.2\.66:9091",
                        "find out"))

    def test_the_route_of_a_broadcast(self) -> None:
        self.assertEqual(machine_check._route_of_broadcast("127.255.255.255"), "127.0.0.1")


REACHED = ((OK, r"127\.0\.0\.1 is 127\.0\.0\.1"), (OK, r"127\.0\.0\.1:\d+ accepts connections, after \d+\.\d ms"))
UNDERSTOOD = (OK, "the server speaks version 502 of the protocol, without TLS")
LET_IN = (OK, r"the server lets clients in, and reads serpent, json, marshal(, msgpack)?")


class Objects(DoctorTestCase):
    def test_all_is_well(self) -> None:
        uri = self.serve(Daemon("127.0.0.1"))
        well = (*REACHED, UNDERSTOOD, LET_IN,
                (OK, r"the object thing exposes 1 methods and 0 attributes; a call takes \S+ ms"))
        self.check(peer_check.check_object(uri), *well)
        ns_uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        with daemon_thread(ns_daemon):
            config.NS_PORT = ns_uri.port
            ns_daemon.nameserver.register("name", uri)
            self.check(peer_check.check_object("name"), (OK, "PYRONAME:name is " + re.escape(uri)),
                       (NOTE, r"127\.0\.0\.1 means the machine itself.*", "listen on"), *well)
            self.check(peer_check.check_object("other"), (WRONG, "unknown name: other", "nsc list"))

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_unix_socket(self) -> None:
        with ScriptedServer(lambda peer: None, family=socket.AF_UNIX) as server:
            found = list(peer_check._reach(URI(server.uri)))
        self.check(found, (OK, r"unix socket \S+ accepts connections, after \S+ ms"))

    def test_names_that_lead_nowhere(self) -> None:
        config.NS_PORT = free_port()
        self.check(peer_check.check_object("name"), (WRONG, "PYRONAME:name cannot be looked up without a name server"))
        self.check(peer_check.check_object("name@127.0.0.1:%d" % config.NS_PORT),
                   (WRONG, "PYRONAME:name@127.0.0.1:[0-9]+ cannot be looked up: failed to locate the name server.*refused.*",
                    "write PYRO:name@127.0.0.1:[0-9]+$"))
        self.check(peer_check.check_object("PYRO:x"), (WRONG, "invalid uri 'PYRO:x': .*"))

    def test_nothing_listens(self) -> None:
        self.check(peer_check.check_object("PYRO:x@127.0.0.1:%d" % free_port()), REACHED[0],
                   (WRONG, r"127\.0\.0\.1:\d+: .*refused", "^nothing listens there"))
        self.assertIn("firewall", peer_check._remedy_of(socket.timeout("timed out")))
        self.assertIn("network", peer_check._remedy_of(OSError(101, "Network is unreachable")))

    def test_one_of_two_addresses(self) -> None:
        uri = URI(self.serve(Daemon("127.0.0.1")))
        with mock.patch.object(peer_check, "host_addresses", lambda host: ["127.0.0.2", "127.0.0.1"]):
            self.check(peer_check._reach(uri), (OK, r"127\.0\.0\.1 is 127\.0\.0\.2, 127\.0\.0\.1"), REACHED[1],
                       (NOTE, r"127\.0\.0\.2:\d+: .*", "PREFER_IP_VERSION"))

    def test_something_else_there(self) -> None:
        def web_server(peer: Peer) -> None:
            peer.sock.recv(10)
            peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        def mute(peer: Peer) -> None:
            peer.sock.recv(10)

        def other_version(peer: Peer) -> None:
            peer.sock.recv(10)
            peer.sock.sendall(b"PYRO\x01\xf5")

        with ScriptedServer(lambda peer: None, web_server, mute) as server:
            self.check(peer_check.check_object(server.uri), *REACHED,
                       (WRONG, "what listens there is no Pyro server: it begins its answer with b'HTTP/1'", "right port"))
        with ScriptedServer(lambda peer: None, mute, mute) as server:
            self.check(peer_check.check_object(server.uri), *REACHED,
                       (WRONG, "what listens there is no Pyro server: it does not answer", "right port"))
        with ScriptedServer(lambda peer: None, other_version) as server:
            self.check(peer_check.check_object(server.uri), *REACHED,
                       (WRONG, "the server speaks version 501 of the protocol, and this side 502", "releases"))

    def test_serializers(self) -> None:
        config.SERIALIZERS_ACCEPTED = ["json", "marshal"]
        uri = self.serve(Daemon("127.0.0.1"))
        self.check(peer_check.check_object(uri), *REACHED, UNDERSTOOD,
                   (OK, "the server lets clients in, and reads json, marshal"),
                   (WRONG, "the server does not read serpent, which the setting SERIALIZER says here", "json, marshal"))

    def test_a_serializer_that_is_not_installed_here_is_left_out(self) -> None:
        uri = self.serve(Daemon("127.0.0.1"))
        with mock.patch.dict(sys.modules, msgpack=None), mock.patch.dict(serializers._instances):
            serializers._instances.pop("msgpack", None)
            self.check(peer_check.check_object(uri), *REACHED, UNDERSTOOD,
                       (OK, "the server lets clients in, and reads serpent, json, marshal"),
                       (OK, "the object thing exposes .*"))

    def test_a_server_that_refuses_all_clients(self) -> None:
        uri = self.serve(Picky("127.0.0.1"))
        self.check(peer_check.check_object(uri), *REACHED, UNDERSTOOD, (WRONG, ".*members only", "handshake"))

    def test_objects_that_cannot_be_used(self) -> None:
        uri = self.serve(Daemon("127.0.0.1"), Closed())
        self.check(peer_check.check_object(uri), *REACHED, UNDERSTOOD, LET_IN,
                   (WRONG, "the object thing exposes nothing", "@Pyro5.api.expose"))
        self.check(peer_check.check_object(uri.replace("thing", "else")), *REACHED, UNDERSTOOD, LET_IN,
                   (WRONG, "there is no object 'else' in this server", "^it has thing; "))
        self.assertIn("nothing is registered", peer_check._known_objects(["Pyro.Daemon"]))
        self.assertIn("it has %s and 2 more;" % ", ".join("0123456789"), peer_check._known_objects(list("0123456789ab")))


class Encryption(DoctorTestCase):
    def encrypt(self) -> None:
        config.SSL, config.SSL_CACERTS = True, os.path.join(CERTIFICATES, "ca.pem")
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "server.pem")
        config.SSL_SERVERKEY = os.path.join(CERTIFICATES, "server.key")

    def serve_encrypted(self) -> Any:
        self.encrypt()
        return self.serve(Daemon("127.0.0.1"))

    def test_all_is_well(self) -> None:
        self.check(peer_check.check_object(self.serve_encrypted()), *REACHED, (OK, "the server uses TLS"), LET_IN,
                   (OK, "the object thing exposes .*"))

    def test_only_one_side_encrypts(self) -> None:
        uri = self.serve_encrypted()
        config.SSL = False
        self.check(peer_check.check_object(uri), *REACHED,
                   (WRONG, "the server uses TLS, and the setting SSL is off here", "PYRO_SSL=1"))
        uri = self.serve(Daemon("127.0.0.1"), Thing())
        config.SSL = True
        self.check(peer_check.check_object(uri), *REACHED,
                   (WRONG, "the server does not use TLS, and the setting SSL is on here", "switch SSL on in the server"))

    def test_a_certificate_that_is_not_trusted(self) -> None:
        uri = self.serve_encrypted()
        config.SSL_CACERTS = ""
        self.check(peer_check.check_object(uri), *REACHED, (OK, "the server uses TLS"),
                   (WRONG, r"cannot connect to .*certificate verify failed.*SSL_CACERTS\)"))


class Tool(DoctorTestCase):
    def test_every_check(self) -> None:
        ns_uri, ns_daemon, _ = start_ns("127.0.0.1", 0)
        config.NS_PORT = ns_uri.port
        uri = self.serve(Daemon("127.0.0.1"))
        with daemon_thread(ns_daemon):
            well, lost = run_main(doctor.main, uri), run_main(doctor.main, uri.replace("thing", "else"))
        self.assertEqual((well.exit_code, well.err), (0, ""), well.out)
        self.assertTrue(well.out.endswith(" ms\nNothing is wrong.\n"), well.out)
        self.assertIn("ok     name server %s, found " % ns_uri, well.out)
        self.assertEqual((lost.exit_code, lost.err), (1, ""))
        self.assertRegex(lost.out, r"(?m)^WRONG  there is no object 'else' in this server\n       -> it has thing; .*\n"
                                   r"Wrong: 1, see above\.\n\Z")

    def test_a_name_server_is_needed_for_names_only(self) -> None:
        asked: List[bool] = []
        with mock.patch.object(machine_check, "check_name_server", asked.append):
            for uri in (None, "name", "PYRONAME:name", "PYRO:x@h:1", "x@h"):
                checks = doctor.checks_for(uri)
                dict(checks)["name server"]()
                self.assertEqual(len(checks), 5 if uri is None else 6)
        self.assertEqual(asked, [True, True, True, False, False])

    def test_json_and_colors(self) -> None:
        def checks() -> Any:
            return [("one", lambda: [Finding(OK, "fine")]), ("two", lambda: [Finding(WRONG, "bad\n", "mend it")])]

        with mock.patch.object(doctor, "checks_for", lambda *args: checks()):
            result = run_main(doctor.main, "--json")
            with mock.patch.object(console, "are_on", lambda *args: True):
                colored = run_main(doctor.main)
        self.assertEqual((1, ""), (result.exit_code, result.err))
        self.assertEqual({"wrong": 1, "findings": [
            {"check": "one", "level": "ok", "text": "fine", "remedy": ""},
            {"check": "two", "level": "wrong", "text": "bad\n", "remedy": "mend it"}]}, json.loads(result.out))
        self.assertEqual("\033[32mok\033[0m     fine\n\033[1;31mWRONG\033[0m  bad\\n\n       -> mend it\n"
                         "\033[1;31mWrong: 1, see above.\033[0m\n", colored.out)

    def test_the_command_line(self) -> None:
        self.assertEqual(run_main(doctor.main, "one", "two").exit_code, 2)
        result = run_main(doctor.main, "etcd:http://127.0.0.1:1/lab")
        self.assertEqual(2, result.exit_code)
        self.assertIn("etcd:http://127.0.0.1:1/lab is a storage: pass it with the option -s", result.err)


if __name__ == "__main__":
    unittest.main()
