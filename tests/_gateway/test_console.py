"""The gateway's page as the console of an operator, in a real browser: forms, running calls, streams, health, and roles."""
from __future__ import annotations

import json
import threading
import unittest
from typing import Any, Dict, Iterator, List, Optional
from unittest import mock

from Pyro5 import current_context
from Pyro5._gateway import status
from Pyro5._objects.exposure import expose, oneway

from ..browser import Browser, needs_chromium
from ..gateways import Client, Site
from ..peers import free_port
from ..support import PATIENCE_SECONDS
from .test_page import member

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)


@expose
class Pump:
    """Moves water."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self._pressure = 2.5

    def move(self, litres: float, to: str = "tank", *, slowly: bool = False,
             note: Optional[str] = None) -> Dict[str, Any]:
        """Move water.

        Args:
            litres: how much.
            to: the place where
                it ends.
        """
        if litres < 0:
            raise ValueError("not backwards")
        return {"litres": litres, "to": to, "slowly": slowly, "note": note}

    def mix(self, first: Any, *more: int, **rest: Any) -> Any:
        return [first, more, rest]

    def readings(self, count: int = 3) -> Iterator[int]:
        """Measure."""
        yield from range(count)

    def run(self) -> None:
        self.began.set()
        current_context.cancelled.wait(PATIENCE_SECONDS)

    def photo(self) -> bytes:
        return PNG

    @oneway
    def beep(self) -> None:
        pass

    @expose(roles={"operator"})
    def drain(self) -> None:
        pass

    @property
    def pressure(self) -> float:
        """In bar."""
        return self._pressure

    @pressure.setter
    def pressure(self, value: float) -> None:
        self._pressure = value

    @property
    def serial(self) -> str:
        return "P1"


@needs_chromium
class ConsoleTests(unittest.TestCase):
    pump: Pump
    site: Site
    client: Client
    browser: Browser

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        patience = mock.patch.object(status, "ASK_SECONDS", PATIENCE_SECONDS)   # the machine may be busy
        patience.start()
        cls.addClassCleanup(patience.stop)
        cls.pump = Pump()
        cls.site = Site({})
        cls.addClassCleanup(cls.site.__exit__)
        for name, object_id in (("http.lab.pump", "pump"), ("http.lab.spare", "spare"), ("http.door", "door")):
            served = cls.pump if object_id == "pump" else Pump()
            uri = cls.site.daemon.register(served, object_id)
            cls.site.names.register(name, uri, ttl=600 if object_id == "pump" else None)
        cls.site.names.register("http.shop.gone", "PYRO:gone@127.0.0.1:%d" % free_port())
        cls.site.daemon.set_health(False, "spare")
        cls.client = cls.site.gateway()[1]
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.__exit__)

    def open(self, fragment: str, client: Optional[Client] = None) -> None:
        """Go to a view of the page, as it is when it was just loaded; it is loaded only if that must be."""
        self.browser.problems.clear()
        site = "http://127.0.0.1:%d/pyro/" % (client or self.client).port
        if client is None and self.browser.run("location.href").startswith(site):
            self.browser.run("opened = null, location.hash = %s, show(), refresh(), true" % json.dumps(fragment))
        else:
            self.browser.open(site + fragment)
        self.browser.wait_for("known.loaded && known.status.at")

    def tearDown(self) -> None:
        self.assertEqual([], [each for each in self.browser.problems if not each.startswith("Failed to load resource")])

    def open_form(self, name: str) -> None:
        self.browser.wait_for(member(name))
        self.browser.run("%s.open = true" % member(name))

    def fill(self, name: str, **values: str) -> None:
        """Fill in fields of a form by the names of their parameters."""
        for parameter, text in values.items():
            self.browser.run("[...%s.querySelectorAll('.field')].find(each => each.querySelector('code').textContent === %s)"
                             ".querySelector('input, textarea, select').value = %s"
                             % (member(name), json.dumps(parameter), json.dumps(text)))

    def send(self, name: str, what: str = "innerText") -> Any:
        """Send a form, and return the text of the outcome."""
        self.browser.run("%s.querySelectorAll('.outcome').forEach(each => each.remove()), %s.click()" % (
            member(name), member(name, ".row button")))
        return self.browser.wait_for("%s.%s" % (member(name, ".outcome"), what))

    def problems_of(self, name: str) -> List[str]:
        return list(self.browser.run("[...%s.querySelectorAll('.wrong')].map(each => each.textContent)" % member(name)))

    def test_a_field_for_each_parameter(self) -> None:
        self.open("#object=http.lab.pump")
        self.open_form("move")
        text = self.browser.run("%s.innerText" % member("move", "form"))
        for part in ("Move water.", "litres * float", "how much.", "to str", "the place where it ends.", "Optional[str]"):
            self.assertIn(part, text)
        self.assertNotIn("Args", text)
        self.assertEqual(["default: False", "true", "false"], self.browser.run(
            "[...%s.options].map(each => each.textContent)" % member("move", "select")))
        self.browser.run("%s.click()" % member("move", ".row button"))
        self.assertEqual("needs a value", self.problems_of("move")[0])
        self.fill("move", litres="x")
        self.browser.run("%s.click()" % member("move", ".row button"))
        self.assertEqual("is not a number", self.problems_of("move")[0])
        self.fill("move", litres="2.5", to='a "b"', slowly="true")
        self.assertIn('{"litres": 2.5, "to": "a \\"b\\"", "slowly": true, "note": null}', self.send("move"))
        self.fill("move", litres="-1")
        self.assertRegex(self.send("move"), "^ValueError\n")

    def test_other_kinds_of_parameters(self) -> None:
        self.open("#object=http.lab.pump")
        self.open_form("mix")
        self.fill("mix", first='{"a": 1}', **{"*more": "1, 2", "**rest": '{"x": 12345678901234567890}'})
        self.assertIn('[{"a": 1}, [1, 2], {"x": 12345678901234567890}]', self.send("mix"))
        self.browser.run("%s.click()" % member("mix", ".linklike"))
        self.assertEqual('{"$args": [{"a": 1}, 1, 2], "x": 12345678901234567890}', self.browser.run(
            "%s.value" % member("mix", "[aria-label]")))
        self.browser.run("%s.value = '5, 6'" % member("mix", "[aria-label]"))
        self.assertIn("[5, [6], {}]", self.send("mix"))

    def test_attributes(self) -> None:
        self.open("#object=http.lab.pump")
        self.open_form("pressure")
        self.browser.run("%s.value = '4.25', %s.click()" % (member("pressure", "textarea"), member("pressure", ".assign")))
        self.assertRegex(self.browser.wait_for("%s.innerText" % member("pressure", ".outcome")), "^Assigned\n")
        self.assertEqual(4.25, self.pump.pressure)
        self.assertIn("4.25", self.send("pressure"))
        self.assertIn("read-only", self.browser.run("%s.innerText" % member("serial", "summary")))
        self.assertEqual(1, self.browser.run("%s.querySelectorAll('button').length" % member("serial")))

    def test_a_call_that_is_cancelled(self) -> None:
        self.pump.began.clear()
        self.open("#object=http.lab.pump")
        self.open_form("run")
        self.browser.run("%s.click()" % member("run", ".row button"))
        self.assertTrue(self.pump.began.wait(PATIENCE_SECONDS))
        self.browser.wait_for("/^[0-9.]+ s$/.test(%s.textContent)" % member("run", ".waiting .seconds"))
        self.browser.run("%s.click()" % member("run", ".waiting button"))
        self.assertIn("cancelled through the gateway", self.browser.wait_for("%s.innerText" % member("run", ".outcome")))

    def test_the_view_of_calls(self) -> None:
        self.pump.began.clear()
        self.open("#object=http.lab.pump")
        self.open_form("run")
        self.browser.run("%s.click()" % member("run", ".row button"))
        self.assertTrue(self.pump.began.wait(PATIENCE_SECONDS))
        self.browser.run("location.hash = '#calls', refreshStatus()")
        self.browser.wait_for("document.querySelector('#calls li')?.innerText.includes('http.lab.pump.run')")
        self.browser.run("document.querySelector('#calls li button').click()")
        self.browser.wait_for("byId('calls').innerText.includes('There are none')")

    def test_streams(self) -> None:
        self.open("#object=http.lab.pump")
        self.open_form("readings")
        self.browser.run("%s.click()" % member("readings", ".row button"))
        self.browser.wait_for(member("readings", ".outcome .head"))
        text = self.browser.run("%s.innerText" % member("readings", ".outcome"))
        self.assertRegex(text, r"^3 items\n[\d.]+ s\n0\n1\n2")
        self.fill("readings", count="x")
        self.browser.run("%s.click()" % member("readings", ".row button"))
        self.assertEqual("is not a whole number", self.problems_of("readings")[0])

    def test_bytes_and_copies(self) -> None:
        self.open("#object=http.lab.pump")
        self.open_form("photo")
        self.assertRegex(self.send("photo"), "^bytes, 38 bytes\n")
        self.assertTrue(self.browser.run("%s.src.startsWith('data:image/png;base64,iVBOR')" % member("photo", "img")))
        copied = self.browser.run("new Promise(done => { navigator.clipboard.writeText = async text => done(text);"
                                  "%s.click() })" % member("photo", ".copy"))
        self.assertIn('"encoding": "base64"', copied)

    def test_the_tree_and_its_lamps(self) -> None:
        self.open("#")
        self.assertEqual(["http.lab.", "http."], self.browser.run(
            "[...document.querySelectorAll('#list .group')].map(each => each.dataset.key).reverse()"))
        lamps = "Object.fromEntries([...document.querySelectorAll('#list a')].map(each => " \
                "[each.dataset.name, each.querySelector('.lamp').className.replace('lamp ', '')]))"
        expected = {"http.door": "good", "http.lab.pump": "good", "http.lab.spare": "warn", "http.shop.gone": "bad"}
        self.browser.wait_for("(known.status.at, JSON.stringify(%s) === %s)" % (
            lamps, json.dumps(json.dumps(expected, separators=(",", ":")))))
        self.assertEqual("lamp warn", self.browser.run("document.querySelector('[data-group=\"http.lab.\"]').className"))
        self.browser.run("document.querySelector('[data-key=\"http.lab.\"]').click()")
        self.assertEqual(["http.door", "http.shop.gone"], self.browser.run(
            "[...document.querySelectorAll('#list .name')].map(each => each.textContent)"))
        self.browser.run("document.querySelector('[data-key=\"http.lab.\"]').click()")
        self.assertEqual(4, self.browser.run("document.querySelectorAll('#list a').length"))

    def test_numbers_and_the_last_error(self) -> None:
        self.client.post("/pyro/http.door/move", [1])
        self.client.post("/pyro/http.door/move", [-1])
        self.open("#object=http.door")
        self.browser.wait_for("(refreshStatus(), "
                              "/Health\\nserving\\n[^]*Calls\\n2\\nErrors\\n1\\n/.test(byId('facts').innerText))")
        failure = self.browser.wait_for("byId('failure').textContent")
        self.assertRegex(failure, "(?s)Last error: ValueErrorin move.*not backwardsRemote traceback.*raise ValueError")
        self.assertIn("1 error", self.browser.wait_for("%s.textContent" % member("move", ".counted")))
        self.open("#object=http.lab.pump")
        self.browser.wait_for("/Lease left\\n\\d+\\/600 s/.test(byId('facts').innerText)")

    def test_only_operators_call(self) -> None:
        client = self.site.gateway(operatorkey="wrench")[1]
        self.open("#object=http.lab.pump", client)
        self.browser.wait_for("%s.disabled" % member("beep", "button"))
        self.assertFalse(self.browser.run("byId('unlock').hidden"))
        self.browser.run("byId('unlock').click(), byId('key').focus()")
        self.browser.type("wrench")
        self.browser.press("Enter")
        self.browser.wait_for("byId('unlock').hidden && known.operator")
        self.browser.wait_for("%s && !%s.disabled" % (member("beep", "button"), member("beep", "button")))
        self.open_form("beep")
        self.assertRegex(self.send("beep"), "^Sent\n")
        self.assertTrue(self.browser.run("%s.disabled && %s.innerText.includes('needs a role')" % (
            member("drain", "button"), member("drain", "summary"))))

    def test_fits_a_phone(self) -> None:
        self.addCleanup(self.browser.look)
        self.browser.look(width=390, height=844, phone=True)
        for fragment in ("#", "#calls", "#object=http.lab.pump"):
            self.open(fragment)
            if "pump" in fragment:
                self.open_form("move")
            self.assertEqual(390, self.browser.run("document.documentElement.scrollWidth"))


if __name__ == "__main__":
    unittest.main()
