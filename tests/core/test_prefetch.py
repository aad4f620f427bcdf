from __future__ import annotations

import threading

import pytest

from emofuse.core.prefetch import prefetch


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
def test_items_keep_their_order(depth):
    assert list(prefetch(map(str, range(20)), depth)) == [str(k) for k in range(20)]


def test_an_item_is_produced_before_it_is_requested():
    produced = threading.Event()

    def items():
        yield 1
        produced.set()
        yield 2

    found = prefetch(items(), 1)
    assert next(found) == 1
    assert produced.wait(10)
    assert list(found) == [2]


def test_items_are_produced_in_another_thread():
    names = prefetch((threading.current_thread().name for _ in range(2)), 1)
    assert threading.current_thread().name not in set(names)


def test_at_most_depth_items_are_produced_early():
    count = 0

    def items():
        nonlocal count
        while True:
            count += 1
            yield count

    found = prefetch(items(), 2)
    assert [next(found) for _ in range(3)] == [1, 2, 3]
    found.close()
    assert 3 <= count <= 5


def test_at_most_depth_items_are_produced_when_reading_stops_early():
    started: list[int] = []
    found = prefetch((started.append(k) or k for k in range(20)), 2)
    assert next(found) == 0
    found.close()
    assert len(started) <= 4


def test_an_error_is_raised_at_the_position_of_its_item():
    found = prefetch((10 // k for k in [5, 0, 1]), 3)
    assert next(found) == 2
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_the_thread_ends_with_the_generator():
    before = threading.active_count()
    found = prefetch(iter(range(10)), 2)
    next(found)
    found.close()
    assert threading.active_count() == before
