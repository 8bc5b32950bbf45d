"""What a server says about the members of an object, for the page and the OpenAPI document; annotations as schemas of JSON.

Annotations are texts from a server: they are parsed and never evaluated.
"""
from __future__ import annotations

import ast
import inspect
import json
import re
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional

from .._client.signatures import ANY_ARGUMENTS, parse_signature
from .._messages import limits
from .._values import plain
from ..client import Proxy
from ..constants import DAEMON_NAME
from . import calls

Schema = Dict[str, Any]

ANY: Schema = {}
BYTES: Schema = {"type": "object", "description": "bytes in base64", "required": ["__class__", "encoding", "data"],
                 "properties": {
    "__class__": {"type": "string", "examples": ["builtins.bytes"]}, "encoding": {"const": "base64"},
    "data": {"type": "string", "contentEncoding": "base64"}}}
_PLAIN: Dict[str, Schema] = {
    "int": {"type": "integer"}, "float": {"type": "number"}, "str": {"type": "string"}, "bool": {"type": "boolean"},
    "None": {"type": "null"}, "Decimal": {"type": "string"}, "UUID": {"type": "string", "format": "uuid"},
    "datetime": {"type": "string", "format": "date-time"}, "date": {"type": "string", "format": "date"},
    "bytes": BYTES, "bytearray": BYTES, "memoryview": BYTES}
_LISTS = frozenset(("list", "List", "Sequence", "Iterable", "Iterator", "Generator", "AsyncIterator", "AsyncGenerator",
                    "tuple", "Tuple", "set", "Set", "frozenset", "FrozenSet", "Collection", "deque"))
_DICTS = frozenset(("dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "DefaultDict"))
_WRAPPERS = frozenset(("Awaitable", "Coroutine", "Annotated", "Final", "ClassVar"))
MAX_TEXT = 500
MAX_DEPTH = 8


def schema_of(annotation: str) -> Schema:
    """Return the schema of the JSON values for an annotation; an empty one, which allows all values, if it is not known."""
    if len(annotation) > MAX_TEXT:
        return ANY
    try:
        node = ast.parse(annotation, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ANY
    return _schema(node, MAX_DEPTH)


def _schema(node: ast.AST, depth: int) -> Schema:
    if depth == 0:
        return ANY
    if isinstance(node, ast.Constant):
        # A quoted annotation, or None.
        return _PLAIN["None"] if node.value is None else schema_of(node.value) if isinstance(node.value, str) else ANY
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_schema(node.left, depth - 1), _schema(node.right, depth - 1)])
    if isinstance(node, ast.Subscript):
        return _generic(_name(node.value), _arguments(node), depth - 1)
    name = _name(node)
    if name in _LISTS:
        return {"type": "array"}
    return {"type": "object"} if name in _DICTS else _PLAIN.get(name, ANY)


def _generic(name: str, arguments: List[ast.AST], depth: int) -> Schema:
    if name == "Optional":
        return _union([*(_schema(each, depth) for each in arguments), _PLAIN["None"]])
    if name == "Union":
        return _union([_schema(each, depth) for each in arguments])
    if name == "Literal":
        return _literal(arguments)
    if name in ("tuple", "Tuple"):
        return _tuple(arguments, depth)
    if name in _LISTS:
        return {"type": "array", "items": _schema(arguments[0], depth)}
    if name in _DICTS and len(arguments) == 2:
        return {"type": "object", "additionalProperties": _schema(arguments[1], depth)}
    if name in _WRAPPERS:
        return _schema(arguments[-1 if name == "Coroutine" else 0], depth)
    return ANY


def _tuple(arguments: List[ast.AST], depth: int) -> Schema:
    if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], depth)}
    return {"type": "array", "prefixItems": [_schema(each, depth) for each in arguments], "minItems": len(arguments),
            "maxItems": len(arguments)}


def _literal(arguments: List[ast.AST]) -> Schema:
    values: List[Any] = []
    for each in arguments:
        try:
            value = ast.literal_eval(each)
        except (ValueError, TypeError):
            return ANY
        if not isinstance(value, (str, int, bool, type(None))):
            return ANY
        if value not in values:
            values.append(value)
    return {"enum": values}


def _union(schemas: List[Schema]) -> Schema:
    # A union with an unknown type is not known either.
    if ANY in schemas:
        return ANY
    flat: List[Schema] = []
    for schema in schemas:
        flat.extend(each for each in schema.get("anyOf", [schema]) if each not in flat)
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


def _arguments(node: ast.Subscript) -> List[ast.AST]:
    inner: Any = node.slice
    if type(inner).__name__ == "Index":     # Python 3.8
        inner = inner.value
    return list(inner.elts) if isinstance(inner, ast.Tuple) and inner.elts else [inner]


def _name(node: Optional[ast.AST]) -> str:
    """Return the last part of a dotted name."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


Description = Dict[str, Any]

_KINDS = {inspect.Parameter.POSITIONAL_ONLY: "positional", inspect.Parameter.POSITIONAL_OR_KEYWORD: "any",
          inspect.Parameter.KEYWORD_ONLY: "keyword", inspect.Parameter.VAR_POSITIONAL: "args",
          inspect.Parameter.VAR_KEYWORD: "kwargs"}
# The beginning of the text about a parameter in a docstring: "name: text", "name (type): text", ":param name: text".
_ABOUT = (r"^([ \t]*)(?::param (?:[\w.\[\], ]+ )?)?(?:\*{0,2}\w+, )*\*{0,2}%s(?:, \*{0,2}\w+)*(?: ?\([^)\n]*\))? ?: *"
          r"(\S.*)$")


def describe(proxy: Proxy) -> Description:
    """Return what is known about an object, with JSON values only.

    Returns:
        A dict of ``doc``; ``methods``, a list of dicts of name, doc, signature, returns, oneway, allowed and parameters (None
        if they are not known); and ``attributes``, a list of dicts of name, doc, writable and allowed. The texts are None if
        the server does not send them, as servers of other releases.
    """
    found = _ask(proxy)
    methods, attributes = plain.dict_in(found, "methods"), plain.dict_in(found, "attrs")
    refused = found.get("refused")
    forbidden = frozenset(each for each in refused if type(each) is str) if type(refused) is list else frozenset()
    return {"doc": plain.text_in(found, "doc"),
            "methods": [_method(name, plain.dict_in(methods, name), name in proxy._pyroOneway, forbidden)
                        for name in names(proxy._pyroMethods)],
            "attributes": [_attribute(name, plain.dict_in(attributes, name), forbidden) for name in names(proxy._pyroAttrs)]}


def _ask(proxy: Proxy) -> Mapping[str, Any]:
    """Return the descriptions that the daemon has sent; empty if it is of another release."""
    # The proxy does not decode replies.
    reply = proxy._pyroInvoke("get_metadata", [str(proxy._pyroUri.object)], {"descriptions": True}, objectId=DAEMON_NAME)
    answer = calls.as_json(reply)
    if not answer.ok or len(answer.payload) > limits.FREE_BYTES * 64:
        return {}
    try:
        return plain.dict_in(json.loads(answer.payload), "descriptions")
    except (ValueError, RecursionError):
        return {}


def names(members: Iterable[Any]) -> List[str]:
    """Return names that a server has sent, sorted. Raises ProtocolError if they are not strings."""
    return sorted(calls.exact(str, name) for name in members)


def _method(name: str, description: Mapping[str, Any], is_oneway: bool, forbidden: FrozenSet[str]) -> Description:
    signature, doc = plain.text_in(description, "signature"), plain.text_in(description, "doc")
    parsed = None if signature is None else parse_signature(signature)
    is_known = parsed is not None and (parsed is not ANY_ARGUMENTS or signature == str(ANY_ARGUMENTS))
    parameters = [_parameter(each, doc or "") for each in parsed.parameters.values()] if parsed and is_known else None
    returns = None if parsed is None or parsed.return_annotation is inspect.Signature.empty else repr(parsed.return_annotation)
    return {"name": name, "doc": doc, "signature": signature, "oneway": is_oneway, "allowed": name not in forbidden,
            "parameters": parameters, "returns": returns, "schema": schema_of(returns) if returns else {}}


def _parameter(parameter: inspect.Parameter, doc: str) -> Description:
    empty = inspect.Parameter.empty
    annotation = None if parameter.annotation is empty else repr(parameter.annotation)
    kind = _KINDS[parameter.kind]
    found: Description = {"name": parameter.name, "kind": kind, "type": annotation,
                          "schema": schema_of(annotation) if annotation else {},
                          "required": parameter.default is empty and kind not in ("args", "kwargs"),
                          "doc": _about(parameter.name, doc)}
    if parameter.default is not empty:
        found["default_text"] = repr(parameter.default)
        if type(parameter.default) in (str, int, float, bool, type(None)) and parameter.default not in (
                float("inf"), float("-inf")):
            found["default"] = parameter.default
    return found


def _about(name: str, doc: str) -> Optional[str]:
    """Return what a docstring says about a parameter, None if it says nothing."""
    match = re.search(_ABOUT % re.escape(name), doc, re.MULTILINE)
    if match is None:
        return None
    lines = [match[2].strip()]
    for line in doc[match.end():].splitlines()[1:]:
        # The text goes on in lines that are indented more than its beginning.
        if not line.strip() or len(line) - len(line.lstrip()) <= len(match[1]):
            break
        lines.append(line.strip())
    return " ".join(lines)


def _attribute(name: str, description: Mapping[str, Any], forbidden: FrozenSet[str]) -> Description:
    writable = description.get("writable")
    return {"name": name, "doc": plain.text_in(description, "doc"), "writable": writable if type(writable) is bool else None,
            "allowed": name not in forbidden}
