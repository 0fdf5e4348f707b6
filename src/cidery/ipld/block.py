"""A block: bytes and the CID they are requested by."""

from typing import NamedTuple

from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import matches
from cidery.multiformats.varint import Buffer

MAX_BLOCK = 2 * 1024 * 1024
"""Largest block accepted, in bytes: "MUST support blocks up to 2 MiB"
(https://specs.ipfs.tech/bitswap-protocol/#block-sizes)."""


class BadBlock(IntegrityError):
    """Bytes that are no block of their codec, or no node of their kind. Derived classes state the fault."""

    cid: CID | None = None
    """The block in question; None where only its bytes are known."""

    def note(self, cid: CID) -> None:
        """State which block it is, unless that is known."""
        self.cid = self.cid or cid

    def said(self, words: str) -> str:
        """``words`` with the block that they are about."""
        return words if self.cid is None else f"{self.cid} is {words}"


class HashMismatch(IntegrityError):
    """Bytes that do not match the hash in their CID."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"the bytes received for {self.cid} do not match its hash; they were discarded"


class Block(NamedTuple):
    """Bytes under a CID. Code that makes one from untrusted bytes calls verified()."""

    cid: CID
    data: Buffer
    """0..MAX_BLOCK bytes."""

    @classmethod
    def verified(cls, cid: CID, data: Buffer) -> "Block":
        """A block whose hash was checked. One pass over the bytes. Raises HashMismatch."""
        if not matches(cid.multihash, data):
            raise HashMismatch(cid)
        return cls(cid, data)
