import configparser
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cidery.cli import login_service
from cidery.cli.login_service import launchd, systemd, windows

WORDS = ("/opt/my python/bin/python", "-m", "cidery", "--repo-dir", "/home/a & b/100%/$x", "daemon", "--init")


def test_the_unit_of_systemd_starts_exactly_the_command(tmp_path: Path) -> None:
    service = systemd(WORDS, tmp_path)
    assert service.path == tmp_path / "systemd/user/cidery.service"
    unit = configparser.RawConfigParser()
    unit.read_string(service.content.decode())
    words = shlex.split(unit["Service"]["ExecStart"])
    assert [word.replace("%%", "%").replace("$$", "$") for word in words] == list(WORDS)
    assert unit["Service"]["Restart"] == "on-failure" and unit["Install"]["WantedBy"] == "default.target"
    assert service.start[-1] == ("systemctl", "--user", "enable", "--now", "cidery.service")


def test_systemd_itself_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze here")
    service = systemd((sys.executable, *WORDS[1:]), tmp_path)
    unit = tmp_path / "cidery.service"
    unit.write_bytes(service.content)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    words = [program, "--user", "verify", str(unit)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and unit.name not in done.stderr


def test_the_agent_of_launchd_starts_exactly_the_command(tmp_path: Path) -> None:
    service = launchd(WORDS, tmp_path, 501, tmp_path / "daemon.log")
    said = plistlib.loads(service.content)
    assert said["ProgramArguments"] == list(WORDS) and said["RunAtLoad"]
    assert said["KeepAlive"] == {"SuccessfulExit": False}, "after `cidery shutdown` it stays ended"
    assert service.path == tmp_path / "Library/LaunchAgents/io.cidery.daemon.plist"
    assert service.start == (("launchctl", "bootstrap", "gui/501", str(service.path)),)


def test_the_agent_of_launchd_has_keys_that_launchd_knows_of_their_types(tmp_path: Path) -> None:
    """As `man launchd.plist` lists them."""
    types = {
        "Label": str, "ProgramArguments": list, "RunAtLoad": bool, "KeepAlive": dict, "ThrottleInterval": int,
        "ExitTimeOut": int, "StandardOutPath": str, "StandardErrorPath": str,
    }  # fmt: skip
    said = plistlib.loads(launchd(WORDS, tmp_path, 501, tmp_path / "daemon.log").content)
    assert {name: type(value) for name, value in said.items()} == types
    assert said["Label"] == "io.cidery.daemon", "the file is called so, too"
    assert Path(said["StandardOutPath"]).is_absolute() and Path(said["ProgramArguments"][0]).is_absolute()


def test_a_second_install_loads_the_agent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """launchctl loads nothing twice, and keeps what has ended."""
    loaded = tmp_path / "loaded"
    (tmp_path / "launchctl").write_text(
        f"""#!/bin/sh
        case $1 in
          bootstrap)
            [ -e "{loaded}" ] && {{ echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }}
            touch "{loaded}" ;;
          bootout) rm "{loaded}" ;;
        esac"""
    )
    (tmp_path / "launchctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    service = launchd(WORDS, tmp_path, 501, tmp_path / "daemon.log")
    for _ in range(2):
        login_service._install(service, tmp_path / "repo")
        assert loaded.exists() and "starts at each login" in capsys.readouterr().out
    login_service._remove(service)
    assert not loaded.exists() and not service.path.exists()


def test_the_task_of_windows_is_one_of_its_schema(tmp_path: Path) -> None:
    """Elements in the order, and values of the types, that the schema has for version 1.2 of it."""
    text = windows(WORDS, tmp_path, "HOME\\me").content.decode("utf-16")
    task = ElementTree.fromstring(text.partition("\n")[2])
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert task.tag == f"{space}Task" and task.get("version") == "1.2"
    assert [one.tag.removeprefix(space) for one in task] == ["RegistrationInfo", "Triggers", "Settings", "Actions"]
    found = {one.tag.removeprefix(space): (one.text or "").strip() for one in task.iter()}
    assert found["MultipleInstancesPolicy"] in {"Parallel", "Queue", "IgnoreNew", "StopExisting"}
    assert {found[name] for name in ("DisallowStartIfOnBatteries", "StopIfGoingOnBatteries")} == {"false"}
    assert re.fullmatch(r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?", found["Interval"]), "from PT1M on"
    assert 1 <= int(found["Count"]) <= 255
    assert found["UserId"] == "HOME\\me", "for one user: a task for all of them takes an administrator"
    assert [one.tag.removeprefix(space) for one in next(task.iter(f"{space}Exec"))] == ["Command", "Arguments"]


def test_the_task_of_windows_starts_exactly_the_command(tmp_path: Path) -> None:
    service = windows(WORDS, tmp_path, "a <b>")
    task = ElementTree.fromstring(service.content.decode("utf-16").partition("\n")[2])
    inside = {element.tag.partition("}")[2]: element.text for element in task.iter()}
    assert inside["Command"] == WORDS[0] and inside["UserId"] == "a <b>"
    assert inside["Arguments"] == '-m cidery --repo-dir "/home/a & b/100%/$x" daemon --init'
    assert inside["ExecutionTimeLimit"] == "PT0S", "else Windows ends it after three days"


def _run(tmp_path: Path, word: str, path: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": path}
    env["CIDERY_PATH"] = str(tmp_path / "repo")
    words = [sys.executable, "-m", "cidery", "service", word]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_service_is_installed_shown_and_removed(tmp_path: Path) -> None:
    tools, told = tmp_path / "tools", tmp_path / "told"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> "{told}"\n')
    (tools / "systemctl").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    assert "not installed" in _run(tmp_path, "status", path).stdout
    done = _run(tmp_path, "install", path)
    unit = tmp_path / "config/systemd/user/cidery.service"
    assert done.returncode == 0 and unit.exists() and str(tmp_path / "repo") in unit.read_text()
    assert "which the system runs" in _run(tmp_path, "status", path).stdout
    assert _run(tmp_path, "remove", path).returncode == 0 and not unit.exists()
    assert told.read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now cidery.service",
        "--user is-active --quiet cidery.service",
        "--user disable --now cidery.service",
    ]


def test_a_system_without_systemd_is_told_of(tmp_path: Path) -> None:
    done = _run(tmp_path, "install", str(tmp_path))
    assert done.returncode == 1 and "there is no systemctl here" in done.stderr
