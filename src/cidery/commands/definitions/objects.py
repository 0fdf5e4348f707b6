"""Definitions of object patch."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Value, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

_ROOT = Argument("root", "CID or path of the node")
_ANY = flag("allow-non-unixfs", "Change also a node that is no UnixFS directory")


class Patched(TypedDict):
    Hash: str


def _hash(value: Value, call: Call) -> str:
    return f"{value['Hash']}\n"


COMMANDS = (
    Command(
        ("object", "patch", "add-link"),
        "Print the CID of a directory with one entry more",
        "cidery.commands.run.objects:add_link",
        "cidery object patch add-link bafyROOT notes/today bafyFILE -p",
        (_ROOT, Argument("name", "Name of the link; names with slashes lead down"), Argument("ref", "CID or path")),
        (
            flag("create", "Make the directories that are missing on the way", short="p"),
            _ANY,
            flag("allow-big-block", "No effect: no block above 2 MiB is stored")._replace(
                no_effect="no block above 2 MiB is stored, because no peer could fetch it"
            ),
        ),
        result=Patched,
        text=_hash,
        deprecated="cidery files",
        description="The result is stored and not pinned.",
    ),
    Command(
        ("object", "patch", "rm-link"),
        "Print the CID of a directory with one entry less",
        "cidery.commands.run.objects:rm_link",
        "cidery object patch rm-link bafyROOT notes/today",
        (_ROOT, Argument("name", "Name of the link; names with slashes lead down")),
        (_ANY,),
        result=Patched,
        text=_hash,
        deprecated="cidery files",
    ),
)
