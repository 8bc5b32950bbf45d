"""The document that describes what can be requested from a gateway, in the format of OpenAPI 3.1."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote

from .. import __version__
from .._client.parallel import ask_all
from .schemas import BYTES, Schema

OBJECTS = 500               # in one document
READ_SECONDS = 5.0          # until servers that have not answered are left out
_EXCEPTION: Schema = {
    "type": "object", "required": ["__class__", "__exception__", "args"], "properties": {
        "__class__": {"type": "string", "examples": ["builtins.ValueError"]}, "__exception__": {"const": True},
        "args": {"type": "array"}, "attributes": {"type": "object", "properties": {
            "_pyroTraceback": {"type": "array", "items": {"type": "string"}}}}}}
# status -> description, of the failures of a call
_FAILURES = {"400": "The arguments do not fit.", "403": "The client may not do this.",
             "404": "There is no such object or member.", "499": "The call was cancelled.",
             "500": "The method raised an exception.",
             "502": "The object's server cannot be reached.", "503": "Try again later: there is no name server, or no room.",
             "504": "The call took too long."}


def read_all(names: List[str], describe: Callable[[str], Dict[str, Any]]) -> Tuple[Dict[str, Dict[str, Any]], Dict[str, str]]:
    """Ask the servers of many objects.

    Args:
        describe: returns the description of the object with a name; may raise.

    Returns:
        name -> description, and name -> reason for those without.
    """
    found, missing = ask_all(names[:OBJECTS], describe, READ_SECONDS)
    return found, {**missing, **dict.fromkeys(names[OBJECTS:], "there are more than %d objects" % OBJECTS)}


def document(found: Mapping[str, Mapping[str, Any]], missing: Mapping[str, str], base: str, has_key: bool) -> Dict[str, Any]:
    """Return the document.

    Args:
        found: name -> description of the object, see the module descriptions.
        missing: name -> reason, of objects that cannot be described.
        base: the path of the gateway, such as ``/pyro``.
        has_key: whether clients need a key.
    """
    paths: Dict[str, Any] = {}
    for name, about in sorted(found.items()):
        for method in about["methods"]:
            paths[_path(name, method["name"])] = {"post": _call(name, method)}
        for attribute in about["attributes"]:
            paths[_path(name, attribute["name"])] = _access(name, attribute)
    paths.update(_own_paths())
    text = ("Objects that can be called over HTTP. A call is a POST with the arguments in JSON: an array, or an object of "
            "keyword arguments.")
    if missing:
        text += "\n\nNot described, because their servers did not answer: %s." % ", ".join(sorted(missing))
    result: Dict[str, Any] = {
        "openapi": "3.1.0", "info": {"title": "Pyro objects", "version": __version__, "description": text},
        "servers": [{"url": base}], "paths": paths,
        "tags": [{"name": name, **({"description": about["doc"]} if about.get("doc") else {})}
                 for name, about in sorted(found.items())],
        "components": {"schemas": {"Exception": _EXCEPTION}, "responses": {
            "Failure": _failure("An exception."), **{status: _failure(text) for status, text in _FAILURES.items()}}}}
    if has_key:
        result["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-Pyro-Gateway-Key"}}
        result["security"] = [{"key": []}]
    return result


def _path(name: str, member: str) -> str:
    # Braces would be parameters of the path.
    return "/%s/%s" % (quote(name, safe="/"), quote(member))


def _operation(name: str, member: str, doc: Optional[str], summary: str) -> Dict[str, Any]:
    found = {"operationId": "%s.%s" % (name, member), "tags": [name], "summary": summary}
    return {**found, "description": doc} if doc else found


def _call(name: str, method: Mapping[str, Any]) -> Dict[str, Any]:
    operation = _operation(name, method["name"], method["doc"], method["name"] + (method["signature"] or "(...)"))
    is_stream = any(word in (method["returns"] or "") for word in ("Iterator", "Generator", "Iterable"))
    content: Dict[str, Any] = {"application/json": {"schema": method["schema"]}}
    if is_stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    success = {"description": "The result.", "content": content}
    if method["oneway"]:
        success = {"description": "The call was sent; there is no result."}
    operation["responses"] = _responses(success)
    body = _arguments(method["parameters"])
    is_required = any(each["required"] for each in method["parameters"] or ())
    operation["requestBody"] = {"required": is_required, "content": {"application/json": {"schema": body}}}
    if not method["allowed"]:
        operation["description"] = "The gateway itself may not call it.\n\n" + (method["doc"] or "")
    return operation


def _arguments(parameters: Optional[List[Mapping[str, Any]]]) -> Schema:
    """Return the schema of the arguments: an object of keyword arguments, or an array."""
    if parameters is None:
        return {"type": ["object", "array"]}
    properties = {each["name"]: _field(each) for each in parameters if each["kind"] in ("any", "keyword")}
    by_name: Schema = {"type": "object", "properties": properties}
    required = [name for name in properties if any(each["name"] == name and each["required"] for each in parameters)]
    if required:
        by_name["required"] = required
    positional = [each for each in parameters if each["kind"] in ("positional", "any")]
    extra = [each for each in parameters if each["kind"] == "args"]
    by_position: Schema = {"type": "array", "minItems": sum(each["required"] for each in positional)}
    if positional:
        by_position["prefixItems"] = [_field(each) for each in positional]
    if not extra:
        by_position["maxItems"] = len(positional)
    elif extra[0]["schema"]:
        by_position["items"] = extra[0]["schema"]
    if not any(each["kind"] == "kwargs" for each in parameters):
        by_name["additionalProperties"] = False
    if extra or any(each["kind"] == "positional" for each in parameters):
        properties["$args"] = by_position
    needs_names = any(each["kind"] == "keyword" and each["required"] for each in parameters)
    return by_name if needs_names else {"oneOf": [by_name, by_position]}


def _field(parameter: Mapping[str, Any]) -> Schema:
    # Arguments arrive as they are sent: bytes have no form in JSON that methods would get as bytes.
    schema = {} if parameter["schema"] == BYTES else dict(parameter["schema"])
    if parameter["doc"]:
        schema["description"] = parameter["doc"]
    if "default" in parameter:
        schema["default"] = parameter["default"]
    return schema


def _access(name: str, attribute: Mapping[str, Any]) -> Dict[str, Any]:
    member = attribute["name"]
    reading = _operation(name, member, attribute["doc"], "Read " + member)
    reading["responses"] = _responses({"description": "The value.", "content": {"application/json": {"schema": {}}}})
    found = {"get": reading}
    if attribute["writable"] is not False:
        writing = _operation(name, member + ":assign", attribute["doc"], "Assign " + member)
        writing["requestBody"] = {"required": True, "content": {"application/json": {"schema": {}}}}
        writing["responses"] = _responses({"description": "The attribute was assigned.", "content": {"application/json": {
            "schema": {"type": "null"}}}})
        found["put"] = writing
    return found


def _responses(success: Dict[str, Any]) -> Dict[str, Any]:
    return {"200": success, **{status: {"$ref": "#/components/responses/" + status} for status in _FAILURES}}


def _failure(text: str) -> Dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Exception"}}}}


def _own_paths() -> Dict[str, Any]:
    """Return the requests that the gateway answers itself."""
    def operation(number: str, summary: str, **more: Any) -> Dict[str, Any]:
        return {"operationId": "$" + number, "tags": ["gateway"], "summary": summary, "responses": {
            "200": {"description": "In JSON.", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": {"$ref": "#/components/responses/Failure"}}, **more}

    def parameter(name: str, text: str, required: bool = False) -> Dict[str, Any]:
        return {"name": name, "in": "query", "required": required, "description": text, "schema": {"type": "string"}}

    return {
        "/$objects": {"get": operation("objects", "All objects; or the members of one",
                                       parameters=[parameter("name", "the object")])},
        "/$dead": {"get": operation("dead", "The registered objects that cannot be reached, with reasons")},
        "/$status": {"get": operation("status", "Health, rates, durations and last errors of servers and objects",
                                      parameters=[parameter("name", "the methods of this object")])},
        "/$calls": {"get": operation("calls", "The calls in progress"), "delete": operation(
            "cancel", "Cancel a call", parameters=[parameter("id", "the correlation id of the call", True)])},
        "/$watch": {"get": operation("watch", "Changes in the name server, as server-sent events",
                                     parameters=[parameter("prefix", "of the names")])},
        "/$openapi": {"get": operation("openapi", "This document", parameters=[parameter("name", "only this object")])}}
