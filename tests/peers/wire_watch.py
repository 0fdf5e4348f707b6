"""Writes down what comes by on a network interface: where to, by which protocol. For a namespace of its own.

    python wire_watch.py INTERFACE

Commands are JSON arrays of one word on standard input: "seen" gives [protocol, destination, port] of everything so
far, each once; "forget" begins anew. ARP, and what has no address of IP, is left out.
"""

import json
import socket
import struct
import sys
import threading
from ipaddress import ip_address

ALL = 3
"""ETH_P_ALL: every frame."""
IPV4, IPV6 = 0x0800, 0x86DD
NAMES = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmp6"}
Row = tuple[str, str, int]


def read_frame(frame: bytes) -> Row | None:
    """None for what is neither IPv4 nor IPv6, or is cut off."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    packet = frame[14:]
    if kind == IPV4 and len(packet) >= 20:
        protocol, destination, start = packet[9], packet[16:20], 4 * (packet[0] & 15)
    elif kind == IPV6 and len(packet) >= 40:
        protocol, destination, start = packet[6], packet[24:40], 40
        if protocol == 0 and len(packet) >= 48:  # hop-by-hop options, as MLD has them
            protocol, start = packet[40], 48 + 8 * packet[41]
    else:
        return None
    ported = protocol in (6, 17) and len(packet) >= start + 4
    port = struct.unpack_from("!H", packet, start + 2)[0] if ported else 0
    return NAMES.get(protocol, str(protocol)), str(ip_address(destination)), port


class Watch:
    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
        self._socket.bind((interface, 0))
        self._lock = threading.Lock()
        self._seen: set[Row] = set()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            row = read_frame(self._socket.recv(65536))
            if row is not None:
                with self._lock:
                    self._seen.add(row)

    def seen(self, *, forget: bool) -> list[Row]:
        with self._lock:
            rows = sorted(self._seen)
            if forget:
                self._seen.clear()
        return rows


def main() -> None:
    watch = Watch(sys.argv[1])
    print(json.dumps({"event": "ready", "peerId": "", "addrs": [""]}), flush=True)
    for line in sys.stdin:
        (command,) = json.loads(line)
        print(json.dumps({"ok": True, "seen": watch.seen(forget=command == "forget")}), flush=True)


if __name__ == "__main__":
    main()
