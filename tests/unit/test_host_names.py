"""Looking host names up in threads that nobody waits for."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from cidery import host_names
from cidery.host_names import (
    MAX_LOOKUPS,
    TooManyLookups,
    address_in,
    addresses_of,
    http_connector,
    known_by_arithmetic,
)


async def test_addresses_are_their_own_and_names_are_looked_up() -> None:
    assert await addresses_of("192.0.2.1") == [(socket.AF_INET, "192.0.2.1")]
    assert await addresses_of("fe80::1%eth0") == [(socket.AF_INET6, "fe80::1%eth0")]
    assert (socket.AF_INET, "127.0.0.1") in await addresses_of("localhost")
    assert await addresses_of("localhost", socket.AF_INET) == [(socket.AF_INET, "127.0.0.1")]


@pytest.mark.parametrize("name", ["a..b", "x" * 300, "\0"])
async def test_what_is_no_name_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(OSError):
        await addresses_of(name)


async def test_an_http_client_looks_up_the_same_way() -> None:
    async with http_connector() as connector:
        (found,) = await connector._resolver.resolve("localhost", 80, socket.AF_INET)
        assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 80, "localhost")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that answers nothing until the test is over."""
    over, begun = threading.Event(), threading.Semaphore(0)

    def getaddrinfo(*_: object) -> list[object]:
        begun.release()
        over.wait()
        return []

    monkeypatch.setattr(host_names.socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()
    for thread in threading.enumerate():
        if thread.name == "cidery-host-name":
            thread.join()


def test_a_loop_ends_at_once_while_a_name_server_is_silent(silent: None) -> None:
    async def ask() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await addresses_of("example.com")

    asyncio.run(ask())  # returns: the silence lasts until the test is over


async def test_look_ups_under_way_are_bounded(silent: None) -> None:
    waiting = [asyncio.ensure_future(addresses_of("example.com")) for _ in range(MAX_LOOKUPS)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyLookups, match="name server"):
        await addresses_of("example.com")
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("1-2-3-4.k51.example.direct", "1.2.3.4"),
        ("1-2-3-4.K51.Example.Direct.", "1.2.3.4"),
        ("2001-db8--1.k51.example.direct", "2001:db8::1"),
        ("0--1.k51.example.direct", "::1"),
        ("1-2-3-4.example.direct", None),
        ("1-2-3-4.a.k51.example.direct", None),
        ("1-2-3-400.k51.example.direct", None),
        ("_acme-challenge.k51.example.direct", None),
        ("1-2-3-4.k51.example.org", None),
        ("", None),
    ],
)
def test_a_name_below_a_brokers_domain_says_its_address(name: str, address: str | None) -> None:
    found = address_in(name, "example.direct")
    assert (None if found is None else str(found)) == address


async def test_names_are_read_without_a_look_up_while_a_node_says_so() -> None:
    with known_by_arithmetic("example.direct"), known_by_arithmetic("example.direct"):
        assert await addresses_of("1-2-3-4.k51.example.direct") == [(socket.AF_INET, "1.2.3.4")]
        with pytest.raises(OSError, match="no address of that kind"):
            await addresses_of("1-2-3-4.k51.example.direct", socket.AF_INET6)
    assert not host_names._by_arithmetic
