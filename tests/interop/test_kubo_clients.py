"""Programs written for Kubo's RPC, unchanged: kubo-rpc-client, aioipfs, ipfshttpclient, and scripts with curl."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_rpc_command, kubo_rpc_command, require

SIZE = 300_000
HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
SECONDS = 120


class Rpc:
    """A daemon and its address in the forms that clients take."""

    def __init__(self, daemon: CideryDaemon) -> None:
        self.daemon = daemon
        self.maddr = (daemon.repo / "api").read_text().strip()
        self.port = int(self.maddr.rsplit("/", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rpc]:
    with CideryDaemon(tmp_path_factory.mktemp("rpc") / "node") as daemon:
        yield Rpc(daemon)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "a.txt").write_text("hello\n")
    (tmp_path / "tree" / "sub" / "b.bin").write_bytes(os.urandom(SIZE))
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def said(rpc: Rpc) -> dict[str, Any]:
    """What kubo-rpc-client got, by step."""
    done = subprocess.run(kubo_rpc_command(rpc.url), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_javascript_adds_reads_and_lists(said: dict[str, Any]) -> None:
    assert said["add"] == said["file"] == HELLO
    assert [one["path"] for one in said["addAll"]] == ["tree/a", "tree/sub/b", "tree/sub", "tree"]
    assert (said["cat"], said["cat part"]) == ("hello", "ell") and said["get"] > SIZE
    assert said["ls"] == [
        {"name": "a", "type": "file", "size": 1},
        {"name": "sub", "type": "dir", "size": 0},
    ]
    assert said["id"].startswith("cidery/") and said["refs"] == 3


def test_javascript_pins_and_works_with_blocks_and_nodes(said: dict[str, Any]) -> None:
    assert said["pin add"] == HELLO and said["pin ls"] == [{"type": "recursive", "cid": HELLO}]
    assert "is not pinned" in said["pin ls of none"]["error"]
    assert (said["block get"], said["block stat"]) == ("raw", 3)
    assert said["dag get"] == {"n": 1, "to": HELLO} and said["dag get path"] == "hello"
    assert said["dag resolve"] == said["dag put"]
    assert said["dag export and import"] == [said["root"]]


def test_javascript_changes_files_and_names(said: dict[str, Any]) -> None:
    assert (said["files ls"], said["files read"]) == (["f"], "data")
    assert said["files stat"] == {"type": "file", "size": 4}
    assert said["files rm"] is None and "file does not exist" in said["files rm of none"]["error"]
    assert said["key rename"] == said["key rm"] == "named"
    assert said["name publish"] == said["key"] and said["name resolve"] == [f"/ipfs/{HELLO}"]


def test_javascript_asks_about_the_node(said: dict[str, Any]) -> None:
    assert said["repo gc"] is True and said["stats bw"] == 1 and said["log ls"] is True
    assert said["config get"] == "10GB" and said["config set"] is None
    assert said["diag cmds"] == ["diag/cmds"] and said["swarm peers"] == 0
    assert "pubsub is off" in said["pubsub ls"]["error"]


def test_javascript_makes_the_calls_of_the_official_page(said: dict[str, Any]) -> None:
    assert said["commands"] == "cidery" and said["resolve"].startswith("/ipfs/baf")
    assert said["key list"] == ["self"] and said["config replace"] is None
    assert said["log level"]["message"].startswith("Changed log level") and said["log tail"] == "open"
    assert "routing is switched off" in said["provide stat"]["error"] and "error" in said["routing provide"]
    assert "connect" in said["swarm connect"]["error"] and said["addAll with progress"] == 3_000_000


def test_a_call_that_javascript_gives_up_ends_in_the_daemon_too(said: dict[str, Any]) -> None:
    assert "timed out" in said["a read that ends by its timeout"]["error"]
    assert "error" in said["a read that is aborted"]
    assert said["calls after that"] == ["diag/cmds"]


@pytest.mark.filterwarnings("ignore")
async def test_aioipfs_works(rpc: Rpc, folder: Path, tmp_path: Path) -> None:
    aioipfs = pytest.importorskip("aioipfs", exc_type=ImportError)
    client = aioipfs.AsyncIPFS(maddr=rpc.maddr)
    try:
        added = [one async for one in client.add(str(folder), recursive=True)]
        root = added[-1]["Hash"]
        assert [one["Name"] for one in added] == ["tree/a.txt", "tree/sub/b.bin", "tree/sub", "tree"]
        cid = (await client.core.add_bytes(b"some bytes"))["Hash"]
        assert await client.cat(cid) == b"some bytes"
        assert await client.core.cat(cid, offset=5, length=3) == b"byt"
        assert await client.get(root, dstdir=str(tmp_path / "out"))
        assert (tmp_path / "out" / root / "sub" / "b.bin").read_bytes() == (folder / "sub" / "b.bin").read_bytes()
        assert [one["Name"] for one in (await client.ls(root))["Objects"][0]["Links"]] == ["a.txt", "sub"]
        assert [one async for one in client.pin.add(cid)][-1]["Pins"] == [cid]
        assert cid in (await client.pin.ls())["Keys"] and (await client.pin.rm(cid))["Pins"] == [cid]
        await client.files.mkdir("/aio", parents=True)
        await client.files.write("/aio/f", b"data", create=True)
        assert await client.files.read("/aio/f") == b"data"
        assert [one["Name"] for one in (await client.files.ls("/aio"))["Entries"]] == ["f"]
        await client.files.rm("/aio", recursive=True)
        name = (await client.key.gen("aio"))["Id"]
        await client.name.publish(f"/ipfs/{cid}", key="aio", allow_offline=True)
        assert (await client.name.resolve(f"/ipns/{name}"))["Path"] == f"/ipfs/{cid}"
        await client.key.rm("aio")
        assert [one async for one in client.dag.stat(root)][-1]["UniqueBlocks"] == 4
        archive = await client.dag.export(root)
        assert len(archive) > SIZE
        assert [one["Command"] for one in await client.diag.cmds()] == ["diag/cmds"]
        assert (await client.swarm.filters_add("/ip4/10.0.0.0/ipcidr/8"))["Strings"] == ["/ip4/10.0.0.0/ipcidr/8"]
        assert (await client.swarm.filters_rm("/ip4/10.0.0.0/ipcidr/8"))["Strings"] == ["/ip4/10.0.0.0/ipcidr/8"]
        assert (await client.core.version())["Version"]
        with pytest.raises(aioipfs.APIError, match=""):
            await client.cat("not-a-cid")
    finally:
        await client.close()


@pytest.mark.filterwarnings("ignore")
def test_ipfshttpclient_works_without_its_guard_of_versions(
    rpc: Rpc, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ipfshttpclient = pytest.importorskip("ipfshttpclient", exc_type=ImportError)
    with pytest.raises(ipfshttpclient.exceptions.VersionMismatch):
        ipfshttpclient.connect(f"{rpc.maddr}/http")  # it knows Kubo up to 0.7
    monkeypatch.setattr(ipfshttpclient.client, "assert_version", lambda version: None)  # as docs/clients.md says
    with closing(ipfshttpclient.connect(f"{rpc.maddr}/http", session=True)) as client:
        added = client.add(str(folder), recursive=True)
        root = next(one["Hash"] for one in added if one["Name"] == "tree")
        cid = client.add_bytes(b"some bytes")
        assert client.cat(cid) == b"some bytes" and client.cat(cid, offset=5, length=3) == b"byt"
        assert client.get_json(client.add_json({"a": [1, None]})) == {"a": [1, None]}
        client.get(root, str(tmp_path / "out"))
        assert (tmp_path / "out" / root / "sub" / "b.bin").read_bytes() == (folder / "sub" / "b.bin").read_bytes()
        assert client.pin.add(cid)["Pins"] == [cid] and cid in client.pin.ls(type="recursive")["Keys"]
        assert client.pin.rm(cid)["Pins"] == [cid]
        block = client.block.put(io.BytesIO(b"raw"))["Key"]
        assert client.block.get(block) == b"raw" and client.block.stat(block)["Size"] == 3
        node = client.dag.put(io.BytesIO(b'{"x":1}'))["Cid"]["/"]
        assert client.dag.get(node)["x"] == 1
        archive = client.dag.export(root)
        assert client.dag.imprt(io.BytesIO(archive))["Root"]["Cid"]["/"] == root
        client.files.mkdir("/http")
        client.files.write("/http/f", io.BytesIO(b"data"), create=True)
        assert client.files.read("/http/f") == b"data" and client.files.stat("/http/f")["Size"] == 4
        client.files.rm("/http", recursive=True)
        name = client.key.gen("http", "ed25519")["Id"]
        client.name.publish(f"/ipfs/{cid}", key="http", allow_offline=True)
        assert client.name.resolve(f"/ipns/{name}")["Path"] == f"/ipfs/{cid}"
        client.key.rm("http")
        assert client.repo.stat()["NumObjects"] > 0 and client.config.get()["Datastore"]
        with pytest.raises(ipfshttpclient.exceptions.ErrorResponse, match="not-a-cid"):
            client.cat("not-a-cid")


SCRIPT = """
set -eu
api="$1/api/v0"; cd "$2"
cid=$(curl -sf -F file=@tree/a.txt "$api/add?cid-version=1&quieter=true" | sed 's/.*"Hash":"\\([^"]*\\)".*/\\1/')
test "$(curl -sf -X POST "$api/cat?arg=$cid")" = hello
curl -sf -X POST "$api/pin/ls?arg=$cid&type=recursive" | grep -q recursive
curl -sf -X POST "$api/files/cp?arg=/ipfs/$cid&arg=/curl"
curl -sf -X POST "$api/files/stat?arg=/curl" | grep -q "$cid"
curl -sf -X POST "$api/files/rm?arg=/curl"
curl -sf -X POST "$api/get?arg=$cid&archive=true" | tar -tf - | grep -q "$cid"
test "$(curl -s -o /dev/null -w '%{http_code}' "$api/id")" = 405
test "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$api/nothing")" = 404
test "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$api/cat")" = 400
test "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$api/cat?arg=x")" = 500
echo done
"""


def test_kubos_own_client_in_go_works(rpc: Rpc) -> None:
    done = subprocess.run(go_rpc_command(f"http://127.0.0.1:{rpc.port}"), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    told = {line["what"]: line["value"] for line in map(json.loads, done.stdout.splitlines())}
    assert told["added"] == "QmajR32pCBWFoUp7Q6Hfq5KxT4SQQBxPjUHBzkqeB5a5b6", "the folder without a name, as Kubo's"
    assert (told["got"], told["listed"]) == ("world", ["a file", "sub directory"])
    assert (told["pinned"], told["still pinned"]) == (["recursive "], False)
    assert (told["block"], told["block again"]) == (5, "block")
    assert "from-go" in told["keys"] and told["resolved"] is True and told["mutable"] == "mutable"
    assert "no link named 'absent'" in told["absent"] and told["cancelled"] is True


def test_a_script_with_curl_works(rpc: Rpc, folder: Path) -> None:
    require(shutil.which("curl") is not None, "curl")
    command = ["sh", "-c", SCRIPT, "script", rpc.url, str(folder.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.stdout.strip().endswith("done"), done.stderr
