"""The RPC over a real socket: routing, bad calls, streams, uploads, errors after the first byte."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

import cidery
from cidery.client.address import Endpoint
from cidery.client.blocking import call
from cidery.commands.context import Body
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc import uploads
from cidery.rpc.listen import CannotListen, NoApiAddress, NotLoopback, listen
from cidery.rpc.uploads import BadUpload, clean_name
from rpc_calls import Server

EMPTY_FOLDER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


@pytest.fixture
async def server(node: cidery.Node) -> AsyncIterator[Server]:
    stops: list[bool] = []
    async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: stops.append(True)) as addrs:
        made = Server(addrs[0], node)
        yield made
        made.stopped = bool(stops)


async def test_one_value_is_one_line_of_json(server: Server) -> None:
    answer = await server.post("version")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-chunked-output"] == "1"
    assert answer.json()[0]["Version"] == cidery.__version__


async def test_what_is_no_call_gets_the_usual_status(server: Server) -> None:
    assert (await server.post("nothing/here")).status == 404
    assert (await server.post("init")).status == 404, "commands of the client are not served"
    assert (await server.post("daemon")).status == 404
    assert (await server.post("swarm")).status == 404
    assert (await server.post("version/of/what")).status == 404
    assert (await server.post("swarm/peers/nobody")).status == 404, "not the command above it"
    got = await server.post("version", method="GET")
    assert got.status == 405 and got.headers["allow"] == "OPTIONS, POST"
    assert (await server.post("version?encoding=odd")).status == 400, "as in Kubo, which refuses the request"
    assert (await server.post("pin/ls?type=odd")).status == 500, "as in Kubo, where the command refuses it"
    assert (await server.post("version", method="OPTIONS")).status == 204
    assert (await server.post("version", Origin="http://evil.example")).status == 403
    assert (await server.post("version", Host="evil.example")).status == 403
    assert (await server.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).status == 404


@pytest.mark.parametrize("path", ["/web", "/webuis", f"/ipfs/{EMPTY_FOLDER}", "/ipns/example.org", "/", "/api/v1/id"])
async def test_what_is_outside_the_rpc_is_not_found_by_any_method(server: Server, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n"
        assert (await server.raw(head.encode())).status == 404


async def test_the_extension_ipfs_companion_is_answered(server: Server) -> None:
    origin = "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch"
    asked = await server.post("version", method="OPTIONS", Origin=origin, Access_Control_Request_Method="POST")
    assert asked.status == 204 and asked.headers["access-control-allow-origin"] == origin
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert "Authorization, Content-Type" in asked.headers["access-control-allow-headers"]
    answer = await server.post("version", Origin=origin, User_Agent="Mozilla/5.0 Chrome/156")
    assert answer.status == 200 and answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("cat", "'path' is required"),
        ("cat?arg=x&offset=far", "whole number"),
        ("add?q=true&quiet=true", "more than once"),
        ("add", "file argument 'path' is required"),
    ],
)
async def test_a_bad_call_is_told_in_one_line(server: Server, target: str, reason: str) -> None:
    answer = await server.post(target)
    assert answer.status == 400 and reason in answer.body.decode()
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize(
    "target",
    [
        "cat?arg=bafkqaaa%2Fno%2Fsuch",
        f"cat?arg={cidery.CID.of(b'nobody')}",
        "cat?arg=nonsense",
        "cat?arg=bafkqaaa&offset=-1",
        "pin/ls?type=odd",
        "pin/ls?arg=nonsense",
        "block/get?arg=x",
        "block/rm?arg=x",
        "dag/get?arg=bafkqaaa&output-codec=odd",
        "files/stat?arg=relative",
        "files/read?arg=/nothing",
        "key/gen?arg=self",
        "name/publish?arg=bafkqaaa&lifetime=soon",
        "swarm/connect?arg=nonsense",
        "config?arg=Addresses.API&arg=nonsense",
        "refs?arg=bafkqaaa&edges=true&format=x",
        "refs?arg=bafkqaaa&recursive=true&max-depth=-2",
        "id?arg=nonsense",
        "version?timeout=soon",
    ],
)
async def test_what_a_command_refuses_is_500_with_code_0_as_in_kubo(server: Server, target: str) -> None:
    answer = await server.post(target)
    assert answer.status == 500 and answer.headers["content-type"] == "application/json"
    assert answer.json()[0].keys() == {"Message", "Code", "Type"}
    assert answer.json()[0]["Code"] == 0 and answer.json()[0]["Type"] == "error"


@pytest.mark.parametrize("target", ["version?arg=x", "id/x?arg=y&arg=z", "repo/stat?arg=", "files/stat?arg=/&arg=/"])
async def test_arguments_too_many_mean_nothing(server: Server, target: str) -> None:
    assert (await server.post(target)).status in (200, 500)
    assert "too many" not in (await server.post(target)).body.decode()


async def test_paths_that_cannot_be_removed_are_named_and_the_error_follows_as_in_kubo(server: Server) -> None:
    answer = await server.post("files/rm?arg=/nothing")
    assert answer.status == 200 and [type(line) for line in answer.json()] == [str]
    assert "/nothing" in answer.json()[0] and "/nothing" in answer.trailer


async def test_an_answer_without_a_result_has_a_type_too(server: Server) -> None:
    for target in (
        "files/mkdir?arg=/d",
        "files/rm?arg=/d&recursive=true",
        "filestore/ls",
        "files/chmod?arg=0755&arg=/",
    ):
        answer = await server.post(target)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b"")


async def test_options_that_are_not_known_are_passed_over(server: Server) -> None:
    assert (await server.post("version?novelty=1")).status == 200


async def test_the_last_words_of_a_path_may_be_the_argument(server: Server) -> None:
    cid = await server.node.add(b"in the path")
    assert (await server.post(f"cat/{cid}")).body == b"in the path"


async def test_a_folder_is_added_from_parts(server: Server) -> None:
    answer = await server.upload(
        "add?wrap-with-directory=false",
        [
            ("d", "application/x-directory", b""),
            ("d%2Fa+b.txt", "application/octet-stream", b"a\r\n-B\r\n--b not the end\r\n"),
            ("d%2Flink", "application/symlink", b"a b.txt"),
            ("d%2Fempty", "application/x-directory", b""),
        ],
    )
    events = {value["Name"]: value for value in answer.json()}
    assert answer.status == 200 and not answer.trailer
    assert set(events) == {"d", "d/a b.txt", "d/link", "d/empty"}
    assert events["d/empty"]["Hash"] == EMPTY_FOLDER and events["d/empty"]["Size"] == "4"
    folder = events["d"]["Hash"]
    assert (await server.post(f"cat?arg={folder}/a%20b.txt")).body == b"a\r\n-B\r\n--b not the end\r\n"
    listed = (await server.post(f"ls?arg={folder}")).json()[0]["Objects"][0]["Links"]
    assert [(link["Name"], link["Type"], link["Target"]) for link in listed][-1] == ("link", 4, "a b.txt")
    pins = (await server.post("pin/ls?type=recursive")).json()[0]["Keys"]
    assert pins == {folder: {"Type": "recursive", "Name": ""}}


async def test_many_parts_stream_through(server: Server) -> None:
    parts = [(f"d%2F{n:04}", "application/octet-stream", b"%d" % n * n) for n in range(300)]
    answer = await server.upload("add?progress=false", [("d", "application/x-directory", b""), *parts])
    assert len(answer.json()) == 301
    folder = answer.json()[-1]["Hash"]
    assert (await server.post(f"cat?arg={folder}/0250")).body == b"250" * 250


async def test_an_upload_has_a_bound_on_files_outside_folders(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_ROOTS", uploads.UPLOAD_ROOTS._replace(amount=3))
    inside = [(f"d/{n}", "application/octet-stream", b"") for n in range(10)]
    assert (await server.upload("add", inside)).trailer == ""
    answer = await server.upload("add", [(str(n), "application/octet-stream", b"") for n in range(4)])
    assert "more than 3 files outside folders: put them into" in answer.trailer + answer.body.decode()


async def test_a_second_origin_must_be_allowed_too(server: Server) -> None:
    good, bad = f"Origin: http://127.0.0.1:{server.port}", "Origin: http://evil.example"
    for lines, status in (([good], 200), ([good, bad], 403), ([bad, good], 403)):
        head = ["POST /api/v0/version HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: close", *lines, "", ""]
        assert (await server.raw("\r\n".join(head).encode())).status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--B",
        b"--B\r\nContent-Disposition: form-data; name=x\r\n\r\nabc",
        b"nonsense\r\n--C\r\n\r\n",
        b"--B\r\nContent-Disposition: form-data\r\n\r\n" + bytes(3 << 20),
    ],
)
async def test_a_broken_upload_is_an_error_and_the_server_goes_on(server: Server, body: bytes) -> None:
    answer = await server.post("add", body, Content_Type="multipart/form-data; boundary=B")
    assert answer.status == 500 and "not valid multipart" in answer.json()[0]["Message"]
    assert (await server.post("version")).status == 200


@pytest.mark.parametrize("name", ["..", "a/../b", "/../x", "a\0b"])
def test_a_part_cannot_name_a_place_outside(name: str) -> None:
    with pytest.raises(BadUpload):
        clean_name(name)


def test_leading_slashes_and_dots_of_a_part_mean_nothing() -> None:
    assert clean_name("/a//./b") == "a/b"


async def test_bytes_come_with_their_type_and_length(server: Server) -> None:
    cid = await server.node.add(b"x" * 3000)
    answer = await server.post(f"cat?arg={cid}&offset=10&length=100")
    assert answer.body == b"x" * 100 and answer.headers["x-content-length"] == "100"
    assert answer.headers["content-type"] == "text/plain" and answer.headers["x-stream-output"] == "1"
    assert answer.headers["content-length"] == "100" and "trailer" not in answer.headers, "no error can come any more"
    stream = await server.post(f"cat?arg={await server.node.add(bytes(300_000))}")
    assert stream.body == bytes(300_000) and stream.headers["trailer"] == "X-Stream-Error, X-Error-Category"
    block = await server.post(f"block/get?arg={cid}")
    assert block.headers["content-type"] == "application/vnd.ipld.raw" and len(block.body) == 3000
    tar = await server.post(f"get?arg={cid}")
    assert tar.headers["content-type"] == "application/x-tar" and tar.body[257:262] == b"ustar"


async def test_an_error_after_the_first_byte_comes_in_the_trailer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(context: object, call: object) -> Body:
        async def chunks():  # type: ignore[no-untyped-def]
            yield b"part"
            raise cidery.multiformats.cid.CIDError("two\nlines")

        return Body(chunks(), 100)

    monkeypatch.setattr("cidery.commands.run.reading.cat", breaks)
    answer = await server.post("cat?arg=x")
    assert answer.status == 200 and answer.body == b"part"
    assert answer.trailer.splitlines() == ["X-Stream-Error: bad CID: two lines", "X-Error-Category: InvalidInput"]
    client = cidery.Client(f"127.0.0.1:{server.port}")
    with pytest.raises(cidery.client.answer.RpcError, match="two lines"):
        async for _ in client.cat("x"):
            continue


async def test_a_run_is_cancelled_when_its_client_goes_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def endless(context: object, call: object) -> Body:
        async def chunks():  # type: ignore[no-untyped-def]
            try:
                yield b"first"
                await asyncio.Event().wait()
            finally:
                ended.set()

        return Body(chunks())

    monkeypatch.setattr("cidery.commands.run.reading.cat", endless)
    client = cidery.Client(f"127.0.0.1:{server.port}")
    async with aclosing(client.cat("x")) as chunks:
        async for _ in chunks:
            break
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_timeout_ends_a_call(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(context: object, call: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("cidery.commands.run.version.version", waits)
    answer = await server.post("version?timeout=50ms")
    assert answer.status == 500 and "timed out after 0.05 s" in answer.json()[0]["Message"]


async def test_the_private_key_never_leaves_by_the_rpc(server: Server) -> None:
    shown = await server.post("config/show")
    assert shown.status == 200 and b"PrivKey" not in shown.body
    assert (await server.post("config?arg=Identity.PrivKey")).status == 500
    applied = await server.post("config/profile/apply?arg=lowpower&dry-run=true")
    assert applied.status == 200 and b"PrivKey" not in applied.body


async def test_a_key_of_the_config_that_is_not_set_is_null_and_a_misspelt_one_an_error(server: Server) -> None:
    unset = await server.post("config?arg=Gateway.RootRedirect")
    assert (unset.status, unset.json()) == (200, [{"Key": "Gateway.RootRedirect", "Value": None}])
    stored = await server.post("config?arg=Swarm.AddrFilters&arg=null&json=true")
    assert (stored.status, stored.json()) == (200, [{"Key": "Swarm.AddrFilters", "Value": None}])
    for target in ("config?arg=Foo.Bar", "config?arg=Foo.Bar&arg=1"):
        misspelt = await server.post(target)
        assert misspelt.status == 500 and "is not a key" in misspelt.json()[0]["Message"]


async def test_a_config_with_another_private_key_is_refused(server: Server) -> None:
    before = (server.node.path / "config").read_bytes()
    other = json.dumps({"Identity": {"PrivKey": "CAESQA=="}}).encode()
    refused = await server.upload("config/replace", [("config", "application/octet-stream", other)])
    assert refused.status == 500 and "edit the config file" in refused.json()[0]["Message"]
    assert (server.node.path / "config").read_bytes() == before


async def test_blocks_are_put_and_counted(server: Server) -> None:
    answer = await server.upload("block/put", [("x", "application/octet-stream", b"Hello Mars!\n")])
    assert answer.json() == [{"Key": "bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4", "Size": 12}]
    stat = await server.post("repo/stat")
    assert stat.json()[0]["NumObjects"] == 1 and (await server.post("stats/repo")).json() == stat.json()
    assert (await server.post("repo/verify")).json()[-1]["Msg"] == "verify complete, all 1 blocks validated."
    too_big = await server.upload("block/put", [("x", "application/octet-stream", bytes(3 << 20))])
    assert (
        too_big.status == 500 and too_big.json()[0]["Code"] == 0 and "at most 2097152" in too_big.json()[0]["Message"]
    )


async def test_a_command_without_a_network_says_what_to_do(server: Server) -> None:
    answer = await server.post("swarm/peers")
    assert answer.status == 500 and "cidery daemon" in answer.json()[0]["Message"]


async def test_the_rpc_listens_on_this_machine_only(server: Server, tmp_path: Path) -> None:
    for text in ("/ip4/0.0.0.0/tcp/0", "/ip4/192.0.2.1/tcp/5001", "/dns4/localhost/tcp/0", "/ip4/127.0.0.1/udp/1"):
        with pytest.raises(NoApiAddress if "ip4/127" in text or "dns4" in text else NotLoopback):
            async with listen(server.node.api, (Multiaddr.parse(text),), {}, tmp_path / "api", lambda: None):
                raise AssertionError("it listened")
    taken = Multiaddr.tcp("127.0.0.1", server.port)
    with pytest.raises(CannotListen, match="free one"):
        async with listen(server.node.api, (taken,), {}, tmp_path / "api", lambda: None):
            raise AssertionError("it listened")
    assert not (tmp_path / "api").exists()


async def test_an_option_without_text_is_empty_and_a_flag_without_one_is_set(server: Server) -> None:
    cid = await server.node.add(b"pinned", pin=False)
    assert (await server.post(f"pin/add?arg={cid}&name=")).status == 200
    assert (await server.post("pin/ls?names=&quiet")).json()[0]["Keys"] == {str(cid): {"Type": "recursive", "Name": ""}}
    added = await server.upload("add?chunker=&quiet", [("f", "application/octet-stream", b"pinned")])
    assert added.json()[0]["Hash"] == str(cid)


async def test_names_that_are_not_utf_8_are_the_bytes_that_were_sent(server: Server) -> None:
    parts = [("d", "application/x-directory", b""), ("d%2Fa%FF", "application/octet-stream", b"bytes")]
    root = (await server.upload("add", parts)).json()[-1]["Hash"]
    assert (await server.post(f"cat?arg={root}/a%FF")).body == b"bytes"
    for target in (f"ls?arg={root}", f"ls?arg={root}&stream=true"):
        listed = await server.post(target)
        assert listed.json()[0]["Objects"][0]["Links"][0]["Name"] == "a\ufffd", "any reader of JSON takes it"
        listed = await server.post(target, User_Agent="cidery")
        assert listed.json()[0]["Objects"][0]["Links"][0]["Name"] == "a\udcff", "our own clients keep the bytes"
    node = await server.post(f"dag/get?arg={root}")
    assert node.status == 200 and node.json()[0]["Links"][0]["Name"] == "a\ufffd"
    missing = await server.post(f"cat?arg={root}/b%FF")
    assert missing.status == 500 and missing.json()[0]["Message"].isprintable()
    assert (await server.post("pin/ls?type=%FF")).json()[0]["Message"].startswith("option 'type' takes one of")
    endpoint = Endpoint(server.host, server.port)
    with await asyncio.to_thread(call, endpoint, ["cat"], [("arg", f"{root}/a\udcff")]) as answer:
        assert b"".join(answer.chunks()) == b"bytes"


@pytest.mark.parametrize("count", [200, 12_000])
async def test_any_number_of_arguments_goes_through(server: Server, count: int) -> None:
    cid = str(await server.node.add(b"many times"))

    def listed() -> object:
        with call(Endpoint(server.host, server.port), ["pin", "ls"], [("arg", cid)] * count) as answer:
            return list(answer.values())

    assert await asyncio.to_thread(listed) == [{"Keys": {cid: {"Type": "recursive", "Name": ""}}}]
    if count < 1000:
        return
    query = "&".join([f"arg={cid}"] * count)
    assert (await server.post("pin/ls", query.encode(), Content_Type="application/x-www-form-urlencoded")).status == 200
    assert (await server.post(f"pin/ls?{query}")).status == 200, "as Kubo's clients send them"
    more = await server.post("pin/ls", b"arg=&" * 120_000, Content_Type="application/x-www-form-urlencoded")
    assert more.status == 400 and b"arguments" in more.body


async def test_what_is_not_http_leaves_a_line_in_the_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for sent in (b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"POST / HTTP/1.1\r\nBad header\r\n\r\n"):
        assert (await server.raw(sent)).status == 400
    said = [record for record in caplog.records if record.name == "cidery.http"]
    assert said and all(record.exc_info is None and "\n" not in record.getMessage() for record in said)


async def test_a_unix_socket_is_its_users_alone_and_is_not_taken_from_another_daemon(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    addr = Multiaddr.parse(f"/unix{path}")
    before = os.umask(0)
    try:
        async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
            async with listen(node.api, [addr], {}, node.path / "api", lambda: None):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                async with cidery.Node(tmp_path / "other", profile="test", offline=True) as other:
                    with pytest.raises(CannotListen, match="in use|listens"):
                        async with listen(other.api, [addr], {}, other.path / "api", lambda: None):
                            pass
                assert await cidery.Client(f"/unix{path}").peer_id() == await node.peer_id()
            assert not path.exists()
    finally:
        os.umask(before)
