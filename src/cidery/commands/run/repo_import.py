"""repo import-kubo."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.repo import ImportLine, ImportSum
from cidery.commands.job_command import command_of, job_key
from cidery.core.kubo_import import ImportOptions, ImportReport, KuboImport
from cidery.errors import IntegrityError
from cidery.kubo.repository import KuboRepository


class ImportIncomplete(IntegrityError):
    """Something in the source could not be imported."""

    def __init__(self, faults: int) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return f"{self.faults} things could not be imported, they are listed above; everything else is here"


async def import_kubo(context: Context, call: Call) -> AsyncIterator[ImportLine]:
    """A line per message, the totals at the end. Raises KuboUnreadable, KuboRunning, ImportIncomplete."""
    options = ImportOptions(
        config=call.flag("config"),
        identity=call.flag("identity"),
        command=tuple(command_of(call, "path")),
        key=job_key("import-kubo", call, "path"),
    )
    with KuboRepository.open(Path(call.one("path")).expanduser()) as source:
        running = KuboImport(context.node, source, options)
        async with aclosing(running.run()) as steps:
            async for said in steps:
                if said is None:
                    yield ImportLine(Progress=running.report.blocks.seen)
                else:
                    yield ImportLine(Msg=f"not imported: {said.text}" if said.fault else said.text)
    yield ImportLine(Summary=summary(running.report))
    if running.report.faults:
        raise ImportIncomplete(running.report.faults)


def summary(report: ImportReport) -> ImportSum:
    blocks = report.blocks
    return ImportSum(
        Blocks=blocks.imported,
        Bytes=blocks.bytes,
        BlocksPresent=blocks.present,
        BlocksBad=blocks.bad,
        References=blocks.references,
        Pins=report.pins,
        PinsPresent=report.pins_present,
        Keys=report.keys,
        KeysPresent=report.keys_present,
        Names=report.names,
        NamesPresent=report.names_present,
        MfsPath=report.mfs,
        Settings=report.settings,
        Faults=report.faults,
    )
