"""id: without a daemon it reads the config and computes nothing."""

from __future__ import annotations

import base64

from cidery.commands.definitions.network import Identity
from cidery.repo.config import read_config, read_raw
from cidery.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.commands.context import Context
    from cidery.commands.definition import Call
    from cidery.core.network import PeerIdentity

AGENT = f"cidery/{__version__}"


def _identity(found: PeerIdentity) -> Identity:
    return Identity(
        ID=found.id,
        PublicKey=found.public_key,
        Addresses=list(found.addresses),
        AgentVersion=found.agent_version,
        Protocols=list(found.protocols),
    )


async def identity(context: Context, call: Call) -> Identity:
    peer = call.optional("peer")
    network = context.api.network if context.api is not None else None
    if peer is not None:
        from cidery.core.api import NoNetwork
        from cidery.identity.peer_id import PeerId

        PeerId.parse(peer)
        if network is None:
            raise NoNetwork
        with context.node.doing(f"dialling {peer}"):
            return _identity(await network.identify(peer))
    if network is not None:
        return _identity(network.identity())
    config = read_config(read_raw(context.config_file))
    key = base64.b64encode(config.public_key).decode()
    return Identity(ID=config.peer_id, PublicKey=key, Addresses=[], AgentVersion=AGENT, Protocols=[])
