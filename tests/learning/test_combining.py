"""Which items make a group: small ones wait for one large one at most."""

from dataclasses import dataclass

import pytest

from server.learning.concurrency.combiner import LARGE, Combiner

pytestmark = pytest.mark.one_database


@dataclass(eq=False)
class Thing:
    size: int


def groups(sizes: list[int], most: int = 5 * LARGE) -> list[list[int]]:
    combiner: Combiner = Combiner(lambda group: [], most)
    combiner._waiting = [Thing(size) for size in sizes]
    found = []
    while combiner._waiting:
        found.append([thing.size for thing in combiner._take()])
    return found


def test_a_group_has_one_large_item_and_all_small_ones():
    large, larger = LARGE, 3 * LARGE
    assert groups([1, large, 2, larger, 3]) == [[1, large, 2, 3], [larger]]
    assert groups([larger, large, 1, 2]) == [[larger, 1, 2], [large]]


def test_an_item_that_is_larger_than_a_group_goes_first_and_alone():
    huge = 6 * LARGE
    assert groups([huge, 1, 2]) == [[huge], [1, 2]]
    assert groups([1, huge, 2]) == [[1, 2], [huge]]


def test_small_items_fill_a_group_and_no_more():
    assert groups([2, 2, 2, 1], most=5) == [[2, 2, 1], [2]]
    assert groups([1] * 7, most=3) == [[1] * 3, [1] * 3, [1]]
