"""Stand-ins for what typing and enum have, which are as those to who uses them."""

import copy
import pickle
import typing

import pytest

from cidery.commands.definition import Option, OptionType, Repo
from cidery.commands.definitions.dag import CidLink, DagPut
from cidery.light_types import NamedTuple, TypedDict


class Place(NamedTuple):
    """A place."""

    name: str
    """Of it."""
    floor: int = 0
    rooms: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.name}, {self.floor}"


def test_a_record_is_a_tuple_with_names() -> None:
    place = Place("house", rooms=("a",))
    assert place == ("house", 0, ("a",)) == Place("house", 0, ("a",)) and hash(place) == hash(("house", 0, ("a",)))
    assert (place.name, place.floor, place.rooms, place.shown) == ("house", 0, ("a",), "house, 0")
    name, floor, rooms = place
    assert [name, floor, rooms] == list(place) and Place._fields == ("name", "floor", "rooms")
    assert place._replace(floor=2) == Place("house", 2, ("a",)) and place.floor == 0
    assert repr(place) == "Place(name='house', floor=0, rooms=('a',))"
    assert place._asdict() == {"name": "house", "floor": 0, "rooms": ("a",)}
    match place:
        case Place("house", floor=0):
            pass
        case _:
            raise AssertionError("it does not match")


def test_a_record_is_copied_and_pickled() -> None:
    place = Place("house", 3)
    for same in (copy.copy(place), copy.deepcopy(place), pickle.loads(pickle.dumps(place))):
        assert same == place and type(same) is Place


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("a", 1, (), 4), {}), (("a",), {"nobody": 1}), (("a",), {"name": "b"}), ((), {"floor": 1})],
)
def test_a_record_that_cannot_be_is_refused(values: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="Place"):
        Place(*values, **named)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Place("house").floor = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="no such fields: roof"):
        Place("house")._replace(roof=1)


def test_a_shape_makes_plain_dictionaries_and_tells_its_fields() -> None:
    made = DagPut(Cid=CidLink({"/": "bafy"})) if typing.TYPE_CHECKING else DagPut(Cid={"/": "bafy"})
    assert made == {"Cid": {"/": "bafy"}} and type(made) is dict
    assert issubclass(DagPut, TypedDict) and typing.get_type_hints(CidLink) == {"/": str}


def test_words_are_compared_by_identity() -> None:
    assert list(Repo) == [Repo.NONE, Repo.CONFIG, Repo.READ, Repo.WRITE]
    assert Repo.NONE.name == "NONE" and Repo.NONE.value == "none" and repr(Repo.NONE) == "<Repo.NONE>"
    assert pickle.loads(pickle.dumps(Repo.READ)) is Repo.READ and copy.deepcopy(Repo.READ) is Repo.READ
    assert Option("a", OptionType.BOOL, "b") == ("a", OptionType.BOOL, "b", None, "", (), "", "", False, "")
    match Repo.READ:
        case Repo.NONE | Repo.CONFIG:
            raise AssertionError("it is another")
        case Repo.READ:
            pass
