"""The programs of test_kubo_clients.py, unchanged, with a daemon whose RPC speaks TLS with a certificate of our own
authority. Each has its own way to be told of that, and without it none sends anything."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.test_kubo_clients import HELLO, SCRIPT, SECONDS, SIZE
from peers.certificates import Authority
from peers.cidery_daemon import CideryDaemon
from peers.installed import go_rpc_command, kubo_rpc_command, require

AIOIPFS = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
import aioipfs

async def main():
    client = aioipfs.AsyncIPFS(host="127.0.0.1", port=int(sys.argv[1]), scheme="https")
    try:
        cid = (await client.core.add_bytes(b"some bytes"))["Hash"]
        assert await client.cat(cid) == b"some bytes"
        assert [one async for one in client.pin.add(cid)][-1]["Pins"] == [cid]
    finally:
        await client.close()

asyncio.run(main())
"""


class SecureRpc:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        cert, key = self.authority.sign(folder)
        config = {
            "API.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
            "Addresses.API": json.dumps("/ip4/127.0.0.1/tcp/0/tls/http"),
        }
        self.daemon = CideryDaemon(folder / "node", config)
        self.port = (self.daemon.repo / "api").read_text().split("/")[4]
        self.url = f"https://127.0.0.1:{self.port}"

    def run(self, command: list[str], variable: str) -> subprocess.CompletedProcess[str]:
        """``variable``: of the environment, by which the program is told of the authority; "": it is not."""
        known = {**os.environ, **({variable: str(self.authority.file)} if variable else {})}
        return subprocess.run(command, env=known, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRpc]:
    made = SecureRpc(tmp_path_factory.mktemp("rpc"))
    try:
        yield made
    finally:
        made.daemon.close()


def test_kubo_rpc_client_works(rpc: SecureRpc) -> None:
    command = kubo_rpc_command(rpc.url)
    done = rpc.run(command, "NODE_EXTRA_CA_CERTS")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["add"] == said["file"] == HELLO and said["get"] > SIZE and said["addAll with progress"] == 3_000_000
    assert "timed out" in said["a read that ends by its timeout"]["error"]
    assert rpc.run(command, "").returncode != 0


def test_kubos_own_client_in_go_works(rpc: SecureRpc) -> None:
    command = go_rpc_command(rpc.url)
    done = rpc.run(command, "SSL_CERT_FILE")
    assert done.returncode == 0, done.stderr
    told = {line["what"]: line["value"] for line in map(json.loads, done.stdout.splitlines())}
    assert told["got"] == "world" and told["cancelled"] is True
    assert rpc.run(command, "").returncode != 0


def test_aioipfs_works(rpc: SecureRpc) -> None:
    pytest.importorskip("aioipfs", exc_type=ImportError)
    command = [sys.executable, "-c", AIOIPFS, rpc.port]
    done = rpc.run(command, "SSL_CERT_FILE")
    assert done.returncode == 0, done.stderr
    assert rpc.run(command, "").returncode != 0


def test_a_script_with_curl_works(rpc: SecureRpc, tmp_path: Path) -> None:
    require(shutil.which("curl") is not None, "curl")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.txt").write_text("hello\n")
    command = ["sh", "-c", SCRIPT, "script", rpc.url, str(tmp_path)]
    done = rpc.run(command, "CURL_CA_BUNDLE")
    assert done.stdout.strip().endswith("done"), done.stderr
    assert rpc.run(command, "").returncode != 0
