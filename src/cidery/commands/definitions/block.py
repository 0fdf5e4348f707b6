"""Definitions of block get, put, rm and stat."""

from __future__ import annotations

from cidery.commands.definition import (
    Argument,
    Call,
    Command,
    Input,
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

CID_ARGUMENT = Argument("cid", "CID or path of the block", Input.TEXT_OR_STDIN)


class BlockStat(TypedDict):
    Key: str
    Size: int


class BlockRemoved(TypedDict):
    Hash: str
    Error: NotRequired[str]


def _removed(value: Value, call: Call) -> str:
    if "Error" in value:
        return f"cannot remove {value['Hash']}: {value['Error']}\n"
    return "" if call.flag("quiet") else f"removed {value['Hash']}\n"


def _key(value: Value, call: Call) -> str:
    return f"{value['Key']}\n"


def _stat(value: Value, call: Call) -> str:
    return f"Key: {value['Key']}\nSize: {value['Size']}\n"


COMMANDS = (
    Command(
        ("block", "get"),
        "Print a raw block",
        "cidery.commands.run.block:get",
        "cidery block get bafk... > block.bin",
        (CID_ARGUMENT,),
        output=Output.BYTES,
        media_type="application/vnd.ipld.raw",
        repo=Repo.READ,
        loopless=True,
        at_hand=True,
    ),
    Command(
        ("block", "put"),
        "Store files as blocks, one each, and print their CIDs",
        "cidery.commands.run.block:put",
        "cidery block put --cid-codec=dag-pb node.bin",
        (Argument("data", "Files; standard input if absent", Input.FILE_OR_STDIN, variadic=True),),
        (
            text("cid-codec", "Codec of the CID; raw if absent"),
            text("mhtype", "Hash function", default="sha2-256"),
            number("mhlen", "Length of the digest in bytes; -1: whole", default=-1),
            flag("pin", "Pin the block"),
            ignored("allow-big-block", "no block above 2 MiB is stored, because no peer could fetch it"),
            text(
                "format", "Codec of the CID: protobuf is dag-pb, v0 gives a CIDv0", short="f", deprecated="--cid-codec"
            ),
        ),
        Output.STREAM,
        result=BlockStat,
        text=_key,
        loopless=True,
    ),
    Command(
        ("block", "rm"),
        "Remove blocks that no pin and no mutable file needs",
        "cidery.commands.run.block:rm",
        "cidery block rm bafk...",
        (Argument("cid", "CIDs of blocks", Input.TEXT_OR_STDIN, variadic=True),),
        (
            flag("force", "Ignore blocks that are not stored", short="f"),
            flag("quiet", "Print only what could not be removed", short="q"),
        ),
        Output.STREAM,
        result=BlockRemoved,
        text=_removed,
        description="Every pin is walked to see whether it needs them. `repo gc` removes all that nothing needs.",
    ),
    Command(
        ("block", "stat"),
        "Print CID and size of a raw block",
        "cidery.commands.run.block:stat",
        "cidery block stat bafk...",
        (CID_ARGUMENT,),
        result=BlockStat,
        text=_stat,
        repo=Repo.READ,
        loopless=True,
        at_hand=True,
    ),
)
