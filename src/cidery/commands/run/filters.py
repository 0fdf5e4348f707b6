"""swarm filters: nets that the running daemon neither dials nor accepts; the config keeps them."""

from collections.abc import Sequence

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.network import Strings
from cidery.errors import NotFound
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.config_change import set_key
from cidery.repo.config_file import Changing, write_raw

KEY = "Swarm.AddrFilters"


class NotFiltered(NotFound):
    """Nothing to remove."""

    def __init__(self, net: str) -> None:
        super().__init__(net)
        self.net = net

    def __str__(self) -> str:
        return f"{self.net} is not among the filters; see: cidery swarm filters"


async def filters(context: Context, call: Call) -> Strings:
    return Strings(Strings=context.node.online.filters.forbidden)


async def add(context: Context, call: Call) -> Strings:
    network = context.node.online
    asked = AddressFilter(call.many("net")).forbidden  # in the form that is listed
    await _keep(context, list(dict.fromkeys([*network.filters.forbidden, *asked])))
    for peer in network.peers():
        address = Multiaddr.parse(peer.addr)
        if not network.filters.allows(address):
            await network.disconnect(Multiaddr.parse(f"{address.without_peer()}/p2p/{peer.peer}"))
    return Strings(Strings=asked)


async def rm(context: Context, call: Call) -> Strings:
    """Raises NotFiltered, before anything is changed."""
    listed = context.node.online.filters.forbidden
    asked = listed if call.many("net") == ["all"] else AddressFilter(call.many("net")).forbidden
    for net in asked:
        if net not in listed:
            raise NotFiltered(net)
    await _keep(context, [net for net in listed if net not in asked])
    return Strings(Strings=asked)


async def _keep(context: Context, nets: Sequence[str]) -> None:
    """In the config, then in the running node: a config that cannot be written leaves both as they are."""
    async with Changing(context.config_file) as raw:
        write_raw(context.config_file, set_key(raw, KEY, list(nets)))
    context.node.online.filters.forbid(nets)
