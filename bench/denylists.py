"""What a denylist of many rules costs: loading, memory, and a look-up of something that is not denied.

python bench/denylists.py [RULES=1000000]
"""

import random
import subprocess
import sys
import time
from pathlib import Path

from cidery.denylist.denylists import Denylists
from cidery.denylist.header import Header
from cidery.denylist.rule_list import RuleList
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW

LOOK_UPS = 20_000
FORMS = ("v1", "hex", "v0")


def line(form: str, digest: bytes) -> bytes:
    """A rule, as lists have millions of."""
    if form == "hex":
        return f"//{digest.hex()}".encode()
    return f"/ipfs/{CID(int(form == 'v1'), DAG_PB, bytes((0x12, 0x20)) + digest)}".encode()


def resident() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measure(form: str, rules: int) -> None:
    """One row, in this process."""
    randbytes = random.Random(1).randbytes
    lines = [line(form, randbytes(32)) for _ in range(rules)]
    before, began = resident(), time.process_time()
    made = RuleList("bench.deny", Header())
    made.add_lines(lines, 0)
    made.seal()
    loaded, grown = time.process_time() - began, resident() - before
    lists = Denylists()
    lists.use([made])
    cids = [CID(1, RAW, b"\x12\x20" + randbytes(32)) for _ in range(LOOK_UPS)]
    lists.block(cids[0])  # tables that are made once
    began = time.process_time()
    for cid in cids:
        assert lists.block(cid) is None
    each = (time.process_time() - began) / LOOK_UPS * 1e6
    print(f"{form:<4} {rules:>9,} rules: load {loaded:.1f} s, memory {grown:.0f} MB, look-up {each:.1f} us", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(sys.argv[2], int(sys.argv[1]))
    else:
        for form in FORMS:
            subprocess.run([sys.executable, __file__, *(sys.argv[1:] or ["1000000"]), form], check=True)
