"""Who reaches whom through NATs, over TCP and QUIC, with jitter and loss, in virtual time. All: make sim-punching."""

import asyncio

import pytest

from cidery.testing.lab.punching import KINDS, WITHIN, Kind, possible, reach
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.virtual_clock import run_virtual

SEEDS = range(2)


@pytest.mark.parametrize("quic", [False, True], ids=["tcp", "quic"])
@pytest.mark.parametrize("reached", KINDS)
@pytest.mark.parametrize("dialler", KINDS)
def test_all_pairs_that_theory_allows_reach_each_other_and_the_rest_is_relayed(
    dialler: Kind, reached: Kind, quic: bool
) -> None:
    for seed in SEEDS if possible(dialler, reached) else SEEDS[:1]:
        outcome = reach(dialler, reached, quic=quic, seed=seed)
        if not possible(dialler, reached):
            assert outcome.how == "relayed", outcome
        else:
            # by QUIC both come through the same port, and either may be first
            ways = ("plain dial", "punched") if quic else ("plain dial",) if dialler == "public" else ("punched",)
            assert outcome.how in ways, outcome
            assert outcome.seconds <= WITHIN, outcome


@pytest.mark.parametrize(("kind", "let_in"), [("keeps ports", 1), ("symmetric", 1), ("walled", 1), ("public", 2)])
def test_a_nat_lets_in_who_was_asked_and_nobody_else(kind: Kind, let_in: int) -> None:
    async def main() -> None:
        network = MemoryNetwork(1, Link(0.01))
        if kind != "public":
            router = "10.0.0.1" if kind == "walled" else "82.1.1.1"
            network.set_nat("10.0.0.1", router, symmetric=kind == "symmetric")
        came: dict[str, list[tuple[bytes, object]]] = {"inside": [], "asked": [], "stranger": []}
        inside = network.host("10.0.0.1").bind("", 7, came["inside"].extend)
        asked = network.host("9.9.9.9").bind("", 1, came["asked"].extend)
        stranger = network.host("9.9.9.9").bind("", 2, came["stranger"].extend)
        inside.send([b"hello"], asked.endpoint)
        await asyncio.sleep(0.1)
        ((_, seen),) = came["asked"]
        expected = {"public": ("10.0.0.1", 7), "walled": ("10.0.0.1", 7), "keeps ports": ("82.1.1.1", 7)}
        assert seen == expected.get(kind, seen) and (kind != "symmetric" or seen[1] != 7)  # type: ignore[index]
        for sock in (asked, stranger):
            sock.send([b"back"], seen)  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        assert len(came["inside"]) == let_in
        inside.send([b"again"], stranger.endpoint)
        await asyncio.sleep(0.1)
        assert (came["stranger"][0][1] == seen) is (kind != "symmetric")

    run_virtual(main())
