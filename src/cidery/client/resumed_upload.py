"""Sending again only what a daemon does not have of an add that was cut off."""

import hashlib
import os
import platform
from collections.abc import Sequence

from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone, RpcError
from cidery.client.blocking import call

WORTH_BYTES = 8 << 20
"""A single file below this many bytes is sent without asking what the daemon has of it."""


def resume_key(paths: Sequence[str], query: Sequence[tuple[str, str]]) -> str:
    """What this machine calls an add of these paths with these options; "" if it is not worth to go on with."""
    if not any(os.path.isdir(path) for path in paths) and sum(map(_size, paths)) < WORTH_BYTES:
        return ""
    what = (platform.node(), [os.path.abspath(path) for path in paths], sorted(query))
    return hashlib.sha256(repr(what).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def known_files(endpoint: Endpoint, key: str) -> dict[str, int]:
    """Bytes from the start of files, by identity, that the daemon has. Blocks. Nothing from one that knows no jobs.

    Raises DaemonGone.
    """
    try:
        with call(endpoint, ["jobs", "known"], [("arg", key)]) as answer:
            return {value["File"]: value["Bytes"] for value in answer.values()}
    except DaemonGone:
        raise
    except RpcError:
        return {}
