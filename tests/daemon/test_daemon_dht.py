"""Daemons that know each other only through the DHT: bootstrap by DNS, add, find, announce, restart, peering."""

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import PeerFailed
from peers.trees import digest, write_file
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


class NameServer:
    """TXT records over UDP on loopback, in a thread."""

    def __init__(self, records: dict[str, str]) -> None:
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            reply = dns.message.make_response(query)
            name = query.question[0].name
            text = self._records.get(name.to_text(omit_final_dot=True))
            if text is not None:
                reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{text}"'))
            self._socket.sendto(reply.to_wire(), client)

    def __enter__(self) -> "NameServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def table(node: CideryDaemon) -> set[str]:
    stats = json.loads(node.run("stats", "dht", "lan", "--enc=json"))
    return {peer["ID"] for bucket in stats["Buckets"] for peer in bucket["Peers"]}


def stat(node: CideryDaemon) -> dict:
    return json.loads(node.run("provide", "stat", "--enc=json"))


def test_a_stranger_finds_and_gets_what_was_just_added(daemon: Make, tmp_path: Path) -> None:
    middle, owner, reader = daemon(DHT), daemon(DHT), daemon({"Routing.Type": '"dhtclient"'})
    owner.connect(middle.addr)
    until(lambda: middle.peer_id in table(owner))
    reader.connect(middle.addr)
    folder = tmp_path / "folder"
    folder.mkdir()
    write_file(folder / "a", 3_000_000)
    began = time.monotonic()
    cid = owner.add(folder)
    reader.get(cid, tmp_path / "got")
    took = time.monotonic() - began
    assert digest(tmp_path / "got") == digest(folder)
    assert took < 10  # some 0.7 s, most of it three command lines starting; a busy machine may take longer
    until(lambda: stat(owner)["Done"] == 5 and stat(owner)["Due"] == 0)
    leaf = owner.run("refs", "-r", cid).split()[-1]
    assert owner.peer_id in reader.run("routing", "findprovs", leaf).split()
    until(lambda: reader.peer_id in middle.run("routing", "findprovs", cid).split())


def test_readers_may_keep_what_they_read_to_themselves(daemon: Make, tmp_path: Path) -> None:
    middle = daemon(DHT)
    owner, reader = daemon(DHT), daemon({**DHT, "Provide.Fetched": "false"})
    for node in (owner, reader):
        node.connect(middle.addr)
        until(lambda node=node: middle.peer_id in table(node))
    (tmp_path / "f").write_bytes(b"secret taste")
    cid = owner.add(tmp_path / "f")
    assert reader.run("cat", cid) == "secret taste"
    until(lambda: owner.peer_id in middle.run("routing", "findprovs", cid).split())
    assert reader.peer_id not in middle.run("routing", "findprovs", cid).split()
    assert stat(reader)["Schedule"]["Keys"] == 0


def test_bootstrap_addresses_may_stand_in_the_dns_and_the_table_survives_a_restart(
    daemon: Make, tmp_path: Path
) -> None:
    first = daemon(DHT)
    record = {"_dnsaddr.boot.test": f"dnsaddr={first.addr}"}
    with NameServer(record) as server:
        second = daemon(
            {
                **DHT,
                "DNS.Resolvers": json.dumps({".": server.url}),
                "Bootstrap": json.dumps([f"/dnsaddr/boot.test/p2p/{first.peer_id}"]),
            }
        )
        until(lambda: first.peer_id in table(second))
    second.close()
    second.start()
    until(lambda: first.peer_id in table(second))


def test_what_is_announced_and_the_place_of_the_sweep_survive_a_restart(daemon: Make, tmp_path: Path) -> None:
    middle, owner = daemon(DHT), daemon(DHT)
    owner.connect(middle.addr)
    until(lambda: middle.peer_id in table(owner))
    (tmp_path / "f").write_bytes(bytes(5_000_000))
    (tmp_path / "g").write_bytes(b"g" * 100)
    owner.add(tmp_path / "f")
    gone = owner.add(tmp_path / "g")
    until(lambda: stat(owner)["Due"] == 0 and stat(owner)["Done"] == 4)
    before = stat(owner)
    owner.run("pin", "rm", gone)
    owner.close()
    owner.start()
    until(lambda: stat(owner)["Done"] == before["Done"] - 1)  # what is pinned no more is announced no more
    after = stat(owner)
    assert after["Schedule"]["CycleBegan"] == before["Schedule"]["CycleBegan"]
    assert after["Operations"]["New"] == before["Operations"]["New"]


def test_peers_are_kept_connected_also_by_the_config(daemon: Make) -> None:
    first = daemon()
    peering = json.dumps([{"ID": first.peer_id, "Addrs": [first.addr.split("/p2p/")[0]]}])
    second = daemon({"Peering.Peers": peering})
    until(lambda: first.peer_id in second.run("swarm", "peers"))
    assert first.peer_id in second.run("swarm", "peering", "ls")
    second.run("swarm", "disconnect", f"/p2p/{first.peer_id}")
    until(lambda: first.peer_id in second.run("swarm", "peers"))
    assert second.run("swarm", "peering", "rm", first.peer_id) == f"rm {first.peer_id} success\n"
    with pytest.raises(PeerFailed, match="not among the peers"):
        second.run("swarm", "peering", "rm", first.peer_id)


def test_a_value_is_stored_at_others_and_a_wrong_one_is_refused(daemon: Make, tmp_path: Path) -> None:
    one, other = daemon(DHT), daemon(DHT)
    one.connect(other.addr)
    until(lambda: other.peer_id in table(one) and one.peer_id in table(other))
    key = base64.b64decode(one.run("id", "--format=<pubkey>").strip())
    (tmp_path / "key").write_bytes(key)
    assert one.run("routing", "put", f"/pk/{one.peer_id}", str(tmp_path / "key")) == f"{one.peer_id}\n"
    found = json.loads(other.run("routing", "get", f"/pk/{one.peer_id}", "--enc=json"))
    assert base64.b64decode(found["Extra"]) == key and found["Type"] == 5
    with pytest.raises(PeerFailed, match="record refused"):
        one.run("routing", "put", f"/pk/{other.peer_id}", str(tmp_path / "key"))


def test_what_goes_over_the_connections_is_shown_and_held_to_the_limits(daemon: Make, tmp_path: Path) -> None:
    limited, reader = daemon({"Swarm.Limits.Up": '"2MB"'}), daemon()
    write_file(tmp_path / "file", 6_000_000)
    cid = limited.add(tmp_path / "file")
    reader.connect(limited.addr)
    began = time.monotonic()
    reader.get(cid, tmp_path / "got")
    assert 2.7 < time.monotonic() - began < 20
    shown = json.loads(limited.run("stats", "bw", "--enc=json"))
    assert shown.keys() == {"TotalIn", "TotalOut", "RateIn", "RateOut"} and 6_000_000 < shown["TotalOut"] < 6_300_000
    assert 100_000 < shown["RateOut"] <= 2_100_000
    for option, least in ((f"--peer={reader.peer_id}", 6_000_000), ("--proto=/ipfs/ping/1.0.0", 0)):
        assert json.loads(limited.run("stats", "bw", option, "--enc=json"))["TotalOut"] >= least
    text = limited.run("stats", "bw").splitlines()
    assert text[0] == "Bandwidth" and text[2].startswith("TotalOut: 6.") and text[4].endswith("/s")
    status = json.loads(limited.run("status", "--enc=json"))
    budgets = {line["Name"]: line for line in status["Budgets"]}
    assert budgets["upload"]["Limit"] == 2_000_000 and budgets["download"]["Limit"] is None
    assert budgets["connections"]["Used"] == status["Peers"] == 1 and 6_000_000 < status["TotalOut"]
    assert "upload" in limited.run("status") and "of 2.0 MB/s" in limited.run("status")
    with pytest.raises(PeerFailed, match="exclude each other"):
        limited.run("stats", "bw", "--peer=x", "--proto=y")
    with pytest.raises(PeerFailed, match="interval"):
        limited.run("stats", "bw", "--poll", "--interval=0s")
    with pytest.raises(PeerFailed, match="1.5s|time"):
        limited.run("stats", "bw", "--poll", "--interval=100ms", "--timeout=1500ms")


def test_each_of_several_addresses_has_the_time_of_timeout_and_is_reported(daemon: Make) -> None:
    node, other, third = daemon(), daemon(), daemon()
    nobody = third.addr.rpartition("/p2p/")[2]
    third.close()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        deaf = f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}/p2p/{nobody}"
        began = time.monotonic()
        with pytest.raises(PeerFailed) as failed:
            node.run("swarm", "connect", deaf, other.addr, "--timeout=2s")
        assert 1.5 < time.monotonic() - began < 6
        assert f"connect {nobody} failure: timed out after 2 s" in str(failed.value)
        assert f"connect {other.peer_id} success" in str(failed.value)


def test_the_kind_of_routing_may_be_given_for_one_run(daemon: Make) -> None:
    node = daemon()
    with pytest.raises(PeerFailed, match=re.escape("Routing.Type")):
        node.run("stats", "dht")
    node.close()
    node.start("--routing=dhtclient")
    assert json.loads(node.run("stats", "dht", "lan", "--enc=json"))["Mode"] == "client"


def test_wrong_calls_say_what_is_wrong(daemon: Make) -> None:
    off, alone = daemon(), daemon(DHT)
    for words, reason in (
        (("routing", "findprovs", "bafkqaaa"), "Routing.Type"),
        (("provide", "stat"), "Routing.Type"),
        (("stats", "dht"), "Routing.Type"),
    ):
        with pytest.raises(PeerFailed, match=reason):
            off.run(*words)
    for words, reason in (
        (("routing", "findpeer", "nonsense"), "peer id"),
        (("routing", "findprovs", "-n", "0", "bafkqaaa"), "from 1 up"),
        (("routing", "get", "/x/y"), "is not a key"),
        (("routing", "get", f"/pk/{off.peer_id}"), "not found"),
        (("routing", "findpeer", off.peer_id), "not found"),
        (("dht", "query", off.peer_id), "not found"),
        (("provide", "once", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"), "not stored here"),
        (("stats", "dht", "other"), "choose wan or lan"),
    ):
        with pytest.raises(PeerFailed, match=reason):
            alone.run(*words)
    assert alone.run("routing", "findprovs", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e") == ""
