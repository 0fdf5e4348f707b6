"""The log of requests: its formats, what a client cannot write into it, and its file."""

import json
import os
import re
import stat
import threading
import time
from pathlib import Path

import pytest

from cidery.gateway import access_log as module
from cidery.gateway.access_log import AccessLog, CannotLog, as_json, combined, common, line_of
from cidery.gateway.visitor import client_of, proxies_of
from cidery.http.message import Answered, Request

AT = 1_700_000_000.25
"""14 November 2023, 22:13:20 UTC."""


def answered(target: str = "/ipfs/x?format=raw", status: int = 200, **headers: str) -> Answered:
    said = {"host": "gw.example", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return Answered(Request("GET", target, said, None, "192.0.2.7"), status, 1234, 0.0125, True, "1.1")


def clock() -> float:
    return AT


def test_a_line_has_the_formats_that_programs_read() -> None:
    line = line_of(answered(referer="http://a.example/", user_agent="Mozilla/5.0 (X)"), AT)
    first = '192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "GET /ipfs/x?format=raw HTTP/1.1" 200 1234'
    assert common(line) == first + "\n"
    assert combined(line) == f'{first} "http://a.example/" "Mozilla/5.0 (X)"\n'
    assert json.loads(as_json(line)) == {
        "time": "2023-11-14T22:13:20.250Z", "client": "192.0.2.7", "method": "GET", "host": "gw.example",
        "target": "/ipfs/x?format=raw", "status": 200, "bytes": 1234, "seconds": 0.0125, "whole": True,
        "referrer": "http://a.example/", "agent": "Mozilla/5.0 (X)",
    }  # fmt: skip


def test_what_is_not_known_is_a_dash() -> None:
    line = line_of(Answered(Request("", "", client="::1"), 0, 0, 0.0, False, "1.1"), AT)
    assert combined(line) == '::1 - - [14/Nov/2023:22:13:20 +0000] "-" 499 - "-" "-"\n'


def test_a_client_cannot_write_outside_of_its_field() -> None:
    evil = 'x" 200 1\n192.0.2.99 - - [] "GET /\x1b[2J\\\x7f\xe9\u2028'
    for form in (common, combined, as_json):
        line = form(line_of(answered("/" + evil, referer=evil, user_agent=evil), AT))
        assert line.isascii() and line.count("\n") == 1 and line.endswith("\n")
        assert all(char.isprintable() for char in line[:-1])
        if form is not as_json:
            fields = re.fullmatch(r'\S+ - - \[[^]]+\] "((?:[^"\\]|\\.)*)" 200 1234( "((?:[^"\\]|\\.)*)"){0,2}\n', line)
            assert fields is not None and '\\"' in fields[1] and "\\x0a" in fields[1]
    assert json.loads(as_json(line_of(answered(user_agent=evil), AT)))["agent"] == evil


def test_a_long_field_is_cut() -> None:
    line = line_of(answered("/" + "x" * 30_000, user_agent="y" * 30_000), AT)
    assert len(combined(line)) < 3 * module.MAX_FIELD


def test_a_proxy_on_this_machine_says_whose_request_it_is() -> None:
    request = Request("GET", "/", {"x-forwarded-for": "1.2.3.4, 198.51.100.4"}, None, "127.0.0.1")
    assert line_of(Answered(request, 200, 0, 0.0, True, "1.1"), AT).client == "198.51.100.4"


def test_a_line_names_the_client_that_the_limits_count(tmp_path: Path) -> None:
    proxies = proxies_of(["/ip4/10.1.0.0/ipcidr/16"])
    log = AccessLog(tmp_path / "access.log", "common", clock, proxies)
    for client, named in (("10.1.0.9", "203.0.113.5"), ("192.0.2.7", "203.0.113.5"), ("127.0.0.1", "2001:db8::7")):
        request = Request("GET", "/", {"x-forwarded-for": named}, None, client)
        counted = client_of(request, proxies)
        log(Answered(request, 200, 1, 0.0, True, "1.1"))
        assert counted == {"10.1.0.9": "203.0.113.5", "192.0.2.7": "192.0.2.7", "127.0.0.1": "2001:db8::/64"}[client]
    log.close()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["203.0.113.5", "192.0.2.7", "2001:db8::7"]


def written(path: Path, lines: int) -> list[str]:
    deadline = time.monotonic() + 10
    while len(found := path.read_text().splitlines() if path.exists() else []) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_lines_are_appended_to_a_file_that_only_its_user_and_group_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    path.chmod(0o640)
    log = AccessLog(path, "common", clock)
    log(answered("/one"))
    log(answered("/two"))
    log.close()
    lines = path.read_text().splitlines()
    assert lines[0] == "before" and "/one" in lines[1] and "/two" in lines[2] and len(lines) == 3
    other = AccessLog(tmp_path / "new.log", "common", clock)
    other.close()
    assert stat.S_IMODE((tmp_path / "new.log").stat().st_mode) & 0o007 == 0


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)
    path = tmp_path / "access.log"
    log = AccessLog(path, "common", clock)
    log(answered("/one"))
    written(path, 1)
    path.rename(tmp_path / "access.log.1")
    log(answered("/two"))
    assert "/two" in written(path, 1)[0]
    log.close()
    assert "/two" not in (tmp_path / "access.log.1").read_text()


def test_a_file_is_opened_anew_when_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 3600.0)
    path = tmp_path / "access.log"
    log = AccessLog(path, "common", clock)
    log(answered("/one"))
    written(path, 1)
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log(answered("/two"))
    assert "/two" in written(path, 1)[0]
    log.close()


def test_when_the_disk_is_slow_lines_are_lost_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "ACCESS_LINES", module.ACCESS_LINES.__class__(3, "lines", *(["x"] * 3)))
    go = threading.Event()
    follow = AccessLog._follow

    def slow(self: AccessLog) -> None:
        go.wait(10)
        follow(self)

    monkeypatch.setattr(AccessLog, "_follow", slow)
    log = AccessLog(tmp_path / "access.log", "common", clock)
    for number in range(100):
        log(answered(f"/{number}"))
    assert log.lost >= 90
    go.set()
    log.close()
    assert len((tmp_path / "access.log").read_text().splitlines()) == 100 - log.lost
    assert len([one for one in caplog.messages if "lines of the access log are lost" in one]) == 1


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotLog, match=r"the access log .* cannot be written: .*; change Gateway\.AccessLog"):
        AccessLog(tmp_path / "none" / "access.log", "common", clock)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_disk_costs_lines_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(Path("/dev/full"), "common", clock)
    log(answered())
    log.close()
    assert log.lost == 1 and any(
        "1 line of the access log is lost: [Errno 28] No space" in one for one in caplog.messages
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in the file system")
def test_a_pipe_is_written_if_somebody_reads_it_and_else_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(CannotLog, match="nobody reads this pipe"):
        AccessLog(path, "common", clock)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        log = AccessLog(path, "common", clock)
        assert os.get_blocking(log._fd), "a full pipe is waited for, by the thread"
        log(answered("/one"))
        log.close()
        assert b"GET /one" in os.read(reader, 4096)
    finally:
        os.close(reader)
