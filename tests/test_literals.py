"""The fast path for serpent text: it gives the very results of the serpent library, or none."""

from __future__ import annotations

import random
import sys
import time
import unittest
import warnings
from typing import Any, List

import serpent

from Pyro5 import errors
from Pyro5.serializers import literals
from Pyro5.serializers.literals import HEADER, NOT_FAST

RECORD = {"id": 12345, "name": "Jane Doe", "active": True, "score": 3.25, "parent": None, "tags": ["a", "b"], "balance": -12.5}


def slow_loads(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python does not know
        return serpent.loads(text.encode("utf-8"))


def alike(a: Any, b: Any) -> bool:
    """Tell whether two values are equal, type by type, and in the order of their keys."""
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return len(a) == len(b) and all(alike(x, y) and alike(a[x], b[y]) for x, y in zip(a, b))
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return repr(a) == repr(b)


class Reading(unittest.TestCase):
    def assert_fast(self, text: str) -> None:
        for document in (text, HEADER + text):
            got = literals.fast_loads(document)
            self.assertIsNot(NOT_FAST, got, document)
            self.assertTrue(alike(slow_loads(document), got), (document, got))

    def assert_not_fast(self, text: str) -> None:
        self.assertIs(NOT_FAST, literals.fast_loads(text), text)
        self.assertIs(NOT_FAST, literals.fast_loads(HEADER + text), text)

    def test_scalars(self) -> None:
        for text in (
            "None",
            "True",
            "False",
            "0",
            "-0",
            "-42",
            str(10**30),
            "3.25",
            "-0.0",
            "1e+300",
            "1e30000",
            "-1e30000",
            "1E5",
            "''",
            "'abc'",
            '"it\'s"',
            "'say \"hi\"'",
            "'caf\xe9 \u20ac \U0001f600'",
            "'\x7f\x01 \u2028'",
        ):
            self.assert_fast(text)

    def test_containers(self) -> None:
        for text in (
            "[]",
            "{}",
            "()",
            "(1,)",
            "(1,2)",
            "(1,2,)",
            "[1, 2]",
            "{'a':[1,(2,3,{'b':{'c':[]}})],'t':((),((),))}",
            "{'data': 'YWJj', 'encoding': 'base64'}",
            "{'k':1,'j':2,'k':3}",
            "[(),[(None,)]]",
            "('obj','method',(),{})",
            "('obj','method',('x',),{'k':True})",
            "('obj','method',[1],None)",
        ):
            self.assert_fast(text)

    def test_sets(self) -> None:
        for text in (
            "{1}",
            "{'a','b'}",
            "{1,True,-2.5,None,'x'}",
            "[{1},{'a':{2},'b':{}}]",
            "({'x'},{'y':({'z'},)})",
            "{'{','}',':',',','(',')'}",
            r"""{"it's",'\\', '\n'}""",
        ):
            self.assert_fast(text)

    def test_escapes(self) -> None:
        for text in (
            r"'it\'s'",
            r"'\\'",
            r"'\\\''",
            r"'a\nb\tc\rd'",
            r"'\x41\x7f\x85'",
            r"'\u20ac\u2028'",
            r"'\U0001f600'",
            r"""['"', "'", '\'"', "\"'"]""",
            r"['\\', 'x']",
            r"{'\'':'\\\\'}",
            r"'\\n'",
            r"('\\',)",
        ):
            self.assert_fast(text)

    def test_words_in_strings_stay(self) -> None:
        self.assert_fast("['None','True','False','null','true','(',')',',)','NaN',None]")

    def test_other_comments(self) -> None:
        self.assertEqual([1], literals.fast_loads("# serpent utf-8 python2.6\n[1]"))
        self.assertEqual([1], literals.fast_loads("#\n[1]"))
        self.assertIs(NOT_FAST, literals.fast_loads("#\r[2]\n[1]"))

    def test_given_up(self) -> None:
        for text in (
            "{1:2}",
            "{(1,)}",
            "{1,}",
            "{ }",
            "{(1,):2}",
            "(1)",
            "(3.0-4.5j)",
            "b'x'",
            "u'x'",
            "r'x'",
            "'a' 'b'",
            "'a''b'",
            "'''a'''",
            "set()",
            "1_000",
            "0x10",
            "1.",
            ".5",
            "+1",
            "[1,]",
            "1 ",
            " 1",
            "1,2",
            "[1]\n",
            "1 # c",
            r"'\/'",
            r"'\a'",
            r"'\101'",
            r"'\ud83d\ude00'",
            r"'\udc00'",
            r"'\x00'",
            r"'\u0000'",
            "9" * 5000,
            "[" * 60 + "]" * 60,
        ):
            self.assert_not_fast(text)

    def test_json_that_is_no_literal(self) -> None:
        for text in ("null", "true", "[false]", "NaN", "Infinity", "[-Infinity]", "nullNone", "[1]{}", "\ufeff1"):
            self.assert_not_fast(text)

    def test_malformed(self) -> None:
        for text in (
            "",
            "[",
            "'",
            '"',
            "'abc",
            "[1 2]",
            "(,)",
            "[,)",
            "(]",
            "(1]",
            "[1)",
            "{'a':[1)",
            "(1]}",
            "({'a':1]}",
            "(1],'k':[2)",
            "{'a':}",
            "[1]]",
            "01",
            "--1",
            "'\n'",
            "['a\\']",
            "\\",
            "'\\",
            "[1,\x0c2]",
            "[1\xa0]",
            "[1\0]",
            "{'a':[,),'b':1}",
            "\x01",
            "'a'\x02'b'",
            "(" * 3,
            "\x011,)",
        ):
            self.assert_not_fast(text)

    def test_speed(self) -> None:
        # the margin is for slow and busy machines: the factor is ten and more
        text = serpent.dumps([dict(RECORD, id=number) for number in range(100)]).decode()
        self.assertLess(fastest(lambda: literals.fast_loads(text)) * 2, fastest(lambda: slow_loads(text)))


class Writing(unittest.TestCase):
    def assert_fast(self, value: Any) -> None:
        text = literals.fast_dumps(value)
        self.assertIsNotNone(text, value)
        self.assertEqual(serpent.dumps(value).decode("utf-8"), HEADER + str(text))

    def test_values(self) -> None:
        for value in (
            None,
            True,
            0,
            -1,
            10**30,
            3.25,
            -0.0,
            1e300,
            "",
            "a, b: c",
            "it's",
            'say "hi"',
            "both ' and \"",
            "back\\slash\n",
            "\ud800",
            "\x00",
            "caf\xe9 \u20ac",
            [],
            (),
            {},
            (1,),
            [1, 2.5, "x", None],
            {"a, b": "c: d"},
            ((), [], {}, ((),)),
            {1: 2, False: 3, "k": [4]},
            RECORD,
            [RECORD, (RECORD,)],
            {"inf": "nan"},
            ["inf", 1e300],
            [{"a": "x, y", "b": ["'"]}],
        ):
            self.assert_fast(value)

    def test_each(self) -> None:
        for values in ((), [], (1,), [1], (1, "x"), ["a, b", (1,)], tuple(range(20)), [[1]] * 20):
            text = literals.fast_dumps_each(values)
            self.assertEqual(serpent.dumps(values).decode("utf-8"), HEADER + str(text))
        for values in ((b"x",), [1, {2}], ({1},) * 20, {1: 2}, {1}):
            self.assertIsNone(literals.fast_dumps_each(values))

    def test_shared_containers(self) -> None:
        shared = [1, {"k": 2}]
        self.assert_fast([shared, shared, (shared,)])

    def test_given_up(self) -> None:
        class Text(str):
            pass

        endless: List[Any] = []
        endless.append(endless)
        deep: Any = []
        for _ in range(60):
            deep = [deep]
        for value in (
            float("inf"),
            [float("nan")],
            {"k": -float("inf")},
            3j,
            b"x",
            [bytearray()],
            {1},
            frozenset(),
            {None: 1},
            {(1,): 2},
            {2.5: 1},
            Text("x"),
            [Text("x")],
            {Text("x"): 1},
            object(),
            endless,
            deep,
        ):
            self.assertIsNone(literals.fast_dumps(value))

    def test_huge_int(self) -> None:
        if hasattr(sys, "get_int_max_str_digits"):
            self.assertRaises(ValueError, literals.fast_dumps, [10**5000])


class Fuzz(unittest.TestCase):
    """Random texts, most of them spoilt; the same ones every time."""

    texts = (
        "a",
        "b",
        " ",
        "'",
        '"',
        "\\",
        "\n",
        "\t",
        "\0",
        "\x7f",
        "\xe9",
        "\u2028",
        "\U0001f600",
        "\ud800",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ", ",
        ": ",
        "None",
        "True",
        "null",
        "\\x41",
        "#",
        "nan",
        "inf",
    )
    tokens = (
        "'",
        '"',
        "\\",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "1",
        "-",
        "0.5",
        "e5",
        "None",
        "True",
        "null",
        "true",
        "NaN",
        "\n",
        "\r",
        "\0",
        "#",
        "b",
        "r",
        "j",
        "'a'",
        '"b"',
        "\\'",
        '\\"',
        "\\\\",
        "\\n",
        "\\x41",
        "\\u0041",
        "\\ud83d\\ude00",
        "\\/",
        "\\0",
        "'''",
        "\1",
        "\2",
        "()",
        "(1,)",
        "(1)",
        "{}",
        "[]",
        "_",
        "01",
        ".",
        "\\x00",
        "\x0c",
        ",)",
        "'k':",
        "{1}",
        "{'s',2}",
        "{ }",
        "]}",
        "{'k':[",
    )

    def setUp(self) -> None:
        self.random = random.Random(20240229)

    def text(self) -> str:
        return "".join(self.random.choice(self.texts) for _ in range(self.random.choice((0, 1, 2, 3, 6))))

    def value(self, depth: int = 0) -> Any:
        choose = self.random
        kind = choose.randrange(13 if depth < 4 else 7)
        if kind < 4:
            return self.text()
        if kind < 7:
            sets = ({1, 2}, {"a", -1.5})
            return choose.choice((None, True, 0, -7, 10**30, -0.0, 1 / 3, 1e300, float("inf"), 3 - 4j, b"x", *sets))
        elements = [self.value(depth + 1) for _ in range(choose.randrange(4))]
        if kind < 9:
            return elements
        if kind < 11:
            return tuple(elements)
        return {self.text() if kind == 11 else choose.choice((1, True, (1, 2), "k")): element for element in elements}

    def spoil(self, text: str) -> str:
        characters = list(text)
        for _ in range(self.random.randrange(1, 4)):
            place = self.random.randrange(len(characters) + 1)
            action = self.random.randrange(3)
            if action == 0:
                characters.insert(place, self.random.choice(self.tokens))
            elif action == 1:
                del characters[place : place + 1]
            else:
                characters[place : place + 1] = [self.random.choice(self.tokens)]
        return "".join(characters)

    def check_loads(self, text: str) -> bool:
        got = literals.fast_loads(text)
        if got is NOT_FAST:
            return False
        self.assertTrue(alike(slow_loads(text), got), (text, got))  # an error of the slow one is a failure, too
        return True

    def check_dumps(self, value: Any) -> bool:
        text = literals.fast_dumps(value)
        if text is None:
            return False
        self.assertEqual(serpent.dumps(value), (HEADER + text).encode("utf-8"))
        return True

    def test(self) -> None:
        fast_dumps = fast_loads = 0
        for _ in range(1500):
            value = self.value()
            fast_dumps += self.check_dumps(value)
            text = serpent.dumps(value).decode("utf-8")
            fast_loads += self.check_loads(text)
            for _ in range(3):
                self.check_loads(self.spoil(text[len(HEADER) :]))
            self.check_loads("".join(self.random.choice(self.tokens) for _ in range(self.random.randrange(1, 9))))
        self.assertGreater(fast_dumps, 500)
        self.assertGreater(fast_loads, 500)


class Guard(unittest.TestCase):
    many = 30000

    def test_chains_are_refused(self) -> None:
        # some of these crash some versions of Python
        n = self.many
        for text in (
            "1" + "+1" * n,
            "(1)" + "+(1)" * n,
            "a" + ".b" * n,
            "a" + "[1]" * n,
            "a" + "()" * n,
            "-" * n + "1",
            "[" * n,
            "{1:" * n,
            "'a'" + "+'a'" * n,
            "1j" + "+1j" * n,
            "0+0j" + "+0+0j" * n,
            "f'{1" + "+1" * n + "}'",
            "1#'\n" + "+1" * n + "#'",
            "(a" + "[1]\n#'\n" * n + ")",
            "'''a'''" + "+'''a'''" * n,
            "1" + "+\\\n1" * n,
            "1." + ".a" * n,
            "a1" + ".a1" * n,
            "a" + "[1](2).x" * n,
            "[F'''{1" + "+1" * n + "}''']",
            "1" + "**1" * n,
            "x" + "<1" * n,
        ):
            with self.subTest(text[:20]), self.assertRaises(errors.SerializeError):
                literals.check_complexity(text)

    def test_literals_are_not(self) -> None:
        values: List[Any] = [[-1.5e-7, 3 - 4j, {1, 2}, b"+-*/", "a+b" * 200, {(1, 2): -3}] for _ in range(200)]
        for value in (values, [-1] * 1000, [1e-5] * 1000, [0.5 - 1e-5j] * 1000, ["'\"#\\"] * 500, [[[]]] * 500):
            literals.check_complexity(serpent.dumps(value).decode())
            literals.check_complexity(serpent.dumps(value, bytes_repr=True).decode())

    def test_linear_time(self) -> None:
        n = self.many
        for text in (
            "'" + "\\'" * n,
            '"' + '\\"' * n,
            "[" + "'''" * n,
            "'\\" * n,
            "['a'," + "''''" * n,
            "#'" * n,
            '["\'"' + ',"\'"' * n + "]",
            "1_" * n,
            "\\" * n,
            " " * n,
            "['" + "\\x41" * n + "']",
        ):
            begin = time.monotonic()
            literals.fast_loads(text)
            self.swallow(text)
            self.assertLess(time.monotonic() - begin, 5, text[:10])

    def swallow(self, text: str) -> None:
        try:
            literals.check_complexity(text)
        except errors.SerializeError:
            return


def fastest(function: Any) -> float:
    durations = []
    for _ in range(5):
        begin = time.perf_counter()
        function()
        durations.append(time.perf_counter() - begin)
    return min(durations)
