"""Requests that use one object: calls, attributes, and what is known about its members."""
from __future__ import annotations

import contextlib
import functools
import json
import logging
import uuid
from typing import Any, Callable, ContextManager, Generator

from .. import current_context, errors, protocol
from .._http.head import loggable_path
from .._http.lost_clients import WATCH
from ..protocol import ReceivingMessage
from . import calls, responses
from .arguments import Environ, Parameters, assigned_value, call_arguments, has_large_body
from .calls import NAME_SERVER_SECONDS, NameServerGone, Reply
from .events import EventStream, event, wants_events
from .memory import Exhausted, Lease
from .responses import RETRY_AFTER_SECONDS, Failure, Headers, Refused, Response
from .running import RunningCall
from .schemas import describe, names

log = logging.getLogger("Pyro5.utils.gatewayapp")


class ObjectRequest:
    """One request that uses an object. All methods may raise Refused.

    Args:
        state: of the gateway, see _State in the module app.
        query: the parameters in the url, without the key.
        lease: the memory of this request.
        is_operator: whether the client may do more than look.
    """

    def __init__(self, state: Any, environ: Environ, query: Parameters, lease: Lease, is_operator: bool) -> None:
        self._state = state
        self._environ = environ
        self._query = query
        self._lease = lease
        self._is_operator = is_operator
        self._from_body: Any = None     # arguments of a call, or the value of an attribute in a tuple

    def use_member(self, name: str, member: str) -> Response:
        """Call a method, read or assign an attribute, or return the names of all members."""
        if member != "$meta" and self._state.options.is_exposed(name) and has_large_body(self._environ):
            # First: a client whose body is large, and perhaps slow or refused, takes nothing of the servers behind the gateway
            # before it has sent all of it, neither a lookup nor a connection.
            self._value_of_body()
        return self._use(name, lambda proxy, resources: self._use_member(name, member, proxy, resources))

    def describe(self) -> Response:
        """Return what the page shows about one object."""
        name = self._query["name"]
        if type(name) is not str:
            return responses.text(400, "400 Bad Request - the parameter name is there twice")

        def about(proxy: Any, resources: contextlib.ExitStack) -> Response:
            found = {"name": name, "uri": str(proxy._pyroUri), "methods": names(proxy._pyroMethods),
                     "oneway": names(proxy._pyroOneway), "attributes": names(proxy._pyroAttrs),
                     "description": describe(proxy)}
            return responses.json_response(200, json.dumps(found).encode("utf-8"))

        return self._use(name, about)

    def _use(self, name: str, use: Callable[[Any, contextlib.ExitStack], Response]) -> Response:
        """Find the object and connect to it; return every error on the way as an exception in JSON."""
        # checked before the name is looked up, so that the response does not reveal which other names exist
        if not self._state.options.is_exposed(name):
            return responses.text(403, "403 Forbidden - access to the requested object has been denied")
        headers: Headers = ()
        try:
            headers = _correlate(self._environ)
            uri = self._state.name_servers.lookup(name)
        except NameServerGone as x:
            return gone(x)
        except errors.NamingError as x:
            return responses.error(404, x, headers)
        except ValueError as x:     # an invalid correlation id
            return responses.error(400, x)
        except Exception as x:  # any exception that the name server raised
            return responses.error(500, x, headers)
        with contextlib.ExitStack() as resources:
            try:
                proxy = resources.enter_context(calls.connected_proxy(uri, self._state.options.timeout, self._lease.take))
                response = use(proxy, resources)
            except Refused:
                raise
            except Failure as x:
                return responses.error(x.status, x.error, headers + x.headers)
            except Exhausted as x:
                return responses.error(503, errors.PyroError("the result is large, and there is %s for it" % x),
                                       headers + (("Retry-After", RETRY_AFTER_SECONDS),))
            except Exception as x:  # any exception: from the network, the object's server, the arguments
                log.debug("%s cannot be used: %s", loggable_path(name), x)
                return responses.error(responses.status_of(x), x, headers)
            return response._replace(headers=headers + response.headers)

    def _use_member(self, name: str, member: str, proxy: Any, resources: contextlib.ExitStack) -> Response:
        method = self._environ["REQUEST_METHOD"]
        if member == "$meta":
            meta = {"methods": names(proxy._pyroMethods), "attributes": names(proxy._pyroAttrs)}
            return responses.json_response(200, json.dumps(meta).encode("utf-8"))
        is_attribute = member in proxy._pyroAttrs
        if not is_attribute and member not in proxy._pyroMethods:
            raise Failure(404, AttributeError("remote object '%s' has no exposed attribute or method '%s'"
                                              % (proxy._pyroUri, member)))
        if method not in (("GET", "POST", "PUT") if is_attribute else ("GET", "POST")):
            raise Refused(responses.text(405, headers=(("Allow", "GET, POST, PUT" if is_attribute else "GET, POST"),)))
        if (method == "PUT" or not is_attribute) and not self._is_operator:
            raise Failure(403, errors.SecurityError("this gateway only shows objects to clients without the operator's key"))
        if method == "PUT":
            return self._assign(name, member, proxy)
        args, kwargs = self._value_of_body()
        if is_attribute and (args or kwargs):
            raise Failure(400, AssertionError("reading attribute '%s' takes no parameters" % member))
        options = self._environ.get("HTTP_X_PYRO_OPTIONS", "").split(",")
        is_oneway = "oneway" in [option.strip() for option in options]

        def send(call: RunningCall) -> Any:
            if is_attribute:
                return calls.read_attribute(proxy, member)
            return calls.invoke(proxy, member, args, kwargs, is_oneway, call.check)

        if wants_events(self._environ.get("HTTP_ACCEPT", "")):
            # A browser that lost its connection repeats the request by itself: the call must not be made twice.
            if "HTTP_LAST_EVENT_ID" in self._environ:
                return Response(204, responses.TEXT, b"")
            return self._in_events(resources.enter_context(self._state.running.running(proxy, name, member)), send, resources)
        with self._state.running.running(proxy, name, member) as call, self._cancelled_with_client(call):
            return _response(calls.complete(proxy, send(call), self._lease.take), member)

    def _cancelled_with_client(self, call: RunningCall) -> ContextManager[None]:
        """Cancel the call if the client disconnects in the block, in which nothing is received from it or sent to it."""
        watch: Any = self._environ.get(WATCH)   # not in web servers of others
        return contextlib.nullcontext() if watch is None else watch(functools.partial(self._state.running.client_lost, call))

    def _in_events(self, call: RunningCall, send: Callable[[RunningCall], Any], resources: contextlib.ExitStack) -> Response:
        """Make a call whose result is sent as events: each item of a stream, or the only value."""
        with self._cancelled_with_client(call):
            reply = send(call)
        # The reply that opens a stream has this flag, too.
        if reply is None or reply.flags & protocol.FLAGS_EXCEPTION and not calls.is_stream(reply):
            return _response(calls.complete(call.proxy, reply, self._lease.take), call.member)
        return self._event_response(_result_events(call, reply, self._lease), call, resources)

    def _event_response(self, events: Generator[bytes, None, None], call: RunningCall,
                        resources: contextlib.ExitStack) -> Response:
        # From here on, the connection to the object belongs to the thread of the stream.
        resources.callback(self._lease.release)
        owned = resources.pop_all()
        try:
            return responses.event_response(EventStream(events, call.cancel, owned.close, self._state.streams))
        except BaseException:
            owned.close()
            raise

    def watch(self) -> Response:
        """Return the changes in the name server as events."""
        prefix = self._query.get("prefix", "")
        if type(prefix) is not str:
            return responses.text(400, "400 Bad Request - the parameter prefix is there twice")
        with contextlib.ExitStack() as resources:
            try:
                uri = self._state.name_servers.location()
                proxy = resources.enter_context(calls.connected_proxy(uri, NAME_SERVER_SECONDS, self._lease.take))
                if "watch" not in proxy._pyroMethods:
                    return responses.error(501, errors.NamingError("the name server is of a release without watches"))
                call = resources.enter_context(self._state.running.running(proxy, str(uri.object), "watch"))
                reply = calls.invoke(proxy, "watch", [prefix] if prefix else [], {}, False, call.check)
            except NameServerGone as x:
                return gone(x)
            except errors.CommunicationError as x:
                return responses.error(503, errors.NamingError(str(x)), (("Retry-After", RETRY_AFTER_SECONDS),))
            except Exception as x:  # from the name server
                return responses.error(responses.status_of(x), x)
            if reply is None or not calls.is_stream(reply):
                return _response(calls.complete(proxy, reply, self._lease.take), "watch")
            proxy._pyroTimeout = None   # the next change may take any time
            return self._event_response(_watch_events(call, reply, self._state.options.is_exposed), call, resources)

    def _assign(self, name: str, member: str, proxy: Any) -> Response:
        value, = self._value_of_body()
        with self._state.running.running(proxy, name, member) as call, self._cancelled_with_client(call):
            reply = calls.assign_attribute(proxy, member, value)
        error = {} if reply.ok else responses.remote_error(reply.payload)
        if error.get("__class__") == "builtins.AttributeError":     # the attribute cannot be assigned
            return responses.json_response(405, reply.payload, (("Allow", "GET, POST"),))
        return responses.json_response(200, b"null") if reply.ok else _response(reply, member)

    def _value_of_body(self) -> Any:
        """Return the positional and the keyword arguments of a call, or a tuple with the value of an attribute."""
        if self._from_body is None:
            self._from_body = ((assigned_value(self._environ, self._lease),) if self._environ["REQUEST_METHOD"] == "PUT"
                               else call_arguments(self._environ, self._query, self._lease))
        return self._from_body


def gone(x: NameServerGone) -> Response:
    """Build the response when there is no name server."""
    return responses.error(503, errors.NamingError(str(x.__cause__)), (("Retry-After", RETRY_AFTER_SECONDS),))


def _response(reply: Reply, member: str) -> Response:
    status, headers = responses.status_of_reply(reply, member)
    return responses.json_response(status, reply.payload, headers)


def _correlate(environ: Environ) -> Headers:
    """Set the correlation id of the request, or a new one; return the response header. Raises ValueError."""
    given = environ.get("HTTP_X_PYRO_CORRELATION_ID")
    current_context.correlation_id = uuid.UUID(given) if given else uuid.uuid4()
    return (("X-Pyro-Correlation-Id", str(current_context.correlation_id)),)


def _result_events(call: RunningCall, reply: ReceivingMessage, lease: Lease) -> Generator[bytes, None, None]:
    """Yield an event for each item of a stream, or for the only value; and one that says that these were all."""
    with call.translating(), contextlib.closing(calls.items(call.proxy, reply, lease.take)) as items:
        for number, item in enumerate(items, 1):
            # The connection takes memory for large items only.
            yield event(item.payload, "" if item.ok else "failure", number)
            lease.release()
            if not item.ok:
                return
    yield event(b"null", "end")


def _watch_events(call: RunningCall, reply: ReceivingMessage,
                  is_exposed: Callable[[str], bool]) -> Generator[bytes, None, None]:
    """Yield an event for each change of an exposed name."""
    with contextlib.closing(calls.items(call.proxy, reply, lambda size: None)) as items:
        for item in items:
            if not item.ok:
                yield event(item.payload, "failure")
                return
            change = calls.exact(dict, json.loads(item.payload))
            name, revision = change.get("name"), change.get("revision")
            # Notes such as "ready" have no name.
            if name is None or type(name) is str and is_exposed(name):
                yield event(item.payload, "", revision if type(revision) is int else None)
