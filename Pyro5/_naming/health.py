"""Which registered objects can be reached, for the control tool."""
from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterable, List, Optional, Tuple

from .autoclean import uri_to_check
from .liveness import Answer, Prober, Question

__all__ = ["problems_of"]

Entry = Tuple[str, str]  # name and uri text


def problems_of(entries: Iterable[Entry], prober: Any = None) -> Dict[Entry, Optional[str]]:
    """Check many objects at the same time; return why each of them cannot be used, or None if it can.

    Left out are names that refer to other names, the name server itself, and objects whose server does not answer in time.

    Args:
        prober: checks the servers; a `Prober` or an object with the same methods.
    """
    servers: Dict[str, List[Tuple[Entry, str]]] = {}
    uris = {}
    for entry in entries:
        uri = uri_to_check(*entry)
        if uri is not None:
            location = str(uri.location)
            uris[location] = uri
            servers.setdefault(location, []).append((entry, str(uri.object)))
    questions = [Question(uris[location], frozenset(object_id for _, object_id in found))
                 for location, found in servers.items()]
    problems: Dict[Entry, Optional[str]] = {}
    with contextlib.closing(prober or Prober()) as asking:
        for question, answer in asking.ask(questions):
            for entry, object_id in servers[str(question.uri.location)]:
                problems[entry] = _problem(answer, object_id)
    return problems


def _problem(answer: Answer, object_id: str) -> Optional[str]:
    if answer.failure is not None:
        return "not reachable (%s)" % answer.failure
    return "its server has no such object" if object_id in answer.unknown else None
