"""The common contract of Node, open() and Client: one suite that each of these APIs passes.

Spec: the docstrings of cidery.node.node.Node.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from cidery.core.diagnosis.text import Report
from cidery.core.reading.ls import EntryType, LsEntry
from cidery.errors import CideryError
from cidery.multiformats.cid import CID
from cidery.repo.jobs import Job, JobState


class Face(Protocol):
    """The methods that all of them share."""

    async def peer_id(self) -> str: ...

    async def add(
        self, source: str | Path | bytes, *, hidden: bool = False, wrap: bool = False, name: str = ""
    ) -> CID: ...

    def cat(self, path: str | CID, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes | memoryview]: ...

    async def get(self, path: str | CID, target: str | Path) -> Path: ...

    async def ls(self, path: str | CID) -> list[LsEntry]: ...

    async def jobs(self) -> list[Job]: ...

    async def why(self, path: str | CID, *, seconds: float = 10.0) -> Report: ...


def _tree(root: Path) -> Path:
    folder = root / "photos"
    (folder / "2024").mkdir(parents=True)
    (folder / "2024" / "a.jpg").write_bytes(b"a" * 3_000_000)
    (folder / "b.txt").write_bytes(b"b\n")
    (folder / ".hidden").write_bytes(b"h")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("b.txt")
    return folder


async def _read(face: Face, path: str | CID, offset: int = 0, length: int | None = None) -> bytes:
    return b"".join([bytes(chunk) async for chunk in face.cat(path, offset, length)])


async def check_bytes(face: Face) -> None:
    """Bytes come back whole and in parts."""
    data = bytes(range(256)) * 20_000
    cid = await face.add(data)
    assert await _read(face, cid) == data
    assert await _read(face, str(cid), 1_048_570, 20) == data[1_048_570:1_048_590]
    assert await _read(face, f"/ipfs/{cid}", 5_000_000) == data[5_000_000:]
    assert await _read(face, cid, len(data) + 5) == b""
    assert str(await face.add(b"")) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


async def check_folder(face: Face, scratch: Path) -> None:
    """A folder comes back unchanged, without its hidden files unless requested."""
    folder = _tree(scratch)
    cid = await face.add(folder)
    entries = {entry.name: entry for entry in await face.ls(cid)}
    assert list(entries) == ["2024", "b.txt", "empty", "link"]
    assert entries["2024"].type is EntryType.DIRECTORY and entries["b.txt"].size == 2
    assert entries["link"].type is EntryType.SYMLINK and entries["link"].target == "b.txt"
    assert await _read(face, f"{cid}/b.txt") == b"b\n"
    saved = await face.get(cid, scratch / "copy")
    assert (saved / "2024" / "a.jpg").read_bytes() == b"a" * 3_000_000
    assert (saved / "empty").is_dir() and not (saved / ".hidden").exists()
    assert (saved / "link").readlink() == Path("b.txt")
    assert await face.get(cid, scratch / "copy") == saved, "a second get finds everything there"
    everything = await face.add(folder, hidden=True)
    assert ".hidden" in [entry.name for entry in await face.ls(everything)]
    wrapped = await face.add(folder / "b.txt", wrap=True)
    assert [entry.name for entry in await face.ls(wrapped)] == ["b.txt"]


async def check_jobs(face: Face) -> None:
    """Adds are recorded as jobs, newest last."""
    await face.add(b"one more")
    found = await face.jobs()
    assert [job.id for job in found] == sorted(job.id for job in found)
    last = [job for job in found if job.kind == "add"][-1]
    assert last.state is JobState.DONE and (last.bytes, last.files) == (8, 1) and last.started <= last.updated


async def check_why(face: Face) -> None:
    """Stored content is reported as stored, missing content is not."""
    cid = await face.add(b"why me")
    report = await face.why(cid, seconds=5.0)
    assert report.stage == "stored" and "stored here: whole, 1 block, 6 bytes" in str(report)
    assert "pinned: recursive" in str(report)
    absent = CID.parse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
    report = await face.why(f"/ipfs/{absent}", seconds=5.0)
    assert report.stage in ("finding", "absent") and report.advice
    assert [one.kind for one in report.findings][-1] == "Verdict"


async def check_errors(face: Face, scratch: Path) -> None:
    """Invalid arguments give a one-line error, and the API keeps working."""
    cid = await face.add(b"still here")
    for attempt in (
        face.add(scratch / "no such file"),
        _read(face, "not a cid"),
        _read(face, f"{cid}/below/a/file"),
        _read(face, cid, -1),
        face.ls("/ipfs/"),
    ):
        try:
            await attempt
        except CideryError as exc:
            assert str(exc) and "\n" not in str(exc)
        else:
            raise AssertionError("nonsense was accepted")
    assert await _read(face, cid) == b"still here"


async def check_api(face: Face, scratch: Path) -> None:
    """All checks on an open API.

    Args:
        scratch: an empty directory for files.
    """
    assert (await face.peer_id()).startswith("12D3KooW")
    await check_bytes(face)
    await check_folder(face, scratch)
    await check_jobs(face)
    await check_why(face)
    await check_errors(face, scratch)
