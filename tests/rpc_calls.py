"""Requests to a server of the RPC, byte for byte, and its answers."""

import asyncio
import json

import cidery
from cidery.multiformats.multiaddr import Multiaddr


class Answered:
    def __init__(self, data: bytes) -> None:
        head, _, self.raw = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.trailer = ""
        self.body = self._unchunk() if self.headers.get("transfer-encoding") == "chunked" else self.raw

    def _unchunk(self) -> bytes:
        out, rest = b"", self.raw
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if int(size, 16) == 0:
                self.trailer = rest.decode().strip()
                return out
            out, rest = out + rest[: int(size, 16)], rest[int(size, 16) + 2 :]

    def json(self):  # type: ignore[no-untyped-def]
        return [json.loads(line) for line in self.body.splitlines()]


class Server:
    def __init__(self, addr: Multiaddr, node: cidery.Node) -> None:
        self.node = node
        endpoint = addr.tcp_endpoint()
        assert endpoint is not None
        self.host, self.port = endpoint
        self.stopped = False

    async def raw(self, request: bytes) -> Answered:
        incoming, outgoing = await asyncio.open_connection(self.host, self.port)
        outgoing.write(request)
        data = await incoming.read()
        outgoing.close()
        await outgoing.wait_closed()
        return Answered(data)

    async def post(self, target: str, body: bytes = b"", method: str = "POST", **headers: str) -> Answered:
        lines = [f"{method} /api/v0/{target} HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}"]
        named = {"Host": f"127.0.0.1:{self.port}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        lines += [f"{name}: {value}" for name, value in named.items()]
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    async def upload(self, target: str, parts: list[tuple[str, str, bytes]]) -> Answered:
        body = b""
        for name, kind, data in parts:
            body += f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode()
            body += f"Content-Type: {kind}\r\n\r\n".encode() + data + b"\r\n"
        return await self.post(target, body + b"--B--\r\n", Content_Type="multipart/form-data; boundary=B")
