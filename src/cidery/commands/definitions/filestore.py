"""Definitions of filestore ls, verify and dups."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Repo, Value, flag
from cidery.commands.definitions.content import RefLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class FilestoreLine(TypedDict):
    Status: int
    """0 ok, 10 the file cannot be read, 11 it is gone, 12 it has changed, 30 no such key."""
    ErrorMsg: str
    Key: dict[str, str]
    """{"/": CID}"""
    FilePath: str
    Offset: int
    Size: int
    """Bytes."""


_WORDS = {0: "ok", 10: "error", 11: "no-file", 12: "changed", 30: "missing"}
_KEYS = Argument("obj", "CIDs of blocks (default: all)", Input.TEXT_OR_STDIN, required=False, variadic=True)
_ORDER = flag("file-order", "Sort by path and offset")


def _ls_text(value: Value, call: Call) -> str:
    if value["Status"]:
        return f"{value['Key']['/']}: {value['ErrorMsg']}\n"
    return f"{value['Key']['/']} {value['Size']:6d} {value['FilePath']} {value['Offset']}\n"


def _verify_text(value: Value, call: Call) -> str:
    place = f" {value['Size']:6d} {value['FilePath']} {value['Offset']}" if value["FilePath"] else ""
    reason = f" ({value['ErrorMsg']})" if value["ErrorMsg"] else ""
    return f"{_WORDS[value['Status']]:<7} {value['Key']['/']}{place}{reason}\n"


def _dups_text(value: Value, call: Call) -> str:
    return f"{value['Ref']}\n"


COMMANDS = (
    Command(
        ("filestore", "ls"),
        "List the blocks whose data stays in your files",
        "cidery.commands.run.filestore:ls",
        "cidery filestore ls --file-order",
        (_KEYS,),
        (_ORDER,),
        Output.STREAM,
        result=FilestoreLine,
        text=_ls_text,
        repo=Repo.READ,
    ),
    Command(
        ("filestore", "verify"),
        "Check the blocks whose data stays in your files",
        "cidery.commands.run.filestore:verify",
        "cidery filestore verify --remove-bad-blocks",
        (_KEYS,),
        (_ORDER, flag("remove-bad-blocks", "Forget blocks whose files are gone or changed")),
        Output.STREAM,
        result=FilestoreLine,
        text=_verify_text,
        description="The lines show what is gone or changed; the exit code is 0 all the same. Such blocks are fetched\n"
        "from peers on demand; adding the file again, wherever it is now, repairs them.",
    ),
    Command(
        ("filestore", "dups"),
        "List the blocks that are stored although one of your files has them",
        "cidery.commands.run.filestore:dups",
        "cidery filestore dups",
        output=Output.STREAM,
        result=RefLine,
        text=_dups_text,
        repo=Repo.READ,
    ),
)
