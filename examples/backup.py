"""Keep versions of a folder: each run adds what changed, and pins it under the time; the oldest versions go.

python backup.py FOLDER
"""

import sys
from datetime import datetime
from pathlib import Path

import cidery

KEPT = 3
"""Versions kept."""


def main(folder: Path) -> None:
    with cidery.open("backup-repo", profile="test") as node:
        cid = node.add(folder, hidden=True, pin=False)
        node.pin.add(cid, name=f"{folder.name} {datetime.now().isoformat(timespec='microseconds')}")

        versions = sorted(node.pin.ls(type="recursive", name=f"{folder.name} "), key=lambda pin: pin.name)
        for old in versions[:-KEPT]:
            node.pin.rm(old.cid)
        for kept in versions[-KEPT:]:
            print(kept.name, kept.cid)
        print(node.repo.gc().blocks, "blocks removed that no version needs")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
