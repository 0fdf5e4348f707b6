"""Services that do not behave, each a server of its own on this machine."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from cidery.errors import InvalidInput, NotFound
from cidery.pinning.io import http_service
from cidery.pinning.io.http_service import (
    EndlessPages,
    HttpPinningService,
    KeyRefused,
    NoSuchRequest,
    RedirectRefused,
    ServiceRefused,
    ServiceUnreachable,
)
from cidery.pinning.records import BadAnswer, Query

CID_TEXT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

ANY = Query()


def pin(created: str = "2020-07-27T17:32:28Z", name: str = "") -> dict[str, Any]:
    return {"requestid": "r", "status": "pinned", "created": created, "pin": {"cid": CID_TEXT, "name": name}}


def answer(status: int, body: bytes | dict[str, Any] = b"", *headers: str) -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    head = [f"HTTP/1.1 {status} Word", f"Content-Length: {len(data)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + data


@asynccontextmanager
async def served(answers: Callable[[str], bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """(endpoint, heads that were heard) of a server that answers each head."""
    heard: list[str] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(head)
        try:
            writer.write(answers(head))
            await writer.drain()
        except ConnectionError:
            pass  # the client has seen enough
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def every(endpoint: str, query: Query = ANY, key: str = "secret-key") -> list[Any]:
    async with HttpPinningService(endpoint, key) as service, aclosing(service.every(query)) as pins:
        return [one async for one in pins]


async def test_pages_are_read_to_the_end_and_the_key_is_sent() -> None:
    def pages(head: str) -> bytes:
        if "before=2020-07-27T17%3A32%3A29.5Z" in head:
            return answer(200, {"count": 1, "results": [pin()]})
        return answer(200, {"count": 2, "results": [pin("2020-07-27T17:32:29.5Z")]})

    async with served(pages) as (endpoint, heard):
        found = await every(f"{endpoint}/v1", Query(statuses=("pinned", "failed")))
    assert [one.created.text for one in found] == ["2020-07-27T17:32:29.5Z", "2020-07-27T17:32:28Z"]
    assert heard[0].startswith("GET /v1/pins?status=pinned%2Cfailed&limit=100 HTTP/1.1\r\n")
    assert all("Authorization: Bearer secret-key\r\n" in head for head in heard) and len(heard) == 2


async def test_pages_that_do_not_go_on_are_left() -> None:
    async with served(lambda _: answer(200, {"count": 5, "results": [pin()]})) as (endpoint, heard):
        with pytest.raises(EndlessPages, match="does not go on"):
            await every(endpoint)
        assert len(heard) == 2


async def test_a_list_may_not_be_longer_than_it_began() -> None:
    times = iter(range(59, 0, -1))
    pages = lambda _: answer(200, {"count": 2, "results": [pin(f"2020-07-27T17:32:{next(times):02}Z")]})  # noqa: E731
    async with served(pages) as (endpoint, heard):
        with pytest.raises(EndlessPages, match="more than the 2 pins"):
            await every(endpoint)
        assert len(heard) == 3


async def test_a_huge_answer_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_service, "MAX_ANSWER", 1 << 20)
    body = b'{"count":1,"results":[' + b" " * (8 << 20)
    async with served(lambda _: answer(200, body)) as (endpoint, _):
        with pytest.raises(BadAnswer, match="more than 1048576 bytes"):
            await every(endpoint)


async def test_a_compressed_answer_is_refused_since_it_may_unfold_without_end() -> None:
    async with served(lambda _: answer(200, b"\x1f\x8b", "Content-Encoding: gzip")) as (endpoint, _):
        with pytest.raises(BadAnswer, match="compressed"):
            await every(endpoint)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_key_is_not_sent_to_another_host(status: int) -> None:
    async with served(lambda _: answer(200, {"count": 0, "results": []})) as (other, heard):
        away = lambda _: answer(status, b"", f"Location: {other}/pins")  # noqa: E731
        async with served(away) as (endpoint, _):
            with pytest.raises(RedirectRefused, match=f"redirects to {other}, which would be sent the key"):
                await every(endpoint)
    assert not heard


async def test_a_redirect_within_the_service_is_followed_but_not_for_ever() -> None:
    def inside(head: str) -> bytes:
        if head.startswith("GET /v2/"):
            return answer(200, {"count": 0, "results": []})
        return answer(308, b"", "Location: /v2/pins")

    async with served(inside) as (endpoint, heard):
        assert await every(endpoint) == [] and len(heard) == 2
    async with served(lambda _: answer(302, b"", "Location: /again")) as (endpoint, heard):
        with pytest.raises(BadAnswer, match="redirects"):
            await every(endpoint)
        assert len(heard) == 4


async def test_a_post_that_would_become_a_get_is_not_followed() -> None:
    async with served(lambda _: answer(302, b"", "Location: /elsewhere")) as (endpoint, heard):
        async with HttpPinningService(endpoint, "key") as service:
            with pytest.raises(ServiceRefused, match="http error 302"):
                await service.add(b"{}")
        assert len(heard) == 1


async def test_refusals_say_what_the_service_says() -> None:
    failure = {"error": {"reason": "UNAUTHORIZED", "details": "access denied"}}
    async with served(lambda _: answer(401, failure)) as (endpoint, _):
        with pytest.raises(KeyRefused, match='reason: "UNAUTHORIZED", details: "access denied": 401') as refused:
            await every(endpoint)
    assert isinstance(refused.value, InvalidInput)
    async with served(lambda _: answer(404, b"nothing here")) as (endpoint, _):
        async with HttpPinningService(endpoint, "key") as service:
            with pytest.raises(NoSuchRequest, match="http error 404") as missing:
                await service.get("a/../b")
    assert isinstance(missing.value, NotFound)


async def test_an_id_cannot_lead_to_another_resource() -> None:
    async with served(lambda _: answer(202)) as (endpoint, heard):
        async with HttpPinningService(f"{endpoint}/v1", "key") as service:
            await service.remove("../users/1?all=yes#x")
    assert heard[0].startswith("DELETE /v1/pins/..%2Fusers%2F1%3Fall%3Dyes%23x HTTP/1.1")


async def test_nobody_there_is_said() -> None:
    async with served(lambda _: b"") as (endpoint, _):
        pass
    with pytest.raises(ServiceUnreachable, match="empty response from remote pinning service"):
        await every(endpoint)
    cause = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    unknown = OSError("Cannot connect to host nowhere.invalid:443")
    unknown.__cause__ = cause
    assert http_service.reason_of(unknown).startswith("no such host (Cannot connect to host nowhere.invalid")
