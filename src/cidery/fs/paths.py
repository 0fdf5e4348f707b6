"""Paths of the file systems: ``CID/a/b``, ``NAME/a/b``, ``/folder/a``. Letters keep their case: old CIDs need it."""

from __future__ import annotations

from cidery.core.reading.content_path import MAX_PATH, PathError


def stripped(text: str, protocol: str) -> str:
    """Without the protocol, ``/ipfs/`` before a CID, and slashes at the ends."""
    path = text
    for prefix in (f"{protocol}://", f"{protocol}:", f"/{protocol}/"):
        if path.startswith(prefix):
            path = path[len(prefix) :]
            break
    return path.strip("/")


def stripped_mutable(text: str) -> str:
    """``/a/b`` of ``cidery:///a/b``, ``cidery://a/b`` and ``a/b``; "" of the root, so that every entry has a parent."""
    path = text
    for prefix in ("cidery://", "cidery:"):
        if path.startswith(prefix):
            path = path[len(prefix) :]
            break
    path = path.strip("/")
    return f"/{path}" if path else ""


def names_of(path: str) -> list[str]:
    """The names in a path; "." and empty ones are dropped. Raises PathError for one that is too long or leads above."""
    if len(path) > MAX_PATH:
        raise PathError(path, f"longer than {MAX_PATH} characters")
    names: list[str] = []
    for name in path.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            if not names:
                raise PathError(path, "'..' leads above the root")
            names.pop()
            continue
        names.append(name)
    return names


def shown(path: str) -> str:
    """For error messages: bounded."""
    return path if len(path) <= 200 else path[:200] + "..."
