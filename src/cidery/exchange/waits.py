"""How long a fetch session waits for a source, for new sources, and before it gives up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionWaits:
    """Bases of the session's waits, in seconds; round trips are added. See libp2p.protocols.timeouts."""

    stall_base: float = 1.5
    give_up_base: float = 60.0
    search_base: float | None = None
    """Nothing arrived: look for other sources; immediately while there are none. None: never."""
    factor: float = 4.0
    ceiling: float = 6 * 3600.0

    def stall(self, round_trip: float | None) -> float:
        return min(self.ceiling, self.stall_base + self.factor * (1.0 if round_trip is None else round_trip))

    def give_up(self, round_trip: float | None) -> float:
        return min(self.ceiling, self.give_up_base + self.factor * (1.0 if round_trip is None else round_trip))
