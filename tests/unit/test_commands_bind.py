"""Definitions, the registry and the checks that CLI and RPC share."""

import re

import pytest

from cidery.cli.fronts import front_of, implementation_of
from cidery.commands.bind import BadCall, bind, parse_duration
from cidery.commands.definition import BY_COMMAND_LINE, Output, Where
from cidery.commands.help import ROOMS, UNLISTED
from cidery.commands.job_command import goes_on
from cidery.commands.registry import SUMMARIES, all_commands, find, first_words, suggest


def _command(*words: str):  # type: ignore[no-untyped-def]
    found = find(words)
    assert found is not None
    return found.command


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name)
def test_each_definition_is_complete(command) -> None:  # type: ignore[no-untyped-def]
    assert command.summary and not command.summary.endswith(".")
    assert command.example.startswith(("cidery ", "(")), "every command shows an example that works"
    names = [name for option in command.options for name in option.names]
    assert len(names) == len(set(names))
    assert all(not argument.variadic for argument in command.arguments[:-1])
    assert command.text is not None or command.output in (Output.BYTES, Output.NOTHING)
    assert re.match(r"cidery\.(commands|core)\.|$", command.run), "a definition names nothing in a layer above"
    if command.run == BY_COMMAND_LINE:
        assert command.where is Where.CLIENT
    if command.path != ("help",):  # the first thing the command line looks for
        assert front_of(command) is not None or callable(implementation_of(command))
    summary = SUMMARIES.get(command.name)
    assert summary in (None, command.summary), "--help lists it with the summary of its definition"


def test_the_help_lists_each_first_word_once() -> None:
    listed = [word for _, words in ROOMS for word in words]
    assert sorted([*listed, *UNLISTED]) == sorted(first_words()) and set(listed) <= set(SUMMARIES)


def test_the_longest_path_wins_and_the_rest_are_arguments() -> None:
    found = find(["swarm", "addrs", "listen"])
    assert found is not None and found.command.path == ("swarm", "addrs", "listen")
    found = find(["refs", "bafy"])
    assert found is not None and found.command.path == ("refs",) and found.words == 1
    found = find(["stats", "repo"])
    assert found is not None and found.command.path == ("repo", "stat")
    assert find(["swarm"]) is None and find([]) is None


def test_a_mistyped_command_gets_the_nearest_name() -> None:
    assert "did you mean 'swarm peers'" in str(suggest(["swam", "peers"]))
    assert "cidery help" in str(suggest(["zzzzzz"]))
    assert "did you mean" not in str(suggest(["tar", "add"])), "what is alike is only the second word"


def test_defaults_are_filled_in_and_options_found_by_any_name() -> None:
    call = bind(_command("add"), ["x"], [("q", "true"), ("cid-version", "1")])
    assert call.flag("quiet") and call.flag("pin") and not call.flag("only-hash")
    assert call.number("cid-version") == 1 and call.given == {"quiet", "cid-version"}


@pytest.mark.parametrize(
    ("words", "arguments", "options", "reason"),
    [
        (("add",), ["x"], [("q", "true"), ("quiet", "true")], "more than once"),
        (("add",), ["x"], [("pin", "perhaps")], "true or false"),
        (("cat",), ["x"], [("offset", "1.5")], "whole number"),
        (("cat",), ["x"], [("offset", "9" * 19)], "whole number"),
        (("cat",), ["x"], [("timeout", "3 years")], "duration"),
        (("pin", "ls"), [], [("type", "odd")], "one of all, direct"),
        (("cat",), [], [], "'path' is required"),
        (("ping",), ["a", "b"], [], "one argument too many"),
        (("cat",), ["a\0b"], [], "NUL"),
        (("version",), ["x"], [], "too many"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    words: tuple[str, ...], arguments: list[str], options: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(BadCall) as caught:
        bind(_command(*words), arguments, options)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_durations_are_read_as_go_writes_them() -> None:
    read = [parse_duration(text, "timeout") for text in ("1h30m", "300ms", "1.5s", "0", "2m0.5s")]
    assert read == [5400.0, 0.3, 1.5, 0.0, 120.5]


@pytest.mark.parametrize(
    ("words", "arguments", "expected"),
    [
        (("add",), ["photos"], True),
        (("add",), ["-"], False),
        (("add",), [], False),
        (("dag", "import"), ["site.car"], True),
        (("dag", "import"), [], False),
        (("get",), ["bafkqaaa"], True),
        (("cat",), ["bafkqaaa"], False),
    ],
)
def test_a_long_command_says_whether_it_can_be_gone_on_with(
    words: tuple[str, ...], arguments: list[str], expected: bool
) -> None:
    assert goes_on(bind(_command(*words), arguments, [])) is expected
