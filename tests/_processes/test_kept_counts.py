"""Counts that are kept when a process of a daemon ends."""
from __future__ import annotations

import os
import tempfile
import unittest
from typing import Any, Dict
from unittest import mock

from Pyro5._processes.shared_marks import KeptCounts


def report(calls: int) -> Dict[str, Any]:
    row = {"calls": calls, "errors": 0, "last_error": None, "seconds": 0.5, "buckets": [calls]}
    return {"pid": 1, "since": 5.0, "uptime": 1.0, "objects": {"one": {"run": row}}, "refusals": {"full": 1},
            "bytes": {"received": calls, "sent": 1}, "connections": {"idle": 2, "busy": 0},
            "queue_wait": {"requests": 0, "seconds": 0.0, "buckets": []}}


@unittest.skipUnless(hasattr(os, "fork"), "this system cannot fork")
class KeptCountsTest(unittest.TestCase):
    def kept(self, places: int = 2) -> KeptCounts:
        kept = KeptCounts(places)
        self.addCleanup(kept.close)
        return kept

    def successor(self, kept: KeptCounts) -> Any:
        """Return what a process has that is forked later."""
        found = KeptCounts(0)
        found._files = kept._files
        return found

    def check_two_processes_in_one_place(self) -> None:
        kept = self.kept()
        first, second = self.successor(kept), self.successor(kept)
        self.assertIsNone(kept.read(0))
        for calls in (100000, 100001):
            self.assertEqual(report(calls), first.added(0, report(calls)))
        for calls in (1, 2):
            added = second.added(0, report(calls))
            self.assertEqual(100001 + calls, added["objects"]["one"]["run"]["calls"])
            self.assertEqual({"full": 2}, added["refusals"])
            self.assertEqual({"idle": 2, "busy": 0}, added["connections"])  # of those that run
        self.assertIsNone(kept.read(1))
        kept.close()
        found = kept.read(0)
        assert found is not None
        self.assertEqual({"received": 100003, "sent": 2}, found["bytes"])
        self.assertNotIn("connections", found)

    def test_a_process_continues_the_counts_of_its_predecessor(self) -> None:
        self.check_two_processes_in_one_place()

    def test_without_files_in_memory(self) -> None:
        with mock.patch("os.memfd_create", side_effect=OSError("not allowed"), create=True):
            self.check_two_processes_in_one_place()

    def test_counts_that_were_not_completely_written_are_ignored(self) -> None:
        kept = self.kept()
        self.successor(kept).added(0, report(7))
        size = os.fstat(kept._files[0]).st_size
        os.pwrite(kept._files[0], b"?", size - 3)
        self.assertIsNone(kept.read(0))
        os.ftruncate(kept._files[0], size - 3)
        self.assertIsNone(kept.read(0))
        self.assertEqual(8, self.successor(kept).added(0, report(8))["objects"]["one"]["run"]["calls"])

    def test_a_daemon_works_without_files(self) -> None:
        with mock.patch("os.memfd_create", side_effect=OSError("not allowed"), create=True), \
                mock.patch.object(tempfile, "TemporaryFile", side_effect=FileNotFoundError("no folder")):
            with self.assertLogs("Pyro5.processes", "WARNING") as logged:
                kept = self.kept()
        self.assertIn("not kept when they end: no folder", logged.output[0])
        self.assertEqual(report(3), kept.added(0, report(3)))
        self.assertIsNone(kept.read(0))


if __name__ == "__main__":
    unittest.main()
