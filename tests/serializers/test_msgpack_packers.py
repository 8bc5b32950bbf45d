"""The msgpack serializer uses its packers again: after errors, in converters that serialize, and in several threads."""
from __future__ import annotations

import importlib.util
import threading
import unittest
from typing import Any, Dict, List

from Pyro5 import serializers
from Pyro5.serializers import SerializerBase
from Pyro5.serializers.msgpack import _KEEP_PACKER_BYTES, _MAX_FREE_PACKERS

HAS_MSGPACK = importlib.util.find_spec("msgpack") is not None
MSGPACK: Any = serializers.get_serializer("msgpack") if HAS_MSGPACK else None


class Letter:
    def __init__(self, text: str) -> None:
        self.text = text


@unittest.skipUnless(HAS_MSGPACK, "msgpack is not installed")
class Packers(unittest.TestCase):
    def test_a_value_that_cannot_be_sent_leaves_nothing_behind(self) -> None:
        def fail(letter: Letter) -> Dict[str, Any]:
            raise ValueError("no")

        SerializerBase.register_class_to_dict(Letter, fail)
        self.addCleanup(SerializerBase.unregister_class_to_dict, Letter)
        for _ in range(3):
            with self.assertRaisesRegex(ValueError, "no"):
                MSGPACK.dumps([1, 2, "text", Letter("a")])
            self.assertEqual([3], MSGPACK.loads(MSGPACK.dumps([3])))

    def test_a_converter_that_serializes(self) -> None:
        def to_dict(letter: Letter) -> Dict[str, Any]:
            return {"__class__": "letter", "inner": MSGPACK.dumps([letter.text])}

        SerializerBase.register_class_to_dict(Letter, to_dict)
        self.addCleanup(SerializerBase.unregister_class_to_dict, Letter)
        sent = MSGPACK._unpack(MSGPACK.dumps([Letter("a"), Letter("b"), "after"]))
        self.assertEqual([["a"], ["b"]], [MSGPACK.loads(each["inner"]) for each in sent[:2]])
        self.assertEqual("after", sent[2])

    def test_long_values_do_not_stay_in_memory(self) -> None:
        before = len(MSGPACK._free_packers)
        MSGPACK.dumps(["x" * 2 * _KEEP_PACKER_BYTES])
        self.assertLessEqual(len(MSGPACK._free_packers), before)

    def test_threads(self) -> None:
        wrong: List[Any] = []
        begin = threading.Barrier(2 * _MAX_FREE_PACKERS)

        def pack(number: int) -> None:
            begin.wait(20)
            value = [number, str(number) * 50]
            wrong.extend(each for each in [MSGPACK.loads(MSGPACK.dumps(value)) for _ in range(50)] if each != value)

        threads = [threading.Thread(target=pack, args=(number,)) for number in range(begin.parties)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)
        self.assertLessEqual(len(MSGPACK._free_packers), _MAX_FREE_PACKERS + len(threads))


if __name__ == "__main__":
    unittest.main()
