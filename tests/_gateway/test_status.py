"""What a gateway shows about servers: health, leases, rates, durations and last errors."""
from __future__ import annotations

import threading
import unittest
from typing import Any, Dict, List
from unittest import mock

from Pyro5._client.parallel import ask_all
from Pyro5._gateway import status
from Pyro5._gateway.calls import Registration
from Pyro5._gateway.status import ServerStatus
from Pyro5._objects.exposure import expose

from ..gateways import Site
from ..peers import free_port
from ..support import PATIENCE_SECONDS


@expose
class Lamp:
    def light(self) -> int:
        return 1

    def burn(self) -> None:
        raise ValueError("broken")


class StatusTests(unittest.TestCase):
    def setUp(self) -> None:
        patience = mock.patch.object(status, "ASK_SECONDS", PATIENCE_SECONDS)   # the machine may be busy
        patience.start()
        self.addCleanup(patience.stop)
        self.site = Site({})
        self.addCleanup(self.site.__exit__)
        uri = self.site.daemon.register(Lamp(), "lamp")
        self.site.names.register("http.lamp", uri, ttl=60)
        self.site.names.register("http.other", self.site.daemon.register(Lamp()))
        self.dead = "127.0.0.1:%d" % free_port()
        self.site.names.register("http.dead", "PYRO:dead@" + self.dead)
        self.site.names.register("hidden.lamp", uri)
        self.gateway, self.client = self.site.gateway()

    def test_of_all_objects(self) -> None:
        self.client.get("/pyro/http.lamp/light")
        self.client.get("/pyro/http.lamp/burn")
        self.site.daemon.set_health(False, "lamp")
        found = self.client.get("/pyro/$status").value
        location = self.site.daemon.locationStr
        self.assertEqual([False, True], [found["servers"][each]["reachable"] for each in (self.dead, location)])
        self.assertEqual(("SERVING", True), (found["servers"][location]["health"], found["servers"][location]["statistics"]))
        lamp = found["objects"]["http.lamp"]
        self.assertEqual((2, 1, "NOT_SERVING", False), (lamp["calls"], lamp["errors"], lamp["health"], lamp["shared"]))
        self.assertEqual(("ValueError", "burn"), (lamp["last_error"]["type"], lamp["last_error"]["method"]))
        self.assertIn("broken", lamp["last_error"]["traceback"])
        self.assertEqual(("SERVING", 60), (found["objects"]["http.other"]["health"], found["leases"]["http.lamp"]["ttl"]))
        self.assertEqual({"http.lamp", "http.other"}, set(found["objects"]))
        self.assertEqual([], found["calls"])

    def test_of_one_object(self) -> None:
        self.client.get("/pyro/http.lamp/burn")
        methods = self.client.get("/pyro/$status?name=http.lamp").value["methods"]
        self.assertEqual((["burn"], 1), (list(methods), methods["burn"]["errors"]))
        for name, expected in (("hidden.lamp", 403), ("http.dead", 502), ("http.nosuch", 404)):
            self.assertEqual(expected, self.client.get("/pyro/$status?name=" + name).status)

    def test_rates(self) -> None:
        now = [100.0]
        servers = ServerStatus(None, lambda: now[0])
        registered = {"http.lamp": Registration("PYRO:lamp@" + self.site.daemon.locationStr, frozenset())}

        def row() -> Dict[str, Any]:
            found: Dict[str, Any] = servers.read(registered)["objects"]["http.lamp"]
            return found

        self.client.get("/pyro/http.lamp/light")
        self.assertIsNone(row()["rate"])
        for _ in range(4):
            self.client.get("/pyro/http.lamp/light")
        now[0] += 2
        self.assertEqual((2, 5), (row()["rate"], row()["calls"]))
        now[0] += 100
        self.assertIsNone(row()["rate"])    # the last sample is too old
        now[0] += 10
        self.assertEqual(0, row()["rate"])
        self.assertGreater(row()["p99"], 0)

    def test_rates_of_several_processes(self) -> None:
        now = [100.0]
        servers = ServerStatus(None, lambda: now[0])

        def rate(pid: int, processes: List[int], count: int) -> Any:
            row = {"calls": count, "errors": 0, "buckets": [count], "last_error": None}
            report = {"since": 5.0, "pid": pid, "processes": processes, "objects": {"lamp": {"light": row}}}
            return servers._rows("host:1", report)["lamp"]["rate"]

        self.assertIsNone(rate(7, [7, 8], 10))
        now[0] += 2
        self.assertEqual(5, rate(8, [7, 8], 20))    # another process answers
        now[0] += 2
        self.assertIsNone(rate(7, [7, 9], 12))      # one has been started again

    def test_servers_that_do_not_answer_in_time(self) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        found, missing = ask_all(["slow"], lambda key: released.wait(PATIENCE_SECONDS), 0.01)
        self.assertEqual(({}, ["slow"]), (found, list(missing)))
        self.assertEqual(({"quick": "quick!"}, {}), ask_all(["quick"], lambda key: key + "!", PATIENCE_SECONDS))


if __name__ == "__main__":
    unittest.main()
