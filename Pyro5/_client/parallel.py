"""Ask many servers at the same time, for a limited time."""
from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Callable, Dict, Iterable, Set, Tuple, TypeVar

T = TypeVar("T")


def ask_all(keys: Iterable[str], ask: Callable[[str], T], seconds: float,
            threads: int = 8) -> Tuple[Dict[str, T], Dict[str, str]]:
    """Call a function for each key, in several threads.

    Args:
        ask: may raise; its own time limit should not be longer than this one.
        seconds: until those that have not answered are left out.
        threads: how many may be asked at the same time.

    Returns:
        key -> result, and key -> reason for those without.
    """
    found: Dict[str, T] = {}
    missing: Dict[str, str] = {}
    is_over = threading.Event()

    def ask_in_time(key: str) -> T:
        if is_over.is_set():
            raise TimeoutError("there was no time to ask the server")
        return ask(key)

    late: Set[Any] = set()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="Pyro5 asking")
    try:
        futures: Dict[Future[T], str] = {pool.submit(ask_in_time, key): key for key in keys}
        late = wait(futures, seconds).not_done
    finally:
        is_over.set()
        # Threads that still wait for a server end by their own time limit.
        pool.shutdown(wait=not late)
    for future, key in futures.items():
        error = TimeoutError("the server has not answered yet") if future in late else future.exception()
        if error is None:
            found[key] = future.result()
        else:
            missing[key] = str(error)
    return found, missing
