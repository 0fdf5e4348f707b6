"""``gateway check``: the requests of the table to a gateway, or the fixtures for one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from cidery.commands.bind import BadCall
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.gateway import GatewayCheck
from cidery.gateway.check.model import Check, Site
from cidery.gateway.check.needed import lacks
from cidery.gateway.check.probe import probe
from cidery.gateway.check.provision import provision
from cidery.gateway.check.report import absent, finding, summary
from cidery.gateway.check.run import run_all
from cidery.gateway.check.table import selected, table, wanted
from cidery.gateway.check.wire import Place, parse_url

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
"""Hosts whose gateway serves the subdomains of ``localhost``."""


async def check(context: Context, call: Call) -> AsyncGenerator[GatewayCheck, None]:
    """First what is not on the gateway, then one value for each check, and a last one with the counts.

    Raises BadCall, BadUrl, UnknownLeaf, Unreachable, NoGateway, NoFixtures, CannotProvision.
    """
    url, folder = call.optional("url"), call.text("provision")
    if folder:
        if url:
            raise BadCall("--provision writes files for a node to load; check the gateway in a call of its own")
        await asyncio.to_thread(provision, Path(folder))
        return
    if not url:
        raise BadCall("argument 'url' is required, such as http://127.0.0.1:8080")
    place, leaves = parse_url(url), wanted(call.text("specs"))
    site = site_of(place, call.text("subdomain-url"))
    missing = await probe(place)
    checks = table(site)
    made, without = [], Counter[str]()
    for one in selected(checks, leaves):
        if path := lacks(one, missing):
            without[path] += 1
        else:
            made.append(one)
    for path, count in sorted(without.items()):
        yield absent(path, count)
    skipped = [one for one in checks if one not in made]
    outcomes: list[tuple[Check, bool]] = []
    async with aclosing(run_all(place, made)) as running:
        async for outcome in running:
            outcomes.append((outcome.check, not outcome.differences))
            yield finding(place, outcome)
    yield summary(outcomes, skipped, complete=not without)


def site_of(place: Place, subdomain_url: str) -> Site:
    """The origin with subdomains: as given, else ``localhost`` for a gateway here, else the gateway's own host.

    Raises BadUrl.
    """
    origin = parse_url(subdomain_url) if subdomain_url else place
    if not subdomain_url and origin.host in THIS_MACHINE:
        origin = origin._replace(host="localhost")
    return Site(origin.scheme, origin.authority)
