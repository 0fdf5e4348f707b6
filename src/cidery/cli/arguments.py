"""Splits the command line into command, arguments and options. Options may stand anywhere."""

from __future__ import annotations

from cidery.commands.bind import BadCall, options_by_name
from cidery.commands.definition import Command, Option, OptionType
from cidery.commands.registry import find, subcommands, suggest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from cidery.light_types import NamedTuple


class Line(NamedTuple):
    """A split command line."""

    command: Command | None
    """None: a group, or nothing, was named."""
    group: tuple[str, ...]
    """Words of the group when command is None."""
    arguments: list[str]
    options: list[tuple[str, str]]
    """(any name of the option, text)."""

    def has(self, *names: str) -> bool:
        return any(name in names and text != "false" for name, text in self.options)

    def last(self, *names: str) -> str | None:
        return next((text for name, text in reversed(self.options) if name in names), None)


def split(argv: list[str]) -> Line:
    """Split the words after the program's name.

    Raises:
        UnknownCommand: the first words name no command.
        BadCall: an unknown option (with the nearest one), or one without its value.
    """
    words: list[str] = []
    options: list[tuple[str, str]] = []
    rest = list(reversed(argv))
    literal: list[str] = []
    while rest:
        token = rest.pop()
        if token == "--":
            literal = list(reversed(rest))
            break
        if token == "-" or not token.startswith("-"):
            words.append(token)
            continue
        found = find(words)
        options += _read_option(token, rest, found.command if found else None, words)
    found = find(words)
    if found is not None:
        return Line(found.command, (), words[found.words :] + literal, options)
    if words and not subcommands(words):
        raise suggest(words)
    return Line(None, tuple(words), literal, options)


def _read_option(token: str, rest: list[str], command: Command | None, words: list[str]) -> list[tuple[str, str]]:
    """One token of options; takes a value from ``rest`` (reversed) if necessary."""
    known = options_by_name(command)
    if token.startswith("--"):
        name, equals, text = token[2:].partition("=")
        option = known.get(name)
        if option is None or len(name) == 1:
            raise _unknown(token.partition("=")[0], known, words)
        return [(name, text if equals else _value(option, token, rest))]
    name, equals, text = token[1:].partition("=")
    if equals and len(name) > 1 and name in known:
        return [(name, text)]  # Go's programs take long names behind one dash, too
    read: list[tuple[str, str]] = []
    letters = token[1:]
    while letters:
        name, letters = letters[0], letters[1:]
        option = known.get(name)
        if option is None:
            raise _unknown(f"-{name}", known, words)
        if letters.startswith("="):
            return [*read, (name, letters[1:])]
        if option.type is not OptionType.BOOL:
            return [*read, (name, letters or _value(option, f"-{name}", rest))]
        read.append((name, "true"))
    return read


def _value(option: Option, token: str, rest: list[str]) -> str:
    if option.type is OptionType.BOOL:
        return "true"
    if not rest:
        raise BadCall(f"option {token!r} needs a value: {option.help.lower()}")
    return rest.pop()


def _unknown(token: str, known: dict[str, Option], words: list[str]) -> BadCall:
    """Raises UnknownCommand where the words before the option name nothing that has options."""
    from difflib import get_close_matches

    found = find(words)
    if found is None and words and not subcommands(words):
        raise suggest(words)
    line = " ".join(["cidery", *(words if found is None else words[: found.words])])
    near = get_close_matches(token.lstrip("-"), [name for name in known if len(name) > 1], n=1, cutoff=0.6)
    hint = f"did you mean --{near[0]}?" if near and token.startswith("--") else f"see: {line} --help"
    return BadCall(f"unknown option {token[:60]!r} for {line!r}; {hint}")
