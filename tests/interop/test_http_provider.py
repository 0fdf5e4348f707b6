"""A gateway with TLS is an HTTP provider of today's Kubo, which fetches by HTTP/2 and nothing else."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

from peers.certificates import write_certificate
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer
from peers.trees import write_file

Make = Callable[..., CideryDaemon]


def test_boxo_fetches_blocks_from_a_gateway_with_tls(
    cidery: Callable[..., CideryDaemon], go: LinePeer, tmp_path: Path
) -> None:
    write_certificate(tmp_path)
    files = {"CertFile": str(tmp_path / "cert.pem"), "KeyFile": str(tmp_path / "key.pem")}
    node = cidery({"Gateway.TLS": json.dumps(files)})
    cid = node.add(write_file(tmp_path / "file.bin", 3 * 1024 * 1024))
    port = (node.repo / "gateway").read_text().strip().rpartition(":")[2]
    for block in [cid, *node.run("refs", "-r", cid).split()][:3]:
        got = go.ask("http-get", f"/ip4/127.0.0.1/tcp/{port}/tls/http", node.peer_id, block)
        path = tmp_path / "block"
        path.write_bytes(base64.b64decode(got["data"]))
        assert node.run("block", "put", "--cid-codec", "raw" if block != cid else "dag-pb", str(path)).strip() == block
