"""The ceiling for node-to-node transfer in Python: one TCP connection on loopback, two processes.

ChaCha20-Poly1305 messages of at most 65,519 bytes, a Yamux header on each, blocks joined and hashed with sha2-256 by
the receiver. No negotiation, no flow control, no Bitswap, no store: what remains between this figure and ours is ours.

    python bench/loopback_probe.py [MIB=1024] [BLOCK_KIB=1024]
"""

import asyncio
import hashlib
import multiprocessing
import os
import struct
import sys
import time

import uvloop
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MIB = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
BLOCK = (int(sys.argv[2]) if len(sys.argv) > 2 else 1024) * 1024
TOTAL = MIB * 2**20
YAMUX = struct.Struct(">BBHII")
PLAIN = 65519
AEAD = ChaCha20Poly1305(bytes(32))


class Receiver(asyncio.BufferedProtocol):
    def __init__(self, done):
        self.buffer = memoryview(bytearray(1 << 20))
        self.plain = memoryview(bytearray(PLAIN))
        self.block = memoryview(bytearray(BLOCK + PLAIN))
        self.filled = self.nonce = self.in_block = self.received = 0
        self.done = done

    def get_buffer(self, _hint):
        return self.buffer[self.filled :]

    def buffer_updated(self, n):
        self.filled += n
        at, buffer = 0, self.buffer
        while self.filled - at >= 2:
            size = (buffer[at] << 8) | buffer[at + 1]
            if self.filled - at - 2 < size:
                break
            AEAD.decrypt_into(
                self.nonce.to_bytes(12, "little"), buffer[at + 2 : at + 2 + size], None, self.plain[: size - 16]
            )
            self.nonce += 1
            at += 2 + size
            length = YAMUX.unpack_from(self.plain)[4]
            self.block[self.in_block : self.in_block + length] = self.plain[12 : 12 + length]
            self.in_block += length
            if self.in_block >= BLOCK:
                hashlib.sha256(self.block[: self.in_block]).digest()
                self.received += self.in_block
                self.in_block = 0
                if self.received >= TOTAL and not self.done.done():
                    self.done.set_result(None)
        rest = self.filled - at
        if rest and at:
            buffer[:rest] = buffer[at : self.filled]
        self.filled = rest


class Sender(asyncio.Protocol):
    def connection_made(self, transport):
        self.writable, self.lost = asyncio.Event(), asyncio.Event()
        self.writable.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def connection_lost(self, _error):
        self.lost.set()


async def serve(port):
    done = asyncio.get_running_loop().create_future()
    await asyncio.get_running_loop().create_server(lambda: Receiver(done), "127.0.0.1", 0 if port is None else port)
    await done


async def send(port):
    loop = asyncio.get_running_loop()
    for _ in range(50):
        try:
            transport, sender = await loop.create_connection(Sender, "127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.1)
    transport.set_write_buffer_limits(1 << 20)
    block, frame = memoryview(os.urandom(BLOCK)), memoryview(bytearray(PLAIN))
    began, nonce, sent = time.perf_counter(), 0, 0
    while sent < TOTAL:
        out, at = [], 0
        while at < BLOCK:
            piece = block[at : at + PLAIN - 12]
            YAMUX.pack_into(frame, 0, 0, 0, 0, 1, len(piece))
            frame[12 : 12 + len(piece)] = piece
            sealed = AEAD.encrypt(nonce.to_bytes(12, "little"), frame[: 12 + len(piece)], None)
            out += (len(sealed).to_bytes(2, "big"), sealed)
            nonce += 1
            at += len(piece)
        transport.writelines(out)
        sent += BLOCK
        await sender.writable.wait()
    await sender.lost.wait()
    print(f"{MIB / (time.perf_counter() - began):.0f} MiB/s, blocks of {BLOCK >> 10} KiB")


def receiver(port):
    uvloop.run(serve(port))


if __name__ == "__main__":
    port = 20000 + os.getpid() % 10000
    child = multiprocessing.get_context("spawn").Process(target=receiver, args=(port,))
    child.start()
    uvloop.run(send(port))
    child.join()
