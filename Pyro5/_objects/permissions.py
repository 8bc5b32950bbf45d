"""Which clients may use which members: roles given with @expose, and rules in the users file."""
from __future__ import annotations

from typing import Any, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from .. import constants, errors
from .._messages import requests
from .._messages.requests import Call
from .._values import exceptions
from .objects import PublishedObject

NO_ROLES: FrozenSet[str] = frozenset()
# Methods of Pyro.Daemon that every client needs. Streams were opened by a call that was checked.
_FREE = frozenset(("ping", "health", "get_metadata", "get_next_stream_item", "close_stream", "cancel", "release_object"))


class Refused(errors.SecurityError):
    """A SecurityError after which the connection stays usable: the client may call other methods.

    It is sent as a SecurityError, which all clients know.
    """


# Clients receive a SecurityError, which other releases know as well.
Refused.__name__ = Refused.__qualname__ = "SecurityError"
Refused.__module__ = errors.__name__
exceptions.send_as(Refused, "Pyro5.errors.SecurityError")


def check_call(gate: Any, connection: Any, published: PublishedObject, call: Call, is_batch: bool = False) -> None:
    """Check that a client may execute a call, or all calls of a batch.

    Args:
        gate: the gate of the daemon, None if it has none.
        is_batch: whether the arguments of the call are executed as a batch. The method name of a batch says nothing: a client
            can send any name.

    Raises:
        Refused: it lacks a role; the text names the member and the roles that may use it.
    """
    limited = dict(published.members.roles)
    # Read for each call: a changed file has an effect on existing connections.
    users = None if gate is None or gate.users is None else gate.users.current()
    if not limited and (users is None or not users.members):  # the usual server has no rules, and the check ends here
        return
    identity = getattr(connection, "identity", None)
    # None without a user, as for clients that have the shared key.
    roles: FrozenSet[str] = NO_ROLES if identity is None else identity.roles
    # All members of a batch before the first is called.
    for name, acquired in _members_of(call, is_batch):
        object_id = call.object_id
        if object_id == constants.DAEMON_NAME:
            if name in _FREE:  # needed by each proxy
                continue
            if name == "acquire_object":  # it stops the calls of others to that object
                object_id = acquired
        # Both must allow it: the program limits its methods, and the administrator limits them further.
        wanted = [limited.get(name), None if users is None else users.roles_for(users.members, "%s.%s" % (object_id, name))]
        _require(wanted, roles, identity, "use %s.%s" % (object_id, name))


def refused_members(gate: Any, connection: Any, published: PublishedObject, object_id: str) -> List[str]:
    """Return the names of the exposed members of an object that a client may not use, sorted."""
    def is_refused(name: str) -> bool:
        try:
            check_call(gate, connection, published, Call(object_id, name, (), {}))
        except Refused:
            return True
        return False

    return sorted(filter(is_refused, published.members.methods | published.members.attrs))


def check_names(gate: Any, connection: Any, names: Iterable[str]) -> None:
    """Check that a client may register or remove these names in a name server.

    If the users file has rules for names, each name needs one that matches.

    Raises:
        Refused: it lacks a role.
    """
    users = None if gate is None or gate.users is None else gate.users.current()
    if users is None or not users.names:
        return
    identity = getattr(connection, "identity", None)
    roles: FrozenSet[str] = NO_ROLES if identity is None else identity.roles
    for name in names:
        # Names that no rule mentions are not free here: rules for names are a list of what is allowed.
        _require([users.roles_for(users.names, name) or NO_ROLES], roles, identity, "register or remove the name '%s'" % name)


def _require(wanted: Sequence[Optional[FrozenSet[str]]], roles: FrozenSet[str], identity: Any, what: str) -> None:
    for each in wanted:
        if each is not None and not each & roles:
            user = None if identity is None else identity.user
            raise Refused("%s may not %s: %s" % (
                "a client without a user" if user is None else "user '%s'" % user, what,
                # The text names the roles, so that the administrator knows what to add.
                "it needs the role %s" % " or ".join(sorted(each)) if each else "no role may do this"))


def _members_of(call: Call, is_batch: bool) -> List[Tuple[str, str]]:
    """Return the names of the members that a call uses, or all calls of a batch; each with the object that it acquires, if it
    is a call of acquire_object. Names of other types are refused later, when the call is prepared.
    """
    elements = requests.parse_batch(call)[0] if is_batch else [(call.method, call.args, call.kwargs)]
    found = dict.fromkeys((_member(name, args), _first_text(args, kwargs) if name == "acquire_object" else "")
                          for name, args, kwargs in elements)
    return [each for each in found if each[0]]


def _first_text(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    # By position or by name: the method accepts both.
    return next((each for each in (*args, *kwargs.values()) if type(each) is str), "")


def _member(method: Any, args: Sequence[Any]) -> str:
    if type(method) is not str:
        # Reading an attribute and calling a method need the same permission: the name is what is protected.
        return ""
    if method in (requests.GETATTR_METHOD, requests.SETATTR_METHOD):
        return args[0] if args and type(args[0]) is str else ""
    return method
