"""Order and duplicates of the blocks of an archive.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/#car-order-content-type-parameter
"""

from cidery.gateway.check.bodies import Car
from cidery.gateway.check.dag import dag
from cidery.gateway.check.headers import Has
from cidery.gateway.check.leaves.usual import CAR_TYPE, by_accept, get, own
from cidery.gateway.check.model import Check, Site, ask, expect
from cidery.multiformats.cid import CID

LEAF = "trustless-car-gateway-optional"
INLINED = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa"


def checks(site: Site) -> list[Check]:
    folder = dag("trustless_gateway_car/dir-with-duplicate-files.car")
    path = f"/ipfs/{folder.root}"
    ascii_, hello, file = folder.cid("ascii.txt"), folder.cid("hello.txt"), folder.cid("multiblock.txt")
    assert folder.cid("ascii-copy.txt") == ascii_
    chunks = folder.below("multiblock.txt")
    once: tuple[CID, ...] = (folder.root, ascii_, hello, file, *chunks)
    twice: tuple[CID, ...] = (folder.root, ascii_, ascii_, hello, file, *chunks)
    order = by_accept(f"{CAR_TYPE}; version=1; order=dfs; dups=y")
    return [
        get(LEAF, "order=dfs and dups=y", ask(path, order), expect(200, _says("order=dfs", "dups=y"), body=Car(twice))),
        get(
            LEAF,
            "order=dfs and dups=n",
            ask(path, by_accept(f"{CAR_TYPE}; version=1; order=dfs; dups=n")),
            expect(200, _says("order=dfs", "dups=n"), body=Car(once)),
        ),
        get(
            LEAF,
            "order=unk",
            ask(path, by_accept(f"{CAR_TYPE}; version=1; order=unk")),
            expect(200, _says("order="), body=Car(once, exact=False)),
        ),
        get(
            LEAF,
            "a CID that holds its data has no block",
            ask(f"/ipfs/{INLINED}", by_accept(f"{CAR_TYPE}; dups=y")),
            expect(200, _says("dups=y"), body=Car(())),
        ),
        get(
            LEAF,
            "parameters of Accept count with ?format=car",
            ask(f"{path}?format=car", order),
            expect(200, _says("order=dfs", "dups=y"), body=Car(twice)),
        ),
        get(
            LEAF,
            "?car-order beats the order of Accept",
            ask(f"{path}?format=car&car-order=dfs", by_accept(f"{CAR_TYPE}; order=unk")),
            expect(200, _says("order=dfs")),
        ),
        get(
            LEAF,
            "?car-dups beats the duplicates of Accept",
            ask(f"{path}?format=car&car-dups=y", by_accept(f"{CAR_TYPE}; dups=n")),
            expect(200, _says("dups=y")),
        ),
        *_ours(path, once, twice),
    ]


def _says(*parts: str) -> Has:
    return Has("Content-Type", (CAR_TYPE, *parts))


def _ours(path: str, once: tuple[CID, ...], twice: tuple[CID, ...]) -> list[Check]:
    return [
        own(
            LEAF,
            "?car-dups=y repeats blocks",
            ask(f"{path}?format=car&car-order=dfs&car-dups=y"),
            expect(200, _says("version=1", "order=dfs", "dups=y"), body=Car(twice)),
        ),
        own(
            LEAF,
            "?car-dups=n beats the duplicates of Accept",
            ask(f"{path}?format=car&car-dups=n", by_accept(f"{CAR_TYPE}; dups=y")),
            expect(200, _says("dups=n"), body=Car(once)),
        ),
        own(
            LEAF,
            "?car-version=1",
            ask(f"{path}?format=car&car-version=1"),
            expect(200, _says("version=1"), body=Car(once)),
        ),
    ]
