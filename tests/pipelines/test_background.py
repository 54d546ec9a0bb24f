"""Threads beside the computation: bounded, and gone when they are not needed."""

import threading
import time
from collections.abc import Iterator

import pytest

from venhancer_jax.pipelines.background import prefetched


def threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_items_arrive_in_order_and_few_wait():
    computed = []

    def items() -> Iterator[int]:
        for i in range(30):
            computed.append(i)
            yield i

    for i, item in enumerate(prefetched(items(), 3)):
        assert item == i
        assert len(computed) <= i + 1 + 3 + 2
    assert len(computed) == 30 and not threads("prefetch")


def test_computed_in_advance():
    ahead = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        ahead.set()
        yield 1

    fetched = prefetched(items(), 2)
    assert next(fetched) == 0
    assert ahead.wait(5)
    assert list(fetched) == [1]


def test_an_error_is_raised_where_its_item_is_expected():
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for item in prefetched(items(), 8):
            time.sleep(0.01)
            seen.append(item)
    assert seen == [0, 1] and not threads("prefetch")


def test_closing_early_ends_the_thread_and_its_items():
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    fetched = prefetched(endless(), 2)
    next(fetched)
    fetched.close()  # type: ignore[attr-defined]
    assert not threads("prefetch")
    assert closed.wait(1)


def test_one_inside_the_other_both_end():
    fetched = prefetched(prefetched(iter(range(1000)), 2), 2)
    next(fetched)
    fetched.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 2
    while threads("prefetch") and time.monotonic() < end:
        time.sleep(0.01)
    assert not threads("prefetch")
