"""Definition of why."""

from __future__ import annotations

from cidery.commands.definition import Argument, Call, Command, Output, Repo, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict
else:
    from cidery.light_types import TypedDict


class Finding(TypedDict):
    Type: str
    """"Stored", "Pinned", "Announcement", "Standing", "Fetch", "Peer", "Router", "Provider", and "Verdict", the last.
    A later one about the same peer or router replaces the earlier."""
    Text: str
    """For people; "" for an incomplete fact."""
    Details: dict[str, Any]
    """See diagnosis.facts and diagnosis.verdict; names in CamelCase."""


def _finding(value: Value, call: Call) -> str:
    from cidery.commands.escaping import escaped

    if not value["Text"]:
        return ""
    # only a verdict has several lines; others' texts (a peer's name of its software) are one
    lines = value["Text"].split("\n") if value["Type"] == "Verdict" else [value["Text"]]
    return "".join(f"{escaped(line)}\n" for line in lines)


COMMANDS = (
    Command(
        ("why",),
        "Explain the state of a CID: stored, announced, reachable; who has it, where it stalls, what to do",
        "cidery.commands.run.why:why",
        "cidery why bafy...",
        (Argument("path", "CID or path"),),
        (),
        Output.STREAM,
        result=Finding,
        text=_finding,
        verbatim=True,
        repo=Repo.READ,
        live=True,
        description="Takes at most ten seconds (--timeout for another time) and fetches nothing: connected peers are\n"
        "asked whether they have the block, routers who has it, and those they name are dialled. Without\n"
        "a daemon it says what is stored and pinned.",
    ),
)
