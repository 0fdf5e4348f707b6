"""Daemons asked what is going on with a CID: owner, stranger, a provider that does not answer or cannot be dialled."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.trees import write_file
from peers.waiting import until

DHT = {"Routing.Type": '"dht"'}
Make = Callable[..., CideryDaemon]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:
        made: list[CideryDaemon] = []

        def make(config: dict[str, str] | None = None) -> CideryDaemon:
            made.append(stack.enter_context(CideryDaemon(tmp_path / f"node{len(made)}", config)))
            return made[-1]

        yield make


def why(node: CideryDaemon, cid: str, *options: str) -> list[dict]:
    return [json.loads(line) for line in node.run("why", "--enc=json", *options, cid).splitlines()]


def last(findings: list[dict], kind: str) -> dict:
    return [one["Details"] for one in findings if one["Type"] == kind][-1]


def test_owner_stranger_and_a_provider_that_stops_answering(daemon: Make, tmp_path: Path) -> None:
    middle, owner, reader = daemon(DHT), daemon(DHT), daemon(DHT)
    write_file(tmp_path / "f", 3_000_000)
    cid = owner.add(tmp_path / "f")
    assert "no peer that serves the DHT is known" in last(why(owner, cid), "Verdict")["Summary"]
    for node in (owner, reader):
        node.connect(middle.addr)
    until(lambda: last(why(owner, cid), "Announcement").get("Peers", 0) >= 1)
    told = last(why(owner, cid), "Announcement")
    assert told["Wanted"] and 21 * 3600 < told["Due"] - told["At"] < 23 * 3600

    found = why(reader, cid)
    assert last(found, "Stored")["Root"] is False
    named = last(found, "Provider")
    assert (named["Peer"], named["State"]) == (owner.peer_id, "connected")
    assert last(found, "Verdict")["Stage"] == "receiving" and owner.peer_id in last(found, "Verdict")["Summary"]
    assert last(why(reader, cid), "Stored")["Root"] is False, "asking must not fetch"

    owner.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        stuck = last(why(reader, cid, "--timeout=3s"), "Verdict")
        assert time.monotonic() - began < 4.0
        assert stuck["Stage"] == "asking" and "does not answer" in stuck["Summary"]
        words, environment = reader.command("cat", cid)
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as fetch:
            until(lambda: last(why(reader, cid, "--timeout=1s"), "Verdict")["Stage"] == "stalled")
            (source,) = [
                one
                for one in last(why(reader, cid, "--timeout=1s"), "Fetch")["State"]["Sources"]
                if one["Source"] == owner.peer_id
            ]
            assert source["Stalled"] and source["Outstanding"] == 1
            owner.signal(signal.SIGCONT)
            assert fetch.communicate(timeout=60)[0] == (tmp_path / "f").read_bytes()
    finally:
        owner.signal(signal.SIGCONT)
    assert last(why(reader, cid), "Stored")["Missing"] == []


def test_a_provider_that_is_gone_cannot_be_dialled(daemon: Make, tmp_path: Path) -> None:
    middle, owner, reader = daemon(DHT), daemon(DHT), daemon(DHT)
    (tmp_path / "f").write_bytes(b"here and gone")
    cid = owner.run("add", "--pin=false", "-Q", str(tmp_path / "f")).strip()
    owner.connect(middle.addr)
    until(lambda: last(why(owner, cid), "Announcement")["KnownPeers"] == 1)
    verdict = last(why(owner, cid), "Verdict")
    assert f"cidery provide once {cid}" in " ".join(verdict["Advice"])
    owner.run("provide", "once", cid)
    told = last(why(owner, cid), "Announcement")
    assert told["Peers"] == 1 and not told["Wanted"]
    owner.close()
    reader.connect(middle.addr)
    until(lambda: last(why(reader, cid), "Verdict")["Stage"] == "dialling")
    failed = last(why(reader, cid), "Provider")
    assert failed["State"] == "failed" and owner.peer_id in failed["Failure"]
    assert "cannot be dialled" in reader.run("why", cid)


def test_nobody_has_it_and_nobody_is_there(daemon: Make) -> None:
    alone, off = daemon(DHT), daemon()
    absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    assert "the DHT knows no peer yet" in alone.run("why", absent)
    assert "no router is asked" in off.run("why", absent)
    off.connect(alone.addr)
    assert "None of 1 connected peer has it" in off.run("why", absent)
    text = off.run("why", "--offline", absent)
    assert "start the daemon" in text and "connected" not in text


def test_a_gateway_that_has_it_is_named(daemon: Make, tmp_path: Path) -> None:
    owner = daemon()
    write_file(tmp_path / "f", 3_000_000)
    cid = owner.add(tmp_path / "f")
    url = (owner.repo / "gateway").read_text().strip()
    reader = daemon({"HTTPRetrieval.Gateways": json.dumps([url])})
    found = why(reader, cid)
    assert (last(found, "Peer")["Peer"], last(found, "Peer")["Answer"]) == (url, "have")
    assert f"{url} has it" in last(found, "Verdict")["Summary"]
    owner.close()
    assert f"gateway {url} does not answer as a gateway should" in reader.run("why", cid, "--timeout=5s")
