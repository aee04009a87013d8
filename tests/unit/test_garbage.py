"""How garbage is collected while streams are served."""

import gc
from collections.abc import Iterator

import pytest

from avatar_service import garbage


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Node:
    """May be part of a cycle."""

    other: "Node | None" = None


def test_what_start_up_made_is_not_looked_at_again() -> None:
    kept = Node()
    assert any(thing is kept for thing in gc.get_objects())
    garbage.settle()
    assert not any(thing is kept for thing in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_cycles_that_are_made_later_are_still_collected() -> None:
    garbage.settle()
    node = Node()
    node.other = Node()
    node.other.other = node
    del node
    assert gc.collect() >= 2
    assert gc.get_threshold()[0] == garbage.NEW_OBJECTS
