"""Tests for Pyro5.errors: the exception tree and the traceback texts."""
from __future__ import annotations

import io
import sys
import unittest
from typing import Any, List, Optional

from Pyro5 import errors

TREE = {
    "PyroError": Exception,
    "NamingError": errors.PyroError,
    "DaemonError": errors.PyroError,
    "BusyError": errors.DaemonError,
    "SecurityError": errors.PyroError,
    "CancelledError": errors.PyroError,
    "CommunicationError": errors.PyroError,
    "ConnectionClosedError": errors.CommunicationError,
    "TimeoutError": errors.CommunicationError,
    "ProtocolError": errors.CommunicationError,
    "MessageTooLargeError": errors.ProtocolError,
    "SerializeError": errors.ProtocolError, "RemoteError": errors.SerializeError,
}
REMOTE_LINES = ["Traceback (most recent call last):\n", '  File "/srv/app.py", line 5, in f\n    g(1)\n', "KeyError: 1\n"]
REMOTE_BLOCK = """\
 +--- This exception occured remotely (Pyro) - Remote traceback:
 | Traceback (most recent call last):
 |   File "/srv/app.py", line 5, in f
 |     g(1)
 | KeyError: 1
 +--- End of remote traceback
"""


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Crasher:
    """Raises with telling local values."""

    def outer(self, argument: Any) -> None:
        local_name = [1, 2]
        self.inner(argument, local_name)

    def inner(self, argument: Any, numbers: List[int]) -> None:
        raise ValueError("crashed with %d numbers" % len(numbers))


def crash(argument: Any = "text") -> ValueError:
    try:
        Crasher().outer(argument)
    except ValueError as x:
        return x
    raise AssertionError("did not crash")


def crash_remotely(remote: Any = None) -> ValueError:
    error: Any = crash()
    error._pyroTraceback = REMOTE_LINES if remote is None else remote
    return error  # type: ignore[no-any-return]


def crash_with_cause(cause: BaseException) -> Exception:
    try:
        raise errors.NamingError("on top") from cause
    except errors.NamingError as x:
        return x


class Tree(unittest.TestCase):
    def test_classes_and_their_bases(self) -> None:
        found = {name: value for name, value in vars(errors).items()
                 if isinstance(value, type) and issubclass(value, Exception)}
        self.assertEqual(set(TREE), set(found))
        for name, base in TREE.items():
            self.assertEqual((base,), found[name].__bases__, name)

    def test_the_docstring_shows_every_class(self) -> None:
        for name in TREE:
            self.assertIn("+-- " + name, errors.__doc__ or "")

    def test_remote_class_is_none_for_local_errors(self) -> None:
        self.assertIsNone(errors.PyroError("x").remote_class)
        self.assertEqual({}, vars(errors.PyroError("x")))


class PlainTraceback(unittest.TestCase):
    def check_plain(self, lines: List[str]) -> None:
        self.assertEqual("Traceback (most recent call last):\n", lines[0])
        self.assertEqual("ValueError: crashed with 2 numbers\n", lines[-1])
        self.assertEqual(5, len(lines), "header, three frames, the error")
        self.assertIn("self.inner(argument, local_name)", "".join(lines))
        self.assertTrue(all(line.endswith("\n") for line in lines))

    def test_all_ways_to_name_the_exception(self) -> None:
        error = crash()
        for function in (errors.format_traceback, errors.get_pyro_traceback):
            self.check_plain(function(ValueError, error, error.__traceback__))
            self.check_plain(function(ex_value=error))
            self.check_plain(function(error))
            self.check_plain(function(None, error, None))

    def test_exception_being_handled(self) -> None:
        for function in (errors.format_traceback, errors.get_pyro_traceback):
            try:
                raise crash()
            except ValueError:
                lines = function()
            self.assertEqual("ValueError: crashed with 2 numbers\n", lines[-1])

    def test_a_passed_traceback_takes_precedence(self) -> None:
        error = crash()
        tb = error.__traceback__
        self.assertIsNotNone(tb)
        inner = tb.tb_next if tb else None
        self.assertEqual(4, len(errors.format_traceback(ValueError, error, inner)))

    def test_no_exception_at_all(self) -> None:
        for detailed in (False, True):
            self.assertEqual(["NoneType: None\n"], errors.format_traceback(detailed=detailed))
        self.assertEqual(["NoneType: None\n"], errors.get_pyro_traceback())

    def test_cause_and_context(self) -> None:
        text = "".join(errors.format_traceback(crash_with_cause(crash())))
        self.assertLess(text.index("crashed with 2 numbers"), text.index("direct cause of"))
        self.assertLess(text.index("direct cause of"), text.index("Pyro5.errors.NamingError: on top"))
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise IndexError("second")   # noqa: B904
        except IndexError as x:
            text = "".join(errors.format_traceback(x))
            self.assertIn("KeyError: 'first'", text)
            self.assertIn("During handling", text)
            x.__suppress_context__ = True
            self.assertNotIn("first", "".join(errors.format_traceback(x)))

    def test_circular_causes_end(self) -> None:
        one, two = KeyError("one"), KeyError("two")
        one.__cause__, two.__cause__ = two, one
        self.assertEqual(2, "".join(errors.format_traceback(one)).count("KeyError"))


class DetailedTraceback(unittest.TestCase):
    def test_the_layout(self) -> None:
        lines = errors.format_traceback(crash("abc"), detailed=True)
        self.assertTrue(all(line.endswith("\n") for line in lines))
        rule = "-" * 52 + "\n"
        headline = " EXCEPTION <class 'ValueError'>: crashed with 2 numbers\n"
        self.assertEqual([rule, headline, " Extended stacktrace follows (most recent call last)\n", rule], lines[:4])
        self.assertEqual([rule, headline, rule], lines[-3:])
        frame = [line for line in "".join(lines).split(rule) if "in Crasher.outer" in line]
        self.assertEqual(1, len(frame))
        self.assertRegex(frame[0], r'^File ".*test_errors.py", line \d+, in Crasher.outer\n'
                                   r"Source code:\n"
                                   r"    self.inner\(argument, local_name\)\n"
                                   r"Local values:\n"
                                   r"    argument = 'abc'\n"
                                   r"    local_name = \[1, 2\]\n"
                                   r"    self = <.*Crasher object at 0x[0-9a-f]+>\n$")

    def test_repr_that_raises(self) -> None:
        text = "".join(errors.format_traceback(crash(Unprintable()), detailed=True))
        self.assertRegex(text, r"argument = <Unprintable .*>\n")

    def test_values_are_shortened(self) -> None:
        cyclic: List[Any] = []
        cyclic.append(cyclic)
        for huge in ("x" * 100000, list(range(100000)), dict.fromkeys(range(1000), "y" * 1000), 10 ** 10000, cyclic):
            text = "".join(errors.format_traceback(crash(huge), detailed=True))
            self.assertLess(len(text), 40000)
            self.assertIn("argument = ", text)

    def test_message_that_cannot_be_printed(self) -> None:
        class Silent(ValueError):
            def __str__(self) -> str:
                raise RuntimeError("no text")
        try:
            raise Silent()
        except Silent as x:
            self.assertIn("Silent object, not printable", "".join(errors.format_traceback(x, detailed=True)))

    def test_cause_is_shown_too(self) -> None:
        text = "".join(errors.format_traceback(crash_with_cause(crash()), detailed=True))
        self.assertLess(text.index("in Crasher.inner"), text.index("direct cause of"))
        self.assertIn(" EXCEPTION <class 'Pyro5.errors.NamingError'>: on top\n", text)

    def test_frames_of_the_library_show_no_values(self) -> None:
        code = compile("def secret():\n    hidden = 'password'\n    raise KeyError(1)\n", "library.py", "exec")
        namespace: Any = {"__name__": "Pyro5.imagined"}
        exec(code, namespace)
        try:
            namespace["secret"]()
        except KeyError as x:
            text = "".join(errors.format_traceback(x, detailed=True))
        self.assertIn("in secret", text)
        self.assertNotIn("password", text)


class RemoteTraceback(unittest.TestCase):
    def test_local_part_then_remote_part(self) -> None:
        error = crash_remotely()
        lines = errors.get_pyro_traceback(error)
        self.assertEqual(errors.format_traceback(error) + REMOTE_BLOCK.splitlines(True), lines)

    def test_format_traceback_is_local_only(self) -> None:
        self.assertNotIn("Remote traceback", "".join(errors.format_traceback(crash_remotely())))

    def test_remote_part_of_a_cause(self) -> None:
        text = "".join(errors.get_pyro_traceback(crash_with_cause(crash_remotely())))
        self.assertLess(text.index(REMOTE_BLOCK), text.index("direct cause of"))
        self.assertTrue(text.endswith("Pyro5.errors.NamingError: on top\n"))

    def test_detailed_local_part(self) -> None:
        text = "".join(errors.get_pyro_traceback(crash_remotely(), detailed=True))
        self.assertIn("Local values:", text)
        self.assertTrue(text.endswith(REMOTE_BLOCK))

    def test_malformed_remote_tracebacks(self) -> None:
        for strange in ("one text", ["no newline"], [1, None], 5, {"a": 1}, ("a\n", "b\n")):
            lines = errors.get_pyro_traceback(crash_remotely(strange))
            self.assertEqual(" +--- End of remote traceback\n", lines[-1])
            self.assertTrue(all(line.startswith(" | ") for line in lines[6:-1]))
        for nothing in ((), "", 0):
            self.assertNotIn("Remote traceback", "".join(errors.get_pyro_traceback(crash_remotely(nothing))))


class ExceptHook(unittest.TestCase):
    def run_hook(self, error: BaseException, stream: Optional[io.StringIO]) -> None:
        stderr = sys.stderr
        sys.stderr = stream
        try:
            errors.excepthook(type(error), error, error.__traceback__)
        finally:
            sys.stderr = stderr

    def test_prints_both_tracebacks(self) -> None:
        stream = io.StringIO()
        error = crash_remotely()
        self.run_hook(error, stream)
        self.assertEqual("".join(errors.get_pyro_traceback(error)), stream.getvalue())
        self.assertTrue(stream.getvalue().endswith(REMOTE_BLOCK))

    def test_process_without_standard_error(self) -> None:
        self.run_hook(crash_remotely(), None)

    def test_syntax_error(self) -> None:
        stream = io.StringIO()
        try:
            compile("1 +", "broken.py", "exec")
        except SyntaxError as x:
            self.run_hook(x, stream)
        self.assertIn('File "broken.py", line 1', stream.getvalue())


if __name__ == "__main__":
    unittest.main()
