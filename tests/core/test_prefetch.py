from __future__ import annotations

import threading

import pytest

from emofuse.core.prefetch import ahead


def test_items_come_in_their_order_and_are_made_before_they_are_asked_for():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    found = ahead(items(), 1)
    assert next(found) == 1
    assert made.wait(10)
    assert list(found) == [2]


def test_no_more_are_made_than_asked_for():
    count = 0

    def items():
        nonlocal count
        while True:
            count += 1
            yield count

    found = ahead(items(), 2)
    assert [next(found) for _ in range(3)] == [1, 2, 3]
    found.close()
    assert 3 <= count <= 5


def test_an_error_is_raised_in_its_place():
    def items():
        yield 1
        raise ValueError("no more")

    found = ahead(items(), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_its_thread_ends_with_it():
    before = threading.active_count()
    found = ahead(iter(range(10)), 2)
    next(found)
    found.close()
    assert threading.active_count() == before
