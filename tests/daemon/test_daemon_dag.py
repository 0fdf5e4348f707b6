"""dag, cid and multibase with a daemon: uploads of archives, streams, and what stays in the calling process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_daemon import Daemon

ARCHIVES = Path(__file__).parent.parent / "vectors" / "gateway-conformance" / "fixtures"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("node") / "repo")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_archives_are_uploaded_and_downloaded(daemon: Daemon) -> None:
    archive = ARCHIVES / "trustless_gateway_car" / "dir-with-dag-cbor-with-links.car"
    found = daemon.text("dag", "import", "--stats", archive).splitlines()
    root = found[0].split("\t")[1]
    assert found[0].endswith("\tsuccess") and found[1] == "Imported 9 blocks (1462 bytes)"
    assert daemon.run("dag", "export", root).stdout == archive.read_bytes()


def test_nodes_and_texts_go_through_the_daemon_or_past_it(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "node").write_text('{"data":1234}')
    cid = daemon.text("dag", "put", tmp_path / "node").strip()
    assert cid == "bafyreidbm2zncsc3j25zn7lofgd4woeh6eygdy73thfosuni2rwr3bhcvu"
    assert daemon.text("dag", "get", f"{cid}/data") == "1234"
    assert daemon.text("dag", "resolve", f"{cid}/data") == f"{cid}/data"
    assert daemon.text("resolve", f"/ipfs/{cid}") == f"/ipfs/{cid}"
    assert "NumBlocks" in daemon.text("dag", "stat", "--enc=json", cid)
    assert "same CID" in daemon.text("cid", "explain", cid, cid)
    assert daemon.text("multibase", "encode", "-b", "base32", tmp_path / "node").startswith("b")
