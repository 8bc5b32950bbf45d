"""The examples of examples/ that show one feature each, run as they are."""
from __future__ import annotations

import unittest

from .programs import ExampleTestCase


class Values(ExampleTestCase):
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
        self.assertPrinted("somebody lives in Pier\nSerializedBlob: letter for Pier\nSerializedBlob: letter for Moor\n"
                           "SerializedBlob: letter for Pier\nThe post office is closed.", self.stop(office))


class Calls(ExampleTestCase):
    def test_batched_calls(self) -> None:
        self.folder = "batched_calls"
        lines = self.output_of("client.py", self.serve("server.py"), "--strokes", "80").splitlines()
        self.assertRegex(lines[0], r"^one by one   ends at \(-40, -40\), \d+\.\d ms$")
        self.assertRegex(lines[1], r"^batch        ends at \(-80, -80\), \d+\.\d ms$")
        self.assertRegex(lines[2], r"^oneway batch ends at None, \d+\.\d ms$")
        self.assertEqual(["first of three: 2 numbers", "second of three: the pen would leave the paper",
                          "and the third was never made: []"], lines[3:])

    def test_callbacks(self) -> None:
        self.folder = "callbacks"
        kiln = self.start("kiln.py", "--port", "0")
        printed = self.output_of("potter.py", self.uri_of(kiln), "--peaks", "400", "1200")
        self.assertIn("It has 200 degrees.\nIt has 400 degrees.\nFinished at 400 degrees.\nThe kiln says: fired\n", printed)
        self.assertRegex(printed, "(?s)LOG Pyro5.+Traceback.+ValueError: 1200 degrees are too much for earthenware\n"
                                  "The kiln says: fired, but somebody complained\n$")
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
        self.folder = "autoretry"
        self.assertPrinted("""
            Without retries, attempt 1: TimeoutError
            Without retries, attempt 2: ConnectionClosedError
            The link is fine for two calls: 7.5 7.5
            With retries: 7.5
            The buoy was called 7 times.""", self.output_of("client.py", self.serve("server.py"), "--timeout", "0.1"))


if __name__ == "__main__":
    unittest.main()
