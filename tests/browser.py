"""A headless Chromium, driven over a pair of pipes by its own remote protocol (DevTools, in JSON)."""
from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from typing import Any, Dict, List, Optional

from .support import PATIENCE_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
           "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--no-sandbox", "--no-zygote")
FIRST_FREE_FD = 20
# Runs the browser, which talks over descriptors 3 and 4.
MOVE_PIPES = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


def find_chromium() -> Optional[str]:
    return next((path for path in map(shutil.which, NAMES) if path), None)


needs_chromium = unittest.skipUnless(os.name == "posix" and find_chromium(),
                                     "no Chromium is installed (apt-get install chromium)")


class Browser:
    """A browser with one open page; as a context manager, which ends it.

    Attributes:
        problems: what the page complained about: uncaught exceptions, refused content, failed requests.
    """

    def __init__(self) -> None:
        self.problems: List[str] = []
        self._stack = contextlib.ExitStack()
        self._numbers = iter(range(1, 1000000))
        self._answers: Dict[int, queue.Queue[Any]] = {}
        self._start()
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session: Optional[str] = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(domain + ".enable")

    def _start(self) -> None:
        profile = self._stack.enter_context(contextlib.ExitStack())
        directory = tempfile.mkdtemp(prefix="pyro5-browser-")
        profile.callback(shutil.rmtree, directory, ignore_errors=True)
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_FREE_FD) for fd in (their_input, their_output)]
        command = [sys.executable, "-S", "-E", "-c", MOVE_PIPES, *map(str, fds), str(find_chromium()), *OPTIONS,
                   "--user-data-dir=" + directory, "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        for fd in (*fds, their_input, their_output):
            os.close(fd)
        self._output = self._stack.enter_context(os.fdopen(our_output, "wb", buffering=0))
        self._input = self._stack.enter_context(os.fdopen(our_input, "rb"))
        self._session = None
        self._reader = threading.Thread(target=self._read, name="browser")
        self._reader.start()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session = None
        with contextlib.suppress(AssertionError, OSError):
            self._send("Browser.close")
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE_SECONDS)
        self._stack.close()

    def _read(self) -> None:
        rest = b""
        while True:
            data = os.read(self._input.fileno(), 1 << 20)
            if not data:
                for answers in list(self._answers.values()):
                    answers.put({"error": "the browser has ended"})
                return
            *messages, rest = (rest + data).split(b"\0")
            for message in messages:
                self._receive(json.loads(message.decode("utf-8")))

    def _receive(self, message: Dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]].put(message)
        elif message["method"] == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append("%(text)s %(url)s" % {"url": "", **message["params"]["entry"]})

    def _send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._answers[number] = queue.Queue()
        message: Dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._output.write(json.dumps(message).encode("utf-8") + b"\0")
        answer = self._answers[number].get(timeout=PATIENCE_SECONDS)
        del self._answers[number]
        if "error" in answer:
            raise AssertionError("%s: %s" % (method, answer["error"]))
        return answer["result"]

    # ------------------------------------------------------------ the page

    def open(self, url: str) -> None:
        """Go to a url, and wait until the page is there."""
        self._send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href.startsWith(%s)" % json.dumps(url))

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; of a promise, when it has one."""
        result = self._send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in result:
            raise AssertionError("%s\nin %s" % (result["exceptionDetails"]["exception"].get("description"), script))
        return result["result"].get("value")

    def wait_for(self, condition: str) -> Any:
        """Wait until an expression in the page is true, and give its value."""
        with contextlib.suppress(AssertionError):  # the page may be going away just now
            return self._wait_for(condition)
        return self._wait_for(condition)

    def _wait_for(self, condition: str) -> Any:
        return self.run("""new Promise((done, failed) => {
            const until = Date.now() + %d, look = () => {
                let value;
                try { value = %s } catch (error) { value = undefined }
                if (value) done(value);
                else if (Date.now() > until) failed(new Error("it did not come true; the page: " + document.body.innerText));
                else setTimeout(look, 10);
            };
            look();
        })""" % (PATIENCE_SECONDS * 500, condition))

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._send("Input.insertText", text=text)

    def press(self, key: str, **more: Any) -> None:
        """Press a key, such as Enter or ArrowDown."""
        if key == "Enter":
            more["text"] = "\r"
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def look(self, width: int = 1280, height: int = 800, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window, and the colours that the user prefers."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
                   mobile=phone)
        self._send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path: str) -> None:
        """Save what the page looks like, as PNG."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"]))
