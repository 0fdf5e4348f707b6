"""The programs of examples/ run, and print what they should. mypy checks their types (pyproject.toml)."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer ones warn that they would like another HTTP client than the one there is
    from fastapi.testclient import TestClient

FOLDER = Path(__file__).resolve().parents[2] / "examples"
LIMIT = 60.0
"""Seconds for one; far beyond what it takes."""
PRINTED = {
    "add_and_read": ("bafybei", "beach.txt 8", "a beach", "saved as copy-of-photos"),
    "add_and_read_async": ("note 0 ... note 9", "not"),
    "archive": ("roots: bafybei", "blocks: 2", "imported: 2", "to be carried on a stick"),
    "cid_without_a_node": (
        "bafybei",
        "Qm",
        "0 bafybeiffndsajwhk3lwjewwdxqntmjm4b5wxaaanokonsggenkbw6slwk4",
    ),
    "linked_values": ("bafyrei", "Summer Two", "dum dum"),
    "publish_a_name": ("<h1>First</h1>", "<h1>Second</h1>", "valid: True"),
    "two_nodes": ("20 files, 21 blocks over the wire", "stored here whole"),
    "watch_progress": ("add film.bin: 100%", "of 64 MiB", "the same bytes"),
    "who_has_it": ("it is the owner: True", "hard to find"),
}
WITH_ARGUMENTS = {"backup", "fastapi_app", "test_with_a_network", "verify_a_download"}


def run(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=folder, capture_output=True, text=True, timeout=LIMIT,
        env={key: value for key, value in os.environ.items() if key not in ("CIDERY_PATH", "IPFS_PATH")},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_tested_and_is_on_the_page() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == PRINTED.keys() | WITH_ARGUMENTS
    page = (FOLDER / "README.md").read_text()
    assert [name for name in names if f"[{name}.py]({name}.py)" not in page] == []


def test_every_example_keeps_to_this_machine() -> None:
    for path in FOLDER.glob("*.py"):
        text = path.read_text()
        opened = text.count("cidery.open(") + text.count("cidery.Node(")
        # who_has_it opens again what it has made
        assert text.count('profile="test"') >= opened - (path.stem == "who_has_it"), path


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_the_example_runs_twice_and_prints_what_it_should(name: str, tmp_path: Path) -> None:
    output = run(tmp_path, str(FOLDER / f"{name}.py"))
    run(tmp_path, str(FOLDER / f"{name}.py"))  # what the first run has left is no hindrance
    assert [text for text in PRINTED[name] if text not in output] == [], output


def test_a_download_is_told_from_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a beach\n")
    program, cid = str(FOLDER / "verify_a_download.py"), "bafkreibhit5j3oivzwyxsc2kjwhvhn66yoautogsui4mxz2aluaq7i5b4e"
    assert run(tmp_path, program, "file", cid) == "the same: one raw block\n"
    (tmp_path / "file").write_bytes(b"a Beach\n")
    assert run(tmp_path, program, "file", cid, code=1).startswith("not the same: file is not the content of")
    assert run(tmp_path, program, "file", "no-cid", code=2)


def test_a_backup_keeps_the_newest_versions_and_frees_the_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    outputs = []
    for version in range(5):
        (data / "file.txt").write_text(f"version {version}")
        outputs.append(run(tmp_path, str(FOLDER / "backup.py"), "data"))
    assert [output.count("bafybei") for output in outputs] == [1, 2, 3, 3, 3]
    assert "2 blocks removed" in outputs[3] and "2 blocks removed" in outputs[4]


def test_the_example_for_pytest_passes_and_needs_no_real_time(tmp_path: Path) -> None:
    output = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "cidery.testing.pytest_plugin",
                 "--rootdir", str(tmp_path), str(FOLDER / "test_with_a_network.py"))  # fmt: skip
    assert output.startswith(".. ")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    import fastapi_app

    with TestClient(fastapi_app.app) as client:
        yield client


def test_the_web_service_keeps_what_is_uploaded(web: TestClient) -> None:
    cid = web.post("/files", content=b"hello " * 1_000_000).json()["cid"]
    answer = web.get(f"/files/{cid}")
    assert answer.content == b"hello " * 1_000_000
    assert answer.headers["etag"] == f'"{cid}"'
    assert web.get("/files/no-cid").status_code == 400
