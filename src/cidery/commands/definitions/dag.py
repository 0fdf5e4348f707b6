"""Definitions of dag put, get, resolve, import, export, stat and diff, and of resolve."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import (
    FAST_PROVIDE,
    Argument,
    Call,
    Command,
    Input,
    Option,
    OptionType,
    Output,
    Repo,
    Value,
    flag,
    ignored,
    number,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

REF = Argument("ref", "CID, /ipfs/CID/a/b, CID/a/b or ipfs://CID/a/b", Input.TEXT_OR_STDIN)

CidLink = TypedDict("CidLink", {"/": str})


class DagPut(TypedDict):
    Cid: CidLink


class DagResolved(TypedDict):
    Cid: CidLink
    RemPath: str


class ImportedRoot(TypedDict):
    Cid: CidLink
    PinErrorMsg: str


class ImportStats(TypedDict):
    BlockCount: int
    BlockBytesCount: int


class DagImported(TypedDict):
    """One of them."""

    Progress: NotRequired[int]
    """Blocks so far; with --progress."""
    Bytes: NotRequired[int]
    """Their bytes."""
    Total: NotRequired[int]
    """Bytes of the archives."""
    Root: NotRequired[ImportedRoot]
    Stats: NotRequired[ImportStats]


class DagSizeLine(TypedDict):
    Cid: str
    Size: NotRequired[int]
    NumBlocks: NotRequired[int]


class DagStat(TypedDict):
    UniqueBlocks: NotRequired[int]
    TotalSize: NotRequired[int]
    SharedSize: NotRequired[int]
    Ratio: NotRequired[float]
    """In the last value only."""
    DagStats: list[DagSizeLine]


class DagChange(TypedDict):
    Type: int
    """0 added, 1 removed, 2 changed."""
    Path: str
    Before: CidLink | None
    After: CidLink | None


class Resolved(TypedDict):
    Path: str


def _cid(value: Value, call: Call) -> str:
    return f"{value['Cid']['/']}\n"


def _resolved(value: Value, call: Call) -> str:
    """Without a line end, as Kubo."""
    rest = f"/{value['RemPath']}" if value["RemPath"] else ""
    return f"{value['Cid']['/']}{rest}"


def _imported(value: Value, call: Call) -> str:
    if call.flag("silent") or "Progress" in value:
        return ""
    if "Stats" in value:
        stats = value["Stats"]
        return f"Imported {stats['BlockCount']} blocks ({stats['BlockBytesCount']} bytes)\n"
    root = value["Root"]
    outcome = f"FAILED: {root['PinErrorMsg']}" if root["PinErrorMsg"] else "success"
    return f"Pinned root\t{root['Cid']['/']}\t{outcome}\n"


def _stat(value: Value, call: Call) -> str:
    if "Ratio" not in value:
        return ""
    dags = value["DagStats"]
    width = len(dags[0]["Cid"])
    lines = ["", f"{'CID':<{width}}\t{'Blocks':<15}\tSize"]
    lines += [f"{dag['Cid']}\t{dag.get('NumBlocks', 0):<15}\t{dag.get('Size', 0)}" for dag in dags]
    total, shared = value.get("TotalSize", 0), value.get("SharedSize", 0)
    lines += [
        "",
        "Summary",
        f"Total Size: {total} ({human_size(total)})",
        f"Unique Blocks: {value.get('UniqueBlocks', 0)}",
    ]
    lines += [f"Shared Size: {shared} ({human_size(shared)})", f"Ratio: {value['Ratio']:f}", "", ""]
    return "\n".join(lines) + "\n"


def _change(value: Value, call: Call) -> str:
    before, after = (value[side]["/"] if value[side] else "" for side in ("Before", "After"))
    path = value["Path"]
    if call.flag("verbose"):
        return (
            f'Added new link "{path}" pointing to {after}.\n',
            f'Removed link "{path}" (was {before}).\n',
            f'Changed "{path}" from {before} to {after}.\n',
        )[value["Type"]]
    return (f'+ {after} "{path}"\n', f'- {before} "{path}"\n', f'~ {before} {after} "{path}"\n')[value["Type"]]


def _path(value: Value, call: Call) -> str:
    return f"{value['Path']}\n"


_ALLOW_BIG = ignored("allow-big-block", "no block above 2 MiB is stored, because no peer could fetch it")

COMMANDS = (
    Command(
        ("dag", "put"),
        "Store a node of any codec and print its CID",
        "cidery.commands.run.dag:put",
        "cidery dag put node.json",
        (Argument("object data", "Files; standard input if absent", Input.FILE_OR_STDIN, variadic=True),),
        (
            text("store-codec", "Codec of the stored block", default="dag-cbor"),
            text("input-codec", "Codec of the input", default="dag-json"),
            flag("pin", "Pin the node and what it links to"),
            text("hash", "Hash function", default="sha2-256"),
            _ALLOW_BIG,
        ),
        Output.STREAM,
        result=DagPut,
        text=_cid,
    ),
    Command(
        ("dag", "get"),
        "Print a node, or the value at a path inside one",
        "cidery.commands.run.dag:get",
        "cidery dag get bafy.../a/b",
        (REF,),
        (text("output-codec", "Codec of what is printed", default="dag-json"),),
        Output.BYTES,
        media_type="text/plain",
        repo=Repo.READ,
        loopless=True,
    ),
    Command(
        ("dag", "resolve"),
        "Print the last block of a path, and the path inside it",
        "cidery.commands.run.resolving:resolve_block",
        "cidery dag resolve bafy.../a/b",
        (REF,),
        result=DagResolved,
        text=_resolved,
        repo=Repo.READ,
        loopless=True,
    ),
    Command(
        ("dag", "import"),
        "Store the blocks of CAR archives and pin their roots",
        "cidery.commands.run.dag_car:import_cars",
        "cidery dag import --stats site.car",
        (Argument("path", "CAR files (version 1 or 2); standard input if absent", Input.FILE_OR_STDIN, variadic=True),),
        (
            flag("pin-roots", "Pin the roots after all archives are imported", default=True),
            flag("local-only", "The archive is partial: do not pin its roots"),
            flag("silent", "Print nothing"),
            flag("stats", "Print how much was imported"),
            flag("progress", "Report progress", short="p")._replace(client_only=True),
            *FAST_PROVIDE,
            _ALLOW_BIG,
            text("resume-key", "For clients that send files: key under which an interrupted import resumes"),
            text("job-title", "For clients that send files: title of this import in `jobs`"),
        ),
        Output.STREAM,
        result=DagImported,
        text=_imported,
        progress=True,
    ),
    Command(
        ("dag", "export"),
        "Print a DAG as a CAR archive",
        "cidery.commands.run.dag_car:export_car",
        "cidery dag export bafy... > site.car",
        (
            Argument(
                "root", "CIDs or paths; several give an archive with several roots", Input.TEXT_OR_STDIN, True, True
            ),
        ),
        (
            flag("progress", "Report progress", default=True, short="p"),
            flag("local-only", "Leave out blocks that are not stored here"),
            text("car-version", "Version of the archive; 2 has an index", default="1", choices=("1", "2")),
        ),
        Output.BYTES,
        media_type="application/vnd.ipld.car",
        repo=Repo.READ,
        progress=True,
    ),
    Command(
        ("dag", "stat"),
        "Print the number and size of the blocks of DAGs, and how much they share",
        "cidery.commands.run.dag:stat",
        "cidery dag stat bafy...",
        (Argument("root", "CIDs or paths", Input.TEXT_OR_STDIN, variadic=True),),
        (flag("progress", "Report progress", default=True, short="p"),),
        Output.STREAM,
        result=DagStat,
        text=_stat,
        repo=Repo.READ,
        loopless=True,
        progress=True,
    ),
    Command(
        ("dag", "diff"),
        "Print the links that differ between two DAGs",
        "cidery.commands.run.dag:diff",
        "cidery dag diff bafy... bafy...",
        (Argument("a", "CID or path, before"), Argument("b", "CID or path, after")),
        (flag("verbose", "In words", short="v"),),
        Output.STREAM,
        result=DagChange,
        text=_change,
        repo=Repo.READ,
    ),
    Command(
        ("resolve",),
        "Print the CID that a path leads to",
        "cidery.commands.run.resolving:resolve_path",
        "cidery resolve /ipfs/bafy.../a/b",
        (Argument("name", "Path", Input.TEXT_OR_STDIN),),
        (
            flag("recursive", "Resolve until it is a CID", default=True, short="r"),
            number("dht-record-count", "Records to ask for, for names", alias="dhtrc"),
            Option("dht-timeout", OptionType.DURATION, "Longest search for a name", alias="dhtt"),
        ),
        result=Resolved,
        text=_path,
        repo=Repo.READ,
        loopless=True,
    ),
)
