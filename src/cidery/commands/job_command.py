"""What a job keeps of the command that began it: the words to run it again, and the key by which it is found again."""

import os

from cidery.commands.definition import Call

PASSING = frozenset(("progress", "quiet", "quieter", "silent", "encoding", "timeout", "debug", "stats", "session"))
"""Options that change what is printed, not what is done."""
LONG = (("add",), ("get",), ("dag", "import"), ("pin", "add"), ("repo", "import-kubo"))
"""Commands that are jobs, and go on where they stopped when they are given again."""
MAX_WORDS = 64
"""Most words kept of a command: what has more arguments is repeated by hand."""


def command_of(call: Call, paths: str = "") -> list[str]:
    """The words after ``cidery`` that do the same again from any directory; [] if they are too many, or a stream.

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
    """Whether the same command again goes on with this one, had it been cut off: not from standard input."""
    return call.command.path in LONG and not any(
        texts == ["-"] or (not texts and argument.is_file)
        for argument, texts in ((one, call.arguments[one.name]) for one in call.command.arguments)
    )


def job_key(kind: str, call: Call, paths: str = "") -> str:
    """The same for the same work: arguments, and options that change what is done."""
    import hashlib

    options = sorted((name, repr(call.options[name])) for name in call.given if name not in PASSING)
    arguments = [
        (name, [_absolute(text) if name == paths else text for text in texts]) for name, texts in call.arguments.items()
    ]
    return hashlib.sha256(repr((kind, arguments, options)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _absolute(text: str) -> str:
    return text if text == "-" or "://" in text else os.path.abspath(text)
