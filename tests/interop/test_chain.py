"""Who has fetched serves on: the first holder may go."""

from collections.abc import Callable
from pathlib import Path

from peers.cidery_daemon import CideryDaemon
from peers.installed import kubo_command
from peers.line_peer import LinePeer
from peers.trees import digest


def test_helia_gets_from_cidery_what_kubo_added_after_kubo_has_stopped(
    cidery: Callable[..., CideryDaemon], new_helia: LinePeer, a_tree: Path, tmp_path: Path
) -> None:
    node = cidery()
    with LinePeer(kubo_command(tmp_path / "kubo"), tmp_path / "kubo.log") as kubo:
        cid = kubo.ask("add", str(a_tree))["cid"]
        node.connect(kubo.addr)
        node.get(cid, tmp_path / "by cidery")
    new_helia.ask("dial", node.addr)
    new_helia.ask("catdir", cid, str(tmp_path / "by helia"))
    assert digest(tmp_path / "by helia") == digest(tmp_path / "by cidery") == digest(a_tree)
