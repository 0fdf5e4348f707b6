"""Add a folder, list it, read a file of it, and save it under another name."""

from pathlib import Path

import cidery


def main() -> None:
    photos = Path("photos")
    photos.mkdir(exist_ok=True)
    (photos / "beach.txt").write_text("a beach\n")

    # profile "test": a repository for this machine alone; without it the node is one of the public network
    with cidery.open("example-repo", profile="test") as node:
        cid = node.add(photos)
        print(cid)
        for entry in node.ls(cid):
            print(entry.name, entry.size)
        print(node.read(f"{cid}/beach.txt").decode(), end="")
        print("saved as", node.get(cid, "copy-of-photos"))


if __name__ == "__main__":
    main()
