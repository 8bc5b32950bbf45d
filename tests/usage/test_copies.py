"""Copies and pickles of registered objects: programs store them, or send them to other processes."""
from __future__ import annotations

import copy
import pickle
import unittest
from typing import Any, Callable

from Pyro5.api import Daemon, Proxy, expose

from ..support import daemon_thread


class OwnDaemon(Daemon):
    """Has attributes that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1")
        self.handler: Callable[[], None] = lambda: None


@expose
class Sample:
    def __init__(self) -> None:
        self.values = [1]

    def first(self) -> int:
        return self.values[0]


def pickled(obj: Any) -> Any:
    for protocol in range(pickle.HIGHEST_PROTOCOL):
        pickle.loads(pickle.dumps(obj, protocol))
    return pickle.loads(pickle.dumps(obj))


class Copies(unittest.TestCase):
    def check_copies(self, sample: Sample) -> None:
        for make in (copy.deepcopy, pickled):
            copied: Any = make(sample)
            self.assertEqual([1], copied.values)
            self.assertIsNot(sample.values, copied.values)
            self.assertEqual(vars(sample)["_pyroId"], copied._pyroId)
            self.assertIn("not here", repr(copied._pyroDaemon))

    def test_of_objects_in_open_and_in_closed_daemons(self) -> None:
        for make in (lambda: Daemon("127.0.0.1"), OwnDaemon):
            sample = Sample()
            with make() as daemon:
                daemon.register(sample)
                self.check_copies(sample)
            self.check_copies(sample)

    def test_of_weakly_registered_objects(self) -> None:
        sample = Sample()
        with Daemon("127.0.0.1") as daemon:
            daemon.register(sample, weak=True)
            self.check_copies(sample)

    def test_a_deep_copy_is_another_object(self) -> None:
        sample = Sample()
        daemon = Daemon("127.0.0.1")
        uri = daemon.register(sample)
        copied: Any = copy.deepcopy(sample)
        copied.values = [2]
        with daemon_thread(daemon), Proxy(uri) as proxy, Proxy(daemon.register(copied)) as other:
            self.assertEqual((1, 2), (proxy.first(), other.first()))
            self.assertEqual([uri.object, copied._pyroId], [each for each in daemon.objectsById if each != "Pyro.Daemon"])

    def test_unregistered_objects_refer_to_no_daemon(self) -> None:
        sample = Sample()
        with Daemon("127.0.0.1") as daemon:
            daemon.register(sample)
            daemon.unregister(sample)
        for make in (copy.copy, copy.deepcopy, pickled):
            self.assertEqual({"values": [1]}, vars(make(sample)))


class OverTheWire(unittest.TestCase):
    def test_a_deep_copy_is_not_taken_for_the_object(self) -> None:
        @expose
        class Giving:
            def give(self, how: str) -> Any:
                return {"copy": copy.copy, "deepcopy": copy.deepcopy}[how](self)

        daemon = Daemon("127.0.0.1")
        with daemon_thread(daemon), Proxy(daemon.register(Giving())) as proxy:
            self.assertEqual(proxy, proxy.give("copy"))
            with self.assertRaisesRegex(Exception, "Giving"):
                proxy.give("deepcopy")


if __name__ == "__main__":
    unittest.main()
