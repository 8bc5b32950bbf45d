"""One test per group of recordings, for both roles."""
from __future__ import annotations


class RecordedGroups:
    """The tests; mixed into a TestCase that says what replaying a group means."""

    def replay(self, group: str) -> None:
        raise NotImplementedError

    def test_connect(self) -> None:
        self.replay("connect")

    def test_calls(self) -> None:
        self.replay("calls")

    def test_types(self) -> None:
        self.replay("types")

    def test_serpent_bytes_repr(self) -> None:
        self.replay("serpent_bytes_repr")

    def test_exceptions(self) -> None:
        self.replay("exceptions")

    def test_access(self) -> None:
        self.replay("access")

    def test_oneway(self) -> None:
        self.replay("oneway")

    def test_batch(self) -> None:
        self.replay("batch")

    def test_stream(self) -> None:
        self.replay("stream")

    def test_proxies(self) -> None:
        self.replay("proxies")

    def test_annotations(self) -> None:
        self.replay("annotations")

    def test_compression(self) -> None:
        self.replay("compression")

    def test_ping_and_limits(self) -> None:
        self.replay("ping_and_limits")

    def test_daemon_object(self) -> None:
        self.replay("daemon_object")

    def test_nameserver(self) -> None:
        self.replay("nameserver")

    def test_unixsocket_and_existing(self) -> None:
        self.replay("unixsocket_and_existing")
