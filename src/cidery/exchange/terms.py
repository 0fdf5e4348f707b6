"""On which terms a session fetches. Pure."""

from typing import NamedTuple


class Terms(NamedTuple):
    """For whom, and how eagerly."""

    paced: bool = False
    """Reading ahead follows the reader: one that pauses does not make the node fetch what it may never read."""
    public: bool = False
    """For a stranger: providers are looked for in the public network only, and dialled at public addresses only."""


EAGER = Terms()
"""For the user: as much as fits, from everywhere."""
