"""Every name of every command leads to it."""

import pytest

from cidery.commands.registry import all_commands, find

NAMES = [(path, command.path) for command in all_commands() for path in (command.path, *command.aliases)]


@pytest.mark.parametrize(("name", "path"), NAMES, ids=lambda words: " ".join(words))
def test_each_name_of_a_command_leads_to_it(name: tuple[str, ...], path: tuple[str, ...]) -> None:
    found = find(list(name))
    assert found is not None and found.words == len(name) and found.command.path == path
