"""Definitions of repo stat, verify and version."""

from typing import TypedDict

from cidery.commands.definition import Call, Command, Output, Repo, Value, flag


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


def _human(size: int) -> str:
    for unit, step in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} B"


def _stat(value: Value, call: Call) -> str:
    show = _human if call.flag("human") else str
    rows = [("RepoSize", show(value["RepoSize"])), ("StorageMax", show(value["StorageMax"]))]
    if not call.flag("size-only"):
        rows = [("NumObjects", str(value["NumObjects"])), *rows]
        rows += [("RepoPath", value["RepoPath"]), ("Version", value["Version"])]
    return "".join(f"{name + ':':<12}{shown}\n" for name, shown in rows)


def _verify(value: Value, call: Call) -> str:
    return f"{value['Msg']}\n" if value["Msg"] else ""


def _version(value: Value, call: Call) -> str:
    return f"{value['Version']}\n" if call.flag("quiet") else f"repo version {value['Version']}\n"


COMMANDS = (
    Command(
        ("repo", "stat"),
        "Print how much is stored",
        "cidery.commands.run.repo:stat",
        "cidery repo stat --human",
        options=(
            flag("size-only", "Print sizes only", short="s"),
            flag("human", "Print sizes as 1.5 MB", short="H"),
        ),
        result=RepoStat,
        text=_stat,
        repo=Repo.READ,
        aliases=(("stats", "repo"),),
    ),
    Command(
        ("repo", "verify"),
        "Read every block and check it against its hash",
        "cidery.commands.run.repo:verify",
        "cidery repo verify",
        output=Output.STREAM,
        result=VerifyLine,
        text=_verify,
        repo=Repo.READ,
        progress=True,
        description="Exit code 1 if a block is corrupt or missing; each fault is printed.",
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
