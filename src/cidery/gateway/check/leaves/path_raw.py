"""Blocks at the end of a path.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/#format-request-query-parameter
"""

from cidery.gateway.check.bodies import Bytes
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has, Is, Kept, Present
from cidery.gateway.check.leaves.trustless_block import block_headers
from cidery.gateway.check.leaves.usual import RAW_TYPE, by_accept, get, own, partly, ranged, same_head, strict_ranges
from cidery.gateway.check.model import Check, Site, ask, expect

LEAF = "path-raw-gateway"


def checks(site: Site) -> list[Check]:
    tree = dag("gateway-raw-block.car")
    root, directory, data = tree.root, tree.block("dir"), tree.block("dir", "ascii.txt")
    path, raw = f"/ipfs/{root}/dir/ascii.txt", by_accept(RAW_TYPE)
    whole = expect(200, body=Bytes(directory))
    kept = (Present("Etag"), Is("X-Ipfs-Path", path), Has("X-Ipfs-Roots", (str(root),)), Kept(29030400))
    named = Has("Content-Disposition", ("attachment;", 'filename="foobar.bin'))
    part = partly(directory, (6, 16), Is("Content-Type", RAW_TYPE))
    return [
        get(LEAF, "?format=raw returns the block", ask(f"/ipfs/{root}/dir?format=raw"), whole),
        get(LEAF, "Accept of a raw block returns the block", ask(f"/ipfs/{root}/dir", raw), whole),
        get(LEAF, "one range of a block", ranged(ask(f"/ipfs/{root}/dir", raw), (6, 16)), part),
        get(LEAF, "a block has its headers", ask(path, raw), expect(200, *block_headers(data), body=Bytes(data))),
        get(LEAF, "?filename names the attachment", ask(f"{path}?filename=foobar.bin", raw), expect(200, named)),
        get(LEAF, "a block may be kept for ever", ask(path, raw), expect(200, *kept)),
        same_head(LEAF, "a block", ask(f"{path}?format=raw"), *block_headers(data)),
        *strict_ranges(LEAF, "a block", ask(f"{path}?format=raw"), data, RAW_TYPE),
        own(
            LEAF,
            "X-Ipfs-Roots names each CID on the path",
            ask(path, raw),
            expect(200, Is("X-Ipfs-Roots", f"{root},{tree.cid('dir')},{tree.cid('dir', 'ascii.txt')}")),
        ),
        own(LEAF, "a path that does not exist", ask(f"/ipfs/{root}/nothing?format=raw"), expect(404)),
    ]
