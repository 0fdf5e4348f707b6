"""Fuzz targets: every decoder that reads blocks, archives and names from elsewhere, fed with broken vectors.

    python tests/fuzz/decoders.py [SECONDS=60] [SEED=0]

Any input must give a value or one of the decoder's own errors, within MAX_SECONDS. The first that does not is printed.
The same seed makes the same inputs; a property test runs some of each.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cidery.errors import IntegrityError, InvalidInput
from cidery.ipld.car_reader import CarReader
from cidery.ipld.codecs import codec_of
from cidery.ipld.data_model import links_of
from cidery.ipld.links import named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multibase import decode_multibase
from cidery.multiformats.multicodec import CODECS, DAG_PB
from cidery.unixfs.node import decode_node

VECTORS = Path(__file__).parent.parent / "vectors"
MAX_SECONDS = 5.0
"""Longest that one input may take: they are small, and decoders are linear."""
MAX_SEED_BYTES = 4096
"""Larger vectors are cut to this, in bytes."""
MAX_CHANGES = 4
"""Most changes of one input."""
BYTES_OF_INTEREST = b'\x00\x01\x7f\x80\x81\x9f\xa1\xbf\xd8\x2a\xf6\xfb\xff\x0a\x12\x18\x22\x28{}[]"\\/:0'


class Target(NamedTuple):
    """One decoder."""

    name: str
    decode: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    """Its own; anything else is a finding."""
    seeds: list[bytes]


def read_archive(data: bytes) -> int:
    reader = CarReader()
    count = len(reader.receive_data(data[: len(data) // 2])) + len(reader.receive_data(data[len(data) // 2 :]))
    reader.receive_eof()
    return count


def read_and_write(code: int) -> Callable[[bytes], object]:
    """Decodes, finds the links, and encodes again: what was accepted has a form."""

    def step(data: bytes) -> object:
        value = codec_of(code).decode(data)
        links_of(value)
        return codec_of(code).encode(value)

    return step


def targets() -> list[Target]:
    """All of them, with the vectors they begin with."""
    blocks = {path: path.read_bytes()[:MAX_SEED_BYTES] for path in sorted(VECTORS.glob("codec-fixtures/fixtures/*/*"))}
    archives = [path.read_bytes()[:MAX_SEED_BYTES] for path in sorted(VECTORS.rglob("*.car"))]
    names = [path.stem.encode() for path in blocks]
    nodes = [data for path, data in blocks.items() if path.suffix == ".dag-pb"]
    for archive in archives:
        nodes += [bytes(block.data) for block, _ in CarReader().receive_data(archive) if block.cid.codec == DAG_PB]
    made = [
        Target(name, read_and_write(code), (IntegrityError, InvalidInput), list(blocks.values()))
        for name, code in CODECS.items()
    ]
    node = CID.of(b"", DAG_PB)
    made.append(Target("unixfs node and shard", lambda data: decode_node(node, data), (IntegrityError,), nodes))
    made.append(Target("links", lambda data: named_links(node, data), (IntegrityError,), nodes))
    made.append(Target("car", read_archive, (InvalidInput,), archives))
    made.append(Target("cid", CID.decode, (InvalidInput,), [CID.parse(name.decode()).encode() for name in names]))
    made.append(Target("cid text", lambda data: CID.parse(data.decode("latin-1")), (InvalidInput,), names))
    made.append(Target("multibase", lambda data: decode_multibase(data.decode("latin-1")), (InvalidInput,), names))
    return made


def broken(seeds: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Endless inputs: vectors with bytes changed, cut, doubled, and parts of others put in."""
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, MAX_CHANGES)):
            at = chance.randint(0, len(data))
            match chance.randrange(6):
                case 0 if data:
                    data[at % len(data)] = chance.choice(BYTES_OF_INTEREST)
                case 1 if data:
                    data[at % len(data)] ^= 1 << chance.randrange(8)
                case 2:
                    del data[at : at + chance.randint(1, 8)]
                case 3:
                    data[at:at] = chance.choice(BYTES_OF_INTEREST).to_bytes() * chance.choice((1, 2, 8, 700))
                case 4:
                    other = chance.choice(seeds)
                    start = chance.randint(0, len(other))
                    data[at:at] = other[start : start + chance.randint(1, 64)]
                case _:
                    data[at:] = data[at:] + data[: chance.randint(0, len(data))]
        yield bytes(data)


class Finding(Exception):
    """An input that a decoder does not take as it should."""


def check(target: Target, data: bytes) -> None:
    """Raises Finding."""
    begun = time.perf_counter()
    try:
        target.decode(data)
    except target.errors as exc:
        if "\n" in str(exc):
            raise Finding(f"{target.name}: a message of several lines: {exc!r}\n{data.hex()}") from exc
    except Exception as exc:
        raise Finding(f"{target.name}: {exc!r}\n{data.hex()}") from exc
    if time.perf_counter() - begun > MAX_SECONDS:
        raise Finding(f"{target.name}: more than {MAX_SECONDS} s\n{data.hex()}")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    everything = [(target, broken(target.seeds, random.Random(seed))) for target in targets()]
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for target, inputs in everything:
            check(target, next(inputs))
            done += 1
    names = ", ".join(target.name for target, _ in everything)
    print(f"{done} inputs to {len(everything)} decoders ({names}): nothing found")


if __name__ == "__main__":
    main()
