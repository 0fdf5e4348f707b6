"""One add whose files come in several requests, as the web page sends many small ones."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

import cidery
from cidery.rpc.listen import listen
from rpc_calls import Answered, Server

FILES = {f"tree/{count % 7}/{count:03}": f"content {count}".encode() for count in range(300)}
FOLDER = "add?resume-key=k&pin=false"


@pytest.fixture
async def server(node: cidery.Node) -> AsyncIterator[Server]:
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        yield Server(addrs[0], node)


async def send(server: Server, target: str, names: list[str], stored: int = 0) -> Answered:
    """Files with identities; of the first ``stored`` no byte."""
    body = b""
    for at, name in enumerate(names):
        has = "File-Has: all\r\n" if at < stored else ""
        head = f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/plain\r\n'
        head += f"File-Identity: 0-{int(name[-3:])}-{len(FILES[name])}-1700000000-1700000000\r\n{has}\r\n"
        body += head.encode() + (b"" if at < stored else FILES[name]) + b"\r\n"
    return await server.post(target, body + b"--B--\r\n", Content_Type="multipart/form-data; boundary=B")


async def test_files_sent_in_parts_make_the_folder_that_one_request_makes(server: Server) -> None:
    names = list(FILES)
    for part in (names[:100], names[100:200]):
        answer = await send(server, f"{FOLDER}&more-follows=true", part)
        assert (answer.status, answer.body) == (200, b"")
        (job,) = [one for one in server.node.api.jobs.every("add") if one.state == "interrupted"]
        assert job.error == "the rest has not been sent yet"
    await server.post("repo/gc")  # what was sent is spared
    known = (await server.post("jobs/known?arg=k")).json()
    assert sum(row["Bytes"] for row in known) == sum(len(FILES[name]) for name in names[:200])
    answer = await send(server, f"{FOLDER}&roots-only=true&to-files=/", names, stored=200)
    whole = (await send(server, "add?pin=false", names)).json()[-1]
    assert [(one["Name"], one["Hash"]) for one in answer.json()] == [("tree", whole["Hash"])], "the top level only"
    assert (await server.post("files/stat?arg=/tree&hash=true")).json()[0]["Hash"] == whole["Hash"]
    assert all(one.state == "done" for one in server.node.api.jobs.every("add"))


async def test_what_was_collected_of_a_part_is_not_known(server: Server) -> None:
    names = list(FILES)
    await send(server, "add?pin=false", names)  # garbage: what is found to be there already is not spared for later
    await send(server, f"{FOLDER}&more-follows=true", names)
    assert len((await server.post("jobs/known?arg=k")).json()) == len(names)
    await server.post("repo/gc")
    assert (await server.post("jobs/known?arg=k")).json() == []


@pytest.mark.parametrize(
    "options", ["", "resume-key=k&to-files=/", "resume-key=k&only-hash=true", "resume-key=k&nocopy=true"]
)
async def test_parts_need_a_key_and_a_request_that_ends_them(server: Server, options: str) -> None:
    answer = await send(server, f"add?more-follows=true&{options}", list(FILES)[:1])
    assert answer.status == 500 and b"more-follows" in answer.body


async def test_an_upload_ends_though_its_client_reads_nothing_before_all_is_sent(server: Server) -> None:
    count = 15_000  # they, and the lines of their answer, are more than sockets hold
    head = '--B\r\nContent-Disposition: form-data; name="file"; filename="many/{:05}"\r\n\r\n{}\r\n'
    body = "".join(head.format(number, str(number) * 400) for number in range(count)).encode() + b"--B--\r\n"
    request = (
        f"POST /api/v0/add?pin=false HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((server.host, server.port))
    narrow.setblocking(False)
    incoming, outgoing = await asyncio.open_connection(sock=narrow, limit=1024)
    outgoing.write(request.encode() + body[:-1])
    outgoing.transport.set_write_buffer_limits(0)
    await asyncio.wait_for(outgoing.drain(), 40)
    outgoing.write(body[-1:])
    answer = Answered(await incoming.read())
    outgoing.close()
    assert answer.status == 200 and len(answer.json()) == count + 1
