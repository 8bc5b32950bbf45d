"""Dispatch of calls that fail: the reply, the log records, and that clients do not affect each other."""
from __future__ import annotations

import contextlib
import io
import logging
import marshal
import unittest
from typing import Any, Iterator, List
from unittest import mock

from Pyro5 import callcontext, errors, protocol, serializers
from Pyro5._messages import handshake, requests
from Pyro5._objects.exposure import expose
from Pyro5.protocol import ReceivingMessage, SendingMessage

from ..support import correlation_of
from .test_dispatch import CORRELATION, LOGGER, CustomError, DispatchTestCase, FakeConnection, incoming

SERPENT_ID, JSON_ID = (serializers.get_serializer(name).serializer_id for name in ("serpent", "json"))


class ErrorTestCase(DispatchTestCase):
    @contextlib.contextmanager
    def logs(self, *levels: str) -> Iterator[List[logging.LogRecord]]:
        """Check that exactly these lines are logged."""
        with self.assertLogs(LOGGER, "DEBUG") as logged:
            yield logged.records
        self.assertEqual(list(levels), [record.levelname for record in logged.records], logged.output)

    def failed(self, kind: Any, message: ReceivingMessage, reason: str = "", closing: bool = False) -> Any:
        """Check that the reply is an exception, which is logged once, with its traceback at level DEBUG."""
        with self.logs("WARNING") as records:
            reply = self.reply(message)
        self.assertEqual([True], [bool(record.exc_info) for record in records])
        self.assertEqual(closing, self.client.closing)
        self.client.closing = False
        self.assertTrue(reply.flags & protocol.FLAGS_EXCEPTION)
        with self.assertRaisesRegex(kind, reason) as caught:
            self.parse(reply)
        self.assertTrue(caught.exception._pyroTraceback)
        return caught.exception


class Refusals(ErrorTestCase):
    def test_unknown_object(self) -> None:
        self.failed(errors.DaemonError, self.message("echo", object_id="unknown-object"), "unknown-object")

    def test_names_that_are_not_allowed(self) -> None:
        for name in ("unknown", "_private", "__init__", "attribute", "called", ""):
            self.failed(AttributeError, self.message(name), "'%s'" % name)
        for name in ("unknown", "_private", "echo", "called", "__class__"):
            self.failed(AttributeError, self.message("__getattr__", (name,)), "'%s'" % name)
            self.failed(AttributeError, self.message("__setattr__", (name, 1)), "'%s'" % name)
        self.assertEqual([], self.thing.called)

    def test_misshapen_attribute_access(self) -> None:
        strange: List[Any] = [(), (5,), (None,), (["attribute"],), ({"a": 1},)]
        for args in strange:
            self.failed(Exception, self.message("__getattr__", args))
            self.failed(Exception, self.message("__setattr__", args))
        self.assertEqual(0, self.thing.number)

    def test_wrong_arguments(self) -> None:
        self.failed(TypeError, self.message("large"))
        self.failed(TypeError, self.message("large", (1, 2)))

    def test_parts_of_a_call_of_other_types(self) -> None:
        strange: List[Any] = [("echo", ["obj"]), ("echo", {"obj": 1}), ("echo", None), (["echo"], "obj"), ({"echo": 1}, "obj")]
        for method, object_id in strange:
            for serializer in serializers.serializers:
                self.failed(errors.ProtocolError, self.message(method, (1,), object_id=object_id, serializer=serializer),
                            "a call must consist of")
        self.assertEqual([], self.thing.called)

    def test_payloads_that_cannot_be_decoded(self) -> None:
        for serializer in serializers.serializers.values():
            for payload in (b"", b"{broken", b"\xff\xfe", serializer.dumps(None), serializer.dumps(["just", "a", "list"])):
                message = SendingMessage(protocol.MSG_INVOKE, 0, 3, serializer.serializer_id, payload)
                self.failed(Exception, incoming(message))

    def test_classes_that_are_not_accepted(self) -> None:
        self.failed(errors.SerializeError, self.message("echo", ({"__class__": "some.Unknown"},)), "some.Unknown",
                    closing=True)
        self.failed(errors.SecurityError, self.message("echo", ({"__class__": "os.__import__"},)), "os.__import__",
                    closing=True)
        self.client.keep_open = True  # a socket that the library must not close
        self.failed(errors.SerializeError, self.message("echo", ({"__class__": "some.Unknown"},)), "some.Unknown")
        self.assertEqual([], self.thing.called)

    def test_serializers_that_are_not_accepted_are_not_decoded(self) -> None:
        self.configure(accepted=["serpent", "json"])
        message = incoming(SendingMessage(protocol.MSG_INVOKE, 0, 3, 2, marshal.dumps(("obj", "echo", [], {}))))
        with mock.patch("marshal.loads", side_effect=AssertionError), self.logs("WARNING"):
            reply = self.reply(message)
        with self.assertRaisesRegex(errors.SerializeError, "'marshal' is not accepted.*serpent, json"):
            self.parse(reply)
        self.assertFalse(self.client.closing)
        self.call("echo", "still in step")

    def test_unknown_serializers(self) -> None:
        with self.logs("WARNING"):
            reply = self.answer(incoming(SendingMessage(protocol.MSG_INVOKE, 0, 3, 99, b"?")))
        assert reply is not None
        self.assertEqual((3, "marshal"), (reply.seq, serializers.get_serializer_by_id(reply.serializer_id).name))
        with self.assertRaisesRegex(errors.SerializeError, "99"):
            self.parse(reply)

    def test_invalid_blobs(self) -> None:
        crashing = b"<\x01\x00\x00\x00\xa9\x01r\x00\x00\x00\x00"  # a set with a tuple that contains itself
        for annotation in (None, b"", b"?", marshal.dumps(5), marshal.dumps((1, 2)), marshal.dumps((1, 2, 3)),
                           marshal.dumps(("info", ["obj"], "echo")), marshal.dumps(("info", "obj", None)), crashing):
            chunks = {} if annotation is None else {"BLBI": annotation}
            message = SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED, 3, SERPENT_ID, b"?", chunks)
            self.failed(errors.ProtocolError, incoming(message), "BLBI")
        for flags in (protocol.FLAGS_BATCH, 0):
            message = SendingMessage(protocol.MSG_INVOKE, protocol.FLAGS_KEEPSERIALIZED | flags, 3, SERPENT_ID, b"?",
                                     {"BLBI": marshal.dumps(("info", "unknown", "echo"))})
            self.failed(errors.DaemonError, incoming(message))

    def test_invalid_data(self) -> None:
        error = errors.MessageTooLargeError("too large")
        self.assertIsNone(self.dispatcher.build_refusal(self.client, error))
        self.client.refused_message = self.message("echo")
        reply = self.dispatcher.build_refusal(self.client, error)
        assert reply is not None
        self.assertEqual((self.client.refused_message.seq, SERPENT_ID), (reply.seq, reply.serializer_id))
        with self.assertRaisesRegex(errors.MessageTooLargeError, "too large"):
            self.parse(incoming(reply))
        self.client.handshake_done = False
        reply = self.dispatcher.build_refusal(self.client, error)
        assert reply is not None
        with self.assertRaisesRegex(errors.CommunicationError, "too large"):
            handshake.parse_connect_reply(incoming(reply))


class Exceptions(ErrorTestCase):
    def test_builtin_exceptions(self) -> None:
        error = self.failed(ValueError, self.message("fail", ("value",)), "on purpose")
        self.assertIn("in fail", "".join(error._pyroTraceback))

    def test_classes_that_clients_do_not_know(self) -> None:
        self.failed(errors.PyroError, self.message("fail", ("custom",)), "CustomError.*on purpose")

    def test_exceptions_of_this_library(self) -> None:
        self.failed(errors.SecurityError, self.message("fail", ("security",)), "on purpose", closing=True)
        self.failed(errors.ConnectionClosedError, self.message("fail", ("closed",)), "on purpose")

    def test_log_lines_name_everything(self) -> None:
        with self.assertLogs(LOGGER, "WARNING") as logged:
            self.reply(self.message("fail", ("custom",)))
        self.assertRegex(logged.output[0], r"obj\.fail.*'client', \d+.*CustomError: failed on purpose")

    def test_log_records_are_single_lines(self) -> None:
        """Independent of the text that clients send."""
        with self.assertLogs(LOGGER, "WARNING") as logged:
            self.reply(self.message("x\nERROR:root:forged \x1b[31m", object_id="obj"))
            self.reply(self.message("y" * 1000000, object_id="obj"))
            self.reply(self.message("echo", object_id="z\r\n" * 1000))
        for line in logged.output:
            self.assertTrue(line.isprintable(), line)
            self.assertLess(len(line), 1500)
        self.assertIn("forged", logged.output[0])

    def test_detailed_tracebacks(self) -> None:
        self.configure(detailed=True)
        error: Any = self.failed(ValueError, self.message("fail", ("value",)))
        self.assertIn("Local values", "".join(error._pyroTraceback))

    def test_results_that_cannot_be_sent(self) -> None:
        for serializer in serializers.serializers:
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.reply(self.message("unserializable", serializer=serializer))
            with self.assertRaises((errors.SerializeError, TypeError, ValueError)):
                self.parse(reply)

    def test_results_over_the_limit(self) -> None:
        self.configure(max_size=3000)
        self.failed(errors.MessageTooLargeError, self.message("large", (4000,)),
                    "cannot send the result of obj.large: .*3000")
        self.assertEqual("xxx", self.call("large", 3))

    def test_exceptions_that_end_more_than_a_call(self) -> None:
        with self.assertRaises(SystemExit):
            self.dispatcher.answer(self.client, self.message("exit"))
        self.assertIsNone(callcontext.current_context.client)
        self.assertEqual({}, self.reply(self.message("echo")).annotations)

    def test_exceptions_without_a_text(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise ZeroDivisionError("no text")

        @expose
        class Raising:
            def fail(self) -> None:
                raise Mute(print)
        self.objects.add(Raising(), "raising")
        self.daemon.validate = mock.Mock(side_effect=Mute())
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            self.failed(errors.PyroError, self.message("fail", object_id="raising"), "Mute")
            self.client.handshake_done = False
            request = handshake.connect_request(serializers.get_serializer("json"), 1, "obj", "hi", requests.WireOptions())
            with self.assertLogs(LOGGER, "WARNING"):
                reply = self.answer(incoming(request))
        self.assertEqual("", stderr.getvalue())
        assert reply is not None
        self.assertEqual(protocol.MSG_CONNECTFAIL, reply.type)

    def test_an_exception_that_is_raised_repeatedly(self) -> None:
        known = ValueError("always the same object")

        @expose
        class Raising:
            def fail(self) -> None:
                raise known.with_traceback(None)
        self.objects.add(Raising(), "raising")
        tracebacks = [self.failed(ValueError, self.message("fail", object_id="raising"))._pyroTraceback
                      for _ in range(3)]
        self.assertEqual(tracebacks[0], tracebacks[2])

    def test_the_traceback_of_another_server_is_kept(self) -> None:
        @expose
        class Forwarding:
            def fail(self) -> None:
                error = ValueError("from far away")
                error._pyroTraceback = ["in the distance\n"]  # type: ignore[attr-defined]
                raise error
        self.objects.add(Forwarding(), "forwarding")
        error: Any = self.failed(ValueError, self.message("fail", object_id="forwarding"))
        self.assertRegex("".join(error._pyroTraceback), "(?s)in fail.*in the distance")


class Hooks(ErrorTestCase):
    def test_error_handler(self) -> None:
        self.failed(ValueError, self.message("fail", ("value",)))
        (daemon, client, method, args, kwargs, exception), = self.daemon.handled
        self.assertEqual((self.daemon, self.client, "fail", ["value"], {}), (daemon, client, method, args, kwargs))
        self.assertIsInstance(exception, ValueError)

    def test_error_handler_is_not_called_for_attributes(self) -> None:
        self.failed(AttributeError, self.message("unknown"))
        self.failed(errors.DaemonError, self.message("echo", object_id="unknown"))
        self.assertEqual([], self.daemon.handled)

    def test_error_handler_is_called_for_batches_and_oneway_calls(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"):
            self.answer(self.message("<batch>", [("fail", ("value",), {})], flags=protocol.FLAGS_BATCH))
            self.answer(self.message("fire", ("fail",), flags=protocol.FLAGS_ONEWAY))
            self.aside.pop()()
        self.assertEqual(["fail", "fire"], [handled[2] for handled in self.daemon.handled])

    def test_an_error_handler_that_fails_itself(self) -> None:
        self.daemon.methodcall_error_handler = mock.Mock(side_effect=ZeroDivisionError("in the handler"))
        with self.logs("ERROR", "WARNING"):
            reply = self.reply(self.message("fail", ("value",)))
        with self.assertRaises(ValueError):
            self.parse(reply)

    def test_callbacks_are_logged_with_their_traceback(self) -> None:
        with self.logs("WARNING") as records:
            reply = self.reply(self.message("called_back"))
        self.assertIs(CustomError, records[0].exc_info and records[0].exc_info[0])
        with self.assertRaises(errors.PyroError):
            self.parse(reply)

    def test_annotations_of_a_daemon_that_cannot_be_sent(self) -> None:
        self.daemon.own_annotations = {"TOO LONG": b"x"}
        with self.logs("WARNING"):
            reply = self.reply(self.message("echo"))
        with self.assertRaisesRegex(errors.PyroError, "TOO LONG"):
            self.parse(reply)

    def test_the_end_of_a_stream_is_not_logged(self) -> None:
        @expose
        class DaemonObject:
            def get_next_stream_item(self, stream_id: str) -> None:
                raise StopIteration
        self.objects.add(DaemonObject(), "Pyro.Daemon")
        replies: List[ReceivingMessage] = []
        with self.assertRaisesRegex(AssertionError, "no logs"), self.assertLogs(LOGGER, "DEBUG"):
            replies.append(self.reply(self.message("get_next_stream_item", ("id",), object_id="Pyro.Daemon")))
        with self.assertRaises(StopIteration):
            self.parse(replies[0])


    def test_expected_errors_of_name_servers_and_daemons_are_not_warnings(self) -> None:
        @expose
        class Registry:
            def lookup(self, name: str) -> None:
                raise errors.NamingError("unknown name: " + name) if name else KeyError(name)
        for object_id in ("Pyro.NameServer", "Pyro.Daemon"):
            self.objects.add(Registry(), object_id)
            with self.logs("INFO"):
                self.reply(self.message("lookup", ("x",), object_id=object_id))
            with self.logs("WARNING"):
                self.reply(self.message("lookup", ("",), object_id=object_id))
        self.objects.add(Registry(), "lab.registry")
        with self.logs("WARNING"):
            self.reply(self.message("lookup", ("x",), object_id="lab.registry"))


class Annotations(ErrorTestCase):
    """A reply has only the annotations of its own request."""

    def sent(self, method: str, *args: Any, client: Any = None, **kwargs: Any) -> Any:
        reply = self.reply(self.message(method, args, kwargs), client)
        return {name: bytes(value) for name, value in reply.annotations.items()}

    def test_those_of_the_method_and_those_of_the_daemon(self) -> None:
        self.daemon.own_annotations = {"DAEM": b"daemon", "BOTH": b"daemon"}
        self.assertEqual({"METH": b"method", "DAEM": b"daemon", "BOTH": b"daemon"},
                         self.sent("annotate", METH="method", BOTH="method"))

    def test_the_method_sees_those_of_the_request(self) -> None:
        self.assertEqual({"SENT": "value"}, self.call("annotate", SENT=b"value"))
        self.assertEqual({}, self.call("annotate"))

    def test_nothing_is_left_for_the_next_request(self) -> None:
        self.sent("annotate", MINE="1")
        for client in (self.client, FakeConnection()):
            self.assertEqual({}, self.sent("echo", client=client))
            pong = self.answer(incoming(SendingMessage(protocol.MSG_PING, 0, 1, 42, b"ping")), client)
            self.assertEqual({}, pong and pong.annotations)

    def test_an_error_reply_carries_those_of_the_daemon_alone(self) -> None:
        self.daemon.own_annotations = {"DAEM": b"daemon"}
        for error in ("value", "custom"):
            with self.assertLogs(LOGGER, "WARNING"):
                self.assertEqual({"DAEM": b"daemon"}, self.sent("fail", error))
        self.assertEqual({"DAEM": b"daemon"}, self.sent("echo", client=FakeConnection()))

    def test_of_a_handshake(self) -> None:
        def validate(connection: Any, data: Any) -> None:
            callcontext.current_context.response_annotations = {"LEAK": b"1"}
            raise PermissionError("no")
        self.daemon.validate = validate
        request = handshake.connect_request(serializers.get_serializer("json"), 1, "obj", "hi", requests.WireOptions())
        with self.assertLogs(LOGGER, "WARNING"):
            reply = self.answer(incoming(request), FakeConnection(handshake_done=False))
        self.assertEqual({}, reply and reply.annotations)
        self.assertEqual({}, self.sent("echo"))

    def test_annotations_received_by_a_nested_call_are_not_passed_on(self) -> None:
        @expose
        class Nesting:
            def nest(self) -> None:
                callcontext.current_context.response_annotations["OWN_"] = b"own"
                callcontext.set_received_response({"NEST": b"nested"})
        self.objects.add(Nesting(), "nesting")
        self.assertEqual({"OWN_"}, set(self.reply(self.message("nest", object_id="nesting")).annotations))

    def test_invalid_annotations_fail_this_call_only(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"):
            reply = self.reply(self.message("annotate", (), {"TOOLONG": "x"}))
        with self.assertRaisesRegex(errors.ProtocolError, "TOOLONG"):
            self.parse(reply)
        self.assertEqual({}, self.sent("echo"))

    def test_correlation_ids(self) -> None:
        with self.assertLogs(LOGGER, "WARNING"):
            failed = self.reply(self.message("fail", ("value",), correlation_id=CORRELATION))
        self.assertEqual(CORRELATION, correlation_of(failed))
        self.assertNotIn(correlation_of(self.reply(self.message("echo"), FakeConnection())), (None, CORRELATION))


if __name__ == "__main__":
    unittest.main()
