"""Definition of why."""

from typing import Any, TypedDict

from cidery.commands.definition import Argument, Call, Command, Output, Repo, Value


class Finding(TypedDict):
    Type: str
    """"Stored", "Pinned", "Announcement", "Standing", "Fetch", "Peer", "Router", "Provider", and "Verdict", the last.
    A later one about the same peer or router replaces the earlier."""
    Text: str
    """For people; "" for an incomplete fact."""
    Details: dict[str, Any]
    """See diagnosis.facts and diagnosis.verdict; names in CamelCase."""


def _finding(value: Value, call: Call) -> str:
    return f"{value['Text']}\n" if value["Text"] else ""


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
        repo=Repo.READ,
        live=True,
        description="Takes at most ten seconds (--timeout for another time) and fetches nothing: connected peers are\n"
        "asked whether they have the block, routers who has it, and those they name are dialled. Without\n"
        "a daemon it says what is stored and pinned.",
    ),
)
