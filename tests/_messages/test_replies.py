"""Replies: built, parsed, and refused when they are malformed."""
from __future__ import annotations

import unittest

from Pyro5 import errors, protocol
from Pyro5._messages import replies
from Pyro5._messages.replies import ReplyTo
from Pyro5.protocol import SendingMessage
from Pyro5.serializers import SerializerBase

from ..support import correlation_of
from .helpers import CORRELATION, SERPENT, InFreshContext, over_the_wire, reply_to, with_each_serializer, with_payload


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class CustomError(Exception):
    """A class that no client knows."""


class Replies(InFreshContext):
    def raised(self, error: BaseException, to: ReplyTo) -> BaseException:
        reply = over_the_wire(replies.exception_reply(to, error, ["the traceback\n"]))
        self.assertEqual((protocol.MSG_RESULT, 7, CORRELATION), (reply.type, reply.seq, correlation_of(reply)))
        self.assertTrue(reply.flags & protocol.FLAGS_EXCEPTION)
        with self.assertRaises(BaseException) as caught:
            replies.parse_reply(reply, to.serializer)
        self.assertEqual(["the traceback\n"], list(caught.exception._pyroTraceback))  # type: ignore[attr-defined]
        return caught.exception

    @with_each_serializer
    def test_value(self, serializer: SerializerBase) -> None:
        reply = over_the_wire(replies.value_reply(reply_to(serializer, ANNO=b"value"), {"a": [1, None]}))
        self.assertEqual((protocol.MSG_RESULT, 7, serializer.serializer_id, CORRELATION, {"ANNO": b"value"}),
                         (reply.type, reply.seq, reply.serializer_id, correlation_of(reply), reply.annotations))
        self.assertEqual({"a": [1, None]}, replies.parse_reply(reply, serializer))

    def test_value_over_the_limit(self) -> None:
        with self.assertRaises(errors.MessageTooLargeError):
            replies.value_reply(reply_to(max_size=100), "x" * 200)

    @with_each_serializer
    def test_exceptions_keep_their_class_and_arguments(self, serializer: SerializerBase) -> None:
        for error in (ValueError("text", 5), ZeroDivisionError(), StopIteration(), KeyError("key"),
                      errors.NamingError("unknown"), errors.ConnectionClosedError("x"), OSError(2, "no such file")):
            got = self.raised(error, reply_to(serializer))
            self.assertEqual((type(error), error.args), (type(got), got.args))

    @with_each_serializer
    def test_exceptions_keep_their_attributes(self, serializer: SerializerBase) -> None:
        error = ValueError("text")
        error.detail = {"more": 1}  # type: ignore[attr-defined]
        self.assertEqual({"more": 1}, self.raised(error, reply_to(serializer)).detail)  # type: ignore[attr-defined]

    @with_each_serializer
    def test_foreign_exceptions(self, serializer: SerializerBase) -> None:
        got = self.raised(CustomError("what", 5), reply_to(serializer))
        self.assertIs(errors.RemoteError, type(got))
        self.assertRegex(str(got), "CustomError.*what")
        self.assertTrue(got.remote_class.endswith("CustomError"))  # type: ignore[attr-defined]
        self.assertEqual(("what", 5), tuple(got.remote_args))  # type: ignore[attr-defined]

    @with_each_serializer
    def test_exceptions_that_cannot_be_serialized(self, serializer: SerializerBase) -> None:
        for error in (ValueError(print, serializer), CustomError(print)):
            got = self.raised(error, reply_to(serializer, ANNO=b"value"))
            self.assertIs(errors.PyroError, type(got))
            self.assertIn(type(error).__name__, str(got))

    @with_each_serializer
    def test_exceptions_whose_str_fails(self, serializer: SerializerBase) -> None:
        self.assertIn("Unprintable", str(self.raised(Unprintable(print), reply_to(serializer))))

    def test_exceptions_over_the_limit(self) -> None:
        got = self.raised(ValueError("x" * 5000), reply_to(max_size=4000))
        self.assertIs(errors.PyroError, type(got))
        self.assertIn("ValueError", str(got))

    def test_a_limit_below_the_size_of_the_substitute(self) -> None:
        reply = replies.exception_reply(reply_to(max_size=50, ANNO=b"x" * 100), ValueError("x" * 5000), ["trace\n"])
        self.assertLess(reply.size, 2000)
        with self.assertRaisesRegex(errors.PyroError, "ValueError"):
            replies.parse_reply(over_the_wire(reply), SERPENT)

    def test_annotations_that_cannot_be_sent(self) -> None:
        bad = reply_to()
        bad.annotations = {"TOO LONG": b"x"}
        with self.assertRaises(errors.ProtocolError):
            replies.value_reply(bad, 1)
        with self.assertRaisesRegex((ValueError, errors.PyroError), "the reason"):
            replies.parse_reply(over_the_wire(replies.exception_reply(bad, ValueError("the reason"), [])), SERPENT)

    def test_an_error_reply_without_exception(self) -> None:
        for value in (None, "text", {"a": 1}):
            with self.assertRaises(errors.ProtocolError):
                replies.parse_reply(with_payload(value, msgtype=protocol.MSG_RESULT, flags=protocol.FLAGS_EXCEPTION), SERPENT)

    @with_each_serializer
    def test_stream(self, serializer: SerializerBase) -> None:
        to = reply_to(serializer, ANNO=b"value")
        reply = over_the_wire(replies.stream_reply(to, "the-id"))
        self.assertEqual({"ANNO": b"value", "STRM": b"the-id"}, reply.annotations)
        self.assertEqual("the-id", replies.parse_reply(reply, serializer).stream_id)
        self.assertEqual({"ANNO": b"value"}, to.annotations)
        hint = serializer.loads(reply.data)  # what peers see that know no streams
        self.assertEqual((errors.ProtocolError, None), (type(hint), hint._pyroTraceback))

    def test_stream_refused(self) -> None:
        reply = over_the_wire(replies.stream_reply(reply_to(), None))
        self.assertEqual({}, reply.annotations)
        self.assertIsNone(replies.parse_reply(reply, SERPENT).stream_id)

    @with_each_serializer
    def test_batch(self, serializer: SerializerBase) -> None:
        failure = CustomError("foreign")
        replies.set_remote_traceback(failure, ["line\n"])
        reply = over_the_wire(replies.value_reply(reply_to(serializer), [1, "two", replies.ExceptionWrapper(failure)],
                                                protocol.FLAGS_BATCH))
        self.assertEqual(protocol.FLAGS_BATCH | protocol.FLAGS_CORR_ID, reply.flags)
        one, two, wrapper = replies.parse_reply(reply, serializer)
        self.assertEqual((1, "two"), (one, two))
        with self.assertRaisesRegex(errors.PyroError, "foreign") as caught:
            wrapper.raise_it()
        self.assertEqual(["line\n"], list(caught.exception._pyroTraceback))  # type: ignore[attr-defined]

    def test_pong(self) -> None:
        ping = over_the_wire(SendingMessage(protocol.MSG_PING, 0, 3, 42, b"ping"))
        reply = over_the_wire(replies.pong(ping, CORRELATION.bytes))
        self.assertEqual((protocol.MSG_PING, 3, 42, b"pong", CORRELATION),
                         (reply.type, reply.seq, reply.serializer_id, reply.data, correlation_of(reply)))


if __name__ == "__main__":
    unittest.main()
