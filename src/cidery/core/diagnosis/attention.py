"""What of a node's state needs somebody's attention, in a sentence each. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cidery.core.diagnosis.clock import ADVICE

LITTLE_SPACE = 0.05
"""Share of the disk that is left when other programs begin to fail."""
NEARLY_FULL = 0.9
"""Share of StorageMax, as of any other budget, from which on it is mentioned."""
BEHIND = 0.1
"""Share of what is announced that may be late: a round that is under way always has some."""


class Use(NamedTuple):
    """How much of a budget is used."""

    name: str
    used: float
    limit: float


class Standing(NamedTuple):
    """The state of a node."""

    online: bool
    peers: int
    reachable: int
    """Addresses at which others reached it..."""
    unreachable: int
    """... and those at which they failed."""
    disk_free: int
    disk_total: int
    """Bytes of the disk; 0: not known."""
    stored: int
    storage_max: int
    announced: int
    """What is to be announced, in keys..."""
    late: int
    """... and of these what was not within its time."""
    interrupted: int
    """Jobs."""
    failed: int
    uses: Sequence[Use]
    certificate: str = ""
    """Why there is no certificate for browsers, if one was asked for."""
    clock: str = ""
    """Why the clock cannot be right."""
    relayed: bool = False
    """Whether others reach it through a relay."""


def attention(found: Standing) -> list[str]:
    """What to look at, the most pressing first; empty if nothing."""
    said: list[str] = []
    if found.disk_total and found.disk_free < found.disk_total * LITTLE_SPACE:
        free = f"{found.disk_free / 1e9:,.1f} GB"
        said.append(f"the disk is nearly full, {free} are left: cidery repo gc, or move the repository")
    if found.storage_max and found.stored > found.storage_max * NEARLY_FULL:
        said.append("the repository has nearly reached Datastore.StorageMax: cidery repo gc, or raise it")
    if found.online and not found.peers:
        said.append("no peer is connected: look at the connection and at Bootstrap, or: cidery swarm connect ADDRESS")
    if found.clock:
        said.append(f"the clock is wrong, {found.clock}: names expire by it, and others refuse what it dates; {ADVICE}")
    if found.online and found.unreachable and not found.reachable and not found.relayed:
        said.append("others cannot dial this node, its content reaches only whom it dials: cidery swarm addrs autonat")
    if found.certificate:
        said.append(f"no certificate for browsers, {found.certificate}: cidery swarm addrs autonat")
    if found.announced and found.late > found.announced * BEHIND:
        said.append(f"{found.late:,} of {found.announced:,} keys are announced too late: cidery provide stat")
    if found.interrupted:
        said.append(f"{found.interrupted} jobs were interrupted: cidery jobs, cidery jobs resume")
    if found.failed:
        said.append(f"{found.failed} jobs have failed: cidery jobs")
    said += [
        f"{one.name}: {100 * one.used / one.limit:.0f} % of the budget is used"
        for one in found.uses
        if one.limit and one.used >= one.limit * NEARLY_FULL
    ]
    return said
