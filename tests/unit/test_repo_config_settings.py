"""Every setting is explained, has an effect, and stands on the page of the settings."""

from typing import Any, get_type_hints

import pytest

from cidery.identity.keys import PrivateKey
from cidery.repo import config
from cidery.repo.config_keys import KEYS
from cidery.repo.config_meaning import MEANING
from settings_page import PAGE, PARTS, modules, page, readers, unset_values


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


@pytest.mark.parametrize("name", sorted(name for name, value in unset_values().items() if value in ("true", "false")))
def test_a_switch_that_is_unset_is_what_the_page_says(name: str) -> None:
    identity = config.default_raw(PrivateKey.generate_ed25519(bytes))["Identity"]
    raw: dict[str, Any] = {"Identity": identity}
    *sections, last = name.split(".")
    at = raw
    for section in sections:
        at = at.setdefault(section, {})
    at[last] = unset_values()[name] == "true"
    assert config.parse_config(raw) == config.parse_config({"Identity": identity})
