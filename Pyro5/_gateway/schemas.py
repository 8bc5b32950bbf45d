"""Annotations of Python as schemas of JSON. Annotations are texts from a server: they are parsed and never evaluated."""
from __future__ import annotations

import ast
from typing import Any, Dict, List, Optional

__all__ = ["BYTES", "Schema", "schema_of"]

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
