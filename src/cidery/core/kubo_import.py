"""Importing a Kubo repository: keys, blocks, files left in place, pins, mutable files, names, config.

The source is only read. Every step can be repeated: what is already here is skipped. Blocks come before pins, so a
pin never names blocks that are not here yet; an interrupted import leaves verified, unpinned blocks for the next run.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

from cidery.core.api import Api
from cidery.core.kubo_blocks import BlockCounts, import_blocks, import_references
from cidery.core.reading.ls import ls
from cidery.core.session import BlockSession
from cidery.errors import CideryError
from cidery.ipns.name import format_name
from cidery.ipns.record import IpnsRecord, IpnsRecordError
from cidery.kubo.config_map import map_config
from cidery.kubo.leveldb import LevelDb, LevelDbTooLarge, NoLevelDb, read_file
from cidery.kubo.leveldb_format import LevelDbError
from cidery.kubo.repository import (
    KuboPin,
    KuboRepository,
    RecordDamaged,
    has_old_pins,
    mfs_root,
    pins,
    published_names,
)
from cidery.mfs.changes import copy_in
from cidery.mfs.path import ROOT, FilePath
from cidery.mfs.tree import AlreadyThere
from cidery.multiformats.cid import CID
from cidery.namesys.publisher import LIFETIME
from cidery.repo.config import parse_config
from cidery.repo.config_file import MAX_CONFIG_BYTES, Changing, ConfigError, Raw, parse_json, read_raw, write_raw
from cidery.repo.gc.mark import NOT_STORED, Mark, MarkFault, MarkTooWide
from cidery.repo.keystore import BadKeyName, KeyDamaged, KeyExists, Keystore
from cidery.repo.layout import RepoLayout
from cidery.repo.names import OWN
from cidery.repo.pins import MAX_NAME, Pin

PIN_PAGE = 512
"""Pins written in one transaction: each waits for the disk."""
MAX_NAMES = 10_000
"""Published names taken over: each is a record that must be signed and republished regularly."""
MAX_FOLDERS = 100
"""Names tried for the directory that receives Kubo's mutable files."""


@dataclass(slots=True)
class ImportReport:
    """The outcome of an import."""

    blocks: BlockCounts = field(default_factory=BlockCounts)
    pins: int = 0
    """New or changed keys."""
    pins_present: int = 0
    keys: int = 0
    keys_present: int = 0
    names: int = 0
    """Published names that this node republishes from now on."""
    names_present: int = 0
    mfs: str = ""
    """Where Kubo's mutable files are now; "" if it had none."""
    settings: int = 0
    """Config keys that were copied."""
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One line about something that was done, or failed (then ``fault``)."""

    text: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to import besides the data."""

    config: bool = True
    identity: bool = False
    """Take over the identity of the source. Two running nodes with one identity harm each other."""
    command: tuple[str, ...] = ()
    """The command line that repeats the import, for `jobs resume`."""
    key: str = ""
    """The key by which an interrupted job is found again."""


class KuboImport:
    """One import into an open node. ``report`` may be read at any time."""

    def __init__(self, api: Api, source: KuboRepository, options: ImportOptions) -> None:
        self._api = api
        self._source = source
        self._options = options
        self.report = ImportReport()
        self._mark = Mark(api.store.collector())  # for reading only: nothing is collected

    async def run(self) -> AsyncGenerator[Said | None, None]:
        """Yields a line for each step done; None: some more blocks were found.

        A fault in the source is a line with ``fault``, and the import continues.
        Raises as the store and the state. Cancellation: safe; the next run resumes.
        """
        path, options = str(self._source.path), self._options
        async for said in self._keys():
            yield said
        details = {"command": list(options.command)}
        async with self._api.jobs.run("import", path, key=options.key, details=details) as job:
            job.stage = "blocks"
            # Closed explicitly, not by the garbage collector: their threads must not outlive the operation.
            async with aclosing(import_blocks(self._source, self._api.store, self.report.blocks)) as pages:
                async for faults in pages:
                    for text in faults:
                        yield self._fault(text)
                    job.blocks, job.bytes = self.report.blocks.seen, self.report.blocks.bytes
                    job.tick()
                    yield None
            job.stage = "pins and mutable files"
            async with aclosing(self._from_database()) as steps:
                async for step in steps:
                    yield step
        if self._options.config or self._options.identity:
            for said in await asyncio.to_thread(lambda: list(self._config())):
                yield said

    def _fault(self, text: str) -> Said:
        self.report.faults += 1
        return Said(text, fault=True)

    # -- records ---------------------------------------------------------------------------------------------------

    async def _from_database(self) -> AsyncGenerator[Said | None, None]:
        try:
            with await asyncio.to_thread(self._source.database) as database:
                for text in database.warnings:
                    yield self._fault(f"datastore: {text}")
                found = import_references(self._source, database, self._api.blocks, self.report.blocks)
                async with aclosing(found) as pages:
                    async for faults in pages:
                        for text in faults:
                            yield self._fault(text)
                        yield None
                await self._api.store.sync()
                async with aclosing(self._pins(database)) as said, aclosing(self._mutable_files(database)) as more:
                    async for one in said:
                        yield one
                    async for one in more:
                        yield one
                async with aclosing(self._names(database)) as said:
                    async for one in said:
                        yield one
        except (CideryError, OSError) as exc:
            if not _is_of_source(exc):
                raise
            yield self._fault(f"pins and mutable files may be incomplete: {exc}")

    async def _pins(self, database: LevelDb) -> AsyncGenerator[Said, None]:
        records = pins(database)
        while page := await asyncio.to_thread(lambda: list(islice(records, PIN_PAGE))):
            found = [one for one in page if isinstance(one, KuboPin)]
            for one in page:
                if isinstance(one, RecordDamaged):
                    yield self._fault(str(one))
            sizes = await self._api.blocks.size_many([one.cid for one in found])
            for one, size in zip(found, sizes, strict=True):
                if size is None:
                    yield self._fault(f"pin {one.cid}: its block is missing; it is pinned all the same")
                if len(one.name.encode("utf-8", "replace")) > MAX_NAME:
                    yield self._fault(f"pin {one.cid}: its name is over {MAX_NAME} bytes; it is pinned without one")
            await self._write_pins(found)
            for text in await asyncio.to_thread(self._holes, [one.cid for one in found if one.recursive]):
                yield self._fault(text)
        if await asyncio.to_thread(has_old_pins, database):
            yield self._fault("pins of before go-ipfs 0.8 were found and not read; start a newer Kubo on it once")

    def _holes(self, roots: list[CID]) -> list[str]:
        """The blocks below these pins that are missing, or whose links cannot be read; each once. Blocks."""
        mark = self._mark
        known = len(mark.faults)
        mark.push(roots, strict=True)
        try:
            while mark.step():
                continue
        except MarkTooWide as exc:
            mark.stack.clear()
            return [f"whether all that is pinned is here was not looked at to the end: {exc}"]
        tops = set(roots)
        return [
            f"below a pin, {fault}" for fault in mark.faults[known:] if fault.cid not in tops or not _is_missing(fault)
        ]

    async def _write_pins(self, found: list[KuboPin]) -> None:
        table, now = self._api.pins, self._api.clock()
        fresh: dict[CID, Pin] = {}
        for cid, recursive, name in found:
            known = fresh.get(cid) or table.get(cid)
            wanted = name if len(name.encode("utf-8", "replace")) <= MAX_NAME else ""
            if known is None:
                pin = Pin(cid, recursive, wanted, now)
            else:
                pin = Pin(cid, recursive or known.recursive, known.name or wanted, known.created)
            if pin == known or (known is not None and (pin.recursive, pin.name, None) == _state(known)):
                self.report.pins_present += 1
            else:
                fresh[cid] = pin
        if fresh:
            await table.add(*fresh.values())
            self.report.pins += len(fresh)

    # -- mutable files ---------------------------------------------------------------------------------------------

    async def _mutable_files(self, database: LevelDb) -> AsyncGenerator[Said, None]:
        try:
            root = await asyncio.to_thread(mfs_root, database)
            if root is None:
                return
            async with self._api.offline().session() as session:
                theirs = await _entries(root, session)
                if not theirs:
                    return
                ours = await _entries(await self._api.files.root(), self._api.files.over(session))
                if not ours:
                    await self._api.files.replace_root(self._api.files.over(session), root)
                    self.report.mfs = "/"
                elif all(ours.get(name) == cid for name, cid in theirs.items()):
                    self.report.mfs = "/"
                else:
                    self.report.mfs = await self._copy_beside(root, session, ours)
        except CideryError as exc:
            yield self._fault(f"mutable files: {exc}")
            return
        yield Said(f"mutable files of Kubo ({root}) are at {self.report.mfs}")

    async def _copy_beside(self, root: CID, session: BlockSession, ours: dict[str, CID]) -> str:
        """Kubo's tree into a directory of its own; returns its path."""
        for number in range(1, MAX_FOLDERS):
            name = "from-kubo" if number == 1 else f"from-kubo-{number}"
            if ours.get(name) == root:
                return f"/{name}"
            if name not in ours:
                path = FilePath((name,))
                await copy_in(self._api.files, session, root, path)
                return str(path)
        raise AlreadyThere(ROOT.child("from-kubo"), "and so are the names with numbers; remove some")

    # -- names -----------------------------------------------------------------------------------------------------

    async def _names(self, database: LevelDb) -> AsyncGenerator[Said, None]:
        """Names whose keys are here: a later publication has to continue from their sequence number."""
        naming = self._api.naming
        ours = {key.id for key in await asyncio.to_thread(naming.keys.every)}
        if self._options.identity:
            ours |= {name for name in [await asyncio.to_thread(self._source.peer_id)] if name is not None}
        for one in await asyncio.to_thread(lambda: list(islice(published_names(database), MAX_NAMES))):
            if isinstance(one, RecordDamaged):
                yield self._fault(str(one))
                continue
            text = f"/ipns/{format_name(one.name)}"
            if one.name not in ours:
                yield Said(f"{text} is not kept alive here: its key is not here; --identity takes the key of the node")
                continue
            try:
                record = IpnsRecord.decode(one.record)
                record.check_signature(one.name)
            except IpnsRecordError as exc:
                yield self._fault(f"{text}: {exc}")
                continue
            known = naming.names.get(one.name)
            if known is not None and known.record.rank >= record.rank:
                self.report.names_present += 1
                continue
            await naming.names.put(OWN, one.name, record, int(LIFETIME * 1e9))
            self.report.names += 1

    # -- keys and config -------------------------------------------------------------------------------------------

    async def _keys(self) -> AsyncIterator[Said]:
        theirs = Keystore(RepoLayout(self._source.path).keystore)
        ours = Keystore(RepoLayout(self._api.path).keystore)
        try:
            names, strangers = await asyncio.to_thread(lambda: (theirs.names(), theirs.strangers()))
        except OSError as exc:
            yield self._fault(f"keys: {exc}")
            return
        for file in strangers:
            yield self._fault(f"keystore/{file}: its name is no key's")
        for name in names:
            try:
                new = await asyncio.to_thread(lambda name=name: ours.put(name, theirs.get(name)))  # type: ignore[misc]
            except (KeyDamaged, KeyExists, BadKeyName, OSError) as exc:
                yield self._fault(f"key {name!r}: {exc}")
                continue
            self.report.keys += new
            self.report.keys_present += not new

    def _config(self) -> Iterator[Said]:
        try:
            kubo = parse_json(read_file(self._source.path / "config", MAX_CONFIG_BYTES), "Kubo's config")
        except (CideryError, OSError) as exc:
            yield self._fault(f"config: {exc}")
            return
        path = RepoLayout(self._api.path).config
        before = raw = read_raw(path)
        if self._options.config:
            mapped = map_config(raw, kubo)
            for key, reason in mapped.left.items():
                yield Said(f"config {key} was not taken: {reason}")
            try:
                parse_config(mapped.config)
            except ConfigError as exc:
                yield self._fault(f"nothing of the config was taken: {exc}")
            else:
                raw = mapped.config
                self.report.settings = len(mapped.taken)
                for key, value in mapped.taken.items():
                    effect = " (kept, without effect yet)" if key in mapped.kept else ""
                    yield Said(f"config {key} is now {json.dumps(value)[:200]}{effect}")
        if self._options.identity:
            raw = yield from self._with_identity(raw, kubo)
        if raw != before:
            with Changing(path) as now:
                changed = now != before
                if not changed:
                    write_raw(path, raw)
            if changed:
                yield self._fault("config: another process has changed it meanwhile; import it again")

    def _with_identity(self, raw: Raw, kubo: Raw) -> Generator[Said, None, Raw]:
        """The changed config, with notes for the user. The old key goes into the keystore, under its peer id."""
        theirs = kubo.get("Identity")
        if not isinstance(theirs, dict):
            yield self._fault("config: it has no identity")
            return raw
        changed = {**raw, "Identity": {key: theirs.get(key) for key in ("PeerID", "PrivKey")}}
        try:
            config = parse_config(changed)
        except ConfigError as exc:
            yield self._fault(f"the identity was not taken: {exc}")
            return raw
        if config.peer_id == self._api.config.peer_id:
            return raw
        old = self._api.config
        Keystore(RepoLayout(self._api.path).keystore).put(old.peer_id, old.private_key)
        yield Said(
            f"this node is now {config.peer_id}: never run it alongside that Kubo; the old identity is kept as the key "
            f"{old.peer_id}"
        )
        return changed


def _is_missing(fault: MarkFault) -> bool:
    return fault.reason == NOT_STORED


def _state(pin: Pin) -> tuple[bool, str, float | None]:
    return pin.recursive, pin.name, pin.expires


async def _entries(root: CID, session: BlockSession) -> dict[str, CID]:
    """Name -> CID of a directory. Raises as ls()."""
    return {entry.name: entry.cid async for entry in ls(root, session, resolve_type=False, size=False)}


def _is_of_source(exc: Exception) -> bool:
    """Whether the fault lies in the source; a failure of our own disk ends the import."""
    return isinstance(exc, LevelDbError | LevelDbTooLarge | NoLevelDb | OSError)
