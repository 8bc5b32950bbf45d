"""The examples of examples/ that are small applications, run as they are."""
from __future__ import annotations

import importlib.util
import os
import re
import shutil
import struct
import subprocess
import unittest
import zlib
from typing import List

from ..programs import ExampleTestCase, NameServerTestCase
from ..support import PATIENCE_SECONDS, ToolProcess


class Conversations(ExampleTestCase):
    def test_chat_box(self) -> None:
        self.folder = "chat_box"
        uri = self.serve("radio.py")
        first = self.start("station.py", uri, "--call-sign", "Tern", "--channel", "9", "--hear", "5")
        first.read_until("[radio] Tern is listening")
        second = self.output_of("station.py", uri, "--call-sign", "Gull", "--channel", "9", "--say", "fog ahead",
                                "--hear", "2")
        self.assertEqual(["On channel 9: Gull Tern", "[Gull] fog ahead", "[radio] Gull is listening"],
                         sorted(second.splitlines()))
        first.read_until("[radio] Gull has signed off")
        self.output_of("station.py", uri, "--call-sign", "Crane", "--channel", "10", "--hear", "1")
        self.output_of("station.py", uri, "--call-sign", "Crane", "--channel", "9", "--hear", "1")
        self.assertIn("[radio] Crane is listening\n", self.finish(first))

    def test_message_bus(self) -> None:
        self.folder = "message_bus"
        path = os.path.join(self.temporary_folder(), "bus.db")
        bus = self.start("bus.py", "--port", "0", "--database", path)
        uri = self.uri_of(bus)
        farm = self.start("subscriber.py", uri, "--name", "farm", "--topics", "rain", "--messages", "2")
        farm.read_until("Ready: ")
        published = self.output_of("publisher.py", uri, "--station", "hill", "--readings", "3", "--seed", "1")
        self.assertPrinted("published; the bus has 3 of rain, 3 of wind", published)
        self.assertRegex(self.finish(farm), r"^rain: hill: \d+\nrain: hill: \d+\n$")
        self.assertPrinted("The bus stops here: {'rain': 3, 'wind': 3}", self.stop(bus))

        uri = self.serve("bus.py", "--database", path)
        self.output_of("publisher.py", uri, "--station", "valley", "--readings", "1")
        printed = self.output_of("subscriber.py", uri, "--name", "farm", "--topics", "rain", "wind", "--messages", "2")
        self.assertRegex(printed, r"^Ready: farm listens to rain, wind\nrain: hill: \d+\nrain: valley: \d+\n$")

    def test_robots(self) -> None:
        self.folder = "robots"
        arena = self.start("arena.py", "--port", "0", "--size", "6", "--crystals", "5", "--seed", "4")
        uri = self.uri_of(arena)
        drivers = [self.start("driver.py", uri, *arguments) for arguments in (
            ("--name", "Kira"), ("--name", "Omar", "--style", "drunk", "--seed", "2"))]
        lines = arena.read_until("Result: ")
        self.assertRegex(lines[0], r"^[.*KO]{6}$")
        self.assertEqual(5, "".join(lines[:6]).count("*"))
        counts = re.findall(r"has collected (\d) crystals", "".join(self.finish(driver) for driver in drivers))
        self.assertEqual("Result: Kira %s, Omar %s" % tuple(counts), lines[-1])
        self.assertEqual(5, sum(map(int, counts)))
        self.assertPrinted("Dust settles.", self.stop(arena))

    def test_shopping_cart(self) -> None:
        self.folder = "shopping_cart"
        shop = self.start("shop.py", "--port", "0")
        self.assertPrinted("""
            Piet: only 1 of locomotive left
            on the shelves: {'locomotive': 1, 'waggon': 6, 'signal': 5}
            Nadia has 2 things
            Nadia pays 178.00""", self.output_of("customer.py", self.uri_of(shop)))
        left = sorted(shop.readline() for _ in range(2))
        self.assertEqual(["Nadia leaves, not paid: 0\n", "Piet leaves, not paid: 4\n"], left)
        self.assertPrinted("The shop is closed.", self.stop(shop))


class Transfers(ExampleTestCase):
    def test_echo_server(self) -> None:
        self.folder = "echo_server"
        with ToolProcess("Pyro5.utils.echoserver", "-p", "0") as server:
            uri = server.read_until("echo uri: ")[-1].split()[-1]
            printed = self.output_of("client.py", uri, "--value", "hi", "--stop")
            self.assertEqual(0, server.wait().exit_code)
        self.assertIn("serpent: ('hi', 1) comes back as ('hi', 1)\njson: ('hi', 1) comes back as ['hi', 1]\n", printed)
        self.assertRegex(printed, r"error\(\) raises \w+\nThe server was told to stop.\n$")

    def test_file_transfer(self) -> None:
        self.folder = "file_transfer"
        folder = self.temporary_folder()
        for name, size in (("small.rec", 10), ("large.rec", 600000)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(os.urandom(size))
        lines = self.output_of("client.py", self.serve("server.py", "--folder", folder)).splitlines()
        self.assertEqual("fetching large.rec, 600000 bytes", lines[0])
        for way, line in zip(("by_stream", "by_annotations", "by_raw_socket"), lines[1:]):
            self.assertRegex(line, r"^%-15s +600000 bytes, +\d+\.\d MB/s$" % way)
        self.assertEqual(["all the same", "not everything is sent: there is no recording named '../secret'"], lines[4:])

    def test_huge_transfer(self) -> None:
        self.folder = "huge_transfer"
        for options in ((), ("--bytes-repr",)):
            printed = self.output_of("client.py", self.serve("server.py", *options), "--megabytes", "1",
                                     "--serializers", "serpent", "json", "marshal")
            self.assertEqual(5 + 2 + 5, len(printed.splitlines()))
            for line in printed.splitlines():
                self.assertRegex(line, r"^\w+, (text|bytes) [\w ]+ +\d+\.\d MB/s$")

    @unittest.skipUnless(hasattr(os, "fork"), "needs a system that can fork")
    def test_privilege_separation(self) -> None:
        self.folder = "privilege_separation"
        root = os.geteuid() == 0
        printed = self.output_of("keeper.py")
        self.assertIn("the large part has no privileges: %s\n" % root, printed)
        self.assertIn("it cannot read the file itself\n" if root else "it can read the file itself", printed)
        self.assertTrue(printed.endswith(
            "the keeper reads: ['a line that only the keeper may read', 'the large part was here']\n"
            "the keeper refuses: at most ten lines\nthe large part ended with 0\n"), printed)


class Workers(NameServerTestCase):
    def start_workers(self, *arguments: List[str]) -> List[str]:
        workers = [self.start("worker.py", *each) for each in arguments]
        return [self.uri_of(worker) for worker in workers]

    def test_dispatcher(self) -> None:
        self.folder = "distributed_dispatcher"
        uri = self.serve("dispatcher.py")
        client = self.start("client.py", uri, "--end", "1000", "--size", "100")
        workers = [self.start("worker.py", uri, "--name", name, "--wait", "0.1") for name in ("anna", "otto")]
        self.assertRegex(self.finish(client), r"^10 orders were done by [12] workers\n"
                                              r"below 1000, the longest way to 1 is that of 871, with 178 steps\n$")
        for worker, name in zip(workers, ("anna", "otto")):
            self.assertPrinted("Ready: %s\n%s found nothing more to do" % (name, name), self.finish(worker))

    def test_metadata(self) -> None:
        self.folder = "distributed_metadata"
        self.start_workers(["--name", "anna"], ["--name", "otto"])
        self.assertPrinted("2 workers: anna, otto\na ball of radius 1 in 2 dimensions has a volume of about 3.1",
                           self.output_of("client.py", "--drops", "2000", "--dimensions", "2"))

    def test_futures(self) -> None:
        self.folder = "distributed_futures"
        uris = self.start_workers(["--port", "0"], ["--port", "0"])
        self.assertPrinted("6 queens: 4 solutions, computed by 2 workers\n"
                           "a future can fail, too: there is no column 6 on a board of 6",
                           self.output_of("client.py", *uris, "--size", "6"))

    def test_mandelbrot(self) -> None:
        self.folder = "mandelbrot"
        self.start_workers(["--name", "one"], ["--name", "two"])
        path = os.path.join(self.temporary_folder(), "picture.png")
        self.assertPrinted("2 workers painted 24 rows: " + path,
                           self.output_of("painter.py", "--width", "32", "--height", "24", "--out", path))
        with open(path, "rb") as file:
            data = file.read()
        self.assertEqual((b"\x89PNG\r\n\x1a\n", (32, 24)), (data[:8], struct.unpack(">II", data[16:24])))
        length = struct.unpack(">I", data[33:37])[0]
        pixels = zlib.decompress(data[41:41 + length])
        self.assertEqual((33 * 24, {0}), (len(pixels), set(pixels[::33])))
        self.assertEqual(0, min(pixels[12 * 33 + 1:13 * 33]), "the middle row goes through the set")
        self.assertGreater(min(pixels[1:33]), 200, "the first row is far away from it")

    def test_name_server_stress(self) -> None:
        self.folder = "name_server_stress"
        self.assertRegex(self.output_of("stress.py", "--threads", "3", "--operations", "40"),
                         r"^120 operations, \d+ a second: list \d+, look_up \d+, register \d+, remove \d+\n"
                         r"wrong answers: none\n$")
        self.assertEqual({}, self.names.list(prefix="example.stress."))


class Phases(NameServerTestCase):
    def test_bank(self) -> None:
        self.folder = "bank"
        for name in ("Dune Bank", "Cliff Bank"):
            self.uri_of(self.start("server.py", "--name", name))
        at_each = "%s\nLea has 40, Sam has 60\n30 are missing, so it is 40\nLea has 0, Sam has 100\n" \
                  "no account: Zoe\nrefused: an amount must be a positive integer, not -5\n"
        self.assertPrinted(at_each % "Cliff Bank" + at_each % "Dune Bank",
                           self.output_of("client.py", "--amounts", "60", "70"))

    def test_stock_quotes_pulled(self) -> None:
        self.folder = "stock_quotes"
        printed = self.output_of("phase1_viewer.py", self.serve("phase1_market.py"), "--rounds", "2", "--interval", "0")
        self.assertRegex(printed, r"^(KELP \d+\.\d\d  MOSS \d+\.\d\d  SALT \d+\.\d\d  YARN \d+\.\d\d\n){2}$")

    def test_stock_quotes_pushed(self) -> None:
        self.folder = "stock_quotes"
        market = self.start("phase2_market.py", "--port", "0", "--interval", "0.005")
        printed = self.output_of("phase2_viewer.py", self.uri_of(market), "--symbols", "KELP", "YARN", "--changes", "4")
        self.assertRegex(printed, r"^((KELP|YARN) \d+\.\d\d\n){4}$")
        market.read_until("a viewer has left")

    def test_stock_quotes_streamed(self) -> None:
        self.folder = "stock_quotes"
        for arguments in (("east", "--symbols", "KELP", "MOSS"), ("west", "--symbols", "SALT", "YARN")):
            self.uri_of(self.start("phase3_market.py", *arguments))
        printed = self.output_of("phase3_viewer.py", "--symbols", "KELP", "SALT", "--trades", "2")
        self.assertRegex(printed, r"^(east: KELP \d+\.\d\d\nwest: SALT \d+\.\d\d\n){2}$")

    def test_warehouse_in_one_program(self) -> None:
        self.folder = "warehouse"
        self.assertPrinted("""
            Bolt stores rice on shelf 1
            Bolt stores tea on shelf 2
            Bolt has stored rice, tea
            Bolt fetches rice from shelf 1
            Bolt: there is no crate of rice
            Bolt sees: 2 tea""", self.output_of("phase1.py", "--robots", "Bolt"))

    def test_warehouse_with_a_server(self) -> None:
        self.folder = "warehouse"
        server = self.start("phase2_server.py", "--port", "0")
        self.assertPrinted("Rusty has stored salt, flour\nRusty: there is no crate of salt\nRusty sees: 2 flour",
                           self.output_of("phase2_client.py", self.uri_of(server), "--crates", "salt", "flour"))
        self.assertPrinted("Rusty stores salt on shelf 1\nRusty stores flour on shelf 2\n"
                           "Rusty fetches salt from shelf 1\nThe gates are shut.", self.stop(server))

    def test_warehouses_with_names(self) -> None:
        self.folder = "warehouse"
        for name in ("hillside", "dockside"):
            self.uri_of(self.start("phase3_server.py", name))
        in_each = "to %s\nBolt has stored nails\nBolt: there is no crate of nails\nBolt sees:\n"
        self.assertPrinted(in_each % "dockside" + in_each % "hillside",
                           self.output_of("phase3_client.py", "--robot", "Bolt", "--crates", "nails"))


@unittest.skipUnless(shutil.which("Xvfb"), "needs Xvfb")
@unittest.skipUnless(importlib.util.find_spec("tkinter"), "needs tkinter")
class Windows(ExampleTestCase):
    folder = "gui"

    def test_gui(self) -> None:
        reading, writing = os.pipe()
        with open(reading) as numbers:
            # the server picks a display that is free, and writes its number when it is ready
            screen = subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x200x8", "-nolisten", "tcp"],
                                      pass_fds=[writing], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.close(writing)
            self.addCleanup(screen.wait, PATIENCE_SECONDS)
            self.addCleanup(screen.terminate)
            display = numbers.readline().strip()
        self.environ = {"DISPLAY": ":" + display}
        window = self.start("window.py", "--port", "0", "--interval", "2")
        self.assertPrinted("up is shown: True\ndown is shown: True",
                           self.output_of("client.py", self.uri_of(window), "--seconds", "0", "--texts", "up", "down"))
        self.assertPrinted("The window is closed.", self.finish(window))


if __name__ == "__main__":
    unittest.main()
