"""Looks whether a table of checks can tell anything: whether there is a gateway, and whether the fixtures are on it."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from cidery.errors import CideryError, Unavailable
from cidery.gateway.check.dag import dag
from cidery.gateway.check.model import Answer, Ask, ask
from cidery.gateway.check.provision import archives
from cidery.gateway.check.wire import Place, Unreachable, send

PROBE_SECONDS = 10.0
"""Longest wait for an answer that a gateway with the fixtures has at hand; one without may search for minutes."""
EMPTY = "bafkqaaa"
"""The CID of no bytes, which it holds itself: every gateway has it ("probe", trustless gateway specification)."""


class NoGateway(Unavailable):
    """Something else answers there."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url} is no IPFS gateway: {self.reason}"


class NoFixtures(Unavailable):
    """The gateway has nothing of what the table asks for."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def __str__(self) -> str:
        return (
            f"the fixtures are not on this gateway ({self.url} gave none within {PROBE_SECONDS:.0f} s); "
            "`cidery gateway check --provision DIR` writes them, with how to load them"
        )


async def probe(place: Place) -> frozenset[str]:
    """The archives of the fixtures that are not there: nothing is to be asked of them, as each question takes a minute.

    Raises Unreachable: nothing listens; NoGateway; NoFixtures. At most 2 * PROBE_SECONDS and a connection.
    """
    wanted = f"HEAD {_target(EMPTY)}"
    try:
        answer = await _settled(place, EMPTY)
    except Unreachable:
        raise
    except TimeoutError as exc:
        raise NoGateway(place.url, f"no answer to {wanted} within {PROBE_SECONDS:.0f} s") from exc
    except CideryError as exc:
        raise NoGateway(place.url, str(exc)) from exc
    if answer.status != 200:
        raise NoGateway(place.url, f"it answers {wanted} with {answer.status}, where every gateway says 200")
    paths = archives()
    roots = {path: str(dag(path).root) for path in paths}
    async with asyncio.TaskGroup() as group:
        asked = {cid: group.create_task(_is_held(place, cid)) for cid in set(roots.values())}
    missing = frozenset(path for path in paths if not asked[roots[path]].result())
    if len(missing) == len(paths):
        raise NoFixtures(place.url)
    return missing


async def _is_held(place: Place, cid: str) -> bool:
    try:
        return (await _settled(place, cid)).status == 200
    except (CideryError, TimeoutError):
        return False


async def _settled(place: Place, cid: str) -> Answer:
    """The answer to HEAD of a block, also if it is the one of the subdomain that the gateway leads to.

    Raises as send().
    """
    answer = await send(place, ask(_target(cid), method="HEAD"), PROBE_SECONDS)
    moved = _below_host(answer.header("Location") or "") if 300 <= answer.status < 400 else None
    return answer if moved is None else await send(place, moved, PROBE_SECONDS)


def _target(cid: str) -> str:
    return f"/ipfs/{cid}?format=raw"


def _below_host(location: str) -> Ask | None:
    """The request that a redirect to ``CID.ipfs.HOST`` leads to, for the same server; None: it is no such redirect."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    if ".ipfs." not in parts.netloc or not parts.netloc.isascii() or not parts.netloc.isprintable():
        return None
    return ask(f"{parts.path or '/'}?{parts.query}", method="HEAD", host=parts.netloc)
