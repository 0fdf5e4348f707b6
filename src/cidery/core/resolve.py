"""Paths to content: ``CID``, ``CID/a/b``, ``/ipfs/CID/a/b``, ``ipfs://CID/a/b``."""

from dataclasses import dataclass
from urllib.parse import unquote

from cidery.core.drive import run
from cidery.core.sources import BlockSession
from cidery.errors import InvalidInput
from cidery.multiformats.cid import CID, CIDError
from cidery.unixfs.reader import resolve_path

MAX_PATH = 16_384
"""Longest path accepted, in characters: four times PATH_MAX of Linux, for percent-encoded ones."""


class PathError(InvalidInput):
    """Text that is not a path to content."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(given, reason)
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a path to content: {self.reason}"


@dataclass(frozen=True, slots=True)
class ContentPath:
    """A root and the names below it; no ".", ".." or empty ones among them."""

    root: CID
    segments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last name, or the CID: what a copy is called by default."""
        return self.segments[-1] if self.segments else str(self.root)

    def __str__(self) -> str:
        return "/".join(("/ipfs", str(self.root), *self.segments))


def parse_path(text: str) -> ContentPath:
    """Parse the text forms above; URIs are percent-decoded. Raises PathError with what to write instead."""
    if len(text) > MAX_PATH:
        raise PathError(text, f"longer than {MAX_PATH} characters")
    rest = text
    scheme, colon, after = text.partition(":")
    if colon and scheme in ("ipfs", "ipns"):
        rest = f"/{scheme}/" + unquote(after.removeprefix("//"), errors="surrogateescape")
    if rest.startswith("/ipns/"):
        raise PathError(text, "names (/ipns/) cannot be resolved yet; use the CID they point to")
    if rest.startswith("/") and not rest.startswith("/ipfs/"):
        raise PathError(text, "it must begin with a CID or /ipfs/CID")
    first, *names = rest.removeprefix("/ipfs/").split("/")
    if not first:
        raise PathError(text, "it names no CID; write /ipfs/CID/path")
    try:
        root = CID.parse(first)
    except CIDError as exc:
        raise PathError(text, str(exc)) from exc
    segments: list[str] = []
    for name in names:
        if name in ("", "."):
            continue
        if name == "..":
            if not segments:
                # "a path that goes above the root MUST be rejected": https://specs.ipfs.tech/unixfs/
                raise PathError(text, "'..' leads above the root")
            segments.pop()
            continue
        if "\0" in name:
            raise PathError(text, "it contains a NUL")
        segments.append(name)
    return ContentPath(root, tuple(segments))


async def resolve(path: str | CID | ContentPath, session: BlockSession) -> CID:
    """The CID that a path leads to; one block per name. Raises PathError, NoSuchEntry, NotADirectory and as get()."""
    if isinstance(path, CID):
        return path
    parsed = parse_path(path) if isinstance(path, str) else path
    if not parsed.segments:
        return parsed.root
    return await run(resolve_path(parsed.root, parsed.segments), session)
