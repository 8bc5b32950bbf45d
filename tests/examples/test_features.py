"""The examples of examples/ that show one feature each, run as they are."""
from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import sys
import unittest

from Pyro5._auth import files
from Pyro5._gateway.app import Gateway
from Pyro5.client import Proxy, locate_ns

from ..gateways import http_server
from ..programs import ExampleTestCase, NameServerTestCase
from ..support import PATIENCE_SECONDS, run_tool, with_longer_times


class Values(ExampleTestCase):
    @unittest.skipUnless(hasattr(os, "fork"), "this system cannot fork")
    def test_all_processors(self) -> None:
        self.folder = "all_processors"
        server = self.start("server.py", "--port", "0", "--processes", "2")
        printed = self.output_of("client.py", self.uri_of(server), "--clients", "4", "--limit", "100")
        self.assertRegex(printed, r"^25 primes below 100\n4 clients in \d+\.\d\d s: \d by process \d+(, \d by .*)?\n$")
        self.assertPrinted("All processes have ended.", self.stop(server))

    def test_attributes(self) -> None:
        self.folder = "attributes"
        printed = self.output_of("client.py", self.serve("server.py"), "--turns", "90", "100.4")
        self.assertPrinted("""
            It looks towards 180 degrees.
            Turned by 90, it looks towards 270.
            Turned by 100, it looks towards 10.
            Moves so far: 2, and len() says 2.
            Has it an azimuth? True. A maker? False.
            Reading what is not exposed: AttributeError
            Writing what is read-only: AttributeError
            Writing what does not exist: AttributeError
            Writing nonsense: TypeError""", printed)

    def test_autoproxy(self) -> None:
        self.folder = "autoproxy"
        self.assertPrinted("""
            Borrowed a Proxy
            scope-1 watches pin 4
            scope-1 watches pin 4, clock
            Once more: scope-1 is lent already
            Brought back: scope-1
            It is out of reach now.""", self.output_of("client.py", self.serve("server.py"), "--label", "scope-1"))

    def test_blob_dispatch(self) -> None:
        self.folder = "blob_dispatch"
        office = self.start("post_office.py", "--port", "0")
        uri = self.uri_of(office)
        addressee = self.start("addressee.py", uri, "--street", "Pier", "--letters", "2")
        addressee.read_until("Ready: ")
        self.assertPrinted("Posted to Pier\nPosted to Moor\nPosted to Pier",
                           self.output_of("sender.py", uri, "--name", "Ib", "--streets", "Pier", "Moor", "Pier"))
        self.assertPrinted("Letter from Ib:\nDear all in Pier,\nthis is my letter number 1.\n"
                           "Letter from Ib:\nDear all in Pier,\nthis is my letter number 3.", self.finish(addressee))
        self.assertPrinted("new addressee in Pier\nSerializedBlob: letter for Pier\nSerializedBlob: letter for Moor\n"
                           "SerializedBlob: letter for Pier\nThe post office is closed.", self.stop(office))

    def test_camera(self) -> None:
        self.folder = "camera"
        server = self.start("server.py", "--port", "0", "--width", "640", "--height", "480")
        lines = self.output_of("client.py", self.uri_of(server), "--frames", "40").splitlines()
        self.assertEqual(18, len(lines))
        self.assertEqual(["#.....", "#.....", "......"], lines[:3])
        self.assertRegex(lines[8], r"^640x480: \d+ frames per second, [0-9.]+ MB/s$")
        self.assertNotEqual(lines[:8], lines[9:17])
        server.read_until("the viewer has left")
        self.assertPrinted("The camera is off.", self.stop(server))

    def test_custom_serialization(self) -> None:
        self.folder = "custom_serialization"
        printed = self.output_of("client.py", self.serve("server.py"), "--serializers", "serpent", "json", "marshal")
        sample = "Sample(label='B-17', rock=<Rock.BASALT: 'basalt'>, grams=49.0)"
        self.assertPrinted("".join("%-8s %s\nfound in ['Iceland', 'Deccan']\nContaminated: moss\n" % (name, sample)
                                   for name in ("serpent", "json", "marshal")) + "Without converters: SerializeError", printed)

    def test_message_size(self) -> None:
        self.folder = "message_size"
        printed = self.output_of("client.py", self.serve("server.py", "--limit", "9000"), "--lines", "400", "--step", "100")
        lines = printed.splitlines()
        self.assertRegex(lines[0], r"^serpent +\d+ bytes, compressed +\d+$")
        self.assertEqual(["all at once: MessageTooLargeError", "in steps: 400 lines are there",
                          "everything back: MessageTooLargeError", "back in 4 parts, complete: True"], lines[-4:])

    def test_asyncio_client(self) -> None:
        self.folder = "asyncio_client"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            the highest of 40 levels: 349 cm
            gauge 1 has 212 cm, more than 200 cm""", self.output_of("client.py", self.uri_of(server)))
        server.read_until("the stream is closed")
        self.assertPrinted("The water falls.", self.stop(server))

    def test_asyncio_server(self) -> None:
        self.folder = "asyncio_server"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            Zephyr was here for 1 hours
            the pirate: no pirates
            Aurora was here for 10 hours
            Bella was here for 10 hours
            Calypso was here for 10 hours
            Dolphin was here for 10 hours
            characters in the log: 116""", self.output_of("client.py", self.uri_of(server)))
        self.assertPrinted("The harbour is closed.", self.stop(server))

    def test_asyncio_mixed(self) -> None:
        self.folder = "asyncio_mixed"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            the event loop: 40100
            a thread with a proxy of its own: 40100
            a thread through the event loop: 40100""", self.output_of("client.py", self.uri_of(server)))
        self.assertPrinted("The weighbridge is closed.", self.stop(server))

    def test_asyncio_webserver(self) -> None:
        self.folder = "asyncio_webserver"
        server = self.start("server.py", "--port", "0", "--web-port", "0")
        page = server.read_until("Page: ")[-1].split()[-1]
        self.assertPrinted("""
            visitors so far: 0
            <p>You are visitor number 1.</p>
            the object says: 1
            <p>You are visitor number 2.</p>
            the object says: 2""", self.output_of("client.py", self.uri_of(server), "--page", page))
        self.assertPrinted("The page is closed.", self.stop(server))

    def test_asyncio_cancel(self) -> None:
        self.folder = "asyncio_cancel"
        server = self.start("server.py", "--port", "0", "--slow")
        self.assertPrinted("""
            Tartu found Encke
            cancelled: 1""", self.output_of("client.py", self.uri_of(server)))
        server.read_until("Calar Alto: the search for Encke was cancelled")
        self.assertPrinted("The sun rises.", self.stop(server))

    def test_streaming(self) -> None:
        self.folder = "streaming"
        server = self.start("server.py", "--port", "0")
        lines = self.output_of("client.py", self.uri_of(server), "--seed", "1", "--count", "600").splitlines()
        self.assertEqual(["the first three of endlessly many: [1.29, 1.45, 0.07]",
                          "and the next one, over another connection: -0.76", "strong ones among 600: 3",
                          "600 values in 3 blocks", "the same numbers as before: True"], lines)
        server.read_until("the stream is closed")  # closing a stream is a oneway call: the client does not wait for it
        self.assertPrinted("The earth is quiet.", self.stop(server))

    def test_third_party_library(self) -> None:
        self.folder = "third_party_library"
        self.assertPrinted("""
            The class as a whole:
            height at 5: 52
            highest: SerializeError
            erase_everything: SystemError
            The adapter:
            height at 5: 52
            highest: {'hour': 12, 'cm': 267}
            erase_everything: AttributeError""", self.output_of("client.py", self.serve("server.py"), "--hour", "5"))

    def test_typed_interface(self) -> None:
        self.folder = "typed_interface"
        self.assertPrinted("""
            The cabin is at floor 0.
            It came 5 floors.
            Floor 4: mind the step
            Floor 6: mind the step
            1. called to 5
            2. called to 4
            3. called to 6""", self.output_of("client.py", self.serve("server.py"), "--floors", "4", "6"))

    def test_time_zones(self) -> None:
        self.folder = "time_zones"
        printed = self.output_of("client.py", self.serve("server.py", "--offset", "-3"), "--offset", "1",
                                 "--serializers", "serpent", "marshal")
        lines = printed.splitlines()
        for name, at in (("serpent", 0), ("marshal", 2)):
            self.assertEqual([name + ": sunset at 17:43 there, 21:43 here, in -1 day, 23:43:00",
                              name + ": 22:00 here is 18:00 there (datetime)"], lines[at:at + 2])
        self.assertRegex(lines[4], "^Refused: .*a datetime without a time zone .*: 2031-06-21 22:00:00")


class Calls(ExampleTestCase):
    def test_batched_calls(self) -> None:
        self.folder = "batched_calls"
        lines = self.output_of("client.py", self.serve("server.py"), "--strokes", "82").splitlines()
        self.assertRegex(lines[0], r"^one by one   ends at \(21, 21\), \d+\.\d ms$")
        self.assertRegex(lines[1], r"^batch        ends at \(42, 42\), \d+\.\d ms$")
        self.assertRegex(lines[2], r"^oneway batch ends at None, \d+\.\d ms$")
        self.assertEqual(["first of three: 2 numbers", "second of three: the pen would leave the paper",
                          "and the third was never made: []"], lines[3:])

    def test_callbacks(self) -> None:
        self.folder = "callbacks"
        kiln = self.start("kiln.py", "--port", "0")
        printed = self.output_of("potter.py", self.uri_of(kiln), "--peaks", "400", "1200")
        self.assertIn("It has 200 degrees.\nIt has 400 degrees.\nFinished at 400 degrees.\nThe kiln says: fired\n", printed)
        self.assertRegex(printed, "(?s)LOG Pyro5.+Traceback.+ValueError: 1200 degrees are too much for earthenware\n"
                                  "The kiln says: fired, but the watcher failed\n$")
        self.assertIn("The watcher is not content: 1200 degrees", self.stop(kiln))

    def test_call_context(self) -> None:
        self.folder = "call_context"
        archive = self.start("archive.py", "--port", "0")
        desk = self.start("desk.py", "--port", "0", self.uri_of(archive))
        self.assertPrinted("""
            Here is a copy of Atlas of Clouds, from shelf 12.
            Jen a copy of Atlas of Clouds, el shelf 12.
            The reply also said: OPEN=9 to 5, WAIT=no queue""",
                           self.output_of("reader.py", self.uri_of(desk), "--languages", "en", "eo"))
        case = "case 00000000-0000-0000-0000-0000000007e8"
        self.assertRegex(self.stop(desk), r"^call 1 from \S+, %s\ncall 2 from \S+, %s\nThe desk" % (case, case))
        self.assertPrinted("find 'Atlas of Clouds' for %s, language unknown\n" % case * 2 + "The archive is closed.",
                           self.stop(archive))

    def test_instance_modes(self) -> None:
        self.folder = "instance_modes"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            PerVisitor
            visitor 1: machine 1, white ticket 1
            visitor 1: machine 1, white ticket 2
            visitor 2: machine 2, white ticket 1
            visitor 2: machine 2, white ticket 2
            ForAll
            visitor 1: machine 3, white ticket 1
            visitor 1: machine 3, white ticket 2
            visitor 2: machine 3, white ticket 3
            visitor 2: machine 3, white ticket 4
            PerTicket
            visitor 1: machine 4, yellow ticket 1
            visitor 1: machine 5, yellow ticket 1
            visitor 2: machine 6, yellow ticket 1
            visitor 2: machine 7, yellow ticket 1""", self.output_of("client.py", self.uri_of(server)))
        self.assertPrinted("7 machines were built.", self.stop(server))

    def test_oneway(self) -> None:
        self.folder = "oneway"
        lines = self.output_of("client.py", self.serve("server.py", "--seconds", "0.1"), "--turns", "2").splitlines()
        said, seconds = zip(*(re.fullmatch(r"(.+) after (\d+\.\d\d) s", line).groups()  # type: ignore[union-attr]
                              for line in lines))
        self.assertEqual(("a normal call: 'turned'", "a oneway call: None", "a oneway call: None",
                          "until all turns are done: 3"), said)
        self.assertLess(min(map(float, seconds[1:3])), float(seconds[0]))

    def test_server_types(self) -> None:
        self.folder = "server_types"
        for expected, options in ((2, ["thread", "--cooks", "2"]), (1, ["multiplex"])):
            uri = self.serve("server.py", "--seconds", "0.05", "--servertype", *options)
            self.assertRegex(self.output_of("client.py", uri, "--guests", "4"),
                             r"^4 soups in 0\.\d\d s, at most %d at once\n$" % expected)

    def test_threads(self) -> None:
        self.folder = "threads"
        uri = self.serve("server.py")
        self.assertPrinted("""
            birds so far: 1
            all threads, birds: 51 over 2 connections""", self.output_of("client.py", uri, "--threads", "2"))
        self.assertPrinted("""
            birds so far: 52
            not the owner: PyroError
            taken over, birds so far: 53""", self.output_of("client.py", uri, "--strict"))


class Loops(ExampleTestCase):
    folder = "event_loop"

    def test_own_loops(self) -> None:
        for program in ("select_loop.py", "selectors_loop.py"):
            with self.subTest(program):
                server = self.start(program, "--port", "0")
                _, uri, *_, port = server.read_until("Ready: ")[-1].split()
                self.assertPrinted("Entry number 1\nEntry number 2\nSent a datagram.",
                                   self.output_of("client.py", uri, "--sensor-port", port, "--texts", "gulls", "rain"))
                self.assertPrinted("entry 1: gulls\nentry 2: rain\nentry 3: sensor says 4 degrees\nThe logbook is full.",
                                   self.finish(server))

    def test_own_name_server(self) -> None:
        server = self.start("own_name_server.py", "--port", "0", "--names-port", "0", "--broadcast-port", "0")
        _, _, _, names, _, broadcasts = server.read_until("Ready: ")[-1].split()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.sendto(b"GET_NSURI", ("127.0.0.1", int(broadcasts.rpartition(":")[2])))
            self.assertEqual(names, asker.recv(200).decode())
        self.assertPrinted("Entry number 1\nEntry number 2\nEntry number 3",
                           self.output_of("client.py", "PYRONAME:example.logbook@" + names.partition("@")[2],
                                          "--texts", "one", "two", "three"))
        self.assertPrinted("entry 1: one\nentry 2: two\nentry 3: three\nThe logbook is full.", self.finish(server))


class Clients(ExampleTestCase):
    def test_disconnects(self) -> None:
        self.folder = "disconnects"
        server = self.start("server.py", "--port", "0")
        uri = self.uri_of(server)
        leaving = self.start("client.py", uri, "--number", "1", "--seconds", "0")
        self.assertPrinted("Guide 1 is out; the desk knows of [1].\nGuide 1 is back.", self.finish(leaving))
        server.read_until("guide 1 is gone")
        broken = self.start("client.py", uri, "--number", "2", "--seconds", "0", "--break")
        self.assertPrinted("Guide 2 is out; the desk knows of [2].", self.finish(broken))
        server.read_until("guide 2 is gone")
        self.assertPrinted("The museum is closed.", self.stop(server))

    def test_handshake(self) -> None:
        self.folder = "handshake"
        uri = self.serve("server.py")
        self.assertPrinted("The vault says: Welcome, tomas. The vault closes at five.\ntomas opens drawer 7",
                           self.output_of("client.py", uri, "--person", "tomas", "--badge", "basalt-12"))
        for person, badge in (("tomas", "granite-44"), ("nobody", "")):
            self.assertRegex(self.output_of("client.py", uri, "--person", person, "--badge", badge),
                             "^Not let in: .*this badge is not valid\n$")

    def test_resource_tracking(self) -> None:
        self.folder = "resource_tracking"
        server = self.start("server.py", "--port", "0")
        uri = self.uri_of(server)
        self.assertPrinted("reserved: refractor mirror\ngiven back: refractor", self.output_of("client.py", uri))
        self.assertEqual(["refractor is free again", "mirror is free again"], server.read_until("mirror"))
        self.assertPrinted("all telescopes are in use\nreserved: mirror refractor\ngiven back: mirror",
                           self.output_of("client.py", uri, "--reserve", "3", "--release", "1", "--crash"))
        server.read_until("refractor is free again")
        self.assertPrinted("The dome is closed.", self.stop(server))

    @unittest.skipUnless(shutil.which("openssl"), "needs the program openssl")
    def test_tls(self) -> None:
        self.folder = "tls"
        folder = self.temporary_folder()
        self.assertPrinted("made in %s: authority.pem client.pem server.pem" % folder,
                           self.output_of("make_certificates.py", "--folder", folder, "--keeper", "Ib"))
        uri = self.serve("server.py", "--folder", folder)
        self.assertPrinted("Ib has switched the light on\nThe lighthouse is Lighthouse",
                           self.output_of("client.py", uri, "--folder", folder))
        self.assertRegex(self.output_of("client.py", uri, "--folder", folder, "--stranger"), r"^Not let in: .+\n$")

    def test_user_sessions(self) -> None:
        self.folder = "user_sessions"
        server = self.start("server.py", "--port", "0", "--database", os.path.join(self.temporary_folder(), "notes.db"))
        uri = self.uri_of(server)
        login = {"mira": ("--user", "mira", "--password", "heron"), "joost": ("--user", "joost", "--password", "curlew")}
        self.output_of("client.py", uri, *login["mira"], "--notes", "two herons", "one frog")
        self.output_of("client.py", uri, *login["joost"], "--notes", "nothing")
        self.assertPrinted("mira has written: two herons; one frog; rain",
                           self.output_of("client.py", uri, *login["mira"], "--notes", "rain"))
        self.assertRegex(self.output_of("client.py", uri, "--password", "x"), "^Not logged in: .*wrong user or password\n$")
        for name in ("mira", "joost", "mira"):
            server.read_until(name + " has left")


class Places(ExampleTestCase):
    def test_no_name_server(self) -> None:
        self.folder = "no_name_server"
        path = os.path.join(self.temporary_folder(), "uri")
        server = self.start("server.py", "--port", "0", "--file", path)
        port = self.uri_of(server).rpartition(":")[2]
        self.assertPrinted("""
            by an address that everybody knows: 1013 hPa
            by the file that the server wrote: 1013 hPa
            by asking the daemon: 1013 hPa""", self.output_of("client.py", "--port", port, "--file", path))
        self.stop(server)
        self.assertFalse(os.path.exists(path))

    def test_socketpair(self) -> None:
        self.folder = "socketpair"
        self.assertPrinted("bong bong (in the tower)\nbong bong bong (in the tower)",
                           self.output_of("in_a_thread.py", "--hours", "2", "15"))
        self.assertPrinted("red sun moon -> ru\u011da ? luno, in another process: True\nThe second process ends.",
                           self.output_of("in_a_process.py", "--text", "red sun moon"))

    def test_unix_sockets(self) -> None:
        self.folder = "unix_sockets"
        path = os.path.join(self.temporary_folder(), "box")
        servers = [("--path", path)]
        if sys.platform == "linux":
            servers.append(("--path", path, "--abstract", "letterbox of test %d" % os.getpid()))
        for address in servers:
            server = self.start("server.py", *address)
            server.read_until("Ready: ")
            self.assertPrinted("dropped number 1\ndropped number 2",
                               self.output_of("client.py", *address, "--texts", "hello", "goodbye"))
            self.assertPrinted("letter 1: hello\nletter 2: goodbye\nNo more letters.\nThe socket's file is gone: True",
                               self.stop(server))


class Trouble(ExampleTestCase):
    def test_autoreconnect(self) -> None:
        self.folder = "autoreconnect"
        server = self.start("server.py", "--port", "0")
        uri = self.uri_of(server)
        client = self.start("client.py", uri, "--readings", "100000", "--interval", "0.01")
        client.read_until("Level: 101 cm")
        self.kill(server)
        client.read_until("Lost the gauge, waiting for it.")
        self.uri_of(self.start("server.py", "--port", uri.rpartition(":")[2], "--start", "500"))
        self.assertEqual(["There it is again.", "Level: 500 cm"], client.read_until("Level: 500 cm")[-2:])

    def test_autoretry(self) -> None:
        def check(factor: float) -> None:
            self.assertPrinted("""
                Without retries, attempt 1: TimeoutError
                Without retries, attempt 2: ConnectionClosedError
                The link is fine for two calls: 7.5 7.5
                With retries: 7.5
                The buoy was called 7 times.""",
                               self.output_of("client.py", self.serve("server.py"), "--timeout", 0.25 * factor))
        self.folder = "autoretry"
        with_longer_times(check)

    def test_retries(self) -> None:
        self.folder = "retries"
        self.assertPrinted("""
            weight: 0
            poured, weight now: 5
            pouring failed; was it sent? None
            weight: 10""", self.output_of("client.py", self.serve("server.py")))

    def test_interceptor(self) -> None:
        self.folder = "interceptor"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            Refused: say who you are
            In the safe: gold
            Not there: 'crown'""", self.output_of("client.py", self.uri_of(server)))
        printed = self.stop(server)
        for line in ("safe.put('ring', 'gold') by unknown: PermissionError (", "safe.put('ring', 'gold') by ada: ok (",
                     "safe.look('crown',) by ada: KeyError ("):
            self.assertIn(line, printed)

    def test_statistics(self) -> None:
        self.folder = "statistics"
        self.assertPrinted("""
            No cake: the oven is cold
            kitchen is SERVING
            cake   4 calls, 1 errors, quick
            salad  4 calls, 0 errors, quick
            soup   4 calls, 0 errors, 10 ms or more
            last error of cake: the oven is cold""", self.output_of("client.py", self.serve("server.py")))

    def test_long_job(self) -> None:
        self.folder = "long_job"
        self.assertPrinted("""
            a short one: 0.1
            clouds are coming, cancelled: True
            the deadline has passed
            the next one: 0.1""", self.output_of("client.py", self.serve("server.py")))

    def test_async_methods(self) -> None:
        self.folder = "async_methods"
        server = self.start("server.py", "--port", "0")
        self.assertPrinted("""
            the warmest one: Reykjavik
            answers: 20
            one after the other: no
            wind: 10
            wind: 11
            wind: 12""", self.output_of("client.py", self.uri_of(server)))
        self.assertEqual("the anemometer rests\n", server.readline())

    def test_exclusive(self) -> None:
        self.folder = "exclusive"
        self.assertPrinted("""
            Ada sees cells at 0, 0
            Ada sees cells at 0, 1
            Ada sees cells at 0, 2
            Rosalind sees cells at 1, 0
            Rosalind sees cells at 1, 1
            Rosalind sees cells at 1, 2
            refused: object 'microscope' is in exclusive use by another client; try again later
            afterwards: cells at 9, 9""", self.output_of("client.py", self.serve("server.py")))

    def test_lab_key(self) -> None:
        self.folder = "lab_key"
        secrets = self.temporary_folder()
        key, users, password = (os.path.join(secrets, name) for name in ("lab.key", "users.json", "ada.password"))
        self.assertEqual(0, run_tool("Pyro5", "key", "new", key).exit_code)
        self.assertEqual(0, run_tool("Pyro5", "user", "add", "ada", "--role", "operator", "--file", users,
                                     stdin="stars\n").exit_code)
        files.create(password, b"stars")
        server = self.start("server.py", "--port", "0", "--key-file", key, "--users", users)
        uri = self.uri_of(server)
        printed = []
        for self.environ in ({}, {"PYRO_AUTH_KEY_FILE": key}, {"PYRO_AUTH_USER": "ada", "PYRO_AUTH_PASSWORD_FILE": password}):
            printed.append(self.output_of("client.py", uri))
        self.assertPrinted("""
            not accepted: this server wants a user or a key: set AUTH_USER and AUTH_PASSWORD_FILE, or AUTH_KEY_FILE
            Polaris, seen by a client with the key
            not allowed: a client without a user may not use telescope.move: it needs the role operator
            Polaris, seen by ada
            Vega, seen by ada""", "".join(printed))

    def test_exceptions(self) -> None:
        self.folder = "exceptions"
        server = self.start("server.py", "--port", "0", "--detailed")
        printed = self.output_of("client.py", self.uri_of(server))
        self.assertIn("10 N: 0.2 m\n-1 N: the force must be positive\n1000 N: __main__.SpringBroken with arguments "
                      "('the spring broke at 1000 N', 1000)\n700 N:\nTraceback", printed)
        self.assertRegex(printed, r"(?s)client.py.+Remote traceback.+server.py.+wear = 0\n")
        self.assertPrinted("stretch(-1,) failed: ValueError\nstretch(1000,) failed: SpringBroken\n"
                           "stretch(700,) failed: ZeroDivisionError\nThe rig is off.", self.stop(server))

    def test_uncaught_exception(self) -> None:
        self.folder = "exceptions"
        # a Python of its own, since what happens at its end is what this is about
        result = run_tool(self.path_of("client.py"), self.serve("server.py"), "--crash")
        self.assertEqual(1, result.exit_code)
        self.assertRegex(result.err, r"(?s)client.py.+Remote traceback.+server.py.+ZeroDivisionError")

    def test_timeouts(self) -> None:
        self.folder = "timeouts"
        printed = self.output_of("client.py", self.serve("server.py"), "--patience", "0.4", "--floors", "1", "99")
        self.assertRegex(printed, r"^at floor 1, after 0\.\d s\nno patience for floor 99, after \d\.\d s\n"
                                  r"at floor 1, after 0\.\d s\nan elevator that does not exist: \w+Error\n$")


class Names(NameServerTestCase):
    def test_greeting(self) -> None:
        self.folder = "greeting"
        server = self.start("server.py", "--port", "0")
        uri = self.uri_of(server)
        self.assertPrinted("Hello Ada, you are visitor number 1.\nHello Grace, you are visitor number 2.",
                           self.output_of("client.py", "Ada", "Grace"))
        self.assertPrinted("Hello Edsger, you are visitor number 3.", self.output_of("client.py", "--uri", uri, "Edsger"))
        self.assertPrinted("Stopped.", self.stop(server))
        self.assertEqual({}, self.names.list(prefix="example.greeting"))

    def test_greeting_without_name_server(self) -> None:
        self.folder = "greeting"
        uri = self.serve("server.py", "--no-name-server")
        self.assertEqual({}, self.names.list(prefix="example.greeting"))
        self.assertPrinted("Hello stranger, you are visitor number 1.", self.output_of("client.py", "--uri", uri))

    def test_circular(self) -> None:
        self.folder = "circular"
        stations = [self.start("station.py", *names) for names in (("elm", "yew"), ("yew", "elm"))]
        for station in stations:
            station.read_until("Ready: ")
        self.assertPrinted("The way it went: yew -> elm -> yew", self.output_of("sender.py", "yew", "--message", "ice"))
        self.assertPrinted("elm passes on 'ice'\nThe arms are down.", self.stop(stations[0]))
        self.assertEqual({}, self.names.list(prefix="example.station.elm"))

    def flash(self, colour: str) -> None:
        """Call a light: when it answers, its request loop runs, and Ctrl-C ends that."""
        with Proxy(self.names.lookup("example.light." + colour)) as light:
            self.assertEqual("a %s flash" % colour, light.flash())

    def test_leases(self) -> None:
        self.folder = "leases"
        first = self.start("light.py", "red", "--ttl", "0.3")
        first.read_until("Ready: ")
        second = self.start("light.py", "red", "--take-over")
        second.read_until("Ready: ")
        first.read_until("Another light has the name now.")
        self.assertPrinted("Switched off.", self.stop(first))
        self.assertIn("example.light.red", self.names.list())
        self.flash("red")
        self.assertPrinted("Switched off.", self.stop(second))
        self.assertNotIn("example.light.red", self.names.list())

    def test_watch(self) -> None:
        self.folder = "watch"
        master = self.start("harbour_master.py")
        master.read_until("Watching.")
        lights = [self.start(os.path.join("..", "leases", "light.py"), colour, "--ttl", "0.3") for colour in ("red", "green")]
        first, second = lights
        for light in lights:
            light.read_until("Ready: ")
        self.flash("red")
        self.assertPrinted("Switched off.", self.stop(first))
        master.read_until("removed red")
        second.checked = True
        second.process.kill()
        master.read_until("removed green")
        self.assertPrinted("The harbour master goes home.", self.stop(master).splitlines()[-1])

    def test_yellow_pages(self) -> None:
        self.folder = "yellow_pages"
        things = [self.start("equipment.py", *arguments) for arguments in (
            ("inky", "--tags", "building:west"), ("dotty", "--tags", "building:east"),
            ("beam", "--kind", "laser", "--tags", "building:west", "loud"))]
        for thing in things:
            thing.read_until("Ready: ")
        self.assertPrinted("""
            in building west: beam, inky
            printers in building west: inky
            printers or lasers: beam, dotty, inky
            ovens: nothing
            beam has done 1 jobs and has the tags building:west equipment:laser loud
            dotty has done 1 jobs and has the tags building:east equipment:printer
            inky has done 1 jobs and has the tags building:west equipment:printer
            beam cuts cork""", self.output_of("visitor.py", "--building", "west", "--material", "cork"))

    def test_http_client(self) -> None:
        self.folder = "http_client"
        server = self.start("server.py", "--port", "0")
        self.uri_of(server)
        locate = functools.partial(locate_ns, "127.0.0.1", int(self.environ["PYRO_NS_PORT"]))
        with contextlib.closing(Gateway(gatewaykey="fig", locate=locate)) as gateway, http_server(gateway) as http:
            url = "http://127.0.0.1:%d" % http.port
            self.assertPrinted("""
                methods: beds, move_roof, water
                the roof is closed
                basil: 3.0 litres
                figs: 3.0 litres
                tomatoes: 3.0 litres
                no such bed: builtins.KeyError orchids
                a litre too few: builtins.ValueError water cannot be taken out of a bed
                a text is no number: builtins.TypeError '<=' not supported between instances of 'str' and 'int'
                not exposed: 403: 403 Forbidden - access to the requested object has been denied""",
                               self.output_of("client.py", "--gateway", url, "--key", "fig", "--litres", "3"))
        self.assertRegex(self.stop(server), r"\AThe roof is open, by order [0-9a-f-]{36}\nNight falls.\n\Z")


if __name__ == "__main__":
    unittest.main()
