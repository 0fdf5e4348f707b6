"""A file system for data tools: pandas, xarray, zarr, Dask, DuckDB and all others that take an fsspec URL.

    pd.read_csv("ipfs://bafybei.../table.csv")
    ds.to_zarr("cidery:///scratch/x.zarr"); fsspec.filesystem("cidery").cid("/scratch/x.zarr")

``ipfs://CID/path`` and ``ipns://NAME/path`` are read-only, ``cidery:///path`` are the node's mutable files. Blocks come
from the repository of this machine, its daemon, or trustless gateways (IPFS_GATEWAY), and are all checked.

Needs the extra ``fs``: ``pip install 'cidery[fs]'``. Spec of the interface: https://filesystem-spec.readthedocs.io/
"""

try:
    import fsspec
except ImportError as exc:
    raise ImportError("cidery.fs needs fsspec; install it with: pip install 'cidery[fs]'") from exc

from cidery.fs.content import IPFSFileSystem, IPNSFileSystem
from cidery.fs.mutable import CideryFileSystem

__all__ = ["CideryFileSystem", "IPFSFileSystem", "IPNSFileSystem", "register"]

CLASSES = {"ipfs": IPFSFileSystem, "ipns": IPNSFileSystem, "cidery": CideryFileSystem}


def register() -> None:
    """Make this package answer ``ipfs://``, ``ipns://`` and ``cidery://`` in this process, in place of others.

    Needed only where another package claims the same names (as ipfsspec does), since fsspec takes either of the two.
    """
    for protocol, cls in CLASSES.items():
        fsspec.register_implementation(protocol, cls, clobber=True)
