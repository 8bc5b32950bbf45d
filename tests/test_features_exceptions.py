"""Exceptions on both server types: from every place where the user's code runs, with causes, details and own classes."""
from __future__ import annotations

import contextlib
import io
import sys
from typing import Any, Dict, Iterator, List

from Pyro5 import errors, serializers
from Pyro5._objects.exposure import behavior, expose
from Pyro5.api import register_class_to_dict, register_dict_to_class, unregister_class_to_dict, unregister_dict_to_class
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from tests.rawclient import ServerTestCase, for_both_types


class LedgerError(Exception):
    """An exception of the program itself, known to both sides."""

    def __init__(self, account: str, missing: int) -> None:
        super().__init__("account %s lacks %d" % (account, missing))
        self.account, self.missing = account, missing


def ledger_error_to_dict(error: LedgerError) -> Dict[str, Any]:
    """Return what travels; a converter decides for itself whether the traceback is part of it."""
    return {"__class__": "ledger.error", **vars(error)}


def ledger_error_from_dict(tag: str, state: Dict[str, Any]) -> LedgerError:
    error = LedgerError(state["account"], state["missing"])
    error._pyroTraceback = state["_pyroTraceback"]  # type: ignore[attr-defined]
    return error


@expose
class Ledger:
    def __init__(self) -> None:
        self._limit = 100

    def divide(self, dividend: Any, divisor: Any) -> Any:
        quotient_of_the_ledger = dividend // divisor
        return quotient_of_the_ledger

    def divide_for(self, account: str) -> Any:
        try:
            return self.divide(account, 2)
        except TypeError as x:
            raise LookupError("no account " + account) from x

    def withdraw(self, account: str, missing: int) -> None:
        raise LedgerError(account, missing)

    def entries(self, good: int) -> Iterator[int]:
        yield from range(good)
        raise LookupError("page torn out")

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, amount: int) -> None:
        if amount < 0:
            raise ValueError("limit below zero", amount)
        self._limit = amount

    def __getitem__(self, page: int) -> str:
        raise IndexError("page %d" % page)


class GuardedDaemon(Daemon):
    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if data != "ledger":
            raise PermissionError("say what you want")
        return "welcome"


class LedgerTestCase(ServerTestCase):
    def serve_ledger(self, published: Any = Ledger, daemon_class: Any = Daemon, **settings: Any) -> Any:
        self.configure(**settings)
        self.server = self.daemon(daemon_class)
        proxy = Proxy(self.server.register(published))
        self.at_end.callback(proxy._pyroRelease)
        self.run_loop(self.server)
        return proxy

    @contextlib.contextmanager
    def raises(self, error: Any, pattern: str) -> Iterator[Any]:
        """Like assertRaisesRegex; what is raised must have a remote traceback that names the place in this module."""
        with self.assertRaisesRegex(error, pattern) as caught:
            yield caught
        remote = caught.exception._pyroTraceback  # type: ignore[attr-defined]
        self.assertTrue(all(line.endswith("\n") for line in remote), remote)
        self.assertIn(__file__.replace(".pyc", ".py"), "".join(remote))


class Places(LedgerTestCase):
    """Wherever it is raised, the client gets it there, and the connection goes on."""

    def test_methods_operators_and_properties(self) -> None:
        proxy = self.serve_ledger()
        with self.raises(ZeroDivisionError, "zero"):
            proxy.divide(1, 0)
        with self.raises(IndexError, "page 3"):
            proxy[3]  # noqa: B018
        with self.raises(ValueError, "limit below zero") as caught:
            proxy.limit = -5
        self.assertEqual(("limit below zero", -5), caught.exception.args)
        self.assertEqual(100, proxy.limit)
        self.assertEqual(1, len(self.server.transportServer._connections))

    def test_generators(self) -> None:
        proxy = self.serve_ledger()
        for good in (0, 2):
            stream = proxy.entries(good)
            self.assertEqual(list(range(good)), [next(stream) for _ in range(good)])
            with self.raises(LookupError, "page torn out"):
                next(stream)

    def test_constructors_and_instance_creators(self) -> None:
        @expose
        class Broken:
            def __init__(self) -> None:
                raise LookupError("no room for a new one")

            def hello(self) -> str:
                return "hello"

        def no_creator(clazz: Any) -> Any:
            raise ValueError("not today")

        for mode in ("session", "single", "percall"):
            with self.raises(LookupError, "no room"):
                self.serve_ledger(behavior(mode)(Broken)).hello()
            self.server.unregister(Broken)
            with self.raises(ValueError, "not today"):
                self.serve_ledger(behavior(mode, no_creator)(Broken)).hello()
            self.server.unregister(Broken)

    def test_handshakes(self) -> None:
        proxy = self.serve_ledger(daemon_class=GuardedDaemon)
        with self.assertLogs("Pyro5", "WARNING"), self.assertRaisesRegex(errors.CommunicationError, "say what you want"):
            proxy.divide(4, 2)
        proxy._pyroHandshake = "ledger"
        self.assertEqual(2, proxy.divide(4, 2))


class Information(LedgerTestCase):
    def test_causes_are_in_the_remote_traceback(self) -> None:
        with self.raises(LookupError, "no account smith") as caught:
            self.serve_ledger().divide_for("smith")
        remote = "".join(caught.exception._pyroTraceback)
        cause, _, effect = remote.partition("direct cause of the following exception")
        self.assertIn("TypeError: unsupported operand", cause)
        self.assertIn("LookupError: no account smith", effect)

    def test_detailed_tracebacks(self) -> None:
        for detailed in (False, True):
            with self.raises(TypeError, "unsupported operand") as caught:
                self.serve_ledger(DETAILED_TRACEBACK=detailed).divide("twelve", 2)
            remote = "".join(caught.exception._pyroTraceback)
            self.assertIn("quotient_of_the_ledger = dividend // divisor", remote)
            self.assertEqual(detailed, "dividend = 'twelve'" in remote)
            self.server.unregister(Ledger)

    def test_the_excepthook_prints_both_tracebacks(self) -> None:
        printed = io.StringIO()
        try:
            self.serve_ledger().divide(1, 0)
        except ZeroDivisionError:
            with contextlib.redirect_stderr(printed):
                errors.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            lines = errors.get_pyro_traceback()
        self.assertEqual(printed.getvalue(), "".join(lines))
        local, _, remote = printed.getvalue().partition("Remote traceback")
        self.assertIn("self.serve_ledger().divide(1, 0)", local)
        self.assertIn("quotient_of_the_ledger = ", remote)

    def test_the_server_can_see_them_too(self) -> None:
        seen: List[Any] = []
        proxy = self.serve_ledger()
        self.server.methodcall_error_handler = lambda *args: seen.append(args)
        with self.raises(ZeroDivisionError, "zero"):
            proxy.divide(7, divisor=0)
        daemon, connection, method, args, kwargs, error = seen[0]
        self.assertIs(daemon, self.server)
        self.assertEqual(proxy._pyroLocalSocket, connection.sock.getpeername())
        self.assertEqual(("divide", [7], {"divisor": 0}), (method.__name__, list(args), kwargs))
        self.assertIsInstance(error, ZeroDivisionError)


class OwnClasses(LedgerTestCase):
    def test_registered_on_both_sides(self) -> None:
        register_class_to_dict(LedgerError, ledger_error_to_dict)
        self.at_end.callback(unregister_class_to_dict, LedgerError)
        register_dict_to_class("ledger.error", ledger_error_from_dict)
        self.at_end.callback(unregister_dict_to_class, "ledger.error")
        proxy = self.serve_ledger()
        for name in sorted(serializers.serializers):
            proxy._pyroSerializer = name
            with self.raises(LedgerError, "lacks") as caught:
                proxy.withdraw("smith", 12)
            self.assertEqual(("smith", 12), (caught.exception.account, caught.exception.missing), name)

    def test_unknown_to_the_client(self) -> None:
        proxy = self.serve_ledger()
        for name in sorted(serializers.serializers):
            proxy._pyroSerializer = name
            with self.raises(errors.PyroError, "LedgerError.*account smith lacks 12") as caught:
                proxy.withdraw("smith", 12)
            self.assertTrue(caught.exception.remote_class.endswith("LedgerError"))
            self.assertEqual(["account smith lacks 12"], list(caught.exception.remote_args))
            self.assertEqual("smith", caught.exception.account)


for base in (Places, Information, OwnClasses):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, LedgerTestCase
