"""Definitions of the files group: mutable files."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import (
    Argument,
    Call,
    Command,
    Input,
    Option,
    Output,
    Repo,
    Value,
    Where,
    flag,
    number,
    page_options,
    text,
)
from cidery.commands.definitions.message_output import MessageOutput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

STAT_FORMAT = (
    "<hash>\nSize: <size>\nCumulativeSize: <cumulsize>\nChildBlocks: <childs>\nType: <type>\n"
    "Mode: <mode> (<mode-octal>)\nMtime: <mtime>"
)
UNSET = "not set"
_FLUSH = flag("flush", "Make the change durable before returning", default=True, short="f")
_FORM = (
    number("cid-version", "CID version of new entries; absent: that of their directory", alias="cid-ver"),
    text("hash", "Hash function of new entries; implies CID version 1"),
)
_PATH = Argument("path", "Path of a mutable file, such as /photos/a.jpg")


class FileEntry(TypedDict):
    Name: str
    Type: int
    """0 file, 1 directory."""
    Size: int
    Hash: str


class FilesListed(TypedDict):
    Entries: list[FileEntry]


class FileStat(TypedDict):
    Hash: str
    Size: int
    CumulativeSize: int
    Blocks: int
    Type: str
    WithLocality: NotRequired[bool]
    Local: NotRequired[bool]
    SizeLocal: NotRequired[int]
    Mode: NotRequired[str]
    """Octal with a leading zero."""
    Mtime: NotRequired[int]
    MtimeNsecs: NotRequired[int]


class Flushed(TypedDict):
    Cid: str


def _flushed(value: Value, _call: Call) -> str:
    return f"{value['Cid']}\n"


def _listed(value: Value, call: Call) -> str:
    entries = list(value["Entries"])
    if not call.flag("U") and "limit" not in call.given:
        entries.sort(key=lambda entry: entry["Name"].encode("utf-8", "surrogateescape"))
    if not call.flag("long"):
        return "".join(f"{entry['Name']}\n" for entry in entries)
    return "".join(
        f"{entry['Name']}{'/' if entry['Type'] == 1 else ''}\t{entry['Hash']}\t{entry['Size']}\n" for entry in entries
    )


def stat_format(call: Call) -> str:
    """The format that the options select."""
    if call.flag("hash"):
        return "<hash>"
    return "<cumulsize>" if call.flag("size") else call.text("format")


def _mode_text(mode: int, kind: str) -> str:
    """In the style of ``ls -l``."""
    letters = "".join(letter if mode >> 8 - at & 1 else "-" for at, letter in enumerate("rwxrwxrwx"))
    return kind + letters


def _stat(value: Value, call: Call) -> str:
    mode = int(value.get("Mode", "0"), 8)
    kind = "d" if value["Type"] == "directory" else "l" if mode > 0o7777 else "-"
    seconds = value.get("Mtime", 0)
    tokens = {
        "<hash>": value["Hash"],
        "<size>": str(value["Size"]),
        "<cumulsize>": str(value["CumulativeSize"]),
        "<childs>": str(value["Blocks"]),
        "<type>": value["Type"],
        "<mode>": _mode_text(mode, kind) if mode else UNSET,
        "<mode-octal>": f"0{mode & 0o777:o}" if mode else UNSET,
        "<mtime>": _time_text(seconds) if seconds > 0 else UNSET,
        "<mtime-secs>": str(seconds) if seconds > 0 else UNSET,
        "<mtime-nsecs>": str(value.get("MtimeNsecs", 0)) if seconds > 0 else UNSET,
    }
    out = stat_format(call)
    for token, replacement in tokens.items():
        out = out.replace(token, replacement)
    out += "\n"
    if value.get("WithLocality"):
        local, total = value.get("SizeLocal", 0), value["CumulativeSize"]
        out += f"Local: {human_size(local)} of {human_size(total)} ({100 * local / (total or 1):.2f}%)\n"
    return out


def _time_text(seconds: int) -> str:
    from datetime import UTC, datetime, timedelta

    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} s after 1970"
    return f"{when.day} {when:%b} {when.year}, {when:%H:%M:%S} UTC"


def _message(value: Value, call: Call) -> str:
    return str(value["Message"])


def _change(name: str, summary: str, example: str, arguments: tuple[Argument, ...], *options: Option) -> Command:
    """A command that changes the tree and prints nothing."""
    return Command(
        ("files", name),
        summary,
        f"cidery.commands.run.files:{name}",
        example,
        arguments,
        (_FLUSH, *options),
        Output.NOTHING,
    )


COMMANDS = (
    _change(
        "chcid",
        "Change the CID version or hash function of a directory",
        "cidery files chcid --hash=blake3 /photos",
        (_PATH,),
        *_FORM,
    ),
    _change(
        "chmod",
        "Set the permission bits of a file or directory",
        "cidery files chmod 0644 /photos/a.jpg",
        (Argument("mode", "Octal number; 0 removes the bits"), _PATH),
    ),
    Command(
        ("files", "chroot"),
        "Set the root of the mutable files, when no daemon runs",
        "cidery.commands.run.files:chroot",
        "cidery files chroot --confirm bafy...",
        (Argument("cid", "CID of a directory that is stored here; absent: an empty one", required=False),),
        (flag("confirm", "Confirm: the old tree is collected as garbage unless it is pinned"),),
        result=MessageOutput,
        text=_message,
        where=Where.CLIENT,
    ),
    _change(
        "cp",
        "Give content a path, or copy a mutable file; nothing below its root is fetched",
        "cidery files cp /ipfs/bafy... /photos/2024",
        (
            Argument("source", "Path of content or of a mutable file"),
            Argument("dest", "New path, or the directory to copy into, if it ends in /"),
        ),
        flag("force", "Replace an existing file"),
        flag("parents", "Make missing directories", short="p"),
    ),
    Command(
        ("files", "flush"),
        "Make changes that were made with --flush=false durable",
        "cidery.commands.run.files:flush",
        "cidery files flush",
        (_PATH._replace(required=False),),
        (_FLUSH,),
        result=Flushed,
        text=_flushed,
    ),
    Command(
        ("files", "ls"),
        "List directories of mutable files",
        "cidery.commands.run.files:ls",
        "cidery files ls -l /photos",
        (_PATH._replace(required=False),),
        (
            flag("long", "Show CIDs and sizes", short="l"),
            flag("U", "Do not sort"),
            *page_options("the name"),
            _FLUSH,
        ),
        result=FilesListed,
        text=_listed,
        repo=Repo.READ,
    ),
    _change(
        "mkdir",
        "Make a directory",
        "cidery files mkdir -p /photos/2024",
        (_PATH,),
        flag("parents", "Make missing parent directories, and accept an existing one", short="p"),
        *_FORM,
    ),
    _change(
        "mv",
        "Move a file or directory",
        "cidery files mv /photos/a.jpg /photos/2024/",
        (Argument("source", "What to move"), Argument("dest", "New path, or the directory to move it into")),
    ),
    Command(
        ("files", "read"),
        "Print a mutable file",
        "cidery.commands.run.files:read",
        "cidery files read --offset=10 --count=100 /notes.txt",
        (_PATH,),
        (
            number("offset", "First byte", short="o"),
            number("count", "Most bytes", short="n"),
            _FLUSH,
        ),
        Output.BYTES,
        media_type="text/plain",
        repo=Repo.READ,
    ),
    _change(
        "rm",
        "Remove files or directories",
        "cidery files rm -r /photos",
        (_PATH._replace(variadic=True),),
        flag("recursive", "Remove directories with their contents", short="r"),
        flag("force", "Remove anything, and ignore missing paths"),
    )._replace(output=Output.STREAM, result=str, text=lambda value, call: ""),
    Command(
        ("files", "stat"),
        "Show CID, sizes and type",
        "cidery.commands.run.files:stat",
        "cidery files stat --hash /photos",
        (Argument("path", "Path of a mutable file or of content"),),
        (
            text(
                "format",
                "Text with <hash> <size> <cumulsize> <type> <childs> <mode> <mode-octal> <mtime> <mtime-secs>"
                " <mtime-nsecs>",
                default=STAT_FORMAT,
            ),
            flag("hash", "Print the CID only"),
            flag("size", "Print the cumulative size only"),
            flag("with-local", "Show how much of it is stored here"),
            _FLUSH,
        ),
        result=FileStat,
        text=_stat,
        repo=Repo.READ,
    ),
    _change(
        "touch",
        "Set the time of modification",
        "cidery files touch --mtime=1700000000 /notes.txt",
        (_PATH,),
        number("mtime", "Seconds since 1970; absent: now"),
        number("mtime-nsecs", "Nanoseconds within the second"),
    ),
    _change(
        "write",
        "Write bytes into a mutable file",
        "cidery files write --create --truncate /notes.txt notes.txt",
        (_PATH, Argument("data", "File to read; standard input if absent", Input.FILE_OR_STDIN)),
        number("offset", "First byte to replace", short="o"),
        flag("create", "Create the file if it does not exist", short="e"),
        flag("parents", "Make missing directories", short="p"),
        flag("truncate", "Truncate the file first", short="t"),
        number("count", "Most bytes to write", short="n"),
        flag("raw-leaves", "Use raw blocks for new leaves"),
        *_FORM,
    )._replace(loopless=True),
)
