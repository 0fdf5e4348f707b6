"""The status command."""

from __future__ import annotations

from cidery.commands.byte_size import human_size
from cidery.commands.definition import Call, Command, Value, Where

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class BudgetLine(TypedDict):
    Name: str
    Unit: str
    Used: float
    Limit: float | None
    """None: there is no limit."""


class Announced(TypedDict):
    """Keys of what is announced."""

    Keys: int
    Done: int
    """Within the interval."""
    Late: int


class Status(TypedDict):
    ID: str
    Version: str
    Online: bool
    Peers: int
    Inbound: int
    Reachable: list[str]
    """Addresses at which others reached this node."""
    Listening: list[str]
    RPC: list[str]
    Gateway: str
    """Its URL; "": it does not listen."""
    TotalIn: int
    TotalOut: int
    RateIn: float
    RateOut: float
    RepoPath: str
    RepoSize: int
    StorageMax: int
    Blocks: int
    Pins: int
    Jobs: int
    """Unfinished ones."""
    Budgets: list[BudgetLine]
    Announced: Announced | None
    """None: nothing is announced."""
    Attention: list[str]
    """What somebody should look at, in a sentence each."""


def _amount(value: float, unit: str) -> str:
    if unit.startswith("bytes"):
        return human_size(round(value)) + unit.removeprefix("bytes").replace(" a second", "/s")
    return f"{value:,.0f}"


def _budget(line: Value) -> str:
    used, limit, unit = line["Used"], line["Limit"], line["Unit"]
    most = "no limit" if limit is None else f"of {_amount(limit, unit)}"
    return f"  {line['Name']:32} {_amount(used, unit):>12} {most}\n"


def _text(value: Value, call: Call) -> str:
    rows = [("peer id", value["ID"]), ("version", value["Version"])]
    if value["Online"]:
        peers = f"{value['Peers']} ({value['Inbound']} came to us)"
        rows += [("peers", peers), ("listening", ", ".join(value["Listening"]) or "nowhere")]
        rows.append(("reachable", ", ".join(value["Reachable"]) or "not known to be, see: cidery swarm addrs autonat"))
        went = f"{human_size(value['TotalIn'])} in, {human_size(value['TotalOut'])} out since the start"
        rows.append(("traffic", went))
    elif value["RPC"]:
        rows.append(("network", "not asked, as --offline says; a daemon runs"))
    else:
        rows.append(("network", "off; start it with: cidery daemon"))
    if value["RPC"]:
        rows.append(("RPC", ", ".join(value["RPC"])))
    if value["Gateway"]:
        rows.append(("gateway", value["Gateway"]))
    used = f"{human_size(value['RepoSize'])} of {human_size(value['StorageMax'])} in {value['RepoPath']}"
    rows += [("repository", used), ("blocks", f"{value['Blocks']:,}, pins {value['Pins']:,}")]
    rows.append(("jobs", f"{value['Jobs']} unfinished" + (", see: cidery jobs" if value["Jobs"] else "")))
    if (announced := value["Announced"]) is not None:
        rows.append(("announced", f"{announced['Done']:,} of {announced['Keys']:,} keys, {announced['Late']:,} late"))
    rows += [("attention" if not number else "", said) for number, said in enumerate(value["Attention"])]
    out = "".join(f"{name:12}{text}\n" for name, text in rows)
    return out + ("budgets\n" + "".join(map(_budget, value["Budgets"])) if value["Budgets"] else "")


class Resources(TypedDict):
    Budgets: list[BudgetLine]


COMMANDS = (
    Command(
        ("swarm", "resources"),
        "Show how much peers use of what they may use",
        "cidery.commands.run.status:resources",
        "cidery swarm resources",
        result=Resources,
        text=lambda value, call: "".join(map(_budget, value["Budgets"])),
        where=Where.DAEMON,
        description="docs/design/budgets.md has all budgets.",
    ),
    Command(
        ("status",),
        "Show how the node is: peers, traffic, space, budgets, and what needs attention",
        "cidery.commands.run.status:status",
        "cidery status",
        result=Status,
        text=_text,
        live=True,
        description="What others may use up is bounded: docs/design/budgets.md has all budgets. Swarm.Limits of the "
        "config bounds the traffic.",
    ),
)
