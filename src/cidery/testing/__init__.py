"""What tests of a program over IPFS or libp2p need: networks in one process, in virtual time, from a seed.

See ``cidery.testing.simulation`` for how to begin, and docs/testing.md. With pytest, the fixture ``cidery_network`` is
there once Cidery is installed. Names are imported on first use.
"""

TYPE_CHECKING = False
"""As in ``cidery``."""

__all__ = ["Deadlock", "HostLine", "Link", "MemoryNetwork", "MemoryNode", "Simulation", "run_virtual", "simulate"]

if TYPE_CHECKING:
    from cidery.testing.host_line import HostLine
    from cidery.testing.memory_network import Link, MemoryNetwork
    from cidery.testing.memory_node import MemoryNode
    from cidery.testing.simulation import Simulation, simulate
    from cidery.testing.virtual_clock import Deadlock, run_virtual

_HOMES = {
    "Deadlock": "virtual_clock",
    "HostLine": "host_line",
    "Link": "memory_network",
    "MemoryNetwork": "memory_network",
    "MemoryNode": "memory_node",
    "Simulation": "simulation",
    "run_virtual": "virtual_clock",
    "simulate": "simulation",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cidery.testing' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"cidery.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
