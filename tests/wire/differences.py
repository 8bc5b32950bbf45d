"""Where this library deliberately does something else than the recorded release: the one list of exceptions for the golden
tests.

Every key is explained in docs/differences.md. The entries tell what happens instead, so they are tests as well.
"""
from __future__ import annotations

import fnmatch
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .recordings import Scenario

# Why; the keys are those of docs/differences.md.
REASONS = {
    "after-security-error": "the server closes the connection after a SecurityError, so the client does not use it again",
    "attribute-arguments": "asking for an attribute without its name is no proper request",
    "autoproxy-after-marshal": "an object that was returned over marshal stays a proxy over all serializers",
    "bad-annotation-id": "an annotation id that is not ASCII is refused like any other bad one",
    "bad-body": "malformed annotations and compressed data are answered before the connection ends",
    "bad-response-annotations": "the caller of the method learns about them, and no other client is affected",
    "batch-private-names": "a batch refuses names that cannot be exposed at once",
    "batch-unserializable": "an exception that cannot be sent spoils only its own place in the results of a batch",
    "blob-annotation": "the annotation of a blob belongs to its call alone",
    "callback-connection": "an exception in a callback method is an ordinary reply",
    "communication-errors-of-methods": "errors of a method's own calls are ordinary replies",
    "contains-operator": "`x in proxy` asks the remote __contains__ if there is one",
    "exception-group": "an exception group is built from what arrives",
    "exit-exceptions": "a SystemExit, KeyboardInterrupt or GeneratorExit from the network ends nothing here",
    "json-blob": "the arguments of a blob are the arguments",
    "late-unknown-type": "a message that has no place on an open connection is answered",
    "list-without-len": "list(proxy) does without a remote __len__",
    "malformed-call": "what is no call is refused as such",
    "kin-of-builtins": "instances of subclasses of int, float and str travel as what they are over serpent and marshal, too",
    "malformed-reply": "what is no proper reply is a ProtocolError, not whatever Python stumbles over",
    "marshal-containers": "marshal converts objects inside of containers as well",
    "metadata-over-json": "entries without metadata travel as those with metadata",
    "msgpack-fraction": "a Fraction can be read back",
    "no-free-worker": "a client waits for its turn instead of being refused",
    "ordereddict": "an OrderedDict can be read back",
    "pyroname-lookup": "names are looked up without a stray second argument",
    "registered-exception": "an exception that a converter builds has its attributes and remote traceback too",
    "reply-too-large": "the caller learns that the result is too large",
    "request-too-large": "the caller learns that the request is too large before the connection ends",
    "second-connect": "a second handshake is refused with words",
    "serializer-not-usable": "an unknown serializer is refused with words",
    "stale-annotations": "annotations that were never sent are dropped, not sent to the next client",
    "stale-correlation-id": "the answer to an unreadable message has a correlation id of its own",
    "unicode-errors": "a UnicodeDecodeError over serpent can be built",
    "unknown-exception": "an exception of a class that the client does not know is a RemoteError with its text and traceback",
    "unsent-request": "a request whose arguments cannot be serialized uses up a sequence number",
}


class Difference(NamedTuple):
    """Scenarios that end differently.

    Attributes:
        key: of the reason.
        where: pattern for the title of scenarios: group, name, serializer.
        instead: patterns for what comes in the place of the first recorded step that does not come; the rest of the
            scenario is left out. Server role: descriptions of answers (see compare.description), then "open" or "closed"
            for the connection. Client role: see client_role.replay.
    """

    key: str
    where: str
    instead: Tuple[str, ...]


def _table(entries: Dict[str, Sequence[Tuple[Tuple[str, ...], List[str]]]]) -> List[Difference]:
    """Make a table of: key: [(instead, [where, ...]), ...]."""
    return [Difference(key, where, instead) for key in entries for instead, places in entries[key] for where in places]


SERVER = _table({
    "attribute-arguments": [
        (("error ProtocolError", "open"), ["access forced_attr_get_noargs [!m]*", "access forced_attr_get_noargs msgpack"]),
    ],
    "autoproxy-after-marshal": [
        (("result *'Pyro5.client.Proxy'*", "open"), ["proxies autoproxy_after_marshal_return serpent",
                                                     "unixsocket_and_existing unix_socket_autoproxy msgpack"]),
    ],
    "bad-body": [
        (("error ProtocolError", "closed"), ["ping_and_limits invoke_flag_compressed_bad *",
                                             "ping_and_limits invoke_annotations_overlong *",
                                             "ping_and_limits invoke_annotations_nonascii_id *"]),
    ],
    "bad-response-annotations": [
        (("error ProtocolError", "open"), ["annotations response_bad_*"]),
    ],
    "batch-unserializable": [
        (("result ['ok', {'__class__': 'Pyro5.core._ExceptionWrapper', *'Pyro5.errors.PyroError'*}]", "open"),
         ["batch batch_unserializable_exception [!m]*", "batch batch_unserializable_exception msgpack"]),
    ],
    "callback-connection": [
        (("open",), ["exceptions exception_from_callback_method *"]),
    ],
    "communication-errors-of-methods": [
        (("error CommunicationError", "open"), ["exceptions exception_pyro_CommunicationError *"]),
        (("error ConnectionClosedError", "open"), ["exceptions exception_pyro_ConnectionClosedError *"]),
        (("error TimeoutError", "open"), ["exceptions exception_pyro_TimeoutError *"]),
        (("error ProtocolError", "open"), ["exceptions exception_pyro_ProtocolError *"]),
        (("error MessageTooLargeError", "open"), ["exceptions exception_pyro_MessageTooLargeError *"]),
    ],
    "json-blob": [
        (("result ['SerializedBlob', 'blob-info', [1, 'two', {'three': 3}]]", "open"), ["proxies argument_blob json"]),
        (("result ['SerializedBlob', ['info', 5], ['data']]", "open"), ["proxies argument_blob_info_tuple json"]),
        (("result ['SerializedBlob', 'blob-info', [1]]", "open"), ["proxies argument_blob_then_normal_call json"]),
    ],
    "late-unknown-type": [
        (("error ProtocolError", "open"), ["ping_and_limits invoke_type_result *", "ping_and_limits invoke_type_99 *"]),
    ],
    "malformed-call": [
        (("error ProtocolError", "open"), ["ping_and_limits invoke_flag_keepserialized_*",
                                           "ping_and_limits invoke_payload_kwargs_list *",
                                           "ping_and_limits invoke_payload_method_not_str *",
                                           "ping_and_limits invoke_payload_object_not_str *"]),
    ],
    "kin-of-builtins": [
        (("result 1", "open"), ["types return_only_intenum marshal"]),
        (("result 'sub'", "open"), ["types return_only_str_subclass serpent", "types return_only_str_subclass marshal"]),
        (("result 9", "open"), ["types return_only_int_subclass serpent", "types return_only_int_subclass marshal"]),
    ],
    "marshal-containers": [
        (("result [{'__class__': 'wire-converted', 'val': 7}]", "open"),
         ["types return_only_custom_converted_in_list marshal"]),
        (("result [{'a': 1, 'b': 'two', '__class__': 'wire_app.Plain'}]", "open"),
         ["types return_only_custom_in_list marshal"]),
        (("result {'a': [1, (2,)], 'b': {'k': {'x': 3, 'y': 2.5, '__class__': 'wire_app.Point'}}, "
          "'__class__': 'wire_app.Plain'}", "open"), ["types return_only_custom_nested marshal"]),
        (("result ['00000000-0000-0000-0000-000000000005']", "open"), ["types return_only_uuid_in_list marshal"]),
        (("result *'Pyro5.client.Proxy'*", "open"), ["proxies return_registered_object* marshal",
                                                     "proxies return_self marshal",
                                                     "unixsocket_and_existing unix_socket_autoproxy marshal"]),
        (("result *'Pyro5.core.URI'*", "open"), ["proxies return_uri_list marshal",
                                                 "nameserver ns_lookup_metadata* marshal",
                                                 "nameserver ns_lookup_after_set marshal",
                                                 "nameserver ns_lookup_itself marshal"]),
        (("result [3, [3], {'__class__': 'Pyro5.core._ExceptionWrapper', *}]", "open"),
         ["batch batch_with_empty_kwargs marshal"]),
        (("error ValueError", "open"), ["exceptions exception_args_plain_object marshal"]),
        (("error ExceptionGroup", "open"), ["exceptions exception_group marshal"]),
    ],
    "metadata-over-json": [
        (("result {'Pyro.NameServer': *", "open"), ["nameserver ns_list_metadata json", "nameserver ns_list_metadata m*"]),
    ],
    "msgpack-fraction": [
        (("result *1/3*", "open"), ["types argument_and_return_fraction msgpack"]),
    ],
    "no-free-worker": [
        (("welcome", "open"), ["connect connect_no_free_workers *"]),
    ],
    "ordereddict": [
        (("result {'__class__': 'collections.OrderedDict', 'items': [('z', 1), ('a', 2)]}", "open"),
         ["types argument_and_return_ordereddict serpent"]),
    ],
    "reply-too-large": [
        (("error MessageTooLargeError", "open"), ["ping_and_limits max_size_response_too_large *"]),
    ],
    "request-too-large": [
        (("error MessageTooLargeError", "closed"), ["ping_and_limits max_size_request_too_large *",
                                                    "ping_and_limits max_size_annotations_count *"]),
    ],
    "second-connect": [
        (("refusal", "closed"), ["connect connect_twice_on_one_connection *", "ping_and_limits invoke_type_connect *"]),
    ],
    "serializer-not-usable": [
        (("refusal", "closed"), ["connect handshake_serializer_0 *", "connect handshake_serializer_99 *"]),
        (("error SerializeError", "open"), ["ping_and_limits invoke_serializer_unknown *"]),
    ],
    "stale-annotations": [
        (("welcome", "open"), ["connect connect_with_annotations *", "annotations with_exception *"]),
        (("welcome with DMON", "open"), ["annotations with_exception_with_daemon_annotations *"]),
        (("result 'plain'", "open"), ["annotations stale_after_error *"]),
    ],
    "stale-correlation-id": [
        (("refusal", "closed"), ["ping_and_limits max_size_handshake_too_large serpent"]),
    ],
})

CLIENT = _table({
    "after-security-error": [
        (("connects",), ["exceptions exception_pyro_SecurityError *"]),
    ],
    "bad-annotation-id": [
        (("raised Pyro5.errors.ProtocolError",), ["annotations request_nonascii_id *"]),
    ],
    "batch-private-names": [
        (("raised AttributeError",), ["batch batch_private_method [!m]*", "batch batch_private_method msgpack"]),
    ],
    "blob-annotation": [
        (("calls proxies.kind",), ["proxies argument_blob_then_normal_call *"]),
    ],
    "contains-operator": [
        (("calls access.__contains__",), ["access dunder_contains_operator *"]),
    ],
    "exception-group": [
        (("raised ExceptionGroup",), ["exceptions exception_group serpent", "exceptions exception_group json"]),
    ],
    "exit-exceptions": [
        (("raised Pyro5.errors.RemoteError",), ["client_faults result_exception_baseexception *"]),
    ],
    "list-without-len": [
        (("calls indexed.__getitem__",), ["access dunder_iter_list_without_len *"]),
    ],
    "malformed-reply": [
        (("raised Pyro5.errors.ProtocolError",), ["client_faults connectok_empty_payload *",
                                                  "client_faults connectok_no_meta_key *",
                                                  "client_faults result_bad_zlib *",
                                                  "client_faults result_exception_flag_not_exception *"]),
    ],
    "kin-of-builtins": [
        (("calls calls.*",), ["types argument_*_intenum marshal", "types argument_*_str_subclass serpent",
                              "types argument_*_str_subclass marshal", "types argument_*_int_subclass serpent",
                              "types argument_*_int_subclass marshal"]),
    ],
    "marshal-containers": [
        (("calls access.__getattr__",), ["access attr_get marshal", "access attr_get_[!w]* marshal",
                                         "access forced_attr_get_* marshal"]),
        (("calls access.__setattr__",), ["access attr_set marshal", "access attr_set_[!w]* marshal",
                                         "access forced_attr_set_* marshal"]),
        (("calls *.<batch>",), ["batch batch_[!pw]* marshal", "batch batch_pyro_exception marshal"]),
        (("calls calls.echo",), ["types argument_and_return_custom_converted_in_list marshal",
                                 "types argument_and_return_custom_in_list marshal",
                                 "types argument_and_return_custom_nested marshal",
                                 "types argument_and_return_uuid_in_list marshal"]),
        (("calls proxies.echo",), ["proxies argument_uri_in_list marshal"]),
    ],
    "msgpack-fraction": [
        (("returned Fraction(1, 3)",), ["types return_only_fraction msgpack"]),
    ],
    "ordereddict": [
        (("returned OrderedDict(*)",), ["types return_only_ordereddict serpent"]),
    ],
    "pyroname-lookup": [
        (("calls Pyro.NameServer.lookup",), ["nameserver ns_resolve_pyroname_use *",
                                             "nameserver ns_resolve_pyroname_unknown *"]),
    ],
    "unicode-errors": [
        (("raised UnicodeDecodeError",), ["exceptions exception_unicodedecode serpent"]),
    ],
    "registered-exception": [
        (("raised wire_app.KnownError",), ["exceptions exception_custom_known *"]),
    ],
    "unknown-exception": [
        (("raised Pyro5.errors.RemoteError",), ["exceptions exception_custom *",
                                                "exceptions exception_json_error *",
                                                "exceptions exception_subclass_of_builtin *",
                                                "batch batch_custom_exception *",
                                                "client_faults result_exception_double_underscore_class *",
                                                "client_faults result_exception_pyro4_namespace *",
                                                "client_faults result_exception_unknown_class *"]),
    ],
    "unsent-request": [
        (("calls calls.echo",), ["batch batch_all_kinds json"]),
    ],
})


def find(table: List[Difference], scenario: Scenario) -> Optional[Difference]:
    """Return the entry for a scenario, if there is one."""
    for entry in table:
        if fnmatch.fnmatchcase(scenario.title, entry.where):
            return entry
    return None


def fits(pattern: str, text: str) -> bool:
    """Return whether a text fits a pattern, in which only * is special."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))
