"""Requests that use the members of an object: statuses, attributes, bytes, calls in progress, the operator's key."""
from __future__ import annotations

import base64
import threading
import unittest
import uuid
from typing import Any, List
from unittest import mock

from Pyro5 import current_context
from Pyro5._objects.exposure import expose
from Pyro5._wire import features
from Pyro5.errors import DaemonError, SecurityError

from ..gateways import Answer, Client, Site
from ..peers import free_port
from ..support import PATIENCE_SECONDS

FORM = "application/x-www-form-urlencoded"
ID = str(uuid.UUID(int=7))


@expose
class Heater:
    """Something with all kinds of members."""

    def __init__(self) -> None:
        self._level = 3
        self.began = threading.Event()
        self.stopped = threading.Event()
        self.released = threading.Event()

    def heat(self, degrees: int, *, slowly: bool = False) -> Any:
        return [degrees, slowly]

    def fail(self, what: str) -> None:
        raise {"type": TypeError("wrong type"), "refused": SecurityError("not yours"), "other": ValueError("no")}[what]

    def busy(self) -> None:
        error = DaemonError("in use")
        error.retry_after = 1.0  # type: ignore[attr-defined]
        raise error

    def photo(self) -> Any:
        return {"front": b"\0\xff", "rear": [bytearray(b"a"), memoryview(b"b")]}

    def large(self) -> bytes:
        return b"x" * 100000

    def wait(self) -> bool:
        self.began.set()
        if current_context.cancelled.wait(PATIENCE_SECONDS):
            self.stopped.set()
        return True

    def stay(self) -> None:
        self.released.wait(PATIENCE_SECONDS)

    @property
    def level(self) -> int:
        return self._level

    @level.setter
    def level(self, value: int) -> None:
        if value < 0:
            raise ValueError("below zero")
        self._level = value

    @property
    def serial(self) -> bytes:
        return b"A7"


def in_base64(kind: str, data: bytes) -> Any:
    return {"__class__": "builtins." + kind, "encoding": "base64", "data": base64.b64encode(data).decode()}


class MemberTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.heater = Heater()
        cls.site = Site({"http.heater": cls.heater})
        cls.addClassCleanup(cls.site.__exit__)
        cls.site.names.register("http.dead", "PYRO:dead@127.0.0.1:%d" % free_port())
        cls.site.names.register("http.gone", "PYRO:gone@" + cls.site.daemon.locationStr)
        cls.gateway, cls.client = cls.site.gateway()

    heater: Heater
    site: Site
    gateway: Any
    client: Client

    def put(self, member: str, body: str, **headers: str) -> Answer:
        return self.client.request("PUT", "/pyro/http.heater/" + member, headers, body)


class Statuses(MemberTestCase):
    def test_failures(self) -> None:
        for target, status, name in (
                ("heater/nosuch", 404, "builtins.AttributeError"), ("heater/_level", 404, "builtins.AttributeError"),
                ("heater/heat", 400, "builtins.TypeError"), ("heater/heat?degrees=1&x=1", 400, "builtins.TypeError"),
                ("heater/level?x=1", 400, "builtins.AssertionError"), ("heater/fail?what=type", 500, "builtins.TypeError"),
                ("heater/fail?what=other", 500, "builtins.ValueError"),
                ("heater/fail?what=refused", 403, "Pyro5.errors.SecurityError"),
                ("heater/busy", 503, "Pyro5.errors.DaemonError"), ("dead/x", 502, "Pyro5.errors.CommunicationError"),
                ("gone/x", 502, "Pyro5.errors.CommunicationError"), ("missing/x", 404, "Pyro5.errors.NamingError")):
            with self.subTest(target):
                answer = self.client.get("/pyro/http." + target, X_Pyro_Correlation_Id=ID)
                self.assertEqual((status, name, ID), (answer.status, answer.value["__class__"],
                                                      answer.headers["x-pyro-correlation-id"]))
        self.assertEqual(400, self.client.post("/pyro/http.heater/heat", ["warm", {}]).status)

    def test_an_invalid_correlation_id(self) -> None:
        self.assertEqual(400, self.client.get("/pyro/http.heater/level", X_Pyro_Correlation_Id="7").status)

    def test_too_late(self) -> None:
        answer = self.site.gateway(timeout=0.05)[1].get("/pyro/http.heater/stay")
        self.heater.released.set()
        self.assertEqual((504, "Pyro5.errors.TimeoutError"), (answer.status, answer.value["__class__"]))

    def test_json_without_its_type(self) -> None:
        for body, content_type, status in (
                ('{"degrees": 4}', None, 200), (" [4]", None, 200), (" [4]", FORM, 200), ('{"degrees": 4}', FORM, 200),
                ("[4", None, 400), ("degrees", None, 415), ("4", None, 415), ("[4]", "text/plain", 415),
                ("4", FORM, 400), ('{"degrees": 4', FORM, 400)):
            with self.subTest(body=body, content_type=content_type):
                headers = {} if content_type is None else {"Content-Type": content_type}
                answer = self.client.request("POST", "/pyro/http.heater/heat", headers, body)
                self.assertEqual(status, answer.status)
                if status == 200:
                    self.assertEqual([4, False], answer.value)
        # a form stays one, whatever its names look like
        self.assertEqual(400, self.client.request("POST", "/pyro/http.heater/heat", {"Content-Type": FORM}, "[4=1").status)


class Attributes(MemberTestCase):
    def test_assigned(self) -> None:
        answer = self.put("level", "7", **{"Content-Type": "application/json"})
        self.assertEqual((200, None, 7), (answer.status, answer.value, self.heater.level))
        self.assertEqual((200, 6), (self.put("level", "6", **{"Content-Type": FORM}).status, self.heater.level))
        self.assertEqual((200, 8), (self.put("level", "8").status, self.client.get("/pyro/http.heater/level").value))

    def test_not_assigned(self) -> None:
        for member, body, headers, status in (
                ("level", "-1", {}, 500), ("level", "", {}, 400), ("level", "x", {}, 400), ("serial", "1", {}, 405),
                ("level", "1", {"Content-Type": "text/plain"}, 415), ("heat", "1", {}, 405), ("nosuch", "1", {}, 404)):
            with self.subTest(member=member, body=body):
                answer = self.put(member, body, **headers)
                self.assertEqual((status, status == 405), (answer.status, "allow" in answer.headers))
        for target in ("http.heater/level", "$objects", ""):
            self.assertEqual(405, self.client.request("DELETE", "/pyro/" + target).status)

    def test_of_an_object_without_setters(self) -> None:
        self.assertEqual(in_base64("bytes", b"A7"), self.client.get("/pyro/http.heater/serial").value)


class Bytes(MemberTestCase):
    def test_results(self) -> None:
        self.assertEqual({"front": in_base64("bytes", b"\0\xff"),
                          "rear": [in_base64("bytearray", b"a"), in_base64("memoryview", b"b")]},
                         self.client.get("/pyro/http.heater/photo").value)
        self.assertEqual(in_base64("bytes", b"x" * 100000), self.client.get("/pyro/http.heater/large").value)

    def test_from_a_server_that_does_not_know_the_feature(self) -> None:
        announcement = features.announcement
        without = frozenset(features.SUPPORTED) - {features.TEXT_BYTES}
        with mock.patch.object(features, "SUPPORTED", tuple(sorted(without))):
            self.assertNotIn(b"jb", announcement(features.SUPPORTED))
            answer = self.client.get("/pyro/http.heater/photo")
        self.assertEqual((500, "Pyro5.errors.SerializeError"), (answer.status, answer.value["__class__"]))

    def test_other_clients_do_not_get_them(self) -> None:
        with self.site.locate() as names:
            self.assertNotIn(features.TEXT_BYTES, names._pyroConnection.features)


class CallsInProgress(MemberTestCase):
    def test_listed_and_cancelled(self) -> None:
        answers: List[Any] = []
        client = Client(self.client.port)
        self.addCleanup(client.close)
        self.heater.began.clear()
        thread = threading.Thread(target=lambda: answers.append(
            client.get("/pyro/http.heater/wait", X_Pyro_Correlation_Id=ID)))
        thread.start()
        self.assertTrue(self.heater.began.wait(PATIENCE_SECONDS))
        call, = self.client.get("/pyro/$calls").value["calls"]
        self.assertEqual((ID, "http.heater", "wait", False), (call["id"], call["name"], call["member"], call["cancelled"]))
        self.assertGreaterEqual(call["seconds"], 0)
        self.assertEqual(404, self.client.request("DELETE", "/pyro/$calls?id=" + str(uuid.uuid4())).status)
        self.assertEqual(400, self.client.request("DELETE", "/pyro/$calls?id=7").status)
        self.assertEqual({"cancelled": 1}, self.client.request("DELETE", "/pyro/$calls?id=" + ID).value)
        thread.join(PATIENCE_SECONDS)
        self.assertEqual([(499, "Pyro5.errors.PyroError")], [(each.status, each.value["__class__"]) for each in answers])
        self.assertTrue(self.heater.stopped.wait(PATIENCE_SECONDS))
        self.assertEqual({"calls": []}, self.client.get("/pyro/$calls").value)


class OperatorTests(MemberTestCase):
    def test_others_only_look(self) -> None:
        client = self.site.gateway(operatorkey="wrench")[1]
        for key, status in ((None, 403), ("wrong", 403), ("wrench", 200)):
            headers = {} if key is None else {"X-Pyro-Gateway-Key": key}
            self.assertEqual(status, client.request("GET", "/pyro/http.heater/heat?degrees=1", headers).status)
            self.assertEqual(status, client.request("PUT", "/pyro/http.heater/level", headers, "1").status)
            self.assertEqual(403 if key != "wrench" else 404, client.request(
                "DELETE", "/pyro/$calls?id=" + ID, headers).status)
            for target in ("http.heater/level", "http.heater/$meta", "$objects", "$calls"):
                self.assertEqual(200, client.request("GET", "/pyro/" + target, headers).status)
            self.assertEqual(key == "wrench", client.request("GET", "/pyro/$objects", headers).value["operator"])

    def test_beside_the_gateway_key(self) -> None:
        client = self.site.gateway(operatorkey="wrench", gatewaykey="sesame")[1]
        for key, looks, calls in (("", 403, 403), ("sesame", 200, 403), ("wrench", 200, 200)):
            self.assertEqual(looks, client.get("/pyro/http.heater/level", X_Pyro_Gateway_Key=key).status)
            self.assertEqual(calls, client.get("/pyro/http.heater/heat?degrees=1", X_Pyro_Gateway_Key=key).status)

    def test_without_operators_all_may_call(self) -> None:
        self.assertTrue(self.client.get("/pyro/$objects").value["operator"])


if __name__ == "__main__":
    unittest.main()
