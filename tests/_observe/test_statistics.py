"""Statistics and health of a daemon: what is counted, who may see it, and what other releases notice."""
from __future__ import annotations

import asyncio
import contextlib
import threading
import unittest
from typing import Any, Dict, Iterator, List

from Pyro5 import config, errors
from Pyro5._calls.running_calls import RunningCall, RunningCalls
from Pyro5._observe import histogram
from Pyro5._observe.statistics import MAX_PENDING, OTHERS, Statistics, merged_rows, now
from Pyro5.api import BatchProxy, Daemon, Proxy, expose, oneway, start_ns

from ..support import PATIENCE_SECONDS, aio_daemon_thread, daemon_thread


@expose
class Calculator:
    def __init__(self) -> None:
        self.noted = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    def fail(self, text: str) -> None:
        raise ValueError(text)

    def fail_oddly(self) -> None:
        secret = "opensesame"
        raise ValueError("\ud800 \x1b[31m" + len(secret) * 100 * "x")

    async def later(self) -> int:
        await asyncio.sleep(0)
        return 3

    def numbers(self) -> Iterator[int]:
        yield from range(2)

    @oneway
    def note(self) -> None:
        self.noted.set()

    @property
    def size(self) -> int:
        return 7


@expose
class Factory:
    _pyroDaemon: Any

    def make(self) -> Calculator:
        made = Calculator()
        self._pyroDaemon.register(made)
        return made


def stats_of(daemon: Any) -> Dict[str, Any]:
    with Proxy("PYRO:Pyro.Daemon@" + daemon.locationStr) as proxy:
        return proxy.stats()  # type: ignore[no-any-return]


class Histograms(unittest.TestCase):
    def test_percentiles_are_interpolated_in_a_bucket(self) -> None:
        self.assertIsNone(histogram.percentile([0] * 32, 0.5))
        self.assertAlmostEqual(0.75e-3, histogram.percentile([0] * 10 + [512], 0.5), delta=0.03e-3)
        self.assertAlmostEqual(1e-6, histogram.percentile([99, 0, 1], 0.99))

    def test_counts_of_several_processes_are_added(self) -> None:
        row = {"calls": 1, "errors": 0, "last_error": None, "seconds": 2e-6, "buckets": [0, 1], "batched_calls": 2}
        newer = {"calls": 2, "errors": 1, "last_error": {"time": 3.0}, "seconds": 1e-6, "buckets": [2]}
        merged = merged_rows([{"a": {"m": row}}, {"a": {"m": newer}, "b": {"m": row}}])
        self.assertEqual((3, 1, [2, 1], {"time": 3.0}, 2), tuple(
            merged["a"]["m"][name] for name in ("calls", "errors", "buckets", "last_error", "batched_calls")))
        self.assertAlmostEqual(1e-6, merged["a"]["m"]["mean"])
        self.assertEqual(1, merged["b"]["m"]["calls"])


class Counting(unittest.TestCase):
    def count(self, statistics: Statistics, object_id: str, method: str) -> None:
        calls = RunningCalls()
        calls.statistics = statistics
        call = RunningCall()
        call.object_id, call.method, call.started = object_id, method, now()
        calls.end(call)

    def test_calls_of_several_threads_are_added(self) -> None:
        statistics = Statistics(lambda object_id, method: (object_id, method), 10)

        def count() -> None:
            for _ in range(50):
                self.count(statistics, "a", "m")

        for number in range(3):
            threads = [threading.Thread(target=count) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
            row = statistics.rows()["a"]["m"]
            self.assertEqual((200 * (number + 1),) * 2, (row["calls"], sum(row["buckets"])))
            self.assertAlmostEqual(row["seconds"] / row["calls"], row["mean"])
        self.assertLess(len(statistics._rows["a", "m"]), MAX_PENDING)

    def test_a_signal_handler_may_ask_while_its_thread_adds_up(self) -> None:
        statistics = Statistics(lambda object_id, method: (object_id, method), 10)
        self.count(statistics, "a", "m")
        found: List[int] = []

        def interrupted() -> None:
            with statistics._lock:
                found.append(statistics.rows()["a"]["m"]["calls"])

        thread = threading.Thread(target=interrupted, daemon=True)  # with another lock it would never end
        thread.start()
        thread.join(PATIENCE_SECONDS)
        self.assertEqual([1], found)

    def test_the_number_of_rows_is_limited(self) -> None:
        statistics = Statistics(lambda object_id, method: (object_id, method), 3)
        for number in range(50):
            self.count(statistics, "object %d" % number, "m")
        rows = statistics.rows()
        self.assertEqual(4, len(rows))
        self.assertEqual(47, rows[OTHERS[0]][OTHERS[1]]["calls"])
        self.assertLessEqual(len(statistics.index), 13)


class OfADaemon(unittest.TestCase):
    def check_counts(self, daemon: Any, uri: Any, calculator: Calculator) -> None:
        with Proxy(uri) as proxy:
            for _ in range(3):
                self.assertEqual(42, proxy.add(20, 22))
            with self.assertRaises(ValueError):
                proxy.fail("no luck")
            self.assertEqual((3, 7, [0, 1]), (proxy.later(), proxy.size, list(proxy.numbers())))
            proxy.note()
            self.assertTrue(calculator.noted.wait(PATIENCE_SECONDS))
            batch = BatchProxy(proxy)
            batch.add(1, 2)
            batch.later()
            self.assertEqual([3, 3], list(batch()))
            with self.assertRaises(AttributeError):
                proxy._pyroInvoke("invented", (), {})
            found = stats_of(daemon)
        rows = found["objects"]["calculator"]
        self.assertEqual({"add": 3, "fail": 1, "later": 1, "__getattr__": 1, "numbers": 1, "<batch>": 1},
                         {name: row["calls"] for name, row in rows.items() if name != "note"})
        self.assertEqual((1, "ValueError", "no luck"), (
            rows["fail"]["errors"], rows["fail"]["last_error"]["type"], rows["fail"]["last_error"]["text"]))
        self.assertIn("in fail", rows["fail"]["last_error"]["traceback"])
        self.assertEqual((0, None, 2), (rows["add"]["errors"], rows["add"]["last_error"], rows["<batch>"]["batched_calls"]))
        self.assertTrue(0 < rows["add"]["p50"] <= rows["add"]["p99"])
        self.assertAlmostEqual(rows["add"]["seconds"] / 3, rows["add"]["mean"])
        self.assertEqual(3, sum(rows["add"]["buckets"]))
        self.assertEqual(1, found["objects"]["<others>"]["<others>"]["errors"])
        self.assertNotIn("invented", str(sorted(found["objects"])))
        self.assertEqual(0, found["objects"]["Pyro.Daemon"]["get_next_stream_item"]["errors"])  # the end is no error
        self.assertEqual(2, found["connections"]["idle"] + found["connections"]["busy"])
        self.assertTrue(found["bytes"]["received"] > 500 and found["bytes"]["sent"] > 500)
        self.assertEqual("SERVING", found["health"])

    def test_both_server_types_count(self) -> None:
        for server_type in "thread", "multiplex":
            with self.subTest(server_type), changed_settings(SERVERTYPE=server_type), Daemon("127.0.0.1") as daemon:
                calculator = Calculator()
                uri = daemon.register(calculator, "calculator")
                with daemon_thread(daemon):
                    self.check_counts(daemon, uri, calculator)

    def test_the_asyncio_daemon_counts(self) -> None:
        from Pyro5 import aio
        daemon = aio.Daemon("127.0.0.1")
        calculator = Calculator()
        uri = daemon.register(calculator, "calculator")
        with aio_daemon_thread(daemon):
            self.check_counts(daemon, uri, calculator)

    def test_objects_that_methods_register_share_their_rows(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon), Proxy(daemon.register(Factory())) as factory:
            for made in factory.make(), factory.make():
                made.add(1, 2)
                made._pyroRelease()
            rows = daemon.statistics()["objects"]
            # The other one was registered by the program, before it has served a call.
            self.assertEqual({"<generated ids>", factory._pyroUri.object}, set(rows))
            self.assertEqual((2, 2), (rows["<generated ids>"]["add"]["calls"], rows[factory._pyroUri.object]["make"]["calls"]))

    def test_generated_ids_leave_room_for_others(self) -> None:
        with changed_settings(MAX_STATISTICS=8), Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            for object_id in [None] * 6 + ["own"]:  # type: ignore[list-item]
                with Proxy(daemon.register(Calculator(), object_id)) as proxy:
                    proxy.add(1, 2)
                    with self.assertRaises(ValueError):
                        proxy.fail("no")
            rows = daemon.statistics()["objects"]
        # Two rows for each of two objects, of all others with generated ids, and of the one that has its own.
        self.assertEqual(8, sum(len(methods) for methods in rows.values()))
        self.assertEqual((4, 1), (rows["<generated ids>"]["add"]["calls"], rows["own"]["add"]["calls"]))
        self.assertEqual((4, "ValueError"), (rows["<generated ids>"]["fail"]["errors"],
                                             rows["<generated ids>"]["fail"]["last_error"]["type"]))

    def test_texts_of_errors_can_be_sent_and_show_no_variables(self) -> None:
        with changed_settings(DETAILED_TRACEBACK=True), Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Calculator(), "calculator")) as proxy:
                with self.assertRaises((ValueError, errors.PyroError)):
                    proxy.fail_oddly()
            for serializer in "serpent", "json", "marshal":
                with Proxy("PYRO:Pyro.Daemon@" + daemon.locationStr) as proxy:
                    proxy._pyroSerializer = serializer
                    error = proxy.stats()["objects"]["calculator"]["fail_oddly"]["last_error"]
                    self.assertTrue(error["text"].startswith("\\ud800 \\x1b[31m"), error["text"])
                    self.assertLessEqual(len(error["text"]), 300)
                    self.assertTrue(error["traceback"].replace("\n", "").isprintable())
                    self.assertNotIn("secret = 'open", error["traceback"])

    def test_it_can_be_switched_off(self) -> None:
        with changed_settings(STATISTICS=False), Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Calculator(), "calculator")) as proxy:
                proxy.add(1, 2)
            found = daemon.statistics()
            self.assertEqual(({}, False, 0), (found["objects"], found["counting"], found["bytes"]["received"]))

    def test_refusals_have_reasons(self) -> None:
        class Guarded(Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                if data == "bad":
                    raise ValueError("not you")

        with Guarded("127.0.0.1") as daemon, daemon_thread(daemon):
            uri = daemon.register(Calculator(), "calculator")
            with Proxy(uri) as refused:
                refused._pyroHandshake = "bad"
                with self.assertRaises(errors.CommunicationError):
                    refused._pyroBind()
            with Proxy(uri) as one, Proxy(uri) as other:
                with one._pyroExclusive(), self.assertRaises(errors.BusyError):
                    other.add(1, 2)
            self.assertEqual({"handshake": 1, "busy": 1}, daemon.statistics()["refusals"])

    def test_a_client_sees_only_methods_that_it_may_call(self) -> None:
        class Secret:
            @expose(roles={"admin"})
            def open(self) -> None:
                """Does nothing."""

            @expose
            def name(self) -> str:
                return "secret"

        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            with Proxy(daemon.register(Secret(), "secret")) as proxy:
                proxy.name()
                with self.assertRaises(errors.SecurityError):
                    proxy.open()
            self.assertEqual(["name"], list(stats_of(daemon)["objects"]["secret"]))
            self.assertEqual(["name", "open"], sorted(daemon.statistics()["objects"]["secret"]))
            self.assertEqual(1, daemon.statistics()["refusals"]["role"])


class Health(unittest.TestCase):
    def test_states(self) -> None:
        with Daemon("127.0.0.1") as daemon, daemon_thread(daemon):
            daemon.register(Calculator(), "one")
            daemon.register(Calculator(), "other")
            with Proxy("PYRO:Pyro.Daemon@" + daemon.locationStr) as proxy:
                def states() -> List[str]:
                    return [proxy.health(name) for name in ("one", "other", "unknown")] + [proxy.health()]
                self.assertEqual(["SERVING", "SERVING", "NOT_SERVING", "SERVING"], states())
                daemon.set_health(False, "one")
                self.assertEqual(["NOT_SERVING", "SERVING", "NOT_SERVING", "SERVING"], states())
                daemon.set_health(True, "one")
                daemon.set_health(False)
                self.assertEqual(["NOT_SERVING"] * 4, states())
                daemon.set_health(True)
                self.assertEqual("SERVING", proxy.health())
                daemon.unregister("other")
                self.assertEqual("NOT_SERVING", proxy.health("other"))
        self.assertEqual("NOT_SERVING", daemon.health())

    def test_draining_says_so_first_and_then_ends(self) -> None:
        _uri, names, _broadcast = start_ns("127.0.0.1", 0, enableBroadcast=False)
        with names, Daemon("127.0.0.1") as daemon:
            with daemon_thread(daemon) as _running:
                lease = daemon.register_with(names.nameserver, "calculator", Calculator())
                with Proxy(daemon.uriFor(lease.uri.object)) as calculator:
                    daemon.drain(10 * PATIENCE_SECONDS)
                    self.assertEqual("NOT_SERVING", daemon.health())
                    self.assertEqual(3, calculator.add(1, 2))
                daemon.drain(0)
                self.assertTrue(daemon._has_ended.wait(PATIENCE_SECONDS))
            self.assertEqual({}, names.nameserver.list(prefix="calc"))

    def test_other_releases_do_not_see_the_new_methods(self) -> None:
        with Daemon("127.0.0.1") as daemon:
            members = daemon._objects.get("Pyro.Daemon").members
            old = {"registered", "ping", "info", "get_metadata", "get_next_stream_item", "close_stream"}
            self.assertEqual(old, members.metadata_for(None)["methods"])
            self.assertLessEqual({"stats", "health"}, members.metadata_for(False)["methods"])


@contextlib.contextmanager
def changed_settings(**settings: Any) -> Iterator[None]:
    before = {name: getattr(config, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


if __name__ == "__main__":
    unittest.main()
