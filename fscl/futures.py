"""Tasks of a `concurrent.futures.Executor`, some of them submitted at once: local processes and Dask alike."""

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

T = TypeVar("T")


def completed(
    submit: Callable[[T], "Future[Any] | None"], waiting: deque[T], *, at_once: int, tick_seconds: float
) -> Generator[tuple[T, "Future[Any]"] | None]:
    """Yield each task with its future when that is finished, and None after every tick.

    What is submitted and not finished is cancelled when the generator ends early.

    Args:
        submit: starts a task; None where it cannot start yet: it is tried again after the others.
        waiting: the tasks; more may be added while this goes on.
        at_once: tasks that are submitted and not finished, at most.
        tick_seconds: between two looks at what is finished, where nothing is.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor() as executor:
    ...     tasks = completed(lambda n: executor.submit(pow, n, 2), deque([2, 3]), at_once=2, tick_seconds=1)
    ...     sorted(future.result() for task, future in filter(None, tasks))
    [4, 9]
    """
    running: dict[Future[Any], T] = {}
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                if len(running) >= at_once:
                    break
                task = waiting.popleft()
                future = submit(task)
                if future is None:
                    waiting.append(task)
                else:
                    running[future] = task
            if running:
                finished, _ = wait(running, timeout=tick_seconds, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield running.pop(future), future
            else:
                time.sleep(tick_seconds)
            yield None
    finally:
        for future in running:
            future.cancel()
