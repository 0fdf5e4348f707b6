"""A daemon that ends while it is called: what it has not begun is done without it, what it has taken is not."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import cidery
from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone, WrongDaemon
from cidery.client.blocking import call
from cidery.client.http1 import BadResponse
from cidery.http.authorization import AGENT, TOKEN_FILE

TOKEN = "0" * 32
ASKS = f"HTTP/1.1 100 Continue\r\nServer: {AGENT}1\r\n\r\n".encode()


@asynccontextmanager
async def ending(said: bytes, takes: int = 0) -> AsyncIterator[Endpoint]:
    """A daemon that says this after the head of a call, takes so many bytes of its body, and is gone."""

    async def answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(said)
        await incoming.readexactly(takes)
        outgoing.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], token=TOKEN)
    finally:
        server.close()


def called(endpoint: Endpoint, body: bytes | None = None) -> None:
    """By the client of the command line."""
    parts = None if body is None else iter([body])
    with call(endpoint, ["add"], [], body=parts, content_type="" if body is None else "text/plain") as answer:
        list(answer.chunks())


async def test_a_connection_that_ends_without_an_answer_is_that_of_no_daemon() -> None:
    async with ending(b"") as endpoint:
        with pytest.raises(DaemonGone) as caught:
            await asyncio.to_thread(called, endpoint)
        assert not isinstance(caught.value, WrongDaemon)
        with pytest.raises(DaemonGone):
            await cidery.Client(endpoint).peer_id()


@pytest.mark.parametrize(("token", "said"), [(TOKEN, ASKS), ("", b"")])
async def test_a_body_that_was_taken_is_not_sent_again(token: str, said: bytes) -> None:
    async with ending(said, takes=10) as endpoint:
        endpoint = endpoint._replace(token=token)
        with pytest.raises(BadResponse, match="the connection closed"):
            await asyncio.to_thread(called, endpoint, b"part of a stream")
        with pytest.raises(BadResponse, match="the connection closed"):
            await cidery.Client(endpoint).add(b"part of a stream")


@pytest.mark.parametrize("stream", [True, False])
async def test_files_are_added_without_the_daemon_that_took_some_but_streams_are_not(
    tmp_path: Path, stream: bool
) -> None:
    repo, data = tmp_path / "repo", bytes(4 << 20)
    (tmp_path / "file").write_bytes(data)
    async with cidery.Node(repo, profile="test", offline=True):
        pass
    async with ending(ASKS, takes=1 << 20) as endpoint:
        (repo / "api").write_text(f"/ip4/127.0.0.1/tcp/{endpoint.port}")
        (repo / TOKEN_FILE).write_text(TOKEN)
        adding = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cidery", "add", "-Q", "-" if stream else str(tmp_path / "file")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "CIDERY_PATH": str(repo)},
        )
        output, said = await adding.communicate(data if stream else b"")
    if stream:
        assert (adding.returncode, output) == (1, b"") and b"closed before the end" in said, "not the rest as if all"
    else:
        assert (adding.returncode, output.decode().strip(), said) == (0, str(cidery.cid_of(data)), b"")
