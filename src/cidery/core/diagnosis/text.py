"""Facts about a CID as lines for people and as JSON. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from cidery.core.diagnosis.facts import (
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
from cidery.core.diagnosis.verdict import Verdict, count, size, span
from cidery.multiformats.cid import CID

Show = Callable[[CID], str]
_ANSWERS = {
    Answer.HAVE: "has it",
    Answer.BLOCK: "has it, and sent it at once",
    Answer.GONE: "is gone, or speaks no Bitswap",
}


def line_of(fact: Fact | Verdict, now: float, show: Show = str) -> str:
    """One line, several for a verdict; "" for a fact not worth a line yet. ``now``: seconds since 1970."""
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
            reach = f"{_REACH[fact.reach.value]}, {fact.why}"
            if fact.relayed:
                reach = f"{reach}. {fact.relayed.removesuffix('.')}"
            return f"reachable from outside: {reach}; connected to {count(fact.connected, 'peer')}"
        case Fetch():
            return _fetch(fact)
        case PeerAnswer():
            return _peer(fact)
        case RouterAnswer():
            return _router(fact)
        case ProviderAnswer():
            if fact.state == "failed":
                return f"provider {fact.peer} cannot be dialled ({span(fact.seconds)}): {fact.failure}"
            state = {"connected": "is connected", "gateway": "is asked over HTTP"}.get(fact.state)
            return f"provider {fact.peer} {state}" if state else ""


_REACH = {"reachable": "yes", "unreachable": "no", "unknown": "not known", "local": "no", "private": "no"}


def _peer(fact: PeerAnswer) -> str:
    what = _ANSWERS.get(fact.answer)
    agent = f", {fact.agent}" if fact.agent else ""
    if "://" in fact.peer:
        what = "does not answer as a gateway should" if fact.answer is Answer.GONE else what
        return f"gateway {fact.peer} {what} ({fact.seconds:.2f} s)" if what else ""
    return f"peer {fact.peer} {what} ({fact.seconds:.2f} s{agent})" if what else ""


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


def _fetch(fact: Fetch) -> str:
    state = fact.state
    lines = [f"being fetched: {state.stage}, {count(state.blocks, 'block')}, {size(state.bytes)} so far"]
    for one in state.sources:
        parts = [f"{count(one.blocks, 'block')}, {one.outstanding} owed"]
        parts += [f"last answer {one.last_answer}"] if one.last_answer else ["no answer yet"]
        parts += [f"silent for {span(one.silent)}"] if one.silent is not None else []
        parts += ["stalled"] if one.stalled else []
        lines.append(f"    {one.source}: {', '.join(parts)}")
    return "\n".join(lines)


def _router(fact: RouterAnswer) -> str:
    if not fact.done or (fact.own and not fact.providers):
        return ""
    if fact.knows == 0:
        return f"{fact.router}: knows no peer"
    if fact.failure:
        return f"{fact.router}: failed, {fact.failure.removeprefix(f'router {fact.router}: ')}"
    return f"{fact.router}: {count(fact.providers, 'provider')} in {fact.seconds:.1f} s"


class Finding(NamedTuple):
    """One new fact, or the verdict."""

    kind: str
    """"Stored", "Pinned", "Announcement", "Standing", "Fetch", "Peer", "Router", "Provider", or "Verdict", the last."""
    text: str
    """For people; "" for a fact that is incomplete or was reported before."""
    details: dict[str, Any]
    """See diagnosis.facts and diagnosis.verdict; names in CamelCase, as over RPC."""


class Report(NamedTuple):
    """The final state of a CID; as text, the output of `cidery why`."""

    stage: str
    """See diagnosis.verdict.Verdict, also for the next two."""
    summary: str
    advice: tuple[str, ...]
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return "\n".join(one.text for one in self.findings if one.text)


def report_of(findings: Sequence[Finding]) -> Report:
    """The report of all findings, the last of which is the verdict."""
    last = findings[-1].details
    return Report(str(last["Stage"]), str(last["Summary"]), tuple(map(str, last["Advice"])), tuple(findings))


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
