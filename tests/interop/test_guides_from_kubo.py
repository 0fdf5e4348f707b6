"""The guides for those who come from Kubo's programs: with a repository that Kubo made, and with ipfshttpclient."""

import json
from importlib.util import find_spec
from pathlib import Path

from peers.installed import kubo_command, require
from peers.line_peer import LinePeer
from rehearsal import Rehearsal

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def test_a_repository_of_kubo_is_moved_as_the_guide_says(tmp_path: Path) -> None:
    with Rehearsal(tmp_path) as rehearsal:
        home = rehearsal.machine().home
        (home / "beach.txt").write_text("a beach of Kubo's\n")
        with LinePeer(kubo_command(home / ".ipfs"), tmp_path / "kubo.log") as peer:
            cid = peer.ask("add", str(home / "beach.txt"))["cid"]
        config = json.loads((home / ".ipfs" / "config").read_text())
        # what the guide takes over, the settings too, stays on this machine
        assert config["Bootstrap"] == [] and not config["Discovery"]["MDNS"]["Enabled"]
        rehearsal.follow((GUIDES / "move-from-kubo.md").read_text())
        assert rehearsal.machine().run(f"cidery cat {cid}").strip() == "a beach of Kubo's"


def test_a_program_is_moved_as_the_guide_says(tmp_path: Path) -> None:
    require(find_spec("ipfshttpclient") is not None, "ipfshttpclient")
    with Rehearsal(tmp_path, warnings="default") as rehearsal:  # the old client makes its libraries warn
        rehearsal.follow((GUIDES / "move-from-ipfshttpclient.md").read_text())
