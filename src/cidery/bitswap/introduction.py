"""The message by which a node that several peers ask for the same DAG introduces them to each other. Pure.

A protocol between Cidery nodes, as the peer exchange of BitTorrent (BEP 11)::

    message Introduction {
      bytes root = 1;               // binary CID
      repeated Reader readers = 2;
    }
    message Reader {
      bytes peer_id = 1;
      repeated bytes addrs = 2;     // binary multiaddrs
    }

The node that has just asked is told of those that asked before it; it dials them. One message per stream, without
answer.
"""

from typing import NamedTuple, Self

from cidery.errors import RemoteProtocolError
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.protobuf import BYTES, ProtobufError, bytes_field, expect, read_fields
from cidery.multiformats.varint import Buffer, VarintError

PROTOCOL = "/cidery/readers/1.0.0"
MAX_MESSAGE = 16 * 1024
"""Longest message, in bytes."""
MAX_READERS = 16
"""Most readers in one: so many connections carry a crowd of thousands."""
MAX_ADDRS = 8
"""Most addresses of one."""
MAX_FIELDS = 512
"""Most fields that are read, at all depths."""


class IntroductionError(RemoteProtocolError):
    """A message that is no introduction."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"introduction of readers: {self.reason}"


class Reader(NamedTuple):
    """One of them."""

    peer_id: bytes
    addrs: tuple[bytes, ...]


class Introduction(NamedTuple):
    """These want the DAG below ``root``, too."""

    root: CID
    readers: tuple[Reader, ...]

    def encode(self) -> bytes:
        out = [bytes_field(1, self.root.encode())]
        for reader in self.readers[:MAX_READERS]:
            body = bytes_field(1, reader.peer_id) + b"".join(bytes_field(2, addr) for addr in reader.addrs[:MAX_ADDRS])
            out.append(bytes_field(2, body))
        return b"".join(out)

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """Readers and addresses beyond the bounds are left out. Raises IntroductionError only (fuzzed)."""
        root: CID | None = None
        readers: list[Reader] = []
        fields = 0
        try:
            for number, wire, _, view in read_fields(data):
                fields += 1
                if number == 1:
                    expect(wire, BYTES, "root")
                    root = CID.decode(view)
                elif number == 2:
                    expect(wire, BYTES, "readers")
                    peer_id = b""
                    addrs: list[bytes] = []
                    for inner, kind, _, value in read_fields(view):
                        fields += 1
                        if fields > MAX_FIELDS:
                            raise IntroductionError(f"more than {MAX_FIELDS} fields")
                        if inner in (1, 2):
                            expect(kind, BYTES, "reader")
                        if inner == 1:
                            peer_id = bytes(value)
                        elif inner == 2 and len(addrs) < MAX_ADDRS:
                            addrs.append(bytes(value))
                    if len(readers) < MAX_READERS:
                        readers.append(Reader(peer_id, tuple(addrs)))
                if fields > MAX_FIELDS:
                    raise IntroductionError(f"more than {MAX_FIELDS} fields")
        except (ProtobufError, CIDError, VarintError) as exc:
            raise IntroductionError(exc.reason) from exc
        if root is None:
            raise IntroductionError("without a root")
        return cls(root, tuple(readers))
