"""Reading and writing beside the computation, with bounded queues between them."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetched(items: Iterable[Item], size: int) -> Iterator[Item]:
    """Yields items that a thread of its own computes in advance.

    Args:
      items: items, computed in that thread; an error is raised where its item is expected.
      size: most items that wait.
    """
    waiting: queue.Queue[object] = queue.Queue(size)
    stopped = threading.Event()

    def offer(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not offer(item):
                    return
            offer(_END)
        except BaseException as error:
            offer(_Failure(error))

    thread = threading.Thread(target=fetch, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()


class Background:
    """Runs tasks one after the other in a thread of its own.

    with Background(8) as background:
        background.run(lambda: out.write(frame))

    When the block ends, all tasks are done. After an error of a task the others are dropped, and
    the error is raised at the next call.
    """

    def __init__(self, size: int):
        """Starts without a task.

        Args:
          size: most tasks that wait; `run` blocks beyond.
        """
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="background", daemon=True)

    def __enter__(self) -> "Background":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self._error = self._error or error
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._check()

    def run(self, task: Callable[[], object]) -> None:
        """Adds a task.

        Raises:
          Exception: an earlier task failed.
        """
        self._check()
        self._waiting.put(task)

    def finish(self) -> None:
        """Waits until all tasks are done.

        Raises:
          Exception: a task failed.
        """
        done = threading.Event()
        self._waiting.put(done.set)
        while not done.wait(0.1):
            self._check()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            if self._error is not None:
                continue
            try:
                task()
            except BaseException as error:
                self._error = error


class _Failure:
    def __init__(self, error: BaseException):
        self.error = error
