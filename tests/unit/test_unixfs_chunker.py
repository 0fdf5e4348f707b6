"""Chunkers: the cuts of the rolling definitions, byte by byte, and the texts that name them."""

import hashlib
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from cidery.unixfs.chunker import Chunker, ChunkerError, parse_chunker
from cidery.unixfs.chunker_buzhash import NUMBERS as BUZ
from cidery.unixfs.chunker_fastcdc import NUMBERS as GEAR
from cidery.unixfs.chunker_rabin import POLYNOMIAL


def noise(size: int, seed: str = "noise") -> bytes:
    key = hashlib.sha256(seed.encode()).digest()
    return Cipher(ChaCha20(key, bytes(16)), None).encryptor().update(bytes(size))


def cuts(chunker: Chunker, data: bytes) -> list[int]:
    out: list[int] = []
    while (out[-1] if out else 0) < len(data):
        out.append(chunker.next_cut(data, out[-1] if out else 0))
    return out


def rolled(chunker: Chunker, data: bytes, matches: Callable[[bytes, int], bool]) -> list[int]:
    """Cuts by definition: ``matches`` looks at the bytes of a chunk so far."""
    out: list[int] = []
    start = 0
    for end in range(1, len(data) + 1):
        size = end - start
        if size == chunker.max_size or end == len(data) or (size >= chunker.min_size and matches(data, end)):
            out.append(end)
            start = end
    return out


def polynomial_matches(average: int) -> Callable[[bytes, int], bool]:
    mask = (1 << average.bit_length() - 1) - 1

    def matches(data: bytes, end: int) -> bool:
        digest = int.from_bytes(data[end - 16 : end], "big")
        for bit in reversed(range(53, 128)):
            if digest >> bit & 1:
                digest ^= POLYNOMIAL << bit - 53
        return digest & mask == 0

    return matches


def buz_matches(data: bytes, end: int) -> bool:
    state = 0
    for octet in data[end - 32 : end]:
        state = (state << 1 | state >> 31) & 0xFFFFFFFF ^ int(BUZ[octet])
    return state & ((1 << 17) - 1) == 0


@pytest.mark.parametrize("spec", ["rabin-16-64-200", "rabin-100-1000-3000", "rabin-200-300-500", "rabin-90"])
def test_rabin_cuts_where_the_fingerprint_of_the_last_16_bytes_says(spec: str) -> None:
    chunker, data = parse_chunker(spec), noise(30_000)
    assert cuts(chunker, data) == rolled(chunker, data, polynomial_matches(chunker.average))


def test_buzhash_cuts_where_the_hash_of_the_last_32_bytes_says() -> None:
    chunker, data = parse_chunker("buzhash"), noise(1_200_000)
    found = cuts(chunker, data)
    start = 0
    for end in found[:-1]:
        if end - start < chunker.max_size:
            assert buz_matches(data, end)
        start = end
    small = Chunker("buzhash", 100_000, 1 << 17, 130_000)
    assert cuts(small, data[:150_000]) == rolled(small, data[:150_000], buz_matches)


def test_fastcdc_cuts_where_its_gear_hash_says_strictly_before_the_average_and_loosely_after() -> None:
    chunker, data = parse_chunker("fastcdc-64-256-1024"), noise(40_000)
    found: list[int] = []
    start = 0
    for end in range(1, len(data) + 1):
        size = end - start
        value = 0
        for octet in data[max(0, end - 32) : end]:
            value = (value << 1) + int(GEAR[octet]) & 0xFFFFFFFF
        bits = 10 if size < 256 else 6
        if end == len(data) or size == 1024 or (size >= 64 and value >> 32 - bits == 0):
            found.append(end)
            start = end
    assert cuts(chunker, data) == found
    assert 150 < len(data) / len(found) < 400


@pytest.mark.parametrize("spec", ["rabin", "rabin-65536", "buzhash", "fastcdc", "size-1000"])
def test_chunks_keep_their_bounds_and_cover_the_data(spec: str) -> None:
    chunker = parse_chunker(spec)
    for size in (1, chunker.min_size - 1, chunker.min_size, chunker.max_size, chunker.max_size + 1, 2_500_000):
        data = noise(size) if size else b""
        ends = [0, *cuts(chunker, data)]
        sizes = [end - start for start, end in zip(ends, ends[1:], strict=False)]
        assert ends[-1] == size
        assert all(chunker.min_size <= one <= chunker.max_size for one in sizes[:-1])


@pytest.mark.parametrize("spec", ["rabin-4096", "fastcdc-4096", "buzhash"])
def test_a_byte_put_in_changes_a_few_chunks_only(spec: str) -> None:
    chunker = parse_chunker(spec)
    data = noise(200 * chunker.average if chunker.average < 1 << 16 else 3_000_000)

    def chunks(data: bytes) -> Iterator[bytes]:
        start = 0
        for end in cuts(chunker, data):
            yield data[start:end]
            start = end

    before = set(chunks(data))
    assert len(set(chunks(data[:100] + b"!" + data[100:])) - before) <= 8


def test_zeros_are_cut_as_the_definition_says() -> None:
    for spec in ("rabin-64-100-200", "buzhash"):
        chunker = parse_chunker(spec)
        assert cuts(chunker, bytes(chunker.max_size * 2))[0] in (chunker.min_size, chunker.max_size)


@pytest.mark.parametrize(
    "text",
    ["", "size", "size-0", "size-2096897", "size--1", "size-1e3", "rabin-3-4", "rabin-15-32-64", "rabin-32-32-64"]
    + ["rabin-16-64-64", "rabin-16-64-2096897", "rabin-30", "buzhash-1", "fastcdc-20", "magic", "rabin-" + "9" * 100],
)
def test_other_texts_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ChunkerError, match="size-262144|allowed|needs"):
        parse_chunker(text)


def test_kubos_labels_and_defaults_are_understood() -> None:
    assert parse_chunker("rabin-min:16-avg:32-max:64") == Chunker("rabin", 16, 32, 64)
    assert parse_chunker("rabin") == Chunker("rabin", 87381, 262144, 393216)
    assert parse_chunker("default") == parse_chunker("size-262144")
