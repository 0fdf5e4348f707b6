"""The CIDs that everybody else gets for the same input: the worst regression is one of these changing."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add, add_root
from cidery.core.adding.events import Added
from cidery.core.adding.items import Bytes, ScanOptions
from cidery.ipld.block import Block
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.importer import FileBuilder, leaf, symlink
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, profile, with_options

DERIVED = Path(__file__).parent.parent / "vectors" / "derived"
IPIP_499 = json.loads((DERIVED / "ipip-0499-unixfs-profiles.json").read_text())
WELL_KNOWN = json.loads((DERIVED / "well-known-cids.json").read_text())
FILES = [one for one in IPIP_499["vectors"] if one["kind"] == "file" and one.get("size", 0) < 1 << 30]
DIRECTORIES = [one for one in IPIP_499["vectors"] if one["kind"] in ("dir-basic", "dir-hamt")]


def drop(block: Block) -> None:
    """Where only the CID matters."""


def keystream(seed: str, size: int) -> bytes:
    key = hashlib.sha256(seed.encode()).digest()
    return Cipher(ChaCha20(key, bytes(16)), None).encryptor().update(bytes(size))


def import_bytes(recipe: Profile, data: bytes, mode: int | None = None, mtime: Mtime | None = None) -> str:
    builder = FileBuilder(recipe, mode, mtime)
    for at in range(0, len(data), recipe.chunk_size):
        builder.add_chunk(data[at : at + recipe.chunk_size])
    return str(builder.finish()[0].cid)


@pytest.mark.parametrize("vector", FILES, ids=lambda one: f"{one['profile']}-{one.get('size', one.get('text'))}")
def test_files_have_the_cids_of_ipip_499(vector: dict[str, str]) -> None:
    data = vector["text"].encode() if "text" in vector else keystream(vector["seed"], int(vector["size"]))
    assert import_bytes(profile(vector["profile"]), data) == vector["cid"]


@pytest.mark.parametrize("vector", DIRECTORIES, ids=lambda one: f"{one['profile']}-{one['kind']}")
def test_directories_have_the_cids_of_ipip_499_below_and_above_the_sharding_threshold(vector: dict[str, int]) -> None:
    recipe = profile(str(vector["profile"]))
    alphabet = IPIP_499["filename_generator"]["alphabet"]
    stream = keystream(str(vector["seed"]), 1 << 20)
    child, _ = leaf(recipe, b"x")
    lengths = [vector["name_len"]] * (vector["files"] - 1) + [vector["last_name_len"]]
    entries: list[DirectoryEntry] = []
    at = 0
    for length in lengths:
        entries.append(
            DirectoryEntry("".join(alphabet[byte % 39] for byte in stream[at : at + length]), child.cid, child.tsize)
        )
        at += length
    assert str(directory(recipe, entries, drop).cid) == vector["cid"]


def test_profiles_are_those_of_ipip_499() -> None:
    for name, stated in IPIP_499["profiles"].items():
        ours = profile(name)
        assert ours.cid_version == stated["cid_version"]
        assert ours.raw_leaves == stated["raw_leaves"]
        assert ours.chunk_size == stated["chunk"]
        assert ours.max_links == stated["max_links"]
        assert ours.shard_threshold == stated["hamt_threshold"]
        assert stated["hamt_estimate"].startswith(ours.shard_estimate.value)


def test_empty_things_have_their_well_known_cids() -> None:
    v1_nodes = with_options(UNIXFS_V1_2025, raw_leaves=False)
    assert str(directory(UNIXFS_V0_2015, [], drop).cid) == WELL_KNOWN["empty_dir"]["v0"]
    assert str(directory(UNIXFS_V1_2025, [], drop).cid) == WELL_KNOWN["empty_dir"]["v1"]
    assert import_bytes(UNIXFS_V0_2015, b"") == WELL_KNOWN["empty_dagpb_file"]["v0"]
    assert import_bytes(v1_nodes, b"") == WELL_KNOWN["empty_dagpb_file"]["v1"]
    assert import_bytes(UNIXFS_V1_2025, b"") == WELL_KNOWN["empty_raw"]["v1"]


@pytest.mark.parametrize(
    ("options", "cid"),
    [
        ({}, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
        ({"cid_version": 1}, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
        ({"raw_leaves": True}, "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"),
        ({"cid_version": 1, "raw_leaves": False}, "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa"),
        (
            {"hash_name": "sha2-512"},
            "bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6",
        ),
    ],
)
def test_kubos_options_change_the_cid_as_in_kubo(options: dict[str, object], cid: str) -> None:
    assert import_bytes(with_options(UNIXFS_V0_2015, **options), b"hello world") == cid  # type: ignore[arg-type]


def test_an_empty_directory_under_blake2b() -> None:
    recipe = with_options(UNIXFS_V0_2015, hash_name="blake2b-256")
    cid = "bafykbzacebugfutjir6qie7apo5shpry32ruwfi762uytd5g3u2gk7tpscndq"
    assert str(directory(recipe, [], drop).cid) == cid


@pytest.mark.parametrize(
    ("options", "cid"),
    [
        ({}, "QmWSgS32xQEcXMeqd3YPJLrNBLSdsfYCep2U7CFkyrjXwY"),
        ({"raw_leaves": True}, "QmfWfQfKCY5Ukv9peBbxM5vqWM9BzmqUSXvdCgjT2wsiBT"),
        ({"cid_version": 1}, "bafybeih7e5dmkyk25up5vxug4q3hrg2fxbzf23dfrac2fns5h7z4aa7ioi"),
        ({"cid_version": 1, "raw_leaves": False}, "bafybeif5tuep5ap2d7zyhbktucey75aoacxufgt6i3v4gebmixyipnyp7y"),
        ({"hash_name": "blake2b-256"}, "bafykbzaceaptbcs7ik5mdfpot3b4ackvxlwh7loc5jcrtkayf64ukl7zyk46e"),
    ],
)
async def test_the_planets_of_kubos_tests(tmp_path: Path, options: dict[str, object], cid: str) -> None:
    planets = tmp_path / "planets"
    planets.mkdir()
    (planets / "mars.txt").write_text("Hello Mars!\n")
    (planets / "venus.txt").write_text("Hello Venus!\n")
    recipe = with_options(UNIXFS_V0_2015, **options)  # type: ignore[arg-type]
    assert str(await add_root([planets], MemoryStore(), AddOptions(recipe))) == cid


def test_hello_worlds_of_kubos_tests() -> None:
    assert import_bytes(UNIXFS_V0_2015, b"Hello Worlds!\n") == "QmVr26fY1tKyspEJBniVhqxQeEjhF78XerGiqWAwraVLQH"


def test_256_mib_with_1024_links() -> None:
    recipe = with_options(UNIXFS_V0_2015, max_links=1024)
    data = keystream("hello world", 256 << 20)
    assert import_bytes(recipe, data) == "QmbBftNHWmjSWKLC49dMVrfnY8pjrJYntiAXirFJ7oJrNk"


@pytest.mark.parametrize(
    ("target", "cid"),
    [
        ("files/foo/baz", "QmdocmZeF7qwPT9Z8SiVhMSyKA2KKoA2J7jToW6z6WBmxR"),
        ("files/does/not/exist", "QmWYN8SEXCgNT2PSjB6BnxAx6NJQtazWoBkTRH9GRfPFFQ"),
    ],
)
def test_symlinks_of_kubos_tests(target: str, cid: str) -> None:
    assert str(symlink(UNIXFS_V0_2015, target)[0].cid) == cid


@pytest.mark.skipif(os.name == "nt", reason="symlinks need a privilege there")
@pytest.mark.parametrize(
    ("version", "cid"),
    [
        (0, "QmWdiHKoeSW8G1u7ATCgpx4yMoUhYaJBQGkyPLkS9goYZ8"),
        (1, "bafybeibyhlx64cklod6isy3h7tsmr4qvam3ae3b74n3hfes5bythjrwyua"),
    ],
)
async def test_the_tree_with_symlinks_of_kubos_tests(tmp_path: Path, version: int, cid: str) -> None:
    files = tmp_path / "files"
    (files / "foo").mkdir(parents=True)
    (files / "bar").mkdir()
    (files / "foo" / "baz").write_text("some text\n")
    (files / "bar" / "baz").symlink_to("files/foo/baz")
    (files / "bad").symlink_to("files/does/not/exist")
    recipe = with_options(UNIXFS_V0_2015, cid_version=version)
    assert str(await add_root([files], MemoryStore(), AddOptions(recipe))) == cid


@pytest.mark.parametrize(
    ("mode", "mtime", "cid"),
    [
        (0o640, None, "QmQLgxypSNGNFTuUPGCecq6dDEjb6hNB5xSyVmP3cEuNtq"),
        (None, Mtime(1604320482), "QmQ6kErEW8kztQFV8vbwNU8E4dmtGsYpRiboiLxUEwibvj"),
        (0o640, Mtime(1604320482), "QmYkvboLsvLFcSYmqVJRxvBdYRQLroLv9kELf3LRiCqBri"),
        (0o764, None, "QmchD3BN8TQ3RW6jPLxSaNkqvfuj7syKhzTRmL4EpyY1Nz"),
        (None, Mtime(1603539720), "QmT3aY4avDcYXCWpU8CJzqUkW7YEuEsx36S8cTNoLcuK1B"),
        (None, Mtime(1603539720, 54321), "QmaKH8H5rXBUBCX4vdxi7ktGQEL7wejV7L9rX2qpZjwncz"),
        (0o764, Mtime(1603539720, 54321), "QmUkxrtBA8tPjwCYz1HrsoRfDz6NgKut3asVeHVQNH4C8L"),
    ],
)
async def test_mode_and_mtime_of_kubos_tests(mode: int | None, mtime: Mtime | None, cid: str) -> None:
    assert import_bytes(UNIXFS_V0_2015, b"", mode, mtime) == cid
    item = Bytes(b"", "f")
    assert str(await add_root([item], MemoryStore(), AddOptions(UNIXFS_V0_2015, mode=mode, mtime=mtime))) == cid


async def test_a_directory_with_a_mode_of_kubos_tests(tmp_path: Path) -> None:
    assert str(directory(UNIXFS_V0_2015, [], drop, mode=0o713).cid) == "QmQ1ABnw2iip7sj23EzzBZ9T77KyyfESP6SUboiXPyzNQe"
    (tmp_path / "d").mkdir(mode=0o713)
    (tmp_path / "d").chmod(0o713)
    options = AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True))
    cid = await add_root([tmp_path / "d"], MemoryStore(), options)
    assert str(cid) == "QmQ1ABnw2iip7sj23EzzBZ9T77KyyfESP6SUboiXPyzNQe"


def test_symlinks_with_mtime_of_kubos_tests() -> None:
    expected = {
        Mtime(1604320482): "QmbJwotgtr84JxcnjpwJ86uZiyMoxbZuNH4YrdJMypkYaB",
        Mtime(1603539720): "QmV1Uot2gy4bhY9yvYiZxhhchhyYC6MKKoGV1XtWNmpCLe",
        Mtime(1603539720, 54321): "QmPHYCxYvvHj6VxiPNJ3kXxcPsnJLDYUJqsDJWjvytmrmY",
    }
    for mtime, cid in expected.items():
        assert str(symlink(UNIXFS_V0_2015, "nothing", mtime)[0].cid) == cid


MODES_AND_TIMES = """
    QmRCG3Pprg4jbhfYBzVzfJVyneFHnBquPGXwvXU3jSuf5j QmReHCn4BSJJdtd6Le8Hd8Puai6TmgpPCYb13wyM7FD9AD
    QmSioyvQuXetxg7uo8FswGn9XKKEsisDq1HTMzGyWbw2R6 QmTMoVgJKhPrz9DfkvT132mxyBXNae5azXQ42WbM9abdSE
    QmVzXqpuQGCAgRwEbGuE9xe8Fidi1HEXaPKsQEFEbPJW9j QmW6Nqy2nziduAp3UGx2a52gtSUsYzhVcZMuPdxBRnwCyP
    QmeQwX5qAX18fcPDxDdkfM6ttuFCZetF5hgeUa6ov8D5oc QmefofUNwC2U3Xp87rB1x8Aws6AdsDuoXR7B9u2RkEZ4dQ
    Qmeu24TFarJwLzJgMTDYDJTr4BMGnzafoSnfxov1513abW Qmf82bbFg2e8HmcqiewutVVw5NoMpiXZD57LpLdC1poBuH
"""
CUSTOM_MODE = """
    QmNZ5cyx3f6maXkczwhh3ufjDCh9f3k9zrDhX218ZZGvoV QmRqtFVLkXfWJuqWtYiCPthgomo3gouno8uvMeGAyCVaWS
    QmSkrWNcyDA7s1qiT6Ps7ey4zcB7uBH3sqGcKRfW4UMKhM QmSkrWNcyDA7s1qiT6Ps7ey4zcB7uBH3sqGcKRfW4UMKhM
    QmSkrWNcyDA7s1qiT6Ps7ey4zcB7uBH3sqGcKRfW4UMKhM QmZNAZXB6JyJ1cK9h1uJEK4XDo1CKsSuHMPGUUMrzDXCQz
    QmbSz6GyS8MNR4M9xtCteuGVJQRYkCXLbW174Fdy8jtaoZ QmccnAQQeJGtmtgZoi3hpEmgdxbuX1ao2hQmrKmmwQnCn9
    QmeTZoiAiduFY2hXaNQP4ehiE71BrQFEnrqduBZ5ZjHuFy Qmf13KNurvAHUfMBhMWvZuftmUikhhGY7ohWVaBDDndFMz
"""
CUSTOM_MTIME = """
    QmPCGFZ8ZFowAwfWdCeGsr9wSbGXwZiHW3bZ7XSYcc1Zby QmT3aY4avDcYXCWpU8CJzqUkW7YEuEsx36S8cTNoLcuK1B
    QmT3aY4avDcYXCWpU8CJzqUkW7YEuEsx36S8cTNoLcuK1B QmT3aY4avDcYXCWpU8CJzqUkW7YEuEsx36S8cTNoLcuK1B
    QmUGMu9epCEz5HMsuJFgpJxxt3HoahsTQcC65Jje6LNqYF QmXhzoPKuqmkqbyr4kJFznFRXtGwriCXKGFPr4vviyK3aV
    QmZ5wKCcL11TckypuDTKLLNFP6JMCBJRCn385XKQQ6PCLt Qmdw3hiAxn6R5MRkkdzLdFvZUa2WJeLCTXXCyB8byFsHSA
    QmedF4m2Y8341azfkpvaHSkxbSrZa4fo6FT25h6sRUVkpq QmfWitW6F13WHFXLbJzXRYmwrS1p4gaAJAfucUSMytRPn3
"""


def metadata_tree(root: Path) -> None:
    """The tree of Kubo's t0047."""
    time = 1655158632
    for name in ("dir1", "dir2/sub1/sub2", "dir3"):
        (root / name).mkdir(parents=True)
    for name in ("dir2/sub1/sub2/file3", "dir3/file2", "file1"):
        (root / name).touch()
        (root / name).chmod(0o644)
    (root / "dir2/sub1/link1").symlink_to("../sub2/file3")
    names = ["dir2/sub1/sub2/file3", "dir2/sub1/link1", "dir2/sub1/sub2", "dir2/sub1", "dir2"]
    names += ["dir3/file2", "dir3", "file1", "dir1"]
    for number, name in enumerate(names, 1):
        if (root / name).is_dir():
            (root / name).chmod(0o755)
        os.utime(root / name, (time + 10 * number,) * 2, follow_symlinks=False)
    root.chmod(0o700)
    os.utime(root, (time, time))


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
@pytest.mark.parametrize(
    ("options", "cids"),
    [
        (AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True, preserve_mtime=True)), MODES_AND_TIMES),
        (AddOptions(UNIXFS_V0_2015, mode=0o753), CUSTOM_MODE),
        (AddOptions(UNIXFS_V0_2015, mtime=Mtime(1603539720)), CUSTOM_MTIME),
    ],
)
async def test_the_tree_with_modes_and_times_of_kubos_tests(tmp_path: Path, options: AddOptions, cids: str) -> None:
    metadata_tree(tmp_path / "t")
    added = [event async for event in add([tmp_path / "t"], MemoryStore(), options)]
    assert sorted(str(event.cid) for event in added if isinstance(event, Added)) == cids.split()
