"""Definitions of the repo group."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import (
    Argument,
    Call,
    Command,
    Option,
    OptionType,
    Output,
    Repo,
    Value,
    Where,
    flag,
    number,
    page_options,
)
from cidery.commands.definitions.message_output import MessageOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict


class RepoStat(TypedDict):
    RepoSize: int
    """Bytes of the repository on disk."""
    StorageMax: int
    """Bytes."""
    NumObjects: int
    RepoPath: str
    Version: str


class RepoVersion(TypedDict):
    Version: str


class VerifyLine(TypedDict):
    Msg: str
    """A fault, or the result; empty in progress lines."""
    Progress: int
    """Blocks checked so far."""
    Total: NotRequired[int]
    """Blocks stored, in progress lines."""


class GcLine(TypedDict):
    Key: NotRequired[dict[str, str]]
    """{"/": CID} of a removed block."""
    Error: NotRequired[str]
    Freed: NotRequired[int]
    """With --stats, in the last line: bytes returned to the disk."""
    Removed: NotRequired[int]
    """In the last line: blocks removed."""
    Spared: NotRequired[list[int]]
    """In the last line: interrupted jobs whose blocks were spared."""
    Marked: NotRequired[int]
    """With --stats, in progress lines: blocks found in use so far."""
    Progress: NotRequired[int]
    """The same, with --progress."""
    Total: NotRequired[int]
    """Blocks stored: at most so many are in use."""


class Freed(TypedDict):
    Freed: int
    """Bytes returned to the disk."""
    IndexBytes: int
    """Size of the index."""


class ImportSum(TypedDict):
    Blocks: int
    """Imported now."""
    Bytes: int
    BlocksPresent: int
    """Already present."""
    BlocksBad: int
    """Damaged or unreadable; listed and skipped."""
    References: int
    """Blocks whose bytes stay in files of the user."""
    Pins: int
    PinsPresent: int
    Keys: int
    KeysPresent: int
    Names: int
    """Published names that this node now republishes."""
    NamesPresent: int
    MfsPath: str
    """Where Kubo's mutable files are; empty if it had none."""
    Settings: int
    """Config keys taken over."""
    Faults: int
    """The number of faults that were listed."""


class ImportLine(TypedDict):
    Msg: NotRequired[str]
    """A step done, or a fault."""
    Progress: NotRequired[int]
    """Blocks found so far."""
    Summary: NotRequired[ImportSum]
    """The totals, in the last line."""


class LsLine(TypedDict):
    Ref: str
    Err: str


def _collected(value: Value, call: Call) -> str:
    if call.flag("silent"):
        return ""
    if "Key" in value:
        return f"{value['Key']['/']}\n" if call.flag("quiet") else f"removed {value['Key']['/']}\n"
    if value.get("Error"):
        return f"error: {value['Error']}\n"
    if "Freed" in value and not call.flag("quiet"):
        jobs = " ".join(map(str, value.get("Spared", ())))
        note = f"; spared for interrupted jobs, which `cidery jobs rm {jobs}` would free" if jobs else ""
        return f"freed {human_size(value['Freed'])}{note}\n"
    return ""


def _stat(value: Value, call: Call) -> str:
    show = human_size if call.flag("human") else str
    rows = [("RepoSize", show(value["RepoSize"])), ("StorageMax", show(value["StorageMax"]))]
    if not call.flag("size-only"):
        rows = [("NumObjects", str(value["NumObjects"])), *rows]
        rows += [("RepoPath", value["RepoPath"]), ("Version", value["Version"])]
    return "".join(f"{name + ':':<12}{shown}\n" for name, shown in rows)


def _verify(value: Value, call: Call) -> str:
    return f"{value['Msg']}\n" if value["Msg"] else ""


def _imported(value: Value, call: Call) -> str:
    if "Summary" not in value:
        return f"{value['Msg']}\n" if value.get("Msg") else ""
    one = value["Summary"]
    rows = [
        ("blocks", f"{one['Blocks']} imported ({human_size(one['Bytes'])}), {one['BlocksPresent']} here already"),
        ("left out", f"{one['BlocksBad']} that are corrupt or cannot be read"),
        ("in your files", f"{one['References']}"),
        ("pins", f"{one['Pins']} imported, {one['PinsPresent']} here already"),
        ("mutable files", one["MfsPath"] or "none"),
        ("keys", f"{one['Keys']} imported, {one['KeysPresent']} here already"),
        ("names", f"{one['Names']} kept alive from now on, {one['NamesPresent']} here already"),
        ("settings", f"{one['Settings']} taken over"),
    ]
    return "".join(f"{name + ':':<15}{text}\n" for name, text in rows)


def _version(value: Value, call: Call) -> str:
    return f"{value['Version']}\n" if call.flag("quiet") else f"repo version {value['Version']}\n"


COMMANDS = (
    Command(
        ("repo", "stat"),
        "Print how much is stored",
        "cidery.commands.run.repo_reading:stat",
        "cidery repo stat --human",
        options=(
            flag("size-only", "Print sizes only", short="s"),
            flag("human", "Print sizes as 1.5 MB", short="H"),
        ),
        result=RepoStat,
        text=_stat,
        repo=Repo.READ,
        loopless=True,
        aliases=(("stats", "repo"),),
    ),
    Command(
        ("repo", "gc"),
        "Remove blocks that no pin, mutable file or running operation needs",
        "cidery.commands.run.repo:collect",
        "cidery repo gc",
        options=(
            flag("stream-errors", "Report pinned blocks that are missing, one line each"),
            flag("quiet", "Print CIDs only", short="q"),
            flag("silent", "Print nothing"),
            flag("progress", "Report how many blocks were found in use", short="p"),
            flag("stats", "Also report progress, freed disk space, and what was spared for interrupted jobs"),
        ),
        output=Output.STREAM,
        result=GcLine,
        text=_collected,
        progress=True,
        description="Meanwhile add, get and pin keep working. The store does not know codecs, so removed\n"
        "blocks are named by raw CIDs. If it is interrupted, the next run resumes. Nothing is removed if a\n"
        "pinned block is missing: the blocks below it are not known.",
    ),
    Command(
        ("repo", "compact"),
        "Return the space of removed blocks to the disk",
        "cidery.commands.run.repo:compact",
        "cidery repo compact",
        result=Freed,
        text=lambda value, call: f"freed {human_size(value['Freed'])}\n",
        description="`repo gc` compacts where it is worthwhile; this rewrites every segment that holds any garbage.",
    ),
    Command(
        ("repo", "ls"),
        "List the stored blocks",
        "cidery.commands.run.repo_reading:ls",
        "cidery repo ls",
        options=page_options("the CID"),
        output=Output.STREAM,
        result=LsLine,
        text=lambda value, call: f"{value['Ref']}\n",
        repo=Repo.READ,
        loopless=True,
    ),
    Command(
        ("repo", "import-kubo"),
        "Import a repository of Kubo, which is only read",
        "cidery.commands.run.repo_import:import_kubo",
        "cidery repo import-kubo ~/.ipfs",
        (Argument("path", "Directory of the Kubo repository"),),
        (
            flag("config", "Take over settings too; --config=false leaves all of them as they are", default=True),
            flag("identity", "Become that node: its peer id and key replace the ones here"),
        ),
        Output.STREAM,
        result=ImportLine,
        text=_imported,
        where=Where.CLIENT,
        progress=True,
        description="Blocks (flatfs), pins, mutable files, keys and the names published with them, blocks in files\n"
        "(filestore) and settings. Neither Kubo nor a Cidery daemon may be running. Each block is checked; the bad\n"
        "ones are listed and left out, and the exit code is then 1. It can be interrupted and repeated: what is\n"
        "already here is skipped. Kubo's mutable files become yours if you have none, else they are in /from-kubo.\n"
        "The identity is not taken unless you ask for it: two running nodes with one identity harm each other.",
    ),
    Command(
        ("repo", "migrate"),
        "Bring the repository to the current format",
        "cidery.commands.run.repo:migrate",
        "cidery repo migrate",
        options=(
            number("to", "Format to migrate to"),
            flag("allow-downgrade", "Accepted for Kubo's scripts; there is no older format"),
        ),
        result=MessageOutput,
        text=lambda value, call: f"{value['Message']}\n",
        where=Where.CLIENT,
        repo=Repo.CONFIG,
    ),
    Command(
        ("repo", "verify"),
        "Read every block and check it against its hash",
        "cidery.commands.run.repo:verify",
        "cidery repo verify --heal",
        options=(
            flag("drop", "Forget corrupt blocks: their bytes are of no use"),
            flag("heal", "Forget corrupt blocks and fetch them from peers; needs the daemon"),
            Option("heal-timeout", OptionType.DURATION, "Longest wait for one block; 0 for no limit", 30.0),
        ),
        output=Output.STREAM,
        result=VerifyLine,
        text=_verify,
        repo=Repo.READ,
        writes_with=("drop", "heal"),
        progress=True,
        description="Each corrupt or missing block is printed. Exit code 1 if one is left as it is or could not be\n"
        "healed, 0 if all are intact, dropped (--drop) or healed (--heal). Blocks that cannot be read but may\n"
        "be intact are left. After --drop, `cidery pin verify` names the pins that lack a block.",
    ),
    Command(
        ("repo", "version"),
        "Print the version of the repository format",
        "cidery.commands.run.repo:version",
        "cidery repo version -q",
        options=(flag("quiet", "Print the number only", short="q"),),
        result=RepoVersion,
        text=_version,
        repo=Repo.NONE,
    ),
)
