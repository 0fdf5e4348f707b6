import csv
import json
from pathlib import Path

import pytest

from cidery.multiformats import multibase, multihash
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multibase import BASES, MultibaseError
from cidery.multiformats.multicodec import DAG_PB, LIBP2P_KEY, RAW
from cidery.multiformats.varint import VarintError, decode_uvarint, encode_uvarint

VECTORS = Path(__file__).parent.parent / "vectors"
WELL_KNOWN = json.loads((VECTORS / "derived" / "well-known-cids.json").read_text())


def base_rows(file: str) -> list[tuple[str, bytes, str]]:
    rows = list(csv.reader((VECTORS / "multibase" / "tests" / file).read_text().splitlines(), skipinitialspace=True))
    plain = rows[0][1].encode().decode("unicode_escape").encode("latin-1")
    return [(name, plain, text) for name, text in rows[1:] if name in BASES]


@pytest.mark.parametrize("file", ["basic.csv", "leading_zero.csv", "two_leading_zeros.csv"])
def test_every_supported_base_gives_the_texts_of_the_specification(file: str) -> None:
    rows = base_rows(file)
    assert len(rows) == len(BASES) - 1  # the identity base has no rows
    for name, plain, text in rows:
        assert multibase.encode_multibase(name, plain) == text
        assert multibase.decode_multibase(text) == (name, plain)


def test_texts_in_mixed_case_are_not_canonical() -> None:
    for name, _, text in base_rows("case_insensitivity.csv"):
        if name not in ("base58btc", "base64", "base64url"):
            with pytest.raises(MultibaseError):
                multibase.decode_multibase(text)


@pytest.mark.parametrize(
    "text", ["", "?abc", "b1", "bA", "fABC0", "fa", "z0", "zl", "m=", "mYQ==", "mYR", "uYQ==", "k_", "\0"[:0]]
)
def test_broken_text_is_refused(text: str) -> None:
    with pytest.raises(MultibaseError):
        multibase.decode_multibase(text)


def test_long_text_in_a_quadratic_base_is_refused() -> None:
    with pytest.raises(MultibaseError, match="longer"):
        multibase.decode_multibase("z" + "2" * (multibase.MAX_BIGNUM_TEXT + 1))


def hash_rows() -> list[dict[str, str]]:
    path = VECTORS / "multihash" / "tests" / "values" / "test_cases.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


def test_all_multihashes_of_the_specification_are_computed_and_matched() -> None:
    rows = hash_rows()
    assert len(rows) == 260
    for row in rows:
        encoded, data = bytes.fromhex(row["multihash"]), row["input"].encode()
        decoded, end = multihash.decode_multihash(encoded)
        assert end == len(encoded)
        assert decoded.encode() == encoded
        assert multihash.multihash(decoded.code, data, len(decoded.digest)) == encoded
        assert multihash.matches(encoded, data) == (len(decoded.digest) >= multihash.MIN_SECURE_DIGEST)
        assert not multihash.matches(encoded, data + b"x")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("sha2-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        ("sha3-224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
        ("blake2b-256", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
        ("blake2s-256", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ("dbl-sha2-256", "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"),
    ],
)
def test_other_hash_functions_give_their_published_digests_of_abc(name: str, digest: str) -> None:
    encoded = multihash.multihash(multihash.hash_names()[name], b"abc")
    assert multihash.decode_multihash(encoded)[0].digest.hex() == digest


def test_murmur3_is_the_first_half_big_endian() -> None:
    vectors = json.loads((VECTORS / "derived" / "unixfs-hamt-murmur3.json").read_text())
    assert "470.txt" in json.dumps(vectors)
    digest = multihash.decode_multihash(multihash.multihash(multihash.MURMUR3_X64_64, b"470.txt"))[0].digest
    assert digest.hex() == "006e88df5847e67c"


@pytest.mark.parametrize(("code", "length"), [(0x12, 33), (0x12, 0), (0xDEAD, -1), (0, 129)])
def test_digests_that_do_not_exist_are_refused(code: int, length: int) -> None:
    with pytest.raises(multihash.MultihashError):
        multihash.multihash(code, bytes(129), length)


@pytest.mark.parametrize(("value", "encoded"), WELL_KNOWN["varint"])
def test_varints_of_the_specification(value: int, encoded: str) -> None:
    assert encode_uvarint(value).hex() == encoded
    assert decode_uvarint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@pytest.mark.parametrize("encoded", ["", "80", "8000", "8100", "ff" * 9, "ff" * 10, "80" * 9 + "01"])
def test_a_truncated_padded_or_long_varint_is_refused(encoded: str) -> None:
    with pytest.raises(VarintError):
        decode_uvarint(bytes.fromhex(encoded))


def test_the_largest_varint_has_nine_bytes() -> None:
    assert decode_uvarint(encode_uvarint((1 << 63) - 1)) == ((1 << 63) - 1, 9)
    with pytest.raises(VarintError):
        encode_uvarint(1 << 63)


def test_peer_id_cids_have_the_bytes_of_the_specification() -> None:
    known = WELL_KNOWN["kad"][0]
    cid = CID.parse(known["cid_b32"])
    assert cid == CID.parse(known["cid_b36"])
    assert cid.codec == LIBP2P_KEY
    assert cid.multihash.hex() == known["bytes"]
    assert multibase.encode_base58btc(cid.multihash) == known["peer"]
    assert cid.format("base36") == known["cid_b36"]


def test_identity_cids_are_bounded_at_128_bytes() -> None:
    assert len(CID.parse(WELL_KNOWN["identity_128_ok"]).identity_data) == 128
    with pytest.raises(CIDError, match="128"):
        CID.parse(WELL_KNOWN["identity_129_reject"])


def test_versions_of_one_cid_share_the_multihash() -> None:
    v0, v1 = (CID.parse(WELL_KNOWN["empty_dir"][version]) for version in ("v0", "v1"))
    assert (v0.version, v0.codec, v1.version, v1.codec) == (0, DAG_PB, 1, DAG_PB)
    assert v0.to_v1() == v1 and v0 != v1
    assert v0.multihash == v1.multihash
    assert str(v0).startswith("Qm")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ",
        "zQmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafkqaaaa",
        "bafkqaab",
        "BAFKQAAa",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvy",
        "b" + "a" * 2000,
        "hello world",
        "\ud800",
    ],
)
def test_text_that_is_no_cid_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(CIDError) as caught:
        CID.parse(text)
    assert "\n" not in str(caught.value)


def test_a_cid_is_immutable_hashable_ordered_and_pickles() -> None:
    import pickle

    cid = CID.of(b"abc")
    with pytest.raises(AttributeError):
        cid.codec = RAW  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(cid)) == cid
    assert len({cid, CID.of(b"abc"), CID.of(b"abd")}) == 2
    assert sorted([CID.of(b"1"), CID.of(b"2")])[0].encode() < sorted([CID.of(b"1"), CID.of(b"2")])[1].encode()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("keccak-256", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),  # Ethereum's of nothing
        ("keccak-224", "f71837502ba8e10837bdd8d365adb85591895602fc552b48b7390abd"),
        ("shake-128", "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"),
        ("shake-256", "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"
                      "d75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be"),
    ],
)  # fmt: skip
def test_hash_functions_of_other_chains_give_their_known_digest_of_nothing(name: str, digest: str) -> None:
    assert multihash.multihash(multihash.hash_names()[name], b"")[2:].hex() == digest
