"""Parse the signature of a remote method from the text that the server sent. Nothing in the text is evaluated."""
from __future__ import annotations

import ast
import inspect
from typing import Any, List, Optional, Tuple

from .._values import plain

# The text is untrusted, and some versions of Python crash in the parser if an expression is nested too deeply.
MAX_TEXT = 1500  # characters; limits the depth of chains of operators
MAX_BRACKETS = 50  # opening brackets; limits the depth of nested expressions

_Parameter = inspect.Parameter
ANY_ARGUMENTS = inspect.Signature([_Parameter("args", _Parameter.VAR_POSITIONAL),
                                   _Parameter("kwargs", _Parameter.VAR_KEYWORD)])


def parse_signature(text: Any) -> inspect.Signature:
    """Return the signature described by a text such as ``(degrees: int, slowly: bool = False) -> str``.

    Defaults that are literals become their values. Other defaults, and annotations, become objects whose repr is their source
    text. The signature is ``(*args, **kwargs)`` if the text cannot be parsed.
    """
    if type(text) is not str or len(text) > MAX_TEXT or sum(map(text.count, "([{")) > MAX_BRACKETS:
        return ANY_ARGUMENTS
    # The text is only parsed and never compiled or run. That the body is a single `pass` shows that the text did not end the
    # head of the function and begin statements of its own.
    source = "def method%s: pass" % text
    try:
        # MemoryError is what some versions raise for expressions that are nested too deeply.
        function, = ast.parse(source).body
        if not isinstance(function, ast.FunctionDef) or not isinstance(function.body[0], ast.Pass):
            return ANY_ARGUMENTS
        return_annotation = _annotation(source, function.returns, inspect.Signature.empty)
        return inspect.Signature(_parameters(source, function.args), return_annotation=return_annotation)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return ANY_ARGUMENTS


def _parameters(source: str, arguments: ast.arguments) -> List[inspect.Parameter]:
    positional: List[Tuple[ast.arg, Any]] = [(x, _Parameter.POSITIONAL_ONLY) for x in arguments.posonlyargs]
    positional += [(x, _Parameter.POSITIONAL_OR_KEYWORD) for x in arguments.args]
    # As in Python's own data: defaults belong to the last of the positional parameters.
    without_default: List[Optional[ast.expr]] = [None] * (len(positional) - len(arguments.defaults))
    found = [_parameter(source, x, kind, default)
             for (x, kind), default in zip(positional, without_default + list(arguments.defaults))]
    if arguments.vararg:
        found.append(_parameter(source, arguments.vararg, _Parameter.VAR_POSITIONAL, None))
    found += [_parameter(source, x, _Parameter.KEYWORD_ONLY, default)
              for x, default in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    if arguments.kwarg:
        found.append(_parameter(source, arguments.kwarg, _Parameter.VAR_KEYWORD, None))
    return found


def _parameter(source: str, argument: ast.arg, kind: Any, default: Optional[ast.expr]) -> inspect.Parameter:
    annotation = _annotation(source, argument.annotation, _Parameter.empty)
    return _Parameter(argument.arg, kind, default=_default(source, default), annotation=annotation)


def _default(source: str, node: Optional[ast.expr]) -> Any:
    if node is None:
        return _Parameter.empty
    try:
        # Evaluates literals only; it never calls anything or looks up a name.
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return plain.Verbatim(ast.get_source_segment(source, node) or "...")


def _annotation(source: str, node: Optional[ast.expr], empty: Any) -> Any:
    return empty if node is None else plain.Verbatim(ast.get_source_segment(source, node) or "...")
