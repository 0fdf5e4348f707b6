"""What the clients of other implementations send to the RPC, and what they rely on in its answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.budgets import RPC_CALLS
from cidery.rpc.listen import listen
from rpc_calls import Answered, Server
from shell import Shell


@pytest.fixture
async def server(node: cidery.Node) -> AsyncIterator[Server]:
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
        yield Server(addrs[0], node)


async def upload(server: Server, target: str, parts: list[tuple[str, str, bytes]]) -> Answered:
    """Parts with the whole Content-Disposition, as their senders write it."""
    body = b"".join(
        f"--B\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + b"\r\n"
        for disposition, kind, data in parts
    )
    return await server.post(target, body + b"--B--\r\n", Content_Type="multipart/form-data; boundary=B")


FOLDER, FILE, LINK = "application/x-directory", "application/octet-stream", "application/symlink"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0644", "0644"),
        ("0100644", "0644"),
        ("020000000755", "0755"),
        ("040000755", "4755"),
        ("020000755", "2755"),
        ("04000755", "1755"),
        ("0104755", "4755"),
        ("0", None),
    ],
)
async def test_a_mode_is_read_as_go_and_javascript_send_it(server: Server, sent: str, stored: str | None) -> None:
    part = (f'form-data; name="file?mode={sent}"; filename="f"', FILE, b"bytes")
    answer = await upload(server, "add?preserve-mode=true", [part])
    assert answer.status == 200 and answer.json()[0].get("Mode") == stored


async def test_a_folder_is_added_as_the_newest_client_of_kubo_sends_it(server: Server) -> None:
    parts = [
        ('form-data; name="file?mode=020000000755&mtime=1700000000"; filename="d"', FOLDER, b""),
        ('form-data; name="file?mode=0644&mtime=1700000000&mtime-nsecs=5"; filename="d%2Ff"', FILE, b"bytes"),
        ('form-data; name="file?mode=01000000777&mtime=1700000000"; filename="d%2Fl"', LINK, b"f"),
    ]
    plain = [(text.replace("?mode", "?m"), kind, data) for text, kind, data in parts]
    assert (await upload(server, "add", parts)).json() == (await upload(server, "add", plain)).json()
    kept = (await upload(server, "add?preserve-mode=true&preserve-mtime=true", parts)).json()
    assert [(entry["Name"], entry.get("Mode")) for entry in kept] == [("d/f", "0644"), ("d/l", None), ("d", "0755")]


@pytest.mark.parametrize("mode", ["0999", "-1", "040000000000", "x"])
async def test_a_mode_that_cannot_be_is_refused(server: Server, mode: str) -> None:
    answer = await upload(server, "add", [(f'form-data; name="file?mode={mode}"; filename="f"', FILE, b"bytes")])
    assert answer.status == 500


async def test_progress_comes_in_lines_of_its_own_and_the_entry_without_bytes(server: Server) -> None:
    parts = [
        ('form-data; name="file"; filename="big"', FILE, bytes(range(256)) * 20_000),
        ('form-data; name="file"; filename="small"', FILE, b"bytes"),
    ]
    values = (await upload(server, "add?progress=true&chunker=size-262144", parts)).json()
    done = [value for value in values if "Hash" in value]
    assert [value["Name"] for value in done] == ["big", "small"] and not any("Bytes" in value for value in done)
    counts = [value["Bytes"] for value in values if value["Name"] == "big" and "Hash" not in value]
    assert counts == [*range(262_144, 5_120_000, 262_144), 5_120_000]
    assert [value.get("Bytes") for value in values if value["Name"] == "small"] == [5, None]
    assert not any("Bytes" in value for value in (await upload(server, "add?progress=false", parts)).json())


async def test_empty_folders_are_left_out_when_asked_in_whatever_order_they_come(
    server: Server, tmp_path: Path
) -> None:
    for name in ("d/empty", "d/full", "d/a/b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "d/full/f").write_bytes(b"bytes")
    names = ("d", "d/empty", "d/full", "d/a", "d/a/b")
    parts = [(f'form-data; name="file"; filename="{name}"', FOLDER, b"") for name in names]
    parts.append(('form-data; name="file"; filename="d/full/f"', FILE, b"bytes"))
    sent = (await upload(server, "add?empty-dirs=false", parts)).json()
    assert [value["Name"] for value in sent] == ["d/full/f", "d/a", "d/full", "d"]
    shell = Shell(server.node.api)
    assert (await shell.run(f"add -q -r --empty-dirs=false {tmp_path / 'd'}")).split()[-1] == sent[-1]["Hash"]
    only = [('form-data; name="file"; filename="d"', FOLDER, b"")]
    assert len((await upload(server, "add?empty-dirs=false", only)).json()) == 1


async def test_an_answer_without_values_has_the_type_of_one_with_values(server: Server) -> None:
    for target in ("files/mkdir?arg=/d", "files/rm?arg=/d&recursive=true"):
        answer = await server.post(target)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b""), target
    assert (await server.post("files/mkdir?arg=/d&encoding=text")).headers["content-type"] == "application/json"


async def test_a_level_of_compression_counts_with_compression_only(server: Server) -> None:
    cid = await server.node.add(b"bytes")
    assert (await server.post(f"get?arg={cid}&compression-level=-1")).status == 200
    assert (await server.post(f"get?arg={cid}&compress=true&compression-level=-1")).status == 500
    assert (await server.post(f"get?arg={cid}&compress=true&compression-level=9")).status == 200


async def test_a_collection_answers_with_kubos_keys_unless_asked_for_more(server: Server) -> None:
    await server.node.add(b"bytes", pin=False)
    assert [list(value) for value in (await server.post("repo/gc")).json()] == [["Key"]]
    again = await server.post("repo/gc")
    assert (again.body, again.headers["content-type"]) == (b"", "application/json")
    assert set((await server.post("repo/gc?stats=true")).json()[-1]) >= {"Freed", "Removed"}


async def test_more_calls_at_once_than_there_are_places_are_all_answered(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "crowded", profile="test", offline=True) as node:
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            client = cidery.Client(str(addrs[0]))
            cid = await client.add(bytes(300_000))
            crowd = 2 * RPC_CALLS.amount - 100
            answers = await asyncio.gather(*(client.read(cid) for _ in range(crowd)))
            assert answers == [bytes(300_000)] * crowd


async def test_all_of_an_upload_may_be_in_a_folder_without_a_name(server: Server) -> None:
    folder, file = "application/x-directory", "application/octet-stream"
    inside = [("a", file, b"hello"), ("sub", folder, b""), ("sub%2Fb", file, b"world")]
    nameless = await server.upload("add?cid-version=0", [("", folder, b""), *inside])
    *_, last = nameless.json()
    assert (last["Name"], last["Hash"]) == ("", "QmajR32pCBWFoUp7Q6Hfq5KxT4SQQBxPjUHBzkqeB5a5b6")
    wrapped = await server.upload("add?cid-version=0&wrap-with-directory=true", inside)
    assert wrapped.json()[-1] == last
    alone = await server.upload("add?cid-version=0", [("", folder, b"")])
    assert [line["Hash"] for line in alone.json()] == ["QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"]


@pytest.mark.parametrize(
    "command", ["key/sign", "key/import?arg=new", "config/replace", "files/write?arg=/x&create=true"]
)
async def test_a_body_without_a_file_is_told(server: Server, command: str) -> None:
    answer = await server.upload(command, [])
    assert answer.status == 500 and (
        "no file" in answer.json()[0]["Message"] or "required" in answer.json()[0]["Message"]
    )
