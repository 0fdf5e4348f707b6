"""What a gateway that everybody reaches must not do: change anything, or let caches mix visitors up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.budgets import STRANGER_NAMES
from cidery.commands.registry import all_commands
from cidery.dns.interface import NoSuchDomain, TxtAnswer
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.message import Request, Response

HELLO = "bafkqabtimvwgy3yk"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        yield Site(node.api, GatewayOptions(fetches=False, no_dnslink=True))


async def ask(site: Site, target: str, method: str = "GET", **headers: str) -> Response:
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    request = Request(method, target, {"host": "localhost:8080", **given}, client="203.0.113.5")
    return site.at_hand(request) or await site.handle(request)


METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL")


@pytest.mark.parametrize("method", METHODS)
async def test_no_command_can_be_run_over_it(site: Site, method: str) -> None:
    paths = [f"/api/v0/{'/'.join(command.path)}" for command in all_commands()]
    for path in [
        *paths,
        "/api/v0",
        "/api/v0/",
        "/api/v0/shutdown",
        "//api/v0/id",
        "/API/v0/id",
        "/webui",
        "/debug/vars",
    ]:
        answer = await ask(site, f"{path}?arg={HELLO}", method, content_length="0")
        assert answer.status in (400, 404, 405) if ".." in path else (404, 405), (method, path)


@pytest.mark.parametrize("method", [one for one in METHODS if one not in ("GET", "HEAD", "OPTIONS")])
async def test_content_cannot_be_written(site: Site, method: str) -> None:
    for target in (f"/ipfs/{HELLO}", "/ipfs/", f"/ipfs/{HELLO}/a", "/ipns/example.com", "/"):
        answer = await ask(site, target, method, content_length="0")
        assert answer.status in (404, 405)


async def test_a_redirect_to_a_host_that_a_header_named_is_not_for_other_visitors(site: Site) -> None:
    answer = await ask(site, f"/ipfs/{HELLO}", x_forwarded_host="localhost:1", x_forwarded_proto="https")
    assert answer.status in (301, 302, 307, 308)
    assert answer.headers["Location"].startswith("https://") and "localhost:1" in answer.headers["Location"]
    assert {"X-Forwarded-Host", "X-Forwarded-Proto"} <= set(answer.headers["Vary"].split(", "))
    plain = await ask(site, f"/ipfs/{HELLO}")
    assert "localhost:8080" in plain.headers["Location"]
    assert {"X-Forwarded-Host", "X-Forwarded-Proto"} <= set(plain.headers["Vary"].split(", "))


async def test_content_that_a_header_named_is_not_for_other_visitors(site: Site) -> None:
    answer = await ask(site, "/", x_forwarded_host=f"{HELLO}.ipfs.localhost")
    assert (answer.status, answer.body) == (200, b"hello\n")
    assert "X-Forwarded-Host" in answer.headers["Vary"]
    usual = await ask(site, "/", host=f"{HELLO}.ipfs.localhost")
    assert (usual.status, usual.body) == (200, b"hello\n") and "Vary" not in usual.headers, "caches know the Host"


class Txt:
    """DNSLinks of all names below example.org; those asked for are known from then on."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def txt(self, name: str) -> TxtAnswer:
        if not self.is_known(name):
            self.asked.append(name)
        if not name.endswith(".example.org"):
            raise NoSuchDomain(name, "TXT")
        return TxtAnswer((f"dnslink=/ipfs/{HELLO}",), 60.0)

    def is_known(self, name: str) -> bool:
        return name in self.asked


@pytest.mark.parametrize("host", [False, True])
async def test_a_stranger_has_a_limited_number_of_names_looked_up_and_known_ones_are_free(
    tmp_path: Path, host: bool
) -> None:
    txt = Txt()
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        node.api.naming.resolver._txt = txt
        site = Site(node.api, GatewayOptions(fetches=True))

        async def named(name: str, client: str = "203.0.113.5") -> Response:
            given = {"host": name if host else "127.0.0.1:8080"}
            return await site.handle(Request("GET", "/" if host else f"/ipns/{name}", given, client=client))

        for number in range(int(STRANGER_NAMES.burst)):
            assert (await named(f"a{number}.example.org")).status == 200
        refused = await named("further.example.org")
        assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
        assert len(txt.asked) == STRANGER_NAMES.burst, "nobody was asked for it"
        for _ in range(3):
            assert (await named("a0.example.org")).status == 200
        assert (await named("further.example.org", client="203.0.113.6")).status == 200
        for number in range(int(STRANGER_NAMES.burst) + 1):
            assert (await named(f"b{number}.example.org", client="127.0.0.1")).status == 200, "the owner has no limit"
