"""The config file: defaults, profiles, nonsense values, secrets."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cidery
from cidery.commands.definitions import config as config_definitions
from cidery.repo.config import new_raw, parse_config
from cidery.repo.config_change import set_key
from cidery.repo.config_file import ConfigError, ConfigMissing, parse_json, read_raw, write_raw
from cidery.repo.config_keys import KEYS, check_all, parse_size
from cidery.repo.config_profiles import PROFILES, apply_profile
from cidery.repo.config_secrets import MASK, get_key, with_secrets_of, without_secrets
from cidery.repo.config_unheeded import UNHEEDED, refuse_unheeded


def _entropy(n: int) -> bytes:
    return hashlib.shake_128(b"seed").digest(n)


def _raw(*profiles: str, cid_profile: str = "unixfs-v1-2025") -> dict[str, object]:
    return new_raw(_entropy, cid_profile=cid_profile, profiles=list(profiles))


def test_the_default_config_is_valid_and_ships_the_public_bootstrap_list() -> None:
    config = parse_config(_raw())
    assert len(config.bootstrap) == 5
    assert str(config.api[0]) == "/ip4/127.0.0.1/tcp/5001"
    assert config.imports.cid_version == 1 and config.imports.chunker == "size-1048576"
    assert config.storage_max == 10_000_000_000


def test_the_old_cid_profile_is_written_for_a_binary_named_ipfs() -> None:
    imports = parse_config(_raw(cid_profile="unixfs-v0-2015")).imports
    assert (imports.cid_version, imports.raw_leaves, imports.chunker) == (None, False, "size-262144")
    assert (imports.file_max_links, imports.hamt_estimation) == (174, "links")


def test_the_test_profile_reaches_nothing_outside() -> None:
    config = parse_config(_raw("test"))
    assert config.bootstrap == () and not config.mdns and config.routing == "none"
    assert {str(addr) for addr in (*config.api, *config.gateway, *config.swarm)} == {"/ip4/127.0.0.1/tcp/0"}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_applying_a_profile_twice_is_applying_it_once(name: str) -> None:
    once = apply_profile(_raw(), name)
    assert apply_profile(once, name) == once or name == "randomports"
    parse_config(once)


def test_help_names_every_profile() -> None:
    named = config_definitions.PROFILES.replace(",", " ").replace(")", " ").replace(".", " ").split()
    assert set(PROFILES) <= set(named)


def test_local_discovery_undoes_the_server_profile() -> None:
    raw: dict[str, Any] = _raw()
    raw["Swarm"]["AddrFilters"] = ["/ip4/192.0.2.0/ipcidr/30"]
    config = parse_config(apply_profile(apply_profile(raw, "server"), "local-discovery"))
    assert config.addr_filters == ("/ip4/192.0.2.0/ipcidr/30",) and config.no_announce == ()
    assert config.mdns and config.map_ports


def test_default_networking_undoes_the_test_profile() -> None:
    back = parse_config(apply_profile(_raw("test"), "default-networking"))
    assert back == parse_config(_raw())


def test_random_ports_are_free_ones_that_stay() -> None:
    swarm = parse_config(apply_profile(_raw(), "randomports")).swarm
    forms = ["/ip4/0.0.0.0/tcp/N", "/ip6/::/tcp/N", "/ip4/0.0.0.0/udp/N/quic-v1", "/ip6/::/udp/N/quic-v1"]
    assert [re.sub(r"/(tcp|udp)/\d+", r"/\1/N", str(addr)) for addr in swarm] == forms
    ports = {re.findall(r"/(?:tcp|udp)/(\d+)", str(addr))[0] for addr in swarm}
    assert len(ports) == 1 and ports.isdisjoint({"0", "4001"})


def test_announcing_is_switched_off_and_on_by_profiles() -> None:
    off = apply_profile(_raw(), "announce-off")
    assert not parse_config(off).provide.enabled and parse_config(off).provide.interval == 0
    assert parse_config(apply_profile(off, "announce-on")).provide == parse_config(_raw()).provide


@pytest.mark.parametrize("key", ["Peering", "Peering.Peers", "Gateway.NoFetch", "Swarm.RelayClient.Enabled", "Pinning"])
def test_a_key_that_is_known_and_not_set_is_null(key: str) -> None:
    assert get_key(_raw(), key) is None
    assert get_key(set_key(_raw(), key, None), key) is None


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("Foo.Bar", 1, "Foo.Bar is not a key"),
        ("Foo", {}, "Foo is not a key"),
        ("Swarm.ConMgr.LowWater", 1, "did you mean Swarm.ConnMgr.LowWater"),
        ("Swarm.ConnMgr.Lowwater", 1, "did you mean Swarm.ConnMgr.LowWater"),
        ("AutoNAT", {"ServiceMod": "disabled"}, "AutoNAT.ServiceMod is not a key"),
        ("Gateway", {"NoFetch": True, "Fetch": False}, "Gateway.Fetch is not a key"),
        ("Internal.Bitswap.MaxOutstandingBytes", 1, "did you mean Internal.Bitswap.MaxOutstandingBytesPerPeer"),
        ("Swarm.ResourceMgr.MaxMemroy", 1, "did you mean Swarm.ResourceMgr.MaxMemory"),
        ("Swarm", {"RelayClient": {"StaticRelay": []}}, "did you mean Swarm.RelayClient.StaticRelays"),
        ("Addresses.API.x", 1, "Addresses.API.x is not a key"),
    ],
)
def test_a_key_that_nobody_knows_is_refused(key: str, value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        set_key({**_raw(), "Addresses": {}, "AutoNAT": None, "Gateway": None}, key, value)
    if not isinstance(value, dict) or key == "Foo":
        with pytest.raises(ConfigError, match="is not a key"):
            get_key(_raw(), key)


def test_names_of_the_users_may_stand_below_some_keys() -> None:
    raw = set_key(_raw(), "Pinning.RemoteServices.mine.Policies.MFS.Enable", False)
    raw = set_key(raw, "Gateway.PublicGateways", {"example.org": {"Paths": ["/ipfs"]}})
    raw = set_key(raw, "DNS.Resolvers", {"eth.": "https://dns.example/q"})
    assert get_key(raw, "Gateway.PublicGateways")["example.org"]["Paths"] == ["/ipfs"]


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no profile 'tset'; choose from test, server"):
        apply_profile(_raw(), "tset")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Datastore.StorageMax", "ten", "a size in bytes"),
        ("Datastore.StorageMax", True, "a size in bytes"),
        ("Addresses.API", "127.0.0.1:5001", "an address such as"),
        ("Addresses.Swarm", "/ip4/127.0.0.1/tcp/4001", "a list of an address"),
        ("Bootstrap", ["/ip4/127.0.0.1/tcp/4001"], "with a peer id"),
        ("Import.CidVersion", 2, "one of 0, 1"),
        ("Import.UnixFSChunker", "size-0", "size-N"),
        ("Swarm.ConnMgr.GracePeriod", "soon", "a duration"),
        ("Swarm.ConnMgr.LowWater", 500, "more than HighWater"),
        ("Import.HashFunction", "md5", "the name of a hash function"),
        ("Import.HashFunction", "murmur3-x64-64", "the name of a hash function"),
        ("Import.HashFunction", 18, "the name of a hash function"),
        ("Discovery.MDNS.Enabled", "yes", "true or false"),
        ("Discovery.MDNS.Interfaces", ["192.0.2.1", "eth0"], "IP addresses"),
        ("Discovery.MDNS.Interfaces", [[]], "IP addresses"),
        ("Swarm.Transports.Security.TLS", 0, "false, true, or a priority"),
        ("Identity.PeerID", "12D3KooW", "does not belong"),
        ("Swarm", "x", "an object of settings"),
        ("Swarm.Limits", 5, "an object of settings"),
        ("Addresses", [], "an object of settings"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_naming_its_key(key: str, value: object, words: str) -> None:
    raw = _raw()
    with pytest.raises(ConfigError) as caught:
        set_key(raw, key, value)
    assert key in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)
    assert raw == _raw()


def test_several_wrong_values_of_a_file_can_be_mended_one_by_one() -> None:
    raw = _raw()
    raw["Import"]["HashFunction"] = "md5"
    raw["Discovery"]["MDNS"]["Interfaces"] = ["eth0"]
    raw["Gateway"] = "none"
    with pytest.raises(ConfigError, match="Import.CidVersion"):
        set_key(raw, "Import.CidVersion", 7)
    with pytest.raises(ConfigError, match="Import.HashFunction"):
        set_key(raw, "Import.HashFunction", "md4")
    with pytest.raises(ConfigError, match="LowWater"):
        set_key(raw, "Swarm.ConnMgr.HighWater", 1)
    for low in (None, "few"):
        raw["Swarm"]["ConnMgr"]["LowWater"] = low
        with pytest.raises(ConfigError, match="LowWater"):
            set_key(raw, "Swarm.ConnMgr.HighWater", 1)
    raw = set_key(raw, "Swarm.ConnMgr.LowWater", 32)
    raw = set_key(raw, "Discovery.MDNS.Interfaces", [])
    with pytest.raises(ConfigError, match="Gateway takes an object"):
        parse_config(raw)
    raw = set_key(raw, "Gateway", {})
    with pytest.raises(ConfigError, match="Import.HashFunction"):
        parse_config(raw)
    parse_config(set_key(raw, "Import.HashFunction", "blake3"))


def test_the_private_key_is_never_shown_or_set() -> None:
    raw = _raw()
    secret = raw["Identity"]["PrivKey"]  # type: ignore[index]
    assert secret not in json.dumps(without_secrets(raw))
    for key in ("Identity", "Identity.PrivKey", "identity.privkey"):
        with pytest.raises(ConfigError, match="secret"):
            get_key(raw, key)
        with pytest.raises(ConfigError, match="secret"):
            set_key(raw, key, {"PrivKey": "x"})
    assert get_key(raw, "Identity.PeerID") == parse_config(raw).peer_id


def _with_secrets() -> dict[str, Any]:
    raw: dict[str, Any] = dict(_raw())
    raw["API"] = {"Authorizations": {"Alice": {"AuthSecret": "bearer:s3cret", "AllowedPaths": ["/api/v0/id"]}}}
    raw["Pinning"] = {"RemoteServices": {"far": {"API": {"Endpoint": "https://pin.example", "Key": "s3cret"}}}}
    raw["autotls"] = {"registrationToken": "s3cret"}
    return raw


def test_no_secret_is_shown_also_as_part_of_what_holds_it() -> None:
    raw = _with_secrets()
    assert "s3cret" not in json.dumps(without_secrets(raw)) and "s3cret" in json.dumps(raw)
    for key in ("API", "API.Authorizations", "API.Authorizations.Alice", "Pinning", "Pinning.RemoteServices.far.API"):
        shown = json.dumps(get_key(raw, key))
        assert MASK in shown and "s3cret" not in shown
    for key in (
        "Pinning.RemoteServices.far.API.Key",
        "API.Authorizations.Alice.AuthSecret",
        "autotls.registrationToken",
    ):
        with pytest.raises(ConfigError, match="secret"):
            get_key(raw, key)


def test_a_config_as_it_is_shown_can_be_put_back_and_loses_no_secret() -> None:
    raw = _with_secrets()
    assert with_secrets_of(raw, without_secrets(raw)) == raw
    bare = {"Datastore": {"StorageMax": "1GB"}}
    kept = with_secrets_of(raw, bare)
    assert kept["Identity"] == raw["Identity"] and kept["API"] == raw["API"] and kept["Pinning"] == raw["Pinning"]
    assert set_key(raw, "API", {"HTTPHeaders": {}})["API"]["Authorizations"] == raw["API"]["Authorizations"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Identity", {"PrivKey": "CAESQA=="}),
        ("API", {"Authorizations": {"Eve": {"AuthSecret": "bearer:x", "AllowedPaths": ["/"]}}}),
        ("API", {"Authorizations": {"Alice": {"AuthSecret": "bearer:s3cret", "AllowedPaths": ["/api/v0"]}}}),
        ("Pinning", {"RemoteServices": {"far": {"API": {"Endpoint": "https://evil.example", "Key": MASK}}}}),
        ("Pinning", {"RemoteServices": {"far": {"API": {"Endpoint": "https://pin.example", "Key": "other"}}}}),
    ],
)
def test_a_new_config_brings_no_secret_and_changes_nothing_beside_one(key: str, value: object) -> None:
    raw = _with_secrets()
    with pytest.raises(ConfigError, match="secret and is not changed here; edit the config file"):
        with_secrets_of(raw, {**raw, key: value})


@pytest.mark.parametrize(
    ("key", "protects", "harmless"),
    [
        ("Bitswap.ServerEnabled", False, True),
        ("Bitswap.Libp2pEnabled", False, True),
        ("HTTPRetrieval.Allowlist", ["a.example"], []),
        ("HTTPRetrieval.Denylist", ["a.example"], None),
        ("Provider", {"Strategy": "roots"}, {}),
        ("Reprovider", {"Interval": "0"}, {}),
        ("Routing.IgnoreProviders", ["12D3KooW"], []),
        ("Swarm.Transports.Network.TCP", False, True),
    ],
)
def test_a_setting_that_protects_and_is_not_obeyed_keeps_the_node_off_the_network(
    key: str, protects: object, harmless: object
) -> None:
    refuse_unheeded(set_key(_raw(), key, harmless))
    with pytest.raises(ConfigError, match=f"{key} is set, but"):
        refuse_unheeded(set_key(_raw(), key, protects))
    assert key in UNHEEDED


async def test_a_node_with_such_a_setting_opens_offline_only(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True):
        write_raw(tmp_path / "repo" / "config", set_key(_raw("test"), "Bitswap.ServerEnabled", False))
    async with cidery.Node(tmp_path / "repo", offline=True):
        pass
    with pytest.raises(ConfigError, match="Bitswap.ServerEnabled"):
        async with cidery.Node(tmp_path / "repo"):
            raise AssertionError("it started")


@pytest.mark.parametrize("key", [key for key in sorted(KEYS) if not key.startswith("Identity.")])
def test_every_key_may_be_null_and_its_section_too(key: str) -> None:
    identity = _raw()["Identity"]
    bare = parse_config({"Identity": identity})
    section, *rest = key.split(".")
    nothing: Any = None
    for part in reversed(rest):
        nothing = {part: nothing}
    for value in (None, nothing):
        config = parse_config({"Identity": identity, section: value})
        assert config == bare


def test_keys_of_kubo_and_those_of_a_file_are_kept() -> None:
    raw = set_key(_raw(), "Experimental.Libp2pStreamMounting", True)
    assert get_key(raw, "Experimental.Libp2pStreamMounting") is True
    assert get_key(set_key({**raw, "Novelty": {"On": False}}, "Novelty.On", True), "Novelty.On") is True


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "config"
    write_raw(path, _raw())
    write_raw(path, _raw("test"))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert read_raw(path) == _raw("test")
    assert [entry.name for entry in tmp_path.iterdir()] == ["config"]


def test_a_missing_config_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigMissing, match="cidery init"):
        read_raw(tmp_path / "config")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_json(data, "config")


def test_sizes_are_read_in_powers_of_1000_and_1024() -> None:
    assert [parse_size(text) for text in ("10GB", "1 KiB", "5", "1.5MB", "256KiB")] == [
        10**10,
        1024,
        5,
        1_500_000,
        262_144,
    ]


def test_limits_of_speed_have_a_schedule_whose_periods_take_over_what_they_do_not_name() -> None:
    raw = _raw()
    raw["Swarm"] = {
        "Limits": {
            "Up": "1MB",
            "PeerDown": 500_000,
            "Schedule": [
                {"From": "22:30", "To": "06:00", "Up": "", "Down": "2MiB"},
                {"From": "00:00", "To": "00:00", "Days": ["Sat", "Sun"], "PeerDown": "1kB"},
            ],
        }
    }
    limits = parse_config(raw).limits
    assert limits[:4] == (1_000_000, None, None, 500_000)
    night, weekend = limits.schedule
    assert (night.start, night.end, night.days) == (22 * 60 + 30, 360, tuple(range(7)))
    assert night.limits == (None, 2 << 20, None, 500_000)
    assert weekend.days == (5, 6) and weekend.limits == (1_000_000, None, None, 1000)
    for wrong, fault in (
        ({"From": "24:00", "To": "06:00"}, "period 1: From is a time"),
        ({"From": "08:00"}, "period 1: To is a time"),
        ({"From": "08:00", "To": "09:00"}, "it limits nothing"),
        ({"From": "08:00", "To": "09:00", "Up": "1kB", "Days": ["Monday"]}, "Days is a list of some of Mon"),
        ({"From": "08:00", "To": "09:00", "Up": "1kB", "Days": ["Mon", "Mon"]}, "each once"),
        ({"From": "08:00", "To": "09:00", "Up": "fast"}, "Up is a rate"),
        ({"From": "08:00", "To": "09:00", "up": 1}, "'up' is unknown"),
        ("08:00", "it is no object"),
    ):
        raw["Swarm"] = {"Limits": {"Schedule": [wrong]}}
        with pytest.raises(ConfigError, match=f"Swarm.Limits.Schedule.*{fault}"):
            parse_config(raw)
    twice = {"From": "08:00", "To": "09:00", "Up": "1kB"}
    raw["Swarm"] = {"Limits": {"Schedule": [twice, twice]}}
    with pytest.raises(ConfigError, match="period 2: it is there twice"):
        parse_config(raw)


NAMES = st.sampled_from(["example.com", "127.0.0.1", "Paths", "UseSubdomains", "CertFile", "KeyFile", "X-A"])
GATEWAY_FAULTS = [
    ({"example.com": {"Path": ["/ipfs"]}}, "example.com: 'Path' is unknown; did you mean Paths?"),
    ({"a.example": {}, "b.example": {"Colour": 1}}, "b.example: 'Colour' is unknown; there are Paths, UseSubdomains"),
    ({"example.com": {"Paths": ["/ipfs", "/api"]}}, "example.com: Paths: '/api' is neither /ipfs nor /ipns"),
    ({"example.com": {"Paths": ["/ipfs/"]}}, "neither /ipfs nor /ipns; leave out the slash at its end"),
    ({"example.com": {"Paths": "/ipfs"}}, "example.com: Paths is a list of /ipfs and /ipns, not '/ipfs'"),
    ({"example.com": {"UseSubdomains": "yes"}}, "example.com: UseSubdomains is true or false, not 'yes'"),
    ({"example.com": {"NoDNSLink": 1}}, "example.com: NoDNSLink is true or false, not 1"),
    ({"example.com": []}, "example.com: it is an object of fields, or null"),
    ({"exämple.com": {}}, "exämple.com: it is no host"),
    ({"http://example.com": {}}, "it is no host, with or without a port"),
    ([], "it is no object of at most 10000 entries"),
    *(
        ({host: {"UseSubdomains": True}}, f"{host}: UseSubdomains needs the name of a host: nothing can be below")
        for host in ("127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "::1", "10.1")
    ),
]
HEADER_FAULTS = [
    ({"X-Good": ["a"], "X Bad": ["a"]}, "X Bad: it is no name of a header"),
    ({"X-A": "a"}, "X-A: it is a list of texts, as [\"a\"], not 'a'"),
    ({"X-A": ["a\nb"]}, r"X-A: 'a\nb' is no text of at most 4096 printable ASCII characters"),
]
OTHER_FAULTS = [
    ("Gateway.TLS", {"CertFile": "/a"}, "KeyFile is missing"),
    ("Gateway.TLS", {"CertFile": "/a", "Keyfile": "/b"}, "'Keyfile' is unknown; did you mean KeyFile?"),
    ("Gateway.TLS", {"CertFile": "/a", "KeyFile": "b"}, "KeyFile is an absolute path, not 'b'"),
    ("API.HTTPHeaders", {"Access-Control-Allow-Origin": "*"}, "Access-Control-Allow-Origin: it is a list of texts"),
    ("API.HTTPHeaders", {"X-B": ["a"], "X-A": [1]}, "X-A: 1 is no text"),
    ("API.HTTPHeaders", {"Server": ["a"]}, "Server: it says how one answer is framed"),
    ("API.Authorizations", {"me": {"AuthSecret": "bearer:"}}, "me: AuthSecret is bearer:TOKEN"),
    ("API.Authorizations", {"me": {"AuthSecret": "bearer:s3cr3t", "AllowedPath": []}}, "did you mean AllowedPaths?"),
    ("API.Authorizations", {"me": {"AuthSecret": "bearer:s3cr3t", "AllowedPaths": "/"}}, "AllowedPaths is a list"),
]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        *(("Gateway.PublicGateways", *one) for one in GATEWAY_FAULTS),
        *(("Gateway.HTTPHeaders", *one) for one in HEADER_FAULTS),
        *OTHER_FAULTS,
    ],
)
def test_a_wrong_entry_is_named_with_its_field(key: str, value: object, told: str) -> None:
    section, name = key.split(".")
    with pytest.raises(ConfigError, match=f"{key}.*{re.escape(told)}") as refused:
        check_all({section: {name: value}})
    assert "{'" not in str(refused.value) and "s3cr3t" not in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES | st.text(), below, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["PublicGateways", "HTTPHeaders", "TLS"]), JSON)
def test_any_value_is_accepted_or_refused_in_words(name: str, value: object) -> None:
    try:
        check_all({"Gateway": {name: value}})
    except ConfigError as refused:
        assert len(str(refused)) < 400


@pytest.mark.parametrize("host", ["example.com", "*.example.com:8080", "localhost", "4.example", "a-1"])
def test_a_host_with_a_name_may_have_subdomains_and_an_address_may_have_none(host: str) -> None:
    for one, subdomains in ((host, True), ("127.0.0.1:8080", False), ("[::1]", False)):
        entry = {"Paths": ["/ipfs", "/ipns"], "UseSubdomains": subdomains, "DeserializedResponses": None}
        check_all({"Gateway": {"PublicGateways": {one: entry, "gone.example": None}}})


def test_two_processes_that_write_the_config_at_once_leave_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sync = tmp_path / "config", os.fsync
    script = "import sys; from pathlib import Path; from cidery.repo.config_file import write_raw as w; "
    script += "w(Path(sys.argv[1]), {'By': 'another'})"

    def meanwhile(fd: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        assert read_raw(path) == {"By": "another"}
        sync(fd)

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_raw(path, {"By": "this one"})
    assert read_raw(path) == {"By": "this one"} and os.listdir(tmp_path) == ["config"]


def test_a_config_that_cannot_be_written_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_raw(path, {"By": "this one"})
    assert os.listdir(tmp_path) == ["config"]
