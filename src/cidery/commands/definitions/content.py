"""Definitions of add, cat, get, ls and refs."""

from __future__ import annotations

from cidery.commands.definition import (
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
    page_options,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict
else:
    from cidery.light_types import TypedDict

PROFILES = ("unixfs-v1-2025", "unixfs-v0-2015")
NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time."""
SESSION = text("session", "Name under which `bitswap session` reports on this run")
PATH = Argument("path", "CID, /ipfs/CID/a/b, CID/a/b or ipfs://CID/a/b", Input.TEXT_OR_STDIN, variadic=True)


class AddEvent(TypedDict):
    """One line of ``add``: a finished entry (Hash), or the progress of a file (Bytes)."""

    Name: str
    Hash: NotRequired[str]
    Size: NotRequired[str]
    """Cumulative size of the DAG in bytes, as text (Kubo's habit)."""
    Bytes: NotRequired[int]
    Mode: NotRequired[str]
    """Permission bits in octal, as 0644."""
    Mtime: NotRequired[int]
    """Seconds since 1970."""
    MtimeNsecs: NotRequired[int]


class LsLink(TypedDict):
    Name: str
    Hash: str
    Size: int
    Type: int
    """1 directory, 2 file, 4 symlink, 5 HAMT shard; 0 unknown."""
    Target: str
    Mode: int
    """Go's FileMode, whose lowest nine bits are the permissions; 0 if none are stored."""
    ModTime: str
    """RFC 3339; NO_TIME if none is stored."""


class LsObject(TypedDict):
    Hash: str
    Links: list[LsLink]


class LsResult(TypedDict):
    Objects: list[LsObject]


class RefLine(TypedDict):
    Ref: str
    Err: str
    At: NotRequired[str]
    """Where the link is, for --after; with --limit."""


def _add_text(value: Value, call: Call) -> str:
    if "Hash" not in value or call.flag("silent"):
        return ""
    if call.flag("quiet") or call.flag("quieter"):
        return f"{value['Hash']}\n"
    return f"added {value['Hash']} {value['Name']}\n" if value["Name"] else f"added {value['Hash']}\n"


def _ls_text(value: Value, call: Call) -> str:
    """As in Kubo: the columns of one object are aligned; with --stream, each line alone, with room for usual sizes."""
    lines: list[str] = []
    several = len(call.many("path")) > 1
    for position, one in enumerate(value["Objects"]):
        begins = not (call.flag("stream") and one["Links"])
        if several and begins:
            is_first = position == 0 and not (call.flag("stream") and one["Hash"] != call.many("path")[0])
            lines += [f"{one['Hash']}:"] if is_first else ["", f"{one['Hash']}:"]
        rows = [_ls_head(call)] if call.flag("headers") and begins else []
        rows += [_ls_row(link, call) for link in one["Links"]]
        lines += aligned(rows, LS_STREAM_WIDTH if call.flag("stream") else 1)
    return "".join(line + "\n" for line in lines)


LS_STREAM_WIDTH = 10
"""Minimum width of a column when later lines are not known yet; Kubo's number."""


def aligned(rows: list[list[str]], least: int) -> list[str]:
    """Rows as lines; every column but the last is as wide as its longest text plus a blank, at least ``least``."""
    widths = [max(least, 1 + max(map(len, column))) for column in list(zip(*rows, strict=True))[:-1]]
    return ["".join(text.ljust(width) for text, width in zip(row, [*widths, 0], strict=True)) for row in rows]


def _ls_head(call: Call) -> list[str]:
    return _ls_columns("Mode", "Hash", "Size", "ModTime", "Name", call)


def _ls_row(link: Value, call: Call) -> list[str]:
    is_directory = link["Type"] in (1, 5)
    size = "-" if is_directory else str(link["Size"])
    name = link["Name"] + "/" * is_directory
    time = "-" if link["ModTime"] == NO_TIME else link["ModTime"]
    return _ls_columns(_mode_text(link), link["Hash"], size, time, name, call)


def _ls_columns(mode: str, cid: str, size: str, time: str, name: str, call: Call) -> list[str]:
    sizes = [size] if call.flag("size") else []
    return [mode, cid, *sizes, time, name] if call.flag("long") else [cid, *sizes, name]


def _mode_text(link: Value) -> str:
    """In the style of Unix ``ls -l``; dashes for bits that are not stored."""
    kind = {1: "d", 4: "l", 5: "d"}.get(link["Type"], "-")
    mode = link["Mode"]
    return kind + "".join(letter if mode >> 8 - at & 1 else "-" for at, letter in enumerate("rwxrwxrwx"))


def _refs_text(value: Value, call: Call) -> str:
    return f"{value['Ref']}\n" if not value["Err"] else ""


_SHOW_PROGRESS = flag("progress", "Show progress", default=True, short="p")._replace(client_only=True)
_ADD_OPTIONS = (
    flag("recursive", "Add directories with their contents", short="r"),
    flag("hidden", "Include hidden files when recursing", short="H"),
    flag("empty-dirs", "Include empty directories", default=True, short="E"),
    Option("ignore", OptionType.TEXTS, "Leave out entries that match this pattern, as in .gitignore; repeatable"),
    text("ignore-rules-path", "Leave out entries that match the patterns in this file"),
    flag("dereference-symlinks", "Add what symlinks point to instead of the symlinks"),
    flag("dereference-args", "Add what the symlinks on the line point to", deprecated="--dereference-symlinks"),
    text("stdin-name", "Name of the file read from standard input"),
    flag("quiet", "Print CIDs only", short="q"),
    flag("quieter", "Print the last CID only", short="Q"),
    flag("silent", "Print nothing"),
    flag("progress", "Report progress", short="p")._replace(client_only=True),
    flag("only-hash", "Compute the CID, store nothing", short="n"),
    flag("wrap-with-directory", "Wrap the files in a directory, so that their names are kept", short="w"),
    flag("pin", "Pin what is added", default=True),
    text("pin-name", "Name of the pin"),
    text("resume-key", "For clients that send files: key under which an interrupted add resumes"),
    text("job-title", "For clients that send files: title of this add in `jobs`"),
    flag(
        "roots-only", "For clients that read nothing before they have sent all: report the top level only, at the end"
    ),
    flag(
        "more-follows",
        "For clients that send files in several requests: keep these for the next one of this resume-key",
    ),
    text("to-files", "Put the result into the mutable files too, at this path; below it if it ends with /"),
    Option("cid-version", OptionType.INT, "CID version, 0 or 1 (default: Import.CidVersion of the config)"),
    text("hash", "Hash function (default: Import.HashFunction)"),
    flag("raw-leaves", "Store the data of files as raw blocks (default: Import.UnixFSRawLeaves)"),
    text("chunker", "How files are cut: size-N, rabin, rabin-MIN-AVG-MAX, buzhash, fastcdc", short="s"),
    flag("trickle", "Use the trickle layout instead of the balanced one", short="t"),
    number("max-file-links", "Most links of a node of a file (0, the default: Import.UnixFSFileMaxLinks)"),
    number("max-directory-links", "Most entries of a directory that is not sharded; 0: only its size counts"),
    number("max-hamt-fanout", "Buckets per node of a sharded directory (default: Import.UnixFSHAMTDirectoryMaxFanout)"),
    flag("inline", "Put small blocks into their CIDs"),
    number("inline-limit", "Most bytes of an inlined block, up to 128", default=32),
    flag("nocopy", "Leave the data in the files; they must not change (implies raw leaves)"),
    ignored("fscache", "what a file's bytes are is always looked at"),
    flag("preserve-mode", "Store the permissions of files and directories (files then have no raw leaves)"),
    flag("preserve-mtime", "Store when files and directories were modified (files then have no raw leaves)"),
    text("mode", "Store these permissions for all entries, as 0644"),
    Option("mtime", OptionType.INT, "Store this time of modification for all entries, in seconds since 1970"),
    number("mtime-nsecs", "Nanoseconds of --mtime"),
    flag("fast-provide-root", "Accepted for Kubo's scripts: roots are always announced at once", default=True),
    flag("fast-provide-dag", "Accepted for Kubo's scripts: blocks below a root are announced in turn"),
    flag("fast-provide-wait", "Accepted for Kubo's scripts: the command never waits for announcements"),
    text("cid-profile", "Rules that decide the CID, instead of the config's Import section", choices=PROFILES),
)

COMMANDS = (
    Command(
        ("add",),
        "Add a file or a folder and print its CID",
        "cidery.commands.run.adding:add",
        "cidery add -r photos",
        (Argument("path", "Files or folders; - for standard input", Input.FILES, required=False, variadic=True),),
        _ADD_OPTIONS,
        Output.STREAM,
        result=AddEvent,
        text=_add_text,
        progress=True,
        loopless=True,
        loops_with=("to-files",),
        description="The CID depends on the Import section of the config, written at `init` from the profile\n"
        "unixfs-v1-2025 (or unixfs-v0-2015 for a binary named ipfs). Hidden files are skipped unless -H, or\n"
        "Import.Hidden of the config (profile data) says otherwise.\n"
        "A path may be an http:// or https:// URL.",
    ),
    Command(
        ("cat",),
        "Print the contents of files",
        "cidery.commands.run.reading:cat",
        "cidery cat bafy.../readme.md > readme.md",
        (PATH,),
        (
            number("offset", "First byte to print", default=0, short="o"),
            number("length", "Most bytes to print (default: all)", short="l"),
            _SHOW_PROGRESS,
            SESSION,
        ),
        Output.BYTES,
        media_type="text/plain",
        repo=Repo.READ,
        loopless=True,
        at_hand=True,
        progress=True,
    ),
    Command(
        ("get",),
        "Save a file or folder to disk",
        "cidery.commands.run.getting:get",
        "cidery get -o photos bafy...",
        (Argument("path", PATH.help, Input.TEXT_OR_STDIN),),
        (
            text("output", "Where to save it (default: here, by its name); - for standard output", short="o")._replace(
                client_only=True
            ),
            flag("archive", "Save a TAR archive", short="a"),
            flag("compress", "Compress with gzip", short="C"),
            number("compression-level", "1 (fast) to 9 (small)", short="l"),
            number("skip-files", "Leave out the first files of the stream: for clients that have them", default=0),
            number("skip-bytes", "Leave out the first bytes of the next file", default=0),
            _SHOW_PROGRESS,
            SESSION,
        ),
        Output.BYTES,
        media_type="application/x-tar",
        other_media_type="application/gzip",
        repo=Repo.READ,
        progress=True,
        loopless=True,
        description="Nothing is ever written outside the target: names and symlinks that point out are refused.\n"
        "An interrupted run resumes where it was when it is repeated.",
    ),
    Command(
        ("ls",),
        "List a directory",
        "cidery.commands.run.listing:ls",
        "cidery ls bafy...",
        (PATH,),
        (
            flag("headers", "Print a header line", short="v"),
            flag("resolve-type", "Read each entry to show its type", default=True),
            flag("size", "Read each entry to show its size", default=True),
            flag("stream", "Print entries as they arrive", short="s"),
            flag("long", "Print permissions and time of modification, where they are stored", short="l"),
            *page_options("the name"),
        ),
        Output.STREAM,
        result=LsResult,
        text=_ls_text,
        repo=Repo.READ,
        loopless=True,
    ),
    Command(
        ("refs",),
        "List the links of an object",
        "cidery.commands.run.listing:refs",
        "cidery refs -r -u bafy...",
        (PATH,),
        (
            text("format", "Form of a line, from <src>, <dst> and <linkname>", default="<dst>"),
            flag("edges", "Print <src> -> <dst>", short="e"),
            flag("unique", "Print each CID once", short="u"),
            flag("recursive", "Follow the links", short="r"),
            number("max-depth", "Follow at most so many links deep (needs -r); -1: no bound", default=-1),
            *page_options("the place (At of --encoding json)"),
        ),
        Output.STREAM,
        result=RefLine,
        text=_refs_text,
        repo=Repo.READ,
        loopless=True,
    ),
    Command(
        ("refs", "local"),
        "List the CIDs of all blocks stored here",
        "cidery.commands.run.listing:refs_here",
        "cidery refs local",
        options=page_options("the CID"),
        output=Output.STREAM,
        result=RefLine,
        text=_refs_text,
        repo=Repo.READ,
        loopless=True,
    ),
)
