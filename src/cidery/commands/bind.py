"""Turns texts into a checked Call, by the same rules for the command line and for RPC queries."""

from __future__ import annotations

from cidery.commands.definition import GLOBAL_OPTIONS, Call, Command, Input, Option, OptionType
from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MAX_ARGUMENTS = 100_000
"""Most arguments of one call: far above what an argv holds; limits what a request can make us keep."""
MAX_TEXT = 1 << 20
"""Longest single argument or option value, in characters."""

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_DURATION = 2.0**33
"""Longest duration, in seconds (about Go's int64 of nanoseconds)."""


class BadCall(InvalidInput):
    """Arguments or options that do not fit the command."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class BadValue(BadCall):
    """A text of the right type that is not one of an option's values."""


def parse_bool(text: str, name: str) -> bool:
    """Go's ParseBool. Raises BadCall."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise BadCall(f"option {name!r} takes true or false, not {text[:40]!r}")


def parse_duration(text: str, name: str) -> float:
    """Seconds of a Go duration, like ``1h30m``, ``300ms``, ``0``. Raises BadCall."""
    if text == "0":
        return 0.0
    import re  # compiling it at each start would cost a millisecond, and few calls have a duration

    part = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
    seconds, at = 0.0, 0
    while match := part.match(text, at):
        seconds += float(match[1]) * _UNIT_SECONDS[match[2]]
        at = match.end()
    if not text or at != len(text) or seconds > MAX_DURATION:
        raise BadValue(f"option {name!r} takes a duration such as 30s, 5m or 1h30m, not {text[:40]!r}")
    return seconds


def parse_lifetime(text: str) -> float:
    """Seconds of a duration that may begin with days, like ``30d`` or ``1d12h``. Raises BadCall."""
    days, _, rest = text.rpartition("d")
    if not days:
        return parse_duration(text, "expire-in")
    if not days.isdecimal() or len(days) > 5:
        raise BadCall(f"option 'expire-in' takes a duration such as 30d, 12h or 1d12h, not {text[:40]!r}")
    return int(days) * 86400.0 + (parse_duration(rest, "expire-in") if rest else 0.0)


def parse_int(text: str, name: str) -> int:
    """A decimal int of 64 bits. Raises BadCall."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit() and len(digits) <= 19 and int(digits) < 1 << 63:
        return int(text)
    raise BadCall(f"option {name!r} takes a whole number, not {text[:40]!r}")


def _parse(option: Option, name: str, texts: list[str]) -> Any:
    if option.type is OptionType.TEXTS:
        return texts
    if len(texts) > 1:
        raise BadCall(f"option {option.name!r} was given more than once")
    text = texts[0]
    if len(text) > MAX_TEXT:
        raise BadCall(f"the value of option {name!r} is longer than {MAX_TEXT} characters")
    if option.choices and text not in option.choices:
        # the form of the answer is no matter of the command: as in Kubo, the request is refused, not the call
        kind = BadCall if option.name == "encoding" else BadValue
        raise kind(f"option {name!r} takes one of {', '.join(option.choices)}, not {text[:40]!r}")
    if option.type is OptionType.BOOL:
        return parse_bool(text, name)
    if option.type is OptionType.INT:
        return parse_int(text, name)
    if option.type is OptionType.DURATION:
        return parse_duration(text, name)
    return text


_TABLES: dict[tuple[str, ...], dict[str, Option]] = {}
"""Path of a command -> its options_by_name(): a daemon binds thousands of calls per second."""


def options_by_name(command: Command | None) -> dict[str, Option]:
    """All names, global ones included; a command's own option hides a global one of the same name. Read-only."""
    path = () if command is None else command.path
    table = _TABLES.get(path)
    if table is None:
        own = () if command is None else command.options
        table = _TABLES[path] = {name: option for option in (*GLOBAL_OPTIONS, *own) for name in option.names}
    return table


def bind(command: Command, arguments: list[str], options: Iterable[tuple[str, str]], *, body: bool = False) -> Call:
    """Check texts against the definition.

    Args:
        options: (any name of the option, text); the caller must have filtered out unknown names.
        body: file arguments come in a request body, so they take none of ``arguments``; surplus ones are ignored.
    Raises:
        BadCall: one line that names the argument or option and says what is allowed.
    """
    known = options_by_name(command)
    texts: dict[str, list[str]] = {}
    for name, text in options:
        texts.setdefault(known[name].name, []).append(text)
    values = {option.name: option.default for option in (*GLOBAL_OPTIONS, *command.options)}
    for name, given in texts.items():
        values[name] = _parse(known[name], name, given)
    return Call(command, _bind_arguments(command, arguments, body), values, frozenset(texts))


def _bind_arguments(command: Command, given: list[str], body: bool) -> dict[str, list[str]]:
    if len(given) > MAX_ARGUMENTS:
        raise BadCall(f"more than {MAX_ARGUMENTS} arguments")
    bound: dict[str, list[str]] = {}
    rest = list(given)
    for argument in command.arguments:
        if argument.is_file and body:
            bound[argument.name] = []
            continue
        take = len(rest) if argument.variadic else 1
        bound[argument.name], rest = rest[:take], rest[take:]
        if not bound[argument.name] and argument.required and argument.input is not Input.FILE_OR_STDIN:
            raise BadCall(f"argument {argument.name!r} is required: {usage(command)}")
        for text in bound[argument.name]:
            if len(text) > MAX_TEXT:
                raise BadCall(f"argument {argument.name!r} is longer than {MAX_TEXT} characters")
            if "\0" in text:
                raise BadCall(f"argument {argument.name!r} contains a NUL character")
    if rest and not body:
        raise BadCall(f"{rest[0][:80]!r} is one argument too many: {usage(command)}")
    return bound


def usage(command: Command) -> str:
    """``cidery pin add <path>... [options]``."""
    parts = ["cidery", *command.path]
    for argument in command.arguments:
        text = f"<{argument.name}>" + ("..." if argument.variadic else "")
        parts.append(text if argument.required else f"[{text}]")
    if command.options:
        parts.append("[options]")
    return " ".join(parts)
