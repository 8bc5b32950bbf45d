"""The HTTP gateway: what requests mean, its name server, other WSGI servers, and the tool as a process."""
from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import threading
import unittest
import wsgiref.simple_server
import wsgiref.validate
from typing import Any, Dict, List
from unittest import mock

from Pyro5 import config, errors
from Pyro5._gateway import arguments, calls
from Pyro5._gateway import app as gateway_app
from Pyro5._gateway.app import Gateway
from Pyro5._gateway.calls import Fresh, NameServerGone, NameServers
from Pyro5._http.connection import Limits
from Pyro5.utils import httpgateway

from ..gateways import Clerk, Client, GatewayTestCase, Site, http_server
from ..peers import free_port, settings
from ..support import PATIENCE_SECONDS, PROJECT, ToolProcess, with_longer_times

ID = "11112222-3333-4444-5555-666677778888"


class ArgumentTests(GatewayTestCase):
    def test_an_array_is_positional_arguments(self) -> None:
        values = [1, 2.5, "three", None, True, {"four": [5]}, 2 ** 80]
        self.assertEqual([values, {}], self.fill_in(body=json.dumps(values)))

    def test_an_object_is_keyword_arguments(self) -> None:
        self.assertEqual([[], {"a": 1, "b": [None]}], self.fill_in(body='{"a": 1, "b": [null]}'))
        self.assertEqual([[], {"a": "é"}], self.fill_in("", '{"a": "é"}'.encode(), "application/JSON; charset=utf-8"))

    def test_parameters_of_the_url_come_along_and_count_more(self) -> None:
        self.assertEqual([[1], {"b": "2"}], self.fill_in("?b=2", "[1]"))
        self.assertEqual([[], {"a": "url", "b": 1}], self.fill_in("?a=url", '{"a": "body", "b": 1}'))

    def test_forms(self) -> None:
        form = "application/x-www-form-urlencoded"
        self.assertEqual([[], {"a": "1 ü", "b": ["2", "3"]}], self.fill_in(body="a=1+%C3%BC&b=2&b=3", content_type=form))
        self.assertEqual([[], {}], self.fill_in(content_type=form))

    def test_bodies_that_are_no_arguments(self) -> None:
        for body, content_type, status in (
                ("[1", "application/json", 400), ("3", "application/json", 400), (b"\xff", "application/json", 400),
                ("[" * 100000, "application/json", 400), ("[%s]" % ("9" * 5000), "application/json", 400),
                ("[1]", "text/plain", 415), ("<a/>", "", 415)):
            with self.subTest(body[:10]):
                answer = self.client.request("POST", "/pyro/http.clerk/fill_in", {"Content-Type": content_type}, body)
                self.assertEqual((status, True), (answer.status, answer.value["__exception__"]))

    def test_too_many_parameters(self) -> None:
        answer = self.client.request("POST", "/pyro/http.clerk/fill_in", {"Content-Type": "application/x-www-form-urlencoded"},
                                     "a=1&" * (arguments.PARAMETERS + 1))
        self.assertEqual((400, "builtins.ValueError"), (answer.status, answer.value["__class__"]))

    def test_names_in_urls(self) -> None:
        self.assertEqual([[], {}], self.client.get("/pyro/http.b%C3%BCro%2F2%20%25/fill_in").value)
        self.assertEqual([[], {}], self.client.get("/pyro/http.b%C3%BCro/2%20%25/fill_in").value)


class RequestTests(GatewayTestCase):
    def test_attributes(self) -> None:
        self.assertEqual({"number": 4}, self.client.get("/pyro/http.clerk/desk").value)
        self.assertEqual({"number": 4}, self.client.post("/pyro/http.clerk/desk", []).value)
        self.assertEqual("builtins.AssertionError", self.client.post("/pyro/http.clerk/desk", [1]).value["__class__"])

    def test_all_about_an_object(self) -> None:
        about = self.client.get("/pyro/$objects?name=http.clerk").value
        methods = ["file", "fill_in", "forget", "large", "meet", "refuse", "who_asks"]
        self.assertEqual({"attributes": ["desk"], "methods": methods},
                         self.client.get("/pyro/http.clerk/$meta").value)
        self.assertEqual((["desk"], ["forget"], "http.clerk"), (about["attributes"], about["oneway"], about["name"]))
        self.assertEqual(403, self.client.get("/pyro/$objects?name=hidden.clerk").status)

    def test_all_objects(self) -> None:
        overview = self.client.get("/pyro/$objects").value
        self.assertEqual((["http.büro/2 %", "http.clerk"], 2, r"http\."),
                         ([each["name"] for each in overview["objects"]], overview["total"], overview["expose"]))
        self.assertEqual(["office"], overview["objects"][1]["metadata"])
        self.assertIn("@127.0.0.1:%d" % self.site.ns_port, overview["nameserver"])
        self.assertEqual({}, self.client.get("/pyro/$dead").value)

    def test_name_filter(self) -> None:
        client = self.site.gateway(expose=r"hid|http\.c")[1]
        for name, status in (("hidden.clerk", 200), ("http.clerk", 200), ("http.b%C3%BCro%2F2%20%25", 403), ("xhidden", 403),
                             ("hidden.nobody", 404), ("hid" + "x" * 5000, 403)):
            self.assertEqual(status, client.get("/pyro/%s/fill_in" % name).status, name)

    def test_correlation_id(self) -> None:
        mine = self.client.get("/pyro/http.clerk/who_asks", X_Pyro_Correlation_Id=ID)
        self.assertEqual((ID, ID), (mine.value, mine.headers["x-pyro-correlation-id"]))
        made = [self.client.get("/pyro/http.clerk/who_asks") for _ in range(2)]
        self.assertEqual(3, len({ID, *(answer.value for answer in made)}))
        for answer in made:
            self.assertEqual(answer.value, answer.headers["x-pyro-correlation-id"])
        failed = self.client.get("/pyro/http.clerk/refuse", X_Pyro_Correlation_Id=ID)
        self.assertEqual((500, ID), (failed.status, failed.headers["x-pyro-correlation-id"]))

    def test_remote_errors(self) -> None:
        error = self.client.get("/pyro/http.clerk/refuse").value
        self.assertEqual(("builtins.PermissionError", ["not today"]), (error["__class__"], error["args"]))
        self.assertIn("not today", error["attributes"]["_pyroTraceback"][-1])

    def test_oneway(self) -> None:
        answer = self.client.post("/pyro/http.clerk/file", ["A7"], **{"X-Pyro-Options": "oneway"})
        self.assertEqual((200, b""), (answer.status, answer.body))
        self.assertTrue(self.clerk.filed.wait(PATIENCE_SECONDS))
        self.assertEqual(["A7"], self.clerk.forms)
        self.assertEqual(b"", self.client.get("/pyro/http.clerk/forget").body)

    def test_requests_run_at_the_same_time(self) -> None:
        answers: List[Any] = []
        clients = [Client(self.client.port) for _ in range(2)]
        threads = [threading.Thread(target=lambda each=each: answers.append(each.get("/pyro/http.clerk/meet").value))
                   for each in clients]
        for thread in threads:
            thread.start()
        for thread, client in zip(threads, clients):
            thread.join(PATIENCE_SECONDS)
            client.close()
        self.assertEqual(["met", "met"], answers)

    def test_a_call_that_takes_too_long(self) -> None:
        with_longer_times(self.check_call_that_takes_too_long)

    def check_call_that_takes_too_long(self, factor: float) -> None:
        answer = self.site.gateway(timeout=0.05 * factor)[1].get("/pyro/http.clerk/meet")
        self.clerk.meeting.abort()
        self.clerk.meeting.reset()
        self.assertEqual((504, "Pyro5.errors.TimeoutError"), (answer.status, answer.value["__class__"]))


class KeyTests(GatewayTestCase):
    KEY = "open sésame"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.client = cls.site.gateway(gatewaykey=cls.KEY)[1]

    def status(self, target: str, **headers: str) -> int:
        return self.client.get("/pyro/" + target, **headers).status

    def test_header_and_parameter(self) -> None:
        in_bytes = self.KEY.encode("utf-8").decode("latin-1")
        for target in ("http.clerk/fill_in", "$objects", "$dead", "$objects?name=http.clerk", "http.clerk/$meta"):
            joint = "&" if "?" in target else "?"
            self.assertEqual(200, self.status(target, X_Pyro_Gateway_Key=in_bytes), target)
            self.assertEqual(200, self.status(target + joint + "$key=open+s%C3%A9same"), target)
            for wrong in ("nope", "open s", in_bytes + "x"):
                self.assertEqual(403, self.status(target, X_Pyro_Gateway_Key=wrong), target)
            for parameters in ("", joint + "$key=", joint + "$key=nope", joint + "$key=a&$key=b"):
                self.assertEqual(403, self.status(target + parameters), target)

    def test_it_is_no_argument(self) -> None:
        self.assertEqual([[], {"a": "1"}], self.client.get("/pyro/http.clerk/fill_in?a=1&$key=open+s%C3%A9same").value)

    def test_what_needs_none(self) -> None:
        self.assertEqual(200, self.status(""))
        self.assertEqual(200, self.client.request("OPTIONS", "/pyro/http.clerk/fill_in").status)

    def test_comparing_takes_the_same_time_for_all(self) -> None:
        with mock.patch.object(gateway_app.hmac, "compare_digest", return_value=True) as compare:
            self.assertEqual(200, self.status("http.clerk/fill_in", X_Pyro_Gateway_Key="other"))
        compare.assert_called_once_with(b"other", self.KEY.encode("utf-8"))


class CorsTests(GatewayTestCase):
    def test_scripts_of_other_sites(self) -> None:
        client = self.site.gateway(cors="https://shop.example")[1]
        for answer in (client.get("/pyro/http.clerk/desk"), client.get("/pyro/hidden.clerk/desk"), client.get("/pyro/"),
                       client.request("OPTIONS", "/pyro/http.clerk/desk")):
            self.assertEqual("https://shop.example", answer.headers["access-control-allow-origin"])
            self.assertIn("POST", answer.headers["access-control-allow-methods"])
            for name in ("Content-Type", "X-Pyro-Gateway-Key", "X-Pyro-Options", "X-Pyro-Correlation-Id"):
                self.assertIn(name, answer.headers["access-control-allow-headers"].split(", "))

    def test_none(self) -> None:
        answer = self.site.gateway(cors="")[1].get("/pyro/http.clerk/desk")
        self.assertEqual([], [name for name in answer.headers if name.startswith("access-control")])

    def test_what_is_no_origin(self) -> None:
        for text in ("https://a.example\r\nSet-Cookie: b=c", "https://ä.example", "a b"):
            with self.assertRaises(ValueError):
                Gateway(cors=text)


class NameServerTests(unittest.TestCase):
    def test_one_that_goes_and_comes_back(self) -> None:
        with Site({"http.clerk": Clerk()}) as site:
            gateway, client = site.gateway()
            self.assertEqual(200, client.get("/pyro/http.clerk/desk").status)
            site.stop_name_server()
            gateway._state.objects._computed_at = 0.0
            for target in ("http.clerk/desk", "$objects", "$dead", "$objects?name=http.clerk"):
                answer = client.get("/pyro/" + target)
                self.assertEqual((503, "Pyro5.errors.NamingError"), (answer.status, answer.value["__class__"]), target)
                self.assertIn("retry-after", answer.headers)
            self.assertEqual(200, client.get("/pyro/").status)
            site.start_name_server()
            site.names.register("http.new", site.daemon.register(Clerk()))
            gateway.name_servers._search_again_at = 0.0
            self.assertEqual(200, client.get("/pyro/http.new/desk").status)

    def test_it_is_not_searched_by_each_request(self) -> None:
        now = [100.0]
        locate = mock.Mock(side_effect=errors.NamingError("nobody answers"))
        names = NameServers(locate=locate, clock=lambda: now[0])
        for _ in range(3):
            with self.assertRaises(NameServerGone):
                names.location()
        self.assertEqual(1, locate.call_count)
        now[0] += calls.RETRY_SECONDS
        with self.assertRaises(NameServerGone):
            names.location()
        self.assertEqual(2, locate.call_count)

    def test_one_connection_for_requests_in_a_row(self) -> None:
        with Site({"http.clerk": Clerk()}) as site:
            locate = mock.Mock(side_effect=site.locate)
            names = NameServers(locate=locate)
            with contextlib.closing(names):
                for _ in range(5):
                    names.lookup("http.clerk")
            self.assertEqual(1, locate.call_count)

    def test_fresh_values(self) -> None:
        now, numbers = [0.0], iter(range(10))
        fresh = Fresh(lambda: next(numbers), 2.0, clock=lambda: now[0])
        self.assertEqual([0, 0], [fresh.get(), fresh.get()])
        now[0] = 1.9
        self.assertEqual(0, fresh.get())
        now[0] = 2.0
        self.assertEqual(1, fresh.get())

    def test_dead_objects(self) -> None:
        with Site({"http.clerk": Clerk()}) as site:
            site.names.register("http.gone", "PYRO:gone@127.0.0.1:%d" % free_port())
            site.names.register("http.forgotten", "PYRO:forgotten@" + site.daemon.locationStr)
            dead = site.gateway()[1].get("/pyro/$dead").value
            self.assertEqual(["http.forgotten", "http.gone"], sorted(dead))
            self.assertIn("refused", dead["http.gone"])


class WsgiTests(GatewayTestCase):
    """The application in a server that is not its own."""

    def test_pyro_app_under_wsgiref(self) -> None:
        class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        with settings(NS_HOST="127.0.0.1", NS_PORT=self.site.ns_port), wsgiref.simple_server.make_server(
                "127.0.0.1", 0, wsgiref.validate.validator(httpgateway.pyro_app), handler_class=QuietHandler) as server:
            self.addCleanup(httpgateway.pyro_app.close)
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="wsgiref")
            thread.start()
            client = Client(server.server_port)
            try:
                self.assertEqual(302, client.get("/").status)
                self.assertEqual([[1], {"b": "2"}], client.post("/pyro/http.clerk/fill_in?b=2", [1]).value)
                self.assertEqual(b"", client.request("HEAD", "/pyro/http.clerk/desk").body)
                self.assertEqual(403, client.get("/pyro/hidden.clerk/desk").status)
            finally:
                client.close()
                server.shutdown()
                thread.join(PATIENCE_SECONDS)

    def test_below_a_path_of_another_site(self) -> None:
        def mounted(environ: Dict[str, Any], start_response: Any) -> Any:
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/my objects", environ["PATH_INFO"][len("/my objects"):]
            return self.gateway(environ, start_response)

        with http_server(mounted) as server:
            client = Client(server.port)
            self.addCleanup(client.close)
            self.assertEqual("/my%20objects/pyro/", client.get("/my%20objects").headers["location"])
            self.assertEqual({"number": 4}, client.get("/my%20objects/pyro/http.clerk/desk").value)


class DocumentationTests(unittest.TestCase):
    def test_limits(self) -> None:
        """What docs/http.md says the limits are."""
        limits = Limits()
        with open(os.path.join(PROJECT, "docs", "http.md"), encoding="utf-8") as file:
            section = file.read().partition("\n## Limits\n")[2]
        expected = {
            "request line and headers": "%d KiB, within %d seconds" % (limits.head_bytes >> 10, limits.head_seconds),
            "the body of a request": "%d MiB, within %d seconds" % (arguments.BODY_BYTES >> 20, limits.body_seconds),
            "the bodies of all requests together, including the values in them, and large results":
                "%d MiB (the setting `MAX_GATEWAY_MEMORY`)" % (config.MAX_GATEWAY_MEMORY >> 20),
            "time between two requests": "%d seconds" % limits.idle_seconds,
            "time without reading any part of a response": "%d seconds" % limits.send_seconds,
            "parameters": str(arguments.PARAMETERS),
            "an iterator": "%d items, %d MiB, %d seconds" % (
                calls.STREAM_ITEMS, calls.STREAM_BYTES >> 20, calls.STREAM_SECONDS),
            "connections": "%d; for one more, the connection that has been waiting longest for its client is closed"
                           % limits.connections}
        rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
        self.assertEqual(expected, dict(rows[2:]))


class ToolTests(GatewayTestCase):
    def test_as_a_process(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "key")
            with open(path, "w", encoding="utf-8") as file:
                file.write("sesame\n")
            env = {"PYRO_NS_HOST": "127.0.0.1", "PYRO_NS_PORT": str(self.site.ns_port)}
            options = ["-H", "127.0.0.1", "-p", "0", "-G", path, "-e", "http|hidden", "-t", "20"]
            with ToolProcess("Pyro5.utils.httpgateway", *options, env=env) as tool:
                lines = tool.read_until("Pyro HTTP gateway running on ")
                self.assertEqual(["Exposing objects with names matching:  http|hidden", "Connected to the name server at "
                                  "PYRO:Pyro.NameServer@127.0.0.1:%d" % self.site.ns_port], lines[:-1])
                client = Client(int(lines[-1].split(":")[-1].partition("/")[0]))
                self.addCleanup(client.close)
                self.assertEqual({"number": 4}, client.get("/pyro/hidden.clerk/desk?$key=sesame").value)
                self.assertEqual(403, client.get("/pyro/hidden.clerk/desk").status)
                self.assertEqual((0, "", ""), tuple(tool.stop()))

    def test_hosts_that_are_all_addresses(self) -> None:
        self.assertEqual([True, True, True, False, False, False], [httpgateway._is_everywhere(host) for host in (
            "", "0.0.0.0", "::", "localhost", "192.0.2.7", "::1")])

    def test_wrong_options(self) -> None:
        for args, text in ((["-e", "("], "no regular expression"), (["-G", "/nowhere"], "cannot read the key"),
                           (["-t", "soon"], "invalid seconds")):
            said = io.StringIO()
            with contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
                httpgateway.main(args)
            self.assertIn(text, said.getvalue())

    def test_a_port_that_is_taken(self) -> None:
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            self.assertEqual(1, httpgateway.main(["-H", "127.0.0.1", "-p", str(self.client.port)]))
        self.assertRegex(said.getvalue(), r"\AError: .*%d.*\n\Z" % self.client.port)


if __name__ == "__main__":
    unittest.main()
