"""Pauses between attempts: what a server asks for is limited."""
from __future__ import annotations

import time
import unittest
from typing import List

from Pyro5 import errors
from Pyro5._aio.waiting import repeat, until_not_busy
from Pyro5._client.retry import MIN_BUSY_SECONDS, Retry, RetryBudget

SECONDS = 0.05


class BusyPauses(unittest.IsolatedAsyncioTestCase):
    retry_after = 0.0

    def setUp(self) -> None:
        self.attempts: List[float] = []

    async def be_busy(self) -> None:
        self.attempts.append(time.monotonic())
        raise errors.BusyError("busy", retry_after=self.retry_after)

    async def test_a_server_cannot_ask_for_attempts_without_a_pause(self) -> None:
        for self.retry_after in (-1.0, 0.0, float("nan")):
            with self.subTest(self.retry_after):
                self.attempts.clear()
                with self.assertRaises(errors.BusyError):
                    await until_not_busy(self.be_busy, time.monotonic() + SECONDS)
                self.assertIn(len(self.attempts), range(1, int(SECONDS / MIN_BUSY_SECONDS) + 2))

    async def test_retries_pause_too(self) -> None:
        for self.retry_after in (-1.0, float("nan")):
            with self.subTest(self.retry_after):
                self.attempts.clear()
                with self.assertRaises(errors.BusyError):
                    await repeat(self.be_busy, Retry(attempts=2), RetryBudget(), lambda: True, None)
                first, second = self.attempts
                self.assertGreaterEqual(second - first, MIN_BUSY_SECONDS / 2)

    async def test_a_pause_beyond_the_deadline_is_not_begun(self) -> None:
        self.retry_after = 1e9
        with self.assertRaises(errors.BusyError):
            await until_not_busy(self.be_busy, time.monotonic() + SECONDS)
        self.assertEqual(1, len(self.attempts))


if __name__ == "__main__":
    unittest.main()
