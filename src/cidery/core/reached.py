"""How this node can be reached, in sentences."""

import time
from collections.abc import Mapping

from cidery.core.network import CertificateState, Relaying

MAX_PUNCHES = 5
"""Peers whose punches are told, the latest last."""


def how_reached(states: Mapping[str, str], relaying: Relaying | None) -> list[str]:
    """One sentence on the node, then what is known of relays and punches. ``states``: as Network.reachability().

    ``relaying`` None: no relays are used.
    """
    out = [_whole(states, relaying)]
    if relaying is None:
        return out
    if not relaying.addresses:
        out += [f"The relay {peer} does not help: {why}." for peer, why in relaying.failures.items()]
    if relaying.serves:
        peers = f"{relaying.reservations} {'peer' if relaying.reservations == 1 else 'peers'}"
        out.append(f"It is a relay for {peers}; connections through it now: {relaying.circuits}.")
    for peer, said in list(relaying.punches.items())[-MAX_PUNCHES:]:
        out.append(f"Hole punching with {peer}: {'; '.join(said) or 'under way'}.")
    return out


def certificate_words(state: CertificateState | None) -> list[str]:
    """What is known of the certificate of AutoTLS; empty without it."""
    if state is None:
        return []
    if state.ends:
        out = [f"Certificate for {state.name} until {_day(state.ends)}, next renewal {_day(state.renewal)}."]
    elif state.asking:
        out = [f"A certificate for {state.name} is being asked for."]
    elif state.waits:
        out = [f"No certificate for browsers yet: it waits {state.waits}."]
    else:
        out = [f"There is no certificate for {state.name}."]
    if state.failure:
        again = f"; it tries again at {_day(state.next_try)}" if state.next_try and not state.asking else ""
        out.append(f"The last attempt to get one failed: {state.failure}{again}.")
    return out


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _whole(states: Mapping[str, str], relaying: Relaying | None) -> str:
    direct = [addr for addr, state in states.items() if state == "reachable"]
    if direct:
        return f"Others reach this node directly, at {direct[0]}."
    if relaying is not None and relaying.addresses:
        relays = len({addr.rpartition("/p2p/")[2] for addr in relaying.addresses})
        through = "a relay" if relays == 1 else f"{relays} relays"
        return f"Others reach this node through {through}, as {relaying.addresses[0]}."
    asked = (
        "relays are switched off (Swarm.RelayClient.Enabled, Swarm.Transports.Network.Relay)"
        if relaying is None or not relaying.asks
        else "no relay has granted a reservation yet"
    )
    if "unreachable" in states.values():
        return f"Others cannot dial this node, and {asked}."
    return f"Whether others can dial this node is not known yet; {asked}."
