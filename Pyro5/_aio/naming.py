"""The name server, without blocking the event loop. Searches and lookups run in threads of the loop's default executor."""
from __future__ import annotations

import asyncio
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union, overload

from .. import client, errors
from .._client import discovery
from .._client.ns_places import direct_uri, is_list, place_of
from .._net.addresses import Host
from .._values.uri import URI
from .connecting import in_thread
from .name_server import NameServerProxy
from .proxy import Proxy
from .waiting import until_ready


@overload
async def resolve(uri: Union[str, URI], delay_time: float = ...) -> URI: ...  # type: ignore[overload-overlap]


@overload
async def resolve(uri: Iterable[Union[str, URI]], delay_time: float = ...) -> List[URI]: ...


async def resolve(uri: Union[str, URI, Iterable[Union[str, URI]]], delay_time: float = 0.0) -> Union[URI, List[URI]]:
    """Return the PYRO URI that a PYRONAME or PYROMETA URI refers to, as `Pyro5.api.resolve` does.

    Args:
        uri: a URI; or several ones, whose names are looked up at once, over one connection to their name server. Then the
            result is a list.

    Raises:
        NamingError: the name is not registered, or no name server was found.
        CommunicationError: the communication with the name server failed.
    """
    if isinstance(uri, (str, URI)):
        return await _resolve_one(URI(uri), delay_time)
    uris = [URI(each) for each in uri]  # an invalid one raises before anything is sent
    # by the place of their name server; with a delay, each one waits for its own name
    together: Dict[Any, List[int]] = {}
    for number, each in enumerate(uris):
        is_name = each.protocol == "PYRONAME" and not delay_time
        together.setdefault(place_of(each) if is_name else number, []).append(number)
    found: Dict[int, URI] = {}
    # All groups at once: a name server that does not answer delays only its own names.
    await asyncio.gather(*[_resolve_group(uris, numbers, delay_time, found) for numbers in together.values()])
    return [found[number] for number in range(len(uris))]


async def _resolve_one(uri: URI, delay_time: float) -> URI:
    return uri if uri.protocol == "PYRO" else await in_thread(discovery.resolve, uri, delay_time)


async def _resolve_group(uris: Sequence[URI], numbers: Sequence[int], delay_time: float, found: Dict[int, URI]) -> None:
    """Resolve some of the URIs; if these are several, their names are in the same name server."""
    if len(numbers) == 1:
        found[numbers[0]] = await _resolve_one(uris[numbers[0]], delay_time)
        return
    place = place_of(uris[numbers[0]])
    # One connection, over which all lookups are in flight together.
    async with await locate_ns(*place) as names:
        lookup: Any = names.lookup
        answers = await asyncio.gather(*[lookup(uris[number].object) for number in numbers], return_exceptions=True)
    unknown: List[int] = []
    for number, answer in zip(numbers, answers):
        # Another name server of a list may know it.
        if isinstance(answer, errors.NamingError) and is_list(place[0]):
            unknown.append(number)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            # Checked as any answer: a name server can send anything.
            found[number] = direct_uri(answer, "name '%s'" % uris[number].object)
    resolved = await asyncio.gather(*[_resolve_one(uris[number], delay_time) for number in unknown])
    found.update(zip(unknown, resolved))


async def locate_ns(host: Host = "", port: Optional[int] = None, broadcast: bool = True, *,
                    delay_time: float = 0.0) -> NameServerProxy:
    """Find a name server, and return a proxy for it. Arguments as for `Pyro5.api.locate_ns`.

    Raises:
        NamingError: no name server was found; the text lists the places that were tried.
    """
    # In a thread, since broadcasts and lookups of hosts block.
    found = NameServerProxy(await in_thread(_find_ns, host, port, broadcast, delay_time))
    found._pyroLocated = (host, port, broadcast)
    return found


def _find_ns(host: Host, port: Optional[int], broadcast: bool, delay_time: float) -> URI:
    # Only the URI is used: the connection belongs to that thread.
    with client.locate_ns(host, port, broadcast, delay_time=delay_time) as found:
        return found._pyroUri


async def wait_for(uri: Union[str, URI], timeout: Optional[float] = None, **options: Any) -> Proxy:
    """Wait until an object can be called, and return a proxy for it, which is connected.

    Args:
        timeout: seconds to wait, None for any time.
        options: keyword arguments of Proxy.

    Raises:
        TimeoutError: the object cannot be called in time; the text has the last reason.
        PyroError: the uri is not valid.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    proxy = Proxy(uri, **options)
    await until_ready(proxy._pyroBind, deadline, str(proxy._pyroUri))
    return proxy
