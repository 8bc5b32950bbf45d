"""Requests that a web page of another site makes in the browser of a user: hosts that are answered, sites that are refused."""
from __future__ import annotations

import logging
import socket
import unittest
from typing import Dict, List, Optional

from Pyro5._gateway.app import Gateway
from Pyro5._gateway.options import Hosts, foreign_origin, host_of
from Pyro5._http.head import loggable_path

from ..gateways import Client, GatewayTestCase
from ..peers import settings

EVIL = "http://evil.example"
OWN = "127.0.0.1:8080"
USING = ("/pyro/http.clerk/desk", "/pyro/http.clerk/$meta", "/pyro/$objects", "/pyro/$dead", "/pyro/$objects?name=http.clerk")


class HostTests(unittest.TestCase):
    def test_normal_form(self) -> None:
        for header, host in (("Localhost:80", "localhost"), ("a.b.", "a.b"), ("[::1]:8080", "::1"), ("[::FFFF:127.0.0.1]",
                             "127.0.0.1"), ("192.0.2.7", "192.0.2.7"), ("a_b", "a_b")):
            self.assertEqual(host, host_of(header))
        for malformed in ("", "a b", "a:b", "a@b", "a/b", "[::1", "a:123456", "a,b", "\xfc", "a:1:2", "a\n"):
            self.assertIsNone(host_of(malformed), malformed)

    def test_one_address(self) -> None:
        hosts = Hosts(["192.0.2.7", "Lab.example", "fe80::1"], any_address=False)
        for header in (None, "localhost", "localhost:1", "x.localhost", "127.0.0.1", "127.9.9.9:80", "[::1]", "192.0.2.7:80",
                       "lab.example", "LAB.EXAMPLE.:8080", "[fe80::1]", "[::ffff:127.0.0.1]"):
            self.assertTrue(hosts.allow(header), header)
        for header in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.8", "example", "", "[::2]",
                       "xlab.example", "lab.example.evil", "evil.example:127", "localhost@evil.example", "0.0.0.0",
                       socket.gethostname() + ".evil.example"):
            self.assertFalse(hosts.allow(header), header)

    def test_all_addresses(self) -> None:
        hosts = Hosts()
        for header in ("192.0.2.8:80", "[2001:db8::1]", socket.gethostname(), "localhost"):
            self.assertTrue(hosts.allow(header), header)
        self.assertFalse(hosts.allow("evil.example"))

    def test_any_host(self) -> None:
        self.assertTrue(Hosts(["*"]).allow("evil.example"))

    def test_what_is_no_host(self) -> None:
        for text in ("a b", "http://a", ""):
            with self.assertRaises(ValueError):
                Hosts([text])


class ForeignTests(unittest.TestCase):
    def origin(self, **headers: str) -> Optional[str]:
        return foreign_origin({"HTTP_HOST": OWN, **{"HTTP_" + name: text for name, text in headers.items()}})

    def test_own_and_programs(self) -> None:
        self.assertIsNone(self.origin())
        self.assertIsNone(self.origin(ORIGIN="http://" + OWN))
        self.assertIsNone(self.origin(ORIGIN="https://" + OWN))
        self.assertIsNone(self.origin(SEC_FETCH_SITE="same-origin", ORIGIN="https://behind.a.proxy"))
        self.assertIsNone(self.origin(SEC_FETCH_SITE="none"))
        self.assertIsNone(self.origin(REFERER="http://%s/pyro/" % OWN))

    def test_others(self) -> None:
        for origin in (EVIL, "null", "http://127.0.0.1:8081", "http://%s.evil" % OWN, "", "http://x@" + OWN):
            self.assertEqual(origin, self.origin(ORIGIN=origin))
        for site in ("cross-site", "same-site", "anything"):
            self.assertEqual("null", self.origin(SEC_FETCH_SITE=site))
            self.assertEqual(EVIL, self.origin(SEC_FETCH_SITE=site, ORIGIN=EVIL))
        self.assertEqual(EVIL, self.origin(REFERER=EVIL + "/a?b"))


class PageOfAnotherSite(GatewayTestCase):
    def statuses(self, headers: Dict[str, str], client: Optional[Client] = None, query: str = "") -> List[int]:
        client = client or self.client
        return [*(client.request("GET", target, headers).status for target in USING if not query or "?" not in target),
                client.request("POST", "/pyro/http.clerk/fill_in", {"Content-Type": "application/json", **headers},
                               "[1]").status]

    def test_rebound_names(self) -> None:
        for name in ("evil.example", "evil.example:%d" % self.client.port):
            for headers in ({"Host": name}, {"Host": name, "Origin": "http://" + name, "Sec-Fetch-Site": "same-origin"}):
                self.assertEqual({403}, set(self.statuses(headers)))
                self.assertEqual(403, self.client.request("GET", "/pyro/", headers).status)
        for name in ("localhost", "127.0.0.1:1", "[::1]", "test.localhost"):
            self.assertEqual({200}, set(self.statuses({"Host": name})))

    def test_listed_hosts(self) -> None:
        client = self.site.gateway(allowed_hosts=["lab.example"])[1]
        self.assertEqual({200}, set(self.statuses({"Host": "lab.example:80"}, client)))
        self.assertEqual({403}, set(self.statuses({"Host": "evil.example"}, client)))
        with settings(GATEWAY_HOSTS="lab.example"):
            client = self.site.gateway()[1]
        self.assertEqual({200}, set(self.statuses({"Host": "lab.example"}, client)))

    def test_forged_requests(self) -> None:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": EVIL}, {"Origin": "null"}, {"Referer": EVIL + "/"},
                        {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            self.assertEqual({403}, set(self.statuses(headers)), headers)
            self.assertEqual(200, self.client.request("GET", "/pyro/", headers).status)  # a link to the page does no harm
        form = {"Origin": EVIL, "Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(403, self.client.request("POST", "/pyro/http.clerk/fill_in", form, "a=1").status)
        preflight = self.client.request("OPTIONS", "/pyro/http.clerk/desk", {"Origin": EVIL})
        self.assertNotIn("access-control-allow-origin", preflight.headers)

    def test_listed_sites(self) -> None:
        for cors, good in (("https://shop.example", "https://shop.example"), ("https://a.example,https://shop.example",
                           "https://shop.example"), ("*", EVIL), ("null", "null")):
            client = self.site.gateway(cors=cors)[1]
            headers = {"Origin": good, "Sec-Fetch-Site": "cross-site"}
            self.assertEqual({200}, set(self.statuses(headers, client)))
            answer = client.request("OPTIONS", "/pyro/http.clerk/desk", headers)
            self.assertIn(answer.headers["access-control-allow-origin"], (good, "*"))
            if cors != "*":
                self.assertEqual({403}, set(self.statuses({"Origin": EVIL}, client)))

    def test_a_key_takes_the_place_of_the_list(self) -> None:
        client = self.site.gateway(gatewaykey="sesame")[1]
        self.assertEqual({200}, set(self.statuses({"Origin": EVIL, "X-Pyro-Gateway-Key": "sesame"}, client)))
        self.assertEqual({403}, set(self.statuses({"Origin": EVIL, "X-Pyro-Gateway-Key": "wrong"}, client)))
        client = self.site.gateway(gatewaykey="sesame", cors="")[1]
        self.assertEqual({403}, set(self.statuses({"Origin": EVIL, "X-Pyro-Gateway-Key": "sesame"}, client)))

    def test_what_is_no_host(self) -> None:
        with self.assertRaises(ValueError):
            Gateway(allowed_hosts=["http://lab.example"])


class KeysInLogs(GatewayTestCase):
    def test_paths(self) -> None:
        for path, shown in (("/pyro/http.a/b", "/pyro/http.a/b"), ("/pyro/$objects?$key=sesame", "/pyro/$objects..."),
                            ("/pyro/a%3F$key=sesame", "/pyro/a..."), ("/pyro/a%253Fx", "/pyro/a..."), ("/a\n", "/a..."),
                            ("/pyro/$key=sesame", "/pyro/..."), ("/" + "a" * 300, "/" + "a" * 199 + "...")):
            self.assertEqual(shown, loggable_path(path))

    def test_a_key_is_never_logged(self) -> None:
        client = self.site.gateway(gatewaykey="sesame")[1]
        logger = logging.getLogger("Pyro5")
        self.addCleanup(logger.setLevel, logger.level)
        with self.assertLogs("Pyro5", "DEBUG") as logged:
            for target in ("http.clerk/desk?$key=sesame", "http.clerk/desk%3F$key=sesame", "http.clerk/desk%3f%24key%3dsesame",
                           "http.clerk/desk&$key=sesame", "http.clerk/$key=sesame", "http.clerk%3F$key=sesame/desk",
                           "$objects%3F$key=sesame", "$key=sesame/desk", "http.clerk/desk%253F%2524key%253Dsesame"):
                client.get("/pyro/" + target, Referer="http://localhost/?$key=sesame", X_Pyro_Gateway_Key="sesame")
                client.get("/" + target)
        self.assertNotIn("sesame", "\n".join(logged.output))


if __name__ == "__main__":
    unittest.main()
