"""The objects that the conformance tests publish and call."""
from __future__ import annotations

import asyncio
import threading
from typing import Any, AsyncIterator, Dict, Iterator, List

from Pyro5 import current_context, errors
from Pyro5._objects.exposure import behavior, callback, expose, oneway
from Pyro5.client import Proxy
from tests.support import PATIENCE_SECONDS


class StrangeError(Exception):
    """An exception whose class no client knows."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code)
        self.code = code


class Bare:
    """A class without anything special; servers know no such class."""


class Thing:
    """Does what the tests ask for; the events let a test (in the same process) wait and be waited for."""

    _pyroDaemon: Any = None
    unexposed_value = 42

    def __init__(self) -> None:
        self.begun = threading.Event()   # a waiting method has begun
        self.go_on = threading.Event()   # lets a waiting method end
        self.done = threading.Event()    # a method, or the cleanup of a generator, has ended
        self.notes: List[Any] = []
        self.contents: Dict[Any, Any] = {}
        self._colour = "red"
        self.blob: Any = None

    # ------------------------------------------------------------ calls

    @expose
    def echo(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), kwargs]

    @expose
    def give(self, value: Any) -> Any:
        return value

    @expose
    def nothing(self) -> None:
        return None

    @expose
    def strict(self, one: Any, two: Any = "two") -> List[Any]:
        return [one, two]

    @staticmethod
    @expose
    def static(value: int) -> int:
        return value + 1

    @classmethod
    @expose
    def of_class(cls) -> str:
        return cls.__name__

    @expose
    async def give_later(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    @expose
    async def fail_later(self, error: str) -> None:
        await asyncio.sleep(0)
        raise ValueError(error)

    @expose
    async def count_later(self, number: int) -> AsyncIterator[int]:
        try:
            for value in range(number):
                await asyncio.sleep(0)
                yield value
        finally:
            self.done.set()

    @expose
    def note(self, value: Any) -> int:
        self.notes.append(value)
        return len(self.notes)

    @expose
    def give_unserializable(self) -> Any:
        return threading.Lock()

    def unexposed(self) -> None:
        self.notes.append("never to be reached")

    def _private(self) -> None:
        self.notes.append("never to be reached")

    # ------------------------------------------------------------ attributes and operators

    @expose
    @property
    def colour(self) -> str:
        return self._colour

    @colour.setter
    def colour(self, value: str) -> None:
        if not value:
            raise ValueError("no colour")
        self._colour = value

    @expose
    @property
    def fixed(self) -> str:
        return "always the same"

    @expose
    @property
    def broken(self) -> str:
        raise ZeroDivisionError("a property that fails")

    @expose
    def __len__(self) -> int:
        return len(self.contents)

    @expose
    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.contents))

    @expose
    def __getitem__(self, key: Any) -> Any:
        return self.contents[key]

    @expose
    def __setitem__(self, key: Any, value: Any) -> None:
        self.contents[key] = value

    @expose
    def __delitem__(self, key: Any) -> None:
        del self.contents[key]

    @expose
    def __contains__(self, key: Any) -> bool:
        return key in self.contents

    # ------------------------------------------------------------ exceptions

    @expose
    def fail(self) -> None:
        error = ValueError("wrong value", 42)
        error.hint = "try another one"  # type: ignore[attr-defined]
        raise error

    @expose
    def fail_with_own_class(self) -> None:
        raise errors.NamingError("no such name")

    @expose
    def fail_strangely(self) -> None:
        raise StrangeError("something strange", 99)

    @expose
    @callback
    def fail_in_callback(self) -> None:
        raise KeyError("missing")

    # ------------------------------------------------------------ oneway calls and waiting

    @expose
    @oneway
    def note_later(self, value: Any) -> str:
        self.begun.set()
        self.go_on.wait(PATIENCE_SECONDS)
        self.notes.append(value)
        self.done.set()
        return "this is not seen"

    @expose
    @oneway
    def fail_unheard(self) -> None:
        self.done.set()
        raise ValueError("this is not heard")

    @expose
    def wait(self) -> str:
        self.begun.set()
        self.go_on.wait(PATIENCE_SECONDS)
        return "waited"

    # ------------------------------------------------------------ streams

    @expose
    def count_to(self, last: int) -> Iterator[int]:
        try:
            yield from range(1, last + 1)
        finally:
            self.done.set()

    @expose
    def count_and_fail(self) -> Iterator[int]:
        yield 1
        raise ValueError("no more numbers")

    # ------------------------------------------------------------ context

    @expose
    def context(self) -> Dict[str, Any]:
        """Return what the current request came with, and send the annotations back with other ids."""
        received = {key: bytes(value).decode() for key, value in current_context.annotations.items()}
        current_context.response_annotations = {"R" + key[1:]: value.encode() for key, value in received.items()}
        return {"annotations": received, "correlation_id": str(current_context.correlation_id),
                "serializer_id": current_context.serializer_id, "seq": current_context.seq,
                "peer_known": current_context.client is not None}

    @expose
    def context_of(self, other: Proxy) -> Dict[str, Any]:
        """Return what a nested call sees as its context."""
        with other:
            return other.context()  # type: ignore[no-any-return]

    # ------------------------------------------------------------ other objects

    @expose
    def make_other(self) -> Thing:
        other = Thing()
        other.contents["who"] = "the other one"
        self._pyroDaemon.register(other)
        return other

    @expose
    def make_others(self) -> List[Any]:
        return [self.make_other()]

    @expose
    def kind_of(self, value: Any) -> str:
        return type(value).__name__

    @expose
    def tell(self, other: Proxy, value: Any) -> Any:
        with other:
            return other.note(value)

    @expose
    def uri_of(self, other: Any) -> Any:
        return str(other._pyroUri)

    @expose
    def keep_blob(self, blob: Any) -> Any:
        self.blob = blob
        return list(blob.info)

    @expose
    def open_blob(self, blob: Any) -> Any:
        return [list(blob.info), list(blob.deserialized())]

    @expose
    def pass_blob_on(self, other: Proxy) -> Any:
        with other:
            return other.open_blob(self.blob)


class _Numbered:
    """Knows how many instances were made before it."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        self.number = self.made

    @expose
    def which(self) -> int:
        return self.number


def numbered_class(mode: str, creator: Any = None) -> Any:
    """Make a class with this instance mode, whose instances count from 1."""
    return behavior(mode, creator)(type("Numbered", (_Numbered,), {}))
