"""What an interrupted upload left behind, so that its sender sends only the rest."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from cidery.core.adding.job import Adding
from cidery.core.adding.journal import AddJournal, identity_text
from cidery.core.car.job import sent_archives
from cidery.core.jobs import JobDesk


async def known_files(
    adding: Adding, desk: JobDesk, sender: str, clock: Callable[[], float]
) -> AsyncGenerator[tuple[str, int], None]:
    """What an interrupted add or import of this sender left: files, and the number of leading bytes that are stored."""
    key = adding.sent_key(sender)
    jobs = [*desk.jobs.every("add", ended=False), *desk.jobs.every("import", ended=False)]
    job = next((one for one in jobs if key and one.key == key), None)
    if job is None or desk.jobs.runs(job):
        return
    if job.kind == "import":
        for text, size in await asyncio.to_thread(sent_archives, desk.journal(job.id), job):
            yield text, size
        return
    journal = await asyncio.to_thread(AddJournal, desk.journal(job.id), clock, load=True)
    for identity in journal.identities():
        whole = journal.file(identity)
        if whole is not None and await adding.walk_stored(whole.cid):
            yield identity_text(identity), whole.filesize
            continue
        parts, at = journal.parts(identity), 0
        while (leaves := parts.get(at)) and adding.are_kept([leaf.cid for leaf in leaves]):
            at += sum(leaf.filesize for leaf in leaves)
        if at:
            yield identity_text(identity), at
