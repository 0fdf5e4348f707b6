"""Cidery: an IPFS node for Python.

    async with cidery.Node("repo") as node:
        cid = await node.add("photos")
        async for chunk in node.cat(f"{cid}/readme.md"): ...

Names are imported on first use, so that ``import cidery`` costs next to nothing.
"""

from cidery.version import __version__

TYPE_CHECKING = False
"""Stands in for typing.TYPE_CHECKING; importing typing costs a fifth of a short command."""

__all__ = ["CID", "Client", "Node", "__version__", "car", "cid_of", "errors", "open", "verify"]

if TYPE_CHECKING:
    from cidery import car, errors
    from cidery.client.client import Client
    from cidery.content.hashing import cid_of
    from cidery.content.verifying import verify
    from cidery.multiformats.cid import CID
    from cidery.node.node import Node
    from cidery.node.open import open

_HOMES = {
    "CID": "cidery.multiformats.cid",
    "Client": "cidery.client.client",
    "Node": "cidery.node.node",
    "cid_of": "cidery.content.hashing",
    "open": "cidery.node.open",
    "verify": "cidery.content.verifying",
}
_MODULES = ("car", "errors")


def __getattr__(name: str) -> object:
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module 'cidery' has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"cidery.{name}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
