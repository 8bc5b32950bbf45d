"""Certificates for TLS: ``python -m Pyro5.tools.cert new FOLDER --host NAME`` makes a private authority, and certificates of
servers and clients. It runs the command ``openssl``.
"""
from __future__ import annotations

import argparse
import ipaddress
import os
import re
import socket
import subprocess
import sys
import tempfile
from typing import List, Optional, Sequence

from .._cli import console
from .._cli.parser import ToolParser

AUTHORITY = "ca"
# Names become file names and parts of arguments of openssl: neither paths nor options.
_NAME = re.compile(r"[^\W_][\w.-]{0,62}\Z")
_HOST = re.compile(r"(\*\.)?[^\W_][\w.-]{0,250}\Z")


def openssl(*arguments: str) -> None:
    """Run the command.

    Raises:
        ValueError: it is not installed, or it failed; the text has its last line.
    """
    try:
        done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, universal_newlines=True)
    except OSError as x:
        raise ValueError("the command openssl is needed for this, and cannot be run (%s): install the package openssl of "
                         "your system" % (x.strerror or x)) from None
    if done.returncode:
        lines = done.stdout.strip().splitlines() or ["no output"]
        raise ValueError("openssl %s failed: %s" % (arguments[0], lines[-1]))  # the last line of the output says what is wrong


class Folder:
    """The files of a private authority.

    Args:
        path: it is created if it does not exist, for this user only.
        days: how long new certificates are valid.
    """

    def __init__(self, path: str, days: int) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)  # keys are in it: only this user can enter
        self.path = path
        self._days = str(days)

    def file(self, name: str) -> str:
        """Return the path of a file."""
        return os.path.join(self.path, name)

    def has(self, name: str) -> bool:
        """Return whether there are a key and a certificate with this name."""
        return os.path.exists(self.file(name + ".key")) and os.path.exists(self.file(name + ".pem"))

    def make_authority(self) -> None:
        """Make the key and the certificate of the authority, unless they exist."""
        if self.has(AUTHORITY):  # a second run adds certificates to the same authority
            return
        self._make_key(AUTHORITY)
        openssl("req", "-x509", "-new", "-key", self.file("ca.key"), "-days", self._days, "-subj", "/CN=Private authority",
                "-out", self.file("ca.pem"), "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def make(self, name: str, usage: str, hosts: Sequence[str]) -> None:
        """Make a key and a certificate that the authority has signed.

        Args:
            usage: serverAuth or clientAuth.
            hosts: names and addresses that it is valid for.

        Raises:
            ValueError: they exist already, or openssl fails.
        """
        if self.has(name):
            raise ValueError("%s exists already" % self.file(name + ".pem"))
        self._make_key(name)
        # Intermediate files are removed, also after an error.
        with tempfile.TemporaryDirectory() as folder:
            request, extensions = os.path.join(folder, "request"), os.path.join(folder, "extensions")
            with open(extensions, "w", encoding="ascii") as file:
                # Each certificate is valid for one purpose: a stolen one of a client cannot imitate a server.
                file.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n"
                           "subjectAltName=%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                           % (usage, ",".join(map(_alternative_name, hosts))))
            openssl("req", "-new", "-key", self.file(name + ".key"), "-subj", "/CN=" + name, "-out", request)
            openssl("x509", "-req", "-in", request, "-days", self._days, "-CA", self.file("ca.pem"),
                    "-CAkey", self.file("ca.key"), "-CAcreateserial",
                    "-CAserial", os.path.join(folder, "serial"), "-extfile", extensions, "-out", self.file(name + ".pem"))

    def _make_key(self, name: str) -> None:
        path = self.file(name + ".key")
        # Created first, for this user only: openssl keeps the mode of a file that exists.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        except BaseException:
            os.unlink(path)  # it is empty, and would be taken for a key
            raise


def _alternative_name(host: str) -> str:
    try:
        return "IP:%s" % ipaddress.ip_address(host)
    except ValueError:
        return "DNS:" + host


def _checked(names: Sequence[str], pattern: "re.Pattern[str]", what: str) -> Sequence[str]:
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not pattern.match(name) or name == AUTHORITY:
                raise ValueError("'%s' cannot be the name of a %s" % (name, what)) from None
    return names


def _run(options: argparse.Namespace) -> None:
    # The names by which a server on this machine is reached, each of them once.
    own_names = list(dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname()]))
    hosts = _checked(options.host or own_names, _HOST, "host")
    clients = _checked(options.client, _NAME, "client")
    openssl("version")  # before anything is created
    folder = Folder(options.folder, options.days)
    folder.make_authority()
    lines: List[str] = []
    # With only --client, an existing server certificate stays.
    if not (options.client and folder.has("server") and not options.host):
        folder.make("server", "serverAuth", hosts)
        lines += ["Servers (valid for %s):" % ", ".join(hosts), "    SSL=1, SSL_SERVERCERT=%s, SSL_SERVERKEY=%s" % (
            folder.file("server.pem"), folder.file("server.key"))]
    for name in clients:
        folder.make(name, "clientAuth", [name])
        lines += ["Client %s, for servers with SSL_REQUIRECLIENTCERT=1 and SSL_CACERTS=%s:" % (name, folder.file("ca.pem")),
                  "    SSL_CLIENTCERT=%s, SSL_CLIENTKEY=%s" % (folder.file(name + ".pem"), folder.file(name + ".key"))]
    console.say(*lines, "All clients:", "    SSL=1, SSL_CACERTS=%s" % folder.file("ca.pem"),
                "Copy only these files to other machines; keep %s secret: it makes further certificates."
                % folder.file("ca.key"))


def make_parser() -> ToolParser:
    """Build the parser of the command line."""
    parser = ToolParser(prog="pyro5 cert", description="Make certificates for TLS with a private authority. "
                                     "Needs the command openssl.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    new = commands.add_parser("new", help="make an authority, a certificate for servers, and certificates for clients",
                              description="Make an authority (unless the folder has one), a certificate for servers, and "
                              "certificates for clients.")
    new.add_argument("folder", help="folder for the files; it is created if it does not exist")
    new.add_argument("-H", "--host", action="append", default=[], metavar="NAME", help="name or address by which clients "
                     "reach the servers; can be given several times (default: localhost and the name of this machine)")
    new.add_argument("--client", action="append", default=[], metavar="NAME", help="also make a certificate for this client; "
                     "can be given several times")
    new.add_argument("--days", type=int, default=825, help="days until the certificates expire (default: %(default)s)")
    return parser


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command line tool; return its exit code."""
    options = make_parser().parse_args(args)
    return console.exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
