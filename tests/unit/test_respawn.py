"""When a worker that ended is replaced."""

from cidery.node.respawn import FIRST_WAIT, LASTED, MAX_WAIT, Respawn


def test_one_that_ends_again_and_again_waits_longer_up_to_a_bound() -> None:
    place, now = Respawn(), 0.0
    waits = []
    for _ in range(12):
        at = place.ended(now, now + 0.5)
        waits.append(round(at - now - 0.5, 6))
        now = at
    assert waits[:3] == [FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT] and waits[-1] == MAX_WAIT


def test_one_that_lasted_is_back_at_once() -> None:
    place = Respawn()
    for _ in range(5):
        place.ended(0.0, 1.0)
    assert place.ended(0.0, LASTED) == LASTED + FIRST_WAIT
