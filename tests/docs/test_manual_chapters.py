"""More programs as users' documentation prints or describes them: configuration, logging, exceptions, socket pairs."""
from __future__ import annotations

import os
from typing import Iterator

from tests.docs.test_manual import ManualTestCase
from tests.support import run_tool


class ChapterTests(ManualTestCase):
    def test_configuration(self) -> None:
        self.environment.update(PYRO_COMPRESSION="true", PYRO_SERVERTYPE="multiplex")
        out = self.output_of('''
            import Pyro5
            print(Pyro5.config.COMPRESSION, Pyro5.config.SERVERTYPE)
            Pyro5.config.reset(use_environment=False)
            print(Pyro5.config.COMPRESSION, Pyro5.config.SERVERTYPE, len(Pyro5.config.as_dict()) > 30)
            Pyro5.config.COMPRESSION = True
            Pyro5.config.SERVERTYPE = "multiplex"
            Pyro5.config.reset()
            print(Pyro5.config.dump())
        ''')
        lines = out.splitlines()
        self.assertEqual(lines[:2], ["True multiplex", "False thread True"])
        dump, _, changes = run_tool("Pyro5.configure", env=self.environment).out.partition("\n\n")
        self.assertEqual(lines[2:], dump.splitlines())
        self.assertEqual(len(changes.splitlines()), 3)
        self.assertEqual([line.split(":")[0] for line in lines[2:7]],
                         ["Pyro version", "Loaded from", "Python version", "Protocol version",
                          "Currently active global configuration settings"])
        self.assertLessEqual({"COMMTIMEOUT = 0.0", "COMPRESSION = True", "SERVERTYPE = multiplex",
                              "BROADCAST_ADDRS = ['<broadcast>', '0.0.0.0']", "Protocol version: 502"}, set(lines))

    def test_logging(self) -> None:
        program = '''
            import Pyro5.api
            Pyro5.api.Daemon().close()
        '''
        self.output_of('''
            import os
            os.environ["PYRO_LOGFILE"] = "pyro.log"
            os.environ["PYRO_LOGLEVEL"] = "DEBUG"
        ''', program, fresh=True)
        with open(os.path.join(self.directory, "pyro.log")) as file:
            self.assertIn("Pyro5.server", file.read())
        self.assertEqual(self.output_of(program), "")
        out = self.output_of('''
            import logging, sys
            logging.basicConfig(stream=sys.stdout)
            logging.getLogger("Pyro5").setLevel(logging.DEBUG)
            logging.getLogger("Pyro5.core").setLevel(logging.DEBUG)
        ''', program)
        self.assertIn("Pyro5.server", out)

    def test_exceptions(self) -> None:
        (uri,) = self.start("PYRO:", '''
            import Pyro5.api
            Pyro5.config.DETAILED_TRACEBACK = True

            class Divider(object):
                @Pyro5.api.expose
                @Pyro5.api.callback
                def div(self, one, two):
                    return one//two

            daemon = Pyro5.api.Daemon()
            print(daemon.register(Divider))
            daemon.requestLoop()
        ''')
        client = self.write("client", '''
            import sys
            import Pyro5.api
            import Pyro5.errors

            sys.excepthook = Pyro5.errors.excepthook
            divider=Pyro5.api.Proxy(input())
            try:
                result = divider.div(999,0)
            except ZeroDivisionError:
                print("yup, it crashed")
            try:
                result = divider.div(999,0)
            except Exception:
                print("Pyro traceback:")
                print("".join(Pyro5.errors.get_pyro_traceback()))
            divider.div("text",2)
        ''')
        result = run_tool(client, stdin=uri, env=self.environment, cwd=self.directory)
        self.assertEqual(result.exit_code, 1)
        self.assertTrue(result.out.startswith("yup, it crashed\nPyro traceback:\nTraceback (most recent call last):\n"))
        for text, headline in ((result.out, "ZeroDivisionError: "), (result.err, "TypeError: unsupported operand type(s)")):
            self.assertIn("\n" + headline, text)
            self.assertIn("\n +--- This exception occured remotely (Pyro) - Remote traceback:\n", text)
            self.assertIn("\n |     return one//two\n", text)
            self.assertIn("\n |     two = ", text)
            self.assertTrue(text.rstrip().endswith("+--- End of remote traceback"))

    def in_two_processes(self) -> Iterator[str]:
        """Yield programs for the two ways to use a socket pair: with a process and with a thread at the other end."""
        yield '''
            import threading
            other = threading.Thread(target=serve)
            other.start()
            use()
            client_sock.close()
            other.join()
            server_sock.close()
        '''
        if hasattr(os, "fork"):
            yield '''
                import os
                if os.fork() == 0:
                    client_sock.close()
                    serve()
                    server_sock.close()
                    os._exit(0)
                server_sock.close()
                use()
                client_sock.close()
                os.wait()
            '''

    def test_socketpair(self) -> None:
        for way in self.in_two_processes():
            out = self.output_of('''
                import socket
                from Pyro5.api import expose, Daemon, Proxy

                class Echo:
                    @expose
                    def echo(self, message):
                        return message

                server_sock, client_sock = socket.socketpair()

                def serve():
                    with Daemon(connected_socket=server_sock) as daemon:
                        daemon.register(Echo, "echo")
                        daemon.register(Echo(), "other")
                        daemon.requestLoop()

                def use():
                    for name in ("echo", "other", "echo"):
                        with Proxy(name, connected_socket=client_sock) as proxy:
                            print(proxy.echo("through the pair"))
            ''', way)
            self.assertEqual(out, "through the pair\n" * 3)
