"""Facts about a CID as lines for people and as JSON. Pure."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from cidery.core.facts import (
    Announcement,
    Answer,
    Fact,
    Fetch,
    PeerAnswer,
    Pinned,
    ProviderAnswer,
    RouterAnswer,
    Standing,
    Stored,
)
from cidery.core.verdict import Verdict, count, size, span
from cidery.multiformats.cid import CID

Show = Callable[[CID], str]
_ANSWERS = {Answer.HAVE: "has it", Answer.BLOCK: "sent it at once", Answer.GONE: "is gone, or speaks no Bitswap"}


def line_of(fact: Fact | Verdict, now: float, show: Show = str) -> str:
    """One line, several for a verdict; "" for what is not worth a line yet. ``now``: seconds since 1970."""
    match fact:
        case Verdict():
            lines = [*fact.notes, f"-> {fact.stage}: {fact.summary}", *(f"   * {one}" for one in fact.advice)]
            return "\n".join(lines)
        case Stored():
            return _stored(fact, show)
        case Pinned():
            return _pinned(fact, now, show)
        case Announcement():
            return _announcement(fact, now)
        case Standing():
            return f"reachable from outside: {_REACH[fact.reach.value]} ({fact.why}); {count(fact.connected, 'peer')}"
        case Fetch():
            state = fact.state
            return f"being fetched: {state.stage}, {count(state.blocks, 'block')}, {size(state.bytes)} so far"
        case PeerAnswer():
            what = _ANSWERS.get(fact.answer)
            return f"peer {fact.peer} {what} ({fact.seconds:.2f} s{_agent(fact)})" if what else ""
        case RouterAnswer():
            return _router(fact)
        case ProviderAnswer():
            if fact.state == "failed":
                return f"provider {fact.peer} cannot be dialled ({span(fact.seconds)}): {fact.failure}"
            return f"provider {fact.peer} is connected" if fact.state == "connected" else ""


_REACH = {"reachable": "yes", "unreachable": "no", "unknown": "not known", "local": "no", "private": "no"}


def _agent(fact: PeerAnswer) -> str:
    return f", {fact.agent}" if fact.agent else ""


def _stored(fact: Stored, show: Show) -> str:
    if not fact.complete:
        return ""
    if not fact.root:
        return "stored here: no"
    here = f"{count(fact.blocks, 'block')}, {size(fact.bytes)}"
    if fact.whole:
        return f"stored here: whole, {here}"
    reason = f", damaged: {fact.damage}" if fact.damage else ""
    names = ", ".join(map(show, fact.missing)) + (", ..." if fact.missing_count > len(fact.missing) else "")
    missing = f", {fact.missing_count} missing: {names}" if fact.missing_count else ""
    return f"stored here: in part, {here}{missing}{reason}"


def _pinned(fact: Pinned, now: float, show: Show) -> str:
    if not fact.complete:
        return ""
    lines = []
    for hold in fact.holds:
        through = f" through {show(hold.through)}" if hold.through is not None else ""
        name = f" ({hold.name})" if hold.name else ""
        ends = f", ends in {span(hold.expires - now)}" if hold.expires is not None else ""
        kind = "by mutable files" if hold.kind == "files" else hold.kind
        lines.append(f"{kind}{through}{name}{ends}")
    return f"pinned: {'; '.join(lines) or 'no'}"


def _announcement(fact: Announcement, now: float) -> str:
    if fact.off:
        return f"announced: no, {fact.off}"
    if fact.at is None:
        return "announced: not yet" if fact.waiting else "announced: no"
    to = f", to {count(fact.peers, 'peer')}" if fact.peers is not None else ""
    due = f", due in {span(fact.due - now)}" if fact.due is not None else ""
    return f"announced: {span(now - fact.at)} ago{to}{due}"


def _router(fact: RouterAnswer) -> str:
    if not fact.done:
        return ""
    if fact.knows == 0:
        return f"{fact.router}: knows no peer"
    if fact.failure:
        return f"{fact.router}: failed, {fact.failure.removeprefix(f'router {fact.router}: ')}"
    return f"{fact.router}: {count(fact.providers, 'provider')} in {fact.seconds:.1f} s"


def kind_of(fact: Fact | Verdict) -> str:
    """``Stored``, ``Router``, ..."""
    return type(fact).__name__.removesuffix("Answer")


def details_of(fact: object, show: Show = str) -> Any:
    """JSON of a fact: fields in CamelCase, None left out."""
    if isinstance(fact, CID):
        return show(fact)
    if isinstance(fact, Enum):
        return fact.value
    if isinstance(fact, dict):
        return {key: details_of(value, show) for key, value in fact.items()}
    if is_dataclass(fact):
        given = [(one.name, getattr(fact, one.name)) for one in fields(fact)]
    elif isinstance(fact, tuple) and hasattr(fact, "_asdict"):
        given = list(fact._asdict().items())
    elif isinstance(fact, list | tuple):
        return [details_of(one, show) for one in fact]
    else:
        return round(fact, 3) if isinstance(fact, float) else fact
    return {_camel(name): details_of(value, show) for name, value in given if value is not None}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
