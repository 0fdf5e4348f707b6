"""Show how far an add and a get are."""

import os
from pathlib import Path

import cidery
from cidery.methods.results import AddProgress, GetProgress

SIZE = 64 << 20


def added(step: AddProgress) -> None:
    print(f"\radd {step.name}: {step.bytes / SIZE:4.0%}", end="")


def got(step: GetProgress) -> None:
    of = f" of {step.total >> 20} MiB" if step.total else ""
    print(f"\rget: {step.bytes >> 20} MiB{of}", end="")


def main() -> None:
    Path("film.bin").write_bytes(os.urandom(SIZE))
    with cidery.open("example-repo", profile="test") as node:
        # a callback is called while the method runs, so it must not call the node itself
        cid = node.add("film.bin", progress=added)
        print()
        node.get(cid, "copy-of-film.bin", progress=got)
        print()
    same = Path("film.bin").read_bytes() == Path("copy-of-film.bin").read_bytes()
    print("the same bytes" if same else "other bytes")


if __name__ == "__main__":
    main()
