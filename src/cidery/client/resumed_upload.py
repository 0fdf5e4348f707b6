"""Resumes an interrupted add: sends only the data that the daemon does not have."""

from __future__ import annotations

import os

from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone, RpcError
from cidery.client.blocking import call
from cidery.commands.job_command import PASSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WORTH_BYTES = 8 << 20
"""A single file below this many bytes is sent without asking how much of it the daemon has."""


def resume_key(paths: Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """This machine's name for an add of these paths with these options; "" if it is not worth resuming."""
    if not any(os.path.isdir(path) for path in paths) and sum(map(_size, paths)) < WORTH_BYTES:
        return ""
    import hashlib
    import platform

    what = (platform.node(), [os.path.abspath(path) for path in paths], sorted(query))
    return hashlib.sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def known_files(endpoint: Endpoint, key: str) -> dict[str, int]:
    """Leading bytes of files, by identity, that the daemon has. Blocks. Empty if the daemon knows no jobs.

    Raises DaemonGone.
    """
    try:
        with call(endpoint, ["jobs", "known"], [("arg", key)]) as answer:
            return {value["File"]: value["Bytes"] for value in answer.values()}
    except DaemonGone:
        raise
    except RpcError:
        return {}


def go_on(endpoint: Endpoint, paths: list[str], query: list[tuple[str, str]]) -> tuple[str, dict[str, int]]:
    """The key under which the daemon finds these files again, "" for none, and what it has of them; updates ``query``.

    Raises DaemonGone.
    """
    key = resume_key(paths, [one for one in query if one[0] not in PASSING])
    if not key:
        return "", {}
    query += [("resume-key", key), ("job-title", os.path.abspath(paths[0])[:200])]
    return key, known_files(endpoint, key)
