"""`pyro_app` in the WSGI server of a program: its options are attributes, which count from the next request on."""
from __future__ import annotations

import json
import unittest
from typing import Any, Dict, List, Tuple
from unittest import mock
from wsgiref.util import setup_testing_defaults

from Pyro5 import config
from Pyro5._gateway.app import PyroApp
from Pyro5.utils import httpgateway
from Pyro5.utils.httpgateway import pyro_app

from ..gateways import Clerk, Site
from ..peers import settings


class PyroAppTestCase(unittest.TestCase):
    site: Site

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.site = Site({"http.secret": Clerk(), "lab.thing": Clerk()})
        cls.addClassCleanup(cls.site.__exit__)

    def setUp(self) -> None:
        self.app = PyroApp()
        self.addCleanup(self.app.close)
        context = settings(NS_HOST="127.0.0.1", NS_PORT=self.site.ns_port)
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def request(self, path: str, query: str = "", method: str = "GET", **environ: Any) -> Tuple[int, Dict[str, str], bytes]:
        """Return status, headers and body of the answer to a request."""
        given: Dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, **environ}
        setup_testing_defaults(given)
        answers: List[Any] = []
        body = b"".join(self.app(given, lambda status, headers: answers.append((int(status[:3]), dict(headers)))))
        (status, headers), = answers
        return status, headers, body

    def status(self, path: str, query: str = "", **environ: Any) -> int:
        return self.request(path, query, **environ)[0]


class OptionTests(PyroAppTestCase):
    def test_defaults_are_visible(self) -> None:
        self.assertIsInstance(pyro_app, PyroApp)
        self.assertEqual((r"http\.", None, "", config.COMMTIMEOUT),
                         (pyro_app.ns_regex, pyro_app.gateway_key, pyro_app.cors, pyro_app.comm_timeout))
        self.assertTrue(callable(httpgateway.pyro_app))

    def test_default_pattern(self) -> None:
        self.assertEqual([200, 403], [self.status("/pyro/%s/desk" % name) for name in ("http.secret", "lab.thing")])

    def test_pattern_and_key(self) -> None:
        self.app.ns_regex = r"lab\."
        for key in (b"sesame", "sesame"):
            self.app.gateway_key = key
            for name, query, expected in (("http.secret", "", 403), ("http.secret", "$key=sesame", 403),
                                          ("lab.thing", "", 403), ("lab.thing", "$key=sesame", 200),
                                          ("lab.thing", "$key=wrong", 403)):
                self.assertEqual(expected, self.status("/pyro/%s/desk" % name, query), (name, query))
            self.assertEqual(200, self.status("/pyro/lab.thing/desk", HTTP_X_PYRO_GATEWAY_KEY="sesame"))
            for path in ("/pyro/$objects", "/pyro/$dead"):
                self.assertEqual([403, 200], [self.status(path), self.status(path, "$key=sesame")])

    def test_operator_key(self) -> None:
        self.app.operator_key = "wrench"
        for query, expected in (("", 403), ("$key=wrench", 200)):
            self.assertEqual(expected, self.status("/pyro/http.secret/fill_in", query))
        self.assertEqual(200, self.status("/pyro/http.secret/desk"))

    def test_events(self) -> None:
        status, headers, body = self.request("/pyro/http.secret/desk", HTTP_ACCEPT="text/event-stream")
        self.assertEqual((200, "text/event-stream"), (status, headers["Content-Type"]))
        self.assertEqual(b'id: 1\ndata: {"number": 4}\n\nevent: end\ndata: null\n\n', body)

    def test_changes_count_for_the_next_request(self) -> None:
        self.assertEqual(200, self.status("/pyro/http.secret/desk"))
        self.app.gateway_key = "sesame"
        self.assertEqual(403, self.status("/pyro/http.secret/desk"))
        self.app.gateway_key = None
        self.app.ns_regex = "lab"
        self.assertEqual([403, 200], [self.status("/pyro/%s/desk" % name) for name in ("http.secret", "lab.thing")])
        listed = json.loads(self.request("/pyro/$objects")[2].decode())
        self.assertEqual((["lab.thing"], "lab"), ([each["name"] for each in listed["objects"]], listed["expose"]))
        for everything in ("", None):
            self.app.ns_regex = everything
            self.assertEqual([200, 200], [self.status("/pyro/%s/desk" % name) for name in ("http.secret", "lab.thing")])

    def test_scripts_of_other_sites(self) -> None:
        allowed = "Access-Control-Allow-Origin"
        self.assertNotIn(allowed, self.request("/pyro/http.secret/desk")[1])
        for cors in ("*", "https://shop.example"):
            self.app.cors = cors
            self.assertEqual(cors, self.request("/pyro/http.secret/desk")[1][allowed])

    def test_timeout(self) -> None:
        with settings(COMMTIMEOUT=7.5):
            self.assertEqual(7.5, self.app.comm_timeout)
        for seconds, used in ((2.5, 2.5), (0, None), (0.0, None)):
            self.app.comm_timeout = seconds
            with mock.patch("Pyro5._gateway.calls.connected_proxy", side_effect=OSError) as connect:
                self.assertEqual(500, self.status("/pyro/http.secret/desk"))
            self.assertEqual(used, connect.call_args[0][1])

    def test_attributes_that_make_no_sense_close_the_gateway(self) -> None:
        for name, value in (("ns_regex", "("), ("ns_regex", 5), ("gateway_key", 5), ("cors", "a b"), ("cors", 3),
                            ("comm_timeout", -1.0), ("comm_timeout", "soon")):
            with self.subTest(name, value=value), self.assertLogs("Pyro5.utils.gatewayapp", "ERROR"):
                before = getattr(self.app, name)
                setattr(self.app, name, value)
                self.assertEqual(500, self.status("/pyro/http.secret/desk"))
                setattr(self.app, name, before)
        self.assertEqual(200, self.status("/pyro/http.secret/desk"))


if __name__ == "__main__":
    unittest.main()
