"""The gateway of a running daemon against the whole table of `gateway check`, each request a test."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from functools import cache
from pathlib import Path

import pytest

from cidery.gateway.check.model import Check, Site
from cidery.gateway.check.names import V1_MISMATCHED, V1_ONLY, V2_BROKEN
from cidery.gateway.check.provision import PUBLIC_GATEWAYS, domain_map, provision
from cidery.gateway.check.run import Outcome, run_all
from cidery.gateway.check.table import table
from cidery.gateway.check.wire import Place, parse_url
from peers.cidery_daemon import CideryDaemon
from peers.gateway_workers import GatewayWorkers
from peers.line_peer import PeerFailed

BROKEN = {V1_ONLY, V1_MISMATCHED, V2_BROKEN}
HOSTS = ("example.com", "localhost")
"""Whose subdomains are served: one from the config, one that is always there."""


def depends_on_host(check: Check) -> bool:
    return any(leaf.startswith(("subdomain", "redirects", "proxy")) for leaf in check.leaves)


CASES = [
    pytest.param(host, number, id=f"{host}-{'+'.join(check.leaves)}: {check.name}{' (ours)' * check.ours}")
    for host in HOSTS
    for number, check in enumerate(table(Site("http", "example.com:8080")))  # names and order are those of any port
    if host == HOSTS[0] or depends_on_host(check)
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    """A node that holds the fixtures."""
    folder = tmp_path_factory.mktemp("conformance")
    provision(folder / "fixtures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPFS_NS_MAP", domain_map())
        with CideryDaemon(folder / "node", {"Gateway.PublicGateways": PUBLIC_GATEWAYS}) as node:
            load(node, folder / "fixtures")
            yield node


@pytest.fixture(scope="module")
def gateway(node: CideryDaemon) -> Place:
    return parse_url((node.repo / "gateway").read_text())


def load(node: CideryDaemon, fixtures: Path) -> None:
    node.run("dag", "import", "--pin-roots=false", *map(str, sorted((fixtures / "cars").iterdir())))
    for record in sorted((fixtures / "records").iterdir()):
        words = ("routing", "put", "--allow-offline", f"/ipns/{record.name}", str(record))
        if record.name in BROKEN:
            with pytest.raises(PeerFailed, match="bad IPNS record"):
                node.run(*words)
        else:
            node.run(*words)


@pytest.fixture(scope="module")
def outcomes(gateway: Place) -> Iterator[object]:
    """Makes all requests for a host, once."""
    yield cache(lambda host: asyncio.run(made(gateway, host)))


async def made(gateway: Place, host: str) -> list[Outcome]:
    checks = table(Site("http", f"{host}:{gateway.port}"))
    async with aclosing(run_all(gateway, checks)) as running:
        return [outcome async for outcome in running]


@pytest.mark.parametrize(("host", "number"), CASES)
def test_the_gateway_answers_as_the_specifications_say(outcomes, host: str, number: int) -> None:  # type: ignore[no-untyped-def]
    outcome = outcomes(host)[number]
    assert not outcome.differences, (outcome.asked, outcome.answer)


@pytest.mark.parametrize("host", HOSTS)
def test_workers_beside_the_daemon_answer_so_too(node: CideryDaemon, tmp_path: Path, host: str) -> None:
    with GatewayWorkers(node.repo, tmp_path / "log") as workers:
        found = asyncio.run(made(parse_url(f"http://127.0.0.1:{workers.port}"), host))
    assert found and not [(one.asked, one.differences) for one in found if one.differences]
