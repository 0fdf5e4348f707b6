"""How a node can be reached, in words."""

from cidery.core.network import Relaying
from cidery.core.reached import MAX_PUNCHES, how_reached

ADDR = "/ip4/1.2.3.4/tcp/4001"
RELAYED = ("/ip4/9.9.9.9/tcp/1/p2p/A/p2p-circuit", "/ip4/9.9.9.9/udp/1/quic-v1/p2p/A/p2p-circuit")
NOTHING = Relaying(True, (), {}, False, 0, 0, {})


def test_one_sentence_says_how_others_reach_the_node() -> None:
    two = (*RELAYED, "/ip4/8.8.8.8/tcp/1/p2p/B/p2p-circuit")
    cases = [
        ({ADDR: "reachable"}, None, f"Others reach this node directly, at {ADDR}."),
        ({ADDR: "unreachable"}, NOTHING._replace(addresses=RELAYED), f"through a relay, as {RELAYED[0]}."),
        ({}, NOTHING._replace(addresses=two), "through 2 relays, as"),
        ({ADDR: "unreachable"}, NOTHING, "cannot dial this node, and no relay has granted a reservation yet."),
        ({ADDR: "unreachable"}, None, "relays are switched off"),
        ({ADDR: "unknown"}, NOTHING._replace(asks=False), "is not known yet; relays are switched off"),
        ({}, NOTHING, "is not known yet; no relay has granted a reservation yet."),
    ]
    for states, relaying, words in cases:
        (line,) = how_reached(states, relaying)
        assert words in line


def test_what_relays_and_punches_said_follows() -> None:
    punches = {f"peer{n}": ("plain dial: refused", "attempt 1: direct at X after 0.10 s") for n in range(9)}
    full = Relaying(True, (), {"A": "the relay is at its limits"}, True, 1, 3, punches)
    lines = how_reached({}, full)
    assert lines[1:3] == [
        "The relay A does not help: the relay is at its limits.",
        "It is a relay for 1 peer; connections through it now: 3.",
    ]
    assert len(lines) == 3 + MAX_PUNCHES
    assert lines[-1] == "Hole punching with peer8: plain dial: refused; attempt 1: direct at X after 0.10 s."
