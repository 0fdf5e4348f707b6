"""Ping: 32 random bytes, echoed.

Spec: https://github.com/libp2p/specs/blob/master/ping/ping.md
"""

PROTOCOL = "/ipfs/ping/1.0.0"
SIZE = 32
"""Bytes per ping."""
