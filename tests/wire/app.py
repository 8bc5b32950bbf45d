"""The objects that the recorded server served, and its daemon.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional

from Pyro5 import aio, api, errors

from .values import EXCEPTIONS, RECORDED_MODULE, VALUES, Converted, Plain


@api.expose
@api.behavior(instance_mode="single")
class Calls:
    last: Any = None

    def nothing(self) -> None:
        pass

    def add(self, a: Any, b: Any = 10) -> Any:
        return a + b

    def echo(self, x: Any) -> Any:
        return x

    def kwonly(self, *args: Any, **kwargs: Any) -> Any:
        return [list(args), dict(sorted(kwargs.items()))]

    def make(self, name: str) -> Any:
        return VALUES[name]()

    def typename(self, x: Any) -> str:
        return type(x).__name__

    def corr(self) -> str:
        return str(api.current_context.correlation_id)

    def sleep(self, seconds: float) -> str:
        return "slept"

    def repeat(self, s: str, n: int) -> str:
        return s * n

    @api.oneway
    def fire(self, x: Any) -> None:
        self.last = x

    def getlast(self) -> Any:
        return self.last


@api.behavior(instance_mode="single")
class Access:
    plain_attr = "class attribute"
    _v: Any = "initial"

    @api.expose
    def ok(self) -> str:
        return "ok"

    def unexposed(self) -> str:
        return "no"

    def _private(self) -> str:
        return "no"

    def __mangled(self) -> str:
        return "no"

    @api.expose
    @property
    def value(self) -> Any:
        return self._v

    @value.setter
    def value(self, v: Any) -> None:
        self._v = v

    @api.expose
    @property
    def readonly(self) -> int:
        return 42

    @property
    def hiddenprop(self) -> str:
        return "no"

    @api.expose
    @property
    def broken(self) -> Any:
        raise ValueError("broken property")

    @api.expose
    @property
    def streamprop(self) -> Iterator[int]:
        return iter([1, 2])

    @api.expose
    def __len__(self) -> int:
        return 3

    @api.expose
    def __getitem__(self, i: Any) -> Any:
        return [10, 11, 12][i]

    @api.expose
    def __setitem__(self, i: Any, v: Any) -> None:
        pass

    @api.expose
    def __delitem__(self, i: Any) -> None:
        pass

    @api.expose
    def __contains__(self, x: Any) -> bool:
        return bool(x == 11)

    @api.expose
    def __iter__(self) -> Iterator[int]:
        return iter([10, 11, 12])

    @api.expose
    def __dunder__(self) -> str:
        return "dunder"

    @classmethod
    @api.expose
    def clsm(cls) -> str:
        return "classmethod"

    @staticmethod
    @api.expose
    def stam() -> str:
        return "staticmethod"


@api.expose
@api.behavior(instance_mode="single")
class Indexed:
    def __getitem__(self, i: int) -> str:
        return ["x", "y"][i]


@api.expose
class Sess:
    n = 0

    def inc(self) -> int:
        self.n += 1
        return self.n


@api.expose
@api.behavior(instance_mode="percall")
class PerCall:
    n = 0

    def inc(self) -> int:
        self.n += 1
        return self.n


@api.expose
@api.behavior(instance_mode="single")
class Errs:
    def fail(self, kind: str) -> None:
        raise EXCEPTIONS[kind]()

    @api.callback
    def callback_fail(self) -> None:
        raise ValueError("in callback")

    @api.oneway
    def oneway_fail(self) -> None:
        raise ValueError("in oneway")

    def ok(self) -> str:
        return "ok"


@api.expose
@api.behavior(instance_mode="single")
class Streams:
    def gen(self, n: int) -> Iterator[int]:
        yield from range(n)

    def listiter(self) -> Iterator[str]:
        return iter(["a", "b"])

    def failing(self) -> Iterator[int]:
        yield 1
        raise ValueError("mid stream")

    def aslist(self) -> List[int]:
        return [1, 2]

    def keys(self) -> Any:
        return {"a": 1}.keys()

    def keysiter(self) -> Iterator[str]:
        return iter({"a": 1}.keys())

    def genobj(self) -> Iterator[Any]:
        return (x for x in [Plain()])

    def mapobj(self) -> Iterator[str]:
        return map(str, [1])


@api.expose
@api.behavior(instance_mode="single")
class Child:
    def hello(self) -> str:
        return "child"

    @api.oneway
    def note(self) -> None:
        pass

    @property
    def name(self) -> str:
        return "kid"


@api.expose
class Unregistered:
    def __init__(self) -> None:
        self.x = 1

    def hello(self) -> str:
        return "u"


@api.expose
@api.behavior(instance_mode="single")
class Proxies:
    child_obj: Any = None

    def child(self) -> Any:
        return self.child_obj

    def children(self) -> Any:
        return {"list": [self.child_obj], "n": 1}

    def unregistered(self) -> Any:
        return Unregistered()

    def kind(self, x: Any) -> str:
        return "%s.%s" % (type(x).__module__, type(x).__name__)

    def uri_of(self, p: Any) -> str:
        return str(p._pyroUri)

    def call_it(self, p: Any) -> Any:
        with p:
            return p.hello()

    def uri(self) -> Any:
        return api.URI("PYRO:someobj@127.0.0.1:4444")

    def uris(self) -> Any:
        return list(map(api.URI, ("PYRONAME:some.name", "PYRO:o@./u:sock", "PYRO:o@[::1]:99")))

    def proxy(self) -> Any:
        return api.Proxy("PYRO:other@127.0.0.1:4444")

    def self_proxy(self) -> Any:
        return self

    def echo(self, x: Any) -> Any:
        return x

    def str_of(self, x: Any) -> str:
        return str(x)

    def blob(self, b: Any) -> Any:
        return [type(b).__name__, b.info, list(b.deserialized())]

    def daemon(self) -> Any:
        return type(self._pyroDaemon).__name__  # type: ignore[attr-defined]

    def the_daemon(self) -> Any:
        return self._pyroDaemon  # type: ignore[attr-defined]


@api.expose
@api.behavior(instance_mode="single")
class Annot:
    c: Optional[str] = None

    def seen(self) -> Dict[str, str]:
        return {key: bytes(value).decode("latin-1") for key, value in api.current_context.annotations.items()}

    def reply(self, n: int = 1) -> str:
        api.current_context.response_annotations = {"RES%d" % i: b"response %d" % i for i in range(n)}
        return "annotated"

    def reply_fail(self) -> None:
        api.current_context.response_annotations = {"RESX": b"with error"}
        raise ValueError("after annotations")

    def none(self) -> str:
        return "plain"

    def bad(self) -> str:
        api.current_context.response_annotations = {"TOOLONG": b"x"}
        return "bad"

    def badtype(self) -> str:
        api.current_context.response_annotations = {"ABCD": "str"}  # type: ignore[dict-item]
        return "bad"

    def corr(self) -> str:
        return str(api.current_context.correlation_id)

    def flags(self) -> List[int]:
        context = api.current_context
        return [context.msg_flags, context.seq, context.serializer_id]

    @api.oneway
    def oneway_corr(self) -> None:
        self.c = str(api.current_context.correlation_id)

    def last(self) -> Optional[str]:
        return self.c


class Nothing:
    def a(self) -> int:
        return 1


OBJECTS = {"calls": Calls, "access": Access, "indexed": Indexed, "sess": Sess, "percall": PerCall, "errs": Errs,
           "streams": Streams, "proxies": Proxies, "annot": Annot, "nothing": Nothing, "child": Child}


def _refuse(error: Exception) -> Any:
    raise error


def _annotate() -> str:
    api.current_context.response_annotations = {"HSAN": b"handshake annotation"}
    return "ok"


# What the recorded server answered to the handshake values of its clients; others it sent back.
HANDSHAKES: Dict[Any, Callable[[], Any]] = {
    "hello": lambda: "hello",
    "deny": lambda: _refuse(ValueError("denied by policy")),
    "deny-security": lambda: _refuse(errors.SecurityError("not welcome")),
    "deny-closed": lambda: _refuse(errors.ConnectionClosedError("closing on you")),
    "deny-empty": lambda: _refuse(ValueError()),
    "return-object": object,
    "annotate": _annotate,
    "corr": lambda: str(api.current_context.correlation_id),
}


class RecordedDaemon:
    """What the recorded daemon has of its own: objects, and hooks.

    Args:
        objects: names of the objects to register.
        daemon_annotations: add an annotation to every reply.
    """

    register: Any

    def __init__(self, objects: List[str], daemon_annotations: bool = False, **where: Any) -> None:
        super().__init__(**where)
        self.gone: List[Any] = []  # connections that have ended
        self._own_annotations = {"DMON": b"daemon wide"} if daemon_annotations else {}
        for name in objects:
            if name == "proxies":
                self._register_proxies()
            elif name != "child":
                self.register(OBJECTS[name], name)

    def _register_proxies(self) -> None:
        proxies = Proxies()
        proxies.child_obj = Child()
        self.register(proxies.child_obj, "obj_child")
        self.register(proxies, "proxies")

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        if isinstance(data, str) and data in HANDSHAKES:
            return HANDSHAKES[data]()
        return {"you_sent": data}

    def annotations(self) -> Dict[str, Any]:
        return dict(self._own_annotations)

    def clientDisconnect(self, conn: Any) -> None:
        self.gone.append(conn)


class AppDaemon(RecordedDaemon, api.Daemon):
    """The recorded daemon."""


class LoopDaemon(RecordedDaemon, aio.Daemon):
    """The same in an event loop."""


LoopDaemon.__name__ = AppDaemon.__name__  # which messages contain


def register_converters() -> None:
    api.register_class_to_dict(Converted, lambda o: {"__class__": "wire-converted", "val": o.v})
    api.register_dict_to_class("wire-converted", lambda name, data: Converted(data["val"]))


def unregister_converters() -> None:
    api.unregister_class_to_dict(Converted)
    api.unregister_dict_to_class("wire-converted")


for _class in (Unregistered, Child, Proxies, AppDaemon, LoopDaemon):
    _class.__module__ = RECORDED_MODULE  # where the recordings say that they are
