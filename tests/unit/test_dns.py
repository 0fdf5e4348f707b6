"""Look-ups against a DNS server on this machine, by UDP and over HTTPS's protocol without its encryption."""

import asyncio
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from aiohttp import web

from cidery.dns.interface import DnsUnavailable, NoSuchDomain
from cidery.dns.service import BadResolver, Dns, check_resolver

ZONE = {
    ("_dnslink.example.org.", "TXT"): ['"dnslink=/ipfs/bafkqaaa" ', '"other" "text"'],
    ("example.org.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("example.org.", "AAAA"): ["2001:db8::1"],
    ("empty.example.org.", "A"): [],
}


def answer(wire: bytes) -> bytes:
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    question = query.question[0]
    name, kind = question.name.to_text(), question.rdtype.name
    if name == "broken.example.org.":
        reply.set_rcode(dns.rcode.SERVFAIL)
    elif not any(known == name for known, _ in ZONE):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif ZONE.get((name, kind)):
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
    return reply.to_wire()


class Server(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        self.transport.sendto(answer(data), addr)  # type: ignore[attr-defined]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def udp() -> AsyncIterator[tuple[Server, str]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    yield server, f"udp://127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    transport.close()


@pytest.fixture
async def https() -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        assert request.content_type == "application/dns-message"
        if request.path == "/away":
            raise web.HTTPFound("/dns-query")
        if request.path == "/endless":
            return web.Response(body=bytes(1 << 20))
        return web.Response(body=answer(await request.read()), content_type="application/dns-message")

    app = web.Application()
    app.router.add_post("/{any}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(params=["udp", "https"])
def resolver(request: pytest.FixtureRequest, udp: tuple[Server, str], https: str) -> Dns:
    return Dns({".": udp[1] if request.param == "udp" else f"{https}/dns-query"}, Clock())


async def test_txt_records_are_found_with_their_strings_joined(resolver: Dns) -> None:
    found = await resolver.txt("_dnslink.Example.org")
    assert sorted(found.texts) == ["dnslink=/ipfs/bafkqaaa", "othertext"]
    assert found.ttl == 60


async def test_addresses_of_both_versions_are_found(resolver: Dns) -> None:
    assert sorted(await resolver.addresses("example.org", 4)) == ["192.0.2.1", "192.0.2.2"]
    assert await resolver.addresses("example.org.", 6) == ("2001:db8::1",)


async def test_a_name_that_is_not_there_and_one_without_such_a_record_are_not_found(resolver: Dns) -> None:
    for name in ("nothing.example.org", "empty.example.org"):
        with pytest.raises(NoSuchDomain, match=f"{name} has no TXT record"):
            await resolver.txt(name)


async def test_a_resolver_that_fails_is_named_as_such(resolver: Dns) -> None:
    with pytest.raises(DnsUnavailable):
        await resolver.txt("broken.example.org")


async def test_answers_are_remembered_for_their_ttl(udp: tuple[Server, str]) -> None:
    clock = Clock()
    resolver = Dns({".": udp[1]}, clock)
    for _ in range(3):
        await resolver.txt("_dnslink.example.org")
    assert udp[0].asked == 1
    clock.now = 59.0
    assert (await resolver.txt("_dnslink.example.org")).ttl == pytest.approx(1.0)
    clock.now = 61.0
    await resolver.txt("_dnslink.example.org")
    assert udp[0].asked == 2


async def test_each_domain_has_its_resolver_and_no_other_is_asked(udp: tuple[Server, str]) -> None:
    resolver = Dns({"example.org.": udp[1]}, Clock())
    assert await resolver.addresses("example.org", 4)
    with pytest.raises(DnsUnavailable, match="no resolver is configured"):
        await resolver.addresses("example.com", 4)
    with pytest.raises(DnsUnavailable, match="no resolver is configured"):
        await Dns({}, Clock()).txt("example.org")


@pytest.mark.parametrize("path", ["away", "endless"])
async def test_redirects_and_endless_answers_are_refused(https: str, path: str) -> None:
    with pytest.raises(DnsUnavailable, match="127.0.0.1"):
        await Dns({".": f"{https}/{path}"}, Clock()).txt("example.org")


async def test_a_resolver_that_is_not_there_is_named_as_such() -> None:
    with pytest.raises(DnsUnavailable, match="127.0.0.1"):
        await Dns({".": "http://127.0.0.1:9/dns-query"}, Clock()).txt("example.org")


@pytest.mark.parametrize("url", ["", "ftp://x", "udp://127.0.0.1", "https://", "udp://[", "udp://x:y"])
def test_what_is_no_resolver_is_refused(url: str) -> None:
    with pytest.raises(BadResolver):
        check_resolver(url)
