"""The future of a call that runs in the background."""
from __future__ import annotations

import concurrent.futures
import threading
from typing import Any, Callable, Optional


class CallFuture(concurrent.futures.Future):  # type: ignore[type-arg]  # not subscriptable before Python 3.9
    """The result of a call that runs in the background.

    It counts as pending until the reply has come, so that it can be cancelled until then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._decision = threading.Lock()  # guards the change from pending to cancelled or done
        self._is_running = False
        self.cancel_remotely: Optional[Callable[[], None]] = None  # set while the request is at the server

    def running(self) -> bool:
        """Return whether the call is being made now."""
        # Set without the lock, by the thread that makes the call. It only shows the state.
        return self._is_running and not self.done()

    def cancel(self) -> bool:
        """Cancel the call, and return whether it is cancelled: it is not if it has ended.

        A call that was not sent yet is never sent. If the server runs it, the server is told: there,
        ``current_context.cancelled`` is set. (Servers of other releases are not told: the reply is thrown away.)
        """
        with self._decision:
            was_cancelled = self.cancelled()
            if not super().cancel():
                return False
            # Once: waiting threads (as_completed, wait) are notified by this, and a second notification is an error.
            if not was_cancelled:
                self.set_running_or_notify_cancel()
            cancel_remotely, self.cancel_remotely = self.cancel_remotely, None
        if cancel_remotely is not None:
            cancel_remotely()  # outside of the lock: it may start a thread
        return True

    def begin_sending(self, cancel_remotely: Optional[Callable[[], None]]) -> bool:
        """Note that the request is about to be sent.

        Args:
            cancel_remotely: tells the server to cancel it; None if the server cannot do that.

        Returns:
            False if the call is cancelled, and must not be sent.
        """
        with self._decision:
            # Either cancel() was first, and nothing is sent, or it finds the function that cancels on the server.
            self.cancel_remotely = cancel_remotely
            return not self.cancelled()

    def finish(self, result: Any, error: Optional[BaseException]) -> None:
        """Set the outcome; ignored if the call was cancelled."""
        with self._decision:
            self.cancel_remotely = None
            if self.cancelled():
                return
            self.set_running_or_notify_cancel()
        # Outside of the lock, since callbacks of the program run here, which may call cancel().
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)
