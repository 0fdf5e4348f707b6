from concurrent.futures import ThreadPoolExecutor

from cidery.spare_buffers import KEPT, LEAST, MOST, SpareBuffers, forget_all

SIZE = 1 << 20


def test_a_buffer_is_lent_again_once_no_view_of_it_exists() -> None:
    spare = SpareBuffers()
    view = spare.take(SIZE)
    whole = view.obj
    part = view[10:20].toreadonly()
    del view
    assert spare.take(SIZE).obj is not whole, "a part of it is still read"
    del part
    assert whole in [spare.take(SIZE).obj for _ in range(2)]


def test_a_smaller_need_gets_a_view_of_its_own_size() -> None:
    spare = SpareBuffers()
    whole = spare.take(SIZE).obj
    again = spare.take(SIZE // 2 + 1)
    assert again.obj is whole
    assert len(again) == SIZE // 2 + 1
    assert not again.readonly


def test_a_much_smaller_need_does_not_occupy_a_large_buffer() -> None:
    spare = SpareBuffers()
    whole = spare.take(SIZE).obj
    assert spare.take(SIZE // 4).obj is not whole


def test_no_more_than_some_buffers_are_remembered() -> None:
    spare = SpareBuffers()
    lent = [spare.take(SIZE) for _ in range(3 * KEPT)]
    lent.clear()
    assert len(spare._known) == KEPT


def test_small_and_very_large_ones_are_not_remembered() -> None:
    spare = SpareBuffers()
    for size in (1, LEAST - 1, MOST + 1):
        assert len(spare.take(size)) == size
    assert not spare._known


def test_those_that_nobody_looks_at_are_given_back_and_the_others_stay_as_they_are() -> None:
    spare, other = SpareBuffers(), SpareBuffers()
    lent = spare.take(SIZE)
    lent[:4] = b"mine"
    other.take(SIZE)
    forget_all()
    assert not spare._known and not other._known
    assert all(spare.take(SIZE).obj is not lent.obj for _ in range(2))
    assert bytes(lent[:4]) == b"mine"


def test_threads_never_share_a_buffer() -> None:
    spare = SpareBuffers()

    def work(mark: int) -> bool:
        for _ in range(300):
            view = spare.take(LEAST)
            view[:64] = bytes([mark]) * 64
            if bytes(view[:64]) != bytes([mark]) * 64:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
