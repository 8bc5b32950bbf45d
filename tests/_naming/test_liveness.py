"""Asking servers whether they are there and what they have: real daemons, and sockets that behave badly."""
from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import threading
import unittest
from typing import Any, Callable, Dict, List, Tuple
from unittest import mock

from Pyro5 import config, errors
from Pyro5._auth import files
from Pyro5._naming import liveness
from Pyro5._naming.liveness import Answer, Prober, Question
from Pyro5._objects import exposure
from Pyro5._values.uri import URI
from Pyro5.serializers import serializers
from Pyro5.server import Daemon, DaemonObject
from tests.peers import CERTIFICATES, Peer, ScriptedServer
from tests.support import daemon_thread, with_longer_times

PATIENCE_SECONDS = 60.0
THERE = Answer(None, frozenset())


@exposure.expose
class Thing:
    """Something to be registered."""


def free_uri() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return "PYRO:x@127.0.0.1:%d" % sock.getsockname()[1]


class ProbingTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(config.__dict__.update, config.as_dict())
        self.prober = self.make()

    def make(self, **kwargs: Any) -> Prober:
        prober = Prober(**kwargs)
        self.addCleanup(prober.close)
        return prober

    def ask(self, *uris: Any) -> List[Answer]:
        """Ask about each uri's own object; give the answers in that order."""
        questions = [Question(URI(uri), frozenset([str(URI(uri).object)])) for uri in uris]
        answers = dict(self.prober.ask(questions))
        self.assertEqual(set(answers), set(questions))
        return [answers[question] for question in questions]

    def serve(self, daemon: Any) -> Any:
        running = daemon_thread(daemon)
        running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)
        return daemon

    def play(self, script: Callable[[Peer], Any]) -> Answer:
        """Ask a scripted server."""
        with ScriptedServer(script) as server:
            return self.ask("PYRO:x@%s" % server.location)[0]


class DaemonTests(ProbingTestCase):
    def test_objects_that_are_there_and_that_are_not(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            daemon = self.serve(Daemon("127.0.0.1"))
            uri = daemon.register(Thing(), "here")
            question = Question(uri, frozenset(["here", "gone", "lost", "Pyro.Daemon"]))
            self.assertEqual(list(self.prober.ask([question])), [(question, Answer(None, frozenset(["gone", "lost"])))])

    def test_servers_that_want_a_key(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            config.AUTH_KEY_FILE = os.path.join(folder, "lab.key")
            files.create(config.AUTH_KEY_FILE, files.new_key())
            guarded = self.serve(Daemon("127.0.0.1"))
            uris = [guarded.register(Thing()), guarded.uriFor("gone")]
            self.assertEqual([THERE, Answer(None, frozenset(["gone"]))], self.ask(*uris))
            config.AUTH_KEY_FILE = ""
            with self.assertLogs("Pyro5.server.dispatch", "WARNING"):
                self.assertEqual([None, None], [answer.failure for answer in self.ask(*uris)])  # it says that it is there
            open_to_all = self.serve(Daemon("127.0.0.1"))
            config.AUTH_KEY_FILE = os.path.join(folder, "lab.key")
            self.assertEqual([THERE], self.ask(open_to_all.register(Thing())))

    def test_every_serializer(self) -> None:
        daemon = self.serve(Daemon("127.0.0.1"))
        for serializer in serializers:
            config.SERIALIZER = serializer
            self.assertEqual(self.ask(daemon.register(Thing()), daemon.uriFor("gone")),
                             [THERE, Answer(None, frozenset(["gone"]))])

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_unix_sockets(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            daemon = self.serve(Daemon(unixsocket=os.path.join(directory, "s")))
            answers = self.ask(daemon.register(Thing(), "here"), daemon.uriFor("gone"), "PYRO:x@./u:%s/none" % directory,
                               "PYRO:x@./u:/%s" % ("long" * 200))
            self.doCleanups()
        self.assertEqual(answers[:2], [THERE, Answer(None, frozenset(["gone"]))])
        self.assertEqual(answers[2].failure, os.strerror(errno.ENOENT))
        self.assertRegex(str(answers[3].failure), "too long")

    def test_objects_that_appear_when_they_are_asked_for(self) -> None:
        class Lazy(DaemonObject):
            def get_metadata(self, objectId: str) -> Dict[str, Any]:
                if objectId == "lazy":
                    self.daemon.register(Thing(), "lazy")
                return super().get_metadata(objectId)

        exposure.expose(Lazy)
        daemon = self.serve(Daemon("127.0.0.1", interface=Lazy))
        self.assertEqual(self.ask(daemon.uriFor("lazy"))[0], THERE)

    def test_a_daemon_that_tells_nothing_is_there(self) -> None:
        @exposure.expose
        class Mute:
            def __init__(self, daemon: Any) -> None:
                """It needs no daemon."""

            def ping(self) -> None:
                """The only method."""

        class Refusing(Daemon):
            def validateHandshake(self, conn: Any, data: Any) -> Any:
                raise errors.SecurityError("who are you?")

        mute, refusing = self.serve(Daemon("127.0.0.1", interface=Mute)), self.serve(Refusing("127.0.0.1"))
        self.assertEqual(self.ask(mute.uriFor("x"), refusing.uriFor("x")), [THERE, THERE])

    def test_tls(self) -> None:
        config.SSL = True
        config.SSL_SERVERCERT = os.path.join(CERTIFICATES, "server.pem")
        config.SSL_SERVERKEY = os.path.join(CERTIFICATES, "server.key")
        daemon = self.serve(Daemon("localhost"))
        config.SSL_CACERTS = os.path.join(CERTIFICATES, "ca.pem")
        self.assertEqual(self.ask(daemon.register(Thing(), "here"), daemon.uriFor("gone")),
                         [THERE, Answer(None, frozenset(["gone"]))])
        config.SSL_CACERTS = ""
        self.assertEqual(self.ask(daemon.uriFor("gone")), [THERE])  # not trusted, so not believed
        config.SSL = False
        self.assertEqual(self.ask(daemon.uriFor("gone")), [THERE])


class BadServerTests(ProbingTestCase):
    def test_nothing_listens(self) -> None:
        answers = self.ask(free_uri(), "PYRO:x@no..such..host:1")
        self.assertEqual(answers[0].failure, os.strerror(errno.ECONNREFUSED))
        self.assertRegex(str(answers[1].failure), "no..such..host")

    def test_the_second_address_of_a_host_counts_too(self) -> None:
        daemon = self.serve(Daemon("127.0.0.1"))
        port = daemon.sock.getsockname()[1]
        with mock.patch.object(liveness.addresses, "resolve_host", return_value=[
                (socket.AF_INET, ("127.0.0.2", 0)), (socket.AF_INET, ("127.0.0.1", 0))]) as resolve:
            self.assertEqual(self.ask("PYRO:Pyro.Daemon@host:%d" % port, "PYRO:x@host:%d" % port),
                             [THERE, Answer(None, frozenset(["x"]))])
            self.assertEqual(resolve.call_count, 1)

    def test_one_that_is_no_pyro_server(self) -> None:
        self.assertEqual(self.play(lambda peer: peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")), THERE)

    def test_one_that_hangs_up(self) -> None:
        self.assertEqual(self.play(lambda peer: None), THERE)
        self.assertEqual(self.play(lambda peer: peer.read()), THERE)

    def test_nonsense(self) -> None:
        for listed in (None, 5, [["x"]], "x", {"x": 1}, SystemExit("no"), KeyboardInterrupt(), StopIteration()):
            def script(peer: Peer, listed: Any = listed) -> None:
                peer.welcome(["registered"])
                request = peer.read_call()
                if isinstance(listed, BaseException):
                    peer.fail(request, listed)
                else:
                    peer.answer(request, listed)
                with contextlib.suppress(EOFError):
                    peer.read()

            self.assertEqual(self.play(script), THERE, repr(listed))

    def test_one_that_is_silent(self) -> None:
        """It does not delay the others, and it counts as there: it accepts connections."""
        config.COMMTIMEOUT = 0.05
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(5)
            self.assertEqual(self.ask("PYRO:x@127.0.0.1:%d" % listener.getsockname()[1]), [THERE])

    def test_no_connection_in_time(self) -> None:
        config.COMMTIMEOUT = 0.05

        silent, other = socket.socketpair()
        self.addCleanup(silent.close)
        self.addCleanup(other.close)

        def connect(candidates: Any) -> Any:
            yield silent, liveness.selectors.EVENT_READ

        with mock.patch.object(liveness, "_connect", connect):
            self.assertEqual(self.ask(free_uri()), [Answer("timed out", frozenset())])

    def test_trouble_of_this_machine_says_nothing_about_the_others(self) -> None:
        for error in (OSError(errno.EMFILE, "too many"), socket.gaierror(socket.EAI_AGAIN, "no answer"), ValueError("?")):
            with mock.patch.object(liveness.socket, "socket", side_effect=error), self.assertLogs("Pyro5.probing", "WARNING"):
                self.assertEqual(self.ask("PYRO:x@127.0.0.1:1"), [THERE])


class TalkativeServerTests(ProbingTestCase):
    def test_one_that_always_has_more_to_say(self) -> None:
        """It is never waited for, and has a time limit all the same."""
        config.COMMTIMEOUT = 0.2
        sent: List[int] = []

        def talk(peer: Peer) -> None:
            peer.welcome()
            text = "x" * 1000000
            with contextlib.suppress(OSError, EOFError):
                while len(sent) < 300:
                    peer.answer(peer.read_call(), [text])
                    sent.append(1)
        with ScriptedServer(talk) as server:
            uri = URI("PYRO:x@%s" % server.location)
            question = Question(uri, frozenset("id%d" % number for number in range(300)))
            self.assertEqual([(question, THERE)], list(self.prober.ask([question])))
        self.assertLess(len(sent), 300)


class ManyObjectsTests(ProbingTestCase):
    ids = frozenset("gone%03d" % number for number in range(25))

    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.object(liveness, "REQUESTS_AT_ONCE", 10)
        patch.start()
        self.addCleanup(patch.stop)

    def ask_about_all(self, script: Callable[[Peer], Any]) -> List[str]:
        """Ask a scripted server about all objects, after it said that it has none; give those that it does not know."""
        def play(peer: Peer) -> None:
            peer.welcome(["registered", "get_metadata"])
            peer.answer(peer.read_call(), [])
            with contextlib.suppress(EOFError, OSError):
                script(peer)

        with ScriptedServer(play) as server:
            [(_, answer)] = self.prober.ask([Question(URI("PYRO:x@%s" % server.location), self.ids)])
        self.assertIsNone(answer.failure)
        return sorted(answer.unknown)

    def refuse(self, peer: Peer, request: Any) -> None:
        peer.fail(request, errors.DaemonError("unknown object"))

    def test_real_servers(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            daemon = self.serve(Daemon("127.0.0.1"))
            question = Question(daemon.register(Thing(), "here"), self.ids | {"here"})
            self.assertEqual(list(self.prober.ask([question])), [(question, Answer(None, self.ids))])

    def test_many_are_asked_for_before_the_first_answer(self) -> None:
        """However long the way is, it is not gone once for each object."""
        def script(peer: Peer) -> None:
            for count in (10, 10, 5):
                for request in [peer.read_call() for _ in range(count)]:
                    self.refuse(peer, request)

        self.assertEqual(self.ask_about_all(script), sorted(self.ids))

    def test_what_was_found_out_in_time_counts(self) -> None:
        now = 1000.0
        self.prober = self.make(clock=lambda: now)

        def script(peer: Peer) -> None:
            nonlocal now
            for _ in range(10):
                self.refuse(peer, peer.read_call())
            peer.read_call()  # sent only after all of these answers have been read
            now += liveness.USUAL_SECONDS
            self.prober._wakeup.wake()
            while True:
                peer.read()

        self.assertEqual(self.ask_about_all(script), sorted(self.ids)[:10])

    def test_answers_to_other_questions_do_not_count(self) -> None:
        def script(peer: Peer) -> None:
            self.refuse(peer, peer.read_call())
            peer.read_call()
            self.refuse(peer, peer.read_call())
            while True:
                peer.read()

        self.assertEqual(self.ask_about_all(script), ["gone000"])

    def test_too_many_for_a_list(self) -> None:
        for servertype in ("thread", "multiplex"):
            config.SERVERTYPE = servertype
            daemon = self.serve(Daemon("127.0.0.1"))
            uris = [daemon.register(Thing(), "thing%d" % number + 90 * "-") for number in range(40)]
            question = Question(uris[0], self.ids | {str(uri.object) for uri in uris[:5]})
            with mock.patch.object(liveness, "REPLY_BYTES", 3000):
                self.assertEqual(list(self.prober.ask([question])), [(question, Answer(None, self.ids))])


class SilentNameServiceTests(ProbingTestCase):
    """The name service says nothing about some hosts, until the test is over."""

    def setUp(self) -> None:
        super().setUp()
        self.over = threading.Event()
        self.looked_up: List[str] = []
        self.asked = threading.Semaphore(0)
        real = liveness.addresses.resolve_host

        def resolve(address: Any, *args: Any) -> Any:
            if address[0].startswith("slow"):
                self.looked_up.append(address[0])
                self.asked.release()
                self.over.wait(PATIENCE_SECONDS)
                raise socket.gaierror(socket.EAI_NONAME, "not known")
            return real(address, *args)

        patch = mock.patch.object(liveness.addresses, "resolve_host", resolve)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.end_lookups)

    def end_lookups(self) -> None:
        self.over.set()
        for thread in threading.enumerate():
            if thread.name == "Pyro5 host lookup":
                thread.join(PATIENCE_SECONDS)

    def test_others_are_asked_meanwhile(self) -> None:
        now = 1000.0
        self.prober = self.make(clock=lambda: now)
        living = self.serve(Daemon("127.0.0.1")).uriFor("gone")
        uris = [URI("PYRO:x@slow%d:%d" % (number % 5, number + 1)) for number in range(20)] + [living]
        answers = []
        with self.assertLogs("Pyro5.probing", "WARNING") as logged:
            for question, answer in self.prober.ask([Question(uri, frozenset(["gone"])) for uri in uris]):
                now += liveness.USUAL_SECONDS  # after the first answer
                answers.append((question.uri, answer))
        self.assertEqual(answers, [(living, Answer(None, frozenset(["gone"])))] + [(uri, THERE) for uri in uris[:-1]])
        self.assertIn("no answer yet for the host 'slow", logged.output[0])
        self.end_lookups()
        self.assertEqual(self.ask(uris[0])[0].failure, "not known")  # what came in the meantime
        self.assertEqual(sorted(self.looked_up), ["slow0", "slow1", "slow2", "slow3", "slow4"])

    def test_stop(self) -> None:
        answered: List[Any] = []
        question = Question(URI("PYRO:x@slow:1"), frozenset())
        asking = threading.Thread(target=lambda: answered.extend(self.prober.ask([question])))
        asking.start()
        self.assertTrue(self.asked.acquire(timeout=PATIENCE_SECONDS))
        self.prober.stop()
        asking.join(PATIENCE_SECONDS / 2)
        self.assertFalse(asking.is_alive())
        self.assertEqual(answered, [])
        self.prober.close()
        self.end_lookups()  # the result comes when no thread waits for it any more


class ManyTests(ProbingTestCase):
    def test_many_at_once(self) -> None:
        """All silent ones are waited for at the same time, and all answers come."""
        with_longer_times(self.check_many)

    def check_many(self, factor: float) -> None:
        config.COMMTIMEOUT = 0.2 * factor
        daemon = self.serve(Daemon("127.0.0.1"))
        with contextlib.ExitStack() as at_end:
            silent = []
            for _ in range(2 * liveness.SERVERS_AT_ONCE):
                listener = at_end.enter_context(socket.socket())
                listener.bind(("127.0.0.1", 0))
                listener.listen(5)
                silent.append("PYRO:x@127.0.0.1:%d" % listener.getsockname()[1])
            answers = self.ask(*silent, free_uri(), daemon.uriFor("gone"))
        self.assertEqual(answers[:-2], [THERE] * len(silent))
        self.assertIsNotNone(answers[-2].failure)
        self.assertEqual(answers[-1], Answer(None, frozenset(["gone"])))

    def test_silent_ones_delay_no_others(self) -> None:
        """A living and a dead server behind many silent ones are answered for before the time of any of these is up."""
        with_longer_times(self.check_silent_ones)

    def check_silent_ones(self, factor: float) -> None:
        with contextlib.ExitStack() as at_end:
            prober = at_end.enter_context(contextlib.closing(Prober()))
            silent = []
            for _ in range(30):
                listener = at_end.enter_context(socket.socket())
                listener.bind(("127.0.0.1", 0))
                listener.listen(5)
                silent.append("PYRO:x@127.0.0.1:%d" % listener.getsockname()[1])
            at_end.enter_context(mock.patch.object(liveness, "SERVERS_AT_ONCE", 10))
            at_end.enter_context(mock.patch.object(liveness, "PROMPT_SECONDS", 0.05 * factor))
            config.COMMTIMEOUT = 0.2 * factor
            others = {str(self.serve(Daemon("127.0.0.1")).uriFor("gone")), free_uri()}
            questions = [Question(URI(uri), frozenset(["gone"])) for uri in [*silent, *sorted(others)]]
            for _ in range(2):
                answers = [(str(question.uri), answer) for question, answer in prober.ask(questions)]
                self.assertEqual(others, {uri for uri, _ in answers[:2]})
                self.assertEqual([THERE] * 30, [answer for _, answer in answers[2:]])
            asked_last = answers[-1][0]
            with mock.patch.object(liveness, "ROUND_SECONDS", 0.0):  # no time for slow ones
                self.assertEqual(others, {str(question.uri) for question, _ in prober.ask(questions)})
            with mock.patch.object(liveness, "ROUND_SECONDS", 0.1 * factor):  # for some: those that were asked longest ago
                some = [str(question.uri) for question, _ in prober.ask(questions)]
            self.assertLessEqual(len(others), len(some))
            self.assertLess(len(some), 32)
            self.assertNotIn(asked_last, some)

    @unittest.skipUnless(hasattr(socket, "AF_UNIX"), "this system has no Unix domain sockets")
    def test_many_that_have_their_answers_at_once(self) -> None:
        answers = self.ask(*("PYRO:x@./u:/no/such/folder/%d" % number for number in range(3 * liveness.SERVERS_AT_ONCE)))
        self.assertEqual({answer.failure for answer in answers}, {os.strerror(errno.ENOENT)})

    def test_no_questions(self) -> None:
        self.assertEqual(self.ask(), [])

    def test_stop(self) -> None:
        answered: List[Tuple[Question, Answer]] = []
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(5)
            listener.settimeout(PATIENCE_SECONDS)
            uri = URI("PYRO:x@127.0.0.1:%d" % listener.getsockname()[1])
            asking = threading.Thread(target=lambda: answered.extend(self.prober.ask([Question(uri, frozenset())])))
            asking.start()
            connection, _ = listener.accept()
            with connection:
                self.prober.stop()
                asking.join(PATIENCE_SECONDS)
                self.assertFalse(asking.is_alive())
                connection.settimeout(PATIENCE_SECONDS)
                while connection.recv(1000):
                    continue  # what was sent before; then the connection is closed
        self.assertEqual(answered, [])
        self.assertEqual(list(self.prober.ask([Question(uri, frozenset())])), [])


if __name__ == "__main__":
    unittest.main()
