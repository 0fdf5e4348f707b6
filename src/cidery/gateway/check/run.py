"""Makes the requests of a table and compares the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from cidery.errors import CideryError
from cidery.gateway.check.compare import differences
from cidery.gateway.check.model import Answer, Ask, Check
from cidery.gateway.check.wire import ANSWER_SECONDS, Place, send
from cidery.tasks import end

AT_ONCE = 8
"""Requests made at once: a gateway under test may be small."""


class Outcome(NamedTuple):
    """What became of one check."""

    check: Check
    asked: Ask
    """The request as sent: what depends on the first answer is filled in."""
    answer: Answer | None
    """None: there was none."""
    differences: tuple[str, ...]
    """Empty: passed."""


async def run_all(place: Place, table: Sequence[Check], at_once: int = AT_ONCE) -> AsyncGenerator[Outcome, None]:
    """The outcomes in the order of the table. Cancellation, or an end of the iteration, ends all requests."""
    places = asyncio.Semaphore(at_once)

    async def one(check: Check) -> Outcome:
        async with places:
            return await run_one(place, check)

    tasks = [asyncio.create_task(one(check)) for check in table]
    try:
        for task in tasks:
            yield await task
    finally:
        await end(tasks)


async def run_one(place: Place, check: Check) -> Outcome:
    """Never raises because of what the gateway does."""
    asked = check.ask
    try:
        first = await send(place, check.first) if check.first is not None else None
        if first is not None:
            asked = filled(asked, first)
        answer = await send(place, asked)
    except CideryError as exc:
        return Outcome(check, asked, None, (str(exc),))
    except TimeoutError:
        return Outcome(check, asked, None, (f"no whole answer within {ANSWER_SECONDS:.0f} s",))
    return Outcome(check, asked, answer, tuple(differences(check.expect, answer, first)))


def filled(asked: Ask, first: Answer) -> Ask:
    """A request whose headers quote the Etag of the first answer."""
    etag = first.header("Etag") or ""
    tag = etag.removeprefix("W/").strip('"')
    headers = tuple((name, value.replace("{etag}", etag).replace("{tag}", tag)) for name, value in asked.headers)
    return asked._replace(headers=headers)
