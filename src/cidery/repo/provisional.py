"""Running operations, and the roots they will need: blocks that a collector must spare although no pin holds them yet.

A record is written before the first block of an add, get, import or pin and removed after its commit. If the process
dies in between, the record stays and is listed as left over, until a collector discards it; blocks that a job needs
to resume are spared by the job's own row (see jobs.py).
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import NamedTuple, Protocol

from cidery.disk.lmdb_environment import Transaction
from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID, CIDError
from cidery.repo.state import Put, State, StateTable

MAX_OPERATIONS = 10_000
"""Most records listed: far more operations than one process runs at a time."""


class ProvisionalDamaged(IntegrityError):
    """A record in the table that cannot be decoded."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"a record of an operation under way is damaged ({self.reason}); restore meta/state from a backup"


class Operation(NamedTuple):
    """One operation, running or left over."""

    id: bytes
    """8 bytes of the process's session, then 8 of its own."""
    kind: str
    """"add", "get", "pin", "import"."""
    started: float
    """Seconds since 1970-01-01 UTC."""
    since_ordinal: int
    """Blocks with this ordinal or a higher one may belong to it, for operations that learn their root last."""
    roots: tuple[CID, ...]
    """Roots known so far."""


def encode_operation(operation: Operation) -> bytes:
    roots = [str(root) for root in operation.roots]
    return json.dumps([operation.kind, operation.started, operation.since_ordinal, roots]).encode()


def decode_operation(key: bytes, raw: bytes) -> Operation:
    """Raises ProvisionalDamaged, nothing else (fuzzed)."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise ProvisionalDamaged("not JSON") from exc
    match found:
        case [str(kind), float(started), int(since), [*texts]] if all(isinstance(text, str) for text in texts):
            try:
                return Operation(key, kind, started, since, tuple(CID.parse(text) for text in texts))
            except CIDError as exc:
                raise ProvisionalDamaged(str(exc)) from exc
    raise ProvisionalDamaged("not the fields of an operation")


class Beside(Protocol):
    """Further changes for the transactions that begin and end a record; each may run twice."""

    def begin(self, txn: Transaction) -> None: ...

    def end(self, txn: Transaction) -> None: ...


class ProvisionalRoots:
    """The table, for one process that holds the repository's lock."""

    def __init__(
        self,
        state: State,
        entropy: Callable[[int], bytes],
        holding: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """``holding``: the context in which the store notes blocks that an operation finds "already there"."""
        self._state = state
        self._holding = holding
        self._entropy = entropy
        self._session = entropy(8)

    @asynccontextmanager
    async def operation(
        self,
        kind: str,
        roots: Sequence[CID] = (),
        *,
        now: float,
        since_ordinal: int,
        beside: "Beside | None" = None,
    ) -> AsyncIterator["RunningOperation"]:
        """Hold a record while the block runs; it is durable before the block begins.

        It is removed at the end, even if the block raises: its blocks are then ordinary unpinned content.
        ``beside``: further changes written in the same two transactions.
        """
        record = Operation(self._session + self._entropy(8), kind, float(now), since_ordinal, tuple(roots))
        table = self._state.table(StateTable.PROVISIONAL)

        def begin(txn: Transaction) -> None:
            txn.put(record.id, encode_operation(record), db=table)
            if beside is not None:
                beside.begin(txn)

        def end(txn: Transaction) -> None:
            txn.delete(record.id, db=table)
            if beside is not None:
                beside.end(txn)

        with self._holding():
            await self._state.update(begin, record.roots)
            try:
                yield RunningOperation(self._state, record)
            finally:
                await self._state.update(end)

    def under_way(self) -> list[Operation]:
        """Operations of this process."""
        return [found for found in self.every() if found.id.startswith(self._session)]

    def left_over(self) -> list[Operation]:
        """Operations whose process died: their blocks are still spared."""
        return [found for found in self.every() if not found.id.startswith(self._session)]

    async def discard(self, operations: Sequence[Operation]) -> None:
        """Forget left-over operations; their blocks become collectable."""
        await self._state.apply(*(Put(StateTable.PROVISIONAL, found.id, None) for found in operations))

    def every(self) -> list[Operation]:
        """All records, at most MAX_OPERATIONS."""
        page = self._state.page(StateTable.PROVISIONAL, b"", MAX_OPERATIONS)
        return [decode_operation(key, raw) for key, raw in page]


class RunningOperation:
    """The record of an operation under way."""

    def __init__(self, state: State, record: Operation) -> None:
        self._state = state
        self.record = record

    async def protect(self, *roots: CID) -> None:
        """Add roots that became known; durable on return."""
        old = self.record
        self.record = Operation(old.id, old.kind, old.started, old.since_ordinal, (*old.roots, *roots))
        await self._state.apply(Put(StateTable.PROVISIONAL, old.id, encode_operation(self.record)), roots=roots)
