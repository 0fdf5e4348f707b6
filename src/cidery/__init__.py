"""Cidery: an IPFS node for Python."""

__version__ = "0.1.0"
