"""Turns facts about a CID into plain sentences: its state, and what to do. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from cidery.core.diagnosis.facts import (
    Announcement,
    Answer,
    Fact,
    Fetch,
    PeerAnswer,
    Pinned,
    ProviderAnswer,
    Reach,
    RouterAnswer,
    Standing,
    Stored,
)
from cidery.multiformats.cid import CID

NAMED = 3
"""Peers named in one sentence."""
NO_RELAY = "no relay has granted a reservation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion."""

    stage: str
    """"stored", "incomplete", "finding", "dialling", "asking", "receiving", "stalled" or "absent" (offline)."""
    summary: str
    """One sentence or two."""
    advice: tuple[str, ...]
    """What to do, most useful first; empty: nothing."""
    notes: tuple[str, ...] = ()
    """Totals, and what had not finished when the time was up."""


@dataclass(slots=True)
class Known:
    """All facts so far; a newer one of the same subject replaces the older."""

    cid: CID
    online: bool
    asked_for: CID | None = None
    """The block that others were asked for: the CID, or the first missing one below it."""
    stored: Stored | None = None
    pinned: Pinned | None = None
    announcement: Announcement | None = None
    standing: Standing | None = None
    fetches: list[Fetch] = field(default_factory=list)
    peers: dict[str, PeerAnswer] = field(default_factory=dict)
    routers: dict[str, RouterAnswer] = field(default_factory=dict)
    providers: dict[str, ProviderAnswer] = field(default_factory=dict)

    def learn(self, fact: Fact) -> None:
        """Add a fact."""
        match fact:
            case Stored():
                self.stored = fact
            case Pinned():
                self.pinned = fact
            case Announcement():
                self.announcement = fact
            case Standing():
                self.standing = fact
            case Fetch():
                self.fetches.append(fact)
            case PeerAnswer():
                self.peers[fact.peer] = fact
            case RouterAnswer():
                self.routers[fact.router] = fact
            case ProviderAnswer():
                self.providers[fact.peer] = fact

    def who(self, *answers: Answer) -> list[str]:
        """Peers whose last answer is one of these."""
        return [peer for peer, fact in self.peers.items() if fact.answer in answers]

    @property
    def holders(self) -> list[str]:
        """Peers that have the block."""
        return self.who(Answer.HAVE, Answer.BLOCK)

    @property
    def whole(self) -> bool:
        """Whether this node has everything, as far as is known."""
        return self.stored is not None and self.stored.root and not self.stored.missing and not self.stored.damage


def verdict(known: Known, now: float) -> Verdict:
    """The meaning of ``known`` at ``now`` (seconds since 1970)."""
    return replace(_judged(known, now), notes=tuple(_notes(known)))


def _notes(known: Known) -> Iterator[str]:
    """Totals, and what has not finished."""
    if known.peers:
        counts = [
            (len(known.holders), "has it", "have it"),
            (len(known.who(Answer.DONT_HAVE)), "does not have it", "do not have it"),
            (len(known.who(Answer.GONE)), "is gone or speaks no Bitswap", "are gone or speak no Bitswap"),
            (len(known.who(Answer.WAITING)), "has not answered", "have not answered"),
        ]
        parts = [f"{number} {one if number == 1 else many}" for number, one, many in counts if number]
        yield f"{count(len(known.peers), 'peer')} asked: {', '.join(parts)}"
    for router in known.routers.values():
        if not router.done:
            yield f"{router.router} has not ended: {count(router.providers, 'provider')} so far"
    for provider in known.providers.values():
        if provider.state == "dialling":
            yield f"provider {provider.peer} is still being dialled"
    if known.pinned is not None and not known.pinned.complete and not known.pinned.holds:
        yield "not all pins were looked through"


def _judged(known: Known, now: float) -> Verdict:
    if known.stored is None:
        return Verdict("finding", "The store did not answer in time.", ("ask again with a longer --timeout",))
    if known.whole:
        return _owner(known, now)
    return _reader(known)


# --- an owner


def _owner(known: Known, now: float) -> Verdict:
    stored = known.stored
    assert stored is not None  # verdict() has looked
    sentences = [f"It is stored here whole: {_blocks(stored)}." if stored.complete else _so_far(stored)]
    advice: list[str] = []
    if known.pinned is not None and known.pinned.complete and not known.pinned.holds:
        sentences.append("No pin holds it.")
        advice.append(f"keep it: cidery pin add {known.cid}")
    if not known.online:
        sentences.append("The node is offline, so nobody can get it from here.")
        advice.insert(0, "start the daemon to share it: cidery daemon; then ask again without --offline")
        return Verdict("stored", " ".join(sentences), tuple(advice))
    for sentence, what in (_announced(known, now), _reachable(known)):
        sentences += [sentence] if sentence else []
        advice += [what] if what else []
    return Verdict("stored", " ".join(sentences), tuple(advice))


def _so_far(stored: Stored) -> str:
    return f"All of it that was looked at in the time given is stored here: {_blocks(stored)}."


def _announced(known: Known, now: float) -> tuple[str, str]:
    """(what is known about its announcement, what to do)."""
    fact, cid = known.announcement, known.cid
    if fact is None:
        return "", ""
    if fact.off:
        near = known.standing is not None and known.standing.reach in (Reach.LOCAL, Reach.PRIVATE)
        advice = f"readers must connect to this node themselves; or: {fact.remedy}, and restart the daemon"
        return f"It is not announced: {fact.off}.", "" if near else advice
    if fact.at is not None:
        to = f"to {count(fact.peers, 'peer')}" if fact.peers is not None else ""
        due = f", next in {span(fact.due - now)}" if fact.due is not None and fact.due > now else ""
        return f"It was announced {to + ' ' if to else ''}{span(now - fact.at)} ago{due}.", ""
    if not fact.known_peers:
        return "It is not announced yet: no peer that serves the DHT is known.", (
            "connect to a peer that serves the DHT: cidery swarm connect ADDRESS; see cidery stats dht"
        )
    if fact.waiting:
        return "It is not announced yet, but about to be.", f"to have it announced now: cidery provide once {cid}"
    return "It is not announced: it is not among what Provide.Strategy names.", (
        f"announce it: cidery provide once {cid}, or pin it: cidery pin add {cid}"
    )


def _reachable(known: Known) -> tuple[str, str]:
    """(whether others can dial this node, what to do)."""
    fact = known.standing
    if fact is None:
        return "", ""
    if fact.reach is Reach.REACHABLE:
        return "Others can reach this node.", ""
    if fact.reach is Reach.PRIVATE:
        return f"Only its private network can get it: {fact.why}.", ""
    if fact.relayed:
        return fact.relayed, ""
    if fact.reach is Reach.LOCAL:
        return f"Only nodes near can get it: {fact.why}.", ""
    ports = " and ".join(fact.ports) or "its port"
    help_ = f"have your router pass on {ports} to this machine, or connect from here to the peer that wants it"
    if fact.reach is Reach.UNREACHABLE:
        return f"Others cannot reach this node: {fact.why}; {NO_RELAY}.", help_
    return f"Whether others can reach this node is not known: {fact.why}.", (
        f"if it is behind a router, {help_} ({NO_RELAY})"
    )


# --- a reader


def _reader(known: Known) -> Verdict:
    stored = known.stored
    assert stored is not None  # verdict() has looked
    begin, again = _what_is_here(stored), f"cidery pin add {known.cid}" if stored.root else f"cidery get {known.cid}"
    if stored.damage and not stored.missing:
        return Verdict("incomplete", f"{begin} {stored.damage}.", ("check the store: cidery repo verify --heal",))
    if not known.online:
        start = f"start the daemon to fetch it: cidery daemon; then {again}, without --offline"
        return Verdict("incomplete" if stored.root else "absent", begin, (start,))
    for stage, sentence, advice in _stages(known, again):
        return Verdict(stage, f"{begin} {sentence}", tuple(one for one in advice if one))
    raise AssertionError("the last stage always fits")


def _what_is_here(stored: Stored) -> str:
    if not stored.root:
        return "It is not stored here."
    least = "" if stored.complete else "at least "
    names = ", ".join(map(str, stored.missing[:NAMED]))
    more = ", ..." if stored.missing_count > NAMED else ""
    return f"A part of it is stored here: {_blocks(stored)}; {least}{stored.missing_count} missing ({names}{more})."


def _stages(known: Known, again: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(stage, sentence, advice) of every case that applies; the first one counts."""
    if known.fetches:
        yield _under_way(known)
    if known.holders:
        one = "has" if len(known.holders) == 1 else "have"
        yield "receiving", f"{peers(known.holders)} {one} it.", (f"get it: {again}",)
    silent = known.who(Answer.WAITING)
    named_silent = [peer for peer in silent if peer in known.providers]
    if named_silent:
        what = "is connected but does" if len(named_silent) == 1 else "are connected but do"
        yield "asking", f"{peers(named_silent)}, said to have it, {what} not answer.", (_patience(again),)
    if known.providers:
        yield _providers(known, again)
    if silent:
        yield "asking", f"{peers(silent)} {'has' if len(silent) == 1 else 'have'} not answered.", (_patience(again),)
    yield _nobody(known)


def _patience(again: str) -> str:
    return f"wait for them: {again} continues when they answer; or connect to another: cidery swarm connect ADDRESS"


def _under_way(known: Known) -> tuple[str, str, Sequence[str]]:
    state = known.fetches[0].state
    got = f"it has got {count(state.blocks, 'block')}, {size(state.bytes)}"
    begin = f"It is being fetched ({state.stage}): {got}"
    stalled = [one for one in state.sources if one.stalled]
    if state.stage == "stalled" and stalled:
        silent = max(one.silent or state.silent for one in stalled)
        who = peers([one.source for one in stalled])
        return (
            "stalled",
            f"{begin}, and waits for {who}, silent for {span(silent)}.",
            ("it continues when they answer; or connect to another peer that has it: cidery swarm connect ADDRESS",),
        )
    if state.stage in ("finding", "dialling") and not known.holders:
        return _and(begin, _providers(known, "") if known.providers else _nobody(known))
    return state.stage, f"{begin}; the last one came {span(state.silent)} ago.", ()


def _and(begin: str, rest: tuple[str, str, Sequence[str]]) -> tuple[str, str, Sequence[str]]:
    return rest[0], f"{begin}. {rest[1]}", rest[2]


def _providers(known: Known, again: str) -> tuple[str, str, Sequence[str]]:
    """Routers named some, but none of them is known to have it."""
    providers = list(known.providers.values())
    failed = [one for one in providers if one.state == "failed"]
    dialling = [one for one in providers if one.state == "dialling"]
    connected = [one for one in providers if one.state in ("connected", "gateway")]
    if dialling:
        who = peers([one.peer for one in dialling])
        return "dialling", f"{count(len(providers), 'provider')} found; {who} cannot be reached so far.", (
            "ask again with a longer --timeout; or reach the owner another way: cidery swarm connect ADDRESS",
        )  # fmt: skip
    if connected:
        them = "it says that it does" if len(connected) == 1 else "they say that they do"
        return "asking", f"{peers([one.peer for one in connected])} announced it, but now {them} not have it.", (
            "ask the owner whether it is still there: cidery why CID on that machine",
        )  # fmt: skip
    if failed:
        first = failed[0]
        found = "the provider found" if len(failed) == 1 else f"the {len(failed)} providers found"
        return "dialling", f"{found[0].upper()}{found[1:]} cannot be dialled: {first.failure}.", (
            "ask the owner to run cidery why CID there: it says whether that machine can be reached from outside",
            "or reach the owner another way: cidery swarm connect ADDRESS",
        )  # fmt: skip
    return "dialling", f"{count(len(providers), 'provider')} found, not dialled.", ()


def _nobody(known: Known) -> tuple[str, str, Sequence[str]]:
    """No connected peer has it, and no provider was named."""
    said_no = known.who(Answer.DONT_HAVE, Answer.GONE)
    asked = f"None of {count(len(said_no), 'connected peer')} has it" if said_no else "No peer is connected"
    connect = "connect to a peer that has it: cidery swarm connect ADDRESS"
    local = known.standing is not None and known.standing.reach in (Reach.LOCAL, Reach.PRIVATE)
    routers = [one for one in known.routers.values() if one.knows != 0]
    tables = [one for one in known.routers.values() if one.knows is not None]
    if not known.routers:
        return "finding", f"{asked}, and no router is asked (Routing.Type, Routing.DelegatedRouters).", (connect,)
    if tables and not any(one.knows for one in tables) and not any(_is_remote(one) for one in routers):
        return "finding", f"{asked}, and the DHT knows no peer yet.", (
            connect if local else f"{connect}; or to any peer of the network, see cidery bootstrap list",
        )  # fmt: skip
    slow = [one.router for one in routers if not one.done]
    failed = [one for one in routers if one.failure]
    if slow:
        have = "has" if len(slow) == 1 else "have"
        return "finding", f"{asked}; {' and '.join(slow[:NAMED])} {have} not answered.", (
            "ask again with a longer --timeout", connect,
        )  # fmt: skip
    answered = [one.router for one in routers if not one.failure and (one.knows is not None or _is_remote(one))]
    if not answered and failed:
        return "finding", f"{asked}, and no router answered: {failed[0].failure}.", (
            "check the network connection of this machine", connect,
        )  # fmt: skip
    return "finding", f"{asked}, and nobody announces it ({', '.join(answered[: NAMED + 1])} asked).", (
        f"ask the owner to run cidery provide once {known.asked_for or known.cid}", f"or {connect}",
    )  # fmt: skip


def _is_remote(router: RouterAnswer) -> bool:
    return router.router.startswith(("http://", "https://"))


# --- words


def peers(names: Sequence[str]) -> str:
    """``12D3KooWabc``, or the first few and how many more."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def count(number: int, what: str) -> str:
    """``1 peer``, ``3 peers``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Bytes for people."""
    return f"{number} bytes" if number < 1 << 20 else f"{number / (1 << 20):.1f} MiB"


def span(seconds: float) -> str:
    """A duration for people: its largest unit."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _blocks(stored: Stored) -> str:
    return f"{count(stored.blocks, 'block')}, {size(stored.bytes)}"
