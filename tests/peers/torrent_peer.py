"""A BitTorrent peer (PyPI package `libtorrent`) as a yardstick of the laboratory, driven over stdin.

    python torrent_peer.py FOLDER ADDRESS

Listens at ADDRESS:6881; no DHT, no local discovery, no trackers, no port mapping: it learns of peers by being told
and by the peer exchange of those it knows. Prints one JSON line per event: first {"event": "ready", "peerId", "addrs"},
then one per command, which is a JSON array on a line: ["add", PATH] -> {"cid": PATH of the torrent}
| ["connect", ADDRESS] | ["get", TORRENT, OUT] (returns when it has all) | ["close"].
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import libtorrent

PORT = 6881
ASK_EVERY = 0.05
"""Seconds between two looks at a download."""
QUIET = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": 0,
}


class Peer:
    """One session with at most one torrent."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.session = libtorrent.session({**QUIET, "listen_interfaces": f"{address}:{PORT}"})
        self.known: list[str] = []
        self.handle: libtorrent.torrent_handle | None = None

    def add(self, path: str) -> dict[str, object]:
        """Seed a file."""
        storage = libtorrent.file_storage()
        libtorrent.add_files(storage, path)
        made = libtorrent.create_torrent(storage)
        libtorrent.set_piece_hashes(made, str(Path(path).parent))
        torrent = self.folder / "file.torrent"
        torrent.write_bytes(libtorrent.bencode(made.generate()))
        self._take(torrent, Path(path).parent)
        assert self.handle is not None  # just taken
        while not self.handle.status().is_seeding:
            time.sleep(ASK_EVERY)
        return {"cid": str(torrent)}

    def begin(self, torrent: str) -> None:
        """Take part in a torrent, and tell it of everybody known."""
        if self.handle is None:
            self._take(Path(torrent), self.folder)
        assert self.handle is not None
        for address in self.known:
            self.handle.connect_peer((address, PORT))

    def _take(self, torrent: Path, folder: Path) -> None:
        parameters = libtorrent.add_torrent_params()
        parameters.ti = libtorrent.torrent_info(str(torrent))
        parameters.save_path = str(folder)
        self.handle = self.session.add_torrent(parameters)

    def get(self, torrent: str, target: str) -> dict[str, object]:
        self.begin(torrent)
        assert self.handle is not None
        while not self.handle.status().is_seeding:
            time.sleep(ASK_EVERY)
        self.handle.flush_cache()
        shutil.copy(self.folder / self.handle.torrent_file().name(), target)
        return {}

    def answer(self, command: str, *words: str) -> dict[str, object]:
        """Run one command. Raises ValueError for an unknown one."""
        match command:
            case "add":
                return self.add(words[0])
            case "connect":
                self.known.append(words[0])
                return {}
            case "get":
                return self.get(words[0], words[1])
            case _:
                raise ValueError(f"unknown command {command}")


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


def main() -> None:
    folder, address = Path(sys.argv[1]), sys.argv[2]
    peer = Peer(folder, address)
    say(event="ready", peerId="", addrs=[address])
    for line in sys.stdin:
        command, *words = json.loads(line)
        if command == "close":
            break
        try:
            say(ok=True, **peer.answer(command, *words))
        except (ValueError, RuntimeError) as exc:
            say(ok=False, error=str(exc))
    os._exit(0)  # its threads say goodbye to trackers that it does not have


main()
