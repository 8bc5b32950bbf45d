"""Batches in serpent text: the fast functions write the text of the library, and read its values, or leave both to others."""
from __future__ import annotations

import random
import unittest
from typing import Any, List

import serpent

from Pyro5._values.serpent import calls as serpent_calls
from Pyro5._values.serpent import reader
from Pyro5._values.serpent.writer import HEADER
from Pyro5.serializers import get_serializer

NUMBERS = [("add", (number, -1), {}) for number in range(20)]


def document(calls: str) -> str:
    return "%s('object','<batch>',%s,None)" % (HEADER, calls)


class Writing(unittest.TestCase):
    def test_text_is_that_of_the_library(self) -> None:
        texts = ["", "a", "it's", '"', "a, b", "%s %% %(x)s", "(1,)", "\n\0\x7f\u20ac", "x" * 1000]
        for calls in (NUMBERS, [("a%d", (), {}), ("b'", (1,), {}), ("b'", (None, True, 2.5, 10 ** 400), {})] * 5,
                      [("text", (text, text), {}) for text in texts]):
            expected = serpent.dumps(("object", "<batch>", calls, None), module_in_classname=True)
            text = serpent_calls.fast_dumps_calls(calls)
            self.assertEqual(expected, document(text or "").encode("utf-8"))
            self.assertEqual(expected, get_serializer("serpent").dumpsCall("object", "<batch>", calls, None))

    def test_what_is_left_to_others(self) -> None:
        class Name(str):
            pass
        for call in (("add", (float("inf"),), {}), ("add", (float("nan"), 1), {}), ("add", ([],), {}), ("add", (1,), {"a": 1}),
                     ("add", [1], {}), ["add", (1,), {}], ("add", (1,)), (Name("add"), (1,), {}), ("add", (Name(),), {}),
                     ("add", (1,), None)):
            self.assertIsNone(serpent_calls.fast_dumps_calls([*NUMBERS, call]), call)
        self.assertIsNone(serpent_calls.fast_dumps_calls(tuple(NUMBERS)))


class Reading(unittest.TestCase):
    def assert_fast(self, calls: str) -> None:
        text = document(calls)
        self.assertEqual(repr(serpent.loads(text.encode("utf-8"))), repr(serpent_calls.fast_loads_batch(text)))

    def test_values_are_those_of_the_library(self) -> None:
        for calls in (str(NUMBERS), "[('a',(1,),{}),('b',('x',),{})]", "[('a',(),{})]",
                      "[('a',(),{}),('b',(None,True,False,-2.5e3,'x, y',''),{})]",
                      "[('a',( 1 ,2 ), {}) , ('b',(1.0,2),{})]", "[('a',(),{}),('a',(None,-1),{}),('a',('x, y','',True),{})]",
                      "[('a',('x',),{}),('a',(1,),{}),('a',(False,),{})]", "[('a',(),{}),('a',(),{})]", "[('a',([1],2),{})]",
                      "[('a',({},2),{}),('a',([[],{'b':None}],'[{'),{})]", "[('a',([1,2],),{}),('a',({'b':1,'c':2},),{})]",
                      "[('a',({'b':1},2),{}),('a',(1,2),{})]",
                      str([("a", ([i, [i]],), {}) for i in range(100)]).replace(" ", "")):
            self.assert_fast(calls)

    def test_what_is_left_to_the_general_reader(self) -> None:
        for calls in ("[('a',(1),{})]", "[('a',(1),{}),('b',(1,2,),{})]", "[('a',(1,2,),{})]", "[('a',(,),{})]",
                      "[('a',('x',(1),{}),('b'),{})]", "[(('a',(1,2),{}),{})]", "[('a',(1,2),{})),(('a',(1,2),{})]",
                      "[('a',(1,(2,3)),{})]", "[('a',([1),{}),('a',(2]),{}),('a',(3],[4),{})]",
                      "[('a',('(',2),{})]", "[('a',('None',2),{})]",
                      "[('a',(null,2),{})]", "[('a',(\"it's\",2),{})]", "[('a',('\\x41',2),{})]", "[('a',({1},2),{})]",
                      "[('a',({'__class__':'x'},2),{})]", "[('a',(1],[2),{})]", "[('a',([1],2),{}),('b',(1,2),{})]",
                      "[('a',(1,2)),({},('b'),{})]", "[('a',(1,2),{1}),('b',(1,2),{})]", "[(1,(1,2),{})]", "[{},{}]",
                      "[('a',(1,2),{},)]", "[('a',(NaN,2),{})]", "[('a',(01,2),{})]", "[('a',(1,2),{}),,('b',(1,2),{})]",
                      "[('a',(1,2),{}),(),{})]", "[('a',('b' 'c',2),{})]", "[" + "(" * 5000 + ",{})]",
                      "[('a',('x),{}),('a',(y'),{})]", "[('a',('x'),{}),('a',('y'),{})]", "[('a',(1,),{}),('a',(,),{})]",
                      "[('a',(1,),{}),('a',(),{})]", "[('a',(1,2,),{}),('a',(1,2,),{})]",
                      "[('a',(%s,2),{})]" % ("[" * 60 + "]" * 60),
                      "[('a',('x),{}),(',1),{}),('a',(1,2),{})]", "[('a',('None',2),{}),('a',(1,2),{})]"):
            self.assertIs(reader.NOT_FAST, serpent_calls.fast_loads_batch(document(calls)), calls)
        for text in (document(str(NUMBERS))[1:], HEADER + "[('a',(1,2),{})],None)", HEADER + serpent_calls.END_OF_BATCH):
            self.assertIs(reader.NOT_FAST, serpent_calls.fast_loads_batch(text))

    def test_damaged_text_has_the_value_of_the_library_or_is_not_fast(self) -> None:
        chance = random.Random(22)
        texts: List[str] = ["[('add',(1,'x'),{}),('b',(None,2.5),{})]", "[('a',(1,),{}),('b',('y',),{})]",
                            "[('a',(),{}),('b',(),{})]", "[('a',(1,'x'),{}),('a',(None,2),{})]",
                            "[('a',(1,),{}),('a',('y',),{})]", "[('a',([1],'x'),{}),('a',({'b':[]},2),{}),('a',(),{})]"]
        fast = 0
        for _ in range(3000):
            text = list(chance.choice(texts))
            for _ in range(chance.randrange(1, 4)):
                place = chance.randrange(len(text))
                text[place:place + chance.randrange(2)] = chance.choice("()[]{},' 1a-.")
            whole = document("".join(text))
            got: Any = serpent_calls.fast_loads_batch(whole) if whole.endswith(serpent_calls.END_OF_BATCH) else reader.NOT_FAST
            if got is not reader.NOT_FAST:
                fast += 1
                self.assertEqual(repr(serpent.loads(whole.encode("utf-8"))), repr(got), whole)
        self.assertGreater(fast, 50)

    def test_request_is_read_as_it_was_written(self) -> None:
        serializer = get_serializer("serpent")
        for calls in (NUMBERS, [*NUMBERS, ("move", ((1, 2), [3]), {"a": (4,)})]):
            data = serializer.dumpsCall("object", "<batch>", calls, None)
            self.assertEqual(("object", "<batch>", calls, None), serializer.loadsCall(memoryview(data)))


if __name__ == "__main__":
    unittest.main()
