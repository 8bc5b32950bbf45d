"""Holds the architecture: which module may import which, where imports stand, how long files and functions are."""
from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
import unittest
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple, Union

PACKAGE = Path(__file__).resolve().parent.parent / "Pyro5"

# All modules, ground first: a module imports only what stands on an earlier line. A package's name means its __init__.
MODULES = """
    __init__
    constants
    _text _settings
    errors configure callcontext
    _wire _wire.buffers protocol _wire.chunks _wire.reader _wire.features
    _values _values.plain _values.numpy_scalars _values.exceptions _values.classes _values.mismatch
    _values.unsendable _values.large_buffers _values.numpy_arrays _values.pandas_tables
    _values.shapes _values.plain_forms _values.registered_types _values.annotations _values.hash_flooding _values.plain_copy
    _values.builders _values.rebuilding _values.recreation
    _values.containers _values.uri _values.msgpack_check
    _values.serpent _values.serpent.writer _values.serpent.reader _values.serpent.calls
    _values.serpent.chunks _values.serpent.slow_writer
    serializers.base serializers.conversion _values.marshal _values.marshal.reader
    _values.marshal.scan _values.marshal.check
    serializers.serpent serializers.json serializers.marshal serializers.msgpack serializers
    _messages _messages.limits _messages.out_of_band
    _messages.requests _messages.batch_results _messages.replies _messages.handshake
    _auth.files
    _net _net.tls_socket _net.tls_layer _net.tls _net.addresses _net.stream_sockets _net.shared_areas
    _net.shared_memory
    _net.offered_sockets
    socketutil _net.tls_guard _net.polling_policy _net.busy_poll
    _net.wakeup
    _observe _observe.histogram _observe.statistics _observe.interceptors
    _observe.metrics_text
    _observe.trace_context _observe.process_end
    _http _http.head _http.lost_clients _http.connection _http.server _http.metrics_endpoint
    _auth.exchange _auth.broadcasts _auth.credentials _auth.users _auth.gate _auth
    _client _client.call_options _client.interception
    _client.failures _client.connection _client.connecting
    _client.ns_places
    _client.discovery _client.candidates _client.holders _client.pool
    _client.parallel
    _client.results _client.retry _client.futures _client.connector
    _client.calls _client.link _client.plain_calls
    _client.batch _client.streams _client.signatures _client.exclusive
    _client.methods
    _client.proxy_state _client.operators
    _client.lease_keeper _client.watches _client.name_server typed client
    _aio _aio.connection _aio.idle _aio.waiting _aio.connecting _aio.connections _aio.link _aio.exclusive
    _aio.streams _aio.calls
    _aio.proxy _aio.name_server _aio.naming
    _objects _objects.members _objects.exposure _objects.descriptions _objects.arguments _objects.marks _objects.instances
    _objects.objects _objects.permissions
    _calls _calls.error_log _calls.decoding _calls.stalls
    _calls.running_calls _calls.deferred _calls.streams _calls.item_requests _calls.async_loop
    _calls.async_streams _calls.async_methods
    _calls.interception _calls.exclusive _calls.batches _calls.batch_pieces _calls.reply_encoding _calls.handshakes
    _calls.call_accounts _calls.dispatch _calls.plain_calls
    _server _server.output _server.detached _server.connection _server.callbacks
    _server.address_queue _server.quotas _server.job_queue _server.workers _server.oneway
    _server.listener _server.housekeeping _server.fair_order _server.attached _server.eventloop
    _server.shared_output _server.acceptor _server.tls_handshakes _server.loop
    _processes _processes.shared_marks _processes.siblings _processes.reports _processes.shared_calls
    _processes.shared_accepting _processes.child _processes.supervisor
    svr_threads svr_multiplex svr_existingconn
    _daemon _daemon.daemon_object _daemon.transports _daemon.observed _daemon.registrations server
    _callbacks _callbacks.endpoint _callbacks.in_loop
    core
    _aio_server _aio_server.connection
    _aio_server.calls _aio_server.dispatch _aio_server.clients _aio_server.server
    _aio_server.ending _aio_server.daemon
    _naming _naming.storage _naming.storage.details _naming.storage.memory _naming.storage.files
    _naming.storage.sharing _naming.storage.sqlite
    _naming.storage.journal _naming.storage.dbm
    _naming.storage.etcd _naming.storage.etcd.messages _naming.storage.etcd.target
    _naming.storage.etcd.records
    _naming.storage.etcd.client _naming.storage.etcd.mirror _naming.storage.etcd.follower _naming.storage.etcd.transactions
    _naming.storage.etcd.storage _naming.storage.specs
    _naming.broadcast _naming.capacity _naming.regex_program _naming.regex_sandbox
    _naming.checks _naming.leases _naming.watches _naming.watching _naming.leased_names
    _naming.registry _naming.host_lookup _naming.probe_queue _naming.liveness
    _naming.autoclean _naming.authorization _naming.serving
    _gateway _gateway.calls _gateway.liveness _gateway.events _gateway.responses _gateway.memory
    _gateway.running _gateway.arguments _gateway.options _gateway.schemas
    _gateway.status _gateway.openapi _gateway.object_requests _gateway.app
    _cli _cli.access_options _cli.console _cli.parser _cli.tool_table _cli.completion_scripts
    _cli.progress _cli.registrations
    nameserver nsc
    _aio_server.nameserver aio
    _cli.object_options _cli.server_stats _cli.findings _cli.machine_check _cli.peer_check _cli.etcd_check
    tools tools.serve tools.call tools.inspection tools.doctor tools.key tools.user tools.cert
    tools.configuration tools.completion
    tools.ping tools.stats tools.top
    observe observe.opentelemetry
    utils utils.echoserver utils.httpgateway
    api
    compatibility compatibility.Pyro4
    __main__
""".split()
RANK = {name: rank for rank, name in enumerate(MODULES)}

# Objects that the package itself hands out: importing one of them is importing the module that it stands in.
HOMES = {"config": "configure", "current_context": "callcontext", "__version__": "__init__", "LazyModule": "__init__",
         "NamedTuple": "__init__", "serpent_name": "__init__"}

# Imports that are not at the top of their file, and why; but for import statements, beside which the reason stands.
LATE_IMPORTS = {
    ("_values.classes", "own_class"): "programs may import the serializers alone, and the classes import them",
    ("serializers.base", "register_own"): "the tables of the serializers are in the package, which imports this module",
    ("_values.serpent.slow_writer", "_load"): "serpent may stand beside this package, where it is vendored",
    ("_values.exceptions", "_sqlite_exception_class"): "sqlite3 is large, and few programs have its errors",
    ("api", "__getattr__"): "programs that only call objects do not need the modules of servers",
    ("configure", "main"): "the tool is not loaded by programs",
    ("tools.serve", "_import"): "the user says what to serve",
    ("_cli.tool_table", "load"): "a tool is loaded when it is asked for",
    ("_naming.storage.dbm", "_open"): "what is in a dbm file decides which module reads it",
    ("observe.opentelemetry", "_load"): "the package is optional",
    ("_client.proxy_state", "load_endpoint"): "only clients with callback objects need a daemon",
    ("server", "__getattr__"): "for programs that write Pyro5.server.core and the like",
    ("client", "__getattr__"): "for programs that write Pyro5.client.core and the like",
    ("__init__", "__getattr__"): "config and current_context are loaded when asked for",
    ("__init__", "_submodule"): "submodules are loaded when asked for",
    ("__init__", "_load"): "see LazyModule",
}

# These turn bytes into meaning and meaning into bytes. They must run anywhere: in a thread, a task, a test without a network.
PURE = ("protocol", "_net.polling_policy", "_wire.reader", "_messages.requests",
        "_messages.replies", "_messages.handshake", "_calls.handshakes", "_calls.dispatch", "_calls.plain_calls",
        "_naming.storage.etcd.messages", "_naming.storage.etcd.records")
IMPURE_IMPORTS = {"socket", "ssl", "select", "selectors", "threading", "asyncio", "time"}

# asyncio is loaded when it is needed, and only these know it: all other modules work without an event loop.
OF_ASYNCIO = ("_aio", "_aio_server", "aio", "_calls.async_loop", "_calls.async_streams", "_callbacks.in_loop",
              "_naming.watching")

# The wire format knows no objects: bytes and messages come first, then values, then the serializers.
RANK_OF_PACKAGES = ("_wire", "_values", "serializers", "_messages", "_net", "_client", "_objects", "_calls", "_server",
                    "_processes", "_daemon")

# These import each other: protocol uses the memory of large messages, which is in _wire, and the rest of _wire uses protocol.
IN_A_CIRCLE = {"_wire", "protocol"}

# What stands at the top of the package is public: the modules and packages that the reference documents.
PUBLIC = set("""__init__ __main__ aio api core constants errors configure callcontext client server protocol socketutil typed
                nameserver nsc svr_threads svr_multiplex svr_existingconn serializers observe tools utils
                compatibility""".split())

# A docstring of a function begins with a verb that says what is done: Return, Build, Parse, Register, Send, ...
VAGUE_VERBS = frozenset(("give", "gives", "have", "has", "let", "lets", "take", "takes", "tell", "tells"))
VAGUE_WORDS = re.compile(r"\b(?:nobody|somebody|anybody|everybody|whoever|whatever|so\s+many|such\s+a|in\s+vain|"
                         r"what\s+is\s+due|newcomers?|strangers?|introduc\w+\s+(?:itself|oneself|themselves))\b", re.I)

MAX_FILE_LINES = 450
MAX_BODY_LINES = 40
MAX_NESTING = 3

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)


class Module(NamedTuple):
    name: str
    is_package: bool
    lines: int
    tree: ast.Module
    source: str


def module_name(path: Path) -> str:
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def read_modules() -> List[Module]:
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        modules.append(Module(module_name(path), path.name == "__init__.py", source.count("\n"), ast.parse(source), source))
    return modules


@functools.lru_cache(maxsize=None)
def nodes_of(tree: ast.AST) -> List[ast.AST]:
    """Return all nodes of a module. Most tests look at them, and finding them takes longer than that."""
    return list(ast.walk(tree))


def imported_modules(module: Module, node: ast.ImportFrom) -> Iterator[str]:
    """Yield the names of the package's modules that a relative import means."""
    parts = [] if module.name == "__init__" else module.name.split(".")
    up = node.level - (1 if module.is_package and parts else 0)
    base = parts[:len(parts) - up] + (node.module.split(".") if node.module else [])
    for alias in node.names:
        full = ".".join(base + [alias.name])
        if full in RANK:
            yield full
        elif not base:
            yield HOMES.get(alias.name, full)
        else:
            yield ".".join(base)


def is_in(name: str, prefixes: Tuple[str, ...]) -> bool:
    """Return whether a module is one of these, or in one of these packages."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def comments(source: str) -> str:
    """Return the text of all comments, so that words on successive lines stand side by side; empty without vague words."""
    # Reading the tokens takes most of the time, and few modules have these words.
    if not VAGUE_WORDS.search(re.sub(r"\n[ \t]*#", "\n", source)):
        return ""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT)


def vague_language(module: Module) -> Iterator[str]:
    """Yield what is not plain technical English in the docstrings and comments of a module."""
    for word in VAGUE_WORDS.findall(comments(module.source)):
        yield "%s: '%s' in a comment" % (module.name, word)
    for node in nodes_of(module.tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        text = ast.get_docstring(node) or ""
        owner = module.name + "." + getattr(node, "name", "")
        for word in VAGUE_WORDS.findall(text):
            yield "%s: '%s' in the docstring" % (owner, word)
        first = re.match(r"\w*", text)
        if not isinstance(node, (ast.Module, ast.ClassDef)) and first and first[0].lower() in VAGUE_VERBS:
            yield "%s: the docstring begins with '%s'" % (owner, first[0])


def misplaced_docstrings(module: Module) -> Iterator[str]:
    """Yield the docstrings that begin below their opening quotes, or contain what was meant as a comment."""
    for node in nodes_of(module.tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if (ast.get_docstring(node, clean=False) or "x")[0].isspace():
                yield "%s:%d the docstring begins below its quotes" % (module.name, node.body[0].lineno)
            if re.search(r"^# ", ast.get_docstring(node) or "", re.MULTILINE):
                yield "%s:%d there is a comment in the docstring" % (module.name, node.body[0].lineno)


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in nodes_of(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def body_lines(function: Function) -> int:
    """Count the lines of a function without its head and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def nesting(node: ast.AST) -> int:
    """Count how many blocks stand inside of each other; an elif is no deeper than its if, a nested function starts anew."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or not isinstance(child, ast.AST):
                continue
            is_elif = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If) and len(node.orelse) == 1
            deepest = max(deepest, nesting(child) + (isinstance(child, NESTING) and not is_elif))
    return deepest


def late_imports(tree: ast.AST) -> Iterator[Tuple[str, int]]:
    """Yield (function, line) of everything that imports inside of a function."""
    for function in functions(tree):
        for node in ast.walk(function):
            is_call = isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                "import_module", "__import__")
            if is_call or isinstance(node, (ast.Import, ast.ImportFrom)):
                yield function.name, node.lineno  # type: ignore[attr-defined]


def has_reason(lines: List[str], number: int) -> bool:
    """Return whether a comment stands beside an import, or above it and the imports before it."""
    is_statement = re.compile(r"\s*(import|from)\s")
    if not is_statement.match(lines[number - 1]):
        return False
    above = number - 2
    while is_statement.match(lines[above]):
        above -= 1
    return "#" in lines[number - 1] or lines[above].lstrip().startswith("#")


def is_for_type_checkers_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def top_imported(tree: ast.AST) -> Set[str]:
    """Return the first parts of the names of all modules that are imported absolutely."""
    found: Set[str] = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


class Layers(unittest.TestCase):
    modules: List[Module]

    @classmethod
    def setUpClass(cls) -> None:
        cls.modules = read_modules()

    def check_none(self, problems: List[str]) -> None:
        self.assertFalse(problems, "\n" + "\n".join(problems))

    def test_every_file_has_a_rank(self) -> None:
        self.assertEqual(len(MODULES), len(RANK), "a name stands twice in the table")
        self.check_none(["%s is not in the table of modules" % m.name for m in self.modules if m.name not in RANK])

    def test_every_name_in_the_table_is_a_file(self) -> None:
        self.assertEqual([], sorted(set(MODULES) - {m.name for m in self.modules}))

    def test_private_modules_stand_in_private_packages(self) -> None:
        tops = {m.name.partition(".")[0] for m in self.modules}
        self.assertEqual([], sorted(top for top in tops - PUBLIC if not top.startswith("_")))
        self.assertEqual([], sorted(m.name for m in self.modules if m.name.startswith("_") and "." not in m.name
                                    and not m.is_package and m.name not in PUBLIC))

    def test_private_packages_say_what_they_are(self) -> None:
        unexplained = [m.name for m in self.modules if m.name.startswith("_") and m.is_package and m.name not in PUBLIC
                       and "Start reading at" not in (ast.get_docstring(m.tree) or "") and m.name != "_naming.storage"]
        self.assertEqual([], unexplained)

    def test_imports_point_down(self) -> None:
        problems = []
        for module in self.modules:
            skipped = {id(n) for top in module.tree.body if module.name == "__init__" and is_for_type_checkers_only(top)
                       for n in ast.walk(top)}
            for node in nodes_of(module.tree):
                if not isinstance(node, ast.ImportFrom) or not node.level or id(node) in skipped:
                    continue
                problems += ["%s:%d imports %s" % (module.name, node.lineno, target)
                             for target in sorted(set(imported_modules(module, node)))
                             if RANK.get(target, len(RANK)) >= RANK.get(module.name, -1)]
        self.check_none(problems)

    def test_packages_import_only_packages_of_lower_rank(self) -> None:
        problems = []
        for module in self.modules:
            package = module.name.partition(".")[0]
            if package not in RANK_OF_PACKAGES:
                continue
            higher = RANK_OF_PACKAGES[RANK_OF_PACKAGES.index(package) + 1:]
            problems += ["%s imports %s" % (module.name, target) for node in nodes_of(module.tree)
                         if isinstance(node, ast.ImportFrom) and node.level
                         for target in sorted(set(imported_modules(module, node))) if is_in(target, higher)]
        self.check_none(problems)

    def test_packages_do_not_import_each_other(self) -> None:
        imports: Dict[str, Set[str]] = {}  # by package, or module at the top
        for module in self.modules:
            room = module.name.partition(".")[0]
            if room == "__init__":
                continue  # it names the types of what it loads later
            imports.setdefault(room, set()).update(
                target.partition(".")[0] for node in nodes_of(module.tree) if isinstance(node, ast.ImportFrom) and node.level
                for target in imported_modules(module, node))
        reached: Dict[str, Set[str]] = {}
        for room in imports:
            reached[room], left = set(), {room}
            while left:
                left = {target for each in left for target in imports.get(each, ()) if target != each} - reached[room]
                reached[room] |= left
        self.assertEqual(IN_A_CIRCLE, {room for room, others in reached.items() if room in others})

    def test_imports_within_the_package_are_relative(self) -> None:
        self.check_none(["%s imports Pyro5 by its name" % m.name for m in self.modules if "Pyro5" in top_imported(m.tree)])

    def test_imports_stand_at_the_top(self) -> None:
        found: Dict[Tuple[str, str], int] = {}
        for module in self.modules:
            found.update({(module.name, function): line for function, line in late_imports(module.tree)
                          if not has_reason(module.source.splitlines(), line)})
        self.check_none(["%s:%d imports inside of %s" % (key[0], found[key], key[1])
                         for key in sorted(set(found) - set(LATE_IMPORTS))])
        self.assertEqual([], sorted(set(LATE_IMPORTS) - set(found)), "allowed, but not done any more")

    def test_pure_modules_touch_no_socket_clock_or_thread(self) -> None:
        pure = {m.name: top_imported(m.tree) & IMPURE_IMPORTS for m in self.modules if m.name in PURE}
        self.assertEqual({name: set() for name in PURE}, pure)

    def test_asyncio_is_confined(self) -> None:
        self.check_none(["%s imports asyncio" % m.name for m in self.modules
                         if "asyncio" in top_imported(m.tree) and not is_in(m.name, OF_ASYNCIO)])

    def test_files_are_short(self) -> None:
        self.check_none(["%s has %d lines" % (m.name, m.lines) for m in self.modules if m.lines > MAX_FILE_LINES])

    def test_functions_are_short(self) -> None:
        self.check_none(["%s:%d the body of %s has %d lines" % (m.name, f.lineno, f.name, body_lines(f))
                         for m in self.modules for f in functions(m.tree) if body_lines(f) > MAX_BODY_LINES])

    def test_docstrings_and_comments_are_plain_english(self) -> None:
        self.check_none([problem for m in self.modules for problem in vague_language(m)])

    def test_docstrings_begin_on_their_opening_quotes(self) -> None:
        self.check_none([problem for m in self.modules for problem in misplaced_docstrings(m)])

    def test_functions_are_flat(self) -> None:
        self.check_none(["%s:%d %s nests %d deep" % (m.name, f.lineno, f.name, nesting(f))
                         for m in self.modules for f in functions(m.tree) if nesting(f) > MAX_NESTING])


class Checks(unittest.TestCase):
    """The checks above see what they are there to see."""

    def parse(self, source: str, name: str = "server", is_package: bool = False) -> Module:
        return Module(name, is_package, source.count("\n"), ast.parse(source), source)

    def targets(self, source: str, name: str, is_package: bool = False) -> List[str]:
        module = self.parse(source, name, is_package)
        return [target for node in module.tree.body if isinstance(node, ast.ImportFrom)
                for target in imported_modules(module, node)]

    def test_relative_imports_are_resolved(self) -> None:
        self.assertEqual(["errors", "configure", "callcontext"],
                         self.targets("from . import errors, config, current_context", "client"))
        self.assertEqual(["_values.uri"], self.targets("from ._values.uri import URI", "client"))
        self.assertEqual(["errors"], self.targets("from .. import errors", "_values.classes"))
        self.assertEqual(["errors"], self.targets("from .. import errors", "serializers", is_package=True))
        self.assertEqual(["_values.classes"], self.targets("from . import classes", "_values", is_package=True))
        self.assertEqual(["_values.classes"], self.targets("from ._values import classes", "client"))
        self.assertEqual(["_server.loop"], self.targets("from ._server.loop import Loop", "server"))
        self.assertEqual(["configure"], self.targets("from .configure import global_config", "__init__", is_package=True))

    def test_nesting_is_counted(self) -> None:
        source = ("def f():\n for a in b:\n  if a:\n   pass\n  elif b:\n   with c:\n    pass\n  else:\n   try:\n"
                  "    pass\n   except E:\n    if x:\n     pass\n")
        self.assertEqual(4, nesting(next(functions(ast.parse(source)))))
        self.assertEqual(0, nesting(next(functions(ast.parse("def f():\n def g():\n  if a: pass\n return g\n")))))

    def test_bodies_are_counted_without_docstring(self) -> None:
        self.assertEqual(2, body_lines(next(functions(ast.parse('def f():\n """Doc\n\n text."""\n a()\n b()\n')))))

    def test_late_imports_are_found(self) -> None:
        for statement in ("import ssl", "from . import errors", "importlib.import_module('x')", "__import__('x')"):
            self.assertEqual([("f", 2)], list(late_imports(ast.parse("def f():\n %s\n" % statement))), statement)

    def test_reasons_of_late_imports_are_found(self) -> None:
        for above, line, expected in (("x = 1", "import ssl", False), ("x = 1", "import ssl  # large", True),
                                      ("# large", "import ssl", True), ("# large", "import_module('ssl')", False)):
            self.assertEqual(expected, has_reason([above, "    " + line], 2))
        self.assertTrue(has_reason(["# large", "import ssl", "from . import x"], 3))

    def test_docstrings_below_their_quotes_are_found(self) -> None:
        source = '"""Module."""\n%s f():\n """%sReturn x."""\n'
        for kind in ("class", "def", "async def"):
            self.assertEqual([], list(misplaced_docstrings(self.parse(source % (kind, "")))))
            self.assertEqual(["server:3 the docstring begins below its quotes"],
                             list(misplaced_docstrings(self.parse(source % (kind, "\n ")))))
        self.assertEqual(["server:2 there is a comment in the docstring"],
                         list(misplaced_docstrings(self.parse('class A:\n """Text.\n\n # Comment.\n Text.\n """\n'))))

    def language(self, source: str) -> List[str]:
        return list(vague_language(self.parse(source)))

    def test_vague_verbs_are_found_in_docstrings_of_functions(self) -> None:
        self.assertEqual(["server.f: the docstring begins with 'Give'"], self.language('def f():\n """Give a text."""\n'))
        self.assertEqual([], self.language('def f():\n """Return what f has, without let or hindrance."""\n'))
        self.assertEqual([], self.language('class C:\n """Takes a socket and serves it."""\n'))

    def test_vague_words_are_found_in_docstrings_and_comments(self) -> None:
        self.assertEqual(["server.f: 'such\na' in the docstring"], self.language('def f():\n """Close such\n  a pipe."""\n'))
        self.assertEqual(["server: 'so\nmany' in a comment"], self.language("x = 1  # there are so\n# many of them\n"))
        self.assertEqual(["server.: 'Whoever' in the docstring"], self.language('"""Whoever connects is a client."""\n'))
        self.assertEqual([], self.language('x = "nobody"  # a value such as an address is no comment\n'))

    def test_modules_are_found_in_packages(self) -> None:
        self.assertEqual([True, True, False], [is_in(name, ("_net", "core")) for name in ("_net.tls", "core", "corexx")])


if __name__ == "__main__":
    unittest.main()
