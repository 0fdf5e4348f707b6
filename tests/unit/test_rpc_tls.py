"""The RPC over TLS: its addresses and certificate, and what clients trust; over real sockets, in one process."""

import asyncio
import json
import os
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

import cidery
from cidery.client.address import BadApiAddress, Endpoint, find_daemon, parse_endpoint
from cidery.client.answer import NoSecureConnection
from cidery.client.blocking import call
from cidery.client.http1 import BadResponse
from cidery.client.secure import BadAuthorities, context_for, open_secure
from cidery.http.authorization import CERTIFICATE_FILE
from cidery.http.tls import Certificate, dns_names
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc.certificate import (
    ALPN,
    NoCertificate,
    UnusedCertificate,
    certificate_for,
    sends_secrets_readable,
)
from cidery.rpc.listen import NoApiAddress, NotLoopback, listen
from peers.certificates import Authority, write_certificate

TLS = "/ip4/127.0.0.1/tcp/0/tls/http"


@asynccontextmanager
async def served(
    folder: Path, files: tuple[Path, Path], *addrs: str, exposed: bool = False
) -> AsyncIterator[tuple[cidery.Node, Certificate, list[Multiaddr]]]:
    """A node with its RPC under TLS."""
    certificate = Certificate(str(files[0]), str(files[1]), ALPN)
    async with cidery.Node(folder, profile="test", offline=True) as node:
        where = tuple(map(Multiaddr.parse, addrs or (TLS,)))
        listening = listen(node.api, where, {}, folder / "api", lambda: None, certificate=certificate, exposed=exposed)
        async with listening as bound:
            yield node, certificate, bound


def said(endpoint: Endpoint, *path: str, query: tuple[tuple[str, str], ...] = ()) -> bytes:
    """By the client of the command line."""
    with call(endpoint, list(path), list(query)) as answer:
        return b"".join(answer.chunks())


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("https://node.example.org", Endpoint("node.example.org", 443, secure=True)),
        ("https://node.example.org:5001/", Endpoint("node.example.org", 5001, secure=True)),
        ("https://node.example.org/api/v0/", Endpoint("node.example.org", 443, secure=True)),
        ("http://127.0.0.1:5001/api/v0", Endpoint("127.0.0.1", 5001)),
        ("https://[::1]", Endpoint("::1", 443, secure=True)),
        ("https://[::1]:5001", Endpoint("::1", 5001, secure=True)),
        ("/dns4/node.example.org/tcp/443/https", Endpoint("node.example.org", 443, secure=True)),
        ("/ip4/127.0.0.1/tcp/5001/tls/http", Endpoint("127.0.0.1", 5001, secure=True)),
        ("/ip6/::1/tcp/5001/tls", Endpoint("::1", 5001, secure=True)),
        ("/ip4/192.0.2.1/tcp/1/tls/sni/a.example/http", Endpoint("192.0.2.1", 1, secure=True, server="a.example")),
        ("/ip4/127.0.0.1/tcp/5001/http", Endpoint("127.0.0.1", 5001)),
    ],
)
def test_addresses_under_tls_are_those_of_kubo_and_urls(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "https://",
        "127.0.0.1:5001/api/v0",
        "https://:5001",
        "https://a:0",
        "https://a/b",
        "/dns4/a/tcp/443/wss",
        "/dns4/a/tcp/0/https",
    ]
    + ["/ip4/127.0.0.1/tcp/1/tls/sni/a/https", "ftp://a:1/"],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(BadApiAddress):
        parse_endpoint(text)


async def test_both_clients_upload_and_download_under_an_authority_that_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    data = random.Random(1).randbytes(5_000_000)
    async with served(tmp_path / "repo", authority.sign(tmp_path)) as (_, _, bound):
        endpoint = parse_endpoint(str(bound[0]))
        async with cidery.Client(f"https://localhost:{endpoint.port}", authorities=authority.file) as client:
            cid = await client.add(data)
            assert await client.read(cid) == data
            assert await client.read(await client.add(b"")) == b""
            assert (await client.get(cid, tmp_path / "copy")).read_bytes() == data
        trusting = endpoint.trusting(str(authority.file))
        assert await asyncio.to_thread(said, trusting, "cat", query=(("arg", str(cid)),)) == data


async def test_a_local_client_trusts_the_certificate_that_the_daemon_wrote_and_no_other(tmp_path: Path) -> None:
    """Whatever names it has, and whoever signed it: here nobody."""
    files = write_certificate(tmp_path, "elsewhere.example")
    async with served(tmp_path / "repo", files) as (node, certificate, _):
        found = find_daemon(str(tmp_path / "repo"))
        assert found is not None and found.secure and found.pinned == str(tmp_path / "repo" / CERTIFICATE_FILE)
        assert str(node.api.config.peer_id) in (await asyncio.to_thread(said, found, "id")).decode()
        assert await cidery.Client(found).peer_id() == node.api.config.peer_id
        write_certificate(tmp_path, "elsewhere.example")
        assert certificate.renew(), "its file is written again, too"
        assert await asyncio.to_thread(said, found, "version")
        other = tmp_path / "other"
        other.mkdir()
        wrong = found._replace(pinned=str(write_certificate(other, "localhost")[0]))
        with pytest.raises(NoSecureConnection, match="nobody who is trusted here has signed"):
            await asyncio.to_thread(said, wrong, "version")
    assert not (tmp_path / "repo" / CERTIFICATE_FILE).exists()


async def test_who_has_a_certificate_of_the_same_authority_is_not_the_daemon(tmp_path: Path) -> None:
    """The file has the chain, and a local client looks at no names: only the certificate itself may count."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    pinned = tmp_path / "pinned.pem"
    pinned.write_bytes(authority.sign(tmp_path)[0].read_bytes())
    async with served(tmp_path / "repo", authority.sign(tmp_path / "other")) as (_, _, bound):
        endpoint = parse_endpoint(str(bound[0]))._replace(pinned=str(pinned))
        with pytest.raises(NoSecureConnection):
            await asyncio.to_thread(said, endpoint, "version")


@pytest.mark.parametrize(("kind", "reason"), [("empty", "no start line"), ("pipe", "it is a pipe, not a file")])
def test_without_the_certificate_of_the_daemon_nobody_is_trusted_instead(
    tmp_path: Path, kind: str, reason: str
) -> None:
    pinned = tmp_path / CERTIFICATE_FILE
    os.mkfifo(pinned) if kind == "pipe" else pinned.write_bytes(b"")
    with pytest.raises(BadAuthorities, match=reason):
        context_for(Endpoint("127.0.0.1", 1, secure=True, pinned=str(pinned)))


@pytest.mark.parametrize(
    ("names", "ends", "message"),
    [
        (["other.example"], timedelta(days=1), r"its certificate is not for 127\.0\.0\.1: no subjectAltName"),
        (["127.0.0.1"], timedelta(hours=-1), "its certificate has expired; renew the files of API.TLS"),
    ],
)
async def test_a_certificate_that_does_not_fit_is_refused_with_what_to_do(
    tmp_path: Path, names: list[str], ends: timedelta, message: str
) -> None:
    authority = Authority(tmp_path)
    async with served(tmp_path / "repo", authority.sign(tmp_path, names, ends=ends)) as (_, _, bound):
        endpoint = parse_endpoint(str(bound[0])).trusting(str(authority.file))
        with pytest.raises(NoSecureConnection, match=message):
            await asyncio.to_thread(said, endpoint, "version")
        with pytest.raises(NoSecureConnection, match=message):
            await cidery.Client(endpoint).peer_id()


async def test_a_name_in_the_subject_alone_does_not_count(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with served(tmp_path / "repo", authority.sign(tmp_path, ["localhost"], stated=False)) as (_, _, bound):
        port = parse_endpoint(str(bound[0])).port
        with pytest.raises(NoSecureConnection, match="not for localhost: no subjectAltName"):
            await cidery.Client(f"https://localhost:{port}", authorities=authority.file).peer_id()


async def test_an_unknown_authority_is_refused_and_the_option_named(tmp_path: Path) -> None:
    async with served(tmp_path / "repo", Authority(tmp_path).sign(tmp_path)) as (_, _, bound):
        endpoint = parse_endpoint(str(bound[0]))
        for ask in (lambda: asyncio.to_thread(said, endpoint, "version"), cidery.Client(endpoint).peer_id):
            with pytest.raises(NoSecureConnection, match=r"nobody who is trusted.*--api-ca FILE, or \$CIDERY_API_CA"):
                await ask()
        with pytest.raises(BadAuthorities, match="no such file"):
            await cidery.Client(endpoint, authorities=tmp_path / "none").peer_id()
        with pytest.raises(BadAuthorities, match="is no file of certificates"):
            await cidery.Client(endpoint, authorities=tmp_path / "key.pem").peer_id()


async def test_the_wrong_scheme_is_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    plain = "/ip4/127.0.0.1/tcp/0"
    async with served(tmp_path / "repo", authority.sign(tmp_path), TLS, plain) as (_, _, bound):
        secure, readable = (parse_endpoint(str(addr)) for addr in bound)
        assert (tmp_path / "repo" / "api").read_text() == str(bound[1]), "programs without TLS read it, too"
        with pytest.raises(BadResponse, match="If it speaks TLS, say https://"):
            await asyncio.to_thread(said, secure._replace(secure=False), "version")
        with pytest.raises(BadResponse, match="If it speaks TLS, say https://"):
            await cidery.Client(secure._replace(secure=False)).peer_id()
        wrong = readable._replace(secure=True, authorities=str(authority.file))
        with pytest.raises(NoSecureConnection, match="does not speak TLS there; without TLS it is http://127"):
            await asyncio.to_thread(said, wrong, "version")
        with pytest.raises(NoSecureConnection, match="does not speak TLS there; without TLS it is http://127"):
            await cidery.Client(wrong).peer_id()


async def test_pages_may_use_the_names_of_the_certificate_and_no_other(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.sign(tmp_path, ["node.example", "*.wild.example", "127.0.0.1"])
    async with served(tmp_path / "repo", files) as (_, _, bound):
        port = parse_endpoint(str(bound[0])).port
        context = ssl.create_default_context(cafile=str(authority.file))

        async def status(host: str, origin: str = "", path: str = "/api/v0/version", method: str = "POST") -> str:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            browser = f"Origin: {origin}\r\nUser-Agent: Mozilla/5.0\r\n" if origin else ""
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{browser}Connection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.decode().split()[1]

        for host in (f"node.example:{port}", f"Node.Example:{port}", f"a.wild.example:{port}", f"127.0.0.1:{port}"):
            assert await status(host) == "200", host
            assert await status(host, path="/webui/", method="GET") == "200", host
            assert await status(host, f"https://{host}") == "401", "a page of ours needs a session"
            assert await status(host, "https://evil.example") == "403"
            assert await status(host, f"gopher://{host}") == "403"
        for host in ("evil.example", "wild.example", "a.b.wild.example", f"node.example.evil.example:{port}"):
            assert await status(host) == "403", host
            assert await status(host, f"https://{host}") == "403", host
            assert await status(host, path="/webui/", method="GET") == "403", host


async def test_all_addresses_are_one_daemon(tmp_path: Path) -> None:
    """`cidery ui` gets its ticket at the address in the file ``api``; the page may be opened at another."""
    authority = Authority(tmp_path)
    async with served(tmp_path / "repo", authority.sign(tmp_path), "/ip4/127.0.0.1/tcp/0", TLS) as (_, _, bound):
        plain, secure = (parse_endpoint(str(addr)).trusting(str(authority.file)) for addr in bound)
        found = find_daemon(str(tmp_path / "repo"))
        assert found is not None and found.port == plain.port
        ticket = json.loads(await asyncio.to_thread(said, found, "ui", "link"))["Ticket"]
        reader, writer = await open_secure(secure, 1 << 16)
        lines = (
            "POST /webui/session HTTP/1.1",
            f"Host: localhost:{secure.port}",
            f"Origin: https://localhost:{secure.port}",
            f"Authorization: Ticket {ticket}",
            "Connection: close",
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode())
        assert b'{"Authorization"' in await reader.read()
        writer.close()
        await writer.wait_closed()
        begun, enough = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"first"
            begun.set()
            await enough.wait()

        async with cidery.Client(secure) as client:
            adding = asyncio.create_task(client.add(slowly()))
            await begun.wait()
            while b'"add"' not in await asyncio.to_thread(said, found, "diag", "cmds"):
                assert not adding.done()
            enough.set()
            await adding


async def test_tls_does_not_open_the_rpc_to_other_machines(tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    with pytest.raises(NotLoopback):
        async with served(tmp_path / "repo", files, "/ip4/0.0.0.0/tcp/0/tls/http"):
            pass
    with pytest.raises(NoApiAddress):
        async with served(tmp_path / "repo", files, "/ip4/127.0.0.1/tcp/0/tls/sni/a.example/http"):
            pass
    async with served(tmp_path / "repo", files, "/ip4/0.0.0.0/tcp/0/https", exposed=True) as (_, _, bound):
        assert (tmp_path / "repo" / "api").read_text() == str(bound[0]).replace("0.0.0.0", "127.0.0.1")
        assert sends_secrets_readable(Multiaddr.parse("/ip4/0.0.0.0/tcp/1")) and not sends_secrets_readable(bound[0])
        assert not sends_secrets_readable(Multiaddr.parse("/ip4/127.0.0.1/tcp/1"))


async def test_a_certificate_and_an_address_that_uses_it_come_together(tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    pair = (str(files[0]), str(files[1]))
    plain, secure = Multiaddr.parse("/ip4/127.0.0.1/tcp/0"), Multiaddr.parse(TLS)
    with pytest.raises(NoCertificate, match="cidery config --json API.TLS"):
        certificate_for(None, [plain, secure])
    with pytest.raises(UnusedCertificate):
        certificate_for(pair, [plain])
    assert certificate_for(None, [plain]) is None and certificate_for(pair, [plain, secure]) is not None
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        with pytest.raises(NoCertificate):
            async with listen(node.api, (secure,), {}, node.path / "api", lambda: None):
                pass


async def test_one_thread_sends_while_another_receives(tmp_path: Path) -> None:
    """As an add does, whose answer comes while it sends."""
    authority = Authority(tmp_path)
    pieces = [random.Random(at).randbytes(1_000_000) for at in range(24)]

    def upload(endpoint: Endpoint) -> list[dict[str, object]]:
        from cidery.client.multipart import FILE, Part, content_type, encode_parts

        parts = iter([Part(f"f{at}", FILE, piece, len(piece)) for at, piece in enumerate(pieces)])
        kind = content_type("b" * 32)
        body = encode_parts(parts, "b" * 32)
        with call(endpoint, ["add"], [("progress", "true")], body=body, content_type=kind) as answer:
            return list(answer.values())

    async with served(tmp_path / "repo", authority.sign(tmp_path)) as (_, _, bound):
        endpoint = parse_endpoint(str(bound[0])).trusting(str(authority.file))
        values = await asyncio.to_thread(upload, endpoint)
        assert sum("Hash" in value for value in values) == len(pieces)


def test_names_of_a_certificate_that_is_none_are_none() -> None:
    assert dns_names("nonsense") == frozenset()


def test_the_file_for_local_clients_is_read_by_all_and_written_by_its_owner(tmp_path: Path) -> None:
    async def mode() -> int:
        async with served(tmp_path / "repo", write_certificate(tmp_path)):
            return os.stat(tmp_path / "repo" / CERTIFICATE_FILE).st_mode & 0o777

    assert asyncio.run(mode()) & 0o022 == 0
