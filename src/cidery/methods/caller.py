"""What a method needs of its node: somebody who runs a command with typed options and gives back its values."""

from __future__ import annotations

from contextlib import aclosing

from cidery.errors import InvalidInput, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
    from typing import Any, Protocol

    from cidery.methods.sources import Source
    from cidery.multiformats.cid import CID
    from cidery.multiformats.varint import Buffer

    Option = bool | int | float | str | Sequence[str] | None
    """Value of an option: a float is a time in seconds; None is an option that is not given."""
    Value = Mapping[str, Any]
    """One result of a command, as JSON; the TypedDict of its definition says which keys it has."""

    class Caller(Protocol):
        """Runs commands: in this process (commands/in_process.py) or in a daemon (client/calls.py).

        Both raise CideryError. Closing an iterator (aclose) ends the command and frees what it holds.
        """

        def values(
            self, command: str, *arguments: str, body: AsyncIterable[Buffer] | None = None, **options: Option
        ) -> AsyncGenerator[Value, None]:
            """The values of a command, as they come.

            Args:
                command: its name, as "pin ls".
                body: the bytes of its file argument.
                options: by their names with underscores.
            """
            ...

        def chunks(self, command: str, *arguments: str, **options: Option) -> AsyncGenerator[bytes | memoryview, None]:
            """The bytes that a command of Output.BYTES gives."""
            ...

        def added(
            self, source: Source, name: str, *, hidden: bool, ignore: Sequence[str], **options: Option
        ) -> AsyncGenerator[Value, None]:
            """The values of `add` for a file or folder of this machine, bytes, or a stream; ``name``: of the latter."""
            ...


class NotAPath(InvalidInput):
    """An object that names no content."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"a {self.given} does not name content: give a CID, or a path as text"


class NoAnswer(RemoteProtocolError):
    """A command ended without the value that it promises."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command

    def __str__(self) -> str:
        return f"{self.command!r} gave no value; is the daemon of another version?"


class Group:
    """Methods that belong together, as ``node.pin``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _value(
        self, command: str, *arguments: str, body: AsyncIterable[Buffer] | None = None, **options: Option
    ) -> Value:
        """The last value. Raises NoAnswer."""
        last: Value | None = None
        async with aclosing(self._caller.values(command, *arguments, body=body, **options)) as values:
            async for value in values:
                last = value
        if last is None:
            raise NoAnswer(command)
        return last

    async def _done(
        self, command: str, *arguments: str, body: AsyncIterable[Buffer] | None = None, **options: Option
    ) -> None:
        """Run a command that gives nothing."""
        async with aclosing(self._caller.values(command, *arguments, body=body, **options)) as values:
            async for _ in values:
                continue

    async def _bytes(self, command: str, *arguments: str, **options: Option) -> bytes:
        """All bytes that a command gives."""
        async with aclosing(self._caller.chunks(command, *arguments, **options)) as chunks:
            return b"".join([chunk async for chunk in chunks])


def path_text(path: str | CID) -> str:
    """A path as commands take it. Raises NotAPath."""
    if isinstance(path, str):
        return path
    from cidery.multiformats.cid import CID

    if not isinstance(path, CID):
        raise NotAPath(type(path).__name__)
    return str(path)


def option_texts(options: Mapping[str, Option]) -> list[tuple[str, str]]:
    """(name, text) as the command line and the RPC take them."""
    texts: list[tuple[str, str]] = []
    for key, value in options.items():
        name = key.rstrip("_").replace("_", "-")
        match value:
            case None:
                continue
            case bool():
                texts.append((name, "true" if value else "false"))
            case float():
                texts.append((name, f"{value:.9f}s"))
            case int() | str():
                texts.append((name, str(value)))
            case _:
                texts += [(name, one) for one in value]
    return texts


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time such as 2026-01-31T12:00:00Z."""
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
