import gc
import weakref

import pytest

from cidery.node import heap


class Ring:
    """Garbage that only the cycle collector finds."""

    def __init__(self) -> None:
        self.self = self


def test_survivors_of_a_long_pass_are_set_aside_and_those_of_a_short_one_are_not() -> None:
    now, step = 0.0, heap.SHORT_PASS / 2

    def clock() -> float:
        nonlocal now
        now += step
        return now

    try:
        with heap.short_passes(clock):
            aside = gc.get_freeze_count()
            kept = [Ring() for _ in range(100)]
            gc.collect()
            assert gc.get_freeze_count() <= aside
            step = 2 * heap.SHORT_PASS
            gc.collect()
            assert gc.get_freeze_count() >= aside + len(kept)
    finally:
        gc.unfreeze()


def test_a_visit_finds_what_became_garbage_while_it_was_set_aside() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    try:
        heap.visit()
        del ring
        gc.collect()
        assert gone() is not None
        heap.visit()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_nothing_is_set_aside_after_the_context() -> None:
    callbacks = list(gc.callbacks)
    with heap.short_passes():
        assert len(gc.callbacks) == len(callbacks) + 1
    assert gc.callbacks == callbacks
    gc.unfreeze()


def test_the_c_library_can_be_told_to_give_back_what_was_freed() -> None:
    trim = heap._trimmer()
    if trim is None:
        pytest.skip("not glibc")
    trim()
    assert heap._resident() > 1024 * 1024
