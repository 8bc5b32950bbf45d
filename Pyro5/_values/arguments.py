"""The arguments in a call that was decoded, for errors about them."""
from __future__ import annotations

from typing import Any, Iterator, List, Tuple, Union

from .. import NamedTuple
from . import plain

_BATCH = "<batch>"


class Argument(NamedTuple):
    """An argument of a call, or of a call in a batch.

    Attributes:
        call_number: of a call in a batch; 0 for other calls.
        place: the number of a positional argument, from 0 on; the name of a keyword argument.
        value: not converted.
    """

    object_id: str
    method: str
    call_number: int
    place: Union[int, str]
    value: Any


def arguments_of(call: Tuple[Any, Any, Any, Any]) -> Iterator[Argument]:
    """Yield the arguments of a call: object id, method, args, kwargs.

    The call comes from the network. Malformed parts are skipped.
    """
    object_id, method, args, kwargs = call
    # A call that was decoded but not checked yet: what does not have the form of a call is left to that check.
    if type(object_id) is not str or type(method) is not str or type(args) not in plain.SEQUENCES:
        return
    if method != _BATCH:
        yield from _of_one(object_id, method, 0, args, kwargs)
        return
    for number, element in enumerate(args, 1):
        if type(element) in plain.SEQUENCES and len(element) == 3 and type(element[0]) is str:
            yield from _of_one(object_id, element[0], number, element[1], element[2])


def _of_one(object_id: str, method: str, number: int, args: Any, kwargs: Any) -> Iterator[Argument]:
    if type(args) in plain.SEQUENCES:
        for place, value in enumerate(args):
            yield Argument(object_id, method, number, place, value)
    if type(kwargs) is dict:
        for name, value in kwargs.items():
            if type(name) is str:
                yield Argument(object_id, method, number, name, value)


def described(call: Tuple[Any, Any, Any, Any]) -> List[Tuple[str, Any]]:
    """Return the arguments of a call with a description of each."""
    found = []
    for each in arguments_of(call):
        # People count from one.
        shown = each.place + 1 if isinstance(each.place, int) else each.place
        batch = "call %d, " % each.call_number if each.call_number else ""
        found.append(("%sargument %s" % (batch, shown), each.value))
    return found
