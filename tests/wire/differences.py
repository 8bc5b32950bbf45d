"""
Where this library deliberately does something else than the recorded release: the one list of exceptions for the golden tests.

Every key is explained in docs/differences.md. The entries tell what happens instead, so they are tests as well.
"""
from __future__ import annotations

import fnmatch
from typing import List, NamedTuple, Optional, Sequence, Tuple

from .recordings import Scenario

# Why; the keys are those of docs/differences.md.
REASONS = {
    "after-security-error": "the server closes the connection after a SecurityError, so the client does not use it again",
    "autoproxy-after-marshal": "an object that was returned over marshal stays a proxy over all serializers",
    "bad-annotation-id": "an annotation id that is not ASCII is refused like any other bad one",
    "bad-body": "malformed annotations and compressed data are answered before the connection ends",
    "bad-response-annotations": "the caller of the method learns about them, and nobody else is hurt",
    "batch-private-names": "a batch refuses names that cannot be exposed at once",
    "callback-connection": "an exception in a callback method is an ordinary reply",
    "communication-errors-of-methods": "errors of a method's own calls are ordinary replies",
    "contains-operator": "`x in proxy` asks the remote __contains__ if there is one",
    "exception-group": "an exception group is built from what arrives",
    "json-blob": "the arguments of a blob are the arguments",
    "late-unknown-type": "a message that has no place on an open connection is answered",
    "list-without-len": "list(proxy) does without a remote __len__",
    "malformed-call": "what is no call is refused as such",
    "malformed-reply": "what is no proper reply is a ProtocolError, not whatever Python stumbles over",
    "marshal-containers": "marshal converts objects inside of containers as well",
    "metadata-over-json": "entries without metadata travel as those with metadata",
    "msgpack-fraction": "a Fraction can be read back",
    "no-free-worker": "a client waits for its turn instead of being refused",
    "ordereddict": "an OrderedDict can be read back",
    "pyroname-lookup": "names are looked up without a stray second argument",
    "reply-too-large": "the caller learns that the result is too large",
    "request-too-large": "the caller learns that the request is too large before the connection ends",
    "second-connect": "a second handshake is refused with words",
    "serializer-not-usable": "an unknown serializer is refused with words",
    "stale-annotations": "annotations that were never sent are dropped, not sent to the next client",
    "stale-correlation-id": "the answer to an unreadable message has a correlation id of its own",
    "too-large-for-client": "a message over the client's limit is a MessageTooLargeError, which is a ProtocolError",
    "unicode-errors": "a UnicodeDecodeError over serpent can be built",
    "unknown-exception": "an exception of a class that the client does not know is a PyroError with its text and traceback",
    "unsent-request": "a request whose arguments cannot be serialized uses up a sequence number",
}


class Difference(NamedTuple):
    """
    Scenarios that end differently.

    Attributes:
        key: of the reason.
        where: pattern for the title of scenarios: group, name, serializer.
        instead: patterns for what comes in the place of the first recorded step that does not come; the rest of the
            scenario is left out. Server role: descriptions of answers (see compare.description), then "open" or "closed"
            for the connection. Client role: the outcome, see client_role.
    """

    key: str
    where: str
    instead: Tuple[str, ...]


def _differences(key: str, where: Sequence[str], *instead: str) -> List[Difference]:
    return [Difference(key, pattern, instead) for pattern in where]


SERVER: List[Difference] = [
    *_differences("autoproxy-after-marshal", ["proxies autoproxy_after_marshal_return serpent"], "result *client.Proxy*", "open"),
    *_differences("autoproxy-after-marshal", ["unixsocket_and_existing unix_socket_autoproxy msgpack"],
                  "result *client.Proxy*", "open"),
    *_differences("bad-body", ["ping_and_limits invoke_flag_compressed_bad *", "ping_and_limits invoke_annotations_overlong *",
                               "ping_and_limits invoke_annotations_nonascii_id *"], "error ProtocolError", "closed"),
    *_differences("bad-response-annotations", ["annotations response_bad_*"], "error ProtocolError", "open"),
    *_differences("callback-connection", ["exceptions exception_from_callback_method *"], "open"),
    *_differences("communication-errors-of-methods", ["exceptions exception_pyro_CommunicationError *"],
                  "error CommunicationError", "open"),
    *_differences("communication-errors-of-methods", ["exceptions exception_pyro_ConnectionClosedError *"],
                  "error ConnectionClosedError", "open"),
    *_differences("communication-errors-of-methods", ["exceptions exception_pyro_TimeoutError *"], "error TimeoutError", "open"),
    *_differences("communication-errors-of-methods", ["exceptions exception_pyro_ProtocolError *"],
                  "error ProtocolError", "open"),
    *_differences("communication-errors-of-methods", ["exceptions exception_pyro_MessageTooLargeError *"],
                  "error MessageTooLargeError", "open"),
    *_differences("json-blob", ["proxies argument_blob json"],
                  "result ['SerializedBlob', 'blob-info', [1, 'two', {'three': 3}]]", "open"),
    *_differences("json-blob", ["proxies argument_blob_info_tuple json"],
                  "result ['SerializedBlob', ['info', 5], ['data']]", "open"),
    *_differences("json-blob", ["proxies argument_blob_then_normal_call json"],
                  "result ['SerializedBlob', 'blob-info', [1]]", "open"),
    *_differences("late-unknown-type", ["ping_and_limits invoke_type_result *", "ping_and_limits invoke_type_99 *"],
                  "error ProtocolError", "open"),
    *_differences("malformed-call", ["ping_and_limits invoke_flag_keepserialized_*", "ping_and_limits invoke_payload_kwargs_list *",
                                     "ping_and_limits invoke_payload_method_not_str *",
                                     "ping_and_limits invoke_payload_object_not_str *"], "error ProtocolError", "open"),
    *_differences("marshal-containers", ["types return_only_custom_converted_in_list marshal"],
                  "result [{'__class__': 'wire-converted', 'val': 7}]", "open"),
    *_differences("marshal-containers", ["types return_only_custom_in_list marshal"],
                  "result [{'a': 1, 'b': 'two', '__class__': 'wire_app.Plain'}]", "open"),
    *_differences("marshal-containers", ["types return_only_custom_nested marshal"],
                  "result {'a': [1, (2,)], 'b': {'k': {'x': 3, 'y': 2.5, '__class__': 'wire_app.Point'}}, "
                  "'__class__': 'wire_app.Plain'}", "open"),
    *_differences("marshal-containers", ["types return_only_uuid_in_list marshal"],
                  "result ['00000000-0000-0000-0000-000000000005']", "open"),
    *_differences("marshal-containers", ["proxies return_registered_object* marshal", "proxies return_self marshal",
                                         "unixsocket_and_existing unix_socket_autoproxy marshal"],
                  "result *'Pyro5.client.Proxy'*", "open"),
    *_differences("marshal-containers", ["proxies return_uri_list marshal", "nameserver ns_lookup_metadata* marshal",
                                         "nameserver ns_lookup_after_set marshal", "nameserver ns_lookup_itself marshal"],
                  "result *'Pyro5.core.URI'*", "open"),
    *_differences("marshal-containers", ["batch batch_with_empty_kwargs marshal"],
                  "result [3, [3], {'__class__': 'Pyro5.core._ExceptionWrapper', *}]", "open"),
    *_differences("marshal-containers", ["exceptions exception_args_plain_object marshal"], "error ValueError", "open"),
    *_differences("marshal-containers", ["exceptions exception_group marshal"], "error ExceptionGroup", "open"),
    *_differences("metadata-over-json", ["nameserver ns_list_metadata json", "nameserver ns_list_metadata m*"],
                  "result {'Pyro.NameServer': *", "open"),
    *_differences("msgpack-fraction", ["types argument_and_return_fraction msgpack"], "result *1/3*", "open"),
    *_differences("no-free-worker", ["connect connect_no_free_workers *"], "welcome", "open"),
    *_differences("ordereddict", ["types argument_and_return_ordereddict serpent"],
                  "result {'__class__': 'collections.OrderedDict', 'items': [('z', 1), ('a', 2)]}", "open"),
    *_differences("reply-too-large", ["ping_and_limits max_size_response_too_large *"], "error MessageTooLargeError", "open"),
    *_differences("request-too-large", ["ping_and_limits max_size_request_too_large *",
                                        "ping_and_limits max_size_annotations_count *"], "error MessageTooLargeError", "closed"),
    *_differences("second-connect", ["connect connect_twice_on_one_connection *", "ping_and_limits invoke_type_connect *"],
                  "refusal", "closed"),
    *_differences("serializer-not-usable", ["connect handshake_serializer_0 *", "connect handshake_serializer_99 *"],
                  "refusal", "closed"),
    *_differences("serializer-not-usable", ["ping_and_limits invoke_serializer_unknown *"], "error SerializeError", "open"),
    *_differences("stale-annotations", ["connect connect_with_annotations *", "annotations with_exception *"],
                  "welcome", "open"),
    *_differences("stale-annotations", ["annotations with_exception_with_daemon_annotations *"], "welcome with DMON", "open"),
    *_differences("stale-annotations", ["annotations stale_after_error *"], "result 'plain'", "open"),
    *_differences("stale-correlation-id", ["ping_and_limits max_size_handshake_too_large serpent"], "refusal", "closed"),
]

CLIENT: List[Difference] = [
    *_differences("after-security-error", ["exceptions exception_pyro_SecurityError *"], "connects"),
    *_differences("bad-annotation-id", ["annotations request_nonascii_id *"], "raised Pyro5.errors.ProtocolError"),
    *_differences("batch-private-names", ["batch batch_private_method [!m]*", "batch batch_private_method msgpack"], "raised AttributeError"),
    *_differences("contains-operator", ["access dunder_contains_operator *"], "calls access.__contains__"),
    *_differences("exception-group", ["exceptions exception_group serpent", "exceptions exception_group json"], "raised ExceptionGroup"),
    *_differences("list-without-len", ["access dunder_iter_list_without_len *"], "calls indexed.__getitem__"),
    *_differences("malformed-reply", ["client_faults connectok_empty_payload *", "client_faults connectok_no_meta_key *",
                                      "client_faults result_bad_zlib *", "client_faults result_exception_flag_not_exception *"],
                  "raised Pyro5.errors.ProtocolError"),
    *_differences("marshal-containers", ["access attr_get marshal", "access attr_get_[!w]* marshal", "access forced_attr_get_* marshal"],
                  "calls access.__getattr__"),
    *_differences("marshal-containers", ["access attr_set marshal", "access attr_set_[!w]* marshal", "access forced_attr_set_* marshal"],
                  "calls access.__setattr__"),
    *_differences("marshal-containers", ["batch batch_[!pw]* marshal", "batch batch_pyro_exception marshal"], "calls *.<batch>"),
    *_differences("marshal-containers", ["types argument_and_return_custom_converted_in_list marshal",
                                         "types argument_and_return_custom_in_list marshal",
                                         "types argument_and_return_custom_nested marshal",
                                         "types argument_and_return_uuid_in_list marshal"], "calls calls.echo"),
    *_differences("marshal-containers", ["proxies argument_uri_in_list marshal"], "calls proxies.echo"),
    *_differences("msgpack-fraction", ["types return_only_fraction msgpack"], "returned Fraction(1, 3)"),
    *_differences("ordereddict", ["types return_only_ordereddict serpent"], "returned OrderedDict([('z', 1), ('a', 2)])"),
    *_differences("pyroname-lookup", ["nameserver ns_resolve_pyroname_use *", "nameserver ns_resolve_pyroname_unknown *"],
                  "calls Pyro.NameServer.lookup"),
    *_differences("too-large-for-client", ["ping_and_limits max_size_client_side_*"], "raised Pyro5.errors.MessageTooLargeError"),
    *_differences("unicode-errors", ["exceptions exception_unicodedecode serpent"], "raised UnicodeDecodeError"),
    *_differences("unknown-exception", ["exceptions exception_custom *", "exceptions exception_json_error *",
                                        "exceptions exception_subclass_of_builtin *", "batch batch_custom_exception *",
                                        "client_faults result_exception_double_underscore_class *",
                                        "client_faults result_exception_pyro4_namespace *",
                                        "client_faults result_exception_unknown_class *"], "raised Pyro5.errors.PyroError"),
    *_differences("unsent-request", ["batch batch_all_kinds json"], "calls calls.echo"),
]


def find(table: List[Difference], scenario: Scenario) -> Optional[Difference]:
    """Give the entry for a scenario, if there is one."""
    for entry in table:
        if fnmatch.fnmatchcase(scenario.title, entry.where):
            return entry
    return None


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text fits a pattern, in which only * is special."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
