"""id: without a daemon it reads the config and computes nothing."""

from __future__ import annotations

import base64

from cidery.commands.definitions.network import Identity
from cidery.repo.config_file import read_raw
from cidery.repo.config_identity import identity_in, peer_id_in, public_key_of
from cidery.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cidery.commands.context import Context
    from cidery.commands.definition import Call
    from cidery.core.network import PeerIdentity

AGENT = f"cidery/{__version__}"


def peer_text(peer: str, base: str) -> str:
    """A peer id in the form that --peerid-base names. Raises BadCall."""
    if base in ("", "b58mh"):
        return peer
    from cidery.commands.bind import BadCall
    from cidery.errors import InvalidInput
    from cidery.identity.peer_id import PeerId
    from cidery.ipns.name import format_name

    try:
        return format_name(PeerId.parse(peer), {"k": "base36", "b": "base32"}.get(base, base))
    except InvalidInput as exc:
        raise BadCall(f"option 'peerid-base': {exc}") from exc


def shown_identity(found: PeerIdentity, base: str = "") -> Identity:
    """The result of id for a peer."""
    return Identity(
        ID=peer_text(found.id, base),
        PublicKey=found.public_key,
        Addresses=list(found.addresses),
        AgentVersion=found.agent_version,
        Protocols=list(found.protocols),
    )


async def identity(context: Context, call: Call) -> Identity:
    peer, base = call.optional("peer"), call.text("peerid-base")
    network = context.api.network if context.api is not None else None
    if peer is not None:
        from cidery.core.api import NoNetwork
        from cidery.identity.peer_id import PeerId

        PeerId.parse(peer)
        if network is None:
            raise NoNetwork
        with context.node.doing(f"dialling {peer}"):
            return shown_identity(await network.identify(peer), base)
    if network is not None:
        return shown_identity(network.identity(), base)
    raw = read_raw(context.config_file)
    key = base64.b64encode(public_key_of(identity_in(raw))).decode()
    return Identity(ID=peer_text(peer_id_in(raw), base), PublicKey=key, Addresses=[], AgentVersion=AGENT, Protocols=[])
