"""CIDs need no node, no repository and no network."""

from pathlib import Path

import cidery


def main() -> None:
    folder = Path("photos")
    folder.mkdir(exist_ok=True)
    (folder / "beach.txt").write_text("a beach\n")

    print(cidery.cid_of(folder))
    print(cidery.cid_of(folder, profile="unixfs-v0-2015"), "as Kubo's default")

    cid = cidery.CID.parse("QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN")
    print(cid.version, cid.to_v1())


if __name__ == "__main__":
    main()
