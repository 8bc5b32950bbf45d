"""The gateway's page in a real browser: the list, the filter, the map, calls and their errors, the key, and hostile names."""
from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any, List
from unittest import mock

from Pyro5._gateway.app import Gateway
from Pyro5._gateway.calls import Registration
from Pyro5._objects.exposure import expose, oneway

from ..browser import Browser, find_chromium, needs_chromium
from ..gateways import Client, Site
from ..peers import free_port
from ..programs import EXAMPLES

SCRIPT = "http.<script>document.title='owned'</script>"
IMAGE = "<img src=x onerror=\"document.title='owned'\">"


@expose
class Kettle:
    """Something to call."""

    def boil(self, litres: Any = 1, *, lid: bool = True) -> Any:
        return {"litres": litres, "lid": lid}

    def whistle(self) -> None:
        raise ValueError("no water in <b>it</b>")

    def limits(self) -> List[float]:
        return [float("nan"), float("inf"), 12345678901234567890]

    @oneway
    def forget(self) -> None:
        pass

    @property
    def colour(self) -> str:
        return IMAGE


def member(name: str, selector: str = "") -> str:
    return "document.querySelector(%s)" % json.dumps('[data-member="%s"] %s' % (name, selector))


class PageTestCase(unittest.TestCase):
    site: Site
    browser: Browser

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.site = Site({"http.kettle": Kettle(), "http.toaster": Kettle(), SCRIPT: Kettle(), "hidden.kettle": Kettle()},
                        {"http.kettle": ["kitchen", IMAGE], "http.toaster": ["kitchen"]})
        cls.addClassCleanup(cls.site.__exit__)
        cls.site.names.register("http.gone", "PYRO:gone@127.0.0.1:%d" % free_port())
        cls.gateway, cls.client = cls.site.gateway()
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.__exit__)

    gateway: Gateway
    client: Client

    def open(self, fragment: str = "", client: Any = None) -> None:
        """Go to a view of the page, as it is when it was just loaded; it is loaded only if that must be."""
        self.browser.problems.clear()
        site = "http://127.0.0.1:%d/pyro/" % (client or self.client).port
        if client is None and self.browser.run("location.href").startswith(site):
            self.browser.run("""{
                byId('filter').value = chosen.words = chosen.tag = '';
                opened = null;
                location.hash = %s;
                show();
            }""" % json.dumps(fragment))
        else:
            self.browser.open(site + fragment)
        self.browser.wait_for("location.hash.length <= 1 || known.loaded")

    def tearDown(self) -> None:
        # that a call failed is what the browser has to tell; anything else is a mistake of the page
        problems = [each for each in self.browser.problems if not each.startswith("Failed to load resource")]
        self.assertEqual([], problems)

    def names(self) -> Any:
        return self.browser.run("[...document.querySelectorAll('#list .name')].map(each => each.textContent)")

    def refresh(self, gateway: Gateway) -> None:
        """Make the page request the objects, and the gateway look them up: it caches them for a second."""
        gateway._state.objects._computed_at = 0.0
        self.browser.run("refresh()")

    def wait_for_list(self) -> None:
        self.browser.wait_for("document.querySelectorAll('#list a').length === 4")

    def call(self, name: str, arguments: str = "") -> Any:
        """Fill in the form of a member, send it, and give the text of the outcome."""
        self.browser.wait_for(member(name))
        self.browser.run("%s.open = true" % member(name))
        if arguments:
            self.browser.run("%s.focus()" % member(name, "textarea"))
            self.browser.type(arguments)
        self.browser.run("%s.click()" % member(name, "button"))
        return self.browser.wait_for("%s.innerText" % member(name, ".outcome"))


@needs_chromium
class PageTests(PageTestCase):
    def test_list_and_filter(self) -> None:
        self.open()
        self.wait_for_list()
        self.assertEqual([SCRIPT, "http.gone", "http.kettle", "http.toaster"], self.names())
        self.browser.press("/")
        self.browser.type("kitchen tle")
        self.browser.wait_for("document.querySelectorAll('#list a').length === 1")
        self.assertEqual((["http.kettle"], "1 of 4 objects"), (self.names(), self.browser.run("byId('count').textContent")))
        self.browser.press("Escape")
        self.wait_for_list()

    def test_by_keyboard(self) -> None:
        self.open()
        self.wait_for_list()
        self.browser.run("byId('filter').focus()")
        for _ in range(4):
            self.browser.press("ArrowDown")
        self.browser.press("ArrowUp")
        self.browser.press("Enter")
        self.browser.wait_for("document.querySelector('h1').textContent === 'http.kettle'")
        self.browser.wait_for(member("boil"))
        self.browser.run("%s.focus()" % member("boil", "summary"))
        self.browser.press("Enter")
        self.browser.run("%s.focus()" % member("boil", "textarea"))
        self.browser.type("3")
        self.browser.press("Enter", modifiers=2)
        self.assertIn('{"litres": 3, "lid": true}', self.browser.wait_for("%s.innerText" % member("boil", ".outcome")))

    def test_map(self) -> None:
        self.open("#map")
        self.browser.wait_for("document.querySelectorAll('#picture a').length === 4")
        self.browser.wait_for("document.querySelector('#picture a.dead')")
        self.assertEqual([self.site.daemon.locationStr], self.browser.run(
            "[...document.querySelectorAll('#picture g:not(.dead) > .box-text')].map(each => each.firstChild.data)"))
        self.assertEqual(["#object=http.gone"], self.browser.run(
            "[...document.querySelectorAll('#picture g.dead a.dead')].map(each => each.getAttribute('href'))"))
        self.assertEqual([["kitchen", "2"], [IMAGE, "1"]], self.browser.run(
            "[...document.querySelectorAll('#legend .tag')].map(tag => [...tag.querySelectorAll('span, i')]"
            ".map(each => each.textContent))"))
        self.browser.run("document.querySelector('#legend .tag').click()")
        self.assertEqual(2, self.browser.wait_for("document.querySelectorAll('#picture a.faded').length"))
        self.assertEqual(["http.kettle", "http.toaster"], self.names())

    def test_objects_that_come_and_go(self) -> None:
        self.open()
        self.wait_for_list()
        self.site.names.register("http.visitor", "PYRO:visitor@" + self.site.daemon.locationStr)
        try:
            self.refresh(self.gateway)
            self.browser.wait_for("document.querySelectorAll('#list a').length === 5")
        finally:
            self.site.names.remove("http.visitor")
        self.refresh(self.gateway)
        self.wait_for_list()

    def test_very_many_objects(self) -> None:
        uri = "PYRO:x@" + self.site.daemon.locationStr
        more = ["http.many.%03d" % number for number in range(230)]
        registered = {name: Registration(uri, frozenset()) for name in more}
        with mock.patch.object(self.gateway._state.objects, "_compute", return_value=registered):
            self.open("#map")
            self.refresh(self.gateway)
            self.browser.wait_for("byId('count').textContent === '230 objects'")
            for where in ("#list", "#picture"):
                self.assertEqual(200, self.browser.run("document.querySelectorAll('%s a').length" % where))
            self.assertEqual(["and 30 more: filter to see them"] * 2, self.browser.run(
                "[...document.querySelectorAll('.more')].map(each => each.textContent)"))
            self.browser.run("byId('filter').focus()")
            self.browser.type("many.22")
            self.browser.wait_for("document.querySelectorAll('#picture a').length === 10")
            self.assertEqual(more[220:], self.names())
        self.refresh(self.gateway)
        self.browser.wait_for("known.objects.length === 4")

    def test_calls(self) -> None:
        self.open("#object=http.kettle")
        self.assertRegex(self.call("boil", '"two"'), r'^Result\n[\d.]+ ms\n\{"litres": "two", "lid": true\}')
        self.assertIn('{"litres": [2], "lid": true}', self.again("boil", "[2]"))
        self.assertRegex(self.call("limits"), r"\[NaN, Infinity, 12345678901234567890\]")
        self.assertRegex(self.call("forget"), "^Sent\n")
        self.assertIn(json.dumps(IMAGE), self.call("colour"))
        self.assertIn("curl -H 'Content-Type: application/json' -d '{\"litres\": 5}' 'http",
                      self.again("boil", "5", "textContent"))
        self.browser.run("%s.value = 'two', %s.click()" % (member("boil", "textarea"), member("boil", "button")))
        self.assertIn("is not JSON", self.browser.wait_for("%s.innerText" % member("boil", ".wrong")))

    def again(self, name: str, arguments: str, what: str = "innerText") -> Any:
        """Send the form once more, with other arguments."""
        self.browser.run("%s.remove(), %s.value = %s, %s.click()" % (
            member(name, ".outcome"), member(name, "textarea"), json.dumps(arguments), member(name, "button")))
        return self.browser.wait_for("%s.%s" % (member(name, ".outcome"), what))

    def test_errors(self) -> None:
        self.open("#object=http.kettle")
        text = self.call("whistle")
        self.assertRegex(text, r"^ValueError\n[\d.]+ ms\nno water in <b>it</b>\nRemote traceback\n")
        self.assertIn("ValueError: no water in <b>it</b>", text.partition("Remote traceback")[2])
        self.open("#object=http.gone")
        self.browser.wait_for("document.querySelector('#members .outcome.bad')")

    def test_an_object_named_script(self) -> None:
        self.open("#map")
        self.wait_for_list()
        self.browser.run("[...document.querySelectorAll('#list a')].find(a => a.textContent.includes('script')).click()")
        self.assertEqual(SCRIPT, self.browser.wait_for("document.querySelector('h1').textContent"))
        self.assertIn('{"litres": 1, "lid": true}', self.call("boil"))
        self.assertIn(json.dumps(SCRIPT), self.again("boil", json.dumps(SCRIPT)))
        self.assertEqual(("Pyro HTTP gateway", 1), (self.browser.run("document.title"),
                                                    self.browser.run("document.querySelectorAll('script').length")))

    def test_policy_keeps_out_what_is_foreign(self) -> None:
        self.open()
        self.wait_for_list()
        for attempt in ("const script = document.createElement('script'); script.append(code); document.body.append(script)",
                        "document.body.setAttribute('onclick', code); document.body.click()",
                        "document.body.innerHTML = '<img src=x onerror=\"' + code + '\">'"):
            self.browser.run("{const code = \"document.title = 'owned'\"; try { %s } catch (error) { error }}" % attempt)
        self.assertEqual("Pyro HTTP gateway", self.browser.run("document.title"))
        self.assertTrue(self.browser.problems)
        self.browser.problems.clear()

    def test_key(self) -> None:
        client = self.site.gateway(gatewaykey="sésame")[1]
        self.open(client=client)
        self.browser.wait_for("byId('asking').open")
        self.assertEqual([], self.names())
        for key, expected in (("wrong", "byId('asking').open && byId('asking').innerText.includes('not the right key')"),
                              ("sésame", "document.querySelectorAll('#list a').length === 4 && !byId('asking').open")):
            self.browser.run("byId('key').value = ''; byId('key').focus()")
            self.browser.type(key)
            self.browser.press("Enter")
            self.browser.wait_for(expected)

    def test_no_name_server(self) -> None:
        with Site({"http.kettle": Kettle()}) as site:
            gateway, client = site.gateway()
            self.open(client=client)
            self.browser.wait_for("document.querySelectorAll('#list a').length === 1")
            site.stop_name_server()
            self.refresh(gateway)
            self.browser.wait_for("!byId('problem').hidden && byId('problem').textContent.includes('name server')")
            self.assertEqual(["http.kettle"], self.names())

    def test_the_page_of_the_example(self) -> None:
        class Greenhouse:
            litres = 2.0

            @expose
            def beds(self) -> Any:
                return {"figs": self.litres, "<b>mint</b>": 0.0}

            @expose
            def water(self, bed: str, litres: float) -> None:
                if bed != "figs":
                    raise ValueError("no <i>such</i> bed")
                self.litres += litres

        uri = self.site.daemon.register(Greenhouse())
        self.site.names.register("http.greenhouse", uri)
        self.addCleanup(self.site.daemon.unregister, uri)
        self.addCleanup(self.site.names.remove, "http.greenhouse")
        client = self.site.gateway(cors="null")[1]      # browsers call a file so
        page = Path(EXAMPLES, "http_client", "garden.html").as_uri()
        self.browser.problems.clear()
        self.browser.open("%s#http://127.0.0.1:%d" % (page, client.port))
        self.browser.wait_for("document.querySelectorAll('button').length === 2")
        self.browser.run("document.querySelector('button').click()")
        self.browser.wait_for("document.querySelector('meter').value === 3.5")
        self.browser.run("document.querySelectorAll('button')[1].click()")
        self.assertEqual("builtins.ValueError: no <i>such</i> bed",
                         self.browser.wait_for("document.getElementById('trouble').innerText"))

    def test_fits_a_phone(self) -> None:
        self.addCleanup(self.browser.look)
        self.browser.look(width=360, height=740, phone=True, dark=True)
        for fragment, shown in (("", "#side"), ("#map", "#map"), ("#object=http.kettle", "#object")):
            self.open(fragment)
            self.browser.wait_for("document.querySelectorAll('#list a').length && byId('%s').offsetHeight" % shown[1:])
            self.assertEqual(360, self.browser.run("document.documentElement.scrollWidth"))
            self.assertEqual([shown], self.browser.run(
                "['#side', '#map', '#object'].filter(each => document.querySelector(each).offsetHeight)"))


class Skipping(unittest.TestCase):
    def test_chromium_is_looked_for_where_it_may_be(self) -> None:
        self.assertEqual(find_chromium() is None, bool(getattr(PageTests, "__unittest_skip__", False)))


if __name__ == "__main__":
    unittest.main()
