"""Every setting is explained, has an effect, and stands on the page of the settings."""

from typing import Any, get_type_hints

import pytest

from cidery.repo import config
from cidery.repo.config_keys import KEYS
from cidery.repo.config_meaning import MEANING
from settings_page import PAGE, PARTS, modules, page, readers


def fields(kind: type[Any], part: str = "") -> list[str]:
    """All fields of Config, with those of its parts, dotted."""
    found = []
    for name, inner in get_type_hints(kind).items():
        found += fields(inner, f"{name}.") if name in PARTS else [part + name]
    return found


def test_every_key_says_what_it_means_in_one_sentence() -> None:
    assert sorted(MEANING) == sorted(KEYS)
    for key, (_, text) in MEANING.items():
        assert text.endswith(".") and len(text) <= 100 and "\n" not in text, key


def test_every_field_of_the_config_is_decided_by_a_key() -> None:
    assert {meaning.field for meaning in MEANING.values()} == set(fields(config.Config))


@pytest.mark.parametrize("part", sorted(PARTS))
def test_the_parts_of_the_config_are_known(part: str) -> None:
    assert get_type_hints(config.Config)[part] is getattr(config, PARTS[part])


def test_every_field_of_the_config_is_read_where_it_has_an_effect() -> None:
    mentioned = modules()
    unread = {field for field in fields(config.Config) if not readers(field, mentioned)}
    assert not unread, "no module reads these: obey them, or take the keys out"


def test_the_page_of_the_settings_is_as_the_definitions_have_it() -> None:
    assert PAGE.read_text() == page(), "run: make settings"
