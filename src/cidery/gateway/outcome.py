"""Why content did not come, in a sentence: what the session that waited for it knows. Pure, and asks nobody."""

from __future__ import annotations

from cidery.exchange.stats import SessionStats


def outcome(stats: SessionStats) -> str:
    """Who was asked, and who was found; "" if the session had no network."""
    if stats.stage == "local" and not stats.sources:
        return ""
    parts = [_sources(stats)]
    found, reached, failed = stats.providers
    if found:
        going_on = found - reached - failed
        counts = [(reached, "reached"), (failed, "not reachable"), (going_on, "still being dialled")]
        told = ", ".join(f"{number} {what}" for number, what in counts if number)
        parts.append(f"{_count(found, 'provider was', 'providers were')} found in the network: {told}")
    elif stats.stage == "finding":
        parts.append("the search for providers has not found one yet")
    elif stats.searched:
        parts.append("no provider was found in the network")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _sources(stats: SessionStats) -> str:
    if not stats.sources:
        return "no peer is connected that could be asked"
    sent, lacking = len(stats.by_source), stats.lacking
    silent = stats.sources - lacking - sent
    counts = [
        (lacking, "does not have it", "do not have it"),
        (sent, "sent a part of it", "sent parts of it"),
        (silent, "has not answered", "have not answered"),
    ]
    told = ", ".join(f"{number} {one if number == 1 else many}" for number, one, many in counts if number > 0)
    return f"{_count(stats.sources, 'peer was', 'peers were')} asked: {told}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
