"""What a job keeps of its command: the words to run it again, and the key under which it is found again."""

import os

from cidery.commands.definition import Call

PASSING = frozenset(("progress", "quiet", "quieter", "silent", "encoding", "timeout", "debug", "stats", "session"))
"""Options that affect what is printed, not what is done."""
LONG = (("add",), ("get",), ("dag", "import"), ("pin", "add"), ("repo", "import-kubo"))
"""Commands that are jobs, and resume when they are run again."""
MAX_WORDS = 64
"""Most words kept of a command: a command with more arguments must be repeated by hand."""


def command_of(call: Call, paths: str = "") -> list[str]:
    """The words after ``cidery`` that repeat the command from any directory; [] if they are too many, or a stream.

    Args:
        paths: the argument that names local files.
    """
    words = list(call.command.path)
    for option in call.command.options:
        if option.name not in call.given:
            continue
        value = call.options[option.name]
        for one in value if isinstance(value, list) else [value]:
            text = str(one).lower() if isinstance(one, bool) else str(one)
            words.append(f"--{option.name}={text}")
    for name, texts in call.arguments.items():
        if not texts and name == paths:
            return []
        words += [_absolute(text) if name == paths else text for text in texts]
    return words if len(words) <= MAX_WORDS and "-" not in words else []


def goes_on(call: Call) -> bool:
    """Whether running the same command again would resume an interrupted one: not for standard input."""
    return call.command.path in LONG and not any(
        texts == ["-"] or (not texts and argument.is_file)
        for argument, texts in ((one, call.arguments[one.name]) for one in call.command.arguments)
    )


def job_key(kind: str, call: Call, paths: str = "") -> str:
    """Equal for equal work: arguments, and options that affect what is done."""
    import hashlib

    options = sorted((name, repr(call.options[name])) for name in call.given if name not in PASSING)
    arguments = [
        (name, [_absolute(text) if name == paths else text for text in texts]) for name, texts in call.arguments.items()
    ]
    return hashlib.sha256(repr((kind, arguments, options)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _absolute(text: str) -> str:
    return text if text == "-" or "://" in text else os.path.abspath(text)
