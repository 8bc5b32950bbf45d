"""Serializers: finding them, calls, malformed and hostile payloads, what happens without msgpack."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from typing import Any

import serpent

from Pyro5 import config, errors, serializers
from Pyro5._values.serpent import reader
from Pyro5.serializers import JsonSerializer, MarshalSerializer, SerializerBase, SerpentSerializer
from Pyro5.serializers.base import may_have_tag

from ..support import PROJECT

HAS_MSGPACK = importlib.util.find_spec("msgpack") is not None
IDS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}


class Base(unittest.TestCase):
    def each(self) -> Any:
        return [serializers.get_serializer(name) for name in serializers.serializers]

    def run_python(self, program: str, path: str = PROJECT) -> None:
        environment = dict(os.environ, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", program],
            env=environment,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.assertEqual((0, ""), (done.returncode, done.stdout))


class Registry(Base):
    def test_by_name_and_id(self) -> None:
        for name in serializers.serializers:
            serializer = serializers.get_serializer(name)
            self.assertEqual((name, IDS[name]), (serializer.name, serializer.serializer_id))
            self.assertIs(serializer, serializers.get_serializer(name))
            self.assertIs(serializer, serializers.get_serializer_by_id(IDS[name]))
            self.assertIs(serializer, serializers.serializers[name])
            self.assertIs(serializer, serializers.serializers_by_id[IDS[name]])

    def test_all_serializers_are_listed(self) -> None:
        expected = [name for name in IDS if name != "msgpack" or HAS_MSGPACK]
        self.assertEqual(sorted(expected), sorted(serializers.serializers))
        self.assertEqual(len(expected), len(serializers.serializers_by_id))

    def test_classes(self) -> None:
        for clazz in (SerpentSerializer, MarshalSerializer, JsonSerializer, serializers.MsgpackSerializer):
            self.assertTrue(issubclass(clazz, SerializerBase))
        self.assertIsInstance(serializers.get_serializer("serpent"), SerpentSerializer)

    def test_unknown(self) -> None:
        with self.assertRaisesRegex(ValueError, "'pickle'.*serpent.*json"):
            serializers.get_serializer("pickle")
        with self.assertRaisesRegex(errors.SerializeError, "id 99.*1 .serpent."):
            serializers.get_serializer_by_id(99)
        self.assertNotIn("pickle", serializers.serializers)
        self.assertNotIn(99, serializers.serializers_by_id)

    def test_the_base_class_is_abstract(self) -> None:
        self.assertRaises(NotImplementedError, SerializerBase().dumps, 1)
        self.assertRaises(NotImplementedError, SerializerBase().loads, b"1")

    def test_without_msgpack(self) -> None:
        self.run_python(
            "import sys\nsys.modules['msgpack'] = None\n"
            "from Pyro5 import errors, serializers\n"
            "assert sorted(serializers.serializers) == ['json', 'marshal', 'serpent'], list(serializers.serializers)\n"
            "assert sorted(serializers.serializers_by_id) == [1, 2, 3]\n"
            "assert 'msgpack' not in serializers.serializers\n"
            "for find, key in (serializers.get_serializer, 'msgpack'), (serializers.get_serializer_by_id, 4):\n"
            "    try:\n        find(key)\n"
            "    except errors.SerializeError as x:\n        assert 'pip install msgpack' in str(x), x\n"
            "    else:\n        raise SystemExit('no error')\n"
        )

    def test_msgpack_is_not_loaded_before_it_is_used(self) -> None:
        self.run_python(
            "import sys\nfrom Pyro5 import serializers\nserializers.get_serializer('serpent')\n"
            "assert 'msgpack' not in sys.modules\n"
        )

    def test_a_client_loads_only_its_serializer(self) -> None:
        self.run_python(
            "import sys\nimport Pyro5.client\nfrom Pyro5 import serializers\nserializers.get_serializer('serpent')\n"
            "loaded = {'Pyro5.serializers.' + name for name in ('json', 'marshal', 'msgpack')} & set(sys.modules)\n"
            "assert not loaded, loaded\n"
            "assert set(serializers.__all__) <= set(dir(serializers))\n"
            "tagged = {'__class__': 'Pyro5.util.JsonSerializer'}\n"  # as a peer sends it
            "json = serializers.get_serializer('serpent').recreate_classes(tagged)\n"
            "assert json is serializers.serializers['json'] and type(json) is serializers.JsonSerializer\n"
            "from Pyro5.serializers import *\nassert type(json) is JsonSerializer\n"
            "assert SerializerBase.class_to_dict(json) == tagged\n"
        )

    def test_servers_load_all_of_them(self) -> None:
        self.run_python(
            "import sys\nfrom Pyro5.api import Daemon\nDaemon(host='127.0.0.1').close()\n"
            "assert {'Pyro5.serializers.' + name for name in ('json', 'marshal', 'msgpack')} <= set(sys.modules)\n"
        )


class Vendored(Base):
    def test_the_package_under_another_name(self) -> None:
        # with the serpent library beside it, and another copy of the package around
        with tempfile.TemporaryDirectory() as folder:
            vendor = os.path.join(folder, "app", "vendor")
            shutil.copytree(
                os.path.join(PROJECT, "Pyro5"), os.path.join(vendor, "Pyro5"), ignore=shutil.ignore_patterns("__pycache__")
            )
            shutil.copy(serpent.__file__, vendor)
            for package in (vendor, os.path.dirname(vendor)):
                open(os.path.join(package, "__init__.py"), "w").close()
            self.run_python(
                "import sys\n"
                "from app.vendor.Pyro5 import core, errors, serializers\n"
                "serializers.serpent.dumps  # the library is loaded when it is needed\n"
                "assert 'app.vendor.serpent' in sys.modules and 'serpent' not in sys.modules\n"
                "from Pyro5 import errors as errors2, serializers as serializers2, core as core2\n"
                "serializers2.serpent.dumps\n"
                "assert 'serpent' in sys.modules\n"
                "class Thing: pass\n"
                "serializers.SerializerBase.register_class_to_dict(Thing, lambda thing: 'first')\n"
                "serializers2.SerializerBase.register_class_to_dict(Thing, lambda thing: 'second')\n"
                "for name in serializers.serializers:\n"
                "    a, b = serializers.get_serializer(name), serializers2.get_serializer(name)\n"
                "    assert (a.loads(a.dumps(Thing())), b.loads(b.dumps(Thing()))) == ('first', 'second')\n"
                "    assert type(b.loads(a.dumps(errors.NamingError()))) is errors2.NamingError\n"
                "    assert type(b.loads(a.dumps(core.URI('PYRO:x@h:5')))) is core2.URI\n",
                folder,
            )


class Calls(Base):
    def test_bytes(self) -> None:
        args, kwargs = (1, "x"), {"k": None}
        self.assertEqual(
            reader.HEADER.encode() + b"('obj','method',(1,'x'),{'k':None})",
            serializers.get_serializer("serpent").dumpsCall("obj", "method", args, kwargs),
        )
        self.assertEqual(
            b'{"object": "obj", "method": "method", "params": [1, "x"], "kwargs": {"k": null}}',
            serializers.get_serializer("json").dumpsCall("obj", "method", args, kwargs),
        )
        marshal = serializers.get_serializer("marshal")
        self.assertEqual(
            ("obj", "method", [1, "x"], {"k": None}), marshal.loads(marshal.dumpsCall("obj", "method", args, kwargs))
        )
        if HAS_MSGPACK:
            self.assertEqual(
                b"\x94\xa3obj\xa6method\x92\x01\xa1x\x81\xa1k\xc0",
                serializers.get_serializer("msgpack").dumpsCall("obj", "method", args, kwargs),
            )

    def test_serpent_text_of_fast_and_slow_writer(self) -> None:
        serializer = serializers.get_serializer("serpent")
        for vargs, kwargs in (
            ((), {}),
            ((1,), {}),
            ([], {}),
            ([1, "it's"], {"k": (2,)}),
            ((b"x",), {}),
            ((), None),
            (({1},), {"k": 3j}),
            ((float("inf"),), {}),
            (("x",), {"nan": float("-inf")}),
            ((1, None, True, -2.5, 10**40), {}),
            ((1, float("nan")), {}),
            ((1, "inf, x", "it's", "x" * 1000), {}),
            ((False,), {"k": 1}),
        ):
            for obj in ("obj", 'it\'s "quoted"\n'):
                expected = serpent.dumps((obj, "method", vargs, kwargs), module_in_classname=True)
                self.assertEqual(expected, serializer.dumpsCall(obj, "method", vargs, kwargs))

    def test_small_serpent_values_are_those_of_the_library(self) -> None:
        serializer = serializers.get_serializer("serpent")

        def outcome(load: Any, data: bytes) -> str:
            try:
                return repr(load(data))
            except Exception:
                return "error"
        for text in ("None", "True", "null", "true", "42", "-0", "-0.0", "1.", "01", "1-2", "1,2", "1,", "", "-", "[1,[-2,3]]",
                     "[1,]", "[,]", "[1", "1]", "[" * 37 + "]" * 37, "9" * 60, "1e5", "'x'", "''", "'", "'x", "x'", "'it''s'",
                     "'a\\x41'", "'a\tb'", "'\u2028 \xa0'", "'\x7f'", "'\xe4\U0001f600'", "'\"'", "'None'", "'a\0'", "'a\nb'",
                     "'__class__'", "b'x'", "'a' "):
            for whole in ("# serpent utf-8 python3.2\n" + text, text):
                with self.subTest(text=whole):
                    data = whole.encode("utf-8")
                    self.assertEqual(outcome(serializer.loads, data), outcome(serpent.loads, data))

    def test_json_calls_are_the_text_of_the_json_module(self) -> None:
        serializer = serializers.get_serializer("json")
        calls: Any = (((), {}), ((1, "x"), {}), ([1.5, {"a": [None, True]}], {"k": (1,)}), ((), None), ("blob", {}),
                      (None, {}), (("%s", {1, 2}), {"%": 1}), ([("add", (1,), {})], None),
                      ((float("nan"), "caf\xe9 \u20ac"), {1: 2}))
        for vargs, kwargs in calls:
            for obj, method in (("obj", "method"), ('it\'s "quoted"\n', "back\\slash \xe9"), ("%s", "{}"), (5, None)):
                expected = serializer.dumps({"object": obj, "method": method, "params": vargs, "kwargs": kwargs})
                self.assertEqual(expected, serializer.dumpsCall(obj, method, vargs, kwargs))
        endless: Any = []
        endless.append(endless)
        for vargs, kwargs in ((endless, {}), ((), {"k": endless})):
            with self.assertRaisesRegex(ValueError, "Circular"):
                serializer.dumpsCall("obj", "method", vargs, kwargs)

    def test_arguments_and_no_kwargs(self) -> None:
        for serializer in self.each():
            obj, method, vargs, kwargs = serializer.loadsCall(serializer.dumpsCall("o", "m", ("attr", 1), None))
            self.assertEqual(("o", "m", ["attr", 1]), (obj, method, list(vargs)))
            # marshal has never been able to send None there
            self.assertEqual({} if serializer.name == "marshal" else None, kwargs)

    def test_sequences(self) -> None:
        for vargs in ((1, 2), [1, 2]):
            for serializer in self.each():
                got = serializer.loadsCall(serializer.dumpsCall("o", "m", vargs, {}))[2]
                expected = type(vargs) if serializer.name == "serpent" else list
                self.assertEqual((expected, [1, 2]), (type(got), list(got)))

    def test_batch_of_calls_with_instances(self) -> None:
        for serializer in self.each():
            calls = [("m", (ValueError("x"),), {}), ("n", (), {"k": 1})]
            vargs = serializer.loadsCall(serializer.dumpsCall("o", "<batch>", calls, None))[2]
            self.assertIsInstance(vargs[0][1][0], ValueError)
            self.assertEqual(["n", [], {"k": 1}], [vargs[1][0], list(vargs[1][1]), vargs[1][2]])

    def test_short_calls_are_read_as_long_ones(self) -> None:
        def outcome(load: Any, data: bytes) -> Any:
            try:
                call = load(data)
                return repr(call), list(map(type, call))
            except Exception as x:
                return type(x), str(x).partition(" object at ")[0]

        arguments = ("", "1,", "1", "1,2", "1,2,", ",", "1,,2", "[]", "[],", "[1,[2.5,-3]],4", "1],[2", "[1", "1.", "-", "--1",
                     "01", "1e3", "-0", "True,", "'x',", "1" * 46, "1" * 47 + ",", "[" * 23 + "]" * 23 + ",", "[" * 400, "_",
                     "\\x31,", "'x'", "'x','y z'", "['x',[1,'{}()[],']],'__class__'", "'x''y',", "'\"',", "'\t',", "'\\t',",
                     "'\u2028',", "b'x',", "'\x7f\u00e4\U0001f600',", "'x'1,",
                     "''", "'',", "'x', 1", "[b'x'],", "['x'],", "'x',1,None")
        texts = [b"# serpent utf-8 python3.2\n('o','m',(%s),{})" % each.encode() for each in arguments]
        texts += [b'{"object": "o", "method": "m", "params": [%s], "kwargs": {}}' % each.encode() for each in arguments]
        texts += [text + b" " for text in texts] + [b"\xff", b"null", b"[1, 2, 3, 4]", b"[" * 500, b""]
        for serializer in self.each():
            values = (1, "__class__", [ValueError(1)])
            data = texts + [serializer.dumpsCall("o", "m", (value,), {"k": value}) for value in values]
            data += [each[:-1] for each in data]
            for each in data:
                with self.subTest(serializer.name, data=each):
                    self.assertEqual(outcome(functools.partial(SerializerBase.loadsCall, serializer), each),
                                     outcome(serializer.loadsCall, each))

    def test_wrong_shapes(self) -> None:
        for name in ("serpent", "marshal", "msgpack"):
            if name in serializers.serializers:
                serializer = serializers.get_serializer(name)
                self.assertRaises(ValueError, serializer.loadsCall, serializer.dumps([1, 2]))
                self.assertRaises(TypeError, serializer.loadsCall, serializer.dumps(5))
        serializer = serializers.get_serializer("json")
        self.assertRaises(TypeError, serializer.loadsCall, b"[1, 2]")
        self.assertRaises(KeyError, serializer.loadsCall, b'{"object": "o"}')


def joined(payload: Any) -> Any:
    return b"".join(payload) if isinstance(payload, list) else payload


class LongBlobs(Base):
    blob = bytes(range(256)) * 400

    def setUp(self) -> None:
        self.addCleanup(config.reset)

    def binary(self) -> Any:
        return [serializer for serializer in self.each() if serializer.name != "json"]

    def assert_parts(self, serializer: SerializerBase, whole: bytes, parts: Any) -> bytes:
        self.assertIsInstance(parts, list)
        joined = b"".join(parts)
        if serializer.name == "serpent":
            self.assertEqual(whole, joined)
        else:  # not copied, and perhaps worded in another way
            self.assertIn(id(self.blob), list(map(id, parts)))
        return joined

    def test_values(self) -> None:
        for serializer in self.binary():
            whole = serializer.dumps(self.blob)
            joined = self.assert_parts(serializer, whole, serializer.value_payload(self.blob))
            self.assertEqual(serializer.loads(whole), serializer.loads(joined))

    def test_calls(self) -> None:
        for serializer in self.binary():
            for args in ((self.blob,), [self.blob], (self.blob, b"x"), (1, {"k": self.blob}, self.blob, KeyError("x"))):
                for kwargs in ({}, {"k": [1, self.blob]}, {"k": RuntimeError("y")}):
                    whole = serializer.dumpsCall("object", "method", args, kwargs)
                    joined = self.assert_parts_or_whole(serializer, whole, args, kwargs)
                    self.assertEqual(repr(serializer.loadsCall(whole)), repr(serializer.loadsCall(joined)))

    def assert_parts_or_whole(self, serializer: SerializerBase, whole: bytes, args: Any, kwargs: Any) -> bytes:
        parts = serializer.call_payload("object", "method", args, kwargs)
        return parts if isinstance(parts, bytes) else self.assert_parts(serializer, whole, parts)

    def test_values_that_are_sent_in_one_piece(self) -> None:
        for serializer in self.binary():
            for value in (b"x", bytearray(self.blob), "x" * 1000, {"data": "x", "encoding": "base64"}):
                self.assertEqual(serializer.dumps(value), serializer.value_payload(value))
            for args in ((), (b"x",), ([self.blob],), (self.blob,) * 10):
                self.assertEqual(serializer.dumpsCall("o", "m", args, {}), serializer.call_payload("o", "m", args, {}))
            whole = serializer.dumpsCall("o", "__setattr__", ("x", self.blob), None)
            self.assertEqual(whole, serializer.call_payload("o", "__setattr__", ("x", self.blob), None))

    def test_texts_in_binary_formats(self) -> None:
        for serializer in self.binary():
            for text in ("x" * 40000, "x" * 100000, "\xe9" * 40000, "\u20ac" * 40000):
                if serializer.name != "serpent":
                    self.assertEqual(2, len(serializer.value_payload(text)))
                self.assertEqual(text, serializer.loads(joined(serializer.value_payload(text))))
                args = [text, 1, "y", text, ["z"]]
                for kwargs in ({}, {"k": text}):
                    call = serializer.loadsCall(joined(serializer.call_payload("object", "m\xe9thod", args, kwargs)))
                    self.assertEqual(("object", "m\xe9thod", args, kwargs), (*call[:2], list(call[2]), call[3]))
        lone = "\ud800" * 40000
        serializer = serializers.get_serializer("marshal")
        self.assertEqual(lone, serializer.loads(joined(serializer.value_payload(lone))))
        if "msgpack" in serializers.serializers:
            self.assertRaises(UnicodeEncodeError, serializers.get_serializer("msgpack").value_payload, lone)

    def test_texts_in_json(self) -> None:
        serializer = serializers.get_serializer("json")
        for sample in ("x", "\xe9", "\u20ac", "\U0001f600", "it's", '"\\"', "line\r\n\ttab\\n", "\x7f", "\u2028/"):
            text = sample * 40000
            self.assertEqual(3, len(serializer.value_payload(text)))
            self.assertEqual(serializer.dumps(text), joined(serializer.value_payload(text)))
            for args in ((text,), [1, text, "y", text], (text, "\1long\1", {"\1long\1": [text]})):
                for kwargs in ({}, {"k": text}):
                    self.assertEqual(serializer.dumpsCall('obj"ect', "m", args, kwargs),
                                     joined(serializer.call_payload('obj"ect', "m", args, kwargs)))
        for code in range(32):
            text = "x" * 40000 + chr(code)
            self.assertEqual(serializer.dumps(text), joined(serializer.value_payload(text)))
            whole = serializer.dumpsCall("o", "m", [text, 1], {})
            self.assertEqual(whole, joined(serializer.call_payload("o", "m", [text, 1], {})))
        for unsendable in ("\ud800" * 40000, self.blob):
            with self.assertRaises(Exception) as expected:
                serializer.dumpsCall("o", "m", [unsendable], {})
            with self.assertRaises(type(expected.exception)):
                serializer.call_payload("o", "m", [unsendable], {})

    def test_text(self) -> None:
        serializer = serializers.get_serializer("serpent")
        text = "x" * 100000
        for value in (text, serializer.loads(serializer.dumps(self.blob)), {"data": text, "k": text}):
            self.assert_parts(serializer, serializer.dumps(value), serializer.value_payload(value))
            args = (1, text, value)
            whole = serializer.dumpsCall("o", "m", args, {})
            self.assert_parts(serializer, whole, serializer.call_payload("o", "m", args, {}))
        for value in ("it's" + text, '"' + text, "\n" + text, "\xe9" + text):
            parts = serializer.value_payload(value)
            self.assertEqual(serializer.dumps(value), parts if isinstance(parts, bytes) else b"".join(parts))

    def test_a_text_that_contains_the_placeholder(self) -> None:
        serializer = serializers.get_serializer("serpent")
        args = (self.blob, "\1long\1")
        self.assertEqual(serializer.dumpsCall("o", "m", args, {}), serializer.call_payload("o", "m", args, {}))

    def test_bytes_as_literals(self) -> None:
        config.SERPENT_BYTES_REPR = True
        serializer = serializers.get_serializer("serpent")
        self.assertEqual(serializer.dumps(self.blob), serializer.value_payload(self.blob))
        self.assertEqual(serializer.dumpsCall("o", "m", (self.blob,), {}), serializer.call_payload("o", "m", (self.blob,), {}))


class Tags(unittest.TestCase):
    def test_the_tag_is_found_in_any_place(self) -> None:
        rng = random.Random(3)
        tag = "__class__"
        for text in (tag, "x" + tag, tag + "x", tag + "_x", "_" + tag[1:], tag[:-1], "", "_"):
            self.assertIs(tag in text, may_have_tag(text), text)
        for _ in range(2000):
            text = "".join(rng.choices(("_", "__", "class", "x", tag), (4, 4, 4, 4, 1), k=rng.randrange(12)))
            self.assertIs(tag in text, may_have_tag(text), text)


class Payloads(Base):
    def test_malformed(self) -> None:
        expected = {
            "serpent": {
                b"": SyntaxError,
                b"\xff\xfe((": UnicodeDecodeError,
                b"[1": SyntaxError,
                b"a.b": ValueError,
                b"1\0": ValueError,
                b"f(": SyntaxError,
                b"[1,2": SyntaxError,
                b"open('x')": ValueError,
            },
            "json": {b"": ValueError, b"\xff": UnicodeDecodeError, b"[1": ValueError},
            "marshal": {b"": EOFError, b"# serpent": ValueError, b"[\1\0\0\0": EOFError},
            "msgpack": {b"": ValueError, b"\xc1": ValueError, b"\x92\x01": ValueError, b"\x01\x02": ValueError},
        }
        for name, payloads in expected.items():
            if name not in serializers.serializers:
                continue
            for payload, error in payloads.items():
                for load in (serializers.get_serializer(name).loads, serializers.get_serializer(name).loadsCall):
                    with self.subTest(serializer=name, payload=payload), self.assertRaises(error):
                        load(memoryview(payload))

    def test_too_much_nesting(self) -> None:
        depth = 100000
        payloads = {
            "serpent": b"[" * depth + b"]" * depth,
            "json": b"[" * depth + b"]" * depth,
            "marshal": b"[\1\0\0\0" * depth + b"N",
            "msgpack": b"\x91" * depth + b"\xc0",
        }
        for serializer in self.each():
            for load in (serializer.loads, serializer.loadsCall):
                with self.subTest(serializer.name), self.assertRaises((errors.SerializeError, ValueError)):
                    load(payloads[serializer.name])

    def test_too_much_nesting_of_tagged_dicts(self) -> None:
        depth = 100  # each level takes five calls if the program has registered types, whose instances may be inside
        text = (
            '{"__class__": "builtins.ValueError", "__exception__": true, "attributes": {}, "args": [' * depth
            + "1"
            + "]}" * depth
        )
        got = serializers.get_serializer("json").loads(text.encode())
        self.assertIsInstance(got, ValueError)

    def test_too_much_nesting_of_values(self) -> None:
        value: Any = []
        for _ in range(100000):
            value = [value]
        for serializer in self.each():
            with self.subTest(serializer.name), self.assertRaises((errors.SerializeError, ValueError)):
                serializer.dumps(value)

    def test_cycles(self) -> None:
        class Thing:
            pass

        thing = Thing()
        thing.me = thing  # type: ignore[attr-defined]
        for value in (thing, [thing]):
            for serializer in self.each():
                with self.subTest(serializer.name), self.assertRaises((errors.SerializeError, ValueError)):
                    serializer.dumps(value)

    def test_class_tags_with_escapes(self) -> None:
        for name, text in (
            ("serpent", r"{'\x5f_class__':'x.Y'}"),
            ("serpent", r"{'\u005f_class__':'x.Y'}"),
            ("serpent", "{'__cla' 'ss__':'x.Y'}"),
            ("serpent", r"{'__cl\141ss__':'x.Y'}"),
            ("serpent", r"['%s',{'\x5f_class__':'x.Y'}]" % ("x" * 5000)),
            ("serpent", r"['%s',{'\137_class__':'x.Y'}]" % ("x" * 5000)),
            ("serpent", r"['%s',{'\N{LOW LINE}_class__':'x.Y'}]" % ("x" * 5000)),
            ("serpent", "{u'''__class__''':'x.Y'}"),
            ("json", r'{"\u005f_class__": "x.Y"}'),
        ):
            with self.subTest(text), self.assertRaises(errors.SerializeError):
                serializers.get_serializer(name).loads(text.encode())

    def test_nothing_is_evaluated(self) -> None:
        for text in ("__import__('os').system('x')", "[].__class__", "(lambda:1)()", "[x for x in ()]", "f'{1}'", "1+1"):
            with self.subTest(text), self.assertRaises((ValueError, SyntaxError)):
                serializers.get_serializer("serpent").loads(text.encode())

    def test_random_bytes(self) -> None:
        choose = random.Random(20240229)
        harmless = (errors.PyroError, ValueError, SyntaxError, TypeError, EOFError, KeyError, AttributeError)
        for serializer in self.each():
            if serializer.name == "marshal":  # its own test does this
                continue
            good = serializer.dumpsCall(
                "obj", "m", ([1, {"k": ValueError("x")}], b"", 2.5) if serializer.name != "json" else ([1], "x"), {"k": None}
            )
            for _ in range(1000):
                data = bytearray(good)
                for _ in range(choose.randrange(1, 4)):
                    data[choose.randrange(len(data))] = choose.randrange(256)
                try:
                    serializer.loads(data, foreign_exceptions=bool(choose.randrange(2)))
                    serializer.loadsCall(data)
                except harmless:
                    continue

    def test_large(self) -> None:
        text, data = "caf\xe9 'quoted' \\ " * 100000, bytes(range(256)) * 4000
        for serializer in self.each():
            self.assertEqual([text, {"k": text}], serializer.loads(serializer.dumps([text, {"k": text}])))
            if serializer.name != "json":
                self.assertEqual(data, serpent.tobytes(serializer.loads(serializer.dumps([data]))[0]))

    def test_the_state_of_the_garbage_collector_is_not_changed(self) -> None:
        serializer = serializers.get_serializer("serpent")
        gc.disable()
        self.addCleanup(gc.enable)
        serializer.loads(serializer.dumps([{1, 2}, 3j]))
        self.assertFalse(gc.isenabled())

    def test_threads(self) -> None:
        failures = []

        def work(number: int) -> None:
            value = [number, {"k": [ValueError(number)] * 20}, {number}]
            for serializer in self.each() * 20:
                got = serializer.loads(serializer.dumps(value))
                if got[0] != number or got[1]["k"][19].args != (number,):
                    failures.append(got)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], failures)
