"""Proxies of ``Pyro5.aio`` with the interface of ordinary ones, so that the same tests can use both."""
from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any, Iterator

from Pyro5 import aio, callcontext, client
from tests.support import PATIENCE_SECONDS


class LoopThread:
    """An event loop in a thread, for the calls of threads that wait for them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.slow_callback_duration = PATIENCE_SECONDS
        self._thread = threading.Thread(target=self._run, name="event loop of clients")
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        self._loop.close()

    def wait_for(self, awaitable: Any) -> Any:
        """Await something in the loop, in the context of this thread."""
        async def get() -> Any:
            result = await awaitable
            return result, callcontext.current_context.response_annotations

        result, annotations = asyncio.run_coroutine_threadsafe(get(), self._loop).result(PATIENCE_SECONDS)
        callcontext.set_received_response(annotations)
        return result

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)


class BlockingProxy:
    """An ordinary proxy for a test; each call is one of an ``aio.Proxy``."""

    def __init__(self, uri: Any, loop: LoopThread) -> None:
        self.__dict__.update(inner=aio.Proxy(uri), loop=loop)

    def _pyroBind(self) -> None:
        self.loop.wait_for(self.inner._pyroBind())

    def _pyroRelease(self) -> None:
        self.loop.wait_for(self.inner._pyroRelease())

    @property
    def _pyroConnection(self) -> Any:
        connections = self.inner._pyro.connections
        return connections[0] if connections else None

    def __getattr__(self, name: str) -> Any:
        link = self.inner._pyro
        if name in ("_pyroMethods", "_pyroAttrs", "_pyroOneway"):
            return getattr(link, name[5:].lower())
        if name.startswith("_pyro"):
            return getattr(self.inner, name)
        if not link.methods:
            self._pyroBind()
        member = getattr(self.inner, name)
        if name in link.methods:
            return lambda *args, **kwargs: self._converted(self.loop.wait_for(member(*args, **kwargs)))
        return self._converted(self.loop.wait_for(member))

    def _converted(self, result: Any) -> Any:
        if isinstance(result, aio.ItemStream):
            return BlockingStream(result, self.loop)
        if isinstance(result, aio.Proxy):
            ordinary = client.Proxy.__new__(client.Proxy)
            ordinary.__setstate__(result.__getstate__())
            return ordinary
        return [self._converted(each) for each in result] if isinstance(result, list) else result

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_pyro"):
            setattr(self.inner, name, value)
        else:
            self._pyroBind()
            self.loop.wait_for(aio.setattr(self.inner, name, value))

    def __dir__(self) -> Any:
        return dir(self.inner)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockingProxy) and bool(self.inner == other.inner)

    def __hash__(self) -> int:
        return hash(self.inner)

    def __enter__(self) -> BlockingProxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pyroRelease()

    def __len__(self) -> int:
        return int(self.__getattr__("__len__")())

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self.__getattr__("__getitem__")(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__getattr__("__setitem__")(key, value)

    def __delitem__(self, key: Any) -> None:
        self.__getattr__("__delitem__")(key)

    def __contains__(self, key: Any) -> bool:
        return bool(self.__getattr__("__contains__")(key))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__getattr__("__iter__")())


class BlockingStream(Iterator[Any]):
    def __init__(self, stream: Any, loop: LoopThread) -> None:
        self._stream = stream
        self._loop = loop

    def __next__(self) -> Any:
        with contextlib.suppress(StopAsyncIteration):
            return self._loop.wait_for(self._stream.__anext__())
        raise StopIteration

    def close(self) -> None:
        self._loop.wait_for(self._stream.aclose())


class BlockingBatch:
    def __init__(self, proxy: BlockingProxy) -> None:
        self._batch = aio.BatchProxy(proxy.inner)
        self._loop = proxy.loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __call__(self, oneway: bool = False) -> Any:
        return self._loop.wait_for(self._batch(oneway))
