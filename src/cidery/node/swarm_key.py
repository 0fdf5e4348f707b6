"""The key of a private network: read at the start, made by ``swarm key``."""

import os
from pathlib import Path

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.network import SwarmKey
from cidery.errors import InvalidInput
from cidery.libp2p.protocols.pnet import KEY_SIZE, MAX_KEY_FILE, BadSwarmKey, format_swarm_key, parse_swarm_key

FORCE = "LIBP2P_FORCE_PNET"
"""Environment variable: "1" refuses to run outside of a private network."""


class NotPrivate(InvalidInput):
    """A private network is demanded and there is no key."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{FORCE} demands a private network and there is no {self.path}; copy that of the other nodes"


def read_swarm_key(path: Path) -> bytes | None:
    """The key in the file, None if there is none. Raises BadSwarmKey, NotPrivate."""
    try:
        with path.open("rb") as file:
            return parse_swarm_key(file.read(MAX_KEY_FILE + 1))
    except FileNotFoundError:
        if path.is_symlink():
            raise BadSwarmKey(f"{path} is a link to nothing: without the key this node would be a public one") from None
        if os.environ.get(FORCE) == "1":
            raise NotPrivate(path) from None
        return None
    except OSError as exc:
        raise BadSwarmKey(f"{path} cannot be read ({exc.strerror})") from exc


async def make(context: Context, call: Call) -> SwarmKey:
    """``swarm key``."""
    return SwarmKey(Key=format_swarm_key(os.urandom(KEY_SIZE)).decode())
