"""Which archives of the fixtures a check is about: without them it can tell nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from cidery.gateway.check.dag import dag
from cidery.gateway.check.model import Ask, Check
from cidery.gateway.check.names import DOMAINS, inlined, records, value_of
from cidery.gateway.check.provision import archives
from cidery.ipns.record import IpnsRecordError
from cidery.multiformats.cid import CID, CIDError

MAX_NAMES = 4
"""Names that lead to names."""
_WORD = re.compile(r"[A-Za-z0-9.-]+")


def lacks(check: Check, missing: Collection[str]) -> str:
    """The first archive of ``missing`` without which the check cannot pass; "": it has what it needs."""
    words = [word for asked in (check.ask, check.first) if asked is not None for word in _words(asked)]
    for word in words:
        held = _archives_of(word)
        if held and all(path in missing for path in held):
            return min(held)
    return ""


def _words(asked: Ask) -> list[str]:
    """What may be a CID or a name: parts of the target, labels of the host and the host itself."""
    text = " ".join((asked.target, asked.host, asked.tunnel, *(value for _, value in asked.headers)))
    found = _WORD.findall(text)
    return [*found, *(label for word in found for label in word.split(".") if label != word)]


@cache
def _archives_of(word: str, depth: int = MAX_NAMES) -> frozenset[str]:
    """The archives that hold what a word names; empty: it names nothing of the fixtures."""
    led = _led().get(word, "")
    if led and depth:
        return _archives_of(led.split("/")[2], depth - 1)
    try:
        return _holders().get(CID.parse(word).multihash, frozenset())
    except CIDError:
        return frozenset()


@cache
def _led() -> dict[str, str]:
    """Where each name of the fixtures leads."""
    found = {name: path for domain, path in DOMAINS.items() for name in (domain, inlined(domain))}
    for record in records():
        try:
            found[record.name] = value_of(record.name)
        except IpnsRecordError:
            continue  # one of those that are broken on purpose
    return found


@cache
def _holders() -> dict[bytes, frozenset[str]]:
    found: dict[bytes, frozenset[str]] = {}
    for path in archives():
        for cid in dag(path).cids():
            found[cid.multihash] = found.get(cid.multihash, frozenset()) | {path}
    return found
