"""Definitions of cid format, base32, inspect, bases, codecs, hashes and explain, and of multibase."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Input, Output, Repo, Value, flag, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict

CIDS = Argument("cid", "CIDs", Input.TEXT_OR_STDIN, variadic=True)
FORMAT_HELP = """The format may contain:
  %%  a percent sign               %b  name of the multibase      %B  its letter
  %v  version as cidv0, cidv1      %V  version as a number        %P  all of %v-%c-%h-%L
  %c  name of the codec            %C  its number
  %h  name of the hash function    %H  its number                 %L  length of the digest
  %m  multihash in the multibase   %M  without its letter
  %d  digest in the multibase      %D  without its letter
  %s  the CID                      %S  without its letter"""


class CidFormatted(TypedDict):
    CidStr: str
    Formatted: str
    ErrorMsg: str


class CodeAndName(TypedDict):
    Code: int
    Name: str


class CidParts(TypedDict):
    """The parts of a CID; ``Cid`` as it was given."""

    Cid: str
    Version: int
    Multibase: str
    Prefix: str
    Codec: str
    CodecCode: int
    Hash: str
    HashCode: int
    DigestLength: int
    Digest: str
    """Hexadecimal."""
    CidV0: str
    """"" if it has no CIDv0 form."""
    CidV1: str


class Difference(TypedDict):
    Setting: str
    A: str
    B: str
    Option: str
    """Option of ``add`` that makes the other CID; "" if there is none."""


class Explained(TypedDict):
    A: str
    B: str
    Same: bool
    """Whether the bytes below are known to be the same."""
    Differences: list[Difference]
    Conclusion: str


def _formatted(value: Value, call: Call) -> str:
    return f"{value['Formatted']}\n" if not value["ErrorMsg"] else ""


def _inspected(value: Value, call: Call) -> str:
    lines = (
        ("CID:", value["Cid"]),
        ("Version:", str(value["Version"])),
        ("Multibase:", f"{value['Multibase']} ({value['Prefix']})" if value["Prefix"] else value["Multibase"]),
        ("Multicodec:", f"{value['Codec']} (0x{value['CodecCode']:x})"),
        ("Multihash:", f"{value['Hash']} (0x{value['HashCode']:x})"),
        ("  Length:", f"{value['DigestLength']} bytes"),
        ("  Digest:", value["Digest"]),
        ("CIDv0:", value["CidV0"] or "none: it must be sha2-256 and dag-pb"),
        ("CIDv1:", value["CidV1"]),
    )
    return "".join(f"{name:<12}{what}\n" for name, what in lines)


def _names(value: Value, call: Call) -> str:
    """Kubo's columns: the letter, the number, the name."""
    lines: list[str] = []
    for one in value:  # a list of CodeAndName
        assert isinstance(one, dict)
        shown = chr(one["Code"]) if 32 <= one["Code"] < 127 or one["Code"] > 255 else " "
        number = f"{one['Code']:>{7 if 'prefix' in call.options else 5}}  " if call.flag("numeric") else ""
        letter = shown + (" " if number else "  ") if call.options.get("prefix") else ""
        lines.append(f"{letter}{number}{one['Name']}\n")
    return "".join(lines)


def _explained(value: Value, call: Call) -> str:
    lines = [f"A {value['A']}", f"B {value['B']}", ""]
    for one in value["Differences"]:
        advice = f"  (add {one['Option']})" if one["Option"] else ""
        lines.append(f"{one['Setting']}: {one['A']} / {one['B']}{advice}")
    if value["Differences"]:
        lines.append("")
    return "\n".join([*lines, value["Conclusion"]]) + "\n"


_PREFIX = flag("prefix", "Include the letters")
_NUMERIC = flag("numeric", "Include the numbers")
_NUMERIC_SHORT = flag("numeric", "Include the numbers", short="n")
_SUPPORTED = flag("supported", "Only those that commands can read and write", short="s")
_BASE = text("base", "Multibase, see: cidery multibase list", default="base64url", short="b")
_DATA = Argument("file", "A file; standard input if absent", Input.FILE_OR_STDIN)

COMMANDS = (
    Command(
        ("cid", "format"),
        "Show CIDs in another form",
        "cidery.commands.run.cid:format_cids",
        "cidery cid format -v 1 -b base32 Qm...",
        (CIDS,),
        (
            text("format", "Form of a line, see below", default="%s", short="f"),
            text("cid-version", "Convert to this version", short="v", choices=("0", "1")),
            text("codec", "Convert to this codec", alias="mc"),
            text("base", "Multibase of the output", short="b"),
        ),
        Output.STREAM,
        result=CidFormatted,
        text=_formatted,
        verbatim=True,
        repo=Repo.NONE,
        description=FORMAT_HELP,
    ),
    Command(
        ("cid", "base32"),
        "Convert CIDs to CIDv1 in base32",
        "cidery.commands.run.cid:base32",
        "cidery cid base32 Qm...",
        (CIDS,),
        (),
        Output.STREAM,
        result=CidFormatted,
        text=_formatted,
        verbatim=True,
        repo=Repo.NONE,
    ),
    Command(
        ("cid", "inspect"),
        "Show the parts of a CID",
        "cidery.commands.run.cid:inspect",
        "cidery cid inspect bafy...",
        (CIDS,),
        (),
        Output.STREAM,
        result=CidParts,
        text=_inspected,
        repo=Repo.NONE,
    ),
    Command(
        ("cid", "bases"),
        "List the multibases",
        "cidery.commands.run.cid:bases",
        "cidery cid bases --prefix",
        options=(_PREFIX, _NUMERIC),
        result=list[CodeAndName],
        text=_names,
        repo=Repo.NONE,
    ),
    Command(
        ("cid", "codecs"),
        "List the codecs that a CID may name",
        "cidery.commands.run.cid:codecs",
        "cidery cid codecs --supported",
        options=(_NUMERIC_SHORT, _SUPPORTED),
        result=list[CodeAndName],
        text=_names,
        repo=Repo.NONE,
    ),
    Command(
        ("cid", "hashes"),
        "List the hash functions",
        "cidery.commands.run.cid:hashes",
        "cidery cid hashes --numeric",
        options=(_NUMERIC_SHORT, _SUPPORTED),
        result=list[CodeAndName],
        text=_names,
        repo=Repo.NONE,
    ),
    Command(
        ("cid", "explain"),
        "Show which settings make two CIDs of the same data differ",
        "cidery.commands.run.explain:explain",
        "cidery cid explain Qm... bafy...",
        (Argument("a", "CID or path"), Argument("b", "CID or path")),
        result=Explained,
        text=_explained,
        verbatim=True,
        repo=Repo.READ,
        description="Reads a few blocks of each: chunk size, raw leaves, links per node, layout, shape of directories.",
    ),
    Command(
        ("multibase", "encode"),
        "Print bytes as text in a multibase",
        "cidery.commands.run.cid:multibase_encode",
        "cidery multibase encode -b base32 file.bin",
        (_DATA,),
        (_BASE,),
        Output.BYTES,
        media_type="text/plain",
        repo=Repo.NONE,
    ),
    Command(
        ("multibase", "decode"),
        "Print the bytes of text in any multibase",
        "cidery.commands.run.cid:multibase_decode",
        "cidery multibase decode text.txt",
        (_DATA,),
        (),
        Output.BYTES,
        media_type="application/octet-stream",
        repo=Repo.NONE,
    ),
    Command(
        ("multibase", "transcode"),
        "Convert text from any multibase to another",
        "cidery.commands.run.cid:multibase_transcode",
        "cidery multibase transcode -b base64url text.txt",
        (_DATA,),
        (_BASE,),
        Output.BYTES,
        media_type="text/plain",
        repo=Repo.NONE,
    ),
    Command(
        ("multibase", "list"),
        "List the multibases",
        "cidery.commands.run.cid:bases",
        "cidery multibase list --prefix",
        options=(_PREFIX, _NUMERIC),
        result=list[CodeAndName],
        text=_names,
        repo=Repo.NONE,
    ),
)
