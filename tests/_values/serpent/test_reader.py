"""The fast path for reading serpent text: it gives the very values of the serpent library, or none."""

from __future__ import annotations

import random
import unittest
import warnings
from typing import Any

import serpent

from Pyro5._values.serpent import reader
from Pyro5._values.serpent.calls import fast_loads_call
from Pyro5._values.serpent.reader import NOT_FAST
from Pyro5._values.serpent.writer import HEADER

RECORD = {"id": 12345, "name": "Jane Doe", "active": True, "score": 3.25, "parent": None, "tags": ["a", "b"], "balance": -12.5}


def slow_loads(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python does not know
        return serpent.loads(text.encode("utf-8"))


def alike(a: Any, b: Any) -> bool:
    """Return whether two values are equal, type by type, and in the order of their keys."""
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
            got = reader.fast_loads(document)
            self.assertIsNot(NOT_FAST, got, document)
            self.assertTrue(alike(slow_loads(document), got), (document, got))

    def assert_not_fast(self, text: str) -> None:
        self.assertIs(NOT_FAST, reader.fast_loads(text), text)
        self.assertIs(NOT_FAST, reader.fast_loads(HEADER + text), text)

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
            "{'k': [1, {'j': 'a:b'}], 'b': '{'}",
            "['\t', '#', 'null', 'b']",
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

    def test_words_in_strings_are_not_changed(self) -> None:
        self.assert_fast("['None','True','False','null','true','(',')',',)','NaN',None]")

    def test_other_comments(self) -> None:
        self.assertEqual([1], reader.fast_loads("# serpent utf-8 python2.6\n[1]"))
        self.assertEqual([1], reader.fast_loads("#\n[1]"))
        self.assertIs(NOT_FAST, reader.fast_loads("#\r[2]\n[1]"))

    def test_texts_for_the_slow_reader(self) -> None:
        for text in (
            "{1:2}",
            "{(1,)}",
            "{1,}",
            "{(1,):2}",
            "(1)",
            "(3.0-4.5j)",
            "{b'x'}",
            "{b'x':1}",
            "ab'x'",
            "b'\xe9'",
            "b'x'b'y'",
            "b'x",
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

    def test_calls(self) -> None:
        for text in (
            "('object','method',(),{})",
            "('object','method',(1,),{})",
            "('object','method',(1,2,),{})",
            "('o b\xe9','method',((1,2),[{'k':(None,)}],'),{})'),{})",
            "('object','method',[1],None)",
            "('object','method',(1,),{'k':(1,)})",
            "('it\\'s','method',(1,),{})",
            "42",
        ):
            got = fast_loads_call(HEADER + text)
            self.assertTrue(alike(slow_loads(text), got), (text, got))

    def test_calls_for_the_slow_reader(self) -> None:
        for text in (
            "('object','method',(1),{})",
            "('object','method',(,),{})",
            "('object','method',(1),(2),{})",
            "('object','method',(1],[2),{})",
            "('object','method',(1)],[(2),{})",
            "('object','method',(1,,),{})",
            "('object','method',('a'),{})",
            "('object','method',(true,),{})",
            "('object','method',(','),{})",
            "('object','method',(1,)\n,{})",
            "('object',u'method',(1,),{})",
            "('object','method',(1,),{})+1",
        ):
            self.assertIs(NOT_FAST, fast_loads_call(HEADER + text), text)

    def test_bytes(self) -> None:
        self.assert_fast("b''")
        for content in (b"abc", b"it's", b'"\\', b"'\"", bytes(range(256)), b"x" * 5000, b"\\'\x00\"" * 2000):
            for text in ("%s", "[%s]", "(%s,)", "[%s,%s]",
                         "{'a':(%s,),'b':[{'c':%s}]}", "('web\\'b',%s,{1,2},None,'[b\\'')", "(%s,%s)"):
                self.assert_fast(text.replace("%s", repr(content)))
        call = "('object','method',(b'\\x00',{'a':b\"'\"}),{})"
        self.assertEqual(("object", "method", (b"\0", {"a": b"'"}), {}), fast_loads_call(HEADER + call))

    def test_strings_that_look_like_bytes(self) -> None:
        for text in ("'b'", "['b','b']", "['web','x,b']", '["x,b\'",1]', "[',b','[b']", "{'b':'b'}"):
            self.assert_fast(text)

    def test_long_strings(self) -> None:
        for content in ("x" * 5000, "a\\n" * 2000, "\xe9\\x41\\t" * 1000, '"' * 5000, "None (" * 1000, "\u20ac" * 5000):
            for text in ("'%s'", "['%s',1,'%s']", "{'%s':('%s',)}", "{'data': '%s', 'encoding': 'base64'}", "['%s','\\x41']"):
                self.assert_fast(text.replace("%s", content))
        for text in ("'%s' 'x'", "['%s',]", "u'%s'", "'%s", "'%s'\\", "{'%s','x'}x", "'%s\\x4'", "true,'%s'"):
            self.assert_not_fast(text.replace("%s", "x" * 5000))

    def test_long_strings_in_sets(self) -> None:
        self.assert_fast("[{'%s','b'},'c']" % ("x" * 5000))

    def test_many_values(self) -> None:
        for element in ("{'a':None,'b':'x','c':True}", "(False,'x')", "{1}", r"'a\n'", r"'it\'s'", "'None'", "'('", "'true'"):
            self.assert_fast("[" + ",".join([element] * 500) + "]")
        for text in ("T", "F", "rue", "xTrue", "Truex", "F True", r"\\T", r"\n False"):
            # where the first of these capitals begin words, and one in a string does not
            self.assert_fast("[%s,'%s']" % (",".join(["{'a':True,'b':False}"] * 200), text))
        for ending in ("T", "'a'T", "1T", "T1", "Tru", "F", "0F", "true", "TrueTrue", "'\\T", "True T"):
            self.assert_not_fast("[%s,%s]" % (",".join(["True,False"] * 500), ending))
            self.assert_not_fast("[%s]%s" % (",".join(["True,False"] * 500), ending))
        for element in ("null", "NaN", "None None", "1None", "(1)", "{1,}", "'a'b", "(1,))", "{None"):
            self.assert_not_fast("[" + ",".join([element] * 500) + "]")

    def test_depth(self) -> None:
        for brackets in ("[]", "()", "{}"):
            many = ",".join(["[%s]" % brackets] * 1000)
            self.assert_fast("[[%s]]" % many)
        self.assert_not_fast("[" * 60 + ",".join(["1"] * 2000) + "]" * 60)

    def test_json_that_is_not_a_literal(self) -> None:
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
        got = reader.fast_loads(text)
        if got is NOT_FAST:
            return False
        self.assertTrue(alike(slow_loads(text), got), (text, got))  # an error of the slow one is a failure, too
        return True

    def check_call(self, text: str) -> bool:
        got = fast_loads_call(text)
        if got is NOT_FAST:
            return False
        self.assertTrue(alike(slow_loads(text), got), (text, got))
        return True

    def test(self) -> None:
        fast = 0
        for _ in range(1000):
            text = serpent.dumps(self.value()).decode("utf-8")
            fast += self.check_loads(text)
            for _ in range(3):
                self.check_loads(self.spoil(text[len(HEADER) :]))
            self.check_loads("".join(self.random.choice(self.tokens) for _ in range(self.random.randrange(1, 9))))
        self.assertGreater(fast, 500)

    def test_calls(self) -> None:
        fast = 0
        for _ in range(700):
            args = tuple([self.value(3) for _ in range(self.random.randrange(4))])
            text = serpent.dumps(("object", "method", args, self.random.choice(({}, {}, {"k": args}, None)))).decode("utf-8")
            fast += self.check_call(text)
            for _ in range(2):
                self.check_call(HEADER + self.spoil(text[len(HEADER) :]))
        self.assertGreater(fast, 300)

    def test_long(self) -> None:
        """Long texts are read in other ways than short ones."""
        fast = 0
        for _ in range(40):
            body = serpent.dumps(self.long_value())[len(HEADER) :].decode("utf-8")
            fast += self.check_loads(body)
            for _ in range(3):
                self.check_loads(self.spoil(body))
            self.check_call("%s('object','method',(%s),{})" % (HEADER, self.spoil(body)))
        self.assertGreater(fast, 10)

    def long_value(self) -> Any:
        filling = self.random.choice(("x", "x\ny", "it's", "\xe9\t", "\u20ac\r", '"\'', "\\"))
        value = [self.value(3), filling * 2500, {self.text(): filling * 800}]
        return value if self.random.randrange(2) else [self.value(4) for _ in range(300)]
