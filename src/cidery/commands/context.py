"""What an implementation receives along with its Call, and the form of a result of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cidery.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from cidery.commands.definition import Call
    from cidery.core.adding.items import Item
    from cidery.core.api import Api

T = TypeVar("T")


class TimedOut(Unavailable):
    """The time given with --timeout is up."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"timed out after {self.seconds:g} s, as --timeout says"


MAX_WHOLE = 2 << 20
"""Most bytes that an answer holds as a whole, which is less work than sending pieces: those of the largest block."""


class Body(NamedTuple):
    """A result of bytes."""

    chunks: AsyncGenerator[bytes | memoryview, None]
    """The consumer of the iterator closes it (aclose)."""
    length: int | None = None
    """Total bytes; None if not known before the end."""
    media_type: str = ""
    """Overrides the media type of the definition."""
    whole: bytes | memoryview | None = None
    """The same as all of ``chunks``, where it is at hand; of at most MAX_WHOLE bytes."""
    about: int | None = None
    """Most bytes that are to be expected, for progress, where the length is not known."""


def body_of(data: bytes | memoryview) -> Body:
    """A result whose bytes are at hand."""

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        if len(data):
            yield data

    return Body(chunks(), len(data), whole=data if len(data) <= MAX_WHOLE else None)


async def begun(
    make: Callable[[list[T]], AsyncGenerator[bytes | memoryview, None]],
) -> tuple[T, AsyncGenerator[bytes | memoryview, None]]:
    """What is known of a result before its first byte, and the bytes, which come from the same session.

    ``make`` appends to its list what is known, and then yields an empty piece, or ends. Raises as it.
    """
    known: list[T] = []
    chunks = make(known)
    await anext(chunks, None)
    return known[0], chunks


class Caller(Enum):
    """On whose behalf a command runs."""

    HERE = "this process: whatever its user may"
    OWNER = "a caller of the RPC that has shown to be the user of this node"
    ANYBODY = "whatever reaches the RPC"


class RunningCall(NamedTuple):
    """A call of the RPC that runs."""

    call: Call
    began: float
    """Seconds since 1970."""


class Context(NamedTuple):
    """The surroundings of one run."""

    api: Api | None
    """None for commands that need no open repository."""
    path: Path | None = None
    """The repository's directory; None for commands that need none."""
    uploads: AsyncIterator[Item] | None = None
    """The files of a request body, in order; None when file arguments are local paths."""
    stop: Callable[[], None] | None = None
    """Asks the daemon to stop; None outside a daemon."""
    caller: Caller = Caller.HERE
    taken: Callable[[], Awaitable[bytes]] | None = None
    """For a caller that reads the segments of this repository itself: waits until it has taken more of the answer, and
    returns a byte for each range. None: it wants the bytes."""

    running: Callable[[], list[RunningCall]] | None = None
    """What the RPC of the daemon runs; None outside a daemon."""

    @classmethod
    def outside(cls, repo: str) -> Context:
        """For a command that opens no repository; ``repo`` is its directory."""
        from pathlib import Path

        return cls(None, Path(repo))

    @property
    def config_file(self) -> Path:
        assert self.path is not None  # dispatch sets it unless the definition says Repo.NONE
        return self.path / "config"

    @property
    def node(self) -> Api:
        assert self.api is not None  # dispatch opens the repository unless the definition says Repo.NONE or CONFIG
        return self.api
