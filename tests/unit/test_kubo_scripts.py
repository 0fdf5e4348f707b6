"""What scripts written for Kubo see: exit codes, text and JSON of the command line on one new repository."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cidery.cli.main import main
from cidery.multiformats.cid import CID


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


@pytest.fixture
def run(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("CIDERY_PATH", str(repo))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)

    def invoke(*words: str | Path) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        return Ran(code, *capfd.readouterr())

    assert invoke("init", "--profile=test").code == 0
    return invoke


def test_null_is_a_value_of_the_config(run: Run) -> None:
    assert run("config", "--json", "Swarm.AddrFilters", "null") == (0, "", "")
    assert run("config", "Swarm.AddrFilters") == (0, "null\n", "")
    assert run("config", "--enc=json", "Gateway.RootRedirect").json == {"Key": "Gateway.RootRedirect", "Value": None}


def test_a_misspelt_key_is_not_stored(run: Run, repo: Path) -> None:
    before = (repo / "config").read_bytes()
    ran = run("config", "Swarm.ConnMgr.HighWatr", "5")
    assert ran.code == 1 and "did you mean Swarm.ConnMgr.HighWater" in ran.err
    assert (repo / "config").read_bytes() == before


def test_a_profile_keeps_the_config_as_it_was(run: Run, repo: Path) -> None:
    before = (repo / "config").read_bytes()
    assert run("config", "profile", "apply", "--dry-run", "lowpower").code == 0
    assert not list(repo.glob("config-pre-*"))
    assert run("config", "profile", "apply", "lowpower").code == 0
    (kept,) = repo.glob("config-pre-lowpower-*")
    assert kept.read_bytes() == before != (repo / "config").read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run("config", "profile", "apply", "none-such").code == 1
    assert len(list(repo.glob("config-pre-*"))) == 1


def test_the_shown_config_has_the_section_of_experiments(run: Run) -> None:
    assert run("config", "show").json["Experimental"]["FilestoreEnabled"] is False
    assert run("config", "--json", "Experimental.FilestoreEnabled", "true").code == 0
    shown = run("config", "show").json["Experimental"]
    assert shown["FilestoreEnabled"] is True and shown["P2pHttpProxy"] is False


def test_json_has_no_blanks_for_scripts_that_search_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    added = run("add", "--enc=json", "f").out
    assert '"Hash":"' in added and ", " not in added and ": " not in added


def test_the_identity_is_indented_by_tabs(run: Run) -> None:
    assert '\n\t"ID": "12D3KooW' in run("id").out


def test_every_link_of_ls_has_a_mode_and_a_time_in_gos_form(run: Run, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "f").write_text("x")
    cid = run("add", "-rQ", "tree").out.strip()
    bare = run("ls", "--enc=json", cid).json["Objects"][0]["Links"]
    assert [(link["Name"], link["Mode"], link["ModTime"]) for link in bare] == [
        ("d", 0, "0001-01-01T00:00:00Z"),
        ("f", 0, "0001-01-01T00:00:00Z"),
    ]
    assert " - d/" in run("ls", "--long", cid).out
    (tree / "f").chmod(0o644)
    (tree / "d").chmod(0o1755)
    cid = run("add", "-rQ", "--preserve-mode", "--mtime=1603539720", "tree").out.strip()
    full = run("ls", "--enc=json", cid).json["Objects"][0]["Links"]
    assert [(link["Mode"], link["ModTime"]) for link in full] == [
        (1 << 31 | 1 << 20 | 0o755, "2020-10-24T11:42:00Z"),
        (0o644, "2020-10-24T11:42:00Z"),
    ]
    assert run("ls", "--long", cid).out.startswith("drwxr-xr-x ")


def test_a_pin_always_has_a_name_in_the_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    cid = run("add", "-Q", "--pin-name=mine", "f").out.strip()
    assert run("pin", "ls", "--enc=json").json == {"Keys": {cid: {"Type": "recursive", "Name": ""}}}
    assert run("pin", "ls", "--names", "--enc=json").json == {"Keys": {cid: {"Type": "recursive", "Name": "mine"}}}


def test_an_object_below_a_pin_is_indirect_also_when_it_is_pinned_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("hello\n")
    root = run("add", "-rQ", "d").out.strip()
    leaf = run("add", "-Q", "--pin=false", "d/f").out.strip()
    run("pin", "add", "--recursive=false", leaf)
    assert run("pin", "ls", leaf).out == f"{leaf} direct\n"
    assert run("pin", "ls", "--type=indirect", leaf).out == f"{leaf} indirect through {root}\n"
    assert run("pin", "ls", "--type=indirect", root).code == 1


def test_options_are_listed_by_their_bare_names_in_json_and_as_they_are_typed_in_text(run: Run) -> None:
    tree = run("commands", "--flags", "--enc=json").json
    add = next(node for node in tree["Subcommands"] if node["Name"] == "add")
    assert {"Names": ["recursive", "r"]} in add["Options"]
    lines = run("commands", "--flags").out.splitlines()
    assert "cidery add --recursive" in lines and "cidery add -r" in lines


@pytest.mark.parametrize(
    "words",
    [
        ["pin", "add", "--fast-provide-root", "--fast-provide-wait=false", "CID"],
        ["dag", "import", "--fast-provide-dag", "--allow-big-block", "CAR"],
        ["block", "put", "--allow-big-block", "CAR"],
        ["bootstrap", "list", "--expand-auto"],
    ],
)
def test_an_option_without_effect_is_accepted_and_said_to_have_none(run: Run, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "f").write_text("hello\n")
    cid = run("add", "-Q", "f").out.strip()
    put_car(tmp_path / "car", cid)
    ran = run(*(word.replace("CID", cid).replace("CAR", str(tmp_path / "car")) for word in words))
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert ran.code == 0, ran.err
    assert [line.split()[1] for line in ran.err.splitlines()] == given
    assert all(" has no effect: " in line for line in ran.err.splitlines())


def put_car(path: Path, cid: str) -> None:
    """An archive without a block, with a root that is stored."""
    root = CID.parse(cid).encode()
    header = b"\xa2eroots\x81\xd8\x2a\x58" + bytes([len(root) + 1]) + b"\0" + root + b"gversion\x01"
    path.write_bytes(bytes([len(header)]) + header)


def test_another_config_file_is_refused_and_the_own_one_accepted(run: Run, repo: Path, tmp_path: Path) -> None:
    own = repo / "config"
    for option in ("--config-file", "--config", "-c"):
        assert run(option, own, "id", "-f", "<id>").code == 0
        ran = run("id", option, tmp_path / "other")
        assert ran.code == 1 and f"the config is always {own}" in ran.err and "--repo-dir" in ran.err


def test_local_is_another_word_for_offline(run: Run) -> None:
    for option in ("-L", "--local", "--offline"):
        ran = run("cat", option, "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
        assert ran.code == 1 and "start the daemon" not in ran.err


@pytest.mark.parametrize(("base", "begin"), [("b58mh", "12D3KooW"), ("base36", "k51qzi5"), ("k", "k51"), ("b", "bafz")])
def test_the_peer_id_has_the_form_that_is_asked_for(run: Run, base: str, begin: str) -> None:
    assert run("id", f"--peerid-base={base}").json["ID"].startswith(begin)
    assert run("id", "--peerid-base=odd").code == 1


def test_what_auto_stands_for_is_shown(run: Run) -> None:
    run("config", "--json", "Routing.DelegatedRouters", '["auto", "https://r.example"]')
    assert run("config", "Routing.DelegatedRouters", "--enc=json").json["Value"] == ["auto", "https://r.example"]
    shown = run("config", "Routing", "--expand-auto", "--enc=json").json["Value"]["DelegatedRouters"]
    assert shown == ["https://cid.contact", "https://r.example"]
    for options, routers in (([], ["auto", "https://r.example"]), (["--expand-auto"], shown)):
        assert run("config", "show", *options).json["Routing"]["DelegatedRouters"] == routers
    refused = run("config", "--expand-auto", "Datastore.StorageMax", "7GB")
    assert refused.code == 1 and "for reading a value" in refused.err
    assert run("config", "Datastore.StorageMax").out.strip() != "7GB"


def test_the_config_is_edited_and_checked(
    run: Run, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    assert "EDITOR is not set" in run("config", "edit").err
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nsed -i "s/10GB/$1/" "$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}' 20GB")
    assert run("config", "edit") == (0, "", "")
    assert run("config", "Datastore.StorageMax").out == "20GB\n"
    monkeypatch.setenv("EDITOR", f"'{editor}' nothing")
    run("config", "Datastore.StorageMax", "10GB")
    assert "Datastore.StorageMax takes a size" in run("config", "edit").err


def test_all_bootstrap_peers_are_removed_by_a_command_of_its_own(run: Run) -> None:
    peer = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d"
    run("bootstrap", "add", peer)
    assert run("bootstrap", "rm", "all").out == f"removed {peer}\n"
    assert run("bootstrap", "list").out == ""


def test_commands_that_answer_under_another_name_are_listed(run: Run) -> None:
    listed = run("commands").out.splitlines()
    for name in ("key list", "stats repo", "stats bitswap", "stats provide", "dht findprovs", "routing reprovide"):
        assert f"cidery {name}" in listed
    assert "cidery stats repo" in run("stats", "--help").out


def test_the_daemon_never_starts_without_encryption(run: Run) -> None:
    ran = run("daemon", "--offline", "--disable-transport-encryption")
    assert ran.code == 1 and not ran.out and "connections are always encrypted" in ran.err


def test_a_format_of_the_identity_is_printed_as_it_is(run: Run) -> None:
    peer = run("config", "Identity.PeerID").out.strip()
    assert run("id", "-f", "<id>").out == peer
    assert run("id", "-f", "<id>\\n").out == f"{peer}\n"


def test_the_mode_of_a_directory_begins_with_its_letter(run: Run, tmp_path: Path) -> None:
    run("files", "mkdir", "/d")
    assert run("files", "stat", "--format=<mode>", "/d").out == "not set\n"
    run("files", "chmod", "0755", "/d")
    assert run("files", "stat", "--format=<mode> <mode-octal>", "/d").out == "drwxr-xr-x 0755\n"
    (tmp_path / "f").write_text("x")
    run("files", "write", "--create", "/f", "f")
    run("files", "chmod", "0640", "/f")
    assert run("files", "stat", "--format=<mode>", "/f").out == "-rw-r-----\n"


def test_files_that_are_referred_to_are_shown_from_where_the_repository_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("hello\n")
    cid = run("add", "-Q", "--nocopy", "d/f").out.strip()
    assert run("filestore", "ls").out == f"{cid}      6 d/f 0\n"
    assert run("filestore", "ls", "--enc=json").json["FilePath"] == "d/f"
    assert run("filestore", "verify").out == f"ok      {cid}      6 d/f 0\n"
    (tmp_path / "d" / "f").write_text("other\n")
    ran = run("filestore", "verify")
    assert ran.code == 0 and ran.out.startswith(f"changed {cid}      6 d/f 0")


def test_bootstrap_peers_to_remove_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = [f"/ip4/192.0.2.{n}/tcp/4001/p2p/12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d" for n in (1, 2, 3)]
    run("bootstrap", "add", *peers)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{peers[0]}\n{peers[1]}\n"))
    assert run("bootstrap", "rm").out == f"removed {peers[0]}\nremoved {peers[1]}\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("not read\n"))
    assert run("bootstrap", "rm", "--all").out == f"removed {peers[2]}\n"
    assert sys.stdin.read() == "not read\n"


def test_hashes_and_codecs_have_the_names_of_go(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("block")
    assert run("block", "put", "--mhtype=sha3", "b").out == run("block", "put", "--mhtype=sha3-512", "b").out != ""
    both = run("block", "put", "--format=raw", "--cid-codec=raw", "b")
    assert both.code == 1 and "give one of them" in both.err
    assert run("block", "put", "--format=raw", "b").out == run("block", "put", "--cid-codec=raw", "b").out


@pytest.mark.parametrize(
    ("words", "said", "peer"),
    [
        (["-a", "rsa"], "generating 2048-bit RSA keypair...done", "Qm"),
        (["-a", "rsa", "--bits=3072"], "generating 3072-bit RSA keypair...done", "Qm"),
        (["--algorithm=ed25519"], "generating ED25519 keypair...done", "12D3KooW"),
        (["-a", "secp256k1"], "generating SECP256K1 keypair...done", "16Uiu2HA"),
    ],
)
def test_a_repository_is_made_with_the_key_that_is_asked_for(
    run: Run, tmp_path: Path, words: list[str], said: str, peer: str
) -> None:
    there = f"--repo-dir={tmp_path / 'another'}"
    assert said in run("init", there, "--profile=test", *words).out
    assert run("id", there, "-f", "<id>").out.startswith(peer)


def test_bits_are_for_rsa_keys(run: Run, tmp_path: Path) -> None:
    ran = run("init", f"--repo-dir={tmp_path / 'another'}", "--bits=2048")
    assert ran.code == 1 and "only RSA keys have a size" in ran.err and not (tmp_path / "another").exists()
    assert run("init", f"--repo-dir={tmp_path / 'another'}", "-a", "rsa", "-b", "512").code == 1
    assert run("key", "gen", "--size=256", "a").code == 0 == run("key", "gen", "-t", "secp256k1", "-s", "256", "b").code
    assert run("key", "gen", "--size=2048", "c").code == 0, "as Kubo's clients send it"


def test_a_file_that_is_there_already_gets_its_mode_and_time(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "l").symlink_to("f")
    cid = run("add", "-Q", "--mode=0600", "--mtime=1603539720", "f").out.strip()
    for name in ("f", "g"):
        (tmp_path / name).write_text("hello\n")
        (tmp_path / name).chmod(0o644)
        if name == "g":
            (tmp_path / "other").hardlink_to(tmp_path / "g")
        assert run("get", "-o", name, cid).code == 0
        found = (tmp_path / name).stat()
        assert (found.st_mode & 0o777, found.st_mtime) == (0o600, 1603539720)
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644
    tree = run("add", "-rQ", "--mtime=1603539720", "d").out.strip()
    assert run("get", "-o", "d", tree).code == 0
    assert (tmp_path / "d" / "l").lstat().st_mtime == 1603539720


def test_the_root_of_the_mutable_files_follows_the_config(run: Run) -> None:
    run("config", "profile", "apply", "unixfs-v0-2015")
    run("files", "mkdir", "/old")
    assert run("files", "stat", "--hash", "/").out.startswith("Qm")
    run("config", "Import.CidVersion", "1")
    run("files", "mkdir", "/new")
    assert run("files", "stat", "--hash", "/").out.startswith("bafy")


def test_the_packages_below_are_listed(run: Run) -> None:
    lines = run("version", "deps").out.splitlines()
    assert any(line.startswith("lmdb@") for line in lines) and all(line.count("@") == 1 for line in lines)
    assert json.loads(run("version", "deps", "--enc=json").out.splitlines()[0]).keys() == {
        "Path",
        "Version",
        "ReplacedBy",
        "Sum",
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        (["cidery", "bit"], {"bitswap"}),
        (["cidery", "pin", "ad"], {"add"}),
        (["cidery", "--offline", "swarm", "addrs", "l"], {"listen", "local"}),
        (["cidery", "pin", "add", "bafy", "--recu"], {"--recursive"}),
        (["cidery", "key", "li"], {"list"}),
        (["cidery", "id", "--repo-"], {"--repo-dir"}),
        (["cidery", "cat", "some-file"], set()),
    ],
)
def test_bash_completes_commands_and_options(run: Run, tmp_path: Path, line: list[str], completed: set[str]) -> None:
    script = tmp_path / "completion"
    script.write_text(run("commands", "completion", "bash").out)
    words = " ".join(f"'{word}'" for word in line)
    ask = f'source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _cidery; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed and not done.stderr
