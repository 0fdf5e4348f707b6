"""All figures, one bench after the other: ``make bench``. Takes some 15 minutes on two quiet cores and 12 GB of disk.

    python bench/run.py [--quick]

``--quick``: smaller inputs and fewer runs, to see that everything works.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FULL = [
    ["commands.py"],
    ["daemons.py"],
    ["gateway.py"],
    ["workers.py"],
    ["connect.py"],
    ["relay.py"],
    ["websocket.py"],
    ["line.py"],
    ["lan.py"],
    ["add.py", "1024", "7"],
    ["car.py", "1024", "7"],
    ["transfer.py", "--kubo", "--mixed"],
    ["memory.py", "4096"],
    ["store_bench.py"],
    ["mfs.py"],
    ["gc.py"],
    ["chunkers.py"],
    ["hamt.py"],
    ["dht.py"],
    ["siege.py"],
    ["webui.py"],
]
QUICK = [
    ["commands.py", "--runs", "2"],
    ["daemons.py", "--mib", "64", "--runs", "1"],
    ["gateway.py", "--seconds", "1", "--mib", "64", "--entries", "20000"],
    ["workers.py", "--seconds", "1", "--runs", "2"],
    ["connect.py", "--runs", "10"],
    ["relay.py", "--seconds", "3", "--idle", "5"],
    ["websocket.py", "--mib", "64", "--runs", "2"],
    ["line.py", "--mib", "16", "--runs", "1"],
    ["lan.py", "--runs", "2"],
    ["add.py", "128", "2", "2000"],
    ["car.py", "128", "2"],
    ["transfer.py", "--mib", "128", "--runs", "2", "--kubo", "--mixed"],
    ["memory.py", "256"],
    ["mfs.py", "20000"],
    ["gc.py", "50000", "4000", "10000"],
    ["chunkers.py", "16", "2"],
    ["hamt.py", "20000"],
    ["dht.py", "20000", "60"],
    ["siege.py", "--seconds", "3"],
    ["webui.py", "--rows", "100000", "--mib", "128", "--files", "2000", "--seconds", "3"],
]


def main() -> int:
    here = Path(__file__).parent
    failed = 0
    for script, *arguments in QUICK if "--quick" in sys.argv else FULL:
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        failed += subprocess.run([sys.executable, str(here / script), *arguments], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
