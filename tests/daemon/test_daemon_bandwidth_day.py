"""What went over the connections in the last day, with real daemons."""

import json
import os
import signal
from pathlib import Path

from peers.cidery_daemon import CideryDaemon

SIZE = 2_000_000


def day(node: CideryDaemon) -> tuple[int, int]:
    """(in, out) of the whole day."""
    said = json.loads(node.run("stats", "day", "--enc=json"))
    assert said["Every"] == 300
    return sum(one["In"] for one in said["Spells"]), sum(one["Out"] for one in said["Spells"])


def test_the_day_counts_what_went_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(SIZE))
    with CideryDaemon(tmp_path / "a") as owner, CideryDaemon(tmp_path / "b") as reader:
        cid = owner.add(tmp_path / "file")
        reader.connect(owner.addr)
        reader.get(cid, tmp_path / "got")
        came, went = day(reader)
        assert SIZE < came < 1.3 * SIZE and went < SIZE / 4
        assert day(owner)[1] > SIZE
        assert "In: 2" in reader.run("stats", "day")
        (said,) = json.loads(reader.run("swarm", "peers", "--traffic", "--enc=json"))["Peers"]
        assert SIZE < said["TotalIn"] < 1.3 * SIZE and said["TotalOut"] < SIZE / 4
        assert "2.0 MB in, " in reader.run("swarm", "peers", "--traffic")
        reader.close()
        reader.start()
        again = day(reader)
        assert came <= again[0] < 1.3 * SIZE
        reader.signal(signal.SIGKILL)
        reader.close()
        (reader.repo / "meta" / "bandwidth-day").write_bytes(b"cidery bandwidth 1\ncut off")
        reader.start()
        assert day(reader)[0] < SIZE, "a damaged file begins a new day, and stops nothing"
