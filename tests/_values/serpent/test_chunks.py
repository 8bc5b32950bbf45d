"""Long literals: their values are those of ast.literal_eval, but the way there takes little memory."""
from __future__ import annotations

import ast
import random
import sys
import unittest
from typing import Any
from unittest import mock

import serpent

from Pyro5 import errors
from Pyro5._values import hash_flooding
from Pyro5._values.serpent import chunks
from Pyro5.serializers import get_serializer

from .test_reader import Fuzz, alike

MALFORMED = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
MERSENNE = (1 << 61) - 1  # its multiples all hash to 0


class Values(unittest.TestCase):
    def setUp(self) -> None:
        for name in ("_FEW_UNUSUAL", "_TOKENS_AHEAD"):
            self.addCleanup(setattr, chunks, name, getattr(chunks, name))
        patch = mock.patch.object(chunks, "SHORT_CHARACTERS", 2)
        patch.start()
        self.addCleanup(patch.stop)

    def assert_same(self, text: str) -> None:
        got = chunks.evaluate(text)
        self.assertTrue(alike(ast.literal_eval(text), got), (text, got))

    def test_containers(self) -> None:
        for text in ("[1, 2, 3]", "[]", "()", "{}", "(1,)", "(1)", "((1,),)", "([[1, 2, 3], 4])", "{1, 2, (3, 4, 5)}",
                     "1, 2, 3",
                     "{1: 2, 3: [4, 5, 6], (7, 8): 9, (10, 11): (12, 13)}", "[1, 2, 3,]", "[[1, 2], [3, 4],]", "('abc')",
                     "('ab' 'cd')",
                     "[ ]", "{    }", "(    )", "[[[[1]]]]", "{1: 2, 1: 3, True: 4}", "[1j, -1, +1.5, 3-4j, None, True]",
                     "{'a': {'b': [1, 2, 3]}, 'c': (1,), }", "[b'x', rb'\\n', '''a,b''', u'x']"):
            with self.subTest(text):
                self.assert_same(text)

    @unittest.skipIf(sys.version_info < (3, 9), "ast.literal_eval does not take it there")
    def test_empty_sets(self) -> None:
        for text in ("[set(), 1, 2]", "{1: set ( ), 2: 3}", "[1, (set(),)]"):
            with self.subTest(text):
                self.assert_same(text)
        for text in ("[set, 1]", "[set(1), 2]", "[set(,), 1]", "[1, set[1]]", "[list(), 1]", "[set()(), 1]", "[set {1}, 2]"):
            with self.subTest(text), self.assertRaises(MALFORMED):
                chunks.evaluate(text)

    def test_white_space_and_comments(self) -> None:
        for text in ("# serpent\n[1, # no, [\n 2, # )\n]", "[1,\\\n2, [3,\n4]\n#\n]", "{1 : # ,\n [2, 3] # }\n , 4: 5}",
                     "[\t(\f1, 2)\r\n, 3]"):
            with self.subTest(text):
                self.assert_same(text)

    def test_malformed(self) -> None:
        for text in ("[1, 2, 3", "1, 2]", "[1, 2)", "[,1,2]", "[1,,2]", "[[1,2],,]", "[[1,2][1,2]]", "[[1,2]x, 3]",
                     "[x[1,2], 3]",
                     "{1:2, 3, 4}", "{1, 2, 3:4}", "{[1,2]: 3}", "{[1,2], 3}", "[[1,2]: 3]", "{1: [1,2]: 3}", "{(1,2): 3: 4}",
                     "[1, 'abc",
                     "[1, 2, ''']", "{,1: [2, 3]}", "[f(1, 2), 3]", "[1, 2, 3 for x in y]", "{1: (2, 3) 4}", "{: (2, 3)}",
                     "{(2, 3): }",
                     "[(1,2), ]]", "{1: , 2: [3, 4]}", "'' , , (1, 2)", "{**{1: 2}, 3: 4}", "[*[1, 2], 3]",
                     "[1, 2, {3: [4, 5], 6}]"):
            with self.subTest(text), self.assertRaises(MALFORMED):
                print(chunks.evaluate(text))

    def test_random_literals(self) -> None:
        source = Fuzz()
        source.setUp()
        rng = source.random = random.Random(20240301)
        values = 0
        for _ in range(1500):
            chunks.SHORT_CHARACTERS = rng.choice((1, 2, 3, 5, 8, 13, 30))  # type: ignore[misc]
            chunks._FEW_UNUSUAL, chunks._TOKENS_AHEAD = rng.choice((0, 1, 20)), rng.choice((2, 5, 300))
            text = serpent.dumps(source.value(), indent=rng.random() < 0.3).decode()
            if rng.random() < 0.5:
                text = text.replace(",", rng.choice((", # no, ]\n", ",\\\n", " ,\t")))
            values += self.check(text if rng.random() < 0.5 else source.spoil(text))
        self.assertGreater(values, 700)

    def check(self, text: str) -> bool:
        try:
            chunks.check_complexity(text)
            value = ast.literal_eval(text)
        except (errors.SerializeError, *MALFORMED):
            try:  # it may be more forgiving, but raise nothing else
                chunks.evaluate(text)
            except MALFORMED:
                pass
            return False
        got = chunks.evaluate(text)
        self.assertTrue(alike(value, got), (text, got))
        return True


class Costs(unittest.TestCase):
    def test_the_compiler_gets_small_pieces(self) -> None:
        """So it takes little memory, and keeps no other thread waiting."""
        deep = "[1,(2,{3:[4,'%s']})]" % ("x" * 6000)
        for element in ("1,", "(),", "(1,),", "{1},", "'',", "{'a':1},", "{None:1},", deep + ",", "[%s]," % ("(1,)," * 3000)):
            text = "[%s]" % (element * (60000 // len(element)))
            with self.subTest(element[:20]), mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
                get_serializer("serpent").loads(text.encode())
            lengths = [len(call[0][0]) for call in literal_eval.call_args_list]
            self.assertLess(max(lengths, default=0), 100)

    def test_the_compiler_gets_no_brackets(self) -> None:
        """Deep nesting costs it fifteen times as much as flat text does."""
        for element in ("[" * 90 + "]" * 90, "(" * 60 + "1" + ",)" * 60, "{1:" * 60 + "{2}" + "}" * 60, "{(1,2)}", "((3))"):
            text = "[%s]" % ",".join([element] * (20000 // len(element)))
            with self.subTest(element[:20]), mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
                chunks.evaluate(text)
            literal_eval.assert_not_called()

    def test_equal_atoms_are_evaluated_once(self) -> None:
        text = "[%s]" % ("rb'x', " * 5000)
        with mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
            self.assertEqual([b"x"] * 5000, chunks.evaluate(text))
        self.assertLess(literal_eval.call_count, 5)

    def test_different_unusual_atoms_are_compiled_many_at_a_time(self) -> None:
        for atom in ("0x%x", "%d_0", "'%d''b'", "{%d_0:()}", "- %d", "%d # 1,\n", "(b'%d', None)"):
            text = "[%s]" % ",".join([atom % number for number in range(100000, 103000)])
            with self.subTest(atom), mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
                value = chunks.evaluate(text)
            self.assertEqual(ast.literal_eval(text), value)
            self.assertLess(literal_eval.call_count, 200)
            self.assertLess(max([len(call[0][0]) for call in literal_eval.call_args_list]), 3 * chunks.SHORT_CHARACTERS)

    def test_atoms_that_do_not_fit_into_the_cache(self) -> None:
        text = "[%s%s]" % ("".join(["%d_0," % number for number in range(1000, 8000)]), ".5," * 20000)
        with mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
            self.assertEqual([number * 10 for number in range(1000, 8000)] + [0.5] * 20000, chunks.evaluate(text))
        self.assertLess(literal_eval.call_count, 300)

    def test_an_invalid_atom_among_unusual_ones(self) -> None:
        for invalid in ("0x", "1_", "x", "'a' b", "*'ab'", "1 if 2 else 3", "'", "1 for x in 'a'", "1\\"):
            before = ",".join(["%d_0" % number for number in range(1000, 1500)])
            text = "[%s, %s, %s]" % (before, invalid, ",".join(["0x1"] * 500))
            with self.subTest(invalid), mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
                with self.assertRaises(MALFORMED):
                    chunks.evaluate(text)
                self.assertLess(literal_eval.call_count, 400)

    def test_nesting_does_not_add_up(self) -> None:
        text = "0"
        for _ in range(20):
            text = "[%s%s]" % ("1," * 3000, text)
        with mock.patch.object(ast, "literal_eval", wraps=ast.literal_eval) as literal_eval:
            chunks.evaluate(text)
        self.assertLess(max([len(call[0][0]) for call in literal_eval.call_args_list], default=0), 100)


class KeysThatHashAlike(unittest.TestCase):
    """They take no time, since they are refused."""

    many = 3000

    def refused(self, text: str) -> None:
        with self.assertRaisesRegex(errors.SerializeError, "same hash"):
            get_serializer("serpent").loads(text.encode())

    def test_in_a_set(self) -> None:
        numbers = ",".join(str(number * MERSENNE) for number in range(self.many))
        self.refused("{%s}" % numbers)
        self.refused("{%s,}" % numbers)  # with a comma it goes the slow way

    def test_in_a_dict(self) -> None:
        self.refused("{%s}" % ",".join("%d:1" % (number * MERSENNE) for number in range(self.many)))

    def test_complex_numbers(self) -> None:
        self.refused("{%s}" % ",".join("(%d-%dj)" % (1000003 * number, number) for number in range(self.many)))

    def test_in_an_ordered_dict(self) -> None:
        self.refused("{'__class__':'collections.OrderedDict','items':[%s]}"
                     % ",".join("(%d,1)" % (number * MERSENNE) for number in range(self.many)))

    def test_other_keys_are_accepted(self) -> None:
        for value in (dict.fromkeys(range(5000), 1), {(number, -number): "x" for number in range(5000)},
                      {"k%d" % number: 1 for number in range(5000)}, set(range(-5000, 0)),
                      {number / 3: number for number in range(5000)}, {2 ** number for number in range(3000)}):
            data = get_serializer("serpent").dumps(value)
            self.assertEqual(value, get_serializer("serpent").loads(data))

    def test_few_keys_with_the_same_hash_are_accepted(self) -> None:
        some: Any = {number * MERSENNE: 1 for number in range(1200)}
        self.assertEqual(some, get_serializer("serpent").loads(repr(some).encode()))
        with self.assertRaises(errors.SerializeError):
            hash_flooding.check([number * MERSENNE for number in range(1600)])
        with self.assertRaises(TypeError):
            hash_flooding.check([[]] * 2000)


if __name__ == "__main__":
    unittest.main()
