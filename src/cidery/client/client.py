"""Client: the methods of Node, run in a daemon over its RPC."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cidery.client.address import Endpoint, parse_endpoint
from cidery.client.asynchronous import AsyncAnswer
from cidery.client.blocking import Answer, call
from cidery.client.http1 import BadResponse
from cidery.client.multipart import FILE, Part, Selection, content_type, encode_parts, walk_paths
from cidery.client.resumed_upload import known_files, resume_key
from cidery.core.adding.items import source_of
from cidery.core.diagnosis.text import Finding, Report, report_of
from cidery.core.getting.untar import unpack_tar
from cidery.core.reading.ls import EntryType, LsEntry
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.repo.jobs import Job, JobState

WHY_SHARE = 0.9
"""Fraction of its --timeout that `why` spends looking."""
UPLOAD_BATCH = 1 << 20
"""Bytes of small body pieces sent together: one hop to a thread for many small files."""


class Client:
    """A daemon on this machine. Holds no connection between calls, so it needs no closing.

    Errors of the daemon are raised as RpcError with the daemon's message; DaemonGone when nothing answers.
    """

    def __init__(self, url: str | Endpoint, *, auth: str = "") -> None:
        """Args:
            url: ``/ip4/127.0.0.1/tcp/5001``, ``http://127.0.0.1:5001``, ``127.0.0.1:5001`` or ``/unix/run/sock``.
            auth: a secret of API.Authorizations, as ``bearer:TOKEN`` or ``basic:USER:PASSWORD``.
        Raises:
            BadApiAddress: it is none of these.
        """
        endpoint = parse_endpoint(url) if isinstance(url, str) else url
        self._endpoint = endpoint.with_secret(auth) if auth else endpoint

    async def __aenter__(self) -> Self:
        """Checks that a daemon answers. Raises DaemonGone."""
        await self.peer_id()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def peer_id(self) -> str:
        """The daemon's peer id."""
        async with AsyncAnswer(self._endpoint, ["id"], []) as answer:
            async for value in answer.values():
                return str(value.get("ID", ""))
        raise BadResponse("id gave no value")

    async def add(
        self,
        source: str | os.PathLike[str] | Buffer | AsyncIterable[Buffer],
        *,
        hidden: bool = False,
        wrap: bool = False,
        only_hash: bool = False,
        pin: bool = True,
        name: str = "",
    ) -> CID:
        """As Node.add(); files are read by this process and sent, except those that an interrupted add had sent."""
        boundary = secrets.token_hex(16)
        flags = {"wrap-with-directory": wrap, "only-hash": only_hash, "pin": pin}
        query = [(option, str(value).lower()) for option, value in flags.items()]
        source = source_of(source)
        if isinstance(source, str):
            key = "" if only_hash else resume_key([source], query)
            known = await asyncio.to_thread(known_files, self._endpoint, key) if key else {}
            if key:
                query += [("resume-key", key), ("job-title", os.path.abspath(source)[:200])]
            selection = Selection(recursive=True, hidden=hidden, state_identities=bool(key))
            body = _in_batches(encode_parts(walk_paths([source], selection), boundary, known))
        elif isinstance(source, bytes):
            body = _in_batches(encode_parts(iter([Part(name, FILE, source, len(source))]), boundary))
        else:
            body = _stream_body(source, name, boundary)
        last: str | None = None
        kind = content_type(boundary)
        async with AsyncAnswer(self._endpoint, ["add"], query, body=body, content_type=kind) as answer:
            async for value in answer.values():
                last = value.get("Hash", last)
        if last is None:
            raise BadResponse("add gave no CID")
        return CID.parse(last)

    async def cat(
        self, path: str | CID, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """As Node.cat()."""
        query = [("arg", str(path)), ("offset", str(offset))]
        if length is not None:
            query.append(("length", str(length)))
        async with AsyncAnswer(self._endpoint, ["cat"], query) as answer:
            async for chunk in answer.chunks():
                yield chunk

    async def get(self, path: str | CID, target: str | os.PathLike[str]) -> Path:
        """As Node.get(), but everything is sent again each time."""
        opened: list[Answer] = []

        def receive() -> None:
            with call(self._endpoint, ["get"], [("arg", str(path))]) as answer:
                opened.append(answer)
                for _ in unpack_tar(answer.chunks(), target):
                    continue

        running = asyncio.ensure_future(asyncio.to_thread(receive))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            for answer in opened:
                answer.abort()
            await asyncio.wait([running])
            raise
        return Path(target)

    async def why(self, path: str | CID, *, seconds: float = 10.0) -> Report:
        """As Node.why()."""
        query = [("arg", str(path)), ("timeout", f"{seconds / WHY_SHARE:.3f}s")]
        async with AsyncAnswer(self._endpoint, ["why"], query) as answer:
            found = [Finding(one["Type"], one["Text"], one["Details"]) async for one in answer.values()]
        if not found:
            raise BadResponse("why gave no value")
        return report_of(found)

    async def jobs(self) -> list[Job]:
        """As Node.jobs(); without the details that only the daemon needs to resume them."""
        found: list[Job] = []
        async with AsyncAnswer(self._endpoint, ["jobs"], []) as answer:
            async for value in answer.values():
                found.append(_job(value))
        return found

    async def ls(self, path: str | CID) -> list[LsEntry]:
        """As Node.ls()."""
        entries: list[LsEntry] = []
        async with AsyncAnswer(self._endpoint, ["ls"], [("arg", str(path))]) as answer:
            async for value in answer.values():
                for one in value["Objects"]:
                    entries += [
                        LsEntry(
                            link["Name"],
                            CID.parse(link["Hash"]),
                            link["Size"],
                            EntryType(link["Type"]),
                            link.get("Target") or "",
                        )
                        for link in one["Links"]
                    ]
        return entries


def _job(value: dict[str, Any]) -> Job:
    next_try = value.get("NextTry")
    return Job(
        id=value["ID"],
        kind=value["Kind"],
        title=value["Title"],
        state=JobState(value["State"]),
        started=_seconds(value["Started"]),
        updated=_seconds(value["Updated"]),
        attempts=value["Attempts"],
        blocks=value["Blocks"],
        bytes=value["Bytes"],
        files=value["Files"],
        total=value.get("Total"),
        stage=value.get("Stage", ""),
        error=value.get("Error", ""),
        next_try=None if next_try is None else _seconds(next_try),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


async def _in_batches(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a blocking iterator, read in a thread."""

    def batch() -> bytes | None:
        taken: list[bytes] = []
        size = 0
        for piece in pieces:
            taken.append(piece)
            size += len(piece)
            if size >= UPLOAD_BATCH:
                break
        return (taken[0] if len(taken) == 1 else b"".join(taken)) if taken else None

    while (data := await asyncio.to_thread(batch)) is not None:
        yield data


async def _stream_body(source: AsyncIterable[Buffer], name: str, boundary: str) -> AsyncIterator[bytes]:
    head, end = _frame(name, boundary)
    yield head
    async for chunk in source:
        yield bytes(chunk)
    yield end


def _frame(name: str, boundary: str) -> tuple[bytes, bytes]:
    """The head and tail around the bytes of the only file of a body."""
    *before, line_end, end = encode_parts(iter([Part(name, FILE, b"", 0)]), boundary)
    return b"".join(before), line_end + end
