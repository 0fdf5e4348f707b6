"""Definitions of the jobs group."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import Argument, Call, Command, Option, OptionType, Output, Repo, Value, Where, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

KINDS = ("add", "gc", "get", "import", "pin")
STATES = ("queued", "running", "interrupted", "done", "failed")
JOB = Argument("id", "Number of a job, as `jobs` prints it", variadic=True)


class JobLine(TypedDict):
    ID: int
    Kind: str
    """One of KINDS."""
    State: str
    """One of STATES."""
    Title: str
    Started: str
    """As 2026-01-31T12:00:00Z."""
    Updated: str
    Attempts: int
    Blocks: int
    Bytes: int
    Files: int
    Total: NotRequired[int]
    """Total bytes, if known."""
    Stage: NotRequired[str]
    Error: NotRequired[str]
    NextTry: NotRequired[str]
    """Time of the next try of a queued job."""
    Roots: NotRequired[list[str]]
    Command: NotRequired[list[str]]
    """The command line that resumes it."""
    Advice: NotRequired[str]
    """Advice on how to proceed."""


class KnownFile(TypedDict):
    File: str
    """Device, inode, size and times, as the sender has them, joined by dashes."""
    Bytes: int
    """Leading bytes that are stored."""


class JobIds(TypedDict):
    IDs: list[int]


def progress_of(value: Value) -> str:
    """``12 MB of 40 MB (30 %), 12 files``."""
    parts: list[str] = []
    if value["Bytes"] or value.get("Total"):
        total = value.get("Total")
        share = f" of {human_size(total)} ({min(100, 100 * value['Bytes'] // max(1, total))} %)" if total else ""
        parts.append(human_size(value["Bytes"]) + share)
    for key, word in (("Files", "file"), ("Blocks", "block")):
        if value[key]:
            parts.append(f"{value[key]} {word}{'s' * (value[key] != 1)}")
    return ", ".join(parts) or "-"


def _line(value: Value, call: Call) -> str:
    if call.flag("quiet"):
        return f"{value['ID']}\n"
    notes = [value.get("Error") or value.get("Stage", "")]
    if "NextTry" in value:
        notes.append(f"next try {value['NextTry']}")
    note = "; ".join(filter(None, notes))
    row = f"{value['ID']:>5} {value['Kind']:<6} {value['State']:<11} {progress_of(value):<40} {value['Title']}"
    return f"{row}{f' ({note})' if note else ''}\n"


def _shown(value: Value, call: Call) -> str:
    rows = [("Job", str(value["ID"])), ("Kind", value["Kind"]), ("State", value["State"]), ("What", value["Title"])]
    rows += [("Progress", progress_of(value))]
    rows += [(name, str(value[name])) for name in ("Stage", "Error", "NextTry") if value.get(name)]
    rows += [("Started", value["Started"]), ("Updated", value["Updated"]), ("Attempts", str(value["Attempts"]))]
    rows += [("Roots", " ".join(value["Roots"]))] if value.get("Roots") else []
    rows += [("Advice", value["Advice"])] if value.get("Advice") else []
    return "".join(f"{name + ':':<10}{text}\n" for name, text in rows)


def _line_of_resumed(value: Value, call: Call) -> str:
    return f"job {value['ID']} ({value['Kind']} {value['Title']}): {value['State']}\n"


COMMANDS = (
    Command(
        ("jobs",),
        "List long operations: running, interrupted and finished ones",
        "cidery.commands.run.jobs:ls",
        "cidery jobs",
        options=(
            flag("quiet", "Print numbers only", short="q"),
            Option("kind", OptionType.TEXT, "Only these", choices=KINDS),
            Option("state", OptionType.TEXT, "Only those in this state", choices=STATES),
        ),
        output=Output.STREAM,
        result=JobLine,
        text=_line,
        repo=Repo.READ,
        aliases=(("jobs", "ls"),),
        description="add, get, dag import, pin and repo gc are jobs: their progress is on disk within seconds, so\n"
        "they resume where they were after a crash. A daemon resumes queued pins and gc by itself; the others\n"
        "resume when the same command is run again. Interrupted jobs are dropped after 7 days.",
    ),
    Command(
        ("jobs", "show"),
        "Show a job in detail, and how to proceed with it",
        "cidery.commands.run.jobs:show",
        "cidery jobs show 12",
        (JOB,),
        output=Output.STREAM,
        result=JobLine,
        text=_shown,
        repo=Repo.READ,
    ),
    Command(
        ("jobs", "rm"),
        "Forget jobs; a running one is stopped",
        "cidery.commands.run.jobs:rm",
        "cidery jobs rm 12",
        (JOB,),
        result=JobIds,
        text=lambda value, call: "".join(f"removed job {number}\n" for number in value["IDs"]),
        aliases=(("jobs", "cancel"),),
        description="The next `repo gc` may remove the blocks that an interrupted job stored.",
    ),
    Command(
        ("jobs", "known"),
        "List the stored parts of an interrupted upload, for the client that repeats it",
        "cidery.commands.run.jobs:known",
        "cidery jobs known KEY",
        (Argument("key", "As the option resume-key of add"),),
        output=Output.STREAM,
        result=KnownFile,
        text=lambda value, call: f"{value['File']} {value['Bytes']}\n",
        where=Where.DAEMON,
    ),
    Command(
        ("jobs", "resume"),
        "Resume a job now",
        "cidery.commands.run.jobs:resume",
        "cidery jobs resume 12",
        (Argument("id", "Number of a job, as `jobs` prints it"),),
        (),
        Output.STREAM,
        result=JobLine,
        text=_line_of_resumed,
    ),
)
