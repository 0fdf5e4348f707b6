"""Paths to content as text: ``CID``, ``CID/a/b``, ``/ipfs/CID/a/b``, ``ipfs://CID/a/b``. Nothing is resolved here."""

from __future__ import annotations

from typing import NamedTuple

from cidery.errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.multiformats.cid import CID

MAX_PATH = 16_384
"""Longest path accepted, in characters: four times PATH_MAX of Linux, for percent-encoded ones."""


class PathError(InvalidInput):
    """Text that is not a content path."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(given, reason)
        self.given = given
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a path to content: {self.reason}"


class ContentPath(NamedTuple):
    """A root and the names below it; no ".", ".." or empty ones among them."""

    root: CID
    segments: tuple[str, ...] = ()
    namespace: str = "ipfs"
    """"ipfs", or "ipld": every block is read as a plain value of its codec."""

    @property
    def name(self) -> str:
        """The last name, or the CID: the default name of a copy."""
        return self.segments[-1] if self.segments else str(self.root)

    def __str__(self) -> str:
        return "/".join(("", self.namespace, str(self.root), *self.segments))


def parse_path(text: str) -> ContentPath:
    """Parse the text forms above; URIs are percent-decoded. Raises PathError, which says what to write instead."""
    from cidery.multiformats.cid import CID, CIDError

    namespace, first, segments = _split(text)
    try:
        root = CID.parse(first)
    except CIDError as exc:
        raise PathError(text, str(exc)) from exc
    return ContentPath(root, segments, namespace)


def _split(text: str) -> tuple[str, str, tuple[str, ...]]:
    """(namespace, CID as text, names below it). Raises PathError."""
    if len(text) > MAX_PATH:
        raise PathError(text, f"longer than {MAX_PATH} characters")
    rest = text
    scheme, colon, after = text.partition(":")
    if colon and scheme in ("ipfs", "ipns"):
        rest = f"/{scheme}/" + _unquote(after.removeprefix("//"))
    if rest.startswith("/ipns/"):
        raise PathError(text, "it is a name; a path of content is needed here: cidery name resolve prints it")
    namespace = "ipld" if rest.startswith("/ipld/") else "ipfs"
    if rest.startswith("/") and not rest.startswith(f"/{namespace}/"):
        raise PathError(text, "it must begin with a CID or /ipfs/CID")
    first, *names = rest.removeprefix(f"/{namespace}/").split("/")
    if not first:
        raise PathError(text, "it names no CID; write /ipfs/CID/path")
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
    return namespace, first, tuple(segments)


def _unquote(text: str) -> str:
    from urllib.parse import unquote  # only URIs need it, and it costs as much as the rest of a short command

    return unquote(text, errors="surrogateescape")


def name_path(text: str) -> str | None:
    """``/ipns/NAME/rest`` of a path or URI with a name; None for all other text."""
    scheme, colon, after = text.partition(":")
    if colon and scheme == "ipns":
        return "/ipns/" + _unquote(after.removeprefix("//"))
    return text if text.startswith("/ipns/") else None


def last_name(text: str) -> str:
    """The default name of a copy of a path's content; the CID is not checked. Raises PathError."""
    path = name_path(text)
    if path is None:
        _, root, segments = _split(text)
        return segments[-1] if segments else root
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return parts[-1] if len(parts) > 1 else "root"
