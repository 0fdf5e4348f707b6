"""API.Authorizations, the token that says which daemon is meant, and where the RPC may listen: over real sockets."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import cidery
from cidery.client.address import BadSecret, Endpoint, find_daemon, parse_endpoint
from cidery.client.answer import RpcError, WrongDaemon
from cidery.client.blocking import call
from cidery.http.authorization import TOKEN_FILE, header_of
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_change import set_key
from cidery.repo.config_file import ConfigError, read_raw, write_raw
from cidery.rpc.listen import NotLoopback, listen

USERS = {
    "Alice": {"AuthSecret": "bearer:all", "AllowedPaths": ["/api/v0"]},
    "Bob": {"AuthSecret": "basic:bob:pass", "AllowedPaths": ["/api/v0/pin", "/api/v0/id"]},
    "Carol": {"AuthSecret": "plain", "AllowedPaths": []},
}


@asynccontextmanager
async def served(
    folder: Path, users: object = None, addr: str = "/ip4/127.0.0.1/tcp/0", *, exposed: bool = False
) -> AsyncIterator[tuple[cidery.Node, Endpoint]]:
    """A node with its RPC, and where it is."""
    async with cidery.Node(folder, profile="test", offline=True) as node:
        if users is None:
            pass
        else:
            raw = read_raw(folder / "config")
            write_raw(folder / "config", {**raw, "API": {"Authorizations": users}})
    async with cidery.Node(folder, offline=True) as node:
        listening = listen(node.api, (Multiaddr.parse(addr),), {}, folder / "api", lambda: None, exposed=exposed)
        async with listening as addrs:
            yield node, parse_endpoint(str(addrs[0]).replace("0.0.0.0", "127.0.0.1"))


async def status(endpoint: Endpoint, *path: str) -> int:
    """Of a call by the client of the CLI."""
    import asyncio

    def ask() -> int:
        try:
            with call(endpoint, list(path), []) as answer:
                list(answer.chunks())
        except RpcError as exc:
            return exc.status
        return 200

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        ("bearer:TOKEN", "Bearer TOKEN"),
        ("TOKEN", "Bearer TOKEN"),
        ("basic:user:pass", "Basic dXNlcjpwYXNz"),
        ("basic:dXNlcjpwYXNz", "Basic dXNlcjpwYXNz"),
        ("other:thing", "other:thing"),
    ],
)
def test_a_secret_stands_for_the_same_header_as_in_kubo(secret: str, header: str) -> None:
    assert header_of(secret) == header


async def test_without_a_secret_nothing_can_be_called_when_users_are_named(tmp_path: Path) -> None:
    async with served(tmp_path / "repo", USERS) as (_, endpoint):
        for path in (["pin", "ls"], ["id"], ["version"], ["no", "such"]):
            assert await status(endpoint, *path) == 403
        assert await status(endpoint.with_secret("bearer:wrong"), "version") == 403
        with pytest.raises(RpcError, match="Access Denied.*--api-auth"):
            await cidery.Client(endpoint).peer_id()


async def test_a_user_may_call_the_paths_that_are_named_and_the_version(tmp_path: Path) -> None:
    async with served(tmp_path / "repo", USERS) as (node, endpoint):
        alice, bob, carol = (endpoint.with_secret(text) for text in ("bearer:all", "basic:bob:pass", "plain"))
        assert await status(alice, "repo", "stat") == 200
        assert [await status(bob, *path) for path in (["pin", "ls"], ["id"], ["repo", "stat"])] == [200, 200, 403]
        assert [await status(carol, *path) for path in (["version"], ["id"])] == [200, 403]
        assert await cidery.Client(endpoint, auth="bearer:all").peer_id() == node.api.config.peer_id


async def test_a_path_is_compared_as_it_is_understood(tmp_path: Path) -> None:
    async with served(tmp_path / "repo", USERS) as (_, endpoint):
        bob = endpoint.with_secret("basic:bob:pass")
        assert await status(bob, "%70in", "ls") == 403, "the client escapes the percent sign"
        assert await status(bob, "pin/../repo", "stat") in (403, 404)
        assert await status(bob, "config", "show") == 403


@pytest.mark.parametrize(
    "users",
    [{"A": {}}, {"A": {"AuthSecret": ""}}, {"A": {"AuthSecret": "bearer:"}}, {"A": {"AuthSecret": "x", "Y": 1}}, []],
)
async def test_users_that_make_no_sense_keep_the_node_from_starting(tmp_path: Path, users: object) -> None:
    with pytest.raises(ConfigError, match="API.Authorizations takes"):
        async with served(tmp_path / "repo", users):
            raise AssertionError("it listened")


def test_a_secret_that_is_no_header_is_refused() -> None:
    with pytest.raises(BadSecret):
        parse_endpoint("127.0.0.1:5001").with_secret("bearer:a\r\nHost: evil")


async def test_other_machines_may_call_only_with_users_or_by_express_will(tmp_path: Path) -> None:
    everywhere = "/ip4/0.0.0.0/tcp/0"
    with pytest.raises(NotLoopback, match="API.Authorizations, or start with: cidery daemon --expose-api"):
        async with served(tmp_path / "a", addr=everywhere):
            raise AssertionError("it listened")
    async with served(tmp_path / "b", USERS, everywhere) as (_, endpoint):
        assert await status(endpoint, "id") == 403
        assert (tmp_path / "b" / "api").read_text() == f"/ip4/127.0.0.1/tcp/{endpoint.port}"
    async with served(tmp_path / "c", addr=everywhere, exposed=True) as (_, endpoint):
        assert await status(endpoint, "id") == 200
        assert await status(endpoint._replace(host="localhost"), "id") == 200


async def test_a_daemon_answers_calls_that_are_meant_for_it_and_refuses_others(tmp_path: Path) -> None:
    async with served(tmp_path / "repo") as (node, endpoint):
        found = find_daemon(str(tmp_path / "repo"))
        assert found is not None and found.token and found.port == endpoint.port
        assert os.stat(tmp_path / "repo" / TOKEN_FILE).st_mode & 0o777 == 0o600
        assert await cidery.Client(found).peer_id() == node.api.config.peer_id
        assert await status(endpoint, "id") == 200, "without a token, any daemon is meant"
        stale = cidery.Client(found._replace(token="0" * 32))
        with pytest.raises(WrongDaemon, match="daemon of another repository"):
            await stale.peer_id()
        pulled: list[bytes] = []

        async def body() -> AsyncIterator[bytes]:
            pulled.append(b"data")
            yield b"data"

        with pytest.raises(WrongDaemon):
            await stale.add(body())
        assert not pulled, "nothing was read of what is to be sent to another daemon"
        assert str(await cidery.Client(found).add(body()))
    assert not (tmp_path / "repo" / TOKEN_FILE).exists()


@pytest.mark.parametrize(
    ("said", "who"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "a program that does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nhi\n", "another program"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "another program"),
    ],
)
async def test_an_answer_of_another_program_is_noticed(said: bytes, who: str) -> None:
    import asyncio

    async def answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        outgoing.write(said)
        await outgoing.drain()
        outgoing.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = cidery.Client(Endpoint("127.0.0.1", port, token="0" * 32))
    try:
        with pytest.raises(WrongDaemon, match=f"127.0.0.1:{port} is answered by {who}"):
            await client.peer_id()
        with pytest.raises(WrongDaemon, match=who):
            await client.add(b"data")
        with pytest.raises(WrongDaemon, match=who):
            await status(Endpoint("127.0.0.1", port, token="0" * 32), "id")
    finally:
        server.close()


async def test_the_rpc_listens_on_a_unix_socket_too(tmp_path: Path) -> None:
    for text in (f"/unix{tmp_path}/s", f"/unix/{tmp_path}/s"):
        async with served(tmp_path / "repo", addr=text) as (node, endpoint):
            assert endpoint.path == f"{tmp_path}/s"
            found = find_daemon(str(tmp_path / "repo"))
            assert found is not None and await cidery.Client(found).peer_id() == node.api.config.peer_id
            assert await status(found, "id") == 200


@pytest.mark.parametrize("value", ["", [""], []])
def test_an_empty_address_is_no_address(value: object, tmp_path: Path) -> None:
    from cidery.repo.config import new_raw, parse_config

    raw = new_raw(lambda n: bytes(n), cid_profile="unixfs-v1-2025", profiles=["test"])
    for key in ("Addresses.Gateway", "Addresses.API"):
        config = parse_config(set_key(json.loads(json.dumps(raw)), key, value))
        assert (config.gateway if key.endswith("Gateway") else config.api) == ()
