"""What the recorded client did that its messages do not tell.
"""
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Sequence, Tuple

from Pyro5 import api, serializers

from . import compare
from .recordings import FLAGS, Frame, Message, Scenario, load
from .values import VALUES

if TYPE_CHECKING:
    from .client_driver import Client

Action = Callable[["Client"], Any]

LARGE_BYTES = b"\x00\x01" * 5000


def _with_annotation(annotation_id: str, value: Any) -> Action:
    def action(client: Client) -> Any:
        api.current_context.annotations = {annotation_id: value}
        return client.proxy.none()

    return action


def _refused_handshake(client: Client) -> Any:
    client.proxy = client.new_proxy("sess")
    client.proxy._pyroHandshake = b"\x00\xff"
    return client.proxy._pyroBind()


def _impatient_call(client: Client) -> Any:
    client.proxy._pyroTimeout = 0.05
    return client.proxy.sleep(0.6)


def _close_after_other_call(client: Client) -> Any:
    stream = client.proxy.gen(5)
    first = next(stream)
    client.proxy.aslist()
    stream.close()
    return first


def _same_as_copy(client: Client) -> Any:
    other = copy.copy(client.proxy)
    return str(client.proxy) != "", client.proxy == other, hash(client.proxy) == hash(other)


def _located(client: Client) -> Any:
    found = client.own(api.locate_ns("127.0.0.1", client.port))
    return str(found._pyroUri), found._pyroConnection is not None


def _call_by_name(client: Client) -> Any:
    client.proxy = client.new_proxy("", "PYRONAME:the.ns@127.0.0.1:%d" % client.port)
    return client.proxy.count()


def _call_unknown_name(client: Client) -> Any:
    return client.new_proxy("", "PYRONAME:no.such@127.0.0.1:%d" % client.port)._pyroBind()


def _bind_by_tag(client: Client) -> Any:
    client.proxy = client.new_proxy("", "PYROMETA:nsmeta@127.0.0.1:%d" % client.port)
    return client.proxy._pyroBind()


def _bind_by_unknown_tag(client: Client) -> Any:
    return client.new_proxy("", "PYROMETA:nosuchmeta@127.0.0.1:%d" % client.port)._pyroBind()


def _invoke(method: str, *args: Any) -> Action:
    return lambda client: client.proxy._pyroInvoke(method, args, None)


# Actions by the names of scenarios: the first leads to the first outcome, and so on; None is for what the messages tell.
# They come in the place of all calls up to that outcome.
ACTIONS: Dict[str, Tuple[Optional[Action], ...]] = {
    "client_side_unknown_method": (lambda client: client.proxy.nosuch(),),
    "client_side_unexposed_method": (lambda client: client.proxy.unexposed(),),
    "client_side_set_unknown_attribute": (lambda client: setattr(client.proxy, "nosuch", 1),),
    "attr_get": (lambda client: client.proxy.value,),
    "attr_get_after_set": (lambda client: client.proxy.value,),
    "attr_get_readonly": (lambda client: client.proxy.readonly,),
    "attr_get_raising": (lambda client: client.proxy.broken,),
    "attr_get_iterator": (lambda client: list(client.proxy.streamprop),),
    "attr_set": (lambda client: setattr(client.proxy, "value", [1, "new"]),),
    "attr_set_readonly": (lambda client: setattr(client.proxy, "readonly", 1),),
    "dunder_getitem_slice": (lambda client: client.proxy[0:2],),
    "dunder_contains_operator": (lambda client: 11 in client.proxy,),
    "dunder_iter": (lambda client: (len(client.proxy), list(iter(client.proxy)))[1],),
    "dunder_iter_by_index": (lambda client: list(iter(client.proxy)),),
    "dunder_iter_list_without_len": (lambda client: list(client.proxy),),
    "dunder_bool": (lambda client: bool(client.proxy),),
    "dunder_str_repr_eq_hash_local": (_same_as_copy,),
    "dir": (lambda client: [name for name in dir(client.proxy) if not name.startswith("_")],),
    "request_bad_id_length": (_with_annotation("TOOLONG", b"x"),),
    "request_bad_value_type": (_with_annotation("ABCD", "text"),),
    "request_nonascii_id": (_with_annotation("\u00e9bcd", b"x"),),
    "correlation_id_absent": (lambda client: client.proxy.corr() != client.proxy.corr(),),
    "exception_from_callback_method": (None, lambda client: client.proxy.ok()),
    "exception_pyro_SecurityError": (None, lambda client: client.proxy.ok()),
    "max_size_client_side_send": (lambda client: client.proxy.echo("x" * 1500),),
    "client_timeout": (_impatient_call,),
    "server_commtimeout_idle": (lambda client: client.proxy.nothing(),),
    "argument_blob_and_more": (lambda client: client.proxy.blob(api.SerializedBlob("info", [1]), 2),),
    "argument_blob_kwargs": (lambda client: client.proxy.blob(b=api.SerializedBlob("info", [1])),),
    "next_after_end": (None, lambda client: next(client.last_stream), lambda client: client.last_stream.close()),
    "resume_after_reconnect": (lambda client: next(client.last_stream),),
    "closed_early_after_other_call": (_close_after_other_call,),
    "ns_list_prefix_empty": (lambda client: len(client.proxy.list(prefix="")),),
    "ns_locate": (_located,),
    "ns_resolve_pyroname_use": (_call_by_name,),
    "ns_resolve_pyroname_unknown": (_call_unknown_name,),
    "ns_resolve_pyrometa_use": (_bind_by_tag,),
    "ns_resolve_pyrometa_unknown": (_bind_by_unknown_tag,),
}
# These connect by themselves.
CONNECTING = ("ns_locate", "ns_resolve_pyroname_use", "ns_resolve_pyroname_unknown", "ns_resolve_pyrometa_use",
              "ns_resolve_pyrometa_unknown")

# Here the messages before the outcome tell something too.
AFTER_CALLS = ("resume_after_reconnect",)

# The same for scenarios in which the recorded client refused to send anything.
ACTIONS_WITHOUT_CALLS: Dict[str, Action] = {
    "connect_custom_handshake_bytes": _refused_handshake,
    "call_large_bytes": lambda client: client.proxy.echo(LARGE_BYTES),
    "argument_uri_in_list": lambda client: client.proxy.echo([api.URI("PYRO:x@127.0.0.1:55")]),
    "forced_attr_get_nosuch": _invoke("__getattr__", "nosuch"),
    "forced_attr_get__v": _invoke("__getattr__", "_v"),
    "forced_attr_get_noargs": _invoke("__getattr__"),
    "forced_attr_set_unexposed": _invoke("__setattr__", "unexposed", 1),
    "forced_attr_set_hiddenprop": _invoke("__setattr__", "hiddenprop", 1),
}


def actions_for(scenario: Scenario) -> Sequence[Optional[Action]]:
    """Return the actions for the outcomes of a scenario."""
    name = scenario.name
    if name in ACTIONS:
        return ACTIONS[name]
    if name.startswith("argument_and_return_"):
        return (lambda client: client.proxy.echo(client.value),)
    calls = [step.frame for step in scenario.steps if isinstance(step, Message) and step.frame and b"__" not in step.data]
    if scenario.group == "batch" and not any(frame.flags & FLAGS["BATCH"] for frame in calls) and "with_empty" not in name:
        return (_recorded_batch(name),)
    has_call = any(isinstance(step, Message) and step.side == "C" and step.frame and step.frame.type == 4
                   for step in scenario.steps)
    if name in ACTIONS_WITHOUT_CALLS and not (has_call or (name.startswith("connect_") and calls)):
        return (ACTIONS_WITHOUT_CALLS[name],)
    return ()


def _recorded_batch(name: str) -> Action:
    """Make the batch that was recorded over serpent."""
    scenario = next(each for each in load("batch") if (each.name, each.serializer) == (name, "serpent"))
    frame = next(step.frame for step in scenario.steps
                 if isinstance(step, Message) and step.frame and step.frame.flags & FLAGS["BATCH"])
    batched = wanted_call(frame)[2]
    return lambda client: client.call_batch(batched, bool(frame.flags & FLAGS["ONEWAY"]))


def settings_for(scenario: Scenario) -> Dict[str, Any]:
    """Return the settings of the recorded client."""
    if scenario.group == "compression":
        return {"COMPRESSION": scenario.name != "client_off"}
    if scenario.group == "serpent_bytes_repr":
        return {"SERPENT_BYTES_REPR": True}
    return {"MAX_MESSAGE_SIZE": 1000} if scenario.name.startswith("max_size_client_side") else {}


def value_for(scenario: Scenario) -> Any:
    """Return the value that a scenario about types is named after."""
    return VALUES[scenario.name.replace("argument_and_return_", "")]()


def wanted_call(frame: Frame) -> Any:
    """Return (object id, method, args, kwargs) as the caller gave them."""
    serializer = serializers.get_serializer_by_id(frame.serializer)
    object_id, method, args, kwargs = serializer.loadsCall(compare.inflated(frame))
    return object_id, method, with_bytes(args, frame.serializer), with_bytes(kwargs, frame.serializer)


def with_bytes(value: Any, serializer_id: int) -> Any:
    """Turn what serpent makes of bytes into bytes again."""
    if serializer_id != 1:
        return value
    if isinstance(value, dict) and set(value) == {"data", "encoding"}:
        return compare.serpent.tobytes(value)
    if isinstance(value, (list, tuple)):
        return type(value)(with_bytes(each, serializer_id) for each in value)
    if isinstance(value, dict):
        return {key: with_bytes(each, serializer_id) for key, each in value.items()}
    return value
