"""Bytes that are filled after they are made."""

import pytest

from cidery.fs import fresh_bytes
from cidery.fs.fresh_bytes import LEAST, Fresh


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("length", [0, 1, LEAST - 1, LEAST, 1 << 20])
def test_what_is_filled_is_what_comes(length: int, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:  # as on an interpreter that is not CPython
        monkeypatch.setattr(fresh_bytes, "_NEW", None)
    content = bytes(range(256)) * (length // 256 + 1)
    room = Fresh(length)
    half = length // 2
    room.view[:half] = content[:half]
    room.view[half:] = content[half:length]
    made = room.done()
    assert made == content[:length] and isinstance(made, bytes)
    assert hash(made) == hash(content[:length])
    with pytest.raises(ValueError, match="released"):
        room.view[:1] = b"x"


def test_each_has_memory_of_its_own() -> None:
    rooms = [Fresh(LEAST) for _ in range(8)]
    for number, room in enumerate(rooms):
        room.view[:] = bytes([number]) * LEAST
    assert [room.done() for room in rooms] == [bytes([number]) * LEAST for number in range(8)]
