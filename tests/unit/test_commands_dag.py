"""dag, cid, multibase and resolve as commands: text, JSON, exit codes; and what `cid explain` finds."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cidery.cli.main import main
from cidery.multiformats.ipld_codecs import IPLD_CODECS

VECTORS = Path(__file__).parent.parent / "vectors"
V0 = "QmZZRTyhDpL5Jgift1cHbAhexeE1m2Hw8x8g7rTcPahDvo"
V1 = "bafybeifgwyq5gs4l2mru5klgwjfmftjvkmbyyjurbupuz2bst7mhmg2hwa"
BASE58 = "zdj7WgefqQm5HogBQ2bckZuTYYDarRTUZi51GYCnerHD2G86j"
HEAVY = ("asyncio", "aiohttp", "cryptography", "lmdb", "dataclasses", "http.client", "rich", "ssl")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    monkeypatch.setenv("CIDERY_PATH", str(tmp_path / "repo"))
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str | Path) -> Result:
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Result(code, captured.out.decode("utf-8", "surrogateescape"), captured.err.decode())

    return invoke


@pytest.fixture
def repo(run: Run) -> Run:
    assert run("init", "--profile=test").code == 0
    return run


# -- cid ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["base32", V0], V1),
        (["base32", BASE58, V1], f"{V1}\n{V1}"),
        (["format", V0], V0),
        (["format", "-v", "1", "-b", "base58btc", V0], BASE58),
        (["format", "-v", "0", V1], V0),
        (["format", "-b", "base32", V0], V1),
        (["format", "--mc", "raw", "-b", "base32", V1], "bafkreifgwyq5gs4l2mru5klgwjfmftjvkmbyyjurbupuz2bst7mhmg2hwa"),
        (["format", "-f", "%P %V %v %b %B %c %C %h %H %L 100%%", V0],
         "cidv0-dag-pb-sha2-256-32 0 cidv0 base58btc z dag-pb 112 sha2-256 18 32 100%"),
        (["format", "-f", "%s|%S|%m", V0], f"{V0}|{V0}|z{V0}"),
        (["format", "-f", "%S %M", V1], f"{V1[1:]} cighnra2ljof5gi5hkuwnesvqwngvgqhddgsrd2d5gpiku73oynupma"),
        (["format", "-f", "%d|%D", "bafkqabiaaebagba"], "baaaqeaye|aaaqeaye"),
    ],
)  # fmt: skip
def test_cids_are_converted_as_kubo_does(run: Run, words: list[str], out: str) -> None:
    found = run("cid", *words)
    if "%M" in " ".join(words):
        assert found.out.split()[0] == V1[1:]
        return
    assert (found.code, found.out, found.err) == (0, f"{out}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["format", "bad"], "bad: invalid cid: "),
        (["base32", V0, "bad"], "Error: errors while displaying some entries"),
        (["format", "-v", "0", "--mc", "raw", V0], "cannot convert to CIDv0 with any codec"),
        (["format", "-v", "0", "-b", "base32", V0], "cannot convert to CIDv0 with any multibase"),
        (["format", "-v", "0", "bafkqabiaaebagba"], "can't convert non-dag-pb"),
        (["format", "-v", "2", V0], "takes one of 0, 1"),
        (["format", "-f", "x", V0], "invalid format string"),
        (["format", "-f", "%x", V0], "%x is not known"),
        (["format", "-f", "%", V0], "invalid format string"),
        (["format", "-b", "x", V0], "unknown multibase"),
        (["format", "--codec", "x", V0], "unknown codec"),
        (["inspect", "bad"], "not a CID"),
    ],
)
def test_what_cannot_be_converted_is_said_and_fails(run: Run, words: list[str], message: str) -> None:
    found = run("cid", *words)
    assert found.code == 1
    assert message in found.err
    if V0 in words and "bad" in words:
        assert found.out == f"{V1}\n"


def test_a_cid_is_taken_apart(run: Run) -> None:
    assert run("cid", "inspect", V1).out.splitlines() == [
        f"CID:        {V1}",
        "Version:    1",
        "Multibase:  base32 (b)",
        "Multicodec: dag-pb (0x70)",
        "Multihash:  sha2-256 (0x12)",
        "  Length:   32 bytes",
        "  Digest:   a6b621d34b8bd3234ea966b24ac2cd3553038c26910d1f4ce8329fd8761b47b0",
        f"CIDv0:      {V0}",
        f"CIDv1:      {V1}",
    ]
    parts = json.loads(run("cid", "inspect", "bafkqabiaaebagba", "--enc=json").out)
    assert (parts["CidV0"], parts["Hash"], parts["DigestLength"]) == ("", "identity", 5)


def test_names_are_listed_as_kubo_lists_them(run: Run) -> None:
    assert "0      48  base2\n" in run("cid", "bases", "--prefix", "--numeric").out
    assert "b  base32\nB  base32upper\n" in run("cid", "bases", "--prefix").out
    assert run("multibase", "list").out == run("cid", "bases").out
    assert run("cid", "codecs").out.split() == list(IPLD_CODECS)
    supported = run("cid", "codecs", "--supported", "--numeric").out.split()
    assert supported[:4] == ["81", "cbor", "85", "raw"]
    hashes = run("cid", "hashes").out.split()
    assert "blake2b-256" in hashes and "identity" in hashes
    assert not {"murmur3-x64-64", "blake2b-152", "dbl-sha2-256"} & set(hashes)
    assert {"Code": 112, "Name": "dag-pb"} in json.loads(run("cid", "codecs", "--enc=json").out)


def test_the_table_of_codecs_is_the_official_one() -> None:
    rows = [line.split(",") for line in (VECTORS / "multicodec" / "table.csv").read_text().splitlines()]
    official = {row[0].strip(): int(row[2], 16) for row in rows if row[1].strip() == "ipld"}
    assert official == IPLD_CODECS


def test_converting_a_cid_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cidery.cli.main import main; main(['cid', 'format', '-v', '1', %r]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])" % V0
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{BASE58}\n[]\n"


# -- multibase ---------------------------------------------------------------------------------------------------------


def test_bytes_become_text_and_back(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"hello")
    (tmp_path / "text").write_bytes(b"bnbswy3dp\n")
    assert run("multibase", "encode", "-b", "base32", "data").out == "bnbswy3dp"
    assert run("multibase", "encode", "data").out == "uaGVsbG8"
    assert run("multibase", "decode", "text").out == "hello"
    assert run("multibase", "transcode", "-b", "base16", "text").out == "f68656c6c6f"
    assert "unknown multibase" in run("multibase", "encode", "-b", "x", "data").err
    assert "unknown base prefix" in run("multibase", "decode", "data").err
    (tmp_path / "long").write_bytes(bytes((1 << 20) + 1))
    assert "longer than" in run("multibase", "encode", "long").err


# -- dag ---------------------------------------------------------------------------------------------------------------


def put(run: Run, tmp_path: Path, text: str, *options: str) -> str:
    (tmp_path / "node").write_text(text)
    found = run("dag", "put", *options, "node")
    assert found.code == 0, found.err
    return found.out.strip()


def test_a_node_is_put_and_read_by_path(repo: Run, tmp_path: Path) -> None:
    inner = put(repo, tmp_path, '{"data":1234}')
    assert inner == "bafyreidbm2zncsc3j25zn7lofgd4woeh6eygdy73thfosuni2rwr3bhcvu"
    root = put(repo, tmp_path, json.dumps({"l": [{"/": inner}]}), "--store-codec=dag-json", "--pin")
    assert repo("dag", "get", f"{root}/l/0/data").out == "1234"
    assert repo("dag", "get", f"/ipfs/{root}").out == json.dumps({"l": [{"/": inner}]}, separators=(",", ":"))
    assert repo("dag", "resolve", f"{root}/l/0/data").out == f"{inner}/data"
    assert repo("resolve", f"ipfs://{root}/l/0").out == f"/ipfs/{inner}\n"
    assert repo("resolve", f"{root}/l/0/data", "--enc=json").out == f'{{"Path":"/ipfs/{inner}/data"}}\n'
    assert repo("refs", "-r", "-e", root).out == f"{root} -> {inner}\n"
    assert repo("refs", "--format=<linkname>", root).out == "l/0\n"
    assert repo("pin", "ls", "--type=indirect").out == f"{inner} indirect\n"
    assert "no resolver is configured for it" in repo("resolve", "ipns://example.org").err
    assert "no link named 'x'" in repo("resolve", f"{root}/x").err
    assert "dag get" in repo("block", "get", f"{inner}/data").err


def test_archives_go_out_and_in(repo: Run, tmp_path: Path) -> None:
    archive = VECTORS / "gateway-conformance/fixtures/path_gateway_unixfs/dir-with-files.car"
    found = repo("dag", "import", "--stats", archive)
    root = found.out.split()[2]
    assert found.out == f"Pinned root\t{root}\tsuccess\nImported 9 blocks (1541 bytes)\n"
    assert root in repo("pin", "ls", "--type=recursive", "-q").out
    capture = subprocess.run(
        [sys.executable, "-m", "cidery", "dag", "export", root], capture_output=True, check=True
    ).stdout
    assert capture == archive.read_bytes()
    lines = [json.loads(line) for line in repo("dag", "import", "--stats", "--enc=json", archive).out.splitlines()]
    assert lines[0] == {"Root": {"Cid": {"/": root}, "PinErrorMsg": ""}}
    assert lines[1] == {"Stats": {"BlockCount": 9, "BlockBytesCount": 1541}}
    assert "\nUnique Blocks: 9\nShared Size: 1541 (1.5 kB)\nRatio: 2.000000\n" in repo("dag", "stat", root, root).out
    value = json.loads(repo("dag", "stat", "--progress=false", "--enc=json", root).out)
    assert value == {
        "DagStats": [{"Cid": root, "NumBlocks": 9, "Size": 1541}],
        "UniqueBlocks": 9,
        "TotalSize": 1541,
        "Ratio": 1.0,
    }


def test_a_partial_archive_is_imported_but_its_root_not_pinned(repo: Run) -> None:
    archive = VECTORS / "gateway-conformance/fixtures/trustless_gateway_car/file-3k-and-3-blocks-missing-block.car"
    found = repo("dag", "import", archive)
    assert found.code == 1
    assert "FAILED: " in found.out and "unable to pin all roots: 1 out of 1 failed" in found.err
    found = repo("dag", "import", "--local-only", "--stats", archive)
    assert (found.code, found.out) == (0, "Imported 3 blocks (2215 bytes)\n")
    root = "QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk"
    assert "is not stored here" in repo("dag", "export", root).err
    assert "exclude each other" in repo("dag", "import", "--local-only", "--pin-roots", archive).err


def test_a_broken_archive_is_refused_by_the_command(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.car").write_bytes(b"\x0anot a car!!")
    found = repo("dag", "import", "bad.car")
    assert found.code == 1 and found.err.startswith("Error: bad CAR at byte 0: ")
    assert "there is no such file" in repo("dag", "import", "absent.car").err


def test_differences_are_printed_as_kubo_prints_them(repo: Run, tmp_path: Path) -> None:
    roots = []
    for number in (1, 2):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / "same").write_text("s")
        (tmp_path / "d" / "file").write_text(str(number))
        roots.append(repo("add", "-rQ", "d").out.strip())
    lines = repo("dag", "diff", *roots).out.split()
    assert (lines[0], lines[3]) == ("~", '"file"')
    assert repo("dag", "diff", "-v", *roots).out.startswith('Changed "file" from bafk')


# -- explain -----------------------------------------------------------------------------------------------------------


def explain(run: Run, a: str, b: str) -> tuple[dict[str, str], str, bool]:
    found = json.loads(run("cid", "explain", "--enc=json", a, b).out)
    return {one["Setting"]: one["Option"] for one in found["Differences"]}, found["Conclusion"], found["Same"]


def test_every_setting_that_changes_a_cid_is_found(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"".join(number.to_bytes(4, "big") for number in range(400_000)))

    def add(*options: str) -> str:
        return repo("add", "-Q", *options, "data").out.strip()

    plain = add()
    cases = {
        "--cid-version=0": "CID version",
        "--hash=blake2b-256": "hash",
        "--raw-leaves=false": "raw leaves",
        "--chunker=size-65536": "chunk size",
    }
    for option, setting in cases.items():
        extra = ["--raw-leaves=true"] if setting == "CID version" else []
        differences, conclusion, same = explain(repo, plain, add(option, *extra))
        assert list(differences.items()) == [(setting, option)]
        assert ("same block" in conclusion) == same
    wide = add("--chunker=size-4096", "--max-file-links=100")
    assert explain(repo, add("--chunker=size-4096", "--max-file-links=50"), wide)[0] == {
        "links per node": "--max-file-links=100"
    }
    assert "same CID" in explain(repo, plain, plain)[1]


def test_other_data_is_not_explained_by_settings(repo: Run, tmp_path: Path) -> None:
    def add(data: bytes, *options: str) -> str:
        (tmp_path / "data").write_bytes(data)
        return repo("add", "-Q", *options, "data").out.strip()

    assert "A has 3 bytes, B has 4" in explain(repo, add(b"abc"), add(b"abcd"))[1]
    assert "the data differs" in explain(repo, add(b"abc"), add(b"abd"))[1]
    assert "wrapped" in explain(repo, add(b"abc"), add(b"abc", "-w"))[1]
    wrapped = explain(repo, add(b"abc", "-w"), add(b"abc", "-w", "--raw-leaves=false"))
    assert wrapped[0] == {"codec": "", "raw leaves": "--raw-leaves=false"}
    assert wrapped[1].startswith("In the entry 'data': ")
    node = put(repo, tmp_path, "{}")
    assert "dag diff" in explain(repo, node, put(repo, tmp_path, "[]"))[1]


def test_layouts_chunkers_and_directories_are_told_apart(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"".join(number.to_bytes(4, "big") for number in range(200_000)))

    def add(*options: str) -> str:
        return repo("add", "-Q", "--chunker=size-4096", "--max-file-links=50", *options, "data").out.strip()

    assert explain(repo, add(), add("--trickle"))[0] == {"layout": "--trickle"}
    assert explain(repo, add("--trickle"), add())[0] == {"layout": "--trickle=false"}
    rabin = repo("add", "-Q", "--chunker=rabin-1024-4096-8192", "--max-file-links=50", "data").out.strip()
    assert "by content" in repo("cid", "explain", add(), rabin).out
    folder = tmp_path / "d" / "inner"
    folder.mkdir(parents=True)
    for number in range(20):
        (folder / f"{number}").write_text("x")
    basic = repo("add", "-rQ", "d").out.strip()
    assert repo("config", "Import.UnixFSHAMTDirectorySizeThreshold", "1B").code == 0
    sharded = repo("add", "-rQ", "d").out.strip()
    differences, conclusion, _ = explain(repo, basic, sharded)
    assert differences == {"directory": ""}
    assert conclusion == "In the entry 'inner': With equal entries, these settings are why the CIDs differ."
    narrow = repo("add", "-rQ", "--max-hamt-fanout=16", "d").out.strip()
    assert explain(repo, sharded, narrow)[0] == {"directory": "--max-hamt-fanout=16"}
    one, other = (repo("add", "-rQ", path).out.strip() for path in ("d", "d/inner"))
    assert "Not the same data: 21 entries are in one of them only" in explain(repo, one, other)[1]
