"""Definitions of block get, put and stat."""

from typing import TypedDict

from cidery.commands.definition import (
    Argument,
    Call,
    Command,
    Input,
    Output,
    Repo,
    Value,
    flag,
    number,
    text,
)

CID_ARGUMENT = Argument("cid", "CID or path of the block", Input.TEXT_OR_STDIN)


class BlockStat(TypedDict):
    Key: str
    Size: int


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
    ),
    Command(
        ("block", "put"),
        "Store files as blocks, one each, and print their CIDs",
        "cidery.commands.run.block:put",
        "cidery block put --cid-codec=dag-pb node.bin",
        (Argument("data", "Files; standard input if absent", Input.FILE_OR_STDIN, variadic=True),),
        (
            text("cid-codec", "Codec of the CID", default="raw"),
            text("mhtype", "Hash function", default="sha2-256"),
            number("mhlen", "Length of the digest in bytes; -1: whole", default=-1),
            flag("pin", "Pin the block"),
            flag("allow-big-block", "Allow more than 2 MiB, which other nodes will not fetch"),
            text(
                "format", "Codec of the CID: protobuf is dag-pb, v0 gives a CIDv0", short="f", deprecated="--cid-codec"
            ),
        ),
        Output.STREAM,
        result=BlockStat,
        text=_key,
        client="cidery.cli.adding:run_block_put",
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
    ),
)
