"""Published objects on both server types: instances that are hard to make, weak ones, classes of every kind, resources."""
from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from typing import Any, Dict, List

from Pyro5 import errors
from Pyro5._objects.exposure import behavior, expose
from Pyro5.callcontext import current_context
from Pyro5.client import Proxy
from Pyro5.server import Daemon
from tests.rawclient import PATIENCE_SECONDS, ServerTestCase, WatchedDaemon, for_both_types, wait_until
from tests.support import PROJECT

CLIENT_THAT_DIES = """
import os, sys
from Pyro5.client import Proxy
proxy = Proxy(sys.argv[1])
proxy.open("left behind")
os._exit(9)
"""


class Library:
    """A class of another library: without any marks."""

    shelves = 7

    def __init__(self) -> None:
        self.books = ["one", "two"]

    def count(self) -> int:
        return len(self.books)

    def titles(self) -> List[str]:
        return self.books

    @staticmethod
    def rules() -> str:
        return "silence"

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @property
    def open_today(self) -> bool:
        return True

    def _private(self) -> None:
        raise AssertionError("never to be reached")


class Branch(Library):
    """Of its members only those are exposed that it marks itself."""

    @expose
    def count(self) -> int:
        return super().count() + 100

    def titles(self) -> List[str]:
        return []


class Slotted:
    __slots__ = ("value", "_pyroId", "_pyroDaemon", "__weakref__")

    def __init__(self) -> None:
        self.value = 5

    @expose
    def get(self) -> int:
        return self.value


class Resource:
    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


@expose
class Store:
    def __init__(self) -> None:
        self._resources: Dict[str, Resource] = {}

    def open(self, name: str) -> None:
        self._resources[name] = Resource(name)
        current_context.track_resource(self._resources[name])

    def release(self, name: str) -> None:
        current_context.untrack_resource(self._resources[name])

    def tell(self) -> str:
        return "still here"


class ObjectTestCase(ServerTestCase):
    def serve(self, published: Any, object_id: str = "it", daemon_class: Any = WatchedDaemon, **how: Any) -> Any:
        """Publish something in a new server that runs, and give a proxy for it."""
        self.server = self.daemon(daemon_class)
        uri = self.server.register(published, object_id, **how)
        self.run_loop(self.server)
        return self.proxy(uri)

    def proxy(self, uri: Any) -> Any:
        proxy = Proxy(uri)
        self.at_end.callback(proxy._pyroRelease)
        return proxy

    def another(self, proxy: Any) -> Any:
        return self.proxy(proxy._pyroUri)

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE_SECONDS), "it never happened")


class Creators(ObjectTestCase):
    def test_one_that_raises_is_asked_again(self) -> None:
        for mode in ("session", "single", "percall"):
            asked: List[Any] = []

            def create(clazz: Any) -> Any:
                asked.append(clazz)  # noqa: B023
                if len(asked) == 1:  # noqa: B023
                    raise LookupError("not yet")
                return clazz()

            clazz = behavior(mode, create)(type("Created", (Library,), {"count": expose(lambda self: 11)}))
            proxy = self.serve(clazz)
            with self.assertRaisesRegex(LookupError, "not yet"):
                proxy.count()
            self.assertEqual([11, 11], [proxy.count(), proxy.count()])
            self.assertEqual([clazz] * (3 if mode == "percall" else 2), asked)

    def test_a_creator_that_returns_something_else(self) -> None:
        for mode in ("session", "single", "percall"):
            for wrong in (None, 5, Library):
                clazz = behavior(mode, lambda clazz, wrong=wrong: wrong)(
                    type("Created", (Library,), {"count": expose(lambda self: 11)}))
                with self.assertRaisesRegex(TypeError, "instance creator of Created returned"):
                    self.serve(clazz).count()

    def test_a_slow_one_makes_a_single_instance_once(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        made: List[Any] = []

        def create(clazz: Any) -> Any:
            made.append(clazz)
            begun.set()
            go_on.wait(PATIENCE_SECONDS)
            return clazz()

        proxy = self.serve(behavior("single", create)(type("Created", (Library,), {"count": expose(lambda self: 11)})))
        self.server.register(Store(), "other")
        counts: List[int] = []

        def ask() -> None:
            with self.another(proxy) as own:
                counts.append(own.count())

        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        self.wait_for(begun)
        if self.servertype == "thread":
            self.assertEqual("still here", self.proxy(self.server.uriFor("other")).tell())
        go_on.set()
        for client in clients:
            self.join(client)
        self.assertEqual(([11, 11, 11], 1), (counts, len(made)))


class Registrations(ObjectTestCase):
    def test_weak_ones_go_with_their_object(self) -> None:
        store = Store()
        proxy = self.serve(store, weak=True)
        self.assertEqual("still here", proxy.tell())
        gone = weakref.ref(store)
        del store
        gc.collect()
        wait_until(lambda: gone() is None, "the end of the object")
        with self.assertRaisesRegex(errors.DaemonError, "unknown object 'it'"):
            proxy.tell()

    def test_force_replaces_the_object_for_connected_clients_too(self) -> None:
        proxy = self.serve(Branch())
        self.assertEqual(102, proxy.count())
        with self.assertRaisesRegex(errors.DaemonError, "already registered.*force"):
            self.server.register(Branch(), "it")
        larger = Branch()
        larger.books = []
        self.server.register(larger, "it", force=True)
        self.assertEqual(100, proxy.count())

    def test_unregistering_while_a_call_runs(self) -> None:
        proxy = self.serve(self.served, "gone-soon", force=True)
        replies: List[Any] = []

        def wait() -> None:
            proxy._pyroClaimOwnership()
            replies.append(proxy.wait("finished"))
            try:
                proxy.echo("again")
            except errors.DaemonError as x:
                replies.append(str(x))

        client = threading.Thread(target=wait)
        client.start()
        self.served._wait_for_notes(1)
        self.server.unregister("gone-soon")
        self.served._open_gate()
        self.join(client)
        self.assertEqual("finished", replies[0])
        self.assertIn("unknown object 'gone-soon'", replies[1])
        self.assertNotEqual("gone-soon", self.served._pyroId)  # it is registered with its first id, as before
        self.assertIs(self.served, self.server.objectsById[self.served._pyroId])


class Classes(ObjectTestCase):
    def test_a_class_of_another_library(self) -> None:
        class Copied(Library):
            """Stands for the library's class: exposing it here leaves that one as it is for the other tests."""

        for name, member in vars(Library).items():
            if name[:1] != "_":
                setattr(Copied, name, member)
        self.assertIs(Copied, expose(Copied))
        proxy = self.serve(Copied)
        self.assertEqual((2, ["one", "two"], "silence", "Copied", True),
                         (proxy.count(), proxy.titles(), proxy.rules(), proxy.kind(), proxy.open_today))
        for name in ("shelves", "books", "_private"):
            with self.assertRaises(AttributeError):
                getattr(proxy, name)

    def test_inherited_members(self) -> None:
        proxy = self.serve(Branch)
        self.assertEqual(102, proxy.count())
        self.assertEqual({"count"}, proxy._pyroMethods - {"rules", "kind", "titles"})
        with self.assertRaisesRegex(AttributeError, "titles"):
            proxy.titles()
        with self.assertRaisesRegex(AttributeError, "unexposed.*titles"):
            proxy._pyroInvoke("titles", (), {})

    def test_slots(self) -> None:
        self.assertEqual(5, self.serve(Slotted()).get())

        class Narrow:
            __slots__ = ("value",)

        for impossible in (Narrow(), 5, "text"):
            with self.assertRaisesRegex(TypeError, "_pyroId"):
                self.server.register(impossible)

    def test_marks_are_there_as_long_as_it_is_registered(self) -> None:
        branch = Branch()
        self.serve(branch)
        self.assertEqual("it", branch._pyroId)  # type: ignore[attr-defined]
        self.assertIs(self.server, branch._pyroDaemon)  # type: ignore[attr-defined]
        self.server.unregister(branch)
        self.assertEqual({"books"}, set(vars(branch)))


class Resources(ObjectTestCase):
    def test_they_are_closed_when_the_client_leaves(self) -> None:
        store = Store()
        with self.serve(store) as proxy, self.another(proxy) as other:
            for name in ("kept", "released"):
                proxy.open(name)
            other.open("of another client")
            proxy.release("released")
            proxy._pyroRelease()
            self.wait_for(store._resources["kept"].closed)
            self.server.wait_for_gone(1)
            self.assertFalse(store._resources["released"].closed.is_set())
            self.assertFalse(store._resources["of another client"].closed.is_set())

    def test_they_are_closed_when_the_client_dies(self) -> None:
        store = Store()
        proxy = self.serve(store)
        died = subprocess.run([sys.executable, "-c", CLIENT_THAT_DIES, str(proxy._pyroUri)], cwd=PROJECT, check=False,
                              timeout=PATIENCE_SECONDS)
        self.assertEqual(9, died.returncode)
        self.wait_for(store._resources["left behind"].closed)
        self.server.wait_for_gone(1)

    def test_the_program_is_told_before(self) -> None:
        told: List[Any] = []

        class Attentive(Daemon):
            def clientDisconnect(self, conn: Any) -> None:
                told.append([(resource.name, resource.closed.is_set()) for resource in conn.tracked_resources])

        store = Store()
        proxy = self.serve(store, daemon_class=Attentive)
        proxy.open("first")
        proxy._pyroRelease()
        self.wait_for(store._resources["first"].closed)
        self.assertEqual([[("first", False)]], told)


for base in (Creators, Registrations, Classes, Resources):
    for_both_types(globals(), base)
    del globals()[base.__name__]
del base, ObjectTestCase
