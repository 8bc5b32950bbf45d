"""Tests for Pyro5.callcontext: what is kept for a call, and who gets to see it."""
from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import unittest
import uuid
import weakref
from typing import Any, Callable, List

from Pyro5 import callcontext, errors
from Pyro5.callcontext import current_context

CORRELATION = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


class Resource:
    """Anything that can be referenced weakly."""


class Connection:
    def __init__(self) -> None:
        self.tracked_resources: weakref.WeakSet[Resource] = weakref.WeakSet()


def begin(**changes: Any) -> None:
    request = callcontext.Request()
    request.__dict__.update({"connection": Connection(), "peer_address": ("10.0.0.1", 5000), "seq": 7, "flags": 64,
                             "serializer_id": 3, "annotations": {}, **changes})
    callcontext.begin_request(request)


class InFreshContext(unittest.TestCase):
    """Every test runs in a context of its own, so that none leaves anything behind."""

    def run(self, result: Any = None) -> Any:
        return contextvars.Context().run(super().run, result)


class TakenAlong(InFreshContext):
    """What a method hands to a thread of its own: to_global() here, from_global() there."""

    def in_thread(self, values: Any, look: Any) -> Any:
        found: List[Any] = []

        def work() -> None:
            current_context.from_global(values)
            found.append(look())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    def test_every_field_of_a_request(self) -> None:
        begin(connection=Connection(), annotations={"ABCD": b"x"}, correlation_id=CORRELATION.bytes)
        current_context.response_annotations = {"RESP": b"r"}
        values = current_context.to_global()
        self.assertEqual(["annotations", "client", "client_sock_addr", "correlation_id", "msg_flags", "response_annotations",
                          "seq", "serializer_id"], sorted(values))
        self.assertEqual(values, self.in_thread(values, current_context.to_global))
        self.assertEqual(CORRELATION, values["correlation_id"])

    def test_annotations_of_a_request_are_not_sent_on_there_either(self) -> None:
        begin(annotations={"ABCD": b"x"})
        look = lambda: (current_context.annotations, callcontext.outgoing_annotations())  # noqa: E731
        self.assertEqual(({"ABCD": b"x"}, {}), self.in_thread(current_context.to_global(), look))
        current_context.annotations = {"OUTG": b"y"}
        self.assertEqual(({"OUTG": b"y"}, {"OUTG": b"y"}), self.in_thread(current_context.to_global(), look))

    def test_outside_of_a_request(self) -> None:
        current_context.correlation_id = CORRELATION
        self.assertEqual(CORRELATION, self.in_thread(current_context.to_global(), lambda: current_context.correlation_id))


class RequestFields(InFreshContext):
    def test_nothing_is_known_outside_of_a_request(self) -> None:
        self.assertIsNone(current_context.client)
        self.assertIsNone(current_context.client_sock_addr)
        self.assertIsNone(current_context.correlation_id)
        self.assertEqual((0, 0, 0), (current_context.seq, current_context.msg_flags, current_context.serializer_id))
        self.assertEqual({}, current_context.annotations)
        self.assertEqual({}, current_context.response_annotations)

    def test_begin_request_sets_every_field(self) -> None:
        connection = Connection()
        begin(connection=connection, annotations={"ABCD": b"x"}, correlation_id=CORRELATION.bytes)
        self.assertIs(connection, current_context.client)
        self.assertEqual(("10.0.0.1", 5000), current_context.client_sock_addr)
        self.assertEqual((7, 64, 3), (current_context.seq, current_context.msg_flags, current_context.serializer_id))
        self.assertEqual({"ABCD": b"x"}, current_context.annotations)
        self.assertEqual(CORRELATION, current_context.correlation_id)

    def test_begin_request_forgets_the_request_before(self) -> None:
        begin(annotations={"ABCD": b"x"}, correlation_id=CORRELATION.bytes)
        current_context.annotations = {"OUTG": b"1"}
        current_context.response_annotations = {"RESP": b"2"}
        callcontext.set_received_response({"NEST": b"3"})
        begin()
        self.assertEqual({}, current_context.annotations)
        self.assertEqual({}, callcontext.outgoing_annotations())
        self.assertEqual({}, callcontext.response_to_send())
        self.assertEqual({}, current_context.response_annotations)
        self.assertIsNone(current_context.correlation_id)

    def test_a_request_in_a_copied_context_leaves_nothing_behind(self) -> None:
        connection = Connection()
        reference = weakref.ref(connection)
        contextvars.copy_context().run(begin, client=connection, annotations={"ABCD": b"x"},
                                       correlation_id=CORRELATION.bytes)
        del connection
        self.assertIsNone(reference())
        self.test_nothing_is_known_outside_of_a_request()

    def test_repr_names_client_and_correlation_id(self) -> None:
        begin(correlation_id=CORRELATION.bytes)
        self.assertIn("10.0.0.1", repr(current_context))
        self.assertIn(str(CORRELATION), repr(current_context))

    def test_unknown_field_is_an_error(self) -> None:
        with self.assertRaises(AttributeError):
            current_context.correlationid = CORRELATION     # type: ignore[attr-defined]


class Correlation(InFreshContext):
    def test_bytes_and_uuid_are_two_views_of_one_value(self) -> None:
        self.assertIsNone(callcontext.correlation_bytes())
        current_context.correlation_id = CORRELATION
        self.assertEqual(CORRELATION.bytes, callcontext.correlation_bytes())
        begin(correlation_id=CORRELATION.bytes)
        self.assertEqual(CORRELATION.bytes, callcontext.correlation_bytes())
        self.assertEqual(CORRELATION, current_context.correlation_id)
        self.assertEqual(CORRELATION.bytes, callcontext.correlation_bytes())

    def test_can_be_cleared(self) -> None:
        current_context.correlation_id = CORRELATION
        current_context.correlation_id = None
        self.assertIsNone(current_context.correlation_id)
        self.assertIsNone(callcontext.correlation_bytes())

    def test_only_takes_a_uuid(self) -> None:
        for wrong in (str(CORRELATION), CORRELATION.bytes, 5):
            with self.assertRaisesRegex(TypeError, "uuid.UUID.*" + type(wrong).__name__):
                current_context.correlation_id = wrong      # type: ignore[assignment]


class NewCorrelations(unittest.TestCase):
    def test_they_tell_nothing_about_each_other(self) -> None:
        made = [callcontext.new_correlation_bytes() for _ in range(1000)]
        self.assertEqual({16}, set(map(len, made)))
        for part in (slice(0, 8), slice(8, 16)):
            self.assertEqual(1000, len({each[part] for each in made}))
        numbers = [int.from_bytes(each, "big") for each in made]
        self.assertGreater(min(abs(a - b) for a, b in zip(numbers, numbers[1:])), 1 << 90)

    def test_no_two_threads_get_the_same(self) -> None:
        made: List[bytes] = []

        def make() -> None:
            made.extend([callcontext.new_correlation_bytes() for _ in range(2000)])
        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(8000, len(set(made)))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_a_forked_child_makes_others(self) -> None:
        callcontext.new_correlation_bytes()
        receiving, sending = os.pipe()
        child = os.fork()
        if not child:
            os.write(sending, b"".join(callcontext.new_correlation_bytes() for _ in range(10)))
            os._exit(0)
        os.close(sending)
        os.waitpid(child, 0)
        with open(receiving, "rb") as there:
            theirs = there.read()
        ours = [callcontext.new_correlation_bytes() for _ in range(300)]
        self.assertEqual(160, len(theirs))
        self.assertFalse([each for each in ours if each in theirs])


class RequestAnnotations(InFreshContext):
    def test_client_sends_what_was_assigned(self) -> None:
        current_context.annotations = {"ABCD": b"x"}
        self.assertEqual({"ABCD": b"x"}, callcontext.outgoing_annotations())
        self.assertEqual({"ABCD": b"x"}, current_context.annotations)

    def test_client_can_add_items(self) -> None:
        current_context.annotations["ABCD"] = b"x"
        self.assertEqual({"ABCD": b"x"}, callcontext.outgoing_annotations())

    def test_received_annotations_are_never_sent_on(self) -> None:
        begin(annotations={"ABCD": b"x"})
        self.assertEqual({}, callcontext.outgoing_annotations())
        current_context.annotations["MORE"] = b"y"
        self.assertEqual({}, callcontext.outgoing_annotations())

    def test_served_method_can_assign_its_own(self) -> None:
        begin(annotations={"ABCD": b"x"})
        current_context.annotations = {"MINE": b"y"}
        self.assertEqual({"MINE": b"y"}, callcontext.outgoing_annotations())
        self.assertEqual({"MINE": b"y"}, current_context.annotations)


class ResponseAnnotations(InFreshContext):
    def test_client_sees_what_the_reply_carried(self) -> None:
        callcontext.set_received_response({"RESP": b"x"})
        self.assertEqual({"RESP": b"x"}, current_context.response_annotations)
        callcontext.set_received_response({})
        self.assertEqual({}, current_context.response_annotations)

    def test_assigning_clears_what_was_received(self) -> None:
        callcontext.set_received_response({"RESP": b"x"})
        current_context.response_annotations = {}
        self.assertEqual({}, current_context.response_annotations)

    def test_server_sends_what_the_method_assigned(self) -> None:
        begin()
        current_context.response_annotations = {"RESP": b"x"}
        self.assertEqual({"RESP": b"x"}, callcontext.response_to_send())
        self.assertEqual({"RESP": b"x"}, current_context.response_annotations)

    def test_server_sends_items_that_the_method_added(self) -> None:
        begin()
        current_context.response_annotations["RESP"] = b"x"
        self.assertEqual({"RESP": b"x"}, callcontext.response_to_send())

    def test_reply_of_a_nested_call_is_seen_but_not_sent(self) -> None:
        begin()
        current_context.response_annotations = {"MINE": b"1"}
        callcontext.set_received_response({"NEST": b"2"})
        self.assertEqual({"NEST": b"2"}, current_context.response_annotations)
        self.assertEqual({"MINE": b"1"}, callcontext.response_to_send())


class TrackedResources(InFreshContext):
    def test_track_and_untrack(self) -> None:
        connection, resource = Connection(), Resource()
        begin(connection=connection)
        current_context.track_resource(resource)
        self.assertIn(resource, connection.tracked_resources)
        current_context.untrack_resource(resource)
        current_context.untrack_resource(resource)
        self.assertEqual(0, len(connection.tracked_resources))

    def test_needs_a_client(self) -> None:
        for action in (current_context.track_resource, current_context.untrack_resource):
            with self.assertRaisesRegex(errors.PyroError, "no client"):
                action(Resource())


class Isolation(InFreshContext):
    def run_in_thread(self, function: Callable[[], None]) -> None:
        thread = threading.Thread(target=contextvars.Context().run, args=(function,))
        thread.start()
        thread.join()

    def test_threads(self) -> None:
        seen: List[Any] = []
        begin()
        current_context.annotations = {"MAIN": b"x"}

        def other() -> None:
            seen.append(callcontext.outgoing_annotations())
            begin(seq=99)
            current_context.annotations = {"OTHR": b"y"}

        self.run_in_thread(other)
        self.assertEqual([{}], seen)
        self.assertEqual(7, current_context.seq)
        self.assertEqual({"MAIN": b"x"}, callcontext.outgoing_annotations())

    def test_tasks(self) -> None:
        async def call(number: int) -> Any:
            current_context.annotations = {"TASK": b"%d" % number}
            current_context.correlation_id = uuid.UUID(int=number)
            await asyncio.sleep(0)
            return current_context.annotations, current_context.correlation_id

        async def calls() -> Any:
            return await asyncio.gather(*[call(number) for number in range(5)])

        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        results = loop.run_until_complete(calls())
        self.assertEqual([({"TASK": b"%d" % n}, uuid.UUID(int=n)) for n in range(5)], results)

    def test_copied_context_keeps_its_values_when_the_request_ends(self) -> None:
        def request() -> contextvars.Context:
            begin(correlation_id=CORRELATION.bytes)
            return contextvars.copy_context()

        copied = contextvars.copy_context().run(request)
        self.assertEqual(7, copied.run(lambda: current_context.seq))
        self.assertEqual(CORRELATION, copied.run(lambda: current_context.correlation_id))
        self.assertEqual(0, current_context.seq)


if __name__ == "__main__":
    unittest.main()
